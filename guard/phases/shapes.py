"""How a column's type changes, and which values of its field are constant enough to be a database default."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.core.exceptions import FieldError
from django.db import DatabaseError, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED
from django.utils.module_loading import import_string

from guard.phases import naming


class Change(StrEnum):
    """What a change of type means for the values that fit."""

    SAME = "same"
    #: Every old value still fits.
    WIDER = "wider"
    #: Every new value fitted before.
    NARROWER = "narrower"
    #: Values are converted, or some fit on each side alone.
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Shape:
    """A column's type, as far as code can tell: a family of interchangeable types, and bounds within it.

    Each bound is a pair (lowest, highest); a shape fits in another of its family where each bound lies within the
    other's.
    """

    family: str
    bounds: tuple[tuple[float, float], ...] = ()

    def fits(self, other: Shape) -> bool:
        return (
            self.family == other.family
            and len(self.bounds) == len(other.bounds)
            and all(o[0] <= s[0] and s[1] <= o[1] for s, o in zip(self.bounds, other.bounds, strict=True))
        )


_TEXT = frozenset({"CharField", "TextField", "SlugField", "FileField", "FilePathField"})
#: Text of so many characters, but on PostgreSQL, which has a type for it.
_ADDRESSES = {"IPAddressField": 15, "GenericIPAddressField": 39}


def compare(old: Shape, new: Shape) -> Change:
    """How `old` becomes `new`."""
    if old == new:
        return Change.SAME
    if old.fits(new):
        return Change.WIDER
    if new.fits(old):
        return Change.NARROWER
    return Change.OTHER


def target_of(state: ProjectState, key: naming.Key, field: naming.Field) -> tuple[naming.Key, str, naming.Field] | None:
    """The field that a foreign key points to, with its owner; None where the state does not have it."""
    to = next(iter(getattr(field, "to_fields", None) or [None]), None)
    try:
        key = naming.remote(field, key)
        return naming.find_field(state, key, to) if to else _primary_key(state, key)
    except (KeyError, LookupError):
        return None


def _primary_key(state: ProjectState, key: naming.Key) -> tuple[naming.Key, str, naming.Field]:
    key, name = naming.concrete(state, key), naming.pk_name(state, key)
    fields = naming.model(state, key).fields
    if name in fields:
        return key, name, fields[name]
    for base in naming.bases(state, key):
        # The link to the model that it inherits from, which nobody wrote.
        return _primary_key(state, base)
    return key, name, import_string(settings.DEFAULT_AUTO_FIELD)(primary_key=True)


def has_column(
    state: ProjectState, key: naming.Key, name: str, field: naming.Field, connection: BaseDatabaseWrapper
) -> bool:
    """Whether the field has a column on this database."""
    kind = type(field)
    if (
        kind.db_type is models.Field.db_type
        and kind.db_parameters.__module__ == models.Field.__module__
        # MySQL's types are asked of the server.
        and connection.vendor != "mysql"
        and field.get_internal_type() in connection.data_types
        and naming.column(field, name)
    ):
        # What Django would say, without working out what type it is.
        return True
    return db_type(state, key, name, field, connection) is not None


def db_type(
    state: ProjectState, key: naming.Key, name: str, field: naming.Field, connection: BaseDatabaseWrapper
) -> str | None:
    """The column's type on this database; None where the field has no column."""
    if naming.is_m2m(field) or not naming.column(field, name):
        return None
    if naming.is_foreign_key(field):
        target = target_of(state, key, field)
        if target is None:
            return "integer"
        owner, target_name, target_field = target
        if naming.is_foreign_key(target_field):
            return db_type(state, owner, target_name, target_field, connection)
        return str(naming.bound(target_field, target_name).rel_db_type(connection))
    named = naming.bound(field, name)
    try:
        return _written(named, connection)
    except (FieldError, AttributeError):
        # A generated field whose expression can only be resolved on a rendered model.
        return "generated"


