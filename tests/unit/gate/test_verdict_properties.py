"""More evidence against a step never clears it, whatever the evidence was."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.attribution.watchlist import Access
from guard.gate.verdict import (
    NAMES,
    WITNESSES,
    ConditionState,
    Dependent,
    Evidence,
    Policy,
    Verdict,
    Waiver,
    decide,
    decide_erase,
    decide_whole,
)
from guard.ledger import protocol
from guard.ledger.rows import Instance, InstanceKind, InstanceState, Sighting, Step, StepKind, StepState
from tests.unit.gate.cases import DAY, EPOCH, NEW, NOW, OLD, evidence, instance, sighting, step

DECISIONS: list[Callable[[Evidence, Policy], Verdict]] = [decide, decide_erase, decide_whole]

#: Seconds since something: around each boundary of the policies below, and a day that is yet to come.
AGES = st.sampled_from([-DAY, -1.0, 0.0, 1.0, 59.0, 60.0, 61.0, 3_599.0, 3_600.0, DAY - 1, DAY, 8 * DAY, 40 * DAY])
DIGESTS = st.sampled_from(["old", "new", "unknown"])

policies = st.builds(
    Policy,
    lost_grace=st.sampled_from([0.0, 60.0, DAY]),
    quiet_period=st.sampled_from([0.0, 3_600.0]),
    rollback_window=st.sampled_from([0.0, 60.0, DAY]),
    adoption_period=st.sampled_from([0.0, 7 * DAY]),
    workload_window=st.sampled_from([0.0, 35 * DAY]),
    keep_for=st.sampled_from([0.0, 7 * DAY]),
    environment=st.sampled_from([None, "production"]),
)


@st.composite
def instances(draw: st.DrawFn, id: str | None = None, digests: st.SearchStrategy[str] = DIGESTS) -> Instance:
    registered = draw(AGES)
    state = draw(st.sampled_from(InstanceState))
    return instance(
        id or f"i{draw(st.integers(0, 5))}",
        draw(digests),
        release=draw(st.sampled_from(["1", "2"])),
        kind=draw(st.sampled_from(InstanceKind)),
        workload=draw(st.sampled_from(["web", "celery:a,b", "celery:b"])),
        recurring=draw(st.booleans()),
        state=state,
        registered_at=NOW - registered,
        expires_at=NOW - draw(AGES),
        ended_at=NOW - draw(AGES) if state is InstanceState.GONE else None,
        flushed_epoch=draw(st.sampled_from([EPOCH, EPOCH - 1])),
    )


@st.composite
def sightings(draw: st.DrawFn) -> Sighting:
    return sighting(
        ago=draw(AGES),
        digest=draw(DIGESTS),
        access=draw(st.sampled_from(Access)),
        star=draw(st.booleans()),
        workload=draw(st.sampled_from(["web", "shell"])),
    )


@st.composite
def steps(draw: st.DrawFn) -> Step:
    kind = draw(st.sampled_from(StepKind))
    aside = kind in protocol.REMOVING and draw(st.booleans())
    return step(
        kind=kind,
        state=draw(st.sampled_from([StepState.ASIDE, StepState.SEALED] if aside else StepState)),
        table="" if kind is StepKind.MIGRATION else "shop_book",
        column="isbn" if kind in (StepKind.COLUMN, StepKind.DEFAULT) else "",
        slated_at=NOW - draw(AGES),
        reopened_at=draw(st.none() | AGES.map(lambda age: NOW - age)),
        aside_name="guard_1_isbn" if aside else "",
        aside_at=NOW - draw(AGES) if aside else None,
        payload=draw(st.sampled_from([{}, {"reclaimed": True}])),
    )


def rarely(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Mostly the usual: where everything is spoilt at once, one more fact changes nothing."""
    return st.integers(0, 9).flatmap(lambda n: st.sampled_from(others) if n == 9 else st.just(usual))


@st.composite
def all_evidence(draw: st.DrawFn) -> Evidence:
    """Evidence of every sort; much of it clear, so that one more fact can matter."""
    base = evidence()
    more = draw(st.lists(instances(), max_size=3)) if draw(st.booleans()) else []
    return evidence(
        step=draw(st.just(base.step) | steps()),
        instances=draw(rarely(base.instances, base.instances[:1], base.instances[2:])) + tuple(more),
        sightings=tuple(draw(st.lists(sightings(), max_size=2))) if draw(st.booleans()) else (),
        first_registered_at=draw(st.sampled_from([None, NOW - 30 * DAY])),
        environment=draw(rarely(None, "production")),
        taker_footprint=draw(rarely(NEW, OLD, None)),
        applied=draw(rarely(True, False)),
        late_writes=draw(rarely(0, 2)),
        unreadable=draw(rarely((), ("sessions",), ("instances",))),
    )


waivers = st.lists(
    st.builds(
        Waiver,
        code=st.sampled_from(["live-instances", "rollback-window", "late-writes", "dependents", "not-applied"]),
        reason=st.just("because"),
        expires_at=AGES.map(lambda age: NOW - age),
    ),
    max_size=3,
).map(tuple)

proven = settings(max_examples=150, deadline=None, derandomize=True)


