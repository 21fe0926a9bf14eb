"""What an altered or renamed field changes in the database, and what of that either side's code notices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.constants import LOOKUP_SEP

from guard.phases import naming, shapes
from guard.phases.words import Target


@dataclass(slots=True)
class Difference:
    """What differs in the database between a field before and after an operation."""

    changes: list[str] = field(default_factory=list)
    breaks_old: list[str] = field(default_factory=list)
    breaks_new: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    takes: list[Target] = field(default_factory=list)
    makes: list[Target] = field(default_factory=list)
    names: list[Target] = field(default_factory=list)
    unsafe: bool = False
    recipe: str = ""
    #: What old code minds because NULL is forbidden from now on; empty where it is not.
    tightening: str = ""

    @property
    def tightens_only(self) -> bool:
        """Whether old code minds nothing but that NULL is forbidden from now on."""
        return bool(self.tightening) and not self.unsafe and self.breaks_old == [self.tightening]


def expression_fields(expression: Any) -> set[str]:
    """The fields of its own model that an expression or a condition names (the first part of each path)."""
    found: set[str] = set()
    queue = [expression]
    while queue:
        part = queue.pop()
        if isinstance(part, models.F):
            found.add(str(getattr(part, "name", "")).split(LOOKUP_SEP)[0])
        elif isinstance(part, models.Q):
            for child in part.children:
                if isinstance(child, tuple):
                    found.add(child[0].split(LOOKUP_SEP)[0])
                    queue.append(child[1])
                else:
                    queue.append(child)
        elif isinstance(part, (list, tuple)):
            queue.extend(part)
        elif hasattr(part, "get_source_expressions"):
            queue.extend(e for e in part.get_source_expressions() if e is not None)
    return found


def index_fields(index: Any, features: Any = None) -> set[str]:
    """The fields that an index reads; with a database's features, those that it reads there."""
    found = {name for name, _ in index.fields_orders}
    if features is None or features.supports_covering_indexes:
        found |= set(index.include)
    found |= expression_fields(index.expressions)
    # Django leaves out what the database does not know, and makes the index all the same.
    if index.condition is not None and (features is None or features.supports_partial_indexes):
        found |= expression_fields(index.condition)
    return found


def constraint_fields(constraint: Any) -> set[str] | None:
    """The fields that a constraint reads; None where its class says nothing that guard understands."""
    if isinstance(constraint, models.CheckConstraint):
        return expression_fields(constraint.condition)
    if isinstance(constraint, models.UniqueConstraint):
        found = (
            set(constraint.fields) | set(getattr(constraint, "include", ())) | expression_fields(constraint.expressions)
        )
        if constraint.condition is not None:
            found |= expression_fields(constraint.condition)
        return found
    # ExclusionConstraint lives in a module that needs psycopg; it is known by its shape.
    expressions = getattr(constraint, "expressions", None)
    if expressions is None:
        return None
    found = set(getattr(constraint, "include", None) or ())
    for expression in expressions:
        part = expression[0] if isinstance(expression, (list, tuple)) else expression
        found |= {part} if isinstance(part, str) else expression_fields(part)
    condition = getattr(constraint, "condition", None)
    return found | expression_fields(condition) if condition is not None else found


def coverings(state: ModelState, features: Any = None) -> Iterator[tuple[str, set[str]]]:
    """Every index, constraint and together-group of a model, named, with the fields that it covers.

    With a database's features, an index is taken as it is made there.
    """
    for index in state.options.get("indexes") or ():
        yield f"index {index.name}", index_fields(index, features)
    for constraint in state.options.get("constraints") or ():
        fields = constraint_fields(constraint)
        # What nobody can read may cover any field.
        yield f"constraint {constraint.name}", set(state.fields) if fields is None else fields
    for option in ("unique_together", "index_together"):
        for group in state.options.get(option) or ():
            yield f"{option} ({', '.join(group)})", set(group)


def enforced(constraint: Any, connection: BaseDatabaseWrapper) -> bool:
    """Whether Django makes the constraint on this database; where it is not supported, it does nothing."""
    try:
        return _supported(constraint, connection.features)
    except DatabaseError:
        # Some features are asked of the server. Where it cannot be reached, the constraint is taken to be made.
        return True


