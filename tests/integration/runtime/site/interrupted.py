"""A script that gets a signal while it registers: interrupted.py before|after SIGNAL."""

import os
import signal
import sys
import time

import django
import wrapt

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from stock.models import Item  # noqa: E402

when, number = sys.argv[1], signal.Signals[sys.argv[2]]


def register(wrapped, instance, args, kwargs):
    if when == "before":
        os.kill(os.getpid(), number)
    admission = wrapped(*args, **kwargs)
    # The ledger has it; this process does not know yet.
    os.kill(os.getpid(), number)
    return admission


wrapt.wrap_function_wrapper("guard.ledger.store", "Ledger.register", register)
print(Item.objects.count(), flush=True)
time.sleep(3_600)
