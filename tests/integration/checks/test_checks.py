"""`check --deploy` before a deploy: each of guard's messages, by its id."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import override_settings

import guard
from guard import checks, conf
from tests.integration.gate.fixtures import FIRST, adding, on_sqlite, without
from tests.integration.gate.harness import Done, Shop, Tree, Trees, entry, migration


def check(shop: Shop, tree: Tree, *args: str, **environ: str) -> Done:
    done = shop.run(tree, "check", "--deploy", "--tag", "guard", *args, **environ)
    assert "Traceback" not in done.text
    return done


def ids(done: Done) -> list[str]:
    """Without the one that is there in every project of these tests: none of them initialises Sentry."""
    return [found for found in re.findall(r"\(guard\.(\w+)\)", done.text) if found != "I012"]


@pytest.fixture(scope="session")
def second(trees: Trees, first: Tree) -> Tree:
    return trees.make(first, without("code"))


@on_sqlite
def test_nothing_to_say_of_a_project_that_is_up_to_date(shop: Shop, first: Tree) -> None:
    done = check(shop, first).ok()

    assert ids(done) == []


@on_sqlite
def test_e001_each_mistake_in_the_setting_is_an_error(shop: Shop, first: Tree) -> None:
    shop.guard |= {"KEEP_FOR": -1, "STRATEGY": "wait", "LEESE": 3}

    done = shop.run(first, "check")

    assert done.code == 1
    assert ids(done) == ["E001", "E001", "E001"]
    assert "Did you mean 'LEASE'?" in done.text
    assert "docs/checks.md#guarde001" in done.text


@on_sqlite
def test_w002_a_release_without_a_label(shop: Shop, first: Tree) -> None:
    shop.guard["RELEASE"] = None

    assert ids(check(shop, first, **dict.fromkeys(conf.RELEASE_VARIABLES, "")).ok()) == ["W002"]


@on_sqlite
def test_a_finding_that_the_project_silences_is_not_told(shop: Shop, first: Tree) -> None:
    shop.guard["RELEASE"] = None
    silent = "SILENCED_SYSTEM_CHECKS = ['guard.W003']"
    unlabelled = dict.fromkeys(conf.RELEASE_VARIABLES, "")

    assert ids(check(shop, first, MIDDLEWARE="0", MORE_SETTINGS=silent, **unlabelled).ok()) == ["W002"]


@on_sqlite
def test_w003_the_middleware_is_missing(shop: Shop, first: Tree) -> None:
    done = check(shop, first, MIDDLEWARE="0").ok()

    assert ids(done) == ["W003"]
    assert 'Add "guard.middleware.GuardMiddleware" to MIDDLEWARE' in done.text


@on_sqlite
def test_e004_a_router_keeps_the_ledger_out_of_a_database_that_gets_migrations(shop: Shop, first: Tree) -> None:
    (first.path / "routers.py").write_text(
        "class Router:\n    def allow_migrate(self, db, app_label, **hints):\n        return app_label != 'guard'\n"
    )

    done = check(shop, first, ROUTERS='["routers.Router"]')

    assert (done.code, ids(done)) == (1, ["E004"])


@pytest.mark.parametrize(("tenants", "found"), [(["shop"], True), (["shop", "guard"], False), (None, False)])
def test_e004_tenants_schemas_get_migrations_without_a_ledger(tenants: list[str] | None, found: bool) -> None:
    with override_settings(GUARD={"RELEASE": "tests"}, TENANT_APPS=tenants):
        said = [message for message in checks.check_installation(None) if message.id == "guard.E004"]

    assert bool(said) is found
    assert all("TENANT_APPS" in str(message.msg) for message in said)


def _nowhere(shop: Shop) -> str:
    gone = entry(shop.database) | {"PORT": "1"}
    if shop.vendor == "sqlite":
        gone["NAME"] = "/nonexistent/shop.sqlite3"
    return json.dumps({"default": gone})


def test_w005_a_database_that_cannot_be_reached(shop: Shop, first: Tree) -> None:
    done = check(shop, first, DATABASES=_nowhere(shop)).ok()

    assert ids(done) == ["W005"]
    assert "Database default could not be looked at: " in done.text


#: Runs commands one after the other as if psycopg 3 were not installed: Django takes psycopg 2 then.
_WITH_PSYCOPG_2 = """
import json, os, sys
sys.modules["psycopg"] = None
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
for argv in json.loads(sys.argv[1]):
    print("$", *argv)
    try:
        execute_from_command_line(["manage.py", *argv])
    except SystemExit as end:
        print("exited", end.code)
