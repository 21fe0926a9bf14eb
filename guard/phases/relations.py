"""What a state's models refer to and the state does not have: Django renders no such state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.migrations.state import ProjectState
from django.db.migrations.utils import resolve_relation

from guard.phases import naming


@dataclass(frozen=True, slots=True)
class Dangling:
    """A model that refers to one which is not there, by a field or, where that is empty, by inheriting from it."""

    model: naming.Key
    field: str
    to: naming.Key


def dangling(state: ProjectState) -> frozenset[Dangling]:
    """Every relation of the state's models to a model that is neither in it nor of an app without migrations."""
    return frozenset(
        Dangling(key, name, to)
        for key in state.models
        for name, to in _referred(state, key)
        if to not in state.models and to[0] not in state.real_apps
    )


def _referred(state: ProjectState, key: naming.Key) -> Iterator[tuple[str, naming.Key]]:
    found = state.models[key]
    for base in found.bases:
        if isinstance(base, str):
            yield "", resolve_relation(base, key[0])
    for name, field in found.fields.items():
        relation = field.remote_field
        if relation is None or not getattr(relation, "model", None):
            continue
        yield name, resolve_relation(relation.model, *key)
        # None where Django makes the table itself.
        if through := getattr(relation, "through", None):
            yield name, resolve_relation(through, *key)
