"""Whatever a plan says may run, code that was deployed before the plan lives through."""

import os
import random

from django.db import migrations as m
from django.db import models

from guard import conf
from guard.phases import plan
from guard.phases.words import Disposition
from tests.integration.phases import oracle


def _integer(**options):
    return models.IntegerField(**options)


def _text(**options):
    return models.CharField(max_length=20, **options)


BASE = [
    m.CreateModel(
        "Item",
        [
            ("id", models.BigAutoField(primary_key=True)),
            ("a", _integer(null=True)),
            ("b", _integer(default=1)),
            ("c", _text(unique=True)),
        ],
        options={
            "unique_together": {("a", "c")},
            "constraints": [models.CheckConstraint(condition=models.Q(b__gte=0), name="held")],
        },
    ),
]


KINDS = [
    *["add"] * 3,
    *["alter"] * 3,
    *["rename", "remove", "unique", "check", "together", "create", "delete", "table", "drop_constraint"],
]


class Author:
    """Writes operations that Django can run, one after the other."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.state, _ = oracle.states(BASE, m.RunPython(m.RunPython.noop))
        self.number = 0

    def next(self):
        """An operation and the state after it."""
        while True:
            self.number += 1
            after = self.state.clone()
            try:
                operation = self._write()
                operation.state_forwards(oracle.APP, after)
                after.apps  # noqa: B018
            except Exception:
                # Nothing is left to choose from, or the choices do not go together.
                continue
            self.state = after
            return operation

    def _write(self):
        if not self.state.models:
            return m.CreateModel("New", [("id", models.BigAutoField(primary_key=True)), ("a", _integer())])
        name = self.random.choice([key[1] for key in self.state.models])
        fields = [f for f, field in self.state.models[oracle.APP, name].fields.items() if not field.primary_key]
        kind = self.random.choice(KINDS)
        if not fields:
            return m.AddField(name, "x", self._field())
        field = self.random.choice(fields)
        if self.random.random() < 0.7:
            # What the plan itself has just made is where rules differ.
            field = fields[-1]
        some = tuple(sorted(self.random.sample(fields, min(len(fields), self.random.choice([1, 2, 2])))))
        if kind == "add":
            taken = self.random.choice(["x", "y", "z", *"abc"])
            return m.AddField(name, taken, self._field()) if taken not in fields else self._write()
        if kind == "alter":
            return m.AlterField(name, field, self._field())
        if kind == "rename":
            free = [f for f in ["x", "y", "z", *"abc"] if f not in fields]
            return m.RenameField(name, field, self.random.choice(free))
        if kind == "remove":
            return m.RemoveField(name, field)
        if kind == "unique":
            return m.AddConstraint(name, models.UniqueConstraint(fields=some, name=f"u{self.number}"))
        if kind == "check":
            low = self.random.choice([0, 1])
            condition = self.random.choice(
                [
                    models.Q((f"{field}__gte", low)),
                    models.Q((f"{field}__isnull", bool(low))),
                    models.Q((f"{field}__gte", low)) | models.Q((f"{some[0] if some else field}__isnull", True)),
                    models.Q((f"{field}__gte", models.F("b"))),
                ]
            )
            return m.AddConstraint(name, models.CheckConstraint(condition=condition, name=f"c{self.number}"))
        if kind == "together":
            return m.AlterUniqueTogether(name, self.random.choice([set(), {some}, {some, ("a", "c")}]))
        if kind == "create":
            return m.CreateModel(
                f"New{self.number}", [("id", models.BigAutoField(primary_key=True)), ("a", _integer()), ("x", _text())]
            )
        if kind == "delete":
            return m.DeleteModel(name)
        if kind == "table":
            return m.AlterModelTable(name, self.random.choice(["tables", None]))
        constraints = [c.name for c in self.state.models[oracle.APP, name].options["constraints"]]
        return m.RemoveConstraint(name, self.random.choice(constraints or ["none"]))

    def _field(self):
        options = self.random.choice(
            [{"null": True}, {"null": True}, {"default": 1}, {"db_default": 1}, {"db_default": 1, "null": True}, {}]
        )
        unique = {"unique": True} if self.random.random() < 0.2 else {}
        if self.random.random() < 0.6:
            return _integer(**options, **unique)
        texts = {name: "1" if value == 1 and value is not True else value for name, value in options.items()}
        return _text(**texts, **unique)


def _what_runs(connection, seed):
    """Migrations of a random plan up to the first that may not run as it stands."""
    author = Author(seed)
    migrations = []
    for number in range(author.random.randint(1, 3)):
        migration = m.Migration(f"{number:04}", oracle.APP)
        migration.operations = [author.next() for _ in range(author.random.randint(1, 2))]
        migrations.append(migration)
    before, _ = oracle.states(BASE, m.RunPython(m.RunPython.noop))
    judged = plan.judge_plan(
        migrations, before, connection=connection, strategy=conf.Strategy.SPLIT, alias=connection.alias
    )
    runs = []
    for migration, judgement in zip(migrations, judged, strict=True):
        if judgement.disposition is not Disposition.RUN:
            break
        runs.append(migration)
    return runs, judged


#: Random plans for each database: a server takes its time over DDL. GUARD_TEST_PLANS=20 tries twenty times as many.
PLANS = {"sqlite": 150, "postgresql": 30, "mysql": 20}


def test_deployed_code_lives_through_what_a_plan_runs(connection):
    tried = PLANS[connection.vendor] * int(os.environ.get("GUARD_TEST_PLANS", "1"))
    ran = 0
    for seed in range(tried):
        runs, judged = _what_runs(connection, seed)
        if not runs:
            continue
        broken = oracle.old_code_after(connection, BASE, runs)
        ran += 1
        assert not broken, (seed, broken, [(op, j) for j in judged for op in j.operations])
    assert ran > tried / 10
