"""What `manage.py guard doctor` looks at: whether guard can do its work as it is set up here, and what to mend.

Each part looks at one thing, changes nothing, and says what it found even where all is well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.checks import messages as levels
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.urls import NoReverseMatch, reverse

from guard import conf
from guard.commands.call import first_line
from guard.gate import messages
from guard.gate.witnesses import dependents, sessions
from guard.ledger import connecting, protocol, rows
from guard.ledger.store import Gate, Ledger
from guard.ledger.tables import LedgerMissing
from guard.lint import configuration
from guard.lint.finding import undocumented
from guard.runtime import testimony


class State(StrEnum):
    GOOD = "good"
    #: guard cannot do its work like this.
    MEND = "mend"
    #: Nothing is wrong, and somebody should know it.
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Examined:
    """One thing that was looked at."""

    #: Stable, for machines.
    name: str
    state: State
    says: str
    mend: str = ""
    #: The command, or the line of the settings, that mends it.
    paste: str = ""
    #: The alias; empty where it is about the process.
    database: str = ""


def _good(name: str, says: str, database: str = "") -> Examined:
    return Examined(name, State.GOOD, says, database=database)


def _of_check(name: str, found: Iterable[CheckMessage], otherwise: str, paste: str = "") -> Iterator[Examined]:
    """What a system check says of it; one sentence where it says nothing."""
    said = list(found)
    for message in said:
        state = State.MEND if message.level >= levels.WARNING else State.NOTE
        hint = undocumented(message.hint or "")
        yield Examined(name, state, message.msg, hint, paste)
    if not said:
        yield _good(name, otherwise)


# The process


def process() -> Iterator[Examined]:
    """All that needs no database."""
    yield from _settings()
    yield from _mode(conf.get(), debug=settings.DEBUG)
    yield from _release()
    yield from _environment_label()
    yield from _of_check(
        "middleware",
        configuration.middleware(),
        "guard's middleware is in MIDDLEWARE, before those that ask the database.",
        f'MIDDLEWARE = ["{configuration.MIDDLEWARE}", *MIDDLEWARE]',
    )
    yield _readiness()
    for found in configuration.environment():
        sentry = found.id == "guard.I012"
        yield from _of_check(
            "sentry" if sentry else "threads",
            [found],
            "",
            'sentry_sdk.init(dsn=os.environ["SENTRY_DSN"])' if sentry else "enable-threads = true",
        )
    told = {found.id for found in configuration.environment()}
    if "guard.I012" not in told:
        yield _good("sentry", "Sentry is initialised: use of what is slated by new code goes there, too.")
    if "guard.W014" not in told:
        yield _good("threads", "A thread can beat beside the requests: leases do not run out while it is quiet.")
    yield from _of_check("databases", configuration.strays(()), "Every model is written to a database with a ledger.")


def _settings() -> Iterator[Examined]:
    for problem in conf.problems():
        yield Examined("settings", State.MEND, str(problem), problem.hint or "Correct the GUARD setting.")
    if not conf.problems():
        yield from _of_check("settings", configuration.names(), "GUARD has no mistakes and does not contradict itself.")


def _mode(config: conf.Config, *, debug: bool) -> Iterator[Examined]:
    if config.mode is conf.Mode.OFF:
        yield Examined(
            "mode",
            State.MEND,
            'MODE is "off": guard does nothing, and nobody registers.',
            "Take it out, or observe first.",
            'GUARD["MODE"] = "observe"',
        )
    elif config.mode is conf.Mode.OBSERVE:
        yield Examined(
            "mode",
            State.NOTE,
            'MODE is "observe": every migration runs whole, and guard only says what would have waited.',
            "When you have seen enough, enforce.",
            'GUARD["MODE"] = "enforce"',
        )
    elif config.mode is None and debug:
        yield Examined(
            "mode",
            State.NOTE,
            "DEBUG is on and MODE is not set: guard only observes while no other host is in the ledger.",
            "If this is not a laptop, turn DEBUG off, or say so.",
            'GUARD["MODE"] = "enforce"',
        )
    else:
        yield _good("mode", "Migrations are split, held or refused where old code is deployed.")
    if config.on_stale_access is conf.OnStaleAccess.RAISE and not debug:
        yield Examined(
            "mode",
            State.MEND,
            'ON_STALE_ACCESS is "raise": requests will fail where new code touches what is slated.',
            "That is for test suites only; take it out where users are served.",
            'GUARD["ON_STALE_ACCESS"] = "record"',
        )
    if config.keep_for == 0:
        yield Examined(
            "mode", State.NOTE, "KEEP_FOR is 0: what is taken away is erased at once, and cannot be restored."
        )


def _release() -> Iterator[Examined]:
    label = conf.release_label(conf.get())
    if label is None:
        yield Examined(
            "release",
            State.MEND,
            "This release has no label, so that messages name it by a digest that tells nobody anything.",
            "Say which release this is: the commit, or the image's tag.",
            'GUARD["RELEASE"] = os.environ["GIT_SHA"]',
        )
        return
    where = "GUARD" if conf.get().release else next(name for name in conf.RELEASE_VARIABLES if os.environ.get(name))
    yield _good("release", f"This release is {label} (as {where} says).")


def _environment_label() -> Iterator[Examined]:
    label = conf.get().environment
    if label:
        yield _good("environment", f"This is {label}. A clone of its database elsewhere will take nothing away.")
    else:
        yield Examined(
            "environment",
            State.NOTE,
            "ENVIRONMENT is not set: a clone of this database, such as staging's, cannot be told from it.",
            "If you clone databases, name each environment.",
            'GUARD["ENVIRONMENT"] = "production"',
        )


def _readiness() -> Examined:
    try:
        where = reverse("guard:ready")
    except NoReverseMatch:
        return Examined(
            "readiness",
            State.MEND,
            "No URL leads to guard's readiness view, so that a release that must not serve is not kept out.",
            "Add it to the URLs, and point your readiness probe there.",
            'path("guard/", include("guard.urls"))',
        )
    except Exception as error:
        # A URL configuration that cannot be loaded is the project's own trouble, and may say anything.
        return Examined("readiness", State.MEND, f"The URLs cannot be loaded: {first_line(error)}", "Mend them.")
    return _good("readiness", f"{where} answers 503 while this release must not serve: probe it.")


# A database


def database(alias: str, *, clock: Callable[[], float] = time.time) -> tuple[Examined, ...]:
    """All that needs a database. `clock`: seconds since the epoch, by this host."""
    if why := connecting.wrong_driver(connections[alias]):
        install = 'pip install "psycopg[binary]>=3.2"'
        return (Examined("driver", State.MEND, why, "Django prefers psycopg 3 to psycopg 2.", install, alias),)
    found: list[Examined] = []
    try:
        with connecting.private(alias) as connection:
            for part in (_visible, _ledger, _rights, _fresh, _clock(clock), _environment, _fleet, _witnesses, _pooler):
                found += part(connection)
                if found and found[0].state is State.MEND:
                    # Without a ledger there is nothing more to look at.
                    break
    except LedgerMissing as error:
        found.append(
            Examined(
                "ledger", State.MEND, str(error), "migrate mends it.", f"manage.py migrate --database {alias}", alias
            )
        )
    except (DatabaseError, ValueError) as error:
        found.append(
            Examined(
                "connection",
                State.MEND,
                f"The database could not be asked: {first_line(error)}",
                "See that it runs, and that DATABASES and the role's password are right.",
                f"manage.py dbshell --database {alias}",
                alias,
            )
        )
    return tuple(found)


def _visible(connection: BaseDatabaseWrapper) -> Iterator[Examined]:
    if why := _unreadable(connection):
        quote, role = connection.ops.quote_name, _role(connection)
        yield Examined(
            "rights",
            State.MEND,
            f"This role may not read the ledger ({why}): nothing more can be looked at. If it is your application's, "
            "nobody can register.",
            "As the role that migrates, grant it that.",
            f"GRANT SELECT ON {quote('django_migrations')} TO {role}; {_grants(connection)}",
            connection.alias,
        )


def _unreadable(connection: BaseDatabaseWrapper) -> str:
    """Why this role may not look into the ledger, in the database's words; empty where it may, or there is none."""
    for table in ("django_migrations", *RIGHTS):
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT 1 FROM {connection.ops.quote_name(table)} WHERE 1 = 0")
        except DatabaseError as error:
            if _denied(error):
                return first_line(error)
    return ""


