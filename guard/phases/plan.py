"""What a plan does to deployed code: each migration judged in its place, among those that run with it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations import operations as ops
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import IndexOperation, ModelOperation
from django.db.migrations.state import ModelState, ProjectState

from guard import conf
from guard.phases import alter, conditions, naming, rules, shapes
from guard.phases.words import Disposition, Judgement, Phase, Target


@dataclass(frozen=True, slots=True)
class MigrationJudgement:
    """What one migration means for a rolling deploy."""

    app: str
    name: str
    #: In the order of migration.operations.
    operations: tuple[Judgement, ...]
    phase: Phase
    disposition: Disposition
    #: What deployed code loses by it.
    takes: tuple[Target, ...]


def judge_plan(
    migrations: Sequence[Migration],
    state: ProjectState,
    *,
    connection: BaseDatabaseWrapper,
    strategy: conf.Strategy,
    alias: str,
    declared: Mapping[str, Phase] | None = None,
) -> tuple[MigrationJudgement, ...]:
    """Judge migrations in the order in which they will be applied to `state`, which is left as it is.

    `declared` gives the phases that settings declare for whole migrations, by "app.name". They outrank what the
    migration or its operations say of themselves.
    """
    if alias != connection.alias:
        raise ValueError(f"the connection is for {connection.alias!r}, the plan for {alias!r}")
    return _judge_plan(migrations, state, connection, strategy, declared or {})[0]


def judge_each(
    migrations: Iterable[Migration],
    state: ProjectState,
    *,
    connection: BaseDatabaseWrapper,
    strategy: conf.Strategy,
    declared: Mapping[str, Phase],
) -> Iterator[tuple[Migration, MigrationJudgement]]:
    """Judge each migration as if it were a plan of its own, after those before it. `state` is left as it is."""
    for migration in migrations:
        (judged,), state = _judge_plan([migration], state, connection, strategy, declared)
        yield migration, judged


def _judge_plan(
    migrations: Sequence[Migration],
    state: ProjectState,
    connection: BaseDatabaseWrapper,
    strategy: conf.Strategy,
    given: Mapping[str, Phase],
) -> tuple[tuple[MigrationJudgement, ...], ProjectState]:
    """The judgements, and the state after the plan."""
    walk = _Walk(state, _removals(migrations), connection)
    plan: list[list[Judgement]] = []
    for position, migration in enumerate(migrations):
        plan.append([])
        for operation in migration.operations:
            before, after = walk.step(migration.app_label, operation)
            judgement = rules.judge(
                operation, app_label=migration.app_label, before=before, after=after, connection=connection
            )
            spot = _Spot(position, len(plan[-1]), migration.app_label, operation, before, after)
            judgement = walk.among(judgement, spot)
            said = _declared(migration, len(plan[-1]), given)
            plan[-1].append(judgement if said is None else rules.declare(judgement, said))
    _wait_together(plan, migrations, walk.companions, given)
    for judged, migration in zip(plan, migrations, strict=True):
        _join(judged, migration, given)
    for group in walk.there_and_back(connection):
        if not any(_declared(migrations[position], index, given) is not None for position, index in group):
            _cancel(plan, group, migrations, connection)
    if strategy is conf.Strategy.HOLD:
        plan = [[_held(judgement) for judgement in judged] for judged in plan]
    found = tuple(_of_migration(migration, judged) for migration, judged in zip(migrations, plan, strict=True))
    return found, walk.end


def unfolded(migration: Migration) -> Migration:
    """The migration with each SeparateDatabaseAndState whose halves say the same as the operations that these are.

    Nothing else tells the two apart, and what stands alone can run in two steps. Operations that only the state half
    has may follow; what reaches the database alone and changes no state (RunPython, RunSQL) may stand anywhere.
    """
    if not any(type(operation) is ops.SeparateDatabaseAndState for operation in migration.operations):
        return migration
    operations = [each for operation in migration.operations for each in _unfolded(operation) or [operation]]
    if len(operations) == len(migration.operations):
        # Each gave one: perhaps itself.
        same = all(a is b for a, b in zip(operations, migration.operations, strict=True))
        if same:
            return migration
    found = copy.copy(migration)
    found.__dict__["operations"] = operations
    return found


def places(migration: Migration) -> tuple[int, ...]:
    """For each operation of the unfolded migration, where in `migration.operations` it comes from."""
    return tuple(
        place for place, operation in enumerate(migration.operations) for _ in _unfolded(operation) or [operation]
    )


def _unfolded(operation: Operation) -> list[Operation]:
    """What a SeparateDatabaseAndState comes to, or nothing where its halves differ."""
    if type(operation) is not ops.SeparateDatabaseAndState or hasattr(operation, "guard_phase"):
        return []
    state = list(operation.state_operations)
    found: list[Operation] = []
    for each in operation.database_operations:
        silent = type(each) is ops.RunPython or (type(each) is ops.RunSQL and not each.state_operations)
        if not silent:
            if not state or not _alike(each, state.pop(0)):
                return []
            # What is nested there is unfolded too: it is the same on either side.
            found += _unfolded(each) or [each]
        else:
            found.append(each)
    if not any(type(each) not in (ops.RunPython, ops.RunSQL) for each in found):
        # Nothing that could be split.
        return []
    return [*found, *([ops.SeparateDatabaseAndState(state_operations=state)] if state else [])]


def _alike(one: Operation, other: Operation) -> bool:
    return type(one) is type(other) and repr(_written(one)) == repr(_written(other))


def _written(value: Any) -> Any:
    """An operation, or a part of one, as a migration file has it."""
    if hasattr(value, "deconstruct") and not isinstance(value, type):
        made = value.deconstruct()
        # A field says its name first.
        return _written(made[1:] if isinstance(value, models.Field) else made)
    if isinstance(value, dict):
        return sorted((key, _written(one)) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return [_written(one) for one in value]
    return value


#: Position of a migration in the plan, and of an operation in it.
_At: TypeAlias = tuple[int, int]


def _cancel(
    plan: list[list[Judgement]], group: Sequence[_At], migrations: Sequence[Migration], connection: BaseDatabaseWrapper
) -> None:
    """Clear operations that together change nothing, where nobody can see what is between them.

    That is so within one transaction. Elsewhere deployed code breaks from the first of them to the last, and for good
    if what stands between them fails.
    """
    positions = {position for position, _ in group}
    if len(positions) > 1 or not connection.features.can_rollback_ddl:
        return
    if not all(migrations[position].atomic for position in positions):
        return
    for position, index in group:
        plan[position][index] = replace(
            plan[position][index],
            phase=Phase.NEUTRAL,
            disposition=Disposition.RUN,
            breaks_old="",
            breaks_new="",
            recipe="",
            takes=(),
            makes=(),
            note="operations of this migration undo each other",
        )


#: What an operation may be that goes with the table of a model which its migration deletes.
JOINING = (
    ops.RemoveField,
    ops.RemoveIndex,
    ops.RemoveConstraint,
    ops.AlterUniqueTogether,
    ops.AlterIndexTogether,
    ops.AlterOrderWithRespectTo,
)


def _join(judged: list[Judgement], migration: Migration, given: Mapping[str, Phase]) -> None:
    """Let what a migration takes from a model that it deletes wait for the table, which is all of it."""
    for last, operation in enumerate(migration.operations):
        if not isinstance(operation, ops.DeleteModel) or judged[last].disposition is not Disposition.SPLIT:
            continue
        for index, earlier in enumerate(migration.operations[:last]):
            name = getattr(earlier, "model_name", None) or getattr(earlier, "name", None) or ""
            if (
                type(earlier) in JOINING
                and name.lower() == operation.name_lower
                and judged[index].phase is not Phase.NEUTRAL
                and _declared(migration, index, given) is None
                and not _is_of_tables(earlier, judged[index])
            ):
                judged[index] = replace(
                    judged[index], phase=Phase.CONTRACT, disposition=Disposition.SPLIT, note=rules.JOINED
                )


def _is_of_tables(operation: Operation, judged: Judgement) -> bool:
    """Whether it takes a table of its own away, a many-to-many field's, which may be one that the plan itself made."""
    about = (*judged.takes, *(judged.names if isinstance(operation, ops.RemoveField) else ()))
    return not all(target.column for target in about)


