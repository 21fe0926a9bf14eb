"""guard comes to a project that is live already."""

from __future__ import annotations

from tests.acceptance.harness import COLUMNS, TARGETS, Shop


def test_the_deploy_that_installs_guard_may_remove_fields(shop: Shop) -> None:
    old, new = shop.plain("r2"), shop.release("r3", ADOPTION_PERIOD=600)
    old.manage("migrate").ok()
    first = shop.serve(old)
    balancer, load = shop.load(first)

    told = new.manage("migrate").ok().text
    assert all(target in told for target in TARGETS)
    second = shop.serve(new)
    balancer.take(second)
    load.until_more(100)
    balancer.drain(first)
    first.stop()

    # Nobody has ever seen old code register, so its silence says nothing.
    waiting = new.manage("guard", "contract", "--wait", "--timeout", "1")
    assert waiting.code == 3, waiting.text
    assert shop.database.columns("shop_product") >= COLUMNS
    tally = load.mark()
    assert tally.failures == ()
    assert {release for release, _ in tally.by_release} == {"r2", "r3"}

    # The period may be as short as the operator dares.
    shop.release("r3", ADOPTION_PERIOD=0).manage("guard", "contract", "--wait", "--timeout", "120").ok()
    assert shop.database.columns("shop_product").isdisjoint(COLUMNS)


def test_a_new_database_just_migrates(shop: Shop) -> None:
    shop.release("r3").manage("migrate").ok()

    assert shop.ledger.states() == {}
    assert shop.database.columns("shop_product").isdisjoint(COLUMNS)
    assert "0006_product_weight" in shop.recorded()


def test_guard_can_be_removed_again(shop: Shop) -> None:
    shop.release("r2").manage("migrate").ok()

    shop.plain("r3").manage("migrate").ok()

    assert shop.database.columns("shop_product").isdisjoint(COLUMNS)
