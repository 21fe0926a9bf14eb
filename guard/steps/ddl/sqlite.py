"""DDL on SQLite: what other databases alter in place is a rebuild from an edited definition here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from django.db import connections, transaction

from guard.schema.sqlite_table import Table, names
from guard.steps.ddl.base import ColumnFacts, Ddl, ForeignKey

_INDEX_NAME = re.compile(
    r"""(\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?)("(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|\w+)""",
    re.IGNORECASE,
)


def without_parentheses(expression: str) -> str:
    """The expression without parentheses around all of it, which a rebuild may add."""
    text = expression.strip()
    while text.startswith("(") and text.endswith(")"):
        depth, quote = 0, ""
        for index, char in enumerate(text):
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            else:
                depth += {"(": 1, ")": -1}.get(char, 0)
                if depth == 0 and index < len(text) - 1:
                    return text
        text = text[1:-1].strip()
    return text


class SqliteDdl(Ddl):
    """SQLite. Foreign key enforcement must be off and a transaction open, as Django's schema editor has it."""

    def facts(self, table: str, column: str) -> ColumnFacts | None:
        found = [
            row
            for row in self._fetch('SELECT name, type, "notnull", dflt_value FROM pragma_table_xinfo(%s)', [table])
            if row[0].casefold() == column.casefold()
        ]
        if not found:
            return None
        _, kind, not_null, default = found[0]
        keys = self._fetch(
            'SELECT "table", COALESCE("to", \'id\'), on_delete, "from" FROM pragma_foreign_key_list(%s)', [table]
        )
        return ColumnFacts(
            type=kind,
            null=not not_null,
            default=None if default is None else without_parentheses(default),
            foreign_keys=tuple(
                ForeignKey("", to, to_column, action)
                for to, to_column, action, name in keys
                if name.casefold() == column.casefold()
            ),
        )

    def table(self, table: str) -> Table:
        """The table's definition. Raises LookupError where there is no such table."""
        found = self._fetch("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = %s COLLATE NOCASE", [table])
        if not found:
            raise LookupError(f"no table {table}")
        return Table.parse(found[0][0])

    def rebuild(self, table: str, definition: Table, *, dropped: Sequence[str] = ()) -> None:
        """Give the table another definition and keep its rows, indexes and triggers."""
        kept = [d.name for d in definition.columns]
        generated = {
            row[0] for row in self._fetch("SELECT name FROM pragma_table_xinfo(%s) WHERE hidden IN (2, 3)", [table])
        }
        copied = ", ".join(self.quote(name) for name in kept if name not in generated)
        extras = [
            sql
            for kind, sql in self._fetch(
                "SELECT type, sql FROM sqlite_master WHERE tbl_name = %s COLLATE NOCASE "
                "AND type IN ('index', 'trigger') AND sql IS NOT NULL",
                [table],
            )
            # An index may also name the column in an expression, or in its condition.
            if kind == "trigger" or not any(names(sql[sql.index("(") :], each) for each in dropped)
        ]
        if self.connection.get_autocommit() and connections[self.connection.alias] is self.connection:
            # A migration without a transaction: half a rebuild would be half a table.
            with transaction.atomic(self.connection.alias):
                self._rebuild(table, definition, copied, extras)
        else:
            self._rebuild(table, definition, copied, extras)

    def _rebuild(self, table: str, definition: Table, copied: str, extras: Sequence[str]) -> None:
        temporary = f"guard_new__{table}"
        self.execute(definition.sql(self.quote(temporary)), None)
        self.execute(f"INSERT INTO {self.quote(temporary)} ({copied}) SELECT {copied} FROM {self.quote(table)}", None)
        self.execute(f"DROP TABLE {self.quote(table)}", None)
        # Else a view on the table, which is not there at this moment, would forbid the renaming.
        self.execute("PRAGMA legacy_alter_table = ON", None)
        self.execute(f"ALTER TABLE {self.quote(temporary)} RENAME TO {self.quote(table)}", None)
        self.execute("PRAGMA legacy_alter_table = OFF", None)
        for sql in extras:
            self.execute(sql, None)

    def allow_null(self, table: str, column: str) -> None:
        definition = self.table(table)
        self.rebuild(table, definition.with_column(definition.column(column).nullable()))

    def forbid_null(self, table: str, column: str) -> None:
        definition = self.table(table)
        self.rebuild(table, definition.with_column(definition.column(column).not_null()))

    def set_default(self, table: str, column: str, value: object) -> None:
        # SQLite takes no parameters in DDL; the schema editor's own quoting is what Django uses for the same purpose.
        literal = self.connection.schema_editor().quote_value(value)
        definition = self.table(table)
        self.rebuild(table, definition.with_column(definition.column(column).with_default(literal)))

    def set_default_expression(self, table: str, column: str, sql: str) -> None:
        definition = self.table(table)
        self.rebuild(table, definition.with_column(definition.column(column).with_default(f"({sql})")))

    def fill_from_default(self, table: str, column: str) -> None:
        facts = self.facts(table, column)
        if facts is not None and facts.default is not None:
            quoted = self.quote(column)
            self.execute(f"UPDATE {self.quote(table)} SET {quoted} = ({facts.default}) WHERE {quoted} IS NULL", None)

    def drop_default(self, table: str, column: str) -> None:
        definition = self.table(table)
        self.rebuild(table, definition.with_column(definition.column(column).without_default()))

    def set_on_delete(self, table: str, column: str, key: ForeignKey, action: str, name: str = "") -> None:
        definition = self.table(table)
        clause = "" if action == "NO ACTION" else action
        self.rebuild(table, definition.with_column(definition.column(column).on_delete(clause)))

    def drop_column(self, table: str, column: str) -> None:
        definition = self.table(table).without_column(column)
        kept = tuple(text for text in definition.constraints if not names(text, column))
        self.rebuild(table, replace(definition, constraints=kept), dropped=[column])

    def _indexes(self, table: str, column: str) -> list[tuple[str, str]]:
        return [
            (name, sql)
            for name, sql in self._fetch(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "
                "AND tbl_name = %s COLLATE NOCASE ORDER BY name",
                [table],
            )
            if [row[0] for row in self._fetch("SELECT name FROM pragma_index_info(%s)", [name])] == [column]
        ]

    def part_names(self, table: str, column: str) -> tuple[str, ...]:
        return tuple(name for name, _ in self._indexes(table, column))

    def rename_parts(self, table: str, column: str, names: Mapping[str, str]) -> None:
        for name, sql in self._indexes(table, column):
            if name in names:
                self._rename_index(name, sql, names[name])

    def _rename_index(self, name: str, sql: str, after: str) -> None:
        self.execute(f"DROP INDEX {self.quote(name)}", None)
        head = _INDEX_NAME.match(sql)
        if head is None:
            raise LookupError(f"index {name} is not written as SQLite's grammar has it")
        self.execute(head[1] + self.quote(after) + sql[head.end() :], None)

    def columns(self, table: str) -> tuple[str, ...]:
        return tuple(name for (name,) in self._fetch("SELECT name FROM pragma_table_xinfo(%s)", [table]))

    def _table_indexes(self, table: str) -> list[tuple[str, str]]:
        return [
            (name, sql)
            for name, sql in self._fetch(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "
                "AND tbl_name = %s COLLATE NOCASE ORDER BY name",
                [table],
            )
        ]

    def table_part_names(self, table: str) -> tuple[str, ...]:
        return tuple(name for name, _ in self._table_indexes(table))

    def rename_table_parts(self, table: str, names: Mapping[str, str]) -> None:
        for name, sql in self._table_indexes(table):
            if name in names:
                self._rename_index(name, sql, names[name])

    def keys_into(self, table: str) -> tuple[tuple[str, str, ForeignKey], ...]:
        keys = self._fetch(
            'SELECT m.name, k."from", k."table", COALESCE(k."to", \'id\'), k.on_delete '
            "FROM sqlite_master m, pragma_foreign_key_list(m.name) k "
            "WHERE m.type = 'table' AND m.name <> %s COLLATE NOCASE ORDER BY m.name, k.id",
            [table],
        )
        return tuple(
            (other, column, ForeignKey("", to, to_column, action))
            for other, column, to, to_column, action in keys
            if to.casefold() == table.casefold()
        )

    def drop_key(self, table: str, column: str, key: ForeignKey) -> None:
        definition = self.table(table)
        self.rebuild(table, definition.with_column(definition.column(column).without_references()))
