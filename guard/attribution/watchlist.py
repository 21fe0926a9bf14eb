"""The slated columns and tables that statements are held against."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: Whoever asks often what statements touch looks first for the text at `clear[len(text) & CLEAR]`: to compare texts is
#: faster than to hash one. There is the text of that length, up to this many characters, that was last found to touch
#: nothing: half a megabyte at most.
CLEAR = 1_023


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
