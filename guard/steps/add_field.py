"""AddField beside old code: a NOT NULL column keeps its default in the database; a leftover is taken over."""

from __future__ import annotations

import copy
import uuid
from dataclasses import replace
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import AddField
from django.db.migrations.state import ProjectState
from django.db.models.expressions import RawSQL

from guard.ledger import protocol, rows
from guard.ledger.store import Ledger
from guard.phases import defaults
from guard.steps import leftover, loose_keys, slating
from guard.steps.ddl import Ddl, ddl_for
from guard.steps.relaxing import NoDefault, static_default
from guard.steps.report import Report
from guard.steps.slating import Pair
from guard.steps.standing_in import Author, StandIn


class NamedAgainAddField(StandIn, AddField):
    """Stands in for an AddField whose column gets a name that a contract step has freed."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        found = self._models(app_label, schema_editor, from_state, to_state)
        if found is None:
            return
        _, after, field = found
        # Before the column, where DDL commits by itself: whoever declares the new one must not be refused for the old.
        slating.take_name(Ledger(schema_editor.connection), after._meta.db_table, field.column or "")
        super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        connection, table = schema_editor.connection, model._meta.db_table
        field = model._meta.get_field(self.name)
        column = getattr(field, "column", None)
        if isinstance(field, models.Field) and column and _left_again(schema_editor, self.author, model, field):
            return
        # Where DDL commits by itself, an attempt that was interrupted may have dropped it.
        if not column or ddl_for(connection, schema_editor.execute).facts(table, column) is not None:
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        slating.give_name_up(Ledger(connection), table, column or "")

    def _models(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> tuple[type[models.Model], type[models.Model], models.Field[Any, Any]] | None:
        after = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, after):
            return None
        field = after._meta.get_field(self.name)
        assert isinstance(field, models.Field)
        return from_state.apps.get_model(app_label, self.model_name), after, field


def keeps_default(field: models.Field[Any, Any], default: object) -> bool:
    """Whether code that does not know the field needs a default in the database to insert, and can have one."""
    return not (field.null or field.unique or field.has_db_default() or isinstance(default, NoDefault))


def effective_default(
    schema_editor: BaseDatabaseSchemaEditor, field: models.Field[Any, Any], default: object
) -> object:
    """What Django puts into rows that are there, if the field has this default; None for nothing."""
    source = copy.copy(field)
    source.__dict__.pop("_get_default", None)
    source.default = default
    return schema_editor._effective_default(source)  # type: ignore[attr-defined]


def as_db_default(value: object, field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> object:
    """A Python value as the field's `db_default`."""
    if connection.vendor == "mysql" and isinstance(value, (bytes, bytearray, memoryview)):
        # Elsewhere than in data, the servers read a quoted string of bytes in the connection's character set.
        return RawSQL(f"x'{bytes(value).hex()}'", [])
    if connection.vendor == "mysql" and isinstance(value, uuid.UUID):
        # The driver has no literal for it, where SQL is only shown.
        return RawSQL(f"'{value if connection.features.has_native_uuid_field else value.hex}'", [])
    return value


