"""Processes with several aliases: what each alias's ledger hears of them."""

from __future__ import annotations

import json

from guard.attribution.watchlist import Access
from guard.ledger.rows import InstanceState
from tests.integration.runtime.harness import Site, eventually


def test_two_aliases_of_one_ledger_that_settings_tell_apart_do_not_share_a_row(postgres_site: Site) -> None:
    """Else one would overwrite the other's watch list, and the number of its last flush."""
    site = postgres_site
    other = site.settings | {"HOST": "localhost" if site.settings["HOST"] == "127.0.0.1" else "127.0.0.1"}
    site.variables["DATABASES"] = json.dumps({"default": site.settings, "other": other})

    running = site.start("manage.py", "tally", "--forever")
    first, second = eventually("both are registered", lambda: site.live() if len(site.live()) == 2 else ())
    assert first.id != second.id
    assert first.pid == second.pid
    running.stop()
    assert {i.state for i in site.instances()} == {InstanceState.GONE}


def test_what_is_read_at_a_replica_is_seen_in_the_ledger_of_what_is_written(postgres_site: Site) -> None:
    """A replica that allows migrations, as in Django's documentation: guard must not want to register there."""
    site = postgres_site
    replica = site.settings | {"HOST": "localhost" if site.settings["HOST"] == "127.0.0.1" else "127.0.0.1"}
    site.variables |= {
        "DATABASES": json.dumps({"default": site.settings, "replica": replica}),
        "ROUTERS": "routing.Replica",
    }
    site.slate()
    server = site.gunicorn()
    assert server.get("/reads/1/")[0] == 200
    assert server.ready()
    assert len(site.instances()) == 1
    server.running.stop()

    (read,) = [s for s in site.sightings() if s.access is Access.READ]
    assert (read.count, read.route) == (1, "reads/<int:number>/")
