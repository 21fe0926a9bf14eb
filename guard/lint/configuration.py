"""Whether guard can do its work as it is set up here: middleware, Sentry, threads, rights, routers, durations."""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection, Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Info, Warning
from django.db import DatabaseError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from guard import conf
from guard.ledger import connecting
from guard.lint.finding import documented
from guard.schema import declared

MIDDLEWARE = "guard.middleware.GuardMiddleware"

#: Middleware that runs statements, which guard's must be there to see.
_ASKING = frozenset(
    {
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        "django.contrib.auth.middleware.RemoteUserMiddleware",
        "django.contrib.auth.middleware.PersistentRemoteUserMiddleware",
        "django.contrib.sites.middleware.CurrentSiteMiddleware",
        "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
        "django.contrib.redirects.middleware.RedirectFallbackMiddleware",
    }
)


def middleware() -> Iterator[CheckMessage]:
    """W003 and W011: guard's middleware is missing, or comes after one that asks the database."""
    listed = list(settings.MIDDLEWARE)
    if MIDDLEWARE not in listed:
        yield Warning(
            "guard's middleware is not in MIDDLEWARE, so that no server will register, and no contract step is ever "
            "taken.",
            hint=documented("guard.W003", f'Add "{MIDDLEWARE}" to MIDDLEWARE, as early as you can.'),
            id="guard.W003",
        )
        return
    earlier = [name for name in listed[: listed.index(MIDDLEWARE)] if name in _ASKING]
    if earlier:
        yield Warning(
            f"guard's middleware comes after {', '.join(earlier)}: statements that run there are counted without the "
            "request that they belong to.",
            hint=documented("guard.W011", f'Move "{MIDDLEWARE}" to the beginning of MIDDLEWARE.'),
            id="guard.W011",
        )


def environment() -> Iterator[CheckMessage]:
    """I012 and W014: nobody is told through Sentry, or no thread can beat."""
    if not _sentry_is_on():
        yield Info(
            "Sentry is not initialised: what guard finds goes to the log and to Django's signals alone.",
            hint=documented("guard.I012", "Call sentry_sdk.init() in the settings."),
            id="guard.I012",
        )
    if why := _no_threads():
        yield Warning(
            f"No heartbeat can run beside the requests here: {why}. Leases are renewed at the end of requests alone, "
            "and run out while there are none.",
            hint=documented("guard.W014", "With uWSGI, set `enable-threads = true`."),
            id="guard.W014",
        )


def _sentry_is_on() -> bool:
    sentry: Any = sys.modules.get("sentry_sdk")
    return sentry is not None and bool(sentry.get_client().is_active())


def _no_threads() -> str:
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is not None and not {"enable-threads", "threads"}.intersection(getattr(uwsgi, "opt", ())):
        return "uWSGI runs without `enable-threads`"
    thread = threading.Thread(target=lambda: None, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        return str(error)
    thread.join()
    return ""


#: (the shorter, the longer, what happens otherwise)
_ORDERED = (
    ("lock_timeout", "lock_patience", "a contract step gives up before its first try has ended"),
    ("lock_timeout", "migrate_budget", "`migrate` has no time for a single step"),
    ("rollback_window", "debt_after", "steps that only keep to their window are called late"),
    ("quiet_period", "debt_after", "steps that only wait for quiet are called late"),
)


def names() -> Iterator[CheckMessage]:
    """W015 and W021: durations that contradict each other, migrations that are named and not there."""
    config = conf.get()
    for shorter, longer, otherwise in _ORDERED:
        if getattr(config, shorter) > getattr(config, longer):
            yield Warning(
                f"GUARD[{shorter.upper()!r}] is longer than GUARD[{longer.upper()!r}]: {otherwise}.",
                hint=documented("guard.W015", f"{longer.upper()} has to be at least as long as {shorter.upper()}."),
                id="guard.W015",
            )
    on_disk = declared.migrations_on_disk()
    named = [("PHASES", name, tuple(name.split(".", 1))) for name in config.phases]
    named += [("BASELINE", f"{app}.{name}", (app, name)) for app, name in config.baseline.items()]
    for key, name, pair in named:
        if pair not in on_disk:
            yield Warning(
                f"GUARD[{key!r}] names {name}, which this code does not have: it says nothing.",
                hint=documented("guard.W021", "Correct the name, or take it out."),
                id="guard.W021",
            )


def strays(told: Collection[str]) -> Iterator[CheckMessage]:
    """W016: models that are written where guard keeps no ledger, so that nobody sees their use."""
    written: dict[str, list[str]] = {}
    for model in apps.get_models():
        if model._meta.managed and not model._meta.proxy:
            written.setdefault(router.db_for_write(model), []).append(model._meta.label)
    for alias, labels in sorted(written.items()):
        if alias in told or alias not in connections.settings or connecting.ledger_alias(alias) is not None:
            continue
        connection = connections[alias]
        if connection.vendor in connecting.VENDORS and not connecting.can_guard(connection):
            # In the memory of this process.
            continue
        yield Warning(
            f"{len(labels)} models ({', '.join(labels[:3])}{', …' if len(labels) > 3 else ''}) are written to database "
            f"{alias} ({connection.vendor}), where guard keeps no ledger: what happens there is unguarded.",
            hint=documented(
                "guard.W016", "guard knows SQLite, PostgreSQL, MariaDB and MySQL; a router may not refuse it."
            ),
            id="guard.W016",
        )


#: What instances write, and how; more is for those who migrate.
_WRITTEN = (("footprint", "digest"), ("instance", "id"), ("sighting", "identity"), ("alert", "identity"))


def unwritable(connection: BaseDatabaseWrapper) -> str:
    """Why this role cannot write what an instance writes, in the database's words; empty where it can.

    The statements concern no row, and are asked for all the same.
    """
    quote = connection.ops.quote_name
    try:
        for name, column in _WRITTEN:
            table, key = quote(f"guard_{name}"), quote(column)
            with connection.cursor() as cursor:
                cursor.execute(f"UPDATE {table} SET {key} = {key} WHERE 1 = 0")
                cursor.execute(f"INSERT INTO {table} SELECT * FROM {table} WHERE 1 = 0")
    except DatabaseError as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ""


def cannot_write(alias: str, why: str) -> Iterator[CheckMessage]:
    """W013: the ledger is there, and this role may not write it."""
    if why:
        yield Warning(
            f"This role may not write guard's ledger in database {alias}: {why}",
            hint=documented(
                "guard.W013",
                "If the application has this role, grant it SELECT, INSERT and UPDATE on guard's tables.",
            ),
            id="guard.W013",
        )
