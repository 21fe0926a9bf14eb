"""Fills NULLs in a table of any size: in short transactions by primary key, at a share of the time, resumable.

A batch is a range of keys, so that no statement reads more of the table than it may change. Nothing but the rows
themselves says how far it came: a fill that was interrupted begins at the first NULL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from guard.steps import locks

Key = tuple[Any, ...]


class Default(Enum):
    """Stands for the column's own default in the database."""

    DEFAULT = "DEFAULT"


DEFAULT = Default.DEFAULT

_PRIMARY_KEY = {
    "postgresql": """
        SELECT a.attname FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int[]) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE i.indrelid = to_regclass(%s) AND i.indisprimary ORDER BY k.place""",
    "mysql": """
        SELECT column_name FROM information_schema.statistics
        WHERE table_schema = DATABASE() AND table_name = %s AND index_name = 'PRIMARY' ORDER BY seq_in_index""",
    "sqlite": "SELECT name FROM pragma_table_info(%s) WHERE pk > 0 ORDER BY pk",
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How much of the database a fill may take."""

    #: Share of the time in which it works; the rest it sleeps.
    share: float = 0.5
    #: Seconds that a batch should take. Batches grow and shrink towards it, within these numbers of rows.
    batch_seconds: float = 0.1
    smallest: int = 100
    largest: int = 20_000
    #: Seconds by which a replica may be behind before the fill waits for it.
    replica_lag: float = 5.0
    #: Seconds for which a batch waits for rows that others have locked, and goes on trying.
    lock_timeout: float = 0.2
    lock_patience: float = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fill has come."""

    filled: int
    #: Rows looked at, and as many as there are about.
    seen: int
    rows: int
    #: Since it began, in seconds; and until it will have ended, as far as can be told.
    seconds: float
    left: float | None
    #: Seconds by which the slowest replica is behind, where the fill waits for it.
    lag: float = 0.0


def fill(
    connection: BaseDatabaseWrapper,
    table: str,
    column: str,
    value: Any,
    *,
    pace: Pace = Pace(),
    told: Callable[[Progress], None] = lambda progress: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Put `value`, which is ready for the database, where NULL is; returns in how many rows.

    With DEFAULT, which SQLite cannot assign, it is the column's own default. Safe to repeat, and after an interruption
    it goes on at the first NULL. A row that gets a NULL behind the place that it has reached stays as it is: the last
    fill belongs behind what makes that impossible. A table without a primary key is filled by one statement. Raises
    TransactionManagementError on a connection that is in a transaction, else the DatabaseError that it met: also where
    a row's lock was not to be had for `pace.lock_patience` seconds.
    """
    if not connection.get_autocommit():
        raise TransactionManagementError("a fill in one transaction would lock every row until its end")
    work = _Work(connection, table, column, pace, told, sleep, clock)
    with work.impatient():
        return work.run(value)


def primary_key(connection: BaseDatabaseWrapper, table: str) -> tuple[str, ...]:
    """The columns of a table's primary key, in its order; empty where it has none."""
    name = connection.ops.quote_name(table) if connection.vendor == "postgresql" else table
    with connection.cursor() as cursor:
        cursor.execute(_PRIMARY_KEY[connection.vendor], [name])
        return tuple(row[0] for row in cursor.fetchall())


class _Work:
    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        table: str,
        column: str,
        pace: Pace,
        told: Callable[[Progress], None],
        sleep: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        self.connection = connection
        self.pace = pace
        self.told = told
        self.sleep = sleep
        self.clock = clock
        self.table = self._quote(table)
        self.column = self._quote(column)
        self.key = primary_key(connection, table)
        self.names = ", ".join(map(self._quote, self.key))
        self.size = min(max(1_000, pace.smallest), pace.largest)
        self.started = clock()
        self.rows = self._about(table)
        self.filled = self.seen = 0

    def _quote(self, name: str) -> str:
        # Statements have parameters: a percent sign in a name must not be read as one.
        return self.connection.ops.quote_name(name).replace("%", "%%")

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Wait for locked rows for a moment only: whoever waits holds up others with the rows that it has."""
        setting = {
            "postgresql": ("lock_timeout", f"{max(1, int(self.pace.lock_timeout * 1000))}"),
            "mysql": ("innodb_lock_wait_timeout", f"{max(1, round(self.pace.lock_timeout))}"),
        }.get(self.connection.vendor)
        if setting is None:
            yield
            return
        name, short = setting
        with self.connection.cursor() as cursor:
            cursor.execute(f"SHOW {name}" if self.connection.vendor == "postgresql" else f"SELECT @@SESSION.{name}")
            before = cursor.fetchone()[0]
            cursor.execute(f"SET SESSION {name} = {short}")
        try:
            yield
        finally:
            with self.connection.cursor() as cursor:
                cursor.execute(f"SET SESSION {name} = %s", [before])

    def run(self, value: Any) -> int:
        if not self.key:
            return self._update(value, [], [])
        after = self._one(f"WHERE {self.column} IS NULL ORDER BY {self.names} LIMIT 1", [])
        # The first row that lacks a value is part of its batch, those that a batch ended with are not of the next.
        inclusive = True
        while after is not None:
            began = self.clock()
            beyond, params = self._compared(">=" if inclusive else ">", after)
            last = self._one(f"WHERE {beyond} ORDER BY {self.names} LIMIT 1 OFFSET {self.size - 1}", params)
            conditions = [beyond]
            if last is not None:
                within, more = self._compared("<=", last)
                conditions.append(within)
                params = [*params, *more]
            self.filled += self._update(value, conditions, params)
            self.seen += self.size
            self._rest(self.clock() - began, last=last is None)
            after, inclusive = last, False
        return self.filled

    def _one(self, rest: str, params: Sequence[Any]) -> Key | None:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {self.names} FROM {self.table} {rest}", params)
            row = cursor.fetchone()
        return None if row is None else tuple(row)

    def _compared(self, how: str, key: Key) -> tuple[str, list[Any]]:
        """The condition that a row's key is before or behind another, so that an index serves it."""
        if self.connection.vendor != "mysql" or len(key) == 1:
            names = self.names if len(key) == 1 else f"({self.names})"
            return f"{names} {how} {'%s' if len(key) == 1 else '(' + ', '.join(['%s'] * len(key)) + ')'}", list(key)
        # MySQL and MariaDB read the whole table for a comparison of rows.
        strict = how[0]
        columns = [self._quote(name) for name in self.key]
        tiers, params = [], [key[0]]
        for place in range(len(key)):
            operator = how if place == len(key) - 1 else strict
            tiers.append(
                " AND ".join([*(f"{name} = %s" for name in columns[:place]), f"{columns[place]} {operator} %s"])
            )
            params += key[: place + 1]
        return f"{columns[0]} {strict}= %s AND ({' OR '.join(f'({tier})' for tier in tiers)})", params

    def _update(self, value: Any, conditions: Sequence[str], params: Sequence[Any]) -> int:
        where = " AND ".join([f"{self.column} IS NULL", *conditions])
        by_default = value is DEFAULT
        sql = f"UPDATE {self.table} SET {self.column} = {'DEFAULT' if by_default else '%s'} WHERE {where}"
        values = [*params] if by_default else [value, *params]
        deadline = self.clock() + self.pace.lock_patience
        for pause in locks.pauses():
            try:
                with self.connection.cursor() as cursor:
                    cursor.execute(sql, values)
                    return int(cursor.rowcount)
            except DatabaseError as error:
                if not locks.is_timeout(error) or self.clock() + pause > deadline:
                    raise
            self.sleep(pause)
        raise AssertionError("pauses have no end")

    def _rest(self, took: float, *, last: bool) -> None:
        pace = self.pace
        self.told(self._progress(last=last))
        if last:
            return
        if took > 2 * pace.batch_seconds:
            self.size = max(pace.smallest, self.size // 2)
        elif 2 * took < pace.batch_seconds:
            self.size = min(pace.largest, self.size * 2)
        self.sleep(took * (1 - pace.share) / pace.share)
        while (lag := replica_lag(self.connection) or 0.0) > pace.replica_lag:
            self.told(self._progress(lag=lag))
            self.sleep(1.0)

    def _progress(self, *, lag: float = 0.0, last: bool = False) -> Progress:
        seconds = self.clock() - self.started
        rows = max(self.rows, self.seen)
        left = 0.0 if last else seconds / self.seen * (rows - self.seen) if self.rows > self.seen else None
        return Progress(self.filled, self.seen, rows, seconds, left, lag)

    def _about(self, table: str) -> int:
        """About how many rows the table has, as far as that costs nothing; 0: it does not."""
        vendor = self.connection.vendor
        if vendor == "sqlite":
            return 0
        sql, name = (
            (
                "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)",
                self.connection.ops.quote_name(table),
            )
            if vendor == "postgresql"
            else (
                "SELECT table_rows FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s",
                table,
            )
        )
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [name])
            row = cursor.fetchone()
        return max(0, int(row[0] or 0)) if row else 0


def replica_lag(connection: BaseDatabaseWrapper) -> float | None:
    """Seconds by which the slowest replica is behind; None where that cannot be read.

    PostgreSQL tells it to roles with `pg_read_all_stats`; MySQL's and MariaDB's replicas tell nobody but those who ask
    them.
    """
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXTRACT(EPOCH FROM max(replay_lag)) FROM pg_stat_replication")
        row = cursor.fetchone()
    return None if row is None or row[0] is None else float(row[0])
