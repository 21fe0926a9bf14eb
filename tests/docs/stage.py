"""A project in which the commands of a page are run, one after the other, and outputs compared with the page's."""

from __future__ import annotations

import difflib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sampleapp.stage.processes import SAMPLEAPP, TimedOut, free_port, request, until
from tests import patience
from tests.docs.pages import ROOT, Block

#: What differs from run to run, and what stands for it in a comparison.
_DIFFERS = (
    (r"\x1b\[[0-9;?]*[A-Za-z]", ""),
    (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?( UTC|Z)?", "TIME"),
    (r"\b(just now|(\d+|a|an) (second|minute|hour|day)s? ago)\b", "AGO"),
    (r"\bin (a moment|\d+ (second|minute|hour|day)s?)\b", "IN-A-WHILE"),
    (r"\b(took|for) [\d.e-]+ (s|second|minute|hour)s?\b", "TOOK"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r"\b[0-9a-f]{12}\b", "DIGEST"),
    (r"\b1[0-9]{9}(\.\d+)?\b", "EPOCH"),
    (r"\bweb-1:\d+\b", "web-1:PID"),
    # Frames and rules are as long as what they surround.
    (r"[─━═╭╮╰╯┬┴┼├┤┏┓┗┛┳┻╋┡┩╇]+", "─"),
)


def settled(text: str) -> list[str]:
    """The words of an output, without what differs from run to run. Where it was wrapped does not matter."""
    for pattern, stands_for in _DIFFERS:
        text = re.sub(pattern, stands_for, text)
    return text.split()


class Nursery:
    """The process whose children run manage.py; see nursery.py."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.docs.nursery"],
            cwd=ROOT,
            # Its children take the time that they need to leave: one that is cut short is lost, and no page says so.
            env=os.environ | {"PYTHONPATH": str(patience.DIRECTORY)} | patience.environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **question: Any) -> dict[str, int]:
        """One request and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """Nothing is left of it, or of what it runs."""
        self._process.communicate()


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has run."""

    command: str
    code: int
    output: str


class Stage:
    """A directory with a project, its environment, and the servers that run there."""

    def __init__(self, nursery: Nursery, scratch: Path, directory: Path, environ: Mapping[str, str]) -> None:
        self.directory = directory
        self.scratch = scratch
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(scratch),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            "COLUMNS": "80",
            "LINES": "40",
            "GUARD_ACTOR": "alex",
            **environ,
        }
        self._nursery = nursery
        self._outputs = itertools.count(1)
        #: By release: process and port.
        self.servers: dict[str, tuple[int, int]] = {}

    def run(self, command: str, *, columns: int | None = None, directory: Path | None = None, input: str = "") -> Ran:
        """Run one line of a page: `NAME=value … python manage.py …`; on a terminal that is so wide, if it says so."""
        environ, words = self.parsed(command)
        if words[1:3] == ["-m", "pip"]:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            assert words[3:] == ["install", project["name"]]
            return Ran(command, 0, "")
        output = self._output()
        assert words[:2] == ["python", "manage.py"], f"this cannot be run here: {command}"
        terminal = {}
        if columns is not None:
            # It is the terminal that says how wide it is.
            environ = {name: value for name, value in environ.items() if name not in ("COLUMNS", "LINES")}
            environ["TERM"], terminal = "xterm-256color", {"columns": columns}
        answer = self._nursery.ask(
            directory=str(directory or self.directory),
            environ=environ,
            arguments=words[2:],
            output=str(output),
            input=input,
            **terminal,
        )
        return Ran(command, answer["code"], output.read_text())

    def serve(self, name: str, *, environ: Mapping[str, str], directory: Path) -> None:
        """Start Django's own server for a release, and wait until it answers."""
        port = free_port()
        log = self._output()
        answer = self._nursery.ask(
            directory=str(directory),
            environ={**self.environ, **environ},
            arguments=["runserver", f"127.0.0.1:{port}", "--noreload"],
            output=str(log),
            stay=True,
        )
        self.servers[name] = answer["pid"], port
        try:
            until(f"{name} answers", lambda: self.get(name, "/guard/ready/"))
        except TimedOut as error:
            raise TimedOut(f"{error}\n{log.read_text()}") from None

    def get(self, name: str, path: str) -> int:
        """The status of a request to a release's server; 0 where nothing answers."""
        try:
            return request(self.servers[name][1], "GET", path)[0]
        except OSError:
            return 0

    def stop(self, name: str) -> None:
        """Stop a server as Ctrl-C does."""
        self._nursery.ask(stop=self.servers.pop(name)[0], signal=int(signal.SIGINT))

    def close(self) -> None:
        """No server is left."""
        for pid, _ in self.servers.values():
            self._nursery.ask(stop=pid, signal=int(signal.SIGKILL))
        self.servers.clear()

    def parsed(self, command: str) -> tuple[dict[str, str], list[str]]:
        """A command's environment, and its words."""
        words = shlex.split(command, comments=True)
        environ = dict(self.environ)
        while words and re.match(r"[A-Z_]+=", words[0]):
            name, _, value = words.pop(0).partition("=")
            environ[name] = value
        return environ, words

    def _output(self) -> Path:
        return self.scratch / f"output-{next(self._outputs)}"


class Shop(Stage):
    """The sample shop on SQLite. Its servers and commands are of one release at a time, which a page changes."""

    def __init__(self, nursery: Nursery, scratch: Path) -> None:
        environ = {
            "DB_NAME": str(scratch / "shop.sqlite3"),
            "RELEASE": "r1",
            "LOG_LEVEL": "CRITICAL",
            # Nothing is lost because a machine is slow, and nothing beats between two commands because it is slower.
            "GUARD_LEASE": "3600",
        }
        super().__init__(nursery, scratch, SAMPLEAPP / "r1", environ)

    def write(self, block: Block) -> None:
        """Write a migration that a page shows, as far as its operations go, into a copy of the release's code."""
        found = re.match(r"# shop/migrations/(\w+)\.py\n", block.text)
        if found is None:
            return
        copied = self.scratch / "trees" / "next"
        if self.directory != copied:
            for source, name in ((SAMPLEAPP / "common", "common"), (self.directory, "next")):
                shutil.copytree(source, self.scratch / "trees" / name, ignore=shutil.ignore_patterns("__pycache__"))
            self.directory = copied
        migrations = copied / "shop" / "migrations"
        last = max(path.stem for path in migrations.glob("0*.py"))
        (migrations / f"{found[1]}.py").write_text(
            "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
            f"    dependencies = [('shop', {last!r})]\n" + textwrap.indent(block.text, "    ")
        )

    def directed(self, words: list[str]) -> None:
        """Do what a comment of a page says, behind the reader's back."""
        match words:
            case ["release", name]:
                self.directory = SAMPLEAPP / name
                self.environ["RELEASE"] = name
            case ["set", key, value]:
                self.environ[f"GUARD_{key}"] = value
            case ["serve", release, name]:
                self.serve(name, environ={"RELEASE": release}, directory=SAMPLEAPP / release)
            case ["stop", name]:
                self.stop(name)
            case ["vanish", name]:
                self._vanish(name)
            case ["was", release, kind, workload]:
                self._was(release, kind, workload)
            case ["later", hours]:
                self._later(float(hours) * 3_600)
            case ["get", name, path]:
                assert self.get(name, path) == 200
            case ["expect", name, path, status]:
                assert self.get(name, path) == int(status)
            case ["quietly", *command]:
                ran = self.run(shlex.join(command))
                assert ran.code == 0, ran
            case _:
                raise AssertionError(f"unknown: {words}")

    def _vanish(self, name: str) -> None:
        """End a server without a word, longer ago than its lease lasts."""
        self._nursery.ask(stop=self.servers.pop(name)[0], signal=int(signal.SIGKILL))
        with closing(sqlite3.connect(self.environ["DB_NAME"], timeout=20)) as connection, connection:
            connection.execute("UPDATE guard_instance SET renewed_at = 1, expires_at = 2 WHERE state = 'live'")

    def _was(self, release: str, kind: str, workload: str) -> None:
        """As if the servers of a release had been something else, which comes again."""
        with closing(sqlite3.connect(self.environ["DB_NAME"], timeout=20)) as connection, connection:
            connection.execute(
                "UPDATE guard_instance SET kind = ?, workload = ?, recurring = 1 "
                "WHERE release_label = ? AND kind = 'server'",
                [kind, workload, release],
            )

    def _later(self, seconds: float) -> None:
        """As if all that the ledger knows had happened so much earlier, and what runs now had gone on running."""
        with closing(sqlite3.connect(self.environ["DB_NAME"], timeout=20)) as connection, connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in (name for name in tables if name.startswith("guard_")):
                columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                for column in (name for name in columns if name == "at" or name.endswith("_at")):
                    running = table == "guard_instance" and column in ("renewed_at", "expires_at")
                    where = "WHERE state = 'gone'" if running else ""
                    connection.execute(f"UPDATE {table} SET {column} = {column} - ? {where}", [seconds])


def commands(block: Block) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output that the page shows."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and found[-1][0].endswith("\\"):
            command, output = found[-1]
            found[-1] = command[:-1] + " " + line.strip(), output
        else:
            assert found, f"line {block.line}: output without a command"
            found[-1][1].append(line)
    return [(command, "\n".join(output)) for command, output in found]


def difference(documented: str, real: str) -> str:
    """How what a page shows differs from what came; empty where it does not. `…` on a line of its own: something."""
    pattern = r"(.*)".join(re.escape(" ".join(settled(part))) for part in re.split(r"^ *…$", documented, flags=re.M))
    pattern = pattern.replace(r"(.*)", ".*")
    if re.fullmatch(pattern, " ".join(settled(real))):
        return ""
    return "\n".join(difflib.ndiff(documented.splitlines(), real.splitlines()))
