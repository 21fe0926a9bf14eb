"""States and transitions of a contract step, and what they mean for an instance. Pure: values in, values out.

A transition takes the step as it was read and returns the step to be written, with its version grown by one; the
writer compares versions, so that of two transitions from the same row one is written. Times are seconds on the
database's clock.

A seal remembers where it came from in `aside_name`: empty, and what is sealed stands under its own name (the seal
came from WAITING); set, and it stands set aside under that name (the seal came from ASIDE, to erase or to restore).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from guard.ledger.rows import InstanceState, Refusal, Step, StepKind, StepState
from guard.schema.footprint import Footprint

#: Kinds that remove something, and therefore set it aside before it is erased.
REMOVING = frozenset({StepKind.COLUMN, StepKind.TABLE})

#: Key of a step's payload: a later migration has taken the name that setting aside (or erasing) freed.
RECLAIMED = "reclaimed"

#: Key of the payload of a migration that is held whole: the tables that it is about.
TABLES = "tables"

_TAKEN = frozenset({StepState.SEALED, StepState.ASIDE, StepState.DONE})


class Decided(Protocol):
    """A verdict, as far as sealing asks of it."""

    @property
    def step(self) -> Step: ...
    @property
    def clear(self) -> bool: ...
    @property
    def erases(self) -> bool: ...


class ProtocolError(Exception):
    """A transition that the protocol does not have, or that this caller may not make."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the catalog holds of a step's target.

    `original`: what the step takes away is in place (the column or table under its own name, the database default,
    the migration not recorded). `aside`: it is there under the name `aside_name`. `wanted`: the applied project
    state still wants the step's goal.
    """

    original: bool
    aside: bool
    aside_name: str = ""
    wanted: bool = True


def names(step: Step) -> tuple[tuple[str, str], ...]:
    """The step's migration and every recorded replacement of it."""
    return ((step.app, step.migration), *step.replaced_by)


def same_project(one: str, other: str) -> bool:
    """Whether two labels may be of one project: whoever has none may belong to any.

    So that the release that brings the first label does not overlook the one before it.
    """
    return not one or not other or one == other


def old_code(footprint: Footprint | None, step: Step) -> bool:
    """Whether a release is old code for the step's migration. A footprint that cannot be read is.

    It has the migration's app; or it declares a table that the migration is about, which it knows from an app that had
    another name, or no migrations yet. A release of another project is not: an app of the same name is another one
    there.
    """
    return footprint is None or (
        not footprint.has_any(names(step))
        and same_project(footprint.project, step.project)
        and (footprint.has_app(step.app) or any(map(footprint.declares, _tables(step))))
    )


def _tables(step: Step) -> tuple[str, ...]:
    """The tables that the step's migration is known to be about."""
    return ((step.table,) if step.table else ()) + tuple(step.payload.get(TABLES, ()))


def relies(footprint: Footprint | None, step: Step) -> bool:
    """Whether a release would break if the step were taken. A footprint that cannot be read relies on everything.

    Where a later migration has taken the name, a release that has the step's migration means the later column by
    it; one that lacks the migration still means the one that was taken. Of another project, one that declares the very
    table and column does rely on it: then they share it.
    """
    if footprint is None:
        return True
    if step.kind not in REMOVING:
        return old_code(footprint, step)
    if not footprint.declares(step.table, step.column):
        return False
    return not (step.payload.get(RECLAIMED) and footprint.has_any(names(step)))


def refuses(step: Step) -> bool:
    """Whether a release that relies on the step is refused in the state that it is in.

    After a step that removes nothing, old code is admitted again: its columns are all there.
    """
    return step.state in _TAKEN if step.kind in REMOVING else step.state is StepState.SEALED


def admission(footprint: Footprint | None, steps: Iterable[Step]) -> tuple[InstanceState, tuple[Refusal, ...]]:
    """Whether an instance with this footprint is LIVE or REFUSED, and for what."""
    refusals = tuple(Refusal(step) for step in steps if refuses(step) and relies(footprint, step))
    return (InstanceState.REFUSED if refusals else InstanceState.LIVE), refusals


def may_renew(state: InstanceState, expires_at: float, now: float) -> bool:
    """Whether a lease may be renewed; one that has run out or was given up must be registered again."""
    return state is not InstanceState.GONE and expires_at > now


