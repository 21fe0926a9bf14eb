"""Several apps: one that is installed, one that is uninstalled, and what must run before what across them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from django.db import DatabaseError

from guard.ledger import rows
from tests.integration.checks.test_checks import check, ids
from tests.integration.gate.fixtures import on_sqlite
from tests.integration.gate.harness import _FOOTPRINT, _HEAD, _MANAGE, _SETTINGS, Shop, Tree

SHOP = """\
class Supplier(models.Model):
    name = models.CharField(max_length=50)


class Product(models.Model):
    name = models.CharField(max_length=50)
"""
WITH_CLUB = SHOP + '    club = models.ForeignKey("clubs.Club", models.CASCADE)\n'

CLUBS = """\
class Club(models.Model):
    name = models.CharField(max_length=50)
    suppliers = models.ManyToManyField("shop.Supplier")


class Member(models.Model):
    club = models.ForeignKey(Club, models.CASCADE)
    supplier = models.ForeignKey("shop.Supplier", models.PROTECT)
    level = models.IntegerField()
"""

_ID = "('id', models.BigAutoField(primary_key=True, serialize=False))"
_NAME = "('name', models.CharField(max_length=50))"


def _migration(dependencies: str, *operations: str, before: str = "") -> str:
    return (
        "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
        f"    dependencies = [{dependencies}]\n    run_before = [{before}]\n"
        f"    operations = [{', '.join(operations)}]\n"
    )


def _shop(club: str, dependencies: str) -> str:
    return _migration(
        dependencies,
        f"migrations.CreateModel('Supplier', [{_ID}, {_NAME}])",
        f"migrations.CreateModel('Product', [{_ID}, {_NAME}, ('club', {club})])",
    )


CLUB_MADE = _migration("", f"migrations.CreateModel('Club', [{_ID}, {_NAME}])")
MEMBER_MADE = _migration(
    "('clubs', '0001_club'), ('shop', '0001_initial')",
    "migrations.AddField('Club', 'suppliers', models.ManyToManyField('shop.supplier'))",
    f"migrations.CreateModel('Member', [{_ID}, ('club', models.ForeignKey('clubs.club', models.CASCADE)), "
    "('supplier', models.ForeignKey('shop.supplier', models.PROTECT)), ('level', models.IntegerField())])",
)
REFERRING = _shop("models.ForeignKey('clubs.club', models.CASCADE)", "('clubs', '0001_club')")
#: As a history is edited that must do without the app: the column is there, and refers to nothing.
EDITED = _shop("models.BigIntegerField(db_column='club_id')", "")
REMOVED = _migration("('shop', '0001_initial')", "migrations.RemoveField('product', 'club')")
DELETED = _migration(
    "('clubs', '0002_member'), ('shop', '0002_no_club')",
    "migrations.DeleteModel('Member')",
    "migrations.DeleteModel('Club')",
)
CLUBS_FIRST = {"0001_club": CLUB_MADE, "0002_member": MEMBER_MADE}


@pytest.fixture
def clubs(empty_shop: Shop, tmp_path: Path) -> Clubs:
    return Clubs(empty_shop, tmp_path / "releases")


class Clubs:
    """A project of two apps that refer to each other; a release has one of them, or both."""

    def __init__(self, shop: Shop, directory: Path) -> None:
        self.shop = shop
        shop.apps = ["guard", "shop", "clubs"]
        present = "import importlib.util as u; INSTALLED_APPS = [a for a in INSTALLED_APPS if u.find_spec(a)]"
        shop.environ["MORE_SETTINGS"] = present
        self._directory = directory
        self.first = self.tree("r1", {"shop": (WITH_CLUB, {"0001_initial": REFERRING}), "clubs": (CLUBS, CLUBS_FIRST)})

    def tree(self, name: str, apps: dict[str, tuple[str, dict[str, str]]]) -> Tree:
        path = self._directory / name
        for app, (models, migrations) in apps.items():
            (path / app / "migrations").mkdir(parents=True)
            (path / app / "__init__.py").touch()
            (path / app / "migrations" / "__init__.py").touch()
            (path / app / "models.py").write_text(_HEAD + models)
            for migration, text in migrations.items():
                (path / app / "migrations" / f"{migration}.py").write_text(text)
        for file, text in (("manage.py", _MANAGE), ("settings.py", _SETTINGS), ("footprint.py", _FOOTPRINT)):
            (path / file).write_text(text)
        return Tree(name, path)

    def emptied(self) -> Tree:
        """The second release: the app is there, and has no models any more."""
        migrations = {"0001_initial": REFERRING, "0002_no_club": REMOVED}
        return self.tree("r2", {"shop": (SHOP, migrations), "clubs": ("", CLUBS_FIRST | {"0003_nothing": DELETED})})

    def without(self, name: str) -> Tree:
        """A release that does not have the app."""
        return self.tree(name, {"shop": (SHOP, {"0001_initial": EDITED, "0002_no_club": REMOVED})})

    def seed(self) -> None:
        self.shop.migrate(self.first)
        self.shop.query("INSERT INTO shop_supplier (id, name) VALUES (1, 'a'), (2, 'b')")
        self.shop.query("INSERT INTO clubs_club (id, name) VALUES (1, 'c'), (2, 'd')")
        self.shop.query("INSERT INTO shop_product (id, name, club_id) VALUES (1, 'p', 1), (2, 'q', 2)")
        self.shop.query("INSERT INTO clubs_member (id, club_id, supplier_id, level) VALUES (1, 1, 1, 7)")
        self.shop.query("INSERT INTO clubs_club_suppliers (id, club_id, supplier_id) VALUES (1, 1, 1)")

    def old_code_works(self) -> None:
        """As the first release's models do it: a row of each, and a club deleted with all that hangs on it."""
        shop = self.shop
        shop.query("INSERT INTO clubs_club (id, name) VALUES (9, 'x')")
        shop.query("INSERT INTO shop_product (id, name, club_id) VALUES (9, 'x', 9)")
        shop.query("INSERT INTO clubs_member (id, club_id, supplier_id, level) VALUES (9, 9, 2, 1)")
        shop.query("INSERT INTO clubs_club_suppliers (id, club_id, supplier_id) VALUES (9, 9, 2)")
        assert shop.query("SELECT club_id FROM shop_product WHERE id = 9") == [(9,)]
        shop.query("DELETE FROM clubs_club_suppliers WHERE id = 9")
        shop.query("DELETE FROM clubs_member WHERE id = 9")
        shop.query("DELETE FROM shop_product WHERE id = 9")
        shop.query("DELETE FROM clubs_club WHERE id = 9")

    def new_code_works(self) -> None:
        """As a release does it that has only the shop's models, without the club."""
        self.shop.query("INSERT INTO shop_product (id, name) VALUES (8, 'y')")
        self.shop.query("DELETE FROM shop_product WHERE id = 8")
        self.shop.query("INSERT INTO shop_supplier (id, name) VALUES (8, 'y')")
        self.shop.query("DELETE FROM shop_supplier WHERE id = 8")

    def tables(self) -> set[str]:
        with self.shop.connection() as connection:
            return {t for t in connection.introspection.table_names() if "club" in t}


