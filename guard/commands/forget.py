"""`manage.py guard forget`."""

from __future__ import annotations

from argparse import ArgumentParser

from guard.commands import ordering
from guard.commands.call import Call

HELP = "Take a lost instance for gone, or a command for one that does not run any more."


def add_arguments(parser: ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("instance", nargs="?", metavar="INSTANCE", help="Its id, or HOST:PID.")
    which.add_argument("--all-lost", action="store_true", help="Every instance that is lost now.")
    which.add_argument("--workload", metavar="NAME", help="For example command:report.")
    parser.add_argument("--reason", required=True, help=ordering.REASON)


def run(call: Call) -> None:
    options = call.options
    ordering.give(
        call,
        lambda desk: desk.forget(
            instance=options["instance"] or "",
            all_lost=options["all_lost"],
            workload=options["workload"] or "",
            reason=options["reason"],
        ),
    )
