"""guard's app: hooks into Django when it is ready. Nothing at import; no thread and no query here."""

from __future__ import annotations

import importlib.util

from django.apps import AppConfig


class GuardConfig(AppConfig):
    name = "guard"
    label = "guard"
    verbose_name = "guard"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from guard import alerts
        from guard.phases import marks
        from guard.runtime import process

        alerts.subscribe()
        marks.install()
        process.install()
        for module in ("guard.checks",):
            if importlib.util.find_spec(module) is not None:
                importlib.import_module(module)
        if importlib.util.find_spec("guard.gate.executor") is not None:
            importlib.import_module("guard.gate.executor").install()
