"""An application's role that may do less than the one that migrates."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from django.db import DatabaseError

from guard.commands import examine
from guard.ledger import rows
from guard.ledger.rows import InstanceState
from guard.ledger.store import Ledger
from guard.lint import configuration
from tests.integration.ledger.harness import LEASE, NEW, OLD, Place, glimpse, registration, step

#: What an application's role needs: what `doctor` says, and no more.
NEEDED = examine.RIGHTS


class Role:
    """A user of the server who may do nothing yet."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.name = f"guard_{uuid.uuid4().hex[:8]}"
        self.account = self.name if place.vendor == "postgres" else f"'{self.name}'@'%'"
        if place.vendor == "postgres":
            place.query(f"CREATE ROLE {self.name} LOGIN")
        else:
            place.query(f"CREATE USER {self.account} IDENTIFIED BY 'secret'")

    def may(self, rights: str, *tables: str) -> None:
        for table in tables:
            self.place.query(f"GRANT {rights} ON {table} TO {self.account}")

    def drop(self) -> None:
        if self.place.vendor == "postgres":
            self.place.query(f"DROP OWNED BY {self.name}")
        self.place.query(f"DROP {'ROLE' if self.place.vendor == 'postgres' else 'USER'} {self.account}")

    def works(self, work: Callable[[Ledger], object]) -> object:
        """Do it as this user."""
        changes = {"USER": self.name, "PASSWORD": "secret" if self.place.vendor == "mariadb" else ""}
        with self.place.another(**changes) as alias, self.place.ledger(alias) as ledger:
            return work(ledger)


@pytest.fixture
def role(server: Place) -> Iterator[Role]:
    made = Role(server)
    if server.vendor == "mariadb":
        # Else it cannot even connect to the database.
        server.query("CREATE TABLE IF NOT EXISTS shop_other (id bigint PRIMARY KEY)")
        made.may("SELECT", "shop_other")
    yield made
    made.drop()


def register(ledger: Ledger) -> object:
    return ledger.register(registration("a"), OLD, lease=LEASE)


def beat(ledger: Ledger) -> rows.Renewal | None:
    return ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=1, glimpses=[glimpse(stale=True)])


def test_the_rights_that_are_documented_are_enough(role: Role) -> None:
    for table, rights in NEEDED.items():
        role.may(rights, table)
    with role.place.ledger() as ledger:
        ledger.slate(step())

    def life(ledger: Ledger) -> None:
        assert ledger.exists()
        ledger.register(registration("a"), NEW, lease=LEASE)
        renewal = beat(ledger)
        assert renewal is not None
        assert renewal.first_seen == (0,)
        ledger.acknowledge("a", renewal.epoch)
        assert ledger.readmit("a", NEW, lease=LEASE).state is InstanceState.LIVE
        assert ledger.refusals(NEW) == ()
        assert ledger.count_fleet() == 1
        ledger.leave("a")

    role.works(life)


def test_the_check_tells_a_role_that_may_not_write(role: Role) -> None:
    for table, rights in NEEDED.items():
        role.may("SELECT" if table == "guard_instance" else rights, table)

    told = role.works(lambda ledger: configuration.unwritable(ledger.connection))

    assert "denied" in str(told)
    assert "guard_instance" in str(told)
    role.may(NEEDED["guard_instance"], "guard_instance")
    assert role.works(lambda ledger: configuration.unwritable(ledger.connection)) == ""


@pytest.mark.parametrize("table", NEEDED)
def test_without_one_of_them_nothing_is_half_done(role: Role, table: str) -> None:
    for other, rights in NEEDED.items():
        if other != table:
            role.may(rights, other)
        elif rights != "SELECT" and (role.place.vendor, other) != ("mariadb", "guard_gate"):
            # MariaDB lets who may read a row share its lock.
            role.may("SELECT", other)
    work: Callable[[Ledger], object] = register
    if table in ("guard_sighting", "guard_alert"):
        with role.place.ledger() as ledger:
            ledger.register(registration("a"), NEW, lease=LEASE)
        work = beat
    elif table == "guard_pulse":
        work = Ledger.count_fleet
    with role.place.ledger() as ledger:
        before = (ledger.instances(), ledger.sightings("shop_item", "old"))
    with pytest.raises(DatabaseError, match=r"(?i)denied.*" + table):
        role.works(work)
    with role.place.ledger() as ledger:
        assert (ledger.instances(), ledger.sightings("shop_item", "old")) == before


def test_a_role_that_may_not_even_read_is_told_so_and_not_that_the_ledger_is_missing(role: Role) -> None:
    with pytest.raises(DatabaseError, match=r"(?i)denied"):
        role.works(register)
    with pytest.raises(DatabaseError, match=r"(?i)denied"):
        role.works(lambda ledger: ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=0))


def test_a_session_that_may_not_write_is_told_so(postgres: Place) -> None:
    read_only = {"options": "-c default_transaction_read_only=on"}
    with postgres.another(OPTIONS=read_only) as alias, postgres.ledger(alias) as ledger:
        with pytest.raises(DatabaseError, match="read-only"):
            register(ledger)
        with pytest.raises(DatabaseError, match="read-only"):
            ledger.beat("a", lease=LEASE, watched_epoch=0, flush_no=0)
        assert ledger.instances() == ()
        assert ledger.steps() == ()
