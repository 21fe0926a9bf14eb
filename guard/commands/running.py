"""Runs one verb; what goes wrong ends as one sentence and an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, OutputWrapper
from django.db import DatabaseError

from guard import conf
from guard.commands.call import Call, first_line
from guard.commands.exits import Exit
from guard.commands.verbs import VERBS
from guard.ledger.store import LedgerMissing
from guard.runtime import watch


def run(out: OutputWrapper, options: Mapping[str, Any]) -> None:
    """Run the verb that the options name. Raises CommandError with one of the exit codes."""
    call = Call(out, options)
    try:
        conf.strict()
        with watch.quiet():
            VERBS[options["action"]].run(call)
    except CommandError as error:
        if not call.away:
            raise
        raise CommandError("\n".join([str(error), *call.not_seen()]).strip(), returncode=error.returncode) from None
    except ImproperlyConfigured as mistake:
        raise CommandError(str(mistake), returncode=Exit.ERROR) from None
    except LedgerMissing as missing:
        raise CommandError(str(missing), returncode=Exit.ERROR) from None
    except DatabaseError as error:
        raise CommandError(f"The database refused: {first_line(error)}", returncode=Exit.ERROR) from error
    if call.away:
        raise CommandError("\n".join(call.not_seen()), returncode=Exit.ERROR)
