"""The reference names everything that there is, and nothing else."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from django.core.management.base import CommandError
from django.dispatch import Signal

import guard
from guard import alerts, conf, signals
from guard.commands.exits import Exit
from guard.management.commands.guard import Command
from tests.docs.pages import ROOT, Page, everything

UNITS = {"ms": 0.001, "s": 1, "h": 3_600, "d": 86_400}


def page(name: str) -> Page:
    return Page(ROOT / "docs" / name)


def rows(page: Page) -> dict[str, tuple[str, ...]]:
    """The tables of a page: the first cell, without its backticks → the others."""
    found = {}
    for line in re.findall(r"^\| `.*\|$", page.text, re.MULTILINE):
        first, *others = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        found[first.strip("`")] = tuple(others)
    return found


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {key: cells[0] for key, cells in rows(page("settings.md")).items() if key.isupper()}

    defaults = {field.name.upper(): getattr(conf.Config(), field.name) for field in dataclasses.fields(conf.Config)}
    assert list(documented) == list(defaults)
    for key, text in documented.items():
        if key != "MODE":
            assert _default(text) == (defaults[key] or None), key


def _default(text: str) -> object:
    if text == "none":
        return None
    if found := re.fullmatch(r"([\d.]+) (\w+)", text):
        return float(found[1]) * UNITS[found[2]]
    return text.strip('`"') if text.startswith("`") else float(text)


def test_every_variable_that_names_a_release_is_documented_in_order() -> None:
    found = re.search(r"^## Where a release's label comes from$(.+?)^## ", page("settings.md").text, re.M | re.S)

    assert found is not None
    assert re.findall(r"`([A-Z0-9_]+)`", found[1]) == list(conf.RELEASE_VARIABLES)


def test_every_signal_is_documented_with_its_event_and_all_of_its_fields() -> None:
    documented = {name: cells[0] for name, cells in rows(page("alerts.md")).items()}

    there = {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    assert set(documented) == there
    for event, signal in alerts._SIGNALS.items():
        (name,) = (name for name in there if getattr(signals, name) is signal)
        fields = ", ".join(field.name for field in dataclasses.fields(event))
        assert documented[name] == f"`guard.events.{event.__name__}`: {fields}"


@cache
def parser() -> argparse.ArgumentParser:
    return Command().create_parser("manage.py", "guard")


@cache
def verbs() -> dict[str, argparse.ArgumentParser]:
    (actions,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(actions.choices)


#: Options that each verb has; they are documented once.
COMMON = {"-h", "--help", "--version", "--settings", "--pythonpath", "--traceback", "--no-color", "--force-color"} | {
    *("-v", "--verbosity", "--skip-checks", "--database", "--json")
}


def test_every_verb_is_documented_with_all_of_its_options() -> None:
    text = page("commands.md").text
    documented = {name.split()[0]: name for name in rows(page("commands.md")) if name.split()[0] in verbs()}

    assert set(documented) == set(verbs())
    for verb, sub in verbs().items():
        options = {text for action in sub._actions for text in action.option_strings} - COMMON
        assert set(re.findall(r"--[a-z-]+", documented[verb])) == options, verb
    assert "--database" in text
    assert "--json" in text


def called(line: str) -> list[str] | None:
    """The arguments of a `manage.py guard …` in a line."""
    found = re.search(r"manage\.py guard ([^|;&>]*)", line)
    return shlex.split(found[1], comments=True) if found else None


@pytest.mark.parametrize("page", everything(), ids=lambda page: page.name)
def test_every_command_that_a_page_shows_can_be_called_so(page: Page) -> None:
    for line in page.commands:
        arguments = called(line)
        if arguments is not None:
            try:
                parser().parse_args(arguments)
            except (CommandError, SystemExit) as error:
                pytest.fail(f"{line}: {error}")


@pytest.mark.parametrize("page", everything(), ids=lambda page: page.name)
def test_every_verb_and_option_that_a_sentence_names_is_there(page: Page) -> None:
    for words in (found[1].split() for code in page.inline if (found := re.match(r"(?:manage\.py )?guard (.+)", code))):
        if words == ["--help"]:
            continue
        assert words[0] in verbs(), words
        there = {text for action in verbs()[words[0]]._actions for text in action.option_strings}
        assert {word for word in words if word.startswith("--")} <= there | COMMON, words


def test_every_command_that_a_message_names_is_there() -> None:
    for path in Path(guard.__file__).parent.rglob("*.py"):
        for verb in re.findall(r"manage\.py guard ([a-z]+)", path.read_text()):
            assert verb in verbs(), f"{path}: {verb}"


def test_every_exit_code_is_documented_with_what_it_means() -> None:
    documented = dict(re.findall(r"^\| (\d+) \| (.+?) \| ", page("commands.md").text, re.MULTILINE))

    assert documented == {str(int(code)): code.meaning for code in Exit}
