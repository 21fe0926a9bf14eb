"""More upgrades as projects have them: what is seldom in models, and what only one database knows."""

from __future__ import annotations

import datetime
import decimal
import uuid

import pytest
from django.db import migrations as m
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Lower, Now, Upper
from django.utils import timezone

from tests.integration.matrix.harness import Case, Deploy, _differences, model, wide
from tests.integration.matrix.test_histories import history, tag, user
from tests.integration.matrix.test_remove import char, fk


def ints(**options):
    return models.IntegerField(**options)


class Money(models.Field):
    """A field of a project's own, with a type of its own."""

    def __init__(self, *args, places=2, **kwargs):
        self.places = places
        super().__init__(*args, **kwargs)

    def deconstruct(self):
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "places": self.places}

    def db_type(self, connection):
        return f"numeric(12, {self.places})"

    def get_prep_value(self, value):
        return None if value is None else decimal.Decimal(value)

    def from_db_value(self, value, expression, connection):
        return None if value is None else decimal.Decimal(str(value))


class Upper_(models.CharField):
    """One that writes otherwise than it is told."""

    def get_prep_value(self, value):
        value = super().get_prep_value(value)
        return value if value is None else value.upper()

    def from_db_value(self, value, expression, connection):
        return value if value is None else value.lower()


class Checked(models.IntegerField):
    """One with a check of its own."""

    def db_parameters(self, connection):
        found = super().db_parameters(connection)
        return {**found, "check": f"{connection.ops.quote_name(self.column)} > -2147483649"}


class Nothing(models.Field):
    """A field without a column."""

    def db_type(self, connection):
        return None

    def get_attname_column(self):
        return self.get_attname(), None


def by_name(apps, name):
    return next(found for found in apps.get_models() if found.__name__ == name)


def fill(name, field, value):
    def run(apps, editor):
        for row in by_name(apps, name).objects.using(editor.connection.alias).all():
            setattr(row, field, value(row))
            row.save(update_fields=[field])

    return m.RunPython(run, m.RunPython.noop)


def with_data(case, position, *operations, alone=False):
    """The case with operations of its author's own before those of a migration, or in one of their own."""
    if alone:
        case.migrations.insert(position, list(operations))
    else:
        case.migrations[position][:0] = operations
    return case


def joined(case):
    """All in one migration."""
    case.migrations[:] = [[operation for operations in case.migrations for operation in operations]]
    return case


CASES = {}

CASES["ordering by what is removed"] = history(
    [model("Item", ("title", char()), ("rank", ints()), ordering=["rank", "-title"], get_latest_by="rank")],
    [model("Item", ("title", char()), ordering=["-title"])],
)
CASES["comments"] = history(
    [
        model(
            "Item",
            ("title", char(db_comment="It's \"quoted\" 'NOT NULL' DEFAULT NULL")),
            ("gone", ints(db_comment="NOT NULL, it's")),
            ("note", char(null=True, db_comment="NULL DEFAULT NULL")),
            db_table_comment="A table's own",
        )
    ],
    [
        model(
            "Item",
            ("title", char(max_length=30, db_comment="another 'NOT NULL'")),
            ("note", char(default="n", db_comment="NULL DEFAULT NULL")),
            ("new", char(default="x", db_comment="new 'NULL'")),
            db_table_comment="Another",
        )
    ],
)
COLLATIONS = {
    "SQLite": ("NOCASE", "RTRIM"),
    "PostgreSQL": ("C", "POSIX"),
    "MariaDB": ("utf8mb4_bin", "utf8mb4_general_ci"),
}


def collated(one, two):
    return history(
        [
            model(
                "Item",
                ("title", char(db_collation=one)),
                ("gone", char(db_collation=one, unique=True)),
                ("text", models.TextField(db_collation=one, null=True)),
                ("slug", char(db_collation=one, db_index=True)),
            )
        ],
        [
            model(
                "Item",
                ("title", char(db_collation=one, max_length=40)),
                ("text", models.TextField(db_collation=one, default="it's")),
                ("slug", char(db_collation=two, db_index=True)),
                ("new", char(db_collation=two, default="50%")),
            )
        ],
    )


for _vendor, (_one, _two) in COLLATIONS.items():
    CASES[f"collations of {_vendor}"] = collated(_one, _two)
