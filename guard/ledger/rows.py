"""The facts of the ledger as plain values: steps, instances, sightings. No Django, no connection, no clock.

Times are seconds since the epoch on the database's clock.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from guard.attribution.watchlist import Access, WatchList

#: Key of a step's payload: its `slatings`, and an epoch of the watch list that was read when it had that many.
LISTED = "listed"


class StepKind(StrEnum):
    """What a contract step takes away."""

    COLUMN = "column"
    TABLE = "table"
    #: A database default that the expand step of an AddField left for old code ("tidy").
    DEFAULT = "default"
    #: NULL, which the expand step of an AlterField still allows for old code.
    NULLABLE = "nullable"
    #: The ON DELETE action of a foreign key that came back, which lets go of its rows for code that does not know it.
    KEY = "key"
    #: A migration that is held and runs whole.
    MIGRATION = "migration"


#: Kinds that take away what harms nobody: they wait in silence, and an old release that comes back gets it again.
TIDY = frozenset({StepKind.DEFAULT, StepKind.KEY})


class StepState(StrEnum):
    WAITING = "waiting"
    SEALED = "sealed"
    ASIDE = "aside"
    DONE = "done"
    WITHDRAWN = "withdrawn"


#: States in which the step's column or table is on the watch list.
SLATED_STATES = frozenset({StepState.WAITING, StepState.SEALED, StepState.ASIDE})


class InstanceState(StrEnum):
    """As stored. LOST is not stored: it is LIVE or REFUSED with a lease that has run out."""

    LIVE = "live"
    REFUSED = "refused"
    GONE = "gone"


class InstanceKind(StrEnum):
    SERVER = "server"
    WORKER = "worker"
    #: A management command, or a script.
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Step:
    """One row of contract work. `id` is 0 until it is stored."""

    id: int
    kind: StepKind
    state: StepState
    app: str
    migration: str
    #: Names of recorded replacements (squashes) of the migration: (app, name).
    replaced_by: tuple[tuple[str, str], ...] = ()
    #: The table; empty for a held migration.
    table: str = ""
    #: The column; empty where a table or a migration is the target.
    column: str = ""
    model: str = ""
    field: str = ""
    #: Grows by one at each change of the row; what optimistic updates compare.
    version: int = 1
    #: How often it has entered or left the watch list; the ledger counts. Their sum is the epoch.
    slatings: int = 0
    slated_at: float = 0.0
    changed_at: float = 0.0
    #: When it was last restored, or reopened after being set aside: the roll-back window starts anew.
    reopened_at: float | None = None
    #: The holder of the seal: who may run the DDL.
    token: str = ""
    sealed_at: float | None = None
    #: Vendor's proof of the sealer's session (a backend pid with its start, a named lock).
    sealer: str = ""
    #: The name under which the column or table is set aside.
    aside_name: str = ""
    aside_at: float | None = None
    done_at: float | None = None
    #: Label of the project that it belongs to, where one database has several; else empty.
    project: str = ""
    #: The schema that its table is in, where that is another one than the ledger's (PostgreSQL); else empty.
    schema: str = ""
    #: The model and field as the migration had them, and what the expand step found and left: enough to finish, undo
    #: or restore without the migration's file.
    payload: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def target(self) -> str:
        """What an operator types: TABLE.COLUMN, TABLE, or APP.MIGRATION."""
        if self.kind is StepKind.MIGRATION:
            return f"{self.app}.{self.migration}"
        return f"{self.table}.{self.column}" if self.column else self.table

    @property
    def pasted(self) -> str:
        """The same as it stands in a command that somebody pastes: a table may be called anything."""
        return shlex.quote(self.target)

    @property
    def listed_epoch(self) -> int | None:
        """An epoch from which on every watch list has it; None where none was kept since it was last slated.

        An older guard that slates it again leaves the payload as it was, but counts.
        """
        slatings, epoch = self.payload.get(LISTED) or (None, None)
        return epoch if slatings == self.slatings else None

    @property
    def slated(self) -> bool:
        """Whether its column or table is on the watch list."""
        return self.kind in (StepKind.COLUMN, StepKind.TABLE) and self.state in SLATED_STATES


@dataclass(frozen=True, slots=True)
class Instance:
    """One running OS process of a release."""

    id: str
    release: str
    #: Digest of its footprint in this ledger's database.
    digest: str
    kind: InstanceKind
    workload: str
    state: InstanceState
    registered_at: float
    #: When its lease was last renewed.
    renewed_at: float
    expires_at: float
    #: When it said that it is GONE.
    ended_at: float | None = None
    #: A management command that is neither Django's own nor run from a terminal: the next run may come.
    recurring: bool = False
    host: str = ""
    pid: int = 0
    #: Epoch of the watch list that it watches, and the last epoch for which it has flushed what it saw.
    watched_epoch: int = 0
    flushed_epoch: int = 0
    #: What tells its process, and its sessions, from others; empty where nothing would prove them gone.
    process: str = ""
    session: str = ""
    #: It was REFUSED when it said that it is GONE: a command exits before its work then.
    refused: bool = False
    #: How many instances that ended long ago this stands for; 0: it is one itself.
    folded: int = 0
    #: When the first of those registered; `registered_at` is when the last one did.
    first_at: float | None = None
    #: Label of its project, where one database has several; else empty.
    project: str = ""

    @property
    def size(self) -> int:
        """How many instances it stands for."""
        return max(1, self.folded)

    @property
    def first_registered_at(self) -> float:
        return self.registered_at if self.first_at is None else self.first_at

    def lost(self, now: float) -> bool:
        """Whether its lease ran out without a word: unknown, not dead."""
        return self.state is not InstanceState.GONE and self.expires_at <= now

    def live(self, now: float) -> bool:
        """Whether it holds a lease; a REFUSED instance counts, because it still serves."""
        return self.state is not InstanceState.GONE and self.expires_at > now

    def last_live(self, now: float) -> float:
        """The last moment at which it is known to have been running."""
        if self.ended_at is not None:
            return self.ended_at
        return min(self.expires_at, now)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A statement shape that touched something slated, counted."""

    table: str
    column: str
    access: Access
    release: str
    digest: str
    workload: str
    #: "file.py:123 in function"
    call_site: str
    #: URL route or command, if known.
    route: str
    #: The statement with its literals removed.
    shape: str
    count: int
    first_at: float
    last_at: float
    #: Why attribution counts it: a name, a star, …
    reason: str = ""
    #: Read by a star (`SELECT *`), which names no column.
    star: bool = False
    #: Of how many sightings of one day this is the sum, which no longer says where and how; 0: it is one itself.
    folded: int = 0


