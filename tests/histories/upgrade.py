"""Upgrades a real project under guard from each of its past states that something was taken away after.

python -m tests.histories.upgrade DATABASE PROJECT [POSITION…]

First `guard lint` goes over the whole history. Then, for each state: code of that state is deployed and writes rows;
the newest release's `migrate` runs; what the deployed code could do, it still can; once it has stopped and all steps
are taken, the schema is the one that Django alone makes. Prints one line for each state, and how many operations run,
are split, held or refused. It exits with 1 if anything broke.
"""

from __future__ import annotations

import collections
import io
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from django.conf import settings
from django.db import connections

from sampleapp.stage import databases
from tests.histories.projects import PROJECTS
from tests.integration.gate.harness import entry

#: How often the newest release's `migrate` and `guard contract` are run until nothing is left to do.
ROUNDS = 12


def configure(project, database, directory):
    """Django, set up for the project with `database` as an entry of DATABASES."""
    import django

    settings.configure(
        **{
            "SECRET_KEY": "histories",
            "USE_TZ": True,
            "SITE_ID": 1,
            "ROOT_URLCONF": "tests.histories.projects",
            "STATIC_URL": "/static/",
            "MEDIA_ROOT": str(directory / "media"),
            "DEFAULT_AUTO_FIELD": "django.db.models.AutoField",
            "INSTALLED_APPS": [*project.apps, "guard"],
            # Published migrations ask what the database is, and can do, when they are imported.
            "DATABASES": {"default": database},
            "GUARD": {"MODE": "off", "RELEASE": "histories"},
            **project.settings,
        }
    )
    django.setup()


class History:
    """Every migration of the project, in the order in which a new database gets them."""

    def __init__(self):
        from django.db.migrations.loader import MigrationLoader

        graph = MigrationLoader(None).graph
        keys = dict.fromkeys(
            key for leaf in sorted(graph.leaf_nodes()) for key in graph.forwards_plan(leaf) if key[0] != "guard"
        )
        self.migrations = [graph.nodes[key] for key in keys]
        self.keys = set(keys)

    def state(self, count):
        from django.db.migrations.state import ProjectState

        state = ProjectState()
        for migration in self.migrations[:count]:
            state = migration.mutate_state(state, preserve=False)
        return state

    def models(self, count):
        from tests.integration.phases import oracle

        apps = oracle._apart(self.state(count)).apps
        return [found for found in apps.get_models() if found._meta.managed and not found._meta.proxy]

    def footprint(self, count, connection):
        from guard.schema.footprint import Column, Footprint
        from tests.integration.phases import oracle

        tables = {
            found._meta.db_table: {
                f.column: Column(f.db_type(connection) or "", f.null, f.has_db_default())
                for f in found._meta.local_concrete_fields
                if f.column
            }
            for found in oracle._apart(self.state(count)).apps.get_models(include_auto_created=True)
            if found._meta.managed and not found._meta.proxy
        }
        names = {(one.app_label, one.name) for one in self.migrations[:count]}
        names |= {tuple(pair) for one in self.migrations[:count] for pair in one.replaces}
        return Footprint(tables=tables, migrations=frozenset(names))

    def judged(self, connection):
        """For each migration, the dispositions of its operations where it is applied alone."""
        from django.db.migrations.state import ProjectState

        from guard import conf
        from guard.phases import plan

        state = ProjectState()
        for migration in self.migrations:
            (judgement,) = plan.judge_plan(
                [migration], state, connection=connection, strategy=conf.Strategy.SPLIT, alias=connection.alias
            )
            yield migration, [judged.disposition for judged in judgement.operations]
            state = migration.mutate_state(state, preserve=False)


def read(project, vendor, directory):
    """The project's history, beside a database of its own."""
    database = databases.create(vendor, directory)
    try:
        configure(project, entry(database), directory)
        return History()
    finally:
        connections.close_all()
        database.drop()


