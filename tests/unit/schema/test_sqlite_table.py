"""Reading and editing the text of CREATE TABLE, held against what SQLite itself makes of the text."""

from __future__ import annotations

import sqlite3

import pytest

from guard.schema.sqlite_table import Definition, NotUnderstood, Table

#: Definitions of one column, in the ways in which Django and people write them.
COLUMNS = (
    '"c" integer NOT NULL',
    '"c" integer NULL',
    "c varchar(20)",
    "'c' text NOT NULL DEFAULT 'it''s, (not) \"this\"'",
    "[c] decimal(9, 3) NOT NULL DEFAULT -1.5",
    "`c` real NOT NULL DEFAULT -1.5e-07",
    '"c" real NOT NULL DEFAULT +.5E+3',
    "\"c\" BLOB NOT NULL DEFAULT X'00ff27'",
    '"c" text NOT NULL DEFAULT (json(\'{"a": [1, 2]}\')) CHECK (json_valid("c") OR "c" IS NULL)',
    '"c" integer unsigned NOT NULL CHECK ("c" >= 0)',
    '"c" text DEFAULT CURRENT_TIMESTAMP NOT NULL',
    '"c" bool NOT NULL DEFAULT TRUE',
    '"c" integer NULL DEFAULT NULL',
    '"c" bigint NOT NULL UNIQUE REFERENCES "p" ("id") DEFERRABLE INITIALLY DEFERRED',
    '"c" bigint NULL REFERENCES p ON DELETE SET NULL ON UPDATE CASCADE',
    '"c" bigint NOT NULL REFERENCES "p" ("id") ON DELETE CASCADE',
    '"c" text COLLATE NOCASE NOT NULL -- NOT NULL, DEFAULT 3\n',
    '"c" /* , NULL */ text CONSTRAINT "named" NOT NULL',
    '"c" INTEGER DEFAULT 0x10',
)


def made(table: Table) -> tuple[object, ...]:
    """What SQLite knows of column c of a table with this definition."""
    with sqlite3.connect(":memory:") as connection:
        connection.execute('CREATE TABLE "p" ("id" integer PRIMARY KEY)')
        connection.execute(table.sql('"t"'))
        row = connection.execute(
            "SELECT type, \"notnull\", dflt_value FROM pragma_table_xinfo('t') WHERE name = 'c'"
        ).fetchone()
        keys = connection.execute("SELECT \"table\", on_delete FROM pragma_foreign_key_list('t')").fetchall()
    connection.close()
    return (*row, keys)


def read(column: str) -> Table:
    return Table.parse(f'CREATE TABLE "t" ("id" integer PRIMARY KEY AUTOINCREMENT, {column}, "last" text)')


@pytest.mark.parametrize("column", COLUMNS)
def test_a_table_is_written_as_it_was_read(column: str) -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute('CREATE TABLE "p" ("id" integer PRIMARY KEY)')
        connection.execute(f'CREATE TABLE "t" ("id" integer PRIMARY KEY AUTOINCREMENT, {column}, "last" text)')
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 't'").fetchone()
        row = connection.execute(
            "SELECT type, \"notnull\", dflt_value FROM pragma_table_xinfo('t') WHERE name = 'c'"
        ).fetchone()
    connection.close()

    table = Table.parse(sql)

    assert [d.name for d in table.columns] == ["id", "c", "last"]
    assert made(table)[:3] == row


@pytest.mark.parametrize("column", COLUMNS)
def test_null_is_allowed_and_forbidden(column: str) -> None:
    table = read(column)
    kind, _, default, keys = made(table)

    assert made(table.with_column(table.column("c").nullable())) == (kind, 0, default, keys)
    assert made(table.with_column(table.column("c").not_null())) == (kind, 1, default, keys)
    assert made(table.with_column(table.column("c").nullable().not_null())) == (kind, 1, default, keys)


@pytest.mark.parametrize("literal", ["'x'", "-1.5e-07", "X'00'", "(1 + 2)", "'it''s 100% (,)'"])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_default_is_set_and_dropped(column: str, literal: str) -> None:
    table = read(column)
    kind, null, _, keys = made(table)

    given = table.with_column(table.column("c").with_default(literal))
    assert made(given) == (kind, null, literal.strip("()"), keys) or made(given) == (kind, null, literal, keys)
    assert made(given.with_column(given.column("c").without_default())) == (kind, null, None, keys)


@pytest.mark.parametrize("column", [c for c in COLUMNS if "REFERENCES" in c])
@pytest.mark.parametrize("action", ["SET NULL", "CASCADE", "RESTRICT", ""])
def test_the_action_of_a_foreign_key_is_changed(column: str, action: str) -> None:
    table = read(column)
    kind, null, default, _ = made(table)

    changed = table.with_column(table.column("c").on_delete(action))

    assert made(changed) == (kind, null, default, [("p", action or "NO ACTION")])


def test_constraints_and_options_of_the_table_are_kept() -> None:
    sql = (
        'CREATE TABLE "t" ("a" integer NOT NULL, "b" text, CONSTRAINT "both" UNIQUE ("a", "b"), CHECK ("a" > 0), '
        'FOREIGN KEY ("a") REFERENCES "p" ("id"), PRIMARY KEY ("a")) WITHOUT ROWID'
    )

    table = Table.parse(sql)

    assert len(table.constraints) == 4
    assert table.options == "WITHOUT ROWID"
    assert Table.parse(table.sql('"t"')) == table


def test_a_column_is_taken_out_and_names_are_folded() -> None:
    table = read('"C" integer NOT NULL')

    assert table.column("c").name == "C"
    assert [d.name for d in table.without_column("c").columns] == ["id", "last"]
    with pytest.raises(KeyError):
        table.column("d")


def test_a_quote_in_a_name_survives() -> None:
    table = Table.parse('CREATE TABLE "t" ("a""b" integer)')

    assert table.columns == (Definition('a"b', " integer"),)
    assert Table.parse(table.sql('"t"')) == table


@pytest.mark.parametrize("sql", ["CREATE TABLE t AS", "CREATE TABLE t (a integer", "CREATE TABLE t (a, , b)", "()"])
def test_what_is_no_table_is_not_understood(sql: str) -> None:
    with pytest.raises(NotUnderstood):
        Table.parse(sql)


def test_a_column_without_a_foreign_key_has_no_action() -> None:
    with pytest.raises(NotUnderstood):
        read("c integer").column("c").on_delete("CASCADE")
