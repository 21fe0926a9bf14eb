"""Attribution against the databases: no touch is missed, and almost none is invented."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connections

from guard.attribution import Access, Attributor, Watched, WatchList
from tests.integration.attribution import handwritten, library, oracles, orm_calls, unusual
from tests.integration.attribution.library import Target

#: How many statements are written at random; MariaDB is the slowest to explain them.
GENERATED = {"sqlite": 1200, "postgresql": 1200, "mysql": 400}

#: The oracles do not see everything: SQLite's no column that an INSERT writes, MariaDB's wants the right to read what
#: an INSERT writes where it returns a row, and to write each column that it names, be it to return it.
WEAK = {"sqlite", "mysql"}
_INSERTING = re.compile("insert|replace", re.IGNORECASE)


@dataclass
class Comparison:
    """What attribution and a database say of the same statements."""

    statements: int = 0
    agreed: int = 0
    missed: list[tuple[Target, str, str]] = field(default_factory=list)
    invented: list[tuple[Target, str]] = field(default_factory=list)

    @property
    def precision(self) -> float:
        return self.agreed / (self.agreed + len(self.invented))

    def __str__(self) -> str:
        return (
            f"{self.statements} statements, {self.agreed} touches, {len(self.missed)} missed, "
            f"{len(self.invented)} invented: precision {self.precision:.4f}"
        )


def compare(
    answers: Mapping[str, oracles.Uses], vendor: str, targets: Sequence[Target] = library.TARGETS
) -> Comparison:
    by_entry = {Watched(target.table, target.column, ()): target for target in targets}
    attributor = Attributor(WatchList(1, tuple(by_entry)), vendor)
    result = Comparison(statements=len(answers))
    for sql, uses in answers.items():
        told: dict[Target, set[str]] = {}
        for touch in attributor.touches(sql):
            told.setdefault(by_entry[touch.watched], set()).add(touch.access.value)
        for target, access in uses:
            # A table is used or not; and what a weak oracle takes for a read may be a write.
            precise = bool(target.column and access) and not (
                vendor in WEAK and (access == Access.READ or _INSERTING.search(sql) is not None)
            )
            if target not in told or (precise and access not in told[target]):
                result.missed.append((target, access, sql))
        used = {target for target, _ in uses}
        result.agreed += len(used & told.keys())
        for target, accesses in told.items():
            if target not in used and not (vendor == "sqlite" and accesses == {Access.WRITE}):
                result.invented.append((target, sql))
    return result


def ask(alias: str, statements: Mapping[str, Any], schema: oracles.Schema | None = None) -> dict[str, oracles.Uses]:
    schema = schema or oracles.the_library()
    connection = connections[alias]
    connection.ensure_connection()
    role = f"guard_attribution_{os.getpid()}"
    oracle: Callable[[], dict[str, oracles.Uses]] = {
        "sqlite": lambda: oracles.sqlite(connection, statements, schema),
        "postgresql": lambda: oracles.postgresql(connection, statements, schema, role),
        "mysql": lambda: oracles.mariadb(connection, statements, schema, role),
    }[connection.vendor]
    return oracle()


@pytest.fixture(scope="module")
def orm(alias: str) -> dict[str, oracles.Uses]:
    """What the database says of the ORM's statements."""
    return ask(alias, orm_calls.record(alias))


@pytest.fixture(scope="module")
def written(alias: str) -> dict[str, oracles.Uses]:
    """What the database says of hand-written statements, of which it refuses some."""
    vendor = connections[alias].vendor
    return ask(
        alias,
        dict.fromkeys(
            [
                *handwritten.fixed(vendor),
                *unusual.fixed(vendor),
                *handwritten.generated(vendor, GENERATED[vendor]),
            ]
        ),
    )


def test_no_touch_of_the_orm_is_missed_and_almost_none_invented(alias: str, orm: dict[str, oracles.Uses]) -> None:
    result = compare(orm, connections[alias].vendor)
    print(f"\n{alias}, ORM: {result}")
    assert result.missed == []
    assert result.precision >= 0.995, result.invented


def test_no_touch_of_hand_written_sql_is_missed_and_few_are_invented(
    alias: str, written: dict[str, oracles.Uses]
) -> None:
    result = compare(written, connections[alias].vendor)
    print(f"\n{alias}, hand-written: {result}")
    assert result.missed == []
    assert result.precision >= 0.97, result.invented


def test_the_databases_accept_most_of_what_is_written_by_hand(alias: str, written: dict[str, oracles.Uses]) -> None:
    fixed = handwritten.fixed(connections[alias].vendor)

    assert sum(sql in written for sql in fixed) >= 0.95 * len(fixed)


def test_the_corpus_has_more_than_three_thousand_statements() -> None:
    written = {
        sql
        for vendor, count in GENERATED.items()
        for sql in [*handwritten.fixed(vendor), *unusual.fixed(vendor), *handwritten.generated(vendor, count)]
    }

    assert len(written) >= 3_000


def test_each_database_judges_a_thousand_statements_of_the_orm(orm: dict[str, oracles.Uses]) -> None:
    assert len(orm) >= 1_000
