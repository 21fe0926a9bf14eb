"""What every vendor's DDL can do, and the facts about a column that it reads and leaves."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

Execute = Callable[[str, Any], object]

#: Rows up to which a table is small: what reads or rebuilds it is over before anybody notices.
SMALL = 10_000


class LocksWriters(DatabaseError):
    """What was asked would keep writers from a large table for as long as it takes to rebuild it."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A single-column foreign key constraint on a column."""

    name: str
    to_table: str
    to_column: str
    #: "NO ACTION", "SET NULL", "CASCADE", …
    on_delete: str


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column as the catalog has it."""

    type: str
    null: bool
    #: The default's SQL as the catalog prints it, or None.
    default: str | None
    foreign_keys: tuple[ForeignKey, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A form that the ledger can store."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ColumnFacts:
        """Read what `to_json` gave."""
        return cls(
            type=data["type"],
            null=data["null"],
            default=data["default"],
            foreign_keys=tuple(ForeignKey(**key) for key in data["foreign_keys"]),
        )

    def same_as(self, other: ColumnFacts) -> bool:
        """Whether nobody changed the column in between; names of constraints do not matter."""

        def plain(facts: ColumnFacts) -> tuple[object, ...]:
            keys = sorted((k.to_table, k.to_column, k.on_delete) for k in facts.foreign_keys)
            return facts.type.casefold(), facts.null, facts.default, keys

        return plain(self) == plain(other)

    def same_but_keys(self, other: ColumnFacts) -> bool:
        """The same, whatever has become of its foreign keys: another step may be about those."""
        return dataclasses.replace(self, foreign_keys=()).same_as(dataclasses.replace(other, foreign_keys=()))

    def still_there(self, now: ColumnFacts) -> bool:
        """Whether it is as it was, but for foreign keys.

        What they refer to may have been set aside, which renames it, or erased, which drops them.
        """
        keys = [(key.to_column, key.on_delete) for key in self.foreign_keys]
        return self.same_but_keys(now) and all((key.to_column, key.on_delete) in keys for key in now.foreign_keys)


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table's columns as the catalog has them."""

    columns: Mapping[str, ColumnFacts]

    def to_json(self) -> dict[str, Any]:
        """A form that the ledger can store."""
        return {name: facts.to_json() for name, facts in self.columns.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TableFacts:
        """Read what `to_json` gave."""
        return cls({name: ColumnFacts.from_json(facts) for name, facts in data.items()})


class Ddl(abc.ABC):
    """DDL on one connection. Names are quoted here; values go as parameters where the vendor takes them."""

    def __init__(self, connection: BaseDatabaseWrapper, execute: Execute) -> None:
        self.connection = connection
        self.execute = execute
        #: Seconds for which a statement of guard's own may stand in the line for a table.
        self.lock_timeout = 0.2
        #: What has not been done in an instant, and what that meant: sentences for people.
        self.remarks: list[str] = []

    def is_small(self, table: str) -> bool:
        """Whether the table has few rows."""
        counted = f"SELECT COUNT(*) FROM (SELECT 1 FROM {self.quote(table)} LIMIT {SMALL + 1}) AS few"
        return int(self._fetch(counted)[0][0]) <= SMALL

    def quote(self, name: str) -> str:
        """An identifier, quoted. A schema written into `db_table` keeps its quotes."""
        return self.connection.ops.quote_name(name)

    def _quote_beside_values(self, name: str) -> str:
        """The same, for a statement that has parameters: a percent sign in a name must not be read as one."""
        return self.quote(name).replace("%", "%%")

    def _fetch(self, sql: str, params: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    @abc.abstractmethod
    def facts(self, table: str, column: str) -> ColumnFacts | None:
        """The column as the catalog has it now, or None where it is not there."""

    @abc.abstractmethod
    def allow_null(self, table: str, column: str) -> None: ...

    @abc.abstractmethod
    def forbid_null(self, table: str, column: str) -> None:
        """Make the column NOT NULL; quick where `begin_forbid_null` and `validate_forbid_null` went before."""

    def begin_forbid_null(self, table: str, column: str) -> None:  # noqa: B027 (nothing to do on most databases)
        """Refuse new NULLs, in a moment and whatever NULLs there are, where the database can. Safe to repeat."""

    def validate_forbid_null(self, table: str, column: str) -> None:  # noqa: B027
        """Read the whole table for NULLs beside its readers and writers, where the database can. Safe to repeat.

        In a transaction of its own: it holds a lock until its end that other DDL waits for. Raises IntegrityError where
        a NULL is left.
        """

    def give_up_forbid_null(self, table: str, column: str) -> None:  # noqa: B027
        """Take back what `begin_forbid_null` did, if it did."""

    @abc.abstractmethod
    def set_default(self, table: str, column: str, value: object) -> None:
        """Give the column a database default; `value` is ready for the database."""

    @abc.abstractmethod
    def drop_default(self, table: str, column: str) -> None: ...

    @abc.abstractmethod
    def set_on_delete(self, table: str, column: str, key: ForeignKey, action: str, name: str = "") -> None:
        """Make the foreign key again with another ON DELETE action.

        `name`: what it is to be called, where a foreign key cannot be made again under the name that it has.
        """

    @abc.abstractmethod
    def drop_column(self, table: str, column: str) -> None:
        """Drop the column with its own constraints, but nothing that others made upon it."""

    def drop_part(self, table: str, name: str) -> None:
        """Drop an index or constraint of the table."""
        raise NotImplementedError("on SQLite it goes where the table is made anew without it")

    def rename_column(self, table: str, before: str, after: str) -> None:
        """Rename a column."""
        self.execute(f"ALTER TABLE {self.quote(table)} RENAME COLUMN {self.quote(before)} TO {self.quote(after)}", None)

    @abc.abstractmethod
    def part_names(self, table: str, column: str) -> tuple[str, ...]:
        """Names of the indexes and constraints that are on this column alone."""

    @abc.abstractmethod
    def rename_parts(self, table: str, column: str, names: Mapping[str, str]) -> None:
        """Rename those of the column's own indexes and constraints that `names` (old → new) has.

        `column` is the name that the column has now. A name that is not there is passed over, so that an interrupted
        renaming can be done again.
        """

    @abc.abstractmethod
    def columns(self, table: str) -> tuple[str, ...]:
        """Names of the table's columns in their order; empty where there is no such table."""

    def table_facts(self, table: str) -> TableFacts | None:
        """The table as the catalog has it now, or None where it is not there."""
        found = {name: self.facts(table, name) for name in self.columns(table)}
        return TableFacts({name: facts for name, facts in found.items() if facts is not None}) if found else None

    def primary_key(self, table: str) -> tuple[str, ...]:
        """Names of the columns of its primary key."""
        with self.connection.cursor() as cursor:
            return tuple(self.connection.introspection.get_primary_key_columns(cursor, table) or ())

    def rename_table(self, before: str, after: str) -> None:
        """Rename a table."""
        self.execute(f"ALTER TABLE {self.quote(before)} RENAME TO {self.quote(after)}", None)

    @abc.abstractmethod
    def table_part_names(self, table: str) -> tuple[str, ...]:
        """Names that the table's indexes, constraints and sequences take from others: those of a whole schema."""

    @abc.abstractmethod
    def rename_table_parts(self, table: str, names: Mapping[str, str]) -> None:
        """Rename those of the table's own parts that `names` (old → new) has; others are passed over."""

    @abc.abstractmethod
    def keys_into(self, table: str) -> tuple[tuple[str, str, ForeignKey], ...]:
        """Foreign keys of other tables that refer to this one, as (table, column, key)."""

    @abc.abstractmethod
    def drop_key(self, table: str, column: str, key: ForeignKey) -> None:
        """Drop a foreign key of a column, and leave the column."""

    def drop_table(self, table: str) -> None:
        """Drop the table, but nothing that others made upon it."""
        self.execute(f"DROP TABLE {self.quote(table)}", None)

    def set_default_expression(self, table: str, column: str, sql: str) -> None:
        """Give the column a database default that is an expression; `sql` is guard's own text."""
        self.execute(f"ALTER TABLE {self.quote(table)} ALTER COLUMN {self.quote(column)} SET DEFAULT ({sql})", None)

    def fill_from_default(self, table: str, column: str) -> None:
        """Put the column's database default where NULL is."""
        quoted = self.quote(column)
        self.execute(f"UPDATE {self.quote(table)} SET {quoted} = DEFAULT WHERE {quoted} IS NULL", None)

    def has_row(self, table: str, column: str, value: object) -> bool:
        """Whether a row has this value in the column."""
        quoted = self._quote_beside_values(column)
        return bool(
            self._fetch(f"SELECT 1 FROM {self._quote_beside_values(table)} WHERE {quoted} = %s LIMIT 1", [value])
        )

    def nulls(self, table: str, column: str) -> int:
        """How many rows have NULL in the column."""
        return int(self._fetch(f"SELECT COUNT(*) FROM {self.quote(table)} WHERE {self.quote(column)} IS NULL")[0][0])

    def fill_nulls(self, table: str, column: str, value: Any) -> None:
        """Put a value where NULL is; `value` is ready for the database."""
        quoted = self._quote_beside_values(column)
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {self._quote_beside_values(table)} SET {quoted} = %s WHERE {quoted} IS NULL", [value]
            )
