"""Renewing on the application's own connection, while it is idle between two requests: no second one is opened.

Nothing here may wait: not for a lock, not for a slow server. What does not succeed at once is left to the heartbeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.ledger import connecting

#: Milliseconds that a statement may take on the application's connection, and wait for a lock.
LIMIT = 500
LOCK_LIMIT = 50

_POSTGRESQL = f"BEGIN; SET LOCAL lock_timeout = {LOCK_LIMIT}; SET LOCAL statement_timeout = {LIMIT}; "
# The zone, because a time in one with summer time is ambiguous for an hour each year.
_MARIADB = (
    "SET STATEMENT innodb_lock_wait_timeout = 0, lock_wait_timeout = 0, time_zone = '+00:00', "
    f"max_statement_time = {LIMIT / 1000} FOR "
)


def idle(alias: str) -> BaseDatabaseWrapper | None:
    """This thread's open connection to an alias's database, where it is in no transaction and could be used."""
    for connection in connections.all(initialized_only=True):
        if connection.alias == alias:
            return connection if _is_idle(connection) else None
    return None


def _is_idle(connection: BaseDatabaseWrapper) -> bool:
    driver = connection.connection
    if (
        driver is None
        or connecting.is_private(connection)
        or connection.in_atomic_block
        or not connection.autocommit
        or connection.errors_occurred
    ):
        return False
    if connection.vendor == "postgresql":
        # By the driver: somebody may have said BEGIN himself.
        return getattr(driver.info.transaction_status, "name", "") == "IDLE"
    # On SQLite opening a file costs nothing, and writing waits for whoever writes.
    return connection.vendor == "mysql" and bool(getattr(connection, "mysql_is_mariadb", False))


def execute(connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]) -> int | None:
    """Run one renewal at once; the number that it answers, or None where it changed nothing.

    With the driver's own cursor: neither the project's wrappers nor its query log should see it. Raises what the driver
    raises, with the connection idle again; one that turns out to be broken is closed, so that the project's next
    statement finds a new one.
    """
    try:
        return (_execute_mariadb if connection.vendor == "mysql" else _execute_postgresql)(connection, sql, params)
    except BaseException:
        if not _is_open(connection):
            connection.close()
        raise


def _is_open(connection: BaseDatabaseWrapper) -> bool:
    driver = connection.connection
    if connection.vendor == "postgresql":
        return not driver.closed
    try:
        driver.ping()
    except Exception:
        return False
    return True


def _execute_mariadb(connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]) -> int | None:
    with connection.connection.cursor() as cursor:
        cursor.execute(f"{_MARIADB}{sql} AND @@in_transaction = 0", params)
        return int(cursor.lastrowid) if cursor.rowcount > 0 else None


def _execute_postgresql(connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]) -> int | None:
    from psycopg import ClientCursor

    driver = connection.connection
    try:
        with ClientCursor(driver) as cursor:
            # One round trip; the parameters are bound here, because the server takes one statement at a time with any.
            cursor.execute(f"{_POSTGRESQL}{sql}; COMMIT", params)
            found = None
            while True:
                if cursor.description is not None:
                    row = cursor.fetchone()
                    found = None if row is None else int(row[0])
                if not cursor.nextset():
                    return found
    except BaseException:
        try:
            driver.rollback()
        except Exception:
            # Interrupted in the middle of an answer: of no use to anybody any more.
            driver.close()
        raise