def _supported(constraint: Any, features: Any) -> bool:
    if isinstance(constraint, models.CheckConstraint):
        return bool(features.supports_table_check_constraints)
    if isinstance(constraint, models.UniqueConstraint):
        return bool(
            (constraint.condition is None or features.supports_partial_indexes)
            and (constraint.deferrable is None or features.supports_deferrable_unique_constraints)
            and (not getattr(constraint, "include", ()) or features.supports_covering_indexes)
            and (not constraint.expressions or features.supports_expression_indexes)
            and (constraint.nulls_distinct is None or features.supports_nulls_distinct_unique_constraints)
        )
    return True


def compare(
    before: ProjectState,
    after: ProjectState,
    key: naming.Key,
    old_name: str,
    new_name: str,
    connection: BaseDatabaseWrapper,
) -> Difference:
    """What differs between the field `old_name` before and `new_name` after."""
    old, new = naming.get_field(before, key, old_name), naming.get_field(after, key, new_name)
    difference = Difference()
    if naming.is_m2m(old) or naming.is_m2m(new):
        _compare_m2m(difference, before, after, key, old_name, new_name)
        return difference
    old_type = shapes.db_type(before, key, old_name, old, connection)
    new_type = shapes.db_type(after, key, new_name, new, connection)
    if old_type is None and new_type is None:
        return difference
    table = naming.table(after, key)
    if old_type is None or new_type is None:
        difference.unsafe = True
        difference.changes.append("its column appears or disappears, which Django cannot do")
        difference.breaks_old.append("unknown")
        return difference
    old_column, new_column = naming.column(old, old_name), naming.column(new, new_name)
    model = f"{key[0]}.{naming.model(after, key).name}"
    difference.names.append(Target(table, new_column))
    if old_column != new_column:
        _renamed(difference, table, old_column, new_column, model, new_name, new)
    _compare_type(difference, before, after, key, (old_name, old), (new_name, new), connection, (old_type, new_type))
    _compare_null_and_default(difference, old, new, model, f"{table}.{new_column}")
    _compare_unique(difference, old, new, model, f"{table}.{new_column}")
    _compare_foreign_key(difference, before, after, key, old, new, model)
    return difference


def _renamed(
    difference: Difference, table: str, old_column: str, new_column: str, model: str, name: str, new: naming.Field
) -> None:
    difference.unsafe = True
    difference.changes.append(f"renames the column {table}.{old_column} to {new_column}")
    difference.takes.append(Target(table, old_column))
    difference.makes.append(Target(table, new_column))
    difference.breaks_old.append(f"every use of {model} that names the column {old_column}")
    difference.breaks_new.append(f"every use of {model} that names the column {new_column}")
    difference.recipe = (
        f"# Keep the column's name in the model; RenameField then changes the state alone:\n"
        f"{name} = models.{type(new).__name__}(..., db_column={old_column!r})"
    )


def _compare_m2m(
    difference: Difference, before: ProjectState, after: ProjectState, key: naming.Key, old_name: str, new_name: str
) -> None:
    old, new = naming.get_field(before, key, old_name), naming.get_field(after, key, new_name)
    if not (naming.is_m2m(old) and naming.is_m2m(new)) or naming.auto_through(old) != naming.auto_through(new):
        difference.unsafe = True
        difference.changes.append("changes between a column, a table and a model of its own, which Django cannot do")
        difference.breaks_old.append("unknown")
        return
    if not naming.auto_through(old):
        return
    old_table = naming.m2m_table(before, key, old_name, old)
    new_table = naming.m2m_table(after, key, new_name, new)
    difference.names.append(Target(new_table))
    label = f"{key[0]}.{naming.model(after, key).name}.{new_name}"
    if old_table != new_table:
        difference.unsafe = True
        difference.changes.append(f"renames the table {old_table} to {new_table}")
        difference.takes.append(Target(old_table))
        difference.makes.append(Target(new_table))
        difference.recipe = (
            f"# Keep the table's name in the model:\n{new_name} = models.ManyToManyField(..., db_table={old_table!r})"
        )
    elif (old_columns := naming.m2m_columns(key, old)) != (new_columns := naming.m2m_columns(key, new)):
        difference.unsafe = True
        difference.changes.append(f"the relation of {new_table} points to another model")
        difference.takes.extend(Target(old_table, c) for c in old_columns if c not in new_columns)
        difference.makes.extend(Target(new_table, c) for c in new_columns if c not in old_columns)
        difference.recipe = "# Add a new field for the new relation, move the data, remove the old field later."
    if difference.unsafe:
        difference.breaks_old.append(f"every use of {label}, and deletes on both sides")
        difference.breaks_new.append(f"every use of {label}, and deletes on both sides")


