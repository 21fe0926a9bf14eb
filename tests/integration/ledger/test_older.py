"""An older guard at the ledger of this one: an old release beside a new one. Its code is that of `older/`, unchanged.

It works as it did; what it does not know it tolerates, and where it cannot tell it does not admit and does not take.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from guard.attribution.watchlist import Access
from guard.gate import evidence, verdict
from guard.gate.evidence import Taker
from guard.ledger import connecting, orders, retention, rows, store, stored
from guard.ledger.rows import InstanceState, StepState
from tests.integration.ledger.harness import LEASE, NEW, OLD, Place, glimpse, registration, step, turned
from tests.integration.ledger.older import footprint as older_footprint
from tests.integration.ledger.older import orders as older_orders
from tests.integration.ledger.older import protocol as older_protocol
from tests.integration.ledger.older import rows as older_rows
from tests.integration.ledger.older import store as older_store
from tests.integration.ledger.older import watchlist as older_watchlist

OLDER_OLD = older_footprint.Footprint.from_json(OLD.to_json())
OLDER_NEW = older_footprint.Footprint.from_json(NEW.to_json())

#: What only a newer guard knows. Its columns are nullable or have a default, and so have those of tomorrow.
TOMORROW = ("guard_instance", "guard_step", "guard_sighting", "guard_order", "guard_event", "guard_gate")


@contextmanager
def older(place: Place) -> Iterator[older_store.Ledger]:
    with connecting.private(place.alias) as connection:
        yield older_store.Ledger(connection)


def older_registration(name: str, **changes: Any) -> older_rows.Registration:
    known = {field.name for field in dataclasses.fields(older_rows.Registration)}
    usual = {key: value for key, value in dataclasses.asdict(registration(name, **changes)).items() if key in known}
    return older_rows.Registration(**usual | {"kind": older_rows.InstanceKind(usual["kind"])})


def older_glimpse(**changes: Any) -> older_rows.Glimpse:
    usual = dataclasses.asdict(glimpse(**changes))
    return older_rows.Glimpse(**usual | {"access": older_watchlist.Access(usual["access"])})


def test_the_older_ledger_is_not_this_one() -> None:
    """Else nothing here says anything. The copy is of the format before the one that is written now, or older."""
    assert older_store.FORMAT < stored.FORMAT
    assert set(older_store._INSTANCE_COLUMNS) < set(stored.INSTANCE_COLUMNS)
    assert older_store.__file__ != store.__file__


def test_an_older_process_registers_renews_reports_and_leaves(each: Place) -> None:
    with each.ledger() as newer, older(each) as ledger:
        slated = newer.slate(step(replaced_by=(("shop", "squash"),)))

        admission = ledger.register(older_registration("old"), OLDER_OLD, lease=LEASE)

        assert admission.state is older_rows.InstanceState.LIVE
        assert [(w.table, w.column) for w in admission.watch.entries] == [("shop_item", "old")]
        renewal = ledger.beat(
            "old", lease=LEASE, watched_epoch=admission.watch.epoch, flush_no=1, glimpses=[older_glimpse(stale=True)]
        )
        assert renewal is not None
        assert (renewal.epoch, renewal.first_seen) == (newer.epoch(), (0,))
        (instance,) = newer.instances()
        assert (instance.state, instance.size, instance.digest) == (InstanceState.LIVE, 1, OLD.digest)
        assert newer.footprints() == {OLD.digest: OLD}
        assert [(s.count, s.access, s.folded) for s in newer.sightings("shop_item", "old")] == [(1, Access.READ, 0)]

        turned(newer, slated, StepState.ASIDE, aside_name="aside", aside_at=1.0)
        assert [str(r) for r in ledger.refusals(OLDER_OLD)]
        assert ledger.readmit("old", OLDER_OLD, lease=LEASE).state is older_rows.InstanceState.REFUSED
        ledger.leave("old")
        assert [i.state for i in newer.instances()] == [InstanceState.GONE]


@pytest.mark.parametrize("state", [StepState.SEALED, StepState.ASIDE, StepState.DONE])
def test_an_older_process_that_relies_on_what_is_taken_is_not_admitted(each: Place, state: StepState) -> None:
    with each.ledger() as newer, older(each) as ledger:
        turned(newer, newer.slate(step()), state, token="t", aside_name="aside")

        assert ledger.register(older_registration("old"), OLDER_OLD, lease=LEASE).refusals
        assert not ledger.register(older_registration("new"), OLDER_NEW, lease=LEASE).refusals


def test_an_older_gate_sees_the_steps_of_a_newer_one_and_writes_them_back_whole(each: Place) -> None:
    with each.ledger() as newer, older(each) as ledger:
        newer.slate(step(payload={"found": {"null": False}}))

        (waiting,) = ledger.steps()
        sealed = ledger.save(
            waiting,
            dataclasses.replace(
                waiting, state=older_rows.StepState.SEALED, token="t", sealer="s", version=waiting.version + 1
            ),
        )
        ledger.save(sealed, older_protocol.reopen(sealed, "t", ledger.now()))

        (after,) = newer.steps()
        assert (after.state, after.version, dict(after.payload)) == (
            StepState.WAITING, 3, {"found": {"null": False}}
        )  # fmt: skip
        assert newer.epoch() == ledger.epoch()


def test_what_an_older_gate_slates_is_the_same_piece_of_work(each: Place) -> None:
    with each.ledger() as newer, older(each) as ledger:
        fields = {f.name: getattr(step(), f.name) for f in dataclasses.fields(older_rows.Step)}
        slated = ledger.slate(
            older_rows.Step(**fields | {"kind": older_rows.StepKind.COLUMN, "state": older_rows.StepState.WAITING})
        )

        assert newer.slate(step()).id == slated.id


def test_an_epoch_that_is_kept_on_a_step_counts_no_longer_once_an_older_guard_has_slated_it_again(each: Place) -> None:
    with each.ledger() as newer, older(each) as ledger:
        newer.slate(step())
        newer.keep_epochs(newer.steps())
        (kept,) = newer.steps()
        assert (kept.listed_epoch, kept.version) == (1, 1)

        (waiting,) = ledger.steps()
        withdrawn = ledger.save(waiting, older_protocol.withdraw(waiting, ledger.now()))
        ledger.save(withdrawn, older_protocol.reslate(withdrawn, ledger.now()))

        (again,) = newer.steps()
        assert (again.state, again.listed_epoch) == (StepState.WAITING, None)
        newer.keep_epochs([again])
        assert newer.steps()[0].listed_epoch == newer.epoch() == 3


def test_an_older_guard_leaves_states_and_kinds_alone_that_it_does_not_know(each: Place) -> None:
    """Watched all the same, because it may be in use; taken by nobody who does not know it."""
    with each.ledger() as newer, older(each) as ledger:
        paused = newer.slate(step())
        newer.update("step", {"state": "paused"}, "id = %s", [paused.id])
        odd = newer.slate(step("other"))
        newer.update("step", {"kind": "partition"}, "id = %s", [odd.id])

        assert ledger.steps() == ()
        assert [w.column for w in ledger.watch_list().entries] == ["old"]
        assert ledger.epoch() == newer.epoch() == 2
        fields = {f.name: getattr(step(), f.name) for f in dataclasses.fields(older_rows.Step)}
        again = older_rows.Step(**fields | {"kind": older_rows.StepKind.COLUMN, "state": older_rows.StepState.WAITING})
        with pytest.raises(older_store.Conflict):
            ledger.slate(again)


def test_an_older_guard_counts_what_it_does_not_know_as_alive(each: Place) -> None:
    with each.ledger() as newer, older(each) as ledger:
        newer.register(registration("a"), OLD, lease=LEASE)
        newer.update("instance", {"state": "resting", "kind": "lambda"}, "id = %s", ["a"])

        (instance,) = ledger.instances()

        assert instance.live(ledger.now())
        assert instance.kind is older_rows.InstanceKind.SERVER


def test_an_older_guard_reads_totals_as_instances_that_have_gone(each: Place) -> None:
    with each.ledger() as newer, older(each) as ledger:
        for id in ("a", "b"):
            newer.register(registration(id), OLD, lease=LEASE)
            newer.leave(id)
        newer.update("instance", {}, "folded = 0", [], raw={"ended_at": f"ended_at - {8 * 86_400}"})
        assert retention.fold(newer, lost_grace=0.0, seconds=60.0) == 2

        (total,) = ledger.instances()

        assert (total.state, total.digest) == (older_rows.InstanceState.GONE, OLD.digest)
        (newest,) = newer.instances()
        assert (total.ended_at, total.registered_at) == (newest.ended_at, newest.registered_at)


def test_events_and_orders_of_tomorrow_are_no_trouble(each: Place) -> None:
    with each.ledger() as newer, older(each) as ledger:
        newer.record("transmogrify", "shop_item.old", actor="a", release="r", details={"new": [1]})
        now = newer.now()
        orders.give(newer, orders.Order(orders.OrderKind.FREEZE, "", (), "sale", "a", now, now + 60))
        newer.insert(
            "order",
            {
                "kind": "hurry", "target": "", "codes": "[]", "reason": "r", "actor": "a", "made_at": now,
                "expires_at": now + 60, "format": 99,
            },
        )  # fmt: skip

        assert [order.kind.value for order in older_orders.in_force(ledger, now)] == ["freeze"]
        assert [entry[1] for entry in older_orders.record_since(ledger, 0.0)] == ["transmogrify"]


def test_an_older_guard_works_with_columns_and_tables_of_tomorrow(each: Place) -> None:
    added = []
    try:
        for table in TOMORROW:
            each.query(f"ALTER TABLE {table} ADD COLUMN tomorrow_null varchar(20) NULL")
            each.query(f"ALTER TABLE {table} ADD COLUMN tomorrow varchar(20) DEFAULT 'x' NOT NULL")
            added.append(table)
        test_an_older_process_registers_renews_reports_and_leaves(each)
    finally:
        for table in added:
            each.query(f"ALTER TABLE {table} DROP COLUMN tomorrow_null")
            each.query(f"ALTER TABLE {table} DROP COLUMN tomorrow")


def test_a_newer_gate_judges_a_fleet_of_older_processes(each: Place) -> None:
    with each.ledger() as newer, older(each) as ledger:
        slated = newer.slate(step())
        ledger.register(older_registration("old"), OLDER_OLD, lease=LEASE)
        ledger.register(older_registration("new", release="r2"), OLDER_NEW, lease=LEASE)
        me = Taker(footprint=NEW, release="r2", actor="tests")

        def codes() -> set[str]:
            found = evidence.gather(newer, slated, evidence.read_fleet(newer), me)
            decided = verdict.decide(dataclasses.replace(found, applied=True), verdict.Policy(quiet_period=0.0))
            return {blocker.code for blocker in decided.blockers}

        assert codes() == {"live-instances", "old-code-never-seen", "rollback-window"}
        ledger.leave("old")
        assert codes() == {"rollback-window"}


def test_every_row_says_which_format_it_has(each: Place) -> None:
    with each.ledger() as newer, older(each) as ledger:
        newer.register(registration("new"), OLD, lease=LEASE)
        ledger.register(older_registration("old"), OLDER_OLD, lease=LEASE)

        assert dict(each.query("SELECT id, format FROM guard_instance")) == {
            "new": stored.FORMAT,
            "old": older_store.FORMAT,
        }
    assert rows.Instance is not older_rows.Instance
