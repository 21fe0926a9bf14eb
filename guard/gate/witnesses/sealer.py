"""Is the session still there that sealed a step? What each vendor can prove of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from guard.ledger import rows

#: Seconds after which a seal counts as left behind where the token is read again in the DDL's own transaction, so that
#: a taker that comes back late finds its seal gone and does nothing.
_TRANSACTIONAL_PATIENCE = {"sqlite": 10.0, "postgresql": 60.0}

#: In no zone: two processes may have different ones. In microseconds.
_STARTED = "(EXTRACT(EPOCH FROM backend_start) * 1000000)::bigint::text"

#: Seconds for which another host may be at work on a whole migration on SQLite, where nothing tells of its process.
_FOREIGN_HOST_PATIENCE = 3_600.0


def _fetch_one(connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
    return row[0] if row else None


def sign(connection: BaseDatabaseWrapper, token: str) -> str:
    """Make this session recognisable as the token's holder, and say how it can be recognised."""
    if connection.vendor == "postgresql":
        return str(
            _fetch_one(
                connection,
                f"SELECT pid || ' ' || {_STARTED} FROM pg_stat_activity WHERE pid = pg_backend_pid()",
                [],
            )
        )
    if connection.vendor == "mysql":
        name = f"guard:{token}"
        _fetch_one(connection, "SELECT GET_LOCK(%s, 0)", [name])
        return name
    return f"{socket.gethostname()} {os.getpid()}"


def release(connection: BaseDatabaseWrapper, token: str) -> None:
    """Give up what `sign` took."""
    if connection.vendor == "mysql":
        _fetch_one(connection, "SELECT RELEASE_LOCK(%s)", [f"guard:{token}"])


def left_behind(connection: BaseDatabaseWrapper, step: rows.Step, now: float) -> bool:
    """Whether the seal's taker can no longer act: its session is closed, or it would find the seal gone.

    A migration that runs whole looks at no token: only the end of its session proves that it does not go on.
    """
    age = now - (step.sealed_at or 0.0)
    whole = step.kind is rows.StepKind.MIGRATION
    if connection.vendor == "mysql":
        # DDL commits by itself here, so nothing but the session's end proves that none will come.
        return _fetch_one(connection, "SELECT IS_USED_LOCK(%s)", [step.sealer]) is None
    if not whole and age >= _TRANSACTIONAL_PATIENCE[connection.vendor]:
        return True
    if connection.vendor == "postgresql":
        pid, _, started = step.sealer.partition(" ")
        # Of another role's session all but its pid may be hidden: then it counts as there.
        found = _fetch_one(
            connection,
            f"SELECT 1 FROM pg_stat_activity WHERE pid::text = %s AND COALESCE({_STARTED}, %s) = %s",
            [pid, started, started],
        )
        return found is None
    host, _, pid = step.sealer.rpartition(" ")
    if host != socket.gethostname() or not pid.isdigit():
        return age >= _FOREIGN_HOST_PATIENCE
    return not _runs(int(pid))


def _runs(pid: int) -> bool:
    if pid == os.getpid():
        # A process takes one step at a time, and settles before it: this seal is of another one that had the number.
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # Somebody else's process, or a system that does not tell.
        return True
    return True
