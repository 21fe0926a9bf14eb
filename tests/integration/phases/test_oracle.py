"""Every rule's prediction, held against what the operation really does to either side's code."""

from dataclasses import dataclass, field

import django
import pytest
from django.contrib.postgres import operations as pg
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, IntegerRangeField
from django.db import migrations as m
from django.db import models
from django.db.models.functions import Lower, Now

from guard.phases import rules
from guard.phases.words import Disposition, Phase
from tests.integration.phases import oracle
from tests.unit.phases.helpers import operation_classes

EVERYWHERE = ("sqlite", "postgresql", "mysql")
SQLITE, SERVERS = ("sqlite",), ("postgresql", "mysql")
PG = ("postgresql",)


def pk():
    return ("id", models.BigAutoField(primary_key=True))


def model(name, *fields, **options):
    return m.CreateModel(name, [pk(), *fields], options=options)


def fk(to, **kwargs):
    return models.ForeignKey(to, **{"on_delete": models.CASCADE, **kwargs})


def char(length=20, **kwargs):
    return models.CharField(max_length=length, **kwargs)


PARENT = model("Parent", ("label", char()))


def item(*fields, **options):
    return model("Item", ("title", char()), *fields, **options)


@dataclass(frozen=True)
class Case:
    """An operation upon a schema, with the answer that is expected of its rule."""

    id: str
    base: list
    operation: m.operations.base.Operation
    phase: Phase
    disposition: Disposition = Disposition.RUN
    vendors: tuple = EVERYWHERE
    #: Where the rule says more than what happened: "old" or "new" by vendor, with the reason in a comment.
    stricter: dict = field(default_factory=dict)
    seeded: bool = True
    #: Otherwise than `phase` and `disposition`, by vendor.
    but: dict = field(default_factory=dict)


E, C, N, U = Phase.EXPAND, Phase.CONTRACT, Phase.NEUTRAL, Phase.UNSAFE
RUN, SPLIT, HOLD, REFUSE = Disposition.RUN, Disposition.SPLIT, Disposition.HOLD, Disposition.REFUSE


def alter(before, after, *, base=(), **kwargs):
    return {"base": [*base, item(("x", before))], "operation": m.AlterField("item", "x", after), **kwargs}


def add(added, *, base=(), **kwargs):
    return {"base": [*base, item()], "operation": m.AddField("item", "x", added), **kwargs}


def remove(removed, *, base=(), **kwargs):
    return {"base": [*base, item(("x", removed))], "operation": m.RemoveField("item", "x"), **kwargs}


UNIQUE = models.UniqueConstraint(fields=["a", "b"], name="u")
CHECK = models.CheckConstraint(condition=models.Q(n__gt=0), name="positive")
NUMBERED = item(("n", models.IntegerField()))
PAIR = item(("a", models.IntegerField()), ("b", models.IntegerField()))


#: SQLite's columns take values of any type, so that new code may find its own there.
UNTYPED = {"sqlite": {"new"}}


def default_by_django(side):
    """Before 6.1, Django itself writes a db_default into inserts on SQLite, where VALUES knows no DEFAULT."""
    return {"sqlite": {side}} if django.VERSION < (6, 1) else {}


GENERATED = models.GeneratedField(expression=Lower("title"), output_field=char(), db_persist=True)

