"""Holds each statement against what is slated, and says where one that touches it comes from."""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType, FrameType, MappingProxyType
from typing import Any, Protocol

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from guard import conf
from guard.attribution.watchlist import Touch, Watched, WatchList
from guard.runtime import passing
from guard.runtime.grumble import grumble
from guard.runtime.sightings import Meaning, Sightings
from guard.schema.footprint import Footprint

#: The request that is being answered in this context; its route is read only for statements that touch.
request: ContextVar[Any] = ContextVar("guard_request", default=None)
#: The task that answers it and the thread of its loop, where that is a coroutine: its statements run in threads that do
#: not have the view on their stack.
task: ContextVar[tuple[asyncio.Task[Any], int] | None] = ContextVar("guard_task", default=None)


def answering() -> tuple[asyncio.Task[Any], int] | None:
    """The running task with its thread, to be kept in `task`."""
    running = asyncio.current_task()
    return None if running is None else (running, threading.get_ident())


_quiet: ContextVar[bool] = ContextVar("guard_quiet", default=False)


class Attribution(Protocol):
    """What says which slated things a statement touches."""

    @property
    def clear(self) -> list[str | None]:
        """Texts that are known to touch nothing, see `watchlist.CLEAR`."""

    @property
    def untouched(self) -> Mapping[str, str]:
        """All of them, under themselves."""

    def touches(self, sql: object) -> Sequence[Touch]: ...


class StopWork(Exception):
    """Mixed into what ends a refused command, or fails a test: all that the watch lets through."""


class StaleAccessError(StopWork, AssertionError):
    """GUARD["ON_STALE_ACCESS"] is "raise", and a statement touched what one of this release's migrations takes away."""


#: What tests have said of stale access, the last one in force; in every thread, because a live server has its own.
on_stale_access: list[conf.OnStaleAccess] = []


@contextmanager
def quiet() -> Iterator[None]:
    """Statements in this context are migrations' or guard's own: not counted, and no reason to register."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def is_quiet() -> bool:
    """Whether statements of this context are left alone."""
    return _quiet.get()


def _nothing() -> None:
    pass


_NONE: Mapping[str, str] = MappingProxyType({})


class Eye:
    """What one ledger's watch sees: shared by the connections of every thread to that database.

    `attributor` is None while nothing is slated and nothing is due.
    """

    __slots__ = ("_attributor", "alias", "before_touch", "clear", "meanings", "news", "route", "sightings", "untouched")

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._attributor: Attribution | None
        #: All that the hot path looks at: what the attributor knows to be clear, None where there is no attributor.
        self.clear: list[str | None] | None
        self.untouched: Mapping[str, str]
        self.sightings: Sightings
        self.meanings: Mapping[tuple[str, str], Meaning]
        #: Where a statement outside any request comes from: "command:NAME", or empty.
        self.route: str
        #: Called with the application's connection before a statement that touches runs.
        self.before_touch: Callable[[BaseDatabaseWrapper], None]
        #: Called when the ledger should hear soon: of a stale touch, or of so many that the buffer fills.
        self.news: Callable[[], None]
        self.forget()

    @property
    def attributor(self) -> Attribution | None:
        """What statements are held against."""
        return self._attributor

    @attributor.setter
    def attributor(self, attributor: Attribution | None) -> None:
        self._attributor = attributor
        # Before `clear`, which says that there is one.
        self.untouched = _NONE if attributor is None else attributor.untouched
        self.clear = None if attributor is None else attributor.clear

    def open(self, attributor: Attribution | None, watch: WatchList, footprint: Footprint, *, vendor: str = "") -> None:
        """Hold statements against this watch list from now on. `vendor` is Django's `connection.vendor`."""
        self.sightings.vendor = vendor
        self.meanings = {(watched.table, watched.column): _meaning(watched, footprint) for watched in watch.entries}
        self.attributor = attributor

    def forget(self) -> None:
        """Begin with an empty buffer and nothing to watch: another process, or another identity."""
        self.attributor = None
        self.sightings = Sightings()
        self.meanings = {}
        self.route = ""
        self.before_touch = _ignore
        self.news = _nothing

    def meaning(self, watched: Watched) -> Meaning:
        """What a touch means; of something that left the list a moment ago, nothing is alarming any more."""
        known = self.meanings.get((watched.table, watched.column))
        return known if known is not None else Meaning(_named(watched), False)

    def look(self, sql: object, context: Mapping[str, Any]) -> None:
        """Hold a statement that is about to run against what is slated. Raises StopWork only."""
        try:
            attributor = self._attributor
            touches = () if attributor is None else attributor.touches(sql)
            if touches:
                self.record(sql, touches, context["connection"])
        except StopWork:
            raise
        except Exception:
            grumble("watch", "a statement could not be held against the watch list.", traceback=True)

    def record(self, sql: object, touches: Sequence[Touch], connection: BaseDatabaseWrapper) -> None:
        """Count a statement that is about to touch something slated, on a connection of the application's."""
        if not _quiet.get():
            self._count(sql, touches)
            self.before_touch(connection)
            self.fail(touches)

    def fail(self, touches: Sequence[Touch]) -> None:
        """Raise StaleAccessError where a test suite has asked for it and a touch is stale."""
        said = on_stale_access[-1] if on_stale_access else conf.get().on_stale_access
        if said is not conf.OnStaleAccess.RAISE:
            return
        for touch in touches:
            watched, meaning = touch.watched, self.meaning(touch.watched)
            if meaning.stale:
                target = f"{watched.table}.{watched.column}" if watched.column else watched.table
                raise StaleAccessError(
                    f"A statement touches {target}, which migration {meaning.migration} of this very release takes "
                    f"away ({touch.reason})."
                )

    def count(self, sql: object, touches: Sequence[Touch]) -> None:
        """Count a statement of whoever is on the stack."""
        if not _quiet.get():
            self._count(sql, touches)

    def _count(self, sql: object, touches: Sequence[Touch]) -> None:
        site = _site_of(sql) or _awaiting_site()
        if self.sightings.add(sql, touches, site, _route(self.route), self.meaning):
            self.news()


