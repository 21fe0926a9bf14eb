"""This process as an instance in one ledger: registered, renewed, judged, and given up at the end."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from django.db import DatabaseError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from guard import attribution, conf, events
from guard.attribution.watchlist import WatchList
from guard.ledger import connecting, listing, rows, store
from guard.runtime import bypass, clock, riding, testimony, watch
from guard.runtime.grumble import grumble, logger
from guard.runtime.sightings import Batch
from guard.schema import catalog, declared
from guard.schema.footprint import Footprint

#: Beats for which a lease lasts.
BEATS = 3

#: Missing columns that are named one by one.
MAX_NAMED = 10

#: Seconds after which a beat is made in full again, however many were made on the application's connection meanwhile:
#: those do not look whether the models fit the database.
FULL_EVERY = 300.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process says of itself to every ledger."""

    id: str
    kind: rows.InstanceKind
    workload: str
    recurring: bool
    host: str
    pid: int


#: Settles seals whose taker is gone, so that nobody stays refused for them; the gate, which can, puts itself here.
settle: Callable[[BaseDatabaseWrapper], None] | None = None


class Lease:
    """The registration of one process in one ledger. Its methods may be called from any thread.

    `state` is None while the process is unregistered; what is counted meanwhile is kept.
    """

    def __init__(self, alias: str, identity: Identity) -> None:
        self.alias = alias
        self.identity = identity
        self.state: rows.InstanceState | None = None
        #: What it relies on that was taken away.
        self.refusals: tuple[rows.Refusal, ...] = ()
        #: Ids of erased steps that refuse it, and the release that does without all of them.
        self._advised: tuple[tuple[int, ...], str] = ((), "")
        #: Why it is not ready though it is registered: one sentence for each thing, for people.
        self.reasons: tuple[str, ...] = ()
        self._eye = watch.eye(alias)
        # One conversation with the ledger at a time.
        self._talking = threading.Lock()
        self._renewed: clock.Reading | None = None
        self._length = 0.0
        # Instances that beat in this ledger, as it last said.
        self._fleet = 0
        # Under which the ledger may know this process: the last that it confirmed, and the one that was sent since.
        self._marks: tuple[int, ...] = ()
        self._full_at: clock.Reading | None = None
        # The server had no connection to spare.
        self._turned_away: clock.Reading | None = None
        # The ledger may have a row of this process, whatever came of asking for one.
        self._asked = False
        self._watched = WatchList()
        self._warnings: tuple[str, ...] = ()

    def ready(self) -> bool:
        """Whether it is admitted, holds its lease, and its models fit the database."""
        return self.state is rows.InstanceState.LIVE and not self.reasons and not self.lapsed()

    def lapsed(self) -> bool:
        """Whether its lease has run out by any of the host's clocks; also where it never had one."""
        renewed = self._renewed
        return renewed is None or renewed.age() >= self._length

    @property
    def interval(self) -> float:
        """Seconds until the next beat is due: BEATS to the lease that the ledger has granted."""
        return (self._length or conf.get().lease) / BEATS

    def _wanted(self) -> float:
        """The lease to ask for, in seconds: longer in a fleet that would else beat too often for the database."""
        config = conf.get()
        return max(config.lease, BEATS * self._fleet / config.max_beats_per_second)

    def register(self, patience: float = 5.0) -> None:
        """Register now, unless that was done meanwhile. Raises what the ledger raises.

        `patience`: seconds to wait for another thread that is talking to the ledger.
        """
        told: list[events.Event] = []
        if not self._talking.acquire(timeout=patience):
            return
        try:
            if (self.state is None or self.lapsed()) and not self._makes_way():
                with self._private() as connection:
                    ledger = store.Ledger(connection)
                    self._register(ledger)
                    self._judge(ledger, connection, told, again=False)
                    self._full_at = clock.read()
        finally:
            self._talking.release()
            _publish(told)

    def beat(self) -> None:
        """Renew, flush what was seen, learn what is slated now. Raises what the ledger raises.

        Does nothing where another thread is talking to the ledger already.
        """
        told: list[events.Event] = []
        if self._makes_way() or not self._talking.acquire(blocking=False):
            return
        try:
            with self._private() as connection:
                ledger = store.Ledger(connection)
                if self.state is None:
                    self._register(ledger)
                self._renew(ledger, told)
                self._judge(ledger, connection, told)
                self._full_at = clock.read()
        finally:
            self._talking.release()
            _publish(told)

    def ride(self) -> bool:
        """Renew on the application's idle connection of this thread, if that is all there is to do; whether it did.

        Never waits and never raises: what it cannot do at once is left to `beat`.
        """
        full = self._full_at
        if (
            self.state is not rows.InstanceState.LIVE
            or self.reasons
            or full is None
            or full.elapsed(clock.read()) >= FULL_EVERY
            or self.lapsed()
            or len(self._eye.sightings)
            or not self._talking.acquire(blocking=False)
        ):
            return False
        try:
            connection = riding.idle(self.alias)
            return connection is not None and self._ride(connection)
        except Exception:
            # A lock, a slow server, or a connection that broke while nobody used it: `beat` says what it is.
            return False
        finally:
            self._talking.release()

    def _ride(self, connection: BaseDatabaseWrapper) -> bool:
        length, mark = self._wanted(), self._next_mark()
        sql, params = store.Ledger(connection).renewal(
            self.identity.id, lease=length, watched_epoch=self._watched.epoch, mark=mark, marks=self._marks
        )
        before = clock.read()
        with watch.quiet():
            found = riding.execute(connection, sql, params)
        if found is None:
            return False
        renewal = store.Ledger.renewed(found)
        self._renewed, self._length, self._marks = before, length, (mark,)
        self._fleet = renewal.fleet or self._fleet
        self.state = renewal.state
        # Else there is something to learn.
        return renewal.state is rows.InstanceState.LIVE and renewal.epoch == self._watched.epoch

    def _makes_way(self) -> bool:
        """Whether the server has just had no connection to spare: the application needs the next one more."""
        turned_away = self._turned_away
        return turned_away is not None and turned_away.elapsed(clock.read()) < self.interval / 2

    @contextmanager
    def _private(self) -> Iterator[BaseDatabaseWrapper]:
        try:
            with watch.quiet():
                # MariaDB is asked for its version on the application's connection: never have two where one is left.
                declared.footprint(self.alias)
            with watch.quiet(), connecting.private(self.alias, answer_within=connecting.ANSWER_WITHIN) as connection:
                self._turned_away = None
                yield connection
        except OperationalError as error:
            if connecting.out_of_connections(error):
                self._turned_away = clock.read()
            raise

    def leave(self) -> None:
        """Flush what was seen and say GONE. Raises what the ledger raises."""
        told: list[events.Event] = []
        if not self._asked or not self._talking.acquire(timeout=1.0):
            return
        try:
            with self._private() as connection:
                ledger = store.Ledger(connection)
                if len(self._eye.sightings):
                    self._renew(ledger, told)
                ledger.leave(self.identity.id, self._marks)
            self.state, self._asked = None, False
        finally:
            self._talking.release()
            _publish(told)

    def _register(self, ledger: store.Ledger) -> None:
        try:
            self._register_as(ledger, self.identity)
        except store.IdentityTaken:
            # This process is a copy of another one (a cloned machine), or the other way round.
            self.identity = replace(self.identity, id=uuid.uuid4().hex)
            self._marks, self._asked = (), False
            self._register_as(ledger, self.identity)

    def _register_as(self, ledger: store.Ledger, identity: Identity) -> None:
        footprint = declared.footprint(self.alias)
        length = self._wanted()
        session = testimony.session(ledger.connection)
        mark = self._next_mark()
        known = self._marks if self._asked else ()
        # Before it is sent: how long the answer takes is part of the lease.
        before = clock.read()
        self._asked = True
        admission = ledger.register(
            rows.Registration(
                id=identity.id,
                release=release(footprint),
                kind=identity.kind,
                workload=identity.workload,
                recurring=identity.recurring,
                host=identity.host,
                pid=identity.pid,
                process=testimony.process(),
                session=session,
                mark=mark,
                marks=known,
            ),
            footprint,
            lease=length,
            unflushed=len(self._eye.sightings) > 0,
        )
        self._marks = (mark,)
        self._admitted(ledger, admission, footprint, before, length)

    def _next_mark(self) -> int:
        """The mark to send: one that was sent before and not confirmed may have arrived, and is sent again."""
        if len(self._marks) < 2:
            self._marks = (*self._marks, testimony.mark())
        return self._marks[-1]

    def _admitted(
        self,
        ledger: store.Ledger,
        admission: rows.Admission,
        footprint: Footprint,
        before: clock.Reading,
        length: float,
    ) -> None:
        self._watch(ledger, admission.watch, footprint)
        self.refusals = admission.refusals
        self._renewed, self._length = before, length
        self.state = admission.state

    def _watch(self, ledger: store.Ledger, slated: WatchList, footprint: Footprint) -> None:
        attributor = attribution.Attributor(slated, ledger.connection.vendor) if slated.entries else None
        self._eye.open(attributor, slated, footprint, vendor=ledger.connection.vendor)
        bypass.attend(slated=any(eye.attributor is not None for eye in watch.eyes()))
        self._watched = slated

    def _renew(self, ledger: store.Ledger, told: list[events.Event]) -> None:
        sightings = self._eye.sightings
        # The second round is for what came while a batch waited for a ledger that was away.
        for _ in range(2):
            batch = sightings.batch()
            renewal, glimpses = self._send(ledger, batch)
            if renewal is None:
                # A failover or a restore lost the row, or the lease ran out. The same batch goes under its old number.
                self._register(ledger)
                renewal, glimpses = self._send(ledger, batch)
            if renewal is None:
                grumble("renewal", "the ledger of %r forgets this process as soon as it has registered.", self.alias)
                return
            sightings.flushed(batch)
            self.state = renewal.state
            footprint = declared.footprint(self.alias)
            told.extend(self._stale(glimpses, renewal.first_seen, footprint))
            if renewal.epoch != self._watched.epoch:
                slated = ledger.watch_list()
                self._watch(ledger, slated, footprint)
                # Only now: until here, statements were held against the old list.
                ledger.acknowledge(self.identity.id, slated.epoch)
            if not len(sightings):
                return

    def _send(self, ledger: store.Ledger, batch: Batch) -> tuple[rows.Renewal | None, tuple[rows.Glimpse, ...]]:
        length = self._wanted()
        mark = self._next_mark()
        before = clock.read()
        glimpses = batch.glimpses(clock.steady())
        renewal = ledger.beat(
            self.identity.id,
            lease=length,
            watched_epoch=self._watched.epoch,
            flush_no=batch.number,
            glimpses=glimpses,
            mark=mark,
            marks=self._marks,
        )
        if renewal is not None:
            self._renewed, self._length = before, length
            self._marks = (mark,)
            self._fleet = ledger.count_fleet() if renewal.fleet is None else renewal.fleet
        return renewal, glimpses

    def _stale(
        self, glimpses: Sequence[rows.Glimpse], first_seen: Iterable[int], footprint: Footprint
    ) -> Iterable[events.Event]:
        for index in first_seen:
            glimpse = glimpses[index]
            if glimpse.stale:
                yield events.StaleAccess(
                    alias=self.alias,
                    release=release(footprint),
                    table=glimpse.table,
                    column=glimpse.column,
                    migration=glimpse.migration,
                    workload=self.identity.workload,
                    access=glimpse.access.value,
                    call_site=glimpse.call_site,
                    route=glimpse.route,
                    shape=glimpse.shape,
                )

    def _judge(
        self, ledger: store.Ledger, connection: BaseDatabaseWrapper, told: list[events.Event], *, again: bool = True
    ) -> None:
        """Work out whether it is ready. `again`: look at its admission anew."""
        footprint = declared.footprint(self.alias)
        server = self.identity.kind is rows.InstanceKind.SERVER
        if again:
            if any(refusal.step.state is rows.StepState.SEALED for refusal in self.refusals) and settle is not None:
                settle(connection)
            if self.state is rows.InstanceState.REFUSED or (server and ledger.refusals(footprint)):
                length = self._wanted()
                before = clock.read()
                try:
                    admission = ledger.readmit(self.identity.id, footprint, lease=length)
                    self._admitted(ledger, admission, footprint, before, length)
                except store.InstanceMissing:
                    # A failover or a restore lost the row a moment after its renewal.
                    self._register(ledger)
            else:
                self.refusals = ()
        compared = catalog.compare(connection, footprint) if server else catalog.Comparison()
        missing = _missing(compared.missing, self.refusals)
        refusing = conf.get().on_mismatch is conf.OnMismatch.REFUSE
        self._tell(self.sentences(ledger) + (missing if refusing else ()), footprint, told)
        warnings = (() if refusing else missing) + _unlike(compared)
        if warnings != self._warnings:
            self._warnings = warnings
            for warning in warnings:
                logger.warning("guard: %s", warning)

    def sentences(self, ledger: store.Ledger | None = None) -> tuple[str, ...]:
        """Why it is refused; what was erased cannot be restored, so then also the release that runs as things are.

        Without a ledger, as it was when one was last asked.
        """
        erased = tuple(r.step for r in self.refusals if r.step.state is rows.StepState.DONE)
        which = tuple(step.id for step in erased)
        if ledger is not None and which != self._advised[0]:
            # Asked once: every instance of a release that is rolled back to asks.
            try:
                self._advised = which, listing.runs_as_is(ledger, erased) if erased else ""
            except DatabaseError:
                # It is refused all the same, and says so without advice.
                self._advised = which, ""
        fits = self._advised[1] if which == self._advised[0] else ""
        advice = (f"Release {fits} runs as the database is now: deploy that one.",) if fits else ()
        return tuple(map(str, self.refusals)) + advice

    def _tell(self, reasons: tuple[str, ...], footprint: Footprint, told: list[events.Event]) -> None:
        if reasons == self.reasons:
            return
        self.reasons = reasons
        if reasons:
            told.append(
                events.ReleaseRefused(
                    alias=self.alias,
                    release=release(footprint),
                    workload=self.identity.workload,
                    instance=self.identity.id,
                    reasons=reasons,
                )
            )
        else:
            logger.info("guard: what kept this process from being ready on %r is mended.", self.alias)


