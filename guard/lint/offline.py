"""A connection that rules can ask about its kind of database, and that never reaches one."""

from __future__ import annotations

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


def connection(alias: str) -> BaseDatabaseWrapper:
    """A copy of the alias's connection that answers from its settings alone.

    What Django would ask of the server is answered as a recent server would.
    """
    copied: Any = connections[alias].copy()
    copied.guard_private = True
    if copied.vendor == "mysql":
        copied.__dict__["mysql_server_data"] = dict(_MYSQL)
    elif copied.vendor == "postgresql":
        copied.__dict__["pg_version"] = _POSTGRESQL
    elif copied.vendor == "sqlite":
        # Asking SQLite opens a file, which would be made.
        copied.settings_dict["NAME"] = ":memory:"
    found: BaseDatabaseWrapper = copied
    return found
