"""Who am I: the identity of this process, when it registers, and when it leaves."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from types import FrameType
from typing import Any, ParamSpec

import wrapt
from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.core.signals import request_finished, setting_changed
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.creation import BaseDatabaseCreation
from django.db.backends.signals import connection_created

from guard import conf
from guard.attribution.watchlist import CLEAR, Touch
from guard.ledger import connecting, rows, tables
from guard.runtime import bypass, hosting, testimony, watch
from guard.runtime.grumble import grumble
from guard.runtime.heartbeat import Heart
from guard.runtime.lease import Identity, Lease
from guard.schema import declared

#: Seconds between two attempts to register again from within the application's own thread.
INLINE_RETRY = 30.0

#: Django's commands that work on schema, or on nothing. By the module of the class that they are, or derive from.
NEVER = frozenset(
    {
        "check",
        "collectstatic",
        "compilemessages",
        "createcachetable",
        "dbshell",
        "diffsettings",
        "findstatic",
        "flush",
        "inspectdb",
        "makemessages",
        "makemigrations",
        "migrate",
        "ogrinspect",
        "optimizemigration",
        # Its server registers through the middleware; the parent of its autoreloader never does.
        "runserver",
        "sendtestemail",
        "showmigrations",
        "sqlflush",
        "sqlmigrate",
        "sqlsequencereset",
        "squashmigrations",
        "startapp",
        "startproject",
        "test",
        "testserver",
    }
)

_MANAGERS = frozenset({"manage.py", "manage", "django-admin", "django-admin.py", "django"})
_SERVERS = frozenset(
    {"gunicorn", "uvicorn", "daphne", "hypercorn", "granian", "waitress-serve", "waitress", "uwsgi", "mod_wsgi", "unit"}
)
_WORKERS = frozenset(
    {"celery", "dramatiq", "rq", "rqworker", "huey_consumer", "huey_consumer.py", "arq", "taskiq", "procrastinate"}
)
_TOOLS = frozenset({"pytest", "py.test", "mypy", "dmypy", "pylint", "sphinx-build"})


P = ParamSpec("P")


def _contained(hook: Callable[P, None]) -> Callable[P, None]:
    """Django, a server or a test runner calls this hook: whatever goes wrong in it goes no further."""

    @wraps(hook)
    def contained(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            hook(*args, **kwargs)
        except watch.StopWork:
            raise
        except Exception:
            grumble(f"hook {hook.__name__}", "%s failed.", hook.__name__.strip("_"), traceback=True)

    return contained


class Refused(watch.StopWork, CommandError):
    """A command's release relies on something that was taken away: it ends before its work, with exit code 3."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a process is there for."""

    kind: rows.InstanceKind
    workload: str
    recurring: bool = False


WEB = Role(rows.InstanceKind.SERVER, "web")


@dataclass(frozen=True, slots=True)
class Command:
    """A management command, as far as registering goes."""

    name: str
    #: Never registers: guard's own, and Django's schema commands.
    never: bool
    djangos_own: bool

    def role(self, terminal: bool) -> Role | None:
        """How it registers, if it does."""
        if self.never:
            return None
        return Role(rows.InstanceKind.COMMAND, f"command:{self.name}", not (self.djangos_own or terminal))


def command_of(ancestry: Sequence[str], argv: Sequence[str]) -> Command:
    """Which command it is, by the modules of its class and of those it derives from, most derived first."""
    package, _, name = ancestry[0].rpartition(".")
    if not package.endswith("management.commands"):
        name = argv[1] if len(argv) > 1 else name
    never = any(
        module.startswith("guard.management.") or (module.startswith("django.") and module.rpartition(".")[2] in NEVER)
        for module in ancestry
    )
    return Command(name, never, ancestry[0].startswith("django."))


def program(argv: Sequence[str]) -> str:
    """The name of the running program: the script's, or the package's for `python -m package`."""
    script = (argv[0] if argv else "").replace("\\", "/")
    directory, _, base = script.rpartition("/")
    if base == "__main__.py":
        base = directory.rpartition("/")[2]
    return base.removesuffix(".exe") or "python"


