"""Small projects as generated code trees, their commands as processes, and their ledger as tests read and write it."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.ledger import rows
from guard.ledger.store import Ledger
from guard.schema.footprint import Footprint
from guard.steps.ddl import ColumnFacts, ddl_for
from guard.steps.locks import is_timeout
from sampleapp.stage import databases
from sampleapp.stage.databases import Database
from sampleapp.stage.processes import until

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[3]

ENGINES = {"sqlite": "sqlite3", "postgres": "postgresql", "mariadb": "mysql"}
USERS = {"sqlite": "", "postgres": "postgres", "mariadb": "root"}

#: Seconds that no test outlives.
LEASE = 3_600.0

#: No window lasts, so that what decides is who is there; what would be erased at once is kept.
WINDOWS: dict[str, object] = {
    "MODE": "enforce",
    "LOST_GRACE": 0,
    "QUIET_PERIOD": 0,
    "ROLLBACK_WINDOW": 0,
    "ADOPTION_PERIOD": 0,
    "WORKLOAD_WINDOW": 0,
    "KEEP_FOR": 600,
    # MariaDB looks into tables in the background, and holds their locks for a moment.
    "LOCK_PATIENCE": 60,
    "MIGRATE_BUDGET": 600,
}

_MANAGE = """\
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
"""

_SETTINGS = """\
import json
import os

SECRET_KEY = "shop"
USE_TZ = True
DEBUG = os.environ.get("DEBUG") == "1"
INSTALLED_APPS = json.loads(os.environ["APPS"])
MIDDLEWARE = {
    "0": [],
    "late": ["django.contrib.auth.middleware.AuthenticationMiddleware", "guard.middleware.GuardMiddleware"],
}.get(os.environ.get("MIDDLEWARE"), ["guard.middleware.GuardMiddleware"])
DATABASES = json.loads(os.environ["DATABASES"])
DATABASE_ROUTERS = json.loads(os.environ.get("ROUTERS", "[]"))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
GUARD = json.loads(os.environ["GUARD"])

exec(os.environ.get("MORE_SETTINGS", ""))

if "DIE_AT" in os.environ:
    from tests.integration.gate import faults

    faults.install(int(os.environ["DIE_AT"]))
"""

_FOOTPRINT = """\
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import django

django.setup()

from guard.schema import declared

print(declared.footprint("default").to_json())
"""

_HEAD = "from django.db import models\n\n\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def ok(self, code: int = 0) -> Done:
        """Itself; raises AssertionError, with its output, where it ended otherwise, or with a traceback."""
        assert self.code == code, f"{' '.join(self.argv)} exited {self.code}, not {code}\n{self.text}"
        assert "Traceback" not in self.text, self.text
        return self


class Zygote:
    """Where commands are forked from."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket = str(directory / "zygote")
        self._count = 0
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "GUARD", "COV_"))
        }
        self.environ = environ | {
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error:::guard",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._popen = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py")), self._socket],
            env=self.environ,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._popen.stdout is not None
        assert self._popen.stdout.readline() == "ready\n"

    def start(self, tree: Path, argv: Sequence[str], environ: Mapping[str, str], *, out: Path | None = None) -> Running:
        """Start a script of a tree; its output, and errors, go to `out` where that is given (a terminal, a pipe)."""
        self._count += 1
        err = out or self._directory / f"{self._count}.err"
        out = out or self._directory / f"{self._count}.out"
        conversation = socket.socket(socket.AF_UNIX)
        conversation.settimeout(300)
        conversation.connect(self._socket)
        lines = conversation.makefile("rw")
        asked = {
            "argv": list(argv),
            "directory": str(tree),
            "environ": self.environ | dict(environ),
            "out": str(out),
            "err": str(err),
        }
        lines.write(json.dumps(asked) + "\n")
        lines.flush()
        return Running(tuple(argv), conversation, lines, int(lines.readline()), out, err)

    def run(self, tree: Path, argv: Sequence[str], environ: Mapping[str, str]) -> Done:
        """Run a script of a tree to its end."""
        return self.start(tree, argv, environ).wait()

    def stop(self) -> None:
        self._popen.terminate()
        self._popen.wait()
        assert self._popen.stdout is not None
        self._popen.stdout.close()


@dataclasses.dataclass(slots=True)
class Running:
    """A command that goes on."""

    argv: tuple[str, ...]
    conversation: socket.socket
    lines: Any
    pid: int
    out: Path
    err: Path

    def wait(self) -> Done:
        """Wait for its end, five minutes at most."""
        with self.conversation, self.lines:
            code = int(self.lines.readline())
        return Done(self.argv, code, self.out.read_text(), self.err.read_text())


@dataclasses.dataclass(frozen=True, slots=True)
class Tree:
    """A release: a directory with a project, its app `shop`, and the app's migrations."""

    name: str
    path: Path

    def migrations(self) -> list[str]:
        return sorted(p.stem for p in (self.path / "shop" / "migrations").glob("0*.py"))


