"""What readers of a table feel while DDL waits behind somebody's long transaction: with guard, and without it."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError

from guard.steps import fill
from guard.steps.ddl import ddl_for
from guard.steps.locks import is_timeout, pauses
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


def numbers(shop: Shop, rows: int) -> str:  # noqa: F811
    """A relation of one column, n: 1 to `rows`."""
    if shop.vendor == "postgres":
        return f"generate_series(1, {rows}) AS n"
    return f"(SELECT seq AS n FROM seq_1_to_{rows}) AS numbers"


def timed(shop: Shop, name: str, step: Callable[[], object], table: str = "large") -> None:  # noqa: F811
    """Print how long a step takes, and the slowest read of this table meanwhile."""
    with Readers(shop, f"SELECT id FROM {table} WHERE id = 1") as readers:
        began = time.monotonic()
        for pause in pauses():
            try:
                step()
                break
            except DatabaseError as error:
                if not is_timeout(error):
                    raise
                time.sleep(pause)
        took = time.monotonic() - began
    print(f"  {name:<44} {took * 1000:9.1f} ms, slowest of {readers.reads:3} reads {readers.slowest * 1000:4.0f} ms")


@pytest.mark.bench
@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
@pytest.mark.parametrize("rows", [1_000, ROWS])
def test_no_step_grows_with_the_table(empty_shop: Shop, rows: int) -> None:  # noqa: F811
    """But for MariaDB's allowing of NULL. What rewrites a table says so: its file is another one, or the way is."""
    shop = empty_shop  # noqa: F811
    with connect(shop.database) as connection, connection.cursor() as cursor:
        sql: list[str] = []

        def execute(text: str, params: Any) -> None:
            if params and connection.vendor == "postgresql":
                text, params = connection.ops.compose_sql(text, params), None
            cursor.execute(text, params)
            sql.append(text)

        cursor.execute("CREATE TABLE parent (id integer PRIMARY KEY)")
        cursor.execute("INSERT INTO parent VALUES (1)")
        cursor.execute(
            "CREATE TABLE large (id integer PRIMARY KEY, value integer NOT NULL, word varchar(20) NOT NULL, "
            "other integer, parent_id integer NOT NULL, "
            "CONSTRAINT to_parent FOREIGN KEY (parent_id) REFERENCES parent (id))"
        )
        cursor.execute("CREATE INDEX by_word ON large (word)")
        cursor.execute("CREATE INDEX by_both ON large (value, word)")
        cursor.execute(f"INSERT INTO large SELECT n, n, 'w', n, 1 FROM {numbers(shop, rows)}")
        oid = 0
        if shop.vendor == "postgres":
            cursor.execute("SELECT 'large'::regclass::oid")
            oid = cursor.fetchone()[0]
        # As in a contract step: on guard's own connection.
        connection.guard_private = True
        ddl = ddl_for(connection, execute)

        def add() -> None:
            cursor.execute("ALTER TABLE large ADD COLUMN more integer DEFAULT 3 NOT NULL")

        def on_delete() -> None:
            facts = ddl.facts("large", "parent_id")
            assert facts is not None
            ddl.set_on_delete("large", "parent_id", facts.foreign_keys[0], "CASCADE")

        def file() -> object:
            if shop.vendor != "postgres":
                return None
            # By whatever name it has.
            cursor.execute("SELECT pg_relation_filenode(%s::oid)", [oid])
            return cursor.fetchone()

        steps: dict[str, Callable[[], object]] = {
            "RemoveField: a default, at once": lambda: ddl.set_default("large", "value", 7),
            "RemoveField: NULL allowed, at once": lambda: ddl.allow_null("large", "word"),
            "RemoveField: set aside": lambda: ddl.rename_column("large", "value", "guard_1_value"),
            "RemoveField: restored": lambda: ddl.rename_column("large", "guard_1_value", "value"),
            "RemoveField: erased, without an index": lambda: ddl.drop_column("large", "other"),
            "RemoveField: erased, with indexes": lambda: ddl.drop_column("large", "word"),
            "foreign key: ON DELETE, at once": on_delete,
            "AddField NOT NULL: with its default, at once": add,
            "AddField NOT NULL: default dropped": lambda: ddl.drop_default("large", "more"),
            "DeleteModel: set aside": lambda: ddl.rename_table("large", "guard_2_large"),
            "DeleteModel: restored": lambda: ddl.rename_table("guard_2_large", "large"),
            "DeleteModel: erased": lambda: ddl.drop_table("large"),
        }
        print(f"\n{shop.vendor}, {rows:,} rows")
        for name, step in steps.items():
            before, sql[:] = file(), []
            # Readers would not find a table that is gone; those of what it refers to are the ones who wait.
            timed(shop, name, step, "parent" if "DeleteModel" in name else "large")
            rebuilt = [each for each in sql if "ALGORITHM=INPLACE" in each]
            assert not rebuilt or "NULL allowed" in name
            assert file() == ((None,) if before and "DeleteModel: erased" in name else before), name


@pytest.mark.bench
@pytest.mark.parametrize("vendor", ["postgres", "mariadb"], indirect=True)
def test_not_null_on_a_large_table(empty_shop: Shop) -> None:  # noqa: F811
    shop = empty_shop  # noqa: F811
    with connect(shop.database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE large (id integer PRIMARY KEY, value integer DEFAULT 7)")
        cursor.execute(f"INSERT INTO large SELECT n, NULL FROM {numbers(shop, ROWS)}")
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
            timed(shop, name, step)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"  memory at most {peak / 1e6:.1f} MB")
        assert ddl.nulls("large", "value") == 0
        assert peak < 20e6
