"""Walks of a few migrations over one or two tables, each written as its changes' names, and what must hold on the way.

A walk is deployed in several ways: at once, release by release while steps wait, with what they take set aside in
between, there and back. Plain Django says what each release can do on its own schema, and what that is in the end.
"""

from __future__ import annotations

import itertools
import re
from functools import cache

from django.core.management.base import CommandError
from django.db import connections, models
from django.db import migrations as m
from django.db.migrations.state import ProjectState

from guard.gate import contract
from guard.ledger.store import Ledger
from tests.integration.matrix.harness import Case, Deploy, _differences, _unguarded, model
from tests.integration.phases import oracle

APP = "app"


def char(**options):
    return models.CharField(**{"max_length": 20, **options})


def fk(to="app.parent", on_delete=models.CASCADE, **options):
    return models.ForeignKey(to, on_delete, **options)


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
}
#: What is made upon it and another one.
COVERINGS = {
    "covered": {"indexes": [models.Index(fields=["x", "title"], name="by_x")]},
    "together": {"unique_together": {("x", "title")}},
    "constrained": {"constraints": [models.UniqueConstraint(fields=["x", "title"], name="one_x")]},
}


def base(column):
    """The deployed release's models: Item, what it refers to, and what refers to it."""
    return [
        model("Parent", ("label", char())),
        model("Item", ("title", char(default="t")), ("x", COLUMNS[column]()), **COVERINGS.get(column, {})),
        model("Other", ("label", char(default="o")), ("item", fk("app.item", null=True))),
    ]


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


_GONE = object()


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


def _is_key(state):
    return isinstance(_subject(state)[1], models.ForeignKey)


def _coverings(state, name, *fields):
    """What goes before a field can go, as makemigrations writes it."""
    found = state.models[APP, name]
    for index in found.options.get("indexes") or ():
        if not fields or set(index.fields) & set(fields):
            yield m.RemoveIndex(name, index.name)
    for constraint in found.options.get("constraints") or ():
        if not fields or set(getattr(constraint, "fields", ()) or ("title",)) & set(fields):
            yield m.RemoveConstraint(name, constraint.name)
    if any(not fields or set(group) & set(fields) for group in found.options.get("unique_together") or ()):
        yield m.AlterUniqueTogether(name, set())


def _has(state, name):
    return (APP, name) in state.models


def _named(state, option):
    found = state.models.get((APP, "item"))
    return {one.name: one for one in found.options.get(option) or ()} if found else {}


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


def _require(state):
    _, field = _subject(state)
    if field is None or not field.null or _is_key(state):
        return None
    return _alter(state, null=_GONE, default=4 if "Integer" in field.get_internal_type() else "r")


def _other_default(state):
    _, field = _subject(state)
    if field is None or _is_key(state) or field.unique:
        return None
    return _alter(state, default=9 if "Integer" in field.get_internal_type() else "another")


def _indexed(state):
    _, field = _subject(state)
    if field is None or _is_key(state) or field.unique or isinstance(field, models.TextField):
        return None
    return _alter(state, db_index=_GONE if field.db_index else True)


def _unique(state):
    _, field = _subject(state)
    if field is None or isinstance(field, models.TextField) or (field.has_default() and not field.unique):
        return None
    return _alter(state, unique=_GONE if field.unique else True)


def _rename(state):
    name, field = _subject(state)
    if field is None:
        return None
    to = "y" if name == "x" else "x"
    return None if _field(state, "item", to) is not None else [m.RenameField("item", name, to)]


def _remove(state):
    name, field = _subject(state)
    return None if field is None else [*_coverings(state, "item", name), m.RemoveField("item", name)]


def _add(name, made):
    def change(state):
        if not _has(state, "item") or _field(state, "item", name) is not None:
            return None
        return [m.AddField("item", name, made())]

    return change


def _add_index(state):
    name, field = _subject(state)
    if field is None or "by_x" in _named(state, "indexes") or isinstance(field, models.TextField):
        return None
    return [m.AddIndex("item", models.Index(fields=[name, "title"], name="by_x"))]


def _remove_index(state):
    return [m.RemoveIndex("item", "by_x")] if "by_x" in _named(state, "indexes") else None


def _rename_index(state):
    names = _named(state, "indexes")
    if "by_x" not in names or "by_y" in names:
        return None
    return [m.RenameIndex("item", new_name="by_y", old_name="by_x")]


def _add_constraint(state):
    name, field = _subject(state)
    if field is None or "one_x" in _named(state, "constraints") or isinstance(field, models.TextField):
        return None
    return [m.AddConstraint("item", models.UniqueConstraint(fields=[name, "title"], name="one_x"))]


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


