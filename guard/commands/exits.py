"""How `manage.py guard` ends: what it tells the script that ran it."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes, the same for every verb."""

    OK = 0
    ERROR = 1
    USAGE = 2
    #: Only where somebody asked to be told by the exit code.
    WAITS = 3
    LOCKED = 4

    @property
    def meaning(self) -> str:
        """What it says, as docs/commands.md has it."""
        return _MEANINGS[self]


_MEANINGS = {
    Exit.OK: "Done. Contract steps may wait: that is normal, and no reason to stop a deploy.",
    Exit.ERROR: "An error, or something to mend: it says what. Ctrl-C, too.",
    Exit.USAGE: "The call was wrong: an unknown argument, no such step, no such database.",
    Exit.WAITS: "Something still waits, where you asked to be told so: `contract --wait` at its timeout, "
    "`status --strict`.",
    Exit.LOCKED: "A table's lock was not to be had in `LOCK_PATIENCE`. Everything is as it was: run it again.",
}
