"""Fixtures of the generated projects, for every folder that tests with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampleapp.stage import databases
from sampleapp.stage.databases import Database
from tests.integration.gate.harness import Shop, Tree, Trees, Zygote, clone

__all__ = ["empty_shop", "first", "missing", "shop", "templates", "trees", "vendor", "zygote"]

FIRST = """\
class Supplier(models.Model):
    name = models.CharField(max_length=50)


class Product(models.Model):
    name = models.CharField(max_length=50)
    enabled = models.BooleanField(default=True)
    code = models.CharField(max_length=20)
    slug = models.SlugField(unique=True)
    note = models.TextField(null=True)
    rank = models.PositiveIntegerField(default=3, db_index=True)
    supplier = models.ForeignKey(Supplier, models.CASCADE)
    backup = models.ForeignKey(Supplier, models.SET_NULL, null=True, related_name="+")
"""


#: For what does not hang on the database: told once, where it is told fastest.
on_sqlite = pytest.mark.parametrize("vendor", ["sqlite"], indirect=True)


def without(*fields: str, models: str = FIRST) -> str:
    """The models without some fields."""
    return "".join(
        line for line in models.splitlines(True) if not line.strip().startswith(tuple(f"{f} =" for f in fields))
    )


def adding(*lines: str, models: str = FIRST) -> str:
    """The models with more fields in the last of them."""
    return models + "".join(f"    {line}\n" for line in lines)


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    started = Zygote(tmp_path_factory.mktemp("zygote"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Trees:
    return Trees(tmp_path_factory.mktemp("trees"), zygote)


@pytest.fixture(scope="session")
def first(trees: Trees) -> Tree:
    """The first release."""
    return trees.make(None, FIRST)


@pytest.fixture(scope="session")
def missing() -> dict[str, str]:
    """Why databases of a vendor cannot be had; empty where they can."""
    return {vendor: databases.missing(vendor) for vendor in databases.VENDORS}


@pytest.fixture(params=databases.VENDORS)
def vendor(request: pytest.FixtureRequest, missing: dict[str, str]) -> str:
    """Each database in turn; one that cannot be had is skipped, or is a failure where all are demanded."""
    name: str = request.param
    if missing[name]:
        if os.environ.get("GUARD_TEST_REQUIRE") == "1":
            pytest.fail(missing[name])
        pytest.skip(missing[name])
    return name


class Templates:
    """A database of each vendor with the first release, in use, and two rows; made once."""

    def __init__(self, directory: Path, trees: Trees, zygote: Zygote, first: Tree) -> None:
        self._directory, self._trees, self._zygote, self._first = directory, trees, zygote, first
        self._made: dict[str, Database] = {}

    def copy(self, vendor: str, directory: Path) -> Database:
        if vendor not in self._made:
            self._made[vendor] = self._make(vendor)
        return clone(self._made[vendor], directory)

    def _make(self, vendor: str) -> Database:
        database = databases.create(vendor, self._directory)
        shop = Shop(database, self._trees, self._zygote)
        shop.migrate(self._first)
        shop.query("INSERT INTO shop_supplier (id, name) VALUES (1, 'any')")
        for number, enabled in ((1, True), (2, False)):
            shop.insert(
                name="any",
                enabled=enabled,
                code=f"c{number}",
                slug=f"s{number}",
                note=None,
                rank=number,
                supplier_id=1,
                backup_id=1,
            )
        return database

    def drop(self) -> None:
        for database in self._made.values():
            database.drop()


@pytest.fixture(scope="session")
def templates(
    tmp_path_factory: pytest.TempPathFactory, trees: Trees, zygote: Zygote, first: Tree
) -> Iterator[Templates]:
    made = Templates(tmp_path_factory.mktemp("templates"), trees, zygote, first)
    yield made
    made.drop()


@pytest.fixture
def empty_shop(vendor: str, tmp_path: Path, trees: Trees, zygote: Zygote) -> Iterator[Shop]:
    """The project on an empty database."""
    database = databases.create(vendor, tmp_path)
    yield Shop(database, trees, zygote)
    database.drop()


@pytest.fixture
def shop(vendor: str, tmp_path: Path, trees: Trees, zygote: Zygote, templates: Templates) -> Iterator[Shop]:
    """The project on a database that has the first release applied."""
    database = templates.copy(vendor, tmp_path)
    yield Shop(database, trees, zygote)
    database.drop()
