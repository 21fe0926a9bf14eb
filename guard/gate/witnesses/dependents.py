"""What depends on a column or a table, by the catalog: things of others that taking it would break or silently destroy.

The table's own indexes, sequences and constraints go with the column: they are no obstacle, and are told apart. What
stands in the text of a function is found by its words: it may be named wrongly, but no spelling hides it. What this
role may not read is named too: an empty list is no proof then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from guard.gate.verdict import Dependent, Unseen
from guard.schema.sqlite_table import NotUnderstood
from guard.steps.ddl import ddl_for
from guard.steps.ddl.sqlite import SqliteDdl

#: In place of a text: what is no dependent, but sends the target to readers elsewhere.
SENDS = "guard: sends"

# What `i` is made of, in the server's own words.
_POSTGRESQL_DEFINITION = """
    CASE classid
      WHEN 'pg_class'::regclass THEN
        CASE WHEN objsubid = 0 THEN (
          SELECT CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(objid, true)
                      WHEN relkind IN ('i', 'I') THEN pg_get_indexdef(objid) END FROM pg_class WHERE oid = objid)
        ELSE (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = objid AND adnum = objsubid) END
      WHEN 'pg_rewrite'::regclass THEN pg_get_ruledef(objid, true)
      WHEN 'pg_trigger'::regclass THEN pg_get_triggerdef(objid, true)
      WHEN 'pg_constraint'::regclass THEN pg_get_constraintdef(objid, true)
      WHEN 'pg_proc'::regclass THEN (
        SELECT CASE WHEN prokind <> 'a' THEN pg_get_functiondef(objid) END FROM pg_proc WHERE oid = objid)
      WHEN 'pg_policy'::regclass THEN (
        SELECT concat_ws(' ', 'USING (' || pg_get_expr(polqual, polrelid) || ')',
                         'WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')')
        FROM pg_policy WHERE oid = objid)
    END"""

# pg_depend walked recursively; an INTERNAL edge counts upwards too (a view hangs on its rule).
_POSTGRESQL = f"""
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
    SELECT DISTINCT i.type, i.identity, {_POSTGRESQL_DEFINITION},
           -- Its own constraints go with it; another table's foreign key to it does not.
           i.type IN ('index', 'sequence', 'statistics object') OR (
             classid = 'pg_constraint'::regclass
             AND objid IN (SELECT oid FROM pg_constraint WHERE conrelid = to_regclass(%s)))
    FROM dep, LATERAL pg_identify_object(classid, objid, objsubid) i
    WHERE depth > 0
      AND i.type NOT IN ('default value', 'type', 'toast table')
      -- A view is named, and not the rule that it consists of.
      AND NOT (classid = 'pg_rewrite'::regclass AND objid IN (SELECT oid FROM pg_rewrite WHERE rulename = '_RETURN'))
      -- The server's own triggers behind a foreign key stand and fall with the key, which is judged itself.
      AND NOT (classid = 'pg_trigger'::regclass AND objid IN (SELECT oid FROM pg_trigger WHERE tgisinternal))
    ORDER BY 1, 2"""

# Publications that have the table, with the slots from which somebody reads them: without one, nobody does. Those of
# all tables, or of a schema's, depend on no table. `attnames` came with PostgreSQL 15; before, all columns are sent.
_POSTGRESQL_PUBLISHED = """
    SELECT 'publication ' || p.pubname AS name, s.slots, to_jsonb(p) -> 'attnames' AS columns
    FROM pg_publication_tables p
    JOIN pg_class c ON c.relname = p.tablename AND c.relnamespace = to_regnamespace(quote_ident(p.schemaname))
    CROSS JOIN (SELECT string_agg(slot_name, ', ' ORDER BY slot_name) AS slots FROM pg_replication_slots
                WHERE slot_type = 'logical' AND database = current_database()
                  -- Those of a subscription's first copy come and go.
                  AND NOT temporary AND slot_name !~ '^pg_[0-9]+_sync_') s
    WHERE s.slots IS NOT NULL AND c.oid = to_regclass(%s)"""

_POSTGRESQL_UNNAMED = f"""
    SELECT DISTINCT 'function', p.oid::regprocedure::text, ' (its text names the column)', p.prosrc
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND l.lanname NOT IN ('c', 'internal')
      AND p.prosrc ~* %s
      AND (p.prosrc ~* %s OR EXISTS (
        SELECT 1 FROM pg_trigger t WHERE t.tgfoid = p.oid AND t.tgrelid = to_regclass(%s)))
    UNION ALL
    SELECT 'replica identity index', c.relname, '', pg_get_indexdef(c.oid)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_attribute a ON a.attrelid = i.indrelid
    WHERE i.indrelid = to_regclass(%s) AND i.indisreplident AND a.attname = %s AND a.attnum = ANY (i.indkey)
    UNION ALL
    SELECT name, '', ' (read from ' || slots || ')', '{SENDS}' FROM ({_POSTGRESQL_PUBLISHED}) published
    WHERE columns IS NULL OR columns ? %s
    UNION ALL
    -- A row as a whole is a variable of attribute 0; the catalog does not say which columns it has.
    SELECT DISTINCT CASE v.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, v.oid::regclass::text,
           ' (it reads whole rows)', pg_get_viewdef(v.oid, true)
    FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid = to_regclass(%s) AND v.oid <> d.refobjid AND r.ev_action::text ~ ':varattno 0 '
    UNION ALL
    -- Whoever may use this column alone uses it.
    SELECT 'grant', '', ' to ' || COALESCE(role.rolname, 'public'), ''
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid CROSS JOIN LATERAL aclexplode(a.attacl) acl
    LEFT JOIN pg_roles role ON role.oid = acl.grantee
    WHERE a.attrelid = to_regclass(%s) AND a.attname = %s AND acl.grantee <> c.relowner
    ORDER BY 1, 2"""

_POSTGRESQL_TABLE = f"""
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
    SELECT DISTINCT i.type, i.identity, {_POSTGRESQL_DEFINITION},
           (classid = 'pg_trigger'::regclass
             AND objid IN (SELECT oid FROM pg_trigger WHERE tgrelid = to_regclass(%s)))
           OR (classid = 'pg_policy'::regclass
             AND objid IN (SELECT oid FROM pg_policy WHERE polrelid = to_regclass(%s)))
    FROM dep, LATERAL pg_identify_object(classid, objid, objsubid) i
    WHERE depth > 0
      AND i.type NOT IN ('index', 'default value', 'sequence', 'statistics object', 'rule', 'type', 'toast table')
      AND NOT (classid = 'pg_class'::regclass AND objid = to_regclass(%s))
      -- Foreign keys into it are asked for apart; all other constraints are its own, or an index's of its own.
      AND classid <> 'pg_constraint'::regclass
      AND NOT (classid = 'pg_trigger'::regclass AND objid IN (SELECT oid FROM pg_trigger WHERE tgisinternal))
    ORDER BY 1, 2"""

_POSTGRESQL_TEXTS = f"""
    SELECT name || ' (read from ' || slots || ')', '{SENDS}' FROM ({_POSTGRESQL_PUBLISHED}) published
    UNION ALL
    SELECT DISTINCT 'function ' || p.oid::regprocedure::text || ' (its text names the table)', p.prosrc
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND l.lanname NOT IN ('c', 'internal')
      AND p.prosrc ~* %s ORDER BY 1"""

_SQLITE_TEXTS = "SELECT type, name, sql, tbl_name FROM sqlite_master WHERE type IN ('view', 'trigger')"

_SQLITE_OWN = """
    SELECT DISTINCT 'index ' || i.name FROM pragma_index_list(%s) i, pragma_index_info(i.name) c
    WHERE c.name = %s COLLATE NOCASE ORDER BY 1"""

# A name with its kind, and whether it is the table's own.
_MYSQL_NAMED = """
    SELECT CONCAT('foreign key ', constraint_name, ' of ', table_name), 0 FROM information_schema.key_column_usage
    WHERE table_schema = DATABASE() AND referenced_table_name = %s AND referenced_column_name = %s AND table_name <> %s
    UNION
    SELECT CONCAT('grant to ', grantee), 0 FROM information_schema.column_privileges
    WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s
    UNION
    SELECT CONCAT('index ', index_name), 1 FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s
    UNION
    SELECT CONCAT('check ', c.constraint_name), 1 FROM information_schema.check_constraints c
    JOIN information_schema.table_constraints t
      ON t.constraint_schema = c.constraint_schema AND t.constraint_name = c.constraint_name
    WHERE t.table_schema = DATABASE() AND t.table_name = %s AND t.constraint_type = 'CHECK' AND c.check_clause LIKE %s
    ORDER BY 1"""

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


#: Kinds of things that a server lets a change break without a word.
_SILENT = {"postgresql": ("function ",), "mysql": ("view ", "trigger ", "routine ", "event ")}


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around a column or table in the catalog."""

    #: Things of others, which taking it would break or silently destroy.
    others: tuple[Dependent, ...]
    #: Names of what is its own and goes with it.
    own: tuple[str, ...] = ()
    #: What this role may not read, so that nobody knows whether it depends on it.
    unseen: tuple[Unseen, ...] = ()


