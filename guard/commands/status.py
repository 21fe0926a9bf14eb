"""`manage.py guard status`."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from guard.commands.call import Call
from guard.commands.exits import Exit
from guard.commands.screen import Cell, Column, Screen
from guard.commands.steps import blockers, headline
from guard.gate import messages, status

HELP = "Which instances run, and which contract steps wait for what."

#: Groups of instances, and steps, that are shown to people; machines get all.
MOST = 20

#: States of steps that are over: what became of them is in the log.
_OVER = frozenset({"done", "withdrawn"})


def add_arguments(parser: ArgumentParser) -> None:
    """Whether to be strict."""
    parser.add_argument("--strict", action="store_true", help="Exit 3 while a contract step waits.")


def run(call: Call) -> None:
    """Say what each database has. Raises CommandError where a step waits and that was asked."""
    views = [status.database_view(gate) for gate in call.gates()]
    if call.json:
        call.answer({"databases": views})
    else:
        for view in views:
            show(call.screen, view, several=len(views) > 1)
    waits = [step["target"] for view in views for step in view["steps"] if _waits(step)]
    if waits and call.options["strict"]:
        raise CommandError(
            f"Waiting: {', '.join(sorted(set(waits)))}. `manage.py guard why {shlex.quote(waits[0])}` says for what.",
            returncode=Exit.WAITS,
        )


def _waits(step: dict[str, Any]) -> bool:
    # What is kept for old code harms nobody, and what is set aside waits for nobody's deploy.
    return step["state"] in ("waiting", "sealed") and step["kind"] != "default"


def show(screen: Screen, view: dict[str, Any], *, several: bool = False) -> None:
    """One database for people."""
    if several or view["environment"]:
        environment = f" ({view['environment']})" if view["environment"] else ""
        screen.line(f"Database {view['database']}{environment}", style="title")
    _instances(screen, view)
    _steps(screen, view)
    unprovable = sum(group["unprovable"] for group in view["instances"])
    if unprovable:
        screen.line(
            f"Of {messages.count(unprovable, 'lost instance')} nothing proves here that they are gone; behind a "
            "connection pooler nothing ever does."
        )
        screen.line("Where an orchestrator can:", indent=2)
        screen.line("kubectl get pods -o name | manage.py guard reconcile --alive -", indent=4)
    if view["strangers"]:
        screen.line("Connected to this database without running guard: " + ", ".join(view["strangers"]))


def _instances(screen: Screen, view: dict[str, Any]) -> None:
    groups, now = view["instances"], view["now"]
    screen.line("Instances:", style="title")
    if not groups:
        screen.line("none has registered", indent=2, style="faint")
        return
    # Two builds with one label are told apart by what they bring.
    builds: dict[str, set[str]] = {}
    for group in groups:
        builds.setdefault(group["release"], set()).add(group["footprint"])
    # The newest first: there may be a hundred releases of which somebody vanished once.
    shown = sorted(groups, key=lambda group: -group["last_seen"])[:MOST]
    rows = []
    for group in (group for group in groups if group in shown):
        several = len(builds[group["release"]]) > 1
        lost = str(group["lost"])
        if group["proven_closed"]:
            lost += f" ({group['proven_closed']} proven closed)"
        rows.append(
            [
                group["release"] + (f" [{group['footprint']}]" if several else ""),
                group["workload"],
                Cell(str(group["live"]), "good" if group["live"] else "faint"),
                Cell(str(group["refused"]), "bad" if group["refused"] else "faint"),
                Cell(lost, "waits" if group["lost"] else "faint"),
                messages.ago(now - group["last_seen"]),
            ]
        )
    screen.table(
        [
            Column("Release", style="name"),
            Column("Workload"),
            Column("Live", number=True),
            Column("Refused", number=True),
            Column("Lost", number=True),
            Column("Last seen"),
        ],
        rows,
    )
    if len(groups) > MOST:
        screen.line(f"… and {len(groups) - MOST} more groups: manage.py guard instances", indent=2)


def _steps(screen: Screen, view: dict[str, Any]) -> None:
    screen.line("Contract steps: what migrations have left for later, when no old code needs it", style="title")
    open_steps = [step for step in view["steps"] if step["state"] not in _OVER]
    over = [step for step in view["steps"] if step["state"] in _OVER and step["kind"] != "default"]
    if not open_steps:
        screen.line("none waits", indent=2, style="faint")
    for step in open_steps[:MOST]:
        headline(screen, step, view["now"], indent=2)
        if step["kind"] != "default":
            # What is kept for old code waits silently: it harms nobody.
            blockers(screen, step, most=messages.TOP, indent=4)
    if len(open_steps) > MOST:
        screen.line(f"… and {len(open_steps) - MOST} more: manage.py guard status --json", indent=2)
    if over:
        screen.line(f"{messages.count(len(over), 'step')} done before: manage.py guard log", indent=2, style="faint")
