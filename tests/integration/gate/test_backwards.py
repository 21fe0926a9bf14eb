"""Ways back: unapplying, restoring, and adding the same or another column again."""

from __future__ import annotations

import pytest

from guard.ledger import orders, rows
from guard.steps.ddl import ColumnFacts
from tests.integration.gate.fixtures import adding, on_sqlite, without
from tests.integration.gate.harness import Shop, Tree, Trees, migration

REMOVED = ("enabled", "code", "slug", "supplier", "rank")
COLUMNS = ("enabled", "code", "slug", "supplier_id", "rank")


@pytest.fixture(scope="session")
def second(trees: Trees, first: Tree) -> Tree:
    return trees.make(first, without(*REMOVED))


def _facts(shop: Shop) -> dict[str, ColumnFacts | None]:
    return {column: shop.facts(column) for column in COLUMNS}


@pytest.mark.parametrize("state", ["waiting", "aside"])
def test_unapplying_gives_the_columns_back_as_they_were(shop: Shop, first: Tree, second: Tree, state: str) -> None:
    found = _facts(shop)
    shop.deploy(first, second)
    if state == "aside":
        shop.contract(second)
    assert set(shop.states().values()) == {state}
    shop.empty()

    said = shop.migrate(second, "shop", "0001").out

    assert _facts(shop) == found
    assert set(shop.states().values()) == {"withdrawn"}
    assert shop.recorded() == {"0001_initial"}
    assert shop.query("SELECT code, slug, supplier_id FROM shop_product ORDER BY id") == [
        ("c1", "s1", 1),
        ("c2", "s2", 1),
    ]
    assert "guard: shop_product.code is back in use, with its data." in said
    with shop.ledger() as ledger:
        log = [entry[1:3] for entry in orders.record_since(ledger, 0.0)]
    assert {target for action, target in log if action == "give-back"} == {f"shop_product.{c}" for c in COLUMNS}
    # And once more, the whole way.
    shop.deploy(first, second)
    shop.contract(second)
    assert set(shop.states().values()) == {"aside"}


def test_unapplying_names_the_rows_that_have_no_value(shop: Shop, first: Tree, second: Tree) -> None:
    shop.migrate(second)
    for _ in range(3):
        shop.insert(name="new")

    said = shop.migrate(second, "shop", "0001").out

    assert "guard: shop_product.code is back in use, with its data." in said
    assert "It stays nullable: 3 rows came without a value meanwhile" in said
    facts = shop.facts("enabled")
    assert facts is not None
    assert (facts.null, facts.default) == (False, None)


def test_unapplying_after_erasing_makes_the_column_anew(shop: Shop, first: Tree, trees: Trees) -> None:
    second = trees.make(first, without("enabled", "note"))
    shop.guard["KEEP_FOR"] = 0
    shop.deploy(first, second)
    for _ in range(2):
        shop.contract(second)
        shop.beat(shop.serving)
    assert set(shop.states().values()) == {"done"}
    refused = shop.migrate(second, "shop", "0001", code=1)
    assert (
        "unapplying it makes shop_product.enabled NOT NULL again, and inserts would fail in release r2" in refused.err
    )
    shop.empty()

    shop.migrate(second, "shop", "0001")

    assert {"enabled", "note"} <= shop.columns()
    assert set(shop.states().values()) == {"withdrawn"}
    assert shop.query("SELECT count(*) FROM shop_product WHERE enabled") == [(2,)]
    shop.arrive(first)
    assert shop.run(first, "check", "--deploy").ok().code == 0


@on_sqlite
def test_unapplying_what_live_code_uses_is_refused(shop: Shop, first: Tree, trees: Trees) -> None:
    second = trees.make(first, adding("added = models.IntegerField(null=True)"))
    shop.deploy(first, second)

    refused = shop.migrate(second, "shop", "0001", code=1)

    assert "unapplying it drops shop_product.added, which is in use by release r2, web: 1 instance" in refused.err
    shop.empty()
    shop.migrate(second, "shop", "0001")
    assert "added" not in shop.columns()


