"""Types of columns as models and as catalogs write them, read so that the two can be compared."""

from __future__ import annotations

import re
from functools import lru_cache

_TYPE = re.compile(r"([a-z_ ]+)(?:\(([\d\s,]+)\))?([a-z_ ]*)((?:\[\d*\])*)")

_COMMON = {
    "char": "char",
    "character": "char",
    "varchar": "varchar",
    "character varying": "varchar",
    "text": "text",
    "integer": "int",
    "int": "int",
    "smallint": "smallint",
    "bigint": "bigint",
    "numeric": "decimal",
    "decimal": "decimal",
    "date": "date",
    "time": "time",
    "uuid": "uuid",
}
#: One word per kind of type, for those whose words are known. What is not here is not compared.
_WORDS = {
    "postgresql": _COMMON
    | {
        "boolean": "bool",
        "bool": "bool",
        "double precision": "double",
        "real": "real",
        "bytea": "bytea",
        "inet": "inet",
        "jsonb": "jsonb",
        "interval": "interval",
        "timestamp with time zone": "timestamptz",
        "timestamp without time zone": "timestamp",
        "time without time zone": "time",
        "serial": "int",
        "bigserial": "bigint",
        "smallserial": "smallint",
    },
    "mysql": _COMMON
    | {
        "bool": "tinyint",
        "tinyint": "tinyint",
        "double precision": "double",
        "double": "double",
        "datetime": "datetime",
        "longtext": "longtext",
        "longblob": "longblob",
        # MariaDB's JSON is another name of its LONGTEXT.
        "json": "longtext",
    },
    "sqlite": _COMMON
    | {
        "bool": "bool",
        "real": "real",
        "datetime": "datetime",
        "blob": "blob",
    },
}
#: Kinds whose numbers in parentheses are part of what they hold; with the others they only say how to print.
_SIZED = frozenset({"char", "varchar", "decimal", "datetime"})


@lru_cache(maxsize=1024)
def read(text: str, vendor: str) -> tuple[str, ...] | None:
    """What a type comes to: its kind, its size and what is said after it. None where it is not known."""
    found = _TYPE.fullmatch(" ".join(text.lower().split()))
    words = _WORDS.get(vendor)
    if found is None or words is None:
        return None
    before, size, after, arrays = found.groups()
    spoken = f"{before} {after}".split()
    unsigned = "unsigned" if "unsigned" in spoken else ""
    kind = words.get(" ".join(word for word in spoken if word not in ("unsigned", "auto_increment", "autoincrement")))
    if kind is None:
        return None
    bounds = re.sub(r"\s", "", size or "") if kind in _SIZED else ""
    return kind, bounds, unsigned, arrays