def _wait_together(
    plan: list[list[Judgement]],
    migrations: Sequence[Migration],
    companions: set[_At],
    given: Mapping[str, Phase],
) -> None:
    """Let an index or constraint wait for the contract step of the field that the plan removes after it."""
    for position, index in companions:
        migration = migrations[position]
        operation = migration.operations[index]
        if _declared(migration, index, given) is not None:
            continue
        model = str(getattr(operation, "model_name", "") or getattr(operation, "name", "")).lower()
        removed = [
            (later, place)
            for later, other in enumerate(migrations)
            for place, removal in enumerate(other.operations)
            if (later, place) > (position, index)
            and other.app_label == migration.app_label
            and isinstance(removal, ops.RemoveField)
            and removal.model_name_lower == model
        ]
        if not removed:
            continue
        until = max(later for later, _ in removed)
        if plan[position][index].phase is Phase.NEUTRAL and all(later > position for later, _ in removed):
            # A deploy of its own would take it at once.
            plan[position][index] = replace(plan[position][index], disposition=Disposition.RUN, recipe="", note="")
        # One that is held would leave its companions without anybody who takes them.
        if type(operation) not in JOINING or any(
            plan[later][place].disposition is not Disposition.SPLIT for later, place in removed
        ):
            continue
        between = [each for other in migrations[position : until + 1] for each in other.operations]
        made = {
            getattr(getattr(each, "index", None) or getattr(each, "constraint", None), "name", None) for each in between
        }
        # A name may be taken again; and what runs in between may write what is allowed by then.
        if hasattr(operation, "model_name") and getattr(operation, "name", None) in made:
            continue
        if until > position and any(map(rules.runs_code, between)):
            continue
        plan[position][index] = replace(
            plan[position][index], phase=Phase.CONTRACT, disposition=Disposition.SPLIT, note=rules.COMPANION
        )


