"""Reads, from one ledger, what a verdict is decided on."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from guard import conf
from guard.attribution.watchlist import Access
from guard.gate import copies, verdict
from guard.gate.witnesses import dependents as witnesses
from guard.gate.witnesses import sessions
from guard.ledger import orders, protocol, rows
from guard.ledger.store import Ledger
from guard.schema.footprint import Footprint

#: Key of the payload of a migration that is held whole: what it takes away, as [table, column] or [table, ""].
TAKES = "takes"


@dataclass(frozen=True, slots=True)
class Taker:
    """The process that would take a step."""

    footprint: Footprint
    release: str
    #: Who answers for it: GUARD_ACTOR, else user and host.
    actor: str
    #: Its instance in this ledger, if it is one: a server that migrates as it starts.
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is common to the evidence on every step of one ledger, read at one moment."""

    now: float
    epoch: int
    instances: tuple[rows.Instance, ...]
    footprints: dict[str, Footprint]
    environment: str
    applied: frozenset[tuple[str, str]]
    #: What operators have said, as far as it is in force.
    orders: tuple[orders.Order, ...] = ()
    #: What is known of lost instances.
    proofs: sessions.Proofs = sessions.NOTHING
    #: Sessions that belong to no instance; None where nobody has asked for them.
    strangers: tuple[str, ...] | None = None
    unreadable: tuple[str, ...] = ()


