"""How long a lease has been held, whatever happened to the clocks."""

import pytest

from guard.runtime.clock import Reading, read

SENT = Reading(monotonic=100.0, boot=500.0, wall=10_000.0)


@pytest.mark.parametrize(
    ("now", "elapsed"),
    [
        (Reading(130.0, 530.0, 10_030.0), 30.0),
        # Suspended for an hour: the monotonic clock stood still.
        (Reading(130.0, 4_130.0, 10_030.0), 3_630.0),
        # A virtual machine resumed from a snapshot: only the wall clock knows.
        (Reading(101.0, 501.0, 13_600.0), 3_600.0),
        # The wall clock was set back: that is no reason to believe in a longer lease.
        (Reading(130.0, 530.0, 6_400.0), 30.0),
    ],
    ids=["running", "suspended", "snapshot", "set back"],
)
def test_the_clock_that_counted_most_decides(now: Reading, elapsed: float) -> None:
    assert SENT.elapsed(now) == elapsed


def test_reading_the_clocks_of_this_host() -> None:
    first = read()
    assert 0 <= first.elapsed(read()) < 60