def of_column(
    connection: BaseDatabaseWrapper,
    table: str,
    column: str,
    leftovers: Callable[[str, str], bool] = lambda table, column: False,
) -> Around:
    """What stands around a column. Raises DatabaseError where the catalog cannot be read.

    `leftovers(table, column)` says whether another table's column is one of guard's own leftovers: its foreign key is
    no obstacle.
    """
    others, own = {"postgresql": _postgresql, "mysql": _mysql, "sqlite": _sqlite}[connection.vendor](
        connection, table, column
    )
    # Most often there is nothing to ask about.
    keys = ddl_for(connection, _never).keys_into(table) if others else ()
    referring = {
        text
        for other, source, key in keys
        if key.to_column == column and leftovers(other, source)
        for text in _key_as_listed(connection, other, key.name)
    }
    kept = [dependent for dependent in others if dependent.name not in referring]
    return Around(_distinct(kept), tuple(dict.fromkeys(own)), _unseen(connection))


def _key_as_listed(connection: BaseDatabaseWrapper, table: str, name: str) -> list[str]:
    """What the vendor's own list has for another table's foreign key."""
    if connection.vendor == "postgresql":
        return [
            f"{kind} {identity}"
            for kind, identity in _fetch(
                connection,
                "SELECT i.type, i.identity FROM pg_constraint k, "
                "LATERAL pg_identify_object('pg_constraint'::regclass, k.oid, 0) i "
                "WHERE k.conname = %s AND k.conrelid = to_regclass(%s)",
                [name, connection.ops.quote_name(table)],
            )
        ]
    return [f"foreign key {name} of {table}"]


