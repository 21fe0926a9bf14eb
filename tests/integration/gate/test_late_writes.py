"""Writes that old code makes after a data migration has copied what it writes: counted, shown, and in the way."""

from __future__ import annotations

from guard.attribution.watchlist import Access
from guard.gate.copies import COPIED, UNSEEN
from guard.ledger import rows
from guard.steps import slating
from tests.integration.gate.fixtures import adding, on_sqlite, without
from tests.integration.gate.harness import Shop, Tree, Trees, migration

COPY = """
def copy(apps, editor):
    Product = apps.get_model("shop", "Product")
    for product in Product.objects.all():
        product.title = product.code
        product.save(update_fields=["title"])

"""
AGAIN = """
def again(apps, editor):
    with editor.connection.cursor() as cursor:
        cursor.execute("UPDATE shop_product SET title = code WHERE code IS NOT NULL")
"""
OPERATIONS = (
    "migrations.AddField('product', 'title', models.CharField(max_length=20, default='')), "
    "migrations.RunPython(copy, migrations.RunPython.noop, elidable=False), "
    "migrations.RemoveField('product', 'code'), "
    "migrations.RemoveField('product', 'note')"
)


MODELS = adding("title = models.CharField(max_length=20, default='')", models=without("code", "note"))


def with_function(before: str, operations: str, function: str, *, name: str) -> dict[str, str]:
    written = migration(name, before, operations)[name]
    return {name: written.replace("\n\nclass Migration", f"{function}\n\nclass Migration")}


def copying(trees: Trees, first: Tree) -> Tree:
    return trees.make(first, MODELS, migrations=with_function("0001_initial", OPERATIONS, COPY, name="0002_copy"))


def write(shop: Shop, instance: str, column: str, *, age: float = 0.0) -> None:
    glimpse = rows.Glimpse(
        "shop_product",
        column,
        Access.WRITE,
        "shop/views.py:7 in save",
        "",
        "UPDATE",
        "name",
        False,
        2,
        age,
        age,
        False,
        "",
    )
    with shop.ledger() as ledger:
        ledger.beat(instance, lease=600.0, watched_epoch=ledger.epoch(), flush_no=5, glimpses=[glimpse])


def acknowledge(shop: Shop, tree: Tree, column: str = "code") -> None:
    order = ("--waive", "late-writes", "--reason", "looked at", "--expires", "1h")
    shop.run(tree, "guard", "allow", f"shop_product.{column}", *order).ok()


UNSEEN_WRITES = (
    "1 instance of release r1 (web) may have written to shop_product.code between its copy by a data migration and the "
    "heartbeat that told it to watch it"
)


def test_late_writes_block_until_they_are_acknowledged(shop: Shop, first: Tree, trees: Trees) -> None:
    second = copying(trees, first)
    serving = shop.arrive(first)
    shop.migrate(second)
    for column in ("code", "note"):
        write(shop, serving, column)
    newer = shop.roll(serving, second)
    shop.beat(newer)

    waits = shop.contract(second).out

    assert "2 late writes went to shop_product.code after a data migration had copied it" in waits
    assert shop.states()["code"] == "waiting"
    assert "late write" in shop.run(second, "guard", "why", "shop_product.code").ok().out
    acknowledge(shop, second)
    shop.contract(second)
    assert shop.states()["code"] == "aside"


@on_sqlite
def test_writes_before_the_copy_are_in_it(shop: Shop, first: Tree, trees: Trees) -> None:
    second = copying(trees, first)
    serving = shop.arrive(first)
    shop.migrate(second)
    write(shop, serving, "code", age=600.0)
    newer = shop.roll(serving, second)
    shop.beat(newer)

    assert "late writes went to" not in shop.contract(second).out

    acknowledge(shop, second)
    shop.contract(second)
    assert shop.states()["code"] == "aside"


def test_what_old_code_may_have_written_before_it_watched_blocks_until_it_is_acknowledged(
    shop: Shop, first: Tree, trees: Trees
) -> None:
    second = copying(trees, first)
    ended, serving = shop.arrive(first), shop.arrive(first)
    shop.leave(ended)
    shop.migrate(second)
    # What comes now watches from its birth.
    for instance in (serving, shop.arrive(first)):
        shop.beat(instance)
        newer = shop.roll(instance, second)
    shop.beat(newer)

    waits = shop.contract(second).out

    assert UNSEEN_WRITES in waits
    assert shop.states() == {"code": "waiting", "note": "waiting"}
    acknowledge(shop, second)
    shop.contract(second)
    assert shop.states() == {"code": "aside", "note": "waiting"}


@on_sqlite
def test_a_copy_that_no_old_code_was_there_for_waits_for_nobody(shop: Shop, first: Tree, trees: Trees) -> None:
    second = copying(trees, first)
    shop.leave(shop.arrive(first))
    shop.migrate(second)
    shop.beat(shop.arrive(second))

    shop.contract(second)

    assert shop.states() == {"code": "aside", "note": "aside"}