CASES["database defaults that are removed"] = history(
    [
        model(
            "Item",
            ("a", char(db_default="it's 5%")),
            ("b", models.DateTimeField(db_default=Now())),
            ("c", ints(db_default=Value(3) + Value(4))),
            ("d", char(db_default="u", null=True, unique=True)),
            ("e", models.BooleanField(db_default=False, db_index=True)),
            ("title", char()),
        )
    ],
    [model("Item", ("title", char()))],
)
CASES["a database default comes"] = history(
    [model("Item", ("a", char(default="x")), ("b", ints()), ("c", char(null=True)))],
    [model("Item", ("a", char(db_default="x")), ("b", ints(db_default=4)), ("c", char(db_default="c")))],
)
CASES["a database default goes"] = history(
    [model("Item", ("a", char(db_default="x")), ("t", char()))],
    [model("Item", ("a", char(default="x")), ("t", char()))],
    outcome="held",
)
CASES["generated over what is added"] = history(
    [model("Item", ("title", char()), ("gone", ints()))],
    [
        model(
            "Item",
            ("title", char()),
            ("kind", char(default="k%")),
            (
                "both",
                models.GeneratedField(expression=Lower("kind"), output_field=char(max_length=50), db_persist=True),
            ),
        )
    ],
    [
        model(
            "Item",
            ("title", char(max_length=40)),
            ("kind", char(default="k%")),
            (
                "both",
                models.GeneratedField(expression=Lower("kind"), output_field=char(max_length=50), db_persist=True),
            ),
            ("size", ints(default=2)),
        )
    ],
)
CASES["generated over what is required"] = history(
    [
        model(
            "Item",
            ("title", char(null=True)),
            ("low", models.GeneratedField(expression=Lower("title"), output_field=char(null=True), db_persist=True)),
            ("gone", char()),
        )
    ],
    [
        model(
            "Item",
            ("title", char(default="t")),
            ("low", models.GeneratedField(expression=Lower("title"), output_field=char(null=True), db_persist=True)),
        )
    ],
)
CASES["a virtual generated column"] = history(
    [
        model(
            "Item",
            ("a", ints()),
            ("b", ints()),
            ("s", models.GeneratedField(expression=F("a") + 1, output_field=ints(), db_persist=False)),
        )
    ],
    [
        model(
            "Item",
            ("a", ints()),
            ("s", models.GeneratedField(expression=F("a") + 1, output_field=ints(), db_persist=False)),
            ("c", char(default="c")),
        )
    ],
)
CASES["a foreign key becomes many-to-many of the same name"] = history(
    [user(), model("Post", ("title", char()), ("author", fk("app.user")))],
    [user(), model("Post", ("title", char()), ("author", models.ManyToManyField("app.user", related_name="+")))],
)
CASES["many-to-many becomes a foreign key of the same name"] = history(
    [user(), model("Post", ("title", char()), ("author", models.ManyToManyField("app.user")))],
    [user(), model("Post", ("title", char()), ("author", fk("app.user", null=True)))],
)
CASES["a foreign key becomes a number"] = history(
    [tag(), model("Post", ("title", char()), ("tag", fk("app.tag")))],
    [tag(), model("Post", ("title", char()), ("tag_id", models.BigIntegerField(default=0)))],
    outcome="refused",
)
CASES["text and its length"] = history(
    [model("Item", ("a", char()), ("b", char(db_index=True)), ("c", char(null=True)), ("gone", models.TextField()))],
    [
        model(
            "Item",
            ("a", models.TextField()),
            ("b", char(max_length=50, db_index=True)),
            ("c", char(null=True, max_length=90)),
        )
    ],
)
CASES["text becomes an address"] = history(
    [
        model(
            "Item",
            ("title", char()),
            ("a", char(max_length=15)),
            ("b", char(max_length=15, unique=True)),
            ("c", char()),
        )
    ],
    [
        model(
            "Item",
            ("title", char()),
            ("a", models.GenericIPAddressField()),
            ("b", models.GenericIPAddressField(unique=True)),
            ("c", char()),
        )
    ],
    [
        model(
            "Item",
            ("title", char()),
            ("a", char(max_length=90)),
            ("b", models.GenericIPAddressField(unique=True, null=True)),
        )
    ],
    but={"postgresql": "refused"},
)
CASES["narrower text"] = history(
    [model("Item", ("a", char(max_length=50)))],
    [model("Item", ("a", char(max_length=30)))],
    outcome="held",
    but={"sqlite": "split"},
)
CASES["a wider primary key beside a leftover"] = history(
    [
        model("Parent", ("id", models.AutoField(primary_key=True)), ("label", char())),
        model("Item", ("up", fk("app.parent")), ("other", fk("app.parent", related_name="+")), ("title", char())),
    ],
    [
        model("Parent", ("id", models.AutoField(primary_key=True)), ("label", char())),
        model("Item", ("other", fk("app.parent", related_name="+")), ("title", char())),
    ],
    [
        model("Parent", ("id", models.BigAutoField(primary_key=True)), ("label", char())),
        model("Item", ("other", fk("app.parent", related_name="+")), ("title", char())),
    ],
    [
        model("Parent", ("id", models.BigAutoField(primary_key=True)), ("label", char(max_length=50))),
        model("Item", ("other", fk("app.parent", related_name="+")), ("title", char(max_length=50))),
    ],
    reversible=False,
    but={"mysql": "held"},
)
CASES["numbers and their checks"] = history(
    [
        model(
            "Item",
            ("a", models.PositiveIntegerField()),
            ("b", models.PositiveSmallIntegerField(default=1)),
            ("d", models.PositiveBigIntegerField(unique=True)),
            ("e", models.DecimalField(max_digits=5, decimal_places=2)),
            ("f", models.PositiveIntegerField(db_index=True)),
        )
    ],
    [
        model(
            "Item",
            ("a", models.PositiveBigIntegerField()),
            ("b", models.PositiveIntegerField(default=1)),
            ("e", models.DecimalField(max_digits=9, decimal_places=2)),
            ("g", models.PositiveSmallIntegerField(default=7)),
            ("h", models.PositiveBigIntegerField(default=0, db_index=True)),
        )
    ],
    reversible=False,
)
CASES["a check comes with the type"] = history(
    [model("Item", ("a", ints()))],
    [model("Item", ("a", models.PositiveIntegerField()))],
    outcome="held",
    but={"mysql": "refused"},
)
CASES["a check goes with the type"] = history(
    [model("Item", ("a", models.PositiveSmallIntegerField()), ("gone", ints()))],
    [model("Item", ("a", ints()))],
    reversible=False,
)
CASES["null boolean becomes boolean"] = history(
    [model("Item", ("flag", models.BooleanField(null=True)), ("other", models.BooleanField(null=True, db_index=True)))],
    [
        model(
            "Item",
            ("flag", models.BooleanField(default=False)),
            ("other", models.BooleanField(default=True, db_index=True)),
        )
    ],
    rows=lambda made: made.create("Item"),
    fills=True,
)
CASES["a field moves from the child to its parent"] = history(
    [
        model("Place", ("name", char())),
        model("Cafe", ("seats", ints(default=1)), ("stars", ints(null=True)), bases=("app.place",)),
    ],
    [
        model("Place", ("name", char()), ("seats", ints(default=1)), ("stars", ints(null=True))),
        model("Cafe", ("kind", char(default="c")), bases=("app.place",)),
    ],
)
CASES["a field moves from the parent to its child"] = history(
    [
        model("Place", ("name", char()), ("seats", ints())),
        model("Cafe", ("stars", ints(null=True)), bases=("app.place",)),
    ],
    [
        model("Place", ("name", char())),
        model("Cafe", ("stars", ints(null=True)), ("seats", ints(default=2)), bases=("app.place",)),
    ],
)
CASES["a field moves to another model"] = with_data(
    history(
        [
            user(),
            model(
                "Profile",
                ("user", models.OneToOneField("app.user", models.CASCADE)),
                ("bio", models.TextField()),
                ("city", char(db_index=True)),
            ),
        ],
        [
            user(("bio", models.TextField(default="")), ("city", char(default=""))),
            model("Profile", ("user", models.OneToOneField("app.user", models.CASCADE))),
        ],
    ),
    0,
    m.RunPython(m.RunPython.noop, m.RunPython.noop),
)
CASES["renamed as makemigrations does when it is not told"] = history(
    [
        model(
            "Item",
            ("title", char()),
            ("colour", char(default="red", db_index=True)),
            ("count", ints(unique=True, null=True)),
        )
    ],
    [
        model(
            "Item",
            ("title", char()),
            ("color", char(default="red", db_index=True)),
            ("number", ints(unique=True, null=True)),
        )
    ],
)