def of_table(connection: BaseDatabaseWrapper, table: str, leftovers: Callable[[str, str], bool]) -> Around:
    """What stands around a table. Raises DatabaseError where the catalog cannot be read.

    `leftovers(table, column)` says whether another table's column is one of guard's own leftovers: its foreign key is
    no obstacle. Of what is the table's own, its triggers and policies are named.
    """
    ddl = ddl_for(connection, _never)
    keys = [
        Dependent(f"foreign key {key.name or column} of {other}")
        for other, column, key in ddl.keys_into(table)
        if not leftovers(other, column)
    ]
    own: list[str] = []
    if connection.vendor == "postgresql":
        relation = connection.ops.quote_name(table)
        others = []
        for kind, name, definition, mine in _fetch(connection, _POSTGRESQL_TABLE, [relation] * 4):
            if mine:
                own.append(f"{kind} {name}")
            else:
                others.append(Dependent(f"{kind} {name}", definition or ""))
        texts = _fetch(connection, _POSTGRESQL_TEXTS, [relation, _word(table.strip('"'))])
        others += _with_senders(others, (_dependent(name, text) for name, text in texts))
    else:
        sql, params = (_MYSQL_TEXTS, [table]) if connection.vendor == "mysql" else (_SQLITE_TEXTS, [])
        rows = _fetch(connection, sql, params)
        own = [f"{kind} {name}" for kind, name, _, on in rows if kind == "trigger" and _same(on, table)]
        others = [
            Dependent(f"{kind} {name}", text)
            for kind, name, text, on in rows
            if not _same(on, table) and _mentions(text, table)
        ]
    return Around(_distinct([*others, *keys]), tuple(own), _unseen(connection))


