"""Takers of the column, and whoever gives it back or uses it, each stopped or killed before one of its statements.

Lines "SIGNAL NUMBER WORK" come in; out goes "stopped", and it goes on at the next line; then what became of it, or
"ended CODE" (negative: by that signal). CUT ends the session in which guard sealed the step, and then stops.
"""

import dataclasses
import os
import signal
import sys
import traceback
import uuid
from contextlib import closing

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from django.core.management import CommandError  # noqa: E402
from django.db import DatabaseError, connections  # noqa: E402
from django.db.backends.signals import connection_created  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402

from guard.gate import contract  # noqa: E402
from guard.ledger import connecting, rows  # noqa: E402
from guard.ledger.protocol import ProtocolError  # noqa: E402
from guard.ledger.tables import Conflict  # noqa: E402
from guard.runtime import watch  # noqa: E402
from guard.runtime.lease import Identity, Lease  # noqa: E402
from tests.integration.runtime import ordeal  # noqa: E402

READ = "SELECT old FROM stock_item"
CHANGES = ("ALTER ", "CREATE ", "DROP ", "INSERT ", "UPDATE ", "DELETE ", "SELECT GET_LOCK")
RESULTS = [*contract.Outcome.__members__, "RESTORED", "RAN", "HELD", "FAILED", "LIVE", "REFUSED"]


class Fault:
    """Before each change of the database, and after each COMMIT."""

    def __init__(self, name, at):
        self.name, self.left, self.committed = name, at, False
        self.sessions = []

    def __call__(self, execute, sql, params, many, context):
        # Several go to PostgreSQL at once; a transaction that ends with them and has changed nothing was a look.
        parts = [part.strip().upper() for part in str(sql).split(";")]
        begins, ends = parts[0].startswith("BEGIN"), parts[-1] == "COMMIT"
        changes = any(part.startswith(CHANGES) for part in parts) or begins != ends
        if changes or self.committed:
            self.left -= 1
            if self.left == 0:
                self.strike()
        self.committed = changes and ends
        return execute(sql, params, many, context)

    def strike(self):
        if self.name == "CUT":
            for connection in self.sessions:
                if connection.connection is not None:
                    cut(connection)
        os.kill(os.getpid(), signal.SIGSTOP if self.name == "CUT" else signal.Signals[self.name])

    def connected(self, connection, **_):
        if self not in connection.execute_wrappers:
            connection.execute_wrappers.append(self)
        if connecting.is_private(connection):
            self.sessions.append(connection)


def cut(connection):
    """The server ends a session; it is gone when this returns."""
    with closing(connections["default"].copy()) as other, other.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_terminate_backend(%s, 60000)", [connection.connection.info.backend_pid])
            return
        number = connection.connection.thread_id()
        cursor.execute(f"KILL {number}")
        there = 1
        while there:
            there = cursor.execute("SELECT 1 FROM information_schema.processlist WHERE id = %s", [number])


def take(connection):
    return ordeal.take(connection).name


def erase(connection):
    return ordeal.erase(connection).name


def restore(connection):
    ordeal.restore(connection)
    return "RESTORED"


def migrate(connection):
    contract.taker = lambda alias: dataclasses.replace(ordeal.TAKER, instance="")
    executor = MigrationExecutor(connections["default"])
    executor.migrate([ordeal.WHOLE])
    return "RAN" if ordeal.WHOLE in executor.recorder.applied_migrations() else "HELD"


def serve():
    """A whole life: what it was told when it registered."""
    lease = Lease("default", Identity(uuid.uuid4().hex, rows.InstanceKind.SERVER, "web", False, "elsewhere", 1))
    lease.register()
    told = lease.state.name
    eye = watch.eye("default")
    eye.count(READ, eye.attributor.touches(READ))
    lease.beat()
    lease.leave()
    return told


def work(name, at, what):
    # So that nobody waits long for one that was stopped.
    contract.DDL_IDLE = 0.5
    fault = Fault(name, at)
    connection_created.connect(fault.connected)
    if what == "serve":
        return serve()
    # As guard's own command, which never registers.
    with watch.quiet(), connecting.private("default") as connection:
        return {"take": take, "erase": erase, "restore": restore, "migrate": migrate}[what](connection)


for line in sys.stdin:
    name, at, what = line.split()
    pid = os.fork()
    if not pid:
        code = 99
        try:
            code = RESULTS.index(work(name, int(at), what))
        except (CommandError, Conflict, DatabaseError, ProtocolError):
            traceback.print_exc()
            code = RESULTS.index("FAILED")
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        print("stopped", flush=True)
        sys.stdin.readline()
        os.kill(pid, signal.SIGCONT)
        _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    print(RESULTS[code] if 0 <= code < 99 else f"ended {code}", flush=True)
