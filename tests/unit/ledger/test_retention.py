"""What folding keeps: a verdict that reads totals waits for all that it would wait for without them."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.gate.verdict import Policy, decide, decide_erase, decide_whole
from guard.ledger import retention
from guard.ledger.rows import Instance, InstanceKind, InstanceState
from tests.unit.gate.cases import DAY, NOW, evidence, gone, instance, lost, step

moments = st.sampled_from([NOW - days * DAY for days in (0.1, 0.5, 2, 3.5, 8, 20, 34, 36, 60)])


@st.composite
def ended(draw: st.DrawFn) -> Instance:
    """One that has gone, or was lost."""
    began, until = sorted((draw(moments), draw(moments)))
    kind = draw(st.sampled_from(InstanceKind))
    values: dict[str, Any] = {
        "kind": kind,
        "workload": draw(st.sampled_from(["command:report", "celery:mail,default", "celery:mail"])),
        "recurring": kind is InstanceKind.COMMAND and draw(st.booleans()),
        "refused": draw(st.booleans()),
        "registered_at": began,
        "renewed_at": until,
        "expires_at": until + 90,
    }
    digest = draw(st.sampled_from(["old", "new", "unknown"]))
    if draw(st.booleans()):
        return instance("x", digest, state=InstanceState.GONE, ended_at=until, **values)
    return instance("x", digest, state=draw(st.sampled_from([InstanceState.LIVE, InstanceState.REFUSED])), **values)


policies = st.builds(
    Policy,
    lost_grace=st.sampled_from([0.0, DAY, 40 * DAY]),
    quiet_period=st.just(0.0),
    rollback_window=st.sampled_from([0.0, DAY, 30 * DAY]),
    adoption_period=st.sampled_from([0.0, 10 * DAY]),
    workload_window=st.sampled_from([0.0, 35 * DAY]),
    keep_for=st.just(0.0),
    environment=st.just("production"),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ended(), max_size=8), policies, st.sampled_from([2, 10, 40]))
def test_a_verdict_over_totals_waits_for_the_same(members: list[Instance], policy: Policy, slated_days: int) -> None:
    serving = instance("n1")
    members = [replace(member, id=f"m{number}") for number, member in enumerate(members)]
    folded = tuple(retention.totals(members).values())

    def decided(*instances: Instance) -> list[set[str]]:
        found = evidence(
            instances=(serving, *instances),
            step=step(slated_at=NOW - slated_days * DAY),
            first_registered_at=min(i.first_registered_at for i in (serving, *instances)),
        )
        return [{b.code for b in each(found, policy).blockers} for each in (decide, decide_erase, decide_whole)]

    for apart, together in zip(decided(*members), decided(*folded), strict=True):
        # A command's last run may be taken for a little later than it was; nothing else is judged otherwise.
        assert apart <= together
        assert together - apart <= {"recurring-workload"}


@settings(max_examples=100, deadline=None)
@given(st.lists(ended(), max_size=8), st.integers(0, 8))
def test_totals_of_totals_are_the_totals_of_all(members: list[Instance], cut: int) -> None:
    early, late = members[:cut], members[cut:]

    assert retention.totals([*retention.totals(early).values(), *late]) == retention.totals(members)


def test_a_total_says_how_many_it_stands_for_and_keeps_the_first_and_the_last_moment() -> None:
    members = [
        gone("a", ago=20 * DAY, registered_at=NOW - 30 * DAY, host="h1", pid=1),
        gone("b", ago=10 * DAY, registered_at=NOW - 25 * DAY, host="h1", pid=2),
        gone("c", ago=15 * DAY, registered_at=NOW - 22 * DAY, host="h2", pid=3),
    ]

    (total,) = retention.totals(members).values()

    assert (total.size, total.first_registered_at, total.registered_at) == (3, NOW - 30 * DAY, NOW - 22 * DAY)
    assert (total.state, total.ended_at, total.host, total.pid) == (InstanceState.GONE, NOW - 10 * DAY, "", 0)


def test_who_vanished_while_it_was_refused_is_known_to_have_been() -> None:
    """It has not run without the column, and its total must not say so."""
    vanished = lost("a", "new", ago=40 * DAY, kind=InstanceKind.WORKER, workload="celery:mail")
    refused = replace(vanished, state=InstanceState.REFUSED)

    found = retention.totals([vanished, refused])

    assert sorted((total.state, total.refused, total.size) for total in found.values()) == [
        (InstanceState.LIVE, False, 1),
        (InstanceState.LIVE, True, 1),
    ]


def test_what_a_verdict_tells_apart_is_counted_apart() -> None:
    usual = gone("a", ago=20 * DAY)
    others = [
        replace(usual, release="9"),
        replace(usual, digest="new"),
        replace(usual, kind=InstanceKind.COMMAND),
        replace(usual, workload="celery"),
        replace(usual, recurring=True),
        replace(usual, refused=True),
        lost("b", ago=20 * DAY),
    ]

    assert len(retention.totals([usual, *others])) == 1 + len(others)
    assert all(len(list(same)) == 1 for _, same in groupby(retention.totals([usual, *others])))


def test_of_runs_that_began_at_one_moment_the_longest_is_the_last() -> None:
    def ran(id: str, began: float, until: float, **changes: Any) -> Instance:
        usual = {"kind": InstanceKind.COMMAND, "workload": "command:report", "recurring": True}
        return gone(id, ago=until * DAY, registered_at=NOW - began * DAY, **usual, **changes)

    runs = [ran("a", 60, 60), ran("b", 36, 34), ran("c", 36, 36)]
    policy = Policy(environment="production", workload_window=35 * DAY, rollback_window=0, quiet_period=0)

    for order in (runs, runs[::-1]):
        found = decide(evidence(instances=(instance("n1"), *order)), policy)
        assert "recurring-workload" in {blocker.code for blocker in found.blockers}
