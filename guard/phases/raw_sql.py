"""What raw SQL does to deployed code, read with a SQL parser. What cannot be parsed is OPAQUE."""

from __future__ import annotations

import importlib
import logging
import re
from typing import Any

from guard.phases import rules
from guard.phases.words import Judgement, Phase, Target

sqlglot: Any
exp: Any
try:
    sqlglot, exp = importlib.import_module("sqlglot"), importlib.import_module("sqlglot.expressions")
except ImportError:
    # Without the parser, raw SQL is opaque.
    sqlglot = exp = None

_DIALECTS = {"postgresql": "postgres", "mysql": "mysql", "sqlite": "sqlite"}


def statements(sql: object) -> list[str]:
    """The texts that RunSQL would run: one string, or a list of strings and (sql, params) pairs.

    Raises ValueError for anything else.
    """
    if isinstance(sql, str):
        return [sql] if sql.strip() else []
    if not isinstance(sql, (list, tuple)):
        raise ValueError(f"expected SQL as a string or a list, got {type(sql).__name__}")
    found = []
    for item in sql:
        if isinstance(item, (list, tuple)):
            if len(item) != 2:
                raise ValueError(f"expected a pair of SQL and parameters, got {len(item)} items")
            text, params = item
            found.append(_filled(str(text), params))
        else:
            found.append(str(item))
    return [text for text in found if text.strip()]


def _filled(text: str, params: Any) -> str:
    """The text with its placeholders replaced, so that it can be parsed. The values do not matter."""
    if params is None:
        return text
    try:
        if isinstance(params, dict):
            return text % dict.fromkeys(params, "NULL")
        return text % tuple("NULL" for _ in params)
    except (TypeError, ValueError, KeyError):
        return text


def judge(sql: object, vendor: str) -> Judgement:
    """Judge what RunSQL was given, for one vendor's dialect."""
    try:
        texts = statements(sql)
    except ValueError as error:
        return rules.opaque("Runs SQL", str(error))
    if not texts:
        return rules.nothing("Runs no SQL")
    if sqlglot is None:
        return rules.opaque("Runs SQL", "sqlglot is not installed, so guard cannot read the SQL.")
    judged = []
    for text in texts:
        judged.extend(_judge_text(text, vendor))
    return rules.combine(judged) if judged else rules.nothing("Runs no SQL")


def _judge_text(text: str, vendor: str) -> list[Judgement]:
    if vendor == "mysql" and re.search(r"/\*M?!", text):
        return [rules.opaque(f"Runs SQL: {_short(text)}", "it has a comment that the server executes.")]
    logger = logging.getLogger("sqlglot")
    level = logger.level
    # It warns for each statement that it does not know; guard says so itself.
    logger.setLevel(logging.CRITICAL)
    try:
        parsed = sqlglot.parse(text, read=_DIALECTS.get(vendor))
    except Exception as error:
        return [rules.opaque(f"Runs SQL: {_short(text)}", f"the SQL cannot be parsed: {str(error).splitlines()[0]}")]
    finally:
        logger.setLevel(level)
    return [_judge_statement(statement, vendor) for statement in parsed if statement is not None]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 80 else flat[:77] + "..."


def _name(identifier: Any, vendor: str) -> str:
    """An identifier as the catalog has it."""
    if identifier is None:
        return ""
    while not isinstance(identifier, exp.Identifier) and getattr(identifier, "this", None) is not None:
        identifier = identifier.this
    text = str(identifier.name)
    if vendor == "postgresql" and isinstance(identifier, exp.Identifier) and not identifier.args.get("quoted"):
        return text.lower()
    return text


def _table(node: Any, vendor: str) -> str:
    found = node if isinstance(node, exp.Table) else node.find(exp.Table)
    return _name(found.this, vendor) if found is not None else ""


def _tables(statement: Any, vendor: str) -> list[Target]:
    return [Target(_name(found.this, vendor)) for found in statement.find_all(exp.Table) if found.this is not None]


def _dropped(drop: Any, vendor: str) -> list[str]:
    """The names that a DROP lists, in a statement or in an ALTER TABLE."""
    listed = drop.args.get("tables") or ([drop.this] if drop.this is not None else [])
    return [_name(found, vendor) for found in listed]


