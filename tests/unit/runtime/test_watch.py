"""The execute wrapper on a real connection: what it counts, what it leaves alone, and what it never lets through."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Sequence

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import RequestFactory, override_settings
from django.urls import ResolverMatch

from guard import testing
from guard.attribution import Attributor
from guard.attribution.watchlist import CLEAR, Access, Touch, Watched, WatchList
from guard.runtime import grumble, watch
from guard.schema.footprint import Column, Footprint

OLD = Watched("stock_item", "old", (("stock", "0002"),))
LIST = WatchList(1, (OLD,))
OLD_CODE = Footprint({"stock_item": {"old": Column("int", False, False)}}, frozenset({("stock", "0001")}))
SELECT = "SELECT old FROM stock_item"


class Broken:
    """An attributor with a bug."""

    clear: list[str | None] = [None] * (CLEAR + 1)
    untouched: dict[str, str] = {}

    def touches(self, sql: object) -> Sequence[Touch]:
        raise RuntimeError("a bug in guard")


@pytest.fixture
def database() -> Iterator[BaseDatabaseWrapper]:
    """Django's own connection, with the table, and nobody watching."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE stock_item (id integer PRIMARY KEY, name text, old integer)")
    grumble._last.clear()
    yield connection
    connection.execute_wrappers.clear()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE stock_item")


@pytest.fixture
def eye(database: BaseDatabaseWrapper) -> Iterator[watch.Eye]:
    """An eye that holds the connection's statements against LIST."""
    eye = watch.eye("unit")
    watch.install(database, "unit")
    eye.open(Attributor(LIST, "sqlite"), LIST, OLD_CODE)
    yield eye
    eye.forget()


