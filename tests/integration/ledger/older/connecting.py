"""Private connections: guard's own, beside the application's, never in its pool or its transactions."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

VENDORS = frozenset({"sqlite", "postgresql", "mysql"})

#: Seconds that a connection attempt, and a wait for a lock in the ledger, may take.
CONNECT_TIMEOUT = 3
LOCK_WAIT = 1

_PORTS = {"postgresql": "5432", "mysql": "3306"}

# What OPTIONS may say of where the database is, beside what does not tell two databases apart.
_PLACES = (
    *("service", "hostaddr", "host", "port", "dbname"),
    *("db", "database", "unix_socket", "read_default_file", "read_default_group"),
)


def unopened(alias: str) -> BaseDatabaseWrapper:
    """A wrapper for a private connection to the alias's database; it connects at its first cursor."""
    application = connections[alias]
    # Not a deep copy: OPTIONS may hold what cannot be copied, such as an SSL context.
    options: dict[str, Any] = dict(application.settings_dict["OPTIONS"])
    settings: dict[str, Any] = {
        **application.settings_dict,
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False,
        "ATOMIC_REQUESTS": False,
        "AUTOCOMMIT": True,
        "OPTIONS": options,
    }
    if application.vendor == "postgresql":
        from django.db.backends.postgresql.psycopg_any import IsolationLevel

        # A second connection from a small pool can starve it.
        options.pop("pool", None)
        # Said explicitly: under the server's own default of REPEATABLE READ the gate would miss a new row.
        options["isolation_level"] = IsolationLevel.READ_COMMITTED
        options["connect_timeout"] = _connect_timeout(options)
        options.setdefault("tcp_user_timeout", 10_000)
    elif application.vendor == "mysql":
        options["isolation_level"] = "read committed"
        options["connect_timeout"] = _connect_timeout(options)
    elif application.vendor == "sqlite":
        options["timeout"] = LOCK_WAIT
        options["transaction_mode"] = "IMMEDIATE"
    wrapper: BaseDatabaseWrapper = type(application)(settings, alias)
    wrapper.guard_private = True  # type: ignore[attr-defined]
    if wrapper.vendor == "mysql":
        wrapper.init_connection_state = _prepared(wrapper)  # type: ignore[method-assign]
    return wrapper


def _connect_timeout(options: Mapping[str, Any]) -> int:
    """The project's own where it is shorter; zero and less would be no limit."""
    given = int(options.get("connect_timeout") or 0)
    return min(given, CONNECT_TIMEOUT) if given > 0 else CONNECT_TIMEOUT


def _prepared(wrapper: BaseDatabaseWrapper) -> Callable[[], None]:
    """Prepares each session of MySQL or MariaDB: a wrapper that has lost its session connects again by itself."""
    usual = wrapper.init_connection_state

    def init_connection_state() -> None:
        usual()
        with wrapper.cursor() as cursor:
            # UTC, because a time in a zone with summer time is ambiguous for an hour each year.
            cursor.execute(
                "SET SESSION innodb_lock_wait_timeout = %s, lock_wait_timeout = %s, time_zone = '+00:00'",
                [LOCK_WAIT, LOCK_WAIT],
            )

    return init_connection_state


@contextmanager
def private(alias: str) -> Iterator[BaseDatabaseWrapper]:
    """A connection of guard's own to the alias's database, closed afterwards.

    READ COMMITTED, no pool, bounded connect and lock waits (seconds, not minutes). The wrapper has the attribute
    `guard_private = True`, so that the watch leaves it alone. Raises OperationalError where the database is away.
    """
    connection = unopened(alias)
    try:
        connection.ensure_connection()
        yield connection
    finally:
        connection.close()


def is_private(connection: BaseDatabaseWrapper) -> bool:
    """Whether a connection is guard's own."""
    return getattr(connection, "guard_private", False)


def _location(connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    """What tells one ledger from another, as far as settings say it."""
    settings = connection.settings_dict
    name = settings.get("NAME") or ""
    if connection.vendor == "sqlite":
        path = str(name)
        if path.startswith("file:"):
            path = path.removeprefix("file:").partition("?")[0]
        return (connection.vendor, os.path.realpath(path))
    options = settings.get("OPTIONS") or {}
    # On PostgreSQL another schema holds another ledger.
    schema = re.search(r"search_path\s*=\s*((?:\\.|\S)+)", str(options.get("options") or ""))
    return (
        connection.vendor,
        str(settings.get("HOST") or "").casefold(),
        str(settings.get("PORT") or _PORTS.get(connection.vendor, "")),
        str(name),
        *(str(options.get(key) or "") for key in _PLACES),
        schema[1] if schema else "",
    )


def can_guard(connection: BaseDatabaseWrapper) -> bool:
    """Whether guard knows this kind of database, and other processes can reach it.

    A database in the memory of one process has no other code deployed against it.
    """
    if connection.vendor not in VENDORS:
        return False
    if connection.vendor == "sqlite":
        name = str(connection.settings_dict["NAME"])
        return not any(mark in name for mark in (":memory:", "mode=memory", "vfs=memdb"))
    return True


def guarded_aliases() -> tuple[str, ...]:
    """Aliases whose database holds a ledger by the routers' word, one alias per database.

    An alias that its settings call another one's mirror is a replica: its ledger is that one's.
    """
    seen = set()
    found = []
    for alias in connections:
        connection = connections[alias]
        if (
            not can_guard(connection)
            or (connection.settings_dict.get("TEST") or {}).get("MIRROR")
            or not router.allow_migrate(alias, "guard")
        ):
            continue
        location = _location(connection)
        if location not in seen:
            seen.add(location)
            found.append(alias)
    return tuple(found)


def ledger_alias(alias: str) -> str | None:
    """The guarded alias whose ledger speaks about what a connection to `alias` sees; None where there is none."""
    if alias not in connections.settings:
        # Django's own connections that name no database.
        return None
    mirrored = (connections[alias].settings_dict.get("TEST") or {}).get("MIRROR")
    location = _location(connections[mirrored if mirrored in connections.settings else alias])
    return next((other for other in guarded_aliases() if _location(connections[other]) == location), None)
