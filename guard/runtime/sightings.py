"""What a process has seen touch slated columns and tables, counted in a bounded buffer until the ledger has it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guard import attribution
from guard.attribution.watchlist import Touch, Watched
from guard.ledger.rows import Glimpse
from guard.runtime import clock
from guard.runtime.grumble import grumble

#: What is waiting and what is being sent may each take this much: with the texts below, about 700 KB in all.
MAX_ENTRIES = 1_000
MAX_BYTES = 256_000
#: Characters kept of a statement's shape.
MAX_SHAPE = 2_000

# Statement texts whose entries are found again without working out their shape. Longer texts are not kept.
_MAX_TEXTS = 200
_MAX_TEXT = 1_000
# What an entry costs beside its strings (measured: object, key, dictionary slots), in bytes.
_OVERHEAD = 600


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a touch of one watched thing means for this release."""

    #: "app.name" of the migration that takes it away.
    migration: str
    #: The release has that migration, or does not declare the thing: a bug in the new code.
    stale: bool


class Entry:
    """A count of one kind of touch. Times are on `clock.steady`."""

    __slots__ = (
        "access",
        "call_site",
        "count",
        "first",
        "last",
        "meaning",
        "reason",
        "route",
        "shape",
        "star",
        "watched",
    )

    def __init__(self, touch: Touch, call_site: str, route: str, shape: str, meaning: Meaning, now: float) -> None:
        self.watched = touch.watched
        self.access = touch.access
        self.reason = touch.reason
        self.star = touch.star
        self.call_site = call_site
        self.route = route
        self.shape = shape
        self.meaning = meaning
        self.count = 1
        self.first = self.last = now

    @property
    def size(self) -> int:
        """About how many bytes it holds on to."""
        return _OVERHEAD + len(self.call_site) + len(self.route) + 2 * len(self.shape) + len(self.reason)

    def glimpse(self, now: float) -> Glimpse:
        return Glimpse(
            table=self.watched.table,
            column=self.watched.column,
            access=self.access,
            call_site=self.call_site,
            route=self.route,
            shape=self.shape,
            reason=self.reason,
            star=self.star,
            count=self.count,
            first_age=max(0.0, now - self.first),
            last_age=max(0.0, now - self.last),
            stale=self.meaning.stale,
            migration=self.meaning.migration,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries that go to the ledger under one number, as often as it takes until it answers."""

    number: int
    entries: tuple[Entry, ...]

    def glimpses(self, now: float) -> tuple[Glimpse, ...]:
        """What to send, with ages measured at this moment (`clock.steady`)."""
        return tuple(entry.glimpse(now) for entry in self.entries)


class Sightings:
    """The buffer of one process for one ledger. Used by every thread; holds its lock for microseconds."""

    def __init__(self) -> None:
        #: Django's `connection.vendor` of the statements that come; more of their shape can be shown where it is known.
        self.vendor = ""
        # Reentrant: a finaliser that the garbage collector runs under the lock may itself execute a statement.
        self._lock = threading.RLock()
        self._open: dict[tuple[str, ...], Entry] = {}
        self._bytes = 0
        self._texts: dict[tuple[str, str, str], tuple[Sequence[Touch], tuple[Entry, ...]]] = {}
        self._batch: Batch | None = None
        self._number = 0
        self._half = False
        self._full = False
        #: Touches that were counted without their details, and not counted at all, since the process began.
        self.coarse = 0
        self.dropped = 0

    def __len__(self) -> int:
        """Entries that the ledger does not have yet."""
        with self._lock:
            return len(self._open) + (len(self._batch.entries) if self._batch else 0)

    def add(
        self,
        sql: object,
        touches: Sequence[Touch],
        call_site: str,
        route: str,
        meaning: Callable[[Watched], Meaning],
    ) -> bool:
        """Count what a statement touched. Returns whether the ledger should hear of it soon: a stale touch that has not
        been seen since the last flush, or a buffer that is half full.
        """
        now = clock.steady()
        key = None
        if type(sql) is str and len(sql) <= _MAX_TEXT:
            key = (sql, call_site, route)
            with self._lock:
                known = self._texts.get(key)
                if known is not None and known[0] == touches:
                    for entry in known[1]:
                        entry.count += 1
                        entry.last = now
                    return False
        shape = shape_of(sql, self.vendor)
        news = False
        with self._lock:
            entries = []
            for touch in touches:
                counted, new = self._count(touch, call_site, route, shape, meaning, now)
                if counted is not None:
                    entries.append(counted)
                    news = news or (new and counted.meaning.stale)
            if key is not None:
                if len(self._texts) >= _MAX_TEXTS:
                    self._texts.clear()
                self._texts[key] = (touches, tuple(entries))
            if news or 2 * self._bytes < MAX_BYTES or self._half:
                return news
            self._half = True
            return True

    def batch(self) -> Batch:
        """What to send next: the batch that was not acknowledged yet, else a new one, else an empty one."""
        with self._lock:
            if self._batch is None:
                if not self._open:
                    return Batch(self._number, ())
                self._number += 1
                self._batch = Batch(self._number, tuple(self._open.values()))
                self._open, self._bytes, self._half = {}, 0, False
                # The texts lead to entries that must not change any more.
                self._texts.clear()
            return self._batch

    def flushed(self, batch: Batch) -> None:
        """The ledger has the batch."""
        with self._lock:
            if self._batch is batch:
                self._batch = None
            self._full = False

    def _count(
        self,
        touch: Touch,
        call_site: str,
        route: str,
        shape: str,
        meaning: Callable[[Watched], Meaning],
        now: float,
    ) -> tuple[Entry | None, bool]:
        watched = touch.watched
        key = (watched.table, watched.column, touch.access, call_site, route, shape)
        entry = self._open.get(key)
        if entry is None and self._crowded():
            # That something was touched is what the gate must know; where and how is what can be given up.
            self.coarse += 1
            call_site = route = shape = ""
            key = (watched.table, watched.column, touch.access, "", "", "")
            entry = self._open.get(key)
            if entry is None and len(self._open) >= 2 * MAX_ENTRIES:
                self.dropped += 1
                return None, False
        if entry is not None:
            entry.count += 1
            entry.last = now
            return entry, False
        entry = Entry(touch, call_site, route, shape, meaning(watched), now)
        self._open[key] = entry
        self._bytes += entry.size
        return entry, True

    def _crowded(self) -> bool:
        if len(self._open) < MAX_ENTRIES and self._bytes < MAX_BYTES:
            return False
        if not self._full:
            self._full = True
            grumble(
                "buffer",
                "the buffer of sightings is full (%d kinds, %d bytes): further touches are counted without their call "
                "site until the ledger can be reached.",
                len(self._open),
                self._bytes,
            )
        return True


def shape_of(sql: object, vendor: str = "") -> str:
    """The statement with its literals removed, cut to what a sighting keeps; never raises."""
    try:
        return attribution.shape(sql, vendor)[:MAX_SHAPE]
    except Exception:
        return f"(a {type(sql).__name__} that could not be read)"
