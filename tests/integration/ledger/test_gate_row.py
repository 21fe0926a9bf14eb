"""The gate row's lock: registrations share it, whoever takes a step has it alone, and nobody waits for long."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError

from guard import conf
from guard.gate import contract, evidence
from guard.gate.contract import Contractor
from guard.ledger import protocol, store
from guard.ledger.rows import InstanceState, Step, StepState
from guard.ledger.store import Conflict, Ledger
from guard.steps.ddl import ddl_for
from tests.integration.ledger.harness import (
    LEASE,
    NEW,
    OLD,
    Place,
    glimpse,
    registration,
    step,
    together,
    turned,
)


def only_lock_timeouts(error: DatabaseError) -> None:
    """Raise it again, unless it says that a lock was not to be had in time."""
    if not contract.is_lock_timeout(error):
        raise error


@contextmanager
def gate_held(place: Place) -> Iterator[Ledger]:
    """The gate row's lock, held exclusively."""
    with place.ledger() as ledger, ledger.transaction():
        ledger.gate(lock=True)
        yield ledger


def test_a_registration_waits_a_second_behind_the_gate_and_then_fails_whole(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("other"), OLD, lease=LEASE)
        before = ledger.instances()
        with gate_held(each):
            began = time.monotonic()
            with pytest.raises(DatabaseError) as refused:
                ledger.register(registration("a"), OLD, lease=LEASE)
            waited = time.monotonic() - began
            assert contract.is_lock_timeout(refused.value)
        assert 0.5 < waited < 2.5
        assert ledger.instances() == before
        assert ledger.register(registration("a"), OLD, lease=LEASE).state is InstanceState.LIVE


def test_the_gate_gives_up_where_its_lock_is_not_to_be_had(server: Place) -> None:
    with server.ledger() as one, server.ledger() as two, one.transaction():
        one._run(*one._lock_gate_shared(OLD))
        began = time.monotonic()
        with pytest.raises(DatabaseError) as refused, two.transaction(lock_wait=0.4, limit=0.8):
            two.gate(lock=True)
        assert contract.is_lock_timeout(refused.value)
        assert time.monotonic() - began < 2.5
        # Nobody waits behind one that has given up.
        with server.ledger() as three:
            three.register(registration("a"), OLD, lease=LEASE)


def test_registrations_share_the_gate(server: Place) -> None:
    with server.ledger() as one, server.ledger() as two, one.transaction():
        one._run(*one._lock_gate_shared(OLD))
        began = time.monotonic()
        two.register(registration("a"), OLD, lease=LEASE)
    assert time.monotonic() - began < 0.9


def test_a_renewal_does_not_wait_for_the_gate_nor_for_a_migration_that_slates(server: Place) -> None:
    with server.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        slated = ledger.slate(step())
        with gate_held(server) as gate:
            gate.save(slated, slated)
            gate.slate(step("other"))
            began = time.monotonic()
            renewal = ledger.beat("a", lease=LEASE, watched_epoch=1, flush_no=1, glimpses=[glimpse()])
            waited = time.monotonic() - began
    assert renewal is not None
    assert renewal.epoch == 1
    assert waited < 0.9


def test_registering_again_while_the_gate_waits_for_the_row_ends_in_no_deadlock(server: Place) -> None:
    with server.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=-1.0)
    barrier = threading.Barrier(2)

    def take() -> int:
        with server.ledger() as ledger:
            for _ in range(20):
                barrier.wait(30)
                with ledger.transaction(lock_wait=0.4, limit=0.8):
                    ledger.gate(lock=True)
                    ledger.instances(lock=["a"])
            return 1

    def register() -> int:
        with server.ledger() as ledger:
            for _ in range(20):
                barrier.wait(30)
                ledger.register(registration("a"), OLD, lease=-1.0)
            return 1

    assert together([take, register]) == [1, 1]


def test_the_gate_sees_what_was_registered_while_it_waited(server: Place) -> None:
    """Under REPEATABLE READ, the default of MariaDB's servers, it would not."""
    locked, looked = threading.Event(), threading.Event()

    def take() -> int:
        with server.ledger() as ledger:
            assert locked.wait(30)
            with ledger.transaction():
                # A snapshot, where this transaction would keep one.
                assert ledger.instances() == ()
                looked.set()
                ledger.gate(lock=True)
                return len(ledger.instances())

    def register() -> int:
        with server.ledger() as ledger, ledger.transaction():
            ledger._run(*ledger._lock_gate_shared(OLD))
            locked.set()
            assert looked.wait(30)
            ledger.insert("instance", _row(ledger))
            return 0

    assert together([take, register]) == [1, 0]


