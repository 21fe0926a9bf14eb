"""Contract steps, the watch list and its epoch, and what a newer guard may have written."""

from __future__ import annotations

import dataclasses
import json

import pytest

from guard.attribution.watchlist import Watched
from guard.ledger.rows import InstanceState, StepKind, StepState
from guard.ledger.store import Ledger
from guard.ledger.tables import Conflict
from tests.integration.ledger.harness import LEASE, NEW, OLD, Place, registration, step, turned


def test_a_step_comes_back_as_it_was_stored(each: Place) -> None:
    payload = {"quote\"s 'and' ünicode 🐘": [1, None, {"deep": "\0"}]}
    slating = step(
        'na"m`e é',
        replaced_by=(("shop", "0001_squashed_0009"), ("other", "x")),
        model="shop.Item",
        field="old",
        payload=payload,
    )
    with each.ledger() as ledger:
        before = ledger.now()
        stored = ledger.slate(slating)
        (found,) = ledger.steps()
        assert found == stored == ledger.step(stored.id)
    assert found == dataclasses.replace(
        slating, id=found.id, slatings=1, slated_at=found.slated_at, changed_at=found.slated_at
    )
    assert before <= found.slated_at


def test_slating_the_same_work_again_changes_nothing_while_it_waits(each: Place) -> None:
    with each.ledger() as ledger:
        first = ledger.slate(step(payload={"found": 1}))
        assert ledger.slate(step(payload={"found": 2})) == first
        assert ledger.slate(step("another")).id != first.id


def test_withdrawn_work_is_slated_anew(each: Place) -> None:
    with each.ledger() as ledger:
        first = ledger.slate(step(payload={"found": 1}))
        turned(ledger, first, StepState.WITHDRAWN, slated_at=5.0)
        again = ledger.slate(step(payload={"found": 2}, replaced_by=(("shop", "squash"),)))
        assert again == ledger.step(first.id)
    assert (again.id, again.state, again.slatings) == (first.id, StepState.WAITING, 3)
    assert (again.payload, again.replaced_by) == ({"found": 2}, (("shop", "squash"),))
    assert again.slated_at > 5.0


@pytest.mark.parametrize("state", [StepState.SEALED, StepState.ASIDE, StepState.DONE])
def test_work_that_is_under_way_or_done_is_not_slated_again(each: Place, state: StepState) -> None:
    with each.ledger() as ledger:
        before = turned(ledger, ledger.slate(step()), state)
        with pytest.raises(Conflict, match=state.value):
            ledger.slate(step())
        assert ledger.steps() == (before,)


def test_steps_are_listed_by_state_in_the_order_in_which_they_were_slated(each: Place) -> None:
    with each.ledger() as ledger:
        first, second, third = (ledger.slate(step(name)) for name in ("z", "a", "m"))
        turned(ledger, second, StepState.DONE)
        assert [s.column for s in ledger.steps()] == ["z", "a", "m"]
        assert [s.column for s in ledger.steps(StepState.WAITING, StepState.SEALED)] == ["z", "m"]
        assert ledger.steps(StepState.ASIDE) == ()
        assert ledger.step(third.id + 1000) is None
        assert ledger.step(first.id, lock=True) == first


def test_each_change_of_the_watch_list_gives_another_epoch_and_nothing_else_does(each: Place) -> None:
    with each.ledger() as ledger:
        epochs = [ledger.watch_list().epoch]

        def watch() -> int:
            listed = ledger.watch_list()
            assert listed.epoch == ledger.epoch()
            epochs.append(listed.epoch)
            return len(listed.entries)

        one = ledger.slate(step("one"))
        assert watch() == 1
        two = ledger.slate(step("", kind=StepKind.TABLE))
        assert watch() == 2
        one = turned(ledger, one, StepState.WITHDRAWN)
        assert watch() == 1
        one = ledger.slate(step("one"))
        assert watch() == 2
        two = turned(ledger, two, StepState.ASIDE)
        two = turned(ledger, two, StepState.DONE)
        assert watch() == 1
        assert len(set(epochs)) == len(epochs) == 6
        assert epochs == sorted(epochs)
        # Neither progress nor what is not watched.
        turned(ledger, turned(ledger, one, StepState.SEALED), StepState.WAITING)
        ledger.slate(step("kept", kind=StepKind.DEFAULT))
        ledger.slate(step("", kind=StepKind.MIGRATION, table=""))
        assert watch() == 1
        assert epochs[-1] == epochs[-2]


def newer(ledger: Ledger, identifier: int, **values: object) -> None:
    """What a newer guard may make of a step."""
    ledger.update("step", {"format": 9, **values}, "id = %s", [identifier])


def test_a_step_of_a_state_that_only_a_newer_guard_knows_is_watched_and_left_alone(each: Place) -> None:
    with each.ledger() as ledger:
        slated = ledger.slate(step())
        other = ledger.slate(step("other"))
        newer(ledger, slated.id, state="resting", slatings=7)
        assert ledger.steps() == (other,)
        assert ledger.step(slated.id) is None
        assert ledger.step(slated.id, lock=True) is None
        with pytest.raises(Conflict):
            ledger.slate(step())
        listed = ledger.watch_list()
        assert {entry.column for entry in listed.entries} == {"old", "other"}
        # Else no instance would ever have flushed for the ledger's epoch.
        assert listed.epoch == ledger.epoch() == 8
        admission = ledger.register(registration("a"), OLD, lease=LEASE)
        assert (admission.state, admission.watch) == (InstanceState.LIVE, listed)
        renewal = ledger.beat("a", lease=LEASE, watched_epoch=listed.epoch, flush_no=0)
        assert renewal is not None
        assert renewal.epoch == listed.epoch


def test_a_step_of_a_kind_that_only_a_newer_guard_knows_is_left_alone(each: Place) -> None:
    with each.ledger() as ledger:
        slated = ledger.slate(step())
        newer(ledger, slated.id, kind="index", slatings=2)
        assert ledger.steps() == ()
        assert ledger.watch_list().entries == ()
        assert ledger.watch_list().epoch == ledger.epoch() == 2
        assert ledger.register(registration(), OLD, lease=LEASE).state is InstanceState.LIVE


def test_a_footprint_that_only_a_newer_guard_can_read_is_left_out(each: Place) -> None:
    data = json.loads(OLD.to_json())
    with each.ledger() as ledger:
        ledger.register(registration(), NEW, lease=LEASE)
        for digest, content in (
            ("0" * 64, json.dumps({"format": 2, "shape": "other"})),
            ("1" * 64, "no json"),
            ("2" * 64, json.dumps({**data, "format": 2, "indexes": ["new"]})),
        ):
            ledger.insert("footprint", {"digest": digest, "content": content, "made_at": 1.0})
        found = ledger.footprints()
    assert found == {NEW.digest: NEW, "2" * 64: OLD}


def test_replacements_are_watched_for_too(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.slate(step(replaced_by=(("shop", "squash"),)))
        assert ledger.watch_list().entries == (
            Watched("shop_item", "old", (("shop", "0002_remove_old"), ("shop", "squash"))),
        )


def test_the_log_keeps_who_did_what(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.record("restore", "t" * 600, actor="a" * 300 + "\udcff", release="r1 \0", details={"é": ["\0", 1]})
        ((at, action, target, actor, release, details),) = ledger.select(
            "event", ("at", "action", "target", "actor", "release_label", "details"), "id > %s", [0]
        )
        assert abs(ledger.now() - at) < 60
    assert (action, target, actor, release) == ("restore", "t" * 511, "a" * 200, "r1 \\0")
    assert json.loads(details) == {"é": ["\0", 1]}
