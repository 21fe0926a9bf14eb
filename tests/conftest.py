"""Django is configured once for every test that imports from it; where every test must run, a skip is a failure."""

from __future__ import annotations

import functools
import os
import signal
from collections import defaultdict
from collections.abc import Generator
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
    """With GUARD_TEST_BREADTH=one, a long test runs on one of its databases: each takes the next one.

    Benchmarks are left to `make bench` then. GUARD_TEST_TURN, a number, says which database comes first; with any but
    0, what says the same with each Python is left out. With GUARD_TEST_SHARES=n, each long test, and each shorter one
    with each of its databases, runs in one turn of n.
    """
    if os.environ.get("GUARD_TEST_BREADTH") != "one":
        return
    turn, shares = int(os.environ.get("GUARD_TEST_TURN", "0")), int(os.environ.get("GUARD_TEST_SHARES", "1"))

    @functools.cache
    def under(path: Path, rooms: tuple[Path, ...]) -> bool:
        return any(path.is_relative_to(config.rootpath / room) for room in rooms)

    def within(item: pytest.Item, rooms: tuple[Path, ...]) -> bool:
        return under(item.path, rooms)

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
    left_out |= {item for number, item in enumerate(shared) if number % shares != turn % shares}
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=list(left_out))
