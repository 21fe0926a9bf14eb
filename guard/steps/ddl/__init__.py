"""The DDL of both steps, one file per vendor, each with the same methods."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from guard.steps.ddl.base import ColumnFacts, Ddl, Execute, ForeignKey, TableFacts


def ddl_for(connection: BaseDatabaseWrapper, execute: Execute) -> Ddl:
    """The vendor's DDL on a connection; statements go through `execute(sql, params)`."""
    from guard.steps.ddl import mysql, postgresql, sqlite

    kinds: dict[str, type[Ddl]] = {
        "postgresql": postgresql.PostgresqlDdl,
        "mysql": mysql.MysqlDdl,
        "sqlite": sqlite.SqliteDdl,
    }
    return kinds[connection.vendor](connection, execute)


__all__ = ["ColumnFacts", "Ddl", "Execute", "ForeignKey", "TableFacts", "ddl_for"]
