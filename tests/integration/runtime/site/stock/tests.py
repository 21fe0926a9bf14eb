"""The project's own tests: guard's runtime is not there."""

from django.db import connection
from django.test import TestCase

from guard.runtime import process
from stock.models import Item


class RuntimeIsOff(TestCase):
    def test_nobody_registers_and_nobody_beats(self) -> None:
        Item.objects.create(name="tested")
        assert self.client.get("/reads/0/").status_code == 200
        assert self.client.get("/guard/ready/").status_code == 200
        assert process.current().leases == {}
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM guard_instance")
            assert cursor.fetchone() == (0,)
