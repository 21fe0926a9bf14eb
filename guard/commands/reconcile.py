"""`manage.py guard reconcile`."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from pathlib import Path

from django.core.management.base import CommandError

from guard.commands import ordering
from guard.commands.call import Call
from guard.commands.exits import Exit

HELP = "End lost instances whose host an orchestrator does not list any more."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--alive",
        required=True,
        metavar="FILE",
        help="Names, as of `kubectl get pods -o name`; -: standard input.",
    )
    parser.add_argument("--reason", default="not in the list of what is alive", help=ordering.REASON)


def run(call: Call) -> None:
    names, age = _alive(call.options["alive"])
    ordering.give(call, lambda desk: desk.reconcile(names, age=age, reason=call.options["reason"]))


def _alive(file: str) -> tuple[list[str], float]:
    """The names in a list, and its age in seconds. Raises CommandError where it cannot be read."""
    try:
        if file == "-":
            return sys.stdin.read().split(), 0.0
        path = Path(file)
        return path.read_text().split(), max(0.0, time.time() - path.stat().st_mtime)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CommandError(
            f"The list {file} cannot be read: {why}. Give a file of names, or `-` for standard input.",
            returncode=Exit.USAGE,
        ) from None
