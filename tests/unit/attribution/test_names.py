"""Names that are one to the eye and two to the database, or the other way round: whose column is it?"""

from __future__ import annotations

import pytest

from tests.unit.attribution.asking import NOT, VENDORS, ask


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    "sql",
    [
        "WITH s AS (WITH book AS (SELECT 1 AS id) SELECT id FROM book) SELECT status FROM book",
        "SELECT status FROM (WITH book AS (SELECT 1 AS id) SELECT id FROM book) s JOIN book ON s.id = book.id",
        "SELECT 1 WHERE 1 IN (WITH book AS (SELECT 1 AS id) SELECT id FROM book) AND 1 IN (SELECT status FROM book)",
        "WITH book AS (SELECT status FROM book) SELECT 1 FROM book",
    ],
)
def test_a_common_table_expression_hides_a_table_in_its_own_query_alone(vendor: str, sql: str) -> None:
    assert ask(sql, vendor) == "read"


@pytest.mark.parametrize("vendor", ["postgresql", "sqlite"])
def test_what_an_insert_inserts_from_keeps_its_common_table_expressions_to_itself(vendor: str) -> None:
    insert = "INSERT INTO shelf (id) WITH book AS (SELECT 1 AS id) SELECT id FROM book WHERE true"

    assert ask(f"{insert} RETURNING (SELECT MAX(status) FROM book)", vendor) == "read"
    assert ask(f"{insert} ON CONFLICT (id) DO UPDATE SET id = (SELECT MAX(status) FROM book)", vendor) == "read"
    assert ask(f"{insert} RETURNING id", vendor) == NOT


def test_a_common_table_expression_before_an_insert_hides_a_table_to_its_end() -> None:
    insert = "WITH book AS (SELECT 1 AS status) INSERT INTO shelf (id) SELECT status FROM book"

    assert ask(f"{insert} RETURNING (SELECT MAX(status) FROM book)") == NOT


@pytest.mark.parametrize(
    ("vendor", "sql", "touch"),
    [
        # PostgreSQL folds what is not quoted, and keeps the case of what is.
        (
            "postgresql",
            'WITH book AS (SELECT id FROM "Book") SELECT b.status FROM "Book" b JOIN book USING (id)',
            "read",
        ),
        ("postgresql", 'WITH "Book" AS (SELECT 1 AS id) SELECT status FROM book', "read"),
        ("postgresql", "WITH Book AS (SELECT 1 AS status) SELECT status FROM BOOK", NOT),
        ("postgresql", 'WITH Book AS (SELECT 1 AS status) SELECT status FROM "book"', NOT),
        ("postgresql", 'WITH "Book" AS (SELECT 1 AS status) SELECT status FROM "Book"', NOT),
        ("postgresql", 'WITH U&"\\0042ook" AS (SELECT 1 AS status) SELECT status FROM book', "read"),
        ("postgresql", 'SELECT id AS "STATUS" FROM book ORDER BY status', "read"),
        ("postgresql", 'SELECT id AS "STATUS" FROM book ORDER BY "STATUS"', NOT),
        ("postgresql", 'SELECT id FROM book b WHERE EXISTS (SELECT 1 FROM page "B" WHERE b.status = 1)', "read"),
        ("postgresql", "SELECT id FROM book b WHERE EXISTS (SELECT 1 FROM page B WHERE b.status = 1)", NOT),
        ("postgresql", 'SELECT row_to_json(b) FROM book b WHERE EXISTS (SELECT b FROM page "B")', "read"),
        (
            "postgresql",
            'SELECT id FROM book WHERE EXISTS (SELECT status FROM (SELECT id AS "STATUS" FROM page) s)',
            "read",
        ),
        ("postgresql", "SELECT id FROM book WHERE EXISTS (SELECT status FROM (SELECT id AS STATUS FROM page) s)", NOT),
        # MariaDB's tables are files: their case counts, and that of common table expressions too.
        ("mysql", "WITH Book AS (SELECT 1 AS id) SELECT status FROM book", "read"),
        ("mysql", "WITH `book` AS (SELECT 1 AS status) SELECT status FROM book", NOT),
        ("mysql", "SELECT id AS STATUS FROM book ORDER BY status", NOT),
        ("sqlite", "WITH Book AS (SELECT 1 AS status) SELECT STATUS FROM book", NOT),
        # All that is no ASCII may be kept apart, or not.
        (
            "sqlite",
            "WITH \u212aind AS (SELECT 1 AS status), book AS (SELECT 1 AS status) SELECT status FROM book",
            "read",
        ),
    ],
)
def test_names_that_differ_in_case_are_one_where_the_database_says_so(vendor: str, sql: str, touch: str) -> None:
    assert ask(sql, vendor, table="Book" if '"Book" b' in sql else "book") == touch


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_column_that_a_later_source_has_is_not_in_sight_of_a_join_before_it(vendor: str) -> None:
    sql = (
        "SELECT 1 FROM book WHERE EXISTS (SELECT 1 FROM a JOIN c ON status = 1 JOIN (SELECT status FROM d) x ON 1 = 1)"
    )

    assert ask(sql, vendor) == "read"


