"""Table and column names of historical models, read from model states without rendering them.

Rendering a project's historical models costs far more than everything that is decided about them, so the names that
Django would compute at rendering are computed here from the states.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeAlias

from django.apps import apps as global_apps
from django.db import connection as default_connection
from django.db import models
from django.db.backends.utils import strip_quotes, truncate_name
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.utils import resolve_relation

from guard.phases.words import Target

#: (app label, lower-cased model name)
Key: TypeAlias = tuple[str, str]
#: A field of a model state: any Field, relations of every kind included, not bound to a model.
Field: TypeAlias = Any


def model(state: ProjectState, key: Key) -> ModelState:
    """The model's state. Raises KeyError where the state has none."""
    found: ModelState | None = state.models.get(key)
    if found is not None:
        return found
    if key[0] in state.real_apps:
        # An app without migrations is in no state; Django renders it from the running code.
        return ModelState.from_model(global_apps.get_model(*key), exclude_rels=True)
    raise KeyError(key)


def bases(state: ProjectState, key: Key) -> Iterator[Key]:
    """The models that the model directly inherits from."""
    for base in model(state, key).bases:
        if isinstance(base, str):
            yield resolve_relation(base, key[0])
        elif hasattr(base, "_meta") and not base._meta.abstract:
            yield base._meta.app_label, str(base._meta.model_name)


def concrete(state: ProjectState, key: Key) -> Key:
    """The model itself, or what a proxy stands for."""
    while model(state, key).options.get("proxy"):
        key = next(bases(state, key))
    return key


def table(state: ProjectState, key: Key) -> str:
    """The model's table."""
    key = concrete(state, key)
    found = model(state, key)
    explicit = found.options.get("db_table")
    if explicit:
        return str(explicit)
    return _shortened(f"{found.app_label}_{found.name_lower}")


def _shortened(name: str) -> str:
    # No database has a limit below Oracle's 30, so most names need not ask for it.
    if len(name) <= 30:
        return name
    # Django shortens for the default alias at rendering, whatever the alias that is migrated.
    return truncate_name(name, default_connection.ops.max_name_length())


def bound(field: Field, name: str) -> Field:
    """A copy of a state's field that knows its name, attribute and column."""
    named = copy.copy(field)
    # A state keeps a field under another key after a rename while the field still has its former name.
    named.name = name
    named.attname, named.column = named.get_attname_column()
    named.concrete = named.column is not None
    return named


def is_m2m(field: Field) -> bool:
    return bool(field.many_to_many)


def is_foreign_key(field: Field) -> bool:
    return isinstance(field, models.ForeignKey)


def column(field: Field, name: str) -> str:
    """The field's column; empty where it has none (many-to-many, composite key, generic foreign key)."""
    if is_m2m(field) or not isinstance(field, models.Field):
        return ""
    kind = type(field)
    if kind.get_attname_column is models.Field.get_attname_column and kind.get_attname is models.Field.get_attname:
        # What Django would say, without a copy of the field that is told its name first.
        return str(field.db_column or name)
    return bound(field, name).column or ""


def get_field(state: ProjectState, key: Key, name: str) -> Field:
    """The model's own field of that name, in any case. Raises KeyError."""
    fields = model(state, key).fields
    if name in fields:
        return fields[name]
    return fields[own_name(state, key, name)]


def own_name(state: ProjectState, key: Key, name: str) -> str:
    """The field's name as the state writes it. Raises KeyError."""
    fields = model(state, key).fields
    if name in fields:
        return name
    lowered = name.lower()
    for candidate in fields:
        if candidate.lower() == lowered:
            return candidate
    raise KeyError((*key, name))


def remote(field: Field, key: Key) -> Key:
    """The model that a relation points to."""
    return resolve_relation(field.remote_field.model, *key)


def pk_name(state: ProjectState, key: Key) -> str:
    """The name of the model's primary key field."""
    key = concrete(state, key)
    for name, field in model(state, key).fields.items():
        if field.primary_key:
            return name
    for name, field in model(state, key).fields.items():
        if field.remote_field is not None and getattr(field.remote_field, "parent_link", False):
            return name
    for base in bases(state, key):
        return f"{model(state, base).name_lower}_ptr"
    return "id"


def find_field(state: ProjectState, key: Key, name: str) -> tuple[Key, str, Field]:
    """The field with the model that owns it, which may be one that the model inherits from. Raises KeyError."""
    key = concrete(state, key)
    if name == "pk":
        name = pk_name(state, key)
    try:
        own = own_name(state, key, name)
    except KeyError:
        for base in bases(state, key):
            try:
                return find_field(state, base, name)
            except KeyError:
                continue
        raise
    return key, own, model(state, key).fields[own]


def auto_through(field: Field) -> bool:
    """Whether Django itself makes the table of this many-to-many field."""
    return is_m2m(field) and not field.remote_field.through


def m2m_table(state: ProjectState, key: Key, name: str, field: Field) -> str:
    """The table that Django makes for a many-to-many field without `through`."""
    explicit = getattr(field, "db_table", None)
    if explicit:
        return str(explicit)
    return _shortened(f"{strip_quotes(table(state, key))}_{name}")


def m2m_columns(key: Key, field: Field) -> tuple[str, str]:
    """The two columns of that table: towards the model that has the field, and towards the other."""
    from_name = key[1]
    to_name = remote(field, key)[1]
    if from_name == to_name:
        return f"from_{from_name}_id", f"to_{to_name}_id"
    return f"{from_name}_id", f"{to_name}_id"


def m2m_target(state: ProjectState, key: Key, name: str, field: Field) -> Target:
    return Target(m2m_table(state, key, name, field))


def tables(state: ProjectState, key: Key) -> tuple[Target, ...]:
    """The model's own table, then those of its many-to-many fields."""
    return (
        Target(table(state, key)),
        *(
            m2m_target(state, key, name, field)
            for name, field in model(state, key).fields.items()
            if auto_through(field)
        ),
    )


def columns_of(state: ProjectState, key: Key, names: tuple[str, ...] | list[str]) -> tuple[Target, ...]:
    """The columns of the named fields; a composite key stands for its parts, an unknown name for the whole table."""
    found: list[Target] = []
    for name in names:
        try:
            owner, own, field = find_field(state, key, name)
        except KeyError:
            found.append(Target(table(state, key)))
            continue
        parts = getattr(field, "field_names", None)
        if parts:
            found.extend(columns_of(state, owner, tuple(parts)))
        elif named := column(field, own):
            found.append(Target(table(state, owner), named))
    return tuple(found)


def columns(state: ProjectState, key: Key) -> dict[str, str]:
    """Column → field name, for every column of the model's own table."""
    key = concrete(state, key)
    found = {}
    for name, field in model(state, key).fields.items():
        if named := column(field, name):
            found[named] = name
    pk = pk_name(state, key)
    if pk not in model(state, key).fields:
        found[f"{pk}_id" if pk.endswith("_ptr") else pk] = pk
    if model(state, key).options.get("order_with_respect_to"):
        found["_order"] = "_order"
    return found


def m2m_shape(state: ProjectState, key: Key) -> dict[tuple[Key, str], tuple[str, tuple[str, str]]]:
    """Every auto-created many-to-many table on either side of the model: (owner, field) → table and its columns."""
    found = {}
    for owner, owner_state in state.models.items():
        for name, field in owner_state.fields.items():
            if auto_through(field) and (owner == key or remote(field, owner) == key):
                found[owner, name] = (m2m_table(state, owner, name, field), m2m_columns(owner, field))
    return found
