"""`manage.py guard status`."""

from __future__ import annotations

from argparse import ArgumentParser

from guard.commands.call import Call
from guard.gate import status

HELP = "Instances, and contract steps with what each waits for."


def add_arguments(parser: ArgumentParser) -> None:
    """No arguments of its own."""


def run(call: Call) -> None:
    """Say what each database has."""
    views = [status.database_view(gate) for gate in call.gates()]
    if call.json:
        call.answer({"databases": views})
        return
    for view in views:
        for line in status.status_lines(view, several=len(views) > 1):
            call.say(line)
