"""Who registers: every worker, runserver, commands that loop and commands that end, and nobody else."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from sampleapp.stage.processes import until
from tests.acceptance.harness import COLUMNS, Shop


def test_each_gunicorn_worker_registers_and_says_that_it_is_gone(shop: Shop) -> None:
    _three_workers(shop)


# What a fork does to a connection differs between a file and a server, and not much between servers.
@pytest.mark.parametrize("vendor", ["sqlite", "postgres"], indirect=True)
def test_workers_that_were_forked_from_a_loaded_application_register_too(shop: Shop) -> None:
    _three_workers(shop, "--preload")


def _three_workers(shop: Shop, *options: str) -> None:
    release = shop.release("r2")
    release.manage("migrate").ok()
    server = shop.serve(release, workers=3, options=options).until_ready()

    def workers() -> list[dict[str, Any]]:
        # With --preload a worker may wait for its first request: they come to whichever accepts first.
        server.request("GET", "/products/")
        return [row for row in shop.ledger.live() if row["pid"] != server.pid]

    until("three workers are registered", lambda: len(workers()) == 3)
    rows = workers()
    assert {row["release_label"] for row in rows} == {"r2"}
    assert {row["kind"] for row in rows} == {"server"}
    assert len({row["pid"] for row in rows}) == len({row["id"] for row in rows}) == 3

    assert server.stop() == 0
    until("all have said that they are gone", lambda: shop.ledger.live() == [])


def test_runserver_registers_and_says_that_it_is_gone(shop: Shop) -> None:
    release = shop.release("r2")
    release.manage("migrate").ok()
    server = shop.runserver(release, "--noreload").until_ready()
    assert server.request("GET", "/products/")[0] == 200
    assert [row["kind"] for row in shop.ledger.live()] == ["server"]

    server.stop(signal.SIGINT)

    until("it has said that it is gone", lambda: shop.ledger.live() == [])


@pytest.mark.parametrize("vendor", ["sqlite"], indirect=True)
def test_runserver_with_its_reloader_is_one_server(shop: Shop) -> None:
    release = shop.release("r2")
    release.manage("migrate").ok()
    server = shop.runserver(release).until_ready()
    assert server.request("GET", "/products/")[0] == 200

    # The reloader kills its child a quarter of a second after it is interrupted: no farewell is demanded of that.
    (row,) = shop.ledger.live()
    assert row["kind"] == "server"
    assert row["pid"] != server.pid


def test_a_looping_command_keeps_its_lease_and_counts_what_it_touches(shop: Shop) -> None:
    old, new = shop.release("r2"), shop.release("r3")
    old.manage("migrate").ok()
    server = shop.serve(old)
    supplier = server.request("POST", "/suppliers/", {"name": "any"})[2]["id"]
    data = {"name": "any", "price": 1, "sku": "any", "supplier": supplier}
    assert server.request("POST", "/products/", data)[0] == 201
    server.stop()
    loop = shop.start(old, "restock", "--every", "50")
    until("it has registered", lambda: shop.ledger.live("r2"))
    (born,) = shop.ledger.live("r2")
    assert (born["kind"], born["workload"]) == ("command", "command:restock")

    new.manage("migrate").ok()
    until(
        "it counts its writes",
        lambda: [row for row in _sold_out(shop) if row["access"] == "write" and "restock.py" in row["call_site"]],
    )
    (now,) = shop.ledger.live("r2")
    assert now["id"] == born["id"]
    assert now["expires_at"] > born["expires_at"]
    shop.serve(new).until_ready()
    assert "restock" in new.manage("guard", "contract").ok().text
    assert shop.database.columns("shop_product") >= COLUMNS

    loop.stop()
    until("it has said that it is gone", lambda: shop.ledger.live("r2") == [])


def _sold_out(shop: Shop) -> list[dict[str, Any]]:
    # What has run out is what the command looks for.
    shop.database.query("UPDATE shop_product SET stock = 0")
    return shop.ledger.sightings("is_enabled")


def test_a_short_command_comes_and_goes_and_schema_commands_never_come(shop: Shop) -> None:
    release = shop.release("r2")
    release.manage("migrate").ok()
    for schema_command in (("migrate", "--check"), ("showmigrations",), ("makemigrations", "--check"), ("check",)):
        release.manage(*schema_command).ok()
    assert shop.ledger.instances() == []

    release.manage("report").ok()

    (row,) = shop.ledger.instances()
    assert (row["kind"], row["workload"], row["state"]) == ("command", "command:report", "gone")


def test_a_command_that_needs_what_was_set_aside_ends_before_its_work(shop: Shop) -> None:
    old, new = shop.release("r2"), shop.release("r3")
    old.manage("migrate").ok()
    shop.serve(old).until_ready().stop()
    new.manage("migrate").ok()
    shop.serve(new).until_ready()
    new.manage("guard", "contract", "--wait", "--timeout", "120").ok()

    refused = old.manage("report")

    assert refused.code != 0
    assert "products are for sale" not in refused.text
    assert "guard restore shop_product.is_enabled" in refused.text
    assert "Traceback" not in refused.text
    new.manage("report").ok()