def _declared(migration: Migration, index: int, given: Mapping[str, Phase]) -> object:
    """The phase that settings declare for the migration, or its author for an operation, or for all of it."""
    found = given.get(f"{migration.app_label}.{migration.name}") if given else None
    if found is not None:
        return found
    return getattr(migration.operations[index], "guard_phase", getattr(migration, "guard_phase", None))


def _held(judgement: Judgement) -> Judgement:
    if judgement.disposition is Disposition.SPLIT:
        return replace(judgement, disposition=Disposition.HOLD)
    return judgement


def _of_migration(migration: Migration, judged: Sequence[Judgement]) -> MigrationJudgement:
    return MigrationJudgement(
        app=migration.app_label,
        name=migration.name,
        operations=tuple(judged),
        phase=rules.worst_phase(judgement.phase for judgement in judged),
        disposition=rules.worst_disposition(judgement.disposition for judgement in judged),
        takes=tuple(dict.fromkeys(target for judgement in judged for target in judgement.takes)),
    )


def _flat(operations: Iterable[Operation]) -> Iterable[Operation]:
    """Operations with those that reach the database inside SeparateDatabaseAndState."""
    for operation in operations:
        if isinstance(operation, ops.SeparateDatabaseAndState):
            yield from _flat(operation.database_operations)
        else:
            yield operation


#: (model, lower-cased field; empty for the whole model) → positions in the plan of the migrations that remove it
_Removals = Mapping[tuple[naming.Key, str], Sequence[int]]


def _removals(migrations: Sequence[Migration]) -> _Removals:
    found: dict[tuple[naming.Key, str], list[int]] = {}
    for position, migration in enumerate(migrations):
        for operation in _flat(migration.operations):
            if isinstance(operation, ops.RemoveField):
                key = (migration.app_label, operation.model_name_lower)
                found.setdefault((key, operation.name_lower), []).append(position)
            elif isinstance(operation, ops.DeleteModel):
                found.setdefault(((migration.app_label, operation.name_lower), ""), []).append(position)
    return found


def _changes(operation: Operation, app_label: str) -> set[naming.Key] | None:
    """The models whose states the operation changes in place; None where that cannot be told."""
    if isinstance(operation, (ops.RunPython, ops.CreateModel, ops.DeleteModel)):
        # They add and remove states, and leave those that stay alone.
        return set() if type(operation).__module__.startswith("django.db.") else None
    if isinstance(operation, (ops.RenameModel, ops.RenameField)):
        return None
    if isinstance(operation, (ops.SeparateDatabaseAndState, ops.RunSQL)):
        if not type(operation).__module__.startswith("django.db."):
            return None
        found: set[naming.Key] = set()
        for nested in operation.state_operations:
            changed = _changes(nested, app_label)
            if changed is None:
                return None
            found |= changed
        return found
    if type(operation).__module__ in _DJANGO:
        name = getattr(operation, "model_name", None) or getattr(operation, "name", None)
        return {(app_label, name.lower())} if isinstance(name, str) else set()
    return None


_DJANGO = frozenset(
    {
        "django.db.migrations.operations.models",
        "django.db.migrations.operations.fields",
        "django.db.migrations.operations.special",
        "django.contrib.postgres.operations",
    }
)


class _State(ProjectState):
    """A state that is never rendered while it is changed."""

    def add_field(
        self, app_label: str, model_name: str, name: str, field: naming.Field, preserve_default: bool
    ) -> None:
        if not preserve_default:
            # Django clones it, which checks it anew.
            field = copy.copy(field)
            field.default = models.NOT_PROVIDED
        self.models[app_label, model_name].fields[name] = field

    def alter_field(
        self, app_label: str, model_name: str, name: str, field: naming.Field, preserve_default: bool
    ) -> None:
        # Django looks through every field of the project here, only to know what to render again.
        if not preserve_default:
            field = field.clone()
            field.default = models.NOT_PROVIDED
        self.models[app_label, model_name].fields[name] = field


@dataclass(frozen=True, slots=True)
class _Spot:
    """An operation in its place in a plan."""

    position: int
    index: int
    app_label: str
    operation: Operation
    before: ProjectState
    after: ProjectState

    @property
    def key(self) -> naming.Key | None:
        """The model that the operation is about, if it is about one."""
        name = getattr(self.operation, "model_name", None) or getattr(self.operation, "name", None)
        return (self.app_label, name.lower()) if isinstance(name, str) else None


