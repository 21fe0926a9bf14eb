"""Django's own apps, upgraded under guard from each of their past states (others: `make histories`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sampleapp.stage import databases

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("vendor", databases.VENDORS)
def test_contrib_apps_are_upgraded_with_nothing_broken(vendor: str) -> None:
    if missing := databases.missing(vendor):
        pytest.skip(missing)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.histories.upgrade", vendor, "contrib"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 upgrades: " in ended.stdout, ended.stdout
