"""AddField NOT NULL of every kind: old code goes on inserting, and the end is as Django's."""

from __future__ import annotations

import datetime
import decimal
import uuid

import pytest
from django.db import migrations as m
from django.db import models
from django.utils import timezone

from tests.integration.matrix.harness import Case, Deploy, model
from tests.integration.matrix.test_remove import PARENT, char, fk, item

MOMENT = datetime.datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=datetime.UTC)

BUILT_IN = {
    "big": models.BigIntegerField(default=2**40),
    "binary": models.BinaryField(default=b"\x00'%\xff"),
    "boolean": models.BooleanField(default=True),
    "char": char(default="50% o'f \\ \" {}"),
    "blank": char(blank=True),
    "date": models.DateField(default=datetime.date(2024, 5, 6)),
    "moment": models.DateTimeField(default=MOMENT),
    "decimal": models.DecimalField(max_digits=9, decimal_places=3, default=decimal.Decimal("1.125")),
    "decimals": models.DecimalField(max_digits=9, decimal_places=3, default=0),
    "duration": models.DurationField(default=datetime.timedelta(days=3, microseconds=5)),
    "email": models.EmailField(default="a@b.example"),
    "file": models.FileField(default="", upload_to="x"),
    "path": models.FilePathField(default=""),
    "real": models.FloatField(default=1.5),
    "address": models.GenericIPAddressField(default="::1"),
    "number": models.IntegerField(default=-7),
    "data": models.JSONField(default=dict),
    "listed": models.JSONField(default=list),
    "given": models.JSONField(default={"a": ["it's", None, 50]}),
    "small": models.SmallIntegerField(default=1),
    "positive": models.PositiveIntegerField(default=1),
    "slug": models.SlugField(default="s"),
    "text": models.TextField(default="it's\n50%"),
    "time": models.TimeField(default=datetime.time(7, 8, 9)),
    "url": models.URLField(default="http://a.example/?q=%20"),
    "uuid": models.UUIDField(default=uuid.UUID(int=5)),
    "written": models.IntegerField(default="5"),
    "indexed": models.IntegerField(default=1, db_index=True),
    "column": models.IntegerField(default=1, db_column="Odd Name"),
}


def adding(fields, *, preserve=True):
    return [m.AddField("item", name, field, preserve_default=preserve) for name, field in fields.items()]


CASES = {
    "of every kind": Case([item()], [adding(BUILT_IN)]),
    "of every kind, with a default for once": Case([item()], [adding(BUILT_IN, preserve=False)]),
    "by the clock, or at random": Case(
        [item()],
        [
            adding(
                {
                    "made": models.DateTimeField(auto_now_add=True),
                    "changed": models.DateTimeField(auto_now=True),
                    "now": models.DateTimeField(default=timezone.now),
                    "token": models.UUIDField(default=uuid.uuid4),
                    "key": models.UUIDField(default=uuid.uuid4, editable=False, db_index=True),
                }
            ),
        ],
    ),
    "by the clock for once": Case(
        [item()], [adding({"made": models.DateTimeField(auto_now_add=True, default=timezone.now)}, preserve=False)]
    ),
    "by a function of the project": Case(
        [item()], [adding({"x": models.IntegerField(default=lambda: 5)})], outcome="refused"
    ),
    "unique": Case([item()], [adding({"x": char(unique=True, default="x")})], outcome="refused"),
    "foreign key": Case(
        [PARENT, item(("p", fk(null=True, related_name="+")))],
        [adding({"x": fk(default=1, related_name="+")}, preserve=False)],
        # It is referred to by every row now.
        lost=("delete seeded Parent",),
    ),
    "foreign keys to what is no number": Case(
        [
            model("Top", ("id", models.UUIDField(primary_key=True, default=uuid.uuid4)), ("code", char(unique=True))),
            model("Card", ("top", models.OneToOneField("app.top", models.CASCADE, primary_key=True))),
            item(),
        ],
        [
            adding(
                {
                    "x": fk("app.top", default=uuid.UUID(int=5), related_name="+"),
                    "y": fk("app.top", default=str(uuid.UUID(int=5)), related_name="+"),
                    "z": fk("app.card", default=uuid.UUID(int=5), related_name="+"),
                    "by_code": fk("app.top", default="it's", to_field="code", related_name="+"),
                },
                preserve=False,
            )
        ],
        rows=lambda made: made.create("Card", top=made.create("Top", id=uuid.UUID(int=5), code="it's")),
        # They are referred to by every row now.
        lost=("delete seeded Top", "delete seeded Card"),
    ),
    "foreign key to nothing": Case(
        [PARENT, item()],
        [adding({"x": fk(default=987654, related_name="+")}, preserve=False)],
        outcome="refused",
    ),
    "beside what is removed": Case(
        [PARENT, item(("gone", models.IntegerField()), ("up", fk()))],
        [
            [
                m.AddField("item", "x", models.IntegerField(default=3)),
                m.RemoveField("item", "gone"),
                m.AddField("item", "y", char(default="y")),
                m.RemoveField("item", "up"),
            ]
        ],
    ),
    "and altered later": Case(
        [item()],
        [
            adding({"a": char(default="a"), "b": char(default="b"), "c": models.BooleanField(default=True)}),
            [m.AlterField("item", "a", char(max_length=50, default="other"))],
            [m.AlterField("item", "b", char(max_length=50, null=True))],
            [m.AlterField("item", "c", models.IntegerField(default=4))],
        ],
    ),
    "for once, and altered later": Case(
        [item()],
        [
            adding({"a": char(default="a"), "b": models.IntegerField(default=1)}, preserve=False),
            [
                m.AlterField("item", "a", char(max_length=50)),
                m.AlterField("item", "b", models.IntegerField(db_default=2)),
            ],
        ],
    ),
    "and renamed later": Case(
        [item()],
        [adding({"a": char(default="a")}), [m.RenameField("item", "a", "b")], adding({"z": char(default="z")})],
    ),
    "and removed later": Case([item()], [adding({"a": char(default="a")}), [m.RemoveField("item", "a")]]),
    "to a child of multi-table inheritance": Case(
        [model("Base", ("title", char())), model("Item", ("more", char()), bases=("app.base",))],
        [adding({"x": models.IntegerField(default=1)})],
    ),
    "without a transaction": Case(
        [item()],
        [{"operations": adding({"x": char(default="x"), "y": models.IntegerField(default=1)}), "atomic": False}],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_added_beside_old_code(alias: str, name: str) -> None:
    Deploy(alias, CASES[name]).run()
