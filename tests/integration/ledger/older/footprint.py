"""The footprint: what a release brings to one database.

The value is pure; `guard.schema.declared` builds it from the running project.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the models declare it."""

    type: str
    null: bool
    has_default: bool


@dataclass(frozen=True)
class Footprint:
    """Tables and columns that a release's models declare, and the migrations that it has on disk.

    `tables` is table → column → Column. `migrations` holds (app, name) pairs, squashes expanded: the names that a
    squash replaces are in it.
    """

    tables: Mapping[str, Mapping[str, Column]]
    migrations: frozenset[tuple[str, str]]

    def declares(self, table: str, column: str = "") -> bool:
        """Whether its models know the table (or the column of it). Case is folded: some databases fold it."""
        columns = self._folded.get(table.casefold())
        return columns is not None and (not column or column.casefold() in columns)

    def has_any(self, migrations: Iterable[tuple[str, str]]) -> bool:
        """Whether it has at least one of these migrations."""
        return not self.migrations.isdisjoint(migrations)

    def has_app(self, app: str) -> bool:
        """Whether it has any migration of the app."""
        return app in self._apps

    @cached_property
    def _folded(self) -> dict[str, frozenset[str]]:
        folded: dict[str, frozenset[str]] = {}
        for table, columns in self.tables.items():
            # Two tables may differ by case alone.
            name = table.casefold()
            folded[name] = folded.get(name, frozenset()).union(map(str.casefold, columns))
        return folded

    @cached_property
    def _apps(self) -> frozenset[str]:
        return frozenset(app for app, _ in self.migrations)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its canonical form, 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The canonical form: the same footprint always gives the same text."""
        return json.dumps(
            {
                "format": FORMAT,
                "tables": {
                    table: {name: [column.type, column.null, column.has_default] for name, column in columns.items()}
                    for table, columns in self.tables.items()
                },
                "migrations": sorted(self.migrations),
            },
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=True,
        )

    @classmethod
    def from_json(cls, text: str) -> Footprint:
        """Read what `to_json` wrote, by this guard or a newer one (unknown keys are left alone).

        Raises ValueError where it is something else.
        """
        data = json.loads(text)
        try:
            return cls(
                tables={
                    table: {name: Column(str(c[0]), bool(c[1]), bool(c[2])) for name, c in columns.items()}
                    for table, columns in data["tables"].items()
                },
                migrations=frozenset((app, name) for app, name in data["migrations"]),
            )
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError("not a footprint that this guard can read") from error
