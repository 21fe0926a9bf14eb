"""`manage.py guard lint`."""

from __future__ import annotations

from argparse import ArgumentParser

from django.apps import apps
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, connections, router

from guard import conf
from guard.commands.call import Call
from guard.commands.exits import Exit
from guard.ledger import connecting
from guard.ledger.store import Ledger
from guard.lint import formats, history
from guard.lint import run as linting
from guard.lint.finding import Level

HELP = "What migrations do to deployed code, from their files alone: without a database."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("apps", nargs="*", metavar="APP_LABEL", help="These apps only (default: the project's own).")
    since = parser.add_mutually_exclusive_group()
    since.add_argument("--since", metavar="REF", help="Only migrations added since this git revision, as one deploy.")
    since.add_argument(
        "--since-release",
        metavar="LABEL",
        help="Only migrations that this deployed release lacks, as one deploy. Its footprint is read from the ledger.",
    )
    parser.add_argument(
        "--format",
        choices=formats.FORMATS,
        default="text",
        help="For people, machines, a pull request, code scanning.",
    )
    parser.add_argument("--strict", action="store_true", help="Exit 1 on warnings, too.")


def run(call: Call) -> None:
    """Print what is found. Raises CommandError: 1 where something is refused (or warned of), 2 for a wrong call."""
    options = call.options
    labels: list[str] = options["apps"]
    database: str | None = options["database"]
    since: str | None = options["since"]
    release: str | None = options["since_release"]
    config = conf.strict()
    for label in labels:
        if label not in apps.app_configs:
            raise CommandError(f"There is no app {label!r}.", returncode=Exit.USAGE)
    try:
        if since is not None:
            found = history.load(history.before(since))
        elif release is not None:
            found = history.load(_of_release(release, database))
        else:
            found = history.load()
    except history.Unreadable as error:
        raise CommandError(str(error), returncode=Exit.USAGE) from error
    together = since is not None or release is not None
    asked = frozenset(labels) or (frozenset(apps.app_configs) if together else history.own_apps())
    quiet = history.history_until(found, config.baseline)
    wanted = {key for key in found.order if key[0] in asked and key[0] != "guard"} - found.old - quiet
    result = linting.lint(found, aliases=_aliases(database), wanted=wanted, config=config, together=together)
    call.screen.text(formats.render(result, "json" if call.json else options["format"]))
    bad = [f for f in result.findings if f.level is Level.ERROR or (options["strict"] and f.level is Level.WARNING)]
    if bad:
        names = ", ".join(dict.fromkeys(f.name for f in bad))
        hint = "" if together or config.baseline else ' GUARD["BASELINE"] keeps what is history quiet.'
        raise CommandError(f"Found something to mend in {names}.{hint}", returncode=Exit.ERROR)


def _aliases(database: str | None) -> list[str]:
    if database is not None:
        if database not in connections.settings:
            raise CommandError(f"There is no database {database!r} in DATABASES.", returncode=Exit.USAGE)
        return [database]
    migrated = [
        alias
        for alias in connections
        if connections[alias].vendor in connecting.VENDORS
        and any(router.allow_migrate(alias, label) for label in apps.app_configs if label != "guard")
    ]
    return migrated or [DEFAULT_DB_ALIAS]


def _of_release(label: str, database: str | None) -> frozenset[history.Key]:
    """The migrations that a deployed release has, as the ledger knows it."""
    for alias in [database] if database is not None else connecting.guarded_aliases():
        with connecting.private(alias) as connection:
            ledger = Ledger(connection)
            if not ledger.exists():
                continue
            deployed = [instance for instance in ledger.instances() if instance.release == label]
            if deployed:
                newest = max(deployed, key=lambda instance: instance.registered_at)
                footprint = ledger.footprints().get(newest.digest)
                if footprint is None:
                    raise CommandError(f"What release {label} brings cannot be read any more.", returncode=Exit.ERROR)
                return footprint.migrations
    raise CommandError(f"No ledger knows a release {label!r}.", returncode=Exit.USAGE)
