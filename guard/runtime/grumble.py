"""Logs a failure of guard's own at most once per minute: the runtime fails open, and not silently."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("guard")

#: Seconds between two log lines about the same kind of failure.
EVERY = 60.0

_last: dict[str, float] = {}


def grumble(kind: str, message: str, *args: object, traceback: bool = False) -> None:
    """Log a warning on "guard", unless one of this kind was logged within the last minute."""
    now = time.monotonic()
    last = _last.get(kind)
    if last is not None and now - last < EVERY:
        return
    _last[kind] = now
    logger.warning("guard: " + message, *args, exc_info=traceback)
