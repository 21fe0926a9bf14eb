"""What a walk is made of: kinds of deployed models, and the changes that migrations make to them, by their names.

A change is a function of the state: it gives operations as `makemigrations` writes them, or as people do by hand, or
None where it can change nothing.
"""

from __future__ import annotations

from functools import cache

from django.db import migrations as m
from django.db import models
from django.db.migrations.state import ProjectState
from django.db.models.functions import Lower

from tests.integration.matrix.harness import model
from tests.integration.phases import oracle

#: In operations; tables and references get the app of the walk for it.
APP = "app"

#: What says that an option is to be left out.
_GONE = object()


def char(**options):
    return models.CharField(**{"max_length": 20, **options})


def fk(to="app.parent", on_delete=models.CASCADE, **options):
    return models.ForeignKey(to, on_delete, **options)


def _twice(name):
    return models.GeneratedField(expression=models.F(name) * 2, output_field=models.BigIntegerField(), db_persist=True)


#: What the column is that most changes are about.
COLUMNS = {
    "plain": lambda: models.IntegerField(),
    "default": lambda: char(default="d'%"),
    "nullable": lambda: char(null=True),
    "unique": lambda: char(unique=True),
    "indexed": lambda: models.IntegerField(db_index=True, default=3),
    "foreign key": lambda: fk(),
    "loose key": lambda: fk(null=True, on_delete=models.SET_NULL),
    "covered": lambda: models.IntegerField(),
    "together": lambda: char(null=True),
    "constrained": lambda: models.IntegerField(null=True),
    "one to one": lambda: models.OneToOneField("app.parent", models.CASCADE),
    "protected": lambda: fk(on_delete=models.PROTECT),
    "to itself": lambda: fk("app.item", null=True),
    "named otherwise": lambda: models.IntegerField(db_column="Odd x", default=4),
    "by database": lambda: char(db_default="d'"),
    "generated from": lambda: models.IntegerField(default=5),
    "unique if": lambda: models.IntegerField(default=6),
    "unique expression": lambda: char(),
    "including": lambda: models.IntegerField(null=True),
    "checked": lambda: models.IntegerField(default=8),
    "related": lambda: models.BooleanField(default=True),
    "child": lambda: char(default="c"),
    "ordered": lambda: fk(),
    "proxied": lambda: models.DecimalField(max_digits=6, decimal_places=2, default=1),
    "composite": lambda: char(null=True),
    "small keys": lambda: fk(null=True, on_delete=models.SET_NULL),
}
#: What is made upon it and another one, and what else the model is.
OPTIONS = {
    "covered": {"indexes": [models.Index(fields=["x", "title"], name="by_x")]},
    "together": {"unique_together": {("x", "title")}},
    "constrained": {"constraints": [models.UniqueConstraint(fields=["x", "title"], name="one_x")]},
    "unique if": {
        "constraints": [models.UniqueConstraint(fields=["x"], condition=~models.Q(title="t"), name="if_x")],
        "indexes": [models.Index(fields=["x"], condition=models.Q(title="t"), name="by_some_x")],
    },
    "unique expression": {"constraints": [models.UniqueConstraint(Lower("x"), "title", name="lower_x")]},
    "including": {"constraints": [models.UniqueConstraint(fields=["x"], include=["title"], name="with_x")]},
    "checked": {"constraints": [models.CheckConstraint(condition=models.Q(x__gte=-(2**31)), name="least_x")]},
    "ordered": {"order_with_respect_to": "x"},
    "child": {"bases": ("app.parent",)},
}
#: Further fields of Item.
FIELDS = {
    "generated from": lambda: [("twice", _twice("x"))],
    "related": lambda: [("many", models.ManyToManyField("app.parent", related_name="+"))],
    "composite": lambda: [
        ("pk", models.CompositePrimaryKey("tenant", "number")),
        ("tenant", models.IntegerField(default=1)),
        ("number", models.IntegerField(unique=True)),
    ],
    "small keys": lambda: [("id", models.AutoField(primary_key=True))],
}


