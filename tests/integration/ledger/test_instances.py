"""Registering, renewing, being looked at again and leaving."""

from __future__ import annotations

import time

import pytest

from guard.attribution.watchlist import Watched
from guard.ledger import orders, store
from guard.ledger.rows import Instance, InstanceKind, InstanceState, StepState
from guard.ledger.store import Ledger
from tests.integration.ledger.harness import (
    LEASE,
    NEW,
    OLD,
    Place,
    counted,
    glimpse,
    registration,
    step,
    turned,
)


def only(ledger: Ledger) -> Instance:
    (found,) = ledger.instances()
    return found


def test_registering_stores_who_and_what_with_the_databases_clock(each: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with each.ledger() as ledger:
        before = ledger.now()
        admission = ledger.register(
            registration("a", workload="mail", kind=InstanceKind.WORKER, recurring=True, host="h", pid=7),
            OLD,
            lease=LEASE,
        )
        found, after = only(ledger), ledger.now()
        stored = ledger.footprints()
    assert admission.state is InstanceState.LIVE
    assert (found.id, found.release, found.workload, found.kind) == ("a", "r1", "mail", InstanceKind.WORKER)
    assert (found.recurring, found.host, found.pid, found.digest) == (True, "h", 7, OLD.digest)
    assert before <= found.registered_at <= after
    assert before + LEASE <= found.expires_at <= after + LEASE
    assert found.live(after)
    assert stored == {OLD.digest: OLD}


def test_a_beat_renews_the_lease_and_tells_the_epoch(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        before = only(ledger)
        slated = ledger.slate(step())
        renewal = ledger.beat("a", lease=2 * LEASE, watched_epoch=0, flush_no=0)
        after = only(ledger)
    assert renewal is not None
    assert (renewal.state, renewal.first_seen) == (InstanceState.LIVE, ())
    assert renewal.epoch == slated.slatings == 1
    assert after.expires_at >= before.expires_at + LEASE
    assert (after.watched_epoch, after.flushed_epoch) == (0, 0)


def test_a_lease_that_has_run_out_cannot_be_renewed(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=-1.0)
        before = only(ledger)
        assert ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=0) is None
        assert ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=1, glimpses=[glimpse()]) is None
        assert only(ledger) == before
        assert ledger.sightings("shop_item", "old") == ()


def test_an_instance_without_a_row_cannot_be_renewed(each: Place) -> None:
    with each.ledger() as ledger:
        assert ledger.beat("never", lease=LEASE, watched_epoch=0, flush_no=0) is None
        assert ledger.beat("never", lease=LEASE, watched_epoch=0, flush_no=1, glimpses=[glimpse()]) is None


def test_who_has_left_cannot_be_renewed_and_may_register_again(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        ledger.leave("a")
        gone = only(ledger)
        ledger.leave("a")
        assert only(ledger) == gone
        assert gone.state is InstanceState.GONE
        assert gone.ended_at is not None
        assert ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=0) is None
        ledger.register(registration("a"), OLD, lease=LEASE)
        again = only(ledger)
    assert (again.state, again.ended_at) == (InstanceState.LIVE, None)
    assert again.registered_at == gone.registered_at


def test_registering_again_keeps_the_number_of_the_last_flush(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        ledger.beat("a", lease=-1.0, watched_epoch=0, flush_no=1, glimpses=[glimpse()])
        ledger.register(registration("a"), OLD, lease=LEASE, unflushed=True)
        ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=1, glimpses=[glimpse()])
        assert [s.count for s in ledger.sightings("shop_item", "old")] == [1]
        ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=2, glimpses=[glimpse()])
        assert [s.count for s in ledger.sightings("shop_item", "old")] == [2]


