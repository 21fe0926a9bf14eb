"""Statements changed in ways that do not change what they mean touch what they touched before, or more."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.attribution import Access, Attributor, Watched, WatchList
from tests.integration.attribution import handwritten, library
from tests.unit.attribution.asking import VENDORS

WATCH = WatchList(1, tuple(Watched(target.table, target.column, ()) for target in library.TARGETS))

#: Pieces of a statement, cut more simply than guard does: strings, quoted names, comments, words, all else.
PIECES = re.compile(
    r"""'(?:[^'\\]|''|\\.)*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|--[^\n]*\n?|/\*.*?\*/|\#[^\n]*\n?|[\w$]+|\s+|.""", re.DOTALL
)
#: Not to be cut into: their pieces depend on each other.
FRAGILE = re.compile(r"\\|\$|&['\"]|/\*|--|#")

STATEMENTS = {
    vendor: [
        sql for sql in [*handwritten.fixed(vendor), *handwritten.generated(vendor, 400)] if not FRAGILE.search(sql)
    ]
    for vendor in VENDORS
}


#: A number says how a statement is changed: drawing each piece of it apart would take a minute.
SEEDS = st.integers(0, 2**32)


def touched(sql: str, vendor: str) -> set[tuple[str, str, Access]]:
    return {
        (touch.watched.table, touch.watched.column, touch.access) for touch in Attributor(WATCH, vendor).touches(sql)
    }


def pieces(sql: str) -> list[str]:
    return PIECES.findall(sql)


def is_word(piece: str) -> bool:
    return piece[0].isalpha() and piece.isalnum() and piece.isascii()


@pytest.mark.parametrize("vendor", VENDORS)
@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_white_space_comments_and_case_do_not_matter(vendor: str, seed: int) -> None:
    draw = random.Random(seed)
    sql = draw.choice(STATEMENTS[vendor])
    space = [" ", "\n", "\t", "\r\n", "  \f ", " /* book.status */ ", " -- tag, title\n", "/**/", "\n-- '\n"]
    changed = []
    for piece in pieces(sql):
        if piece.isspace():
            changed.append(draw.choice(space))
        elif is_word(piece) and draw.random() < 0.5:
            changed.append(draw.choice([piece.upper(), piece.lower(), piece.title()]))
        else:
            changed.append(piece)

    assert touched("".join(changed), vendor) >= touched(sql, vendor), "".join(changed)


@pytest.mark.parametrize("vendor", VENDORS)
@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_what_literals_say_does_not_matter(vendor: str, seed: int) -> None:
    draw = random.Random(seed)
    # On SQLite a string may be a name, and in `t.a 'x'` it is one.
    sql = draw.choice([sql for sql in STATEMENTS[vendor] if vendor != "sqlite" or "'" not in sql])
    characters = 'ab%;(*)., -/#"`[]\n$éß'
    changed = [
        f"'{''.join(draw.choices(characters, k=draw.randint(0, 12)))}'" if piece[0] == "'" else piece
        for piece in pieces(sql)
    ]
    # Two strings that touch are one.
    again = re.sub(r"''", "' '", "".join(changed)) if vendor != "mysql" else "".join(changed)

    assert touched(again, vendor) >= touched(sql, vendor), again


@pytest.mark.parametrize("vendor", VENDORS)
@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_what_stands_around_a_statement_does_not_matter(vendor: str, seed: int) -> None:
    draw = random.Random(seed)
    sql = draw.choice(STATEMENTS[vendor])
    wraps = ["{};", "EXPLAIN {}", "; {}", "SELECT 1; {}", "{}; SELECT 'book'", "/* x */ {}", "\n{}\n", "-- y\n{}"]
    if sql.upper().startswith("SELECT"):
        wraps += [
            "({})",
            "SELECT 1 FROM ({}) AS zz",
            "SELECT zz.x FROM ({}) AS zz",
            "SELECT 1 WHERE EXISTS ({})",
            "SELECT 1 FROM chapter WHERE EXISTS ({})",
            "WITH zz AS ({}) SELECT 1 FROM zz",
            "SELECT 1 UNION {}",
            "SELECT (SELECT 1) FROM nothing WHERE x IN ({})",
            "INSERT INTO nothing (x) {}",
            "DELETE FROM nothing WHERE EXISTS ({})",
            "UPDATE nothing SET x = ({})",
        ]
    if sql.upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
        wraps += ["WITH zz AS (SELECT 1) {}"]
    changed = draw.choice(wraps).format(sql)

    assert touched(changed, vendor) >= touched(sql, vendor), changed


@pytest.mark.parametrize("vendor", VENDORS)
@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_quoting_plain_names_does_not_matter(vendor: str, seed: int) -> None:
    draw = random.Random(seed)
    sql = draw.choice(STATEMENTS[vendor])
    names = {*library.tables(), *(column for table in library.tables() for column in library.columns(table))}
    quotes = {"sqlite": ['"{}"', "[{}]", "`{}`"], "postgresql": ['"{}"'], "mysql": ["`{}`"]}[vendor]
    quotes.append("{}")
    keep = {"group", "desc", "order", "data"}
    changed = "".join(
        draw.choice(quotes).format(piece.lower()) if piece.lower() in names - keep else piece for piece in pieces(sql)
    )

    assert touched(changed, vendor) >= touched(sql, vendor), changed


@pytest.mark.parametrize("vendor", VENDORS)
@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_more_rows_and_longer_lists_do_not_matter(vendor: str, seed: int) -> None:
    draw = random.Random(seed)
    sql = draw.choice([sql for sql in STATEMENTS[vendor] if " IN ('" in sql or "VALUES (" in sql])
    value = draw.choice(["%s", "1", "'x'", "NULL", "-2.5"])
    count = draw.randint(1, 40)
    longer = re.sub(r" IN \('", f" IN ({f'{value}, ' * count}'", sql)
    longer = re.sub(r"VALUES (\([^()]*\))", lambda row: "VALUES " + ", ".join([row[1]] * count), longer)

    assert touched(longer, vendor) >= touched(sql, vendor), longer


@pytest.mark.parametrize("vendor", VENDORS)
@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_no_text_whatever_raises(vendor: str, seed: int) -> None:
    draw = random.Random(seed)
    parts = pieces(draw.choice(STATEMENTS[vendor]))
    noise = [
        *"()*,.;'\"`[]$%:=-+/#\\{}@?\x00é",
        "--",
        "/*",
        "*/",
        "$$",
        "%s",
        "::",
        'U&"',
        "E'",
        "select",
        "from",
        "with",
        "as",
    ]
    for _ in range(draw.randint(0, 6)):
        at = draw.randint(0, len(parts))
        parts[at : at + draw.randint(0, 3)] = [draw.choice(noise)]
    text = "".join(parts)

    # Beneath `touches`, which would hide it.
    assert Attributor(WATCH, vendor)._attribute(text) is not None
