"""Expand steps on the record: what each did, the SQL that ran and how long it took."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard.ledger import rows
from guard.steps.report import Report

#: Takes the action, the step and what else there is to say of it.
Note = Callable[..., None]

#: guard's own rows, and what only reads or bounds a wait, is no change of the schema.
_ASIDE = re.compile(r"\s*(?:SELECT|PRAGMA|SHOW|SAVEPOINT|RELEASE|ROLLBACK|SET)\b", re.IGNORECASE)
_LEDGERS_OWN = re.compile(
    r"\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+[\"`]guard_(?:step|event|gate|pulse)[\"`]", re.IGNORECASE
)


def changes(text: str) -> bool:
    """Whether a statement may change something other than guard's own rows."""
    return not _ASIDE.match(text) and not _LEDGERS_OWN.match(text)


class Transcript:
    """Keeps the statements that change something, without their parameters: as much as a log has use for."""

    most = 100
    length = 2_000

    def __init__(self) -> None:
        self.sql: list[str] = []

    def keep(self, sql: object) -> None:
        """Keep a statement, if it changes something."""
        text = str(sql)
        if len(self.sql) < self.most and changes(text):
            self.sql.append(text[: self.length])

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        self.keep(sql)
        return execute(sql, params, many, context)


def make_recorded(operations: Iterable[Operation], migration: tuple[str, str], report: Report, note: Note) -> None:
    """Put on record what guard's own operations among these do to the database, each in its own transaction."""
    for operation in operations:
        if type(operation).__module__.startswith("guard.steps."):
            # Over the methods of the class: the object stands in for one migration of one command.
            for name in ("database_forwards", "database_backwards"):
                recorded = _Recorded(getattr(operation, name), ".".join(migration), report, note)
                operation.__dict__[name] = recorded


class _Recorded:
    def __init__(self, run: Callable[..., None], migration: str, report: Report, note: Note) -> None:
        self._run = run
        self._migration = migration
        self._report = report
        self._note = note

    def __call__(self, app_label: str, schema_editor: Any, from_state: ProjectState, to_state: ProjectState) -> None:
        if schema_editor.collect_sql:
            self._run(app_label, schema_editor, from_state, to_state)
            return
        before, later, ran = self._lengths(), len(schema_editor.deferred_sql), Transcript()
        started = time.monotonic()
        with schema_editor.connection.execute_wrapper(ran):
            self._run(app_label, schema_editor, from_state, to_state)
        seconds = time.monotonic() - started
        for sql in schema_editor.deferred_sql[later:]:
            # It runs at the end of the migration.
            ran.keep(sql)
        for action, step in self._said_since(before):
            self._note(action, step.target, migration=self._migration, sql=ran.sql, seconds=round(seconds, 3))

    def _lengths(self) -> tuple[int, int, int, int]:
        report = self._report
        return len(report.slated), len(report.kept_defaults), len(report.nullable), len(report.given_back)

    def _said_since(self, before: tuple[int, int, int, int]) -> list[tuple[str, rows.Step]]:
        slated, kept, nullable, given_back = before
        report = self._report
        return [
            *(("expand", step) for step, _ in report.slated[slated:]),
            *(("expand", step) for step in report.kept_defaults[kept:]),
            *(("expand", step) for step, _ in report.nullable[nullable:]),
            *(("give-back", step) for step, _ in report.given_back[given_back:]),
        ]
