"""Walks of a few migrations over one or two tables, each written as its changes' names, and what must hold on the way.

A walk is deployed in several ways: at once, release by release while steps wait, with what they take set aside in
between, there and back. Plain Django says what each release can do on its own schema, and what that is in the end.
Each release that serves writes rows of its own, which it and whoever comes after it must find again.
"""

from __future__ import annotations

import itertools
import random
import re
from dataclasses import dataclass, field, replace

from django.core.management.base import CommandError
from django.db import DatabaseError, connections, transaction
from django.db import migrations as m
from django.db.migrations.optimizer import MigrationOptimizer

from guard.gate import contract
from guard.ledger import protocol, rows
from guard.ledger.store import Ledger
from guard.schema.footprint import Footprint
from tests.integration.matrix.changes import COPYING, base, written
from tests.integration.matrix.harness import Case, Deploy, _differences, _unguarded
from tests.integration.phases import oracle


def vendor_of(alias):
    return connections[alias].vendor


class Diverged(AssertionError):
    """Something on the way, or in the end, that plain Django does otherwise."""


class Unwalkable(Exception):
    """Plain Django cannot go this way either."""


#: What plain Django makes of the last walk, which is gone in several ways.
_PLAIN = {}

#: What its releases can do, by the schema that they meet.
_DONE = {}

#: What tables are like, by their definitions: SQLite's are told by a parser in Python.
_FACTS = {}

WAYS = (
    *("together", "merged", "waiting", "aside", "restored", "back", "held", "erased"),
    *("hops", "squashed", "stopped", "held by turns"),
)


@dataclass
class Plain:
    """What plain Django makes of a walk."""

    #: By release: what it can do on its own schema, that schema, and the models that it can write rows of.
    own: dict = field(default_factory=dict)
    schemas: dict = field(default_factory=dict)
    writable: dict = field(default_factory=dict)
    #: In the end: names of indexes and constraints, and what is left of the rows that there were in the beginning.
    names: set = field(default_factory=set)
    seeded: dict = field(default_factory=dict)

    def of_two(self, last):
        """The same where the last release is the second one."""
        own, schemas, writable = ({1: of[1], 2: of[last]} for of in (self.own, self.schemas, self.writable))
        return replace(self, own=own, schemas=schemas, writable=writable)


#: What PostgreSQL says of columns, indexes, constraints, sequences and comments.
_DETAILS = (
    "SELECT ROW(c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, "
    "a.attgenerated, pg_get_expr(d.adbin, d.adrelid), a.attcollation, col_description(c.oid, a.attnum), "
    "obj_description(c.oid))::text "
    "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum "
    r"WHERE c.relkind = 'r' AND c.relname LIKE '%walk\_%'",
    "SELECT ROW(pg_get_indexdef(i.indexrelid), i.indisvalid)::text "
    r"FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relname LIKE '%walk\_%'",
    "SELECT ROW(c.relname, pg_get_constraintdef(k.oid), k.convalidated)::text "
    r"FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE c.relname LIKE '%walk\_%'",
    r"SELECT relname::text FROM pg_class WHERE relkind = 'S' AND relname LIKE '%walk\_%'",
)

#: What tells a row from all others, of those that have it.
_LABELS = ("title", "label")

#: Rows that each release writes into each of its tables.
_OWN_ROWS = 2

_numbers = itertools.count(1)


