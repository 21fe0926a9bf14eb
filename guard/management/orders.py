"""The part of `manage.py guard` that takes operators' orders: arguments and answers."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from guard.gate.orders import Desk, Done

AddParser = Callable[[str, str], CommandParser]


def add_arguments(sub: AddParser) -> None:
    """Add the order-taking actions; `sub` makes a parser from a name and a help text."""
    allow = sub("allow", "Waive blockers of a contract step, or ahead of time of a pending migration.")
    allow.add_argument("target", metavar="TABLE.COLUMN|APP.MIGRATION")
    allow.add_argument("--waive", nargs="+", required=True, metavar="BLOCKER", help="Codes, as `why --json` has them.")
    allow.add_argument("--reason", required=True)
    allow.add_argument("--expires", required=True, metavar="WHEN", help="90m, 2h, 3d, or an ISO date and time.")

    forget = sub("forget", "Take a lost instance for gone, or a command for one that does not run any more.")
    which = forget.add_mutually_exclusive_group(required=True)
    which.add_argument("instance", nargs="?", metavar="INSTANCE", help="Its id, or HOST:PID.")
    which.add_argument("--all-lost", action="store_true")
    which.add_argument("--workload", metavar="NAME", help="For example command:report.")
    forget.add_argument("--reason", required=True)

    reconcile = sub("reconcile", "End lost instances whose host an orchestrator does not list any more.")
    reconcile.add_argument(
        "--alive",
        required=True,
        metavar="FILE",
        help="Names, as of `kubectl get pods -o name`; -: standard input.",
    )
    reconcile.add_argument("--reason", default="not in the list of what is alive")

    withdraw = sub("withdraw", "Give up a contract step: the column stays.")
    withdraw.add_argument("target", metavar="TABLE.COLUMN")
    withdraw.add_argument("--reason", required=True)

    freeze = sub("freeze", "Take nothing until a moment.")
    when = freeze.add_mutually_exclusive_group(required=True)
    when.add_argument("--until", metavar="WHEN", help="90m, 2h, 3d, or an ISO date and time.")
    when.add_argument("--end", action="store_true", help="End the freeze now.")
    freeze.add_argument("--reason", required=True)

    adopt = sub("adopt", "In a clone of another environment: make the ledger this environment's own.")
    adopt.add_argument("--reason", required=True)

    log = sub("log", "What was taken, restored, ordered and settled, by whom and when.")
    log.add_argument("--since", metavar="WHEN", help="How long back (2h, 3d), or an ISO date and time.")


def pending_migrations(alias: str) -> list[str]:
    """APP.MIGRATION names that are on disk and not applied."""
    loader = MigrationLoader(connections[alias])
    return [f"{app}.{name}" for app, name in loader.disk_migrations if (app, name) not in loader.applied_migrations]


def carry_out(desk: Desk, action: str, options: dict[str, Any]) -> Done:
    """Hand one order to the desk. Raises guard.gate.orders.Refused."""
    reason = options["reason"]
    if action == "allow":
        return desk.allow(
            options["target"],
            options["waive"],
            reason=reason,
            expires=options["expires"],
            pending=pending_migrations(desk.ledger.connection.alias),
        )
    if action == "forget":
        return desk.forget(
            instance=options["instance"] or "",
            all_lost=options["all_lost"],
            workload=options["workload"] or "",
            reason=reason,
        )
    if action == "reconcile":
        names, age = _alive(options["alive"])
        return desk.reconcile(names, age=age, reason=reason)
    if action == "withdraw":
        return desk.withdraw(options["target"], reason=reason)
    if action == "freeze":
        return desk.thaw(reason=reason) if options["end"] else desk.freeze(until=options["until"], reason=reason)
    return desk.adopt(reason=reason)


def _alive(file: str) -> tuple[list[str], float]:
    """The names in a list, and its age in seconds. Raises CommandError where it cannot be read."""
    if file == "-":
        return sys.stdin.read().split(), 0.0
    try:
        path = Path(file)
        return path.read_text().split(), max(0.0, time.time() - path.stat().st_mtime)
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} cannot be read: {error}", returncode=2) from None


def log_lines(entries: list[dict[str, Any]]) -> list[str]:
    """The log for people, in UTC, because clocks of hosts and operators differ."""
    lines = []
    for entry in entries:
        at = datetime.datetime.fromtimestamp(entry["at"], datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        lines.append(f"{at}  {entry['action']} {entry['target']}  by {entry['actor']}, release {entry['release']}")
        details = entry["details"]
        lines += [f"    {details[key]}" for key in ("reason", "why", "job") if details.get(key)]
        lines += [f"    {said}" for said in details.get("evidence", ())]
        lines += [f"    {sql}" for sql in details.get("sql", ())]
        if "seconds" in details:
            lines.append(f"    took {details['seconds']:g} seconds")
    return lines or ["Nothing has happened."]