def release(footprint: Footprint) -> str:
    """The label under which this process registers: the configured one, else the footprint's digest."""
    return conf.release_label(conf.get()) or f"footprint {footprint.digest[:12]}"


def _missing(columns: Sequence[tuple[str, str]], refusals: Iterable[rows.Refusal]) -> tuple[str, ...]:
    """A sentence for each column that the database has not, unless a refusal explains it."""
    taken = {(refusal.step.table.casefold(), refusal.step.column.casefold()) for refusal in refusals}
    unexplained = [
        f"{table}.{column}" if column else table
        for table, column in columns
        if not taken & {(table.casefold(), column.casefold()), (table.casefold(), "")}
    ]
    named = tuple(
        f"{name} is declared by this release's models, but the database does not have it: run `manage.py migrate` "
        f"of this release."
        for name in unexplained[:MAX_NAMED]
    )
    rest = len(unexplained) - MAX_NAMED
    return (
        (*named, f"The database lacks {rest} more columns that this release's models declare.") if rest > 0 else named
    )


def _unlike(compared: catalog.Comparison) -> tuple[str, ...]:
    """A sentence for each column that is there and makes statements of this release fail."""
    named = [
        *(f"{each.table}.{each.column} {each.how}." for each in compared.unlike if each.harmful),
        *(
            f"{each.table}.{each.column} is NOT NULL, and this release neither knows nor fills it: inserts fail."
            for each in compared.unknown
            if each.required
        ),
    ]
    return tuple(named[:MAX_NAMED])


def _publish(told: Iterable[events.Event]) -> None:
    # After the ledger's connection is closed: what a subscriber does takes as long as it takes.
    for event in told:
        events.publish(event)
