"""A ledger on a database of the test's own, seen through guard's private connections and through others."""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from django.core.management import call_command
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from guard import conf
from guard.attribution.watchlist import Access
from guard.gate import evidence
from guard.gate.contract import Contractor
from guard.gate.orders import Desk
from guard.ledger import connecting, rows
from guard.ledger.store import Ledger
from guard.schema.footprint import Column, Footprint
from sampleapp.stage import databases
from sampleapp.stage.databases import Database

T = TypeVar("T")

ENGINES = {"sqlite": "sqlite3", "postgres": "postgresql", "mariadb": "mysql"}
USERS = {"sqlite": "", "postgres": "postgres", "mariadb": "root"}

#: Seconds that no test outlives.
LEASE = 3_600.0
#: Seconds after which work is taken to hang, on however busy a machine.
HANGS = 300

TABLES = ("guard_instance", "guard_footprint", "guard_step", "guard_sighting", "guard_alert", "guard_event")

#: Old code declares shop_item.old, new code does not.
OLD = Footprint(
    tables={"shop_item": {"id": Column("bigint", False, False), "old": Column("integer", True, False)}},
    migrations=frozenset({("shop", "0001_initial")}),
)
NEW = Footprint(
    tables={"shop_item": {"id": Column("bigint", False, False)}},
    migrations=frozenset({("shop", "0001_initial"), ("shop", "0002_remove_old")}),
)


def settings_for(database: Database, **changes: Any) -> dict[str, Any]:
    """An entry of DATABASES."""
    server = database.vendor != "sqlite"
    entry: dict[str, Any] = {
        "ENGINE": f"django.db.backends.{ENGINES[database.vendor]}",
        "NAME": database.name,
        "HOST": database.host,
        "PORT": database.port,
        "USER": os.environ.get("DB_USER", USERS[database.vendor]) if server else "",
        "PASSWORD": os.environ.get("DB_PASSWORD", "") if server else "",
        # Nothing here is about what a crash leaves, so nobody waits for the disk.
        "OPTIONS": {} if server else {"init_command": "PRAGMA synchronous = OFF"},
    }
    return entry | changes


def configured(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with Django's defaults."""
    full: dict[str, dict[str, Any]] = connections.configure_settings({"default": dict(entry)})
    return full["default"]


@contextmanager
def registered(alias: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """The entry under an alias, for as long as the block runs."""
    connections.settings[alias] = configured(entry)
    try:
        yield alias
    finally:
        if hasattr(connections._connections, alias):
            connections[alias].close()
            del connections[alias]
        del connections.settings[alias]


class Place:
    """A database with a ledger in it."""

    def __init__(self, database: Database, alias: str) -> None:
        self.database = database
        self.alias = alias

    @property
    def vendor(self) -> str:
        return self.database.vendor

    @contextmanager
    def ledger(self, alias: str = "") -> Iterator[Ledger]:
        """On a private connection, as guard uses it."""
        with connecting.private(alias or self.alias) as connection:
            yield Ledger(connection)

    @contextmanager
    def another(self, **changes: Any) -> Iterator[str]:
        """Another alias of the same database, with other settings."""
        with registered(f"other_{uuid.uuid4().hex[:8]}", settings_for(self.database, **changes)) as alias:
            yield alias

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """One statement on a connection of its own, that of an administrator. Placeholders are `?`."""
        return self.database.query(sql, parameters)

    def wipe(self) -> None:
        """An empty ledger in use."""
        with self.ledger() as ledger, ledger.transaction():
            for table in (*TABLES, "guard_order", "guard_pulse", "guard_gate"):
                ledger._run(f"DELETE FROM {table}")
            ledger.make_gate(fresh=False)


@contextmanager
def place(vendor: str, directory: Path, database: Database | None = None) -> Iterator[Place]:
    """A new database with guard's tables in it."""
    made = database or databases.create(vendor, directory)
    if vendor == "postgres":
        made.query(f"ALTER DATABASE {made.name} SET synchronous_commit = off")
    try:
        with registered(f"ledger_{uuid.uuid4().hex[:8]}", settings_for(made)) as alias:
            call_command("migrate", "guard", database=alias, verbosity=0)
            found = Place(made, alias)
            with found.ledger() as ledger:
                ledger.make_gate(fresh=False)
            yield found
    finally:
        made.drop()


def registration(name: str = "", **changes: Any) -> rows.Registration:
    """A web server of release r1."""
    usual = rows.Registration(
        id=name or uuid.uuid4().hex,
        release="r1",
        kind=rows.InstanceKind.SERVER,
        workload="web",
        recurring=False,
        host="host",
        pid=1,
    )
    return dataclasses.replace(usual, **changes)


def glimpse(**changes: Any) -> rows.Glimpse:
    """A read of shop_item.old, seen a moment ago."""
    usual = rows.Glimpse(
        table="shop_item",
        column="old",
        access=Access.READ,
        call_site="shop/views.py:1 in view",
        route="items/",
        shape="SELECT old FROM shop_item",
        reason="name",
        star=False,
        count=1,
        first_age=1.0,
        last_age=0.5,
        stale=False,
        migration="shop.0002_remove_old",
    )
    return dataclasses.replace(usual, **changes)


def step(column: str = "old", **changes: Any) -> rows.Step:
    """The removal of a column of shop_item, to be slated."""
    usual = rows.Step(
        id=0,
        kind=rows.StepKind.COLUMN,
        state=rows.StepState.WAITING,
        app="shop",
        migration="0002_remove_old",
        table="shop_item",
        column=column,
    )
    return dataclasses.replace(usual, **changes)


def turned(ledger: Ledger, before: rows.Step, state: rows.StepState, **changes: Any) -> rows.Step:
    """The step brought into another state, as the gate does."""
    return ledger.save(before, dataclasses.replace(before, state=state, version=before.version + 1, **changes))


@contextmanager
def counted(connection: BaseDatabaseWrapper) -> Iterator[list[str]]:
    """The statements that go through a connection."""
    seen: list[str] = []

    def look(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        yield seen


def waited_too_long(error: OperationalError) -> bool:
    """Whether a lock was not to be had in time; a deadlock is no such thing."""
    return getattr(error.__cause__, "sqlstate", None) == "55P03" or error.args[0] == 1205


def together(works: Sequence[Callable[[], T]]) -> list[T]:
    """Run each in a thread of its own; what each returned. Raises what one of them raised."""
    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(HANGS) for future in [pool.submit(work) for work in works]]


#: No window lasts: what decides is who is there.
CONFIG = conf.Config(
    mode=conf.Mode.ENFORCE,
    lost_grace=0.0,
    quiet_period=0.0,
    rollback_window=0.0,
    adoption_period=0.0,
    workload_window=3_600.0,
)


@contextmanager
def desk(place: Place, config: conf.Config = CONFIG) -> Iterator[Desk]:
    with connecting.private(place.alias) as connection:
        yield Desk(Contractor(connection, config, evidence.Taker(NEW, "r2", "somebody@somewhere")))
