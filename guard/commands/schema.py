"""JSON Schemas (2020-12) of what the verbs say with `--json`, made from their types."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def of(answer: type, *, title: str) -> dict[str, Any]:
    """The schema of one verb's answer; its parts are in $defs, by their names."""
    parts: dict[str, Any] = {}
    top = _object(answer, parts)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **top,
        **({"$defs": dict(sorted(parts.items()))} if parts else {}),
    }


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema, which takes no key that it does not name: for tests of what this version writes."""
    return {
        **schema,
        "additionalProperties": False,
        "$defs": {name: {**part, "additionalProperties": False} for name, part in schema.get("$defs", {}).items()},
    }


def hints(answer: type) -> dict[str, Any]:
    """The types of a part's keys, with what is said of them."""
    return get_type_hints(answer, include_extras=True)


def of_hint(hint: Any) -> dict[str, Any]:
    """The schema of one key; parts are referred to."""
    return _of(hint, {})


def _object(answer: type, parts: dict[str, Any]) -> dict[str, Any]:
    keys = hints(answer)
    return {
        "description": (answer.__doc__ or "").strip(),
        "type": "object",
        "properties": {key: _of(hint, parts) for key, hint in keys.items()},
        "required": sorted(keys),
    }


def _of(hint: Any, parts: dict[str, Any]) -> dict[str, Any]:
    if get_origin(hint) is Annotated:
        inner, *said = get_args(hint)
        return {**_of(inner, parts), "description": " ".join(said)}
    if is_typeddict(hint):
        if hint.__name__ not in parts:
            parts[hint.__name__] = {}
            parts[hint.__name__] = _object(hint, parts)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0], parts)}
    if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
        value = arguments[1]
        return {"type": "object", **({} if value is Any else {"additionalProperties": _of(value, parts)})}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(each, parts) for each in arguments]}
    return {"type": _PLAIN[hint]}
