"""How guard speaks to its own tables: one statement, or one short transaction, that never waits for long."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, DataError, Error, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.ledger import connecting

#: Rows in one INSERT: far below every vendor's limit of parameters.
_BATCH = 50

_NOW = {
    # The clock at the moment of evaluation, not at the start of the transaction, which may have waited for a lock.
    "postgresql": "EXTRACT(EPOCH FROM clock_timestamp())::double precision",
    "mysql": "(UNIX_TIMESTAMP(SYSDATE(6)) + 0e0)",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}
EXCLUSIVE = {"postgresql": " FOR UPDATE", "mysql": " FOR UPDATE", "sqlite": ""}


class LedgerMissing(Exception):
    """guard's tables are not in this database: `manage.py migrate` has not run since guard was installed."""


class Conflict(Exception):
    """A contract step changed between being read and being written: somebody else is at work on it."""


#: A statement with its parameters.
Statement = tuple[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one statement answered: its rows, how many it found or changed, and the id that MySQL gives back."""

    rows: list[tuple[Any, ...]]
    count: int
    last_id: int = 0


class Conversation:
    """A transaction under way: what its first statements answered, and what is to be sent with its COMMIT."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._last: list[Statement] = []

    def last(self, sql: str, params: Sequence[Any]) -> None:
        """Send this with the COMMIT, in one round trip where that can be had: nothing of its answer is asked."""
        self._last.append((sql, params))


class Tables:
    """guard's own tables in one database, on one connection, used by one thread."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self._now = _NOW[connection.vendor]

    def _table(self, name: str) -> str:
        return self.connection.ops.quote_name(f"guard_{name}")

    def _columns(self, names: Iterable[str]) -> str:
        return ", ".join(self.connection.ops.quote_name(name) for name in names)

    def _run(self, sql: str, params: Sequence[Any] = ()) -> int:
        return self._ask(sql, params).count

    def _fetch(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._ask(sql, params).rows

    def _ask(self, sql: str, params: Sequence[Any] = ()) -> Answer:
        """One statement, in one round trip. No lock makes it wait for longer than LOCK_WAIT."""
        if not self._stands_alone():
            return self._send(sql, params)[0]
        # The limit holds for this statement alone: behind a pooler, a setting of the session would be the next one's.
        statements = [*_beginning(connecting.LOCK_WAIT, None), (sql, params), ("COMMIT", ())]
        try:
            return self._together(statements)[-2]
        except BaseException:
            self._end("ROLLBACK")
            raise

    def _stands_alone(self) -> bool:
        """Whether a statement has no limits yet: those of MySQL, MariaDB and SQLite are their private connection's."""
        connection = self.connection
        if connection.vendor != "postgresql" or not connecting.is_private(connection):
            return False
        driver = connection.connection
        return driver is None or driver.info.transaction_status.name == "IDLE"

    def _send(self, sql: str, params: Sequence[Any] = ()) -> list[Answer]:
        """One round trip; an answer for each statement in it."""
        answers = []
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            while True:
                found = [] if cursor.description is None else list(cursor.fetchall())
                answers.append(Answer(found, int(cursor.rowcount), int(getattr(cursor, "lastrowid", 0) or 0)))
                if self.connection.vendor != "postgresql" or not cursor.nextset():
                    return answers

    def _together(self, statements: Sequence[Statement]) -> list[Answer]:
        """Several statements: on PostgreSQL in one round trip, of which each sees what was committed before it."""
        if self.connection.vendor != "postgresql":
            return [self._send(sql, params)[0] for sql, params in statements]
        return self._send("; ".join(sql for sql, _ in statements), [p for _, params in statements for p in params])

    def insert(self, table: str, values: Mapping[str, Any]) -> None:
        """INSERT one row into one of the ledger's tables; texts are made storable."""
        self._run(
            f"INSERT INTO {self._table(table)} ({self._columns(values)}) VALUES ({', '.join(['%s'] * len(values))})",
            [storable(value, None) if isinstance(value, str) else value for value in values.values()],
        )

    def update(
        self,
        table: str,
        values: Mapping[str, Any],
        where: str,
        params: Sequence[Any],
        *,
        raw: Mapping[str, str] | None = None,
    ) -> int:
        """UPDATE rows; `raw` assigns SQL. Returns how many rows matched."""
        quote = self.connection.ops.quote_name
        # SQL first: MySQL and MariaDB would else show it what the same statement has just assigned.
        sets = [f"{quote(name)} = {sql}" for name, sql in (raw or {}).items()]
        sets += [f"{quote(name)} = %s" for name in values]
        return self._run(
            f"UPDATE {self._table(table)} SET {', '.join(sets)} WHERE {where}", [*values.values(), *params]
        )

    def select(self, table: str, columns: Sequence[str], where: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        """SELECT columns of one of the ledger's tables."""
        return self._fetch(f"SELECT {self._columns(columns)} FROM {self._table(table)} WHERE {where}", params)

    def exists(self) -> bool:
        """Whether guard's tables are in this database."""
        with self.connection.cursor() as cursor:
            return "guard_gate" in self.connection.introspection.table_names(cursor)

    @contextmanager
    def transaction(
        self,
        *first: Statement,
        lock_wait: float = connecting.LOCK_WAIT,
        limit: float | None = None,
        idle: float | None = None,
    ) -> Iterator[Conversation]:
        """One short transaction on a private connection, READ COMMITTED; any failure rolls all of it back.

        `first`: statements that are sent with its BEGIN. `lock_wait` and `limit` (of each statement, and of idling
        between two) are in seconds; MySQL and MariaDB count idling, and waits for locks, in whole ones. `idle` limits
        idling alone, on PostgreSQL. Raises LedgerMissing, or the DatabaseError that it met.
        """
        bounded = self.connection.vendor == "mysql" and limit is not None
        talk = Conversation()
        try:
            if bounded:
                self._send(self._bounds(limit))
            talk.answers = self._begin(lock_wait, limit, idle, first)
            yield talk
            self._together([*talk._last, ("COMMIT", ())])
        except BaseException as error:
            # A lock wait that times out on MariaDB undoes its statement only.
            self._end("ROLLBACK")
            if isinstance(error, DatabaseError):
                _say_if_missing(error)
            raise
        finally:
            if bounded and self.connection.connection is not None:
                self._end(self._bounds(None))

    def _begin(
        self, lock_wait: float, limit: float | None, idle: float | None, first: Sequence[Statement]
    ) -> list[Answer]:
        begin: list[Statement] = [("BEGIN IMMEDIATE" if self.connection.vendor == "sqlite" else "BEGIN", ())]
        if self.connection.vendor == "postgresql":
            begin = _beginning(lock_wait, limit, idle)
        return self._together([*begin, *first])[len(begin) :]

    def _bounds(self, limit: float | None) -> str:
        """What makes the server end a session of MySQL or MariaDB that says nothing for `limit` seconds."""
        bounds: dict[str, float | None] = {"wait_timeout": None if limit is None else math.ceil(limit)}
        if getattr(self.connection, "mysql_is_mariadb", False):
            # Longer than a wait for a lock, which must end with the error that says so.
            bounds["max_statement_time"] = None if limit is None else max(limit, connecting.LOCK_WAIT + 0.5)
        return "SET SESSION " + ", ".join(
            f"{name} = {'DEFAULT' if value is None else value}" for name, value in bounds.items()
        )

    def _end(self, sql: str) -> None:
        try:
            self._send(sql)
        except Error:
            # The connection is gone, and with it the transaction. Some drivers call that an InterfaceError.
            self.connection.close()

    def now(self) -> float:
        """Seconds since the epoch, by the database's clock."""
        return float(self._fetch(f"SELECT {self._now}")[0][0])

    def _upsert(
        self,
        table: str,
        key: str,
        columns: Sequence[str],
        count: int,
        updates: str,
        computed: Mapping[str, str] | None = None,
    ) -> str:
        """INSERT of `count` rows which, where the key is there, does `updates` (empty: nothing) instead.

        In `updates`, {here} stands for the table, {new} for the row that was to be inserted: {new[count]}.
        `computed` has SQL for the columns that are no plain parameter.
        """
        row = "(" + ", ".join((computed or {}).get(column, "%s") for column in columns) + ")"
        sql = f"INSERT INTO {self._table(table)} ({self._columns(columns)}) VALUES {', '.join([row] * count)}"
        quote = self.connection.ops.quote_name
        if self.connection.vendor == "mysql":
            if not updates:
                return f"{sql} ON DUPLICATE KEY UPDATE {quote(key)} = {quote(key)}"
            new = _New(self._table(table), lambda c: f"VALUES({quote(c)})")
            return f"{sql} ON DUPLICATE KEY UPDATE " + updates.format_map(new)
        if not updates:
            return f"{sql} ON CONFLICT ({quote(key)}) DO NOTHING"
        new = _New(self._table(table), lambda c: f"excluded.{quote(c)}")
        return f"{sql} ON CONFLICT ({quote(key)}) DO UPDATE SET " + updates.format_map(new)

    @property
    def least_greatest(self) -> tuple[str, str]:
        """The functions that give the least and the greatest of two values."""
        return ("MIN", "MAX") if self.connection.vendor == "sqlite" else ("LEAST", "GREATEST")

    def delete(self, table: str, key: str, keys: Sequence[str]) -> None:
        """DELETE rows of one of the ledger's tables, all of them: raises Conflict where one is gone already."""
        quoted = self.connection.ops.quote_name(key)
        marks = ", ".join(["%s"] * len(keys))
        if self._run(f"DELETE FROM {self._table(table)} WHERE {quoted} IN ({marks})", keys) != len(keys):
            raise Conflict(f"Rows of {table} that were locked have gone.")

    def upsert(
        self, table: str, key: str, columns: Sequence[str], values: Sequence[Sequence[Any]], updates: str
    ) -> None:
        """INSERT rows which, where their key is there, do `updates` instead (empty: nothing).

        In `updates`, {here} stands for the table, {new[column]} for what was to be inserted.
        """
        for start in range(0, len(values), _BATCH):
            batch = values[start : start + _BATCH]
            self._run(self._upsert(table, key, columns, len(batch), updates), [value for row in batch for value in row])


def _beginning(lock_wait: float, limit: float | None, idle: float | None = None) -> list[Statement]:
    """What begins a transaction of PostgreSQL with its limits, in seconds."""
    limits = {"lock_timeout": lock_wait}
    if limit is not None:
        limits |= {"statement_timeout": limit, "idle_in_transaction_session_timeout": limit}
    if idle is not None:
        limits["idle_in_transaction_session_timeout"] = idle
    # The isolation is said here, because Django's does not reach this BEGIN, and the server's default may be another
    # one, under which the gate would miss a row that was committed while it waited for its lock.
    return [
        ("BEGIN ISOLATION LEVEL READ COMMITTED", ()),
        *((f"SET LOCAL {name} = {int(seconds * 1000)}", ()) for name, seconds in limits.items()),
    ]


def storable(value: str, limit: int | None) -> str:
    """A text as every vendor stores it: PostgreSQL takes no NUL, none takes half a surrogate pair."""
    return value.replace("\0", "\\0").encode(errors="backslashreplace").decode()[:limit]


def plainly_storable(value: str, limit: int | None) -> str:
    """The same where the database's own character set is narrower than Unicode."""
    return storable(value, limit).encode("ascii", "backslashreplace").decode()[:limit]


#: What the vendors say of a character that they cannot store: SQLSTATEs of PostgreSQL, numbers of MySQL and MariaDB.
_UNSTORABLE = frozenset({"22021", "22P05", 1300, 1366, 3988})
#: And of a table that is not there.
_MISSING = frozenset({"42P01", 1146})
#: A table of the ledger's in a server's words; what is set aside has a number in its name.
_OWN = re.compile(r"\bguard_[a-z]+(?![\w.])")


def _code(error: DatabaseError) -> object:
    cause = error.__cause__ or error
    # psycopg 3 and psycopg 2 name it differently.
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state or (cause.args[0] if cause.args else None)


def unstorable(error: DatabaseError) -> bool:
    """Whether the database cannot store a character of what it was given."""
    return isinstance(error, DataError | OperationalError) and _code(error) in _UNSTORABLE


def _say_if_missing(error: DatabaseError) -> None:
    """Raise LedgerMissing where that is why a statement failed."""
    # guard's DDL runs in the ledger's transactions too: a table of the project's own is another matter.
    if (_code(error) in _MISSING or "no such table" in str(error)) and _OWN.search(str(error)):
        raise LedgerMissing("guard's tables are not in this database: run `manage.py migrate`.") from error


@contextmanager
def reasons() -> Iterator[None]:
    """Raises LedgerMissing for the DatabaseErrors that mean it."""
    try:
        yield
    except DatabaseError as error:
        _say_if_missing(error)
        raise


class _New(dict[str, Any]):
    """Formats {here} and {new[column]} in an upsert's updates."""

    def __init__(self, here: str, render: Callable[[str], str]) -> None:
        self["here"] = here
        self["new"] = _Columns(render)


class _Columns:
    def __init__(self, render: Callable[[str], str]) -> None:
        self._render = render

    def __getitem__(self, column: str) -> str:
        return self._render(column)
