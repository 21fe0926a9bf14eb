"""Takes one case (a state, and the migrations upon it) through a whole rolling deploy under guard, for real.

Beside it stands what Django makes of the same migrations without guard: what each release can do on its own schema, and
the schema at the end. With guard neither release may lose an action while both are deployed, and the schema at the end
must be the same.
"""

from __future__ import annotations

import itertools
import os
import re
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connections, models
from django.db import migrations as m
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.test import override_settings

from guard import conf
from guard.gate import contract, evidence
from guard.gate import executor as gate_executor
from guard.gate.orders import Desk
from guard.ledger import protocol, rows
from guard.ledger.store import Ledger
from guard.schema.footprint import Column, Footprint
from tests.integration.gate.harness import WINDOWS
from tests.integration.phases import oracle

_numbers = itertools.count(1)


def wide():
    """Whether every case is to be tried, and not only one of each kind."""
    return os.environ.get("GUARD_TEST_BREADTH") in ("newest", "all")


def pk():
    return ("id", models.BigAutoField(primary_key=True))


def model(name, *fields, bases=(models.Model,), **options):
    own = [] if bases != (models.Model,) or any(f.primary_key for _, f in fields) else [pk()]
    return m.CreateModel(name, [*own, *fields], options=options, bases=bases)


@dataclass
class Case:
    """Models as they are deployed, and migrations (lists of operations, or Migration classes) upon them."""

    base: list
    migrations: list
    #: What `migrate` does beside old code: "split" (applies), "held" or "refused".
    outcome: str = "split"
    #: By vendor, where it is otherwise.
    but: dict = field(default_factory=dict)
    #: Rows of the base, written by old code beside the seeded one: a function of the app's models by name.
    rows: Any = None
    #: What old code can do no longer for a reason that no schema could mend.
    lost: tuple = ()
    #: Whether unapplying brings the very schema back.
    reversible: bool = True
    #: Whether NULLs that are there are filled.
    fills: bool = False
    #: Whether Django's own rollback names what it makes again otherwise than it was: then the names are to be its own.
    renames: bool = False
    #: Whether a data migration copies what is removed: somebody has to say that nothing was written behind it.
    copies: bool = False


class _Loader(MigrationLoader):
    """guard's own migrations, and those of one generated app."""

    def __init__(self, connection, migrations):
        self._generated = migrations
        super().__init__(connection)

    def load_disk(self):
        super().load_disk()
        own = {key: found for key, found in self.disk_migrations.items() if key[0] == "guard"}
        self.disk_migrations = own | {(found.app_label, found.name): found for found in self._generated}
        self.migrated_apps = {"guard"} | {found.app_label for found in self._generated}