def _denied(error: DatabaseError) -> bool:
    """Whether it is for want of a privilege: PostgreSQL's SQLSTATE, numbers of MySQL and MariaDB."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state == "42501" or bool(error.args and error.args[0] in (1142, 1143))


def _ledger(connection: BaseDatabaseWrapper) -> Iterator[Examined]:
    alias, ledger = connection.alias, Ledger(connection)
    migrate = f"manage.py migrate --database {alias}"
    if not ledger.exists():
        yield Examined(
            "ledger", State.MEND, "There is no ledger: nobody can register.", "migrate makes it.", migrate, alias
        )
        return
    loader = MigrationLoader(connections[alias])
    behind = sorted(
        name for app, name in loader.disk_migrations if app == "guard" and (app, name) not in loader.applied_migrations
    )
    if behind:
        yield Examined(
            "ledger",
            State.MEND,
            f"The ledger lacks guard's own {messages.count(len(behind), 'migration')} {', '.join(behind)}.",
            "migrate brings it up to date.",
            migrate,
            alias,
        )
        return
    yield _good("ledger", "The ledger is there and up to date.", alias)


def _fresh(connection: BaseDatabaseWrapper) -> Iterator[Examined]:
    if Ledger(connection).gate().fresh:
        yield Examined(
            "fresh",
            State.NOTE,
            "The database is new: migrations run whole until the first server registers, or nothing is left to apply.",
            database=connection.alias,
        )


def _rights(connection: BaseDatabaseWrapper) -> Iterator[Examined]:
    why = configuration.unwritable(connection)
    if not why:
        yield _good("rights", "This role may read and write the ledger.", connection.alias)
        return
    yield Examined(
        "rights",
        State.MEND,
        f"This role may not write the ledger ({why}). If it is your application's, nobody can register.",
        "As the role that migrates, grant it that.",
        _grants(connection),
        connection.alias,
    )


#: What the application's role needs of the ledger. Who migrates, or takes steps, owns it.
RIGHTS = {
    "guard_gate": "SELECT, UPDATE",
    "guard_footprint": "SELECT, INSERT, UPDATE",
    "guard_instance": "SELECT, INSERT, UPDATE",
    "guard_step": "SELECT",
    "guard_sighting": "SELECT, INSERT, UPDATE",
    "guard_pulse": "SELECT, UPDATE",
    "guard_alert": "SELECT, INSERT, UPDATE",
}


def _grants(connection: BaseDatabaseWrapper) -> str:
    quote, role = connection.ops.quote_name, _role(connection)
    return " ".join(f"GRANT {rights} ON {quote(table)} TO {role};" for table, rights in RIGHTS.items())


def _role(connection: BaseDatabaseWrapper) -> str:
    """Who asks, as GRANT names it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user" if connection.vendor == "postgresql" else "SELECT CURRENT_USER()")
        role = str(cursor.fetchone()[0])
    if connection.vendor == "postgresql":
        return connection.ops.quote_name(role)
    user, _, host = role.rpartition("@")
    return f"'{user}'@'{host}'"


