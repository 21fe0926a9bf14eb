"""Runs `manage.py` in children of one process that has imported Django and guard already, but set up nothing.

A child is what a new interpreter would be when it comes to run manage.py, a second of work later. It reads one request
a line, as JSON, and answers each with one line:

    {"directory": …, "environ": {…}, "arguments": […], "output": FILE, "input": TEXT}    → {"code": …}
    {…, "stay": true}                                                                   → {"pid": …}
    {"stop": PID, "signal": 2}                                                          → {"code": …}
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
import traceback
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


def _become(request: dict[str, Any]) -> NoReturn:
    """The child: run manage.py, and end as it ends."""
    code: Any = 0
    try:
        os.setsid()
        os.chdir(request["directory"])
        os.environ.clear()
        os.environ.update(request["environ"])
        given, taken = os.pipe()
        os.write(taken, request.get("input", "").encode())
        os.close(taken)
        os.dup2(given, 0)
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
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
    pid = os.fork()
    if pid == 0:
        _become(request)
    if request.get("stay"):
        _staying.add(pid)
        return {"pid": pid}
    return {"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}


def _stop(pid: int, number: int) -> int:
    os.kill(pid, number)
    _staying.discard(pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    """Answer until nobody asks any more; then nothing is left of what stayed."""
    for module in MODULES:
        importlib.import_module(module)
    answers = os.fdopen(os.dup(1), "w")
    asked = os.fdopen(os.dup(0))
    for line in asked:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()
    for pid in tuple(_staying):
        _stop(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
