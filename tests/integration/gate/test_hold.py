"""What waits as a whole: migrations that are held, a plan that is refused, and the exit codes of `migrate`."""

from __future__ import annotations

import shutil

import pytest
from django.db import DatabaseError

from guard.ledger import rows
from tests.integration.gate.fixtures import FIRST, adding, on_sqlite, without
from tests.integration.gate.harness import Shop, Tree, Trees, migration


@pytest.fixture(scope="session")
def removing(trees: Trees, first: Tree) -> Tree:
    """A release that removes a column, and adds one in a migration that depends on it."""
    return trees.make(
        trees.make(first, without("code")), adding("added = models.IntegerField(null=True)", models=without("code"))
    )


@pytest.fixture(scope="session")
def stricter(trees: Trees, first: Tree) -> Tree:
    """A release with a constraint that old code does not know."""
    return trees.make(
        first,
        FIRST,
        migrations=migration(
            "0002_note",
            "0001_initial",
            "migrations.AddConstraint('product', "
            "models.CheckConstraint(condition=models.Q(rank__lt=1000), name='ranked'))",
        ),
    )


def test_under_hold_a_removal_and_its_dependents_wait_and_are_then_set_aside(
    shop: Shop, first: Tree, removing: Tree
) -> None:
    shop.guard["STRATEGY"] = "hold"
    serving = shop.arrive(first)

    done = shop.migrate(removing, code=3)

    _, held, dependent = removing.migrations()
    assert shop.recorded() == {"0001_initial"}
    assert shop.states() == {"code": "waiting"}
    assert f"guard: shop.{held} waits and is not applied yet." in done.out
    assert f"guard: shop.{dependent} waits too, because it depends on shop.{held}." in done.out
    assert (
        f"This release's models need shop_product.added, but shop.{dependent}, which makes it, waits behind "
        f"shop.{held}.\n"
        "Do not start this release before that is applied: it would fail.\n"
        "What stands in the way is said above; when it is over, run the command again."
    ) in done.err
    assert shop.run(removing, "migrate", "--check").code != 0
    # What is not applied is not the gate's to take.
    assert shop.contract(removing).out.startswith("shop_product.code waits:")
    assert shop.states() == {"code": "waiting"}

    shop.roll(serving, removing)
    said = shop.contract(removing, "--wait", "--timeout", "300").out
    assert "shop_product.code is free to go: run `manage.py migrate`" in said
    assert shop.states() == {"code": "waiting"}
    shop.migrate(removing)

    assert shop.recorded() == set(removing.migrations())
    assert shop.states() == {"code": "aside"}
    assert shop.run(removing, "migrate", "--check").code == 0


@on_sqlite
def test_under_hold_nothing_needed_waits_with_exit_code_0(shop: Shop, first: Tree, trees: Trees) -> None:
    shop.guard["STRATEGY"] = "hold"
    shop.arrive(first)

    shop.migrate(trees.make(first, without("code")))

    assert shop.recorded() == {"0001_initial"}


def test_a_held_migration_is_applied_whole_when_old_code_has_gone(shop: Shop, first: Tree, stricter: Tree) -> None:
    serving = shop.arrive(first)

    said = shop.migrate(stricter).out

    assert shop.recorded() == {"0001_initial"}
    assert "guard: shop.0002_note waits and is not applied yet." in said
    assert "1 instance of release r1 (web)" in said
    step = shop.step("shop.0002_note", kind=rows.StepKind.MIGRATION)
    assert step.state is rows.StepState.WAITING
    assert "shop.0002_note" in shop.run(stricter, "guard", "status").ok().out
    assert "shop.0002_note waits:" in shop.contract(stricter, "--wait", "--timeout", "0", code=3).out

    shop.roll(serving, stricter)
    free = "shop.0002_note is free to go: run `manage.py migrate`, which applies its migration."
    assert free in shop.contract(stricter).out
    shop.migrate(stricter)

    assert shop.recorded() == {"0001_initial", "0002_note"}
    with pytest.raises(DatabaseError), shop.connection() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE shop_product SET rank = 2000")
    assert shop.step("shop.0002_note", kind=rows.StepKind.MIGRATION).state is rows.StepState.DONE
    # Unapplied and applied again, it is the same work once more.
    shop.migrate(stricter, "shop", "0001")
    assert shop.step("shop.0002_note", kind=rows.StepKind.MIGRATION).state is rows.StepState.WITHDRAWN
    shop.migrate(stricter)
    assert shop.step("shop.0002_note", kind=rows.StepKind.MIGRATION).state is rows.StepState.DONE


@on_sqlite
def test_a_named_target_that_is_held_is_exit_code_3(shop: Shop, first: Tree, stricter: Tree) -> None:
    shop.arrive(first)

    done = shop.migrate(stricter, "shop", "0002", code=3)

    assert "shop.0002_note was asked for, but waits." in done.err


@on_sqlite
def test_a_held_migration_that_is_applied_by_another_hand_waits_no_more(
    shop: Shop, first: Tree, stricter: Tree
) -> None:
    shop.arrive(first)
    shop.migrate(stricter)
    shop.migrate(stricter, "shop", "--fake")

    shop.migrate(stricter)

    assert shop.step("shop.0002_note", kind=rows.StepKind.MIGRATION).state is rows.StepState.WITHDRAWN


