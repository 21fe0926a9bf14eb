"""A script that uses Django without a management command."""

import os
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from stock.models import Item  # noqa: E402

print(Item.objects.count(), flush=True)
if "--wait" in sys.argv:
    time.sleep(3_600)