class Walk(Deploy):
    """One walk on one database."""

    def __init__(self, alias, column, walk, way):
        steps = written(column, walk)
        if way == "merged":
            steps = [[operation for operations in steps for operation in operations]]
        # One name for all: what a walk begins with has been looked at by the one before.
        super().__init__(alias, Case(base(column), steps, copies=not COPYING.isdisjoint(walk)), app="walk")
        self._key = (self.vendor, column, tuple(walk), way == "merged")
        if way.startswith("held"):
            self.guard["STRATEGY"] = "hold"
        self.way = way
        self.count = len(self.migrations)
        self.outcomes = []
        self._models = {}
        #: Whether guard has named NULLs, in what is in use again, that it has nothing to put in the place of.
        self._nulls_named = False
        #: By (release, model): what its rows were when it had written them, by primary key.
        self._rows = {}

    def models(self, count):
        if count not in self._models:
            self._models[count] = super().models(count)
        return self._models[count]

    def footprint(self, count):
        found = super().footprint(count)
        replaced = {pair for migration in self.migrations[:count] for pair in migration.replaces}
        return Footprint(tables=found.tables, migrations=found.migrations | replaced)

    def go(self):
        """Go it, and say what `migrate` did on the way."""
        try:
            plain = self._plainly()
            if self.way in ("back", "hops") and not self._reversible():
                raise Unwalkable("an operation has no way back")
            self.seed()
            self._live = {1: self.arrive(1, "r1")}
            way = {"merged": "together", "held": "together", "held by turns": "aside"}.get(self.way, self.way)
            self._finish(getattr(self, f"_{way}")(plain) or plain)
        finally:
            self.drop()
        return self.outcomes

    def _reversible(self):
        return all(operation.reversible for migration in self.migrations for operation in migration.operations)

    # Plain Django

    def _plainly(self):
        if self._key not in _PLAIN:
            _PLAIN.clear()
            _DONE.clear()
            try:
                _PLAIN[self._key] = self._gone_plainly()
            except Unwalkable as error:
                _PLAIN[self._key] = error
        found = _PLAIN[self._key]
        if isinstance(found, Unwalkable):
            raise found
        return found

    def _gone_plainly(self):
        plain = Plain()
        try:
            with _unguarded():
                self.seed()
                for count in range(1, self.count + 1):
                    self.migrate(count)
                    plain.own[count] = self._work(count)
                    plain.schemas[count] = self.schema()
                    plain.writable[count] = self._write(count)
                plain.names = self.names()
                plain.seeded = self._seeded()
        except Exception as error:
            raise Unwalkable(f"{type(error).__name__}: {error}") from error
        finally:
            self.drop()
            self._rows.clear()
        return plain

    def _plainly_back(self):
        """The schema of the first release once plain Django has gone there and back; Unwalkable where it cannot."""
        self.drop()
        try:
            with _unguarded():
                self.seed()
                for count in range(1, self.count + 1):
                    self.migrate(count)
                    self._write(count)
                self.migrate(1)
            return self.schema()
        except Exception as error:
            raise Unwalkable(f"back: {type(error).__name__}: {error}") from error

    def _more_rows(self):
        """No two rows of a model are the same in anything."""
        for found in self.old:
            fields = {field.name: field for field in found._meta.concrete_fields}
            for number, row in enumerate(found.objects.using(self.alias).order_by("pk"), 1):
                for name in {*_LABELS, "x"} & fields.keys():
                    kind = fields[name].get_internal_type()
                    if not fields[name].is_relation and ("Integer" in kind or kind == "CharField"):
                        setattr(row, name, number if "Integer" in kind else f"s{number}")
                row.save(using=self.alias)

    def _seeded(self):
        """What is left of the first release's rows, by model."""
        return {
            found.__name__: set(
                found.objects.using(self.alias).filter(**{f"{label}__startswith": "s"}).values_list(label, flat=True)
            )
            for found in self.new
            for label in _LABELS
            if any(field.name == label for field in found._meta.local_fields)
        }

    # Rows of their own

    def _write(self, count):
        """Let a release write rows of its own; the models that it can write."""
        able = set()
        known = {found._meta.model_name: found for found in self.old}
        for found in self.models(count):
            if found._meta.model_name not in known:
                # The release before could delete nothing that its rows refer to.
                continue
            own = self._rows.setdefault((count, found.__name__), {})
            if len(own) >= _OWN_ROWS:
                continue
            try:
                with transaction.atomic(using=self.alias):
                    row = self._unlike(found, known)
            except DatabaseError as error:
                self._unwritable = error
                continue
            able.add(found.__name__)
            own |= self._read(found, [row.pk])
        return able

    def _unlike(self, found, known):
        """A row that no other is like, and that refers to what there is."""
        values = {}
        before = known.get(found._meta.model_name)
        for each in found._meta.concrete_fields:
            number, kind = next(_numbers), each.get_internal_type()
            if each.primary_key or each.generated or getattr(each.remote_field, "parent_link", False):
                continue
            if each.is_relation:
                if each.null and not (before and any(each.name == other.name for other in before._meta.fields)):
                    # Nor what this one refers to by a key that it does not know.
                    values[each.name] = None
                elif each.related_model is found:
                    values[each.name] = None
                else:
                    once = each.unique or any(each.name in group for group in oracle._together(found))
                    there = None if once else each.related_model.objects.using(self.alias).first()
                    values[each.name] = there or self._unlike(each.related_model, known)
            elif kind in ("CharField", "TextField"):
                values[each.name] = f"d{number}"
            elif kind in ("IntegerField", "BigIntegerField", "FloatField", "DecimalField") and each.name != "tenant":
                values[each.name] = 1_000 + number % 8_000
        return oracle._new(self.connection, found, "plain", values)

    def _read(self, found, pks):
        fields = [field for field in found._meta.concrete_fields if not field.generated]
        return {
            row.pk: {field.attname: getattr(row, field.attname) for field in fields}
            for row in found.objects.using(self.alias).filter(pk__in=pks)
        }

    def _all_write(self, plain, when):
        """Whoever serves finds its own rows as they were, and writes another."""
        for count in self._live:
            for found in self.models(count):
                own = self._rows.get((count, found.__name__), {})
                self._same(own, self._read(found, list(own)), f"release {count}'s {found.__name__} {when}")
            missing = plain.writable[count] - self._write(count)
            missing = {name for name in missing if len(self._rows[count, name]) < _OWN_ROWS}
            if missing:
                raise Diverged(f"release {count} cannot write {missing} {when}: {self._unwritable}")

    def _same(self, before, now, whose, fields=None):
        for pk, row in before.items():
            if pk not in now:
                raise Diverged(f"row {pk} is gone: {whose}")
            for name in fields if fields is not None else row:
                if row[name] is not None and now[pk][name] != row[name]:
                    raise Diverged(f"{name} of row {pk} was {row[name]!r}, is {now[pk][name]!r}: {whose}")

    def _all_kept(self, newest):
        """In the end the rows are there that each release has written, in what has been there all along."""
        operations = [operation for migration in self.migrations[1:] for operation in migration.operations]
        if any(isinstance(operation, (m.DeleteModel, m.RenameModel)) for operation in operations):
            return
        column = not any(isinstance(operation, (m.RemoveField, m.RenameField)) for operation in operations)
        stays = {*_LABELS, *(("x", "x_id") if column else ())}
        for (count, name), own in self._rows.items():
            found = next((each for each in newest if each.__name__ == name), None)
            if found is not None and count <= self.count:
                names = stays.intersection(*(row for row in own.values()))
                self._same(own, self._read(found, list(own)), f"in the end, release {count}'s {name}", names)

    def _work(self, count):
        """What a release can do; told once for each schema that it meets, however often the walk comes by it."""
        key = (self.count, count, self._definitions())
        if key not in _DONE:
            # Without upserts: what removing a constraint does to those is for its author to know.
            _DONE[key] = oracle._work(self.connection, self.models(count), ("plain", "null"))
        return _DONE[key]

    def _definitions(self):
        """The text of all that there is."""
        with self.connection.cursor() as cursor:
            if self.vendor == "sqlite":
                cursor.execute("SELECT sql FROM sqlite_master WHERE sql LIKE '%walk%' ORDER BY name, sql")
                return tuple(cursor.fetchall())
            if self.vendor == "postgresql":
                cursor.execute(" UNION ALL ".join(_DETAILS))
                return tuple(sorted(text for (text,) in cursor.fetchall()))
            cursor.execute("SHOW TABLES LIKE '%walk%'")
            found = []
            for (table,) in cursor.fetchall():
                cursor.execute(f"SHOW CREATE TABLE {self.connection.ops.quote_name(table)}")
                text = re.sub(r" AUTO_INCREMENT=\d+", "", cursor.fetchone()[1])
                found += [f"{table}: {line.strip().rstrip(',')}" for line in text.splitlines()]
            return tuple(found)

    def schema(self):
        return self._told("schema", lambda: super(Walk, self).schema() | {"": self._details()})

    def names(self):
        return self._told("names", super().names)

    def _told(self, what, tell):
        """What SQLite's tables are like is told by their definitions: a parser in Python takes its time."""
        if self.vendor != "sqlite":
            return tell()
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT sql FROM sqlite_master WHERE tbl_name LIKE 'walk%' ORDER BY name, sql")
            text = what + repr(cursor.fetchall())
        if text not in _FACTS:
            _FACTS[text] = tell()
        return _FACTS[text]

    def _details(self):
        """What else the servers say of tables, without what names indexes and constraints."""
        if self.vendor == "sqlite":
            return (), (), ()
        found = []
        for line in self._definitions():
            line = re.sub(r"(CONSTRAINT|KEY) `\w+`", r"\1", line)
            found.append(re.sub(r"INDEX \S+ ON", "INDEX ON", line))
        return sorted(found), (), ()

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
        self._nulls_named |= "It stays nullable" in self.said
        done = self.applied() >= count
        if not done and "waits and is not applied yet" not in self.said:
            raise Diverged(f"held without a word: {self.said}")
        self.outcomes.append("applied" if done else "held")
        return done

    def _all_work(self, plain, when):
        self._all_write(plain, when)
        for count in self._live:
            worse = oracle._worse(plain.own[count], self._work(count))
            # A table that is taken over has its rows, where Django has made an empty one.
            if worse := {name: now for name, now in worse.items() if now != "False became True"}:
                raise Diverged(f"release {count} broke {when}: {dict(itertools.islice(worse.items(), 3))}")

    def dump(self):
        return {found.__name__: self._read(found, found.objects.using(self.alias).values("pk")) for found in self.old}

    def _keeps_rows(self, before, when):
        now = self.dump()
        for name, rows_ in before.items():
            self._same(rows_, now[name], f"old code's {name} {when}")

    def _together(self, plain):
        before = self.dump()
        if self._try(self.count):
            self._live[self.count] = self.arrive(self.count, f"r{self.count}")
        self._all_work(plain, "beside each other")
        self._keeps_rows(before, "by migrate")

    def _waiting(self, plain):
        before = self.dump()
        for count in range(2, self.count + 1):
            if not self._try(count):
                break
            self._live[count] = self.arrive(count, f"r{count}")
            self._all_work(plain, f"after migration {count}")
            self._keeps_rows(before, f"by migration {count}")

    def _aside(self, plain, *, then=lambda count: None, **guard):
        """Release by release, each after the steps of the one before; `then` where all that they took is set aside."""
        for count in range(2, self.count + 1):
            self.release = count
            if not self._try(count):
                break
            self._live[count] = self.arrive(count, f"r{count}")
            self._all_work(plain, f"after migration {count}")
            self.leave(self._live.pop(count - 1))
            if self._steps(**guard) == {contract.Outcome.ASIDE}:
                then(count)
            self._all_work(plain, f"after the steps of migration {count}")
        self.release = None

    def _erased(self, plain):
        self._aside(plain, KEEP_FOR=0)

    def _restored(self, plain):
        """Rolled back to the release before, each time, and forth again."""

        def back(count):
            try:
                self.restore()
            except Exception as error:
                raise Diverged(f"restoring after {count} crashed: {type(error).__name__}: {error}") from error
            if left := self._restorable():
                raise Diverged(f"not restored: {[step.target for step in left]}")
            self._live[count - 1] = self.arrive(count - 1, f"r{count - 1}")
            self._all_work(plain, f"after restoring behind migration {count}")
            self.leave(self._live.pop(count - 1))
            self._steps()

        self._aside(plain, then=back)

    def _back(self, plain):
        """There release by release, and back in the same way."""
        before = self.dump()
        reached = 1
        for count in range(2, self.count + 1):
            if not self._try(count):
                break
            reached = count
        for count in range(reached - 1, 0, -1):
            self._unapply(plain, count)
        self._is_back(plain, before, reached)

    def _hops(self, plain):
        """There and back, some migrations at a time, with or without what is taken in between."""
        chosen = random.Random(repr(self._key))
        before = self.dump()
        at = reached = 1
        for _ in range(4):
            to = chosen.choice([count for count in range(1, self.count + 1) if count != at])
            takes = chosen.random() < 0.5
            if to < at:
                self._unapply(plain, to, whole=at - to > 1)
            elif self._try(to):
                self._live[to] = self.arrive(to, f"r{to}")
                self._all_work(plain, f"hopped from {at} to {to}")
                self.leave(self._live.pop(at))
            else:
                # What stands before what is held has been applied.
                at = reached = max(self.applied(), reached)
                break
            at, reached = to, max(reached, to)
            if takes:
                self.release = at
                self._steps()
                self._all_work(plain, f"after the steps at {at}")
                self.release = None
        if at > 1:
            self._unapply(plain, 1, whole=at > 2)
        self._is_back(plain, before, reached)

    def _unapply(self, plain, count, *, whole=False):
        """Roll the code back to a release, and then what it does not have; `whole`: more than one migration."""
        for instance in self._live.values():
            self.leave(instance)
        self._live = {count: self.arrive(count, f"r{count}")}
        try:
            try:
                self.migrate(count, release=self.count)
            except CommandError as error:
                if not whole or "Stop or replace these first" not in str(error):
                    raise
                # What a migration makes may have the name of what one before it took away: gone, and made anew.
                self.outcomes.append("refused")
                self.leave(self._live.pop(count))
                self.migrate(count, release=self.count)
                self._live[count] = self.arrive(count, f"r{count}")
        except Exception as error:
            self._plainly_back()
            raise Diverged(f"unapplying to {count} crashed: {type(error).__name__}: {error}") from error
        self._nulls_named |= "It stays nullable" in self.said
        # What the migrations made is gone, and made anew later.
        self._rows = {(release, name): own for (release, name), own in self._rows.items() if release <= count}
        self._all_work(plain, f"back at {count}")

    def _is_back(self, plain, before, reached):
        self._keeps_rows(before, "there and back")
        if reached > 1 and (different := _differences(self.schema(), plain.schemas[1])):
            if self._nulls_named:
                raise Unwalkable("rows of new code have NULL where it was forbidden, and guard says so")
            if _differences(self.schema(), self._plainly_back()):
                raise Diverged(f"there and back: {different}")
            raise Unwalkable("plain Django does not come back to where it was")
        self.outcomes.append("back")

    def _squashed(self, plain):
        """All migrations are one by the time that the steps are taken."""
        for count in range(2, self.count + 1):
            if not self._try(count):
                return plain
            self._live[count] = self.arrive(count, f"r{count}")
            self._all_work(plain, f"after migration {count}")
        for instance in self._live.values():
            self.leave(instance)
        operations = [operation for migration in self.migrations[1:] for operation in migration.operations]
        squash = self._migration(
            "0002_squashed",
            MigrationOptimizer().optimize(operations, self.app),
            ("0001_initial",),
            replaces=[(self.app, migration.name) for migration in self.migrations[1:]],
        )
        last = self.count
        self.migrations = [self.migrations[0], squash]
        self.count, self._models, self._live = 2, {}, {}
        self._rows = {(1, name): own for (release, name), own in self._rows.items() if release == 1}
        if not self._try(2):
            raise Diverged(f"the squash is not applied: {self.said}")
        return plain.of_two(last)

    def _stopped(self, plain):
        """Nobody serves: whatever it is, it runs."""
        self._all_work(plain, "before the window")
        self.leave(self._live.pop(1))
        if not self._try(self.count):
            raise Diverged(f"not applied in a window: {self.said}")
        self._live[self.count] = self.arrive(self.count, f"r{self.count}")
        self._all_work(plain, "after the window")

    def _restorable(self):
        """What is set aside, and whose name nothing else has."""
        aside = Ledger(self.connection).steps(rows.StepState.ASIDE)
        return [step for step in aside if not step.payload.get(protocol.RECLAIMED)]

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

    def _finish(self, plain):
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
        self._all_work(plain, "in the end")
        self._all_kept(self.models(self.count))
        if different := _differences(self.schema(), plain.schemas[self.count]):
            if self._nulls_named:
                raise Unwalkable("rows of new code have NULL where it is forbidden, and guard says so")
            raise Diverged(f"another schema in the end: {different}")
        now = self._seeded()
        if lost := {name: rows_ - now[name] for name, rows_ in plain.seeded.items() if rows_ - now[name]}:
            raise Diverged(f"rows are lost: {lost}")
        named = {one.name for found in self.new for one in (*found._meta.indexes, *found._meta.constraints)}
        found = self.names()
        if not named & plain.names <= found:
            raise Diverged(f"names are lost: {named & plain.names - found}")
        if strange := [name for name in found if re.match(r"guard_\d+_", name)]:
            raise Diverged(f"guard's own names are left: {strange}")