class _Walk:
    """Goes through a plan's states, and remembers what the plan itself made and freed."""

    def __init__(self, state: ProjectState, removals: _Removals, connection: BaseDatabaseWrapper | None = None) -> None:
        self._start = state
        self._state: ProjectState = _State(models=dict(state.models), real_apps=state.real_apps)
        self._real_apps = state.real_apps
        self._removals = removals
        self._connection = connection
        self._new_tables: set[str] = set()
        self._new_columns: set[Target] = set()
        #: Of these, those that keep a default in the database for old code.
        self._kept: set[Target] = set()
        #: Where operations stand that may wait with the fields which their migration removes.
        self.companions: set[_At] = set()
        #: And those that the models no longer let be NULL, and that still are.
        self._nullable: set[Target] = set()
        #: Case-folded names that deployed code knew and that the plan took away.
        self._freed: set[Target] = set()
        #: What was renamed, under its present name → its name when the plan began.
        self._origins: dict[Target, Target] = {}
        #: Renames of what had this name when the plan began, in order.
        self._moves: dict[Target, list[_At]] = {}
        #: Alterations of a field that was there when the plan began, in order.
        self._alterations: dict[tuple[naming.Key, str], list[_At]] = {}

    def step(self, app_label: str, operation: Operation) -> tuple[ProjectState, ProjectState]:
        """The states before and after the operation.

        States are copied on write: only the models that the operation changes in place are cloned.
        """
        # What a step has made, nothing changes any more: the next one begins with it.
        before = self._state
        changed = _changes(operation, app_label)
        copied = dict(before.models)
        for key in copied if changed is None else changed & copied.keys():
            copied[key] = _copied(copied[key])
        after = _State(models=copied, real_apps=self._real_apps)
        if changed is None:
            _detach(after)
        try:
            operation.state_forwards(app_label, after)
        except (KeyError, LookupError, ValueError):
            # Django would fail here too; the operation's rule says so, and what follows is judged without it.
            return before, before
        self._state = after
        return before, after

    def among(self, judgement: Judgement, spot: _Spot) -> Judgement:
        """The judgement in the light of what came before in the plan, and of what comes after."""
        plain = not (self._new_tables or self._origins or self._freed)
        if plain and judgement.phase is Phase.EXPAND and type(spot.operation) is ops.AddField:
            # Many plans are no more than this: nothing came before that would make anything else of it.
            self._remember(judgement)
            return judgement
        returning = self._follow(judgement, spot)
        retaken = [target for target in judgement.makes if _folded(target) in self._freed and target not in returning]
        found = judgement
        if retaken:
            listed = ", ".join(map(str, retaken))
            found = replace(
                judgement,
                phase=Phase.UNSAFE,
                disposition=Disposition.REFUSE,
                breaks_old=judgement.breaks_old or f"{listed} means something else to code that is deployed",
                recipe="# Take another name, or take this one in a later deploy, once what had it is set aside.",
                note=f"{listed} was freed earlier in the same plan",
            )
        elif self._unknown_to_old_code(judgement, spot):
            found = self._harmless(judgement)
        elif (altered := self._altered_new_column(judgement, spot)) is not None:
            found = altered
        elif self._as_when_it_began(judgement, spot):
            found = replace(
                judgement,
                phase=Phase.NEUTRAL,
                disposition=Disposition.RUN,
                breaks_old="",
                recipe="",
                note="deployed code has kept to it since before this plan",
            )
        elif not _does_nothing(judgement, spot) and (covered := self._companion(spot)):
            if self._waits_with_its_fields(spot):
                self.companions.add((spot.position, spot.index))
            found = replace(
                judgement,
                disposition=rules.worst_disposition([judgement.disposition, Disposition.HOLD]),
                recipe=f"# It covers {covered}, which is removed later in the plan; it goes when that goes.",
                note=rules.COMPANION,
            )
        self._remember(judgement)
        return found

    @property
    def end(self) -> ProjectState:
        """The state after all that was stepped over."""
        return self._state

    def there_and_back(self, connection: BaseDatabaseWrapper) -> list[list[_At]]:
        """Groups of operations that leave things as they were when the plan began."""
        end = self.end
        home = {origin for origin in self._moves if self._is_home(origin, end)}
        # One operation may move several things; it is undone only if all of them are back.
        away = {at for origin, moves in self._moves.items() if origin not in home for at in moves}
        groups = [self._moves[origin] for origin in home if away.isdisjoint(self._moves[origin])]
        for (key, name), alterations in self._alterations.items():
            if len(alterations) < 2 or key not in end.models or name not in end.models[key].fields:
                continue
            if not alter.compare(self._start, end, key, name, name, connection).changes:
                groups.append(alterations)
        return groups

    def _is_home(self, origin: Target, end: ProjectState) -> bool:
        if self._origins.get(origin) != origin:
            return False
        # A many-to-many table's columns carry names of models, which may have changed while the table's came back.
        return bool(origin.column) or _layout(self._start, origin.table) == _layout(end, origin.table)

    def _follow(self, judgement: Judgement, spot: _Spot) -> set[Target]:
        """Keep track of renames and alterations; the names that go back to what had them when the plan began."""
        operation, at = spot.operation, (spot.position, spot.index)
        if isinstance(operation, ops.AlterField) and not judgement.takes and judgement.phase is not Phase.NEUTRAL:
            key = (spot.app_label, operation.model_name_lower)
            started = self._start.models.get(key)
            if started is not None and operation.name in started.fields:
                self._alterations.setdefault((key, operation.name), []).append(at)
        if not isinstance(operation, (ops.RenameField, ops.RenameModel, ops.AlterModelTable, ops.AlterField)):
            return set()
        returning = set()
        for old, new in zip(judgement.takes, judgement.makes, strict=False):
            if self._is_new(old) and old not in self._origins:
                continue
            origin = self._origins.pop(old, old)
            self._origins[new] = origin
            self._moves.setdefault(origin, []).append(at)
            if origin == new:
                returning.add(new)
        return returning

    def _is_new(self, target: Target) -> bool:
        return target.table in self._new_tables or target in self._new_columns

    def _unknown_to_old_code(self, judgement: Judgement, spot: _Spot) -> bool:
        """Whether deployed code cannot notice the operation, because the plan itself made all that it touches.

        A table that the plan made is out of old code's reach. A new column of a table that old code inserts into is
        not: a constraint on the column, or the loss of its default, is met by inserts that leave the column out.
        """
        if judgement.phase is Phase.NEUTRAL or (judgement.phase is Phase.OPAQUE and not _of_its_own_model(spot)):
            return False
        # Making a table is out of old code's reach anyway; making a column is so in a new table alone.
        everything = (*judgement.takes, *judgement.names, *(target for target in judgement.makes if target.column))
        if everything and all(target.table in self._new_tables for target in everything):
            return True
        operation = spot.operation
        if isinstance(operation, (ops.AddConstraint, ops.AlterUniqueTogether)):
            return judgement.phase is Phase.CONTRACT and self._spares_new_columns(operation, spot)
        return isinstance(operation, (ops.RemoveField, ops.RenameField)) and self._only_new_columns(judgement)

    def _only_new_columns(self, judgement: Judgement) -> bool:
        touched = [target for target in (*judgement.takes, *judgement.names) if target not in judgement.makes]
        return bool(touched) and all(self._is_new(target) for target in touched)

    def _altered_new_column(self, judgement: Judgement, spot: _Spot) -> Judgement | None:
        """What altering a column that the plan made means: only inserts that leave it out can mind."""
        operation = spot.operation
        if (
            not isinstance(operation, ops.AlterField)
            or judgement.phase in (Phase.NEUTRAL, Phase.OPAQUE)
            or not self._only_new_columns(judgement)
        ):
            return None
        field = naming.get_field(spot.after, (spot.app_label, operation.model_name_lower), operation.name)
        why = rules.fails_without(field)
        if not why:
            return self._harmless(judgement)
        if self._kept_through(operation, judgement, spot, field):
            return self._harmless(judgement)
        before = naming.get_field(spot.before, (spot.app_label, operation.model_name_lower), operation.name)
        if (
            type(operation) is ops.AlterField
            and before.null
            and not field.null
            and not field.has_db_default()
            and not self._repeats(operation, spot)
        ):
            # Whatever else it changes, old code does not know the column: it only has to go on leaving it out.
            self._nullable.update(judgement.names[:1])
            return replace(
                judgement,
                phase=Phase.CONTRACT,
                disposition=Disposition.SPLIT,
                breaks_old=f"inserts that leave it out: {why}",
                recipe="",
                takes=(),
            )
        return replace(
            judgement,
            phase=Phase.CONTRACT,
            disposition=Disposition.HOLD,
            breaks_old=f"inserts that leave it out: {why}",
            recipe="# Alter it in a later deploy, when only code that writes the field is deployed.",
            takes=(),
        )

    def _repeats(self, operation: ops.AlterField, spot: _Spot) -> bool:
        """Whether a default that is kept for old code may repeat what a constraint lets no two rows have.

        A column that is unique by itself keeps none.
        """
        if operation.field.unique or not operation.field.has_default():
            return False
        state = naming.model(spot.after, (spot.app_label, operation.model_name_lower))
        unique = [set(group) for group in state.options.get("unique_together") or ()]
        unique += [
            alter.constraint_fields(constraint) or set(state.fields)
            for constraint in state.options.get("constraints") or ()
            if not isinstance(constraint, models.CheckConstraint)
        ]
        return any(operation.name in group for group in unique)

    def _kept_through(self, operation: ops.AlterField, judgement: Judgement, spot: _Spot, field: naming.Field) -> bool:
        """Whether the column keeps a default for old code through the alteration, as it has had one since it was made.

        A constant that the new field gives, or the database's expression, or the present one where the type stays.
        """
        key = (spot.app_label, operation.model_name_lower)
        before = naming.get_field(spot.before, key, operation.name)
        # What gets another column is taken by the name that it has.
        target = next(iter((*judgement.takes, *judgement.names)), None)
        if type(operation) is not ops.AlterField:
            return False
        if target in self._nullable:
            return not field.null
        if before.null or before.has_db_default() or field.unique or target not in self._kept:
            return False
        return type(before) is type(field) or shapes.constant(operation.field)[0]

    def _harmless(self, judgement: Judgement) -> Judgement:
        return replace(
            judgement,
            phase=Phase.EXPAND,
            disposition=Disposition.RUN,
            breaks_old="",
            recipe="",
            # What deployed code never had is not taken from it.
            takes=tuple(target for target in judgement.takes if not self._is_new(target)),
            names=(*judgement.names, *(target for target in judgement.takes if self._is_new(target))),
            note="it touches only what this plan itself made",
        )

    def _spares_new_columns(self, operation: Operation, spot: _Spot) -> bool:
        """Whether rows that leave the plan's new columns to their defaults can never violate the new constraint."""
        key = spot.key
        if key is None or key not in spot.after.models:
            return False
        table = naming.table(spot.after, key)
        left_out = {
            name: field
            for name, field in spot.after.models[key].fields.items()
            if Target(table, naming.column(field, name)) in self._new_columns
        }
        if not left_out:
            return False
        if isinstance(operation, ops.AlterUniqueTogether):
            old = {tuple(group) for group in spot.before.models[key].options.get("unique_together") or ()}
            groups = {tuple(group) for group in spot.after.models[key].options.get("unique_together") or ()} - old
            return all(_has_null(group, left_out) for group in groups)
        constraint = getattr(operation, "constraint", None)
        if isinstance(constraint, models.UniqueConstraint):
            return constraint.nulls_distinct is not False and _has_null(constraint.fields, left_out)
        if isinstance(constraint, models.CheckConstraint):
            return conditions.accepts(constraint.condition, {name: _filled(f) for name, f in left_out.items()})
        return False

    def _as_when_it_began(self, judgement: Judgement, spot: _Spot) -> bool:
        """Whether a new constraint demands no more than one that held when the plan began."""
        operation, key = spot.operation, spot.key
        if judgement.phase is not Phase.CONTRACT or key is None:
            return False
        if key not in self._start.models or key not in spot.after.models:
            return False
        if naming.table(self._start, key) != naming.table(spot.after, key):
            return False
        held = self._start.models[key]
        if isinstance(operation, ops.AlterUniqueTogether):
            known = {tuple(g) for g in spot.before.models[key].options.get("unique_together") or ()}
            groups = {tuple(g) for g in spot.after.models[key].options.get("unique_together") or ()} - known
            return all(self._was_unique(held, key, spot.after, group) for group in groups)
        constraint = getattr(operation, "constraint", None)
        if type(operation) is not ops.AddConstraint or constraint is None:
            return False
        if any(_demands(constraint) == _demands(other) for other in held.options.get("constraints") or ()):
            return all(
                self._is_where_it_was(key, spot.after, name) for name in alter.constraint_fields(constraint) or ("",)
            )
        return (
            isinstance(constraint, models.UniqueConstraint)
            and bool(constraint.fields)
            and constraint.nulls_distinct is not False
            and self._was_unique(held, key, spot.after, constraint.fields)
        )

    def _was_unique(self, held: ModelState, key: naming.Key, after: ProjectState, group: Iterable[str]) -> bool:
        fields = set(group)
        if not all(self._is_where_it_was(key, after, name) for name in fields):
            return False
        groups = [set(other) for other in held.options.get("unique_together") or ()]
        groups += [{name} for name, field in held.fields.items() if field.unique]
        groups += [
            set(other.fields)
            for other in held.options.get("constraints") or ()
            if isinstance(other, models.UniqueConstraint)
            and other.fields
            and other.condition is None
            and other.deferrable is None
            # Not each database makes each of them.
            and (self._connection is None or alter.enforced(other, self._connection))
        ]
        return any(other <= fields for other in groups)

    def _is_where_it_was(self, key: naming.Key, after: ProjectState, name: str) -> bool:
        """Whether the field's name stands for the column that it stood for when the plan began."""
        try:
            old, new = naming.get_field(self._start, key, name), naming.get_field(after, key, name)
        except KeyError:
            return False
        column = naming.column(new, name)
        target = Target(naming.table(after, key), column)
        table = Target(target.table)
        return (
            naming.column(old, name) == column
            and self._origins.get(target, target) == target
            and self._origins.get(table, table) == table
            and (target in self._origins or not self._is_new(target))
        )

    def _remember(self, judgement: Judgement) -> None:
        if judgement.disposition is Disposition.SPLIT and judgement.makes:
            self._kept.update(judgement.makes)
        for target in judgement.takes:
            if not self._is_new(target):
                self._freed.add(_folded(target))
            elif target.column:
                self._new_columns.discard(target)
            else:
                self._new_tables.discard(target.table)
        for target in judgement.makes:
            if target in self._origins:
                # It has another name now, or its own again; what it is, old code knew.
                if self._origins[target] == target:
                    self._freed.discard(_folded(target))
            elif target.column:
                self._new_columns.add(target)
            else:
                self._new_tables.add(target.table)

    def _coverings(self, found: ModelState) -> Iterator[tuple[str, set[str]]]:
        return alter.coverings(found, self._connection and self._connection.features)

    def _waits_with_its_fields(self, spot: _Spot) -> bool:
        """Whether what goes here can stay until the fields do, because rows that leave these NULL cannot violate it.

        It adds nothing, all that it takes covers a field that the plan removes, and such a field has no default of its
        own in the database, which would repeat.
        """
        key = spot.key
        assert key is not None
        before, after = spot.before.models[key], spot.after.models[key]
        old, new = dict(self._coverings(before)), dict(self._coverings(after))
        if not old.keys() - new.keys() or new.keys() - old.keys():
            return False
        constraints = {f"constraint {found.name}": found for found in before.options.get("constraints") or ()}
        for covering in old.keys() - new.keys():
            fields = {
                name
                for name in old[covering]
                if any(later >= spot.position for later in self._removals.get((key, name.lower()), ()))
                and name in before.fields
            }
            if not fields:
                return False
            if covering.startswith(("index ", "index_together ")):
                continue
            if any(before.fields[name].has_db_default() for name in fields):
                return False
            constraint = constraints.get(covering)
            if isinstance(constraint, models.CheckConstraint):
                if not conditions.accepts(constraint.condition, dict.fromkeys(fields)):
                    return False
            elif isinstance(constraint, models.UniqueConstraint):
                if not fields.intersection(constraint.fields) or constraint.nulls_distinct is False:
                    return False
                if constraint.condition is not None or constraint.expressions:
                    return False
            elif constraint is not None:
                return False
        return True

    def _companion(self, spot: _Spot) -> str:
        """The field that the plan removes later and that is covered by the index or constraint that goes here."""
        key = spot.key
        if (
            not isinstance(
                spot.operation, (ops.RemoveIndex, ops.RemoveConstraint, ops.AlterUniqueTogether, ops.AlterIndexTogether)
            )
            or key is None
            or key not in spot.before.models
            or key not in spot.after.models
        ):
            return ""
        gone = dict(self._coverings(spot.before.models[key]))
        for kept, _ in self._coverings(spot.after.models[key]):
            gone.pop(kept, None)
        table = naming.table(spot.before, key)
        known = {
            name
            for name, field in spot.before.models[key].fields.items()
            if not self._is_new(Target(table, naming.column(field, name)))
        }
        for fields in gone.values():
            for field in sorted(fields & known):
                if any(later >= spot.position for later in self._removals.get((key, field.lower()), ())):
                    return f"{'.'.join(key)}.{field}"
        if gone and any(later >= spot.position for later in self._removals.get((key, ""), ())):
            return ".".join(key)
        return ""


