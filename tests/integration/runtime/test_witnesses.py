"""Which lost instances are proven gone, by their host and by the sessions that are left; and who is a stranger."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import uuid

import pytest
from django.db import connections

from guard.gate.witnesses import sessions
from guard.ledger import rows
from guard.runtime import testimony
from guard.runtime.lease import Identity, Lease
from guard.schema.footprint import Footprint
from tests.integration.runtime.harness import Running, Site, eventually


def _registered(site: Site, *args: str) -> Running:
    known = {row.id for row in site.instances()}
    running = site.start(*args)
    eventually("it is registered", lambda: {row.id for row in site.live()} - known)
    return running


def _row(site: Site, running: Running) -> rows.Instance:
    (row,) = [row for row in site.instances() if row.pid == running.popen.pid]
    return row


def _proofs(site: Site) -> sessions.Proofs:
    with site.ledger() as ledger:
        # On one connection: another one would be a session of the same user's.
        return sessions.proofs(ledger.connection, ledger.instances(), ledger.now())


def _elsewhere(site: Site) -> None:
    """As if every instance ran on another host: lost for long enough, and nothing but its sessions tells of it."""
    site.execute("UPDATE guard_instance SET process = '', renewed_at = 1, expires_at = 2")


def test_of_a_process_of_this_host_the_host_knows_whether_it_runs(site: Site) -> None:
    site.guard["LEASE"], site.beat = 3, None
    killed, stopped = _registered(site, "script.py", "--wait"), _registered(site, "script.py", "--wait")
    site.freeze(stopped.popen.pid)
    os.kill(killed.popen.pid, signal.SIGKILL)
    ids = {_row(site, killed).id, _row(site, stopped).id}
    with site.ledger() as ledger:
        eventually("both are lost", lambda: all(row.lost(ledger.now()) for row in site.instances()))
    # One is a zombie until its parent asks for it: that is as dead.
    assert _proofs(site) == sessions.Proofs(frozenset({_row(site, killed).id}))
    killed.popen.wait()
    assert _proofs(site).closed == {_row(site, killed).id}

    # Another process that got the number since is not the one that was meant.
    site.execute(f"UPDATE guard_instance SET pid = {os.getpid()}")
    assert _proofs(site).closed == ids


def test_sessions_tell_of_processes_elsewhere(each_site: Site) -> None:
    killed, stopped = (_registered(each_site, "manage.py", "tally", "--forever") for _ in range(2))
    for running in (killed, stopped):
        each_site.freeze(running.popen.pid)
    first, second = _row(each_site, killed), _row(each_site, stopped)
    _elsewhere(each_site)
    if each_site.database.vendor == "sqlite":
        # It has no sessions, and says so.
        assert _proofs(each_site) == sessions.Proofs(unprovable=frozenset({first.id, second.id}))
        said = " ".join(each_site.run("manage.py", "guard", "status").split())
        assert "Of 2 lost instances nothing proves here that they are gone" in said
        return
    assert _proofs(each_site) == sessions.NOTHING
    killed.stop(signal.SIGKILL)
    if each_site.database.vendor == "postgres":
        eventually("one is proven closed", lambda: _proofs(each_site).closed == {first.id})
    stopped.stop(signal.SIGKILL)
    # MariaDB tells one from the other only where they run on different hosts.
    eventually("both are proven closed", lambda: _proofs(each_site).closed == {first.id, second.id})


def test_one_that_was_lost_a_moment_ago_is_not_proven_gone_by_sessions(postgres_site: Site) -> None:
    _registered(postgres_site, "script.py", "--wait").stop(signal.SIGKILL)
    with postgres_site.ledger() as ledger:
        now = ledger.now()
    postgres_site.execute(f"UPDATE guard_instance SET process = '', renewed_at = {now - 91}, expires_at = {now - 1}")
    assert _proofs(postgres_site) == sessions.NOTHING
    postgres_site.execute(f"UPDATE guard_instance SET renewed_at = {now - 180}, expires_at = {now - 91}")
    assert len(_proofs(postgres_site).closed) == 1


def test_nobodys_session_of_the_same_role_may_be_the_lost_ones(postgres_site: Site) -> None:
    _registered(postgres_site, "script.py", "--wait").stop(signal.SIGKILL)
    _elsewhere(postgres_site)
    with postgres_site.connection() as unnamed:
        unnamed.ensure_connection()
        with unnamed.cursor() as cursor:
            cursor.execute("SET application_name = 'psql'")
        assert _proofs(postgres_site) == sessions.NOTHING
    eventually("it is proven closed", lambda: len(_proofs(postgres_site).closed) == 1)


@pytest.mark.parametrize("pool", [False, True], ids=["", "pool"])
def test_postgresqls_sessions_are_tagged_and_keep_the_projects_own_name(postgres_site: Site, pool: bool) -> None:
    postgres_site.options = {"application_name": "the shop"} | ({"pool": True} if pool else {})
    running = _registered(postgres_site, "manage.py", "tally", "--forever")
    tag, _, role = _row(postgres_site, running).session.partition(" ")
    assert role == "postgres"
    names = postgres_site.database.query(
        "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    assert {name for (name,) in names} == {f"the shop guard:{tag}"}


def test_a_stranger_is_seen_unless_it_is_known(postgres_site: Site) -> None:
    _registered(postgres_site, "manage.py", "tally", "--forever")
    postgres_site.slate()
    with postgres_site.connection() as stranger:
        stranger.ensure_connection()
        with stranger.cursor() as cursor:
            cursor.execute("SET application_name = 'Metabase 7'")

        def status(*allowed: str, asked: bool = True) -> tuple[list[str], str]:
            postgres_site.guard["WITNESSES"] = {"sessions": allowed} if asked else None
            (view,) = json.loads(postgres_site.run("manage.py", "guard", "status", "--json"))["databases"]
            (step,) = view["steps"]
            return view["strangers"], next(c["state"] for c in step["conditions"] if c["number"] == 9)

        named = "a session of postgres@127.0.0.1 (Metabase 7)"
        assert status(asked=False) == ([named], "not asked")
        assert status() == ([named], "not met")
        assert status("Metabase*") == ([], "met")


def test_on_mariadb_a_stranger_is_whoever_comes_as_nobody_of_the_fleet_does(mariadb_site: Site) -> None:
    role = f"bi_{uuid.uuid4().hex[:8]}"
    _registered(mariadb_site, "manage.py", "tally", "--forever")
    mariadb_site.slate()
    mariadb_site.execute(f"CREATE USER {role}@'%'")
    try:
        mariadb_site.execute(f"GRANT SELECT ON {mariadb_site.database.name}.* TO {role}@'%'")
        mariadb_site.changes = {"USER": role}
        with mariadb_site.registered() as alias:
            connections[alias].ensure_connection()
            mariadb_site.changes = {}
            for allowed, state in (((), "not met"), (("bi_*",), "met")):
                mariadb_site.guard["WITNESSES"] = {"sessions": allowed}
                (view,) = json.loads(mariadb_site.run("manage.py", "guard", "status", "--json"))["databases"]
                (step,) = view["steps"]
                assert [stranger.partition("@")[0] for stranger in view["strangers"]] == (
                    [] if allowed else [f"a session of {role}"]
                )
                assert next(c["state"] for c in step["conditions"] if c["number"] == 9) == state
    finally:
        mariadb_site.execute(f"DROP USER {role}@'%'")


#: What gives a process numbers of its own, as a container does: it is number 1 there.
CONTAINER = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")


# Not skipped where it cannot be had, as `make test` says.
if shutil.which("unshare") and not subprocess.run([*CONTAINER, "true"], stderr=subprocess.DEVNULL).returncode:

    def test_a_container_that_restarts_with_the_same_host_and_number_is_another_instance(site: Site) -> None:
        for count in (1, 2):
            running = site.start("script.py", "--wait", within=CONTAINER)
            eventually("it is registered", lambda count=count: len(site.live()) == count)
            running.stop(signal.SIGKILL)
        first, second = site.instances()
        assert (first.pid, first.host) == (second.pid, second.host)
        assert first.pid == 1
        assert first.id != second.id
        # What runs as number 1 here is none of them, and proves nothing.
        site.execute("UPDATE guard_instance SET renewed_at = 1, expires_at = 2")
        assert not _proofs(site).closed


def test_two_copies_of_one_process_become_two_instances(each_site: Site) -> None:
    with each_site.registered() as alias:
        identity = Identity(uuid.uuid4().hex, rows.InstanceKind.SERVER, "web", False, "host", os.getpid())
        original = Lease(alias, identity)
        original.register()
        clone = copy.copy(original)
        original.beat()
        clone.beat()
        original.beat()
        assert original.identity.id == identity.id
        assert {row.id for row in each_site.live()} == {original.identity.id, clone.identity.id}
        assert clone.identity.id != identity.id

        clone.leave()
        assert [row.id for row in each_site.live()] == [identity.id]


def test_of_two_copies_that_register_anew_neither_ends_the_other(site: Site) -> None:
    with site.registered() as alias:
        original = Lease(alias, Identity(uuid.uuid4().hex, rows.InstanceKind.SERVER, "web", False, "host", 1))
        original.register()
        clone = copy.copy(original)
        # Frozen for longer than the lease, and resumed twice.
        for lease in (original, clone):
            lease._renewed = None
            lease.register()
        clone.leave()
        assert [row.id for row in site.live()] == [original.identity.id]


@pytest.mark.parametrize("jump", [3_600.0, -3_600.0], ids=["forward", "back"])
def test_when_the_hosts_clock_jumps_it_stays_the_same_instance(site: Site, jump: float) -> None:
    with site.registered() as alias:
        lease = Lease(alias, Identity(uuid.uuid4().hex, rows.InstanceKind.WORKER, "mail", False, "host", 1))
        lease.register()
        assert lease._renewed is not None
        # As if the wall clock had said something else then.
        lease._renewed = dataclasses.replace(lease._renewed, wall=lease._renewed.wall - jump)
        # One that may have slept for an hour has lost its lease; nobody holds one longer for setting a clock back.
        assert lease.lapsed() is (jump > 0)
        lease.beat()
        assert not lease.lapsed()
        with site.ledger() as ledger:
            (row,) = site.live()
            assert row.id == lease.identity.id
            assert row.live(ledger.now())


def test_a_renewal_whose_answer_was_lost_keeps_the_identity(site: Site) -> None:
    with site.registered() as alias:
        lease = Lease(alias, Identity(uuid.uuid4().hex, rows.InstanceKind.SERVER, "web", False, "host", 1))
        lease.register()
        confirmed = lease._marks
        lease.beat()
        # As if it had not heard of it.
        lease._marks = (*confirmed, *lease._marks)
        lease.beat()
        assert [row.id for row in site.live()] == [lease.identity.id]


def test_a_name_that_is_too_long_loses_its_own_end_and_no_character_is_cut_in_two() -> None:
    assert testimony.TAG.search(testimony.named("shop"))
    for own in ("x" * 70, "ü" * 40):
        name = testimony.named(own)
        assert len(name.encode()) <= 63
        assert testimony.TAG.search(name)
        assert name.startswith(own[:18])


def test_an_orchestrators_list_ends_the_lost_that_it_does_not_name(site: Site) -> None:
    site.variables["GUARD_ACTOR"] = "deploy"
    _registered(site, "script.py", "--wait")
    for host, expired in (("shop-1", 200), ("shop-2", 200), ("shop-3", 1), ("shop-4.shop.svc", 200)):
        with site.ledger() as ledger:
            me = rows.Registration(host, "r1", rows.InstanceKind.SERVER, "web", False, host, 1)
            ledger.register(me, Footprint({}, frozenset()), lease=-expired)
    alive = site.directory / "alive"

    def reconcile(text: str, *, age: float = 60.0, code: int = 0) -> str:
        alive.write_text(text)
        os.utime(alive, (alive.stat().st_atime, alive.stat().st_mtime - age))
        return site.run("manage.py", "guard", "reconcile", "--alive", str(alive), code=code)

    assert "names nobody" in reconcile("\n", code=2)
    assert "list of something else" in reconcile("other-1\nother-2\n", code=2)
    assert "0 lost instances" in reconcile("pod/shop-1\npod/shop-2\npod/shop-3\npod/shop-4\n")
    # shop-3 was not out of lease when the list was made.
    assert "1 lost instance " in reconcile("pod/shop-1\npod/shop-4\n")
    assert {row.id for row in site.instances() if row.state is rows.InstanceState.GONE} == {"shop-2"}
    assert "reconcile" in site.run("manage.py", "guard", "log")
    assert site.run("manage.py", "guard", "reconcile", "--alive", str(alive.with_name("none")), code=2)
