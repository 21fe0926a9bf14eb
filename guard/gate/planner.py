"""Decides what a plan's migrations do under guard: run as they are, run with stand-ins, wait, or refuse the plan.

It reads the ledger and may slate steps there (a held migration, a held removal); it changes nothing else.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.core.management.base import CommandError
from django.db import IntegrityError, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import (
    AddField,
    AddIndex,
    AlterField,
    AlterIndexTogether,
    AlterModelOptions,
    AlterModelTable,
    AlterUniqueTogether,
    CreateModel,
    DeleteModel,
    Migration,
    RemoveConstraint,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameIndex,
    RenameModel,
    SeparateDatabaseAndState,
)
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard import conf
from guard.gate import contract, evidence, messages, verdict
from guard.gate.copies import Copies
from guard.ledger import protocol, rows
from guard.ledger.store import Ledger
from guard.ledger.tables import Conflict
from guard.phases import defaults, naming, relations, rules, shapes
from guard.phases import plan as phases_plan
from guard.phases.plan import MigrationJudgement
from guard.phases.words import Disposition, Judgement, Phase, Target
from guard.schema import catalog
from guard.steps import delete_model, leftover, leftovers, loose_keys, slating
from guard.steps.add_field import KeepDefaultAddField, NamedAgainAddField, ReclaimField
from guard.steps.alter_field import SteppedAlterField, SteppedRenameField
from guard.steps.companion import MAKING, Companion, MakeMissing
from guard.steps.ddl import ddl_for
from guard.steps.relaxing import NO_DEFAULT, NoDefault, static_default
from guard.steps.remove_field import SplitRemoveField
from guard.steps.report import Report
from guard.steps.standing_in import Author

Key = tuple[str, str]


#: What makes another thing of a column, or of a whole table,
_REMAKES = (AlterField, RenameField, RenameModel, AlterModelTable, RemoveField, DeleteModel)

#: and of these what finds it as it is declared by itself.
_SPLIT = (SplitRemoveField, delete_model.SplitDeleteModel, delete_model.SplitRemoveManyToMany)

#: Where Django's operations on models and fields come from: none of them touches what others have made.
_PLAIN = {CreateModel.__module__, AddField.__module__}


@dataclass(slots=True)
class Session:
    """One plan under guard."""

    ledger: Ledger
    config: conf.Config
    me: evidence.Taker
    report: Report = field(default_factory=Report)
    #: Copies of migrations with stand-ins, by key.
    stand_ins: dict[Key, Migration] = field(default_factory=dict)
    #: Held migrations whose verdict was clear when the plan began: the gate asks again before each.
    whole: dict[Key, rows.Step] = field(default_factory=dict)
    #: What this plan's data migrations have read of what is slated.
    copies: Copies | None = None
    #: Of these, those that run because the fleet is stopped.
    unsafe: set[Key] = field(default_factory=set)
    #: Migrations of the interrupted plan that this one goes on with, which it has applied.
    resumed: frozenset[Key] = frozenset()
    #: Ids and versions of steps whose first fill has failed: tried, and said, once.
    unfillable: set[tuple[int, int]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Held:
    """A migration that is left out of the plan."""

    migration: Key
    #: Why, in sentences; empty where it only depends on another.
    reasons: tuple[str, ...]
    #: The held migration that it depends on.
    behind: Key | None
    #: What it makes, without columns that are there as leftovers which it will take over.
    makes: tuple[Target, ...]
    verdict: verdict.Verdict | None = None


def _meets_no_null(altered: AlterField, later: Operation) -> bool:
    """Whether an operation cannot meet a NULL that is still in a column which an earlier one has altered."""
    if isinstance(later, (SplitRemoveField, AlterField, AddField)):
        return not later.is_same_field_operation(altered)
    return isinstance(later, (Companion, CreateModel, AddIndex, RemoveIndex, AlterModelOptions))


def with_operations(migration: Migration, operations: list[Operation]) -> Migration:
    """A copy of the migration with other operations."""
    stand_in = copy.copy(migration)
    stand_in.__dict__["operations"] = operations
    return stand_in


def _names_given(operation: Operation) -> Iterator[str]:
    """Names of indexes and constraints that the operation takes."""
    if isinstance(operation, SeparateDatabaseAndState):
        for nested in operation.database_operations:
            yield from _names_given(nested)
    elif isinstance(operation, CreateModel):
        for part in (*operation.options.get("indexes", ()), *operation.options.get("constraints", ())):
            yield part.name
    elif isinstance(operation, RenameIndex):
        yield operation.new_name
    elif name := getattr(getattr(operation, "index", getattr(operation, "constraint", None)), "name", None):
        yield name


def _name_freed(operation: Operation) -> str:
    """The name of the index or constraint that the operation would take away; empty where it has none of its own."""
    return operation.name if isinstance(operation, (RemoveIndex, RemoveConstraint)) else ""


def _names_held(step: rows.Step) -> Iterator[str]:
    """Names of indexes and constraints that still stand because of what is slated."""
    yield from step.payload.get("shared", ())
    # What is on the column alone gives its name free when the column is set aside.
    if step.state is not rows.StepState.ASIDE:
        yield from step.payload.get(leftover.COMPANIONS, ())


def _model_before(operation: Operation) -> str:
    """The lower-cased name of the model that an operation is about, as it is before it."""
    return operation.old_name_lower if isinstance(operation, RenameModel) else delete_model.model_of(operation)


class Planner:
    """One plan's decisions."""

    def __init__(
        self,
        executor: MigrationExecutor,
        session: Session,
        migrations: Sequence[Migration],
        before: ProjectState,
        recorded: Sequence[Key] = (),
    ) -> None:
        self.executor = executor
        self.session = session
        self.ledger = session.ledger
        self.migrations = {(m.app_label, m.name): m for m in migrations}
        #: What the plan only records, because it is there: before what it depends on it must not be recorded.
        self.recorded = recorded
        self.before = before
        self.policy = verdict.Policy.from_config(session.config)
        self.fleet = evidence.read_fleet(session.ledger)
        self.known = session.ledger.steps()
        unfinished = (rows.StepState.WAITING, rows.StepState.SEALED, rows.StepState.ASIDE)
        self.steps = [step for step in self.known if step.state in unfinished]
        #: Leftovers that stay in the database, in no model, because their removal was withdrawn.
        self._staying = [
            step for step in self.known if slating.stays(step) and self._is_newest(step) and self._target(step).exists()
        ]
        #: (table, column) pairs that this plan leaves with something that is kept for old code.
        self._keeping: set[tuple[str, str]] = set()
        #: What this plan leaves in place for old code, by (table, column) or (table, ""), and which migration does.
        self._leaving: dict[tuple[str, str], str] = {}
        #: Ids of steps whose leftovers this plan takes over: what comes after is about the column in use.
        self._returning: set[int] = set()
        #: Names of indexes and constraints that this plan leaves over what it slates: over what, and which migration.
        self._standing: dict[str, tuple[Target, str]] = {}
        #: Models whose unique_together or constraints, or unique_together or index_together, are left over with fields.
        self._constrained: set[tuple[str, str]] = set()
        self._together: set[tuple[str, str]] = set()
        #: Tables that a migration of the plan renames, after other operations on them.
        self._moved: set[str] = set()
        #: Names, and groups of columns, of what the plan makes again on leftovers that it takes over.
        self._remade: set[str | tuple[str, ...]] = set()
        #: Migrations without second steps, because the plan gives names that they free to something else.
        self._in_one: set[Key] = set()
        #: Tables with foreign keys that are loose, or may be when this plan has taken over what is left of them.
        self._loose_in = {step.table for step in self.known if step.kind is rows.StepKind.KEY}
        #: Whether an earlier operation of the plan may write rows.
        self._data_may_change = False

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return self.executor.connection

    def arrange(self, judged: Sequence[MigrationJudgement]) -> dict[Key, Held]:
        """Held migrations by key. Raises CommandError where the plan is refused, before anything is applied."""
        judged = [self._with_parents(judgement) for judgement in judged]
        self._moved = self._tables_moved(judged)
        refused = [reason for judgement in judged for reason in self._refusals(judgement)]
        if refused:
            raise CommandError(messages.refused(refused), returncode=1)
        # That is refused unless the fleet is stopped. The gate stands before each of them, as before what takes a name.
        self._in_one = self._before_names_taken_again(judged)
        self.session.unsafe |= self._in_one
        makes: dict[Key, tuple[Target, ...]] = {}
        held: dict[Key, Held] = {}
        behind: dict[Key, Key] = {}
        #: The state without what is held.
        kept = self.before
        for judgement, migration, after in self._walk(judged):
            key = (judgement.app, judgement.name)
            makes[key] = self._really_made(judgement, migration, after)
            if key in behind:
                held[key] = Held(key, (), behind[key], makes[key])
                continue
            without = phases_plan.state_after(migration, kept) if held else after
            earlier = self._relied_upon(held, kept, without) if held else None
            why = Held(key, (), earlier, makes[key]) if earlier else self._hold(judgement, migration, makes[key], after)
            if why is None:
                kept = without
                self._stand_in(judgement, migration, after)
                self._data_may_change |= any(map(rules.runs_code, migration.operations))
                continue
            held[key] = why
            for dependent in self._dependents(key):
                behind.setdefault(dependent, key)
        held.update({key: Held(key, (), behind[key], ()) for key in self.recorded if key in behind})
        return held

    def copies(self, judged: Sequence[MigrationJudgement], held: Container[Key]) -> Copies:
        """The watch over the plan's data migrations: on what it slates, and on what waits already."""
        slated = [
            target
            for judgement in judged
            if (judgement.app, judgement.name) not in held
            for operation in judgement.operations
            if operation.disposition is Disposition.SPLIT
            for target in operation.takes
        ]
        me, fleet = self.session.me, self.fleet
        gone = [
            instance.id
            for instance in fleet.instances
            if instance.lost(fleet.now)
            and (instance.id in fleet.proofs.closed or instance.expires_at + self.policy.lost_grace <= fleet.now)
        ]
        return Copies(self.ledger, slated, self.steps, actor=me.actor, release=me.release, gone=gone)

    def _tables_moved(self, judged: Sequence[MigrationJudgement]) -> set[str]:
        """Tables that the plan renames after it has taken something from them.

        A step would lose its table by that. Where the rename may run, the fleet is stopped or its author answers for
        it: then what comes before it needs no two steps, and runs whole.
        """
        split: set[str] = set()
        moved: set[str] = set()
        for judgement in judged:
            for operation in judgement.operations:
                if operation.makes:
                    moved |= {target.table for target in operation.takes if not target.column} & split
                if operation.disposition is Disposition.SPLIT:
                    split |= {target.table for target in (*operation.takes, *operation.makes, *operation.names)}
        return moved

    @staticmethod
    def _before_names_taken_again(judged: Sequence[MigrationJudgement]) -> set[Key]:
        """Migrations that take something away, up to the last that gives a name to something else.

        What refers to a table that goes has to go with it, so it is not only what frees the name.
        """
        freed: set[Target] = set()
        splitting: list[Key] = []
        found: set[Key] = set()
        for judgement in judged:
            for operation in judgement.operations:
                if operation.disposition is Disposition.SPLIT:
                    freed |= set(operation.takes)
                    splitting.append((judgement.app, judgement.name))
                elif operation.disposition is Disposition.REFUSE and freed.intersection(operation.makes):
                    found.update(splitting)
        return found

    def reclaim_only(self, judged: Sequence[MigrationJudgement]) -> None:
        """Stand-ins for what meets a leftover, and for nothing else: what only observes runs everything whole."""
        if not self.known:
            return
        for judgement, migration, after in self._walk(judged):
            self._stand_in(judgement, migration, after, split=False)

    def names_wanted(self, judged: Sequence[MigrationJudgement]) -> list[rows.Step]:
        """Steps of leftovers whose name the plan gives to another column: they have to be set aside before it."""
        if not self.steps:
            return []
        return [
            step
            for judgement, migration, after in self._walk(judged)
            for operation, operation_judged in zip(migration.operations, judgement.operations, strict=True)
            if isinstance(operation, (AddField, CreateModel))
            for step in self._met(operation_judged)
            if not self._matches(step, judgement.app, operation, after)
        ]

    def _walk(
        self, judged: Sequence[MigrationJudgement]
    ) -> Iterator[tuple[MigrationJudgement, Migration, ProjectState]]:
        """Each migration with the state after it."""
        state = self.before
        for judgement in judged:
            migration = self.migrations[judgement.app, judgement.name]
            state = phases_plan.state_after(migration, state)
            yield judgement, migration, state

    def _really_made(
        self, judgement: MigrationJudgement, migration: Migration, after: ProjectState
    ) -> tuple[Target, ...]:
        return tuple(
            target
            for operation, judged in zip(migration.operations, judgement.operations, strict=True)
            for target in judged.makes
            if not (
                isinstance(operation, (AddField, CreateModel))
                and any(
                    Target(step.table, step.column) == target and self._matches(step, judgement.app, operation, after)
                    for step in self._met(judged)
                )
            )
        )

    @staticmethod
    def _relied_upon(held: Iterable[Key], before: ProjectState, after: ProjectState) -> Key | None:
        """The held migration without which this one leaves a state that Django cannot render; None where it does not.

        Its author has left the order of the two to the plan. Django would fail at it, and at each `migrate` after it.
        """
        lost = relations.dangling(after) - relations.dangling(before)
        if not lost:
            return None
        apps = {each.model[0] for each in lost}
        return [*held, *(key for key in held if key[0] in apps)][-1]

    def _dependents(self, key: Key) -> list[Key]:
        """Every migration of the plan that depends on this one, through the graph."""
        found: set[Key] = set()
        waiting = [key]
        while waiting:
            for child in self.executor.loader.graph.node_map[waiting.pop()].children:
                if child.key not in found:
                    found.add(child.key)
                    waiting.append(child.key)
        return [other for other in (*self.migrations, *self.recorded) if other in found]

    def _replaced_by(self, key: Key) -> tuple[Key, ...]:
        """Squashes of it, and what it replaces itself: whoever has one of them has it."""
        squashes = [other for other, squash in self.executor.loader.replacements.items() if key in squash.replaces]
        return (*squashes, *((app, name) for app, name in self.migrations[key].replaces))

    @staticmethod
    def _in_place(step: rows.Step) -> bool:
        """Whether it is a leftover that still has its name."""
        return step.kind in protocol.REMOVING and step.state is not rows.StepState.ASIDE

    def _target(self, step: rows.Step) -> leftovers.Leftover:
        return leftovers.of(ddl_for(self._connection, lambda sql, params: None), step)

    def _is_newest(self, step: rows.Step) -> bool:
        """Whether no other removal of the same column or table waits, is set aside or came later."""
        same = [
            other
            for other in self.known
            if (other.kind, other.table, other.column) == (step.kind, step.table, step.column)
        ]
        return same[-1] is step and not any(
            other in self.steps and not other.payload.get(protocol.RECLAIMED) for other in same
        )

    def _met(self, judged: Judgement) -> list[rows.Step]:
        """Leftovers in place that have the names of what the operation makes: of columns, or of tables."""
        found = [step for step in self._pending(judged.makes) if self._in_place(step)]
        return [step for step in (*found, *self._staying) if Target(step.table, step.column) in judged.makes]

    def _pending(self, targets: Iterable[Target]) -> list[rows.Step]:
        """Steps on these targets that are not about a whole migration."""
        targets = list(targets)
        return [
            step
            for step in self.steps
            if step.kind is not rows.StepKind.MIGRATION
            # What a held migration of this very plan wants is wanted only when its turn comes.
            and not (step.payload.get("held") and (step.app, step.migration) in self.migrations)
            and any(step.table == target.table and target.column in ("", step.column) for target in targets)
        ]

    def _migration_step(self, judgement: MigrationJudgement) -> rows.Step:
        key = (judgement.app, judgement.name)
        return rows.Step(
            id=0,
            kind=rows.StepKind.MIGRATION,
            state=rows.StepState.WAITING,
            app=judgement.app,
            migration=judgement.name,
            replaced_by=self._replaced_by(key),
            payload={evidence.TAKES: self._takes(judgement), protocol.TABLES: self._tables(judgement)},
        )

    def _tables(self, judgement: MigrationJudgement) -> list[str]:
        """The tables that a migration is about; all of its app's, where guard cannot look into what it does."""
        own = self._tables_of_apps.get(judgement.app, set())
        found: set[str] = set()
        for judged in judgement.operations:
            # What its columns refer to is named as well, and is not what changes.
            here = {target.table for target in (*judged.takes, *judged.makes)}
            here |= own.intersection(target.table for target in judged.names)
            found |= here or (own if judged.disposition in (Disposition.HOLD, Disposition.REFUSE) else set())
        return sorted(found)

    @cached_property
    def _tables_of_apps(self) -> dict[str, set[str]]:
        """The tables of each app's models, before the plan and after it."""
        after = self.before
        for migration in self.migrations.values():
            after = phases_plan.state_after(migration, after)
        found: dict[str, set[str]] = {}
        for state in (self.before, after):
            for key in state.models:
                found.setdefault(key[0], set()).update(target.table for target in naming.tables(state, key))
        return found

    def _takes(self, judgement: MigrationJudgement) -> list[tuple[str, str]]:
        """What a migration that runs whole takes away, as far as nothing else in it can see to what depends on that."""
        if not all(
            type(each).__module__ in _PLAIN for each in self.migrations[judgement.app, judgement.name].operations
        ):
            return []
        return sorted({(target.table, target.column) for judged in judgement.operations for target in judged.takes})

    # Refusing

    def _refusals(self, judgement: MigrationJudgement) -> list[str]:
        key = (judgement.app, judgement.name)
        renamed = [
            messages.renames_pending(judgement, operation, step)
            for operation in judgement.operations
            if operation.phase is Phase.UNSAFE
            for step in self._pending(operation.takes)
            # Its foreign key is made strict before.
            if step.kind is not rows.StepKind.KEY
        ]
        # A rename that its author has declared to be safe does not stop the fleet.
        renamed += [
            messages.renames_split(judgement, operation)
            for operation in judgement.operations
            if operation.phase is not Phase.UNSAFE
            and operation.makes
            and any(target.table in self._moved for target in operation.takes if not target.column)
        ]
        if renamed or not self._unsafe(judgement):
            return renamed
        found = evidence.gather(self.ledger, self._migration_step(judgement), self.fleet, self.session.me)
        decided = verdict.decide_whole(found, self.policy)
        if decided.clear:
            # The fleet is stopped: in such a maintenance window it runs whole.
            self.session.unsafe.add(key)
            return []
        restorable = [
            messages.restore_first(judgement, operation, step)
            for operation in judgement.operations
            if operation.disposition is Disposition.REFUSE
            for step in self._pending(target for target in operation.makes if target.column)
            if step.state is rows.StepState.ASIDE and not step.payload.get(protocol.RECLAIMED)
        ]
        return restorable or [messages.unsafe(judgement, decided, self.fleet.now)]

    def _unsafe(self, judgement: MigrationJudgement) -> bool:
        key = (judgement.app, judgement.name)
        return any(
            operation.disposition is Disposition.REFUSE and not self._takes_over(operation, key)
            for operation in judgement.operations
        )

    def _takes_over(self, judged: Judgement, key: Key) -> bool:
        """Whether it adds a column that is there as a leftover: nothing needs to be refused."""
        columns = [target for target in judged.makes if target.column]
        return any(step.column for step in self._met(judged)) or any(
            slating.given_to(self.ledger, target.table, target.column, key) for target in columns
        )

    # Holding

    def _hold(
        self, judgement: MigrationJudgement, migration: Migration, makes: tuple[Target, ...], after: ProjectState
    ) -> Held | None:
        key = (judgement.app, judgement.name)
        nulls, computed = self._nulls(judgement, migration)
        reasons = [*self._chained(judgement, migration, after), *nulls]
        if reasons:
            return Held(key, tuple(reasons), None, makes)
        removals = [
            (operation, judged)
            for operation, judged in zip(migration.operations, judgement.operations, strict=True)
            if (type(operation) is RemoveField or type(operation) is DeleteModel)
            and judged.disposition is Disposition.SPLIT
            and judged.note != rules.JOINED
        ]
        # What is refused has been refused by now, unless the fleet is stopped or it takes a leftover over.
        whole = (
            judgement.disposition in (Disposition.HOLD, Disposition.REFUSE)
            or key in self.session.unsafe
            or bool(computed)
            or (
                self.session.config.strategy is conf.Strategy.HOLD
                and any(
                    isinstance(operation, AlterField) and judged.disposition is Disposition.SPLIT
                    for operation, judged in zip(migration.operations, judgement.operations, strict=True)
                )
            )
        )
        if not whole:
            if removals and self.session.config.strategy is conf.Strategy.HOLD:
                return self._hold_removals(judgement, removals, makes)
            return None
        step = self._slate(self._migration_step(judgement))
        if step.state is rows.StepState.SEALED:
            return Held(key, (messages.being_run(key),), None, makes)
        if key in self.session.unsafe:
            self.session.whole[key] = step
            return None
        # It may have been slated a moment ago: after the fleet was read.
        fleet = dataclasses.replace(self.fleet, now=self.ledger.now())
        found = evidence.gather(self.ledger, step, fleet, self.session.me)
        decided = verdict.decide(found, self.policy)
        stopped = not decided.clear and self._clear_while_stopped(found)
        if decided.clear or stopped:
            connection = self.ledger.connection
            if connection.vendor == "postgresql" and (there := contract.out_of_reach(connection.alias, step)):
                return Held(key, (there,), None, makes)
            self.session.whole[key] = step
            if stopped:
                self.session.unsafe.add(key)
            return None
        return Held(key, (*messages.contracts(judgement), *computed), None, makes, decided)

    def _clear_while_stopped(self, found: verdict.Evidence) -> bool:
        """Whether the whole fleet is stopped, so that what would wait beside it can run: a maintenance window.

        A fleet that has been replaced is not stopped: then what only a running one can show is asked. Nor is one that
        has fallen silent: whoever has not said that it is gone has to be proven gone, whatever time has passed.
        """
        for each in found.instances:
            gone = each.state is rows.InstanceState.GONE or each.id in found.proven_closed
            if not gone and each.id != found.taker_id:
                return False
        return verdict.decide_whole(found, self.policy).clear

    def _slate(self, wanted: rows.Step) -> rows.Step:
        """The step as it stands once it is slated; several processes may migrate at once."""
        before = slating.stored(self.ledger, wanted)
        if before is not None and before.state is rows.StepState.SEALED:
            return before
        try:
            return slating.slate(self.ledger, wanted)
        except (IntegrityError, Conflict):
            theirs = slating.stored(self.ledger, wanted)
            if theirs is None:
                raise
            return theirs

    def _chained(self, judgement: MigrationJudgement, migration: Migration, after: ProjectState) -> list[str]:
        """One chain per column: an operation on a column with a pending step is composed with it, or waits."""
        reasons = []
        # What the plan's migrations have left pending in an attempt that was interrupted, it goes on with.
        ours = {*self.migrations, *self.session.resumed}
        own = {step.id for step in self.steps if ours.intersection(protocol.names(step))}
        for operation, judged in zip(migration.operations, judgement.operations, strict=True):
            reasons += [
                messages.meets_seal(judged, step)
                for step in self._pending((*judged.takes, *judged.makes, *judged.names))
                if step.state is rows.StepState.SEALED
            ]
            reasons += [
                messages.chained(judged, step)
                for step in self._pending(judged.names)
                # What is kept for old code is kept through alterations, and minds a new name alone.
                if step.id not in self._returning
                and step.id not in own
                and step.kind is not rows.StepKind.KEY
                and (
                    step.kind not in (rows.StepKind.DEFAULT, rows.StepKind.NULLABLE)
                    or (isinstance(operation, RenameField) and judged.phase is not Phase.NEUTRAL)
                )
            ]
            for name in _names_given(operation):
                reasons += [
                    messages.name_taken(judged, name, step.target, f"{step.app}.{step.migration}")
                    for step in self.steps
                    if step.id not in self._returning
                    and step.id not in own
                    and name in _names_held(step)
                    and self._share_names(judged, step.table)
                ]
                if name in self._standing:
                    over, migration_name = self._standing[name]
                    if self._share_names(judged, over.table):
                        reasons.append(messages.name_taken(judged, name, str(over), migration_name))
            if type(operation) is AlterField and judged.phase is not Phase.NEUTRAL:
                reasons += [
                    messages.referred_to(judged, column, target, migration_name)
                    for column in judged.names
                    for target, migration_name in self._left_referring(column)
                ]
            if not isinstance(operation, (AddField, CreateModel)):
                continue
            for step in self._met(judged):
                if self._matches(step, judgement.app, operation, after):
                    self._returning.add(step.id)
                else:
                    reasons.append(messages.differs(judged, step))
        return reasons

    def _left_referring(self, column: Target) -> Iterator[tuple[Target, str]]:
        """What stays for old code, and since which migration, and has a foreign key to the column.

        MySQL and MariaDB change no type of a column that is referred to. Django takes off the keys that models have.
        """
        left: dict[tuple[str, str], tuple[Target, str]] = {}
        for step in (*self.steps, *self._staying):
            if step.kind in (rows.StepKind.COLUMN, rows.StepKind.TABLE) and step.id not in self._returning:
                name = step.aside_name or step.column or step.table
                place = (step.table, name) if step.column else (name, "")
                left[place] = (Target(step.table, step.column), f"{step.app}.{step.migration}")
        left |= {place: (Target(*place), since) for place, since in self._leaving.items()}
        if not left or self._connection.vendor != "mysql":
            return
        for table, name in catalog.referring(self._connection, column.table, column.column):
            found = left.get((table, name)) or left.get((table, ""))
            if found is not None:
                yield found

    def _share_names(self, judged: Judgement, table: str) -> bool:
        """Whether a name that stands over the table cannot be given to an index or constraint by the operation."""
        connection: Any = self._connection
        if connection.vendor != "mysql" or not connection.mysql_is_mariadb:
            # They are taken for a whole schema: indexes, and MySQL's checks.
            return True
        tables = {target.table for target in (*judged.names, *judged.makes)}
        return not tables or table in tables

    def _nulls(self, judgement: MigrationJudgement, migration: Migration) -> tuple[list[str], list[str]]:
        """NULLs that are there where NULL is to be forbidden, and the database has nothing to put in their place.

        First those that have to be filled by hand, then those that Django fills with what a function of the project
        gives: it does so when nobody writes more of them.
        """
        reasons: list[str] = []
        computed: list[str] = []
        ddl = ddl_for(self._connection, lambda sql, params: None)
        changes = self._data_may_change
        for operation, judged in zip(migration.operations, judgement.operations, strict=True):
            changes |= rules.runs_code(operation)
            if (
                changes
                or type(operation) is not AlterField
                or judged.disposition is not Disposition.SPLIT
                # One default cannot fill several rows of a unique column.
                or not (operation.field.unique or isinstance(static_default(operation.field), NoDefault))
                or operation.field.has_db_default()
                or defaults.expression(operation.field, self._connection)
            ):
                continue
            for target in judged.names:
                if ddl.facts(target.table, target.column) and (number := ddl.nulls(target.table, target.column)):
                    by_function = callable(operation.field.default) and not operation.field.unique
                    found = computed if by_function else reasons
                    found.append(messages.nulls(judged, target, number, operation.field, by_function=by_function))
        return reasons, computed

    def _with_parents(self, judgement: MigrationJudgement) -> MigrationJudgement:
        """Refuse a required foreign key whose default no row of its parent has: old code could insert nothing."""
        operations = list(judgement.operations)
        migration = self.migrations[judgement.app, judgement.name]
        for index, (operation, judged) in enumerate(zip(migration.operations, operations, strict=True)):
            if (
                type(operation) is AddField
                and operation.field.remote_field is not None
                and judged.disposition is Disposition.SPLIT
                and judged.names
                and not self._has_row(judged.names[0], self._stored(judgement.app, operation))
            ):
                operations[index] = dataclasses.replace(
                    judged,
                    phase=Phase.UNSAFE,
                    disposition=Disposition.REFUSE,
                    recipe=(
                        f"# No row of {judged.names[0].table} has the value of the default yet: make one first, or add "
                        "the field with null=True and require it in a later deploy."
                    ),
                )
        if operations == list(judgement.operations):
            return judgement
        return dataclasses.replace(judgement, operations=tuple(operations), disposition=Disposition.REFUSE)

    def _stored(self, app: str, operation: AddField) -> object:
        """The default of a foreign key as the column that it refers to has it: a UUID may be text there."""
        value = static_default(operation.field)
        found = shapes.target_of(self.before, (app, operation.model_name_lower), operation.field)
        while found is not None and naming.is_foreign_key(found[2]):
            found = shapes.target_of(self.before, found[0], found[2])
        if found is None or isinstance(value, NoDefault):
            return value
        try:
            return naming.bound(found[2], found[1]).get_db_prep_save(value, self._connection)
        except (TypeError, ValueError, ValidationError):
            return NO_DEFAULT

    def _has_row(self, parent: Target, value: object) -> bool:
        ddl = ddl_for(self._connection, lambda sql, params: None)
        if isinstance(value, NoDefault) or ddl.facts(parent.table, parent.column) is None:
            return False
        return ddl.has_row(parent.table, parent.column, value)

    def _matches(self, step: rows.Step, app: str, operation: AddField | CreateModel, after: ProjectState) -> bool:
        if slating.stays(step) and not self._target(step).as_left():
            # What guard does not look after any more, others may have changed.
            return False
        # Rendering is costly, so only for what meets a leftover.
        apps = after.clone().apps
        try:
            if step.kind is rows.StepKind.COLUMN and isinstance(operation, AddField):
                field = apps.get_model(app, operation.model_name)._meta.get_field(operation.name)
                return isinstance(field, models.Field) and leftover.matches(step.payload, field, self._connection)
            if isinstance(operation, AddField):
                relation: Any = apps.get_model(app, operation.model_name)._meta.get_field(operation.name)
                made = [relation.remote_field.through]
            else:
                made = list(delete_model.own_tables(apps.get_model(app, operation.name)))
        except (LookupError, FieldDoesNotExist):
            # Renamed or removed by a later operation of the same migration.
            return False
        return any(
            model._meta.db_table == step.table and delete_model.matches(step, model, self._connection) for model in made
        )

    def _hold_removals(
        self,
        judgement: MigrationJudgement,
        removals: Sequence[tuple[RemoveField | DeleteModel, Judgement]],
        makes: tuple[Target, ...],
    ) -> Held | None:
        """STRATEGY = "hold": slated from the first `migrate` that sees them; clear, they run split."""
        key = (judgement.app, judgement.name)
        blocked: list[verdict.Verdict] = []
        for operation, judged in removals:
            for target in judged.takes:
                step = self._slate(
                    rows.Step(
                        id=0,
                        kind=rows.StepKind.COLUMN if target.column else rows.StepKind.TABLE,
                        state=rows.StepState.WAITING,
                        app=judgement.app,
                        migration=judgement.name,
                        replaced_by=self._replaced_by(key),
                        table=target.table,
                        column=target.column,
                        model=f"{judgement.app}.{getattr(operation, 'model_name', operation.name)}",
                        field=operation.name if isinstance(operation, RemoveField) else "",
                        payload={"held": True},
                    )
                )
                found = evidence.gather(self.ledger, step, evidence.read_fleet(self.ledger), self.session.me)
                # The question is whether it may be applied: that it is not applied cannot be the answer.
                found = dataclasses.replace(found, applied=True)
                decided = verdict.decide(found, self.policy)
                if not decided.clear and not self._clear_while_stopped(found):
                    blocked.append(decided)
        if not blocked:
            return None
        reasons = tuple(messages.effect(judged) for _, judged in removals)
        return Held(key, reasons, None, makes, blocked[0])

    # Stand-ins

    def _stand_in(
        self, judgement: MigrationJudgement, migration: Migration, after: ProjectState, *, split: bool = True
    ) -> None:
        key = (judgement.app, judgement.name)
        author = Author(key, self._replaced_by(key), self.session.report)
        operations = [
            self._instead(operation, judged, author, after, split and key not in self._in_one and self._splits(judged))
            for operation, judged in zip(migration.operations, judgement.operations, strict=True)
        ]
        removed = {target for judged in judgement.operations for target in judged.takes if target.column}
        for operation, judged in zip(operations, judgement.operations, strict=True):
            if isinstance(operation, Companion) and (name := _name_freed(operation.operation)):
                covered = [*(target for target in judged.names if target in removed), *judged.names]
                self._standing[name] = (covered[0] if covered else Target(key[0]), f"{key[0]}.{key[1]}")
        for operation, judged in zip(migration.operations, judgement.operations, strict=True):
            if type(operation) in (RemoveField, DeleteModel) and split and self._splits(judged):
                self._leaving |= {(taken.table, taken.column): f"{key[0]}.{key[1]}" for taken in judged.takes}
        companions = [operation.operation for operation in operations if isinstance(operation, Companion)]
        for companion in companions:
            model = (key[0], delete_model.model_of(companion))
            if isinstance(companion, (AlterUniqueTogether, RemoveConstraint)):
                self._constrained.add(model)
            if isinstance(companion, (AlterUniqueTogether, AlterIndexTogether)):
                self._together.add(model)
        for index, operation in enumerate(operations):
            if isinstance(operation, SplitRemoveField):
                model = (key[0], operation.model_name_lower)
                operation.constrained, operation.together = model in self._constrained, model in self._together
                operation.companions = frozenset(self._standing)
            elif isinstance(operation, SteppedAlterField) and self._connection.get_autocommit():
                operation.fills_behind = all(_meets_no_null(operation, later) for later in operations[index + 1 :])
        first = [
            (*self._tightens(operation, judged, key[0], after), operation)
            for operation, judged in zip(operations, judgement.operations, strict=True)
        ]
        if any(len(a) > 1 or a[-1] is not b for a, b in zip(first, migration.operations, strict=True)):
            self.session.stand_ins[key] = with_operations(migration, [each for pair in first for each in pair])

    def _tightens(
        self, operation: Operation, judged: Judgement, app: str, after: ProjectState
    ) -> Iterator[loose_keys.Tighten]:
        """What makes foreign keys strict, before an operation that makes another thing of their columns."""
        if isinstance(operation, (ReclaimField, delete_model.ReclaimModel, delete_model.ReclaimManyToMany)):
            self._loose_in |= {target.table for target in judged.makes}
        if not isinstance(operation, _REMAKES) or isinstance(operation, _SPLIT):
            return
        altered = self._column(operation, app, after) if isinstance(operation, AlterField) else None
        targets = dict.fromkeys(
            (target.table, target.column)
            for target in (*judged.takes, *judged.names, *([altered] if altered else []))
            if target.table in self._loose_in
        )
        if targets:
            field = operation.field if isinstance(operation, AlterField) and judged.phase is Phase.NEUTRAL else None
            yield loose_keys.Tighten(list(targets), _model_before(operation), self.session.report, field)

    def _instead(
        self, operation: Operation, judged: Judgement, author: Author, after: ProjectState, split: bool
    ) -> Operation:
        if split and judged.note == rules.COMPANION:
            return Companion(operation)
        if split and judged.note == rules.JOINED:
            return delete_model.Joined(operation, author)
        if split and type(operation) is DeleteModel:
            return delete_model.SplitDeleteModel.standing_in_for(operation, author)
        if type(operation) is RemoveField:
            if not split:
                return operation
            if not judged.takes[0].column:
                return delete_model.SplitRemoveManyToMany.standing_in_for(operation, author)
            return SplitRemoveField.standing_in_for(operation, author)
        if type(operation) is AlterField:
            # On SQLite an alteration that changes nothing in the database makes the table anew all the same.
            altered = self._column(operation, author.migration[0], after)
            if split:
                # By its name when it is altered, too: a later operation of the migration may give it another.
                own = (*judged.names[:1], *([altered] if altered else []))
                self._keeping |= {(target.table, target.column) for target in own}
            # Removed or renamed by a later operation of the migration, its column is told when its turn comes.
            if split or altered is None or self._keeps([*judged.names, altered]):
                self._keeping |= {(target.table, target.column) for target in judged.makes}
                stepped = SteppedAlterField.standing_in_for(operation, author)
                stepped.splits = split
                return stepped
            return operation
        # By its new name, too: where DDL commits by itself, an attempt that was interrupted may have given it that.
        if type(operation) is RenameField and self._keeps((*judged.takes, *judged.names, *judged.makes)):
            self._keeping |= {(target.table, target.column) for target in judged.makes}
            return SteppedRenameField.standing_in_for(operation, author)
        if type(operation) in MAKING and self._returns(judged):
            self._remade |= {*_names_given(operation), *self._groups(operation, author.migration[0], after)}
            return MakeMissing(operation)
        if type(operation) not in (AddField, CreateModel):
            return operation
        made = set(judged.makes)
        known = [step for step in self.known if Target(step.table, step.column) in made]
        if isinstance(operation, CreateModel):
            return delete_model.ReclaimModel.standing_in_for(operation, author) if known else operation
        assert isinstance(operation, AddField)
        column = next((target for target in judged.makes if target.column), None)
        if column is None:
            return delete_model.ReclaimManyToMany.standing_in_for(operation, author) if known else operation
        kind: type[NamedAgainAddField] | None = KeepDefaultAddField if split else None
        if known:
            if self._meets_leftover(operation, column, author.migration, after):
                kind = ReclaimField
            elif kind is None:
                kind = NamedAgainAddField
        if kind is None:
            return operation
        if issubclass(kind, KeepDefaultAddField):
            self._keeping.add((column.table, column.column))
        made_by = kind.standing_in_for(operation, author)
        if isinstance(made_by, ReclaimField):
            made_by.remade = self._remade
        return made_by

    @staticmethod
    def _groups(operation: Operation, app: str, after: ProjectState) -> Iterator[tuple[str, ...]]:
        """The columns of each group that is to be unique together."""
        key = (app, delete_model.model_of(operation))
        if not isinstance(operation, AlterUniqueTogether) or key not in after.models:
            return
        fields = after.models[key].fields
        for group in operation.option_value or ():
            if all(name in fields for name in group):
                yield tuple(naming.column(fields[name], name) for name in group)

    def _splits(self, judged: Judgement) -> bool:
        targets = (*judged.takes, *judged.makes, *judged.names)
        return judged.disposition is Disposition.SPLIT and self._moved.isdisjoint(target.table for target in targets)

    def _returns(self, judged: Judgement) -> bool:
        """Whether it is about a leftover that this plan takes over, with the indexes and constraints on it."""
        tables = {target.table for target in judged.names}
        about = (*self._pending(judged.names), *(step for step in self._staying if step.table in tables))
        return any(step.id in self._returning for step in about)

    @staticmethod
    def _column(operation: AlterField, app: str, after: ProjectState) -> Target | None:
        key = (app, operation.model_name_lower)
        try:
            name = naming.own_name(after, key, operation.name)
            return Target(naming.table(after, key), naming.column(naming.get_field(after, key, name), name))
        except KeyError:
            # Renamed or removed by a later operation of the same migration.
            return None

    def _keeps(self, targets: Iterable[Target]) -> bool:
        """Whether something of these columns is kept for old code, since before this plan or by it."""
        keeping = self._keeping | {
            (step.table, step.column)
            for step in self.steps
            if step.kind in (rows.StepKind.DEFAULT, rows.StepKind.NULLABLE)
        }
        return any((target.table, target.column) in keeping for target in targets)

    def _meets_leftover(self, operation: AddField, column: Target, key: Key, after: ProjectState) -> bool:
        """Whether the column is there as a leftover that the field can take over (or has, and was interrupted)."""
        step = slating.open_step(self.ledger, column.table, column.column)
        if step is not None and (not slating.stays(step) or step in self._staying):
            return self._matches(step, key[0], operation, after)
        if slating.given_to(self.ledger, column.table, column.column, key) is None:
            return False
        return ddl_for(self._connection, lambda sql, params: None).facts(column.table, column.column) is not None
