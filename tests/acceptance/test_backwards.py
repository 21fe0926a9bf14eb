"""Ways back: a revert that adds the field again, and unapplying."""

from __future__ import annotations

import pytest

from sampleapp.stage.processes import Server
from tests.acceptance.harness import COLUMNS, Shop


def _two_products(server: Server) -> int:
    """One for sale and one that is not; the supplier of both."""
    supplier: int = server.request("POST", "/suppliers/", {"name": "any"})[2]["id"]
    for sku, for_sale in (("sold", True), ("not sold", False)):
        data = {"name": "any", "price": 1, "sku": sku, "supplier": supplier, "for_sale": for_sale}
        assert server.request("POST", "/products/", data)[0] == 201
    return supplier


@pytest.mark.parametrize("state", ["waiting", "aside"])
def test_a_revert_takes_the_column_over_with_its_data(shop: Shop, state: str) -> None:
    old, new = shop.release("r2"), shop.release("r3")
    old.manage("migrate").ok()
    first = shop.serve(old)
    _two_products(first)
    new.manage("migrate").ok()
    second = shop.serve(new).until_ready()
    if state == "aside":
        first.stop()
        new.manage("guard", "contract", "--wait", "--timeout", "120").ok()
    assert shop.ledger.states()["shop_product.is_enabled"] == state
    assert second.request("POST", "/products/", {"name": "new", "price": 1})[0] == 201

    revert = shop.reverted()
    revert.manage("migrate").ok()

    assert shop.ledger.states()["shop_product.is_enabled"] == "withdrawn"
    assert shop.rows("is_enabled") == 2
    assert shop.rows("sku = 'not sold' AND NOT is_enabled" if state == "waiting" else "NOT is_enabled") == 1
    third = shop.serve(revert).until_ready()
    for server in (second, third):
        assert server.request("POST", "/products/", {"name": "newer", "price": 1})[0] == 201
    revert.manage("guard", "contract").ok()
    assert "is_enabled" in shop.database.columns("shop_product")


def test_unapplying_before_the_contract_step_gives_the_columns_back(shop: Shop) -> None:
    old, new = shop.release("r2"), shop.release("r3")
    old.manage("migrate").ok()
    server = shop.serve(old).until_ready()
    supplier = _two_products(server)
    new.manage("migrate").ok()

    new.manage("migrate", "shop", "0003").ok()

    assert set(shop.ledger.states().values()) == {"withdrawn"}
    assert shop.database.columns("shop_product") >= COLUMNS
    assert shop.recorded() == {"0001_initial", "0002_product_is_active", "0003_copy_is_enabled"}
    assert shop.rows("sku = 'not sold' AND NOT is_enabled AND supplier_id IS NOT NULL") == 1
    data = {"name": "any", "price": 1, "sku": "any", "supplier": supplier}
    assert server.request("POST", "/products/", data)[0] == 201
    assert shop.ledger.live("r2")
