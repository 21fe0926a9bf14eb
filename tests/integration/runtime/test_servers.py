"""Servers and workers as they are run: uvicorn, Celery, and processes that may not start threads."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from guard.attribution.watchlist import Access
from guard.ledger.rows import InstanceKind, InstanceState
from tests.integration.runtime.harness import BROKER, Site, eventually


def _gone(site: Site) -> bool:
    return {row.state for row in site.instances()} == {InstanceState.GONE}


def _reads(site: Site) -> int:
    return sum(sighting.count for sighting in site.sightings() if sighting.access is Access.READ)


def test_uvicorns_workers_register_count_and_leave(postgres_site: Site) -> None:
    # Kept by threads that Django makes for each request: beats must neither ride on one too many nor keep it.
    postgres_site.changes = {"CONN_MAX_AGE": None}
    postgres_site.slate()
    server = postgres_site.uvicorn("--workers", "2")
    eventually("both workers are registered", lambda: len(postgres_site.live()) == 2)
    live = postgres_site.live()
    assert len({row.id for row in live}) == len({row.pid for row in live}) == 2
    assert server.running.popen.pid not in {row.pid for row in live}
    assert {(row.kind, row.workload) for row in live} == {(InstanceKind.SERVER, "web")}

    with ThreadPoolExecutor(4) as pool:
        statuses = set(pool.map(lambda number: server.get(f"/waits/{number}/")[0], range(20)))
    assert statuses == {200}
    assert server.running.stop() == 0
    assert _gone(postgres_site)
    assert _reads(postgres_site) == 20


def test_a_uvicorn_without_workers_leaves_and_ends_as_it_would_without_guard(site: Site) -> None:
    server = site.uvicorn()
    assert server.ready()
    assert server.running.stop() == -15
    assert site.instance().state is InstanceState.GONE


def test_a_server_that_may_not_start_threads_beats_at_the_end_of_requests_and_leaves(site: Site) -> None:
    server = site.gunicorn("--config", "nothreads.py")
    before = site.instance()
    site.slate()

    def flushed() -> bool:
        assert server.get("/reads/1/")[0] == 200
        return _reads(site) > 0

    eventually("a request has flushed what requests touched", flushed)
    assert site.instance().expires_at > before.expires_at
    assert "no thread can be started" in server.running.text
    assert server.running.stop() == 0
    assert _gone(site)


def test_a_beat_takes_no_connection_from_the_projects_pool(postgres_site: Site) -> None:
    postgres_site.options = {"pool": {"min_size": 1, "max_size": 1}}
    server = postgres_site.gunicorn("--threads", "2")
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 7"
    with postgres_site.connection() as other, other.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute("SELECT pg_advisory_lock(7)")
        asked = pool.submit(server.get, "/holds/7/")
        eventually("a request has the only connection", lambda: postgres_site.database.query(waiting))
        before = postgres_site.instance()
        eventually("it is renewed", lambda: postgres_site.instance().renewed_at > before.renewed_at)
        assert not asked.done()
        cursor.execute("SELECT pg_advisory_unlock(7)")
        assert asked.result() == (200, "held")
    assert server.running.stop() == 0
    assert _gone(postgres_site)


def test_a_process_that_sleeps_between_its_queries_keeps_its_lease(site: Site) -> None:
    site.guard["LEASE"], site.beat = 3, None
    running = site.start("script.py", "--wait")
    eventually("it is registered", site.live)
    born = site.instance()
    eventually("it is renewed", lambda: site.instance().renewed_at > born.expires_at)
    assert (site.instance().id, site.instance().registered_at) == (born.id, born.registered_at)
    assert running.text.count("\n") == 1


@pytest.fixture
def queues() -> Iterator[tuple[str, str]]:
    """Two queues of the broker's, removed afterwards."""
    from kombu import Connection

    names = (f"guard-{uuid.uuid4().hex[:8]}-default", f"guard-{uuid.uuid4().hex[:8]}-mail")
    try:
        with Connection(BROKER, connect_timeout=30) as connection:
            connection.ensure_connection(max_retries=1, timeout=30)
    except Exception as error:
        reason = f"no broker answers at {BROKER} (GUARD_TEST_BROKER): {error}"
        if os.environ.get("GUARD_TEST_REQUIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    yield names
    with Connection(BROKER) as connection:
        for name in names:
            connection.default_channel.queue_delete(name)


def test_celerys_children_are_instances_of_their_queues_and_leave(postgres_site: Site, queues: tuple[str, str]) -> None:
    from celery import Celery

    postgres_site.slate()
    worker = postgres_site.celery("--concurrency", "2", queues=queues)
    eventually("both children are registered", lambda: len(postgres_site.live()) == 2)
    live = postgres_site.live()
    assert len({row.id for row in live}) == len({row.pid for row in live}) == 2
    assert worker.popen.pid not in {row.pid for row in live}
    assert {(row.kind, row.workload) for row in live} == {(InstanceKind.WORKER, f"celery:{','.join(sorted(queues))}")}

    with Celery(broker=BROKER) as sender, sender.connection_for_write() as connection:
        for number in range(6):
            sender.send_task("reads", [number], queue=queues[number % 2], connection=connection)
    eventually("they have run", lambda: worker.text.count("read 0") == 6)
    assert worker.stop() == 0
    assert _gone(postgres_site)
    assert _reads(postgres_site) == 6


def test_a_celery_worker_without_children_is_one_instance(site: Site, queues: tuple[str, str]) -> None:
    worker = site.celery("--pool", "threads", "--concurrency", "1", queues=queues[:1])
    eventually("it is registered", site.live)
    row = site.instance()
    assert (row.kind, row.workload, row.pid) == (InstanceKind.WORKER, f"celery:{queues[0]}", worker.popen.pid)
    eventually("it consumes", lambda: " ready." in worker.text)
    worker.stop()
    assert _gone(site)
