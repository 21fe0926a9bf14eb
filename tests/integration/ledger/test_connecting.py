"""Private connections: what they keep of the project's settings, what they add, and that nothing stays open."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.db import connections
from django.db.models import Model
from django.db.utils import OperationalError
from django.test import override_settings

from guard.gate import contract, evidence, verdict
from guard.ledger import connecting
from guard.ledger.rows import InstanceKind, StepState
from guard.ledger.store import Ledger
from guard.ledger.tables import LedgerMissing
from guard.runtime.lease import Identity, Lease
from guard.schema import catalog, declared
from sampleapp.stage import databases
from sampleapp.stage.processes import free_port, until
from tests.integration.ledger.harness import (
    LEASE,
    NEW,
    OLD,
    Place,
    glimpse,
    registered,
    registration,
    settings_for,
    step,
    turned,
)


def isolation(ledger: Ledger) -> str:
    sql = "SHOW transaction_isolation" if ledger.connection.vendor == "postgresql" else "SELECT @@tx_isolation"
    return str(ledger._fetch(sql)[0][0]).replace("-", " ").lower()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_the_ledgers_transactions_are_read_committed_whatever_the_servers_default(postgres: Place, level: str) -> None:
    default = "-c default_transaction_isolation=" + level.replace(" ", "\\ ")
    with postgres.another(OPTIONS={"options": default}) as alias, postgres.ledger(alias) as ledger:
        assert ledger._send("SHOW default_transaction_isolation")[0].rows == [(level,)]
        assert isolation(ledger) == "read committed"
        with ledger.transaction():
            assert isolation(ledger) == "read committed"
        ledger.register(registration("a"), OLD, lease=LEASE)
        assert ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=1, glimpses=[glimpse()])


@pytest.mark.parametrize("options", [{"server_side_binding": True}, {"prepare_threshold": 1}], ids=str)
def test_every_statement_works_however_parameters_are_bound(postgres: Place, options: dict[str, Any]) -> None:
    pytest.importorskip("psycopg")
    batch = [glimpse(call_site=f"site {n}", stale=n % 2 == 0, count=n or 10**12) for n in range(60)]
    with postgres.another(OPTIONS=options) as alias, postgres.ledger(alias) as ledger:
        slated = ledger.slate(step())
        for number in range(1, 4):
            ledger.register(registration("a", pid=2**40), OLD, lease=600)
            renewal = ledger.beat("a", lease=600, watched_epoch=1, flush_no=number, glimpses=batch)
            assert renewal is not None
            assert ledger.beat("a", lease=0.5 + number, watched_epoch=0, flush_no=number)
            ledger.readmit("a", OLD, lease=600)
        assert len(ledger.sightings("shop_item", "old")) == 60
        with ledger.transaction(lock_wait=30, limit=30):
            ledger.gate(lock=True)
            assert len(ledger.instances(lock=["a", "b"])) == 1
            turned(ledger, slated, StepState.SEALED)
        ledger.record("seal", "x", actor="a", release="r", details={})
        ledger.leave("a")
        assert connecting.is_private(ledger.connection)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_on_mariadb_the_whole_session_is_read_committed(mariadb: Place, level: str) -> None:
    with mariadb.another(OPTIONS={"isolation_level": level}) as alias, mariadb.ledger(alias) as ledger:
        assert isolation(ledger) == "read committed"


def test_a_session_of_mariadb_is_prepared_again_where_it_was_lost(mariadb: Place) -> None:
    with mariadb.ledger() as ledger:
        session = ledger._fetch("SELECT CONNECTION_ID()")
        ledger.connection.close()
        sql = "SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout, @@time_zone, @@tx_isolation"
        assert ledger._fetch(sql) == [(1, 1, "+00:00", "READ-COMMITTED")]
        assert ledger._fetch("SELECT CONNECTION_ID()") != session


@contextmanager
def no_session_left(place: Place) -> Iterator[None]:
    """Every session that the block opens in the database ends with it."""
    if place.vendor == "postgres":
        sql = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
    else:
        sql = "SELECT id FROM information_schema.processlist WHERE db = %s"
    with place.ledger() as ledger:

        def sessions() -> set[int]:
            return {row[0] for row in ledger._fetch(sql, [place.database.name])}

        before = sessions()
        yield
        # A server notices a moment later that its client has gone.
        until("the sessions are closed", lambda: sessions() <= before)


def fail_in_a_transaction(place: Place) -> None:
    with place.ledger() as ledger, ledger.transaction():
        ledger.slate(step())
        raise ZeroDivisionError


def test_nothing_is_left_open_whatever_happens(server: Place) -> None:
    with no_session_left(server):
        with server.ledger() as ledger:
            ledger.now()
        with pytest.raises(ZeroDivisionError):
            fail_in_a_transaction(server)
    with server.ledger() as ledger:
        assert ledger.steps() == ()


def test_no_connection_of_the_project_is_opened_or_used(each: Place) -> None:
    with each.another() as alias:
        with each.ledger(alias) as ledger:
            assert connecting.is_private(ledger.connection)
            assert ledger.connection is not connections[alias]
        assert connections[alias].connection is None
        assert not connecting.is_private(connections[alias])


def test_a_pool_is_passed_by(postgres: Place) -> None:
    pytest.importorskip("psycopg_pool")
    options = {"pool": {"min_size": 1, "max_size": 1, "timeout": 2}}
    with postgres.another(OPTIONS=options) as alias:
        application = connections[alias]
        try:
            with application.cursor() as cursor:
                cursor.execute("SELECT 1")
                # The pool's only connection is taken.
                with postgres.ledger(alias) as ledger:
                    assert ledger.now() > 0
            assert application.settings_dict["OPTIONS"]["pool"]
        finally:
            application.close()
            application.close_pool()


def answer(place: Place, sql: str, **options: Any) -> object:
    """What a private connection of a project with these OPTIONS answers."""
    with place.another(OPTIONS=options) as alias, place.ledger(alias) as ledger:
        return ledger._fetch(sql)[0]


def test_the_projects_options_are_kept_on_postgresql(postgres: Place) -> None:
    sql = "SELECT current_setting('application_name'), current_user"
    assert answer(postgres, sql, application_name="shop", assume_role="pg_monitor") == ("shop", "pg_monitor")


def test_the_projects_options_are_kept_on_mariadb(mariadb: Place) -> None:
    sql = "SELECT @shop, @@character_set_connection"
    assert answer(mariadb, sql, init_command="SET @shop = 7", charset="utf8mb4") == (7, "utf8mb4")


def test_the_projects_options_are_kept_on_sqlite(sqlite: Place) -> None:
    assert answer(sqlite, "PRAGMA cache_size", init_command="PRAGMA cache_size = 77") == (77,)


def test_settings_that_cannot_be_copied_are_handed_on(sqlite: Place) -> None:
    class Uncopiable:
        def __deepcopy__(self, memo: object) -> object:
            raise TypeError("cannot be copied")

    with sqlite.another(TOKEN=Uncopiable()) as alias, connecting.private(alias) as connection:
        assert connection.is_usable()


def test_a_service_file_is_followed(postgres: Place, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = settings_for(postgres.database)
    service = tmp_path / "services"
    service.write_text(
        f"[shop]\nhost={entry['HOST']}\nport={entry['PORT']}\nuser={entry['USER']}\ndbname={entry['NAME']}\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    changes = {"NAME": "", "HOST": "", "PORT": "", "USER": "", "OPTIONS": {"service": "shop"}}
    with postgres.another(**changes) as alias, postgres.ledger(alias) as ledger:
        assert ledger.exists()


@pytest.mark.parametrize("vendor", ["postgresql", "mysql"])
def test_a_server_that_does_not_answer_is_given_up_soon(vendor: str) -> None:
    entry = {
        "ENGINE": f"django.db.backends.{vendor}",
        "NAME": "guard",
        "USER": "guard",
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
    }
    pytest.importorskip("psycopg" if vendor == "postgresql" else "MySQLdb")
    with registered("away", entry) as alias:
        options = connecting.unopened(alias).settings_dict["OPTIONS"]
        assert options["connect_timeout"] == 3
        with pytest.raises(OperationalError), connecting.private(alias):
            raise AssertionError("connected")


@pytest.mark.parametrize(("given", "used"), [(1, 1), ("2", 2), (60, 3), (0, 3), (-1, 3), (None, 3)])
def test_a_shorter_connect_timeout_of_the_projects_own_is_kept(postgres: Place, given: object, used: int) -> None:
    with postgres.another(OPTIONS={"connect_timeout": given}) as alias:
        assert connecting.unopened(alias).settings_dict["OPTIONS"]["connect_timeout"] == used
        assert connections[alias].settings_dict["OPTIONS"] == {"connect_timeout": given}


# SQLite


def test_a_relative_path_and_a_uri_lead_to_the_same_ledger(sqlite: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, _, name = sqlite.database.name.rpartition("/")
    monkeypatch.chdir(directory)
    with sqlite.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
    for other in (name, f"./{name}", f"file:{sqlite.database.name}?mode=rw", f"file:{name}"):
        with sqlite.another(NAME=other) as alias, sqlite.ledger(alias) as ledger:
            assert [instance.id for instance in ledger.instances()] == ["a"]
            assert connecting.can_guard(connections[alias])


def test_a_read_only_file_is_said_to_be_read_only(sqlite: Place) -> None:
    with sqlite.another(NAME=f"file:{sqlite.database.name}?mode=ro") as alias, sqlite.ledger(alias) as ledger:
        with pytest.raises(OperationalError, match="readonly"):
            ledger.register(registration("a"), OLD, lease=LEASE)
        with pytest.raises(OperationalError, match="readonly"):
            ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=0)
        assert ledger.instances() == ()


@pytest.mark.parametrize(
    "name",
    [":memory:", "file::memory:?cache=shared", "file:x?mode=memory&cache=shared", "file:/x?vfs=memdb"],
)
def test_a_database_in_memory_is_never_guarded(name: str) -> None:
    with registered("memory", {"ENGINE": "django.db.backends.sqlite3", "NAME": name}) as alias:
        assert not connecting.can_guard(connections[alias])
        assert alias not in connecting.guarded_aliases()


# Aliases


class Refusing:
    """A router that keeps guard out of one alias."""

    alias = "kept_out"

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool | None:
        return False if (db, app_label) == (self.alias, "guard") else None


def guarded(**entries: dict[str, Any]) -> tuple[str, ...]:
    """Which of these are guarded."""
    with _all_registered(entries):
        return tuple(alias for alias in connecting.guarded_aliases() if alias in entries)


@contextmanager
def _all_registered(entries: dict[str, dict[str, Any]]) -> Iterator[None]:
    with ExitStack() as stack:
        for alias, entry in entries.items():
            stack.enter_context(registered(alias, entry))
        yield


def sqlite_entry(name: str, **changes: Any) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, **changes}


def postgres_entry(**changes: Any) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "HOST": "db", **changes}


def mysql_entry(**changes: Any) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.mysql", "NAME": "shop", "HOST": "db", **changes}


def test_each_database_is_guarded_once(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert guarded(
        one=sqlite_entry("db.sqlite3"),
        same=sqlite_entry(str(tmp_path / "db.sqlite3")),
        linked=sqlite_entry(str(tmp_path / "link" / "db.sqlite3")),
        uri=sqlite_entry(f"file:{tmp_path}/db.sqlite3?mode=rw"),
        other=sqlite_entry("other.sqlite3"),
    ) == ("one", "other")


def test_two_aliases_of_one_server_are_told_apart_by_what_makes_another_ledger() -> None:
    pytest.importorskip("psycopg")
    assert guarded(
        one=postgres_entry(),
        same=postgres_entry(PORT="5432", USER="reporting", OPTIONS={"options": "-c statement_timeout=0"}),
        shouted=postgres_entry(HOST="DB"),
        other_port=postgres_entry(PORT=5433),
        other_name=postgres_entry(NAME="Shop"),
        tenant=postgres_entry(OPTIONS={"options": "-c search_path=tenant,public -c statement_timeout=9"}),
        tenant_again=postgres_entry(OPTIONS={"options": "-c statement_timeout=1 -c search_path=tenant,public"}),
        service=postgres_entry(NAME="", HOST="", OPTIONS={"service": "shop"}),
        other_service=postgres_entry(NAME="", HOST="", OPTIONS={"service": "books"}),
    ) == ("one", "other_port", "other_name", "tenant", "service", "other_service")


def test_two_aliases_that_an_option_file_tells_apart_are_two() -> None:
    pytest.importorskip("MySQLdb")
    assert guarded(
        one=mysql_entry(NAME="", HOST="", OPTIONS={"read_default_file": "/etc/shop.cnf"}),
        same=mysql_entry(NAME="", HOST="", OPTIONS={"read_default_file": "/etc/shop.cnf", "charset": "utf8mb4"}),
        other=mysql_entry(NAME="", HOST="", OPTIONS={"read_default_file": "/etc/books.cnf"}),
        direct=mysql_entry(PORT=3306),
        direct_again=mysql_entry(PORT=""),
    ) == ("one", "other", "direct")


def test_a_mirror_is_no_database_of_its_own() -> None:
    pytest.importorskip("psycopg")
    assert guarded(primary=postgres_entry(), replica=postgres_entry(HOST="replica", TEST={"MIRROR": "primary"})) == (
        "primary",
    )


def test_every_alias_of_a_guarded_database_leads_to_its_ledger(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entries = {
        "one": sqlite_entry("db.sqlite3"),
        "same": sqlite_entry(str(tmp_path / "db.sqlite3")),
        "mirror": sqlite_entry("replica.sqlite3", TEST={"MIRROR": "same"}),
        "kept_out": sqlite_entry(f"file:{tmp_path}/db.sqlite3?mode=ro"),
        "other": sqlite_entry("other.sqlite3"),
        "memory": sqlite_entry(":memory:"),
    }
    with _all_registered(entries), override_settings(DATABASE_ROUTERS=[f"{__name__}.Refusing"]):
        found = {alias: connecting.ledger_alias(alias) for alias in (*entries, "no such alias")}
    assert found == {
        "one": "one",
        "same": "one",
        "mirror": "one",
        "kept_out": "one",
        "other": "other",
        "memory": None,
        "no such alias": None,
    }


def test_an_alias_that_a_router_keeps_guard_out_of_is_unguarded(tmp_path: Any) -> None:
    with override_settings(DATABASE_ROUTERS=[f"{__name__}.Refusing"]):
        assert guarded(kept_out=sqlite_entry(str(tmp_path / "a")), other=sqlite_entry(str(tmp_path / "b"))) == (
            "other",
        )


class Divided:
    """Two aliases of one database, each with models of its own: roles that may do different things, say."""

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool:
        return app_label != "auth" or db.startswith("other_")


def test_what_another_alias_of_the_database_declares_is_declared_in_their_ledger(each: Place) -> None:
    """There is one row for both: without it, a column of the other alias's models would look unused."""
    declared.forget()
    with each.another() as other, override_settings(DATABASE_ROUTERS=[f"{__name__}.Divided"]):
        assert connecting.ledger_alias(other) == each.alias
        lease = Lease(each.alias, Identity(uuid.uuid4().hex, InstanceKind.SERVER, "web", False, "host", 1))
        lease.register()
        me = evidence.Taker(NEW, "r2", "somebody")
        with each.ledger() as ledger:
            about = ledger.slate(step("username", table="auth_user"))
            found = evidence.gather(ledger, about, evidence.read_fleet(ledger), me)
            missing = catalog.compare(ledger.connection, declared.footprint(each.alias)).missing
        # The other alias may look at another schema: what is not here is not missing.
        assert not [table for table, _ in missing if table.startswith("auth_")]
        assert "live-instances" in {b.code for b in verdict.decide(found, verdict.Policy()).blockers}
        assert contract.taker(other).footprint.digest == contract.taker(each.alias).footprint.digest
    declared.forget()


