"""`manage.py guard adopt`."""

from __future__ import annotations

from argparse import ArgumentParser

from guard.commands import ordering
from guard.commands.call import Call

HELP = "In a clone of another environment: make the ledger this environment's own."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--reason", required=True, help=ordering.REASON)


def run(call: Call) -> None:
    ordering.give(call, lambda desk: desk.adopt(reason=call.options["reason"]))
