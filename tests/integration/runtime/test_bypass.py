"""Statements that pass by Django's execute wrappers are counted all the same, and once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.backends.sqlite3.base import SQLiteCursorWrapper
from django.db.backends.utils import CursorWrapper
from django.db.utils import ConnectionHandler

from guard.attribution import Attributor
from guard.attribution.watchlist import Watched, WatchList
from guard.runtime import bypass, watch
from guard.schema.footprint import Footprint
from sampleapp.stage import databases

SLATED = WatchList(1, (Watched("thing", "old", (("app", "0002"),)),))
ALIAS = "bypass"
ENGINES = {"sqlite": "sqlite3", "postgres": "postgresql", "mariadb": "mysql"}
USERS = {"postgres": "postgres", "mariadb": "root"}


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    vendor = request.param
    reason = databases.missing(vendor)
    if reason:
        if os.environ.get("GUARD_TEST_REQUIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    database = databases.create(vendor, tmp_path)
    settings = {
        "ENGINE": f"django.db.backends.{ENGINES[vendor]}",
        "NAME": database.name,
        "HOST": database.host,
        "PORT": database.port,
        "USER": USERS.get(vendor, ""),
    }
    made = ConnectionHandler({"default": settings})["default"]
    eye = watch.eye(ALIAS)
    try:
        with made.cursor() as cursor:
            cursor.execute("CREATE TABLE thing (id integer, old integer)")
        eye.open(Attributor(SLATED, made.vendor), SLATED, Footprint({}, frozenset()))
        watch.install(made, ALIAS)
        bypass.attend(slated=True)
        yield made
    finally:
        eye.forget()
        bypass.attend(slated=False)
        made.close()
        database.drop()


def counted() -> int:
    """How many statements were counted since the last time."""
    sightings = watch.eye(ALIAS).sightings
    batch = sightings.batch()
    total = sum(glimpse.count for glimpse in batch.glimpses(0.0))
    sightings.flushed(batch)
    return total


def test_a_statement_on_the_drivers_own_cursor_is_counted(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.cursor.execute("SELECT old FROM thing")
        cursor.cursor.executemany("INSERT INTO thing (old) VALUES (%s)", [(1,), (2,)])
    assert counted() == 2


def test_a_statement_through_django_is_counted_once(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT old FROM thing")
        cursor.executemany("INSERT INTO thing (old) VALUES (%s)", [(1,), (2,)])
    assert counted() == 2


def test_a_statement_given_by_name_is_counted(connection: Any) -> None:
    parameters = {"mysql": {"args": (1,)}, "postgresql": {"params": (1,), "prepare": True}}
    with connection.cursor() as cursor:
        cursor.cursor.execute(
            query="SELECT old FROM thing WHERE id = %s", **parameters.get(connection.vendor, {"params": (1,)})
        )
    assert counted() == 1


def test_the_same_text_past_the_wrappers_is_counted_again(connection: Any) -> None:
    sql = "SELECT old FROM thing"
    with connection.cursor() as cursor:
        cursor.execute(sql)
        cursor.cursor.execute(sql)
        cursor.cursor.execute(sql)
    assert counted() == 3


def test_what_does_not_touch_is_not_counted(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.cursor.execute("SELECT id FROM thing")
    assert counted() == 0


def test_quiet_work_is_not_counted(connection: Any) -> None:
    with watch.quiet(), connection.cursor() as cursor:
        cursor.cursor.execute("SELECT old FROM thing")
    assert counted() == 0


@pytest.mark.parametrize("connection", ["postgres"], indirect=True)
def test_copy_stream_and_psycopgs_own_execute_are_counted(connection: Any) -> None:
    with connection.cursor() as cursor:
        with cursor.copy("COPY thing (id, old) FROM STDIN") as copy:
            copy.write_row((1, 2))
        assert list(cursor.stream("SELECT old FROM thing")) == [(2,)]
        connection.connection.execute("SELECT old FROM thing")
    assert counted() == 3


@pytest.mark.parametrize("connection", ["sqlite"], indirect=True)
def test_a_script_on_sqlites_cursor_is_counted(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.executescript("UPDATE thing SET old = 1; DELETE FROM thing;")
    assert counted() == 1


def test_the_call_site_is_the_callers(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.cursor.execute("SELECT old FROM thing")
    batch = watch.eye(ALIAS).sightings.batch()
    assert {glimpse.call_site for glimpse in batch.glimpses(0.0)} != {""}
    assert all("test_the_call_site_is_the_callers" in glimpse.call_site for glimpse in batch.glimpses(0.0))


@pytest.mark.parametrize("connection", ["sqlite"], indirect=True)
def test_with_nothing_slated_every_method_is_the_drivers_own(connection: Any) -> None:
    assert hasattr(SQLiteCursorWrapper.__dict__["execute"], "guard_original")
    bypass.attend(slated=False)
    assert SQLiteCursorWrapper.execute.__module__ == SQLiteCursorWrapper.__module__
    assert "executescript" not in SQLiteCursorWrapper.__dict__


def test_django_still_hands_statements_on_from_the_methods_that_are_passed_over() -> None:
    # Private names of Django's: were one renamed, every statement would be counted twice.
    assert {"_execute", "_executemany"} <= CursorWrapper.__dict__.keys()
    assert None not in (bypass._EXECUTE, bypass._EXECUTEMANY)
