"""What authors declare of an operation outlives Django's own writing of migrations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.gate.harness import Zygote
from tests.integration.lint.project import Project

CODE = "from guard.phases import Phase, mark\n\n\ndef copy(apps, schema_editor):\n    pass\n"
#: Nothing that a parser reads: as it is, it would be held.
UNREADABLE = 'migrations.RunSQL("nothing that a parser (")'


@pytest.fixture
def project(tmp_path: Path, zygote: Zygote) -> Project:
    made = Project(tmp_path / "project", zygote)
    # Django 5.2's squashmigrations opens the database.
    made.databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    return made


def squashed(project: Project, *args: str) -> str:
    done = project.run("squashmigrations", "shop", project.last, "--noinput", "--squashed-name", "all", *args)
    assert done.code == 0, done.err
    made = (project.path / "shop/migrations/0001_all.py").read_text()
    for replaced in (project.path / "shop/migrations").glob("000*.py"):
        if replaced.stem != "0001_all":
            # As a project does once the squash is everywhere; the functions it has copied.
            replaced.unlink()
    made = made.replace("shop.migrations.0002_marked.copy", "migrations.RunPython.noop")
    (project.path / "shop/migrations/0001_all.py").write_text(made)
    return made


@pytest.mark.parametrize("args", [(), ("--no-optimize",)])
def test_squashmigrations_keeps_what_operations_are_marked_with(project: Project, args: tuple[str, ...]) -> None:
    project.add(
        "0002_marked",
        "mark(migrations.RunPython(copy, migrations.RunPython.noop), Phase.CONTRACT)",
        f"mark({UNREADABLE}, Phase.EXPAND)",
        "migrations.RunPython(migrations.RunPython.noop)",
        f"migrations.SeparateDatabaseAndState([mark({UNREADABLE}, Phase.EXPAND)])",
        before=CODE,
    )
    before = [(found["id"], found["phase"]) for found in project.lint().findings]

    made = squashed(project, *args)

    assert before == [("guard.W102", "contract")]
    assert [(found["id"], found["phase"]) for found in project.lint().findings] == before
    assert "import guard.phases\n" in made
    assert made.count("guard.phases.Phase.EXPAND,") == 2
    assert made.count("guard.phases.Phase.CONTRACT,") == 1


def test_squashmigrations_keeps_what_a_migration_declares_for_all_its_operations(project: Project) -> None:
    project.add("0002_declared", UNREADABLE, before=CODE, attributes="    guard_phase = Phase.EXPAND")
    project.add("0003_opaque", UNREADABLE)
    assert [found["migration"] for found in project.lint().findings] == ["0003_opaque"]

    made = squashed(project)

    assert [found["id"] for found in project.lint().findings] == ["guard.W102"]
    assert made.count("guard.phases.mark(") == 1


def test_optimizemigration_keeps_what_operations_are_marked_with(project: Project) -> None:
    options = ", ".join(f"'verbose_name': '{name}'" for name in "ab")
    project.add(
        "0002_marked",
        f"mark({UNREADABLE}, Phase.EXPAND)",
        *(f"migrations.AlterModelOptions('product', {{{option}}})" for option in options.split(", ")),
        before=CODE,
    )

    done = project.run("optimizemigration", "shop", "0002")

    assert "Optimizing from 3 operations to 2 operations." in done.out
    assert project.lint().ids == []