TABLES = {"clubs_club", "clubs_member", "clubs_club_suppliers"}


def test_uninstalled_at_once_both_releases_work_and_the_tables_stay(clubs: Clubs) -> None:
    shop = clubs.shop
    clubs.seed()
    second = clubs.without("r2")
    serving = shop.arrive(clubs.first)

    shop.migrate(second)

    assert shop.states() == {"club_id": "waiting"}
    clubs.old_code_works()
    clubs.new_code_works()

    done = check(shop, second).ok()
    assert sorted(ids(done)) == ["W023"]
    assert "clubs_club_suppliers.supplier_id to shop_supplier, clubs_member.supplier_id to shop_supplier" in done.text
    with pytest.raises(DatabaseError):
        # As Django leaves it: nobody tells the database that these rows are nobody's any more.
        shop.query("DELETE FROM shop_supplier WHERE id = 1")

    # A roll-back of the code finds everything in place.
    assert ids(check(shop, clubs.first).ok()) == ["W017"]

    shop.roll(serving, second)
    shop.contract(second)
    assert shop.states() == {"club_id": "aside"}
    shop.run(second, "guard", "restore", "shop_product.club_id").ok()
    assert shop.query("SELECT id, club_id FROM shop_product ORDER BY id") == [(1, 1), (2, 2)]
    clubs.old_code_works()
    shop.guard["KEEP_FOR"] = 0
    shop.contract(second)
    assert shop.states() == {"club_id": "done"}
    assert clubs.tables() == TABLES
    clubs.new_code_works()
    shop.migrate(second)
    assert "none waits" in shop.run(second, "guard", "status").ok().out


