"""What the watch adds to a statement, beside a no-op wrapper and beside sentry-sdk's breadcrumbs.

Each way runs the same statements through Django's own cursor wrapper, with nothing behind it, in blocks that take
turns. Each statement is a new string, as the ORM makes one, so that hashing its text is counted. Thread CPU time; of
the blocks of one way the fastest counts, because whatever else the machine does can only add.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import django
import pytest
import sentry_sdk
from django.db import connection
from django.db.backends import utils
from sentry_sdk.integrations.django import DjangoIntegration

from guard.attribution import Attributor
from guard.attribution.watchlist import Watched, WatchList
from guard.ledger import rows
from guard.runtime import bypass, clock, lease, passing, process, watch
from guard.schema.footprint import Column, Footprint

ROUNDS = 60
STATEMENTS = 500
#: How deep the ORM's own frames are between the project's line and the wrapper.
DEPTH = 15

SLATED = WatchList(
    1,
    tuple(Watched(f"shop_{name}", "is_enabled", (("shop", "0007"),)) for name in ("product", "order", "supplier")),
)
OLD_CODE = Footprint({each.table: {"is_enabled": Column("bool", False, False)} for each in SLATED.entries}, frozenset())

COLUMNS = ", ".join(f'"shop_customer"."column_{number}"' for number in range(9))
UNTOUCHED = f'SELECT {COLUMNS} FROM "shop_customer" WHERE "shop_customer"."id" = %s'
TOUCHED = UNTOUCHED.replace("shop_customer", "shop_product").replace("column_0", "is_enabled")


class NoDriver:
    """A cursor that does nothing."""

    def execute(self, query: str, params: object = None) -> None:
        pass


class Attended(NoDriver):
    """As a backend's cursors are while something is slated."""

    execute = passing.seeing(NoDriver.execute, bypass._look)


