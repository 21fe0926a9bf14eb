"""What a project declares and has on disk, read in a process of its own."""

from __future__ import annotations

import py_compile
import shutil
from pathlib import Path
from typing import Any

import pytest

from sampleapp.stage.databases import Database
from tests.integration.schema.conftest import PROJECT, Project


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process makes of the project."""
    return Project(Database("sqlite", str(tmp_path_factory.mktemp("report") / "db.sqlite3"))).report(PYTHONHASHSEED="1")


def test_models_of_every_kind(report: dict[str, Any]) -> None:
    found = dict(report["tables"])
    assert len(found.pop("kinds_everything")) == 25
    assert found == {
        "django_content_type": ["app_label", "id", "model"],
        "kinds_tag": ["id", "label"],
        # The unmanaged model on the same table knows a column that the managed one does not.
        "kinds_place": ["id", "name", "theirs"],
        "kinds_place_tags": ["id", "place_id", "tag_id"],
        "kinds_restaurant": ["place_ptr_id", "stars"],
        "kinds_replacement": ["id", "kept"],
        "kinds_note": ["content_type_id", "id", "object_id"],
        "kinds_pair": ["left", "right"],
        "kinds_box": ["Odd Name", "id", "twice", "width"],
        "UpperCase": ["MixedCase", "id"],
        "legacy_view": ["id", "something"],
    }


def test_a_column_has_its_type_whether_it_is_null_and_whether_the_database_fills_it(report: dict[str, Any]) -> None:
    columns = report["columns"]
    assert columns["kinds_box"]["width"] == ["integer", False, True]
    assert columns["kinds_box"]["Odd Name"] == ["integer", False, False]
    assert columns["kinds_restaurant"]["stars"] == ["integer", True, False]
    assert columns["kinds_tag"]["label"] == ["varchar(20)", False, False]


def test_what_only_unmanaged_models_declare_is_told_apart(report: dict[str, Any]) -> None:
    assert report["unmanaged"] == [
        ["kinds_place", "theirs"],
        ["legacy_view", "id"],
        ["legacy_view", "something"],
    ]


@pytest.mark.parametrize(("router", "declares"), [("Router", True), ("Puzzled", True), ("Elsewhere", False)])
def test_tables_that_another_project_migrates_are_declared_where_they_are_used(
    report: dict[str, Any], project: Project, router: str, declares: bool
) -> None:
    found = project.report(ROUTERS=f'["theirs.{router}"]')

    # Their removal by that other project is what this evidence is for; that they are missing is not this one's to mend.
    assert ("kinds_box" in found["tables"]) is declares
    assert (["kinds_box", "width"] in found["unmanaged"]) is declares
    assert found["tables"]["django_content_type"] == report["tables"]["django_content_type"]


def test_migrations_are_those_that_django_would_load_squashes_expanded(report: dict[str, Any]) -> None:
    found = report
    own = [name for app, name in found["migrations"] if app == "history"]
    assert own == [
        "0001_initial",
        "0001_squashed_0002_second",
        "0002_second",
        "0003_annotated",
        "0003_gone",
        "0004_computed",
        "0004_one",
        "0004_two",
        "0005_added",
        "0005_one",
        "0005_two",
        "0006_afterwards",
        "0006_one",
    ]
    apps = {app for app, _ in found["migrations"]}
    # No migrations; a folder that is no package; switched off by the settings.
    assert apps.isdisjoint({"kinds", "spaces", "switched_off"})
    assert ["moved", "0001_initial"] in found["migrations"]
    assert {"contenttypes", "guard"} <= apps


def test_django_loads_the_same(project: Project, report: dict[str, Any]) -> None:
    listed = project.run(
        "-c",
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\n"
        "import django; django.setup()\n"
        "from django.db.migrations.loader import MigrationLoader\n"
        "for app, name in MigrationLoader(None).disk_migrations: print(app, name)",
    )
    on_disk = {tuple(line.split()) for line in listed.splitlines()}
    found = {tuple(pair) for pair in report["migrations"]}
    replaced = {pair for pair in found - on_disk if pair[0] == "history"}
    assert found == on_disk | replaced
    assert len(replaced) == 6


def test_only_migrations_whose_text_does_not_say_what_they_replace_are_imported(report: dict[str, Any]) -> None:
    assert report["imported"] == [
        "history.migrations.0004_computed",
        "history.migrations.0005_added",
        "history.migrations.0006_afterwards",
    ]


def test_migrations_that_are_only_compiled_are_found_and_expanded(project: Project, tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "history", tmp_path / "compiled")
    for source in (tmp_path / "compiled" / "migrations").glob("*.py"):
        text = source.read_text().replace('"history"', '"compiled"')
        source.write_text(text)
        py_compile.compile(str(source), cfile=str(source.with_suffix(".pyc")))
        source.unlink()
    project.environ |= {"APPS": '["compiled"]', "EXTRA": str(tmp_path)}
    found = project.report()["migrations"]
    assert [name for app, name in found if app == "compiled"] == [name for app, name in found if app == "history"]


def test_the_same_code_has_the_same_digest_in_every_process(project: Project, report: dict[str, Any]) -> None:
    assert project.report(PYTHONHASHSEED="77")["digest"] == report["digest"]


def test_reading_five_hundred_migrations_costs_little(project: Project, tmp_path: Path) -> None:
    migrations = tmp_path / "many" / "migrations"
    migrations.mkdir(parents=True)
    for folder in (migrations.parent, migrations):
        (folder / "__init__.py").touch()
    body = "        migrations.AddField('Thing', 'field', models.IntegerField(default=0)),\n" * 20
    for number in range(500):
        # One in ten is a squash.
        replaces = f"    replaces = [('many', '{number:04}_gone')]\n" if number % 10 == 0 else ""
        (migrations / f"{number:04}_step.py").write_text(
            "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
            f"{replaces}    operations = [\n{body}    ]\n"
        )
    project.environ |= {"APPS": '["many"]', "EXTRA": str(tmp_path)}
    found = project.report()
    print(f"\n500 migration files, 50 of them squashes: {found['milliseconds']:.0f} ms")
    assert sum(app == "many" for app, _ in found["migrations"]) == 550
    assert not [name for name in found["imported"] if name.startswith("many.")]
