"""Takes contract steps: verdict, seal, DDL, record; settles seals that were left behind; restores."""

from __future__ import annotations

import getpass
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import OperationalError

from guard import conf, events
from guard.gate import evidence, verdict
from guard.gate.witnesses import locks, sealer
from guard.ledger import connecting, orders, protocol, retention, rows
from guard.ledger.store import Ledger
from guard.ledger.tables import Conflict
from guard.runtime import process
from guard.schema import declared
from guard.steps import fill, leftover, leftovers, loose_keys, slating
from guard.steps.ddl import ColumnFacts, Ddl, ddl_for, postgresql
from guard.steps.leftovers import Leftover
from guard.steps.locks import is_timeout as is_lock_timeout
from guard.steps.locks import pauses

#: Seconds: the gate's own transaction must end before a registration that waits for its lock gives up.
GATE_LOCK_WAIT = 0.4
GATE_LIMIT = 0.8

#: Seconds after which PostgreSQL ends the session of a taker that says nothing while it holds a table's lock, because
#: its process or its machine was stopped: the application waits for that lock.
DDL_IDLE = 10.0

#: Seconds that a command waits for another taker's living seal.
SEAL_PATIENCE = 5.0


#: Key of a step's payload: NOT NULL has been taken back in the ledger, and perhaps not in the database yet.
REOPENING = "reopening"


class Outcome(StrEnum):
    """How an attempt to take a step ended."""

    ASIDE = "set aside"
    DONE = "done"
    BLOCKED = "blocked"
    #: The table's lock was not to be had in time.
    LOCKED = "locked"
    #: Somebody changed it by hand, or nobody wants it any more.
    RECONCILED = "reconciled"
    #: Another taker is at work on it.
    BUSY = "busy"
    #: Its verdict is clear; what takes it is `migrate`, because its migration is held whole.
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to take a step, and how it ended."""

    step: rows.Step
    outcome: Outcome
    verdict: verdict.Verdict | None = None
    detail: str = ""

    @property
    def taken(self) -> bool:
        return self.outcome in (Outcome.ASIDE, Outcome.DONE)


class Blocked(Exception):
    """A verdict that was clear is not clear any more."""

    def __init__(self, decided: verdict.Verdict, now: float) -> None:
        super().__init__(" ".join(blocker.sentence(now) for blocker in decided.blockers))
        self.verdict = decided


class HeldUp(OperationalError):
    """The database ended the gate's own transaction, because this process did not move for too long: try again."""


class _TokenLost(Exception):
    """The seal is no longer ours."""


class _Changed(Exception):
    """The catalog does not hold what the expand step left."""


def actor() -> str:
    """Who answers for what this process does: GUARD_ACTOR, else user and host."""
    named = os.environ.get("GUARD_ACTOR", "").strip()
    if named:
        return named[:200]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container's user may have no name.
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"[:200]


#: Where CI systems say which job this is.
JOB_VARIABLES = ("CI_JOB_URL", "BUILD_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL")

#: What together is the address of a run of GitHub's.
_GITHUB = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")


def job(environ: Mapping[str, str]) -> str:
    """The address of the CI job that this process belongs to, where the CI system gives it; else empty."""
    named = next((environ[name] for name in JOB_VARIABLES if environ.get(name)), "")
    if named or not all(environ.get(name) for name in _GITHUB):
        return named
    server, repository, run = (environ[name] for name in _GITHUB)
    return f"{server}/{repository}/actions/runs/{run}"


def taker(alias: str) -> evidence.Taker:
    """This process, as the one that would take a step."""
    footprint = declared.footprint(alias)
    label = conf.release_label(conf.get()) or f"footprint {footprint.digest[:12]}"
    me = process.current().leases.get(alias)
    return evidence.Taker(footprint, label, actor(), instance=me.identity.id if me else "")


