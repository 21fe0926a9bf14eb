"""One call of `manage.py guard`: its options, the databases that it concerns, and its output."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from django.core.management.base import CommandError, OutputWrapper
from django.db import DatabaseError, connections

from guard.commands import answers
from guard.commands.exits import Exit
from guard.commands.screen import Screen, is_fancy
from guard.gate import contract
from guard.ledger import connecting
from guard.ledger.tables import LedgerMissing


class Call:
    """What a verb is given to work with."""

    def __init__(self, out: OutputWrapper, options: Mapping[str, Any]) -> None:
        self.options = {name: _text(value) for name, value in options.items()}
        self.screen = Screen(out, fancy=is_fancy(out, options, os.environ))
        #: Of several databases, those that could not be looked at, and why.
        self.away: dict[str, str] = {}
        self._several = False

    @property
    def json(self) -> bool:
        """Whether the output is for machines."""
        return bool(self.options["json"])

    def aliases(self) -> tuple[str, ...]:
        """The databases that this call is about. Raises CommandError where there are none."""
        database: str | None = self.options["database"]
        if database is None:
            found = connecting.guarded_aliases()
            if not found:
                raise CommandError("No database is guarded: see `manage.py check --deploy`.", returncode=Exit.ERROR)
            self._several = len(found) > 1
            return found
        if database not in connections.settings:
            raise CommandError(f"There is no database {database!r} in DATABASES.", returncode=Exit.USAGE)
        return (database,)

    @contextmanager
    def gate(self, alias: str) -> Iterator[contract.Contractor | None]:
        """The gate of a database; None where it is one of several, and cannot be looked at: the others go on."""
        with ExitStack() as stack:
            gate: contract.Contractor | None = None
            try:
                gate = stack.enter_context(contract.contractor(alias))
                if not gate.ledger.exists():
                    raise LedgerMissing(
                        f"Database {alias} has no ledger yet, so guard knows nothing of it: run "
                        f"`manage.py migrate --database {alias}`."
                    )
            except (DatabaseError, LedgerMissing) as error:
                if not self._several:
                    raise
                self.away[alias] = first_line(error)
                gate = None
            else:
                # It may have come back since `contract --wait` last looked.
                self.away.pop(alias, None)
            yield gate

    def gates(self, *, settle: bool = True) -> Iterator[contract.Contractor]:
        """The gate of each database that can be looked at, one after the other; what was left behind is settled."""
        for alias in self.aliases():
            with self.gate(alias) as gate:
                if gate is None:
                    continue
                if settle:
                    gate.settle()
                yield gate

    def not_seen(self) -> list[str]:
        """What to say of the databases that could not be looked at."""
        return [
            # What speaks of the database already says which.
            f"Database {alias} was left out: {why.replace(f'Database {alias} ', 'it ', 1)}"
            for alias, why in sorted(self.away.items())
        ]

    def say(self, line: str) -> None:
        """One line for people."""
        self.screen.line(line)

    def answer(self, data: Mapping[str, Any]) -> None:
        """The whole output, for machines."""
        self.screen.text(json.dumps({"version": answers.VERSION, **data}, indent=2, sort_keys=True))


def _text(value: Any) -> Any:
    """What was typed, as text that a database can take: bytes that are none have stand-ins in Python's strings."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_text(each) for each in value]
    return value


def first_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def unknown(target: str, known: set[str]) -> CommandError:
    """Nothing that an operator can have meant."""
    if not known:
        return CommandError(f"There is no contract step for {target}: nothing waits here.", returncode=Exit.USAGE)
    listed = sorted(known)
    more = ""
    if len(listed) > _LISTED:
        near = difflib.get_close_matches(target, listed, n=_LISTED, cutoff=0.0)
        listed, more = sorted(near), f", and {len(listed) - len(near):,} more: manage.py guard status --json"
    return CommandError(
        f"There is no contract step for {target}. There are: {', '.join(listed)}{more}.", returncode=Exit.USAGE
    )


#: Names that a mistaken one is answered with.
_LISTED = 10