def _written(named: naming.Field, connection: BaseDatabaseWrapper) -> str | None:
    """The type as DDL has it; the field's own name for it where the server that decides cannot be asked."""
    try:
        found = named.db_parameters(connection)["type"]
    except DatabaseError:
        # MySQL's and MariaDB's types differ, so Django asks the server which of them it is.
        return str(named.get_internal_type())
    return None if found is None else str(found)


def shape(
    state: ProjectState, key: naming.Key, name: str, field: naming.Field, connection: BaseDatabaseWrapper
) -> Shape:
    """What values the column takes."""
    if naming.is_foreign_key(field):
        target = target_of(state, key, field)
        if target is None:
            return Shape("unknown")
        owner, target_name, target_field = target
        return shape(state, owner, target_name, target_field, connection)
    if getattr(field, "generated", False):
        field = field.output_field
    return _shape(field, name, connection)


def _shape(field: naming.Field, name: str, connection: BaseDatabaseWrapper) -> Shape:
    base = getattr(field, "base_field", None)
    if base is not None and isinstance(base, models.Field):
        inner = _shape(base, name, connection)
        return Shape(f"{type(field).__name__}[{inner.family}]", inner.bounds)
    # A field class with a type of its own is known by that type alone.
    if type(field).db_type is models.Field.db_type or type(field).__module__.startswith("django.db.models."):
        internal = field.get_internal_type()
        if internal in _TEXT:
            unlimited = connection.vendor == "sqlite" or internal == "TextField" or field.max_length is None
            return Shape("text", ((0, math.inf if unlimited else _size(field.max_length)),))
        if internal in _ADDRESSES and connection.vendor != "postgresql":
            return Shape("text", ((0, math.inf if connection.vendor == "sqlite" else _ADDRESSES[internal]),))
        if internal == "DecimalField":
            if connection.vendor == "sqlite":
                return Shape("decimal")
            digits, places = getattr(field, "max_digits", None), getattr(field, "decimal_places", None)
            if digits is None or places is None:
                return Shape("decimal", ((0, math.inf), (0, math.inf)))
            return Shape("decimal", ((0, _size(digits) - _size(places)), (0, _size(places))))
        try:
            low, high = connection.ops.integer_field_range(internal)
        except KeyError:
            pass
        else:
            if "Integer" in internal or "Auto" in internal:
                return Shape("integer", ((-math.inf if low is None else low, math.inf if high is None else high),))
    return Shape(_written(naming.bound(field, name), connection) or "")


def _size(written: Any) -> float:
    """A size as the database reads it: some migrations have it as a text, which Django puts into the type as it is."""
    try:
        return int(written)
    except (TypeError, ValueError):
        return math.nan


_CONSTANT_CALLABLES = (dict, list, set, tuple, str, int, float, bool)


def constant(field: naming.Field) -> tuple[bool, Any]:
    """Whether the field's default is one value for every row, and that value.

    What Django would fill existing rows with: the static `default`, else the empty string of a blank text field. A
    callable default may give another value each time it is asked, unless it is an empty built-in value.
    """
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        return False, None
    if field.default is not NOT_PROVIDED:
        if callable(field.default):
            return (True, field.default()) if field.default in _CONSTANT_CALLABLES else (False, None)
        return field.default is not None, field.default
    if not field.null and field.blank and field.empty_strings_allowed:
        return True, b"" if field.get_internal_type() == "BinaryField" else ""
    return False, None


def default_storable(field: naming.Field, name: str, connection: BaseDatabaseWrapper) -> bool:
    """Whether the database lets a column of this type have a default."""
    if connection.vendor != "mysql" or naming.is_foreign_key(field):
        return True
    # MariaDB and MySQL 8.0.13 take defaults for TEXT, BLOB and JSON; no version takes one for a spatial type.
    return (_written(naming.bound(field, name), connection) or "").lower() not in _SPATIAL


_SPATIAL = frozenset(
    {
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geometrycollection",
    }
)
