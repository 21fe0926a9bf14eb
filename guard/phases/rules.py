"""What each operation does to code on either side of it: one rule per operation class, found by type.

`Judgement.breaks_old` and `breaks_new` always speak of the operation as Django runs it, whole; the disposition says
what `migrate` makes of it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any, TypeVar
from uuid import uuid4

from django.apps.registry import Apps
from django.db import models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import operations as ops
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from guard.phases import alter, defaults, naming, shapes
from guard.phases.words import Disposition, Judgement, Phase, Target

AnOperation = TypeVar("AnOperation", bound=Operation)

#: What `migrate` does with an operation of that phase unless its rule knows better.
DISPOSITIONS = {
    Phase.NEUTRAL: Disposition.RUN,
    Phase.EXPAND: Disposition.RUN,
    Phase.CONTRACT: Disposition.HOLD,
    Phase.OPAQUE: Disposition.HOLD,
    Phase.UNSAFE: Disposition.REFUSE,
}

_SEVERITY = {
    phase: rank for rank, phase in enumerate((Phase.NEUTRAL, Phase.EXPAND, Phase.CONTRACT, Phase.OPAQUE, Phase.UNSAFE))
}
_CAUTION = {
    disposition: rank
    for rank, disposition in enumerate((Disposition.RUN, Disposition.SPLIT, Disposition.HOLD, Disposition.REFUSE))
}

#: Judgement.note of an operation that removes an index or constraint over a field that the same plan removes.
COMPANION = "companion"

#: Judgement.note of an operation on a model that the same migration deletes: what it changes goes with the table.
JOINED = "goes with its model's table"


def worst_phase(phases: Iterable[Phase]) -> Phase:
    """The most severe of them; NEUTRAL where there is none."""
    return max(phases, key=_SEVERITY.__getitem__, default=Phase.NEUTRAL)


def worst_disposition(dispositions: Iterable[Disposition]) -> Disposition:
    """The most cautious of them; RUN where there is none."""
    return max(dispositions, key=_CAUTION.__getitem__, default=Disposition.RUN)


@dataclass(frozen=True, slots=True)
class Context:
    """Where an operation stands: the states around it, and the database that it is for."""

    app_label: str
    before: ProjectState
    after: ProjectState
    connection: BaseDatabaseWrapper

    def key(self, model_name: str) -> naming.Key:
        return self.app_label, model_name.lower()

    def label(self, model_name: str) -> str:
        return f"{self.app_label}.{model_name}"


def verdict(
    phase: Phase,
    what: str,
    *,
    disposition: Disposition | None = None,
    breaks_old: str = "",
    breaks_new: str = "",
    recipe: str = "",
    takes: Iterable[Target] = (),
    makes: Iterable[Target] = (),
    names: Iterable[Target] = (),
    note: str = "",
) -> Judgement:
    """A judgement with the disposition that its phase usually has."""
    return Judgement(
        phase=phase,
        disposition=DISPOSITIONS[phase] if disposition is None else disposition,
        what=what,
        breaks_old=breaks_old,
        breaks_new=breaks_new,
        recipe=recipe,
        takes=tuple(takes),
        makes=tuple(makes),
        names=tuple(names),
        note=note,
    )


def opaque(what: str, note: str, *, names: Iterable[Target] = ()) -> Judgement:
    """What is said of an operation that guard cannot look into."""
    return verdict(
        Phase.OPAQUE,
        what,
        breaks_old="nobody knows what: guard cannot tell what it does",
        recipe=(
            "# Say on the operation, or for all of them on the migration, what it does to deployed code:\n"
            "from guard.phases import Phase\n\n"
            "class Migration(migrations.Migration):\n"
            "    guard_phase = Phase.EXPAND  # or NEUTRAL, CONTRACT, UNSAFE\n"
            "# Where the file is not yours, say it in the settings: "
            'GUARD = {"PHASES": {"app.0001_name": "expand"}}\n'
        ),
        names=names,
        note=note,
    )


Rule = Callable[[Any, Context], Judgement]


@singledispatch
def _rule(operation: Any, context: Context) -> Judgement:
    return opaque(
        f"{type(operation).__name__}: {_described(operation)}", f"guard has no rule for {_path(type(operation))}."
    )


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _described(operation: Operation) -> str:
    try:
        return operation.describe()
    except Exception:
        # A third-party describe() may need what only a real run gives it.
        return type(operation).__name__


def register(
    operation_class: type[AnOperation],
) -> Callable[[Callable[[AnOperation, Context], Judgement]], Callable[[AnOperation, Context], Judgement]]:
    """Register the rule of an operation class, for third-party operations too.

    @register(MyOperation)
    def judge_my_operation(operation: MyOperation, context: Context) -> Judgement: ...
    """

    def decorate(rule: Callable[[AnOperation, Context], Judgement]) -> Callable[[AnOperation, Context], Judgement]:
        _rule.register(operation_class)(rule)
        _known_as.clear()
        return rule

    return decorate


#: Methods through which Django's operations reach the database. A subclass that overrides one does something else.
_DATABASE_METHODS = ("database_forwards", "_run_sql", "create_collation", "remove_collation", "extension_exists")


_known_as: dict[type, type | None] = {}


def known_as(operation_class: type) -> type | None:
    """The registered class whose rule holds for this one; None where none does.

    A subclass inherits a rule only if it does to the database what its parent does.
    """
    if operation_class not in _known_as:
        _known_as[operation_class] = _look_up(operation_class)
    return _known_as[operation_class]


def _look_up(operation_class: type) -> type | None:
    for parent in operation_class.__mro__:
        if parent is not object and parent in _rule.registry:
            same = all(
                getattr(operation_class, name, None) is getattr(parent, name, None) for name in _DATABASE_METHODS
            )
            return parent if same else None
    return None


def _load_postgres() -> None:
    # django.contrib.postgres.operations cannot be imported without psycopg; whoever has an operation of it, has it.
    if "django.contrib.postgres.operations" in sys.modules and "guard.phases.postgres" not in sys.modules:
        importlib.import_module("guard.phases.postgres")


def runs_code(operation: Operation) -> bool:
    """Whether it may run somebody's own code or SQL: its class does not tell what it reads and writes."""
    if type(operation) is ops.SeparateDatabaseAndState:
        return any(map(runs_code, operation.database_operations))
    if type(operation).__module__.startswith("guard.steps."):
        return False
    known = known_as(type(operation))
    return (
        known is None
        or known in (ops.RunPython, ops.RunSQL, ops.SeparateDatabaseAndState)
        or not known.__module__.startswith("django.")
    )


