"""Processes of old code under random faults while the gate tries to take their column, many of them in a second.

Here a process is a lease, its watch and its own connection, all in this one; the host's clock is the test's, and time
passes in the ledger as the test says. GUARD_TEST_SOAK rounds in all (default: 200), a third of them on each database,
as GUARD_TEST_SEED decides. Each time: no request fails because of guard, nothing is taken while one of them lives, what
was counted is in the ledger once, and the step is taken in the end.

Real signals, servers that are really restarted, and disks that are really full are `test_faults`' and `test_takers`':
they take seconds each, and servers that nobody else uses.
"""

from __future__ import annotations

import copy
import math
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.test import override_settings

from guard.attribution.watchlist import Access
from guard.gate import contract
from guard.ledger import connecting, rows
from guard.ledger.store import Ledger
from guard.runtime import clock, lease, process, watch
from guard.runtime.lease import Identity, Lease
from guard.schema import declared
from guard.schema.footprint import Column, Footprint
from sampleapp.stage import databases
from tests.acceptance.proxy import Proxy
from tests.integration.runtime import ordeal, private
from tests.integration.runtime.harness import Site, eventually

#: Seconds.
LEASE = 600.0
PROCESSES = 3

OLD = Footprint(
    {"stock_item": {**ordeal.NEW.tables["stock_item"], "old": Column("integer", False, False)}},
    frozenset({("stock", "0001_initial")}),
)
READ = "SELECT old{} FROM stock_item WHERE id = %s"


class Host:
    """Its clocks, as far as the test has moved them."""

    def __init__(self) -> None:
        self.passed = self.jumped = 0.0

    def read(self) -> clock.Reading:
        now = time.monotonic() + self.passed
        return clock.Reading(now, now, now + self.jumped)


class Cut:
    """Ends a session at one of its statements, before the server has it or before its answer has arrived."""

    def __init__(self, site: Site, at: int, *, answered: bool) -> None:
        self.site, self.left, self.answered = site, at, answered
        self.cut = False

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        self.left -= 1
        if self.left:
            return execute(sql, params, many, context)
        self.cut = True
        if self.answered:
            execute(sql, params, many, context)
            # On SQLite, a closed connection keeps its locks for as long as somebody has a statement of it.
            context["cursor"].close()
        sever(self.site, context["connection"])
        raise OperationalError("The connection was lost.")


def sever(site: Site, connection: BaseDatabaseWrapper) -> None:
    driver = connection.connection
    if connection.vendor == "postgresql":
        # It waits until the session is gone, with its locks.
        site.execute(f"SELECT pg_terminate_backend({driver.info.backend_pid}, 60000)")
    elif connection.vendor == "mysql":
        number = driver.thread_id()
        site.execute(f"KILL {number}")
        there = f"SELECT 1 FROM information_schema.processlist WHERE id = {number}"
        eventually("the session is gone, with its locks", lambda: not site.database.query(there))
    else:
        driver.close()