_DATA = ("Query", "Insert", "Update", "Delete", "Merge", "Copy")
_HARMLESS = ("Comment", "Analyze", "Set", "Grant", "Transaction", "Commit", "Pragma", "Use", "Describe")
_HARMLESS_COMMANDS = frozenset(
    {
        "VACUUM",
        "REINDEX",
        "CLUSTER",
        "ANALYZE",
        "EXPLAIN",
        "SHOW",
        "LOCK",
        "UNLOCK",
        "OPTIMIZE",
        "SET",
        "REFRESH",
        "RESET",
    }
)
#: Functions that migrations call in a bare SELECT and that leave the schema alone. Any other may do anything.
_HARMLESS_FUNCTIONS = frozenset(
    {
        "setval",
        "nextval",
        "currval",
        "lastval",
        "pg_get_serial_sequence",
        "set_config",
        "current_setting",
        "pg_advisory_lock",
    }
    | {"pg_advisory_xact_lock", "pg_advisory_unlock", "pg_sleep", "last_insert_id", "version", "to_regclass"}
)


def _is(statement: Any, kinds: tuple[str, ...]) -> bool:
    # Looked up by name, because not every release of the parser has every class.
    return any(isinstance(statement, getattr(exp, kind)) for kind in kinds if hasattr(exp, kind))


def _judge_statement(statement: Any, vendor: str) -> Judgement:
    what = f"Runs SQL: {_short(statement.sql(dialect=_DIALECTS.get(vendor), comments=False))}"
    if isinstance(statement, exp.Drop):
        return _drop(statement, vendor, what)
    if isinstance(statement, exp.Create):
        return _create(statement, vendor, what)
    if isinstance(statement, exp.Alter):
        return _alter(statement, vendor, what)
    if isinstance(statement, exp.TruncateTable):
        return rules.verdict(
            Phase.CONTRACT,
            what,
            breaks_old="the rows that it relies on are gone",
            recipe="# This runs when nothing else is deployed.",
            names=_tables(statement, vendor),
        )
    if _is(statement, _DATA):
        return _data(statement, vendor, what)
    if _is(statement, _HARMLESS):
        return rules.nothing(what)
    if isinstance(statement, exp.Command):
        return _command(statement, what)
    return rules.opaque(what, "guard does not know this statement.", names=_tables(statement, vendor))


def _data(statement: Any, vendor: str, what: str) -> Judgement:
    if isinstance(statement, exp.Query):
        if statement.args.get("into") is not None:
            made = _tables(statement.args["into"], vendor)
            return rules.verdict(Phase.EXPAND, what, breaks_new=f"every use of {', '.join(map(str, made))}", makes=made)
        unknown = sorted(
            {str(found.name) for found in statement.find_all(exp.Anonymous)}
            - {name for name in _called(statement) if name.lower() in _HARMLESS_FUNCTIONS}
        )
        if unknown:
            return rules.opaque(what, f"it calls {', '.join(unknown)}, which may do anything.")
    return rules.nothing(what, "it changes data only")


def _called(statement: Any) -> set[str]:
    return {str(found.name) for found in statement.find_all(exp.Anonymous)}


_RENAMED = re.compile(r"([`\w.$]+)\s+TO\s+([`\w.$]+)", re.IGNORECASE)


def _command(statement: Any, what: str) -> Judgement:
    """A statement that the parser only splits into its first word and the rest."""
    verb = str(statement.this).upper()
    rest = statement.args.get("expression")
    rest = str(getattr(rest, "name", rest) or "").strip()
    if verb in _HARMLESS_COMMANDS:
        return rules.nothing(what)
    if verb == "REPLACE" and rest.upper().startswith("INTO"):
        return rules.nothing(what, "it changes data only")
    if verb == "CREATE" and rest.upper().startswith("EXTENSION"):
        return rules.verdict(Phase.EXPAND, what, breaks_new="what needs the extension")
    if verb == "ALTER" and re.fullmatch(r'TABLE\s+[\w."]+\s+VALIDATE\s+CONSTRAINT\s+[\w"]+', rest, re.IGNORECASE):
        return rules.nothing(what)
    if verb == "RENAME" and rest.upper().startswith("TABLE"):
        pairs = [
            tuple(name.replace("`", "").rpartition(".")[2] for name in found.groups())
            for found in _RENAMED.finditer(rest[len("TABLE") :])
        ]
        if pairs:
            return rules.verdict(
                Phase.UNSAFE,
                what,
                breaks_old=f"every use of {', '.join(old for old, _ in pairs)}",
                breaks_new=f"every use of {', '.join(new for _, new in pairs)}",
                recipe=f"# Keep the table's name in the model: db_table = {pairs[0][0]!r}",
                takes=[Target(old) for old, _ in pairs],
                makes=[Target(new) for _, new in pairs],
            )
    return rules.opaque(what, "guard does not know this statement.")


