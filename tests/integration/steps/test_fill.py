"""Filling NULLs in batches: every row once, whatever the key; interrupted, held up, and told."""

from __future__ import annotations

import datetime
import decimal
import re
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from guard.ledger import connecting
from guard.steps import fill
from guard.steps.ddl import Ddl, ddl_for
from guard.steps.ddl.postgresql import _null_check_name

ROWS = 40
TINY = fill.Pace(share=1.0, smallest=3, largest=3)

#: The key's columns in SQL, by vendor where they differ, and its values for the n-th row.
KEYS: dict[str, tuple[dict[str, str], Any]] = {
    "integer": ({"": "id integer"}, lambda n: (n * 7 - 100,)),
    "text": ({"": "id varchar(20)"}, lambda n: (f"k{n * 13 % 41}' %s\\",)),
    "uuid": ({"postgresql": "id uuid", "": "id char(32)"}, lambda n: (uuid.UUID(int=(n * 99_991) ** 5 % 2**128).hex,)),
    "moment": (
        {"postgresql": "id timestamptz", "mysql": "id datetime(6)", "": "id datetime"},
        lambda n: (datetime.datetime(2024, 1, 1) + datetime.timedelta(days=n % 7, microseconds=n),),
    ),
    "decimal": ({"": "id numeric(9, 3)"}, lambda n: (decimal.Decimal(n * 17 % 41) / 8,)),
    "composite": ({"": "a integer, b varchar(9)"}, lambda n: (n % 5, f"b{n // 5}")),
    "three": ({"": "a integer, b integer, c integer"}, lambda n: (n % 2, n // 2 % 3, n)),
}


class Table:
    """A table `fill me` on a private connection, with a column that is NULL in some rows."""

    def __init__(self, connection: BaseDatabaseWrapper, columns: str, key: str) -> None:
        self.connection = connection
        self.name = connection.ops.quote_name("fill %me")
        self.run(f"CREATE TABLE {self.name} ({columns}, value integer{f', PRIMARY KEY ({key})' if key else ''})")

    def run(self, sql: str, params: Any = None) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(sql if params is None else sql.replace("%me", "%%me"), params)
            return cursor.fetchall() if cursor.description else None

    def insert(self, *keys: Any, every: int = 3) -> None:
        """Rows of which two in three lack a value."""
        for n, key in enumerate(keys):
            places = ", ".join(["%s"] * len(key))
            self.run(f"INSERT INTO {self.name} VALUES ({places}, %s)", [*key, None if n % every else 1])

    def values(self) -> dict[int | None, int]:
        return dict(self.run(f"SELECT value, COUNT(*) FROM {self.name} GROUP BY value"))

    def fill(self, **options: Any) -> int:
        return fill.fill(self.connection, "fill %me", "value", 2, **{"pace": TINY, "sleep": lambda _: None} | options)


@pytest.fixture
def private(connection: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    with connecting.private(connection.alias) as own:
        yield own
        with own.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {own.ops.quote_name('fill %me')}")


@pytest.fixture
def table(private: BaseDatabaseWrapper) -> Table:
    table = Table(private, "id integer", "id")
    table.insert(*((n,) for n in range(ROWS)))
    return table


@pytest.mark.parametrize("kind", KEYS)
def test_every_null_is_filled_and_nothing_else(private: BaseDatabaseWrapper, kind: str) -> None:
    types, key = KEYS[kind]
    columns = types.get(private.vendor, types[""])
    table = Table(private, columns, ", ".join(re.findall(r"\b(id|a|b|c) ", columns)))
    table.insert(*(key(n) for n in range(ROWS)))

    assert table.fill() == 26
    assert table.values() == {1: 14, 2: 26}
    assert table.fill() == 0


def test_a_table_without_a_key_is_filled_at_once(private: BaseDatabaseWrapper) -> None:
    table = Table(private, "id integer", "")
    table.insert((1,), (1,), (2,))

    assert fill.primary_key(private, "fill %me") == ()
    assert table.fill() == 2


def test_a_crash_in_each_batch_loses_nothing_and_does_nothing_twice(table: Table) -> None:
    class Crash(Exception):
        pass

    def crash(progress: fill.Progress) -> None:
        filled.append(progress.filled)
        raise Crash

    filled: list[int] = []
    for _ in range(ROWS):
        try:
            table.fill(told=crash)
            break
        except Crash:
            assert table.values().get(2) == sum(filled)

    assert sum(filled) == 26
    assert len(filled) > 10
    assert table.values() == {1: 14, 2: 26}


def test_progress_is_told_with_what_is_left(table: Table) -> None:
    told: list[fill.Progress] = []
    seconds = iter(range(1_000))

    table.fill(told=told.append, clock=lambda: float(next(seconds)))

    assert [progress.seen for progress in told] == sorted(progress.seen for progress in told)
    assert told[-1].filled == 26
    assert told[-1].left == 0.0
    if table.connection.vendor == "mysql":
        # The others count rows only when they are asked to.
        assert told[0].rows == pytest.approx(ROWS, abs=ROWS / 2)
        assert (told[0].left or 0.0) > (told[-2].left or 0.0)


def test_it_works_for_its_share_of_the_time(table: Table) -> None:
    now = [0.0]
    slept: list[float] = []

    def clock() -> float:
        now[0] += 0.01
        return now[0]

    table.fill(pace=fill.Pace(share=0.25, smallest=3, largest=3), sleep=slept.append, clock=clock)

    assert len(slept) >= 10
    # A batch looks at the clock when it begins, when it changes rows and when it ends.
    assert slept == [pytest.approx(3 * 0.02)] * len(slept)


def test_batches_grow_while_they_are_quick_and_shrink_when_they_are_slow(table: Table) -> None:
    told: list[fill.Progress] = []
    quick = fill.Pace(share=1.0, batch_seconds=1e6, smallest=2, largest=8)
    table.fill(pace=quick, told=told.append)
    assert told[0].seen == 8

    table.run(f"UPDATE {table.name} SET value = NULL")
    told.clear()
    table.fill(pace=fill.Pace(share=1.0, batch_seconds=0.0, smallest=2, largest=8), told=told.append)
    assert [progress.seen for progress in told[:4]] == [8, 12, 14, 16]


@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
def test_the_columns_own_default_fills_too(table: Table) -> None:
    table.run(f"ALTER TABLE {table.name} ALTER COLUMN value SET DEFAULT 7")

    assert fill.fill(table.connection, "fill %me", "value", fill.DEFAULT, pace=TINY) == 26
    assert table.values() == {1: 14, 7: 26}


@pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)
def test_where_ddl_commits_the_expand_step_fills_in_batches_too(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill, "fill", lambda *args: asked.append(args))
    asked: list[Any] = []
    ddl(table).fill_nulls("fill %me", "value", 2)

    assert asked == [(table.connection, "fill %me", "value", 2)]


def test_a_transaction_is_refused(table: Table) -> None:
    alias = table.connection.alias
    with transaction.atomic(using=alias), pytest.raises(TransactionManagementError):
        fill.fill(connections[alias], "fill %me", "value", 2)


@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
def test_rows_that_others_have_locked_are_waited_for_a_moment_at_a_time(table: Table) -> None:
    with connecting.private(table.connection.alias) as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"UPDATE {table.name} SET value = 9 WHERE id = 20")
        released = threading.Event()

        def release(seconds: float) -> None:
            # The first pause is the one behind the locked row.
            if not released.is_set() and table.values().get(2, 0) > 10:
                cursor.execute("COMMIT")
                released.set()

        pace = fill.Pace(share=1.0, smallest=3, largest=3, lock_timeout=0.05)
        assert table.fill(pace=pace, sleep=release) == 25
    assert released.is_set()
    assert table.values() == {1: 14, 2: 25, 9: 1}


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
def test_giving_up_on_a_locked_row_leaves_what_is_filled_and_the_session_as_it_was(table: Table) -> None:
    before = table.run("SHOW lock_timeout")
    with connecting.private(table.connection.alias) as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"UPDATE {table.name} SET value = 9 WHERE id = 20")
        with pytest.raises(DatabaseError):
            table.fill(pace=fill.Pace(share=1.0, smallest=3, largest=3, lock_timeout=0.05, lock_patience=0.0))
        cursor.execute("ROLLBACK")
    assert table.values()[2] == 12
    assert table.run("SHOW lock_timeout") == before
    assert table.fill() == 14


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
def test_it_waits_for_a_replica_that_is_behind(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fill.replica_lag(table.connection) is None
    lags = iter([9.0, 8.0])
    monkeypatch.setattr(fill, "replica_lag", lambda connection: next(lags, None))
    told: list[fill.Progress] = []
    slept: list[float] = []

    table.fill(told=told.append, sleep=slept.append)

    assert [progress.lag for progress in told[:4]] == [0.0, 9.0, 8.0, 0.0]
    assert slept.count(1.0) == 2


# NOT NULL behind it


def ddl(table: Table) -> Ddl:
    return ddl_for(table.connection, lambda sql, params: table.run(sql, params))


def is_null(table: Table) -> bool:
    facts = ddl(table).facts("fill %me", "value")
    assert facts is not None
    return facts.null


def strong_locks(table: Table) -> set[str]:
    return {
        mode
        for (mode,) in table.run(
            "SELECT mode FROM pg_locks WHERE relation = to_regclass(%s) AND pid = pg_backend_pid()", [table.name]
        )
    }


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
def test_not_null_reads_the_table_without_the_lock_that_stops_readers(table: Table) -> None:
    changing = ddl(table)
    table.run("BEGIN")
    changing.begin_forbid_null("fill %me", "value")
    table.run("COMMIT")
    with pytest.raises(IntegrityError):
        table.run(f"INSERT INTO {table.name} VALUES (1000, NULL)")
    with pytest.raises(IntegrityError):
        changing.validate_forbid_null("fill %me", "value")
    table.fill()

    table.run("BEGIN")
    changing.validate_forbid_null("fill %me", "value")
    assert strong_locks(table) & {"AccessExclusiveLock", "ExclusiveLock", "ShareRowExclusiveLock"} == set()
    table.run("COMMIT")
    scans = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = to_regclass(%s)"
    table.run("BEGIN")
    before = table.run(scans, [table.name])
    changing.forbid_null("fill %me", "value")
    assert table.run(scans, [table.name]) == before
    table.run("COMMIT")

    assert not is_null(table)
    checks = "SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype = 'c'"
    assert table.run(checks, [table.name]) == []


@pytest.mark.parametrize("done", range(4))
def test_interrupted_anywhere_between_filling_and_not_null_it_goes_on(table: Table, done: int) -> None:
    def parts() -> Iterator[None]:
        changing = ddl(table)
        yield changing.begin_forbid_null("fill %me", "value")
        table.fill()
        yield
        yield changing.validate_forbid_null("fill %me", "value")
        if table.connection.vendor != "sqlite":
            changing.forbid_null("fill %me", "value")
        yield

    for _, _ in zip(range(done), parts(), strict=False):
        pass
    for _ in parts():
        pass

    assert table.values() == {1: 14, 2: 26}
    assert is_null(table) == (table.connection.vendor == "sqlite")


def test_a_long_columns_name_makes_no_name_that_the_server_would_cut() -> None:
    names = {_null_check_name(column) for column in ("c" * 60, "c" * 59 + "d", "é" * 31)}
    assert len(names) == 3
    assert all(len(name.encode()) <= 63 for name in names)