def role_of_program(argv: Sequence[str], *, child: bool, terminal: bool) -> Role | None:
    """How a process registers that runs no management command (yet); None: not, or not yet.

    `child`: a child that multiprocessing started, which runs a part of its parent's command.
    """
    name = program(argv)
    if name in _TOOLS:
        return None
    if name in _MANAGERS:
        if not child or len(argv) < 2 or argv[1] in NEVER:
            return None
        return Role(rows.InstanceKind.COMMAND, f"command:{argv[1]}", not terminal)
    if name in _SERVERS:
        return WEB
    if name in _WORKERS:
        return Role(rows.InstanceKind.WORKER, f"process:{name}")
    return Role(rows.InstanceKind.COMMAND, f"process:{name}", not terminal)


class Process:
    """This process: one identity from its start, or from the fork that made it, to its end."""

    def __init__(self, role: Role | None = None, *, over: bool = False) -> None:
        self.id = uuid.uuid4().hex
        self.pid = os.getpid()
        #: It began with a fork, and so may end without Python's exit handlers.
        self.forked = False
        #: What it is there for, once that is known.
        self.role = role
        #: The outermost management command that was called from the command line.
        self.command: Command | None = None
        #: It has registered, or tried to.
        self.entered = False
        #: The interpreter is about to end.
        self.over = over
        self.leases: dict[str, Lease] = {}
        self.heart = Heart(self._beat, self._farewell, self._interval, self._ride)
        # Bounded waits only: the application waits here.
        self._entering = threading.RLock()
        self._entering_thread: int | None = None
        # A signal to end that came while this process was registering.
        self._ended_by: int | None = None
        self._worked = False
        self._tried: dict[str, float] = {}

    def enter(self, role: Role) -> None:
        """Register in every ledger and start to beat. Never raises; what failed is tried again at each beat."""
        if self.over or _suspended:
            return
        if role is WEB and _before_fork():
            # Its workers have identities of their own, and a thread must not be alive while they are forked.
            self.role = role
            _arm()
            return
        if not self._entering.acquire(timeout=5.0):
            return
        try:
            if self.entered and self.role == role:
                return
            self.role = role
            _disarm()
            # Before it is registered: from then on every end is one at which it leaves.
            _leave_on_terminate()
            _leave_at_end_of_child()
            if role is WEB:
                hosting.by_uvicorn(_begin_anew)
            self._entering_thread = threading.get_ident()
            try:
                _off_the_loop(self._register)
                if self.leases and self._ended_by is None:
                    self.heart.start()
            finally:
                self._entering_thread = None
                # Also where it failed: the heartbeat tries again, not each connection of the application.
                self.entered = True
            if self._ended_by is not None:
                self.end(self._ended_by)
        except Exception:
            grumble("register", "this process could not register.", traceback=True)
        finally:
            self._entering.release()

    def _register(self) -> None:
        role = self.role
        if role is None:
            return
        for alias in _guarded():
            # Two aliases may lead to one ledger in ways that settings do not show: each has a row of its own there.
            own = uuid.uuid5(uuid.UUID(self.id), alias).hex
            identity = Identity(own, role.kind, role.workload, role.recurring, socket.gethostname()[:200], self.pid)
            eye = watch.eye(alias)
            eye.route = role.workload if role.kind is rows.InstanceKind.COMMAND else ""
            eye.before_touch = self._before_touch(alias)
            eye.news = self.heart.wake
            self.leases[alias] = lease = Lease(alias, identity)
            _carefully(lease.register, alias)

    def refuse(self, connection: BaseDatabaseWrapper) -> None:
        """End a command that relies on what was taken, before its work: raise Refused."""
        role = self.role
        if self._worked or role is None or role.kind is not rows.InstanceKind.COMMAND:
            return
        reasons = [
            reason
            for lease in self.leases.values()
            if lease.state is rows.InstanceState.REFUSED
            for reason in lease.sentences()
        ]
        if not reasons:
            # From here on it is in the middle of something, and nothing is taken from under it.
            self._worked = True
            return
        # Else a command that swallows the exception would find an open connection at its next try.
        connection.close()
        raise Refused(f"This release may not do its work ({role.workload}). " + " ".join(reasons), returncode=3)

    def ready(self) -> bool:
        """Whether a server may be sent requests, as far as guard can tell."""
        aliases = _guarded()
        if not aliases:
            return True
        if not self.entered:
            grumble(
                "ready",
                "this process has not registered, so it is not ready: is guard.middleware.GuardMiddleware in "
                "MIDDLEWARE?",
            )
            return False
        return all(alias in self.leases and self.leases[alias].ready() for alias in aliases)

    def leave(self) -> None:
        """Flush and say GONE in every ledger, in two seconds at most. Never raises."""
        if self.leases:
            self.heart.stop()

    def end(self, number: int) -> None:
        """Leave, then end by this signal; as soon as it has registered, where this thread is at it."""
        if self._entering_thread == threading.get_ident():
            # Halfway through, nobody can say whether the ledger has it, or whether the heartbeat runs and can say
            # farewell. What it waits for there is bounded.
            self._ended_by = number
            return
        self.leave()
        signal.signal(number, signal.SIG_DFL)
        # The default again, so that whoever waits for this process sees how it ended.
        os.kill(os.getpid(), number)

    def _before_touch(self, alias: str) -> Callable[[BaseDatabaseWrapper], None]:
        def before_touch(connection: BaseDatabaseWrapper) -> None:
            lease = self.leases.get(alias)
            if lease is None or lease.state is None or not lease.lapsed():
                return
            self.heart.wake()
            if connection.vendor == "sqlite" and connection.in_atomic_block:
                # This very transaction may hold the lock that registering would wait for.
                return
            tried = self._tried.get(alias)
            now = time.monotonic()
            if tried is None or now - tried >= INLINE_RETRY:
                self._tried[alias] = now
                _off_the_loop(lambda: _carefully(lambda: lease.register(patience=1.0), alias))

        return before_touch

    def _interval(self) -> float:
        return min((lease.interval for lease in tuple(self.leases.values())), default=conf.get().beat_interval)

    def _ride(self) -> bool:
        return bool(self.leases) and all(lease.ride() for lease in tuple(self.leases.values()))

    def _beat(self) -> None:
        for alias, lease in tuple(self.leases.items()):
            _carefully(lease.beat, alias)

    def _farewell(self) -> None:
        for alias, lease in tuple(self.leases.items()):
            _carefully(lease.leave, alias)


