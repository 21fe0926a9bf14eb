"""A ledger of 10,000 instances: what a verdict over it costs."""

from __future__ import annotations

import time

from guard.gate import evidence, verdict
from guard.gate.evidence import Taker
from guard.ledger import store
from guard.ledger.rows import InstanceState, StepKind
from guard.schema.footprint import Footprint
from tests.integration.commands.calling import answer, call
from tests.integration.ledger.harness import LEASE, NEW, OLD, Place, counted, registration, step

INSTANCES = 10_000
RELEASES = 20
SIGHTINGS = 100_000

#: What a verdict may ask the database, however large its ledger is.
MOST_QUERIES = 10

#: Columns over which they are spread.
TARGETS = 10

_NUMBERS = {
    "sqlite": "(WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < {}) SELECT v FROM n)",
    "postgres": "(SELECT v FROM generate_series(1, {}) AS s(v))",
    "mariadb": "(SELECT seq AS v FROM seq_1_to_{})",
}
_KEYS = {"sqlite": "printf('%064d', v)", "postgres": "lpad(v::text, 64, '0')", "mariadb": "LPAD(v, 64, '0')"}


def fill(place: Place) -> None:
    """20 releases of 200 tables with 10,000 instances that have gone, and columns that were touched 100,000 ways."""
    key = _KEYS[place.vendor]
    name = "'r' || (v % 20)" if place.vendor == "sqlite" else "concat('r', v % 20)"
    column = f"CASE v % {TARGETS} WHEN 0 THEN 'old' ELSE {name.replace('20', str(TARGETS))} END"
    count = "`count`" if place.vendor == "mariadb" else '"count"'
    instances, sightings = (_NUMBERS[place.vendor].format(n) for n in (INSTANCES, SIGHTINGS))
    usual = OLD.tables["shop_item"]["id"]
    with place.ledger() as ledger:
        ledger.slate(step())
        for number in range(RELEASES):
            tables = {f"shop_t{table}": {f"c{c}": usual for c in range(10)} for table in range(200)}
            footprint = Footprint({**NEW.tables, **tables}, NEW.migrations | {("shop", f"r{number}")})
            ledger.register(registration(f"r{number}", release=f"r{number}"), footprint, lease=LEASE)
    place.query(
        "INSERT INTO guard_instance (id, release_label, digest, kind, workload, recurring, host, pid, state, "
        "registered_at, renewed_at, expires_at, ended_at, watched_epoch, flushed_epoch) "
        f"SELECT substr({key}, 33), i.release_label, i.digest, 'server', 'web', i.recurring, 'h', v, 'gone', "
        f"1.0, 2.0, 3.0, 4.0, 1, 1 FROM {instances} AS n JOIN guard_instance i ON i.id = {name}"
    )
    place.query(
        "INSERT INTO guard_sighting (identity, table_name, column_name, access, release_label, digest, workload, "
        f"call_site, route, shape, reason, {count}, first_at, last_at) "
        f"SELECT {key}, 'shop_item', {column}, 'read', 'r1', '{NEW.digest}', 'web', "
        "'shop/views.py:1 in view', 'items/', 'SELECT old FROM shop_item WHERE id = 0', 'name', 1, v, v "
        f"FROM {sightings} AS n"
    )
    if place.vendor != "sqlite":
        # What the server does by itself where a table has grown over days.
        place.query("ANALYZE TABLE guard_sighting" if place.vendor == "mariadb" else "ANALYZE guard_sighting")


def few(statements: list[str]) -> None:
    """Raises AssertionError where a verdict has asked too much."""
    assert 0 < len(statements) <= MOST_QUERIES, "\n".join(statements)


def test_a_verdict_over_ten_thousand_instances(each: Place) -> None:
    fill(each)
    with each.ledger() as ledger, counted(ledger.connection) as statements:
        (slated,) = ledger.steps()
        # With a session of its own for the first query, which a command has anyway.
        ledger.now()
        statements.clear()
        began = time.monotonic()
        fleet = evidence.read_fleet(ledger)
        read = time.monotonic()
        found = evidence.gather(ledger, slated, fleet, Taker(footprint=NEW, release="r2", actor="tests"))
        gathered = time.monotonic()
        decided = verdict.decide(found, verdict.Policy())
        ended = time.monotonic()
    print(
        f"\n{each.vendor}: {len(found.instances):,} instances of {RELEASES} releases, {SIGHTINGS:,} sightings of "
        f"{TARGETS} columns: {len(statements)} queries; fleet {(read - began) * 1000:.0f} ms, "
        f"rest {(gathered - read) * 1000:.0f} ms, verdict {(ended - gathered) * 1000:.0f} ms"
    )
    few(statements)
    assert len(found.instances) == INSTANCES + RELEASES
    assert sum(i.state is InstanceState.GONE for i in found.instances) == INSTANCES
    with each.ledger() as ledger, counted(ledger.connection) as statements:
        table = ledger.slate(step("", kind=StepKind.TABLE))
        statements.clear()
        evidence.gather(ledger, table, evidence.read_fleet(ledger), Taker(footprint=NEW, release="r2", actor="tests"))
        few(statements)
    with each.ledger() as ledger:
        ledger.register(registration("old"), OLD, lease=LEASE)
        # Under its lock the gate reads once more what relies on the step.
        with ledger.transaction(), counted(ledger.connection) as statements:
            locked = evidence.gather_locked(ledger, slated, Taker(footprint=NEW, release="r2", actor="tests"))
    few(statements)
    assert [
        blocker.who for blocker in verdict.decide(locked, verdict.Policy()).blockers if blocker.code == "live-instances"
    ] == ["release r1 (web)"]
    # However many there are, a verdict reads no more than it can say.
    assert 0 < len(found.sightings) <= store.SIGHTINGS_OF_A_KIND
    assert "new-code-not-seen" not in {blocker.code for blocker in decided.blockers}
    say_all(each)


def say_all(place: Place) -> None:
    """What the commands show of it, with every instance alive."""
    with place.ledger() as ledger:
        later = ledger.now() + LEASE
    alive = f"state = 'live', ended_at = NULL, expires_at = {later}, renewed_at = {later}"
    place.query(f"UPDATE guard_instance SET {alive}")
    took = []
    for args, most in (
        (("status",), 60),
        (("instances", "--page", "200"), 60),
        (("sightings",), 30),
        (("sightings", "shop_item.old", "--page", "2"), 30),
        (("why", "shop_item.old"), 60),
    ):
        began, busy = time.monotonic(), time.process_time()
        said = call(place, *args)
        took.append(f"{' '.join(args)} {time.monotonic() - began:.2f} s ({time.process_time() - busy:.2f} here)")
        assert said.code == 0, said.err
        # Grouped or paged: nobody reads 10,000 lines.
        assert 1 < len(said.lines) <= most, said.out
    print(f"{place.vendor}: {', '.join(took)}")
    found = answer(place, "instances")
    assert (found["total"], found["pages"]) == (INSTANCES + RELEASES + 1, 201)
