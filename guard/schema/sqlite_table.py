"""Reads and edits the text of a CREATE TABLE statement, which is where SQLite keeps a table's definition. Pure.

SQLite cannot change a column in place; what its documentation advises is a rebuild from an edited definition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$))
    | (?P<string>[xX]?'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    | (?P<word>[^\W\d][\w$]*)
    | (?P<number>0[xX][0-9a-fA-F]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_TABLE_CONSTRAINTS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})
_ACTIONS = frozenset({"CASCADE", "RESTRICT"})


class NotUnderstood(ValueError):
    """A definition that is not written as SQLite's grammar for tables has it."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    @property
    def upper(self) -> str:
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """The identifier that the token stands for."""
        if self.kind != "name":
            return self.text
        quote = self.text[0]
        inner = self.text[1:-1]
        return inner if quote == "[" else inner.replace(quote * 2, quote)


def _tokens(text: str) -> list[_Token]:
    # A comment becomes a blank: carried along, one that ends its line would swallow what is written behind it.
    return [
        _Token("space", " ") if match.lastgroup == "space" else _Token(str(match.lastgroup), match.group())
        for match in _TOKEN.finditer(text)
    ]


def _split(tokens: list[_Token]) -> Iterator[list[_Token]]:
    """Parts between the commas that stand outside parentheses."""
    part: list[_Token] = []
    depth = 0
    for token in tokens:
        if token.text == "(" and token.kind == "mark":
            depth += 1
        elif token.text == ")" and token.kind == "mark":
            depth -= 1
        if token.text == "," and token.kind == "mark" and depth == 0:
            yield part
            part = []
        else:
            part.append(token)
    yield part


@dataclass(frozen=True, slots=True)
class Definition:
    """One column: its name, and the text behind the name."""

    name: str
    text: str

    def _significant(self) -> list[tuple[int, _Token, int]]:
        """(index, token, depth of parentheses) of all but white space and comments."""
        depth = 0
        found = []
        for index, token in enumerate(_tokens(self.text)):
            if token.kind == "mark" and token.text == ")":
                depth -= 1
            if token.kind != "space":
                found.append((index, token, depth))
            if token.kind == "mark" and token.text == "(":
                depth += 1
        return found

    def _without(self, first: int, last: int, instead: str = "") -> Definition:
        tokens = _tokens(self.text)
        text = "".join(t.text for t in tokens[:first]) + instead + "".join(t.text for t in tokens[last + 1 :])
        return replace(self, text=" " + text.strip())

    def _find(self, *words: str) -> tuple[int, int] | None:
        """Indexes of the first and last token of a run of words outside parentheses."""
        flat = self._significant()
        for start in range(len(flat) - len(words) + 1):
            run = flat[start : start + len(words)]
            if all(depth == 0 and token.upper == word for (_, token, depth), word in zip(run, words, strict=True)):
                return run[0][0], run[-1][0]
        return None

    def nullable(self) -> Definition:
        """The same column, with NULL allowed."""
        found = self._find("NOT", "NULL")
        return self._without(*found) if found else self

    def not_null(self) -> Definition:
        """The same column, with NULL forbidden."""
        if self._find("NOT", "NULL"):
            return self
        found = self._find("NULL")
        # `DEFAULT NULL` and `SET NULL` hold the word too.
        if found and not (self._find("DEFAULT", "NULL") or self._find("SET", "NULL")):
            return self._without(*found, "NOT NULL")
        return replace(self, text=self.text.rstrip() + " NOT NULL")

    def without_default(self) -> Definition:
        """The same column, without its database default."""
        found = self._find("DEFAULT")
        if found is None:
            return self
        flat = [item for item in self._significant() if item[0] > found[0]]
        if not flat:
            raise NotUnderstood(f"DEFAULT without a value in the definition of {self.name}")
        last = flat[0][0]
        if flat[0][1].text == "(":
            last = next(index for index, token, depth in flat[1:] if token.text == ")" and depth == 0)
        elif flat[0][1].text in "+-" and len(flat) > 1:
            last = flat[1][0]
        return self._without(found[0], last)

    def with_default(self, literal: str) -> Definition:
        """The same column with a database default; `literal` is SQL."""
        return replace(self, text=f" {self.without_default().text.strip()} DEFAULT {literal}")

    def references(self) -> bool:
        """Whether it has a foreign key of its own."""
        return self._find("REFERENCES") is not None

    def without_references(self) -> Definition:
        """The same column, without a foreign key of its own."""
        start = self._find("REFERENCES")
        if start is None:
            return self
        flat = self._significant()
        first = next(place for place, (index, _, _) in enumerate(flat) if index == start[0])
        if first >= 2 and flat[first - 2][1].upper == "CONSTRAINT":
            # The constraint's name goes with it.
            first -= 2
        place = next(place for place, (index, _, _) in enumerate(flat) if index == start[1]) + 2
        if place < len(flat) and flat[place][1].text == "(":
            while not (flat[place][1].text == ")" and flat[place][2] == 0):
                place += 1
            place += 1
        while place < len(flat):
            word = flat[place][1].upper
            following = flat[place + 1][1].upper if place + 1 < len(flat) else ""
            if word == "ON" and following in ("DELETE", "UPDATE"):
                action = flat[place + 2][1].upper if place + 2 < len(flat) else ""
                place += 3 if action in _ACTIONS else 4
            elif word in ("MATCH", "INITIALLY") or (word == "NOT" and following == "DEFERRABLE"):
                place += 2
            elif word == "DEFERRABLE":
                place += 1
            else:
                break
        return self._without(flat[first][0], flat[place - 1][0])

    def on_delete(self, action: str) -> Definition:
        """The same column, its foreign key with this ON DELETE action; an empty action removes the clause."""
        cleaned = self
        if found := self._find("ON", "DELETE"):
            flat = [item for item in self._significant() if item[0] > found[1]]
            words = 1 if flat and flat[0][1].upper in _ACTIONS else 2
            cleaned = self._without(found[0], flat[words - 1][0])
        if not action:
            return cleaned
        start = cleaned._find("REFERENCES")
        if start is None:
            raise NotUnderstood(f"{self.name} has no foreign key of its own")
        flat = [item for item in cleaned._significant() if item[0] > start[1]]
        last = flat[0][0]
        if len(flat) > 1 and flat[1][1].text == "(":
            last = next(index for index, token, depth in flat[2:] if token.text == ")" and depth == 0)
        tokens = _tokens(cleaned.text)
        text = (
            "".join(t.text for t in tokens[: last + 1])
            + f" ON DELETE {action}"
            + "".join(t.text for t in tokens[last + 1 :])
        )
        return replace(self, text=text)


