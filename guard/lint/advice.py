"""How the migrations of one deploy go together: what each of them may do, and their combination should not."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.migrations import Migration
from django.db.migrations import operations as ops
from django.db.migrations.operations.base import Operation

from guard.lint.finding import Finding, Level, documented
from guard.phases.plan import MigrationJudgement
from guard.phases.words import Disposition, Judgement, Phase, Target

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Spot:
    """An operation in its place in the plan."""

    position: int
    index: int
    migration: Migration
    operation: Operation
    judgement: Judgement

    @property
    def key(self) -> Key:
        return self.migration.app_label, self.migration.name

    @property
    def name(self) -> str:
        return ".".join(self.key)


def advise(
    migrations: Sequence[Migration],
    judged: Sequence[MigrationJudgement],
    *,
    ancestors: Callable[[Key], Collection[Key]],
    vendor: str,
) -> list[Finding]:
    """Findings about migrations that are applied in one deploy, in their order.

    `ancestors` gives the migrations that one depends on, directly or through others.
    """
    if all(map(_is_plain, migrations, judged)):
        return []
    spots = [
        _Spot(position, index, migration, operation, judgement)
        for position, (migration, its) in enumerate(zip(migrations, judged, strict=True))
        for index, (operation, judgement) in enumerate(zip(migration.operations, its.operations, strict=True))
    ]
    return [
        *_tightened_at_once(spots),
        *_undeclared_order(spots, ancestors),
        *_late_writes(spots),
        *_mixed(migrations, judged, vendor),
        *(_locking(spots) if vendor == "postgresql" else ()),
    ]


def _is_plain(migration: Migration, judged: MigrationJudgement) -> bool:
    """Whether it does no more than make things of which no finding here can be."""
    return judged.phase is Phase.EXPAND and all(
        type(operation) in (ops.AddField, ops.CreateModel) for operation in migration.operations
    )


def _finding(check: str, spot: _Spot, message: str, hint: str, *targets: Target) -> Finding:
    return Finding(
        id=check,
        level=Level.WARNING,
        message=message,
        hint=documented(check, hint),
        app=spot.key[0],
        migration=spot.key[1],
        operation=spot.index,
        targets=tuple(map(str, targets)),
        phase=spot.judgement.phase,
        disposition=spot.judgement.disposition,
    )


def _tightened_at_once(spots: Sequence[_Spot]) -> Iterator[Finding]:
    """W104: expand and contract of one column in one deploy, where `migrate` cannot do both."""
    made: dict[Target, _Spot] = {}
    for spot in spots:
        judgement = spot.judgement
        if judgement.phase is Phase.CONTRACT and not _filled(spot):
            for target in dict.fromkeys((*judgement.takes, *judgement.names)):
                if target in made:
                    yield _finding(
                        "guard.W104",
                        spot,
                        f"{spot.name} takes something from old code about {target}, which {made[target].name} makes in "
                        f"the same deploy. {judgement.what}.",
                        _until_required(spot.operation)
                        if judgement.disposition is Disposition.SPLIT
                        else "Move it to a migration of a later deploy, when every instance that is deployed knows the "
                        "column.",
                        target,
                    )
        for target in judgement.makes:
            if target.column:
                made[target] = spot


def _filled(spot: _Spot) -> bool:
    """Whether a column is required in two steps, and has a default for the rows that old code inserts between them."""
    operation = spot.operation
    if spot.judgement.disposition is not Disposition.SPLIT or not isinstance(operation, ops.AlterField):
        return False
    # One default cannot fill several rows of a unique column.
    return bool(operation.field.has_default() or operation.field.has_db_default()) and not operation.field.unique


def _until_required(operation: Operation) -> str:
    later = "move it to a migration of a later deploy."
    if getattr(getattr(operation, "field", None), "unique", False):
        return f"Fill the rows that old code inserts meanwhile, each with a value of its own, or {later}"
    return f"Give the field a default, with which the rows are filled that old code inserts meanwhile, or {later}"


def _undeclared_order(spots: Sequence[_Spot], ancestors: Callable[[Key], Collection[Key]]) -> Iterator[Finding]:
    """W105: a contract migration that does not depend on its expand migration."""
    widened: dict[Target, list[_Spot]] = {}
    for spot in spots:
        if spot.judgement.phase is Phase.EXPAND:
            for target in (*spot.judgement.makes, *spot.judgement.names):
                widened.setdefault(target, []).append(spot)
    told = set()
    for spot in spots:
        judgement = spot.judgement
        if judgement.phase not in (Phase.CONTRACT, Phase.UNSAFE):
            continue
        for target in dict.fromkeys((*judgement.takes, *judgement.names)):
            for other in (*widened.get(target, ()), *(widened.get(Target(target.table), ()) if target.column else ())):
                pair = (spot.key, other.key)
                if other.key == spot.key or pair in told or other.key in ancestors(spot.key):
                    continue
                if spot.key in ancestors(other.key):
                    continue
                told.add(pair)
                yield _finding(
                    "guard.W105",
                    spot,
                    f"{spot.name} takes something from old code about {target} and does not depend on {other.name}, "
                    "which makes room for it: they may run in either order.",
                    f"Add ({other.key[0]!r}, {other.key[1]!r}) to the dependencies of {spot.name}.",
                    target,
                )


def _late_writes(spots: Sequence[_Spot]) -> Iterator[Finding]:
    """W106: a data migration reads a column that the same deploy removes."""
    copies = [(spot, words) for spot in spots if (words := _words(spot.operation))]
    for spot in spots if copies else ():
        for model, name, takes in _removed(spot):
            for copy, words in copies:
                if copy.position > spot.position or (copy.position == spot.position and copy.index > spot.index):
                    continue
                if name in words or any(target.column in words for target in takes if target.column):
                    yield _finding(
                        "guard.W106",
                        copy,
                        f"{copy.name} reads {model}.{name}, which {spot.name} removes in the same deploy: what "
                        "old code writes there after the copy, new code will never see.",
                        "Let one deploy write both fields and copy, and a later one remove the old field.",
                        *takes,
                    )


def _removed(spot: _Spot) -> Iterator[tuple[str, str, tuple[Target, ...]]]:
    """The fields that an operation takes from old code, each with its model and its column."""
    operation = spot.operation
    if isinstance(operation, ops.RemoveField) and spot.judgement.takes:
        yield f"{spot.key[0]}.{operation.model_name}", operation.name, spot.judgement.takes


def _words(operation: Operation) -> frozenset[str]:
    """The names that a data migration uses: attributes, keywords and strings of its code, or words of its SQL."""
    if isinstance(operation, ops.RunSQL):
        return frozenset(_sql_words(operation.sql))
    if not isinstance(operation, ops.RunPython) or operation.code is ops.RunPython.noop:
        return frozenset()
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(operation.code)))
    except (OSError, TypeError, SyntaxError):
        # Compiled files only, a class's instance, or code that was made while it ran.
        return frozenset()
    return frozenset(_python_words(tree))


def _python_words(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield from node.arg.split("__")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"[^\W_]\w*?(?=__|\b)", node.value)


def _sql_words(sql: object) -> Iterator[str]:
    texts: list[Any] = [sql] if isinstance(sql, str) else list(sql) if isinstance(sql, (list, tuple)) else []
    for item in texts:
        text = str(item[0] if isinstance(item, (list, tuple)) and item else item)
        # Only what reads rows can copy them.
        if re.search(r"\b(update|insert|select|merge|replace)\b", text, re.IGNORECASE):
            yield from re.findall(r"\w+", text)


def _changes_data(operation: Operation) -> bool:
    if isinstance(operation, ops.RunPython):
        return operation.code is not ops.RunPython.noop
    return isinstance(operation, ops.RunSQL) and any(
        re.match(r"\s*(update|insert|delete|merge|replace)\b", text, re.IGNORECASE) for text in _texts(operation.sql)
    )


def _texts(sql: object) -> list[str]:
    items: list[Any] = [sql] if isinstance(sql, str) else list(sql) if isinstance(sql, (list, tuple)) else []
    return [str(item[0] if isinstance(item, (list, tuple)) and item else item) for item in items]


def _mixed(migrations: Sequence[Migration], judged: Sequence[MigrationJudgement], vendor: str) -> Iterator[Finding]:
    """W107: data and schema changes in one transaction, where there is one."""
    if vendor == "mysql":
        return
    new: set[str] = set()
    for position, (migration, its) in enumerate(zip(migrations, judged, strict=True)):
        data = [index for index, operation in enumerate(migration.operations) if _changes_data(operation)]
        schema = [
            target
            for index, judgement in enumerate(its.operations)
            if index not in data
            for target in (*judgement.takes, *judgement.makes, *judgement.names)
            if judgement.phase not in (Phase.NEUTRAL, Phase.OPAQUE) and target.column and target.table not in new
        ]
        new |= {target.table for judgement in its.operations for target in judgement.makes if not target.column}
        schema = [target for target in schema if target.table not in new]
        if data and schema and migration.atomic:
            target = schema[0]
            spot = _Spot(position, data[0], migration, migration.operations[data[0]], its.operations[data[0]])
            yield _finding(
                "guard.W107",
                spot,
                f"{spot.name} changes data and the table {target.table} in one transaction: the table stays locked "
                "until all the data is done.",
                "Put the data into a migration of its own.",
                target,
            )


def _locking(spots: Sequence[_Spot]) -> Iterator[Finding]:
    """W108: an index that PostgreSQL builds while writes to the table wait."""
    new: set[str] = set()
    for spot in spots:
        new |= {target.table for target in spot.judgement.makes if not target.column}
        how = _builds_index(spot.operation, spot.judgement)
        table = next((target.table for target in (*spot.judgement.names, *spot.judgement.makes)), "")
        if how and table and table not in new:
            yield _finding(
                "guard.W108",
                spot,
                f"{spot.name} builds an index on {table}: writes to the table wait until it is done.",
                how,
                *spot.judgement.names,
            )


def _builds_index(operation: Operation, judgement: Judgement) -> str:
    """How to do it without the lock; empty where no index is built."""
    if type(operation) is ops.AddIndex:
        return "Use AddIndexConcurrently of django.contrib.postgres.operations, in a migration with atomic = False."
    if isinstance(operation, ops.AddConstraint) and isinstance(operation.constraint, models.UniqueConstraint):
        return (
            "Create the unique index with CREATE UNIQUE INDEX CONCURRENTLY first (RunSQL, atomic = False), "
            "then let the constraint use it."
        )
    if isinstance(operation, ops.AlterField) and "makes it unique" in judgement.what:
        return "Create the unique index with CREATE UNIQUE INDEX CONCURRENTLY first (RunSQL, atomic = False)."
    return ""
