"""Others at work on the same step or the same table; things changed by hand; seals that are left behind."""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from guard.gate.witnesses import sealer
from guard.ledger import protocol, rows
from sampleapp.stage.processes import until
from tests.integration.gate.fixtures import FIRST, adding, on_sqlite, without
from tests.integration.gate.harness import Running, Shop, Tree, Trees, connect, migration


@pytest.fixture(scope="session")
def second(trees: Trees, first: Tree) -> Tree:
    return trees.make(first, without("code", "note"))


@contextmanager
def locked(shop: Shop) -> Iterator[None]:
    """Another session is in a transaction that has used the table (on SQLite: that writes)."""
    with connect(shop.database) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE" if shop.vendor == "sqlite" else "BEGIN")
        cursor.execute("SELECT count(*) FROM shop_product")
        cursor.fetchall()
        yield
        cursor.execute("ROLLBACK")


@contextmanager
def impatient(shop: Shop) -> Iterator[None]:
    """Commands give up soon where a lock is not to be had."""
    usual, shop.guard["LOCK_PATIENCE"] = shop.guard["LOCK_PATIENCE"], 0.5
    yield
    shop.guard["LOCK_PATIENCE"] = usual


def test_two_takers_at_once_take_each_step_once(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)

    takers = [shop.start(second, "guard", "contract", "--json") for _ in range(3)]
    done = [taker.wait().ok() for taker in takers]

    taken = [s["target"] for d in done for s in d.json["steps"] if s["outcome"] == "set aside"]
    assert sorted(taken) == ["shop_product.code", "shop_product.note"]
    assert shop.states() == {"code": "aside", "note": "aside"}
    assert shop.query("SELECT count(*) FROM guard_event WHERE action = 'aside'") == [(2,)]


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
def test_what_changes_several_tables_keeps_none_while_it_waits_for_another(
    shop: Shop, first: Tree, trees: Trees
) -> None:
    operations = "migrations.RemoveField('product', 'enabled'), migrations.RemoveField('supplier', 'name')"
    models = without("enabled").replace("    name = models.CharField(max_length=50)\n", "    pass\n", 1)
    both = trees.make(first, models, migrations=migration("0002_both", first.migrations()[-1], operations))
    shop.guard["LOCK_PATIENCE"] = 600
    shop.arrive(first)
    with connect(shop.database) as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM shop_supplier")
        migrating = shop.start(both, "migrate")
        try:
            until("it waits", lambda: migrating.out.exists() and "held by" in migrating.out.read_text())
            # Were it to keep this table, neither could ever go on: what bounds the wait decides nothing.
            cursor.execute("SET LOCAL statement_timeout = '20s'")
            cursor.execute("SELECT count(*) FROM shop_product")
        finally:
            cursor.execute("ROLLBACK")
            migrating.wait()
    assert shop.recorded() == {"0001_initial", "0002_both"}


def test_several_migrates_at_once_hold_the_same_migration(shop: Shop, first: Tree, trees: Trees) -> None:
    operation = (
        "migrations.AddConstraint('product', models.CheckConstraint(condition=models.Q(rank__lt=1000), name='ranked'))"
    )
    stricter = trees.make(first, FIRST, migrations=migration("0002_note", "0001_initial", operation))
    shop.arrive(first)

    for done in [started.wait() for started in [shop.start(stricter, "migrate") for _ in range(4)]]:
        assert "guard: shop.0002_note waits and is not applied yet." in done.ok().out

    with shop.ledger() as ledger:
        assert [step.target for step in ledger.steps()] == ["shop.0002_note"]


def test_a_table_that_others_hold_is_left_as_it_is_and_taken_later(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)
    before = shop.facts("code")

    with locked(shop), impatient(shop):
        done = shop.contract(second, code=4)
        migrated = shop.migrate(second) if shop.vendor != "sqlite" else None

    assert "Gave up: a table was in use all the time, and guard lets nobody wait behind it." in done.err
    assert "shop_product.code could not be taken yet, because its table is in use: " in done.out
    if migrated is not None:
        said = "shop_product.code could not be taken yet, because its table is in use: "
        assert re.search(rf"{said}{_holder(shop)}", done.out), done.out
        assert re.search(rf"guard: {said}{_holder(shop)}", migrated.out), migrated.out
    step = shop.step("shop_product.code")
    assert (step.state, step.token, shop.facts("code")) == (rows.StepState.WAITING, "", before)
    shop.contract(second)
    assert shop.states() == {"code": "aside", "note": "aside"}
    with locked(shop), impatient(shop):
        kept = shop.run(second, "guard", "restore", "shop_product.code").ok(1)
    assert "The database refused:" in kept.err
    assert shop.states()["code"] == "aside"
    shop.run(second, "guard", "restore", "shop_product.code").ok()


