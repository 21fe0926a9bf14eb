"""`migrate` of a plain removal beside code that still uses the column."""

from __future__ import annotations

import pytest

from guard.ledger import orders, rows
from tests.integration.gate.fixtures import FIRST, adding, on_sqlite, without
from tests.integration.gate.harness import Shop, Tree, Trees, migration

REMOVED = ("enabled", "code", "slug", "supplier", "backup", "rank", "note")
COLUMNS = {"enabled", "code", "slug", "supplier_id", "backup_id", "rank", "note"}


@pytest.fixture(scope="session")
def bare(trees: Trees, first: Tree) -> Tree:
    """The release that has removed everything but the name, and added a column in the same migration."""
    return trees.make(first, adding("weight = models.IntegerField(default=7)", models=without(*REMOVED)))


def test_a_mixed_migration_expands_and_leaves_the_columns_to_old_code(shop: Shop, first: Tree, bare: Tree) -> None:
    shop.arrive(first)

    said = shop.migrate(bare, GUARD_ACTOR="ann").out

    assert set(shop.states()) == COLUMNS
    assert set(shop.states().values()) == {"waiting"}
    assert shop.recorded() == set(bare.migrations())
    assert shop.columns() == COLUMNS | {"id", "name", "weight"}
    # New code inserts, and old code does.
    shop.insert(name="new", weight=1)
    shop.insert(name="old", enabled=True, code="c", slug="s", note=None, rank=1, supplier_id=1, backup_id=None)
    assert shop.query("SELECT count(*) FROM shop_product WHERE weight = 7") == [(3,)]
    # And deletes the parent of a column that it does not know.
    shop.query("DELETE FROM shop_supplier")
    assert shop.query("SELECT count(*) FROM shop_product WHERE supplier_id IS NULL") == [(4,)]
    with shop.ledger() as ledger:
        log = orders.record_since(ledger, 0.0)
    # The default that old code needs is an expand step as well.
    assert sorted(entry[1:3] for entry in log) == sorted(
        ("expand", f"shop_product.{column}") for column in (*COLUMNS, "weight")
    )
    for _, _, target, actor, release, details in log:
        assert (actor, release) == ("ann", bare.name)
        assert details["migration"] == f"shop.{bare.migrations()[-1]}"
        assert details["seconds"] >= 0  # type: ignore[operator]
        ran = [sql for sql in details["sql"] if "shop_product" in sql]  # type: ignore[attr-defined]
        # What was nullable already needs nothing.
        assert ran or target in ("shop_product.note", "shop_product.backup_id")
        assert not [sql for sql in details["sql"] if "guard_step" in sql]  # type: ignore[attr-defined]
    assert "shop_product.code stays for now" in said
    assert "Still used by release r1, web: 1 instance, last seen" in said
    assert shop.run(bare, "migrate", "--check").code == 0


@on_sqlite
def test_the_lines_that_migrate_prints_are_few_and_name_who_uses_it(shop: Shop, first: Tree, trees: Trees) -> None:
    for _ in range(3):
        shop.arrive(first)

    said = shop.migrate(trees.make(first, without("note"))).out

    mine = said[said.index("guard:") :].rstrip().splitlines()
    assert len(mine) == 3
    assert mine[0] == "guard: shop_product.note stays for now, and new code already works without it."
    assert "`manage.py guard contract --wait`" in mine[1]
    assert mine[2].startswith("  Still used by release r1, web: 3 instances, last seen ")


def test_split_and_taken_the_whole_way(shop: Shop, first: Tree, bare: Tree) -> None:
    shop.deploy(first, bare)

    said = shop.migrate(bare).out

    assert set(shop.states().values()) == {"aside"}
    assert COLUMNS.isdisjoint(shop.columns())
    assert "`manage.py guard restore shop_product.code` brings it back until it is erased." in said
    shop.contract(bare)
    assert set(shop.states().values()) == {"aside"}
    shop.aged(601)
    shop.contract(bare)
    assert set(shop.states().values()) == {"done"}
    assert shop.columns() == {"id", "name", "weight"}
    assert shop.query("SELECT count(*) FROM shop_product") == [(2,)]