def base(column):
    """The deployed release's models: Item, what it refers to, and what refers to it."""
    key = [("id", models.AutoField(primary_key=True))] if column == "small keys" else []
    item = model(
        "Item",
        *(FIELDS.get(column, list)()),
        ("title", char(default="t")),
        ("x", COLUMNS[column]()),
        **OPTIONS.get(column, {}),
    )
    refers = [] if column == "composite" else [("item", fk("app.item", null=True))]
    made = [model("Parent", *key, ("label", char())), item, model("Other", *key, ("label", char(default="o")), *refers)]
    if column == "proxied":
        made.append(model("Seen", bases=("app.item",), proxy=True))
    return made


def _field(state, name, field):
    found = state.models.get((APP, name))
    return None if found is None else found.fields.get(field)


def _subject(state):
    """The column that changes are about: x, or what it was renamed to."""
    for name in ("x", "y"):
        field = _field(state, "item", name)
        if field is not None and not field.many_to_many:
            return name, field
    return None, None


def _altered(field, **options):
    """The field with other options."""
    _, _, args, kwargs = field.deconstruct()
    kwargs |= options
    return type(field)(*args, **{name: value for name, value in kwargs.items() if value is not _GONE})


def _alter(state, **options):
    name, field = _subject(state)
    if field is None:
        return None
    altered = _altered(field, **options)
    if altered.deconstruct()[1:] == field.deconstruct()[1:]:
        return None
    return [m.AlterField("item", name, altered)]


def _is_char(state):
    return isinstance(_subject(state)[1], models.CharField)


def _is_integer(state):
    field = _subject(state)[1]
    return field is not None and "Integer" in field.get_internal_type()


def _is_key(state):
    return isinstance(_subject(state)[1], models.ForeignKey)


def _reads(part):
    """Names of the fields that an index or constraint is about."""
    found = {name.lstrip("-") for name in getattr(part, "fields", ())} | {*(getattr(part, "include", None) or ())}
    for expression in (getattr(part, "condition", None), *getattr(part, "expressions", ())):
        found |= _named_in(expression)
    return found


def _named_in(expression):
    """Names of the fields that an expression is about."""
    if expression is None or isinstance(expression, models.Q):
        return expression.referenced_base_fields if expression else set()
    if isinstance(expression, models.F):
        return {expression.name}
    return set().union(*map(_named_in, expression.get_source_expressions()))


def _coverings(state, name, *fields):
    """What goes before a field can go, as makemigrations writes it."""
    found = state.models[APP, name]
    for other, field in found.fields.items():
        if (
            getattr(field, "generated", False)
            and other not in fields
            and (not fields or _named_in(field.expression) & set(fields))
        ):
            yield m.RemoveField(name, other)
    for index in found.options.get("indexes") or ():
        if not fields or _reads(index) & set(fields):
            yield m.RemoveIndex(name, index.name)
    for constraint in found.options.get("constraints") or ():
        if not fields or _reads(constraint) & set(fields):
            yield m.RemoveConstraint(name, constraint.name)
    if any(not fields or set(group) & set(fields) for group in found.options.get("unique_together") or ()):
        yield m.AlterUniqueTogether(name, set())
    if found.options.get("order_with_respect_to") in fields:
        yield m.AlterOrderWithRespectTo(name, None)


def _has(state, name):
    return (APP, name) in state.models


def _named(state, option):
    found = state.models.get((APP, "item"))
    return {one.name: one for one in found.options.get(option) or ()} if found else {}


def _is_composite(state):
    return _field(state, "item", "pk") is not None


def _widen(state):
    if not _is_char(state):
        return None
    return _alter(state, max_length=_subject(state)[1].max_length + 20)


def _narrow(state):
    if not _is_char(state) or _subject(state)[1].max_length <= 20:
        return None
    return _alter(state, max_length=20)


