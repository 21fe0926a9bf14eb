"""The database's own expression for what a field's callable default gives, where it means the same."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from guard.phases import naming

_NOW = (timezone.now,)
_TODAY = (datetime.date.today, timezone.localdate, timezone.now)
_RANDOM = (uuid.uuid4,)

#: What decides how a value is stored: a field class that has its own may store something else.
_STORING = ("get_prep_value", "get_db_prep_value", "get_db_prep_save")


def expression(field: naming.Field, connection: BaseDatabaseWrapper) -> str:
    """SQL that gives for each row what the field gives for a row without a value; empty where there is none.

    Dates and times that depend on a time zone which the database does not know are left to Python.
    """
    kinds: tuple[tuple[type[models.Field[Any, Any]], Iterable[Any], Any], ...] = (
        (models.DateTimeField, _NOW, _moment),
        (models.DateField, _TODAY, _day),
        (models.TimeField, (), _time),
        (models.UUIDField, _RANDOM, _uuid),
    )
    for base, callables, sql in kinds:
        if not isinstance(field, base):
            continue
        automatic = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
        given = automatic or any(field.default == one for one in callables)
        stored = all(getattr(type(field), name) is getattr(base, name) for name in _STORING)
        try:
            return str(sql(connection)) if given and stored else ""
        except DatabaseError:
            # The server that decides cannot be asked.
            return ""
    return ""


def _zone() -> str:
    """A string literal with the time zone of Python's `today()`."""
    return "'{}'".format(settings.TIME_ZONE.replace("'", "''"))


def _moment(connection: BaseDatabaseWrapper) -> str:
    if connection.vendor == "postgresql":
        return "clock_timestamp()"
    if connection.vendor == "sqlite":
        if connection.timezone_name == "UTC":
            return "strftime('%Y-%m-%d %H:%M:%f', 'now')"
        # SQLite's local time is the process's, which Django sets to TIME_ZONE.
        return "" if settings.USE_TZ else "strftime('%Y-%m-%d %H:%M:%f', 'now', 'localtime')"
    # Not CURRENT_TIMESTAMP: the session's time zone is the server's.
    return "UTC_TIMESTAMP(6)" if connection.timezone_name == "UTC" and _expressions(connection) else ""


def _day(connection: BaseDatabaseWrapper) -> str:
    if connection.vendor == "postgresql":
        return f"(clock_timestamp() AT TIME ZONE {_zone()})::date"
    if connection.vendor == "sqlite":
        return "date('now', 'localtime')"
    return "UTC_DATE()" if settings.TIME_ZONE == "UTC" and _expressions(connection) else ""


def _time(connection: BaseDatabaseWrapper) -> str:
    if connection.vendor == "postgresql":
        return f"(clock_timestamp() AT TIME ZONE {_zone()})::time"
    if connection.vendor == "sqlite":
        return "strftime('%H:%M:%f', 'now', 'localtime')"
    return "UTC_TIME(6)" if settings.TIME_ZONE == "UTC" and _expressions(connection) else ""


def _uuid(connection: BaseDatabaseWrapper) -> str:
    if connection.vendor == "postgresql":
        return "gen_random_uuid()"
    if connection.vendor == "sqlite":
        return (
            "lower(hex(randomblob(6)) || '4' || substr(hex(randomblob(2)), 2) "
            "|| substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || hex(randomblob(6)))"
        )
    version = connection.mysql_version  # type: ignore[attr-defined]
    if not _expressions(connection) or (connection.mysql_is_mariadb and version < (10, 10)):  # type: ignore[attr-defined]
        return ""
    dash = "'-', " if connection.features.has_native_uuid_field else ""
    return (
        f"LOWER(CONCAT(HEX(RANDOM_BYTES(4)), {dash}HEX(RANDOM_BYTES(2)), {dash}'4', SUBSTR(HEX(RANDOM_BYTES(2)), 2), "
        f"{dash}SUBSTR('89AB', 1 + FLOOR(RAND() * 4), 1), SUBSTR(HEX(RANDOM_BYTES(2)), 2), {dash}HEX(RANDOM_BYTES(6))))"
    )


def _expressions(connection: BaseDatabaseWrapper) -> bool:
    return bool(connection.features.supports_expression_defaults)
