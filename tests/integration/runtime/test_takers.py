"""Takers, and whoever gives back what they took, stopped or killed before any one of their statements, while old code
comes back."""

from __future__ import annotations

import contextlib
import dataclasses
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
from guard.ledger.protocol import ProtocolError
from guard.ledger.store import Ledger
from guard.ledger.tables import Conflict
from guard.schema.footprint import Column, Footprint
from guard.steps.ddl import ddl_for
from tests.integration.runtime import ordeal
from tests.integration.runtime.harness import SITE, Site, eventually

OLD = Footprint(
    {"stock_item": {**ordeal.NEW.tables["stock_item"], "old": Column("integer", False, False)}},
    frozenset({("stock", "0001_initial")}),
)


#: What the column holds, whatever befalls it.
KEPT = 7

#: What one that lost its session, its seal or a race says, who was asked to give something back.
LOST = (Conflict, DatabaseError, ProtocolError)


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
        """A process of the old code registers, if it can at once, and none is there: it serves all the same."""
        if self.admitted:
            return
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
        """Whether the column is in its place, with what it held, for whoever reads it; never waits for long."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT old FROM stock_item")
                (kept,) = cursor.fetchone()
        except DatabaseError as error:
            if "old" not in str(error):
                raise
            return False
        assert kept == KEPT
        return True

    def unharmed(self) -> None:
        """Who was admitted has its column."""
        assert not self.admitted or self.there(), "taken from under old code that was admitted"

    def counted(self) -> int:
        """Uses of it that are in the ledger."""
        return sum(sighting.count for sighting in self.site.sightings())

    def step(self) -> rows.Step:
        (step,) = self.ledger.steps()
        return step

    def taken(self) -> bool:
        """It is set aside, once whatever is in the way has been settled."""
        ordeal.take(self.connection)
        return self.step().state is rows.StepState.ASIDE

    def erased(self) -> bool:
        ordeal.erase(self.connection)
        return self.step().state is rows.StepState.DONE

    def restored(self) -> bool:
        with contextlib.suppress(*LOST):
            ordeal.restore(self.connection)
        return self.step().state is rows.StepState.WAITING

    def make_anew(self) -> None:
        """The column that was erased, as `migrate` would find and leave it."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE stock_item ADD COLUMN old integer DEFAULT {KEPT} NOT NULL")
        facts = ddl_for(self.connection, lambda sql, params: None).facts("stock_item", "old")
        assert facts is not None
        self.turn(payload={"found": facts.to_json(), "left": facts.to_json()}, aside_name="", aside_at=None)
        # New code hears of it.
        for each in self.ledger.instances():
            if each.release == "r2":
                self.ledger.beat(each.id, lease=36_000.0, watched_epoch=self.ledger.epoch(), flush_no=0)

    def turn(self, **changes: object) -> None:
        """The step waits again."""
        step = self.step()
        waiting = dataclasses.replace(
            step, version=step.version + 1, state=rows.StepState.WAITING, done_at=None, **changes
        )
        self.ledger.save(step, waiting)


