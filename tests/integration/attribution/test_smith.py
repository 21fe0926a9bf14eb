"""Attribution against the databases, on statements of every kind that are written at random: no touch is missed."""

from __future__ import annotations

import os

import pytest
from django.db import connections

from tests.integration.attribution import oracles, smith, test_corpus

#: More of them, and others, are for whoever looks for misses: some tens of thousands have been looked at.
COUNT = int(os.environ.get("GUARD_TEST_STATEMENTS", "250"))
SEED = int(os.environ.get("GUARD_TEST_SEED", "1"))

SCHEMA = oracles.Schema({table: smith.columns(table) for table in smith.TABLES}, smith.TARGETS)


def test_no_touch_of_a_statement_written_at_random_is_missed(smithy: str) -> None:
    vendor = connections[smithy].vendor
    written = smith.generated(vendor, COUNT, SEED)

    answers = test_corpus.ask(smithy, dict.fromkeys(written), SCHEMA)
    result = test_corpus.compare(answers, vendor, smith.TARGETS)
    print(f"\n{smithy}: {result}")
    assert result.missed == []
    assert len(answers) >= 0.3 * COUNT


# SQLite crashes where tables are altered beside some of these statements, and its authorizer says most of it above.
@pytest.mark.parametrize("smithy", ["postgresql", "mysql"], indirect=True)
def test_no_touch_is_missed_without_which_a_statement_written_at_random_fails(smithy: str) -> None:
    vendor = connections[smithy].vendor
    # Others than above, and fewer: each is asked about each column.
    written = smith.generated(vendor, COUNT // 2, SEED + 1)
    answers = test_corpus.ask(smithy, dict.fromkeys(written), SCHEMA)

    needed = oracles.broken(connections[smithy], list(answers), SCHEMA)
    uses: dict[str, oracles.Uses] = {sql: {(target, "") for target in targets} for sql, targets in needed.items()}
    assert any(needed.values())
    assert test_corpus.compare(uses, vendor, smith.TARGETS).missed == []
