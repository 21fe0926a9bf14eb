"""Finds and stores contract steps where an operation is applied or unapplied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from guard.ledger import protocol, rows
from guard.ledger.store import Ledger
from guard.ledger.tables import Conflict
from guard.steps import leftovers
from guard.steps.ddl import Ddl

Pair = tuple[str, str]

#: Key of a step's payload: the migration that has taken the leftover over, as [app, name]. It stays where unapplying
#: that gives the leftover back to its step, until the removal itself is unapplied, or applied again.
GIVEN_TO = "given_to"

#: Key of a step's payload: it was withdrawn, and what it was about stays in the database, in no model.
STAYS = "stays"

OPEN = (rows.StepState.WAITING, rows.StepState.ASIDE)


def slate(ledger: Ledger, step: rows.Step) -> rows.Step:
    """Store a contract step. One that was finished for the same migration is void: it has been unapplied since.

    Raises ProtocolError where the same step is being taken, or its target is set aside.
    """
    for done in ledger.steps(rows.StepState.DONE):
        if _same_work(done, step):
            ledger.save(done, protocol.void(done, ledger.now()))
    return ledger.slate(step)


def stored(ledger: Ledger, step: rows.Step) -> rows.Step | None:
    """The row of the same piece of work, if there is one."""
    return next((other for other in ledger.steps() if _same_work(other, step)), None)


def _same_work(one: rows.Step, other: rows.Step) -> bool:
    return (one.kind, one.app, one.migration, one.table, one.column) == (
        other.kind,
        other.app,
        other.migration,
        other.table,
        other.column,
    )


def _removals(ledger: Ledger, table: str, column: str, states: Iterable[rows.StepState]) -> list[rows.Step]:
    """Steps that remove this column (or table, where `column` is empty), the newest last."""
    kind = rows.StepKind.COLUMN if column else rows.StepKind.TABLE
    return [
        step for step in ledger.steps(*states) if step.kind is kind and (step.table, step.column) == (table, column)
    ]


def keeping(ledger: Ledger, table: str, column: str) -> list[rows.Step]:
    """Steps that wait to take from the column what the expand step keeps for old code: its default, or NULL.

    Raises Conflict where one of them is being taken: it would change the column after whoever asks.
    """
    return not_sealed(
        step
        for step in ledger.steps(rows.StepState.WAITING, rows.StepState.SEALED)
        if step.kind in (rows.StepKind.DEFAULT, rows.StepKind.NULLABLE) and (step.table, step.column) == (table, column)
    )


def not_sealed(steps: Iterable[rows.Step]) -> list[rows.Step]:
    """Steps that wait to take what is kept for other code. Raises Conflict where one of them is being taken."""
    found = list(steps)
    for step in found:
        if step.state is rows.StepState.SEALED:
            raise Conflict(f"What is kept for old code in {step.target} is being taken right now.")
    return found


def open_step(ledger: Ledger, table: str, column: str) -> rows.Step | None:
    """The removal that waits, or is set aside, of what has (or last had) the column's name; else None.

    Or the last one, where it was withdrawn and has left its leftover for good.
    """
    removals = _removals(ledger, table, column, rows.StepState)
    found = [
        step
        for step in removals
        if step.state in OPEN and not step.payload.get(protocol.RECLAIMED) and above(ledger, step) is None
    ]
    if found:
        return found[-1]
    return removals[-1] if removals and stays(removals[-1]) else None


def left(step: rows.Step) -> rows.Step:
    """A removal that is being withdrawn, as it is to be written: a later migration may meet what it leaves."""
    if step.kind not in protocol.REMOVING or "found" not in step.payload:
        return step
    return replace(step, payload={**step.payload, STAYS: True})


def stays(step: rows.Step) -> bool:
    """Whether it was withdrawn, and nothing has become of its leftover as far as the ledger knows."""
    return step.state is rows.StepState.WITHDRAWN and bool(step.payload.get(STAYS))


def withdrawn(step: rows.Step, now: float, **payload: object) -> rows.Step:
    """The step as it is to be written where its leftover is given back to use."""
    if stays(step):
        return with_payload(step, **{STAYS: False}, **payload)
    after = protocol.withdraw(step, now)
    return replace(after, payload={**after.payload, **payload})


def reslated(step: rows.Step, now: float, **payload: object) -> rows.Step:
    """The step as it is to be written where its leftover is given back to it: it waits again."""
    after = protocol.reslate(step, now)
    return replace(after, payload={**after.payload, **payload})


def removal_by(ledger: Ledger, table: str, column: str, migrations: Iterable[Pair]) -> rows.Step | None:
    """The removal of this column by one of the migrations, in whatever state; else None."""
    wanted = set(migrations)
    found = [s for s in _removals(ledger, table, column, rows.StepState) if wanted.intersection(protocol.names(s))]
    return found[-1] if found else None


def above(ledger: Ledger, step: rows.Step) -> rows.Step | None:
    """The step that has set the whole table of this column's step aside, and the column with it; else None."""
    if not step.column:
        return None
    tables = _removals(ledger, step.table, "", (rows.StepState.ASIDE, rows.StepState.SEALED))
    return next((table for table in tables if table.aside_name and table.slated_at >= step.slated_at), None)


