"""Splits a statement into tokens, as each database does: what is a name, what is a literal, what is a comment.

A token is a string whose first character says what it is:

- a word (a keyword or an unquoted name) is itself, folded (see `fold`);
- a quoted name begins with `"`, whatever quoted it; so does what MySQL reads as a string, or, under ANSI_QUOTES, as a
  name;
- a string literal begins with `'`; it keeps its content only on SQLite, which takes strings for names;
- a number is `0`, a placeholder `%s`, a variable `@`;
- an operator or a bracket is itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

NUMBER = "0"
PLACEHOLDER = "%s"
VARIABLE = "@"


class Unreadable(Exception):
    """The text cannot be split into tokens with certainty, or has too many of them; the message says which."""


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


def fold_case(text: str) -> str:
    """Text without its case."""
    # "İ".casefold() is "i" and a combining dot; MariaDB takes it for a plain "i".
    return text.lower() if text.isascii() else text.casefold().replace("\u0307", "")


def fold(name: str) -> str:
    """A name as it is compared: without case, and with `%%`, which Django writes for `%`, undone."""
    return fold_case(name.replace("%%", "%") if "%%" in name else name)


#: Bytes of a name that PostgreSQL keeps; it cuts longer ones.
LONGEST_NAME = 63


def clip(name: str, vendor: str) -> str:
    """A name as the database keeps it: PostgreSQL cuts long ones."""
    if vendor == "postgresql" and len(name) * 4 > LONGEST_NAME:
        return name.encode("utf-8", "surrogatepass")[:LONGEST_NAME].decode("utf-8", "ignore")
    return name


class Spellings:
    """How a text writes the names in it: which of them are one name to the database, though they are folded alike.

    A quoted name keeps its case on PostgreSQL, a table's or common table expression's on MariaDB.
    """

    __slots__ = ("_forms", "_plain", "_text", "_vendor")

    def __init__(self, text: str, vendor: str) -> None:
        self._text = text
        self._vendor = vendor
        self._plain: bool | None = None
        self._forms: dict[str, set[str]] | None = None

    def is_one_column(self, name: str) -> bool:
        """Whether all that is folded to this name is one name, of a column, an alias or a label of a column."""
        return self._vendor != "postgresql" or self.is_one_table(name)

    def is_one_table(self, name: str) -> bool:
        """The same of a table or a common table expression."""
        if self._plain is None:
            self._plain = self._text.isascii() and (
                self._vendor == "sqlite" or (self._vendor == "postgresql" and _EXACT.search(self._text) is None)
            )
        if self._plain:
            return True
        if self._forms is None:
            self._forms = self._read()
        return len(self._forms.get(name, ())) == 1

    def _read(self) -> dict[str, set[str]]:
        """The ways in which the text writes each word of ASCII; none of them where there may be others."""
        text = self._text
        if len(text) > _MAX_PLAIN or _ESCAPED_NAME.search(text) is not None:
            return {}
        if not text.isascii() and any(character > "\x7f" and not _is_apart(character) for character in set(text)):
            return {}
        forms: dict[str, set[str]] = {}
        for quote, word in _WORDS_AS_WRITTEN.findall(text):
            folded = word.lower()
            keeps_case = self._vendor not in ("sqlite", "postgresql") or (quote and self._vendor == "postgresql")
            forms.setdefault(folded, set()).add(word if keeps_case else folded)
        return forms


def _is_apart(character: str) -> bool:
    """Whether a letter that is no ASCII is folded to such letters alone."""
    return all(each > "\x7f" for each in fold_case(character))


# Every byte above 127 is a letter to all three databases, a no-break space too.
_LETTER = r"A-Za-z_\x80-\U0010ffff"
_WORD = rf"[{_LETTER}][{_LETTER}0-9$]*+"
#: A quoted name that PostgreSQL keeps apart from an unquoted one; and one with escapes.
_EXACT = re.compile(r'"[^"]*[A-Z]|[uU]&"')
_ESCAPED_NAME = re.compile(r'[uU]&"')
_WORDS_AS_WRITTEN = re.compile(rf'("?)(?<![{_LETTER}0-9$])([A-Za-z0-9_$]++)(?![{_LETTER}0-9$])')
_NUMBER = r"(?P<n>0[xXbBoO][0-9a-fA-F_]++|(?:[0-9][0-9_]*+(?:\.[0-9_]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)"
# `%%` is what Django writes for `%`, so `%%s` is no placeholder.
_PLACEHOLDER = rf"(?P<percent>%%)|(?P<p>%s(?![{_LETTER}0-9$])|%\([^()'\"`]*+\)s(?![{_LETTER}0-9$]))"
_PLAIN_STRING = r"'[^']*+(?:''[^']*+)*+'"
_BACKSLASH_STRING = r"'[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+'"
_PLAIN_DOUBLE = r'"[^"]*+(?:""[^"]*+)*+"'
_BACKSLASH_DOUBLE = r'"[^"\\]*+(?:(?:""|\\.)[^"\\]*+)*+"'
_BACKTICK = r"`[^`]*+(?:``[^`]*+)*+`"
# What is left of a literal, name or comment that was never closed.
_BROKEN = r"""(?P<broken>['"`]|/\*)"""


def _compile(*parts: str) -> re.Pattern[str]:
    # The most frequent come first; white space goes with what follows it.
    return re.compile(r"[ \t\n\r\f\v]*+(?:" + "|".join((*parts, r"(?P<end>\Z)")) + ")", re.DOTALL)


def _postgresql(string: str) -> re.Pattern[str]:
    tag = r"(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*+)?"
    return _compile(
        rf"(?P<w>{_WORD}(?!['&]))",
        rf"(?P<q>{_PLAIN_DOUBLE})",
        r"(?P<o>[.,()])",
        r"(?P<comment>--[^\n\r]*+)",
        # Nested comments are counted by hand.
        r"(?P<nested>/\*)",
        rf"(?P<unicode>[uU]&{_PLAIN_DOUBLE})",
        rf"(?P<escaped>[eE]{_BACKSLASH_STRING})",
        rf"(?P<s>(?:[bBxXnN]|[uU]&){_PLAIN_STRING}|{string})",
        rf"(?P<prefix>{_WORD})",
        rf"(?P<dollar>\$(?P<tag>{tag})\$.*?\$(?P=tag)\$)",
        rf"(?P<open_dollar>\${tag}\$)",
        r"(?P<param>\$[0-9]++)",
        _NUMBER,
        _PLACEHOLDER,
        _BROKEN,
        # An operator runs as far as it can, but never into a comment or a placeholder.
        r"(?P<op>::|:=|(?:(?!--|/\*)[+\-*/<>=~!@#^&|`?])++|.)",
    )


def _mysql(string: str, double: str) -> re.Pattern[str]:
    return _compile(
        rf"(?P<n>0[xXbB][0-9a-fA-F]++(?![{_LETTER}0-9$])"
        rf"|[0-9]++(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?(?![{_LETTER}0-9$])"
        # Behind a name or a quote, a dot and a digit are a qualifier and what it qualifies.
        rf"|(?<![{_LETTER}0-9$`\"])\.[0-9]++(?:[eE][+-]?[0-9]++)?)",
        # A name may begin with a digit or a dollar sign.
        rf"(?P<w>[{_LETTER}0-9$]++(?!'))",
        rf"(?P<q>{_BACKTICK}|{double})",
        r"(?P<o>[.,()])",
        # Two hyphens begin a comment only before white space: `a--1` is a subtraction.
        r"(?P<comment>#[^\n]*+|--(?=[\x00-\x20]|\Z)[^\n]*+|/\*(?!M?!).*?\*/)",
        # Code, for some versions of the server.
        r"(?P<conditional>/\*(?P<maria>M?)!(?P<version>[0-9]{5,6})?)",
        rf"(?P<s>[bBxXnN]?{string})",
        rf"(?P<prefix>[{_LETTER}0-9$]++)",
        rf"(?P<v>@@?+(?:[{_LETTER}0-9$.]++|{_BACKTICK}|{string}|{double})?+)",
        _PLACEHOLDER,
        _BROKEN,
        r"(?P<op>:=|->>?|\|\||.)",
    )


_SQLITE = _compile(
    rf"(?P<w>{_WORD}(?!'))",
    rf"(?P<q>{_PLAIN_DOUBLE}|{_BACKTICK}|\[[^\]]*+\])",
    r"(?P<o>[.,()])",
    # A comment that is never closed runs to the end.
    r"(?P<comment>--[^\n]*+|/\*.*?(?:\*/|\Z))",
    r"(?P<blob>[xX]'[^']*+')",
    rf"(?P<prefix>{_WORD})",
    rf"(?P<text>{_PLAIN_STRING})",
    _NUMBER,
    _PLACEHOLDER,
    rf"(?P<param>[:@$#][{_LETTER}0-9$]++|\?[0-9]*+)",
    # So is a bracket that is never closed.
    r"""(?P<broken>['"`\[])""",
    r"(?P<op>->>?|\|\||.)",
)

_POSTGRESQL = _postgresql(_PLAIN_STRING)
_POSTGRESQL_BACKSLASH = _postgresql(_BACKSLASH_STRING)
_MYSQL = _mysql(_BACKSLASH_STRING, _BACKSLASH_DOUBLE)
_MYSQL_ANSI = _mysql(_BACKSLASH_STRING, _PLAIN_DOUBLE)
_MYSQL_PLAIN = _mysql(_PLAIN_STRING, _PLAIN_DOUBLE)

_CONTINUED = re.compile(r"(?:\s|--[^\n\r]*+)*+'")
_UNICODE_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{4})|\+([0-9a-fA-F]{6})|\\)")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_AMBIGUOUS_QUOTE = re.compile(r"""\\['"]""")


def readings(sql: str, vendor: str, limit: int) -> Iterator[list[str]]:
    """The statement's tokens, once for each way in which the server's settings may make it read the text.

    What a backslash does before a quote depends on `standard_conforming_strings` and on MySQL's `sql_mode`. A reading
    that ends inside a literal is no reading: the server would refuse the statement. Raises Unreadable where none is
    left, or one has more than `limit` tokens.
    """
    if len(sql) <= _MAX_PLAIN and _is_plain(sql):
        quick = _split_plain(sql, vendor)
        if quick is not None:
            if len(quick) > limit:
                raise Unreadable("too long")
            yield quick
            return
    patterns: tuple[re.Pattern[str], ...]
    ambiguous = "\\" in sql and _AMBIGUOUS_QUOTE.search(sql) is not None
    if vendor == "postgresql":
        patterns = (_POSTGRESQL, _POSTGRESQL_BACKSLASH) if ambiguous else (_POSTGRESQL,)
    elif vendor == "sqlite":
        patterns = (_SQLITE,)
    else:
        patterns = (_MYSQL, _MYSQL_ANSI, _MYSQL_PLAIN) if ambiguous else (_MYSQL,)
    readable = False
    for pattern in patterns:
        optional: list[int] = []
        tokens = _split(sql, pattern, vendor, limit, optional)
        if tokens is not None:
            readable = True
            yield tokens
        if len(optional) > 1:
            raise Unreadable("not understood")
        if optional:
            # And as a server of another version reads it.
            tokens = _split(sql, pattern, vendor, limit, None)
            if tokens is not None:
                readable = True
                yield tokens
    if not readable:
        raise Unreadable("not understood")


# Characters of which the ORM's statements are made: literals, and what databases read differently, have others.
_PLAIN_CHARACTERS = re.compile(r'[A-Za-z0-9_ \t\n\v\f\r"`.,()%:*+\-/<>=!~&|^]*+\Z')
_UNUSUAL_PERCENT = re.compile(r"%(?!s(?![A-Za-z0-9_]))")
_UNUSUAL_COLON = re.compile(r"(?<!:):(?!:)")
_UNUSUAL_NUMBER = re.compile(r"[^A-Za-z0-9_][0-9]++[A-Za-z_]")
_UNUSUAL_FRACTION = re.compile(r"\.[0-9](?<![0-9]\.[0-9])")
_UNUSUAL_PAIRS = ("--", "/*", '""', "``")


def _is_plain(sql: str) -> bool:
    """Whether a text has nothing that databases read differently, and no literals or comments."""
    if _PLAIN_CHARACTERS.match(sql) is None or any(pair in sql for pair in _UNUSUAL_PAIRS):
        return False
    return not (
        ("%" in sql and _UNUSUAL_PERCENT.search(sql) is not None)
        or (":" in sql and _UNUSUAL_COLON.search(sql) is not None)
        or _UNUSUAL_NUMBER.search(sql) is not None
        or _UNUSUAL_FRACTION.search(sql) is not None
    )


#: Characters beyond which a text is split carefully, which stops at the limit of tokens.
_MAX_PLAIN = 10_000
_PLAIN = {
    "postgresql": re.compile(r'"[^"]*+"|[a-z_][a-z0-9_]*+|%s|[0-9]++(?:\.[0-9]*+)?|::|[.,()]|[-+*/<>=~!&|^`]++|\S'),
    "sqlite": re.compile(r'"[^"]*+"|`[^`]*+`|[a-z_][a-z0-9_]*+|%s|[0-9]++(?:\.[0-9]*+)?|->>?|\|\||\S'),
    "mysql": re.compile(r'"[^"]*+"|`[^`]*+`|[a-z_][a-z0-9_]*+|%s|[0-9]++(?:\.[0-9]*+)?|->>?|\|\||\S'),
}


def _split_plain(sql: str, vendor: str) -> list[str] | None:
    """What `_split` would say of a text that has nothing unusual, much faster; None where it has after all."""
    if ":" in sql and vendor != "postgresql":
        return None
    tokens: list[str] = []
    add = tokens.append
    texts = _PLAIN.get(vendor, _PLAIN["mysql"]).findall(sql.lower())
    # PostgreSQL cuts long names.
    if max(map(len, texts), default=0) >= LONGEST_NAME:
        return None
    for text in texts:
        first = text[0]
        if first == '"':
            if len(text) < 2:
                return None
            add(text[:-1])
        elif first not in "%`0123456789":
            add(text)
        elif first == "%":
            if tokens and _is_operand(tokens[-1]):
                add("%")
                add("s")
            else:
                add(PLACEHOLDER)
        elif first == "`":
            if len(text) < 2 or text[-1] != "`" or vendor == "postgresql":
                return None
            add('"' + text[1:-1])
        else:
            add(NUMBER)
    return tokens


#: Words after which `%s` cannot be "modulo s": an operand follows them.
_BEFORE_OPERAND = words("""
    select distinct all where and or not on having when then else case between in like ilike rlike regexp glob similar
    to escape is as by limit offset set values value interval from using returning with over any some div mod xor
    binary collate match against for only into first next fetch zone returns do timestamp date time
""")
_AFTER_OPERAND = frozenset((")", "]", NUMBER, PLACEHOLDER, VARIABLE))


#: Versions up to which every server that Django runs with takes a conditional comment for code; MariaDB leaves out some
#: above.
_CODE_UP_TO = 50_699


def _split(sql: str, pattern: re.Pattern[str], vendor: str, limit: int, optional: list[int] | None) -> list[str] | None:
    """The tokens of one reading: None where it ends inside a literal or a comment.

    What only some versions of a server take for code is left out where `optional` is None; else it is code, and noted.
    """
    tokens: list[str] = []
    comments = 0
    conditional = False
    add = tokens.append
    at = 0
    match = pattern.match
    # Most names come more than once.
    known: dict[str, str] = {}
    while True:
        found = match(sql, at)
        if found is None:
            return None
        kind = found.lastgroup
        at = found.end()
        if kind == "o" or kind == "op":
            if conditional and found[kind] == "*" and sql.startswith("/", at):
                conditional = False
                at += 1
                continue
            add(found[kind])
        elif kind == "w" or kind == "prefix" or kind == "q":
            text = found[kind]
            token = known.get(text)
            if token is None:
                token = known[text] = _named(text, kind, vendor)
            add(token)
        elif kind == "comment":
            comments += 1
            if comments > limit:
                raise Unreadable("too long")
        elif kind == "p":
            # Without parameters, `a %s` is `a % s`.
            if tokens and _is_operand(tokens[-1]):
                add("%")
                at = found.start("p") + 1
            else:
                add(PLACEHOLDER)
        elif kind == "n":
            add(NUMBER)
        elif kind == "s" or kind == "dollar" or kind == "blob":
            add("'")
        elif kind == "text":
            add("'" + fold(found[kind][1:-1]))
        elif kind == "param":
            add(PLACEHOLDER)
        elif kind == "percent":
            add("%")
        elif kind == "v":
            add(VARIABLE)
        elif kind == "escaped":
            # It may go on in the next line, and keeps its escapes there: the pattern would lose them.
            if _CONTINUED.match(sql, at):
                return None
            add("'")
        elif kind == "nested":
            comments += 1
            if comments > limit:
                raise Unreadable("too long")
            at = _after_nested_comment(sql, found.start("nested"))
            if at < 0:
                return None
        elif kind == "unicode":
            text = found[kind]
            token = known.get(text)
            if token is None:
                token = known[text] = '"' + fold(clip(_unescape(text[3:-1].replace('""', '"')), vendor))
            add(token)
        elif kind == "end":
            return None if conditional else tokens
        elif kind == "conditional":
            version = found["version"] or ""
            sure = not found["maria"] and len(version) < 6 and int(version or 0) <= _CODE_UP_TO
            if conditional:
                return None
            if not sure and optional is None:
                at = sql.find("*/", at) + 2
                if at < 2 or "/*" in sql[found.end() : at]:
                    return None
            else:
                conditional = True
                if not sure and optional is not None:
                    optional.append(at)
        else:
            # An unclosed literal.
            return None
        if len(tokens) > limit:
            raise Unreadable("too long")


def _named(text: str, kind: str, vendor: str) -> str:
    """The token of a word, or of a quoted name."""
    if kind != "q":
        return fold(clip(text, vendor))
    quote = text[-1]
    text = text[1:-1]
    if quote != "]" and quote in text:
        text = text.replace(quote * 2, quote)
    return '"' + fold(clip(text, vendor))


def _unescape(name: str) -> str:
    r"""What `U&"\0061b"` names. Raises Unreadable for escapes that it does not know."""

    def character(escape: re.Match[str]) -> str:
        digits = escape[1] or escape[2]
        return chr(int(digits, 16)) if digits else "\\"

    if re.sub(_UNICODE_ESCAPE, "", name).count("\\"):
        raise Unreadable("not understood")
    return re.sub(_UNICODE_ESCAPE, character, name)


def _is_operand(token: str) -> bool:
    first = token[0]
    if first.isalnum() or first in "_$":
        return token not in _BEFORE_OPERAND
    return first in "\"'" or token in _AFTER_OPERAND


def _after_nested_comment(sql: str, at: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, at):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return -1
