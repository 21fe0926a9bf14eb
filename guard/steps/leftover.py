"""A leftover column: relaxed, set aside, restored, given back, erased.

Each function changes the database and returns what it did; the ledger's row is the caller's to write, except for the
payload that must be durable before DDL which commits by itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.ledger import rows
from guard.steps.ddl import ColumnFacts, Ddl
from guard.steps.relaxing import NO_DEFAULT, NoDefault, Relaxing, is_constant, relaxing, static_default


def declared(field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """What tells whether a field that is added later is the same one."""
    remote = field.remote_field.model._meta.db_table if field.is_relation and field.remote_field else None
    return {
        "type": field.db_type(connection),
        "check": field.db_parameters(connection).get("check"),
        "null": field.null,
        "unique": field.unique,
        "index": bool(getattr(field, "db_index", False)),
        "to": remote,
        "to_field": getattr(field.remote_field, "field_name", None) if remote else None,
        "constrained": getattr(field, "db_constraint", None),
        "db_default": repr(field.db_default) if field.has_db_default() else None,
        "collation": getattr(field, "db_collation", None),
        # The database computes it: a plain column cannot become one, and keeps what it had.
        "generated": repr(field.deconstruct()[3]) if getattr(field, "generated", False) else None,
    }


#: Of these, what can be brought about where it differs.
_ADAPTED = ("null", "index")


def matches(payload: Mapping[str, Any], field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> bool:
    """Whether a field could take the leftover over: same type, check, uniqueness, parent and database default.

    A column that the database computes is another one.
    """
    before = payload.get("declared") or {}
    # NULL, which a nullable one may hold, needs other room.
    return (field.null or not before.get("null")) and all(
        before.get(key) == value for key, value in declared(field, connection).items() if key not in _ADAPTED
    )


def relax(
    ddl: Ddl,
    table: str,
    column: str,
    field: models.Field[Any, Any],
    found: ColumnFacts,
    prepare: Any,
    *,
    unique: bool | None = None,
) -> Relaxing:
    """The expand step's DDL. Safe to repeat: what is relaxed already is left as it is.

    `found` is the column before the first attempt; `prepare` makes a Python value ready for the database. `unique` says
    whether rows that leave the column to a default would violate something, if that is not for the field to say.
    """
    value = static_default(field)
    plan = relaxing(
        found,
        unique=field.unique if unique is None else unique,
        has_static_default=not isinstance(value, NoDefault),
        repeats=field.has_db_default() and is_constant(field.db_default),
    )
    now = ddl.facts(table, column)
    if now is None:
        return plan
    if plan.allow_null and not now.null:
        ddl.allow_null(table, column)
    if plan.drop_default and now.default is not None:
        ddl.drop_default(table, column)
    if plan.set_default and now.default is None:
        ddl.set_default(table, column, prepare(value))
    if plan.release_parents:
        for key in now.foreign_keys:
            if key.on_delete != "SET NULL":
                ddl.set_on_delete(table, column, key, "SET NULL")
    return plan


def relax_again(ddl: Ddl, step: rows.Step) -> None:
    """Leave a column that was in use again as the expand step had left it. Safe to repeat.

    It stays nullable where another field has made it so.
    """
    table, column = step.table, step.column
    left = ColumnFacts.from_json(step.payload.get("left") or step.payload["found"])
    now = ddl.facts(table, column)
    if now is None:
        return
    if left.null and not now.null:
        ddl.allow_null(table, column)
    if left.default is None and now.default is not None:
        ddl.drop_default(table, column)
    elif left.default is not None and left.default != now.default:
        ddl.set_default_expression(table, column, left.default)
    actions = {(key.to_table, key.to_column): key.on_delete for key in left.foreign_keys}
    for key in now.foreign_keys:
        action = actions.get((key.to_table, key.to_column), key.on_delete)
        if action != key.on_delete:
            ddl.set_on_delete(table, column, key, action)


@dataclass(frozen=True, slots=True)
class GivenBack:
    """What giving a column back to use could not undo."""

    #: Rows with NULL in a column that was NOT NULL, for which no value is known; the column stays nullable.
    nulls: int = 0


def give_back(
    ddl: Ddl,
    step: rows.Step,
    *,
    null: bool,
    default: object = NO_DEFAULT,
    prepare: Any = None,
    keep_default: bool = False,
    loose: str = "",
) -> GivenBack:
    """Undo the relaxing. `null` is what the field wants; `default` fills NULLs that came in the meantime.

    With `keep_default` the column has that default in the database afterwards, so that code which does not know the
    column can go on inserting. `loose`: the ON DELETE action that its foreign keys have in the meantime, if not theirs.
    """
    table, column = step.table, step.column
    found = ColumnFacts.from_json(step.payload["found"])
    # Of an attempt to set it aside, or to bring it back, that was interrupted.
    name_parts_back(ddl, step)
    now = ddl.facts(table, column)
    if now is None:
        return GivenBack()
    before = {(key.to_table, key.to_column): key for key in found.foreign_keys}
    for key in now.foreign_keys:
        own = before.get((key.to_table, key.to_column))
        action = loose or (own.on_delete if own else "")
        if own is not None and action != key.on_delete:
            ddl.set_on_delete(table, column, key, action, "" if loose else own.name)
    if null and not now.null:
        # Before its default goes: whoever leaves the column out has to be able to, all the time.
        ddl.allow_null(table, column)
    if keep_default and now.default is None:
        ddl.set_default(table, column, prepare(default))
    elif not keep_default and found.default is None and now.default is not None:
        ddl.drop_default(table, column)
    elif not keep_default and found.default is not None and now.default is None:
        ddl.set_default_expression(table, column, found.default)
    if null or found.null or not now.null:
        return GivenBack()
    missing = ddl.nulls(table, column)
    if missing and isinstance(default, NoDefault):
        return GivenBack(nulls=missing)
    if missing:
        ddl.fill_nulls(table, column, prepare(default))
    ddl.forbid_null(table, column)
    return GivenBack()


#: Key of a step's payload: names of indexes and constraints whose own removal waits with the column.
COMPANIONS = "companions"


def parts(connection: BaseDatabaseWrapper, table: str) -> dict[str, Any]:
    """The table's indexes and constraints, by name."""
    with connection.cursor() as cursor:
        found: dict[str, Any] = connection.introspection.get_constraints(cursor, table)
    return found