@on_sqlite
def test_a_copy_whose_migrate_ended_early_counts_all_old_code_that_was_there(
    shop: Shop, first: Tree, trees: Trees
) -> None:
    second = copying(trees, first)
    serving = shop.arrive(first)
    shop.migrate(second)
    with shop.ledger() as ledger:
        (step,) = (found for found in ledger.steps() if found.column == "code")
        copied = {key: value for key, value in step.payload[COPIED].items() if key != UNSEEN}
        ledger.save(step, slating.with_payload(step, **{COPIED: copied}))
    newer = shop.roll(serving, second)
    shop.beat(newer)
    assert UNSEEN_WRITES in shop.contract(second).out

    shop.migrate(second)

    assert shop.step("shop_product.code").payload[COPIED][UNSEEN] == [["r1", "web", 1]]


def test_a_copy_is_not_forgotten_where_the_plan_ends_before_the_removal(shop: Shop, first: Tree, trees: Trees) -> None:
    filled = with_function(
        "0001_initial",
        OPERATIONS.replace(", migrations.RemoveField('product', 'code')", "").replace(
            ", migrations.RemoveField('product', 'note')", ""
        ),
        COPY,
        name="0002_copy",
    )
    removal = with_function(
        "0002_copy",
        "migrations.RunPython(stop, migrations.RunPython.noop), migrations.RemoveField('product', 'code')",
        "\nimport os\n\n\ndef stop(apps, editor):\n    assert os.environ.get('GO_ON') == '1'\n\n",
        name="0003_remove",
    )
    second = trees.make(
        first,
        adding("title = models.CharField(max_length=20, default='')", models=without("code")),
        migrations=filled | removal,
    )
    serving = shop.arrive(first)
    assert shop.run(second, "migrate").code == 1
    assert shop.recorded() == {"0001_initial", "0002_copy"}

    shop.migrate(second, GO_ON="1")
    write(shop, serving, "code")
    newer = shop.roll(serving, second)
    shop.beat(newer)

    assert "late writes went to shop_product.code" in shop.contract(second).out


@on_sqlite
def test_the_copy_made_again_takes_in_what_came_late(shop: Shop, first: Tree, trees: Trees) -> None:
    second = copying(trees, first)
    serving = shop.arrive(first)
    shop.migrate(second)
    write(shop, serving, "code")
    again = with_function("0002_copy", "migrations.RunPython(again)", AGAIN, name="0003_again")
    third = trees.make(second, MODELS, migrations=again)
    # It watches by now: what it writes is counted, and in the copy that is made beside it.
    shop.beat(serving)
    shop.migrate(third, "shop")
    newer = shop.roll(serving, third)
    shop.beat(newer)
    shop.contract(third)

    assert shop.states()["code"] == "aside"


@on_sqlite
def test_the_copy_made_again_does_not_take_in_what_comes_after_it(shop: Shop, first: Tree, trees: Trees) -> None:
    second = copying(trees, first)
    serving = shop.arrive(first)
    shop.migrate(second)
    again = with_function("0002_copy", "migrations.RunPython(again)", AGAIN, name="0003_again")
    third = trees.make(second, MODELS, migrations=again)
    shop.beat(serving)
    shop.migrate(third, "shop")
    write(shop, serving, "code")
    newer = shop.roll(serving, third)
    shop.beat(newer)

    waits = shop.contract(third).out

    assert "2 late writes went to shop_product.code" in waits
    assert "may have written to shop_product.code" not in waits
    assert shop.states()["code"] == "waiting"


@on_sqlite
def test_without_a_copy_nothing_is_late(shop: Shop, first: Tree, trees: Trees) -> None:
    second = trees.make(first, without("code"))
    serving = shop.arrive(first)
    shop.migrate(second)
    write(shop, serving, "code")
    newer = shop.roll(serving, second)
    shop.beat(newer)

    shop.contract(second)

    assert shop.states()["code"] == "aside"


NESTED = """
def copy(apps, editor):
    Product = apps.get_model("shop", "Product")
    Product.objects.update(title=models.F("code"))


class Copies(migrations.operations.base.Operation):
    guard_phase = "expand"

    def state_forwards(self, app_label, state):
        pass

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        schema_editor.execute("UPDATE shop_product SET title = rank")

"""


@on_sqlite
def test_a_copy_is_noticed_wherever_an_operation_makes_it(shop: Shop, first: Tree, trees: Trees) -> None:
    operations = (
        "migrations.AddField('product', 'title', models.CharField(max_length=20, default='')), "
        # The alteration makes the table anew on SQLite, which reads every column and copies none.
        "migrations.SeparateDatabaseAndState(database_operations=[migrations.RunPython(copy), "
        "migrations.AlterField('product', 'name', models.CharField(max_length=60, db_index=True))]), "
        "migrations.SeparateDatabaseAndState(database_operations=[migrations.SeparateDatabaseAndState("
        "database_operations=[migrations.RunSQL('UPDATE shop_product SET title = COALESCE(note, title)')])]), "
        "Copies(), "
        + ", ".join(f"migrations.RemoveField('product', '{field}')" for field in ("code", "note", "rank", "enabled"))
    )
    second = trees.make(
        first,
        adding(
            "title = models.CharField(max_length=20, default='')", models=without("code", "note", "rank", "enabled")
        ),
        migrations=with_function("0001_initial", operations, NESTED, name="0002_copy"),
    )
    shop.arrive(first)

    shop.migrate(second)

    marked = {field: COPIED in shop.step(f"shop_product.{field}").payload for field in shop.states()}
    assert marked == {"code": True, "note": True, "rank": True, "enabled": False}