def noop(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    return execute(sql, params, many, context)


@dataclass
class Way:
    """One way to run a statement, with what it took: µs per statement, by round."""

    name: str
    sql: str
    wrappers: tuple[Callable[..., Any], ...] = ()
    #: CursorWrapper.execute as it is patched; None: only what calls the wrappers, which is far quicker itself.
    execute: Callable[..., Any] | None = None
    deep: bool = False
    driver: type[NoDriver] = NoDriver

    def __post_init__(self) -> None:
        self.taken: list[float] = []

    @property
    def best(self) -> float:
        return min(self.taken)


# As the ORM stands between the project's line and the cursor: frames of a file that is Django's.
_frames: dict[str, Callable[..., Any]] = {}
exec(
    compile(
        "def through_the_orm(depth, run, sql):\n"
        "    return through_the_orm(depth - 1, run, sql) if depth else run(sql)\n",
        django.__file__,
        "exec",
    ),
    _frames,
)


def _block(way: Way) -> float:
    statements = [("-" + way.sql)[1:] for _ in range(STATEMENTS)]
    driver = way.driver()
    cursor = utils.CursorWrapper(driver, connection)
    through = _frames["through_the_orm"]
    depth = DEPTH if way.deep else 0
    patched, dispatch = way.execute, cursor._execute_with_wrappers  # type: ignore[attr-defined]

    def executor(sql: str, params: object, many: bool, context: dict[str, Any]) -> object:
        return driver.execute(sql, params)

    def execute(sql: str) -> object:
        return patched(cursor, sql, (1,)) if patched else dispatch(sql, (1,), False, executor)

    connection.execute_wrappers[:] = way.wrappers
    try:
        started = time.thread_time_ns()
        for sql in statements:
            through(depth, execute, sql)
        return (time.thread_time_ns() - started) / 1_000 / STATEMENTS
    finally:
        connection.execute_wrappers.clear()


def _eye(alias: str, watched: WatchList | None) -> tuple[watch.Eye, Callable[..., Any]]:
    eye = watch.eye(alias)
    watch.install(connection, alias)
    wrapper = connection.execute_wrappers.pop(0)
    if watched is not None:
        # Each touch also looks whether the lease has run out.
        me = process.Process()
        identity = lease.Identity(me.id, rows.InstanceKind.SERVER, "web", False, "", me.pid)
        me.leases[alias] = held = lease.Lease(alias, identity)
        held.state, held._renewed, held._length = rows.InstanceState.LIVE, clock.read(), 1e9
        eye.before_touch = me._before_touch(alias)
        eye.open(Attributor(watched, "postgresql"), watched, OLD_CODE)
    return eye, wrapper


@pytest.fixture
def sentry() -> Iterator[Callable[..., Any]]:
    """CursorWrapper.execute as sentry-sdk patches it, with breadcrumbs and no tracing."""

    class Nowhere(sentry_sdk.transport.Transport):
        def capture_envelope(self, envelope: object) -> None:
            pass

    kept = {name: utils.CursorWrapper.__dict__[name] for name in ("execute", "executemany", "close")
            if name in utils.CursorWrapper.__dict__}  # fmt: skip
    sentry_sdk.init(
        dsn="https://key@sentry.invalid/1",
        transport=Nowhere,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[DjangoIntegration()],
    )
    patched = utils.CursorWrapper.execute
    for name, method in kept.items():
        setattr(utils.CursorWrapper, name, method)
    yield patched
    sentry_sdk.get_global_scope().set_client(None)


@pytest.mark.bench
def test_what_the_watch_adds_to_a_statement(sentry: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    connection.ensure_connection()
    _, idle = _eye("bench idle", None)
    watching, wrapper = _eye("bench", SLATED)
    plain = utils.CursorWrapper.execute
    ways = [
        nothing := Way("no wrapper", UNTOUCHED),
        no_op := Way("a no-op wrapper", UNTOUCHED, (noop,)),
        idle_guard := Way("guard, nothing slated", UNTOUCHED, (idle,)),
        untouched := Way(f"guard, not touching ({len(UNTOUCHED)} characters)", UNTOUCHED, (wrapper,), driver=Attended),
        deep_nothing := Way(f"no wrapper, {DEPTH} frames deep", TOUCHED, deep=True),
        touched := Way("guard, touching, with call site, as deep", TOUCHED, (wrapper,), deep=True, driver=Attended),
        execute := Way("CursorWrapper.execute", UNTOUCHED, execute=plain),
        crumbs := Way("CursorWrapper.execute with breadcrumbs", UNTOUCHED, execute=sentry),
    ]
    for round_ in range(ROUNDS):
        for way in ways[round_ % len(ways) :] + ways[: round_ % len(ways)]:
            way.taken.append(_block(way))

    no_op_adds = no_op.best - nothing.best
    crumbs_add = crumbs.best - execute.best
    figures = [
        ("nothing slated / no-op", (idle_guard.best - nothing.best) / no_op_adds, "≤ 1.2"),
        ("not touching / no-op", (untouched.best - nothing.best) / no_op_adds, "≤ 2"),
        ("not touching / breadcrumbs", (untouched.best - nothing.best) / crumbs_add, "≤ 0.03"),
        ("touching / breadcrumbs", (touched.best - deep_nothing.best) / crumbs_add, "≤ 0.15"),
    ]
    with capsys.disabled():
        print("\n\nWhat a statement takes, µs")
        for way in ways:
            print(f"  {way.name:<45} {way.best:8.2f}")
        print("What is added, as a ratio, and its budget")
        for name, ratio, budget in figures:
            print(f"  {name:<45} {ratio:8.3f}   {budget}")

    (glimpse,) = watching.sightings.batch().glimpses(0.0)
    assert glimpse.count == ROUNDS * STATEMENTS
    assert "test_runtime.py" in glimpse.call_site
    assert utils.CursorWrapper.execute is plain
