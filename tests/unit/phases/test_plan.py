"""Each migration judged among those that run with it."""

import pytest
from django.db import connection, models
from django.db import migrations as m
from django.db.backends.base.features import BaseDatabaseFeatures as DatabaseFeatures
from django.db.migrations.state import ModelState

from guard import conf
from guard.phases import mark, plan
from guard.phases.words import Disposition, Phase
from tests.unit.phases.helpers import Elsewhere, char, fk, judge_plan, migration, model, state, texts

ITEM = model("Item", ("title", char()), ("n", models.IntegerField()))
PARENT = model("Parent", ("label", char()))
RUN, SPLIT, HOLD, REFUSE = Disposition.RUN, Disposition.SPLIT, Disposition.HOLD, Disposition.REFUSE
E, C, N, U = Phase.EXPAND, Phase.CONTRACT, Phase.NEUTRAL, Phase.UNSAFE


def phases(judged):
    return [(j.phase, j.disposition) for j in judged]


def unique(*fields, name="u", **kwargs):
    return models.UniqueConstraint(fields=list(fields), name=name, **kwargs)


def check(condition, name="c"):
    return models.CheckConstraint(condition=condition, name=name)


# Migrations


def test_migration_has_the_worst_of_its_operations_and_all_that_they_take():
    (judged,) = judge_plan(
        [ITEM],
        [
            m.AddField("item", "x", char(null=True)),
            m.RemoveField("item", "title"),
            m.AlterField("item", "n", models.IntegerField(unique=True)),
        ],
    )

    assert (judged.app, judged.name) == ("shop", "0001")
    assert phases(judged.operations) == [(E, RUN), (C, SPLIT), (C, HOLD)]
    assert (judged.phase, judged.disposition) == (C, HOLD)
    assert texts(judged.takes) == ["shop_item.title"]


def test_migration_without_operations_runs():
    (judged,) = judge_plan([ITEM], [])

    assert (judged.phase, judged.disposition, judged.takes) == (N, RUN, ())


def test_strategy_hold_holds_what_would_be_split():
    (judged,) = judge_plan([ITEM], [m.RemoveField("item", "title")], strategy=conf.Strategy.HOLD)

    assert (judged.disposition, judged.operations[0].disposition) == (HOLD, HOLD)


def test_phase_that_the_migration_declares_stands_for_all_its_operations():
    mixed = [m.RunPython(print), m.RemoveField("item", "title"), m.RunSQL("not SQL at all (")]

    (expanding,) = judge_plan([ITEM], migration("0001", *mixed, guard_phase=Phase.EXPAND))
    (contracting,) = judge_plan([ITEM], migration("0001", *mixed, guard_phase="contract"))

    assert phases(expanding.operations) == [(E, RUN)] * 3
    assert phases(contracting.operations) == [(C, HOLD)] * 3


def test_phase_that_an_operation_declares_goes_before_its_migrations():
    declared = mark(m.RunPython(print), Phase.UNSAFE)

    (judged,) = judge_plan([ITEM], migration("0001", declared, m.RunPython(print), guard_phase=Phase.EXPAND))

    assert phases(judged.operations) == [(U, REFUSE), (E, RUN)]


def test_phase_that_settings_declare_goes_before_all_others():
    operations = [mark(m.RunPython(print), Phase.UNSAFE), m.RemoveField("item", "title")]
    theirs = migration("0007_theirs", *operations, guard_phase=Phase.OPAQUE)

    (judged,) = judge_plan([ITEM], theirs, declared={"shop.0007_theirs": Phase.EXPAND, "shop.0008_other": U})

    assert phases(judged.operations) == [(E, RUN)] * 2


def test_what_is_no_phase_cannot_be_marked():
    with pytest.raises(ValueError, match="sideways"):
        mark(m.RunPython(print), "sideways")


class IndexIfMissing(m.AddIndex):
    """As third-party migrations have it: one of Django's operations, done in another way."""

    def database_forwards(self, *args):
        raise NotImplementedError


class AddAsWell(m.AddField):
    def database_forwards(self, *args):
        raise NotImplementedError


