"""Every state of the protocol's model, and for each rule a mutant without it that the search must catch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import pytest

from guard.gate import verdict
from guard.ledger import protocol
from guard.ledger.rows import LISTED, InstanceState, Step, StepState
from tests.unit.gate.model import (
    ASIDE,
    DONE,
    ERASED,
    ORIGINAL,
    SEALED,
    SEALED_ASIDE,
    SET_ASIDE,
    WAITING,
    WITHDRAWN,
    Bounds,
    Result,
    Rules,
    Search,
    State,
)

EVERYTHING: dict[str, Any] = {
    "quiet": 1,
    "sightings": True,
    "epochs": True,
    "late_writes": True,
    "later": True,
    "withdrawals": True,
    "slow_renewals": True,
}

CORNERS = [
    Bounds("transactional DDL, direct sessions", **EVERYTHING),
    Bounds("DDL that commits by itself, direct sessions", transactional=False, **EVERYTHING),
    Bounds("transactional DDL behind a pooler", pooler=True, withdrawals=True, later=True, slow_renewals=True),
    Bounds("no roll-back window", rollback=0, **EVERYTHING),
    Bounds("no session can be proven closed", proof=False, **EVERYTHING),
    Bounds("longer leases and windows", lease=3, lost_grace=2, rollback=2, transactional=False, **EVERYTHING),
    Bounds("no windows at all, clocks that agree", drift=False, lost_grace=0, rollback=0, keep=0, withdrawals=True),
    Bounds("a held migration", whole=True, transactional=False, **EVERYTHING),
    Bounds("an epoch is kept on the step", listings=True, epochs=True, withdrawals=True, drift=False),
    Bounds("another project's instances", projects=True, old_project="shop", epochs=True, withdrawals=True),
    Bounds("another project uses the column", projects=True, old_project="reports", rollback=0),
    Bounds("a held migration, and another project", projects=True, whole=True, transactional=False),
]

#: Searched too with GUARD_SEARCH=deep.
DEEP = [
    Bounds("behind a pooler, everything", pooler=True, **EVERYTHING),
    Bounds("behind a pooler, longer", pooler=True, lease=3, lost_grace=2, rollback=2, **EVERYTHING),
    Bounds("long leases", lease=4, lost_grace=3, rollback=4, keep=3, transactional=False, **EVERYTHING),
    Bounds("long leases, transactional", lease=4, lost_grace=3, rollback=4, keep=3, **EVERYTHING),
]


def report(bounds: Bounds, result: Result) -> str:
    return "\n  ".join((f"{bounds.name}: {result.broken or 'holds'}", *result.trace))


@pytest.mark.parametrize(
    "bounds", CORNERS + (DEEP if os.environ.get("GUARD_SEARCH") == "deep" else []), ids=lambda bounds: bounds.name
)
def test_every_invariant_holds_in_every_state(bounds: Bounds, capsys: pytest.CaptureFixture[str]) -> None:
    result = Search(bounds).run()

    with capsys.disabled():
        print(f"\n{bounds.name}: {result.states:,} states, {result.transitions:,} transitions", end=" ")
    assert not result.broken, report(bounds, result)


def test_the_search_sees_every_place_of_the_protocol() -> None:
    seen: set[tuple[int, int]] = set()

    class Noting(Search):
        def check(self, s: State) -> None:
            seen.add((s.step, s.catalog))
            super().check(s)

    Noting(Bounds("all places", transactional=False, withdrawals=True)).run()

    assert seen == {
        (WAITING, ORIGINAL),
        (SEALED, ORIGINAL),
        (SEALED, SET_ASIDE),  # Not recorded yet.
        (ASIDE, SET_ASIDE),
        (SEALED_ASIDE, SET_ASIDE),
        (SEALED_ASIDE, ORIGINAL),  # Brought back, not recorded yet.
        (SEALED_ASIDE, ERASED),  # Not recorded yet.
        (DONE, ERASED),
        (WITHDRAWN, ORIGINAL),
    }


# Mutants: the protocol without one of its rules.


def without(*conditions: int) -> Callable[..., verdict.Verdict]:
    """Verdicts that do not ask these conditions."""

    def decide(evidence: verdict.Evidence, policy: verdict.Policy) -> verdict.Verdict:
        return _filtered(verdict.decide(evidence, policy), lambda b: b.condition not in conditions)

    return decide


def without_codes(*codes: str, erase: bool = False) -> Callable[..., verdict.Verdict]:
    def decide(evidence: verdict.Evidence, policy: verdict.Policy) -> verdict.Verdict:
        asked = verdict.decide_erase if erase else verdict.decide
        return _filtered(asked(evidence, policy), lambda b: b.code not in codes)

    return decide


def _filtered(full: verdict.Verdict, keep: Callable[[verdict.Blocker], bool]) -> verdict.Verdict:
    return dataclasses.replace(full, blockers=tuple(b for b in full.blockers if keep(b)))


def forgets_the_refused(evidence: verdict.Evidence, policy: verdict.Policy) -> verdict.Verdict:
    admitted = tuple(i for i in evidence.instances if i.state is not InstanceState.REFUSED)
    return verdict.decide(dataclasses.replace(evidence, instances=admitted), policy)


def takes_lost_for_dead(evidence: verdict.Evidence, policy: verdict.Policy) -> verdict.Verdict:
    known = tuple(i for i in evidence.instances if not i.lost(evidence.now))
    return verdict.decide(dataclasses.replace(evidence, instances=known), policy)


def never_gives_up_on_the_lost(evidence: verdict.Evidence, policy: verdict.Policy) -> verdict.Verdict:
    return verdict.decide(evidence, dataclasses.replace(policy, lost_grace=1e9))


def admits_in(*states: StepState) -> Callable[..., Any]:
    def admission(footprint: Any, steps: Any) -> Any:
        return protocol.admission(footprint, [step for step in steps if step.state not in states])

    return admission


def refuses_the_name(footprint: Any, steps: Any) -> Any:
    plain = [dataclasses.replace(step, payload={}) for step in steps]
    return protocol.admission(footprint, plain)


def seals_on_any_verdict(step: Step, about: verdict.Verdict, *rest: Any) -> Step:
    return protocol.seal(step, dataclasses.replace(about, blockers=()), *rest)


def reopens_for_anybody(step: Step, token: str, now: float) -> Step:
    return protocol.reopen(step, step.token, now)


def settles_as_not_begun(step: Step, found: protocol.Found, now: float) -> Step:
    return protocol.reopen(step, step.token, now)


def settles_as_ended(step: Step, found: protocol.Found, now: float) -> Step:
    if step.aside_name:
        return protocol.finish(step, step.token, now)
    return protocol.set_aside(step, step.token, "guard_1_isbn", now)


def settles_on_the_name_alone(step: Step, found: protocol.Found, now: float) -> Step:
    return protocol.settle(dataclasses.replace(step, payload={}), found, now)


def restores_without_a_new_window(step: Step, now: float, token: str = "") -> Step:
    return dataclasses.replace(protocol.restore(step, now, token), reopened_at=None)


def restores_over_a_later_column(step: Step, now: float, token: str = "") -> Step:
    return protocol.restore(dataclasses.replace(step, payload={}), now, token)


def voids_the_state_alone(step: Step, now: float) -> Step:
    return dataclasses.replace(protocol.void(step, now), aside_name=step.aside_name)


def believes_any_kept_epoch(evidence: verdict.Evidence, policy: verdict.Policy) -> verdict.Verdict:
    step = evidence.step
    if LISTED in step.payload:
        kept = {**step.payload, LISTED: [step.slatings, step.payload[LISTED][1]]}
        evidence = dataclasses.replace(evidence, step=dataclasses.replace(step, payload=kept))
    return verdict.decide(evidence, policy)


def compares_with_the_present_epoch(evidence: verdict.Evidence, policy: verdict.Policy) -> verdict.Verdict:
    return verdict.decide(dataclasses.replace(evidence, step=dataclasses.replace(evidence.step, payload={})), policy)


def knows_no_projects(evidence: verdict.Evidence) -> verdict.Evidence:
    """As if everything in the database were one project's."""
    return dataclasses.replace(
        evidence,
        step=dataclasses.replace(evidence.step, project=""),
        instances=tuple(dataclasses.replace(i, project="") for i in evidence.instances),
        footprints={digest: dataclasses.replace(f, project="") for digest, f in evidence.footprints.items()},
    )


