"""What depends on a column or a table, by the catalog: things of others that taking it would break or silently destroy.

The table's own indexes, defaults, sequences and constraints go with the column and are not listed. What stands in the
text of a function is found by its words: it may be listed wrongly, but no spelling hides it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from guard.schema.sqlite_table import NotUnderstood
from guard.steps.ddl import ddl_for
from guard.steps.ddl.sqlite import SqliteDdl

# pg_depend walked recursively; an INTERNAL edge counts upwards too (a view hangs on its rule).
_POSTGRESQL = """
    WITH RECURSIVE target AS (
      SELECT 'pg_class'::regclass::oid AS classid, attrelid AS objid, attnum::int AS objsubid FROM pg_attribute
      WHERE attrelid = to_regclass(%s) AND attname = %s AND attnum > 0 AND NOT attisdropped),
    edge AS (
      SELECT refclassid AS rc, refobjid AS ro, refobjsubid AS rs, classid, objid, objsubid
      FROM pg_depend WHERE deptype IN ('n', 'a', 'i', 'P', 'S')
      UNION ALL
      SELECT classid, objid, objsubid, refclassid, refobjid, refobjsubid FROM pg_depend WHERE deptype = 'i'),
    dep AS (
      SELECT classid, objid, objsubid, 0 AS depth FROM target
      UNION
      SELECT e.classid, e.objid, e.objsubid, depth + 1
      FROM dep JOIN edge e ON e.rc = dep.classid AND e.ro = dep.objid
           AND (dep.objsubid = 0 OR e.rs = dep.objsubid)
      WHERE depth < 8 AND NOT EXISTS (
        SELECT 1 FROM target t
        WHERE (t.classid, t.objid) = (e.classid, e.objid) AND e.objsubid IN (0, t.objsubid)))
    SELECT DISTINCT i.type, i.identity
    FROM dep, LATERAL pg_identify_object(classid, objid, objsubid) i
    WHERE depth > 0
      AND i.type NOT IN ('index', 'default value', 'sequence', 'statistics object', 'type', 'toast table')
      -- A view is named, and not the rule that it consists of.
      AND NOT (classid = 'pg_rewrite'::regclass AND objid IN (SELECT oid FROM pg_rewrite WHERE rulename = '_RETURN'))
      -- Its own constraints go with it; another table's foreign key to it does not.
      AND NOT (classid = 'pg_constraint'::regclass
               AND objid IN (SELECT oid FROM pg_constraint WHERE conrelid = to_regclass(%s)))
      -- The server's own triggers behind a foreign key stand and fall with the key, which is judged itself.
      AND NOT (classid = 'pg_trigger'::regclass AND objid IN (SELECT oid FROM pg_trigger WHERE tgisinternal))
    ORDER BY 1, 2"""

_POSTGRESQL_UNNAMED = """
    SELECT DISTINCT 'function', p.oid::regprocedure::text, ' (its text names the column)'
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND l.lanname NOT IN ('c', 'internal')
      AND p.prosrc ~* %s
      AND (p.prosrc ~* %s OR EXISTS (
        SELECT 1 FROM pg_trigger t WHERE t.tgfoid = p.oid AND t.tgrelid = to_regclass(%s)))
    UNION ALL
    SELECT 'replica identity index', c.relname, ''
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_attribute a ON a.attrelid = i.indrelid
    WHERE i.indrelid = to_regclass(%s) AND i.indisreplident AND a.attname = %s AND a.attnum = ANY (i.indkey)
    UNION ALL
    -- A row as a whole is a variable of attribute 0; the catalog does not say which columns it has.
    SELECT DISTINCT CASE v.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, v.oid::regclass::text,
           ' (it reads whole rows)'
    FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid = to_regclass(%s) AND v.oid <> d.refobjid AND r.ev_action::text ~ ':varattno 0 '
    UNION ALL
    -- Whoever may use this column alone uses it.
    SELECT 'grant', '', ' to ' || COALESCE(role.rolname, 'public')
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid CROSS JOIN LATERAL aclexplode(a.attacl) acl
    LEFT JOIN pg_roles role ON role.oid = acl.grantee
    WHERE a.attrelid = to_regclass(%s) AND a.attname = %s AND acl.grantee <> c.relowner
    ORDER BY 1, 2"""

_POSTGRESQL_TABLE = """
    WITH RECURSIVE edge AS (
      SELECT refclassid AS rc, refobjid AS ro, classid, objid, objsubid
      FROM pg_depend WHERE deptype IN ('n', 'a', 'i', 'P', 'S')
      UNION ALL
      SELECT classid, objid, refclassid, refobjid, refobjsubid FROM pg_depend WHERE deptype = 'i'),
    dep AS (
      SELECT 'pg_class'::regclass::oid AS classid, to_regclass(%s)::oid AS objid, 0 AS objsubid, 0 AS depth
      UNION
      SELECT e.classid, e.objid, e.objsubid, depth + 1
      FROM dep JOIN edge e ON e.rc = dep.classid AND e.ro = dep.objid
      WHERE depth < 8)
    SELECT DISTINCT i.type, i.identity
    FROM dep, LATERAL pg_identify_object(classid, objid, objsubid) i
    WHERE depth > 0
      AND i.type NOT IN ('index', 'default value', 'sequence', 'statistics object', 'rule', 'type', 'toast table')
      AND NOT (classid = 'pg_class'::regclass AND objid = to_regclass(%s))
      -- Foreign keys into it are asked for apart; all other constraints are its own, or an index's of its own.
      AND classid <> 'pg_constraint'::regclass
      AND NOT (classid = 'pg_trigger'::regclass
               AND objid IN (SELECT oid FROM pg_trigger WHERE tgisinternal OR tgrelid = to_regclass(%s)))
      AND NOT (classid = 'pg_policy'::regclass
               AND objid IN (SELECT oid FROM pg_policy WHERE polrelid = to_regclass(%s)))
    ORDER BY 1, 2"""

_POSTGRESQL_TEXTS = """
    SELECT DISTINCT p.oid::regprocedure::text
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND l.lanname NOT IN ('c', 'internal')
      AND p.prosrc ~* %s ORDER BY 1"""

_SQLITE_TEXTS = "SELECT type, name, sql, tbl_name FROM sqlite_master WHERE type IN ('view', 'trigger')"

# A kind, a name, the text that may name the column, and the table that it is on.
_MYSQL_TEXTS = """
    SELECT 'view', table_name, view_definition, '' FROM information_schema.views WHERE table_schema = DATABASE()
    UNION ALL
    SELECT 'trigger', trigger_name, action_statement, event_object_table
    FROM information_schema.triggers WHERE trigger_schema = DATABASE()
    UNION ALL
    SELECT 'routine', routine_name, routine_definition, ''
    FROM information_schema.routines WHERE routine_schema = DATABASE()
    UNION ALL
    SELECT 'event', event_name, event_definition, '' FROM information_schema.events WHERE event_schema = DATABASE()
    UNION ALL
    SELECT 'generated column', column_name, generation_expression, table_name
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = %s AND generation_expression <> ''"""


def _fetch(connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def dependents(connection: BaseDatabaseWrapper, table: str, column: str) -> tuple[str, ...]:
    """What depends on the column: kinds and names. Raises DatabaseError where the catalog cannot be read."""
    found = {"postgresql": _postgresql, "mysql": _mysql, "sqlite": _sqlite}[connection.vendor]
    return tuple(dict.fromkeys(found(connection, table, column)))


def of_table(connection: BaseDatabaseWrapper, table: str, leftovers: Callable[[str, str], bool]) -> tuple[str, ...]:
    """What depends on a table: kinds and names. Raises DatabaseError where the catalog cannot be read.

    `leftovers(table, column)` says whether another table's column is one of guard's own leftovers: its foreign key is
    no obstacle. The table's own triggers and policies go with it and are not listed.
    """
    ddl = ddl_for(connection, _never)
    keys = [
        f"foreign key {key.name or column} of {other}"
        for other, column, key in ddl.keys_into(table)
        if not leftovers(other, column)
    ]
    if connection.vendor == "postgresql":
        relation = connection.ops.quote_name(table)
        named = _fetch(connection, _POSTGRESQL_TABLE, [relation, relation, relation, relation])
        texts = _fetch(connection, _POSTGRESQL_TEXTS, [_word(table.strip('"'))])
        found = [
            *(f"{kind} {name}" for kind, name in named),
            *(f"function {name} (its text names the table)" for (name,) in texts),
        ]
    else:
        sql, params = (_MYSQL_TEXTS, [table]) if connection.vendor == "mysql" else (_SQLITE_TEXTS, [])
        found = [
            f"{kind} {name}"
            for kind, name, text, on in _fetch(connection, sql, params)
            if on.casefold() != table.casefold() and _mentions(text, table)
        ]
    return tuple(dict.fromkeys([*found, *keys]))


def _never(sql: str, params: object) -> None:
    raise AssertionError("a witness changes nothing")


def _word(name: str) -> str:
    return r"\m" + re.escape(name) + r"\M"


def _postgresql(connection: BaseDatabaseWrapper, table: str, column: str) -> list[str]:
    relation = connection.ops.quote_name(table)
    bare = re.sub(r'^.*"\."', "", table).strip('"')
    named = _fetch(connection, _POSTGRESQL, [relation, column, relation])
    unnamed = _fetch(
        connection,
        _POSTGRESQL_UNNAMED,
        [_word(column), _word(bare), relation, relation, column, relation, relation, column],
    )
    return [
        *(f"{kind} {name}" for kind, name in named),
        *(f"{kind} {name}".rstrip() + how for kind, name, how in unnamed),
    ]


def _mysql(connection: BaseDatabaseWrapper, table: str, column: str) -> list[str]:
    """MariaDB and MySQL check nothing of this themselves: views and triggers would be left broken."""
    named = _fetch(
        connection,
        "SELECT CONCAT('foreign key ', constraint_name, ' of ', table_name) FROM information_schema.key_column_usage "
        "WHERE table_schema = DATABASE() AND referenced_table_name = %s AND referenced_column_name = %s "
        "AND table_name <> %s UNION ALL "
        "SELECT DISTINCT CONCAT('grant to ', grantee) FROM information_schema.column_privileges "
        "WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s",
        [table, column, table, table, column],
    )
    return [
        *_by_text(_fetch(connection, _MYSQL_TEXTS, [table]), table, column),
        *(str(text) for (text,) in named),
    ]


def _sqlite(connection: BaseDatabaseWrapper, table: str, column: str) -> list[str]:
    texts = _fetch(connection, _SQLITE_TEXTS, [])
    generated = _fetch(connection, "SELECT name FROM pragma_table_xinfo(%s) WHERE hidden IN (2, 3)", [table])
    if generated:
        try:
            definition = SqliteDdl(connection, _never).table(table)
            texts += [("generated column", name, definition.column(name).text, table) for (name,) in generated]
        except (NotUnderstood, LookupError):
            texts += [("generated column", name, column, table) for (name,) in generated]
    return _by_text(texts, table, column)


def _by_text(texts: Sequence[tuple[Any, ...]], table: str, column: str) -> list[str]:
    """Those whose text names the column: kinds, names, texts, and the tables that they are on.

    A view upon a view has the column under another name perhaps: it is found by the name of that view.
    """
    found: dict[str, str] = {}
    for kind, name, text, on in texts:
        here = on.casefold() == table.casefold() or _mentions(text, table)
        if (
            here
            and _mentions(text, column)
            and not (kind == "generated column" and name.casefold() == column.casefold())
        ):
            found[name] = kind
    views = [name for name, kind in found.items() if kind == "view"]
    while views:
        inner = views.pop()
        for kind, name, text, _ in texts:
            if name not in found and _mentions(text, inner):
                found[name] = kind
                if kind == "view":
                    views.append(name)
    return [f"{kind} {name}" for name, kind in found.items()]


def _mentions(text: str | None, name: str) -> bool:
    return text is not None and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None
