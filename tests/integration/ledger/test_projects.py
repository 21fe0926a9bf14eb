"""Several projects in one database, and a schema for each tenant: what of one is none of the other's business."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import override_settings

from guard.gate import evidence, verdict
from guard.gate.contract import Contractor, Outcome
from guard.gate.orders import Desk, Refused
from guard.ledger import connecting, orders, retention
from guard.ledger.rows import InstanceKind, InstanceState, Step, StepKind, StepState
from guard.ledger.store import Ledger
from guard.ledger.tables import Conflict
from guard.schema.footprint import Footprint
from tests.integration.ledger.harness import CONFIG, LEASE, NEW, OLD, Place, desk, glimpse, registration, step, turned

SHOP_OLD, SHOP_NEW = (dataclasses.replace(footprint, project="shop") for footprint in (OLD, NEW))
#: Another project has an app of the same name, with other tables.
BLOG = Footprint({"blog_post": OLD.tables["shop_item"]}, frozenset({("shop", "0001_initial")}), "blog")
#: And another one has models for the shop's table.
REPORTS = Footprint(OLD.tables, frozenset({("reports", "0001_initial")}), "reports")


@contextmanager
def project(place: Place, label: str, footprint: Footprint = SHOP_NEW) -> Iterator[Desk]:
    """The gate of a project."""
    with connecting.private(place.alias) as connection:
        gate = Contractor(connection, dataclasses.replace(CONFIG, project=label), evidence.Taker(footprint, "r2", "me"))
        gate.ledger = Ledger(connection, label)
        yield Desk(gate)


@contextmanager
def ledger(place: Place, label: str) -> Iterator[Ledger]:
    with connecting.private(place.alias) as connection:
        yield Ledger(connection, label)


def held(**changes: Any) -> Step:
    """A migration that runs whole."""
    return step("", kind=StepKind.MIGRATION, table="", **changes)


def codes(at: Ledger, about: Step, taker: Footprint = SHOP_NEW) -> set[str]:
    found = evidence.gather(at, about, evidence.read_fleet(at), evidence.Taker(taker, "r2", "me"))
    policy = verdict.Policy(quiet_period=0.0, rollback_window=0.0)
    return {b.code for b in verdict.decide(dataclasses.replace(found, applied=True), policy).blockers}


def test_each_project_sees_its_own_steps(each: Place) -> None:
    with ledger(each, "shop") as shop, ledger(each, "blog") as blog, ledger(each, "") as nameless:
        mine = shop.slate(held())
        theirs = blog.slate(held())

        assert mine.id != theirs.id
        assert shop.steps() == (mine,)
        assert blog.steps() == (theirs,)
        # Whoever has no label may be of any project: an older release of this one, on the night of a roll-back.
        assert nameless.steps() == (mine, theirs)
        assert shop.steps(everybodys=True) == (mine, theirs)


def test_a_label_that_comes_later_takes_over_what_was_slated_before(each: Place) -> None:
    with ledger(each, "shop") as shop, ledger(each, "") as nameless:
        before = nameless.slate(step())

        assert shop.steps() == (before,)
        assert shop.slate(step()).id == before.id


def test_another_projects_instances_neither_block_nor_admit(each: Place) -> None:
    with ledger(each, "shop") as shop:
        for about in (shop.slate(step()), shop.slate(held())):
            assert codes(shop, about) == {"new-code-not-seen", "old-code-never-seen"}
            shop.register(registration("blog1", release="r1"), BLOG, lease=LEASE)
            shop.register(registration("blog2", release="r2"), dataclasses.replace(BLOG, tables={}), lease=LEASE)
            shop.leave("blog1")
            shop.update("instance", {"registered_at": 1.0}, "id = %s", ["blog2"])
            # It serves without the column, it has been registering for ever, it lacks the migration: all of it is of
            # no account.
            assert codes(shop, about) == {"new-code-not-seen", "old-code-never-seen"}
        shop.register(registration("old", release="r1"), SHOP_OLD, lease=LEASE)
        assert "live-instances" in codes(shop, about)


def test_another_projects_workload_of_the_same_name_is_another_one(each: Place) -> None:
    weekly = {"kind": InstanceKind.COMMAND, "workload": "command:report", "recurring": True}
    with ledger(each, "shop") as shop:
        about = shop.slate(step())
        shop.register(registration("old", **weekly), SHOP_OLD, lease=LEASE)
        shop.leave("old")
        shop.register(registration("blog", **weekly), dataclasses.replace(BLOG, tables={}), lease=LEASE)
        shop.leave("blog")
        assert "recurring-workload" in codes(shop, about)
        shop.register(registration("new", **weekly), SHOP_NEW, lease=LEASE)
        shop.leave("new")
        assert "recurring-workload" not in codes(shop, about)


def test_a_project_that_shares_the_table_does_block_and_is_refused(each: Place) -> None:
    """It would break: what it declares, and what it was seen to touch, is true of the table, whatever the label."""
    with ledger(each, "shop") as shop, ledger(each, "reports") as reports:
        about = shop.slate(step())
        admission = reports.register(registration("r", release="r9"), REPORTS, lease=LEASE)
        assert [w.column for w in admission.watch.entries] == ["old"]
        assert "live-instances" in codes(shop, about)
        reports.leave("r")
        reports.register(registration("raw", release="r9"), dataclasses.replace(BLOG, project="reports"), lease=LEASE)
        reports.beat("raw", lease=LEASE, watched_epoch=1, flush_no=1, glimpses=[glimpse()])
        assert [s.release for s in shop.sightings("shop_item", "old")] == ["r9"]

        turned(shop, about, StepState.ASIDE)
        refused = reports.register(registration("r"), REPORTS, lease=LEASE)
        assert refused.state is InstanceState.REFUSED
        assert reports.refusals(REPORTS) == refused.refusals != ()


def test_nobody_takes_another_projects_step(each: Place) -> None:
    with ledger(each, "shop") as shop:
        about = shop.slate(step())

        assert "old-taker" in codes(shop, about, taker=BLOG)
        # Not even one without a label, whose policy is another one's.
        assert "old-taker" in codes(shop, about, taker=NEW)
        assert "old-taker" not in codes(shop, about, taker=SHOP_NEW)


def test_the_release_before_the_first_label_is_old_code_still(each: Place) -> None:
    with ledger(each, "shop") as shop:
        about = shop.slate(held())
        shop.register(registration("old", release="r1"), OLD, lease=LEASE)

        assert "live-instances" in codes(shop, about)
        shop.leave("old")
        assert "old-code-never-seen" not in codes(shop, about)


def test_orders_and_the_log_are_the_projects_own(each: Place) -> None:
    weekly = {"kind": InstanceKind.COMMAND, "workload": "command:report", "recurring": True}
    with project(each, "shop") as shop, project(each, "blog", BLOG) as blog:
        for id, footprint in (("s", SHOP_OLD), ("b", BLOG)):
            shop.ledger.register(registration(id, **weekly), footprint, lease=LEASE)
            shop.ledger.update("instance", {"expires_at": 1.0}, "id = %s", [id])
        blog.freeze(until="2h", reason="a sale")

        assert orders.in_force(shop.ledger, shop.ledger.now()) == ()
        assert len(orders.in_force(blog.ledger, shop.ledger.now())) == 1
        with pytest.raises(Refused, match="Nothing is frozen"):
            shop.thaw(reason="no")
        with pytest.raises(Refused, match="no instance 's'"):
            blog.forget(instance="s", reason="not ours")
        blog.forget(workload="command:report", reason="gone")
        blog.forget(all_lost=True, reason="gone")
        after = {i.id: (i.state, i.recurring) for i in shop.ledger.instances()}
        assert after == {"s": (InstanceState.LIVE, True), "b": (InstanceState.GONE, False)}
        assert [entry[1] for entry in orders.record_since(shop.ledger, 0.0)] == []
        assert [entry[1] for entry in orders.record_since(blog.ledger, 0.0)] == ["freeze", "forget", "forget"]


def test_totals_are_told_apart_by_project(each: Place) -> None:
    with ledger(each, "shop") as shop:
        bare = Footprint({}, frozenset())
        for label in ("shop", "blog"):
            shop.register(registration(label), dataclasses.replace(bare, project=label), lease=LEASE)
            shop.leave(label)
        shop.update("instance", {}, "folded = 0", [], raw={"ended_at": f"ended_at - {8 * 86_400}"})
        retention.fold(shop, lost_grace=0.0, seconds=60.0)

        assert sorted((i.project, i.size) for i in shop.instances()) == [("blog", 1), ("shop", 1)]


def test_the_label_is_the_configured_one(sqlite: Place) -> None:
    with override_settings(GUARD={"PROJECT": "shop"}), connecting.private(sqlite.alias) as connection:
        assert Ledger(connection).project == "shop"
        assert Ledger(connection).slate(step()).project == "shop"


# A schema for each tenant


@pytest.fixture
def tenants(postgres: Place) -> Iterator[tuple[str, str]]:
    """Two aliases of one database, with tables of their own, and one ledger for both."""
    with connecting.private(postgres.alias) as connection, connection.cursor() as cursor:
        for tenant in ("one", "two"):
            cursor.execute(f"DROP SCHEMA IF EXISTS {tenant} CASCADE")
            cursor.execute(f"CREATE SCHEMA {tenant}")
            cursor.execute(f"CREATE TABLE {tenant}.shop_item (id integer, old integer NULL)")
            cursor.execute(f"CREATE TABLE {tenant}.django_migrations AS SELECT * FROM public.django_migrations")
            cursor.execute(
                f"INSERT INTO {tenant}.django_migrations (app, name, applied) "
                "VALUES ('shop', '0002_remove_old', '2026-01-01')"
            )
    with (
        postgres.another(OPTIONS={"options": "-c search_path=one,public"}) as one,
        postgres.another(OPTIONS={"options": "-c search_path=two,public"}) as two,
    ):
        yield one, two
    with connecting.private(postgres.alias) as connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA one CASCADE")
        cursor.execute("DROP SCHEMA two CASCADE")


def slated(at: Desk) -> Step:
    facts = at.gate.ddl.facts("shop_item", "old")
    assert facts is not None
    return at.ledger.slate(step(payload={"found": facts.to_json(), "left": facts.to_json()}))


def test_the_same_column_in_two_schemas_is_two_pieces_of_work(postgres: Place, tenants: tuple[str, str]) -> None:
    one, two = (Place(postgres.database, alias) for alias in tenants)
    with desk(one) as first, desk(two) as second, desk(postgres) as outside:
        steps = [slated(first), slated(second)]

        assert [s.schema for s in steps] == ["one", "two"]
        assert steps[0].id != steps[1].id
        assert (first.ledger.steps(), second.ledger.steps()) == ((steps[0],), (steps[1],))
        # Nobody takes what it would look for in another schema.
        assert outside.gate.due() == ()
        assert outside.ledger.slate(step()).schema == ""

        first.ledger.register(registration("new", release="r2"), NEW, lease=LEASE)
        assert first.gate.take(steps[0]).outcome is Outcome.ASIDE
        assert [s.state for s in second.ledger.steps()] == [StepState.WAITING]
        assert first.gate.ddl.facts("shop_item", "old") is None
        assert second.gate.ddl.facts("shop_item", "old") is not None
        # A process that serves both tenants would break at one of them.
        assert second.ledger.register(registration("old"), OLD, lease=LEASE).state is InstanceState.REFUSED

        (aside,) = first.ledger.steps()
        assert first.gate.restore(aside).state is StepState.WAITING
        assert first.gate.ddl.facts("shop_item", "old") is not None


def test_a_seal_in_another_schema_is_left_to_whoever_sees_its_table(postgres: Place, tenants: tuple[str, str]) -> None:
    one, two = (Place(postgres.database, alias) for alias in tenants)
    with desk(one) as first, desk(two) as second:
        turned(first.ledger, slated(first), StepState.SEALED, token="t", sealer="0 0", sealed_at=1.0)

        assert second.gate.settle() == ()
        assert [s.state for s in first.gate.settle()] == [StepState.WAITING]


# One alias whose search_path is switched


@contextmanager
def switched(place: Place, path: str) -> Iterator[Desk]:
    """The gate on a connection that a project has switched to a tenant's schema, as for a request."""
    with desk(place) as at:
        with at.gate.connection.cursor() as cursor:
            cursor.execute(f"SET search_path TO {path}")
        yield at