def holds(before: Evidence, after: Evidence, policy: Policy) -> None:
    """BLOCKED stays BLOCKED, whichever question is asked."""
    for decision in DECISIONS:
        if decision(after, policy).clear:
            assert decision(before, policy).clear


@proven
@given(all_evidence(), policies, waivers, instances("another", st.sampled_from(["old", "unknown"])))
def test_one_more_instance_that_relies_on_it_never_clears(
    found: Evidence, policy: Policy, waived: Any, more: Instance
) -> None:
    # One that has gone is evidence too: that old code runs with guard, and how long the fleet has been seen.
    more = more if more.state is not InstanceState.GONE else replace(more, state=InstanceState.LIVE, ended_at=None)
    if more.lost(NOW) and more.expires_at + policy.lost_grace <= NOW:
        more = replace(more, expires_at=NOW + 60)
    found = replace(found, waivers=waived)

    holds(found, replace(found, instances=(*found.instances, more)), policy)


#: What an instance can clear, because it is evidence of the fleet as well: that new code runs, that old code runs with
#: guard, that a workload has run without.
CLEARED_BY_INSTANCES = frozenset({"new-code-not-seen", "old-code-never-seen", "recurring-workload"})


@proven
@given(all_evidence(), policies, instances("another"))
def test_one_more_instance_clears_nothing_but_what_it_is_evidence_for(
    found: Evidence, policy: Policy, more: Instance
) -> None:
    for decision in DECISIONS:
        before = decision(found, policy).blockers
        after = decision(replace(found, instances=(*found.instances, more)), policy).blockers

        assert {b.code for b in before} - {b.code for b in after} <= CLEARED_BY_INSTANCES


@proven
@given(all_evidence(), policies, waivers, sightings())
def test_one_more_sighting_never_clears(found: Evidence, policy: Policy, waived: Any, more: Sighting) -> None:
    found = replace(found, waivers=waived)

    holds(found, replace(found, sightings=(*found.sightings, more)), policy)


@proven
@given(all_evidence(), policies, waivers, st.sampled_from([*WITNESSES, "a witness of tomorrow"]))
def test_one_more_unreadable_witness_never_clears(found: Evidence, policy: Policy, waived: Any, more: str) -> None:
    found = replace(found, waivers=waived)

    holds(found, replace(found, unreadable=(*found.unreadable, more)), policy)


@proven
@given(all_evidence(), policies, st.sampled_from(["late_writes", "strangers", "dependents", "taker", "footprints"]))
def test_anything_else_that_speaks_against_it_never_clears(found: Evidence, policy: Policy, what: str) -> None:
    worse: dict[str, dict[str, Any]] = {
        "late_writes": {"late_writes": found.late_writes + 1},
        "strangers": {"strangers": ("psql",)},
        "dependents": {"dependents": (Dependent("view v"),)},
        "taker": {"taker_footprint": None},
        "footprints": {"footprints": {"new": NEW}},
    }

    holds(found, replace(found, **worse[what]), policy)


@proven
@given(all_evidence(), policies, waivers)
def test_a_waiver_takes_away_only_the_blockers_that_it_names(found: Evidence, policy: Policy, waived: Any) -> None:
    for decision in DECISIONS:
        plain = decision(found, policy)
        eased = decision(replace(found, waivers=waived), policy)

        assert set(eased.blockers) | set(eased.waived) == set(plain.blockers)
        assert {b.code for b in eased.waived} <= {w.code for w in waived if w.expires_at > NOW} - {
            "dependents",
            "not-applied",
        }


@proven
@given(all_evidence(), policies)
def test_a_verdict_is_clear_exactly_where_no_condition_is_left_open(found: Evidence, policy: Policy) -> None:
    for decision in DECISIONS:
        verdict = decision(found, policy)

        assert [condition.number for condition in verdict.conditions] == list(NAMES)
        open_ = {c.number for c in verdict.conditions if c.state in (ConditionState.NOT_MET, ConditionState.UNREADABLE)}
        assert open_ == {n for blocker in verdict.blockers for n in blocker.conditions if n}
        for blocker in (*verdict.blockers, *verdict.warnings):
            sentence = blocker.sentence(NOW)
            assert sentence.endswith(".")
            assert "None" not in sentence
            # No time is negative. Options of the commands that are to be pasted have dashes, too.
            assert "-" not in re.sub("`[^`]*`", "", sentence).replace("roll-back", "").replace("guard-", "")


@proven
@given(all_evidence(), policies)
def test_a_decision_is_the_same_in_any_order_of_its_evidence(found: Evidence, policy: Policy) -> None:
    turned = replace(found, instances=found.instances[::-1], sightings=found.sightings[::-1])

    for decision in DECISIONS:
        assert {b.code for b in decision(found, policy).blockers} == {b.code for b in decision(turned, policy).blockers}


@pytest.mark.parametrize("kind", StepKind)
def test_no_evidence_at_all_is_not_clear(kind: StepKind) -> None:
    nothing = evidence(
        step=step(kind=kind),
        footprints={},
        instances=(),
        first_registered_at=None,
        taker_footprint=None,
        environment=None,
    )

    for decision in DECISIONS:
        assert not decision(nothing, Policy(0, 0, 0, 0, 0, 0)).clear