class _Due:
    """Stands in for the attributor where registering is due at the next statement: after a fork, or at start-up.

    Where the connection was open already, nothing else would tell.
    """

    def __init__(self, eye: watch.Eye) -> None:
        self.clear: list[str | None] = [None] * (CLEAR + 1)
        self.untouched: dict[str, str] = {}
        self._eye = eye

    def touches(self, sql: object) -> Sequence[Touch]:
        if _unattended():
            return ()
        me = current()
        role = me.role or _role(me)
        if role is None:
            if not _undecided(me):
                self._eye.attributor = None
            return ()
        me.enter(role)
        me.refuse(connections[self._eye.alias])
        if me.entered and self._eye.attributor is self:
            # It could not register, and its heartbeat tries again: nothing is known to be slated.
            self._eye.attributor = None
        attributor = self._eye.attributor
        return () if attributor is None or isinstance(attributor, _Due) else attributor.touches(sql)


_process = Process()
_suspended: set[str] = set()
_ledgers: dict[str, str | None] = {}
_schema_work: ContextVar[bool] = ContextVar("guard_schema_work", default=False)
_installed = False


def current() -> Process:
    """This process. One look at the pid: uWSGI forks without telling Python."""
    if _process.pid != os.getpid():
        _renew()
    return _process


def active() -> bool:
    """Whether the runtime runs at all: GUARD["MODE"] is not "off"."""
    return conf.get().mode is not conf.Mode.OFF