def _retype(state):
    name, field = _subject(state)
    to = {models.IntegerField: models.BigIntegerField, models.CharField: models.TextField}.get(type(field))
    if to is None or field.unique:
        return None
    _, _, _, kwargs = field.deconstruct()
    kwargs.pop("max_length", None)
    if to is models.TextField:
        # MariaDB cannot index it whole.
        kwargs.pop("db_index", None)
    return [m.AlterField("item", name, to(**kwargs))]


def _static(field):
    """Two values that a column of this type may have."""
    kind = field.get_internal_type()
    if "Integer" in kind or kind == "DecimalField":
        return 4, 9
    return (True, False) if kind == "BooleanField" else ("r", "another")


def _allow_null(state):
    return _alter(state, null=True) if not _is_key(state) else None


def _require(state):
    _, field = _subject(state)
    if field is None or not field.null or _is_key(state):
        return None
    return _alter(state, null=_GONE, default=_static(field)[0])


def _require_the_database_s(state):
    _, field = _subject(state)
    if field is None or not field.null or _is_key(state) or isinstance(field, models.TextField):
        return None
    return _alter(state, null=_GONE, default=_GONE, db_default=_static(field)[0])


def _other_default(state):
    _, field = _subject(state)
    if field is None or _is_key(state) or field.unique:
        return None
    return _alter(state, default=_static(field)[1])


def _database_default(state):
    _, field = _subject(state)
    if field is None or _is_key(state) or field.unique or isinstance(field, models.TextField):
        return None
    return _alter(state, db_default=_GONE if field.has_db_default() else _static(field)[1])


def _indexed(state):
    _, field = _subject(state)
    if field is None or _is_key(state) or field.unique or isinstance(field, models.TextField):
        return None
    return _alter(state, db_index=_GONE if field.db_index else True)


def _unique(state):
    _, field = _subject(state)
    if field is None or isinstance(field, (models.TextField, models.OneToOneField, models.BooleanField)):
        return None
    if (field.has_default() or field.has_db_default()) and not field.unique:
        return None
    return _alter(state, unique=_GONE if field.unique else True)


def _comment(state):
    _, field = _subject(state)
    return None if field is None else _alter(state, db_comment=_GONE if field.db_comment else "What it's for: 100 %")


def _comment_table(state):
    found = state.models.get((APP, "item"))
    if found is None:
        return None
    return [m.AlterModelTableComment("item", None if found.options.get("db_table_comment") else "Items' own")]


def _on_delete(state):
    if not _is_key(state):
        return None
    field = _subject(state)[1]
    order = [models.CASCADE, models.PROTECT, models.RESTRICT, *([models.SET_NULL] if field.null else ())]
    here = order.index(field.remote_field.on_delete) if field.remote_field.on_delete in order else -1
    return _alter(state, on_delete=order[(here + 1) % len(order)])


def _constrain_key(state):
    if not _is_key(state):
        return None
    return _alter(state, db_constraint=_GONE if not _subject(state)[1].db_constraint else False)


def _loosen_key(state):
    if not _is_key(state) or _subject(state)[1].null:
        return None
    return _alter(state, null=True, on_delete=models.SET_NULL)


def _key_to_one(state):
    """A foreign key made a one-to-one, or the other way round."""
    name, field = _subject(state)
    if not _is_key(state) or _is_composite(state):
        return None
    _, _, args, kwargs = field.deconstruct()
    kwargs.pop("unique", None)
    to = models.ForeignKey if isinstance(field, models.OneToOneField) else models.OneToOneField
    return [m.AlterField("item", name, to(*args, **kwargs))]


def _covered_again(part, old, new):
    """The index or constraint with another field in the old one's place; None where only its author could say it."""
    _, args, kwargs = part.deconstruct()
    if args or getattr(part, "condition", None) is not None:
        return None
    for option in ("fields", "include"):
        if option in kwargs:
            kwargs[option] = [new if name == old else name for name in kwargs[option]]
    return type(part)(**kwargs)