def _ignore(connection: BaseDatabaseWrapper) -> None:
    pass


def _meaning(watched: Watched, footprint: Footprint) -> Meaning:
    stale = footprint.has_any(watched.migrations) or not footprint.declares(watched.table, watched.column)
    return Meaning(_named(watched), stale)


def _named(watched: Watched) -> str:
    return ".".join(watched.migrations[0]) if watched.migrations else ""


def _route(otherwise: str) -> str:
    current = request.get()
    if current is None:
        return otherwise
    match = getattr(current, "resolver_match", None)
    route = getattr(match, "route", None)
    return route if isinstance(route, str) else otherwise


_eyes: dict[str, Eye] = {}
_wrappers: dict[str, passing.Wrapper] = {}


def eye(alias: str) -> Eye:
    """The one eye of a ledger, by the alias of its database."""
    found = _eyes.get(alias)
    if found is None:
        found = _eyes.setdefault(alias, Eye(alias))
    return found


def passing_by(sql: object) -> None:
    """Count a statement that no execute wrapper saw.

    Which database it goes to is not known here, so it is held against what is slated in any. Never raises.
    """
    for found in eyes():
        attributor = found.attributor
        if attributor is None:
            continue
        try:
            touches = attributor.touches(sql)
            if touches:
                found.count(sql, touches)
        except Exception:
            grumble("watch", "a statement could not be held against the watch list.", traceback=True)


def eyes() -> tuple[Eye, ...]:
    """Every eye of this process."""
    return tuple(_eyes.values())


def install(connection: BaseDatabaseWrapper, alias: str) -> None:
    """Watch the connection for the ledger of `alias`; does nothing where it is watched already."""
    wrapper = _wrappers.get(alias)
    if wrapper is None:
        wrapper = _wrappers.setdefault(alias, passing.wrapper(seen := eye(alias), seen.look))
    if wrapper not in connection.execute_wrappers:
        # First: `execute_wrapper()` takes away the last one at its end, whichever that is.
        connection.execute_wrappers.insert(0, wrapper)


def install_on_open(ledger: Callable[[str], str | None]) -> bool:
    """Watch the connections of this thread that were opened before guard was there to see it; whether there are any."""
    found = False
    for connection in connections.all(initialized_only=True):
        alias = ledger(connection.alias) if connection.connection is not None else None
        if alias is not None:
            install(connection, alias)
            found = True
    return found


def _directory(module: str) -> str | None:
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    return os.path.dirname(os.path.abspath(file)) + os.sep if file else None


#: Packages that execute statements for somebody else, and servers: never where a statement comes from.
_FRAMEWORKS = (
    "django",
    "guard",
    "asgiref",
    "sentry_sdk",
    "wrapt",
    "psycopg",
    "psycopg_pool",
    "psycopg2",
    "MySQLdb",
    "ddtrace",
    "opentelemetry",
    "elasticapm",
    "newrelic",
    "scout_apm",
    "debug_toolbar",
    "silk",
    "django_prometheus",
    "dj_db_conn_pool",
    "django_db_geventpool",
    "gunicorn",
    "uvicorn",
    "daphne",
    "hypercorn",
    "granian",
    "waitress",
)

_STDLIB = tuple(
    {sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")} | {os.path.dirname(os.__file__) + os.sep}
)
_SITE = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)

