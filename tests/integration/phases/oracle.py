"""Runs one release's models on the other's schema, for real, and says what broke.

Each action (an insert of one kind of value, an update, a delete, …) is run by a release on its own schema first. One
that works there and fails on the other schema, or reads back another value, is broken by the operation.
"""

import datetime
import decimal
import itertools
import uuid
from dataclasses import dataclass

from django.db import models, transaction
from django.db.migrations.state import ProjectState

APP = "shop"
VARIANTS = ("plain", "high", "low", "null", "default", "long")

_numbers = itertools.count(1)


class _Undo(Exception):
    """Ends an action's transaction without keeping anything."""


@dataclass(frozen=True)
class Broken:
    """The actions that one release can do on its own schema and not on the other."""

    old: dict[str, str]
    new: dict[str, str]


def states(base, operation):
    """The state that `base` makes, and the one after `operation`."""
    before = ProjectState()
    for made in base:
        made.state_forwards(APP, before)
    before = _apart(before)
    after = _apart(before)
    operation.state_forwards(APP, after)
    return before, after


def _apart(state):
    """A copy that shares nothing: states share fields, and some operations change fields in place."""
    models_ = {key: found.clone() for key, found in state.models.items()}
    for found in models_.values():
        found.fields = {name: field.clone() for name, field in found.fields.items()}
    return ProjectState(models_)


def forwards(connection, before, after, operation):
    """Apply one operation for real."""
    # PostgreSQL refuses these two within a transaction.
    concurrently = type(operation).__name__.endswith("Concurrently")
    with connection.schema_editor(atomic=not concurrently) as editor:
        operation.database_forwards(APP, editor, _apart(before), _apart(after))


def try_out(connection, base, operation, *, seeded=True):
    """Apply `operation` to what `base` made, and see which release's code breaks on the other's schema.

    `seeded` says whether rows that old code wrote are there; some operations need an empty table.
    """
    state = ProjectState()
    try:
        for made in base:
            was, state = _apart(state), _apart(state)
            made.state_forwards(APP, state)
            forwards(connection, was, state, made)
        after = _apart(state)
        operation.state_forwards(APP, after)
        old, new = _models(state), _models(after)
        if seeded:
            _seed(connection, old)
        old_own = _own_work(connection, state, old, seeded)
        new_ahead = _work(connection, new)
        forwards(connection, state, after, operation)
        new_own = _work(connection, new)
        old_behind = _work(connection, old)
    finally:
        _drop_everything(connection)
    assert any(name.startswith("insert") and not _failed(result) for name, result in old_own.items()), old_own
    return Broken(old=_worse(old_own, old_behind), new=_worse(new_own, new_ahead))


def uses(connection, base, operation, statement):
    """Whether a statement works before and after `operation`, and what it breaks besides (see `try_out`)."""
    able = []

    class Watched(type(operation)):
        def database_forwards(self, *args):
            able.append(_works(connection, statement))
            super().database_forwards(*args)
            able.append(_works(connection, statement))

    watched = operation.__class__.__new__(Watched)
    watched.__dict__.update(vars(operation))
    broken = try_out(connection, base, watched)
    return tuple(able), broken


def _works(connection, statement):
    with connection.cursor() as cursor:
        return not _failed(_attempt(connection, lambda: cursor.execute(statement)))


def old_code_after(connection, base, migrations):
    """What code of the state that `base` makes can no longer do once `migrations` have run."""
    state = ProjectState()
    try:
        for made in base:
            was, state = _apart(state), _apart(state)
            made.state_forwards(APP, state)
            forwards(connection, was, state, made)
        old = _models(state)
        before = _work(connection, old)
        for migration in migrations:
            try:
                with connection.schema_editor(atomic=migration.atomic) as editor:
                    migration.apply(_apart(state), editor)
            except Exception:
                # Not every plan that can be written can be run; what it did until then has to be lived with.
                break
            state = migration.mutate_state(_apart(state))
        return _worse(before, _work(connection, old))
    finally:
        _drop_everything(connection)


#: What code can do on its own schema, by what that is: many operations start from the same.
_known = {}


def _own_work(connection, state, models_, seeded):
    described = [
        (
            key,
            [(name, field.deconstruct()[1:]) for name, field in found.fields.items()],
            sorted(found.options.items()),
            found.bases,
        )
        for key, found in state.models.items()
    ]
    key = connection.vendor, seeded, repr(described)
    if key not in _known:
        _known[key] = _work(connection, models_)
    return _known[key]


def _failed(result):
    return isinstance(result, str) and result.startswith("error:")


def _worse(own, other):
    return {
        name: f"{result!r} became {other[name]!r}"
        for name, result in own.items()
        if not _failed(result) and result != other[name]
    }


def _models(state):
    apps = _apart(state).apps
    return [m for m in apps.get_models() if m._meta.managed and not m._meta.proxy and m._meta.app_label == APP]


def _drop_everything(connection):
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return
    tables = connection.introspection.table_names()
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"DROP TABLE {connection.ops.quote_name(table)}")


