"""Raw SQL, statement by statement, in each vendor's dialect."""

import logging
import subprocess
import sys

import pytest

from guard.phases import raw_sql
from guard.phases.words import Disposition, Phase
from tests.unit.phases.helpers import texts

E, C, N, U, UNKNOWN = Phase.EXPAND, Phase.CONTRACT, Phase.NEUTRAL, Phase.UNSAFE, Phase.OPAQUE
PG, MY, LITE = "postgresql", "mysql", "sqlite"
ALL = (PG, MY, LITE)

STATEMENTS = [
    # What takes away
    (ALL, "DROP TABLE t", C, ["t"]),
    (ALL, "drop table if exists t", C, ["t"]),
    (PG, "DROP TABLE a, public.b CASCADE", C, ["a", "b"]),
    (MY, "DROP TABLE `a`, `b`", C, ["a", "b"]),
    (PG, 'DROP TABLE "Mixed"', C, ["Mixed"]),
    (PG, "DROP TABLE Mixed", C, ["mixed"]),
    (ALL, "DROP VIEW v", C, ["v"]),
    (PG, "DROP MATERIALIZED VIEW v", C, ["v"]),
    (ALL, "ALTER TABLE t DROP COLUMN a", C, ["t.a"]),
    (PG, "ALTER TABLE t DROP a, DROP COLUMN IF EXISTS b CASCADE", C, ["t.a", "t.b"]),
    (PG, 'ALTER TABLE public.T DROP COLUMN "C"', C, ["t.C"]),
    (MY, "ALTER TABLE `t` DROP `a`", C, ["t.a"]),
    (PG, "TRUNCATE a, b", C, []),
    (MY, "TRUNCATE TABLE a", C, []),
    # What renames
    (ALL, "ALTER TABLE t RENAME TO u", U, ["t"]),
    (ALL, "ALTER TABLE t RENAME COLUMN a TO b", U, ["t.a"]),
    (PG, "ALTER TABLE t RENAME a TO b", U, ["t.a"]),
    (LITE, "ALTER TABLE t RENAME a TO b", U, ["t.a"]),
    (MY, "RENAME TABLE a TO b, db.c TO d", U, ["a", "c"]),
    (MY, "ALTER TABLE t CHANGE a b int", U, ["t.a"]),
    # What demands more of old code
    (PG, "ALTER TABLE t ALTER COLUMN a SET NOT NULL", C, []),
    (PG, "ALTER TABLE t ALTER a DROP DEFAULT", C, []),
    (ALL, "ALTER TABLE t ADD COLUMN a int NOT NULL", U, []),
    (PG, "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID", C, []),
    (PG, "ALTER TABLE ONLY t ADD PRIMARY KEY (id)", C, []),
    (MY, "ALTER TABLE t ADD UNIQUE KEY k (a)", C, []),
    (PG, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", C, []),
    # What makes room
    (ALL, "CREATE TABLE t (a int)", E, []),
    (ALL, "CREATE VIEW v AS SELECT a FROM t", E, []),
    (PG, "CREATE TYPE mood AS ENUM ('a')", E, []),
    (PG, "CREATE SEQUENCE s", E, []),
    (PG, "CREATE EXTENSION IF NOT EXISTS hstore", E, []),
    (ALL, "ALTER TABLE t ADD COLUMN a int", E, []),
    (ALL, "ALTER TABLE t ADD COLUMN a int NOT NULL DEFAULT 3", E, []),
    (PG, "ALTER TABLE t ALTER a DROP NOT NULL", E, []),
    (PG, "ALTER TABLE t ALTER COLUMN a SET DEFAULT 1", E, []),
    (PG, "ALTER TABLE t DROP CONSTRAINT c", E, []),
    (MY, "ALTER TABLE t DROP FOREIGN KEY c", E, []),
    (MY, "ALTER TABLE t DROP INDEX i", E, []),
    (PG, "DROP INDEX CONCURRENTLY i", E, []),
    (MY, "DROP INDEX i ON t", E, []),
    (PG, "SELECT * INTO u FROM t", E, []),
    # What deployed code does not notice
    (ALL, "CREATE INDEX i ON t (a)", N, []),
    (MY, "ALTER TABLE t ADD INDEX (a)", N, []),
    (PG, "ALTER INDEX i RENAME TO j", N, []),
    (PG, "ALTER TABLE t VALIDATE CONSTRAINT c", N, []),
    (PG, "ALTER TABLE t SET (fillfactor = 70)", N, []),
    (ALL, "UPDATE t SET a = 1", N, []),
    (ALL, "INSERT INTO t (a) SELECT b FROM u", N, []),
    (ALL, "DELETE FROM t WHERE a = 1", N, []),
    (LITE, "REPLACE INTO t VALUES (1)", N, []),
    (PG, "WITH gone AS (DELETE FROM t RETURNING a) INSERT INTO u SELECT a FROM gone", N, []),
    (PG, "SELECT setval(pg_get_serial_sequence('t', 'id'), 1)", N, []),
    (PG, "SET CONSTRAINTS ALL IMMEDIATE", N, []),
    (PG, "SET LOCAL lock_timeout = '2s'", N, []),
    (MY, "SET FOREIGN_KEY_CHECKS = 0", N, []),
    (LITE, "PRAGMA foreign_keys = off", N, []),
    (PG, "COMMENT ON TABLE t IS 'what it is'", N, []),
    (PG, "REFRESH MATERIALIZED VIEW v", N, []),
    (PG, "ANALYZE t", N, []),
    # What cannot be known
    (PG, "DO $$ BEGIN EXECUTE 'DROP TABLE t'; END $$", UNKNOWN, []),
    (PG, "SELECT drop_everything()", UNKNOWN, []),
    (PG, "CREATE OR REPLACE FUNCTION f() RETURNS int AS $$ SELECT 1 $$ LANGUAGE sql", UNKNOWN, []),
    (ALL, "CREATE OR REPLACE VIEW v AS SELECT 1", UNKNOWN, []),
    (PG, "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", UNKNOWN, []),
    (PG, "DROP FUNCTION f()", UNKNOWN, []),
    (PG, "DROP SCHEMA s CASCADE", UNKNOWN, []),
    (PG, "DROP OWNED BY somebody", UNKNOWN, []),
    (PG, "ALTER TABLE t ALTER a TYPE bigint USING a::bigint", UNKNOWN, []),
    (PG, "ALTER TABLE t ENABLE ROW LEVEL SECURITY", UNKNOWN, []),
    (PG, "REVOKE ALL ON t FROM somebody", UNKNOWN, []),
    (PG, "ALTER TABLE t ADD COLUMN a int UNIQUE", UNKNOWN, []),
    (MY, "ALTER TABLE t MODIFY COLUMN a int NOT NULL", UNKNOWN, []),
    (MY, "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4", UNKNOWN, []),
    (MY, "ALTER TABLE t DROP PRIMARY KEY", UNKNOWN, []),
    (MY, "/*!40000 DROP TABLE t */", UNKNOWN, []),
    (MY, "CALL f()", UNKNOWN, []),
    (ALL, "this is not ( SQL", UNKNOWN, []),
]


def _each():
    for vendors, sql, phase, takes in STATEMENTS:
        for vendor in (vendors,) if isinstance(vendors, str) else vendors:
            yield pytest.param(vendor, sql, phase, takes, id=f"{vendor}-{sql}")


@pytest.mark.parametrize(("vendor", "sql", "phase", "takes"), list(_each()))
def test_statement_has_its_phase_and_takes_what_it_names(vendor, sql, phase, takes):
    judged = raw_sql.judge(sql, vendor)

    assert judged.phase is phase
    assert texts(judged.takes) == takes


@pytest.mark.parametrize(
    ("vendor", "sql", "phase", "takes"),
    # A comment that the server executes, and text between dollar signs, are not for white space to change.
    [case for case in _each() if "/*!" not in case.values[1] and "$$" not in case.values[1]],
)
def test_comments_and_line_breaks_do_not_matter(vendor, sql, phase, takes):
    spaced = f"-- first\n  /* then */ {sql.replace(' ', chr(10) + ' ')} -- DROP TABLE commented"

    judged = raw_sql.judge(spaced, vendor)

    assert (judged.phase, texts(judged.takes)) == (phase, takes)


@pytest.mark.parametrize(
    ("sql", "phase", "takes"),
    [
        ("", N, []),
        ("  \n ", N, []),
        ([], N, []),
        ("SELECT 1; DROP TABLE a; ALTER TABLE b DROP COLUMN c;", C, ["a", "b.c"]),
        (["DROP TABLE a", "SELECT 1"], C, ["a"]),
        ([("UPDATE t SET a = %s WHERE b = %s", [1, "x"]), ("DROP TABLE a", None)], C, ["a"]),
        ([("UPDATE t SET a = %(a)s", {"a": 1})], N, []),
        (("SELECT 1", "DROP TABLE a"), C, ["a"]),
        ("UPDATE t SET a = 'DROP TABLE b; --'", N, []),
        ("CREATE TABLE a (b int); DROP TABLE c; nonsense (", UNKNOWN, []),
        ([("one", "two", "three")], UNKNOWN, []),
        (7, UNKNOWN, []),
    ],
)
def test_lists_pairs_and_several_statements(sql, phase, takes):
    judged = raw_sql.judge(sql, "postgresql")

    assert (judged.phase, texts(judged.takes)) == (phase, takes)


def test_what_may_be_there_already_is_not_new():
    assert texts(raw_sql.judge("CREATE TABLE t (a int)", "sqlite").makes) == ["t"]
    assert raw_sql.judge("CREATE TABLE IF NOT EXISTS t (a int)", "sqlite").makes == ()
    assert raw_sql.judge("ALTER TABLE t ADD COLUMN IF NOT EXISTS a int", "postgresql").makes == ()


def test_without_the_parser_sql_is_opaque(monkeypatch):
    monkeypatch.setattr(raw_sql, "sqlglot", None)

    judged = raw_sql.judge("SELECT 1", "postgresql")

    assert (judged.phase, judged.disposition) == (Phase.OPAQUE, Disposition.HOLD)
    assert "sqlglot" in judged.note
    assert raw_sql.judge("", "postgresql").phase is Phase.NEUTRAL


def test_parser_does_not_print_warnings_and_its_logger_is_left_as_it_was(caplog):
    level = logging.getLogger("sqlglot").level

    raw_sql.judge("ALTER TABLE t OWNER TO somebody", "postgresql")

    assert caplog.records == []
    assert logging.getLogger("sqlglot").level == level


def test_parser_is_not_imported_before_it_is_needed():
    program = (
        "import sys; from django.conf import settings; settings.configure(); import django; django.setup();"
        "import guard.phases.plan, guard.phases.rules;"
        "sys.exit('sqlglot' in sys.modules or 'guard.phases.raw_sql' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
