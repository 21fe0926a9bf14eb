"""What every instance has to watch before a step is taken, and what it need not."""

from __future__ import annotations

import dataclasses

from guard.gate.contract import Outcome
from guard.gate.orders import Desk
from guard.ledger import connecting
from guard.ledger.rows import Step, StepState
from tests.integration.ledger.harness import CONFIG, LEASE, NEW, Place, desk, registration, step

COLUMNS = ("one", "two", "three")


def slated(at: Desk, column: str) -> Step:
    facts = at.gate.ddl.facts("shop_item", column)
    assert facts is not None
    return at.ledger.slate(step(column, payload={"found": facts.to_json(), "left": facts.to_json()}))


def report(at: Desk, number: int) -> None:
    """Two beats of a process: it learns what is slated, and tells what it has seen."""
    slated = at.ledger.watch_list()
    at.ledger.acknowledge("new", slated.epoch)
    assert at.ledger.beat("new", lease=LEASE, watched_epoch=slated.epoch, flush_no=number)


def test_one_report_clears_every_column_though_taking_one_changes_the_watch_list(each: Place) -> None:
    with connecting.private(each.alias) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE shop_item (id integer, one integer NULL, two integer NULL, three integer NULL)")
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0002_remove_old', '2026-01-01')"
        )
    try:
        with desk(each, dataclasses.replace(CONFIG, keep_for=0.0)) as at:
            at.ledger.register(registration("new", release="r2"), NEW, lease=LEASE)
            for column in COLUMNS:
                slated(at, column)
            waiting = at.gate.round(patience=0.0)
            assert [{b.code for b in a.verdict.blockers} for a in waiting if a.verdict] == [{"not-watching"}] * 3

            report(at, 1)
            taken = at.gate.round(patience=30.0)

            assert [a.outcome for a in taken] == [Outcome.ASIDE, Outcome.DONE] * 3, taken
            assert {s.state for s in at.ledger.steps()} == {StepState.DONE}
            # What is slated from now on waits for the next report.
            with at.ledger.connection.cursor() as cursor:
                cursor.execute("ALTER TABLE shop_item ADD COLUMN four integer NULL")
            slated(at, "four")
            (waits,) = at.gate.round(patience=0.0)
            assert waits.verdict is not None
            assert [b.code for b in waits.verdict.blockers] == ["not-watching"]
    finally:
        with connecting.private(each.alias) as connection, connection.cursor() as cursor:
            cursor.execute("DROP TABLE shop_item")
            cursor.execute("DELETE FROM django_migrations WHERE app = 'shop'")
