"""Keeps declared phases where Django writes operations anew: `squashmigrations`, `optimizemigration`."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import wrapt

from guard.phases.words import Phase

_installed = False


def install() -> None:
    """Hook into the modules that write migrations, when they are imported."""
    global _installed
    if not _installed:
        _installed = True
        wrapt.register_post_import_hook(_hook_writer, "django.db.migrations.writer")
        for command in ("squashmigrations", "optimizemigration"):
            wrapt.register_post_import_hook(_hook_command, f"django.core.management.commands.{command}")


def _hook_writer(module: ModuleType) -> None:
    wrapt.wrap_function_wrapper(module, "OperationWriter.serialize", _serialize)


def _hook_command(module: Any) -> None:
    class Loader(module.MigrationLoader):  # type: ignore[misc]
        """What a migration declares for all its operations, each of them says itself: they are about to leave it."""

        def load_disk(self) -> None:
            super().load_disk()
            for migration in self.disk_migrations.values():
                phase = getattr(migration, "guard_phase", None)
                for operation in migration.operations if phase is not None else ():
                    if not hasattr(operation, "guard_phase"):
                        operation.guard_phase = phase

    module.MigrationLoader = Loader


def _serialize(wrapped: Any, writer: Any, args: Any, kwargs: Any) -> Any:
    """The operation as it is written, within `mark()` where it is marked."""
    text, imports = wrapped(*args, **kwargs)
    try:
        phase = Phase(vars(writer.operation)["guard_phase"])
    except (KeyError, TypeError, ValueError):
        # It is not marked; or its class says its phase, and goes on doing so.
        return text, imports
    pad = "    " * writer.indentation
    inner = "\n".join(f"    {line}" for line in text.split("\n"))
    marked = f"{pad}guard.phases.mark(\n{inner}\n{pad}    guard.phases.Phase.{phase.name},\n{pad}),"
    return marked, {*imports, "import guard.phases"}
