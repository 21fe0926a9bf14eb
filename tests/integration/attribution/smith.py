"""Writes statements of every kind at random, from a grammar: what few people write, and each database accepts.

Where the hand-written list and its variants follow what people write, this follows what a database's grammar allows.
All columns hold text, so that most of what is written is valid, and tables share names of columns, of which some are
keywords, some another table's name. What a database refuses is left out; what it accepts it judges itself.

While a statement is written, `\x01` stands where white space may be or not be, and `\x02…\x03` is around what must stay
as it is.
"""

# ruff: noqa: E501 (what is written is read best on one line)

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from guard.attribution import keywords
from tests.integration.attribution.library import Target

TABLES: dict[str, tuple[str, ...]] = {
    "book": ("id", "title", "status", "note", "shelf"),
    "Shelf": ("id", "title", "book", "Label", "value"),
    "page": ("id", "book", "status", "text"),
    "loan": ("id", "note", "status", "order", "since"),
    "label": ("id", "key", "page", "rows", "status"),
}

#: What a column holds besides text, on PostgreSQL.
PAIR, LIST, DOCUMENT = "pair", "tags", "data"

TARGETS = (
    *(
        Target(table, column)
        for table, columns in TABLES.items()
        for column in columns
        if column != "id" and table != "label"
    ),
    Target("book", PAIR),
    Target("book", LIST),
    Target("book", DOCUMENT),
    Target("label", "status"),
    Target("label", "key"),
    Target("label"),
)

#: Names that are always quoted.
_QUOTED = {
    "sqlite": frozenset(("order", "key")),
    "postgresql": frozenset(("order",)),
    "mysql": frozenset(("order", "key", "rows")),
}


def columns(table: str) -> tuple[str, ...]:
    """The columns of a table, in order."""
    return TABLES[table] + ((PAIR, LIST, DOCUMENT) if table == "book" else ())


def create(connection: BaseDatabaseWrapper) -> None:
    """Make the tables."""
    with connection.cursor() as cursor:
        for sql in _schema(connection.vendor):
            cursor.execute(sql)


def _schema(vendor: str) -> Iterable[str]:
    quote = "`" if vendor == "mysql" else '"'
    kinds = {PAIR: "text", LIST: "text", DOCUMENT: "text"}
    if vendor == "postgresql":
        yield "CREATE TYPE two AS (x text, status text)"
        kinds = {PAIR: "two", LIST: "text[]", DOCUMENT: "jsonb"}
    plain = "varchar(50)" if vendor == "mysql" else "text"
    for table in TABLES:
        parts = [
            f"{quote}{each}{quote} {kinds.get(each, plain)}{' PRIMARY KEY' if each == 'id' else ''}"
            for each in columns(table)
        ]
        unique = TABLES[table][1]
        parts.append(f"CONSTRAINT {quote}{table}_one{quote} UNIQUE ({quote}{unique}{quote})")
        yield f"CREATE TABLE {quote}{table}{quote} ({', '.join(parts)})"


@dataclass(frozen=True)
class Source:
    """Something in FROM: the name by which it is known, and its columns."""

    name: str
    columns: tuple[str, ...]
    #: The table that it is, where it is one.
    table: str = ""
    #: Known by the table's own name, so that a schema may stand before it.
    bare: bool = False


Scope = list[Source]

#: Words that mean something to whoever reads SQL, and are names where a database lets them.
_WORDS = sorted(
    keywords.FLOW | keywords.NO_ALIAS | keywords.AFTER_STAR | keywords.UNITS | keywords.HARMLESS | keywords.LOCKS
    | keywords.CREATED_HOW | keywords.WHOLE | {"columns", "rows", "excluded", "ordinality", "over", "conflict", "source"}
)  # fmt: skip

_KEYWORD = re.compile(r"\b[A-Z][A-Z_]+\b")


