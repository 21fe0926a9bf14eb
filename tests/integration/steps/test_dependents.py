"""What others have made upon a column: found, whatever it is, and named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import InternalError, models
from django.db.backends.base.base import BaseDatabaseWrapper

from guard.gate.executor import without_cascade
from guard.gate.witnesses.dependents import dependents

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
            "DROP FUNCTION dep_f()",
        ),
        "function with a text": (
            "CREATE FUNCTION dep_f() RETURNS int LANGUAGE sql AS 'SELECT max(x) FROM dep_item'",
            "function dep_f() (its text names the column)",
            "DROP FUNCTION dep_f()",
        ),
        "trigger's function": (
            "CREATE FUNCTION dep_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.x := 1; RETURN NEW; END';"
            "CREATE TRIGGER dep_t BEFORE INSERT ON dep_item FOR EACH ROW EXECUTE FUNCTION dep_f()",
            "function dep_f() (its text names the column)",
            "DROP FUNCTION dep_f() CASCADE",
        ),
        "trigger of the column": (
            "CREATE FUNCTION dep_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
            "CREATE TRIGGER dep_t BEFORE UPDATE OF x ON dep_item FOR EACH ROW EXECUTE FUNCTION dep_f()",
            "trigger dep_t on public.dep_item",
            "DROP FUNCTION dep_f() CASCADE",
        ),
        "publication": (
            "CREATE PUBLICATION dep_p FOR TABLE dep_item (id, x)",
            "publication relation public.dep_item in publication dep_p",
            "DROP PUBLICATION dep_p",
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
            "CREATE USER dep_user; GRANT SELECT (x) ON dep_item TO dep_user",
            "grant to 'dep_user'@'%'",
            "DROP USER dep_user",
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
    assert dependents(tables, "dep_item", "x") == ()
    run(tables, make)
    try:
        found = dependents(tables, "dep_item", "x")
        elsewhere = dependents(tables, "dep_item", "other")
    finally:
        run(tables, unmake)

    assert named in found
    # A whole row has every column.
    assert elsewhere == () or "whole" in kind


@pytest.mark.parametrize("vendor", ["postgres"], indirect=True)
def test_what_runs_whole_takes_nothing_of_others_with_it(tables: BaseDatabaseWrapper) -> None:
    class Thing(models.Model):  # noqa: DJ008
        x = models.IntegerField()

        class Meta:
            app_label = "dependents"
            db_table = "dep_item"
            apps = Apps()

    run(tables, "CREATE VIEW dep_v AS SELECT x FROM dep_item")
    field = Thing._meta.get_field("x")
    for take in (lambda editor: editor.remove_field(Thing, field), lambda editor: editor.delete_model(Thing)):
        with pytest.raises(InternalError, match="dep_v"), without_cascade(tables), tables.schema_editor() as editor:
            take(editor)
    assert dependents(tables, "dep_item", "x") == ("view public.dep_v",)

    # Without guard it is gone.
    with tables.schema_editor() as editor:
        editor.delete_model(Thing)
    assert not run(tables, "SELECT 1 FROM pg_views WHERE viewname = 'dep_v'")
    run(tables, "CREATE TABLE dep_item (id integer)")


def test_what_is_the_tables_own_is_no_obstacle(tables: BaseDatabaseWrapper, vendor: str) -> None:
    run(tables, OWN[vendor])

    assert dependents(tables, "dep_item", "x") == ()
