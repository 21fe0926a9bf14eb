"""A ledger on each database that can be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from guard.ledger import connecting
from sampleapp.stage import databases
from tests.integration.ledger.harness import LEASE, NEW, Place, desk, place, registration, step

VENDORS = databases.VENDORS
SERVERS = tuple(vendor for vendor in VENDORS if vendor != "sqlite")


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    """One per vendor that a test has asked for, made once: migrating takes seconds."""
    with ExitStack() as stack:
        yield {
            vendor: stack.enter_context(place(vendor, tmp_path_factory.mktemp("ledger")))
            for vendor in VENDORS
            if not databases.missing(vendor)
        }


def _clean(vendor: str, places: dict[str, Place]) -> Place:
    if vendor not in places:
        reason = databases.missing(vendor) or f"{vendor} was away when the tests began"
        if os.environ.get("GUARD_TEST_REQUIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    places[vendor].wipe()
    return places[vendor]


@pytest.fixture(params=VENDORS)
def each(request: pytest.FixtureRequest, places: dict[str, Place]) -> Place:
    """An empty ledger, on each database in turn."""
    return _clean(request.param, places)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, places: dict[str, Place]) -> Place:
    """An empty ledger, on each database that is a server."""
    return _clean(request.param, places)


@pytest.fixture
def postgres(places: dict[str, Place]) -> Place:
    return _clean("postgres", places)


@pytest.fixture
def mariadb(places: dict[str, Place]) -> Place:
    return _clean("mariadb", places)


@pytest.fixture
def sqlite(places: dict[str, Place]) -> Place:
    return _clean("sqlite", places)


@pytest.fixture
def table(each: Place) -> Iterator[Place]:
    """A table whose column is slated, with its migration recorded."""
    with connecting.private(each.alias) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS shop_item")
        cursor.execute("CREATE TABLE shop_item (id integer, old integer NULL)")
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0002_remove_old', '2026-01-01')"
        )
    try:
        with desk(each) as at:
            facts = at.gate.ddl.facts("shop_item", "old")
            assert facts is not None
            payload = {"found": facts.to_json(), "left": facts.to_json()}
            at.ledger.slate(step(payload=payload))
            at.ledger.register(registration("new", release="r2"), NEW, lease=LEASE)
        yield each
    finally:
        with connecting.private(each.alias) as connection, connection.cursor() as cursor:
            cursor.execute("DROP TABLE shop_item")
            cursor.execute("DELETE FROM django_migrations WHERE app = 'shop'")
