"""A plan that ended between two of its migrations, killed or by an error, is gone on with as the one plan that it was.

What it has made by then is there when the next `migrate` begins, and yet no deployed code can know it: unless code came
meanwhile that has the one part and not the other. So the ledger keeps which migrations a plan ran together, and what is
left of them is judged behind what is applied, as it was when the plan began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

from guard import conf
from guard.gate import evidence
from guard.ledger import orders, protocol, rows
from guard.ledger.store import Ledger
from guard.phases.plan import MigrationJudgement, unfolded
from guard.phases.words import Target

Key = tuple[str, str]

#: Judges migrations, in order, from the state before them.
Judge = Callable[[Sequence[Migration], ProjectState], tuple[MigrationJudgement, ...]]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The plan that ran last, where it did not come to its end."""

    #: Seconds on the database's clock.
    began_at: float
    #: Its migrations that are applied, and those that are not.
    done: tuple[Key, ...]
    left: tuple[Key, ...]


def find(ledger: Ledger, executor: MigrationExecutor) -> Interrupted | None:
    """The plan that ran last, if it has migrations that are applied and others that are not."""
    last = orders.last_plan(ledger)
    if last is None:
        return None
    began_at, migrations = last
    applied = executor.loader.applied_migrations
    done = tuple(key for key in migrations if key in applied)
    left = tuple(key for key in migrations if key not in applied)
    return Interrupted(began_at, done, left) if done and left else None


def note(
    ledger: Ledger,
    me: evidence.Taker,
    executor: MigrationExecutor,
    running: Sequence[Key],
    found: Interrupted | None,
    resumed: Iterable[Key],
) -> None:
    """Keep what a plan runs together, before it runs, in place of the plan before it.

    `found` is the one before it, where that was interrupted, and `resumed` what that has applied, where this one goes
    on with it. It stays as it is for a plan that does no more than that. But code that lacks a part of it may be
    deployed now: for it, what is there is not new.
    """
    if found is not None and all(key in executor.loader.graph.nodes for key in found.left):
        kept = set(running) <= set(found.left)
    else:
        kept = found is None and not running
    if not kept:
        orders.note_plan(ledger, [*sorted(resumed), *running], actor=me.actor, release=me.release)


def judge_on(
    found: Interrupted,
    executor: MigrationExecutor,
    migrations: Sequence[Migration],
    ledger: Ledger,
    config: conf.Config,
    judge: Judge,
) -> tuple[MigrationJudgement, ...]:
    """What is left of an interrupted plan at the head of this one, judged behind what it has done.

    Empty where this plan does not go on with it, or where somebody may have come to know what it has made.
    """
    nodes = executor.loader.graph.nodes
    keys = [(migration.app_label, migration.name) for migration in migrations]
    ahead = next((at for at, key in enumerate(keys) if key not in found.left), len(keys))
    if not ahead or any(key not in nodes for key in (*found.done, *found.left)):
        return ()
    before = _state_before(executor, set(found.done))
    if before is None:
        return ()
    done = [unfolded(nodes[key]) for key in _in_order(executor, found.done)]
    judged = judge([*done, *migrations[:ahead]], before)
    made = {target for judgement in judged[: len(done)] for each in judgement.operations for target in each.makes}
    fleet = evidence.read_fleet(ledger)
    if not _known(fleet, ledger, config) or _may_know(fleet, made, keys[:ahead], found.began_at):
        return ()
    return judged[len(done) :]


def _in_order(executor: MigrationExecutor, keys: Iterable[Key]) -> list[Key]:
    wanted = set(keys)
    full = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
    return [key for migration, _ in full if (key := (migration.app_label, migration.name)) in wanted]


def _state_before(executor: MigrationExecutor, done: set[Key]) -> ProjectState | None:
    """The state of what is applied without these; None where something else that is applied builds upon them."""
    graph, applied = executor.loader.graph, executor.loader.applied_migrations
    state: ProjectState = executor._create_project_state(with_applied_migrations=False)  # type: ignore[attr-defined]
    for migration, _ in executor.migration_plan(graph.leaf_nodes(), clean_start=True):
        key = migration.app_label, migration.name
        if key in done or key not in applied:
            continue
        if any(parent.key in done for parent in graph.node_map[key].parents):
            return None
        state = migration.mutate_state(state, preserve=False)
    return state


def _known(fleet: evidence.Fleet, ledger: Ledger, config: conf.Config) -> bool:
    """Whether what is deployed registers, and can be read: else nobody can say what it knows."""
    first = min(
        (each.first_registered_at for each in fleet.instances if protocol.same_project(each.project, ledger.project)),
        default=None,
    )
    return (
        first is not None
        and first + config.adoption_period <= fleet.now
        and not fleet.strangers
        and not fleet.unreadable
        and fleet.environment in ("", config.environment)
    )


def _may_know(fleet: evidence.Fleet, made: Iterable[Target], left: Sequence[Key], began_at: float) -> bool:
    """Whether code has been deployed since the plan began that knows what it has made, and lacks what is left of it."""
    for instance in fleet.instances:
        if instance.state is rows.InstanceState.GONE and instance.ended_at is not None and instance.ended_at < began_at:
            continue
        footprint = fleet.footprints.get(instance.digest)
        if footprint is None:
            return True
        if footprint.migrations.issuperset(left):
            continue
        if any(footprint.declares(target.table, target.column) for target in made):
            return True
    return False