class Smith:
    """Writes statements. The same seed writes the same ones."""

    def __init__(self, vendor: str, seed: int) -> None:
        self.vendor = vendor
        self.draw = random.Random(seed)
        self.pg = vendor == "postgresql"
        self.my = vendor == "mysql"
        self.lite = vendor == "sqlite"
        #: Common table expressions in sight: name → columns.
        self.ctes: dict[str, tuple[str, ...]] = {}
        self.windows: list[str] = []
        self.budget = 0

    # Chance.

    def chance(self, probability: float) -> bool:
        return self.draw.random() < probability

    def some(self, *choices: str) -> str:
        return self.draw.choice(choices)

    def one(self, *choices: tuple[float, Callable[[], str]]) -> str:
        """One of several ways to write something, by weight."""
        weights = [weight for weight, _ in choices]
        return self.draw.choices([write for _, write in choices], weights)[0]()

    def list_of(self, write: Callable[[], str], most: int = 3) -> str:
        return "\x01,\x01".join(write() for _ in range(self.draw.randint(1, most)))

    # Names.

    def name(self, text: str) -> str:
        exact = not text.islower()
        word = text in keywords.reserved(self.vendor) and self.chance(0.9)
        must = word or text in _QUOTED[self.vendor] or not text.replace("_", "").isalnum() or (exact and self.pg)
        if not must and self.chance(0.7):
            if not self.my and self.chance(0.1):
                return "\x02" + self.some(text.upper(), text.title()) + "\x03"
            return f"\x02{text}\x03"
        if self.pg:
            if self.chance(0.05):
                head = f"\\{ord(text[0]):04x}" if self.chance(0.5) else f"\\+{ord(text[0]):06x}"
                return f'\x02U&"{head}{text[1:]}"\x03'
            return f'\x02"{text}"\x03'
        if self.my:
            return f"\x02`{text}`\x03"
        quoted = self.some('"{}"', "[{}]", "`{}`").format(text)
        return f"\x02{quoted}\x03"

    def table(self, table: str) -> str:
        schema = {"sqlite": "main", "postgresql": "public", "mysql": ""}[self.vendor]
        return f"{self.name(schema)}\x01.\x01{self.name(table)}" if schema and self.chance(0.08) else self.name(table)

    def alias(self) -> str:
        pool = [
            "a",
            "b",
            "c",
            "d",
            "t",
            "u0",
            "T3",
            "x",
            "y",
            "book",
            "page",
            "status",
            "label",
            "note",
            "value",
            "lock",
        ]
        if self.pg:
            pool += ["B", "Book", "Page", "LOAN"]
        return self.draw.choice(_WORDS if self.chance(0.12) else pool)

    def fresh(self, scope: Scope) -> str:
        """An alias that no other in the scope has."""
        taken = {each.name.casefold() for each in scope}
        for _ in range(8):
            alias = self.alias()
            if alias.casefold() not in taken:
                return alias
        return f"z{len(scope)}_{self.draw.randint(0, 99)}"

    def label(self) -> str:
        pool = ["status", "title", "note", "n", "x", "id", "book", "value", "text", "total", "page"]
        if self.pg:
            pool += ["Status", "NOTE"]
        return self.draw.choice(_WORDS if self.chance(0.07) else pool)

    # Literals.

    def literal(self) -> str:
        texts = [
            "x",
            "1",
            "status",
            "book.status",
            "it''s note",
            "-- note",
            "/* text */",
            "SELECT * FROM book",
            ";",
            "é",
            "",
        ]
        text = self.draw.choice(texts)
        forms = [f"'{text}'"] * 6 + ["NULL"]
        plain = text.replace("''", "")
        if self.pg:
            forms += [
                f"E'{plain}'", f"E'a\\'{plain}'", f"$${plain}$$", f"$q${plain}$q$", f"U&'{plain}'", "B'1'::text",
                f"'{text}'::text", f"text '{text}'", f"CAST('{text}' AS text)", "'a'\n'b'", "N'x'",
            ]  # fmt: skip
        elif self.my:
            forms += [
                f'"{plain}"',
                f"N'{plain}'",
                f"_utf8mb4'{plain}'",
                "x'41'",
                "0x41",
                "1",
                "1.5e3",
                "'a' 'b'",
                "'\\''",
                "TRUE",
                '"it\'s"',
            ]
        else:
            forms += ["x'41'", "1", ".5", "1e3", "TRUE", "current_date"]
        return f"\x02{self.draw.choice(forms)}\x03"

    # Columns.

    def source_of(self, scopes: Sequence[Scope]) -> Source | None:
        filled = [scope for scope in scopes if scope]
        if not filled:
            return None
        scope = filled[0] if self.chance(0.8) else self.draw.choice(filled)
        return self.draw.choice(scope)

    def column(self, scopes: Sequence[Scope]) -> str:
        source = self.source_of(scopes)
        if source is None or not source.columns:
            return self.literal()
        column = self.draw.choice(source.columns)
        if self.chance(0.4):
            return self.name(column)
        prefix = ""
        if source.bare and self.chance(0.05) and not self.my:
            prefix = self.name("main" if self.lite else "public") + "."
        return f"{prefix}{self.name(source.name)}\x01.\x01{self.name(column)}"

    # Expressions, all of text.

    def expression(self, scopes: Sequence[Scope], depth: int = 0) -> str:
        self.budget -= 1
        if depth > 3 or self.budget < 0:
            return self.column(scopes)
        again = lambda: self.expression(scopes, depth + 1)  # noqa: E731
        choices: list[tuple[float, Callable[[], str]]] = [
            (10, lambda: self.column(scopes)),
            (2, self.literal),
            (1, lambda: f"{self.some('UPPER', 'LOWER', 'TRIM')}\x01(\x01{again()}\x01)"),
            (1, lambda: f"COALESCE\x01(\x01{again()}\x01,\x01{again()}\x01)"),
            (1, lambda: f"NULLIF({again()}, {again()})"),
            (1, lambda: f"CASE WHEN {self.condition(scopes, depth + 1)} THEN {again()} ELSE {again()} END"),
            (0.7, lambda: f"CASE {again()} WHEN {again()} THEN {again()} END"),
            (0.7, lambda: f"CAST({again()} AS {'char' if self.my else 'text'})"),
            (1, lambda: f"(\x01{again()}\x01)"),
            (1.5, lambda: f"(\x01{self.query(scopes, depth + 2, width=1)}\x01)"),
            (0.5, lambda: f"(\x01SELECT {self.some('MAX', 'MIN')}\x01({self.column([*self.into(scopes)])}\x01) {self.tail}\x01)"),
            (0.5, lambda: f"REPLACE({again()}, {again()}, {self.literal()})"),
            (0.4, lambda: f"{self.some('LAG', 'LEAD', 'FIRST_VALUE', 'LAST_VALUE')}\x01({again()}\x01) OVER {self.window(scopes, depth)}"),
            (0.3, lambda: f"SUBSTR({again()}, 1, 2)"),
        ]  # fmt: skip
        if self.pg:
            choices += [
                (1, lambda: f"{again()}\x01||\x01{again()}"),
                (0.7, lambda: f"({again()})\x01::\x01{self.some('text', 'varchar', 'name', 'pg_catalog.text', 'varchar(5)')}\x01::text"),
                (0.5, lambda: f"({again()}) COLLATE {self.some('pg_catalog', 'pg_catalog')}.\x02\"C\"\x03"),
                (0.5, lambda: f"({again()} OPERATOR(pg_catalog.||) {again()})"),
                (0.4, lambda: f"substring({again()} FROM 1 FOR 2)"),
                (0.3, lambda: f"overlay({again()} placing {again()} from 1)"),
                (0.3, lambda: f"trim(both {self.literal()} from {again()})"),
                (0.3, lambda: f"position({again()} in {again()})\x01::text"),
                (0.5, lambda: f"(ARRAY\x01[\x01{again()}\x01,\x01{again()}\x01]\x01)[1]"),
                (0.4, lambda: f"(ARRAY(\x01{self.query(scopes, depth + 2, width=1)}\x01))[1]"),
                (0.4, lambda: f"greatest({again()}, {again()})"),
                (0.4, lambda: f"concat_ws('-', {again()}, {again()})"),
                (0.4, lambda: f"format('%%s', {again()})"),
                (0.4, lambda: f"jsonb_build_object({again()}, {again()}) ->> {again()}"),
                (0.4, lambda: f"string_agg({again()}, ',' ORDER BY {again()}) OVER ()"),
                (0.5, lambda: f"(ROW({again()}, {again()})\x01::two).{self.some('x', 'status')}"),
                (0.3, lambda: f"xmlelement(name foo, xmlattributes({again()} as status), {again()})\x01::text"),
                (0.3, lambda: f"xmlforest({again()} as note)::text"),
                (0.3, lambda: f"(row_to_json(ROW({again()}, {again()})))::text"),
                (2.5, lambda: self.whole_row(scopes)),
                (1, lambda: self.of_book(scopes)),
                (0.3, lambda: f"({again()} AT TIME ZONE {again()})"),
                (0.2, lambda: "extract(year from now())\x01::text"),
                (0.2, lambda: f"coalesce({again()}, current_user)"),
                (0.2, lambda: f"concat(VARIADIC ARRAY[{again()}])"),
            ]  # fmt: skip
        elif self.my:
            choices += [
                (1, lambda: f"CONCAT({again()}, {again()})"),
                (0.6, lambda: f"IF({self.condition(scopes, depth + 1)}, {again()}, {again()})"),
                (0.4, lambda: f"({again()} COLLATE utf8mb4_bin)"),
                (0.4, lambda: f"BINARY {again()}"),
                (0.4, lambda: f"CONVERT({again()} USING utf8mb4)"),
                (0.4, lambda: f"CONVERT({again()}, char)"),
                (0.3, lambda: f"SUBSTRING({again()} FROM 1 FOR 2)"),
                (0.3, lambda: f"TRIM(LEADING {self.literal()} FROM {again()})"),
                (0.4, lambda: f"({again()} {self.some('DIV', 'MOD', 'XOR', '^', '<<', '%', '*', '-', '||', '&&')} {again()})"),
                (0.3, lambda: f"JSON_EXTRACT({again()}, '$.status')"),
                (0.3, lambda: f"DATE_ADD(NOW(), INTERVAL {again()} DAY)"),
                (0.2, lambda: f"TIMESTAMPDIFF(DAY, NOW(), {again()})"),
                (0.2, lambda: f"EXTRACT(YEAR FROM {again()})"),
                (0.3, lambda: f"@v := {again()}"),
                (0.2, lambda: f"(- {again()})"),
                (0.3, lambda: f"INTERVAL({again()}, {again()})"),
                (0.3, lambda: f"CHAR({again()} USING utf8mb4)"),
                (0.3, lambda: f"DEFAULT({self.column(scopes)})"),
                (0.2, lambda: f"{{fn UCASE({again()})}}"),
                (0.3, lambda: f"GROUP_CONCAT({again()}) OVER ()" if self.chance(0.1) else f"LEFT({again()}, 2)"),
            ]  # fmt: skip
        else:
            choices += [
                (1, lambda: f"{again()}\x01||\x01{again()}"),
                (0.5, lambda: f"IIF({self.condition(scopes, depth + 1)}, {again()}, {again()})"),
                (0.4, lambda: f"({again()} COLLATE {self.some('nocase', 'BINARY', '[rtrim]')})"),
                (0.4, lambda: f"{again()} {self.some('->', '->>', '+', '-', '*', '%', '<<', '&')} {again()}"),
                (0.3, lambda: f"(- {again()})"),
                (0.3, lambda: f"printf('%%s', {again()})"),
                (0.3, lambda: f"json_extract({again()}, '$.status')"),
                (0.3, lambda: f"json_object({again()}, {again()})"),
                (0.3, lambda: f"group_concat({again()}) FILTER (WHERE {self.condition(scopes, depth + 1)}) OVER ()"),
                (0.3, lambda: f"quote({again()})"),
            ]  # fmt: skip
        return self.one(*choices)

    def into(self, scopes: Sequence[Scope]) -> Sequence[Scope]:
        """A new FROM with one or two sources, kept in `tail`, and the scopes that it gives."""
        text, scope = self.sources(scopes, 3)
        self.tail = f"FROM {text}"
        return [scope, *scopes]

    def whole_row(self, scopes: Sequence[Scope]) -> str:
        source = self.source_of(scopes)
        if source is None:
            return self.literal()
        row = self.name(source.name)
        column = self.name(self.draw.choice(source.columns)) if source.columns else self.name("id")
        return self.draw.choice(
            [
                f"row_to_json({row})::text",
                f"to_jsonb({row})\x01->>\x01'status'",
                f"({row})\x01.\x01{column}",
                f"({row}\x01.\x01*)\x01::text",
                f"({row})\x01::\x01text",
                f"{row}\x01::\x01text",
                f"CAST({row} AS text)",
                f"({row} IS NULL)::text",
                f"count({row}) OVER ()::text" if self.chance(0.3) else f"concat({row})",
                f"{column}({row})",
                f"{row}.row_to_json::text",
                f"(({row}.*) IS NOT NULL)::text",
                f"ROW({row}.*)::text",
                f"(({row})).{column}",
                f"coalesce({row}.{column}, 'x')",
                f"(SELECT {row}.{column})",
                f"(SELECT {column} FROM (SELECT {row}.*) q)",
                f"array_to_string(ARRAY[{row}], ',')",
                f"json_build_array({row})::text",
            ]
        )

    def of_book(self, scopes: Sequence[Scope]) -> str:
        """Parts of what is no text."""
        books = [source for scope in scopes for source in scope if source.table == "book"]
        prefix = f"{self.name(self.draw.choice(books).name)}\x01.\x01" if books and self.chance(0.7) else ""
        pair, tags, data = (prefix + self.name(each) for each in (PAIR, LIST, DOCUMENT))
        return self.draw.choice(
            [
                f"({pair}).{self.some('x', 'status')}",
                f"({pair})::text",
                f"{tags}[1]",
                f"array_to_string({tags}[1:2], ',')",
                f"({data} ->> 'status')",
                f"({data} #>> '{{a,status}}')",
                f"({data} -> 'note' ->> {self.column(scopes)})",
                f"({data}['status'])::text",
                f"jsonb_path_query_first({data}, '$.status')::text",
                f"(SELECT max(status) FROM unnest({tags}) AS status)",
                f"(SELECT max(e.value) FROM jsonb_each_text({data}) e)",
                f"(SELECT r.note FROM jsonb_to_record({data}) AS r(note text, status text))",
                f"(SELECT max(status) FROM jsonb_to_recordset({data}) AS (status text, x text))",
            ]
        )

    def window(self, scopes: Sequence[Scope], depth: int) -> str:
        if self.windows and self.chance(0.4):
            return self.name(self.draw.choice(self.windows))
        return f"(\x01{self.window_body(scopes, depth)}\x01)"

    def window_body(self, scopes: Sequence[Scope], depth: int) -> str:
        parts = []
        if self.chance(0.6):
            parts.append(f"PARTITION BY {self.list_of(lambda: self.column(scopes), 2)}")
        parts.append(f"ORDER BY {self.expression(scopes, depth + 2)}{self.some('', ' DESC', ' ASC')}")
        if self.chance(0.3):
            parts.append(
                self.some(
                    "ROWS UNBOUNDED PRECEDING", "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", "RANGE UNBOUNDED PRECEDING"
                )
            )
            if not self.my and self.chance(0.4):
                parts.append(self.some("EXCLUDE CURRENT ROW", "EXCLUDE TIES", "EXCLUDE NO OTHERS"))
        return " ".join(parts)

    def condition(self, scopes: Sequence[Scope], depth: int = 0) -> str:
        self.budget -= 1
        text = lambda: self.expression(scopes, depth + 1)  # noqa: E731
        if depth > 3 or self.budget < 0:
            return f"{self.column(scopes)}\x01=\x01{self.literal()}"
        again = lambda: self.condition(scopes, depth + 1)  # noqa: E731
        query = lambda width: self.query(scopes, depth + 2, width=width)  # noqa: E731
        choices: list[tuple[float, Callable[[], str]]] = [
            (5, lambda: f"{text()}\x01{self.some('=', '<>', '<', '>=', '!=')}\x01{text()}"),
            (1, lambda: f"{text()} IS {self.some('', 'NOT ')}NULL"),
            (1, lambda: f"{text()} {self.some('', 'NOT ')}IN\x01(\x01{self.list_of(text)}\x01)"),
            (1.5, lambda: f"{text()} {self.some('', 'NOT ')}IN\x01(\x01{query(1)}\x01)"),
            (1.5, lambda: f"{self.some('', 'NOT ')}EXISTS\x01(\x01{query(0)}\x01)"),
            (1, lambda: f"{text()} {self.some('', 'NOT ')}BETWEEN {text()} AND {text()}"),
            (1, lambda: f"{text()} {self.some('', 'NOT ')}LIKE {text()}{self.some('', '', ' ESCAPE ' + chr(39) + '!' + chr(39))}"),
            (1, lambda: f"(\x01{again()} {self.some('AND', 'OR')} {again()}\x01)"),
            (0.7, lambda: f"NOT (\x01{again()}\x01)"),
            (0.7, lambda: f"({text()}\x01,\x01{text()}) {self.some('=', '<', '>=')} ({text()}\x01,\x01{text()})"),
            (0.6, lambda: f"({text()}, {text()}) IN\x01({query(2)}\x01)"),
        ]  # fmt: skip
        if self.pg:
            choices += [
                (0.6, lambda: f"{text()} IS {self.some('', 'NOT ')}DISTINCT FROM {text()}"),
                (0.5, lambda: f"{text()} = {self.some('ANY', 'ALL', 'SOME')}\x01({query(1)})"),
                (0.5, lambda: f"{text()} = ANY(ARRAY[{text()}, {text()}])"),
                (0.4, lambda: f"{text()} {self.some('ILIKE', 'SIMILAR TO', '~', '~*', '!~', 'LIKE ALL (ARRAY', '^@')[:10]} {text()}"),
                (0.3, lambda: f"{text()} {self.some('ISNULL', 'NOTNULL')}"),
                (0.3, lambda: f"ROW({text()}, {text()}) IS DISTINCT FROM ROW({text()}, {text()})"),
                (0.3, lambda: f"to_tsvector('simple', {text()}) @@ plainto_tsquery({text()})"),
                (0.4, lambda: f"({self.row_name(scopes)}) = ({self.row_name(scopes)})"),
                (0.4, lambda: f"{self.row_name(scopes)} IS NOT NULL"),
                (0.3, lambda: f"{text()} IS NFC NORMALIZED"),
                (0.3, lambda: f"{text()} BETWEEN SYMMETRIC {text()} AND {text()}"),
            ]  # fmt: skip
        elif self.my:
            choices += [
                (0.5, lambda: f"{text()} <=> {text()}"),
                (0.5, lambda: f"{text()} {self.some('REGEXP', 'RLIKE', 'SOUNDS LIKE', 'NOT REGEXP')} {text()}"),
                (0.5, lambda: f"{text()} = {self.some('ANY', 'ALL', 'SOME')}\x01({query(1)})"),
                (0.5, lambda: f"({again()}) IS {self.some('TRUE', 'NOT FALSE', 'UNKNOWN')}"),
                (0.3, lambda: f"({again()} {self.some('XOR', '&&', '||')} {again()})"),
                (0.3, text),
                (0.3, lambda: f"!({again()})"),
            ]
        else:
            choices += [
                (0.5, lambda: f"{text()} IS {self.some('', 'NOT ')}{text()}"),
                (0.5, lambda: f"{text()} GLOB {text()}"),
                (0.4, lambda: f"{text()} {self.some('ISNULL', 'NOTNULL', 'NOT NULL')}"),
                (0.4, lambda: f"{text()} == {text()}"),
                (0.3, lambda: f"{text()} IS DISTINCT FROM {text()}"),
                (0.4, text),
                (0.3, lambda: f"{text()} IN {self.table(self.draw.choice(list(TABLES)))}"),
                (0.2, lambda: f"{text()} IN json_each({text()})"),
            ]
        return self.one(*choices)

    def row_name(self, scopes: Sequence[Scope]) -> str:
        source = self.source_of(scopes)
        if source is None:
            return "\x02NULL\x03"
        return self.name(source.name) + self.some("", ".*")

    # FROM.

    def sources(self, scopes: Sequence[Scope], depth: int) -> tuple[str, Scope]:
        """What stands in FROM, and the scope that it makes. `scopes` are those around it."""
        scope: Scope = []
        text = self.source(scope, scopes, depth)
        for _ in range(self.draw.choice((0, 0, 0, 1, 1, 2) if depth < 3 else (0, 0, 0, 1))):
            text = self.joined(text, scope, scopes, depth)
        return text, scope

    def joined(self, text: str, scope: Scope, scopes: Sequence[Scope], depth: int) -> str:
        pick = self.draw.random()
        if pick < 0.2:
            return f"{text}\x01,\x01{self.source(scope, scopes, depth)}"
        if pick < 0.27:
            return f"{text} CROSS JOIN {self.source(scope, scopes, depth)}"
        if pick < 0.33:
            how = self.some("NATURAL JOIN", "NATURAL LEFT JOIN", "NATURAL INNER JOIN", "NATURAL LEFT OUTER JOIN")
            return f"{text} {how} {self.source(scope, scopes, depth)}"
        if pick < 0.45:
            before = len(scope)
            right = self.source(scope, scopes, depth)
            left_columns = {column for source in scope[:before] for column in source.columns}
            both = [column for source in scope[before:] for column in source.columns if column in left_columns] or [
                "id"
            ]
            using = f" USING\x01(\x01{self.name(self.draw.choice(both))}\x01)"
            if self.pg and self.chance(0.2):
                using += f" AS {self.name(self.fresh(scope))}"
            return f"{text} {self.some('JOIN', 'LEFT JOIN', 'INNER JOIN', 'FULL JOIN' if not self.my else 'RIGHT JOIN')} {right}{using}"
        hows = ["JOIN", "INNER JOIN", "LEFT JOIN", "LEFT OUTER JOIN", "RIGHT JOIN"]
        if self.my:
            hows.append("STRAIGHT_JOIN")
        how = self.draw.choice(hows)
        if depth < 2 and self.chance(0.12):
            inner: Scope = []
            left = self.source(inner, scopes, depth + 1)
            right = self.source(inner, scopes, depth + 1)
            nested = f"(\x01{left} {self.some('JOIN', 'LEFT JOIN')} {right} ON {self.condition([inner, *scopes], depth + 2)}\x01)"
            if self.pg and self.chance(0.3):
                alias = self.fresh(scope)
                nested += f" AS {self.name(alias)}"
                scope.append(Source(alias, tuple(column for each in inner for column in each.columns)))
            else:
                scope += inner
            right_text = nested
        else:
            right_text = self.source(scope, scopes, depth)
        return f"{text} {how} {right_text} ON {self.condition([scope, *scopes], depth + 1)}"

    def source(self, scope: Scope, scopes: Sequence[Scope], depth: int) -> str:
        self.budget -= 1
        pick = self.draw.random()
        if self.ctes and pick < 0.35:
            name = self.draw.choice(list(self.ctes))
            alias = self.fresh(scope) if self.chance(0.4) or any(each.name == name for each in scope) else name
            scope.append(Source(alias, self.ctes[name]))
            return self.name(name) + ("" if alias == name else f"{self.some(' AS ', ' ')}{self.name(alias)}")
        if depth < 3 and self.budget > 0:
            if pick > 0.87:
                return self.derived(scope, scopes, depth)
            if pick > 0.81 and not self.my:
                return self.called(scope, scopes)
        table = self.draw.choice(list(TABLES))
        own = TABLES[table]
        taken = any(each.name.casefold() == table.casefold() for each in scope)
        before = "ONLY " if self.pg and self.chance(0.04) else ""
        text = before + self.table(table)
        if self.pg and not before and self.chance(0.03):
            text += " *"
        if not taken and self.chance(0.4):
            alias, bare = table, True
        else:
            alias, bare = self.fresh(scope), False
            text += f"{self.some(' AS ', ' ')}{self.name(alias)}"
            if self.pg and self.chance(0.08):
                renamed = [self.label() for _ in range(self.draw.randint(1, len(own)))]
                own = (*renamed, *own[len(renamed) :])
                text += f"\x01(\x01{', '.join(map(self.name, renamed))}\x01)"
        if self.pg and self.chance(0.03):
            text += " TABLESAMPLE SYSTEM (10)"
        if self.my and self.chance(0.05):
            text += self.some(
                " USE INDEX (PRIMARY)",
                " IGNORE INDEX FOR ORDER BY (PRIMARY)",
                " FORCE INDEX FOR JOIN (PRIMARY)",
                " USE INDEX ()",
            )
        if self.lite and self.chance(0.05):
            text += " NOT INDEXED"
        scope.append(Source(alias, own, table, bare))
        return text

    def derived(self, scope: Scope, scopes: Sequence[Scope], depth: int) -> str:
        labels = self.labels()
        lateral = self.pg and self.chance(0.4)
        around = [scope, *scopes] if lateral else scopes
        if self.chance(0.15) and not self.my:
            rows = self.list_of(lambda: f"({self.expression(around, depth + 2)}, {self.literal()})", 2)
            inner, names = f"VALUES {rows}", ("column1", "column2")
        else:
            inner, names = self.query(around, depth + 1, labels=labels), labels
            if self.chance(0.1):
                inner = f"(\x01{inner}\x01)"
        alias = self.fresh(scope)
        text = f"{'LATERAL ' if lateral else ''}(\x01{inner}\x01)"
        if not (self.lite and self.chance(0.1)):
            text += f"{self.some(' AS ', ' ')}{self.name(alias)}"
        if self.pg and self.chance(0.3):
            names = self.labels()
            text += f"\x01(\x01{', '.join(map(self.name, names))}\x01)"
        scope.append(Source(alias, names))
        return text

    def called(self, scope: Scope, scopes: Sequence[Scope]) -> str:
        """A function in FROM."""
        alias = self.fresh(scope)
        name = self.name(alias)
        given = self.expression([scope, *scopes], 3)
        if self.lite:
            scope.append(Source(alias, ("key", "value", "type", "atom")))
            return f"{self.some('json_each', 'json_tree')}\x01({given}) {self.some('AS ', '')}{name}"
        label, other = self.labels()
        column, second = self.name(label), self.name(other)
        text, names = self.draw.choice(
            [
                (f"unnest(ARRAY[{given}]) AS {name}({column})", (label,)),
                (f"unnest(ARRAY[{given}]) {name}", (alias,)),
                (f"unnest(ARRAY[{given}]) WITH ORDINALITY AS {name}({column}, {second})", (label,)),
                (f"ROWS FROM (unnest(ARRAY[{given}]), generate_series(1, 2)) AS {name}({column}, {second})", (label,)),
                (f"generate_series(1, length({given})) AS {name}({column})", ()),
                (f"json_to_record({given}::json) AS {name}({column} text, {second} text)", (label, other)),
                (f"jsonb_populate_record(NULL::{self.table('book')}, ({given})::jsonb) AS {name}", TABLES["book"]),
                (f"regexp_split_to_table({given}, ',') AS {name}", (alias,)),
                (f"LATERAL unnest(ARRAY[{given}]) AS {name}({column})", (label,)),
                (f"jsonb_each_text(({given})::jsonb) AS {name}", ("key", "value")),
            ]
        )
        scope.append(Source(alias, names))
        return text

    def labels(self) -> tuple[str, ...]:
        while True:
            first, second = self.label(), self.label()
            if first.casefold() != second.casefold():
                return (first, second)

    # Queries.

    def query(self, scopes: Sequence[Scope], depth: int = 0, *, width: int = 0, labels: Sequence[str] = ()) -> str:
        """A SELECT of so many columns, or with these output names; of any where neither is given."""
        self.budget -= 1
        kept, windows = dict(self.ctes), self.windows
        self.windows = []
        try:
            prefix = self.with_clause(depth, scopes) if self.chance(0.18 if depth < 2 else 0.04) else ""
            width = len(labels) or width
            if depth < 3 and self.chance(0.1):
                wide = width or 1
                first = self.select(scopes, depth + 1, width=wide, labels=labels, plain=True)
                second = self.select(scopes, depth + 1, width=wide, plain=True)
                if not self.lite and self.chance(0.2):
                    second = f"(\x01{second}\x01)"
                if self.chance(0.1):
                    second = f"VALUES ({', '.join(self.expression(scopes, 3) for _ in range(wide))})"
                text = f"{first} {self.some('UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT')} {second}"
                if labels and self.chance(0.4):
                    text += f" ORDER BY {self.name(labels[0])}"
                return prefix + text
            if not width and not labels and not self.my and self.chance(0.03):
                return prefix + (f"TABLE {self.table(self.draw.choice(list(TABLES)))}" if self.pg else "VALUES (1, 2)")
            return prefix + self.select(scopes, depth, width=width, labels=labels)
        finally:
            self.ctes, self.windows = kept, windows

    def select(
        self, scopes: Sequence[Scope], depth: int, *, width: int = 0, labels: Sequence[str] = (), plain: bool = False
    ) -> str:
        if self.chance(0.03):
            items = [self.expression(scopes, depth + 1) for _ in range(width or 1)]
            return "SELECT " + "\x01,\x01".join(
                f"{item} AS {self.name(label)}"
                for item, label in zip(items, labels or ["x"] * len(items), strict=False)
            )
        text, scope = self.sources(scopes, depth)
        inside = [scope, *scopes]
        tail = ""
        self.windows = []
        if self.chance(0.06):
            window = self.some("w", "note", "status", "b")
            tail = f" WINDOW {self.name(window)} AS (\x01{self.window_body(inside, depth)}\x01)"
            self.windows = [window]
        if labels:
            items = [
                f"{self.expression(inside, depth + 1)}{self.some(' AS ', ' AS ', ' ')}{self.name(label)}"
                for label in labels
            ]
        elif width:
            items = [self.expression(inside, depth + 1) for _ in range(width)]
        elif self.chance(0.12):
            star = self.some("*", f"{self.name(scope[0].name)}\x01.\x01*")
            items = [star, *([self.column(inside)] if self.chance(0.2) and star != "*" else [])]
        else:
            items = [self.expression(inside, depth + 1) for _ in range(self.draw.randint(1, 3))]
            if self.chance(0.35):
                items[0] += f"{self.some(' AS ', ' AS ', ' ')}{self.name(self.label())}"
        head = "SELECT "
        if self.chance(0.08):
            head += self.some("DISTINCT ", "ALL ")
            if self.pg and self.chance(0.3):
                head = f"SELECT DISTINCT ON (\x01{self.column(inside)}\x01) "
        if self.my and self.chance(0.05):
            head += self.some(
                "SQL_NO_CACHE ", "HIGH_PRIORITY ", "STRAIGHT_JOIN ", "/*+ NO_ICP(x) */ ", "/*!50000 ALL */ "
            )
        body = f" FROM {text}"
        if self.chance(0.55):
            body += f" WHERE {self.condition(inside, depth + 1)}"
        grouped = not tail and self.chance(0.1)
        if grouped:
            keys = [self.column(inside) for _ in range(self.draw.randint(1, 2))]
            items = [
                self.draw.choice([*keys, self.aggregate(inside, depth), self.aggregate(inside, depth)]) for _ in items
            ]
            if labels:
                items = [f"{item} AS {self.name(label)}" for item, label in zip(items, labels, strict=True)]
            body += f" GROUP BY {self.grouping(keys)}"
            if self.chance(0.4):
                body += f" HAVING {self.aggregate(inside, depth)} = {self.literal()}"
        body = head + "\x01,\x01".join(items) + body + tail
        if not grouped and not plain and self.chance(0.3):
            order = self.name(self.label()) if self.chance(0.25) else self.expression(inside, depth + 1)
            body += f" ORDER BY {order}{self.some('', ' DESC', ' ASC')}"
            if not self.my and self.chance(0.15):
                body += " NULLS LAST"
        if not plain and self.chance(0.15):
            body += self.some(
                " LIMIT 3", " LIMIT 3 OFFSET 1", *([" FETCH FIRST 3 ROWS ONLY", " OFFSET 1 ROW"] if self.pg else [])
            )
        if depth == 0 and not plain and not grouped and not self.lite and self.chance(0.05):
            body += (
                " FOR UPDATE"
                if self.my
                else f" FOR {self.some('UPDATE', 'NO KEY UPDATE', 'SHARE')} OF {self.name(scope[0].name)}{self.some('', ' NOWAIT', ' SKIP LOCKED')}"
            )
        return body

    def aggregate(self, scopes: Sequence[Scope], depth: int) -> str:
        inner = self.expression(scopes, depth + 2)
        forms = [f"MAX({inner})", "COUNT(*)", f"COUNT(DISTINCT {inner})", f"MIN(\x01{self.column(scopes)}\x01)"]
        if self.pg:
            forms = [
                f"max({inner})",
                f"string_agg({inner}, ',' ORDER BY {self.column(scopes)})",
                f"max({inner}) FILTER (WHERE {self.condition(scopes, depth + 2)})",
                f"mode() WITHIN GROUP (ORDER BY {inner})",
                f"array_to_string(array_agg({inner}), ',')",
                f"count({self.row_name(scopes)})::text",
                f"json_agg({self.row_name(scopes)})::text",
                "count(*)::text",
            ]
        elif self.my:
            forms.append(f"GROUP_CONCAT(DISTINCT {inner} ORDER BY {self.column(scopes)} DESC SEPARATOR ',')")
        else:
            forms.append(f"MAX({inner}) FILTER (WHERE {self.condition(scopes, depth + 2)})")
        return self.draw.choice(forms)

    def grouping(self, keys: Sequence[str]) -> str:
        plain = "\x01,\x01".join(keys)
        if self.pg and self.chance(0.3):
            return self.some(
                f"ROLLUP ({plain})", f"CUBE ({plain})", f"GROUPING SETS (({plain}), ())", f"DISTINCT {plain}"
            )
        if self.my and self.chance(0.1):
            return f"{plain} WITH ROLLUP"
        return plain

    def with_clause(self, depth: int, scopes: Sequence[Scope] = ()) -> str:
        recursive = self.chance(0.25)
        parts = []
        for _ in range(self.draw.choice((1, 1, 2))):
            pool = ["recent", "x", "book", "page", "loan", "status", "set", "t"]
            if self.pg:
                pool += ["Book", "Page", "shelf", "LABEL"]
            elif self.my:
                pool = ["recent", "x", "book", "page", "loan", "status", "t", "Book", "PAGE", "shelf"]
            name = self.draw.choice(_WORDS if self.chance(0.12) else pool)
            labels = self.labels()
            own = ""
            if recursive and self.chance(0.7):
                first = self.select(scopes, depth + 2, labels=labels, plain=True)
                column = self.name(labels[0])
                second = f"SELECT {column}, {self.literal()} FROM {self.name(name)} WHERE {column} = 'x'"
                body = f"{first} UNION{self.some('', ' ALL')} {second}"
                if self.chance(0.5):
                    own = f"\x01(\x01{', '.join(map(self.name, labels))}\x01)"
            elif self.pg and depth == 0 and self.chance(0.25):
                body = self.change(returning=labels)
            elif self.chance(0.3):
                body = self.query(scopes, depth + 2, width=2)
                own = f"\x01(\x01{', '.join(map(self.name, labels))}\x01)"
            else:
                body = self.query(scopes, depth + 2, labels=labels)
            how = self.some("", "", "MATERIALIZED ", "NOT MATERIALIZED ") if not self.my else ""
            parts.append(f"{self.name(name)}{own} AS {how}(\x01{body}\x01)")
            self.ctes[name] = labels
        return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)} "

    # Changes.

    def change(self, returning: Sequence[str] = ()) -> str:
        writers: list[tuple[float, Callable[[], str]]] = [
            (3, lambda: self.insert(returning)),
            (3, lambda: self.update(returning)),
            (1.5, lambda: self.delete(returning)),
        ]
        if self.pg and not returning:
            writers.append((1.5, self.merge))
        kept = dict(self.ctes)
        try:
            prefix = self.with_clause(1) if not returning and not self.my and self.chance(0.15) else ""
            return prefix + self.one(*writers)
        finally:
            self.ctes = kept

    def returns(self, scopes: Sequence[Scope], returning: Sequence[str]) -> str:
        if returning:
            return " RETURNING " + ", ".join(f"{self.expression(scopes, 2)} AS {self.name(each)}" for each in returning)
        if not self.chance(0.3):
            return ""
        star = self.some("*", f"{self.name(scopes[0][0].name)}.*") if not self.lite else "*"
        return f" RETURNING {star if self.chance(0.3) else self.list_of(lambda: self.expression(scopes, 2), 2)}"

    def insert(self, returning: Sequence[str] = ()) -> str:
        table = self.draw.choice(list(TABLES))
        own = TABLES[table]
        head = "INSERT INTO"
        if self.my:
            head = self.some(
                "INSERT INTO", "INSERT IGNORE INTO", "REPLACE INTO", "INSERT", "REPLACE", "INSERT LOW_PRIORITY INTO"
            )
        elif self.lite:
            head = self.some(
                "INSERT INTO", "INSERT INTO", "INSERT OR IGNORE INTO", "REPLACE INTO", "INSERT OR REPLACE INTO"
            )
        alias = table
        text = f"{head} {self.table(table)}"
        if not self.my and self.chance(0.2):
            alias = self.fresh([])
            text += f" AS {self.name(alias)}"
        target = Source(alias, own, table)
        some = list(own)
        if self.chance(0.85):
            some = self.draw.sample(own, self.draw.randint(1, len(own)))
        if self.my and self.chance(0.12):
            sets = [f"{self.name(each)} = {self.expression([[target]], 2)}" for each in some]
            return f"{text} SET {', '.join(sets)}{self.upsert(target, [])}"
        if not self.my and self.chance(0.03):
            return f"{text} DEFAULT VALUES{self.returns([[target]], returning)}"
        if some != list(own) or self.chance(0.5):
            text += f"\x01(\x01{', '.join(map(self.name, some))}\x01)"
            if self.pg and self.chance(0.05):
                text += f" OVERRIDING {self.some('SYSTEM', 'USER')} VALUE"
        inner: Scope = []
        if self.chance(0.4):
            row = lambda: "(\x01" + "\x01,\x01".join(self.expression([], 2) for _ in some) + "\x01)"  # noqa: E731
            text += f" {self.some('VALUES', 'VALUE') if self.my else 'VALUES'}\x01{self.list_of(row, 2)}"
        else:
            query = self.query([], 1, width=len(some))
            if self.lite:
                query = self.select([], 1, width=len(some), plain=True)
                if " WHERE " not in query:
                    query += " WHERE true"
            text += f" (\x01{query}\x01)" if not self.lite and self.chance(0.2) else f" {query}"
        if not returning or self.pg:
            text += self.upsert(target, inner)
        return text + self.returns([[target]], returning)

    def upsert(self, target: Source, inner: Scope) -> str:
        if not self.chance(0.35):
            return ""
        own = target.columns
        if self.my:
            value = lambda: self.one(  # noqa: E731
                (1, lambda: f"VALUES({self.name(self.draw.choice(own))})"),
                (1, lambda: self.expression([[target]], 2)),
                (0.5, lambda: f"COALESCE(VALUES({self.name(self.draw.choice(own))}), {self.column([[target]])})"),
            )
            return (
                f" ON DUPLICATE KEY UPDATE {self.list_of(lambda: f'{self.name(self.draw.choice(own))} = {value()}', 2)}"
            )
        excluded = Source("excluded", own)
        unique = TABLES[target.table][1]
        where = self.some("", "", f"(\x01{self.name('id')}\x01)", f"(\x01{self.name(unique)}\x01)")
        if self.pg and self.chance(0.15):
            where = f"ON CONSTRAINT {self.name(f'{target.table}_one')}"
        if not where or self.chance(0.3):
            return f" ON CONFLICT\x01{' ' if where.startswith('ON') else ''}{where} DO NOTHING"
        return (
            f" ON CONFLICT\x01{' ' if where.startswith('ON') else ''}{where} DO UPDATE SET {self.assignments(own, [[target, excluded]])}"
            + (f" WHERE {self.condition([[target, excluded]], 2)}" if self.chance(0.3) else "")
        )

    def assignments(self, own: Sequence[str], scopes: Sequence[Scope], prefix: str = "") -> str:
        some = self.draw.sample(list(own), self.draw.randint(1, min(3, len(own))))
        if not self.my and len(some) > 1 and self.chance(0.25):
            names = ", ".join(map(self.name, some))
            if self.chance(0.5):
                return f"(\x01{names}\x01)\x01=\x01(\x01{self.query(scopes, 2, width=len(some))}\x01)"
            values = ", ".join(self.expression(scopes, 2) for _ in some)
            return f"(\x01{names}\x01)\x01=\x01{self.some('', 'ROW') if self.pg else ''}(\x01{values}\x01)"
        value = lambda: "DEFAULT" if not self.lite and self.chance(0.05) else self.expression(scopes, 2)  # noqa: E731
        return "\x01,\x01".join(f"{prefix}{self.name(each)}\x01=\x01{value()}" for each in some)

    def update(self, returning: Sequence[str] = ()) -> str:
        table = self.draw.choice(list(TABLES))
        own = TABLES[table]
        alias = self.fresh([]) if self.chance(0.3) else table
        named = self.table(table) + ("" if alias == table else f" AS {self.name(alias)}")
        target = Source(alias, own, table, alias == table)
        if self.my and self.chance(0.4):
            scope: Scope = [target]
            text = named
            for _ in range(self.draw.choice((1, 1, 2))):
                text = self.joined(text, scope, [], 1)
            prefix = f"{self.name(alias)}." if self.chance(0.7) else ""
            tail = f" WHERE {self.condition([scope], 1)}" if self.chance(0.6) else ""
            return f"UPDATE {text} SET {self.assignments(own, [scope], prefix)}{tail}"
        if self.lite and self.chance(0.1):
            named = f"OR {self.some('IGNORE', 'REPLACE', 'ROLLBACK')} {named}"
        scope = [target]
        source = ""
        if not self.my and self.chance(0.4):
            others: Scope = []
            source = self.source(others, [], 1)
            for _ in range(self.draw.choice((0, 0, 1))):
                source = self.joined(source, others, [], 1)
            source = f" FROM {source}"
            scope = [target, *others]
        text = f"UPDATE {named} SET {self.assignments(own, [scope])}{source}"
        if self.chance(0.6):
            text += f" WHERE {self.condition([scope], 1)}"
        if self.my:
            return text + (f" ORDER BY {self.column([scope])} LIMIT 3" if self.chance(0.2) else "")
        return text + self.returns([scope], returning)

    def delete(self, returning: Sequence[str] = ()) -> str:
        table = self.draw.choice(list(TABLES))
        own = TABLES[table]
        if self.my and self.chance(0.45):
            scope: Scope = []
            text = self.source(scope, [], 3)
            text = self.joined(text, scope, [], 1)
            victim = self.name(scope[0].name)
            where = f" WHERE {self.condition([scope], 1)}" if self.chance(0.7) else ""
            return self.some(
                f"DELETE {victim} FROM {text}{where}",
                f"DELETE FROM {victim} USING {text}{where}",
                f"DELETE {victim}.* FROM {text}{where}",
            )
        alias = table if self.my or self.chance(0.6) else self.fresh([])
        target = Source(alias, own, table, alias == table)
        scope = [target]
        text = f"DELETE FROM {self.table(table)}" + ("" if alias == table else f" AS {self.name(alias)}")
        if self.pg and self.chance(0.3):
            others: Scope = []
            text += f" USING {self.source(others, [], 1)}"
            scope = [target, *others]
        if self.chance(0.7):
            text += f" WHERE {self.condition([scope], 1)}"
        return text + self.returns([scope], returning)

    def merge(self) -> str:
        table = self.draw.choice(list(TABLES))
        own = TABLES[table]
        alias = self.fresh([]) if self.chance(0.6) else table
        target = Source(alias, own, table, alias == table)
        others: Scope = []
        source = self.source(others, [], 1)
        text = f"MERGE INTO {self.table(table)}" + ("" if alias == table else f" AS {self.name(alias)}")
        text += f" USING {source} ON {self.condition([[target, *others]], 2)}"
        for _ in range(self.draw.randint(1, 3)):
            matched = self.chance(0.5)
            scopes = [[target, *others] if matched else others]
            text += f" WHEN {'' if matched else 'NOT '}MATCHED"
            if self.chance(0.3):
                text += f" AND {self.condition(scopes, 2)}"
            if self.chance(0.15):
                text += " THEN DO NOTHING"
            elif matched:
                text += " THEN DELETE" if self.chance(0.3) else f" THEN UPDATE SET {self.assignments(own, scopes)}"
            else:
                some = self.draw.sample(own, self.draw.randint(1, len(own)))
                names = f" ({', '.join(map(self.name, some))})" if self.chance(0.8) else ""
                some = some if names else list(own)
                values = (
                    "DEFAULT VALUES"
                    if not names and self.chance(0.2)
                    else f"VALUES ({', '.join(self.expression(scopes, 2) for _ in some)})"
                )
                text += f" THEN INSERT{names} {values}"
        return text

    # Statements.

    def statement(self) -> str:
        """One statement."""
        self.budget = self.draw.choice((8, 15, 30, 60))
        self.ctes, self.windows, self.tail = {}, [], ""
        text = self.query([]) if self.chance(0.6) else self.change()
        if self.chance(0.04):
            text = self.wrapped(text)
        return self.spelled(text)

    def wrapped(self, text: str) -> str:
        """The statement within another."""
        if self.pg:
            return self.some(f"EXPLAIN {text}", f"EXPLAIN (COSTS OFF, VERBOSE) {text}", f"EXPLAIN VERBOSE {text}",
                             f"EXPLAIN CREATE TABLE made AS {text}", f"EXPLAIN CREATE TABLE made (a) AS {text}",
                             f"EXPLAIN DECLARE c CURSOR FOR {text}", f"EXPLAIN CREATE MATERIALIZED VIEW made AS {text}")  # fmt: skip
        if self.my:
            return self.some(
                f"EXPLAIN {text}", f"EXPLAIN EXTENDED {text}", f"EXPLAIN FORMAT=JSON {text}", f"DESCRIBE {text}"
            )
        return self.some(f"EXPLAIN {text}", f"EXPLAIN QUERY PLAN {text}")

    def spelled(self, text: str) -> str:
        """The statement with white space, comments and case of its own."""
        comments = [" /* status of book */ ", " -- note, title\n", "\n-- it's\n", " /* it's */ ", "/**/"]
        if self.my:
            comments += [" # status\n"]
        wild = self.chance(0.25)
        case = self.draw.choice((str, str.lower, str.title, str.lower))
        parts = re.split("(\x02[^\x03]*\x03)", text)
        for index, part in enumerate(parts):
            if part.startswith("\x02"):
                parts[index] = part[1:-1]
                continue
            part = _KEYWORD.sub(lambda word: case(word[0]), part)
            if not wild:
                parts[index] = part.replace("\x01", "")
                continue
            fillers = [" "] * 6 + ["\n", "\t", "  ", "\r\n", self.draw.choice(comments)]
            part = re.sub(" ", lambda _, these=fillers: self.draw.choice(these), part)
            parts[index] = re.sub("\x01", lambda _, these=fillers: self.draw.choice(["", "", *these]), part)
        return "".join(parts)


def generated(vendor: str, count: int, seed: int = 1) -> list[str]:
    """So many distinct statements, of which the database refuses some."""
    smith = Smith(vendor, seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found.setdefault(smith.statement())
    return list(found)