def _seed(connection, old):
    """One row of each model, with what it refers to, as old code has written them."""
    for model in old:
        row = _new(connection, model, "plain")
        for field in model._meta.many_to_many:
            if field.remote_field.through._meta.auto_created:
                other = field.related_model.objects.using(connection.alias).first()
                other = other or _new(connection, field.related_model, "plain")
                getattr(row, field.name).add(other)


def _work(connection, models_, variants=VARIANTS):
    """What each action comes to, by its name."""
    done = {}
    for model in models_:
        # One transaction for all of a model's actions where none fails; each in its own where one does.
        at_once = _attempt(connection, lambda m=model: _everything(connection, m, variants))
        done |= _one_by_one(connection, model, variants) if _failed(at_once) else at_once
        if groups := _together(model):
            for but in [(), *{(field,) for group in groups for field in group}]:
                done[f"insert {model.__name__} twice but {but}"] = _attempt(
                    connection, lambda m=model, b=but: _repeat(connection, m, b)
                )
    return done


def _one_by_one(connection, model, variants):
    name = model.__name__
    actions = {f"select {name}": lambda: bool(list(model.objects.using(connection.alias)))}
    for variant in _variants(model, variants):
        actions[f"insert {name} {variant}"] = lambda v=variant: _insert(connection, model, v)
        actions[f"update {name} {variant}"] = lambda v=variant: _update(
            connection, model, _new(connection, model, "plain"), v
        )
    if not _together(model):
        actions[f"insert {name} twice but ()"] = lambda: _repeat(connection, model, ())
    actions[f"delete {name}"] = lambda: _new(connection, model, "plain").delete(using=connection.alias)
    actions[f"delete seeded {name}"] = lambda: _delete_but(connection, model, ())
    for field in _relations(model):
        actions[f"relate {name}.{field.name}"] = lambda f=field: _relate(connection, model, f)
    return {name: _attempt(connection, action) for name, action in actions.items()}


def _everything(connection, model, variants):
    """The same actions in one go, with the same answers. Rows of one may only make another fail, not succeed."""
    name = model.__name__
    done = {f"select {name}": bool(list(model.objects.using(connection.alias)))}
    made = {variant: _new(connection, model, variant) for variant in _variants(model, variants)}
    found = model.objects.using(connection.alias).in_bulk([row.pk for row in made.values()])
    for variant, row in made.items():
        done[f"insert {name} {variant}"] = _compared(found[row.pk], row, variant)
    changed = _new(connection, model, "plain")
    refers = any(isinstance(f, models.ForeignKey) for f in model._meta.concrete_fields)
    for variant in made:
        done[f"update {name} {variant}"] = _update(connection, model, changed, variant)
        if refers:
            # The next update would hide what is only checked at the end.
            _check_constraints(connection)
    mine = [changed, *made.values()]
    if not _together(model):
        mine += _repeat(connection, model, ())
        done[f"insert {name} twice but ()"] = None
    for field in _relations(model):
        mine.append(_relate(connection, model, field))
        done[f"relate {name}.{field.name}"] = None
    _check_constraints(connection)
    kept = [row.pk for row in mine]
    changed.delete(using=connection.alias)
    _delete_but(connection, model, kept)
    return done | {f"delete {name}": None, f"delete seeded {name}": None}


def _relations(model):
    return [f for f in model._meta.many_to_many if f.remote_field.through._meta.auto_created]


def _attempt(connection, action):
    result = None
    try:
        with transaction.atomic(using=connection.alias):
            result = action()
            result = result if isinstance(result, (dict, bool)) else None
            _check_constraints(connection)
            raise _Undo
    except _Undo:
        return result
    except Exception as error:
        return f"error: {type(error).__name__}: {error}"


def _check_constraints(connection):
    # Deferred foreign keys are looked at now; MariaDB's are never deferred.
    if connection.vendor != "mysql":
        connection.check_constraints()


def _insert(connection, model, variant):
    row = _new(connection, model, variant)
    return _read(connection, model, row, variant)


def _update(connection, model, row, variant):
    for field in _fields(model):
        if not field.primary_key:
            value = _value(connection, field, variant)
            if value is not _OMIT:
                setattr(row, field.name, value)
    row.save(using=connection.alias)
    return _read(connection, model, row, variant)


def _repeat(connection, model, but):
    """Two rows that are the same wherever the model lets them be; `but` are the fields that differ."""
    first = _new(connection, model, "plain")
    same = {
        f.name: getattr(first, f.name)
        for f in model._meta.concrete_fields
        if not (f.unique or f.primary_key or f.generated or f.name in but)
    }
    return first, _new(connection, model, "plain", same)


def _delete_but(connection, model, kept):
    model.objects.using(connection.alias).exclude(pk__in=list(kept)).delete()


def _relate(connection, model, field):
    row = _new(connection, model, "plain")
    other = _new(connection, field.related_model, "plain")
    manager = getattr(row, field.name)
    manager.add(other)
    assert manager.count() == 1
    manager.clear()
    return row


