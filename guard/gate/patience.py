"""Expand steps wait for a table's lock for a moment at a time, and let the application through in between.

What is tried again is the one operation, never the migration: what ran before it, code of the project's included, runs
once.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard import conf
from guard.gate.witnesses import locks
from guard.steps.locks import is_timeout, pauses
from guard.steps.report import Report

Forwards = Callable[..., None]


def make_patient(
    operations: Iterable[Operation],
    config: conf.Config,
    report: Report,
    told: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Bound the lock waits of guard's own operations among these; `told` hears who is waited for."""
    for operation in operations:
        if type(operation).__module__.startswith("guard.steps."):
            forwards = _Patient(operation, config, report, told, sleep)
            # Over the method of the class: the object stands in for one migration of one command.
            operation.__dict__["database_forwards"] = forwards


class _Patient:
    def __init__(
        self,
        operation: Operation,
        config: conf.Config,
        report: Report,
        told: Callable[[str], None],
        sleep: Callable[[float], None],
    ) -> None:
        self._operation = operation
        self._forwards: Forwards = operation.database_forwards
        self._config = config
        self._report = report
        self._told = told
        self._sleep = sleep

    def __call__(self, app_label: str, schema_editor: Any, from_state: ProjectState, to_state: ProjectState) -> None:
        connection = schema_editor.connection
        if connection.vendor == "sqlite" or schema_editor.collect_sql:
            self._forwards(app_label, schema_editor, from_state, to_state)
            return
        tables = self._tables(app_label, from_state, to_state)
        deadline = time.monotonic() + self._config.lock_patience
        known: set[str] = set()
        for pause in pauses():
            before = _Before(schema_editor, self._report)
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
                    raise CommandError(self._gave_up(tables, holders), returncode=1) from error
            for holder in holders:
                if holder.pid not in known:
                    known.add(holder.pid)
                    self._told(f"  guard: waiting for {tables[0]}, which is held by {holder}")
            self._sleep(pause)

    def _tables(self, app_label: str, from_state: ProjectState, to_state: ProjectState) -> list[str]:
        name = getattr(self._operation, "model_name", None) or getattr(self._operation, "name", "")
        for state in (from_state, to_state):
            try:
                return [state.apps.get_model(app_label, name)._meta.db_table]
            except LookupError:
                continue
        return []

    def _gave_up(self, tables: list[str], holders: tuple[locks.Holder, ...]) -> str:
        who = "".join(f" It is held by {holder}." for holder in holders)
        return (
            f"The lock of {' and '.join(tables) or 'a table'} was not to be had in {self._config.lock_patience:g} "
            f"seconds, so that no request had to wait behind it.{who} The migration is not applied: run the command "
            f"again."
        )


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