def howto(**options):
    """A unique field as Django's own guide adds it."""
    return Case(
        [model("Item", ("title", char()))],
        [
            [m.AddField("item", "key", models.UUIDField(default=uuid.uuid4, null=True))],
            [fill("Item", "key", lambda row: uuid.uuid4())],
            [m.AlterField("item", "key", models.UUIDField(default=uuid.uuid4, unique=True))],
        ],
        **options,
    )


CASES["a unique field as the guide adds it"] = howto()
CASES["a unique field as the guide adds it, in one"] = joined(howto())


def slugged(**options):
    return Case(
        [model("Item", ("title", char()))],
        [
            [m.AddField("item", "slug", models.SlugField(null=True))],
            [fill("Item", "slug", lambda row: f"s{row.pk}")],
            [m.AlterField("item", "slug", models.SlugField(unique=True))],
        ],
        **options,
    )


CASES["a unique slug without a default"] = slugged()
CASES["a required field by way of null"] = Case(
    [model("Item", ("title", char()), ("old", ints()))],
    [
        [m.AddField("item", "size", ints(null=True))],
        [fill("Item", "size", lambda row: row.old)],
        [m.AlterField("item", "size", ints(default=0))],
        [m.RemoveField("item", "old")],
    ],
    copies=True,
)
CASES["a required field by way of null, for once"] = joined(
    Case(
        [model("Item", ("title", char()), ("old", ints()))],
        [
            [m.AddField("item", "size", ints(null=True))],
            [fill("Item", "size", lambda row: row.old)],
            [m.AlterField("item", "size", ints(default=0), preserve_default=False)],
            [m.RemoveField("item", "old")],
        ],
        copies=True,
    )
)


def normalise(apps, editor):
    alias = editor.connection.alias
    brand = by_name(apps, "Brand")
    for item in by_name(apps, "Item").objects.using(alias).all():
        item.brand, _ = brand.objects.using(alias).get_or_create(name=item.maker)
        item.save()


