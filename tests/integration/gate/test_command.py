"""What `manage.py guard` says, to people and to machines, and how it ends."""

from __future__ import annotations

import json
import re

import pytest

from tests.integration.gate.fixtures import FIRST, on_sqlite, without
from tests.integration.gate.harness import Shop, Tree, Trees, entry, migration


@pytest.fixture(scope="session")
def second(trees: Trees, first: Tree) -> Tree:
    return trees.make(first, without("code", "note"))


def lines(text: str) -> list[str]:
    """With what differs from run to run taken out."""
    text = re.sub(r"\d+ (second|minute|hour)s?( ago)?|just now", "T", text)
    return [re.sub(r"in T|T ago", "T", line) for line in text.rstrip().splitlines()]


@on_sqlite
def test_status_before_anything_happens(shop: Shop, first: Tree) -> None:
    assert shop.run(first, "guard", "status").ok().out.splitlines() == [
        "Instances:",
        "  none has registered",
        "Contract steps: what migrations have left for later, when no old code needs it",
        "  none waits",
    ]


@on_sqlite
def test_status_says_who_is_there_and_what_waits_for_what(shop: Shop, first: Tree, second: Tree) -> None:
    shop.guard["ENVIRONMENT"] = "production"
    for _ in range(2):
        shop.arrive(first)
    shop.arrive(first, lease=0.001)
    shop.migrate(second)

    said = shop.run(second, "guard", "status").ok().out

    name = second.migrations()[-1]
    assert lines(said)[:6] == [
        "Database default (production)",
        "Instances:",
        "  RELEASE  WORKLOAD  LIVE  REFUSED  LOST  LAST SEEN",
        "  r1       web          2        0     1  T",
        "Contract steps: what migrations have left for later, when no old code needs it",
        f"  shop_product.code: waiting (shop.{name}, T)",
    ]
    assert "    2 instances of release r1 (web) run with models that declare shop_product.code" in said
    assert "Clears at the next heartbeat." in said


def test_status_for_machines(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)
    shop.migrate(second)

    found = shop.run(second, "guard", "status", "--json").ok().json

    (database,) = found["databases"]
    assert (found["version"], database["database"], database["environment"]) == (1, "default", None)
    assert [(i["release"], i["live"], i["lost"]) for i in database["instances"]] == [("r2", 1, 0)]
    code = next(s for s in database["steps"] if s["target"] == "shop_product.code")
    assert (code["state"], code["says"], code["kind"]) == ("aside", "set aside", "column")
    assert code["aside_name"] == shop.step("shop_product.code").aside_name
    assert code["erased_after"] > database["now"]
    assert [b["code"] for b in code["blockers"]] == ["kept"]
    assert len(code["conditions"]) == 12


@on_sqlite
def test_why_names_every_condition_and_what_clears_it(shop: Shop, first: Tree, second: Tree) -> None:
    shop.arrive(first)
    shop.migrate(second)

    said = shop.run(second, "guard", "why", "Shop_Product.CODE").ok().out
    found = shop.run(second, "guard", "why", "shop_product.code", "--json").ok().json

    assert said.startswith("shop_product.code: waiting (")
    assert "  used by release r1, web: 1 instance, last seen " in said
    assert "  [NO ]  2 No live instance relies on it" in said
    assert "  [yes] 12 The code that runs this command does without it" in said
    assert [c["number"] for c in found["step"]["conditions"]] == list(range(1, 13))
    assert [u["release"] for u in found["step"]["used_by"]] == ["r1"]
    assert {b["condition"] for b in found["step"]["blockers"]} >= {1, 2}
    assert all(b["clears"] for b in found["step"]["blockers"])


@on_sqlite
def test_why_of_a_migration_that_is_held(shop: Shop, first: Tree, trees: Trees) -> None:
    note = migration(
        "0002_note",
        "0001_initial",
        "migrations.AddConstraint('product', models.CheckConstraint(condition=models.Q(rank__lt=1000), name='ranked'))",
    )
    stricter = trees.make(first, FIRST, migrations=note)
    shop.arrive(first)
    shop.migrate(stricter)

    said = shop.run(stricter, "guard", "why", "shop.0002_note").ok().out

    assert said.startswith("shop.0002_note: waiting (shop.0002_note, first tried ")
    assert "1 instance of release r1 (web) runs" in said


@on_sqlite
def test_why_of_what_is_over(shop: Shop, first: Tree, second: Tree) -> None:
    shop.guard["KEEP_FOR"] = 0
    shop.set_aside(first, second)

    said = shop.run(second, "guard", "why", "shop_product.code").ok().out

    assert said.startswith("shop_product.code: erased (")


