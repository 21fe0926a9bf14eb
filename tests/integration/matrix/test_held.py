"""STRATEGY = "hold" over the same cases: old code's schema stays as it is until old code has gone."""

from __future__ import annotations

import os

import pytest

from tests.integration.matrix import test_add, test_alter, test_remove
from tests.integration.matrix.harness import Deploy

CASES = {
    f"{room} {name}": case
    for room, cases in (("remove", test_remove.CASES), ("add", test_add.CASES), ("alter", test_alter.CASES))
    for name, case in cases.items()
    if case.outcome in ("split", "held")
}


#: GUARD_TEST_HELD=1 tries every case.
FEW = ("remove foreign keys", "remove in much with others", "remove in several migrations", "alter then removed")
if os.environ.get("GUARD_TEST_HELD") != "1":
    CASES = {name: CASES[name] for name in FEW}


@pytest.mark.parametrize("vendor", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", CASES)
def test_held_until_old_code_has_gone(alias: str, name: str) -> None:
    Deploy(alias, CASES[name]).run_held()
