"""One migration that removes a required field and a foreign key, adds a required field and requires an optional one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sampleapp.stage import databases
from sampleapp.stage.processes import SAMPLEAPP, Release, until
from tests.acceptance.harness import WINDOWS, Shop

SOME = 60

#: In the old release, and what it is in the new one.
OPTIONAL = "    note = models.CharField(max_length=60, null=True)\n"
REQUIRED = '    note = models.CharField(max_length=60, default="")\n'

KEPT = "    is_active = models.BooleanField(default=True)\n"


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Code trees of the two releases, with what makemigrations writes."""
    directory = tmp_path_factory.mktemp("mixed")
    trees = directory / "trees"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SAMPLEAPP / "common", trees / "common", ignore=ignored)
    database = databases.create("sqlite", directory)
    for name, source in (("old", "r2"), ("new", "r3")):
        shutil.copytree(SAMPLEAPP / source, trees / name, ignore=ignored)
    models = trees / "old" / "shop" / "models.py"
    models.write_text(models.read_text().replace(KEPT, KEPT + OPTIONAL))
    Release("old", database, None, trees=trees).manage("makemigrations", "shop", "--noinput").ok()
    shutil.rmtree(trees / "new" / "shop" / "migrations")
    shutil.copytree(trees / "old" / "shop" / "migrations", trees / "new" / "shop" / "migrations", ignore=ignored)
    models = trees / "new" / "shop" / "models.py"
    models.write_text(models.read_text().replace(KEPT, KEPT + REQUIRED))
    Release("new", database, None, trees=trees).manage("makemigrations", "shop", "--noinput").ok()
    (written,) = (trees / "new" / "shop" / "migrations").glob("0005_*.py")
    text = written.read_text()
    assert [text.count(kind) for kind in ("RemoveField", "AddField", "AlterField")] == [3, 2, 1]
    return trees


def nullable(shop: Shop, column: str) -> bool:
    schema = "current_schema()" if shop.database.vendor == "postgres" else "DATABASE()"
    ((found,),) = shop.database.query(
        "SELECT is_nullable FROM information_schema.columns "
        f"WHERE table_schema = {schema} AND table_name = 'shop_product' AND column_name = '{column}'"
    )
    return bool(found == "YES")


@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "without guard"])
def test_requests_fail_without_guard_alone(shop: Shop, trees: Path, guarded: bool) -> None:
    # Nobody is lost here; a server that a busy machine holds up for some seconds must stay ready. And where all of a
    # machine's time goes into requests, a moment without one on the table is long in coming.
    guard = WINDOWS | {"LEASE": 12, "LOCK_PATIENCE": 120} if guarded else None
    old, new = (Release(name, shop.database, guard, trees=trees) for name in ("old", "new"))
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
        print(f"{shop.database.vendor}, without guard: {len(tally.failures)} of {tally.requests} requests failed")
        assert {failure.release for failure in tally.failures} == {"old"}
        return

    assert shop.database.columns("shop_product") >= {"sku", "supplier_id", "brand", "note"}
    assert nullable(shop, "note")
    # Not every request inserts, and not every one is the old server's.
    until("old code inserts NULL", lambda: shop.rows("note IS NULL"))
    balancer.drain(first)
    first.stop()
    new.manage("guard", "contract", "--wait", "--timeout", "150", timeout=180).ok()
    load.until_more(SOME)

    tally = load.mark()
    print(f"{shop.database.vendor}, guarded: {len(tally.failures)} of {tally.requests} requests failed")
    assert tally.failures == ()
    assert {release for release, _ in tally.by_release} == {"old", "new"}
    assert shop.database.columns("shop_product").isdisjoint({"sku", "supplier_id", "is_enabled"})
    assert not nullable(shop, "note")
    assert shop.rows("note IS NULL") == 0
