"""A project with two databases: each with a ledger, looked at together or one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.gate.fixtures import Templates, on_sqlite, without
from tests.integration.gate.harness import Shop, Tree, Trees, Zygote, entry


@pytest.fixture
def both(
    shop: Shop, vendor: str, tmp_path: Path, trees: Trees, zygote: Zygote, templates: Templates
) -> Iterator[tuple[Shop, Shop]]:
    """The usual database, and another one with the same tables, as `archive`."""
    (tmp_path / "archive").mkdir()
    database = templates.copy(vendor, tmp_path / "archive")
    shop.environ["DATABASES"] = json.dumps({"default": entry(shop.database), "archive": entry(database)})
    yield shop, Shop(database, trees, zygote)
    database.drop()


@pytest.fixture
def second(trees: Trees, first: Tree) -> Tree:
    return trees.make(first, without("code"))


def deploy(both: tuple[Shop, Shop], first: Tree, second: Tree) -> None:
    """The release rolls out on both."""
    shop = both[0]
    olds = [place.arrive(first) for place in both]
    shop.migrate(second)
    shop.migrate(second, "--database", "archive")
    for place, old in zip(both, olds, strict=True):
        place.roll(old, second)


@on_sqlite
def test_each_database_has_its_own_steps_and_one_command_takes_them(
    both: tuple[Shop, Shop], first: Tree, second: Tree
) -> None:
    shop, archive = both
    serving = shop.arrive(first)
    shop.migrate(second)
    shop.roll(serving, second)
    shop.contract(second)

    # Nothing has happened in the other one, whose column is another.
    assert shop.states() == {"code": "aside"}
    assert archive.states() == {}
    assert "code" in archive.columns()

    serving = archive.arrive(first)
    shop.migrate(second, "--database", "archive")
    found = shop.run(second, "guard", "status", "--json").ok().json["databases"]
    assert {view["database"]: [s["state"] for s in view["steps"]] for view in found} == {
        "default": ["aside"],
        "archive": ["waiting"],
    }
    said = shop.run(second, "guard", "why", "shop_product.code").ok().out
    assert re.search(r"^Database default\nshop_product.code: set aside", said, re.M)
    assert re.search(r"^Database archive\nshop_product.code: waiting(.*\n)+.*1 instance of release r1", said, re.M)
    one = shop.run(second, "guard", "why", "shop_product.code", "--database", "archive", "--json").ok().json
    assert (one["database"], one["others"]) == ("archive", [])
    archive.roll(serving, second)
    shop.contract(second)
    assert archive.states() == {"code": "aside"}


@on_sqlite
def test_orders_are_given_to_every_database_or_to_one(both: tuple[Shop, Shop], first: Tree, second: Tree) -> None:
    shop, archive = both
    deploy(both, first, second)

    shop.run(second, "guard", "freeze", "--until", "2h", "--reason", "a sale", "--database", "archive").ok()
    shop.contract(second)
    assert (shop.states(), archive.states()) == ({"code": "aside"}, {"code": "waiting"})

    shop.run(second, "guard", "freeze", "--end", "--reason", "over").ok()
    shop.contract(second)
    assert archive.states() == {"code": "aside"}
    log = shop.run(second, "guard", "log", "--json").ok().json["log"]
    assert {(e["database"], e["action"]) for e in log} >= {("archive", "freeze"), ("archive", "thaw")}
    assert ("default", "freeze") not in {(e["database"], e["action"]) for e in log}
    assert "no database 'nowhere'" in shop.run(second, "guard", "status", "--database", "nowhere").ok(2).err


@on_sqlite
def test_restoring_brings_it_back_wherever_it_was_set_aside(both: tuple[Shop, Shop], first: Tree, second: Tree) -> None:
    """On the night of a roll-back, the old release needs it in every database."""
    shop, archive = both
    deploy(both, first, second)
    shop.contract(second)
    assert (shop.states(), archive.states()) == ({"code": "aside"}, {"code": "aside"})

    shop.run(second, "guard", "restore", "shop_product.code", "--database", "archive").ok()
    done = shop.run(second, "guard", "restore", "shop_product.code").ok()

    assert done.out.splitlines() == [
        "shop_product.code is back in database default, with its data. It waits again until no deployed instance uses "
        "it."
    ]
    assert (shop.states(), archive.states()) == ({"code": "waiting"}, {"code": "waiting"})
    again = shop.run(second, "guard", "restore", "shop_product.code").ok(1).err
    assert again.count("is still in its place: there is nothing to restore. (Database ") == 2
    assert "no contract step for shop_product.nothing" in shop.run(
        second, "guard", "restore", "shop_product.nothing"
    ).ok(2).err  # fmt: skip


@on_sqlite
def test_what_is_erased_in_one_database_is_said_though_another_has_it_back(
    both: tuple[Shop, Shop], first: Tree, second: Tree
) -> None:
    shop, archive = both
    deploy(both, first, second)
    shop.contract(second)
    archive.aged(1000)
    shop.contract(second, "--database", "archive")
    assert archive.states() == {"code": "done"}

    done = shop.run(second, "guard", "restore", "shop_product.code").ok(1)

    assert "is back in database default" in done.out
    assert "shop_product.code was erased and cannot be restored: its data is gone. Deploy a release" in done.err
    assert "(Database archive.)" in done.err
    assert shop.states() == {"code": "waiting"}


@on_sqlite
def test_a_database_that_is_away_does_not_keep_the_others_from_being_taken_care_of(
    both: tuple[Shop, Shop], first: Tree, second: Tree, tmp_path: Path
) -> None:
    shop, archive = both
    deploy(both, first, second)
    away = entry(archive.database) | {"NAME": str(tmp_path / "nowhere" / "archive.sqlite3")}
    shop.environ["DATABASES"] = json.dumps({"default": entry(shop.database), "archive": away})

    done = shop.contract(second, code=1)

    assert shop.states() == {"code": "aside"}
    assert "Database archive was left out: unable to open database file" in done.err
    done = shop.run(second, "guard", "status").ok(1)
    assert "shop_product.code: set aside" in done.out
    assert "Database archive was left out" in done.err
    done = shop.run(second, "guard", "why", "shop_product.nothing").ok(2)
    assert "There is no contract step for shop_product.nothing" in done.err
    assert "Database archive was left out" in done.err
    shop.run(second, "guard", "restore", "shop_product.code").ok(1)
    assert shop.states() == {"code": "waiting"}
    # Asked for by its name, it is the error.
    assert "The database refused: unable to open" in shop.run(
        second, "guard", "status", "--database", "archive"
    ).ok(1).err  # fmt: skip


@on_sqlite
def test_a_database_without_a_ledger_yet_is_named(both: tuple[Shop, Shop], second: Tree, tmp_path: Path) -> None:
    shop = both[0]
    new = entry(shop.database) | {"NAME": str(tmp_path / "new.sqlite3")}
    shop.environ["DATABASES"] = json.dumps({"default": entry(shop.database), "new": new})

    done = shop.run(second, "guard", "status").ok(1)

    assert "Contract steps:" in done.out
    assert (
        "Database new was left out: it has no ledger yet, so guard knows nothing of it: run "
        "`manage.py migrate --database new`." in done.err
    )
