"""Leases, watch lists and sightings, in processes that serve or loop while the ledger changes."""

from __future__ import annotations

import os
import signal

from guard.attribution.watchlist import Access
from guard.ledger.rows import InstanceState, StepState
from tests.integration.runtime.harness import Running, Server, Site, eventually


def _looping(site: Site) -> Running:
    running = site.start("manage.py", "tally", "--forever")
    eventually("it is registered", site.live)
    return running


def _reads(site: Site) -> int:
    return sum(sighting.count for sighting in site.sightings() if sighting.access is Access.READ)


def test_a_beat_renews_the_lease_and_takes_up_a_new_watch_list(each_site: Site) -> None:
    _looping(each_site)
    before = each_site.instance()
    each_site.slate()
    eventually("its touches are in the ledger", lambda: _reads(each_site) > 0)
    with each_site.ledger() as ledger:
        epoch = ledger.watch_list().epoch
    after = eventually(
        "the epoch is flushed for", lambda: [i for i in each_site.instances() if i.flushed_epoch == epoch]
    )
    assert after[0].id == before.id
    assert after[0].expires_at > before.expires_at


def test_a_sighting_says_what_where_and_through_which_route(each_site: Site) -> None:
    each_site.slate()
    server = each_site.gunicorn()
    for number in (1, 2, 3):
        assert server.get(f"/reads/{number}/")[0] == 200
    assert server.get("/fails/")[0] == 500
    server.running.stop()

    reads = [s for s in each_site.sightings() if s.route == "reads/<int:number>/" and s.access is Access.READ]
    assert [(s.count, s.release, s.workload) for s in reads] == [(3, "r1", "web")]
    assert reads[0].call_site.startswith("stock/urls.py:")
    assert reads[0].call_site.endswith(" in reads")
    writes = [s for s in each_site.sightings() if s.route == "fails/" and s.access is Access.WRITE]
    # Its transaction was rolled back; that it wrote is known all the same.
    assert [s.count for s in writes] == [1]
    assert writes[0].call_site.endswith(" in fails")
    assert "lost" not in writes[0].shape


def test_statements_that_do_not_touch_are_not_counted(site: Site) -> None:
    site.slate()
    server = site.gunicorn()
    assert server.get("/names/")[0] == 200
    server.running.stop()
    assert site.sightings() == ()


def test_a_command_is_the_route_of_its_statements(site: Site) -> None:
    site.slate()
    site.run("manage.py", "tally")
    assert {sighting.route for sighting in site.sightings()} == {"command:tally"}


def test_a_stale_touch_is_alerted_once_in_the_fleet_and_promptly(site: Site) -> None:
    site.slate(stale=True)
    # Promptly: not at the next beat, which is an hour away.
    site.guard["LEASE"], site.beat = 3 * 3_600, None
    servers = [site.gunicorn(), site.gunicorn()]
    for server in servers:
        server.get("/reads/1/")
        eventually("it is flushed", lambda: _reads(site) > 0)
    for server in servers:
        server.running.stop()
    logged = "".join(server.running.text for server in servers)
    assert logged.count("but it has migration stock.0001_initial") == 1
    assert "stock/urls.py" in logged


def test_an_expected_touch_by_old_code_alarms_nobody(site: Site) -> None:
    site.slate()
    server = site.gunicorn()
    server.get("/reads/1/")
    server.running.stop()
    assert _reads(site) == 1
    assert "but it has migration" not in server.running.text


def test_a_process_that_slept_past_its_lease_registers_again(site: Site) -> None:
    site.guard["LEASE"], site.beat = 3, None
    site.slate()
    running = _looping(site)
    born = site.instance()
    site.freeze(running.popen.pid)
    with site.ledger() as ledger:
        eventually("it is lost", lambda: site.instance().lost(ledger.now()))
        os.kill(running.popen.pid, signal.SIGCONT)
        eventually("it is live again", lambda: site.instance().live(ledger.now()))
    again = site.instance()
    assert again.id == born.id
    assert running.popen.poll() is None


