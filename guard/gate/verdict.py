"""May this contract step be taken now? Evidence and policy in, a verdict out. Pure: no clock, no connection.

The twelve conditions are those of the design's protocol, under the same numbers. Times are seconds on the database's
clock, durations are seconds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from guard.attribution.watchlist import Access
from guard.conf import Config
from guard.ledger import protocol
from guard.ledger.rows import Instance, InstanceKind, InstanceState, Sighting, Step, StepKind, StepState
from guard.schema.footprint import Footprint


@dataclass(frozen=True, slots=True)
class Policy:
    """How long each doubt lasts, in seconds, and whose ledger this should be."""

    lost_grace: float = 86_400.0
    quiet_period: float = 3_600.0
    rollback_window: float = 86_400.0
    adoption_period: float = 7 * 86_400.0
    workload_window: float = 35 * 86_400.0
    keep_for: float = 7 * 86_400.0
    environment: str | None = None

    @classmethod
    def from_config(cls, config: Config) -> Policy:
        return cls(
            lost_grace=config.lost_grace,
            quiet_period=config.quiet_period,
            rollback_window=config.rollback_window,
            adoption_period=config.adoption_period,
            workload_window=config.workload_window,
            keep_for=config.keep_for,
            environment=config.environment,
        )


@dataclass(frozen=True, slots=True)
class Waiver:
    """An operator's word that one kind of blocker may be disregarded until `expires_at`."""

    code: str
    reason: str
    expires_at: float
    #: Only where the blocker's `who` is this; empty: whoever it is.
    who: str = ""
    #: Who has said it.
    actor: str = ""

    def sentence(self, now: float) -> str:
        """Who answers for it, for how long and why."""
        by = f" by {self.actor}" if self.actor else ""
        return f"Waived{by} for {_span(self.expires_at - now, up=True)} more: {self.reason.strip().rstrip('.')}."

    def covers(self, blocker: Blocker, now: float) -> bool:
        """Whether it waives this blocker. Without a reason, or expired, it waives nothing."""
        return (
            blocker.waivable
            and blocker.code == self.code
            and self.who in ("", blocker.who)
            and bool(self.reason.strip())
            and self.expires_at > now
        )


@dataclass(frozen=True, slots=True)
class Dependent:
    """Something of others that depends on what a step takes."""

    #: With its kind: "view public.totals".
    name: str
    #: What it is made of, as the database says it; empty where that says nothing.
    definition: str = ""
    #: What it depends on, where that is only a part of what the step takes: "table.column".
    on: str = ""
    #: It sends what the step renames to readers elsewhere, of whom the database does not say what they can bear.
    sends: bool = False


