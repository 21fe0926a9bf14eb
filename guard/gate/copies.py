"""Notices data migrations that read what is taken away: what old code writes there later, new code never sees.

Old code that is watching counts what it writes. Old code that was there at the copy, and had not been told yet what to
watch, has written unseen, or has not: of each copy it is kept who that was.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard import attribution
from guard.attribution.watchlist import Watched, WatchList
from guard.ledger import protocol, rows
from guard.ledger.store import Ledger
from guard.ledger.tables import Conflict
from guard.phases import rules
from guard.phases.words import Target
from guard.schema.footprint import Footprint
from guard.steps import slating
from guard.steps.slating import Pair

#: Key of a step's payload: when the column was last copied, by which migration, and who may have written unseen since.
COPIED = "copied"

#: Key within it: [release, workload, number of instances] each. Missing until the copy has been committed.
UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class _Copy:
    """What a data migration has read of one target."""

    at: float
    by: str
    #: Ids of instances that were watching the target when it began.
    watching: frozenset[str] = frozenset()


def unseen(
    step: rows.Step,
    at: float,
    instances: Iterable[rows.Instance],
    footprints: Mapping[str, Footprint],
    *,
    but: Collection[str] = (),
) -> list[tuple[str, str, int]]:
    """Old code that was there at the copy, or has come since, as (release, workload, number of instances).

    Left out are ids in `but`: instances that were watching at the copy, or were given up for lost before it.
    """
    found: Counter[tuple[str, str]] = Counter()
    for instance in instances:
        if (
            instance.id not in but
            and (instance.ended_at is None or instance.ended_at > at)
            and protocol.relies(footprints.get(instance.digest), step)
        ):
            found[instance.release, instance.workload] += instance.size
    return sorted((release, workload, number) for (release, workload), number in found.items())


class Copies:
    """What the data migrations of one plan have read of what is slated, or will be by the same plan."""

    def __init__(
        self,
        ledger: Ledger,
        targets: Iterable[Target],
        steps: Iterable[rows.Step],
        *,
        actor: str,
        release: str,
        gone: Iterable[str] = (),
    ) -> None:
        self._ledger = ledger
        self._actor, self._release = actor, release
        #: Ids of instances that were lost, and given up, before the plan began.
        self._gone = frozenset(gone)
        self._logged: set[tuple[Target, float]] = set()
        self._steps = [step for step in steps if step.slated and not step.aside_name]
        wanted = {*targets, *(Target(step.table, step.column) for step in self._steps)}
        entries = tuple(Watched(target.table, target.column, ()) for target in sorted(wanted, key=str))
        self._attributor = (
            attribution.Attributor(WatchList(entries=entries), ledger.connection.vendor) if entries else None
        )
        self._read: dict[Target, _Copy] = self._read_earlier(wanted) if entries else {}
        #: By id: steps of whose copy it is not kept yet who may have written unseen since, and who was watching. A
        #: `migrate` that was interrupted has left those which are there already.
        self._open: dict[int, frozenset[str]] = {
            step.id: frozenset() for step in self._steps if UNSEEN not in step.payload.get(COPIED, {UNSEEN: ()})
        }

    def _read_earlier(self, wanted: set[Target]) -> dict[Target, _Copy]:
        """What was read by a plan that was interrupted before it came to what takes the column away."""
        by_name = {str(target): target for target in wanted}
        found: dict[Target, _Copy] = {}
        for at, name, details in self._ledger.select(
            "event", ("at", "target", "details"), "action = %s ORDER BY id", [COPIED]
        ):
            if name in by_name:
                said = json.loads(details)
                found[by_name[name]] = _Copy(float(said.get("at", at)), str(said.get("by", "")))
        marked = {
            (step.table, step.column, step.payload[COPIED]["at"])
            for step in self._ledger.steps()
            if COPIED in step.payload
        }
        return {
            target: copied for target, copied in found.items() if (target.table, target.column, copied.at) not in marked
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
            watching = self._watching()
            # A row may be read as soon as it begins, and written by old code right behind that.
            now = self._ledger.now()
            wrapper = self._wrapper(seen)
            connection.execute_wrappers.append(wrapper)
            try:
                operation.database_forwards(app_label, schema_editor, from_state, to_state)
            finally:
                connection.execute_wrappers.remove(wrapper)
            if seen and not schema_editor.collect_sql:
                by = ".".join(migration)
                self._read |= {target: _Copy(now, by, watching.get(target, frozenset())) for target in seen}

        watched.__dict__["database_forwards"] = database_forwards
        return watched

    def _watching(self) -> dict[Target, frozenset[str]]:
        """Ids of the instances that watch what was slated before this plan: what they write is counted."""
        if not self._steps:
            return {}
        present, instances = self._ledger.epoch(), self._ledger.instances()
        return {
            Target(step.table, step.column): frozenset(
                instance.id
                for instance in instances
                if (present if step.listed_epoch is None else step.listed_epoch) <= instance.flushed_epoch <= present
            )
            for step in self._steps
        }

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
                copied = self._read.pop(target)
                self._ledger.save(step, slating.with_payload(step, **{COPIED: {"at": copied.at, "by": copied.by}}))
                self._open[step.id] = copied.watching
        for target, copied in self._read.items():
            if (target, copied.at) not in self._logged:
                self._logged.add((target, copied.at))
                details = {"at": copied.at, "by": copied.by}
                self._ledger.record(COPIED, str(target), actor=self._actor, release=self._release, details=details)

    def settle(self) -> None:
        """Keep who may have written unseen. To be called when the copy, and what slates its target, are committed.

        Until then old code may come that is not told of it.
        """
        if not self._open:
            return
        instances, footprints = self._ledger.instances(), self._ledger.footprints()
        for step in self._ledger.steps(rows.StepState.WAITING):
            copied = step.payload.get(COPIED)
            if step.id in self._open and copied is not None:
                known = {*self._open[step.id], *self._gone}
                found = unseen(step, copied["at"], instances, footprints, but=known)
                with suppress(Conflict):
                    self._ledger.save(step, slating.with_payload(step, **{COPIED: {**copied, UNSEEN: found}}))
        self._open = {}


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