@on_sqlite
def test_keep_for_zero_erases_at_once(shop: Shop, first: Tree, trees: Trees) -> None:
    shop.guard["KEEP_FOR"] = 0
    new = trees.make(first, without("code"))
    shop.deploy(first, new)

    shop.contract(new)

    assert shop.states() == {"code": "done"}
    assert "code" not in shop.columns()


def test_a_default_that_is_kept_for_old_code_goes_when_old_code_has_gone(shop: Shop, first: Tree, trees: Trees) -> None:
    new = trees.make(
        first, adding("weight = models.IntegerField(default=7)", "title = models.TextField(default='50% %s')")
    )
    shop.guard["KEEP_FOR"] = 0
    serving = shop.arrive(first)
    shop.migrate(new)
    kept = shop.facts("title")
    assert kept is not None
    assert kept.default is not None
    shop.insert(name="old", enabled=True, code="c", slug="s", note=None, rank=1, supplier_id=1, backup_id=None)
    assert shop.query("SELECT DISTINCT title FROM shop_product") == [("50% %s",)]
    waits = shop.contract(new).out
    assert waits.strip() == "Nothing waits."

    shop.roll(serving, new)
    shop.contract(new)

    for column in ("weight", "title"):
        facts = shop.facts(column)
        assert facts is not None
        assert (facts.null, facts.default) == (False, None)
        assert shop.step(f"shop_product.{column}", kind=rows.StepKind.DEFAULT).state is rows.StepState.DONE

    # Old code that is rolled back to migrates before it runs.
    shop.migrate(first)
    back = shop.arrive(first)
    shop.insert(name="back", enabled=True, code="b", slug="b", note=None, rank=1, supplier_id=1, backup_id=None)
    assert shop.query("SELECT title, weight FROM shop_product WHERE name = 'back'") == [("50% %s", 7)]
    shop.contract(new)
    assert shop.step("shop_product.title", kind=rows.StepKind.DEFAULT).state is rows.StepState.WAITING
    shop.leave(back)
    shop.contract(new)
    assert shop.step("shop_product.title", kind=rows.StepKind.DEFAULT).state is rows.StepState.DONE


@on_sqlite
def test_a_default_kept_for_old_code_holds_up_no_index(shop: Shop, first: Tree, trees: Trees) -> None:
    second = trees.make(first, adding("weight = models.IntegerField(default=7)"))
    third = trees.make(
        second,
        adding(
            "weight = models.IntegerField(default=7, help_text='g')",
            "class Meta:",
            "    indexes = [models.Index(fields=['weight'], name='by_weight')]",
        ),
    )
    shop.deploy(first, second)

    shop.migrate(third)

    assert shop.recorded() == set(third.migrations())


def test_a_column_whose_kept_default_is_pending_is_removed_as_the_models_had_it(
    shop: Shop, first: Tree, trees: Trees
) -> None:
    second = trees.make(first, adding("weight = models.IntegerField(default=7)"))
    third = trees.make(second, FIRST)
    serving = shop.arrive(first)
    shop.migrate(second)
    shop.migrate(third)

    assert shop.step("shop_product.weight").payload["found"]["default"] is None
    assert shop.step("shop_product.weight", kind=rows.StepKind.DEFAULT).state is rows.StepState.WITHDRAWN
    shop.insert(name="old", enabled=True, code="c", slug="s", note=None, rank=1, supplier_id=1, backup_id=None)
    shop.roll(serving, third)
    shop.contract(third)
    assert shop.states() == {"weight": "aside"}


LEFT = without("code", "rank", "supplier")
WEIGHT = "weight = models.IntegerField(default=7)"

#: What makes Django rebuild the table.
REBUILDS = {
    "add": adding(
        WEIGHT, "added = models.IntegerField(default=1)", "made = models.TextField(unique=True, null=True)", models=LEFT
    ),
    "alter": adding(
        WEIGHT, models=LEFT.replace("models.TextField(null=True)", "models.CharField(max_length=9, null=True)")
    ),
    "constrain": adding(
        WEIGHT,
        "class Meta:",
        "    constraints = [models.UniqueConstraint(fields=['name', 'slug'], name='together')]",
        models=LEFT,
    ),
}
INDEXES = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'shop_product' AND sql IS NOT NULL"


