"""What is seen on a real terminal of 80 columns, and what comes through a pipe."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from guard.attribution.watchlist import Access
from tests.integration.commands.terminal import PATIENCE, on_terminal
from tests.integration.gate.fixtures import on_sqlite, without
from tests.integration.gate.harness import Shop, Tree, Trees
from tests.integration.ledger.harness import glimpse


@pytest.fixture(scope="session")
def second(trees: Trees, first: Tree) -> Tree:
    return trees.make(first, without("code"))


@on_sqlite
def test_what_waits_and_who_uses_it_fit_a_terminal(shop: Shop, first: Tree, second: Tree) -> None:
    long = "shop/some/rather/deeply/nested/module/of/views.py:1234 in a_function_with_a_long_name"
    shop.arrive(first)
    serving = shop.arrive(first)
    shop.migrate(second)
    seen = glimpse(table="shop_product", column="code", call_site=long, access=Access.WRITE, count=1204)
    with shop.ledger() as ledger:
        ledger.beat(serving, lease=600.0, watched_epoch=ledger.epoch(), flush_no=1, glimpses=[seen])

    with on_terminal(shop, second, "guard", "status") as status:
        assert status.end() == 0
    with on_terminal(shop, second, "guard", "sightings") as sightings:
        assert sightings.end() == 0
    with on_terminal(shop, second, "guard", "status", NO_COLOR="1") as plain:
        assert plain.running.lines.readline() == "0\n"

    assert status.coloured
    assert any(
        line.split() == ["Release", "Workload", "Live", "Refused", "Lost", "Last", "seen"] for line in status.shown
    )
    assert any(line.split()[:3] == ["r1", "web", "2"] for line in status.shown)
    assert "shop_product.code: waiting" in status.text
    assert sightings.coloured
    # Broken into lines, and not cut.
    assert "1,204" in sightings.text
    column = sightings.shown[0].index("Where")
    where = "".join(line[column : column + 20].strip() for line in sightings.shown[2:])
    assert "a_function_with_a_long_name"[-8:] in where.replace(" ", "")
    assert not plain.coloured
    assert "\x1b" not in plain.raw.decode()


@on_sqlite
def test_contract_counts_down_until_the_last_has_left(shop: Shop, first: Tree, second: Tree) -> None:
    serving = [shop.arrive(first), shop.arrive(first)]
    shop.migrate(second)

    with on_terminal(shop, second, "guard", "contract", "--wait", "--timeout", "600") as stopped:
        stopped.until(lambda seen: "2 instances of release r1 (web) run" in " ".join(seen.shown))
        assert re.search(r"1 step waiting; giving up in \d:\d\d ", stopped.text)
        os.kill(stopped.running.pid, signal.SIGINT)
        assert stopped.end() == 1
    assert "Interrupted. What was taken stays taken" in stopped.text
    assert "giving up" not in stopped.text

    with on_terminal(shop, second, "guard", "contract", "--wait", "--timeout", "600") as waiting:
        waiting.until(lambda seen: "2 instances of release r1" in " ".join(seen.shown))
        shop.leave(serving[0])
        waiting.until(lambda seen: "[1 of 2 gone]" in seen.text)
        shop.roll(serving[1], second)
        assert waiting.end() == 0
    assert "shop_product.code is set aside;" in waiting.text
    assert "giving up" not in waiting.text
    assert shop.step("shop_product.code").state == "aside"


@on_sqlite
def test_doctor_fits_a_terminal_and_its_lines_to_paste_stay_whole(shop: Shop, first: Tree) -> None:
    with on_terminal(shop, first, "guard", "doctor", MIDDLEWARE="0") as doctor:
        assert doctor.end() == 1

    assert '          MIDDLEWARE = ["guard.middleware.GuardMiddleware", *MIDDLEWARE]' in doctor.shown
    assert any(line.startswith("MEND  middleware: guard's middleware is not in MIDDLEWARE") for line in doctor.shown)
    assert doctor.coloured


@on_sqlite
def test_whoever_reads_may_go_away_and_the_work_goes_on(shop: Shop, first: Tree, second: Tree, tmp_path: Path) -> None:
    serving = shop.arrive(first)
    shop.migrate(second)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        running = shop.start(second, "guard", "contract", "--wait", "--timeout", "600", out=pipe)
        said, deadline = b"", time.monotonic() + PATIENCE
        while b"shop_product.code waits:" not in said:
            assert time.monotonic() < deadline, said
            try:
                said += os.read(reader, 4_096)
            except BlockingIOError:
                pass
            time.sleep(0.02)
    finally:
        os.close(reader)

    shop.roll(serving, second)

    with running.conversation, running.lines:
        assert running.lines.readline() == "0\n"
    assert shop.step("shop_product.code").state == "aside"


@on_sqlite
def test_a_line_for_each_change_where_there_is_no_terminal(shop: Shop, first: Tree, second: Tree) -> None:
    serving = [shop.arrive(first) for _ in range(3)]
    shop.migrate(second)
    for instance in serving:
        shop.beat(instance)
    running = shop.start(second, "guard", "contract", "--wait", "--timeout", "600")

    def until(words: str) -> None:
        deadline, said = time.monotonic() + PATIENCE, ""
        while words not in said:
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
            # It is not there before the command has begun.
            said = running.out.read_text() if running.out.exists() else ""

    until("3 instances of release r1 (web) run")
    shop.leave(serving.pop())
    until("shop_product.code: 2 instances of release r1 (web) left of 3.")
    arrived = shop.arrive(second)
    until("shop_product.code: met: The fleet is known.")
    for instance in serving:
        shop.leave(instance)
    done = running.wait().ok()

    assert arrived
    assert done.out.count("waits:") == 1
    assert done.out.rstrip().splitlines()[-1].startswith("shop_product.code is set aside;")
