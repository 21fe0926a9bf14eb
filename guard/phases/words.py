"""Phase, disposition and judgement: the answers of this room, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

AnOperation = TypeVar("AnOperation", bound=Any)


class Phase(StrEnum):
    """What an operation or migration does to the code that is deployed around it."""

    #: Old code keeps working after it.
    EXPAND = "expand"
    #: Old code breaks after it.
    CONTRACT = "contract"
    NEUTRAL = "neutral"
    #: As written, no order of deploy and migrate works.
    UNSAFE = "unsafe"
    #: Cannot be known; treated as CONTRACT.
    OPAQUE = "opaque"


def mark(operation: AnOperation, phase: Phase | str) -> AnOperation:
    """Declare the phase of one operation: `operations = [mark(migrations.RunPython(copy), Phase.CONTRACT)]`.

    Raises ValueError for what is no phase.
    """
    operation.guard_phase = Phase(phase)
    return operation


class Disposition(StrEnum):
    """What `migrate` does with an operation."""

    RUN = "run"
    SPLIT = "split"
    HOLD = "hold"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Target:
    """A column (or a whole table, where `column` is empty) that an operation takes away from old code."""

    table: str
    column: str = ""

    def __str__(self) -> str:
        return f"{self.table}.{self.column}" if self.column else self.table


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one operation means for a rolling deploy."""

    phase: Phase
    disposition: Disposition
    #: One sentence: what it does, naming model and field.
    what: str
    #: What breaks for old code on the schema after it, and for new code on the schema before it; empty: nothing.
    breaks_old: str = ""
    breaks_new: str = ""
    #: The safe way, as code to paste.
    recipe: str = ""
    #: What it drops or renames away.
    takes: tuple[Target, ...] = ()
    #: What it creates: tables and columns that no deployed code can know.
    makes: tuple[Target, ...] = ()
    #: Every table and column that it names otherwise (alters, indexes, constrains).
    names: tuple[Target, ...] = ()
    note: str = ""
