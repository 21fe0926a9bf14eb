"""Which contract step an operator means by a name. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from guard.ledger import protocol, rows


class Ambiguous(Exception):
    """A name that differs from several targets only in the case of its letters."""


def named(steps: Iterable[rows.Step], target: str) -> list[rows.Step]:
    """Steps of that target; the case of letters counts only where two targets differ in nothing else.

    Raises Ambiguous where the name is neither of them.
    """
    same = [step for step in steps if step.target.casefold() == target.casefold()]
    exact = [step for step in same if step.target == target]
    if exact:
        return exact
    spellings = sorted({step.target for step in same})
    if len(spellings) > 1:
        raise Ambiguous(f"{target} may be any of {', '.join(spellings)}. Write the one that you mean as it is here.")
    return same


def meant(steps: Iterable[rows.Step], target: str) -> rows.Step | None:
    """The step of that target: of several, what is set aside, then what still waits. Raises Ambiguous.

    A column may have been removed more than once, and a later one of its name may keep a default for old code.
    """

    def weight(step: rows.Step) -> tuple[bool, bool, bool, int]:
        unfinished = step.state not in (rows.StepState.DONE, rows.StepState.WITHDRAWN)
        return step.state is rows.StepState.ASIDE, unfinished, step.kind in protocol.REMOVING, step.id

    return max(named(steps, target), key=weight, default=None)
