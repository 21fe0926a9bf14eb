"""A test runner of the project's own, which has used the real database before it makes a test database."""

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.test.utils import get_runner  # noqa: E402
from stock.models import Item  # noqa: E402

print(Item.objects.count())
sys.exit(get_runner(settings)(verbosity=0).run_tests(["stock"]))
