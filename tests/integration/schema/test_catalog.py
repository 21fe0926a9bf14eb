"""What the database has of what models declare, on each database."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.ledger import connecting
from guard.schema import catalog
from guard.schema.footprint import Column, Footprint
from sampleapp.stage.databases import Database
from tests.integration.ledger.harness import counted, registered, settings_for
from tests.integration.schema.conftest import Project


@pytest.fixture
def connection(database: Database) -> Iterator[BaseDatabaseWrapper]:
    with registered("catalog", settings_for(database)) as alias, connecting.private(alias) as connection:
        yield connection


def declaring(**tables: Iterable[str]) -> Footprint:
    """A footprint of these tables with these columns."""
    column = Column("integer", True, False)
    return Footprint({table: dict.fromkeys(names, column) for table, names in tables.items()}, frozenset())


def missing(connection: BaseDatabaseWrapper, tables: dict[str, Iterable[str]]) -> list[tuple[str, str]]:
    return list(catalog.missing_columns(connection, declaring(**tables)))


def run(connection: BaseDatabaseWrapper, *statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def quoted(connection: BaseDatabaseWrapper, name: str) -> str:
    return str(connection.ops.quote_name(name))


def test_a_project_whose_migrations_have_run_misses_nothing(database: Database) -> None:
    # Its models declare integers as keys of its many-to-many tables; its migrations have made them of the setting.
    with_auth = Project(database, APPS='["django.contrib.auth"]')
    found = with_auth.report("ALTER TABLE kinds_place DROP COLUMN name", "DROP TABLE kinds_place_tags")
    # Nobody has made the view behind the unmanaged model.
    assert found["missing"] == []
    assert found["unlike"] == []
    assert found["unknown"] == []
    assert found["missing_after"] == [
        ["kinds_place", "name"],
        ["kinds_place_tags", "id"],
        ["kinds_place_tags", "place_id"],
        ["kinds_place_tags", "tag_id"],
    ]


CHANGED_BY_HAND = {
    "postgres": (
        "ALTER TABLE kinds_everything ALTER positive_small SET NOT NULL",
        "ALTER TABLE kinds_everything ALTER slug DROP NOT NULL",
        "ALTER TABLE kinds_everything ALTER given DROP DEFAULT",
        "ALTER TABLE kinds_everything ALTER small TYPE bigint",
        "ALTER TABLE kinds_everything ALTER url TYPE varchar(10)",
    ),
    "mariadb": (
        "ALTER TABLE kinds_everything MODIFY positive_small smallint unsigned NOT NULL",
        "ALTER TABLE kinds_everything MODIFY slug varchar(50) NULL",
        "ALTER TABLE kinds_everything ALTER given DROP DEFAULT",
        "ALTER TABLE kinds_everything MODIFY small bigint NULL",
        "ALTER TABLE kinds_everything MODIFY url varchar(10) NOT NULL",
    ),
}
UNKNOWN = (
    "ALTER TABLE kinds_everything ADD COLUMN spare integer NULL",
    "ALTER TABLE kinds_everything ADD COLUMN filled integer NOT NULL DEFAULT 3",
)


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_what_was_changed_by_hand_is_found(database: Database) -> None:
    required = "ALTER TABLE kinds_everything ADD COLUMN needed integer NOT NULL"

    found = Project(database).report(*CHANGED_BY_HAND[database.vendor], *UNKNOWN, required)

    assert found["missing_after"] == []
    assert {(column, harmful) for _, column, _, harmful in found["unlike_after"]} == {
        ("positive_small", True),
        ("slug", False),
        ("given", True),
        ("small", True),
        ("url", True),
    }
    assert found["unknown_after"] == [
        ["kinds_everything", "filled", False],
        ["kinds_everything", "needed", True],
        ["kinds_everything", "spare", False],
    ]


def test_columns_that_were_added_by_hand_are_found_on_every_database(database: Database) -> None:
    found = Project(database).report(*UNKNOWN)

    assert found["unknown_after"] == [["kinds_everything", "filled", False], ["kinds_everything", "spare", False]]
    assert found["unlike_after"] == []


def test_what_is_not_there_is_named_in_one_query(connection: BaseDatabaseWrapper) -> None:
    run(connection, "CREATE TABLE shop_item (id integer, name integer)")
    with counted(connection) as statements:
        found = missing(connection, {"shop_item": ["id", "old", "name"], "shop_gone": ["id"]})
    assert found == [("shop_gone", "id"), ("shop_item", "old")]
    assert len(statements) == 1
    assert missing(connection, {}) == []


def test_awkward_names_are_found(connection: BaseDatabaseWrapper) -> None:
    tables = {
        "UpperCase": ["MixedCase", "id"],
        "it's a `table`" if connection.vendor != "mysql" else "it's a table": ["select", "größe", "a b", "100%"],
        "таблица": ["колонка"],
    }
    for table, columns in tables.items():
        listed = ", ".join(f"{quoted(connection, column)} integer".replace("%", "%%") for column in columns)
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {quoted(connection, table)} ({listed})".replace("%%", "%"), None)
    assert missing(connection, tables) == []
    assert missing(connection, {"UpperCase": ["other"]}) == [("UpperCase", "other")]


def test_a_view_answers_for_a_table(connection: BaseDatabaseWrapper) -> None:
    run(
        connection,
        "CREATE TABLE shop_item (id integer, name integer)",
        "CREATE VIEW shop_view AS SELECT id, name AS title FROM shop_item",
    )
    assert missing(connection, {"shop_view": ["id", "title"]}) == []
    assert missing(connection, {"shop_view": ["name"]}) == [("shop_view", "name")]


# PostgreSQL keeps views whole.
@pytest.mark.parametrize("database", ["sqlite", "mariadb"], indirect=True)
def test_a_broken_view_of_somebody_elses_is_no_obstacle(connection: BaseDatabaseWrapper) -> None:
    run(
        connection,
        "CREATE TABLE shop_item (id integer, name integer)",
        "CREATE TABLE shop_base (id integer)",
        "CREATE VIEW shop_broken AS SELECT id FROM shop_base",
        "DROP TABLE shop_base",
    )
    assert missing(connection, {"shop_item": ["id", "name", "old"]}) == [("shop_item", "old")]


def test_generated_columns_are_there(connection: BaseDatabaseWrapper) -> None:
    run(
        connection,
        "CREATE TABLE shop_box (width integer, twice integer GENERATED ALWAYS AS (width * 2) STORED)",
    )
    assert missing(connection, {"shop_box": ["width", "twice"]}) == []


def test_names_are_folded_as_the_database_folds_them(connection: BaseDatabaseWrapper) -> None:
    run(connection, f"CREATE TABLE {quoted(connection, 'Shop_Item')} ({quoted(connection, 'Name')} integer)")
    lower = missing(connection, {"shop_item": ["name"]})
    column = missing(connection, {"Shop_Item": ["name"]})
    if connection.vendor == "sqlite":
        assert (lower, column) == ([], [])
    elif connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@lower_case_table_names")
            (folds,) = cursor.fetchone()
        assert (lower, column) == ([] if folds else [("shop_item", "name")], [])
    else:
        # Every name is quoted there, and means itself.
        assert (lower, column) == ([("shop_item", "name")], [("Shop_Item", "name")])


@pytest.fixture
def neighbour(connection: BaseDatabaseWrapper, database: Database) -> Iterator[str]:
    """Another schema, which is another database on MariaDB."""
    name = f"{database.name}_other"
    run(connection, f"CREATE SCHEMA {name}", f"CREATE TABLE {name}.shop_there (id integer)")
    yield name
    run(connection, f"DROP SCHEMA {name}" + (" CASCADE" if connection.vendor == "postgresql" else ""))


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_a_table_in_another_schema_is_found_under_its_full_name_only(
    connection: BaseDatabaseWrapper, neighbour: str
) -> None:
    quote = quoted(connection, "x")[0]
    inner = f"{neighbour}{quote}.{quote}shop_there"
    for name in (inner, f"{quote}{inner}{quote}"):
        with connection.cursor() as cursor:
            # What projects write into `db_table` is what the database reads.
            cursor.execute(f"SELECT id FROM {quoted(connection, name)}")
        assert missing(connection, {name: ["id"]}) == []
        assert missing(connection, {name: ["other"]}) == [(name, "other")]
    assert missing(connection, {"shop_there": ["id"]}) == [("shop_there", "id")]


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_the_search_path_is_followed(connection: BaseDatabaseWrapper, neighbour: str) -> None:
    run(connection, "CREATE TABLE shop_there (other integer)", f"SET search_path = {neighbour}, public")
    assert missing(connection, {"shop_there": ["id"]}) == []
    # Hidden by the one that is found first.
    assert missing(connection, {"shop_there": ["other"]}) == [("shop_there", "other")]


# MariaDB hides what one may not see, and who may not use a table misses it.
@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_role_without_rights_still_sees_what_is_there(connection: BaseDatabaseWrapper) -> None:
    run(connection, "CREATE TABLE shop_item (id integer)", "SET ROLE pg_monitor")
    assert missing(connection, {"shop_item": ["id", "old"]}) == [("shop_item", "old")]


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_names_longer_than_postgresql_keeps_are_cut_as_it_cuts_them(connection: BaseDatabaseWrapper) -> None:
    name = "колонка" * 9
    run(connection, f'CREATE TABLE "{name}" ("{name}" integer)')
    assert missing(connection, {name: [name]}) == []


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_comparing_many_columns(connection: BaseDatabaseWrapper) -> None:
    names = [f"c{number}" for number in range(100)]
    listed = ", ".join(f"{name} integer" for name in names)
    run(connection, *(f"CREATE TABLE shop_t{number} ({listed})" for number in range(20)))
    began = time.perf_counter()
    found = missing(connection, {f"shop_t{number}": names for number in range(20)})
    print(f"\n{connection.vendor}: comparing 2,000 columns {(time.perf_counter() - began) * 1000:.0f} ms")
    assert found == []
    assert connections["catalog"].connection is None
