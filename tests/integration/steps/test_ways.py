"""MariaDB alters a table in the cheapest way that it has, and what was not to be had in an instant is said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.ledger import connecting
from guard.steps.ddl import Ddl, ddl_for
from guard.steps.ddl.base import SMALL, LocksWriters
from guard.steps.locks import is_timeout, pauses

COLUMNS = "id integer PRIMARY KEY, x integer, y integer NOT NULL DEFAULT 1"


class Altering:
    """A table, guard's own connection to it, and the statements that went through."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.sql: list[str] = []
        self.ddl: Ddl = ddl_for(connection, self._execute)

    def _execute(self, sql: str, params: object) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
        if "ALTER TABLE" in sql:
            self.sql.append(sql)

    def make(self, more: str = "", options: str = "", rows: int = 1) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS ways")
            cursor.execute(f"CREATE TABLE ways ({COLUMNS}{more}) {options}")
            cursor.execute(f"INSERT INTO ways (id, x) SELECT seq, seq FROM seq_1_to_{rows}")
        self.sql, self.ddl.remarks = [], []

    def do(self, change: Callable[[Ddl], object]) -> None:
        """Change something, again where the server's own purge holds the table for a moment."""
        for pause in pauses():
            try:
                change(self.ddl)
                return
            except DatabaseError as error:
                if not is_timeout(error):
                    raise
                time.sleep(pause)

    @property
    def ways(self) -> list[str]:
        """How each statement was done."""
        return [sql.partition("ALGORITHM=")[2].partition(",")[0] for sql in self.sql]


@pytest.fixture
def altering(connection: BaseDatabaseWrapper) -> Iterator[Altering]:
    with connecting.private(connection.alias) as own:
        found = Altering(own)
        yield found
        with own.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS ways")


CHEAP = {
    "a column is renamed": (lambda ddl: ddl.rename_column("ways", "x", "x2"), "INSTANT"),
    "a column is dropped": (lambda ddl: ddl.drop_column("ways", "x"), "INSTANT"),
    "a default is dropped": (lambda ddl: ddl.drop_default("ways", "y"), "INSTANT"),
    "an indexed column is dropped": (lambda ddl: ddl.drop_column("ways", "i"), "NOCOPY"),
    "NULL is forbidden": (lambda ddl: ddl.forbid_null("ways", "x"), "INPLACE"),
}


@pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)
@pytest.mark.parametrize("what", CHEAP)
def test_the_cheapest_way_is_taken_and_a_rebuild_is_said(altering: Altering, what: str) -> None:
    change, way = CHEAP[what]
    altering.make(", i integer, j integer, KEY shared (i, j)")

    altering.do(change)

    assert altering.ways == [way]
    if way != "INPLACE":
        assert "NOWAIT" in altering.sql[0] or "max_statement_time" in altering.sql[0]
    assert bool(altering.ddl.remarks) is (way == "INPLACE")
    for remark in altering.ddl.remarks:
        assert remark.startswith("It rebuilds the table in place, beside its readers and writers: ")


@pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)
@pytest.mark.parametrize("what", CHEAP)
def test_a_transaction_that_has_read_may_still_write_and_is_not_ended_for_a_lock(
    altering: Altering, connection: BaseDatabaseWrapper, what: str
) -> None:
    change, _ = CHEAP[what]
    altering.make(", i integer, j integer, KEY shared (i, j)")
    tries: list[str] = []

    def beside_others(sql: str, params: object) -> None:
        if "ALTER TABLE" in sql:
            tries.append(sql)
        if len(tries) == 4 and connection.in_atomic_block:
            cursor.execute("UPDATE ways SET y = 2")
            transaction.set_rollback(True, connection.alias)
            atomic.__exit__(None, None, None)
        altering._execute(sql, params)

    ddl = ddl_for(altering.connection, beside_others)
    atomic = transaction.atomic(using=connection.alias)
    atomic.__enter__()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ways")
        change(ddl)

    assert not connection.in_atomic_block
    # None of them has waited, so that none could meet the transaction in a circle.
    assert len(tries) >= 4
    assert all("NOWAIT" in sql for sql in tries)