def judge(
    operation: Operation,
    *,
    app_label: str,
    before: ProjectState,
    after: ProjectState,
    connection: BaseDatabaseWrapper,
) -> Judgement:
    """Judge one operation between the state before it and the state after it.

    The states are read, not rendered and not changed. What other operations of a plan make of it is for
    `guard.phases.plan`.
    """
    _load_postgres()
    context = Context(app_label, before, after, connection)
    known = known_as(type(operation))
    judged = _unknown(operation, context) if known is None else _known(operation, known, context)
    declared = getattr(operation, "guard_phase", None)
    return judged if declared is None else declare(judged, declared)


def _known(operation: Operation, known: type, context: Context) -> Judgement:
    try:
        judged: Judgement = _rule.dispatch(known)(operation, context)
    except (KeyError, LookupError, ValueError) as error:
        # The state does not have what the operation names: Django itself would fail on it.
        return opaque(_described(operation), f"the state before it does not have what it names: {error!r}")
    return judged


def _unknown(operation: Operation, context: Context) -> Judgement:
    """What is said of a class without a rule. What it derives from tells at least which tables and columns it names."""
    cls = type(operation)
    judged = opaque(f"{cls.__name__}: {_described(operation)}", f"guard has no rule for {_path(cls)}.")
    parent = next((base for base in cls.__mro__ if base is not object and base in _rule.registry), None)
    if parent is None or parent in (ops.RunSQL, ops.RunPython, ops.SeparateDatabaseAndState):
        return judged
    like = _known(operation, parent, context)
    return replace(
        judged,
        takes=like.takes,
        makes=like.makes,
        names=like.names,
        note=f"guard has no rule for {_path(cls)}: it does otherwise than the {parent.__name__} that it derives from.",
    )


def declare(judged: Judgement, phase: object) -> Judgement:
    """The judgement with the phase that the author declared in place of the rule's."""
    try:
        declared = Phase(phase)  # type: ignore[arg-type]
    except ValueError:
        return replace(
            judged,
            phase=Phase.OPAQUE,
            disposition=Disposition.HOLD,
            note=f"guard_phase is {phase!r}; expected one of {', '.join(map(str, Phase))}.",
        )
    return replace(
        judged,
        phase=declared,
        disposition=DISPOSITIONS[declared],
        breaks_old=""
        if declared in (Phase.EXPAND, Phase.NEUTRAL)
        else judged.breaks_old or "something, as its author says",
        note="its author declared this phase",
    )


def migrates(context: Context, state: ProjectState, model_name: str, operation: Operation) -> bool:
    """Whether Django does anything at all: neither proxy nor unmanaged nor swapped, and the router allows it."""
    key = context.key(model_name)
    found = naming.model(state, key)
    options = found.options
    if options.get("proxy") or not options.get("managed", True):
        return False
    custom = type(operation).allow_migrate_model is not Operation.allow_migrate_model
    asks = options.get("swappable") or options.get("required_db_vendor") or options.get("required_db_features")
    if not asks and not custom and not router.routers:
        return True
    meta = type("Meta", (), {**options, "app_label": key[0], "apps": Apps(), "indexes": [], "constraints": []})
    for name in ("unique_together", "index_together", "order_with_respect_to", "get_latest_by"):
        if hasattr(meta, name):
            delattr(meta, name)
    # The router is asked about a model with the historical one's options. Its fields are left out: relations would
    # have to be rendered, and with them the whole project.
    stand_in = type(found.name, (models.Model,), {"Meta": meta, "__module__": "__fake__"})
    return operation.allow_migrate_model(context.connection.alias, stand_in)


def nothing(what: str, note: str = "", names: Iterable[Target] = ()) -> Judgement:
    return verdict(Phase.NEUTRAL, what, note=note, names=names)


_NOT_MIGRATED = "Django does nothing for this model on this database."
_ALREADY = "The state before it already has what it makes."