def seal(step: Step, verdict: Decided, token: str, sealer: str, now: float) -> Step:
    """WAITING → SEALED to take it, or ASIDE → SEALED to erase it, on a clear verdict about this very row.

    `sealer` is the vendor's proof of the session in which the DDL will run. To be called under the gate row's
    exclusive lock, under which the verdict's evidence was read.
    """
    if step.state not in (StepState.WAITING, StepState.ASIDE):
        raise _illegal(step, "sealed")
    if not verdict.clear:
        raise ProtocolError(f"{step.target} cannot be sealed: its verdict is not clear.")
    about = verdict.step
    if (about.id, about.version, about.state) != (step.id, step.version, step.state):
        raise ProtocolError(f"{step.target} cannot be sealed: it has changed since its verdict.")
    if verdict.erases is not (step.state is StepState.ASIDE):
        raise ProtocolError(f"{step.target} cannot be sealed: its verdict answers another question.")
    return _sealed(step, token, sealer, now)


def seal_to_restore(step: Step, token: str, sealer: str, now: float) -> Step:
    """ASIDE → SEALED to bring it back, which harms nobody and needs no verdict.

    For databases whose DDL is not transactional; elsewhere `restore` and its DDL are one transaction.
    """
    if step.state is not StepState.ASIDE:
        raise _illegal(step, "restored")
    _name_is_free(step)
    return _sealed(step, token, sealer, now)


def reopen(step: Step, token: str, now: float) -> Step:
    """SEALED → where the seal came from, by its holder: no DDL has happened.

    The roll-back window is not started anew: a taker that cannot have its lock must not put the step off for a day.
    """
    _holds(step, token, "reopened")
    return _unsealed(step, StepState.ASIDE if step.aside_name else StepState.WAITING, now)


def set_aside(step: Step, token: str, aside_name: str, now: float) -> Step:
    """SEALED → ASIDE, by the holder of the seal, in the transaction of the DDL where there is one."""
    _holds(step, token, "set aside")
    if step.kind not in REMOVING or step.aside_name:
        raise _illegal(step, "set aside")
    if not aside_name:
        raise ProtocolError(f"{step.target} cannot be set aside without a name.")
    return dataclasses.replace(_unsealed(step, StepState.ASIDE, now), aside_name=aside_name, aside_at=now)


def finish(step: Step, token: str, now: float) -> Step:
    """SEALED → DONE, by the holder: erased from where it was set aside, or run where nothing is removed."""
    _holds(step, token, "finished")
    if step.kind in REMOVING and not step.aside_name:
        raise ProtocolError(f"{step.target} cannot be finished before it has been set aside.")
    return _done(step, now)


def restore(step: Step, now: float, token: str = "") -> Step:
    """ASIDE → WAITING, relaxing kept: the roll-back window starts anew. From a seal, by its holder.

    Raises ProtocolError where a later column or table has the name.
    """
    if step.state is StepState.SEALED and step.aside_name:
        _holds(step, token, "restored")
    elif step.state is not StepState.ASIDE:
        raise _illegal(step, "restored")
    _name_is_free(step)
    return _restored(step, now)


def reclaim(step: Step, now: float, *, taken: bool = True) -> Step:
    """Mark that a later migration has taken the name which setting aside, or erasing, freed; or has given it back."""
    if step.kind not in REMOVING or step.state not in (StepState.ASIDE, StepState.DONE):
        raise _illegal(step, "marked as reclaimed")
    return _changed(step, now, payload={**step.payload, RECLAIMED: taken})


def replaced(step: Step, by: Iterable[tuple[str, str]], now: float) -> Step:
    """The step, knowing these replacements (squashes) of its migration too. The same step, if it knew them."""
    known = names(step)
    new = tuple(name for name in dict.fromkeys(by) if name not in known)
    if not new or step.state is StepState.SEALED:
        # Its taker has the row as it was.
        return step
    return _changed(step, now, replaced_by=(*step.replaced_by, *new))


def withdraw(step: Step, now: float) -> Step:
    """WAITING → WITHDRAWN: nobody wants its goal any more. What is set aside is restored first."""
    if step.state is not StepState.WAITING:
        raise _illegal(step, "withdrawn")
    return _changed(step, now, state=StepState.WITHDRAWN)


