"""A router for tables in a shared database that another project migrates."""

from typing import Any


class Router:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if app_label == "kinds" else None


class Puzzled(Router):
    """One that answers only within a request."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        raise RuntimeError("no request")


class Elsewhere(Router):
    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "other" if model._meta.app_label == "kinds" else None

    db_for_write = db_for_read
