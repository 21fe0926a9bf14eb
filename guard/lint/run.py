"""Judges the migrations on disk, without a database."""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration

from guard import conf
from guard.lint import advice, finding, mentions, offline
from guard.lint.finding import Finding
from guard.lint.history import History, Key
from guard.phases import plan
from guard.phases.words import Phase


@dataclass(slots=True)
class Result:
    """What was looked at, and what was found."""

    findings: list[Finding] = field(default_factory=list)
    migrations: int = 0
    #: Operations by phase.
    phases: Counter[Phase] = field(default_factory=Counter)

    @property
    def opaque(self) -> float:
        """The share of operations that guard cannot look into, from 0 to 1."""
        return self.phases[Phase.OPAQUE] / (sum(self.phases.values()) or 1)


def lint(
    history: History,
    *,
    aliases: Sequence[str],
    wanted: Collection[Key],
    config: conf.Config,
    together: bool,
    named: bool = True,
) -> Result:
    """Judge the wanted migrations: `together`, as one deploy brings them, or each as if it were deployed alone.

    `named`: look for places in the project's code that name what they take away.
    """
    result = Result()
    seen: set[tuple[object, ...]] = set()
    for alias in aliases:
        connection = offline.connection(alias)
        for migrations, judged in _plans(history, wanted, together, connection, config):
            advised = advice.advise(migrations, judged, ancestors=history.ancestors, vendor=connection.vendor)
            mine = [judgement for judgement in judged if (judgement.app, judgement.name) in wanted]
            if alias == aliases[0]:
                result.migrations += len(mine)
                result.phases.update(operation.phase for j in mine for operation in j.operations)
            for found in (*finding.of_judgements(mine), *advised):
                key = (found.id, found.name, found.operation, found.message)
                if (found.app, found.migration) in wanted and key not in seen:
                    seen.add(key)
                    result.findings.append(_placed(found, history))
    if named:
        result.findings += mentions.mentions(history, result.findings)
    return result


_Judged = tuple[Sequence[Migration], Sequence[plan.MigrationJudgement]]


def _plans(
    history: History, wanted: Collection[Key], together: bool, connection: BaseDatabaseWrapper, config: conf.Config
) -> Iterator[_Judged]:
    """Migrations that are deployed together, judged: all that are not applied, or each that is wanted by itself."""
    state = history.start()
    if not together:
        everything = (plan.unfolded(history.migration(key)) for key in history.order)
        for migration, judgement in plan.judge_each(
            everything, state, connection=connection, strategy=config.strategy, declared=config.phases
        ):
            if (migration.app_label, migration.name) in wanted:
                yield [migration], [judgement]
        return
    pending = []
    for key in history.order:
        if key in history.old:
            state = history.migration(key).mutate_state(state, preserve=False)
        else:
            # Those that nobody asked about come along: they may make what the others need.
            pending.append(plan.unfolded(history.migration(key)))
    yield (
        pending,
        plan.judge_plan(
            pending,
            state,
            connection=connection,
            strategy=config.strategy,
            alias=connection.alias,
            declared=config.phases,
        ),
    )


def _placed(found: Finding, history: History) -> Finding:
    """The finding with the file and the line of its operation."""
    migration = history.migration((found.app, found.migration))
    path = getattr(sys.modules.get(migration.__module__), "__file__", None) or ""
    lines = _lines(path, len(migration.operations)) if path.endswith(".py") else ()
    places = plan.places(migration) if lines and found.operation >= 0 else ()
    line = lines[places[found.operation]] if 0 <= found.operation < len(places) else 1
    return dataclasses.replace(found, path=path, line=line)


#: An operation as `makemigrations` and formatters lay it out, and where the list of them begins and ends.
_LAID_OUT = re.compile(r"^        [\w.]+\(", re.MULTILINE)
_BEGINS, _ENDS = "\n    operations = [\n", "\n    ]"


@lru_cache(maxsize=64)
def _lines(path: str, count: int) -> tuple[int, ...]:
    """The lines on which a migration's operations begin, `count` of them; empty where no plain list has them all."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        # Parsing every file that has a finding would cost as much as importing it did.
        begin = text.find(_BEGINS)
        end = text.find(_ENDS, begin)
        if 0 <= begin < end and text.count(_BEGINS) == 1:
            found = [match.start() for match in _LAID_OUT.finditer(text, begin + len(_BEGINS), end)]
            if len(found) == count:
                return tuple(text.count("\n", 0, start) + 1 for start in found)
        tree = ast.parse(text)
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ()
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Migration":
            for statement in node.body:
                named = isinstance(statement, ast.Assign) and any(
                    isinstance(target, ast.Name) and target.id == "operations" for target in statement.targets
                )
                if named and isinstance(statement, ast.Assign) and isinstance(statement.value, (ast.List, ast.Tuple)):
                    listed = tuple(element.lineno for element in statement.value.elts)
                    # The list may be unpacked from others, or grow behind its assignment.
                    return listed if len(listed) == count else ()
    return ()
