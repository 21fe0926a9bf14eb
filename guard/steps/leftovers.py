"""What a contract step takes away, a column or a table, behind one face for those who take it and give it back."""

from __future__ import annotations

import abc

from guard.ledger import rows
from guard.steps import leftover, leftover_table
from guard.steps.ddl import ColumnFacts, Ddl, TableFacts


class Leftover(abc.ABC):
    """The target of one step, in one database."""

    def __init__(self, ddl: Ddl, step: rows.Step) -> None:
        self.ddl = ddl
        self.step = step

    @abc.abstractmethod
    def exists(self, name: str = "") -> bool:
        """Whether it is there under its own name, or under the one that it has set aside."""

    @abc.abstractmethod
    def as_left(self) -> bool:
        """Whether it is as the expand step left it."""

    @property
    @abc.abstractmethod
    def aside_name(self) -> str:
        """The name under which it is set aside: unique by the step's id, within the vendor's limit of bytes."""

    @abc.abstractmethod
    def plan_aside(self) -> rows.Step:
        """The step with what `set_aside` will rename in its payload: the way back, to be written first."""

    @abc.abstractmethod
    def set_aside(self, name: str) -> None:
        """Rename it out of the way."""

    @abc.abstractmethod
    def bring_back(self) -> None:
        """Undo `set_aside`."""

    @abc.abstractmethod
    def name_parts_back(self) -> None:
        """The second half of `bring_back`, where the first has been done. Safe to repeat."""

    @abc.abstractmethod
    def erase(self) -> None:
        """Drop what is set aside."""


class _Column(Leftover):
    def exists(self, name: str = "") -> bool:
        return self.ddl.facts(self.step.table, name or self.step.column) is not None

    def as_left(self) -> bool:
        left, now = self.step.payload.get("left"), self.ddl.facts(self.step.table, self.step.column)
        if left is None or now is None:
            return False
        before = ColumnFacts.from_json(left)
        # A step for its foreign keys may have come before that for its default.
        return before.same_but_keys(now) if self.step.kind is rows.StepKind.DEFAULT else before.still_there(now)

    @property
    def aside_name(self) -> str:
        return leftover.aside_name(self.step, self.ddl.connection.ops.max_name_length())

    def plan_aside(self) -> rows.Step:
        return leftover.plan_aside(self.ddl, self.step)

    def set_aside(self, name: str) -> None:
        leftover.set_aside(self.ddl, self.step, name)

    def bring_back(self) -> None:
        leftover.bring_back(self.ddl, self.step)

    def name_parts_back(self) -> None:
        leftover.name_parts_back(self.ddl, self.step)

    def erase(self) -> None:
        leftover.erase(self.ddl, self.step)


class _Table(Leftover):
    def exists(self, name: str = "") -> bool:
        return bool(self.ddl.columns(name or self.step.table))

    def as_left(self) -> bool:
        left, now = self.step.payload.get("left"), self.ddl.table_facts(self.step.table)
        if left is None or now is None:
            return False
        before = TableFacts.from_json(left).columns
        # A column that was set aside before the table was removed may have been erased since.
        here = {name: facts for name, facts in now.columns.items() if name in before or not leftover.is_aside(name)}
        gone = [name for name in before if name not in here and not leftover.is_aside(name)]
        return not gone and all(name in before and before[name].still_there(facts) for name, facts in here.items())

    @property
    def aside_name(self) -> str:
        limit = self.ddl.connection.ops.max_name_length()
        return leftover.within(f"guard_{self.step.id}_{self.step.table}", limit)

    def plan_aside(self) -> rows.Step:
        return leftover_table.plan_aside(self.ddl, self.step)

    def set_aside(self, name: str) -> None:
        leftover_table.set_aside(self.ddl, self.step, name)

    def bring_back(self) -> None:
        leftover_table.bring_back(self.ddl, self.step)

    def name_parts_back(self) -> None:
        leftover_table.name_parts_back(self.ddl, self.step)

    def erase(self) -> None:
        leftover_table.erase(self.ddl, self.step)


def of(ddl: Ddl, step: rows.Step) -> Leftover:
    """The target of a step that removes a column or a table, or that is about a column's default."""
    return (_Table if step.kind is rows.StepKind.TABLE else _Column)(ddl, step)