def takes_anybodys_new_code(evidence: verdict.Evidence, policy: verdict.Policy) -> verdict.Verdict:
    seen = {b.code for b in verdict.decide(knows_no_projects(evidence), policy).blockers}
    return _filtered(verdict.decide(evidence, policy), lambda b: b.code != "new-code-not-seen" or b.code in seen)


def waits_for_every_project(*codes: str) -> Callable[..., verdict.Verdict]:
    def decide(evidence: verdict.Evidence, policy: verdict.Policy) -> verdict.Verdict:
        more = [b for b in verdict.decide(knows_no_projects(evidence), policy).blockers if b.code in codes]
        full = verdict.decide(evidence, policy)
        return dataclasses.replace(full, blockers=(*full.blockers, *more))

    return decide


def sees_its_own_project_alone(evidence: verdict.Evidence, policy: verdict.Policy) -> verdict.Verdict:
    own = tuple(i for i in evidence.instances if i.project == evidence.step.project)
    return verdict.decide(dataclasses.replace(evidence, instances=own), policy)


PLAIN = Bounds("plain")
LISTINGS = Bounds("an epoch is kept on the step", listings=True, epochs=True, withdrawals=True)
PROJECTS = Bounds("another project's instances", projects=True, old_project="shop")
BY_ITSELF = Bounds("DDL commits by itself", transactional=False)
POOLER = Bounds("pooler", pooler=True)
NO_WINDOW = Bounds("no roll-back window", rollback=0)
LATER = Bounds("a later column", later=True)
SIGHTINGS = Bounds("sightings", sightings=True, quiet=1)