CASES["a text becomes rows of its own"] = Case(
    [model("Item", ("title", char()), ("maker", char(db_index=True)))],
    [
        [model("Brand", ("name", char(unique=True))), m.AddField("item", "brand", fk("app.brand", null=True))],
        [m.RunPython(normalise, m.RunPython.noop)],
        [m.RemoveField("item", "maker")],
        [m.AlterField("item", "brand", fk("app.brand"))],
    ],
    copies=True,
)
CASES["nullable first, then removed"] = history(
    [model("Item", ("title", char()), ("x", ints()), ("y", char(unique=True)))],
    [model("Item", ("title", char()), ("x", ints(null=True)), ("y", char(unique=True, null=True)))],
    [model("Item", ("title", char()))],
)
CASES["swapped names"] = Case(
    [model("Item", ("a", ints()), ("b", ints()))],
    [[m.RenameField("item", "a", "c"), m.RenameField("item", "b", "a"), m.RenameField("item", "c", "b")]],
    outcome="refused",
)
CASES["swapped names of fields alone"] = Case(
    [model("Item", ("a", ints(db_column="a")), ("b", ints(db_column="b")), ("gone", ints()))],
    [
        [
            m.RenameField("item", "a", "c"),
            m.RenameField("item", "b", "a"),
            m.RenameField("item", "c", "b"),
            m.RemoveField("item", "gone"),
        ]
    ],
)
CASES["renamed, its column kept, then removed"] = Case(
    [model("Item", ("a", ints()), ("t", char()))],
    [
        [m.AlterField("item", "a", ints(db_column="a")), m.RenameField("item", "a", "z")],
        [m.RemoveField("item", "z")],
        [m.AddField("item", "y", ints(default=1, db_column="yy")), m.RenameField("item", "y", "w")],
        [m.AlterField("item", "w", ints(default=2, db_column="yy"))],
    ],
)
CASES["fields of a project's own"] = history(
    [
        model(
            "Item",
            ("title", char()),
            ("a", Money(default=5)),
            ("b", Money(null=True)),
            ("c", Upper_(max_length=20, default="up")),
            ("d", Nothing(null=True)),
            ("e", Checked(default=1)),
        )
    ],
    [
        model(
            "Item",
            ("title", char()),
            ("b", Money(default=decimal.Decimal("1.5"))),
            ("f", Upper_(max_length=20, default="new")),
            ("h", Money(default=3)),
            ("i", Checked(default=3)),
        )
    ],
    fills=True,
)
CASES["a composite primary key"] = history(
    [
        m.CreateModel(
            "Item",
            [
                ("pk", models.CompositePrimaryKey("tenant", "number")),
                ("tenant", ints()),
                ("number", ints()),
                ("gone", char(unique=True)),
                ("title", char(null=True)),
            ],
        ),
        tag(),
    ],
    [
        m.CreateModel(
            "Item",
            [
                ("pk", models.CompositePrimaryKey("tenant", "number")),
                ("tenant", ints()),
                ("number", ints()),
                ("title", char(default="t")),
                ("new", char(default="n")),
            ],
        ),
        tag(),
    ],
)
CASES["proxies and unmanaged models"] = history(
    [
        model("Item", ("title", char()), ("gone", ints())),
        m.CreateModel("Special", [], options={"proxy": True}, bases=("app.item",)),
        model("View", ("x", ints()), ("y", ints()), managed=False, db_table="app_unmanaged"),
        model("Note", ("on", fk("app.special")), ("text", char())),
    ],
    [
        model("Item", ("title", char()), ("new", ints(default=3))),
        m.CreateModel("Special", [], options={"proxy": True}, bases=("app.item",)),
        model("View", ("x", ints()), managed=False, db_table="app_unmanaged"),
        model("Note", ("text", char())),
    ],
)
LONG = "app_" + "a_rather_long_name_for_a_table_of_some_application_that"
COLUMN = "an_even_longer_name_for_a_column_which_nobody_would_type"
CASES["long names"] = history(
    [
        tag(),
        model(
            "Item",
            ("title", char()),
            (COLUMN + "_a", char(unique=True)),
            (COLUMN + "_b", ints(db_index=True)),
            (COLUMN + "_c", models.PositiveIntegerField(default=3)),
            (COLUMN + "_d", fk("app.tag", related_name="+")),
            (COLUMN + "_e", char(null=True)),
            (COLUMN + "_f", fk("app.tag", related_name="+")),
            db_table=LONG,
            unique_together={("title", COLUMN + "_a"), (COLUMN + "_b", COLUMN + "_c")},
        ),
    ],
    [
        tag(),
        model(
            "Item",
            ("title", char()),
            (COLUMN + "_e", char(default="e")),
            (COLUMN + "_f", fk("app.tag", related_name="+")),
            (COLUMN + "_g", char(default="g", db_index=True)),
            db_table=LONG,
        ),
    ],
)
CASES["index_together of old"] = Case(
    [
        model(
            "Item",
            ("title", char()),
            ("x", ints()),
            ("y", ints()),
            index_together={("title", "x"), ("x", "y")},
            unique_together={("x", "y")},
        )
    ],
    [
        [
            m.AlterIndexTogether("item", {("title", "x")}),
            m.AlterUniqueTogether("item", set()),
            m.RemoveField("item", "y"),
        ],
        [m.RenameIndex("item", new_name="item_tx", old_fields=("title", "x"))],
        [m.RemoveIndex("item", "item_tx"), m.RemoveField("item", "x")],
    ],
    reversible=False,
)
CASES["what covers a field goes in migrations of its own"] = Case(
    [
        tag(),
        model(
            "Item",
            ("title", char()),
            ("x", ints(default=3)),
            ("tag", fk("app.tag")),
            unique_together={("title", "x")},
            indexes=[models.Index(fields=["title", "tag"], name="by_tag")],
            constraints=[models.UniqueConstraint(fields=["x", "tag"], name="one_x")],
        ),
    ],
    [
        [m.AlterUniqueTogether("item", set())],
        [m.RemoveConstraint("item", "one_x"), m.AddField("item", "y", ints(default=1))],
        [m.RemoveIndex("item", "by_tag"), m.AlterField("item", "y", ints(default=2))],
        [m.RemoveField("item", "x"), m.AlterField("item", "title", char(max_length=30))],
        [m.RemoveField("item", "tag")],
    ],
)
CASES["constraints of rarer kinds"] = history(
    [
        model(
            "Item",
            ("title", char()),
            ("a", char()),
            ("b", ints()),
            ("c", ints(null=True)),
            ("d", ints(null=True)),
            constraints=[
                models.UniqueConstraint(fields=["title", "b"], name="deferred", deferrable=models.Deferrable.DEFERRED),
                models.UniqueConstraint(fields=["c"], include=["d"], name="including"),
                models.UniqueConstraint(fields=["d", "b"], name="same_nulls", nulls_distinct=False),
            ],
            indexes=[models.Index(fields=["title"], include=["a"], name="incl_a")],
        )
    ],
    [model("Item", ("title", char()), ("a", char()), ("c", ints(null=True)))],
    outcome="held",
    but={"sqlite": "split", "mysql": "split"},
)
CASES["constraints over expressions"] = history(
    [
        model(
            "Item",
            ("title", char()),
            ("a", char()),
            ("b", ints()),
            constraints=[models.UniqueConstraint(Lower("a"), name="lower_a")],
            indexes=[models.Index(Upper("a"), F("b").desc(), name="upper_a")],
        )
    ],
    [model("Item", ("title", char()))],
    outcome="held",
    but={"mysql": "split"},
)
CASES["an index over expressions goes with its field"] = history(
    [
        model(
            "Item",
            ("title", char()),
            ("a", char()),
            ("b", ints()),
            indexes=[
                models.Index(Upper("a"), F("b").desc(), name="upper_a"),
                models.Index(Lower("title"), Lower("a"), name="lower_both"),
                models.Index(fields=["title"], name="some_b", condition=Q(b__gt=3)),
            ],
        )
    ],
    [model("Item", ("title", char(max_length=30)))],
)
CASES["what happens on delete"] = history(
    [
        tag(),
        model(
            "Item",
            ("title", char()),
            ("a", fk("app.tag", on_delete=models.DO_NOTHING, related_name="+")),
            ("b", fk("app.tag", on_delete=models.SET_DEFAULT, default=None, null=True, related_name="+")),
            ("c", fk("app.tag", on_delete=models.RESTRICT, related_name="+", null=True)),
            ("d", fk("app.item", on_delete=models.DO_NOTHING, null=True)),
        ),
    ],
    [tag(), model("Item", ("title", char()))],
)
CASES["together with another field"] = history(
    [model("Item", ("title", char()), ("x", ints()), ("y", ints(null=True)), unique_together={("title", "x")})],
    [model("Item", ("title", char()), ("y", ints(null=True)), unique_together={("title", "y")})],
    outcome="refused",
)
CASES["together becomes a constraint"] = history(
    [model("Item", ("title", char()), ("x", ints()), ("y", ints()), unique_together={("title", "x")})],
    [
        model(
            "Item",
            ("title", char()),
            ("x", ints()),
            constraints=[models.UniqueConstraint(fields=["title", "x"], name="title_x")],
        )
    ],
)
CASES["a constraint of the same name says something else"] = history(
    [
        model(
            "Item",
            ("title", char()),
            ("x", ints()),
            ("y", ints(null=True)),
            constraints=[models.CheckConstraint(condition=Q(x__gt=-(10**6)) & Q(y__gt=-(10**6)), name="low")],
        )
    ],
    [
        model(
            "Item",
            ("title", char()),
            ("y", ints(null=True)),
            constraints=[models.CheckConstraint(condition=Q(y__gt=-(10**6)), name="low")],
        )
    ],
    outcome="held",
)
CASES["an order goes"] = history(
    [
        model("List", ("name", char())),
        model("Entry", ("list", fk("app.list")), ("x", char()), order_with_respect_to="list"),
    ],
    [model("List", ("name", char())), model("Entry", ("list", fk("app.list")))],
    outcome="held",
)
CASES["unique comes and goes with a relation"] = history(
    [
        user(),
        model(
            "Item",
            ("a", fk("app.user", related_name="+")),
            ("b", models.OneToOneField("app.user", models.CASCADE, related_name="+")),
            ("gone", char()),
        ),
    ],
    [
        user(),
        model("Item", ("a", fk("app.user", related_name="+", null=True)), ("b", fk("app.user", related_name="+"))),
    ],
    lost=("upsert Item ('b',)",),
    # PostgreSQL names the UNIQUE of a new table's column itself, and Django the one that it adds.
    renames=True,
)
CASES["a database's own default and one of the model"] = history(
    [model("Item", ("title", char()))],
    [
        model(
            "Item",
            ("title", char()),
            ("a", char(default="a", db_default="b")),
            ("b", models.DateTimeField(db_default=Now(), default=timezone.now)),
        )
    ],
    [model("Item", ("title", char()), ("a", char(default="a", max_length=50)))],
    outcome="held",
)
CASES["many of one field in one plan"] = Case(
    [model("Item", ("title", char()), ("x", char(null=True)))],
    [
        [m.AlterField("item", "x", char(null=True, max_length=30))],
        [
            m.AlterField("item", "x", char(default="x", max_length=30)),
            m.AddIndex("item", models.Index(fields=["x"], name="by_x")),
        ],
        [m.AlterField("item", "x", char(default="x", max_length=60, db_index=True)), m.RemoveIndex("item", "by_x")],
        [m.AlterField("item", "x", models.TextField(default="y"))],
        [m.AlterField("item", "x", models.TextField(default="y", db_comment="now a text"))],
    ],
    rows=lambda made: made.create("Item", title="null"),
    fills=True,
)
CASES["added, altered, indexed and removed in one plan"] = Case(
    [model("Item", ("title", char()))],
    [
        [m.AddField("item", "x", char(default="x"))],
        [m.AlterField("item", "x", char(default="x", max_length=60, db_index=True))],
        [m.AddIndex("item", models.Index(fields=["x", "title"], name="by_x"))],
        [m.RemoveIndex("item", "by_x"), m.RemoveField("item", "x")],
        [m.AddField("item", "x", ints(default=4))],
    ],
)
CASES["a parent link of one's own"] = history(
    [
        model("Place", ("name", char()), ("gone", char())),
        m.CreateModel(
            "Cafe",
            [
                ("place", models.OneToOneField("app.place", models.CASCADE, parent_link=True, primary_key=True)),
                ("kind", char()),
                ("near", fk("app.place", null=True, related_name="+")),
            ],
            bases=("app.place",),
        ),
    ],
    [
        model("Place", ("name", char()), ("stars", ints(default=2))),
        m.CreateModel(
            "Cafe",
            [
                ("place", models.OneToOneField("app.place", models.CASCADE, parent_link=True, primary_key=True)),
                ("open", models.BooleanField(default=True)),
            ],
            bases=("app.place",),
        ),
    ],
)
CASES["a check over a required field and a new one"] = history(
    [
        model(
            "Item",
            ("title", char()),
            ("low", ints(null=True)),
            constraints=[models.CheckConstraint(condition=Q(low__isnull=True) | Q(low__gte=-(10**6)), name="low")],
        )
    ],
    [
        model(
            "Item",
            ("title", char()),
            ("low", ints(default=0)),
            ("high", ints(default=10)),
            constraints=[models.CheckConstraint(condition=Q(low__isnull=True) | Q(low__gte=-(10**6)), name="low")],
        )
    ],
    rows=lambda made: made.create("Item", title="null"),
    fills=True,
)
CASES["tablespaces"] = history(
    [
        model(
            "Item",
            ("title", char(db_index=True, db_tablespace="pg_default")),
            ("gone", char(unique=True, db_tablespace="pg_default")),
            db_tablespace="pg_default",
        )
    ],
    [
        model(
            "Item",
            ("title", char(db_index=True, db_tablespace="pg_default")),
            ("new", char(default="x", db_index=True, db_tablespace="pg_default")),
            db_tablespace="pg_default",
        )
    ],
)
CASES["files, addresses, durations"] = history(
    [
        model(
            "Item",
            ("a", models.FileField(upload_to="x", null=True)),
            ("b", models.GenericIPAddressField(null=True)),
            ("c", models.DurationField(null=True)),
            ("d", models.TimeField(null=True)),
            ("e", models.BinaryField(null=True)),
            ("f", models.JSONField(null=True)),
            ("g", models.GenericIPAddressField()),
            ("h", models.DurationField()),
            ("i", models.BinaryField()),
            ("j", models.TimeField(auto_now=True)),
            ("k", models.DateField(auto_now_add=True)),
        )
    ],
    [
        model(
            "Item",
            ("a", models.FileField(upload_to="x", default="f")),
            ("b", models.GenericIPAddressField(default="127.0.0.1")),
            ("c", models.DurationField(default=datetime.timedelta(minutes=3, microseconds=7))),
            ("d", models.TimeField(default=datetime.time(3, 4))),
            ("e", models.BinaryField(default=b"'%\x00")),
            ("f", models.JSONField(default=dict)),
            ("l", models.JSONField(default=list, null=True)),
        )
    ],
    rows=lambda made: made.create("Item", g="::1", h=datetime.timedelta(1), i=b"x"),
    fills=True,
)
CASES["a callable of the project that gives a constant"] = Case(
    [model("Item", ("title", char()), ("x", ints(null=True)))],
    [[m.AlterField("item", "x", ints(default=lambda: 5))]],
    rows=lambda made: made.create("Item", title="null"),
    fills=True,
    outcome="held",
)
CASES["a model of its own for a many-to-many field"] = Case(
    [user(), model("Club", ("name", char()), ("members", models.ManyToManyField("app.user")))],
    [
        [
            m.SeparateDatabaseAndState(
                state_operations=[
                    m.CreateModel(
                        "Member",
                        [
                            ("id", models.BigAutoField(primary_key=True)),
                            ("club", fk("app.club")),
                            ("user", fk("app.user")),
                        ],
                        options={"db_table": "app_club_members", "unique_together": {("club", "user")}},
                    ),
                    m.AlterField("club", "members", models.ManyToManyField("app.user", through="app.member")),
                ]
            )
        ],
        [
            m.AddField(
                "member", "since", models.DateTimeField(auto_now_add=True, default=timezone.now), preserve_default=False
            )
        ],
        [m.AlterUniqueTogether("member", set()), m.RemoveField("member", "user")],
    ],
)