class Replicas:
    """Reads at any of two replicas, writes at the primary: as Django's documentation has it, migrations allowed."""

    replicas = ("replica1", "replica2")

    def db_for_read(self, model: object, **hints: object) -> str:
        return random.choice(self.replicas)

    def db_for_write(self, model: object, **hints: object) -> str:
        return "primary"

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool | None:
        return True


class ClosedReplicas(Replicas):
    """The same, with migrations on the primary only; nothing is read at a replica but by its name."""

    def db_for_read(self, model: object, **hints: object) -> str:
        return "primary"

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool | None:
        return db == "primary"


class Sharded:
    """One app in a database of its own, which has a replica; the others in the usual one."""

    def db_for_read(self, model: type[Model], **hints: object) -> str | None:
        return "auth_replica" if model._meta.app_label == "auth" else None

    def db_for_write(self, model: type[Model], **hints: object) -> str | None:
        return "auth_primary" if model._meta.app_label == "auth" else None

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool | None:
        return None if app_label == "guard" else (app_label == "auth") == (db == "auth_primary")


class Hinted:
    """Answers for objects only."""

    def db_for_write(self, model: object, **hints: object) -> str | None:
        return str(hints["instance"])


FLEET = {
    "primary": postgres_entry(HOST="db1"),
    "replica1": postgres_entry(HOST="db2"),
    "replica2": postgres_entry(HOST="db3"),
    "warehouse": postgres_entry(HOST="db4", NAME="warehouse"),
}