MUTANTS: dict[str, tuple[Rules, Bounds, str]] = {
    # Who is admitted.
    "a registration is admitted under the seal": (Rules(admission=admits_in(StepState.SEALED)), PLAIN, "I3"),
    "a registration is admitted to what is set aside": (Rules(admission=admits_in(StepState.ASIDE)), PLAIN, "I1"),
    "a registration is admitted to what is erased": (Rules(admission=admits_in(StepState.DONE)), PLAIN, "I1"),
    "a later column is mistaken for the one that was taken": (Rules(admission=refuses_the_name), LATER, "roll-forward"),
    "a lease that has run out is renewed": (Rules(may_renew=lambda state, expires_at, now: True), PLAIN, "I3"),
    "a registration does not take the lock": (Rules(register_locks=False), PLAIN, "I3"),
    "a registration that timed out leaves its row": (Rules(register_rolls_back=False), PLAIN, "I3"),
    "a look again does not take the lock": (Rules(readmit_locks=False), PLAIN, "I3"),
    "a look again asks for nothing": (Rules(readmission=admits_in(*StepState)), PLAIN, "I3"),
    "a refused instance is never looked at again": (Rules(looks_at_refused=False), PLAIN, "roll-back"),
    # What an instance believes.
    "the lease is measured from the answer": (Rules(lease_from_sending=False), NO_WINDOW, "I1"),
    "an instance goes on after its lease": (Rules(minds_own_lease=False), PLAIN, "I1"),
    # What makes a verdict clear.
    "nobody asks whether new code was seen": (Rules(decide=without(1)), PLAIN, "I4"),
    "live instances are not asked for": (Rules(decide=without(2)), NO_WINDOW, "I3"),
    "refused instances do not count as live": (Rules(decide=forgets_the_refused), NO_WINDOW, "I3"),
    "lost is taken for dead": (Rules(decide=takes_lost_for_dead), NO_WINDOW, "I5"),
    "lost instances are not asked for": (Rules(decide=without(3)), NO_WINDOW, "I5"),
    "nobody gives up on a lost instance": (
        Rules(decide=never_gives_up_on_the_lost),
        dataclasses.replace(PLAIN, proof=False),
        "I8",
    ),
    "nobody waits for an instance to flush": (Rules(decide=without(5)), PLAIN, "I4"),
    "an epoch from before it was slated again is believed": (Rules(decide=believes_any_kept_epoch), LISTINGS, "I4"),
    "an epoch is kept before the slating is committed": (Rules(lists_committed=False), LISTINGS, "I4"),
    "what was slated later is waited for": (Rules(decide=compares_with_the_present_epoch), LISTINGS, "prompt"),
    "whoever takes it may be old code": (Rules(decide=without(12)), NO_WINDOW, "I4"),
    "sightings are not asked for": (Rules(decide=without(6)), SIGHTINGS, "I4"),
    "old releases are not waited for": (Rules(decide=without_codes("rollback-window")), PLAIN, "windows"),
    "what was restored is taken at once": (Rules(decide=without_codes("restored")), PLAIN, "windows"),
    "late writes are not asked for": (Rules(decide=without(8)), dataclasses.replace(PLAIN, late_writes=True), "I4"),
    "what cannot be read is left out": (Rules(decide=without_codes("unreadable-dependents")), PLAIN, "I4"),
    "erasing does not ask who is live": (
        Rules(decide_erase=without_codes("live-instances", erase=True)),
        PLAIN,
        "I3",
    ),
    "erasing does not wait": (Rules(decide_erase=without_codes("kept", erase=True)), PLAIN, "windows"),
    "late writes cannot be acknowledged": (
        Rules(acknowledges=False),
        dataclasses.replace(PLAIN, late_writes=True),
        "I8",
    ),
    # Several projects in one database.
    "another project's code counts as new code": (Rules(decide=takes_anybodys_new_code), PROJECTS, "I4"),
    "another project's reports are waited for": (
        Rules(decide=waits_for_every_project("not-watching")),
        PROJECTS,
        "I8",
    ),
    "another project's app of the same name is waited for": (
        Rules(decide=waits_for_every_project("live-instances")),
        dataclasses.replace(PROJECTS, whole=True),
        "I8",
    ),
    "another project that uses the column is overlooked": (
        Rules(decide=sees_its_own_project_alone),
        dataclasses.replace(NO_WINDOW, projects=True, old_project="reports"),
        "I3",
    ),
    "the release before the first label is overlooked": (
        Rules(decide=sees_its_own_project_alone),
        dataclasses.replace(NO_WINDOW, projects=True, whole=True),
        "I3",
    ),
    # The seal.
    "a seal needs no clear verdict": (Rules(seal=seals_on_any_verdict), PLAIN, "I4"),
    "the gate is not locked": (Rules(gate_locks=False), PLAIN, "I3"),
    "a renewal under way is overlooked": (
        Rules(rows_lock=False),
        dataclasses.replace(PLAIN, slow_renewals=True),
        "I3",
    ),
    "versions are not compared": (Rules(compares_versions=False), BY_ITSELF, "I2"),
    "DDL runs before the seal is committed": (Rules(seals_first=False), BY_ITSELF, "I2"),
    "the evidence is not read again under the seal": (Rules(looks_again=False), SIGHTINGS, "I4"),
    "the token is not read again": (Rules(rereads_token=False), POOLER, "I2"),
    "anybody may reopen": (Rules(reopen=reopens_for_anybody), POOLER, "I2"),
    # A taker that is gone.
    "a seal left behind stays": (Rules(settles=False), PLAIN, "I8"),
    "a seal is settled while its statement runs": (Rules(settles_after_session=False), BY_ITSELF, "I2"),
    "a pooler's word is believed where DDL commits by itself": (
        Rules(),
        dataclasses.replace(BY_ITSELF, pooler=True),
        "I2",
    ),
    "a seal is settled as if nothing had been done": (Rules(settle=settles_as_not_begun), BY_ITSELF, "I2"),
    "a seal is settled as if all had been done": (Rules(settle=settles_as_ended), PLAIN, "I2"),
    "a later column is taken for the restored one": (
        Rules(settle=settles_on_the_name_alone),
        dataclasses.replace(BY_ITSELF, later=True),
        "I2",
    ),
    # Restoring.
    "restoring opens no new window": (Rules(restore=restores_without_a_new_window), PLAIN, "windows"),
    "unapplying forgets nothing": (
        Rules(void=voids_the_state_alone),
        dataclasses.replace(PLAIN, withdrawals=True),
        "I2",
    ),
    "restoring is not sealed": (Rules(restore_seals=False), BY_ITSELF, "I2"),
    "restoring overwrites a later column": (Rules(restore=restores_over_a_later_column), LATER, "I2"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_search_catches_the_protocol_without_a_rule(name: str) -> None:
    rules, bounds, invariant = MUTANTS[name]

    result = Search(bounds, rules).run()

    assert result.broken == invariant, report(bounds, result)
    print("\n  ".join((f"{name}:", *result.trace)))
