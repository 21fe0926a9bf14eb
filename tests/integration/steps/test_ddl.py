"""What the steps' DDL finds and leaves, for each kind of column, on each database."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.db import migrations, models
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.ledger import rows
from guard.ledger.store import Ledger
from guard.steps import leftover
from guard.steps.ddl import ColumnFacts
from tests.integration.steps.tables import Bench

AWKWARD = 'it\'s 100% "so" \\ %s `x` ß'
DAY = datetime.date(2024, 2, 29)
MOMENT = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC)
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")

#: Field, and the value that a row without it has once it is relaxed.
WITH_DEFAULT: dict[str, tuple[models.Field[Any, Any], object]] = {
    "char": (models.CharField(max_length=50, default=AWKWARD), AWKWARD),
    "blank": (models.CharField(max_length=50, blank=True), ""),
    "text": (models.TextField(default=AWKWARD), AWKWARD),
    "boolean": (models.BooleanField(default=False), False),
    "integer": (models.IntegerField(default=-3), -3),
    "positive": (models.PositiveIntegerField(default=3, db_index=True), 3),
    "float": (models.FloatField(default=-1.5e-7), -1.5e-7),
    "decimal": (
        models.DecimalField(max_digits=9, decimal_places=3, default=decimal.Decimal("-1.250")),
        decimal.Decimal("-1.250"),
    ),
    "date": (models.DateField(default=DAY), DAY),
    "moment": (models.DateTimeField(default=MOMENT), MOMENT),
    "duration": (models.DurationField(default=datetime.timedelta(hours=1)), datetime.timedelta(hours=1)),
    "json": (models.JSONField(default=dict), {}),
    "nested": (models.JSONField(default=list), []),
    "binary": (models.BinaryField(default=b"\x00'%\xff"), b"\x00'%\xff"),
    "uuid": (models.UUIDField(default=ID), ID),
    "indexed": (models.SlugField(default="any"), "any"),
}

#: Fields for which the database cannot give a value: NULL is allowed.
WITHOUT_DEFAULT: dict[str, Callable[[], models.Field[Any, Any]]] = {
    "char": lambda: models.CharField(max_length=50),
    "indexed": lambda: models.SlugField(),
    "unique": lambda: models.SlugField(unique=True, default="one"),
    "text": lambda: models.TextField(),
    "boolean": lambda: models.BooleanField(),
    "positive": lambda: models.PositiveSmallIntegerField(),
    "decimal": lambda: models.DecimalField(max_digits=9, decimal_places=3),
    "moment": lambda: models.DateTimeField(),
    "now": lambda: models.DateTimeField(auto_now_add=True),
    "json": lambda: models.JSONField(),
    "binary": lambda: models.BinaryField(),
    "uuid": lambda: models.UUIDField(default=uuid.uuid4),
}

#: Field, whether NULL had to be allowed, and the ON DELETE action that it comes with.
KEYS: dict[str, Callable[[], models.Field[Any, Any]]] = {
    "required": lambda: models.ForeignKey("bench.Parent", models.CASCADE),
    "optional": lambda: models.ForeignKey("bench.Parent", models.SET_NULL, null=True),
    "one": lambda: models.OneToOneField("bench.Parent", models.PROTECT),
    "to_field": lambda: models.ForeignKey("bench.Parent", models.CASCADE, to_field="label"),
    "itself": lambda: models.ForeignKey("self", models.CASCADE, null=True),
    "with_default": lambda: models.ForeignKey("bench.Parent", models.CASCADE, default=1),
    "unindexed": lambda: models.ForeignKey("bench.Parent", models.CASCADE, db_index=False),
}

NAMES = ("order", "Mixed Case", "50%s", "it's", "İgröße")


@pytest.fixture
def bench(connection: BaseDatabaseWrapper) -> Iterator[Bench]:
    made = Bench(connection)
    yield made
    made.drop()


def _known(facts: ColumnFacts | None) -> ColumnFacts:
    assert facts is not None
    return facts


def test_columns_with_a_static_default_get_it_in_the_database_and_lose_it_again(bench: Bench) -> None:
    bench.make_all({f"f_{kind}": field for kind, (field, _) in WITH_DEFAULT.items()})
    found = {}
    for kind in WITH_DEFAULT:
        bench.name = f"f_{kind}"
        found[kind] = _known(bench.facts())
        assert (found[kind].null, found[kind].default) == (False, None), kind

        plan = bench.relax()

        relaxed = _known(bench.facts())
        assert not plan.may_read_null, kind
        assert (relaxed.null, relaxed.type) == (False, found[kind].type), kind
        assert relaxed.default is not None, kind

    row = bench.insert_without()
    for kind, (_, value) in WITH_DEFAULT.items():
        read = getattr(row, f"f_{kind}")
        assert (bytes(read) if isinstance(value, bytes) else read) == value, kind

    for kind, (_, value) in WITH_DEFAULT.items():
        bench.name = f"f_{kind}"
        with bench.expanding() as ddl:
            leftover.give_back(ddl, bench.step(found[kind]), null=False, default=value, prepare=bench.prepare)
        assert _known(bench.facts()) == found[kind], kind
    assert bench.items.count() == 1


def test_columns_without_one_allow_null_until_they_are_given_back(bench: Bench) -> None:
    bench.make_all({f"f_{kind}": make() for kind, make in WITHOUT_DEFAULT.items()})
    found = {}
    for kind in WITHOUT_DEFAULT:
        bench.name = f"f_{kind}"
        found[kind] = _known(bench.facts())

        plan = bench.relax()

        assert plan.may_read_null, kind
        assert _known(bench.facts()) == replace(found[kind], null=True), kind
        relaxed = bench.facts()
        bench.relax(found[kind])
        assert (bench.facts(), bench.said) == (relaxed, []), "relaxed again, it is as it was"

    for _ in range(2):
        row = bench.insert_without()
        assert {getattr(row, f"f_{kind}") for kind in WITHOUT_DEFAULT} == {None}

    for kind in WITHOUT_DEFAULT:
        bench.name = f"f_{kind}"
        with bench.expanding() as ddl:
            assert leftover.give_back(ddl, bench.step(found[kind]), null=False).nulls == 2, kind
        assert _known(bench.facts()).null, kind
    bench.items.all().delete()
    for kind in WITHOUT_DEFAULT:
        bench.name = f"f_{kind}"
        with bench.expanding() as ddl:
            assert leftover.give_back(ddl, bench.step(found[kind]), null=False).nulls == 0, kind
        assert _known(bench.facts()) == found[kind], kind


@pytest.mark.parametrize("kind", KEYS)
def test_a_foreign_key_lets_its_parent_go_until_it_is_given_back(bench: Bench, kind: str) -> None:
    bench.make("thing", KEYS[kind]())
    found = _known(bench.facts())
    assert len(found.foreign_keys) == 1
    parts = bench.parts()

    plan = bench.relax()

    relaxed = _known(bench.facts())
    assert plan.release_parents
    assert relaxed.null
    assert [key.on_delete for key in relaxed.foreign_keys] == ["SET NULL"]
    assert bench.insert_without().thing_id is None
    if kind != "itself":
        parent = bench.model("Parent").objects.using(bench.connection.alias).create(id=5, label="five")
        child = bench.items.create(thing=parent)
        quote = bench.connection.ops.quote_name
        with bench.connection.cursor() as cursor:
            # As new code deletes it, which does not know of the child.
            cursor.execute(f"DELETE FROM {quote('bench_parent')}")
        child.refresh_from_db()
        assert child.thing_id is None
    bench.items.all().delete()

    with bench.expanding() as ddl:
        leftover.give_back(ddl, bench.step(found), null=bench.field.null)
    assert _known(bench.facts()) == found
    assert bench.parts() == parts


def test_relaxing_a_foreign_key_again_changes_nothing(bench: Bench) -> None:
    bench.make("thing", KEYS["required"]())
    found = _known(bench.facts())
    bench.relax(found)
    relaxed = bench.facts()

    bench.relax(found)

    assert (bench.facts(), bench.said) == (relaxed, [])


def test_what_needs_no_relaxing_is_left_alone(bench: Bench) -> None:
    bench.make("thing", models.TextField(null=True))

    plan = bench.relax()

    assert (plan.allow_null, plan.set_default, plan.release_parents) == (False, False, False)
    assert bench.said == []


#: Those that come with indexes, checks or keys of their own, whose names must be free as well.
FIELDS: dict[str, Callable[[], models.Field[Any, Any]]] = {
    "positive": lambda: models.PositiveIntegerField(default=3, db_index=True),
    "slug": lambda: models.SlugField(default="any"),
    **{kind: WITHOUT_DEFAULT[kind] for kind in ("char", "unique", "json", "binary")},
    **{f"key {kind}": KEYS[kind] for kind in ("required", "optional", "one", "to_field", "itself", "unindexed")},
}


@contextmanager
def _kept(bench: Bench, aside: rows.Step) -> Iterator[None]:
    """The ledger knows what is set aside, so that no rebuild of Django's loses it."""
    ledger = Ledger(bench.connection)
    assert ledger.slate(replace(aside, state=rows.StepState.ASIDE)).state is rows.StepState.ASIDE
    try:
        yield
    finally:
        with bench.connection.cursor() as cursor:
            cursor.execute("DELETE FROM guard_step")