def _row(ledger: Ledger) -> dict[str, Any]:
    return {
        "id": "late",
        "release_label": "r1",
        "digest": OLD.digest,
        "kind": "server",
        "workload": "web",
        "host": "h",
        "pid": 1,
        "state": "live",
        "registered_at": 1.0,
        "renewed_at": 1.0,
        "expires_at": 2.0,
    }


def test_a_gate_that_was_paused_is_ended_by_the_server(server: Place) -> None:
    with server.ledger() as paused, server.ledger() as ledger:
        with pytest.raises(DatabaseError), paused.transaction(lock_wait=0.4, limit=0.8):  # noqa: PT012
            paused.gate(lock=True)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                try:
                    ledger.register(registration("a"), OLD, lease=LEASE)
                    break
                except DatabaseError as error:
                    only_lock_timeouts(error)
            waited = time.monotonic() - deadline + 10
            paused.end_fresh()
        assert [instance.id for instance in ledger.instances()] == ["a"]
        # It can be used again, with the usual patience.
        assert paused.gate().environment == ""
    assert waited < 4


def test_what_bounds_the_gate_on_mariadb_does_not_bound_what_comes_after_it(mariadb: Place) -> None:
    with mariadb.ledger() as ledger:
        usual = ledger._fetch("SELECT @@wait_timeout, @@max_statement_time, @@innodb_lock_wait_timeout")
        with ledger.transaction(limit=0.8):
            ((wait, longest, _),) = ledger._fetch(
                "SELECT @@wait_timeout, @@max_statement_time, @@innodb_lock_wait_timeout"
            )
        assert (wait, float(longest)) == (1, 1.5)
        assert ledger._fetch("SELECT @@wait_timeout, @@max_statement_time, @@innodb_lock_wait_timeout") == usual


def test_of_two_writers_of_one_step_one_is_told(each: Place) -> None:
    with each.ledger() as one, each.ledger() as two:
        slated = one.slate(step())
        turned(one, slated, StepState.SEALED, token="t")
        with pytest.raises(Conflict):
            turned(two, slated, StepState.WITHDRAWN)
        (found,) = one.steps()
    assert (found.state, found.token) == (StepState.SEALED, "t")


# Many at once

FLEET = 12


