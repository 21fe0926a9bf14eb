"""Locks that are not to be had in time, and trying again: never sooner than the application needs, never for ever."""

from __future__ import annotations

import random
from collections.abc import Iterator

from django.db import DatabaseError

#: Seconds between two tries at first, and at most.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


def is_timeout(error: BaseException) -> bool:
    """Whether a database error says that a lock was not to be had in time."""
    if not isinstance(error, DatabaseError):
        return False
    # The driver's own error stands behind Django's, at one or the other end.
    for cause in (error, error.__cause__, error.__context__):
        # psycopg 3 and psycopg 2 name it differently.
        if (getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)) in ("55P03", "40P01"):
            return True
    if error.args and error.args[0] in (1205, 1213):
        return True
    return "database is locked" in str(error) or "database table is locked" in str(error)


def pauses() -> Iterator[float]:
    """Seconds to wait before each further try, without end: longer each time, and never the same for two takers."""
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1.5)
        pause = min(pause * 2, LONGEST_PAUSE)
