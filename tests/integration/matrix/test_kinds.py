"""Upgrades over seldom kinds of keys, columns and tables, each through its whole deploy."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections, models
from django.db import migrations as m
from django.db.models import Value
from django.db.models.functions import Now, Upper

from tests.integration.matrix.harness import Case, Deploy, abandon, model, wide
from tests.integration.matrix.test_histories import history, user
from tests.integration.matrix.test_remove import char, fk
from tests.integration.matrix.test_upgrades import ints


class Colour(models.TextChoices):
    RED = "r'%", "Red"


def uuids(**options: Any) -> models.UUIDField[Any, Any]:
    return models.UUIDField(default=uuid.uuid4, **options)


def top(*fields: Any) -> m.CreateModel:
    return model("Top", ("id", uuids(primary_key=True)), ("name", char(default="n")), *fields)


CASES = {
    "uuid keys with children": history(
        [
            top(),
            model(
                "Item",
                ("id", uuids(primary_key=True)),
                ("top", fk("app.top")),
                ("many", models.ManyToManyField("app.top", related_name="+")),
                ("gone", uuids(unique=True)),
            ),
            model("Child", ("kid", ints()), ("more", models.UUIDField(null=True)), bases=("app.item",)),
        ],
        [
            top(),
            model("Item", ("id", uuids(primary_key=True)), ("ref", uuids())),
            model("Child", ("more", uuids()), bases=("app.item",)),
        ],
    ),
    "keys that are one-to-one fields": history(
        [
            user(),
            model("A", ("u", models.OneToOneField("app.user", models.CASCADE, primary_key=True)), ("x", char())),
            model(
                "B",
                ("a", models.OneToOneField("app.a", models.CASCADE, primary_key=True)),
                ("y", char(unique=True)),
                ("ref", fk("app.a", null=True, related_name="+")),
            ),
        ],
        [
            user(),
            model(
                "A", ("u", models.OneToOneField("app.user", models.CASCADE, primary_key=True)), ("z", char(default="z"))
            ),
            model("B", ("a", models.OneToOneField("app.a", models.CASCADE, primary_key=True))),
        ],
    ),
    "grandchildren": history(
        [
            model("A", ("x", ints())),
            model("B", ("y", ints()), bases=("app.a",)),
            model("C", ("z", ints()), ("up", fk("app.b", null=True, related_name="+")), bases=("app.b",)),
        ],
        [
            model("A", ("n", ints(default=1))),
            model("B", ("m", char(default="m")), bases=("app.a",)),
            model("C", ("o", ints(default=2)), bases=("app.b",)),
        ],
        [model("A", ("n", ints(default=1))), model("B", ("m", char(default="m")), bases=("app.a",))],
    ),
    "upserts beside leftovers and kept defaults": history(
        [
            model(
                "Item",
                ("code", char(unique=True)),
                ("a", ints()),
                ("b", char()),
                ("up", fk("app.item", null=True)),
                ("t", models.DateTimeField(auto_now=True)),
                unique_together={("code", "a")},
            )
        ],
        [
            model(
                "Item",
                ("code", char(unique=True)),
                ("t", models.DateTimeField(auto_now=True)),
                ("n", char(default="n")),
                ("flag", models.BooleanField(default=False)),
            )
        ],
        [
            model(
                "Item",
                ("code", char(unique=True)),
                ("n", char(default="n", max_length=90)),
                ("flag", models.BooleanField(default=False)),
                ("m", ints(null=True)),
                constraints=[models.UniqueConstraint(fields=["code", "m"], name="code_m")],
            )
        ],
    ),
    "expressions that the database fills in": history(
        [
            model(
                "Item", ("title", char()), ("a", models.DateTimeField()), ("b", ints(default=1)), ("c", char(null=True))
            )
        ],
        [
            model(
                "Item",
                ("title", char()),
                ("a", models.DateTimeField(db_default=Now())),
                ("b", ints(db_default=Value(2) + Value(3), default=1)),
                ("c", char(null=True, db_default=Upper(Value("c")))),
                ("d", ints(db_default=7)),
            )
        ],
        [
            model(
                "Item",
                ("title", char()),
                ("b", ints(db_default=Value(2) + Value(4), default=1)),
                ("d", ints(db_default=8, db_index=True)),
            )
        ],
    ),
    "defaults that are hard to write": Case(
        [model("Item", ("title", char()), ("j", models.JSONField(encoder=DjangoJSONEncoder, null=True)))],
        [
            [
                m.AddField("item", "a", char(default=Colour.RED, choices=Colour.choices)),
                m.AddField(
                    "item",
                    "b",
                    models.JSONField(
                        encoder=DjangoJSONEncoder,
                        default={"a": decimal.Decimal("1.5"), "b": datetime.date(2024, 1, 2)},
                    ),
                ),
                m.AddField("item", "c", models.JSONField(default="text")),
                m.AddField("item", "d", models.JSONField(default=True)),
                m.AddField("item", "e", models.JSONField(default=[1, {"é%": "ü'\\\""}])),
                m.AddField("item", "f", models.BigIntegerField(default=-(2**63))),
                m.AddField("item", "g", models.BinaryField(default=bytes(range(256)))),
                m.AddField("item", "h", models.TextField(default="\\ ' \" % %s {} \x7f é 🎉")),
                m.AlterField("item", "j", models.JSONField(encoder=DjangoJSONEncoder, default=dict)),
            ]
        ],
        fills=True,
    ),
    "names beyond ASCII": history(
        [
            model(
                "Item",
                ("title", char()),
                ("größe", ints(db_index=True)),
                ("élan", char(unique=True)),
                ("n", ints(null=True, db_column="Ñ ñ")),
                db_table="app_tâble é",
            )
        ],
        [
            model(
                "Item",
                ("title", char()),
                ("n", ints(default=4, db_column="Ñ ñ")),
                ("neu", char(default="ä", db_column="ß")),
                db_table="app_tâble é",
            )
        ],
        fills=True,
    ),
    "files with their measures": history(
        [
            model(
                "Post",
                ("title", char(unique_for_date="day")),
                ("day", models.DateField()),
                ("picture", models.ImageField(upload_to="p", width_field="w", height_field="h", null=True)),
                ("w", ints(null=True)),
                ("h", ints(default=0)),
            )
        ],
        [model("Post", ("title", char()), ("picture", models.FileField(upload_to="p", max_length=200, default="")))],
        fills=True,
    ),
    "a table that is managed no longer": history(
        [model("Item", ("title", char()), ("gone", ints())), model("Legacy", ("x", ints()))],
        [model("Item", ("title", char())), model("Legacy", ("x", ints()), managed=False)],
        [model("Item", ("title", char()))],
    ),
}

#: What is like nothing else; every case where breadth is wide.
FEW = ("uuid keys with children", "upserts beside leftovers and kept defaults")
if not wide():
    CASES = {name: case for name, case in CASES.items() if name in FEW}


@pytest.mark.parametrize("name", CASES)
def test_upgrades_of_seldom_kinds(alias: str, name: str) -> None:
    Deploy(alias, CASES[name]).run()


class Elsewhere(Deploy):
    """Tables in a schema that is not on the search path."""

    @contextmanager
    def _seen(self) -> Iterator[None]:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET search_path TO public, {self.app}_s")
        try:
            yield
        finally:
            with self.connection.cursor() as cursor:
                cursor.execute("SET search_path TO public")

    def schema(self) -> Any:
        with self._seen():
            return super().schema()

    def names(self) -> Any:
        with self._seen():
            return super().names()

    def drop(self) -> None:
        if self.connection.in_atomic_block or self.connection.connection is None:
            abandon(self.connection)
        with self.connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {self.app}_s CASCADE; CREATE SCHEMA {self.app}_s")
        super().drop()


#: A schema as projects write it into a table's name: Django's quoting makes of both the same.
WRITTEN = {"within": '{0}_s"."{0}_{1}', "around": '"{0}_s"."{0}_{1}"'}


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
@pytest.mark.parametrize("way", WRITTEN)
def test_tables_in_another_schema(alias: str, way: str) -> None:
    app = f"s{way}"

    def there(name: str, *fields: Any) -> m.CreateModel:
        return model(name, *fields, db_table=WRITTEN[way].format(app, name.lower()))

    parent = there("Parent", ("label", char(unique=True)))
    case = history(
        [
            parent,
            there(
                "Item",
                ("title", char()),
                ("gone", ints()),
                ("key", char(unique=True)),
                ("indexed", char(db_index=True, default="x")),
                ("up", fk("app.parent")),
                ("n", char(null=True)),
            ),
            there("Other", ("x", ints()), ("item", fk("app.item"))),
        ],
        [
            parent,
            there(
                "Item",
                ("title", char(max_length=40)),
                ("new", char(default="n", db_index=True)),
                ("n", char(default="n")),
            ),
            there("Other", ("x", ints())),
        ],
        fills=True,
    )
    deploy = Elsewhere(alias, case, app=app)
    deploy.drop()
    deploy.run()
    with connections[alias].cursor() as cursor:
        cursor.execute(f"DROP SCHEMA {app}_s CASCADE")