@on_sqlite
def test_under_hold_a_removal_that_is_faked_waits_no_more(shop: Shop, first: Tree, trees: Trees) -> None:
    shop.guard["STRATEGY"] = "hold"
    removed = trees.make(first, without("code", "note"))
    shop.arrive(first)
    shop.migrate(removed)
    assert shop.states() == {"code": "waiting", "note": "waiting"}
    shop.query("ALTER TABLE shop_product DROP COLUMN note")
    shop.migrate(removed, "--fake")

    shop.migrate(removed)

    # What its author has dropped, old code must not use; what is there, guard has nothing to do with.
    assert shop.states() == {"code": "withdrawn", "note": "done"}


@pytest.fixture(scope="session")
def renamed(first: Tree, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A release whose app has another name, and the same tables, one of them with a constraint that is new."""
    path = tmp_path_factory.mktemp("renamed") / "r2"
    shutil.copytree(first.path, path)
    (path / "shop").rename(path / "store")
    models, made = path / "store" / "models.py", path / "store" / "migrations" / "0001_initial.py"
    supplier, product = models.read_text().split("class Product")
    models.write_text(
        f"{supplier.rstrip()}\n\n    class Meta:\n        db_table = 'shop_supplier'\n\n\nclass Product{product}"
        "\n    class Meta:\n        db_table = 'shop_product'\n"
        "        constraints = [models.CheckConstraint(condition=models.Q(rank__lt=1000), name='ranked')]\n"
    )
    text = made.read_text().replace("shop.supplier", "store.supplier").rstrip()
    for name in ("Supplier", "Product"):
        text = text.replace(f"name='{name}',", f"name='{name}', options={{'db_table': 'shop_{name.lower()}'}},")
    head, operations = text.split("operations = ")
    made.write_text(
        f"{head}operations = [migrations.SeparateDatabaseAndState(state_operations={operations.strip()})]\n"
    )
    constraint = migration(
        "0002_ranked",
        "0001_initial",
        "migrations.AddConstraint('product', models.CheckConstraint(condition=models.Q(rank__lt=1000), name='ranked'))",
    )
    for name, text in constraint.items():
        (path / "store" / "migrations" / f"{name}.py").write_text(text.replace("'shop'", "'store'"))
    return Tree("r2", path)


@on_sqlite
def test_a_release_that_knows_the_table_from_an_app_of_another_name_is_waited_for(
    shop: Shop, first: Tree, renamed: Tree
) -> None:
    one, other = shop.arrive(first), shop.arrive(first)
    shop.apps = ["guard", "store"]
    shop.migrate(renamed)

    shop.roll(one, renamed)
    said = shop.migrate(renamed).out

    assert "guard: store.0002_ranked waits and is not applied yet." in said
    assert "1 instance of release r1 (web) runs without migration store.0002_ranked" in said
    shop.leave(other)
    assert "Applying store.0002_ranked... OK" in shop.migrate(renamed).out


RENAMING = migration(
    "0002_rename",
    "0001_initial",
    "migrations.AddField('product', 'before', models.IntegerField(null=True)), "
    "migrations.RenameField('product', 'code', 'sku')",
)


def test_what_no_order_makes_work_is_refused_before_anything_is_applied(shop: Shop, first: Tree, trees: Trees) -> None:
    new = trees.make(
        first,
        FIRST.replace("    code =", "    sku =") + "    before = models.IntegerField(null=True)\n",
        migrations=RENAMING,
    )
    serving = shop.arrive(first)

    refused = shop.migrate(new, code=1)

    assert "guard refuses this plan; nothing was applied." in refused.err
    assert "shop.0002_rename cannot work while old and new code run side by side" in refused.err
    assert "What works instead:" in refused.err
    assert "1 instance of release r1 (web) runs" in refused.err
    assert shop.recorded() == {"0001_initial"}
    assert "before" not in shop.columns()

    # In a maintenance window nothing of the old release runs, and nothing of the new one does.
    shop.leave(serving)
    shop.migrate(new)
    assert shop.recorded() == {"0001_initial", "0002_rename"}
    assert "sku" in shop.columns()
    step = shop.step("shop.0002_rename", kind=rows.StepKind.MIGRATION)
    assert (step.state, step.token) == (rows.StepState.DONE, "")


@on_sqlite
def test_a_rename_of_what_has_work_pending_is_refused(shop: Shop, first: Tree, trees: Trees) -> None:
    second = trees.make(first, without("code"))
    moving = migration("0003_move", second.migrations()[-1], "migrations.AlterModelTable('product', 'goods')")
    third = trees.make(
        second, adding("class Meta:", "    db_table = 'goods'", models=without("code")), migrations=moving
    )
    shop.migrate(second)

    refused = shop.migrate(third, code=1)

    assert "has left something of shop_product.code in place for old code" in refused.err
    assert "`manage.py guard contract --wait`" in refused.err


def test_a_change_of_a_leftover_s_table_goes_on(shop: Shop, first: Tree, trees: Trees) -> None:
    second = trees.make(first, without("code"))
    third = trees.make(
        second,
        without("code").replace(
            "models.CharField(max_length=50)\n    enabled", "models.CharField(max_length=90)\n    enabled"
        ),
    )
    shop.arrive(first)
    shop.migrate(second)

    shop.migrate(third)

    assert shop.recorded() == set(third.migrations())
    assert shop.facts("code")


def test_a_held_migration_that_fails_waits_again(shop: Shop, first: Tree, stricter: Tree) -> None:
    shop.deploy(first, stricter)
    shop.query("ALTER TABLE shop_product RENAME TO gone")

    assert shop.run(stricter, "migrate").code != 0

    assert shop.step("shop.0002_note", kind=rows.StepKind.MIGRATION).state is rows.StepState.WAITING
    shop.query("ALTER TABLE gone RENAME TO shop_product")
    shop.migrate(stricter)
    assert shop.recorded() == {"0001_initial", "0002_note"}
