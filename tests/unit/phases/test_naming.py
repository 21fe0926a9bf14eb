"""The names that are read from states are those that Django gives to rendered models."""

import pytest
from django.db import connection, models
from django.db import migrations as m

from guard.phases import naming, shapes
from tests.unit.phases.helpers import char, fk, model, state

PARENT = model("Parent", ("label", char()))

BASES = {
    "plain": [model("Item", ("title", char()), ("n", models.IntegerField(db_column="number")))],
    "db_table": [model("Item", ("title", char()), db_table='"schema"."things"')],
    "foreign keys": [
        PARENT,
        model(
            "Item",
            ("p", fk("shop.parent")),
            ("q", fk("shop.parent", db_column="q_ref")),
            ("self_ref", fk("self", null=True)),
        ),
    ],
    "foreign key to another field": [
        model("Parent", ("code", char(unique=True))),
        model(
            "Item",
            ("p", fk("shop.parent", to_field="code")),
            ("o", models.OneToOneField("shop.parent", models.CASCADE)),
        ),
    ],
    "many-to-many": [
        PARENT,
        model(
            "Item",
            ("ps", models.ManyToManyField("shop.parent")),
            ("named", models.ManyToManyField("shop.Parent", db_table="links")),
            ("others", models.ManyToManyField("self")),
            ("followers", models.ManyToManyField("shop.item", symmetrical=False)),
            db_table="things",
        ),
    ],
    "many-to-many through": [
        PARENT,
        model("Item", ("ps", models.ManyToManyField("shop.parent", through="shop.link"))),
        model("Link", ("p", fk("shop.parent")), ("i", fk("shop.item"))),
    ],
    "inheritance": [
        PARENT,
        m.CreateModel(
            "Child",
            [
                (
                    "parent_ptr",
                    models.OneToOneField("shop.parent", models.CASCADE, parent_link=True, primary_key=True),
                ),
                ("extra", char()),
            ],
            bases=("shop.parent",),
        ),
        model("Item", ("c", fk("shop.child"))),
    ],
    "inheritance without a written link": [
        PARENT,
        m.CreateModel("Child", [("extra", char())], bases=("shop.parent",)),
        model("Item", ("c", fk("shop.child"))),
    ],
    "no written key": [m.CreateModel("Item", [("title", char())])],
    "composite key": [
        m.CreateModel(
            "Line",
            [
                ("pk", models.CompositePrimaryKey("order", "number")),
                ("order", models.IntegerField()),
                ("number", models.IntegerField()),
            ],
        )
    ],
    "ordered": [
        PARENT,
        model("Item", ("p", fk("shop.parent"))),
        m.AlterOrderWithRespectTo("item", "p"),
    ],
    "renamed": [
        PARENT,
        model("Item", ("title", char()), ("ps", models.ManyToManyField("shop.parent")), ("p", fk("shop.parent"))),
        m.RenameField("item", "title", "name"),
        m.RenameField("item", "ps", "qs"),
        m.RenameField("item", "p", "q"),
        m.RenameModel("Parent", "Origin"),
        m.RenameModel("Item", "Thing"),
    ],
    "foreign key to a char key": [
        m.CreateModel("Parent", [("code", models.CharField(max_length=7, primary_key=True))]),
        model("Item", ("p", fk("shop.parent"))),
    ],
    "proxy": [PARENT, m.CreateModel("P", [], {"proxy": True}, ("shop.parent",)), model("Item", ("p", fk("shop.p")))],
}


@pytest.mark.parametrize("base", BASES.values(), ids=BASES.keys())
def test_names_are_those_of_the_rendered_models(base):
    read = state(*base)
    apps = read.clone().apps

    for key, found in read.models.items():
        rendered = apps.get_model(*key)._meta
        assert naming.table(read, key) == rendered.db_table
        assert set(naming.columns(read, key)) == {
            f.column for f in rendered.concrete_model._meta.local_concrete_fields if f.column
        }
        for name, field in found.fields.items():
            real = rendered.get_field(name)
            if naming.auto_through(field):
                through = real.remote_field.through._meta
                assert naming.m2m_table(read, key, name, field) == through.db_table
                assert set(naming.m2m_columns(key, field)) == {f.column for f in through.local_fields if f.remote_field}
            elif not naming.is_m2m(field):
                assert naming.column(field, name) == (real.column or "")
                assert shapes.db_type(read, key, name, field, connection) == (real.db_parameters(connection)["type"])


def test_reading_names_renders_nothing():
    read = state(*BASES["many-to-many"], *BASES["inheritance"][1:])

    for key in read.models:
        naming.tables(read, key)
        naming.columns(read, key)

    assert "apps" not in read.__dict__


def test_app_without_migrations_is_read_from_the_running_code():
    made = state(model("Item", ("owner", fk("auth.user"))))
    made.real_apps = {"auth"}

    assert naming.table(made, ("auth", "user")) == "auth_user"
    assert shapes.db_type(made, ("shop", "item"), "owner", made.models["shop", "item"].fields["owner"], connection) == (
        "integer"
    )
