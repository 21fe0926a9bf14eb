"""The hooks on Django's migration executor: dispositions applied to a plan, the gate before what runs whole."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO

import wrapt
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DatabaseError, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import AddField, AlterField, CreateModel, DeleteModel, Migration, RemoveField
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from guard import conf
from guard.gate import contract, evidence, interrupted, messages, patience, preview, recording
from guard.gate.planner import Held, Key, Planner, Session, with_operations
from guard.ledger import connecting, protocol, rows
from guard.ledger.store import Ledger
from guard.ledger.tables import Conflict, LedgerMissing
from guard.phases import plan as phases_plan
from guard.phases.words import Disposition
from guard.runtime import lease, process, watch
from guard.steps import alter_field, delete_model, fill, slating, sqlite_rebuild, together
from guard.steps.add_field import NamedAgainAddField
from guard.steps.alter_field import SteppedAlterField
from guard.steps.companion import COMPANIONS, Companion
from guard.steps.ddl import ddl_for, postgresql
from guard.steps.remove_field import GiveBackRemoveField
from guard.steps.standing_in import Author

Plan = list[tuple[Migration, bool]]

EXIT_HELD = 3

#: Set while guard migrates its own tables, and while one plan runs within another.
_inside: ContextVar[bool] = ContextVar("guard_inside", default=False)


@dataclass(slots=True)
class _Command:
    """What the surrounding `migrate` command was asked, and what it must answer in the end."""

    names_target: bool
    held_back: str = ""


_command: ContextVar[_Command | None] = ContextVar("guard_command", default=None)


def install() -> None:
    """Wrap the executor and the command, once per process."""
    if getattr(MigrationExecutor.migrate, "__wrapped__", None) is not None:
        return
    where = "django.db.migrations.executor"
    wrapt.wrap_function_wrapper(where, "MigrationExecutor.migrate", _migrate)
    wrapt.wrap_function_wrapper(where, "MigrationExecutor.apply_migration", _apply_migration)
    wrapt.wrap_function_wrapper(where, "MigrationExecutor.unapply_migration", _unapply_migration)
    wrapt.wrap_function_wrapper("django.core.management.commands.migrate", "Command.handle", _handle)
    wrapt.wrap_function_wrapper("django.db.migrations.loader", "MigrationLoader.collect_sql", _collect_sql)
    sqlite_rebuild.install()
    lease.settle = contract.settle_on


def _handle(wrapped: Callable[..., Any], command: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    asked = _Command(names_target=bool(kwargs.get("migration_name")))
    token = _command.set(asked)
    try:
        result = wrapped(*args, **kwargs)
    except (LedgerMissing, protocol.ProtocolError, Conflict) as error:
        raise CommandError(
            f"{str(error).rstrip('.')}. What is applied stays applied: run the command again.", returncode=1
        ) from error
    finally:
        _command.reset(token)
    if asked.held_back:
        # Raised only now, so that all that could be applied is, and post_migrate has been sent.
        raise CommandError(asked.held_back, returncode=EXIT_HELD)
    return result


def _collect_sql(
    wrapped: preview.Collect, loader: MigrationLoader, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[str]:
    plan = args[0] if args else kwargs["plan"]
    if not _steps_in(loader.connection) or _config().mode is conf.Mode.OBSERVE:  # type: ignore[arg-type]
        return wrapped(plan)
    return preview.collect_sql(wrapped, loader, plan, _config())


def _steps_in(connection: BaseDatabaseWrapper) -> bool:
    return (
        not _inside.get()
        and connecting.can_guard(connection)
        and not process.suspended(connection.alias)
        and bool(router.allow_migrate(connection.alias, "guard"))
        and _config().mode is not conf.Mode.OFF
    )


def _config() -> conf.Config:
    """The configuration. Raises CommandError where it has mistakes: code that migrates may skip the checks."""
    try:
        return conf.strict()
    except ImproperlyConfigured as mistake:
        raise CommandError(str(mistake), returncode=1) from None


def _migrate(
    wrapped: Callable[..., ProjectState],
    executor: MigrationExecutor,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> ProjectState:
    return _run_plan(wrapped, executor, *args, **kwargs)


def _run_plan(
    wrapped: Callable[..., ProjectState],
    executor: MigrationExecutor,
    targets: Sequence[tuple[str, str | None]],
    plan: Plan | None = None,
    state: ProjectState | None = None,
    fake: bool = False,
    fake_initial: bool = False,
) -> ProjectState:
    def run() -> ProjectState:
        return wrapped(targets, plan=plan, state=state, fake=fake, fake_initial=fake_initial)

    with watch.quiet():
        if not _steps_in(executor.connection):
            return run()
        if why := connecting.wrong_driver(executor.connection):
            # Without a ledger nothing can be proved, and nothing is kept for old code: not even what expands is run.
            raise CommandError(f"{why} {connecting.RIGHT_DRIVER}", returncode=1)
        if plan is None:
            plan = executor.migration_plan(targets)
        out = _Out(executor)
        backwards = any(back for _, back in plan)
        if backwards and any(migration.app_label == "guard" for migration, _ in plan):
            _refuse_to_unapply_guard(executor.connection)
            return run()
        if fake and any(migration.app_label == "guard" for migration, _ in plan):
            return run()
        _ensure_ledger(executor, plan, out)
        config = _config()
        session = Session(Ledger(executor.connection), config, contract.taker(executor.connection.alias))
        if config.environment:
            session.ledger.adopt_environment(config.environment)
        fresh = _is_fresh(session.ledger)
        if fresh and (fake or (fake_initial and _finds_tables(executor, plan, state))):
            # There was no history of it yet, but there is a database, and code that uses it.
            session.ledger.end_fresh()
            fresh = False
        try:
            if fresh or fake:
                result = run()
            elif backwards:
                result = _backwards(run, executor, plan, session, out)
            else:
                result = _forwards(run, executor, targets, plan, state, session, out, fake_initial)
        except (Conflict, protocol.ProtocolError) as error:
            raise CommandError(messages.overtaken(error), returncode=1) from error
        if fresh and not _unapplied(executor):
            session.ledger.end_fresh()
        return result


# The ledger


def _ensure_ledger(executor: MigrationExecutor, plan: Plan, out: _Out) -> None:
    """guard's own tables first, with an executor of their own: the deploy that installs guard may carry removals."""
    connection = executor.connection
    ledger = Ledger(connection)
    wanted = {key for key in executor.loader.disk_migrations if key[0] == "guard"}
    applied = set(executor.loader.applied_migrations)
    if not wanted <= applied or not ledger.exists():
        fresh = not any(app != "guard" for app, _ in applied)
        token = _inside.set(True)
        try:
            own = MigrationExecutor(connection)
            own.migrate([key for key in own.loader.graph.leaf_nodes() if key[0] == "guard"])
        finally:
            _inside.reset(token)
        Ledger(connection).make_gate(fresh=fresh)
        # Not by a new graph: its migrations would lack what `pre_migrate` has put into those of this plan.
        now_applied = own.recorder.applied_migrations().items()
        executor.loader.applied_migrations.update(
            {key: row for key, row in now_applied if key[0] == "guard"}  # type: ignore[misc]
        )
        if any(migration.app_label == "guard" for migration, _ in plan):
            out.line("  Applying guard's own migrations first... OK")
    else:
        ledger.make_gate(fresh=False)
    plan[:] = [item for item in plan if item[0].app_label != "guard"]


