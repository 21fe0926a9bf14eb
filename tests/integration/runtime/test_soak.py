"""One fault after another against a server of old code, in random order, while the gate tries to take its column.

GUARD_TEST_SOAK rounds on each database (default: each fault once), in an order that GUARD_TEST_SEED decides. Each time:
no request fails or waits because of guard, nothing is taken while the server lives, what was counted is in the ledger
once, and the step is taken in the end.
"""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from django.db import DatabaseError, OperationalError

from guard import conf
from guard.attribution.watchlist import Access
from guard.gate import contract, evidence
from guard.ledger import rows
from guard.schema.footprint import Column, Footprint
from tests.acceptance.proxy import Proxy
from tests.integration.runtime.harness import Server, Site, eventually

#: Seconds: no fault ends before the requests beside it have come back, so one that waits for its end never does.
HANGS = 30.0
LEASE = 2.0

CONFIG = conf.Config(quiet_period=0.0, rollback_window=0.0, adoption_period=0.0, lock_patience=0.0)
NEW = Footprint(
    {"stock_item": {"id": Column("bigint", False, False), "name": Column("varchar(50)", False, False)}},
    frozenset({("stock", "0001_initial"), ("stock", "0002_remove_item_old")}),
)
TAKER = evidence.Taker(footprint=NEW, release="r2", actor="tests")


class Soak:
    """The server, and what befalls it."""

    def __init__(self, site: Site, proxy: Proxy | None, seed: int) -> None:
        self.site = site
        self.proxy = proxy
        self.random = random.Random(seed)
        self.requests = self.failures = 0
        self.slate()
        self.server: Server = site.gunicorn("--threads", "1")

    def slate(self) -> None:
        """As `migrate` of the new code leaves it."""
        step = self.site.slate()
        applied = "('stock', '0002_remove_item_old', '2026-01-01')"
        self.site.execute(f"INSERT INTO django_migrations (app, name, applied) VALUES {applied}")
        with self.site.connection() as connection:
            gate = contract.Contractor(connection, CONFIG, TAKER)
            facts = gate.ddl.facts("stock_item", "old")
            assert facts is not None
            payload = {"found": facts.to_json(), "left": facts.to_json()}
            gate.ledger.save(step, dataclasses.replace(step, payload=payload, version=step.version + 1))

    def faults(self) -> list[Callable[[], None]]:
        each = [self.stopped, self.killed, self.flatlined, self.locked, self.away]
        if self.proxy is not None:
            each += [self.disconnected, self.cut]
        if self.site.database.vendor == "postgres":
            each.append(self.read_only)
        return each

    def pid(self) -> int:
        return int(self.server.get("/pid/")[1])

    def read(self) -> bool:
        """One request that touches the column; whether it succeeded."""
        started = time.monotonic()
        status = self.server.get(f"/reads/{self.requests}/")[0]
        assert time.monotonic() - started < HANGS, "a request waited"
        self.requests += 1
        self.failures += status != 200
        return status == 200

    def counted(self) -> int:
        return sum(sighting.count for sighting in self.site.sightings() if sighting.access is Access.READ)

    def take(self) -> contract.Outcome:
        """Try to take the column, as the new code."""
        with self.site.connection() as connection:
            (attempt,) = contract.Contractor(connection, CONFIG, TAKER).round(patience=0.0)
            return attempt.outcome

    def refused(self) -> None:
        assert self.take() in (contract.Outcome.BLOCKED, contract.Outcome.LOCKED, contract.Outcome.BUSY)

    # Faults. Each leaves the server whole.

    def stopped(self) -> None:
        """For longer than its lease, and resumed."""
        pid = self.pid()
        self.site.freeze(pid)
        with self.site.ledger() as ledger:
            eventually("it is lost", lambda: not any(row.live(ledger.now()) for row in self.mine(pid)))
        self.refused()
        os.kill(pid, signal.SIGCONT)

    def killed(self) -> None:
        """Without a word; gunicorn starts another one."""
        eventually("all is flushed", lambda: self.counted() >= self.requests - self.failures)
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        eventually("another one serves", lambda: self.pid() != pid)

    def flatlined(self) -> None:
        """Its heartbeat's thread dies; requests go on."""
        assert self.server.get("/flatline/") == (200, "dead")

    def locked(self) -> None:
        """Somebody holds the locks that registrations and renewals need, and does not move."""
        with self.holding():
            deadline = time.monotonic() + LEASE
            while time.monotonic() < deadline:
                assert self.read()
                time.sleep(0.2)

    def away(self) -> None:
        """The ledger cannot be written."""
        self.site.execute("ALTER TABLE guard_instance RENAME TO elsewhere")
        try:
            for _ in range(3):
                assert self.read()
                time.sleep(0.3)
        finally:
            self.site.execute("ALTER TABLE elsewhere RENAME TO guard_instance")

    def read_only(self) -> None:
        """The database takes no writes, as while its disk is full or a standby is promoted."""
        self.site.execute(f"ALTER DATABASE {self.site.database.name} SET default_transaction_read_only = on")
        try:
            for _ in range(3):
                assert self.read()
                time.sleep(0.3)
        finally:
            with self.site.connection() as connection, connection.cursor() as cursor:
                cursor.execute("SET default_transaction_read_only = off")
                cursor.execute(f"ALTER DATABASE {self.site.database.name} RESET default_transaction_read_only")

    def disconnected(self) -> None:
        """The server of the database ends every session."""
        if self.site.database.vendor == "postgres":
            self.site.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return
        others = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        for (number,) in self.site.database.query(others):
            # One that has gone by itself is not there any more.
            with suppress(OperationalError):
                self.site.execute(f"KILL {number}")

    def cut(self) -> None:
        """The database cannot be reached for longer than the lease."""
        assert self.proxy is not None
        self.proxy.cut()
        deadline = time.monotonic() + LEASE
        while time.monotonic() < deadline:
            started = time.monotonic()
            assert self.server.get("/pid/")[0] == 200
            assert time.monotonic() - started < HANGS
            time.sleep(0.2)
        self.refused()
        # On its own account: there is no database.
        assert not self.read()
        self.proxy.mend()

    @contextmanager
    def holding(self) -> Iterator[None]:
        with self.site.connection() as connection:
            ledger = contract.Ledger(connection)
            ids = [row.id for row in ledger.instances()]
            with ledger.transaction(lock_wait=60):
                ledger.gate(lock=True)
                ledger.instances(lock=ids)
                yield

    def mine(self, pid: int) -> list[rows.Instance]:
        return [row for row in self.site.live() if row.pid == pid]

    def whole(self) -> None:
        """After each round: it serves, it is live again, and its column is there."""
        assert self.read()
        self.refused()
        pid = self.pid()
        with self.site.ledger() as ledger:

            def live() -> bool:
                self.read()
                return any(row.live(ledger.now()) for row in self.mine(pid))

            eventually("it is live", live)
        # It hears of that a moment after the ledger has it.
        eventually("it is ready", self.server.ready)


