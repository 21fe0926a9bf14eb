"""A model of one contract step, two instances and two takers, explored in every state.

What decides is the code under test: `protocol` and `verdict` are called for every transition of the step, every
admission and every verdict. The model adds what surrounds them: processes that crash, pause (by not being scheduled
while time passes) and resume, messages that are late or lost, locks, transactions, catalogs, clocks that drift.

Time passes in ticks; ages are clipped where no rule tells them apart any more.
"""

from __future__ import annotations

import dataclasses
import gc
from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

from guard.attribution.watchlist import Access
from guard.gate import verdict
from guard.ledger import protocol
from guard.ledger.rows import LISTED, Instance, InstanceKind, InstanceState, Sighting, Step, StepKind, StepState
from guard.schema.footprint import Column, Footprint

NOW = 1_000.0
LONG_AGO = 0.0
EPOCH = 7

_COLUMN = Column("varchar(20)", False, False)
#: A later release, which has made another column of that name.
LATER = Footprint(
    {"shop_book": {"id": _COLUMN, "isbn": _COLUMN}},
    frozenset({("shop", "0001_initial"), ("shop", "0002_remove_book_isbn"), ("shop", "0003_book_isbn")}),
)
OLD = Footprint({"shop_book": {"id": _COLUMN, "isbn": _COLUMN}}, frozenset({("shop", "0001_initial")}))
NEW = Footprint(
    {"shop_book": {"id": _COLUMN}}, frozenset({("shop", "0001_initial"), ("shop", "0002_remove_book_isbn")})
)
#: Of another project in the same database, which has an app of the same name, and nothing to do with the step.
FOREIGN = Footprint(
    {"blog_post": {"id": _COLUMN}}, frozenset({("shop", "0001_initial"), ("blog", "0001_initial")}), "blog"
)

# The step's row: (state, from aside).
WAITING, SEALED, ASIDE, SEALED_ASIDE, DONE, WITHDRAWN = range(6)
# Who holds the seal.
NOBODY, FIRST, SECOND, DEAD = range(4)
TOKENS = ("", "first", "second", "dead")
# The catalog.
ORIGINAL, SET_ASIDE, ERASED = range(3)
# The old instance's row.
NO_ROW, LIVE, REFUSED, GONE = range(4)
# The old instance's process: what it knows of itself.
STOPPED, UNREGISTERED, ADMITTED, TURNED_AWAY, ADMITTING, REFUSING, ADMITTING_AGAIN, REFUSING_AGAIN = range(8)
# Its renewal on the way; CHECKED: its transaction has seen the lease and is not committed.
NO_MAIL, SENT, CHECKED, ANSWERED = range(4)
# Worlds that a transition belongs to: LEAVES, in which old users leave and stay away and nobody stands in the way;
# STAYS, in which the old instance neither crashes nor stops.
LEAVES, STAYS, EITHER = 1, 2, 3
# The new instance, as the ledger has it. BEHIND: it has not flushed since the step was slated; TRAILING: it has, but
# not since another one was.
ABSENT, SERVING, BEHIND, STOPPED_CLEANLY, TRAILING = range(5)
# The epoch that is kept on the step: none, one of which every watch list has it, one from before it was slated again.
UNLISTED, LISTED_NOW, LISTED_BEFORE = range(3)
# A sighting of the column by new code: none within the quiet period, flushed before the seal, or under it.
UNSEEN, SEEN, SEEN_LATE = range(3)
# What a taker is about.
TAKE, ERASE, RESTORE = range(3)
# Where it is: its code is 1 + 3 * place + purpose; 0 is idle.
IN_GATE, HAS_SEAL, LOOKED, TOKEN_READ, CHANGED, ORPHAN = range(6)


class State(NamedTuple):
    step: int
    holder: int
    #: Ticks since it was slated, restored, set aside.
    slated: int
    reopened: int
    aside: int
    catalog: int
    row: int
    #: Ticks left of the lease; negative once it has run out; of a GONE row minus the ticks since.
    lease: int
    process: int
    #: Ticks left of the lease as the process itself counts them, and whether its clock has lost one.
    local: int
    drifted: int
    mail: int
    #: Ticks since the renewal was sent.
    mail_age: int
    first: int
    second: int
    new: int
    sighting: int
    late_writes: int
    #: Whether a later migration has made another column of that name.
    later: int
    listed: int


Way = tuple[int, str, State]


@dataclasses.dataclass(frozen=True)
class Bounds:
    """One corner of the world to search, in ticks."""

    name: str
    transactional: bool = True
    #: Sessions cannot be told apart behind a pooler: a living taker's may be taken for closed.
    pooler: bool = False
    lease: int = 2
    lost_grace: int = 1
    rollback: int = 1
    quiet: int = 0
    keep: int = 1
    drift: bool = True
    takers: int = 2
    #: Renewals travel, and can be late or lost; else they take no time.
    mail: bool = True
    #: A transaction that renews takes time.
    slow_renewals: bool = False
    sightings: bool = False
    late_writes: bool = False
    withdrawals: bool = False
    #: Other steps are slated: the epoch changes.
    epochs: bool = False
    #: A later migration makes another column of that name.
    later: bool = False
    #: Closed sessions can be proven closed.
    proof: bool = True
    #: A held migration, which removes nothing, runs whole and is never set aside.
    whole: bool = False
    #: An epoch is kept on the step; an older guard may slate it again without forgetting that.
    listings: bool = False
    #: The step is one project's, another one is at work in the database too, and never reports; the old instance is of
    #: this one.
    projects: bool = False
    old_project: str = ""

    @property
    def policy(self) -> verdict.Policy:
        return verdict.Policy(
            lost_grace=self.lost_grace,
            quiet_period=self.quiet,
            rollback_window=self.rollback,
            keep_for=self.keep,
            adoption_period=0.0,
            workload_window=0.0,
        )


