"""The past in the ledger: folded in short transactions, by several at once, and never counted twice or lost."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from django.db import DatabaseError

from guard.ledger import orders, retention
from guard.ledger.rows import Instance, InstanceKind, InstanceState, Sighting
from guard.ledger.store import Ledger
from guard.ledger.tables import Conflict
from tests.integration.ledger.harness import LEASE, NEW, OLD, Place, glimpse, registration, together

DAY = 86_400.0
WEEK = 7 * DAY
LOST_GRACE = 86_400.0


def age(ledger: Ledger, days: float, *ids: str) -> None:
    """As if what these instances did had been so many days earlier."""
    for id in ids:
        for column in ("registered_at", "renewed_at", "expires_at", "ended_at"):
            ledger.update("instance", {}, "id = %s", [id], raw={column: f"{column} - {days * DAY}"})


def age_sightings(ledger: Ledger, days: float) -> None:
    for column in ("first_at", "last_at"):
        ledger.update("sighting", {}, "folded = 0", [], raw={column: f"{column} - {days * DAY}"})


def fold(ledger: Ledger, *, lost_grace: float = LOST_GRACE) -> int:
    return retention.fold(ledger, lost_grace=lost_grace, seconds=600.0)


def by_id(ledger: Ledger) -> dict[str, Instance]:
    return {instance.id: instance for instance in ledger.instances()}


def totals(ledger: Ledger) -> list[Instance]:
    return [instance for instance in ledger.instances() if instance.folded]


def many(ledger: Ledger, count: int, *, days: float, prefix: str = "x") -> list[str]:
    """Instances of one release that went so many days ago, and a few more that do not differ but in their times."""
    ids = [f"{prefix}{number}" for number in range(count)]
    for id in ids:
        ledger.register(registration(id, host="h"), OLD, lease=LEASE)
        ledger.leave(id)
    age(ledger, days, *ids)
    return ids


def test_instances_that_went_a_week_ago_fold_into_a_total_per_release_and_workload(each: Place) -> None:
    with each.ledger() as ledger:
        many(ledger, 3, days=8)
        many(ledger, 1, days=20, prefix="y")
        ledger.register(registration("mail", workload="mail"), OLD, lease=LEASE)
        ledger.leave("mail")
        age(ledger, 9, "mail")
        many(ledger, 1, days=6, prefix="recent")
        ledger.register(registration("live"), OLD, lease=LEASE)
        before = by_id(ledger)

        assert fold(ledger) == 5

        after = by_id(ledger)
        assert {id for id in after if not after[id].folded} == {"recent0", "live"}
        assert Counter({i.workload: i.folded for i in totals(ledger)}) == {"web": 4, "mail": 1}
        (web,) = [i for i in totals(ledger) if i.workload == "web"]
        assert web.state is InstanceState.GONE
        assert web.first_registered_at == before["y0"].registered_at
        assert web.registered_at == before["x2"].registered_at
        assert web.ended_at == max(before[f"x{n}"].ended_at or 0 for n in range(3))
        assert (web.host, web.digest) == ("h", OLD.digest)
        assert fold(ledger) == 0


def test_what_is_folded_one_by_one_is_what_is_folded_at_once(each: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with each.ledger() as ledger:
        for number in range(6):
            many(ledger, 1, days=8 + number * 3, prefix=f"n{number}")
        members = ledger.instances()
        monkeypatch.setattr(retention, "BATCH", 1)

        assert fold(ledger) == 6

        assert {i.id: i for i in ledger.instances()} == retention.totals(members)


def test_after_a_quarter_of_a_year_the_releases_of_one_footprint_are_one(each: Place) -> None:
    with each.ledger() as ledger:
        for release, footprint, days in (("r1", OLD, 100), ("r2", OLD, 95), ("r3", OLD, 20), ("r4", NEW, 99)):
            ledger.register(registration(release, release=release), footprint, lease=LEASE)
            ledger.leave(release)
            age(ledger, days, release)
        ledger.register(registration("lost", release="r1"), OLD, lease=LEASE)
        age(ledger, 100, "lost")
        before = by_id(ledger)

        # Each into its total, and of those all but one on.
        assert fold(ledger) == 5 + 4

        found = {(i.release, i.digest, i.state): i for i in ledger.instances()}
        earlier = found[retention.EARLIER, OLD.digest, InstanceState.GONE]
        assert {(release, digest): i.size for (release, digest, _), i in found.items() if i.state.value == "gone"} == {
            (retention.EARLIER, OLD.digest): 2,
            (retention.EARLIER, NEW.digest): 1,
            ("r3", OLD.digest): 1,
        }
        assert found[retention.EARLIER, OLD.digest, InstanceState.LIVE].lost(ledger.now())
        assert earlier.ended_at == before["r2"].ended_at
        assert earlier.first_registered_at == before["r1"].registered_at
        assert fold(ledger) == 0


def test_what_vanished_stays_lost_and_folds_later(each: Place) -> None:
    with each.ledger() as ledger:
        for id, days in (("a", 20.0), ("b", 29.0), ("c", 30.0)):
            ledger.register(registration(id), OLD, lease=LEASE)
            age(ledger, days, id)
        assert fold(ledger, lost_grace=60 * DAY) == 0

        assert fold(ledger) == 2

        (total,) = totals(ledger)
        now = ledger.now()
        assert (total.size, total.state, total.lost(now)) == (2, InstanceState.LIVE, True)
        assert by_id(ledger)["a"].lost(now)


def test_a_total_that_was_forgotten_is_lost_again_where_another_is_counted_in(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        age(ledger, 30, "a")
        fold(ledger)
        (total,) = totals(ledger)
        ledger.update("instance", {"state": "gone"}, "id = %s", [total.id], raw={"ended_at": "expires_at"})
        ledger.register(registration("b"), OLD, lease=LEASE)
        age(ledger, 29, "b")
        fold(ledger)

        (after,) = totals(ledger)
        assert (after.id, after.size, after.state, after.ended_at) == (total.id, 2, InstanceState.LIVE, None)


def test_one_that_was_folded_and_comes_back_registers_anew(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        age(ledger, 30, "a")
        fold(ledger)
        assert ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=1) is None
        ledger.register(registration("a"), OLD, lease=LEASE)

        assert by_id(ledger)["a"].live(ledger.now())
        assert [i.size for i in totals(ledger)] == [1]


def seen(ledger: Ledger) -> dict[int, int]:
    """How many touches there were in all, by how many kinds of statement a row stands for."""
    found: Counter[int] = Counter()
    for sighting in ledger.sightings("shop_item", "old"):
        found[sighting.folded] += sighting.count
    return dict(found)


def flush(ledger: Ledger, id: str, number: int, *sites: str, count: int = 1) -> None:
    glimpses = [glimpse(call_site=site, count=count) for site in sites]
    assert ledger.beat(id, lease=LEASE, watched_epoch=0, flush_no=number, glimpses=glimpses) is not None


def test_sightings_of_a_week_ago_fold_into_their_day(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        ledger.register(registration("b", workload="mail"), OLD, lease=LEASE)
        flush(ledger, "a", 1, "one", "two", "three", count=5)
        flush(ledger, "b", 1, "one", count=7)
        age_sightings(ledger, 8)
        before = {s.last_at for s in ledger.sightings("shop_item", "old") if s.workload == "web"}
        flush(ledger, "a", 2, "four")

        assert fold(ledger) == 4

        found = ledger.sightings("shop_item", "old")
        assert {(s.workload, s.call_site, s.folded): s.count for s in found} == {
            ("web", "four", 0): 1,
            ("web", "", 3): 15,
            ("mail", "", 1): 7,
        }
        (day,) = [s for s in found if s.folded == 3]
        assert (day.shape, day.access, day.digest) == ("", "read", OLD.digest)
        assert day.last_at == max(before)

        age_sightings(ledger, 8)
        fold(ledger)
        assert sum(s.count for s in ledger.sightings("shop_item", "old") if s.workload == "web") == 16


def test_another_day_is_another_row(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        for number, days in ((1, 10), (2, 12), (3, 14)):
            flush(ledger, "a", number, f"site {number}")
            age_sightings(ledger, days)
            fold(ledger)

        days_ago = sorted(
            round((ledger.now() - s.last_at) / DAY) for s in ledger.sightings("shop_item", "old") if s.folded
        )
        assert days_ago == [10, 12, 14]


def test_several_that_fold_at_once_while_processes_flush_count_each_touch_once(
    each: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 7)
    sites = [f"site {number}" for number in range(30)]
    rounds = 12
    over = threading.Event()
    with each.ledger() as ledger:
        for id in ("a", "b"):
            ledger.register(registration(id), OLD, lease=LEASE)
        many(ledger, 40, days=8)

    def process(id: str) -> None:
        with each.ledger() as ledger:
            number = 1
            while number <= rounds:
                try:
                    flush(ledger, id, number, *sites)
                    # And once more, because the answer was lost.
                    flush(ledger, id, number, *sites)
                except DatabaseError:
                    # A deadlock: the batch goes again under its number, as the runtime does it.
                    continue
                number += 1

    def old() -> None:
        """All that is there becomes old at once, again and again."""
        with each.ledger() as ledger:
            while not over.wait(0.02):
                try:
                    age_sightings(ledger, 8)
                except DatabaseError:
                    continue

    def folder() -> int:
        done = 0
        with each.ledger() as ledger:
            while True:
                ending = over.is_set()
                try:
                    done += fold(ledger)
                except (DatabaseError, Conflict):
                    continue
                if ending:
                    return done
                over.wait(0.005)

    def both() -> None:
        try:
            together([lambda: process("a"), lambda: process("b")])
        finally:
            over.set()

    together([both, old, folder, folder])
    with each.ledger() as ledger:
        age_sightings(ledger, 8)
        fold(ledger)
        counted = each.query(
            "SELECT SUM(t.n) FROM (SELECT `count` AS n FROM guard_sighting) AS t".replace(
                "`", "`" if each.vendor == "mariadb" else '"'
            )
        )
        assert counted == [(2 * rounds * len(sites),)]
        assert sum(i.size for i in totals(ledger)) == 40
        assert len(by_id(ledger)) == 2 + len(totals(ledger))


def test_what_is_interrupted_halfway_has_not_happened(each: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with each.ledger() as ledger:
        many(ledger, 2, days=8)
        ledger.register(registration("a"), OLD, lease=LEASE)
        flush(ledger, "a", 1, "one", "two")
        age_sightings(ledger, 8)
        before = (by_id(ledger), seen(ledger))

    def fails(*args: object) -> None:
        raise DatabaseError("the connection is gone")

    monkeypatch.setattr(Ledger, "delete", fails)
    with each.ledger() as ledger:
        with pytest.raises(DatabaseError):
            retention._fold_instances(ledger, LOST_GRACE)
        with pytest.raises(DatabaseError):
            retention._fold_sightings(ledger)
        assert (by_id(ledger), seen(ledger)) == before


def test_what_a_newer_guard_wrote_is_left_to_it(each: Place) -> None:
    with each.ledger() as ledger:
        (id,) = many(ledger, 1, days=8)
        ledger.update("instance", {"format": 99}, "id = %s", [id])
        ledger.register(registration("a"), NEW, lease=LEASE)
        flush(ledger, "a", 1, "one")
        age_sightings(ledger, 8)
        ledger.update("sighting", {"format": 99}, "folded = 0", [])

        assert fold(ledger) == 0


def test_the_log_is_kept_for_ever(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.record("aside", "shop_item.old", actor="a", release="r", details={})
        ledger.update("event", {"at": 1.0}, "id > %s", [0])
        fold(ledger)
        assert [entry[:2] for entry in orders.record_since(ledger, 0.0)] == [(1.0, "aside")]


def test_folding_ends_in_time(sqlite: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    with sqlite.ledger() as ledger:
        many(ledger, 5, days=8)
        ticks = iter(range(100))

        assert retention.fold(ledger, lost_grace=0.0, seconds=3.0, clock=lambda: float(next(ticks))) == 2


def test_a_day_counts_as_a_sighting_of_its_release(each: Place) -> None:
    """A verdict asks who touched it when; where is what only people ask."""
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        flush(ledger, "a", 1, "one")
        age_sightings(ledger, 8)
        (before,) = ledger.sightings("shop_item", "old")
        fold(ledger)
        (after,) = ledger.sightings("shop_item", "old")

    def facts(s: Sighting) -> tuple[object, ...]:
        return (s.table, s.column, s.access, s.release, s.digest, s.workload, s.star, s.count, s.last_at)

    assert facts(after) == facts(before)


def test_a_workload_that_was_forgotten_and_has_run_since_is_waited_for_again(each: Place) -> None:
    def ran(ledger: Ledger, id: str, days: float) -> None:
        command = registration(id, kind=InstanceKind.COMMAND, workload="command:report", recurring=True)
        ledger.register(command, OLD, lease=LEASE)
        ledger.leave(id)
        age(ledger, days, id)

    with each.ledger() as ledger:
        ran(ledger, "first", 20)
        fold(ledger)
        assert orders.forget_workload(ledger, "command:report") == 1
        assert [total.recurring for total in totals(ledger)] == [False]
        ran(ledger, "second", 8)
        fold(ledger)
        assert [(total.recurring, total.folded) for total in totals(ledger)] == [(True, 2)]


def test_who_was_refused_when_it_vanished_stays_so_when_it_is_forgotten(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a", kind=InstanceKind.WORKER, workload="celery:mail"), NEW, lease=LEASE)
        orders.refuse(ledger, ["a"])
        age(ledger, 40, "a")
        fold(ledger)
        (total,) = totals(ledger)
        assert total.refused
        assert orders.forget_instances(ledger, [total.id]) == 1
        (total,) = totals(ledger)
        assert (total.state, total.refused) == (InstanceState.GONE, True)
