"""Calls `manage.py guard` in this process, and holds its JSON against the schema that is shipped."""

from __future__ import annotations

import dataclasses
import json
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
from django.core.management import CommandError, call_command
from django.test import override_settings

import guard
from guard.commands import schema
from tests.integration.ledger.harness import Place

SCHEMAS = Path(guard.__file__).parent / "commands" / "schemas"

#: No window lasts: what decides is who is there.
WINDOWS: dict[str, object] = {
    "RELEASE": "r2",
    "MODE": "off",
    "LOST_GRACE": 0,
    "QUIET_PERIOD": 0,
    "ROLLBACK_WINDOW": 0,
    "ADOPTION_PERIOD": 0,
    "WORKLOAD_WINDOW": 0,
    "KEEP_FOR": 600,
    "LOCK_PATIENCE": 10,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What a call said, and how it ended."""

    out: str
    err: str
    code: int

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def call(place: Place, *args: str, **guard_setting: object) -> Said:
    """`manage.py guard ARGS --database …`."""
    out = StringIO()
    with override_settings(GUARD=WINDOWS | guard_setting):
        try:
            call_command("guard", *args, "--database", place.alias, stdout=out)
        except CommandError as error:
            return Said(out.getvalue(), str(error), error.returncode)
    return Said(out.getvalue(), "", 0)


def answer(place: Place, verb: str, *args: str, code: int = 0, **guard_setting: object) -> Any:
    """What it says with --json: exactly what its schema allows."""
    said = call(place, verb, *args, "--json", **guard_setting)
    assert said.code == code, said
    found = json.loads(said.out)
    validate(verb, found)
    return found


def validate(verb: str, found: object) -> None:
    """Raises jsonschema.ValidationError where the schema says otherwise, or does not name a key."""
    jsonschema.validate(
        found,
        schema.closed(json.loads((SCHEMAS / f"{verb}.json").read_text())),
        cls=jsonschema.Draft202012Validator,
    )