def _does_nothing(judgement: Judgement, spot: _Spot) -> bool:
    """Whether the database has no such constraint."""
    return isinstance(spot.operation, ops.RemoveConstraint) and judgement.phase is Phase.NEUTRAL


def _layout(state: ProjectState, table: str) -> set[tuple[naming.Key, str, tuple[str, str]]]:
    """The models that have this table, or make it for a many-to-many field, and the names of such a table's columns."""
    found = set()
    for key, model in state.models.items():
        own = naming.table(state, key)
        if own == table:
            found.add((key, "", ("", "")))
        found |= {
            (key, name, naming.m2m_columns(key, field))
            for name, field in model.fields.items()
            if naming.auto_through(field) and table in (own, naming.m2m_table(state, key, name, field))
        }
    return found


def _folded(target: Target) -> Target:
    # Some databases fold case; a name that differs in case alone is taken for the same.
    return Target(target.table.casefold(), target.column.casefold())


def _filled(field: naming.Field) -> Any:
    """What the database puts into the column where an insert leaves it out."""
    if getattr(field, "generated", False):
        return conditions.UNKNOWN
    if field.has_db_default():
        default = field.db_default
        if isinstance(default, models.Value):
            return default.value
        return conditions.UNKNOWN if hasattr(default, "resolve_expression") else default
    if field.null:
        return None
    # NOT NULL without a default in the database: guard keeps the field's own there, if it has one.
    static, value = shapes.constant(field)
    return value if static else conditions.UNKNOWN


