"""What a fleet that starts at one moment waits for its registrations: 150 of them over 30 connections, a millisecond
away, from several processes; beside it the same with an exclusive lock on the gate row.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import django
import pytest
from django.db import DatabaseError

from guard.ledger import store, tables
from sampleapp.stage import databases
from sampleapp.stage.databases import Database
from tests.integration.ledger.harness import (
    LEASE,
    OLD,
    Place,
    counted,
    place,
    registered,
    registration,
    settings_for,
    together,
)

#: As many connections as leave room for what is tested beside it: servers have a hundred.
PROCESSES, THREADS, EACH = 5, 6, 5
#: Whether the lock is exclusive, in turn: the machine may become busier meanwhile.
ROUNDS = (False, True) * 4


def start(database: Database, alias: str, all_ready: Barrier) -> list[list[float]]:
    """One host of the fleet: in each round, the seconds that each of its registrations took."""
    django.setup()
    usual = dict(store._SHARED)

    def slow(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        time.sleep(0.001)
        return execute(sql, params, many, context)

    def register() -> list[float]:
        with Place(database, alias).ledger() as ledger, ledger.connection.execute_wrapper(slow):
            ledger.connection.ensure_connection()
            all_ready.wait(300)
            return [_timed(ledger) for _ in range(EACH)]

    rounds = []
    with registered(alias, settings_for(database)):
        for exclusive in ROUNDS:
            store._SHARED = tables.EXCLUSIVE if exclusive else usual
            rounds.append([took for thread in together([register] * THREADS) for took in thread])
    return rounds


def _timed(ledger: store.Ledger) -> float:
    began = time.monotonic()
    while True:
        try:
            ledger.register(registration(), OLD, lease=LEASE)
            return time.monotonic() - began
        except DatabaseError as error:
            if "lock" not in str(error).lower():
                raise


def _into(queue: Any, work: Callable[[], list[list[float]]]) -> None:
    queue.put(work())


def fleet(where: Place) -> list[list[float]]:
    """In each round, the seconds that each registration took, the slowest last."""
    context = multiprocessing.get_context("spawn")
    all_ready, answers = context.Barrier(PROCESSES * THREADS), context.Queue()
    work = partial(start, where.database, where.alias, all_ready)
    hosts = [context.Process(target=_into, args=(answers, work)) for _ in range(PROCESSES)]
    for host in hosts:
        host.start()
    found = [answers.get(timeout=300) for _ in hosts]
    for host in hosts:
        host.join()
    return [sorted(took for rounds in found for took in rounds[number]) for number in range(len(ROUNDS))]


@pytest.mark.bench
@pytest.mark.parametrize("vendor", ["postgres", "mariadb"])
def test_what_a_fleet_that_starts_at_once_waits(vendor: str, tmp_path: Path) -> None:
    reason = databases.missing(vendor)
    if reason:
        pytest.fail(reason)
    with place(vendor, tmp_path) as where:
        with where.ledger() as ledger:
            ledger.register(registration(), OLD, lease=LEASE)
            with counted(ledger.connection) as trips:
                ledger.register(registration(), OLD, lease=LEASE)
        rounds = fleet(where)
        with where.ledger() as ledger:
            assert len(ledger.instances()) == 2 + len(ROUNDS) * PROCESSES * THREADS * EACH
    shared, exclusive = ([took for took, of in zip(rounds, ROUNDS, strict=True) if of is way] for way in (False, True))

    def told(runs: list[list[float]]) -> str:
        best = min(runs, key=lambda run: run[-1])
        return f"slowest {best[-1] * 1000:.0f} ms, half of them within {best[len(best) // 2] * 1000:.0f} ms"

    print(
        f"\n{vendor}: {len(shared[0])} registrations at once, {len(trips)} round trips each: {told(shared)}; with an "
        f"exclusive lock {told(exclusive)} (load {os.getloadavg()[0]:.0f})"
    )