@dataclasses.dataclass(frozen=True)
class Rules:
    """The code under test, and the discipline of the shell around it. A mutant replaces or leaves out one."""

    decide: Callable[[verdict.Evidence, verdict.Policy], verdict.Verdict] = verdict.decide
    decide_erase: Callable[[verdict.Evidence, verdict.Policy], verdict.Verdict] = verdict.decide_erase
    admission: Callable[..., tuple[InstanceState, tuple[object, ...]]] = protocol.admission
    may_renew: Callable[[InstanceState, float, float], bool] = protocol.may_renew
    seal: Callable[..., Step] = protocol.seal
    reopen: Callable[..., Step] = protocol.reopen
    set_aside: Callable[..., Step] = protocol.set_aside
    finish: Callable[..., Step] = protocol.finish
    restore: Callable[..., Step] = protocol.restore
    void: Callable[..., Step] = protocol.void
    settle: Callable[..., Step] = protocol.settle
    #: A registration reads the steps under the gate row's shared lock.
    register_locks: bool = True
    #: A registration whose wait for the lock ends in a timeout is rolled back whole.
    register_rolls_back: bool = True
    #: A taker reads the evidence, and seals, under its exclusive lock.
    gate_locks: bool = True
    #: A taker locks the rows of relying instances before it reads them: a renewal under way is waited for.
    rows_lock: bool = True
    #: A transition is written only over the version that it was made from.
    compares_versions: bool = True
    #: The evidence is read once more under the seal.
    looks_again: bool = True
    #: The seal is committed before any DDL.
    seals_first: bool = True
    #: The token is read again in the DDL's own transaction (or right before it).
    rereads_token: bool = True
    #: A seal is settled only when its taker's session is closed.
    settles_after_session: bool = True
    #: A dead taker's seal is settled at all.
    settles: bool = True
    #: Where DDL is not transactional, restoring is sealed as well.
    restore_seals: bool = True
    #: An instance measures its lease from before it sent the renewal.
    lease_from_sending: bool = True
    #: An instance stops relying on a lease that has run out by its own clock.
    minds_own_lease: bool = True
    #: A REFUSED instance is looked at again under the gate row's shared lock.
    readmit_locks: bool = True
    #: And asked for what is taken, as when it registered.
    readmission: Callable[..., tuple[InstanceState, tuple[object, ...]]] = protocol.admission
    #: The epoch that is kept on a step is read when its slating is committed.
    lists_committed: bool = True
    #: A REFUSED instance is looked at again.
    looks_at_refused: bool = True
    #: A late write can be acknowledged.
    acknowledges: bool = True


