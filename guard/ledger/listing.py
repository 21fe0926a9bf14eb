"""What the ledger has seen, counted by the database: for those who ask, not for verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from guard.ledger import protocol, retention, rows
from guard.ledger.store import Ledger


@dataclass(frozen=True, slots=True)
class Seen:
    """Sightings that an operator takes for one: the same code of one release, at the same place, in the same way."""

    table: str
    column: str
    access: str
    release: str
    digest: str
    workload: str
    #: Empty where it is not known, or too long ago to be told.
    call_site: str
    route: str
    count: int
    first_at: float
    last_at: float
    #: How many statements there were that differ in more than their literals, and one of them.
    statements: int
    statement: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sightings; what is empty, or None, may be anything."""

    #: (table, column) of the targets.
    targets: tuple[tuple[str, str], ...] | None = None
    access: str = ""
    release: str = ""
    workload: str = ""
    since: float | None = None


_KEYS = ("table_name", "column_name", "access", "release_label", "digest", "workload", "call_site", "route")


def sightings(ledger: Ledger, wanted: Wanted, *, limit: int) -> tuple[tuple[Seen, ...], int]:
    """So many sightings, the most recent first, and how many there are in all."""
    quote = ledger.connection.ops.quote_name
    where, params = _where(wanted)
    keys = ", ".join(map(quote, _KEYS))
    count = quote("count")
    grouped = f"FROM {quote('guard_sighting')} WHERE {where} GROUP BY {keys}"
    with ledger.connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM (SELECT 1 AS one {grouped}) AS ways", params)
        total = int(cursor.fetchone()[0])
        cursor.execute(
            f"SELECT {keys}, SUM({count}), MIN(first_at), MAX(last_at) AS latest, COUNT(*), MIN(shape) {grouped} "
            f"ORDER BY latest DESC, {keys} LIMIT %s",
            [*params, limit],
        )
        found = cursor.fetchall()
    # Sums come as decimals from some.
    return tuple(Seen(*(*row[:8], int(row[8]), *row[9:])) for row in found), total


def _where(wanted: Wanted) -> tuple[str, list[Any]]:
    conditions: list[str] = []
    params: list[Any] = []
    if wanted.targets is not None:
        one_of = " OR ".join(["(table_name = %s AND column_name = %s)"] * len(wanted.targets)) or "1 = 0"
        conditions.append(f"({one_of})")
        params += [name for target in wanted.targets for name in target]
    pairs: Sequence[tuple[str, str]] = (
        ("access", wanted.access),
        ("release_label", wanted.release),
        ("workload", wanted.workload),
    )
    for column, value in pairs:
        if value:
            conditions.append(f"{column} = %s")
            params.append(value)
    if wanted.since is not None:
        conditions.append("last_at >= %s")
        params.append(wanted.since)
    return " AND ".join(conditions) or "1 = 1", params


#: Builds that are looked at, the newest first: nobody deploys one from before those.
_BUILDS = 50


def runs_as_is(ledger: Ledger, gone: Sequence[rows.Step]) -> str:
    """The label of the newest release that ran here and relies on none of these steps; empty where there is none."""
    quote = ledger.connection.ops.quote_name
    with ledger.connection.cursor() as cursor:
        cursor.execute(
            f"SELECT release_label, digest, MAX(registered_at) AS latest FROM {quote('guard_instance')} "
            "WHERE kind <> %s AND release_label <> %s GROUP BY release_label, digest ORDER BY latest DESC LIMIT %s",
            [rows.InstanceKind.COMMAND.value, retention.EARLIER, _BUILDS],
        )
        builds = cursor.fetchall()
    footprints = ledger.footprints()
    for label, digest, _ in builds:
        footprint = footprints.get(digest)
        if footprint is not None and not any(protocol.relies(footprint, step) for step in gone):
            return str(label)
    return ""