CASES = [
    # Models
    Case("create model", [item()], model("Other", ("a", char())), E),
    Case("create model with foreign key", [PARENT, item()], model("Other", ("p", fk("shop.parent"))), E),
    Case(
        "create model that inherits", [PARENT], m.CreateModel("Child", [("extra", char())], bases=("shop.parent",)), E
    ),
    Case("delete model", [item(), model("Other", ("a", char()))], m.DeleteModel("Other"), C, SPLIT),
    Case(
        "delete model with foreign key",
        [PARENT, model("Other", ("p", fk("shop.parent")))],
        m.DeleteModel("Other"),
        C,
        SPLIT,
    ),
    Case(
        "delete model with foreign key but no constraint",
        [PARENT, model("Other", ("p", fk("shop.parent", db_constraint=False)))],
        m.DeleteModel("Other"),
        C,
        SPLIT,
    ),
    Case(
        "delete model with many-to-many",
        [PARENT, model("Other", ("ps", models.ManyToManyField("shop.parent")))],
        m.DeleteModel("Other"),
        C,
        SPLIT,
    ),
    Case(
        "delete model that inherits",
        [
            PARENT,
            m.CreateModel(
                "Child",
                [
                    (
                        "parent_ptr",
                        models.OneToOneField(
                            "shop.parent", models.CASCADE, auto_created=True, parent_link=True, primary_key=True
                        ),
                    ),
                    ("extra", char()),
                ],
                bases=("shop.parent",),
            ),
        ],
        m.DeleteModel("Child"),
        C,
        SPLIT,
    ),
    Case("delete proxy", [item(), m.CreateModel("P", [], {"proxy": True}, ("shop.item",))], m.DeleteModel("P"), N),
    Case("create proxy", [item()], m.CreateModel("P", [], {"proxy": True}, ("shop.item",)), N),
    Case("create unmanaged", [item()], model("Other", ("a", char()), managed=False), N),
    Case("rename model", [item()], m.RenameModel("Item", "Thing"), U, REFUSE),
    Case("rename model with db_table", [item(db_table="items")], m.RenameModel("Item", "Thing"), N),
    Case(
        "rename model with db_table and many-to-many",
        [PARENT, item(("ps", models.ManyToManyField("shop.parent")), db_table="items")],
        m.RenameModel("Item", "Thing"),
        U,
        REFUSE,
    ),
    Case(
        "rename model that a many-to-many points to",
        [model("Parent", ("label", char()), db_table="parents"), item(("ps", models.ManyToManyField("shop.parent")))],
        m.RenameModel("Parent", "Origin"),
        U,
        REFUSE,
    ),
    Case(
        "rename model that a foreign key points to",
        [model("Parent", ("label", char()), db_table="parents"), item(("p", fk("shop.parent")))],
        m.RenameModel("Parent", "Origin"),
        N,
    ),
    Case("alter table", [item()], m.AlterModelTable("item", "items"), U, REFUSE),
    Case("alter table to what it is", [item()], m.AlterModelTable("item", "shop_item"), N),
    Case("alter table comment", [item()], m.AlterModelTableComment("item", "what it is"), N),
    Case("alter options", [item()], m.AlterModelOptions("item", {"ordering": ["title"]}), N),
    Case("alter managers", [item()], m.AlterModelManagers("item", [("all", models.Manager())]), N),
    Case("add unique_together", [PAIR], m.AlterUniqueTogether("item", {("a", "b")}), C, HOLD),
    Case(
        "remove unique_together",
        [item(*[(n, models.IntegerField()) for n in "ab"], unique_together={("a", "b")})],
        m.AlterUniqueTogether("item", set()),
        E,
    ),
    Case(
        "widen unique_together",
        [item(*[(n, models.IntegerField()) for n in "abc"], unique_together={("a", "b")})],
        m.AlterUniqueTogether("item", {("a", "b", "c")}),
        E,
    ),
    Case(
        "narrow unique_together",
        [item(*[(n, models.IntegerField()) for n in "abc"], unique_together={("a", "b", "c")})],
        m.AlterUniqueTogether("item", {("a", "b")}),
        C,
        HOLD,
    ),
    Case("add index_together", [PAIR], m.AlterIndexTogether("item", {("a", "b")}), N),
    Case(
        "add order_with_respect_to",
        [PARENT, item(("p", fk("shop.parent")))],
        m.AlterOrderWithRespectTo("item", "p"),
        U,
        REFUSE,
    ),
    Case(
        "remove order_with_respect_to",
        [PARENT, item(("p", fk("shop.parent"))), m.AlterOrderWithRespectTo("item", "p")],
        m.AlterOrderWithRespectTo("item", None),
        C,
        HOLD,
    ),
    # AddField
    Case("add nullable", **add(char(null=True)), phase=E),
    Case("add nullable with default", **add(char(null=True, default="v")), phase=E),
    Case("add with db_default", **add(char(db_default="v")), phase=E),
    Case("add with db_default expression", **add(models.DateTimeField(db_default=Now())), phase=E),
    Case("add required with default", **add(char(default="v")), phase=E, disposition=SPLIT),
    Case("add required int with default", **add(models.IntegerField(default=3)), phase=E, disposition=SPLIT),
    Case("add required blank text", **add(models.TextField(blank=True)), phase=E, disposition=SPLIT),
    Case("add required with empty text default", **add(models.TextField(default="")), phase=E, disposition=SPLIT),
    Case("add required with dict", **add(models.JSONField(default=dict)), phase=E, disposition=SPLIT),
    Case(
        "add required, one-off default",
        base=[item()],
        operation=m.AddField("item", "x", char(default="v"), preserve_default=False),
        phase=E,
        disposition=SPLIT,
    ),
    Case("add required with callable default", **add(char(default=lambda: "v")), phase=U, disposition=REFUSE),
    Case("add auto_now", **add(models.DateTimeField(auto_now=True)), phase=E, disposition=SPLIT),
    Case("add unique nullable", **add(char(null=True, unique=True)), phase=E),
    Case("add unique required", **add(models.IntegerField(unique=True, default=1)), phase=U, disposition=REFUSE),
    Case(
        "add unique with db_default", **add(models.IntegerField(unique=True, db_default=1)), phase=U, disposition=REFUSE
    ),
    Case(
        "add unique nullable with db_default",
        **add(models.IntegerField(unique=True, null=True, db_default=1)),
        phase=U,
        disposition=REFUSE,
    ),
    Case("add nullable foreign key", **add(fk("shop.parent", null=True), base=[PARENT]), phase=E),
    Case("add required foreign key", **add(fk("shop.parent", default=1), base=[PARENT]), phase=E, disposition=SPLIT),
    Case(
        "add required foreign key without constraint",
        **add(fk("shop.parent", default=1, db_constraint=False), base=[PARENT]),
        phase=E,
        disposition=SPLIT,
    ),
    Case("add many-to-many", **add(models.ManyToManyField("shop.parent"), base=[PARENT]), phase=E),
    Case(
        "add generated",
        [item()],
        m.AddField("item", "x", GENERATED),
        E,
    ),
    Case("add to unmanaged", [item(), model("Other", managed=False)], m.AddField("other", "x", char(default="")), N),
    # RemoveField
    Case("remove nullable", **remove(char(null=True)), phase=C, disposition=SPLIT),
    Case("remove required", **remove(char()), phase=C, disposition=SPLIT),
    Case("remove required with default", **remove(char(default="v")), phase=C, disposition=SPLIT),
    Case(
        "remove with db_default",
        **remove(char(db_default="v")),
        phase=C,
        disposition=SPLIT,
    ),
    Case("remove indexed", **remove(char(db_index=True, null=True)), phase=C, disposition=SPLIT),
    Case("remove unique", **remove(char(unique=True)), phase=C, disposition=SPLIT),
    Case("remove unique nullable", **remove(char(unique=True, null=True)), phase=C, disposition=SPLIT),
    Case(
        "remove unique with db_default",
        **remove(models.IntegerField(unique=True, db_default=1)),
        phase=C,
        disposition=SPLIT,
    ),
    Case("remove foreign key", **remove(fk("shop.parent"), base=[PARENT]), phase=C, disposition=SPLIT),
    Case(
        "remove nullable foreign key", **remove(fk("shop.parent", null=True), base=[PARENT]), phase=C, disposition=SPLIT
    ),
    Case(
        "remove foreign key without constraint",
        **remove(fk("shop.parent", null=True, db_constraint=False), base=[PARENT]),
        phase=C,
        disposition=SPLIT,
    ),
    Case(
        "remove many-to-many",
        **remove(models.ManyToManyField("shop.parent"), base=[PARENT]),
        phase=C,
        disposition=SPLIT,
    ),
    Case(
        "remove many-to-many without constraint",
        **remove(models.ManyToManyField("shop.parent", db_constraint=False), base=[PARENT]),
        phase=C,
        disposition=SPLIT,
    ),
    Case(
        "remove generated",
        [item(("x", GENERATED))],
        m.RemoveField("item", "x"),
        C,
        HOLD,
    ),
    # RenameField
    Case("rename field", [item()], m.RenameField("item", "title", "name"), U, REFUSE),
    Case(
        "rename field with db_column",
        [model("Item", ("title", char(db_column="title")))],
        m.RenameField("item", "title", "name"),
        N,
    ),
    Case("rename foreign key", [PARENT, item(("p", fk("shop.parent")))], m.RenameField("item", "p", "q"), U, REFUSE),
    Case(
        "rename many-to-many",
        [PARENT, item(("ps", models.ManyToManyField("shop.parent")))],
        m.RenameField("item", "ps", "qs"),
        U,
        REFUSE,
    ),
    Case(
        "rename many-to-many with db_table",
        [PARENT, item(("ps", models.ManyToManyField("shop.parent", db_table="links")))],
        m.RenameField("item", "ps", "qs"),
        N,
    ),
    Case(
        "rename field that a foreign key points to",
        [
            model("Parent", ("code", char(unique=True, db_column="code"))),
            item(("p", fk("shop.parent", to_field="code"))),
        ],
        m.RenameField("parent", "code", "sign"),
        N,
    ),
    # AlterField
    Case("null to not null", **alter(char(null=True), char()), phase=C, disposition=SPLIT),
    Case("null to not null with default", **alter(char(null=True), char(default="v")), phase=C, disposition=SPLIT),
    Case(
        "null to not null with db_default",
        **alter(char(null=True, db_default="v"), char(db_default="v")),
        phase=C,
        disposition=SPLIT,
    ),
    Case("not null to null", **alter(char(), char(null=True)), phase=E),
    Case("widen", **alter(char(20), char(40)), phase=E, but={"sqlite": (N, RUN)}),
    Case("narrow", **alter(char(40), char(20)), phase=C, disposition=HOLD, but={"sqlite": (N, RUN)}),
    Case("char to text", **alter(char(20), models.TextField()), phase=E, but={"sqlite": (N, RUN)}),
    Case("text to char", **alter(models.TextField(), char(20)), phase=C, disposition=HOLD, but={"sqlite": (N, RUN)}),
    Case("char to slug", **alter(char(50), models.SlugField(max_length=50)), phase=N),
    Case("int to bigint", **alter(models.IntegerField(), models.BigIntegerField()), phase=E, but={"sqlite": (N, RUN)}),
    Case(
        "bigint to int",
        **alter(models.BigIntegerField(), models.IntegerField()),
        phase=C,
        disposition=HOLD,
        but={"sqlite": (N, RUN)},
    ),
    Case(
        "int to positive int",
        **alter(models.IntegerField(), models.PositiveIntegerField()),
        phase=C,
        disposition=HOLD,
        but={"mysql": (U, REFUSE)},
    ),
    Case(
        "positive int to int",
        **alter(models.PositiveIntegerField(), models.IntegerField()),
        phase=E,
        but={"mysql": (U, REFUSE)},
    ),
    Case(
        "small int to positive int",
        **alter(models.SmallIntegerField(), models.PositiveIntegerField()),
        phase=U,
        disposition=REFUSE,
        but={"sqlite": (C, HOLD)},
    ),
    Case(
        "more decimal digits",
        **alter(
            models.DecimalField(max_digits=6, decimal_places=2), models.DecimalField(max_digits=8, decimal_places=2)
        ),
        phase=E,
        but={"sqlite": (N, RUN)},
    ),
    Case(
        "fewer decimal digits",
        **alter(
            models.DecimalField(max_digits=8, decimal_places=2), models.DecimalField(max_digits=6, decimal_places=2)
        ),
        phase=C,
        disposition=HOLD,
        but={"sqlite": (N, RUN)},
    ),
    Case("int to char", **alter(models.IntegerField(), char()), phase=U, disposition=REFUSE, stricter=UNTYPED),
    Case(
        "int to float",
        **alter(models.IntegerField(), models.FloatField()),
        phase=U,
        disposition=REFUSE,
        stricter=UNTYPED,
    ),
    Case("date to datetime", **alter(models.DateTimeField(), models.DateField()), phase=U, disposition=REFUSE),
    Case("changed db_column", **alter(char(), char(db_column="y")), phase=U, disposition=REFUSE),
    Case("add db_default", **alter(char(), char(db_default="v")), phase=E, stricter=default_by_django("new")),
    Case(
        "drop db_default",
        **alter(char(db_default="v"), char()),
        phase=C,
        disposition=HOLD,
        stricter=default_by_django("old"),
    ),
    Case("drop db_default of a nullable", **alter(char(db_default="v", null=True), char(null=True)), phase=N),
    Case("change db_default", **alter(char(db_default="v"), char(db_default="w")), phase=N),
    Case("change default", **alter(char(default="v"), char(default="w")), phase=N),
    Case(
        "choices, help, validators",
        **alter(char(), char(choices=[("v", "V")], help_text="h", verbose_name="n")),
        phase=N,
    ),
    Case("add index", **alter(char(), char(db_index=True)), phase=N),
    Case("drop index", **alter(char(db_index=True), char()), phase=N),
    Case("add unique", **alter(char(), char(unique=True)), phase=C, disposition=HOLD),
    Case("drop unique", **alter(char(unique=True), char()), phase=E),
    Case("db_comment", **alter(char(), char(db_comment="c")), phase=N),
    Case(
        "foreign key to another table",
        **alter(fk("shop.parent"), fk("shop.other"), base=[PARENT, model("Other", ("a", char()))]),
        # The rows would have to be moved first.
        seeded=False,
        phase=U,
        disposition=REFUSE,
    ),
    Case(
        "add foreign key constraint",
        **alter(fk("shop.parent", db_constraint=False), fk("shop.parent"), base=[PARENT]),
        phase=C,
        disposition=HOLD,
    ),
    Case(
        "drop foreign key constraint",
        **alter(fk("shop.parent"), fk("shop.parent", db_constraint=False), base=[PARENT]),
        phase=E,
    ),
    Case(
        "foreign key to one-to-one",
        **alter(fk("shop.parent"), models.OneToOneField("shop.parent", models.CASCADE), base=[PARENT]),
        phase=C,
        disposition=HOLD,
    ),
    Case(
        "on_delete in Python",
        **alter(fk("shop.parent", null=True), fk("shop.parent", null=True, on_delete=models.SET_NULL), base=[PARENT]),
        phase=N,
    ),
    Case(
        "many-to-many to another model",
        **alter(
            models.ManyToManyField("shop.parent"),
            models.ManyToManyField("shop.other"),
            base=[PARENT, model("Other", ("a", char()))],
        ),
        phase=U,
        disposition=REFUSE,
    ),
    Case(
        "many-to-many options",
        **alter(
            models.ManyToManyField("shop.parent"), models.ManyToManyField("shop.parent", blank=True), base=[PARENT]
        ),
        phase=N,
    ),
    # Indexes and constraints
    Case("add Index", [item()], m.AddIndex("item", models.Index(fields=["title"], name="i")), N),
    Case(
        "remove Index",
        [item(indexes=[models.Index(fields=["title"], name="i")])],
        m.RemoveIndex("item", "i"),
        N,
    ),
    Case(
        "rename Index",
        [item(indexes=[models.Index(fields=["title"], name="i")])],
        m.RenameIndex("item", new_name="j", old_name="i"),
        N,
    ),
    Case("add UniqueConstraint", [PAIR], m.AddConstraint("item", UNIQUE), C, HOLD),
    Case(
        "add conditional UniqueConstraint",
        [PAIR],
        m.AddConstraint("item", models.UniqueConstraint(fields=["a"], condition=models.Q(b=7), name="u")),
        C,
        HOLD,
        but={"mysql": (N, RUN)},
    ),
    Case(
        "add UniqueConstraint over an expression",
        [item()],
        m.AddConstraint("item", models.UniqueConstraint(Lower("title"), name="u")),
        C,
        HOLD,
        but={"mysql": (N, RUN)},
    ),
    Case("remove UniqueConstraint", [PAIR, m.AddConstraint("item", UNIQUE)], m.RemoveConstraint("item", "u"), E),
    Case("add CheckConstraint", [NUMBERED], m.AddConstraint("item", CHECK), C, HOLD),
    Case(
        "remove CheckConstraint", [NUMBERED, m.AddConstraint("item", CHECK)], m.RemoveConstraint("item", "positive"), E
    ),
    Case(
        "alter constraint",
        [NUMBERED, m.AddConstraint("item", CHECK)],
        m.AlterConstraint(
            "item",
            "positive",
            models.CheckConstraint(condition=models.Q(n__gt=0), name="positive", violation_error_message="no"),
        ),
        N,
    ),
    # PostgreSQL
    Case(
        "add index concurrently",
        [item()],
        pg.AddIndexConcurrently("item", models.Index(fields=["title"], name="i")),
        N,
        vendors=PG,
    ),
    Case(
        "remove index concurrently",
        [item(indexes=[models.Index(fields=["title"], name="i")])],
        pg.RemoveIndexConcurrently("item", "i"),
        N,
        vendors=PG,
    ),
    Case("add constraint not valid", [NUMBERED], pg.AddConstraintNotValid("item", CHECK), C, HOLD, vendors=PG),
    Case(
        "validate constraint",
        [NUMBERED, pg.AddConstraintNotValid("item", CHECK)],
        pg.ValidateConstraint("item", "positive"),
        N,
        vendors=PG,
    ),
    Case(
        "array widened",
        **alter(ArrayField(char(10)), ArrayField(char(20))),
        phase=E,
        vendors=PG,
    ),
    Case(
        "exclusion constraint",
        [item(("r", IntegerRangeField()))],
        m.AddConstraint("item", ExclusionConstraint(name="x", expressions=[("r", "&&")])),
        C,
        HOLD,
        vendors=PG,
    ),
    # Special
    Case("run python", [item()], m.RunPython(m.RunPython.noop), N),
    Case(
        "run sql that drops",
        [item(("x", char(null=True)))],
        m.RunSQL("ALTER TABLE shop_item DROP COLUMN x", state_operations=[m.RemoveField("item", "x")]),
        C,
        HOLD,
    ),
    Case(
        "run sql that adds",
        [item()],
        m.RunSQL(
            "ALTER TABLE shop_item ADD COLUMN x integer NULL",
            state_operations=[m.AddField("item", "x", models.IntegerField(null=True))],
        ),
        E,
    ),
    Case(
        "state alone",
        [item(("x", char(null=True)))],
        m.SeparateDatabaseAndState(state_operations=[m.RemoveField("item", "x")]),
        N,
    ),
    Case(
        "database and state",
        [item(("x", char(null=True)))],
        m.SeparateDatabaseAndState(
            database_operations=[m.RemoveField("item", "x")], state_operations=[m.RemoveField("item", "x")]
        ),
        C,
        HOLD,
    ),
]

