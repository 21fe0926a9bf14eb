"""System checks: what each pending migration will do, and where models and database disagree.

Deploy checks, because they read the database; never tagged `database`, because Django 6.1 does not run those under
`check --deploy`. Ids are stable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.db import DatabaseError, connections, router
from django.db.migrations.exceptions import BadMigrationError, NodeNotFoundError
from django.db.migrations.executor import MigrationExecutor

from guard import conf
from guard.gate import messages
from guard.ledger import connecting, protocol, rows
from guard.ledger.store import Ledger
from guard.lint import advice, configuration, differences, history, run
from guard.lint.finding import Finding, Level, documented, of_operation
from guard.phases import naming
from guard.phases import plan as phases_plan
from guard.phases.words import Disposition, Judgement
from guard.runtime import watch
from guard.schema import catalog, declared

TAG = "guard"


@register(TAG)
def check_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """guard.E001: one error for each mistake in GUARD."""
    return [
        Error(
            str(problem), hint=documented("guard.E001", problem.hint or "Correct the GUARD setting."), id="guard.E001"
        )
        for problem in conf.problems()
    ]


@register(TAG)
def check_drivers(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """guard.E022: databases that can have no ledger, whatever is deployed, because of the driver."""
    if conf.problems() or conf.get().mode is conf.Mode.OFF:
        return []
    return [
        Error(why, hint=documented("guard.E022", connecting.RIGHT_DRIVER), id="guard.E022")
        for why in (connecting.wrong_driver(connections[alias]) for alias in connecting.guarded_aliases())
        if why
    ]


@register(TAG, deploy=True)
def check_installation(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """What guard needs to know releases and servers, and whether its settings agree with each other."""
    if conf.get().mode is conf.Mode.OFF:
        return []
    found: list[CheckMessage] = []
    if conf.release_label(conf.get()) is None:
        found.append(
            Warning(
                "This release has no label; guard will name it by its footprint's digest.",
                hint=documented(
                    "guard.W002", 'Set GUARD = {"RELEASE": …}, for example to the commit or the image\'s tag.'
                ),
                id="guard.W002",
            )
        )
    return [*found, *_tenants(), *configuration.middleware(), *configuration.environment(), *configuration.names()]


@register(TAG, deploy=True)
def check_databases(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Everything that a database and its pending migrations have to say, for each one that can be reached."""
    config = conf.get()
    if config.mode is conf.Mode.OFF or conf.problems():
        return []
    guarded = connecting.guarded_aliases()
    found: list[CheckMessage] = []
    unguarded = set()
    for alias in databases or list(connections):
        if alias in guarded:
            found += _check_database(alias, config)
        elif _unguarded(alias):
            unguarded.add(alias)
            found.append(
                Error(
                    f"Database {alias} gets migrations, but a router keeps guard's ledger out of it: it is unguarded.",
                    hint=documented("guard.E004", 'Let your router allow the app "guard" there.'),
                    id="guard.E004",
                )
            )
    return [*found, *configuration.strays(unguarded)]


def _unguarded(alias: str) -> bool:
    """Whether a database takes part in migrations while a router refuses guard's own."""
    connection = connections[alias]
    if not connecting.can_guard(connection) or router.allow_migrate(alias, "guard"):
        return False
    return any(router.allow_migrate(alias, app) for app, _ in declared.migrations_on_disk() if app != "guard")


def _tenants() -> list[CheckMessage]:
    """Whether django-tenants keeps guard out of the tenants' schemas, and thereby out of their migrations."""
    tenants = getattr(settings, "TENANT_APPS", None)
    if tenants is None or {"guard", "guard.apps.GuardConfig"}.intersection(tenants):
        return []
    return [
        Error(
            "TENANT_APPS keeps guard's ledger out of the tenants' schemas: their migrations run unguarded.",
            hint=documented("guard.E004", 'Add "guard" to TENANT_APPS too.'),
            id="guard.E004",
        )
    ]


def _check_database(alias: str, config: conf.Config) -> list[CheckMessage]:
    try:
        with watch.quiet(), connecting.private(alias) as connection:
            ledger = Ledger(connection)
            present = ledger.exists()
            steps = ledger.steps() if present else ()
            compared = catalog.compare(connection, declared.footprint(alias))
            references = catalog.references(connection)
            others = ledger.footprints().values() if present else ()
            now = ledger.now()
            refused = configuration.unwritable(connection) if present else ""
        pending = _Pending(alias, config)
        if pending.nothing_applied:
            return [
                Info(
                    f"Database {alias} has no migrations applied yet: everything will run whole.",
                    hint=documented("guard.I010", "Nothing to do."),
                    id="guard.I010",
                )
            ]
        return [
            *([] if present else [_no_ledger(alias)]),
            *configuration.cannot_write(alias, refused),
            *_debts(steps, config, now),
            *_plan_findings(pending, steps),
            *_behind(alias, steps, pending.made),
            *differences.messages(compared, steps, pending.named, pending.known),
            *differences.unknown_migrations(alias, pending.recorded),
            *differences.left_behind(
                declared.footprint(alias),
                others,
                references,
                {name for step in steps if not step.column for name in (step.table, step.aside_name)},
                pending.recorded,
            ),
        ]
    except (DatabaseError, NodeNotFoundError, BadMigrationError) as error:
        # Where it is the driver, E022 says so.
        away = [] if connecting.wrong_driver(connections[alias]) else [_could_not_be_looked_at(alias, error)]
        return [*away, *_of_files(alias, config)]