@on_sqlite
@pytest.mark.parametrize("action", ["why", "restore"])
def test_an_unknown_target_is_a_mistake_that_names_the_known_ones(
    shop: Shop, first: Tree, second: Tree, action: str
) -> None:
    nothing = shop.run(first, "guard", action, "shop_product.cod").ok(2)
    assert "There is no contract step for shop_product.cod: nothing waits here." in nothing.err
    shop.set_aside(first, second)

    done = shop.run(second, "guard", action, "shop_product.cod").ok(2)

    assert (
        "There is no contract step for shop_product.cod. There are: shop_product.code, shop_product.note." in done.err
    )


@on_sqlite
def test_mistakes_in_what_was_typed(shop: Shop, first: Tree) -> None:
    for args in ((), ("wait",), ("why",), ("contract", "--timeout", "soon"), ("contract", "--timeout", "-1")):
        assert shop.run(first, "guard", *args).code == 2, args
    done = shop.run(first, "guard", "status", "--database", "elsewhere").ok(2)
    assert done.err.strip() == "CommandError: There is no database 'elsewhere' in DATABASES."


@on_sqlite
@pytest.mark.parametrize("args", [("status",), ("why", "a.b"), ("contract",), ("restore", "a.b")], ids=lambda a: a[0])
def test_without_a_ledger_it_says_how_to_get_one(empty_shop: Shop, first: Tree, args: tuple[str, ...]) -> None:
    done = empty_shop.run(first, "guard", *args).ok(1)

    assert done.err.strip() == (
        "CommandError: Database default has no ledger yet, so guard knows nothing of it: run "
        "`manage.py migrate --database default`."
    )


@pytest.mark.parametrize("args", [("status",), ("contract",), ("restore", "a.b")], ids=lambda a: a[0])
def test_a_database_that_is_away_is_one_sentence(shop: Shop, first: Tree, args: tuple[str, ...]) -> None:
    gone = entry(shop.database) | {"PORT": "1"}
    if shop.vendor == "sqlite":
        gone["NAME"] = "/nonexistent/shop.sqlite3"

    done = shop.run(first, "guard", *args, DATABASES=json.dumps({"default": gone})).ok(1)

    assert done.err.startswith("CommandError: The database refused: ")
    assert len(done.err.splitlines()) == 1


@on_sqlite
def test_contract_says_why_each_step_waits_and_waits_no_longer_than_asked(
    shop: Shop, first: Tree, second: Tree
) -> None:
    shop.arrive(first)
    shop.migrate(second)

    done = shop.contract(second)
    assert done.out.startswith("shop_product.code waits:\n  No server or worker of a release that does not declare ")
    assert "Clears when" in done.out
    waited = shop.contract(second, "--wait", "--timeout", "0.2", code=3)
    assert waited.err.strip() == (
        "CommandError: Still waiting after 0.2 seconds: shop_product.code, shop_product.note. "
        "`manage.py guard why shop_product.code` says for what."
    )
    found = shop.contract(second, "--json").json
    assert [(s["target"], s["outcome"]) for s in found["steps"]] == [
        ("shop_product.code", "blocked"),
        ("shop_product.note", "blocked"),
    ]
    assert all(s["waits_for"] for s in found["steps"])


def test_contract_waits_until_all_is_taken(shop: Shop, first: Tree, second: Tree) -> None:
    serving = shop.arrive(first)
    shop.migrate(second)

    waiting = shop.start(second, "guard", "contract", "--wait", "--timeout", "300", "--json")
    shop.roll(serving, second)
    found = waiting.wait().ok().json

    # One may have been taken a round after the other.
    assert sorted((s["target"], s["outcome"], s["state"]) for s in found["steps"]) == [
        ("shop_product.code", "set aside", "aside"),
        ("shop_product.note", "set aside", "aside"),
    ]


@on_sqlite
def test_nothing_waits(shop: Shop, first: Tree) -> None:
    assert shop.contract(first).out == "Nothing waits.\n"
    assert shop.contract(first, "--wait").out == "Nothing waits.\n"
    assert shop.contract(first, "--json").json == {"version": 1, "steps": []}


@on_sqlite
def test_nothing_waits_but_something_is_kept(shop: Shop, first: Tree, second: Tree) -> None:
    shop.set_aside(first, second)

    assert shop.contract(second, "--wait").out == (
        "Nothing waits. 2 things set aside stay until erased: `manage.py guard status` says when.\n"
    )