class Trees:
    """Makes releases, each on the one before it; the same release is made once."""

    def __init__(self, directory: Path, zygote: Zygote) -> None:
        self._directory = directory
        self._zygote = zygote
        self._made: dict[tuple[object, ...], Tree] = {}

    def make(self, before: Tree | None, models: str, *, migrations: Mapping[str, str] | None = None) -> Tree:
        """The release with these models, with what `makemigrations` writes for them, or with migrations as given."""
        key = (before, models, tuple(sorted((migrations or {}).items())))
        if key not in self._made:
            self._made[key] = self._make(before, models, migrations)
        return self._made[key]

    def _make(self, before: Tree | None, models: str, migrations: Mapping[str, str] | None) -> Tree:
        name = f"r{1 if before is None else int(before.name[1:]) + 1}"
        path = self._directory / f"{len(self._made)}_{name}"
        shop = path / "shop"
        (shop / "migrations").mkdir(parents=True)
        (shop / "__init__.py").touch()
        (shop / "migrations" / "__init__.py").touch()
        (shop / "models.py").write_text(_HEAD + models)
        for file, text in (("manage.py", _MANAGE), ("settings.py", _SETTINGS), ("footprint.py", _FOOTPRINT)):
            (path / file).write_text(text)
        if before is not None:
            for migration in (before.path / "shop" / "migrations").glob("0*.py"):
                shutil.copy(migration, shop / "migrations")
        for file, text in (migrations or {}).items():
            (shop / "migrations" / f"{file}.py").write_text(text)
        if not migrations:
            settings = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path / "none.sqlite3")}}
            environ = {"DATABASES": json.dumps(settings), "GUARD": '{"MODE": "off"}', "APPS": '["shop"]'}
            self._zygote.run(path, ["manage.py", "makemigrations", "shop", "--noinput", "-v0"], environ).ok()
        return Tree(name, path)


def migration(name: str, after: str, operations: str, *, extra: str = "") -> dict[str, str]:
    """A migration as it is written by hand."""
    return {
        name: f"from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
        f"    dependencies = [('shop', {after!r})]\n{extra}\n    operations = [{operations}]\n"
    }


def entry(database: Database) -> dict[str, Any]:
    """The entry of DATABASES."""
    server = database.vendor != "sqlite"
    return {
        "ENGINE": f"django.db.backends.{ENGINES[database.vendor]}",
        "NAME": database.name,
        "HOST": database.host,
        "PORT": database.port,
        "USER": os.environ.get("DB_USER", USERS[database.vendor]) if server else "",
        "PASSWORD": os.environ.get("DB_PASSWORD", ""),
        "OPTIONS": {} if server else {"timeout": 60, "init_command": "PRAGMA synchronous = OFF"},
    }


@contextmanager
def connect(database: Database) -> Iterator[BaseDatabaseWrapper]:
    """A connection of the test's own."""
    settings = entry(database)
    module = importlib.import_module(f"{settings['ENGINE']}.base")
    full = connections.configure_settings({"default": settings})["default"]
    connection: BaseDatabaseWrapper = module.DatabaseWrapper(full, "default")
    connection.guard_private = True  # type: ignore[attr-defined]
    try:
        yield connection
    finally:
        connection.close()


def clone(template: Database, directory: Path) -> Database:
    """A database with the same tables and rows."""
    database = databases.create(template.vendor, directory)
    if template.vendor == "sqlite":
        shutil.copy(template.name, database.name)
    elif template.vendor == "postgres":
        database.drop()
        template.copy_to(database.name)
    else:
        with connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", [template.name])
            for (table,) in cursor.fetchall():
                cursor.execute(f"SHOW CREATE TABLE `{template.name}`.`{table}`")
                cursor.execute(cursor.fetchone()[1].replace("%", "%%"), [])
                cursor.execute(f"INSERT INTO `{table}` SELECT * FROM `{template.name}`.`{table}`")
    return database