def test_restored_it_waits_again_and_names_what_has_taken_its_name(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)
    relaxed = _facts(shop)
    shop.contract(second)

    said = shop.run(second, "guard", "restore", "SHOP_PRODUCT.SUPPLIER_ID").ok().out

    assert (
        said.strip()
        == "shop_product.supplier_id is back, with its data. It waits again until no deployed instance uses it."
    )
    now = shop.facts("supplier_id")
    expected = relaxed["supplier_id"]
    assert now is not None
    assert expected is not None
    assert now.same_as(expected)
    assert shop.states() == dict.fromkeys(COLUMNS, "aside") | {"supplier_id": "waiting"}
    again = shop.run(second, "guard", "restore", "shop_product.supplier_id")
    assert (again.code, again.err.strip()) == (
        1,
        "CommandError: shop_product.supplier_id is still in its place: there is nothing to restore.",
    )
    shop.query("ALTER TABLE shop_product ADD COLUMN code integer NULL")
    taken = shop.run(second, "guard", "restore", "shop_product.code").ok(1)
    aside = shop.step("shop_product.code").aside_name
    assert taken.err.strip() == (
        "CommandError: shop_product.code cannot be restored: there is another column of that name now. "
        f"The old one is kept as shop_product.{aside}."
    )


@on_sqlite
def test_erased_it_cannot_be_restored(shop: Shop, first: Tree, trees: Trees) -> None:
    second = trees.make(first, without("note"))
    shop.guard["KEEP_FOR"] = 0
    shop.set_aside(first, second)

    gone = shop.run(second, "guard", "restore", "shop_product.note").ok(1)

    assert "shop_product.note was erased and cannot be restored: its data is gone." in gone.err


REQUIRING = adding(
    "weight = models.IntegerField(default=1)",
    models=without("enabled").replace("models.TextField(null=True)", "models.TextField(default='none')"),
)

ROW = {"name": "n", "code": "c", "slug": "n", "note": None, "rank": 1, "supplier_id": 1, "backup_id": None}


@pytest.fixture(scope="session")
def requiring(trees: Trees, first: Tree) -> Tree:
    """A release that removes a column, adds one that must have a value, and requires one of old code's."""
    return trees.make(first, REQUIRING)


def _done(shop: Shop) -> set[str]:
    with shop.ledger() as ledger:
        return {step.column for step in ledger.steps(rows.StepState.DONE)}


def test_what_is_restored_comes_back_with_all_that_the_same_code_needs_to_insert(
    shop: Shop, first: Tree, requiring: Tree
) -> None:
    shop.guard["KEEP_FOR"] = 3600
    shop.set_aside(first, requiring)
    with shop.ledger() as ledger:
        # Old code went long ago; the column was taken only now.
        ledger._run("UPDATE guard_instance SET renewed_at = renewed_at - 7200, ended_at = ended_at - 7200", [])
        ledger._run("UPDATE guard_step SET slated_at = slated_at - 7200", [])
    shop.contract(requiring)
    assert _done(shop) == {"note", "weight"}
    with shop.ledger() as ledger:
        (step,) = ledger.steps(rows.StepState.ASIDE)
    assert step.column == "enabled"

    said = shop.run(requiring, "guard", "restore", "shop_product.enabled").ok().out

    migration = f"shop.{requiring.migrations()[-1]}"
    assert said.splitlines() == [
        "shop_product.enabled is back, with its data. It waits again until no deployed instance uses it.",
        f"shop_product.weight has its database default again, until no instance without {migration} is deployed.",
        f"shop_product.note takes NULL again, until no instance without {migration} is deployed.",
    ]
    shop.insert(enabled=True, **ROW)
    assert shop.query("SELECT weight FROM shop_product WHERE name = 'n'") == [(1,)]
    assert _done(shop) == set()


@pytest.mark.parametrize("named", ["columns", "migration"])
def test_what_newer_code_requires_is_restored_by_itself_and_stays_for_the_roll_back_window(
    shop: Shop, first: Tree, requiring: Tree, named: str
) -> None:
    shop.guard["KEEP_FOR"] = 0
    shop.set_aside(first, requiring)
    shop.contract(requiring)
    assert _done(shop) == {"enabled", "note", "weight"}
    migration = f"shop.{requiring.migrations()[-1]}"

    targets = ["shop_product.weight", "shop_product.note"] if named == "columns" else [migration]
    said = shop.run(requiring, "guard", "restore", *targets).ok().out

    assert f"shop_product.note takes NULL again, until no instance without {migration} is deployed." in said
    assert f"shop_product.weight has its database default again, until no instance without {migration}" in said
    shop.guard["ROLLBACK_WINDOW"] = 3600
    shop.contract(requiring)
    shop.migrate(requiring)
    note, weight = shop.facts("note"), shop.facts("weight")
    assert note is not None
    assert note.null
    assert weight is not None
    assert weight.default is not None
    shop.guard["ROLLBACK_WINDOW"] = 0
    shop.contract(requiring)
    assert _done(shop) == {"enabled", "note", "weight"}


