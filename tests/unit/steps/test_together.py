"""Which operations get the locks of their tables together, before the first of them."""

from __future__ import annotations

import pytest
from django.db import models
from django.db.migrations import AddField
from django.db.models.functions import Now, Pi

from guard.steps.add_field import ReclaimField
from guard.steps.together import LockTogether, locked_together


def adding(field: models.Field) -> AddField:
    return AddField("product", "added", field)


PLAIN = models.IntegerField(null=True)
COMPUTED = models.GeneratedField(expression=Pi(), output_field=models.FloatField(), db_persist=True)


def test_what_changes_the_catalog_alone_is_locked_together() -> None:
    first, second = adding(PLAIN), adding(models.IntegerField(db_default=7))
    lock, *rest = locked_together([first, second])
    assert isinstance(lock, LockTogether)
    assert lock.operations == rest == [first, second]


@pytest.mark.parametrize(
    "long",
    [
        adding(models.DateTimeField(db_default=Now())),
        adding(COMPUTED),
        ReclaimField("product", "added", PLAIN),
    ],
)
def test_no_table_is_locked_while_another_may_be_written_anew(long: AddField) -> None:
    before, after = adding(PLAIN), adding(PLAIN)
    assert locked_together([before, long, after]) == [before, long, after]
