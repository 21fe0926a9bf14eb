"""Keeps leftovers, kept defaults and loose foreign keys through Django's own table rebuilds on SQLite.

Django rebuilds a table from the historical model's fields for most alterations; a leftover column, and a database
default that only guard knows, would be lost. They are lent to the model for the length of the rebuild. What no field
can say is put back behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import wrapt
from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import RawSQL

from guard.ledger import rows
from guard.ledger.store import Ledger
from guard.schema.sqlite_table import Table, names
from guard.steps import loose_keys
from guard.steps.ddl.sqlite import SqliteDdl

#: In which a step's column may be there though the models lack it: of what is withdrawn, where an attempt to give it
#: back was interrupted, or an operator has said that it stays.
_THERE = (rows.StepState.WAITING, rows.StepState.SEALED, rows.StepState.ASIDE, rows.StepState.WITHDRAWN)


if TYPE_CHECKING:
    _Field = models.Field[Any, Any]
else:
    _Field = models.Field


class LeftoverField(_Field):
    """A column that no model knows, carried as the text of its own definition."""

    def __init__(self, definition: str) -> None:
        super().__init__(null=True)
        self.definition = definition

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return self.definition

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        return {"type": self.definition, "check": None}

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        return self.name or "", "guard.steps.sqlite_rebuild.LeftoverField", [self.definition], {}


def keep(editor: Any, table: str, names: set[str]) -> None:
    """Have rebuilds of the table keep indexes and constraints that the models have no more, to the end of the plan."""
    editor.connection.__dict__.setdefault("guard_kept", {}).setdefault(table, set()).update(names)


def forget(connection: BaseDatabaseWrapper) -> None:
    """The plan has ended: what is left covers columns that are leftovers by now."""
    connection.__dict__.pop("guard_kept", None)


def install() -> None:
    """Wrap the schema editor's rebuild."""
    wrapt.wrap_function_wrapper("django.db.backends.sqlite3.schema", "DatabaseSchemaEditor._remake_table", _remake)


def _remake(wrapped: Callable[..., Any], editor: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    model = args[0] if args else kwargs["model"]
    ledger = Ledger(editor.connection)
    if editor.collect_sql or not ledger.exists():
        return wrapped(*args, **kwargs)
    table = model._meta.db_table
    steps = [step for step in ledger.steps(*_THERE, everybodys=True) if step.table.casefold() == table.casefold()]
    kept: set[str] = editor.connection.__dict__.get("guard_kept", {}).get(table, set())
    if not steps and not kept:
        return wrapped(*args, **kwargs)
    if editor.connection.get_autocommit():
        # A migration without a transaction: half a rebuild would be half a table.
        with transaction.atomic(editor.connection.alias):
            return _keeping(wrapped, editor, args, kwargs, steps, kept)
    return _keeping(wrapped, editor, args, kwargs, steps, kept)


def _keeping(
    wrapped: Callable[..., Any],
    editor: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    steps: list[rows.Step],
    kept: set[str],
) -> Any:
    model = args[0] if args else kwargs["model"]
    table = model._meta.db_table
    ddl = SqliteDdl(editor.connection, editor.execute)
    definition = ddl.table(table)
    lent = _lend_leftovers(model, definition, steps)
    defaults = _lend_defaults(model, ddl, steps)
    nullable = _lend_null(model, steps)
    indexes = [
        (name, sql)
        for name, sql in ddl._table_indexes(table)
        if name in kept
        or {row[0] for row in ddl._fetch("SELECT name FROM pragma_index_info(%s)", [name])} & {f.column for f in lent}
    ]
    try:
        result = wrapped(*args, **kwargs)
    finally:
        for extra in lent:
            model._meta.local_fields.remove(extra)
        for field, before in defaults:
            field.db_default = before
            field.__dict__.pop("_db_default_expression", None)
        for field in nullable:
            field.null = False
        model._meta._expire_cache()
    there = ddl.table_part_names(table)
    for name, sql in indexes:
        if name not in there:
            editor.execute(sql, None)
    present = ddl.table(table)
    loose = _loose_again(definition, present, steps)
    lost = tuple(
        text
        for text in definition.constraints
        if text not in present.constraints
        and (any(names(text, field.column or "") for field in lent) or any(names(text, part) for part in kept))
    )
    if lost or loose != present:
        ddl.rebuild(table, replace(loose, constraints=(*loose.constraints, *lost)))
    return result


def _loose_again(before: Table, now: Table, steps: list[rows.Step]) -> Table:
    """The table with the ON DELETE actions that foreign keys had which wait to be made strict."""
    for step in steps:
        if step.kind is not rows.StepKind.KEY or step.state is not rows.StepState.WAITING:
            continue
        try:
            was, column = before.column(step.column), now.column(step.column)
        except KeyError:
            continue
        action = step.payload[loose_keys.LOOSE]
        if was.references() and was == was.on_delete(action) and column.references():
            now = now.with_column(column.on_delete(action))
    return now


def _lend_leftovers(model: type[models.Model], definition: Table, steps: list[rows.Step]) -> list[LeftoverField]:
    """Columns of the table that only old code knows, as fields of the model."""
    known = {field.column.casefold() for field in model._meta.local_concrete_fields if field.column}
    lent = []
    for step in steps:
        name = step.aside_name or step.column
        if step.kind is not rows.StepKind.COLUMN or name.casefold() in known:
            continue
        try:
            column = definition.column(name)
        except KeyError:
            continue
        # NULL is said behind the definition, and only a definition that forbids it contradicts that.
        field = LeftoverField(column.text.strip())
        field.null = column.not_null() != column
        field.set_attributes_from_name(f"guard_leftover_{step.id}")
        field.db_column = field.column = column.name
        field.concrete = True
        field.model = model
        model._meta.local_fields.append(field)
        lent.append(field)
    model._meta._expire_cache()  # type: ignore[attr-defined]
    return lent


def _lend_defaults(
    model: type[models.Model], ddl: SqliteDdl, steps: list[rows.Step]
) -> list[tuple[models.Field[Any, Any], Any]]:
    """Database defaults kept for old code, as `db_default` of the model's fields."""
    lent = []
    for step in steps:
        kept = step.kind is rows.StepKind.DEFAULT or (step.kind is rows.StepKind.NULLABLE and step.payload.get("kept"))
        if not kept or step.state is not rows.StepState.WAITING:
            continue
        for field in model._meta.local_concrete_fields:
            facts = ddl.facts(step.table, step.column) if field.column == step.column else None
            if facts is not None and facts.default is not None and not field.has_db_default():
                lent.append((field, field.db_default))
                # Django puts values into its text with the % operator.
                field.db_default = RawSQL(facts.default.replace("%", "%%"), [])
                field.__dict__.pop("_db_default_expression", None)
    return lent


def _lend_null(model: type[models.Model], steps: list[rows.Step]) -> list[models.Field[Any, Any]]:
    """NULL that is still allowed for old code, as `null` of the model's fields."""
    columns = {s.column for s in steps if s.kind is rows.StepKind.NULLABLE and s.state is rows.StepState.WAITING}
    lent = [field for field in model._meta.local_concrete_fields if field.column in columns and not field.null]
    for field in lent:
        field.null = True
    return lent
