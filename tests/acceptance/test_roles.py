"""The application's database role is not the one that migrates."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from sampleapp.stage.databases import Database
from sampleapp.stage.processes import until
from tests.acceptance.harness import COLUMNS, Shop

SHOP = ("shop_product", "shop_supplier")


@pytest.fixture
def role(shop: Shop) -> Iterator[str]:
    """A role of the database server that may do nothing yet; its password is its name."""
    name = f"guard_{uuid.uuid4().hex[:10]}"
    query = shop.database.query
    if shop.database.vendor == "postgres":
        query(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
        try:
            yield name
        finally:
            query(f"DROP OWNED BY {name}")
            query(f"DROP ROLE {name}")
    else:
        query(f"CREATE USER {name}@'%' IDENTIFIED BY '{name}'")
        try:
            yield name
        finally:
            query(f"DROP USER {name}@'%'")


def _grant(database: Database, role: str) -> Callable[[str, str], None]:
    def grant(rights: str, table: str) -> None:
        if database.vendor == "postgres":
            database.query(f"GRANT {rights} ON {table} TO {role}")
        else:
            database.query(f"GRANT {rights} ON {database.name}.{table} TO {role}@'%'")

    return grant


@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
def test_a_role_that_may_not_write_the_ledger_is_never_taken_for_an_empty_fleet(shop: Shop, role: str) -> None:
    old = shop.release("r2", reach={"DB_USER": role, "DB_PASSWORD": role})
    new = shop.release("r3", ADOPTION_PERIOD=600)
    shop.release("r2").manage("migrate").ok()
    grant = _grant(shop.database, role)
    for table in SHOP:
        grant("SELECT, INSERT, UPDATE, DELETE", table)
    if shop.database.vendor == "postgres":
        for table in SHOP:
            grant("USAGE", f"SEQUENCE {table}_id_seq")

    server = shop.serve(old)
    assert server.request("POST", "/suppliers/", {"name": "any"})[0] == 201
    assert server.status("/guard/ready/") == 503
    assert "denied" in server.text
    new.manage("migrate").ok()
    seen = shop.serve(new).until_ready()
    waiting = new.manage("guard", "contract", "--wait", "--timeout", "1")
    assert waiting.code == 3, waiting.text
    assert shop.database.columns("shop_product") >= COLUMNS
    seen.stop()

    for table in _ledger_tables(shop):
        grant("SELECT, INSERT, UPDATE, DELETE", table)
        if shop.database.vendor == "postgres" and table in ("guard_step", "guard_event"):
            grant("USAGE", f"SEQUENCE {table}_id_seq")
    server.until_ready()
    until("it has registered", lambda: shop.ledger.live("r2"))


def _ledger_tables(shop: Shop) -> list[str]:
    schema = "current_schema()" if shop.database.vendor == "postgres" else "database()"
    return [
        row[0]
        for row in shop.database.query(
            "SELECT table_name FROM information_schema.tables "
            f"WHERE table_schema = {schema} AND substr(table_name, 1, 6) = 'guard_'"
        )
    ]
