"""Tables as Django's schema editor makes them, and the steps' DDL on them as the executor and the gate run it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.db import migrations, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ProjectState

from guard.ledger import rows
from guard.steps import leftover
from guard.steps.ddl import ColumnFacts, Ddl, ddl_for
from guard.steps.relaxing import Relaxing

#: Django's own key, as in most tables.
KEY = ("id", models.BigAutoField(primary_key=True))


class Bench:
    """A table `bench_item`, with a parent `bench_parent`, and one field of interest."""

    def __init__(self, connection: BaseDatabaseWrapper, *, table: str = "bench_item") -> None:
        self.connection = connection
        self.table = table
        self.name = ""
        self.said: list[str] = []
        self.state = ProjectState()

    def make(self, name: str, field: models.Field[Any, Any]) -> None:
        self.make_all({name: field})
        self.name = name

    def make_all(self, things: dict[str, models.Field[Any, Any]]) -> None:
        """With several fields of interest; `name` says which of them is spoken of."""
        self.apply(migrations.CreateModel("Parent", [KEY, ("label", models.CharField(max_length=9, unique=True))]))
        fields = [KEY, ("other", models.CharField(max_length=9, default="x")), *things.items()]
        self.apply(migrations.CreateModel("Item", fields, options={"db_table": self.table}))

    def apply(self, operation: Any) -> None:
        """Run an operation as a migration does."""
        after = self.state.clone()
        operation.state_forwards("bench", after)
        with self.connection.schema_editor() as editor:
            operation.database_forwards("bench", editor, self.state, after)
        self.state = after

    def model(self, name: str = "Item") -> Any:
        return self.state.apps.get_model("bench", name)

    @property
    def items(self) -> Any:
        return self.model().objects.using(self.connection.alias)

    @property
    def field(self) -> Any:
        return self.model()._meta.get_field(self.name)

    @property
    def column(self) -> str:
        column: str = self.field.column
        return column

    def prepare(self, value: object) -> object:
        return self.field.get_db_prep_save(value, self.connection)

    @contextmanager
    def expanding(self) -> Iterator[Ddl]:
        """DDL within a migration."""
        self.said = []
        with self.connection.schema_editor() as editor:

            def execute(sql: str, params: Any) -> None:
                self.said.append(sql)
                editor.execute(sql, params)

            yield ddl_for(self.connection, execute)

    @contextmanager
    def contracting(self) -> Iterator[Ddl]:
        """DDL on guard's private connection; this one stands in for it."""
        self.said = []
        sqlite = self.connection.vendor == "sqlite"
        if sqlite:
            self.connection.disable_constraint_checking()

        def execute(sql: str, params: Any) -> None:
            self.said.append(sql)
            with self.connection.cursor() as cursor:
                cursor.execute(sql, params)

        try:
            yield ddl_for(self.connection, execute)
        finally:
            if sqlite:
                self.connection.enable_constraint_checking()

    def facts(self, column: str | None = None) -> ColumnFacts | None:
        return ddl_for(self.connection, lambda sql, params: None).facts(self.table, column or self.column)

    def parts(self, column: str | None = None) -> tuple[str, ...]:
        return ddl_for(self.connection, lambda sql, params: None).part_names(self.table, column or self.column)

    # The steps

    def step(self, found: ColumnFacts) -> rows.Step:
        return rows.Step(
            7,
            rows.StepKind.COLUMN,
            rows.StepState.WAITING,
            "bench",
            "0002",
            table=self.table,
            column=self.column,
            payload={"found": found.to_json(), "declared": leftover.declared(self.field, self.connection)},
        )

    def relax(self, found: ColumnFacts | None = None) -> Relaxing:
        found = found or self.facts()
        assert found is not None
        with self.expanding() as ddl:
            return leftover.relax(ddl, self.table, self.column, self.field, found, self.prepare)

    def set_aside(self, step: rows.Step) -> rows.Step:
        with self.contracting() as ddl:
            planned = leftover.plan_aside(ddl, step)
            name = leftover.aside_name(step, self.connection.ops.max_name_length())
            leftover.set_aside(ddl, planned, name)
        return replace(planned, aside_name=name, state=rows.StepState.ASIDE)

    def bring_back(self, step: rows.Step) -> None:
        with self.contracting() as ddl:
            leftover.bring_back(ddl, step)

    def erase(self, step: rows.Step) -> None:
        with self.contracting() as ddl:
            leftover.erase(ddl, step)

    def insert(self) -> None:
        """A row as new code inserts it, which does not know the field."""
        quote = self.connection.ops.quote_name
        with self.connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {quote(self.table)} ({quote('other')}) VALUES ('new')")

    def insert_without(self) -> Any:
        """The same, read as old code reads it."""
        self.insert()
        return self.items.order_by("-pk")[0]

    def drop(self) -> None:
        if self.connection.vendor == "sqlite":
            self.connection.disable_constraint_checking()
        quote = self.connection.ops.quote_name
        with self.connection.cursor() as cursor:
            for table in (self.table, "bench_parent"):
                cursor.execute(f"DROP TABLE IF EXISTS {quote(table)}")
        if self.connection.vendor == "sqlite":
            self.connection.enable_constraint_checking()
