"""DeleteModel, and RemoveField of a many-to-many field: both releases work in between, and nothing is lost before."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from django.core.management.base import CommandError
from django.db import migrations as m
from django.db import models
from django.db.utils import OperationalError

from guard.attribution import Attributor
from guard.ledger import protocol, rows
from guard.ledger.protocol import ProtocolError
from guard.ledger.store import Ledger
from guard.steps.ddl.mysql import MysqlDdl
from guard.steps.leftover import is_aside
from tests.integration.matrix.harness import Case, Deploy, _differences, model
from tests.integration.matrix.test_remove import PARENT, char, fk


def delete(name, *fields):
    """As makemigrations writes it: the relations first."""
    return [*(m.RemoveField(name, one) for one in fields), m.DeleteModel(name)]


def m2m(to="app.parent", **kwargs):
    return models.ManyToManyField(to, related_name="+", **kwargs)


def item(*fields, **options):
    return model("Item", ("title", char()), *fields, **options)


CASES = {
    "alone": Case([PARENT, item(("x", models.IntegerField(unique=True)))], [delete("item")]),
    "with a foreign key out": Case([PARENT, item(("up", fk()))], [delete("item", "up")]),
    "without removing its relations first": Case([PARENT, item(("up", fk()), ("many", m2m()))], [delete("item")]),
    "with relations that do not cascade": Case(
        [
            PARENT,
            item(
                ("a", fk(on_delete=models.PROTECT, related_name="+")),
                ("b", fk(on_delete=models.SET_NULL, null=True, related_name="+")),
                ("c", fk(on_delete=models.RESTRICT, related_name="+")),
                ("d", models.OneToOneField("app.parent", models.CASCADE, related_name="+")),
            ),
        ],
        [delete("item", "a", "b", "c", "d")],
    ),
    "referred to": Case(
        [item(), model("Other", ("a", fk("app.item")), ("b", fk("app.item", null=True, related_name="+")))],
        [[m.RemoveField("other", "a"), m.RemoveField("other", "b"), m.DeleteModel("item")]],
    ),
    "referred to in every way": Case(
        [
            item(("code", char(unique=True))),
            model(
                "Other",
                ("a", fk("app.item", on_delete=models.PROTECT, related_name="+")),
                ("b", fk("app.item", on_delete=models.RESTRICT, related_name="+")),
                ("c", fk("app.item", on_delete=models.SET_NULL, null=True, related_name="+")),
                ("d", models.OneToOneField("app.item", models.CASCADE, related_name="+")),
                ("e", fk("app.item", to_field="code", related_name="+")),
                ("many", m2m("app.item")),
            ),
        ],
        [[*(m.RemoveField("other", one) for one in ("a", "b", "c", "d", "e", "many")), m.DeleteModel("item")]],
    ),
    "in a circle": Case(
        [
            item(),
            model("Other", ("item", fk("app.item"))),
            m.AddField("item", "other", fk("app.other", null=True, related_name="+")),
        ],
        [[*delete("item", "other")[:1], *delete("other", "item"), m.DeleteModel("item")]],
    ),
    "that refers to itself": Case([item(("up", fk("app.item", null=True)))], [delete("item", "up")]),
    "parent and child": Case(
        [PARENT, item(("up", fk())), model("Leaf", ("item", fk("app.item")))],
        [[*delete("leaf", "item"), *delete("item", "up"), m.DeleteModel("parent")]],
    ),
    "in several migrations": Case(
        [PARENT, item(("up", fk()), ("x", models.IntegerField()))],
        [[m.RemoveField("item", "up")], [m.RemoveField("item", "x")], [m.DeleteModel("item")]],
    ),
    "a child of multi-table inheritance": Case(
        [
            model("Base", ("title", char())),
            model(
                "Item",
                (
                    "base_ptr",
                    models.OneToOneField(
                        "app.base", models.CASCADE, parent_link=True, primary_key=True, auto_created=True
                    ),
                ),
                ("more", char()),
                bases=("app.base",),
            ),
        ],
        [[m.RemoveField("item", "base_ptr"), m.DeleteModel("item")]],
    ),
    "a parent of multi-table inheritance, with its children": Case(
        [
            PARENT,
            model("Base", ("title", char()), ("up", fk())),
            model("Item", ("more", char()), bases=("app.base",)),
            model("Leaf", ("last", char()), bases=("app.item",)),
            model("Other", ("base", fk("app.base", related_name="+")), ("leaf", fk("app.leaf", related_name="+"))),
        ],
        [
            [
                m.RemoveField("other", "base"),
                m.RemoveField("other", "leaf"),
                *(m.DeleteModel(one) for one in ("leaf", "item", "base")),
            ]
        ],
    ),
    "unmanaged": Case([PARENT, item(("up", fk()), managed=False)], [delete("item", "up")]),
    "with what is unique together": Case(
        [PARENT, item(("up", fk()), unique_together={("title", "up")})],
        [[m.AlterUniqueTogether("item", None), *delete("item", "up")]],
    ),
    "with indexes and constraints": Case(
        [
            item(
                ("x", models.IntegerField(db_index=True)),
                indexes=[models.Index(fields=["title", "x"], name="by_x_of_item")],
                constraints=[models.UniqueConstraint(fields=["title", "x"], name="one_x_of_item")],
            )
        ],
        [delete("item")],
    ),
    "many to many": Case([PARENT, item(("many", m2m()))], [delete("item", "many")]),
    "a many-to-many field": Case([PARENT, item(("many", m2m()))], [[m.RemoveField("item", "many")]]),
    "many-to-many fields of every kind": Case(
        [PARENT, item(("many", m2m()), ("self", m2m("self")), ("named", m2m(db_table="app_joined")))],
        [[m.RemoveField("item", one) for one in ("many", "self", "named")]],
    ),
    "a many-to-many field through a model": Case(
        [
            PARENT,
            item(),
            model("Link", ("item", fk("app.item")), ("parent", fk())),
            m.AddField("item", "many", m2m(through="app.link")),
        ],
        [[m.RemoveField("item", "many"), *delete("link", "item", "parent")]],
    ),
    "a proxy": Case(
        [item(), m.CreateModel("Proxy", [], options={"proxy": True}, bases=("app.item",))],
        [[m.DeleteModel("Proxy")]],
        but={},
    ),
    "without a transaction": Case(
        [PARENT, item(("up", fk()), ("many", m2m()))],
        [{"operations": delete("item", "up", "many"), "atomic": False}],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_removed_beside_old_code(alias: str, name: str) -> None:
    Deploy(alias, CASES[name]).run()


ITEM = item(("up", fk()), ("code", char(unique=True)), ("many", m2m()))
WITH_RELATIONS = [PARENT, ITEM]


class Deployed:
    """Old code with rows, and newer code that has removed Item and its tables."""

    def __init__(self, alias, *later, **guard):
        self.deploy = Deploy(alias, Case(WITH_RELATIONS, [delete("item", "up", "many"), *later]), **guard)
        self.deploy.seed()
        self.before, self.data, self.names = self.deploy.schema(), self.deploy.dump(), self.deploy.names()
        self.old = self.deploy.arrive(1, "old")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.deploy.drop()

    def remove(self, *, aside=False):
        self.deploy.migrate(2, release=2)
        if aside:
            self.deploy.arrive(2, "new")
            self.deploy.leave(self.old)
            self.deploy.release = 2
            self.deploy._take()
            self.deploy.release = None
        assert set(self.deploy.states().values()) == {"aside" if aside else "waiting"}

    def removals(self):
        """How the removals stand; what has come back may keep loose foreign keys."""
        steps = Ledger(self.deploy.connection).steps()
        return {step.state for step in steps if step.kind in protocol.REMOVING}

    def is_as_before(self):
        assert self.deploy.schema() == self.before
        assert self.deploy.dump() == self.data
        # MariaDB makes foreign keys again, under another name.
        assert self.deploy.vendor == "mysql" or self.deploy.names() == self.names


@pytest.mark.parametrize("aside", [False, True], ids=["waiting", "aside"])
def test_a_model_that_is_created_again_takes_its_tables_over_with_their_rows(alias: str, aside: bool) -> None:
    with Deployed(alias, [ITEM]) as deployed:
        deployed.remove(aside=aside)
        deployed.deploy.migrate(3)
        assert deployed.removals() == {rows.StepState.WITHDRAWN}
        assert deployed.deploy.dump() == deployed.data
        for instance in Ledger(deployed.deploy.connection).instances():
            deployed.deploy.leave(instance.id)
        deployed.deploy.arrive(3, "newest")
        deployed.deploy._take(KEEP_FOR=0)
        deployed.is_as_before()


@pytest.mark.parametrize("aside", [False, True], ids=["waiting", "aside"])
def test_unapplying_gives_the_tables_back(alias: str, aside: bool) -> None:
    with Deployed(alias) as deployed:
        deployed.remove(aside=aside)
        if aside:
            for instance in Ledger(deployed.deploy.connection).instances():
                deployed.deploy.leave(instance.id)
        deployed.deploy.migrate(1)
        assert set(deployed.deploy.states().values()) == {"withdrawn"}
        deployed.is_as_before()


@pytest.mark.parametrize("aside", [False, True], ids=["waiting", "aside"])
def test_unapplying_what_took_the_tables_over_leaves_them_to_their_removal(alias: str, aside: bool) -> None:
    with Deployed(alias, [ITEM]) as deployed:
        deploy = deployed.deploy
        deployed.remove(aside=aside)
        deploy.migrate(3)
        for instance in Ledger(deploy.connection).instances():
            deploy.leave(instance.id)

        deploy.migrate(2, release=3)

        assert deployed.removals() == {rows.StepState.WAITING}
        assert "stays for now" in deploy.said
        assert deploy.dump() == deployed.data
        # As after the removal: who does not know them can delete what their rows refer to.
        with deploy.connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {deploy.connection.ops.quote_name(f'{deploy.app}_parent')}")
        assert deploy.dump() == {name: [] for name in deployed.data}
        deploy.arrive(2, "new")
        deploy.release = 2
        deploy._take()
        assert deployed.removals() == {rows.StepState.ASIDE}


def test_tables_that_were_taken_over_come_back_the_whole_way(alias: str) -> None:
    with Deployed(alias, [ITEM]) as deployed:
        deployed.deploy.leave(deployed.old)
        for count in (2, 3, 2, 3, 2, 1):
            deployed.deploy.migrate(count, release=max(count, 2))
        assert deployed.removals() == {rows.StepState.WITHDRAWN}
        deployed.is_as_before()


@pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)
def test_a_lock_that_is_missing_halfway_through_restoring_is_waited_for(
    alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, met = MysqlDdl.rename_table_parts, []

    def busy(self: MysqlDdl, table: str, names: Mapping[str, str]) -> None:
        met.append(table)
        if len(met) == 1:
            raise OperationalError(1205, "Lock wait timeout exceeded; try restarting transaction")
        usual(self, table, names)

    with Deployed(alias) as deployed:
        deploy = deployed.deploy
        deployed.remove(aside=True)
        deploy.release = 2
        monkeypatch.setattr(MysqlDdl, "rename_table_parts", busy)
        deploy.restore()
        assert len(met) == 3
        assert set(deploy.states().values()) == {"waiting"}
        assert not any(is_aside(name) for name in deploy.names())


def test_unapplying_knows_a_many_to_many_field_of_a_model_that_the_migration_renames(alias: str) -> None:
    renamed = [m.RenameModel("Item", "Thing"), m.RemoveField("thing", "many")]
    deploy = Deploy(alias, Case([PARENT, item(("many", m2m()))], [renamed]))
    try:
        deploy.seed()
        before = deploy.schema()
        # Such a migration is refused while somebody runs.
        deploy.leave(deploy.arrive(1, "old"))
        deploy.migrate(2)
        assert deploy.applied() == 2, deploy.said
        deploy.migrate(1)
        assert not (different := _differences(deploy.schema(), before)), different
    finally:
        deploy.drop()


@pytest.mark.parametrize("state", ["waiting", "aside", "done"])
def test_an_app_that_is_unapplied_to_zero_leaves_nothing_behind(alias: str, state: str) -> None:
    with Deployed(alias, [m.AddField("parent", "more", char(default="m"))]) as deployed:
        deploy = deployed.deploy
        deploy.migrate(3)
        new = deploy.arrive(3, "new")
        if state != "waiting":
            deploy.leave(deployed.old)
            deploy._take(**({} if state == "aside" else {"KEEP_FOR": 0}))
        with pytest.raises(CommandError, match=rf"unapplying it drops {deploy.app}_parent, which is in use by release"):
            deploy.migrate(0)
        assert deploy.applied() == 3

        for instance in (deployed.old, new):
            deploy.leave(instance)
        deploy.migrate(0)
        assert deploy.applied() == 0
        assert [t for t in deploy.connection.introspection.table_names() if f"{deploy.app}_" in t] == []
        assert deploy.waiting() == []
        deploy.migrate(3)
        assert deploy.applied() == 3
        deploy._take(KEEP_FOR=0)
        assert set(deploy.schema()) == {"parent"}
        assert deploy.waiting() == []


def test_unapplying_makes_anew_what_was_erased(alias: str) -> None:
    with Deployed(alias) as deployed:
        deployed.remove(aside=True)
        deployed.deploy._take(KEEP_FOR=0)
        assert set(deployed.deploy.states().values()) == {"done"}
        for instance in Ledger(deployed.deploy.connection).instances():
            deployed.deploy.leave(instance.id)
        deployed.deploy.migrate(1)
        assert deployed.deploy.schema().keys() == deployed.before.keys()
        assert deployed.deploy.dump()["Item"] == []


def test_another_model_of_that_name_waits_until_the_table_is_set_aside(alias: str) -> None:
    with Deployed(alias, [item(("other", models.IntegerField()))]) as deployed:
        deploy = deployed.deploy
        deployed.remove()
        deploy.migrate(3)
        assert deploy.applied() == 2
        assert "is still taken by" in deploy.said

        deploy.arrive(2, "new")
        deploy.leave(deployed.old)
        deploy.release = 2
        deploy._take()
        deploy.migrate(3)
        assert deploy.applied() == 3
        found = {found.__name__: found for found in deploy.new}["Item"]
        found.objects.using(alias).create(title="x", other=1)
        (kept,) = [s for s in Ledger(deploy.connection).steps() if s.table == found._meta.db_table]
        with pytest.raises(ProtocolError, match="there is another table of that name now"):
            deploy.restore(names_taken=True)
        assert kept.aside_name in deploy.connection.introspection.table_names()


def test_held_the_tables_stay_as_they_are_until_nobody_uses_them(alias: str) -> None:
    with Deployed(alias, STRATEGY="hold") as deployed:
        deploy = deployed.deploy
        deploy.migrate(2)
        assert deploy.applied() == 1
        assert set(deploy.states().values()) == {"waiting"}
        deployed.is_as_before()
        deploy.arrive(2, "new")
        deploy.leave(deployed.old)
        deploy.report()
        deploy.migrate(2)
        assert deploy.applied() == 2
        deploy._take()
        assert set(deploy.states().values()) == {"aside"}


def test_what_others_made_upon_a_table_blocks_it_and_is_named(alias: str) -> None:
    with Deployed(alias) as deployed:
        deploy = deployed.deploy
        table = f"{deploy.app}_item"
        quote = deploy.connection.ops.quote_name
        view = f"{deploy.app}_report"
        with deploy.connection.cursor() as cursor:
            cursor.execute(f"CREATE VIEW {quote(view)} AS SELECT title FROM {quote(table)}")
        try:
            deploy.migrate(2)
            deploy.arrive(2, "new")
            deploy.leave(deployed.old)
            (blocked,) = [a for a in deploy.take() + deploy.take() if a.step.table == table][:1]
            assert [b.code for b in blocked.verdict.blockers] == ["dependents"]
            assert view in blocked.verdict.blockers[0].who
        finally:
            with deploy.connection.cursor() as cursor:
                cursor.execute(f"DROP VIEW {quote(view)}")
        deploy._take()
        assert set(deploy.states().values()) == {"aside"}


def test_statements_on_a_table_that_waits_are_attributed_to_it(alias: str) -> None:
    with Deployed(alias) as deployed:
        deployed.remove()
        watched = Ledger(deployed.deploy.connection).watch_list()
        attributor = Attributor(watched, deployed.deploy.connection.vendor)
        found = {found.__name__: found for found in deployed.deploy.old}["Item"]
        sql = str(found.objects.using(alias).all().query)
        assert {touch.watched.table for touch in attributor.touches(sql)} == {found._meta.db_table}
        assert not attributor.touches("SELECT 1 FROM elsewhere")


def applied_whole(alias, base, *migrations):
    """A deploy in whose way nobody stands: all of its migrations, one plan after another."""
    deploy = Deploy(alias, Case(base, list(migrations)))
    deploy.seed()
    return deploy


INDEXED = item(("x", models.IntegerField()), indexes=[models.Index(fields=["x"], name="by_x_of_item")])


def test_names_of_a_leftover_tables_indexes_are_free_at_once(alias: str) -> None:
    other = model("Other", ("x", models.IntegerField()), indexes=[models.Index(fields=["x"], name="by_x_of_item")])
    deploy = applied_whole(alias, [INDEXED], [m.DeleteModel("Item"), other])
    try:
        names = deploy.names()
        deploy.migrate(2)
        assert deploy.applied() == 2
        deploy.migrate(1)
        assert deploy.names() == names
    finally:
        deploy.drop()


def test_a_model_that_is_created_again_with_another_index_is_another_one(alias: str) -> None:
    again = item(("x", models.IntegerField(db_index=True)))
    deploy = applied_whole(alias, [INDEXED], [m.DeleteModel("Item")], [again])
    try:
        deploy.migrate(2, release=2)
        deploy.migrate(3)
        assert deploy.applied() == 2
        assert "is still taken by" in deploy.said
    finally:
        deploy.drop()


def test_a_table_that_is_gone_with_its_leftovers_stops_no_migrate(alias: str) -> None:
    base = [model("Parent", ("label", char()), ("x", models.IntegerField()))]
    deploy = applied_whole(alias, base, [m.RemoveField("parent", "x")])
    try:
        deploy.migrate(2)
        deploy.migrate(0, fake=True)
        table = deploy.connection.ops.quote_name(f"{deploy.app}_parent")
        with deploy.connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {table}")
        deploy.migrate(2)
        assert deploy.applied() == 2
        # What the same plan makes, nobody uses.
        assert "x" not in {c[0] for c in deploy.schema()["parent"][0]}
        assert deploy.waiting() == []
    finally:
        deploy.drop()
