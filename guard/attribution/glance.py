"""Answers the ORM's plainest queries at a glance: those that name each slated column in full, or not at all.

Reading a statement takes a tenth of a millisecond, and most that name a slated table are of this kind. What is not
plainly so is left to be read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from guard.attribution.lexer import fold_case
from guard.attribution.scan import ROW_FUNCTIONS, Found
from guard.attribution.watchlist import Access

#: Characters, and parentheses, beyond which a query is no plain one.
_MAX_GLANCE = 10_000
_MAX_PARENTHESES = 100

# No literals, comments, second statements or line breaks: what is left is read alike by every database.
_CHARACTERS = r"[A-Za-z0-9_ .,()%:+\-/<>=!|*{quote}]*+\Z"
# Words by which columns are used that nobody names; and comments.
_WORDS = ("natural", "table", "match", " into ", "--", "/*")
#: A word IN without parentheses behind it.
_IN_TABLE = re.compile(r"in(?![a-z0-9_])(?<![a-z0-9_]in)(?! ?\()")
_JOINED = ("join (", "join(", ", (", ",(")
_SUBQUERIES = ("from (select ", "from ( select ", "from(select ")
#: PostgreSQL's functions that run SQL given as text have one of these in their names.
_RUNNING = ("_to_xml", "dblink", "ts_stat", "ts_rewrite", "crosstab", "connectby", "xpath_table")
#: Names that can be written in one way only, but for their case and quotes.
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]{0,58}\Z")


class _Slated:
    """One slated table as plain queries name it."""

    __slots__ = ("_attribute", "_quoted", "_source", "_word", "columns")

    def __init__(self, table: str, columns: Collection[str], quote: str) -> None:
        self._quoted = f"{quote}{table}{quote}"
        #: Each column with the way to name it in full.
        self.columns = tuple((column, f"{self._quoted}.{quote}{column}{quote}") for column in columns)
        self._word = re.compile(rf"{table}(?![a-z0-9_])(?<![a-z0-9_]{table})")
        self._source = re.compile(
            rf'(?:from|join) "{table}"(?= (?:where|inner|left|on|order|group|limit|having|for|union)\b|\)|\Z)'
        )
        self._attribute = re.compile(rf'"{table}"\."([a-z_]+)"')

    def may_be_whole(self, folded: str) -> bool:
        """Whether PostgreSQL may be asked for a row as a whole: under the table's name, an alias, as an attribute."""
        named = folded.count(self._quoted)
        return (
            len(self._word.findall(folded)) != named
            or named != folded.count(f"{self._quoted}.") + len(self._source.findall(folded))
            or not ROW_FUNCTIONS.isdisjoint(self._attribute.findall(folded))
        )


class Glance:
    """Looks for slated columns in plain queries. `tables`: table → its columns, "" being the table itself; folded."""

    def __init__(self, tables: Mapping[str, Collection[str]], vendor: str) -> None:
        quote = '"' if vendor in ("postgresql", "sqlite") else "`"
        self._quote = quote
        self._made_of = re.compile(_CHARACTERS.format(quote=quote)).match
        self._vendor = vendor
        self._tables = tables
        #: Made when first asked for; None for those whose names can be written in several ways.
        self._slated: dict[str, _Slated | None] = {}

    def look(self, text: str, tables: Iterable[str]) -> list[tuple[str, Found]] | None:
        """How the query uses these tables, all that it names; None where it must be read to know."""
        if len(text) > _MAX_GLANCE:
            return None
        folded = fold_case(text)
        if not folded.startswith("select ") or self._made_of(text) is None:
            return None
        found: list[tuple[str, Found]] = []
        for table in tables:
            if table not in self._slated:
                self._slated[table] = self._as_plain(table)
            slated = self._slated[table]
            if slated is None:
                return None
            for column, in_full in slated.columns:
                if in_full in folded:
                    found.append((table, Found(column, Access.READ, "name")))
                elif column in folded:
                    return None
            if self._vendor == "postgresql" and slated.may_be_whole(folded):
                return None
        return found if self._is_plain(folded) else None

    def _as_plain(self, table: str) -> _Slated | None:
        columns = self._tables[table]
        plain = all(map(_PLAIN_NAME.match, (table, *columns)))
        return _Slated(table, columns, self._quote) if plain else None

    def _is_plain(self, folded: str) -> bool:
        opened = folded.count("(")
        return (
            opened <= _MAX_PARENTHESES
            and opened == folded.count(")")
            and folded.count(self._quote) % 2 == 0
            and folded.count("*") == folded.count("count(*)")
            and not any(word in folded for word in _WORDS)
            and not (self._vendor == "sqlite" and _may_read_all(folded))
            and not (self._vendor == "postgresql" and any(name in folded for name in _RUNNING))
        )


def _may_read_all(folded: str) -> bool:
    """Whether SQLite may read every column of something that the query does not say.

    Of a table behind IN; of a join in parentheses that stands right of another, or has an alias.
    """
    return (
        any(join in folded for join in _JOINED)
        or folded.count("from (") + folded.count("from(") != sum(map(folded.count, _SUBQUERIES))
        or _IN_TABLE.search(folded) is not None
    )