@dataclass(frozen=True, slots=True)
class Unseen:
    """A kind of thing that may depend on what a step takes, and that this role may not read."""

    #: In the singular: "routine".
    kind: str
    #: The statement that would let it.
    grant: str
    #: Whether the operator has asked that nothing is taken until it can be read.
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the witnesses say about one step, read on the primary."""

    now: float
    step: Step
    #: The ledger's epoch of the watch list.
    epoch: int
    #: By digest. A digest that is missing could not be read, and relies on everything.
    footprints: Mapping[str, Footprint]
    #: Those that have gone too, for as long as a window looks back; totals of folded ones as GONE instances.
    instances: tuple[Instance, ...]
    #: Of this step's target.
    sightings: tuple[Sighting, ...]
    #: When the first instance ever registered.
    first_registered_at: float | None
    #: The ledger's own label.
    environment: str | None
    #: Of the process that would take the step; None where it cannot be read.
    taker_footprint: Footprint | None
    #: Whether the step's migration is recorded in django_migrations.
    applied: bool
    #: Names of witnesses that policy demands and that could not be read.
    unreadable: tuple[str, ...] = ()
    #: Unacknowledged late writes.
    late_writes: int | None = 0
    #: When the last of them came.
    last_late_write: float | None = None
    #: Old code that was there when the target was copied, and not watching yet: (release, workload, instances).
    unseen_writers: tuple[tuple[str, str, int], ...] = ()
    #: The taker's instance, if it is one.
    taker_id: str = ""
    #: What outside guard's own leftovers depends on the target.
    dependents: tuple[Dependent, ...] = ()
    #: What may depend on it and cannot be read.
    unseen: tuple[Unseen, ...] = ()
    #: Names of what is the target's own and goes with it.
    own: tuple[str, ...] = ()
    #: Sessions that belong to no instance.
    strangers: tuple[str, ...] | None = ()
    #: LOST instances whose sessions are proven closed, by id.
    proven_closed: frozenset[str] = frozenset()
    waivers: tuple[Waiver, ...] = ()
    #: Who froze everything, and until when; empty: nobody.
    frozen_by: str = ""
    frozen_until: float = 0.0


#: What no waiver waives: what a step would break outside guard's sight, whose ledger this is, and who would take it.
_UNWAIVABLE = frozenset({10, 11, 12})
_UNWAIVABLE_CODES = frozenset({"not-applied", "not-waiting", "frozen"})

#: What depends, by its text, on what a migration that runs whole takes away.
BY_TEXT = "dependents-by-text"

#: What sends a column to readers elsewhere, who may stop at its new name.
PUBLISHED = "published"

#: Codes that an order to waive them is refused for.
UNWAIVABLE = _UNWAIVABLE_CODES | {"dependents", "environment", "old-taker"}


@dataclass(frozen=True, slots=True)
class Blocker:
    """One reason to wait."""

    #: Stable, for machines and waivers.
    code: str
    #: Number of the condition that is not met; 0 for what comes before all of them.
    condition: int
    who: str
    what: str
    since: float | None
    #: What clears it: "when …".
    clears: str
    #: When it clears at the latest, if nothing new happens; None where time alone does not clear it.
    by: float | None = None
    #: How many instances it speaks of; 0 where it is not about instances.
    count: int = 0
    #: Every condition that it leaves unmet, where it is more than one.
    also: frozenset[int] = frozenset()
    #: What `who` is made of, where that is a thing in the database: SQL.
    definition: str = ""

    @property
    def conditions(self) -> frozenset[int]:
        return self.also | {self.condition}

    @property
    def waivable(self) -> bool:
        return self.code in (BY_TEXT, PUBLISHED) or (
            self.code not in _UNWAIVABLE_CODES and not self.conditions & _UNWAIVABLE
        )

    def sentence(self, now: float) -> str:
        """One or two sentences for people, with times as an operator says them."""
        subject = self.who
        if self.count:
            subject = f"{self.count} instance{'s' if self.count > 1 else ''} of {self.who}"
        since = ""
        if self.since is not None:
            since = f"{_SINCE.get(self.code, ', since')} {_ago(now - self.since)}"
        by = f", {_within(self.by - now)}" if self.by is not None else ""
        if self.code not in _NAMED_BY_OTHERS:
            subject = subject[:1].upper() + subject[1:]
        return f"{subject} {self.what}{since}. Clears {self.clears}{by}."


#: Their `who` is a name that others have given, which keeps its case.
_NAMED_BY_OTHERS = frozenset({"strangers", "dependents", "dependents-by-text", PUBLISHED, "frozen"})

#: How each blocker's `since` is said.
_SINCE = {
    "kept": "",
    "live-instances": "; the first started",
    "lost-instances": "; the last word came",
    "rollback-window": "",
    "restored": "",
    "recurring-workload": ",",
    "recent-sighting": ", last",
    "late-writes": ", last",
    "star-read": ", last",
    "new-code-not-seen": "",
    "old-code-never-seen": "; the first instance registered",
}


class ConditionState(StrEnum):
    MET = "met"
    NOT_MET = "not met"
    UNREADABLE = "not readable"
    WAIVED = "waived"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the twelve conditions, and how it stands."""

    number: int
    name: str
    state: ConditionState
    #: The sentences of what leaves it unmet.
    detail: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((f"{self.number}. {self.name}: {self.state}.", *self.detail))