def test_uninstalled_after_its_models_were_deleted_its_tables_go_all_the_same(clubs: Clubs) -> None:
    shop = clubs.shop
    clubs.seed()
    second, third = clubs.emptied(), clubs.without("r3")
    serving = shop.arrive(clubs.first)
    shop.migrate(second)
    clubs.old_code_works()
    clubs.new_code_works()

    shop.migrate(third)

    # Everything waits still: the first release serves.
    with shop.ledger() as ledger:
        assert {s.table: s.state.value for s in ledger.steps() if not s.column} == dict.fromkeys(TABLES, "waiting")
    clubs.old_code_works()
    clubs.new_code_works()
    assert ids(check(shop, third).ok()) == []

    shop.roll(serving, third)
    # Each that is set aside is reported for before the next one.
    for _ in range(4):
        with shop.ledger() as ledger:
            waits = [i.id for i in ledger.instances() if i.state is not rows.InstanceState.GONE]
        for instance in waits:
            shop.beat(instance)
        shop.contract(third)
    with shop.ledger() as ledger:
        assert {s.state.value for s in ledger.steps()} == {"aside"}
        targets = [s.target for s in ledger.steps(rows.StepState.ASIDE)]
    assert ids(check(shop, third).ok()) == []
    for target in reversed(targets):
        shop.run(third, "guard", "restore", target).ok()
    clubs.old_code_works()
    shop.query("DELETE FROM shop_supplier WHERE id = 1")
    assert shop.query("SELECT id, supplier_id FROM clubs_member") == [(1, None)]

    shop.guard["KEEP_FOR"] = 0
    for _ in range(4):
        for instance in waits:
            shop.beat(instance)
        shop.contract(third)
    assert clubs.tables() == set()
    assert ids(check(shop, third).ok()) == []


def test_what_was_held_for_an_app_that_is_gone_says_so(clubs: Clubs) -> None:
    shop = clubs.shop
    clubs.seed()
    strict = clubs.first.path.with_name("strict")
    shutil.copytree(clubs.first.path, strict)
    (strict / "clubs" / "migrations" / "0003_strict.py").write_text(
        _migration(
            "('clubs', '0002_member')",
            "migrations.AddConstraint('Member', models.CheckConstraint(condition=models.Q(level__gt=0), name='some'))",
        )
    )
    serving = shop.arrive(clubs.first)
    held = Tree("r2", strict)
    assert "clubs.0003_strict waits and is not applied yet." in shop.migrate(held).out

    third = clubs.without("r3")
    shop.migrate(third)
    shop.roll(serving, third)
    said = shop.contract(third).out

    assert "clubs.0003_strict" in said
    assert "release r3 does not have it" in said
    assert "manage.py guard withdraw clubs.0003_strict" in said
    shop.run(third, "guard", "withdraw", "clubs.0003_strict", "--reason", "the app is gone").ok()
    assert "clubs.0003_strict" not in shop.run(third, "guard", "status").ok().out


STRICT = "migrations.AddConstraint('Member', models.CheckConstraint(condition=models.Q(level__gt=0), name='some'))"


@on_sqlite
def test_what_is_held_holds_what_it_must_run_before_in_another_app(clubs: Clubs) -> None:
    shop = clubs.shop
    clubs.seed()
    strict = _migration("('clubs', '0002_member')", STRICT, before="('shop', '0002_more')")
    more = "migrations.AddField('supplier', 'more', models.IntegerField(null=True))"
    added = _migration("('shop', '0001_initial')", more)
    free = _migration("('clubs', '0002_member')", more.replace("supplier", "club"))
    models = WITH_CLUB.replace("class Product", "    more = models.IntegerField(null=True)\n\n\nclass Product", 1)
    second = clubs.tree(
        "r2",
        {
            "shop": (models, {"0001_initial": REFERRING, "0002_more": added}),
            "clubs": (CLUBS, CLUBS_FIRST | {"0003_strict": strict, "0003_free": free}),
        },
    )
    (second.path / "clubs" / "migrations" / "0004_merge.py").write_text(
        _migration("('clubs', '0003_strict'), ('clubs', '0003_free')")
    )
    serving = shop.arrive(clubs.first)

    done = shop.migrate(second, code=3)

    assert "clubs.0003_strict waits and is not applied yet." in done.out
    assert "shop.0002_more waits too, because it depends on clubs.0003_strict." in done.out
    assert "This release's models need shop_supplier.more" in done.err
    assert shop.recorded() == {"0001_initial"}
    assert "more" in shop.columns("clubs_club")

    shop.leave(serving)
    shop.migrate(second)
    assert shop.recorded() == {"0001_initial", "0002_more"}


