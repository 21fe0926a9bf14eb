"""`manage.py guard allow`."""

from __future__ import annotations

from argparse import ArgumentParser

from django.db import connections
from django.db.migrations.loader import MigrationLoader

from guard.commands import ordering
from guard.commands.call import Call
from guard.gate.orders import Desk, Done

HELP = "Let a contract step be taken in spite of some of what it waits for (blockers), until a moment."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="TABLE.COLUMN|APP.MIGRATION", help="As `manage.py guard status` names it.")
    parser.add_argument("--waive", nargs="+", required=True, metavar="BLOCKER", help="Codes, as `why --json` has them.")
    parser.add_argument("--reason", required=True, help=ordering.REASON)
    parser.add_argument("--expires", required=True, metavar="WHEN", help="90m, 2h, 3d, or an ISO date and time.")


def run(call: Call) -> None:
    options = call.options

    def order(desk: Desk) -> Done:
        return desk.allow(
            options["target"],
            options["waive"],
            reason=options["reason"],
            expires=options["expires"],
            pending=_pending_migrations(desk.ledger.connection.alias),
        )

    ordering.give(call, order)


def _pending_migrations(alias: str) -> list[str]:
    """APP.MIGRATION names that are on disk and not applied."""
    loader = MigrationLoader(connections[alias])
    return [f"{app}.{name}" for app, name in loader.disk_migrations if (app, name) not in loader.applied_migrations]