@contextmanager
def before_commit(ledger: Ledger, pause: Callable[[], Any]) -> Iterator[None]:
    """Calls `pause` in each transaction of the ledger's, when all its locks are held and it is about to commit."""
    paused = 0

    def look(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal paused
        # On PostgreSQL its last statement is sent with it.
        if sql.endswith("COMMIT") and not sql.startswith("BEGIN"):
            paused += 1
            pause()
        return execute(sql, params, many, context)

    with ledger.connection.execute_wrapper(look):
        yield
    assert paused


def test_a_fleet_that_starts_at_once_does_not_queue_for_the_gate(server: Place) -> None:
    # Passed only by all of them together, each of which has registered and holds its lock.
    all_hold_it = threading.Barrier(FLEET)

    def register() -> InstanceState:
        with server.ledger() as ledger, before_commit(ledger, lambda: all_hold_it.wait(30)):
            return ledger.register(registration(), OLD, lease=LEASE).state

    with server.ledger() as ledger:
        # Whoever comes first stores the footprint, which is no part of the registration's transaction.
        ledger.register(registration(), OLD, lease=LEASE)
        assert together([register] * FLEET) == [InstanceState.LIVE] * FLEET
        assert len(ledger.instances()) == FLEET + 1


def test_with_an_exclusive_lock_a_fleet_would_queue_for_the_gate(
    server: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_SHARED", store._EXCLUSIVE)
    refused = []

    def register_another() -> None:
        with server.ledger() as two, pytest.raises(DatabaseError) as error:
            two.register(registration(), OLD, lease=LEASE)
        refused.append(contract.is_lock_timeout(error.value))

    with server.ledger() as one, before_commit(one, register_another):
        one.register(registration(), OLD, lease=LEASE)
    assert refused == [True]


# The race

TRIALS = 200

#: Nothing to wait for: each trial is about the lock alone.
AT_ONCE = conf.Config(
    lost_grace=0.0, quiet_period=0.0, rollback_window=0.0, adoption_period=0.0, workload_window=0.0, keep_for=3600.0
)


@pytest.fixture
def slated(server: Place) -> Iterator[Step]:
    """A relaxed column that waits to be taken, and a new release that is at work."""
    server.query("CREATE TABLE shop_item (id bigint PRIMARY KEY, old integer NULL)")
    server.query("INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0002_remove_old', '2024-01-01')")
    with server.ledger() as ledger:
        ledger.connection.ensure_connection()
        facts = ddl_for(ledger.connection, lambda sql, params: None).facts("shop_item", "old")
        assert facts is not None
        payload = {"found": facts.to_json(), "left": facts.to_json()}
        slated = ledger.slate(step(payload=payload))
        ledger.register(registration("new"), NEW, lease=LEASE)
    yield slated
    server.query("DROP TABLE shop_item")
    server.query("DELETE FROM django_migrations WHERE app = 'shop'")


class Taker:
    """One side of the race: seals and sets aside, by the gate's own code."""

    def __init__(self, ledger: Ledger, slated: Step) -> None:
        self.gate = Contractor(ledger.connection, AT_ONCE, evidence.Taker(footprint=NEW, release="r2", actor="tests"))
        self.step = slated

    def take(self, *, aside: bool) -> bool:
        """Whether it was taken: sealed, and with `aside` set aside under its seal. Else old code was in time."""
        try:
            sealed, decided = self.gate._seal(self.step, "token", "")
        except DatabaseError as error:
            only_lock_timeouts(error)
            return False
        if sealed is None:
            assert {blocker.code for blocker in decided.blockers} <= {"live-instances", "rollback-window"}
            return False
        self.step = self.gate._run_ddl(sealed, "token") if aside else sealed
        return True

    def bring_back(self) -> None:
        if self.step.state is StepState.SEALED:
            now = self.gate.ledger.now()
            self.step = self.gate.ledger.save(self.step, protocol.reopen(self.step, "token", now))
        elif self.step.state is StepState.ASIDE:
            self.gate._execute(f"ALTER TABLE shop_item RENAME COLUMN {self.step.aside_name} TO old", None)
            self.step = turned(self.gate.ledger, self.step, StepState.WAITING, aside_name="", aside_at=None)


def test_nobody_registers_who_relies_on_what_is_being_taken(server: Place, slated: Step) -> None:
    """The race of a registration with the verdict, the seal and the DDL."""
    barrier = threading.Barrier(2, timeout=30)
    chance = random.Random(1)
    # How long each side takes until its lock depends on the machine: whoever is late starts earlier next time.
    head_start = 0.0

    def take() -> list[bool]:
        taken = []
        with server.ledger() as ledger:
            taker = Taker(ledger, slated)
            for number in range(TRIALS):
                barrier.wait()
                time.sleep(max(0.0, -head_start))
                # The race is over the seal; that the DDL follows is tried now and then.
                taken.append(taker.take(aside=number % 10 == 0))
                barrier.wait()
                taker.bring_back()
        return taken

    def register() -> list[InstanceState | None]:
        nonlocal head_start
        states: list[InstanceState | None] = []
        with server.ledger() as ledger:
            for number in range(TRIALS):
                barrier.wait()
                time.sleep(max(0.0, head_start))
                states.append(_try_to_register(ledger, f"old{number}"))
                barrier.wait()
                head_start += chance.uniform(0.0, 0.004) * (1 if states[-1] is InstanceState.LIVE else -1)
                gone = {"state": "gone", "ended_at": 1.0, "registered_at": 1.0}
                ledger.update("instance", gone, "id = %s", [f"old{number}"])
        return states

    taken, states = together([take, register])
    bad = [n for n in range(TRIALS) if taken[n] and states[n] is InstanceState.LIVE]
    print(
        f"\n{server.vendor}: {TRIALS} trials, taken {sum(taken)}, registered "
        f"{sum(s is InstanceState.LIVE for s in states)}, refused {sum(s is InstanceState.REFUSED for s in states)}, "
        f"timed out {states.count(None)}, bad {len(bad)}"
    )
    assert not bad
    # Both have to win now and then, or nothing was raced.
    assert TRIALS / 10 < sum(taken) < TRIALS * 9 / 10
    assert states.count(InstanceState.LIVE) > TRIALS / 10


def _try_to_register(ledger: Ledger, name: str) -> InstanceState | None:
    try:
        return ledger.register(registration(name), OLD, lease=LEASE).state
    except DatabaseError as error:
        only_lock_timeouts(error)
        return None