class Shop:
    """The generated project on one database."""

    def __init__(self, database: Database, trees: Trees, zygote: Zygote) -> None:
        self.database = database
        self.trees = trees
        self.zygote = zygote
        self.guard: dict[str, object] = dict(WINDOWS)
        self.apps = ["guard", "shop"]
        self.environ: dict[str, str] = {}
        #: The instance that came with the last deploy.
        self.serving = ""

    @property
    def vendor(self) -> str:
        return self.database.vendor

    def start(self, tree: Tree, *args: str, out: Path | None = None, **environ: str) -> Running:
        """Start `manage.py` of a release; see Zygote.start."""
        return self.zygote.start(tree.path, ["manage.py", *args], self._environ(tree) | environ, out=out)

    def variables(self, tree: Tree) -> dict[str, str]:
        """The environment of a release's processes, for one that is not forked from the zygote."""
        return self.zygote.environ | self._environ(tree)

    def run(self, tree: Tree, *args: str, **environ: str) -> Done:
        """Run `manage.py` of a release to its end."""
        return self.start(tree, *args, **environ).wait()

    def migrate(self, tree: Tree, *args: str, code: int = 0, **environ: str) -> Done:
        return self.run(tree, "migrate", *args, **environ).ok(code)

    def contract(self, tree: Tree, *args: str, code: int = 0, **environ: str) -> Done:
        return self.run(tree, "guard", "contract", *args, **environ).ok(code)

    def _environ(self, tree: Tree) -> dict[str, str]:
        return {
            "DATABASES": json.dumps({"default": entry(self.database)}),
            "GUARD": json.dumps({"RELEASE": tree.name} | self.guard),
            "APPS": json.dumps(self.apps),
        } | self.environ

    # The fleet

    def footprint(self, tree: Tree) -> Footprint:
        """What the release brings."""
        known = _footprints.get(tree.path)
        if known is None:
            ended = self.zygote.run(tree.path, ["footprint.py"], self._environ(tree)).ok()
            known = _footprints[tree.path] = Footprint.from_json(ended.out)
        return known

    def arrive(self, tree: Tree, *, lease: float = LEASE, kind: rows.InstanceKind = rows.InstanceKind.SERVER) -> str:
        """An instance of the release registers; its id."""
        me = rows.Registration(uuid.uuid4().hex, tree.name, kind, "web", False, "host", 1)
        with self.ledger() as ledger:
            # As processes do it: where the gate was not to be had in time, again at the next beat.
            until("it registers", lambda: _in_time(lambda: ledger.register(me, self.footprint(tree), lease=lease)))
        return me.id

    def leave(self, instance: str) -> None:
        with self.ledger() as ledger:
            ledger.leave(instance)

    def beat(self, instance: str) -> None:
        """The instance renews its lease, and has flushed for the watch list as it is."""
        with self.ledger() as ledger:
            for _ in range(2):
                ledger.beat(instance, lease=LEASE, watched_epoch=ledger.epoch(), flush_no=1)

    def deploy(self, old: Tree, new: Tree, *args: str, **environ: str) -> Done:
        """An instance of the old release serves while the new one migrates, and is replaced by one of the new."""
        serving = self.arrive(old)
        done = self.migrate(new, *args, **environ)
        self.serving = self.roll(serving, new)
        return done

    def empty(self) -> None:
        """Nothing of the last deploy serves any more."""
        self.leave(self.serving)

    def set_aside(self, old: Tree, new: Tree) -> None:
        """Deploy, and take every step."""
        self.deploy(old, new)
        self.contract(new)

    def roll(self, old: str, new: Tree) -> str:
        """The old instance is replaced by one of a new release."""
        arrived = self.arrive(new)
        self.leave(old)
        return arrived

    # The ledger

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        with connect(self.database) as connection:
            yield Ledger(connection)

    def step(self, target: str, *, kind: rows.StepKind = rows.StepKind.COLUMN) -> rows.Step:
        """The newest step of this kind for TABLE.COLUMN (or APP.MIGRATION)."""
        with self.ledger() as ledger:
            return [s for s in ledger.steps() if s.kind is kind and s.target == target][-1]

    def states(self) -> dict[str, str]:
        """Steps that remove a column, by column."""
        with self.ledger() as ledger:
            return {s.column: s.state.value for s in ledger.steps() if s.kind is rows.StepKind.COLUMN}

    def aged(self, seconds: float) -> None:
        """As if all that the ledger knows had happened so much earlier."""
        with self.ledger() as ledger:
            ledger._run(
                "UPDATE guard_step SET slated_at = slated_at - %s, aside_at = aside_at - %s", [seconds, seconds]
            )

    # The database

    @contextmanager
    def connection(self) -> Iterator[BaseDatabaseWrapper]:
        with connect(self.database) as connection:
            yield connection

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """One statement, in which double quotes surround names."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(sql.replace('"', "`") if self.vendor == "mariadb" else sql)
            return list(cursor.fetchall()) if cursor.description else []

    def facts(self, column: str, table: str = "shop_product") -> ColumnFacts | None:
        with self.connection() as connection:
            return ddl_for(connection, lambda sql, params: None).facts(table, column)

    def recorded(self) -> set[str]:
        return {row[0] for row in self.query("SELECT name FROM django_migrations WHERE app = 'shop'")}

    def columns(self, table: str = "shop_product") -> set[str]:
        return self.database.columns(table)

    def insert(self, table: str = "shop_product", **values: object) -> None:
        """A row, as code would insert it that knows these columns."""
        with self.connection() as connection, connection.cursor() as cursor:
            names = ", ".join(connection.ops.quote_name(name) for name in values)
            marks = ", ".join(["%s"] * len(values))
            cursor.execute(
                f"INSERT INTO {connection.ops.quote_name(table)} ({names}) VALUES ({marks})", [*values.values()]
            )


def _in_time(work: Callable[[], T]) -> T | None:
    """What it came to; None where a lock was not to be had in time."""
    try:
        return work()
    except DatabaseError as error:
        if not is_timeout(error):
            raise
        return None


_footprints: dict[Path, Footprint] = {}