@pytest.mark.parametrize("kind", FIELDS)
def test_set_aside_it_frees_every_name_and_comes_back_as_it_was(bench: Bench, kind: str) -> None:
    bench.make("thing", FIELDS[kind]())
    found = _known(bench.facts())
    bench.relax()
    row = bench.insert_without()
    before, parts = _known(bench.facts()), bench.parts()
    value = getattr(row, bench.field.attname)

    aside = bench.set_aside(bench.step(found))

    assert bench.facts() is None
    assert _known(bench.facts(aside.aside_name)).same_as(before)
    assert set(bench.parts(aside.aside_name)).isdisjoint(parts)
    # The same field again, with the very names that Django gives its indexes and constraints.
    newcomer = FIELDS[kind]()
    newcomer.null = True
    held = bench.state
    bench.state = held.clone()
    migrations.RemoveField("item", "thing").state_forwards("bench", bench.state)
    with _kept(bench, aside):
        bench.apply(migrations.AddField("item", "thing", newcomer))
        assert bench.facts() is not None
        bench.apply(migrations.RemoveField("item", "thing"))
    bench.state = held

    bench.bring_back(aside)

    assert _known(bench.facts()) == before
    assert bench.parts() == parts
    row.refresh_from_db()
    now = getattr(row, bench.field.attname)
    assert (bytes(now), bytes(value)) if isinstance(now, memoryview) else now == value

    bench.erase(bench.set_aside(bench.step(found)))
    assert bench.facts() is None
    assert bench.facts(aside.aside_name) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_column_of_any_name_goes_the_whole_way(bench: Bench, name: str) -> None:
    bench.make("thing", models.CharField(max_length=9, db_column=name, db_index=True, default="50%"))
    found = _known(bench.facts())

    for _ in range(2):
        bench.relax(found)
        assert _known(bench.facts()).default is not None
        bench.insert()
        with bench.expanding() as ddl:
            leftover.give_back(ddl, bench.step(found), null=False, default="50%", prepare=bench.prepare)
        assert _known(bench.facts()) == found
    with bench.expanding() as ddl:
        ddl.allow_null(bench.table, bench.column)
    bench.insert()
    with bench.expanding() as ddl:
        assert leftover.give_back(ddl, bench.step(found), null=False).nulls == 1
        leftover.give_back(ddl, bench.step(found), null=False, default="50%", prepare=bench.prepare)
    assert _known(bench.facts()) == found
    aside = bench.set_aside(bench.step(found))
    assert bench.facts() is None
    bench.bring_back(aside)
    assert _known(bench.facts()) == found
    bench.erase(bench.set_aside(bench.step(found)))
    assert bench.facts() is None


