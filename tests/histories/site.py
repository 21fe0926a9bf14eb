"""A real project on a database of its own: what Django, guard and its releases do there."""

from __future__ import annotations

import datetime
import io
import uuid
from contextlib import contextmanager
from unittest import mock

from django.db import connections

from sampleapp.stage import databases
from tests.integration.gate.harness import entry

#: What a server's sequence gives: also what was undone has drawn from it.
_DRAWN = "id"

#: Kept by Django or by guard, numbered as they come.
_OWN = ("django_migrations", "django_content_type", "auth_permission")


class Site:
    """The project on this database, which is the default one: published migrations use that."""

    def __init__(self, history, database):
        from guard.ledger.store import Ledger

        self.history = history
        self.database = database
        self.said = ""
        connections["default"].close()
        del connections["default"]
        connections.settings["default"] = connections.configure_settings({"default": entry(database)})["default"]
        self.connection = connections["default"]
        self.ledger = Ledger(self.connection)

    @classmethod
    def create(cls, history, vendor, directory):
        """The project on a new database, which has nothing but guard's tables."""
        from django.db.migrations.executor import MigrationExecutor

        from tests.integration.matrix.harness import _unguarded

        site = cls(history, databases.create(vendor, directory))
        with _unguarded():
            executor = MigrationExecutor(site.connection)
            executor.migrate([key for key in executor.loader.graph.leaf_nodes() if key[0] == "guard"])
        site.ledger.make_gate(fresh=False)
        return site

    def copy(self, directory):
        """A site on a copy of its database, as it stands. The copy is the default database from then on."""
        self.connection.close()
        return Site(self.history, self.database.copy(directory))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.database.drop()

    def plainly(self, target):
        """Run `migrate` as Django does without guard."""
        from tests.integration.matrix.harness import _unguarded

        with _unguarded():
            self._migrate(target, io.StringIO())

    @contextmanager
    def code(self, target, **guard):
        """As code of this release."""
        from django.test import override_settings

        from guard.gate import contract, evidence
        from tests.integration.gate.harness import WINDOWS

        me = evidence.Taker(target.footprint(self.connection), "new", "tests")
        with (
            mock.patch.object(contract, "taker", return_value=me),
            override_settings(GUARD={**WINDOWS, "RELEASE": "new", "MODE": "enforce", **guard}),
        ):
            yield me

    def migrate(self, target):
        """`manage.py migrate` of this release; raises CommandError where it is refused."""
        from django.core.management.base import CommandError

        from guard.gate.executor import EXIT_HELD

        out = io.StringIO()
        try:
            with self.code(target):
                self._migrate(target, out)
        except CommandError as error:
            if error.returncode != EXIT_HELD:
                raise
        finally:
            self.said = "\n".join(line for line in out.getvalue().splitlines() if "  Applying " not in line)

    def _migrate(self, target, out):
        from django.core.management import call_command
        from django.core.management.base import OutputWrapper
        from django.core.management.commands.migrate import Command
        from django.db.migrations.executor import MigrationExecutor

        if target is self.history.newest:
            call_command("migrate", interactive=False, no_color=True, stdout=out)
            return
        # Only the newest code is there to send pre_migrate and post_migrate.
        command = Command(stdout=OutputWrapper(out), no_color=True)
        command.verbosity = 1
        executor = MigrationExecutor(self.connection, command.migration_progress_callback)
        executor.loader = self.history.loader(self.connection, target)
        executor.migrate(executor.loader.graph.leaf_nodes())

    def contract(self, target):
        """`manage.py guard contract` of this release, when everybody has reported; what it tried.

        What a data migration has copied, the deployed code may have written behind it: the operator has looked at that.
        """
        from guard import conf
        from guard.gate import contract
        from guard.gate.orders import Desk
        from guard.ledger.rows import StepState

        for instance in self.ledger.instances():
            for _ in range(2):
                self.ledger.beat(instance.id, lease=6000.0, watched_epoch=self.ledger.epoch(), flush_no=1)
        with self.code(target, KEEP_FOR=0) as me, contract.contractor("default", conf.strict(), me) as gate:
            for step in self.ledger.steps(StepState.WAITING):
                if any(blocker.code == "late-writes" for blocker in gate.judge(step).blockers):
                    Desk(gate).allow(step.target, ["late-writes"], reason="looked at", expires="1h", pending=())
            return gate.round(patience=5.0)

    def arrive(self, name, release):
        from guard.ledger import rows

        me = rows.Registration(uuid.uuid4().hex, name, rows.InstanceKind.SERVER, "web", False, "host", 1)
        self.ledger.register(me, release.footprint(self.connection), lease=6000.0)
        return me.id

    def applied(self, target):
        from django.db.migrations.recorder import MigrationRecorder

        return target.keys <= set(MigrationRecorder(self.connection).applied_migrations())

    def waiting(self):
        from guard.ledger.rows import StepState

        return [
            f"{step.target} ({step.kind}, {step.state})"
            for step in self.ledger.steps(StepState.WAITING, StepState.SEALED, StepState.ASIDE)
        ]

    def seed(self, release):
        """A row of each model that a generic value can be found for."""
        from django.db import transaction

        from tests.integration.phases import oracle

        for model in release.models:
            try:
                with transaction.atomic():
                    oracle._seed(self.connection, [model])
                    oracle._check_constraints(self.connection)
            except Exception:
                # What a model demands of its rows beyond its fields' types nobody can know.
                continue

    def work(self, release):
        """What the release's code can do here, by model: several apps may have one of the same name."""
        from tests.integration.phases import oracle

        return {
            f"{model._meta.label}: {name}": result
            for model in release.models
            for name, result in oracle._work(self.connection, [model], ("plain", "null")).items()
        }

    def _tables(self, cursor):
        return [
            table
            for table in self.connection.introspection.table_names(cursor)
            if not table.startswith("guard_") and table != "django_migrations"
        ]

    def schema(self):
        from tests.integration.matrix.harness import table_facts

        with self.connection.cursor() as cursor:
            return {table: table_facts(self.connection, cursor, table) for table in self._tables(cursor)}

    def rows(self):
        """Every table's rows; of what is another in each run (times, numbers drawn by lot), only that it is there."""
        found = {}
        with self.connection.cursor() as cursor:
            for table in self._tables(cursor):
                if table in _OWN or table in self.history.project.fleeting:
                    continue
                described = self.connection.introspection.get_table_description(cursor, table)
                unlike = {"content_type_id"} if self.connection.vendor == "sqlite" else {"content_type_id", _DRAWN}
                columns = sorted({each.name for each in described} - unlike)
                if not columns:
                    continue
                listed = ", ".join(map(self.connection.ops.quote_name, columns))
                cursor.execute(f"SELECT {listed} FROM {self.connection.ops.quote_name(table)}")
                found[table] = sorted(
                    tuple(f"{name}={_settled(value)!r}" for name, value in zip(columns, row, strict=True))
                    for row in cursor.fetchall()
                )
        return found


def _settled(value):
    if isinstance(value, (datetime.datetime, uuid.UUID)):
        return type(value).__name__
    if isinstance(value, str):
        if value.startswith("md5$"):
            return "hashed"
        for kind in (datetime.datetime.fromisoformat, uuid.UUID):
            try:
                kind(value)
            except ValueError:
                continue
            return kind.__qualname__
    return value
