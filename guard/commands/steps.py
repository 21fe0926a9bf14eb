"""How a contract step is shown: its name, how it stands, and what it waits for."""

from __future__ import annotations

import shlex
from typing import Any

from guard.commands.screen import Screen
from guard.gate import messages
from guard.ledger import rows

_STYLES = {"waiting": "waits", "ready": "good", "set aside": "name", "being taken": "waits", "withdrawn": "faint"}

#: What a kind of step is about, where it is not the column or table itself.
_OF = {
    rows.StepKind.DEFAULT.value: "the default of ",
    rows.StepKind.KEY.value: "the ON DELETE action of ",
    rows.StepKind.NULLABLE.value: "NULL in ",
}


def name(step: dict[str, Any]) -> str:
    """What the step is about; a column that keeps something for old code stays."""
    return f"{_OF.get(step['kind'], '')}{step['target']}"


def headline(screen: Screen, step: dict[str, Any], now: float, *, indent: int = 0) -> None:
    """The step in a line: target, state, migration, since when."""
    screen.line(
        f"{name(step)}: {step['says']} ({step['migration']}{_since(step, now)})",
        indent=indent,
        style=_STYLES.get(step["says"], ""),
    )


def _since(step: dict[str, Any], now: float) -> str:
    if step["erased_after"] and step["state"] == "aside":
        left = step["erased_after"] - now
        when = f"erased in {messages.span(left)}" if left > 0 else "to be erased"
        return f"; kept as {step['aside_name']}, {when}"
    # A migration that is held is named by its target already, and is not applied.
    held = "first tried " if step["kind"] == rows.StepKind.MIGRATION.value else ""
    return f", {held}{messages.ago(now - step['slated_at'])}"


def blockers(screen: Screen, step: dict[str, Any], *, most: int, indent: int) -> None:
    """What it waits for; of many reasons the first."""
    for blocker in step["blockers"][:most]:
        screen.line(blocker["says"], indent=indent)
    more = len(step["blockers"]) - most
    if more > 0:
        screen.line(f"… and {more} more: manage.py guard why {shlex.quote(step['target'])}", indent=indent)
