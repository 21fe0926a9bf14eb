"""Upgrades as projects have them: two or more states of a few models, and what makemigrations writes between them."""

from __future__ import annotations

import datetime
import decimal
import itertools
import uuid

import pytest
from django.db import models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ProjectState
from django.db.models import F, Q
from django.db.models.functions import Lower, Now
from django.utils import timezone

from tests.integration.matrix.harness import Case, Deploy, model
from tests.integration.matrix.test_remove import char, fk


class _Answers(MigrationQuestioner):
    """What a developer answers where makemigrations asks."""

    def __init__(self, once):
        super().__init__()
        self._once = once

    def ask_not_null_addition(self, field_name, model_name):
        return self._once

    def ask_not_null_alteration(self, field_name, model_name):
        return models.NOT_PROVIDED

    def ask_auto_now_add_addition(self, field_name, model_name):
        return timezone.now

    def ask_unique_callable_default_addition(self, field_name, model_name):
        return None

    def ask_rename(self, model_name, old_name, new_name, field_instance):
        return False


def _state(made):
    state = ProjectState()
    for operation in made:
        operation.state_forwards("app", state)
    return state


def history(*versions, once=0, **kwargs):
    """The first version as it is deployed, and for each further one what makemigrations writes."""
    migrations = []
    for before, after in itertools.pairwise(versions):
        detector = MigrationAutodetector(_state(before), _state(after), _Answers(once))
        graph = MigrationGraph()
        graph.add_node(("app", "0001_initial"), None)
        written = detector.changes(graph=graph)["app"]
        assert written
        migrations += [one.operations for one in written]
    return Case(versions[0], migrations, **kwargs)


def tag():
    return model("Tag", ("name", char(unique=True)))


def user(*fields, **options):
    return model("User", ("email", models.EmailField(unique=True)), *fields, **options)


