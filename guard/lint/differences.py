"""Where models and database disagree, as system checks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from django.apps import apps
from django.core.checks import CheckMessage, Error, Info, Warning

from guard.ledger import rows
from guard.lint.finding import documented
from guard.schema import catalog, declared
from guard.schema.footprint import Footprint

Pair = tuple[str, str]


def messages(
    compared: catalog.Comparison, steps: Iterable[rows.Step], pending: Collection[Pair], known: Collection[Pair]
) -> Iterator[CheckMessage]:
    """E007, I018, E019 and W020. What pending migrations or the ledger's steps explain is not told.

    `pending` holds what pending migrations make, take and name; `known` what the applied ones have made.
    """
    steps = list(steps)
    explained = {(step.table, name) for step in steps for name in (step.column, step.aside_name) if name}
    gone = {(s.table, s.column) for s in steps if s.state in (rows.StepState.ASIDE, rows.StepState.DONE)}

    def awaits(table: str, column: str) -> bool:
        return (table, column) in pending or (table, "") in pending

    for table, column in compared.missing:
        if not awaits(table, column) and (table, column) not in gone and (table, "") not in gone:
            yield Error(
                f"{table}.{column} is declared by this code's models, but neither the database nor any pending "
                "migration has it: the code is ahead.",
                hint=documented(
                    "guard.E007", "Run `manage.py makemigrations` and deploy the migration before this code."
                ),
                id="guard.E007",
                obj=f"{table}.{column}",
            )
    for each in compared.unknown:
        if awaits(each.table, each.column) or (each.table, each.column) in explained:
            continue
        name = f"{each.table}.{each.column}"
        if each.required:
            yield Error(
                f"{name} is NOT NULL and has no default in the database, and this code does not write it: its inserts "
                "fail.",
                hint=documented("guard.E019", f"Give {name} a default or allow NULL, or deploy code that writes it."),
                id="guard.E019",
                obj=name,
            )
        elif (each.table, each.column) not in known:
            yield Info(
                f"{name} is in the database, and no model, migration or contract step knows it.",
                hint=documented("guard.I018", "Add it to the model, or drop it by hand if nobody else uses it."),
                id="guard.I018",
                obj=name,
            )
    for differs in compared.unlike:
        if awaits(differs.table, differs.column) or (differs.table, differs.column) in explained:
            continue
        name = f"{differs.table}.{differs.column}"
        yield Warning(
            f"{name} {differs.how}.",
            hint=documented(
                "guard.W020",
                "A change by hand, a faked migration, or a model without its migration: make database and model agree.",
            ),
            id="guard.W020",
            obj=name,
        )


def left_behind(
    footprint: Footprint,
    others: Iterable[Footprint],
    references: Iterable[catalog.Reference],
    explained: Collection[str],
    recorded: Iterable[Pair],
) -> Iterator[CheckMessage]:
    """W023: tables of uninstalled apps that refer to rows of this code's, but for those that guard looks after."""
    gone = {app for app, _ in recorded} - apps.app_configs.keys()
    if not gone:
        return
    theirs = {table for other in others if any(map(other.has_app, gone)) for table in other.tables}
    found = [
        each
        for each in references
        if each.to_table in footprint.tables
        and each.table not in footprint.tables
        and each.table not in explained
        and (each.table in theirs or each.table.startswith(tuple(f"{app}_" for app in gone)))
    ]
    if found:
        shown = [f"{each.table}.{each.column} to {each.to_table}" for each in found[:5]]
        names = ", ".join([*shown, *(["…"] if len(found) > 5 else [])])
        yield Warning(
            f"Tables of apps that are not installed any more still refer to rows of this code's ({names}): it cannot "
            "delete those rows.",
            hint=documented(
                "guard.W023",
                "Drop these tables, or let a release that has the app delete its models first: then guard sets them "
                "aside, and lets such rows be deleted from the start.",
            ),
            id="guard.W023",
        )


def unknown_migrations(alias: str, recorded: Iterable[Pair]) -> Iterator[CheckMessage]:
    """W017: migrations that the database has recorded and this code does not have."""
    on_disk = declared.migrations_on_disk()
    unknown = sorted((app, name) for app, name in recorded if app in apps.app_configs and (app, name) not in on_disk)
    if unknown:
        names = ", ".join(".".join(pair) for pair in unknown[:5]) + (", …" if len(unknown) > 5 else "")
        yield Warning(
            f"Database {alias} has recorded {len(unknown)} migration{'' if len(unknown) == 1 else 's'} that this code "
            f"does not have ({names}): this code is behind it.",
            hint=documented(
                "guard.W017", "Deploy code that has them; `migrate --prune` forgets those that a squash has replaced."
            ),
            id="guard.W017",
        )
