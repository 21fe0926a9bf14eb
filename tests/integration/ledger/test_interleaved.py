"""Two processes and an operator at one ledger, in every order that hypothesis thinks of, against a model of it."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from guard.ledger.rows import Glimpse, InstanceState, Step, StepState
from guard.ledger.store import InstanceMissing, Ledger
from guard.ledger.tables import Conflict
from tests.integration.ledger.harness import LEASE, NEW, OLD, Place, glimpse, registration, step, turned

NAMES = ("a", "b")
FOOTPRINTS = {"a": OLD, "b": NEW}
SITES = ("one", "two", "three")
TAKEN = (StepState.SEALED, StepState.ASIDE, StepState.DONE)

names = st.sampled_from(NAMES)


class Process:
    """A process as the model knows it."""

    def __init__(self) -> None:
        #: What the ledger should have: None, LIVE, REFUSED, GONE; and whether its lease has run out.
        self.state: InstanceState | None = None
        self.expired = False
        self.number = 0
        self.batch: tuple[Glimpse, ...] = ()
        self.buffer: Counter[tuple[str, bool]] = Counter()
        self.counted = False
        self.answer: tuple[int, ...] = ()
        self.flushed = 0

    @property
    def renewable(self) -> bool:
        return self.state in (InstanceState.LIVE, InstanceState.REFUSED) and not self.expired


def machine(place: Place) -> type[RuleBasedStateMachine]:
    """The machine on one database."""

    class Interleaved(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            place.wipe()
            self.stack = ExitStack()
            self.ledgers: dict[str, Ledger] = {
                name: self.stack.enter_context(place.ledger()) for name in (*NAMES, "operator")
            }
            self.operator = self.ledgers["operator"]
            self.processes = {name: Process() for name in NAMES}
            self.counts: Counter[tuple[str, str]] = Counter()
            self.alerted: set[str] = set()
            self.step: Step | None = None
            self.epoch = 0

        def teardown(self) -> None:
            if hasattr(self, "stack"):
                self.stack.close()

        def admitted(self, name: str) -> InstanceState:
            taken = self.step is not None and self.step.state in TAKEN
            return InstanceState.REFUSED if taken and name == "a" else InstanceState.LIVE

        @rule(name=names, lease=st.sampled_from([LEASE, LEASE, -1.0]), unflushed=st.booleans())
        def register(self, name: str, lease: float, unflushed: bool) -> None:
            process = self.processes[name]
            admission = self.ledgers[name].register(
                registration(name), FOOTPRINTS[name], lease=lease, unflushed=unflushed
            )
            process.state, process.expired = self.admitted(name), lease < 0
            process.flushed = -1 if unflushed else self.epoch
            assert admission.state is process.state
            assert admission.watch.epoch == self.epoch
            assert bool(admission.refusals) == (process.state is InstanceState.REFUSED)

        @rule(name=names)
        def look_again(self, name: str) -> None:
            process = self.processes[name]
            try:
                admission = self.ledgers[name].readmit(name, FOOTPRINTS[name], lease=LEASE)
            except InstanceMissing:
                assert process.state in (None, InstanceState.GONE)
            else:
                assert process.state not in (None, InstanceState.GONE)
                process.state, process.expired = self.admitted(name), False
                assert admission.state is process.state

        @rule(name=names, site=st.sampled_from(SITES), stale=st.booleans(), times=st.integers(1, 3))
        def touch(self, name: str, site: str, stale: bool, times: int) -> None:
            self.processes[name].buffer[site, stale] += times

        @rule(name=names, lost=st.booleans())
        def beat(self, name: str, lost: bool) -> None:
            """Send what is in hand; where the answer is lost, the same goes again under its number."""
            process = self.processes[name]
            if not process.batch and process.buffer:
                process.number += 1
                process.counted = False
                process.batch = tuple(
                    glimpse(call_site=site, stale=stale, count=count, reason=str(stale))
                    for (site, stale), count in process.buffer.items()
                )
                process.buffer.clear()
            renewal = self.ledgers[name].beat(
                name, lease=LEASE, watched_epoch=self.epoch, flush_no=process.number, glimpses=process.batch
            )
            if not process.renewable:
                assert renewal is None
                return
            assert renewal is not None
            assert (renewal.state, renewal.epoch) == (process.state, self.epoch)
            process.flushed = self.epoch
            if process.batch and not process.counted:
                process.counted = True
                first: list[int] = []
                for index, g in enumerate(process.batch):
                    self.counts[name, g.call_site] += g.count
                    if g.stale and g.call_site not in self.alerted:
                        self.alerted.add(g.call_site)
                        first.append(index)
                process.answer = tuple(first)
            assert renewal.first_seen == (process.answer if process.batch else ())
            if not lost:
                process.batch = ()

        @rule(name=names)
        def leave(self, name: str) -> None:
            self.ledgers[name].leave(name)
            if self.processes[name].state is not None:
                self.processes[name].state = InstanceState.GONE

        @rule()
        def slate(self) -> None:
            before = self.step
            try:
                self.step = self.operator.slate(step())
            except Conflict:
                assert before is not None
                assert before.state in TAKEN
                return
            if before is None or before.state is StepState.WITHDRAWN:
                self.epoch += 1

        @precondition(lambda self: self.step is not None)
        @rule(state=st.sampled_from(StepState))
        def turn(self, state: StepState) -> None:
            assert self.step is not None
            self.epoch += self.step.slated != (state not in (StepState.DONE, StepState.WITHDRAWN))
            stale = self.step
            self.step = turned(self.operator, self.step, state)
            try:
                turned(self.operator, stale, StepState.WAITING)
            except Conflict:
                return
            raise AssertionError("a step was written that had changed since it was read")

        @invariant()
        def the_ledger_is_as_the_model_has_it(self) -> None:
            if not hasattr(self, "operator"):
                return
            now = self.operator.now()
            found = {instance.id: instance for instance in self.operator.instances()}
            for name, process in self.processes.items():
                assert (name in found) == (process.state is not None)
                if process.state is None:
                    continue
                assert found[name].state is process.state
                assert found[name].live(now) == process.renewable
                assert found[name].flushed_epoch == process.flushed
            assert self.operator.epoch() == self.epoch
            seen: Counter[tuple[str, str]] = Counter()
            owner = {footprint.digest: name for name, footprint in FOOTPRINTS.items()}
            for sighting in self.operator.sightings("shop_item", "old"):
                seen[owner[sighting.digest], sighting.call_site] += sighting.count
            assert seen == self.counts

    return Interleaved


def test_two_processes_and_an_operator(each: Place) -> None:
    usual: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
    run_state_machine_as_test(
        machine(each), settings=settings(max_examples=12, stateful_step_count=25, derandomize=True, **usual)
    )
