"""Runs ruff, mypy, the docs and every test, on each Python that the project is tested with, and says what was left out.

GUARD_TEST_POSTGRES, GUARD_TEST_MARIADB   "host:port" of a server whose superuser (postgres, root) needs no password;
                                          defaults: the usual ports of this machine; empty: do without
GUARD_TEST_BROKER                         where Celery's messages go; default: amqp://guest:guest@127.0.0.1:5672//
GUARD_TEST_REQUIRE=1                      a database or broker that cannot be had is a failure
GUARD_TEST_SOAK=600 GUARD_TEST_SEED=2     more rounds of random faults than 200, in another order
GUARD_TEST_WALKS=100                      how many walks of migrations for each kind of column on each database,
                                          in GUARD_TEST_SEED's order
GUARD_TEST_STATEMENTS=20000               how many statements are written at random for each database, GUARD_TEST_SEED's
GUARD_TEST_PYTHONS="3.11 3.13"            other Pythons than 3.11 and the newest
GUARD_TEST_WORKERS=4                      how many tests run at a time; most of them wait for processes and servers
GUARD_TEST_BREADTH=newest                 how widely tests of whole processes and deploys run. "newest": on every
                                          database with the newest Python, on one, in turn, with the other; "all": on
                                          every one with each; else each test once, Pythons and databases in turn,
                                          and shorter tests of databases on every one, with one Python each. Where it
                                          is wide, every case of the matrix runs under STRATEGY = "hold", too
GUARD_BENCH_BEATS=180000                  beats of a fleet of 10,000 that are measured: an hour's worth
PYTEST_ARGS                               further arguments for pytest
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from environments import ROOT, Interpreter, address, debian, interpreters, listens, say, test

VENDORS = {"postgres": "PostgreSQL", "mariadb": "MariaDB"}
PGBOUNCER = partial(shutil.which, "pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
DRIVERS = {"postgres": "psycopg", "mariadb": "MySQLdb"}
#: What starts a server of a test's own, and Debian's package of it.
PROGRAMS = {"postgres": ("initdb", "postgresql"), "mariadb": ("mariadb-install-db", "mariadb-server")}


def chosen(found: list[Interpreter]) -> list[Interpreter]:
    """3.11, the last that runs only Django 5.2, and the newest; or those that the environment names."""
    wanted = os.environ.get("GUARD_TEST_PYTHONS", "").split()
    if wanted:
        return [each for each in found if f"3.{each.minor}" in wanted]
    newest = [each for each in found if each.minor >= 12][:1]
    return [each for each in found if each.minor == 11] + newest


def can_mount() -> bool:
    """Whether a disk of a test's own can be made."""
    if shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as path:
        mounted = not subprocess.run(["mount", "-t", "tmpfs", "guard", path], stderr=subprocess.DEVNULL).returncode
        if mounted:
            subprocess.run(["umount", path], check=True)
    return mounted


def can_isolate() -> bool:
    """Whether a process can be number 1, as in a container."""
    command = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "true")
    return shutil.which("unshare") is not None and not subprocess.run(command, stderr=subprocess.DEVNULL).returncode


def prepared(interpreter: Interpreter, *, mariadb: bool, lint: bool) -> Path:
    """The interpreter of its environment, with all that the tests import compiled."""
    python = test(interpreter, mariadb=mariadb, lint=lint)
    # Hundreds of processes import it, and none of them writes bytecode.
    subprocess.run([python, "-m", "compileall", "-q", "guard", "sampleapp", "tests"], cwd=ROOT, check=True)
    # What pytest rewrites: else each of its workers rewrites all of it. Its problems are told by the tests' own run.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        [python, "-m", "pytest", "-q", "--collect-only"],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return python


def heading(python: Path, arguments: Sequence[str]) -> str:
    """What is about to be run."""
    return f"\n$ {' '.join(arguments)}   ({python.parents[1].name})"


def run(python: Path, *arguments: str, environ: Mapping[str, str]) -> str:
    """Run a module of the environment; what went wrong, or nothing."""
    say(heading(python, arguments))
    code = subprocess.run([python, "-m", *arguments], cwd=ROOT, env=os.environ | dict(environ)).returncode
    return f"{arguments[0]} exited {code}" if code else ""


