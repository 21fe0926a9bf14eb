"""One rule per operation class: which classes have one, what is opaque, and the exact names in a judgement."""

import datetime
import uuid

import pytest
from django.contrib.postgres import operations as pg
from django.db import migrations as m
from django.db import models
from django.db.migrations.operations.base import Operation
from django.db.models.functions import Lower
from django.utils import timezone

from guard.phases import mark, rules
from guard.phases.words import Disposition, Phase, Target
from tests.unit.phases.helpers import Elsewhere, char, fk, judge, model, operation_classes, state, texts

ITEM = model("Item", ("title", char()))
PARENT = model("Parent", ("label", char()))
RUN, SPLIT, HOLD, REFUSE = Disposition.RUN, Disposition.SPLIT, Disposition.HOLD, Disposition.REFUSE


@pytest.mark.parametrize("operation_class", operation_classes(), ids=lambda cls: cls.__name__)
def test_every_operation_of_django_has_a_rule(operation_class):
    judge(m.RunPython(m.RunPython.noop))  # The rules for PostgreSQL are registered on first need.

    assert rules.known_as(operation_class) is not None


# Dispatch


class Plain(m.AddIndex):
    """A subclass that does to the database what its parent does."""


class Noisy(m.AddIndex):
    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        super().database_forwards(app_label, schema_editor, from_state, to_state)


class NoisySQL(m.RunSQL):
    def _run_sql(self, schema_editor, sqls):
        super()._run_sql(schema_editor, sqls)


class ThirdParty(Operation):
    def state_forwards(self, app_label, state):
        pass

    def describe(self):
        return "Does something of its own"


INDEX = models.Index(fields=["title"], name="i")


def test_subclass_that_leaves_the_database_methods_alone_has_its_parents_rule():
    assert judge(Plain("item", INDEX), ITEM).phase is Phase.NEUTRAL


@pytest.mark.parametrize(
    "operation", [Noisy("item", INDEX), NoisySQL(""), ThirdParty()], ids=lambda o: type(o).__name__
)
def test_operation_that_reaches_the_database_in_its_own_way_is_opaque_and_told_how_to_declare(operation):
    judged = judge(operation, ITEM)

    assert (judged.phase, judged.disposition) == (Phase.OPAQUE, HOLD)
    assert "guard_phase" in judged.recipe
    assert type(operation).__name__ in judged.note


def test_subclass_of_opaque_operation_is_not_given_the_grandparents_rule():
    class Quieter(Noisy):
        pass

    assert judge(Quieter("item", INDEX), ITEM).phase is Phase.OPAQUE


def test_rule_for_a_third_party_operation_can_be_registered():
    class Registered(ThirdParty):
        pass

    @rules.register(Registered)
    def _registered(operation, context):
        return rules.verdict(Phase.EXPAND, f"in {context.app_label}", makes=[Target("t")])

    judged = judge(Registered(), ITEM)

    assert (judged.phase, judged.disposition, judged.what) == (Phase.EXPAND, RUN, "in shop")
    assert judge(ThirdParty(), ITEM).phase is Phase.OPAQUE


@pytest.mark.parametrize(
    ("declared", "disposition"),
    [
        (Phase.EXPAND, RUN),
        ("neutral", RUN),
        (Phase.CONTRACT, HOLD),
        ("opaque", HOLD),
        (Phase.UNSAFE, REFUSE),
    ],
)
def test_declared_phase_replaces_the_rules_own(declared, disposition):
    judged = judge(mark(m.RunPython(m.RunPython.noop), declared), ITEM)

    assert (judged.phase, judged.disposition) == (Phase(declared), disposition)


def test_declared_phase_that_is_none_holds_and_says_which_there_are():
    operation = m.RunPython(m.RunPython.noop)
    operation.guard_phase = "expands"

    judged = judge(operation, ITEM)

    assert (judged.phase, judged.disposition) == (Phase.OPAQUE, HOLD)
    assert "'expands'" in judged.note
    assert "contract" in judged.note


def test_operation_on_a_model_that_the_state_lacks_is_opaque():
    before = state(ITEM)
    operation = m.RemoveField("other", "x")

    judged = rules.judge(operation, app_label="shop", before=before, after=before, connection=Elsewhere("postgresql"))

    assert (judged.phase, judged.disposition) == (Phase.OPAQUE, HOLD)


# Names


