"""Which processes register, as whom, and how they leave."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guard.attribution.watchlist import Access
from guard.ledger.rows import InstanceKind, InstanceState, StepState
from sampleapp.stage.processes import PATIENCE, free_port
from tests.integration.runtime.harness import Server, Site, eventually


@pytest.mark.parametrize("options", [(), ("--threads", "2"), ("--preload",)], ids=["sync", "gthread", "preload"])
def test_gunicorn_workers_register_apart_and_leave(site: Site, options: tuple[str, ...]) -> None:
    server = site.gunicorn(*options, workers=2)

    def pids() -> set[int]:
        # With --preload each worker registers at its first request: several at once, so that none gets them all.
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(server.get, ["/pid/"] * 4))
        return {row.pid for row in site.live()}

    eventually("both workers are registered", lambda: len(pids()) == 2)
    live = site.live()
    assert server.running.popen.pid not in pids()
    assert len({row.id for row in live}) == 2
    assert {(row.kind, row.workload, row.release, row.recurring) for row in live} == {
        (InstanceKind.SERVER, "web", "r1", False)
    }

    assert server.running.stop() == 0
    assert {row.state for row in site.instances()} == {InstanceState.GONE}


def test_a_preloading_master_that_queries_is_no_instance(site: Site) -> None:
    site.variables = {"QUERY_AT_LOAD": "1"}
    server = site.gunicorn("--preload")
    server.get("/pid/")
    assert site.instance().pid == int(server.get("/pid/")[1])
    assert server.running.stop() == 0
    assert site.instance().state is InstanceState.GONE


def test_a_server_registers_before_its_first_request(each_site: Site) -> None:
    server = each_site.gunicorn()
    assert server.get("/guard/ready/") == (200, '{"status": "ready"}')
    assert each_site.instance().workload == "web"
    assert server.running.stop() == 0
    assert each_site.instance().state is InstanceState.GONE


# Under SIGTERM, Django's reloader kills the server that it started before that can say anything.
@pytest.mark.parametrize(
    ("options", "number"),
    [(("--noreload",), signal.SIGINT), (("--noreload",), signal.SIGTERM), ((), signal.SIGINT)],
    ids=["noreload-INT", "noreload-TERM", "reload-INT"],
)
def test_runserver_is_one_server_and_leaves(site: Site, options: tuple[str, ...], number: int) -> None:
    server = site.runserver(*options)
    assert site.instance().kind is InstanceKind.SERVER
    if options:
        server.running.stop(number)
    else:
        # As a terminal does: to the reloader and to the server that it started.
        os.killpg(server.running.popen.pid, number)
        server.running.popen.wait(PATIENCE)
    eventually("it has left", lambda: site.instance().state is InstanceState.GONE)


def test_a_server_that_leaves_signals_to_the_system_leaves_and_ends_as_it_would_without_guard(site: Site) -> None:
    port = free_port()
    server = Server(site.start("plain.py", str(port)), port).until_up()
    row = site.instance()
    assert (row.kind, row.workload, row.state) == (InstanceKind.SERVER, "web", InstanceState.LIVE)
    assert server.running.stop() == -signal.SIGTERM
    assert site.instance().state is InstanceState.GONE


def test_a_command_comes_and_goes(each_site: Site) -> None:
    each_site.run("manage.py", "tally")
    row = each_site.instance()
    assert (row.kind, row.workload, row.state) == (InstanceKind.COMMAND, "command:tally", InstanceState.GONE)
    assert row.recurring


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_a_command_that_is_stopped_leaves_and_ends_as_it_would_without_guard(site: Site, number: int) -> None:
    running = site.start("manage.py", "tally", "--forever")
    eventually("it is registered", site.live)
    code = running.stop(number)
    assert code == -number, running.text
    assert site.instance().state is InstanceState.GONE


def test_djangos_own_command_is_no_recurring_workload(site: Site) -> None:
    site.run("manage.py", "dumpdata", "stock")
    row = site.instance()
    assert (row.workload, row.recurring) == ("command:dumpdata", False)


@pytest.mark.parametrize(
    "args",
    [
        ("migrate",),
        ("migrate", "--check"),
        ("showmigrations",),
        ("makemigrations", "--check"),
        ("sqlmigrate", "stock", "0001"),
        ("check", "--database", "default"),
        ("flush", "--noinput"),
        ("inspectdb",),
        ("collectstatic", "--noinput"),
        ("diffsettings",),
    ],
    ids=" ".join,
)
def test_schema_commands_never_register(site: Site, args: tuple[str, ...]) -> None:
    site.run("manage.py", *args)
    assert site.instances() == ()


def test_collectstatic_needs_no_database(site: Site) -> None:
    site.database.drop()
    out = site.run("manage.py", "collectstatic", "--noinput")
    assert "guard" not in out
    assert not Path(site.database.name).exists()


def test_a_script_registers_under_its_name(site: Site) -> None:
    site.run("script.py")
    row = site.instance()
    assert (row.kind, row.workload, row.state) == (InstanceKind.COMMAND, "process:script.py", InstanceState.GONE)


@pytest.mark.parametrize("name", ["INT", "TERM"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_is_stopped_while_it_registers_leaves(site: Site, when: str, name: str) -> None:
    running = site.start("interrupted.py", when, f"SIG{name}")
    assert running.popen.wait(PATIENCE) == -signal.Signals[f"SIG{name}"], running.text
    assert not site.live()


def test_a_script_that_is_terminated_leaves(site: Site) -> None:
    running = site.start("script.py", "--wait")
    eventually("it is registered", site.live)
    assert running.stop() == -signal.SIGTERM
    assert site.instance().state is InstanceState.GONE


def test_a_forked_child_is_an_instance_of_its_own(each_site: Site) -> None:
    each_site.slate()
    out = each_site.run("manage.py", "tally", "--fork")
    assert "child counted" in out
    assert "done" in out
    instances = each_site.instances()
    assert len({row.id for row in instances}) == len({row.pid for row in instances}) == 2
    assert {row.state for row in instances} == {InstanceState.GONE}
    # One statement each: what the parent had counted before the fork is not flushed twice.
    assert sum(sighting.count for sighting in each_site.sightings() if sighting.access is Access.READ) == 2


def test_children_of_multiprocessing_leave(site: Site) -> None:
    site.run("pool.py")
    instances = site.instances()
    assert len({row.id for row in instances}) == len(instances) >= 2
    assert {row.state for row in instances} == {InstanceState.GONE}


def test_a_child_that_ends_without_exit_handlers_leaves_and_what_it_counted_is_kept(site: Site) -> None:
    site.slate()
    out = site.run("horse.py")
    assert "ended with 0" in out
    assert "ended with 1" in out
    instances = site.instances()
    assert len({row.pid for row in instances}) == len(instances) == 3
    assert {row.state for row in instances} == {InstanceState.GONE}
    assert sum(sighting.count for sighting in site.sightings() if sighting.access is Access.READ) == 2


def test_a_killed_process_says_nothing(site: Site) -> None:
    running = site.start("manage.py", "tally", "--forever")
    eventually("it is registered", site.live)
    running.stop(signal.SIGKILL)
    assert site.instance().state is InstanceState.LIVE


def test_a_server_without_the_middleware_registers_when_it_first_connects(site: Site) -> None:
    site.middleware = False
    server = site.gunicorn()
    assert server.get("/guard/ready/")[0] == 503
    assert site.instances() == ()
    assert server.get("/names/")[0] == 200
    assert site.instance().kind is InstanceKind.SERVER


def test_a_refused_command_ends_before_its_work(each_site: Site) -> None:
    each_site.turn(each_site.slate(), StepState.ASIDE)
    out = each_site.run("manage.py", "tally", code=3)
    assert "stock_item.old was set aside" in out
    assert "manage.py guard restore stock_item.old" in out
    assert "Traceback" not in out
    row = each_site.instance()
    assert row.state is InstanceState.GONE


def test_a_refused_command_cannot_go_on_by_swallowing_the_refusal(site: Site) -> None:
    site.turn(site.slate(), StepState.ASIDE)
    out = site.run("manage.py", "stubborn")
    assert out.count("swallowed Refused") == 2
    assert "guard" not in out or "Traceback" not in out


def test_mode_off_runs_nothing(site: Site) -> None:
    site.guard["MODE"] = "off"
    site.run("manage.py", "tally")
    server = site.gunicorn()
    assert server.ready()
    assert site.instances() == ()


@pytest.mark.parametrize("apps", ["guard stock", "stock guard"], ids=["after guard", "before guard"])
def test_a_connection_that_was_opened_while_django_started_does_not_hide_the_command(site: Site, apps: str) -> None:
    site.variables = {"APPS": apps, "QUERY_IN_READY": "1"}
    site.slate()
    site.run("manage.py", "tally")
    row = site.instance()
    assert (row.workload, row.state) == ("command:tally", InstanceState.GONE)
    assert len(site.sightings()) == 1


@pytest.mark.parametrize("apps", ["guard stock", "stock guard"], ids=["after guard", "before guard"])
def test_nor_does_it_let_a_refused_command_through(site: Site, apps: str) -> None:
    site.variables = {"APPS": apps, "QUERY_IN_READY": "1"}
    site.turn(site.slate(), StepState.ASIDE)
    out = site.run("manage.py", "stubborn")
    assert out.count("swallowed Refused") == 2


def test_a_projects_own_tests_run_as_they_would_without_guard(each_site: Site) -> None:
    with each_site.ledger() as ledger:
        assert ledger.exists()
    plain, *kept = (each_site.run("manage.py", "test", "stock", "--noinput", *options) for options in (
        (), ("--parallel", "2", "--keepdb"), ("--parallel", "2")
    ))  # fmt: skip
    assert "Ran 4 tests" in plain
    for out in (plain, *kept):
        assert "guard: " not in out
        assert "Warning" not in out
    assert each_site.instances() == ()


def test_a_test_run_needs_no_ledger(site: Site) -> None:
    site.database.drop()
    assert "guard: " not in site.run("manage.py", "test", "stock", "--noinput")
    assert not Path(site.database.name).exists()


def test_a_test_run_after_other_work_leaves_first(site: Site) -> None:
    site.run("suite.py")
    assert [(row.workload, row.state) for row in site.instances()] == [("process:suite.py", InstanceState.GONE)]


def test_an_application_that_loads_in_an_event_loop_registers_and_counts(each_site: Site) -> None:
    each_site.slate()
    out = each_site.run("threads.py")
    assert "/guard/ready/ 200" in out
    (row,) = each_site.instances()
    assert (row.kind, row.state) == (InstanceKind.SERVER, InstanceState.GONE)
    reads = [sighting for sighting in each_site.sightings() if sighting.access is Access.READ]
    assert [(sighting.route, sighting.count) for sighting in reads] == [("waits/<int:number>/", 1)]
    # Before Python 3.12 a comprehension is a function of its own.
    assert " in waits" in reads[0].call_site