if django.VERSION >= (6, 1):
    CASES += [
        Case(
            "delete in Python to in the database",
            **alter(fk("shop.parent"), fk("shop.parent", on_delete=models.DB_CASCADE), base=[PARENT]),
            phase=E,
        ),
        Case(
            "delete in the database to in Python",
            **alter(fk("shop.parent", on_delete=models.DB_CASCADE), fk("shop.parent"), base=[PARENT]),
            phase=C,
            disposition=HOLD,
        ),
        Case(
            "remove foreign key with DB_CASCADE",
            **remove(fk("shop.parent", null=True, on_delete=models.DB_CASCADE), base=[PARENT]),
            phase=C,
            disposition=SPLIT,
        ),
    ]


#: Each case on each database where its operation does something.
EACH = [(vendor, case) for vendor in EVERYWHERE for case in CASES if vendor in case.vendors]


@pytest.mark.parametrize(
    ("connection", "case"),
    EACH,
    indirect=["connection"],
    ids=[f"{vendor}-{case.id.replace(' ', '-')}" for vendor, case in EACH],
)
def test_prediction_is_what_happens(connection, case):
    before, after = oracle.states(case.base, case.operation)
    judged = rules.judge(case.operation, app_label=oracle.APP, before=before, after=after, connection=connection)

    broken = oracle.try_out(connection, case.base, case.operation, seeded=case.seeded)

    assert (judged.phase, judged.disposition) == case.but.get(connection.vendor, (case.phase, case.disposition))
    stricter = case.stricter.get(connection.vendor, set())
    assert bool(judged.breaks_old) == (bool(broken.old) or "old" in stricter), (judged.breaks_old, broken.old)
    assert bool(judged.breaks_new) == (bool(broken.new) or "new" in stricter), (judged.breaks_new, broken.new)


