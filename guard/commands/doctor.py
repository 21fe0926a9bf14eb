"""`manage.py guard doctor`."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import CommandError

from guard.commands import examine
from guard.commands.call import Call
from guard.commands.examine import Examined, State
from guard.commands.exits import Exit
from guard.commands.screen import Screen
from guard.gate import messages

HELP = "Look at the whole set-up, and say what to mend."

_MARKS = {State.GOOD: ("ok", "good"), State.MEND: ("MEND", "bad"), State.NOTE: ("note", "waits")}


def add_arguments(parser: ArgumentParser) -> None:
    """None of its own."""


def run(call: Call) -> None:
    """Say what was found. Raises CommandError where something is to be mended."""
    found = list(examine.process())
    for alias in call.aliases():
        found += examine.database(alias)
    bad = [one for one in found if one.state is State.MEND]
    if call.json:
        call.answer(
            {
                "healthy": not bad,
                "examined": [
                    {
                        "database": one.database or None,
                        "name": one.name,
                        "state": one.state.value,
                        "says": one.says,
                        "mend": one.mend or None,
                        "paste": one.paste or None,
                    }
                    for one in found
                ],
            }
        )
    else:
        where = ""
        for one in found:
            if one.database != where:
                where = one.database
                call.screen.line(f"Database {where}", style="title")
            _show(call.screen, one)
    if bad:
        raise CommandError(
            f"{messages.count(len(bad), 'thing')} to mend: {', '.join(dict.fromkeys(one.name for one in bad))}.",
            returncode=Exit.ERROR,
        )
    if not call.json:
        call.screen.line("Nothing to mend.", style="good")


def _show(screen: Screen, one: Examined) -> None:
    mark, style = _MARKS[one.state]
    screen.line(f"{mark:<4}  {one.name}: {one.says}", style="" if one.state is State.GOOD else style)
    if one.mend:
        screen.line(one.mend, indent=6)
    if one.paste:
        screen.text(f"          {one.paste}")
