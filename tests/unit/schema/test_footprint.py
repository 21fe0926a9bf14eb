"""The footprint as a value: what it declares, its canonical form, its digest."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.schema import declared
from guard.schema.footprint import Column, Footprint

columns = st.builds(Column, type=st.text(max_size=8), null=st.booleans(), has_default=st.booleans())
names = st.text(max_size=8)
footprints = st.builds(
    Footprint,
    tables=st.dictionaries(names, st.dictionaries(names, columns, max_size=4), max_size=4),
    migrations=st.frozensets(st.tuples(names, names), max_size=5),
)

ITEM = Footprint(
    tables={
        "shop_item": {"id": Column("bigint", False, False), "Name": Column("varchar(20)", True, True)},
        "empty": {},
    },
    migrations=frozenset({("shop", "0001_initial"), ("shop", "0002_x"), ("auth", "0001_initial")}),
)


@given(footprints)
def test_what_is_written_is_read_back(footprint: Footprint) -> None:
    again = Footprint.from_json(footprint.to_json())
    assert again == footprint
    assert again.digest == footprint.digest


@given(footprints, st.randoms())
def test_the_digest_does_not_depend_on_the_order_in_which_models_are_loaded(
    footprint: Footprint, random: object
) -> None:
    def shuffled(mapping: dict[str, object]) -> dict[str, object]:
        keys = list(mapping)
        random.shuffle(keys)  # type: ignore[attr-defined]
        return {key: mapping[key] for key in keys}

    other = Footprint(
        tables=shuffled({table: shuffled(dict(found)) for table, found in footprint.tables.items()}),  # type: ignore[arg-type]
        migrations=frozenset(sorted(footprint.migrations, reverse=True)),
    )
    assert other.to_json() == footprint.to_json()
    assert other.digest == footprint.digest


@given(footprints, footprints)
def test_different_footprints_have_different_digests(one: Footprint, two: Footprint) -> None:
    assert (one.digest == two.digest) == (one == two)


def test_the_canonical_form_stays_what_it_is() -> None:
    """The ledger knows a release by it: another form would make one release two, under every Python and Django."""
    assert ITEM.to_json() == (
        '{"format":1,"migrations":[["auth","0001_initial"],["shop","0001_initial"],["shop","0002_x"]],'
        '"tables":{"empty":{},"shop_item":{"Name":["varchar(20)",true,true],"id":["bigint",false,false]}}}'
    )
    assert ITEM.digest == "f6e9aacaf63915694e171833bfe2ddca9523e9280818f131437e9bf741e20a5c"


def test_what_a_newer_guard_adds_is_left_alone() -> None:
    data = json.loads(ITEM.to_json())
    data |= {"format": 7, "indexes": {"x": 1}}
    data["tables"]["shop_item"]["id"] += ["a comment", 5]
    assert Footprint.from_json(json.dumps(data)) == ITEM


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"tables": {}}',
        '{"tables": {"t": {"c": ["x"]}}, "migrations": []}',
        '{"tables": 5}',
        "[" * 9,
    ],
)
def test_what_is_no_footprint_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError):
        Footprint.from_json(text)


def test_tables_and_columns_are_known_whatever_their_case() -> None:
    assert ITEM.declares("shop_item")
    assert ITEM.declares("SHOP_item", "NAME")
    assert ITEM.declares("empty")
    assert not ITEM.declares("shop_item", "old")
    assert not ITEM.declares("empty", "id")
    assert not ITEM.declares("shop", "id")


def test_tables_that_differ_by_case_alone_are_both_known() -> None:
    both = Footprint(
        {"Item": {"a": ITEM.tables["shop_item"]["id"]}, "item": {"b": Column("x", True, False)}}, frozenset()
    )
    assert both.declares("item", "a")
    assert both.declares("item", "b")


def test_migrations_are_known_by_app_and_name() -> None:
    assert ITEM.has_app("shop")
    assert not ITEM.has_app("shopping")
    assert ITEM.has_any([("shop", "9999"), ("shop", "0002_x")])
    assert not ITEM.has_any([("auth", "0002_x")])
    assert not ITEM.has_any([])


LITERAL = [("app", "0001"), ("app", "0002")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('class Migration:\n    replaces = [("app", "0001"), ("app", "0002")]', LITERAL),
        ('class Migration:\n    replaces = (("app", "0001"), ["app", "0002"])', LITERAL),
        ('class Migration:\n    replaces: list[tuple[str, str]] = [("app", "0001"), ("app", "0002")]', LITERAL),
        ('class Migration:\n    initial = replaces = [("app", "0001"), ("app", "0002")]', LITERAL),
        ("class Migration:\n    replaces = []", []),
        ('"""It replaces nothing."""', []),
        ("def replaces(): pass", []),
        ("class Migration:\n    replaces: list", []),
        ('class Migration:\n    replaces = [("app", n) for n in ("0001", "0002")]', None),
        ("class Migration:\n    replaces = NAMES", None),
        ("class Migration:\n    replaces = 5", None),
        ('class Migration:\n    replaces = ["ab", "abc"]', None),
        ('class Migration:\n    replaces = [("app", "0001")]\n    replaces += [("app", "0002")]', None),
        ('class Migration:\n    replaces = [("app", "0001")]\nMigration.replaces.append(("app", "0002"))', None),
        ("class Migration: pass\nMigration.replaces = []", None),
        ("if x:\n    replaces = []\nelse:\n    replaces = [('a', 'b')]", None),
    ],
)
def test_what_a_squash_replaces_is_read_from_its_text_or_else_not_guessed(
    text: str, found: list[tuple[str, str]] | None
) -> None:
    assert declared._literal_replaces(text.encode()) == found