def test_what_has_been_altered_since_is_not_made_to_fit_old_code_again(
    shop: Shop, first: Tree, requiring: Tree, trees: Trees
) -> None:
    shop.guard["KEEP_FOR"] = 0
    shop.set_aside(first, requiring)
    shop.contract(requiring)
    with shop.connection() as connection, connection.schema_editor() as editor:
        editor.execute("ALTER TABLE shop_product RENAME COLUMN weight TO heavy")

    said = shop.run(requiring, "guard", "restore", "shop_product.weight").ok(1).err

    assert "shop_product.weight has been changed since" in said


REQUIRED = "models.ForeignKey('shop.supplier', models.CASCADE)"

AGAIN = {
    "code": "models.CharField(max_length=20, default=''), preserve_default=False",
    "enabled": "models.BooleanField(default=True)",
    "rank": "models.PositiveIntegerField(db_index=True, default=3)",
}


def _again(trees: Trees, second: Tree, **fields: str) -> Tree:
    """A revert, as makemigrations writes it."""
    operations = ", ".join(f"migrations.AddField('product', '{name}', {field})" for name, field in fields.items())
    models = without(*(name for name in REMOVED if name not in fields))
    return trees.make(second, models, migrations=migration("0003_again", second.migrations()[-1], operations))


@pytest.mark.parametrize("state", ["waiting", "aside"])
def test_a_revert_takes_the_columns_over_with_their_data(
    shop: Shop, first: Tree, second: Tree, trees: Trees, state: str
) -> None:
    third = _again(trees, second, **AGAIN)
    found = _facts(shop)
    shop.deploy(first, second)
    if state == "aside":
        shop.contract(second)
    shop.insert(name="between")

    said = shop.migrate(third, "shop").out

    assert {column: shop.states()[column] for column in AGAIN} == dict.fromkeys(AGAIN, "withdrawn")
    assert shop.query("SELECT code FROM shop_product ORDER BY id") == [("c1",), ("c2",), ("",)]
    assert "guard: shop_product.code is back in use, with its data." in said
    assert "cannot delete" not in said
    # The release between goes on inserting until it is replaced.
    shop.insert(name="still between")
    for column in AGAIN:
        facts, before = shop.facts(column), found[column]
        assert facts is not None
        assert before is not None
        assert (facts.type, facts.null) == (before.type, False)
        assert facts.default is not None
    shop.empty()
    shop.arrive(third)
    shop.guard["KEEP_FOR"] = 0
    shop.contract(third)
    assert {column: shop.facts(column) for column in AGAIN} == {column: found[column] for column in AGAIN}


def test_unapplying_a_revert_leaves_the_columns_to_their_removal(
    shop: Shop, first: Tree, second: Tree, trees: Trees
) -> None:
    third = _again(trees, second, **AGAIN)
    found = _facts(shop)
    shop.deploy(first, second)
    relaxed = _facts(shop)
    shop.migrate(third, "shop")
    shop.empty()

    said = shop.migrate(third, "shop", "0002").out

    assert shop.states() == dict.fromkeys(COLUMNS, "waiting")
    assert _facts(shop) == relaxed
    assert "guard: shop_product.code stays for now" in said
    with shop.ledger() as ledger:
        log = [entry[1:3] for entry in orders.record_since(ledger, 0.0)]
    # Removed, added again with a default that is kept, and left to its removal.
    assert log.count(("expand", "shop_product.code")) == 3
    shop.insert(name="between")
    shop.migrate(second, "shop", "0001")
    assert shop.query("SELECT code FROM shop_product ORDER BY id") == [("c1",), ("c2",), (None,)]
    assert _facts(shop)["rank"] == found["rank"]


