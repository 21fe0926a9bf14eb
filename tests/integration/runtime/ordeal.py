"""A server of old code, the gate that tries to take its column, and what befalls both."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from guard import conf
from guard.attribution.watchlist import Access
from guard.gate import contract, evidence
from guard.ledger import rows
from guard.ledger.store import Ledger
from guard.schema.footprint import Column, Footprint
from tests.acceptance.proxy import Proxy
from tests.integration.runtime.harness import Server, Site, eventually

#: Seconds.
LEASE = 2.0

CONFIG = conf.Config(quiet_period=0.0, rollback_window=0.0, adoption_period=0.0, lock_patience=0.0)
#: What new code declares.
NEW = Footprint(
    {"stock_item": {"id": Column("bigint", False, False), "name": Column("varchar(50)", False, False)}},
    frozenset({("stock", "0001_initial"), ("stock", "0002_remove_item_old")}),
)
TAKER = evidence.Taker(footprint=NEW, release="r2", actor="tests")
#: The migration that new code has, and old code lacks.
WHOLE = ("stock", "0002_remove_item_old")


def slate(site: Site) -> rows.Step:
    """As `migrate` of the new code leaves it, with an instance of the new code that goes on serving."""
    step = site.slate()
    applied = "('stock', '0002_remove_item_old', '2026-01-01')"
    site.execute(f"INSERT INTO django_migrations (app, name, applied) VALUES {applied}")
    with site.connection() as connection:
        gate = contract.Contractor(connection, CONFIG, TAKER)
        facts = gate.ddl.facts("stock_item", "old")
        assert facts is not None
        payload = {"found": facts.to_json(), "left": facts.to_json()}
        step = gate.ledger.save(step, dataclasses.replace(step, payload=payload, version=step.version + 1))
        arrive(gate.ledger)
    return step


def arrive(ledger: Ledger) -> str:
    """An instance of the new code, on another host, for as long as the test takes; its id."""
    me = rows.Registration(uuid.uuid4().hex, "r2", rows.InstanceKind.SERVER, "web", False, "host", 1)
    ledger.register(me, NEW, lease=36_000.0)
    ledger.beat(me.id, lease=36_000.0, watched_epoch=ledger.epoch(), flush_no=0)
    return me.id


def take(connection: BaseDatabaseWrapper) -> contract.Outcome:
    """Try to take the column, as the new code."""
    (attempt,) = contract.Contractor(connection, CONFIG, TAKER).round(patience=0.0)
    return attempt.outcome


def erase(connection: BaseDatabaseWrapper) -> contract.Outcome:
    """Try to erase the column, which is set aside, or to take and erase it at once."""
    gate = contract.Contractor(connection, dataclasses.replace(CONFIG, keep_for=0.0), TAKER)
    attempts = gate.round(patience=0.0)
    # Somebody else may have done so.
    return attempts[-1].outcome if attempts else contract.Outcome.DONE


def restore(connection: BaseDatabaseWrapper) -> None:
    """Bring the column back. Raises what `guard restore` reports."""
    gate = contract.Contractor(connection, CONFIG, TAKER)
    gate.settle()
    (step,) = gate.ledger.steps()
    gate.restore(step)


def look(connection: BaseDatabaseWrapper) -> None:
    """Settle what was left behind, as whoever comes by does."""
    contract.Contractor(connection, CONFIG, TAKER).settle()


class Ordeal:
    """The server, and its requests. `proxy`: what stands between it and its database."""

    def __init__(self, site: Site, proxy: Proxy | None = None) -> None:
        self.site = site
        self.proxy = proxy
        #: Requests that touched the column, and those of them that failed while there was no database.
        self.requests = self.failures = 0
        #: Seconds that a request took, while there was a database.
        self.slowest = 0.0
        site.guard["LEASE"], site.beat = LEASE, None
        slate(site)
        self.server: Server = site.gunicorn("--threads", "1")
        self.whole()

    def read(self, path: str = "reads") -> bool:
        """One request that touches the column; whether it succeeded."""
        started = time.monotonic()
        status = self.server.get(f"/{path}/{self.requests}/")[0]
        self.requests += 1
        self.failures += status != 200
        if status == 200:
            self.slowest = max(self.slowest, time.monotonic() - started)
        return status == 200

    def counted(self) -> int:
        """Reads that are in the ledger."""
        return sum(sighting.count for sighting in self.site.sightings() if sighting.access is Access.READ)

    def take(self) -> contract.Outcome:
        with self.site.connection() as connection:
            return take(connection)

    def refused(self) -> None:
        """The column cannot be taken while its user lives."""
        assert self.take() in (contract.Outcome.BLOCKED, contract.Outcome.LOCKED, contract.Outcome.BUSY)

    def whole(self) -> None:
        """After each fault: it serves, it is live again, and its column is there."""
        assert self.read()
        pid = self.pid()
        with self.site.ledger() as ledger:

            def live() -> bool:
                assert self.read()
                return any(row.live(ledger.now()) for row in self.mine(pid))

            eventually("it is live", live)
        self.refused()
        # It hears of that a moment after the ledger has it.
        eventually("it is ready", self.server.ready)

    def end(self) -> None:
        """It stops; then all that was flushed is there once, and the column can be taken."""
        assert self.server.running.stop() == 0
        # A statement that failed for want of a connection may have been counted as well.
        assert 0 <= self.counted() - (self.requests - self.failures) <= self.failures
        eventually("the step is taken", lambda: self.take() is contract.Outcome.ASIDE)

    def pid(self) -> int:
        return int(self.server.get("/pid/")[1])

    def mine(self, pid: int) -> list[rows.Instance]:
        return [row for row in self.site.live() if row.pid == pid]

    # Faults. Each leaves the server whole.

    def faults(self) -> list[Callable[[], None]]:
        """Those that this database can have."""
        each = [self.stopped, self.killed, self.flatlined, self.locked, self.away]
        if self.proxy is not None:
            each += [self.disconnected, self.cut]
        if self.site.database.vendor == "postgres":
            each.append(self.read_only)
        return each

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
        """Somebody holds the locks that registrations and renewals need, until requests have been answered."""
        with self.holding():
            deadline = time.monotonic() + LEASE
            while time.monotonic() < deadline:
                assert self.read()

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
        """The database takes no writes, as while a standby is promoted."""
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
        self.without_database()
        self.refused()
        # On its own account: there is no database.
        assert not self.read()
        self.proxy.mend()

    def without_database(self) -> None:
        """For longer than the lease, requests that need none are answered."""
        deadline = time.monotonic() + LEASE
        while time.monotonic() < deadline:
            assert self.server.get("/pid/")[0] == 200

    @contextmanager
    def holding(self) -> Iterator[None]:
        with self.site.connection() as connection:
            ledger = Ledger(connection)
            ids = [row.id for row in ledger.instances()]
            with ledger.transaction(lock_wait=60):
                ledger.gate(lock=True)
                ledger.instances(lock=ids)
                yield
