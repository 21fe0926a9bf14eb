"""Processes that are switched off before any one of their statements: the next command goes on from there."""

from __future__ import annotations

import pytest

from guard.ledger import rows
from guard.steps.ddl import ColumnFacts
from tests.integration.gate.faults import DIED
from tests.integration.gate.fixtures import FIRST, adding, without
from tests.integration.gate.harness import Done, Shop, Tree, Trees, migration

COLUMNS = ("code", "supplier_id")

Facts = dict[str, ColumnFacts | None]


@pytest.fixture(scope="session")
def second(trees: Trees, first: Tree) -> Tree:
    return trees.make(first, without("code", "supplier"))


@pytest.fixture(scope="session")
def keyless(trees: Trees, first: Tree) -> Tree:
    """Without a required foreign key alone: what needs the most statements."""
    return trees.make(first, without("supplier"))


def until_done(shop: Shop, tree: Tree, *args: str, code: int | None = 0) -> Done:
    """Run a command that is ended before its first change, then before its second, and so on, until it survives.

    Where statements commit one by one, each attempt goes on from where the one before was ended.
    """
    for at in range(1, 100):
        done = shop.run(tree, *args, DIE_AT=str(at))
        if done.code != DIED:
            assert at > 1, "the fault was not met"
            return done if code is None else done.ok(code)
    raise AssertionError("it never ends")


def facts(shop: Shop, columns: tuple[str, ...] = COLUMNS) -> Facts:
    return {column: shop.facts(column) for column in columns}


def indexes(shop: Shop) -> list[tuple[list[str], bool, bool]]:
    with shop.connection() as connection, connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "shop_product")
    return sorted((c["columns"], c["index"], c["unique"]) for c in found.values())


def names(shop: Shop) -> set[str]:
    with shop.connection() as connection, connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "shop_product")
    return {name for name, c in found.items() if c["index"] or c["unique"] or c["foreign_key"]}


def test_a_split_goes_on_from_any_of_its_statements(shop: Shop, first: Tree, second: Tree) -> None:
    shop.arrive(first)
    found = facts(shop)

    until_done(shop, second, "migrate", "-v0")

    assert shop.recorded() == set(second.migrations())
    assert shop.states() == dict.fromkeys(COLUMNS, "waiting")
    for column in COLUMNS:
        step, before = shop.step(f"shop_product.{column}"), found[column]
        assert before is not None
        assert ColumnFacts.from_json(step.payload["found"]) == before
    shop.insert(name="new", enabled=True, slug="n", rank=1)
    shop.insert(name="old", enabled=True, code="c", slug="s", note=None, rank=1, supplier_id=1, backup_id=None)
    with shop.ledger() as ledger:
        for instance in ledger.instances():
            ledger.leave(instance.id)
    shop.query("UPDATE shop_product SET code = 'x', supplier_id = 1")
    shop.migrate(second, "shop", "0001")
    assert facts(shop) == found


def test_a_contract_step_is_settled_from_any_of_its_statements(shop: Shop, first: Tree, second: Tree) -> None:
    found, parts = facts(shop), names(shop)
    shop.deploy(first, second)
    relaxed = facts(shop)

    until_done(shop, second, "guard", "contract")
    shop.contract(second)

    assert shop.states() == dict.fromkeys(COLUMNS, "aside")
    steps = [shop.step(f"shop_product.{column}") for column in COLUMNS]
    assert facts(shop) == dict.fromkeys(COLUMNS)
    for step in steps:
        now, before = shop.facts(step.aside_name), relaxed[step.column]
        assert step.token == ""
        assert now is not None
        assert before is not None
        assert now.same_as(before)

    for column in COLUMNS:
        last = until_done(shop, second, "guard", "restore", f"shop_product.{column}", code=None)
        assert last.code == 0 or "is still in its place: there is nothing to restore" in last.err
        assert shop.states()[column] == "waiting"

    shop.empty()
    shop.migrate(second, "shop", "0001")
    assert (facts(shop), names(shop)) == (found, parts)
    assert shop.query("SELECT code, supplier_id FROM shop_product ORDER BY id") == [("c1", 1), ("c2", 1)]


@pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)
def test_what_a_restoring_left_behind_can_be_set_aside_or_given_back(shop: Shop, first: Tree, keyless: Tree) -> None:
    found, parts = facts(shop), names(shop)
    shop.set_aside(first, keyless)

    for at in range(1, 50):
        if shop.run(keyless, "guard", "restore", "shop_product.supplier_id", DIE_AT=str(at)).code != DIED:
            break
        shop.run(keyless, "guard", "status").ok()
        assert shop.states()["supplier_id"] in ("aside", "waiting")
        shop.contract(keyless)
        assert shop.states() == {"supplier_id": "aside"}
    assert at > 5

    shop.empty()
    shop.migrate(keyless, "shop", "0001")
    assert (facts(shop), names(shop)) == (found, parts)