def run(sql: str, params: Sequence[object] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def counted(eye: watch.Eye) -> list[tuple[Access, int, str, str]]:
    return [(g.access, g.count, g.call_site, g.route) for g in eye.sightings.batch().glimpses(0.0)]


def test_a_touch_is_counted_with_the_line_that_made_it(eye: watch.Eye) -> None:
    run(SELECT)
    ((access, count, call_site, route),) = counted(eye)
    assert (access, count, route) == (Access.READ, 1, "")
    assert call_site.startswith("tests/unit/runtime/test_watch.py:")
    assert call_site.endswith(" in run")


def test_what_does_not_touch_is_not_counted(eye: watch.Eye) -> None:
    run("SELECT name FROM stock_item")
    run("SELECT 1")
    assert counted(eye) == []


def test_a_statement_that_fails_is_counted_and_its_error_is_the_databases_own(eye: watch.Eye) -> None:
    with pytest.raises(OperationalError) as caught:
        run("SELECT old, no_such_column FROM stock_item")
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert [count for _, count, _, _ in counted(eye)] == [1]


def test_a_rolled_back_statement_is_counted(eye: watch.Eye) -> None:
    with transaction.atomic():
        run("INSERT INTO stock_item (name, old) VALUES ('a', 1)")
        transaction.set_rollback(True)
    assert Access.WRITE in {access for access, *_ in counted(eye)}


def test_a_touch_is_counted_beside_a_clear_text_of_the_same_length(eye: watch.Eye) -> None:
    clear = SELECT.replace("old", "id ")
    for _ in range(3):
        run(clear)
    assert eye.clear is not None
    assert eye.clear[len(SELECT)] == clear
    run(SELECT)
    assert [(access, count) for access, count, _, _ in counted(eye)] == [(Access.READ, 1)]


def test_quiet_statements_are_not_counted(eye: watch.Eye) -> None:
    with watch.quiet():
        run(SELECT)
        assert watch.is_quiet()
    assert not watch.is_quiet()
    assert counted(eye) == []


def test_nothing_slated_costs_one_look(eye: watch.Eye) -> None:
    eye.open(None, WatchList(2), OLD_CODE)
    run(SELECT)
    assert counted(eye) == []


def test_installing_is_idempotent_and_comes_first(eye: watch.Eye, database: BaseDatabaseWrapper) -> None:
    def other(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        return execute(sql, params, many, context)

    database.execute_wrappers.append(other)
    watch.install(database, "unit")
    assert len(database.execute_wrappers) == 2
    assert database.execute_wrappers[1] is other


def test_installing_within_anothers_wrapper_survives_its_end(database: BaseDatabaseWrapper) -> None:
    with database.execute_wrapper(lambda execute, *args: execute(*args)):
        watch.install(database, "unit")
    assert [wrapper.__name__ for wrapper in database.execute_wrappers] == ["guard_watch"]


def test_connections_that_were_there_before_are_watched(database: BaseDatabaseWrapper) -> None:
    watch.install_on_open(lambda alias: "unit" if alias == "default" else None)
    assert [wrapper.__name__ for wrapper in connections["default"].execute_wrappers] == ["guard_watch"]


def test_a_bug_in_guard_never_reaches_the_application(
    eye: watch.Eye, database: BaseDatabaseWrapper, caplog: pytest.LogCaptureFixture
) -> None:
    eye.attributor = Broken()
    for _ in range(3):
        with database.cursor() as cursor:
            cursor.execute("SELECT 41 + 1")
            assert cursor.fetchone() == (42,)
    assert len([record for record in caplog.records if record.name == "guard"]) == 1


def test_only_the_end_of_a_refused_command_gets_through(eye: watch.Eye) -> None:
    class Stop(watch.StopWork):
        pass

    class Ending:
        clear: list[str | None] = [None] * (CLEAR + 1)
        untouched: dict[str, str] = {}

        def touches(self, sql: object) -> Sequence[Touch]:
            raise Stop

    eye.attributor = Ending()
    with pytest.raises(Stop):
        run("SELECT 1")


def test_executemany_is_one_statement(eye: watch.Eye) -> None:
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO stock_item (name, old) VALUES (%s, %s)", [("a", 1), ("b", 2)])
    assert [count for access, count, _, _ in counted(eye) if access is Access.WRITE] == [1]


def test_the_url_route_is_read_when_the_statement_runs(eye: watch.Eye) -> None:
    request = RequestFactory().get("/items/7/")
    token = watch.request.set(request)
    try:
        # The middleware comes before the URL is resolved.
        request.resolver_match = ResolverMatch(run, (), {}, route="items/<int:pk>/")
        run(SELECT)
    finally:
        watch.request.reset(token)
    assert [route for *_, route in counted(eye)] == ["items/<int:pk>/"]


def test_outside_a_request_the_command_is_the_route(eye: watch.Eye) -> None:
    eye.route = "command:nightly"
    run(SELECT)
    assert [route for *_, route in counted(eye)] == ["command:nightly"]


@pytest.mark.parametrize(
    ("footprint", "stale"),
    [
        (OLD_CODE, False),
        (Footprint(OLD_CODE.tables, frozenset({("stock", "0001"), ("stock", "0002")})), True),
        (Footprint({"stock_item": {}}, frozenset({("stock", "0001")})), True),
        (Footprint({}, frozenset()), True),
    ],
    ids=["old code", "has the migration", "does not declare the column", "does not know the table"],
)
def test_a_touch_is_stale_where_the_release_should_do_without(
    eye: watch.Eye, footprint: Footprint, stale: bool
) -> None:
    news: list[None] = []
    eye.news = lambda: news.append(None)
    eye.open(Attributor(LIST, "sqlite"), LIST, footprint)
    run(SELECT)
    run(SELECT)
    (glimpse,) = eye.sightings.batch().glimpses(0.0)
    assert (glimpse.stale, glimpse.migration, glimpse.count) == (stale, "stock.0002", 2)
    assert len(news) == stale


def test_a_table_is_stale_by_its_name(eye: watch.Eye) -> None:
    whole = WatchList(3, (Watched("stock_item", "", (("stock", "0003"),)),))
    eye.open(Attributor(whole, "sqlite"), whole, OLD_CODE)
    run("SELECT name FROM stock_item")
    (glimpse,) = eye.sightings.batch().glimpses(0.0)
    assert (glimpse.column, glimpse.stale) == ("", False)


def test_the_connection_is_handed_on_before_a_touch(eye: watch.Eye, database: BaseDatabaseWrapper) -> None:
    seen: list[BaseDatabaseWrapper] = []
    eye.before_touch = seen.append
    run("SELECT 1")
    assert seen == []
    run(SELECT)
    assert seen == [database]


def test_call_sites_survive_code_that_comes_and_goes() -> None:
    def site_of(source: str) -> str:
        namespace = {"watch": watch, "sys": __import__("sys"), "__name__": "made.up"}
        exec(compile(source, "/srv/made/up.py", "exec"), namespace)
        return namespace["here"]()  # type: ignore[no-any-return,operator]

    # The code objects die at once, so that their ids come again.
    sites = [
        site_of(f"def here():\n{chr(10) * number}    return watch.call_site(sys._getframe())\n") for number in range(50)
    ]
    assert sites == [f"made/up.py:{number + 2} in here" for number in range(50)]


def test_one_text_from_several_places_is_counted_for_each_however_deep(eye: watch.Eye) -> None:
    eye.open(Attributor(LIST, "sqlite"), LIST, OLD_CODE)

    def one() -> None:
        connection.cursor().execute(SELECT)

    def other() -> None:
        connection.cursor().execute(SELECT)

    def deeper(depth: int) -> None:
        if depth:
            deeper(depth - 1)
        else:
            connection.cursor().execute(SELECT)

    for _ in range(2):
        one()
        other()
        for depth in (3, 0, 7):
            deeper(depth)
    counts = {call_site.rpartition(".")[2]: count for _, count, call_site, _ in counted(eye)}
    assert counts == {"one": 2, "other": 2, "deeper": 6}


def test_frameworks_and_the_standard_library_are_stepped_over() -> None:
    frames: list[str] = []
    thread = threading.Thread(target=lambda: frames.append(watch.call_site(__import__("sys")._getframe().f_back)))
    thread.start()
    thread.join()
    assert frames == [""]
    assert watch._looks_like_framework(threading.__file__)
    assert watch._looks_like_framework(connections.__class__.__module__ and __import__("django").__file__)
    assert watch._looks_like_framework(watch.__file__)
    assert watch._looks_like_framework("/srv/venv/lib/python3.13/site-packages/sentry_sdk/db.py")
    assert not watch._looks_like_framework("/srv/venv/lib/python3.13/site-packages/rest_framework/mixins.py")
    assert not watch._looks_like_framework("/srv/shop/views.py")
    assert not watch._looks_like_framework("<console>")


# As the ORM does: its frames are all that is on the stack of the thread that runs an async query.
_record_in_a_framework = eval(
    compile("lambda eye, touches: eye.record('SELECT', touches, None)", watch.__file__, "eval")
)


def test_a_coroutine_that_waits_for_the_statement_is_its_call_site(eye: watch.Eye) -> None:
    async def view() -> None:
        await sync_to_async(_record_in_a_framework)(eye, [Touch(OLD, Access.READ, "name")])

    async def serve() -> None:
        token = watch.task.set(watch.answering())
        await view()
        watch.task.reset(token)

    # Whether the coroutine waits already when the thread gets to the statement is a race: both ways are tried.
    for _ in range(20):
        asyncio.run(serve())
    ((_, count, call_site, _),) = counted(eye)
    assert (count, call_site.endswith(f" in {view.__qualname__}")) == (20, True)


NEW_CODE = Footprint({"stock_item": {}}, frozenset({("stock", "0001"), ("stock", "0002")}))


def test_stale_access_fails_where_a_test_suite_asks_for_it(eye: watch.Eye) -> None:
    eye.open(Attributor(LIST, "sqlite"), LIST, NEW_CODE)
    with override_settings(GUARD={"ON_STALE_ACCESS": "raise"}):
        with pytest.raises(testing.StaleAccessError, match=r"stock_item\.old, which migration stock\.0002"):
            run(SELECT)
        # Counted all the same.
        assert len(counted(eye)) == 1
        with testing.on_stale_access("record"):
            run(SELECT)
        # Old code is not to blame.
        eye.open(Attributor(LIST, "sqlite"), LIST, OLD_CODE)
        run(SELECT)


def test_one_test_may_ask_for_it_in_every_thread(eye: watch.Eye) -> None:
    eye.open(Attributor(LIST, "sqlite"), LIST, NEW_CODE)
    failed: list[str] = []

    def touch() -> None:
        try:
            eye.fail(Attributor(LIST, "sqlite").touches(SELECT))
        except testing.StaleAccessError as error:
            failed.append(str(error))

    @testing.on_stale_access("raise")
    def test() -> None:
        thread = threading.Thread(target=touch)
        thread.start()
        thread.join()

    test()
    touch()
    assert len(failed) == 1
    with pytest.raises(ValueError, match="explode"), testing.on_stale_access("explode"):
        pass
