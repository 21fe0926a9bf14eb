"""What the attributor remembers: bounded, shared by threads, and of no effect on its answers."""

from __future__ import annotations

import subprocess
import sys
import threading
import tracemalloc

import pytest

from guard.attribution import Attributor, Watched, WatchList
from guard.attribution.attributor import _abridged, _Memory
from guard.attribution.watchlist import CLEAR

WATCH = WatchList(1, (Watched("book", "status", ()), Watched("author", "name", ())))


def remembered(attributor: Attributor) -> int:
    """How many texts have an answer, masked ones included."""
    return sum(len(memory.answers) for memory in (attributor._texts, attributor._shapes))


def test_nothing_is_remembered_where_nothing_is_watched() -> None:
    attributor = Attributor(WatchList(), "sqlite")

    assert attributor.touches("SELECT status FROM book") == ()
    assert attributor.touches(None) == ()
    assert remembered(attributor) == 0


def test_a_text_seen_before_gets_the_same_answer_without_being_read_again() -> None:
    attributor = Attributor(WATCH, "sqlite")
    first = attributor.touches("SELECT status FROM book")
    attributor._attribute = None  # type: ignore[method-assign,assignment]

    assert attributor.touches("SELECT status FROM book") is first


def test_a_word_right_behind_a_number_is_not_taken_for_a_part_of_it() -> None:
    attributor = Attributor(WatchList(1, (Watched("book", "", ()),)), "postgresql")

    assert attributor.touches("SELECT 1 book") == ()
    assert attributor.touches("SELECT 1.FROM book") != ()


def test_entries_are_bounded() -> None:
    attributor = Attributor(WATCH, "sqlite", max_entries=100)
    for number in range(2_000):
        attributor.touches(f"SELECT a{number}, status FROM book")

    assert remembered(attributor) == 100


def test_bytes_are_bounded() -> None:
    attributor = Attributor(WATCH, "postgresql")
    tracemalloc.start()
    try:
        for number in range(4_000):
            attributor.touches(f"SELECT status, a{number}, '{'x' * 1_000}' FROM book")
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size <= 1_300_000


def test_what_came_first_is_forgotten_first() -> None:
    memory = _Memory(2, 10_000)
    for text in ("a", "b", "c"):
        memory.put(text, ())

    assert list(memory.answers) == ["b", "c"]


def many(item: str, count: int) -> str:
    return ", ".join([item] * count)


LONG = " AND ".join(f"x.column_{number} = 1" for number in range(9))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"{LONG} IN ({many('%s', 2)})", f"{LONG} IN (%s)"),
        (f"{LONG} IN ({many('%s', 3_000)}) AND y IN ({many('%s', 7)}) z", f"{LONG} IN (%s) AND y IN (%s) z"),
        (f"{LONG} VALUES {many('(%s, %s)', 40)} RETURNING id", f"{LONG} VALUES (%s) RETURNING id"),
        (f"{LONG} VALUES {many('(%s, %s)', 4)}, (%s, status)", f"{LONG} VALUES (%s), (%s, status)"),
        (f"{LONG} VALUES (%s, %s), (status) x (%s, %s)", f"{LONG} VALUES (%s), (status) x (%s)"),
        (f"{LONG} VALUES (%s, %s), (%s, 1), (%s, %s)", f"{LONG} VALUES (%s), (%s, 1), (%s)"),
        (f"{LONG} (%s, 1), (%s, NULL), (%s, %%)", f"{LONG} (%s, 1), (%s, NULL), (%s, %%)"),
        (f"{LONG} (%s, status, %s), (%s, %s", f"{LONG} (%s, status, %s), (%s, %s"),
        (f"{LONG} (%s), (%s)", f"{LONG} (%s)"),
        (f"{LONG} (%s), (%s), (status)", f"{LONG} (%s), (status)"),
        (f"{LONG} (%s) (%s), %s)", f"{LONG} (%s) (%s), %s)"),
    ],
)
def test_lists_of_placeholders_are_left_out_and_nothing_else(text: str, left: str) -> None:
    assert _abridged(text) == left


def test_texts_that_differ_in_the_lengths_of_lists_are_told_alike() -> None:
    attributor = Attributor(WATCH, "postgresql")
    for number in range(2, 400):
        assert attributor.touches(f"SELECT id FROM chapter WHERE {LONG} IN ({many('%s', number)})") == ()
        assert attributor.touches(f"SELECT status FROM book WHERE {LONG} IN ({many('%s', number)})") != ()

    assert remembered(attributor) < 10


@pytest.mark.parametrize("name", ["a(%s, %s)", "x, y", "%s"])
def test_lists_stay_where_a_slated_name_may_be_one(name: str) -> None:
    quoted = name.replace("%", "%%")
    for table, column in (("book", name), (name, "status")):
        attributor = Attributor(WatchList(1, (Watched(table, column, ()),)), "sqlite")
        sql = f'SELECT "{column}" FROM "{table}" WHERE {LONG}'.replace(name, quoted)
        assert attributor.touches(sql) != ()
        assert attributor.touches(sql.replace(quoted, name)) != ()


