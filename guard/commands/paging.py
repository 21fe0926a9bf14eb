"""Long answers a page at a time."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from guard.gate import messages

T = TypeVar("T")


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 10_000_000:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def add_arguments(parser: ArgumentParser, *, limit: int) -> None:
    """Add --limit and --page."""
    parser.add_argument("--limit", type=_count, default=limit, help=f"Lines on a page (default: {limit}).")
    parser.add_argument("--page", type=_count, default=1, help="Which page (default: 1).")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of an answer is asked for."""

    limit: int
    number: int

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Page:
        return cls(options["limit"], options["page"])

    @property
    def skipped(self) -> int:
        """How many come before it."""
        return self.limit * (self.number - 1)

    def cut(self, everything: Sequence[T]) -> Sequence[T]:
        """What is on it."""
        return everything[self.skipped : self.skipped + self.limit]

    def answer(self, total: int) -> dict[str, int]:
        """What machines are told of it."""
        return {"total": total, "limit": self.limit, "page": self.number, "pages": -(-total // self.limit)}

    def says(self, total: int, noun: str) -> str:
        """Which part this is, and how to see the next; empty where it is all."""
        if total <= self.limit and self.number == 1:
            return ""
        if self.skipped >= total:
            pages = messages.count(-(-total // self.limit), "page")
            return f"There is no page {self.number}: {total:,} {noun} are on {pages}."
        last = min(total, self.skipped + self.limit)
        after = f" The next: --page {self.number + 1}" if last < total else ""
        return f"{self.skipped + 1:,} to {last:,} of {total:,} {noun}.{after}"