def check(python: Path) -> tuple[str, list[str]]:
    """Run ruff, mypy and the docs, silently; what they printed, and what went wrong."""
    printed: list[str] = []
    problems: list[str] = []
    for arguments in (("ruff", "check"), ("ruff", "format", "--check"), ("mypy",), ("tools.docs",)):
        ended = subprocess.run(
            [python, "-m", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        printed.append(f"{heading(python, arguments)}\n{ended.stdout.rstrip()}")
        if ended.returncode:
            problems.append(f"{arguments[0]} exited {ended.returncode}")
    return "\n".join(printed), problems


def startable(program: str) -> bool:
    """Whether a database server's program is installed, on the path or where Debian has PostgreSQL's."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    return shutil.which(program, path=os.pathsep.join(places)) is not None


def main() -> int:
    """Run everything, then say what came of it; 0 if nothing failed."""
    began = time.monotonic()
    require = os.environ.get("GUARD_TEST_REQUIRE") == "1"
    failures: list[str] = []
    notes: list[str] = []
    absent: set[str] = set()
    for vendor, name in VENDORS.items():
        variable, where = address(vendor)
        if not listens(vendor):
            absent.add(vendor)
            (failures if require else notes).append(f"{name}: no server answers at {where or '(empty)'} ({variable})")
    pythons = chosen(interpreters())
    for minor, django in (("3.11", "5.2"), ("3.12 or newer", "6.1")):
        if not os.environ.get("GUARD_TEST_PYTHONS") and not any(each.django == django for each in pythons):
            notes.append(f"Django {django}: no usable Python {minor} on this machine")
    if not pythons:
        failures.append("no usable Python was found")
    if not (PGBOUNCER() or (debian("pgbouncer") and PGBOUNCER())):
        notes.append("pgbouncer is not installed: the main job does not pass through it (Debian: pgbouncer)")
    for vendor in VENDORS.keys() - absent:
        program, package = PROGRAMS[vendor]
        if not (startable(program) or (require and debian(package) and startable(program))):
            notes.append(f"{VENDORS[vendor]}: no server of its own to restart and to fill up (Debian: {package})")
    if not can_mount():
        notes.append("no tmpfs can be mounted here: no disk of a database server is full (it takes root)")
    if not can_isolate():
        notes.append("no process can have numbers of its own here (unshare): no container restarts with the same ones")
    newest = max((interpreter.minor for interpreter in pythons), default=0)
    with ThreadPoolExecutor() as pool:
        environments = [
            pool.submit(prepared, interpreter, mariadb="mariadb" not in absent, lint=interpreter.minor == newest)
            for interpreter in pythons
        ]
    made: list[tuple[Interpreter, str, Path]] = []
    for interpreter, environment in zip(pythons, environments, strict=True):
        name = f"Python 3.{interpreter.minor}, Django {interpreter.django}"
        try:
            python = environment.result()
        except subprocess.CalledProcessError as error:
            failures.append(f"{name}: the environment could not be made: {error}")
            continue
        made.append((interpreter, name, python))
        for vendor in VENDORS.keys() - absent:
            if subprocess.run([python, "-c", f"import {DRIVERS[vendor]}"], stderr=subprocess.DEVNULL).returncode:
                (failures if require else notes).append(f"{name}: no driver for {VENDORS[vendor]}")
    breadth = os.environ.get("GUARD_TEST_BREADTH", "")
    with ThreadPoolExecutor(1) as pool:
        # Beside the tests, of which some wait.
        checked = [pool.submit(check, python) for interpreter, _, python in made if interpreter.minor == newest]
        # Turns are counted from the newest, which runs last.
        for turn, (interpreter, name, python) in reversed([*enumerate(reversed(made))]):
            environ: dict[str, str] = {}
            if breadth != "all" and not (interpreter.minor == newest and breadth == "newest"):
                shares = 1 if breadth == "newest" else len(made)
                environ = {
                    "GUARD_TEST_BREADTH": "one",
                    "GUARD_TEST_TURN": str(turn),
                    "GUARD_TEST_SHARES": str(shares),
                }
                notes.append(
                    f"{name}: long tests on more than one database"
                    + (" and with more than one Python" if shares > 1 else "")
                    + " (GUARD_TEST_BREADTH=all: on all)"
                )
            # Those that are done first take over from the others: tests take a millisecond or half a minute.
            arguments = ["pytest", "-q", "-n", os.environ.get("GUARD_TEST_WORKERS", "4"), "--dist", "worksteal"]
            arguments += shlex.split(os.environ.get("PYTEST_ARGS", ""))
            if problem := run(python, *arguments, environ=environ):
                failures.append(f"{name}: {problem}")
        for each in checked:
            printed, problems = each.result()
            say(printed)
            failures += problems
    say("")
    say(
        f"{len(pythons)} environments in {time.monotonic() - began:.0f} s: "
        + ", ".join(f"Python 3.{each.minor} with Django {each.django}" for each in pythons)
    )
    for note in notes:
        say(f"NOT RUN  {note}")
    for failure in failures:
        say(f"FAILED   {failure}")
    if not failures:
        say("Everything that ran passed.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
