"""What judging a long history costs beside what Django needs to go through it."""

import time

import pytest
from django.db import connection, models
from django.db import migrations as m
from django.db.migrations.state import ProjectState

from guard import conf
from guard.phases import plan

MIGRATIONS = 500


def _history():
    """Twenty models, and then one change after the other."""
    made = []
    for number in range(MIGRATIONS):
        migration = m.Migration(f"{number:04}", "shop")
        name = f"m{number % 20}"
        if number < 20:
            fields = [(f"f{i}", models.CharField(max_length=20, null=True)) for i in range(20)]
            parent = [("p", models.ForeignKey("shop.m0", models.CASCADE, null=True))] if number else []
            key = ("id", models.BigAutoField(primary_key=True))
            migration.operations = [m.CreateModel(f"M{number}", [key, *fields, *parent])]
        else:
            migration.operations = [
                m.AddField(name, f"g{number}", models.IntegerField(default=3)),
                m.AlterField(name, "f1", models.CharField(max_length=20 + number, null=True)),
                m.AddIndex(name, models.Index(fields=["f2"], name=f"i{number}")),
            ]
            if number % 3 == 0:
                migration.operations.append(m.RemoveField(name, f"f{3 + (number - 20) // 60}"))
        made.append(migration)
    return made


def _seconds(action):
    started = time.thread_time()
    action()
    return time.thread_time() - started


@pytest.mark.bench
def test_cost_of_judging_a_history(capsys):
    history = _history()
    states, whole = [], []
    for _ in range(3):
        state = ProjectState()
        states.append(_seconds(lambda s=state: [migration.mutate_state(s, preserve=False) for migration in history]))
        judged = []
        whole.append(
            _seconds(
                lambda found=judged: found.extend(
                    plan.judge_plan(
                        history,
                        ProjectState(),
                        connection=connection,
                        strategy=conf.Strategy.SPLIT,
                        alias=connection.alias,
                    )
                )
            )
        )
        assert len(judged) == MIGRATIONS

    operations = sum(len(migration.operations) for migration in history)
    with capsys.disabled():
        print(
            f"\n{MIGRATIONS} migrations, {operations} operations: project state {min(states) * 1000:.0f} ms, "
            f"judging {min(whole) * 1000:.0f} ms ({min(whole) / min(states):.2f} ×)"
        )
