"""Takers of the column, each stopped or killed before one of its statements.

Lines "SIGNAL NUMBER" come in; out goes "stopped", and the taker goes on at the next line; then "ended CODE" (negative:
by that signal), or the outcome.
"""

import os
import signal
import sys
import traceback

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from guard.gate import contract  # noqa: E402
from guard.ledger import connecting  # noqa: E402
from guard.runtime import watch  # noqa: E402
from tests.integration.runtime import ordeal  # noqa: E402

CHANGES = ("ALTER ", "CREATE ", "DROP ", "INSERT ", "UPDATE ", "DELETE ", "SELECT GET_LOCK")


class Fault:
    """Before each change of the database, and after each COMMIT."""

    def __init__(self, number, at):
        self.number, self.left, self.committed = number, at, False

    def __call__(self, execute, sql, params, many, context):
        # Several go to PostgreSQL at once; a transaction that ends with them and has changed nothing was a look.
        parts = [part.strip().upper() for part in str(sql).split(";")]
        begins, ends = parts[0].startswith("BEGIN"), parts[-1] == "COMMIT"
        changes = any(part.startswith(CHANGES) for part in parts) or begins != ends
        if changes or self.committed:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.number)
        self.committed = changes and ends
        return execute(sql, params, many, context)


def work(number, at):
    # So that nobody waits long for one that was stopped.
    contract.DDL_IDLE = 0.5
    # As guard's own command, which never registers.
    with watch.quiet(), connecting.private("default") as connection:
        connection.execute_wrappers.append(Fault(number, at))
        return list(contract.Outcome).index(ordeal.take(connection))


for line in sys.stdin:
    name, at = line.split()
    pid = os.fork()
    if not pid:
        code = 99
        try:
            code = work(signal.Signals[name], int(at))
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
    print(list(contract.Outcome)[code].name if 0 <= code < 99 else f"ended {code}", flush=True)
