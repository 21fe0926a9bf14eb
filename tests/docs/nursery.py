"""Runs `manage.py` in children of one process that has imported Django and guard already, but set up nothing.

A child is what a new interpreter would be when it comes to run manage.py, a second of work later. It reads one request
a line, as JSON, and answers each with one line:

    {"directory": …, "environ": {…}, "arguments": […], "output": FILE, "input": TEXT}    → {"code": …}
    {…, "stay": true}                                                                   → {"pid": …}
    {…, "columns": 80}: on a terminal that is so wide                                   → {"code": …}
    {"stop": PID, "signal": 2}                                                          → {"code": …}
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import os
import pty
import runpy
import signal
import socket
import struct
import sys
import termios
import traceback
from pathlib import Path
from typing import Any, NoReturn

MODULES = (
    *("django.core.management.commands.migrate", "django.core.management.commands.makemigrations"),
    *("django.core.management.commands.runserver", "django.core.handlers.wsgi", "django.db.backends.sqlite3.base"),
    *("django.db.migrations.executor", "django.contrib.auth.hashers", "sqlglot", "guard.gate.executor", "guard.checks"),
    *("guard.management.commands.guard", "guard.urls", "guard.middleware", "guard.alerts"),
    *("guard.attribution.attributor", "django.db.models.sql.compiler", "django.views.defaults"),
    # What the quickstart's project has as startproject makes it.
    *("django.forms", "django.views.generic", "django.template.loader_tags", "django.contrib.staticfiles.handlers"),
)


def _become(request: dict[str, Any], terminal: int | None) -> NoReturn:
    """The child: run manage.py, and end as it ends."""
    code: Any = 0
    try:
        os.setsid()
        # Generous: what hangs is ended by the kernel.
        signal.alarm(600)
        os.chdir(request["directory"])
        os.environ.clear()
        os.environ.update(request["environ"])
        # No page says on whose machine it was made.
        socket.gethostname = lambda: "web-1"
        if terminal is None:
            given, taken = os.pipe()
            os.write(taken, request.get("input", "").encode())
            os.close(taken)
            output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        else:
            given = output = terminal
        for own, of in ((0, given), (1, output), (2, output)):
            os.dup2(of, own)
        # As on a terminal, where what is said and what went wrong come in order.
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        sys.argv = ["manage.py", *request["arguments"]]
        sys.path.insert(0, request["directory"])
        sys.path_importer_cache.clear()
        runpy.run_path("manage.py", run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    # Through the interpreter's end, where exit handlers run.
    sys.exit(code)


_staying: set[int] = set()


def _answer(request: dict[str, Any]) -> dict[str, int]:
    if "stop" in request:
        return {"code": _stop(request["stop"], request["signal"])}
    screen, terminal = _terminal(request["columns"]) if "columns" in request else (None, None)
    pid = os.fork()
    if pid == 0:
        _become(request, terminal)
    if screen is not None and terminal is not None:
        os.close(terminal)
        Path(request["output"]).write_bytes(_shown(screen))
    if request.get("stay"):
        _staying.add(pid)
        return {"pid": pid}
    return {"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}


def _terminal(columns: int) -> tuple[int, int]:
    """A terminal: what somebody sees of it, and what a program writes to."""
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    return screen, terminal


def _shown(screen: int) -> bytes:
    """All that is written to a terminal until nobody has it any more."""
    parts = []
    # Linux says that the other end is gone by an error.
    with contextlib.suppress(OSError):
        while part := os.read(screen, 65_536):
            parts.append(part)
    os.close(screen)
    return b"".join(parts)


def _stop(pid: int, number: int) -> int:
    os.kill(pid, number)
    _staying.discard(pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    """Answer until nobody asks any more; then nothing is left of what stayed."""
    for module in MODULES:
        importlib.import_module(module)
    # Children neither collect it nor, by counting, copy its pages.
    gc.collect()
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w")
    asked = os.fdopen(os.dup(0))
    for line in asked:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()
    for pid in tuple(_staying):
        _stop(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