def test_who_registers_with_an_empty_buffer_counts_as_having_flushed(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.slate(step())
        admission = ledger.register(registration("a"), OLD, lease=LEASE)
        found = only(ledger)
    assert admission.watch.entries == (Watched("shop_item", "old", (("shop", "0002_remove_old"),)),)
    assert (found.watched_epoch, found.flushed_epoch) == (admission.watch.epoch, admission.watch.epoch)


def test_who_registers_with_sightings_in_hand_has_not_flushed_before_the_next_beat(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.slate(step())
        epoch = ledger.register(registration("a"), OLD, lease=LEASE, unflushed=True).watch.epoch
        assert only(ledger).flushed_epoch not in (0, epoch)
        ledger.beat("a", lease=LEASE, watched_epoch=epoch, flush_no=1, glimpses=[glimpse()])
        assert only(ledger).flushed_epoch == epoch


def test_an_empty_ledgers_epoch_is_not_flushed_either_by_who_has_sightings_in_hand(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE, unflushed=True)
        assert only(ledger).flushed_epoch != ledger.epoch()


@pytest.mark.parametrize("state", [StepState.SEALED, StepState.ASIDE, StepState.DONE])
def test_who_declares_what_is_taken_is_refused_until_it_is_back(each: Place, state: StepState) -> None:
    with each.ledger() as ledger:
        taken = turned(ledger, ledger.slate(step()), state)
        refused = ledger.register(registration("a"), OLD, lease=LEASE)
        admitted = ledger.register(registration("b"), NEW, lease=LEASE)
        assert (refused.state, admitted.state) == (InstanceState.REFUSED, InstanceState.LIVE)
        assert [refusal.step.target for refusal in refused.refusals] == ["shop_item.old"]
        renewal = ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=0)
        assert renewal is not None
        assert renewal.state is InstanceState.REFUSED
        assert ledger.readmit("a", OLD, lease=LEASE).state is InstanceState.REFUSED
        turned(ledger, taken, StepState.WAITING)
        lifted = ledger.readmit("a", OLD, lease=LEASE)
        assert (lifted.state, lifted.refusals) == (InstanceState.LIVE, ())
        assert ledger.refusals(OLD) == ()


def test_being_looked_at_again_is_no_flush(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        ledger.slate(step())
        epoch = ledger.readmit("a", OLD, lease=LEASE).watch.epoch
        found = only(ledger)
    assert (found.watched_epoch, found.flushed_epoch) == (epoch, 0)


def test_who_has_no_row_or_has_left_is_not_looked_at_again(each: Place) -> None:
    with each.ledger() as ledger:
        with pytest.raises(store.InstanceMissing):
            ledger.readmit("a", OLD, lease=LEASE)
        ledger.register(registration("a"), OLD, lease=LEASE)
        ledger.leave("a")
        with pytest.raises(store.InstanceMissing):
            ledger.readmit("a", OLD, lease=LEASE)
        assert only(ledger).state is InstanceState.GONE


def test_a_beat_with_nothing_to_flush_is_one_statement(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        ledger.slate(step())
        with counted(ledger.connection) as statements:
            ledger.beat("a", lease=LEASE, watched_epoch=1, flush_no=0)
    assert len(statements) == 1, statements


def test_registering_is_a_handful_of_statements_and_sends_a_known_footprint_once(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        with counted(ledger.connection) as statements:
            ledger.register(registration("b"), OLD, lease=LEASE)
    assert len(statements) <= 7, statements
    assert not any("INSERT" in sql and "footprint" in sql for sql in statements)


def test_a_beat_is_one_round_trip(postgres: Place, tmp_path: object) -> None:
    psycopg = pytest.importorskip("psycopg")
    with postgres.ledger() as ledger, open(f"{tmp_path}/trace", "w+b") as trace:
        ledger.register(registration("a"), OLD, lease=LEASE)
        raw = ledger.connection.connection
        assert isinstance(raw, psycopg.Connection)
        try:
            raw.pgconn.trace(trace.fileno())
        except psycopg.NotSupportedError as error:
            pytest.skip(f"this libpq does not trace: {error}")
        ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=0)
        raw.pgconn.untrace()
        trace.seek(0)
        said = trace.read().decode(errors="replace")
    # Each time the server is ready for more, one round trip has ended.
    assert said.count("ReadyForQuery") == 1, said


def test_renewals_stay_heap_only(postgres: Place) -> None:
    # While the server analyses another table, it keeps every version of this one's rows: then once more.
    share = 0.0
    for _ in range(10):
        share = max(share, _heap_only(postgres, instances=150, beats=10))
        if share >= 0.97:
            return
    pytest.fail(f"{share:.1%} heap-only")


def _heap_only(place: Place, instances: int, beats: int) -> float:
    """The share of heap-only renewals, from the first one on."""
    place.wipe()
    place.query("VACUUM FULL guard_instance")
    with place.ledger() as ledger:
        for number in range(instances):
            ledger.register(registration(f"i{number}"), OLD, lease=LEASE)
        ids = [instance.id for instance in ledger.instances()]
        before = _updates(ledger)
        for _ in range(beats):
            for instance in ids:
                assert ledger.beat(instance, lease=LEASE, watched_epoch=0, flush_no=0)
        total, hot = (now - then for now, then in zip(_updates(ledger), before, strict=True))
    print(f"\n{total} renewals of {instances} instances: {hot / total:.1%} heap-only")
    assert total == instances * beats
    return hot / total


def _updates(ledger: Ledger) -> tuple[int, int]:
    ledger._fetch("SELECT pg_stat_force_next_flush()")
    ledger._fetch("SELECT pg_stat_clear_snapshot()")
    ((total, hot),) = ledger._fetch(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'guard_instance'"
    )
    return total, hot


def test_who_is_refused_when_it_leaves_is_known_to_have_been(each: Place) -> None:
    with each.ledger() as ledger:
        for id in ("refused", "live", "lost"):
            ledger.register(registration(id), OLD, lease=LEASE)
        orders.refuse(ledger, ["refused", "lost"])
        for id in ("refused", "live"):
            ledger.leave(id)
            ledger.leave(id)
        ledger.update("instance", {"expires_at": 1.0}, "id = %s", ["lost"])
        orders.forget_instances(ledger, ["lost"])

        found = {i.id: (i.state, i.refused) for i in ledger.instances()}
        assert found == {
            "refused": (InstanceState.GONE, True),
            "live": (InstanceState.GONE, False),
            "lost": (InstanceState.GONE, True),
        }
        ledger.register(registration("refused"), OLD, lease=LEASE)
        assert not {i.id: i.refused for i in ledger.instances()}["refused"]


def test_a_word_that_a_newer_guard_wrote_is_read_as_the_most_cautious_one(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        ledger.update("instance", {"state": "dreaming", "kind": "oracle", "format": 9}, "id = %s", ["a"])
        found = only(ledger)
        assert found.state is InstanceState.LIVE
        renewal = ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=0)
    assert renewal is not None
    assert found.live(found.renewed_at)


def test_labels_longer_than_the_ledgers_columns_are_cut(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a", workload="w" * 999, host="h" * 999), OLD, lease=LEASE)
        found = only(ledger)
    assert (found.workload, found.host) == ("w" * 200, "h" * 200)


def test_a_host_or_workload_of_any_characters_can_register(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("a", workload="nul \0 half \udc80", host="hôte 🐘"), OLD, lease=LEASE)
        found = only(ledger)
    assert (found.workload, found.host) == ("nul \\0 half \\udc80", "hôte 🐘")


def test_who_is_lost_can_be_forgotten_and_who_has_come_back_meanwhile_cannot(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("lost"), OLD, lease=-5.0)
        ledger.register(registration("back"), OLD, lease=LEASE)
        assert orders.forget_instances(ledger, ["lost", "back", "never"]) == 1
        found = {instance.id: instance for instance in ledger.instances()}
    assert (found["lost"].state, found["lost"].ended_at) == (InstanceState.GONE, found["lost"].expires_at)
    assert (found["back"].state, found["back"].ended_at) == (InstanceState.LIVE, None)