def test_a_row_that_was_lost_is_registered_again(site: Site) -> None:
    _looping(site)
    site.execute("DELETE FROM guard_instance")
    eventually("it has registered again", site.live)


def test_a_ledger_that_comes_late_is_found(site: Site) -> None:
    site.execute("DELETE FROM guard_gate")
    server = site.gunicorn()
    assert server.get("/guard/ready/") == (503, '{"status": "not ready"}')
    assert server.get("/names/")[0] == 200
    with site.ledger() as ledger:
        ledger.make_gate(fresh=False)
    eventually("it is ready", server.ready)
    assert site.instance().state is InstanceState.LIVE
    assert server.running.text.count("the ledger of 'default' cannot be used") == 1


def test_what_was_seen_while_the_ledger_was_away_is_kept_and_counted_once(site: Site) -> None:
    site.slate()
    server = site.gunicorn()
    site.execute("ALTER TABLE guard_sighting RENAME TO elsewhere")
    server.get("/reads/0/")
    eventually("a beat could not flush it", lambda: "the ledger of 'default' cannot be used" in server.running.text)
    for number in (1, 2):
        server.get(f"/reads/{number}/")
    site.execute("ALTER TABLE elsewhere RENAME TO guard_sighting")
    eventually("it is flushed", lambda: _reads(site) == 3)
    server.running.stop()
    assert _reads(site) == 3


def _watching(site: Site) -> Server:
    server = site.gunicorn()
    assert server.ready()
    return server


def test_readiness_follows_what_was_taken_and_given_back(each_site: Site) -> None:
    step = each_site.slate()
    server = _watching(each_site)
    aside = each_site.turn(step, StepState.ASIDE)
    eventually("it is not ready", lambda: not server.ready())
    # Not ready is not dead: it goes on serving.
    assert server.get("/names/")[0] == 200
    assert each_site.instance().state is InstanceState.REFUSED
    assert server.running.text.count("stock_item.old was set aside") == 1

    each_site.turn(aside, StepState.WAITING)
    eventually("it is ready again", server.ready)
    assert each_site.instance().state is InstanceState.LIVE
    assert "is mended" in server.running.text


def test_a_column_that_the_database_has_not_makes_a_server_not_ready(each_site: Site) -> None:
    each_site.execute("ALTER TABLE stock_item RENAME COLUMN old TO gone")
    server = each_site.gunicorn()
    status, body = server.get("/guard/ready/")
    assert (status, body) == (503, '{"status": "not ready"}')
    assert "stock_item.old" in server.running.text

    each_site.execute("ALTER TABLE stock_item RENAME COLUMN gone TO old")
    eventually("it is ready", server.ready)


def test_on_mismatch_warn_logs_and_stays_ready(site: Site) -> None:
    site.guard["ON_MISMATCH"] = "warn"
    site.execute("ALTER TABLE stock_item RENAME COLUMN old TO gone")
    server = site.gunicorn()
    assert server.ready()
    assert server.running.text.count("stock_item.old") == 1


def test_what_makes_statements_fail_and_is_not_missing_is_logged_once_and_stays_ready(postgres_site: Site) -> None:
    site = postgres_site
    site.execute("ALTER TABLE stock_item ADD COLUMN needed integer NOT NULL")
    site.execute("ALTER TABLE stock_item ALTER COLUMN old TYPE bigint")
    server = site.gunicorn()
    assert server.ready()
    assert server.running.text.count("stock_item.old is bigint in the database, and integer in the models") == 1
    assert server.running.text.count("stock_item.needed is NOT NULL, and this release neither knows nor fills it") == 1


def test_readiness_is_never_cached(site: Site) -> None:
    import http.client

    server = site.gunicorn()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/guard/ready/")
    assert "no-store" in (connection.getresponse().getheader("Cache-Control") or "")
    connection.close()
