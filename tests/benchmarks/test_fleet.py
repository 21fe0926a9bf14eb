"""What a fleet's beats cost PostgreSQL: GUARD_BENCH_BEATS of them (180,000 are an hour's at the default rate) by 10,000
instances of 20 releases. Processor time is the server's own, as the kernel counts it.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import pytest

from guard import conf
from guard.ledger import connecting
from guard.ledger.store import Ledger
from sampleapp.stage import databases
from tests.integration.ledger.harness import NEW, Place, place, registration

INSTANCES = 10_000
RELEASES = 20
BEATS = int(os.environ.get("GUARD_BENCH_BEATS", "1000"))
#: Beats with a connection of their own are a hundred times as dear.
CONNECTIONS = min(BEATS // 10, 300)


def fleet(where: Place) -> list[str]:
    """Registered, and live for the time of the test."""
    with where.ledger() as ledger:
        for number in range(RELEASES):
            ledger.register(registration(f"r{number}", release=f"r{number}"), NEW, lease=3_600.0)
    where.query(
        "INSERT INTO guard_instance (id, release_label, digest, kind, workload, recurring, host, pid, state, process, "
        "session, registered_at, renewed_at, expires_at, watched_epoch, flushed_epoch) "
        "SELECT md5(v::text), 'r' || v % 20, digest, kind, workload, recurring, 'shop-' || v, v, state, process, "
        "session, registered_at, renewed_at, expires_at, 0, 0 "
        f"FROM generate_series(1, {INSTANCES}) AS s(v) JOIN guard_instance ON id = 'r' || v % 20"
    )
    where.query("VACUUM ANALYZE guard_instance")
    return [row[0] for row in where.query("SELECT id FROM guard_instance WHERE length(id) = 32 ORDER BY id")]


def spent(pid: int) -> float:
    """Seconds of processor time that a process has taken."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@pytest.mark.bench
def test_what_beats_cost_the_database(tmp_path: Path) -> None:
    reason = databases.missing("postgres")
    if reason:
        pytest.fail(reason)
    rate = conf.Config().max_beats_per_second
    with place("postgres", tmp_path) as where:
        ids = fleet(where)
        (size,) = where.query("SELECT pg_total_relation_size('guard_instance')")[0]
        with where.ledger() as ledger:
            backend = ledger._fetch("SELECT pg_backend_pid()")[0][0]
            began, before = time.perf_counter(), spent(backend)
            for instance in itertools.islice(itertools.cycle(ids), BEATS):
                assert ledger.beat(instance, lease=3_600.0, watched_epoch=0, flush_no=0) is not None
            seconds, cost = time.perf_counter() - began, (spent(backend) - before) / BEATS
        began, dear = time.perf_counter(), 0.0
        for instance in itertools.islice(itertools.cycle(ids), CONNECTIONS):
            with connecting.private(where.alias) as connection:
                assert Ledger(connection).beat(instance, lease=3_600.0, watched_epoch=0, flush_no=0) is not None
                dear += spent(connection.connection.info.backend_pid) / CONNECTIONS
        alone = time.perf_counter() - began

        def counted() -> tuple[int, int]:
            updates, hot = where.query(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'guard_instance'"
            )[0]
            return int(updates), int(hot)

        deadline = time.monotonic() + 60
        while counted()[0] < BEATS and time.monotonic() < deadline:
            time.sleep(0.1)
        updates, hot = counted()
        (after,) = where.query("SELECT pg_total_relation_size('guard_instance')")[0]
        where.query("VACUUM guard_instance")
        print(
            f"\n{INSTANCES:,} instances, {BEATS:,} beats ({BEATS / rate / 60:.0f} minutes' worth at {rate:g}/s)\n"
            f"  on an idle connection: {BEATS / seconds:,.0f}/s from one client, {1e6 * cost:.0f} µs of the server's "
            f"processor each: {100 * rate * cost:.2f} % of one core at {rate:g}/s\n"
            f"  with a connection each: {CONNECTIONS / alone:,.0f}/s, {1e6 * dear:,.0f} µs each: "
            f"{100 * rate * dear:.1f} % of one core at {rate:g}/s\n"
            f"  {100 * hot / updates:.1f} % of {updates:,} row updates HOT (budget: all)\n"
            f"  table and indexes: {size / 1e6:.1f} MB before, {after / 1e6:.1f} MB after"
        )
        # That renewals are heap-only, a test of the ledger's holds: here the server may be at work on other tables.
        assert updates >= BEATS
