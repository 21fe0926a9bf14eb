"""Databases of the oracle's own, one per vendor, made for the run and dropped after it."""

import os
import uuid
from contextlib import ExitStack, contextmanager

import pytest
from django.db import connections
from django.db.utils import OperationalError

VENDORS = ("sqlite", "postgresql", "mysql")


def _server(variable, default):
    host, _, port = os.environ.get(variable, default).rpartition(":")
    return {"HOST": host, "PORT": port}


def _settings(vendor):
    if vendor == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    if vendor == "postgresql":
        return {
            "ENGINE": "django.db.backends.postgresql",
            "USER": "postgres",
            **_server("GUARD_TEST_POSTGRES", "127.0.0.1:5432"),
        }
    return {
        "ENGINE": "django.db.backends.mysql",
        "USER": "root",
        **_server("GUARD_TEST_MARIADB", "127.0.0.1:3306"),
    }


def _connect(alias, settings):
    connections.settings[alias] = {**connections.settings["default"], "TEST": {}, **settings}
    return connections[alias]


def _forget(alias):
    connections[alias].close()
    del connections[alias]
    del connections.settings[alias]


@contextmanager
def _database(vendor):
    settings = _settings(vendor)
    if vendor == "sqlite":
        made = _connect("oracle_sqlite", settings)
        yield made
        # Django leaves a database in memory open.
        if made.connection is not None:
            made.connection.close()
        _forget("oracle_sqlite")
        return
    name = f"guard_phases_{uuid.uuid4().hex[:12]}"
    maker = _connect(f"maker_{vendor}", {**settings, "NAME": "postgres" if vendor == "postgresql" else ""})
    try:
        with maker.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}" + (" CHARACTER SET utf8mb4" if vendor == "mysql" else ""))
    except OperationalError as error:
        _forget(f"maker_{vendor}")
        if os.environ.get("GUARD_TEST_REQUIRE") == "1":
            raise
        pytest.skip(f"no {vendor} server answers: {error}")
    try:
        yield _connect(f"oracle_{vendor}", {**settings, "NAME": name})
    finally:
        _forget(f"oracle_{vendor}")
        with maker.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name}")
        _forget(f"maker_{vendor}")


@pytest.fixture(scope="session")
def _databases():
    """A connection to one database of each vendor, made when it is first asked for."""
    opened = {}
    with ExitStack() as stack:

        def database(vendor):
            if vendor not in opened:
                opened[vendor] = stack.enter_context(_database(vendor))
            return opened[vendor]

        yield database


# Of a test's scope: where only some of a test's arguments are given indirectly, pytest remakes a wider one each time.
@pytest.fixture(params=VENDORS)
def connection(request, _databases):
    """A connection to an empty database of each vendor."""
    return _databases(request.param)