class Deploy:
    """One case on one database."""

    def __init__(self, alias, case, app="", **guard):
        self.alias = alias
        self.connection = connections[alias]
        self.case = case
        self.app = app or f"m{next(_numbers)}"
        self.guard = {**WINDOWS, "RELEASE": "new", **guard}
        self.said = ""
        #: How many migrations the release has that takes steps and restores; None: all.
        self.release = None
        base = self._migration("0001_initial", case.base, ())
        self.migrations = [base]
        for number, operations in enumerate(case.migrations, 2):
            options = {}
            if isinstance(operations, dict):
                operations, options = operations["operations"], {**operations}
                options.pop("operations")
            self.migrations.append(
                self._migration(f"{number:04}_change", list(operations), (self.migrations[-1].name,), **options)
            )

    @property
    def vendor(self):
        return self.connection.vendor

    def _migration(self, name, operations, after, **options):
        body = {
            "operations": [_pointing(op, self.app) for op in operations],
            "dependencies": [(self.app, one) for one in after],
            "__module__": __name__,
            **options,
        }
        return type("Migration", (m.Migration,), body)(name, self.app)

    # The releases

    def state(self, count):
        """The state after the first `count` migrations."""
        state = ProjectState()
        for migration in self.migrations[:count]:
            state = migration.mutate_state(state, preserve=False)
        return state

    def models(self, count):
        apps = oracle._apart(self.state(count)).apps
        return [
            found
            for found in apps.get_models()
            if found._meta.managed and not found._meta.proxy and found._meta.app_label == self.app
        ]

    @property
    def old(self):
        return self.models(1)

    @property
    def new(self):
        return self.models(len(self.migrations))

    def footprint(self, count):
        tables = {}
        apps = oracle._apart(self.state(count)).apps
        for found in apps.get_models(include_auto_created=True):
            if found._meta.proxy or found._meta.app_label != self.app:
                continue
            tables[found._meta.db_table] = {
                f.column: Column(f.db_type(self.connection) or "", f.null, f.has_db_default())
                for f in found._meta.local_concrete_fields
                if f.column
            }
        names = frozenset((one.app_label, one.name) for one in self.migrations[:count])
        return Footprint(tables=tables, migrations=names)

    # Django alone

    def plain(self):
        """What old and new code can do on their own schemas, and the schema at the end."""
        try:
            with _unguarded():
                self.migrate(1)
                oracle._seed(self.connection, self.old)
                self._more_rows()
                before = self.schema()
                old = work(self.connection, self.old)
                self.migrate(len(self.migrations))
                after = self.schema()
                new = work(self.connection, self.new)
        finally:
            self.drop()
        return before, old, after, new

    def names_rolled_back(self):
        """Names of every index and constraint once Django alone has migrated and rolled back."""
        try:
            with _unguarded():
                self.migrate(1)
                self.migrate(len(self.migrations))
                self.migrate(1)
            return self.names()
        finally:
            self.drop()

    # With guard

    def migrate(self, count, *, release=None, fake=False, fake_initial=False, everything=False):
        """Run `migrate` to the first `count` migrations, by the code of the release that has `release` of them.

        With `everything` it names no target.
        """
        release = len(self.migrations) if release is None else release
        executor = MigrationExecutor(self.connection)
        executor.loader = _Loader(self.connection, self.migrations[: max(count, release)])
        targets = [(self.app, self.migrations[count - 1].name if count else None)]
        if everything:
            targets += [key for key in executor.loader.graph.leaf_nodes() if key[0] == "guard"]
        with self._as(release), self._listening(executor):
            executor.migrate(targets, fake=fake, fake_initial=fake_initial)

    @contextmanager
    def _as(self, count):
        me = evidence.Taker(self.footprint(count), "new", "tests")
        before = contract.taker
        contract.taker = lambda alias: me
        try:
            with override_settings(GUARD=self.guard):
                yield me
        finally:
            contract.taker = before

    @contextmanager
    def _listening(self, executor):
        said = []

        class Command:
            verbosity = 1

            class stdout:
                write = staticmethod(said.append)

            def progress(self, *args):
                pass

        executor.progress_callback = Command().progress
        try:
            yield
        finally:
            self.said = "\n".join(said)

    def arrive(self, count, name):
        me = rows.Registration(uuid.uuid4().hex, name, rows.InstanceKind.SERVER, "web", False, "host", 1)
        Ledger(self.connection).register(me, self.footprint(count), lease=3_600.0)
        return me.id

    def leave(self, instance):
        Ledger(self.connection).leave(instance)

    def take(self, **guard):
        """`guard contract` by the newest release, when everybody has reported: what it did."""
        self.guard |= guard
        self.report()
        with (
            self._as(self.release or len(self.migrations)) as me,
            contract.contractor(self.alias, conf.strict(), me) as gate,
        ):
            if self.case.copies:
                self._acknowledge(gate)
            return gate.round(patience=60.0)

    def _acknowledge(self, gate):
        for step in gate.ledger.steps(rows.StepState.WAITING):
            if any(blocker.code == "late-writes" for blocker in gate.judge(step).blockers):
                Desk(gate).allow(step.target, ["late-writes"], reason="looked at", expires="1h", pending=())

    def report(self):
        """Every instance has flushed, and watches what is slated."""
        ledger = Ledger(self.connection)
        for instance in ledger.instances():
            for _ in range(2):
                ledger.beat(instance.id, lease=3_600.0, watched_epoch=ledger.epoch(), flush_no=1)

    def seed(self):
        """The deployed release's tables, with its rows in them."""
        with _unguarded():
            self.migrate(1)
        oracle._seed(self.connection, self.old)
        self._more_rows()

    def restore(self, *, names_taken=False):
        """All that is set aside; with `names_taken` also what something else has the name of by now."""
        with (
            self._as(self.release or len(self.migrations)) as me,
            contract.contractor(self.alias, conf.strict(), me) as gate,
        ):
            # As `guard restore` does: what one that was killed has sealed is aside again, or in its place.
            gate.settle()
            # A column that went before its table comes back after it.
            for step in reversed(gate.ledger.steps(rows.StepState.ASIDE)):
                # What another column has the name of comes back when that is gone.
                if names_taken or not step.payload.get(protocol.RECLAIMED):
                    gate.restore(step)

    def states(self):
        return {
            step.target: step.state.value
            for step in Ledger(self.connection).steps()
            if step.kind is not rows.StepKind.MIGRATION
        }

    def waiting(self):
        open_states = (rows.StepState.WAITING, rows.StepState.SEALED, rows.StepState.ASIDE)
        return [step.target for step in Ledger(self.connection).steps(*open_states)]

    def applied(self):
        found = MigrationRecorder(self.connection).applied_migrations()
        return sum(1 for app, _ in found if app == self.app)

    # The database

    def _more_rows(self):
        if self.case.rows is not None:
            self.case.rows(_ByName(self.old, self.alias))

    def dump(self):
        """Every row as old code reads it."""
        return {found.__name__: sorted(found.objects.using(self.alias).values_list(), key=repr) for found in self.old}

    def _keeps(self, data):
        """Whether old code reads what was there; where NULLs are filled, whatever there was none."""
        if not self.case.fills:
            return self.dump() == data
        now = self.dump()
        return all(
            was is None or was == is_now
            for name in data
            for before, after in zip(data[name], now[name], strict=True)
            for was, is_now in zip(before, after, strict=True)
        )

    def tables(self):
        return sorted(t for t in self.connection.introspection.table_names() if t.startswith(f"{self.app}_"))

    def schema(self):
        """Columns, defaults and constraints of every table, without what names them."""
        found = {}
        with self.connection.cursor() as cursor:
            for table in self.connection.introspection.table_names(cursor):
                if table.startswith(f"{self.app}_"):
                    short = table.removeprefix(f"{self.app}_")
                    found[short] = table_facts(self.connection, cursor, table, f"{self.app}_")
        return found

    def names(self):
        """Names of every index and constraint."""
        found = set()
        with self.connection.cursor() as cursor:
            for table in self.tables():
                found |= set(self.connection.introspection.get_constraints(cursor, table))
        return found

    def drop(self):
        connection = self.connection
        if connection.in_atomic_block or connection.connection is None or not connection.get_autocommit():
            abandon(connection)
        with connection.constraint_checks_disabled(), connection.cursor() as cursor:
            cascade = " CASCADE" if connection.vendor == "postgresql" else ""
            for table in connection.introspection.table_names(cursor):
                if re.match(rf"(guard_(\d+|new_)_|new__)?{self.app}_", table):
                    cursor.execute(f"DROP TABLE {connection.ops.quote_name(table)}{cascade}")
        MigrationRecorder(connection).migration_qs.filter(app=self.app).delete()
        forget(connection)

    # The whole way

    def run(self):
        """All of it: expand, both releases, back, expand, contract, restore, contract, erase."""
        outcome = self.case.but.get(self.vendor, self.case.outcome)
        try:
            if outcome == "stuck":
                self._stuck()
                return
            if outcome == "refused":
                self._refused()
                return
            before, old_own, after, new_own = self.plain()
            self._run(before, old_own, after, new_own, outcome)
        finally:
            self.drop()

    def run_held(self):
        """The same where nothing is split: old code keeps its schema until it has gone, then all of it runs."""
        self.guard["STRATEGY"] = "hold"
        try:
            _, old_own, after, new_own = self.plain()
            count = len(self.migrations)
            with _unguarded():
                self.migrate(1)
            oracle._seed(self.connection, self.old)
            self._more_rows()
            data = self.dump()
            serving = self.arrive(1, "old")
            self.migrate(count)
            self._works("old code", old_own, self.old)
            assert self.dump() == data
            self.arrive(count, "new")
            self.leave(serving)
            # What one migration slates has to be reported for before the next one can be applied.
            for _ in range(count):
                self.report()
                with suppress(CommandError):
                    self.migrate(count)
            if self.applied() < count:
                # What it waited for is gone only now.
                self._take(KEEP_FOR=0)
                self.migrate(count)
            assert self.applied() == count, self.said
            self._works("new code", new_own, self.new)
            self._take(KEEP_FOR=0)
            assert self.waiting() == [], (self.waiting(), self.said)
            self._works("new code at the end", new_own, self.new)
            assert not (different := _differences(self.schema(), after)), different
        finally:
            self.drop()

    def _stuck(self):
        """Django alone fails on it; under guard it waits, and old code goes on."""
        with _unguarded():
            self.migrate(1)
        oracle._seed(self.connection, self.old)
        own = work(self.connection, self.old)
        self._more_rows()
        self.migrate(len(self.migrations))
        assert self.applied() == 1
        assert "waits and is not applied yet" in self.said
        self._works("old code", own, self.old)

    def _refused(self):
        """Nothing is applied, and old code goes on."""
        with _unguarded():
            self.migrate(1)
        oracle._seed(self.connection, self.old)
        own = work(self.connection, self.old)
        self.arrive(1, "old")
        with pytest.raises(CommandError, match="guard refuses this plan"):
            self.migrate(len(self.migrations))
        assert self.applied() == 1
        self._works("old code", own, self.old)

    def _run(self, before, old_own, after, new_own, outcome):
        count = len(self.migrations)
        renamed = self.names_rolled_back() if self.case.renames else None
        with _unguarded():
            self.migrate(1)
        oracle._seed(self.connection, self.old)
        self._more_rows()
        data = self.dump()
        names = renamed or self.names()
        serving = self.arrive(1, "old")
        self.migrate(count)
        self._works("old code", old_own, self.old)
        assert self._keeps(data)
        if outcome == "held":
            assert self.applied() < count, "it was not held"
            assert "waits and is not applied yet" in self.said, self.said
            new_serving = self.arrive(count, "new")
            self.leave(serving)
            self.migrate(count)
            self._take(KEEP_FOR=0)
            if self.applied() < count:
                # What it waited for is gone only now.
                self.migrate(count)
                self._take(KEEP_FOR=0)
        else:
            assert self.applied() == count, self.said
            self._works("new code beside old", new_own, self.new)
            if self.case.reversible:
                self.migrate(1)
                assert self.applied() == 1
                assert not (different := _differences(self.schema(), before)), different
                assert self.vendor == "mysql" or self.names() == names
                assert self._keeps(data)
                self._works("old code, rolled back", old_own, self.old)
                self.migrate(count)
            new_serving = self.arrive(count, "new")
            self.leave(serving)
            self._take()
            aside = [target for target, state in self.states().items() if state == "aside"]
            if aside:
                self._works("new code after the contract step", new_own, self.new)
                self.restore()
                self._works("old code, restored", old_own, self.old)
                assert self._keeps(data)
            self._take(KEEP_FOR=0)
        assert self.waiting() == [], (self.waiting(), self.said)
        self._works("new code at the end", new_own, self.new)
        assert not (different := _differences(self.schema(), after)), different
        self.leave(new_serving)

    def _take(self, **guard):
        # What is taken changes the watch list, which everybody has to report for before the next one.
        for _ in range(30):
            attempts = self.take(**guard)
            if all(a.taken for a in attempts) or not any(a.taken for a in attempts):
                break
        kept = [a.step.aside_name or a.step.kind in rows.TIDY if self.guard["KEEP_FOR"] else False for a in attempts]
        bad = [
            a
            for a, keeps in zip(attempts, kept, strict=True)
            if not (a.taken or a.outcome is contract.Outcome.RECONCILED or keeps)
        ]
        assert not bad, [(a.step.target, a.outcome, a.detail, a.verdict and a.verdict.blockers) for a in bad][:3]

    def _works(self, who, own, models_):
        worse = oracle._worse(own, work(self.connection, models_))
        for action in self.case.lost:
            worse.pop(action, None)
        assert not worse, f"{who} on {self.vendor}: {worse}"


