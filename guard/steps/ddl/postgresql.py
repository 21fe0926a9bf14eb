"""DDL on PostgreSQL."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from guard.steps.ddl.base import ColumnFacts, Ddl, ForeignKey

_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


def _null_check_name(column: str) -> str:
    """The check's name: one for each column, within the server's limit."""
    name = f"guard_not_null_{column}"
    if len(name.encode()) <= 63:
        return name
    return f"{name.encode()[:54].decode(errors='ignore')}_{hashlib.sha256(column.encode()).hexdigest()[:8]}"


def unvalidated(connection: BaseDatabaseWrapper) -> list[tuple[str, str]]:
    """Tables and columns of this schema whose foreign keys have been added NOT VALID."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.relname, a.attname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND k.conkey = ARRAY[a.attnum]
            WHERE k.contype = 'f' AND NOT k.convalidated AND k.connamespace = to_regnamespace(current_schema())"""
        )
        return [(table, column) for table, column in cursor.fetchall()]


class PostgresqlDdl(Ddl):
    """PostgreSQL: DDL is transactional, and every statement here is a change of the catalog only."""

    def facts(self, table: str, column: str) -> ColumnFacts | None:
        found = self._fetch(
            """
            SELECT format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attnum
            FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = to_regclass(%s) AND a.attname = %s AND a.attnum > 0 AND NOT a.attisdropped""",
            [self.quote(table), column],
        )
        if not found:
            return None
        kind, not_null, default, number = found[0]
        keys = self._fetch(
            """
            SELECT k.conname, k.confrelid::regclass::text, t.attname, k.confdeltype::text
            FROM pg_constraint k JOIN pg_attribute t ON t.attrelid = k.confrelid AND t.attnum = k.confkey[1]
            WHERE k.contype = 'f' AND k.conrelid = to_regclass(%s) AND k.conkey = ARRAY[%s]::smallint[]
            ORDER BY k.conname""",
            [self.quote(table), number],
        )
        return ColumnFacts(
            type=kind,
            null=not not_null,
            default=default,
            foreign_keys=tuple(
                ForeignKey(name, to, to_column, _ACTIONS[action]) for name, to, to_column, action in keys
            ),
        )

    def _alter(self, table: str, change: str) -> None:
        self.execute(f"ALTER TABLE {self.quote(table)} {change}", None)

    def allow_null(self, table: str, column: str) -> None:
        self._alter(table, f"ALTER COLUMN {self.quote(column)} DROP NOT NULL")

    def forbid_null(self, table: str, column: str) -> None:
        # With a valid check that says the same, SET NOT NULL reads nothing; one that goes in the same statement does
        # not count.
        self._alter(table, f"ALTER COLUMN {self.quote(column)} SET NOT NULL")
        self.give_up_forbid_null(table, column)

    def begin_forbid_null(self, table: str, column: str) -> None:
        facts = self.facts(table, column)
        if facts is not None and facts.null and self._null_check(table, column) is None:
            self._alter(
                table,
                f"ADD CONSTRAINT {self.quote(_null_check_name(column))} "
                f"CHECK ({self.quote(column)} IS NOT NULL) NOT VALID",
            )

    def validate_forbid_null(self, table: str, column: str) -> None:
        if self._null_check(table, column) is False:
            self._alter(table, f"VALIDATE CONSTRAINT {self.quote(_null_check_name(column))}")

    def give_up_forbid_null(self, table: str, column: str) -> None:
        if self._null_check(table, column) is not None:
            self._alter(table, f"DROP CONSTRAINT {self.quote(_null_check_name(column))}")

    def _null_check(self, table: str, column: str) -> bool | None:
        """Whether the check that stands in for NOT NULL is valid; None where there is none."""
        found = self._fetch(
            "SELECT convalidated FROM pg_constraint "
            "WHERE conrelid = to_regclass(%s) AND contype = 'c' AND conname = %s",
            [self.quote(table), _null_check_name(column)],
        )
        return bool(found[0][0]) if found else None

    def set_default(self, table: str, column: str, value: object) -> None:
        self.execute(
            f"ALTER TABLE {self._quote_beside_values(table)} "
            f"ALTER COLUMN {self._quote_beside_values(column)} SET DEFAULT %s",
            [value],
        )

    def drop_default(self, table: str, column: str) -> None:
        self._alter(table, f"ALTER COLUMN {self.quote(column)} DROP DEFAULT")

    def set_on_delete(self, table: str, column: str, key: ForeignKey, action: str, name: str = "") -> None:
        name = self.quote(key.name)
        clause = "" if action == "NO ACTION" else f" ON DELETE {action}"
        # Deferred checks of this transaction would else forbid the ALTER.
        self.execute("SET CONSTRAINTS ALL IMMEDIATE", None)
        # to_table is a regclass's text, which the server has quoted already. NOT VALID takes no scan under the lock;
        # the rows that are there obeyed the same key until this statement.
        self._alter(
            table,
            f"DROP CONSTRAINT {name}, ADD CONSTRAINT {name} FOREIGN KEY ({self.quote(column)}) "
            f"REFERENCES {key.to_table} ({self.quote(key.to_column)}){clause} DEFERRABLE INITIALLY DEFERRED NOT VALID",
        )
        self.execute("SET CONSTRAINTS ALL DEFERRED", None)

    def validate_foreign_keys(self, table: str, column: str) -> None:
        """Validate what was added NOT VALID, apart from the change itself: reads go on, and writes too."""
        for (name,) in self._fetch(
            """
            SELECT k.conname FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid
            WHERE k.contype = 'f' AND NOT k.convalidated AND k.conrelid = to_regclass(%s)
              AND a.attname = %s AND k.conkey = ARRAY[a.attnum]""",
            [self.quote(table), column],
        ):
            self._alter(table, f"VALIDATE CONSTRAINT {self.quote(name)}")

    def validate_named(self, names: Sequence[str]) -> None:
        """The same of foreign keys by their names."""
        for table, name in self._fetch(
            """
            SELECT c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
            WHERE k.contype = 'f' AND NOT k.convalidated AND k.conname = ANY(%s)
              AND k.connamespace = to_regnamespace(current_schema())""",
            [list(names)],
        ):
            self._alter(table, f"VALIDATE CONSTRAINT {self.quote(name)}")

    def fill_nulls(self, table: str, column: str, value: object) -> None:
        super().fill_nulls(table, column, value)
        self._check_now()

    def fill_from_default(self, table: str, column: str) -> None:
        super().fill_from_default(table, column)
        self._check_now()

    def _check_now(self) -> None:
        # Deferred checks of what was written would else forbid the next ALTER of this transaction.
        self.execute("SET CONSTRAINTS ALL IMMEDIATE", None)
        self.execute("SET CONSTRAINTS ALL DEFERRED", None)

    def drop_part(self, table: str, name: str) -> None:
        if self._fetch(
            "SELECT 1 FROM pg_constraint WHERE conname = %s AND conrelid = to_regclass(%s)", [name, self.quote(table)]
        ):
            self.execute(f"ALTER TABLE {self.quote(table)} DROP CONSTRAINT {self.quote(name)}", None)
        else:
            self.execute(f"DROP INDEX {self.quote(name)}", None)

    def drop_column(self, table: str, column: str) -> None:
        # RESTRICT is the default: Django 5.2's CASCADE would take views with it in silence.
        self._alter(table, f"DROP COLUMN {self.quote(column)} RESTRICT")

    def _constraints(self, table: str, column: str) -> list[str]:
        return [
            row[0]
            for row in self._fetch(
                """
                SELECT k.conname FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid
                WHERE k.conrelid = to_regclass(%s) AND a.attname = %s AND k.conkey = ARRAY[a.attnum]
                  AND k.contype IN ('f', 'u', 'c', 'x') ORDER BY k.conname""",
                [self.quote(table), column],
            )
        ]

    def _indexes(self, table: str, column: str) -> list[tuple[str, str]]:
        return [
            (schema, name)
            for schema, name in self._fetch(
                """
                SELECT n.nspname, c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                JOIN pg_namespace n ON n.oid = c.relnamespace
                JOIN pg_attribute a ON a.attrelid = i.indrelid
                WHERE i.indrelid = to_regclass(%s) AND a.attname = %s AND i.indnatts = 1 AND i.indkey[0] = a.attnum
                  AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype <> 'f')
                ORDER BY c.relname""",
                [self.quote(table), column],
            )
        ]

    def part_names(self, table: str, column: str) -> tuple[str, ...]:
        return (*self._constraints(table, column), *(name for _, name in self._indexes(table, column)))

    def rename_parts(self, table: str, column: str, names: Mapping[str, str]) -> None:
        for name in self._constraints(table, column):
            if name in names:
                self._alter(table, f"RENAME CONSTRAINT {self.quote(name)} TO {self.quote(names[name])}")
        for schema, name in self._indexes(table, column):
            if name in names:
                self.execute(
                    f"ALTER INDEX {self.quote(schema)}.{self.quote(name)} RENAME TO {self.quote(names[name])}", None
                )

    def columns(self, table: str) -> tuple[str, ...]:
        found = self._fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped "
            "ORDER BY attnum",
            [self.quote(table)],
        )
        return tuple(name for (name,) in found)

    def _table_parts(self, table: str) -> list[tuple[str, str, str]]:
        # An index that stands behind a constraint takes the constraint's name along when it is renamed.
        return [
            (kind, schema, name)
            for kind, schema, name in self._fetch(
                """
                SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'INDEX' END, n.nspname, c.relname
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE (c.relkind IN ('i', 'I')
                       AND c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = to_regclass(%s)))
                   OR (c.relkind = 'S' AND EXISTS (
                         SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                           AND d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass(%s)
                           AND d.deptype IN ('a', 'i')))
                ORDER BY c.relname""",
                [self.quote(table), self.quote(table)],
            )
        ]

    def table_part_names(self, table: str) -> tuple[str, ...]:
        return tuple(name for _, _, name in self._table_parts(table))

    def rename_table_parts(self, table: str, names: Mapping[str, str]) -> None:
        for kind, schema, name in self._table_parts(table):
            if name in names:
                self.execute(
                    f"ALTER {kind} {self.quote(schema)}.{self.quote(name)} RENAME TO {self.quote(names[name])}", None
                )

    def keys_into(self, table: str) -> tuple[tuple[str, str, ForeignKey], ...]:
        found = self._fetch(
            """
            SELECT c.relname, f.attname, k.conname, k.confrelid::regclass::text, t.attname, k.confdeltype::text
            FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
            JOIN pg_attribute f ON f.attrelid = k.conrelid AND f.attnum = k.conkey[1]
            JOIN pg_attribute t ON t.attrelid = k.confrelid AND t.attnum = k.confkey[1]
            WHERE k.contype = 'f' AND k.confrelid = to_regclass(%s) AND k.conrelid <> k.confrelid
            ORDER BY c.relname, k.conname""",
            [self.quote(table)],
        )
        return tuple(
            (other, column, ForeignKey(name, to, to_column, _ACTIONS[action]))
            for other, column, name, to, to_column, action in found
        )

    def drop_key(self, table: str, column: str, key: ForeignKey) -> None:
        self._alter(table, f"DROP CONSTRAINT {self.quote(key.name)} RESTRICT")

    def drop_table(self, table: str) -> None:
        # RESTRICT is the default: Django's CASCADE would take views and others' foreign keys with it in silence.
        self.execute(f"DROP TABLE {self.quote(table)} RESTRICT", None)