def test_what_a_switched_path_slates_is_watched_everywhere_and_taken_where_its_table_is(
    postgres: Place, tenants: tuple[str, str]
) -> None:
    with switched(postgres, "one, public") as one, switched(postgres, "two, public") as two, desk(postgres) as usual:
        steps = [slated(one), slated(two)]
        assert [s.schema for s in steps] == ["one", "two"]

        old = usual.ledger.register(registration("old"), OLD, lease=LEASE)
        # One entry for each schema: the text of a statement names none.
        assert [(w.table, w.column) for w in old.watch.entries] == [("shop_item", "old")] * 2
        usual.ledger.beat("old", lease=LEASE, watched_epoch=2, flush_no=1, glimpses=[glimpse()])
        for at, about in ((one, steps[0]), (two, steps[1])):
            assert {b.code for b in at.gate.judge(about).blockers} >= {"live-instances"}
            assert [s.count for s in at.ledger.sightings(about.table, about.column)] == [1]

        usual.ledger.leave("old")
        usual.ledger.register(registration("new", release="r2"), NEW, lease=LEASE)
        usual.ledger.update("sighting", {"last_at": 1.0}, "count = 1", [])
        # A connection of guard's own looks where the alias does by itself, and decides nothing about another schema.
        assert usual.gate.due() == ()
        for about in steps:
            assert {b.code for b in usual.gate.judge(about).blockers} == {"not-applied"}
            with pytest.raises(Conflict, match=f"is in schema '{about.schema}'"):
                usual.gate._seal(about, "token", "")
        assert one.gate.take(steps[0]).outcome is Outcome.ASIDE
        assert two.gate.ddl.facts("shop_item", "old") is not None
        assert usual.ledger.register(registration("late"), OLD, lease=LEASE).state is InstanceState.REFUSED


def test_a_ledger_in_a_tenants_schema_in_which_nobody_registers_is_never_clear(
    postgres: Place, tenants: tuple[str, str]
) -> None:
    """As django-tenants migrates: without the public schema in the path, and guard's tables in the tenant's own."""
    tables = [name for (name,) in postgres.query("SELECT tablename FROM pg_tables WHERE tablename LIKE 'guard\\_%'")]
    for table in tables:
        postgres.query(f"CREATE TABLE one.{table} (LIKE public.{table} INCLUDING ALL)")
    with switched(postgres, "one") as one, desk(postgres) as usual:
        one.ledger.make_gate(fresh=False)
        usual.ledger.register(registration("old"), OLD, lease=LEASE)
        usual.ledger.leave("old")
        usual.ledger.register(registration("new", release="r2"), NEW, lease=LEASE)

        about = slated(one)

        assert (about.schema, usual.ledger.steps(everybodys=True)) == ("", ())
        assert one.gate.take(about).outcome is Outcome.BLOCKED
        assert {b.code for b in one.gate.judge(about).blockers} == {"new-code-not-seen", "old-code-never-seen"}
