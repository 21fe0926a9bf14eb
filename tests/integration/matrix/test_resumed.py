"""Plans that end between two of their migrations, by an error: the next `migrate` goes on as with one plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import migrations as m
from django.db import models

from guard.ledger import orders
from guard.ledger.store import Ledger
from tests.integration.matrix.harness import Case, Deploy, abandon, model
from tests.integration.matrix.test_remove import PARENT, char, fk, item


class _Broken(Exception):
    """A mistake in a data migration, or values that it had not thought of."""


class Failing(Deploy):
    """A deploy whose data migration fails at first."""

    fails = False
    failed = 0

    def __init__(self, alias: str, case: Case, **guard: object) -> None:
        super().__init__(alias, case, **guard)
        for migration in self.migrations:
            for operation in migration.operations:
                if isinstance(operation, m.RunPython):
                    operation.code = self._data

    def _data(self, apps: Any, editor: Any) -> None:
        if self.fails:
            self.failed += 1
            raise _Broken

    def migrate(self, count: int, **kwargs: Any) -> None:
        self.fails = True
        try:
            super().migrate(count, **kwargs)
        except _Broken:
            self.fails = False
            abandon(self.connection)
            super().migrate(count, **kwargs)

    def fail(self, count: int) -> None:
        self.fails = True
        with pytest.raises(_Broken):
            super().migrate(count)
        self.fails = False
        abandon(self.connection)


def data() -> m.RunPython:
    return m.RunPython(m.RunPython.noop, m.RunPython.noop)


def made() -> m.CreateModel:
    return model("Other", ("x", char(default="x")), ("up", fk(null=True)))


RENAMED = Case(
    [item()],
    [[m.AddField("item", "a", char(default="a"))], [data()], [m.RenameField("item", "a", "b")]],
)
CASES = {
    "a field with a default is renamed": RENAMED,
    "a field that may be NULL is renamed": Case(
        [item()],
        [[m.AddField("item", "a", char(null=True))], [data()], [m.RenameField("item", "a", "b")]],
    ),
    "twice": Case(
        [item()],
        [
            [m.AddField("item", "a", char(default="a"))],
            [m.RenameField("item", "a", "b")],
            [data()],
            [m.RenameField("item", "b", "c"), m.AddField("item", "z", models.IntegerField(default=1))],
        ],
    ),
    "a field is required, and renamed": Case(
        [item()],
        [
            [m.AddField("item", "a", char(null=True))],
            [m.AlterField("item", "a", char(default="a"))],
            [data()],
            [m.RenameField("item", "a", "b")],
        ],
    ),
    "a field is given another column": Case(
        [item()],
        [
            [m.AddField("item", "a", models.IntegerField(default=4))],
            [data()],
            [m.AlterField("item", "a", models.IntegerField(default=4, db_column="b"))],
        ],
    ),
    "a field is removed": Case(
        [item()],
        [[m.AddField("item", "a", char(default="a"))], [data()], [m.RemoveField("item", "a")]],
    ),
    "a table is made, and changed": Case(
        [PARENT, item()],
        [
            [made(), m.AddField("item", "other", fk("app.other", null=True))],
            [data()],
            [
                m.RenameField("other", "x", "y"),
                m.AlterField("other", "y", models.TextField()),
                m.AddField("other", "n", models.IntegerField(unique=True)),
                m.AddConstraint("other", models.CheckConstraint(condition=models.Q(n__gt=-(10**6)), name="low")),
                m.RemoveField("other", "up"),
                m.RenameModel("Other", "Another"),
            ],
        ],
        reversible=False,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_plan_that_failed_goes_on_as_one(alias: str, name: str) -> None:
    deploy = Failing(alias, CASES[name])
    deploy.run()
    assert deploy.failed > 1


@pytest.fixture
def failed(alias: str) -> Iterator[Failing]:
    """A deploy that has failed behind its first migration, beside old code."""
    deploy = Failing(alias, RENAMED)
    try:
        deploy.seed()
        deploy.arrive(1, "old")
        deploy.fail(4)
        assert deploy.applied() == 2
        yield deploy
    finally:
        # The ledger's gate is there for all cases.
        orders.set_environment(Ledger(deploy.connection), "")
        deploy.drop()


def in_between(deploy: Failing) -> None:
    deploy.arrive(2, "in between")


def in_between_and_gone(deploy: Failing) -> None:
    deploy.leave(deploy.arrive(3, "in between"))


def migrated_in_between(deploy: Failing) -> None:
    Deploy.migrate(deploy, 2, release=2)


def unreadable(deploy: Failing) -> None:
    deploy.arrive(1, "old")
    with deploy.connection.cursor() as cursor:
        cursor.execute("UPDATE guard_footprint SET content = '{}'")


def unknown(deploy: Failing) -> None:
    deploy.guard["ADOPTION_PERIOD"] = 3_600


def elsewhere(deploy: Failing) -> None:
    Ledger(deploy.connection).adopt_environment("production")
    deploy.guard["ENVIRONMENT"] = "staging"


@pytest.mark.parametrize(
    "meanwhile",
    [in_between, in_between_and_gone, migrated_in_between, unreadable, unknown, elsewhere],
    ids=lambda each: each.__name__,
)
def test_what_code_may_know_by_now_is_not_renamed(failed: Failing, meanwhile: Callable[[Failing], None]) -> None:
    meanwhile(failed)

    with pytest.raises(CommandError, match="guard refuses this plan"):
        failed.migrate(4)
    assert failed.applied() == 2


def old_code(deploy: Failing) -> None:
    deploy.arrive(1, "old")


def new_code(deploy: Failing) -> None:
    deploy.arrive(4, "new")


def failed_again(deploy: Failing) -> None:
    deploy.fail(4)


@pytest.mark.parametrize("meanwhile", [old_code, new_code, failed_again], ids=lambda each: each.__name__)
def test_what_nobody_knows_is_renamed(failed: Failing, meanwhile: Callable[[Failing], None]) -> None:
    meanwhile(failed)

    failed.migrate(4)
    assert failed.applied() == 4


def test_what_was_unapplied_is_not_gone_on_with(failed: Failing) -> None:
    Deploy.migrate(failed, 1)
    Deploy.migrate(failed, 2, release=2)

    with pytest.raises(CommandError, match="guard refuses this plan"):
        failed.migrate(4)


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
def test_a_plan_in_another_schema_is_another_one(failed: Failing) -> None:
    ledger = Ledger(failed.connection)
    assert orders.last_plan(ledger) is not None
    with failed.connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA acme")
        cursor.execute("SET search_path TO acme, public")
    try:
        assert orders.last_plan(ledger) is None
    finally:
        with failed.connection.cursor() as cursor:
            cursor.execute("SET search_path TO public")
            cursor.execute("DROP SCHEMA acme")
    assert orders.last_plan(ledger) is not None