def test_unapplying_a_revert_with_the_removal_before_it_stops_nobody_who_uses_the_columns(
    shop: Shop, first: Tree, second: Tree, trees: Trees
) -> None:
    third = _again(trees, second, **AGAIN)
    found = _facts(shop)
    shop.deploy(first, second)
    shop.migrate(third, "shop")
    shop.empty()
    shop.arrive(first)

    shop.migrate(third, "shop", "0001")

    assert shop.query("SELECT code FROM shop_product ORDER BY id") == [("c1",), ("c2",)]
    assert _facts(shop) == found


def test_a_required_key_that_comes_back_waits_for_code_that_does_without(
    shop: Shop, first: Tree, second: Tree, trees: Trees
) -> None:
    third = _again(trees, second, supplier=REQUIRED)
    shop.deploy(first, second)

    held = shop.migrate(third)

    assert "0003_again" not in shop.recorded()
    assert "shop_product.supplier_id" in held.out
    shop.insert(name="between")
    shop.roll(shop.serving, third)
    shop.query("UPDATE shop_product SET supplier_id = 1")
    shop.migrate(third)
    facts = shop.facts("supplier_id")
    assert "0003_again" in shop.recorded()
    assert facts is not None
    assert (facts.null, [key.on_delete for key in facts.foreign_keys]) == (False, ["NO ACTION"])


@on_sqlite
def test_a_required_key_that_was_set_aside_is_restored_first(
    shop: Shop, first: Tree, second: Tree, trees: Trees
) -> None:
    third = _again(trees, second, supplier=REQUIRED)
    shop.set_aside(first, second)

    refused = shop.migrate(third, code=1)

    assert "Bring it back with `manage.py guard restore shop_product.supplier_id`" in refused.err
    shop.run(third, "guard", "restore", "shop_product.supplier_id").ok()
    shop.migrate(third)
    assert shop.states()["supplier_id"] == "waiting"


def test_another_column_of_the_name_waits_until_the_old_one_is_set_aside(
    shop: Shop, first: Tree, second: Tree, trees: Trees
) -> None:
    third = _again(trees, second, code="models.IntegerField(default=5)")
    serving = shop.arrive(first)
    shop.migrate(second)

    waits = shop.migrate(third, code=3)

    assert "0003_again" not in shop.recorded()
    assert "The name shop_product.code is still taken by the column that" in waits.out
    assert "This release's models need shop_product.code" in waits.err
    newer = shop.roll(serving, second)
    done = shop.migrate(third)

    assert "0003_again" in shop.recorded()
    assert "shop_product.code is set aside" in done.out
    assert shop.query("SELECT DISTINCT code FROM shop_product") == [(5,)]
    step = shop.step("shop_product.code")
    assert step.state is rows.StepState.ASIDE
    gone = shop.run(third, "guard", "restore", "shop_product.code").ok(1)
    assert f"The old one is kept as shop_product.{step.aside_name}." in gone.err
    # The release whose migration adds it is no old code for it.
    shop.roll(newer, third)
    assert [row.state for row in _instances(shop)][-1] is rows.InstanceState.LIVE
    # Unapplied, the name means the old one again, and that comes back as well.
    shop.leave(_instances(shop)[-1].id)
    shop.migrate(third, "shop", "0001")
    assert shop.query("SELECT code FROM shop_product ORDER BY id") == [("c1",), ("c2",)]
    assert shop.states()["code"] == "withdrawn"


def _instances(shop: Shop) -> list[rows.Instance]:
    with shop.ledger() as ledger:
        return sorted(ledger.instances(), key=lambda row: row.registered_at)


