"""DeleteModel, and RemoveField of a many-to-many field, in two steps; and CreateModel where the table is still there.

What is taken away is a table: relaxed now, so that new code can delete what its rows refer to; set aside and erased
when nobody uses it. A model's auto-created many-to-many tables are steps of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import AddField, CreateModel, DeleteModel, RemoveField
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard.ledger import protocol, rows
from guard.ledger.store import Ledger
from guard.steps import leftover_table, leftovers, loose_keys, slating
from guard.steps.ddl import TableFacts, ddl_for
from guard.steps.standing_in import Author, StandIn

Model = type[models.Model]

#: Key of a step's payload: the id of the step that takes the whole table, and this step's column with it.
JOINS = "joins"


def own_tables(model: Model) -> Iterator[Model]:
    """The model, and its many-to-many models that Django has made by itself."""
    yield model
    for relation in model._meta.local_many_to_many:
        through: Any = relation.remote_field.through
        if through._meta.auto_created:
            yield through


def cascades(relation: models.Field[Any, Any]) -> bool:
    """Whether Django deletes the row together with the one that the field refers to."""
    return relation.remote_field is not None and getattr(relation.remote_field, "on_delete", None) is models.CASCADE


def expand(
    schema_editor: BaseDatabaseSchemaEditor, author: Author, model: Model, original: Model | None = None
) -> None:
    """Relax the model's table and slate it. `original`: the model before the same migration took fields from it."""
    connection = schema_editor.connection
    ledger = Ledger(connection)
    ddl = ddl_for(connection, schema_editor.execute)
    table = model._meta.db_table
    found = ddl.table_facts(table)
    if found is None:
        author.report.notes.append(f"{table} is not in the database: somebody has dropped it already.")
        return
    found = TableFacts(
        {
            column: loose_keys.as_declared(each, loose_keys.open_steps(ledger, table, column))
            for column, each in found.columns.items()
        }
    )
    app, name = author.migration
    whole = original or model
    facts = {"found": found.to_json(), "declared": declared(whole, connection)}
    step = slating.slate(
        ledger,
        rows.Step(
            id=0,
            kind=rows.StepKind.TABLE,
            state=rows.StepState.WAITING,
            app=app,
            migration=name,
            replaced_by=author.replaced_by,
            table=table,
            model=model._meta.label,
            payload=facts,
        ),
    )
    if "found" not in step.payload:
        # Slated while its migration was held whole: the facts come with the migration.
        step = ledger.save(step, replace(step, version=step.version + 1, payload=facts))
    _join(ledger, step)
    if connection.vendor != "mysql":
        # Written first, as everything that is needed to find the way back.
        planned = leftover_table.plan_aside(ddl, step)
        step = ledger.save(step, replace(planned, version=step.version + 1))
        leftover_table.free_names(ddl, step)
    # After an interrupted attempt the row has what the table was before it.
    first_found = TableFacts.from_json(step.payload["found"])
    leftover_table.relax(
        ddl, table, first_found, {f.column for f in whole._meta.local_concrete_fields if cascades(f) and f.column}
    )
    left = ddl.table_facts(table)
    assert left is not None
    after = ledger.save(step, slating.with_payload(step, left=left.to_json()))
    may_read_null = any(facts.null and not first_found.columns[c].null for c, facts in left.columns.items())
    author.report.slated.append((after, may_read_null))
    author.report.to_validate += [(table, column) for column, facts in left.columns.items() if facts.foreign_keys]