def test_a_lock_that_is_given_up_in_time_is_waited_for(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)

    with locked(shop):
        taking = shop.start(second, "guard", "contract")
        until("the lock has been met", lambda: shop.vendor == "sqlite" or _says(taking, "held by"))

    done = taking.wait().ok()
    if shop.vendor != "sqlite":
        said = rf"shop_product.code: waiting for its table, which is held by {_holder(shop)}"
        assert len(re.findall(said, done.out)) == 1, done.out
    assert shop.states() == {"code": "aside", "note": "aside"}


#: A held migration's operation, and one that can run only once.
RANKED = "migrations.AddConstraint('product', models.CheckConstraint(condition=models.Q(rank__lt=1000), name='ranked'))"
ONCE = "migrations.RunPython(lambda apps, _: apps.get_model('shop', 'Supplier').objects.create(id=50, name='once'))"

servers = pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)


@servers
def test_an_expand_step_lets_others_through_while_it_waits_for_its_table(shop: Shop, first: Tree, second: Tree) -> None:
    shop.arrive(first)

    with locked(shop):
        migrating = shop.start(second, "migrate")
        until("the lock has been met", lambda: _says(migrating, "held by"))
        # Nobody stands behind a waiting ALTER for longer than the lock timeout.
        for _ in range(5):
            shop.query("SELECT count(*) FROM shop_product")

    done = migrating.wait().ok()
    assert len(re.findall(rf"guard: waiting for shop_product, which is held by {_holder(shop)}", done.out)) == 1
    assert shop.states() == {"code": "waiting", "note": "waiting"}


@servers
def test_an_expand_step_that_gives_up_leaves_everything_as_it_was(shop: Shop, first: Tree, second: Tree) -> None:
    shop.arrive(first)
    before = shop.facts("code"), shop.recorded()

    with locked(shop), impatient(shop):
        done = shop.migrate(second, code=1)

    assert "The lock of shop_product was not to be had in 0.5 seconds" in done.err
    assert re.search(rf"It is held by {_holder(shop)}", done.err), done.err
    assert (shop.facts("code"), shop.recorded()) == before
    shop.migrate(second)
    assert shop.states() == {"code": "waiting", "note": "waiting"}


