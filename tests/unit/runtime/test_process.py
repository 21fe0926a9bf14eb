"""Who a process is, told from its program, its command and where it was started."""

from __future__ import annotations

import signal
import sys
import types

import pytest
from django.core.signals import request_finished

from guard.ledger.rows import InstanceKind
from guard.runtime import grumble, process
from guard.runtime.process import NEVER, Command, Role, command_of, program, role_of_program

BASE = "django.core.management.base"


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/srv/shop/manage.py", "report"], "manage.py"),
        (["/venv/bin/gunicorn", "wsgi"], "gunicorn"),
        (["/venv/lib/python3.13/site-packages/gunicorn/__main__.py"], "gunicorn"),
        (["C:\\venv\\Scripts\\celery.exe"], "celery"),
        (["-c"], "-c"),
        ([""], "python"),
        ([], "python"),
    ],
)
def test_the_name_of_a_program(argv: list[str], name: str) -> None:
    assert program(argv) == name


@pytest.mark.parametrize(
    ("argv", "role"),
    [
        (["/venv/bin/gunicorn"], Role(InstanceKind.SERVER, "web")),
        (["uwsgi"], Role(InstanceKind.SERVER, "web")),
        (["/venv/bin/celery", "-A", "shop", "worker"], Role(InstanceKind.WORKER, "process:celery")),
        (["/venv/bin/rq", "worker"], Role(InstanceKind.WORKER, "process:rq")),
        (["/srv/nightly.py"], Role(InstanceKind.COMMAND, "process:nightly.py", recurring=True)),
        (["-c"], Role(InstanceKind.COMMAND, "process:-c", recurring=True)),
        # Which command it is, is not known before that begins.
        (["/srv/manage.py", "report"], None),
        (["/venv/bin/pytest"], None),
        (["/venv/lib/python3.13/site-packages/pytest/__main__.py"], None),
    ],
)
def test_the_role_of_a_program(argv: list[str], role: Role | None) -> None:
    assert role_of_program(argv, child=False, terminal=False) == role


def test_a_script_at_a_terminal_does_not_come_back() -> None:
    role = role_of_program(["/srv/nightly.py"], child=False, terminal=True)
    assert role is not None
    assert not role.recurring


def test_a_spawned_child_of_a_command_does_its_parents_work() -> None:
    role = role_of_program(["/srv/manage.py", "report"], child=True, terminal=False)
    assert role == Role(InstanceKind.COMMAND, "command:report", recurring=True)
    assert role_of_program(["/srv/manage.py", "test", "--parallel"], child=True, terminal=False) is None


@pytest.mark.parametrize(
    ("ancestry", "expected"),
    [
        (["shop.management.commands.report", BASE], Command("report", never=False, djangos_own=False)),
        (["django.core.management.commands.dumpdata", BASE], Command("dumpdata", never=False, djangos_own=True)),
        (["django.core.management.commands.migrate", BASE], Command("migrate", never=True, djangos_own=True)),
        (
            ["django.contrib.staticfiles.management.commands.collectstatic", BASE],
            Command("collectstatic", never=True, djangos_own=True),
        ),
        (["guard.management.commands.guard", BASE], Command("guard", never=True, djangos_own=False)),
        # A project's own migrate that builds on Django's is as much a schema command.
        (
            ["shop.management.commands.migrate", "django.core.management.commands.migrate", BASE],
            Command("migrate", never=True, djangos_own=False),
        ),
        # One of the same name that does not is the project's own work.
        (["shop.management.commands.check", BASE], Command("check", never=False, djangos_own=False)),
        (["__main__", BASE], Command("report", never=False, djangos_own=False)),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_which_command_it_is(ancestry: list[str], expected: Command) -> None:
    assert command_of(ancestry, ["manage.py", "report"]) == expected


@pytest.mark.parametrize(
    ("command", "terminal", "recurring"),
    [
        (Command("report", never=False, djangos_own=False), False, True),
        (Command("report", never=False, djangos_own=False), True, False),
        (Command("dumpdata", never=False, djangos_own=True), False, False),
    ],
    ids=["by a scheduler", "by hand", "Django's own"],
)
def test_which_commands_come_back(command: Command, terminal: bool, recurring: bool) -> None:
    role = command.role(terminal)
    assert role == Role(InstanceKind.COMMAND, f"command:{command.name}", recurring)


@pytest.mark.parametrize(
    ("argv", "worker", "testing"),
    [
        (["/venv/bin/pytest", "tests"], False, True),
        (["/venv/lib/python3.13/site-packages/pytest/__main__.py"], False, True),
        (["manage.py", "test", "shop"], False, True),
        (["-c"], True, True),
        (["-c"], False, False),
        (["manage.py", "runserver"], False, False),
        # What tests start has their environment.
        (["/venv/bin/gunicorn", "wsgi"], True, False),
    ],
)
def test_which_processes_run_tests(
    argv: list[str], worker: bool, testing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    if worker:
        monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    assert process._testing() is testing


def test_what_goes_wrong_in_a_hook_goes_no_further(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    grumble._last.clear()
    monkeypatch.setattr(process, "current", fail)
    monkeypatch.setattr(process, "active", lambda: True)
    for hook in (process.serve, process.attend, process.begins, process.pauses):
        hook()
    request_finished.send(None)
    assert caplog.text.count("RuntimeError: a bug") == 4


def test_what_never_registers_has_no_role() -> None:
    assert Command("migrate", never=True, djangos_own=True).role(terminal=False) is None


def test_every_name_in_the_list_is_a_command_of_djangos() -> None:
    from django.core.management import get_commands

    elsewhere = {"collectstatic", "findstatic", "ogrinspect"}
    assert set(get_commands()) | elsewhere >= NEVER


@pytest.mark.parametrize("server", ["uwsgi", "mod_wsgi", "unit"])
def test_a_server_written_in_c_keeps_its_own_handlers(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    """Python says that nobody handles the signal, and Python's handler would run only with Python's next statement."""
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        monkeypatch.setitem(sys.modules, server, types.ModuleType(server))
        process._leave_on_terminate()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

        monkeypatch.delitem(sys.modules, server)
        process._leave_on_terminate()
        assert signal.getsignal(signal.SIGTERM) is process._terminate
    finally:
        signal.signal(signal.SIGTERM, before)