def install() -> None:
    """Hook into Django: connections, commands, forks, test databases, the end. Does nothing the second time."""
    global _installed
    connection_created.connect(_connected, dispatch_uid="guard.runtime")
    request_finished.connect(_request_finished, dispatch_uid="guard.runtime")
    setting_changed.connect(_setting_changed, dispatch_uid="guard.runtime")
    if not _installed:
        _installed = True
        wrapt.wrap_function_wrapper(BaseCommand, "execute", _execute)
        _wrap_test_databases()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_renew)
        wrapt.wrap_function_wrapper(os, "_exit", _exit)
        atexit.register(_end)
    if active():
        hosting.by_celery(_HOOKS)
        testimony.install()
    if active() and watch.install_on_open(ledger_alias):
        _arm()


def ledger_alias(alias: str) -> str | None:
    """The alias of the ledger that speaks about what a connection to `alias` sees; None where there is none."""
    if alias not in _ledgers:
        try:
            found = connecting.ledger_alias(alias)
        except Exception:
            grumble("aliases", "the guarded databases could not be worked out.", traceback=True)
            return None
        if not apps.models_ready:
            # Which aliases are replicas, the routers tell by models.
            return found
        _ledgers[alias] = found
    return _ledgers[alias]


def _guarded() -> tuple[str, ...]:
    try:
        return tuple(alias for alias in connecting.guarded_aliases() if alias not in _suspended)
    except Exception:
        grumble("aliases", "the guarded databases could not be worked out.", traceback=True)
        return ()


@_contained
def serve() -> None:
    """A server has loaded: register it now, before its first request. Never raises."""
    if not active() or _suspended or _on_stack("/django/test/") or _testing():
        return
    current().enter(WEB)


@_contained
def attend() -> None:
    """A request begins: a worker that was forked since its server loaded registers now. O(1), never raises."""
    me = current()
    if me.role is WEB and not me.entered and active():
        me.enter(WEB)


@_contained
def becomes(workload: str) -> None:
    """This process, and the children that it will fork, are workers of this workload."""
    me = current()
    if not me.entered:
        me.role = Role(rows.InstanceKind.WORKER, workload)


@_contained
def begins() -> None:
    """A worker is about to take tasks: register it now. Never raises."""
    me = current()
    if me.role is not None and active() and not _suspended:
        me.enter(me.role)


@_contained
def pauses() -> None:
    """A request or a task has ended: O(1) unless a beat is due, never raises."""
    me = current()
    if me.entered:
        me.heart.attend()


def ready() -> bool:
    """What the readiness view answers."""
    return not active() or bool(_suspended) or current().ready()


@_contained
def suspend(alias: str) -> None:
    """The alias is about to be a test database: this process neither registers nor beats nor counts there."""
    if alias in _suspended:
        return
    _suspended.add(alias)
    _ledgers.clear()
    me = current()
    lease = me.leases.pop(alias, None)
    if lease is not None:
        _carefully(lease.leave, alias)
    watch.eye(alias).attributor = None


def suspended(alias: str) -> bool:
    """Whether the alias is a test database now."""
    return alias in _suspended


@_contained
def resume(alias: str) -> None:
    """The alias is the project's own database again."""
    _suspended.discard(alias)
    _ledgers.clear()
    # At its next connection it registers again.
    current().entered = False


@_contained
def _connected(connection: BaseDatabaseWrapper, **_: object) -> None:
    if connecting.is_private(connection) or not active():
        return
    alias = ledger_alias(connection.alias)
    if alias is None:
        return
    watch.install(connection, alias)
    if _suspended or _unattended():
        if not _suspended:
            _arm()
        return
    me = current()
    if not me.entered:
        role = me.role or _role(me)
        if role is None:
            _arm()
            return
        me.enter(role)
    me.refuse(connection)


