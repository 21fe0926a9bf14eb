"""What the database has: columns read from its catalog, the same way on every vendor."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from guard.schema import declared, types
from guard.schema.footprint import Column, Footprint

# Each gives: schema, table, column, found without its schema, names of tables are folded; then type, NOT NULL, filled
# by the database where an insert leaves the column out.

# information_schema hides what the role may not see, so PostgreSQL is asked through pg_attribute.
_POSTGRESQL = """
    SELECT n.nspname, c.relname, a.attname, pg_table_is_visible(c.oid), FALSE,
      format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef OR a.attidentity <> ''
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relname = ANY (%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND (n.nspname = ANY (%s) OR pg_table_is_visible(c.oid))"""

# MariaDB writes the absence of a default as the word NULL.
_MYSQL = """
    SELECT table_schema, table_name, column_name, table_schema = DATABASE(), @@lower_case_table_names > 0,
      column_type, is_nullable = 'NO',
      (column_default IS NOT NULL AND column_default <> 'NULL') OR extra LIKE '%%auto_increment%%'
        OR COALESCE(generation_expression, '') <> ''
    FROM information_schema.columns
    WHERE table_name IN ({}) AND (table_schema = DATABASE() OR table_schema IN ({}))"""

# Asks about these tables only: the columns of a view that is broken cannot be listed.
_SQLITE = """
    SELECT '', t.value, p.name, TRUE, TRUE, p.type, p."notnull",
      p.dflt_value IS NOT NULL OR p.hidden IN (2, 3) OR (p.pk > 0 AND lower(p.type) = 'integer')
    FROM json_each(%s) AS t JOIN pragma_table_xinfo(t.value) AS p"""

#: Bytes of a name that PostgreSQL keeps; it cuts what is longer, when it is made and when it is used.
_POSTGRESQL_NAME = 63

#: Schema (empty: where the connection finds it) and name.
_Name = tuple[str, str]


def _parts(table: str, vendor: str) -> _Name:
    """A `db_table` as the database reads it: projects write a schema into it as schema"."table."""
    quote = "`" if vendor == "mysql" else '"'
    schema, _, name = table.strip(quote).rpartition(f"{quote}.{quote}")
    return _kept(schema, vendor), _kept(name, vendor)


def _kept(name: str, vendor: str) -> str:
    if vendor != "postgresql" or len(name) * 4 <= _POSTGRESQL_NAME:
        return name
    return name.encode(errors="replace")[:_POSTGRESQL_NAME].decode(errors="ignore")


def _read(connection: BaseDatabaseWrapper, tables: Collection[_Name]) -> list[tuple[Any, ...]]:
    """What the queries above give for the columns of these tables."""
    names = sorted({name for _, name in tables})
    schemas = sorted({schema for schema, _ in tables} | {""})
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_POSTGRESQL, [names, schemas])
        elif connection.vendor == "mysql":
            places = (", ".join(["%s"] * len(names)), ", ".join(["%s"] * len(schemas)))
            cursor.execute(_MYSQL.format(*places), [*names, *schemas])
        else:
            cursor.execute(_SQLITE, [json.dumps(names)])
        return list(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class Unlike:
    """A column that the database has otherwise than the models declare it."""

    table: str
    column: str
    #: What differs, in words.
    how: str
    #: Whether statements of this code may fail for it.
    harmful: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """A column of a model's table that no model declares."""

    table: str
    column: str
    #: NOT NULL, and nothing fills it: inserts that leave it out fail.
    required: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the tables of managed models differ from what the models declare."""

    missing: tuple[tuple[str, str], ...] = ()
    unlike: tuple[Unlike, ...] = ()
    unknown: tuple[Unknown, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key that forbids deleting the rows which it refers to."""

    table: str
    column: str
    to_table: str


_KEYS = {
    "postgresql": """
        SELECT c.relname, a.attname, t.relname
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class t ON t.oid = k.confrelid
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
        WHERE k.contype = 'f' AND k.confdeltype IN ('a', 'r') AND pg_table_is_visible(c.oid)
          AND pg_table_is_visible(t.oid)
        ORDER BY 1, 2""",
    "mysql": """
        SELECT u.table_name, u.column_name, u.referenced_table_name
        FROM information_schema.key_column_usage u JOIN information_schema.referential_constraints r
          ON r.constraint_schema = u.constraint_schema AND r.constraint_name = u.constraint_name
         AND r.table_name = u.table_name
        WHERE u.table_schema = DATABASE() AND u.referenced_table_schema = DATABASE()
          AND r.delete_rule IN ('NO ACTION', 'RESTRICT')
        ORDER BY 1, 2""",
    "sqlite": """
        SELECT m.name, k."from", k."table" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) k
        WHERE m.type = 'table' AND k.on_delete IN ('NO ACTION', 'RESTRICT') ORDER BY 1, 2""",
}


def references(connection: BaseDatabaseWrapper) -> list[Reference]:
    """Every foreign key of the database that forbids deleting what it refers to."""
    with connection.cursor() as cursor:
        cursor.execute(_KEYS[connection.vendor])
        return [Reference(*row) for row in cursor.fetchall()]


def referring(connection: BaseDatabaseWrapper, table: str, column: str) -> list[tuple[str, str]]:
    """(table, column) of every foreign key to this column, on MySQL and MariaDB."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.key_column_usage WHERE table_schema = DATABASE() "
            "AND referenced_table_schema = DATABASE() AND referenced_table_name = %s AND referenced_column_name = %s "
            "ORDER BY 1, 2",
            [table, column],
        )
        return [(row[0], row[1]) for row in cursor.fetchall()]


def missing_columns(connection: BaseDatabaseWrapper, footprint: Footprint) -> tuple[tuple[str, str], ...]:
    """(table, column) pairs that the footprint's managed models declare and the database has not, in one query."""
    return compare(connection, footprint).missing


def compare(connection: BaseDatabaseWrapper, footprint: Footprint) -> Comparison:
    """The footprint's managed models beside the database, in one query.

    A table is looked for as a statement would: where it names no schema, along the connection's search path.
    """
    vendor = connection.vendor
    unmanaged = declared.unmanaged_columns(connection.alias)
    keys = declared.automatic_keys(connection.alias)
    elsewhere = declared.elsewhere(connection.alias)
    wanted = {
        table: (_parts(table, vendor), columns)
        for table, columns in sorted(footprint.tables.items())
        if table not in elsewhere and any((table, column) not in unmanaged for column in columns)
    }
    if not wanted:
        return Comparison()
    read = _read(connection, {parts for parts, _ in wanted.values()})
    folded = any(row[4] for row in read)

    def table_key(name: str) -> str:
        return name.casefold() if folded else name

    def column_key(name: str) -> str:
        return _kept(name, vendor) if vendor == "postgresql" else name.casefold()

    present: dict[_Name, dict[str, tuple[Any, ...]]] = {}
    for row in read:
        schema, name, column, visible = row[:4]
        present.setdefault((table_key(schema), table_key(name)), {})[column_key(column)] = row
        if visible:
            present.setdefault(("", table_key(name)), {})[column_key(column)] = row
    missing: list[tuple[str, str]] = []
    unlike: list[Unlike] = []
    unknown: list[Unknown] = []
    for table, ((schema, name), columns) in wanted.items():
        there = present.get((table_key(schema), table_key(name)), {})
        known = set()
        for column in sorted(columns):
            key = column_key(column)
            known.add(key)
            if (table, column) in unmanaged:
                continue
            found = there.get(key)
            if found is None:
                missing.append((table, column))
            elif (table, column) in keys:
                continue
            elif differs := _differs(columns[column], found, vendor):
                unlike.append(Unlike(table, column, *differs))
        unknown += [
            Unknown(table, row[2], bool(row[6]) and not row[7])
            for key, row in sorted(there.items())
            if key not in known
        ]
    return Comparison(tuple(missing), tuple(unlike), tuple(unknown))


def _differs(column: Column, row: Sequence[Any], vendor: str) -> tuple[str, bool] | None:
    """What differs between a declared column and the database's, and whether that may make statements fail."""
    written, required, filled = str(row[5]), bool(row[6]), bool(row[7])
    ours, theirs = types.read(column.type, vendor), types.read(written, vendor)
    if ours is not None and theirs is not None and ours != theirs:
        return f"is {written} in the database, and {column.type} in the models", True
    if column.null and required:
        return "is NOT NULL in the database, and may be NULL in the models", True
    if column.has_default and not filled:
        return "has no default in the database, and one in the models", required
    # What fills itself and was not asked to is generated, and may compute NULL.
    if not column.null and not required and not (filled and not column.has_default):
        return "may be NULL in the database, and not in the models", False
    return None