CASES = {
    "blog: drafts become a status": history(
        [
            user(),
            model(
                "Post",
                ("title", char()),
                ("draft", models.BooleanField(default=True)),
                ("published", models.DateTimeField(null=True, blank=True)),
                ("author", fk("app.user")),
                indexes=[models.Index(fields=["draft", "-published"], name="post_feed")],
            ),
        ],
        [
            user(),
            model(
                "Post",
                ("title", char(max_length=60)),
                ("status", char(choices=[("d", "Draft"), ("p", "Live")], default="d", db_index=True)),
                ("published", models.DateTimeField(null=True, blank=True)),
                ("author", fk("app.user")),
                ("made", models.DateTimeField(auto_now_add=True)),
                indexes=[models.Index(fields=["status", "-published"], name="post_feed2")],
            ),
        ],
    ),
    "cart: one address instead of three columns": history(
        [
            user(),
            model(
                "Cart",
                ("user", models.OneToOneField("app.user", models.CASCADE)),
                ("street", char()),
                ("city", char(db_column="town")),
                ("zip", char(null=True, blank=True)),
                unique_together={("user", "city")},
            ),
        ],
        [
            user(),
            model(
                "Cart",
                ("user", models.OneToOneField("app.user", models.CASCADE)),
                ("address", models.JSONField(default=dict)),
                ("token", models.UUIDField(default=uuid.uuid4, editable=False)),
            ),
        ],
    ),
    "tree: a parent is required, a depth is kept": history(
        [model("Node", ("name", char()), ("up", fk("app.node", null=True, related_name="+")), ("path", char()))],
        [
            model(
                "Node",
                ("name", char()),
                ("up", fk("app.node", null=True, related_name="+")),
                ("depth", models.PositiveIntegerField(default=0)),
                ("root", fk("app.node", null=True, on_delete=models.SET_NULL, related_name="+")),
                indexes=[models.Index(fields=["depth", "name"], name="node_depth")],
            )
        ],
    ),
    "catalog: constraints with conditions": history(
        [
            model(
                "Sku",
                ("code", char()),
                ("price", models.DecimalField(max_digits=8, decimal_places=2)),
                ("low", models.IntegerField(default=0)),
                ("high", models.IntegerField(default=9)),
                constraints=[
                    models.CheckConstraint(condition=Q(low__lte=F("high") + 10**8), name="sku_range"),
                    models.UniqueConstraint(fields=["code", "low"], name="sku_once"),
                ],
                indexes=[
                    models.Index(fields=["code"], name="sku_live", condition=Q(low__gt=0)),
                    models.Index(Lower("code"), name="sku_lower"),
                ],
            )
        ],
        [
            model(
                "Sku",
                ("code", char()),
                ("price", models.DecimalField(max_digits=8, decimal_places=2)),
                ("amount", models.DecimalField(max_digits=8, decimal_places=2, default=decimal.Decimal("1.50"))),
                indexes=[models.Index(Lower("code"), name="sku_lower")],
            )
        ],
    ),
    "shapes: fields of a parent and of a child": history(
        [
            model("Place", ("name", char()), ("rank", models.IntegerField(unique=True))),
            model("Cafe", ("seats", models.IntegerField()), ("kind", char(blank=True)), bases=("app.place",)),
        ],
        [
            model("Place", ("name", char()), ("stars", models.FloatField(default=0.5))),
            model(
                "Cafe", ("kind", char(blank=True)), ("open", models.BooleanField(default=True)), bases=("app.place",)
            ),
        ],
    ),
    "ledger: database defaults come and go": history(
        [
            model(
                "Entry",
                ("text", char(db_default="x")),
                ("number", models.IntegerField(db_default=1)),
                ("at", models.DateTimeField(db_default=Now())),
            )
        ],
        [
            model(
                "Entry",
                ("text", char(db_default="x")),
                ("at", models.DateTimeField(db_default=Now())),
                ("state", char(db_default="new", default="old")),
            )
        ],
        [
            model(
                "Entry",
                ("at", models.DateTimeField(db_default=Now())),
                ("state", char(db_default="new", default="old", max_length=40)),
                ("day", models.DateField(default=datetime.date(2024, 1, 1))),
            )
        ],
    ),
    "members: a through model goes": history(
        [
            user(),
            model("Club", ("name", char()), ("members", models.ManyToManyField("app.user"))),
            model(
                "Fee",
                ("club", fk("app.club")),
                ("user", fk("app.user")),
                ("paid", models.BooleanField()),
                unique_together={("club", "user")},
            ),
        ],
        [
            user(("nick", char(default="", blank=True))),
            model("Club", ("name", char())),
            model(
                "Fee",
                ("club", fk("app.club")),
                ("paid", models.BooleanField()),
                ("sum", models.IntegerField(default=0)),
            ),
        ],
    ),
    "names: a generated field is kept": history(
        [
            model(
                "Person",
                ("first", char()),
                ("last", char()),
                ("lower", models.GeneratedField(expression=Lower("last"), output_field=char(), db_persist=True)),
                ("age", models.IntegerField()),
                ("nick", char()),
            )
        ],
        [
            model(
                "Person",
                ("first", char()),
                ("last", char()),
                ("lower", models.GeneratedField(expression=Lower("last"), output_field=char(), db_persist=True)),
                ("score", models.IntegerField(default=3)),
            )
        ],
    ),
    "chains: the same column again and again": history(
        [model("Item", ("a", char(null=True)), ("b", char()), ("c", models.IntegerField(null=True, db_index=True)))],
        [
            model(
                "Item",
                ("a", char(default="a")),
                ("b", char(max_length=40)),
                ("c", models.IntegerField(default=0, db_index=True)),
                ("d", char(default="d")),
            )
        ],
        [
            model(
                "Item",
                ("a", char(default="other", max_length=40)),
                ("b", models.TextField()),
                ("c", models.IntegerField(default=0)),
                ("d", char(default="d", max_length=30, db_index=True)),
            )
        ],
        [model("Item", ("a", char(default="other", max_length=40, blank=True)), ("d", models.TextField(default="d")))],
        rows=lambda made: made.create("Item", b="null"),
        fills=True,
    ),
    "orders: a required column, and one for once": history(
        [
            user(),
            model("Order", ("user", fk("app.user", null=True)), ("note", models.TextField(null=True)), ("old", char())),
        ],
        [
            user(),
            model(
                "Order",
                ("user", fk("app.user", on_delete=models.PROTECT)),
                ("note", models.TextField(default="", blank=True)),
                ("number", models.IntegerField()),
                ("data", models.JSONField(default=list)),
                ordering=["number"],
            ),
        ],
    ),
    "people: a check over what is removed and what stays": history(
        [
            model(
                "Slot",
                ("start", models.DateTimeField()),
                ("end", models.DateTimeField()),
                ("kind", char(default="k")),
                constraints=[
                    models.CheckConstraint(condition=Q(end__gte=F("start")), name="slot_order"),
                    models.UniqueConstraint(fields=["start"], condition=Q(kind="k"), name="slot_kind"),
                ],
            )
        ],
        [
            model(
                "Slot",
                ("start", models.DateTimeField()),
                ("length", models.DurationField(default=datetime.timedelta(1))),
            )
        ],
        outcome="held",
        but={"mysql": "split"},
    ),
    "keys: what others refer to": history(
        [
            model("Country", ("code", char(primary_key=True)), ("name", char()), ("iso", char(unique=True))),
            model(
                "City",
                ("name", char()),
                ("country", fk("app.country")),
                ("by_iso", fk("app.country", to_field="iso", related_name="+")),
            ),
        ],
        [
            model("Country", ("code", char(primary_key=True)), ("name", char()), ("iso", char(unique=True))),
            model("City", ("name", char()), ("by_iso", fk("app.country", to_field="iso", null=True, related_name="+"))),
        ],
        [
            model("Country", ("code", char(primary_key=True)), ("name", char())),
            model("City", ("name", char())),
        ],
    ),
    "votes: another pair is unique": history(
        [
            user(),
            model(
                "Vote",
                ("user", fk("app.user")),
                ("poll", models.IntegerField()),
                ("choice", models.IntegerField(default=1)),
                constraints=[models.UniqueConstraint(fields=["user", "poll"], name="vote_poll")],
            ),
        ],
        [
            user(),
            model(
                "Vote",
                ("user", fk("app.user")),
                ("choice", models.IntegerField(default=1)),
                ("ballot", models.IntegerField(null=True)),
                constraints=[models.UniqueConstraint(fields=["ballot", "user"], name="vote_ballot")],
            ),
        ],
    ),
    "grants: one of two keys of a pair goes": history(
        [
            user(),
            tag(),
            model(
                "Grant",
                ("user", fk("app.user")),
                ("tag", fk("app.tag")),
                ("by", fk("app.user", related_name="+", null=True)),
                constraints=[
                    models.UniqueConstraint(fields=["tag", "user"], name="grant_once"),
                    models.UniqueConstraint(fields=["by", "tag"], name="grant_by"),
                ],
                indexes=[models.Index(fields=["user", "by"], name="grant_user_by")],
            ),
        ],
        [
            user(),
            tag(),
            model("Grant", ("user", fk("app.user")), ("at", models.DateTimeField(auto_now_add=True))),
        ],
    ),
    "odd names": history(
        [
            model(
                "Thing",
                ("a", char(db_column="A bc")),
                ("b", models.IntegerField(db_column="Select")),
                ("c", char(db_column="Group", unique=True)),
                ("up", models.ForeignKey("app.thing", models.CASCADE, null=True, db_column="Up Key")),
                indexes=[models.Index(fields=["a", "b"], name="odd idx")],
            )
        ],
        [
            model(
                "Thing",
                ("a", char(db_column="A bc", max_length=50)),
                ("d", char(db_column="Or der", default="100%")),
            )
        ],
    ),
    "a token: added, filled, unique": history(
        [model("Key", ("name", char()), ("old", models.UUIDField(default=uuid.uuid4, unique=True)))],
        [
            model(
                "Key",
                ("name", char()),
                ("old", models.UUIDField(default=uuid.uuid4, unique=True)),
                ("token", models.UUIDField(null=True)),
            )
        ],
        [model("Key", ("name", char(db_index=True)), ("token", models.UUIDField(default=uuid.uuid4)))],
    ),
    "an order of its own": history(
        [
            model("List", ("name", char())),
            model("Entry", ("list", fk("app.list")), ("x", char()), order_with_respect_to="list"),
        ],
        [
            model("List", ("name", char()), ("closed", models.BooleanField(default=False))),
            model("Entry", ("list", fk("app.list")), ("y", char(default="y")), order_with_respect_to="list"),
        ],
    ),
    "one-to-one, many-to-many and itself": history(
        [
            user(),
            tag(),
            model(
                "Profile",
                ("user", models.OneToOneField("app.user", models.CASCADE, primary_key=True)),
                ("tags", models.ManyToManyField("app.tag")),
                ("friends", models.ManyToManyField("self")),
                ("boss", models.OneToOneField("app.profile", models.SET_NULL, null=True)),
                ("bio", models.TextField()),
            ),
        ],
        [
            user(),
            tag(),
            model(
                "Profile",
                ("user", models.OneToOneField("app.user", models.CASCADE, primary_key=True)),
                ("tags", models.ManyToManyField("app.tag")),
                ("score", models.FloatField(default=0)),
            ),
        ],
    ),
    "numbers: wider, and a default for everybody": history(
        [
            model(
                "Stat",
                ("count", models.IntegerField(default=0)),
                ("ratio", models.DecimalField(max_digits=5, decimal_places=2, null=True)),
                ("kind", models.SmallIntegerField(null=True, db_index=True)),
                ("when", models.DateField(null=True)),
                ("label", char(null=True, unique=True)),
            )
        ],
        [
            model(
                "Stat",
                ("count", models.BigIntegerField(default=0)),
                ("ratio", models.DecimalField(max_digits=9, decimal_places=2, default=decimal.Decimal("0.5"))),
                ("kind", models.IntegerField(default=4, db_index=True)),
                ("when", models.DateField(default=datetime.date(2024, 2, 29))),
            )
        ],
        rows=lambda made: made.create("Stat"),
        fills=True,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_old_and_new_code_work_through_an_upgrade(alias: str, name: str) -> None:
    Deploy(alias, CASES[name]).run()