def _could_not_be_looked_at(alias: str, error: Exception) -> CheckMessage:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return Warning(
        f"Database {alias} could not be looked at: {reason}",
        hint=documented(
            "guard.W005", "Run the check where the database can be reached; `manage.py guard lint` needs none."
        ),
        id="guard.W005",
    )


def _of_files(alias: str, config: conf.Config) -> list[CheckMessage]:
    """What files alone tell of the migrations after the baseline; without a baseline all of history would be told."""
    if not config.baseline:
        return []
    try:
        everything = history.load()
        applied = history.history_until(everything, config.baseline)
        found = history.load({key for key in everything.order if key[0] not in config.baseline} | applied)
    except history.Unreadable:
        return []
    wanted = {key for key in found.order if key[0] in config.baseline} - found.old
    result = run.lint(found, aliases=[alias], wanted=wanted, config=config, together=True, named=False)
    return list(map(_message, result.findings))


_MAKERS = {Level.INFO: Info, Level.WARNING: Warning, Level.ERROR: Error}


def _message(found: Finding) -> CheckMessage:
    return _MAKERS[found.level](found.message, hint=found.hint, id=found.id, obj=found.name or None)


def _no_ledger(alias: str) -> CheckMessage:
    return Warning(
        f"Database {alias} has no ledger yet: nobody can register there.",
        hint=documented("guard.W006", f"Run `manage.py migrate --database {alias}`; guard makes its tables first."),
        id="guard.W006",
    )


def _behind(alias: str, steps: Iterable[rows.Step], made: set[tuple[str, str]]) -> list[CheckMessage]:
    """guard.E008: this code is older than what was taken away. What its own pending migrations add again is not."""
    footprint = declared.footprint(alias)
    return [
        Error(
            str(refusal),
            hint=documented("guard.E008", f"`manage.py guard why {refusal.step.target}` says when it happened."),
            id="guard.E008",
            obj=refusal.step.target,
        )
        for refusal in protocol.admission(footprint, steps)[1]
        if (refusal.step.table, refusal.step.column) not in made
    ]


def _debts(steps: Iterable[rows.Step], config: conf.Config, now: float) -> list[CheckMessage]:
    return [
        Warning(
            f"{step.target} waits to be taken away since {messages.span(now - step.slated_at)} "
            f"({step.app}.{step.migration}).",
            hint=documented("guard.W009", f"`manage.py guard why {step.target}` says what it waits for."),
            id="guard.W009",
        )
        for step in steps
        if step.state is rows.StepState.WAITING
        and step.kind in protocol.REMOVING
        and now - step.slated_at > config.debt_after
    ]


class _Pending:
    """The migrations that a database still waits for, judged."""

    def __init__(self, alias: str, config: conf.Config) -> None:
        executor = MigrationExecutor(connections[alias])
        self.config = config
        self.recorded = frozenset(executor.loader.applied_migrations)
        self.nothing_applied = not any(app != "guard" for app, _ in self.recorded)
        self.plan = [
            phases_plan.unfolded(migration)
            for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())
            if migration.app_label != "guard"
        ]
        graph = executor.loader.graph
        self._graph = graph
        self.state = executor._create_project_state(with_applied_migrations=True)  # type: ignore[attr-defined]
        self.connection = connections[alias]
        self.judged = phases_plan.judge_plan(
            self.plan,
            self.state,
            connection=self.connection,
            strategy=config.strategy,
            alias=alias,
            declared=config.phases,
        )
        operations = [operation for judgement in self.judged for operation in judgement.operations]
        self.made = {(target.table, target.column) for operation in operations for target in operation.makes}
        self.named = self.made | {
            (target.table, target.column) for operation in operations for target in (*operation.takes, *operation.names)
        }

    def ancestors(self, key: tuple[str, str]) -> frozenset[tuple[str, str]]:
        """The migrations that this one depends on, directly or through others."""
        return frozenset(self._graph.forwards_plan(key)) - {key}

    @property
    def known(self) -> set[tuple[str, str]]:
        """Columns that the models of the applied migrations have."""
        return {
            (naming.table(self.state, key), column)
            for key, found in self.state.models.items()
            if not found.options.get("proxy")
            for column in naming.columns(self.state, key)
        }


def _plan_findings(pending: _Pending, steps: Sequence[rows.Step]) -> list[CheckMessage]:
    """What the pending migrations will do, and how they go together."""
    leftovers = {
        (step.table, step.column)
        for step in steps
        if step.kind is rows.StepKind.COLUMN and step.state is rows.StepState.WAITING
    }
    found = [
        of_operation(judgement, index, operation, _disposition(operation, leftovers))
        for judgement in pending.judged
        for index, operation in enumerate(judgement.operations)
        if operation.disposition is not Disposition.RUN
    ]
    found += advice.advise(pending.plan, pending.judged, ancestors=pending.ancestors, vendor=pending.connection.vendor)
    baseline = pending.config.baseline
    return [
        _message(one) for one in found if not (one.app in baseline and _is_history(pending, one, baseline[one.app]))
    ]


def _is_history(pending: _Pending, found: Finding, last: str) -> bool:
    if found.migration == last:
        return True
    if not any((migration.app_label, migration.name) == (found.app, last) for migration in pending.plan):
        return False
    return (found.app, found.migration) in pending.ancestors((found.app, last))


def _disposition(operation: Judgement, leftovers: set[tuple[str, str]]) -> Disposition:
    if operation.disposition is Disposition.REFUSE and any((t.table, t.column) in leftovers for t in operation.makes):
        # It takes the leftover over when nothing that does without it is deployed any more.
        return Disposition.HOLD
    return operation.disposition
