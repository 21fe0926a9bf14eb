"""What is told of a query at a glance is what reading it says, or more."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.attribution import Access, Attributor, Watched, WatchList
from tests.integration.attribution import handwritten, library
from tests.unit.attribution.asking import NOT, VENDORS, ask

WATCH = WatchList(1, tuple(Watched(target.table, target.column, ()) for target in library.TARGETS if target.column))
QUOTE = {"sqlite": '"', "postgresql": '"', "mysql": "`"}

#: Sources as the ORM writes them, and as it hardly does, with the names by which their columns go. `"` quotes a name.
SOURCES = [
    *((f'"{table}"', f'"{table}"') for table in ("book", "author", "tag", "book_note", "book", "author", "tag")),
    *(('"book" U0', "U0"), ('"tag" U1', "U1"), ('"book" AS "x"', '"x"'), ("book", "book"), ('("tag")', '"tag"')),
    *(('(SELECT * FROM "book") U0', "U0"), ('(SELECT "tag"."id", 1 AS "name" FROM "tag") "book"', '"book"')),
]
ODD_TERMS = ["COUNT(*)", "*", '"book".*', "U0.*", '"book"."row_to_json"', "row_to_json(book)", '"status"', "name", "U0"]


def query(draw: random.Random, depth: int = 0) -> str:
    """A query in the ORM's manner, or somewhat beside it."""
    sources = draw.sample(SOURCES, draw.choice([1, 1, 2, 3]))

    def term() -> str:
        if depth < 1 and draw.random() < 0.08:
            return f"({query(draw, depth + 1)})"
        if draw.random() < 0.1:
            return draw.choice(ODD_TERMS)
        if draw.random() < 0.2:
            return draw.choice(["%s", "1"])
        source, name = draw.choice(sources)
        table = next(table for table in ("book_note", "book", "author", "tag") if table in source)
        return f'{name}."{draw.choice(library.columns(table))}"'

    def condition() -> str:
        if draw.random() < 0.2:
            within = draw.choice(["(%s, %s)", '"tag"', '("tag"."id")', f"({query(draw, 2)})" if depth < 1 else "(1)"])
            return f"{term()} IN {within}"
        return f"{term()} {draw.choice(['=', '<', '+', 'IS NOT', 'LIKE', '*'])} {term()}"

    parts = [f"SELECT {', '.join(term() for _ in range(draw.randint(1, 3)))}"]
    parts += [*draw.choice([[], [], ['AS "status"']]), "FROM", sources[0][0]]
    for source, _ in sources[1:]:
        join = draw.choice(["INNER JOIN {} ON ({})"] * 4 + ["NATURAL JOIN {}", ", {}", 'JOIN {} USING ("id")'])
        parts.append(join.format(source, condition()))
    parts += draw.choice([[], [f"WHERE {condition()}"], [f"WHERE ({condition()} AND {condition()})"]])
    parts += draw.choice([[], [], [f"GROUP BY {term()}"], [f"ORDER BY {term()} ASC"], ["LIMIT 21"] * (not depth)])
    if not depth and draw.random() < 0.1:
        parts += ["UNION", query(draw, 1)]
    return " ".join(parts)


@pytest.fixture(scope="module")
def library_in_memory() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    for table in library.tables():
        columns = ", ".join(f'"{column}"' for column in library.columns(table))
        connection.execute(f'CREATE TABLE "{table}" ({columns})')
    connection.create_function("row_to_json", 1, str)
    yield connection
    connection.close()


def told(sql: str, vendor: str) -> set[tuple[str, str, Access]] | None:
    attributor = Attributor(WATCH, vendor)
    tables = attributor._named(sql)
    found = attributor._glance.look(sql, tables) if tables else None
    return None if found is None else {(table, each.column, each.access) for table, each in found}


def read(sql: str, vendor: str) -> set[tuple[str, str, Access]]:
    attributor = Attributor(WATCH, vendor)
    found, _ = attributor._read(sql, attributor._named(sql))
    return {(table, each.column, each.access) for table, each in found}


@pytest.mark.parametrize("vendor", VENDORS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_nothing_that_reading_finds_is_overlooked(
    library_in_memory: sqlite3.Connection, vendor: str, seed: int
) -> None:
    draw = random.Random(seed)
    for _ in range(40):
        sql = query(draw)
        try:
            # Of what is no statement at all, reading says everything.
            library_in_memory.execute(f"EXPLAIN {sql.replace('%s', '?')}", [1] * sql.count("%s"))
        except sqlite3.Error as error:
            if "syntax" in str(error) or "row_to_json" not in sql:
                continue
        sql = sql.replace('"', QUOTE[vendor])
        seen = told(sql, vendor)
        assert seen is None or seen >= read(sql, vendor), sql


@pytest.mark.parametrize("vendor", VENDORS)
def test_queries_written_by_hand_are_told_as_they_are_read(vendor: str) -> None:
    statements = [*handwritten.fixed(vendor), *handwritten.generated(vendor, 1_000)]
    names = re.compile(r"\b(book|author|tag|chapter|title|status|name)\b")
    quoted = [names.sub(rf"{QUOTE[vendor]}\1{QUOTE[vendor]}", sql) for sql in statements]
    plain = {sql: seen for sql in [*statements, *quoted] if (seen := told(sql, vendor)) is not None}

    assert len(plain) > 10
    assert [sql for sql, seen in plain.items() if not seen >= read(sql, vendor)] == []


@pytest.mark.parametrize(
    ("sql", "touch"),
    [
        ('SELECT "book"."id", "book"."status" FROM "book" WHERE "book"."id" = %s LIMIT 21', "read"),
        ('SELECT "book"."id" FROM "book" INNER JOIN "author" ON ("book"."author_id" = "author"."id")', NOT),
        ('SELECT COUNT(*) AS "__count" FROM "book"', NOT),
        ('SELECT "book"."id" FROM "book" WHERE "book"."id" IN (%s, %s) ORDER BY "book"."id" ASC', NOT),
    ],
)
@pytest.mark.parametrize("vendor", VENDORS)
def test_the_orms_plainest_queries_are_not_read(
    vendor: str, sql: str, touch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attributor, "_read", None)

    assert ask(sql.replace('"', QUOTE[vendor]), vendor) == touch


@pytest.mark.parametrize(
    ("vendor", "sql"),
    [
        ("postgresql", 'SELECT "book" FROM "book"'),
        ("postgresql", 'SELECT row_to_json(U0) FROM "book" U0'),
        ("postgresql", 'SELECT "book"."row_to_json" FROM "book"'),
        ("postgresql", "SELECT query_to_xml(%s, true, true, %s) FROM \"book\""),
        ("sqlite", 'SELECT 1 FROM "chapter" WHERE "chapter"."id" IN "book"'),
        ("sqlite", 'SELECT 1 FROM "book" WHERE "book" MATCH %s'),
        ("sqlite", 'SELECT 1 FROM "book" NATURAL JOIN "chapter"'),
        ("sqlite", 'SELECT 1 FROM "chapter" JOIN ("book" JOIN "tag") ON ("chapter"."id" = %s)'),
        ("mysql", "SELECT 1 FROM `book` NATURAL JOIN `chapter`"),
        ("mysql", "SELECT `id` FROM `chapter` UNION (TABLE `book`)"),
        ("mysql", "SELECT `book`.* FROM `book`"),
        ("mysql", "SELECT 1 FROM `book` WHERE (`book`.`id` = %s"),
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_be_read(vendor: str, sql: str) -> None:
    assert told(sql, vendor) is None
    assert ask(sql, vendor) != NOT