def _delete(state):
    if not _has(state, "item"):
        return None
    refers = [m.RemoveField("other", "item")] if _field(state, "other", "item") is not None else []
    found = state.models[APP, "item"]
    relations = [name for name, field in found.fields.items() if field.is_relation]
    groups = _coverings(state, "item", *relations) if relations else ()
    return [*groups, *refers, *(m.RemoveField("item", name) for name in relations), m.DeleteModel("Item")]


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


def _create_other(state):
    return None if _has(state, "other") else [base("plain")[2]] if _has(state, "item") else None


def _rename_model(state):
    if _has(state, "item") and not _has(state, "thing"):
        return [m.RenameModel("Item", "Thing")]
    return [m.RenameModel("Thing", "Item")] if _has(state, "thing") and not _has(state, "item") else None


def _rename_table(state):
    found = state.models.get((APP, "item"))
    if found is None:
        return None
    return [m.AlterModelTable("item", None if found.options.get("db_table") else "app_things")]


def _relate(state):
    if not _has(state, "item") or _field(state, "item", "many") is not None:
        return None
    return [m.AddField("item", "many", models.ManyToManyField("app.parent", related_name="+"))]


def _unrelate(state):
    return None if _field(state, "item", "many") is None else [m.RemoveField("item", "many")]


def _refer(state):
    if not _has(state, "item") or not _has(state, "other") or _field(state, "other", "item") is not None:
        return None
    return [m.AddField("other", "item", fk("app.item", null=True))]


def _refer_no_more(state):
    return None if _field(state, "other", "item") is None else [m.RemoveField("other", "item")]


def _nothing(apps, editor):
    pass


#: By its name: what makes operations of a state, or None where it can change nothing there.
CHANGES = {
    "widen": _widen,
    "narrow": _narrow,
    "retype": _retype,
    "allow null": lambda state: _alter(state, null=True) if not _is_key(state) else None,
    "require": _require,
    "other default": _other_default,
    "db_index": _indexed,
    "unique": _unique,
    "rename": _rename,
    "remove": _remove,
    "add x again": None,
    "add another x": _add("x", lambda: models.FloatField(default=2.5)),
    "add y": _add("y", lambda: models.IntegerField(default=1)),
    "add y nullable": _add("y", lambda: models.IntegerField(null=True)),
    "add index": _add_index,
    "remove index": _remove_index,
    "rename index": _rename_index,
    "index elsewhere": _index_elsewhere,
    "add constraint": _add_constraint,
    "add check": _add_check,
    "remove constraint": _remove_constraint,
    "constraint elsewhere": _constraint_elsewhere,
    "together": _together,
    "delete": _delete,
    "create again": None,
    "create another": _create(("title", char(default="t")), ("z", models.IntegerField(default=1))),
    "delete other": _delete_other,
    "create other again": _create_other,
    "rename model": _rename_model,
    "rename table": _rename_table,
    "relate": _relate,
    "unrelate": _unrelate,
    "refer": _refer,
    "refer no more": _refer_no_more,
    "python": lambda state: [m.RunPython(_nothing, _nothing)],
    "sql": lambda state: [m.RunSQL(m.RunSQL.noop, m.RunSQL.noop)],
}