def _drop(statement: Any, vendor: str, what: str) -> Judgement:
    kind = str(statement.args.get("kind") or "").upper()
    if kind in ("TABLE", "VIEW", "MATERIALIZED VIEW"):
        targets = [Target(name) for name in _dropped(statement, vendor) if name]
        if not targets:
            return rules.opaque(what, "guard cannot tell what it drops.")
        return rules.verdict(
            Phase.CONTRACT,
            what,
            breaks_old=f"every use of {', '.join(map(str, targets))}",
            recipe="# This runs when no deployed instance uses it.",
            takes=targets,
        )
    if kind == "INDEX":
        return rules.verdict(
            Phase.EXPAND, what, note="if the index is unique, old code that names its columns in an upsert needs it"
        )
    return rules.opaque(what, "guard cannot tell what depends on it.")


def _create(statement: Any, vendor: str, what: str) -> Judgement:
    kind = str(statement.args.get("kind") or "").upper()
    if kind == "INDEX":
        if statement.args.get("unique"):
            return rules.verdict(
                Phase.CONTRACT,
                what,
                breaks_old="writes that repeat a value",
                recipe="# First deploy code that keeps values apart; add the index when nothing else is deployed.",
                names=_indexed(statement.this, vendor),
            )
        return rules.nothing(what, names=_indexed(statement.this, vendor))
    if statement.args.get("replace"):
        return rules.opaque(what, "it replaces what may be there, and guard cannot tell how that differs.")
    if kind in ("TABLE", "VIEW", "MATERIALIZED VIEW"):
        made = _table(statement.this, vendor)
        # What may be there already is not new. A view is made anew from time to time: its name is not taken for good.
        new = bool(made) and kind == "TABLE" and not statement.args.get("exists")
        return rules.verdict(
            Phase.EXPAND,
            what,
            breaks_new=f"every use of {made}",
            makes=[Target(made)] if new else (),
            names=[Target(made)] if made and not new else (),
        )
    if kind in ("FUNCTION", "PROCEDURE", "SEQUENCE", "SCHEMA", "TYPE", "DOMAIN"):
        return rules.verdict(Phase.EXPAND, what, breaks_new="what uses it")
    return rules.opaque(what, "guard cannot tell what it does to statements that are running.")


def _indexed(index: Any, vendor: str) -> list[Target]:
    """The columns that a CREATE INDEX names, else the table."""
    on = index.args.get("table")
    table = _table(on, vendor) if on is not None else ""
    if not table:
        return []
    return [Target(table, _name(found, vendor)) for found in index.find_all(exp.Column)] or [Target(table)]


def _alter(statement: Any, vendor: str, what: str) -> Judgement:
    kind = str(statement.args.get("kind") or "").upper()
    actions = statement.args.get("actions") or []
    options = statement.args.get("options") or []
    if kind == "INDEX" and actions and all(isinstance(action, exp.AlterRename) for action in actions):
        return rules.nothing(what)
    table = _table(statement.this, vendor)
    if kind != "TABLE" or not table:
        return rules.opaque(what, "guard does not know this statement.")
    if len(actions) == 1 and isinstance(actions[0], exp.AlterRename) and len(options) == 1:
        # `RENAME a TO b` without COLUMN: the parser takes a for a table.
        return _renamed_column(table, _name(actions[0].this, vendor), _name(options[0].this, vendor), what)
    if options or not actions:
        return rules.opaque(what, "guard does not know this statement.", names=[Target(table)])
    return rules.combine([_action(action, table, vendor, what) for action in actions], what=what)


def _renamed_column(table: str, old: str, new: str, what: str) -> Judgement:
    return rules.verdict(
        Phase.UNSAFE,
        what,
        breaks_old=f"every use of {table}.{old}",
        breaks_new=f"every use of {table}.{new}",
        recipe=f"# Keep the column's name in the model: db_column={old!r}",
        takes=[Target(table, old)],
        makes=[Target(table, new)],
    )