@pytest.fixture
def fleet(each_site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """Nobody of it is there yet."""
    if each_site.database.vendor == "sqlite":
        # Seconds that this test waits for a taker's transaction, which nothing ends here.
        monkeypatch.setattr(connecting, "LOCK_WAIT", 0.1)
    with each_site.registered() as alias, connecting.private(alias) as connection:
        yield Fleet(each_site, connection)


@pytest.fixture
def takers(each_site: Site) -> Iterator[Callable[[str], str]]:
    with _takers(each_site) as ask:
        yield ask


@pytest.fixture
def slated(each_site: Site, fleet: Fleet) -> None:
    """Old code has used the column, which waits to be taken."""
    ordeal.slate(each_site)
    each_site.execute(f"INSERT INTO stock_item (id, name, old) VALUES (1, 'any', {KEPT})")
    fleet.arrive()
    fleet.leave()


def _faults(*names: str) -> dict[str, int]:
    """How often each was met."""
    return dict.fromkeys(names, 0)


def _tell(fleet: Fleet, what: str, told: dict[str, int]) -> None:
    print(
        f"\n{fleet.site.database.vendor}: {what}, {', '.join(f'{name} {count} times' for name, count in told.items())}"
    )


@pytest.mark.usefixtures("slated")
def test_takers_stopped_or_killed_at_any_statement_take_nothing_from_anybody(
    fleet: Fleet, takers: Callable[[str], str]
) -> None:
    told = _faults("STOP", "KILL")
    for name, comes in (("STOP", True), ("STOP", False), ("KILL", True)):
        for at in itertools.count(1):
            answer = takers(f"SIG{name} {at} take")
            if answer == contract.Outcome.ASIDE.name:
                assert at > 8, "the fault was not met"
                break
            told[name] += 1
            if comes:
                fleet.arrive()
            fleet.unharmed()
            if name == "STOP":
                assert answer == "stopped"
                assert ordeal.take(fleet.connection) in (
                    *(contract.Outcome.BUSY, contract.Outcome.LOCKED, contract.Outcome.BLOCKED),
                    contract.Outcome.ASIDE,
                )
                fleet.unharmed()
                assert takers("go") in (*contract.Outcome.__members__, "FAILED")
                fleet.unharmed()
            else:
                assert answer == "ended -9"
            _still_has_it(fleet, f"{name} before {at}")
            eventually(f"{name} before {at}", fleet.taken)
            assert not fleet.there()
            ordeal.restore(fleet.connection)
            assert fleet.there()
        ordeal.restore(fleet.connection)
    _tell(fleet, "taking", told)


@pytest.mark.usefixtures("slated")
def test_whoever_gives_back_may_be_stopped_or_killed_at_any_statement(
    fleet: Fleet, takers: Callable[[str], str]
) -> None:
    told = _faults("STOP", "KILL")
    for name in told:
        for at in itertools.count(1):
            where = f"{name} before {at}"
            eventually(where, fleet.taken)
            answer = takers(f"SIG{name} {at} restore")
            if answer == "RESTORED":
                assert at > 2, "the fault was not met"
                break
            told[name] += 1
            fleet.arrive()
            fleet.unharmed()
            if name == "STOP":
                assert answer == "stopped"
                # Somebody else loses patience, and takes up what the other one has begun, if he can.
                fleet.restored()
                fleet.arrive()
                assert takers("go") in ("RESTORED", "FAILED")
                fleet.unharmed()
            else:
                assert answer == "ended -9"
            eventually(where, fleet.restored)
            fleet.arrive()
            _still_has_it(fleet, where)
        assert fleet.there()
    _tell(fleet, "giving back", told)


@pytest.mark.usefixtures("slated")
def test_whoever_erases_may_be_stopped_or_killed_at_any_statement(fleet: Fleet, takers: Callable[[str], str]) -> None:
    told = _faults("STOP", "KILL")
    for name in told:
        for at in itertools.count(1):
            where = f"{name} before {at}"
            eventually(where, fleet.taken)
            answer = takers(f"SIG{name} {at} erase")
            if answer == contract.Outcome.DONE.name:
                assert at > 4, "the fault was not met"
                break
            told[name] += 1
            fleet.arrive()
            assert not fleet.admitted, "it declares what is set aside"
            if name == "STOP":
                assert answer == "stopped"
                # Somebody wants it back at the last moment.
                if fleet.restored():
                    fleet.arrive()
                    assert fleet.admitted
                assert takers("go") in (*contract.Outcome.__members__, "FAILED")
                fleet.unharmed()
            else:
                assert answer == "ended -9"
            _still_has_it(fleet, where)
            eventually(where, fleet.erased)
            assert fleet.site.database.columns("stock_item") == {"id", "name"}
            fleet.make_anew()
        fleet.make_anew()
    _tell(fleet, "erasing", told)


@pytest.mark.usefixtures("slated")
def test_whoever_uses_it_may_be_stopped_or_killed_at_any_statement_of_its_life(
    fleet: Fleet, takers: Callable[[str], str]
) -> None:
    told = _faults("STOP", "KILL")
    for name in told:
        for at in itertools.count(1):
            where = f"{name} before {at}"
            known, counted = {row.id for row in fleet.ledger.instances()}, fleet.counted()
            answer = takers(f"SIG{name} {at} serve")
            if answer == "LIVE":
                assert at > 4, "the fault was not met"
                break
            told[name] += 1
            taken = ordeal.take(fleet.connection) is contract.Outcome.ASIDE
            mine = [row for row in fleet.ledger.instances() if row.id not in known]
            assert not taken or all(row.state is rows.InstanceState.GONE for row in mine), where
            if name == "STOP":
                assert answer == "stopped"
                answer = takers("go")
                # Admitted before it was taken, or not at all.
                assert answer in ("LIVE", "FAILED") if mine or not taken else answer in ("REFUSED", "FAILED"), where
            else:
                assert answer == "ended -9"
            for row in fleet.ledger.instances():
                if row.release == "r1" and row.state is not rows.InstanceState.GONE:
                    # Somebody knows that it has ended.
                    fleet.ledger.leave(row.id)
            eventually(where, fleet.taken)
            # Once, if it could say so.
            assert fleet.counted() - counted in ((1,) if answer == "LIVE" else (0, 1)), where
            ordeal.restore(fleet.connection)
    _tell(fleet, "using", told)


def _still_has_it(fleet: Fleet, where: str) -> None:
    """Old code that was admitted keeps its column for as long as it is there; then it leaves."""
    if fleet.admitted:
        # Whoever looks first settles what was left behind, and takes nothing.
        eventually(where, lambda: ordeal.take(fleet.connection) is contract.Outcome.BLOCKED)
        assert fleet.step().state is rows.StepState.WAITING
        assert fleet.there()
    fleet.leave()


@pytest.fixture
def later(each_site: Site) -> None:
    """The project has a migration that is held and runs whole, and no window that holds it for long."""
    each_site.variables["LATER"] = "1"
    each_site.guard |= dict.fromkeys(("QUIET_PERIOD", "ROLLBACK_WINDOW", "ADOPTION_PERIOD", "LOST_GRACE"), 0)


@pytest.mark.usefixtures("later")
def test_a_migration_that_runs_whole_may_be_stopped_before_any_of_its_statements(
    fleet: Fleet, takers: Callable[[str], str]
) -> None:
    site = fleet.site
    site.execute(f"INSERT INTO stock_item (id, name, old) VALUES (1, 'any', {KEPT})")
    fleet.arrive()
    assert takers("SIGSTOP 0 migrate") == "HELD"
    fleet.leave()
    ordeal.arrive(fleet.ledger)

    def has_run() -> bool:
        return "old" not in site.database.columns("stock_item")

    vendor = site.database.vendor
    # MariaDB could not undo what was done by somebody who is taken for gone.
    told = _faults("STOP", *([] if vendor == "sqlite" else ["CUT"]), *(["MISTAKEN"] if vendor == "postgres" else []))
    sealed = 0
    for name in told:
        # There is nothing to cut before it is sealed.
        for at in itertools.count(1 if name == "STOP" else sealed):
            answer = takers(f"{name if name == 'CUT' else 'SIGSTOP'} {at} migrate")
            if answer == "RAN":
                assert told[name] > 3, "the fault was not met"
                _unapply(fleet)
                break
            assert answer == "stopped"
            told[name] += 1
            ran = has_run()
            if not sealed and fleet.step().state is rows.StepState.SEALED:
                sealed = at
            fleet.arrive()
            if name == "MISTAKEN":
                # As behind a pooler, which has ended the session by which it was known.
                with contextlib.suppress(DatabaseError), fleet.ledger.transaction(lock_wait=0.1):
                    fleet.ledger.update("step", {"sealer": "1 1"}, "sealer <> ''", [])
            # Who comes by settles what was left behind; here nothing was.
            with contextlib.suppress(DatabaseError):
                ordeal.look(fleet.connection)
            fleet.arrive()
            assert takers("go") in ("RAN", "HELD", "FAILED")
            # Afterwards it is admitted again, and alarms somebody.
            assert ran or not fleet.admitted or not has_run(), f"{name} before {at}: run while old code was admitted"
            fleet.leave()
            _unapply(fleet)
    _tell(fleet, "a whole migration", told)


def _unapply(fleet: Fleet) -> None:
    """As if it had not run."""
    with fleet.connection.cursor() as cursor:
        if "old" not in fleet.site.database.columns("stock_item"):
            cursor.execute("ALTER TABLE stock_item RENAME COLUMN elder TO old")
        cursor.execute("DROP TABLE IF EXISTS stock_note")
        cursor.execute("DELETE FROM django_migrations WHERE name = %s", ordeal.WHOLE[1:])
    fleet.turn(token="", sealer="", sealed_at=None)
