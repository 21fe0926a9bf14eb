"""`manage.py guard why`."""

from __future__ import annotations

import shlex
import textwrap
from argparse import ArgumentParser
from typing import Any

from guard.commands.call import Call, unknown
from guard.commands.screen import Screen
from guard.commands.steps import headline
from guard.gate import evidence, messages, status, targets

HELP = "What one contract step waits for: each condition, met or not, and what clears it."


def add_arguments(parser: ArgumentParser) -> None:
    """The step."""
    parser.add_argument("target", metavar="TABLE.COLUMN", help="As `manage.py guard status` names it.")


def run(call: Call) -> None:
    """Say why the step waits. Raises CommandError where there is none of that name."""
    target: str = call.options["target"]
    known: set[str] = set()
    found: list[dict[str, Any]] = []
    for gate in call.gates():
        steps = gate.ledger.steps()
        step = targets.meant(steps, target)
        known.update(other.target for other in steps)
        if step is not None:
            fleet = evidence.read_fleet(gate.ledger)
            view = status.step_view(gate, step, fleet)
            found.append({"database": gate.connection.alias, "now": fleet.now, "step": view})
    if not found:
        raise unknown(target, known)
    if call.json:
        # The same column of another database is another step.
        call.answer({**found[0], "others": found[1:]})
        return
    for one in found:
        if len(found) > 1:
            call.screen.line(f"Database {one['database']}", style="title")
        show(call.screen, one["step"], one["now"])


_MARKS = {"met": ("yes", "good"), "not met": ("NO ", "bad"), "not asked": ("not asked", "faint")}


def show(screen: Screen, step: dict[str, Any], now: float) -> None:
    """One step for people: who uses it, each condition, and what clears it."""
    headline(screen, step, now)
    for group in step["used_by"]:
        lost = f", {group['lost']} of them lost" if group["lost"] else ""
        number = messages.count(group["instances"], "instance")
        screen.line(
            f"used by release {group['release']}, {group['workload']}: {number}{lost}, "
            f"last seen {messages.ago(now - group['last_seen'])}",
            indent=2,
        )
    for sighting in step["sightings"][: 2 * messages.TOP]:
        route = f" ({sighting['route']})" if sighting["route"] else ""
        # Of what was seen long ago only the day is kept.
        where = "on that day" if sighting["folded"] else f"at {sighting['call_site'] or 'an unknown place'}{route}"
        screen.line(
            f"{messages.count(sighting['count'], sighting['access'])} {where}, release {sighting['release']}, "
            f"last {messages.ago(now - sighting['last_at'])}",
            indent=2,
        )
        if sighting["statement"]:
            screen.line(textwrap.shorten(sighting["statement"], 150, placeholder=" …"), indent=4, style="faint")
    more = len(step["sightings"]) - 2 * messages.TOP
    if more > 0:
        screen.line(f"… and {more:,} more: manage.py guard sightings {shlex.quote(step['target'])}", indent=2)
    for blocker in step["blockers"]:
        if blocker["condition"] == 0:
            screen.line(f"[NO ]    {blocker['says']}", indent=2, style="bad")
    for condition in step["conditions"]:
        mark, style = _MARKS.get(condition["state"], (condition["state"], "waits"))
        screen.line(f"[{mark}] {condition['number']:>2} {condition['name']}", indent=2, style=style)
        for detail in condition["detail"]:
            screen.line(detail, indent=11)
            if definition := _definition(step["blockers"], detail):
                screen.line(definition, indent=13, style="faint")
    if step["goes_with_it"]:
        screen.line(f"goes with it: {', '.join(step['goes_with_it'])}", indent=2)
    for warning in step["warnings"]:
        screen.line(f"note: {warning}", indent=2)


def _definition(blockers: list[dict[str, Any]], says: str) -> str:
    """The SQL of what a blocker names, on one line."""
    found = next((each["definition"] for each in blockers if each["says"] == says and each["definition"]), "")
    return textwrap.shorten(found, 200, placeholder=" …")
