"""How long ago something was, for a process that may have been stopped, suspended or given another time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

# The monotonic clock stands still while Linux is suspended; this one does not.
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at every clock, in seconds."""

    monotonic: float
    boot: float
    wall: float

    def elapsed(self, now: Reading) -> float:
        """Seconds from this reading to a later one, by the clock that counted most."""
        return max(now.monotonic - self.monotonic, now.boot - self.boot, now.wall - self.wall)

    def age(self) -> float:
        """Seconds from this reading to now, by the clock that counted most."""
        return max(time.monotonic() - self.monotonic, steady() - self.boot, time.time() - self.wall)


#: Seconds on the steadiest clock that also counts suspended time.
steady: Callable[[], float] = time.monotonic if _BOOTTIME is None else partial(time.clock_gettime, _BOOTTIME)


def read() -> Reading:
    """Look at every clock now."""
    return Reading(time.monotonic(), steady(), time.time())