def _is_fresh(ledger: Ledger) -> bool:
    return ledger.gate().fresh and not ledger.in_use()


def _unapplied(executor: MigrationExecutor) -> bool:
    loader = executor.loader
    loader.build_graph()
    return any(key not in loader.applied_migrations for key in loader.graph.nodes)


def _refuse_to_unapply_guard(connection: BaseDatabaseWrapper) -> None:
    ledger = Ledger(connection)
    if not ledger.exists():
        return
    waiting = [
        s for s in ledger.steps(everybodys=True) if s.state not in (rows.StepState.DONE, rows.StepState.WITHDRAWN)
    ]
    if waiting:
        raise CommandError(messages.cannot_unapply_guard(waiting), returncode=1)


def _mode(session: Session) -> conf.Mode:
    if session.config.mode is not None:
        return session.config.mode
    # A laptop with DEBUG on and a tunnel to production is not a laptop.
    here = socket.gethostname()
    if settings.DEBUG and all(instance.host == here for instance in session.ledger.instances()):
        return conf.Mode.OBSERVE
    return conf.Mode.ENFORCE


# Forwards


def _forwards(
    run: Callable[[], ProjectState],
    executor: MigrationExecutor,
    targets: Sequence[tuple[str, str | None]],
    plan: Plan,
    state: ProjectState | None,
    session: Session,
    out: _Out,
    fake_initial: bool,
) -> ProjectState:
    everything = set(executor.loader.graph.leaf_nodes()) <= set(targets)
    before = state if state is not None else _project_state(executor, applied=True)
    migrations = [phases_plan.unfolded(migration) for migration, _ in plan]
    there: list[Key] = []
    if fake_initial:
        before, migrations, there = _without_those_there(executor, before, migrations)
    judge = partial(
        phases_plan.judge_plan,
        connection=executor.connection,
        # STRATEGY = "hold" is the planner's: it must know which removals could have been split.
        strategy=conf.Strategy.SPLIT,
        alias=executor.connection.alias,
        declared=session.config.phases,
    )
    judged = judge(migrations, before)
    _settle(session)
    _note_replacements(executor, session)
    if executor.connection.get_autocommit():
        _fill(session, out)
    unfinished = interrupted.find(session.ledger, executor)
    if unfinished is not None and not fake_initial:
        rest = interrupted.judge_on(unfinished, executor, migrations, session.ledger, session.config, judge)
        judged = (*rest, *judged[len(rest) :])
        session.resumed = frozenset(unfinished.done) if rest else frozenset()
    planner = Planner(executor, session, migrations, before, there)
    if _mode(session) is conf.Mode.OBSERVE:
        planner.reclaim_only(judged)
        result = _run_with(session, executor, run)
        _observe(session, judged, out)
        return result
    attempts: list[contract.Attempt] = []
    if everything and (wanted := planner.names_wanted(judged)):
        attempts += _free_names(session, wanted, out)
        planner = Planner(executor, session, migrations, before, there)
    held = planner.arrange(judged)
    session.copies = planner.copies(judged, held)
    # What a plan that was interrupted has left.
    session.copies.settle()
    plan[:] = [item for item in plan if _key(item[0]) not in held]
    running = [_key(migration) for migration, _ in plan]
    interrupted.note(session.ledger, session.me, executor, running, unfinished, session.resumed)
    result = _run_with(session, executor, run)
    # Beside what came before them in this plan, they had nothing to wait for.
    _withdraw_applied(session.ledger)
    if everything:
        attempts += _take_ready_steps(session, out)
    out.lines(messages.after_migrate(session, list(held.values()), attempts))
    _answer(session, held, targets)
    return result


