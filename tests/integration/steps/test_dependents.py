"""What others have made upon a column: found, whatever it is, and named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import DatabaseError, InternalError, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings

from guard.gate import evidence
from guard.gate.executor import without_cascade
from guard.gate.verdict import Unseen
from guard.gate.witnesses.dependents import Around, of_column, of_migration, of_table

#: Of a whole server, where other processes test at the same time.
USER, ROLE = f"dep_user_{os.getpid()}", f"dep_role_{os.getpid()}"

#: By vendor and kind: what makes it, and what it is called; what unmakes it, where dropping the tables does not.
MADE: dict[str, dict[str, tuple[str, str, str]]] = {
    "postgres": {
        "view": ("CREATE VIEW dep_v AS SELECT x FROM dep_item", "view public.dep_v", ""),
        "nested view": (
            "CREATE VIEW dep_v AS SELECT x AS y FROM dep_item; CREATE VIEW dep_w AS SELECT y FROM dep_v",
            "view public.dep_w",
            "",
        ),
        "view of whole rows": (
            "CREATE VIEW dep_v AS SELECT i FROM dep_item i",
            "view dep_v (it reads whole rows)",
            "",
        ),
        "materialized view": (
            "CREATE MATERIALIZED VIEW dep_v AS SELECT count(*) FROM dep_item WHERE x > 1",
            "materialized view public.dep_v",
            "",
        ),
        "rule": (
            "CREATE RULE dep_r AS ON DELETE TO dep_other DO ALSO UPDATE dep_item SET x = 0",
            "rule dep_r on public.dep_other",
            "",
        ),
        "policy": ("CREATE POLICY dep_p ON dep_item USING (x = 1)", "policy dep_p on public.dep_item", ""),
        "function with a parsed body": (
            "CREATE FUNCTION dep_f() RETURNS int BEGIN ATOMIC SELECT max(x) FROM dep_item; END",
            "function public.dep_f()",
            "DROP FUNCTION IF EXISTS dep_f()",
        ),
        "function with a text": (
            "CREATE FUNCTION dep_f() RETURNS int LANGUAGE sql AS 'SELECT max(x) FROM dep_item'",
            "function dep_f() (its text names the column)",
            "DROP FUNCTION IF EXISTS dep_f()",
        ),
        "trigger's function": (
            "CREATE FUNCTION dep_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.x := 1; RETURN NEW; END';"
            "CREATE TRIGGER dep_t BEFORE INSERT ON dep_item FOR EACH ROW EXECUTE FUNCTION dep_f()",
            "function dep_f() (its text names the column)",
            "DROP FUNCTION IF EXISTS dep_f() CASCADE",
        ),
        "trigger of the column": (
            "CREATE FUNCTION dep_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
            "CREATE TRIGGER dep_t BEFORE UPDATE OF x ON dep_item FOR EACH ROW EXECUTE FUNCTION dep_f()",
            "trigger dep_t on public.dep_item",
            "DROP FUNCTION IF EXISTS dep_f() CASCADE",
        ),
        "publication": (
            "CREATE PUBLICATION dep_p FOR TABLE dep_item (id, x)",
            "publication relation public.dep_item in publication dep_p",
            "DROP PUBLICATION IF EXISTS dep_p",
        ),
        "generated column": (
            "ALTER TABLE dep_item ADD z int GENERATED ALWAYS AS (x * 2) STORED",
            "table column public.dep_item.z",
            "",
        ),
        "foreign key": (
            "ALTER TABLE dep_item ADD UNIQUE (x); ALTER TABLE dep_other ADD FOREIGN KEY (y) REFERENCES dep_item (x)",
            "table constraint dep_other_y_fkey on public.dep_other",
            "",
        ),
        "replica identity": (
            "ALTER TABLE dep_item ALTER x SET NOT NULL; CREATE UNIQUE INDEX dep_i ON dep_item (x);"
            "ALTER TABLE dep_item REPLICA IDENTITY USING INDEX dep_i",
            "replica identity index dep_i",
            "",
        ),
        "grant": ("GRANT SELECT (x) ON dep_item TO pg_monitor", "grant to pg_monitor", ""),
    },
    "mariadb": {
        "view": ("CREATE VIEW dep_v AS SELECT x FROM dep_item", "view dep_v", "DROP VIEW dep_v"),
        "nested view": (
            "CREATE VIEW dep_v AS SELECT x AS y FROM dep_item; CREATE VIEW dep_w AS SELECT y FROM dep_v",
            "view dep_w",
            "DROP VIEW dep_w, dep_v",
        ),
        "view of whole rows": ("CREATE VIEW dep_v AS SELECT * FROM dep_item", "view dep_v", "DROP VIEW dep_v"),
        "trigger": (
            "CREATE TRIGGER dep_t BEFORE INSERT ON dep_item FOR EACH ROW SET NEW.x = 1",
            "trigger dep_t",
            "",
        ),
        "trigger of another table": (
            "CREATE TRIGGER dep_t AFTER INSERT ON dep_other FOR EACH ROW UPDATE dep_item SET x = 1",
            "trigger dep_t",
            "",
        ),
        "procedure": (
            "CREATE PROCEDURE dep_f() UPDATE dep_item SET x = 1",
            "routine dep_f",
            "DROP PROCEDURE dep_f",
        ),
        "event": (
            "CREATE EVENT dep_e ON SCHEDULE EVERY 1 YEAR DISABLE DO UPDATE dep_item SET x = 1",
            "event dep_e",
            "DROP EVENT dep_e",
        ),
        "generated column": (
            "ALTER TABLE dep_item ADD z int GENERATED ALWAYS AS (x * 2) STORED",
            "generated column z",
            "",
        ),
        "foreign key": (
            "ALTER TABLE dep_item ADD UNIQUE (x);"
            "ALTER TABLE dep_other ADD CONSTRAINT dep_k FOREIGN KEY (y) REFERENCES dep_item (x)",
            "foreign key dep_k of dep_other",
            "",
        ),
        "grant": (
            f"CREATE USER {USER}; GRANT SELECT (x) ON dep_item TO {USER}",
            f"grant to '{USER}'@'%'",
            f"DROP USER {USER}",
        ),
    },
    "sqlite": {
        "view": ("CREATE VIEW dep_v AS SELECT x FROM dep_item", "view dep_v", "DROP VIEW dep_v"),
        "nested view": (
            "CREATE VIEW dep_v AS SELECT x AS y FROM dep_item; CREATE VIEW dep_w AS SELECT y FROM dep_v",
            "view dep_w",
            "DROP VIEW dep_w; DROP VIEW dep_v",
        ),
        "trigger": (
            "CREATE TRIGGER dep_t AFTER UPDATE OF x ON dep_item BEGIN SELECT 1 WHERE NEW.x; END",
            "trigger dep_t",
            "",
        ),
        "generated column": (
            "ALTER TABLE dep_item ADD z int GENERATED ALWAYS AS (x * 2) VIRTUAL",
            "generated column z",
            "",
        ),
    },
}
OWN = {
    "postgres": "CREATE INDEX dep_i ON dep_item (x); CREATE INDEX dep_j ON dep_item (id, x);"
    "ALTER TABLE dep_item ADD CHECK (x > 0); CREATE STATISTICS dep_s ON id, x FROM dep_item;"
    "CREATE VIEW dep_v AS SELECT count(*) AS n, min(id) AS x FROM dep_item; GRANT SELECT ON dep_item TO pg_monitor",
    "mariadb": "CREATE INDEX dep_i ON dep_item (x); CREATE INDEX dep_j ON dep_item (id, x)",
    "sqlite": "CREATE INDEX dep_i ON dep_item (x); CREATE INDEX dep_j ON dep_item (id, x)",
}


#: What the catalog has no text of.
UNDEFINED = {("postgres", "publication"), ("postgres", "grant"), ("mariadb", "grant"), ("mariadb", "foreign key")}

#: By vendor and kind: a query whose answer is true as long as what others have made is there and works.
WORKS: dict[str, dict[str, str]] = {
    "postgres": {
        "view": "SELECT count(*) = 0 FROM dep_v",
        "nested view": "SELECT count(*) = 0 FROM dep_w",
        "view of whole rows": "SELECT count((i).x) = 0 FROM dep_v",
        "materialized view": "SELECT count(*) = 1 FROM dep_v",
        "rule": "SELECT count(*) = 1 FROM pg_rules WHERE rulename = 'dep_r'",
        "policy": "SELECT count(*) = 1 FROM pg_policies WHERE policyname = 'dep_p'",
        "function with a parsed body": "SELECT dep_f() IS NULL",
        "function with a text": "SELECT dep_f() IS NULL",
        "trigger's function": "INSERT INTO dep_item (id) VALUES (7) RETURNING true",
        "trigger of the column": "SELECT count(*) = 1 FROM pg_trigger WHERE tgname = 'dep_t'",
        "publication": "SELECT count(*) = 1 FROM pg_publication_rel",
        "generated column": "SELECT count(z) = 0 FROM dep_item",
        "foreign key": "SELECT count(*) = 1 FROM pg_constraint WHERE conname = 'dep_other_y_fkey'",
        "replica identity": "SELECT count(*) = 1 FROM pg_index WHERE indisreplident",
        "grant": "SELECT has_column_privilege('pg_monitor', 'dep_item', 'x', 'SELECT')",
    },
    "mariadb": {
        "view": "SELECT count(*) = 0 FROM dep_v",
        "nested view": "SELECT count(*) = 0 FROM dep_w",
        "view of whole rows": "SELECT count(*) = 0 FROM dep_v",
        "trigger": "INSERT INTO dep_item (id) VALUES (7) RETURNING 1",
        "trigger of another table": "INSERT INTO dep_other (id) VALUES (7) RETURNING 1",
        "procedure": "CALL dep_f()",
        "event": "UPDATE dep_item SET x = 1",
        "generated column": "SELECT count(z) = 0 FROM dep_item",
        "foreign key": "SELECT count(*) = 1 FROM information_schema.referential_constraints "
        "WHERE constraint_schema = DATABASE() AND constraint_name = 'dep_k'",
        "grant": "SELECT count(*) = 1 FROM information_schema.columns c JOIN information_schema.column_privileges p "
        "USING (table_schema, table_name, column_name) WHERE c.table_schema = DATABASE() AND c.column_name = 'x' "
        f"AND p.grantee LIKE '%{USER}%'",
    },
    "sqlite": {
        "view": "SELECT count(*) = 0 FROM dep_v",
        "nested view": "SELECT count(*) = 0 FROM dep_w",
        "trigger": "UPDATE dep_item SET other = 1 RETURNING 1",
        "generated column": "SELECT count(z) = 0 FROM dep_item",
    },
}


def names(around: Around) -> tuple[str, ...]:
    return tuple(each.name for each in around.others)


def works(connection: BaseDatabaseWrapper, sql: str) -> bool:
    """Whether the query's first answer is true; one without an answer works where it does not fail."""
    try:
        found = run(connection, sql)
    except DatabaseError:
        return False
    return not found or bool(found[0][0])


