"""Where models and database disagree, as system checks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from django.apps import apps
from django.core.checks import CheckMessage, Error, Info, Warning

from guard.ledger import rows
from guard.lint.finding import documented
from guard.schema import catalog, declared

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


def unknown_migrations(alias: str, recorded: Iterable[Pair]) -> Iterator[CheckMessage]:
    """W017: migrations that the database has recorded and this code does not have."""
    on_disk = declared.migrations_on_disk()
    unknown = sorted((app, name) for app, name in recorded if app in apps.app_configs and (app, name) not in on_disk)
    if unknown:
        names = ", ".join(".".join(pair) for pair in unknown[:5]) + (", …" if len(unknown) > 5 else "")
        yield Warning(
            f"Database {alias} has recorded {len(unknown)} migrations that this code does not have ({names}): this "
            "code is behind it.",
            hint=documented(
                "guard.W017", "Deploy code that has them; `migrate --prune` forgets those that a squash has replaced."
            ),
            id="guard.W017",
        )
