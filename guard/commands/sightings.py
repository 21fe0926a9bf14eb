"""`manage.py guard sightings`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from guard.commands import paging
from guard.commands.call import Call, unknown
from guard.commands.exits import Exit
from guard.commands.screen import Cell, Column
from guard.gate import messages
from guard.gate.orders import Refused, moment
from guard.ledger import listing, protocol, rows

HELP = "Which code has touched what is to be taken away: where, how often, when last."


def add_arguments(parser: ArgumentParser) -> None:
    """Which of them."""
    parser.add_argument(
        "target", nargs="?", metavar="TABLE.COLUMN|APP.MIGRATION", help="Of this only (default: whatever still waits)."
    )
    parser.add_argument("--access", choices=("read", "write"), help="Reads, or writes, only.")
    parser.add_argument("--release", metavar="LABEL", help="By this release only.")
    parser.add_argument("--workload", metavar="NAME", help="By this workload only, such as web.")
    parser.add_argument("--since", metavar="WHEN", help="How long back (2h, 3d), or an ISO date and time.")
    paging.add_arguments(parser, limit=20)


def run(call: Call) -> None:
    """List them. Raises CommandError where the target is no contract step."""
    page = paging.Page.of(call.options)
    target: str | None = call.options["target"]
    known: set[str] = set()
    met = False
    found: list[dict[str, Any]] = []
    total = 0
    for gate in call.gates(settle=False):
        steps = [step for step in gate.ledger.steps() if step.kind in protocol.REMOVING]
        known.update(step.target for step in steps)
        meant = _meant(steps, target)
        met = met or bool(meant)
        now = gate.ledger.now()
        # Of several databases, each one's first pages: what is asked for is among them.
        seen, count = listing.sightings(gate.ledger, _wanted(call, now, meant), limit=page.skipped + page.limit)
        found += [_view(gate.connection.alias, one, now) for one in seen]
        total += count
    if target is not None and not met:
        raise unknown(target, known)
    found.sort(key=lambda one: -one["last_at"])
    shown = page.cut(found)
    if call.json:
        call.answer({"sightings": list(shown), **page.answer(total)})
        return
    if not total:
        call.say("Nothing has touched it." if target else "Nothing has touched what waits.")
        return
    call.screen.table(
        [
            Column("Target", style="name"),
            Column("Access"),
            Column("Release"),
            Column("Workload"),
            Column("Where"),
            Column("Times", number=True),
            Column("Last"),
        ],
        [
            [
                one["target"],
                Cell(one["access"], "waits" if one["access"] == "write" else ""),
                one["release"],
                one["workload"],
                _where(one),
                f"{one['count']:,}",
                messages.ago(one["now"] - one["last_at"]),
            ]
            for one in shown
        ],
        indent=0,
    )
    if says := page.says(total, "sightings"):
        call.screen.line(says, style="faint")


def _where(one: dict[str, Any]) -> str:
    # Of what was seen long ago only the day is kept.
    place = one["call_site"] or "not known"
    return f"{place} ({one['route']})" if one["route"] else place


def _meant(steps: list[rows.Step], target: str | None) -> list[rows.Step]:
    if target is None:
        return [step for step in steps if step.state in rows.SLATED_STATES]
    name = target.casefold()
    return [step for step in steps if name in (step.target.casefold(), f"{step.app}.{step.migration}".casefold())]


def _wanted(call: Call, now: float, meant: list[rows.Step]) -> listing.Wanted:
    since: str | None = call.options["since"]
    try:
        start = None if since is None else moment(since, now, back=True)
    except Refused as refused:
        raise CommandError(str(refused), returncode=Exit.USAGE) from None
    return listing.Wanted(
        targets=tuple(dict.fromkeys((step.table, step.column) for step in meant)),
        access=call.options["access"] or "",
        release=call.options["release"] or "",
        workload=call.options["workload"] or "",
        since=start,
    )


def _view(alias: str, seen: listing.Seen, now: float) -> dict[str, Any]:
    return {
        "database": alias,
        "target": f"{seen.table}.{seen.column}" if seen.column else seen.table,
        "access": seen.access,
        "release": seen.release,
        "footprint": seen.digest[:12],
        "workload": seen.workload,
        "call_site": seen.call_site,
        "route": seen.route,
        "count": seen.count,
        "first_at": seen.first_at,
        "last_at": seen.last_at,
        "statements": seen.statements,
        "statement": seen.statement,
        "now": now,
    }
