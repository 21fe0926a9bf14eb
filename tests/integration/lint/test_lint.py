"""`guard lint`: what migration files alone tell, in each of its forms, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.gate.fixtures import on_sqlite, without
from tests.integration.gate.harness import Shop, Tree, Trees, Zygote
from tests.integration.lint.project import INITIAL, Project

REMOVE = "migrations.RemoveField('product', 'code')"
RENAME = "migrations.RenameField('product', 'title', 'name')"
REQUIRED = "migrations.AlterField('product', 'code', models.CharField(max_length=10, unique=True))"


@pytest.fixture
def project(tmp_path: Path, zygote: Zygote) -> Project:
    return Project(tmp_path / "project", zygote, "postgresql")


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def of_each_vendor(request: pytest.FixtureRequest, tmp_path: Path, zygote: Zygote) -> Project:
    return Project(tmp_path / "project", zygote, request.param)


def test_each_disposition_is_told_without_a_server(of_each_vendor: Project) -> None:
    project = of_each_vendor
    project.add("0002_unique", REQUIRED)
    project.add("0003_remove_code", REMOVE)
    project.add("0004_rename", RENAME)

    done = project.lint()

    assert done.code == 1
    by_name = {(found["migration"], found["id"], found["level"]) for found in done.findings}
    assert {
        ("0002_unique", "guard.W102", "warning"),
        ("0003_remove_code", "guard.I101", "info"),
        ("0004_rename", "guard.E103", "error"),
    } <= by_name
    assert "shop.0004_rename" in done.err
    assert not (project.path / "db.sqlite3").exists()


def test_it_ends_well_where_nothing_is_refused_and_strictly_not_where_something_is_held(project: Project) -> None:
    project.add("0002_unique", REQUIRED)

    assert project.lint().code == 0
    assert project.lint("--strict").code == 1
    assert project.lint("--strict", "contenttypes").code == 0


def test_findings_point_to_the_line_of_their_operation(project: Project) -> None:
    project.add("0002_two", "migrations.RunPython(migrations.RunPython.noop)", RENAME)

    (found,) = project.lint().findings

    lines = (project.path / found["path"]).read_text().splitlines()
    assert found["path"] == "shop/migrations/0002_two.py"
    assert RENAME in lines[found["line"] - 1]
    assert (found["phase"], found["disposition"]) == ("unsafe", "refuse")
    assert "shop_product.title" in found["targets"]


def test_an_operation_that_no_plain_list_has_is_placed_at_the_top_of_its_file(project: Project) -> None:
    project.add("0002_grows", "migrations.RunPython(migrations.RunPython.noop)", attributes="    more = []")
    path = project.path / "shop/migrations/0002_grows.py"
    path.write_text(f"{path.read_text()}    operations += [{RENAME}]\n")

    (found,) = project.lint().findings

    assert (found["id"], found["line"], found["path"]) == ("guard.E103", 1, "shop/migrations/0002_grows.py")


def test_halves_that_say_the_same_are_judged_as_migrate_judges_them(project: Project) -> None:
    noop = "migrations.RunPython(migrations.RunPython.noop)"
    project.add(
        "0002_separate",
        f"migrations.SeparateDatabaseAndState([{noop}, {REMOVE}], [{REMOVE}])",
        RENAME,
    )

    removed, renamed = project.lint().findings

    lines = (project.path / renamed["path"]).read_text().splitlines()
    assert (removed["id"], removed["disposition"]) == ("guard.I101", "split")
    assert REMOVE in lines[removed["line"] - 1]
    assert RENAME in lines[renamed["line"] - 1]


def test_what_waits_is_told_by_its_kind(project: Project) -> None:
    project.add("0002_nullable", "migrations.AddField('product', 'sign', models.CharField(max_length=9, null=True))")
    project.add("0003_required", "migrations.AlterField('product', 'sign', models.CharField(max_length=9))")
    project.add("0004_removed", REMOVE)

    required, removed = (found["message"] for found in project.lint().findings)

    assert "NULL stays allowed until nobody leaves it there any more" in required
    assert "what it takes away waits until nobody uses it" in removed


def test_text_github_and_sarif_say_the_same(project: Project) -> None:
    project.add("0002_rename", RENAME)

    text = project.run("guard", "lint").out
    github = project.run("guard", "lint", "--format", "github").out
    sarif = json.loads(project.run("guard", "lint", "--format", "sarif").out)

    assert "shop/migrations/0002_rename.py:" in text
    assert "error guard.E103: shop.0002_rename is refused" in text
    assert "2 migrations, 2 operations (0.0% opaque): 1 error, 0 warning, 0 info." in text
    (line,) = github.splitlines()
    assert line.startswith("::error file=shop/migrations/0002_rename.py,line=")
    assert "%0A" in line
    assert "title=guard.E103::shop.0002_rename is refused" in line
    (result,) = sarif["runs"][0]["results"]
    assert (sarif["version"], result["ruleId"], result["level"]) == ("2.1.0", "guard.E103", "error")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "shop/migrations/0002_rename.py"


def test_since_a_revision_only_what_was_added_counts_and_it_counts_as_one_deploy(project: Project) -> None:
    project.add("0002_rename", RENAME)
    project.commit()
    project.add("0003_copied", "migrations.AddField('product', 'sign', models.CharField(max_length=20, null=True))")
    project.add("0004_renamed", "migrations.RenameField('product', 'sign', 'mark')")

    assert project.lint("--since", "HEAD").ids == []
    # Each as a deploy of its own: code that knows the name is deployed before it is changed.
    assert project.lint().ids == ["E103", "E103"]


def test_a_squash_of_what_was_there_adds_nothing(project: Project) -> None:
    project.add("0002_rename", RENAME)
    project.commit()
    project.add(
        "0001_squashed",
        INITIAL.replace('"title"', '"name"'),
        after="",
        attributes='    replaces = [("shop", "0001_initial"), ("shop", "0002_rename")]',
    )
    (project.path / "shop/migrations/0001_initial.py").unlink()
    (project.path / "shop/migrations/0002_rename.py").unlink()
    project.add("0003_remove", REMOVE)

    done = project.lint("--since", "HEAD")

    assert done.ids == ["I101"]
    assert json.loads(done.out)["migrations"] == 1
    project.commit()
    assert project.lint("--since", "HEAD").ids == []


def test_a_revision_that_git_does_not_know_is_a_wrong_call(project: Project) -> None:
    project.commit()

    for revision in ("nowhere", "--output=x"):
        done = project.run("guard", "lint", f"--since={revision}")
        assert done.code == 2
        assert "git knows no revision" in done.err
    assert project.run("guard", "lint", "nope").code == 2


@on_sqlite
def test_since_a_deployed_release_what_it_lacks_counts(shop: Shop, first: Tree, trees: Trees) -> None:
    second = trees.make(first, without("code"))
    third = trees.make(second, without("code", "note"))
    shop.arrive(first)
    shop.arrive(second)

    def lint(release: str) -> set[str]:
        done = shop.run(third, "guard", "lint", "--json", "--since-release", release).ok()
        return {found["migration"] for found in done.json["findings"] if found["id"] == "guard.I101"}

    assert lint(first.name) == {second.migrations()[-1], third.migrations()[-1]}
    assert lint(second.name) == {third.migrations()[-1]}
    unknown = shop.run(third, "guard", "lint", "--since-release", "nobody").ok(2)
    assert "No ledger knows a release 'nobody'." in unknown.err


def test_baseline_keeps_history_quiet(project: Project) -> None:
    project.add("0002_rename", RENAME)
    project.add("0003_remove", REMOVE)
    assert 'GUARD["BASELINE"]' in project.lint().err

    project.guard["BASELINE"] = {"shop": "0002_rename"}
    assert project.lint().ids == ["I101"]
    project.guard["BASELINE"] = {"shop": "0003_remove"}
    assert project.lint().ids == []


@pytest.mark.parametrize(("phase", "ids"), [("expand", []), ("contract", ["W102"]), ("unsafe", ["E103"])])
def test_settings_say_what_somebody_elses_migration_does(project: Project, phase: str, ids: list[str]) -> None:
    project.add("0002_sql", 'migrations.RunSQL("nothing that a parser (")')
    assert project.lint().ids == ["W102"]

    project.guard["PHASES"] = {"shop.0002_sql": phase}

    assert project.lint().ids == ids


MENTIONS: dict[str, Callable[[str], str]] = {
    "queryset": lambda name: (
        f"from shop.models import Product\n\n\ndef codes():\n    return Product.objects.values('{name}')\n"
    ),
    "ordering": lambda name: f"class Options:\n    ordering = ['title', '-{name}']\n",
    "serializer": lambda name: f"class Serializer:\n    class Meta:\n        fields = ('title', '{name}')\n",
    "path": lambda name: f"def of(orders):\n    return orders.filter().order_by('product__{name}')\n",
    "sql": lambda name: f'SQL = "SELECT title, {name} FROM shop_product"\n',
}


@pytest.mark.parametrize("kind", MENTIONS)
def test_places_that_name_a_removed_field_in_a_string_are_hints(project: Project, kind: str) -> None:
    project.add("0002_remove", REMOVE)
    project.write("shop/uses.py", MENTIONS[kind]("code"))

    done = project.lint()

    (hint,) = [found for found in done.findings if found["id"] == "guard.I110"]
    assert (hint["path"], done.code) == ("shop/uses.py", 0)
    assert "shop.product.code" in hint["message"]
    # The same with the name of a field that stays.
    project.write("shop/uses.py", MENTIONS[kind]("title") + "\ncode = 'code'\n")
    assert project.lint().ids == ["I101"]


def test_migrations_that_cannot_be_imported_are_named_in_a_sentence(project: Project) -> None:
    project.write("shop/migrations/0002_broken.py", "raise RuntimeError('asks the database')\n")

    done = project.run("guard", "lint")

    assert done.code == 2
    assert "cannot be imported: RuntimeError: asks the database" in done.err


def test_migrations_that_ask_which_server_it_is_are_told_what_lint_takes_for_granted(of_each_vendor: Project) -> None:
    asked = "connection.vendor == 'sqlite' or connection.features.supports_expression_indexes"
    of_each_vendor.add("0002_asks", RENAME, before=f"from django.db import connection\n\nassert {asked}")

    assert of_each_vendor.lint().ids == ["E103"]


def test_a_project_without_findings_says_so_in_one_line(project: Project) -> None:
    done = project.run("guard", "lint")

    assert done.out == "1 migrations, 1 operations (0.0% opaque): 0 error, 0 warning, 0 info.\n"