def work(connection, models_):
    """What the models can do here, upserts included."""
    done = oracle._work(connection, models_, ("plain", "null", "default"))
    for found in models_:
        for fields in _unique_groups(found):
            done[f"upsert {found.__name__} {fields}"] = oracle._attempt(
                connection, lambda model=found, fields=fields: _upsert(connection, model, fields)
            )
    return done


def _unique_groups(found):
    if found._meta.parents or any(f.generated for f in found._meta.local_concrete_fields):
        return []
    groups = [(f.name,) for f in found._meta.local_concrete_fields if f.unique and not f.generated]
    return [*groups, *(tuple(group) for group in oracle._together(found) if group)]


def _upsert(connection, found, fields):
    row = oracle._new(connection, found, "plain")
    again = found(**{f.attname: getattr(row, f.attname) for f in found._meta.concrete_fields if f.name in fields})
    for f in found._meta.concrete_fields:
        if f.name not in fields and not f.primary_key:
            setattr(again, f.attname, getattr(row, f.attname))
    rest = [f.name for f in found._meta.concrete_fields if f.name not in fields and not f.primary_key]
    if not rest:
        return None
    target = fields if connection.features.supports_update_conflicts_with_target else None
    manager = found.objects.using(connection.alias)
    count = manager.count()
    manager.bulk_create([again], update_conflicts=True, unique_fields=target, update_fields=rest)
    assert manager.count() == count, "a row was added"
    return None


