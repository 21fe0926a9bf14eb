"""What changes a table waits for its lock for a moment at a time, and lets the application through in between.

What is tried again is the one operation of guard's own, or the one statement of Django's or the project's in a
migration that runs in two steps or was held; never the migration: what ran before, code of the project's included, runs
once.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard import conf
from guard.gate import recording
from guard.gate.witnesses import locks
from guard.steps import together
from guard.steps.locks import is_timeout, pauses
from guard.steps.report import Report

Forwards = Callable[..., None]

#: Whether what runs is an operation of guard's own, which is tried again whole.
_within: ContextVar[bool] = ContextVar("guard_patience_within", default=False)


@dataclasses.dataclass(slots=True)
class Progress:
    """How far one migration has come."""

    #: Whether each change stays, whatever becomes of those behind it.
    commits: bool
    #: Whether something stays of it that a second run would meet.
    changed: bool = False

    def patience(self, connection: BaseDatabaseWrapper, config: conf.Config) -> float:
        """Seconds to go on trying: on MariaDB and MySQL, once something stays, as long as the server would have waited.

        There every migration is one whose changes stay. Elsewhere its author has asked for it.
        """
        if not self.changed or connection.vendor != "mysql":
            return config.lock_patience
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@SESSION.lock_wait_timeout")
            return max(config.lock_patience, float(cursor.fetchone()[0]))


def make_patient(
    operations: Iterable[Operation],
    config: conf.Config,
    report: Report,
    told: Callable[[str], None],
    *,
    progress: Progress,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Bound the lock waits of guard's own operations among these; `told` hears who is waited for."""
    for operation in operations:
        if type(operation).__module__.startswith("guard.steps."):
            forwards = _Patient(operation, config, report, told, progress, sleep)
            # Over the method of the class: the object stands in for one migration of one command.
            operation.__dict__["database_forwards"] = forwards


class _Patient:
    def __init__(
        self,
        operation: Operation,
        config: conf.Config,
        report: Report,
        told: Callable[[str], None],
        progress: Progress,
        sleep: Callable[[float], None],
    ) -> None:
        self._operation = operation
        self._forwards: Forwards = operation.database_forwards
        self._config = config
        self._report = report
        self._told = told
        self._progress = progress
        self._sleep = sleep

    def __call__(self, app_label: str, schema_editor: Any, from_state: ProjectState, to_state: ProjectState) -> None:
        connection = schema_editor.connection
        if connection.vendor == "sqlite" or schema_editor.collect_sql:
            self._forwards(app_label, schema_editor, from_state, to_state)
            return
        tables = self._tables(app_label, from_state, to_state)
        patience = self._progress.patience(connection, self._config)
        deadline = time.monotonic() + patience
        known: set[str] = set()
        for pause in pauses():
            before = _Before(schema_editor, self._report)
            outside = _within.set(True)
            try:
                with _impatient(connection, self._config.lock_timeout):
                    self._forwards(app_label, schema_editor, from_state, to_state)
                return
            except DatabaseError as error:
                if not is_timeout(error):
                    raise
                before.bring_back()
                holders = locks.holders(connection, tables)
                if time.monotonic() + pause > deadline:
                    raise CommandError(_gave_up(tables, holders, patience, self._progress), returncode=1) from error
            finally:
                _within.reset(outside)
            for holder in holders:
                if holder.pid not in known:
                    known.add(holder.pid)
                    self._told(f"  guard: waiting for {' and '.join(tables)}, which is held by {holder}")
            self._sleep(pause)

    def _tables(self, app_label: str, from_state: ProjectState, to_state: ProjectState) -> list[str]:
        if isinstance(self._operation, together.LockTogether):
            return self._operation.tables(app_label, from_state)
        name = getattr(self._operation, "model_name", None) or getattr(self._operation, "name", "")
        for state in (from_state, to_state):
            try:
                return [state.apps.get_model(app_label, name)._meta.db_table]
            except LookupError:
                continue
        return []


