"""How the migrations of one deploy go together."""

import pytest
from django.db import connection as default_connection
from django.db import migrations as m
from django.db import models

from guard import conf
from guard.lint import advice
from guard.phases import plan
from tests.unit.phases.helpers import Elsewhere, char, migration, model, state

ITEM = model("Item", ("title", char()), ("code", char()))


def copy_code(apps, schema_editor):
    for item in apps.get_model("shop", "Item").objects.all():
        item.sign = item.code
        item.save()


def count(apps, schema_editor):
    assert apps.get_model("shop", "Item").objects.count() >= 0


def advised(*migrations, vendor="postgresql", ancestors=None):
    connection = default_connection if vendor == default_connection.vendor else Elsewhere(vendor)
    judged = plan.judge_plan(
        migrations,
        state(ITEM),
        connection=connection,
        strategy=conf.Strategy.SPLIT,
        alias=default_connection.alias,
    )
    names = [(one.app_label, one.name) for one in migrations]
    before = {name: set(names[:position]) for position, name in enumerate(names)}
    return advice.advise(migrations, judged, ancestors=(ancestors or before).__getitem__, vendor=vendor)


def ids(findings):
    return [found.id.removeprefix("guard.") for found in findings]


ADD = m.AddField("item", "sign", char(null=True))
REMOVE = m.RemoveField("item", "code")


def test_w104_a_column_is_made_and_required_in_one_deploy():
    required = m.AlterField("item", "sign", char())

    (found,) = advised(migration("0002", ADD), migration("0003", required))

    assert (found.id, found.name, found.targets) == ("guard.W104", "shop.0003", ("shop_item.sign",))
    assert "which shop.0002 makes in the same deploy" in found.message
    assert "Give the field a default" in found.hint
    # What old code inserts between the two steps is filled with the default.
    assert advised(migration("0002", ADD), migration("0003", m.AlterField("item", "sign", char(default="")))) == []
    kept = m.AddField("item", "sign", char(db_default="x"))
    (found,) = advised(migration("0002", kept), migration("0003", required))
    assert found.hint.startswith("Move it to a migration of a later deploy")
    # Of a table that is new in the deploy nobody knows anything.
    other = model("Other", ("sign", char(null=True)))
    assert advised(migration("0002", other), migration("0003", m.AlterField("other", "sign", char()))) == []


def test_w105_a_contract_migration_that_does_not_depend_on_what_makes_room_for_it():
    widen = migration("0002", m.AlterField("item", "code", char(null=True)), app="shop")
    remove = migration("0003", REMOVE)
    apart = {("shop", "0002"): set(), ("shop", "0003"): set()}

    (found,) = advised(widen, remove, ancestors=apart)

    assert (found.id, found.name) == ("guard.W105", "shop.0003")
    assert "Add ('shop', '0002') to the dependencies of shop.0003." in found.hint
    assert advised(widen, remove) == []


COPIES = {
    "python": m.RunPython(copy_code),
    "sql": m.RunSQL("UPDATE shop_item SET sign = code"),
    "sql with parameters": m.RunSQL([("UPDATE shop_item SET sign = code WHERE id > %s", [1])]),
}


@pytest.mark.parametrize("copies", COPIES.values(), ids=COPIES)
def test_w106_a_column_is_copied_and_removed_in_one_deploy(copies):
    (found,) = advised(migration("0002", ADD), migration("0003", copies), migration("0004", REMOVE))

    assert (found.id, found.name) == ("guard.W106", "shop.0003")
    assert "reads shop.item.code, which shop.0004 removes" in found.message
    assert advised(migration("0002", ADD), migration("0003", copies)) == []
    assert advised(migration("0003", m.RunPython(count)), migration("0004", REMOVE)) == []


def test_w107_data_and_schema_in_one_transaction():
    widen = m.AlterField("item", "title", models.TextField())

    (found,) = advised(migration("0002", widen, m.RunPython(count)))

    assert found.id == "guard.W107"
    assert "the table stays locked" in found.message
    assert advised(migration("0002", widen), migration("0003", m.RunPython(count))) == []
    assert advised(migration("0002", widen, m.RunPython(count), atomic=False)) == []
    assert advised(migration("0002", widen, m.RunPython(m.RunPython.noop))) == []
    assert advised(migration("0002", widen, m.RunPython(count)), vendor="mysql") == []
    assert advised(migration("0002", model("Other", ("a", char())), m.RunPython(count))) == []


INDEXES = {
    "index": m.AddIndex("item", models.Index(fields=["title"], name="i")),
    "unique": m.AddConstraint("item", models.UniqueConstraint(fields=["title"], name="u")),
    "unique field": m.AlterField("item", "title", char(unique=True)),
}


@pytest.mark.parametrize("operation", INDEXES.values(), ids=INDEXES)
def test_w108_an_index_that_locks(operation):
    (found,) = advised(migration("0002", operation))

    assert found.id == "guard.W108"
    assert "builds an index on shop_item" in found.message
    assert "CONCURRENTLY" in found.hint.upper()
    assert advised(migration("0002", operation), vendor="sqlite") == []


def test_an_index_of_a_new_table_locks_nobody():
    other = model("Other", ("title", char()))

    assert advised(migration("0002", other, m.AddIndex("other", models.Index(fields=["title"], name="i")))) == []