@dataclass(frozen=True, slots=True)
class Registration:
    """What a process says of itself when it registers."""

    id: str
    release: str
    kind: InstanceKind
    workload: str
    recurring: bool
    host: str
    pid: int
    process: str = ""
    session: str = ""
    #: Of this registration, and those under which the ledger may have it already: another process that has the same id
    #: (of a cloned machine) has others.
    mark: int = 0
    marks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that a footprint relies on and that is sealed, set aside or erased."""

    step: Step

    def __str__(self) -> str:
        step = self.step
        if step.kind is StepKind.MIGRATION:
            return (
                f"Migration {step.target} is being applied right now, and this release lacks it. Wait for it to end; "
                "what this release uses may be different then."
            )
        if step.kind is StepKind.DEFAULT:
            return (
                f"The default of {step.target} is being taken away right now, and this release, which lacks migration "
                f"{step.app}.{step.migration}, may insert without a value. Wait for the step to end: the next "
                "`manage.py migrate` puts the default back."
            )
        if step.kind is StepKind.KEY:
            return (
                f"The ON DELETE action of {step.target} is being taken away right now, and this release, which lacks "
                f"migration {step.app}.{step.migration}, may delete what its rows refer to. Wait for the step to end: "
                "the next `manage.py migrate` puts the action back."
            )
        if step.kind is StepKind.NULLABLE:
            return (
                f"{step.target} is being made NOT NULL right now, and this release, which lacks migration "
                f"{step.app}.{step.migration}, may insert NULL. Wait for the step to end."
            )
        what = {
            StepState.SEALED: "is being taken away right now",
            StepState.ASIDE: "was set aside",
            StepState.DONE: "was erased",
        }[step.state]
        after = (
            f"`manage.py guard restore {step.pasted}` brings it back."
            if step.state is StepState.ASIDE
            else "Its data is gone: deploy a release that does without it."
            if step.state is StepState.DONE
            else "Wait for the step to end."
        )
        migration = f"{step.app}.{step.migration}"
        at = {StepState.ASIDE: step.aside_at, StepState.DONE: step.done_at}.get(step.state)
        # A moment, not how long ago: the same refusal is told once.
        when = f" on {datetime.fromtimestamp(at, UTC):%Y-%m-%d at %H:%M UTC}" if at else ""
        return f"{step.target} {what} by migration {migration}{when}, but this release's models declare it. {after}"


@dataclass(frozen=True, slots=True)
class Admission:
    """The ledger's answer to a registration."""

    state: InstanceState
    refusals: tuple[Refusal, ...]
    watch: WatchList


@dataclass(frozen=True, slots=True)
class Glimpse:
    """One aggregated entry of a process's buffer: what is added to a sighting at a flush.

    `first_age` and `last_age` are seconds before the flush, because clocks of hosts differ.
    """

    table: str
    column: str
    access: Access
    call_site: str
    route: str
    shape: str
    reason: str
    star: bool
    count: int
    first_age: float
    last_age: float
    #: The release has the migration: a bug in the new code, to be alerted once for the fleet.
    stale: bool
    #: "app.name" of the migration.
    migration: str


@dataclass(frozen=True, slots=True)
class Renewal:
    """The ledger's answer to a beat."""

    state: InstanceState
    #: The ledger's current epoch; the watch list is read again where it differs from the one that is watched.
    epoch: int
    #: Indexes into the flushed glimpses that this process is the first in the fleet to report: it alerts.
    first_seen: tuple[int, ...]
    #: How many instances beat, as counted within the last minute; None where that is to be counted again.
    fleet: int | None = None