def _without_those_there(
    executor: MigrationExecutor, before: ProjectState, migrations: Sequence[Migration]
) -> tuple[ProjectState, list[Migration], list[Key]]:
    """The plan without what `--fake-initial` only records: deployed code uses what those migrations have made.

    Returned are the state with them, what is left of the plan, and their keys.
    """
    left = []
    found = []
    state = before
    for migration in migrations:
        there, _ = executor.detect_soft_applied(None, migration)
        if there:
            state = phases_plan.state_after(migration, state)
            found.append(_key(migration))
        else:
            left.append(migration)
    return state, left, found


def _finds_tables(executor: MigrationExecutor, plan: Plan, state: ProjectState | None) -> bool:
    before = state if state is not None else _project_state(executor, applied=True)
    return bool(_without_those_there(executor, before, [migration for migration, _ in plan])[2])


def _run_with(session: Session, executor: MigrationExecutor, run: Callable[[], ProjectState]) -> ProjectState:
    """Run the plan with the session's stand-ins."""
    executor.__dict__["guard_session"] = session
    try:
        result = run()
    finally:
        executor.__dict__.pop("guard_session", None)
        sqlite_rebuild.forget(executor.connection)
    _validate_foreign_keys(session)
    return result


def _settle(session: Session) -> None:
    """Settle what takers have left behind, and what has been applied by another hand while it waited."""
    ledger = session.ledger
    if ledger.steps(rows.StepState.SEALED):
        with contract.contractor(ledger.connection.alias, session.config) as gate:
            gate.settle()
    _withdraw_applied(ledger)
    ddl = ddl_for(ledger.connection, lambda sql, params: None)
    for step in ledger.steps(rows.StepState.WAITING, rows.StepState.ASIDE):
        if slating.above(ledger, step) is not None:
            continue
        # A column that is gone alone is noted by whoever comes to it.
        gone = not slating.is_there(ddl, step) if not step.column else not ddl.columns(step.table)
        if step.kind in protocol.REMOVING and gone and not step.payload.get("held"):
            session.report.notes.append(
                f"{step.target} is not in the database any more: somebody has dropped it. Nothing is left to take away."
            )
            with contextlib.suppress(Conflict):
                slating.note_gone(ledger, step)


