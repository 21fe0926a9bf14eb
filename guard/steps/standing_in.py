"""What every stand-in of an operation has: all that the original carries, and the migration that it works for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from django.db import models
from django.db.migrations.operations.base import Operation

from guard.steps.report import Report
from guard.steps.slating import Pair


@dataclass(frozen=True, slots=True)
class Author:
    """The migration that a stand-in works for."""

    migration: Pair
    replaced_by: tuple[Pair, ...]
    report: Report
    #: By name: models that the migration deletes, as they were before it took anything from them.
    originals: dict[str, type[models.Model]] = field(default_factory=dict)
    #: Names of models whose table unapplying has given back.
    returned: set[str] = field(default_factory=set)

    @property
    def names(self) -> tuple[Pair, ...]:
        """The migration, and every recorded replacement of it."""
        return (self.migration, *self.replaced_by)


class StandIn(Operation):
    """A base of the stand-ins that derive from the operation for which they stand in."""

    author: Author

    @classmethod
    def standing_in_for(cls, operation: Operation, author: Author) -> Self:
        """The stand-in, with all that the original carries: its arguments, router hints, a phase set by hand."""
        stand_in = cls.__new__(cls)
        stand_in.__dict__.update(operation.__dict__)
        stand_in.author = author
        return stand_in
