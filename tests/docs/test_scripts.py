"""Shell scripts of the pages run; what they call beside manage.py is stood in for, and is called as it allows.

A page's hidden comments bring the shop into the state that its script is for.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import CommandError, get_commands, load_command_class
from django.test import override_settings
from django.urls import include, path, resolve

from guard import conf
from tests.docs.pages import Block, Page, everything
from tests.docs.stage import Shop
from tests.docs.test_reference import COMMON, parser, verbs

#: Seconds after which a script hangs.
HANGS = 300

#: What stands in for programs of the places where the scripts are at home.
PROGRAMS = {
    # What it would start in a pod is run here.
    "kubectl": """\
case "$1 $2" in
  "get pods") echo pod/web-1 ;;
  "rollout status") echo 'deployment "shop" successfully rolled out' ;;
  "create job") while [ "$1" != -- ]; do shift; done; shift; exec "$@" ;;
  *) echo "kubectl $*: not foreseen" >&2; exit 64 ;;
esac""",
    # Like ssh it gives one string to the shell of the host, which is this one.
    "ssh": 'host=$1; shift; echo "on $host: $*"; exec sh -c "$*"',
    "sudo": 'exec "$@"',
    "systemctl": '[ "$1" = restart ] || { echo "systemctl $*: not foreseen" >&2; exit 64; }',
    "curl": 'case "$*" in *"--header Host: shop.example.com http://127.0.0.1:8000/guard/ready/") ;; *) exit 64 ;; esac',
}

PAGES = [
    page for page in everything() if any(block.info == "sh" and "manage.py" in block.text for block in page.blocks)
]


#: Asks this process to run manage.py, which does that without a new interpreter; see nursery.py.
PYTHON = """\
cd -P . && pwd > {place}/directory
cat > {place}/input
printf '%s\\n' "$@" > {place}/words
echo > {place}/asked
read code < {place}/answered
cat {place}/output
exit "$code"
"""


class Programs:
    """A directory for PATH, and who answers for `python` in it."""

    def __init__(self, place: Path, shop: Shop) -> None:
        self.place = place
        self._shop = shop
        texts = PROGRAMS | {"python": PYTHON.format(place=place)}
        if shutil.which("jq") is None:
            texts["jq"] = f"exec {sys.executable} -m json.tool"
        for name, text in texts.items():
            file = place / name
            file.write_text(f"#!/bin/sh\n{text}\n")
            file.chmod(0o755)
        for name in ("asked", "answered"):
            os.mkfifo(place / name)

    def answer(self) -> None:
        """Run what is asked for until nothing more can come."""
        while (self.place / "asked").read_text() == "\n":
            words = (self.place / "words").read_text().splitlines()
            ran = self._shop.run(
                shlex.join(["python", *words]),
                directory=Path((self.place / "directory").read_text().strip()),
                input=(self.place / "input").read_text(),
            )
            (self.place / "output").write_text(ran.output)
            (self.place / "answered").write_text(f"{ran.code}\n")

    def close(self) -> None:
        (self.place / "asked").write_text("over")


@pytest.fixture
def programs(shop: Shop, tmp_path: Path) -> Programs:
    directory = tmp_path / "bin"
    directory.mkdir()
    return Programs(directory, shop)


def run(shop: Shop, block: Block, programs: Programs) -> str:
    """What a script prints. Raises AssertionError where a line of it fails."""
    releases = shop.scratch / "srv" / "shop" / "releases"
    releases.mkdir(parents=True, exist_ok=True)
    mine = releases / shop.environ["RELEASE"]
    if not mine.exists():
        mine.symlink_to(shop.directory)
    answering = threading.Thread(target=programs.answer)
    answering.start()
    try:
        done = subprocess.run(
            ["sh", "-e", "-c", block.text.replace("/srv/", f"{shop.scratch}/srv/")],
            cwd=shop.directory,
            env=shop.environ | {"PATH": f"{programs.place}:{os.environ['PATH']}", "GIT_SHA": shop.environ["RELEASE"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANGS,
        )
    finally:
        programs.close()
        answering.join()
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"line {block.line}:\n{block.text}\n{said}"
    assert not re.search("CommandError|Traceback", said), said
    return said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_scripts_of_a_page_run(page: Page, shop: Shop, programs: Programs) -> None:
    console = any(block.info == "console" for block in page.blocks)
    for block in page.blocks:
        if block.info == "<!--" and block.text.startswith("stage: "):
            assert not console, f"{page.name}: its commands are run by test_examples, with the same comments"
            shop.directed(block.text.removeprefix("stage: ").split())
        elif block.info == "sh":
            run(shop, block, programs)


# What is not run


def blocks(info: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{page.name}:{block.line}")
        for page in everything()
        for block in page.blocks
        if block.info == info
    ]


def every(found: object, key: str) -> list[Any]:
    """The values of a key anywhere in a document."""
    if isinstance(found, dict):
        mine = [found[key]] if key in found else []
        return mine + [each for value in found.values() for each in every(value, key)]
    if isinstance(found, list):
        return [each for value in found for each in every(value, key)]
    return []


def call(words: list[str]) -> None:
    """Raises AssertionError where `manage.py` would not know these words."""
    assert words[:2] == ["python", "manage.py"], words
    try:
        if words[2] == "guard":
            parser().parse_args(words[3:])
        else:
            load_command_class(get_commands()[words[2]], words[2]).create_parser("manage.py", words[2]).parse_args(
                words[3:]
            )
    except (CommandError, SystemExit) as error:
        raise AssertionError(f"{' '.join(words)}: {error}") from None


urlpatterns = [path("guard/", include("guard.urls")), path("health/", lambda request: None)]


@pytest.mark.parametrize("block", blocks("yaml"))
def test_yaml_can_be_read_and_what_it_calls_is_there(block: Block) -> None:
    found = yaml.safe_load(block.text)

    assert isinstance(found, dict)
    for command in every(found, "command"):
        call(command)
    for variable in (each for listed in every(found, "env") for each in listed):
        assert variable["name"] in conf.RELEASE_VARIABLES
        # Everything else would be a number to YAML, now and then.
        assert isinstance(variable["value"], str)
    with override_settings(ROOT_URLCONF=__name__):
        for probe in every(found, "httpGet"):
            assert resolve(probe["path"])
            assert [header["name"] for header in probe["httpHeaders"]] == ["Host"]
    for kind in every(found, "kind"):
        assert (found["apiVersion"], kind) == ("batch/v1", "Job")
        assert found["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_what_a_host_runs_by_itself_can_be_called_so() -> None:
    found = [
        line.partition(": ")[2].split()
        for page in everything()
        for block in page.blocks
        if block.info == "text" and block.text.startswith("# Procfile")
        for line in block.text.splitlines()[1:]
    ]

    called = [words for words in found if words[0] == "python"]
    assert called
    for words in called:
        call(words)


#: Options of other programs that sentences name, with the program.
OF_OTHERS = {("gunicorn", "--preload"), ("make", "-j")}


def options(words: list[str]) -> set[str]:
    """The options that a command has; those that any has, where the words do not say which."""
    name = words[0]
    if name in verbs():
        return {text for action in verbs()[name]._actions for text in action.option_strings} | COMMON
    if name in get_commands() and name != "guard":
        made = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        return {text for action in made._actions for text in action.option_strings}
    return set()


#: Commands of Django's that these pages are about.
DJANGO = ("migrate", "makemigrations", "check", "sqlmigrate", "runserver")


@pytest.mark.parametrize("page", everything(), ids=lambda page: page.name)
def test_every_option_that_a_sentence_names_is_there(page: Page) -> None:
    anywhere = set().union(*(options([name]) for name in (*verbs(), *DJANGO)))
    for code in page.inline:
        # What follows a pipe is what it is about here.
        words = [word.strip("[]\\") for word in re.split(r"[\s|]+", code.rpartition("| ")[2])]
        named = {word for word in words if re.fullmatch(r"--[a-z][a-z-]*", word)}
        while words and words[0] in ("python", "manage.py", "guard", ""):
            words.pop(0)
        if not named or any((words[0], option) in OF_OTHERS for option in named):
            continue
        there = options(words) or (anywhere if words[0].startswith("--") else set())
        assert named <= there, f"{page.name}: {code}"


def test_the_pages_are_about_the_django_that_is_installed() -> None:
    # The parsers above are Django's own: with another set of apps there might be other commands of these names.
    assert settings.configured
    assert set(DJANGO) <= set(get_commands())