@pytest.mark.parametrize("kind", ["Replicas", "ClosedReplicas"])
def test_a_replica_without_a_mirror_setting_is_known_by_what_routers_say(kind: str) -> None:
    pytest.importorskip("psycopg")
    with _all_registered(FLEET), override_settings(DATABASE_ROUTERS=[f"{__name__}.{kind}"]):
        guarded = set(connecting.guarded_aliases()) & set(FLEET)
        found = {alias: connecting.ledger_alias(alias) for alias in FLEET}
    # Another database that code names itself is guarded where it takes migrations.
    warehouse = {"warehouse"} if kind == "Replicas" else set()
    assert guarded == {"primary"} | warehouse
    assert found == {
        "primary": "primary",
        "replica1": "primary",
        "replica2": "primary",
        "warehouse": "warehouse" if warehouse else None,
    }


def test_a_replica_of_one_of_two_databases_leads_to_that_ones_ledger() -> None:
    pytest.importorskip("psycopg")
    entries = {
        "usual": postgres_entry(HOST="db1"),
        "auth_primary": postgres_entry(HOST="db2", NAME="auth"),
        "auth_replica": postgres_entry(HOST="db3", NAME="auth"),
    }
    with _all_registered(entries), override_settings(DATABASE_ROUTERS=[f"{__name__}.Sharded"]):
        guarded = set(connecting.guarded_aliases()) & set(entries)
        assert connecting.ledger_alias("auth_replica") == "auth_primary"
        assert connecting.ledger_alias("usual") == "usual"
    assert guarded == {"usual", "auth_primary"}