def beneath(ledger: Ledger, table: rows.Step) -> list[rows.Step]:
    """Steps of columns that are set aside in a table which is set aside itself."""
    return [
        step
        for step in ledger.steps(rows.StepState.ASIDE)
        if step.column and step.table == table.table and step.slated_at <= table.slated_at
    ]


def given_to(ledger: Ledger, table: str, column: str, migration: Pair) -> rows.Step | None:
    """The leftover that this migration has taken over already, where it was interrupted before it was recorded."""
    found = _removals(ledger, table, column, (rows.StepState.WITHDRAWN,))
    return next((step for step in found if step.payload.get(GIVEN_TO) == list(migration)), None)


def forbidding(step: rows.Step) -> set[str]:
    """Columns of what the removal takes away whose foreign keys forbade deleting what its rows refer to."""
    found = step.payload.get("found") or {}
    columns = {step.column: found} if step.column and found else found
    return {
        column
        for column, facts in columns.items()
        if any(key["on_delete"] in ("NO ACTION", "RESTRICT") for key in facts["foreign_keys"])
    }


def taken_over_by(ledger: Ledger, table: str, column: str, migrations: Iterable[Pair]) -> rows.Step | None:
    """The removal whose leftover one of the migrations has taken over, and that its unapplying gives it back to.

    Open already, where an attempt to do so was interrupted before the migration was recorded as unapplied.
    """
    wanted = set(migrations)
    found = [
        step
        for step in _removals(ledger, table, column, (rows.StepState.WITHDRAWN, *OPEN))
        if tuple(step.payload.get(GIVEN_TO) or ()) in wanted and not step.payload.get(protocol.RECLAIMED)
    ]
    return found[-1] if found else None


def is_there(ddl: Ddl, step: rows.Step) -> bool:
    """Whether the database still has what the step is about, in place or set aside."""
    target = leftovers.of(ddl, step)
    return bool(step.aside_name and target.exists(step.aside_name)) or target.exists()


def note_gone(ledger: Ledger, step: rows.Step) -> rows.Step:
    """Somebody has dropped by hand what waits or is set aside, or was withdrawn and left."""
    if stays(step):
        return ledger.save(step, with_payload(step, **{STAYS: False}))
    gone = protocol.Found(original=False, aside=False)
    return ledger.save(step, protocol.reconcile(step, gone, ledger.now()))


def take_name(ledger: Ledger, table: str, column: str) -> None:
    """Another column gets the name that setting aside, or erasing, has freed."""
    for step in _removals(ledger, table, column, (rows.StepState.ASIDE, rows.StepState.DONE)):
        if not step.payload.get(protocol.RECLAIMED):
            ledger.save(step, protocol.reclaim(step, ledger.now()))


def give_name_up(ledger: Ledger, table: str, column: str) -> None:
    """The column that had taken the name is gone again: the name means the one before it."""
    found = _removals(ledger, table, column, (rows.StepState.ASIDE, rows.StepState.DONE))
    taken = [step for step in found if step.payload.get(protocol.RECLAIMED)]
    if taken:
        ledger.save(taken[-1], protocol.reclaim(taken[-1], ledger.now(), taken=False))


def void_columns(ledger: Ledger, table: str) -> None:
    """The table is gone, by unapplying what made it, and with it all that was to be done to its columns."""
    for step in ledger.steps(rows.StepState.WAITING, rows.StepState.ASIDE, rows.StepState.DONE):
        if step.table == table and step.column:
            gone = note_gone(ledger, step) if step.state is rows.StepState.ASIDE else step
            ledger.save(gone, protocol.void(gone, ledger.now()))


def with_payload(step: rows.Step, **payload: object) -> rows.Step:
    """The step as it is to be written with more in its payload."""
    return replace(step, version=step.version + 1, payload={**step.payload, **payload})
