"""What `sqlmigrate` shows is what `migrate` runs at once; the contract step is there to be read; nothing is done."""

from __future__ import annotations

import re

import pytest
from django.db import migrations as m
from django.db import models

from guard import conf
from guard.gate import contract
from guard.ledger.store import Ledger
from tests.integration.matrix import test_add, test_alter, test_histories, test_remove, test_tables
from tests.integration.matrix.harness import Case, Deploy, _differences, _Loader

CASES = {
    "foreign keys": test_remove.CASES["foreign keys"],
    "fields of every kind": test_add.CASES["of every kind"],
    "by the clock": test_add.CASES["by the clock, or at random"],
    "required": test_alter.CASES["with a default, NULLs there"],
    "a model": test_tables.CASES["with relations that do not cascade"],
    "a cart": test_histories.CASES["cart: one address instead of three columns"],
}


def shown(deploy):
    """What `sqlmigrate` prints of the second migration."""
    loader = _Loader(deploy.connection, deploy.migrations)
    with deploy._as(2):
        return loader.collect_sql([(loader.graph.nodes[deploy.app, deploy.migrations[1].name], False)])


def at_once(lines):
    return [line for line in lines if not line.startswith("--")]


def run(deploy, lines):
    connection = deploy.connection
    with connection.schema_editor() as editor:
        for line in at_once(lines):
            editor.execute(line, None)
    if deploy.vendor == "postgresql":
        # Apart from the migration, so that it is not held up.
        with contract.contractor(deploy.alias, conf.get()) as gate:
            for table in deploy.tables():
                for column in gate.ddl.columns(table):
                    gate.validate_foreign_keys(table, column)


@pytest.mark.parametrize("name", CASES)
def test_what_is_shown_is_what_runs_at_once(alias: str, name: str) -> None:
    case = Case(CASES[name].base, CASES[name].migrations[:1], rows=CASES[name].rows)
    by_hand = Deploy(alias, case)
    try:
        by_hand.seed()
        before = by_hand.schema()
        lines = shown(by_hand)
        assert by_hand.schema() == before
        assert not Ledger(by_hand.connection).steps()
        assert not Ledger(by_hand.connection).instances()
        run(by_hand, lines)
        found = by_hand.schema()
    finally:
        by_hand.drop()
    deploy = Deploy(alias, case)
    try:
        deploy.seed()
        deploy.migrate(2)
        assert not (different := _differences(found, deploy.schema())), (different, lines)
    finally:
        deploy.drop()


def test_later_steps_are_comments_and_say_when(alias: str) -> None:
    case = Case(
        [test_remove.item(("x", models.IntegerField()), ("y", models.CharField(max_length=9, null=True)))],
        [
            [
                m.RemoveField("item", "x"),
                m.AddField("item", "z", models.IntegerField(default=3)),
                m.AlterField("item", "y", models.CharField(max_length=9, default="y")),
            ]
        ],
    )
    deploy = Deploy(alias, case)
    try:
        deploy.seed()
        lines = shown(deploy)
        later = [
            re.sub(r"[\"`]", "", line) for line in lines if line.startswith("-- guard: LATER") or line[:5] == "--   "
        ]
        table = f"{deploy.app}_item"
        whens = [line for line in later if "LATER" in line]
        assert f"no deployed code uses {table}.x any more" in whens[0]
        assert "it is erased" in whens[1]
        assert f"no deployed code inserts without {table}.z any more" in whens[2]
        assert f"no deployed code writes NULL to {table}.y any more" in whens[3]
        assert any("RENAME COLUMN x TO guard_N_x" in line for line in later)
        assert not any(
            "DROP COLUMN" in line or "RENAME" in line for line in at_once(lines) if deploy.vendor != "sqlite"
        )
    finally:
        deploy.drop()


def test_a_held_migration_is_shown_whole_and_said_to_wait(alias: str) -> None:
    unique = m.AddConstraint("item", models.UniqueConstraint(fields=["title"], name="one_title"))
    deploy = Deploy(alias, Case([test_remove.item()], [[unique]]))
    try:
        deploy.seed()
        lines = shown(deploy)
        assert any("`migrate` waits with this migration" in line for line in lines)
        assert any("one_title" in line for line in at_once(lines))
    finally:
        deploy.drop()


def test_switched_off_it_is_djangos_own(alias: str) -> None:
    deploy = Deploy(alias, test_remove.CASES["unique and indexed"], MODE="off")
    try:
        deploy.seed()
        lines = shown(deploy)
        assert not any("guard" in line.replace("guard_new__", "") for line in lines)
        assert any("DROP COLUMN" in line or "DROP TABLE" in line for line in at_once(lines))
    finally:
        deploy.drop()