def applied_migrations(connection: BaseDatabaseWrapper) -> frozenset[tuple[str, str]]:
    """(app, name) pairs that django_migrations has. Raises DatabaseError where the table is not there."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations")
        return frozenset((app, name) for app, name in cursor.fetchall())


def read_fleet(ledger: Ledger) -> Fleet:
    """Read all of it now."""
    moment = ledger.moment()
    instances = ledger.instances()
    return Fleet(
        now=moment.now,
        proofs=sessions.proofs(ledger.connection, instances, moment.now),
        **_strangers(ledger, instances),
        orders=orders.in_force(ledger, moment.now),
        epoch=moment.epoch,
        instances=instances,
        footprints=ledger.footprints(),
        environment=moment.environment,
        applied=applied_migrations(ledger.connection),
    )


def _strangers(ledger: Ledger, instances: tuple[rows.Instance, ...]) -> dict[str, Any]:
    allowed = conf.get().witnesses.get("sessions")
    if allowed is None:
        return {}
    try:
        found = sessions.strangers(ledger.connection, instances, allowed)
    except DatabaseError:
        found = None
    return {"unreadable": ("sessions",), "strangers": ()} if found is None else {"strangers": found}


def gather(ledger: Ledger, step: rows.Step, fleet: Fleet, taker: Taker | None) -> verdict.Evidence:
    """The evidence on one step. `taker` is None where nobody is about to take it and only the state is asked."""
    if not step.id:
        # Not stored yet, and so without what the ledger adds.
        step = replace(step, project=ledger.project)
    footprint = taker.footprint if taker else None
    if footprint is None:
        # Judged as if by the newest release: the question is what the others do.
        footprint = Footprint({}, frozenset(protocol.names(step)), step.project)
    around = witnesses.Around(())
    unreadable: tuple[str, ...] = ()
    try:
        if step.kind is rows.StepKind.COLUMN:
            around = witnesses.of_column(
                ledger.connection, step.table, step.aside_name or step.column, _leftovers(ledger)
            )
        elif step.kind is rows.StepKind.TABLE:
            around = witnesses.of_table(ledger.connection, step.aside_name or step.table, _leftovers(ledger))
        elif step.kind is rows.StepKind.MIGRATION:
            around = witnesses.of_migration(ledger.connection, step.payload.get(TAKES, ()), _leftovers(ledger))
    except DatabaseError:
        unreadable = ("dependents",)
    sightings = ledger.sightings(step.table, step.column) if step.kind in protocol.REMOVING else ()
    return verdict.Evidence(
        now=fleet.now,
        step=step,
        epoch=fleet.epoch,
        footprints=fleet.footprints,
        instances=fleet.instances,
        sightings=sightings,
        first_registered_at=min(
            (i.first_registered_at for i in fleet.instances if protocol.same_project(i.project, step.project)),
            default=None,
        ),
        environment=fleet.environment or None,
        taker_footprint=footprint,
        taker_id=taker.instance if taker else "",
        dependents=around.others,
        unseen=_unseen(around.unseen),
        own=around.own,
        unreadable=(*fleet.unreadable, *unreadable),
        waivers=_waivers(fleet.orders, step),
        **_frozen(fleet.orders),
        **_late(step, sightings, fleet),
        strangers=fleet.strangers,
        proven_closed=fleet.proofs.closed,
        applied=bool(fleet.applied.intersection(protocol.names(step))),
    )


def _unseen(found: Iterable[verdict.Unseen]) -> tuple[verdict.Unseen, ...]:
    """What cannot be read blocks where the operator has asked for this witness, but for what that excepts."""
    excepted = conf.get().witnesses.get("dependents")
    if excepted is None:
        return tuple(found)
    return tuple(
        replace(each, blocks=not any(fnmatch.fnmatchcase(each.kind, kind) for kind in excepted)) for each in found
    )


def _late(step: rows.Step, sightings: Iterable[rows.Sighting], fleet: Fleet) -> dict[str, Any]:
    """Writes by old code since a data migration copied the target; not asked where none has."""
    copied = step.payload.get(copies.COPIED)
    if copied is None:
        return {"late_writes": None}
    unseen = copied.get(copies.UNSEEN)
    if unseen is None:
        # Its `migrate` has ended before it could tell.
        unseen = copies.unseen(step, copied["at"], fleet.instances, fleet.footprints)
    late = [
        sighting
        for sighting in sightings
        if sighting.access is Access.WRITE
        and sighting.last_at > copied["at"]
        and protocol.relies(fleet.footprints.get(sighting.digest), step)
    ]
    return {
        "late_writes": sum(sighting.count for sighting in late),
        "last_late_write": max((sighting.last_at for sighting in late), default=None),
        "unseen_writers": tuple((release, workload, number) for release, workload, number in unseen),
    }


def _leftovers(ledger: Ledger) -> Callable[[str, str], bool]:
    """Whether a column, named by where it stands now, is one that only old code knows."""

    @functools.cache
    def unfinished() -> set[tuple[str, str]]:
        steps = ledger.steps(rows.StepState.WAITING, rows.StepState.SEALED, rows.StepState.ASIDE)
        columns = {(step.table, step.aside_name or step.column) for step in steps if step.kind is rows.StepKind.COLUMN}
        return columns | {(step.aside_name or step.table, "") for step in steps if step.kind is rows.StepKind.TABLE}

    return lambda table, column: not unfinished().isdisjoint({(table, ""), (table, column)})


def _waivers(given: Iterable[orders.Order], step: rows.Step) -> tuple[verdict.Waiver, ...]:
    """What operators have allowed for a step, by its target or its migration."""
    names = {step.target.casefold(), f"{step.app}.{step.migration}".casefold()}
    return tuple(
        verdict.Waiver(code, order.reason, order.expires_at, who, order.actor)
        for order in given
        if order.kind is orders.OrderKind.WAIVE and order.target.casefold() in names
        for code, who in order.waives
    )


def _frozen(given: Iterable[orders.Order]) -> dict[str, Any]:
    freezes = [order for order in given if order.kind is orders.OrderKind.FREEZE]
    if not freezes:
        return {}
    latest = max(freezes, key=lambda order: order.expires_at)
    return {"frozen_by": f"{latest.actor} ({latest.reason})", "frozen_until": latest.expires_at}


def gather_locked(ledger: Ledger, step: rows.Step, taker: Taker) -> verdict.Evidence:
    """The same, under the gate row's lock: an instance that could be renewing at this moment is waited for.

    Without it, a renewal that was sent in time but commits late would be overlooked.
    """
    fleet = read_fleet(ledger)
    relying = [
        i.id
        for i in fleet.instances
        if i.state is not rows.InstanceState.GONE and protocol.relies(fleet.footprints.get(i.digest), step)
    ]
    if relying:
        locked = {i.id: i for i in ledger.instances(lock=relying)}
        fleet = replace(fleet, instances=tuple(locked.get(i.id, i) for i in fleet.instances))
    return gather(ledger, step, fleet, taker)


def users(step: rows.Step, fleet: Fleet) -> list[rows.Instance]:
    """Instances that rely on the step's target and have not said that they are gone."""
    return [
        i
        for i in fleet.instances
        if i.state is not rows.InstanceState.GONE and protocol.relies(fleet.footprints.get(i.digest), step)
    ]
