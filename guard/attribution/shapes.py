"""A statement's shape: what is left of it without its literals, to be shown and counted.

It may go to an error tracker, so no literal may be in it, however it was quoted. Where the text can be read in two
ways, of which one would show a literal as if it were code, the shape ends.
"""

from __future__ import annotations

import re

from guard.attribution.lexer import words

#: Characters of a shape at most.
MAX_SHAPE = 2_000

#: Stands for a value: a literal, a number, a placeholder.
_VALUE = "?"
#: The rest is left out.
_REST = "…"
#: Parts of a statement that are looked at, at most.
_MAX_PARTS = 2_000
#: Characters of a text that are looked at, at most. A literal that goes on behind them has no end, and ends the shape.
_MAX_TEXT = 20_000

_LETTER = r"A-Za-z_\x80-\U0010ffff"

# Comments are left out as well: they carry routes and user ids. Each alternative is what every database reads the same
# way, or what the one that it names does; "end" is where they differ.
_COMMON = (
    r"(?P<space>[ \t\n\r\f\v]++)"
    # What begins with a digit is a number, or shown as one.
    r"|(?P<number>\.?[0-9][0-9A-Za-z_.\x80-\U0010ffff]*+(?:(?<=[eE])[+-][0-9]++)?)"
    r"|(?P<placeholder>%s|%\([^()'\"`]*+\)s)"
)
_PATTERNS = {
    "postgresql": re.compile(
        _COMMON + r"|(?P<string>[eE]'[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+'"
        # A backslash before the closing quote: whether it closes depends on a setting.
        r"|(?:[bBxXnN]|[uU]&)?'[^']*+(?:''[^']*+)*+(?<!\\)')"
        rf"|(?P<dollar>\$(?P<tag>(?:[{_LETTER}][{_LETTER}0-9]*+)?)\$.*?\$(?P=tag)\$)"
        rf"|(?P<name>(?:[uU]&)?\"[^\"]*+(?:\"\"[^\"]*+)*+\"|(?![eEbBxXnN]'|[uU]&')[{_LETTER}][{_LETTER}0-9$]*+)"
        r"|(?P<comment>--[^\n\r]*+|/\*(?:(?!/\*|\*/).)*+\*/)"
        r"|(?P<parameter>\$[0-9]++)"
        r"|(?P<end>['\"`$\\]|/\*)"
        r"|(?P<other>::|[<>=!|&#@~^*+/%-]|.)",
        re.DOTALL,
    ),
    "sqlite": re.compile(
        _COMMON + r"|(?P<string>[xX]?'[^']*+(?:''[^']*+)*+')"
        # A name that no column has is a string to SQLite: only what cannot be one is shown, see _shown.
        r"|(?P<either>\"[^\"]*+(?:\"\"[^\"]*+)*+\")"
        r"|(?P<bracket>\[[^\]]*+\])"
        rf"|(?P<name>`[^`'\"]*+`|(?![xX]')[{_LETTER}][{_LETTER}0-9$]*+)"
        r"|(?P<comment>--[^\n]*+|/\*.*?(?:\*/|\Z))"
        rf"|(?P<parameter>[:@$#][{_LETTER}0-9$]++|\?[0-9]*+)"
        r"|(?P<end>['\"`\\\[])"
        r"|(?P<other>.)",
        re.DOTALL,
    ),
    "mysql": re.compile(
        _COMMON + r"|(?P<string>[bBxXnN]?'[^'\\]*+(?:(?:''|\\[^'])[^'\\]*+)*+')"
        r"|(?P<either>\"[^\"\\]*+(?:(?:\"\"|\\[^\"])[^\"\\]*+)*+\")"
        rf"|(?P<name>`[^`]*+(?:``[^`]*+)*+`|(?![bBxXnN]')[{_LETTER}$][{_LETTER}0-9$]*+)"
        r"|(?P<comment>#[^\n]*+|--(?=[\x00-\x20]|\Z)[^\n]*+|/\*(?!M?!).*?\*/)"
        rf"|(?P<parameter>@@?+[{_LETTER}0-9$.]*+)"
        r"|(?P<end>['\"`\\]|/\*)"
        r"|(?P<other>.)",
        re.DOTALL,
    ),
}
# Of a vendor that is not told, only what all three read alike.
_ANY = re.compile(
    _COMMON + r"|(?P<string>[bBxXnNeE]?'[^'\\]*+(?:''[^'\\]*+)*+')"
    r"|(?P<either>\"[^\"\\]*+(?:\"\"[^\"\\]*+)*+\")"
    rf"|(?P<name>`[^`'\"]*+`|(?![bBxXnNeE]'|[uU]&['\"])[{_LETTER}][{_LETTER}0-9$]*+)"
    r"|(?P<comment>--[ \t][^\n\r]*+(?=\n|\Z)|/\*(?![!M])[^/*]*+\*/)"
    r"|(?P<subscript>\[[^\]'\"`\\]*+\])"
    rf"|(?P<parameter>\$[0-9]++|[:@][{_LETTER}][{_LETTER}0-9]*+)"
    r"|(?P<end>['\"`\\$#\[]|--|/\*|[uU]&)"
    r"|(?P<other>::|.)",
    re.DOTALL,
)

