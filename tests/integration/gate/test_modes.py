"""When guard stands aside, only watches, or begins: modes, new databases, adoption, and leaving."""

from __future__ import annotations

import pytest

from tests.integration.gate.fixtures import adding, on_sqlite, without
from tests.integration.gate.harness import Shop, Tree, Trees, migration

#: What packages do that migrate without the command.
DRIVE = """\
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import django

django.setup()

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

executor = MigrationExecutor(connection)
executor.migrate(executor.loader.graph.leaf_nodes())
"""


@pytest.fixture(scope="session")
def second(trees: Trees, first: Tree) -> Tree:
    return trees.make(first, without("code", "supplier"))


@on_sqlite
def test_observing_runs_everything_and_says_what_would_have_waited(shop: Shop, first: Tree, second: Tree) -> None:
    shop.guard["MODE"] = "observe"
    shop.arrive(first)

    said = shop.migrate(second).out

    assert shop.recorded() == set(second.migrations())
    assert "code" not in shop.columns()
    assert shop.states() == {}
    name = second.migrations()[-1]
    assert (
        f'guard (observing): shop.{name} ran whole; under MODE "enforce" guard would have run it in two steps.' in said
    )
    assert shop.query("SELECT action, target FROM guard_event") == [("would-wait", f"shop.{name}")]


def test_observing_takes_over_a_leftover_of_better_days(shop: Shop, first: Tree, second: Tree, trees: Trees) -> None:
    third = trees.make(
        second,
        without("supplier"),
        migrations=migration(
            "0003_code",
            second.migrations()[-1],
            "migrations.AddField('product', 'code', models.CharField(max_length=20, default=''), False)",
        ),
    )
    shop.migrate(second)
    shop.guard["MODE"] = "observe"

    shop.migrate(third)

    assert shop.states() == {"code": "withdrawn", "supplier_id": "waiting"}
    assert shop.query("SELECT code FROM shop_product ORDER BY id") == [("c1",), ("c2",)]


@on_sqlite
def test_a_laptop_observes(shop: Shop, first: Tree, second: Tree) -> None:
    del shop.guard["MODE"]

    shop.migrate(second, DEBUG="1")

    assert shop.states() == {}


@on_sqlite
def test_a_laptop_with_a_tunnel_to_production_does_not(shop: Shop, first: Tree, second: Tree) -> None:
    del shop.guard["MODE"]
    # From a host of another name.
    shop.arrive(first)

    shop.migrate(second, DEBUG="1")

    assert shop.states() == {"code": "waiting", "supplier_id": "waiting"}


@on_sqlite
def test_switched_off_it_leaves_everything_to_django(shop: Shop, first: Tree, second: Tree) -> None:
    shop.guard["MODE"] = "off"
    shop.arrive(first)

    said = shop.migrate(second).out

    assert "guard:" not in said
    assert "code" not in shop.columns()
    assert shop.states() == {}


def test_a_new_database_just_migrates(empty_shop: Shop, second: Tree) -> None:
    said = empty_shop.migrate(second).out

    assert empty_shop.recorded() == set(second.migrations())
    assert empty_shop.states() == {}
    assert "code" not in empty_shop.columns()
    assert "guard:" not in said
    with empty_shop.ledger() as ledger:
        assert not ledger.gate().fresh


@on_sqlite
def test_a_new_database_is_fresh_until_all_is_applied_or_somebody_registers(
    empty_shop: Shop, first: Tree, second: Tree
) -> None:
    empty_shop.migrate(second, "shop", "0001")
    with empty_shop.ledger() as ledger:
        assert ledger.gate().fresh
    empty_shop.arrive(first)

    empty_shop.migrate(second)

    assert empty_shop.states() == {"code": "waiting", "supplier_id": "waiting"}


@on_sqlite
@pytest.mark.parametrize("first_said", [[], ["shop", "0001", "--fake"]], ids=["--fake-initial", "--fake"])
def test_a_database_from_before_there_were_migrations_is_no_new_one(
    empty_shop: Shop, first: Tree, second: Tree, first_said: list[str]
) -> None:
    shop = empty_shop
    shop.apps = ["shop"]
    shop.migrate(first)
    shop.query("DROP TABLE django_migrations")
    shop.apps = ["guard", "shop"]
    if first_said:
        shop.migrate(second, *first_said)

    shop.migrate(second, *([] if first_said else ["--fake-initial"]))

    assert shop.states() == {"code": "waiting", "supplier_id": "waiting"}


def test_the_deploy_that_installs_guard_may_carry_a_removal(empty_shop: Shop, first: Tree, second: Tree) -> None:
    shop = empty_shop
    shop.apps = ["shop"]
    shop.migrate(first)
    shop.apps = ["guard", "shop"]
    shop.guard["ADOPTION_PERIOD"] = 3600

    said = shop.migrate(second).out

    assert said.index("Applying guard's own migrations first") < said.index("shop_product.code stays for now")
    assert shop.states() == {"code": "waiting", "supplier_id": "waiting"}
    with shop.ledger() as ledger:
        assert not ledger.gate().fresh
    # New code alone proves nothing: the old code may never have had guard.
    shop.arrive(second)
    assert "shop_product.code waits:" in shop.contract(second).out
    assert shop.states() == {"code": "waiting", "supplier_id": "waiting"}
    shop.guard["ADOPTION_PERIOD"] = 0
    shop.contract(second)
    assert shop.states() == {"code": "aside", "supplier_id": "aside"}


