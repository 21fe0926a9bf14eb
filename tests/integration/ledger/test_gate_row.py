"""The gate row's lock: registrations share it, whoever takes a step has it alone, and nobody waits for long."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import pytest
from django.db import DatabaseError, OperationalError

from guard import conf
from guard.gate import contract, evidence
from guard.gate.contract import Contractor, HeldUp
from guard.ledger import protocol, store, tables
from guard.ledger.rows import InstanceState, Step, StepKind, StepState
from guard.ledger.store import Ledger
from guard.ledger.tables import Conflict
from guard.steps.ddl import ddl_for
from sampleapp.stage.processes import until
from tests.integration.ledger.harness import (
    HANGS,
    LEASE,
    NEW,
    OLD,
    Place,
    glimpse,
    registration,
    step,
    together,
    turned,
    waited_too_long,
)

T = TypeVar("T")


def only_lock_timeouts(error: DatabaseError) -> None:
    """Raise it again, unless it says that a lock was not to be had in time."""
    if not contract.is_lock_timeout(error):
        raise error


def in_time(work: Callable[[], object]) -> None:
    """Again, until its locks are to be had in time, which on a busy machine may take more than one try. No deadlock."""
    while True:
        try:
            work()
            return
        except OperationalError as error:
            if not waited_too_long(error):
                raise


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
            with pytest.raises(DatabaseError) as refused:
                ledger.register(registration("a"), OLD, lease=LEASE)
            # The gate's lock is held until it has given up.
            assert contract.is_lock_timeout(refused.value)
        assert ledger.instances() == before
        assert ledger.register(registration("a"), OLD, lease=LEASE).state is InstanceState.LIVE


def test_the_gate_gives_up_where_its_lock_is_not_to_be_had(server: Place) -> None:
    with server.ledger() as one, server.ledger() as two, one.transaction():
        one._run(*one._lock_gate_shared(OLD))
        with pytest.raises(DatabaseError) as refused, two.transaction(lock_wait=0.4, limit=0.8):
            two.gate(lock=True)
        assert contract.is_lock_timeout(refused.value)
        # Nobody waits behind one that has given up.
        with server.ledger() as three:
            three.register(registration("a"), OLD, lease=LEASE)


def test_registrations_share_the_gate(server: Place) -> None:
    with server.ledger() as one, server.ledger() as two, one.transaction():
        one._run(*one._lock_gate_shared(OLD))
        two.register(registration("a"), OLD, lease=LEASE)


def test_a_renewal_does_not_wait_for_the_gate_nor_for_a_migration_that_slates(server: Place) -> None:
    with server.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        slated = ledger.slate(step())
        with gate_held(server) as gate:
            gate.save(slated, slated)
            gate.slate(step("other"))
            # Neither lets go until it is back.
            renewal = ledger.beat("a", lease=LEASE, watched_epoch=1, flush_no=1, glimpses=[glimpse()])
    assert renewal is not None
    assert renewal.epoch == 1


def test_registering_again_while_the_gate_waits_for_the_row_ends_in_no_deadlock(server: Place) -> None:
    with server.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=-1.0)
    barrier = threading.Barrier(2)

    def take() -> int:
        def lock(ledger: Ledger) -> None:
            with ledger.transaction(lock_wait=60, limit=60):
                ledger.gate(lock=True)
                ledger.instances(lock=["a"])

        with server.ledger() as ledger:
            for _ in range(20):
                barrier.wait(60)
                in_time(partial(lock, ledger))
            return 1

    def register() -> int:
        with server.ledger() as ledger:
            for _ in range(20):
                barrier.wait(60)
                in_time(lambda: ledger.register(registration("a"), OLD, lease=-1.0))
            return 1

    assert together([take, register]) == [1, 1]


def test_the_gate_sees_what_was_registered_while_it_waited(server: Place) -> None:
    """Under REPEATABLE READ, the default of MariaDB's servers, it would not."""
    locked, looked = threading.Event(), threading.Event()

    def take() -> int:
        with server.ledger() as ledger:
            assert locked.wait(60)
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
            assert looked.wait(60)
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
            # It holds the lock, and does not move before somebody else has got it.
            until("somebody registers", lambda: _try_to_register(ledger, "a"))
            paused.end_fresh()
        assert [instance.id for instance in ledger.instances()] == ["a"]
        # It can be used again, with the usual patience.
        assert paused.gate().environment == ""


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
        with server.ledger() as ledger, before_commit(ledger, lambda: all_hold_it.wait(60)):
            return ledger.register(registration(), OLD, lease=LEASE).state

    with server.ledger() as ledger:
        # Whoever comes first stores the footprint, which is no part of the registration's transaction.
        ledger.register(registration(), OLD, lease=LEASE)
        assert together([register] * FLEET) == [InstanceState.LIVE] * FLEET
        assert len(ledger.instances()) == FLEET + 1


