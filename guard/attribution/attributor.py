"""Answers which slated columns and tables a statement touches: memory in front, the scan behind."""

from __future__ import annotations

import re
import sys
import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from guard.attribution.glance import Glance
from guard.attribution.lexer import LONGEST_NAME, Spellings, Unreadable, clip, fold, fold_case, readings
from guard.attribution.scan import NOT_UNDERSTOOD, Found, everything, scan
from guard.attribution.structure import read, statements
from guard.attribution.watchlist import CLEAR, HASHED, Access, Touch, Watched, WatchList

_NOTHING: tuple[Touch, ...] = ()

#: Characters beyond which a text is not remembered as it is: it takes the place of many, and is rarely seen twice.
_MAX_REMEMBERED = CLEAR
#: Characters beyond which one is not even kept as the last of its length: nothing else bounds those in bytes.
_MAX_ALIKE = 1_000
#: Hashes that are kept of texts that came once.
_MAX_ONCE = 2_000
#: Characters, and then tokens, beyond which a text that names a slated table is not read, but counted: some
#: milliseconds of work.
_MAX_READ = 64_000
_MAX_TOKENS = 3_000
#: Characters beyond which it pays to leave lists of placeholders out before anything else.
_LONG = 120
#: What a folded name is made of, besides all that is no ASCII.
_DIGITS = frozenset("0123456789")
_NAMING = _DIGITS | frozenset("_$abcdefghijklmnopqrstuvwxyz")
#: Times that a text may contain a slated table's name before it counts as naming it without a look at each.
_MAX_LOOKS = 1_000
#: Characters beyond which masking a text costs as much as reading it.
_MAX_MASKED = 10_000
#: What an entry costs in two dictionaries beside its key, in bytes.
_ENTRY = 200

# Their names are unique, so they would push everything else out of memory.
_SAVEPOINTS = ("SAVEPOINT ", "RELEASE SAVEPOINT ", "ROLLBACK TO SAVEPOINT ")

# What no name may have in it where lists of placeholders are left out before names are looked for.
_OF_LISTS = frozenset("%(),")
#: Parentheses that are looked at for lists of placeholders, at most.
_MAX_LISTS = 200
_ONE_PLACE = len("(%s)")
_PLACES = "(" + "%s, " * 1_000

# One placeholder stands for a list of them, one row for many, one branch of a CASE for those like it. What is left out
# repeats what stands beside it and has no quote, no comment and no line break by which it could change how the rest is
# read.
_PLAIN = r"[^()'\"`\n\r\\$#*/\-\[\]{};]"
_ROWS = re.compile(rf"(\({_PLAIN}*+\))(?:, ?\1)++")
_BRANCHES = re.compile(r"(WHEN \([^()'\n\r\\$#*/\-\[\]{};]*+\) THEN %s(?:::[a-z]++)? )(?:\1)++")
_FIRST_ROW = re.compile(rf" VALUES (\({_PLAIN}*+\)), ")
#: Replacements at most: what needs more is too long anyway.
_MAX_COLLAPSED = 500

# Texts with these are not masked: a literal may not end where it seems to. Looking for each is faster than for all.
_UNMASKABLE = ("\\", "$", "#", "[", "--", "/*")
_NAME_OR_QUOTED = r""""[^"]*+"|`[^`]*+`|[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*+"""
_STRING = r"'[^']*+(?:''[^']*+)*+'"
_MASKS = {
    # SQLite takes strings for names: they stay.
    "sqlite": re.compile(rf"({_NAME_OR_QUOTED}|{_STRING})|[0-9]++(?:\.[0-9]++)?+"),
    "postgresql": re.compile(rf"({_NAME_OR_QUOTED})|{_STRING}|[0-9]++(?:\.[0-9]++)?+"),
    # MySQL lets names begin with a digit.
    "mysql": re.compile(
        rf"({_NAME_OR_QUOTED}|[0-9]++[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*+)|{_STRING}|[0-9]++(?:\.[0-9]++)?+"
    ),
}
# Looks at what stands before a digit only where there is one.
_LITERAL = re.compile(r"['0-9](?<![A-Za-z0-9_$\x80-\U0010ffff][0-9])")
#: Within `U&"…"`.
_ESCAPED = r"(?:([0-9a-f]{4})|\+([0-9a-f]{6}))"
_UESCAPE = re.compile(r"uescape[^']*+'(.)'")
_MAX_ESCAPES = 3
# What a list begins with is looked for first: where it ends is found once for each.
_MASKED_LIST = re.compile(r"(?<=\()-?\?(?:, ?-?\?)++(?=\))")
_MASKED_ROWS = re.compile(r"\(\?\)(?:, ?\(\?\))++")


