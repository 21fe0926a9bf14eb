"""The private parts of Django that guard touches are as guard takes them to be, on each version of Django."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.management.commands.migrate import Command
from django.db import connection, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.sqlite3.schema import DatabaseSchemaEditor
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.models.options import Options
from django.utils.functional import cached_property


def parameters(function: Callable[..., Any]) -> list[str]:
    # As written, not as wrapped by guard.
    return list(inspect.signature(inspect.unwrap(function)).parameters)


class TestExecutor:
    def test_it_makes_the_state_of_what_is_applied(self) -> None:
        assert parameters(MigrationExecutor._create_project_state) == ["self", "with_applied_migrations"]

    def test_its_methods_take_what_guard_hands_on(self) -> None:
        assert parameters(MigrationExecutor.migrate) == ["self", "targets", "plan", "state", "fake", "fake_initial"]
        assert parameters(MigrationExecutor.apply_migration) == ["self", "state", "migration", "fake", "fake_initial"]
        assert parameters(MigrationExecutor.unapply_migration) == ["self", "state", "migration", "fake"]

    def test_it_calls_back_a_method_of_the_command(self) -> None:
        # What guard prints goes where the command prints.
        source = inspect.getsource(inspect.getmodule(Command))
        assert "MigrationExecutor(connection, self.migration_progress_callback)" in source
        executor = MigrationExecutor(connection, Command().migration_progress_callback)
        assert isinstance(executor.progress_callback.__self__, Command)

    def test_its_loader_tells_applied_migrations_and_replacements_by_key(self) -> None:
        loader = MigrationLoader(None)
        assert isinstance(loader.applied_migrations, dict)
        assert isinstance(loader.replacements, dict)
        node = loader.graph.node_map["auth", "0001_initial"]
        assert ("auth", "0002_alter_permission_name_max_length") in {child.key for child in node.children}

    def test_the_command_gets_the_named_target_by_keyword(self) -> None:
        named = vars(Command().create_parser("manage.py", "migrate").parse_args(["auth", "0001"]))
        assert (named["app_label"], named["migration_name"]) == ("auth", "0001")


class TestSchemaEditor:
    def test_a_rebuild_on_sqlite_takes_the_model_first(self) -> None:
        names = parameters(DatabaseSchemaEditor._remake_table)
        assert names == ["self", "model", "create_field", "delete_field", "alter_fields"]

    def test_a_rebuild_reads_the_concrete_fields_of_the_model(self) -> None:
        source = inspect.getsource(inspect.unwrap(DatabaseSchemaEditor._remake_table))
        assert "model._meta.local_concrete_fields" in source

    def test_it_says_which_indexes_a_field_wants(self) -> None:
        assert parameters(BaseDatabaseSchemaEditor._field_indexes_sql) == ["self", "model", "field"]


class TestModels:
    def test_what_options_remember_of_their_fields_can_be_forgotten(self) -> None:
        assert parameters(Options._expire_cache) == ["self", "forward", "reverse"]

        class Thing(models.Model):  # noqa: DJ008
            class Meta:
                app_label = "django_facts"

        options = Thing._meta
        extra = models.IntegerField()
        extra.set_attributes_from_name("extra")
        extra.concrete = True
        extra.model = Thing
        before = list(options.local_concrete_fields)
        options.local_fields.append(extra)
        options._expire_cache()
        assert list(options.local_concrete_fields) == [*before, extra]
        options.local_fields.remove(extra)
        options._expire_cache()
        assert list(options.local_concrete_fields) == before

    def test_a_field_remembers_the_expression_of_its_database_default(self) -> None:
        assert isinstance(vars(models.Field)["_db_default_expression"], cached_property)
        field = models.IntegerField(db_default=1)
        assert field._db_default_expression.value == 1
        field.db_default = 2
        field.__dict__.pop("_db_default_expression")
        assert field._db_default_expression.value == 2


def test_a_default_is_what_django_puts_into_rows_that_are_there() -> None:
    field = models.IntegerField(default=1)
    assert field.get_default() == 1
    once = copy.copy(field)
    once.__dict__.pop("_get_default", None)
    once.default = 2

    assert BaseDatabaseSchemaEditor._effective_default(once) == 2
    assert isinstance(BaseDatabaseSchemaEditor._effective_default(models.DateTimeField(auto_now=True)), datetime)
    assert BaseDatabaseSchemaEditor._effective_default(models.TextField(blank=True)) == ""


def test_a_lent_database_default_is_rendered_anew() -> None:
    field = models.IntegerField(db_default=1)
    assert field._db_default_expression.value == 1
    field.db_default = 2
    field.__dict__.pop("_db_default_expression", None)

    assert field._db_default_expression.value == 2