def test_a_server_outlives_every_fault(each_site: Site) -> None:
    seed = int(os.environ.get("GUARD_TEST_SEED", "1"))
    server = each_site.database.vendor != "sqlite"
    each_site.guard["LEASE"], each_site.beat = LEASE, None
    with Proxy(each_site.database.host or "127.0.0.1", int(each_site.database.port or 0)) as proxy:
        if server:
            each_site.changes = {"PORT": str(proxy.port)}
        soak = Soak(each_site, proxy if server else None, seed)
        with each_site.ledger() as ledger:
            me = rows.Registration(uuid.uuid4().hex, "r2", rows.InstanceKind.SERVER, "web", False, "host", 1)
            ledger.register(me, NEW, lease=3_600.0)
            epoch = ledger.epoch()
            ledger.beat(me.id, lease=3_600.0, watched_epoch=epoch, flush_no=0)
        soak.whole()
        faults = soak.faults()
        rounds = int(os.environ.get("GUARD_TEST_SOAK", "0")) or len(faults)
        told = []
        for number in range(rounds):
            if number % len(faults) == 0:
                soak.random.shuffle(faults)
            fault = faults[number % len(faults)]
            told.append(fault.__name__)
            try:
                fault()
                soak.whole()
            except (AssertionError, DatabaseError) as error:
                log = soak.server.running.text[-3000:]
                raise AssertionError(
                    f"seed {seed}, round {number + 1}: {', '.join(told[-5:])}: {error}\n{log}"
                ) from error
        assert soak.server.running.stop() == 0
        outages = told.count("cut")
        assert soak.failures == outages
        # A statement that failed for want of a connection may have been counted as well.
        assert 0 <= soak.counted() - (soak.requests - soak.failures) <= outages
        eventually("the step is taken", lambda: soak.take() is contract.Outcome.ASIDE)
        print(
            f"\n{each_site.database.vendor}, seed {seed}: {rounds} rounds, {soak.requests} requests, "
            f"{soak.failures} failures, all of them while there was no database"
        )