@on_sqlite
def test_restore_for_machines(shop: Shop, first: Tree, second: Tree) -> None:
    shop.set_aside(first, second)

    found = shop.run(second, "guard", "restore", "shop_product.code", "--json").ok().json

    assert found["restored"] == [{"database": "default", "target": "shop_product.code", "state": "waiting"}]
    assert [row[0] for row in shop.query("SELECT action FROM guard_event ORDER BY id")][-1] == "restore"


@on_sqlite
def test_what_was_done_is_on_record(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)
    shop.contract(second, GUARD_ACTOR="pipeline 42")

    rows = shop.query(
        "SELECT action, target, actor, release_label, details FROM guard_event WHERE action <> 'plan' ORDER BY id"
    )

    assert [row[:2] for row in rows[:2]] == [("expand", "shop_product.code"), ("expand", "shop_product.note")]
    assert [row[:4] for row in rows[2:]] == [
        ("aside", "shop_product.code", "pipeline 42", "r2"),
        ("aside", "shop_product.note", "pipeline 42", "r2"),
    ]
    details = json.loads(rows[2][4])
    assert any("RENAME COLUMN" in sql for sql in details["sql"])
    assert len(details["conditions"]) == 12


@on_sqlite
@pytest.mark.parametrize("command", [("migrate",), ("guard", "contract")])
def test_what_takes_steps_folds_the_past(shop: Shop, first: Tree, command: tuple[str, ...]) -> None:
    for _ in range(2):
        shop.leave(shop.arrive(first))
    with shop.ledger() as ledger:
        ledger.update("instance", {}, "folded = 0", [], raw={"ended_at": f"ended_at - {8 * 86_400}"})

    shop.run(first, *command).ok()

    with shop.ledger() as ledger:
        assert [(instance.size, instance.release) for instance in ledger.instances()] == [(2, "r1")]


@on_sqlite
def test_the_log_for_people_and_for_machines(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)
    shop.environ["GUARD_ACTOR"] = "ann"
    shop.run(second, "guard", "freeze", "--until", "2h", "--reason", "a sale", CI_JOB_URL="https://ci.example/1").ok()
    shop.run(second, "guard", "freeze", "--end", "--reason", "it is over").ok()
    shop.contract(second)

    entries = shop.run(second, "guard", "log", "--json").ok().json["log"]

    assert [entry["action"] for entry in entries] == ["expand", "expand", "freeze", "thaw", "aside", "aside"]
    entries = entries[2:]
    assert entries[0]["details"]["reason"] == "a sale"
    assert entries[0]["details"]["job"] == "https://ci.example/1"
    assert {entry["actor"] for entry in entries} == {"ann"}
    assert {entry["release"] for entry in entries} == {"r2"}
    assert entries[2]["details"]["seconds"] >= 0
    said = shop.run(second, "guard", "log").ok().out
    at = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  "
    assert re.search(rf"^{at}freeze   by ann, release r2\n    a sale\n    https://ci.example/1$", said, re.M)
    assert re.search(
        rf"^{at}aside shop_product.code  by ann, release r2\n(    .*\n)+    took [\d.]+ seconds$", said, re.M
    )

    shop.query(f"UPDATE guard_event SET at = at - {3 * 86_400} WHERE action <> 'aside'")
    since = shop.run(second, "guard", "log", "--since", "2d", "--json").ok().json["log"]
    assert [entry["action"] for entry in since] == ["aside", "aside"]
    assert shop.run(second, "guard", "log", "--since", "2999-01-01").ok().out == "Nothing has happened.\n"
    assert "is no time" in shop.run(second, "guard", "log", "--since", "lately").ok(2).err


@on_sqlite
def test_a_migration_that_ran_whole_is_on_record(shop: Shop, first: Tree, trees: Trees) -> None:
    stricter = trees.make(
        first,
        FIRST,
        migrations=migration(
            "0002_positive",
            "0001_initial",
            "migrations.AddConstraint("
            "'product', models.CheckConstraint(condition=models.Q(rank__gte=0), name='positive'))",
        ),
    )
    serving = shop.arrive(first)
    shop.migrate(stricter)
    shop.roll(serving, stricter)
    shop.migrate(stricter)

    (entry,) = [e for e in shop.run(stricter, "guard", "log", "--json").ok().json["log"] if e["action"] == "run"]

    assert entry["target"] == "shop.0002_positive"
    assert any("shop_product" in sql for sql in entry["details"]["sql"])
    assert not any(sql.lstrip().startswith("SELECT") for sql in entry["details"]["sql"])
    assert len(entry["details"]["conditions"]) == 12