#: Seconds by which two clocks may differ before somebody who compares logs is misled, and before something is wrong.
_DIFFERS, _WRONG = 2.0, 60.0


def _clock(clock: Callable[[], float]) -> Callable[[BaseDatabaseWrapper], Iterator[Examined]]:
    def examine(connection: BaseDatabaseWrapper) -> Iterator[Examined]:
        ledger = Ledger(connection)
        before = clock()
        there = ledger.now()
        after = clock()
        # Within the time that the question took nobody can tell.
        differs = max(0.0, before - there, there - after)
        way = "behind" if there > after else "ahead of"
        if differs <= _DIFFERS:
            yield _good("clock", "This host's clock and the database's agree.", connection.alias)
            return
        yield Examined(
            "clock",
            State.MEND if differs > _WRONG else State.NOTE,
            f"This host's clock is {messages.span(differs)} {way} the database's. guard goes by the database's alone, "
            "but your logs go by this one.",
            "Let a time service set both.",
            "timedatectl set-ntp true",
            connection.alias,
        )

    return examine


def _environment(connection: BaseDatabaseWrapper) -> Iterator[Examined]:
    here, gate = conf.get().environment or "", Ledger(connection).gate()
    yield from _whose(gate, here, connection.alias)


def _whose(gate: Gate, here: str, alias: str) -> Iterator[Examined]:
    if gate.environment and gate.environment != here:
        yield Examined(
            "ownership",
            State.MEND,
            f"The ledger belongs to environment {gate.environment!r}, and this is {here or 'one without a label'!r}: "
            "nothing is taken away here.",
            "If this database is a clone, make the ledger its own. If not, correct ENVIRONMENT.",
            'manage.py guard adopt --reason "a clone"',
            alias,
        )


