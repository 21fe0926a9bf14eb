"""What an operation does to code on either side of it. Migrations import `Phase` and `mark` from here."""

from __future__ import annotations

from guard.phases.words import Phase, mark

__all__ = ["Phase", "mark"]
