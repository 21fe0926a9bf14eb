"""The ledger's tables.

They are made without entering the project's state: no model, no content type and no permission belongs to them, `flush`
and `dumpdata` do not see them, and no cascade reaches them. Only `guard.ledger` reads and writes them.

Later changes only ever add: an older guard in an old release works with a newer ledger.
"""

from typing import Any

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

LABEL = 200
NAME = 255


def leave_room(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let renewals find room beside the row's last version, so that on PostgreSQL they stay HOT.

    Room for three versions of each row, because what a long transaction may still see cannot be reused yet.
    """
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE guard_instance SET (fillfactor = 25)")


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.CreateModel(
                    "Gate",
                    [
                        ("id", models.SmallIntegerField(primary_key=True)),
                        ("environment", models.CharField(max_length=LABEL, default="", db_default="")),
                        # No other migration had been applied when the ledger was made.
                        ("fresh", models.BooleanField(default=False, db_default=False)),
                        ("made_at", models.FloatField()),
                        ("format", models.SmallIntegerField(default=1, db_default=1)),
                    ],
                ),
                migrations.CreateModel(
                    "Footprint",
                    [
                        ("digest", models.CharField(max_length=64, primary_key=True)),
                        ("content", models.TextField()),
                        ("made_at", models.FloatField()),
                    ],
                ),
                migrations.CreateModel(
                    "Instance",
                    [
                        ("id", models.CharField(max_length=32, primary_key=True)),
                        ("release_label", models.CharField(max_length=LABEL)),
                        ("digest", models.CharField(max_length=64)),
                        ("kind", models.CharField(max_length=20)),
                        ("workload", models.CharField(max_length=LABEL)),
                        ("recurring", models.BooleanField(default=False, db_default=False)),
                        ("host", models.CharField(max_length=LABEL)),
                        ("pid", models.BigIntegerField()),
                        # By what the process, and its sessions, are told from others.
                        ("process", models.CharField(max_length=LABEL, default="", db_default="")),
                        ("session", models.CharField(max_length=NAME, default="", db_default="")),
                        ("state", models.CharField(max_length=20)),
                        ("registered_at", models.FloatField()),
                        # No index on what a heartbeat changes: on PostgreSQL every renewal stays HOT.
                        ("renewed_at", models.FloatField()),
                        ("expires_at", models.FloatField()),
                        ("ended_at", models.FloatField(null=True)),
                        ("watched_epoch", models.BigIntegerField(default=0, db_default=0)),
                        ("flushed_epoch", models.BigIntegerField(default=0, db_default=0)),
                        ("flush_no", models.BigIntegerField(default=0, db_default=0)),
                        # It was REFUSED when it ended.
                        ("refused", models.BooleanField(default=False, db_default=False)),
                        # How many that ended long ago it is the total of, and when the first of them registered.
                        ("folded", models.BigIntegerField(default=0, db_default=0)),
                        ("first_at", models.FloatField(null=True)),
                        # Of its last renewal: two processes that take themselves for one (a cloned machine) part here.
                        ("mark", models.BigIntegerField(default=0, db_default=0)),
                        # Labels, where one database has several projects.
                        ("project", models.CharField(max_length=LABEL, default="", db_default="")),
                        ("format", models.SmallIntegerField(default=1, db_default=1)),
                    ],
                ),
                # How many instances beat, counted now and then: their leases grow with it.
                migrations.CreateModel(
                    "Pulse",
                    [
                        ("id", models.SmallIntegerField(primary_key=True)),
                        ("instances", models.BigIntegerField(default=0, db_default=0)),
                        ("counted_at", models.FloatField(default=0, db_default=0)),
                    ],
                ),
                migrations.RunPython(leave_room, migrations.RunPython.noop),
                migrations.CreateModel(
                    "Step",
                    [
                        ("id", models.BigAutoField(primary_key=True)),
                        # SHA-256 of kind, target and migration: one row for one piece of contract work.
                        ("identity", models.CharField(max_length=64, unique=True)),
                        ("kind", models.CharField(max_length=20)),
                        ("state", models.CharField(max_length=20)),
                        ("app", models.CharField(max_length=NAME)),
                        ("migration", models.CharField(max_length=NAME)),
                        ("replaced_by", models.TextField()),
                        ("table_name", models.CharField(max_length=NAME)),
                        ("column_name", models.CharField(max_length=NAME)),
                        ("model", models.CharField(max_length=NAME)),
                        ("field", models.CharField(max_length=NAME)),
                        ("version", models.BigIntegerField()),
                        ("slatings", models.BigIntegerField(default=0, db_default=0)),
                        ("slated_at", models.FloatField()),
                        ("changed_at", models.FloatField()),
                        ("reopened_at", models.FloatField(null=True)),
                        ("token", models.CharField(max_length=64)),
                        ("sealed_at", models.FloatField(null=True)),
                        ("sealer", models.CharField(max_length=NAME)),
                        ("aside_name", models.CharField(max_length=NAME)),
                        ("aside_at", models.FloatField(null=True)),
                        ("done_at", models.FloatField(null=True)),
                        ("payload", models.TextField()),
                        ("project", models.CharField(max_length=LABEL, default="", db_default="")),
                        # Where its table is in another one than the ledger (PostgreSQL).
                        ("schema_name", models.CharField(max_length=NAME, default="", db_default="")),
                        ("format", models.SmallIntegerField(default=1, db_default=1)),
                    ],
                ),
                migrations.CreateModel(
                    "Sighting",
                    [
                        # SHA-256 of all that tells two sightings apart.
                        ("identity", models.CharField(max_length=64, primary_key=True)),
                        ("table_name", models.CharField(max_length=NAME)),
                        ("column_name", models.CharField(max_length=NAME)),
                        ("access", models.CharField(max_length=10)),
                        ("release_label", models.CharField(max_length=LABEL)),
                        ("digest", models.CharField(max_length=64)),
                        ("workload", models.CharField(max_length=LABEL)),
                        ("call_site", models.CharField(max_length=500)),
                        ("route", models.CharField(max_length=500)),
                        ("shape", models.TextField()),
                        ("reason", models.CharField(max_length=LABEL)),
                        ("star", models.BooleanField(default=False, db_default=False)),
                        ("count", models.BigIntegerField()),
                        ("first_at", models.FloatField()),
                        ("last_at", models.FloatField()),
                        # Of how many of one day it is the sum.
                        ("folded", models.BigIntegerField(default=0, db_default=0)),
                        ("format", models.SmallIntegerField(default=1, db_default=1)),
                    ],
                    options={
                        "indexes": [models.Index(fields=["table_name", "column_name"], name="guard_sighting_target")]
                    },
                ),
                migrations.CreateModel(
                    "Alert",
                    [
                        # SHA-256 of table, column and call site: the fleet hears of each once.
                        ("identity", models.CharField(max_length=64, primary_key=True)),
                        ("instance", models.CharField(max_length=32)),
                        ("flush_no", models.BigIntegerField()),
                        ("at", models.FloatField()),
                    ],
                ),
                # What operators have said: blockers waived, everything frozen until a moment.
                migrations.CreateModel(
                    "Order",
                    [
                        ("id", models.BigAutoField(primary_key=True)),
                        ("kind", models.CharField(max_length=20)),
                        # TABLE.COLUMN or APP.MIGRATION; empty: everything.
                        ("target", models.CharField(max_length=2 * NAME + 1)),
                        ("codes", models.TextField()),
                        ("reason", models.TextField()),
                        ("actor", models.CharField(max_length=LABEL)),
                        ("made_at", models.FloatField()),
                        ("expires_at", models.FloatField()),
                        ("project", models.CharField(max_length=LABEL, default="", db_default="")),
                        ("format", models.SmallIntegerField(default=1, db_default=1)),
                    ],
                ),
                migrations.CreateModel(
                    "Event",
                    [
                        ("id", models.BigAutoField(primary_key=True)),
                        ("at", models.FloatField()),
                        ("action", models.CharField(max_length=40)),
                        ("target", models.CharField(max_length=2 * NAME + 1)),
                        ("actor", models.CharField(max_length=LABEL)),
                        ("release_label", models.CharField(max_length=LABEL)),
                        ("details", models.TextField()),
                        ("project", models.CharField(max_length=LABEL, default="", db_default="")),
                        ("format", models.SmallIntegerField(default=1, db_default=1)),
                    ],
                ),
            ],
        ),
    ]