class Contractor:
    """Takes the contract steps of one database, on a private connection."""

    def __init__(self, connection: BaseDatabaseWrapper, config: conf.Config, me: evidence.Taker) -> None:
        self.connection = connection
        self.ledger = Ledger(connection)
        self.config = config
        self.policy = verdict.Policy.from_config(config)
        self.me = me
        self._said: list[str] = []
        self._conditions: list[str] = []
        #: What has been made to take old code's inserts again: steps that were done, and wait anew.
        self.reopened: list[rows.Step] = []
        #: Hears how far a step's long work has come.
        self.progress: Callable[[rows.Step, fill.Progress], None] = lambda step, progress: None
        self.ddl: Ddl = ddl_for(connection, self._execute)
        self.ddl.lock_timeout = config.lock_timeout

    def _execute(self, sql: str, params: Sequence[Any] | None) -> None:
        said = sql
        if params and self.connection.vendor == "postgresql":
            # The server takes no parameters in DDL; Django's own composing quotes them.
            sql, params = self.connection.ops.compose_sql(sql, params), None  # type: ignore[attr-defined]
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
        self._said.append(said)

    # Looking

    def due(self) -> tuple[rows.Step, ...]:
        """Steps that wait, and those that are set aside, in the order in which they were slated."""
        return self.ledger.steps(rows.StepState.WAITING, rows.StepState.SEALED, rows.StepState.ASIDE)

    def judge(self, step: rows.Step, fleet: evidence.Fleet | None = None) -> verdict.Verdict:
        """The verdict on a step as things are: to take it, or where it is set aside, to erase it."""
        return self.judge_with_evidence(step, fleet or evidence.read_fleet(self.ledger))[0]

    def judge_with_evidence(self, step: rows.Step, fleet: evidence.Fleet) -> tuple[verdict.Verdict, verdict.Evidence]:
        """The same, with what it rests on."""
        found = evidence.gather(self.ledger, step, fleet, self.me)
        return self._decide(found), found

    def _decide(self, found: verdict.Evidence, *, unsafe: bool = False) -> verdict.Verdict:
        if unsafe:
            return verdict.decide_whole(found, self.policy)
        if found.step.payload.get("held"):
            # Held whole: it is not applied, and the question is whether it may be.
            found = replace(found, applied=True)
        if found.step.kind in rows.TIDY:
            # It harms nobody, and old code that comes back needs it to insert or to delete: it stays as long as what
            # was removed beside it can be restored.
            window = self.policy.rollback_window + self.policy.keep_for
            return verdict.decide(found, replace(self.policy, rollback_window=window))
        decide = verdict.decide_erase if found.step.aside_name else verdict.decide
        return decide(found, self.policy)

    # Taking

    def take(self, step: rows.Step) -> Attempt:
        """Take one step now, if its verdict is clear: set it aside, or erase what has been aside long enough."""
        looked = self.judge(step)
        if not looked.clear:
            return Attempt(step, Outcome.BLOCKED, looked)
        if step.kind is rows.StepKind.NULLABLE:
            self._fill_ahead(step)
        token = uuid.uuid4().hex
        signature = sealer.sign(self.connection, token)
        try:
            sealed, under_lock = self._seal(step, token, signature)
            if sealed is None:
                return Attempt(step, Outcome.BLOCKED, under_lock)
            return self._take_sealed(sealed, token)
        except (Conflict, HeldUp) as busy:
            return Attempt(step, Outcome.BUSY, detail=str(busy))
        finally:
            with _quietly():
                sealer.release(self.connection, token)

    def _seal(
        self, step: rows.Step, token: str, signature: str, *, unsafe: bool = False
    ) -> tuple[rows.Step | None, verdict.Verdict]:
        with self._short_transaction():
            self.ledger.gate(lock=True)
            current = self.ledger.step(step.id)
            if current is None or current.version != step.version:
                raise Conflict(f"The contract step for {step.target} changed meanwhile.")
            if (there := elsewhere(self.ledger, current)) is not None:
                raise Conflict(there)
            decided = self._decide(evidence.gather_locked(self.ledger, current, self.me), unsafe=unsafe)
            if not decided.clear:
                return None, decided
            if decided.waived:
                # Taken in spite of them: those that still run are no longer admitted, and learn of it.
                relying = evidence.users(current, evidence.read_fleet(self.ledger))
                orders.refuse(self.ledger, [instance.id for instance in relying])
            return self.ledger.save(
                current, protocol.seal(current, decided, token, signature, self.ledger.now())
            ), decided

    @contextmanager
    def _short_transaction(self) -> Iterator[None]:
        """The gate's own: one that does not move is ended by the server, before a registration that waits gives up."""
        try:
            with self.ledger.transaction(lock_wait=GATE_LOCK_WAIT, limit=GATE_LIMIT):
                yield
        except DatabaseError as error:
            if is_lock_timeout(error) or not (self.connection.connection is None or _took_too_long(error)):
                raise
            raise HeldUp(f"This process was held up while it had the gate to itself ({first_line(error)}).") from error

    def _take_sealed(self, sealed: rows.Step, token: str) -> Attempt:
        self._said, self.ddl.remarks = [], []
        started = time.monotonic()
        try:
            again = self._decide(evidence.gather(self.ledger, sealed, evidence.read_fleet(self.ledger), self.me))
            if not again.clear:
                return Attempt(self._reopen(sealed, token), Outcome.BLOCKED, again)
            if sealed.kind is rows.StepKind.NULLABLE:
                self._prove_not_null(sealed)
            taken = self._run_ddl(sealed, token)
        except _TokenLost:
            return Attempt(sealed, Outcome.BUSY, detail="The seal was taken over while this process was held up.")
        except _Changed as changed:
            return self._reconcile(sealed, token, str(changed))
        except Exception as error:
            # Whatever it was, a seal that is kept would shut out every process that relies on the step.
            reopened = self._reopen(sealed, token)
            outcome = Outcome.LOCKED if is_lock_timeout(error) else Outcome.FAILED
            return Attempt(reopened, outcome, detail=first_line(error))
        if taken.kind is rows.StepKind.KEY:
            # Else the next `migrate` does.
            self.validate_foreign_keys(taken.table, taken.column)
        self._record(sealed, taken, time.monotonic() - started, again)
        outcome = Outcome.ASIDE if taken.state is rows.StepState.ASIDE else Outcome.DONE
        return Attempt(taken, outcome, again, detail=" ".join(self.ddl.remarks))

    def _held(self, sealed: rows.Step, token: str) -> rows.Step:
        """The step's row, read again in the DDL's own transaction: only the holder of the token goes on."""
        current = self.ledger.step(sealed.id, lock=True)
        if current is None or current.state is not rows.StepState.SEALED or current.token != token:
            raise _TokenLost
        return current

    @contextmanager
    def _ddl_transaction(self, table: str) -> Iterator[None]:
        vendor = self.connection.vendor
        if vendor == "mysql":
            # DDL commits by itself. MariaDB's statements say NOWAIT; MySQL waits for at least a second.
            yield
            return
        if vendor == "sqlite":
            self._set_foreign_keys(False)
        try:
            with self.ledger.transaction(lock_wait=self.config.lock_timeout, idle=DDL_IDLE):
                yield
                if vendor == "sqlite" and self.ddl.columns(table):
                    # This table alone: what is wrong elsewhere is not this step's doing.
                    self.connection.check_constraints(table_names=[table])
        finally:
            if vendor == "sqlite":
                with _quietly():
                    self._set_foreign_keys(True)

    def _set_foreign_keys(self, on: bool) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(f"PRAGMA foreign_keys = {'ON' if on else 'OFF'}")

    def _run_ddl(self, sealed: rows.Step, token: str) -> rows.Step:
        with self._ddl_transaction(sealed.table):
            held = self._held(sealed, token)
            target = self._target(held)
            if held.kind is rows.StepKind.DEFAULT:
                self._require_as_left(held)
                self.ddl.drop_default(held.table, held.column)
                return self._finished(held, token)
            if held.kind is rows.StepKind.KEY:
                if not target.exists():
                    raise _Changed(f"{held.target} is no longer in the database")
                loose_keys.tighten(self.ddl, held)
                return self._finished(held, token)
            if held.kind is rows.StepKind.NULLABLE:
                self._forbid_null(held)
                return self._finished(held, token)
            if held.aside_name:
                if not target.exists(held.aside_name):
                    raise _Changed(f"{aside(held)} is no longer in the database")
                target.erase()
                for step in () if held.column else slating.beneath(self.ledger, held):
                    slating.note_gone(self.ledger, step)
                return self._finished(held, token)
            self._require_as_left(held)
            # Written first: where DDL commits by itself, the way back must be known before the first change.
            held = self.ledger.save(held, replace(target.plan_aside(), version=held.version + 1))
            name = target.aside_name
            self._target(held).set_aside(name)
            return self.ledger.save(held, protocol.set_aside(held, token, name, self.ledger.now()))

    def _forbid_null(self, step: rows.Step) -> None:
        left, now = ColumnFacts.from_json(step.payload["left"]), self.ddl.facts(step.table, step.column)
        if now is None:
            raise _Changed(f"{step.target} is no longer in the database")
        # NOT NULL already, and its default still there: an attempt that was interrupted.
        if not left.same_but_keys(replace(now, null=True)):
            raise _Changed(f"{step.target} is not as `migrate` left it: somebody has changed its definition")
        leftover.forbid_null(self.ddl, step, drop_default=bool(step.payload.get("kept")))

    def _fill_ahead(self, step: rows.Step) -> None:
        """Fill before the seal, which nobody should wait for; what comes meanwhile is filled under it."""
        facts = self.ddl.facts(step.table, step.column)
        if facts is None or not facts.null or facts.default is None or self.connection.vendor == "sqlite":
            return
        pace = fill.Pace(lock_timeout=self.config.lock_timeout, lock_patience=self.config.lock_patience)
        fill.fill(
            self.connection,
            step.table,
            step.column,
            fill.DEFAULT,
            pace=pace,
            told=lambda progress: self.progress(step, progress),
        )

    def _prove_not_null(self, step: rows.Step) -> None:
        """Read the table for NULLs beside its readers and writers, so that forbidding them reads nothing.

        The check that it leaves where it is interrupted, or a lock was not to be had, serves the next attempt, or goes
        with the last one.
        """
        facts = self.ddl.facts(step.table, step.column)
        if self.connection.vendor != "postgresql" or facts is None or not facts.null:
            return
        if facts.default is None and self.ddl.nulls(step.table, step.column):
            # Somebody has to fill them: until then the column stays as it is.
            return
        with self.ledger.transaction(lock_wait=self.config.lock_timeout):
            self.ddl.begin_forbid_null(step.table, step.column)
        if facts.default is not None:
            # No more NULLs come from here on.
            fill.fill(self.connection, step.table, step.column, fill.DEFAULT)
        with self.ledger.transaction(lock_wait=self.config.lock_timeout):
            self.ddl.validate_forbid_null(step.table, step.column)

    def _allow_null_again(self, step: rows.Step) -> None:
        """Given up: what `_prove_not_null` left would stop old code that writes NULL."""
        with _quietly(), self.ledger.transaction(lock_wait=self.config.lock_timeout):
            self.ddl.give_up_forbid_null(step.table, step.column)

    def _finished(self, held: rows.Step, token: str) -> rows.Step:
        return self.ledger.save(held, protocol.finish(held, token, self.ledger.now()))

    def _target(self, step: rows.Step) -> Leftover:
        return leftovers.of(self.ddl, step)

    def _require_as_left(self, step: rows.Step) -> None:
        target = self._target(step)
        if not target.exists():
            raise _Changed(f"{step.target} is no longer in the database")
        if not target.as_left():
            raise _Changed(f"{step.target} is not as `migrate` left it: somebody has changed its definition")

    def _reopen(self, sealed: rows.Step, token: str) -> rows.Step:
        current = self.ledger.step(sealed.id)
        if current is None or current.token != token:
            return sealed
        if self.connection.vendor == "mysql" and not current.aside_name:
            # What did happen before the failure stays; the catalog knows.
            return self.ledger.save(current, protocol.settle(current, self._found(current), self.ledger.now()))
        return self.ledger.save(current, protocol.reopen(current, token, self.ledger.now()))

    def _found(self, step: rows.Step) -> protocol.Found:
        if step.kind is rows.StepKind.MIGRATION:
            applied = evidence.applied_migrations(self.connection).intersection(protocol.names(step))
            return protocol.Found(original=not applied, aside=False)
        wanted = self._wanted(step)
        if step.kind is rows.StepKind.DEFAULT:
            column = self.ddl.facts(step.table, step.column)
            return protocol.Found(column is not None and column.default is not None, aside=False, wanted=wanted)
        if step.kind is rows.StepKind.KEY:
            return protocol.Found(loose_keys.is_loose(self.ddl, step), aside=False, wanted=wanted)
        if step.kind is rows.StepKind.NULLABLE:
            column = self.ddl.facts(step.table, step.column)
            kept = column is not None and bool(step.payload.get("kept")) and column.default is not None
            return protocol.Found(column is not None and (column.null or kept), aside=False, wanted=wanted)
        target = self._target(step)
        name = step.aside_name or target.aside_name
        is_aside = target.exists(name)
        return protocol.Found(target.exists(), is_aside, name if is_aside else "", wanted)

    def _wanted(self, step: rows.Step) -> bool:
        """Whether the applied state still wants the goal: its migration is recorded, or held until this is taken."""
        if step.payload.get("held"):
            return True
        return bool(evidence.applied_migrations(self.connection).intersection(protocol.names(step)))

    def _reconcile(self, sealed: rows.Step, token: str, why: str) -> Attempt:
        current = self._reopen(sealed, token)
        now = self.ledger.now()
        if current.kind in protocol.REMOVING and current.state in (rows.StepState.WAITING, rows.StepState.ASIDE):
            settled = protocol.reconcile(current, self._found(current), now)
            if settled is not current:
                current = self.ledger.save(current, settled)
        if current.state is rows.StepState.WAITING:
            current = self.ledger.save(current, slating.left(protocol.withdraw(current, now)))
        self.note("reconcile", current.target, why=why, state=current.state.value)
        self._publish(current, sealed.state, current.state)
        return Attempt(current, Outcome.RECONCILED, detail=why)

    def note(self, action: str, target: str, **details: object) -> None:
        """Put on the record what this process has done, with who answers for it."""
        note(self.ledger, self.me, action, target, **details)

    def _record(self, before: rows.Step, after: rows.Step, seconds: float, decided: verdict.Verdict) -> None:
        self.note(
            "erase" if before.aside_name else after.state.value,
            after.target,
            migration=f"{after.app}.{after.migration}",
            sql=self._said,
            seconds=round(seconds, 3),
            **({"remarks": self.ddl.remarks} if self.ddl.remarks else {}),
            conditions=[str(condition) for condition in decided.conditions],
        )
        self._publish(after, before.state, after.state)

    def _publish(self, step: rows.Step, before: rows.StepState, after: rows.StepState) -> None:
        events.publish(
            events.StepChanged(
                alias=self.connection.alias,
                release=self.me.release,
                step=step.id,
                target=step.target,
                migration=f"{step.app}.{step.migration}",
                before=before.value,
                after=after.value,
                actor=self.me.actor,
            )
        )

    # Migrations that run whole

    def seal_migration(
        self,
        step: rows.Step,
        runs_on: BaseDatabaseWrapper,
        *,
        unsafe: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> tuple[rows.Step, str]:
        """Seal a held migration, whose verdict is asked again; `unsafe`: one that needs a stopped fleet.

        `runs_on`: the connection that it will run on. What guard's own session comes to meanwhile, which says nothing
        for as long as the migration takes, proves nothing of it.

        Raises Blocked where it is not clear any more, and Conflict where another process is at work on it.
        """
        token = uuid.uuid4().hex
        signature = sealer.sign(runs_on, token)
        deadline = time.monotonic() + SEAL_PATIENCE
        while True:
            try:
                sealed, decided = self._seal(step, token, signature, unsafe=unsafe)
                break
            except OperationalError as error:
                # Registrations hold the gate row for a moment each.
                if not (is_lock_timeout(error) or isinstance(error, HeldUp)) or time.monotonic() > deadline:
                    raise
                sleep(0.1)
        if sealed is not None:
            again = evidence.gather(self.ledger, sealed, evidence.read_fleet(self.ledger), self.me)
            decided = self._decide(again, unsafe=unsafe)
            if decided.clear:
                self._conditions = [str(condition) for condition in decided.conditions]
                return sealed, token
            self.reopen_migration(sealed, token, runs_on)
        with _quietly():
            sealer.release(runs_on, token)
        raise Blocked(decided, self.ledger.now())

    def reopen_migration(self, sealed: rows.Step, token: str, ran_on: BaseDatabaseWrapper) -> None:
        """The migration failed: it waits again."""
        with _quietly(), _quietly(Conflict), self._sealed_on(ran_on, token):
            self.ledger.save(sealed, protocol.reopen(sealed, token, self.ledger.now()))

    def finish_migration(
        self,
        sealed: rows.Step,
        token: str,
        ran_on: BaseDatabaseWrapper,
        *,
        sql: Sequence[str] = (),
        seconds: float = 0.0,
    ) -> None:
        """The migration has run. Where that cannot be written (the session is gone), whoever comes next settles it.

        `sql` and `seconds`: what ran, and how long it took, for the record.
        """
        with _quietly(), _quietly(Conflict):
            with self._sealed_on(ran_on, token):
                after = self.ledger.save(sealed, protocol.finish(sealed, token, self.ledger.now()))
            self.note("run", after.target, sql=sql, seconds=round(seconds, 3), conditions=self._conditions)
            self._publish(after, sealed.state, after.state)

    @contextmanager
    def _sealed_on(self, connection: BaseDatabaseWrapper, token: str) -> Iterator[None]:
        """The last of a seal: written by guard's own session, in a new one where it was lost, and then given up."""
        if self.connection.connection is not None and not self.connection.is_usable():
            self.connection.close()
        try:
            yield
        finally:
            with _quietly():
                sealer.release(connection, token)

    def validate_foreign_keys(self, table: str, column: str) -> None:
        """PostgreSQL: validate what the expand step added NOT VALID, if the table's lock is to be had now."""
        if isinstance(self.ddl, postgresql.PostgresqlDdl):
            with _quietly(), self.ledger.transaction(lock_wait=self.config.lock_timeout):
                self.ddl.validate_foreign_keys(table, column)

    def _validate_interrupted(self) -> None:
        """The same of foreign keys that have been made strict by a taker which ended before it could validate them."""
        done = {
            (step.table, step.column)
            for step in self.ledger.steps(rows.StepState.DONE)
            if step.kind is rows.StepKind.KEY
        }
        if done and self.connection.vendor == "postgresql":
            for table, column in done.intersection(postgresql.unvalidated(self.connection)):
                self.validate_foreign_keys(table, column)

    def validate_named(self, names: Sequence[str]) -> None:
        """The same of foreign keys by their names, whatever their tables are called by now."""
        if names and isinstance(self.ddl, postgresql.PostgresqlDdl):
            with _quietly(), self.ledger.transaction(lock_wait=self.config.lock_timeout):
                self.ddl.validate_named(names)

    # Rounds

    def settle(self) -> tuple[rows.Step, ...]:
        """Settle every seal whose taker is gone; returns the steps that it settled."""
        settled = []
        # Of every project: what a seal relies on may be refused to anybody.
        for step in self.ledger.steps(rows.StepState.SEALED, everybodys=True):
            if step.schema != self.ledger.schema() or not sealer.left_behind(self.connection, step, self.ledger.now()):
                continue
            with _quietly(Conflict):
                settled.append(self._settle(step))
        return tuple(settled)

    def tidy_up(self, *, seconds: float = 1.0) -> None:
        """Fold what is old in the ledger, for so long at most; what is left over is left to the next one."""
        with _quietly(), _quietly(Conflict):
            retention.fold(self.ledger, lost_grace=self.policy.lost_grace, seconds=seconds)

    def _settle(self, step: rows.Step) -> rows.Step:
        if self.connection.vendor == "mysql":
            after = self.ledger.save(step, protocol.settle(step, self._found(step), self.ledger.now()))
        else:
            with self.ledger.transaction(lock_wait=self.config.lock_timeout):
                current = self.ledger.step(step.id, lock=True)
                if current is None or current.version != step.version:
                    raise Conflict("changed meanwhile")
                after = self.ledger.save(current, protocol.settle(current, self._found(current), self.ledger.now()))
        self.note("settle", step.target, state=after.state.value, evidence=[f"Its taker ({step.sealer}) is gone."])
        return after

    def round(
        self,
        *,
        patience: float,
        wanted: Callable[[rows.Step], bool] = lambda step: True,
        sleep: Callable[[float], None] = time.sleep,
        told: Callable[[rows.Step, tuple[locks.Holder, ...]], None] = lambda step, holders: None,
    ) -> list[Attempt]:
        """Try every due step once; a step whose table is locked is tried again for `patience` seconds in all.

        `told` hears before each further try who holds the table, as far as that can be seen. A step whose migration is
        held whole is looked at, and left to `migrate`.
        """
        self.settle()
        with _quietly():
            # On a connection of its own, which sees only what is committed.
            self.ledger.keep_epochs(self.due())
            self._validate_interrupted()
        deadline = time.monotonic() + patience
        attempts = []
        for step in self.due():
            # What was in a table that is set aside comes back, or goes, with it.
            if not wanted(step) or slating.above(self.ledger, step) is not None:
                continue
            attempt = self._persist(step, deadline, sleep, told)
            attempts.append(attempt)
            if attempt.outcome is Outcome.ASIDE and self.config.keep_for == 0:
                attempts.append(self._persist(attempt.step, deadline, sleep, told))
        return attempts

    def _persist(
        self,
        step: rows.Step,
        deadline: float,
        sleep: Callable[[float], None],
        told: Callable[[rows.Step, tuple[locks.Holder, ...]], None],
    ) -> Attempt:
        attempt = self._try_for(step, deadline, sleep, told)
        if step.kind is rows.StepKind.NULLABLE and not attempt.taken and attempt.outcome is not Outcome.BUSY:
            self._allow_null_again(step)
        return attempt

    def _try_for(
        self,
        step: rows.Step,
        deadline: float,
        sleep: Callable[[float], None],
        told: Callable[[rows.Step, tuple[locks.Holder, ...]], None],
    ) -> Attempt:
        busy_until = time.monotonic() + SEAL_PATIENCE
        holders: tuple[locks.Holder, ...] = ()
        # Backed off with jitter: two takers, or a taker and a busy table, must not meet each time.
        for pause in pauses():
            attempt = self._attempt(step)
            again = attempt.outcome is Outcome.LOCKED or (
                attempt.outcome is Outcome.BUSY and time.monotonic() < busy_until
            )
            if attempt.outcome is Outcome.LOCKED:
                # Who is gone by now was there before.
                table = step.aside_name if step.kind is rows.StepKind.TABLE and step.aside_name else step.table
                holders = locks.holders(self.connection, [table]) or holders
                attempt = replace(attempt, detail="; ".join([*map(str, holders)] or [attempt.detail]))
            if not again or time.monotonic() + pause > deadline:
                return attempt
            if attempt.outcome is Outcome.LOCKED:
                told(step, holders)
            sleep(pause)
            current = self.ledger.step(step.id)
            if current is None or current.state not in (
                rows.StepState.WAITING,
                rows.StepState.SEALED,
                rows.StepState.ASIDE,
            ):
                return attempt
            step = current
        raise AssertionError("pauses have no end")

    def _attempt(self, step: rows.Step) -> Attempt:
        if step.state is rows.StepState.SEALED:
            self.settle()
            return Attempt(step, Outcome.BUSY, detail=f"{step.target} is being taken by another process.")
        if by_migrate(step):
            decided = self.judge(step)
            if not decided.clear:
                return Attempt(step, Outcome.BLOCKED, decided)
            return Attempt(step, Outcome.READY, decided, self._applied_by(step))
        try:
            return self.take(step)
        except DatabaseError as error:
            if is_lock_timeout(error):
                return Attempt(step, Outcome.LOCKED, detail=first_line(error))
            if not self.connection.is_usable():
                raise
            # The column cannot hold its default, or a trigger forbids it: other steps can be taken all the same.
            return Attempt(step, Outcome.FAILED, detail=first_line(error))

    def _applied_by(self, step: rows.Step) -> str:
        if self.me.footprint.has_any(protocol.names(step)):
            return "run `manage.py migrate`, which applies its migration."
        # Its app is uninstalled, or its file deleted; or this code is older.
        return (
            f"release {self.me.release} does not have it. A release that has it applies it; where none will, "
            f'`manage.py guard withdraw {step.target} --reason "…"` gives it up.'
        )

    def instant(self, step: rows.Step) -> bool:
        """Whether taking the step takes no longer on a large table, or the table is small."""
        vendor = self.connection.vendor
        if step.kind is rows.StepKind.TABLE or (vendor == "postgresql" and step.kind is not rows.StepKind.NULLABLE):
            return True
        if not self._target(step).exists(step.aside_name):
            # What somebody has dropped is only noted.
            return True
        if vendor == "mysql" and step.kind in (*protocol.REMOVING, rows.StepKind.KEY) and not step.aside_name:
            # Names of columns and indexes change in an instant, and so do foreign keys that are not checked.
            return True
        return self.ddl.is_small(step.table)

    # Giving back

    def restore(self, step: rows.Step) -> rows.Step:
        """Bring back what is set aside. Raises ProtocolError, Conflict, or DatabaseError where it cannot be had."""
        started = time.monotonic()
        deadline = time.monotonic() + self.config.lock_patience
        half = False
        for pause in pauses():
            try:
                if half:
                    # Where DDL commits by itself: it is back in its place, and the names of what is on it are not yet.
                    self._target(step).name_parts_back()
                # First, so that where its lock is not to be had, all of it can be asked for again.
                self._make_room_again(step)
                after = step if half else self._restore(step)
                break
            except DatabaseError as error:
                if not is_lock_timeout(error) or time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
                step = self.ledger.step(step.id) or step
                half = step.state is rows.StepState.WAITING
        self.note(
            "restore",
            step.target,
            migration=f"{step.app}.{step.migration}",
            sql=self._said,
            seconds=round(time.monotonic() - started, 3),
            evidence=[f"It was kept as {aside(step)}."],
        )
        self._publish(after, rows.StepState.ASIDE, after.state)
        return after

    def reopen(self, step: rows.Step) -> None:
        """Let code from before the step insert again: NULL is allowed, or the kept default back, and the step waits.

        Raises ProtocolError, Conflict, or DatabaseError where it cannot be had.
        """
        deadline = time.monotonic() + self.config.lock_patience
        for pause in pauses():
            self._said = []
            try:
                again = self._give_room(step)
                break
            except DatabaseError as error:
                if not is_lock_timeout(error) or time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
                step = self.ledger.step(step.id) or step
        if again is None:
            raise protocol.ProtocolError(
                f"{step.target} has been changed since: what it was like for code that lacks migration "
                f"{step.app}.{step.migration} cannot be restored."
            )

    def _restore(self, step: rows.Step) -> rows.Step:
        self._said = []
        if step.payload.get(protocol.RECLAIMED) and not self._target(step).exists():
            # What had taken the name is gone again.
            step = self.ledger.save(step, protocol.reclaim(step, self.ledger.now(), taken=False))
        if self.connection.vendor == "mysql":
            return self._restore_under_seal(step)
        with self._ddl_transaction(step.table):
            current = self.ledger.step(step.id, lock=True)
            if current is None or current.version != step.version:
                raise Conflict(f"The contract step for {step.target} changed meanwhile: look at it again.")
            self._require_free_name(current)
            after = protocol.restore(current, self.ledger.now())
            self._target(current).bring_back()
            return self.ledger.save(current, after)

    def _make_room_again(self, restored: rows.Step) -> None:
        """Code that comes back with what is restored inserts without what newer code requires: that waits again."""
        fleet = evidence.read_fleet(self.ledger)
        for step in self.ledger.steps(rows.StepState.DONE, rows.StepState.WAITING, rows.StepState.WITHDRAWN):
            if step.kind in protocol.REMOVING or step.kind is rows.StepKind.MIGRATION:
                continue
            begun = self._begun(step)
            if step.state is not rows.StepState.DONE and not begun:
                continue
            if begun or any(
                protocol.relies(fleet.footprints.get(instance.digest), step)
                and protocol.relies(fleet.footprints.get(instance.digest), restored)
                for instance in fleet.instances
                if instance.last_live(fleet.now) >= step.slated_at
            ):
                self._give_room(step)

    def _begun(self, step: rows.Step) -> bool:
        """Whether NULL was being allowed again when the table's lock was not to be had, or the process ended."""
        return bool(step.payload.get(REOPENING)) and self._wanted(step)

    def _give_room(self, step: rows.Step) -> rows.Step | None:
        """Allow NULL again, or put back what was kept; None where the column is not what that was for."""
        if step.kind is rows.StepKind.DEFAULT:
            return self._put_default_back(step)
        if step.kind is rows.StepKind.KEY:
            return self._put_action_back(step)
        if self.ddl.facts(step.table, step.column) is None:
            return None
        with self._ddl_transaction(step.table):
            # Before the change: where DDL commits by itself, it must be known who forbids NULL again.
            begun = self._begun(step)
            marked = step if begun else self.ledger.save(step, slating.with_payload(step, **{REOPENING: True}))
            again = marked if marked.state is rows.StepState.WAITING else slating.slate(self.ledger, marked)
            self.ddl.allow_null(step.table, step.column)
            left = ColumnFacts.from_json(step.payload["left"])
            if step.payload.get("kept") and left.default is not None:
                self.ddl.set_default_expression(step.table, step.column, left.default)
            now = self.ddl.facts(step.table, step.column)
            assert now is not None
            again = self.ledger.save(again, self._reopened(again, now, **{REOPENING: False}))
        self._note_reopened(step)
        return again

    def _put_default_back(self, step: rows.Step) -> rows.Step | None:
        left, now = ColumnFacts.from_json(step.payload["left"]), self.ddl.facts(step.table, step.column)
        # What has been altered since, by a migration or by hand, is not what the default was for.
        if now is None or left.default is None or not left.same_but_keys(replace(now, default=left.default)):
            return None
        if now.default is not None:
            return None
        with self._ddl_transaction(step.table):
            # Before its row: where DDL commits by itself, a default that nobody takes harms nobody.
            self.ddl.set_default_expression(step.table, step.column, left.default)
            back = self.ddl.facts(step.table, step.column)
            assert back is not None
            again = self._slate_again(step)
            again = self.ledger.save(again, self._reopened(again, back))
        self._note_reopened(step)
        return again

    def _reopened(self, step: rows.Step, left: ColumnFacts, **payload: object) -> rows.Step:
        """For it, too, the roll-back window starts anew: the code that it is for may not be there yet."""
        marked = slating.with_payload(step, left=left.to_json(), **payload)
        return replace(marked, reopened_at=self.ledger.now())

    def _note_reopened(self, step: rows.Step) -> None:
        self.reopened.append(step)
        self.note("reopen", step.target, migration=f"{step.app}.{step.migration}", sql=self._said)

    def put_back(self) -> None:
        """Old code that has come back, or is about to, needs what was kept for it, and has been taken since.

        It inserts without the columns that had a default, and deletes what loose foreign keys refer to.
        """
        fleet = evidence.read_fleet(self.ledger)
        users = [fleet.footprints.get(instance.digest) for instance in fleet.instances if instance.live(fleet.now)]
        for step in self.ledger.steps(rows.StepState.DONE, rows.StepState.WAITING):
            # Django may have made a foreign key anew; or putting its action back was interrupted.
            due = step.kind is rows.StepKind.KEY or (step.kind in rows.TIDY and step.state is rows.StepState.DONE)
            if not due or not any(protocol.relies(footprint, step) for footprint in (*users, self.me.footprint)):
                continue
            if self.connection.vendor == "sqlite" and not self.ddl.is_small(step.table):
                continue
            self._said = []
            # Where its table is in use, or another process is at it, the next `migrate` looks again.
            with suppress(DatabaseError, Conflict):
                self._give_room(step)

    def _put_action_back(self, step: rows.Step) -> rows.Step | None:
        # What has been altered since, by a migration or by hand, is not what the action was for.
        if not loose_keys.can_loosen(self.ddl, step):
            return None
        with self._ddl_transaction(step.table):
            # Its row first: where DDL commits by itself, somebody must know that the key is to be strict.
            again = self._slate_again(step)
            again = self.ledger.save(again, replace(slating.with_payload(again), reopened_at=self.ledger.now()))
            loose_keys.loosen(self.ddl, step)
        self.validate_foreign_keys(step.table, step.column)
        self._note_reopened(step)
        return again

    def _slate_again(self, step: rows.Step) -> rows.Step:
        """Slate a step that is done. Between the two changes of its row nobody would know of it."""
        # Elsewhere the DDL's own transaction joins them.
        with self.ledger.transaction() if self.connection.vendor == "mysql" else nullcontext():
            return slating.slate(self.ledger, step)

    def _restore_under_seal(self, step: rows.Step) -> rows.Step:
        token = uuid.uuid4().hex
        signature = sealer.sign(self.connection, token)
        try:
            self._require_free_name(step)
            sealed = self.ledger.save(step, protocol.seal_to_restore(step, token, signature, self.ledger.now()))
            try:
                self._target(sealed).bring_back()
            except DatabaseError:
                self.ledger.save(sealed, protocol.settle(sealed, self._found(sealed), self.ledger.now()))
                raise
            return self.ledger.save(sealed, protocol.restore(sealed, self.ledger.now(), token))
        finally:
            with _quietly():
                sealer.release(self.connection, token)

    def _require_free_name(self, step: rows.Step) -> None:
        if (table := slating.above(self.ledger, step)) is not None:
            raise protocol.ProtocolError(
                f"{step.target} cannot be restored: its table is set aside too. Bring that back first: "
                f"`manage.py guard restore {table.pasted}`."
            )
        if self._target(step).exists():
            kind = "table" if step.kind is rows.StepKind.TABLE else "column"
            raise protocol.ProtocolError(
                f"{step.target} cannot be restored: there is another {kind} of that name now. "
                f"The old one is kept as {aside(step)}."
            )


@contextmanager
def contractor(alias: str, config: conf.Config | None = None, me: evidence.Taker | None = None) -> Iterator[Contractor]:
    """A Contractor for an alias, on a private connection of its own."""
    with connecting.private(alias) as connection:
        yield Contractor(connection, config or conf.strict(), me or taker(alias))


def elsewhere(ledger: Ledger, step: rows.Step) -> str | None:
    """Why nothing is to be decided about a step here: its table is in another schema than this connection looks at.

    None where it is in this one. Of one alias, a project may switch the `search_path` while it runs.
    """
    here = ledger.schema()
    if here == step.schema:
        return None
    schema, own = (f"schema {name!r}" if name else "the schema of guard's tables" for name in (step.schema, here))
    return (
        f"{step.target} is in {schema}, and a connection of guard's own to database {ledger.connection.alias} looks at "
        f"{own}: run the command with a search_path for that schema."
    )


def out_of_reach(alias: str, step: rows.Step) -> str | None:
    """The same of a connection of guard's own to this alias, which does not see what the project has switched to."""
    with connecting.private(alias) as connection:
        return elsewhere(Ledger(connection), step)


def settle_on(connection: BaseDatabaseWrapper) -> None:
    """Settle what takers have left behind, for a process that only registers."""
    Contractor(connection, conf.get(), taker(connection.alias)).settle()


def note(ledger: Ledger, me: evidence.Taker, action: str, target: str, **details: object) -> None:
    """Put on record what a process has done, with who answers for it and the address of its CI job."""
    here = job(os.environ)
    ledger.record(
        action,
        target,
        actor=me.actor,
        release=me.release,
        details={**details, **({"job": here} if here else {})},
    )


def aside(step: rows.Step) -> str:
    """Where a step's target is set aside: TABLE.COLUMN, or TABLE."""
    return f"{step.table}.{step.aside_name}" if step.column else step.aside_name


def by_migrate(step: rows.Step) -> bool:
    """Whether it is `migrate` that takes the step, because its migration is held whole."""
    return step.kind is rows.StepKind.MIGRATION or bool(step.payload.get("held"))


def _took_too_long(error: DatabaseError) -> bool:
    """Whether the server ended a statement, and not the session, for the time that it took."""
    cause = error.__cause__
    if (getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)) == "57014":
        return True
    return bool(error.args) and error.args[0] in (1969, 3024)


def first_line(error: BaseException) -> str:
    """What is wrong, without the rows that a server shows below it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def _quietly(kind: type[Exception] = DatabaseError) -> Iterator[None]:
    """Tidying up after an error must not hide it."""
    try:
        yield
    except kind:
        pass


def explain(attempt: Attempt) -> Mapping[str, Any]:
    """An attempt as plain data, for `--json`."""
    return {
        "target": attempt.step.target,
        "outcome": attempt.outcome.value,
        "state": attempt.step.state.value,
        "detail": attempt.detail,
    }