class Thing(models.Model):  # noqa: DJ008
    """The table that others have made things upon, as Django's own operations see it."""

    x = models.IntegerField()

    class Meta:
        app_label = "dependents"
        db_table = "dep_item"
        apps = Apps()


def run(connection: BaseDatabaseWrapper, sql: str) -> Any:
    with connection.cursor() as cursor:
        for statement in [sql] if "BEGIN" in sql else filter(None, sql.split(";")):
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


@pytest.fixture
def tables(connection: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    run(connection, "CREATE TABLE dep_item (id integer PRIMARY KEY, x integer, other integer)")
    run(connection, "CREATE TABLE dep_other (id integer PRIMARY KEY, y integer)")
    yield connection
    cascade = " CASCADE" if connection.vendor == "postgresql" else ""
    run(connection, f"DROP TABLE dep_other{cascade}; DROP TABLE dep_item{cascade}")


@pytest.mark.parametrize(("vendor", "kind"), [(vendor, kind) for vendor, kinds in MADE.items() for kind in kinds])
def test_what_others_have_made_upon_a_column_is_named(tables: BaseDatabaseWrapper, vendor: str, kind: str) -> None:
    make, named, unmake = MADE[vendor][kind]
    assert of_column(tables, "dep_item", "x") == Around(())
    run(tables, make)
    try:
        found = of_column(tables, "dep_item", "x")
        elsewhere = of_column(tables, "dep_item", "other")
        before = works(tables, WORKS[vendor][kind])
        try:
            # What Django alone does.
            with tables.schema_editor() as editor:
                editor.remove_field(Thing, Thing._meta.get_field("x"))
            refused = False
        except DatabaseError:
            refused = True
        after = works(tables, WORKS[vendor][kind])
    finally:
        run(tables, unmake)

    assert named in names(found)
    (definition,) = (each.definition for each in found.others if each.name == named)
    assert bool(definition) is ((vendor, kind) not in UNDEFINED)
    # A whole row has every column.
    assert names(elsewhere) == () or "whole" in kind
    # Without guard the migration fails half-way through the deploy, or what others have made is gone or broken.
    assert before
    assert refused or not after


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
def test_what_runs_whole_takes_nothing_of_others_with_it(tables: BaseDatabaseWrapper) -> None:
    run(tables, "CREATE VIEW dep_v AS SELECT x FROM dep_item")
    field = Thing._meta.get_field("x")
    for take in (lambda editor: editor.remove_field(Thing, field), lambda editor: editor.delete_model(Thing)):
        with pytest.raises(InternalError, match="dep_v"), without_cascade(tables), tables.schema_editor() as editor:
            take(editor)
    assert names(of_column(tables, "dep_item", "x")) == ("view public.dep_v",)

    # Without guard it is gone.
    with tables.schema_editor() as editor:
        editor.delete_model(Thing)
    assert not run(tables, "SELECT 1 FROM pg_views WHERE viewname = 'dep_v'")
    run(tables, "CREATE TABLE dep_item (id integer)")


def test_what_is_the_columns_own_is_no_obstacle_and_is_named(tables: BaseDatabaseWrapper, vendor: str) -> None:
    run(tables, OWN[vendor])

    around = of_column(tables, "dep_item", "x")

    assert around.others == ()
    assert {name.rpartition(".")[2].removeprefix("index ") for name in around.own} >= {"dep_i", "dep_j"}
    if vendor == "postgres":
        assert "statistics object public.dep_s" in around.own
        assert "table constraint dep_item_x_check on public.dep_item" in around.own
    assert not of_column(tables, "dep_item", "other").own


def test_what_is_the_tables_own_is_no_obstacle_and_is_named(tables: BaseDatabaseWrapper, vendor: str) -> None:
    body = {
        "postgres": "EXECUTE FUNCTION dep_f()",
        "mariadb": "SET NEW.x = 1",
        "sqlite": "BEGIN SELECT 1 WHERE NEW.x; END",
    }[vendor]
    if vendor == "postgres":
        run(tables, "CREATE FUNCTION dep_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    run(tables, f"CREATE TRIGGER dep_t BEFORE INSERT ON dep_item FOR EACH ROW {body}")
    run(tables, "CREATE VIEW dep_v AS SELECT id FROM dep_item")
    try:
        around = of_table(tables, "dep_item", lambda table, column: False)
    finally:
        run(tables, "DROP VIEW dep_v")
        if vendor == "postgres":
            run(tables, "DROP FUNCTION IF EXISTS dep_f() CASCADE")

    assert [name.removeprefix("public.") for name in names(around)] in (["view dep_v"], ["view public.dep_v"])
    assert [name.partition(" on ")[0] for name in around.own] == ["trigger dep_t"]


def test_a_migration_that_runs_whole_is_stopped_by_what_it_would_break_without_a_word(
    tables: BaseDatabaseWrapper,
) -> None:
    run(tables, "CREATE VIEW dep_v AS SELECT x FROM dep_item")
    if tables.vendor == "postgresql":
        run(tables, "CREATE FUNCTION dep_f() RETURNS int LANGUAGE sql AS 'SELECT max(x) FROM dep_item'")
    try:
        found = of_migration(tables, [("dep_item", "x"), ("dep_other", "")], lambda table, column: False)
    finally:
        run(tables, "DROP VIEW dep_v")
        if tables.vendor == "postgresql":
            run(tables, "DROP FUNCTION IF EXISTS dep_f()")

    wanted = {"postgresql": ("function dep_f() (its text names the column)",), "mysql": ("view dep_v",), "sqlite": ()}
    assert names(found) == wanted[tables.vendor]
    assert {each.on for each in found.others} <= {"dep_item.x"}


GRANTS = {
    "SELECT, ALTER, DROP ON {database}.*": {"view", "trigger", "event", "routine"},
    "ALL ON {database}.*": {"routine"},
    "ALL ON {pattern}.*": {"routine"},
    "SELECT, SHOW VIEW, TRIGGER, EVENT ON {database}.*|SELECT ON mysql.proc": set(),
    "SELECT ON {database}.*|SHOW VIEW, TRIGGER, SELECT ON *.*": {"event"},
    "ALL ON *.*": set(),
    "role: ALL ON {database}.*": {"routine"},
    "SELECT ON {database}.dep_item|EXECUTE ON PROCEDURE {database}.dep_p": {"view", "trigger", "event", "routine"},
}


@pytest.mark.parametrize("vendor", ["mariadb"], indirect=True)
@pytest.mark.parametrize("grants", GRANTS)
def test_what_this_role_may_not_read_is_named_with_what_would_let_it(tables: BaseDatabaseWrapper, grants: str) -> None:
    database = tables.settings_dict["NAME"]
    pattern = f"`{database[:-1].replace('_', chr(92) + '_')}%`"
    role = ROLE if grants.startswith("role: ") else f"{USER}@'%'"
    run(tables, "CREATE PROCEDURE dep_p() UPDATE dep_item SET x = 1")
    run(tables, f"CREATE USER {USER}@'%'; CREATE ROLE {ROLE}; GRANT {ROLE} TO {USER}@'%'")
    run(tables, f"SET DEFAULT ROLE {ROLE} FOR {USER}@'%'")
    alias = "steps_limited"
    settings = dict(connections.settings[tables.alias]) | {"USER": USER, "PASSWORD": ""}
    connections.settings[alias] = settings
    try:
        for grant in grants.removeprefix("role: ").split("|"):
            run(tables, f"GRANT {grant.format(database=f'`{database}`', pattern=pattern)} TO {role}")
        found = of_column(connections[alias], "dep_item", "x").unseen
        assert {each.kind for each in found} == GRANTS[grants]
        # What would let it is true: granted, it sees.
        for each in found:
            run(tables, each.grant)
        connections[alias].close()
        again = of_column(connections[alias], "dep_item", "x")
        assert again.unseen == ()
        assert "routine dep_p" in names(again)
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]
        run(tables, f"DROP USER {USER}@'%'; DROP ROLE {ROLE}; DROP PROCEDURE dep_p")


@pytest.mark.parametrize(
    ("witnesses", "blocking"),
    [({}, set()), ({"dependents": []}, {"routine", "event"}), ({"dependents": ["ev*"]}, {"routine"})],
)
def test_what_may_not_be_read_blocks_where_the_setting_asks_for_it(
    witnesses: dict[str, list[str]], blocking: set[str]
) -> None:
    found = (Unseen("routine", "GRANT …"), Unseen("event", "GRANT …"))
    with override_settings(GUARD={"WITNESSES": witnesses}):
        assert {each.kind for each in evidence._unseen(found) if each.blocks} == blocking