def _renaming(state, *first, options=()):
    """Rename the subject, with what covers it taken off before and made again behind."""
    name, field = _subject(state)
    to = "y" if name == "x" else "x"
    if field is None or _field(state, "item", to) is not None:
        return None
    found = state.models[APP, "item"]
    if any(getattr(each, "generated", False) for each in found.fields.values()):
        return None
    before, behind = [], []
    for option, remove, add in (
        ("indexes", m.RemoveIndex, m.AddIndex),
        ("constraints", m.RemoveConstraint, m.AddConstraint),
    ):
        for part in found.options.get(option) or ():
            if name in _reads(part):
                before.append(remove("item", part.name))
                if (again := _covered_again(part, name, to)) is not None:
                    behind.append(add("item", again))
    return [*before, *first, m.RenameField("item", name, to), *behind]


def _rename_keeping(state):
    """Only the name in the code is another: the recipe for it."""
    name, field = _subject(state)
    if field is None:
        return None
    column = field.db_column or (f"{name}_id" if _is_key(state) else name)
    first = [] if field.db_column else [m.AlterField("item", name, _altered(field, db_column=column))]
    return _renaming(state, *first)


def _column_name(state):
    _, field = _subject(state)
    return None if field is None else _alter(state, db_column=_GONE if field.db_column else "odd")


def _remove(state):
    name, field = _subject(state)
    return None if field is None else [*_coverings(state, "item", name), m.RemoveField("item", name)]


def _add(name, made):
    def change(state):
        if not _has(state, "item") or _field(state, "item", name) is not None:
            return None
        return [m.AddField("item", name, made())]

    return change


def _generate(state):
    name, _ = _subject(state)
    if not _is_integer(state) or _field(state, "item", "twice") is not None:
        return None
    return [m.AddField("item", "twice", _twice(name))]


def _generate_no_more(state):
    return None if _field(state, "item", "twice") is None else [m.RemoveField("item", "twice")]


def _add_index(state):
    name, field = _subject(state)
    if field is None or "by_x" in _named(state, "indexes") or isinstance(field, models.TextField):
        return None
    return [m.AddIndex("item", models.Index(fields=[name, "title"], name="by_x"))]


def _add_index_of_some(state):
    name, field = _subject(state)
    if field is None or "by_some_x" in _named(state, "indexes") or isinstance(field, models.TextField):
        return None
    return [m.AddIndex("item", models.Index(fields=[f"-{name}"], condition=models.Q(title="t"), name="by_some_x"))]


def _remove_index(state):
    names = [*_named(state, "indexes")]
    return [m.RemoveIndex("item", names[0])] if names else None


def _rename_index(state):
    names = _named(state, "indexes")
    if "by_x" not in names or "by_y" in names:
        return None
    return [m.RenameIndex("item", new_name="by_y", old_name="by_x")]


def _constrain(name, made):
    """Add a constraint over the subject, unless one of its name is there."""

    def change(state):
        subject, field = _subject(state)
        if field is None or name in _named(state, "constraints") or isinstance(field, models.TextField):
            return None
        constraint = made(state, subject)
        return None if constraint is None else [m.AddConstraint("item", constraint)]

    return change


def _lower(state, name):
    return models.UniqueConstraint(Lower(name), "title", name="lower_x") if _is_char(state) else None


def _least(state, name):
    return (
        models.CheckConstraint(condition=models.Q(**{f"{name}__gte": -(2**31)}), name="least_x")
        if _is_integer(state)
        else None
    )


def _add_check(state):
    if not _has(state, "item") or "a_title" in _named(state, "constraints"):
        return None
    return [m.AddConstraint("item", models.CheckConstraint(condition=~models.Q(title="no"), name="a_title"))]


def _remove_constraint(state):
    names = [*_named(state, "constraints")]
    return [m.RemoveConstraint("item", names[0])] if names else None


def _together(state):
    name, field = _subject(state)
    if field is None or isinstance(field, models.TextField):
        return None
    groups = set() if state.models[APP, "item"].options.get("unique_together") else {(name, "title")}
    return [m.AlterUniqueTogether("item", groups)]