def test_with_an_exclusive_lock_a_fleet_would_queue_for_the_gate(
    server: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_SHARED", tables.EXCLUSIVE)
    refused = []

    def register_another() -> None:
        with server.ledger() as two, pytest.raises(DatabaseError) as error:
            two.register(registration(), OLD, lease=LEASE)
        refused.append(contract.is_lock_timeout(error.value))

    with server.ledger() as one, before_commit(one, register_another):
        one.register(registration(), OLD, lease=LEASE)
    assert refused == [True]


# The race

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


def take(ledger: Ledger, *, aside: bool = True) -> bool:
    """Seal and, with `aside`, set aside, by the gate's own code; whether it was taken. Else old code was in time."""
    gate = Contractor(ledger.connection, AT_ONCE, evidence.Taker(footprint=NEW, release="r2", actor="tests"))
    (waiting,) = ledger.steps()
    try:
        sealed, decided = gate._seal(waiting, "token", "")
    except HeldUp:
        # The database ends the transaction of a gate that does not move.
        return False
    except DatabaseError as error:
        only_lock_timeouts(error)
        return False
    if sealed is None:
        assert {blocker.code for blocker in decided.blockers} <= {"live-instances", "rollback-window"}
        return False
    if aside:
        gate._run_ddl(sealed, "token")
    return True


def bring_back(ledger: Ledger) -> None:
    """The step waits again, and nobody runs who relies on it."""
    (taken,) = ledger.steps()
    if taken.state is StepState.ASIDE:
        ledger._run(f"ALTER TABLE shop_item RENAME COLUMN {taken.aside_name} TO old")
        turned(ledger, taken, StepState.WAITING, aside_name="", aside_at=None)
    elif taken.state is StepState.SEALED:
        ledger.save(taken, protocol.reopen(taken, "token", ledger.now()))
    gone = {"state": "gone", "ended_at": 1.0, "registered_at": 1.0}
    ledger.update("instance", gone, "digest = %s", [OLD.digest])


@contextmanager
def before_statement(ledger: Ledger, number: int, pause: Callable[[], Any]) -> Iterator[list[str]]:
    """Calls `pause` before the statement of that number, from 0; the statements."""
    seen: list[str] = []

    def look(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if len(seen) == number:
            seen.append(sql)
            pause()
        else:
            seen.append(sql)
        return execute(sql, params, many, context)

    with ledger.connection.execute_wrapper(look):
        yield seen


def waits_for_a_lock(watching: Ledger, session: int) -> bool:
    if watching.connection.vendor == "postgresql":
        return bool(watching._fetch("SELECT cardinality(pg_blocking_pids(%s)) > 0", [session])[0][0])
    sql = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = %s AND trx_state = 'LOCK WAIT'"
    return bool(watching._fetch(sql, [session]))


def race(place: Place, number: int, one: Callable[[Ledger], T], other: Callable[[Ledger], T]) -> tuple[T, T, bool]:
    """`one` stops before its statement of that number until `other` is done, or waits for a lock that `one` holds.

    What each came to, and whether there was such a statement.
    """
    sessions: list[int] = []

    def others() -> T:
        with place.ledger() as ledger:
            mine = "pg_backend_pid()" if place.vendor == "postgres" else "CONNECTION_ID()"
            sessions.append(ledger._fetch(f"SELECT {mine}")[0][0])
            return other(ledger)

    with ThreadPoolExecutor(1) as pool, place.ledger() as ledger, place.ledger() as watching:
        started: list[Future[T]] = []

        def pause() -> None:
            started.append(pool.submit(others))
            until(
                "the other one is done, or waits",
                lambda: started[0].done() or (bool(sessions) and waits_for_a_lock(watching, sessions[0])),
                every=0.01,
            )

        with before_statement(ledger, number, pause):
            mine = one(ledger)
        reached = bool(started)
        theirs = started[0].result(60) if reached else other(ledger)
    return mine, theirs, reached


def stopped_everywhere(place: Place, first: str) -> Counter[tuple[bool, InstanceState | None]]:
    """What both came to, each beside every statement of the other: whether it was taken, and as what was registered."""
    came_to: list[tuple[bool, InstanceState | None]] = []
    for number in itertools.count():
        register = partial(_try_to_register, name=f"old{number}")
        if first == "take":
            taken, state, reached = race(place, number, take, register)
        else:
            state, taken, reached = race(place, number, register, take)
        came_to.append((taken, state))
        with place.ledger() as ledger:
            bring_back(ledger)
        if not reached:
            break
    assert len(came_to) >= 3
    print(f"\n{place.vendor}, {first} first: {Counter(came_to)}")
    return Counter(came_to)


@pytest.mark.parametrize("first", ["take", "register"])
def test_nobody_registers_who_relies_on_what_is_being_taken(server: Place, slated: Step, first: str) -> None:
    """The race of a registration with the verdict, the seal and the DDL: each beside every statement of the other."""
    counted = stopped_everywhere(server, first)
    assert (True, InstanceState.LIVE) not in counted
    # Both have won now and then, or nothing was raced.
    assert counted[True, InstanceState.REFUSED]
    assert counted[False, InstanceState.LIVE]


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registrations that do not wait for whoever has the gate to itself."""
    monkeypatch.setattr(store, "_SHARED", dict.fromkeys(store._SHARED, ""))


def test_without_its_lock_somebody_registers_who_relies_on_what_is_being_taken(
    server: Place, slated: Step, unlocked: None
) -> None:
    assert stopped_everywhere(server, "take")[True, InstanceState.LIVE]


TRIALS = 200


@contextmanager
def side(place: Place) -> Iterator[Callable[[Callable[[Ledger], T]], Future[T]]]:
    """Starts work with a ledger, in a thread and on a connection that belong to one side of the race."""
    with ThreadPoolExecutor(1) as pool:
        opened = place.ledger()
        ledger = pool.submit(opened.__enter__).result(HANGS)
        try:
            yield lambda work: pool.submit(work, ledger)
        finally:
            pool.submit(opened.__exit__, None, None, None).result(HANGS)


def statements(work: Callable[[Ledger], object], ledger: Ledger) -> int:
    """How many statements it makes when it is alone."""
    with before_statement(ledger, -1, lambda: None) as seen:
        work(ledger)
    bring_back(ledger)
    return len(seen)


def meetings(place: Place, trials: int) -> Counter[tuple[bool, InstanceState | None]]:
    """What both came to in so many trials, in which nobody is stopped.

    In turn, one of them sets the other off before one of its own statements, or when it is done, and goes on: so each
    of them has every head start, however fast the machine is. What is sealed is nobody's any more: that it is set aside
    as well, which takes the most time, is tried now and then.
    """
    came_to: Counter[tuple[bool, InstanceState | None]] = Counter()
    with side(place) as taker, side(place) as registrant:
        lengths = [
            taker(partial(statements, partial(take, aside=False))).result(HANGS),
            registrant(partial(statements, partial(_try_to_register, name="alone"))).result(HANGS),
        ]
        for trial in range(trials):
            go = threading.Event()
            head_start = trial // 2 % (lengths[trial % 2] + 1)

            def lead(
                work: Callable[[Ledger], T], ledger: Ledger, go: threading.Event = go, head_start: int = head_start
            ) -> T:
                try:
                    with before_statement(ledger, head_start, go.set):
                        return work(ledger)
                finally:
                    go.set()

            def follow(work: Callable[[Ledger], T], ledger: Ledger, go: threading.Event = go) -> T:
                assert go.wait(HANGS)
                return work(ledger)

            register = partial(_try_to_register, name=f"old{trial}")
            first, second = (lead, follow) if trial % 2 == 0 else (follow, lead)
            taking = taker(partial(first, partial(take, aside=trial % 20 < 2)))
            registering = registrant(partial(second, register))
            came_to[taking.result(HANGS), registering.result(HANGS)] += 1
            taker(bring_back).result(HANGS)
    return came_to


def told(place: Place, counted: Counter[tuple[bool, InstanceState | None]]) -> str:
    """The trials in a line."""
    states: Counter[InstanceState | None] = Counter()
    taken = 0
    for (was_taken, state), times in counted.items():
        states[state] += times
        taken += times * was_taken
    return (
        f"{place.vendor}: {counted.total()} trials, taken {taken}, "
        f"registered {states[InstanceState.LIVE]}, refused {states[InstanceState.REFUSED]}, "
        f"timed out {states[None]}, bad {counted[True, InstanceState.LIVE]}"
    )


def test_nobody_registers_who_relies_on_what_is_taken_at_the_same_time(server: Place, slated: Step) -> None:
    """The same with nobody stopped, many times."""
    counted = meetings(server, TRIALS)
    print(f"\n{told(server, counted)}")
    assert counted.total() == TRIALS
    assert (True, InstanceState.LIVE) not in counted
    # Both have won now and then, or nothing was raced.
    assert counted[True, InstanceState.REFUSED]
    assert counted[False, InstanceState.LIVE]


def _try_to_register(ledger: Ledger, name: str) -> InstanceState | None:
    try:
        return ledger.register(registration(name), OLD, lease=LEASE).state
    except DatabaseError as error:
        only_lock_timeouts(error)
        return None


class Hindrance:
    """What the server does, once, to the gate's own transaction before it has written the seal."""

    def __init__(self, server: Place, connection: Any, how: str) -> None:
        self.server, self.connection, self.how = server, connection, how
        self.met = False

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        if self.met or not str(sql).startswith("UPDATE") or "guard_step" not in str(sql):
            return execute(sql, params, many, context)
        self.met = True
        if self.how == "session":
            _end_session(self.server, self.connection)
        else:
            # Longer than the server lets one of its statements take.
            execute(
                "SELECT pg_sleep(60)" if self.server.vendor == "postgres" else "SELECT SLEEP(60)", (), False, context
            )
        return execute(sql, params, many, context)


def _end_session(server: Place, connection: Any) -> None:
    if server.vendor == "postgres":
        # It waits until the session is gone, with its locks.
        server.query(f"SELECT pg_terminate_backend({connection.connection.info.backend_pid}, 60000)")
        return
    number = connection.connection.thread_id()
    server.query(f"KILL {number}")
    there = f"SELECT 1 FROM information_schema.processlist WHERE id = {number}"
    until("the session is gone, with its locks", lambda: not server.query(there))


@pytest.mark.parametrize("how", ["session", "statement"])
def test_a_gate_that_the_server_has_ended_is_busy_and_takes_it_at_its_next_try(
    server: Place, slated: Step, how: str
) -> None:
    with server.ledger() as ledger:
        gate = Contractor(ledger.connection, AT_ONCE, evidence.Taker(footprint=NEW, release="r2", actor="tests"))
        hindrance = Hindrance(server, ledger.connection, how)
        ledger.connection.execute_wrappers.append(hindrance)
        held_up = gate.take(slated)
        assert hindrance.met
        assert held_up.outcome is contract.Outcome.BUSY
        assert held_up.detail.startswith("This process was held up while it had the gate to itself (")
        # Nothing of it is left, and nobody waits behind it.
        assert ledger.steps() == (slated,)
        with server.ledger() as other:
            assert other.register(registration("old"), OLD, lease=LEASE).state is InstanceState.LIVE
            other.leave("old")
        (taken,) = gate.round(patience=0.0)
        assert taken.outcome is contract.Outcome.ASIDE
        bring_back(ledger)


@pytest.mark.parametrize("how", ["session", "statement"])
def test_a_whole_migration_whose_gate_the_server_has_ended_is_sealed_at_its_next_try(server: Place, how: str) -> None:
    with server.ledger() as ledger, server.ledger() as runs_on:
        ledger.register(registration("new"), NEW, lease=LEASE)
        held = ledger.slate(Step(0, StepKind.MIGRATION, StepState.WAITING, "shop", "0002_remove_old"))
        gate = Contractor(ledger.connection, AT_ONCE, evidence.Taker(footprint=NEW, release="r2", actor="tests"))
        hindrance = Hindrance(server, ledger.connection, how)
        ledger.connection.execute_wrappers.append(hindrance)
        sealed, token = gate.seal_migration(held, runs_on.connection)
        assert hindrance.met
        assert (sealed.state, sealed.token) == (StepState.SEALED, token)
        with server.ledger() as other:
            assert other.register(registration("old"), OLD, lease=LEASE).state is InstanceState.REFUSED
            # What guard's own session comes to proves nothing of the one in which the migration runs.
            _end_session(server, ledger.connection)
            looks = Contractor(other.connection, AT_ONCE, gate.me)
            assert looks.settle() == ()
            _end_session(server, runs_on.connection)
            (settled,) = looks.settle()
        assert settled.state is StepState.WAITING