def test_operation_that_derives_from_djangos_is_opaque_and_names_what_that_names():
    added = AddAsWell("item", "x", char(null=True))
    indexed = IndexIfMissing("item", models.Index(fields=["title"], name="i"))

    (judged,) = judge_plan([ITEM], [added, indexed])

    assert phases(judged.operations) == [(Phase.OPAQUE, HOLD)] * 2
    assert texts(judged.operations[0].makes) == ["shop_item.x"]
    assert texts(judged.operations[1].names) == ["shop_item.title"]
    assert "than the AddIndex that it derives from" in judged.operations[1].note


def test_operation_that_derives_from_djangos_runs_on_a_table_that_the_plan_makes():
    indexed = IndexIfMissing("item", models.Index(fields=["title"], name="i"))

    (judged,) = judge_plan([], [ITEM, indexed])

    assert judged.operations[1].disposition is RUN


def test_connection_of_another_alias_is_an_error():
    with pytest.raises(ValueError, match="other"):
        plan.judge_plan([], state(), connection=connection, strategy=conf.Strategy.SPLIT, alias="other")


# What the plan made


def test_what_touches_only_new_tables_runs_whatever_it_does():
    made, changed = judge_plan(
        [PARENT],
        [
            model("New", ("a", char(null=True)), ("p", fk("shop.parent"))),
            m.AddField("new", "b", models.IntegerField()),
            m.AlterField("new", "a", char(unique=True)),
            m.AddField("new", "ps", models.ManyToManyField("shop.parent")),
        ],
        [
            m.RenameField("new", "a", "c"),
            m.AddConstraint("new", unique("b", "c")),
            m.AlterUniqueTogether("new", {("b", "p")}),
            m.RemoveField("new", "p"),
            m.RenameModel("New", "Newer"),
            m.AlterModelTable("newer", "newest"),
            m.AlterOrderWithRespectTo("newer", "b"),
            m.DeleteModel("Newer"),
        ],
    )

    assert (made.disposition, changed.disposition) == (RUN, RUN)
    assert (made.takes, changed.takes) == ((), ())


def test_a_third_party_apps_history_runs_whole():
    history = [
        [model("Thing", ("name", char())), m.AlterUniqueTogether("thing", {("id", "name")})],
        [m.RunPython(print), m.AlterField("thing", "name", models.TextField())],
        [m.AlterUniqueTogether("thing", set()), m.RemoveField("thing", "name"), m.AddField("thing", "name", char())],
    ]

    assert {j.disposition for j in judge_plan([ITEM], *history)} == {RUN}


def test_constraint_over_a_new_and_an_old_table_is_not_out_of_old_codes_reach():
    (judged,) = judge_plan([ITEM], [m.AddField("item", "x", char(null=True)), m.AddConstraint("item", unique("title"))])

    assert phases(judged.operations) == [(E, RUN), (C, HOLD)]


@pytest.mark.parametrize(
    ("added", "altered", "expected"),
    [
        # Old code's inserts leave the new column out: they may not do so once it is required.
        (char(null=True), char(), (C, SPLIT)),
        # A unique column keeps no default, but it keeps NULL, which may repeat.
        (char(null=True), char(unique=True, default="v"), (C, SPLIT)),
        (char(null=True), char(unique=True), (C, SPLIT)),
        (char(default="v"), char(default="v", unique=True), (C, HOLD)),
        (char(default="v"), models.IntegerField(), (C, HOLD)),
        # The default that is kept for old code is kept through it.
        (char(default="v"), models.IntegerField(default=1), (E, RUN)),
        (char(default="v"), char(default="w"), (N, RUN)),
        (char(db_default="v"), char(), (C, HOLD)),
        (models.IntegerField(db_default=1), models.IntegerField(db_default=1, unique=True), (C, HOLD)),
        # Each leaves NULL or a default of its own.
        (char(null=True), models.IntegerField(null=True), (E, RUN)),
        (char(null=True), char(null=True, unique=True), (E, RUN)),
        (char(null=True), char(db_default="v"), (E, RUN)),
        (char(null=True), char(null=True, db_column="other"), (E, RUN)),
    ],
)
def test_altered_new_column_matters_to_inserts_that_leave_it_out(added, altered, expected):
    (judged,) = judge_plan([ITEM], [m.AddField("item", "x", added), m.AlterField("item", "x", altered)])

    assert (judged.operations[1].phase, judged.operations[1].disposition) == expected


