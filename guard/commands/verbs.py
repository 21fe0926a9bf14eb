"""Every verb by its name, and the arguments that they share."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Protocol

from guard.commands import (
    adopt,
    allow,
    contract,
    doctor,
    forget,
    freeze,
    instances,
    lint,
    log,
    reconcile,
    restore,
    sightings,
    status,
    why,
    withdraw,
)
from guard.commands.call import Call


class Verb(Protocol):
    """What the module of a verb has."""

    HELP: str

    def add_arguments(self, parser: ArgumentParser) -> None: ...

    def run(self, call: Call) -> None: ...


#: In the order in which `manage.py guard --help` lists them.
VERBS: Mapping[str, Verb] = {
    "status": status,
    "why": why,
    "contract": contract,
    "restore": restore,
    "withdraw": withdraw,
    "allow": allow,
    "forget": forget,
    "reconcile": reconcile,
    "freeze": freeze,
    "adopt": adopt,
    "instances": instances,
    "sightings": sightings,
    "log": log,
    "lint": lint,
    "doctor": doctor,
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add every verb to the command's parser."""
    verbs: Any = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, verb in VERBS.items():
        added = verbs.add_parser(name, help=verb.HELP, description=verb.HELP)
        added.add_argument("--database", help="Look at this database only (default: every guarded one).")
        added.add_argument("--json", action="store_true", help="Print JSON for machines.")
        verb.add_arguments(added)