@_contained
def _request_finished(**_: object) -> None:
    pauses()


@_contained
def _setting_changed(*, setting: str, **_: object) -> None:
    if setting in ("DATABASES", "DATABASE_ROUTERS"):
        _ledgers.clear()


def _unattended() -> bool:
    """Whether this context is at work on schema, or guard at its own: no time to register."""
    return watch.is_quiet() or _schema_work.get()


def _role(me: Process) -> Role | None:
    """What this process is there for, as far as that can be told by now."""
    if not apps.ready:
        return None
    if me.command is not None:
        return me.command.role(_terminal())
    return role_of_program(sys.argv, child=_multiprocessing_child(), terminal=_terminal())


def _undecided(me: Process) -> bool:
    """Whether it is too early to say what this process is there for."""
    return not apps.ready or (me.command is None and program(sys.argv) in _MANAGERS)


def _testing() -> bool:
    """Whether this process runs tests: they may load the application as a server does, before they have databases."""
    command = current().command
    if command is not None:
        return command.never and command.name == "test"
    name = program(sys.argv)
    return (
        name in _TOOLS
        or (name in _MANAGERS and sys.argv[1:2] == ["test"])
        # The name that a worker of pytest-xdist has.
        or (name == "-c" and "PYTEST_XDIST_WORKER" in os.environ)
    )


def _terminal() -> bool:
    for stream in (sys.stdin, sys.stdout):
        try:
            if stream.isatty():
                return True
        except (AttributeError, ValueError):
            continue
    return False


def _multiprocessing_child() -> bool:
    module = sys.modules.get("multiprocessing.process")
    return module is not None and module.parent_process() is not None


def _arm() -> None:
    """Let the next statement look whether this process should register."""
    if _process.entered or _process.over:
        return
    for alias in _guarded():
        eye = watch.eye(alias)
        if eye.attributor is None:
            eye.attributor = _Due(eye)


def _disarm() -> None:
    for eye in watch.eyes():
        if isinstance(eye.attributor, _Due):
            eye.attributor = None


def _renew() -> None:
    """This process was forked from the one that Python knew: an identity, locks and buffers of its own."""
    global _process
    before = _process
    _process = Process(before.role)
    _process.forked = True
    _process.command = before.command
    # A part of its parent's work, from under which nothing is taken either.
    _process._worked = before._worked
    # The parent's heartbeat may have held them.
    declared.renew_lock()
    bypass.renew_lock()
    for eye in watch.eyes():
        eye.forget()
        # Nothing more in a child that was forked a moment ago: another thread may have held any lock.
        eye.attributor = _Due(eye)


