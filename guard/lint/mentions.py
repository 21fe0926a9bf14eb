"""Places in the project's own Python that name, in a string, a field or column that a migration takes away."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.db.migrations import operations as ops

from guard.lint.finding import Finding, Level, documented
from guard.lint.history import History, Key, own_apps

#: Methods and functions whose strings are names of fields, or paths of them.
_CALLS = frozenset(
    {
        *("values", "values_list", "only", "defer", "order_by", "distinct", "select_related", "prefetch_related"),
        *("latest", "earliest", "dates", "datetimes", "in_bulk", "get_field", "bulk_update", "refresh_from_db", "save"),
        *("F", "OuterRef", "Q", "Count", "Sum", "Avg", "Max", "Min", "Prefetch", "ArrayAgg", "StringAgg", "JSONBAgg"),
        *("getattr", "setattr", "hasattr", "Lower", "Upper", "Coalesce", "Cast", "Concat", "ExtractYear", "TruncDay"),
        *("bulk_create", "update_or_create", "get_or_create", "attrgetter", "Index", "UniqueConstraint", "filter_by"),
    }
)
#: Names that hold lists of fields: forms, serializers, admin, filters, tables, models.
_LISTS = frozenset(
    {
        *("fields", "exclude", "read_only_fields", "extra_kwargs", "list_display", "list_filter", "list_editable"),
        *("list_display_links", "search_fields", "readonly_fields", "raw_id_fields", "autocomplete_fields", "ordering"),
        *("filter_horizontal", "filter_vertical", "filterset_fields", "ordering_fields", "unique_together"),
        *("fieldsets", "prepopulated_fields", "list_select_related", "date_hierarchy", "update_fields", "widgets"),
        *("labels", "help_texts", "localized_fields", "radio_fields", "lookup_field", "slug_field", "field_name"),
        *("order_with_respect_to", "get_latest_by", "index_together", "source", "to_field", "unique_fields"),
    }
)
_SQL = re.compile(r"\b(select|insert|update|delete|from|join|where|order\s+by|set|returning)\b", re.IGNORECASE)
_PATH = re.compile(r"[-+?]?[A-Za-z_]\w*")
_SKIPPED = frozenset({"migrations", "node_modules", "__pycache__", "site-packages"})


@dataclass(frozen=True, slots=True)
class _Slated:
    """A field that a looked-at migration takes away, and that the models do not have any more."""

    field: str
    column: str
    table: str
    label: str
    migration: Key


def mentions(history: History, findings: Iterable[Finding]) -> list[Finding]:
    """I110: one hint for each line that names what a finding's migration takes away."""
    slated = list(_slated(history, {(found.app, found.migration) for found in findings if found.targets}))
    if not slated:
        return []
    return [found for path in _sources() for found in _in_file(path, slated)]


def _slated(history: History, migrations: Iterable[Key]) -> Iterator[_Slated]:
    for key in sorted(migrations):
        for operation in history.migration(key).operations:
            if isinstance(operation, ops.RemoveField):
                removed = operation.model_name, operation.name
            elif isinstance(operation, ops.RenameField):
                removed = operation.model_name, operation.old_name
            else:
                continue
            if _declared(key[0], *removed):
                continue
            try:
                model = apps.get_model(key[0], removed[0])
            except LookupError:
                continue
            label = f"{key[0]}.{removed[0]}.{removed[1]}"
            # The column of a foreign key ends in _id; which it was, the models do not say any more.
            yield _Slated(removed[1], f"{removed[1]}_id", model._meta.db_table, label, key)


def _declared(app: str, model: str, name: str) -> bool:
    try:
        apps.get_model(app, model)._meta.get_field(name)
    except Exception:
        # Neither the field nor, perhaps, the model.
        return False
    return True


def _sources() -> Iterator[Path]:
    """The project's own Python files, without its migrations."""
    seen: set[Path] = set()
    own = own_apps()
    for config in apps.get_app_configs():
        if config.label not in own:
            continue
        for folder, folders, files in os.walk(config.path):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("."))
            for name in sorted(files):
                path = Path(folder) / name
                if name.endswith(".py") and path not in seen:
                    seen.add(path)
                    yield path


def _in_file(path: Path, slated: list[_Slated]) -> Iterator[Finding]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    # Parsing costs far more than looking.
    here = [one for one in slated if one.field in text]
    if not here:
        return
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    told = set()
    for node, of_fields in _strings(tree):
        for one in here:
            if (one.label, node.lineno) not in told and _names(node.value, one, of_fields):
                told.add((one.label, node.lineno))
                yield Finding(
                    id="guard.I110",
                    level=Level.INFO,
                    message=f"This names {one.label}, which {'.'.join(one.migration)} takes away: "
                    f"{_short(node.value)!r}",
                    hint=documented("guard.I110", "If it means that field, change it before this code is deployed."),
                    app=one.migration[0],
                    migration=one.migration[1],
                    targets=(f"{one.table}.{one.field}",),
                    path=str(path),
                    line=node.lineno,
                )


def _names(text: str, slated: _Slated, of_fields: bool) -> bool:
    names = (slated.field, slated.column)
    if of_fields and _PATH.fullmatch(text):
        return any(part in names for part in text.lstrip("-+?").split("__"))
    if _SQL.search(text) and re.search(rf"\b{re.escape(slated.table)}\b", text, re.IGNORECASE):
        return any(re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) for name in names)
    return False


class _Text(ast.Constant):
    """A constant that is a string."""

    value: str


def _strings(tree: ast.AST) -> Iterator[tuple[_Text, bool]]:
    """Every string of a module, and whether it stands where names of fields do."""
    queue: list[tuple[ast.AST, bool]] = [(tree, False)]
    while queue:
        node, of_fields = queue.pop()
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                yield node, of_fields  # type: ignore[misc]
            continue
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            queue.append((node.func, False))
            queue.extend((argument, name in _CALLS) for argument in node.args)
            queue.extend((keyword.value, keyword.arg in _LISTS) for keyword in node.keywords)
            continue
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            listed = any(getattr(target, "id", getattr(target, "attr", "")) in _LISTS for target in targets)
            if node.value is not None:
                queue.append((node.value, listed))
            continue
        inherits = of_fields and isinstance(node, (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Starred, ast.BinOp))
        queue.extend((child, inherits) for child in ast.iter_child_nodes(node))


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else flat[:57] + "..."
