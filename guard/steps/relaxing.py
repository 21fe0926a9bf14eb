"""Decides how a column is relaxed, so that new code can insert and delete beside what only old code knows. Pure.

A leftover that nobody new writes must not stand in the way of new code: it needs a value that the database gives by
itself, and a foreign key that does not forbid deleting the parent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import models

from guard.steps.ddl import ColumnFacts


class NoDefault:
    """A field has no default that the database could give."""


NO_DEFAULT = NoDefault()

#: Callables that give the same value each time, in every process.
_CONSTANT_CALLABLES = frozenset({dict, list, set, tuple, str, int, float, bool, bytes})


@dataclass(frozen=True, slots=True)
class Relaxing:
    """What the expand step of a removal changes."""

    allow_null: bool
    set_default: bool
    #: Foreign keys become ON DELETE SET NULL.
    release_parents: bool
    #: The default that the database has would be the same for each row of new code.
    drop_default: bool = False

    @property
    def may_read_null(self) -> bool:
        """Whether old code may from now on read NULL where it never did."""
        return self.allow_null


def static_default(field: models.Field[Any, Any]) -> object:
    """The constant that the field's own definition gives for a row without a value, or NO_DEFAULT.

    A callable counts only where it always gives the same: `timezone.now` does not, and neither does `date.today`.
    """
    if field.has_default():
        default = field.default
        if default is None and not field.null:
            # Said to demand a value: the database cannot give this one.
            return NO_DEFAULT
        if not callable(default):
            return default
        return default() if default in _CONSTANT_CALLABLES else NO_DEFAULT
    if not field.null and field.blank and field.empty_strings_allowed:
        return b"" if field.get_internal_type() == "BinaryField" else ""
    return NO_DEFAULT


def is_constant(db_default: object) -> bool:
    """Whether a field's `db_default` gives each row the same value."""
    return isinstance(db_default, models.Value) or not hasattr(db_default, "resolve_expression")


def relaxing(found: ColumnFacts, *, unique: bool, has_static_default: bool, repeats: bool = False) -> Relaxing:
    """What must change for a column as it was found. `repeats`: the default that it has is one value for all rows.

    A default would let only one more row into a unique column, and would name a parent that may be gone: these two
    allow NULL instead.
    """
    keyed = any(key.on_delete != "SET NULL" for key in found.foreign_keys)
    needs_value = not found.null and (found.default is None or bool(found.foreign_keys) or unique)
    by_default = needs_value and has_static_default and not unique and not found.foreign_keys
    return Relaxing(
        allow_null=needs_value and not by_default,
        set_default=by_default,
        drop_default=unique and repeats and found.default is not None,
        release_parents=keyed,
    )