def test_databases_that_code_names_itself_are_guarded_where_no_router_speaks() -> None:
    pytest.importorskip("psycopg")
    assert guarded(one=postgres_entry(), two=postgres_entry(HOST="db2")) == ("one", "two")


def test_a_router_that_cannot_answer_for_whole_models_says_nothing_of_replicas() -> None:
    pytest.importorskip("psycopg")
    with override_settings(DATABASE_ROUTERS=[f"{__name__}.Hinted"]):
        assert guarded(one=postgres_entry(), two=postgres_entry(HOST="db2")) == ("one", "two")


def test_what_routers_say_is_asked_again_when_they_change() -> None:
    pytest.importorskip("psycopg")
    with _all_registered(FLEET):
        with override_settings(DATABASE_ROUTERS=[f"{__name__}.Replicas"]):
            assert connecting.ledger_alias("replica1") == "primary"
        assert connecting.ledger_alias("replica1") == "replica1"


def test_a_database_without_a_ledger_says_so(each: Place, tmp_path: Any) -> None:
    empty = databases.create(each.vendor, tmp_path)
    try:
        with registered("empty", settings_for(empty)) as alias, connecting.private(alias) as connection:
            ledger = Ledger(connection)
            assert not ledger.exists()
            with pytest.raises(LedgerMissing, match="migrate"):
                ledger.register(registration(), OLD, lease=LEASE)
            with pytest.raises(LedgerMissing, match="migrate"):
                ledger.readmit("a", OLD, lease=LEASE)
            for glimpses in ([], [glimpse()]):
                with pytest.raises(LedgerMissing, match="migrate"):
                    ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=1, glimpses=glimpses)
            assert connection.is_usable()
    finally:
        empty.drop()


def test_a_ledger_that_lost_its_gate_row_says_so(each: Place) -> None:
    each.query("DELETE FROM guard_gate")
    with each.ledger() as ledger:
        with pytest.raises(LedgerMissing, match="gate row"):
            ledger.register(registration("a"), OLD, lease=LEASE)
        assert ledger.instances() == ()
        with pytest.raises(LedgerMissing, match="gate row"):
            ledger.gate()
