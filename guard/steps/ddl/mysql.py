"""DDL on MariaDB and MySQL."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.db import DatabaseError, OperationalError

from guard.steps import fill
from guard.steps.ddl.base import ColumnFacts, Ddl, ForeignKey, LocksWriters
from guard.steps.locks import is_timeout

#: From the cheapest on: what is asked of the server, and what it means where a cheaper way is not to be had.
_WAYS = {
    True: (
        ("ALGORITHM=INSTANT", ""),
        ("ALGORITHM=NOCOPY, LOCK=NONE", ""),
        ("ALGORITHM=INPLACE, LOCK=NONE", "rebuilds the table in place, beside its readers and writers"),
    ),
    # MySQL knows no NOCOPY: what that is, and a rebuild, are INPLACE.
    False: (
        ("ALGORITHM=INSTANT", ""),
        ("ALGORITHM=INPLACE, LOCK=NONE", "is done in place, beside its readers and writers"),
    ),
}

#: ER_ALTER_OPERATION_NOT_SUPPORTED, and the same with a reason.
_NOT_SO = (1845, 1846)

#: ER_STATEMENT_TIMEOUT.
_OUT_OF_TIME = 1969

#: How often a gap between transactions is looked for before a statement stands in the line.
_TRIES = 20

_LIMITED = re.compile(r"text|blob|json|geometry|point|polygon", re.IGNORECASE)


class MysqlDdl(Ddl):
    """MariaDB and MySQL: every DDL statement commits, so that each must leave a state from which one can go on."""

    @property
    def _mariadb(self) -> bool:
        return bool(self.connection.mysql_is_mariadb)  # type: ignore[attr-defined]

    def facts(self, table: str, column: str) -> ColumnFacts | None:
        found = self._fetch(
            "SELECT column_type, is_nullable, column_default, column_name FROM information_schema.columns "
            "WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s",
            [table, column],
        )
        if not found:
            self._require_gone(table, column)
            return None
        kind, nullable, default, _ = found[0]
        # MariaDB prints a nullable column's missing default as the word NULL.
        if self._mariadb and default == "NULL":
            default = None
        keys = self._fetch(
            """
            SELECT u.constraint_name, u.referenced_table_name, u.referenced_column_name, r.delete_rule
            FROM information_schema.key_column_usage u JOIN information_schema.referential_constraints r
              ON r.constraint_schema = u.constraint_schema AND r.constraint_name = u.constraint_name
             AND r.table_name = u.table_name
            WHERE u.table_schema = DATABASE() AND u.table_name = %s AND u.column_name = %s
              AND u.referenced_table_name IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM information_schema.key_column_usage o
                              WHERE o.constraint_schema = u.constraint_schema AND o.table_name = u.table_name
                                AND o.constraint_name = u.constraint_name AND o.column_name <> u.column_name)
            ORDER BY u.constraint_name""",
            [table, column],
        )
        return ColumnFacts(
            type=kind,
            null=nullable == "YES",
            default=default,
            # RESTRICT and NO ACTION are the same thing here, and the servers name it differently.
            foreign_keys=tuple(
                ForeignKey(name, to, to_column, "NO ACTION" if rule == "RESTRICT" else rule)
                for name, to, to_column, rule in keys
            ),
        )

    @contextmanager
    def _unchecked(self) -> Iterator[None]:
        """Without it, a foreign key is made by copying the table, and NULL cannot be allowed under one."""
        before = self._fetch("SELECT @@SESSION.foreign_key_checks")[0][0]
        self.execute("SET SESSION foreign_key_checks = 0", None)
        try:
            yield
        finally:
            self.execute(f"SET SESSION foreign_key_checks = {int(before)}", None)

    def _definition(self, table: str, column: str) -> str:
        """What the server prints behind the column's name: MODIFY must say all of it again."""
        text = self._fetch(f"SHOW CREATE TABLE {self.quote(table)}")[0][1]
        head = f"  `{column.replace('`', '``')}` "
        for line in text.splitlines():
            if line[: len(head)].casefold() == head.casefold():
                return str(line[len(head) :].removesuffix(","))
        raise LookupError(f"{table}.{column} is not in the server's own description of the table")

    def _modify(self, table: str, column: str, definition: str) -> None:
        # The definition is the server's own text; a percent sign in a comment or default must not be read as a
        # placeholder, hence no parameters at all.
        with self._unchecked():
            self._alter(table, f"MODIFY {self.quote(column)} {definition}")

    def allow_null(self, table: str, column: str) -> None:
        self._modify(table, column, _replace_outside_strings(self._definition(table, column), " NOT NULL", " NULL"))

    def forbid_null(self, table: str, column: str) -> None:
        definition = self._definition(table, column)
        bare = _replace_outside_strings(definition, " DEFAULT NULL", "")
        bare = _replace_outside_strings(bare, " NULL", "")
        # NOT NULL stands behind type, character set and collation.
        found = re.match(r"\S+(?:\([^)]*\))?(?: unsigned)?(?: zerofill)?(?: CHARACTER SET \S+)?(?: COLLATE \S+)?", bare)
        end = found.end() if found else 0
        self._modify(table, column, f"{bare[:end]} NOT NULL{bare[end:]}")

    def fill_nulls(self, table: str, column: str, value: Any) -> None:
        if self.connection.get_autocommit():
            # No transaction joins it with the DDL around it: then it need not lock every row at once.
            fill.fill(self.connection, table, column, value)
        else:
            super().fill_nulls(table, column, value)

    def set_default(self, table: str, column: str, value: object) -> None:
        facts = self.facts(table, column)
        # MySQL takes a default for TEXT, BLOB and JSON only as an expression.
        literal = "(%s)" if facts is not None and _LIMITED.search(facts.type) else "%s"
        if isinstance(value, (bytes, bytearray, memoryview)):
            # Elsewhere than in data, the servers read a quoted string of bytes in the connection's character set.
            literal, values = f"(x'{bytes(value).hex()}')", []
        else:
            values = [value]
        self.execute(
            f"ALTER TABLE {self._quote_beside_values(table)} "
            f"ALTER COLUMN {self._quote_beside_values(column)} SET DEFAULT {literal}",
            values or None,
        )

    def drop_default(self, table: str, column: str) -> None:
        self._alter(table, f"ALTER COLUMN {self.quote(column)} DROP DEFAULT")

    def set_on_delete(self, table: str, column: str, key: ForeignKey, action: str, name: str = "") -> None:
        # A foreign key re-made under its old name in one statement gives error 1826.
        other = key.name.removesuffix("_guard") if key.name.endswith("_guard") else f"{key.name[:58]}_guard"
        self._make_again(table, column, key, other if name in ("", key.name) else name, action)
        if name == key.name:
            self._make_again(table, column, replace(key, name=other), name, action)

    def _make_again(self, table: str, column: str, key: ForeignKey, name: str, action: str) -> None:
        clause = "" if action == "NO ACTION" else f" ON DELETE {action}"
        with self._unchecked():
            self._alter(
                table,
                f"DROP FOREIGN KEY {self.quote(key.name)}, "
                f"ADD CONSTRAINT {self.quote(name)} FOREIGN KEY ({self.quote(column)}) "
                f"REFERENCES {self.quote(key.to_table)} ({self.quote(key.to_column)}){clause}",
            )

    def drop_column(self, table: str, column: str) -> None:
        facts = self.facts(table, column)
        drops = [f"DROP FOREIGN KEY {self.quote(key.name)}" for key in (facts.foreign_keys if facts else ())]
        # Left alone, an index over more columns would shrink to the others, and a unique one would then forbid more.
        drops += [f"DROP INDEX {self.quote(name)}" for name in self._shared_indexes(table, column)]
        drops += [f"DROP CONSTRAINT {self.quote(name)}" for name in self._shared_checks(table, column)]
        drops.append(f"DROP COLUMN {self.quote(column)}")
        self._alter(table, ", ".join(drops))

    def drop_part(self, table: str, name: str) -> None:
        indexes = self._index_columns(table)
        if name in indexes:
            self._keep_key_indexes(table, indexes, {name}, {indexes[name][0]})
        kind = "INDEX" if name in indexes else "CONSTRAINT"
        self._alter(table, f"DROP {kind} {self.quote(name)}")

    def _index_columns(self, table: str) -> dict[str, list[str]]:
        """Columns of each index, in its order."""
        found: dict[str, list[str]] = {}
        for name, member in self._fetch(
            "SELECT index_name, column_name FROM information_schema.statistics "
            "WHERE table_schema = DATABASE() AND table_name = %s ORDER BY index_name, seq_in_index",
            [table],
        ):
            found.setdefault(name, []).append(member or "")
        return found

    def _shared_indexes(self, table: str, column: str) -> list[str]:
        """Indexes over this column and others. What a foreign key of another column needs in their place is made."""
        found = self._index_columns(table)
        shared = {name for name, members in found.items() if len(members) > 1 and column in members}
        self._keep_key_indexes(table, found, shared, {found[name][0] for name in shared} - {column})
        return sorted(shared)

    def _keep_key_indexes(self, table: str, indexes: dict[str, list[str]], gone: set[str], columns: set[str]) -> None:
        """Make the index that a foreign key of these columns needs, where it has none but those that go."""
        for first in columns:
            leads = any(members[0] == first for name, members in indexes.items() if name not in gone)
            facts = self.facts(table, first)
            if facts is not None and facts.foreign_keys and not leads:
                name = self.quote(f"{first[:50]}_guard_fk")
                self.execute(f"CREATE INDEX {name} ON {self.quote(table)} ({self.quote(first)})", None)

    def _shared_checks(self, table: str, column: str) -> list[str]:
        """Checks of the table that name the column. One that belongs to the column alone goes with it."""
        level = " AND c.level = 'Table' AND c.table_name = t.table_name" if self._mariadb else ""
        return [
            name
            for name, clause in self._fetch(
                "SELECT c.constraint_name, c.check_clause FROM information_schema.check_constraints c "
                "JOIN information_schema.table_constraints t ON t.constraint_schema = c.constraint_schema "
                "AND t.constraint_name = c.constraint_name "
                f"WHERE t.table_schema = DATABASE() AND t.table_name = %s AND t.constraint_type = 'CHECK'{level}",
                [table],
            )
            if f"`{column}`" in clause
        ]

    def rename_column(self, table: str, before: str, after: str) -> None:
        self._alter(table, f"RENAME COLUMN {self.quote(before)} TO {self.quote(after)}")

    def _alter(self, table: str, change: str) -> None:
        """Alter a table; in a contract step, in the cheapest way that the server has for it.

        Raises LocksWriters where it has none that lets the writers of a large table go on.
        """
        statement = f"ALTER TABLE {self.quote(table)} {change}"
        if not self._private:
            self.execute(statement, None)
            return
        reason = ""
        for way, means in _WAYS[self._mariadb]:
            try:
                self._alter_in_time(table, f"{change}, {way}", rebuilds=bool(means))
            except DatabaseError as error:
                if error.args[:1] not in [(code,) for code in _NOT_SO]:
                    raise
                reason = reason or str(error.args[-1])
                continue
            if means:
                self.remarks.append(f"It {means}: {reason}")
            return
        if not self.is_small(table):
            raise LocksWriters(
                f"the server would lock the writers of {table} out while it rebuilds the table ({reason}). Nothing "
                f"was changed. At a quiet time, or with a tool for online schema changes, run: {statement}; "
                "guard notes that it has been done"
            )
        self._alter_in_time(table, change, rebuilds=True)
        self.remarks.append(f"Writers of {table} waited while it was rebuilt: {reason}")

    def _alter_in_time(self, table: str, change: str, *, rebuilds: bool) -> None:
        """Alter a table whose lock is to be had now, or within the lock timeout; where it `rebuilds`, in a second.

        A waiting ALTER stalls every reader behind it. But where one reader follows the other, a moment without any
        never comes by itself: then it must stand in the line, for as long as the readers behind it can bear. A
        statement's time is limited only where its work takes none; a rebuild asks for its lock at both its ends, and
        must not be for nothing, but of a small table. A contract step, in whose transaction nothing else is held,
        looks for a gap between transactions before that.
        """
        quoted = self.quote(table)
        if self._mariadb and self._private and (not rebuilds or self.is_small(table)):
            # A transaction that has read the table, and goes on to write to it while somebody stands in the line, is
            # ended by the server as one half of a deadlock.
            for _ in range(_TRIES):
                try:
                    self.execute(f"ALTER TABLE {quoted} NOWAIT {change}", None)
                except DatabaseError as error:
                    if not is_timeout(error):
                        raise
                    time.sleep(random.uniform(0.005, 0.03))
                else:
                    return
        if rebuilds or not self._mariadb:
            # guard's own connections have a lock_wait_timeout of a second, the shortest; MySQL knows no NOWAIT here.
            self.execute(f"ALTER TABLE {quoted} {change}", None)
            return
        try:
            self.execute(f"ALTER TABLE {quoted} NOWAIT {change}", None)
        except DatabaseError as error:
            if not is_timeout(error):
                raise
            try:
                self.execute(
                    f"SET STATEMENT max_statement_time = {self.lock_timeout:f} FOR ALTER TABLE {quoted} {change}", None
                )
            except DatabaseError as interrupted:
                if interrupted.args[:1] != (_OUT_OF_TIME,):
                    raise
                raise error from interrupted

    @property
    def _private(self) -> bool:
        """Whether it is guard's own connection, in a contract step; else a migration runs on it, as Django would."""
        return getattr(self.connection, "guard_private", False)

    def _indexes(self, table: str, column: str) -> list[str]:
        return [
            row[0]
            for row in self._fetch(
                """
                SELECT index_name FROM information_schema.statistics
                WHERE table_schema = DATABASE() AND table_name = %s AND index_name <> 'PRIMARY'
                GROUP BY index_name HAVING COUNT(*) = 1 AND MAX(column_name) = %s ORDER BY index_name""",
                [table, column],
            )
        ]

    def part_names(self, table: str, column: str) -> tuple[str, ...]:
        facts = self.facts(table, column)
        keys = [key.name for key in facts.foreign_keys] if facts else []
        return tuple(dict.fromkeys([*keys, *self._indexes(table, column)]))

    def rename_parts(self, table: str, column: str, names: Mapping[str, str]) -> None:
        facts = self.facts(table, column)
        for key in facts.foreign_keys if facts else ():
            # A foreign key cannot be renamed here: it is made again.
            if key.name in names:
                self._make_again(table, column, key, names[key.name], key.on_delete)
        for name in self._indexes(table, column):
            if name in names:
                self._alter(table, f"RENAME INDEX {self.quote(name)} TO {self.quote(names[name])}")

    def columns(self, table: str) -> tuple[str, ...]:
        found = self._fetch(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position",
            [table],
        )
        if not found:
            self._require_gone(table)
        return tuple(name for (name,) in found)

    def _require_gone(self, table: str, column: str = "") -> None:
        """Raise a lock timeout where it may be there after all.

        The information schema leaves out, without an error, what it cannot open in time: a table that another session
        alters at this moment.
        """
        what = self.quote(column) if column else "1"
        try:
            self._fetch(f"SELECT {what} FROM {self.quote(table)} LIMIT 0")
        except DatabaseError as error:
            if is_timeout(error):
                raise
            return
        raise OperationalError(1205, f"Another session altered {table} while it was looked at")

    def rename_table(self, before: str, after: str) -> None:
        self._alter(before, f"RENAME TO {self.quote(after)}")

    def _keys(self, table: str) -> list[tuple[str, ForeignKey]]:
        facts = self.table_facts(table)
        return [
            (column, key) for column, found in (facts.columns if facts else {}).items() for key in found.foreign_keys
        ]

    def table_part_names(self, table: str) -> tuple[str, ...]:
        # Indexes and checks have their names within the table; a foreign key has it within the database.
        return tuple(key.name for _, key in self._keys(table))

    def rename_table_parts(self, table: str, names: Mapping[str, str]) -> None:
        for column, key in self._keys(table):
            if key.name in names:
                self._make_again(table, column, key, names[key.name], key.on_delete)

    def keys_into(self, table: str) -> tuple[tuple[str, str, ForeignKey], ...]:
        found = self._fetch(
            """
            SELECT u.table_name, u.column_name, u.constraint_name, u.referenced_table_name, u.referenced_column_name,
                   r.delete_rule
            FROM information_schema.key_column_usage u JOIN information_schema.referential_constraints r
              ON r.constraint_schema = u.constraint_schema AND r.constraint_name = u.constraint_name
             AND r.table_name = u.table_name
            WHERE u.table_schema = DATABASE() AND u.referenced_table_schema = DATABASE()
              AND u.referenced_table_name = %s AND u.table_name <> u.referenced_table_name
            ORDER BY u.table_name, u.constraint_name""",
            [table],
        )
        return tuple(
            (other, column, ForeignKey(name, to, to_column, "NO ACTION" if rule == "RESTRICT" else rule))
            for other, column, name, to, to_column, rule in found
        )

    def drop_key(self, table: str, column: str, key: ForeignKey) -> None:
        self._alter(table, f"DROP FOREIGN KEY {self.quote(key.name)}")


def _replace_outside_strings(text: str, old: str, new: str) -> str:
    """Replace the first occurrence that is not within a quoted string of the server's description."""
    parts = re.split(r"('(?:[^'\\]|''|\\.)*')", text)
    for index in range(0, len(parts), 2):
        if old in parts[index]:
            parts[index] = parts[index].replace(old, new, 1)
            break
    return "".join(parts)
