"""A connection that rules can ask about its kind of database, and that never reaches one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

#: What is taken for granted of a server that is not asked: the oldest versions that Django 5.2 runs with in full.
_MYSQL = {
    "version": "8.0.35",
    "sql_mode": "STRICT_TRANS_TABLES",
    "default_storage_engine": "InnoDB",
    "sql_auto_is_null": False,
    "lower_case_table_names": 0,
    "has_zoneinfo_database": True,
}
_POSTGRESQL = 150_000


def _answers(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """What Django would ask of the server, by the name of the cached property that keeps it."""
    if connection.vendor == "mysql":
        return {"mysql_server_data": dict(_MYSQL)}
    return {"pg_version": _POSTGRESQL} if connection.vendor == "postgresql" else {}


@contextmanager
def answering() -> Iterator[None]:
    """The project's own connections answer as `connection` does what their servers have not been asked yet."""
    asked = [(held, set(vars(held))) for one in connections.all() for held in (one, one.features)]
    for one in connections.all():
        for name, answer in _answers(one).items():
            vars(one).setdefault(name, answer)
    try:
        yield
    finally:
        # What has followed from the answers goes with them.
        for held, known in asked:
            for name in vars(held).keys() - known:
                del vars(held)[name]


def connection(alias: str) -> BaseDatabaseWrapper:
    """A copy of the alias's connection that answers from its settings alone.

    What Django would ask of the server is answered as a recent server would.
    """
    copied: Any = connections[alias].copy()
    copied.guard_private = True
    copied.__dict__.update(_answers(copied))
    if copied.vendor == "sqlite":
        # Asking SQLite opens a file, which would be made.
        copied.settings_dict["NAME"] = ":memory:"
    found: BaseDatabaseWrapper = copied
    return found