def void(step: Step, now: float) -> Step:
    """WAITING or DONE → WITHDRAWN: its migration has been unapplied. What was erased has been made anew, empty.

    Where it was set aside is forgotten: a seal would else be taken for one that erases.
    """
    if step.state not in (StepState.WAITING, StepState.DONE):
        raise _illegal(step, "voided")
    payload = {key: value for key, value in step.payload.items() if key != RECLAIMED}
    return _changed(step, now, state=StepState.WITHDRAWN, done_at=None, aside_name="", aside_at=None, payload=payload)


def reslate(step: Step, now: float) -> Step:
    """WITHDRAWN → WAITING: its migration is applied again, and evidence is gathered anew."""
    if step.state is not StepState.WITHDRAWN:
        raise _illegal(step, "slated again")
    return _changed(step, now, state=StepState.WAITING, slated_at=now, reopened_at=None)


def settle(step: Step, found: Found, now: float) -> Step:
    """SEALED → what the catalog says, once the sealer's session is proven closed.

    Nothing that the taker would have written is assumed: it may have stopped before its DDL, or after it.
    """
    if step.state is not StepState.SEALED:
        raise _illegal(step, "settled")
    return _reconciled(step, found, now)


def reconcile(step: Step, found: Found, now: float) -> Step:
    """WAITING or ASIDE → what the catalog says, where somebody has changed it by hand. The same step, if nobody has."""
    if step.kind not in REMOVING or step.state not in (StepState.WAITING, StepState.ASIDE):
        raise _illegal(step, "reconciled")
    settled = _reconciled(step, found, now)
    return step if settled.state is step.state else settled


def _reconciled(step: Step, found: Found, now: float) -> Step:
    if step.kind not in REMOVING:
        if not found.original:
            return _done(step, now)
        return _unsealed(step, StepState.WAITING if found.wanted else StepState.WITHDRAWN, now)
    if found.aside:
        name = found.aside_name or step.aside_name
        if not name:
            raise ProtocolError(f"{step.target} was found set aside, under a name that nobody gave.")
        # Something that stands under the original's name as well is somebody else's: what was slated is set aside.
        aside_at = step.aside_at if step.aside_name else now
        return dataclasses.replace(_unsealed(step, StepState.ASIDE, now), aside_name=name, aside_at=aside_at)
    if step.aside_name:
        # A later column that has taken the name is no sign that the old one came back.
        return _restored(step, now) if found.original and not step.payload.get(RECLAIMED) else _done(step, now)
    if found.original:
        return _unsealed(step, StepState.WAITING if found.wanted else StepState.WITHDRAWN, now)
    # Gone by another hand. WITHDRAWN would admit code that declares it.
    return _done(step, now)


def _illegal(step: Step, what: str) -> ProtocolError:
    return ProtocolError(f"{step.target} is {step.state} and cannot be {what}.")


def _holds(step: Step, token: str, what: str) -> None:
    if step.state is not StepState.SEALED:
        raise _illegal(step, what)
    if not token or token != step.token:
        raise ProtocolError(f"{step.target} is sealed by another taker and cannot be {what} by this one.")


def _name_is_free(step: Step) -> None:
    if step.payload.get(RECLAIMED):
        raise ProtocolError(f"{step.target} cannot be restored: a later migration has made another one of that name.")


def _changed(step: Step, now: float, **changes: object) -> Step:
    return dataclasses.replace(step, version=step.version + 1, changed_at=now, **changes)  # type: ignore[arg-type]


def _sealed(step: Step, token: str, sealer: str, now: float) -> Step:
    if not token:
        raise ProtocolError(f"{step.target} cannot be sealed without a token.")
    return _changed(step, now, state=StepState.SEALED, token=token, sealer=sealer, sealed_at=now)


def _unsealed(step: Step, state: StepState, now: float) -> Step:
    return _changed(step, now, state=state, token="", sealer="", sealed_at=None)


def _restored(step: Step, now: float) -> Step:
    return dataclasses.replace(_unsealed(step, StepState.WAITING, now), aside_name="", aside_at=None, reopened_at=now)


def _done(step: Step, now: float) -> Step:
    return dataclasses.replace(_unsealed(step, StepState.DONE, now), done_at=now)
