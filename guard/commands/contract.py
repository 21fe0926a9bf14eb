"""`manage.py guard contract`."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError

from guard.commands.call import Call
from guard.commands.exits import Exit
from guard.gate import contract, messages
from guard.gate.contract import Attempt, Contractor, Outcome
from guard.gate.witnesses import locks
from guard.ledger import rows
from guard.steps import fill

HELP = "Take every contract step whose verdict is clear."

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
    while True:
        unfinished: list[Attempt] = []
        for gate in call.gates(settle=False):
            patience = gate.config.lock_patience
            if wait:
                patience = max(0.0, min(patience, deadline - time.monotonic()))
            gate.progress = teller.progress
            for attempt in gate.round(patience=patience, told=teller.held_up):
                teller.tell(gate, attempt)
                over = attempt.taken or attempt.outcome is Outcome.READY
                if not over and attempt.step.state in (rows.StepState.WAITING, rows.StepState.SEALED):
                    unfinished.append(attempt)
        left = deadline - time.monotonic()
        # What is set aside waits for KEEP_FOR, not for anybody's deploy; a kept default harms nobody.
        waits = [a for a in unfinished if a.step.kind is not rows.StepKind.DEFAULT]
        if not wait or not waits or left <= 0:
            break
        time.sleep(min(1.0, max(left, 0.0)))
    if call.json:
        call.answer({"steps": teller.results})
    elif not waits and not teller.said_something:
        call.say("Nothing waits.")
    if any(a.outcome is Outcome.LOCKED for a in unfinished):
        raise CommandError(
            "Gave up: the table's lock was not to be had. Everything is as it was; run the command again.",
            returncode=Exit.LOCKED,
        )
    failed = [a for a in unfinished if a.outcome is Outcome.FAILED]
    if failed:
        raise CommandError(
            "\n".join(f"{a.step.target} could not be taken: {a.detail}" for a in failed), returncode=Exit.ERROR
        )
    if wait and waits:
        targets = ", ".join(sorted({a.step.target for a in waits}))
        raise CommandError(f"Still waiting after {timeout:g} seconds: {targets}.", returncode=Exit.WAITS)


class _Teller:
    """Says what becomes of each step, once for each change, and keeps the last word on each for machines."""

    def __init__(self, call: Call) -> None:
        self._call = call
        #: By database and step, what was said last.
        self._told: dict[tuple[str, int], str] = {}
        self._holders: set[tuple[int, str]] = set()
        self._progress_at = time.monotonic()
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
        # Of a step that is tried again, how it stands now; what was taken stays told.
        self.results = [r for r in self.results if (r["database"], r["id"]) != key or r["outcome"] in _TAKEN]
        self.results.append({**contract.explain(attempt), "database": key[0], "id": key[1], "waits_for": waits})
        if self._call.json or (step.kind is rows.StepKind.DEFAULT and not attempt.taken):
            return
        if attempt.taken:
            self._call.say(messages.taken(attempt))
        elif attempt.outcome is Outcome.BLOCKED:
            if step.state is rows.StepState.ASIDE:
                return
            # Said again only when another reason comes to the fore, not at each tick of a clock.
            codes = ",".join(b.code for b in attempt.verdict.blockers) if attempt.verdict else ""
            if self._told.get(key) != codes:
                self._call.say(f"{step.target} waits:")
                for line in waits:
                    self._call.say(f"  {line}")
            self._told[key] = codes
        else:
            said = f"{step.target}: {attempt.outcome.value}. {attempt.detail}".rstrip()
            if self._told.get(key) != said:
                self._call.say(said)
            self._told[key] = said
