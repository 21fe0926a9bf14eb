"""Writes a project of its own: models, migrations, a git repository. Its commands run in processes of their own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.gate.harness import Zygote

MANAGE = (
    "import sys\nfrom django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n"
)

SETTINGS = """
SECRET_KEY = "lint"
INSTALLED_APPS = {apps} + ["guard", "shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIDDLEWARE = ["guard.middleware.GuardMiddleware"]
DATABASES = {databases}
GUARD = {guard}
"""

#: Nobody listens there.
NOWHERE = {
    "sqlite": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nonexistent/db.sqlite3"},
    "postgresql": {"ENGINE": "django.db.backends.postgresql", "NAME": "x", "HOST": "127.0.0.1", "PORT": "1"},
    "mysql": {"ENGINE": "django.db.backends.mysql", "NAME": "x", "HOST": "127.0.0.1", "PORT": "1"},
}

INITIAL = """migrations.CreateModel("Product", [
        ("id", models.BigAutoField(primary_key=True)),
        ("title", models.CharField(max_length=20)),
        ("code", models.CharField(max_length=20)),
    ])"""


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def ids(self) -> list[str]:
        return [found["id"].removeprefix("guard.") for found in self.findings]

    @property
    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out)["findings"]
        return found


class Project:
    """An app "shop" whose first migration makes a product with a title and a code."""

    def __init__(self, path: Path, zygote: Zygote, vendor: str = "sqlite") -> None:
        self.path = path
        self.zygote = zygote
        self.last = ""
        self.apps = ["django.contrib.contenttypes"]
        self.databases: dict[str, Any] = {"default": NOWHERE[vendor]}
        self.guard: dict[str, Any] = {"RELEASE": "r1"}
        (path / "shop" / "migrations").mkdir(parents=True)
        for folder in ("shop", "shop/migrations"):
            (path / folder / "__init__.py").write_text("")
        self.write("manage.py", MANAGE)
        self.models("title = models.CharField(max_length=20)")
        self.add("0001_initial", INITIAL)

    def models(self, *fields: str) -> None:
        body = "\n    ".join(fields)
        self.write("shop/models.py", f"from django.db import models\n\n\nclass Product(models.Model):\n    {body}\n")

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def add(
        self, name: str, *operations: str, before: str = "", after: str | None = None, attributes: str = ""
    ) -> None:
        """A migration after the one that was added last."""
        parent = self.last if after is None else after
        dependencies = f'[("shop", "{parent}")]' if parent else "[]"
        listed = "".join(f"        {operation},\n" for operation in operations)
        self.write(
            f"shop/migrations/{name}.py",
            f"from django.db import migrations, models\n\n\n{before}\n\n\nclass Migration(migrations.Migration):\n"
            f"    dependencies = {dependencies}\n{attributes}\n    operations = [\n{listed}    ]\n",
        )
        self.last = name

    def git(self, *args: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(self.path), *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def commit(self) -> None:
        if not (self.path / ".git").exists():
            self.git("init", "-q")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "c")

    def run(self, *args: str) -> Done:
        self.write("project_settings.py", SETTINGS.format(apps=self.apps, databases=self.databases, guard=self.guard))
        done = self.zygote.run(self.path, ["manage.py", *args], {"DJANGO_SETTINGS_MODULE": "project_settings"})
        assert "Traceback" not in done.text, done.text
        return Done(done.code, done.out, done.err)

    def lint(self, *args: str) -> Done:
        return self.run("guard", "lint", "--format", "json", *args)
