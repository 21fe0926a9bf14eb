"""Readers of a table are never left waiting behind a contract step that waits for it. Counted, not timed."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from guard.commands.exits import Exit
from guard.gate.witnesses import locks
from guard.ledger import rows
from sampleapp.stage.processes import until
from tests.integration.commands.calling import call
from tests.integration.gate.harness import connect
from tests.integration.ledger.harness import CONFIG, HANGS, Place, desk

READERS = 20

#: How many sessions wait for a table's lock.
WAITING = {
    "postgres": "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND relation = to_regclass('shop_item')",
    "mariadb": "SELECT count(*) FROM information_schema.processlist "
    "WHERE db = DATABASE() AND state = 'Waiting for table metadata lock'",
}


class Enough(Exception):
    """The step has been tried often enough."""


class Readers:
    """Threads that read the table one statement after the other, and how often each has."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._over = threading.Event()
        self.reads = [0] * READERS
        self._threads = [threading.Thread(target=self._read, args=(number,)) for number in range(READERS)]

    def _read(self, number: int) -> None:
        with connect(self._place.database) as connection, connection.cursor() as cursor:
            while not self._over.wait(0.01):
                cursor.execute("SELECT count(*) FROM shop_item")
                cursor.fetchall()
                self.reads[number] += 1

    def all_get_through(self) -> None:
        """Each begins a read after this moment, and ends it. Raises TimedOut where one waits behind somebody."""
        # The first to end may have begun before.
        wanted = [count + 2 for count in self.reads]
        until("every reader gets through", lambda: all(map(int.__ge__, self.reads, wanted)), within=HANGS)

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        self.all_get_through()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def long_transaction(place: Place) -> Iterator[None]:
    """One that has read the table, and is open until the end."""
    with connect(place.database) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM shop_item")
        cursor.fetchall()
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def plain_change(place: Place) -> None:
    """What a migration without guard does."""
    with connect(place.database) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE shop_item ADD COLUMN extra integer")


@pytest.mark.parametrize("each", ["postgres", "mariadb"], indirect=True)
def test_a_step_gives_way_to_readers_until_it_gives_up(table: Place) -> None:
    def waiting() -> int:
        return int(table.query(WAITING[table.vendor])[0][0])

    tries: list[tuple[locks.Holder, ...]] = []

    def told(step: rows.Step, holders: tuple[locks.Holder, ...]) -> None:
        # Between two tries nobody stands in line, neither guard nor anybody behind it, though the table is still held.
        until("nobody waits", lambda: waiting() == 0, within=HANGS)
        readers.all_get_through()
        tries.append(holders)
        if len(tries) == 3:
            raise Enough

    with desk(table) as before:
        facts = before.gate.ddl.facts("shop_item", "old")
    plain = threading.Thread(target=plain_change, args=(table,))
    with Readers(table) as readers:
        with long_transaction(table):
            with desk(table, dataclasses.replace(CONFIG, lock_timeout=0.2)) as at, pytest.raises(Enough):
                at.gate.round(patience=HANGS, told=told, sleep=lambda seconds: None)
            gave_up = call(table, "contract", LOCK_TIMEOUT=0.2, LOCK_PATIENCE=0.5)
            # Asked to wait as well: what it waits for in the end is a lock, and nobody's deploy.
            waited = call(table, "contract", "--wait", "--timeout", "0.5", LOCK_TIMEOUT=0.2)
            until("nobody waits", lambda: waiting() == 0, within=HANGS)
            readers.all_get_through()
            with desk(table) as after:
                (step,) = after.ledger.steps()
                left = after.gate.ddl.facts("shop_item", "old")

            # Without guard all readers stand behind the one who waits, until the transaction ends.
            plain.start()
            until("everybody waits", lambda: waiting() == READERS + 1, within=HANGS)
            reads = sum(readers.reads)
            assert waiting() == READERS + 1
            assert sum(readers.reads) == reads
        plain.join()
        readers.all_get_through()

    assert all(tries)
    assert (gave_up.code, waited.code) == (Exit.LOCKED, Exit.LOCKED)
    assert "Gave up: a table was in use all the time" in gave_up.err
    assert (step.state, step.token, step.aside_name, left) == (rows.StepState.WAITING, "", "", facts)
    assert call(table, "contract").code == Exit.OK
    with desk(table) as taken:
        assert [step.state for step in taken.ledger.steps()] == [rows.StepState.ASIDE]
