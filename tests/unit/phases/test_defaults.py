"""What the database itself gives for a callable default, and where it would not mean the same."""

import datetime
import uuid

import pytest
from django.db import connection, models
from django.test import override_settings
from django.utils import timezone

from guard.phases import defaults


class Coded(models.UUIDField):
    def get_db_prep_value(self, value, connection, prepared=False):
        return str(value).upper()


@pytest.mark.parametrize(
    "field",
    [
        models.DateTimeField(default=datetime.date.today),
        models.TimeField(default=timezone.now),
        models.UUIDField(default=uuid.uuid1),
        models.CharField(default=uuid.uuid4, max_length=36),
        models.IntegerField(default=lambda: 1),
        Coded(default=uuid.uuid4),
    ],
)
def test_nothing_is_given_that_python_would_not_store(field):
    assert defaults.expression(field, connection) == ""


def test_a_day_begins_where_python_says():
    field = models.DateField(auto_now_add=True)

    assert defaults.expression(field, connection) == "date('now', 'localtime')"


def test_a_moment_is_in_the_zone_that_python_stores():
    field = models.DateTimeField(auto_now_add=True)
    assert defaults.expression(field, connection)

    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        assert "localtime" in defaults.expression(field, connection)
