"""`manage.py guard instances`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from guard.commands import paging
from guard.commands.call import Call
from guard.commands.screen import Cell, Column
from guard.gate import contract, messages
from guard.gate.witnesses import sessions
from guard.ledger import protocol, rows

HELP = "Every running process that has registered, one a line."

STATES = ("live", "refused", "lost", "gone", "all")

#: What needs somebody's attention comes first.
_ORDER = {"refused": 0, "lost": 1, "live": 2, "gone": 3}
_STYLES = {"live": "good", "refused": "bad", "lost": "waits", "gone": "faint"}


def add_arguments(parser: ArgumentParser) -> None:
    """Which of them."""
    parser.add_argument("--release", metavar="LABEL", help="Of this release only.")
    parser.add_argument("--workload", metavar="NAME", help="Of this workload only, such as web.")
    parser.add_argument(
        "--state", choices=STATES, help="In this state only (default: all but those that have said they are gone)."
    )
    paging.add_arguments(parser, limit=50)


def run(call: Call) -> None:
    """List them."""
    page = paging.Page.of(call.options)
    found: list[dict[str, Any]] = []
    for gate in call.gates(settle=False):
        found += _of(gate, call.options)
    shown = page.cut(found)
    if call.json:
        call.answer({"instances": list(shown), **page.answer(len(found))})
        return
    if not found:
        call.say("No instance has registered." if not _narrowed(call.options) else "No instance is like that.")
        return
    several = len({one["database"] for one in found}) > 1
    call.screen.table(
        [
            Column("Instance", whole=True, style="name"),
            Column("Release"),
            Column("Workload"),
            Column("State"),
            Column("Last seen"),
            *([Column("Database")] if several else []),
        ],
        [
            [
                one["name"],
                one["release"],
                one["workload"],
                Cell(_state(one), _STYLES[one["state"]]),
                messages.ago(one["now"] - one["last_seen"]),
                *([one["database"]] if several else []),
            ]
            for one in shown
        ],
        indent=0,
    )
    if says := page.says(len(found), "instances"):
        call.screen.line(says, style="faint")


def _narrowed(options: Mapping[str, Any]) -> bool:
    return any(options[name] for name in ("release", "workload", "state"))


def _state(one: Mapping[str, Any]) -> str:
    said: str = one["state"]
    if one["instances"] > 1:
        said = f"{said}, {one['instances']:,} of them"
    if one["proven_closed"]:
        said += ", proven closed"
    return said


def _of(gate: contract.Contractor, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of one database, in the order in which they are listed."""
    ledger = gate.ledger
    now = ledger.now()
    instances = [i for i in ledger.instances() if protocol.same_project(i.project, ledger.project)]
    proofs = sessions.proofs(ledger.connection, instances, now)
    wanted = options["state"]
    found = []
    for instance in instances:
        state = "lost" if instance.lost(now) else instance.state.value
        if (
            options["release"] in (None, instance.release)
            and options["workload"] in (None, instance.workload)
            and (wanted in ("all", state) if wanted else state != "gone")
        ):
            found.append(_view(gate.connection.alias, instance, state, now, proofs))
    by = ("release", "workload", "host", "pid", "id")
    return sorted(found, key=lambda one: (_ORDER[one["state"]], *(one[name] for name in by)))


def _view(alias: str, instance: rows.Instance, state: str, now: float, proofs: sessions.Proofs) -> dict[str, Any]:
    return {
        "database": alias,
        "id": instance.id,
        # What `forget` takes; a total of several has no process.
        "name": f"{instance.host}:{instance.pid}" if instance.pid else instance.id[:12],
        "release": instance.release,
        "footprint": instance.digest[:12],
        "kind": instance.kind.value,
        "workload": instance.workload,
        "state": state,
        "host": instance.host,
        "pid": instance.pid,
        "registered_at": instance.registered_at,
        "last_seen": instance.renewed_at,
        "expires_at": instance.expires_at,
        "ended_at": instance.ended_at,
        "instances": instance.size,
        "proven_closed": instance.id in proofs.closed,
        "provable": instance.id not in proofs.unprovable,
        "now": now,
    }
