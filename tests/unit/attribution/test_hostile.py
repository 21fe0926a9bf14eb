"""Texts that are long, deep, broken or meant to harm: an answer at once, on the safe side, never an exception."""

from __future__ import annotations

import pytest

from guard.attribution import shape
from guard.attribution.attributor import _MAX_READ, _MAX_TOKENS
from guard.attribution.lexer import Unreadable, readings
from tests.unit.attribution.asking import NOT, VENDORS, ask

#: Each names the slated table, and none can be read to its end.
HOSTILE = {
    "nested parentheses": "SELECT id FROM book WHERE " + "(" * 10_000 + "1" + ")" * 10_000,
    "nested queries": "SELECT id FROM book WHERE x IN " + "(SELECT " * 3_000 + "1" + ")" * 3_000,
    "a megabyte of literals": "SELECT id FROM book WHERE x IN (" + ", ".join(f"'{i:08}'" for i in range(90_000)) + ")",
    "a megabyte of names": "SELECT " + ", ".join(f"b.column{i}" for i in range(70_000)) + " FROM book b",
    "unbalanced quote": "SELECT id FROM book WHERE x = 'abc",
    "unbalanced name": 'SELECT id FROM book WHERE x = "abc',
    "unbalanced parenthesis": "SELECT id FROM book WHERE (x = 1",
    "closing parentheses": ")))) SELECT id FROM book",
    "quotes": "SELECT id FROM book WHERE " + "'" * 100_001,
    "nested comments": "SELECT id FROM book WHERE " + "/*a*/" * 12_000,
    "quoted capitals": "SELECT id FROM book WHERE " + '"B"."X" ' * 2_000,
    "dots": "SELECT " + "a." * 30_000 + "b FROM book",
    "braces": "{CALL book}",
    "literals without an end": "SELECT id FROM book WHERE x IN (" + "'a', " * 1_900,
    "brackets": "SELECT id FROM book WHERE " + "[" * 60_000,
    "letters of other scripts": "SELECT id FROM book WHERE x = '" + "İ" * 1_000_000,
}


@pytest.mark.parametrize("vendor", [*VENDORS, "oracle", ""])
@pytest.mark.parametrize("sql", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_that_names_the_table_counts_as_touching(vendor: str, sql: str) -> None:
    assert ask(sql, vendor) != NOT
    assert len(shape(sql)) <= 2_000
    assert len(shape(sql, vendor)) <= 2_000


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_nul_byte_does_not_end_the_reading(vendor: str) -> None:
    assert ask("SELECT id \x00, status FROM book", vendor) == "read"


@pytest.mark.parametrize("vendor", VENDORS)
def test_lone_surrogates_are_read(vendor: str) -> None:
    assert ask("SELECT status, '\udc80' FROM book", vendor) == "read"
    assert ask("SELECT \udc80 FROM book", vendor, column="\udc80") == "read"


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_long_text_that_does_not_name_the_table_is_cleared(vendor: str) -> None:
    assert ask("SELECT status FROM chapter WHERE x IN (" + ", ".join(["'boo'"] * 100_000) + ")", vendor) == NOT


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("table", ["book", "année", "kind", "書籍"])
def test_a_long_text_of_other_letters_names_a_table_in_whatever_case(vendor: str, table: str) -> None:
    long = "SELECT 'é書" + "ß" * 100_000 + "' FROM "

    for name in (table, table.upper(), table.replace("k", "\u212a").replace("i", "\u0130")):
        assert ask(f'{long}"{name}"', vendor, table=table) != NOT
    assert ask(f"{long}chapter, xbook, book_id", vendor) == NOT


@pytest.mark.parametrize("vendor", VENDORS)
def test_bulk_inserts_and_long_lists_are_read_whatever_their_length(vendor: str) -> None:
    row = "(" + ", ".join(["%s"] * 10) + ")"
    sql = "INSERT INTO book (id, title) VALUES " + ", ".join([row] * 10_000)
    case = "UPDATE book SET title = CASE " + "WHEN (book.id = %s) THEN %s " * 2_000 + "ELSE NULL END"
    some = "SELECT id FROM book WHERE id IN (" + ", ".join(["%s"] * 60_000) + ")"

    assert [ask(each, vendor) for each in (sql, case, some)] == [NOT, NOT, NOT]
    assert ask(sql.replace("title", "status", 1), vendor) == "write"
    assert ask(case.replace("NULL", "status"), vendor) == "read"
    assert ask(some + " ORDER BY status", vendor) == "read"


def test_a_comment_that_a_line_break_ends_is_not_joined_with_what_follows() -> None:
    assert ask("SELECT id FROM book WHERE x IN (1) -- (%s)\n, (%s), (status)") == "read"


@pytest.mark.parametrize("vendor", VENDORS)
def test_reading_stops_at_so_many_comments(vendor: str) -> None:
    with pytest.raises(Unreadable, match="too long"):
        list(readings("/*a*/" * (_MAX_TOKENS + 1), vendor, _MAX_TOKENS))


@pytest.mark.parametrize("vendor", VENDORS)
def test_reading_stops_at_the_limit_of_tokens(vendor: str) -> None:
    with pytest.raises(Unreadable, match="too long"):
        list(readings("a, " * _MAX_TOKENS, vendor, _MAX_TOKENS))


@pytest.mark.parametrize("vendor", [*VENDORS, ""])
@pytest.mark.parametrize("unit", ["#\n", "--\n", "/**/", "[", "\u0130", "/*! a */", "'a', ", " "])
def test_of_a_long_text_a_shape_looks_at_the_beginning_alone(vendor: str, unit: str) -> None:
    # What it did not look at may be anything.
    long = "SELECT id FROM book WHERE " + unit * 20_000

    assert shape(long + "x" * 100_000 + " 'secret'", vendor) == shape(long + "y" * 100_000 + " 'other'", vendor)


def test_what_is_read_is_bounded() -> None:
    # A few milliseconds: about a microsecond for a token, and 20 nanoseconds for a character.
    assert _MAX_TOKENS <= 4_000
    assert _MAX_READ <= 100_000