@pytest.mark.parametrize(
    "held_to", [m.AddConstraint("item", unique("x")), m.AlterUniqueTogether("item", {("title", "x")})]
)
@pytest.mark.parametrize(
    ("required", "expected"),
    [
        (char(), SPLIT),
        # Old code's rows would have it all.
        (char(default="v"), HOLD),
    ],
)
def test_default_of_a_column_that_is_required_may_not_repeat_what_is_to_be_unique(held_to, required, expected):
    (judged,) = judge_plan(
        [ITEM], [m.AddField("item", "x", char(null=True)), held_to, m.AlterField("item", "x", required)]
    )

    assert [one.disposition for one in judged.operations] == [RUN, RUN, expected]


@pytest.mark.parametrize(
    ("added", "operation", "expected"),
    [
        (char(null=True), m.AddConstraint("item", unique("x")), RUN),
        (char(null=True), m.AddConstraint("item", unique("title", "x")), RUN),
        (char(null=True), m.AlterUniqueTogether("item", {("title", "x")}), RUN),
        (char(null=True), m.AddConstraint("item", unique("x", nulls_distinct=False)), HOLD),
        (char(db_default="v"), m.AddConstraint("item", unique("x")), HOLD),
        (char(default="v"), m.AddConstraint("item", unique("x")), HOLD),
        (char(default="v"), m.AlterUniqueTogether("item", {("title", "x")}), HOLD),
        (models.IntegerField(null=True), m.AddConstraint("item", check(models.Q(x__gt=0))), RUN),
        (models.IntegerField(null=True), m.AddConstraint("item", check(models.Q(x__gt=models.F("n")))), RUN),
        (models.IntegerField(null=True), m.AddConstraint("item", check(models.Q(x__isnull=False))), HOLD),
        (models.IntegerField(default=3), m.AddConstraint("item", check(models.Q(x__gte=0))), RUN),
        (models.IntegerField(db_default=3), m.AddConstraint("item", check(models.Q(x__gte=4))), HOLD),
        (models.IntegerField(default=3), m.AddConstraint("item", check(models.Q(x__gte=models.F("n")))), HOLD),
    ],
)
def test_constraint_upon_a_new_column_matters_if_its_default_can_violate_it(added, operation, expected):
    (judged,) = judge_plan([ITEM], [m.AddField("item", "x", added), operation])

    # SQLite does not have NULLS NOT DISTINCT, so nothing is made there.
    if getattr(getattr(operation, "constraint", None), "nulls_distinct", None) is False:
        assert judged.operations[1].note.startswith("this database has no such constraint")
        return
    assert judged.operations[1].disposition is expected


# Names


def test_column_removed_and_added_again_is_refused():
    judged = judge_plan([ITEM], [m.RemoveField("item", "title")], [m.AddField("item", "title", char(null=True))])

    assert [j.disposition for j in judged] == [SPLIT, REFUSE]
    assert "shop_item.title was freed" in judged[1].operations[0].note


def test_column_renamed_away_and_its_name_taken_is_refused():
    (judged,) = judge_plan(
        [ITEM], [m.RenameField("item", "title", "name"), m.AddField("item", "title", char(null=True))]
    )

    assert phases(judged.operations) == [(U, REFUSE), (U, REFUSE)]


def test_table_deleted_and_created_again_is_refused():
    judged = judge_plan([ITEM], [m.DeleteModel("Item")], [model("Item", ("other", char()))])

    assert [j.disposition for j in judged] == [SPLIT, REFUSE]


def test_table_dropped_by_sql_and_created_again_is_refused():
    judged = judge_plan(
        [ITEM],
        [m.RunSQL("DROP TABLE shop_item", state_operations=[m.DeleteModel("Item")])],
        [model("item", ("other", char()))],
    )

    assert [j.disposition for j in judged] == [HOLD, REFUSE]


def test_name_that_differs_in_case_alone_is_the_same():
    (judged,) = judge_plan(
        [ITEM], [m.RemoveField("item", "title"), m.AddField("item", "t", char(null=True, db_column="TITLE"))]
    )

    assert judged.disposition is REFUSE


