"""Private connections: guard's own, beside the application's, never in its pool or its transactions."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.core.signals import setting_changed
from django.db import NotSupportedError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.schema import declared

VENDORS = frozenset({"sqlite", "postgresql", "mysql"})

#: Seconds that a connection attempt, and a wait for a lock in the ledger, may take.
CONNECT_TIMEOUT = 3
LOCK_WAIT = 1

#: Seconds that the server may take for each answer to a process that beats.
ANSWER_WITHIN = 10

#: What servers say of too many connections: SQLSTATE of PostgreSQL, numbers of MySQL and MariaDB.
_TOO_MANY = (" 53300", "too many clients", "remaining connection slots", "too many connections for")
_TOO_MANY_NUMBERS = frozenset({1040, 1203, 1226})

_PORTS = {"postgresql": "5432", "mysql": "3306"}

# What OPTIONS may say of where the database is, beside what does not tell two databases apart.
_PLACES = (
    *("service", "hostaddr", "host", "port", "dbname"),
    *("db", "database", "unix_socket", "read_default_file", "read_default_group"),
)


class WrongDriver(NotSupportedError):
    """guard can keep no ledger through the driver that Django uses."""


def wrong_driver(connection: BaseDatabaseWrapper) -> str:
    """Why guard can keep no ledger through the driver of this connection, in a sentence; empty where it can."""
    if connection.vendor != "postgresql":
        return ""
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if is_psycopg3:
        return ""
    return f"Django reaches database {connection.alias} through psycopg 2; guard's ledger needs psycopg 3."


#: What to do about it; Django takes psycopg 3 where both are installed.
RIGHT_DRIVER = 'Install psycopg 3 (`pip install "psycopg[binary]>=3.2"`): Django prefers it to psycopg 2.'


def unopened(alias: str, *, answer_within: int | None = None) -> BaseDatabaseWrapper:
    """A wrapper for a private connection to the alias's database; it connects at its first cursor.

    `answer_within` (seconds): give up on a server that is silent for longer, where the driver can. Raises
    WrongDriver where guard cannot use the alias's driver.
    """
    application = connections[alias]
    if why := wrong_driver(application):
        raise WrongDriver(f"{why} {RIGHT_DRIVER}")
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
        # Parameters that the server binds come with one statement at a time.
        options.pop("server_side_binding", None)
        # Said explicitly: under the server's own default of REPEATABLE READ the gate would miss a new row.
        options["isolation_level"] = IsolationLevel.READ_COMMITTED
        options["connect_timeout"] = _connect_timeout(options)
        options.setdefault("tcp_user_timeout", 10_000)
    elif application.vendor == "mysql":
        options["isolation_level"] = "read committed"
        options["connect_timeout"] = _connect_timeout(options)
        if answer_within is not None:
            options |= {"read_timeout": answer_within, "write_timeout": answer_within}
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
def private(alias: str, *, answer_within: int | None = None) -> Iterator[BaseDatabaseWrapper]:
    """A connection of guard's own to the alias's database, closed afterwards.

    READ COMMITTED, no pool, bounded connect and lock waits (seconds, not minutes). The wrapper has the attribute
    `guard_private = True`, so that the watch leaves it alone. Raises OperationalError where the database is away, and
    WrongDriver where guard cannot use its driver.
    """
    connection = unopened(alias, answer_within=answer_within)
    try:
        connection.ensure_connection()
        yield connection
    finally:
        connection.close()


def out_of_connections(error: BaseException) -> bool:
    """Whether a connection was refused because there are too many already."""
    cause = error.__cause__ or error
    if cause.args and cause.args[0] in _TOO_MANY_NUMBERS:
        return True
    # The driver has no SQLSTATE for a connection that never came to be.
    return any(words in str(error) for words in _TOO_MANY)


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

    A replica has none of its own: one that its settings call another one's mirror, or one that routers let models read
    from and none write to.
    """
    seen = set()
    found = []
    for alias in connections:
        connection = connections[alias]
        if (
            not can_guard(connection)
            or _mirrored(connection)
            or not router.allow_migrate(alias, "guard")
            or _primary(alias)
        ):
            continue
        location = _location(connection)
        if location not in seen:
            seen.add(location)
            found.append(alias)
    return tuple(found)


def companions(alias: str) -> tuple[str, ...]:
    """Every alias that leads to the database of this one, as far as settings say it: they share a ledger."""
    if alias not in connections.settings or not can_guard(connections[alias]):
        return (alias,)
    here = _location(connections[alias])
    return tuple(other for other in connections if other == alias or _location(connections[other]) == here)


declared.companions = companions


def ledger_alias(alias: str) -> str | None:
    """The guarded alias whose ledger speaks about what a connection to `alias` sees; None where there is none."""
    if alias not in connections.settings:
        # Django's own connections that name no database.
        return None
    # What is written somewhere else has its ledger there.
    written = _mirrored(connections[alias]) or _primary(alias)
    location = _location(connections[written if written in connections.settings else alias])
    guarded = guarded_aliases()
    return next((other for other in guarded if _location(connections[other]) == location), None) or _namesake(
        alias, guarded
    )


#: How often a router is asked where a model is read: many choose a replica at random.
_ASKED = 20

#: By alias: what `_ask_routers` found.
_primaries: dict[str, str] = {}


def _mirrored(connection: BaseDatabaseWrapper) -> str:
    """The alias whose replica this is, by its settings; empty: of none."""
    return str((connection.settings_dict.get("TEST") or {}).get("MIRROR") or "")


def _primary(alias: str) -> str:
    """The alias that the models write to which the routers let read at this one, if none writes here; else empty."""
    if not router.routers or not apps.models_ready:
        return ""
    if alias not in _primaries:
        _primaries[alias] = _ask_routers(alias)
    return _primaries[alias]


def _ask_routers(alias: str) -> str:
    written: Counter[str] = Counter()
    try:
        for model in apps.get_models(include_auto_created=True):
            there = router.db_for_write(model)
            if there == alias:
                return ""
            if any(router.db_for_read(model) == alias for _ in range(_ASKED)):
                written[there] += 1
    except Exception:
        # A router that cannot answer without an object's hint says nothing of whole models.
        return ""
    return written.most_common(1)[0][0] if written else ""


def _namesake(alias: str, guarded: tuple[str, ...]) -> str | None:
    """The one guarded database of the same name and kind, for an alias that takes no migrations and nobody writes to.

    Code names such a replica itself (`using="replica"`), so that no router tells whose it is.
    """
    connection = connections[alias]
    name = connection.settings_dict.get("NAME")
    if not name or not can_guard(connection) or not router.routers or router.allow_migrate(alias, "guard"):
        return None
    try:
        if any(router.db_for_write(model) == alias for model in apps.get_models(include_auto_created=True)):
            return None
    except Exception:
        return None
    same = [
        other
        for other in guarded
        if (connections[other].vendor, connections[other].settings_dict.get("NAME")) == (connection.vendor, name)
    ]
    return same[0] if len(same) == 1 else None


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("DATABASES", "DATABASE_ROUTERS", "INSTALLED_APPS"):
        _primaries.clear()


setting_changed.connect(_forget, dispatch_uid="guard.connecting")
