"""AlterField beside old code: NULL stays allowed until it has gone; what a pending step keeps, every alteration keeps.

Django's own alteration does the work. It is lent fields that say of the column what is true in the database: nullable
where NULL may still arrive, and with the default that is kept for old code.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import AlterField, RenameField
from django.db.migrations.state import ProjectState
from django.db.models.expressions import RawSQL

from guard.ledger import protocol, rows
from guard.ledger.store import Ledger
from guard.phases import defaults
from guard.steps import slating
from guard.steps.add_field import as_db_default
from guard.steps.ddl import ddl_for
from guard.steps.relaxing import NO_DEFAULT, NoDefault, static_default
from guard.steps.report import Report
from guard.steps.standing_in import StandIn

_Field = Any

#: Key of a step's payload: rows that are there have not been filled yet.
UNFILLED = "unfilled"


class SteppedAlterField(StandIn, AlterField):
    """Stands in for an AlterField that forbids NULL, or whose column a pending step keeps for old code."""

    #: Whether forbidding NULL waits for the contract step.
    splits: bool = False
    #: Whether nothing behind it in its migration can meet a NULL, so that rows may be filled behind its transaction.
    fills_behind: bool = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        after = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, after):
            return
        before = from_state.apps.get_model(app_label, self.model_name)
        if not (self.splits or self._keeps(schema_editor, before)):
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        new = after._meta.get_field(self.name)
        alter(
            schema_editor,
            before,
            after,
            (before._meta.get_field(self.name), new),
            with_default_of(new, self),
            tidy=self._step(after, new) if self.splits else None,
            report=self.author.report,
            fills_behind=self.fills_behind,
        )

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        after = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, after):
            return
        before = from_state.apps.get_model(app_label, self.model_name)
        if not self._keeps(schema_editor, before):
            # Not this one's own `database_forwards`, which is what Django's calls.
            AlterField.database_forwards(self, app_label, schema_editor, from_state, to_state)
            return
        fields = (before._meta.get_field(self.name), after._meta.get_field(self.name))
        alter(schema_editor, before, after, fields, fields[1], tidy=None, report=self.author.report)

    def _keeps(self, schema_editor: BaseDatabaseSchemaEditor, model: type[models.Model]) -> bool:
        """Whether the column keeps something for old code. One that is no column keeps nothing."""
        column = getattr(model._meta.get_field(self.name), "column", None)
        return bool(column and slating.keeping(Ledger(schema_editor.connection), model._meta.db_table, column))

    def _step(self, model: type[models.Model], field: _Field) -> rows.Step:
        """The contract step that forbids NULL when no code writes it any more."""
        app, name = self.author.migration
        return rows.Step(
            id=0,
            kind=rows.StepKind.NULLABLE,
            state=rows.StepState.WAITING,
            app=app,
            migration=name,
            replaced_by=self.author.replaced_by,
            table=model._meta.db_table,
            column=field.column,
            model=model._meta.label,
            field=field.name,
        )


class SteppedRenameField(StandIn, RenameField):
    """Stands in for a RenameField of a column that this very plan made, and that keeps something for old code."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        after = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, after):
            before = from_state.apps.get_model(app_label, self.model_name)
            fields = (before._meta.get_field(self.old_name), after._meta.get_field(self.new_name))
            alter(schema_editor, before, after, fields, fields[1], tidy=None, report=self.author.report)


def with_default_of(field: _Field, operation: AlterField) -> _Field:
    """The field with the operation's default: with preserve_default=False the state has none."""
    source = copy.copy(field)
    source.__dict__.pop("_get_default", None)
    source.default = operation.field.default
    return source


def until_required(fields: tuple[_Field, _Field], source: _Field, connection: Any) -> _Field:
    """A field that forbids NULL, as its column is beside old code: nullable, with the default that it can have."""
    old, new = fields
    kept = _kept(source, new, connection, None, same_type=_same_type(old, new, connection))
    return _lent(new, null=True, default=kept)