class _ByName:
    def __init__(self, found, alias):
        self._found = {one.__name__: one for one in found}
        self._alias = alias

    def create(self, name, **values):
        return self._found[name].objects.using(self._alias).create(**values)


def _pointing(operation, app):
    """The operation with its relations and tables pointed to the case's own app ("app.model", "app_table")."""
    _, args, kwargs = operation.deconstruct()
    found = _deep(args, app), _deep(kwargs, app)
    return type(operation)(*found[0], **found[1])


def _deep(value, app):
    if isinstance(value, str):
        return re.sub(r"^app(?=[._])", app, value)
    if isinstance(value, models.Field):
        copied = value.clone()
        if copied.remote_field is not None and isinstance(copied.remote_field.model, str):
            _, _, args, kwargs = value.deconstruct()
            return type(value)(*_deep(args, app), **_deep(kwargs, app))
        return copied
    if isinstance(value, m.operations.base.Operation):
        return _pointing(value, app)
    if isinstance(value, dict):
        return {key: _deep(one, app) for key, one in value.items()}
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(_deep(one, app) for one in value)
    return value


@contextmanager
def _unguarded():
    token = gate_executor._inside.set(True)
    try:
        yield
    finally:
        gate_executor._inside.reset(token)


def abandon(connection):
    """Close it wherever it stands: what failed within a transaction must not fail what comes next."""
    connection.in_atomic_block = connection.closed_in_transaction = connection.needs_rollback = False
    connection.savepoint_ids, connection.atomic_blocks = [], []
    connection.run_on_commit = []
    connection.close()


