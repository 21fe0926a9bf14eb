"""Publications that somebody reads: a column of theirs that gets another name stops whoever reads them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.gate.witnesses.dependents import Around, of_column, of_table
from sampleapp.stage.processes import until
from tests.integration.gate.harness import connect
from tests.integration.runtime import private


@pytest.fixture(scope="module")
def publisher() -> Iterator[private.PrivateServer]:
    """A server that writes what logical replication needs, which takes a restart to say."""
    if not private.installed("postgres"):
        pytest.skip("no PostgreSQL server can be started here: " + ", ".join(private.PROGRAMS["postgres"]))
    with private.server("postgres") as server:
        server.crash()
        server._command += ["-c", "wal_level=logical"]
        server.start()
        yield server


@pytest.fixture
def tables(publisher: private.PrivateServer) -> Iterator[BaseDatabaseWrapper]:
    with connect(publisher.database) as connection:
        run(connection, "CREATE TABLE pub_item (id integer PRIMARY KEY, x integer, y integer)")
        run(connection, "CREATE TABLE pub_other (id integer PRIMARY KEY)")
        yield connection
        run(connection, "DROP TABLE pub_item")
        run(connection, "DROP TABLE pub_other")


def run(connection: BaseDatabaseWrapper, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def names(around: Around) -> list[tuple[str, bool]]:
    return [(each.name, each.sends) for each in around.others]


def never(table: str, column: str) -> bool:
    return False


#: What is published, and what is said of pub_item.x and of the table while somebody reads.
WHAT = {
    "FOR ALL TABLES": ([("publication pub (read from slot)", True)], [("publication pub (read from slot)", True)]),
    "FOR TABLES IN SCHEMA public": (
        [("publication pub (read from slot)", True)],
        [("publication pub (read from slot)", True)],
    ),
    "FOR TABLE pub_item": (
        [("publication pub (read from slot)", True)],
        [("publication relation public.pub_item in publication pub", False)],
    ),
    "FOR TABLE pub_item (id, x)": (
        [("publication relation public.pub_item in publication pub", False)],
        [("publication relation public.pub_item in publication pub", False)],
    ),
    "FOR TABLE pub_item (id, y)": ([], [("publication relation public.pub_item in publication pub", False)]),
    "FOR TABLE pub_item WHERE (x > 1) WITH (publish = 'insert')": (
        [("publication relation public.pub_item in publication pub", False)],
        [("publication relation public.pub_item in publication pub", False)],
    ),
    "FOR TABLE pub_other": ([], []),
}


@pytest.mark.parametrize("what", WHAT)
def test_what_sends_a_column_to_readers_is_named(tables: BaseDatabaseWrapper, what: str) -> None:
    run(tables, f"CREATE PUBLICATION pub {what}")
    try:
        # A subscription's first copy has slots of its own for a while, by which nobody is told from the next one.
        run(tables, "SELECT pg_create_logical_replication_slot('pg_1_sync_2_3', 'pgoutput')")
        unread = names(of_column(tables, "pub_item", "x"))
        run(tables, "SELECT pg_create_logical_replication_slot('slot', 'pgoutput')")
        try:
            found = names(of_column(tables, "pub_item", "x"))
            whole = names(of_table(tables, "pub_item", never))
        finally:
            run(tables, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    finally:
        run(tables, "DROP PUBLICATION pub")

    assert (found, whole) == WHAT[what]
    # Nobody reads it: all that is left is what the catalog says to depend on the column.
    assert unread == [(name, sends) for name, sends in found if not sends]


def test_whoever_reads_stops_at_the_name_that_a_column_gets(
    tables: BaseDatabaseWrapper, publisher: private.PrivateServer
) -> None:
    """So that it is worth waiting for: dropped, as Django does, the column would be missed by nobody."""
    run(tables, "CREATE PUBLICATION pub FOR ALL TABLES")
    run(tables, "CREATE DATABASE reader")
    try:
        with connect(type(publisher.database)("postgres", "reader", "127.0.0.1", str(publisher.port))) as reader:
            run(reader, "CREATE TABLE pub_item (id integer PRIMARY KEY, x integer, y integer)")
            run(reader, "CREATE TABLE pub_other (id integer PRIMARY KEY)")
            run(tables, "SELECT pg_create_logical_replication_slot('sub', 'pgoutput')")
            conninfo = f"host=127.0.0.1 port={publisher.port} user=postgres dbname={publisher.database.name}"
            run(
                reader,
                f"CREATE SUBSCRIPTION sub CONNECTION '{conninfo}' PUBLICATION pub WITH (create_slot = false)",
            )

            def rows() -> int:
                with reader.cursor() as cursor:
                    cursor.execute("SELECT count(*) FROM pub_item")
                    return int(cursor.fetchone()[0])

            def errors() -> int:
                with reader.cursor() as cursor:
                    cursor.execute("SELECT apply_error_count FROM pg_stat_subscription_stats")
                    return int(cursor.fetchone()[0])

            try:
                run(tables, "INSERT INTO pub_item VALUES (1, 1, 1)")
                until("the row is there", lambda: rows() == 1)
                assert [each.name for each in of_column(tables, "pub_item", "x").others] == [
                    "publication pub (read from sub)"
                ]
                run(tables, "ALTER TABLE pub_item DROP COLUMN y")
                run(tables, "INSERT INTO pub_item VALUES (2, 2)")
                until("a dropped column is not missed", lambda: rows() == 2)
                run(tables, "ALTER TABLE pub_item RENAME COLUMN x TO guard_1_x")
                run(tables, "INSERT INTO pub_item VALUES (3, 3)")
                until("the reader has stopped", lambda: errors() > 0)
                assert rows() == 2
            finally:
                run(reader, "ALTER SUBSCRIPTION sub DISABLE")
                run(reader, "ALTER SUBSCRIPTION sub SET (slot_name = NONE)")
                run(reader, "DROP SUBSCRIPTION sub")

                def dropped() -> bool:
                    with tables.cursor() as cursor:
                        cursor.execute(
                            "SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots "
                            "WHERE NOT active"
                        )
                        cursor.execute("SELECT count(*) FROM pg_replication_slots")
                        return not cursor.fetchone()[0]

                until("its slot is gone", dropped)
    finally:
        run(tables, "DROP DATABASE reader WITH (FORCE)")
        run(tables, "DROP PUBLICATION pub")
