"""The buffer: what it adds up, what it keeps until the ledger has it, and where it ends."""

from __future__ import annotations

import threading
import tracemalloc

import pytest

from guard.attribution.watchlist import Access, Touch, Watched
from guard.runtime import grumble, sightings
from guard.runtime.sightings import Meaning, Sightings

OLD = Watched("stock_item", "old", (("stock", "0002"),))
OTHER = Watched("stock_item", "other", (("stock", "0003"),))
READ = Touch(OLD, Access.READ, "name")
WRITE = Touch(OLD, Access.WRITE, "name")
SQL = 'SELECT "stock_item"."old" FROM "stock_item" WHERE "stock_item"."id" = 7'


@pytest.fixture(autouse=True)
def _fresh_grumbles() -> None:
    grumble._last.clear()


def expected(watched: Watched) -> Meaning:
    return Meaning("stock.0002", stale=False)


def stale(watched: Watched) -> Meaning:
    return Meaning("stock.0002", stale=True)


def test_the_same_touch_is_counted_and_not_kept_twice() -> None:
    buffer = Sightings()
    for _ in range(3):
        buffer.add(SQL, (READ,), "shop/views.py:1 in view", "items/", expected)
    (glimpse,) = buffer.batch().glimpses(now=1e12)
    assert glimpse.count == 3
    assert (glimpse.table, glimpse.column, glimpse.access) == ("stock_item", "old", Access.READ)
    assert (glimpse.call_site, glimpse.route) == ("shop/views.py:1 in view", "items/")
    assert (glimpse.migration, glimpse.stale) == ("stock.0002", False)


def test_statements_that_differ_in_literals_are_one_kind() -> None:
    buffer = Sightings()
    for number in range(5):
        buffer.add(SQL.replace("7", str(number)), (READ,), "", "", expected)
    (glimpse,) = buffer.batch().glimpses(0.0)
    assert glimpse.count == 5
    assert "7" not in glimpse.shape


@pytest.mark.parametrize(
    "other",
    [
        {"touches": (WRITE,)},
        {"touches": (Touch(OTHER, Access.READ, "name"),)},
        {"call_site": "b.py:2 in other"},
        {"route": "other/"},
        {"sql": SQL.replace("WHERE", "WHERE NOT")},
    ],
    ids=["access", "column", "call site", "route", "shape"],
)
def test_what_tells_kinds_apart(other: dict[str, object]) -> None:
    buffer = Sightings()
    usual: dict[str, object] = {"sql": SQL, "touches": (READ,), "call_site": "a.py:1 in view", "route": "items/"}
    for arguments in (usual, usual | other):
        buffer.add(**arguments, meaning=expected)  # type: ignore[arg-type]
    assert len(buffer) == 2


def test_a_text_that_means_something_else_under_a_new_watch_list_is_counted_for_what_it_touches_now() -> None:
    buffer = Sightings()
    buffer.add(SQL, (READ,), "", "", expected)
    buffer.add(SQL, (READ, Touch(OTHER, Access.READ, "star", star=True)), "", "", expected)
    assert sorted((g.column, g.count) for g in buffer.batch().glimpses(0.0)) == [("old", 2), ("other", 1)]


def test_a_batch_goes_under_its_number_until_the_ledger_has_it() -> None:
    buffer = Sightings()
    assert buffer.batch().number == 0
    buffer.add(SQL, (READ,), "", "", expected)
    first = buffer.batch()
    buffer.add(SQL, (READ,), "", "", expected)
    again = buffer.batch()
    assert again is first
    assert (again.number, [entry.count for entry in again.entries]) == (1, [1])

    buffer.flushed(first)
    second = buffer.batch()
    assert (second.number, [entry.count for entry in second.entries]) == (2, [1])
    buffer.flushed(second)
    assert buffer.batch().entries == ()
    assert buffer.batch().number == 2


def test_an_answer_to_an_older_batch_does_not_end_the_present_one() -> None:
    buffer = Sightings()
    buffer.add(SQL, (READ,), "", "", expected)
    first = buffer.batch()
    buffer.flushed(first)
    buffer.add(SQL, (WRITE,), "", "", expected)
    second = buffer.batch()
    buffer.flushed(first)
    assert buffer.batch() is second


def test_ages_are_measured_when_it_is_sent() -> None:
    buffer = Sightings()
    buffer.add(SQL, (READ,), "", "", expected)
    batch = buffer.batch()
    at = batch.entries[0].first
    now = at + 40.0
    # Not always 40.0: the clock has run for as long as the machine, and a sum is rounded.
    age = now - at
    (glimpse,) = batch.glimpses(now)
    assert (glimpse.first_age, glimpse.last_age) == (age, age)


def test_news_are_the_first_stale_touch_of_a_kind() -> None:
    buffer = Sightings()
    assert not buffer.add(SQL, (READ,), "", "", expected)
    assert buffer.add(SQL, (WRITE,), "", "", stale)
    assert not buffer.add(SQL, (WRITE,), "", "", stale)
    assert buffer.add(SQL, (WRITE,), "elsewhere.py:1 in f", "", stale)


def test_a_buffer_that_is_half_full_asks_once_to_be_flushed() -> None:
    buffer = Sightings()
    asked = [
        buffer.add(SQL, (READ,), f"file.py:{number} in function", "", expected)
        for number in range(sightings.MAX_ENTRIES)
    ]
    assert asked.count(True) == 1


def test_it_is_bounded_and_still_says_what_was_touched(caplog: pytest.LogCaptureFixture) -> None:
    buffer = Sightings()
    texts = [f'SELECT "old" FROM "stock_item" WHERE name_{number} = 1 /* {"x" * 900} */' for number in range(50)]
    total = 20_000
    tracemalloc.start()
    try:
        for number in range(total):
            buffer.add(texts[number % 50], (READ,), f"file_{number}.py:1 in function", f"route/{number}/", expected)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert used < 700_000
    counted = {glimpse.call_site: glimpse.count for glimpse in buffer.batch().glimpses(0.0)}
    assert sum(counted.values()) == total
    assert counted[""] == buffer.coarse > 0
    assert buffer.dropped == 0
    assert len([record for record in caplog.records if "buffer" in record.message]) == 1


def test_unhashable_and_undecodable_statements_are_counted() -> None:
    buffer = Sightings()
    for sql in (["SELECT"], b"SELECT \xff", object(), None):
        buffer.add(sql, (READ,), "", "", expected)
    assert sum(glimpse.count for glimpse in buffer.batch().glimpses(0.0)) == 4


def test_a_shape_holds_no_literal_though_it_is_cut() -> None:
    sql = "SELECT old FROM stock_item WHERE name IN (" + ", ".join(f"'secret{i}'" for i in range(2_000)) + ")"
    buffer = Sightings()
    buffer.add(sql, (READ,), "", "", expected)
    (glimpse,) = buffer.batch().glimpses(0.0)
    assert "secret" not in glimpse.shape
    assert len(glimpse.shape) <= sightings.MAX_SHAPE


def test_threads_lose_no_count() -> None:
    buffer = Sightings()
    flushed = []

    def touch() -> None:
        for _ in range(2_000):
            buffer.add(SQL, (READ, WRITE), "a.py:1 in view", "", expected)

    threads = [threading.Thread(target=touch) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        batch = buffer.batch()
        flushed.extend(entry.count for entry in batch.entries)
        buffer.flushed(batch)
    for thread in threads:
        thread.join()
    flushed.extend(entry.count for entry in buffer.batch().entries)
    assert sum(flushed) == 4 * 2_000 * 2
