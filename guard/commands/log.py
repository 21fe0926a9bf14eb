"""`manage.py guard log`."""

from __future__ import annotations

import datetime
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from guard.commands.call import Call
from guard.commands.exits import Exit
from guard.gate.orders import Refused, moment
from guard.ledger.orders import record_since

HELP = "What was taken, restored, ordered and settled, by whom and when."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--since", metavar="WHEN", help="How long back (2h, 3d), or an ISO date and time.")


def run(call: Call) -> None:
    """Say what is on record."""
    since: str | None = call.options["since"]
    found: list[dict[str, Any]] = []
    for gate in call.gates(settle=False):
        now = gate.ledger.now()
        try:
            start = 0.0 if since is None else moment(since, now, back=True)
        except Refused as refused:
            raise CommandError(str(refused), returncode=Exit.USAGE) from None
        found += [
            {
                "database": gate.connection.alias,
                "at": at,
                "action": action,
                "target": target,
                "actor": actor,
                "release": release,
                "details": details,
            }
            for at, action, target, actor, release, details in record_since(gate.ledger, start)
        ]
    if call.json:
        call.answer({"log": found})
        return
    for line in _lines(found):
        call.say(line)


def _lines(entries: list[dict[str, Any]]) -> list[str]:
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
