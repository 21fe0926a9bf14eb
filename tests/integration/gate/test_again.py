"""A column that is added again, where the removal of the one before it came to no plain end."""

from __future__ import annotations

import pytest

from tests.integration.gate.fixtures import FIRST, on_sqlite, without
from tests.integration.gate.harness import Shop, Tree, Trees, migration


def _again(trees: Trees, removed: Tree, field: str, models: str = FIRST) -> Tree:
    """A release that adds the field `code` again."""
    return trees.make(
        removed,
        models,
        migrations=migration(
            "0003_again", removed.migrations()[-1], f"migrations.AddField('product', 'code', {field})"
        ),
    )


def test_a_column_whose_removal_was_withdrawn_is_taken_over_with_its_data(
    shop: Shop, first: Tree, trees: Trees
) -> None:
    removed = trees.make(first, without("code"))
    shop.arrive(first)
    shop.migrate(removed)
    shop.run(removed, "guard", "withdraw", "shop_product.code", "--reason", "a report reads it").ok()
    again = _again(trees, removed, "models.CharField(max_length=20, default='none')")

    said = shop.migrate(again).out

    assert "guard: shop_product.code is back in use, with its data." in said
    assert shop.query("SELECT code FROM shop_product ORDER BY id") == [("c1",), ("c2",)]
    facts = shop.facts("code")
    assert facts is not None
    assert not facts.null
    # Once only: from here on it is a column like any other.
    without_it = trees.make(again, without("code"))
    shop.migrate(without_it)
    assert shop.states() == {"code": "waiting"}


@on_sqlite
def test_another_column_of_the_name_waits_until_what_was_withdrawn_is_out_of_the_way(
    shop: Shop, first: Tree, trees: Trees
) -> None:
    removed = trees.make(first, without("code"))
    shop.arrive(first)
    shop.migrate(removed)
    shop.run(removed, "guard", "withdraw", "shop_product.code", "--reason", "a report reads it").ok()
    again = _again(
        trees,
        removed,
        "models.IntegerField(null=True)",
        FIRST.replace("    code = models.CharField(max_length=20)", "    code = models.IntegerField(null=True)"),
    )

    said = shop.migrate(again, code=3).out

    assert "that was withdrawn, so it stays, and this one is different. Rename or drop the old one." in said
    assert shop.query("SELECT code FROM shop_product ORDER BY id") == [("c1",), ("c2",)]
    shop.query("ALTER TABLE shop_product RENAME COLUMN code TO was_code")
    shop.migrate(again)
    assert shop.query("SELECT code, was_code FROM shop_product ORDER BY id") == [(None, "c1"), (None, "c2")]


@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
def test_a_leftover_that_was_changed_by_hand_is_taken_for_another_column(shop: Shop, first: Tree, trees: Trees) -> None:
    removed = trees.make(first, without("code"))
    serving = shop.arrive(first)
    shop.migrate(removed)
    widened = "ALTER COLUMN code TYPE varchar(40)" if shop.vendor == "postgres" else "MODIFY code varchar(40)"
    shop.query(f"ALTER TABLE shop_product {widened}")
    shop.roll(serving, removed)
    shop.contract(removed)
    assert shop.states() == {"code": "withdrawn"}
    again = _again(trees, removed, "models.CharField(max_length=20, default='none')")

    said = shop.migrate(again, code=3).out

    assert "that was withdrawn, so it stays, and this one is different. Rename or drop the old one." in said
    assert shop.query("SELECT code FROM shop_product ORDER BY id") == [("c1",), ("c2",)]


@on_sqlite
def test_a_generated_column_does_not_take_over_what_was_written_into_a_plain_one(
    shop: Shop, first: Tree, trees: Trees
) -> None:
    removed = trees.make(first, without("code"))
    shop.deploy(first, removed)
    field = (
        "models.GeneratedField(expression=models.F('name'), output_field=models.CharField(max_length=20), "
        "db_persist=True)"
    )
    generated = _again(
        trees, removed, field, FIRST.replace("    code = models.CharField(max_length=20)", f"    code = {field}")
    )

    shop.migrate(generated)

    assert shop.states() == {"code": "aside"}
    assert shop.query("SELECT code FROM shop_product") == [("any",), ("any",)]


def test_a_table_whose_removal_was_withdrawn_is_taken_over_with_its_rows(shop: Shop, first: Tree, trees: Trees) -> None:
    models = FIRST + "\n\nclass Tag(models.Model):\n    label = models.CharField(max_length=20)\n"
    tagged = trees.make(first, models)
    removed = trees.make(tagged, FIRST)
    shop.migrate(tagged)
    shop.arrive(tagged)
    shop.insert("shop_tag", label="red")
    shop.migrate(removed)
    shop.run(removed, "guard", "withdraw", "shop_tag", "--reason", "a report reads it").ok()

    said = shop.migrate(trees.make(removed, models)).out

    assert "guard: shop_tag is back in use, with its data." in said
    assert shop.query("SELECT label FROM shop_tag") == [("red",)]


@on_sqlite
def test_a_key_without_a_constraint_does_not_take_over_one_that_has_it(shop: Shop, first: Tree, trees: Trees) -> None:
    removed = trees.make(first, without("backup"))
    shop.deploy(first, removed)
    loose = FIRST.replace('related_name="+"', 'related_name="+", db_constraint=False')

    shop.migrate(trees.make(removed, loose))

    assert shop.states() == {"backup_id": "aside"}
    facts = shop.facts("backup_id")
    assert facts is not None
    assert facts.foreign_keys == ()