def _order(state):
    found = state.models.get((APP, "item"))
    if found is None:
        return None
    if found.options.get("order_with_respect_to"):
        return [m.AlterOrderWithRespectTo("item", None)]
    return [m.AlterOrderWithRespectTo("item", _subject(state)[0])] if _is_key(state) else None


def _index_elsewhere(state):
    """The index's name on another table."""
    if "by_x" in _named(state, "indexes") or not _has(state, "other"):
        return None
    if any(one.name == "by_x" for one in state.models[APP, "other"].options.get("indexes") or ()):
        return None
    return [m.AddIndex("other", models.Index(fields=["label"], name="by_x"))]


def _constraint_elsewhere(state):
    """The constraint's name on another table."""
    if "one_x" in _named(state, "constraints") or not _has(state, "other"):
        return None
    if any(one.name == "one_x" for one in state.models[APP, "other"].options.get("constraints") or ()):
        return None
    return [m.AddConstraint("other", models.CheckConstraint(condition=~models.Q(label="no"), name="one_x"))]


def _bare(state, name):
    """What makemigrations takes from a model before it deletes it."""
    found = state.models[APP, name]
    relations = [each for each, field in found.fields.items() if field.is_relation and not field.primary_key]
    # What refers to its parent goes with it.
    relations = [each for each in relations if not getattr(found.fields[each].remote_field, "parent_link", False)]
    return [
        *(_coverings(state, name, *relations) if relations else ()),
        *(m.RemoveField(name, each) for each in relations),
    ]


def _delete(state):
    if not _has(state, "item"):
        return None
    refers = [m.RemoveField("other", "item")] if _field(state, "other", "item") is not None else []
    heirs = [m.DeleteModel(name) for name in ("Heir", "Seen") if _has(state, name.lower())]
    return [*refers, *heirs, *_bare(state, "item"), m.DeleteModel("Item")]


def _delete_other(state):
    if not _has(state, "other"):
        return None
    relations = [name for name, field in state.models[APP, "other"].fields.items() if field.is_relation]
    return [*(m.RemoveField("other", name) for name in relations), m.DeleteModel("Other")]


def _create(*fields):
    def change(state):
        return None if _has(state, "item") or _has(state, "thing") else [model("Item", *fields)]

    return change


def _create_as_it_was(column):
    def change(state):
        return None if _has(state, "item") or _has(state, "thing") else [base(column)[1]]

    return change


def _create_other(column):
    def change(state):
        there = _has(state, "other") or _has(state, "another") or not _has(state, "item")
        return None if there else [base(column)[2]]

    return change


def _inherit(state):
    """A child of Item, in a table of its own."""
    if not _has(state, "item") or _has(state, "heir") or _is_composite(state):
        return None
    return [model("Heir", ("more", models.IntegerField(default=1)), bases=("app.item",))]


def _disinherit(state):
    return [m.DeleteModel("Heir")] if _has(state, "heir") else None


def _proxy(state):
    if not _has(state, "item"):
        return None
    if _has(state, "seen"):
        return [m.DeleteModel("Seen")]
    return [model("Seen", bases=("app.item",), proxy=True)]


def _rename_model(state):
    if _has(state, "item") and not _has(state, "thing"):
        return [m.RenameModel("Item", "Thing")]
    return [m.RenameModel("Thing", "Item")] if _has(state, "thing") and not _has(state, "item") else None


def _rename_model_keeping(state):
    """Only the name in the code is another: the recipe for it."""
    found = state.models.get((APP, "other"))
    if found is None or _has(state, "another"):
        return None
    first = [] if found.options.get("db_table") else [m.AlterModelTable("other", "app_other")]
    return [*first, m.RenameModel("Other", "Another")]


def _rename_table(state):
    found = state.models.get((APP, "item"))
    if found is None:
        return None
    return [m.AlterModelTable("item", None if found.options.get("db_table") else "app_things")]