def give_back(
    schema_editor: BaseDatabaseSchemaEditor, author: Author, step: rows.Step, *, given_to: Model | None
) -> None:
    """Give the leftover table back to use, from wherever its step (waiting, or set aside) stands.

    `given_to`: the model that takes it over, where it is not the removal that is unapplied.
    """
    ledger = Ledger(schema_editor.connection)
    ddl = ddl_for(schema_editor.connection, schema_editor.execute)
    if step.state is rows.StepState.ASIDE:
        target = leftovers.of(ddl, step)
        if target.exists(step.aside_name):
            target.bring_back()
        step = ledger.save(step, protocol.restore(step, ledger.now()))
    loose = _kept_loose(ledger, author, step, given_to) if given_to else {}
    given = leftover_table.give_back(ddl, step, loose)
    given_up = list(author.migration) if given_to else None
    step = ledger.save(step, slating.withdrawn(step, ledger.now(), **{slating.GIVEN_TO: given_up}))
    for other in ledger.steps(rows.StepState.WITHDRAWN):
        if other.payload.get(JOINS) == step.id and leftovers.of(ddl, other).exists():
            again = protocol.reslate(other, ledger.now())
            ledger.save(other, replace(again, payload={k: v for k, v in again.payload.items() if k != JOINS}))
    author.report.given_back.append((step, given.nulls))
    left = ddl.table_facts(step.table)
    for column, facts in (left.columns if left else {}).items():
        if facts.foreign_keys:
            author.report.to_validate.append((step.table, column))
            author.report.made_again += [key.name for key in facts.foreign_keys]


def _kept_loose(ledger: Ledger, author: Author, step: rows.Step, model: Model) -> dict[str, str]:
    """Columns of the table that is taken over whose foreign keys stay loose, with their ON DELETE actions."""
    found = {
        field.column: loose_keys.slate(ledger, author, model, field, step)
        for field in model._meta.local_concrete_fields
        if field.column and field.remote_field
    }
    loose = {column: action for column, action in found.items() if action}
    if slating.forbidding(step) - loose.keys():
        author.report.forbidding.append(step.id)
    return loose