def _compare_type(
    difference: Difference,
    before: ProjectState,
    after: ProjectState,
    key: naming.Key,
    old: tuple[str, naming.Field],
    new: tuple[str, naming.Field],
    connection: BaseDatabaseWrapper,
    written: tuple[str, str],
) -> None:
    (old_name, old_field), (new_name, new_field) = old, new
    label = f"{key[0]}.{naming.model(after, key).name}.{new_name}"
    if getattr(old_field, "generated", False) or getattr(new_field, "generated", False):
        if _generated(old_field) != _generated(new_field):
            difference.unsafe = True
            difference.changes.append("changes what the database generates, which Django cannot do")
            difference.breaks_old.append(f"what {label} means")
            difference.recipe = "# Remove the field and add it again under another name, in two deploys."
        return
    change = shapes.compare(
        shapes.shape(before, key, old_name, old_field, connection),
        shapes.shape(after, key, new_name, new_field, connection),
    )
    if change is not shapes.Change.SAME and new_field.unique:
        # Django gives the columns that refer to it the new type, too.
        difference.names.extend(_referring(after, key, new_name))
    from_to = f"{written[0]} to {written[1]}"
    if written[0] == written[1]:
        # A check on the column is what differs.
        from_to = f"{type(old_field).__name__} to {type(new_field).__name__}"
    if change is shapes.Change.WIDER:
        difference.changes.append(f"widens {from_to}")
        difference.breaks_new.append(f"writes of {label} that only the wider type takes")
    elif change is shapes.Change.NARROWER:
        difference.changes.append(f"narrows {from_to}")
        difference.breaks_old.append(f"writes of {label} that only the wider type takes")
        difference.recipe = difference.recipe or (
            "# First deploy code that writes only what fits; narrow the column when nothing else is deployed."
        )
    elif change is shapes.Change.OTHER:
        difference.unsafe = True
        difference.changes.append(f"changes the type from {from_to}")
        difference.breaks_old.append(f"reads and writes of {label}: its values have another type")
        difference.breaks_new.append(f"reads and writes of {label}: its values have another type")
        difference.recipe = difference.recipe or (
            f"# Add a field of the new type beside {old_name}, write both, copy, read the new one; then remove the old."
        )
    if getattr(old_field, "db_collation", None) != getattr(new_field, "db_collation", None):
        difference.changes.append("changes the collation")
        if new_field.unique:
            difference.breaks_old.append(f"writes of {label} that the new collation holds to be equal")
        else:
            difference.notes.append("comparing and sorting follow the new collation at once")


def _referring(state: ProjectState, key: naming.Key, name: str) -> Iterator[Target]:
    """The columns that refer to the field, those of many-to-many tables included."""
    for owner, found in state.models.items():
        for other_name, other in found.fields.items():
            if naming.is_foreign_key(other):
                target = shapes.target_of(state, owner, other)
                if target is not None and target[:2] == (key, name):
                    yield Target(naming.table(state, owner), naming.column(other, other_name))
            elif naming.auto_through(other) and naming.pk_name(state, key) == name:
                columns = naming.m2m_columns(owner, other)
                table = naming.m2m_table(state, owner, other_name, other)
                if owner == key:
                    yield Target(table, columns[0])
                if naming.remote(other, owner) == key:
                    yield Target(table, columns[1])


def _generated(field: naming.Field) -> object:
    if not getattr(field, "generated", False):
        return None
    return repr(field.expression), type(field.output_field), field.db_persist


