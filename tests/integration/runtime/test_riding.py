"""Beats on the application's own idle connection, and what they do when connections run out."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connections, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from guard.ledger import connecting, rows
from guard.runtime import riding, watch
from guard.runtime.lease import Identity, Lease
from tests.integration.runtime.harness import Site, eventually

pytestmark = pytest.mark.parametrize("each_site", ["postgres", "mariadb"], indirect=True)


@pytest.fixture
def lease(each_site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lease]:
    """Of this process, registered a moment ago, with an idle connection of the application's."""
    # A statement that a busy server takes longer for is given up, as it should be: none of these tests is about that.
    for name, limit, patient in (
        ("_POSTGRESQL", f"statement_timeout = {riding.LIMIT}", "statement_timeout = 60000"),
        ("_MARIADB", f"max_statement_time = {riding.LIMIT / 1000}", "max_statement_time = 60"),
    ):
        assert limit in getattr(riding, name)
        monkeypatch.setattr(riding, name, getattr(riding, name).replace(limit, patient))
    each_site.changes = {"CONN_MAX_AGE": None}
    with each_site.registered() as alias:
        found = Lease(alias, Identity(uuid.uuid4().hex, rows.InstanceKind.WORKER, "mail", False, "host", os.getpid()))
        found.register()
        connections[alias].ensure_connection()
        yield found
        watch.eye(alias).forget()


def test_a_beat_is_one_statement_on_the_idle_connection(each_site: Site, lease: Lease) -> None:
    before = each_site.instance()
    with CaptureQueriesContext(connections[lease.alias]) as seen:
        assert lease.ride()
    # It is in nobody's query log.
    assert len(seen) == 0
    after = each_site.instance()
    assert (after.id, after.renewed_at > before.renewed_at, after.expires_at > before.expires_at) == (
        before.id,
        True,
        True,
    )
    with connections[lease.alias].cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_it_never_rides_in_a_transaction(each_site: Site, lease: Lease) -> None:
    connection = connections[lease.alias]
    before = each_site.instance()
    with transaction.atomic(lease.alias):
        connection.introspection.table_names()
        assert not lease.ride()
    with connection.cursor() as cursor:
        # One that Django does not know of.
        cursor.execute("BEGIN")
        cursor.execute("SELECT COUNT(*) FROM stock_item")
        assert not lease.ride()
        cursor.execute("ROLLBACK")
    connection.set_autocommit(False)
    assert not lease.ride()
    connection.set_autocommit(True)
    assert each_site.instance() == before
    assert lease.ride()


def test_it_never_waits_for_a_lock_and_leaves_the_connection_idle(each_site: Site, lease: Lease) -> None:
    before = each_site.instance()
    with each_site.ledger() as ledger, ledger.transaction():
        ledger.instances(lock=[before.id])
        # The row is locked until it has come back.
        assert not lease.ride()
    assert each_site.instance() == before
    assert connections[lease.alias].is_usable()
    assert lease.ride()


def test_a_connection_that_broke_while_it_was_idle_is_mended_before_the_application_meets_it(
    each_site: Site, lease: Lease
) -> None:
    driver = connections[lease.alias].connection
    if each_site.database.vendor == "postgres":
        # It waits until the session is gone.
        each_site.execute(f"SELECT pg_terminate_backend({driver.info.backend_pid}, 60000)")
    else:
        number = driver.thread_id()
        each_site.execute(f"KILL {number}")
        there = f"SELECT 1 FROM information_schema.processlist WHERE id = {number}"
        eventually("the session is gone", lambda: not each_site.database.query(there))
    assert not lease.ride()
    # Without health checks, it would fail at the next request.
    with connections[lease.alias].cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    assert lease.ride()


def test_what_needs_more_than_a_renewal_is_left_to_the_heartbeat(each_site: Site, lease: Lease) -> None:
    each_site.slate()
    # It learns that there is a watch list, and leaves it to the heartbeat to read it.
    assert not lease.ride()
    lease.beat()
    assert lease.ride()
    eye = watch.eye(lease.alias)
    assert eye.attributor is not None
    eye.count("SELECT old FROM stock_item", eye.attributor.touches("SELECT old FROM stock_item"))
    assert not lease.ride()
    lease.beat()
    assert lease.ride()
    connections[lease.alias].close()
    assert not lease.ride()


def test_a_server_that_is_silent_is_given_up(each_site: Site, lease: Lease) -> None:
    if each_site.database.vendor == "postgres":
        # Its driver has no such limit; the system's, for what is not acknowledged, is set.
        with connecting.private(lease.alias) as connection:
            assert "tcp_user_timeout" in connection.get_connection_params()
        return
    with (
        pytest.raises(OperationalError, match=r"Lost connection|2013"),
        connecting.private(lease.alias, answer_within=1) as connection,
        connection.cursor() as cursor,
    ):
        # Nobody waits for the end of it.
        cursor.execute("SELECT SLEEP(300)")


def test_a_lease_grows_with_the_fleet(each_site: Site, lease: Lease) -> None:
    assert lease.interval == 30
    with each_site.ledger() as ledger:
        now = ledger.now()
        ledger.update("pulse", {"instances": 6_000, "counted_at": now}, "id = 1", [])
    assert lease.ride()
    # What was granted holds until the next renewal asks for more.
    assert lease.interval == 30
    assert lease.ride()
    assert lease.interval == 120
    row = each_site.instance()
    assert row.expires_at - row.renewed_at == pytest.approx(360, abs=1)
    with override_settings(GUARD={"MAX_BEATS_PER_SECOND": 1_000}):
        assert lease.ride()
        assert lease.interval == 30


def test_a_server_keeps_its_lease_when_connections_run_out(each_site: Site) -> None:
    role, name = f"guard_{uuid.uuid4().hex[:8]}", each_site.database.name
    if each_site.database.vendor == "postgres":
        grants = (
            f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1",
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
            f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}",
        )
        drop = (f"DROP OWNED BY {role}", f"DROP ROLE {role}")
    else:
        grants = (
            f"CREATE USER {role}@'%' WITH MAX_USER_CONNECTIONS 1",
            f"GRANT ALL ON {name}.* TO {role}@'%'",
        )
        drop = (f"DROP USER {role}@'%'",)
    for sql in grants:
        each_site.execute(sql)
    try:
        each_site.changes = {"CONN_MAX_AGE": None, "USER": role, "CONN_HEALTH_CHECKS": False}
        server = each_site.gunicorn()
        # The database takes a moment to notice that a session is over: what was asked at load, and the registration.
        eventually("it has registered", server.ready)
        eventually("it has a connection", lambda: server.get("/names/")[0] == 200)
        before = each_site.instance()
        statuses = set()

        def renewed() -> bool:
            # It keeps the only connection that it may have.
            statuses.add(server.get("/names/")[0])
            return each_site.instance().renewed_at >= before.renewed_at + 3

        eventually("its lease was renewed again and again", renewed)
        assert statuses == {200}
        assert server.ready()
        assert each_site.instance().id == before.id
        server.running.stop()
    finally:
        each_site.end()
        for sql in drop:
            each_site.execute(sql)