def _fleet(connection: BaseDatabaseWrapper) -> Iterator[Examined]:
    ledger = Ledger(connection)
    now = ledger.now()
    instances = [i for i in ledger.instances() if protocol.same_project(i.project, ledger.project)]
    serving = [i for i in instances if i.kind is not rows.InstanceKind.COMMAND and i.live(now)]
    refused = [i for i in serving if i.state is rows.InstanceState.REFUSED]
    if not instances:
        yield Examined(
            "fleet",
            State.NOTE,
            "No instance has registered: nothing will be taken away, because nobody knows what is deployed.",
            "Deploy with guard's middleware, and look again.",
            "manage.py guard instances",
            connection.alias,
        )
    elif not serving:
        yield Examined(
            "fleet",
            State.NOTE,
            "No server or worker is alive now; the last word from one came "
            f"{messages.ago(now - max(i.renewed_at for i in instances))}.",
            "If servers run, see that they have guard's middleware and may write the ledger.",
            "manage.py guard instances --state all",
            connection.alias,
        )
    else:
        releases = messages.count(len({i.release for i in serving}), "release")
        yield _good("fleet", f"Alive: {messages.count(len(serving), 'instance')} of {releases}.", connection.alias)
    if refused:
        yield Examined(
            "fleet",
            State.MEND,
            f"{messages.count(len(refused), 'instance')} must not serve: the code relies on what was taken away.",
            "See which, then restore it, or deploy newer code.",
            "manage.py guard instances --state refused",
            connection.alias,
        )


def _witnesses(connection: BaseDatabaseWrapper) -> Iterator[Examined]:
    alias = connection.alias
    if testimony.process():
        yield _good("hosts", "Of a process of this host that vanished, the kernel proves that it is gone.", alias)
    else:
        yield Examined(
            "hosts",
            State.NOTE,
            "This system does not tell whether a process that vanished is gone; it blocks until LOST_GRACE is over.",
            database=alias,
        )
    yield _sessions(connection)
    yield from _dependents(connection)
    yield _good(
        "statements",
        "Statements through Django's connections are counted; what other programs run, and what views, triggers and "
        "functions do inside the database, is not.",
        alias,
    )


def _dependents(connection: BaseDatabaseWrapper) -> Iterator[Examined]:
    alias = connection.alias
    try:
        unseen = dependents.of_column(connection, "guard_gate", "environment").unseen
    except DatabaseError as error:
        yield Examined(
            "dependents",
            State.MEND,
            f"This role cannot read what depends on a column ({first_line(error)}), so that nothing is taken away.",
            "Let `manage.py guard contract` run as the role that migrates.",
            database=alias,
        )
        return
    if not unseen:
        says = "Views, triggers and keys that depend on a column are seen; code outside of the database is not."
        yield _good("dependents", says, alias)
    for each in unseen:
        yield Examined(
            "dependents",
            State.NOTE,
            f"This role may not read every {each.kind}: whether one depends on a column is not known.",
            "If it takes contract steps, as a superuser let it.",
            f"{each.grant};",
            alias,
        )


def _sessions(connection: BaseDatabaseWrapper) -> Examined:
    alias = connection.alias
    asked = "sessions" in conf.get().witnesses
    if connection.vendor == "sqlite":
        says = "SQLite does not tell who has the file open: who does not run guard is not seen."
    elif connection.vendor == "mysql" and not sessions.sees_everybody(connection):
        says = "This role sees only its own sessions: who else is connected is not seen."
    elif connection.vendor == "postgresql" and not _reads_statistics(connection):
        says = "This role does not see other roles' application names: their sessions cannot be told from strangers."
    else:
        return _good(
            "sessions",
            "Sessions of every role are seen; who is connected without guard "
            + ("blocks." if asked else 'is shown by `guard status` (and blocks where GUARD["WITNESSES"] asks for it).'),
            alias,
        )
    right = {"postgresql": "pg_read_all_stats", "mysql": "PROCESS ON *.*"}.get(connection.vendor)
    paste = f"GRANT {right} TO {_role(connection)};" if right else ""
    return Examined(
        "sessions",
        # What was asked for and cannot be read blocks every step.
        State.MEND if asked else State.NOTE,
        says,
        "As a superuser, let it." if paste else ("Take it out of WITNESSES." if asked else ""),
        paste,
        alias,
    )


def _reads_statistics(connection: BaseDatabaseWrapper) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')")
        return bool(cursor.fetchone()[0])


def _pooler(connection: BaseDatabaseWrapper) -> Iterator[Examined]:
    alias = connection.alias
    if connection.vendor == "sqlite" or conf.get().mode is conf.Mode.OFF:
        return
    if testimony.session(connection):
        yield _good("pooler", "Connections lead to the database itself: sessions prove who is gone.", alias)
        return
    if testimony.several_ways(connection):
        says = "Several entries of DATABASES lead to this database, so that sessions do not prove who is gone."
    elif testimony.direct(connection):
        says = "The sessions' application name is set outside of guard's reach: they do not prove who is gone."
    else:
        says = "A connection pooler (such as pgbouncer) stands between: sessions do not prove who is gone."
    yield Examined(
        "pooler",
        State.NOTE,
        f"{says} An instance that vanishes blocks until LOST_GRACE is over.",
        "If an orchestrator knows who is alive, tell guard after each roll-out.",
        "kubectl get pods -o name | manage.py guard reconcile --alive -",
        alias,
    )
