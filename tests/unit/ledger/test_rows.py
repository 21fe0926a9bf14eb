"""What the ledger's values say of themselves, and the texts that it can store."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.ledger import protocol, stored, tables
from guard.ledger.rows import (
    Instance,
    InstanceKind,
    InstanceState,
    Refusal,
    Step,
    StepKind,
    StepState,
)

INSTANCE = Instance(
    id="a",
    release="r1",
    digest="d",
    kind=InstanceKind.SERVER,
    workload="web",
    state=InstanceState.LIVE,
    registered_at=0.0,
    renewed_at=10.0,
    expires_at=100.0,
)
STEP = Step(
    0, StepKind.COLUMN, StepState.WAITING, "shop", "0002_remove_old", table="shop_item", column="old", model="shop.Item"
)


@pytest.mark.parametrize("state", InstanceState)
@pytest.mark.parametrize("now", [99.0, 100.0, 101.0])
def test_an_instance_is_live_or_lost_or_gone(state: InstanceState, now: float) -> None:
    instance = dataclasses.replace(INSTANCE, state=state)
    gone = state is InstanceState.GONE
    assert [instance.live(now), instance.lost(now), gone].count(True) == 1
    # What has run out at this very moment cannot be renewed, and is lost.
    assert instance.live(now) == (not gone and now < 100.0)
    assert gone or protocol.may_renew(state, instance.expires_at, now) == instance.live(now)


def test_an_instance_was_live_until_it_said_so_or_until_its_lease_ran_out() -> None:
    assert INSTANCE.last_live(50.0) == 50.0
    assert INSTANCE.last_live(500.0) == 100.0
    assert dataclasses.replace(INSTANCE, state=InstanceState.GONE, ended_at=30.0).last_live(500.0) == 30.0


def test_a_step_is_named_as_operators_name_it() -> None:
    assert STEP.target == "shop_item.old"
    assert dataclasses.replace(STEP, kind=StepKind.TABLE, column="").target == "shop_item"
    assert dataclasses.replace(STEP, kind=StepKind.MIGRATION, table="", column="").target == "shop.0002_remove_old"


@pytest.mark.parametrize("kind", StepKind)
@pytest.mark.parametrize("state", StepState)
def test_what_can_still_come_back_is_watched(kind: StepKind, state: StepState) -> None:
    watched = dataclasses.replace(STEP, kind=kind, state=state).slated
    assert watched == (kind in (StepKind.COLUMN, StepKind.TABLE) and state not in (StepState.DONE, StepState.WITHDRAWN))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (StepState.SEALED, "is being taken away right now"),
        (StepState.ASIDE, "`manage.py guard restore shop_item.old` brings it back"),
        (StepState.DONE, "deploy a release that does without it"),
    ],
)
def test_a_refusal_says_what_happened_and_what_to_do(state: StepState, said: str) -> None:
    sentence = str(Refusal(dataclasses.replace(STEP, state=state)))
    assert said in sentence
    assert "shop_item.old" in sentence
    assert "shop.0002_remove_old" in sentence


def test_a_refusal_says_when_it_happened() -> None:
    aside = dataclasses.replace(STEP, state=StepState.ASIDE, aside_at=1_767_323_045.0)
    assert str(Refusal(aside)) == (
        "shop_item.old was set aside by migration shop.0002_remove_old on 2026-01-02 at 03:04 UTC, but this release's "
        "models declare it. `manage.py guard restore shop_item.old` brings it back."
    )
    erased = dataclasses.replace(aside, state=StepState.DONE, done_at=1_767_323_045.0 + 86_400)
    assert "was erased by migration shop.0002_remove_old on 2026-01-03 at 03:04 UTC" in str(Refusal(erased))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            StepKind.MIGRATION,
            "Migration shop.0002_remove_old is being applied right now, and this release lacks it. Wait for it to end",
        ),
        (
            StepKind.DEFAULT,
            "The default of shop_item.old is being taken away right now, and this release, which lacks migration "
            "shop.0002_remove_old, may insert without a value.",
        ),
        (
            StepKind.NULLABLE,
            "shop_item.old is being made NOT NULL right now, and this release, which lacks migration "
            "shop.0002_remove_old, may insert NULL.",
        ),
        (
            StepKind.KEY,
            "The ON DELETE action of shop_item.old is being taken away right now, and this release, which lacks "
            "migration shop.0002_remove_old, may delete what its rows refer to.",
        ),
    ],
)
def test_a_refusal_for_what_removes_nothing_does_not_speak_of_models(kind: StepKind, said: str) -> None:
    sentence = str(Refusal(dataclasses.replace(STEP, kind=kind, state=StepState.SEALED)))
    assert sentence.startswith(said)
    assert "declare" not in sentence


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc"])), st.integers(1, 20) | st.none())
def test_every_text_becomes_one_that_every_vendor_stores(text: str, limit: int | None) -> None:
    for made in (tables.storable(text, limit), tables.plainly_storable(text, limit)):
        assert "\0" not in made
        assert limit is None or len(made) <= limit
        assert made.encode().decode() == made
    assert tables.plainly_storable(text, limit).isascii()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_text_that_can_be_stored_is_kept(text: str) -> None:
    assert tables.storable(text, None) == text


def test_different_values_have_different_names() -> None:
    assert stored.identity("a", "b") != stored.identity("a,b")
    assert stored.identity("a", "b") != stored.identity('a", "b')
    assert stored.identity("a", "") != stored.identity("", "a")
    assert len(stored.identity("\ud800", 1, None)) == 64
