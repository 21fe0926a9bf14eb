"""NOT NULL on a column with NULLs: filled and proven beside everybody else, and left as it was where that fails."""

from __future__ import annotations

import pytest

from guard.ledger import rows
from sampleapp.stage.processes import until
from tests.integration.gate.fixtures import FIRST, without
from tests.integration.gate.harness import Running, Shop, Tree, Trees, connect

STRICT = FIRST.replace("models.TextField(null=True)", "models.TextField(default='none')")


@pytest.fixture(scope="session")
def strict(trees: Trees, first: Tree) -> Tree:
    return trees.make(first, STRICT)


def checks(shop: Shop) -> list[tuple[object, ...]]:
    """Checks of guard's own on the table."""
    return shop.query("SELECT conname FROM pg_constraint WHERE conname LIKE 'guard_not_null%'")


@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
def test_nulls_that_come_until_the_end_are_filled_and_then_forbidden(shop: Shop, first: Tree, strict: Tree) -> None:
    shop.deploy(first, strict)
    shop.insert(name="n", enabled=True, code="c", slug="n", note=None, rank=1, supplier_id=1, backup_id=None)
    assert shop.query("SELECT count(*) FROM shop_product WHERE note IS NULL") == [(1,)]

    shop.contract(strict)

    facts = shop.facts("note")
    assert facts is not None
    assert not facts.null
    assert {note for (note,) in shop.query("SELECT note FROM shop_product WHERE name = 'n'")} == {"none"}
    if shop.vendor == "postgres":
        assert checks(shop) == []
        (said,) = [text for (text,) in shop.query("SELECT details FROM guard_event WHERE action = 'done'")]
        assert str(said).index("NOT VALID") < str(said).index("VALIDATE") < str(said).index("SET NOT NULL")


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
def test_given_up_for_a_lock_nothing_of_it_stays(shop: Shop, first: Tree, strict: Tree) -> None:
    shop.deploy(first, strict)
    before = shop.facts("note")
    with connect(shop.database) as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        taking: Running | None = None
        try:
            cursor.execute("SELECT count(*) FROM shop_product")
            taking = shop.start(strict, "guard", "contract")
            # The check is what it adds first, so it meets the lock there.
            until("it waits", lambda: taking.out.exists() and "held by" in taking.out.read_text())
            assert checks(shop) == []
        finally:
            cursor.execute("ROLLBACK")
        taking.wait().ok()
    assert shop.facts("note") != before
    assert checks(shop) == []


def test_the_next_migrate_takes_it_where_the_table_is_small_and_what_else_is_ready(
    shop: Shop, first: Tree, trees: Trees
) -> None:
    strict = trees.make(first, without("backup", models=STRICT))
    shop.deploy(first, strict)

    shop.migrate(strict)

    facts = shop.facts("note")
    assert facts is not None
    assert not facts.null
    assert shop.step("shop_product.backup_id").state is rows.StepState.ASIDE


_FROZEN = {
    "postgres": (
        "CREATE FUNCTION frozen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'frozen'; END $$",
        "CREATE TRIGGER frozen BEFORE UPDATE ON shop_product FOR EACH ROW EXECUTE FUNCTION frozen()",
    ),
    "mariadb": (
        "CREATE TRIGGER frozen BEFORE UPDATE ON shop_product FOR EACH ROW "
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'frozen'",
    ),
}


@pytest.mark.parametrize("vendor", list(_FROZEN), indirect=True)
def test_what_a_trigger_forbids_to_fill_does_not_keep_other_steps(shop: Shop, first: Tree, trees: Trees) -> None:
    strict = trees.make(first, without("backup", models=STRICT))
    shop.deploy(first, strict)
    shop.insert(name="n", enabled=True, code="c", slug="n", note=None, rank=1, supplier_id=1, backup_id=None)
    for sql in _FROZEN[shop.vendor]:
        shop.query(sql)

    done = shop.contract(strict, "--json", code=1)

    outcomes = {step["target"]: (step["outcome"], step["detail"]) for step in done.json["steps"]}
    assert outcomes["shop_product.backup_id"][0] == "set aside"
    assert outcomes["shop_product.note"][0] == "failed"
    assert "frozen" in outcomes["shop_product.note"][1]
