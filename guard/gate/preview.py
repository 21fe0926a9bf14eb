"""What `sqlmigrate` shows: the SQL that `migrate` runs at once, and, as comments, what the contract step runs later.

Nothing is written, and nothing is asked of the ledger: the tables are taken to be as the state's models describe them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import (
    AddField,
    AlterField,
    AlterUniqueTogether,
    DeleteModel,
    Migration,
    RemoveConstraint,
    RemoveField,
)
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models.expressions import RawSQL

from guard import conf
from guard.gate import messages
from guard.gate.planner import with_operations
from guard.ledger import rows
from guard.phases import defaults, rules
from guard.phases import plan as phases_plan
from guard.phases.words import Disposition, Judgement
from guard.steps import alter_field, delete_model, leftover, leftover_table, paper
from guard.steps.add_field import KeepDefaultAddField
from guard.steps.ddl import TableFacts
from guard.steps.relaxing import NO_DEFAULT, NoDefault, static_default
from guard.steps.report import Report
from guard.steps.sqlite_rebuild import LeftoverField
from guard.steps.standing_in import Author

Collect = Callable[[list[tuple[Migration, bool]]], list[str]]

#: Stands for the number that the contract step will have.
_STEP = ("guard_0_", "guard_N_")


def collect_sql(
    wrapped: Collect, loader: MigrationLoader, plan: Sequence[tuple[Migration, bool]], config: conf.Config
) -> list[str]:
    """The lines for a plan; one that unapplies something, or belongs to guard itself, is shown as Django shows it."""
    if any(backwards or migration.app_label == "guard" for migration, backwards in plan):
        return wrapped(list(plan))
    lines: list[str] = []
    for migration, _ in plan:
        lines += _Preview(phases_plan.unfolded(migration), loader, config).lines(wrapped)
    return lines


class _Preview:
    """One migration, judged as if it were a plan of its own."""

    def __init__(self, migration: Migration, loader: MigrationLoader, config: conf.Config) -> None:
        self.migration = migration
        self.config = config
        connection: Any = loader.connection
        before = loader.project_state((migration.app_label, migration.name), at_end=False)
        ((_, self.judged),) = phases_plan.judge_each(
            [migration],
            before,
            connection=connection,
            strategy=conf.Strategy.SPLIT,
            declared=config.phases,
        )
        self.author = Author((migration.app_label, migration.name), (), Report())
        #: Lines about the contract steps, in the order of the operations.
        self.later: list[str] = []
        #: By table: what the migration has left in it that later rebuilds of it on SQLite have to keep.
        self.lent: dict[str, list[models.Field[Any, Any]]] = {}
        #: By table, on SQLite: the indexes that are there.
        self.indexes: dict[str, list[str]] = {}
        #: Models of which a constraint stays for old code.
        self.constrained = {
            delete_model.model_of(operation)
            for operation, judged in zip(migration.operations, self.judged.operations, strict=True)
            if judged.note == rules.COMPANION and isinstance(operation, (AlterUniqueTogether, RemoveConstraint))
        }

    def lines(self, wrapped: Collect) -> list[str]:
        shown = [
            _Shown(operation, judged, self)
            for operation, judged in zip(self.migration.operations, self.judged.operations, strict=True)
        ]
        now = wrapped([(with_operations(self.migration, list(shown)), False)])
        return [*self._head(), *now, *self.later]

    def _head(self) -> list[str]:
        disposition = self.judged.disposition
        holding = self.config.strategy is conf.Strategy.HOLD and any(
            judged.disposition is Disposition.SPLIT and not isinstance(operation, AddField)
            for operation, judged in zip(self.migration.operations, self.judged.operations, strict=True)
        )
        if disposition is Disposition.REFUSE:
            refused = [one for one in self.judged.operations if one.disposition is Disposition.REFUSE]
            texts = [line for one in refused for line in (messages.effect(one), *one.recipe.splitlines())]
            return messages.shown_refused(texts)
        if disposition is Disposition.HOLD or holding:
            return messages.shown_held(messages.contracts(self.judged))
        return []


class _Shown(Operation):
    """Stands in for an operation whose SQL is only shown."""

    def __init__(self, operation: Operation, judged: Judgement, preview: _Preview) -> None:
        self.operation = operation
        self.judged = judged
        self.preview = preview
        for name in ("reversible", "reduces_to_sql", "atomic", "elidable"):
            setattr(self, name, getattr(operation, name))

    def describe(self) -> str:
        return self.operation.describe()

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        self.operation.state_forwards(app_label, state)

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        editor: Any = schema_editor
        began = len(editor.collected_sql)
        before = self._indexes(app_label, editor, from_state)
        with self._lending(app_label, from_state, to_state):
            split = self._split(app_label, schema_editor, from_state, to_state)
            if not split:
                self.operation.database_forwards(app_label, schema_editor, from_state, to_state)
        after = self._indexes(app_label, editor, to_state)
        for table, found in before.items():
            known = self.preview.indexes.setdefault(table, [])
            known += [sql for sql in found if sql not in known]
            if not split:
                known[:] = [sql for sql in known if sql not in found or sql in after.get(table, ())]
            known += [sql for sql in after.get(table, ()) if sql not in known]
            self._index_again(editor, table, known, began)

    def _indexes(self, app_label: str, editor: Any, state: ProjectState) -> dict[str, list[str]]:
        """On SQLite, where a rebuild loses them: statements that make the indexes of the operation's table."""
        if editor.connection.vendor != "sqlite":
            return {}
        model = state.apps.all_models.get(app_label, {}).get(delete_model.model_of(self.operation))
        return {model._meta.db_table: paper.indexes(editor, model)} if model else {}

    @staticmethod
    def _index_again(editor: Any, table: str, known: list[str], began: int) -> None:
        """Show the making of the indexes that a rebuild since then has lost."""
        lines = editor.collected_sql
        rebuilt = [at for at in range(began, len(lines)) if f'RENAME TO "{table}"' in lines[at]]
        if rebuilt:
            there = {*lines[rebuilt[-1] :], *(f"{statement};" for statement in editor.deferred_sql)}
            lines += [sql for sql in known if sql not in there]

    @contextmanager
    def _lending(self, app_label: str, *states: ProjectState) -> Iterator[None]:
        """What Django's rebuilds on SQLite must not lose, as fields of the model."""
        found: list[tuple[type[models.Model], models.Field[Any, Any], models.Field[Any, Any] | None]] = []
        name = delete_model.model_of(self.operation)
        for state in states if self.preview.lent else ():
            model: Any = state.apps.all_models.get(app_label, {}).get(name)
            for field in self.preview.lent.get(model._meta.db_table, ()) if model else ():
                own = next((f for f in model._meta.local_fields if f.column == field.column), None)
                if own is None:
                    model._meta.local_fields.append(field)
                else:
                    model._meta.local_fields[model._meta.local_fields.index(own)] = field
                model._meta._expire_cache()
                found.append((model, field, own))
        try:
            yield
        finally:
            for model, field, own in reversed(found):
                fields: Any = model._meta.local_fields
                at = fields.index(field)
                fields[at : at + 1] = [] if own is None else [own]
                model._meta._expire_cache()

    def _split(
        self, app_label: str, editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> bool:
        """Show the operation in two steps, if it runs in two; whether it does."""
        operation, judged = self.operation, self.judged
        if judged.disposition is not Disposition.SPLIT:
            return False
        if judged.note in (rules.COMPANION, rules.JOINED):
            originals = self.preview.author.originals
            if judged.note == rules.JOINED and (name := delete_model.model_of(operation)) not in originals:
                originals[name] = from_state.apps.get_model(app_label, name)
            _note(editor, messages.shown_joined())
            return True
        if not isinstance(operation, (RemoveField, AddField, AlterField, DeleteModel)):
            return False
        name = getattr(operation, "model_name", operation.name)
        removes = isinstance(operation, (RemoveField, DeleteModel))
        model = (from_state if removes else to_state).apps.get_model(app_label, name)
        if not operation.allow_migrate_model(editor.connection.alias, model):
            return True
        if isinstance(operation, DeleteModel):
            for owned in delete_model.own_tables(model):
                self._remove_table(editor, owned)
        elif isinstance(operation, RemoveField):
            field: Any = model._meta.get_field(operation.name)
            if field.many_to_many:
                self._remove_table(editor, field.remote_field.through)
            else:
                self._remove_column(editor, model, field)
        elif isinstance(operation, AddField):
            self._add(editor, from_state.apps.get_model(app_label, name), model, operation)
        else:
            self._alter(editor, from_state.apps.get_model(app_label, name), model, operation)
        return True

    # By kind

    def _remove_column(
        self, editor: BaseDatabaseSchemaEditor, model: type[models.Model], field: models.Field[Any, Any]
    ) -> None:
        table, column = model._meta.db_table, field.column or ""
        ddl = paper.ddl_for(editor, model)
        found = ddl.facts(table, column)
        assert found is not None
        constrained = delete_model.model_of(self.operation) in self.preview.constrained
        leftover.relax(
            ddl,
            table,
            column,
            field,
            found,
            lambda value: field.get_db_prep_save(value, editor.connection),
            unique=constrained or field.unique,
        )
        if editor.connection.vendor == "sqlite":
            kept: Any = LeftoverField(ddl.table(table).column(column).text.strip())  # type: ignore[attr-defined]
            kept.set_attributes_from_name(f"guard_leftover_{column}")
            kept.db_column = kept.column = column
            kept.null, kept.concrete, kept.model = "NOT NULL" not in kept.definition.upper(), True, model
            self.preview.lent.setdefault(table, []).append(kept)
        step = leftover.plan_aside(ddl, self._step(rows.StepKind.COLUMN, table, column))
        aside = leftover.aside_name(step, editor.connection.ops.max_name_length())
        with self._later(editor, messages.shown_aside(f"{table}.{column}")):
            leftover.set_aside(ddl, step, aside)
        with self._later(editor, messages.shown_erased(self.preview.config.keep_for)):
            ddl.drop_column(table, aside)

    def _remove_table(self, editor: BaseDatabaseSchemaEditor, model: type[models.Model]) -> None:
        table = model._meta.db_table
        found_before = self.preview.author.originals.get(delete_model.model_of(self.operation), model)
        original = found_before if found_before._meta.db_table == table else model
        ddl = paper.ddl_for(editor, original)
        columns = {column: ddl.facts(table, column) for column in ddl.columns(table)}
        found = TableFacts({column: facts for column, facts in columns.items() if facts is not None})
        step = leftover_table.plan_aside(ddl, self._step(rows.StepKind.TABLE, table))
        leftover_table.free_names(ddl, step)
        cascading = {f.column for f in original._meta.local_concrete_fields if delete_model.cascades(f) and f.column}
        leftover_table.relax(ddl, table, found, cascading)
        aside = leftover.within(f"guard_0_{table}", editor.connection.ops.max_name_length())
        with self._later(editor, messages.shown_aside(table)):
            ddl.rename_table(table, aside)
        with self._later(editor, messages.shown_erased(self.preview.config.keep_for)):
            ddl.drop_table(aside)

    def _add(
        self,
        editor: BaseDatabaseSchemaEditor,
        before: type[models.Model],
        after: type[models.Model],
        operation: AddField,
    ) -> None:
        field: Any = after._meta.get_field(operation.name)
        stand_in = KeepDefaultAddField.standing_in_for(operation, self.preview.author)
        kept = stand_in.kept_field(editor, field)
        editor.add_field(before, kept)
        ddl = paper.ddl_for(editor, after, kept)
        stand_in.set_own_default(ddl, after._meta.db_table, field.column)
        if isinstance(static_default(operation.field), NoDefault):
            kept = copy.copy(kept)
            kept.__dict__.pop("_db_default_expression", None)
            kept.db_default = RawSQL(defaults.expression(operation.field, editor.connection).replace("%", "%%"), [])
        self._keep(editor, after, kept)
        with self._later(editor, messages.shown_tidied(f"{after._meta.db_table}.{field.column}")):
            ddl.drop_default(after._meta.db_table, field.column)

    def _alter(
        self,
        editor: BaseDatabaseSchemaEditor,
        before: type[models.Model],
        after: type[models.Model],
        operation: AlterField,
    ) -> None:
        new: Any = after._meta.get_field(operation.name)
        source = alter_field.with_default_of(new, operation)
        lent = alter_field.until_required((before._meta.get_field(operation.name), new), source, editor.connection)
        editor.alter_field(before, before._meta.get_field(operation.name), lent)  # type: ignore[arg-type]
        table, column = after._meta.db_table, new.column
        ddl = paper.ddl_for(editor, after, lent)
        value = alter_field.filling(editor, source, new)
        if value is not NO_DEFAULT:
            _note(editor, messages.shown_in_batches())
            ddl.fill_nulls(table, column, new.get_db_prep_save(value, editor.connection))
        self._keep(editor, after, lent)
        with self._later(editor, messages.shown_required(f"{table}.{column}")):
            if lent.has_db_default():
                ddl.fill_from_default(table, column)
            ddl.begin_forbid_null(table, column)
            ddl.validate_forbid_null(table, column)
            ddl.forbid_null(table, column)
            if lent.has_db_default() and not new.has_db_default():
                ddl.drop_default(table, column)

    def _keep(self, editor: BaseDatabaseSchemaEditor, model: type[models.Model], field: models.Field[Any, Any]) -> None:
        if editor.connection.vendor == "sqlite":
            self.preview.lent.setdefault(model._meta.db_table, []).append(field)

    def _step(self, kind: rows.StepKind, table: str, column: str = "") -> rows.Step:
        app, name = self.preview.author.migration
        return rows.Step(
            id=0, kind=kind, state=rows.StepState.WAITING, app=app, migration=name, table=table, column=column
        )

    @contextmanager
    def _later(self, editor: BaseDatabaseSchemaEditor, title: str) -> Iterator[None]:
        """What is run here is shown at the end, as comments: whoever pastes all of it runs the first step alone."""
        usual: Any = editor
        lines, deferred = usual.collected_sql, usual.deferred_sql
        usual.collected_sql, usual.deferred_sql = [], []
        try:
            yield
            said = [line for each in usual.collected_sql for line in str(each).splitlines()]
        finally:
            usual.collected_sql, usual.deferred_sql = lines, deferred
        self.preview.later += ["--", f"-- {title}", "--", *(f"--   {line.replace(*_STEP)}" for line in said)]


def _note(editor: Any, text: str) -> None:
    editor.collected_sql.append(f"-- {text}")