@dataclass(frozen=True, slots=True)
class Verdict:
    """CLEAR, or BLOCKED with its blockers."""

    step: Step
    blockers: tuple[Blocker, ...]
    #: What an operator should know and nothing waits for.
    warnings: tuple[Blocker, ...]
    conditions: tuple[Condition, ...]
    #: Blockers that an operator's waiver covers.
    waived: tuple[Blocker, ...] = ()
    #: Whether it is about erasing what is set aside.
    erases: bool = False
    #: Names of what goes with the target: its own indexes, constraints, sequences.
    own: tuple[str, ...] = ()

    @property
    def clear(self) -> bool:
        return not self.blockers


NAMES = {
    1: "The fleet is known",
    2: "No live instance relies on it",
    3: "No lost instance relies on it",
    4: "No recurring workload last ran with code that relies on it",
    5: "Every live instance has reported whether it uses it",
    6: "Nothing has touched it for the quiet period",
    7: "No release that relies on it was live within the roll-back window",
    8: "Old code has written nothing to it that new code will miss",
    9: "Nobody is connected who does not run guard",
    10: "Nothing else in the database depends on it",
    11: "The database is this environment's own",
    12: "The code that runs this command does without it",
}

#: How a step stands that cannot go on.
_STANDS = {
    StepState.WAITING: "is in its place",
    StepState.SEALED: "is being taken away by another process",
    StepState.ASIDE: "is set aside already",
    StepState.DONE: "is done with",
    StepState.WITHDRAWN: "has been given up",
}

#: What a witness reads, in the words of people.
_READ = {
    "instances": "the list of running instances",
    "footprints": "what the deployed releases declare",
    "sightings": "the counts of use",
    "late-writes": "the counts of late writes",
    "sessions": "the list of the database's sessions",
    "dependents": "what else in the database depends on it",
    "environment": "the environment that this database belongs to",
}

#: Which conditions cannot be judged where a witness cannot be read. One that is not named here blocks everything.
WITNESSES = {
    "instances": frozenset({1, 2, 3, 4, 5, 7}),
    "footprints": frozenset({1, 2, 3, 4, 7, 12}),
    "sightings": frozenset({6}),
    "late-writes": frozenset({8}),
    "sessions": frozenset({9}),
    "dependents": frozenset({10}),
    "environment": frozenset({11}),
}

_ALL = frozenset(NAMES)
_TIDY = frozenset({1, 2, 3, 4, 7, 11, 12})
_ERASE = frozenset({2, 3, 10, 11, 12})
_WHOLE = frozenset({1, 2, 3, 9, 10, 11, 12})


def decide(evidence: Evidence, policy: Policy) -> Verdict:
    """May a WAITING step be taken (or, under its seal, still be taken)?"""
    step = evidence.step
    asked = _TIDY if step.kind in (StepKind.DEFAULT, StepKind.KEY, StepKind.NULLABLE) else _ALL
    if step.state is StepState.SEALED:
        # Who had flushed when it was sealed has flushed; who registered since watches from birth. The epoch of another
        # step, slated meanwhile, is no reason to give the seal up.
        asked -= {5}
    reader = _Reader(evidence, policy, asked)
    reader.state(step.state is StepState.WAITING or (step.state is StepState.SEALED and not step.aside_name))
    reader.new_code_seen()
    reader.judge()
    return reader.verdict(erases=False)


def decide_erase(evidence: Evidence, policy: Policy) -> Verdict:
    """May what is set ASIDE be erased (or, under its seal, still be erased)?"""
    step = evidence.step
    reader = _Reader(evidence, policy, _ERASE)
    reader.state(step.state is StepState.ASIDE or (step.state is StepState.SEALED and bool(step.aside_name)))
    reader.kept()
    reader.judge()
    return reader.verdict(erases=True)


def decide_whole(evidence: Evidence, policy: Policy) -> Verdict:
    """May a migration that is refused, or held, beside old code run whole in a maintenance window?

    The operator has stopped the fleet: what only a running fleet can show (that new code runs, that everybody
    watches) is not asked.
    """
    step = evidence.step
    reader = _Reader(evidence, policy, _WHOLE)
    reader.state(step.state is StepState.WAITING or (step.state is StepState.SEALED and not step.aside_name))
    reader.judge()
    return reader.verdict(erases=False)


