"""What statements touch that no oracle can be asked about, and how: read, written, or by star."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql as composing

from tests.unit.attribution.asking import NOT, VENDORS, ask


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(
    ("sql", "touch"),
    [
        ("SELECT status FROM book", "read"),
        ("SELECT id FROM book", NOT),
        ("SELECT * FROM book", "read*"),
        ("SELECT b.* FROM book b", "read*"),
        ("SELECT b.*, b.status FROM book b", "read"),
        ("SELECT COUNT(*) FROM book", NOT),
        ("SELECT s.status FROM (SELECT * FROM book) s", "read"),
        ("SELECT s.id FROM (SELECT * FROM book) s", "read*"),
        ("INSERT INTO book (id) VALUES (1)", NOT),
        ("INSERT INTO book (id, status) VALUES (1, 'x')", "write"),
        ("INSERT INTO book VALUES (1, 'x')", "write"),
        ("INSERT INTO book SELECT id FROM chapter", "write"),
        ("INSERT INTO chapter SELECT * FROM book", "read*"),
        ("INSERT INTO chapter (status) SELECT id FROM book", NOT),
        ("UPDATE book SET status = 'x'", "write"),
        ("UPDATE book SET id = status", "read"),
        ("UPDATE book SET status = UPPER(status)", "read write"),
        ("UPDATE book SET id = 1", NOT),
        ("UPDATE book SET id = 1 WHERE status = 'x'", "read"),
        ("DELETE FROM book", NOT),
        ("DELETE FROM book WHERE status = 'x'", "read"),
        ("SELECT id FROM book; SELECT status FROM chapter", NOT),
        ("SELECT 1; UPDATE book SET status = 1; SELECT 2", "write"),
        ("SELECT 'a;b', status FROM chapter; SELECT id FROM book", NOT),
        ("SELECT status FROM books", NOT),
        ("SELECT status FROM book_note, my_book", NOT),
        ("SELECT 'FROM book', status FROM chapter", NOT),
        ("SELECT status FROM chapter -- JOIN book", NOT),
        ("SELECT book.status FROM chapter AS book", NOT),
        ("SELECT book FROM book_note WHERE status = 'x'", NOT),
        ("SELECT n.book, n.status FROM book_note n", NOT),
        ("SAVEPOINT book", NOT),
        ("ROLLBACK TO SAVEPOINT book", NOT),
        ("", NOT),
        (" ; ;; ", NOT),
    ],
)
def test_reads_writes_and_stars_are_told_apart(vendor: str, sql: str, touch: str) -> None:
    assert ask(sql, vendor) == touch


@pytest.mark.parametrize(
    ("vendor", "sql", "touch"),
    [
        ("postgresql", "COPY book (id) FROM STDIN", NOT),
        ("postgresql", "COPY book (id, status) FROM STDIN", "write"),
        ("postgresql", "COPY book FROM STDIN", "write"),
        ("postgresql", "COPY public.book (id) TO STDOUT WITH (FORMAT csv)", NOT),
        ("postgresql", "COPY book (status) TO STDOUT", "read"),
        ("postgresql", "COPY book TO STDOUT", "read*"),
        ("postgresql", "COPY (SELECT status FROM book) TO STDOUT", "read"),
        ("postgresql", "COPY (SELECT id FROM book) TO STDOUT", NOT),
        ("postgresql", "TRUNCATE book", NOT),
        ("postgresql", "LOCK TABLE book IN SHARE MODE", NOT),
        ("postgresql", "DECLARE c CURSOR FOR SELECT status FROM book", "read"),
        ("postgresql", "DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT id FROM book", NOT),
        ("postgresql", "PREPARE p (int) AS SELECT status FROM book WHERE id = $1", "read"),
        ("postgresql", "PREPARE p AS UPDATE book SET id = 1", NOT),
        ("postgresql", "EXPLAIN (ANALYZE, FORMAT JSON) SELECT id FROM book", NOT),
        ("postgresql", "EXPLAIN ANALYZE UPDATE book SET status = 1", "write"),
        ("postgresql", "EXPLAIN CREATE TABLE x AS SELECT * FROM book", "read*"),
        ("postgresql", "EXPLAIN (COSTS OFF) CREATE TABLE x AS SELECT id FROM book", NOT),
        ("postgresql", "EXPLAIN DECLARE c CURSOR FOR SELECT * FROM book", "read*"),
        ("postgresql", "DO $$ BEGIN PERFORM status FROM book; END $$", "read write"),
        ("postgresql", "SELECT query_to_xml('SELECT status FROM book', true, false, '')", "read"),
        ("postgresql", "SELECT xpath('/x', 'SELECT status FROM book')", NOT),
        ("postgresql", "SELECT NULL::book", "read"),
        ("postgresql", "BEGIN; SET LOCAL lock_timeout = '5s'; SELECT id FROM book; COMMIT", NOT),
        ("postgresql", "SET LOCAL lock_timeout = '5s'; UPDATE book SET status = 1", "write"),
        ("postgresql", "FETCH 5 FROM book", NOT),
        ("mysql", "SET @s = 'SELECT status FROM book'", "read write"),
        ("postgresql", "SELECT jsonb_populate_record(NULL::book, '{}')", "read"),
        ("postgresql", "CREATE VIEW v AS SELECT id FROM book", NOT),
        ("postgresql", "CREATE TEMP TABLE IF NOT EXISTS v AS (SELECT status FROM book)", "read"),
        ("postgresql", "CREATE TABLE v AS SELECT * FROM book", "read*"),
        ("postgresql", "CREATE TABLE v (LIKE book) PARTITION BY LIST (id)", "read write"),
        ("postgresql", "CREATE TABLE v (LIKE book, x int GENERATED ALWAYS AS (id) STORED)", "read write"),
        ("postgresql", "CREATE TABLE v AS EXECUTE p; SELECT 1 FROM book", "read write"),
        ("postgresql", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT status FROM book'", "read write"),
        ("mysql", "CREATE TABLE v SELECT id FROM book", NOT),
        ("mysql", "CREATE TABLE v LIKE book", "read write"),
        ("mysql", "SELECT j.status FROM book b, JSON_TABLE(b.x, '$' COLUMNS (status int PATH '$.s')) j", NOT),
        ("mysql", "SELECT j.x FROM book b, JSON_TABLE(b.status, '$' COLUMNS (x int PATH '$.s')) j", "read"),
        ("mysql", "SELECT columns(status) FROM book", "read"),
        ("postgresql", "SELECT 'a\\', status FROM book WHERE id = 'b'", "read"),
        ("postgresql", "SELECT id FROM book WHERE x = 'it\\' AND y = '1'", NOT),
        ("postgresql", "SELECT E'it\\'s', id FROM book", NOT),
        ("postgresql", "SELECT E'a'\n'\\', status FROM book --'", "read write"),
        ("postgresql", "SELECT data #> '{status}', data #- '{x}' FROM book", NOT),
        ("postgresql", "SELECT 5 # 3 AS x, status FROM book", "read"),
        ("postgresql", "INSERT INTO book (id) VALUES (1) ON CONFLICT ON CONSTRAINT book_x DO NOTHING", "read"),
        ("postgresql", "SELECT id FROM book WHERE note = $$it's$$ AND x = $a$ status $$ $a$", NOT),
        ("postgresql", "SELECT U&\"!0073tatus\" UESCAPE '!' FROM book", "read"),
        ("sqlite", "PRAGMA table_info(book)", NOT),
        ("sqlite", "SELECT 1 WHERE 2 IN book", "read*"),
        ("sqlite", "SELECT 'status' FROM book", NOT),
        ("sqlite", "INSERT INTO 'book' ('id', 'status') VALUES (1, 2)", "write"),
        ("sqlite", "SELECT x.'status' FROM 'book' AS 'x'", "read"),
        ("sqlite", "INSERT INTO book (id) VALUES (1) ON CONFLICT (status) DO NOTHING", "read"),
        ("sqlite", "SELECT snippet(book) FROM book WHERE book MATCH 'x'", "read"),
        ("mysql", "SELECT /*!50000 status, */ id FROM book", "read"),
        ("sqlite", "SELECT x FROM (book a JOIN b c) AS q", "read*"),
        ("sqlite", "SELECT x FROM (SELECT 1 AS x) JOIN (book JOIN b)", "read*"),
        ("sqlite", "WITH q AS (SELECT 1 AS x) SELECT x FROM q, (book JOIN b)", "read*"),
        ("sqlite", "SELECT x FROM (book JOIN b)", NOT),
        ("sqlite", "UPDATE a SET x = 1 FROM b, book", "read*"),
        ("sqlite", "UPDATE a SET x = 1 FROM book WHERE a.x = book.id", NOT),
        (
            "postgresql",
            "INSERT INTO a (x) OVERRIDING SYSTEM VALUE WITH b AS (SELECT status FROM book) SELECT 1 FROM b",
            "read",
        ),
        ("postgresql", "INSERT INTO book (id) OVERRIDING USER VALUE VALUES (1)", NOT),
        ("postgresql", "INSERT INTO book OVERRIDING USER VALUE SELECT id FROM a", "write"),
        ("postgresql", "UPDATE book SET id = 1 RETURNING old", "read"),
        ("postgresql", "UPDATE book SET id = 1 RETURNING old.id, new.id", NOT),
        ("postgresql", "UPDATE book SET id = 1 RETURNING WITH (OLD AS o) row_to_json(o)", "read"),
        ("postgresql", "UPDATE book SET id = 1 RETURNING WITH (OLD AS o, NEW AS n) o.id, n.id", NOT),
        ("postgresql", "INSERT INTO book (id) VALUES (1) RETURNING row_to_json(new)", "read"),
        ("postgresql", "PREPARE p(book) AS SELECT ($1).status", "read"),
        ("postgresql", "SELECT id FROM book TABLESAMPLE SYSTEM (1)", NOT),
        ("postgresql", "SELECT id FROM book b TABLESAMPLE BERNOULLI (1) REPEATABLE (2) WHERE b.status = 1", "read"),
        ("postgresql", "SELECT id AT TIME ZONE status FROM book", "read"),
        ("postgresql", "SELECT id OPERATOR(pg_catalog.+) status FROM book", "read"),
        ("postgresql", "SELECT DISTINCT ON (id) status FROM book", "read"),
        ("postgresql", "SELECT id status FROM book ORDER BY status", NOT),
        ("postgresql", "SELECT id::text status FROM book", NOT),
        ("postgresql", "SELECT CAST(id AS text) status FROM book", NOT),
        ("postgresql", 'SELECT status FROM U&"b\\006Fok"', "read"),
        ("postgresql", "SELECT x.id FROM ROWS FROM (f(1)) AS x(id), book", NOT),
        ("mysql", "SELECT SQL_NO_CACHE status FROM book", "read"),
        ("mysql", "SELECT id /*! , status */ FROM book", "read"),
        ("mysql", "SELECT id /*!50100 , pages */ FROM book", NOT),
        # A server of one version reads it, one of another does not.
        ("mysql", "SELECT id /*!80000 , status */ FROM book", "read"),
        ("mysql", "SELECT id /*M!100100 , status */ FROM book", "read"),
        ("mysql", "SELECT id /*!99999 , (SELECT 1 FROM book */ FROM author", "read"),
        ("mysql", "SELECT @`status`, {d '2020-01-01'} FROM book", NOT),
        ("mysql", "SELECT {fn lower(status)} FROM book", "read"),
        ("mysql", "INSERT INTO book VALUES ()", NOT),
        ("mysql", "SELECT /*+ MAX_EXECUTION_TIME(1) */ id FROM book", NOT),
        ("mysql", "DELETE c, b FROM chapter c JOIN book b ON b.id = c.id", NOT),
        ("mysql", "DELETE c FROM chapter c JOIN book b ON b.status = c.id", "read"),
        ("mysql", "PREPARE p FROM 'SELECT status FROM book'", "read write"),
        ("mysql", "BEGIN NOT ATOMIC SELECT * FROM book; END", "read write"),
        ("mysql", "BEGIN; SELECT id FROM book; COMMIT", NOT),
        ("mysql", "BEGIN WORK; SELECT id FROM book", NOT),
        ("mysql", "EXPLAIN FORMAT=JSON INTO @x SELECT * FROM book", "read*"),
        ("mysql", "EXPLAIN FORMAT=JSON FOR SCHEMA x SELECT * FROM book", "read*"),
        ("mysql", "EXPLAIN FOR CONNECTION 5", NOT),
        ("mysql", "SELECT 'it\\'s status', id FROM book", NOT),
        ("mysql", "SELECT id--status FROM book", "read"),
        ("mysql", "SELECT id FROM book # status\n", NOT),
        ("mysql", "INSERT INTO book (id) VALUES (1) AS new ON DUPLICATE KEY UPDATE id = new.status", "read"),
        ("mysql", "INSERT INTO book (id) VALUES (1) ON DUPLICATE KEY UPDATE status = 2", "write"),
        ("mysql", "INSERT INTO book SET id = 1", NOT),
        ("mysql", "INSERT INTO book SET status = 1", "write"),
        ("mysql", "LOAD DATA INFILE 'x' INTO TABLE book", "read write"),
        ("mysql", "SHOW COLUMNS FROM book", NOT),
        ("mysql", "DESCRIBE book", NOT),
        ("mysql", "SELECT b.id FROM book FOR SYSTEM_TIME ALL b WHERE b.status = 1", "read"),
    ],
)
def test_what_only_one_database_has(vendor: str, sql: str, touch: str) -> None:
    assert ask(sql, vendor) == touch


@pytest.mark.parametrize(
    ("sql", "touch"),
    [
        ("SELECT * FROM book", "read"),
        ("SELECT COUNT(*) FROM book", "read"),
        ("SELECT 1 FROM chapter JOIN public.book b ON true", "read"),
        ("DELETE FROM book", "write"),
        ("TRUNCATE book", "write"),
        ("INSERT INTO book (id) VALUES (1)", "write"),
        ("INSERT INTO chapter (id) SELECT id FROM book", "read"),
        ("UPDATE chapter SET id = 1 FROM book", "read"),
        ("LOCK TABLE book", "read"),
        ("SELECT 'book' FROM chapter", NOT),
        ("SELECT 1 AS book FROM chapter", NOT),
        ("SELECT c.book FROM chapter c", NOT),
        ("WITH book AS (SELECT 1) SELECT * FROM book", NOT),
        ("WITH book AS (SELECT 1) DELETE FROM book", "write"),
    ],
)
def test_a_slated_table_is_touched_by_every_statement_that_uses_it(sql: str, touch: str) -> None:
    assert ask(sql, column="") == touch


@pytest.mark.parametrize(
    ("table", "column", "sql", "touch"),
    [
        ("order", "group", 'SELECT "group" FROM "order"', "read"),
        ("order", "group", 'SELECT id FROM "order" GROUP BY id ORDER BY id', NOT),
        ("order", "desc", 'SELECT id FROM "order" ORDER BY id DESC', NOT),
        ("order", "desc", 'SELECT id FROM "order" ORDER BY "desc"', "read"),
        ("book", "offset", "SELECT id FROM book OFFSET 1", NOT),
        ("book", "value", "SELECT value FROM book", "read"),
        ("book", "set", "UPDATE book SET id = 1", "read write"),
        ("book", "has space", 'SELECT "has space" FROM book', "read"),
        ("book", "100%", 'SELECT "100%" FROM book', "read"),
        ("book", "100%", 'SELECT "100%%" FROM book WHERE id = %s', "read"),
        ("book", "s", "SELECT id %s FROM book", "read"),
        ("book", "s", "SELECT id FROM book WHERE id = %s", NOT),
        ("book", "année", "SELECT ANNÉE FROM book", "read"),
        ("livre_préféré", "x", 'SELECT x FROM "livre_préféré"', "read"),
        ('od"d', 'qu"ote', 'SELECT "qu""ote" FROM "od""d"', "read"),
        ('"archive"."book"', "status", 'SELECT status FROM "archive"."book"', "read"),
        ('archive"."book', "status", "SELECT b.status FROM archive.book b", "read"),
        ("Book", "Status", 'SELECT "Status" FROM "Book"', "read"),
        ("book", "stat", "SELECT status FROM book", NOT),
        ("book", "status", "SELECT status_code FROM book", NOT),
        ("b" * 70, "c" * 70, f"SELECT {'c' * 70} FROM {'b' * 63}", "read"),
        ("book", "year", "SELECT EXTRACT(YEAR FROM born) FROM book", NOT),
        ("book", "year", "SELECT EXTRACT(YEAR FROM year) FROM book", "read"),
        ("book", "date", "SELECT date(x), x::date, CAST(x AS date) FROM book", NOT),
        ("book", "count", "SELECT count(*) FROM book", NOT),
    ],
)
def test_names_that_need_care(table: str, column: str, sql: str, touch: str) -> None:
    assert ask(sql, table=table, column=column) == touch


def test_a_name_in_a_subquery_belongs_to_its_own_table_where_that_is_known_to_have_it() -> None:
    sql = "SELECT id FROM book WHERE author_id IN (SELECT id FROM author WHERE status = 'x')"

    assert ask(sql) == "read"
    assert ask(sql, columns={"Author": ["id", "Status"]}) == NOT
    assert ask(sql, columns={"author": ["id"]}) == "read"


def test_what_is_slated_is_not_known_to_stay() -> None:
    sql = "SELECT id FROM book WHERE EXISTS (SELECT 1 FROM book WHERE status = 'x')"

    assert ask(sql, columns={"book": ["status"]}) == "read"


def test_statements_composed_by_psycopg_are_read() -> None:
    composed = composing.SQL("SELECT {} FROM {} WHERE x = {}").format(
        composing.Identifier("status"), composing.Identifier("book"), composing.Literal("y")
    )

    assert ask(composed) == "read"
    assert ask(composing.SQL("SELECT id FROM book WHERE x = {}").format(composing.Literal("status"))) == NOT
    assert isinstance(composed, psycopg.sql.Composed)


def test_bytes_are_read() -> None:
    assert ask(b"SELECT status FROM book") == "read"
    assert ask(b"SELECT id FROM book") == NOT


@pytest.mark.parametrize("sql", [None, 5, object(), ["SELECT 1"], b"\xff book"])
def test_what_has_no_text_counts_as_touching(sql: object) -> None:
    assert ask(sql) == "read write"


class Spiteful:
    """Raises at whatever is done with it."""

    def __hash__(self) -> int:
        raise RuntimeError

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


def test_an_object_that_raises_counts_as_touching() -> None:
    assert ask(Spiteful()) == "read write"
