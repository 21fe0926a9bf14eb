"""Takers that are stopped or killed before any one of their statements, while old code comes back."""

from __future__ import annotations

import itertools
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.gate import contract
from guard.ledger import connecting, rows
from guard.ledger.store import Ledger
from guard.schema.footprint import Column, Footprint
from tests.integration.runtime import ordeal
from tests.integration.runtime.harness import SITE, Site, eventually

OLD = Footprint(
    {"stock_item": {**ordeal.NEW.tables["stock_item"], "old": Column("integer", False, False)}},
    frozenset({("stock", "0001_initial")}),
)


@contextmanager
def _takers(site: Site) -> Iterator[Callable[[str], str]]:
    """What takes orders for takers, and says what became of them."""
    log = site.directory / "takers.log"
    with log.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "takers.py"],
            cwd=SITE,
            env=site.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            start_new_session=True,
        )
    site.running(process)
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as orders, process.stdout as answers:

        def ask(order: str) -> str:
            orders.write(f"{order}\n")
            orders.flush()
            answer = answers.readline().strip()
            assert answer, log.read_text()
            return answer

        yield ask


class Fleet:
    """Old code that comes and goes, and what can be seen of the column meanwhile."""

    def __init__(self, site: Site, connection: BaseDatabaseWrapper) -> None:
        self.site = site
        self.connection = connection
        self.ledger = Ledger(connection)
        self.admitted = ""

    def arrive(self) -> None:
        """A process of the old code registers, if it can at once: it serves all the same."""
        me = rows.Registration(uuid.uuid4().hex, "r1", rows.InstanceKind.SERVER, "web", False, "elsewhere", 1)
        try:
            admission = self.ledger.register(me, OLD, lease=36_000.0)
        except DatabaseError:
            return
        if admission.state is rows.InstanceState.LIVE:
            self.admitted = me.id
        else:
            self.ledger.leave(me.id)

    def leave(self) -> None:
        if self.admitted:
            self.ledger.leave(self.admitted)
            self.admitted = ""

    def there(self) -> bool:
        """Whether the column is in its place, for whoever reads it; never waits for long."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT COUNT(old) FROM stock_item")
        except DatabaseError as error:
            if "old" not in str(error):
                raise
            return False
        return True

    def unharmed(self) -> None:
        """Who was admitted has its column."""
        assert not self.admitted or self.there(), "taken from under old code that was admitted"

    def step(self) -> rows.Step:
        (step,) = self.ledger.steps()
        return step


def test_takers_stopped_or_killed_at_any_statement_take_nothing_from_anybody(
    each_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    if each_site.database.vendor == "sqlite":
        # Seconds that this test waits for a taker's transaction, which nothing ends here.
        monkeypatch.setattr(connecting, "LOCK_WAIT", 0.1)
    ordeal.slate(each_site)
    told = dict.fromkeys(("STOP", "KILL"), 0)
    with (
        each_site.registered() as alias,
        connecting.private(alias) as connection,
        _takers(each_site) as ask,
    ):
        fleet = Fleet(each_site, connection)
        fleet.arrive()
        fleet.leave()
        for name, comes in itertools.product(told, (True, False)):
            for at in itertools.count(1):
                answer = ask(f"SIG{name} {at}")
                if answer == contract.Outcome.ASIDE.name:
                    assert at > 8, "the fault was not met"
                    break
                told[name] += 1
                if comes:
                    fleet.arrive()
                fleet.unharmed()
                if name == "STOP":
                    assert answer == "stopped"
                    assert ordeal.take(connection) in (
                        *(contract.Outcome.BUSY, contract.Outcome.LOCKED, contract.Outcome.BLOCKED),
                        contract.Outcome.ASIDE,
                    )
                    fleet.unharmed()
                    answer = ask("go")
                    assert answer in (*(outcome.name for outcome in contract.Outcome), "ended 99")
                    fleet.unharmed()
                else:
                    assert answer == "ended -9"
                where = f"{name} before {at}"
                if fleet.admitted:
                    # Whoever looks first settles what was left behind, and takes nothing.
                    eventually(where, lambda: ordeal.take(connection) is contract.Outcome.BLOCKED)
                    assert fleet.step().state is rows.StepState.WAITING
                    assert fleet.there()
                fleet.leave()
                eventually(where, lambda: (ordeal.take(connection), fleet.step().state)[1] is rows.StepState.ASIDE)
                assert not fleet.there()
                _restore(connection, fleet)
            _restore(connection, fleet)
    print(f"\n{each_site.database.vendor}: stopped {told['STOP']} times, killed {told['KILL']} times")


def _restore(connection: BaseDatabaseWrapper, fleet: Fleet) -> None:
    restored = contract.Contractor(connection, ordeal.CONFIG, ordeal.TAKER).restore(fleet.step())
    assert restored.state is rows.StepState.WAITING
    assert fleet.there()
