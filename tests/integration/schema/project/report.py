"""Prints what guard makes of this project, as JSON; with arguments, what its database misses before and after them."""

import json
import os
import sys
import time

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from guard.ledger import connecting  # noqa: E402
from guard.schema import catalog, declared  # noqa: E402

before = set(sys.modules)
began = time.perf_counter()
migrations = declared.migrations_on_disk()
milliseconds = (time.perf_counter() - began) * 1000
imported = sorted(name for name in set(sys.modules) - before if ".migrations." in name)
footprint = declared.footprint("default")
found = {
    "digest": footprint.digest,
    "tables": {table: sorted(columns) for table, columns in footprint.tables.items()},
    "columns": json.loads(footprint.to_json())["tables"],
    "migrations": sorted(map(list, migrations)),
    "imported": imported,
    "milliseconds": milliseconds,
    "unmanaged": sorted(map(list, declared.unmanaged_columns("default"))),
}


def compared(when: str) -> None:
    with connecting.private("default") as own:
        result = catalog.compare(own, footprint)
    found[f"missing{when}"] = result.missing
    found[f"unlike{when}"] = [[each.table, each.column, each.how, each.harmful] for each in result.unlike]
    found[f"unknown{when}"] = [[each.table, each.column, each.required] for each in result.unknown]


if sys.argv[1:]:
    # Content types first: the apps without migrations refer to them, and are made before any migration runs.
    call_command("migrate", "contenttypes", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    compared("")
    with connection.cursor() as cursor:
        for statement in sys.argv[1:]:
            cursor.execute(statement)
    compared("_after")
print(json.dumps(found))