def _withdraw_applied(ledger: Ledger) -> None:
    """Migrations that were held, and have been applied since, wait no more.

    Nor does a removal that was held, where the migration was faked: it has been relaxed by nobody.
    """
    applied = evidence.applied_migrations(ledger.connection)
    ddl = ddl_for(ledger.connection, lambda sql, params: None)
    for step in ledger.steps(rows.StepState.WAITING):
        if contract.by_migrate(step) and applied.intersection(protocol.names(step)):
            with contextlib.suppress(Conflict):
                if step.kind in protocol.REMOVING and not slating.is_there(ddl, step):
                    slating.note_gone(ledger, step)
                else:
                    ledger.save(step, protocol.withdraw(step, ledger.now()))


def _note_replacements(executor: MigrationExecutor, session: Session) -> None:
    """Steps learn of squashes that came after them, while those still say what they replace.

    Later nothing tells: without it, code that has only the squash would be old code, and a pruned history would have no
    trace of the step's migration.
    """
    ledger = session.ledger
    for step in ledger.steps():
        names = set(protocol.names(step))
        squashes = sorted(key for key, squash in executor.loader.replacements.items() if names & set(squash.replaces))
        after = protocol.replaced(step, squashes, ledger.now()) if squashes else step
        if after is not step:
            with contextlib.suppress(Conflict):
                ledger.save(step, after)