# Models


@register(ops.CreateModel)
def _create_model(operation: ops.CreateModel, context: Context) -> Judgement:
    key = context.key(operation.name)
    label = context.label(operation.name)
    if not migrates(context, context.after, operation.name, operation):
        return nothing(f"Creates model {label}", _NOT_MIGRATED)
    if key in context.before.models:
        return opaque(f"Creates model {label}", _ALREADY)
    makes = naming.tables(context.after, key)
    return verdict(
        Phase.EXPAND,
        f"Creates model {label} (table {makes[0]})",
        breaks_new=f"every use of {label}",
        makes=makes,
    )


@register(ops.DeleteModel)
def _delete_model(operation: ops.DeleteModel, context: Context) -> Judgement:
    key = context.key(operation.name)
    label = context.label(operation.name)
    if not migrates(context, context.before, operation.name, operation):
        return nothing(f"Deletes model {label}", _NOT_MIGRATED)
    takes = naming.tables(context.before, key)
    parents = sorted(
        {
            ".".join(naming.remote(field, key))
            for field in naming.model(context.before, key).fields.values()
            if _constrains(field) and naming.remote(field, key) != key
        }
    )
    plain = type(operation) is ops.DeleteModel
    return verdict(
        Phase.CONTRACT,
        f"Deletes model {label} (table {takes[0]})",
        disposition=_split_table(takes) if plain else Disposition.HOLD,
        breaks_old=f"every use of {label}, and deletes of what it refers to",
        breaks_new=f"deletes of {', '.join(parents)}: rows of {takes[0]} still refer to it" if parents else "",
        recipe=(
            f"# Deploy code that no longer uses {label} first; this runs when no deployed instance knows it.\n"
            f"migrations.DeleteModel(name={operation.name!r})"
        ),
        takes=takes,
        note="" if plain else f"{_path(type(operation))} is not Django's own DeleteModel",
    )


def _split_table(takes: Iterable[Target]) -> Disposition:
    """A table can be set aside where its name is a plain one: projects write a schema into it as schema"."table."""
    return Disposition.HOLD if any('"' in t.table or "`" in t.table for t in takes) else Disposition.SPLIT


def _constrains(field: naming.Field) -> bool:
    """Whether the database refuses to delete what the field's rows refer to."""
    if field.remote_field is None:
        return False
    if naming.is_m2m(field):
        return naming.auto_through(field) and bool(field.remote_field.db_constraint)
    if not naming.is_foreign_key(field) or not field.db_constraint:
        return False
    return not alter.on_delete_sql(field)


@register(ops.RenameModel)
def _rename_model(operation: ops.RenameModel, context: Context) -> Judgement:
    old_key, new_key = context.key(operation.old_name), context.key(operation.new_name)
    what = f"Renames model {context.label(operation.old_name)} to {operation.new_name}"
    if not migrates(context, context.after, operation.new_name, operation):
        return nothing(what, _NOT_MIGRATED)
    takes, makes = _moved(context, old_key, new_key)
    old_table = naming.table(context.before, old_key)
    if not takes:
        return nothing(what, "the table keeps its name")
    return verdict(
        Phase.UNSAFE,
        f"{what}, which renames {_listed(takes)}",
        breaks_old=f"every use of {context.label(operation.old_name)}",
        breaks_new=f"every use of {context.label(operation.new_name)}",
        recipe=(
            "# Rename the model and keep its table, and the tables of its many-to-many fields:\n"
            "migrations.SeparateDatabaseAndState(state_operations=[\n"
            f"    migrations.AlterModelTable(name={operation.old_name!r}, table={old_table!r}),\n"
            f"    migrations.RenameModel(old_name={operation.old_name!r}, new_name={operation.new_name!r}),\n"
            "])\n"
            f"# and in the model:  class Meta: db_table = {old_table!r}"
        ),
        takes=takes,
        makes=makes,
    )


def _moved(context: Context, old_key: naming.Key, new_key: naming.Key) -> tuple[list[Target], list[Target]]:
    """The tables, and columns of many-to-many tables, that have another name in the state after."""
    takes: list[Target] = []
    makes: list[Target] = []
    old_table, new_table = naming.table(context.before, old_key), naming.table(context.after, new_key)
    if not _same_table(context, old_table, new_table):
        takes.append(Target(old_table))
        makes.append(Target(new_table))
    after = naming.m2m_shape(context.after, new_key)
    for (owner, name), (old_through, old_columns) in naming.m2m_shape(context.before, old_key).items():
        found = after.get((new_key if owner == old_key else owner, name))
        if found is None:
            continue
        new_through, new_columns = found
        if not _same_table(context, old_through, new_through):
            takes.append(Target(old_through))
            makes.append(Target(new_through))
        else:
            takes.extend(Target(old_through, c) for c in old_columns if c not in new_columns)
            makes.extend(Target(new_through, c) for c in new_columns if c not in old_columns)
    return takes, makes


def _same_table(context: Context, old: str, new: str) -> bool:
    # MySQL's lower_case_table_names is asked of the server by Django's own feature flag, so it is not asked here:
    # two names that differ in case are two names.
    return old == new or (context.connection.vendor == "sqlite" and old.lower() == new.lower())


