"""What a row of the ledger's tables means as a value, and how a value is written into one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from guard.attribution.watchlist import Access, Watched, WatchList
from guard.ledger import rows

#: What this code writes into a row's `format`. A newer guard may write more; what is unknown is left alone.
FORMAT = 2

STEP_COLUMNS = (
    "id", "kind", "state", "app", "migration", "replaced_by", "table_name", "column_name", "model", "field", "version",
    "slatings", "slated_at", "changed_at", "reopened_at", "token", "sealed_at", "sealer", "aside_name", "aside_at",
    "done_at", "payload", "project", "schema_name",
)  # fmt: skip

INSTANCE_COLUMNS = (
    "id", "release_label", "digest", "kind", "workload", "state", "registered_at", "renewed_at", "expires_at",
    "ended_at", "recurring", "host", "pid", "watched_epoch", "flushed_epoch", "refused", "folded", "first_at",
    "process", "session", "project",
)  # fmt: skip

SIGHTING_COLUMNS = (
    "table_name", "column_name", "access", "release_label", "digest", "workload", "call_site", "route", "shape",
    "count", "first_at", "last_at", "reason", "star", "folded",
)  # fmt: skip


def step_of(row: Sequence[Any]) -> rows.Step | None:
    """The step that a row tells of; None where a newer guard has given it a kind or a state that is not known here."""
    values = dict(zip(STEP_COLUMNS, row, strict=True))
    if values["kind"] not in _KINDS or values["state"] not in _STATES:
        return None
    return rows.Step(
        **{key: values[key] for key in STEP_COLUMNS if key not in _STEP_READERS},
        **{name: read(values[key]) for key, (name, read) in _STEP_READERS.items()},
    )


_KINDS = frozenset(map(str, rows.StepKind))
_STATES = frozenset(map(str, rows.StepState))
_WATCHED = frozenset({rows.StepKind.COLUMN, rows.StepKind.TABLE})

_STEP_READERS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "kind": ("kind", rows.StepKind),
    "state": ("state", rows.StepState),
    "replaced_by": ("replaced_by", lambda text: tuple((app, name) for app, name in json.loads(text))),
    "table_name": ("table", str),
    "column_name": ("column", str),
    "schema_name": ("schema", str),
    "payload": ("payload", json.loads),
}


def sighting_of(row: Sequence[Any]) -> rows.Sighting:
    return rows.Sighting(
        table=row[0],
        column=row[1],
        access=or_else(Access, row[2], Access.WRITE),
        release=row[3],
        digest=row[4],
        workload=row[5],
        call_site=row[6],
        route=row[7],
        shape=row[8],
        count=row[9],
        first_at=row[10],
        last_at=row[11],
        reason=row[12],
        star=bool(row[13]),
        folded=row[14],
    )


def step_values(step: rows.Step) -> dict[str, Any]:
    return {
        "kind": step.kind.value,
        "state": step.state.value,
        "app": step.app,
        "migration": step.migration,
        "replaced_by": json.dumps([list(pair) for pair in step.replaced_by]),
        "table_name": step.table,
        "column_name": step.column,
        "model": step.model,
        "field": step.field,
        "version": step.version,
        "slatings": step.slatings,
        "slated_at": step.slated_at,
        "changed_at": step.changed_at,
        "reopened_at": step.reopened_at,
        "token": step.token,
        "sealed_at": step.sealed_at,
        "sealer": step.sealer,
        "aside_name": step.aside_name,
        "aside_at": step.aside_at,
        "done_at": step.done_at,
        "payload": json.dumps(dict(step.payload), sort_keys=True),
        "project": step.project,
        "schema_name": step.schema,
    }


def identity(*parts: object) -> str:
    """A fixed-length name for a tuple of values, usable as a key on every vendor."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def step_identity(step: rows.Step) -> str:
    """What makes two rows of contract work the same piece of work."""
    # Labels only where there are any: so it is the same for a guard that knows nothing of them.
    labels = (step.project, step.schema) if step.project or step.schema else ()
    return identity(step.kind, step.table, step.column, step.app, step.migration, *labels)


def known(read: Iterable[Sequence[Any]]) -> tuple[rows.Step, ...]:
    return tuple(step for row in read if (step := step_of(row)) is not None)


def watch_list(read: Sequence[Sequence[Any]]) -> WatchList:
    """What all the rows of contract steps together say is slated."""
    entries = []
    epoch = 0
    for row in read:
        values = dict(zip(STEP_COLUMNS, row, strict=True))
        # Rows that a newer guard understands better count too: the epoch is the sum over all of them, and what may be
        # slated is watched.
        epoch += int(values["slatings"])
        state = values["state"]
        if values["kind"] in _WATCHED and (state in rows.SLATED_STATES or state not in _STATES):
            replaced_by = ((app, name) for app, name in json.loads(values["replaced_by"]))
            entries.append(
                Watched(
                    values["table_name"],
                    values["column_name"],
                    ((values["app"], values["migration"]), *replaced_by),
                )
            )
    return WatchList(epoch=epoch, entries=tuple(entries))


def or_else(kind: Any, value: str, otherwise: Any) -> Any:
    """A stored word, or the most cautious one where a newer guard wrote one that this guard does not know."""
    try:
        return kind(value)
    except ValueError:
        return otherwise