def test_what_is_known_to_be_clear_is_bounded() -> None:
    attributor = Attributor(WATCH, "sqlite")
    for size in range(CLEAR + 200):
        for _ in range(3):
            attributor.touches(f"SELECT {'x' * size}")

    held = [text for text in attributor.clear if text is not None]
    assert 200 < len(held) <= len(attributor.clear) == CLEAR + 1
    assert sum(map(len, held)) < 600_000
    # What is forgotten is not held here either.
    assert all(text in attributor.untouched for text in held)


@pytest.mark.parametrize(
    "sql", ['SAVEPOINT "s1_x2"', 'RELEASE SAVEPOINT "s1_x2"', "SELECT 1 FROM book WHERE x = '" + "y" * 30_000 + "'"]
)
def test_savepoints_and_very_long_texts_are_not_remembered(sql: str) -> None:
    attributor = Attributor(WATCH, "sqlite")
    attributor.touches(sql)

    assert attributor._texts.answers == {}


def test_a_statement_behind_a_savepoint_is_read() -> None:
    assert Attributor(WATCH, "sqlite").touches("SAVEPOINT x; SELECT status FROM book") != ()


@pytest.mark.parametrize(
    ("vendor", "one", "other"),
    [
        ("postgresql", "SELECT id FROM book WHERE x = 1", "SELECT id FROM book WHERE x = 22"),
        ("postgresql", "SELECT id FROM book WHERE x IN (1, 2)", "SELECT id FROM book WHERE x IN (3, 4, 5, 6)"),
        ("mysql", "SELECT id FROM book WHERE x = 'a'", "SELECT id FROM book WHERE x = 'b''c'"),
        ("sqlite", "INSERT INTO book (id) VALUES (1), (2)", "INSERT INTO book (id) VALUES (1), (2), (3)"),
    ],
)
def test_texts_that_differ_in_values_are_read_once(vendor: str, one: str, other: str) -> None:
    attributor = Attributor(WATCH, vendor)
    attributor.touches(one)
    attributor._read = None  # type: ignore[method-assign,assignment]

    assert attributor.touches(other) == ()


def test_what_a_literal_runs_is_not_remembered_without_it() -> None:
    attributor = Attributor(WATCH, "postgresql")
    attributor.touches("SELECT query_to_xml('SELECT 1 FROM book', true, true, '')")
    touches = attributor.touches("SELECT query_to_xml('SELECT 1 FROM book, author', true, true, '')")

    assert {touch.watched.table for touch in touches} == {"author", "book"}


@pytest.mark.parametrize(
    ("vendor", "one", "other"),
    [
        # Each pair differs only where a mask might hide the difference.
        ("mysql", "SELECT 1a FROM book", "SELECT 2a FROM book"),
        ("postgresql", "SELECT 1 status FROM chapter, book", "SELECT  status FROM chapter, book"),
        ("sqlite", "SELECT 'x'.'status' FROM chapter 'x', book 'y'", "SELECT 'y'.'status' FROM chapter 'x', book 'y'"),
        ("postgresql", 'SELECT "a 1" FROM book', 'SELECT "a 2" FROM book'),
        ("postgresql", "SELECT 'a', id FROM book", "SELECT E'a\\', status FROM book --'"),
    ],
)
def test_what_was_read_of_one_text_is_not_told_of_another(vendor: str, one: str, other: str) -> None:
    watch = WatchList(1, tuple(Watched("book", column, ()) for column in ("status", "1a", "a 1")))
    attributor = Attributor(watch, vendor)
    attributor.touches(one)

    assert attributor.touches(other) == Attributor(watch, vendor).touches(other)
    assert attributor.touches(one) == Attributor(watch, vendor).touches(one)


def test_threads_get_the_same_answers_while_the_memory_turns_over() -> None:
    attributor = Attributor(WATCH, "sqlite", max_entries=20)
    texts = [f"SELECT {'status' if number % 3 else 'id'}, a{number} FROM book" for number in range(60)]
    expected = [Attributor(WATCH, "sqlite").touches(text) for text in texts]
    wrong: list[str] = []

    def work() -> None:
        for _ in range(30):
            wrong.extend(
                text for text, answer in zip(texts, expected, strict=True) if attributor.touches(text) != answer
            )

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert remembered(attributor) <= 20


def test_a_text_too_large_for_the_memory_is_not_kept() -> None:
    memory = _Memory(10, 600)
    memory.put("x" * 600, ())

    assert memory.answers == {}


def test_no_parser_is_imported() -> None:
    code = (
        "import sys; from guard.attribution import *; "
        "Attributor(WatchList(1, (Watched('book', 'status', ()),)), 'sqlite').touches('SELECT x.status FROM book x'); "
        "print('sqlglot' in sys.modules or 'sqlparse' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
