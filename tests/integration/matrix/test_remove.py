"""RemoveField of every kind: both releases work in between, the way back loses nothing, the end is as Django's."""

from __future__ import annotations

import pytest
from django.core.management.base import CommandError
from django.db import migrations as m
from django.db import models
from django.db.models.functions import Lower

from tests.integration.gate.fixtures import on_sqlite
from tests.integration.matrix.harness import Case, Deploy, model


def char(**kwargs):
    return models.CharField(**{"max_length": 20, **kwargs})


def fk(to="app.parent", on_delete=models.CASCADE, **kwargs):
    return models.ForeignKey(to, on_delete, **kwargs)


PARENT = model("Parent", ("label", char()))


def item(*fields, **options):
    return model("Item", ("title", char()), *fields, **options)


def remove(*names):
    return [m.RemoveField("item", name) for name in names]


def both(*operations, first=(), more=()):
    """The same in the database and in the state; `first` in the database alone, `more` in the state alone."""
    return m.SeparateDatabaseAndState([*first, *operations], [*operations, *more])


def removing(field, *base, **kwargs):
    return Case([*base, item(("x", field))], [remove("x")], **kwargs)


CASES = {
    "of many plain kinds": Case(
        [
            item(
                ("a", models.IntegerField()),
                ("b", models.IntegerField(default=5)),
                ("c", char(blank=True)),
                ("d", char(null=True)),
                ("e", models.TextField(default="50% 'off'")),
                ("f", models.BooleanField(default=False)),
                ("g", models.DateTimeField(auto_now_add=True)),
                ("h", models.DecimalField(max_digits=5, decimal_places=2, default=0)),
                ("i", models.JSONField(default=dict)),
                ("j", models.BinaryField(default=b"x")),
                ("k", models.UUIDField(default=None, null=True)),
                ("l", models.FloatField(db_column="Weird Name")),
                ("n", models.IntegerField(db_default=3)),
            )
        ],
        [remove(*"abcdefghijkln")],
    ),
    "unique and indexed": Case(
        [
            item(
                ("a", char(unique=True)),
                ("b", char(unique=True, default="u")),
                ("c", models.IntegerField(unique=True)),
                ("d", char(unique=True, null=True)),
                ("e", models.IntegerField(db_index=True)),
                ("f", char(db_index=True, default="x")),
                ("g", models.SlugField()),
                ("h", models.PositiveIntegerField()),
                ("i", models.PositiveSmallIntegerField(default=1, db_index=True)),
            )
        ],
        [remove(*"abcdefghi")],
    ),
    "foreign keys": Case(
        [
            model("Parent", ("label", char()), ("code", char(unique=True))),
            item(
                ("a", fk(related_name="+")),
                ("b", fk(null=True, related_name="+")),
                ("c", fk(on_delete=models.SET_NULL, null=True, related_name="+")),
                ("d", fk(db_constraint=False, related_name="+")),
                ("e", fk(db_index=False, related_name="+")),
                ("f", fk(db_column="up", related_name="+")),
                ("g", fk(to_field="code", related_name="+")),
                ("h", fk("app.item", null=True)),
                ("kept", fk(related_name="+")),
            ),
        ],
        [remove(*"abcdefgh")],
    ),
    "foreign key protect": removing(fk(on_delete=models.PROTECT), PARENT),
    "foreign key with default": removing(fk(default=1), PARENT),
    "one-to-one": Case(
        [
            PARENT,
            item(
                ("x", models.OneToOneField("app.parent", models.CASCADE, related_name="+")),
                ("y", models.OneToOneField("app.parent", models.CASCADE, null=True, related_name="+")),
            ),
        ],
        [remove("x", "y")],
    ),
    "of a parent of multi-table inheritance": Case(
        [
            model("Item", ("title", char()), ("x", models.IntegerField())),
            model("Child", ("more", char()), bases=("app.item",)),
        ],
        [remove("x")],
    ),
    "of a child of multi-table inheritance": Case(
        [
            model("Base", ("title", char())),
            model("Item", ("more", char()), ("x", models.IntegerField()), bases=("app.base",)),
        ],
        [remove("x")],
    ),
    "in unique_together": Case(
        [item(("x", models.IntegerField()), unique_together={("title", "x")})],
        [[m.AlterUniqueTogether("item", set()), *remove("x")]],
    ),
    "in much with others": Case(
        [
            PARENT,
            item(
                ("up", fk()),
                ("x", models.IntegerField(default=3)),
                ("y", fk(null=True, related_name="+")),
                unique_together={("up", "x"), ("title", "y")},
                indexes=[models.Index(fields=["y", "-x"], name="by_y")],
                constraints=[
                    models.CheckConstraint(condition=models.Q(x__gt=-(10**6)), name="low_x"),
                    models.UniqueConstraint(fields=["x", "y", "title"], name="all_x"),
                ],
            ),
        ],
        [
            [
                m.AlterUniqueTogether("item", set()),
                m.RemoveIndex("item", "by_y"),
                m.RemoveConstraint("item", "low_x"),
                m.RemoveConstraint("item", "all_x"),
                *remove("x", "y"),
                m.AddField("item", "z", char(default="z")),
            ],
            [
                m.AlterField("item", "title", char(max_length=30)),
                m.AddIndex("item", models.Index(fields=["z", "up"], name="by_z")),
            ],
        ],
    ),
    "in a constraint that NULL is held to": Case(
        [
            item(
                ("x", models.DateTimeField(null=True)),
                constraints=[
                    models.UniqueConstraint(fields=["title"], condition=models.Q(x__isnull=True), name="live_x")
                ],
            )
        ],
        [[m.RemoveConstraint("item", "live_x"), *remove("x")]],
        outcome="held",
        but={"mysql": "split"},
    ),
    "in an index": Case(
        [item(("x", models.IntegerField()), indexes=[models.Index(fields=["title", "x"], name="by_x")])],
        [[m.RemoveIndex("item", "by_x"), *remove("x")]],
    ),
    "in a unique constraint": Case(
        [
            item(
                ("x", models.IntegerField()),
                constraints=[models.UniqueConstraint(fields=["title", "x"], name="one_x")],
            )
        ],
        [[m.RemoveConstraint("item", "one_x"), *remove("x")]],
    ),
    "in a check": Case(
        [
            item(
                ("x", models.IntegerField()),
                constraints=[models.CheckConstraint(condition=models.Q(x__gt=-(10**6)), name="some_x")],
            )
        ],
        [[m.RemoveConstraint("item", "some_x"), *remove("x")]],
    ),
    "that a generated field reads": Case(
        [
            item(
                ("x", char()),
                ("low", models.GeneratedField(expression=Lower("x"), output_field=char(), db_persist=True)),
            )
        ],
        [[m.RemoveField("item", "low"), m.RemoveField("item", "x")]],
        outcome="held",
    ),
    "a generated field": Case(
        [
            item(
                ("low", models.GeneratedField(expression=Lower("title"), output_field=char(), db_persist=True)),
            )
        ],
        [remove("low")],
        outcome="held",
    ),
    "with the database and the state apart": Case(
        [PARENT, item(("x", models.IntegerField()), ("up", fk()), unique_together={("title", "x")})],
        [
            [
                both(
                    m.AlterUniqueTogether("item", set()),
                    *remove("x"),
                    m.AddField("item", "z", char(default="z")),
                    first=(m.RunPython(m.RunPython.noop, m.RunPython.noop),),
                    more=(m.AlterModelOptions("item", {"verbose_name": "thing"}),),
                ),
                both(*remove("up")),
            ]
        ],
    ),
    "of the state alone": Case(
        [item(("x", models.IntegerField(null=True)))],
        [[m.SeparateDatabaseAndState(state_operations=remove("x"))]],
    ),
    "with another state than the database's": Case(
        [item(("x", models.IntegerField()))],
        [
            [
                m.SeparateDatabaseAndState(
                    database_operations=remove("x"),
                    state_operations=[m.AlterModelOptions("item", {"verbose_name": "thing"}), *remove("x")],
                )
            ]
        ],
        outcome="held",
    ),
    "in several migrations": Case(
        [PARENT, item(("x", models.IntegerField()), ("y", fk()), ("z", char(unique=True)))],
        [remove("x"), remove("y"), remove("z")],
    ),
    "of the last field": Case([PARENT, model("Item", ("x", fk()))], [remove("x")]),
    "without a transaction": Case(
        [PARENT, item(("x", fk()), ("y", models.IntegerField()))],
        [{"operations": remove("x", "y"), "atomic": False}],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_removed_beside_old_code(alias: str, name: str) -> None:
    Deploy(alias, CASES[name]).run()


REVERTS = {
    "an index": (
        item(("x", models.IntegerField()), indexes=[models.Index(fields=["title", "x"], name="by_title_x")]),
        [m.RemoveIndex("item", "by_title_x"), *remove("x")],
        [
            m.AddField("item", "x", models.IntegerField(default=0)),
            m.AddIndex("item", models.Index(fields=["title", "x"], name="by_title_x")),
        ],
    ),
    "unique_together": (
        item(("x", models.IntegerField(default=1)), unique_together={("title", "x")}),
        [m.AlterUniqueTogether("item", set()), *remove("x")],
        [
            m.AddField("item", "x", models.IntegerField(default=1)),
            m.AlterUniqueTogether("item", {("title", "x")}),
        ],
    ),
}


@pytest.mark.parametrize("name", REVERTS)
def test_a_revert_brings_back_what_went_with_the_field(alias: str, name: str) -> None:
    base, removing_, again = REVERTS[name]
    deploy = Deploy(alias, Case([base], [removing_, again]))
    try:
        deploy.seed()
        data, names = deploy.dump(), deploy.names()
        deploy.migrate(2, release=2)
        assert deploy.applied() == 2
        # A constraint waits for the end of code that has none.
        deploy.arrive(3, "new")
        for _ in range(2):
            deploy.migrate(3)
            deploy.report()
        assert deploy.applied() == 3, deploy.said
        assert deploy.dump() == data
        assert deploy.names() == names
    finally:
        deploy.drop()


def test_halves_that_differ_wait_whole_and_run_in_a_maintenance_window(alias: str) -> None:
    deploy = Deploy(alias, CASES["with another state than the database's"])
    try:
        deploy.seed()
        old = deploy.arrive(1, "old")
        deploy.migrate(2)
        assert deploy.applied() == 1
        assert "database_operations and state_operations differ, so that it cannot run in two steps" in deploy.said

        deploy.leave(old)
        deploy.migrate(2)
        assert deploy.applied() == 2, deploy.said
        assert deploy.waiting() == []
        assert "x" not in {column[0] for column in deploy.schema()["item"][0]}
    finally:
        deploy.drop()


def test_a_required_field_whose_default_is_none_lets_new_code_insert(alias: str) -> None:
    Deploy(alias, removing(models.IntegerField(default=None))).run()


@pytest.mark.parametrize("declared", [False, True], ids=["stopped", "declared"])
def test_a_table_that_is_renamed_in_the_same_plan_takes_no_leftover_along(alias: str, declared: bool) -> None:
    rename = m.RenameModel("Item", "Thing")
    if declared:
        rename.guard_phase = "expand"
    deploy = Deploy(alias, Case([item(("x", models.IntegerField()))], [remove("x"), [rename]]))
    deploy.migrations[-1].operations[0].__dict__.update(rename.__dict__)
    try:
        deploy.seed()
        if declared:
            deploy.arrive(1, "old")
            with pytest.raises(CommandError, match="takes something from that table"):
                deploy.migrate(3)
            return
        deploy.leave(deploy.arrive(1, "old"))
        deploy.migrate(3)
        assert deploy.applied() == 3
        assert deploy.waiting() == []
        assert "x" not in {c[0] for c in deploy.schema()["thing"][0]}
    finally:
        deploy.drop()


@on_sqlite
def test_the_name_of_an_index_that_waits_with_its_column_is_taken_in_a_later_deploy_when_it_is_free(alias: str) -> None:
    base = [item(("x", models.IntegerField()), indexes=[models.Index(fields=["x"], name="one_name")])]
    removal = [m.RemoveIndex("item", "one_name"), *remove("x")]
    deploy = Deploy(alias, Case(base, [removal, [m.AddIndex("item", models.Index(fields=["title"], name="one_name"))]]))
    try:
        deploy.seed()
        serving = deploy.arrive(1, "old")
        deploy.migrate(2, release=2)
        deploy.migrate(3)
        assert deploy.applied() == 2
        assert "The name one_name is still taken by" in deploy.said

        deploy.leave(serving)
        deploy.arrive(3, "new")
        assert [attempt.taken for attempt in deploy.take()] == [True]
        deploy.migrate(3)
        assert deploy.applied() == 3, deploy.said
    finally:
        deploy.drop()


@pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)
def test_the_name_of_an_index_that_waits_is_free_for_other_tables_where_names_are_a_tables_own(alias: str) -> None:
    base = [PARENT, item(("x", models.IntegerField()), indexes=[models.Index(fields=["x"], name="one_name")])]
    removal = [m.RemoveIndex("item", "one_name"), *remove("x")]
    elsewhere = m.AddIndex("parent", models.Index(fields=["label"], name="one_name"))
    Deploy(alias, Case(base, [removal, [elsewhere]])).run()