def test_view_that_is_made_anew_is_held():
    (judged,) = judge_plan([ITEM], [m.RunSQL("DROP VIEW v"), m.RunSQL("CREATE VIEW v AS SELECT 1")])

    assert judged.disposition is HOLD


# Operations that cancel out


def test_added_and_removed_takes_nothing():
    added, removed = judge_plan([ITEM], [m.AddField("item", "x", char(null=True))], [m.RemoveField("item", "x")])

    assert (added.disposition, removed.disposition, removed.takes) == (RUN, RUN, ())


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (m.RenameField("item", "title", "name"), m.RenameField("item", "name", "title")),
        (m.RenameModel("Item", "Thing"), m.RenameModel("Thing", "Item")),
        (m.AlterModelTable("item", "things"), m.AlterModelTable("item", None)),
        (m.AlterField("item", "title", char(unique=True)), m.AlterField("item", "title", char())),
        (m.AlterField("item", "n", models.TextField()), m.AlterField("item", "n", models.IntegerField())),
        (
            m.AlterField("item", "n", models.IntegerField(db_column="x")),
            m.AlterField("item", "n", models.IntegerField()),
        ),
    ],
)
def test_there_and_back_takes_nothing_within_one_transaction(there, back):
    together = judge_plan([ITEM], [there, back])
    (without_transaction,) = judge_plan([ITEM], migration("0001", there, back, atomic=False))
    apart = judge_plan([ITEM], [there], [back])

    assert [(j.phase, j.disposition, j.takes) for j in together] == [(N, RUN, ())]
    assert without_transaction.disposition in (HOLD, REFUSE)
    assert apart[0].disposition in (HOLD, REFUSE)


def test_there_and_back_is_seen_where_ddl_commits_at_once():
    there, back = m.RenameField("item", "title", "name"), m.RenameField("item", "name", "title")
    mysql = Elsewhere("mysql")
    mysql.features = DatabaseFeatures(None)

    (judged,) = judge_plan([ITEM], [there, back], connection=mysql)

    assert judged.disposition is REFUSE


def test_table_that_comes_back_with_other_columns_has_not_come_back():
    base = [PARENT, model("Item", ("ps", models.ManyToManyField("shop.parent")))]

    (judged,) = judge_plan(base, [m.RenameModel("Item", "Thing"), m.AlterModelTable("thing", "shop_item")])

    assert judged.disposition is REFUSE


def test_there_and_back_does_not_overrule_the_author():
    there = mark(m.RenameField("item", "title", "name"), Phase.CONTRACT)

    (judged,) = judge_plan([ITEM], [there, m.RenameField("item", "name", "title")])

    assert phases(judged.operations) == [(C, HOLD), (U, REFUSE)]


def test_renamed_there_and_back_and_removed_is_a_removal():
    (judged,) = judge_plan(
        [ITEM],
        [
            m.RenameField("item", "title", "name"),
            m.RenameField("item", "name", "title"),
            m.RemoveField("item", "title"),
        ],
    )

    assert phases(judged.operations) == [(N, RUN), (N, RUN), (C, SPLIT)]
    assert texts(judged.takes) == ["shop_item.title"]


def test_constraint_that_held_when_the_plan_began_asks_nothing_new():
    together = model("Item", ("a", char()), ("b", char()), unique_together={("a", "b")})

    (judged,) = judge_plan(
        [together], [m.AlterUniqueTogether("item", set()), m.AddConstraint("item", unique("a", "b"))]
    )

    assert phases(judged.operations) == [(E, RUN), (N, RUN)]


def test_constraint_made_again_under_another_name_asks_nothing_new():
    base = [ITEM, m.AddConstraint("item", check(models.Q(n__gt=0), name="old"))]

    same, stricter = (
        judge_plan(
            base, [m.RemoveConstraint("item", "old"), m.AddConstraint("item", check(models.Q(n__gt=bound), name="new"))]
        )[0]
        for bound in (0, 1)
    )

    assert phases(same.operations) == [(E, RUN), (N, RUN)]
    assert phases(stricter.operations) == [(E, RUN), (C, HOLD)]