@servers
def test_waiting_for_a_lock_never_runs_the_projects_own_code_again(shop: Shop, first: Tree, trees: Trees) -> None:
    operations = (
        "migrations.RunPython(lambda apps, _: apps.get_model('shop', 'Supplier').objects.create(id=50, name='once')), "
        "migrations.RunSQL(\"INSERT INTO shop_supplier (id, name) VALUES (51, 'once')\"), "
        "migrations.RemoveField('product', 'code')"
    )
    mixed = trees.make(first, without("code"), migrations=migration("0002_mixed", "0001_initial", operations))
    shop.arrive(first)
    before = shop.query("SELECT count(*) FROM shop_supplier WHERE name = 'once'")

    with locked(shop):
        migrating = shop.start(mixed, "migrate")
        until("the lock has been met", lambda: _says(migrating, "held by"))
    migrating.wait().ok()

    assert before == [(0,)]
    assert shop.query("SELECT count(*) FROM shop_supplier WHERE name = 'once'") == [(2,)]
    assert shop.states() == {"code": "waiting"}


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
@pytest.mark.parametrize("atomic", [True, False])
def test_what_runs_whole_lets_others_through_while_it_waits_and_runs_nothing_again(
    shop: Shop, first: Tree, trees: Trees, atomic: bool
) -> None:
    operations = f"{ONCE}, {RANKED}"
    extra = "" if atomic else "    atomic = False"
    held = migration("0002_ranked", "0001_initial", operations, extra=extra)
    stricter = trees.make(first, FIRST, migrations=held)
    serving = shop.arrive(first)
    assert "guard: shop.0002_ranked waits and is not applied yet." in shop.migrate(stricter).out
    shop.roll(serving, stricter)

    with locked(shop), impatient(shop):
        done = shop.migrate(stricter, code=1)
    assert "The lock of shop_product was not to be had in 0.5 seconds" in done.err
    assert re.search(rf"It is held by {_holder(shop)}", done.err), done.err
    assert ("The migration is not applied: run" if atomic else "what it did before that stays") in done.err, done.err
    assert shop.recorded() == {"0001_initial"}
    assert shop.query("SELECT count(*) FROM shop_supplier WHERE name = 'once'") == [(0 if atomic else 1,)]
    with shop.ledger() as ledger:
        assert [step.state for step in ledger.steps()] == [rows.StepState.WAITING]

    shop.query("DELETE FROM shop_supplier WHERE name = 'once'")
    with locked(shop):
        migrating = shop.start(stricter, "migrate")
        until("the lock has been met", lambda: _says(migrating, "held by"))
        # Nobody stands behind a waiting ALTER for longer than the lock timeout.
        for _ in range(5):
            shop.query("SELECT count(*) FROM shop_product")

    done = migrating.wait().ok()
    assert len(re.findall(rf"guard: waiting for shop_product, which is held by {_holder(shop)}", done.out)) == 1
    assert shop.recorded() == {"0001_initial", "0002_ranked"}
    assert shop.query("SELECT count(*) FROM shop_supplier WHERE name = 'once'") == [(1,)]


mariadb = pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)


def _ready(shop: Shop, first: Tree, trees: Trees, operations: str) -> Tree:
    """Code with a migration that was held, and may run now."""
    tree = trees.make(first, FIRST, migrations=migration("0002_ranked", "0001_initial", operations))
    serving = shop.arrive(first)
    assert "guard: shop.0002_ranked waits and is not applied yet." in shop.migrate(tree).out
    shop.roll(serving, tree)
    return tree


@mariadb
def test_what_runs_whole_gives_up_before_its_first_change_where_none_can_be_undone(
    shop: Shop, first: Tree, trees: Trees
) -> None:
    stricter = _ready(shop, first, trees, f"{RANKED}, {ONCE}")

    with locked(shop), impatient(shop):
        done = shop.migrate(stricter, code=1)
    assert "The lock of shop_product was not to be had in 0.5 seconds" in done.err
    assert re.search(rf"It is held by {_holder(shop)}.* The migration is not applied: run", done.err), done.err
    assert (shop.recorded(), _checks(shop)) == ({"0001_initial"}, 0)
    with shop.ledger() as ledger:
        assert [step.state for step in ledger.steps()] == [rows.StepState.WAITING]
    with locked(shop):
        migrating = shop.start(stricter, "migrate")
        until("the lock has been met", lambda: _says(migrating, "held by"))
        # Nobody stands behind a waiting ALTER for longer than the lock timeout.
        for _ in range(3):
            shop.query("SELECT count(*) FROM shop_product")
    migrating.wait().ok()

    assert _checks(shop) == 1
    assert shop.query("SELECT count(*) FROM shop_supplier WHERE name = 'once'") == [(1,)]


@mariadb
def test_what_runs_whole_goes_on_trying_once_it_has_changed_what_stays(shop: Shop, first: Tree, trees: Trees) -> None:
    # One operation of two statements, of which the second has to wait.
    statements = [
        "ALTER TABLE shop_supplier ADD CHECK (CHAR_LENGTH(name) < 1000)",
        "ALTER TABLE shop_product ADD CHECK (rank * 2 < 1000)",
    ]
    stricter = _ready(shop, first, trees, f"{ONCE}, migrations.RunSQL({statements}), {RANKED}")

    with locked(shop), impatient(shop):
        migrating = shop.start(stricter, "migrate")
        # It is told before a second try, and the first has outlasted the patience.
        until("the lock has been met", lambda: _says(migrating, "held by"))
        for _ in range(3):
            shop.query("SELECT count(*) FROM shop_product")
        assert _checks(shop) == 1
    done = migrating.wait().ok()

    assert len(re.findall(rf"guard: waiting for shop_product, which is held by {_holder(shop)}", done.out)) == 1
    assert _checks(shop) == 3
    assert shop.query("SELECT count(*) FROM shop_supplier WHERE name = 'once'") == [(1,)]
    assert shop.recorded() == {"0001_initial", "0002_ranked"}


