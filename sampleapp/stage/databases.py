"""Databases of their own for one run: made, looked into, and dropped."""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

VENDORS = ("sqlite", "postgres", "mariadb")

#: Where a server is looked for unless the environment says otherwise: "host:port".
ADDRESSES = {
    "postgres": ("GUARD_TEST_POSTGRES", "127.0.0.1:5432"),
    "mariadb": ("GUARD_TEST_MARIADB", "127.0.0.1:3306"),
}
DRIVERS = {"postgres": "psycopg", "mariadb": "MySQLdb"}


@dataclass(frozen=True, slots=True)
class Database:
    """A database that belongs to whoever made it."""

    vendor: str
    #: The name on the server, or the path of the file.
    name: str
    host: str = ""
    port: str = ""

    @property
    def environ(self) -> dict[str, str]:
        """What the shop's settings read."""
        values = {"DB": self.vendor, "DB_NAME": self.name}
        if self.vendor != "sqlite":
            values |= {"DB_HOST": self.host, "DB_PORT": self.port}
        return values

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own, and return its rows. Placeholders are `?`."""
        with closing(self._connect(self.name)) as connection, closing(connection.cursor()) as cursor:
            if parameters:
                cursor.execute(sql if self.vendor == "sqlite" else sql.replace("?", "%s"), tuple(parameters))
            else:
                cursor.execute(sql)
            rows = cursor.fetchall() if cursor.description else []
            connection.commit()
            return [tuple(row) for row in rows]

    def columns(self, table: str) -> set[str]:
        """Names of the table's columns as the database has them; empty where there is no such table."""
        if self.vendor == "sqlite":
            return {row[0] for row in self.query("SELECT name FROM pragma_table_info(?)", [table])}
        schema = "current_schema()" if self.vendor == "postgres" else "database()"
        return {
            row[0]
            for row in self.query(
                f"SELECT column_name FROM information_schema.columns WHERE table_name = ? AND table_schema = {schema}",
                [table],
            )
        }

    def copy_to(self, name: str) -> None:
        """Make another database of PostgreSQL's with all that is in this one, as soon as nobody is connected to it."""
        import psycopg

        for attempt in range(10):
            try:
                self._on_server(f"CREATE DATABASE {name} TEMPLATE {self.name}")
                return
            except psycopg.errors.ObjectInUse:
                # The server has waited for five seconds: a session's process may take longer to end.
                if attempt == 9:
                    raise

    def copy(self, directory: Path) -> Database:
        """Another database with all tables and rows that are in this one, which nobody may be connected to."""
        name = f"guard_{uuid.uuid4().hex[:12]}"
        if self.vendor == "sqlite":
            made = replace(self, name=str(directory / f"{name}.sqlite3"))
            with closing(sqlite3.connect(self.name)) as source, closing(sqlite3.connect(made.name)) as copy:
                source.backup(copy)
            return made
        made = replace(self, name=name)
        if self.vendor == "postgres":
            self.copy_to(name)
            return made
        self._on_server(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        with closing(self._connect(name)) as connection, closing(connection.cursor()) as cursor:
            cursor.execute("SET foreign_key_checks = 0, unique_checks = 0")
            for (table,) in self.query("SHOW TABLES"):
                ((_, definition),) = self.query(f"SHOW CREATE TABLE `{table}`")
                cursor.execute(definition)
                columns = ", ".join(
                    f"`{column}`"
                    for (column,) in self.query(
                        "SELECT column_name FROM information_schema.columns WHERE table_schema = database() "
                        "AND table_name = ? AND is_generated = 'NEVER'",
                        [table],
                    )
                )
                cursor.execute(f"INSERT INTO `{table}` ({columns}) SELECT {columns} FROM {self.name}.`{table}`")
            connection.commit()
        return made

    def drop(self) -> None:
        """Remove it, whoever is still connected."""
        if self.vendor == "sqlite":
            for path in Path(self.name).parent.glob(Path(self.name).name + "*"):
                path.unlink(missing_ok=True)
            return
        how = " WITH (FORCE)" if self.vendor == "postgres" else ""
        self._on_server(f"DROP DATABASE IF EXISTS {self.name}{how}")

    def _connect(self, name: str) -> Any:
        if self.vendor == "sqlite":
            return sqlite3.connect(name, timeout=60)
        if self.vendor == "postgres":
            import psycopg

            return psycopg.connect(
                host=self.host,
                port=int(self.port),
                user=os.environ.get("DB_USER", "postgres"),
                password=os.environ.get("DB_PASSWORD", ""),
                dbname=name or "postgres",
                connect_timeout=30,
                autocommit=True,
            )
        import MySQLdb

        return MySQLdb.connect(
            host=self.host,
            port=int(self.port),
            user=os.environ.get("DB_USER", "root"),
            password=os.environ.get("DB_PASSWORD", ""),
            connect_timeout=30,
            **({"database": name} if name else {}),
        )

    def _on_server(self, sql: str) -> None:
        with closing(self._connect("")) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(sql)


def _server(vendor: str) -> Database:
    variable, usual = ADDRESSES[vendor]
    host, _, port = os.environ.get(variable, usual).rpartition(":")
    return Database(vendor, "", host, port)


def missing(vendor: str) -> str:
    """Why databases of this vendor cannot be had here; empty where they can."""
    if vendor == "sqlite":
        return ""
    variable, _ = ADDRESSES[vendor]
    if os.environ.get(variable) == "":
        return f"{variable} is empty"
    if find_spec(DRIVERS[vendor]) is None:
        return f"the driver {DRIVERS[vendor]} is not installed"
    server = _server(vendor)
    try:
        server._connect("").close()
    except Exception as error:
        return f"no {vendor} server answers at {server.host}:{server.port} ({variable}): {error}".strip()
    return ""


def create(vendor: str, directory: Path) -> Database:
    """A new, empty database; SQLite's file lies in the directory."""
    name = f"guard_{uuid.uuid4().hex[:12]}"
    if vendor == "sqlite":
        return Database(vendor, str(directory / f"{name}.sqlite3"))
    server = _server(vendor)
    server._on_server(f"CREATE DATABASE {name}" + (" CHARACTER SET utf8mb4" if vendor == "mariadb" else ""))
    return Database(vendor, name, server.host, server.port)
