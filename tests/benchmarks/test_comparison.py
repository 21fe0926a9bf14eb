"""What comparing models with the database costs at start, and what `guard lint` costs, beside Django's own way.

A project of 20 models with 100 columns each and 500 migrations, in a process of its own. Django's way to know whether
models and migrations agree is its loader, the project's state and the autodetector.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sampleapp.stage import databases
from tests.integration.ledger.harness import settings_for

MODELS, COLUMNS, MIGRATIONS = 20, 100, 500
KEY = "models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')"

_SCRIPT = '''
import json, os, sys, time

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmark_settings"
import django

django.setup()
from django.apps import apps
from django.db import connection
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from guard import conf
from guard.ledger import connecting
from guard.lint import history, run
from guard.schema import catalog, declared

took = {}


def timed(name, action):
    """CPU milliseconds: the best of three. Whatever else the machine does can only add."""
    for _ in range(3):
        began = time.process_time()
        result = action()
        passed = (time.process_time() - began) * 1000
        took[name] = min(took.get(name, passed), passed)
    return result


with connection.schema_editor() as editor:
    for model in apps.get_app_config("shop").get_models():
        editor.create_model(model)


def on_disk():
    declared.forget()
    return declared.migrations_on_disk()


def footprint():
    # Of what is read from disk, the migrations' names are measured apart.
    declared._footprints.clear()
    return declared.footprint("default")


def forget_modules():
    """Django's loader reloads a module that is there already, and this is about a start."""
    for name in [name for name in sys.modules if name.startswith("shop.migrations.")]:
        del sys.modules[name]


def django_loads():
    forget_modules()
    loader = MigrationLoader(None)
    return loader, loader.project_state()


def django_compares():
    loader, state = django_loads()
    found = MigrationAutodetector(state, ProjectState.from_apps(apps)).changes(graph=loader.graph)
    assert "shop" not in found, found


def lint():
    forget_modules()
    loaded = history.load()
    wanted = {key for key in loaded.order if key[0] == "shop"}
    return run.lint(loaded, aliases=["default"], wanted=wanted, config=conf.get(), together=False)


timed("migrations on disk", on_disk)
declares = timed("what models declare", footprint)
with connecting.private("default") as own:
    own.ensure_connection()
    compared = timed("the catalog", lambda: catalog.compare(own, declares))
assert compared == catalog.Comparison(), compared
timed("loader, state and autodetector", django_compares)
timed("loader and state", django_loads)
result = timed("lint", lint)
assert result.migrations == %(migrations)d, result.migrations
took["findings"] = len(result.findings)
print(json.dumps(took))
'''


def _field(number: int) -> str:
    kinds = ("models.IntegerField(null=True)", "models.CharField(max_length=40)", "models.DateTimeField(null=True)")
    return kinds[number % len(kinds)]


def _write(path: Path, database: databases.Database) -> None:
    app = path / "shop" / "migrations"
    app.mkdir(parents=True)
    for folder in (path / "shop", app):
        (folder / "__init__.py").touch()
    (path / "benchmark_settings.py").write_text(
        f"SECRET_KEY = 'x'\nUSE_TZ = True\nINSTALLED_APPS = ['guard', 'shop']\n"
        "DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\nGUARD = {'MODE': 'off'}\n"
        f"DATABASES = {{'default': {settings_for(database)!r}}}\n"
    )
    models = ["from django.db import models\n"]
    head = "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
    for model in range(MODELS):
        fields = "".join(f"    f{number} = {_field(number)}\n" for number in range(COLUMNS - 1))
        models.append(f"\n\nclass M{model}(models.Model):\n{fields}")
    (path / "shop" / "models.py").write_text("".join(models))
    added = (COLUMNS - 1) * MODELS
    queue = [(number % MODELS, number // MODELS) for number in range(added)]
    share = -(-added // (MIGRATIONS - 1))
    for position in range(MIGRATIONS):
        if position == 0:
            operations = [f"migrations.CreateModel('M{model}', [('id', {KEY})])" for model in range(MODELS)]
        else:
            now, queue = queue[:share], queue[share:]
            operations = [
                f"migrations.AddField('m{model}', 'f{number}', {_field(number)[:-1]}"
                f"{', default=' + repr('x') if number % 3 == 1 else ''}), {number % 3 != 1})"
                for model, number in now
            ]
        after = f"[('shop', 'm{position - 1:04}')]" if position else "[]"
        listed = "".join(f"        {operation},\n" for operation in operations)
        (app / f"m{position:04}.py").write_text(
            f"{head}    dependencies = {after}\n    operations = [\n{listed}    ]\n"
        )


@pytest.mark.bench
@pytest.mark.parametrize("vendor", ["sqlite", "postgres"])
def test_comparing_at_start_and_lint_beside_djangos_own_way(
    vendor: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if reason := databases.missing(vendor):
        pytest.skip(reason)
    database = databases.create(vendor, tmp_path)
    try:
        _write(tmp_path, database)
        (tmp_path / "measure.py").write_text(_SCRIPT % {"migrations": MIGRATIONS})
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(
            [sys.executable, "measure.py"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(tmp_path)])},
            capture_output=True,
            text=True,
            timeout=300,
        )
    finally:
        database.drop()
    assert done.returncode == 0, done.stderr
    took = json.loads(done.stdout)
    ours = took["what models declare"] + took["the catalog"]
    theirs = took["loader, state and autodetector"]
    with capsys.disabled():
        print(f"\n{vendor}: {MODELS * COLUMNS:,} columns, {MIGRATIONS} migrations")
        for name in ("what models declare", "the catalog", "migrations on disk", "loader, state and autodetector"):
            print(f"  {name:32} {took[name]:8.1f} ms")
        print(f"  {'comparing at start':32} {ours:8.1f} ms, 1/{theirs / ours:.0f} of Django's way")
        print(
            f"  {'guard lint':32} {took['lint']:8.1f} ms, {took['lint'] / took['loader and state']:.2f} × loader and "
            f"state ({took['findings']} findings)"
        )
