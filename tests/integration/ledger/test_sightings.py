"""Flushing: counted once, alerted once, whatever the texts and whoever flushes at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from django.db.utils import OperationalError

from guard.attribution.watchlist import Access
from guard.ledger import rows, store
from guard.ledger.rows import Sighting
from guard.ledger.store import Ledger
from sampleapp.stage import databases
from tests.integration.ledger.harness import (
    LEASE,
    NEW,
    OLD,
    Place,
    counted,
    glimpse,
    place,
    registration,
    together,
    waited_too_long,
)


def flush(ledger: Ledger, instance: str, number: int, *glimpses: rows.Glimpse) -> tuple[int, ...]:
    renewal = ledger.beat(instance, lease=LEASE, watched_epoch=0, flush_no=number, glimpses=glimpses)
    assert renewal is not None
    return renewal.first_seen


def flush_in_time(ledger: Ledger, instance: str, number: int, *glimpses: rows.Glimpse) -> tuple[int, ...]:
    """On a busy machine one waits longer than a beat may. It then sends the same batch again."""
    while True:
        try:
            return flush(ledger, instance, number, *glimpses)
        except OperationalError as error:
            if not waited_too_long(error):
                raise


def sightings(ledger: Ledger) -> tuple[Sighting, ...]:
    return ledger.sightings("shop_item", "old")


def test_a_sighting_has_what_the_glimpse_had_and_who_saw_it(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a", workload="mail"), OLD, lease=LEASE)
        before = ledger.now()
        flush(ledger, "a", 1, glimpse(access=Access.WRITE, star=True, count=3, first_age=60.0, last_age=30.0))
        after = ledger.now()
        (found,) = sightings(ledger)
    assert (found.table, found.column, found.access, found.star) == ("shop_item", "old", Access.WRITE, True)
    assert (found.release, found.digest, found.workload) == ("r1", OLD.digest, "mail")
    assert (found.call_site, found.route) == ("shop/views.py:1 in view", "items/")
    assert (found.shape, found.reason, found.count) == ("SELECT old FROM shop_item", "name", 3)
    assert before - 60 <= found.first_at <= after - 60
    assert before - 30 <= found.last_at <= after - 30


def test_flushes_add_up_and_keep_the_first_and_the_last_moment(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        ledger.register(registration("b"), OLD, lease=LEASE)
        flush(ledger, "a", 1, glimpse(count=2, first_age=10.0, last_age=5.0))
        # What waited for a ledger that was away comes late, and tells of an earlier moment.
        flush(ledger, "b", 1, glimpse(count=3, first_age=500.0, last_age=400.0))
        (found,) = sightings(ledger)
        now = ledger.now()
    assert found.count == 5
    assert now - found.first_at > 400
    assert now - found.last_at < 100


def test_the_same_sighting_twice_in_a_batch_is_one_row(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        flush(ledger, "a", 1, glimpse(count=2, first_age=9.0), glimpse(count=3, first_age=90.0))
        (found,) = sightings(ledger)
        assert found.count == 5
        assert ledger.now() - found.first_at >= 90


def test_a_batch_sent_twice_is_counted_once_and_answered_the_same(each: Place) -> None:
    batch = (glimpse(), glimpse(stale=True, call_site="one"), glimpse(stale=True, call_site="two"))
    with each.ledger() as ledger:
        ledger.register(registration("a"), NEW, lease=LEASE)
        assert flush(ledger, "a", 1, *batch) == (1, 2)
        assert flush(ledger, "a", 1, *batch) == (1, 2)
        assert {s.count for s in sightings(ledger)} == {1}
        assert flush(ledger, "a", 2, *batch) == ()
        assert {s.count for s in sightings(ledger)} == {2}


def test_the_fleet_hears_of_a_stale_touch_once(each: Place) -> None:
    read, write = glimpse(stale=True), glimpse(stale=True, access=Access.WRITE, shape="UPDATE")
    with each.ledger() as ledger:
        for name in ("a", "b"):
            ledger.register(registration(name), NEW, lease=LEASE)
        # By column and call site: the write at the same place is no news.
        assert flush(ledger, "a", 1, glimpse(), read, write) == (1,)
        assert flush(ledger, "b", 1, read) == ()
        assert flush(ledger, "b", 2, glimpse(stale=True, column="other")) == (0,)


def test_two_processes_that_flush_the_same_stale_touch_at_once_alert_once(server: Place) -> None:
    with server.ledger() as ledger:
        for name in ("a", "b"):
            ledger.register(registration(name), NEW, lease=LEASE)
    barrier = threading.Barrier(2)

    def beat(name: str) -> list[tuple[int, ...]]:
        with server.ledger() as ledger:
            answers = []
            for number in range(1, 21):
                barrier.wait(60)
                answers.append(flush_in_time(ledger, name, number, glimpse(stale=True, call_site=f"site {number}")))
            return answers

    one, two = together([partial(beat, "a"), partial(beat, "b")])
    assert [sorted((mine, theirs)) for mine, theirs in zip(one, two, strict=True)] == [[(), (0,)]] * 20


def test_processes_that_flush_the_same_touches_at_once_never_deadlock(server: Place) -> None:
    processes, rounds, kinds = 4, 8, 60
    names = [f"p{number}" for number in range(processes)]
    with server.ledger() as ledger:
        for name in names:
            ledger.register(registration(name), NEW, lease=LEASE)
    barrier = threading.Barrier(processes)

    def beats(place: int) -> None:
        # Each has them in another order, as a buffer does.
        batch = [glimpse(call_site=f"site {n}", stale=n % 2 == 0) for n in range(kinds)]
        batch = batch[place * 7 :] + batch[: place * 7]
        with server.ledger() as ledger:
            for number in range(1, rounds + 1):
                barrier.wait(60)
                fresh = [glimpse(call_site=f"round {number} site {n}", stale=True) for n in range(kinds)]
                touches = [*batch, *(fresh if place % 2 else reversed(fresh))]
                flush_in_time(ledger, names[place], number, *touches)

    together([partial(beats, place) for place in range(processes)])
    with server.ledger() as ledger:
        found = ledger.select("sighting", ["count"], "count > %s", [0])
    assert len(found) == kinds * (rounds + 1)
    assert sum(count for (count,) in found) == processes * rounds * 2 * kinds


def test_hundreds_of_touches_take_few_statements(each: Place) -> None:
    batch = [glimpse(call_site=f"site {n}", stale=n % 2 == 0) for n in range(500)]
    with each.ledger() as ledger:
        ledger.register(registration("a"), NEW, lease=LEASE)
        with counted(ledger.connection) as statements:
            assert len(flush(ledger, "a", 1, *batch)) == 250
        assert len(ledger.select("sighting", ["count"], "count = %s", [1])) == 500
    assert len(statements) <= 25, len(statements)


AWKWARD = {
    "quotes": 'it\'s a "table" with `ticks` and %s and %(name)s and \\ and {braces}',
    "long": "SELECT " + "x, " * 3_333,
    "accents": "приказы é ß 表",
    "emoji": "SELECT 🐘 FROM 🦭",
    "nul": "SELECT '\0' FROM t\0",
    "half a surrogate pair": "file \udcff.py",
    "line breaks": "SELECT\n\t1\r\n",
}


@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD)
def test_every_text_can_be_flushed(each: Place, text: str) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), NEW, lease=LEASE)
        batch = (glimpse(shape=text, call_site=text, route=text, reason=text, stale=True), glimpse(shape="plain"))
        assert flush(ledger, "a", 1, *batch) == (0,)
        found = {s.shape: s for s in sightings(ledger)}
        assert flush(ledger, "a", 2, *batch) == ()
        assert {s.count for s in sightings(ledger)} == {2}
    said = text.replace("\0", "\\0").replace("\udcff", "\\udcff")
    assert set(found) == {said, "plain"}
    assert (found[said].call_site, found[said].reason) == (said[:500], said[:200])


def test_of_many_touches_the_latest_of_each_kind_are_read(each: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SIGHTINGS_OF_A_KIND", 3)
    with each.ledger() as ledger:
        ledger.register(registration("a"), NEW, lease=LEASE)
        ledger.register(registration("b", release="r2", workload="mail"), OLD, lease=LEASE)
        for age in range(20):
            # Stars are the latest, and must not hide the others.
            star = glimpse(call_site=f"star {age}", star=True, last_age=age)
            flush(ledger, "a", age + 1, star, glimpse(call_site=f"name {age}", last_age=1000 + age))
        flush(ledger, "a", 30, glimpse(access=Access.WRITE, last_age=5000.0))
        flush(ledger, "b", 1, glimpse(last_age=9000.0))
        found = [(s.release, s.access.value, s.call_site) for s in sightings(ledger)]
    there = "shop/views.py:1 in view"
    assert found == [
        *(("r1", "read", f"star {n}") for n in range(3)),
        *(("r1", "read", f"name {n}") for n in range(3)),
        ("r1", "write", there),
        ("r2", "read", there),
    ]


def test_names_with_quotes_and_accents_are_found_again(each: Place) -> None:
    table, column = 'Größe"."it\'s`%s', "naïve %"
    with each.ledger() as ledger:
        ledger.register(registration("a"), NEW, lease=LEASE)
        flush(ledger, "a", 1, glimpse(table=table, column=column))
        (found,) = ledger.sightings(table, column)
    assert (found.table, found.column) == (table, column)


@pytest.fixture(params=["postgres", "mariadb"])
def narrow(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A ledger in a database whose own character set has neither Cyrillic nor emoji."""
    vendor = request.param
    # Where the server is away, `server` has said so.
    request.getfixturevalue("postgres" if vendor == "postgres" else "mariadb")
    database = databases.create(vendor, tmp_path)
    if vendor == "postgres":
        database.drop()
        database._on_server(
            f"CREATE DATABASE {database.name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    else:
        database.query(f"ALTER DATABASE {database.name} CHARACTER SET latin1")
    with place(vendor, tmp_path, database) as found:
        yield found


def test_a_text_that_the_database_cannot_store_is_spelled_out_and_flushed(narrow: Place) -> None:
    with narrow.ledger() as ledger:
        ledger.register(registration("a", workload="почта"), NEW, lease=LEASE)
        flush(ledger, "a", 1, glimpse(shape="SELECT 🐘"), glimpse(shape="café", call_site="x"))
        found = {s.shape: s.count for s in sightings(ledger)}
        assert found == {"SELECT \\U0001f418": 1, "caf\\xe9": 1}
        assert flush(ledger, "a", 1, glimpse(shape="SELECT 🐘")) == ()
        assert {s.shape: s.count for s in sightings(ledger)} == found
        (instance,) = ledger.instances()
    assert instance.workload == "\\u043f\\u043e\\u0447\\u0442\\u0430"


def test_a_flush_that_fails_counts_nothing_and_renews_nothing(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), NEW, lease=LEASE)
        before = ledger.instances()
        # No vendor has an integer so large: the last row of the batch cannot be stored.
        with pytest.raises(Exception, match=r"(?i)range|too large|int"):
            flush(ledger, "a", 1, glimpse(), glimpse(count=10**30, call_site="x"))
        assert (ledger.instances(), sightings(ledger)) == (before, ())
        flush(ledger, "a", 1, glimpse())
        assert [s.count for s in sightings(ledger)] == [1]
