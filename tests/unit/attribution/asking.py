"""Asks what a statement touches, in one line."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from guard.attribution import Attributor, Watched, WatchList

VENDORS = ("sqlite", "postgresql", "mysql")

NOT = "not touched"


def ask(
    sql: object,
    vendor: str = "postgresql",
    *,
    table: str = "book",
    column: str = "status",
    columns: Mapping[str, Collection[str]] | None = None,
) -> str:
    """The accesses of one slated column, with a star for one by star: "read", "write", "read write", "read*"."""
    attributor = Attributor(WatchList(1, (Watched(table, column, ()),)), vendor, columns=columns or {})
    return " ".join(f"{touch.access}{'*' if touch.star else ''}" for touch in attributor.touches(sql)) or NOT