def _of_its_own_model(spot: _Spot) -> bool:
    """Whether an operation that guard cannot look into is one of Django's on a model, done in another way."""
    return isinstance(spot.operation, (ModelOperation, FieldOperation, IndexOperation)) and spot.key is not None


def _has_null(group: Iterable[str], left_out: Mapping[str, naming.Field]) -> bool:
    """Whether a column of the group is left NULL, so that the row equals no other."""
    return any(name in left_out and _filled(left_out[name]) is None for name in group)


def _demands(constraint: Any) -> tuple[Any, ...]:
    """What a constraint asks of a row, without its name and its messages."""
    path, args, kwargs = constraint.deconstruct()
    left_out = ("name", "violation_error_code", "violation_error_message")
    return path, args, sorted((name, repr(value)) for name, value in kwargs.items() if name not in left_out)


def _copied(found: ModelState) -> ModelState:
    """A copy that may be changed in place. `ModelState.clone` does the same, and checks each field anew."""
    made = ModelState.__new__(type(found))
    vars(made).update(vars(found))
    made.fields, made.options, made.managers = dict(found.fields), dict(found.options), list(found.managers)
    return made


def _detach(state: ProjectState) -> None:
    """Give the state relation fields of its own: renaming a field changes those that refer to it in place."""
    for found in state.models.values():
        for name, field in found.fields.items():
            if getattr(field, "field_names", None) or (
                field.remote_field is not None and any(getattr(field, "to_fields", None) or ())
            ):
                found.fields[name] = field.clone()


