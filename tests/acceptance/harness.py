"""One shop on one database: its releases, its processes, and what the ledger says of them."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sampleapp.stage.databases import Database
from sampleapp.stage.load import Balancer, Load
from sampleapp.stage.processes import SAMPLEAPP, Process, Release, Server, stopping
from tests import patience

#: Every window is short enough to wait for; the lease outlives any pause of a busy machine. All in seconds.
WINDOWS: dict[str, object] = {
    "MODE": "enforce",
    "LEASE": 60,
    "LOST_GRACE": 600,
    "QUIET_PERIOD": 1,
    "ROLLBACK_WINDOW": 1,
    "ADOPTION_PERIOD": 1,
    "WORKLOAD_WINDOW": 600,
    "KEEP_FOR": 600,
}

COLUMNS = {"is_enabled", "sku", "supplier_id"}
TARGETS = tuple(f"shop_product.{column}" for column in sorted(COLUMNS))


class Patient(Release):
    """A release whose processes beat every second, and take the time that they need to leave."""

    __slots__ = ()

    @property
    def environ(self) -> dict[str, str]:
        usual = super().environ
        path = os.pathsep.join([str(patience.DIRECTORY), usual["PYTHONPATH"]])
        lease = (self.guard or {}).get("LEASE", WINDOWS["LEASE"])
        assert isinstance(lease, int | float)
        return usual | patience.environ(beats=lease) | {"PYTHONPATH": path}


class Ledger:
    """The ledger as its tables have it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def instances(self, release: str = "") -> list[dict[str, Any]]:
        """Instances of a release (or of all), in the order in which they registered."""
        columns = (
            "id",
            "release_label",
            "kind",
            "workload",
            "state",
            "pid",
            "registered_at",
            "renewed_at",
            "expires_at",
        )
        rows = self._read("guard_instance", columns, "registered_at, id")
        return [row for row in rows if release in ("", row["release_label"])]

    def live(self, release: str = "") -> list[dict[str, Any]]:
        """Those that have not said that they are gone."""
        return [row for row in self.instances(release) if row["state"] != "gone"]

    def states(self) -> dict[str, str]:
        """Contract steps of columns: TABLE.COLUMN → state."""
        rows = self._read("guard_step", ("kind", "table_name", "column_name", "state"), "id")
        return {f"{row['table_name']}.{row['column_name']}": row["state"] for row in rows if row["kind"] == "column"}

    def sightings(self, column: str) -> list[dict[str, Any]]:
        """What touched a column."""
        columns = ("column_name", "access", "release_label", "workload", "call_site", "route", "shape", "count")
        return [row for row in self._read("guard_sighting", columns, "identity") if row["column_name"] == column]

    def _read(self, table: str, columns: tuple[str, ...], order: str) -> list[dict[str, Any]]:
        quote = "`" if self._database.vendor == "mariadb" else '"'
        names = ", ".join(f"{quote}{column}{quote}" for column in columns)
        rows = self._database.query(f"SELECT {names} FROM {table} ORDER BY {order}")
        return [dict(zip(columns, row, strict=True)) for row in rows]


class Shop:
    """The sample shop on a database of its own. What it started is killed at the end."""

    def __init__(self, database: Database, directory: Path, stack: ExitStack) -> None:
        self.database = database
        self.ledger = Ledger(database)
        self._directory = directory
        self._stack = stack
        self._count = itertools.count(1)
        self._processes: list[Process] = stack.enter_context(stopping([]))

    def release(self, name: str, *, reach: Mapping[str, str] | None = None, **guard: object) -> Release:
        """A release with guard; keys of the GUARD setting may differ from the usual ones of the tests."""
        return Patient(name, self.database, WINDOWS | guard, reach=reach or {})

    def plain(self, name: str) -> Release:
        """A release without guard."""
        return Release(name, self.database, None)

    def reverted(self, **guard: object) -> Release:
        """r4: r3 and a migration that adds `is_enabled` again, as makemigrations writes it after a revert."""
        trees = self._directory.parent / "trees"
        for name, copy in (("common", "common"), ("r3", "r4")):
            shutil.copytree(SAMPLEAPP / name, trees / copy, ignore=shutil.ignore_patterns("__pycache__"))
        models = trees / "r4" / "shop" / "models.py"
        kept = "    is_active = models.BooleanField(default=True)\n"
        models.write_text(models.read_text().replace(kept, kept + kept.replace("is_active", "is_enabled")))
        Release("r4", self.database, None, trees=trees).manage("makemigrations", "shop").ok()
        return Patient("r4", self.database, WINDOWS | guard, trees=trees)

    def serve(self, release: Release, *, workers: int = 1, options: tuple[str, ...] = ()) -> Server:
        """gunicorn, answering."""
        return self._known(release.serve(self._log(release), workers=workers, options=options)).until_up()

    def runserver(self, release: Release, *options: str) -> Server:
        """Django's development server, answering."""
        return self._known(release.runserver(self._log(release), options=options)).until_up()

    def start(self, release: Release, *args: str) -> Process:
        """A management command that goes on."""
        process = release.start(self._log(release), *args)
        self._processes.append(process)
        return process

    def load(self, *servers: Server) -> tuple[Balancer, Load]:
        """Shoppers on these servers, until the end of the test."""
        balancer = self._stack.enter_context(Balancer())
        for server in servers:
            balancer.take(server)
        return balancer, self._stack.enter_context(Load(balancer, shoppers=2, think=0.03))

    def rows(self, where: str) -> int:
        """How many products there are of which this is true."""
        return int(self.database.query(f"SELECT count(*) FROM shop_product WHERE {where}")[0][0])

    def recorded(self) -> set[str]:
        """The shop's migrations that are recorded as applied."""
        return {row[0] for row in self.database.query("SELECT name FROM django_migrations WHERE app = 'shop'")}

    def _known(self, server: Server) -> Server:
        self._processes.append(server)
        return server

    def _log(self, release: Release) -> Path:
        return self._directory / f"{next(self._count)}-{release.name}.log"
