"""A fleet in which a column may be taken, to be spoilt by one fact at a time."""

from __future__ import annotations

from typing import Any

from guard.attribution.watchlist import Access
from guard.gate.verdict import Evidence, Policy
from guard.ledger.rows import Instance, InstanceKind, InstanceState, Sighting, Step, StepKind, StepState
from guard.schema.footprint import Column, Footprint

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0

#: When the evidence is read; the step was slated three days before.
NOW = 1_700_000_000.0
SLATED = NOW - 3 * DAY
EPOCH = 4

_COLUMN = Column("varchar(20)", False, False)
OLD = Footprint({"shop_book": {"id": _COLUMN, "isbn": _COLUMN}}, frozenset({("shop", "0001_initial")}))
NEW = Footprint({"shop_book": {"id": _COLUMN}}, frozenset({("shop", "0001_initial"), ("shop", "0002_remove_isbn")}))
POLICY = Policy(environment="production")


def step(**changes: Any) -> Step:
    """A column that waits."""
    values: dict[str, Any] = {
        "id": 1,
        "kind": StepKind.COLUMN,
        "state": StepState.WAITING,
        "app": "shop",
        "migration": "0002_remove_isbn",
        "table": "shop_book",
        "column": "isbn",
        "slated_at": SLATED,
        "changed_at": SLATED,
    }
    return Step(**values | changes)


def instance(id: str, digest: str = "new", **changes: Any) -> Instance:
    """A live web process, of release 2 unless its digest is that of release 1."""
    values: dict[str, Any] = {
        "id": id,
        "release": "1" if digest == "old" else "2",
        "digest": digest,
        "kind": InstanceKind.SERVER,
        "workload": "web",
        "state": InstanceState.LIVE,
        "registered_at": NOW - 2 * DAY,
        "renewed_at": NOW - 10,
        "expires_at": NOW + 80,
        "watched_epoch": EPOCH,
        "flushed_epoch": EPOCH,
    }
    return Instance(**values | changes)


def gone(id: str, digest: str = "old", *, ago: float, **changes: Any) -> Instance:
    return instance(id, digest, **{"state": InstanceState.GONE, "ended_at": NOW - ago} | changes)


def lost(id: str, digest: str = "old", *, ago: float, **changes: Any) -> Instance:
    return instance(id, digest, **{"expires_at": NOW - ago, "renewed_at": NOW - ago - 90} | changes)


def sighting(*, ago: float, **changes: Any) -> Sighting:
    values: dict[str, Any] = {
        "table": "shop_book",
        "column": "isbn",
        "access": Access.READ,
        "release": "2",
        "digest": "new",
        "workload": "web",
        "call_site": "shop/views.py:12 in index",
        "route": "/",
        "shape": "SELECT isbn FROM shop_book",
        "count": 3,
        "first_at": NOW - 2 * DAY,
        "last_at": NOW - ago,
    }
    return Sighting(**values | changes)


def evidence(**changes: Any) -> Evidence:
    """Evidence on which the verdict is clear: release 2 runs, release 1 has been gone for two days."""
    values: dict[str, Any] = {
        "now": NOW,
        "step": step(),
        "epoch": EPOCH,
        "footprints": {"old": OLD, "new": NEW},
        "instances": (instance("n1"), instance("n2"), gone("o1", ago=2 * DAY)),
        "sightings": (),
        "first_registered_at": NOW - 2 * DAY,
        "environment": "production",
        "taker_footprint": NEW,
        "applied": True,
    }
    return Evidence(**values | changes)


def spoilt(*more: Instance, **changes: Any) -> Evidence:
    """The clear evidence with more instances, and other facts changed."""
    base = evidence(**changes)
    return evidence(**changes | {"instances": (*base.instances, *more)})