#: Whether a file is a framework's, by its name.
_known_files: dict[str, bool] = {}
#: Call sites by code object and instruction. The code object is kept, or its id could come to mean another one.
_sites: dict[tuple[int, int], tuple[CodeType, str]] = {}
_MAX_SITES = 500
_MAX_FILES = 2_000


#: Where a text came from last, by its hash: how many frames up, the code and its instruction, the call site. Python
#: makes an object of each frame that is walked over, but of a frame that is asked for by its depth, of that one alone.
_last_sites: dict[int, tuple[int, CodeType, int, str]] = {}


def _site_of(sql: object) -> str:
    """The call site of a statement that is being counted; empty where no frame of the project's is on the stack.

    A text that comes from as far up as last time, and from the same instruction there, comes from the same place.
    """
    key = hash(sql) if type(sql) is str else 0
    last = _last_sites.get(key)
    if last is not None:
        try:
            frame = sys._getframe(last[0])
        except ValueError:
            # This stack is not as deep.
            pass
        else:
            if frame.f_code is last[1] and frame.f_lasti == last[2]:
                return last[3]
    found, depth = _project_frame(sys._getframe(1))
    if found is None:
        return ""
    site = _site(found)
    if len(_last_sites) >= _MAX_SITES:
        _last_sites.clear()
    _last_sites[key] = (depth + 1, found.f_code, found.f_lasti, site)
    return site


def call_site(frame: FrameType | None) -> str:
    """Where a statement comes from: "file.py:123 in function", of the first frame that is not a framework's.

    Empty where no such frame is on the stack.
    """
    found, _ = _project_frame(frame)
    return "" if found is None else _site(found)


def _project_frame(frame: FrameType | None) -> tuple[FrameType | None, int]:
    """The first frame from this one up that is not a framework's, and how many frames up it is."""
    known = _known_files
    depth = 0
    while frame is not None:
        try:
            framework = known[frame.f_code.co_filename]
        except KeyError:
            framework = _new_file(frame.f_code.co_filename)
        if not framework:
            return frame, depth
        frame = frame.f_back
        depth += 1
    return None, depth


def _awaiting_site() -> str:
    """Where the request's coroutine waits for this statement: its innermost frame that is not a framework's."""
    asked = task.get()
    if asked is None:
        return ""
    running, thread = asked
    innermost: FrameType | None = None
    waiting: Any = running.get_coro()
    while waiting is not None:
        if getattr(waiting, "cr_running", False):
            # It has handed the statement to this thread a moment ago, and is about to wait.
            return call_site(sys._current_frames().get(thread))
        frame = getattr(waiting, "cr_frame", None)
        if frame is not None and not _is_framework(frame.f_code.co_filename):
            innermost = frame
        waiting = getattr(waiting, "cr_await", None)
    return "" if innermost is None else _site(innermost)


def _is_framework(filename: str) -> bool:
    known = _known_files.get(filename)
    return _new_file(filename) if known is None else known


def _site(frame: FrameType) -> str:
    key = (id(frame.f_code), frame.f_lasti)
    known = _sites.get(key)
    return known[1] if known is not None and known[0] is frame.f_code else _new_site(key, frame)


def _new_file(filename: str) -> bool:
    framework = _looks_like_framework(filename)
    if len(_known_files) >= _MAX_FILES:
        _known_files.clear()
    _known_files[filename] = framework
    return framework


def _looks_like_framework(filename: str) -> bool:
    if filename.startswith("<frozen "):
        return True
    for marker in _SITE:
        _, found, inside = filename.rpartition(marker)
        if found:
            return inside.partition(os.sep)[0].removesuffix(".py") in _FRAMEWORKS
    if filename.startswith(_STDLIB):
        return True
    # Installed in editable mode, or run from a checkout.
    path = os.path.abspath(filename)
    return any(root is not None and path.startswith(root) for root in map(_directory, _FRAMEWORKS))


def _new_site(key: tuple[int, int], frame: FrameType) -> str:
    code = frame.f_code
    site = f"{_short(code.co_filename, frame.f_globals.get('__name__'))}:{frame.f_lineno} in {code.co_qualname}"[:500]
    if len(_sites) >= _MAX_SITES:
        _sites.clear()
    _sites[key] = (code, site)
    return site


def _short(filename: str, module: object) -> str:
    """The file as its import names it: hosts and releases keep the same code in different places."""
    parts = filename.replace("\\", "/").split("/")
    if isinstance(module, str) and module and not module.startswith("__"):
        depth = module.count(".") + (2 if parts[-1] == "__init__.py" else 1)
        return "/".join(parts[-depth:])
    return parts[-1]