def states_before(migration: Migration, state: ProjectState) -> Iterator[ProjectState]:
    """The state before each of the migration's operations, from the one before it, which is left as it is."""
    walk = _Walk(state, {})
    for operation in migration.operations:
        yield walk.step(migration.app_label, operation)[0]


def state_after(migration: Migration, state: ProjectState) -> ProjectState:
    """The state after the migration. `state` is left as it is, and where it is rendered, nothing is rendered anew.

    `Migration.mutate_state` changes a rendered state's models at each operation, which for a long plan takes as long as
    applying it; and fields that states share, even where it is told to preserve them.
    """
    walk = _Walk(state, {})
    for operation in migration.operations:
        walk.step(migration.app_label, operation)
    return walk.end


def judge_backwards(
    migrations: Sequence[Migration],
    states: Mapping[naming.Key, tuple[ProjectState, ProjectState]],
    *,
    connection: BaseDatabaseWrapper,
    declared: Mapping[str, Phase] | None = None,
) -> tuple[MigrationJudgement, ...]:
    """Judge migrations that are to be unapplied, in the order in which they will be.

    `states` gives, by (app, name), the states before and after each migration. What a migration makes, unapplying it
    takes away, whatever is declared. NEUTRAL stands for what guard cannot look into and for renames: these break nobody
    in this direction either. `declared` is as for `judge_plan`.
    """
    return tuple(
        _backwards(migration, states[migration.app_label, migration.name][0], connection, declared or {})
        for migration in migrations
    )