class _Memory:
    """Answers by text, bounded in entries and in bytes. What came first goes first. Reading takes no lock.

    The texts that touch nothing are in `untouched`, too, and the last that was asked for of each length in `clear`.
    """

    __slots__ = ("_bytes", "_lock", "_max_bytes", "_max_entries", "_order", "answers", "clear", "untouched")

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        # Finding the first key of a dictionary gets slower with each one that is deleted.
        self._order: deque[str] = deque()
        self.answers: dict[str, tuple[Touch, ...]] = {}
        self.untouched: dict[str, str] = {}
        self.clear: list[str | None] = [None] * (CLEAR + 1)

    def put(self, text: str, answer: tuple[Touch, ...]) -> None:
        cost = _cost(text)
        answers, untouched, clear = self.answers, self.untouched, self.clear
        with self._lock:
            if text in answers or cost > self._max_bytes or not self._max_entries:
                return
            while len(answers) >= self._max_entries or self._bytes + cost > self._max_bytes:
                first = self._order.popleft()
                self._bytes -= _cost(first)
                del answers[first]
                if untouched.pop(first, None) is not None and clear[len(first)] == first:
                    clear[len(first)] = None
            answers[text] = answer
            if not answer and len(text) <= CLEAR:
                untouched[text] = clear[len(text)] = text
            self._order.append(text)
            self._bytes += cost


def _cost(text: str) -> int:
    return sys.getsizeof(text) + _ENTRY