def changes(column):
    """The changes, for one kind of column."""
    return CHANGES | {
        "add x again": _add(
            "x", lambda: _altered(COLUMNS[column](), **({"default": 7} if column in ("plain", "covered") else {}))
        ),
        "create again": _create_as_it_was(column),
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


def vendor_of(alias):
    return connections[alias].vendor


class Diverged(AssertionError):
    """Something on the way, or in the end, that plain Django does otherwise."""


class Unwalkable(Exception):
    """Plain Django cannot go this way either."""


#: What plain Django makes of the last walk, which is gone in several ways.
_PLAIN = {}

#: What tables are like, by their definitions: SQLite's are told by a parser in Python.
_FACTS = {}

WAYS = ("together", "merged", "waiting", "aside", "restored", "back", "held", "erased")


class Walk(Deploy):
    """One walk on one database."""

    def __init__(self, alias, column, walk, way):
        steps = written(column, walk)
        if way == "merged":
            steps = [[operation for operations in steps for operation in operations]]
        # One name for all: what a walk begins with has been looked at by the one before.
        super().__init__(alias, Case(base(column), steps), app="walk")
        self._item_column = COLUMNS[column]()
        self._takes_back = bool({"add x again", "create again"} & set(walk))
        self._key = (self.vendor, column, tuple(walk), way == "merged")
        if way == "held":
            self.guard["STRATEGY"] = "hold"
        self.way = way
        self.count = len(self.migrations)
        self.outcomes = []
        self._models = {}

    def models(self, count):
        if count not in self._models:
            self._models[count] = super().models(count)
        return self._models[count]

    def go(self):
        """Go it, and say what `migrate` did on the way."""
        try:
            own, schemas, pks = self._plainly()
            self.seed()
            self._live = {1: self.arrive(1, "r1")}
            getattr(self, "_" + ("together" if self.way == "merged" or self.way == "held" else self.way))(own, schemas)
            self._finish(own[self.count], schemas[self.count], pks)
        finally:
            self.drop()
        return self.outcomes

    # Plain Django

    def _plainly(self):
        if self._key not in _PLAIN:
            _PLAIN.clear()
            try:
                _PLAIN[self._key] = self._gone_plainly()
            except Unwalkable as error:
                _PLAIN[self._key] = error
        found = _PLAIN[self._key]
        if isinstance(found, Unwalkable):
            raise found
        return found

    def _gone_plainly(self):
        own, schemas = {}, {}
        try:
            with _unguarded():
                self.seed()
                for count in range(1, self.count + 1):
                    self.migrate(count)
                    own[count] = self._work(count)
                    schemas[count] = self.schema()
                pks = self._pks()
        except Exception as error:
            raise Unwalkable(f"{type(error).__name__}: {error}") from error
        finally:
            self.drop()
        return own, schemas, pks

    def _more_rows(self):
        """No two rows of Item are the same in anything."""
        (item,) = (found for found in self.old if found.__name__ == "Item")
        column = item._meta.get_field("x")
        for row in item.objects.using(self.alias).order_by("pk"):
            row.title = f"t{row.pk}"
            if not column.is_relation:
                row.x = row.pk if "Integer" in column.get_internal_type() else f"x{row.pk}"
            row.save(using=self.alias)

    def _work(self, count):
        # Without upserts: what removing a constraint does to those is for its author to know.
        return oracle._work(self.connection, self.models(count), ("plain", "null"))

    def schema(self):
        if self.vendor != "sqlite":
            return super().schema()
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT sql FROM sqlite_master WHERE tbl_name LIKE 'walk%' ORDER BY name, sql")
            text = repr(cursor.fetchall())
        if text not in _FACTS:
            _FACTS[text] = super().schema()
        return _FACTS[text]

    def names(self):
        if self.vendor != "sqlite":
            return super().names()
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT sql FROM sqlite_master WHERE tbl_name LIKE 'walk%' ORDER BY name, sql")
            text = "names " + repr(cursor.fetchall())
        if text not in _FACTS:
            _FACTS[text] = super().names()
        return _FACTS[text]

    def _pks(self):
        return {found.__name__: set(found.objects.using(self.alias).values_list("pk", flat=True)) for found in self.new}

    # Ways

    def _try(self, count, *, release=None):
        """`migrate`; whether all of it is applied now."""
        try:
            self.migrate(count, release=release or count, everything=True)
        except CommandError as error:
            self.said = str(error)
            if not self.said.strip():
                raise Diverged("refused without a word") from error
            self.outcomes.append("refused" if "refuses this plan" in self.said else "stopped")
            return False
        except Exception as error:
            raise Diverged(f"migrate to {count} crashed: {type(error).__name__}: {error}") from error
        done = self.applied() >= count
        if not done and "waits and is not applied yet" not in self.said:
            raise Diverged(f"held without a word: {self.said}")
        self.outcomes.append("applied" if done else "held")
        return done

    def _all_work(self, own, when):
        for count in self._live:
            worse = oracle._worse(own[count], self._work(count))
            # A table that is taken over has its rows, where Django has made an empty one; and a foreign key, as one
            # that is added, forbids code that does not know it to delete what its rows refer to.
            if worse := {name: now for name, now in worse.items() if not self._expected(name, now)}:
                raise Diverged(f"release {count} broke {when}: {dict(itertools.islice(worse.items(), 3))}")

    def _expected(self, name, now):
        keyed = isinstance(self._item_column, models.ForeignKey) and self._takes_back
        return now == "False became True" or (keyed and name.startswith("delete") and "foreign key" in now.lower())

    def _keeps_rows(self, before, when):
        now = self.dump()
        for name, rows_ in before.items():
            pairs = zip(rows_, now[name], strict=False)
            if len(rows_) != len(now[name]) or any(
                was is not None and was != is_ for one, two in pairs for was, is_ in zip(one, two, strict=True)
            ):
                raise Diverged(f"old code's rows of {name} changed {when}: {rows_} became {now[name]}")

    def _together(self, own, schemas):
        before = self.dump()
        if self._try(self.count):
            self._live[self.count] = self.arrive(self.count, f"r{self.count}")
        self._all_work(own, "beside each other")
        self._keeps_rows(before, "by migrate")

    def _waiting(self, own, schemas):
        before = self.dump()
        for count in range(2, self.count + 1):
            if not self._try(count):
                break
            self._live[count] = self.arrive(count, f"r{count}")
            self._all_work(own, f"after migration {count}")
            self._keeps_rows(before, f"by migration {count}")
        self._all_work(own, "in the end")

    def _aside(self, own, schemas, *, then=lambda count: None, **guard):
        """Release by release, each after the steps of the one before; `then` where all that they took is set aside."""
        for count in range(2, self.count + 1):
            self.release = count
            if not self._try(count):
                break
            self._live[count] = self.arrive(count, f"r{count}")
            self._all_work(own, f"after migration {count}")
            self.leave(self._live.pop(count - 1))
            if self._steps(**guard) == {contract.Outcome.ASIDE}:
                then(count)
            self._all_work(own, f"after the steps of migration {count}")
        self.release = None

    def _erased(self, own, schemas):
        self._aside(own, schemas, KEEP_FOR=0)

    def _restored(self, own, schemas):
        """Rolled back to the release before, each time, and forth again."""

        def back(count):
            try:
                self.restore()
            except Exception as error:
                raise Diverged(f"restoring after {count} crashed: {type(error).__name__}: {error}") from error
            if any(state == "aside" for state in self.states().values()):
                raise Diverged(f"not restored: {self.states()}")
            self._live[count - 1] = self.arrive(count - 1, f"r{count - 1}")
            self._all_work(own, f"after restoring behind migration {count}")
            self.leave(self._live.pop(count - 1))
            self._steps()

        self._aside(own, schemas, then=back)

    def _back(self, own, schemas):
        """There release by release, and back in the same way."""
        before = self.dump()
        reached = 1
        for count in range(2, self.count + 1):
            if not self._try(count):
                break
            reached = count
        for count in range(reached - 1, 0, -1):
            for instance in self._live.values():
                self.leave(instance)
            self._live = {count: self.arrive(count, f"r{count}")}
            try:
                self.migrate(count, release=self.count)
            except CommandError as error:
                raise Diverged(f"not unapplied: {error}") from error
            except Exception as error:
                raise Diverged(f"unapplying to {count} crashed: {type(error).__name__}: {error}") from error
            self._all_work(own, f"back at {count}")
        self._keeps_rows(before, "there and back")
        if reached > 1 and (different := _differences(self.schema(), schemas[1])):
            raise Diverged(f"there and back: {different}")
        self.outcomes.append("back")

    # The end

    def _steps(self, **guard):
        outcomes = set()
        for _ in range(10):
            attempts = self.take(**guard)
            outcomes |= {attempt.outcome for attempt in attempts if attempt.taken}
            for attempt in attempts:
                if attempt.outcome is contract.Outcome.FAILED:
                    raise Diverged(f"the step for {attempt.step.target} failed: {attempt.detail}")
            if not any(attempt.taken for attempt in attempts):
                break
        return outcomes

    def _finish(self, own, schema, pks):
        for instance in Ledger(self.connection).instances():
            self.leave(instance.id)
        self.release = None
        self._live = {}
        for number in range(12):
            if self.applied() < self.count:
                self._try(self.count)
            # Where it cannot be applied beside nobody, it waits for code that has it.
            if self.count not in self._live and (number > 1 or self.applied() == self.count):
                self._live[self.count] = self.arrive(self.count, "newest")
            self._steps(KEEP_FOR=0)
            if self.applied() == self.count and not self.waiting():
                break
        if self.applied() < self.count:
            raise Diverged(f"never applied: {self.said}")
        if self.waiting():
            blocked = [(a.step.target, a.outcome.value, a.verdict and a.verdict.blockers) for a in self.take()]
            raise Diverged(f"still waiting: {blocked}")
        self._all_work({self.count: own}, "in the end")
        if different := _differences(self.schema(), schema):
            raise Diverged(f"another schema in the end: {different}")
        now = self._pks()
        if lost := {name: rows_ - now[name] for name, rows_ in pks.items() if rows_ - now[name]}:
            raise Diverged(f"rows are lost: {lost}")
        named = {one.name for found in self.new for one in (*found._meta.indexes, *found._meta.constraints)}
        found = self.names()
        if not named <= found:
            raise Diverged(f"names are lost: {named - found}")
        if strange := [name for name in found if re.match(r"guard_\d+_", name)]:
            raise Diverged(f"guard's own names are left: {strange}")