def forget(connection):
    """Empty the ledger, but for its gate."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith("guard_") and table != "guard_gate":
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


def table_facts(connection, cursor, table, prefix=""):
    """Columns, defaults, constraints and ON DELETE actions of a table, without what names them."""
    introspection = connection.introspection
    # On MariaDB the size that is displayed is that of the rows which are there.
    size = "internal_size" if connection.vendor == "mysql" else "display_size"
    columns = {
        (
            *(c.name, str(c.type_code), c.null_ok, _plain(c.default)),
            *(None if c.precision else getattr(c, size), c.precision, c.scale),
        )
        for c in introspection.get_table_description(cursor, table)
    }
    constraints = [
        (
            tuple(c["columns"] or ()),
            c["primary_key"],
            c["unique"],
            tuple(part.removeprefix(prefix) for part in c["foreign_key"] or ()),
            c["check"],
            c["index"],
        )
        for c in introspection.get_constraints(cursor, table).values()
    ]
    # What an expression indexes has no column.
    return columns, sorted(constraints, key=repr), _on_delete(connection, cursor, table)


def _on_delete(connection, cursor, table):
    if connection.vendor == "sqlite":
        cursor.execute('SELECT "from", on_delete FROM pragma_foreign_key_list(%s)', [table])
    elif connection.vendor == "postgresql":
        cursor.execute(
            "SELECT a.attname, k.confdeltype::text, k.convalidated FROM pg_constraint k JOIN pg_attribute a "
            "ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] "
            "WHERE k.contype = 'f' AND k.conrelid = to_regclass(%s)",
            [connection.ops.quote_name(table)],
        )
    else:
        cursor.execute(
            "SELECT u.column_name, REPLACE(r.delete_rule, 'RESTRICT', 'NO ACTION') "
            "FROM information_schema.key_column_usage u "
            "JOIN information_schema.referential_constraints r ON r.constraint_schema = u.constraint_schema "
            "AND r.constraint_name = u.constraint_name AND r.table_name = u.table_name "
            "WHERE u.table_schema = DATABASE() AND u.table_name = %s",
            [table],
        )
    return sorted(cursor.fetchall())


def _plain(default):
    if default is None:
        return None
    return re.sub(r"^\((.*)\)$", r"\1", str(default), flags=re.DOTALL)


def _differences(found, expected):
    """(table, what is there, what should be) for what differs."""
    return [
        (
            table,
            sorted(set(map(repr, part)) - set(map(repr, wanted))),
            sorted(set(map(repr, wanted)) - set(map(repr, part))),
        )
        for table in found.keys() | expected.keys()
        for part, wanted in zip(found.get(table, ((), (), ())), expected.get(table, ((), (), ())), strict=True)
        if part != wanted
    ]