#: What belongs to no model, and a statement of code that uses it.
BESIDES = {
    "bloom": (pg.BloomExtension(), "CREATE INDEX i ON shop_item USING bloom (title)"),
    "btree_gin": (pg.BtreeGinExtension(), "CREATE INDEX i ON shop_item USING gin (id)"),
    "btree_gist": (pg.BtreeGistExtension(), "CREATE INDEX i ON shop_item USING gist (id)"),
    "citext": (pg.CITextExtension(), "SELECT title::citext FROM shop_item"),
    "pgcrypto": (pg.CryptoExtension(), "SELECT gen_salt('md5')"),
    "hstore": (pg.HStoreExtension(), "SELECT hstore('a', title) FROM shop_item"),
    "pg_trgm": (pg.TrigramExtension(), "SELECT similarity('a', title) FROM shop_item"),
    "unaccent": (pg.UnaccentExtension(), "SELECT unaccent(title) FROM shop_item"),
    "extension": (pg.CreateExtension("hstore"), "SELECT hstore('a', title) FROM shop_item"),
    "create collation": (pg.CreateCollation("c", "C", provider="libc"), 'SELECT title COLLATE "c" FROM shop_item'),
    "remove collation": (pg.RemoveCollation("c", "C", provider="libc"), 'SELECT title COLLATE "c" FROM shop_item'),
}


