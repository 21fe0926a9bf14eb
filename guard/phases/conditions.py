"""Whether a check constraint can turn down a row whose new columns are left to their defaults.

Old code does not name a column that it does not know. A constraint over such columns matters to it only if the values
that the database fills in can violate it, whatever the other columns hold. Three-valued, as SQL is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeAlias

from django.db import models
from django.db.models.constants import LOOKUP_SEP


class Truth(Enum):
    TRUE = "true"
    FALSE = "false"
    #: SQL's NULL, which a check constraint accepts.
    NULL = "null"


#: What a condition may come out as.
Outcomes: TypeAlias = frozenset[Truth]

ANY: Outcomes = frozenset(Truth)
_SURE = frozenset({Truth.TRUE, Truth.FALSE})


class _Unknown:
    """A value that cannot be told: what old code writes, or what an expression gives."""


UNKNOWN = _Unknown()

_COMPARING: Mapping[str, Callable[[Any, Any], bool]] = {
    "exact": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def accepts(condition: Any, values: Mapping[str, Any]) -> bool:
    """Whether the condition cannot be false where the named fields have these values and others have any."""
    return Truth.FALSE not in _outcomes(condition, values)


def _outcomes(condition: Any, values: Mapping[str, Any]) -> Outcomes:
    if not isinstance(condition, models.Q):
        return ANY
    parts = [
        _lookup(child[0], child[1], values) if isinstance(child, tuple) else _outcomes(child, values)
        for child in condition.children
    ]
    found: Outcomes
    if condition.connector == models.Q.AND:
        found = _joined(parts, Truth.FALSE, Truth.TRUE)
    elif condition.connector == models.Q.OR:
        found = _joined(parts, Truth.TRUE, Truth.FALSE)
    else:
        return ANY
    return frozenset(map(_negated, found)) if condition.negated else found


def _joined(parts: list[Outcomes], decisive: Truth, neutral: Truth) -> Outcomes:
    """AND with FALSE decisive, OR with TRUE decisive: one is enough, else one NULL makes it NULL."""
    found: Outcomes = frozenset({neutral})
    for part in parts:
        found = frozenset(_both(left, right, decisive, neutral) for left in found for right in part)
    return found


def _both(left: Truth, right: Truth, decisive: Truth, neutral: Truth) -> Truth:
    if decisive in (left, right):
        return decisive
    return Truth.NULL if Truth.NULL in (left, right) else neutral


def _negated(truth: Truth) -> Truth:
    return {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE, Truth.NULL: Truth.NULL}[truth]


def _value(side: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(side, models.F):
        return values.get(str(getattr(side, "name", "")), UNKNOWN)
    if isinstance(side, models.Value):
        return side.value
    if hasattr(side, "resolve_expression"):
        return UNKNOWN
    return side


def _lookup(path: str, right: Any, values: Mapping[str, Any]) -> Outcomes:
    name, _, lookup = path.partition(LOOKUP_SEP)
    lookup = lookup or "exact"
    left = values.get(name, UNKNOWN)
    if lookup == "isnull" or (lookup == "exact" and right is None):
        if left is UNKNOWN:
            return _SURE
        asked = bool(right) if lookup == "isnull" else True
        return frozenset({Truth.TRUE if (left is None) is asked else Truth.FALSE})
    if left is None:
        # Every comparison with NULL is NULL.
        return frozenset({Truth.NULL})
    if lookup in ("in", "range") and isinstance(right, (list, tuple, set, frozenset)):
        members = [_value(member, values) for member in right]
        if left is UNKNOWN or any(member is UNKNOWN or member is None for member in members):
            return ANY
        return _compared(_within if lookup == "range" else operator.contains, members, left)
    compare = _COMPARING.get(lookup)
    given = _value(right, values)
    if given is None:
        return frozenset({Truth.NULL})
    if compare is None or left is UNKNOWN or given is UNKNOWN:
        return ANY
    return _compared(compare, left, given)


def _within(bounds: Any, value: Any) -> bool:
    return bool(bounds[0] <= value <= bounds[1])


def _compared(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> Outcomes:
    try:
        return frozenset({Truth.TRUE if compare(left, right) else Truth.FALSE})
    except (TypeError, IndexError):
        return ANY
