"""The project's own tests: guard's runtime is not there."""

from django.db import connection
from django.test import TestCase, TransactionTestCase

# As tests of a deployment do: the application is loaded before there is a test database.
from wsgi import application

from guard.runtime import process
from stock.models import Item


class RuntimeIsOff(TestCase):
    def test_nobody_registers_and_nobody_beats(self) -> None:
        Item.objects.create(name="tested")
        assert callable(application)
        assert self.client.get("/reads/0/").status_code == 200
        assert self.client.get("/guard/ready/").status_code == 200
        assert process.current().leases == {}
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM guard_instance")
            assert cursor.fetchone() == (0,)

    def test_no_query_is_added_to_the_projects_own(self) -> None:
        with self.assertNumQueries(1):
            assert self.client.get("/names/").status_code == 200
        with self.assertNumQueries(0):
            assert self.client.get("/guard/ready/").status_code == 200


class AfterAFlush(TransactionTestCase):
    def test_tables_are_emptied_without_a_word(self) -> None:
        Item.objects.create(name="tested")
        assert self.client.get("/names/").content == b"[('tested',)]"

    def test_and_again(self) -> None:
        assert not Item.objects.exists()
