"""How a column is relaxed, decided from what it is."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from django.db import models

from guard.steps.ddl import ColumnFacts, ForeignKey
from guard.steps.relaxing import NO_DEFAULT, NoDefault, Relaxing, relaxing, static_default

PLAIN = ColumnFacts("integer", null=False, default=None)
KEY = ForeignKey("fk", "p", "id", "NO ACTION")
FREE = ForeignKey("fk", "p", "id", "SET NULL")


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (models.IntegerField(default=0), 0),
        (models.TextField(default=None, null=True), None),
        (models.JSONField(default=dict), {}),
        (models.CharField(blank=True, max_length=9), ""),
        (models.BinaryField(blank=True), b""),
        (models.CharField(max_length=9), NO_DEFAULT),
        (models.CharField(blank=True, null=True, max_length=9), NO_DEFAULT),
        (models.IntegerField(blank=True), NO_DEFAULT),
        (models.UUIDField(default=uuid.uuid4), NO_DEFAULT),
        (models.DateField(default=datetime.date.today), NO_DEFAULT),
        (models.IntegerField(default=lambda: 1), NO_DEFAULT),
        (models.DateTimeField(auto_now=True), NO_DEFAULT),
    ],
)
def test_a_static_default_is_one_that_is_always_the_same(field: models.Field[Any, Any], expected: object) -> None:
    found = static_default(field)

    assert found is expected if isinstance(expected, NoDefault) else found == expected


def test_each_call_gives_a_value_of_its_own() -> None:
    field = models.JSONField(default=list)

    assert static_default(field) is not static_default(field)


@pytest.mark.parametrize(
    ("found", "unique", "has_default", "expected"),
    [
        (PLAIN, False, True, Relaxing(allow_null=False, set_default=True, release_parents=False)),
        (PLAIN, False, False, Relaxing(allow_null=True, set_default=False, release_parents=False)),
        # One default would let one more row in.
        (PLAIN, True, True, Relaxing(allow_null=True, set_default=False, release_parents=False)),
        (
            ColumnFacts("integer", null=False, default="7"),
            False,
            True,
            Relaxing(allow_null=False, set_default=False, release_parents=False),
        ),
        (
            ColumnFacts("integer", null=False, default="7"),
            True,
            False,
            Relaxing(allow_null=True, set_default=False, release_parents=False),
        ),
        (
            ColumnFacts("integer", null=True, default=None),
            True,
            False,
            Relaxing(allow_null=False, set_default=False, release_parents=False),
        ),
        # The parent that a default names may be gone.
        (
            ColumnFacts("bigint", null=False, default=None, foreign_keys=(KEY,)),
            False,
            True,
            Relaxing(allow_null=True, set_default=False, release_parents=True),
        ),
        (
            ColumnFacts("bigint", null=True, default=None, foreign_keys=(FREE,)),
            False,
            False,
            Relaxing(allow_null=False, set_default=False, release_parents=False),
        ),
    ],
)
def test_a_leftover_gets_what_lets_new_code_insert_and_delete(
    found: ColumnFacts, unique: bool, has_default: bool, expected: Relaxing
) -> None:
    plan = relaxing(found, unique=unique, has_static_default=has_default)

    assert plan == expected
    assert plan.may_read_null is expected.allow_null


class TestFacts:
    def test_names_of_constraints_and_case_of_types_are_no_change(self) -> None:
        one = ColumnFacts("BIGINT", null=True, default=None, foreign_keys=(FREE,))
        other = ColumnFacts("bigint", null=True, default=None, foreign_keys=(ForeignKey("x", "p", "id", "SET NULL"),))

        assert one.same_as(other)

    @pytest.mark.parametrize(
        "other",
        [
            ColumnFacts("integer", null=True, default=None),
            ColumnFacts("text", null=False, default=None),
            ColumnFacts("integer", null=False, default="1"),
            ColumnFacts("integer", null=False, default=None, foreign_keys=(KEY,)),
        ],
    )
    def test_anything_else_is(self, other: ColumnFacts) -> None:
        assert not PLAIN.same_as(other)

    def test_they_are_read_as_they_were_stored(self) -> None:
        facts = ColumnFacts("bigint", null=True, default="'x'", foreign_keys=(KEY, FREE))

        assert ColumnFacts.from_json(facts.to_json()) == facts