@pytest.mark.parametrize(
    ("operation", "base", "takes", "makes"),
    [
        (m.RemoveField("item", "title"), [ITEM], ["shop_item.title"], []),
        (
            m.RemoveField("Item", "Title"),
            [model("Item", ("Title", char(db_column="t")), db_table="things")],
            ["things.t"],
            [],
        ),
        (m.RemoveField("item", "p"), [PARENT, model("Item", ("p", fk("shop.parent")))], ["shop_item.p_id"], []),
        (
            m.RemoveField("item", "ps"),
            [PARENT, model("Item", ("ps", models.ManyToManyField("shop.parent")), db_table="things")],
            ["things_ps"],
            [],
        ),
        (
            m.RemoveField("item", "ps"),
            [PARENT, model("Item", ("ps", models.ManyToManyField("shop.parent", db_table="links")))],
            ["links"],
            [],
        ),
        (
            m.DeleteModel("item"),
            [PARENT, model("Item", ("ps", models.ManyToManyField("shop.parent")))],
            ["shop_item", "shop_item_ps"],
            [],
        ),
        (
            m.CreateModel("Child", [("extra", char())], bases=("shop.parent",)),
            [PARENT],
            [],
            ["shop_child"],
        ),
        (m.AddField("item", "p", fk("shop.parent", null=True)), [PARENT, ITEM], [], ["shop_item.p_id"]),
        (m.RenameField("item", "title", "name"), [ITEM], ["shop_item.title"], ["shop_item.name"]),
        (
            m.RenameField("item", "ps", "qs"),
            [PARENT, model("Item", ("ps", models.ManyToManyField("shop.parent")))],
            ["shop_item_ps"],
            ["shop_item_qs"],
        ),
        (
            m.RenameModel("Item", "Thing"),
            [PARENT, model("Item", ("ps", models.ManyToManyField("shop.parent")))],
            ["shop_item", "shop_item_ps"],
            ["shop_thing", "shop_thing_ps"],
        ),
        (
            m.RenameModel("Item", "Thing"),
            [PARENT, model("Item", ("ps", models.ManyToManyField("shop.parent")), db_table="items")],
            ["items_ps.item_id"],
            ["items_ps.thing_id"],
        ),
        (
            m.RenameModel("Item", "Thing"),
            [model("Item", ("others", models.ManyToManyField("self")), db_table="items")],
            ["items_others.from_item_id", "items_others.to_item_id"],
            ["items_others.from_thing_id", "items_others.to_thing_id"],
        ),
        (
            m.AlterOrderWithRespectTo("item", None),
            [
                PARENT,
                model("Item", ("p", fk("shop.parent"))),
                m.AlterOrderWithRespectTo("item", "p"),
            ],
            ["shop_item._order"],
            [],
        ),
        (
            m.AlterField("item", "title", char(db_column="name")),
            [ITEM],
            ["shop_item.title"],
            ["shop_item.name"],
        ),
    ],
)
def test_takes_and_makes_are_the_tables_and_columns_themselves(operation, base, takes, makes):
    judged = judge(operation, *base)

    assert texts(judged.takes) == takes
    assert texts(judged.makes) == makes


COMPOSITE = m.CreateModel(
    "Line",
    [
        ("pk", models.CompositePrimaryKey("order", "number")),
        ("order", models.IntegerField(db_column="order_no")),
        ("number", models.IntegerField()),
        ("title", char()),
    ],
)


def test_composite_key_has_no_column_and_stands_for_its_parts():
    assert judge(m.RemoveField("line", "title"), COMPOSITE).disposition is SPLIT
    removal = judge(m.RemoveField("line", "number"), COMPOSITE)
    assert removal.disposition is HOLD
    assert "pk contains it" in removal.note
    constraint = models.UniqueConstraint(fields=["pk", "title"], name="u")
    assert texts(judge(m.AddConstraint("line", constraint), COMPOSITE).names) == [
        "shop_line.order_no",
        "shop_line.number",
        "shop_line.title",
    ]


def test_constraint_names_the_columns_of_inherited_fields_where_they_are():
    child = m.CreateModel("Child", [("extra", char())], bases=("shop.parent",))
    constraint = models.UniqueConstraint("label", Lower("extra"), name="u")

    assert texts(judge(m.AddConstraint("child", constraint), PARENT, child).names) == [
        "shop_child.extra",
        "shop_parent.label",
    ]


