"""Short ways to write states, plans and judgements."""

import inspect

from django.contrib.postgres import operations as pg
from django.db import connection as default_connection
from django.db import migrations as m
from django.db import models
from django.db.migrations import operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard import conf
from guard.phases import plan, rules

APP = "shop"


class Elsewhere:
    """A connection of another vendor, where no statement is run."""

    def __init__(self, vendor):
        self.vendor = vendor
        self.alias = default_connection.alias

    def __getattr__(self, name):
        return getattr(default_connection, name)


def model(name, *fields, **options):
    return m.CreateModel(name, [("id", models.BigAutoField(primary_key=True)), *fields], options=options)


def char(**kwargs):
    return models.CharField(max_length=20, **kwargs)


def fk(to, **kwargs):
    return models.ForeignKey(to, **{"on_delete": models.CASCADE, **kwargs})


def state(*operations):
    made = ProjectState()
    for operation in operations:
        operation.state_forwards(APP, made)
    return made


def judge(operation, *base, connection=default_connection):
    before = state(*base)
    after = before.clone()
    operation.state_forwards(APP, after)
    return rules.judge(operation, app_label=APP, before=before, after=after, connection=connection)


def migration(name, *operations, app=APP, **attributes):
    made = m.Migration(name, app)
    made.operations = list(operations)
    for attribute, value in attributes.items():
        setattr(made, attribute, value)
    return made


def judge_plan(base, *migrations, strategy=conf.Strategy.SPLIT, connection=default_connection, declared=None):
    """Judge migrations, each a list of operations or a Migration, on what `base` makes."""
    made = [
        given if isinstance(given, m.Migration) else migration(f"{number:04}", *given)
        for number, given in enumerate(migrations, start=1)
    ]
    return plan.judge_plan(
        made,
        state(*base),
        connection=connection,
        strategy=strategy,
        alias=default_connection.alias,
        declared=declared,
    )


def texts(targets):
    return [str(target) for target in targets]


def operation_classes():
    """Every operation that Django has, PostgreSQL's included."""
    found = {getattr(operations, name) for name in operations.__all__}
    found |= {
        value
        for value in vars(pg).values()
        if inspect.isclass(value) and issubclass(value, Operation) and value.__module__ == pg.__name__
    }
    return sorted(found - {pg.CollationOperation, Operation}, key=lambda cls: cls.__name__)
