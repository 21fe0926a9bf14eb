"""Builds the footprint of the running project: what its models declare, and the migrations that it has on disk."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from django.apps import apps
from django.db import connections, models, router
from django.db.migrations.loader import MigrationLoader

from guard import conf
from guard.schema.footprint import Column, Footprint

#: Seconds that asking a server for its version may take to connect.
CONNECT_TIMEOUT = 3

_lock = threading.Lock()


def _alone(alias: str) -> tuple[str, ...]:
    return (alias,)


#: Every alias that leads to the database of one; the ledger's room, which can tell, puts itself here.
companions: Callable[[str], tuple[str, ...]] = _alone


def renew_lock() -> None:
    """In a forked child: another thread of the parent may have held it."""
    global _lock
    _lock = threading.Lock()


_footprints: dict[str, Footprint] = {}
_migrations: frozenset[tuple[str, str]] | None = None


def footprint(alias: str) -> Footprint:
    """The footprint of this process for the database of an alias. Cached; never opens the application's connection.

    What is declared for another alias of the same database belongs to it: they have one ledger, and one row in it.

    On MySQL and MariaDB some types depend on the server's version, and a private connection asks: raises
    OperationalError where the database is away.
    """
    with _lock:
        if alias not in _footprints:
            _footprints[alias] = Footprint(_tables(alias), migrations_on_disk(), conf.get().project or "")
        return _footprints[alias]


def forget() -> None:
    """Drop what is cached, for a process whose models or migration files changed (tests, a reloaded app registry)."""
    global _migrations
    with _lock:
        _footprints.clear()
        _migrations = None


def _models(alias: str) -> Iterator[type[models.Model]]:
    aliases = companions(alias)
    for model in apps.get_models(include_auto_created=True):
        options = model._meta
        if not options.proxy and not options.swapped and (_is_there(model, aliases) or _is_used(model, aliases)):
            yield model


def _is_there(model: type[models.Model], aliases: Iterable[str]) -> bool:
    return any(router.allow_migrate_model(alias, model) for alias in aliases)


def _is_used(model: type[models.Model], aliases: Iterable[str]) -> bool:
    """Whether a model that this project migrates nowhere is read or written there: another one makes its table."""
    if _is_there(model, connections):
        return False
    try:
        used = {router.db_for_read(model), router.db_for_write(model)}
    except Exception:
        # A router that answers only within a request. Use that is not there blocks; use that is overlooked breaks.
        return True
    return not used.isdisjoint(aliases)


def unmanaged_columns(alias: str) -> frozenset[tuple[str, str]]:
    """(table, column) that only models declare which Django does not manage, or routers let nobody migrate.

    They are evidence of use, but nobody's missing migration.
    """
    managed: set[tuple[str, str]] = set()
    unmanaged: set[tuple[str, str]] = set()
    aliases = companions(alias)
    for model in _models(alias):
        columns = managed if model._meta.managed and _is_there(model, aliases) else unmanaged
        columns.update((model._meta.db_table, f.column) for f in model._meta.local_concrete_fields if f.column)
    return frozenset(unmanaged - managed)


def automatic_keys(alias: str) -> frozenset[tuple[str, str]]:
    """(table, column) of the keys that Django adds to tables of many-to-many fields.

    Models make them of the app's own `default_auto_field`, migrations of the setting as it was on the day they ran:
    in Django's own apps the two differ.
    """
    automatic = (model._meta for model in _models(alias) if model._meta.auto_created)
    return frozenset((options.db_table, options.pk.column or "") for options in automatic if options.pk is not None)


def elsewhere(alias: str) -> frozenset[str]:
    """Tables that are declared for other aliases of the same database alone, which may look at another schema."""
    tables = {model._meta.db_table for model in _models(alias)}
    here = {m._meta.db_table for m in _models(alias) if _is_there(m, (alias,)) or _is_used(m, (alias,))}
    return frozenset(tables - here)


def _tables(alias: str) -> dict[str, dict[str, Column]]:
    connection = connections[alias].copy()
    connection.guard_private = True  # type: ignore[attr-defined]
    if connection.vendor == "mysql":
        connection.settings_dict["OPTIONS"].setdefault("connect_timeout", CONNECT_TIMEOUT)
    tables: dict[str, dict[str, Column]] = {}
    try:
        for model in _models(alias):
            # Two models may share a table (an unmanaged one beside a managed one).
            columns = tables.setdefault(model._meta.db_table, {})
            for field in model._meta.local_concrete_fields:
                # ForeignObject and composite primary keys have no column of their own.
                if field.column is not None:
                    columns[field.column] = Column(
                        type=field.db_type(connection) or "", null=field.null, has_default=field.has_db_default()
                    )
    finally:
        connection.close()
    return tables


def migrations_on_disk() -> frozenset[tuple[str, str]]:
    """(app, name) of every migration that this code has, squashes expanded."""
    global _migrations
    if _migrations is None:
        _migrations = frozenset(name for config in apps.get_app_configs() for name in _app_migrations(config.label))
    return _migrations


def _app_migrations(app: str) -> Iterator[tuple[str, str]]:
    """Names of an app's migrations as Django's loader would find them, imported only where that cannot be helped."""
    module, _ = MigrationLoader.migrations_module(app)
    if module is None:
        return
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return
    if spec is None or spec.submodule_search_locations is None:
        return
    if spec.origin is None:
        # A folder without __init__.py: Django takes the app for one without migrations.
        return
    for info in pkgutil.iter_modules(spec.submodule_search_locations):
        if info.ispkg or info.name[0] in "_~":
            continue
        yield app, info.name
        yield from _replaces(module, info.name, list(spec.submodule_search_locations))


def _replaces(module: str, name: str, folders: list[str]) -> Iterator[tuple[str, str]]:
    source = next((path for folder in folders if (path := Path(folder) / f"{name}.py").is_file()), None)
    if source is not None:
        text = source.read_bytes()
        if b"replaces" not in text:
            return
        literal = _literal_replaces(text)
        if literal is not None:
            yield from literal
            return
    # Compiled files only, or a list that is computed: the module itself must say.
    migration = getattr(importlib.import_module(f"{module}.{name}"), "Migration", None)
    yield from (tuple(pair) for pair in getattr(migration, "replaces", ()))


def _literal_replaces(text: bytes) -> list[tuple[str, str]] | None:
    """The value of `replaces` where it is a plain literal; an empty list where the word is only mentioned.

    None where the text alone does not say it: computed, added to, or said more than once.
    """
    found: list[tuple[str, str]] = []
    said = 0
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign):
            names, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            names, value = [node.target], node.value
        elif (isinstance(node, ast.Attribute) and node.attr == "replaces") or (
            isinstance(node, ast.AugAssign) and _is_replaces(node.target)
        ):
            return None
        else:
            continue
        if any(map(_is_replaces, names)):
            said += 1
            try:
                found = [(str(app), str(name)) for app, name in ast.literal_eval(value)]
            except (ValueError, TypeError):
                return None
    return found if said <= 1 else None


def _is_replaces(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "replaces"