def _backwards(
    migration: Migration, state: ProjectState, connection: BaseDatabaseWrapper, given: Mapping[str, Phase]
) -> MigrationJudgement:
    walk = _Walk(state, {})
    judged = []
    for index, operation in enumerate(migration.operations):
        before, after = walk.step(migration.app_label, operation)
        neutral = _declared(migration, index, given) == Phase.NEUTRAL
        judged.append(_undone(operation, migration.app_label, before, after, connection, neutral=neutral))
    return _of_migration(migration, judged)


def _undone(
    operation: Operation,
    app_label: str,
    before: ProjectState,
    after: ProjectState,
    connection: BaseDatabaseWrapper,
    *,
    neutral: bool,
) -> Judgement:
    """What unapplying one operation does: the reverse of what applying it did."""
    if type(operation) is ops.SeparateDatabaseAndState:
        walk = _Walk(before, {})
        return rules.combine(
            [
                _undone(nested, app_label, *walk.step(app_label, nested), connection, neutral=neutral)
                for nested in operation.database_operations
            ],
            what=f"Undoes: {operation.describe()}",
        )
    judgement = _reverse(operation, app_label, before, after, connection)
    known = rules.known_as(type(operation)) is not None and judgement.phase is not Phase.OPAQUE
    # Applied, a new column breaks nobody: that its author says so does not mean that it may be taken from who uses it.
    if not neutral or (known and judgement.takes and not judgement.makes):
        return judgement
    return replace(rules.declare(judgement, Phase.NEUTRAL), takes=(), makes=())


def _reverse(
    operation: Operation, app_label: str, before: ProjectState, after: ProjectState, connection: BaseDatabaseWrapper
) -> Judgement:
    context = rules.Context(app_label, before, after, connection)
    if isinstance(operation, ops.RunSQL) and rules.known_as(type(operation)) is ops.RunSQL:
        return rules.run_sql(operation.reverse_sql or "", operation.hints, context)
    forwards = rules.judge(operation, app_label=app_label, before=before, after=after, connection=connection)
    if forwards.phase is Phase.OPAQUE:
        return rules.opaque(f"Undoes: {forwards.what}", forwards.note)
    phase = rules.by_breakage(forwards.breaks_new, forwards.breaks_old)
    return rules.verdict(
        Phase.UNSAFE if forwards.takes and forwards.makes else phase,
        f"Undoes: {forwards.what}",
        breaks_old=forwards.breaks_new,
        breaks_new=forwards.breaks_old,
        takes=forwards.makes,
        makes=forwards.takes,
        names=forwards.names,
    )