class SplitDeleteModel(StandIn, DeleteModel):
    """Stands in for a DeleteModel: the state loses the model, the database keeps its relaxed tables."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = from_state.apps.get_model(app_label, self.name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        for owned in own_tables(model):
            expand(
                schema_editor,
                self.author,
                owned,
                self.author.originals.get(self.name_lower) if owned is model else None,
            )


class GiveBackDeleteModel(SplitDeleteModel):
    """Unapplied: the leftover tables are given back to use; what was erased is made anew, empty."""

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = to_state.apps.get_model(app_label, self.name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        missing = [owned for owned in own_tables(model) if not _given_back(schema_editor, self.author, owned)]
        if model not in missing:
            self.author.returned.add(self.name_lower)
        _make(schema_editor, missing, model)


class SplitRemoveManyToMany(StandIn, RemoveField):
    """Stands in for a RemoveField of a many-to-many field: its table stays for old code."""

    def _through(self, app_label: str, alias: str, state: ProjectState) -> Model | None:
        model = state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(alias, model):
            return None
        relation: Any = model._meta.get_field(self.name)
        through: Model = relation.remote_field.through
        return through

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        through = self._through(app_label, schema_editor.connection.alias, from_state)
        if through is not None:
            expand(schema_editor, self.author, through)


class GiveBackRemoveManyToMany(SplitRemoveManyToMany):
    """Unapplied: the many-to-many table is given back to use, or made anew."""

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        through = self._through(app_label, schema_editor.connection.alias, to_state)
        if through is not None and not _given_back(schema_editor, self.author, through):
            super().database_backwards(app_label, schema_editor, from_state, to_state)


def model_of(operation: Operation) -> str:
    """The lower-cased name of the model that an operation is about; empty where it is about none."""
    name = getattr(operation, "model_name", None) or getattr(operation, "name", None)
    return name.lower() if isinstance(name, str) else ""


class Joined(Operation):
    """Stands in for an operation on a model that the same migration deletes: what it changes goes with the table."""

    def __init__(self, operation: Operation, author: Author) -> None:
        self.operation = operation
        self.model_name = model_of(operation)
        self.author = author
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
        self.author.originals.setdefault(self.model_name, from_state.apps.get_model(app_label, self.model_name))

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        # The table came back with it, unless it had been erased and was made anew.
        if self.model_name not in self.author.returned:
            self.operation.database_backwards(app_label, schema_editor, from_state, to_state)


class ReclaimModel(StandIn, CreateModel):
    """Stands in for a CreateModel some of whose tables are there as leftovers: those are taken over with their rows."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = to_state.apps.get_model(app_label, self.name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        missing = [owned for owned in own_tables(model) if not take_over(schema_editor, self.author, owned)]
        for owned in missing:
            # Before the table, where DDL commits by itself: whoever declares it must not be refused for the old one.
            slating.take_name(Ledger(schema_editor.connection), owned._meta.db_table, "")
        _make(schema_editor, missing, model)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = from_state.apps.get_model(app_label, self.name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        owned = list(own_tables(model))
        going = [one for one in owned if not _left_again(schema_editor, self.author, one)]
        tables = [one._meta.db_table for one in going]
        if going == owned:
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            for one in reversed(going):
                _drop(schema_editor, one)
        for table in tables:
            slating.give_name_up(Ledger(schema_editor.connection), table, "")
            slating.void_columns(Ledger(schema_editor.connection), table)


class ReclaimManyToMany(StandIn, AddField):
    """Stands in for an AddField of a many-to-many field whose table is there as a leftover, or has its name."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        relation: Any = model._meta.get_field(self.name)
        through = relation.remote_field.through
        if not take_over(schema_editor, self.author, through):
            slating.take_name(Ledger(schema_editor.connection), through._meta.db_table, "")
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        relation: Any = model._meta.get_field(self.name)
        through = relation.remote_field.through
        if through._meta.auto_created and _left_again(schema_editor, self.author, through):
            return
        super().database_backwards(app_label, schema_editor, from_state, to_state)
        if through._meta.auto_created:
            slating.give_name_up(Ledger(schema_editor.connection), through._meta.db_table, "")


def take_over(schema_editor: BaseDatabaseSchemaEditor, author: Author, model: Model) -> bool:
    """Take the leftover of this model's table over, if there is one that fits; whether the table is there then."""
    ledger = Ledger(schema_editor.connection)
    ddl = ddl_for(schema_editor.connection, schema_editor.execute)
    table = model._meta.db_table
    step = slating.open_step(ledger, table, "")
    if step is None:
        # An attempt that was interrupted has taken it over already.
        return slating.given_to(ledger, table, "", author.migration) is not None and bool(ddl.columns(table))
    if not slating.is_there(ddl, step):
        author.report.notes.append(f"{step.target} was dropped by hand: it is created anew, empty.")
        slating.note_gone(ledger, step)
        return False
    if not matches(step, model, schema_editor.connection):
        return False
    give_back(schema_editor, author, step, given_to=model)
    return True


def matches(step: rows.Step, model: Model, connection: Any) -> bool:
    """Whether a model could take the leftover table over as it is: the same columns, declared alike."""
    before = step.payload.get("declared")
    return bool(before) and before == declared(model, connection)


def declared(model: Model, connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """What tells whether a model that is created later is the same one, in a form that the ledger can store."""
    fields = model._meta.local_concrete_fields
    return {
        "columns": leftover_table.declared(fields, connection),
        "parts": sorted(repr(part.deconstruct()) for part in (*model._meta.indexes, *model._meta.constraints)),
        "together": sorted(sorted(group) for group in model._meta.unique_together),
        "indexed": sorted(f.column for f in fields if getattr(f, "db_index", False) and f.column),
    }


def _given_back(schema_editor: BaseDatabaseSchemaEditor, author: Author, model: Model) -> bool:
    """Whether the table of this migration's removal is in use again; else it is to be made anew."""
    ledger = Ledger(schema_editor.connection)
    ddl = ddl_for(schema_editor.connection, schema_editor.execute)
    step = slating.removal_by(ledger, model._meta.db_table, "", author.names)
    if step is not None and step.state in slating.OPEN:
        if slating.is_there(ddl, step):
            give_back(schema_editor, author, step, given_to=None)
            return True
        author.report.notes.append(f"{step.target} was dropped by hand: it is created anew, empty.")
        slating.note_gone(ledger, step)
        return False
    if step is not None and step.state is rows.StepState.WITHDRAWN and slating.is_there(ddl, step):
        # Given back already by an attempt that was interrupted.
        if "found" in step.payload:
            leftover_table.give_back(ddl, step, {})
        return True
    return False


def _left_again(schema_editor: BaseDatabaseSchemaEditor, author: Author, model: Model) -> bool:
    """Unapplied: give the table that this migration has taken over back to its removal, which waits again.

    Whether that is where the table belongs. Old code's rows are in it. The ledger is written last: until then, where
    DDL commits by itself, the table is in use by a migration that is applied, and nobody may take it away.
    """
    ledger = Ledger(schema_editor.connection)
    ddl = ddl_for(schema_editor.connection, schema_editor.execute)
    table = model._meta.db_table
    step = slating.taken_over_by(ledger, table, "", author.names)
    if step is None:
        return False
    if step.state in slating.OPEN:
        # By an attempt that was interrupted.
        return True
    if ddl.table_facts(table) is None:
        return False
    if schema_editor.connection.vendor != "mysql":
        planned = leftover_table.plan_aside(ddl, step)
        step = ledger.save(step, replace(planned, version=step.version + 1))
        leftover_table.free_names(ddl, step)
    found, left = (TableFacts.from_json(step.payload.get(key) or {}) for key in ("found", "left"))
    cascading = {c for c, facts in left.columns.items() if any(k.on_delete == "CASCADE" for k in facts.foreign_keys)}
    leftover_table.relax(ddl, table, found, cascading)
    now = ddl.table_facts(table)
    assert now is not None
    _join(ledger, step)
    step = ledger.save(step, slating.reslated(step, ledger.now(), left=now.to_json()))
    may_read_null = any(facts.null and not found.columns[c].null for c, facts in now.columns.items())
    author.report.slated.append((step, may_read_null))
    author.report.to_validate += [(table, column) for column, facts in now.columns.items() if facts.foreign_keys]
    return True


def _join(ledger: Ledger, step: rows.Step) -> None:
    """Withdraw what waits for the table's columns: they go with it, leftovers and defaults for old code among them."""
    for other in ledger.steps(rows.StepState.WAITING):
        if other.table == step.table and other.column:
            gone = protocol.withdraw(other, ledger.now())
            # What has made foreign keys loose has been found as it is declared: it is not wanted again.
            joins = {} if other.kind is rows.StepKind.KEY else {JOINS: step.id}
            ledger.save(other, replace(gone, payload={**gone.payload, **joins}))


def _drop(schema_editor: BaseDatabaseSchemaEditor, model: Model) -> None:
    """Drop one of a model's tables, without its many-to-many tables."""
    relations = list(model._meta.local_many_to_many)
    model._meta.local_many_to_many[:] = []
    try:
        schema_editor.delete_model(model)
    finally:
        model._meta.local_many_to_many[:] = relations


def _make(schema_editor: BaseDatabaseSchemaEditor, missing: list[Model], model: Model) -> None:
    """Create those of the model's tables that are missing."""
    if model in missing:
        present = [owned for owned in own_tables(model) if owned not in missing]
        # create_model makes the many-to-many tables too.
        relations = list(model._meta.local_many_to_many)
        kept = [r for r in relations if r.remote_field.through not in present]
        model._meta.local_many_to_many[:] = kept
        try:
            schema_editor.create_model(model)
        finally:
            model._meta.local_many_to_many[:] = relations
    else:
        for through in missing:
            schema_editor.create_model(through)
