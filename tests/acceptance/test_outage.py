"""The database goes away while servers run, and comes back."""

from __future__ import annotations

import pytest

from sampleapp.stage.processes import until
from tests.acceptance.harness import Shop
from tests.acceptance.proxy import Proxy


@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
def test_servers_outlive_an_outage_and_lose_nothing_that_was_counted(shop: Shop) -> None:
    with Proxy(shop.database.host, int(shop.database.port)) as proxy:
        old = shop.release("r2", reach={"DB_PORT": str(proxy.port)}, LEASE=3)
        old.manage("migrate").ok()
        shop.release("r3").manage("migrate").ok()
        server = shop.serve(old).until_ready()
        supplier = server.request("POST", "/suppliers/", {"name": "any"})[2]["id"]
        data = {"name": "any", "price": 1, "sku": "any", "supplier": supplier}
        created = 0

        def create() -> int:
            nonlocal created
            status = server.request("POST", "/products/", data)[0]
            created += status == 201
            return status

        assert create() == 201
        (before,) = shop.ledger.live("r2")
        proxy.cut()

        # A request that asks nothing of the database goes on; the others fail on their own account.
        assert create() == 500
        assert server.status("/health/") == 200
        until("readiness says that it is not registered", lambda: server.status("/guard/ready/") == 503)

        proxy.mend()
        server.until_ready()
        assert create() == 201
        until("it has registered again", lambda: shop.ledger.live("r2")[0]["renewed_at"] > before["renewed_at"])

        def written() -> int:
            return sum(
                int(row["count"])
                for row in shop.ledger.sightings("sku")
                if row["access"] == "write" and row["shape"].startswith("INSERT")
            )

        # Statements that failed for want of a connection may have been counted as well.
        until("every insert is counted", lambda: written() >= created)
        assert server.running
