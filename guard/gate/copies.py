"""Notices data migrations that read what is taken away: what old code writes there later, new code never sees."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import RunPython, RunSQL
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard import attribution
from guard.attribution.watchlist import Watched, WatchList
from guard.ledger import rows
from guard.ledger.store import Ledger
from guard.phases.words import Target
from guard.steps import slating
from guard.steps.slating import Pair

#: Key of a step's payload: when the column was last copied, and by which migration.
COPIED = "copied"


class Copies:
    """What the data migrations of one plan have read of what is slated, or will be by the same plan."""

    def __init__(self, ledger: Ledger, targets: Iterable[Target], steps: Iterable[rows.Step]) -> None:
        self._ledger = ledger
        self._steps = [step for step in steps if step.slated and not step.aside_name]
        wanted = {*targets, *(Target(step.table, step.column) for step in self._steps)}
        entries = tuple(Watched(target.table, target.column, ()) for target in sorted(wanted, key=str))
        self._attributor = (
            attribution.Attributor(WatchList(entries=entries), ledger.connection.vendor) if entries else None
        )
        self._read: dict[Target, tuple[float, Pair]] = {}

    def watching(self, operations: Sequence[Operation], migration: Pair) -> list[Operation]:
        """The operations, with those that run somebody's own code or SQL under watch."""
        if self._attributor is None:
            return list(operations)
        return [
            self._watched(operation, migration) if isinstance(operation, (RunPython, RunSQL)) else operation
            for operation in operations
        ]

    def _watched(self, operation: Operation, migration: Pair) -> Operation:
        watched = copy.copy(operation)

        def database_forwards(
            app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
        ) -> None:
            seen: set[Target] = set()
            connection = schema_editor.connection
            wrapper = self._wrapper(seen)
            connection.execute_wrappers.append(wrapper)
            try:
                operation.database_forwards(app_label, schema_editor, from_state, to_state)
            finally:
                connection.execute_wrappers.remove(wrapper)
            if seen and not schema_editor.collect_sql:
                now = self._ledger.now()
                self._read |= dict.fromkeys(seen, (now, migration))

        watched.__dict__["database_forwards"] = database_forwards
        return watched

    def _wrapper(self, seen: set[Target]) -> Callable[..., Any]:
        attributor = self._attributor
        assert attributor is not None

        def look(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Mapping[str, Any]) -> Any:
            seen.update(Target(touch.watched.table, touch.watched.column) for touch in attributor.touches(sql))
            return execute(sql, params, many, context)

        return look

    def note(self, connection: BaseDatabaseWrapper) -> None:
        """Write down what has been read, on the steps that are there now."""
        if not self._read:
            return
        ledger = Ledger(connection)
        for step in ledger.steps(rows.StepState.WAITING):
            read = self._read.get(Target(step.table, step.column))
            if step.slated and read is not None:
                at, (app, name) = read
                ledger.save(step, slating.with_payload(step, **{COPIED: {"at": at, "by": f"{app}.{name}"}}))
                self._read.pop(Target(step.table, step.column))
