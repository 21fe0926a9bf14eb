"""A schema for each tenant behind one alias, whose search_path the project switches: `migrate` for each schema."""

from __future__ import annotations

import pytest

from tests.integration.gate.fixtures import FIRST, without
from tests.integration.gate.harness import Shop, Tree, Trees, migration

on_postgres = pytest.mark.parametrize("vendor", ["postgres"], indirect=True)

#: What packages for tenants do: one connection, switched from schema to schema, and Django's own command in each.
MIGRATE_SCHEMAS = """\
from django.core.management import BaseCommand, call_command
from django.db import connection


class Command(BaseCommand):
    def handle(self, *args, **options):
        for path in ("acme, public", "public"):
            with connection.cursor() as cursor:
                cursor.execute("SET search_path TO " + path)
            call_command("migrate", stdout=self.stdout)
"""

ACME = {"PGOPTIONS": "-c search_path=acme,public"}


@pytest.fixture(scope="session")
def second(trees: Trees, first: Tree) -> Tree:
    """The release without a field, and with a constraint that waits for old code to be gone."""
    constraint = "models.CheckConstraint(condition=models.Q(rank__gte=0), name='positive')"
    made = trees.make(
        first,
        without("note", models=FIRST),
        migrations=migration("0002_note", "0001_initial", "migrations.RemoveField('product', 'note')")
        | migration("0003_positive", "0002_note", f"migrations.AddConstraint('product', {constraint})"),
    )
    commands = made.path / "shop" / "management" / "commands"
    commands.mkdir(parents=True)
    (commands / "migrate_schemas.py").write_text(MIGRATE_SCHEMAS)
    return made


@pytest.fixture
def tenanted(shop: Shop) -> Shop:
    """The project with a tenant's schema beside the first one."""
    shop.query("CREATE SCHEMA acme")
    for table in ("shop_supplier", "shop_product", "django_migrations"):
        shop.query(f"CREATE TABLE acme.{table} (LIKE public.{table} INCLUDING ALL)")
        shop.query(f"INSERT INTO acme.{table} SELECT * FROM public.{table}")
        shop.query(f"ALTER TABLE acme.{table} ALTER COLUMN id RESTART WITH 1000")
    return shop


def steps(shop: Shop) -> dict[tuple[str, str], str]:
    with shop.ledger() as ledger:
        return {
            (step.schema, step.column or step.migration): step.state.value for step in ledger.steps(everybodys=True)
        }


@on_postgres
def test_each_schemas_columns_wait_and_are_taken_where_they_are(tenanted: Shop, first: Tree, second: Tree) -> None:
    shop = tenanted
    serving = shop.arrive(first)

    shop.run(second, "migrate_schemas").ok()

    assert steps(shop) == {
        ("acme", "note"): "waiting",
        ("acme", "0003_positive"): "waiting",
        ("", "note"): "waiting",
        ("", "0003_positive"): "waiting",
    }
    assert shop.contract(second).code == 0
    assert set(steps(shop).values()) == {"waiting"}

    shop.roll(serving, second)
    # The verdicts are clear. What is held runs where a connection of guard's own sees its table.
    said = shop.run(second, "migrate_schemas").ok().out
    assert "shop.0003_positive is in schema 'acme', and a connection of guard's own" in said
    assert steps(shop) == {
        ("acme", "note"): "waiting",
        ("acme", "0003_positive"): "waiting",
        ("", "note"): "aside",
        ("", "0003_positive"): "done",
    }
    shop.migrate(second, **ACME)
    assert steps(shop)["acme", "0003_positive"] == "done"
    assert steps(shop)["acme", "note"] == "aside"
    assert shop.query(
        "SELECT count(*) FROM pg_attribute WHERE attname = 'note' AND attrelid IN "
        "('acme.shop_product'::regclass, 'public.shop_product'::regclass)"
    ) == [(0,)]
    shop.run(second, "guard", "restore", "shop_product.note", **ACME).ok()
    assert [steps(shop)[schema, "note"] for schema in ("acme", "")] == ["waiting", "aside"]
