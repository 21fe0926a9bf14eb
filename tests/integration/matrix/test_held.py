"""STRATEGY = "hold" over the same cases: old code's schema stays as it is until old code has gone."""

from __future__ import annotations

import pytest
from django.db import connections

from tests.integration.matrix import test_add, test_alter, test_histories, test_remove, test_tables, test_upgrades
from tests.integration.matrix.harness import Deploy, wide

CASES = {
    f"{room} {name}": case
    for room, cases in (
        ("remove", test_remove.CASES),
        ("add", test_add.CASES),
        ("alter", test_alter.CASES),
        ("table", test_tables.CASES),
        ("history", test_histories.CASES),
        ("upgrade", test_upgrades.CASES),
    )
    for name, case in cases.items()
}

#: One of each phase, and what goes together; every case where breadth is wide.
FEW = (
    "remove foreign keys",
    "remove in much with others",
    "remove in several migrations",
    "add of every kind",
    "alter with a default, NULLs there",
    "alter then removed",
    "table with relations that do not cascade",
    "history blog: drafts become a status",
)
if not wide():
    CASES = {name: CASES[name] for name in FEW}


@pytest.mark.parametrize("name", CASES)
def test_held_until_old_code_has_gone(alias: str, name: str) -> None:
    case = CASES[name]
    if not alias.endswith(test_upgrades.ONLY.get(name.removeprefix("upgrade "), "")):
        return
    if case.but.get(connections[alias].vendor, case.outcome) not in ("split", "held"):
        return
    Deploy(alias, case).run_held()
