"""RemoveField in two steps: relax the column now; set it aside and erase it when nobody uses it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import RemoveField
from django.db.migrations.state import ProjectState

from guard.ledger import protocol, rows
from guard.ledger.store import Ledger
from guard.steps import leftover, loose_keys, slating
from guard.steps.add_field import make_index, take_over
from guard.steps.ddl import ColumnFacts, ddl_for
from guard.steps.relaxing import static_default
from guard.steps.standing_in import StandIn


class SplitRemoveField(StandIn, RemoveField):
    """Stands in for a RemoveField: the state loses the field, the database keeps a relaxed column."""

    #: Whether a constraint over the column stays with it: rows that leave it out must have NULL there.
    constrained: bool = False
    #: Names of indexes and constraints that the migration takes away too, and that stay with the column.
    companions: frozenset[str] = frozenset()
    #: Whether those of `unique_together` or `index_together` are among them.
    together: bool = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        field = model._meta.get_field(self.name)
        assert isinstance(field, models.Field)
        self._expand(schema_editor, model, field)

    def _expand(
        self, schema_editor: BaseDatabaseSchemaEditor, model: type[models.Model], field: models.Field[Any, Any]
    ) -> None:
        connection = schema_editor.connection
        ledger = Ledger(connection)
        ddl = ddl_for(connection, schema_editor.execute)
        table, column = model._meta.db_table, field.column
        assert column is not None
        found = ddl.facts(table, column)
        if found is None:
            gone = f"{table}.{column} is not in the database: somebody has dropped it already."
            self.author.report.notes.append(gone)
            return
        kept, loose = slating.keeping(ledger, table, column), loose_keys.open_steps(ledger, table, column)
        found = loose_keys.as_declared(found, loose)
        for keeping in kept:
            # The column as the models had it: what guard itself keeps for old code is not the column's own.
            if keeping.kind is rows.StepKind.DEFAULT or keeping.payload.get("kept"):
                found = replace(found, default=None)
            if keeping.kind is rows.StepKind.NULLABLE:
                found = replace(found, null=False)
        app, name = self.author.migration
        shared = leftover.shared_parts(ddl, table, column)
        facts = {
            "found": found.to_json(),
            "declared": leftover.declared(field, connection),
            "shared": list(shared),
            leftover.COMPANIONS: self._companions(schema_editor, model, column),
        }
        step = slating.slate(
            ledger,
            rows.Step(
                id=0,
                kind=rows.StepKind.COLUMN,
                state=rows.StepState.WAITING,
                app=app,
                migration=name,
                replaced_by=self.author.replaced_by,
                table=table,
                column=column,
                model=model._meta.label,
                field=field.name,
                payload=facts,
            ),
        )
        for keeping in (*kept, *loose):
            ledger.save(keeping, protocol.withdraw(keeping, ledger.now()))
        if "found" not in step.payload:
            # Slated while its migration was held whole: the facts come with the migration.
            step = ledger.save(step, replace(step, version=step.version + 1, payload=facts))
        # Also what a migration before this one left, in a plan that was interrupted between them.
        constrained = self.constrained or any(
            part["unique"] and not part["primary_key"] and len(part["columns"]) > 1 and column in part["columns"]
            for part in leftover.parts(connection, table).values()
        )
        # After an interrupted attempt the row has what the column was before it.
        first_found = ColumnFacts.from_json(step.payload["found"])
        if constrained and kept:
            # One value for every row of new code would violate what is unique over it.
            ddl.drop_default(table, column)
        plan = leftover.relax(
            ddl,
            table,
            column,
            field,
            first_found,
            lambda value: field.get_db_prep_save(value, connection),
            unique=constrained or field.unique,
        )
        left = ddl.facts(table, column)
        assert left is not None
        after = replace(step, version=step.version + 1, payload={**step.payload, "left": left.to_json()})
        self.author.report.slated.append((ledger.save(step, after), plan.may_read_null))
        if plan.release_parents:
            self.author.report.to_validate.append((table, column))

    def _companions(self, schema_editor: BaseDatabaseSchemaEditor, model: type[models.Model], column: str) -> list[str]:
        declared = {part.name for part in (*model._meta.indexes, *model._meta.constraints)}
        return [
            name
            for name, part in leftover.parts(schema_editor.connection, model._meta.db_table).items()
            if column in (part["columns"] or ())
            and (
                name in self.companions
                or (
                    self.together
                    and len(part["columns"]) > 1
                    and (part["unique"] or part["index"])
                    and not (part["primary_key"] or name in declared)
                )
            )
        ]


class GiveBackRemoveField(SplitRemoveField):
    """Unapplied: the leftover is given back to use, from wherever its step stands; erased, Django adds it anew."""

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        field = model._meta.get_field(self.name)
        assert isinstance(field, models.Field)
        ledger = Ledger(schema_editor.connection)
        ddl = ddl_for(schema_editor.connection, schema_editor.execute)
        step = slating.removal_by(ledger, model._meta.db_table, field.column or "", self.author.names)
        default = static_default(field)
        if step is not None and step.state in slating.OPEN:
            if slating.is_there(ddl, step):
                was_in_use_again = step.payload.get(slating.GIVEN_TO) is not None
                take_over(schema_editor, step, field, default, self.author.report)
                if was_in_use_again:
                    # It may have lost it since.
                    make_index(schema_editor, model, field)
                return
            self.author.report.notes.append(f"{step.target} was dropped by hand: it is added anew, empty.")
            slating.note_gone(ledger, step)
        elif step is not None and step.state is rows.StepState.WITHDRAWN and slating.is_there(ddl, step):
            # Given back already by an attempt that was interrupted, or never taken away.
            if "found" in step.payload:
                leftover.give_back(
                    ddl,
                    step,
                    null=field.null,
                    default=default,
                    prepare=lambda value: field.get_db_prep_save(value, schema_editor.connection),
                )
            return
        super().database_backwards(app_label, schema_editor, from_state, to_state)