def test_widened_key_names_the_columns_that_refer_to_it():
    base = [
        m.CreateModel("Parent", [("id", models.AutoField(primary_key=True))]),
        model("Item", ("p", fk("shop.parent")), ("ps", models.ManyToManyField("shop.parent"))),
    ]

    judged = judge(
        m.AlterField("parent", "id", models.BigAutoField(primary_key=True)),
        *base,
        connection=_with_ranges("postgresql"),
    )

    assert judged.phase is Phase.EXPAND
    assert texts(judged.names) == ["shop_parent.id", "shop_item.p_id", "shop_item_ps.parent_id"]


def _with_ranges(vendor):
    from django.db.backends.base.operations import BaseDatabaseOperations

    connection = Elsewhere(vendor)
    connection.ops = BaseDatabaseOperations(None)
    return connection


@pytest.mark.parametrize(
    ("before", "after", "phase"),
    [
        (models.CharField(max_length="30"), models.CharField(max_length=50), Phase.EXPAND),
        (models.CharField(max_length="30"), models.CharField(max_length=30), Phase.NEUTRAL),
        (models.CharField(max_length=50), models.CharField(max_length="30"), Phase.CONTRACT),
        (
            models.DecimalField(max_digits="5", decimal_places="2"),
            models.DecimalField(max_digits=7, decimal_places=2),
            Phase.EXPAND,
        ),
    ],
)
def test_sizes_that_are_written_as_texts_are_the_numbers_that_the_database_reads(before, after, phase):
    judged = judge(
        m.AlterField("item", "x", after), model("Item", ("x", before)), connection=_with_ranges("postgresql")
    )

    assert judged.phase is phase


def test_what_changes_nothing_in_the_database_names_nothing():
    assert judge(m.AlterField("item", "title", char(help_text="what it is called")), ITEM).names == ()


# Splitting

COVERED = [
    (models.Index(fields=["title"], name="i"), "indexes"),
    (models.Index(Lower("title"), name="i"), "indexes"),
    (models.Index(fields=["id"], condition=models.Q(title="x"), name="i"), "indexes"),
    (models.UniqueConstraint(fields=["title"], name="u"), "constraints"),
    (models.CheckConstraint(condition=~models.Q(title=""), name="c"), "constraints"),
]


@pytest.mark.parametrize(("covering", "option"), COVERED)
def test_removal_of_a_covered_column_is_held(covering, option):
    base = model("Item", ("title", char()), **{option: [covering]})

    judged = judge(m.RemoveField("item", "title"), base)

    assert judged.disposition is HOLD
    assert covering.name in judged.note


@pytest.mark.parametrize("option", ["unique_together", "index_together"])
def test_removal_of_a_column_in_a_together_option_is_held(option):
    base = model("Item", ("title", char()), ("n", models.IntegerField()), **{option: {("title", "n")}})

    assert judge(m.RemoveField("item", "title"), base).disposition is HOLD


def test_removal_of_what_a_generated_field_reads_is_held():
    base = model(
        "Item",
        ("title", char()),
        ("low", models.GeneratedField(expression=Lower("title"), output_field=char(), db_persist=True)),
    )

    judged = judge(m.RemoveField("item", "title"), base)

    assert judged.disposition is HOLD
    assert "low" in judged.note
    assert judge(m.RemoveField("item", "low"), base).disposition is HOLD


def test_removal_of_the_link_to_the_inherited_model_is_held():
    base = [
        PARENT,
        m.CreateModel(
            "Child",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("parent_ptr", models.OneToOneField("shop.parent", models.CASCADE, parent_link=True)),
            ],
            bases=("shop.parent",),
        ),
    ]

    assert judge(m.RemoveField("child", "parent_ptr"), *base).disposition is HOLD


def test_removal_of_what_a_foreign_key_points_to_is_held():
    base = [model("Parent", ("code", char(unique=True))), model("Item", ("p", fk("shop.parent", to_field="code")))]

    judged = judge(m.RemoveField("parent", "code"), *base)

    assert judged.disposition is HOLD
    assert "shop.item.p" in judged.note


def test_removal_of_the_primary_key_is_held():
    assert judge(m.RemoveField("item", "id"), ITEM).disposition is HOLD


def test_removal_by_a_subclass_is_held():
    class Removal(m.RemoveField):
        pass

    assert judge(Removal("item", "title"), ITEM).disposition is HOLD


def test_added_column_that_can_have_no_default_on_mysql_is_refused():
    class PointField(models.Field):
        def db_type(self, connection):
            return "POINT"

    operation = m.AddField("item", "place", PointField(default="0 0"))

    assert judge(operation, ITEM, connection=Elsewhere("mysql")).disposition is REFUSE
    assert judge(operation, ITEM, connection=Elsewhere("postgresql")).disposition is SPLIT