class Worker:
    """A process of old code."""

    def __init__(self, soak: Soak, alias: str) -> None:
        self.soak = soak
        self.alias = alias
        self.begin()

    def begin(self) -> None:
        """A new process, with an identity of its own."""
        self.eye = watch.eye(self.alias)
        self.eye.forget()
        self.lease = Lease(
            self.alias, Identity(uuid.uuid4().hex, rows.InstanceKind.SERVER, "web", False, "elsewhere", os.getpid())
        )
        me = process.Process()
        me.leases[self.alias] = self.lease
        self.eye.before_touch = me._before_touch(self.alias)
        self.carefully(self.lease.register)

    def carefully(self, work: Callable[[], object]) -> None:
        process._carefully(lambda: (work(), None)[1], self.alias)

    def beat(self) -> None:
        if not self.lease.ride():
            self.carefully(self.lease.beat)

    def settled(self) -> None:
        """It beats until the ledger has all that it knows, and it has all that the ledger knows."""
        for _ in range(3):
            self.beat()
            if self.live and not self.lease.lapsed() and not len(self.eye.sightings):
                return
        raise AssertionError(f"{self.lease.state}, lapsed: {self.lease.lapsed()}, unsent: {len(self.eye.sightings)}")

    def request(self, *, name: str = "") -> None:
        """It reads the column; only its own connection may fail it. `name`: a statement that nobody has seen before."""
        connection = connections[self.alias]
        self.soak.requests += 1
        connection.ensure_connection()
        # Counted before it is tried.
        self.soak.expected += self.eye.attributor is not None
        with connection.cursor() as cursor:
            cursor.execute(READ.format(f" AS {name}" if name else ""), [self.soak.requests])
            assert not cursor.fetchall()

    def fail(self) -> None:
        """A request that may fail, because its own session with the database is over; the next one has another."""
        try:
            self.request()
        except OperationalError:
            self.soak.failures += 1
        connections[self.alias].close()

    def leave(self) -> None:
        self.settled()
        self.lease.leave()
        self.eye.forget()

    @property
    def live(self) -> bool:
        return self.lease.state is rows.InstanceState.LIVE


