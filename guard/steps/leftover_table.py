"""A leftover table: relaxed, set aside, restored, given back, erased. See `leftover` for the same of a column."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.ledger import rows
from guard.steps import leftover
from guard.steps.ddl import Ddl, TableFacts
from guard.steps.leftover import GivenBack


def declared(fields: Iterable[models.Field[Any, Any]], connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """What tells whether a model that is created later is the same one: each column as its field declares it."""
    return {
        field.column: {**leftover.declared(field, connection), "null": field.null}
        for field in fields
        if field.column is not None
    }


def free_names(ddl: Ddl, step: rows.Step) -> None:
    """Rename the table's indexes and sequences as its step says, where their names are taken for a whole schema.

    Old code names none of them, and another model may be given them before the table is set aside.
    """
    if ddl.connection.vendor != "mysql":
        ddl.rename_table_parts(step.table, step.payload.get("renamed", {}))


def relax(ddl: Ddl, table: str, found: TableFacts, cascading: Collection[str]) -> None:
    """The expand step's DDL: rows that only old code knows must not keep new code from deleting what they refer to.

    `found` is the table before the first attempt. Columns in `cascading`, and those of the primary key, go with what
    they refer to (ON DELETE CASCADE); the others lose it (ON DELETE SET NULL). Safe to repeat.
    """
    deleted = {*cascading, *ddl.primary_key(table)}
    for column, before in found.columns.items():
        if not before.foreign_keys:
            continue
        action = "CASCADE" if column in deleted else "SET NULL"
        now = ddl.facts(table, column)
        if now is None:
            continue
        if action == "SET NULL" and not now.null:
            ddl.allow_null(table, column)
            now = ddl.facts(table, column) or now
        for key in now.foreign_keys:
            if key.on_delete != action:
                ddl.set_on_delete(table, column, key, action)


def give_back(ddl: Ddl, step: rows.Step, loose: Mapping[str, str]) -> GivenBack:
    """Undo the relaxing. What it tells is how many values are NULL where the table had none.

    `loose`: ON DELETE actions that the foreign keys of these columns have in the meantime.
    """
    found = TableFacts.from_json(step.payload["found"])
    name_parts_back(ddl, step)
    lost = 0
    for column, before in found.columns.items():
        now = ddl.facts(step.table, column)
        if now is None or not before.foreign_keys:
            continue
        keys = {key.to_column: key for key in before.foreign_keys}
        for key in now.foreign_keys:
            own = keys.get(key.to_column)
            action = loose.get(column) or (own.on_delete if own else "")
            if own is not None and action != key.on_delete:
                ddl.set_on_delete(step.table, column, key, action, "" if column in loose else own.name)
        if now.null and not before.null:
            nulls = ddl.nulls(step.table, column)
            lost += nulls
            if not nulls:
                ddl.forbid_null(step.table, column)
    return GivenBack(nulls=lost)


def plan_aside(ddl: Ddl, step: rows.Step) -> rows.Step:
    """The step with the names of its table's parts, and those that they get, in its payload."""
    limit = ddl.connection.ops.max_name_length()
    names = {
        name: leftover.within(f"guard_{step.id}_{name}", limit)
        for name in ddl.table_part_names(step.table)
        if not name.startswith(f"guard_{step.id}_")
    }
    return replace(step, payload={**step.payload, "renamed": {**step.payload.get("renamed", {}), **names}})


def set_aside(ddl: Ddl, step: rows.Step, name: str) -> None:
    """Rename the table out of the way, and its parts, so that every name is free again."""
    ddl.rename_table_parts(step.table, step.payload.get("renamed", {}))
    ddl.rename_table(step.table, name)


def bring_back(ddl: Ddl, step: rows.Step) -> None:
    """Undo `set_aside`."""
    ddl.rename_table(step.aside_name, step.table)
    if ddl.connection.vendor == "mysql":
        # Elsewhere the names are free from the expand step on, and may be somebody else's by now.
        name_parts_back(ddl, step)


def name_parts_back(ddl: Ddl, step: rows.Step) -> None:
    """Give what is on it the names back that setting aside has taken. Safe to repeat."""
    if renamed := step.payload.get("renamed"):
        ddl.rename_table_parts(step.table, {new: old for old, new in renamed.items()})


def erase(ddl: Ddl, step: rows.Step) -> None:
    """Drop what is set aside, and the foreign keys into it, which are other leftovers': else the gate had waited."""
    for table, column, key in ddl.keys_into(step.aside_name):
        ddl.drop_key(table, column, key)
    ddl.drop_table(step.aside_name)
