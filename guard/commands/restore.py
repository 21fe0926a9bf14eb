"""`manage.py guard restore`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from guard.commands.call import Call, unknown
from guard.commands.exits import Exit
from guard.gate import contract, targets
from guard.ledger import protocol, rows
from guard.ledger.tables import Conflict

HELP = "Bring back columns that were set aside: by name, or all of a migration."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "targets", nargs="+", metavar="TABLE.COLUMN|APP.MIGRATION", help="As `manage.py guard status` names it."
    )


def run(call: Call) -> None:
    """Bring back what is set aside. Raises CommandError where some of it cannot be, after the rest has been."""
    targets: list[str] = call.options["targets"]
    several = len(call.aliases()) > 1
    known: set[str] = set()
    restored: list[dict[str, Any]] = []
    back: set[str] = set()
    #: By target, what cannot be brought back: (alias, step).
    stuck: dict[str, list[tuple[str, rows.Step]]] = {target: [] for target in targets}
    for gate in call.gates():
        alias = gate.connection.alias
        known.update(s.target for s in gate.ledger.steps(rows.StepState.ASIDE))
        for target in stuck:
            for step in _meant(gate, target):
                if step.state is not rows.StepState.ASIDE:
                    stuck[target].append((alias, step))
                    continue
                after = _bring_back(gate, step)
                back.add(target)
                restored.append({"database": alias, "target": after.target, "state": after.state.value})
                if not call.json:
                    where = f" in database {alias}" if several else ""
                    call.say(
                        f"{after.target} is back{where}, with its data. It waits again until no deployed "
                        "instance uses it."
                    )
    if call.json:
        call.answer({"restored": restored})
    problems = [
        _cannot_restore(step) + (f" (Database {alias}.)" if several else "")
        for target, steps in stuck.items()
        for alias, step in steps
        # Where one database had it set aside, it is no news that it is in its place in another one.
        if target not in back or step.state in (rows.StepState.DONE, rows.StepState.SEALED)
    ]
    nowhere = [target for target, steps in stuck.items() if target not in back and not steps]
    if problems:
        raise CommandError("\n".join(problems), returncode=Exit.ERROR)
    if nowhere:
        raise unknown(", ".join(nowhere), known)


def _meant(gate: contract.Contractor, target: str) -> list[rows.Step]:
    """The steps that an operator names: one by its column, or all that a migration set aside."""
    step = targets.meant(gate.ledger.steps(), target)
    if step is not None and step.kind is not rows.StepKind.MIGRATION:
        return [step]
    aside = gate.ledger.steps(rows.StepState.ASIDE)
    return [s for s in aside if f"{s.app}.{s.migration}".casefold() == target.casefold()]


def _bring_back(gate: contract.Contractor, step: rows.Step) -> rows.Step:
    try:
        return gate.restore(step)
    except (protocol.ProtocolError, Conflict) as error:
        raise CommandError(str(error), returncode=Exit.ERROR) from None


def _cannot_restore(step: rows.Step) -> str:
    return {
        rows.StepState.DONE: f"{step.target} was erased and cannot be restored: its data is gone. Deploy a "
        "release that does without it.",
        rows.StepState.WAITING: f"{step.target} is still in its place: there is nothing to restore.",
        rows.StepState.SEALED: f"{step.target} is being taken right now: try again in a few seconds.",
        rows.StepState.WITHDRAWN: f"{step.target} is in use again: there is nothing to restore.",
    }[step.state]