@on_sqlite
def test_a_faked_migration_is_left_alone(shop: Shop, first: Tree, second: Tree) -> None:
    before = shop.facts("code")

    shop.migrate(second, "--fake")

    assert (shop.states(), shop.facts("code")) == ({}, before)
    assert shop.recorded() == set(second.migrations())


def test_unapplied_by_faking_and_applied_again(shop: Shop, first: Tree, second: Tree) -> None:
    shop.guard["KEEP_FOR"] = 0
    shop.migrate(second)
    shop.migrate(second, "shop", "0001", "--fake")

    shop.migrate(second)

    assert shop.states() == {"code": "waiting", "supplier_id": "waiting"}
    serving = shop.arrive(second)
    shop.contract(second)
    shop.beat(serving)
    shop.contract(second)
    assert shop.states() == {"code": "done", "supplier_id": "done"}
    shop.migrate(second, "shop", "0001", "--fake")
    assert "somebody has dropped it already" in shop.migrate(second).out
    shop.migrate(second, "shop", "0001", "--fake")
    shop.query("ALTER TABLE shop_product ADD COLUMN code varchar(20) NULL")
    shop.migrate(second)
    assert shop.states() == {"code": "waiting", "supplier_id": "done"}


@on_sqlite
def test_an_old_image_that_migrates_at_its_start_takes_nothing(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)

    said = shop.migrate(first).out

    assert shop.states() == {"code": "waiting", "supplier_id": "waiting"}
    assert "shop_product.code still waits; `manage.py guard why shop_product.code` says for what." in said
    assert "[NO ] 12" in shop.run(first, "guard", "why", "shop_product.code").ok().out
    # What an old image settles or erases is no better.
    shop.contract(second)
    shop.aged(1000)
    shop.migrate(first)
    shop.contract(first)
    assert shop.states() == {"code": "aside", "supplier_id": "aside"}


@on_sqlite
def test_a_targeted_migrate_takes_nothing(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)

    shop.migrate(second, "shop")

    assert set(shop.states().values()) == {"waiting"}


@on_sqlite
def test_guard_s_own_migrations_stay_while_steps_wait(shop: Shop, first: Tree, second: Tree) -> None:
    shop.migrate(second)

    refused = shop.migrate(second, "guard", "zero", code=1)

    assert "shop_product.code (waiting) and shop_product.supplier_id (waiting)" in refused.err
    assert "`manage.py guard contract --wait`" in refused.err
    assert shop.states() == {"code": "waiting", "supplier_id": "waiting"}


def test_guard_is_taken_out_again(shop: Shop, first: Tree, second: Tree, trees: Trees) -> None:
    shop.guard["KEEP_FOR"] = 0
    shop.deploy(first, second)
    shop.contract(second)
    shop.beat(shop.serving)
    shop.contract(second)
    shop.migrate(second, "guard", "zero")
    assert "guard_step" not in {row[0] for row in shop.query(_TABLES[shop.vendor])}

    shop.apps = ["shop"]
    third = trees.make(
        second, adding("added = models.IntegerField(default=1)", models=without("code", "supplier", "note"))
    )
    shop.migrate(third)

    assert "note" not in shop.columns()
    # And it may come back.
    shop.apps = ["guard", "shop"]
    shop.migrate(
        trees.make(
            third, adding("added = models.IntegerField(default=1)", models=without("code", "supplier", "note", "rank"))
        )
    )
    assert shop.states() == {"rank": "waiting"}


_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgres": "SELECT relname FROM pg_class WHERE relkind = 'r'",
    "mariadb": "SHOW TABLES",
}


@on_sqlite
def test_unapplied_while_it_stays_switched_off_it_is_remembered_no_more(shop: Shop, first: Tree, second: Tree) -> None:
    # Guard's tables can be looked at, and made again, by whoever has them in the list of apps.
    shop.migrate(second, "guard", "zero")

    shop.migrate(second, "guard")

    with shop.ledger() as ledger:
        assert not ledger.gate().fresh
        assert ledger.steps() == ()


@on_sqlite
def test_code_that_drives_the_executor_is_guarded_as_well(shop: Shop, first: Tree, second: Tree) -> None:
    (second.path / "drive.py").write_text(DRIVE)

    done = shop.zygote.run(second.path, ["drive.py"], shop._environ(second)).ok()

    assert done.text == ""
    assert shop.states() == {"code": "waiting", "supplier_id": "waiting"}


@on_sqlite
def test_a_mistake_in_guard_s_setting_stops_migrate_with_one_sentence(shop: Shop, first: Tree, second: Tree) -> None:
    shop.guard["KEEP_FOR"] = "a week"

    for args in (("migrate",), ("migrate", "--skip-checks"), ("guard", "status"), ("guard", "contract")):
        done = shop.run(second, *args).ok(1)
        assert "GUARD['KEEP_FOR'] is 'a week'" in done.err
    assert shop.recorded() == {"0001_initial"}