def test_erasing_is_settled_from_any_of_its_statements(shop: Shop, first: Tree, second: Tree) -> None:
    shop.set_aside(first, second)
    shop.aged(1000)

    until_done(shop, second, "guard", "contract")
    shop.beat(shop.serving)
    shop.contract(second)

    assert shop.states() == dict.fromkeys(COLUMNS, "done")
    assert shop.columns() == {"id", "name", "enabled", "slug", "note", "backup_id", "rank"}


def test_giving_back_goes_on_from_any_of_its_statements(shop: Shop, first: Tree, second: Tree) -> None:
    found, parts = facts(shop), names(shop)
    shop.set_aside(first, second)
    shop.empty()

    until_done(shop, second, "migrate", "shop", "0001", "-v0")

    assert (facts(shop), names(shop)) == (found, parts)
    assert shop.recorded() == {"0001_initial"}
    assert set(shop.states().values()) == {"withdrawn"}


def test_a_migration_that_runs_whole_goes_on_or_waits(shop: Shop, first: Tree, trees: Trees) -> None:
    operation = (
        "migrations.AddConstraint('product', models.CheckConstraint(condition=models.Q(rank__lt=1000), name='ranked'))"
        if shop.vendor == "sqlite"
        # What can be done again where it has been done: not everything is recorded in one transaction with its doing.
        else "migrations.AlterField('product', 'name', models.CharField(max_length=30))"
    )
    stricter = trees.make(first, FIRST, migrations=migration("0002_note", "0001_initial", operation))
    shop.deploy(first, stricter)

    until_done(shop, stricter, "migrate", "-v0")

    assert shop.recorded() == {"0001_initial", "0002_note"}
    step = shop.step("shop.0002_note", kind=rows.StepKind.MIGRATION)
    assert step.state in (rows.StepState.DONE, rows.StepState.WITHDRAWN)


@pytest.mark.parametrize("kind", ["new", "again"])
def test_a_column_that_is_added_goes_on_from_any_of_its_statements(
    shop: Shop, first: Tree, trees: Trees, kind: str
) -> None:
    field = "models.IntegerField(default=7, db_index=True)"
    if kind == "new":
        name = "weight"
        after = trees.make(first, adding(f"weight = {field}"))
        shop.arrive(first)
    else:
        name = "rank"
        before = trees.make(first, without("rank"))
        again = migration(
            "0003_again", before.migrations()[-1], "migrations.AddField('product', 'rank', "
            "models.PositiveIntegerField(default=3, db_index=True))"
        )  # fmt: skip
        after = trees.make(before, FIRST, migrations=again)
        shop.set_aside(first, before)
    until_done(shop, after, "migrate", "-v0")

    assert shop.recorded() == set(after.migrations())
    now = shop.facts(name)
    assert now is not None
    assert (now.null, now.default) == (False, "7" if kind == "new" else "3")
    assert any(columns == [name] and index for columns, index, _ in indexes(shop))
    assert shop.step(f"shop_product.{name}", kind=rows.StepKind.DEFAULT).payload["left"] == {
        **now.to_json(),
        "foreign_keys": [],
    }


def test_what_is_required_from_now_on_goes_on_from_any_of_its_statements(shop: Shop, first: Tree, trees: Trees) -> None:
    shop.guard["KEEP_FOR"] = 0
    operations = (
        "migrations.AlterField('product', 'note', models.TextField(default='none')), "
        "migrations.AddField('product', 'made', models.DateTimeField(auto_now_add=True))"
    )
    again = FIRST.replace("models.TextField(null=True)", "models.TextField(default='none')")
    after = trees.make(
        first,
        adding("made = models.DateTimeField(auto_now_add=True)", models=again),
        migrations=migration("0002_note", "0001_initial", operations),
    )
    serving = shop.arrive(first)
    until_done(shop, after, "migrate", "-v0")

    assert shop.recorded() == {"0001_initial", "0002_note"}
    shop.insert(name="old", enabled=True, code="c", slug="s", note=None, rank=1, supplier_id=1, backup_id=None)
    shop.roll(serving, after)
    until_done(shop, after, "guard", "contract")
    shop.contract(after)

    assert shop.query("SELECT DISTINCT note FROM shop_product") == [("none",)]
    for column in ("note", "made"):
        facts = shop.facts(column)
        assert facts is not None
        assert (facts.null, facts.default) == (False, None)
    with shop.ledger() as ledger:
        assert {step.state.value for step in ledger.steps()} == {"done"}