POSTGRES = {}
try:
    from django.contrib.postgres import fields as pg
    from django.contrib.postgres import indexes as pgi
    from django.contrib.postgres import operations as pgo
    from django.contrib.postgres import search
    from django.contrib.postgres.constraints import ExclusionConstraint
    from django.contrib.postgres.fields import RangeOperators
except ImportError:
    pg = None
else:
    POSTGRES["arrays and ranges"] = history(
        [
            model(
                "Item",
                ("title", char()),
                ("a", pg.ArrayField(char())),
                ("b", pg.ArrayField(char(), default=list)),
                ("c", pg.ArrayField(char(), null=True)),
                ("d", pg.IntegerRangeField()),
                ("e", pg.IntegerRangeField(null=True)),
            )
        ],
        [
            model(
                "Item",
                ("title", char()),
                ("c", pg.ArrayField(char(), default=list)),
                ("e", pg.IntegerRangeField(default=(1, 5))),
                ("g", pg.ArrayField(char(), default=["it's", "50%", 'a"b'])),
                ("h", pg.ArrayField(pg.ArrayField(ints()), default=[[1, 2], [3, 4]])),
                ("i", pg.DateTimeRangeField(default=None, null=True)),
                ("j", pg.DecimalRangeField(default=(decimal.Decimal("1.5"), None))),
            )
        ],
    )
    POSTGRES["indexes of PostgreSQL"] = history(
        [
            model(
                "Item",
                ("title", char()),
                ("a", pg.ArrayField(char(), default=list)),
                ("b", models.JSONField(default=dict)),
                ("c", search.SearchVectorField(null=True)),
                indexes=[
                    pgi.GinIndex(fields=["a"], name="gin_a"),
                    pgi.GinIndex(fields=["b"], name="gin_b", opclasses=["jsonb_path_ops"]),
                    pgi.GinIndex(fields=["c"], name="gin_c"),
                    pgi.BrinIndex(fields=["title"], name="brin"),
                    models.Index(fields=["title"], name="like", opclasses=["varchar_pattern_ops"]),
                    pgi.HashIndex(fields=["title"], name="hashed"),
                ],
            )
        ],
        [
            model(
                "Item",
                ("title", char(max_length=60)),
                indexes=[models.Index(fields=["title"], name="like", opclasses=["varchar_pattern_ops"])],
            )
        ],
    )
    POSTGRES["an exclusion"] = history(
        [
            model(
                "Item",
                ("title", char()),
                ("during", pg.IntegerRangeField()),
                ("room", ints(default=1)),
                constraints=[
                    ExclusionConstraint(name="apart", expressions=[("during", RangeOperators.OVERLAPS)]),
                ],
            )
        ],
        [model("Item", ("title", char()))],
        outcome="held",
    )
    POSTGRES["indexes made beside writers"] = Case(
        [model("Item", ("title", char()), ("x", ints()), indexes=[models.Index(fields=["x", "title"], name="by_x")])],
        [
            {
                "operations": [pgo.AddIndexConcurrently("item", models.Index(fields=["title"], name="by_title"))],
                "atomic": False,
            },
            {"operations": [pgo.RemoveIndexConcurrently("item", "by_x")], "atomic": False},
            [m.RemoveField("item", "x")],
        ],
    )
    POSTGRES["a constraint that is validated later"] = Case(
        [model("Item", ("title", char()), ("x", ints(null=True)))],
        [
            [pgo.AddConstraintNotValid("item", models.CheckConstraint(condition=Q(x__gte=-(10**6)), name="low"))],
            [pgo.ValidateConstraint("item", "low")],
            [m.AddField("item", "y", ints(default=3))],
        ],
        outcome="held",
    )