def _relate(name, to):
    def change(state):
        if not _has(state, "item") or _is_composite(state) or _field(state, "item", name) is not None:
            return None
        return [m.AddField("item", name, models.ManyToManyField(to, related_name="+"))]

    return change


def _unrelate(state):
    name = next((each for each in ("many", "peers") if _field(state, "item", each) is not None), None)
    return None if name is None else [m.RemoveField("item", name)]


def _refer(state):
    if not _has(state, "item") or not _has(state, "other") or _field(state, "other", "item") is not None:
        return None
    return None if _is_composite(state) else [m.AddField("other", "item", fk("app.item", null=True))]


def _refer_no_more(state):
    return None if _field(state, "other", "item") is None else [m.RemoveField("other", "item")]


def _larger_keys(state):
    """What another DEFAULT_AUTO_FIELD makes of each model."""
    own = [
        name
        for (_, name), found in state.models.items()
        if isinstance(found.fields.get("id"), models.AutoField)
        and not isinstance(found.fields["id"], models.BigAutoField)
    ]
    return [m.AlterField(name, "id", models.BigAutoField(primary_key=True)) for name in own] or None


def _options(state):
    found = state.models.get((APP, "item"))
    if found is None:
        return None
    return [m.AlterModelOptions("item", {} if found.options.get("verbose_name") else {"verbose_name": "thing"})]


def _nothing(apps, editor):
    pass


def _each_row(apps, editor):
    """What data migrations do to rows: write each of them."""
    for found in apps.get_models():
        if found._meta.model_name == "item":
            for row in found.objects.using(editor.connection.alias).order_by("pk"):
                row.save()


def _copying(old, new):
    def copy(apps, editor):
        for found in apps.get_models():
            if found._meta.model_name == "item":
                for row in found.objects.using(editor.connection.alias).order_by("pk"):
                    # What was written behind it has its value in the other one.
                    if getattr(row, old) is not None:
                        setattr(row, new, getattr(row, old))
                        row.save()

    return copy


def _move(state):
    """A column's values go to another one, in one migration: made, filled, and the old one removed."""
    name, field = _subject(state)
    to = "y" if name == "x" else "x"
    if field is None or _is_key(state) or field.unique or _field(state, "item", to) is not None:
        return None
    made = _altered(field, null=True, db_column=_GONE, default=_GONE, db_default=_GONE)
    return [
        m.AddField("item", to, made),
        m.RunPython(_copying(name, to), _copying(to, name)),
        *_coverings(state, "item", name),
        m.RemoveField("item", name),
    ]


def _update(state):
    found = state.models.get((APP, "item"))
    if found is None or found.bases != (models.Model,):
        return None
    table = (found.options.get("db_table") or "app_item").replace("app_", "walk_", 1)
    return [m.RunSQL(f"UPDATE {table} SET title = title", m.RunSQL.noop)]


