"""What waits or is refused beside old code, and why; and the maintenance window, in which all of it runs whole."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
from django.core.management.base import CommandError
from django.db import migrations as m
from django.db import models
from django.db.migrations.operations.base import Operation

from guard.ledger import rows
from guard.ledger.store import Ledger
from tests.integration.matrix.harness import Case, Deploy, _differences, model
from tests.integration.matrix.test_remove import PARENT, both, char, fk

BASE = [
    PARENT,
    model(
        "Item",
        ("title", char()),
        ("x", models.IntegerField()),
        ("text", char(max_length=40)),
        ("up", fk()),
        ("other", fk(null=True, related_name="+")),
        ("number", models.IntegerField(db_default=1)),
    ),
]


class Unheard(Operation):
    """An operation that guard has never heard of."""

    def state_forwards(self, app_label, state):
        pass

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        pass

    def describe(self):
        return "Does something"


@dataclass
class Kind:
    """Migrations upon BASE, what becomes of them beside old code, and what is said about it."""

    migrations: list
    outcome: str
    #: Sentences, or parts of them; `%` stands for the app's name.
    says: tuple[str, ...]
    #: How many migrations are applied beside old code; the base is the first.
    applied: int = 1
    #: By vendor, where it runs at once.
    runs: tuple[str, ...] = field(default_factory=tuple)


HELD = "waits and is not applied yet"
KINDS = {
    "a check": Kind(
        [[m.AddConstraint("item", models.CheckConstraint(condition=models.Q(x__lt=1000), name="low_x"))]],
        "held",
        ("Adds constraint low_x to %.item", "In old code it breaks"),
    ),
    "a unique constraint": Kind(
        [[m.AddConstraint("item", models.UniqueConstraint(fields=["x", "text"], name="one_x"))]],
        "held",
        ("Adds constraint one_x to %.item",),
    ),
    "unique together": Kind([[m.AlterUniqueTogether("item", {("x", "text")})]], "held", ("unique_together",)),
    "unique": Kind([[m.AlterField("item", "text", char(max_length=40, unique=True))]], "held", ("%.item.text",)),
    "a foreign key's constraint": Kind(
        [[m.AlterField("item", "other", fk(null=True, unique=True, related_name="+"))]], "held", ("%.item.other",)
    ),
    "narrower": Kind([[m.AlterField("item", "text", char(max_length=10))]], "held", ("%.item.text",), runs=("sqlite",)),
    "another type": Kind([[m.AlterField("item", "x", char())]], "refused", ("%.item.x",)),
    "no database default any more": Kind(
        [[m.AlterField("item", "number", models.IntegerField())]], "held", ("%.item.number",)
    ),
    "raw SQL": Kind([[m.RunSQL("DROP TABLE IF EXISTS nothing_here", m.RunSQL.noop)]], "held", ("nothing_here",)),
    "what guard does not know": Kind([[Unheard()]], "held", ("Does something", "guard_phase")),
    "halves that differ": Kind(
        [[m.SeparateDatabaseAndState([Unheard()], [m.AlterModelOptions("item", {"ordering": ["x"]})])]],
        "held",
        ("guard cannot tell what it does",),
    ),
    "a field's name": Kind(
        [[m.RenameField("item", "x", "y")]], "refused", ("%.item.x", "db_column", "stop every instance")
    ),
    "a model's name": Kind(
        [[m.RenameModel("Item", "Thing")]], "refused", ("%.Item to Thing", "db_table", "stop every instance")
    ),
    "a table's name": Kind([[m.AlterModelTable("item", "app_thing")]], "refused", ("%_thing", "stop every instance")),
    "a column's name": Kind(
        [[m.AlterField("item", "x", models.IntegerField(db_column="y"))]],
        "refused",
        ("%.item.x", "stop every instance"),
    ),
    "required, without a default": Kind(
        [[m.AddField("item", "y", models.IntegerField(unique=True, default=7), preserve_default=False)]],
        "refused",
        ("%.item.y", "stop every instance"),
    ),
    "an order of its own": Kind([[m.AlterOrderWithRespectTo("item", "up")]], "refused", ("stop every instance",)),
    "a column's name, freed and taken again": Kind(
        [[m.RemoveField("item", "x"), m.AddField("item", "x", char(null=True))]],
        "refused",
        ("%_item.x", "stop every instance"),
    ),
    "a table's name, freed and taken again": Kind(
        [[m.DeleteModel("Item"), model("Item", ("other", models.IntegerField()))]],
        "refused",
        ("%_item", "stop every instance"),
    ),
    "a name that is taken again in another migration": Kind(
        [[m.RemoveField("item", "x")], [m.AddField("item", "x", char(null=True))]],
        "refused",
        ("%_item.x", "stop every instance"),
    ),
    "beside what runs in two steps": Kind(
        [
            [m.RemoveField("item", "text"), m.AddConstraint("item", models.UniqueConstraint(fields=["x"], name="one"))],
            [m.AddField("item", "z", char(default="z"))],
        ],
        "held",
        ("Adds constraint one to %.item", "0003_change waits too, because it depends on"),
    ),
    "in both halves alike": Kind(
        [[both(m.RenameField("item", "x", "y"))]], "refused", ("%.item.x", "stop every instance")
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_it_waits_beside_old_code_and_runs_whole_in_a_maintenance_window(alias: str, name: str) -> None:
    kind = KINDS[name]
    # As projects have them: in the window nobody waits for them.
    deploy = Deploy(alias, Case(BASE, kind.migrations), ROLLBACK_WINDOW=86_400, QUIET_PERIOD=3_600)
    if deploy.vendor in kind.runs:
        return
    count = len(deploy.migrations)
    try:
        _, old_own, after, new_own = deploy.plain()
        deploy.seed()
        old = deploy.arrive(1, "old")

        if kind.outcome == "refused":
            with pytest.raises(CommandError) as refused:
                deploy.migrate(count, everything=True)
            assert refused.value.returncode == 1
            said = str(refused.value)
            assert "guard refuses this plan; nothing was applied." in said
            assert "1 instance of release old (web)" in said
        else:
            deploy.migrate(count, everything=True)
            said = deploy.said
            assert HELD in said
        assert [part for part in kind.says if part.replace("%", deploy.app) not in said] == [], said
        # The safe way, as code to paste.
        assert re.search(r"^ +# [A-Z]", said, re.MULTILINE), said
        assert deploy.applied() == kind.applied
        deploy._works("old code", old_own, deploy.old)

        deploy.leave(old)
        deploy.migrate(count, everything=True)

        assert deploy.applied() == count, deploy.said
        deploy.arrive(count, "new")
        deploy._take(KEEP_FOR=0, ROLLBACK_WINDOW=0, QUIET_PERIOD=0)
        assert deploy.waiting() == []
        states = {step.state for step in Ledger(deploy.connection).steps() if step.kind is rows.StepKind.MIGRATION}
        assert states <= {rows.StepState.DONE, rows.StepState.WITHDRAWN}
        deploy._works("new code", new_own, deploy.new)
        assert not (different := _differences(deploy.schema(), after)), different
    finally:
        deploy.drop()


@pytest.mark.parametrize("vendor", ["sqlite"], indirect=True)
@pytest.mark.parametrize("guard", [{}, {"STRATEGY": "hold"}], ids=["split", "hold"])
def test_a_fleet_that_was_replaced_or_has_fallen_silent_is_not_stopped(alias: str, guard: dict[str, str]) -> None:
    waits = KINDS["a check"].migrations[0] if not guard else [m.RemoveField("item", "text")]
    deploy = Deploy(alias, Case(BASE, [waits]), ROLLBACK_WINDOW=86_400, **guard)
    ledger = Ledger(deploy.connection)
    try:
        deploy.seed()
        old = deploy.arrive(1, "old")
        new = deploy.arrive(2, "new")
        deploy.leave(old)
        deploy.migrate(2, everything=True)
        assert deploy.applied() == 1
        assert "with every instance stopped" in deploy.said

        # Its lease has run out, and LOST_GRACE is over at once here.
        with deploy.connection.cursor() as cursor:
            cursor.execute("UPDATE guard_instance SET expires_at = renewed_at - 1")
        (lost,) = [one for one in ledger.instances() if one.id == new]
        assert lost.lost(ledger.now())
        deploy.migrate(2, everything=True)
        assert deploy.applied() == 1

        deploy.leave(new)
        deploy.migrate(2, everything=True)
        assert deploy.applied() == 2
    finally:
        deploy.drop()