def workloads(instance: Instance) -> tuple[str, ...]:
    """The recurring workloads that an instance runs: a worker's queues one by one ("celery:mail,default" is two).

    None for a server, and for a command that nobody will run again by itself.
    """
    if instance.kind is InstanceKind.WORKER:
        head, colon, queues = instance.workload.rpartition(":")
        return tuple(sorted({f"{head}{colon}{queue.strip()}" for queue in queues.split(",")}))
    if instance.kind is InstanceKind.COMMAND and instance.recurring:
        return (instance.workload,)
    return ()


class _Reader:
    """Gathers the blockers of one verdict."""

    def __init__(self, evidence: Evidence, policy: Policy, asked: frozenset[int]) -> None:
        self.evidence = evidence
        self.policy = policy
        # None: nobody looked, because nobody has asked for it.
        self.asked = asked - ({8} if evidence.late_writes is None else set())
        self.asked -= {9} if evidence.strangers is None else set()
        self.now = evidence.now
        self.step = evidence.step
        self.found: list[Blocker] = []
        self.warnings: list[Blocker] = []
        self._relies: dict[str, bool] = {}

    def relies(self, digest: str) -> bool:
        known = self._relies.get(digest)
        if known is None:
            known = self._relies[digest] = protocol.relies(self.evidence.footprints.get(digest), self.step)
        return known

    def ours(self, i: Instance) -> bool:
        """Whether it is an instance of the step's project."""
        return protocol.same_project(i.project, self.step.project)

    @property
    def noun(self) -> str:
        """What the step takes away, with its kind."""
        step = self.step
        if step.kind is StepKind.DEFAULT:
            return f"the default of {step.target}"
        if step.kind is StepKind.KEY:
            return f"the ON DELETE action of {step.target}"
        if step.kind is StepKind.NULLABLE:
            return f"NULL in {step.target}"
        return f"{step.kind} {step.target}"

    @property
    def reliance(self) -> str:
        """What relying on the step is, as a verb phrase in the plural."""
        if self.step.kind in protocol.REMOVING:
            return f"declare {self.step.target}"
        return f"lack migration {self.step.app}.{self.step.migration}"

    def block(
        self,
        code: str,
        condition: int,
        who: str,
        what: str,
        since: float | None,
        clears: str,
        by: float | None = None,
        count: int = 0,
        also: frozenset[int] = frozenset(),
    ) -> None:
        self.found.append(Blocker(code, condition, who, what, since, clears, by, count, also))

    def state(self, legal: bool) -> None:
        step = self.step
        if not legal:
            self.block(
                "not-waiting", 0, self.noun, _STANDS.get(step.state, f"is {step.state}"), None, "when it waits again"
            )
        if not self.evidence.frozen_until <= self.now:
            self.block(
                "frozen",
                0,
                self.evidence.frozen_by,
                "has said that nothing is to be taken",
                None,
                "when the freeze ends (`manage.py guard freeze --end --reason …` ends it now)",
                self.evidence.frozen_until,
            )
        if not self.evidence.applied and step.kind is not StepKind.MIGRATION:
            self.block(
                "not-applied",
                0,
                f"migration {step.app}.{step.migration}",
                "is not recorded as applied",
                None,
                "when `manage.py migrate` has applied it",
            )

    def kept(self) -> None:
        aside_at = self.step.aside_at
        until = math.inf if aside_at is None else aside_at + self.policy.keep_for
        # Written so that what compares with nothing (NaN) blocks.
        if not until <= self.now:
            self.block(
                "kept",
                0,
                self.noun,
                "is kept, so that it can be restored; it was set aside",
                aside_at,
                f"when it has been kept for {_span(self.policy.keep_for)}",
                None if aside_at is None else until,
            )

    def new_code_seen(self) -> None:
        """Condition 1, first half."""
        for i in self.evidence.instances:
            if (
                i.kind is not InstanceKind.COMMAND
                and i.id != self.evidence.taker_id
                and self.ours(i)
                and (
                    (i.state is InstanceState.LIVE and i.live(self.now))
                    or (
                        i.state is InstanceState.GONE
                        and not i.refused
                        and i.ended_at is not None
                        and i.ended_at >= self.step.slated_at
                    )
                )
                and not self.relies(i.digest)
            ):
                return
        self.block(
            "new-code-not-seen",
            1,
            "no server or worker",
            (
                f"of a release that does not {self.reliance}"
                if self.step.kind in protocol.REMOVING
                else f"that has migration {self.step.app}.{self.step.migration}"
            )
            + " has been seen at work since this began to wait",
            self.step.slated_at,
            "when the new release runs",
        )

    def judge(self) -> None:
        evidence = self.evidence
        for witness in evidence.unreadable:
            self.witness(witness)
        checks: Iterable[tuple[int, Callable[[], None]]] = (
            (1, self.old_code_known),
            (2, self.live),
            (3, self.lost),
            (4, self.recurring),
            (5, self.watching),
            (6, self.quiet),
            (7, self.rolled_back),
            (8, self.late),
            (9, self.strangers),
            (10, self.dependents),
            (11, self.environment),
            (12, self.taker),
        )
        for number, check in checks:
            if number in self.asked:
                check()

    def witness(self, name: str) -> None:
        conditions = WITNESSES.get(name, self.asked)
        # What is not asked need not be read.
        left = conditions & self.asked
        if left:
            first = min(left) if name in WITNESSES else 0
            self.block(
                f"unreadable-{name}",
                first,
                _READ.get(name, f"the {name}"),
                "could not be read, and what cannot be read is no evidence",
                None,
                "when this process can read that (`manage.py guard doctor` looks for what is wrong)",
                also=left,
            )

    def old_code_known(self) -> None:
        """Condition 1, second half."""
        evidence, policy = self.evidence, self.policy
        for i in evidence.instances:
            if (
                i.kind is not InstanceKind.COMMAND
                and i.id != evidence.taker_id
                and i.digest in evidence.footprints
                and self.ours(i)
                and self.relies(i.digest)
                and self.gone(i)
            ):
                return
        first = evidence.first_registered_at
        if first is None:
            self.block(
                "old-code-never-seen",
                1,
                "no instance",
                "has ever registered, so nobody knows what is deployed",
                None,
                "when the fleet runs with guard installed",
            )
        elif not first + policy.adoption_period <= self.now:
            self.block(
                "old-code-never-seen",
                1,
                "no server or worker",
                f"whose models {self.reliance} has been seen to come and go, so old code may run without guard"
                if self.step.kind in protocol.REMOVING
                else "of old code has been seen to come and go, so old code may run without guard",
                first,
                f"when one has, or when instances have been registering for {_span(policy.adoption_period)}",
                first + policy.adoption_period,
            )

    def gone(self, i: Instance) -> bool:
        if i.state is InstanceState.GONE:
            return True
        return i.lost(self.now) and self.given_up(i)

    def given_up(self, i: Instance) -> bool:
        return i.id in self.evidence.proven_closed or i.expires_at + self.policy.lost_grace <= self.now

    def grouped(self, instances: Iterable[Instance]) -> list[tuple[str, list[Instance]]]:
        groups: defaultdict[tuple[str, str, bool], list[Instance]] = defaultdict(list)
        for i in instances:
            # One release may have both: a digest whose footprint cannot be read is spoken of apart.
            groups[i.release, i.workload, i.digest in self.evidence.footprints].append(i)
        return [(_who(release, workload), members) for (release, workload, _), members in sorted(groups.items())]

    def live(self) -> None:
        relying = (i for i in self.evidence.instances if i.live(self.now) and self.relies(i.digest))
        for who, members in self.grouped(relying):
            if members[0].digest not in self.evidence.footprints:
                how = f"with a footprint that cannot be read, and may rely on {self.noun}"
            elif self.step.kind in protocol.REMOVING:
                how = f"with models that {self.reliance}"
            else:
                how = f"without migration {self.step.app}.{self.step.migration}"
            self.block(
                "live-instances",
                2,
                who,
                f"{'run' if len(members) > 1 else 'runs'} {how}",
                min(i.registered_at for i in members),
                "when they have stopped" if len(members) > 1 else "when it has stopped",
                count=sum(i.size for i in members),
            )

    def lost(self) -> None:
        unknown = (
            i for i in self.evidence.instances if i.lost(self.now) and not self.given_up(i) and self.relies(i.digest)
        )
        for who, members in self.grouped(unknown):
            self.block(
                "lost-instances",
                3,
                who,
                "fell silent without saying that they are gone, and may come back"
                if len(members) > 1
                else "fell silent without saying that it is gone, and may come back",
                max(i.renewed_at for i in members),
                ("when they come back and stop" if len(members) > 1 else "when it comes back and stops")
                + ", when you say that "
                + ("they are" if len(members) > 1 else "it is")
                + " gone (`manage.py guard forget --all-lost --reason …`), or after "
                + f"{_span(self.policy.lost_grace)} of silence",
                max(i.expires_at for i in members) + self.policy.lost_grace,
                count=sum(i.size for i in members),
            )

    def recurring(self) -> None:
        last: dict[tuple[str, str], Instance] = {}
        without: dict[tuple[str, str], float] = {}
        for i in self.evidence.instances:
            for workload in workloads(i):
                # Another project's workload of the same name is another one.
                of = (workload, self.step.project if self.ours(i) else i.project)
                ran = self.ran(i)
                if self.relies(i.digest):
                    # Of two that ran last, the one that was there for longer.
                    if of not in last or (ran, i.last_live(self.now)) > (
                        self.ran(last[of]),
                        last[of].last_live(self.now),
                    ):
                        last[of] = i
                # A refused command exits before its work.
                elif i.state is not InstanceState.REFUSED and not i.refused:
                    without[of] = max(ran, without.get(of, -math.inf))
        for of, i in sorted(last.items(), key=lambda item: item[0]):
            workload = of[0]
            until = i.last_live(self.now) + self.policy.workload_window
            if not (without.get(of, -math.inf) > self.ran(i) or until <= self.now):
                self.block(
                    "recurring-workload",
                    4,
                    f"workload {workload}",
                    f"last ran with {_release(i.release)}, which relies on {self.noun}",
                    i.last_live(self.now),
                    "when it has run with a release that does without, or has not run for "
                    f"{_span(self.policy.workload_window)}",
                    until,
                )

    def ran(self, i: Instance) -> float:
        """When a run was: of a command its start, which decides what code did the work; of a worker its last moment."""
        return i.last_live(self.now) if i.kind is InstanceKind.WORKER else i.registered_at

    def watching(self) -> None:
        present = self.evidence.epoch
        listed = self.step.listed_epoch
        since = present if listed is None else listed
        behind = (
            i
            for i in self.evidence.instances
            if i.state is InstanceState.LIVE
            and i.live(self.now)
            # More than the present epoch is of a ledger that has lost its last writes.
            and not since <= i.flushed_epoch <= present
            and self.ours(i)
        )
        for who, members in self.grouped(behind):
            self.block(
                "not-watching",
                5,
                who,
                f"{'have' if len(members) > 1 else 'has'} not reported yet whether "
                f"{'they use' if len(members) > 1 else 'it uses'} {self.step.target}",
                None,
                "at the next heartbeat",
                count=sum(i.size for i in members),
            )

    def quiet(self) -> None:
        quiet, now = self.policy.quiet_period, self.now
        groups: defaultdict[tuple[str, str], list[Sighting]] = defaultdict(list)
        stars: defaultdict[tuple[str, str], list[Sighting]] = defaultdict(list)
        for s in self.evidence.sightings:
            if not s.last_at + quiet <= now:
                kind = stars if self.harmless(s) else groups
                kind[s.release, s.workload].append(s)
        for (release, workload), seen in sorted(groups.items()):
            self.found.append(self.seen("recent-sighting", _who(release, workload), seen))
        for (release, workload), seen in sorted(stars.items()):
            self.warnings.append(self.seen("star-read", _who(release, workload), seen))
        start = max(self.step.slated_at, self.step.reopened_at or -math.inf)
        if not start + quiet <= now:
            self.block(
                "not-watched-long-enough",
                6,
                self.noun,
                f"has been watched for less than {_span(quiet)}",
                None,
                "when it has",
                start + quiet,
            )

    def harmless(self, s: Sighting) -> bool:
        """A star read names no column: it goes on without the column where the models do not ask for it."""
        footprint = self.evidence.footprints.get(s.digest)
        return s.star and s.access is Access.READ and footprint is not None and not self.relies(s.digest)

    def seen(self, code: str, who: str, seen: list[Sighting]) -> Blocker:
        latest = max(seen, key=lambda s: s.last_at)
        places = len({s.call_site for s in seen}) - 1
        others = f" and {places} other place{'s' if places > 1 else ''}" if places else ""
        verb = "wrote" if latest.access is Access.WRITE else "read"
        where = f" at {latest.call_site}" if latest.call_site else ""
        by = latest.last_at + self.policy.quiet_period
        return Blocker(
            code,
            6,
            who,
            f"{verb} {self.step.target}{where}{others}",
            latest.last_at,
            f"when nothing has touched it for {_span(self.policy.quiet_period)}",
            by,
        )

    def rolled_back(self) -> None:
        window, now = self.policy.rollback_window, self.now
        latest: dict[str, float] = {}
        for i in self.evidence.instances:
            if self.relies(i.digest):
                at = i.last_live(now)
                if not at + window <= now and not latest.get(i.release, -math.inf) >= at:
                    latest[i.release] = at
        for release, at in sorted(latest.items()):
            self.block(
                "rollback-window",
                7,
                _release(release),
                "may be rolled back to: it was live" if at < now else "is live, and may be rolled back to",
                at if at < now else None,
                f"when it has not been live for {_span(window)}",
                # While it is live, time alone clears nothing.
                at + window if at < now else None,
            )
        reopened = self.step.reopened_at
        if reopened is not None and not reopened + window <= now:
            self.block(
                "restored",
                7,
                self.noun,
                "was restored",
                reopened,
                f"when {_span(window)} have passed since",
                reopened + window,
            )

    def late(self) -> None:
        count = self.evidence.late_writes
        if count:
            self.block(
                "late-writes",
                8,
                f"{count} late write{'s' if count > 1 else ''}",
                f"went to {self.step.target} after a data migration had copied it, and new code does not see them"
                if count > 1
                else f"went to {self.step.target} after a data migration had copied it, and new code does not see it",
                self.evidence.last_late_write,
                f"when the copy has been made again, or somebody has said that {'they do' if count > 1 else 'it does'} "
                f"not matter (`manage.py guard allow {self.step.pasted} --waive late-writes --reason … --expires 1h`)",
            )
        for release, workload, number in self.evidence.unseen_writers:
            self.block(
                "late-writes",
                8,
                _who(release, workload),
                f"may have written to {self.step.target} between its copy by a data migration and the heartbeat that "
                f"told {'them' if number > 1 else 'it'} to watch it, and new code would not see that",
                None,
                "when the copy has been made again, or somebody has acknowledged it (`manage.py guard allow`)",
                count=number,
            )

    def strangers(self) -> None:
        for name in self.evidence.strangers or ():
            self.block(
                "strangers",
                9,
                name,
                "is connected and is no process that runs guard",
                None,
                "when its session has closed, or GUARD['WITNESSES']['sessions'] names it",
            )

    def dependents(self) -> None:
        for each in self.evidence.dependents:
            if each.sends:
                self.published(each)
                continue
            self.found.append(
                Blocker(
                    # Found by words in texts: one that shares a name by chance must not hold a deploy for ever.
                    BY_TEXT if self.step.kind is StepKind.MIGRATION else "dependents",
                    10,
                    each.name,
                    f"depends on {each.on or self.step.target}, and this step would break or destroy it",
                    None,
                    "when a migration has changed or dropped it",
                    definition=each.definition,
                )
            )
        for hidden in self.evidence.unseen:
            blocker = Blocker(
                "unseen-dependents",
                10,
                f"{hidden.kind}s",
                f"cannot be seen by this database role, so that one of them may use {self.step.target} unnoticed",
                None,
                f"when the role may read them: {hidden.grant}",
            )
            (self.found if hidden.blocks else self.warnings).append(blocker)

    def published(self, each: Dependent) -> None:
        if self.step.aside_name:
            # It has its new name, and readers are sent less when it goes.
            return
        target = self.step.target
        self.block(
            PUBLISHED,
            10,
            each.name,
            f"sends {target} to readers elsewhere, who may stop at the name that it gets when it is set aside",
            None,
            f"when it sends {target} no more, or somebody has said that its readers can bear that "
            f"(`manage.py guard allow {self.step.pasted} --waive {PUBLISHED} --reason … --expires 1h`)",
        )

    def environment(self) -> None:
        here, ledger = self.policy.environment, self.evidence.environment
        # A ledger without a label adopts the first one.
        if ledger is not None and ledger != here:
            self.block(
                "environment",
                11,
                "this database",
                f"belongs to environment {ledger!r}, as guard's tables in it say, and this is "
                + (f"{here!r}" if here else "a process without GUARD['ENVIRONMENT']"),
                None,
                "when that is corrected, or, in a clone, when `manage.py guard adopt --reason …` has been run here",
            )

    def taker(self) -> None:
        footprint, step = self.evidence.taker_footprint, self.step
        if footprint is None:
            what = "has a footprint that cannot be read"
        elif step.project and footprint.project != step.project:
            what = f"is not of project {step.project!r}"
        elif step.kind in protocol.REMOVING and protocol.relies(footprint, step):
            what = f"declares {step.target} itself"
        elif protocol.old_code(footprint, step):
            what = f"lacks migration {step.app}.{step.migration} itself"
        else:
            return
        self.block(
            "old-taker",
            12,
            "the code that runs this command",
            what,
            None,
            "when a newer release runs it",
        )

    def verdict(self, *, erases: bool) -> Verdict:
        covered = [
            next((waiver for waiver in self.evidence.waivers if waiver.covers(blocker, self.now)), None)
            for blocker in self.found
        ]
        blockers = tuple(b for b, waiver in zip(self.found, covered, strict=True) if waiver is None)
        waived = tuple((b, waiver) for b, waiver in zip(self.found, covered, strict=True) if waiver is not None)
        return Verdict(
            step=self.step,
            blockers=blockers,
            warnings=tuple(self.warnings),
            conditions=tuple(self.condition(number, blockers, waived) for number in NAMES),
            waived=tuple(blocker for blocker, _ in waived),
            erases=erases,
            own=self.evidence.own,
        )

    def condition(
        self, number: int, blockers: tuple[Blocker, ...], waived: tuple[tuple[Blocker, Waiver], ...]
    ) -> Condition:
        name = NAMES[number]
        if number not in self.asked:
            return Condition(number, name, ConditionState.NOT_ASKED)
        mine = [b for b in blockers if number in b.conditions]
        if mine:
            unreadable = any(b.code.startswith("unreadable-") for b in mine)
            state = ConditionState.UNREADABLE if unreadable else ConditionState.NOT_MET
            return Condition(number, name, state, tuple(b.sentence(self.now) for b in mine))
        said = tuple(
            f"{blocker.sentence(self.now)} {waiver.sentence(self.now)}"
            for blocker, waiver in waived
            if number in blocker.conditions
        )
        return Condition(number, name, ConditionState.WAIVED if said else ConditionState.MET, said)


def _release(label: str) -> str:
    return f"release {label}"


def _who(release: str, workload: str) -> str:
    return f"{_release(release)} ({workload})" if workload else _release(release)


_UNITS = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"))


def _span(seconds: float, *, up: bool = False) -> str:
    """A duration as an operator says it, rounded down (or up): in the largest unit of which there are two."""
    # What a sum of floats leaves behind the sixth digit is no time.
    seconds = round(seconds, 6)
    for size, unit in _UNITS:
        if seconds == size and size < 86_400.0:
            return f"1 {unit}"
        if seconds >= 2 * size:
            return f"{math.ceil(seconds / size) if up else math.floor(seconds / size)} {unit}s"
    number = math.ceil(seconds) if up else math.floor(seconds)
    return f"{number} second{'' if number == 1 else 's'}"


def _ago(seconds: float) -> str:
    return "just now" if seconds < 1 else f"{_span(seconds)} ago"


def _within(seconds: float) -> str:
    return "in a moment" if seconds < 1 else f"in {_span(seconds, up=True)}"