def _listed(targets: Iterable[Target]) -> str:
    return ", ".join(map(str, targets))


@register(ops.AlterModelTable)
def _alter_model_table(operation: ops.AlterModelTable, context: Context) -> Judgement:
    key = context.key(operation.name)
    what = f"Renames the table of model {context.label(operation.name)}"
    if not migrates(context, context.after, operation.name, operation):
        return nothing(what, _NOT_MIGRATED)
    takes, makes = _moved(context, key, key)
    old_table = naming.table(context.before, key)
    if not takes:
        return nothing(what, "the table keeps its name")
    return verdict(
        Phase.UNSAFE,
        f"{what} from {old_table} to {naming.table(context.after, key)}",
        breaks_old=f"every use of {context.label(operation.name)}",
        breaks_new=f"every use of {context.label(operation.name)}",
        recipe=f"# Keep the table's name in the model:\nclass Meta:\n    db_table = {old_table!r}",
        takes=takes,
        makes=makes,
    )


@register(ops.AlterModelTableComment)
def _alter_table_comment(operation: ops.AlterModelTableComment, context: Context) -> Judgement:
    return nothing(f"Alters the table comment of {context.label(operation.name)}")


@register(ops.AlterModelManagers)
def _alter_managers(operation: ops.AlterModelManagers, context: Context) -> Judgement:
    return nothing(f"Alters managers of {context.label(operation.name)}")


@register(ops.AlterModelOptions)
def _alter_options(operation: ops.AlterModelOptions, context: Context) -> Judgement:
    key = context.key(operation.name)
    was = naming.model(context.before, key).options.get("managed", True)
    now = naming.model(context.after, key).options.get("managed", True)
    note = "Django neither makes nor drops the table when `managed` changes." if was != now else ""
    return nothing(f"Alters options of {context.label(operation.name)}", note)


@register(ops.AlterUniqueTogether)
def _alter_unique_together(operation: ops.AlterUniqueTogether, context: Context) -> Judgement:
    key = context.key(operation.name)
    label = context.label(operation.name)
    if not migrates(context, context.after, operation.name, operation):
        return nothing(f"Alters unique_together of {label}", _NOT_MIGRATED)
    old = {tuple(group) for group in naming.model(context.before, key).options.get("unique_together") or ()}
    new = {tuple(group) for group in naming.model(context.after, key).options.get("unique_together") or ()}
    # What is unique over fewer columns is unique over more.
    stricter = [group for group in sorted(new - old) if not any(set(other) <= set(group) for other in old)]
    looser = [group for group in sorted(old - new) if not any(set(other) <= set(group) for other in new)]
    names = [
        target
        for group in sorted((old | new) - (old & new))
        for target in naming.columns_of(context.before, key, group)
    ]
    breaks_old = f"writes that repeat {_groups(stricter)} in {label}" if stricter else ""
    breaks_new = f"writes that repeat {_groups(looser)} in {label}" if looser else ""
    recipe = ""
    if breaks_old and breaks_new:
        recipe = "# First deploy code that keeps to both; then add the new constraint; remove the old one after it."
    elif breaks_old:
        recipe = "# First deploy code that keeps to the constraint; add it when nothing else is deployed."
    return verdict(
        by_breakage(breaks_old, breaks_new),
        f"Alters unique_together of {label}",
        breaks_old=breaks_old,
        breaks_new=breaks_new,
        recipe=recipe,
        names=names,
    )


def _groups(groups: Iterable[tuple[str, ...]]) -> str:
    return ", ".join("(" + ", ".join(group) + ")" for group in groups)


def by_breakage(breaks_old: str, breaks_new: str) -> Phase:
    if breaks_old:
        return Phase.UNSAFE if breaks_new else Phase.CONTRACT
    return Phase.EXPAND if breaks_new else Phase.NEUTRAL


@register(ops.AlterIndexTogether)
def _alter_index_together(operation: ops.AlterIndexTogether, context: Context) -> Judgement:
    key = context.key(operation.name)
    groups = {
        tuple(group)
        for state in (context.before, context.after)
        for group in naming.model(state, key).options.get("index_together") or ()
    }
    names = [target for group in sorted(groups) for target in naming.columns_of(context.before, key, group)]
    return nothing(f"Alters index_together of {context.label(operation.name)}", names=names)


@register(ops.AlterOrderWithRespectTo)
def _alter_order(operation: ops.AlterOrderWithRespectTo, context: Context) -> Judgement:
    key = context.key(operation.name)
    label = context.label(operation.name)
    what = f"Alters order_with_respect_to of {label}"
    if not migrates(context, context.after, operation.name, operation):
        return nothing(what, _NOT_MIGRATED)
    had = bool(naming.model(context.before, key).options.get("order_with_respect_to"))
    has = bool(naming.model(context.after, key).options.get("order_with_respect_to"))
    order = Target(naming.table(context.after, key), "_order")
    if had == has:
        return nothing(what, names=[order] if has else ())
    if has:
        return verdict(
            Phase.UNSAFE,
            f"{what}, which adds the NOT NULL column {order}",
            breaks_old=f"inserts into {label}: the column _order has no value",
            breaks_new=f"every use of {label}",
            recipe=(
                "# Add the column with a default in the database first, then the option in the state alone:\n"
                f"migrations.RunSQL('ALTER TABLE {order.table} ADD COLUMN _order integer NOT NULL DEFAULT 0'),\n"
                "migrations.SeparateDatabaseAndState(state_operations=[\n"
                f"    migrations.AlterOrderWithRespectTo({operation.name!r}, {operation.order_with_respect_to!r}),\n"
                "])"
            ),
            makes=[order],
        )
    return verdict(
        Phase.CONTRACT,
        f"{what}, which drops the column {order}",
        breaks_old=f"every use of {label}",
        breaks_new=f"inserts into {label}: the column _order has no value",
        recipe="# This runs when no deployed instance orders by it.",
        takes=[order],
    )