class Site:
    """The project on a database of its own, which is the default one: published migrations use that."""

    def __init__(self, history, vendor, directory):
        from django.db.migrations.executor import MigrationExecutor

        from guard.ledger.store import Ledger
        from tests.integration.matrix.harness import _unguarded

        directory.mkdir()
        self.history = history
        self.database = databases.create(vendor, directory)
        connections["default"].close()
        del connections["default"]
        connections.settings["default"] = connections.configure_settings({"default": entry(self.database)})["default"]
        self.connection = connections["default"]
        self.said = ""
        with _unguarded():
            executor = MigrationExecutor(self.connection)
            executor.migrate([key for key in executor.loader.graph.leaf_nodes() if key[0] == "guard"])
        self.ledger = Ledger(self.connection)
        self.ledger.make_gate(fresh=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.database.drop()

    def plainly(self, count=None):
        """Apply the first `count` migrations, or run `migrate`, as Django does without guard."""
        from django.core.management import call_command
        from django.db.migrations.executor import MigrationExecutor
        from django.db.migrations.state import ProjectState

        from tests.integration.matrix.harness import _unguarded

        with _unguarded():
            if count is None:
                call_command("migrate", interactive=False, verbosity=0)
                return
            executor = MigrationExecutor(self.connection)
            done = set(executor.loader.applied_migrations)
            state = ProjectState(real_apps=executor.loader.unmigrated_apps)
            todo = []
            for migration in self.history.migrations[:count]:
                if (migration.app_label, migration.name) in done:
                    state = migration.mutate_state(state, preserve=False)
                else:
                    todo.append(migration)
            for migration in todo:
                state = executor.apply_migration(state, migration)

    @contextmanager
    def newest(self, **guard):
        """As code of the newest release, which is what this process runs."""
        from django.test import override_settings

        from guard.gate import contract, evidence
        from tests.integration.gate.harness import WINDOWS

        me = evidence.Taker(self.history.footprint(None, self.connection), "new", "tests")
        with (
            mock.patch.object(contract, "taker", return_value=me),
            override_settings(GUARD={**WINDOWS, "RELEASE": "new", "MODE": "enforce", **guard}),
        ):
            yield me

    def migrate(self):
        """`manage.py migrate` of the newest release; raises CommandError where it is refused."""
        from django.core.management import call_command
        from django.core.management.base import CommandError

        from guard.gate.executor import EXIT_HELD

        out = io.StringIO()
        try:
            with self.newest():
                call_command("migrate", interactive=False, no_color=True, stdout=out)
        except CommandError as error:
            if error.returncode != EXIT_HELD:
                raise
        finally:
            self.said = "\n".join(line for line in out.getvalue().splitlines() if "  Applying " not in line)

    def contract(self):
        """`manage.py guard contract` of the newest release, when everybody has reported; what it tried."""
        from guard import conf
        from guard.gate import contract

        for instance in self.ledger.instances():
            for _ in range(2):
                self.ledger.beat(instance.id, lease=6000.0, watched_epoch=self.ledger.epoch(), flush_no=1)
        with self.newest(KEEP_FOR=0) as me, contract.contractor("default", conf.strict(), me) as gate:
            return gate.round(patience=5.0)

    def arrive(self, release, count):
        from guard.ledger import rows

        me = rows.Registration(uuid.uuid4().hex, release, rows.InstanceKind.SERVER, "web", False, "host", 1)
        self.ledger.register(me, self.history.footprint(count, self.connection), lease=6000.0)
        return me.id

    def applied(self):
        from django.db.migrations.recorder import MigrationRecorder

        return self.history.keys <= set(MigrationRecorder(self.connection).applied_migrations())

    def waiting(self):
        from guard.ledger.rows import StepState

        return [
            f"{step.target} ({step.kind}, {step.state})"
            for step in self.ledger.steps(StepState.WAITING, StepState.SEALED, StepState.ASIDE)
        ]

    def seed(self, count):
        """A row of each model that a generic value can be found for."""
        from django.db import transaction

        from tests.integration.phases import oracle

        for model in self.history.models(count):
            try:
                with transaction.atomic():
                    oracle._seed(self.connection, [model])
                    oracle._check_constraints(self.connection)
            except Exception:
                # What a model demands of its rows beyond its fields' types nobody can know.
                continue

    def work(self, count):
        from tests.integration.phases import oracle

        return oracle._work(self.connection, self.history.models(count), ("plain", "null"))

    def schema(self):
        from tests.integration.matrix.harness import table_facts

        with self.connection.cursor() as cursor:
            return {
                table: table_facts(self.connection, cursor, table)
                for table in self.connection.introspection.table_names(cursor)
                if not table.startswith("guard_") and table != "django_migrations"
            }


def upgrade(history, vendor, directory, count):
    """What `migrate` did ("split", "held" or "refused"), and everything that broke."""
    from django.core.management.base import CommandError

    rows_survive = True
    with Site(history, vendor, directory / "plain") as plain:
        plain.plainly(count)
        plain.seed(count)
        old_own = plain.work(count)
        try:
            plain.plainly()
        except Exception:
            # Generic rows may not be what a data migration, or a new constraint, can live with.
            rows_survive = False
        new_own = plain.work(None) if rows_survive else {}
        wanted = plain.schema()
    if not rows_survive:
        with Site(history, vendor, directory / "empty") as plain:
            plain.plainly(count)
            old_own = plain.work(count)
            plain.plainly()
            new_own, wanted = plain.work(None), plain.schema()

    broken = []
    with Site(history, vendor, directory / "guarded") as site:
        site.plainly(count)
        if rows_survive:
            site.seed(count)
        old = site.arrive("old", count)
        outcome = "split"
        try:
            site.migrate()
        except CommandError as error:
            outcome, site.said = "refused", str(error)
        said = site.said
        broken += _worse("deployed code", old_own, site.work(count), history, count)
        if outcome == "split":
            if site.applied():
                broken += _worse("new code", new_own, site.work(None), history, None)
            else:
                outcome = "held"
        if outcome != "refused":
            site.arrive("new", None)
        # Or the maintenance window: nobody runs.
        site.ledger.leave(old)
        for _ in range(ROUNDS):
            try:
                site.migrate()
            except CommandError as error:
                # Steps that the plan itself slates are reported for at the next heartbeat.
                site.said = str(error)
            if outcome == "refused":
                site.arrive("new", None)
            if not any(attempt.taken for attempt in site.contract()) and site.applied():
                break
        if not site.applied():
            broken.append(f"not applied in the end: {site.said}")
        broken += [f"still waiting: {target}" for target in site.waiting()]
        found = site.schema()
        broken += [
            f"table {table} is not as Django makes it: {found.get(table)} instead of {wanted.get(table)}"
            for table in sorted(found.keys() | wanted.keys())
            if found.get(table) != wanted.get(table)
        ]
    return outcome, said, broken


def _worse(who, own, now, history, count):
    """What got worse for code; deletes of what rows of an app refer to that it never had are the app's doing."""
    from tests.integration.phases import oracle

    known = {model._meta.db_table for model in history.models(count)}

    def of_a_new_app(result):
        return "foreign key" in result.lower() and not any(
            f"'{table}'" in result or f'"{table}"' in result for table in known
        )

    return [
        f"{who}: {name}: {result}"
        for name, result in oracle._worse(own, now).items()
        # What is sent when a migrate is over fills tables.
        if result != "False became True" and not of_a_new_app(result)
    ]


def main(vendor, name, *positions):
    # In a process of its own, which nobody has told where the database is.
    linted = subprocess.run([sys.executable, "-m", "tests.histories.lint", vendor, name], check=False)
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        history = read(PROJECTS[name], vendor, directory)
        with Site(history, vendor, directory / "judging") as site:
            judged = list(history.judged(site.connection))
        dispositions = collections.Counter(str(each) for _, found in judged for each in found)
        print(f"{name} on {vendor}: {len(judged)} migrations, operations: {dict(dispositions)}")
        starts = [int(each) for each in positions] or [
            number
            for number, (migration, found) in enumerate(judged)
            if number and not migration.initial and any(str(each) != "run" for each in found)
        ]
        outcomes = collections.Counter()
        failed = linted.returncode != 0
        for start in starts:
            (directory / str(start)).mkdir()
            outcome, said, broken = upgrade(history, vendor, directory / str(start), start)
            outcomes[outcome] += 1
            failed = failed or bool(broken)
            print(f"{'BROKEN' if broken else 'ok':6}  from before {judged[start][0]}: {outcome}", flush=True)
            for one in broken:
                print(f"        {one}"[:2000])
            if broken and said:
                print(f"        {said}")
        print(f"{len(starts)} upgrades: {dict(outcomes)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
