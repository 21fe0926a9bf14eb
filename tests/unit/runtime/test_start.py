"""What a process loads when it starts with guard and nothing is slated."""

from __future__ import annotations

import subprocess
import sys

START = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
import guard.middleware, guard.urls, guard.management.commands.guard
late = ("sqlglot", "rich", "guard.attribution.lexer", "guard.attribution.attributor", "sentry_sdk.integrations.django")
print(*(name for name in late if name in sys.modules))
"""


def test_nothing_that_reads_sql_or_draws_tables_is_loaded_before_it_is_needed() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