"""


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
def test_e022_postgresql_through_psycopg_2(shop: Shop, first: Tree, second: Tree) -> None:
    pytest.importorskip("psycopg2")
    commands = [
        ["check"],
        ["check", "--deploy", "--tag", "guard"],
        ["migrate"],
        ["migrate", "--skip-checks"],
        ["guard", "status"],
        ["guard", "doctor"],
        ["shell", "--no-imports", "-c", "from shop import models; print(models.Product.objects.count(), 'products')"],
    ]

    ended = subprocess.run(
        [sys.executable, "-c", _WITH_PSYCOPG_2, json.dumps(commands)],
        cwd=second.path,
        env=shop.variables(second),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    assert "Traceback" not in ended.stdout, ended.stdout
    said = dict(zip(map(tuple, commands), re.split(r"^\$ .*$", ended.stdout, flags=re.MULTILINE)[1:], strict=True))
    for argv, text in said.items():
        assert "Django reaches database default through psycopg 2; guard's ledger needs psycopg 3." in text, argv
        if argv[0] != "shell":
            assert "exited 1" in text, argv
            assert 'pip install "psycopg[binary]>=3.2"' in text, argv
        if argv[0] == "check":
            assert [found for found in re.findall(r"\(guard\.(\w+)\)", text) if found != "I012"] == ["E022"]
    # It goes on without being registered.
    assert "2 products" in said["shell", *commands[-1][1:]]
    assert shop.recorded() == {"0001_initial"}


@on_sqlite
def test_w006_no_ledger_yet(empty_shop: Shop, first: Tree, second: Tree) -> None:
    empty_shop.apps = ["shop"]
    empty_shop.migrate(first)
    empty_shop.apps = ["guard", "shop"]

    done = check(empty_shop, second).ok()

    assert sorted(ids(done)) == ["I101", "W006"]
    assert "Run `manage.py migrate --database default`" in done.text


@on_sqlite
def test_e007_code_ahead_of_the_database_and_of_its_migrations(shop: Shop, first: Tree, trees: Trees) -> None:
    forgotten = trees.make(
        first, adding("weight = models.IntegerField()"), migrations=migration("0002_empty", "0001_initial", "")
    )

    done = check(shop, forgotten)

    assert (done.code, ids(done)) == (1, ["E007"])
    assert "shop_product.weight is declared by this code's models" in done.text
    pending = trees.make(first, adding("weight = models.IntegerField(null=True)"))
    assert ids(check(shop, pending).ok()) == []


def test_e008_code_behind_what_was_taken(shop: Shop, first: Tree, second: Tree, trees: Trees) -> None:
    shop.set_aside(first, second)

    done = check(shop, first)

    assert (done.code, ids(done)) == (1, ["E008", "W017"])
    assert "(shop.0002_remove_product_code): this code is behind it" in done.text
    assert "shop_product.code was set aside by migration shop.0002_remove_product_code" in done.text
    assert "`manage.py guard restore shop_product.code` brings it back." in done.text
    assert ids(check(shop, second).ok()) == []
    # A later release that adds the name again is not behind.
    for field in ("models.CharField(max_length=20, default='')", "models.IntegerField(default=1)"):
        added = migration("0003_code", second.migrations()[-1], f"migrations.AddField('product', 'code', {field})")
        models = FIRST.replace("models.CharField(max_length=20)", field)
        assert ids(check(shop, trees.make(second, models, migrations=added)).ok()) == ["I101"]


@on_sqlite
def test_w011_middleware_that_comes_late(shop: Shop, first: Tree) -> None:
    done = check(shop, first, MIDDLEWARE="late").ok()

    assert ids(done) == ["W011"]
    assert "comes after django.contrib.auth.middleware.AuthenticationMiddleware" in done.text


@on_sqlite
def test_i012_sentry_is_not_initialised(shop: Shop, first: Tree) -> None:
    assert "(guard.I012)" in check(shop, first).text
    started = "import sentry_sdk; sentry_sdk.init('http://k@127.0.0.1:1/1')"
    assert "(guard.I012)" not in check(shop, first, MORE_SETTINGS=started).text


def test_w013_a_ledger_that_cannot_be_written(shop: Shop, first: Tree) -> None:
    if shop.vendor == "postgres":
        name = shop.database.name
        shop.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    elif shop.vendor == "sqlite":
        shop.query("CREATE TRIGGER closed BEFORE UPDATE ON guard_instance BEGIN SELECT RAISE(ABORT, 'closed'); END")
        # No row is touched, so that no trigger fires: the check is about rights, and SQLite has none but the file's.
        assert ids(check(shop, first).ok()) == []
        return
    else:
        return

    done = check(shop, first).ok()

    assert ids(done) == ["W013"]
    assert "read-only" in done.text


@on_sqlite
def test_w014_no_thread_can_run(shop: Shop, first: Tree) -> None:
    without = "import sys, types; sys.modules['uwsgi'] = types.SimpleNamespace(opt={'http': b':80'})"
    threaded = without.replace("'http': b':80'", "'enable-threads': True")

    assert ids(check(shop, first, MORE_SETTINGS=without).ok()) == ["W014"]
    assert ids(check(shop, first, MORE_SETTINGS=threaded).ok()) == []


@on_sqlite
def test_w015_durations_that_contradict_each_other(shop: Shop, first: Tree) -> None:
    shop.guard |= {"LOCK_TIMEOUT": 40, "LOCK_PATIENCE": 5, "ROLLBACK_WINDOW": 3600, "DEBT_AFTER": 60}

    done = check(shop, first).ok()

    assert ids(done) == ["W015", "W015"]
    assert "GUARD['LOCK_TIMEOUT'] is longer than GUARD['LOCK_PATIENCE']" in done.text


@on_sqlite
def test_w016_models_that_are_written_where_no_ledger_is(shop: Shop, first: Tree) -> None:
    (first.path / "elsewhere.py").write_text(
        "class Router:\n    def db_for_write(self, model, **hints):\n        return 'far'\n"
        "    def allow_migrate(self, db, app_label, **hints):\n        return db != 'far'\n"
    )
    databases = json.dumps({"default": entry(shop.database), "far": entry(shop.database) | {"NAME": "far.sqlite3"}})

    done = check(shop, first, ROUTERS='["elsewhere.Router"]', DATABASES=databases).ok()

    assert ids(done) == ["W016"]
    assert "are written to database far (sqlite), where guard keeps no ledger" in done.text


def test_i018_e019_columns_that_nobody_knows(shop: Shop, first: Tree) -> None:
    shop.query("ALTER TABLE shop_product ADD COLUMN spare integer NULL")
    done = check(shop, first).ok()
    assert ids(done) == ["I018"]
    assert "shop_product.spare is in the database, and no model, migration or contract step knows it" in done.text

    shop.query("ALTER TABLE shop_product ADD COLUMN needed integer NOT NULL DEFAULT 1")
    assert ids(check(shop, first).ok()) == ["I018", "I018"]
    if shop.vendor == "sqlite":
        # It can neither drop a default nor add such a column without one.
        return
    shop.query("ALTER TABLE shop_product ALTER COLUMN needed DROP DEFAULT")
    done = check(shop, first)

    assert (done.code, sorted(ids(done))) == (1, ["E019", "I018"])
    assert "shop_product.needed is NOT NULL and has no default in the database" in done.text


def test_w020_a_column_that_was_changed_by_hand(shop: Shop, first: Tree) -> None:
    changes = {
        "postgres": "ALTER TABLE shop_product ALTER COLUMN note SET NOT NULL",
        "mariadb": "ALTER TABLE shop_product MODIFY note longtext NOT NULL",
    }
    if shop.vendor not in changes:
        return
    shop.query("UPDATE shop_product SET note = ''")
    shop.query(changes[shop.vendor])

    done = check(shop, first).ok()

    assert ids(done) == ["W020"]
    assert "shop_product.note is NOT NULL in the database, and may be NULL in the models" in done.text


def test_what_guard_itself_has_done_to_a_column_is_no_difference(shop: Shop, first: Tree, second: Tree) -> None:
    shop.deploy(first, second)

    assert ids(check(shop, second).ok()) == []
    shop.set_aside(first, second)
    assert ids(check(shop, second).ok()) == []


@on_sqlite
def test_w021_settings_that_name_a_migration_that_is_not_there(shop: Shop, first: Tree) -> None:
    shop.guard |= {"PHASES": {"shop.0099_gone": "expand"}, "BASELINE": {"shop": "0001_initial"}}

    done = check(shop, first).ok()

    assert ids(done) == ["W021"]
    assert "GUARD['PHASES'] names shop.0099_gone" in done.text


@on_sqlite
def test_a_baseline_keeps_pending_history_quiet(shop: Shop, first: Tree, second: Tree) -> None:
    assert ids(check(shop, second).ok()) == ["I101"]

    shop.guard["BASELINE"] = {"shop": second.migrations()[-1]}

    assert ids(check(shop, second).ok()) == []


@on_sqlite
def test_without_a_database_the_baseline_says_what_files_alone_can_tell(shop: Shop, first: Tree, second: Tree) -> None:
    shop.guard["BASELINE"] = {"shop": "0001_initial"}

    assert ids(check(shop, second, DATABASES=_nowhere(shop)).ok()) == ["W005", "I101"]


def test_w106_a_column_is_copied_and_removed_in_one_deploy(shop: Shop, first: Tree, trees: Trees) -> None:
    operations = (
        "migrations.AddField('product', 'sign', models.CharField(max_length=20, null=True)), "
        "migrations.RunSQL('UPDATE shop_product SET sign = code'), "
        "migrations.RemoveField('product', 'code')"
    )
    models = adding("sign = models.CharField(max_length=20, null=True)", models=without("code"))
    copied = trees.make(first, models, migrations=migration("0002_copied", "0001_initial", operations))

    done = check(shop, copied).ok()

    assert {"I101", "W106"} <= set(ids(done))
    assert "shop.0002_copied reads shop.product.code" in done.text


def test_every_check_is_documented_under_its_own_anchor() -> None:
    root = Path(guard.__file__).parent
    sources = "".join(path.read_text() for path in root.rglob("*.py"))
    documented = (root.parent / "docs/checks.md").read_text()

    used = set(re.findall(r'"guard\.([EWI]\d{3})"', sources))

    assert len(used) > 25
    # A heading is its own anchor: what hints link to is "guard.E001" without its full stop, in lower case.
    assert used == set(re.findall(r"^### guard\.(\w+)$", documented, re.MULTILINE))


@on_sqlite
def test_w009_a_step_that_waits_for_long(shop: Shop, first: Tree, second: Tree) -> None:
    shop.guard["DEBT_AFTER"] = 3600
    shop.migrate(second)
    assert ids(check(shop, second).ok()) == []
    shop.aged(7300)

    done = check(shop, second).ok()

    assert ids(done) == ["W009"]
    assert "shop_product.code waits to be taken away since 2 hours" in done.text


@on_sqlite
def test_i010_a_database_without_migrations(empty_shop: Shop, first: Tree) -> None:
    assert "I010" in ids(check(empty_shop, first).ok())


@on_sqlite
def test_i101_w102_e103_what_each_pending_migration_will_do(shop: Shop, first: Tree, trees: Trees) -> None:
    operations = (
        "migrations.RemoveField('product', 'code'), "
        "migrations.AddConstraint('product', "
        "models.CheckConstraint(condition=models.Q(rank__lt=1000), name='ranked')), "
        "migrations.RenameField('product', 'slug', 'name_in_urls')"
    )
    mixed = trees.make(
        first,
        without("code").replace("    slug =", "    name_in_urls ="),
        migrations=migration("0002_mixed", "0001_initial", operations),
    )

    done = check(shop, mixed)

    assert (done.code, sorted(ids(done))) == (1, ["E103", "I101", "W102"])
    assert "shop.0002_mixed runs in two steps" in done.text
    assert "shop.0002_mixed is held until no old code (a release that lacks it) is deployed any more" in done.text
    assert "shop.0002_mixed is refused" in done.text
    shop.guard["STRATEGY"] = "hold"
    assert sorted(ids(check(shop, mixed))) == ["E103", "W102", "W102"]


@on_sqlite
def test_a_required_key_that_takes_a_leftover_over_runs_in_two_steps(shop: Shop, first: Tree, trees: Trees) -> None:
    second = trees.make(first, without("supplier"))
    again = migration(
        "0003_again",
        second.migrations()[-1],
        "migrations.AddField('product', 'supplier', "
        "models.ForeignKey('shop.supplier', models.CASCADE, default=1), False)",
    )
    third = trees.make(second, FIRST, migrations=again)
    shop.migrate(second)

    assert ids(check(shop, third).ok()) == ["I101"]


@on_sqlite
def test_switched_off_it_checks_its_setting_alone(shop: Shop, first: Tree, second: Tree) -> None:
    shop.guard["MODE"] = "off"

    assert ids(check(shop, second, MIDDLEWARE="0").ok()) == []


@on_sqlite
def test_migrate_is_not_forbidden_by_what_it_would_mend(shop: Shop, first: Tree, trees: Trees) -> None:
    ahead = trees.make(first, adding("weight = models.IntegerField(null=True)"))

    shop.migrate(ahead)

    assert "weight" in shop.columns()
