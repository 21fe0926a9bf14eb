"""`manage.py guard freeze`."""

from __future__ import annotations

from argparse import ArgumentParser

from guard.commands import ordering
from guard.commands.call import Call
from guard.gate.orders import Desk, Done

HELP = "Take nothing until a moment."


def add_arguments(parser: ArgumentParser) -> None:
    when = parser.add_mutually_exclusive_group(required=True)
    when.add_argument("--until", metavar="WHEN", help="90m, 2h, 3d, or an ISO date and time.")
    when.add_argument("--end", action="store_true", help="End the freeze now.")
    parser.add_argument("--reason", required=True, help=ordering.REASON)


def run(call: Call) -> None:
    options = call.options

    def order(desk: Desk) -> Done:
        if options["end"]:
            return desk.thaw(reason=options["reason"])
        return desk.freeze(until=options["until"], reason=options["reason"])

    ordering.give(call, order)
