"""Operators' orders: what they change, what they are refused for, and what the log says of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from guard import events
from guard.gate import contract
from guard.gate.contract import Outcome
from guard.gate.orders import Desk, Refused, moment
from guard.ledger import orders
from guard.ledger.rows import InstanceKind, InstanceState, StepState
from tests.integration.ledger.harness import CONFIG, LEASE, OLD, Place, desk, registration, step


def lose(place: Place, instance: str) -> None:
    """Its lease ran out a moment ago."""
    with place.ledger() as ledger:
        ledger.update("instance", {"expires_at": ledger.now() - 1}, "id = %s", [instance])


def actions(at: Desk) -> list[str]:
    return [entry[1] for entry in orders.record_since(at.ledger, 0.0)]


def test_a_waived_blocker_no_longer_holds_the_step_up_and_the_waived_instance_is_refused(table: Place) -> None:
    with desk(table) as at:
        at.ledger.register(registration("old"), OLD, lease=LEASE)
        (waiting,) = at.gate.due()
        codes = [blocker.code for blocker in at.gate.judge(waiting).blockers]
        assert "live-instances" in codes

        at.allow("shop_item.old", codes, reason="it idles", expires="1h", pending=())
        attempt = at.gate.take(waiting)

        assert attempt.outcome is Outcome.ASIDE
        states = {instance.id: instance.state for instance in at.ledger.instances()}
        assert states == {"old": InstanceState.REFUSED, "new": InstanceState.LIVE}
        assert actions(at) == ["allow", "aside"]


def test_a_new_blocker_still_blocks_a_step_with_waivers(table: Place) -> None:
    with desk(table) as at:
        at.ledger.register(
            registration("weekly", kind=InstanceKind.COMMAND, workload="command:weekly", recurring=True),
            OLD,
            lease=LEASE,
        )
        at.ledger.leave("weekly")
        (waiting,) = at.gate.due()
        codes = [blocker.code for blocker in at.gate.judge(waiting).blockers]
        at.allow("shop_item.old", codes, reason="never again", expires="1h", pending=())
        assert at.gate.judge(waiting).clear

        at.ledger.register(registration("old"), OLD, lease=LEASE)

        assert "live-instances" in [blocker.code for blocker in at.gate.judge(waiting).blockers]
        assert at.gate.take(waiting).outcome is Outcome.BLOCKED


def test_the_same_blocker_about_somebody_else_still_blocks(table: Place) -> None:
    with desk(table) as at:
        at.ledger.register(registration("old"), OLD, lease=LEASE)
        (waiting,) = at.gate.due()
        codes = [blocker.code for blocker in at.gate.judge(waiting).blockers]
        at.allow("shop_item.old", codes, reason="it idles", expires="1h", pending=())
        assert at.gate.judge(waiting).clear
        at.ledger.register(registration("old too"), OLD, lease=LEASE)
        assert at.gate.judge(waiting).clear

        at.ledger.register(registration("older", release="r0"), OLD, lease=LEASE)

        (live,) = [blocker for blocker in at.gate.judge(waiting).blockers if blocker.code == "live-instances"]
        assert live.who == "release r0 (web)"


def test_a_migration_that_is_applied_stands_for_all_its_steps(table: Place) -> None:
    with desk(table) as at:
        at.ledger.register(registration("old"), OLD, lease=LEASE)
        (waiting,) = at.gate.due()
        codes = [blocker.code for blocker in at.gate.judge(waiting).blockers]
        with pytest.raises(
            Refused, match=r"shop\.0002_remove_old is not blocked by late-writes; it is blocked by live"
        ):
            at.allow("shop.0002_remove_old", ["late-writes"], reason="why not", expires="1h", pending=())

        at.allow("shop.0002_remove_old", codes, reason="it idles", expires="1h", pending=())

        assert at.gate.judge(waiting).clear


def test_a_waiver_that_an_older_guard_gave_is_for_whoever_it_is(each: Place) -> None:
    with desk(each) as at:
        now = at.ledger.now()
        at.ledger.insert(
            "order",
            {
                "kind": "waive", "target": "shop_item.old", "codes": '["live-instances"]', "reason": "r", "actor": "a",
                "made_at": now, "expires_at": now + 60, "format": 1,
            },
        )  # fmt: skip

        (order,) = orders.in_force(at.ledger, now)
        assert order.waives == (("live-instances", ""),)


def test_a_waiver_ahead_of_time_is_for_a_pending_migration(each: Place) -> None:
    with desk(each) as at:
        with pytest.raises(Refused, match="no pending migration"):
            at.allow("shop.0009_later", ["live-instances"], reason="tonight", expires="1h", pending=("shop.0003",))

        at.allow("shop.0003", ["live-instances"], reason="tonight", expires="1h", pending=("shop.0003",))

        (order,) = orders.in_force(at.ledger, at.ledger.now())
        assert (order.target, order.waives, order.actor) == (
            "shop.0003", (("live-instances", ""),), "somebody@somewhere"
        )  # fmt: skip


@pytest.mark.parametrize(
    ("codes", "reason", "expires", "says"),
    [
        (["live-instances"], " ", "1h", "--reason"),
        (["live-instances"], "why not", "2001-01-01", "in the past"),
        (["live-instances"], "why not", "soon", "no time"),
        (["dependents"], "why not", "1h", "cannot be waived"),
        (["old-taker"], "why not", "1h", "cannot be waived"),
        (["environment"], "why not", "1h", "cannot be waived"),
        (["not-applied"], "why not", "1h", "cannot be waived"),
        (["late-writes"], "why not", "1h", "is not blocked by late-writes"),
    ],
)
def test_an_override_that_says_too_little_or_too_much_is_refused(
    sqlite: Place, codes: list[str], reason: str, expires: str, says: str
) -> None:
    with desk(sqlite) as at:
        at.ledger.slate(step())
        with pytest.raises(Refused, match=says):
            at.allow("shop_item.old", codes, reason=reason, expires=expires, pending=())
        assert actions(at) == []
        assert orders.in_force(at.ledger, at.ledger.now()) == ()


def test_nothing_is_taken_while_everything_is_frozen(table: Place) -> None:
    with desk(table) as at:
        (waiting,) = at.gate.due()
        at.freeze(until="2h", reason="the big sale")

        (frozen,) = [blocker for blocker in at.gate.judge(waiting).blockers if blocker.code == "frozen"]
        assert "the big sale" in frozen.sentence(at.ledger.now())
        assert at.gate.take(waiting).outcome is Outcome.BLOCKED

        at.thaw(reason="it is over")
        assert "frozen" not in [blocker.code for blocker in at.gate.judge(waiting).blockers]
        with pytest.raises(Refused, match="Nothing is frozen"):
            at.thaw(reason="again")


def test_only_what_is_lost_can_be_forgotten(each: Place) -> None:
    with desk(each) as at:
        at.ledger.register(registration("a", host="web1", pid=7), OLD, lease=LEASE)
        at.ledger.register(registration("b", host="web2", pid=8), OLD, lease=LEASE)
        with pytest.raises(Refused, match="Only what is lost"):
            at.forget(instance="a", reason="it is gone")
        with pytest.raises(Refused, match="no instance 'x'"):
            at.forget(instance="x", reason="it is gone")
        with pytest.raises(Refused, match="No instance is lost"):
            at.forget(all_lost=True, reason="all gone")

        lose(each, "a")
        at.forget(instance="web1:7", reason="the machine burnt down")

        found = {instance.id: instance for instance in at.ledger.instances()}
        assert found["a"].state is InstanceState.GONE
        assert found["a"].ended_at == pytest.approx(found["a"].expires_at)
        assert found["b"].state is InstanceState.LIVE


def test_a_forgotten_workload_is_not_waited_for(table: Place) -> None:
    with desk(table) as at:
        at.ledger.register(
            registration("w", kind=InstanceKind.COMMAND, workload="command:weekly", recurring=True), OLD, lease=LEASE
        )
        at.ledger.leave("w")
        (waiting,) = at.gate.due()
        assert "recurring-workload" in [blocker.code for blocker in at.gate.judge(waiting).blockers]

        at.forget(workload="command:weekly", reason="replaced by a view")

        assert "recurring-workload" not in [blocker.code for blocker in at.gate.judge(waiting).blockers]
        with pytest.raises(Refused, match="No recurring workload"):
            at.forget(workload="command:weekly", reason="replaced by a view")


def test_the_queue_of_a_worker_is_waived_and_not_forgotten(table: Place) -> None:
    with desk(table) as at:
        at.ledger.register(
            registration("w", kind=InstanceKind.WORKER, workload="celery:mail,default"), OLD, lease=LEASE
        )
        at.ledger.leave("w")

        with pytest.raises(Refused, match=r"celery:mail is what workers run.* allow STEP --waive recurring-workload"):
            at.forget(workload="celery:mail", reason="mails are sent by somebody else")


def test_a_withdrawn_step_leaves_its_column(table: Place) -> None:
    with desk(table) as at:
        at.withdraw("SHOP_ITEM.old", reason="we keep it")

        (gone,) = at.ledger.steps(StepState.WITHDRAWN)
        assert gone.target == "shop_item.old"
        assert at.gate.ddl.facts("shop_item", "old") is not None
        assert at.gate.due() == ()
        with pytest.raises(Refused, match="given up already"):
            at.withdraw("shop_item.old", reason="twice")


def test_a_clone_waits_until_it_is_adopted_and_forgets_the_lost_of_the_other_environment(table: Place) -> None:
    staging = replace(CONFIG, environment="staging")
    with desk(table, staging) as at:
        orders.set_environment(at.ledger, "production")
        at.ledger.register(registration("old"), OLD, lease=LEASE)
        lose(table, "old")
        (waiting,) = at.gate.due()
        assert "environment" in [blocker.code for blocker in at.gate.judge(waiting).blockers]

        at.adopt(reason="restored from last night")

        assert at.ledger.gate().environment == "staging"
        assert "environment" not in [blocker.code for blocker in at.gate.judge(waiting).blockers]
        assert {i.id: i.state for i in at.ledger.instances()}["old"] is InstanceState.GONE
        with pytest.raises(Refused, match="already"):
            at.adopt(reason="twice")


def test_an_environment_without_a_label_cannot_adopt(sqlite: Place) -> None:
    with desk(sqlite) as at, pytest.raises(Refused, match="ENVIRONMENT"):
        at.adopt(reason="why not")


def test_each_order_is_told_and_recorded_with_who_why_and_the_ci_job(
    sqlite: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[events.Event] = []
    monkeypatch.setattr(events, "subscribers", [told.append])
    monkeypatch.setenv("CI_JOB_URL", "https://ci.example/job/1")
    with desk(sqlite) as at:
        at.freeze(until="2h", reason="the big sale")

        ((_, action, _, actor, release, details),) = orders.record_since(at.ledger, 0.0)
    assert (action, actor, release) == ("freeze", "somebody@somewhere", "r2")
    assert details["reason"] == "the big sale"
    assert details["job"] == "https://ci.example/job/1"
    (event,) = told
    assert isinstance(event, events.OrderGiven)
    assert (event.action, event.reason) == ("freeze", "the big sale")


def test_who_takes_a_step_is_no_evidence_that_new_code_runs(table: Place) -> None:
    """A server that migrates as it starts has registered before anybody knows that it works."""
    with desk(table) as at:
        (waiting,) = at.gate.due()
        assert "new-code-not-seen" not in [blocker.code for blocker in at.gate.judge(waiting).blockers]

        at.gate.me = replace(at.gate.me, instance="new")

        assert "new-code-not-seen" in [blocker.code for blocker in at.gate.judge(waiting).blockers]


def test_what_an_order_rests_on_is_recorded(table: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI_JOB_URL", raising=False)
    weekly = {"kind": InstanceKind.COMMAND, "workload": "command:weekly", "recurring": True}
    with desk(table) as at:
        at.ledger.register(registration("lost", host="web1", pid=7), OLD, lease=LEASE)
        at.ledger.register(registration("w", host="cron", pid=8, **weekly), OLD, lease=LEASE)
        lose(table, "lost")
        at.allow("shop_item.old", ["recurring-workload"], reason="it is off", expires="1h", pending=())
        at.forget(all_lost=True, reason="burnt")
        at.forget(workload="command:weekly", reason="replaced")
        at.withdraw("shop_item.old", reason="we keep it")

        evidence: list[Any] = [entry[5]["evidence"] for entry in orders.record_since(at.ledger, 0.0)]
    assert evidence[0][0].startswith("Workload command:weekly last ran with release r1")
    assert str(evidence[1]).startswith("['r1 web web1:7, last seen at 20")
    assert str(evidence[2]).startswith("['r1 command:weekly cron:8, last seen at 20")
    assert evidence[3] == ["It was waiting."]


def test_a_waiver_ahead_of_time_covers_the_step_that_its_migration_slates(table: Place) -> None:
    with desk(table) as at:
        at.ledger.register(registration("old"), OLD, lease=LEASE)
        (waiting,) = at.gate.due()
        codes = [blocker.code for blocker in at.gate.judge(waiting).blockers]
        assert codes
        # Given before there was a step for it.
        at.ledger._run("DELETE FROM guard_step")
        at.allow("shop.0002_remove_old", codes, reason="tonight", expires="1h", pending=("shop.0002_remove_old",))

        again = at.ledger.slate(replace(waiting, id=0))

        judged = at.gate.judge(again)
        assert judged.clear
        assert {blocker.code for blocker in judged.waived} == set(codes)


def test_what_is_taken_and_restored_is_recorded_with_its_sql_its_time_and_the_ci_job(
    table: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILD_URL", "https://ci.example/2")
    with desk(table) as at:
        (waiting,) = at.gate.due()
        aside = at.gate.take(waiting).step
        at.gate.restore(aside)

        found: list[Any] = orders.record_since(at.ledger, 0.0)
    taken, restored = found
    for action, entry in (("aside", taken), ("restore", restored)):
        details = entry[5]
        assert (entry[1], entry[3], entry[4]) == (action, "somebody@somewhere", "r2")
        assert details["job"] == "https://ci.example/2"
        assert any("old" in sql for sql in details["sql"])
        assert isinstance(details["seconds"], float)
    assert len(taken[5]["conditions"]) == 12
    assert restored[5]["evidence"] == [f"It was kept as shop_item.{aside.aside_name}."]


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, ""),
        ({"CI_JOB_URL": "https://gitlab/1", "BUILD_URL": "x"}, "https://gitlab/1"),
        ({"BUILDKITE_BUILD_URL": "https://kite/1"}, "https://kite/1"),
        (
            {"GITHUB_SERVER_URL": "https://github.example", "GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "7"},
            "https://github.example/a/b/actions/runs/7",
        ),
        ({"GITHUB_SERVER_URL": "https://github.example", "GITHUB_RUN_ID": "7"}, ""),
    ],
)
def test_the_address_of_the_ci_job(environ: dict[str, str], address: str) -> None:
    assert contract.job(environ) == address


def test_a_moment_in_the_past_is_a_duration_ago_or_a_date() -> None:
    assert moment("2h", 10_000.0, back=True) == 2_800.0
    assert moment("1970-01-01T02:00", 10_000.0, back=True) == 7_200.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 5_400.0),
        ("2h", 7_200.0),
        ("1.5d", 129_600.0),
        ("1970-01-01T02:00", 6_200.0),
        ("1970-01-01T02:00+01:00", 2_600.0),
    ],
)
def test_a_moment_is_a_duration_or_a_date_in_utc(text: str, seconds: float) -> None:
    assert moment(text, 1_000.0) - 1_000.0 == seconds
