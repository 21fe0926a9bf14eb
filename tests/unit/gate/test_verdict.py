"""The twelve conditions one by one: met, not met, not readable, waived, and what is said of each."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import pytest

from guard import conf
from guard.attribution.watchlist import Access
from guard.gate.verdict import (
    Blocker,
    ConditionState,
    Dependent,
    Evidence,
    Policy,
    Unseen,
    Verdict,
    Waiver,
    decide,
    decide_erase,
    decide_whole,
    workloads,
)
from guard.ledger.rows import LISTED, TIDY, InstanceKind, InstanceState, StepKind, StepState
from guard.schema.footprint import Footprint
from tests.unit.gate.cases import (
    DAY,
    EPOCH,
    HOUR,
    MINUTE,
    NEW,
    NOW,
    OLD,
    POLICY,
    evidence,
    gone,
    instance,
    lost,
    sighting,
    spoilt,
    step,
)


def sentences(verdict: Verdict) -> list[str]:
    return [blocker.sentence(NOW) for blocker in verdict.blockers]


def codes(verdict: Verdict) -> list[str]:
    return [blocker.code for blocker in verdict.blockers]


def state(verdict: Verdict, number: int) -> ConditionState:
    return {condition.number: condition.state for condition in verdict.conditions}[number]


@dataclass(frozen=True)
class Case:
    """One way in which a condition is not met."""

    condition: int
    evidence: Evidence
    code: str
    sentence: str
    #: Other blockers that come with it.
    others: tuple[str, ...] = ()
    waivable: bool = True
    #: The same condition where its witness fails.
    unread: Evidence | None = None


CASES = {
    "1: new code was never seen": Case(
        1,
        evidence(instances=(gone("o1", ago=2 * DAY),)),
        "new-code-not-seen",
        "No server or worker of a release that does not declare shop_book.isbn has been seen at work since this "
        "began to wait 3 days ago. Clears when the new release runs.",
        unread=evidence(unreadable=("instances",)),
    ),
    "1: old code was never seen": Case(
        1,
        evidence(instances=(instance("n1"),)),
        "old-code-never-seen",
        "No server or worker whose models declare shop_book.isbn has been seen to come and go, so old code may run "
        "without guard; the first instance registered 2 days ago. Clears when one has, or when instances have been "
        "registering for 7 days, in 5 days.",
        unread=evidence(footprints={"new": NEW}),
    ),
    "1: nobody ever registered": Case(
        1,
        evidence(instances=(), first_registered_at=None),
        "old-code-never-seen",
        "No instance has ever registered, so nobody knows what is deployed. Clears when the fleet runs with guard "
        "installed.",
        others=("new-code-not-seen",),
    ),
    "2: a live instance declares it": Case(
        2,
        spoilt(*(instance(f"o{n}", "old", registered_at=NOW - 30 * HOUR) for n in range(2, 14))),
        "live-instances",
        "12 instances of release 1 (web) run with models that declare shop_book.isbn; the first started 30 hours ago. "
        "Clears when they have stopped.",
        others=("rollback-window",),
        unread=spoilt(instance("x", "unknown")),
    ),
    "3: a lost instance declares it": Case(
        3,
        spoilt(lost("o2", ago=3 * MINUTE)),
        "lost-instances",
        "1 instance of release 1 (web) fell silent without saying that it is gone, and may come back; the last "
        "word came 4 minutes ago. Clears when it comes back and stops, when you say that it is gone "
        "(`manage.py guard forget --all-lost --reason …`), or after 24 hours of silence, in 24 hours.",
        others=("rollback-window",),
        unread=spoilt(lost("x", "unknown", ago=3 * MINUTE)),
    ),
    "4: the weekly command last ran with old code": Case(
        4,
        spoilt(gone("o2", ago=4 * DAY, kind=InstanceKind.COMMAND, workload="send_digest", recurring=True)),
        "recurring-workload",
        "Workload send_digest last ran with release 1, which relies on column shop_book.isbn, 4 days ago. Clears when "
        "it has run with a release that does without, or has not run for 35 days, in 31 days.",
        unread=spoilt(
            gone("x", "unknown", ago=4 * DAY, kind=InstanceKind.COMMAND, workload="send_digest", recurring=True)
        ),
    ),
    "5: a live instance has not flushed": Case(
        5,
        spoilt(instance("n3", flushed_epoch=EPOCH - 1), instance("n4", flushed_epoch=EPOCH + 1)),
        "not-watching",
        "2 instances of release 2 (web) have not reported yet whether they use shop_book.isbn. Clears at the next "
        "heartbeat.",
        unread=evidence(unreadable=("instances",)),
    ),
    "6: new code reads it": Case(
        6,
        evidence(
            sightings=(
                sighting(ago=4 * MINUTE),
                sighting(ago=30 * MINUTE, call_site="shop/api.py:3 in book"),
                sighting(ago=2 * HOUR, call_site="shop/old.py:9 in gone"),
            )
        ),
        "recent-sighting",
        "Release 2 (web) read shop_book.isbn at shop/views.py:12 in index and 1 other place, last 4 minutes ago. "
        "Clears when nothing has touched it for 1 hour, in 56 minutes.",
        unread=evidence(unreadable=("sightings",)),
    ),
    "6: it has not been watched for long enough": Case(
        6,
        evidence(step=step(slated_at=NOW - 10 * MINUTE)),
        "not-watched-long-enough",
        "Column shop_book.isbn has been watched for less than 1 hour. Clears when it has, in 50 minutes.",
    ),
    "7: an old release ran this morning": Case(
        7,
        spoilt(gone("o2", ago=5 * HOUR), gone("o3", ago=3 * HOUR)),
        "rollback-window",
        "Release 1 may be rolled back to: it was live 3 hours ago. Clears when it has not been live for 24 hours, in "
        "21 hours.",
        unread=spoilt(gone("x", "unknown", ago=3 * HOUR)),
    ),
    "7: it was restored": Case(
        7,
        evidence(step=step(reopened_at=NOW - 3 * HOUR)),
        "restored",
        "Column shop_book.isbn was restored 3 hours ago. Clears when 24 hours have passed since, in 21 hours.",
    ),
    "8: late writes": Case(
        8,
        evidence(late_writes=2, last_late_write=NOW - 3 * HOUR),
        "late-writes",
        "2 late writes went to shop_book.isbn after a data migration had copied it, and new code does not see "
        "them, last 3 hours ago. Clears when the copy has been made again, or somebody has said that they do "
        "not matter (`manage.py guard allow shop_book.isbn --waive late-writes --reason … --expires 1h`).",
        unread=evidence(unreadable=("late-writes",)),
    ),
    "9: a stranger": Case(
        9,
        evidence(strangers=("psql of user reporting",)),
        "strangers",
        "psql of user reporting is connected and is no process that runs guard. Clears when its session has "
        "closed, or GUARD['WITNESSES']['sessions'] names it.",
        unread=evidence(unreadable=("sessions",)),
    ),
    "10: a view": Case(
        10,
        evidence(dependents=(Dependent("view shop_titles"),)),
        "dependents",
        "view shop_titles depends on shop_book.isbn, and this step would break or destroy it. Clears when a migration "
        "has changed or dropped it.",
        waivable=False,
        unread=evidence(unreadable=("dependents",)),
    ),
    "11: a clone of production": Case(
        11,
        evidence(environment="staging"),
        "environment",
        "This database belongs to environment 'staging', as guard's tables in it say, and this is 'production'. Clears "
        "when that is corrected, or, in a clone, when `manage.py guard adopt --reason …` has been run here.",
        waivable=False,
        unread=evidence(unreadable=("environment",)),
    ),
    "12: the taker is old code": Case(
        12,
        evidence(taker_footprint=OLD),
        "old-taker",
        "The code that runs this command declares shop_book.isbn itself. Clears when a newer release runs it.",
        waivable=False,
        unread=evidence(taker_footprint=None),
    ),
}


def test_the_evidence_that_the_cases_spoil_is_clear() -> None:
    verdict = decide(evidence(), POLICY)

    assert verdict.clear
    assert [str(condition) for condition in verdict.conditions] == [
        "1. The fleet is known: met.",
        "2. No live instance relies on it: met.",
        "3. No lost instance relies on it: met.",
        "4. No recurring workload last ran with code that relies on it: met.",
        "5. Every live instance has reported whether it uses it: met.",
        "6. Nothing has touched it for the quiet period: met.",
        "7. No release that relies on it was live within the roll-back window: met.",
        "8. Old code has written nothing to it that new code will miss: met.",
        "9. Nobody is connected who does not run guard: met.",
        "10. Nothing else in the database depends on it: met.",
        "11. The database is this environment's own: met.",
        "12. The code that runs this command does without it: met.",
    ]


def test_every_condition_has_a_case() -> None:
    assert {case.condition for case in CASES.values()} == set(range(1, 13))


@pytest.mark.parametrize("name", CASES)
def test_a_condition_that_is_not_met_blocks_and_says_why(name: str) -> None:
    case = CASES[name]

    verdict = decide(case.evidence, POLICY)

    assert not verdict.clear
    assert {case.code, *case.others} == set(codes(verdict))
    assert [b.sentence(NOW) for b in verdict.blockers if b.code == case.code] == [case.sentence]
    assert state(verdict, case.condition) is ConditionState.NOT_MET
    line = str(next(condition for condition in verdict.conditions if condition.number == case.condition))
    assert case.sentence in line


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.unread])
def test_a_condition_that_cannot_be_read_blocks(name: str) -> None:
    case = CASES[name]
    assert case.unread

    verdict = decide(case.unread, POLICY)

    assert not verdict.clear
    assert state(verdict, case.condition) in (ConditionState.UNREADABLE, ConditionState.NOT_MET)


@pytest.mark.parametrize("name", CASES)
def test_a_waiver_covers_its_own_blocker_and_no_other(name: str) -> None:
    case = CASES[name]
    waiver = Waiver(case.code, "the last old host was switched off", NOW + HOUR)
    others = tuple(Waiver(code, "the same", NOW + HOUR) for code in case.others)

    alone = decide(replace(case.evidence, waivers=(waiver,)), POLICY)
    together = decide(replace(case.evidence, waivers=(waiver, *others)), POLICY)

    if case.waivable:
        assert set(codes(alone)) == set(case.others)
        assert together.clear
        assert case.code in [blocker.code for blocker in together.waived]
        assert state(together, case.condition) is ConditionState.WAIVED
    else:
        assert not together.clear
        assert codes(together) == codes(decide(case.evidence, POLICY))


@pytest.mark.parametrize(
    "waiver",
    [
        Waiver("late-writes", "known", NOW),
        Waiver("late-writes", " ", NOW + HOUR),
        Waiver("strangers", "known", NOW + HOUR),
        Waiver("late-writes", "known", NOW + HOUR, who="somebody else"),
    ],
    ids=["expired", "without a reason", "another blocker", "about somebody else"],
)
def test_a_waiver_that_does_not_apply_waives_nothing(waiver: Waiver) -> None:
    assert not decide(evidence(late_writes=1, waivers=(waiver,)), POLICY).clear


def test_a_waiver_for_one_release_lets_another_block() -> None:
    waiver = Waiver("live-instances", "it only serves pictures", NOW + HOUR, who="release 1 (web)")
    rolled = Waiver("rollback-window", "it only serves pictures", NOW + HOUR)
    old = instance("o2", "old")

    assert decide(spoilt(old, waivers=(waiver, rolled)), POLICY).clear
    assert codes(decide(spoilt(old, replace(old, id="o3", release="1b"), waivers=(waiver, rolled)), POLICY)) == [
        "live-instances"
    ]


@pytest.mark.parametrize("witness", ["dependents", "environment", "footprints", "a witness of tomorrow"])
def test_a_witness_that_what_cannot_be_waived_rests_on_is_not_waived_either(witness: str) -> None:
    waiver = Waiver(f"unreadable-{witness}", "we looked", NOW + HOUR)

    assert not decide(evidence(unreadable=(witness,), waivers=(waiver,)), POLICY).clear


def test_an_unreadable_witness_can_be_waived_and_is_named() -> None:
    blind = evidence(unreadable=("sessions",))
    waiver = Waiver("unreadable-sessions", "the pooler hides them", NOW + HOUR)

    assert sentences(decide(blind, POLICY)) == [
        "The list of the database's sessions could not be read, and what cannot be read is no evidence. Clears when "
        "this process can read that (`manage.py guard doctor` looks for what is wrong)."
    ]
    assert decide(replace(blind, waivers=(waiver,)), POLICY).clear


# Condition 1.


@pytest.mark.parametrize(
    ("seen", "clear"),
    [
        (instance("n1"), True),
        (instance("n1", kind=InstanceKind.WORKER, workload="celery:mail"), True),
        (gone("n1", "new", ago=HOUR), True),
        (gone("n1", "new", ago=4 * DAY), False),
        (instance("n1", kind=InstanceKind.COMMAND), False),
        (instance("n1", state=InstanceState.REFUSED), False),
        (lost("n1", "new", ago=HOUR), False),
        (instance("taker"), False),
        (instance("n1", "unknown", release="3"), False),
    ],
    ids=["live", "worker", "gone since", "gone before", "command", "refused", "lost", "the taker", "unknown footprint"],
)
def test_new_code_is_seen_where_a_server_or_worker_without_it_was_live_since_slating(seen: Any, clear: bool) -> None:
    found = evidence(instances=(seen, gone("o1", ago=2 * DAY)), taker_id="taker")

    assert ("new-code-not-seen" not in codes(decide(found, POLICY))) is clear


@pytest.mark.parametrize(
    ("seen", "clear"),
    [
        (gone("o1", ago=2 * DAY), True),
        (gone("o1", ago=9 * DAY, kind=InstanceKind.WORKER), True),
        (lost("o1", ago=25 * HOUR), True),
        (gone("o1", "new", ago=2 * DAY), False),
        (gone("o1", "unknown", ago=2 * DAY), False),
        (gone("o1", ago=2 * DAY, kind=InstanceKind.COMMAND), False),
        (gone("taker", ago=2 * DAY), False),
    ],
    ids=["gone", "gone long ago", "given up", "new code", "unknown footprint", "command", "the taker"],
)
def test_old_code_is_known_where_it_was_seen_to_go(seen: Any, clear: bool) -> None:
    found = evidence(instances=(instance("n1"), seen), taker_id="taker")

    assert ("old-code-never-seen" not in codes(decide(found, POLICY))) is clear


def test_old_code_need_not_be_seen_once_instances_have_been_registering_for_the_adoption_period() -> None:
    found = evidence(instances=(instance("n1"),), first_registered_at=NOW - 7 * DAY)

    assert decide(found, POLICY).clear


# Conditions 2, 3 and 7.


def test_a_refused_instance_still_serves_and_blocks() -> None:
    assert "live-instances" in codes(decide(spoilt(instance("o2", "old", state=InstanceState.REFUSED)), POLICY))


def test_a_lost_instance_blocks_until_its_grace_has_passed_or_its_session_is_proven_closed() -> None:
    policy = replace(POLICY, rollback_window=0.0)
    almost = spoilt(lost("o2", ago=DAY - 1))

    assert codes(decide(almost, policy)) == ["lost-instances"]
    assert decide(replace(almost, proven_closed=frozenset({"o2"})), policy).clear
    assert decide(spoilt(lost("o2", ago=DAY)), policy).clear


def test_a_live_release_may_be_rolled_back_to_and_no_time_is_promised() -> None:
    blocker = next(b for b in decide(spoilt(instance("o2", "old")), POLICY).blockers if b.code == "rollback-window")

    assert blocker.by is None
    assert blocker.sentence(NOW) == (
        "Release 1 is live, and may be rolled back to. Clears when it has not been live for 24 hours."
    )


def test_an_instance_whose_footprint_cannot_be_read_is_spoken_of_apart() -> None:
    mixed = spoilt(instance("o2", "old"), instance("x", "unknown", release="1"))

    assert [b.sentence(NOW) for b in decide(mixed, POLICY).blockers if b.code == "live-instances"] == [
        "1 instance of release 1 (web) runs with a footprint that cannot be read, and may rely on column "
        "shop_book.isbn; the first started 2 days ago. Clears when it has stopped.",
        "1 instance of release 1 (web) runs with models that declare shop_book.isbn; the first started 2 days ago. "
        "Clears when it has stopped.",
    ]


# Condition 4.


def run(release: str, ago: float, **changes: Any) -> Any:
    values = {"kind": InstanceKind.COMMAND, "workload": "send_digest", "recurring": True} | changes
    return gone(f"{release}-{ago}-{values['workload']}", release, ago=ago, registered_at=NOW - ago - MINUTE, **values)


@pytest.mark.parametrize(
    ("runs", "blocked"),
    [
        ([run("old", 4 * DAY)], True),
        ([run("old", 4 * DAY), run("new", 2 * DAY)], False),
        ([run("new", 4 * DAY), run("old", 2 * DAY)], True),
        ([run("old", 4 * DAY), run("new", 2 * DAY, workload="another")], True),
        ([run("old", 4 * DAY, recurring=False)], False),
        ([run("old", 35 * DAY)], False),
        ([run("old", 4 * DAY), run("unknown", 2 * DAY)], True),
        (
            [run("old", 4 * DAY), instance("r", kind=InstanceKind.COMMAND, workload="send_digest", recurring=True)],
            False,
        ),
        (
            [
                run("old", 4 * DAY),
                instance(
                    "r",
                    kind=InstanceKind.COMMAND,
                    workload="send_digest",
                    recurring=True,
                    state=InstanceState.REFUSED,
                ),
            ],
            True,
        ),
    ],
    ids=[
        "ran with it",
        "has run without",
        "ran with it after a roll-back",
        "another command ran without",
        "from a terminal",
        "longer ago than the window",
        "last ran with what cannot be read",
        "runs without now",
        "was refused",
    ],
)
def test_a_recurring_workload_blocks_until_it_has_run_without(runs: list[Any], blocked: bool) -> None:
    assert ("recurring-workload" in codes(decide(spoilt(*runs), POLICY))) is blocked


def test_each_queue_of_a_worker_is_a_workload_of_its_own() -> None:
    worker = {"kind": InstanceKind.WORKER}
    old = gone("o2", ago=2 * DAY, workload="celery:mail,reports", **worker)

    assert workloads(old) == ("celery:mail", "celery:reports")
    assert workloads(replace(old, workload="mail")) == ("mail",)
    assert workloads(replace(old, kind=InstanceKind.SERVER)) == ()
    mail_only = decide(spoilt(old, instance("n3", workload="celery:mail", **worker)), POLICY)
    assert [b.who for b in mail_only.blockers] == ["workload celery:reports"]
    both = spoilt(
        old, instance("n3", workload="celery:mail", **worker), instance("n4", workload="celery:reports", **worker)
    )
    assert decide(both, POLICY).clear


def test_a_command_that_was_refused_has_not_run_without() -> None:
    """It exited before its work, which code that is not refused may do again next week, and with the column."""
    old = run("old", 5 * DAY)
    newer = run("new", HOUR, refused=True)

    assert codes(decide(spoilt(old, newer), POLICY)) == ["recurring-workload"]
    assert decide(spoilt(old, replace(newer, refused=False)), POLICY).clear
    # That it is old code is known of it all the same.
    assert codes(decide(spoilt(run("old", 5 * DAY, refused=True)), POLICY)) == ["recurring-workload"]


# Condition 5.


def test_only_live_instances_need_to_have_flushed() -> None:
    behind: dict[str, Any] = {"flushed_epoch": 0}

    assert decide(
        spoilt(
            lost("n3", "new", ago=HOUR, **behind),
            gone("n4", "new", ago=HOUR, **behind),
            instance("n5", state=InstanceState.REFUSED, **behind),
        ),
        POLICY,
    ).clear


@pytest.mark.parametrize(
    ("kept", "flushed", "clear"),
    [
        ([1, EPOCH - 2], EPOCH - 2, True),
        ([1, EPOCH - 2], EPOCH, True),
        ([1, EPOCH - 2], EPOCH - 3, False),
        # Of a ledger that has lost its last writes since.
        ([1, EPOCH - 2], EPOCH + 1, False),
        # Kept before it was slated again.
        ([0, EPOCH - 2], EPOCH - 2, False),
        (None, EPOCH - 1, False),
    ],
)
def test_what_was_slated_after_the_kept_epoch_is_not_waited_for(
    kept: list[int] | None, flushed: int, clear: bool
) -> None:
    about = step(slatings=1, payload={LISTED: kept} if kept else {})

    decided = decide(spoilt(instance("n3", flushed_epoch=flushed), step=about), POLICY)

    assert decided.clear is clear
    assert set(codes(decided)) <= {"not-watching"}


def test_an_epoch_that_grows_under_the_seal_does_not_break_it() -> None:
    sealed = step(state=StepState.SEALED, token="t")

    assert decide(evidence(step=sealed, epoch=EPOCH + 1), POLICY).clear


# Condition 6.


def test_a_star_read_by_code_that_does_not_declare_the_column_only_warns() -> None:
    verdict = decide(evidence(sightings=(sighting(ago=4 * MINUTE, star=True),)), POLICY)

    assert verdict.clear
    assert [w.sentence(NOW) for w in verdict.warnings] == [
        "Release 2 (web) read shop_book.isbn at shop/views.py:12 in index, last 4 minutes ago. Clears when nothing has "
        "touched it for 1 hour, in 56 minutes."
    ]


@pytest.mark.parametrize(
    "changes",
    [{"digest": "old"}, {"digest": "unknown"}, {"access": Access.WRITE}, {"star": False}],
    ids=["declares it", "cannot be read", "writes", "names it"],
)
def test_any_other_touch_blocks(changes: dict[str, Any]) -> None:
    seen = sighting(**{"ago": 4 * MINUTE, "star": True} | changes)

    assert codes(decide(evidence(sightings=(seen,)), POLICY)) == ["recent-sighting"]


@pytest.mark.parametrize(("ago", "clear"), [(HOUR, True), (HOUR - 1, False), (-HOUR, False)])
def test_the_quiet_period_ends_exactly(ago: float, clear: bool) -> None:
    assert decide(evidence(sightings=(sighting(ago=ago),)), POLICY).clear is clear


# Condition 11.


@pytest.mark.parametrize(
    ("ledger", "here", "clear"),
    [
        (None, None, True),
        (None, "production", True),
        ("production", "production", True),
        ("production", "staging", False),
        ("production", None, False),
    ],
)
def test_a_ledger_with_a_label_serves_only_that_environment(ledger: str | None, here: str | None, clear: bool) -> None:
    assert decide(evidence(environment=ledger), replace(POLICY, environment=here)).clear is clear


# Condition 12.


def test_a_publication_that_somebody_reads_blocks_until_somebody_answers_for_its_readers() -> None:
    read = evidence(dependents=(Dependent("publication all (read from debezium)", sends=True),))

    (blocker,) = decide(read, POLICY).blockers
    assert (blocker.code, blocker.condition) == ("published", 10)
    assert blocker.sentence(NOW) == (
        "publication all (read from debezium) sends shop_book.isbn to readers elsewhere, who may stop at the name that "
        "it gets when it is set aside. Clears when it sends shop_book.isbn no more, or somebody has said that its "
        "readers can bear that (`manage.py guard allow shop_book.isbn --waive published --reason … --expires 1h`)."
    )
    assert decide(replace(read, waivers=(Waiver("published", "it maps names", NOW + HOUR),)), POLICY).clear
    # Under its new name they know it already, and miss nothing when it goes.
    aside = replace(read, step=step(state=StepState.ASIDE, aside_name="guard_1_isbn", aside_at=NOW - 30 * DAY))
    assert decide_erase(aside, POLICY).clear


def test_a_taker_that_lacks_the_migration_is_old_code_though_it_does_not_declare_the_column() -> None:
    older = Footprint({"shop_book": {}}, OLD.migrations)

    assert sentences(decide(evidence(taker_footprint=older), POLICY)) == [
        "The code that runs this command lacks migration shop.0002_remove_isbn itself. Clears when a newer release "
        "runs it."
    ]


def test_a_taker_that_has_a_recorded_replacement_is_new_code() -> None:
    squashed = Footprint({"shop_book": {}}, frozenset({("shop", "0001_squashed")}))
    found = evidence(taker_footprint=squashed)

    assert not decide(found, POLICY).clear
    assert decide(replace(found, step=step(replaced_by=(("shop", "0001_squashed"),))), POLICY).clear


# The other kinds of step, and the other questions.


def test_a_migration_that_was_not_recorded_blocks_and_cannot_be_waived() -> None:
    waiver = Waiver("not-applied", "please", NOW + HOUR)

    verdict = decide(evidence(applied=False, waivers=(waiver,)), POLICY)

    assert sentences(verdict) == [
        "Migration shop.0002_remove_isbn is not recorded as applied. Clears when `manage.py migrate` has applied it."
    ]
    held = step(kind=StepKind.MIGRATION, table="", column="")
    assert decide(evidence(applied=False, step=held), POLICY).clear


@pytest.mark.parametrize("other", [StepState.ASIDE, StepState.DONE, StepState.WITHDRAWN])
def test_a_step_that_does_not_wait_is_not_taken(other: StepState) -> None:
    assert codes(decide(evidence(step=step(state=other)), POLICY)) == ["not-waiting"]


def test_a_held_migration_waits_for_old_code_whatever_it_declares() -> None:
    held = step(kind=StepKind.MIGRATION, table="", column="")
    unrelated = Footprint({}, frozenset({("blog", "0001_initial")}))
    found = spoilt(instance("o2", "old"), instance("b1", "blog", release="b"), step=held)
    found = replace(found, footprints={**found.footprints, "blog": unrelated})

    assert sentences(decide(found, POLICY)) == [
        "1 instance of release 1 (web) runs without migration shop.0002_remove_isbn; the first started 2 days ago. "
        "Clears when it has stopped.",
        "Release 1 is live, and may be rolled back to. Clears when it has not been live for 24 hours.",
    ]


@pytest.mark.parametrize("kind", [StepKind.MIGRATION, StepKind.DEFAULT])
def test_what_is_not_removed_waits_for_code_that_has_the_migration(kind: StepKind) -> None:
    found = evidence(step=step(kind=kind), instances=(gone("o1", ago=2 * DAY),))

    assert sentences(decide(found, POLICY)) == [
        "No server or worker that has migration shop.0002_remove_isbn has been seen at work since this began to wait 3 "
        "days ago. Clears when the new release runs."
    ]


@pytest.mark.parametrize("kind", sorted(TIDY))
def test_a_tidy_step_asks_only_for_old_code_and_for_the_ledger(kind: StepKind) -> None:
    default = step(kind=kind)
    noisy = spoilt(
        instance("n3", flushed_epoch=0),
        step=default,
        taker_footprint=replace(NEW, tables=OLD.tables),
        sightings=(sighting(ago=0), sighting(ago=0, star=True)),
        late_writes=3,
        strangers=("psql",),
        dependents=(Dependent("view v"),),
        unreadable=("sightings", "sessions", "dependents", "late-writes"),
    )

    verdict = decide(noisy, POLICY)

    assert verdict.clear
    assert not verdict.warnings
    assert {c.number for c in verdict.conditions if c.state is not ConditionState.NOT_ASKED} == {1, 2, 3, 4, 7, 11, 12}
    assert set(codes(decide(replace(noisy, instances=(*noisy.instances, instance("o2", "old"))), POLICY))) == {
        "live-instances",
        "rollback-window",
    }
    assert codes(decide(replace(noisy, taker_footprint=OLD), POLICY)) == ["old-taker"]


ASIDE = step(state=StepState.ASIDE, aside_name="guard_1_isbn", aside_at=NOW - 8 * DAY)


def test_what_is_set_aside_is_erased_after_its_time_and_asks_again_who_relies_on_it() -> None:
    kept = replace(ASIDE, aside_at=NOW - 2 * DAY)
    noisy = spoilt(gone("o2", ago=HOUR), step=ASIDE, sightings=(sighting(ago=0),), late_writes=1, strangers=("psql",))

    assert decide_erase(noisy, POLICY).clear
    assert decide_erase(noisy, POLICY).erases
    assert sentences(decide_erase(replace(noisy, step=kept), POLICY)) == [
        "Column shop_book.isbn is kept, so that it can be restored; it was set aside 2 days ago. Clears when it has "
        "been kept for 7 days, in 5 days."
    ]
    for spoiler, code in [
        (spoilt(instance("o2", "old", state=InstanceState.REFUSED)), "live-instances"),
        (spoilt(lost("o2", ago=HOUR)), "lost-instances"),
        (evidence(dependents=(Dependent("view v"),)), "dependents"),
        (evidence(environment="staging"), "environment"),
        (evidence(taker_footprint=OLD), "old-taker"),
        (evidence(unreadable=("dependents",)), "unreadable-dependents"),
    ]:
        assert codes(decide_erase(replace(spoiler, step=ASIDE), POLICY)) == [code]


def test_only_what_is_set_aside_is_erased() -> None:
    assert "not-waiting" in codes(decide_erase(evidence(), POLICY))
    assert "not-waiting" in codes(decide(evidence(step=replace(ASIDE, state=StepState.SEALED)), POLICY))
    assert decide_erase(evidence(step=replace(ASIDE, state=StepState.SEALED)), POLICY).clear
    assert not decide_erase(evidence(step=replace(ASIDE, aside_at=None)), POLICY).clear


def test_a_maintenance_window_asks_that_the_fleet_is_stopped_and_known() -> None:
    unsafe = step(kind=StepKind.MIGRATION, table="", column="")
    stopped = evidence(
        step=replace(unsafe, slated_at=NOW),
        instances=(gone("o1", ago=MINUTE),),
        sightings=(sighting(ago=0),),
        late_writes=1,
        applied=False,
    )

    assert decide_whole(stopped, POLICY).clear
    for changes, code in [
        ({"instances": ()}, "old-code-never-seen"),
        ({"strangers": ("psql",)}, "strangers"),
        ({"dependents": (Dependent("view v"),)}, "dependents-by-text"),
        ({"environment": "staging"}, "environment"),
        ({"taker_footprint": OLD}, "old-taker"),
        ({"instances": (gone("o1", ago=MINUTE), instance("o2", "old"))}, "live-instances"),
        ({"instances": (gone("o1", ago=MINUTE), lost("o2", ago=MINUTE))}, "lost-instances"),
    ]:
        assert codes(decide_whole(replace(stopped, **changes), POLICY)) == [code]  # type: ignore[arg-type]


def test_a_policy_is_read_from_the_setting() -> None:
    config = conf.Config(lost_grace=1, quiet_period=2, rollback_window=3, adoption_period=4, workload_window=5)

    assert Policy.from_config(replace(config, keep_for=6, environment="here")) == Policy(1, 2, 3, 4, 5, 6, "here")
    assert Policy.from_config(conf.Config()) == Policy()


@pytest.mark.parametrize(
    ("seconds", "ago", "within"),
    [
        (0.4, "just now", "in a moment"),
        (1, "1 second ago", "in 1 second"),
        (60, "1 minute ago", "in 1 minute"),
        (90.5, "90 seconds ago", "in 91 seconds"),
        (3_600, "1 hour ago", "in 1 hour"),
        (5_430, "90 minutes ago", "in 91 minutes"),
        (86_400, "24 hours ago", "in 24 hours"),
        (172_800, "2 days ago", "in 2 days"),
    ],
)
def test_times_are_said_as_an_operator_says_them(seconds: float, ago: str, within: str) -> None:
    blocker = Blocker("x", 2, "release 1", "ran", NOW - seconds, "when it stops", NOW + seconds)

    assert blocker.sentence(NOW) == f"Release 1 ran, since {ago}. Clears when it stops, {within}."


def test_ten_thousand_instances_and_a_hundred_thousand_sightings(capsys: pytest.CaptureFixture[str]) -> None:
    footprints = {f"d{n}": OLD if n < 10 else NEW for n in range(20)}
    fleet = tuple(
        replace(
            instance(f"i{n}", f"d{n % 20}", release=str(n % 20), workload=("web", "celery:a,b")[n % 2]),
            kind=(InstanceKind.SERVER, InstanceKind.WORKER)[n % 2],
            state=(InstanceState.GONE if n % 3 else InstanceState.LIVE),
            ended_at=NOW - n if n % 3 else None,
        )
        for n in range(10_000)
    )
    seen = tuple(
        sighting(ago=n / 20, release=str(n % 20), digest=f"d{n % 20}", call_site=f"a.py:{n}") for n in range(100_000)
    )
    found = evidence(instances=fleet, sightings=seen, footprints=footprints)

    started = time.perf_counter()
    verdict = decide(found, POLICY)
    took = time.perf_counter() - started

    with capsys.disabled():
        print(f"\n10,000 instances of 20 releases, 100,000 sightings: {took * 1000:.0f} ms", end=" ")
    assert {b.code for b in verdict.blockers} == {
        "live-instances",
        "recurring-workload",
        "recent-sighting",
        "rollback-window",
    }
    assert len(verdict.blockers) < 100


def test_what_cannot_be_seen_is_said_and_blocks_where_that_was_asked_for() -> None:
    hidden = Unseen("routine", "GRANT SELECT ON `mysql`.`proc` TO 'app'@'%'")
    sentence = (
        "Routines cannot be seen by this database role, so that one of them may use shop_book.isbn unnoticed. Clears "
        "when the role may read them: GRANT SELECT ON `mysql`.`proc` TO 'app'@'%'."
    )

    noted = decide(evidence(unseen=(hidden,)), POLICY)
    asked = decide(evidence(unseen=(replace(hidden, blocks=True),)), POLICY)

    assert noted.clear
    assert [warning.sentence(NOW) for warning in noted.warnings] == [sentence]
    assert sentences(asked) == [sentence]
    assert codes(asked) == ["unseen-dependents"]


def test_a_dependent_of_a_part_of_what_is_taken_names_that_part() -> None:
    found = decide(evidence(dependents=(Dependent("view v", "SELECT isbn", on="shop_book.isbn2"),)), POLICY)

    assert found.blockers[0].definition == "SELECT isbn"
    assert sentences(found) == [
        "view v depends on shop_book.isbn2, and this step would break or destroy it. Clears when a migration has "
        "changed or dropped it."
    ]
