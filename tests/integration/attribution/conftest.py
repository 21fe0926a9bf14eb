"""Databases with the library's schema, one for each vendor that is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.integration.attribution import library, smith


def _settings(vendor: str) -> dict[str, object]:
    if vendor == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    name, default, engine = {
        "postgresql": ("GUARD_TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres", "postgresql"),
        "mysql": ("GUARD_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql", "mysql"),
    }[vendor]
    url = urlsplit(os.environ.get(name, default))
    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": url.path.lstrip("/"),
        "USER": url.username or "",
        "PASSWORD": url.password or "",
        "HOST": url.hostname or "",
        "PORT": str(url.port or ""),
    }


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mysql"])
def alias(request: pytest.FixtureRequest) -> Iterator[str]:
    """The alias of a database with the library in it; skipped where its server is away."""
    with _database(request.param, "attribution", library.create) as alias:
        yield alias


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mysql"])
def smithy(request: pytest.FixtureRequest) -> Iterator[str]:
    """The same with the tables of the statements that are written at random."""
    with _database(request.param, "smithy", smith.create) as alias:
        yield alias


@contextmanager
def _database(vendor: str, kind: str, create: Callable[[BaseDatabaseWrapper], None]) -> Iterator[str]:
    name = f"guard_{kind}_{os.getpid()}"
    alias = f"{kind}_{vendor}"
    values = _settings(vendor)
    if vendor == "sqlite":
        connections.settings.update(connections.configure_settings({alias: values, "default": {}}))
    else:
        pytest.importorskip({"postgresql": "psycopg", "mysql": "MySQLdb"}[vendor])
        connections.settings.update(connections.configure_settings({f"{alias}_admin": values, "default": {}}))
        admin = connections[f"{alias}_admin"]
        try:
            admin.ensure_connection()
        except OperationalError as error:
            pytest.skip(f"{vendor} does not answer: {error}")
        with admin.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        own = values | {"NAME": name}
        if getattr(admin, "mysql_is_mariadb", False):
            # MariaDB never comes to the end of some explanations, and goes on when whoever asked has gone.
            own["OPTIONS"] = {"init_command": "SET SESSION max_statement_time = 60"}
        connections.settings.update(connections.configure_settings({alias: own, "default": {}}))
    try:
        create(connections[alias])
        yield alias
    finally:
        connection = connections[alias]
        connection.close()
        if vendor == "sqlite":
            # Django keeps a database in memory open.
            connection.connection.close()
        else:
            with admin.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name}")
            admin.close()
            del connections[f"{alias}_admin"]
        del connections[alias]