#: A field that is removed, and the one that a later release adds under its name.
RETURNING = {
    "without its index": (ints(db_index=True, default=1), ints(default=1)),
    "with an index": (ints(default=1), ints(default=1, db_index=True)),
    "without its check": (models.PositiveIntegerField(default=1), ints(default=1)),
    "with a check": (ints(default=1), models.PositiveIntegerField(default=1)),
    "without its constraint": (fk("app.tag", null=True), fk("app.tag", null=True, db_constraint=False)),
    "with a constraint": (fk("app.tag", null=True, db_constraint=False), fk("app.tag", null=True)),
    "a key without its index": (fk("app.tag", null=True), fk("app.tag", null=True, db_index=False)),
    "with a comment": (char(default="x"), char(default="x", db_comment="now said")),
    "without its comment": (char(default="x", db_comment="now said"), char(default="x")),
    "another collation": (char(default="x"), char(default="x", db_collation="C")),
    "a wider one": (char(default="x"), char(default="x", max_length=30)),
    "unique": (char(null=True), char(null=True, unique=True)),
    "not unique": (char(null=True, unique=True), char(null=True)),
    "required": (ints(null=True), ints(default=5)),
    "optional": (ints(), ints(null=True)),
    "of a project's own": (Money(default=1), Money(default=2)),
    "checked": (Checked(default=1), ints(default=1)),
    "generated": (
        char(default="x"),
        models.GeneratedField(expression=Lower("title"), output_field=char(), db_persist=True),
    ),
    "one to one": (fk("app.tag", null=True), models.OneToOneField("app.tag", models.CASCADE, null=True)),
    "pointing elsewhere": (fk("app.tag", null=True), fk("app.item", null=True)),
    "with a default of the database": (char(default="x"), char(default="x", db_default="x")),
    "without the database's default": (char(db_default="x"), char(default="x")),
    "slug": (models.SlugField(null=True), char(max_length=50, null=True)),
}

