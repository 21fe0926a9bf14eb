"""guard's tables are locked exclusively (VACUUM FULL, a migration): no question of a process waits there for long."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, connections

from guard.gate.contract import is_lock_timeout
from guard.ledger import connecting
from guard.ledger.rows import InstanceKind, InstanceState
from guard.ledger.store import Ledger
from guard.runtime.lease import Identity, Lease
from tests.integration.ledger.harness import LEASE, NEW, OLD, Place, glimpse, registration, step, together

TABLES = ("guard_gate", "guard_footprint", "guard_instance", "guard_pulse", "guard_step", "guard_sighting")

#: All that a process asks of the ledger, each of which would wait for the lock.
QUESTIONS: dict[str, Callable[[Ledger], object]] = {
    "registering": lambda ledger: ledger.register(registration("b"), OLD, lease=LEASE),
    "storing a footprint": lambda ledger: ledger._keep_footprint(NEW),
    "renewing": lambda ledger: ledger.beat("a", lease=LEASE, watched_epoch=1, flush_no=1),
    "reporting": lambda ledger: ledger.beat("a", lease=LEASE, watched_epoch=1, flush_no=1, glimpses=[glimpse()]),
    "counting the fleet": lambda ledger: ledger.count_fleet(),
    "reading the watch list": lambda ledger: ledger.watch_list(),
    "acknowledging": lambda ledger: ledger.acknowledge("a", 1),
    "looking for refusals": lambda ledger: ledger.refusals(OLD),
    "being looked at again": lambda ledger: ledger.readmit("a", OLD, lease=LEASE),
    "leaving": lambda ledger: ledger.leave("a"),
}


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """guard's tables, held exclusively until the block is over."""
    with connecting.private(place.alias) as connection, connection.cursor() as cursor:
        if place.vendor == "postgres":
            cursor.execute("BEGIN")
            cursor.execute(f"LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE")
        else:
            cursor.execute(f"LOCK TABLES {', '.join(f'{table} WRITE' for table in TABLES)}")
        yield


def test_no_question_outlasts_a_lock_on_the_ledgers_tables(server: Place) -> None:
    """The lock is held until all of them have given up: without a limit none would."""

    def ask(question: Callable[[Ledger], object]) -> bool:
        with server.ledger() as ledger:
            with pytest.raises(DatabaseError) as refused:
                question(ledger)
            assert is_lock_timeout(refused.value), refused.value
            # Its connection is as good as new.
            return not _in_transaction(ledger)

    with server.ledger() as ledger:
        ledger.slate(step())
        ledger.register(registration("a"), OLD, lease=LEASE)
    with locked(server):
        assert together([partial(ask, question) for question in QUESTIONS.values()]) == [True] * len(QUESTIONS)


def _in_transaction(ledger: Ledger) -> bool:
    driver: Any = ledger.connection.connection
    if ledger.connection.vendor == "postgresql":
        return bool(driver.info.transaction_status.name != "IDLE")
    return bool(ledger._fetch("SELECT @@in_transaction")[0][0])


def test_a_process_that_starts_meanwhile_goes_to_work_unregistered(server: Place) -> None:
    identity = Identity(uuid.uuid4().hex, InstanceKind.WORKER, "mail", False, "host", os.getpid())
    lease = Lease(server.alias, identity)
    with locked(server):
        with pytest.raises(DatabaseError):
            lease.register()
        with connections[server.alias].cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
        assert lease.state is None
    lease.register()
    assert lease.state is InstanceState.LIVE
    lease.leave()


def settings(ledger: Ledger) -> dict[str, str]:
    return {name: value for name, value, _ in ledger._send("SHOW ALL")[0].rows}


def test_no_setting_of_a_session_is_changed_for_it(postgres: Place) -> None:
    """Behind a pooler it would be the next client's."""
    with postgres.ledger() as ledger:
        ledger.connection.ensure_connection()
        before = settings(ledger)
        for question in QUESTIONS.values():
            ledger.register(registration("a"), OLD, lease=LEASE)
            question(ledger)
        assert settings(ledger) == before