# Fields


@register(ops.AddField)
def _add_field(operation: ops.AddField, context: Context) -> Judgement:
    key = context.key(operation.model_name)
    label = f"{context.label(operation.model_name)}.{operation.name}"
    what = f"Adds field {label}"
    if not migrates(context, context.after, operation.model_name, operation):
        return nothing(what, _NOT_MIGRATED)
    if operation.name in naming.model(context.before, key).fields:
        return opaque(what, _ALREADY)
    field = naming.get_field(context.after, key, operation.name)
    name = naming.own_name(context.after, key, operation.name)
    if naming.is_m2m(field):
        if not naming.auto_through(field):
            return nothing(what, "the relation goes through a model of its own")
        return verdict(
            Phase.EXPAND,
            f"{what} (table {naming.m2m_table(context.after, key, name, field)})",
            breaks_new=f"every use of {label}, and deletes on both sides",
            makes=[naming.m2m_target(context.after, key, name, field)],
        )
    if not shapes.has_column(context.after, key, name, field, context.connection):
        return nothing(what, "the field has no column")
    target = Target(naming.table(context.after, key), naming.column(field, name))
    breaks_new = f"every use of {context.label(operation.model_name)} that names the column"
    if field.primary_key:
        return verdict(
            Phase.UNSAFE,
            f"{what} as primary key",
            breaks_old=f"inserts into {context.label(operation.model_name)}",
            breaks_new=breaks_new,
            recipe="# A table's primary key cannot change under deployed code: make a new model and copy the rows.",
            makes=[target],
        )
    if not (getattr(field, "generated", False) or field.null or field.has_db_default()):
        return _add_required(operation, context, name, field, target, what, breaks_new)
    why = fails_without(field)
    return verdict(
        Phase.UNSAFE if why else Phase.EXPAND,
        what,
        breaks_old=f"inserts into {context.label(operation.model_name)}: {why}" if why else "",
        breaks_new=breaks_new,
        recipe=_unique_recipe(operation, name, field) if why else "",
        makes=[target],
        note=_refers(field, key),
    )


def fails_without(field: naming.Field) -> str:
    """Why inserts that leave the field's column out would fail; empty where they would not."""
    if getattr(field, "generated", False):
        return "the column is unique and its generated values may repeat" if field.unique else ""
    if field.has_db_default():
        default = field.db_default
        constant = isinstance(default, models.Value) or not hasattr(default, "resolve_expression")
        return "the column is unique and has one default" if field.unique and constant else ""
    return "" if field.null else "the column is NOT NULL and has no default in the database"


def _refers(field: naming.Field, key: naming.Key) -> str:
    if naming.is_foreign_key(field) and _constrains(field):
        remote = ".".join(naming.remote(field, key))
        return f"old code cannot delete a {remote} that new code refers to"
    return ""


def _add_required(
    operation: ops.AddField,
    context: Context,
    name: str,
    field: naming.Field,
    target: Target,
    what: str,
    breaks_new: str,
) -> Judgement:
    model = context.label(operation.model_name)
    breaks_old = f"inserts into {model}: {target} is NOT NULL and has no default in the database"
    if type(operation) is ops.AddField and shapes.default_storable(field, name, context.connection):
        # The default may be in the operation alone (preserve_default=False).
        static, value = shapes.constant(operation.field)
        own = "" if static else defaults.expression(operation.field, context.connection)
        plain = field.remote_field is None or naming.is_foreign_key(field)
        # One default would let one more row into a unique column; an expression that never repeats lets in any number.
        if (static and plain and not field.unique) or (own and (not field.unique or operation.field.default is uuid4)):
            return verdict(
                Phase.EXPAND,
                f"{what}, NOT NULL with the default {value!r}" if static else f"{what}, NOT NULL with {own}",
                disposition=Disposition.SPLIT,
                breaks_old=breaks_old,
                breaks_new=breaks_new,
                recipe=(
                    f"# Or keep the default in the database for good:\n{name} = {_written(field, db_default=value)}"
                    if static
                    else _required_recipe(operation, name, field)
                ),
                makes=[target],
                names=_parent(context, context.key(operation.model_name), field),
                note="keeps its default in the database for old code",
            )
    return verdict(
        Phase.UNSAFE,
        f"{what}, NOT NULL without a default that the database could keep",
        breaks_old=breaks_old,
        breaks_new=breaks_new,
        recipe=_required_recipe(operation, name, field),
        makes=[target],
    )


