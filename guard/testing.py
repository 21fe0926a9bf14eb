"""For projects' test suites."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from guard import conf
from guard.runtime import watch
from guard.runtime.watch import StaleAccessError

__all__ = ["StaleAccessError", "on_stale_access"]


@contextmanager
def on_stale_access(what: str) -> Iterator[None]:
    """Do as if GUARD["ON_STALE_ACCESS"] were this, "record" or "raise": a context manager, and a decorator for a test.

    In every thread of the process. Raises ValueError for anything else.
    """
    said = conf.OnStaleAccess(what)
    watch.on_stale_access.append(said)
    try:
        yield
    finally:
        watch.on_stale_access.remove(said)
