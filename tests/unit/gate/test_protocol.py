"""Transitions of a contract step, one by one, and who is admitted in which state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from guard.gate import verdict
from guard.ledger import protocol
from guard.ledger.protocol import Found, ProtocolError
from guard.ledger.rows import InstanceState, Step, StepKind, StepState
from guard.schema.footprint import Column, Footprint
from tests.unit.gate.cases import NEW, NOW, OLD, POLICY, evidence, instance, spoilt, step

WAITING, SEALED, ASIDE, DONE, WITHDRAWN = StepState

COLUMN = step()
TABLE = step(kind=StepKind.TABLE, column="")
DEFAULT = step(kind=StepKind.DEFAULT)
HELD = step(kind=StepKind.MIGRATION, table="", column="")

TAKING = replace(COLUMN, state=SEALED, token="t", sealer="s", sealed_at=NOW)
KEPT = replace(COLUMN, state=ASIDE, aside_name="g_isbn", aside_at=NOW - 5)
ERASING = replace(KEPT, state=SEALED, token="t", sealer="s", sealed_at=NOW)


def clear(of: Step) -> verdict.Verdict:
    return verdict.Verdict(of, (), (), (), erases=of.state is ASIDE)


def test_taking_a_column_goes_from_waiting_through_the_seal_to_aside_to_done() -> None:
    sealed = protocol.seal(COLUMN, verdict.decide(evidence(), POLICY), "t", "session 7", NOW)
    aside = protocol.set_aside(sealed, "t", "g_isbn", NOW + 1)
    erasing = protocol.seal(aside, clear(aside), "u", "session 8", NOW + 2)
    done = protocol.finish(erasing, "u", NOW + 3)

    assert sealed == replace(
        COLUMN, state=SEALED, version=2, token="t", sealer="session 7", sealed_at=NOW, changed_at=NOW
    )
    assert aside == replace(COLUMN, state=ASIDE, version=3, aside_name="g_isbn", aside_at=NOW + 1, changed_at=NOW + 1)
    assert erasing == replace(
        aside, state=SEALED, version=4, token="u", sealer="session 8", sealed_at=NOW + 2, changed_at=NOW + 2
    )
    assert done == replace(aside, state=DONE, version=5, changed_at=NOW + 3, done_at=NOW + 3)


@pytest.mark.parametrize("waiting", [DEFAULT, HELD], ids=lambda s: s.kind)
def test_what_removes_nothing_is_done_at_once(waiting: Step) -> None:
    sealed = protocol.seal(waiting, clear(waiting), "t", "s", NOW)

    assert protocol.finish(sealed, "t", NOW).state is DONE
    with pytest.raises(ProtocolError):
        protocol.set_aside(sealed, "t", "g", NOW)


def test_a_seal_needs_a_clear_verdict_about_the_row_as_it_is_and_about_the_same_question() -> None:
    blocked = verdict.decide(spoilt(instance("o2", "old")), POLICY)

    refused: list[Callable[[], Step]] = [
        lambda: protocol.seal(COLUMN, blocked, "t", "s", NOW),
        lambda: protocol.seal(replace(COLUMN, version=2), clear(COLUMN), "t", "s", NOW),
        lambda: protocol.seal(replace(COLUMN, id=2), clear(COLUMN), "t", "s", NOW),
        lambda: protocol.seal(KEPT, replace(clear(KEPT), erases=False), "t", "s", NOW),
        lambda: protocol.seal(COLUMN, replace(clear(COLUMN), erases=True), "t", "s", NOW),
        lambda: protocol.seal(COLUMN, clear(COLUMN), "", "s", NOW),
    ]
    for seal in refused:
        with pytest.raises(ProtocolError):
            seal()


ACTIONS: dict[str, Callable[[Step], Step]] = {
    "seal": lambda s: protocol.seal(s, clear(s), "t", "s", NOW),
    "seal_to_restore": lambda s: protocol.seal_to_restore(s, "t", "s", NOW),
    "reopen": lambda s: protocol.reopen(s, "t", NOW),
    "set_aside": lambda s: protocol.set_aside(s, "t", "g_isbn", NOW),
    "finish": lambda s: protocol.finish(s, "t", NOW),
    "restore": lambda s: protocol.restore(s, NOW),
    "restore with a token": lambda s: protocol.restore(s, NOW, "t"),
    "withdraw": lambda s: protocol.withdraw(s, NOW),
    "void": lambda s: protocol.void(s, NOW),
    "reslate": lambda s: protocol.reslate(s, NOW),
    "reclaim": lambda s: protocol.reclaim(s, NOW),
    "settle": lambda s: protocol.settle(s, Found(original=True, aside=False), NOW),
    "reconcile": lambda s: protocol.reconcile(s, Found(original=False, aside=False), NOW),
}

STATES = {
    "waiting": COLUMN,
    "sealed": TAKING,
    "aside": KEPT,
    "sealed to erase": ERASING,
    "done": replace(KEPT, state=DONE),
    "withdrawn": replace(COLUMN, state=WITHDRAWN),
}

#: What each action makes of a column's step in each state; everything else is refused.
LEGAL = {
    ("seal", "waiting"): SEALED,
    ("seal", "aside"): SEALED,
    ("seal_to_restore", "aside"): SEALED,
    ("reopen", "sealed"): WAITING,
    ("reopen", "sealed to erase"): ASIDE,
    ("set_aside", "sealed"): ASIDE,
    ("finish", "sealed to erase"): DONE,
    ("restore", "aside"): WAITING,
    ("restore with a token", "aside"): WAITING,
    ("restore with a token", "sealed to erase"): WAITING,
    ("withdraw", "waiting"): WITHDRAWN,
    ("void", "waiting"): WITHDRAWN,
    ("void", "done"): WITHDRAWN,
    ("reslate", "withdrawn"): WAITING,
    ("reclaim", "aside"): ASIDE,
    ("reclaim", "done"): DONE,
    ("settle", "sealed"): WAITING,
    ("settle", "sealed to erase"): WAITING,
    ("reconcile", "waiting"): DONE,
    ("reconcile", "aside"): DONE,
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_in_every_state(action: str, state: str) -> None:
    before = STATES[state]
    expected = LEGAL.get((action, state))

    if expected is None:
        with pytest.raises(ProtocolError) as refused:
            ACTIONS[action](before)
        assert str(refused.value).startswith("shop_book.isbn ")
        return
    after = ACTIONS[action](before)

    assert after.state is expected
    assert after.version == before.version + 1
    assert after.changed_at == NOW
    assert bool(after.token) is (after.sealed_at is not None) is bool(after.sealer) is (after.state is SEALED)


@pytest.mark.parametrize("action", ["reopen", "set_aside", "finish", "restore"])
@pytest.mark.parametrize("token", ["", "another"])
def test_only_the_holder_ends_a_seal(action: str, token: str) -> None:
    before = TAKING if action == "set_aside" else ERASING
    end: dict[str, Callable[[], Step]] = {
        "reopen": lambda: protocol.reopen(before, token, NOW),
        "set_aside": lambda: protocol.set_aside(before, token, "g", NOW),
        "finish": lambda: protocol.finish(before, token, NOW),
        "restore": lambda: protocol.restore(before, NOW, token),
    }

    with pytest.raises(ProtocolError, match="sealed by another taker"):
        end[action]()


def test_reopening_does_not_start_the_roll_back_window_anew_and_restoring_does() -> None:
    assert protocol.reopen(TAKING, "t", NOW).reopened_at is None
    assert protocol.restore(KEPT, NOW).reopened_at == NOW
    assert protocol.restore(KEPT, NOW).aside_name == ""
    assert protocol.restore(KEPT, NOW).aside_at is None


def test_a_step_whose_migration_is_unapplied_and_applied_again_starts_from_the_beginning() -> None:
    done = replace(KEPT, state=DONE, done_at=NOW, payload={"left": 1, "reclaimed": True})

    again = protocol.reslate(protocol.void(done, NOW), NOW)

    assert again == replace(COLUMN, version=3, slated_at=NOW, changed_at=NOW, payload={"left": 1})


def test_slating_again_gathers_evidence_anew() -> None:
    withdrawn = replace(COLUMN, state=WITHDRAWN, reopened_at=NOW - 5)

    assert protocol.reslate(withdrawn, NOW) == replace(
        COLUMN, version=2, slated_at=NOW, changed_at=NOW, reopened_at=None
    )


# Seals that were left behind.


@pytest.mark.parametrize(
    ("sealed", "found", "state"),
    [
        (TAKING, Found(original=True, aside=False), WAITING),
        (TAKING, Found(original=True, aside=False, wanted=False), WITHDRAWN),
        (TAKING, Found(original=False, aside=True, aside_name="g_isbn"), ASIDE),
        (TAKING, Found(original=True, aside=True, aside_name="g_isbn"), ASIDE),
        (TAKING, Found(original=False, aside=False), DONE),
        (ERASING, Found(original=False, aside=True, aside_name="g_isbn"), ASIDE),
        (ERASING, Found(original=False, aside=True), ASIDE),
        (ERASING, Found(original=False, aside=False), DONE),
        (ERASING, Found(original=True, aside=False), WAITING),
        (replace(ERASING, payload={"reclaimed": True}), Found(original=True, aside=False), DONE),
        (replace(ERASING, payload={"reclaimed": True}), Found(original=True, aside=True), ASIDE),
        (replace(TAKING, kind=StepKind.DEFAULT), Found(original=True, aside=False), WAITING),
        (replace(TAKING, kind=StepKind.DEFAULT), Found(original=False, aside=False), DONE),
        (replace(TAKING, kind=StepKind.DEFAULT), Found(original=True, aside=False, wanted=False), WITHDRAWN),
    ],
)
def test_a_seal_left_behind_is_settled_by_what_the_catalog_holds(sealed: Step, found: Found, state: StepState) -> None:
    settled = protocol.settle(sealed, found, NOW)

    assert settled.state is state
    assert settled.token == settled.sealer == ""
    assert settled.aside_name == ("g_isbn" if state is ASIDE or (state is DONE and sealed.aside_name) else "")


def test_settling_keeps_the_time_since_which_it_is_set_aside() -> None:
    aside = Found(original=False, aside=True, aside_name="g_isbn")

    assert protocol.settle(TAKING, aside, NOW).aside_at == NOW
    assert protocol.settle(ERASING, aside, NOW).aside_at == NOW - 5


def test_settling_what_came_back_starts_the_roll_back_window_anew() -> None:
    assert protocol.settle(ERASING, Found(original=True, aside=False), NOW).reopened_at == NOW


def test_what_is_set_aside_under_no_known_name_is_not_settled() -> None:
    with pytest.raises(ProtocolError, match="under a name that nobody gave"):
        protocol.settle(TAKING, Found(original=False, aside=True), NOW)


def test_what_is_as_it_was_left_is_not_reconciled() -> None:
    assert protocol.reconcile(COLUMN, Found(original=True, aside=False), NOW) is COLUMN
    assert protocol.reconcile(KEPT, Found(original=False, aside=True), NOW) is KEPT
    assert protocol.reconcile(KEPT, Found(original=True, aside=False), NOW).state is WAITING
    with pytest.raises(ProtocolError):
        protocol.reconcile(HELD, Found(original=False, aside=False), NOW)


# Who relies on what, and who is admitted.

WITHOUT = Footprint({"shop_book": {}}, frozenset({("shop", "0001_initial")}))
ELSEWHERE = Footprint({"blog_post": {}}, frozenset({("blog", "0001_initial")}))
LATER = Footprint(OLD.tables, frozenset({*NEW.migrations, ("shop", "0003_book_isbn")}))


@pytest.mark.parametrize(
    ("footprint", "column", "table", "default"),
    [
        (OLD, True, True, True),
        (NEW, False, True, False),
        (WITHOUT, False, True, True),
        (ELSEWHERE, False, False, False),
        (LATER, True, True, False),
        (None, True, True, True),
    ],
    ids=["declares it", "new code", "old code that does not declare it", "without the app", "later", "unreadable"],
)
def test_who_relies_on_a_step(footprint: Footprint | None, column: bool, table: bool, default: bool) -> None:
    assert protocol.relies(footprint, COLUMN) is column
    assert protocol.relies(footprint, TABLE) is table
    assert protocol.relies(footprint, DEFAULT) is default
    assert protocol.relies(footprint, HELD) is default


def test_whoever_knows_the_table_from_an_app_of_another_name_is_old_code() -> None:
    renamed = {"app": "store", "migration": "0002_book"}

    assert protocol.relies(OLD, replace(DEFAULT, **renamed))
    assert protocol.relies(OLD, replace(HELD, **renamed, payload={protocol.TABLES: ["shop_book"]}))
    assert not protocol.relies(OLD, replace(HELD, **renamed, payload={protocol.TABLES: ["store_shelf"]}))
    assert not protocol.relies(replace(OLD, project="other"), replace(DEFAULT, **renamed, project="shop"))


def test_names_are_folded_as_databases_fold_them() -> None:
    shouting = Footprint({"SHOP_BOOK": {"ISBN": Column("text", False, False)}}, OLD.migrations)

    assert protocol.relies(shouting, COLUMN)


def test_a_recorded_replacement_of_the_migration_is_no_old_code() -> None:
    squashed = Footprint({}, frozenset({("shop", "0001_squashed")}))

    assert protocol.old_code(squashed, HELD)
    assert not protocol.old_code(squashed, replace(HELD, replaced_by=(("shop", "0001_squashed"),)))


@pytest.mark.parametrize("kind", [COLUMN, TABLE, DEFAULT, HELD], ids=lambda s: s.kind)
@pytest.mark.parametrize("state", list(StepState))
def test_old_code_is_refused_what_is_sealed_and_what_it_declares_that_is_gone(kind: Step, state: StepState) -> None:
    the_step = replace(kind, state=state, aside_name="g" if state in (ASIDE, DONE) else "")
    refused = state is SEALED or (kind.kind in protocol.REMOVING and state in (ASIDE, DONE))

    admitted, refusals = protocol.admission(OLD, [the_step])

    assert admitted is (InstanceState.REFUSED if refused else InstanceState.LIVE)
    assert [refusal.step for refusal in refusals] == ([the_step] if refused else [])
    if kind is not TABLE:
        assert protocol.admission(NEW, [the_step]) == (InstanceState.LIVE, ())


def test_every_refusal_is_named() -> None:
    steps = [replace(KEPT, id=2), replace(COLUMN, id=3), replace(TABLE, id=4, state=DONE)]

    assert [refusal.step.id for refusal in protocol.admission(OLD, steps)[1]] == [2, 4]


@pytest.mark.parametrize("state", [ASIDE, DONE])
def test_a_later_column_of_the_name_admits_the_code_that_means_it_and_no_other(state: StepState) -> None:
    taken = replace(KEPT, state=state)
    reclaimed = protocol.reclaim(taken, NOW)

    assert protocol.admission(LATER, [taken])[0] is InstanceState.REFUSED
    assert protocol.admission(LATER, [reclaimed])[0] is InstanceState.LIVE
    assert protocol.admission(OLD, [reclaimed])[0] is InstanceState.REFUSED
    assert protocol.admission(None, [reclaimed])[0] is InstanceState.REFUSED


def test_nothing_is_restored_over_a_later_column_of_the_name() -> None:
    reclaimed = protocol.reclaim(KEPT, NOW)
    sealed = replace(reclaimed, state=SEALED, token="t")

    refused: list[Callable[[], Step]] = [
        lambda: protocol.restore(reclaimed, NOW),
        lambda: protocol.seal_to_restore(reclaimed, "t", "s", NOW),
        lambda: protocol.restore(sealed, NOW, "t"),
    ]
    for bring_back in refused:
        with pytest.raises(ProtocolError, match="a later migration has made another one of that name"):
            bring_back()
    assert protocol.restore(protocol.reclaim(reclaimed, NOW, taken=False), NOW).state is WAITING


@pytest.mark.parametrize("other", [TAKING, ERASING, replace(HELD, state=DONE)])
def test_a_name_is_reclaimed_only_from_what_has_been_set_aside_or_erased(other: Step) -> None:
    with pytest.raises(ProtocolError):
        protocol.reclaim(other, NOW)


@pytest.mark.parametrize(
    ("state", "left", "may"),
    [
        (InstanceState.LIVE, 1, True),
        (InstanceState.REFUSED, 1, True),
        (InstanceState.LIVE, 0, False),
        (InstanceState.LIVE, -1, False),
        (InstanceState.GONE, 1, False),
    ],
)
def test_a_lease_is_renewed_only_before_it_has_run_out(state: InstanceState, left: float, may: bool) -> None:
    assert protocol.may_renew(state, NOW + left, NOW) is may
    holder = instance("n", state=state, expires_at=NOW + left)
    assert holder.live(NOW) is may


def test_the_payload_of_a_step_outlives_every_transition() -> None:
    before: Any = {"left": {"type": "text"}, "held": False}
    sealed = protocol.seal(replace(COLUMN, payload=before), clear(COLUMN), "t", "s", NOW)
    aside = protocol.set_aside(sealed, "t", "g", NOW)

    assert protocol.reclaim(aside, NOW).payload == {**before, "reclaimed": True}
    assert protocol.restore(aside, NOW).payload == before


def test_a_step_learns_of_a_squash_of_its_migration_once() -> None:
    squash = ("shop", "0001_squashed_0002")
    learnt = protocol.replaced(COLUMN, [squash, squash, (COLUMN.app, COLUMN.migration)], NOW)

    assert learnt.replaced_by == (*COLUMN.replaced_by, squash)
    assert learnt.version == COLUMN.version + 1
    assert protocol.replaced(learnt, [squash], NOW) is learnt
    new = Footprint(OLD.tables, frozenset({squash, ("shop", "0001_initial")}))
    assert protocol.old_code(new, COLUMN)
    assert not protocol.old_code(new, learnt)


def test_a_step_that_is_being_taken_learns_nothing() -> None:
    sealed = protocol.seal(COLUMN, clear(COLUMN), "t", "s", NOW)

    assert protocol.replaced(sealed, [("shop", "squash")], NOW) is sealed


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("", "", True), ("shop", "", True), ("", "shop", True), ("shop", "shop", True), ("shop", "blog", False)],
)
def test_whoever_has_no_label_may_belong_to_any_project(one: str, other: str, same: bool) -> None:
    """So that the release which brings the first label does not overlook the one before it."""
    assert protocol.same_project(one, other) is same
    labelled = replace(COLUMN, kind=StepKind.MIGRATION, table="", column="", project=one)
    assert protocol.old_code(replace(OLD, project=other), labelled) is same


def test_another_projects_models_of_the_very_table_rely_on_it() -> None:
    theirs = replace(OLD, project="reports")

    assert protocol.relies(theirs, replace(COLUMN, project="shop"))
    assert not protocol.relies(replace(theirs, tables={}), replace(COLUMN, project="shop"))
