"""The project of every kind, run in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sampleapp.stage import databases
from sampleapp.stage.databases import Database
from tests.integration.ledger.harness import settings_for

PROJECT = Path(__file__).parent / "project"
ROOT = Path(__file__).resolve().parents[3]


class Project:
    """The project on one database."""

    def __init__(self, database: Database, **environ: str) -> None:
        self.database = database
        self.environ = environ

    def run(self, *arguments: str, **environ: str) -> str:
        """What python prints with these arguments."""
        path = [str(ROOT), str(PROJECT), self.environ.get("EXTRA", "")]
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("DJANGO_")},
                "PYTHONPATH": os.pathsep.join(filter(None, path)),
                "PYTHONDONTWRITEBYTECODE": "1",
                "DATABASES": json.dumps({"default": settings_for(self.database)}),
                **self.environ,
                **environ,
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def report(self, *arguments: str, **environ: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("report.py", *arguments, **environ))
        return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """On a SQLite file that is not there yet: a footprint needs no database."""
    return Project(Database("sqlite", str(tmp_path / "db.sqlite3")))


@pytest.fixture(params=databases.VENDORS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A new, empty database of each vendor in turn."""
    reason = databases.missing(request.param)
    if reason:
        if os.environ.get("GUARD_TEST_REQUIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    made = databases.create(request.param, tmp_path)
    yield made
    made.drop()