def _apply_migration(
    wrapped: Callable[..., ProjectState],
    executor: MigrationExecutor,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> ProjectState:
    session: Session | None = executor.__dict__.get("guard_session")
    if session is None:
        return wrapped(*args, **kwargs)

    def run(state: ProjectState, migration: Migration, **options: Any) -> ProjectState:
        key = _key(migration)
        held = session.whole.get(key)
        # Unfolded, it reaches the database by operations that can be watched.
        stand_in = session.stand_ins.get(key) or phases_plan.unfolded(migration)
        _record(session, stand_in)
        if held is None and key in session.stand_ins:
            stand_in = with_operations(stand_in, together.locked_together(stand_in.operations))
        told = _Out(executor).line
        progress = patience.Progress(commits=executor.connection.vendor == "mysql" or not migration.atomic)
        patience.make_patient(stand_in.operations, session.config, session.report, told, progress=progress)
        patient: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if held is not None or key in session.stand_ins:
            connection = session.ledger.connection
            patient = patience.patient_statements(connection, session.config, told, progress=progress)
        if session.copies is not None:
            stand_in = with_operations(stand_in, session.copies.watching(stand_in.operations, key))
        if held is None:
            with patient:
                after = wrapped(state, stand_in, **options)
        else:
            still = _StillSealed()
            stand_in = with_operations(stand_in, [*stand_in.operations, still])
            after = _run_whole(session, held, still, lambda: wrapped(state, stand_in, **options), patient)
        if session.copies is not None:
            session.copies.settle()
        if session.report.unfilled:
            _fill(session, _Out(executor))
        return after

    return run(*args, **kwargs)


def _fill(session: Session, out: _Out) -> None:
    """Fill what a migration, or one that was interrupted behind its end, has left NULL: in batches, one by one.

    A fill that cannot succeed stays outstanding and is said: the migration is applied, and a hotfix behind it may be
    what mends the values. Raises CommandError where the connection is lost.
    """
    ledger, config = session.ledger, session.config
    pace = fill.Pace(lock_timeout=config.lock_timeout, lock_patience=config.lock_patience)
    for step in ledger.steps(rows.StepState.WAITING):
        if step.kind is not rows.StepKind.NULLABLE or not step.payload.get(alter_field.UNFILLED):
            continue
        if (step.id, step.version) in session.unfillable:
            continue
        ddl = ddl_for(ledger.connection, lambda sql, params: None)
        facts = ddl.facts(step.table, step.column)
        if facts is not None and facts.null and facts.default is not None:
            told = messages.Filling(step, out.line)
            try:
                fill.fill(ledger.connection, step.table, step.column, fill.DEFAULT, pace=pace, told=told)
            except DatabaseError as error:
                why = messages.not_filled(step, contract.first_line(error))
                if not ledger.connection.is_usable():
                    raise CommandError(why, returncode=1) from error
                session.unfillable.add((step.id, step.version))
                out.line(f"  guard: {why}")
                continue
        payload = {key: value for key, value in step.payload.items() if key != alter_field.UNFILLED}
        # Another process has filled it meanwhile, or takes the step.
        with contextlib.suppress(Conflict):
            ledger.save(step, dataclasses.replace(step, version=step.version + 1, payload=payload))
    session.report.unfilled = False


@contextlib.contextmanager
def without_cascade(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Schema editors of this connection drop nothing of what others have made upon a column or table.

    Django drops tables, and in 5.2 columns, with CASCADE on PostgreSQL: views would go in silence. Without it the
    server refuses, and names them.
    """
    usual: Any = connection.SchemaEditorClass
    plain = {name: getattr(usual, name).removesuffix(" CASCADE") for name in ("sql_delete_column", "sql_delete_table")}
    connection.SchemaEditorClass = type("SchemaEditor", (usual,), plain)
    try:
        yield
    finally:
        # Over the attribute of the class.
        del connection.SchemaEditorClass


class _StillSealed(Operation):
    """The last of a migration that runs whole: in its own transaction, the seal is looked at again.

    Behind a pooler, no session proves that this process goes on: its seal may have been taken for one that was left
    behind. Only PostgreSQL can undo by then; SQLite's seals are known by their process, and MariaDB has committed.
    """

    def __init__(self) -> None:
        self.sealed: rows.Step | None = None

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Nothing changes."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        connection, sealed = schema_editor.connection, self.sealed
        if sealed is None or connection.vendor != "postgresql" or not schema_editor.atomic_migration:
            return
        now = Ledger(connection).step(sealed.id, lock=True)
        if now is None or now.token != sealed.token:
            raise CommandError(messages.seal_lost(sealed), returncode=EXIT_HELD)


def _run_whole(
    session: Session,
    held: rows.Step,
    still: _StillSealed,
    run: Callable[[], ProjectState],
    patient: contextlib.AbstractContextManager[None],
) -> ProjectState:
    """The gate before a held migration whose verdict is clear: asked again, sealed, run, done."""
    connection = session.ledger.connection
    with contract.contractor(connection.alias, session.config) as gate:
        try:
            unsafe = (held.app, held.migration) in session.unsafe
            sealed, token = gate.seal_migration(held, connection, unsafe=unsafe)
        except (contract.Blocked, Conflict, DatabaseError) as error:
            raise CommandError(messages.not_any_more(held, error), returncode=EXIT_HELD) from error
        still.sealed = sealed
        ran = recording.Transcript()
        started = time.monotonic()
        try:
            with connection.execute_wrapper(ran), without_cascade(connection), patient:
                state = run()
        except BaseException:
            gate.reopen_migration(sealed, token, connection)
            raise
        gate.finish_migration(sealed, token, connection, sql=ran.sql, seconds=time.monotonic() - started)
    return state


# Backwards


def _backwards(
    run: Callable[[], ProjectState], executor: MigrationExecutor, plan: Plan, session: Session, out: _Out
) -> ProjectState:
    migrations = {_key(migration): migration for migration, _ in plan}
    fleet = evidence.read_fleet(session.ledger)
    open_steps = session.ledger.steps(rows.StepState.WAITING, rows.StepState.SEALED, rows.StepState.ASIDE)
    busy = [s for s in open_steps if s.state is rows.StepState.SEALED and (s.app, s.migration) in migrations]
    if busy:
        with contract.contractor(executor.connection.alias, session.config) as gate:
            gate.settle()
        still = session.ledger.steps(rows.StepState.SEALED)
        if any((s.app, s.migration) in migrations for s in still):
            raise CommandError(messages.being_taken(busy), returncode=1)
    if _mode(session) is conf.Mode.ENFORCE:
        refusals = _backwards_refusals(executor, plan, session.ledger, fleet)
        if refusals:
            raise CommandError(messages.refused(refusals), returncode=1)
    result = _run_with(session, executor, run)
    out.lines(messages.after_migrate(session, [], []))
    return result


def _given_back_too_early(unapplying: set[Key], ledger: Ledger, fleet: evidence.Fleet) -> list[str]:
    """A column that is made NOT NULL again stops the inserts of newer code, which does not know it."""
    refusals = []
    # Erased, Django adds it anew, and NOT NULL as well.
    for step in ledger.steps(rows.StepState.WAITING, rows.StepState.ASIDE, rows.StepState.DONE):
        found = step.payload.get("found")
        if step.kind is not rows.StepKind.COLUMN or (step.app, step.migration) not in unapplying or not found:
            continue
        if found["null"] or found["default"] is not None:
            continue
        newer = [
            instance
            for instance in fleet.instances
            if instance.live(fleet.now)
            and protocol.same_project(instance.project, step.project)
            and not protocol.relies(fleet.footprints.get(instance.digest), step)
        ]
        if newer:
            refusals.append(messages.given_back_too_early(step, newer, fleet.now))
    return refusals


def _backwards_refusals(executor: MigrationExecutor, plan: Plan, ledger: Ledger, fleet: evidence.Fleet) -> list[str]:
    """Unapplying an AddField or CreateModel takes away what newer code uses."""
    full = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
    migrations = {_key(migration): migration for migration, _ in plan}
    unapplying = set(migrations)
    applied = set(executor.loader.applied_migrations)
    states: dict[Key, tuple[ProjectState, ProjectState]] = {}
    state = _project_state(executor, applied=False)
    for migration, _ in full:
        if _key(migration) in unapplying:
            before = state
            state = phases_plan.state_after(migration, state)
            states[_key(migration)] = (before, state)
        elif _key(migration) in applied:
            state = phases_plan.state_after(migration, state)
    refusals = _given_back_too_early(unapplying, ledger, fleet)
    for judgement in phases_plan.judge_backwards(
        [phases_plan.unfolded(migration) for migration, _ in plan],
        states,
        connection=executor.connection,
        declared=_config().phases,
    ):
        replaced = migrations[judgement.app, judgement.name].replaces
        names = [(judgement.app, judgement.name), *((app, name) for app, name in replaced)]
        for target in judgement.takes:
            if slating.taken_over_by(ledger, target.table, target.column, names) is not None:
                # Nothing is dropped: its removal has it again, and it stays for whoever uses it.
                continue
            users = [
                instance
                for instance in fleet.instances
                if instance.state is not rows.InstanceState.GONE
                and (
                    instance.digest not in fleet.footprints
                    or fleet.footprints[instance.digest].declares(target.table, target.column)
                )
            ]
            if users:
                refusals.append(messages.backwards_in_use(judgement, target, users, fleet.now))
    return refusals


def _record(session: Session, stand_in: Migration) -> None:
    note = partial(contract.note, session.ledger, session.me)
    recording.make_recorded(stand_in.operations, _key(stand_in), session.report, note)


def _unapply_migration(
    wrapped: Callable[..., ProjectState],
    executor: MigrationExecutor,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> ProjectState:
    session: Session | None = executor.__dict__.get("guard_session")
    if session is None:
        return wrapped(*args, **kwargs)

    def run(state: ProjectState, migration: Migration, **options: Any) -> ProjectState:
        plain = phases_plan.unfolded(migration)
        # Operations are unapplied from the last to the first.
        stand_in = with_operations(
            plain, [_Unrecorded(session, migration), *_backwards_stand_ins(plain, state, session)]
        )
        _record(session, stand_in)
        return wrapped(state, stand_in, **options)

    return run(*args, **kwargs)


def _backwards_stand_ins(migration: Migration, before: ProjectState, session: Session) -> Iterator[Operation]:
    """Stand-ins for a migration that is unapplied; `before` is the state without it."""
    author = Author(_key(migration), tuple((app, name) for app, name in migration.replaces), session.report)
    # An earlier operation may have renamed the model of a later one.
    states = phases_plan.states_before(migration, before)
    for index, (operation, state) in enumerate(zip(migration.operations, states, strict=True)):
        joins = type(operation) in phases_plan.JOINING and any(
            type(later) is DeleteModel and later.name_lower == delete_model.model_of(operation)
            for later in migration.operations[index:]
        )
        if type(operation) is RemoveField:
            model = state.models.get((migration.app_label, operation.model_name_lower))
            if getattr(model and model.fields.get(operation.name), "many_to_many", False):
                yield delete_model.GiveBackRemoveManyToMany.standing_in_for(operation, author)
            elif joins:
                yield delete_model.Joined(operation, author)
            else:
                yield GiveBackRemoveField.standing_in_for(operation, author)
        elif joins:
            yield delete_model.Joined(operation, author)
        elif type(operation) in COMPANIONS:
            yield Companion(operation)
        elif type(operation) is DeleteModel:
            yield delete_model.GiveBackDeleteModel.standing_in_for(operation, author)
        elif type(operation) is CreateModel:
            yield delete_model.ReclaimModel.standing_in_for(operation, author)
        elif type(operation) is AddField:
            if getattr(operation.field, "many_to_many", False):
                yield delete_model.ReclaimManyToMany.standing_in_for(operation, author)
            else:
                yield NamedAgainAddField.standing_in_for(operation, author)
        elif type(operation) is AlterField:
            yield SteppedAlterField.standing_in_for(operation, author)
        else:
            yield operation


class _Unrecorded(Operation):
    """The end of unapplying a migration: what its steps still wanted is wanted no more, and it is not applied.

    In the migration's own transaction, where it has one. Django itself notes it behind that: a process that is ended
    between the two leaves a migration that has been undone and is to be undone again, which no operation can bear.
    """

    reversible = True
    reduces_to_sql = False

    def __init__(self, session: Session, migration: Migration) -> None:
        self._ledger = session.ledger
        # Unapplying a squash unapplies all that it replaces.
        self._unapplied = [*((app, name) for app, name in migration.replaces), _key(migration)]

    def describe(self) -> str:
        return "Notes that it is not applied any more"

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        for step in self._ledger.steps(rows.StepState.WAITING, rows.StepState.DONE):
            if (step.app, step.migration) in self._unapplied:
                self._ledger.save(step, protocol.void(step, self._ledger.now()))
        for app, name in self._unapplied:
            MigrationRecorder(schema_editor.connection).record_unapplied(app, name)


# After a plan


def _validate_foreign_keys(session: Session) -> None:
    """Apart from the change itself, so that no scan of the table happens under its lock."""
    connection = session.ledger.connection
    if connection.vendor != "postgresql":
        return
    # Also those that a plan which was interrupted has left.
    keyed = (rows.StepKind.COLUMN, rows.StepKind.KEY)
    steps = {(step.table, step.column) for step in session.ledger.steps() if step.kind in keyed}
    left = [pair for pair in postgresql.unvalidated(connection) if pair in steps] if steps else []
    wanted = dict.fromkeys([*session.report.to_validate, *left])
    if not (wanted or session.report.made_again):
        return
    with contract.contractor(connection.alias, session.config) as gate:
        for table, column in wanted:
            gate.validate_foreign_keys(table, column)
        gate.validate_named(session.report.made_again)


def _take_ready_steps(
    session: Session, out: _Out, *, only: frozenset[int] | None = None, me: evidence.Taker | None = None
) -> list[contract.Attempt]:
    """What happens to contract steps here never changes the exit code: a hotfix must not wait for a column."""
    deadline = time.monotonic() + session.config.migrate_budget
    try:
        with contract.contractor(session.ledger.connection.alias, session.config, me) as gate:
            if only is None:
                gate.tidy_up()
                gate.put_back()
            return gate.round(
                patience=min(session.config.lock_patience, session.config.migrate_budget),
                wanted=lambda step: (
                    (only is None or step.id in only)
                    and not contract.by_migrate(step)
                    and time.monotonic() < deadline
                    and gate.instant(step)
                ),
            )
    except Exception as error:
        out.line(
            "  guard: what waits to be taken away could not be looked at, and goes on waiting: "
            f"{contract.first_line(error)}. `manage.py guard doctor` looks for what is wrong."
        )
        return []


def _free_names(session: Session, wanted: Sequence[rows.Step], out: _Out) -> list[contract.Attempt]:
    """Set aside, where the verdict is clear, what has names that the plan gives to other columns.

    This release declares the name, and means the column that the plan adds: it does not count as using the old one.
    """
    tables = {table: dict(columns) for table, columns in session.me.footprint.tables.items()}
    for step in wanted:
        if step.column:
            tables.get(step.table, {}).pop(step.column, None)
        else:
            tables.pop(step.table, None)
    footprint = dataclasses.replace(session.me.footprint, tables=tables)
    attempts = _take_ready_steps(
        session,
        out,
        only=frozenset(step.id for step in wanted),
        me=dataclasses.replace(session.me, footprint=footprint),
    )
    return [attempt for attempt in attempts if attempt.taken]


def _answer(session: Session, held: Mapping[Key, Held], targets: Sequence[tuple[str, str | None]]) -> None:
    asked = _command.get()
    if asked is None or not held:
        return
    wanted = set(targets) if asked.names_target else set()
    named = [item for key, item in held.items() if key in wanted]
    needed = [
        (item, target)
        for item in held.values()
        for target in item.makes
        if session.me.footprint.declares(target.table, target.column)
    ]
    if named or needed:
        asked.held_back = messages.held_back(named, needed)


def _observe(session: Session, judged: Sequence[phases_plan.MigrationJudgement], out: _Out) -> None:
    would = [j for j in judged if j.disposition is not Disposition.RUN]
    if not would:
        return
    for judgement in would:
        session.ledger.record(
            "would-wait",
            f"{judgement.app}.{judgement.name}",
            actor=session.me.actor,
            release=session.me.release,
            details={"disposition": judgement.disposition.value},
        )
    out.lines(messages.observed(would))


class _Out:
    """Where `migrate` prints; silent where code drives the executor itself."""

    def __init__(self, executor: MigrationExecutor) -> None:
        command = getattr(executor.progress_callback, "__self__", None)
        self._stream: TextIO | Any = getattr(command, "stdout", None)
        self._verbosity = getattr(command, "verbosity", 1)

    def line(self, text: str) -> None:
        if self._stream is not None and self._verbosity >= 1:
            self._stream.write(text)

    def lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.line(text)


def _project_state(executor: MigrationExecutor, *, applied: bool) -> ProjectState:
    """The state of the apps without migrations, and of what is applied."""
    state: ProjectState = executor._create_project_state(  # type: ignore[attr-defined]
        with_applied_migrations=applied
    )
    return state


def _key(migration: Migration) -> Key:
    return migration.app_label, migration.name
