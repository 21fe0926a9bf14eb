"""The small project, on each database that can be had."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampleapp.stage import databases
from sampleapp.stage.databases import Database
from tests.integration.runtime.harness import Site


class Templates:
    """A migrated database of each vendor that can be copied, made once: migrating takes seconds."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[str, Database] = {}

    def copy(self, vendor: str, directory: Path) -> Database:
        if vendor == "mariadb":
            return self._migrated(vendor, directory)
        if vendor not in self._made:
            self._made[vendor] = self._migrated(vendor, self._directory)
        template = self._made[vendor]
        database = databases.create(vendor, directory)
        if vendor == "sqlite":
            shutil.copy(template.name, database.name)
        else:
            database.drop()
            template.copy_to(database.name)
        return database

    def _migrated(self, vendor: str, directory: Path) -> Database:
        database = databases.create(vendor, directory)
        Site(database, directory).migrate()
        return database

    def drop(self) -> None:
        for database in self._made.values():
            database.drop()


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Templates]:
    made = Templates(tmp_path_factory.mktemp("templates"))
    yield made
    made.drop()


def _site(vendor: str, directory: Path, templates: Templates) -> Iterator[Site]:
    reason = databases.missing(vendor)
    if reason:
        if os.environ.get("GUARD_TEST_REQUIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    database = templates.copy(vendor, directory)
    site = Site(database, directory)
    try:
        yield site
    finally:
        site.end()
        database.drop()


@pytest.fixture(params=databases.VENDORS)
def each_site(request: pytest.FixtureRequest, tmp_path: Path, templates: Templates) -> Iterator[Site]:
    """Migrated, nothing running, on each database in turn: where guard speaks to the ledger."""
    yield from _site(request.param, tmp_path, templates)


@pytest.fixture
def site(tmp_path: Path, templates: Templates) -> Iterator[Site]:
    """The same on SQLite, where the database makes no difference."""
    yield from _site("sqlite", tmp_path, templates)


@pytest.fixture
def postgres_site(tmp_path: Path, templates: Templates) -> Iterator[Site]:
    """The same on PostgreSQL."""
    yield from _site("postgres", tmp_path, templates)


@pytest.fixture
def mariadb_site(tmp_path: Path, templates: Templates) -> Iterator[Site]:
    """The same on MariaDB."""
    yield from _site("mariadb", tmp_path, templates)
