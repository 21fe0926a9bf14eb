"""Foreign keys that come back beside a release which does not know them: it can delete what their rows refer to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import migrations as m
from django.db import models, transaction

from guard.gate import contract
from guard.ledger import rows
from guard.ledger.store import Ledger
from tests.integration.matrix.harness import Case, Deploy, _differences, _unguarded, work
from tests.integration.matrix.test_killed import Dying
from tests.integration.matrix.test_remove import PARENT, char, fk, item
from tests.integration.phases import oracle

FORBIDS = "cannot delete what its rows refer to until they are replaced"


def key(**options):
    return item(("up", fk(**options)), ("n", models.IntegerField(default=1)))


def again(**options):
    return [m.AddField("item", "up", fk(**options))]


REMOVED = [m.RemoveField("item", "up")]
SET_NULL = {"null": True, "on_delete": models.SET_NULL}
DEFAULT = {"default": 1}

#: What the foreign key is, and the ON DELETE action that it has while it is loose.
LOOSE = {
    "set null": (SET_NULL, "SET NULL"),
    "nullable, cascade": ({"null": True}, "SET NULL"),
    "nullable, protect": ({"null": True, "on_delete": models.PROTECT}, "SET NULL"),
    "to itself": ({"null": True, "to": "self"}, "SET NULL"),
}
#: What has to be strict at once.
STRICT = {
    # Else rows of its table would go in silence, and with the parent that the default names what inserts need.
    "cascade": DEFAULT,
    "protect": {"on_delete": models.PROTECT, **DEFAULT},
    "do nothing": {"on_delete": models.DO_NOTHING, **DEFAULT},
    "nullable, do nothing": {"null": True, "on_delete": models.DO_NOTHING},
}


class Returning(Deploy):
    """Release 1 has the foreign key, release 2 does not, release 3 has it again."""

    def __init__(self, alias, base, gone, back, *later):
        super().__init__(alias, Case([PARENT, base], [gone, back, *later]))
        self.live = {}

    #: Whether the fourth release follows upon the second, and with no other beside it.
    leap = stops = False

    def _by_name(self, count):
        return {one.__name__: one for one in self.models(count)}

    @contextmanager
    def going(self):
        """What plain Django does of it is known, and the key has come back beside release 2."""
        try:
            own = {}
            with _unguarded():
                self.seed()
                for count in range(1, len(self.migrations) + 1):
                    self.migrate(count)
                    own[count] = work(self.connection, self.models(count)), self.schema(), self.names()
            self.drop()
            self.own = own
            self.seed()
            self.live[1] = self.arrive(1, "r1")
            self.go(2)
            self.leave(self.live.pop(1))
            if self.stops:
                self.leave(self.live.pop(2))
            self.go(4 if self.leap else 3)
            yield self
        finally:
            self.drop()

    def go(self, count):
        self.migrate(count, release=count, everything=True)
        assert self.applied() == count, self.said
        self.live[count] = self.arrive(count, f"r{count}")

    def all_work(self):
        for count in self.live:
            worse = oracle._worse(self.own[count][0], work(self.connection, self.models(count)))
            # The rows have come back, where Django has made it anew, empty: what they protect is protected.
            worse = {
                name: now
                for name, now in worse.items()
                if now != "False became True" and (count < 3 or "ProtectedError" not in now)
            }
            assert not worse, f"release {count} on {self.vendor}: {worse}"

    def step(self, column="up_id"):
        (found,) = (
            step
            for step in Ledger(self.connection).steps()
            if step.kind is rows.StepKind.KEY and step.column == column and step.state is not rows.StepState.WITHDRAWN
        )
        return found

    def actions(self, table="item"):
        return {each[0]: each[1] for each in self.schema()[table][2]}

    def without(self, count):
        """A release has gone, and every step that can be taken is."""
        self.leave(self.live.pop(count))
        return [attempt for _ in range(4) for attempt in self.take(KEEP_FOR=0)]

    def is_as_plain(self, count=3):
        assert not (different := _differences(self.schema(), self.own[count][1])), different
        assert self.waiting() == []

    def deletes_parents(self, count):
        """What release `count` leaves of Item when it deletes every Parent, and takes that back."""
        found = self._by_name(count)
        with transaction.atomic(self.alias):
            found["Parent"].objects.using(self.alias).all().delete()
            self.connection.check_constraints()
            left = list(found["Item"].objects.using(self.alias).values()) if "Item" in found else []
            transaction.set_rollback(True, using=self.alias)
        return left


_CODES = {"NO ACTION": "a", "SET NULL": "n", "CASCADE": "c"}


def action_of(deploy, name):
    return _CODES[name] if deploy.vendor == "postgresql" else name


@pytest.mark.parametrize("aside", [False, True], ids=["waiting", "aside"])
@pytest.mark.parametrize("name", LOOSE)
def test_code_in_between_deletes_what_rows_of_a_returned_key_refer_to(alias: str, name: str, aside: bool) -> None:
    options, action = LOOSE[name]
    deploy = Returning(alias, key(**options), REMOVED, again(**options))
    if aside:
        before = deploy.go

        def go(count: int) -> None:
            before(count)
            if count == 2:
                deploy.leave(deploy.live.pop(1))
                deploy.release = 2
                assert contract.Outcome.ASIDE in {a.outcome for a in deploy.take()}
                deploy.release = None
                deploy.live[1] = deploy.arrive(1, "r1")

        deploy.go = go  # type: ignore[method-assign]
    with deploy.going():
        assert FORBIDS not in " ".join(deploy.said.split())
        assert deploy.actions()["up_id"] == action_of(deploy, action)
        deploy.all_work()
        if name != "to itself":
            left = deploy.deletes_parents(2)
            assert bool(left) is (action == "SET NULL")
        # It waits in silence for as long as that release is there,
        assert not any(attempt.taken for attempt in deploy.take(KEEP_FOR=0))
        deploy.migrate(3, everything=True)
        assert "guard" not in deploy.said
        # and is strict when it has gone.
        assert rows.StepKind.KEY in [a.step.kind for a in deploy.without(2) if a.taken]
        deploy.is_as_plain()
        assert deploy.vendor == "sqlite" or deploy.names() == deploy.own[3][2]
        deploy.all_work()


@pytest.mark.parametrize("name", STRICT)
def test_a_key_whose_rows_have_no_other_choice_is_strict_at_once_and_that_is_said(alias: str, name: str) -> None:
    deploy = Returning(alias, key(**STRICT[name]), REMOVED, again(**STRICT[name]))
    with deploy.going():
        assert FORBIDS in " ".join(deploy.said.split())
        assert deploy.actions()["up_id"] == action_of(deploy, "NO ACTION")
        assert not [step for step in Ledger(deploy.connection).steps() if step.kind is rows.StepKind.KEY]
        deploy.without(2)
        deploy.is_as_plain()


def test_it_is_loose_again_for_code_that_comes_back_after_it_was_strict(alias: str) -> None:
    deploy = Returning(alias, key(**SET_NULL), REMOVED, again(**SET_NULL))
    with deploy.going():
        deploy.without(2)
        assert deploy.step().state is rows.StepState.DONE
        deploy.live[2] = deploy.arrive(2, "r2 again")
        deploy.migrate(3, everything=True)
        assert deploy.step().state is rows.StepState.WAITING
        deploy.all_work()
        assert deploy.deletes_parents(2)
        deploy.without(2)
        deploy.is_as_plain()


#: What comes later to the column or its table, while the key is loose, and whether it needs a stopped fleet.
LATER = {
    "altered": ([m.AlterField("item", "up", models.OneToOneField("app.parent", models.SET_NULL, null=True))], True),
    "on delete altered": ([m.AlterField("item", "up", fk(null=True, on_delete=models.PROTECT))], False),
    "renamed": ([m.RenameField("item", "up", "parent")], True),
    "its model renamed": ([m.RenameModel("item", "Thing")], True),
    "the other model renamed": ([m.RenameModel("parent", "Owner")], True),
    "its table renamed": ([m.AlterModelTable("item", "app_things")], True),
    "no key any more": ([m.AlterField("item", "up", models.BigIntegerField(null=True, db_column="up_id"))], True),
    "removed": ([m.RemoveField("item", "up")], False),
    "deleted": ([m.DeleteModel("item")], False),
    "another column altered": ([m.AlterField("item", "n", models.BigIntegerField(default=2))], True),
    "a column added": ([m.AddField("item", "z", char(default="z"))], False),
    "another column nullable": ([m.AlterField("item", "n", models.IntegerField(default=1, null=True))], False),
}


@pytest.mark.parametrize("name", LATER)
def test_what_comes_later_meets_a_loose_key(alias: str, name: str) -> None:
    operations, stops = LATER[name]
    deploy = Returning(alias, key(**SET_NULL), REMOVED, again(**SET_NULL), operations)
    with deploy.going():
        if stops:
            for each in deploy.live.values():
                deploy.leave(each)
            deploy.live = {}
        deploy.go(4)
        if name not in ("removed", "deleted"):
            deploy.all_work()
        for count in [count for count in deploy.live if count != 4]:
            deploy.leave(deploy.live.pop(count))
        for _ in range(4):
            deploy.take(KEEP_FOR=0)
        deploy.is_as_plain(4)
        deploy.all_work()


@pytest.mark.parametrize("name", [name for name in LATER if "renamed" not in name])
def test_the_same_plan_goes_on_with_a_loose_key(alias: str, name: str) -> None:
    operations, stops = LATER[name]
    deploy = Returning(alias, key(**SET_NULL), REMOVED, again(**SET_NULL), operations)
    deploy.stops = stops
    deploy.leap = True
    with deploy.going():
        for count in [count for count in deploy.live if count != 4]:
            deploy.leave(deploy.live.pop(count))
        for _ in range(4):
            deploy.take(KEEP_FOR=0)
        deploy.is_as_plain(4)
        deploy.all_work()


def test_removed_again_and_unapplied_it_is_as_its_field_declares_it(alias: str) -> None:
    deploy = Returning(alias, key(**SET_NULL), REMOVED, again(**SET_NULL), REMOVED, again(**SET_NULL))
    with deploy.going():
        deploy.go(4)
        deploy.go(5)
        deploy.all_work()
        for count in (2, 3):
            deploy.leave(deploy.live.pop(count))
        # Release 4 does not know it.
        assert not any(attempt.taken for attempt in deploy.take(KEEP_FOR=0))
        deploy.without(4)
        deploy.is_as_plain(5)


def test_unapplying_what_has_taken_it_over_leaves_nothing_to_make_strict(alias: str) -> None:
    deploy = Returning(alias, key(**SET_NULL), REMOVED, again(**SET_NULL))
    with deploy.going():
        deploy.leave(deploy.live.pop(3))
        deploy.migrate(2)
        assert not [s for s in Ledger(deploy.connection).steps(rows.StepState.WAITING) if s.kind is rows.StepKind.KEY]
        deploy.all_work()
        deploy.leave(deploy.live.pop(2))
        deploy.migrate(1)
        deploy.is_as_plain(1)


RELATED = item(
    ("cascading", fk()),
    ("nulled", fk(related_name="+", **SET_NULL)),
    ("many", models.ManyToManyField("app.parent", related_name="+")),
)
PROTECTING = item(("up", fk(on_delete=models.PROTECT)))


def test_code_in_between_deletes_what_rows_of_a_returned_table_refer_to(alias: str) -> None:
    deploy = Returning(alias, RELATED, [m.DeleteModel("Item")], [RELATED])
    with deploy.going():
        assert FORBIDS not in " ".join(deploy.said.split())
        assert deploy.actions() == {
            "cascading_id": action_of(deploy, "CASCADE"),
            "nulled_id": action_of(deploy, "SET NULL"),
        }
        deploy.deletes_parents(2)
        assert not any(attempt.taken for attempt in deploy.take(KEEP_FOR=0))
        deploy.without(2)
        deploy.is_as_plain()
        assert deploy.vendor == "sqlite" or deploy.names() == deploy.own[3][2]


def test_a_returned_table_that_protects_is_strict_at_once_and_that_is_said(alias: str) -> None:
    deploy = Returning(alias, PROTECTING, [m.DeleteModel("Item")], [PROTECTING])
    with deploy.going():
        assert FORBIDS in " ".join(deploy.said.split())
        deploy.is_as_plain()


def test_a_returned_table_is_deleted_again_and_comes_back(alias: str) -> None:
    gone, back = [m.DeleteModel("Item")], [RELATED]
    deploy = Returning(alias, RELATED, gone, back, gone, back)
    with deploy.going():
        deploy.go(4)
        deploy.go(5)
        for count in (2, 3):
            deploy.leave(deploy.live.pop(count))
        assert not any(attempt.taken for attempt in deploy.take(KEEP_FOR=0))
        deploy.without(4)
        deploy.is_as_plain(5)


def test_what_is_refused_while_it_is_loose_is_refused_for_what_it_does(alias: str) -> None:
    deploy = Returning(alias, key(**SET_NULL), REMOVED, again(**SET_NULL), [m.RenameField("item", "up", "parent")])
    with deploy.going():
        with pytest.raises(CommandError) as refused:
            deploy.go(4)
        assert "has left something of" not in str(refused.value)


class Killed(Dying, Returning):
    """None of whose commands survives at first."""


@pytest.mark.parametrize(
    ("base", "gone", "back"),
    [(key(**SET_NULL), REMOVED, again(**SET_NULL)), (RELATED, [m.DeleteModel("Item")], [RELATED])],
    ids=["column", "table"],
)
def test_a_loose_key_becomes_strict_wherever_what_is_done_to_it_is_killed(
    alias: str, base: m.CreateModel, gone: list[Any], back: list[Any]
) -> None:
    deploy = Killed(alias, base, gone, back)
    with deploy.going():
        deploy.all_work()
        deploy.without(2)
        deploy.is_as_plain()
        deploy.live[2] = deploy.arrive(2, "r2 again")
        deploy.migrate(3, everything=True)
        deploy.all_work()
        deploy.without(2)
        deploy.is_as_plain()
        deploy.all_work()
    assert deploy.killed > 20