def _compare_null_and_default(
    difference: Difference, old: naming.Field, new: naming.Field, model: str, target: str
) -> None:
    if old.null and not new.null:
        difference.changes.append("NULL to NOT NULL")
        difference.tightening = f"writes of NULL to {target}"
        difference.breaks_old.append(difference.tightening)
        difference.recipe = difference.recipe or (
            "# First deploy code that always writes a value and fill the NULLs; "
            "require it when nothing else is deployed."
        )
    elif new.null and not old.null:
        difference.changes.append("NOT NULL to NULL")
        difference.breaks_new.append(f"writes of NULL to {target}")
        difference.notes.append("old code may read NULL where it never did")
    if old.has_db_default() and not new.has_db_default():
        difference.changes.append("drops the database default")
        if new.null:
            difference.notes.append("old code's inserts leave NULL where they had the default")
        else:
            difference.breaks_old.append(f"inserts into {model} that leave {target} to its default")
            difference.recipe = difference.recipe or (
                "# First deploy code that always writes a value; drop the default when nothing else is deployed."
            )
    elif new.has_db_default() and not old.has_db_default():
        difference.changes.append("adds a database default")
        difference.breaks_new.append(f"inserts into {model} that leave {target} to its default")
    elif new.has_db_default() and old.db_default != new.db_default:
        difference.changes.append("changes the database default")
        difference.notes.append("old code's inserts get the new default at once")


def _compare_unique(difference: Difference, old: naming.Field, new: naming.Field, model: str, target: str) -> None:
    if old.primary_key != new.primary_key:
        difference.unsafe = True
        difference.changes.append("changes the primary key")
        difference.breaks_old.append(f"writes to {model}")
        difference.breaks_new.append(f"writes to {model}")
        difference.recipe = "# A table's primary key cannot change under deployed code: make a new model and copy."
    elif new.unique and not old.unique:
        difference.changes.append("makes it unique")
        difference.breaks_old.append(f"writes that repeat a value of {target}")
        difference.recipe = difference.recipe or (
            "# First deploy code that keeps values apart; make it unique when nothing else is deployed."
        )
    elif old.unique and not new.unique:
        difference.changes.append("lets values repeat")
        difference.breaks_new.append(f"writes that repeat a value of {target}")
        difference.notes.append("old code that names the column in an upsert needs it to be unique")


def _compare_foreign_key(
    difference: Difference,
    before: ProjectState,
    after: ProjectState,
    key: naming.Key,
    old: naming.Field,
    new: naming.Field,
    model: str,
) -> None:
    was, now = _reference(before, key, old), _reference(after, key, new)
    if was == now:
        _compare_on_delete(difference, old, new, model)
        return
    if was and now:
        difference.unsafe = True
        difference.changes.append(f"the foreign key refers to {now} instead of {was}")
        difference.breaks_old.append(f"writes of {model} that refer to {was}")
        difference.breaks_new.append(f"writes of {model} that refer to {now}")
        difference.recipe = "# Add a new field for the new relation, move the data, remove the old field later."
    elif now:
        difference.changes.append(f"adds a foreign key to {now}")
        difference.breaks_old.append(f"writes of {model} that refer to nothing in {now}")
    else:
        difference.changes.append(f"drops the foreign key to {was}")
        difference.breaks_new.append(f"writes of {model} that refer to nothing in {was}")


def _reference(state: ProjectState, key: naming.Key, field: naming.Field) -> str:
    """The table and column that the database holds the field to; empty where it does not."""
    if not naming.is_foreign_key(field) or not field.db_constraint:
        return ""
    target = shapes.target_of(state, key, field)
    if target is None:
        return ".".join(naming.remote(field, key))
    owner, name, found = target
    return f"{naming.table(state, owner)}.{naming.column(found, name)}"


def _compare_on_delete(difference: Difference, old: naming.Field, new: naming.Field, model: str) -> None:
    was, now = (on_delete_sql(field) for field in (old, new))
    if was == now:
        return
    difference.changes.append("changes what the database does on delete")
    if now:
        difference.breaks_new.append(f"deletes that leave the rows of {model} to the database")
    if was:
        difference.breaks_old.append(f"deletes that leave the rows of {model} to the database")


def on_delete_sql(field: naming.Field) -> str:
    """What the database itself does when the row that is referred to goes (Django 6.1's DB_CASCADE and its kin)."""
    on_delete = getattr(field.remote_field, "on_delete", None)
    return str(getattr(on_delete, "operation", "") or "") if naming.is_foreign_key(field) else ""
