"""On PostgreSQL a transaction keeps every lock to its end: what changes several tables gets all of them, or none.

One that had the first table and waited for the second, a moment at a time, would for all that time keep the first from
code that holds the second: neither could go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import AddField, CreateModel
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard.steps.add_field import ReclaimField
from guard.steps.companion import Companion
from guard.steps.delete_model import Joined, SplitDeleteModel, SplitRemoveManyToMany, own_tables
from guard.steps.relaxing import is_constant
from guard.steps.remove_field import SplitRemoveField

#: What changes the catalog alone. Behind anything that may take long, no lock is asked for sooner than it is needed.
_QUICK = (SplitRemoveField, SplitRemoveManyToMany, SplitDeleteModel, Joined, Companion, CreateModel)

_EXISTING = """
SELECT c.oid::regclass::text FROM pg_class c WHERE c.oid = to_regclass(%s) AND c.relkind IN ('r', 'p')
UNION
SELECT k.confrelid::regclass::text FROM pg_constraint k
WHERE k.contype = 'f' AND k.conrelid = to_regclass(%s) AND %s
  AND (%s = '' OR EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) AND a.attname = %s))
"""


def locked_together(operations: Iterable[Operation]) -> list[Operation]:
    """The operations, with one in front of each stretch of them that gets the locks of all their tables."""
    found: list[Operation] = []
    for quick, stretch in groupby(operations, key=_is_quick):
        together = list(stretch)
        if quick and len(together) > 1:
            found.append(LockTogether(together))
        found += together
    return found


def _is_quick(operation: Operation) -> bool:
    if not isinstance(operation, AddField):
        return isinstance(operation, _QUICK)
    field = operation.field
    # A column that is taken over may have to be filled; the server writes a table anew for what it computes row by row.
    computed = getattr(field, "generated", False) or (field.has_db_default() and not is_constant(field.db_default))
    return not (computed or isinstance(operation, ReclaimField))


class LockTogether(Operation):
    """Locks the tables that the next operations change. Where one is not to be had, the others are let go."""

    reversible = True
    reduces_to_sql = False

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations

    def describe(self) -> str:
        return "Locks the tables that the next operations change"

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        connection = schema_editor.connection
        if connection.vendor != "postgresql" or not connection.in_atomic_block:
            return
        quote = connection.ops.quote_name
        tables: set[str] = set()
        with connection.cursor() as cursor:
            for table, column, keys in self._changed(app_label, connection.alias, from_state):
                cursor.execute(_EXISTING, [quote(table), quote(table), keys, column, column])
                tables.update(name for (name,) in cursor.fetchall())
            if len(tables) > 1:
                # Always in one order, so that two that do this do not wait for each other. The server has quoted them.
                cursor.execute(f"LOCK TABLE {', '.join(sorted(tables))} IN ACCESS EXCLUSIVE MODE")

    def tables(self, app_label: str, state: ProjectState) -> list[str]:
        """Names of the tables that are changed, for people."""
        return list(dict.fromkeys(table for table, _, _ in self._changed(app_label, None, state)))

    def _changed(self, app_label: str, alias: str | None, state: ProjectState) -> Iterator[tuple[str, str, bool]]:
        """(table, column or nothing for all of it, whether its foreign keys are made again) of each operation."""
        for operation in self.operations:
            named: Any = operation
            if isinstance(operation, SplitDeleteModel):
                model = state.apps.get_model(app_label, operation.name)
                if alias is None or operation.allow_migrate_model(alias, model):
                    yield from ((owned._meta.db_table, "", True) for owned in own_tables(model))
            elif isinstance(operation, SplitRemoveField | SplitRemoveManyToMany | AddField):
                try:
                    model = state.apps.get_model(app_label, named.model_name)
                except LookupError:
                    # Made by one of the operations.
                    continue
                if alias is not None and not operation.allow_migrate_model(alias, model):
                    continue
                if isinstance(operation, SplitRemoveManyToMany):
                    relation: Any = model._meta.get_field(operation.name)
                    yield relation.remote_field.through._meta.db_table, "", True
                elif isinstance(operation, SplitRemoveField):
                    yield model._meta.db_table, str(model._meta.get_field(operation.name).column), True
                else:
                    yield model._meta.db_table, "", False