class Soak:
    """The processes, and what befalls them."""

    def __init__(self, site: Site, host: Host, proxy: Proxy, aliases: list[str], taker: str, seed: int) -> None:
        self.site, self.host, self.proxy, self.taker = site, host, proxy, taker
        self.random = random.Random(seed)
        self.requests = self.failures = self.expected = 0
        self.told: list[str] = []
        self.last: contract.Attempt | None = None
        self.workers = [Worker(self, alias) for alias in aliases]

    def faults(self) -> list[Callable[[Worker], None]]:
        each = [
            *(self.lapsed, self.jumped, self.cut, self.cut, self.interrupted, self.renamed, self.killed),
            *(self.cloned, self.forgotten, self.restarted, self.everybody_leaves, self.everybody_leaves, self.held),
        ]
        if self.site.database.vendor == "sqlite":
            return [*each, self.full]
        return [*each, self.disconnected, self.away, self.read_only, self.crowded]

    def round(self) -> None:
        fault = self.random.choice(self.faults())
        self.told.append(fault.__name__)
        worker = self.random.choice(self.workers)
        for each in self.workers:
            each.request()
        fault(worker)
        for each in self.workers:
            each.request()
        self.random.choice(self.workers).settled()
        self.blocked()

    def take(self) -> contract.Outcome:
        with connecting.private(self.taker) as connection:
            return ordeal.take(connection)

    def blocked(self) -> None:
        """Nothing is taken while one of them lives."""
        assert self.take() is contract.Outcome.BLOCKED

    def pass_time(self, worker: Worker) -> None:
        """More than its lease, for a process that cannot renew meanwhile."""
        self.host.passed += LEASE + 1
        self.site.execute(
            f"UPDATE guard_instance SET renewed_at = renewed_at - {LEASE + 1}, expires_at = expires_at - {LEASE + 1} "
            f"WHERE id = '{worker.lease.identity.id}'"
        )

    def counted(self) -> int:
        return sum(sighting.count for sighting in self.site.sightings() if sighting.access is Access.READ)

    # Faults

    def lapsed(self, worker: Worker) -> None:
        """Stopped or frozen for longer than its lease, and resumed; the heartbeat may come before the next request."""
        worker.settled()
        self.pass_time(worker)
        assert worker.lease.lapsed()
        self.blocked()
        if self.random.random() < 0.5:
            worker.beat()
        else:
            worker.request()
        assert worker.live
        assert not worker.lease.lapsed()

    def jumped(self, worker: Worker) -> None:
        """Somebody sets the host's clock."""
        by = self.random.choice([-86_400.0, -LEASE / 2, LEASE / 2, 86_400.0])
        self.host.jumped += by
        worker.request()
        assert not worker.lease.lapsed()

    def cut(self, worker: Worker) -> None:
        """The session with the ledger is lost in the middle of a conversation."""
        worker.request()
        with self.cutting(worker):
            self.random.choice([worker.beat, worker.beat, lambda: worker.carefully(worker.lease.register)])()
        worker.request()

    def interrupted(self, worker: Worker) -> None:
        """The same, where its lease has run out, so that it registers."""
        worker.settled()
        self.pass_time(worker)
        with self.cutting(worker):
            worker.request()
        self.blocked()
        worker.request()

    def renamed(self, worker: Worker) -> None:
        """A table of the ledger is away."""
        table = self.random.choice(["instance", "sighting", "step"])
        worker.request()
        self.site.execute(f"ALTER TABLE guard_{table} RENAME TO elsewhere")
        try:
            worker.beat()
            worker.request()
        finally:
            self.site.execute(f"ALTER TABLE elsewhere RENAME TO guard_{table}")

    def held(self, worker: Worker) -> None:
        """A taker stands still while it has the locks that registrations and renewals need."""
        worker.settled()
        self.pass_time(worker)
        with connecting.private(self.taker) as connection:
            ledger = Ledger(connection)
            with ledger.transaction(lock_wait=60):
                ledger.gate(lock=True)
                ledger.instances(lock=[each.lease.identity.id for each in self.workers])
                # Its lease has run out, so that it asks for another one, and waits for that no longer than it may.
                worker.request()
        self.blocked()

    def full(self, worker: Worker) -> None:
        """The ledger has no room for what was seen."""
        worker.settled()
        # No page of it is free.
        self.site.execute("VACUUM")

        def fill(connection: BaseDatabaseWrapper, **_: object) -> None:
            if connecting.is_private(connection) and connection.alias == worker.alias:
                with connection.cursor() as cursor:
                    # No less than there are.
                    cursor.execute("PRAGMA max_page_count = 1")

        connection_created.connect(fill)
        try:
            worker.request(name=f"seen_{self.requests}")
            worker.beat()
            assert len(worker.eye.sightings)
            worker.request()
        finally:
            connection_created.disconnect(fill)

    def read_only(self, worker: Worker) -> None:
        """Who connects meanwhile may not write."""
        with self.reading_only():
            worker.request()
            worker.carefully(worker.lease.beat)
            worker.request()

    @contextmanager
    def reading_only(self) -> Iterator[None]:
        name, role = self.site.database.name, connections[self.workers[0].alias].settings_dict["USER"]
        if self.site.database.vendor == "mariadb":
            # Its own way is for the whole server.
            self.site.execute(f"REVOKE INSERT, UPDATE, DELETE ON {name}.* FROM {role}@'%'")
            yield
            self.site.execute(f"GRANT ALL ON {name}.* TO {role}@'%'")
            return
        self.site.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        try:
            yield
        finally:
            with self.site.connection() as connection, connection.cursor() as cursor:
                cursor.execute("SET default_transaction_read_only = off")
                cursor.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")

    def crowded(self, worker: Worker) -> None:
        """The application has every connection that it may have."""
        worker.settled()
        self.limit(len(self.workers))
        try:
            for each in self.workers:
                each.request()
            worker.carefully(worker.lease.beat)
            assert len(worker.eye.sightings)
            worker.request()
        finally:
            self.limit(None)
        # It makes way for a while.
        self.pass_time(worker)
        worker.request()

    def limit(self, number: int | None) -> None:
        role = connections[self.workers[0].alias].settings_dict["USER"]
        if self.site.database.vendor == "postgres":
            self.site.execute(f"ALTER ROLE {role} CONNECTION LIMIT {-1 if number is None else number}")
        else:
            self.site.execute(f"ALTER USER {role}@'%' WITH MAX_USER_CONNECTIONS {100 if number is None else number}")

    def away(self, worker: Worker) -> None:
        """The database is restarted, or cannot be reached for longer than a lease."""
        long = self.random.random() < 0.5
        self.proxy.cut()
        for each in self.workers:
            if self.random.random() < 0.5:
                each.beat()
            each.fail()
        self.blocked()
        if long:
            self.pass_time(worker)
            worker.carefully(worker.lease.beat)
            worker.fail()
            self.blocked()
        self.proxy.mend()
        worker.request()

    def disconnected(self, worker: Worker) -> None:
        """Its own session is ended: the next request may fail for that, unless a beat has found it out."""
        sever(self.site, connections[worker.alias])
        if self.random.random() < 0.5:
            worker.settled()
        worker.fail()

    def killed(self, worker: Worker) -> None:
        """Without a word, after it has flushed: it is lost, and blocks until somebody knows that it is gone."""
        worker.settled()
        self.pass_time(worker)
        gone = worker.lease.identity.id
        for other in self.workers:
            if other is not worker:
                other.leave()
        self.blocked()
        with self.site.ledger() as ledger:
            ledger.leave(gone)
        for each in self.workers:
            each.begin()

    def cloned(self, worker: Worker) -> None:
        """The machine is copied while it runs; the copy ends soon."""
        worker.settled()
        other = copy.copy(worker.lease)
        worker.carefully(other.beat)
        worker.beat()
        worker.settled()
        assert other.identity.id != worker.lease.identity.id
        worker.carefully(other.leave)

    def forgotten(self, worker: Worker) -> None:
        """A failover, or a restore, has lost its row, with all that was written after it: here, nothing was."""
        worker.settled()
        self.site.execute(f"DELETE FROM guard_instance WHERE id = '{worker.lease.identity.id}'")
        worker.request()
        worker.settled()

    def restarted(self, worker: Worker) -> None:
        worker.leave()
        worker.begin()

    def everybody_leaves(self, worker: Worker) -> None:
        """The gate takes the column; meanwhile it dies, or one of them comes back."""
        for each in self.workers:
            each.leave()
        assert self.counted() == self.expected
        came: list[Worker] = []

        def come() -> None:
            worker.begin()
            came.append(worker)

        def die() -> None:
            raise KeyboardInterrupt

        def rival() -> None:
            # While this one stands still.
            assert self.take() is not contract.Outcome.FAILED

        self.disturbed(self.random.choice([come, come, die, rival]))
        if came and worker.live:
            # It was admitted: then it has its column.
            worker.request()
            worker.settled()
            self.blocked()
            worker.leave()
        elif came:
            worker.lease.leave()
            worker.eye.forget()
        self.until_taken()
        for each in self.workers:
            each.begin()
            assert each.lease.state is rows.InstanceState.REFUSED
        with connecting.private(self.taker) as connection:
            contract.Contractor(connection, ordeal.CONFIG, ordeal.TAKER).restore(self.step())
        for each in self.workers:
            each.settled()

    def disturbed(self, disturb: Callable[[], None]) -> None:
        """A taker, and what happens before one of its statements."""
        left = self.random.randrange(1, 40)

        def at(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
            nonlocal left
            left -= 1
            if not left:
                disturb()
            return execute(sql, params, many, context)

        with connecting.private(self.taker) as connection:
            connection.execute_wrappers.append(at)
            try:
                ordeal.take(connection)
            except KeyboardInterrupt:
                # Where it had just begun, it has closed it itself.
                if connection.connection is not None:
                    sever(self.site, connection)

    def until_taken(self) -> None:
        """One attempt may have to settle what another one left; and some sessions end a moment after they were cut."""

        def taken() -> bool:
            with connecting.private(self.taker) as connection:
                (attempt,) = contract.Contractor(connection, ordeal.CONFIG, ordeal.TAKER).round(patience=0.0)
            self.last = attempt
            return self.step().state is rows.StepState.ASIDE

        try:
            eventually("it is taken", taken)
        except AssertionError as error:
            assert self.last is not None
            blockers = self.last.verdict.blockers if self.last.verdict else ()
            raise AssertionError(f"{error}: {self.last.outcome} {self.last.detail} {blockers}") from error

    def step(self) -> rows.Step:
        with self.site.ledger() as ledger:
            (step,) = ledger.steps()
            return step

    @contextmanager
    def cutting(self, worker: Worker) -> Iterator[None]:
        cut = Cut(self.site, self.random.randrange(1, 8), answered=self.random.random() < 0.5)

        def opened(connection: BaseDatabaseWrapper, **_: object) -> None:
            if connecting.is_private(connection) and connection.alias == worker.alias:
                connection.execute_wrappers.append(cut)

        connection_created.connect(opened)
        try:
            yield
        finally:
            connection_created.disconnect(opened)


@contextmanager
def role(site: Site) -> Iterator[Mapping[str, object]]:
    """Further settings of processes that are no administrators; a server lets those write and connect always."""
    if site.database.vendor == "sqlite":
        yield {}
        return
    name, database = f"guard_{uuid.uuid4().hex[:8]}", site.database.name
    if site.database.vendor == "postgres":
        grants = (
            f"CREATE ROLE {name} LOGIN",
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}",
            f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}",
        )
        drop = (f"DROP OWNED BY {name}", f"DROP ROLE {name}")
    else:
        # Connections are counted from the first one on that has a limit.
        grants = (
            f"CREATE USER {name}@'%' WITH MAX_USER_CONNECTIONS 100",
            f"GRANT ALL ON {database}.* TO {name}@'%'",
        )
        drop = (f"DROP USER {name}@'%'",)
    for sql in grants:
        site.execute(sql)
    try:
        yield {"USER": name}
    finally:
        for sql in drop:
            site.execute(sql)