def shared_parts(ddl: Ddl, table: str, column: str) -> tuple[str, ...]:
    """Names of the indexes and constraints over this column and others."""
    found = parts(ddl.connection, table)
    own = ddl.part_names(table, column)
    return tuple(
        sorted(
            name
            for name, part in found.items()
            if column in (part["columns"] or ()) and name not in own and not part["foreign_key"]
        )
    )


class StillNull(Exception):
    """NULL cannot be forbidden yet."""


def forbid_null(ddl: Ddl, step: rows.Step, *, drop_default: bool) -> None:
    """The contract step of an AlterField: fill what has come since, forbid NULL, drop the default that was kept.

    Raises StillNull where rows have NULL and nothing is known to put in its place.
    """
    now = ddl.facts(step.table, step.column)
    if now is not None and now.default is not None and ddl.nulls(step.table, step.column):
        ddl.fill_from_default(step.table, step.column)
    if number := ddl.nulls(step.table, step.column):
        raise StillNull(
            f"{number:,} row{' has' if number == 1 else 's have'} NULL in it, and the field has no default: fill them."
        )
    if now is not None and now.null:
        ddl.forbid_null(step.table, step.column)
    if drop_default:
        ddl.drop_default(step.table, step.column)


def aside_name(step: rows.Step, limit: int | None) -> str:
    """The name under which the column is set aside: unique by the step's id, within the vendor's limit of bytes."""
    return within(f"guard_{step.id}_{step.column}", limit)


def is_aside(name: str) -> bool:
    """Whether it is a name that guard gives to what it sets aside."""
    return re.match(r"guard_\d+_", name) is not None


def plan_aside(ddl: Ddl, step: rows.Step) -> rows.Step:
    """The step with the names of its column's indexes and constraints, and those that they get, in its payload."""
    limit = ddl.connection.ops.max_name_length()
    names = {
        name: within(f"guard_{step.id}_{name}", limit)
        for name in ddl.part_names(step.table, step.column)
        if not name.startswith(f"guard_{step.id}_")
    }
    return replace(step, payload={**step.payload, "renamed": {**step.payload.get("renamed", {}), **names}})


def within(name: str, limit: int | None) -> str:
    """The name, shortened where it has more bytes than names may have; two names that differ stay apart."""
    limit = limit or 255
    if len(name.encode()) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: limit - 9].decode(errors='ignore')}_{digest}"


def set_aside(ddl: Ddl, step: rows.Step, name: str) -> None:
    """Rename the column out of the way, and what is on it alone, so that every name is free again."""
    ddl.rename_parts(step.table, step.column, step.payload.get("renamed", {}))
    ddl.rename_column(step.table, step.column, name)


def bring_back(ddl: Ddl, step: rows.Step) -> None:
    """Undo `set_aside`."""
    ddl.rename_column(step.table, step.aside_name, step.column)
    name_parts_back(ddl, step)


def name_parts_back(ddl: Ddl, step: rows.Step) -> None:
    """Give what is on it the names back that setting aside has taken. Safe to repeat."""
    if renamed := step.payload.get("renamed"):
        ddl.rename_parts(step.table, step.column, {new: old for old, new in renamed.items()})


def erase(ddl: Ddl, step: rows.Step) -> None:
    """Drop what is set aside, and the foreign keys to it, which are other leftovers': else the gate had waited."""
    for table, column, key in ddl.keys_into(step.table):
        if key.to_column == step.aside_name:
            ddl.drop_key(table, column, key)
    ddl.drop_column(step.table, step.aside_name)
