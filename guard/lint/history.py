"""Which migrations are looked at: all of an app's, those added since a git revision, or those that a release lacks."""

from __future__ import annotations

import importlib.util
import subprocess
import sysconfig
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import OperationalError
from django.db.migrations import Migration
from django.db.migrations.exceptions import BadMigrationError, NodeNotFoundError
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from guard.lint import offline
from guard.schema import declared

Key = tuple[str, str]


class Unreadable(Exception):
    """Migrations that cannot be read, or a revision that git does not know. The text is for people."""


class _Loader(MigrationLoader):
    """Django's loader, told what is applied instead of asking a database."""

    def __init__(self, applied: Collection[Key]) -> None:
        self._given = dict.fromkeys(applied)
        super().__init__(None)

    def load_disk(self) -> None:
        super().load_disk()
        # Whoever has a squash has what it replaces, and Django asks for the latter.
        queue = [key for key in self._given if key in self.disk_migrations]
        while queue:
            for app, name in self.disk_migrations[queue.pop()].replaces:
                if (app, name) not in self._given:
                    self._given[app, name] = None
                    if (app, name) in self.disk_migrations:
                        queue.append((app, name))

    @property
    def applied_migrations(self) -> dict[Key, Any]:
        return self._given

    @applied_migrations.setter
    def applied_migrations(self, value: object) -> None:
        # The loader sets this when it has no connection to ask.
        pass


@dataclass(frozen=True)
class History:
    """The migrations on disk, in an order in which Django would apply them, and which of them count as applied."""

    loader: MigrationLoader
    order: tuple[Key, ...]
    #: Those that count as applied.
    old: frozenset[Key]

    def migration(self, key: Key) -> Migration:
        found: Migration = self.loader.graph.nodes[key]
        return found

    def start(self) -> ProjectState:
        """The state before anything is applied."""
        return ProjectState(real_apps=self.loader.unmigrated_apps)

    def ancestors(self, key: Key) -> Collection[Key]:
        """The migrations that this one depends on, directly or through others."""
        return self._plans[key]

    @cached_property
    def _plans(self) -> Mapping[Key, frozenset[Key]]:
        found: dict[Key, frozenset[Key]] = {}
        for key in self.order:
            parents = [parent.key for parent in self.loader.graph.node_map[key].parents]
            found[key] = frozenset(parents).union(*(found[parent] for parent in parents))
        return found


def load(applied: Collection[Key] = ()) -> History:
    """The migrations on disk; those that are given count as applied. Raises Unreadable."""
    try:
        loader = _loader(applied)
        order: dict[Key, None] = {}
        for leaf in loader.graph.leaf_nodes():
            order.update(dict.fromkeys(loader.graph.forwards_plan(leaf)))
    except (NodeNotFoundError, BadMigrationError) as error:
        raise Unreadable(f"The migrations cannot be read: {error}") from error
    except Exception as error:
        # A migration's module runs whatever it likes when it is imported.
        raise Unreadable(f"The migrations cannot be imported: {type(error).__name__}: {error}".strip()) from error
    return History(loader, tuple(order), frozenset(key for key in order if key in loader.applied_migrations))


def _loader(applied: Collection[Key]) -> _Loader:
    try:
        return _Loader(applied)
    except OperationalError:
        # Some migrations ask when they are imported which database it is, and in which version.
        with offline.answering():
            return _Loader(applied)


def own_apps() -> frozenset[str]:
    """Labels of the apps whose code is the project's, not an installed package's."""
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    return frozenset(
        config.label
        for config in apps.get_app_configs()
        if not any(Path(config.path).resolve().is_relative_to(folder) for folder in installed)
        and config.label != "guard"
    )


def history_until(history: History, baseline: Mapping[str, str]) -> frozenset[Key]:
    """What the baseline keeps quiet: its migrations, and all that they depend on in their own apps."""
    quiet: set[Key] = set()
    for app, name in baseline.items():
        key = (app, name)
        if key in history.loader.graph.nodes:
            quiet |= {key, *(other for other in history.ancestors(key) if other[0] == app)}
    return frozenset(quiet)


def before(revision: str) -> frozenset[Key]:
    """The migrations that git had at the revision, and those of apps that git does not look after.

    Raises Unreadable where git or the revision is missing.
    """
    own = own_apps()
    known = set(declared.migrations_on_disk())
    for app, folder in _folders():
        had = _names_at(revision, folder) if app in own else None
        if had is not None:
            known = {key for key in known if key[0] != app} | {(app, name) for name in had}
    return frozenset(known)


def _folders() -> Iterator[tuple[str, Path]]:
    for config in apps.get_app_configs():
        module, _ = MigrationLoader.migrations_module(config.label)
        try:
            spec = importlib.util.find_spec(module) if module else None
        except ModuleNotFoundError:
            continue
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            if Path(folder).is_dir():
                yield config.label, Path(folder)


def _names_at(revision: str, folder: Path) -> set[str] | None:
    """Names of migrations in the folder at the revision; None where the folder is in no repository, or ignored."""
    inside = _git(folder, "rev-parse", "--is-inside-work-tree")
    if inside is None:
        return None
    if revision.startswith("-") or _git(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") is None:
        raise Unreadable(f"git knows no revision {revision!r} in {folder}.")
    listed = _git(folder, "ls-tree", "-z", "--name-only", revision, "./")
    tracked = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
    if listed is None or tracked is None:
        raise Unreadable(f"git could not list {folder} at {revision}.")
    if not listed and not tracked:
        return None
    return {Path(name).stem for name in listed.split("\0") if name.endswith(".py")}


def _git(folder: Path, *args: str) -> str | None:
    """What git prints; None where it fails. Raises Unreadable where there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *args], capture_output=True, timeout=60, check=False)
    except FileNotFoundError as error:
        raise Unreadable("--since needs git, and there is none on the PATH.") from error
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
