"""AlterField that forbids NULL: NULLs that are there, and that arrive, stop nobody, and the end is as Django's."""

from __future__ import annotations

import dataclasses
import uuid

import pytest
from django.core.management.base import CommandError
from django.db import OperationalError, models
from django.db import migrations as m

from guard.gate.contract import Outcome
from guard.ledger.store import Ledger
from guard.steps import fill
from guard.steps.ddl import ddl_for
from tests.integration.matrix.harness import Case, Deploy, work
from tests.integration.matrix.test_remove import PARENT, char, fk, item


def altering(before, after, *base, null=False, **kwargs):
    rows = (lambda made: made.create("Item", title="null")) if null else None
    return Case([*base, item(("x", before))], [[m.AlterField("item", "x", after)]], rows=rows, **kwargs)


def nothing(apps, editor):
    pass


CASES = {
    "with a default": altering(char(null=True), char(default="d'%")),
    "with a default, NULLs there": altering(char(null=True), char(default="d"), null=True, fills=True),
    "with a default for once": Case(
        [item(("x", models.IntegerField(null=True)))],
        [[m.AlterField("item", "x", models.IntegerField(default=3), preserve_default=False)]],
        rows=lambda made: made.create("Item", title="null"),
        fills=True,
    ),
    "without a default": altering(models.IntegerField(null=True), models.IntegerField()),
    "wider at the same time": altering(char(null=True), char(max_length=90, default="d")),
    "indexed": altering(models.IntegerField(null=True, db_index=True), models.IntegerField(default=1, db_index=True)),
    "unique": altering(char(null=True, unique=True), char(unique=True)),
    "json": altering(models.JSONField(null=True), models.JSONField(default=dict)),
    "text": altering(models.TextField(null=True), models.TextField(blank=True, default="")),
    "a uuid": altering(models.UUIDField(null=True), models.UUIDField(default=uuid.uuid4)),
    "foreign key": altering(fk(null=True), fk(), PARENT),
    "foreign key with default": altering(fk(null=True), fk(default=1), PARENT),
    "a many-to-many field": Case(
        [PARENT, item(("ps", models.ManyToManyField("app.parent")), ("x", char(null=True)))],
        [
            [m.AlterField("item", "ps", models.ManyToManyField("app.parent", blank=True))],
            [m.AlterField("item", "x", char(default="d"))],
        ],
    ),
    "then widened": Case(
        [item(("x", char(null=True)), ("y", char(null=True)))],
        [
            [m.AlterField("item", "x", char(default="d"))],
            [
                m.AlterField("item", "x", char(max_length=50, default="d")),
                m.AlterField("item", "y", char(max_length=50, null=True)),
            ],
        ],
        rows=lambda made: made.create("Item", title="null"),
        fills=True,
    ),
    "then removed": Case(
        [item(("x", char(null=True)))],
        [[m.AlterField("item", "x", char(default="d"))], [m.RemoveField("item", "x")]],
    ),
    "then nullable again": Case(
        [item(("x", char(null=True)))],
        [[m.AlterField("item", "x", char(default="d"))], [m.AlterField("item", "x", char(null=True))]],
    ),
    "added, filled, required": Case(
        [PARENT, item()],
        [
            [
                m.AddField("item", "x", models.UUIDField(null=True)),
                m.AddField("item", "y", char(null=True)),
                m.AddField("item", "up", fk(null=True)),
            ],
            [m.RunPython(nothing, nothing), m.RunSQL(m.RunSQL.noop, m.RunSQL.noop)],
            [
                m.AlterField("item", "x", models.UUIDField(default=uuid.uuid4, unique=True)),
                m.AlterField("item", "y", char(default="y")),
                m.AlterField("item", "y", char(default="y", max_length=50)),
            ],
        ],
    ),
    "NULLs there and no default": altering(
        models.IntegerField(null=True), models.IntegerField(), null=True, outcome="stuck"
    ),
    "NULLs there and one default for a unique column": altering(
        char(null=True, unique=True), char(unique=True, default="d"), null=True, outcome="stuck"
    ),
    "added, held to be unique, required with one default": Case(
        [item()],
        [
            [
                m.AddField("item", "x", char(null=True)),
                m.AddConstraint("item", models.UniqueConstraint(fields=["x"], name="app_x")),
                m.AlterField("item", "x", char(default="d")),
            ]
        ],
        outcome="held",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_required_beside_old_code(alias: str, name: str) -> None:
    Deploy(alias, CASES[name]).run()


@pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)
def test_what_runs_whole_breaks_no_view_in_silence(alias):
    renamed = m.RenameField("item", "x", "y")
    deploy = Deploy(alias, Case([item(("x", models.IntegerField(default=1)))], [[renamed]]))
    quote = deploy.connection.ops.quote_name
    table, view = quote(f"{deploy.app}_item"), quote(f"{deploy.app}_report")
    try:
        deploy.seed()
        # The fleet has been stopped.
        deploy.leave(deploy.arrive(1, "old"))
        with deploy.connection.cursor() as cursor:
            cursor.execute(f"CREATE VIEW {view} AS SELECT x FROM {table}")
            with pytest.raises(CommandError, match=rf"view {deploy.app}_report depends on {deploy.app}_item.x"):
                deploy.migrate(2)
            assert deploy.applied() == 1
            cursor.execute(f"DROP VIEW {view}")
        deploy.migrate(2)
        assert deploy.applied() == 2
    finally:
        deploy.drop()


def test_code_from_before_a_column_that_is_held_to_be_unique_goes_on_when_it_is_required(alias: str) -> None:
    made = [
        m.AddField("item", "x", char(null=True)),
        m.AddConstraint("item", models.UniqueConstraint(fields=["x"], name="app_x")),
    ]
    deploy = Deploy(alias, Case([item()], [made, [m.AlterField("item", "x", char(default="d"))]]))
    try:
        deploy.seed()
        before = work(deploy.connection, deploy.old)
        deploy.arrive(1, "old")
        deploy.migrate(2)
        deploy.arrive(2, "between")
        deploy.migrate(3)
        assert deploy.applied() == 3
        deploy._works("code from before the column", before, deploy.old)
    finally:
        deploy.drop()


@pytest.mark.parametrize("options", [{"default": "d"}, {}], ids=["with a default", "without"])
def test_a_column_made_unique_and_required_where_it_is_added_keeps_null_until_all_have_a_value(
    alias: str, options: dict[str, str]
) -> None:
    def rows(made):
        for title in ("a", "b"):
            made.create("Item", title=title)

    required = m.AlterField("item", "x", char(unique=True, **options))
    deploy = Deploy(alias, Case([item()], [[m.AddField("item", "x", char(null=True)), required]], rows=rows))
    table = f"{deploy.app}_item"
    try:
        deploy.seed()
        before = work(deploy.connection, deploy.old)
        serving = deploy.arrive(1, "old")
        deploy.migrate(2)
        assert deploy.applied() == 2
        # Rows that old code writes have NULL, and none the default, which a second one could not have.
        deploy._works("old code", before, deploy.old)
        (old,) = deploy.old
        for title in ("c", "d"):
            old.objects.using(alias).create(title=title)
        with deploy.connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*), count(x) FROM {table}")
            there, filled = cursor.fetchone()
        assert (there >= 4, filled) == (True, 0)
        deploy.arrive(2, "new")
        deploy.leave(serving)

        (failed,) = deploy.take()
        assert (failed.outcome, failed.taken) == (Outcome.FAILED, False)
        assert f"{there} rows" in failed.detail

        with deploy.connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET x = title WHERE title IN ('a', 'b', 'c', 'd')")
            cursor.execute(f"UPDATE {table} SET x = 'seeded' WHERE x IS NULL")
        assert [attempt.taken for attempt in deploy.take()] == [True]
        assert deploy.waiting() == []
        now = ddl_for(deploy.connection, lambda sql, params: None).facts(table, "x")
        assert now is not None
        assert (now.null, now.default) == (False, None)
    finally:
        deploy.drop()


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
def test_a_first_fill_in_batches_goes_on_where_it_was_interrupted(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(made):
        for _ in range(250):
            made.create("Item", title="null")

    case = altering(char(null=True), char(default="d"), fills=True)
    case.rows = rows
    deploy = Deploy(alias, case)
    small = fill.Pace(smallest=100, largest=100)
    monkeypatch.setattr(fill, "Pace", lambda **kwargs: small)
    update, batches = fill._Work._update, []

    def interrupted(self, value, conditions, params):
        batches.append(conditions)
        if len(batches) == 2:
            self.connection.connection.close()
        return update(self, value, conditions, params)

    def nulls():
        with deploy.connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {deploy.app}_item WHERE x IS NULL")
            return cursor.fetchone()[0]

    try:
        deploy.seed()
        monkeypatch.setattr(fill._Work, "_update", interrupted)
        with pytest.raises(CommandError, match="is applied, but rows with NULL"):
            deploy.migrate(2)
        deploy.connection.close()
        assert deploy.applied() == 2
        assert 100 <= nulls() < 250

        deploy.migrate(2)
        assert nulls() == 0
        assert len(batches) >= 4
        (step,) = Ledger(deploy.connection).steps()
        assert "unfilled" not in step.payload
    finally:
        deploy.drop()


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
def test_a_first_fill_that_cannot_succeed_stops_no_later_migration(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = altering(fk(null=True), fk(default=777), PARENT, null=True)
    case.migrations.append([m.AddField("item", "y", char(null=True))])
    deploy = Deploy(alias, case)
    usual = fill.fill

    def beside_another(connection, *args, **kwargs):
        filled = usual(connection, *args, **kwargs)
        ledger = Ledger(connection)
        (step,) = ledger.steps()
        ledger.save(step, dataclasses.replace(step, version=step.version + 1))
        return filled

    def unfilled():
        (step,) = Ledger(deploy.connection).steps()
        return step.payload.get("unfilled", False)

    try:
        deploy.seed()
        old = deploy.arrive(1, "old")
        deploy.migrate(2)
        assert (deploy.applied(), unfilled()) == (2, True)
        assert deploy.said.count("is applied, but rows with NULL") == 1
        assert "violates foreign key constraint" in deploy.said

        deploy.migrate(3)
        assert (deploy.applied(), unfilled()) == (3, True)
        assert deploy.said.count("is applied, but rows with NULL") == 1

        deploy.arrive(3, "new")
        deploy.leave(old)
        assert {attempt.outcome for attempt in deploy.take()} == {Outcome.FAILED}

        next(found for found in deploy.new if found.__name__ == "Parent").objects.using(alias).create(id=777)
        with monkeypatch.context() as racing:
            racing.setattr(fill, "fill", beside_another)
            deploy.migrate(3)
        assert "could not" not in deploy.said
        deploy.migrate(3)
        assert not unfilled()
        deploy.take()
        assert set(deploy.states().values()) == {"done"}
    finally:
        deploy.drop()


def test_null_is_allowed_again_beside_a_restored_column_though_a_lock_was_missing(
    alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = item(("x", char(null=True)), ("y", char(null=True)))
    case = Case([base], [[m.RemoveField("item", "y"), m.AlterField("item", "x", char(default="d"))]])
    deploy = Deploy(alias, case)
    of_vendor = type(ddl_for(deploy.connection, lambda sql, params: None))
    usual, met = of_vendor.allow_null, []

    def busy(self, table, column):
        met.append(column)
        if len(met) <= 2:
            raise OperationalError(1205, "Lock wait timeout exceeded; try restarting transaction")
        usual(self, table, column)

    try:
        deploy.seed()
        old = deploy.arrive(1, "old")
        deploy.migrate(2)
        deploy.arrive(2, "new")
        deploy.leave(old)
        deploy._take()
        assert sorted(deploy.states().values()) == ["aside", "done"]
        monkeypatch.setattr(of_vendor, "allow_null", busy)
        deploy.guard["LOCK_PATIENCE"] = 0
        with pytest.raises(OperationalError):
            deploy.restore()
        assert "aside" in deploy.states().values()

        deploy.guard["LOCK_PATIENCE"] = 60
        deploy.restore()
        assert met == ["x", "x", "x"]
        assert set(deploy.states().values()) == {"waiting"}
        deploy.old[0].objects.using(alias).create(title="by old code")
    finally:
        deploy.drop()
