"""What the databases themselves say of a statement: which columns it reads and writes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.integration.attribution import library
from tests.integration.attribution.library import Target

#: (target, "read" or "write") pairs; "" where only the use is known.
Uses = set[tuple[Target, str]]


@dataclass(frozen=True)
class Schema:
    """Tables with their columns, and what is asked about them."""

    columns: Mapping[str, Sequence[str]]
    targets: Sequence[Target]


def the_library() -> Schema:
    return Schema({table: library.columns(table) for table in library.tables()}, library.TARGETS)


def sqlite(connection: BaseDatabaseWrapper, statements: Mapping[str, Any], schema: Schema) -> dict[str, Uses]:
    """Ask SQLite's authorizer, while EXPLAIN compiles. It does not report an INSERT's columns."""
    raw = connection.connection
    # What a foreign key reads elsewhere stands in no statement's text.
    raw.execute("PRAGMA foreign_keys = OFF")
    targets = {Target(target.table.casefold(), target.column.casefold()): target for target in schema.targets}
    found: Uses = set()

    def authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
        if first is not None:
            table = first.casefold()
            column = (second or "").casefold()
            access = {
                sqlite3.SQLITE_READ: "read",
                sqlite3.SQLITE_UPDATE: "write",
                sqlite3.SQLITE_INSERT: "write",
                sqlite3.SQLITE_DELETE: "write",
            }.get(action)
            if access is not None:
                found.update(
                    (targets[target], access) for target in (Target(table, column), Target(table)) if target in targets
                )
        return sqlite3.SQLITE_OK

    answers: dict[str, Uses] = {}
    for sql, params in statements.items():
        found = set()
        text = sql if params is None else sql % tuple(["?"] * len(params))
        if not text.lstrip().upper().startswith("EXPLAIN"):
            text = f"EXPLAIN {text}"
        raw.set_authorizer(authorize)
        try:
            raw.execute(text, params or ()).fetchall()
        except (sqlite3.Error, sqlite3.Warning, OverflowError):
            continue
        finally:
            raw.set_authorizer(None)
        answers[sql] = found
    return answers


class _Privileges:
    """A database that checks privileges by column: EXPLAIN is refused exactly when a statement uses a forbidden one."""

    quote = '"'

    def __init__(self, role: str, schema: Schema) -> None:
        self.role = role
        self.schema = schema

    def administer(self, sql: str) -> None:
        """Run a statement with all privileges."""
        raise NotImplementedError

    def explain(self, statements: Sequence[str]) -> list[str]:
        """Explain each as the role: "" where it may, "refused" for lack of a privilege, else "error"."""
        raise NotImplementedError

    def render(self, sql: str, params: Any) -> str:
        """The statement with its parameters in it, and EXPLAIN before it."""
        raise NotImplementedError

    def ask(self, statements: Mapping[str, Any]) -> dict[str, Uses]:
        for table in self.schema.columns:
            self._grant(table)
        rendered = {sql: self.render(sql, params) for sql, params in statements.items()}
        outcome = self.explain(list(rendered.values()))
        answers: dict[str, Uses] = {sql: set() for sql, result in zip(rendered, outcome, strict=True) if result == ""}
        folded = {sql: sql.casefold() for sql in answers}
        for target in self.schema.targets:
            trials = {"read": {"no_read": target.column}, "write": {"no_write": target.column}}
            for access, forbidden in trials.items():
                if not target.column and access == "write":
                    continue
                self.revoke(target.table)
                if target.column:
                    self._grant(target.table, **forbidden)
                asked = [
                    sql
                    for sql, text in folded.items()
                    if (target.table.casefold() in text or 'u&"' in text)
                    and (access == "read" or any(word in text for word in _WRITING))
                ]
                for sql, result in zip(asked, self.explain([rendered[sql] for sql in asked]), strict=True):
                    assert result in ("", "refused"), (sql, result)
                    if result:
                        answers[sql].add((target, access))
            self._grant(target.table)
        return answers

    def revoke(self, table: str) -> None:
        self.administer(f"REVOKE ALL ON {self._name(table)} FROM {self.role}")

    def _name(self, text: str) -> str:
        return f"{self.quote}{text}{self.quote}"

    def _grant(self, table: str, *, no_read: str = "", no_write: str = "") -> None:
        names = self.schema.columns[table]
        readable = ", ".join(self._name(each) for each in names if each != no_read)
        writable = ", ".join(self._name(each) for each in names if each != no_write)
        self.revoke(table)
        self.administer(f"GRANT DELETE ON {self._name(table)} TO {self.role}")
        self.administer(
            f"GRANT SELECT ({readable}), INSERT ({writable}), UPDATE ({writable}) ON {self._name(table)} TO {self.role}"
        )


_WRITING = ("insert", "update", "merge", "replace")


class _PostgreSQL(_Privileges):
    def __init__(
        self, role: str, schema: Schema, admin: psycopg.Connection[Any], session: psycopg.Connection[Any]
    ) -> None:
        super().__init__(role, schema)
        self.admin = admin
        self.session = session
        # A loop in the server: thousands of statements in one round trip.
        admin.execute("""
            CREATE FUNCTION outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
            BEGIN
                EXECUTE statement;
                RETURN '';
            EXCEPTION
                WHEN insufficient_privilege THEN RETURN 'refused';
                WHEN OTHERS THEN RETURN 'error ' || SQLERRM;
            END $$
        """)

    def administer(self, sql: str) -> None:
        self.admin.execute(sql)

    def render(self, sql: str, params: Any) -> str:
        text = sql if params is None else psycopg.ClientCursor(self.session).mogrify(sql, params)
        return text if text.lstrip().upper().startswith("EXPLAIN") else f"EXPLAIN {text}"

    def explain(self, statements: Sequence[str]) -> list[str]:
        rows = self.session.execute(
            "SELECT outcome(s) FROM unnest(%s::text[]) WITH ORDINALITY u(s, n) ORDER BY n", [list(statements)]
        ).fetchall()
        return [row[0] for row in rows]


def postgresql(
    connection: BaseDatabaseWrapper, statements: Mapping[str, Any], schema: Schema, role: str
) -> dict[str, Uses]:
    """Ask PostgreSQL for the privileges that a statement needs."""
    where = {
        key: value
        for key, value in connection.get_connection_params().items()
        if key in ("dbname", "user", "password", "host", "port")
    }
    with psycopg.connect(**where, autocommit=True) as admin, psycopg.connect(**where, autocommit=True) as session:
        admin.execute(f"CREATE ROLE {role}")
        try:
            admin.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}")
            session.execute(f"SET ROLE {role}")
            return _PostgreSQL(role, schema, admin, session).ask(statements)
        finally:
            admin.execute(f"DROP OWNED BY {role}")
            admin.execute(f"DROP ROLE {role}")
            admin.execute("DROP FUNCTION IF EXISTS outcome")


class _MariaDB(_Privileges):
    quote = "`"

    def __init__(self, account: str, schema: Schema, admin: Any, session: Any) -> None:
        super().__init__(account, schema)
        self.admin = admin.cursor()
        self.session = session.cursor()

    def administer(self, sql: str) -> None:
        self.admin.execute(sql)

    def revoke(self, table: str) -> None:
        import MySQLdb

        # There is an error for revoking what was not granted.
        with contextlib.suppress(MySQLdb.OperationalError):
            super().revoke(table)

    def enter(self, database: str) -> None:
        self._grant(next(iter(self.schema.columns)))
        self.session.execute(f"USE `{database}`")

    def render(self, sql: str, params: Any) -> str:
        text = sql if params is None else self.session.mogrify(sql, params)
        return text if text.lstrip().upper().startswith("EXPLAIN") else f"EXPLAIN {text}"

    def explain(self, statements: Sequence[str]) -> list[str]:
        import MySQLdb

        outcome = []
        for sql in statements:
            try:
                self.session.execute(sql)
                self.session.fetchall()
                outcome.append("")
            except MySQLdb.Error as error:
                # ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR, ER_VIEW_NO_EXPLAIN
                outcome.append("refused" if error.args[0] in (1142, 1143, 1345) else f"error {error}")
        return outcome


def mariadb(
    connection: BaseDatabaseWrapper, statements: Mapping[str, Any], schema: Schema, role: str
) -> dict[str, Uses]:
    """Ask MariaDB for the privileges that a statement needs."""
    import MySQLdb

    params = connection.get_connection_params()
    admin = MySQLdb.connect(**params)
    account = f"'{role}'@'%'"
    admin.cursor().execute(f"CREATE USER {account}")
    try:
        # Nobody but the administrator may enter the database before the first grant.
        elsewhere = {key: value for key, value in params.items() if key not in ("passwd", "password", "db", "database")}
        session = MySQLdb.connect(**elsewhere | {"user": role})
        asking = _MariaDB(account, schema, admin, session)
        asking.enter(connection.settings_dict["NAME"])
        return asking.ask(statements)
    finally:
        admin.cursor().execute(f"DROP USER {account}")
        admin.close()


def broken(connection: BaseDatabaseWrapper, statements: Sequence[str], schema: Schema) -> dict[str, set[Target]]:
    """What each of these statements, which have no parameters, needs: EXPLAIN fails where that has another name.

    Finds less than the privileges of what a star stands for, and more of what the database reads and does not run.
    """
    answers: dict[str, set[Target]] = {sql: set() for sql in statements}
    with connection.cursor() as cursor:

        def fails(sql: str) -> bool:
            text = sql.replace("%%", "%")
            try:
                with transaction.atomic(using=connection.alias):
                    cursor.execute(text if text.lstrip()[:4].upper() in ("EXPL", "DESC") else f"EXPLAIN {text}")
                    cursor.fetchall()
            except (DatabaseError, sqlite3.Error, OverflowError):
                return True
            return False

        for target in schema.targets:
            table, column = (connection.ops.quote_name(each) for each in (target.table, target.column or "gone"))
            there = f"ALTER TABLE {table} RENAME {f'COLUMN {column} TO' if target.column else 'TO'} gone"
            back = f"ALTER TABLE {table if target.column else 'gone'} RENAME " + (
                f"COLUMN gone TO {column}" if target.column else f"TO {table}"
            )
            cursor.execute(there)
            for sql in statements:
                if target.table.casefold() in sql.casefold() and fails(sql):
                    answers[sql].add(target)
            cursor.execute(back)
    return answers