def of_migration(
    connection: BaseDatabaseWrapper, takes: Iterable[Sequence[str]], leftovers: Callable[[str, str], bool]
) -> Around:
    """What a migration that runs whole would break without a word, by the (table, column) pairs that it takes away.

    PostgreSQL refuses to drop what its catalog knows to be used, and lets names change under it: there it is only what
    stands in the text of functions. SQLite refuses too, or changes the texts. MariaDB and MySQL check nothing of what
    is stored as text.
    """
    if connection.vendor == "sqlite":
        return Around(())
    others: list[Dependent] = []
    unseen: tuple[Unseen, ...] = ()
    pairs = [(table, column) for table, column in takes]

    def going(table: str, column: str) -> bool:
        """What the migration takes away itself is no obstacle either."""
        return (table, column) in pairs or (table, "") in pairs or leftovers(table, column)

    for table, column in pairs:
        around = of_column(connection, table, column, going) if column else of_table(connection, table, going)
        unseen = around.unseen
        on = f"{table}.{column}" if column else table
        others += [replace(each, on=on) for each in around.others if each.name.startswith(_SILENT[connection.vendor])]
    return Around(_distinct(others), unseen=unseen)


def _distinct(found: Iterable[Dependent]) -> tuple[Dependent, ...]:
    return tuple({each.name: each for each in found}.values())


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _never(sql: str, params: object) -> None:
    raise AssertionError("a witness changes nothing")


def _word(name: str) -> str:
    return r"\m" + re.escape(name) + r"\M"


def _postgresql(connection: BaseDatabaseWrapper, table: str, column: str) -> tuple[list[Dependent], list[str]]:
    relation = connection.ops.quote_name(table)
    bare = re.sub(r'^.*"\."', "", table).strip('"')
    others: list[Dependent] = []
    own: list[str] = []
    for kind, name, definition, mine in _fetch(connection, _POSTGRESQL, [relation, column, relation]):
        if mine:
            own.append(f"{kind} {name}")
        else:
            others.append(Dependent(f"{kind} {name}", definition or ""))
    unnamed = _fetch(
        connection,
        _POSTGRESQL_UNNAMED,
        [_word(column), _word(bare), relation, relation, column, relation, column, relation, relation, column],
    )
    texts = (_dependent(f"{kind} {name}".rstrip() + how, text or "") for kind, name, how, text in unnamed)
    return [*others, *_with_senders(others, texts)], own


def _dependent(name: str, text: str) -> Dependent:
    return Dependent(name, sends=True) if text == SENDS else Dependent(name, text)


def _with_senders(known: Sequence[Dependent], found: Iterable[Dependent]) -> list[Dependent]:
    """Those found, without publications that depend on the target by the catalog already."""
    return [
        each
        for each in found
        if not each.sends
        or not any(other.name.endswith(f" in {each.name.partition(' (read from ')[0]}") for other in known)
    ]


def _mysql(connection: BaseDatabaseWrapper, table: str, column: str) -> tuple[list[Dependent], list[str]]:
    """MariaDB and MySQL check nothing of this themselves: views and triggers would be left broken."""
    found = _fetch(
        connection, _MYSQL_NAMED, [table, column, table, table, column, table, column, table, f"%`{column}`%"]
    )
    others = [
        *_by_text(_fetch(connection, _MYSQL_TEXTS, [table]), table, column),
        *(Dependent(name) for name, own in found if not own),
    ]
    return others, [name for name, own in found if own]


