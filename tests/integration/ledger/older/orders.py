"""What operators have said of the gate: blockers waived, everything frozen, instances forgotten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.integration.ledger.older import rows
from tests.integration.ledger.older.store import FORMAT, Ledger


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
    #: Codes of the waived blockers.
    codes: tuple[str, ...]
    reason: str
    actor: str
    made_at: float
    expires_at: float


_COLUMNS = ("kind", "target", "codes", "reason", "actor", "made_at", "expires_at")


def give(ledger: Ledger, order: Order) -> None:
    """Store an order."""
    ledger.insert(
        "order",
        {
            "kind": order.kind.value,
            "target": order.target,
            "codes": json.dumps(order.codes),
            "reason": order.reason,
            "actor": order.actor,
            "made_at": order.made_at,
            "expires_at": order.expires_at,
            "format": FORMAT,
        },
    )


def in_force(ledger: Ledger, now: float) -> tuple[Order, ...]:
    """Orders that have not expired; those of a kind that only a newer guard knows are left to it."""
    known = set(OrderKind)
    return tuple(
        Order(OrderKind(row[0]), row[1], tuple(json.loads(row[2])), row[3], row[4], row[5], row[6])
        for row in ledger.select("order", _COLUMNS, "expires_at > %s ORDER BY id", [now])
        if row[0] in known
    )


def thaw(ledger: Ledger, now: float) -> int:
    """End every freeze; returns how many were in force."""
    return ledger.update("order", {"expires_at": now}, "kind = %s AND expires_at > %s", [OrderKind.FREEZE.value, now])


def forget_instances(ledger: Ledger, ids: Sequence[str]) -> int:
    """Take LOST instances for gone, at the moment at which their lease ran out; returns how many.

    One that has come back since it was looked at is left alone.
    """
    gone = 0
    now = ledger.now()
    for instance in ids:
        gone += ledger.update(
            "instance",
            {"state": rows.InstanceState.GONE.value},
            "id = %s AND state <> %s AND expires_at <= %s",
            [instance, rows.InstanceState.GONE.value, now],
            raw={"ended_at": "expires_at"},
        )
    return gone


def forget_workload(ledger: Ledger, workload: str) -> int:
    """Nobody waits for the next run of this command any more; returns how many of its runs that concerns."""
    return ledger.update("instance", {"recurring": False}, "workload = %s AND recurring = %s", [workload, True])


def refuse(ledger: Ledger, ids: Sequence[str]) -> None:
    """Instances that rely on what is taken in spite of them are no longer admitted."""
    for instance in ids:
        ledger.update(
            "instance",
            {"state": rows.InstanceState.REFUSED.value},
            "id = %s AND state = %s",
            [instance, rows.InstanceState.LIVE.value],
        )


def set_environment(ledger: Ledger, label: str) -> None:
    """The ledger is this environment's from now on."""
    ledger.update("gate", {"environment": label}, "id = 1", [])


def record_since(ledger: Ledger, since: float) -> list[tuple[float, str, str, str, str, dict[str, object]]]:
    """The ledger's log from a moment on: (at, action, target, actor, release, details), oldest first."""
    return [
        (at, action, target, actor, release, json.loads(details))
        for at, action, target, actor, release, details in ledger.select(
            "event",
            ("at", "action", "target", "actor", "release_label", "details"),
            "at >= %s ORDER BY at, id",
            [since],
        )
    ]
