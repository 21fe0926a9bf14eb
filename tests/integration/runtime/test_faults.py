"""One fault after another against a server of old code, while the gate tries to take its column.

Each time: no request fails because of guard or waits until it is over, nothing is taken while the server lives, what
was counted is in the ledger once, and the step is taken in the end. GUARD_TEST_SEED decides in which order.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import DatabaseError

from tests.acceptance.proxy import Proxy
from tests.integration.runtime import private
from tests.integration.runtime.harness import Site, eventually
from tests.integration.runtime.ordeal import Ordeal


def test_a_server_outlives_every_fault(each_site: Site) -> None:
    seed = int(os.environ.get("GUARD_TEST_SEED", "1"))
    server = each_site.database.vendor != "sqlite"
    with Proxy(each_site.database.host or "127.0.0.1", int(each_site.database.port or 0)) as proxy:
        if server:
            each_site.changes = {"PORT": str(proxy.port)}
        ordeal = Ordeal(each_site, proxy if server else None)
        faults = ordeal.faults()
        random.Random(seed).shuffle(faults)
        told = []
        for fault in faults:
            told.append(fault.__name__)
            try:
                fault()
                ordeal.whole()
            except (AssertionError, DatabaseError) as error:
                log = ordeal.server.running.text[-3000:]
                raise AssertionError(f"seed {seed}: {', '.join(told)}: {error}\n{log}") from error
        assert ordeal.failures == told.count("cut")
        ordeal.end()
    _tell(ordeal, f"{each_site.database.vendor}, seed {seed}: {len(told)} faults")


# Not skipped where its programs are missing, as `make test` says: what is not installed cannot be restarted.
@pytest.mark.parametrize("vendor", [vendor for vendor in private.PROGRAMS if private.installed(vendor)])
def test_a_server_outlives_its_databases_restarts_full_disks_and_read_only_times(vendor: str, tmp_path: Path) -> None:
    with private.server(vendor) as database:
        site = Site(database.database, tmp_path)
        site.migrate()
        if vendor == "mariadb":
            # Root may always write.
            site.execute("CREATE USER app")
            site.execute("GRANT ALL ON guard.* TO app")
            site.changes = {"USER": "app"}
        try:
            ordeal = Ordeal(site)
            disk = database.disk
            if disk.own:

                def fill() -> None:
                    disk.fill()
                    private.use_up(site)

                _full(ordeal, fill, disk.clear)

            database.crash()
            ordeal.without_database()
            assert not ordeal.read()
            database.start()
            ordeal.whole()
            assert ordeal.failures == 1

            database.writable(False)
            for _ in range(3):
                assert ordeal.read()
            eventually("it lapses, because it cannot renew", lambda: ordeal.read() and not ordeal.server.ready())
            database.writable(True)
            ordeal.whole()

            ordeal.end()
        finally:
            site.end()
    _tell(ordeal, f"{vendor}, its own server")


def test_a_server_outlives_a_full_file_and_a_read_only_one(site: Site) -> None:
    pragma = site.directory / "pragma"
    site.variables["PRAGMA"] = str(pragma)
    ordeal = Ordeal(site)

    def say(what: str) -> None:
        # Whole, or not at all: the server reads it with each connection.
        draft = pragma.with_suffix(".draft")
        draft.write_text(what)
        draft.replace(pragma)

    def fill() -> None:
        # No page of it is free, and no further one to be had.
        site.execute("VACUUM")
        say("max_page_count = 1")

    _full(ordeal, fill, pragma.unlink)

    say("query_only = ON")
    eventually("it lapses, because it cannot renew", lambda: ordeal.read() and not ordeal.server.ready())
    pragma.unlink()
    ordeal.whole()

    ordeal.end()
    _tell(ordeal, "sqlite, its own file")


def _full(ordeal: Ordeal, fill: Callable[[], None], clear: Callable[[], None]) -> None:
    """The disk is full, and the ledger has no room for what is seen."""
    private.weigh_down(ordeal.site)
    eventually("all is flushed", lambda: ordeal.counted() == ordeal.requests)
    fill()
    assert ordeal.read("waits")
    said = "the ledger of 'default' cannot be used"
    eventually("it says that it cannot flush", lambda: ordeal.read() and said in ordeal.server.running.text)
    eventually("it lapses", lambda: ordeal.read() and not ordeal.server.ready())
    assert not [row for row in ordeal.site.sightings() if row.route.startswith("waits/")]
    clear()
    ordeal.whole()
    assert not ordeal.failures


def _tell(ordeal: Ordeal, what: str) -> None:
    print(
        f"\n{what}, {ordeal.requests} requests, {ordeal.failures} failures, all of them while there was no database; "
        f"the slowest request that succeeded took {ordeal.slowest:.2f} s"
    )
