"""`manage.py guard contract`."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from django.core.management.base import CommandError

from guard.commands.call import Call
from guard.commands.exits import Exit
from guard.commands.screen import Cell, Column, live_table
from guard.gate import contract, messages, verdict
from guard.gate.contract import Attempt, Contractor, Outcome
from guard.gate.witnesses import locks
from guard.ledger import rows
from guard.steps import fill

HELP = "Take away what no deployed code uses any more: every contract step that nothing blocks."

_TAKEN = frozenset({Outcome.ASIDE.value, Outcome.DONE.value})

#: Seconds between two sayings of how far a step's filling has come.
_PROGRESS_EVERY = 10.0


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--wait", action="store_true", help="Wait until nothing waits any more.")
    parser.add_argument("--timeout", type=_seconds, default=600.0, help="Seconds to wait with --wait (default: 600).")


def run(call: Call) -> None:
    """Take what is clear, and go on until all is where that was asked. Raises CommandError: 1, 3 or 4."""
    wait: bool = call.options["wait"]
    timeout: float = call.options["timeout"]
    deadline = time.monotonic() + timeout
    for gate in call.gates(settle=False):
        gate.tidy_up()
    teller = _Teller(call)
    with teller.shown() if wait else nullcontext():
        while True:
            unfinished = _round(call, teller, deadline if wait else None)
            left = deadline - time.monotonic()
            # What is set aside waits for KEEP_FOR, not for anybody's deploy; what is only tidied harms nobody.
            waits = [a for a in unfinished if a.step.kind not in rows.TIDY]
            if not wait or not waits or left <= 0:
                break
            teller.refresh(waits, left)
            time.sleep(min(1.0, max(left, 0.0)))
    if wait and waits:
        teller.last_word()
    if call.json:
        call.answer({"steps": teller.results})
    elif not waits and not teller.said_something:
        call.say("Nothing waits." + teller.kept())
    if any(a.outcome is Outcome.LOCKED for a in unfinished):
        raise CommandError(
            "Gave up: a table was in use all the time, and guard lets nobody wait behind it. Everything is as it was; "
            "run the command again when it is quieter.",
            returncode=Exit.LOCKED,
        )
    failed = [a for a in unfinished if a.outcome is Outcome.FAILED]
    if failed:
        raise CommandError(
            "\n".join(f"{a.step.target} could not be taken: {a.detail}" for a in failed), returncode=Exit.ERROR
        )
    if wait and waits:
        targets = ", ".join(sorted({a.step.target for a in waits}))
        raise CommandError(
            f"Still waiting after {timeout:g} seconds: {targets}. "
            f"`manage.py guard why {waits[0].step.pasted}` says for what.",
            returncode=Exit.WAITS,
        )


def _round(call: Call, teller: _Teller, deadline: float | None) -> list[Attempt]:
    """Try every step of every database once; the attempts after which it still waits."""
    unfinished: list[Attempt] = []
    for gate in call.gates(settle=False):
        patience = gate.config.lock_patience
        if deadline is not None:
            patience = max(0.0, min(patience, deadline - time.monotonic()))
        gate.progress = teller.progress
        for attempt in gate.round(patience=patience, told=teller.held_up):
            teller.tell(gate, attempt)
            over = attempt.taken or attempt.outcome is Outcome.READY
            if not over and attempt.step.state in (rows.StepState.WAITING, rows.StepState.SEALED):
                unfinished.append(attempt)
    return unfinished


class _Teller:
    """Says what becomes of each step, once for each change, and keeps the last word on each for machines."""

    def __init__(self, call: Call) -> None:
        self._call = call
        #: By database and step, what was said last.
        self._told: dict[tuple[str, int], str] = {}
        self._holders: set[tuple[int, str]] = set()
        self._progress_at = time.monotonic()
        #: By database and step, the last verdict, and by step when it was.
        self._blockers: dict[tuple[str, int], verdict.Verdict] = {}
        self._nows: dict[int, float] = {}
        #: How many instances a blocker has been about at most.
        self._most: dict[tuple[tuple[str, int], str, str], int] = {}
        #: Shows something in its place on a terminal.
        self._live: Callable[[Any], None] | None = None
        self.results: list[dict[str, Any]] = []

    @property
    def said_something(self) -> bool:
        return bool(self._told) or any(result["outcome"] in _TAKEN for result in self.results)

    def progress(self, step: rows.Step, progress: fill.Progress) -> None:
        """How far a step's filling has come."""
        if self._call.json or time.monotonic() < self._progress_at + _PROGRESS_EVERY:
            return
        self._progress_at = time.monotonic()
        left = "" if progress.left is None else f", about {messages.span(progress.left)} left"
        lag = f"; waiting for a replica that is {progress.lag:.0f} s behind" if progress.lag else ""
        self._call.say(f"{step.target}: {progress.filled:,} rows filled{left}{lag}.")

    def held_up(self, step: rows.Step, holders: tuple[locks.Holder, ...]) -> None:
        """Who holds a table that is waited for: once for each, not at each try."""
        for holder in holders:
            if (step.id, holder.pid) not in self._holders and not self._call.json:
                self._holders.add((step.id, holder.pid))
                self._call.say(f"{step.target}: waiting for its table, which is held by {holder}")

    def tell(self, gate: Contractor, attempt: Attempt) -> None:
        """What has become of a step."""
        step = attempt.step
        now = gate.ledger.now()
        waits = messages.blockers(attempt.verdict, now) if attempt.verdict and not attempt.taken else []
        key = (gate.connection.alias, step.id)
        if attempt.outcome is Outcome.BLOCKED and any(
            (r["database"], r["id"]) == key and r["outcome"] in _TAKEN for r in self.results
        ):
            # Set aside by this very call: that it is kept now is no further news.
            return
        # Of a step that is tried again, how it stands now; what was taken stays told.
        self.results = [r for r in self.results if (r["database"], r["id"]) != key or r["outcome"] in _TAKEN]
        self.results.append({**contract.explain(attempt), "database": key[0], "id": key[1], "waits_for": waits})
        if self._call.json or (step.kind in rows.TIDY and not attempt.taken):
            return
        if attempt.taken:
            self._blockers.pop(key, None)
            self._call.say(messages.taken(attempt))
        elif attempt.outcome is Outcome.BLOCKED and attempt.verdict is not None:
            self._nows[step.id] = now
            if step.state is not rows.StepState.ASIDE:
                self._blocked(key, attempt.verdict, now)
        else:
            said = messages.not_taken(attempt)
            if self._told.get(key) != said:
                self._call.say(said)
            self._told[key] = said

    def _blocked(self, key: tuple[str, int], decided: verdict.Verdict, now: float) -> None:
        """Why it waits: all of it at first, then what has changed; never at each tick of a clock."""
        target = decided.step.target
        before = self._blockers.get(key)
        self._blockers[key] = decided
        self._told[key] = "waits"
        if self._live is not None:
            for blocker in decided.blockers:
                most = self._most.get((key, blocker.code, blocker.who), 0)
                self._most[key, blocker.code, blocker.who] = max(most, blocker.count)
            return
        if before is None:
            self._say_all(decided, now)
            return
        for line in messages.changed(before, decided, now):
            self._call.say(f"{target}: {line}")

    def _say_all(self, decided: verdict.Verdict, now: float) -> None:
        self._call.say(f"{decided.step.target} waits:")
        for line in messages.blockers(decided, now):
            self._call.screen.line(line, indent=2)

    def kept(self) -> str:
        """What is set aside, and waits for its time alone."""
        aside = sum(result["state"] == rows.StepState.ASIDE.value for result in self.results)
        if not aside:
            return ""
        stays = "stays" if aside == 1 else "stay"
        return f" {messages.count(aside, 'thing')} set aside {stays} until erased: `manage.py guard status` says when."

    # A terminal

    @contextmanager
    def shown(self) -> Iterator[None]:
        """On a terminal, what waits is shown anew each second for as long as this lasts."""
        if not self._call.screen.fancy or self._call.json:
            yield
            return
        with self._call.screen.live() as self._live:
            yield
        self._live = None

    def last_word(self) -> None:
        """Why it still waits, where that was only shown for a while."""
        if self._call.screen.fancy and not self._call.json:
            for decided in self._blockers.values():
                if not decided.clear:
                    self._say_all(decided, self._nows[decided.step.id])

    def refresh(self, waits: list[Attempt], left: float) -> None:
        """Show what waits now, and for how long this goes on."""
        if self._live is None:
            return
        table = []
        for attempt in waits:
            blockers = attempt.verdict.blockers if attempt.verdict else ()
            told = [self._ticking(attempt.step, blocker) for blocker in blockers[: messages.TOP]]
            if len(blockers) > messages.TOP:
                told.append(f"… and {len(blockers) - messages.TOP} more")
            for number, line in enumerate(told or [attempt.detail or attempt.outcome.value]):
                table.append([Cell("" if number else attempt.step.target), Cell(line)])
        title = f"{messages.count(len(waits), 'step')} waiting; giving up in {messages.clock(left)} (Ctrl-C to stop)"
        self._live(live_table(title, [Column("Step", style="name"), Column("Waits for")], table))

    def _ticking(self, step: rows.Step, blocker: verdict.Blocker) -> str:
        sentence = blocker.sentence(self._nows.get(step.id, 0.0))
        of = (blocker.code, blocker.who)
        most = max((most for (_, *key), most in self._most.items() if tuple(key) == of), default=0)
        if blocker.count and most > blocker.count:
            return f"[{most - blocker.count} of {most} gone] {sentence}"
        return sentence