@on_sqlite
def test_what_is_held_holds_what_cannot_do_without_it_though_it_does_not_say_so(clubs: Clubs) -> None:
    shop = clubs.shop
    fans = """\
class Patron(models.Model):
    name = models.CharField(max_length=50)

    class Meta:
        db_table = "shop_supplier"


class Fan(models.Model):
    of = models.ForeignKey(Patron, models.CASCADE)
    level = models.IntegerField()
"""
    products = "class Product(models.Model):\n    name = models.CharField(max_length=50)\n"
    both = _shop("models.IntegerField(null=True)", "")
    fan_made = _migration(
        "('shop', '0001_initial')",
        f"migrations.CreateModel('Fan', [{_ID}, ('of', models.ForeignKey('shop.supplier', models.CASCADE)), "
        "('level', models.IntegerField())])",
    )
    first = clubs.tree(
        "first",
        {
            "shop": (SHOP, {"0001_initial": both}),
            "clubs": (fans.partition("\n\n\n")[2].replace("Patron", "'shop.Supplier'"), {"0001_fan": fan_made}),
        },
    )
    shop.migrate(first)
    serving = shop.arrive(first)
    # A model moves to another app; that nobody may refer to it any more, only the order of the plan says.
    moved = _migration(
        "('clubs', '0001_fan')",
        "migrations.SeparateDatabaseAndState(state_operations=["
        f"migrations.CreateModel('Patron', [{_ID}, {_NAME}], options={{'db_table': 'shop_supplier'}}), "
        "migrations.AlterField('fan', 'of', models.ForeignKey('clubs.patron', models.CASCADE))])",
        STRICT.replace("'Member'", "'fan'"),
    )
    gone = _migration(
        "('shop', '0001_initial')",
        "migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel('Supplier')])",
    )
    later = _migration("('shop', '0002_gone')", "migrations.AlterModelOptions('product', {'ordering': ['name']})")
    second = clubs.tree(
        "second",
        {
            "shop": (products, {"0001_initial": both, "0002_gone": gone, "0003_later": later}),
            "clubs": (fans, {"0001_fan": fan_made, "0002_moved": moved}),
        },
    )

    for _ in range(2):
        said = shop.migrate(second).out
        assert "clubs.0002_moved waits and is not applied yet." in said
        assert "shop.0002_gone waits too, because it depends on clubs.0002_moved." in said
        assert shop.recorded() == {"0001_initial"}

    shop.leave(serving)
    shop.migrate(second)
    assert shop.recorded() == {"0001_initial", "0002_gone", "0003_later"}


def test_an_app_that_is_installed_brings_its_whole_history_at_once(clubs: Clubs) -> None:
    shop = clubs.shop
    before = clubs.tree("r0", {"shop": (SHOP, {"0001_initial": _shop("models.IntegerField(null=True)", "")})})
    shop.migrate(before)
    shop.arrive(before)
    history = CLUBS_FIRST | {
        "0003_renamed": _migration(
            "('clubs', '0002_member')",
            "migrations.RemoveField('member', 'level')",
            "migrations.RenameField('club', 'name', 'title')",
            "migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)",
            "migrations.RenameModel('Member', 'Fellow')",
            "migrations.AlterUniqueTogether('fellow', {('club', 'supplier')})",
            "migrations.DeleteModel('Fellow')",
        )
    }
    models = CLUBS.partition("\n\n\n")[0].replace("name", "title")
    first = _shop("models.IntegerField(null=True)", "")
    installed = clubs.tree("r2", {"shop": (SHOP, {"0001_initial": first}), "clubs": (models, history)})

    said = shop.migrate(installed).out

    assert "guard:" not in said
    assert clubs.tables() == {"clubs_club", "clubs_club_suppliers"}
    assert shop.columns("clubs_club") == {"id", "title"}
    with shop.ledger() as ledger:
        assert ledger.steps() == ()