def test_constraint_over_a_name_that_another_column_has_now_is_new():
    base = [model("Item", ("a", char(unique=True)), ("b", char()))]

    (judged,) = judge_plan(
        base,
        [
            m.RenameField("item", "a", "c"),
            m.RenameField("item", "b", "a"),
            m.AddConstraint("item", unique("a")),
        ],
    )

    assert judged.operations[2].disposition is HOLD


# Companions


@pytest.mark.parametrize(
    ("extra", "removal"),
    [
        (m.AddIndex("item", models.Index(fields=["title"], name="i")), m.RemoveIndex("item", "i")),
        (m.AddConstraint("item", unique("title")), m.RemoveConstraint("item", "u")),
        (m.AlterUniqueTogether("item", {("title", "n")}), m.AlterUniqueTogether("item", set())),
    ],
)
def test_removal_of_what_covers_a_field_removed_later_waits_with_it(extra, removal):
    together = judge_plan([ITEM, extra], [removal], [m.RemoveField("item", "title")])
    alone = judge_plan([ITEM, extra], [removal])

    assert (together[0].disposition, together[0].operations[0].note) == (SPLIT, "companion")
    assert together[1].disposition is SPLIT
    assert alone[0].disposition is RUN


@pytest.mark.parametrize(
    ("extra", "removal", "disposition"),
    [
        (m.AddIndex("item", models.Index(fields=["title"], name="i")), m.RemoveIndex("item", "i"), RUN),
        (m.AddConstraint("item", unique("title")), m.RemoveConstraint("item", "u"), HOLD),
    ],
)
def test_what_covers_a_field_does_not_wait_through_what_writes(extra, removal, disposition):
    judged = judge_plan([ITEM, extra], [removal], [m.RunPython(print)], [m.RemoveField("item", "title")])

    assert judged[0].disposition is disposition


def test_an_index_over_a_field_that_the_plan_itself_made_goes_at_once():
    (made, gone) = judge_plan(
        [ITEM],
        [m.AddField("item", "x", char(null=True)), m.AddIndex("item", models.Index(fields=["x", "title"], name="i"))],
        [m.RemoveIndex("item", "i"), m.RemoveField("item", "x")],
    )

    assert (made.disposition, gone.disposition) == (RUN, RUN)


def test_removal_of_an_index_over_other_fields_does_not_wait():
    index = m.AddIndex("item", models.Index(fields=["n"], name="i"))

    (judged,) = judge_plan([ITEM, index], [m.RemoveIndex("item", "i"), m.RemoveField("item", "title")])

    assert phases(judged.operations) == [(N, RUN), (C, SPLIT)]


def test_removal_of_an_index_of_a_model_deleted_later_waits_with_it():
    index = m.AddIndex("item", models.Index(fields=["n"], name="i"))

    judged = judge_plan([ITEM, index], [m.RemoveIndex("item", "i")], [m.DeleteModel("Item")])

    assert judged[0].disposition is HOLD


# The state is left alone


def test_state_is_neither_changed_nor_rendered():
    base = [
        model("Parent", ("code", char(unique=True))),
        model("Item", ("title", char()), ("p", fk("shop.parent", to_field="code"))),
    ]
    before = state(*base)
    copy = before.clone()
    relation = before.models["shop", "item"].fields["p"]

    plan.judge_plan(
        [
            migration(
                "0001",
                m.RenameField("parent", "code", "sign"),
                m.AddIndex("item", models.Index(fields=["title"], name="i")),
                m.AlterUniqueTogether("item", {("title", "p")}),
                m.RemoveField("item", "title"),
                m.RenameModel("Parent", "Origin"),
                m.SeparateDatabaseAndState(state_operations=[m.AlterModelOptions("item", {"ordering": ["p"]})]),
                m.RunSQL("SELECT 1", state_operations=[m.DeleteModel("Item")]),
            )
        ],
        before,
        connection=connection,
        strategy=conf.Strategy.SPLIT,
        alias="default",
    )

    assert before == copy
    assert before.models["shop", "item"].options == copy.models["shop", "item"].options
    assert before.models["shop", "item"].fields["p"] is relation
    assert relation.to_fields == ["code"]
    assert "apps" not in before.__dict__


# Backwards


