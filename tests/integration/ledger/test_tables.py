"""guard's tables among Django's own commands, and this guard on the tables of a newer one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.questioner import NonInteractiveMigrationQuestioner
from django.db.migrations.state import ProjectState
from django.test import override_settings

from guard.ledger.rows import InstanceState, StepState
from sampleapp.stage import databases
from tests.integration.ledger.harness import (
    LEASE,
    NEW,
    OLD,
    TABLES,
    Place,
    glimpse,
    place,
    registration,
    step,
    turned,
)

ALL = {*TABLES, "guard_gate", "guard_order", "guard_pulse"}


def tables(place: Place) -> set[str]:
    with connections[place.alias].cursor() as cursor:
        return {
            name for name in connections[place.alias].introspection.table_names(cursor) if name.startswith("guard_")
        }


@pytest.fixture(params=databases.VENDORS)
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A database that nobody else uses: what happens to its tables stays."""
    # Says why, where the server is away.
    request.getfixturevalue(request.param)
    with place(request.param, tmp_path) as found:
        yield found


def test_guard_has_no_models_and_wants_no_migration() -> None:
    assert list(apps.get_app_config("guard").get_models()) == []
    loader = MigrationLoader(None)
    before = loader.project_state()
    assert not [key for key in before.models if key[0] == "guard"]
    after = ProjectState.from_apps(apps)
    found = MigrationAutodetector(before, after, NonInteractiveMigrationQuestioner()).changes(graph=loader.graph)
    assert "guard" not in found


def test_guard_brings_no_content_type_and_no_permission(own: Place) -> None:
    call_command("migrate", database=own.alias, verbosity=0)
    assert not ContentType.objects.using(own.alias).filter(app_label="guard").exists()
    assert ContentType.objects.using(own.alias).exists()


def test_flush_and_dumpdata_leave_the_ledger_out(own: Place) -> None:
    call_command("migrate", database=own.alias, verbosity=0)
    with own.ledger() as ledger:
        ledger.register(registration("a"), OLD, lease=LEASE)
        slated = ledger.slate(step())
    call_command("flush", database=own.alias, interactive=False, verbosity=0)
    said = io.StringIO()
    call_command("dumpdata", database=own.alias, stdout=said)
    with own.ledger() as ledger:
        assert [instance.id for instance in ledger.instances()] == ["a"]
        assert ledger.steps() == (slated,)
        assert ledger.gate().made_at > 0
    assert "guard" not in said.getvalue().replace("ledger_", "")


def test_the_ledger_can_be_taken_away_and_made_again(own: Place) -> None:
    assert tables(own) == ALL
    call_command("migrate", "guard", "zero", database=own.alias, verbosity=0)
    assert tables(own) == set()
    call_command("migrate", "guard", database=own.alias, verbosity=0)
    assert tables(own) == ALL


def test_this_guard_works_on_the_tables_of_a_newer_one(own: Place) -> None:
    """What a newer guard may do to them: add tables, and columns that are nullable or have a default."""
    for table in ALL:
        own.query(f"ALTER TABLE {table} ADD COLUMN newer_null varchar(20) NULL")
        own.query(f"ALTER TABLE {table} ADD COLUMN newer_default varchar(20) DEFAULT 'x' NOT NULL")
    own.query("CREATE TABLE guard_newer (id bigint PRIMARY KEY)")
    with own.ledger() as ledger:
        ledger.make_gate(fresh=False)
        slated = ledger.slate(step())
        assert ledger.register(registration("a"), OLD, lease=LEASE).watch.epoch == 1
        renewal = ledger.beat("a", lease=LEASE, watched_epoch=1, flush_no=1, glimpses=[glimpse(stale=True)])
        assert renewal is not None
        assert (renewal.epoch, renewal.first_seen) == (1, (0,))
        turned(ledger, slated, StepState.SEALED, token="t")
        assert ledger.register(registration("b"), OLD, lease=LEASE).state is InstanceState.REFUSED
        assert ledger.register(registration("c"), NEW, lease=LEASE).state is InstanceState.LIVE
        ledger.record("seal", "shop_item.old", actor="a", release="r", details={})
        ledger.end_fresh()
        ledger.leave("a")
        assert len(ledger.instances()) == 3
        assert [s.count for s in ledger.sightings("shop_item", "old")] == [1]
        assert ledger.footprints() == {OLD.digest: OLD, NEW.digest: NEW}
    assert {row[0] for row in own.query("SELECT newer_default FROM guard_instance")} == {"x"}


def test_later_migrations_of_guard_only_add() -> None:
    """What 0001 makes may be changed until it is released, and never after: nothing is removed, renamed or narrowed."""
    allowed = {"SeparateDatabaseAndState", "CreateModel", "AddField", "AddIndex", "RunPython"}
    loader = MigrationLoader(None)
    own = [migration for (app, _), migration in loader.disk_migrations.items() if app == "guard"]
    assert own
    for migration in own:
        for operation in migration.operations:
            inner = getattr(operation, "database_operations", [operation])
            assert getattr(operation, "state_operations", []) == []
            for each in inner:
                assert type(each).__name__ in allowed, (migration.name, each)
                if type(each).__name__ == "AddField":
                    assert each.field.null or each.field.has_db_default(), (migration.name, each.name)


def test_the_ledger_is_not_taken_away_while_steps_wait(own: Place) -> None:
    call_command("migrate", database=own.alias, verbosity=0)
    with own.ledger() as ledger:
        slated = ledger.slate(step())
    with override_settings(GUARD={"MODE": "enforce", "RELEASE": "tests"}):
        with pytest.raises(CommandError, match=r"shop_item\.old") as refused:
            call_command("migrate", "guard", "zero", database=own.alias, verbosity=0)
        assert refused.value.returncode == 1
        assert tables(own) == ALL
        with own.ledger() as ledger:
            turned(ledger, slated, StepState.WITHDRAWN)
        call_command("migrate", "guard", "zero", database=own.alias, verbosity=0)
    assert tables(own) == set()
