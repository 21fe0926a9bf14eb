"""Walks of two and three migrations, chosen at random: never broken on the way, and the end is as Django's.

GUARD_TEST_WALKS says how many for each kind of column on each database, GUARD_TEST_SEED in which order they are chosen.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.integration.matrix import changes, walks

MANY = int(os.environ.get("GUARD_TEST_WALKS", "1"))
SEED = os.environ.get("GUARD_TEST_SEED", "1")


@pytest.mark.parametrize("column", changes.COLUMNS)
def test_walks_end_where_django_ends_and_break_nobody_on_the_way(alias: str, column: str) -> None:
    chosen = random.Random(f"{SEED} {column} {walks.vendor_of(alias)}")
    diverged = []
    for number in range(MANY):
        walk = changes.at_random(chosen, column, 2 + number % 2)
        for way in sorted(chosen.sample(walks.WAYS, 1 if MANY == 1 else 2)):
            try:
                walks.Walk(alias, column, walk, way).go()
            except walks.Unwalkable:
                continue
            except walks.Diverged as error:
                diverged.append(f"{(column, walk, way)}: {error}")
    assert not diverged, "\n".join(diverged)


# What walks have found, one of each kind.
FOUND: list[tuple[str, tuple[str, ...], str]] = [
    ("covered", ("remove", "index elsewhere"), "together"),
    ("covered", ("remove", "add x again", "add index"), "aside"),
    ("constrained", ("remove", "add x again", "add constraint"), "waiting"),
    ("together", ("remove", "add x again", "together"), "aside"),
    ("together", ("rename table", "add constraint"), "held"),
    ("default", ("refer no more", "delete other"), "restored"),
    ("plain", ("delete", "create another"), "merged"),
    ("foreign key", ("refer no more", "delete", "create another"), "together"),
    ("plain", ("delete", "create another"), "waiting"),
    ("unique", ("remove", "rename model"), "held"),
    ("nullable", ("delete other", "create other again"), "back"),
    ("nullable", ("refer no more", "refer"), "back"),
    ("nullable", ("require", "rename"), "merged"),
    ("indexed", ("relate", "unrelate", "delete"), "merged"),
    ("nullable", ("require", "remove", "add x again"), "aside"),
    ("default", ("remove", "add x again nullable"), "waiting"),
    ("nullable", ("require", "db_default"), "waiting"),
    ("nullable", ("require by database", "other default", "db_default"), "waiting"),
    ("including", ("add unique if", "remove"), "waiting"),
    ("loose key", ("remove", "add x again"), "waiting"),
    ("loose key", ("remove", "add x again", "add index"), "aside"),
    ("foreign key", ("delete", "create again"), "waiting"),
    ("nullable", ("require", "other default", "remove"), "merged"),
]


@pytest.mark.parametrize(("column", "walk", "way"), FOUND, ids=lambda value: str(value))
def test_walks_that_once_broke(alias: str, column: str, walk: tuple[str, ...], way: str) -> None:
    walks.Walk(alias, column, walk, way).go()
