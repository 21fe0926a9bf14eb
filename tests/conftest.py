"""Django is configured once for every test that imports from it; where every test must run, a skip is a failure."""

from __future__ import annotations

import functools
import gc
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import django
import pytest
from hypothesis import HealthCheck, settings

#: Tests of whole processes, of whole deploys, and of several at once, which take the most time.
LONG = tuple(
    Path("tests") / room
    for room in (
        *("acceptance", "histories", "integration/runtime", "integration/gate"),
        *("integration/matrix", "integration/ledger", "integration/commands"),
    )
)
#: What is tried on each database, on each with one Python where Pythons take turns.
SHARED = tuple(
    Path("tests/integration") / room for room in ("attribution", "checks", "lint", "phases", "schema", "steps")
)
#: What says the same with each Python, and takes long to say it.
ONCE = (
    Path("tests/unit/gate/test_search.py"),
    Path("tests/unit/gate/test_verdict_properties.py"),
    Path("tests/integration/runtime/test_faults.py"),
    Path("tests/integration/runtime/test_soak.py"),
    Path("tests/acceptance/test_pgbouncer.py"),
    Path("tests/docs"),
)
#: What takes longest, each of its tests from ten seconds to a minute.
LONGEST = (
    Path("tests/integration/runtime/test_soak.py"),
    Path("tests/histories"),
    Path("tests/acceptance/test_pgbouncer.py"),
    Path("tests/integration/runtime/test_faults.py"),
    Path("tests/integration/runtime/test_takers.py"),
    Path("tests/docs/test_examples.py"),
)
#: What prints figures and judges nothing by them.
FIGURES = (Path("tests/benchmarks"),)
VENDORS = ("sqlite", "postgres", "mariadb")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

# The same examples each time, and none that fails for how long it takes: --hypothesis-profile=default tries others.
settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

# A shell starts what runs in its background with SIGINT ignored, and whatever the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("GUARD_TEST_REQUIRE") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"This test was skipped where every test must run (GUARD_TEST_REQUIRE=1). {reason}"
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    @functools.cache
    def under(path: Path, room: Path) -> bool:
        return path.is_relative_to(config.rootpath / room)

    def within(item: pytest.Item, rooms: Sequence[Path]) -> bool:
        return any(under(item.path, room) for room in rooms)

    if os.environ.get("GUARD_TEST_BREADTH") == "one":
        left_out = _left_out(items, within)
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = _longest_first(items, workers, within)


def pytest_collection_finish() -> None:
    # It stays to the end: no collection of garbage need look at it again.
    gc.freeze()


def _left_out(items: Sequence[pytest.Item], within: Callable[[pytest.Item, Sequence[Path]], bool]) -> set[pytest.Item]:
    """With GUARD_TEST_BREADTH=one, a long test runs on one of its databases: each takes the next one.

    Benchmarks are left to `make bench` then. GUARD_TEST_TURN, a number, says which database comes first; with any but
    0, what says the same with each Python is left out. With GUARD_TEST_SHARES=n, each long test, and each shorter one
    with each of its databases, runs in one turn of n.
    """
    turn, shares = int(os.environ.get("GUARD_TEST_TURN", "0")), int(os.environ.get("GUARD_TEST_SHARES", "1"))
    left_out = {item for item in items if within(item, FIGURES) or (turn and within(item, ONCE))}
    tests: dict[str, dict[str, pytest.Item]] = defaultdict(dict)
    for item in items:
        if item not in left_out and within(item, LONG) and not within(item, ONCE):
            callspec = getattr(item, "callspec", None)
            vendor = next((each for each in VENDORS if callspec and each in callspec.params.values()), "")
            tests[item.nodeid.replace(vendor, "*") if vendor else item.nodeid][vendor] = item
    for number, (_, of_vendors) in enumerate(sorted(tests.items())):
        vendors = sorted(of_vendors)
        chosen = vendors[(number // shares + turn) % len(vendors)] if number % shares == turn % shares else None
        left_out |= {item for vendor, item in of_vendors.items() if vendor != chosen}
    shared = [item for item in items if item not in left_out and within(item, SHARED)]
    shared.sort(key=lambda item: item.nodeid)
    return left_out | {item for number, item in enumerate(shared) if number % shares != turn % shares}


def _longest_first(
    items: Sequence[pytest.Item], workers: int, within: Callable[[pytest.Item, Sequence[Path]], bool]
) -> list[pytest.Item]:
    """The tests in an order in which no worker begins with what takes longest when the others are done.

    Each is given a part of the list, in order, and takes over from the end of another one's when it is done with it.
    """
    longest = [item for room in LONGEST for item in items if within(item, [room])]
    others = [item for item in items if not within(item, LONGEST)]
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        size = (len(items) - len(ordered)) // (workers - worker)
        begins = longest[worker::workers]
        ordered += begins
        ordered += others[: max(0, size - len(begins))]
        del others[: max(0, size - len(begins))]
    return ordered + others
