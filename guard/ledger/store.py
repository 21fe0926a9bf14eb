"""The ledger: queries over guard's own tables, on a connection that is handed in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from django.db import DatabaseError, IntegrityError
from django.db.backends.base.base import BaseDatabaseWrapper

from guard import conf
from guard.attribution.watchlist import WatchList
from guard.ledger import protocol, rows, stored, tables
from guard.ledger.tables import Conflict, LedgerMissing, Statement, Tables
from guard.schema.footprint import Footprint

#: However many ways there were to touch a column, a verdict reads no more than this of each kind.
SIGHTINGS_OF_A_KIND = 100

#: Characters that the columns of a label, a place in the code and an event's target hold.
_LABEL = 200
_PLACE = 500
_TARGET = 511
_SESSION = 255

#: More than twice any epoch: what a renewal answers has the number of instances above it.
_EPOCHS = 1 << 40

#: Seconds for which the number of instances stands before it is counted again.
COUNT_EVERY = 60.0

T = TypeVar("T")

#: Makes a text from the application storable, and cuts it to a number of characters.
_Text = Callable[[str, int | None], str]

#: States in which a step may refuse somebody.
_REFUSING = (rows.StepState.SEALED, rows.StepState.ASIDE, rows.StepState.DONE)

#: An epoch that the watch list never has.
_NEVER = -1

_SHARED = {"postgresql": " FOR SHARE", "mysql": " LOCK IN SHARE MODE", "sqlite": ""}


class InstanceMissing(LedgerMissing):
    """The ledger has no row of this instance, or one that says it is GONE: it must register again."""


class _FootprintMissing(Exception):
    """The ledger has not stored this footprint yet."""


class IdentityTaken(Exception):
    """Another process goes by this instance's id: both were one, and were cloned. It needs an id of its own."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The ledger's own row."""

    environment: str
    fresh: bool
    made_at: float


@dataclass(frozen=True, slots=True)
class Moment:
    """What the ledger says of itself at one moment."""

    #: Seconds since the epoch, by the database's clock.
    now: float
    #: The watch list's epoch.
    epoch: int
    environment: str


class Ledger(Tables):
    """The ledger of one database, on one connection, used by one thread.

    `project`: whose steps and orders it speaks of, where one database has several projects; as configured unless given.
    """

    def __init__(self, connection: BaseDatabaseWrapper, project: str | None = None) -> None:
        super().__init__(connection)
        self.project = (conf.get().project or "") if project is None else project

    # The gate row

    def gate(self, *, lock: bool = False) -> Gate:
        """The ledger's own row; with `lock`, exclusively locked until the transaction ends."""
        found = self._fetch(
            f"SELECT {self._columns(['environment', 'fresh', 'made_at'])} FROM {self._table('gate')} WHERE id = 1"
            + (tables.EXCLUSIVE[self.connection.vendor] if lock else "")
        )
        if not found:
            raise LedgerMissing("guard's ledger has lost its gate row: run `manage.py migrate`.")
        return Gate(found[0][0], bool(found[0][1]), float(found[0][2]))

    def moment(self) -> Moment:
        """The database's time, the watch list's epoch and the ledger's environment, in one round trip."""
        found = self._fetch(
            f"SELECT {self._now}, {self._epoch_sql()}, environment FROM {self._table('gate')} WHERE id = 1"
        )
        if not found:
            raise LedgerMissing("guard's ledger has lost its gate row: run `manage.py migrate`.")
        return Moment(float(found[0][0]), int(found[0][1]), found[0][2])

    def make_gate(self, *, fresh: bool) -> None:
        """Make the ledger's own row, once."""
        self._run(
            self._upsert("gate", "id", ["id", "environment", "fresh", "made_at", "format"], 1, ""),
            [1, "", fresh, self.now(), stored.FORMAT],
        )
        self._run(self._upsert("pulse", "id", ["id"], 1, ""), [1])

    def end_fresh(self) -> None:
        """The database is in use from now on."""
        self._run(f"UPDATE {self._table('gate')} SET fresh = %s WHERE id = 1 AND fresh = %s", [False, True])

    def adopt_environment(self, label: str) -> None:
        """Take a label where the ledger has none yet."""
        self._run(f"UPDATE {self._table('gate')} SET environment = %s WHERE id = 1 AND environment = %s", [label, ""])

    def in_use(self) -> bool:
        """Whether an instance has ever registered."""
        return bool(self._fetch(f"SELECT 1 FROM {self._table('instance')} LIMIT 1"))

    # Instances

    def register(
        self, registration: rows.Registration, footprint: Footprint, *, lease: float, unflushed: bool = False
    ) -> rows.Admission:
        """Insert the instance and decide, under the gate row's shared lock, whether it is admitted.

        One short transaction; any failure rolls all of it back and raises LedgerMissing or a DatabaseError.
        Registering an id again (after a lost lease) replaces its row, but for the number of its last flush; with
        `unflushed` it still holds sightings from before, and counts as having flushed only after its next beat. Raises
        IdentityTaken where the row is another process's by now. `lease` is in seconds.
        """

        def register(text: _Text) -> rows.Admission:
            try:
                return self._register(registration, footprint, lease, unflushed, text)
            except _FootprintMissing:
                # Once per release. On its own, so that a fleet that starts does not queue for it: it is named by its
                # content, and may stay behind where the registration fails.
                with tables.reasons():
                    self._keep_footprint(footprint)
            return self._register(registration, footprint, lease, unflushed, text)

        return self._storing(register)

    def _register(
        self, me: rows.Registration, footprint: Footprint, lease: float, unflushed: bool, text: _Text
    ) -> rows.Admission:
        columns = (*stored.INSTANCE_COLUMNS, "mark", "format")
        kept = {"id", "registered_at"}
        quote = self.connection.ops.quote_name
        updates = ", ".join(f"{quote(c)} = {{new[{c}]}}" for c in columns if c not in kept)
        # The clock is read after the wait for the lock, so that the lease is whole.
        computed = {"registered_at": self._now, "renewed_at": self._now, "expires_at": f"{self._now} + %s"}
        own: list[Statement] = [self._lock_own(me.id)] if me.marks else []
        with self.transaction(*own, self._lock_gate_shared(footprint), self._read_steps()) as talk:
            *found, gate, steps = talk.answers
            if found and found[0].rows and found[0].rows[0][0] not in me.marks:
                raise IdentityTaken(f"Another process goes by the id {me.id}.")
            _require_gate(gate)
            if not gate.rows[0][1]:
                raise _FootprintMissing
            admission = _admission(steps.rows, footprint)
            epoch = admission.watch.epoch
            values: dict[str, Any] = {
                "id": me.id,
                "release_label": text(me.release, _LABEL),
                "digest": footprint.digest,
                "kind": me.kind.value,
                "workload": text(me.workload, _LABEL),
                "state": admission.state.value,
                "expires_at": lease,
                "ended_at": None,
                "recurring": me.recurring,
                "host": text(me.host, _LABEL),
                "pid": me.pid,
                "process": text(me.process, _LABEL),
                "session": text(me.session, _SESSION),
                "mark": me.mark,
                "watched_epoch": epoch,
                "flushed_epoch": _NEVER if unflushed else epoch,
                "refused": False,
                "folded": 0,
                "first_at": None,
                "project": footprint.project,
                "format": stored.FORMAT,
            }
            talk.last(
                self._upsert("instance", "id", columns, 1, updates, computed),
                [values[c] for c in columns if c in values],
            )
        return admission

    def _lock_own(self, instance: str) -> Statement:
        sql = f"SELECT mark FROM {self._table('instance')} WHERE id = %s" + tables.EXCLUSIVE[self.connection.vendor]
        return sql, [instance]

    def readmit(self, instance: str, footprint: Footprint, *, lease: float) -> rows.Admission:
        """Look at an instance again that was REFUSED, or whose reasons may have changed, under the same lock.

        What it has seen so far counts as flushed at its next beat. Raises InstanceMissing.
        """
        with self.transaction(self._lock_gate_shared(footprint), self._read_steps()) as talk:
            gate, steps = talk.answers
            _require_gate(gate)
            admission = _admission(steps.rows, footprint)
            known = self._run(
                f"UPDATE {self._table('instance')} SET state = %s, renewed_at = {self._now}, "
                f"expires_at = {self._now} + %s, watched_epoch = %s WHERE id = %s AND state <> %s",
                [admission.state.value, lease, admission.watch.epoch, instance, rows.InstanceState.GONE.value],
            )
            if not known:
                raise InstanceMissing(f"The ledger does not know instance {instance} any more: it must register again.")
            return admission

    def _keep_footprint(self, footprint: Footprint) -> None:
        self._run(
            self._upsert("footprint", "digest", ["digest", "content", "made_at"], 1, "", {"made_at": self._now}),
            [footprint.digest, footprint.to_json()],
        )

    def _lock_gate_shared(self, footprint: Footprint) -> Statement:
        """The gate row, locked, with how often the ledger has this footprint."""
        kept = f"(SELECT COUNT(*) FROM {self._table('footprint')} WHERE digest = %s)"
        sql = f"SELECT id, {kept} FROM {self._table('gate')} WHERE id = 1" + _SHARED[self.connection.vendor]
        return sql, [footprint.digest]

    def _epoch_sql(self) -> str:
        # Derived, not stored: slatings only grow, so that each committed change gives another sum, and a migration that
        # slates a column takes no lock that a registration would wait for.
        return f"(SELECT COALESCE(SUM(slatings), 0) FROM {self._table('step')})"

    def epoch(self) -> int:
        """The watch list's epoch: another number after each change of it."""
        return int(self._fetch(f"SELECT {self._epoch_sql()}")[0][0])

    def beat(
        self,
        instance: str,
        *,
        lease: float,
        watched_epoch: int,
        flush_no: int,
        glimpses: Sequence[rows.Glimpse] = (),
        mark: int = 0,
        marks: Sequence[int] = (),
    ) -> rows.Renewal | None:
        """Renew the lease and flush what was seen, in one transaction.

        `flush_no` grows by one with each *new* batch; a batch that is sent again under its number (because the answer
        to the first was lost) is counted once. `mark` takes the place of the last renewal's, which must be one of
        `marks` (empty: whatever it is). Returns None where there is no row, its lease has run out, or another process
        has it: the instance must register again (and then flush again, under the same number).
        """
        if not glimpses:
            with tables.reasons():
                return self._renew(instance, lease, watched_epoch, mark, marks)

        def flush(text: _Text) -> rows.Renewal | None:
            with self.transaction():
                renewal = self._renew(instance, lease, watched_epoch, mark, marks)
                if renewal is None:
                    return None
                return replace(renewal, first_seen=self._flush(instance, flush_no, glimpses, text))

        return self._storing(flush)

    def _storing(self, work: Callable[[_Text], T]) -> T:
        """Do what stores texts from the application, which may be such that this database cannot store them.

        A batch that can never be stored would be sent for ever.
        """
        try:
            return work(tables.storable)
        except DatabaseError as error:
            if not tables.unstorable(error):
                raise
        return work(tables.plainly_storable)

    def renewal(
        self, instance: str, *, lease: float, watched_epoch: int, mark: int = 0, marks: Sequence[int] = ()
    ) -> tuple[str, list[Any]]:
        """The one statement that renews, with its parameters; `renewed` reads what it answers."""
        table, now = self._table("instance"), self._now
        sets = f"renewed_at = {now}, expires_at = {now} + %s, watched_epoch = %s, flushed_epoch = %s, mark = %s"
        where = f"id = %s AND state <> '{rows.InstanceState.GONE}' AND expires_at > {now}"
        params: list[Any] = [lease, watched_epoch, watched_epoch, mark, instance]
        if marks:
            where += f" AND mark IN ({', '.join(['%s'] * len(marks))})"
            params += marks
        refused = f"CASE WHEN state = '{rows.InstanceState.REFUSED}' THEN 1 ELSE 0 END"
        fleet = (
            f"(SELECT CASE WHEN counted_at + {COUNT_EVERY} < {now} THEN 0 ELSE instances END "
            f"FROM {self._table('pulse')} WHERE id = 1)"
        )
        # All of it comes back as one number, because MySQL returns no more than LAST_INSERT_ID from an UPDATE.
        answer = f"COALESCE({fleet}, 0) * {_EPOCHS} + {self._epoch_sql()} * 2 + {refused}"
        if self.connection.vendor == "mysql":
            return f"UPDATE {table} SET {sets}, format = format + 0 * LAST_INSERT_ID({answer}) WHERE {where}", params
        return f"UPDATE {table} SET {sets} WHERE {where} RETURNING {answer}", params

    @staticmethod
    def renewed(found: int) -> rows.Renewal:
        """What a renewal's answer means."""
        count, rest = divmod(found, _EPOCHS)
        state = rows.InstanceState.REFUSED if rest % 2 else rows.InstanceState.LIVE
        return rows.Renewal(state, rest // 2, (), count or None)

    def _renew(
        self, instance: str, lease: float, watched_epoch: int, mark: int, marks: Sequence[int]
    ) -> rows.Renewal | None:
        """One statement and one round trip, on every vendor."""
        sql, params = self.renewal(instance, lease=lease, watched_epoch=watched_epoch, mark=mark, marks=marks)
        answer = self._ask(sql, params)
        if self.connection.vendor == "mysql":
            return self.renewed(answer.last_id) if answer.count else None
        return self.renewed(int(answer.rows[0][0])) if answer.rows else None

    def count_fleet(self) -> int:
        """Count the instances that beat, unless somebody has within COUNT_EVERY seconds; how many there are."""
        now = self.now()
        stands = self._fetch(
            f"SELECT instances FROM {self._table('pulse')} WHERE id = 1 AND counted_at + %s >= %s", [COUNT_EVERY, now]
        )
        if stands:
            return int(stands[0][0])
        beating = f"state <> '{rows.InstanceState.GONE}' AND expires_at > %s"
        count = int(self._fetch(f"SELECT COUNT(*) FROM {self._table('instance')} WHERE {beating}", [now])[0][0])
        self.update("pulse", {"instances": count, "counted_at": now}, "id = 1", [])
        return count

    def _flush(self, instance: str, flush_no: int, glimpses: Sequence[rows.Glimpse], text: _Text) -> tuple[int, ...]:
        new = self._run(
            f"UPDATE {self._table('instance')} SET flush_no = %s WHERE id = %s AND flush_no < %s",
            [flush_no, instance, flush_no],
        )
        mine = self._fetch(
            f"SELECT release_label, digest, workload, {self._now} FROM {self._table('instance')} WHERE id = %s",
            [instance],
        )
        release, digest, workload, now = mine[0]
        # Sorted by key: two processes that flush the same sightings would else deadlock.
        keyed = sorted(
            (
                stored.identity(
                    g.table, g.column, g.access, release, digest, workload, g.call_site, g.route, g.shape, g.reason
                ),
                index,
            )
            for index, g in enumerate(glimpses)
        )
        if new:
            self._count(keyed, glimpses, (release, digest, workload), float(now), text)
            self._claim_alerts(instance, flush_no, glimpses, float(now))
        if not any(glimpse.stale for glimpse in glimpses):
            return ()
        alerted = {
            row[0]
            for row in self._fetch(
                f"SELECT identity FROM {self._table('alert')} WHERE instance = %s AND flush_no = %s",
                [instance, flush_no],
            )
        }
        first: dict[str, int] = {}
        for index, glimpse in enumerate(glimpses):
            if glimpse.stale and (key := _alert_identity(glimpse)) in alerted:
                first.setdefault(key, index)
        return tuple(sorted(first.values()))

    def _count(
        self,
        keyed: Sequence[tuple[str, int]],
        glimpses: Sequence[rows.Glimpse],
        of: tuple[str, str, str],
        now: float,
        text: _Text,
    ) -> None:
        merged: dict[str, tuple[rows.Glimpse, int, float, float]] = {}
        for key, index in keyed:
            g = glimpses[index]
            _, count, first, last = merged.get(key, (g, 0, now, 0.0))
            merged[key] = (g, count + g.count, min(first, now - g.first_age), max(last, now - g.last_age))
        columns = ("identity", *stored.SIGHTING_COLUMNS, "format")
        values = [
            (
                key, g.table, g.column, g.access.value, *of, text(g.call_site, _PLACE), text(g.route, _PLACE),
                text(g.shape, None), count, first, last, text(g.reason, _LABEL), g.star, 0, stored.FORMAT,
            )
            for key, (g, count, first, last) in merged.items()
        ]  # fmt: skip
        self.upsert("sighting", "identity", columns, values, self._adding())

    def _adding(self) -> str:
        """What adds a sighting to the one that is there."""
        count = self.connection.ops.quote_name("count")
        least, greatest = self.least_greatest
        return (
            f"{count} = {{here}}.{count} + {{new[count]}}, folded = {{here}}.folded + {{new[folded]}}, "
            f"first_at = {least}({{here}}.first_at, {{new[first_at]}}), "
            f"last_at = {greatest}({{here}}.last_at, {{new[last_at]}})"
        )

    def add_sightings(self, found: Mapping[str, rows.Sighting]) -> None:
        """Store sightings by key; to those that are there they are added."""
        columns = ("identity", *stored.SIGHTING_COLUMNS, "format")
        values = [
            (
                key, s.table, s.column, s.access.value, s.release, s.digest, s.workload, s.call_site, s.route, s.shape,
                s.count, s.first_at, s.last_at, s.reason, s.star, s.folded, stored.FORMAT,
            )
            for key, s in sorted(found.items())
        ]  # fmt: skip
        self.upsert("sighting", "identity", columns, values, self._adding())

    def sightings_of(self, keys: Sequence[str], where: str, params: Sequence[Any]) -> dict[str, rows.Sighting]:
        """Sightings by key, as far as they are `where`; locked until the transaction ends."""
        found = self.select(
            "sighting",
            (*stored.SIGHTING_COLUMNS, "identity"),
            f"identity IN ({', '.join(['%s'] * len(keys))}) AND {where} ORDER BY identity"
            + tables.EXCLUSIVE[self.connection.vendor],
            [*keys, *params],
        )
        return {row[-1]: stored.sighting_of(row) for row in found}

    def put_instances(self, found: Sequence[rows.Instance], updates: str) -> None:
        """Store rows of instances; `updates` is what happens to one that is there, as `upsert` has it."""
        columns = (*stored.INSTANCE_COLUMNS, "format")
        values = [
            (
                i.id, i.release, i.digest, i.kind.value, i.workload, i.state.value, i.registered_at, i.renewed_at,
                i.expires_at, i.ended_at, i.recurring, i.host, i.pid, i.watched_epoch, i.flushed_epoch, i.refused,
                i.folded, i.first_at, i.process, i.session, i.project, stored.FORMAT,
            )
            for i in found
        ]  # fmt: skip
        self.upsert("instance", "id", columns, values, updates)

    def _claim_alerts(self, instance: str, flush_no: int, glimpses: Sequence[rows.Glimpse], now: float) -> None:
        keys = sorted({_alert_identity(glimpse) for glimpse in glimpses if glimpse.stale})
        columns = ("identity", "instance", "flush_no", "at")
        self.upsert("alert", "identity", columns, [(key, instance, flush_no, now) for key in keys], "")

    def watch_list(self) -> WatchList:
        """What is slated now, with its epoch."""
        return stored.watch_list(self._step_rows())

    def acknowledge(self, instance: str, epoch: int) -> None:
        """Say that the instance watches this epoch's list (it flushes for it at its next beat)."""
        self._run(f"UPDATE {self._table('instance')} SET watched_epoch = %s WHERE id = %s", [epoch, instance])

    def refusals(self, footprint: Footprint) -> tuple[rows.Refusal, ...]:
        """What the footprint relies on that is sealed, set aside or erased now."""
        return protocol.admission(footprint, self.steps(*_REFUSING, everybodys=True))[1]

    def leave(self, instance: str, marks: Sequence[int] = ()) -> None:
        """A clean stop: the instance is GONE; with `marks`, unless another process goes by its id by now."""
        own = f" AND mark IN ({', '.join(['%s'] * len(marks))})" if marks else ""
        gone = rows.InstanceState.GONE.value
        with tables.reasons():
            self.update(
                "instance",
                {"state": gone},
                f"id = %s AND state <> %s{own}",
                [instance, gone, *marks],
                raw={"ended_at": self._now, "refused": f"(state = '{rows.InstanceState.REFUSED}')"},
            )

    def instances(self, *, lock: Sequence[str] = ()) -> tuple[rows.Instance, ...]:
        """Every instance, and totals of those that ended long ago.

        With `lock` (ids), those rows only, locked: a renewal under way is waited for and seen.
        """
        sql = f"SELECT {self._columns(stored.INSTANCE_COLUMNS)} FROM {self._table('instance')}"
        if lock:
            sql += (
                f" WHERE id IN ({', '.join(['%s'] * len(lock))}) ORDER BY id" + tables.EXCLUSIVE[self.connection.vendor]
            )
        return tuple(
            rows.Instance(
                id=row[0],
                release=row[1],
                digest=row[2],
                kind=stored.or_else(rows.InstanceKind, row[3], rows.InstanceKind.SERVER),
                workload=row[4],
                state=stored.or_else(rows.InstanceState, row[5], rows.InstanceState.LIVE),
                registered_at=row[6],
                renewed_at=row[7],
                expires_at=row[8],
                ended_at=row[9],
                recurring=bool(row[10]),
                host=row[11],
                pid=row[12],
                watched_epoch=row[13],
                flushed_epoch=row[14],
                refused=bool(row[15]),
                folded=row[16],
                first_at=row[17],
                process=row[18],
                session=row[19],
                project=row[20],
            )
            for row in self._fetch(sql, list(lock))
        )

    def footprints(self) -> dict[str, Footprint]:
        """Every stored footprint by digest; one that cannot be read is left out, and so relies on everything."""
        found = {}
        for digest, content in self._fetch(f"SELECT digest, content FROM {self._table('footprint')}"):
            try:
                found[digest] = Footprint.from_json(content)
            except ValueError:
                continue
        return found

    def sightings(self, table: str, column: str) -> tuple[rows.Sighting, ...]:
        """What touched the target, the most recent first.

        Of those that mean the same to a verdict (release, workload, access, star), the latest SIGHTINGS_OF_A_KIND.
        """
        here = self._table("sighting")
        ranked = (
            "SELECT identity AS chosen, ROW_NUMBER() OVER "
            "(PARTITION BY digest, workload, access, star ORDER BY last_at DESC) AS place "
            f"FROM {here} WHERE table_name = %s AND column_name = %s"
        )
        return tuple(
            stored.sighting_of(row)
            for row in self._fetch(
                f"SELECT {self._columns(stored.SIGHTING_COLUMNS)} FROM {here} JOIN ({ranked}) AS ranked "
                "ON chosen = identity WHERE place <= %s ORDER BY last_at DESC",
                [table, column, SIGHTINGS_OF_A_KIND],
            )
        )

    # Steps

    def steps(self, *states: rows.StepState, everybodys: bool = False) -> tuple[rows.Step, ...]:
        """Contract steps in the order in which they were slated; all of them, or those in the given states.

        Those of this project and in this connection's schema; `everybodys`: of every one. A step of a kind or state
        that this guard does not know (a newer one wrote it) is left to the newer one.
        """
        if everybodys:
            return stored.known(self._step_rows(*states))
        here = f"schema_name = {self._schema_sql()}"
        found = stored.known(self._step_rows(*states, where=here))
        return tuple(step for step in found if protocol.same_project(step.project, self.project))

    def schema(self) -> str:
        """The schema in which this connection finds and makes tables, where that is not the ledger's; else empty.

        A schema for each tenant, on PostgreSQL: one ledger may speak of them all.
        """
        return str(self._fetch(f"SELECT {self._schema_sql()}")[0][0]) if self.connection.vendor == "postgresql" else ""

    def _schema_sql(self) -> str:
        if self.connection.vendor != "postgresql":
            return "''"
        return (
            "COALESCE((SELECT NULLIF(current_schema()::text, n.nspname::text) FROM pg_class c "
            f"JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = '{self._table('step')}'::regclass), '')"
        )

    def _step_rows(self, *states: rows.StepState, where: str = "") -> list[tuple[Any, ...]]:
        return self._fetch(*self._read_steps(*states, where=where))

    def _read_steps(self, *states: rows.StepState, where: str = "") -> Statement:
        conditions = [where] if where else []
        if states:
            conditions.append(f"state IN ({', '.join(['%s'] * len(states))})")
        sql = (
            f"SELECT {self._columns(stored.STEP_COLUMNS)} FROM {self._table('step')} "
            f"{'WHERE ' + ' AND '.join(conditions) if conditions else ''} ORDER BY id"
        )
        return sql, [state.value for state in states]

    def step(self, step_id: int, *, lock: bool = False) -> rows.Step | None:
        """One contract step by its id; with `lock`, exclusively locked until the transaction ends.

        None where there is no such step, or a newer guard has made something of it that this one does not know.
        """
        found = self._fetch(
            f"SELECT {self._columns(stored.STEP_COLUMNS)} FROM {self._table('step')} WHERE id = %s"
            + (tables.EXCLUSIVE[self.connection.vendor] if lock else ""),
            [step_id],
        )
        return stored.step_of(found[0]) if found else None

    def slate(self, step: rows.Step) -> rows.Step:
        """Store a new contract step; where the same piece of work is there already, it is slated again.

        Raises Conflict where that work is under way or done.
        """
        step = replace(step, project=self.project, schema=self.schema())
        same = stored.step_identity(step)
        before = self._same(same)
        if before is None and step.project:
            # Slated before the project had a label.
            before = self._same(stored.step_identity(replace(step, project="")))
        if before is not None:
            if before.state is rows.StepState.WAITING:
                return before
            if before.state is not rows.StepState.WITHDRAWN:
                raise Conflict(f"{step.target} is {before.state} by the same migration already.")
            after = replace(protocol.reslate(before, self.now()), payload=step.payload, replaced_by=step.replaced_by)
            return self.save(before, after)
        now = self.now()
        values = stored.step_values(replace(step, slated_at=now, changed_at=now, slatings=int(step.slated))) | {
            "identity": same,
            "format": stored.FORMAT,
        }
        try:
            self._run(
                f"INSERT INTO {self._table('step')} ({self._columns(values)}) "
                f"VALUES ({', '.join(['%s'] * len(values))})",
                list(values.values()),
            )
        except IntegrityError as error:
            raise Conflict(f"{step.target} was slated by another process at this moment.") from error
        made = self._same(same)
        assert made is not None
        return made

    def keep_epochs(self, steps: Iterable[rows.Step]) -> None:
        """Keep on each slated step an epoch of which every watch list has it, so that later ones are not waited for.

        The steps must have been read outside the transaction that slated them. Epochs only grow, and what is read after
        them counts their slating: no list without it has as high an epoch.
        """
        unlisted = [step for step in steps if step.slated and step.listed_epoch is None]
        epoch = self.epoch() if unlisted else 0
        for step in unlisted:
            payload = {**step.payload, rows.LISTED: [step.slatings, epoch]}
            # The version stays: nobody who is at work on the step must start again for this.
            self.update(
                "step",
                {"payload": json.dumps(payload, sort_keys=True)},
                "id = %s AND version = %s",
                [step.id, step.version],
            )

    def _same(self, step_id: str) -> rows.Step | None:
        found = self._fetch(
            f"SELECT {self._columns(stored.STEP_COLUMNS)} FROM {self._table('step')} WHERE identity = %s", [step_id]
        )
        step = stored.step_of(found[0]) if found else None
        if found and step is None:
            raise Conflict("A newer guard has made something of this contract step that this one does not know.")
        return step

    def save(self, before: rows.Step, after: rows.Step) -> rows.Step:
        """Store a transition. Raises Conflict where the row is no longer as it was read."""
        after = replace(after, slatings=before.slatings + (before.slated != after.slated))
        values = stored.step_values(after)
        sets = ", ".join(f"{self.connection.ops.quote_name(name)} = %s" for name in values)
        changed = self._run(
            f"UPDATE {self._table('step')} SET {sets} WHERE id = %s AND version = %s",
            [*values.values(), before.id, before.version],
        )
        if changed != 1:
            raise Conflict(f"The contract step for {before.target} changed meanwhile: somebody else is at work on it.")
        return after

    # The record

    def record(self, action: str, target: str, *, actor: str, release: str, details: Mapping[str, Any]) -> None:
        """Append to the ledger's log, which is kept for ever."""
        self._run(
            f"INSERT INTO {self._table('event')} "
            f"({self._columns(['at', 'action', 'target', 'actor', 'release_label', 'details', 'project', 'format'])}) "
            f"VALUES ({self._now}, %s, %s, %s, %s, %s, %s, %s)",
            [
                action,
                tables.storable(target, _TARGET),
                tables.storable(actor, _LABEL),
                tables.storable(release, _LABEL),
                json.dumps(dict(details), sort_keys=True),
                self.project,
                stored.FORMAT,
            ],
        )


def _require_gate(found: tables.Answer) -> None:
    if not found.rows:
        raise LedgerMissing("guard's ledger has lost its gate row: run `manage.py migrate`.")


def _admission(read: Sequence[Sequence[Any]], footprint: Footprint) -> rows.Admission:
    state, refusals = protocol.admission(footprint, stored.known(read))
    return rows.Admission(state, refusals, stored.watch_list(read))


def _alert_identity(glimpse: rows.Glimpse) -> str:
    return stored.identity(glimpse.table, glimpse.column, glimpse.call_site)
