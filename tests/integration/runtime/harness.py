"""A small project on a database of its own, its processes, and its ledger as the tests read and write it."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.ledger import rows
from guard.ledger.store import Ledger
from sampleapp.stage.databases import Database
from sampleapp.stage.processes import PATIENCE, free_port, until
from tests import patience

SITE = Path(__file__).parent / "site"
ROOT = Path(__file__).resolve().parents[3]

T = TypeVar("T")

#: Seconds: longer than any pause of a busy machine.
LEASE = 60.0

#: Where Celery's messages go.
BROKER = os.environ.get("GUARD_TEST_BROKER", "amqp://guest:guest@127.0.0.1:5672//")

ENGINES = {"sqlite": "sqlite3", "postgres": "postgresql", "mariadb": "mysql"}
USERS = {"sqlite": "", "postgres": "postgres", "mariadb": "root"}


class Site:
    """The project on one database. What it starts is killed at the end."""

    def __init__(self, database: Database, directory: Path, **guard: object) -> None:
        self.database = database
        self.directory = directory
        self.guard: dict[str, object] = {"MODE": "enforce", "LEASE": LEASE, "RELEASE": "r1"} | guard
        #: Seconds between two beats; None: a third of the lease, as usual.
        self.beat: float | None = 1.0
        self.middleware = True
        self.variables: dict[str, str] = {}
        #: Of the database, beside the usual ones.
        self.options: dict[str, object] = {}
        #: Further keys of its entry, for the project's processes and `registered` only.
        self.changes: dict[str, object] = {}
        self._running: list[subprocess.Popen[str]] = []

    @property
    def settings(self) -> dict[str, Any]:
        """The entry of DATABASES."""
        server = self.database.vendor != "sqlite"
        return {
            "ENGINE": f"django.db.backends.{ENGINES[self.database.vendor]}",
            "NAME": self.database.name,
            "HOST": self.database.host,
            "PORT": self.database.port,
            "USER": os.environ.get("DB_USER", USERS[self.database.vendor]) if server else "",
            "PASSWORD": os.environ.get("DB_PASSWORD", ""),
            # Nothing here is about what a crash of the machine leaves, so nobody waits for the disk.
            "OPTIONS": self.options if server else {"timeout": 60, "init_command": "PRAGMA synchronous = OFF"},
        }

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "GUARD", "COV_"))}
        return kept | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(SITE), str(patience.DIRECTORY)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            # Guard's own code must give no warning in any process.
            "PYTHONWARNINGS": "error:::guard",
            "DJANGO_SETTINGS_MODULE": "settings",
            "DATABASES": json.dumps({"default": self.settings | self.changes}),
            "GUARD": json.dumps(self.guard),
            "MIDDLEWARE": "1" if self.middleware else "0",
            "STATIC_ROOT": str(self.directory / "static"),
            **patience.environ(**self._beats),
            **self.variables,
        }

    @property
    def _beats(self) -> dict[str, float]:
        lease = self.guard["LEASE"]
        assert isinstance(lease, int | float)
        return {} if self.beat is None else {"beats": lease / self.beat}

    def migrate(self) -> None:
        """Make the tables, guard's included, with guard itself standing aside."""
        mode, self.guard["MODE"] = self.guard["MODE"], "off"
        self.run("manage.py", "migrate", "-v0")
        self.guard["MODE"] = mode
        with self.ledger() as ledger:
            ledger.make_gate(fresh=False)

    def run(self, *args: str, code: int | None = 0, timeout: float = 300.0) -> str:
        """Run python with these arguments to its end; what it printed, and what it logged."""
        ended = subprocess.run(
            [sys.executable, *args],
            cwd=SITE,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        if code is not None:
            assert ended.returncode == code, f"{args} exited {ended.returncode}:\n{ended.stdout}"
        return ended.stdout

    def start(self, *args: str, within: Sequence[str] = ()) -> Running:
        """Start python with these arguments, `within` what another command makes for it."""
        log = self.directory / f"{len(self._running)}.log"
        with log.open("w") as out:
            popen = subprocess.Popen(
                [*within, sys.executable, *args],
                cwd=SITE,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self._running.append(popen)
        return Running(popen, log)

    def running(self, popen: subprocess.Popen[str]) -> None:
        """A process that somebody else has started for this site, in a session of its own."""
        self._running.append(popen)

    def gunicorn(self, *options: str, workers: int = 1) -> Server:
        """Start gunicorn and wait until it answers."""
        port = free_port()
        running = self.start(
            *("-m", "gunicorn", "wsgi", "--bind", f"127.0.0.1:{port}", "--workers", str(workers)),
            *("--no-control-socket", "--graceful-timeout", "60", "--timeout", "300", *options),
        )
        return Server(running, port).until_up()

    def uvicorn(self, *options: str) -> Server:
        """Start uvicorn and wait until it answers."""
        port = free_port()
        running = self.start(
            "-m", "uvicorn", "asgi:application", "--port", str(port), "--log-level", "warning", *options
        )
        return Server(running, port).until_up()

    def celery(self, *options: str, queues: Sequence[str]) -> Running:
        """Start a Celery worker on these queues of the broker; it may not have begun yet."""
        self.variables["BROKER"] = BROKER
        quick = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO")
        return self.start("-m", "celery", "-A", "worker", "worker", "-Q", ",".join(queues), *quick, *options)

    def runserver(self, *options: str) -> Server:
        """Start runserver and wait until it answers."""
        port = free_port()
        return Server(self.start("manage.py", "runserver", f"127.0.0.1:{port}", *options), port).until_up()

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger, on a connection of the test's own."""
        with self.connection() as connection:
            yield Ledger(connection)

    @contextmanager
    def connection(self) -> Iterator[BaseDatabaseWrapper]:
        """A connection of the test's own."""
        module = importlib.import_module(f"{self.settings['ENGINE']}.base")
        settings = self.settings if self.database.vendor == "sqlite" else self.settings | {"OPTIONS": {}}
        full = connections.configure_settings({"default": settings})["default"]
        connection: BaseDatabaseWrapper = module.DatabaseWrapper(full, "default")
        connection.guard_private = True  # type: ignore[attr-defined]
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def registered(self) -> Iterator[str]:
        """An alias of the test's own process for the database."""
        alias = f"site_{uuid.uuid4().hex[:8]}"
        connections.settings[alias] = connections.configure_settings({"default": self.settings | self.changes})[
            "default"
        ]
        try:
            yield alias
        finally:
            if hasattr(connections._connections, alias):
                connections[alias].close()
                del connections[alias]
            del connections.settings[alias]

    def execute(self, sql: str) -> None:
        """Run one statement."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(sql)

    def instances(self) -> tuple[rows.Instance, ...]:
        with self.ledger() as ledger:
            return ledger.instances()

    def instance(self) -> rows.Instance:
        """The only one."""
        (found,) = self.instances()
        return found

    def live(self) -> tuple[rows.Instance, ...]:
        """Those that have not said that they are gone."""
        return tuple(row for row in self.instances() if row.state is not rows.InstanceState.GONE)

    def freeze(self, pid: int) -> None:
        """Stop a process where it stands, but not while it has a database's file locked: nobody else could go on."""

        def stopped() -> bool:
            os.kill(pid, signal.SIGSTOP)
            until("it stands still", lambda: _state(pid) == "T", every=0.01)
            if self.database.vendor != "sqlite":
                return True
            with contextlib.closing(sqlite3.connect(self.database.name, timeout=1.0, isolation_level=None)) as other:
                try:
                    other.execute("BEGIN EXCLUSIVE")
                except sqlite3.OperationalError:
                    os.kill(pid, signal.SIGCONT)
                    return False
                other.execute("ROLLBACK")
            return True

        until("it stops where it has no lock", stopped)

    def sightings(self) -> tuple[rows.Sighting, ...]:
        with self.ledger() as ledger:
            return ledger.sightings("stock_item", "old")

    def slate(self, *, stale: bool = False) -> rows.Step:
        """Slate stock_item.old; `stale`: by a migration that the project has."""
        migration = "0001_initial" if stale else "0002_remove_item_old"
        step = rows.Step(
            0, rows.StepKind.COLUMN, rows.StepState.WAITING, "stock", migration, table="stock_item", column="old"
        )
        with self.ledger() as ledger:
            return ledger.slate(step)

    def turn(self, step: rows.Step, state: rows.StepState) -> rows.Step:
        """Bring the step into another state, as the gate does."""
        with self.ledger() as ledger:
            return ledger.save(step, dataclasses.replace(step, state=state, version=step.version + 1))

    def end(self) -> None:
        """Kill whatever is left, children included."""
        for popen in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()


def _state(pid: int) -> str:
    """The first letter of what ps says a process does."""
    return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout[:1].upper()


class Running:
    """A process that goes on."""

    def __init__(self, popen: subprocess.Popen[str], log: Path) -> None:
        self.popen = popen
        self.log = log

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM, *, within: float = PATIENCE) -> int:
        """Send the signal and wait for the end; the exit code, negative for a signal."""
        self.popen.send_signal(number)
        return self.popen.wait(within)


class Server:
    """A server that answers."""

    def __init__(self, running: Running, port: int) -> None:
        self.running = running
        self.port = port

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def ready(self) -> bool:
        return self.get("/guard/ready/")[0] == 200

    def until_up(self) -> Server:
        def answers() -> bool:
            assert self.running.popen.poll() is None, self.running.text
            try:
                return self.get("/guard/ready/")[0] in (200, 503)
            except OSError:
                return False

        until("the server answers", answers)
        return self


def eventually(what: str, probe: Callable[[], T], *, within: float = PATIENCE) -> T:
    """Ask until the answer is true, and return it."""
    return until(what, probe, within=within)