class Attributor:
    """What statements touch of one watch list, remembered by their text.

    One object serves all threads of a process: a text that was seen before is answered without a lock. `vendor` is
    Django's `connection.vendor`; one that is not known is read as MySQL. At most `max_entries` answers and `max_bytes`
    bytes are remembered.

    `columns` may name, by table, columns that the database certainly has: an unqualified name in a subquery is then
    known to belong to the subquery's own table.
    """

    def __init__(
        self,
        watch: WatchList,
        vendor: str,
        *,
        max_entries: int = 2000,
        max_bytes: int = 800_000,
        columns: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        self.watch = watch
        self.vendor = vendor
        self._watching = bool(watch.entries)
        # Most texts are answered by the first; the second saves reading those that differ in lists and literals.
        self._texts = _Memory(max_entries - max_entries // 4, max_bytes - max_bytes // 4)
        self._shapes = _Memory(max_entries // 4, max_bytes // 4)
        self._once: set[int] = set()
        #: See `watchlist.CLEAR`.
        self.clear = self._texts.clear
        self.untouched = self._texts.untouched
        self._mask = _MASKS.get(vendor, _MASKS["mysql"])
        #: Folded table → folded column → its entries.
        self._tables: dict[str, dict[str, list[Watched]]] = {}
        for entry in watch.entries:
            column = fold(clip(entry.column, vendor))
            for table in _spellings(entry.table, vendor):
                self._tables.setdefault(table, {}).setdefault(column, []).append(entry)
        # What is slated may be gone tomorrow.
        self._known = {
            fold(clip(table, vendor)): {fold(clip(column, vendor)) for column in names}.difference(
                self._tables.get(fold(clip(table, vendor)), ())
            )
            for table, names in columns.items()
        }
        #: For each table, a part of its name that every way of writing it contains.
        self._parts = tuple((_plain_part(table), table) for table in self._tables)
        #: And one of ASCII alone.
        self._plain_parts = tuple((max(re.split(r"[^\x00-\x7f]", part), key=len), table) for part, table in self._parts)
        names = (name for entry in watch.entries for name in (entry.table, entry.column))
        self._abridges = all(_OF_LISTS.isdisjoint(name) for name in names)
        #: Names may be written with escapes.
        self._escapes = vendor == "postgresql"
        self._glance = Glance(self._tables, vendor)
        self._order = {id(entry): place for place, entry in enumerate(watch.entries)}
        self._shared: dict[tuple[Touch, ...], tuple[Touch, ...]] = {}

    def touches(self, sql: object) -> tuple[Touch, ...]:
        """What the statement touches; never raises. What cannot be read counts as touching."""
        if type(sql) is str and len(sql) < HASHED and (answer := self._texts.answers.get(sql)) is not None:
            return answer
        if not self._watching:
            return _NOTHING
        try:
            text = sql if type(sql) is str else _text(sql)
            if text is None:
                return self._all(NOT_UNDERSTOOD)
            if len(text) <= _LONG:
                if text.startswith(_SAVEPOINTS) and ";" not in text:
                    return _NOTHING
                return self._attribute(text)
            # What differs in the lengths of its lists alone touches the same.
            key = _abridged(text) if self._abridges else text
            answer = self._texts.answers.get(key)
            if answer is None:
                return self._attribute(key)
            if not answer and key is not text and len(text) <= _MAX_ALIKE and text.isascii():
                # It is not remembered by itself, and may well come again.
                self.clear[len(text)] = text
            return answer
        except Exception:
            return self._all(NOT_UNDERSTOOD)

    def _attribute(self, text: str) -> tuple[Touch, ...]:
        tables = self._named(text)
        if tables:
            answer = self._judge(text, tables)
            if len(text) <= _MAX_REMEMBERED:
                self._texts.put(text, answer)
            return answer
        # Many texts that name nothing slated come once, and are told as fast as they are remembered.
        once = self._once
        key = hash(text)
        if key not in once:
            if len(once) >= _MAX_ONCE:
                once.clear()
            once.add(key)
        elif len(text) <= _MAX_REMEMBERED:
            self._texts.put(text, _NOTHING)
        return _NOTHING

    def _named(self, text: str) -> Sequence[str]:
        """Slated tables that the text may name."""
        parts = self._parts
        if text.isascii():
            folded = text.lower()
            # Most texts name none, and cost no more than this loop.
            for part, _ in parts:
                if part in folded:
                    break
            else:
                if not (self._escapes and 'u&"' in folded):
                    return ()
        elif len(text) <= _MAX_READ:
            folded = fold_case(text)
        else:
            # Folding so much takes milliseconds. Only these two letters are ASCII to a database in another case.
            for capital, letter in (("\u0130", "i"), ("\u212a", "k")):
                if capital in text:
                    text = text.replace(capital, letter)
            raw = text.encode("utf-8", "surrogatepass")
            folded = raw.lower().decode("latin-1")
            parts = self._plain_parts
        if self._escapes and 'u&"' in folded:
            escapes = {"\\", *_UESCAPE.findall(folded)}
            if len(folded) > _MAX_MASKED or len(escapes) > _MAX_ESCAPES:
                return list(self._tables)
            folded += "".join(re.sub(re.escape(each) + _ESCAPED, _character, folded) for each in sorted(escapes))
        # Of what is no ASCII the bytes of a long text do not tell the case.
        blurred = parts is not self._parts
        return [
            table
            for part, table in parts
            if part in folded and ((blurred and not table.isascii()) or self._stands(table, folded))
        ]

    def _stands(self, table: str, folded: str) -> bool:
        """Whether the table's name stands in a text that contains it other than in a longer one, as in `book_id`."""
        if not _is_whole(table):
            return True
        at, size = folded.find(table), len(table)
        for _ in range(_MAX_LOOKS):
            if at < 0:
                return False
            after = folded[at + size : at + size + 1]
            if after not in _NAMING and after <= "\x7f":
                # A number may stand right before a name.
                before = folded[at - 1 : at] if at else ""
                if (before not in _NAMING or before in _DIGITS) and before <= "\x7f":
                    return True
            at = folded.find(table, at + 1)
        return True

    def _judge(self, text: str, tables: Sequence[str]) -> tuple[Touch, ...]:
        given = len(text)
        if self._abridges and "%s" in text:
            text = _collapse(text)
        if len(text) > _MAX_READ:
            return self._all("too long", tables)
        known = self._shapes.answers.get(text)
        if known is not None:
            return known
        seen = self._glance.look(text, tables)
        if seen is not None:
            answer = self._touches(seen)
            if len(text) != given:
                # Others differ from it in the lengths of their lists alone.
                self._shapes.put(text, answer)
            return answer
        key = text
        literal = _LITERAL.search(text) is not None
        if literal and len(text) <= _MAX_MASKED and not any(each in text for each in _UNMASKABLE):
            key = "\0" + _MASKED_ROWS.sub("(?)", _MASKED_LIST.sub("?", self._mask.sub(r"\1?", text)))
            known = self._shapes.answers.get(key)
            if known is not None:
                return known
        try:
            found, opaque = self._read(text, tables)
        except Unreadable as error:
            return self._all(str(error), tables)
        answer = self._touches(found)
        # A text with literals in it is better remembered without them, unless they decide what it touches.
        if len(key) <= _MAX_MASKED and not (opaque and literal):
            self._shapes.put(key, answer)
        return answer

    def _read(self, text: str, tables: Sequence[str]) -> tuple[list[tuple[str, Found]], bool]:
        """How the text touches these tables, and whether its literals may be SQL. Raises Unreadable."""
        found: list[tuple[str, Found]] = []
        opaque = False
        spellings = Spellings(text, self.vendor)
        for tokens in readings(text, self.vendor, _MAX_TOKENS):
            # A text of many statements says most of them again and again.
            for statement in {tuple(statement): None for statement in statements(tokens)}:
                structure = read(statement, self.vendor, spellings, self._known)
                opaque = opaque or structure.opaque
                for table in tables:
                    found += ((table, each) for each in scan(structure, table, self._tables[table], self.vendor))
        return found, opaque

    def _all(self, reason: str, tables: Iterable[str] | None = None) -> tuple[Touch, ...]:
        """Everything watched of these tables is touched, for all that is known."""
        wanted = self._tables if tables is None else tables
        return self._touches(
            [
                (table, Found(each.column, each.access, reason))
                for table in wanted
                for each in everything(self._tables[table])
            ]
        )

    def _touches(self, found: Collection[tuple[str, Found]]) -> tuple[Touch, ...]:
        """One touch for each entry and access; a touch by name says more than one by star."""
        if not found:
            return _NOTHING
        best: dict[tuple[int, Access], Touch] = {}
        for table, each in found:
            for entry in self._tables[table][each.column]:
                key = (self._order[id(entry)], each.access)
                known = best.get(key)
                if known is None or (known.star and not each.star):
                    best[key] = Touch(entry, each.access, each.reason, each.star)
        touches = tuple(best[key] for key in sorted(best))
        return self._shared.setdefault(touches, touches)


def _character(escape: re.Match[str]) -> str:
    code = int(escape[1] or escape[2], 16)
    return fold_case(chr(code)) if code <= sys.maxunicode else ""


def _text(sql: object) -> str | None:
    """The statement as text: None where it has none that can be had without a connection."""
    if type(sql) is str:
        return sql
    if isinstance(sql, str):
        return str.__str__(sql)
    if isinstance(sql, (bytes, bytearray)):
        return bytes(sql).decode()
    as_string = getattr(sql, "as_string", None)
    if as_string is None:
        return None
    text = as_string(None)
    return text if isinstance(text, str) else None


def _abridged(text: str) -> str:
    """The text with one placeholder for each list of them in parentheses, and one row for many; itself if it has none.

    Quick, whatever the lengths. What is left out can be no part of a name, nor of anything else that a text's meaning
    hangs on, wherever it stands.
    """
    at = text.find("(%s")
    if at < 0:
        return text
    end = text.find(")", at)
    list_ = text[at:end]
    if len(list_) & 3 == 3 and _PLACES.startswith(list_):
        # Most have no more than one.
        rest = text[end + 1 :]
        if "(%s" in rest:
            row = f", {list_})"
            last = rest.rfind(row) + len(row)
            if rest[:last] == row * (last // len(row)):
                rest = rest[last:]
        elif len(list_) < _ONE_PLACE:
            return text
        if "(%s" not in rest:
            return f"{text[:at]}(%s){rest}"
    return _abridged_all(text, at)


def _abridged_all(text: str, at: int) -> str:
    """The same for a text with several lists, of which the first is not before `at`."""
    parts: list[str] = []
    start = 0
    # One character is found many times faster than several.
    for _ in range(_MAX_LISTS):
        if at < 0:
            break
        if text.startswith("(%s", at):
            end = text.find(")", at)
            if end < 0:
                break
            list_ = text[at:end]
            if len(list_) & 3 == 3 and (_PLACES.startswith(list_) or _is_list(list_)):
                end += 1
                if text.startswith(", (%s", end):
                    row = f", {list_})"
                    found = text.rfind(row, end)
                    last = found + len(row)
                    if found >= 0 and text[end:last] == row * ((last - end) // len(row)):
                        end = last
                if end - at > _ONE_PLACE:
                    parts += (text[start:at], "(%s)")
                    start = end
                at = end - 1
        at = text.find("(", at + 1)
    if not parts:
        return text
    parts.append(text[start:])
    return "".join(parts)


def _is_list(text: str) -> bool:
    """Whether it is an opening parenthesis with placeholders after it."""
    return text == "(" + "%s, " * (len(text) // 4) + "%s"


def _collapse(text: str) -> str:
    if len(text) > _MAX_REMEMBERED:
        row = _FIRST_ROW.search(text)
        if row is not None:
            # Most of a bulk insert, before each of its characters is looked at several times.
            text = text.replace(f", {row[1]}" * 32, "")
    for item in ("%s", "(%s)"):
        pair = f"{item}, {item}"
        if pair in text:
            text = text.replace(f"{item}, " * 16, "")
            while pair in text:
                text = text.replace(pair, item)
    if "), (" in text:
        text = _ROWS.sub(r"\1", text, _MAX_COLLAPSED)
    if " THEN %s" in text:
        text = _BRANCHES.sub(r"\1", text, _MAX_COLLAPSED)
    return text


def _spellings(table: str, vendor: str) -> set[str]:
    """A table's name as statements may name it.

    `db_table = 'schema"."table'` is how a schema is smuggled through Django's quoting.
    """
    names = {fold(clip(table, vendor))}
    for quote in ('"', "`"):
        if quote in table:
            last = table.strip(quote).rsplit(f"{quote}.{quote}", 1)[-1]
            names.add(fold(clip(last, vendor)))
    return names


def _plain_part(name: str) -> str:
    """The longest part of a name that no quoting changes."""
    return max(re.split(r'["`\]%]', name), key=len)


def _is_whole(name: str) -> bool:
    """Whether a statement can only name it by itself: no quoting changes it, and the database does not cut it."""
    return _plain_part(name) == name and len(name.encode("utf-8", "surrogatepass")) < LONGEST_NAME
