"""Judging needs no server."""

import socket

import pytest
from django.db import connections, models
from django.db import migrations as m
from django.db.models.functions import Lower

from guard.phases import rules
from guard.phases.words import Disposition
from tests.integration.phases import oracle


@pytest.fixture(params=["postgresql", "mysql"])
def unreachable(request):
    """A connection to a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    alias = f"unreachable_{request.param}"
    connections.settings[alias] = {
        **connections.settings["default"],
        "ENGINE": f"django.db.backends.{request.param}",
        "NAME": "nobody",
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
    yield connections[alias]
    del connections[alias]
    del connections.settings[alias]


@pytest.mark.parametrize(
    ("operation", "disposition"),
    [
        (m.AddField("item", "x", models.UUIDField(null=True)), Disposition.RUN),
        (m.AddField("item", "x", models.TextField(default="")), Disposition.SPLIT),
        (m.AlterField("item", "title", models.TextField()), Disposition.RUN),
        (m.AlterField("item", "key", models.CharField(max_length=32)), Disposition.REFUSE),
        (m.AddConstraint("item", models.UniqueConstraint(Lower("title"), name="u")), Disposition.HOLD),
        (m.AddConstraint("item", models.CheckConstraint(condition=~models.Q(title=""), name="c")), Disposition.HOLD),
        (m.RemoveField("item", "key"), Disposition.SPLIT),
    ],
)
def test_operation_is_judged_without_a_server(unreachable, operation, disposition):
    base = m.CreateModel(
        "Item",
        [
            ("id", models.BigAutoField(primary_key=True)),
            ("title", models.CharField(max_length=20)),
            ("key", models.UUIDField()),
        ],
    )
    before, after = oracle.states([base], operation)

    judged = rules.judge(operation, app_label=oracle.APP, before=before, after=after, connection=unreachable)

    assert judged.disposition is disposition
    assert unreachable.connection is None
