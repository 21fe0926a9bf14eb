"""What operators have said of the gate: blockers waived, everything frozen, instances forgotten; and the log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from guard.ledger import rows
from guard.ledger.store import Ledger
from guard.ledger.stored import FORMAT


class OrderKind(StrEnum):
    #: Blockers of one step or migration are waived.
    WAIVE = "waive"
    #: Nothing is taken.
    FREEZE = "freeze"


@dataclass(frozen=True, slots=True)
class Order:
    """One thing that an operator has said, in force until it expires."""

    kind: OrderKind
    #: TABLE.COLUMN or APP.MIGRATION; empty: everything.
    target: str
    #: Blockers that are waived, each by its code and whom it is about; empty: whoever it is.
    waives: tuple[tuple[str, str], ...]
    reason: str
    actor: str
    made_at: float
    expires_at: float


_COLUMNS = ("kind", "target", "codes", "reason", "actor", "made_at", "expires_at")


#: Instances that one statement is about.
_BATCH = 500

#: What is said by, or of, the ledger's project: of whoever has no label too. Where the ledger has none, of everybody.
_OURS = "(%s = '' OR project IN ('', %s))"


def _ours(ledger: Ledger) -> tuple[str, str]:
    return ledger.project, ledger.project


def give(ledger: Ledger, order: Order) -> None:
    """Store an order."""
    ledger.insert(
        "order",
        {
            "kind": order.kind.value,
            "target": order.target,
            "codes": json.dumps(order.waives),
            "reason": order.reason,
            "actor": order.actor,
            "made_at": order.made_at,
            "expires_at": order.expires_at,
            "project": ledger.project,
            "format": FORMAT,
        },
    )


def in_force(ledger: Ledger, now: float) -> tuple[Order, ...]:
    """Orders that have not expired; those of a kind that only a newer guard knows are left to it."""
    known = set(OrderKind)
    return tuple(
        Order(OrderKind(row[0]), row[1], _waives(row[2]), row[3], row[4], row[5], row[6])
        for row in ledger.select("order", _COLUMNS, f"expires_at > %s AND {_OURS} ORDER BY id", [now, *_ours(ledger)])
        if row[0] in known
    )


def _waives(stored: str) -> tuple[tuple[str, str], ...]:
    # Before format 2, codes alone.
    return tuple((one, "") if isinstance(one, str) else (str(one[0]), str(one[1])) for one in json.loads(stored))


def thaw(ledger: Ledger, now: float) -> int:
    """End every freeze; returns how many were in force."""
    where = f"kind = %s AND expires_at > %s AND {_OURS}"
    return ledger.update("order", {"expires_at": now}, where, [OrderKind.FREEZE.value, now, *_ours(ledger)])


def forget_instances(ledger: Ledger, ids: Sequence[str]) -> int:
    """Take LOST instances for gone, at the moment at which their lease ran out; returns how many.

    One that has come back since it was looked at is left alone.
    """
    gone = 0
    now = ledger.now()
    for some in _batches(ids):
        gone += ledger.update(
            "instance",
            {"state": rows.InstanceState.GONE.value},
            f"{_among(some)} AND state <> %s AND expires_at <= %s",
            [*some, rows.InstanceState.GONE.value, now],
            raw={"ended_at": "expires_at", "refused": f"(refused OR state = '{rows.InstanceState.REFUSED}')"},
        )
    return gone


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """In an order that is everybody's: two who end the same instances must not wait for each other."""
    ids = sorted(ids)
    return (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))


def _among(ids: Sequence[str]) -> str:
    return f"id IN ({', '.join(['%s'] * len(ids))})"


def forget_workload(ledger: Ledger, workload: str) -> int:
    """Nobody waits for the next run of this command any more; returns how many of its runs that concerns."""
    where = f"workload = %s AND recurring = %s AND {_OURS}"
    return ledger.update("instance", {"recurring": False}, where, [workload, True, *_ours(ledger)])


def refuse(ledger: Ledger, ids: Sequence[str]) -> None:
    """Instances that rely on what is taken in spite of them are no longer admitted."""
    for some in _batches(ids):
        ledger.update(
            "instance",
            {"state": rows.InstanceState.REFUSED.value},
            f"{_among(some)} AND state = %s",
            [*some, rows.InstanceState.LIVE.value],
        )


def set_environment(ledger: Ledger, label: str) -> None:
    """The ledger is this environment's from now on."""
    ledger.update("gate", {"environment": label}, "id = 1", [])


#: What a plan runs together. No deed, and so not shown with them.
_PLAN = "plan"


def note_plan(ledger: Ledger, migrations: Sequence[tuple[str, str]], *, actor: str, release: str) -> None:
    """Keep which migrations a plan is about to run in this schema."""
    details = {"migrations": [list(key) for key in migrations]}
    ledger.record(_PLAN, ledger.schema(), actor=actor, release=release, details=details)


def last_plan(ledger: Ledger) -> tuple[float, tuple[tuple[str, str], ...]] | None:
    """When the project's last plan in this schema began, and which migrations it was about to run; None for none."""
    where = f"action = %s AND target = %s AND {_OURS} ORDER BY id DESC LIMIT 1"
    found = ledger.select("event", ("at", "details"), where, [_PLAN, ledger.schema(), *_ours(ledger)])
    if not found:
        return None
    at, details = found[0]
    return float(at), tuple((app, name) for app, name in json.loads(details)["migrations"])


def record_since(ledger: Ledger, since: float) -> list[tuple[float, str, str, str, str, dict[str, object]]]:
    """The ledger's log from a moment on: (at, action, target, actor, release, details), oldest first."""
    return [
        (at, action, target, actor, release, json.loads(details))
        for at, action, target, actor, release, details in ledger.select(
            "event",
            ("at", "action", "target", "actor", "release_label", "details"),
            f"at >= %s AND action <> %s AND {_OURS} ORDER BY at, id",
            [since, _PLAN, *_ours(ledger)],
        )
    ]
