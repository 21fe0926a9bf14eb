"""Relations to models that a state does not have."""

from __future__ import annotations

import pytest
from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard.phases.relations import Dangling, dangling

KIND = migrations.CreateModel("Kind", [("id", models.AutoField(primary_key=True))])


def state(*operations: tuple[str, Operation]) -> ProjectState:
    made = ProjectState(real_apps={"contenttypes"})
    for app, operation in operations:
        operation.state_forwards(app, made)
    return made


def note(**fields: models.Field) -> migrations.CreateModel:
    return migrations.CreateModel("Note", [("id", models.AutoField(primary_key=True)), *fields.items()])


@pytest.mark.parametrize(
    "field",
    [
        models.ForeignKey("customer.Kind", models.CASCADE),
        models.OneToOneField("customer.kind", models.CASCADE),
        models.ManyToManyField("customer.Kind"),
        models.ManyToManyField("note", through="customer.Kind"),
    ],
)
def test_a_relation_dangles_where_its_model_is_in_no_state(field: models.Field) -> None:
    made = state(("order", note(kind=field)))
    assert Dangling(("order", "note"), "kind", ("customer", "kind")) in dangling(made)
    with pytest.raises(ValueError, match="lazy reference"):
        _ = made.clone().apps

    whole = state(("customer", KIND), ("order", note(kind=field)))
    assert dangling(whole) == frozenset()
    assert whole.apps.get_model("order", "Note")


def test_a_model_dangles_where_it_inherits_from_none() -> None:
    child = migrations.CreateModel("Child", [], bases=("customer.kind",))
    assert dangling(state(("order", child))) == {Dangling(("order", "child"), "", ("customer", "kind"))}


def test_what_refers_to_itself_or_to_an_app_without_migrations_does_not_dangle() -> None:
    own = models.ForeignKey("self", models.CASCADE)
    plain = models.ForeignKey("contenttypes.ContentType", models.CASCADE)
    assert dangling(state(("order", note(own=own, plain=plain)))) == frozenset()
