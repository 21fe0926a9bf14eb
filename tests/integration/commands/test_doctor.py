"""What `guard doctor` finds, and whether what it says to paste mends it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from guard.commands import examine
from guard.commands.examine import State
from tests.integration.commands.calling import answer, call
from tests.integration.ledger.harness import LEASE, NEW, OLD, Place, registered, registration

HEALTHY = {
    "MIDDLEWARE": ["guard.middleware.GuardMiddleware"],
    "ROOT_URLCONF": "tests.integration.commands.urls",
}


@pytest.fixture
def well() -> Iterator[None]:
    """A project in which nothing is to be mended."""
    with override_settings(**HEALTHY):
        yield


def found(place: Place, code: int, **guard_setting: object) -> dict[str, dict[str, Any]]:
    """What it says, by name."""
    guard_setting = {"MODE": "enforce", "ENVIRONMENT": "test"} | guard_setting
    return {one["name"]: one for one in answer(place, "doctor", code=code, **guard_setting)["examined"]}


@pytest.mark.usefixtures("well")
def test_where_all_is_well_it_says_so_and_what_was_looked_at(each: Place) -> None:
    with each.ledger() as ledger:
        ledger.register(registration("new", release="r2"), NEW, lease=LEASE)

    examined = found(each, 0)

    assert {name for name, one in examined.items() if one["state"] == "mend"} == set()
    assert {
        *("settings", "mode", "release", "environment", "middleware", "readiness", "threads", "sentry", "databases"),
        *("ledger", "rights", "clock", "fleet", "hosts", "sessions", "dependents", "statements"),
    } <= set(examined)
    assert examined["fleet"]["says"] == "Alive: 1 instance of 1 release."
    assert examined["ledger"]["database"] == each.alias
    assert examined["release"]["says"] == "This release is r2 (as GUARD says)."
    assert ("pooler" in examined) is (each.vendor != "sqlite")
    assert examined["sessions"]["state"] == ("note" if each.vendor == "sqlite" else "good")
    assert call(each, "doctor", MODE="enforce").lines[-1] == "Nothing to mend."


def test_what_is_wrong_is_said_with_what_to_paste(sqlite: Place) -> None:
    with sqlite.ledger() as ledger:
        ledger.register(registration("old"), OLD, lease=LEASE)
        ledger.adopt_environment("production")
    with override_settings(MIDDLEWARE=[], ROOT_URLCONF=__name__):
        said = call(sqlite, "doctor", MODE="off", ENVIRONMENT="staging", LOCK_TIMEOUT=5, LOCK_PATIENCE=1, RELEASE=None)

    assert said.code == 1
    assert said.err.startswith("6 things to mend: settings, mode, release, middleware, readiness, ownership.")
    for line in (
        '          GUARD["MODE"] = "observe"',
        '          GUARD["RELEASE"] = os.environ["GIT_SHA"]',
        '          MIDDLEWARE = ["guard.middleware.GuardMiddleware", *MIDDLEWARE]',
        '          manage.py guard adopt --reason "a clone"',
    ):
        assert line in said.lines
    assert "See docs/" not in said.out


def test_mistakes_in_the_setting_are_its_findings_and_not_its_end(sqlite: Place) -> None:
    said = call(sqlite, "doctor", LEASE="long", MODE="enforce")

    assert said.code == 1
    assert "MEND  settings: GUARD['LEASE'] is 'long'; expected a timedelta or a number of seconds." in said.lines


@pytest.mark.usefixtures("well")
def test_a_database_that_is_away_or_has_no_ledger(sqlite: Place, tmp_path: Path) -> None:
    entry = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "empty.sqlite3")}
    with registered("empty", entry):
        assert [(one.name, one.paste) for one in examine.database("empty")] == [
            ("ledger", "manage.py migrate --database empty")
        ]
    with registered("away", entry | {"NAME": "/nonexistent/shop.sqlite3"}):
        (one,) = examine.database("away")
    assert (one.name, one.state, one.paste) == ("connection", State.MEND, "manage.py dbshell --database away")


def test_a_ledger_without_its_gate_row_is_named(sqlite: Place) -> None:
    sqlite.query("DELETE FROM guard_gate")
    found = {one.name: one for one in examine.database(sqlite.alias)}
    lost = [one for one in examine.database(sqlite.alias) if one.state is State.MEND and one.name == "ledger"]
    assert [one.paste for one in lost] == [f"manage.py migrate --database {sqlite.alias}"]
    assert found["rights"].state is State.GOOD


def test_clocks_that_differ(sqlite: Place) -> None:
    def clock(differs: float) -> examine.Examined:
        (one,) = (
            one for one in examine.database(sqlite.alias, clock=lambda: time.time() + differs) if one.name == "clock"
        )
        return one

    assert clock(0).state is State.GOOD
    assert clock(-30).state is State.NOTE
    late, early = clock(-7_200), clock(7_200)
    assert (late.state, early.state) == (State.MEND, State.MEND)
    assert "behind the database's" in late.says
    assert "ahead of the database's" in early.says


@pytest.mark.usefixtures("well")
def test_a_role_that_may_not_write_the_ledger_is_given_the_grant_that_helps(postgres: Place) -> None:
    role = f"reader_{uuid.uuid4().hex[:8]}"
    postgres.query(f"CREATE ROLE {role} LOGIN")
    try:
        postgres.query(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        with postgres.another(USER=role) as alias:
            refused = {one.name: one for one in examine.database(alias)}
            assert refused["rights"].state is State.MEND
            assert refused["sessions"].paste == f'GRANT pg_read_all_stats TO "{role}";'
            # Together, as somebody pastes them.
            postgres.query(f"{refused['rights'].paste} {refused['sessions'].paste}")
            granted = {one.name: one for one in examine.database(alias)}
        assert (granted["rights"].state, granted["sessions"].state) == (State.GOOD, State.GOOD)
    finally:
        postgres.query(f"DROP OWNED BY {role}")
        postgres.query(f"DROP ROLE {role}")


@pytest.mark.usefixtures("well")
def test_a_role_that_may_not_read_the_ledger_is_told_so_and_not_that_there_is_none(server: Place) -> None:
    role = f"blind_{uuid.uuid4().hex[:8]}"
    postgres = server.vendor == "postgres"
    for sql in (
        [f"CREATE ROLE {role} LOGIN"]
        if postgres
        # One who may use something in the database may connect to it.
        else [f"CREATE USER {role}@'%'", f"GRANT SELECT ON {server.database.name}.django_migrations TO {role}@'%'"]
    ):
        server.query(sql)
    try:
        with server.another(USER=role) as alias:
            (blind,) = examine.database(alias)
            assert (blind.name, blind.state) == ("rights", State.MEND)
            assert blind.says.startswith("This role may not read the ledger (")
            for sql in blind.paste.split("; "):
                server.query(sql)
            assert {one.name: one.state for one in examine.database(alias)}["rights"] is State.GOOD
    finally:
        if postgres:
            server.query(f"DROP OWNED BY {role}")
        server.query(f"DROP ROLE {role}" if postgres else f"DROP USER {role}@'%'")
