"""Foreign keys that stay loose while code that does not know them is deployed, and what makes them strict.

A foreign key that is taken over means something again: code that does not know it could not delete what its rows refer
to. Until no such code is left, the database itself lets go of the rows (ON DELETE SET NULL, or CASCADE). Code that
knows the field does first what its own `on_delete` says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard.ledger import protocol, rows
from guard.ledger.store import Ledger
from guard.phases import alter
from guard.steps import slating
from guard.steps.ddl import ColumnFacts, Ddl, ForeignKey, ddl_for
from guard.steps.report import Report
from guard.steps.standing_in import Author

#: Key of a step's payload: the foreign keys as they are to be.
STRICT = "strict"

#: Key of a step's payload: the ON DELETE action that they have until then.
LOOSE = "loose"


def action(field: models.Field[Any, Any], before: Iterable[str]) -> str:
    """The ON DELETE action that a field which comes back can have beside code that does not know it; empty for none.

    It is what the key had while it waited, as `before` has it, if the field can bear that. One of a required column
    cannot: the rows of a table that is known without it are not to go behind anybody's back, nor is the row that its
    default names, without which nothing could be inserted. And code that does nothing on delete, or leaves it to an
    action of the database, asks the database: the answer must be the field's own.
    """
    on_delete = getattr(field.remote_field, "on_delete", None)
    if on_delete in (None, models.DO_NOTHING) or alter.on_delete_sql(field):
        return ""
    if field.null and "SET NULL" in before:
        return "SET NULL"
    return "CASCADE" if on_delete is models.CASCADE and "CASCADE" in before else ""


def slate(
    ledger: Ledger, author: Author, model: type[models.Model], field: models.Field[Any, Any], step: rows.Step
) -> str:
    """Slate the step that makes a foreign key strict which `step` has left, if it can be loose: its action, else empty.

    To be called before the leftover is given back, so that where DDL commits by itself, somebody knows of it.
    """
    column = field.column or ""
    found, left = (_facts(step, column, key) for key in ("found", "left"))
    if found is None or left is None or not found.foreign_keys:
        return ""
    loose = action(field, [key.on_delete for key in left.foreign_keys])
    if not loose or all(key.on_delete == loose for key in found.foreign_keys):
        return ""
    app, name = author.migration
    parent: Any = field.remote_field
    slating.slate(
        ledger,
        rows.Step(
            id=0,
            kind=rows.StepKind.KEY,
            state=rows.StepState.WAITING,
            app=app,
            migration=name,
            replaced_by=author.replaced_by,
            table=model._meta.db_table,
            column=column,
            model=model._meta.label,
            field=field.name,
            payload={
                STRICT: [dataclasses.asdict(key) for key in found.foreign_keys],
                LOOSE: loose,
                # Whoever deletes its rows is concerned, and need not have had the app.
                protocol.TABLES: [parent.model._meta.db_table],
            },
        ),
    )
    return loose


def _facts(step: rows.Step, column: str, key: str) -> ColumnFacts | None:
    """What the payload of a removal has of the column; it may be that of a whole table."""
    facts = step.payload.get(key)
    if facts is not None and not step.column:
        facts = facts.get(column)
    return ColumnFacts.from_json(facts) if facts else None


def open_steps(ledger: Ledger, table: str, column: str = "") -> list[rows.Step]:
    """Steps that wait to make foreign keys of the column strict; without one, of any column of the table.

    Raises Conflict where one of them is being taken: it would change the column after whoever asks.
    """
    return slating.not_sealed(
        step for step in ledger.steps(rows.StepState.WAITING, rows.StepState.SEALED) if _about(step, table, column)
    )


def _about(step: rows.Step, table: str, column: str) -> bool:
    return step.kind is rows.StepKind.KEY and step.table == table and column in ("", step.column)


def as_declared(facts: ColumnFacts, steps: Iterable[rows.Step]) -> ColumnFacts:
    """The column as its field declares it, without what these steps keep for other code."""
    for step in steps:
        strict = tuple(_strict(step, key) or key if _is_loose(step, key) else key for key in facts.foreign_keys)
        facts = dataclasses.replace(facts, foreign_keys=strict)
    return facts


def _strict(step: rows.Step, key: ForeignKey) -> ForeignKey | None:
    """What the key is to be; its parent may have another name by now."""
    wanted = (ForeignKey(**each) for each in step.payload[STRICT])
    return next((each for each in wanted if each.to_column == key.to_column), None)


def _is_loose(step: rows.Step, key: ForeignKey) -> bool:
    strict = _strict(step, key)
    return strict is not None and strict.on_delete != key.on_delete == step.payload[LOOSE]


def is_loose(ddl: Ddl, step: rows.Step) -> bool:
    """Whether there is a foreign key that the step has to make strict."""
    now = ddl.facts(step.table, step.column)
    return now is not None and any(_is_loose(step, key) for key in now.foreign_keys)


def tighten(ddl: Ddl, step: rows.Step) -> None:
    """The contract step: the foreign keys as Django has them. What others have made of them meanwhile stays."""
    now = ddl.facts(step.table, step.column)
    for key in now.foreign_keys if now else ():
        strict = _strict(step, key)
        if strict is not None and _is_loose(step, key):
            ddl.set_on_delete(step.table, step.column, key, strict.on_delete, strict.name)


def can_loosen(ddl: Ddl, step: rows.Step) -> bool:
    """Whether the foreign keys are as this step has left them, and can be loose as they were before."""
    now = ddl.facts(step.table, step.column)
    if now is None or not now.foreign_keys or (step.payload[LOOSE] == "SET NULL" and not now.null):
        return False
    return all(
        (strict := _strict(step, key)) is not None and strict.on_delete == key.on_delete for key in now.foreign_keys
    )


def loosen(ddl: Ddl, step: rows.Step) -> None:
    """Undo `tighten`."""
    now = ddl.facts(step.table, step.column)
    for key in now.foreign_keys if now else ():
        if not _is_loose(step, key):
            ddl.set_on_delete(step.table, step.column, key, step.payload[LOOSE])


class Tighten(Operation):
    """Goes before an operation that makes another thing of a column: its foreign keys are strict then.

    The steps for them would lose track of what they are about, or mean what they are not about any more. `field`: what
    the column's field becomes, where only code makes a difference of that: the key stays loose if this one's may be.
    """

    reversible = True
    reduces_to_sql = False

    def __init__(
        self,
        targets: Sequence[tuple[str, str]],
        model_name: str,
        report: Report,
        field: models.Field[Any, Any] | None = None,
    ) -> None:
        self.targets = targets
        self.model_name = model_name
        self.report = report
        self.field = field

    def describe(self) -> str:
        return "Makes foreign keys strict that were loose for code which does not know them"

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Nothing changes."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        ledger = Ledger(schema_editor.connection)
        ddl = ddl_for(schema_editor.connection, schema_editor.execute)
        for table, column in self.targets:
            done = (step for step in ledger.steps(rows.StepState.DONE) if _about(step, table, column))
            for step in (*open_steps(ledger, table, column), *done):
                loose = step.payload[LOOSE]
                if self.field is not None and action(self.field, [loose]) == loose:
                    continue
                if step.state is rows.StepState.WAITING:
                    tighten(ddl, step)
                    self.report.made_again += [key["name"] for key in step.payload[STRICT]]
                # What is done is not loosened any more, whoever comes back.
                ledger.save(step, protocol.void(step, ledger.now()))

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Nothing is left to undo."""