def _sqlite(connection: BaseDatabaseWrapper, table: str, column: str) -> tuple[list[Dependent], list[str]]:
    texts = _fetch(connection, _SQLITE_TEXTS, [])
    generated = _fetch(connection, "SELECT name FROM pragma_table_xinfo(%s) WHERE hidden IN (2, 3)", [table])
    if generated:
        try:
            definition = SqliteDdl(connection, _never).table(table)
            texts += [("generated column", name, definition.column(name).text, table) for (name,) in generated]
        except (NotUnderstood, LookupError):
            texts += [("generated column", name, column, table) for (name,) in generated]
    return _by_text(texts, table, column), [name for (name,) in _fetch(connection, _SQLITE_OWN, [table, column])]


def _unseen(connection: BaseDatabaseWrapper) -> tuple[Unseen, ...]:
    """What this role may not read of the catalog. PostgreSQL and SQLite show all of it to everybody."""
    if connection.vendor != "mysql":
        return ()
    database = connection.settings_dict["NAME"]
    grants = [text for (text,) in _fetch(connection, "SHOW GRANTS", [])]
    # The first is to the user itself, whatever roles it has.
    role = next((to[1] for text in grants if (to := _GRANTEE.search(text))), "CURRENT_USER")
    held = _privileges(grants, database)
    wanted = {
        "view": ("SHOW VIEW", f"GRANT SHOW VIEW ON `{database}`.* TO {role}"),
        "trigger": ("TRIGGER", f"GRANT TRIGGER ON `{database}`.* TO {role}"),
        "event": ("EVENT", f"GRANT EVENT ON `{database}`.* TO {role}"),
    }
    found = [Unseen(kind, grant) for kind, (privilege, grant) in wanted.items() if privilege not in held]
    if connection.mysql_is_mariadb:  # type: ignore[attr-defined]
        if not held & {"SELECT ON *.*", "SELECT ON mysql.*", "SELECT ON mysql.proc"}:
            found.append(Unseen("routine", f"GRANT SELECT ON `mysql`.`proc` TO {role}"))
    elif not held & {"SELECT ON *.*", "SHOW_ROUTINE"}:
        found.append(Unseen("routine", f"GRANT SHOW_ROUTINE ON *.* TO {role}"))
    return tuple(found)


_GRANTEE = re.compile(r" TO (`[^`]*`@`[^`]*`)")
_GRANT = re.compile(r"GRANT (?P<what>.+?) ON (?:(?:TABLE|FUNCTION|PROCEDURE) )?(?P<where>\S+) TO ", re.DOTALL)


def _privileges(grants: Iterable[str], database: str) -> set[str]:
    """The privileges that hold in all of a database, and on what else SELECT is granted, from what SHOW GRANTS prints.

    Those of a role are printed by MariaDB; where they are not, less is known to be held than is.
    """
    held: set[str] = set()
    for grant in grants:
        found = _GRANT.match(grant)
        if not found or "(" in found["what"]:
            # A role, or columns alone.
            continue
        where = found["where"].replace("`", "")
        schema, _, rest = where.partition(".")
        # The name of a database is a pattern here.
        pattern = re.sub(r"\\\\?([%_])|(%)|(_)", _pattern, re.escape(schema))
        names = {name.strip() for name in found["what"].split(",")}
        everything = "ALL PRIVILEGES" in names
        if where == "*.*" or (rest == "*" and re.fullmatch(pattern, database)):
            held |= {"SHOW VIEW", "TRIGGER", "EVENT"} if everything else names
            if where == "*.*" and everything:
                held.add("SHOW_ROUTINE")
        if everything or "SELECT" in names:
            held.add(f"SELECT ON {where}")
    return held


def _pattern(found: re.Match[str]) -> str:
    return found[1] or (".*" if found[2] else ".")


def _by_text(texts: Sequence[tuple[Any, ...]], table: str, column: str) -> list[Dependent]:
    """Those whose text names the column: kinds, names, texts, and the tables that they are on.

    A view upon a view has the column under another name perhaps: it is found by the name of that view.
    """
    found: dict[str, str] = {}
    written = {name: text for _, name, text, _ in texts}
    for kind, name, text, on in texts:
        here = _same(on, table) or _mentions(text, table)
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
    return [Dependent(f"{kind} {name}", written[name]) for name, kind in found.items()]


def _mentions(text: str | None, name: str) -> bool:
    return text is not None and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None
