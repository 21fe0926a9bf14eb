"""The heartbeat: one thread that beats every third of a lease, or the requests themselves where no thread can run."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable

from django.db import connections

from guard.runtime.grumble import grumble

#: Seconds between two beats, however often somebody wakes it.
SHORTEST = 1.0
#: Seconds that a clean stop may take.
FAREWELL = 2.0


class Heart:
    """Calls `beat` every `interval()` seconds, from a daemon thread of its own once it is started.

    `beat`, `farewell` and `ride` must not raise. A beat that is due soon is made by `ride`, at the end of a request,
    where that returns True. A process in which no thread can be started, or in which threads do not run
    (uWSGI without `enable-threads`), beats from `attend`, which requests call at their end.
    """

    def __init__(
        self,
        beat: Callable[[], None],
        farewell: Callable[[], None],
        interval: Callable[[], float],
        ride: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ride = ride
        # The beat for which a ride was tried, by when it is due.
        self._tried = 0.0
        self._beat = beat
        self._farewell = farewell
        self._interval = interval
        self._starting = threading.Lock()
        self._beating = threading.Lock()
        # Rung by signal handlers, and by finalisers that the garbage collector runs: an Event that is being set in the
        # frame below would never let them go on. A queue of this kind does, and flags need no lock.
        # Made with the thread: after the fork, and after whatever has replaced threads by then (gevent).
        self._bell: queue.SimpleQueue[None] | None = None
        self._woken = False
        self._stopped = False
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._threads = True
        self._next = 0.0
        self._last = 0.0
        #: How many beats were made; the evidence that it beats at all.
        self.beats = 0

    def start(self) -> None:
        """Start the thread, unless it runs. The first beat comes after one interval."""
        with self._starting:
            if self._stopped or not self._threads or (self._thread is not None and self._thread.is_alive()):
                return
            self._schedule()
            self._bell = queue.SimpleQueue()
            thread = threading.Thread(target=self._run, name="guard-heartbeat", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # Out of threads, or the interpreter is about to end.
                self._threads = False
                grumble("thread", "no thread can be started in this process: it beats at the end of requests.")
                return
            self._thread = thread

    def wake(self) -> None:
        """Beat soon: now, or a second after the last beat. May be called from anywhere."""
        if not self._woken:
            self._woken = True
            self._ring()

    def attend(self) -> None:
        """See to it that the heart beats: restart a thread that died, beat in this thread where it is overdue."""
        if self._stopped:
            return
        if self._threads and (self._thread is None or not self._thread.is_alive()):
            self.start()
        now = time.monotonic()
        overdue = now > self._next + self._interval() / 2 if self._threads else now >= self._next
        if overdue or (not self._threads and self._woken and now >= self._last + SHORTEST):
            self._one()
        elif self._tried != self._next and now >= self._next - self._interval() / 3 and not self._woken:
            self._try_ride()

    def _try_ride(self) -> None:
        if not self._beating.acquire(blocking=False):
            return
        try:
            self._tried = self._next
            if self._ride():
                self._last = time.monotonic()
                self._schedule()
                self.beats += 1
        finally:
            self._beating.release()

    def stop(self) -> None:
        """Say farewell and stop for good, within FAREWELL seconds whatever the database does."""
        if self._stopped:
            return
        self._stopped = True
        self._ring()
        thread = self._thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            # In the thread, because at the end of the interpreter no other one can be started to bound the wait.
            self._done.wait(FAREWELL)
        else:
            self._farewell()

    def _run(self) -> None:
        while not self._stopped:
            if not self._woken:
                self._listen(self._next)
            if self._woken:
                while not self._stopped and time.monotonic() < self._last + SHORTEST:
                    self._listen(self._last + SHORTEST)
            elif time.monotonic() < self._next:
                # A request has made the beat meanwhile.
                continue
            if not self._stopped:
                try:
                    if not self._one():
                        # A request is at it, and may be for as long as the database is silent.
                        self._listen(time.monotonic() + SHORTEST)
                    # Of this thread, where a subscriber to an event has opened one.
                    connections.close_all()
                except BaseException:
                    # A subscriber may raise even SystemExit: nobody would hear of it, and the beats would end.
                    grumble("beat", "a beat failed.", traceback=True)
        self._farewell()
        self._done.set()

    def _ring(self) -> None:
        bell = self._bell
        if bell is not None:
            bell.put(None)

    def _listen(self, until: float) -> None:
        """Wait for the bell until then, by the monotonic clock."""
        bell = self._bell
        assert bell is not None, "it is made before the thread is started"
        try:
            bell.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            pass

    def _one(self) -> bool:
        """Beat, unless another thread is at it; whether it did."""
        if not self._beating.acquire(blocking=False):
            return False
        try:
            self._woken = False
            self._last = time.monotonic()
            self._schedule()
            self._beat()
            self.beats += 1
        finally:
            self._beating.release()
        return True

    def _schedule(self) -> None:
        # Spread, so that a fleet that started at one moment does not beat at one moment for ever.
        self._next = time.monotonic() + self._interval() * random.uniform(0.9, 1.0)
