"""Notices data migrations that read what is taken away: what old code writes there later, new code never sees."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard import attribution
from guard.attribution.watchlist import Watched, WatchList
from guard.ledger import rows
from guard.ledger.store import Ledger
from guard.phases import rules
from guard.phases.words import Target
from guard.steps import slating
from guard.steps.slating import Pair

#: Key of a step's payload: when the column was last copied, and by which migration.
COPIED = "copied"


class Copies:
    """What the data migrations of one plan have read of what is slated, or will be by the same plan."""

    def __init__(
        self, ledger: Ledger, targets: Iterable[Target], steps: Iterable[rows.Step], *, actor: str, release: str
    ) -> None:
        self._ledger = ledger
        self._actor, self._release = actor, release
        self._logged: set[tuple[Target, float]] = set()
        self._steps = [step for step in steps if step.slated and not step.aside_name]
        wanted = {*targets, *(Target(step.table, step.column) for step in self._steps)}
        entries = tuple(Watched(target.table, target.column, ()) for target in sorted(wanted, key=str))
        self._attributor = (
            attribution.Attributor(WatchList(entries=entries), ledger.connection.vendor) if entries else None
        )
        self._read: dict[Target, tuple[float, str]] = self._read_earlier(wanted) if entries else {}

    def _read_earlier(self, wanted: set[Target]) -> dict[Target, tuple[float, str]]:
        """What was read by a plan that was interrupted before it came to what takes the column away."""
        by_name = {str(target): target for target in wanted}
        found: dict[Target, tuple[float, str]] = {}
        for at, name, details in self._ledger.select(
            "event", ("at", "target", "details"), "action = %s ORDER BY id", [COPIED]
        ):
            if name in by_name:
                said = json.loads(details)
                found[by_name[name]] = (float(said.get("at", at)), str(said.get("by", "")))
        marked = {
            (step.table, step.column, step.payload[COPIED]["at"])
            for step in self._ledger.steps()
            if COPIED in step.payload
        }
        return {
            target: (at, by) for target, (at, by) in found.items() if (target.table, target.column, at) not in marked
        }

    def watching(self, operations: Sequence[Operation], migration: Pair) -> list[Operation]:
        """The operations, with those that run somebody's own code or SQL under watch."""
        if self._attributor is None:
            return list(operations)
        watched = [self._watched(operation, migration) for operation in operations]
        # In the migration's own transaction, where it has one: what it has copied must not be forgotten by a crash.
        return [*watched, _Note(self)]

    def _watched(self, operation: Operation, migration: Pair) -> Operation:
        if not rules.runs_code(operation):
            return operation
        watched = copy.copy(operation)
        if type(operation) is SeparateDatabaseAndState:
            # One by one: where Django makes a table anew, beside them, it reads every column.
            nested = [self._watched(each, migration) for each in operation.database_operations]
            watched.__dict__["database_operations"] = nested
            return watched

        def database_forwards(
            app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
        ) -> None:
            seen: set[Target] = set()
            connection = schema_editor.connection
            # A row may be read as soon as it begins, and written by old code right behind that.
            now = self._ledger.now()
            wrapper = self._wrapper(seen)
            connection.execute_wrappers.append(wrapper)
            try:
                operation.database_forwards(app_label, schema_editor, from_state, to_state)
            finally:
                connection.execute_wrappers.remove(wrapper)
            if seen and not schema_editor.collect_sql:
                self._read |= dict.fromkeys(seen, (now, ".".join(migration)))

        watched.__dict__["database_forwards"] = database_forwards
        return watched

    def _wrapper(self, seen: set[Target]) -> Callable[..., Any]:
        attributor = self._attributor
        assert attributor is not None

        def look(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Mapping[str, Any]) -> Any:
            seen.update(Target(touch.watched.table, touch.watched.column) for touch in attributor.touches(sql))
            return execute(sql, params, many, context)

        return look

    def note(self) -> None:
        """Write down what has been read: on the steps that are there, else in the log, for those that come later."""
        for step in self._ledger.steps(rows.StepState.WAITING) if self._read else ():
            target = Target(step.table, step.column)
            if step.slated and target in self._read:
                at, by = self._read.pop(target)
                self._ledger.save(step, slating.with_payload(step, **{COPIED: {"at": at, "by": by}}))
        for target, (at, by) in self._read.items():
            if (target, at) not in self._logged:
                self._logged.add((target, at))
                self._ledger.record(
                    COPIED, str(target), actor=self._actor, release=self._release, details={"at": at, "by": by}
                )


class _Note(Operation):
    """The end of a migration whose data migrations are watched."""

    reversible = True
    reduces_to_sql = False

    def __init__(self, copies: Copies) -> None:
        self._copies = copies

    def describe(self) -> str:
        return "Notes what has been copied"

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self._copies.note()