#: By its name: what makes operations of a state, or None where it can change nothing there.
CHANGES = {
    "widen": _widen,
    "narrow": _narrow,
    "retype": _retype,
    "allow null": _allow_null,
    "require": _require,
    "require by database": _require_the_database_s,
    "other default": _other_default,
    "db_default": _database_default,
    "db_index": _indexed,
    "unique": _unique,
    "comment": _comment,
    "comment table": _comment_table,
    "on_delete": _on_delete,
    "db_constraint": _constrain_key,
    "loosen key": _loosen_key,
    "key to one": _key_to_one,
    "rename": _renaming,
    "rename keeping column": _rename_keeping,
    "db_column": _column_name,
    "remove": _remove,
    "add x again": None,
    "add x again nullable": None,
    "add another x": _add("x", lambda: models.FloatField(default=2.5)),
    "add y": _add("y", lambda: models.IntegerField(default=1)),
    "add y nullable": _add("y", lambda: models.IntegerField(null=True)),
    "add y by database": _add("y", lambda: char(db_default="y")),
    "add y as key": _add("y", lambda: fk(null=True, on_delete=models.SET_NULL, related_name="+")),
    "move": _move,
    "generate": _generate,
    "generate no more": _generate_no_more,
    "add index": _add_index,
    "add index of some": _add_index_of_some,
    "remove index": _remove_index,
    "rename index": _rename_index,
    "index elsewhere": _index_elsewhere,
    "add constraint": _constrain("one_x", lambda _, x: models.UniqueConstraint(fields=[x, "title"], name="one_x")),
    "add unique if": _constrain(
        "if_x", lambda _, x: models.UniqueConstraint(fields=[x], condition=~models.Q(title="t"), name="if_x")
    ),
    "add unique expression": _constrain("lower_x", _lower),
    "add unique including": _constrain(
        "with_x", lambda _, x: models.UniqueConstraint(fields=[x], include=["title"], name="with_x")
    ),
    "add check of x": _constrain("least_x", _least),
    "add check": _add_check,
    "remove constraint": _remove_constraint,
    "constraint elsewhere": _constraint_elsewhere,
    "together": _together,
    "order": _order,
    "delete": _delete,
    "create again": None,
    "create another": _create(("title", char(default="t")), ("z", models.IntegerField(default=1))),
    "delete other": _delete_other,
    "create other again": None,
    "inherit": _inherit,
    "disinherit": _disinherit,
    "proxy": _proxy,
    "rename model": _rename_model,
    "rename model keeping table": _rename_model_keeping,
    "rename table": _rename_table,
    "relate": _relate("many", "app.parent"),
    "relate to itself": _relate("peers", "app.item"),
    "unrelate": _unrelate,
    "refer": _refer,
    "refer no more": _refer_no_more,
    "larger keys": _larger_keys,
    "options": _options,
    "python": lambda state: [m.RunPython(_nothing, _nothing)],
    "python one way": lambda state: [m.RunPython(_nothing)],
    "python rows": lambda state: [m.RunPython(_each_row, _nothing)] if _has(state, "item") else None,
    "sql": lambda state: [m.RunSQL(m.RunSQL.noop, m.RunSQL.noop)],
    "sql update": _update,
}

#: Those that have code of the migration's own read columns, which makes writes of old code late.
COPYING = {"move", "python rows", "sql update"}


def changes(column):
    """The changes, for one kind of column."""
    # Without a default nobody could add it again where rows are.
    given = {"default": 7} if column in ("plain", "covered") else {}
    if column in ("foreign key", "protected", "ordered"):
        given = {"default": 1}
    return CHANGES | {
        "add x again": _add("x", lambda: _altered(COLUMNS[column](), **given)),
        "add x again nullable": _add("x", lambda: _altered(COLUMNS[column](), null=True, default=_GONE)),
        "create again": _create_as_it_was(column),
        "create other again": _create_other(column),
    }


def _forwards(state, operations):
    after = oracle._apart(state)
    for operation in operations:
        operation.state_forwards(APP, after)
    return after


@cache
def _start(column):
    return _forwards(ProjectState(), base(column))


def written(column, walk):
    """The walk's migrations, as lists of operations; None where a change has nothing to change."""
    state, found = _start(column), []
    for name in walk:
        operations = changes(column)[name](state)
        if operations is None:
            return None
        state = _forwards(state, operations)
        found.append(operations)
    return found


def walks(column, length):
    """Every walk of a length that can be gone."""

    def further(state, so_far):
        if len(so_far) == length:
            yield so_far
            return
        for name, change in changes(column).items():
            operations = change(state)
            if operations is not None:
                yield from further(_forwards(state, operations), (*so_far, name))

    return further(_start(column), ())


def at_random(chosen, column, length):
    """A walk of a length, each change chosen among those that can be made there."""
    state, walk = _start(column), ()
    for _ in range(length):
        possible = {name: made for name, change in changes(column).items() if (made := change(state)) is not None}
        name = chosen.choice(sorted(possible))
        state, walk = _forwards(state, possible[name]), (*walk, name)
    return walk
