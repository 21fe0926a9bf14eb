"""What readers of a table feel while DDL waits behind somebody's long transaction: with guard, and without it."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from guard.steps import fill
from guard.steps.ddl import ddl_for
from tests.integration.gate.fixtures import (  # noqa: F401
    empty_shop,
    first,
    missing,
    shop,
    templates,
    trees,
    vendor,
    without,
    zygote,
)
from tests.integration.gate.harness import Shop, Tree, Trees, connect

READERS = 20
#: Seconds for which the transaction is open that has used the table.
LONG = float(os.environ.get("GUARD_BENCH_LOCK_SECONDS", "3"))
LOCK_TIMEOUT = 0.2
#: Rows of the large table.
ROWS = int(os.environ.get("GUARD_BENCH_ROWS", "100000"))


class Readers:
    """Threads that read the table all the time, and how long the slowest read took, in seconds."""

    def __init__(self, shop: Shop, sql: str = "SELECT count(*) FROM shop_product") -> None:  # noqa: F811
        self._sql = sql
        self.slowest = 0.0
        self.reads = 0
        self._shop = shop
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(READERS)]

    def _read(self) -> None:
        with connect(self._shop.database) as connection, connection.cursor() as cursor:
            while not self._over.is_set():
                began = time.monotonic()
                cursor.execute(self._sql)
                cursor.fetchall()
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.reads += 1
                self._over.wait(0.05)

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def long_transaction(shop: Shop) -> Iterator[None]:  # noqa: F811
    """A transaction that has read the table stays open for a while, whatever else happens."""
    with connect(shop.database) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM shop_product")
        cursor.fetchall()
        ends = threading.Timer(LONG, lambda: cursor.execute("ROLLBACK"))
        ends.start()
        yield
        ends.join()


def measure(shop: Shop, change: Callable[[], object]) -> Readers:  # noqa: F811
    with Readers(shop) as readers, long_transaction(shop):
        change()
    return readers


@pytest.mark.bench
@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
def test_readers_beside_a_long_transaction(shop: Shop, first: Tree, trees: Trees) -> None:  # noqa: F811
    second = trees.make(first, without("code"))
    shop.guard |= {"LOCK_PATIENCE": 60, "LOCK_TIMEOUT": LOCK_TIMEOUT}
    shop.deploy(first, second)

    plain = measure(shop, lambda: shop.query("ALTER TABLE shop_product ADD COLUMN extra integer"))
    guarded = measure(shop, lambda: shop.contract(second))

    print(
        f"\n{shop.vendor}, {READERS} readers, a transaction of {LONG:g} s: slowest read with guard "
        f"{guarded.slowest * 1000:.0f} ms of {guarded.reads} (asked: {3 * LOCK_TIMEOUT * 1000:.0f} ms at most), "
        f"behind a plain ALTER {plain.slowest * 1000:.0f} ms of {plain.reads}"
    )
    assert shop.states() == {"code": "aside"}


@pytest.mark.bench
@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
def test_not_null_on_a_large_table(empty_shop: Shop) -> None:  # noqa: F811
    shop = empty_shop  # noqa: F811
    with connect(shop.database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE large (id integer PRIMARY KEY, value integer DEFAULT 7)")
        series = "generate_series(1, %s) AS n" if shop.vendor == "postgres" else "(SELECT seq AS n FROM seq_1_to_{0}) s"
        numbers = series if shop.vendor == "postgres" else series.format(ROWS)
        cursor.execute(
            f"INSERT INTO large SELECT n, NULL FROM {numbers}", [ROWS] if shop.vendor == "postgres" else None
        )
        ddl = ddl_for(connection, lambda sql, params: cursor.execute(sql, params))
        steps: dict[str, Callable[[], object]] = {
            "new NULLs refused": lambda: ddl.begin_forbid_null("large", "value"),
            "filled, at all of the time": lambda: fill.fill(
                connection, "large", "value", fill.DEFAULT, pace=fill.Pace(share=1.0)
            ),
            "validated": lambda: ddl.validate_forbid_null("large", "value"),
            "NOT NULL": lambda: ddl.forbid_null("large", "value"),
        }
        print(f"\n{shop.vendor}, {ROWS:,} rows")
        tracemalloc.start()
        for name, step in steps.items():
            with Readers(shop, "SELECT value FROM large WHERE id = 1") as readers:
                began = time.monotonic()
                step()
                took = time.monotonic() - began
            print(f"  {name:<28} {took:8.2f} s, slowest of {readers.reads} reads {readers.slowest * 1000:.0f} ms")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"  memory at most {peak / 1e6:.1f} MB")
        assert ddl.nulls("large", "value") == 0
        assert peak < 20e6