def backwards(base, *operations, declared=None):
    before = state(*base)
    done = migration("0001", *operations)
    states = {("shop", "0001"): (before, done.mutate_state(before))}
    (judged,) = plan.judge_backwards([done], states, connection=connection, declared=declared)
    return judged


class Unknown(m.AddField):
    guard_phase = Phase.NEUTRAL

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        pass


def test_unapplying_what_is_declared_neutral_takes_nothing_that_guard_cannot_look_into():
    operations = [
        Unknown("item", "x", char(null=True)),
        m.RenameField("item", "title", "name"),
        m.RunSQL("SELECT 1", "ALTER TABLE shop_item RENAME COLUMN a TO b"),
    ]
    assert texts(backwards([ITEM], *operations[1:]).takes) == ["shop_item.name", "shop_item.a"]
    assert not backwards([ITEM], *operations, declared={"shop.0001": Phase.NEUTRAL}).takes


@pytest.mark.parametrize("phase", [Phase.EXPAND, Phase.NEUTRAL])
def test_unapplying_takes_what_guard_knows_whatever_is_declared(phase):
    operations = [
        m.AddField("item", "x", char(null=True)),
        m.SeparateDatabaseAndState(
            [m.RunSQL("SELECT 1", "whatever it is"), m.AddField("item", "y", char(null=True))],
            [m.AddField("item", "y", char(null=True))],
        ),
        model("New"),
        m.RunSQL("ALTER TABLE shop_item ADD z int", "ALTER TABLE shop_item DROP COLUMN z"),
    ]
    taken = ["shop_item.x", "shop_item.y", "shop_new", "shop_item.z"]
    assert texts(backwards([ITEM], *operations, declared={"shop.0001": phase}).takes) == taken

    for operation in operations:
        operation.guard_phase = phase.value
    assert texts(backwards([ITEM], *operations).takes) == taken


def test_unapplying_takes_what_applying_made():
    judged = backwards(
        [ITEM, PARENT],
        m.AddField("item", "x", char(null=True)),
        model("New", ("ps", models.ManyToManyField("shop.parent"))),
    )

    assert (judged.phase, judged.disposition) == (C, HOLD)
    assert texts(judged.takes) == ["shop_item.x", "shop_new", "shop_new_ps"]


def test_unapplying_a_removal_takes_nothing():
    judged = backwards([ITEM], m.RemoveField("item", "title"))

    assert judged.takes == ()
    assert texts(judged.operations[0].makes) == ["shop_item.title"]


def test_unapplying_a_rename_is_unsafe():
    judged = backwards([ITEM], m.RenameField("item", "title", "name"))

    assert (judged.phase, texts(judged.takes)) == (U, ["shop_item.name"])


def test_unapplying_what_changes_nothing_runs():
    judged = backwards([ITEM], m.AlterModelOptions("item", {}), m.RunPython(print, print))

    assert judged.disposition is RUN


def test_unapplying_raw_sql_is_judged_by_its_reverse():
    judged = backwards(
        [ITEM],
        m.RunSQL("CREATE TABLE t (a int)", "DROP TABLE t"),
        m.RunSQL("CREATE INDEX i ON shop_item (n)", m.RunSQL.noop),
    )

    assert phases(judged.operations) == [(C, HOLD), (N, RUN)]
    assert texts(judged.takes) == ["t"]


# The states of a plan


def test_state_after_a_migration_renders_nothing_anew_and_leaves_the_rendered_state_as_it_is(monkeypatch):
    before = state(
        model("Item", ("code", char(unique=True))), model("Line", ("item", fk("shop.item", to_field="code")))
    )
    rendered = before.apps
    monkeypatch.setattr(ModelState, "render", lambda *_: pytest.fail("a model is rendered"))

    after = plan.state_after(
        migration("0002", m.RenameField("item", "code", "sku"), m.AlterField("item", "sku", char())), before
    )

    assert set(after.models["shop", "item"].fields) == {"id", "sku"}
    assert after.models["shop", "line"].fields["item"].remote_field.field_name == "sku"
    assert set(before.models["shop", "item"].fields) == {"id", "code"}
    assert before.models["shop", "line"].fields["item"].remote_field.field_name == "code"
    assert before.apps is rendered