def test_added_column_takes_a_static_default_from_the_operation_not_the_state():
    operation = m.AddField("item", "n", models.IntegerField(default=3), preserve_default=False)

    judged = judge(operation, ITEM)

    assert (judged.phase, judged.disposition) == (Phase.EXPAND, SPLIT)
    assert judged.note == "keeps its default in the database for old code"
    assert judged.breaks_old


@pytest.mark.parametrize(
    "field",
    [
        models.IntegerField(),
        models.IntegerField(default=lambda: 1),
        models.IntegerField(default=1, unique=True),
        models.DateTimeField(default=datetime.date.today),
        models.OneToOneField("shop.item", models.CASCADE, default=1),
        char(default=uuid.uuid4),
    ],
)
def test_added_column_without_a_default_that_the_database_could_keep_is_refused_with_a_recipe(field):
    judged = judge(m.AddField("item", "x", field), ITEM)

    assert (judged.phase, judged.disposition) == (Phase.UNSAFE, REFUSE)
    assert "x" in judged.recipe


@pytest.mark.parametrize(
    "field",
    [
        models.DateTimeField(auto_now_add=True),
        models.DateTimeField(default=timezone.now),
        models.DateField(default=datetime.date.today),
        models.DateField(auto_now=True),
        models.TimeField(auto_now_add=True),
        models.UUIDField(default=uuid.uuid4),
        models.UUIDField(default=uuid.uuid4, unique=True),
        fk("shop.item", default=1),
    ],
)
def test_added_column_takes_what_the_database_gives_by_itself(field):
    judged = judge(m.AddField("item", "x", field), ITEM)

    assert (judged.phase, judged.disposition) == (Phase.EXPAND, SPLIT)


# Routers


class Nowhere:
    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return False


class ByHint:
    """Allows what a hint says, and looks at the historical model as routers do."""

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        if "model" in hints:
            return hints["model"]._meta.db_table != "elsewhere"
        return hints.get("target") == "here"


@pytest.fixture
def routers(monkeypatch):
    from django.db import router

    return lambda *given: monkeypatch.setattr(router, "routers", list(given))


