"""`manage.py guard`: look at contract steps, take them, bring back what was set aside."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from guard.commands import running, verbs
from guard.lint import finding


class Command(BaseCommand):
    help = "Look at contract steps, take them, and bring back what was set aside."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.epilog = f"The documentation: {finding.page('index.md')}"
        verbs.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        running.run(self.stdout, options)