#: What lets the server only rebuild the table, and whether its writers are locked out meanwhile.
DEAR = {
    "a compressed table": ("", "ROW_FORMAT=COMPRESSED", False),
    "an index over text": (", t text, FULLTEXT KEY words (t)", "", True),
    "a table without transactions": ("", "ENGINE=MyISAM", True),
}


@pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)
@pytest.mark.parametrize("what", DEAR)
def test_writers_of_a_large_table_are_never_locked_out(altering: Altering, what: str) -> None:
    more, options, locks = DEAR[what]
    altering.make(more, options, rows=SMALL + 1)
    if not locks:
        altering.do(lambda ddl: ddl.drop_column("ways", "x"))
        assert altering.ways == ["INPLACE"]
        return

    with pytest.raises(LocksWriters, match="ALTER TABLE `ways` DROP COLUMN `x`; guard notes"):
        altering.do(lambda ddl: ddl.drop_column("ways", "x"))
    assert altering.ddl.facts("ways", "x") is not None
    assert altering.sql == []

    altering.make(more, options, rows=SMALL)
    altering.do(lambda ddl: ddl.drop_column("ways", "x"))
    assert altering.ways == [""]
    assert altering.ddl.facts("ways", "x") is None
    assert altering.ddl.remarks[0].startswith("Writers of ways waited while it was rebuilt: ")


@pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)
@pytest.mark.parametrize("what", ["a column is renamed", "an indexed column is dropped"])
def test_where_readers_follow_one_another_it_stands_in_the_line_for_a_moment(altering: Altering, what: str) -> None:
    """A reader that goes only when it sees somebody wait: without standing in the line, its table is never free."""
    change, _ = CHEAP[what]
    altering.make(", i integer, j integer, KEY shared (i, j)")

    reading = threading.Event()

    def read() -> None:
        alias = altering.connection.alias
        with (
            connecting.private(alias) as reader,
            connecting.private(alias) as eye,
            reader.cursor() as cursor,
            eye.cursor() as seeing,
        ):
            cursor.execute("BEGIN")
            cursor.execute("SELECT COUNT(*) FROM ways")
            reading.set()
            waits = 0
            while not waits:
                seeing.execute(
                    "SELECT COUNT(*) FROM information_schema.processlist "
                    "WHERE state = 'Waiting for table metadata lock' AND info LIKE '%ALTER TABLE `ways`%'"
                )
                (waits,) = seeing.fetchone()
            cursor.execute("COMMIT")

    with ThreadPoolExecutor(1) as pool:
        gone = pool.submit(read)
        assert reading.wait(60)
        altering.do(change)
        gone.result(60)

    assert altering.sql[0].startswith("SET STATEMENT max_statement_time = 0.2")


@pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)
def test_a_rebuild_of_a_large_table_waits_for_its_lock_and_is_not_for_nothing(altering: Altering) -> None:
    altering.make(rows=SMALL + 1)

    altering.do(lambda ddl: ddl.forbid_null("ways", "x"))

    assert "ALGORITHM=INPLACE, LOCK=NONE" in altering.sql[-1]
    assert "NOWAIT" not in altering.sql[-1]
    assert "max_statement_time" not in altering.sql[-1]


@pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)
@pytest.mark.parametrize("look", [lambda ddl: ddl.facts("ways", "x"), lambda ddl: ddl.columns("ways")])
def test_what_the_information_schema_leaves_out_is_not_taken_for_gone(
    altering: Altering, monkeypatch: pytest.MonkeyPatch, look: Callable[[Ddl], object]
) -> None:
    altering.make()
    usual = altering.ddl._fetch

    def fetch(sql: str, params: Sequence[object] | None = None) -> list[tuple[object, ...]]:
        # As while another session alters the table: that moment is too short to be held.
        return [] if "information_schema" in sql else usual(sql, params)

    with monkeypatch.context() as patched:
        patched.setattr(altering.ddl, "_fetch", fetch)
        with pytest.raises(DatabaseError) as caught:
            look(altering.ddl)

    assert is_timeout(caught.value)
    assert look(altering.ddl)
    assert altering.ddl.facts("ways", "absent") is None
    assert altering.ddl.columns("absent") == ()
