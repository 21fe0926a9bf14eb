"""Runs one verb; what goes wrong ends as one sentence and an exit code, never as a traceback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, OutputWrapper
from django.db import DatabaseError
from django.db.migrations.exceptions import BadMigrationError, InconsistentMigrationHistory, NodeNotFoundError

from guard import conf
from guard.commands.call import Call, first_line
from guard.commands.exits import Exit
from guard.commands.verbs import VERBS
from guard.gate.targets import Ambiguous
from guard.ledger import protocol
from guard.ledger.connecting import WrongDriver
from guard.ledger.tables import Conflict, LedgerMissing
from guard.runtime import watch


def run(out: OutputWrapper, options: Mapping[str, Any]) -> None:
    """Run the verb that the options name. Raises CommandError with one of the exit codes."""
    call = Call(out, options)
    try:
        with _sentences():
            if options["action"] != "doctor":
                # Which is there to say what is wrong with them.
                conf.strict()
            with watch.quiet():
                VERBS[options["action"]].run(call)
    except CommandError as error:
        if not call.away:
            raise
        raise CommandError("\n".join([str(error), *call.not_seen()]).strip(), returncode=error.returncode) from None
    finally:
        call.screen.close()
    if call.away:
        raise CommandError("\n".join(call.not_seen()), returncode=Exit.ERROR)


@contextmanager
def _sentences() -> Iterator[None]:
    """What may go wrong outside of guard, as CommandError."""
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError(
            "Interrupted. What was taken stays taken, the rest is as it was; run the command again to go on.",
            returncode=Exit.ERROR,
        ) from None
    except (ImproperlyConfigured, WrongDriver, LedgerMissing, protocol.ProtocolError, Conflict) as error:
        raise CommandError(str(error), returncode=Exit.ERROR) from None
    except Ambiguous as error:
        raise CommandError(str(error), returncode=Exit.USAGE) from None
    except (NodeNotFoundError, BadMigrationError, InconsistentMigrationHistory) as error:
        raise CommandError(f"The migrations cannot be read: {first_line(error)}", returncode=Exit.ERROR) from None
    except CommandError:
        raise
    except DatabaseError as error:
        raise CommandError(
            f"The database refused: {first_line(error).rstrip('.')}. What was done before that stands. "
            "`manage.py guard doctor` looks for what is wrong; then run the command again.",
            returncode=Exit.ERROR,
        ) from error
    except Exception as error:
        raise CommandError(
            f"guard met what it does not know: {type(error).__name__}: {first_line(error).rstrip('.')}. What was done "
            "before that stands. The same command with --traceback says where; please report that.",
            returncode=Exit.ERROR,
        ) from error
