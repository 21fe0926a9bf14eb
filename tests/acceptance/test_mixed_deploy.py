"""What is done to columns, in real deploys under load, beside the same without guard: each alone, and all in one."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sampleapp.stage import databases
from sampleapp.stage.processes import SAMPLEAPP, Release, until
from tests.acceptance.harness import WINDOWS, Shop

SOME = 60

KEPT = "    is_active = models.BooleanField(default=True)\n"
OPTIONAL = "    note = models.CharField(max_length=60, null=True)\n"
REQUIRED = '    note = models.CharField(max_length=60, default="")\n'
BRAND = '    brand = models.CharField(max_length=60, default="")\n'


@dataclass(frozen=True)
class Change:
    """What the new release's code differs in from the old one's."""

    #: What `makemigrations` writes.
    operations: dict[str, int]
    #: The sample releases that the two are made of.
    samples: tuple[str, str] = ("r2", "r2")
    #: Lines that the product has in the old release, and in the new one.
    more: tuple[str, str] = ("", "")
    #: Words in lines of models and views that only the old one has.
    without: tuple[str, ...] = ()
    #: Columns that are gone in the end, and the one that is NOT NULL then.
    gone: frozenset[str] = frozenset()
    required: str = ""


CHANGES = {
    "a required column goes": Change({"RemoveField": 1}, without=("sku",), gone=frozenset({"sku"})),
    "a foreign key goes": Change(
        {"RemoveField": 1},
        without=("    supplier =", "product.supplier_id", 'data["supplier"]'),
        gone=frozenset({"supplier_id"}),
    ),
    "a required column comes": Change({"AddField": 1}, more=("", BRAND), required="brand"),
    "a column is required": Change({"AlterField": 1}, more=(OPTIONAL, REQUIRED), required="note"),
    "all in one": Change(
        {"RemoveField": 3, "AddField": 2, "AlterField": 1},
        samples=("r2", "r3"),
        more=(OPTIONAL, REQUIRED),
        gone=frozenset({"sku", "supplier_id", "is_enabled"}),
        required="note",
    ),
}
#: Each by itself where breadth is wide.
FEW = tuple(CHANGES) if os.environ.get("GUARD_TEST_BREADTH") in ("newest", "all") else ("all in one",)


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Code trees of the two releases of a change, with what makemigrations writes; made once."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = _written(CHANGES[name], tmp_path_factory.mktemp("change"))
        return made[name]

    return of


def _written(change: Change, directory: Path) -> Path:
    trees = directory / "trees"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SAMPLEAPP / "common", trees / "common", ignore=ignored)
    database = databases.create("sqlite", directory)
    for name, source, more in zip(("old", "new"), change.samples, change.more, strict=True):
        shutil.copytree(SAMPLEAPP / source, trees / name, ignore=ignored)
        shop = trees / name / "shop"
        models = shop / "models.py"
        models.write_text(models.read_text().replace(KEPT, KEPT + more))
        if name == "new":
            for file in (models, shop / "views.py"):
                lines = file.read_text().splitlines(True)
                file.write_text("".join(line for line in lines if not any(word in line for word in change.without)))
            shutil.rmtree(shop / "migrations")
            shutil.copytree(trees / "old" / "shop" / "migrations", shop / "migrations", ignore=ignored)
        before = set((shop / "migrations").glob("0*.py"))
        Release(name, database, None, trees=trees).manage("makemigrations", "shop", "--noinput").ok()
        written = set((shop / "migrations").glob("0*.py")) - before
    (migration,) = written
    text = migration.read_text()
    kinds = re.findall(r"migrations\.(\w+Field)\(", text)
    assert {kind: kinds.count(kind) for kind in kinds} == change.operations
    return trees


def column(shop: Shop, name: str) -> tuple[bool, bool]:
    """Whether a column of products may be NULL, and whether it has a default in the database."""
    schema = "current_schema()" if shop.database.vendor == "postgres" else "DATABASE()"
    ((nullable, default),) = shop.database.query(
        "SELECT is_nullable, column_default FROM information_schema.columns "
        f"WHERE table_schema = {schema} AND table_name = 'shop_product' AND column_name = '{name}'"
    )
    return bool(nullable == "YES"), default not in (None, "NULL")


@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "without guard"])
@pytest.mark.parametrize("name", FEW)
def test_requests_fail_without_guard_alone(shop: Shop, trees: Callable[[str], Path], guarded: bool, name: str) -> None:
    # Nobody is lost here; a server that a busy machine holds up for some seconds must stay ready. And where all of a
    # machine's time goes into requests, a moment without one on the table is long in coming.
    guard = WINDOWS | {"LEASE": 12, "LOCK_PATIENCE": 120} if guarded else None
    change = CHANGES[name]
    old, new = (Release(each, shop.database, guard, trees=trees(name)) for each in ("old", "new"))
    old.manage("migrate").ok()
    first = shop.serve(old)
    balancer, load = shop.load(first)
    load.until_more(SOME)

    new.manage("migrate").ok()
    second = shop.serve(new)
    balancer.take(second)
    load.until_more(2 * SOME)
    if not guarded:
        tally = load.mark()
        print(
            f"{shop.database.vendor}, {name}, without guard: {len(tally.failures)} of {tally.requests} requests failed"
        )
        assert {failure.release for failure in tally.failures} == {"old"}
        return

    assert shop.database.columns("shop_product") >= change.gone | {change.required} - {""}
    if change.required:
        # What old code, which leaves it out or writes NULL, goes on doing.
        assert any(column(shop, change.required))
        if change.more[0]:
            # Not every request inserts, and not every one is the old server's.
            until("old code inserts NULL", lambda: shop.rows(f"{change.required} IS NULL"))
        else:
            assert shop.rows(f"{change.required} IS NULL") == 0
    balancer.drain(first)
    first.stop()
    new.manage("guard", "contract", "--wait", "--timeout", "150", timeout=180).ok()
    load.until_more(SOME)

    tally = load.mark()
    print(f"{shop.database.vendor}, {name}, guarded: {len(tally.failures)} of {tally.requests} requests failed")
    assert tally.failures == ()
    assert {release for release, _ in tally.by_release} == {"old", "new"}
    assert shop.database.columns("shop_product").isdisjoint(change.gone)
    if change.required:
        # The default of a new column is there for as long as a release may come back that does not know it.
        assert column(shop, change.required) == (False, not change.more[0])
        assert shop.rows(f"{change.required} IS NULL") == 0
