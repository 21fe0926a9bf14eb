"""A failover or a restore lost the ledger's last writes: who is there registers again, the catalog settles the rest."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator

import pytest

from guard.gate import contract
from guard.gate.contract import Outcome
from guard.gate.orders import Desk
from guard.ledger.rows import Admission, InstanceKind, InstanceState, StepState
from guard.ledger.store import InstanceMissing, Ledger
from guard.runtime import watch
from guard.runtime.lease import Identity, Lease
from guard.steps import leftover
from tests.integration.ledger.harness import LEASE, OLD, Place, desk, glimpse, registration, step, turned


@pytest.fixture
def lease(each: Place) -> Iterator[Lease]:
    """This process, registered."""
    identity = Identity(uuid.uuid4().hex, InstanceKind.SERVER, "web", False, "host", 1)
    made = Lease(each.alias, identity)
    made.register()
    yield made
    watch.eye(each.alias).forget()


def forget(place: Place) -> None:
    """The ledger as it was before anybody registered."""
    with place.ledger() as ledger:
        ledger._run("DELETE FROM guard_instance")


def test_a_process_whose_row_was_lost_registers_again_at_its_next_beat(each: Place, lease: Lease) -> None:
    forget(each)

    lease.beat()

    assert lease.state is InstanceState.LIVE
    with each.ledger() as ledger:
        assert [(i.id, i.state) for i in ledger.instances()] == [(lease.identity.id, InstanceState.LIVE)]


def test_one_that_is_looked_at_again_while_its_row_is_lost_registers_again(
    each: Place, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Ledger.readmit
    asked = []

    def readmit(self: Ledger, instance: str, footprint: object, *, lease: float) -> Admission:
        if not asked:
            # After its renewal, before it is looked at.
            forget(each)
        asked.append(instance)
        return usual(self, instance, footprint, lease=lease)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "readmit", readmit)
    with each.ledger() as ledger:
        ledger.update("instance", {"state": InstanceState.REFUSED.value}, "id = %s", [lease.identity.id])

    lease.beat()

    assert asked == [lease.identity.id]
    assert lease.state is InstanceState.LIVE
    with each.ledger() as ledger:
        assert [i.id for i in ledger.instances()] == [lease.identity.id]


def test_what_was_sent_under_the_lost_row_is_counted_once_more_only_if_it_was_lost_too(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.slate(step())
        ledger.register(registration("a"), OLD, lease=LEASE)
        ledger.beat("a", lease=LEASE, watched_epoch=1, flush_no=1, glimpses=[glimpse()])
        # Both were written after the moment that was restored.
        ledger._run("DELETE FROM guard_instance")
        ledger._run("DELETE FROM guard_sighting")
        assert ledger.beat("a", lease=LEASE, watched_epoch=1, flush_no=1, glimpses=[glimpse()]) is None
        with pytest.raises(InstanceMissing):
            ledger.readmit("a", OLD, lease=LEASE)

        ledger.register(registration("a"), OLD, lease=LEASE, unflushed=True)
        for _ in range(2):
            assert ledger.beat("a", lease=LEASE, watched_epoch=1, flush_no=1, glimpses=[glimpse()])

        assert [s.count for s in ledger.sightings("shop_item", "old")] == [1]


def lost(at: Desk) -> None:
    """The seal is not in the ledger that was restored."""
    at.ledger.update("step", {"state": "waiting", "token": "", "sealer": "", "version": 1}, "id > %s", [0])


def test_a_taker_whose_seal_was_lost_takes_nothing(table: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with desk(table) as at:
        usual = contract.Contractor._held

        def held(self: contract.Contractor, *args: object) -> object:
            with desk(table) as other:
                lost(other)
            return usual(self, *args)  # type: ignore[arg-type]

        if table.vendor == "sqlite":
            # One writer at a time: it is lost before the transaction of the DDL.
            def run_ddl(self: contract.Contractor, *args: object) -> object:
                lost(at)
                return usual_ddl(self, *args)  # type: ignore[arg-type]

            usual_ddl = contract.Contractor._run_ddl
            monkeypatch.setattr(contract.Contractor, "_run_ddl", run_ddl)
        else:
            monkeypatch.setattr(contract.Contractor, "_held", held)
        (waiting,) = at.gate.due()
        allow_all(at)

        attempt = at.gate.take(waiting)

        assert attempt.outcome is Outcome.BUSY
        assert at.gate.ddl.facts("shop_item", "old") is not None
        assert [s.state for s in at.ledger.steps()] == [StepState.WAITING]


def allow_all(at: Desk) -> None:
    """Whatever holds the step up is waived: it is the lost writes that this is about."""
    (waiting,) = at.ledger.steps()
    codes = [blocker.code for blocker in at.gate.judge(waiting).blockers]
    if codes:
        at.allow("shop_item.old", codes, reason="a test", expires="1h", pending=())


def test_a_seal_whose_ddl_was_lost_waits_again(table: Place) -> None:
    with desk(table) as at:
        (waiting,) = at.ledger.steps()
        turned(at.ledger, waiting, StepState.SEALED, token="t", sealer="0 0", sealed_at=1.0)

        at.gate.settle()

        assert [s.state for s in at.ledger.steps()] == [StepState.WAITING]


def test_a_seal_whose_migration_is_not_recorded_any_more_is_withdrawn(table: Place) -> None:
    with desk(table) as at:
        (waiting,) = at.ledger.steps()
        turned(at.ledger, waiting, StepState.SEALED, token="t", sealer="0 0", sealed_at=1.0)
        with at.ledger.connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE app = 'shop'")

        at.gate.settle()

        assert [s.state for s in at.ledger.steps()] == [StepState.WITHDRAWN]
        assert at.gate.ddl.facts("shop_item", "old") is not None


def test_a_column_that_is_set_aside_though_its_step_waits_is_found_so(table: Place) -> None:
    """The ledger's tables were restored alone, from before the step was taken."""
    with desk(table) as at:
        (waiting,) = at.ledger.steps()
        allow_all(at)
        assert at.gate.take(waiting).outcome is Outcome.ASIDE
        (aside,) = at.ledger.steps()
        before = dataclasses.replace(waiting, version=aside.version)
        at.ledger.save(aside, before)
        name = leftover.aside_name(before, at.ledger.connection.ops.max_name_length())
        assert at.gate.ddl.facts("shop_item", "old") is None

        attempt = at.gate.take(before)

        assert attempt.outcome is Outcome.RECONCILED
        (after,) = at.ledger.steps()
        assert (after.state, after.aside_name) == (StepState.ASIDE, name)
        assert at.gate.restore(after).state is StepState.WAITING
        assert at.gate.ddl.facts("shop_item", "old") is not None