class Violation(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


@dataclasses.dataclass
class Result:
    states: int
    transitions: int
    #: The invariant that does not hold, and how it comes about.
    broken: str = ""
    trace: tuple[str, ...] = ()


class Search:
    """Every state that is reachable from the start, each invariant in each of them."""

    def __init__(self, bounds: Bounds, rules: Rules = Rules()) -> None:
        self.bounds = bounds
        self.rules = rules
        self.policy = bounds.policy
        #: Beyond this many ticks after its end no rule asks about an instance any more.
        self.clip = max(bounds.lost_grace, bounds.rollback, 1)
        self._memo: dict[object, object] = {}
        label = "shop" if bounds.projects else ""
        self.old = dataclasses.replace(OLD, project=bounds.old_project)
        self.new = dataclasses.replace(NEW, project=label)
        self.footprints = {"old": self.old, "new": self.new, "foreign": FOREIGN}

    # The code under test, called with values made from a state.

    def facts(self, s: State) -> tuple[int, ...]:
        """What the step's row is made of."""
        return s.step, s.holder, s.slated, s.reopened, s.aside, s.later, s.listed

    def row(self, s: State) -> Step:
        """The step's row as the ledger has it in this state."""
        key = ("row", *self.facts(s))
        made = self._memo.get(key)
        if made is None:
            from_aside = s.step in (ASIDE, SEALED_ASIDE) or (s.step == DONE and not self.bounds.whole)
            sealed = s.step in (SEALED, SEALED_ASIDE)
            made = self._memo[key] = Step(
                id=1,
                kind=StepKind.MIGRATION if self.bounds.whole else StepKind.COLUMN,
                state=(
                    StepState.WAITING,
                    StepState.SEALED,
                    StepState.ASIDE,
                    StepState.SEALED,
                    StepState.DONE,
                    StepState.WITHDRAWN,
                )[s.step],
                app="shop",
                migration="0002_remove_book_isbn",
                table="" if self.bounds.whole else "shop_book",
                column="" if self.bounds.whole else "isbn",
                payload=({protocol.RECLAIMED: True} if s.later else {})
                | ({LISTED: [1, EPOCH - 1]} if s.listed != UNLISTED else {}),
                slatings=3 if s.listed == LISTED_BEFORE else 1,
                project=self.new.project,
                slated_at=NOW - s.slated,
                reopened_at=NOW - s.reopened,
                token=TOKENS[s.holder],
                sealer="session" if sealed else "",
                sealed_at=NOW if sealed else None,
                aside_name="guard_1_isbn" if from_aside else "",
                aside_at=NOW - s.aside if from_aside else None,
            )
        assert isinstance(made, Step)
        return made

    def written(self, s: State, step: Step) -> State:
        """The state after a transition's result has been written."""
        index = {
            StepState.WAITING: WAITING,
            StepState.SEALED: SEALED_ASIDE if step.aside_name else SEALED,
            StepState.ASIDE: ASIDE,
            StepState.DONE: DONE,
            StepState.WITHDRAWN: WITHDRAWN,
        }[step.state]
        if step.state in (StepState.WAITING, StepState.WITHDRAWN) and step.aside_name:
            raise Violation("I2", "in place, and remembered as set aside: its next seal would erase")
        most = max(self.bounds.rollback, self.bounds.quiet)
        if self.rules.compares_versions:
            # Whoever has read the row in the gate will not be able to write it.
            s = s._replace(first=self.overtaken(s.first), second=self.overtaken(s.second))
        return s._replace(
            step=index,
            holder=TOKENS.index(step.token),
            slated=min(int(NOW - step.slated_at), most),
            reopened=min(int(NOW - step.reopened_at), most) if step.reopened_at is not None else most,
            aside=min(int(NOW - step.aside_at), self.bounds.keep)
            if step.aside_at is not None and index in (ASIDE, SEALED_ASIDE)
            else 0,
            later=int(bool(step.payload.get(protocol.RECLAIMED))),
            listed=s.listed if LISTED in step.payload else UNLISTED,
        )

    def overtaken(self, taker: int) -> int:
        return 0 if taker and (taker - 1) // 3 == IN_GATE else taker

    def transit(self, s: State, name: str, *arguments: object) -> State | None:
        """What a transition of the protocol makes of this state; None where the protocol refuses it."""
        key = (name, self.facts(s), arguments)
        if key not in self._memo:
            function = getattr(self.rules, name, None) or getattr(protocol, name)
            try:
                self._memo[key] = function(self.row(s), *arguments)
            except protocol.ProtocolError:
                self._memo[key] = None
        step = self._memo[key]
        if step is None:
            return None
        after = self.written(s, step)  # type: ignore[arg-type]
        if name == "restore" and self.bounds.rollback and after.reopened:
            raise Violation("windows", "restoring does not start the roll-back window anew")
        return after

    def judged(
        self, s: State, purpose: int, *, proven: bool = False, blind: bool = False, by: Footprint | None = None
    ) -> verdict.Verdict:
        key = (
            ("verdict", purpose, proven, blind, by.digest if by else ""),
            self.facts(s),
            (s.row, s.lease, s.new, s.sighting, s.late_writes),
        )
        made = self._memo.get(key)
        if made is None:
            function = self.rules.decide_erase if purpose == ERASE else self.rules.decide
            made = self._memo[key] = function(self.evidence(s, proven, blind, by or self.new), self.policy)
        assert isinstance(made, verdict.Verdict)
        return made

    def evidence(self, s: State, proven: bool, blind: bool, by: Footprint) -> verdict.Evidence:
        instances = []
        if self.bounds.projects:
            instances.append(
                Instance(
                    id="foreign",
                    release="7",
                    digest="foreign",
                    kind=InstanceKind.SERVER,
                    workload="web",
                    state=InstanceState.LIVE,
                    registered_at=LONG_AGO,
                    renewed_at=NOW,
                    expires_at=NOW + self.bounds.lease,
                    project=FOREIGN.project,
                )
            )
        if s.row != NO_ROW:
            gone = s.row == GONE
            instances.append(
                Instance(
                    id="old",
                    release="1",
                    digest="old",
                    kind=InstanceKind.SERVER,
                    workload="web",
                    state=(None, InstanceState.LIVE, InstanceState.REFUSED, InstanceState.GONE)[s.row],  # type: ignore[arg-type]
                    registered_at=LONG_AGO,
                    renewed_at=NOW + s.lease - self.bounds.lease,
                    expires_at=NOW + s.lease,
                    ended_at=NOW + s.lease if gone else None,
                    watched_epoch=EPOCH,
                    flushed_epoch=EPOCH,
                    project=self.old.project,
                )
            )
        if s.new != ABSENT:
            gone = s.new == STOPPED_CLEANLY
            instances.append(
                Instance(
                    id="new",
                    release="2",
                    digest="new",
                    kind=InstanceKind.SERVER,
                    workload="web",
                    state=InstanceState.GONE if gone else InstanceState.LIVE,
                    registered_at=NOW,
                    renewed_at=NOW,
                    expires_at=NOW + self.bounds.lease,
                    ended_at=NOW if gone else None,
                    watched_epoch=EPOCH,
                    flushed_epoch=self.flushed(s),
                    project=self.new.project,
                )
            )
        sightings: tuple[Sighting, ...] = ()
        if s.sighting != UNSEEN:
            sightings = (
                Sighting("shop_book", "isbn", Access.READ, "2", "new", "web", "a.py:1 in f", "", "", 1, NOW, NOW),
            )
        return verdict.Evidence(
            now=NOW,
            step=self.row(s),
            epoch=EPOCH,
            footprints=self.footprints,
            instances=tuple(instances),
            sightings=sightings,
            first_registered_at=LONG_AGO,
            environment=None,
            taker_footprint=by,
            applied=True,
            unreadable=("dependents",) if blind else (),
            late_writes=s.late_writes,
            proven_closed=frozenset({"old"}) if proven else frozenset(),
        )

    def flushed(self, s: State) -> int:
        """The epoch for which the new instance has flushed; the one that the step keeps is EPOCH - 1."""
        if s.new == BEHIND and s.listed == LISTED_NOW and self.rules.lists_committed:
            return EPOCH - 2
        if s.new == BEHIND:
            return EPOCH - 1
        return EPOCH - 1 if s.new == TRAILING else EPOCH

    # The world.

    def start(self) -> list[State]:
        most = max(self.bounds.rollback, self.bounds.quiet)
        empty = State(
            step=WAITING,
            holder=NOBODY,
            slated=0,
            reopened=most,
            aside=0,
            catalog=ORIGINAL,
            row=NO_ROW,
            lease=0,
            process=STOPPED,
            local=0,
            drifted=0,
            mail=NO_MAIL,
            mail_age=0,
            first=0,
            second=0,
            new=ABSENT,
            sighting=UNSEEN,
            late_writes=0,
            later=0,
            listed=UNLISTED,
        )
        running = empty._replace(row=LIVE, lease=self.bounds.lease, process=ADMITTED, local=self.bounds.lease)
        return [running, running._replace(new=BEHIND), empty]

    def check(self, s: State) -> None:
        """The invariants of a state."""
        if not self.bounds.whole and (s.catalog != ORIGINAL or s.step in (ASIDE, SEALED_ASIDE, DONE)):
            self.nobody_old(s)
        if s.step in (WAITING, WITHDRAWN) and s.catalog != ORIGINAL:
            raise Violation("I2", "the ledger says that it is in place, and it is not")
        if s.step == ASIDE and s.catalog == ERASED:
            raise Violation("I2", "the ledger says that it is set aside, and it is erased")
        if s.step == DONE and s.catalog != ERASED:
            raise Violation("I2", "the ledger says that it is done, and it is not")

    def nobody_old(self, s: State) -> None:
        if s.row == LIVE and s.lease > 0:
            raise Violation("I1", "the ledger admits an instance that relies on what was taken")
        if s.process == ADMITTED and s.local > 0:
            raise Violation("I1", "a process that relies on what was taken holds a lease that it may trust")

    def successors(self, s: State) -> Iterator[Way]:
        """What can happen next: the worlds that it belongs to, what it is, and the state after it."""
        yield from self.time(s)
        yield from self.old_instance(s)
        yield from self.renewal(s)
        yield from self.new_instance(s)
        yield from self.operator(s)
        yield from self.taker(s, FIRST)
        if self.bounds.takers > 1:
            yield from self.taker(s, SECOND)

    def time(self, s: State) -> Iterator[Way]:
        most = max(self.bounds.rollback, self.bounds.quiet)
        # A renewal that is older than a lease tells nobody anything.
        stale = s.mail == NO_MAIL or (s.mail != CHECKED and s.mail_age >= self.bounds.lease)
        later = s._replace(
            slated=min(s.slated + 1, most),
            reopened=min(s.reopened + 1, most),
            aside=min(s.aside + 1, self.bounds.keep) if s.step in (ASIDE, SEALED_ASIDE) else 0,
            lease=max(s.lease - 1, -self.clip) if s.row != NO_ROW else 0,
            mail=NO_MAIL if stale else s.mail,
            mail_age=0 if stale else min(s.mail_age + 1, self.bounds.lease),
            sighting=UNSEEN,
        )
        if later.row == GONE and later.lease <= -self.clip:
            later = later._replace(row=NO_ROW, lease=0)
        if s.process != ADMITTED:
            yield EITHER, "a tick passes", later
            return
        yield EITHER, "a tick passes", self.believing(later, s.local - 1)
        if self.bounds.drift and not s.drifted:
            yield STAYS, "a tick passes, and the old instance's clock loses it", later._replace(drifted=1)

    def believing(self, s: State, local: int) -> State:
        """The process counts so many ticks of its lease; with none left it is unregistered again."""
        if local > 0:
            return s._replace(process=ADMITTED, local=local)
        if not self.rules.minds_own_lease:
            return s._replace(process=ADMITTED, local=1)
        return s._replace(process=UNREGISTERED, local=0, drifted=0)

    def exclusive(self, s: State) -> bool:
        """Whether a taker holds the gate row's exclusive lock."""
        return self.rules.gate_locks and self.in_gate(s)

    def in_gate(self, s: State) -> bool:
        return any(t and (t - 1) // 3 == IN_GATE for t in (s.first, s.second))

    def shared(self, s: State) -> bool:
        """Whether a registration holds its shared lock."""
        if s.process in (ADMITTING_AGAIN, REFUSING_AGAIN):
            return self.rules.readmit_locks
        return self.rules.register_locks and s.process in (ADMITTING, REFUSING)

    def old_instance(self, s: State) -> Iterator[Way]:
        lease = self.bounds.lease
        if s.process == STOPPED:
            # One slot stands for every old process: the next one starts when nothing is known of the last.
            if s.mail != CHECKED and (s.row == NO_ROW or s.lease <= -self.clip):
                fresh = s._replace(row=NO_ROW, lease=0, process=UNREGISTERED, mail=NO_MAIL, mail_age=0)
                yield STAYS, "an old instance starts", fresh
            return
        gone = s._replace(process=STOPPED, local=0, drifted=0)
        if s.mail == ANSWERED:
            gone = gone._replace(mail=NO_MAIL, mail_age=0)
        yield LEAVES, "the old instance crashes", gone
        if s.process in (ADMITTING_AGAIN, REFUSING_AGAIN) and s.row not in (LIVE, REFUSED):
            yield EITHER, "the old instance is not known any more", s._replace(process=UNREGISTERED)
            return
        if s.process in (ADMITTING, REFUSING, ADMITTING_AGAIN, REFUSING_AGAIN):
            admitted = s.process in (ADMITTING, ADMITTING_AGAIN)
            if s.step in (SEALED, SEALED_ASIDE) and admitted:
                raise Violation("I3", "a registration is admitted under the seal")
            done = s._replace(row=LIVE if admitted else REFUSED, lease=lease, mail=NO_MAIL, mail_age=0, drifted=0)
            told = self.believing(done, lease) if admitted else done._replace(process=TURNED_AWAY, local=0)
            yield EITHER, "the registration commits", told
            unaware = done._replace(process=UNREGISTERED, local=0)
            yield EITHER, "the registration commits, and its answer is lost", unaware
            return
        if s.row in (LIVE, REFUSED) and s.mail != CHECKED:
            ended = gone._replace(row=GONE, lease=0, mail=NO_MAIL, mail_age=0)
            yield LEAVES, "the old instance stops and says so", ended
        writes = self.bounds.late_writes and s.process == ADMITTED and s.step == WAITING
        if writes and s.catalog == ORIGINAL and not s.late_writes:
            yield STAYS, "the old instance writes late", s._replace(late_writes=1)
        looks = s.process == UNREGISTERED or (s.process == TURNED_AWAY and self.rules.looks_at_refused)
        if looks and self.exclusive(s) and not self.rules.register_rolls_back:
            yield STAYS, "a registration times out, and its row stays", s._replace(row=LIVE, lease=lease)
        if looks and s.mail != CHECKED and not self.exclusive(s):
            again = s.process == TURNED_AWAY
            process = (REFUSING, ADMITTING, REFUSING_AGAIN, ADMITTING_AGAIN)[2 * again + self.admitted(s, again)]
            reading = s._replace(process=process, local=0, mail=NO_MAIL, mail_age=0, drifted=0)
            what = "is looked at again" if again else "registers"
            yield STAYS, f"the old instance {what} and reads the steps", reading
        if s.process == ADMITTED and s.mail == NO_MAIL:
            if self.bounds.mail:
                yield STAYS, "the old instance sends a renewal", s._replace(mail=SENT, mail_age=0)
            elif self.renewable(s) and not self.row_locked(s):
                yield STAYS, "the old instance renews", self.believing(s._replace(lease=lease, drifted=0), lease)

    def admitted(self, s: State, again: bool) -> bool:
        key = ("admission", self.facts(s), again)
        if key not in self._memo:
            row = self.row(s)
            admission = self.rules.readmission if again else self.rules.admission
            self._memo[key] = admission(self.old, (row,))[0] is InstanceState.LIVE
            if s.later and self.rules.admission(LATER, (row,))[0] is not InstanceState.LIVE:
                raise Violation("roll-forward", "a release that means the later column is refused")
        return bool(self._memo[key])

    def renewable(self, s: State) -> bool:
        if s.row not in (LIVE, REFUSED):
            return False
        state = InstanceState.LIVE if s.row == LIVE else InstanceState.REFUSED
        return self.rules.may_renew(state, NOW + s.lease, NOW)

    def row_locked(self, s: State) -> bool:
        """Whether a taker in the gate holds the old instance's row."""
        return self.rules.rows_lock and self.in_gate(s)

    def renewal(self, s: State) -> Iterator[Way]:
        """A renewal travels: it reaches the ledger now, or long after it was sent, or never."""
        lost = s._replace(mail=NO_MAIL, mail_age=0)
        if s.mail == SENT:
            yield STAYS, "the renewal is lost", lost
            if self.row_locked(s):
                return
            if not self.renewable(s):
                if s.process == ADMITTED:
                    lost = lost._replace(process=UNREGISTERED, local=0, drifted=0)
                yield STAYS, "the renewal finds no lease", lost
            elif self.bounds.slow_renewals:
                yield STAYS, "the renewal finds a lease, and has not committed", s._replace(mail=CHECKED)
            else:
                yield STAYS, "the renewal reaches the ledger", self.renewed(s)
        elif s.mail == CHECKED:
            yield EITHER, "the renewal is rolled back", lost
            yield EITHER, "the renewal commits", self.renewed(s)
        elif s.mail == ANSWERED:
            yield STAYS, "the renewal's answer is lost", lost
            left = self.bounds.lease - (s.mail_age if self.rules.lease_from_sending else 0)
            if s.process in (UNREGISTERED, ADMITTED) and left > s.local:
                yield STAYS, "the renewal's answer arrives", self.believing(lost._replace(drifted=0), left)

    def renewed(self, s: State) -> State:
        if s.row == LIVE and s.step in (SEALED, SEALED_ASIDE):
            raise Violation("I3", "a renewal is admitted under the seal")
        if s.process == STOPPED:
            return s._replace(lease=self.bounds.lease, mail=NO_MAIL, mail_age=0)
        return s._replace(lease=self.bounds.lease, mail=ANSWERED)

    def new_instance(self, s: State) -> Iterator[Way]:
        if s.new in (ABSENT, STOPPED_CLEANLY) and not self.exclusive(s):
            yield EITHER, "a new instance registers", s._replace(new=SERVING)
        if s.new in (SERVING, BEHIND, TRAILING):
            yield STAYS, "the new instance stops and says so", s._replace(new=STOPPED_CLEANLY)
            yield STAYS, "the new instance crashes", s._replace(new=ABSENT)
        if s.new in (BEHIND, TRAILING):
            yield EITHER, "the new instance flushes", s._replace(new=SERVING)
        if self.bounds.epochs and s.new == SERVING:
            yield STAYS, "another step is slated", s._replace(new=TRAILING)
        if (
            self.bounds.sightings
            and s.new in (SERVING, BEHIND, TRAILING)
            and s.catalog == ORIGINAL
            and s.sighting == UNSEEN
        ):
            seen = s._replace(new=SERVING, sighting=SEEN_LATE if s.step == SEALED else SEEN)
            yield STAYS, "the new instance flushes a sighting", seen

    def operator(self, s: State) -> Iterator[Way]:
        if s.late_writes and self.rules.acknowledges:
            yield EITHER, "the late write is acknowledged", s._replace(late_writes=0)
        if s.row in (LIVE, REFUSED) and s.lease <= 0 and s.process in (UNREGISTERED, TURNED_AWAY) and s.mail != CHECKED:
            yield STAYS, "the old instance, which is lost, is forgotten", s._replace(row=GONE, lease=0)
        if s.step == ASIDE and self.bounds.transactional:
            back = self.transit(s, "restore", NOW)
            if back:
                self.may_come_back(s)
                yield STAYS, "the column is restored", back._replace(catalog=ORIGINAL)
        if s.step == ASIDE and not self.bounds.transactional and not self.rules.restore_seals:
            raise Violation("I2", "DDL runs without a seal")
        if self.bounds.later and not s.later and s.step in (ASIDE, DONE):
            reclaimed = self.transit(s, "reclaim", NOW)
            if reclaimed:
                yield STAYS, "a later migration makes another column of that name", reclaimed
        if self.bounds.withdrawals and s.step == WAITING:
            gone = self.transit(s, "withdraw", NOW)
            if gone:
                yield STAYS, "the step is withdrawn", gone
        if self.bounds.withdrawals and s.step == DONE and not s.later:
            voided = self.transit(s, "void", NOW)
            if voided:
                yield STAYS, "the migration is unapplied", voided._replace(catalog=ORIGINAL)
        if self.bounds.withdrawals and s.step == WITHDRAWN:
            again = self.transit(s, "reslate", NOW)
            if again:
                behind = again._replace(new=BEHIND) if s.new in (SERVING, TRAILING) else again
                yield STAYS, "the step is slated again", behind._replace(listed=UNLISTED)
                if s.listed != UNLISTED:
                    older = behind._replace(listed=LISTED_BEFORE)
                    yield STAYS, "an older guard slates the step again", older
        if self.bounds.listings and s.step == WAITING and s.listed != LISTED_NOW:
            # Whoever has not flushed since this moment is behind, as far as the kept epoch tells.
            listed = s._replace(listed=LISTED_NOW)
            if s.new == TRAILING and self.rules.lists_committed:
                listed = listed._replace(new=BEHIND)
            yield STAYS, "an epoch is kept on the step", listed
        if s.step in (SEALED, SEALED_ASIDE) and self.rules.settles and self.looks_closed(s):
            original = s.catalog == ORIGINAL or bool(s.later)
            found = protocol.Found(original, s.catalog == SET_ASIDE, "guard_1_isbn")
            settled = self.transit(s, "settle", found, NOW)
            if settled:
                yield EITHER, "the seal is settled from the catalog", settled

    def looks_closed(self, s: State) -> bool:
        """Whether the sealer's session is taken for closed."""
        if s.holder == DEAD or self.bounds.pooler:
            return True
        t = s.first if s.holder == FIRST else s.second
        return not self.rules.settles_after_session and (t - 1) // 3 == ORPHAN

    def taker(self, s: State, me: int) -> Iterator[Way]:
        code = s.first if me == FIRST else s.second
        who = "the first taker" if me == FIRST else "the second taker"
        if not code:
            for purpose in (TAKE, ERASE, RESTORE):
                yield from self.enter(s, me, who, purpose)
            return
        place, purpose = divmod(code - 1, 3)
        idle = self.at(s, me, 0)
        # A crash rolls its open transaction back, closes its session, and leaves a committed seal behind.
        dead = idle._replace(holder=DEAD) if s.holder == me else idle
        if place != ORPHAN:
            yield STAYS, f"{who} crashes", dead
        if place == IN_GATE:
            yield EITHER, f"{who} gives up", idle
            yield from self.commit_seal(s, me, who, purpose)
        elif place == HAS_SEAL:
            yield from self.reopening(s, me, f"{who} reopens", idle)
            # Behind a pooler its seal may have been taken from it; it does not know.
            known = s.step == (SEALED if purpose == TAKE else SEALED_ASIDE)
            if purpose == RESTORE or not self.rules.looks_again or (known and self.clear(s, purpose)):
                yield EITHER, f"{who} looks again", self.at(s, me, 1 + 3 * LOOKED + purpose)
        elif place == LOOKED:
            yield from self.reopening(s, me, f"{who} does not get its lock, and reopens", idle)
            yield from self.change(s, me, who, purpose, idle)
        elif place == TOKEN_READ:
            crashed = self.at(s, me, 1 + 3 * ORPHAN + purpose)
            yield STAYS, f"{who} crashes with its statement under way", crashed
            yield from self.reopening(s, me, f"{who}'s statement fails, and it reopens", idle)
            changed = self.changed(s, me, purpose)
            yield EITHER, f"{who}'s statement is done", self.at(changed, me, 1 + 3 * CHANGED + purpose)
        elif place == ORPHAN:
            yield EITHER, f"{who}'s orphaned statement fails", dead
            changed = self.changed(s, me, purpose)
            yield EITHER, f"{who}'s orphaned statement is done", dead._replace(catalog=changed.catalog)
        elif place == CHANGED:
            recorded = self.record(s, me, purpose)
            yield EITHER, f"{who} records what it did", self.at(recorded, me, 0) if recorded else idle

    def at(self, s: State, me: int, code: int) -> State:
        return s._replace(first=code) if me == FIRST else s._replace(second=code)

    def clear(self, s: State, purpose: int) -> bool:
        proven = self.bounds.proof and s.process == STOPPED
        return self.judged(s, purpose, proven=proven).clear

    def reopening(self, s: State, me: int, what: str, idle: State) -> Iterator[Way]:
        reopened = self.transit(s, "reopen", TOKENS[me], NOW)
        if reopened is None:
            yield EITHER, f"{what}: its seal is gone", idle
            return
        if s.holder != me:
            raise Violation("I2", "a seal is ended by somebody who does not hold it")
        yield EITHER, what, self.at(reopened, me, 0)

    def enter(self, s: State, me: int, who: str, purpose: int) -> Iterator[Way]:
        """Take the gate's lock and read the evidence under it."""
        if s.step != (WAITING if purpose == TAKE else ASIDE):
            return
        entered = self.at(s, me, 1 + 3 * IN_GATE + purpose)
        if purpose == RESTORE:
            # Harms nobody, and so needs no verdict and no lock: versions are compared.
            if not self.bounds.transactional and self.rules.restore_seals:
                yield EITHER, f"{who} is about to restore", entered
            return
        if self.exclusive(s) or self.shared(s) or (self.rules.rows_lock and s.mail == CHECKED):
            return
        if self.judged(s, purpose, blind=True).clear:
            raise Violation("I4", "a verdict is clear though a witness could not be read")
        proven = self.bounds.proof and s.process == STOPPED
        if any(self.judged(s, purpose, proven=proven, by=other).clear for other in self.no_takers()):
            raise Violation("I4", "old code, or another project, may take it")
        if not self.clear(s, purpose):
            self.must_refuse(s, purpose)
            self.must_not_wait(s, purpose)
            return
        self.may_seal(s, purpose)
        self.may_think_so(s, purpose)
        yield EITHER, f"{who} enters the gate, and its verdict is clear", entered

    def no_takers(self) -> tuple[Footprint, ...]:
        """Whose verdict is never clear."""
        return (self.old, FOREIGN) if self.bounds.projects else (self.old,)

    def must_not_wait(self, s: State, purpose: int) -> None:
        """What is slated after the step is no reason to wait."""
        if purpose == TAKE and s.new == TRAILING and s.listed == LISTED_NOW:
            blocked = self.judged(s, purpose).blockers
            if any(blocker.code == "not-watching" and blocker.who != "release 7 (web)" for blocker in blocked):
                raise Violation("prompt", "an instance that watches the step, and has reported since, is waited for")

    def must_refuse(self, s: State, purpose: int) -> None:
        """A seal on a verdict that is not clear is refused by the protocol itself."""
        key = ("refuse", self.facts(s))
        if key not in self._memo:
            blocked = self.judged(s, purpose, blind=True)
            try:
                self._memo[key] = self.rules.seal(self.row(s), blocked, "token", "session", NOW)
            except protocol.ProtocolError:
                self._memo[key] = None
        if self._memo[key] is not None:
            raise Violation("I4", "sealed on a verdict that is not clear")

    def commit_seal(self, s: State, me: int, who: str, purpose: int) -> Iterator[Way]:
        if not self.rules.seals_first:
            self.may_change(s, me, purpose)
        # As it was read in the gate. Where versions are compared nobody has written it since.
        read = s._replace(step=WAITING if purpose == TAKE else ASIDE, holder=NOBODY)
        if purpose == RESTORE:
            sealed = self.transit(read, "seal_to_restore", TOKENS[me], "session", NOW)
        else:
            about = verdict.Verdict(self.row(read), (), (), (), erases=purpose == ERASE)
            key = ("seal", self.facts(read), me)
            if key not in self._memo:
                self._memo[key] = self.rules.seal(self.row(read), about, TOKENS[me], "session", NOW)
            sealed = self.written(read, self._memo[key])  # type: ignore[arg-type]
            self.may_seal(s, purpose)
        if sealed:
            yield EITHER, f"{who} commits its seal", self.at(sealed, me, 1 + 3 * HAS_SEAL + purpose)

    def may_seal(self, s: State, purpose: int) -> None:
        """What a seal stands for, said again without the verdict."""
        if s.row not in (LIVE, REFUSED):
            return
        if s.lease > 0:
            raise Violation("I3", "sealed while a live instance relies on it")
        if s.lease + self.bounds.lost_grace > 0 and s.process != STOPPED:
            raise Violation("I5", "sealed while a lost instance that may come back relies on it")

    def may_think_so(self, s: State, purpose: int) -> None:
        """What else a clear verdict says of the moment in which its evidence was read."""
        if purpose == ERASE:
            if s.aside < self.bounds.keep:
                raise Violation("windows", "clear to erase before it has been kept for long enough")
            return
        if s.row != NO_ROW and s.lease + self.bounds.rollback > 0:
            raise Violation("windows", "clear within the roll-back window of an old release")
        if s.reopened < self.bounds.rollback:
            raise Violation("windows", "clear within the roll-back window of its restoring")
        if s.new == ABSENT:
            raise Violation("I4", "clear though no new code was ever seen")
        if s.new == BEHIND or (s.new == TRAILING and s.listed != LISTED_NOW):
            raise Violation("I4", "clear though a live instance has not said what it saw")
        if s.sighting != UNSEEN:
            raise Violation("I4", "clear though something has touched it within the quiet period")
        if s.late_writes:
            raise Violation("I4", "clear though a late write is unacknowledged")

    def may_change(self, s: State, me: int, purpose: int) -> None:
        """What must hold at the moment of the DDL."""
        if s.step != (SEALED if purpose == TAKE else SEALED_ASIDE) or s.holder != me:
            raise Violation("I2", "DDL runs without the seal's token")
        if s.sighting == SEEN and purpose == TAKE:
            raise Violation("I4", "DDL runs although a sighting was durable before the seal")
        if purpose == RESTORE:
            self.may_come_back(s)
        elif self.bounds.whole:
            self.nobody_old(s)

    def may_come_back(self, s: State) -> None:
        if s.later:
            raise Violation("I2", "restored over a later column of the same name")

    def changed(self, s: State, me: int, purpose: int) -> State:
        """The DDL."""
        self.may_change(s, me, purpose)
        taken = ERASED if self.bounds.whole else SET_ASIDE
        return s._replace(catalog=(taken, ERASED, ORIGINAL)[purpose])

    def change(self, s: State, me: int, who: str, purpose: int, idle: State) -> Iterator[Way]:
        if s.holder != me and self.rules.rereads_token:
            yield EITHER, f"{who} reads that its seal is gone", idle
        elif not self.bounds.transactional:
            sent = self.at(s, me, 1 + 3 * TOKEN_READ + purpose)
            yield EITHER, f"{who} reads its token and sends its statement", sent
        else:
            recorded = self.record(self.changed(s, me, purpose), me, purpose)
            yield EITHER, f"{who} changes the schema", self.at(recorded, me, 0) if recorded else idle

    def record(self, s: State, me: int, purpose: int) -> State | None:
        if purpose == TAKE and not self.bounds.whole:
            return self.transit(s, "set_aside", TOKENS[me], "guard_1_isbn", NOW)
        if purpose == RESTORE:
            return self.transit(s, "restore", NOW, TOKENS[me])
        return self.transit(s, "finish", TOKENS[me], NOW)

    # The search.

    def run(self) -> Result:
        """Explore; stop at the first state in which an invariant does not hold."""
        # A million small tuples, all kept: there is no garbage among them to collect.
        gc.disable()
        try:
            return self.explore()
        finally:
            gc.enable()

    def explore(self) -> Result:
        index: dict[State, int] = {}
        states: list[State] = []
        parents = array("q")
        words: list[str] = []
        edges = {LEAVES: (array("q"), array("q")), STAYS: (array("q"), array("q"))}
        transitions = 0

        def trace(at: int, last: str) -> tuple[str, ...]:
            lines = [last]
            while at >= 0:
                lines.append(words[at])
                at = parents[at]
            return tuple(reversed(lines))

        def found(state: State, parent: int, word: str) -> int:
            at = index.get(state)
            if at is None:
                at = index[state] = len(states)
                states.append(state)
                parents.append(parent)
                words.append(word)
            return at

        for state in self.start():
            found(state, -1, "at first " + ("an old instance runs" if state.row else "nothing runs"))
        at = 0
        while at < len(states):
            state = states[at]
            try:
                self.check(state)
                for worlds, word, after in self.successors(state):
                    to = found(self.canonical(after), at, word)
                    transitions += 1
                    for world, (sources, targets) in edges.items():
                        if worlds & world:
                            sources.append(at)
                            targets.append(to)
            except Violation as violation:
                return Result(len(states), transitions, violation.invariant, trace(at, str(violation)))
            at += 1
        ends = [i for i, s in enumerate(states) if s.step in (DONE, WITHDRAWN)]
        for i in unreachable(len(states), *edges[LEAVES], ends):
            said = "I8: old users leave and stay away, and no clear end can be reached"
            return Result(len(states), transitions, "I8", trace(i, said))
        served = [i for i, s in enumerate(states) if s.process == ADMITTED]
        for i in unreachable(len(states), *edges[STAYS], served):
            if states[i].catalog != ERASED and not states[i].later:
                said = "roll-back: nothing is lost, and old code cannot be admitted again"
                return Result(len(states), transitions, "roll-back", trace(i, said))
        return Result(len(states), transitions)

    def canonical(self, s: State) -> State:
        """The two takers are alike: states that differ by their names are one."""
        if s.first >= s.second:
            return s
        holder = (NOBODY, SECOND, FIRST, DEAD)[s.holder]
        return s._replace(first=s.second, second=s.first, holder=holder)


def unreachable(count: int, sources: array[int], targets: array[int], ends: list[int]) -> list[int]:
    """The states from which no end can be reached along these edges."""
    first = array("q", bytes(8 * (count + 1)))
    for to in targets:
        first[to + 1] += 1
    for i in range(count):
        first[i + 1] += first[i]
    place = array("q", first)
    backwards = array("q", bytes(8 * len(targets)))
    for source, to in zip(sources, targets, strict=True):
        backwards[place[to]] = source
        place[to] += 1
    reached = bytearray(count)
    queue = list(ends)
    for i in ends:
        reached[i] = 1
    while queue:
        to = queue.pop()
        for k in range(first[to], first[to + 1]):
            source = backwards[k]
            if not reached[source]:
                reached[source] = 1
                queue.append(source)
    return [i for i in range(count) if not reached[i]]