def _gave_up(tables: list[str], holders: tuple[locks.Holder, ...], patience: float, progress: Progress) -> str:
    who = "".join(f" It is held by {holder}." for holder in holders)
    left = (
        "The migration is not recorded, and what it did before that stays, because it was committed as it went: "
        "look at it before you run the command again."
        if progress.changed
        else "The migration is not applied: run the command again."
    )
    return (
        f"The lock of {' and '.join(tables) or 'a table'} was not to be had in {patience:g} seconds, so "
        f"that no request had to wait behind it.{who} {left}"
    )


#: Statements that wait for the strong lock of a table. One that is CONCURRENTLY waits for others, and nobody for it.
_CHANGES = re.compile(r"\s*(?:ALTER|CREATE|DROP|RENAME|TRUNCATE)\b(?!.*\bCONCURRENTLY\b)", re.IGNORECASE | re.DOTALL)
_TABLE = re.compile(
    r"\b(?:TABLE|ON)\s+(?:IF EXISTS\s+|IF NOT EXISTS\s+|ONLY\s+)*(?:\"([^\"]+)\"|`([^`]+)`|(\w+))", re.IGNORECASE
)


@contextmanager
def patient_statements(
    connection: BaseDatabaseWrapper,
    config: conf.Config,
    told: Callable[[str], None],
    *,
    progress: Progress,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Bound the lock waits of every statement that changes the schema, whoever runs it; `told` hears who is waited for.

    One that has waited too long has done nothing: PostgreSQL undoes it alone, on MariaDB and MySQL a statement is done
    whole or not at all. There, what ran before it has been committed: then it is tried for as long as the server itself
    would have waited.
    """
    if connection.vendor == "sqlite":
        yield
        return
    with connection.execute_wrapper(_PatientStatements(config, told, progress, sleep)):
        yield


class _PatientStatements:
    def __init__(
        self, config: conf.Config, told: Callable[[str], None], progress: Progress, sleep: Callable[[float], None]
    ) -> None:
        self._config = config
        self._told = told
        self._progress = progress
        self._sleep = sleep
        self._known: set[str] = set()

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        # What guard's own operation has done, it goes on with in a second run.
        if _within.get():
            return execute(sql, params, many, context)
        text = str(sql)
        run = self._patiently if _CHANGES.match(text) else _as_ever
        result = run(execute, sql, params, many, context)
        # A change of the schema commits what is before it, too.
        if self._progress.commits and recording.changes(text):
            self._progress.changed = True
        return result

    def _patiently(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        connection = context["connection"]
        tables = ["".join(names) for names in _TABLE.findall(str(sql))][:1]
        bounded = _undone_alone if connection.vendor == "postgresql" else _given_up
        patience = self._progress.patience(connection, self._config)
        deadline = time.monotonic() + patience
        ran = False
        for pause in pauses():
            try:
                with bounded(context, self._config.lock_timeout):
                    result = execute(sql, params, many, context)
                    ran = True
                return result
            except DatabaseError as error:
                # Behind the statement, it is another one that came with it that has failed.
                if ran or not is_timeout(error):
                    raise
                holders = locks.holders(connection, tables)
                if time.monotonic() + pause > deadline:
                    raise CommandError(_gave_up(tables, holders, patience, self._progress), returncode=1) from error
            for holder in holders:
                if holder.pid not in self._known:
                    self._known.add(holder.pid)
                    self._told(f"  guard: waiting for {tables[0] if tables else 'a table'}, which is held by {holder}")
            self._sleep(pause)
        raise AssertionError("pauses have no end")


def _as_ever(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    return execute(sql, params, many, context)


@contextmanager
def _given_up(context: Any, lock_timeout: float) -> Iterator[None]:
    """For one statement wait no longer than this, on MariaDB and MySQL.

    They know whole seconds. NOWAIT would be too impatient here: what rebuilds a table asks again at its end, and all
    would have been for nothing. Below Django's cursor: nobody who watches statements is to see it.
    """
    connection, cursor = context["connection"], context["cursor"].cursor

    def run(statement: str) -> None:
        with connection.wrap_database_errors:
            cursor.execute(statement)

    run("SELECT @@SESSION.lock_wait_timeout")
    before = int(cursor.fetchone()[0])
    run(f"SET SESSION lock_wait_timeout = {max(1, int(lock_timeout))}")
    try:
        yield
    except BaseException:
        # Where the session is gone, the error that says so is the one to see.
        with suppress(DatabaseError):
            run(f"SET SESSION lock_wait_timeout = {before}")
        raise
    run(f"SET SESSION lock_wait_timeout = {before}")


@contextmanager
def _undone_alone(context: Any, lock_timeout: float) -> Iterator[None]:
    """For one statement wait no longer than this, and where it fails within a transaction, keep what ran before it.

    Below Django's cursor: nobody who watches statements is to see it.
    """
    connection, cursor = context["connection"], context["cursor"].cursor
    inside = connection.in_atomic_block
    scope = "LOCAL" if inside else "SESSION"

    def run(statement: str) -> None:
        with connection.wrap_database_errors:
            cursor.execute(statement)

    run("SHOW lock_timeout")
    before = cursor.fetchone()[0]
    if inside:
        run("SAVEPOINT guard_patience")
    run(f"SET {scope} lock_timeout = {max(1, int(lock_timeout * 1000))}")
    try:
        yield
    except BaseException:
        # Where the session is gone, the error that says so is the one to see.
        with suppress(DatabaseError):
            run("ROLLBACK TO SAVEPOINT guard_patience" if inside else f"SET SESSION lock_timeout = '{before}'")
        raise
    run(f"SET {scope} lock_timeout = '{before}'")
    if inside:
        run("RELEASE SAVEPOINT guard_patience")


class _Before:
    """What a try that failed may have left outside the database."""

    def __init__(self, schema_editor: Any, report: Report) -> None:
        self._lists = [
            schema_editor.deferred_sql,
            *(found for field in dataclasses.fields(report) if isinstance(found := getattr(report, field.name), list)),
        ]
        self._lengths = [len(each) for each in self._lists]

    def bring_back(self) -> None:
        for each, length in zip(self._lists, self._lengths, strict=True):
            del each[length:]


@contextmanager
def _impatient(connection: BaseDatabaseWrapper, lock_timeout: float) -> Iterator[None]:
    """For these statements alone, wait for a lock no longer than this; where DDL is transactional, undo what failed."""
    if connection.vendor == "mysql":
        # MariaDB's 0 is NOWAIT; MySQL knows whole seconds from one on.
        wait = 0 if connection.mysql_is_mariadb else 1  # type: ignore[attr-defined]
        with _setting(connection, "SELECT @@SESSION.lock_wait_timeout", "SET SESSION lock_wait_timeout = %s", wait):
            yield
        return
    milliseconds = max(1, int(lock_timeout * 1000))
    inside = connection.in_atomic_block
    scope = "true" if inside else "false"
    change = f"SELECT set_config('lock_timeout', %s, {scope})"
    with (
        transaction.atomic(using=connection.alias) if inside else nullcontext(),
        _setting(connection, "SHOW lock_timeout", change, str(milliseconds), keeps_on_error=inside),
    ):
        yield


@contextmanager
def _setting(
    connection: BaseDatabaseWrapper, ask: str, change: str, value: int | str, *, keeps_on_error: bool = False
) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(ask)
        before = cursor.fetchone()[0]
        cursor.execute(change, [value])
    try:
        yield
    except BaseException:
        # Within a transaction that has failed, undoing it is what brings the setting back.
        if not keeps_on_error:
            _change(connection, change, before)
        raise
    _change(connection, change, before)


def _change(connection: BaseDatabaseWrapper, change: str, value: int | str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(change, [value])