def test_a_name_that_was_used_twice_comes_back_as_the_one_that_is_meant(
    shop: Shop, first: Tree, second: Tree, trees: Trees
) -> None:
    third = _again(trees, second, code="models.IntegerField(default=5)")
    fourth = trees.make(
        third,
        without(*REMOVED),
        migrations=migration("0004_gone", "0003_again", "migrations.RemoveField('product', 'code')"),
    )
    shop.set_aside(first, second)
    shop.roll(shop.serving, third)
    shop.migrate(third)
    with shop.ledger() as ledger:
        for row in ledger.instances():
            ledger.leave(row.id)
    shop.set_aside(third, fourth)
    aside = [s for s in _steps(shop) if s.column == "code" and s.kind is rows.StepKind.COLUMN]
    assert [s.state for s in aside] == [rows.StepState.ASIDE, rows.StepState.ASIDE]

    shop.run(fourth, "guard", "restore", "shop_product.code").ok()
    assert shop.query("SELECT code FROM shop_product ORDER BY id") == [(5,), (5,)]
    shop.contract(fourth)
    shop.empty()
    shop.migrate(fourth, "shop", "0003")
    assert shop.query("SELECT code FROM shop_product ORDER BY id") == [(5,), (5,)]
    shop.migrate(fourth, "shop", "0001")

    assert shop.query("SELECT code FROM shop_product ORDER BY id") == [("c1",), ("c2",)]


def _steps(shop: Shop) -> tuple[rows.Step, ...]:
    with shop.ledger() as ledger:
        return ledger.steps()


def test_a_field_that_comes_back_with_a_default_in_the_database_is_another_one(
    shop: Shop, first: Tree, second: Tree, trees: Trees
) -> None:
    third = _again(trees, second, enabled="models.BooleanField(db_default=True)")
    shop.deploy(first, second)

    shop.migrate(third)

    facts = shop.facts("enabled")
    assert facts is not None
    assert facts.default is not None
    assert shop.states()["enabled"] == "aside"


def test_a_leftover_without_the_index_that_the_field_wants_gets_it(shop: Shop, first: Tree, trees: Trees) -> None:
    second = trees.make(first, without("note", "enabled"))
    third = trees.make(
        second,
        without("note"),
        migrations=migration(
            "0003_again",
            second.migrations()[-1],
            "migrations.AddField('product', 'enabled', models.BooleanField(default=True, db_index=True))",
        ),
    )
    shop.deploy(first, second)

    shop.migrate(third)

    with shop.connection() as connection, connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "shop_product")
    assert [c["columns"] for c in found.values() if c["index"] and c["columns"] == ["enabled"]] == [["enabled"]]


@pytest.mark.parametrize("state", ["waiting", "aside"])
def test_a_leftover_that_was_dropped_by_hand_is_added_anew(shop: Shop, first: Tree, trees: Trees, state: str) -> None:
    second = trees.make(first, without("enabled", "note"))
    third = trees.make(
        second,
        without("note"),
        migrations=migration(
            "0003_again",
            second.migrations()[-1],
            "migrations.AddField('product', 'enabled', models.BooleanField(default=True))",
        ),
    )
    shop.deploy(first, second)
    if state == "aside":
        shop.contract(second)
    for column in ("enabled", "note"):
        step = shop.step(f"shop_product.{column}")
        shop.query(f"ALTER TABLE shop_product DROP COLUMN {step.aside_name or column}")

    said = shop.migrate(third, "shop").out

    assert "shop_product.enabled was dropped by hand: it is added anew, empty." in said
    assert "enabled" in shop.columns()
    shop.empty()
    said = shop.migrate(third, "shop", "0001").out
    assert "shop_product.note was dropped by hand: it is added anew, empty." in said
    assert {"enabled", "note"} <= shop.columns()


@pytest.mark.parametrize("state", ["waiting", "aside"])
def test_a_required_key_that_comes_back_with_a_default_is_taken_over_beside_code_that_does_without(
    shop: Shop, first: Tree, second: Tree, trees: Trees, state: str
) -> None:
    third = _again(
        trees, second, supplier="models.ForeignKey('shop.supplier', models.CASCADE, default=1), preserve_default=False"
    )
    shop.deploy(first, second)
    if state == "aside":
        shop.contract(second)
    shop.insert(name="between")

    said = shop.migrate(third).out

    assert "cannot delete what its rows refer to until they are replaced." in said
    assert shop.states()["supplier_id"] == "withdrawn"
    # The release between goes on inserting until it is replaced.
    shop.insert(name="still between")
    assert shop.query("SELECT DISTINCT supplier_id FROM shop_product") == [(1,)]
    facts = shop.facts("supplier_id")
    assert facts is not None
    assert facts.default is not None
    assert (facts.null, [key.on_delete for key in facts.foreign_keys]) == (False, ["NO ACTION"])