class KeepDefaultAddField(NamedAgainAddField):
    """Stands in for an AddField NOT NULL with a static default: old code, which leaves the column out, can insert."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        found = self._models(app_label, schema_editor, from_state, to_state)
        if found is None:
            return
        before, after, field = found
        ledger = Ledger(schema_editor.connection)
        table, column = after._meta.db_table, field.column or ""
        slating.take_name(ledger, table, column)
        wanted = self._tidy(after, field)
        earlier = slating.stored(ledger, wanted)
        interrupted = earlier is not None and earlier.state is rows.StepState.WAITING
        step = slating.slate(ledger, wanted)
        if interrupted and ddl_for(schema_editor.connection, schema_editor.execute).facts(table, column) is not None:
            make_index(schema_editor, after, field)
        else:
            schema_editor.add_field(before, self.kept_field(schema_editor, field))
        self.set_own_default(ddl_for(schema_editor.connection, schema_editor.execute), table, column)
        self._note_default(schema_editor, step)

    def kept_field(
        self, schema_editor: BaseDatabaseSchemaEditor, field: models.Field[Any, Any]
    ) -> models.Field[Any, Any]:
        """The field as its column is made: rows that are there get what Django gives them, one value for all."""
        # From the operation, not from the state: with preserve_default=False the state has none.
        kept = copy.copy(field)
        kept.__dict__.pop("_db_default_expression", None)
        kept.db_default = as_db_default(  # type: ignore[assignment]
            effective_default(schema_editor, field, self.field.default), field, schema_editor.connection
        )
        return kept

    def set_own_default(self, ddl: Ddl, table: str, column: str) -> None:
        """Let the database give each row of old code what the field's callable would give it."""
        if isinstance(static_default(self.field), NoDefault):
            own = defaults.expression(self.field, ddl.connection)
            assert own
            ddl.set_default_expression(table, column, own)

    def _tidy(self, model: type[models.Model], field: models.Field[Any, Any]) -> rows.Step:
        """The contract step that drops the default when no code needs it any more."""
        app, name = self.author.migration
        return rows.Step(
            id=0,
            kind=rows.StepKind.DEFAULT,
            state=rows.StepState.WAITING,
            app=app,
            migration=name,
            replaced_by=self.author.replaced_by,
            table=model._meta.db_table,
            column=field.column or "",
            model=model._meta.label,
            field=field.name,
        )

    def _note_default(self, schema_editor: BaseDatabaseSchemaEditor, step: rows.Step) -> None:
        """Remember the column as it is left, so that nobody else's default is ever dropped."""
        left = ddl_for(schema_editor.connection, schema_editor.execute).facts(step.table, step.column)
        assert left is not None
        after = replace(step, version=step.version + 1, payload={"left": left.to_json()})
        self.author.report.kept_defaults.append(Ledger(schema_editor.connection).save(step, after))


class ReclaimField(KeepDefaultAddField):
    """Stands in for an AddField whose column is there as a leftover: taken over, relaxing undone, data kept."""

    #: What later operations of the plan make on it again: names, and groups of columns. Complete when the plan runs.
    remade: set[str | tuple[str, ...]]

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        found = self._models(app_label, schema_editor, from_state, to_state)
        if found is None:
            return
        _, after, field = found
        ledger = Ledger(schema_editor.connection)
        table, column = after._meta.db_table, field.column or ""
        default = static_default(self.field)
        keep = keeps_default(field, default)
        step = slating.open_step(ledger, table, column)
        if step is not None and not slating.is_there(ddl_for(schema_editor.connection, schema_editor.execute), step):
            self.author.report.notes.append(f"{step.target} was dropped by hand: it is added anew, empty.")
            slating.note_gone(ledger, step)
            if keep:
                super().database_forwards(app_label, schema_editor, from_state, to_state)
            else:
                NamedAgainAddField.database_forwards(self, app_label, schema_editor, from_state, to_state)
            return
        own = (
            ""
            if keep or field.null or field.has_db_default()
            else defaults.expression(self.field, schema_editor.connection)
        )
        tidy = slating.slate(ledger, self._tidy(after, field)) if keep or own else None
        if own:
            default = effective_default(schema_editor, field, self.field.default)
        if step is not None:
            loose = loose_keys.slate(ledger, self.author, after, field, step)
            if slating.forbidding(step) and not loose:
                self.author.report.forbidding.append(step.id)
            take_over(
                schema_editor,
                step,
                field,
                default,
                self.author.report,
                keep_default=keep,
                given_to=self.author.migration,
                loose=loose,
            )
        else:
            step = slating.given_to(ledger, table, column, self.author.migration)
        if step is not None:
            self._drop_unwanted(schema_editor, after, step, field)
        if own:
            ddl_for(schema_editor.connection, schema_editor.execute).set_default_expression(table, column, own)
        if tidy is not None:
            self._note_default(schema_editor, tidy)
        make_index(schema_editor, after, field)

    def _drop_unwanted(
        self,
        schema_editor: BaseDatabaseSchemaEditor,
        model: type[models.Model],
        step: rows.Step,
        field: models.Field[Any, Any],
    ) -> None:
        """What waited with the column, or was on it, and that no model wants any more, goes now: the column stays."""
        present = leftover.parts(schema_editor.connection, step.table)
        gone = [
            name
            for name in step.payload.get(leftover.COMPANIONS, ())
            if name in present and name not in self.remade and tuple(present[name]["columns"]) not in self.remade
        ]
        if step.payload.get("declared", {}).get("index") and not (getattr(field, "db_index", False) or field.unique):
            gone += [
                name
                for name, part in present.items()
                if part["columns"] == [step.column]
                and part["index"]
                and not (part["unique"] or part["primary_key"] or part["foreign_key"])
                and name not in (*gone, *self.remade)
            ]
        if gone and schema_editor.connection.vendor == "sqlite":
            schema_editor._remake_table(model)  # type: ignore[attr-defined]
            return
        ddl = ddl_for(schema_editor.connection, schema_editor.execute)
        for name in gone:
            ddl.drop_part(step.table, name)


