"""The catalog as a state's models describe it, for SQL that is only shown.

What the models do not tell (names that somebody has given by hand) comes from the database, where it has the table.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.utils import split_identifier

from guard.schema.sqlite_table import Table
from guard.steps.ddl.base import ColumnFacts, Ddl, ForeignKey
from guard.steps.ddl.mysql import MysqlDdl
from guard.steps.ddl.postgresql import PostgresqlDdl
from guard.steps.ddl.sqlite import SqliteDdl


class _Paper(Ddl):
    """DDL upon a model's table as Django makes it. `instead` is a field that the table has in place of the model's."""

    def __init__(
        self, editor: BaseDatabaseSchemaEditor, model: type[models.Model], instead: models.Field[Any, Any] | None
    ) -> None:
        super().__init__(editor.connection, editor.execute)
        self.editor: Any = editor
        self.model = model
        self.fields = {field.column: field for field in model._meta.local_concrete_fields if field.column}
        if instead is not None and instead.column:
            self.fields[instead.column] = instead

    def facts(self, table: str, column: str) -> ColumnFacts | None:
        field = self.fields.get(column)
        if field is None:
            return None
        there = super().facts(table, column)  # type: ignore[safe-super]
        return ColumnFacts(
            type=field.db_type(self.connection) or "",
            null=field.null,
            default="" if field.has_db_default() else None,
            foreign_keys=(there.foreign_keys if there else ()) or self._declared_keys(field),
        )

    def _declared_keys(self, field: models.Field[Any, Any]) -> tuple[ForeignKey, ...]:
        remote: Any = field.remote_field
        if remote is None or not getattr(field, "db_constraint", False):
            return ()
        target: Any = field.foreign_related_fields[0]  # type: ignore[attr-defined]
        to_table = target.model._meta.db_table
        suffix = f"_fk_{split_identifier(to_table)[1]}_{target.column}"
        name = self.editor._create_index_name(self.model._meta.db_table, [field.column], suffix=suffix)
        return (ForeignKey(name, self._written(to_table), target.column, "NO ACTION"),)

    def _written(self, table: str) -> str:
        """A table's name as the catalog writes it in a foreign key."""
        return table

    def columns(self, table: str) -> tuple[str, ...]:
        return tuple(self.fields)

    def primary_key(self, table: str) -> tuple[str, ...]:
        return (self.model._meta.pk.column or "",)

    def fill_nulls(self, table: str, column: str, value: Any) -> None:
        quoted = self._quote_beside_values(column)
        self.execute(f"UPDATE {self._quote_beside_values(table)} SET {quoted} = %s WHERE {quoted} IS NULL", [value])

    def definition(self, column: str) -> str:
        """What stands behind the column's name in its table."""
        # What else is on the column stays as it is.
        field = copy.copy(self.fields[column])
        field._unique = False  # type: ignore[attr-defined]
        sql, params = self.editor.column_sql(self.model, field)
        return str(sql % tuple(map(self.editor.quote_value, params)) if params else sql)


class _Postgresql(_Paper, PostgresqlDdl):
    _check: bool | None = None

    def _written(self, table: str) -> str:
        return self.quote(table)

    def _null_check(self, table: str, column: str) -> bool | None:
        return self._check

    def begin_forbid_null(self, table: str, column: str) -> None:
        super().begin_forbid_null(table, column)
        self._check = False

    def validate_forbid_null(self, table: str, column: str) -> None:
        super().validate_forbid_null(table, column)
        self._check = True

    def fill_nulls(self, table: str, column: str, value: Any) -> None:
        _Paper.fill_nulls(self, table, column, value)
        self._check_now()


class _Mysql(_Paper, MysqlDdl):
    def _definition(self, table: str, column: str) -> str:
        return self.definition(column)


class _Sqlite(_Paper, SqliteDdl):
    _rebuilt: Table | None = None

    def table(self, table: str) -> Table:
        if self._rebuilt is None:
            usual = self.model._meta.local_fields
            try:
                self.model._meta.local_fields = [self.fields.get(f.column or "", f) for f in usual]
                self._rebuilt = Table.parse(self.editor.table_sql(self.model)[0])
            finally:
                self.model._meta.local_fields = usual
        return self._rebuilt

    def _fetch(self, sql: str, params: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        # The table that is there, if one is, is another one by now.
        return []

    def rebuild(self, table: str, definition: Table, **options: Any) -> None:
        super().rebuild(table, definition, **options)
        self._rebuilt = definition

    def rename_column(self, table: str, before: str, after: str) -> None:
        super().rename_column(table, before, after)
        self._rebuilt = replace(
            self.table(table),
            columns=tuple(replace(d, name=after) if d.name == before else d for d in self.table(table).columns),
        )


def indexes(editor: BaseDatabaseSchemaEditor, model: type[models.Model]) -> list[str]:
    """The statements that make the indexes of a model's table."""
    usual: Any = editor
    fields = model._meta.get_field
    together = [
        usual._create_unique_sql(model, [fields(name) for name in group]) for group in model._meta.unique_together
    ]
    return [f"{statement};" for statement in (*usual._model_indexes_sql(model), *together)]


_PAPER: Mapping[str, type[_Paper]] = {"postgresql": _Postgresql, "mysql": _Mysql, "sqlite": _Sqlite}


def ddl_for(
    editor: BaseDatabaseSchemaEditor, model: type[models.Model], instead: models.Field[Any, Any] | None = None
) -> Ddl:
    """DDL that goes to an editor which collects SQL, upon the model's table as the model describes it."""
    return _PAPER[editor.connection.vendor](editor, model, instead)