@pytest.mark.parametrize("connection", ["postgresql"], indirect=True)
@pytest.mark.parametrize("name", BESIDES)
def test_prediction_for_what_is_no_models_is_what_happens(connection, name):
    operation, use = BESIDES[name]
    if isinstance(operation, pg.CreateExtension):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = %s", [operation.name])
            if cursor.fetchone() is None:
                pytest.skip(f"the server does not have the extension {operation.name}")
    removes = isinstance(operation, pg.RemoveCollation)
    base = [item(), *([pg.CreateCollation("c", "C", provider="libc")] if removes else [])]
    before, after = oracle.states(base, operation)
    judged = rules.judge(operation, app_label=oracle.APP, before=before, after=after, connection=connection)

    able, broken = oracle.uses(connection, base, operation, use)

    assert (broken.old, broken.new) == ({}, {})
    assert (bool(judged.breaks_old), bool(judged.breaks_new)) == ((True, False) if removes else (False, True))
    assert able == ((True, False) if removes else (False, True))
    assert (judged.phase, judged.disposition) == ((C, HOLD) if removes else (E, RUN))


def test_every_operation_of_django_has_a_case():
    held = {type(case.operation) for case in CASES} | {type(operation) for operation, _ in BESIDES.values()}

    assert set(operation_classes()) <= held
