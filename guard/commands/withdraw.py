"""`manage.py guard withdraw`."""

from __future__ import annotations

from argparse import ArgumentParser

from guard.commands import ordering
from guard.commands.call import Call

HELP = "Keep a column or table that waits to be taken away, or bring it back: its contract step is given up."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="TABLE.COLUMN", help="As `manage.py guard status` names it.")
    parser.add_argument("--reason", required=True, help=ordering.REASON)


def run(call: Call) -> None:
    ordering.give(call, lambda desk: desk.withdraw(call.options["target"], reason=call.options["reason"]))
