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

HELP = "Bring back what was set aside, or what old code's inserts need: by name, or all of a migration."


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
                if not _can_be_restored(step):
                    stuck[target].append((alias, step))
                    continue
                back.add(target)
                for after, what in _bring_back(gate, step, f" in database {alias}" if several else ""):
                    restored.append({"database": alias, "target": after.target, "state": rows.StepState.WAITING.value})
                    if not call.json:
                        call.say(what)
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
    """The steps that an operator names: one by its column, or all that a migration took from old code."""
    step = targets.meant(gate.ledger.steps(), target)
    if step is not None and step.kind is not rows.StepKind.MIGRATION:
        return [step]
    taken = gate.ledger.steps(rows.StepState.ASIDE, rows.StepState.DONE)
    return [
        s
        for s in sorted(taken, key=lambda s: s.state is rows.StepState.DONE)
        if f"{s.app}.{s.migration}".casefold() == target.casefold() and _can_be_restored(s)
    ]


def _can_be_restored(step: rows.Step) -> bool:
    if step.kind in (*rows.TIDY, rows.StepKind.NULLABLE):
        return step.state is rows.StepState.DONE
    return step.state is rows.StepState.ASIDE


def _bring_back(gate: contract.Contractor, step: rows.Step, where: str) -> list[tuple[rows.Step, str]]:
    """Everything that is otherwise now, with what to say of it."""
    gate.reopened.clear()
    told: list[tuple[rows.Step, str]] = []
    current = gate.ledger.step(step.id) or step
    try:
        if step.kind in protocol.REMOVING:
            after = gate.restore(step)
            what = f"{after.target} is back{where}, with its data. It waits again until no deployed instance uses it."
            told.append((after, what))
        elif _can_be_restored(current):
            # Else it has come back already, with what the same code uses.
            gate.reopen(current)
    except (protocol.ProtocolError, Conflict) as error:
        raise CommandError(str(error), returncode=Exit.ERROR) from None
    return told + [(again, _reopened(again, where)) for again in gate.reopened]


def _reopened(step: rows.Step, where: str) -> str:
    has = {
        rows.StepKind.DEFAULT: "has its database default",
        rows.StepKind.KEY: "lets go of what it refers to",
        rows.StepKind.NULLABLE: "takes NULL",
    }[step.kind]
    return f"{step.target} {has} again{where}, until no instance without {step.app}.{step.migration} is deployed."


def _cannot_restore(step: rows.Step) -> str:
    return {
        rows.StepState.DONE: f"{step.target} was erased and cannot be restored: its data is gone. Deploy a "
        "release that does without it.",
        rows.StepState.WAITING: f"{step.target} is still in its place: there is nothing to restore.",
        rows.StepState.SEALED: f"{step.target} is being taken right now: try again in a few seconds.",
        rows.StepState.WITHDRAWN: f"{step.target} is in use again: there is nothing to restore.",
    }[step.state]
