"""The source distribution: who has it can run what its Makefile offers."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_it_has_all_that_make_runs() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]
    scripts = (ROOT / "Makefile").read_text() + (ROOT / ".ci" / "run").read_text()
    named = {*re.findall(r"\b(guard|tests|sampleapp|docs|tools)\b", scripts), ".ci", "Makefile"}

    assert {f"/{name}" for name in named} <= set(hatch["include"])
    assert all((ROOT / path.lstrip("/")).exists() for path in hatch["include"])