def take_over(
    schema_editor: BaseDatabaseSchemaEditor,
    step: rows.Step,
    field: models.Field[Any, Any],
    default: object,
    report: Report,
    *,
    keep_default: bool = False,
    given_to: Pair | None = None,
    loose: str = "",
) -> None:
    """Give the leftover back to use as this field, from wherever its step (waiting, or set aside) stands.

    `loose`: the ON DELETE action that its foreign keys have meanwhile, if not their own.
    """
    connection = schema_editor.connection
    ledger = Ledger(connection)
    ddl = ddl_for(connection, schema_editor.execute)
    if step.state is rows.StepState.ASIDE:
        if ddl.facts(step.table, step.aside_name) is not None:
            leftover.bring_back(ddl, step)
        step = ledger.save(step, protocol.restore(step, ledger.now()))
    given = leftover.give_back(
        ddl,
        step,
        null=field.null,
        default=default,
        prepare=lambda value: field.get_db_prep_save(value, connection),
        keep_default=keep_default,
        loose=loose,
    )
    given_up = list(given_to) if given_to is not None else None
    step = ledger.save(step, slating.withdrawn(step, ledger.now(), **{slating.GIVEN_TO: given_up}))
    report.given_back.append((step, given.nulls))
    report.to_validate.append((step.table, step.column))


def _left_again(
    schema_editor: BaseDatabaseSchemaEditor, author: Author, model: type[models.Model], field: models.Field[Any, Any]
) -> bool:
    """Unapplied: give the column that this migration has taken over back to its removal, which waits again.

    Whether that is where the column belongs. Old code's data is in it. The ledger is written last: until then, where
    DDL commits by itself, the column is in use by a migration that is applied, and nobody may take it away.
    """
    connection = schema_editor.connection
    ledger = Ledger(connection)
    ddl = ddl_for(connection, schema_editor.execute)
    table, column = model._meta.db_table, field.column or ""
    step = slating.taken_over_by(ledger, table, column, author.names)
    if step is None:
        return False
    if step.state in slating.OPEN:
        # By an attempt that was interrupted.
        return True
    if ddl.facts(table, column) is None:
        return False
    indexed = getattr(field, "db_index", False) and not (field.unique or field.is_relation)
    if indexed and not step.payload.get("declared", {}).get("index"):
        for name, part in leftover.parts(connection, table).items():
            if part["columns"] == [column] and part["index"] and not (part["unique"] or part["primary_key"]):
                schema_editor.execute(schema_editor._delete_index_sql(model, name))  # type: ignore[attr-defined]
    leftover.relax_again(ddl, step)
    now = ddl.facts(table, column)
    assert now is not None
    present = leftover.parts(connection, table)
    again = {
        "left": now.to_json(),
        "shared": list(leftover.shared_parts(ddl, table, column)),
        leftover.COMPANIONS: [name for name in step.payload.get(leftover.COMPANIONS, ()) if name in present],
    }
    step = ledger.save(step, slating.reslated(step, ledger.now(), **again))
    author.report.slated.append((step, now.null and not step.payload["found"]["null"]))
    if now.foreign_keys:
        author.report.to_validate.append((table, column))
    return True


def make_index(
    schema_editor: BaseDatabaseSchemaEditor, model: type[models.Model], field: models.Field[Any, Any]
) -> None:
    """Have the index made that the field wants, where its column has none."""
    with schema_editor.connection.cursor() as cursor:
        found = schema_editor.connection.introspection.get_constraints(cursor, model._meta.db_table)
    if not any(entry["index"] and entry["columns"] == [field.column] for entry in found.values()):
        schema_editor.deferred_sql.extend(
            schema_editor._field_indexes_sql(model, field)  # type: ignore[attr-defined]
        )
