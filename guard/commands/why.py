"""`manage.py guard why`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from guard.commands.call import Call, find, unknown
from guard.gate import evidence, status

HELP = "Each condition of one contract step, met or not, and what clears it."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="TABLE.COLUMN")


def run(call: Call) -> None:
    """Say why the step waits. Raises CommandError where there is none of that name."""
    target: str = call.options["target"]
    known: set[str] = set()
    found: list[dict[str, Any]] = []
    for gate in call.gates():
        step = find(gate, target)
        known.update(other.target for other in gate.ledger.steps())
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
            call.say(f"Database {one['database']}")
        for line in status.why_lines(one["step"], one["now"]):
            call.say(line)