@dataclass(frozen=True, slots=True)
class Table:
    """A CREATE TABLE statement in parts."""

    columns: tuple[Definition, ...]
    #: Table constraints, as text.
    constraints: tuple[str, ...]
    #: What stands behind the closing parenthesis (STRICT, WITHOUT ROWID).
    options: str

    @classmethod
    def parse(cls, sql: str) -> Table:
        """Read the statement as `sqlite_master.sql` has it. Raises NotUnderstood."""
        tokens = _tokens(sql)
        try:
            start = next(i for i, t in enumerate(tokens) if t.kind == "mark" and t.text == "(")
        except StopIteration:
            raise NotUnderstood("no list of columns") from None
        depth = 0
        for end in range(start, len(tokens)):
            if tokens[end].kind == "mark":
                depth += {"(": 1, ")": -1}.get(tokens[end].text, 0)
                if depth == 0:
                    break
        else:
            raise NotUnderstood("unbalanced parentheses")
        columns: list[Definition] = []
        constraints: list[str] = []
        for part in _split(tokens[start + 1 : end]):
            solid = [index for index, token in enumerate(part) if token.kind != "space"]
            if not solid:
                raise NotUnderstood("an empty part between two commas")
            head = part[solid[0]]
            if head.upper in _TABLE_CONSTRAINTS:
                constraints.append("".join(t.text for t in part).strip())
            elif head.kind in ("name", "word", "string"):
                name = head.text[1:-1].replace("''", "'") if head.kind == "string" else head.name
                columns.append(Definition(name, "".join(t.text for t in part[solid[0] + 1 :]).rstrip()))
            else:
                raise NotUnderstood(f"{head.text!r} where a column's name should stand")
        return cls(tuple(columns), tuple(constraints), "".join(t.text for t in tokens[end + 1 :]).strip())

    def column(self, name: str) -> Definition:
        """One column. Raises KeyError."""
        for definition in self.columns:
            if definition.name.casefold() == name.casefold():
                return definition
        raise KeyError(name)

    def with_column(self, changed: Definition) -> Table:
        """The table with one column's definition replaced."""
        return replace(
            self,
            columns=tuple(changed if d.name.casefold() == changed.name.casefold() else d for d in self.columns),
        )

    def without_column(self, name: str) -> Table:
        """The table without a column."""
        return replace(self, columns=tuple(d for d in self.columns if d.name.casefold() != name.casefold()))

    def sql(self, quoted_table: str) -> str:
        """A CREATE TABLE statement under this (quoted) name."""
        parts = [f'"{d.name.replace(chr(34), chr(34) * 2)}"{_spaced(d.text)}' for d in self.columns]
        return f"CREATE TABLE {quoted_table} ({', '.join([*parts, *self.constraints])}) {self.options}".strip()


def _spaced(text: str) -> str:
    return text if not text or text[0].isspace() else f" {text}"


def names(text: str, column: str) -> bool:
    """Whether a table constraint's text names the column."""
    return any(token.kind in ("name", "word") and token.name.casefold() == column.casefold() for token in _tokens(text))