#: After these, and beside a dot, `"x"` is a name to every database.
_BEFORE_NAMES = words("from join into update set as table only constraint index savepoint references")

_LIST = re.compile(r"\?(?:, (?:-?\?|NULL|TRUE|FALSE|DEFAULT))++")
_ROWS = re.compile(r"\(\?\)(?:, \(\?\))++")


def shape(sql: object, vendor: str = "") -> str:
    """The statement without literals and comments, lists and rows of values made one; at most 2,000 characters.

    With `vendor`, Django's `connection.vendor`, more of it can be told from literals. Never raises: of what has no text
    there is only its type.
    """
    try:
        text = _text(sql)
        if text is None:
            return f"({type(sql).__name__})"
        return _shape(text, vendor)
    except Exception:
        return "(unreadable)"


def _text(sql: object) -> str | None:
    if isinstance(sql, str):
        return str.__str__(sql)
    if isinstance(sql, (bytes, bytearray)):
        return bytes(sql).decode("utf-8", "replace")
    as_string = getattr(sql, "as_string", None)
    text = as_string(None) if as_string is not None else None
    return text if isinstance(text, str) else None


def _shape(text: str, vendor: str) -> str:
    parts: list[str] = []
    size = 0
    between = ""
    pattern = _PATTERNS.get(vendor, _ANY)
    places = _Places()
    for count, found in enumerate(pattern.finditer(text[:_MAX_TEXT])):
        kind = found.lastgroup
        if kind == "end" or count > _MAX_PARTS or size > MAX_SHAPE * 4:
            parts.append(f"{between}{_REST}")
            break
        if kind == "space" or kind == "comment":
            between = " "
            continue
        if kind == "name" or kind == "other":
            part = found.group()
        elif kind == "bracket":
            part = _VALUE if "'" in found.group() else found.group()
        elif kind == "either":
            # ANSI_QUOTES is rare, and a name lost from a shape is no harm.
            known = vendor != "mysql" and places.is_name(text, found.end())
            part = found.group() if known else _VALUE
        else:
            part = _VALUE
        places.after(part)
        parts.append(between + part if parts else part)
        size += len(part) + 1
        between = ""
    else:
        if len(text) > _MAX_TEXT:
            parts.append(_REST)
    whole = _LIST.sub(_VALUE, "".join(parts))
    whole = _ROWS.sub(f"({_VALUE})", whole)
    return whole if len(whole) <= MAX_SHAPE else whole[: MAX_SHAPE - 1] + _REST


class _Places:
    """Follows where in a statement `"x"` is a name for certain, though some databases read it as a string elsewhere."""

    def __init__(self) -> None:
        self.previous = ""
        self.depth = 0
        #: In the SET of an UPDATE, outside parentheses.
        self.assigning = False
        #: A list of names may open next, or is open at this depth.
        self.list_may_open = False
        self.list_depth = -1

    def is_name(self, text: str, end: int) -> bool:
        if self.previous == "." or text[end : end + 1] == "." or self.previous in _BEFORE_NAMES:
            return True
        if self.list_depth == self.depth:
            return True
        return self.assigning and self.depth == 0 and self.previous == "," and text[end : end + 20].lstrip()[:1] == "="

    def after(self, part: str) -> None:
        word = part.lower()
        if word == "(":
            self.depth += 1
            if self.list_may_open:
                self.list_depth = self.depth
        elif word == ")":
            self.depth -= 1
            self.list_depth = -1
        elif word in ("set", "where", "from", "returning"):
            self.assigning = word == "set"
        self.list_may_open = (
            word == "conflict"
            or self.previous == "into"
            or (self.list_may_open and (word == "." or self.previous == "."))
        )
        self.previous = word