@servers
def test_what_django_does_in_a_migration_that_is_split_lets_others_through_too(
    shop: Shop, first: Tree, trees: Trees
) -> None:
    operations = (
        "migrations.AddField('product', 'extra', models.IntegerField(null=True)), "
        "migrations.RemoveField('product', 'code')"
    )
    mixed = trees.make(first, without("code"), migrations=migration("0002_mixed", "0001_initial", operations))
    shop.arrive(first)
    before = shop.facts("code"), shop.recorded()

    with locked(shop), impatient(shop):
        done = shop.migrate(mixed, code=1)
    assert "The lock of shop_product was not to be had in 0.5 seconds" in done.err
    assert re.search(rf"It is held by {_holder(shop)}.* The migration is not applied: run", done.err), done.err
    assert (shop.facts("code"), shop.facts("extra"), shop.recorded()) == (before[0], None, before[1])
    with locked(shop):
        migrating = shop.start(mixed, "migrate")
        until("the lock has been met", lambda: _says(migrating, "held by"))
        for _ in range(3):
            shop.query("SELECT count(*) FROM shop_product")
    migrating.wait().ok()

    assert shop.states() == {"code": "waiting"}


def _checks(shop: Shop) -> int:
    """How many checks the tables have that this module's migrations add."""
    found = shop.query(
        "SELECT count(*) FROM information_schema.check_constraints "
        "WHERE constraint_schema = DATABASE() AND check_clause LIKE '%< 1000%'"
    )
    return int(found[0][0])


def _says(command: Running, text: str) -> bool:
    return command.out.exists() and text in command.out.read_text()


def _holder(shop: Shop) -> str:
    """How the session is named that has the table."""
    held = r"session \d+ \(.*user \w+\), idle in transaction for \d+ s"
    # MariaDB tells no statement of a session that runs none.
    return f"{held}: SELECT count" if shop.vendor == "postgres" else held


def _sealed(
    shop: Shop, target: str, signature: str, age: float, *, kind: rows.StepKind = rows.StepKind.COLUMN
) -> rows.Step:
    """As a taker leaves it that got no further."""
    step = shop.step(target, kind=kind)
    with shop.ledger() as ledger:
        now = ledger.now()
        return ledger.save(
            step,
            dataclasses.replace(
                step,
                state=rows.StepState.SEALED,
                token="token",
                sealer=signature,
                sealed_at=now - age,
                version=step.version + 1,
            ),
        )


def test_a_column_is_not_removed_while_what_is_kept_in_it_is_being_taken(shop: Shop, first: Tree, trees: Trees) -> None:
    weighed = trees.make(first, adding("weight = models.IntegerField(default=7)"))
    gone = trees.make(weighed, FIRST)
    shop.arrive(first)
    shop.migrate(weighed)
    with connect(shop.database) as taker:
        # Its taker would drop the default, or forbid NULL, after the removal has relaxed the column by it.
        signature = sealer.sign(taker, uuid.uuid4().hex)
        sealed = _sealed(shop, "shop_product.weight", signature, 0.0, kind=rows.StepKind.DEFAULT)

        said = shop.migrate(gone).out

        assert "Another process is at work on shop_product.weight right now" in said
        assert shop.recorded() == set(weighed.migrations())
    with shop.ledger() as ledger:
        ledger.save(sealed, protocol.reopen(sealed, "token", ledger.now()))
    shop.migrate(gone)
    assert shop.states() == {"weight": "waiting"}
    shop.insert(name="new", enabled=True, code="c", slug="s", note=None, rank=1, supplier_id=1, backup_id=None)


