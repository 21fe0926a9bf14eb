"""`manage.py guard log`."""

from __future__ import annotations

import datetime
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from guard.commands import paging
from guard.commands.call import Call
from guard.commands.exits import Exit
from guard.commands.screen import Screen
from guard.gate.orders import Refused, moment
from guard.ledger.orders import record_since

HELP = "What was taken, restored, ordered and settled, by whom and when."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--since", metavar="WHEN", help="How long back (2h, 3d), or an ISO date and time.")
    paging.add_arguments(parser, limit=100)


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
    # The newest page first, and on it what happened first: as one reads on.
    found.sort(key=lambda entry: entry["at"])
    page = paging.Page.of(call.options)
    shown = list(reversed(page.cut(found[::-1])))
    if call.json:
        call.answer({"log": shown, **page.answer(len(found))})
        return
    if not found:
        call.say("Nothing has happened.")
    several = len({entry["database"] for entry in found}) > 1
    for entry in shown:
        _show(call.screen, entry, several=several)
    if says := page.says(len(found), "entries, the newest first"):
        call.screen.line(says, style="faint")


#: Of what somebody has seen, such as each of a thousand instances that were forgotten, so much is shown to people.
_MOST = 10

_STYLES = {"erase": "bad", "aside": "name", "restore": "good"}


def _show(screen: Screen, entry: dict[str, Any], *, several: bool) -> None:
    """In UTC, because clocks of hosts and operators differ."""
    at = datetime.datetime.fromtimestamp(entry["at"], datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    where = f", database {entry['database']}" if several else ""
    screen.line(
        f"{at}  {entry['action']} {entry['target']}  by {entry['actor']}, release {entry['release']}{where}",
        style=_STYLES.get(entry["action"], ""),
    )
    details = entry["details"]
    evidence = details.get("evidence", ())
    for said in (*(details[key] for key in ("reason", "why", "job") if details.get(key)), *evidence[:_MOST]):
        screen.line(str(said), indent=4)
    if len(evidence) > _MOST:
        screen.line(f"… and {len(evidence) - _MOST:,} more: manage.py guard log --json", indent=4)
    for sql in details.get("sql", ()):
        screen.line(str(sql), indent=4, style="faint")
    if "seconds" in details:
        screen.line(f"took {details['seconds']:g} seconds", indent=4)
