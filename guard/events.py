"""What guard tells the world: event objects, and who listens.

Rooms that decide or act publish; alerts (the outermost room) subscribes, so that nothing here imports Sentry or Django.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger("guard")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that an operator may want to hear of."""

    #: Database alias whose ledger the event is about.
    alias: str
    release: str


@dataclass(frozen=True, slots=True)
class StaleAccess(Event):
    """A release that has the migration touched what that migration takes away: a bug in the new code."""

    table: str
    column: str
    #: "app.name" of the migration that takes it away.
    migration: str
    workload: str
    access: str
    call_site: str
    route: str
    shape: str


@dataclass(frozen=True, slots=True)
class ReleaseRefused(Event):
    """An instance relies on something that was set aside or erased, or declares what the database has not."""

    workload: str
    instance: str
    #: One sentence for each thing, for people.
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepChanged(Event):
    """A contract step went from one state to another."""

    step: int
    target: str
    migration: str
    before: str
    after: str
    actor: str


@dataclass(frozen=True, slots=True)
class OrderGiven(Event):
    """An operator has overridden or told the gate something: allow, forget, withdraw, freeze, adopt."""

    action: str
    target: str
    actor: str
    reason: str
    #: Address of the CI job that said it, if one did.
    job: str = ""


subscribers: list[Callable[[Event], None]] = []


def publish(event: Event) -> None:
    """Hand an event to every subscriber. A subscriber that fails is logged and never reaches the caller."""
    for subscriber in tuple(subscribers):
        try:
            subscriber(event)
        except Exception:
            logger.exception("guard: a subscriber failed on %s", type(event).__name__)