def test_a_qualifier_with_a_schema_is_no_alias() -> None:
    inner = "SELECT 1 FROM label book WHERE public.book.status = 1"

    assert ask(f"SELECT 1 FROM book WHERE EXISTS ({inner})") == "read"
    assert ask(f"SELECT 1 FROM book WHERE EXISTS ({inner.replace('public.', '')})") == NOT


@pytest.mark.parametrize("query", ["(SELECT status)", "((SELECT status))", "(((SELECT 1) UNION (SELECT status)))"])
def test_a_lateral_query_sees_its_neighbours_in_however_many_parentheses(query: str) -> None:
    assert ask(f"SELECT 1 FROM book b JOIN LATERAL {query} x ON true") == "read"
    assert ask("SELECT 1 FROM book b JOIN ((SELECT status FROM a)) x ON true") == NOT


@pytest.mark.parametrize(
    "sources",
    [
        "a JOIN c ON b.status = 1 JOIN d b ON true",
        "a, LATERAL (SELECT b.status) x, d b",
        "a, unnest(b.status) x, d b",
        "a JOIN c ON c.id = (SELECT b.status) JOIN d b ON true",
    ],
)
def test_an_alias_that_comes_later_is_not_in_sight_of_what_stands_before_it(sources: str) -> None:
    assert ask(f"SELECT 1 FROM book b WHERE EXISTS (SELECT 1 FROM {sources})") == "read"
    assert ask(f"SELECT 1 FROM book b WHERE EXISTS (SELECT 1 FROM {sources} WHERE b.status = 1)") == "read"
    assert ask("SELECT 1 FROM book b WHERE EXISTS (SELECT 1 FROM d b WHERE b.status = 1)") == NOT


@pytest.mark.parametrize("alias", ["lock", "value", "use", "minus", "procedure", "indexed"])
def test_an_alias_may_be_a_word_that_begins_a_clause_elsewhere(alias: str) -> None:
    assert ask(f"SELECT row_to_json({alias}) FROM book {alias}") == "read"
    assert ask(f"SELECT {alias}.a FROM book {alias}(a, b)") == "read"
    inner = f"SELECT {alias}.status FROM book {alias}"
    assert ask(f"SELECT ({inner} LIMIT 1) FROM page AS {alias}") == "read"
    assert ask(f"SELECT ({inner} LIMIT 1) FROM page AS {alias}", "sqlite") == "read"


def test_a_column_of_a_function_may_have_a_table_for_its_type() -> None:
    assert ask("SELECT (x.a).status FROM json_to_record('{}') AS x(a book)") == "read"


def test_a_name_behind_a_dot_may_begin_with_a_digit_on_mariadb() -> None:
    assert ask("SELECT b.2fa FROM book b", "mysql", column="2fa") == "read"
    assert ask("SELECT `b`.2fa FROM book b", "mysql", column="2fa") == "read"
    assert ask("SELECT .2 FROM book b", "mysql", column="2") == NOT


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO shelf (id) WITH set (id, x) AS (SELECT 1, status FROM book) SELECT id FROM set",
        "INSERT INTO shelf (id) SELECT set FROM page WHERE set = '1' AND id IN (SELECT status FROM book)",
        "UPDATE shelf SET id = 1 FROM page set, book WHERE set.id = status",
        "UPDATE shelf SET id = 1 FROM set, book WHERE set.id = status",
    ],
)
def test_set_may_be_a_name_on_postgresql(sql: str) -> None:
    assert ask(sql) == "read"


@pytest.mark.parametrize("name", ["insert", "update", "delete", "merge", "set", "replace", "values", "recursive"])
def test_a_common_table_expression_may_have_the_name_of_any_word_that_is_not_reserved(name: str) -> None:
    assert ask(f"WITH {name} AS (SELECT 1 FROM book WHERE status = 'x') SELECT 1 FROM {name}") == "read"
    assert (
        ask(f"WITH a AS (SELECT 1), {name} (x) AS (SELECT 1) UPDATE page SET id = (SELECT MAX(status) FROM book)")
        == "read"
    )


@pytest.mark.parametrize("alias", ["insert", "update", "delete", "merge"])
def test_words_that_begin_a_change_may_be_names_on_postgresql(alias: str) -> None:
    assert ask(f"SELECT CAST({alias} AS text) FROM book {alias}") == "read"
    assert ask(f"SELECT id FROM book {alias} WHERE id IN ({alias}.status)") == "read"
    assert ask(f"SELECT id FROM page {alias}, book WHERE id IN ({alias}.id, status)") == "read"


def test_a_column_may_have_the_name_of_a_word_that_begins_a_query() -> None:
    assert ask("SELECT count(with, status) FROM book", "sqlite") == "read"


@pytest.mark.parametrize("function", ["min", "max", "pg_column_compression", "pg_collation_for", "row_to_json"])
def test_a_function_of_any_row_may_be_written_like_a_column(function: str) -> None:
    assert ask(f"SELECT b.{function} FROM book b") == "read"


@pytest.mark.parametrize("row", ["json_agg(values)", "(values)::text", "row_to_json(values)"])
def test_values_in_parentheses_is_a_row_of_that_name_where_no_rows_come_behind_it(row: str) -> None:
    assert ask(f"SELECT {row} FROM book AS values", "postgresql") == "read"
    assert ask("SELECT 1 FROM (VALUES (1), (2)) AS book(status)", "postgresql") == NOT