@pytest.mark.parametrize("name", ["order", "100%", "größe"])
def test_a_foreign_key_of_any_name_goes_the_whole_way(bench: Bench, name: str) -> None:
    bench.make("thing", models.ForeignKey("bench.Parent", models.CASCADE, db_column=name))
    found = _known(bench.facts())

    bench.relax()
    bench.insert()
    bench.bring_back(bench.set_aside(bench.step(found)))

    assert [key.on_delete for key in _known(bench.facts()).foreign_keys] == ["SET NULL"]
    bench.erase(bench.set_aside(bench.step(found)))
    assert bench.facts() is None


@pytest.mark.parametrize("table", ["Bench Items", "bench%s", "bench's"])
def test_a_table_of_any_name(connection: BaseDatabaseWrapper, table: str) -> None:
    bench = Bench(connection, table=table)
    try:
        bench.make("thing", models.ForeignKey("bench.Parent", models.CASCADE))
        found = _known(bench.facts())
        bench.relax()
        bench.insert()
        bench.bring_back(bench.set_aside(bench.step(found)))
        with bench.contracting() as ddl:
            assert ddl.nulls(bench.table, bench.column) == 1
        assert _known(bench.facts()).null
        bench.erase(bench.set_aside(bench.step(found)))
        assert bench.facts() is None
    finally:
        bench.drop()


def test_nulls_are_filled_before_null_is_forbidden(bench: Bench) -> None:
    bench.make("thing", models.CharField(max_length=50, unique=False))
    found = _known(bench.facts())
    bench.relax()
    bench.insert_without()

    with bench.expanding() as ddl:
        given = leftover.give_back(ddl, bench.step(found), null=False, default=AWKWARD, prepare=bench.prepare)

    assert given.nulls == 0
    assert _known(bench.facts()) == found
    assert bench.items.get().thing == AWKWARD


def test_names_that_differ_at_their_end_alone_stay_apart_when_set_aside(bench: Bench) -> None:
    long = "a_name_that_is_long_enough_to_fill_all_that_there_is_room_for"
    bench.make("thing", models.CharField(max_length=50, null=True))
    quote = bench.connection.ops.quote_name
    with bench.connection.cursor() as cursor:
        for end in "ab":
            cursor.execute(f"CREATE INDEX {quote(long + end)} ON {quote(bench.table)} (thing)")

    aside = bench.set_aside(bench.step(_known(bench.facts())))
    bench.bring_back(aside)

    assert {long + "a", long + "b"} <= set(bench.parts())
