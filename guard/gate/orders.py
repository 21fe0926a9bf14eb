"""Orders of operators to the gate, from allow to adopt: each is checked, carried out and recorded."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from guard import events
from guard.gate import contract, evidence, messages, targets, verdict
from guard.ledger import orders, protocol, rows
from guard.steps import slating

#: Seconds that a time may be away: longer ones are mistyped, or no date.
_FAR = 10 * 366 * 86_400

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}


class Refused(Exception):
    """An order that cannot be taken: it says why."""


@dataclass(frozen=True, slots=True)
class Done:
    """What an order did, in one sentence."""

    target: str
    says: str


def moment(text: str, now: float, *, back: bool = False) -> float:
    """A time from what an operator types: `90m`, `2h`, `3d`, or an ISO date and time (UTC where it names no zone).

    A duration is from now on, or with `back` so long ago. Raises Refused for anything else.
    """
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip()):
        seconds = float(found[1]) * _UNITS[found[2]]
        if seconds > _FAR:
            raise Refused(f"{text!r} is too long: at most ten years.")
        return now - seconds if back else now + seconds
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Refused(f"{text!r} is no time: write 90m, 2h, 3d or 2030-01-31T18:00.") from None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if seconds - now > _FAR and not back:
        raise Refused(f"{text!r} is too far off: at most ten years.")
    return seconds


def _reason(text: str) -> str:
    if not text.strip():
        raise Refused("Say why, with --reason: whoever reads the log later will ask.")
    return text.strip()


def _expiry(text: str, now: float) -> float:
    at = moment(text, now)
    if at <= now:
        raise Refused(f"{text!r} is in the past.")
    return at


class Desk:
    """Takes orders for one database."""

    def __init__(self, gate: contract.Contractor) -> None:
        self.gate = gate
        self.ledger = gate.ledger
        self.me = gate.me

    def _record(self, action: str, target: str, reason: str, **details: object) -> None:
        self.gate.note(action, target, reason=reason, **details)
        events.publish(
            events.OrderGiven(
                alias=self.ledger.connection.alias,
                release=self.me.release,
                action=action,
                target=target,
                actor=self.me.actor,
                reason=reason,
                job=contract.job(os.environ),
            )
        )

    def _ours(self, fleet: evidence.Fleet) -> list[rows.Instance]:
        return [i for i in fleet.instances if protocol.same_project(i.project, self.ledger.project)]

    def find(self, target: str) -> rows.Step | None:
        """The step that an operator means: of several with one name, the one that is not finished. Raises Ambiguous."""
        same = targets.named(self.ledger.steps(), target)
        finished = (rows.StepState.DONE, rows.StepState.WITHDRAWN)
        return next((s for s in reversed(same) if s.state not in finished), same[-1] if same else None)

    def allow(self, target: str, codes: Sequence[str], *, reason: str, expires: str, pending: Sequence[str]) -> Done:
        """Waive blockers of a step, of all steps of a migration or, ahead of time, of a pending one.

        `pending`: APP.MIGRATION names. What blocks now is waived as it is: the same code about somebody else, or one
        more late write, blocks again. Ahead of time nobody knows whom a code will be about: then it is waived for all.
        """
        reason, now = _reason(reason), self.ledger.now()
        until = _expiry(expires, now)
        fixed = [code for code in codes if not _waivable(code)]
        if fixed:
            raise Refused(f"{', '.join(fixed)} cannot be waived: this is what would break or take the wrong thing.")
        steps = self._meant(target)
        if not steps and target not in pending:
            raise Refused(
                f"There is no contract step and no pending migration {target}; `manage.py guard status` lists them."
            )
        waives = [(code, "") for code in codes]
        said: list[str] = []
        if steps:
            blockers = [blocker for step in steps for blocker in self.gate.judge(step).blockers]
            blocking = {blocker.code for blocker in blockers}
            idle = [code for code in codes if code not in blocking]
            if idle:
                what = ", ".join(sorted(blocking)) or "nothing"
                raise Refused(f"{target} is not blocked by {', '.join(idle)}; it is blocked by {what}.")
            waived = [blocker for blocker in blockers if blocker.code in codes]
            waives = list(dict.fromkeys((blocker.code, blocker.who) for blocker in waived))
            said = list(dict.fromkeys(blocker.sentence(now) for blocker in waived))
        order = orders.Order(orders.OrderKind.WAIVE, target, tuple(waives), reason, self.me.actor, now, until)
        orders.give(self.ledger, order)
        self._record("allow", target, reason, waives=waives, expires_at=until, evidence=said)
        return Done(
            target,
            f"{', '.join(codes)} will not hold {target} up until {_utc(until)}; anything new still does. "
            f"`{messages.TAKE}` goes on from here.",
        )

    def _meant(self, target: str) -> list[rows.Step]:
        """The step of that name; or all unfinished ones of the migration of that name."""
        step = self.find(target)
        if step is not None:
            return [step]
        finished = (rows.StepState.DONE, rows.StepState.WITHDRAWN)
        return [
            step
            for step in self.ledger.steps()
            if f"{step.app}.{step.migration}".casefold() == target.casefold() and step.state not in finished
        ]

    def freeze(self, *, until: str, reason: str) -> Done:
        """Nothing is taken until a moment."""
        reason, now = _reason(reason), self.ledger.now()
        at = _expiry(until, now)
        orders.give(self.ledger, orders.Order(orders.OrderKind.FREEZE, "", (), reason, self.me.actor, now, at))
        self._record("freeze", "", reason, until=at)
        return Done("", f'Nothing is taken until {_utc(at)}. `manage.py guard freeze --end --reason "…"` ends it.')

    def thaw(self, *, reason: str) -> Done:
        """End every freeze. Raises Refused where there is none."""
        ended = orders.thaw(self.ledger, self.ledger.now())
        if not ended:
            raise Refused("Nothing is frozen.")
        self._record("thaw", "", reason)
        return Done("", "The freeze has ended.")

    def forget(self, *, instance: str = "", all_lost: bool = False, workload: str = "", reason: str) -> Done:
        """Take lost instances for gone, or a command for one that does not run any more."""
        reason = _reason(reason)
        if workload:
            ours = self._ours(evidence.read_fleet(self.ledger))
            runs = [i for i in ours if i.recurring and i.workload == workload]
            if any(i.kind is rows.InstanceKind.WORKER and workload in verdict.workloads(i) for i in ours):
                raise Refused(
                    f"{workload} is what workers run, and another may come for it. To wait for it no longer: "
                    "`manage.py guard allow STEP --waive recurring-workload --reason … --expires …`."
                )
            if not runs or not orders.forget_workload(self.ledger, workload):
                known = sorted({i.workload for i in ours if i.recurring and i.kind is rows.InstanceKind.COMMAND})
                raise Refused(
                    f"No recurring workload {workload!r} is known. "
                    + (f"There are: {', '.join(known[:10])}." if known else "There is none.")
                )
            self._record("forget", workload, reason, evidence=_seen(runs))
            return Done(workload, f"Nobody waits for the next run of {workload} any more.")
        fleet = evidence.read_fleet(self.ledger)
        ours = self._ours(fleet)
        lost = [i for i in ours if i.lost(fleet.now)]
        if not all_lost:
            named = [i for i in ours if i.id == instance or f"{i.host}:{i.pid}" == instance]
            if not named:
                raise Refused(f"There is no instance {instance!r}: `manage.py guard instances` lists them.")
            if not any(i.lost(fleet.now) for i in named):
                raise Refused(
                    f"{instance} is not lost: it is {named[0].state.value}. Only what is lost can be forgotten."
                )
            lost = [i for i in named if i.lost(fleet.now)]
        if not lost:
            raise Refused("No instance is lost.")
        count = orders.forget_instances(self.ledger, [i.id for i in lost])
        target = "all lost" if all_lost else instance
        self._record("forget", target, reason, evidence=_seen(lost))
        return Done(target, f"{count} lost instance{'' if count == 1 else 's'} forgotten.")

    def reconcile(self, names: Sequence[str], *, age: float, reason: str) -> Done:
        """Take for gone who is lost and not among those that an orchestrator lists; `age` of the list in seconds.

        Only who was out of lease when the list was made: what was listed before may have started since. Raises Refused
        where the list cannot be of this fleet.
        """
        reason = _reason(reason)
        fleet = evidence.read_fleet(self.ledger)
        listed = {name.strip().rpartition("/")[2] for name in names} - {""}
        if not listed:
            raise Refused("The list names nobody: nobody is taken for gone on its word.")
        present = [i for i in self._ours(fleet) if i.state is not rows.InstanceState.GONE]
        if not any(_listed(i.host, listed) for i in present):
            raise Refused(
                f"None of the {len(listed)} names is the host name of an instance: this is a list of something else. "
                "Hosts are: " + (", ".join(sorted({i.host for i in present})[:5]) or "none") + "."
            )
        ended = [
            i for i in present if i.lost(fleet.now) and i.expires_at <= fleet.now - age and not _listed(i.host, listed)
        ]
        count = orders.forget_instances(self.ledger, [i.id for i in ended])
        self._record("reconcile", "", reason, evidence=_seen(ended))
        return Done("", f"{count} lost instance{'' if count == 1 else 's'} that the list does not name ended.")

    def withdraw(self, target: str, *, reason: str) -> Done:
        """The step's goal is given up; what was set aside is brought back first."""
        reason = _reason(reason)
        step = self.find(target)
        if step is None:
            raise Refused(f"There is no contract step for {target}: `manage.py guard status` shows what waits.")
        before = step.state.value
        if step.state is rows.StepState.ASIDE:
            step = self.gate.restore(step)
        if step.state is not rows.StepState.WAITING:
            raise Refused(f"{step.target} {_OVER.get(step.state, 'is busy')}: there is nothing to withdraw.")
        self.ledger.save(step, slating.left(protocol.withdraw(step, self.ledger.now())))
        self._record("withdraw", step.target, reason, evidence=[f"It was {before}."])
        return Done(step.target, f"{step.target} stays as it is now, and guard will not take it away any more.")

    def adopt(self, *, reason: str) -> Done:
        """A clone becomes its own environment: the ledger takes this label, and forgets the lost of the other one."""
        reason = _reason(reason)
        label = self.gate.config.environment
        if not label:
            raise Refused('Set GUARD["ENVIRONMENT"] to this environment\'s label first.')
        before = self.ledger.gate().environment
        if before == label:
            raise Refused(f"The ledger is {label!r} already.")
        fleet = evidence.read_fleet(self.ledger)
        lost = [i for i in fleet.instances if i.lost(fleet.now)]
        orders.forget_instances(self.ledger, [i.id for i in lost])
        orders.set_environment(self.ledger, label)
        self._record("adopt", label, reason, before=before, evidence=_seen(lost))
        return Done(label, f"The ledger belongs to {label!r} now (before: {before or 'nobody'!r}).")


_OVER = {
    rows.StepState.SEALED: "is being taken right now (try again in a few seconds)",
    rows.StepState.DONE: "is done with",
    rows.StepState.WITHDRAWN: "has been given up already",
}


def _listed(host: str, names: set[str]) -> bool:
    """Whether a host is among the names, which may be longer or shorter than what it calls itself."""
    # A host name has at most 63 characters, and may have a domain.
    short = {name.partition(".")[0][:63] for name in names}
    return host in names or host.partition(".")[0][:63] in short


def _seen(instances: Sequence[rows.Instance]) -> list[str]:
    """What is known of instances at this moment, for the record."""
    return [f"{i.release} {i.workload} {i.host}:{i.pid}, last seen at {_utc(i.renewed_at)}" for i in instances]


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _waivable(code: str) -> bool:
    # A code says what it is about only together with its condition; the room of verdicts knows which are fixed.
    return code not in verdict.UNWAIVABLE