def _action(action: Any, table: str, vendor: str, what: str) -> Judgement:
    if isinstance(action, exp.ColumnDef):
        return _add_column(action, table, vendor, what)
    if isinstance(action, exp.Drop):
        return _drop_part(action, table, vendor, what)
    if isinstance(action, exp.RenameColumn):
        return _renamed_column(table, _name(action.this, vendor), _name(action.args.get("to"), vendor), what)
    if isinstance(action, exp.AlterRename):
        new = _name(action.this, vendor)
        return rules.verdict(
            Phase.UNSAFE,
            what,
            breaks_old=f"every use of {table}",
            breaks_new=f"every use of {new}",
            recipe=f"# Keep the table's name in the model: db_table = {table!r}",
            takes=[Target(table)],
            makes=[Target(new)],
        )
    if isinstance(action, exp.AlterColumn):
        return _alter_column(action, table, vendor, what)
    if isinstance(action, exp.AddConstraint):
        if all(
            _is(found, ("IndexColumnConstraint",))
            and not str(found.args.get("kind") or "").upper().startswith("UNIQUE")
            for found in action.expressions
        ):
            return rules.nothing(what)
        return rules.verdict(
            Phase.CONTRACT,
            what,
            breaks_old=f"writes to {table} that violate it",
            recipe="# First deploy code that keeps to the constraint; add it when nothing else is deployed.",
            names=[Target(table)],
        )
    if _is(action, ("AlterSet",)) and {name for name, value in action.args.items() if value} <= {"expressions"}:
        return rules.nothing(what)
    renamed = action.args.get("rename_from") if _is(action, ("ModifyColumn",)) else None
    if renamed is not None and _name(renamed, vendor) != _name(action.this, vendor):
        return _renamed_column(table, _name(renamed, vendor), _name(action.this, vendor), what)
    return rules.opaque(what, "guard cannot tell how it differs from what is there.", names=[Target(table)])


def _add_column(action: Any, table: str, vendor: str, what: str) -> Judgement:
    target = Target(table, _name(action.this, vendor))
    kinds = [constraint.args.get("kind") for constraint in action.args.get("constraints") or ()]
    breaks_new = f"every use of {target}"
    if any(
        _is(kind, ("PrimaryKeyColumnConstraint", "UniqueColumnConstraint", "CheckColumnConstraint")) for kind in kinds
    ):
        return rules.opaque(what, "it adds a column with a constraint, which old code may violate.", names=[target])
    required = any(isinstance(k, exp.NotNullColumnConstraint) and not k.args.get("allow_null") for k in kinds)
    filled = any(
        _is(
            kind,
            (
                "DefaultColumnConstraint",
                "ComputedColumnConstraint",
                "GeneratedAsIdentityColumnConstraint",
                "GeneratedAsRowColumnConstraint",
                "AutoIncrementColumnConstraint",
            ),
        )
        for kind in kinds
    )
    if required and not filled:
        return rules.verdict(
            Phase.UNSAFE,
            what,
            breaks_old=f"inserts into {table}: {target} is NOT NULL and has no default",
            breaks_new=breaks_new,
            recipe="-- Give the column a DEFAULT, or allow NULL.",
            makes=[target],
        )
    if action.args.get("exists"):
        return rules.verdict(Phase.EXPAND, what, breaks_new=breaks_new, names=[target])
    return rules.verdict(Phase.EXPAND, what, breaks_new=breaks_new, makes=[target])


def _drop_part(action: Any, table: str, vendor: str, what: str) -> Judgement:
    kind = str(action.args.get("kind") or "").upper()
    if kind == "COLUMN":
        targets = [Target(table, name) for name in _dropped(action, vendor)]
        return rules.verdict(
            Phase.CONTRACT,
            what,
            breaks_old=f"every use of {', '.join(map(str, targets))}",
            recipe="# This runs when no deployed instance uses it.",
            takes=targets,
        )
    if kind in ("CONSTRAINT", "FOREIGN KEY", "CHECK"):
        return rules.verdict(
            Phase.EXPAND,
            what,
            breaks_new=f"writes to {table} that violate it",
            note="old code that names the constraint in an upsert needs it",
        )
    if kind == "INDEX":
        return rules.verdict(
            Phase.EXPAND,
            what,
            note="if the index is unique, old code that names its columns in an upsert needs it",
        )
    return rules.opaque(what, "guard does not know this statement.", names=[Target(table)])


def _alter_column(action: Any, table: str, vendor: str, what: str) -> Judgement:
    target = Target(table, _name(action.this, vendor))
    said = {name for name, value in action.args.items() if value is not None and name not in ("this", "collate")}
    if "allow_null" in said and said <= {"allow_null", "drop"}:
        if action.args["allow_null"]:
            return rules.verdict(Phase.EXPAND, what, breaks_new=f"writes of NULL to {target}", names=[target])
        return rules.verdict(
            Phase.CONTRACT,
            what,
            breaks_old=f"writes of NULL to {target}",
            recipe="# First deploy code that always writes a value; require it when nothing else is deployed.",
            names=[target],
        )
    if said == {"default"}:
        return rules.verdict(
            Phase.EXPAND, what, breaks_new=f"inserts that leave {target} to its default", names=[target]
        )
    if said == {"drop"}:
        return rules.verdict(
            Phase.CONTRACT,
            what,
            breaks_old=f"inserts that leave {target} to its default",
            recipe="# First deploy code that always writes a value; drop the default when nothing else is deployed.",
            names=[target],
        )
    return rules.opaque(what, "guard cannot tell how it differs from what is there.", names=[target])
