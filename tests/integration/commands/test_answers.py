"""What the verbs say to machines is what their schemas say, on each database."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from guard.attribution.watchlist import Access
from guard.commands import answers
from guard.commands.verbs import VERBS
from guard.ledger import listing
from guard.ledger.rows import InstanceKind
from guard.schema.footprint import Footprint
from tests.integration.commands.calling import SCHEMAS, answer, call, validate
from tests.integration.ledger.harness import LEASE, NEW, OLD, Place, glimpse, registration, step
from tools import schemas


def test_every_verb_has_a_schema_and_they_and_their_page_are_up_to_date() -> None:
    assert set(answers.ANSWERS) == set(VERBS)
    stale = [path.name for path, text in schemas.wanted().items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run `python -m tools.schemas`"
    for path in SCHEMAS.iterdir():
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_a_key_that_no_schema_names_is_found() -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate("contract", {"version": 1, "steps": [], "more": 1})
    with pytest.raises(jsonschema.ValidationError):
        validate("restore", {"version": 1, "restored": [{"database": "a", "target": "b", "state": "gone"}]})


def test_the_life_of_a_step_as_machines_are_told_it(table: Place, tmp_path: Path) -> None:
    with table.ledger() as ledger:
        ledger.register(registration("old", pid=7), OLD, lease=LEASE)
        ledger.register(registration("lost", pid=8), OLD, lease=0.001)
        ledger.register(registration("new", release="r2"), NEW, lease=LEASE)
        ledger.beat("old", lease=LEASE, watched_epoch=ledger.epoch(), flush_no=1, glimpses=[glimpse(count=3)])
        ledger.beat("new", lease=LEASE, watched_epoch=ledger.epoch(), flush_no=1)

    (database,) = answer(table, "status")["databases"]
    assert {(g["release"], g["live"], g["lost"]) for g in database["instances"]} == {("r1", 1, 1), ("r2", 1, 0)}
    (step,) = database["steps"]
    assert (step["target"], step["state"], step["used_by"][0]["release"]) == ("shop_item.old", "waiting", "r1")

    why = answer(table, "why", "shop_item.old")
    assert why["step"]["sightings"][0]["count"] == 3
    assert {"live-instances"} <= {blocker["code"] for blocker in why["step"]["blockers"]}

    found = answer(table, "instances")
    assert [(one["name"], one["state"]) for one in found["instances"]] == [
        ("host:8", "lost"),
        ("host:7", "live"),
        ("host:1", "live"),
    ]
    assert (found["total"], found["pages"]) == (3, 1)

    (sighting,) = answer(table, "sightings", "shop_item.old")["sightings"]
    assert (sighting["call_site"], sighting["count"], sighting["statements"]) == ("shop/views.py:1 in view", 3, 1)

    (attempt,) = answer(table, "contract")["steps"]
    assert (attempt["outcome"], attempt["state"]) == ("blocked", "waiting")
    answer(table, "status", "--strict", code=3)
    answer(table, "contract", "--wait", "--timeout", "0", code=3)

    answer(table, "freeze", "--until", "2h", "--reason", "a sale")
    answer(table, "freeze", "--end", "--reason", "over")
    answer(table, "allow", "shop_item.old", "--waive", "live-instances", "--reason", "known", "--expires", "2h")
    answer(table, "forget", "--all-lost", "--reason", "shut down")
    (tmp_path / "alive").write_text("pod/host\n")
    answer(table, "reconcile", "--alive", str(tmp_path / "alive"))
    answer(table, "adopt", "--reason", "ours now", ENVIRONMENT="production")

    with table.ledger() as ledger:
        ledger.leave("old")
    (attempt,) = answer(table, "contract", ENVIRONMENT="production")["steps"]
    assert (attempt["outcome"], attempt["state"]) == ("set aside", "aside"), attempt
    (restored,) = answer(table, "restore", "shop_item.old", ENVIRONMENT="production")["restored"]
    assert restored["state"] == "waiting"
    (order,) = answer(table, "withdraw", "shop_item.old", "--reason", "needed", ENVIRONMENT="production")["orders"]
    assert order["target"] == "shop_item.old"

    log = answer(table, "log")
    assert [entry["action"] for entry in log["log"]] == [
        *("freeze", "thaw", "allow", "forget", "reconcile", "adopt", "aside", "restore", "withdraw")
    ]
    newest = answer(table, "log", "--limit", "2")
    assert [entry["action"] for entry in newest["log"]] == ["restore", "withdraw"]
    assert (newest["total"], newest["pages"]) == (9, 5)
    before = answer(table, "log", "--limit", "2", "--page", "2")
    assert [entry["action"] for entry in before["log"]] == ["adopt", "aside"]
    validate("lint", json.loads(call(table, "lint", "--json").out))


def test_a_page_of_instances_and_what_narrows_them(sqlite: Place) -> None:
    with sqlite.ledger() as ledger:
        for number in range(5):
            ledger.register(registration(f"i{number}", pid=number + 1), OLD, lease=LEASE)
        ledger.register(registration("w", release="r2", workload="celery:mail", pid=9), NEW, lease=LEASE)
        ledger.register(registration("g", release="r2", pid=10), NEW, lease=LEASE)
        ledger.leave("g")

    said = call(sqlite, "instances", "--limit", "2", "--page", "2").lines
    assert [re.sub(r"just now|\d+ seconds? ago", "T", line) for line in said] == [
        "INSTANCE  RELEASE  WORKLOAD  STATE  LAST SEEN",
        "host:3    r1       web       live   T",
        "host:4    r1       web       live   T",
        "3 to 4 of 6 instances. The next: --page 3",
    ]
    assert call(sqlite, "instances", "--page", "4").lines[-1] == "There is no page 4: 6 instances are on 1 page."
    names = [one["name"] for one in answer(sqlite, "instances", "--workload", "celery:mail")["instances"]]
    assert names == ["host:9"]
    assert [one["name"] for one in answer(sqlite, "instances", "--state", "gone")["instances"]] == ["host:10"]
    assert answer(sqlite, "instances", "--state", "all", "--release", "r2")["total"] == 2
    assert call(sqlite, "instances", "--state", "lost").lines == ["No instance is like that."]
    wrong = call(sqlite, "instances", "--limit", "0")
    assert "'0' is not a number from 1 on" in wrong.err


def test_sightings_are_grouped_by_who_and_where_and_counted(table: Place) -> None:
    with table.ledger() as ledger:
        ledger.register(registration("old"), OLD, lease=LEASE)
        glimpses = [
            glimpse(count=5, shape="SELECT old FROM shop_item"),
            glimpse(count=7, shape="SELECT id, old FROM shop_item"),
            glimpse(access=Access.WRITE, call_site="shop/admin.py:9 in save", first_age=9e3, last_age=8e3),
        ]
        ledger.beat("old", lease=LEASE, watched_epoch=ledger.epoch(), flush_no=1, glimpses=glimpses)

    found = answer(table, "sightings")

    assert [(s["access"], s["call_site"], s["count"], s["statements"]) for s in found["sightings"]] == [
        ("read", "shop/views.py:1 in view", 12, 2),
        ("write", "shop/admin.py:9 in save", 1, 1),
    ]
    assert found["total"] == 2
    said = call(table, "sightings", "shop.0002_remove_old", "--access", "write").lines
    assert said[0] == "TARGET         ACCESS  RELEASE  WORKLOAD  WHERE                             TIMES  LAST"
    assert said[1] == ("shop_item.old  write   r1       web       shop/admin.py:9 in save (items/)      1  2 hours ago")
    assert answer(table, "sightings", "--since", "1h")["total"] == 1
    assert call(table, "sightings", "--release", "r7").lines == ["Nothing has touched what waits."]
    assert "There is no contract step for shop_item.older" in call(table, "sightings", "shop_item.older").err
    assert call(table, "sightings", "--since", "lately").code == 2


def test_the_newest_release_that_runs_without_what_is_gone_is_known(each: Place) -> None:
    later = Footprint({**NEW.tables, "shop_more": OLD.tables["shop_item"]}, NEW.migrations)
    with each.ledger() as ledger:
        slated = ledger.slate(step())
        more = ledger.slate(step(table="shop_more"))
        for number, (label, footprint) in enumerate((("r1", OLD), ("r2", NEW), ("r3", later), ("r4", OLD))):
            ledger.register(registration(f"i{number}", release=label), footprint, lease=LEASE)
            ledger.update("instance", {"registered_at": float(number)}, "id = %s", [f"i{number}"])
        # A command is nothing to deploy.
        ledger.register(registration("c", release="r5", kind=InstanceKind.COMMAND), NEW, lease=LEASE)

        assert listing.runs_as_is(ledger, [slated]) == "r3"
        assert listing.runs_as_is(ledger, [slated, more]) == "r2"
        assert listing.runs_as_is(ledger, [step("id"), slated]) == ""


def test_many_lost_instances_are_forgotten_at_once_and_the_log_stays_readable(each: Place) -> None:
    with each.ledger() as ledger:
        for number in range(30):
            ledger.register(registration(f"i{number:02}", pid=number + 1), OLD, lease=0.001)
        ledger.register(registration("alive", pid=99), OLD, lease=LEASE)

    said = call(each, "forget", "--all-lost", "--reason", "the old cluster")

    assert said.lines == ["30 lost instances forgotten."]
    assert [one["name"] for one in answer(each, "instances")["instances"]] == ["host:99"]
    lines = call(each, "log").lines
    assert len([line for line in lines if "last seen at" in line]) == 10
    assert lines[-1].strip() == "… and 20 more: manage.py guard log --json"
    (entry,) = answer(each, "log")["log"]
    assert len(entry["details"]["evidence"]) == 30