def _parent(context: Context, key: naming.Key, field: naming.Field) -> list[Target]:
    """The column that a foreign key's values must be found in."""
    found = (
        shapes.target_of(context.after, key, field) if naming.is_foreign_key(field) and field.db_constraint else None
    )
    if found is None:
        return []
    owner, name, remote = found
    return [Target(naming.table(context.after, owner), naming.column(remote, name))]


class _Code(str):
    """Text that is written as code, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


#: In place of an argument that is left out.
_LEFT_OUT = object()


def _written(field: naming.Field, **changed: object) -> str:
    """The field as a model declares it, with some arguments changed or left out."""
    _, path, args, kwargs = field.deconstruct()
    kwargs = {name: value for name, value in {**kwargs, **changed}.items() if value is not _LEFT_OUT}
    if "db_default" in changed:
        kwargs.pop("default", None)
    listed = [repr(arg) for arg in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
    prefix = "models." if path.startswith("django.db.models.") else ""
    return f"{prefix}{path.rpartition('.')[2]}({', '.join(listed)})"


def _required_recipe(operation: ops.AddField, name: str, field: naming.Field) -> str:
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        return (
            "# Let the database fill it for old code:\n"
            "from django.db.models.functions import Now\n"
            f"{name} = {_written(field, db_default=_Code('Now()'))}"
        )
    # Django gives every row that is there one and the same default, which a unique column has no room for.
    without = {"default": _LEFT_OUT, "db_default": _LEFT_OUT} if field.unique else {}
    each = ", a value of its own for each" if field.unique else ""
    return (
        "# Deploy 1: allow NULL, so that old code can insert:\n"
        f"migrations.AddField({operation.model_name!r}, {operation.name!r}, "
        f"{_written(field, null=True, **without)}),\n"
        f"# then fill the rows that are there (RunPython){each}.\n"
        "# Deploy 2, when only code that writes the field is deployed: fill the others, and require it:\n"
        f"migrations.AlterField({operation.model_name!r}, {operation.name!r}, {_written(field, **without)})"
    )


def _unique_recipe(operation: ops.AddField, name: str, field: naming.Field) -> str:
    """For a unique field whose default in the database is the same for every row."""
    if getattr(field, "generated", False):
        return "# Add the field without unique=True; make it unique in a later deploy."
    if not field.null:
        return _required_recipe(operation, name, field)
    return (
        "# Leave the default out: the rows that do not say a value have NULL, which may repeat:\n"
        f"{name} = {_written(field, db_default=_LEFT_OUT)}"
    )


@register(ops.RemoveField)
def _remove_field(operation: ops.RemoveField, context: Context) -> Judgement:
    key = context.key(operation.model_name)
    model = context.label(operation.model_name)
    label = f"{model}.{operation.name}"
    what = f"Removes field {label}"
    if not migrates(context, context.before, operation.model_name, operation):
        return nothing(what, _NOT_MIGRATED)
    field = naming.get_field(context.before, key, operation.name)
    name = naming.own_name(context.before, key, operation.name)
    recipe = (
        f"# Deploy code that no longer uses {label} first; the removal ends when no deployed instance declares it.\n"
        f"migrations.RemoveField({operation.model_name!r}, {operation.name!r})"
    )
    if naming.is_m2m(field):
        if not naming.auto_through(field):
            return nothing(what, "the relation goes through a model of its own")
        takes = [naming.m2m_target(context.before, key, name, field)]
        plain = type(operation) is ops.RemoveField
        return verdict(
            Phase.CONTRACT,
            f"{what} (table {naming.m2m_table(context.before, key, name, field)})",
            disposition=_split_table(takes) if plain else Disposition.HOLD,
            breaks_old=f"every use of {label}, and deletes on both sides",
            breaks_new="deletes on both sides: rows of the table still refer to them" if _constrains(field) else "",
            recipe=recipe,
            takes=takes,
            note="" if plain else f"{_path(type(operation))} is not Django's own RemoveField",
        )
    if not shapes.has_column(context.before, key, name, field, context.connection):
        return nothing(what, "the field has no column")
    target = Target(naming.table(context.before, key), naming.column(field, name))
    breaks = [f"inserts into {model} that leave out {target}: {why}"] if (why := fails_without(field)) else []
    if _constrains(field):
        breaks.append(f"deletes of {'.'.join(naming.remote(field, key))}: rows of {target.table} still refer to it")
    kept = _kept_together(operation, context, key, name, field, target)
    return verdict(
        Phase.CONTRACT,
        f"{what} (column {target})",
        disposition=Disposition.HOLD if kept else Disposition.SPLIT,
        breaks_old=f"every use of {model} that names the column",
        breaks_new="; ".join(breaks),
        recipe=recipe,
        takes=[target],
        note=kept,
    )


def _kept_together(
    operation: ops.RemoveField, context: Context, key: naming.Key, name: str, field: naming.Field, target: Target
) -> str:
    """Why the removal cannot be done in two steps; empty where it can."""
    if type(operation) is not ops.RemoveField:
        return f"{_path(type(operation))} is not Django's own RemoveField"
    if field.primary_key:
        return "the column is the primary key"
    if field.remote_field is not None and getattr(field.remote_field, "parent_link", False):
        return "the column links the model to the one that it inherits from"
    if getattr(field, "generated", False):
        return "the column is generated"
    if field.remote_field is not None and not naming.is_foreign_key(field):
        return "the relation is not a plain foreign key"
    state = naming.model(context.after, key)
    for other_name, other in state.fields.items():
        if getattr(other, "generated", False) and name in alter.expression_fields(getattr(other, "expression", None)):
            return f"the generated field {other_name} reads it"
        if name in (getattr(other, "field_names", None) or ()):
            return f"the composite primary key {other_name} contains it"
    for covering, fields in alter.coverings(state):
        if name in fields:
            return f"{covering} covers it"
    if state.options.get("order_with_respect_to") == name:
        return "the model is ordered with respect to it"
    # Only what is unique can be pointed to.
    for pointing_key, pointing in context.after.models.items() if field.unique else ():
        for pointing_name, relation in pointing.fields.items():
            to_fields = getattr(relation, "to_fields", None) or ()
            if name in to_fields and naming.remote(relation, pointing_key) == key:
                return f"{'.'.join(pointing_key)}.{pointing_name} refers to it"
    return ""


@register(ops.AlterField)
def _alter_field(operation: ops.AlterField, context: Context) -> Judgement:
    key = context.key(operation.model_name)
    label = f"{context.label(operation.model_name)}.{operation.name}"
    if not migrates(context, context.after, operation.model_name, operation):
        return nothing(f"Alters field {label}", _NOT_MIGRATED)
    old_name = naming.own_name(context.before, key, operation.name)
    new_name = naming.own_name(context.after, key, operation.name)
    splits = type(operation) is ops.AlterField
    return _altered(f"Alters field {label}", label, context, key, old_name, new_name, splits=splits)


@register(ops.RenameField)
def _rename_field(operation: ops.RenameField, context: Context) -> Judgement:
    key = context.key(operation.model_name)
    model = context.label(operation.model_name)
    what = f"Renames field {model}.{operation.old_name} to {operation.new_name}"
    if not migrates(context, context.after, operation.model_name, operation):
        return nothing(what, _NOT_MIGRATED)
    if operation.new_name in naming.model(context.before, key).fields:
        return opaque(what, _ALREADY)
    old_name = naming.own_name(context.before, key, operation.old_name)
    new_name = naming.own_name(context.after, key, operation.new_name)
    return _altered(what, f"{model}.{new_name}", context, key, old_name, new_name)


def _altered(
    what: str,
    label: str,
    context: Context,
    key: naming.Key,
    old_name: str,
    new_name: str,
    *,
    splits: bool = False,
) -> Judgement:
    difference = alter.compare(context.before, context.after, key, old_name, new_name, context.connection)
    phase = by_breakage("; ".join(difference.breaks_old), "; ".join(difference.breaks_new))
    if difference.unsafe:
        phase = Phase.UNSAFE
    detail = ", ".join(difference.changes)
    return verdict(
        phase,
        f"{what}: {detail}" if detail else what,
        disposition=Disposition.SPLIT if splits and difference.tightens_only else None,
        breaks_old="; ".join(difference.breaks_old),
        breaks_new="; ".join(difference.breaks_new),
        recipe=difference.recipe,
        takes=difference.takes,
        makes=difference.makes,
        # What changes nothing in the database names nothing that a pending step could mind.
        names=difference.names if difference.changes else (),
        note="; ".join(difference.notes),
    )


# Indexes and constraints


def _index_names(context: Context, state: ProjectState, model_name: str, index: Any) -> tuple[Target, ...]:
    key = context.key(model_name)
    # An index over expressions that name no field is on the table.
    return naming.columns_of(state, key, sorted(alter.index_fields(index))) or (Target(naming.table(state, key)),)


@register(ops.AddIndex)
def add_index(operation: ops.AddIndex, context: Context) -> Judgement:
    return nothing(
        f"Adds index {operation.index.name} on {context.label(operation.model_name)}",
        names=_index_names(context, context.after, operation.model_name, operation.index),
    )


@register(ops.RemoveIndex)
def remove_index(operation: ops.RemoveIndex, context: Context) -> Judgement:
    index = naming.model(context.before, context.key(operation.model_name)).get_index_by_name(operation.name)
    return nothing(
        f"Removes index {operation.name} from {context.label(operation.model_name)}",
        names=_index_names(context, context.before, operation.model_name, index),
    )


@register(ops.RenameIndex)
def _rename_index(operation: ops.RenameIndex, context: Context) -> Judgement:
    return nothing(f"Renames an index of {context.label(operation.model_name)} to {operation.new_name}")


@register(ops.AddConstraint)
def add_constraint(operation: ops.AddConstraint, context: Context) -> Judgement:
    what = f"Adds constraint {operation.constraint.name} to {context.label(operation.model_name)}"
    if not migrates(context, context.after, operation.model_name, operation):
        return nothing(what, _NOT_MIGRATED)
    if not alter.enforced(operation.constraint, context.connection):
        return nothing(what, "this database has no such constraint: Django does nothing")
    return verdict(
        Phase.CONTRACT,
        what,
        breaks_old=f"writes to {context.label(operation.model_name)} that violate it",
        recipe=(
            "# First deploy code that keeps to the constraint; add it when nothing else is deployed:\n"
            f"migrations.AddConstraint({operation.model_name!r}, constraint=...)"
        ),
        names=_constraint_names(context, context.after, operation.model_name, operation.constraint),
    )


def _constraint_names(context: Context, state: ProjectState, model_name: str, constraint: Any) -> tuple[Target, ...]:
    key = context.key(model_name)
    fields = alter.constraint_fields(constraint)
    return naming.columns_of(state, key, sorted(fields or ())) or (Target(naming.table(state, key)),)


@register(ops.RemoveConstraint)
def _remove_constraint(operation: ops.RemoveConstraint, context: Context) -> Judgement:
    what = f"Removes constraint {operation.name} from {context.label(operation.model_name)}"
    if not migrates(context, context.after, operation.model_name, operation):
        return nothing(what, _NOT_MIGRATED)
    found = naming.model(context.before, context.key(operation.model_name)).get_constraint_by_name(operation.name)
    if not alter.enforced(found, context.connection):
        return nothing(what, "this database has no such constraint: Django does nothing")
    return verdict(
        Phase.EXPAND,
        what,
        breaks_new=f"writes to {context.label(operation.model_name)} that violate it",
        names=_constraint_names(context, context.before, operation.model_name, found),
        note="old code that names the constraint in an upsert needs it",
    )


@register(ops.AlterConstraint)
def _alter_constraint(operation: ops.AlterConstraint, context: Context) -> Judgement:
    return nothing(f"Alters constraint {operation.name} of {context.label(operation.model_name)} in the state alone")


# Special operations


@register(ops.SeparateDatabaseAndState)
def _separate(operation: ops.SeparateDatabaseAndState, context: Context) -> Judgement:
    if not operation.database_operations:
        described = "; ".join(_described(nested) for nested in operation.state_operations)
        return nothing(f"Changes the state alone: {described}", "the database is not touched")
    judged = []
    before = context.before
    for nested in operation.database_operations:
        after = before.clone()
        nested.state_forwards(context.app_label, after)
        judged.append(
            judge(nested, app_label=context.app_label, before=before, after=after, connection=context.connection)
        )
        before = after
    combined = combine(judged)
    if combined.disposition is not Disposition.HOLD or not any(j.disposition is Disposition.SPLIT for j in judged):
        return combined
    return replace(
        combined,
        what=f"{combined.what}; database_operations and state_operations differ, so that it cannot run in two steps",
        recipe=(
            "# Write the same operations into both halves, in the same order (what is the state's own may follow):\n"
            "# then it runs in two steps.\n"
            "migrations.SeparateDatabaseAndState(database_operations=[...], state_operations=[...])"
        ),
    )


def combine(judged: Sequence[Judgement], *, what: str = "") -> Judgement:
    """One judgement for operations that run as one. What would be split inside is held."""
    if len(judged) == 1 and judged[0].disposition is not Disposition.SPLIT:
        return judged[0]
    disposition = worst_disposition(j.disposition for j in judged)
    return Judgement(
        phase=worst_phase(j.phase for j in judged),
        disposition=Disposition.HOLD if disposition is Disposition.SPLIT else disposition,
        what=what or "; ".join(j.what for j in judged),
        breaks_old="; ".join(filter(None, (j.breaks_old for j in judged))),
        breaks_new="; ".join(filter(None, (j.breaks_new for j in judged))),
        recipe="\n".join(filter(None, (j.recipe for j in judged))),
        takes=tuple(t for j in judged for t in j.takes),
        makes=tuple(t for j in judged for t in j.makes),
        names=tuple(t for j in judged for t in j.names),
        note="; ".join(filter(None, (j.note for j in judged))),
    )


@register(ops.RunPython)
def _run_python(operation: ops.RunPython, context: Context) -> Judgement:
    what = f"Runs {getattr(operation.code, '__qualname__', 'Python code')}"
    if not router.allow_migrate(context.connection.alias, context.app_label, **operation.hints):
        return nothing(what, _NOT_MIGRATED)
    if operation.code is ops.RunPython.noop:
        return nothing("Runs no Python code")
    return nothing(
        what,
        "guard does not look into Python code; mark it with guard_phase if it breaks deployed code",
    )


def run_sql(sql: object, hints: Mapping[str, Any], context: Context) -> Judgement:
    """Judge what RunSQL is given to run, forwards or backwards."""
    if not router.allow_migrate(context.connection.alias, context.app_label, **hints):
        return nothing("Runs SQL", _NOT_MIGRATED)
    # The parser costs a tenth of a second to import: only plans that run SQL pay for it.
    from guard.phases import raw_sql

    return raw_sql.judge(sql, context.connection.vendor)


@register(ops.RunSQL)
def _run_sql(operation: ops.RunSQL, context: Context) -> Judgement:
    judged = run_sql(operation.sql, operation.hints, context)
    if judged.phase is Phase.OPAQUE and operation.state_operations:
        judged = replace(judged, takes=_state_takes(operation.state_operations, context))
    return judged


def _state_takes(state_operations: Iterable[Operation], context: Context) -> tuple[Target, ...]:
    takes: list[Target] = []
    before = context.before
    for nested in state_operations:
        after = before.clone()
        nested.state_forwards(context.app_label, after)
        takes.extend(
            judge(nested, app_label=context.app_label, before=before, after=after, connection=context.connection).takes
        )
        before = after
    return tuple(takes)
