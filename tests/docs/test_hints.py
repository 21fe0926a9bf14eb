"""Hints of checks lead to where their ids are explained, in the source and where guard is installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import guard
from guard.lint import finding
from guard.management.commands.guard import Command
from tests.docs.pages import ROOT, Page, docs

IDS = sorted(
    {
        found
        for path in Path(guard.__file__).parent.rglob("*.py")
        for found in re.findall(r'"(guard\.[EWI]\d{3})"', path.read_text())
    }
)


@pytest.mark.parametrize("check", IDS)
def test_a_hint_names_a_place_that_is_there(check: str) -> None:
    hint = finding.documented(check, "Do it.")

    path, _, anchor = hint.removeprefix("Do it. See ").partition("#")
    assert path == "docs/checks.md"
    assert anchor in Page(ROOT / path).anchors
    assert finding.undocumented(hint) == "Do it."
    assert finding.undocumented("See to it.") == "See to it."


def test_every_explanation_is_of_a_check() -> None:
    titles = re.findall(r"^### (guard\.\w+)$", Page(ROOT / "docs" / "checks.md").text, re.MULTILINE)

    assert sorted(titles) == IDS


def test_the_pages_go_with_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "/docs/**/*.md" in wheel["include"]
    # Pages link to each other alone, and to what lies beside the docs: none of that may be missing there.
    assert wheel["sources"] == {"docs": "guard/docs"}
    outside = [
        (page.name, link)
        for page in docs()
        for link in page.links
        if link.startswith("../") and "guides" not in page.name
    ]
    assert outside == []

    # As it is where guard is installed.
    monkeypatch.setattr(finding, "_INSTALLED", tmp_path)
    finding.page.cache_clear()
    try:
        for name in ("checks.md", "index.md"):
            (tmp_path / name).write_text("")
        assert finding.documented("guard.E103", "Do it.") == f"Do it. See {tmp_path}/checks.md#guarde103"
        assert f"{tmp_path}/index.md" in "".join(Command().create_parser("manage.py", "guard").format_help().split())
    finally:
        finding.page.cache_clear()