def _read(connection, model, row, variant):
    return _compared(model.objects.using(connection.alias).get(pk=row.pk), row, variant)


def _compared(found, row, variant):
    """For each field: the type of what is read, and whether it is what was written."""
    if variant == "default":
        # What the database gives may change without anybody failing.
        return None
    return {
        field.attname: (
            type(getattr(found, field.attname)).__name__,
            field.generated or getattr(found, field.attname) == getattr(row, field.attname),
        )
        for field in found._meta.concrete_fields
    }


_OMIT = object()


def _fields(model):
    return [
        f
        for f in model._meta.local_concrete_fields
        if not f.generated and not isinstance(f, (models.AutoField, models.BigAutoField))
    ]


def _new(connection, model, variant, given=()):
    values = dict(given)
    for field in model._meta.concrete_fields:
        # A link to a parent, its parents' own included, has what their rows get.
        linked = getattr(field.remote_field, "parent_link", False)
        if linked or field.generated or isinstance(field, (models.AutoField, models.BigAutoField)):
            continue
        if field.name in values:
            continue
        value = _value(connection, field, variant)
        if value is not _OMIT:
            values[field.name] = value
    return model.objects.using(connection.alias).create(**values)


def _variants(model, variants):
    """Of the variants, those that give this model a row unlike the plain one."""
    fields = [f for f in model._meta.concrete_fields if not f.generated]
    return ["plain", *(v for v in variants if v != "plain" and any(_has_own(f, v) for f in fields))]


_TEXTS = ("CharField", "SlugField", "TextField", "FileField")


def _has_own(field, variant):
    """Whether the field's value in this variant is another than the plain one, and than that of "high"."""
    kind = field.get_internal_type()
    if variant == "default":
        return field.has_default() or field.has_db_default() or field.null or isinstance(field, models.OrderWrt)
    if variant == "null":
        return field.null
    if variant == "long":
        return kind in (*_TEXTS, "ArrayField")
    if isinstance(field, models.ForeignKey):
        return variant == "high" and not field.db_constraint
    return "Integer" in kind or (variant == "high" and kind == "DecimalField")


_OTHERS = {
    "EmailField": "someone@localhost",
    "URLField": "http://localhost/",
    "GenericIPAddressField": "127.0.0.1",
    "DurationField": datetime.timedelta(days=1),
    "TimeField": datetime.time(1, 2),
}


def _value(connection, field, variant):
    number = next(_numbers)
    if isinstance(field, models.OrderWrt):
        return _OMIT
    if variant in ("default", "null"):
        if _has_own(field, variant):
            return _OMIT if variant == "default" else None
        variant = "plain"
    if isinstance(field, models.ForeignKey):
        return _related(connection, field, variant)
    unique = field.unique or field.primary_key or any(field.name in group for group in _together(field.model))
    kind = field.get_internal_type()
    if kind == "IntegerRangeField":
        from django.db.backends.postgresql.psycopg_any import NumericRange

        apart = number if field.model._meta.constraints else 0
        return NumericRange(10 * apart, 10 * apart + 5)
    if kind in _TEXTS:
        longest = field.max_length or 300
        text = f"v{number}" if unique else "v"
        if variant == "long":
            # As long as it may be, within what an unlimited column is tried with.
            return text + "x" * (longest - len(text))
        return text
    if "Integer" in kind:
        low, high = connection.ops.integer_field_range(kind)
        if variant in ("high", "long"):
            return high - number if unique else high
        if variant == "low":
            return low + number if unique else low
        return number if unique else 7
    if kind == "BooleanField":
        return True
    if kind == "DecimalField":
        high = (
            decimal.Decimal(10) ** (field.max_digits - field.decimal_places)
            - decimal.Decimal(10) ** -field.decimal_places
        )
        return high if variant == "high" else decimal.Decimal("1.5")
    if kind == "FloatField":
        return 1.5
    if kind == "DateTimeField":
        return datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
    if kind == "DateField":
        return datetime.date(2024, 5, 6)
    if kind == "UUIDField":
        return uuid.UUID(int=number) if unique else uuid.UUID(int=5)
    if kind == "JSONField":
        return {"a": 1}
    if kind == "BinaryField":
        return b"b"
    if kind == "ArrayField":
        return ["a" * (field.base_field.max_length if variant == "long" else 1)]
    if field.has_default() or field.null:
        return _OMIT
    if kind in _OTHERS:
        return _OTHERS[kind]
    raise NotImplementedError(f"no value for {field!r}")


def _together(model):
    return list(model._meta.unique_together) + [
        c.fields for c in model._meta.constraints if isinstance(c, models.UniqueConstraint)
    ]


def _reached(model):
    """Labels of the model and of those that its rows need."""
    return {
        model._meta.label,
        *(f.related_model._meta.label for f in model._meta.concrete_fields if isinstance(f, models.ForeignKey)),
    }


def _related(connection, field, variant):
    if field.null and field.model._meta.label in _reached(field.related_model):
        return None
    if variant == "high" and not field.db_constraint:
        return field.related_model(pk=987_654)
    return _new(connection, field.related_model, "plain")
