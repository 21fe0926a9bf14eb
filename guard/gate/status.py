"""What `guard status` and `guard why` say, as plain data: the same for people and for `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError

from guard.gate import contract, evidence, verdict
from guard.gate.witnesses import sessions
from guard.ledger import protocol, rows

_WORDS = {
    rows.StepState.WAITING: "waiting",
    rows.StepState.SEALED: "being taken",
    rows.StepState.ASIDE: "set aside",
    rows.StepState.DONE: "erased",
    rows.StepState.WITHDRAWN: "withdrawn",
}


def word(step: rows.Step, *, ready: bool = False) -> str:
    """A step's state in the words that people use."""
    if ready and step.state is rows.StepState.WAITING:
        return "ready"
    if step.state is rows.StepState.DONE and step.kind is not rows.StepKind.COLUMN:
        return "done"
    return _WORDS[step.state]


def step_view(gate: contract.Contractor, step: rows.Step, fleet: evidence.Fleet) -> dict[str, Any]:
    """Everything about one step."""
    keep_for = gate.config.keep_for
    if step.state in (rows.StepState.DONE, rows.StepState.WITHDRAWN):
        return _plain(step, keep_for)
    decided, found = gate.judge_with_evidence(step, fleet)
    return judged_view(decided, evidence.users(step, fleet), found.sightings, fleet.now, keep_for=keep_for)


def _plain(step: rows.Step, keep_for: float) -> dict[str, Any]:
    return {
        "target": step.target,
        "kind": step.kind.value,
        "state": step.state.value,
        "says": word(step),
        "migration": f"{step.app}.{step.migration}",
        "slated_at": step.slated_at,
        "aside_name": step.aside_name or None,
        "erased_after": step.aside_at + keep_for if step.aside_at else None,
        "used_by": [],
        "sightings": [],
        "blockers": [],
        "conditions": [],
        "warnings": [],
        "goes_with_it": [],
    }


def judged_view(
    decided: verdict.Verdict,
    users: Sequence[rows.Instance],
    sightings: Sequence[rows.Sighting],
    now: float,
    *,
    keep_for: float,
) -> dict[str, Any]:
    """A step with its verdict, who relies on it and what touched it. Pure."""
    step = decided.step
    view = _plain(step, keep_for)
    view["says"] = word(step, ready=decided.clear)
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for instance in users:
        group = groups.setdefault(
            (instance.release, instance.workload, instance.digest),
            {"release": instance.release, "workload": instance.workload, "instances": 0, "lost": 0, "last_seen": 0.0},
        )
        group["instances"] += instance.size
        group["lost"] += instance.size if instance.lost(now) else 0
        group["last_seen"] = max(group["last_seen"], instance.renewed_at)
    view["used_by"] = sorted(groups.values(), key=lambda group: (group["release"], group["workload"]))
    view["sightings"] = [
        {
            "access": s.access.value,
            "release": s.release,
            "workload": s.workload,
            "call_site": s.call_site,
            "route": s.route,
            "statement": s.shape,
            "count": s.count,
            "first_at": s.first_at,
            "last_at": s.last_at,
            "reason": s.reason,
            "folded": s.folded,
        }
        for s in sightings
    ]
    view["blockers"] = [
        {
            "code": blocker.code,
            "condition": blocker.condition,
            "who": blocker.who,
            "what": blocker.what,
            "since": blocker.since,
            "clears": blocker.clears,
            "by": blocker.by,
            "definition": blocker.definition or None,
            "says": blocker.sentence(now),
        }
        for blocker in decided.blockers
    ]
    view["warnings"] = [warning.sentence(now) for warning in decided.warnings]
    view["goes_with_it"] = list(decided.own)
    view["conditions"] = [
        {"number": c.number, "name": c.name, "state": c.state.value, "detail": list(c.detail)}
        for c in decided.conditions
    ]
    return view


def database_view(gate: contract.Contractor) -> dict[str, Any]:
    """One database: its steps and its instances."""
    fleet = evidence.read_fleet(gate.ledger)
    steps = [step_view(gate, step, fleet) for step in gate.ledger.steps() if step.state is not rows.StepState.WITHDRAWN]
    instances: dict[tuple[str, str, str], dict[str, Any]] = {}
    for instance in fleet.instances:
        if instance.state is rows.InstanceState.GONE or not protocol.same_project(
            instance.project, gate.ledger.project
        ):
            continue
        group = instances.setdefault(
            (instance.release, instance.digest, instance.workload),
            {
                "release": instance.release,
                "footprint": instance.digest[:12],
                "workload": instance.workload,
                "live": 0,
                "refused": 0,
                "lost": 0,
                "proven_closed": 0,
                "unprovable": 0,
                "last_seen": 0.0,
            },
        )
        lost = instance.lost(fleet.now)
        group["proven_closed"] += instance.id in fleet.proofs.closed
        group["unprovable"] += instance.id in fleet.proofs.unprovable
        refused = instance.state is rows.InstanceState.REFUSED
        group["lost" if lost else "refused" if refused else "live"] += instance.size
        group["last_seen"] = max(group["last_seen"], instance.renewed_at)
    return {
        "database": gate.connection.alias,
        "environment": fleet.environment or None,
        "now": fleet.now,
        "steps": steps,
        "instances": sorted(instances.values(), key=lambda group: (group["release"], group["workload"])),
        "strangers": _strangers(gate, fleet),
    }


def _strangers(gate: contract.Contractor, fleet: evidence.Fleet) -> list[str] | None:
    """Sessions that belong to no instance, asked for or not; None where they cannot be seen."""
    if fleet.strangers is not None:
        return None if "sessions" in fleet.unreadable else list(fleet.strangers)
    try:
        found = sessions.strangers(gate.connection, fleet.instances)
    except DatabaseError:
        found = None
    return None if found is None else list(found)
