"""What attribution costs over whole query logs, cold misses included, beside a no-op wrapper; and what it remembers.

Each log is replayed through Django's own cursor wrapper with nothing behind it: bare, with a no-op wrapper, and with
one that asks an attributor that has seen nothing yet. The ways take turns, on thread CPU time, and of each the fastest
replay counts. Statements are new strings, as the ORM makes them, so that hashing their texts is counted.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, models, transaction
from django.db.backends import utils

from guard.attribution import Attributor, Watched, WatchList, shape
from guard.runtime import passing
from tests.integration.attribution import library, orm_calls

ROUNDS = 7
PIECE = 200

WATCH = WatchList(
    1, tuple(Watched(*target, ()) for target in (("country", "code"), ("book_note", "status"), ("novel", "genre")))
)


SAVEPOINTS = ("SAVEPOINT", "RELEASE", "ROLLBACK")


class NoDriver:
    """A cursor that does nothing."""

    def execute(self, sql: str, params: object = None) -> None:
        pass


def noop(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    return execute(sql, params, many, context)


def asking(attributor: Attributor) -> Callable[..., Any]:
    """guard's own wrapper, with nothing behind it but the attributor."""
    return passing.wrapper(attributor, lambda sql, context: attributor.touches(sql))


def send(statements: list[str], wrapper: Callable[..., Any] | None) -> float:
    """Seconds of CPU for the statements."""
    # Texts of their own, not yet hashed.
    texts = [text[:1] + text[1:] for text in statements]
    cursor = utils.CursorWrapper(NoDriver(), connection)
    run = cursor._execute_with_wrappers
    connection.execute_wrappers[:] = [] if wrapper is None else [wrapper]
    begun = time.thread_time()
    for text in texts:
        run(text, None, many=False, executor=cursor._execute)
    return time.thread_time() - begun


@pytest.fixture
def alone() -> Iterator[None]:
    """No wrapper on the connection but those of the benchmark."""
    kept = connection.execute_wrappers[:]
    connection.execute_wrappers.clear()
    yield
    connection.execute_wrappers[:] = kept


@pytest.fixture(scope="module")
def suite_log() -> list[str]:
    """What a test suite sends: every ORM call of the corpus, each rolled back to a savepoint."""
    alias = "attribution_log"
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    connections.settings.update(connections.configure_settings({alias: settings, "default": {}}))
    log: list[str] = []

    def keep(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        log.append(str(sql))
        return execute(sql, params, many, context)

    database = connections[alias]
    library.create(database)
    with database.execute_wrapper(keep), transaction.atomic(using=alias):
        for call in orm_calls.calls(alias):
            try:
                with transaction.atomic(using=alias):
                    call()
                    transaction.set_rollback(True, using=alias)
            except (DatabaseError, models.ObjectDoesNotExist, ValueError):
                continue
        transaction.set_rollback(True, using=alias)
    raw = database.connection
    del connections[alias]
    raw.close()
    # A text comes many times, and a fifth of the log are savepoints, whose names are always new.
    kept = [text for number, text in enumerate(log) if not text.startswith(SAVEPOINTS) or number % 6 == 0]
    return [
        text.replace("_x", f"_{turn}x") if text.startswith(SAVEPOINTS) else text for turn in range(40) for text in kept
    ]


def mixed_log(size: int = 20_000) -> list[str]:
    """What production sends: few shapes, many texts, by long lists, bulk inserts and literals in the text.

    One statement in eight names a slated table.
    """
    draw = random.Random(7)
    models = [model for model in library.MODELS if model is not library.Odd]
    reads = []
    for model in models:
        columns = ", ".join(f'"{model._meta.db_table}"."{name}"' for name in library.columns(model._meta.db_table))
        reads.append((model._meta.db_table, columns))
    slated = {watched.table for watched in WATCH.entries}
    weights = [1 if table in slated else 4 for table, _ in reads]
    log = []
    for number in range(size):
        table, columns = draw.choices(reads, weights)[0]
        pick = draw.random()
        if pick < 0.6:
            log.append(f'SELECT {columns} FROM "{table}" WHERE "{table}"."id" = %s LIMIT 21')
        elif pick < 0.8:
            places = ", ".join(["%s"] * draw.randint(1, 300))
            log.append(f'SELECT {columns} FROM "{table}" WHERE "{table}"."id" IN ({places})')
        elif pick < 0.9:
            names = ", ".join(f'"{name}"' for name in library.columns(table)[1:])
            row = f"({', '.join(['%s'] * (names.count(',') + 1))})"
            log.append(f'INSERT INTO "{table}" ({names}) VALUES {", ".join([row] * draw.randint(1, 60))}')
        else:
            log.append(
                f'SELECT COUNT(*) AS "n" FROM "{table}" WHERE "{table}"."id" > {number} LIMIT {draw.randint(1, 9)}'
            )
    return log


SHOP = Path(__file__).resolve().parents[2] / "sampleapp"
#: What the shop's next release takes away.
OF_SHOP = WatchList(1, tuple(Watched("shop_product", column, ()) for column in ("sku", "supplier_id")))
#: Some thousand requests to the shop, as its shoppers send them, and what each asks of the database.
VISITS = """
import json, random, sys
import django
django.setup()
from django.core.management import call_command
from django.db import connection
from django.test import Client
call_command("migrate", verbosity=0)
draw, log, client = random.Random(7), [], Client(HTTP_HOST="localhost")
def keep(execute, sql, params, many, context):
    log.append(sql)
    return execute(sql, params, many, context)
def send(method, path, **data):
    return client.generic(method, path, json.dumps(data), content_type="application/json").json()
with connection.execute_wrapper(keep):
    suppliers = [send("POST", "/suppliers/", name="s")["id"] for _ in range(5)]
    stock = []
    for number in range(6_000):
        pick = draw.random()
        if pick < 0.15 or len(stock) < 20:
            given = {"name": "n", "price": number, "sku": "k", "supplier": draw.choice(suppliers)}
            stock.append(send("POST", "/products/", **given)["id"])
        elif pick < 0.45:
            client.get("/products/")
        elif pick < 0.75:
            client.get(f"/products/{draw.choice(stock)}/")
        elif pick < 0.85:
            send("PUT", f"/products/{draw.choice(stock)}/", price=number)
        elif pick < 0.95:
            client.get("/suppliers/")
        else:
            client.delete(f"/products/{stock.pop()}/")
json.dump(log, sys.stdout)
"""


@pytest.fixture(scope="module")
def shop_log() -> list[str]:
    """What the sample shop's release sends that still uses what is slated."""
    environ = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(SHOP / "r2"), str(SHOP / "common"))),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DB": "sqlite",
        "DB_NAME": ":memory:",
        "WITH_GUARD": "0",
    }
    ended = subprocess.run([sys.executable, "-c", VISITS], env=environ, stdout=subprocess.PIPE, check=True)
    log: list[str] = json.loads(ended.stdout)
    return log


