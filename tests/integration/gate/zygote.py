"""Starts commands of generated projects as processes of their own, forked from one that has Django imported already.

Importing Django and the drivers takes longer than most commands; a fork has them at once, and is as real a process.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import sys
from typing import Any

#: Imported before the fork: what every command of every project imports, and what reads no settings.
COMMON = (
    "logging.config",
    "django.core.management",
    "django.core.management.commands.check",
    "django.core.management.commands.makemigrations",
    "django.core.management.commands.migrate",
    "django.core.paginator",
    "django.db.backends.sqlite3.base",
    "django.db.backends.postgresql.base",
    "django.db.backends.mysql.base",
    "django.db.migrations.autodetector",
    "django.db.migrations.executor",
    "django.template.defaulttags",
    "django.views.debug",
    "django.views.generic",
    "guard.alerts",
    "guard.gate.executor",
    "guard.management.commands.guard",
    "sentry_sdk",
    "wrapt",
)


def serve(path: str) -> None:
    """Answer requests on a socket, each in a child, until whoever started this goes away."""
    for module in COMMON:
        try:
            __import__(module)
        except ImportError:
            # A driver that is not installed: its database is skipped.
            continue
        except Exception as error:
            # The MySQL backend, without its driver.
            if type(error).__name__ != "ImproperlyConfigured":
                raise
    # Children neither collect it nor, by counting, copy its pages.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            conversation, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(conversation)
                os._exit(0)
            conversation.close()


def _answer(conversation: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with conversation, conversation.makefile("rw") as lines:
        asked = json.loads(lines.readline())
        if asked.get("stop"):
            os.kill(os.getppid(), signal.SIGTERM)
            return
        pid = os.fork()
        if pid == 0:
            _become(asked)
        lines.write(f"{pid}\n")
        lines.flush()
        _, status = os.waitpid(pid, 0)
        lines.write(f"{os.waitstatus_to_exitcode(status)}\n")


def _become(asked: dict[str, Any]) -> None:
    out = os.open(asked["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    err = os.open(asked["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, stream in enumerate((null, out, err)):
        os.dup2(stream, number)
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["directory"])
    sys.path.insert(0, asked["directory"])
    sys.argv = list(asked["argv"])
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        import atexit

        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