def alter(
    schema_editor: BaseDatabaseSchemaEditor,
    before: type[models.Model],
    after: type[models.Model],
    fields: tuple[_Field, _Field],
    source: _Field,
    *,
    tidy: rows.Step | None,
    report: Report,
    fills_behind: bool = False,
) -> None:
    """Alter a column, and keep what its pending steps keep.

    `source` has the new default. With `tidy`, a step as it is to be slated, forbidding NULL waits for it. Where
    `fills_behind` lets it, NULLs that are there are left to whoever reads the report when the migration has committed.
    """
    old, new = fields
    connection = schema_editor.connection
    ledger = Ledger(connection)
    ddl = ddl_for(connection, schema_editor.execute)
    table = before._meta.db_table
    pending = slating.keeping(ledger, table, old.column)
    found = ddl.facts(table, old.column)
    if found is None and old.column != new.column and (found := ddl.facts(table, new.column)) is not None:
        # Where DDL commits by itself, an attempt that was interrupted has given it its new name.
        if not (pending := pending or slating.keeping(ledger, table, new.column)):
            return
        old = copy.copy(old)
        old.column = new.column
    nullable = next((s for s in pending if s.kind is rows.StepKind.NULLABLE), None)
    default = next((s for s in pending if s.kind is rows.StepKind.DEFAULT), None)
    if found is None or not (pending or tidy):
        schema_editor.alter_field(before, old, new)
        return
    if tidy is not None and not old.null and nullable is None:
        tidy = None
    own = found.default is not None and (default is not None or bool(nullable and nullable.payload.get("kept")))
    stays_nullable = not new.null and (tidy is not None or nullable is not None)
    kept = _kept(source, new, connection, found.default if own else None, same_type=_same_type(old, new, connection))
    was = _lent(old, null=True if nullable else old.null, default=RawSQL(_escaped(found.default), []) if own else None)
    now = _lent(new, null=True if stays_nullable else new.null, default=kept)
    step = None
    wanted = tidy or nullable
    if stays_nullable and wanted is not None:
        first = {"found": {**found.to_json(), "default": None if own else found.default}, "kept": kept is not None}
        # One statement within the migration's transaction would lock every row until its end.
        behind = fills_behind and kept is not None and connection.vendor == "postgresql" and connection.in_atomic_block
        if behind and filling(schema_editor, source, new) is not NO_DEFAULT:
            first[UNFILLED] = True
        # Before the first change: where DDL commits by itself, the next attempt must know.
        step = slating.slate(ledger, replace(wanted, id=0, payload=first))
    if own and connection.vendor == "postgresql" and not _same_type(old, new, connection):
        # A default of another type may not be cast; until this transaction ends nobody sees that it is gone.
        ddl.drop_default(table, old.column)
        was = _lent(old, null=was.null, default=None)
    schema_editor.alter_field(before, was, now)
    table, column = after._meta.db_table, new.column
    unfilled = bool(step is not None and step.payload.get(UNFILLED))
    if step is not None and not unfilled and (value := filling(schema_editor, source, new)) is not NO_DEFAULT:
        ddl.fill_nulls(table, column, new.get_db_prep_save(value, connection))
    tidied = default if kept is not None and not stays_nullable else None
    _note(ledger, ddl, pending, step, tidied, after, new, kept=kept is not None)
    if step is not None:
        report.nullable.append((slating.stored(ledger, step) or step, 0 if unfilled else ddl.nulls(table, column)))
        report.unfilled |= unfilled


def _note(
    ledger: Ledger,
    ddl: Any,
    pending: list[rows.Step],
    nullable: rows.Step | None,
    default: rows.Step | None,
    model: type[models.Model],
    field: _Field,
    *,
    kept: bool,
) -> None:
    """Bring the pending steps to what the column is now; what it no longer needs is withdrawn."""
    left = ddl.facts(model._meta.db_table, field.column)
    assert left is not None
    staying = [step for step in (nullable, default) if step is not None]
    for step in pending:
        current = ledger.step(step.id)
        if current is not None and all(step.id != other.id for other in staying):
            ledger.save(current, protocol.withdraw(current, ledger.now()))
    for step in staying:
        current = earlier = ledger.step(step.id)
        assert current is not None
        assert earlier is not None
        here = (model._meta.db_table, field.column)
        if (current.table, current.column) != here:
            # Another name is another piece of work.
            current = slating.slate(
                ledger, replace(current, id=0, table=here[0], column=here[1], field=field.name, model=model._meta.label)
            )
        payload = {**current.payload, "left": left.to_json()}
        if current.kind is rows.StepKind.NULLABLE:
            # It may have waited since before this: then the default is the field's own by now, or no more.
            payload["kept"] = kept
        ledger.save(current, replace(current, version=current.version + 1, payload=payload))
        if earlier.id != current.id:
            # Last: until then an attempt that was interrupted finds by it that the column keeps something.
            ledger.save(earlier, protocol.withdraw(earlier, ledger.now()))


def _kept(source: _Field, new: _Field, connection: Any, present: str | None, *, same_type: bool) -> object | None:
    """The default that the column keeps for old code, as a `db_default`; None where it needs, or can have, none."""
    if new.null or new.has_db_default():
        return None
    own = defaults.expression(source, connection)
    if own and (not _no_two_alike(new) or isinstance(new, models.UUIDField)):
        return RawSQL(_escaped(own), [])
    value = static_default(source)
    if _no_two_alike(new):
        return None
    if not isinstance(value, NoDefault):
        return as_db_default(value, new, connection)
    return RawSQL(_escaped(present), []) if present is not None and same_type else None


def filling(schema_editor: BaseDatabaseSchemaEditor, source: _Field, new: _Field) -> object:
    """What Django itself would put where NULL is, or NO_DEFAULT: one value is none for many rows of a unique column."""
    if new.has_db_default() or _no_two_alike(new):
        return NO_DEFAULT
    value = schema_editor._effective_default(source)  # type: ignore[attr-defined]
    return NO_DEFAULT if value is None else value


def _no_two_alike(field: _Field) -> bool:
    """Whether the column is unique, by itself or by a constraint over it alone."""
    meta = field.model._meta
    groups = [
        *map(tuple, meta.unique_together),
        *(c.fields for c in meta.constraints if isinstance(c, models.UniqueConstraint) and c.condition is None),
    ]
    return field.unique or (field.name,) in groups


def _same_type(old: _Field, new: _Field, connection: Any) -> bool:
    return bool(type(old) is type(new) or old.db_type(connection) == new.db_type(connection))


def _lent(field: _Field, *, null: bool, default: object | None) -> _Field:
    """The field as the database is to have it."""
    lent = copy.copy(field)
    lent.null = null
    if default is not None:
        lent.__dict__.pop("_db_default_expression", None)
        lent.db_default = default
    return lent


def _escaped(sql: str | None) -> str:
    # Django puts values into its text with the % operator.
    return (sql or "").replace("%", "%%")