#: Where they are possible, if not everywhere.
ONLY = {
    "tablespaces": "postgres",
    "a virtual generated column": "mariadb",
    "collations of SQLite": "sqlite",
    "collations of PostgreSQL": "postgres",
    "collations of MariaDB": "mariadb",
    "another collation": "postgres",
}

#: What has broken once, and what is like nothing else; every case where breadth is wide.
FEW = (
    "database defaults that are removed",
    "index_together of old",
    "what covers a field goes in migrations of its own",
    "added, altered, indexed and removed in one plan",
    "a callable of the project that gives a constant",
    "a text becomes rows of its own",
    "text becomes an address",
    "a composite primary key",
    "long names",
    "indexes made beside writers",
)
FEW_RETURNING = ("without its index", "without its check", "with a constraint", "required", "generated")
if not wide():
    CASES = {name: case for name, case in CASES.items() if name in FEW}
    POSTGRES = {name: case for name, case in POSTGRES.items() if name in FEW}
    RETURNING = {name: fields for name, fields in RETURNING.items() if name in FEW_RETURNING}


@pytest.mark.parametrize("name", CASES)
def test_upgrades_of_rarer_kinds(alias: str, name: str) -> None:
    if not alias.endswith(ONLY.get(name, "")):
        return
    Deploy(alias, CASES[name]).run()


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
@pytest.mark.parametrize("name", POSTGRES)
def test_upgrades_of_postgres(alias: str, name: str) -> None:
    Deploy(alias, POSTGRES[name]).run()


