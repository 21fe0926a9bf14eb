"""Migrations that are squashed while a contract step of theirs waits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from guard.ledger import rows
from tests.integration.gate.fixtures import adding, on_sqlite, without
from tests.integration.gate.harness import Shop, Tree, Trees


@pytest.fixture
def second(trees: Trees, first: Tree) -> Tree:
    return trees.make(first, adding("weight = models.IntegerField(default=7)", models=without("code")))


def squashed(shop: Shop, trees: Trees, before: Tree) -> Tree:
    """The next release, in which one migration replaces all."""
    after = trees.make(before, adding("weight = models.IntegerField(default=7)", models=without("code")) + "\n")
    if len(after.migrations()) == len(before.migrations()):
        shop.run(after, "squashmigrations", "shop", before.migrations()[-1], "--noinput", "-v0").ok()
    return after


def cleaned(trees: Trees, before: Tree) -> Tree:
    """The release after it: the replaced files are gone, and the squash no longer says what it replaced."""
    after = trees.make(before, adding("weight = models.IntegerField(default=7)", models=without("code")) + "\n\n")
    for name in after.migrations():
        file = Path(after.path, "shop", "migrations", f"{name}.py")
        if "_squashed_" in name:
            file.write_text(re.sub(r"    replaces = \[.*?\]\n", "", file.read_text(), flags=re.S))
        else:
            file.unlink()
    return after


@on_sqlite
def test_steps_learn_of_a_squash_before_their_migrations_name_is_lost(
    shop: Shop, first: Tree, second: Tree, trees: Trees
) -> None:
    shop.deploy(first, second)
    third = squashed(shop, trees, second)
    shop.migrate(third)

    (squash,) = [name for name in third.migrations() if "_squashed_" in name]
    assert shop.step("shop_product.code").replaced_by == (("shop", squash),)

    fourth = cleaned(trees, third)
    shop.migrate(fourth, "shop", "--prune")
    assert shop.recorded() == {squash}
    serving = shop.arrive(fourth)
    shop.leave(shop.serving)
    tidy = shop.step("shop_product.weight", kind=rows.StepKind.DEFAULT)
    shop.contract(fourth)

    assert shop.states() == {"code": "aside"}
    # Code that has the squash alone is no old code for it.
    assert [i.id for i in live(shop)] == [serving]
    assert "lack migration" not in shop.run(fourth, "guard", "why", tidy.target).out


def live(shop: Shop) -> list[rows.Instance]:
    with shop.ledger() as ledger:
        return [i for i in ledger.instances() if i.state is rows.InstanceState.LIVE]