@on_sqlite
@pytest.mark.parametrize("state", ["waiting", "aside"])
@pytest.mark.parametrize("kind", REBUILDS)
def test_a_rebuild_of_the_table_keeps_leftovers_and_kept_defaults(
    shop: Shop, first: Tree, trees: Trees, state: str, kind: str
) -> None:
    second = trees.make(first, adding(WEIGHT, models=LEFT))
    third = trees.make(second, REBUILDS[kind])
    shop.deploy(first, second)
    if state == "aside":
        # The kept default goes as well, so only what is set aside is left.
        shop.contract(second)
    steps = [shop.step(f"shop_product.{column}") for column in ("code", "rank", "supplier_id")]
    columns = [step.aside_name or step.column for step in steps]
    before, parts, kept = [shop.facts(column) for column in columns], shop.query(INDEXES), shop.facts("weight")
    assert None not in before

    shop.migrate(third, "shop")

    assert shop.recorded() == set(third.migrations())
    assert [step.state.value for step in (shop.step(s.target) for s in steps)] == [state] * 3
    assert [shop.facts(column) for column in columns] == before
    assert shop.facts("weight") == kept
    assert set(parts) <= set(shop.query(INDEXES))
    read = shop.query(f'SELECT "{columns[0]}", "{columns[2]}" FROM shop_product ORDER BY id')
    assert read == [("c1", 1), ("c2", 1)]
    if state == "aside":
        shop.run(third, "guard", "restore", "shop_product.supplier_id").ok()
        facts = shop.facts("supplier_id")
        assert facts is not None
        assert [key.on_delete for key in facts.foreign_keys] == ["SET NULL"]
    shop.contract(third)
    assert shop.states() == dict.fromkeys(("code", "rank", "supplier_id"), "aside")


@on_sqlite
def test_what_is_removed_by_hand_is_noted_and_recorded(shop: Shop, first: Tree, trees: Trees) -> None:
    shop.query("ALTER TABLE shop_product DROP COLUMN note")

    said = shop.migrate(trees.make(first, without("note"))).out

    assert "shop_product.note is not in the database: somebody has dropped it already." in said
    assert shop.states() == {}


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
def test_a_column_in_a_schema_of_its_own(shop: Shop, first: Tree, trees: Trees) -> None:
    shop.query("CREATE SCHEMA other")
    fields = (
        "    near = models.ForeignKey(Supplier, models.CASCADE)\n"
        "    code = models.CharField(max_length=9, default='x', db_index=True)\n"
    )
    far = "\n\nclass Far(models.Model):\n{}    class Meta:\n        db_table = 'other\".\"far'\n"
    second = trees.make(first, FIRST + far.format(fields))
    third = trees.make(second, FIRST + far.format(""))
    shop.migrate(second)

    shop.deploy(second, third)
    shop.query("INSERT INTO other.far DEFAULT VALUES")
    shop.contract(third)

    assert shop.states() == {"near_id": "aside", "code": "aside"}
    shop.run(third, "guard", "restore", 'other"."far.near_id').ok()
    shop.empty()
    shop.migrate(third, "shop", third.migrations()[1])
    assert shop.facts("near_id", 'other"."far')


@on_sqlite
def test_nothing_of_a_migration_that_fails_on_its_way_is_left_behind(shop: Shop, first: Tree, trees: Trees) -> None:
    bad = migration(
        "0002_bad",
        "0001_initial",
        "migrations.RemoveField('product', 'note'), migrations.RunSQL('SELECT nothing FROM nowhere', elidable=True)",
    )
    new = trees.make(first, without("note"), migrations=bad)
    shop.guard["MODE"] = "enforce"

    done = shop.run(new, "migrate")

    assert done.code != 0
    assert shop.recorded() == {"0001_initial"}
    assert "note" in shop.columns()