@pytest.mark.parametrize("way", ["waiting", "aside"])
@pytest.mark.parametrize("name", RETURNING)
def test_a_field_comes_back_as_another(alias: str, name: str, way: str) -> None:
    before, after = RETURNING[name]
    if not alias.endswith(ONLY.get(name, "")):
        return
    case = history(
        [tag(), model("Item", ("title", char()), ("note", char(null=True)), ("x", before))],
        [tag(), model("Item", ("title", char()), ("note", char(null=True)))],
        [tag(), model("Item", ("title", char()), ("note", char(null=True)), ("x", after))],
        [tag(), model("Item", ("title", char()), ("note", char(null=True, max_length=40)), ("x", after))],
    )
    deploy = Deploy(alias, case)
    try:
        _, _, schema, own = deploy.plain()
        deploy.seed()
        data = deploy.dump()
        old = deploy.arrive(1, "old")
        deploy.migrate(2, release=2)
        middle = deploy.arrive(2, "middle")
        if way == "aside":
            deploy.leave(old)
            deploy.release = 2
            deploy._take()
            deploy.release = None
        deploy.migrate(4, everything=True)
        if way == "waiting":
            assert deploy.dump() == data
        if deploy.applied() == 4:
            deploy._works("new", own, deploy.new)
        if way == "waiting":
            deploy.leave(old)
        for _ in range(4):
            deploy.report()
            deploy.take()
            deploy.migrate(4, everything=True)
        assert deploy.applied() == 4, deploy.said
        new = deploy.arrive(4, "new")
        deploy.leave(middle)
        assert deploy.applied() == 4, deploy.said
        deploy._take(KEEP_FOR=0)
        assert deploy.waiting() == []
        deploy._works("new", own, deploy.new)
        assert not (different := _differences(deploy.schema(), schema)), different
        deploy.leave(new)
    finally:
        deploy.drop()