def test_a_living_seal_is_respected_and_one_that_is_left_behind_is_settled(
    shop: Shop, first: Tree, second: Tree
) -> None:
    shop.deploy(first, second)
    # What holds the seal is a name on the whole server.
    token = uuid.uuid4().hex
    with connect(shop.database) as taker:
        signature = sealer.sign(taker, token)
        step = _sealed(shop, "shop_product.code", signature, 0.0)
        with shop.connection() as other:
            if shop.vendor == "sqlite":
                # This process itself; whoever asks is another one.
                assert signature == f"{socket.gethostname()} {os.getpid()}"
            else:
                assert not sealer.left_behind(other, step, step.sealed_at or 0.0)
            if shop.vendor == "postgres":
                # From long ago: whoever comes back to it finds its token gone.
                assert sealer.left_behind(other, step, (step.sealed_at or 0.0) + 61)
                whole = dataclasses.replace(step, kind=rows.StepKind.MIGRATION)
                assert not sealer.left_behind(other, whole, (step.sealed_at or 0.0) + 61)
        if shop.vendor != "sqlite":
            assert "shop_product.code: being taken" in shop.run(second, "guard", "status").ok().out
            kept = shop.run(second, "guard", "restore", "shop_product.code").ok(1)
            assert "is being taken right now: try again in a few seconds." in kept.err
            refused = shop.migrate(second, "shop", "0001", code=1)
            assert "another process is taking it away right now" in refused.err
    if shop.vendor == "sqlite":
        step = shop.step("shop_product.code")
        with shop.ledger() as ledger:
            gone = dataclasses.replace(step, sealer=f"{socket.gethostname()} 4194305", version=step.version + 1)
            ledger.save(step, gone)

    shop.contract(second)

    assert shop.states() == {"code": "aside", "note": "aside"}


def test_a_column_that_was_changed_by_hand_is_left_alone_and_said(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)
    change = {
        "sqlite": "UPDATE guard_step SET payload = replace(payload, 'varchar(20)', 'varchar(21)')",
        "postgres": "ALTER TABLE shop_product ALTER COLUMN code TYPE varchar(21)",
        "mariadb": "ALTER TABLE shop_product MODIFY code varchar(21)",
    }[shop.vendor]
    shop.query(change)

    done = shop.contract(second)

    assert "shop_product.code is not as `migrate` left it: somebody has changed its definition" in done.out
    assert shop.states()["code"] == "withdrawn"
    # What is watched is less now; that is known to all at their next beat.
    shop.beat(shop.serving)
    shop.contract(second)
    assert shop.states() == {"code": "withdrawn", "note": "aside"}
    assert "code" in shop.columns()
    assert "Nothing waits." in shop.contract(second).out


def test_a_leftover_that_was_dropped_by_hand_is_noted(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)
    shop.query("ALTER TABLE shop_product DROP COLUMN code")

    done = shop.contract(second)

    assert "shop_product.code is no longer in the database" in done.out
    shop.beat(shop.serving)
    shop.contract(second)
    assert shop.states() == {"code": "done", "note": "aside"}
    aside = shop.step("shop_product.note").aside_name
    shop.query(f"ALTER TABLE shop_product DROP COLUMN {aside}")
    shop.aged(1000)
    assert f"shop_product.{aside} is no longer in the database" in shop.contract(second).out
    assert shop.states() == {"code": "done", "note": "done"}


def test_a_table_that_is_gone_holds_up_nobody_else_s_step(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)
    shop.query("DROP TABLE shop_product")

    said = shop.migrate(second).out

    assert "could not be looked at" not in said
    shop.beat(shop.serving)
    shop.migrate(second)
    assert shop.states() == {"code": "done", "note": "done"}


@on_sqlite
def test_what_is_used_again_under_the_seal_is_let_go(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)
    late = shop.arrive(first)

    done = shop.contract(second)

    assert "1 instance of release r1 (web)" in done.out
    assert shop.states() == {"code": "waiting", "note": "waiting"}
    shop.leave(late)
    shop.contract(second)
    assert shop.states() == {"code": "aside", "note": "aside"}


@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
def test_what_depends_on_a_column_holds_its_step(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)
    shop.query("CREATE VIEW codes AS SELECT code FROM shop_product")

    done = shop.contract(second)

    assert "view" in done.out
    assert "codes" in done.out
    assert shop.states() == {"code": "waiting", "note": "aside"}
    shop.query("DROP VIEW codes")
    shop.contract(second)
    assert shop.states() == {"code": "aside", "note": "aside"}