@pytest.mark.parametrize(
    ("operation", "base"),
    [
        (m.RemoveField("item", "title"), [ITEM]),
        (m.AddField("item", "x", models.IntegerField()), [ITEM]),
        (m.DeleteModel("item"), [ITEM]),
        (m.CreateModel("Other", []), []),
        (m.RenameModel("Item", "Thing"), [ITEM]),
        (m.RenameField("item", "title", "name"), [ITEM]),
        (m.AlterModelTable("item", "things"), [ITEM]),
        (m.AlterField("item", "title", char(unique=True)), [ITEM]),
        (m.AddConstraint("item", models.UniqueConstraint(fields=["title"], name="u")), [ITEM]),
        (m.AlterUniqueTogether("item", {("id", "title")}), [ITEM]),
        (m.RunSQL("DROP TABLE shop_item"), [ITEM]),
        (m.RunPython(print), [ITEM]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Operation) else "",
)
def test_what_the_router_keeps_away_from_this_database_runs_and_takes_nothing(operation, base, routers):
    routers(Nowhere())

    judged = judge(operation, *base)

    assert (judged.phase, judged.disposition, judged.takes) == (Phase.NEUTRAL, RUN, ())


def test_router_is_given_hints_and_the_historical_model(routers):
    routers(ByHint())

    assert judge(m.RunSQL("DROP TABLE t", hints={"target": "here"}), ITEM).phase is Phase.CONTRACT
    assert judge(m.RunSQL("DROP TABLE t", hints={"target": "there"}), ITEM).phase is Phase.NEUTRAL
    assert judge(m.DeleteModel("item"), ITEM).phase is Phase.CONTRACT
    assert judge(m.DeleteModel("item"), model("Item", db_table="elsewhere")).phase is Phase.NEUTRAL


@pytest.mark.parametrize(
    "options", [{"managed": False}, {"swappable": "AUTH_USER_MODEL"}, {"required_db_vendor": "oracle"}], ids=str
)
def test_model_that_django_does_not_migrate_loses_nothing(options):
    base = model("Item", ("title", char()), **options)

    assert judge(m.RemoveField("item", "title"), base).phase is Phase.NEUTRAL


# Special operations


def test_state_alone_is_neutral_whatever_it_says():
    operation = m.SeparateDatabaseAndState(state_operations=[m.DeleteModel("item")])

    assert (judge(operation, ITEM).phase, judge(operation, ITEM).takes) == (Phase.NEUTRAL, ())


def test_database_operations_decide_and_what_would_be_split_is_held():
    operation = m.SeparateDatabaseAndState(
        database_operations=[m.AddField("item", "x", char(null=True)), m.RemoveField("item", "title")],
        state_operations=[m.AddField("item", "x", char(null=True))],
    )

    judged = judge(operation, ITEM)

    assert (judged.phase, judged.disposition) == (Phase.CONTRACT, HOLD)
    assert texts(judged.takes) == ["shop_item.title"]
    assert texts(judged.makes) == ["shop_item.x"]


def test_database_operation_on_a_field_that_the_state_lost_earlier_is_opaque():
    operation = m.SeparateDatabaseAndState(database_operations=[m.RemoveField("item", "gone")])

    assert (judge(operation, ITEM).phase, judge(operation, ITEM).disposition) == (Phase.OPAQUE, HOLD)


def test_run_python_is_neutral_and_says_that_nobody_looked_inside():
    judged = judge(m.RunPython(print), ITEM)

    assert (judged.phase, judged.disposition) == (Phase.NEUTRAL, RUN)
    assert judged.note
    assert judge(m.RunPython(m.RunPython.noop), ITEM).note == ""


def test_opaque_sql_takes_what_its_state_operations_say():
    operation = m.RunSQL("DO $$ whatever $$", state_operations=[m.RemoveField("item", "title")])

    judged = judge(operation, ITEM)

    assert judged.phase is Phase.OPAQUE
    assert texts(judged.takes) == ["shop_item.title"]


@pytest.mark.parametrize(
    "operation",
    [
        pg.CreateExtension("hstore"),
        pg.TrigramExtension(),
        pg.CreateCollation("c", "de"),
        pg.RemoveCollation("c", "de"),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_postgres_operation_does_nothing_elsewhere(operation):
    here = judge(operation, ITEM, connection=Elsewhere("postgresql"))

    assert judge(operation, ITEM, connection=Elsewhere("mysql")).phase is Phase.NEUTRAL
    assert here.phase is (Phase.CONTRACT if isinstance(operation, pg.RemoveCollation) else Phase.EXPAND)


# Recipes


@pytest.mark.parametrize(
    "field",
    [char(unique=True, default="v"), char(unique=True, db_default="v"), char(unique=True, default=uuid.uuid4)],
)
def test_recipe_for_a_unique_field_is_no_new_mistake(field):
    refused = judge(m.AddField("item", "x", field), ITEM)

    lines = [line for line in refused.recipe.splitlines() if line.startswith("migrations.")]
    added, required = (eval(line.rstrip(","), {"migrations": m, "models": models}) for line in lines)
    assert refused.disposition is REFUSE
    # Nothing that every row would get alike.
    assert not (added.field.has_default())
    assert not (added.field.has_db_default())
    assert judge(added, ITEM).disposition is RUN
    assert judge(required, model("Item", ("x", added.field))).disposition is SPLIT


def test_recipe_for_a_unique_field_that_may_be_null_leaves_its_default_out():
    refused = judge(m.AddField("item", "x", char(unique=True, null=True, db_default="v")), ITEM)

    (line,) = [line for line in refused.recipe.splitlines() if line.startswith("x = ")]
    field = eval(line.removeprefix("x = "), {"models": models})
    assert refused.disposition is REFUSE
    assert judge(m.AddField("item", "x", field), ITEM).disposition is RUN


@pytest.mark.parametrize(
    ("operation", "base", "said"),
    [
        (m.RenameField("item", "title", "name"), [ITEM], "db_column='title'"),
        (m.RenameModel("Item", "Thing"), [ITEM], "db_table = 'shop_item'"),
        (m.AlterModelTable("item", "things"), [ITEM], "db_table = 'shop_item'"),
        (m.AddField("item", "at", models.DateTimeField(auto_now_add=True)), [ITEM], "db_default=Now()"),
        (m.AddField("item", "n", models.IntegerField(default=3)), [ITEM], "n = models.IntegerField(db_default=3)"),
        (m.AddField("item", "n", models.IntegerField()), [ITEM], "models.IntegerField(null=True)"),
        (
            m.RenameField("item", "ps", "qs"),
            [PARENT, model("Item", ("ps", models.ManyToManyField("shop.parent")))],
            "db_table='shop_item_ps'",
        ),
    ],
)
def test_recipe_is_code_to_paste(operation, base, said):
    assert said in judge(operation, *base).recipe
