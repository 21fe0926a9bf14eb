"""What the drivers say of a lock that is not to be had in time."""

from __future__ import annotations

import itertools

import pytest
from django.db import OperationalError

from guard.steps.locks import LONGEST_PAUSE, is_timeout, pauses


class DriverError(Exception):
    def __init__(self, **attributes: str) -> None:
        super().__init__("canceling statement due to lock timeout")
        self.__dict__.update(attributes)


def wrapped(cause: Exception) -> OperationalError:
    error = OperationalError(*cause.args)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (wrapped(DriverError(sqlstate="55P03")), True),
        (wrapped(DriverError(pgcode="55P03")), True),
        (wrapped(DriverError(pgcode="40P01")), True),
        (wrapped(DriverError(pgcode="57014")), False),
        (wrapped(DriverError()), False),
        (OperationalError(1205, "Lock wait timeout exceeded"), True),
        (OperationalError(1146, "no such table"), False),
        (OperationalError("database is locked"), True),
        (ValueError("database is locked"), False),
    ],
)
def test_a_lock_that_is_not_to_be_had_is_recognised_by_code(error: Exception, is_one: bool) -> None:
    assert is_timeout(error) is is_one


def test_pauses_grow_with_jitter_to_a_limit_and_never_end() -> None:
    first = list(itertools.islice(pauses(), 40))

    assert first[0] < 0.1
    assert LONGEST_PAUSE / 2 <= min(first[-20:]) <= max(first[-20:]) <= LONGEST_PAUSE * 1.5
    assert len(set(first)) == 40
