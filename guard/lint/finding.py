"""A finding: one thing that a migration, or a line of Python, does to a rolling deploy."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import guard
from guard.phases.plan import MigrationJudgement
from guard.phases.rules import COMPANION, JOINED
from guard.phases.words import Disposition, Judgement, Phase

#: What a hint says before where its finding's id is explained.
SEE = "See "

_INSTALLED = Path(guard.__file__).parent / "docs"


class Level(StrEnum):
    """How much a finding matters; as a system check it is of the class of that name."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is found, where, and what to do next."""

    #: A stable id, such as "guard.E103".
    id: str
    level: Level
    message: str
    hint: str
    app: str = ""
    migration: str = ""
    #: Position of the operation in migration.operations; -1 where the finding is about all of it.
    operation: int = -1
    #: The tables and columns that it is about.
    targets: tuple[str, ...] = ()
    phase: str = ""
    disposition: str = ""
    #: Where it is written: a file, and a line of it from 1.
    path: str = ""
    line: int = 0

    @property
    def name(self) -> str:
        """The migration, as app.name."""
        return f"{self.app}.{self.migration}" if self.app else ""


@functools.cache
def page(name: str) -> str:
    """Where a page of the documentation is: it is installed with guard, and lies beside it in its source."""
    installed = _INSTALLED / name
    return str(installed) if installed.is_file() else f"docs/{name}"


def documented(check: str, text: str) -> str:
    """A hint that ends with where the check is explained."""
    apart = "\n" if "\n" in text else " "
    return f"{text}{apart}{SEE}{page('checks.md')}#{check.replace('.', '').lower()}"


def undocumented(hint: str) -> str:
    """The hint without that end."""
    return hint.rpartition(SEE + page("checks.md"))[0].strip() or hint


_DISPOSITIONS = {
    Disposition.SPLIT: (Level.INFO, "guard.I101", "runs in two steps: what it takes away waits until nobody uses it"),
    Disposition.HOLD: (
        Level.WARNING,
        "guard.W102",
        "is held until no old code (a release that lacks it) is deployed any more",
    ),
    Disposition.REFUSE: (
        Level.ERROR,
        "guard.E103",
        "is refused: no order of deploy and migrate works as it is written",
    ),
}


def of_judgements(judged: Iterable[MigrationJudgement]) -> list[Finding]:
    """I101, W102 and E103: what `migrate` will do with each operation that it does not simply run."""
    return [
        of_operation(judgement, index, operation, operation.disposition)
        for judgement in judged
        for index, operation in enumerate(judgement.operations)
        if operation.disposition is not Disposition.RUN
    ]


def of_operation(judgement: MigrationJudgement, index: int, operation: Judgement, disposition: Disposition) -> Finding:
    """What becomes of one operation under this disposition, which is not RUN."""
    level, check, text = _DISPOSITIONS[disposition]
    if disposition is Disposition.SPLIT and operation.phase is Phase.EXPAND:
        text = "keeps something in the database for old code, until nobody needs it any more"
    elif disposition is Disposition.SPLIT and not operation.takes and operation.note not in (COMPANION, JOINED):
        text = "runs in two steps: NULL stays allowed until nobody leaves it there any more"
    whose = "Without guard it breaks in old code:" if disposition is Disposition.SPLIT else "In old code it breaks"
    breaks = f" {whose} {operation.breaks_old}." if operation.breaks_old else ""
    note = f" ({operation.note.rstrip('.')}.)" if operation.note and disposition is not Disposition.SPLIT else ""
    return Finding(
        id=check,
        level=level,
        message=f"{judgement.app}.{judgement.name} {text}. {operation.what}.{breaks}{note}",
        hint=documented(check, operation.recipe or "Nothing to do: `manage.py migrate` takes care of it."),
        app=judgement.app,
        migration=judgement.name,
        operation=index,
        targets=tuple(map(str, (*operation.takes, *operation.makes, *operation.names))),
        phase=operation.phase,
        disposition=disposition,
    )
