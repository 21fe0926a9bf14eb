"""What each verb says with `--json`: the schemas that are shipped, and docs/json.md, are made from this.

Within a version, keys are only added. Times are seconds since 1970 on the database's clock; durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict

#: Grows when a reader must know: when a key goes, or means something else.
VERSION = 1

Version = Annotated[Literal[1], "Grows when a reader must know."]
Database = Annotated[str, "The alias of the database."]
Now = Annotated[float, "When this was read."]
Total = Annotated[int, "How many there are on all pages."]
Limit = Annotated[int, "How many are on a page at most."]
PageNumber = Annotated[int, "Which page this is, from 1."]
Pages = Annotated[int, "How many pages there are."]
StepKind = Literal["column", "table", "default", "nullable", "key", "migration"]
StepState = Annotated[
    Literal["waiting", "sealed", "aside", "done", "withdrawn"], "`sealed`: it is being taken at this moment."
]
Target = Annotated[str, "TABLE.COLUMN, TABLE, or APP.MIGRATION."]
Footprint = Annotated[str, "The beginning of its footprint's digest: two builds with one label differ here."]


class UsedBy(TypedDict):
    """Instances that rely on a target."""

    release: str
    workload: str
    instances: int
    lost: Annotated[int, "How many of them have vanished without a word."]
    last_seen: float


class SightingOfStep(TypedDict):
    """A statement that touched a target, counted."""

    access: Literal["read", "write"]
    release: str
    workload: str
    call_site: Annotated[str, "FILE:LINE in FUNCTION; empty where it is not known."]
    route: Annotated[str, "The URL route or command; empty where it is not known."]
    statement: Annotated[str, "Without its literals."]
    count: int
    first_at: float
    last_at: float
    reason: Annotated[str, "Why it counts as touching."]
    folded: Annotated[int, "Of how many sightings of one day this is the sum; 0: it is one."]


class Blocker(TypedDict):
    """One reason to wait."""

    code: Annotated[str, "Stable; what `guard allow --waive` takes."]
    condition: Annotated[int, "The number of the condition that is not met; 0: what comes before all of them."]
    who: str
    what: str
    since: float | None
    clears: Annotated[str, "What clears it."]
    by: Annotated[float | None, "When it clears at the latest, if nothing new happens; null: time alone does not."]
    definition: Annotated[str | None, "The SQL of what it names, as the database has it."]
    says: Annotated[str, "All of that in a sentence."]


class Condition(TypedDict):
    """One of the conditions under which a step is taken."""

    number: int
    name: str
    state: Literal["met", "not met", "not readable", "waived", "not asked"]
    detail: Annotated[list[str], "What leaves it unmet."]


class Step(TypedDict):
    """A contract step."""

    target: Target
    kind: StepKind
    state: StepState
    says: Annotated[str, "Its state in the words that people use."]
    migration: Annotated[str, "APP.NAME."]
    slated_at: float
    aside_name: Annotated[str | None, "The name under which it is set aside."]
    erased_after: Annotated[float | None, "When it may be erased."]
    used_by: list[UsedBy]
    sightings: list[SightingOfStep]
    blockers: list[Blocker]
    conditions: list[Condition]
    warnings: Annotated[list[str], "What nothing waits for."]
    goes_with_it: Annotated[list[str], "What is the target's own, and is taken away with it."]


class InstanceGroup(TypedDict):
    """Instances of one release and workload."""

    release: str
    footprint: Footprint
    workload: str
    live: int
    refused: int
    lost: int
    proven_closed: Annotated[int, "How many of the lost are proven gone."]
    unprovable: Annotated[int, "Of how many of the lost nothing can be proven from here."]
    last_seen: float


class DatabaseView(TypedDict):
    """One database."""

    database: Database
    environment: Annotated[str | None, "The label of the environment that the ledger belongs to."]
    now: Now
    steps: list[Step]
    instances: list[InstanceGroup]
    strangers: Annotated[list[str] | None, "Sessions that belong to no instance; null: they cannot be seen."]


class Status(TypedDict):
    """`guard status`."""

    version: Version
    databases: list[DatabaseView]


class StepOfDatabase(TypedDict):
    """A step of one database."""

    database: Database
    now: Now
    step: Step


class Why(TypedDict):
    """`guard why`."""

    version: Version
    database: Database
    now: Now
    step: Step
    others: Annotated[list[StepOfDatabase], "The same target in other databases."]


class Attempted(TypedDict):
    """What became of a step."""

    database: Database
    id: Annotated[int, "Of the step, in its database."]
    target: Target
    outcome: Annotated[
        Literal["set aside", "done", "blocked", "locked", "reconciled", "busy", "ready", "failed"],
        "`ready`: the next `migrate` applies its migration. `busy`: another process is at work on it.",
    ]
    state: StepState
    detail: str
    waits_for: list[str]


class Contract(TypedDict):
    """`guard contract`."""

    version: Version
    steps: list[Attempted]


class Restored(TypedDict):
    """What was brought back."""

    database: Database
    target: Target
    state: StepState


class Restore(TypedDict):
    """`guard restore`."""

    version: Version
    restored: list[Restored]


class Ordered(TypedDict):
    """An order that was carried out."""

    database: Database
    target: Annotated[str, "What it is about; empty: everything."]
    says: str


class Orders(TypedDict):
    """`guard withdraw`, `allow`, `forget`, `reconcile`, `freeze` and `adopt`."""

    version: Version
    orders: list[Ordered]


class Instance(TypedDict):
    """A process; or a total of some that ended long ago."""

    database: Database
    id: str
    name: Annotated[str, "HOST:PID."]
    release: str
    footprint: Footprint
    kind: Literal["server", "worker", "command"]
    workload: str
    state: Annotated[
        Literal["live", "refused", "lost", "gone"],
        "`refused`: its code relies on what is gone. `lost`: it vanished without a word. `gone`: it said so.",
    ]
    host: str
    pid: int
    registered_at: float
    last_seen: float
    expires_at: Annotated[float, "When its lease runs out, or ran out."]
    ended_at: float | None
    instances: Annotated[int, "How many it stands for; 1: it is one itself."]
    proven_closed: Annotated[bool, "Lost, and proven gone."]
    provable: Annotated[bool, "Whether a proof that it is gone could be had from here."]
    now: Now


class Instances(TypedDict):
    """`guard instances`."""

    version: Version
    instances: list[Instance]
    total: Total
    limit: Limit
    page: PageNumber
    pages: Pages


class Sighting(TypedDict):
    """What one piece of code has done to a target, counted."""

    database: Database
    target: Target
    access: Literal["read", "write"]
    release: str
    footprint: Footprint
    workload: str
    call_site: Annotated[str, "FILE:LINE in FUNCTION; empty where it is not known, or too long ago."]
    route: Annotated[str, "The URL route or command; empty where it is not known."]
    count: int
    first_at: float
    last_at: float
    statements: Annotated[int, "How many statements there were that differ in more than their literals."]
    statement: Annotated[str, "One of them, without its literals."]
    now: Now


class Sightings(TypedDict):
    """`guard sightings`."""

    version: Version
    sightings: list[Sighting]
    total: Total
    limit: Limit
    page: PageNumber
    pages: Pages


class Entry(TypedDict):
    """Something that happened."""

    database: Database
    at: float
    action: str
    target: Annotated[str, "What it is about; empty: everything."]
    actor: Annotated[str, "Who answers for it."]
    release: str
    details: Annotated[
        Mapping[str, Any],
        "What else is known: `reason`, `job`, `evidence`, `conditions`, `sql`, `seconds`, as the action has it.",
    ]


class Log(TypedDict):
    """`guard log`, the oldest first."""

    version: Version
    log: list[Entry]
    total: Total
    limit: Limit
    page: Annotated[int, "Which page this is; 1 has the newest."]
    pages: Pages


class Finding(TypedDict):
    """What a migration, or a line of Python, does to deployed code."""

    id: Annotated[str, "Of the check: docs/checks.md explains it."]
    level: Literal["info", "warning", "error"]
    message: str
    hint: str
    app: str
    migration: str
    operation: Annotated[int | None, "Its place in `Migration.operations`; null: it is about all of it."]
    targets: list[str]
    phase: str | None
    disposition: str | None
    path: str | None
    line: int | None


class Lint(TypedDict):
    """`guard lint`."""

    version: Version
    migrations: Annotated[int, "How many were looked at."]
    operations: Annotated[Mapping[str, int], "How many operations there are of each phase."]
    opaque: Annotated[float, "The share of operations of which nothing can be known, from 0 to 1."]
    findings: list[Finding]


class Examined(TypedDict):
    """One thing that `doctor` has looked at."""

    database: Annotated[str | None, "The alias of the database; null: it is about the process."]
    name: Annotated[str, "Stable."]
    state: Annotated[
        Literal["good", "mend", "note"], "`mend`: guard cannot do its work like this. `note`: good to know."
    ]
    says: str
    mend: Annotated[str | None, "What to do."]
    paste: Annotated[str | None, "The command, or the line of the settings, that does it."]


class Doctor(TypedDict):
    """`guard doctor`."""

    version: Version
    healthy: Annotated[bool, "Whether nothing is to be mended."]
    examined: list[Examined]


#: By verb. With an error, standard output may be empty: the sentence is on standard error, and the exit code says so.
ANSWERS: Mapping[str, type] = {
    "status": Status,
    "why": Why,
    "contract": Contract,
    "restore": Restore,
    "withdraw": Orders,
    "allow": Orders,
    "forget": Orders,
    "reconcile": Orders,
    "freeze": Orders,
    "adopt": Orders,
    "instances": Instances,
    "sightings": Sightings,
    "log": Log,
    "lint": Lint,
    "doctor": Doctor,
}
