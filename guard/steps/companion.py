"""Removal of an index or constraint over a field that goes with it: it stays for old code until the column goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import (
    AddConstraint,
    AddIndex,
    AlterIndexTogether,
    AlterUniqueTogether,
    RemoveConstraint,
    RemoveIndex,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard.steps import delete_model, sqlite_rebuild

#: What may wait with a column.
COMPANIONS = (RemoveIndex, RemoveConstraint, AlterUniqueTogether, AlterIndexTogether)


#: What may make anew what a leftover has kept.
MAKING = (AddIndex, AddConstraint, AlterUniqueTogether)


class Companion(Operation):
    """Stands in for one of them: the state alone changes. Unapplied, what is there still is not made again."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        for name in ("reversible", "reduces_to_sql", "atomic", "elidable"):
            setattr(self, name, getattr(operation, name))

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return self.operation.deconstruct()  # type: ignore[return-value]

    def describe(self) -> str:
        return self.operation.describe()

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        self.operation.state_forwards(app_label, state)

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        if schema_editor.connection.vendor != "sqlite" or schema_editor.collect_sql:
            return
        # Django's rebuilds of the table would take it, until the column that it is on is a leftover.
        model = from_state.apps.get_model(app_label, delete_model.model_of(self.operation))
        with schema_editor.connection.cursor() as cursor:
            found = schema_editor.connection.introspection.get_constraints(cursor, model._meta.db_table)
        gone = _parts(self.operation, app_label, found, having=from_state, without=to_state)
        sqlite_rebuild.keep(schema_editor, model._meta.db_table, gone)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        if not _made(self.operation, app_label, schema_editor, without=from_state, having=to_state):
            self.operation.database_backwards(app_label, schema_editor, from_state, to_state)


class MakeMissing(Companion):
    """Stands in for an operation that makes an index or constraint on a leftover that is in use again.

    The leftover may have come back with it.
    """

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        if not _made(self.operation, app_label, schema_editor, without=from_state, having=to_state):
            self.operation.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self.operation.database_backwards(app_label, schema_editor, from_state, to_state)


def _made(
    operation: Any,
    app_label: str,
    schema_editor: BaseDatabaseSchemaEditor,
    *,
    without: ProjectState,
    having: ProjectState,
) -> bool:
    """Whether the database has already what tells the one state from the other, or none of it is to be there."""
    model = having.apps.get_model(app_label, getattr(operation, "model_name", None) or operation.name)
    if not operation.allow_migrate_model(schema_editor.connection.alias, model):
        return True
    with schema_editor.connection.cursor() as cursor:
        found = schema_editor.connection.introspection.get_constraints(cursor, model._meta.db_table)
    if isinstance(operation, (AlterUniqueTogether, AlterIndexTogether)):
        unique = isinstance(operation, AlterUniqueTogether)
        there = {tuple(part["columns"]) for part in found.values() if part["unique" if unique else "index"]}
        wanted = _difference(operation, app_label, having=having, without=without)
        return bool(wanted) and wanted <= there
    part = getattr(operation, "index", None) or getattr(operation, "constraint", None) or operation
    return part.name in found


def _parts(
    operation: Any, app_label: str, found: Mapping[str, Any], *, having: ProjectState, without: ProjectState
) -> set[str]:
    """Names of the indexes and constraints that an operation takes away."""
    if not isinstance(operation, (AlterUniqueTogether, AlterIndexTogether)):
        return {operation.name}
    gone = _difference(operation, app_label, having=having, without=without)
    kind = "unique" if isinstance(operation, AlterUniqueTogether) else "index"
    return {name for name, part in found.items() if part[kind] and tuple(part["columns"]) in gone}


def _difference(operation: Any, app_label: str, *, having: ProjectState, without: ProjectState) -> set[tuple[str, ...]]:
    """The columns of each group that the model has in one state, and not in the other."""
    groups = _groups(operation, app_label, having) - _groups(operation, app_label, without)
    model = having.apps.get_model(app_label, operation.name)
    return {_columns(model, group) for group in groups}


def _groups(operation: Any, app_label: str, state: ProjectState) -> set[tuple[str, ...]]:
    # Models as they are rendered know of no `index_together` any more.
    options = state.models[app_label, operation.name_lower].options
    return {tuple(group) for group in options.get(operation.option_name) or ()}


def _columns(model: type[models.Model], group: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(getattr(model._meta.get_field(name), "column", "") for name in group)