def test_processes_outlive_random_faults(each_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = int(os.environ.get("GUARD_TEST_SEED", "1"))
    rounds = math.ceil(int(os.environ.get("GUARD_TEST_SOAK", "200")) / len(databases.VENDORS))
    host = Host()
    monkeypatch.setattr(clock, "read", host.read)
    monkeypatch.setattr(clock.Reading, "age", lambda reading: reading.elapsed(host.read()))
    monkeypatch.setattr(process, "INLINE_RETRY", 0.0)
    monkeypatch.setattr(lease, "settle", contract.settle_on)
    if each_site.database.vendor == "sqlite":
        monkeypatch.setattr(connecting, "LOCK_WAIT", 0.1)
    ordeal.slate(each_site)
    if each_site.database.vendor == "sqlite":
        private.weigh_down(each_site)
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(each_site.database.host or "127.0.0.1", int(each_site.database.port or 0)))
        # Off, because this process itself is none of them.
        stack.enter_context(override_settings(GUARD={"MODE": "off", "LEASE": LEASE, "RELEASE": "r1"}))
        taker = stack.enter_context(each_site.registered())
        each_site.changes = {"CONN_MAX_AGE": None, **stack.enter_context(role(each_site))}
        if each_site.database.vendor != "sqlite":
            each_site.changes["PORT"] = str(proxy.port)
        aliases = [stack.enter_context(each_site.registered()) for _ in range(PROCESSES)]
        for alias in aliases:
            monkeypatch.setitem(declared._footprints, alias, OLD)
            watch.install(connections[alias], alias)
            stack.callback(watch.eye(alias).forget)
        monkeypatch.setitem(declared._footprints, taker, ordeal.NEW)
        soak = Soak(each_site, host, proxy, aliases, taker, seed)
        for number in range(rounds):
            try:
                soak.round()
            except (AssertionError, DatabaseError) as error:
                told = ", ".join(soak.told[-5:])
                raise AssertionError(f"seed {seed}, round {number + 1}: {told}: {error}") from error
        for worker in soak.workers:
            worker.leave()
        # What was counted before its own session failed it, the ledger has as well.
        assert soak.counted() == soak.expected
        soak.until_taken()
    print(
        f"\n{each_site.database.vendor}, seed {seed}: {rounds} rounds, {soak.requests} requests, {soak.failures} "
        "failures, all of them of sessions that the server had ended"
    )
