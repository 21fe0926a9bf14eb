"""Migrations that are recorded without being run: nothing is split, slated or taken for them."""

from __future__ import annotations

import pytest
from django.db import migrations as m
from django.db import models

from guard.gate.contract import Outcome
from tests.integration.matrix.harness import Case, Deploy, model
from tests.integration.matrix.test_remove import char, item, remove

CASE = Case([item(("x", models.IntegerField()))], [[*remove("x"), m.AddField("item", "y", char(default="y"))]])


def columns(deploy):
    return {column[0] for column in deploy.schema()["item"][0]}


def test_faked_forwards_the_column_stays_and_nobody_takes_it(alias: str) -> None:
    deploy = Deploy(alias, CASE)
    try:
        deploy.seed()
        deploy.arrive(1, "old")
        deploy.migrate(2, fake=True)
        assert deploy.applied() == 2
        assert deploy.states() == {}
        assert deploy.take() == []
        assert columns(deploy) == {"id", "title", "x"}
    finally:
        deploy.drop()


def test_faked_backwards_the_step_waits_for_the_migration(alias: str) -> None:
    deploy = Deploy(alias, CASE)
    try:
        deploy.seed()
        old = deploy.arrive(1, "old")
        deploy.migrate(2)
        deploy.migrate(1, fake=True)
        deploy.arrive(2, "new")
        deploy.leave(old)
        assert {attempt.outcome for attempt in deploy.take()} == {Outcome.BLOCKED}
        assert columns(deploy) == {"id", "title", "x", "y"}

        deploy.migrate(2, fake=True)
        deploy._take(KEEP_FOR=0)
        assert deploy.waiting() == []
        assert columns(deploy) == {"id", "title", "y"}
    finally:
        deploy.drop()


def test_what_a_faked_initial_migration_made_is_in_use(alias: str) -> None:
    deploy = Deploy(alias, CASE)
    try:
        deploy.seed()
        data = deploy.dump()
        deploy.migrate(0, fake=True)
        old = deploy.arrive(1, "old")

        deploy.migrate(2, fake_initial=True)

        assert deploy.applied() == 2
        assert set(deploy.states().values()) == {"waiting"}
        assert deploy.dump() == data
        deploy.arrive(2, "new")
        deploy.leave(old)
        deploy._take(KEEP_FOR=0)
        assert columns(deploy) == {"id", "title", "y"}
    finally:
        deploy.drop()


@pytest.mark.parametrize("vendor", ["sqlite"], indirect=True)
def test_what_is_there_is_recorded_only_after_what_it_depends_on(alias: str) -> None:
    there = {"operations": [model("Other", ("label", char()))], "initial": True}
    held = m.AddConstraint("item", models.CheckConstraint(condition=models.Q(id__gt=0), name="positive"))
    deploy = Deploy(alias, Case([item()], [[held], there, [m.AddField("other", "y", char(null=True))]]))
    try:
        deploy.seed()
        with deploy.connection.schema_editor() as editor:
            editor.create_model(next(found for found in deploy.models(3) if found.__name__ == "Other"))
        old = deploy.arrive(1, "old")

        deploy.migrate(4, fake_initial=True)

        assert deploy.applied() == 1
        for waiting in ("0003", "0004"):
            assert f"{waiting}_change waits too, because it depends on {deploy.app}.0002_change" in deploy.said
        deploy.arrive(4, "new")
        deploy.leave(old)
        deploy.report()
        deploy.migrate(4, fake_initial=True)
        assert deploy.applied() == 4
    finally:
        deploy.drop()
