"""`manage.py guard withdraw`."""

from __future__ import annotations

from argparse import ArgumentParser

from guard.commands import ordering
from guard.commands.call import Call

HELP = "Give up a contract step: the column stays."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="TABLE.COLUMN")
    parser.add_argument("--reason", required=True)


def run(call: Call) -> None:
    ordering.give(call, lambda desk: desk.withdraw(call.options["target"], reason=call.options["reason"]))