def _execute(wrapped: Callable[..., Any], instance: BaseCommand, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not active():
        return wrapped(*args, **kwargs)
    command = command_of([kind.__module__ for kind in type(instance).__mro__], sys.argv)
    outermost = getattr(instance, "_called_from_command_line", False) and current().command is None
    token = _schema_work.set(True) if command.never else None
    try:
        if outermost:
            with _outermost(command):
                return wrapped(*args, **kwargs)
        return wrapped(*args, **kwargs)
    finally:
        if token is not None:
            _schema_work.reset(token)


@contextmanager
def _outermost(command: Command) -> Iterator[None]:
    """This process is here for this command."""
    current().command = command
    try:
        yield
    finally:
        _stop_leaving_on_terminate()
        # Not `me`: the command may have forked, and the child come back here.
        _begin_anew()


def _begin_anew(*, over: bool = False) -> None:
    """Leave; what still runs in this interpreter is somebody else."""
    global _process
    me = current()
    me.leave()
    _process = Process(over=over)
    for eye in watch.eyes():
        eye.forget()


def _end() -> None:
    _begin_anew(over=True)


_HOOKS = hosting.Hooks(becomes, begins, pauses, _end)


def _exit(wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Leave before a forked child ends at once, as those of RQ and of many scripts do when their work is done."""
    if _process.forked and _process.leases and _process.pid == os.getpid():
        try:
            _end()
        except Exception:
            grumble("exit", "this process could not say that it is gone.", traceback=True)
    return wrapped(*args, **kwargs)


#: Modules that servers written in C bring: uWSGI, Apache's mod_wsgi, NGINX Unit.
_EMBEDDING = frozenset({"uwsgi", "mod_wsgi", "unit"})


def _leave_on_terminate() -> None:
    """Leave on SIGTERM too, where nobody has said what it should do: it is how supervisors stop a command, and servers
    that do without a handler of their own (waitress).

    A handler that a server or the project installs, before or after, takes this one's place. Servers written in C have
    handlers of their own that Python does not know of, and no Python runs while they wait.
    """
    if not _EMBEDDING.isdisjoint(sys.modules):
        return
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        try:
            signal.signal(signal.SIGTERM, _terminate)
        except ValueError:
            # The main thread, but not of the main interpreter.
            pass


def _stop_leaving_on_terminate() -> None:
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is _terminate:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(signum: int, frame: FrameType | None) -> None:
    current().end(signum)


def _leave_at_end_of_child() -> None:
    """multiprocessing ends its children without atexit, but runs its own finalisers."""
    if not _multiprocessing_child():
        return
    finalize = sys.modules["multiprocessing.util"].Finalize
    finalize(None, _end, exitpriority=-100)


def _before_fork() -> bool:
    """Whether this is a server's master that has loaded the application before it forks its workers."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None:
        return bool(uwsgi.worker_id() == 0)
    return _on_stack("/gunicorn/arbiter.py", "setup") and not _on_stack("/gunicorn/arbiter.py", "spawn_worker")


def _on_stack(path: str, function: str | None = None) -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if path in code.co_filename.replace("\\", "/") and function in (None, code.co_name):
            return True
        frame = frame.f_back
    return False


def _off_the_loop(work: Callable[[], None]) -> None:
    """Run it; in a thread of its own where this one runs an event loop, which Django keeps away from databases."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        work()
        return
    thread = threading.Thread(target=work, name="guard-register")
    thread.start()
    thread.join()


def _carefully(work: Callable[[], None], alias: str) -> None:
    """Fail open: whatever guard's own work meets is logged, once per minute, and goes no further."""
    try:
        work()
    except Exception as error:
        grumble(
            f"ledger {alias}",
            "the ledger of %r cannot be used: %s: %s",
            alias,
            type(error).__name__,
            str(error).strip() or "no reason given",
            # A ledger that is missing, away, read-only or forbidden is no bug of anybody's.
            traceback=not isinstance(error, (DatabaseError, tables.LedgerMissing)),
        )


def _wrap_test_databases() -> None:
    def before(wrapped: Callable[..., Any], instance: BaseDatabaseCreation, args: Any, kwargs: Any) -> Any:
        suspend(instance.connection.alias)
        return wrapped(*args, **kwargs)

    def after(wrapped: Callable[..., Any], instance: BaseDatabaseCreation, args: Any, kwargs: Any) -> Any:
        # destroy_test_db also drops the clones of parallel workers, which are not what the alias names.
        clone = kwargs.get("suffix") is not None or len(args) > 3
        try:
            return wrapped(*args, **kwargs)
        finally:
            if not clone:
                resume(instance.connection.alias)

    wrapt.wrap_function_wrapper(BaseDatabaseCreation, "create_test_db", before)
    wrapt.wrap_function_wrapper(BaseDatabaseCreation, "setup_worker_connection", before)
    wrapt.wrap_function_wrapper(BaseDatabaseCreation, "destroy_test_db", after)
    try:
        # It does without its base class's where workers are not forked.
        from django.db.backends.sqlite3.creation import DatabaseCreation
    except ImportError:
        return
    wrapt.wrap_function_wrapper(DatabaseCreation, "setup_worker_connection", before)