def compare(name: str, log: list[str], watch: WatchList = WATCH) -> tuple[float, float]:
    """Print what asking adds to a statement beside what a no-op wrapper adds; both in µs."""
    # Short enough that now and then one runs undisturbed.
    pieces = [log[start : start + PIECE] for start in range(0, len(log), PIECE)]
    fastest = [[1e9] * 3 for _ in pieces]
    attributor = Attributor(watch, "sqlite")
    naming = sum(bool(attributor._named(text)) for text in log) / len(log)
    for _ in range(ROUNDS):
        # An attributor that has seen nothing yet.
        ways = (None, noop, asking(Attributor(watch, "sqlite")))
        for number, piece in enumerate(pieces):
            for way, wrapper in enumerate(ways):
                fastest[number][way] = min(fastest[number][way], send(piece, wrapper))
    bare, least, ours = (sum(way) * 1e6 / len(log) for way in zip(*fastest, strict=True))
    print(
        f"\n{name}: {len(log)} statements, {len(set(log))} texts, {naming:.0%} name a slated table; "
        f"a no-op wrapper adds {least - bare:.2f} µs, "
        f"asking adds {ours - bare:.2f} µs: {(ours - bare) / (least - bare):.1f} × (budget: 4 ×)"
    )
    return least - bare, ours - bare


@pytest.mark.bench
@pytest.mark.usefixtures("alone")
def test_the_shops_log_costs_little_more_than_a_no_op_wrapper(shop_log: list[str]) -> None:
    assert len(shop_log) > 5_000
    base, added = compare("log of the shop", shop_log, OF_SHOP)
    assert base != added


@pytest.mark.bench
@pytest.mark.usefixtures("alone")
def test_a_test_suites_log_costs_little_more_than_a_no_op_wrapper(suite_log: list[str]) -> None:
    assert len(set(suite_log)) > 1_000
    base, added = compare("log of a test suite", suite_log)
    assert base != added


@pytest.mark.bench
@pytest.mark.usefixtures("alone")
def test_a_production_mix_costs_little_more_than_a_no_op_wrapper() -> None:
    log = mixed_log()
    assert len(set(log)) > 3_000
    base, added = compare("mix of production", log)
    assert base != added


def cold(log: list[str], work: Callable[[str], object]) -> float:
    """The fastest of some passes over texts, in µs per text."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.thread_time()
        for text in log:
            work(text)
        taken.append(time.thread_time() - begun)
    return min(taken) * 1e6 / len(log)


@pytest.mark.bench
def test_what_a_miss_costs(suite_log: list[str]) -> None:
    texts = [text for text in dict.fromkeys(suite_log) if not text.startswith(SAVEPOINTS)]
    attributor = Attributor(WATCH, "sqlite")
    naming = [text for text in texts if attributor._named(text)]
    others = [text for text in texts if not attributor._named(text)]
    length = sum(map(len, naming)) / len(naming)
    nothing = Attributor(WatchList(), "sqlite")
    read = cold(naming, lambda text: attributor._read(text, ["novel"]))

    print(
        f"\na text that names no slated table: {cold(others, attributor._named):.1f} µs; "
        f"one that does, {length:.0f} characters: {read:.0f} µs; "
        f"its shape: {cold(naming, lambda text: shape(text, 'sqlite')):.0f} µs; "
        f"nothing slated: {cold(texts, nothing.touches) * 1000:.0f} ns"
    )
    assert naming
    assert others


@pytest.mark.bench
def test_memory_stays_bounded_whatever_is_sent(suite_log: list[str]) -> None:
    attributor = Attributor(WATCH, "sqlite")
    log = [f"{text} " for text in mixed_log(10_000)]
    tracemalloc.start()
    try:
        for text in log:
            attributor.touches(text + " ")
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    print(f"\nafter {len(log)} statements it holds {size / 1e6:.2f} MB (budget with all other buffers: 2 MB)")
    assert size < 2_000_000
