"""The heart with real threads: when it beats, and that it always lets go."""

from __future__ import annotations

import itertools
import queue
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from guard.runtime import grumble, heartbeat
from guard.runtime.heartbeat import Heart

TraceFunction = Callable[[FrameType, str, Any], Any]


class Counter:
    """Counts calls, and lets a test wait for the next one."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self._called = threading.Semaphore(0)

    def __call__(self) -> None:
        self.threads.append(threading.current_thread())
        self._called.release()

    def wait(self) -> None:
        assert self._called.acquire(timeout=60)


@pytest.fixture(autouse=True)
def _fresh_grumbles() -> None:
    grumble._last.clear()


def test_it_beats_in_a_thread_of_its_own_and_says_farewell_there() -> None:
    beat, farewell = Counter(), Counter()
    heart = Heart(beat, farewell, lambda: 0.01)
    heart.start()
    heart.start()
    beat.wait()
    heart.stop()
    assert len({thread.ident for thread in [*beat.threads, *farewell.threads]}) == 1
    assert beat.threads[0] is not threading.current_thread()
    assert beat.threads[0].daemon
    assert len(farewell.threads) == 1
    heart.stop()
    assert len(farewell.threads) == 1


def test_what_its_thread_waits_on_is_made_with_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """gevent replaces queues and threads after the process has made its heart: one of before would block all of it."""
    usual, made = queue.SimpleQueue, []

    def late() -> Any:
        made.append(usual())
        return made[-1]

    beat, farewell = Counter(), Counter()
    heart = Heart(beat, farewell, lambda: 3_600.0)
    heart.wake()
    monkeypatch.setattr(queue, "SimpleQueue", late)
    heart.start()
    beat.wait()
    heart.stop()
    assert len(made) == 1
    assert len(farewell.threads) == 1

    never_started = Heart(beat, farewell, lambda: 3_600.0)
    never_started.stop()
    assert len(farewell.threads) == 2


def test_waking_it_brings_the_next_beat_forward() -> None:
    beat = Counter()
    heart = Heart(beat, Counter(), lambda: 3_600.0)
    heart.start()
    heart.wake()
    beat.wait()
    heart.stop()
    assert len(beat.threads) == 1


def test_it_beats_at_most_once_a_second_however_often_it_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SHORTEST", 0.3)
    at: list[float] = []
    # When it decided to beat: how long it took from there to here, nobody can say.
    heart = Heart(lambda: at.append(heart._last), Counter(), lambda: 3_600.0)
    heart.start()
    deadline = time.monotonic() + 60
    while len(at) < 3 and time.monotonic() < deadline:
        heart.wake()
        time.sleep(0.001)
    heart.stop()
    assert len(at) >= 3
    assert all(later - earlier >= 0.299 for earlier, later in itertools.pairwise(at))


def test_stopping_is_bounded_though_a_beat_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "FAREWELL", 0.2)
    begun, free, over = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        free.wait(60)
        over.set()

    farewell = Counter()
    heart = Heart(hang, farewell, lambda: 0.0)
    heart.start()
    assert begun.wait(60)
    heart.stop()
    assert not over.is_set()
    free.set()
    farewell.wait()


def test_waking_and_stopping_may_interrupt_themselves() -> None:
    """As a signal handler does, or a finaliser that the garbage collector runs, between any two instructions."""
    farewell = Counter()
    heart = Heart(Counter(), farewell, lambda: 3_600.0)
    modules = (heartbeat.__file__, threading.__file__)

    def interrupt(frame: FrameType, event: str, arg: object) -> TraceFunction | None:
        if frame.f_code.co_filename not in modules or frame.f_code.co_name == "_farewell":
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            heart.wake()
            heart.stop()
        return interrupt

    def work() -> None:
        sys.settrace(interrupt)
        try:
            heart.wake()
            heart.stop()
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "it waits for itself"
    assert len(farewell.threads) == 1


def test_a_wake_while_a_request_beats_is_kept_and_nobody_spins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SHORTEST", 0.05)
    begun, free, beat = threading.Event(), threading.Event(), Counter()
    tries = []

    def hang() -> None:
        beat()
        if len(beat.threads) == 1:
            begun.set()
            free.wait(30)

    heart = Heart(hang, Counter(), lambda: 3_600.0)
    acquire = heart._beating.acquire

    class Counted:
        """The lock, with how often somebody tried to have it."""

        def acquire(self, blocking: bool = True) -> bool:
            tries.append(time.monotonic())
            return acquire(blocking)

        def release(self) -> None:
            lock.release()

    lock, heart._beating = heart._beating, Counted()  # type: ignore[assignment]
    request = threading.Thread(target=heart._one)
    request.start()
    assert begun.wait(30)
    heart.start()
    heart.wake()
    while len(tries) < 4:
        time.sleep(0.01)
    # Each try waits its time: the first is the request's own.
    assert all(later - earlier >= 0.05 for earlier, later in itertools.pairwise(tries[1:]))
    free.set()
    beat.wait()
    beat.wait()
    request.join(30)
    heart.stop()
    assert [thread.name for thread in beat.threads[1:]] == ["guard-heartbeat"]


def test_a_thread_that_died_is_started_again_by_a_request() -> None:
    beat = Counter()
    heart = Heart(beat, Counter(), lambda: 3_600.0)
    heart.start()
    # What a fork leaves behind: the object without its thread.
    heart._thread = threading.Thread(target=lambda: None)
    heart.attend()
    heart.wake()
    beat.wait()
    assert beat.threads[0].name == "guard-heartbeat"
    heart.stop()


def test_a_request_does_not_beat_while_the_thread_does() -> None:
    beat = Counter()
    heart = Heart(beat, Counter(), lambda: 3_600.0)
    heart.start()
    heart.attend()
    heart.stop()
    assert beat.threads == []


def test_requests_beat_where_the_thread_does_not_run() -> None:
    # As under uWSGI without enable-threads: it was started, it is alive, and it never runs.
    beat, stuck = Counter(), threading.Event()
    heart = Heart(beat, Counter(), lambda: 0.0)
    heart._thread = threading.Thread(target=stuck.wait, args=(60,), daemon=True)
    heart._thread.start()
    heart.attend()
    assert beat.threads == [threading.current_thread()]
    stuck.set()


def test_requests_beat_when_due_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    interval = 3_600.0
    beat, farewell = Counter(), Counter()
    heart = Heart(beat, farewell, lambda: interval)
    heart.start()
    heart.attend()
    assert beat.threads == []
    heart.wake()
    heart.attend()
    assert beat.threads == [threading.current_thread()]
    interval = 0.0
    heart._schedule()
    heart.attend()
    assert len(beat.threads) == 2
    heart.stop()
    assert farewell.threads == [threading.current_thread()]
    assert len(caplog.records) == 1


def test_a_subscriber_that_exits_does_not_end_the_beats() -> None:
    beats = Counter()

    def beat() -> None:
        beats()
        raise SystemExit

    heart = Heart(beat, Counter(), lambda: 0.0)
    heart.start()
    beats.wait()
    beats.wait()
    heart.stop()


def test_nothing_beats_after_the_end() -> None:
    beat = Counter()
    heart = Heart(beat, Counter(), lambda: 0.0)
    heart.stop()
    heart.start()
    heart.attend()
    assert beat.threads == []


def test_a_request_that_ends_when_a_beat_is_nearly_due_makes_it_and_the_thread_does_not() -> None:
    beat, rides = Counter(), Counter()
    interval = 3_600.0

    def ride() -> bool:
        rides()
        return True

    heart = Heart(beat, Counter(), lambda: interval, ride)
    heart.start()
    heart.attend()
    assert rides.threads == []
    due = heart._next = time.monotonic() + 0.3
    heart.attend()
    assert rides.threads == [threading.current_thread()]
    assert heart._next > due
    # Once it is made, it is not due again.
    heart.attend()
    assert len(rides.threads) == 1
    heart.stop()
    assert beat.threads == []


def test_a_beat_that_cannot_ride_is_tried_once_and_left_to_the_thread() -> None:
    beat, rides = Counter(), Counter()

    def ride() -> bool:
        rides()
        return False

    heart = Heart(beat, Counter(), lambda: 3_600.0, ride)
    heart._next = time.monotonic() + 1_000
    heart._thread = threading.current_thread()
    for _ in range(3):
        heart.attend()
    assert len(rides.threads) == 1
    assert beat.threads == []
