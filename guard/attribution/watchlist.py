"""The slated columns and tables that statements are held against."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: Whoever asks often what statements touch looks first for the text at `clear[len(text)]`, because comparing texts is
#: faster than hashing one, and then among those that are known to be `untouched`: there it finds the text itself, which
#: it puts into `clear`. Longer texts than this are in neither.
CLEAR = 2_000
#: Longer ones it does not hash: most have lists in them that are left out first.
HASHED = 600


class Access(StrEnum):
    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Watched:
    """One slated column, or a whole table where `column` is empty."""

    table: str
    column: str
    #: (app, name) of the migration that takes it away, and of recorded replacements of it.
    migrations: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class WatchList:
    """What is slated, with the epoch that grows at each change."""

    epoch: int = 0
    entries: tuple[Watched, ...] = ()


@dataclass(frozen=True, slots=True)
class Touch:
    """A statement reads or writes something slated, or cannot be proven not to."""

    watched: Watched
    access: Access
    #: What made the statement count: "name", "star", "insert without columns", "whole row", "not understood", …
    reason: str
    #: Touches by `*` alone, which names no column.
    star: bool = False
