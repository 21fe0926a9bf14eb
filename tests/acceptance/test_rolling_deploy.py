"""Old and new release at the same time, for real: through the contract step, back before it, and back after it."""

from __future__ import annotations

import pytest

from sampleapp.stage.processes import until
from tests.acceptance.harness import COLUMNS, TARGETS, Shop

#: Enough for every kind of request to be made several times by each of the shoppers.
SOME = 60


def test_without_guard_the_same_deploy_fails(shop: Shop) -> None:
    old, new = shop.plain("r2"), shop.plain("r3")
    old.manage("migrate").ok()
    _, load = shop.load(shop.serve(old))
    load.until_more(SOME)
    assert load.mark().failures == ()

    new.manage("migrate").ok()
    load.until_more(SOME)

    failures = load.mark().failures
    assert any("sku" in failure.error for failure in failures)
    assert {failure.release for failure in failures} == {"r2"}


def test_old_and_new_code_serve_together_until_the_columns_are_erased(shop: Shop) -> None:
    old, new = shop.release("r2", KEEP_FOR=1), shop.release("r3", KEEP_FOR=1)
    old.manage("migrate").ok()
    first = shop.serve(old)
    balancer, load = shop.load(first)
    load.until_more(SOME)

    told = new.manage("migrate").ok().text
    assert all(target in told for target in TARGETS)
    assert "r2" in told
    assert shop.database.columns("shop_product") >= COLUMNS
    assert "0006_product_weight" in shop.recorded()
    assert set(shop.ledger.states().values()) == {"waiting"}

    second = shop.serve(new)
    balancer.take(second)
    load.until_more(2 * SOME)
    blocked = new.manage("guard", "contract").ok().text
    assert "r2" in blocked
    assert shop.database.columns("shop_product") >= COLUMNS
    until("use by old code is counted", lambda: shop.ledger.sightings("is_enabled"))
    assert {row["release_label"] for row in shop.ledger.sightings("is_enabled")} == {"r2"}

    balancer.drain(first)
    first.stop()
    new.manage("guard", "contract", "--wait", "--timeout", "120").ok()
    assert shop.database.columns("shop_product").isdisjoint(COLUMNS)
    load.until_more(SOME)

    def erased() -> bool:
        new.manage("guard", "contract").ok()
        return set(shop.ledger.states().values()) == {"done"}

    until("the columns are erased", erased)
    load.until_more(SOME)
    tally = load.mark()
    assert tally.failures == ()
    assert {release for release, _ in tally.by_release} == {"r2", "r3"}
    new.manage("migrate", "--check").ok()


def test_a_roll_back_before_the_contract_step_loses_nothing(shop: Shop) -> None:
    old, new = shop.release("r2"), shop.release("r3")
    old.manage("migrate").ok()
    first = shop.serve(old)
    balancer, load = shop.load(first)
    load.until_more(SOME)
    new.manage("migrate").ok()
    second = shop.serve(new)
    balancer.take(second)
    load.until_more(SOME)

    balancer.drain(second)
    second.stop()
    load.until_more(SOME)

    assert load.mark().failures == ()
    new.manage("guard", "contract").ok()
    assert set(shop.ledger.states().values()) == {"waiting"}
    assert shop.database.columns("shop_product") >= COLUMNS


def test_a_roll_back_after_the_contract_step_is_refused_until_the_columns_are_restored(shop: Shop) -> None:
    old, new = shop.release("r2"), shop.release("r3")
    old.manage("migrate").ok()
    first = shop.serve(old)
    supplier = first.request("POST", "/suppliers/", {"name": "kept"})[2]["id"]
    for n in range(3):
        data = {"name": "kept", "price": 1, "sku": f"KEPT-{n}", "supplier": supplier, "for_sale": n > 0}
        assert first.request("POST", "/products/", data)[0] == 201
    new.manage("migrate").ok()
    second = shop.serve(new).until_ready()
    balancer, load = shop.load(second)
    first.stop()
    new.manage("guard", "contract", "--wait", "--timeout", "120").ok()
    assert set(shop.ledger.states().values()) == {"aside"}

    back = shop.serve(old)
    assert back.status("/guard/ready/") == 503
    assert back.status("/health/") == 200
    refusal = back.request("GET", "/guard/ready/")[2]
    assert not any(column in str(refusal) for column in COLUMNS)
    assert "guard restore shop_product.is_enabled" in back.text
    balancer.add(back)
    load.until_more(SOME)
    assert not balancer.serves(back)

    for target in TARGETS:
        new.manage("guard", "restore", target).ok()
    back.until_ready()
    balancer.take(back)
    load.until_more(2 * SOME)
    balancer.drain(second)
    load.until_more(SOME)

    tally = load.mark()
    assert tally.failures == ()
    assert {release for release, _ in tally.by_release} == {"r2", "r3"}
    assert set(shop.ledger.states().values()) == {"waiting"}
    assert shop.rows("sku LIKE 'KEPT-%' AND supplier_id IS NOT NULL") == 3
    assert shop.rows("sku = 'KEPT-0' AND NOT is_enabled") == 1


def test_a_fleet_on_the_first_release_meets_the_second(shop: Shop) -> None:
    """A NOT NULL column that only new code knows: old code goes on inserting."""
    old, new = shop.release("r1"), shop.release("r2")
    old.manage("migrate").ok()
    first = shop.serve(old)
    balancer, load = shop.load(first)
    load.until_more(SOME)
    new.manage("migrate").ok()
    balancer.take(shop.serve(new))
    load.until_more(2 * SOME)

    tally = load.mark()
    assert tally.failures == ()
    assert {release for release, _ in tally.by_release} == {"r1", "r2"}


@pytest.mark.parametrize("needs", ["brand"])
def test_holding_leaves_the_migration_and_its_dependents_until_it_is_clear(shop: Shop, needs: str) -> None:
    old, new = shop.release("r2"), shop.release("r3", STRATEGY="hold")
    old.manage("migrate").ok()
    first = shop.serve(old)
    assert first.request("POST", "/suppliers/", {"name": "any"})[0] == 201

    held = new.manage("migrate")

    # This release's models need a column that stands behind the held migration.
    assert held.code == 3, held.text
    assert needs in held.text
    assert shop.recorded() == {"0001_initial", "0002_product_is_active", "0003_copy_is_enabled"}
    assert needs not in shop.database.columns("shop_product")
