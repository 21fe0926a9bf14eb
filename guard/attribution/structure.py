"""What a statement is made of: which tables it uses under which names, and which columns it names where.

The reading is one pass over the tokens without recursion. It follows SQL's scopes as far as they can be told apart by
parentheses and keywords, and merges those that it cannot tell apart: a name may then be held against more tables than
the database would, never against fewer. What it does not know makes the whole statement `odd`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum, StrEnum
from types import MappingProxyType

from guard.attribution import keywords
from guard.attribution.lexer import NUMBER, PLACEHOLDER, VARIABLE, Spellings
from guard.attribution.watchlist import Access


class Role(StrEnum):
    """What a statement does with a table that it names."""

    SOURCE = "source"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    MERGE = "merge"
    COPY = "copy"
    #: Locked, truncated, described: no column of it is used.
    WHOLE = "whole"


class Bound(Enum):
    """What an alias stands for, where that is no table."""

    #: A subquery, a common table expression, a function: whatever it reads is seen where it reads it.
    DERIVED = 1
    #: A parenthesised join: any table inside.
    JOINED = 2


class Group:
    """One query: the tables that its names may belong to, and the query around it that is visible from inside."""

    __slots__ = (
        "beside",
        "bindings",
        "joining",
        "labels",
        "natural",
        "outputs",
        "parent",
        "provided",
        "renamed",
        "tables",
    )

    def __init__(self, parent: Group | None, *, joining: bool = False) -> None:
        self.parent = parent
        #: It stands in FROM of the query around it, where not all of that query's sources are in sight.
        self.joining = joining
        #: Other queries whose tables are visible too.
        self.beside: list[Group] = []
        self.bindings: dict[str, set[str | Bound]] = {}
        #: Real tables among its sources.
        self.tables: set[str] = set()
        #: Output names given with AS, and those that plain columns give themselves too.
        self.labels: set[str] = set()
        self.outputs: set[str] = set()
        #: Columns that its sources have for certain, where these are queries.
        self.provided: set[str] = set()
        self.natural = False
        #: Columns of a table or join are renamed by a list of aliases.
        self.renamed = False

    def visible(self) -> Iterator[Group]:
        """This query and those around it, innermost first."""
        group: Group | None = self
        while group is not None:
            yield group
            yield from group.beside
            group = group.parent

    def bind(self, alias: str, to: str | Bound) -> None:
        self.bindings.setdefault(alias, set()).add(to)

    def resolve(self, qualifier: str, *, nearest: bool, joining: bool) -> set[str | Bound]:
        """What a qualifier may stand for: empty where nothing visible has that name.

        In PostgreSQL the nearest alias counts, if it is in sight: for a name in FROM itself (`joining`), some are not
        yet. The others go on outwards where that has no such column.
        """
        found: set[str | Bound] = set()
        group: Group | None = self
        while group is not None:
            bound = group.bindings.get(qualifier)
            if bound:
                found |= bound
            for other in group.beside:
                found |= other.bindings.get(qualifier, set())
            if bound and nearest and not joining:
                break
            joining = group.joining
            group = group.parent
        return found


class Use:
    """A table in a place where SQL expects one."""

    __slots__ = ("all_columns", "constraint", "group", "role", "star", "table")

    def __init__(self, table: str, group: Group, role: Role) -> None:
        self.table = table
        self.group = group
        self.role = role
        #: `TABLE t` and the like: every column is read, none is named.
        self.star = False
        #: An insert that names no columns.
        self.all_columns = False
        #: The conflict target is a constraint, whose columns the text does not say.
        self.constraint = False


class Ref:
    """A column, or what may be one, in a place where SQL expects an expression or a column's name."""

    __slots__ = ("access", "among", "group", "joining", "name", "plain_order", "qualifier", "target")

    def __init__(self, qualifier: str | None, name: str, group: Group, access: Access) -> None:
        self.qualifier = qualifier
        self.name = name
        self.group = group
        self.access = access
        #: The one table that it can belong to, where the grammar says so (an insert's column list).
        self.target: str | None = None
        #: The tables of its own query that it can belong to, where those after it are out of the question.
        self.among: frozenset[str] | None = None
        #: Stands in FROM, where not all sources of its query are in sight.
        self.joining = False
        #: Stands alone in ORDER BY, where an output name comes before a column.
        self.plain_order = False


class Structure:
    """One statement, read."""

    __slots__ = ("keywords", "kind", "loose", "names", "odd", "opaque", "refs", "spellings", "stars", "types", "uses")

    def __init__(self, spellings: Spellings) -> None:
        self.spellings = spellings
        self.kind = ""
        self.uses: list[Use] = []
        self.refs: list[Ref] = []
        #: (qualifier or None, query) of each `*` that stands for columns.
        self.stars: list[tuple[str | None, Group]] = []
        #: Names used as types: a table's name is the type of its rows.
        self.types: set[str] = set()
        #: Every name and word in it, in whatever place.
        self.names: set[str] = set()
        #: Names in FROM where no table was expected.
        self.loose: set[str] = set()
        #: Unquoted words that were taken for keywords.
        self.keywords: set[str] = set()
        #: Its shape is not understood.
        self.odd = False
        #: Its literals may be SQL that runs.
        self.opaque = False


_QUERY, _JOIN, _LIST = 0, 1, 2

#: Parentheses in parentheses, beyond which a statement is not followed: looking a name up goes through all of them.
_MAX_DEPTH = 100


class _Frame:
    """What is open at one depth of parentheses."""

    __slots__ = (
        "after",
        "assigned",
        "body",
        "cases",
        "clause",
        "combined",
        "cte",
        "cte_columns",
        "ctes",
        "ctes_before",
        "expect",
        "first",
        "group",
        "insert",
        "joined",
        "kind",
        "lateral",
        "lhs",
        "next_cte",
        "role",
        "star_join",
        "star_table",
        "statement",
        "target",
        "uses",
    )

    def __init__(self, kind: int, group: Group) -> None:
        self.kind = kind
        self.group = group
        #: The first of several queries that UNION and the like combine: it names the columns.
        self.first = group
        self.clause = "start"
        self.statement = ""
        #: A table is expected next, in this role.
        self.expect = False
        self.role = Role.SOURCE
        self.lateral = False
        self.joined = False
        #: An UPDATE's SET has begun.
        self.assigned = False
        #: In SET: the next name is assigned to.
        self.lhs = False
        #: The next table is read whole: `TABLE t`.
        self.star_table = False
        #: SQLite reads a join in parentheses, right of another, as a subquery that selects all.
        self.star_join = False
        #: How many tables were used before this one was opened.
        self.uses = 0
        #: What an alias after its closing parenthesis stands for, where one may follow.
        self.after: str | Bound | None = None
        self.target: Use | None = None
        #: The query of an INSERT itself, apart from those that it inserts from.
        self.insert: Group | None = None
        self.body: list[Group] = []
        #: The name of the common table expression whose body this is; and of the one whose body comes next.
        self.cte = ""
        self.next_cte = ""
        #: Common table expressions that are complete, with the columns that they have for certain.
        self.ctes: dict[str, set[str]] = {}
        self.cte_columns: set[str] | None = None
        #: Those before an INSERT, in sight where those of what it inserts from are not.
        self.ctes_before: dict[str, set[str]] = {}
        #: A query after UNION and the like, whose output names count for nothing.
        self.combined = False
        #: Open CASE expressions.
        self.cases = 0


#: What a word or a quoted name begins with; so does every character above 127.
_NAME_STARTS = frozenset('"_$0123456789abcdefghijklmnopqrstuvwxyz')


def _is_name(token: str) -> bool:
    first = token[:1]
    return (first in _NAME_STARTS or first > "\x7f") and token != NUMBER


def _name_in(token: str) -> str:
    """The name that a token gives: a quoted one, a string, or a word."""
    return token[1:] if token[:1] in ('"', "'") else token


def statements(tokens: Sequence[str]) -> Iterator[Sequence[str]]:
    """The tokens of each statement of a text."""
    if ";" not in tokens:
        yield tokens
        return
    depth = 0
    start = 0
    for index, token in enumerate(tokens):
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
        elif token == ";" and depth == 0:
            if index > start:
                yield tokens[start:index]
            start = index + 1
    if start < len(tokens):
        yield tokens[start:]


def _without_braces(tokens: Sequence[str]) -> list[str]:
    """MySQL reads ODBC's `{d '2020-01-01'}` and `{oj a LEFT JOIN b}` as what is in them, behind the word."""
    kept: list[str] = []
    index = 0
    while index < len(tokens):
        if tokens[index] == "{" and index + 1 < len(tokens) and _is_name(tokens[index + 1]):
            index += 1
        elif tokens[index] != "}":
            kept.append(tokens[index])
        index += 1
    return kept


def read(
    tokens: Sequence[str],
    vendor: str,
    spellings: Spellings,
    known: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Structure:
    """Read one statement of a text. `known` are columns that tables certainly have, all names folded."""
    return _Reader(tokens, vendor, spellings, known).read()


class _Reader:
    def __init__(
        self, tokens: Sequence[str], vendor: str, spellings: Spellings, known: Mapping[str, Collection[str]]
    ) -> None:
        self.known = known
        self.spellings = spellings
        if vendor not in ("postgresql", "sqlite") and "{" in tokens:
            tokens = _without_braces(tokens)
        self.size = len(tokens)
        # Empty ones behind the end, which negative indexes meet too: looking around needs no bounds.
        self.tokens = [*tokens, *[""] * 6]
        self.strings = vendor == "sqlite"
        #: One table is changed by a statement, and SET names its columns alone.
        self.single_target = vendor in ("postgresql", "sqlite")
        self.postgresql = vendor == "postgresql"
        self.reserved = keywords.reserved(vendor)
        self.out = Structure(spellings)
        self.closing: dict[int, int] = {}
        self.opening: dict[int, int] = {}
        self.stack: list[_Frame] = []

    def read(self) -> Structure:
        out = self.out
        kinds = set(self.tokens)
        # UESCAPE changes what the name before it means.
        out.odd = not kinds.isdisjoint(("{", "}", "uescape"))
        out.names = {_name_in(token) for token in kinds}
        balanced = self._match_parentheses()
        start = self._skip_explain() if balanced else 0
        first = start
        while self.tokens[first] == "(":
            first += 1
        word = out.kind = self.tokens[first]
        if not balanced:
            out.odd = True
            out.opaque = word not in keywords.STARTERS
        elif word in keywords.STARTERS:
            self._walk(start, self.size)
        elif word == "copy":
            self._copy(first + 1)
        elif word == "declare":
            self._walk_after(first, "for")
        elif word == "prepare":
            if self.tokens[first + 2] == "(":
                # The types of its parameters.
                out.types |= self._listed(first + 2)
            self._walk_after(first, "as")
        elif word == "create":
            self._create(first)
        elif word in keywords.WHOLE:
            self._whole(first)
        elif word == "begin" and not self.single_target and self.tokens[first + 1] not in ("", "work"):
            # A block of statements.
            out.odd = out.opaque = True
        elif word in keywords.HARMLESS or (word == "set" and self.single_target):
            # In MySQL, SET may hold a statement in a variable, to be prepared.
            pass
        else:
            out.odd = out.opaque = True
        return out

    # Tokens.

    def _names(self, index: int) -> bool:
        """Whether a name can stand there: SQLite takes a string for one where nothing else fits."""
        first = self.tokens[index][:1]
        if first in _NAME_STARTS or first > "\x7f":
            return self.tokens[index] != NUMBER
        return self.strings and first == "'"

    def _match_parentheses(self) -> bool:
        opened: list[int] = []
        tokens = self.tokens
        if "(" not in tokens:
            return ")" not in tokens
        for index in [index for index, token in enumerate(tokens) if token == "(" or token == ")"]:
            if tokens[index] == "(":
                opened.append(index)
            elif not opened:
                return False
            else:
                self.closing[opened[-1]] = index
                self.opening[index] = opened.pop()
        return not opened

    def _chain(self, index: int) -> tuple[list[str], int, bool]:
        """A name with its qualifiers, the index after it, and whether it ends in `.*`."""
        tokens = self.tokens
        token = tokens[index]
        parts = [token[1:] if token[0] in "\"'" else token]
        index += 1
        while tokens[index] == ".":
            if tokens[index + 1] == "*":
                return parts, index + 2, True
            if not self._names(index + 1):
                break
            token = tokens[index + 1]
            parts.append(token[1:] if token[0] in "\"'" else token)
            index += 2
        return parts, index, False

    # Kinds of statements.

    def _skip_explain(self) -> int:
        """Where the explained statement begins: 0 where none is explained."""
        if self.tokens[0] not in keywords.EXPLAIN:
            return 0
        index = 1
        if self.tokens[index] == "(":
            after = self.closing[index] + 1
            if after < self.size:
                return after
        while True:
            if self.tokens[index] in keywords.EXPLAIN_OPTIONS or self.tokens[index] == "=":
                index += 1
            elif self.tokens[index : index + 2] == ["into", VARIABLE]:
                index += 2
            elif self.tokens[index] == "for" and self.tokens[index + 1] in ("schema", "database"):
                index += 3
            else:
                break
        return index if self.tokens[index] in keywords.EXPLAINED else 0

    def _walk_after(self, start: int, keyword: str) -> None:
        for index in range(start, self.size):
            if self.tokens[index] == keyword:
                if self.tokens[index + 1] in keywords.STARTERS or self.tokens[index + 1] == "(":
                    self._walk(index + 1, self.size)
                    return
                break
        self.out.odd = self.out.opaque = True

    def _create(self, first: int) -> None:
        """`CREATE TABLE x AS SELECT …`, and views; anything else that is created may hold any SQL."""
        index = first + 1
        while self.tokens[index] in keywords.CREATED_HOW:
            index += 1
        if self.tokens[index] in ("table", "view"):
            while index < self.size:
                if self.tokens[index] in ("as", "select"):
                    query = index + (self.tokens[index] == "as")
                    start = query
                    while self.tokens[start] == "(":
                        start += 1
                    if self.tokens[start] in keywords.QUERIES:
                        self._walk(query, self.size)
                        return
                    break
                if self._names(index):
                    # A table whose definition is taken over, or that is referred to.
                    self.out.loose.add(_name_in(self.tokens[index]))
                index = self.closing[index] + 1 if self.tokens[index] == "(" else index + 1
        self.out.odd = self.out.opaque = True

    def _whole(self, first: int) -> None:
        group = Group(None)
        role = Role.DELETE if self.out.kind == "truncate" else Role.WHOLE
        for index in range(first + 1, self.size):
            if self._names(index):
                name = _name_in(self.tokens[index])
                group.tables.add(name)
                self.out.uses.append(Use(name, group, role))
                self.out.refs.append(Ref(None, name, group, Access.READ))

    def _copy(self, index: int) -> None:
        if self.tokens[index] == "(":
            self._walk(index, self.closing[index] + 1)
            return
        if self.tokens[index] == "binary":
            index += 1
        if not self._names(index):
            self.out.odd = True
            return
        parts, index, _ = self._chain(index)
        group = Group(None)
        group.tables.add(parts[-1])
        use = Use(parts[-1], group, Role.SOURCE)
        self.out.uses.append(use)
        columns = range(0)
        if self.tokens[index] == "(":
            columns = range(index + 1, self.closing[index])
            index = self.closing[index] + 1
        if self.tokens[index] == "to":
            access = Access.READ
            use.star = not columns
        elif self.tokens[index] == "from":
            access = Access.WRITE
            use.role = Role.INSERT
            use.all_columns = not columns
        else:
            self.out.odd = True
            return
        for at in columns:
            if self._names(at):
                self.out.refs.append(Ref(None, _name_in(self.tokens[at]), group, access))
        for at in range(index + 1, self.size):
            if self._names(at):
                self.out.refs.append(Ref(None, _name_in(self.tokens[at]), group, Access.READ))

    # Queries.

    def _walk(self, index: int, end: int) -> None:
        out = self.out
        tokens = self.tokens
        self.stack = stack = [_Frame(_QUERY, Group(None))]
        while index < end:
            token = tokens[index]
            frame = stack[-1]
            if token == "(":
                if len(stack) > _MAX_DEPTH:
                    out.odd = True
                    return
                index = self._open(frame, index)
            elif token == ")":
                if len(stack) == 1:
                    out.odd = True
                    return
                index = self._close(index)
            elif token == ",":
                if frame.kind != _LIST:
                    self._comma(frame)
                index += 1
            elif (first := token[0]) == '"':
                index = self._name(frame, index)
            elif (first in _NAME_STARTS or first > "\x7f") and token != NUMBER:
                index = self._handle_word(frame, token, index)
            elif first == "'":
                index = self._name(frame, index) if self._string_is_name(frame, index) else index + 1
            elif token == "::" and self._names(index + 1):
                parts, index, _ = self._chain(index + 1)
                out.types.add(parts[-1])
            else:
                if token == "*":
                    self._star(frame, index)
                elif frame.clause == "set" and token in ("=", ":="):
                    frame.lhs = False
                index += 1
        if len(stack) != 1:
            out.odd = True

    def _handle_word(self, frame: _Frame, word: str, index: int) -> int:
        # A word with a dot behind it is a qualifier, where the database lets it be one.
        if self.tokens[index + 1] != "." or word in self.reserved:
            if frame.kind != _LIST:
                if self._names_expression(frame, index):
                    return self._name(frame, index)
                if word in keywords.FLOW and (frame.kind == _QUERY or word in keywords.IN_JOINS):
                    after = self._flow(frame, word, index)
                    if after >= 0:
                        self.out.keywords.add(word)
                        return after
                if frame.expect and word == "rows" and self.tokens[index + 1 : index + 3] == ["from", "("]:
                    # PostgreSQL's `ROWS FROM (f(1), g(2))`.
                    frame.expect = frame.lateral = False
                    child = _Frame(_LIST, frame.group)
                    child.after = Bound.DERIVED
                    self.stack.append(child)
                    return index + 3
                if frame.expect and self._modifier(frame, word, index):
                    self.out.keywords.add(word)
                    return index + 1
            if (
                word == "columns"
                and frame.kind == _LIST
                and self.tokens[index + 1] == "("
                and self._follows_path(index)
            ):
                # JSON_TABLE's own columns.
                return self.closing[index + 1] + 1
            if word in keywords.NO_NAME or (word in self.reserved and not frame.expect):
                if word == "in" and self.strings and self._names(index + 1):
                    return self._in_table(frame, index + 1)
                if word not in self.reserved and not (word in ("asc", "desc") and self._operand(index - 1)):
                    self.out.refs.append(Ref(None, word, frame.group, Access.READ))
                return index + 1
        return self._name(frame, index)

    def _names_expression(self, frame: _Frame, index: int) -> bool:
        """Whether a word names a common table expression there, whatever it means elsewhere."""
        return (
            frame.clause == "with"
            and self.tokens[index] not in self.reserved
            and self.tokens[index - 1] in ("with", "recursive", ",")
            and self.tokens[index + 1] in ("as", "(")
        )

    def _follows_path(self, index: int) -> bool:
        return self.tokens[index - 1][:1] == "'" or self.tokens[index - 1] == PLACEHOLDER

    def _operand(self, index: int) -> bool:
        """Whether an operand ends there."""
        token = self.tokens[index]
        if token in keywords.NO_NAME:
            return token in ("end", "null", "true", "false")
        return _is_name(token) or token[:1] in ("'", "@") or token in (")", "]", NUMBER, PLACEHOLDER)

    def _string_is_name(self, frame: _Frame, index: int) -> bool:
        return self.strings and (
            self.tokens[index + 1] == "."
            or self.tokens[index - 1] == "as"
            or (frame.kind != _LIST and (frame.expect or (frame.clause == "set" and frame.lhs)))
        )

    def _comma(self, frame: _Frame) -> None:
        if frame.clause in ("from", "on"):
            frame.clause = "from"
            frame.expect = True
            self._joins(frame)
        elif frame.clause == "set":
            frame.lhs = True

    def _joins(self, frame: _Frame) -> None:
        """SQLite reads what is joined in an UPDATE's FROM as a subquery that selects all."""
        if self.strings and frame.statement == "update" and not frame.star_join:
            frame.star_join = True
            self._star_sources(frame.group, 0)

    def _star_sources(self, group: Group, since: int) -> None:
        for use in self.out.uses[since:]:
            if use.group is group and use.role is Role.SOURCE:
                use.star = True

    def _star(self, frame: _Frame, index: int) -> None:
        """A `*` stands for columns where no operand follows it."""
        following = index + 1
        if (
            following < self.size
            and self.tokens[following] != ","
            and self.tokens[following] != ")"
            and self.tokens[following] not in keywords.AFTER_STAR
        ):
            return
        if frame.kind == _LIST and self.tokens[index - 1] == "(":
            return
        if frame.kind == _LIST or frame.clause not in ("from", "on"):
            self.out.stars.append((None, frame.group))

    def _modifier(self, frame: _Frame, word: str, index: int) -> bool:
        """Whether a word before a table is no table."""
        if word == "lateral":
            frame.lateral = True
            return True
        if word in ("rollback", "abort", "fail", "replace"):
            return self.tokens[index - 1] == "or"
        if word == "ignore":
            return not self.strings or self.tokens[index - 1] == "or"
        if word in ("low_priority", "high_priority", "delayed", "quick"):
            return not self.single_target
        if word in ("temp", "temporary", "unlogged", "table"):
            return frame.clause == "into"
        return word in ("only", "or")

    def _in_table(self, frame: _Frame, index: int) -> int:
        """SQLite's `x IN t`, which reads the only column of t."""
        parts, after, _ = self._chain(index)
        if self.tokens[after] != "(":
            use = Use(parts[-1], frame.group, Role.SOURCE)
            use.star = True
            self.out.uses.append(use)
        return after

    def _open(self, frame: _Frame, index: int) -> int:
        inner = self.tokens[index + 1]
        query = (inner in keywords.QUERIES and (inner != "with" or self._names(index + 2))) or (
            inner in keywords.CHANGES and frame.kind != _LIST and frame.clause in ("start", "with")
        )
        group = frame.group
        child = _Frame(_QUERY, Group(group, joining=self._in_from())) if query else _Frame(_LIST, group)
        if frame.kind != _LIST:
            if frame.clause == "set" and frame.lhs:
                for at in range(index + 1, self.closing[index]):
                    if self._names(at):
                        self._assign(frame, [_name_in(self.tokens[at])])
                return self.closing[index] + 1
            if frame.clause == "with":
                # A common table expression sees nothing of the query that it stands before.
                child = _Frame(_QUERY, Group(group.parent, joining=group.joining))
                child.cte = frame.next_cte
            elif frame.expect:
                frame.expect = False
                if not query:
                    child = _Frame(_JOIN, group)
                    child.clause = "from"
                    child.statement = frame.statement
                    child.expect = True
                    child.lateral = frame.lateral
                    child.role = frame.role
                    child.target = frame.target
                    child.after = Bound.JOINED
                    right = bool(group.tables) or self.tokens[index - 1] in ("join", ",")
                    child.star_join = frame.star_join or (self.strings and right)
                    child.uses = len(self.out.uses)
                else:
                    # Without LATERAL a subquery in FROM sees nothing of its neighbours.
                    if not frame.lateral:
                        child.group.parent = group.parent
                        child.group.joining = group.joining
                    child.after = Bound.DERIVED
                frame.lateral = False
            elif frame.clause == "target" and query:
                # What an INSERT inserts from does not see the table that it inserts into.
                child.group.parent = group.parent
                child.group.joining = group.joining
                frame.body.append(child.group)
                frame.clause = "source"
        self.stack.append(child)
        return index + 1

    def _close(self, index: int) -> int:
        child = self.stack.pop()
        frame = self.stack[-1]
        outputs = child.first.outputs
        if child.cte:
            frame.ctes[child.cte] = outputs if frame.cte_columns is None else frame.cte_columns
        if child.kind == _JOIN and frame.target is None:
            frame.target = child.target
        if child.after is None:
            return index + 1
        if child.kind == _JOIN and self.strings and (self.tokens[index + 1] == "as" or self._names(index + 1)):
            following = self.tokens[index + 1]
            if following == "as" or following not in keywords.NO_ALIAS:
                # So it reads one that has an alias.
                self._star_sources(frame.group, child.uses)
        return self._alias(frame, index + 1, child.after, "", outputs if child.kind == _QUERY else None)

    def _listed(self, index: int) -> set[str]:
        """The names in the parentheses that open there."""
        return {_name_in(self.tokens[at]) for at in range(index + 1, self.closing[index]) if self._names(at)}

    def _alias(
        self, frame: _Frame, index: int, stands_for: str | Bound, name: str, outputs: Collection[str] | None = None
    ) -> int:
        """Bind what stands in FROM to its alias, else to its own name. `outputs` are columns that it certainly has."""
        group = frame.group
        if self.tokens[index] == "*":
            # PostgreSQL's old mark for "and the tables that inherit from it".
            index += 1
        if self.tokens[index] == "with" and self.tokens[index + 1] == "ordinality":
            index += 2
        explicit = self.tokens[index] == "as"
        at = index + 1 if explicit else index
        if self._names(at) and (explicit or self.tokens[at] not in keywords.NO_ALIAS or self._is_alias(at)):
            group.bind(_name_in(self.tokens[at]), stands_for)
            index = at + 1
        else:
            if name:
                group.bind(name, stands_for)
            if self._names(at) and self.tokens[at] not in self.reserved:
                # It may be an alias after all.
                group.bind(self.tokens[at], stands_for)
            if explicit and self.tokens[at] == "(":
                index = at
        if self.tokens[index] == "(":
            if stands_for is not Bound.DERIVED:
                group.renamed = True
            else:
                if outputs is not None:
                    group.provided |= self._listed(index)
                # A function's columns with their types.
                for each in range(index + 2, self.closing[index]):
                    if self._names(each) and self._names(each - 1):
                        self.out.types.add(_name_in(self.tokens[each]))
            return self.closing[index] + 1
        if outputs is not None:
            group.provided.update(outputs)
        return index

    def _is_alias(self, at: int) -> bool:
        """Whether a word that is mostly none is an alias, because a list of columns follows."""
        word = self.tokens[at]
        return self.tokens[at + 1] == "(" and self.postgresql and word != "set" and word not in self.reserved

    def _in_from(self) -> bool:
        """Whether the reading stands in FROM of the innermost query, its conditions included."""
        for frame in reversed(self.stack):
            if frame.kind != _LIST:
                return frame.clause in ("from", "on")
        return False

    def _name(self, frame: _Frame, start: int) -> int:
        out = self.out
        group = frame.group
        parts, index, star = self._chain(start)
        previous = self.tokens[start - 1]
        if frame.kind != _LIST:
            if frame.clause == "with":
                if previous in ("with", "recursive") or self.tokens[start - 1] == ",":
                    if (
                        len(parts) == 1
                        and parts[0] == "recursive"
                        and self.tokens[start] == "recursive"
                        and (self._names(index))
                        and self.tokens[index] != "as"
                    ):
                        return index
                    frame.next_cte = parts[-1]
                    frame.cte_columns = None
                    if self.tokens[index] == "(":
                        frame.cte_columns = self._listed(index)
                        index = self.closing[index] + 1
                    return index
                out.refs.append(Ref(None, parts[-1], group, Access.READ))
                return index
            if frame.expect:
                return self._table(frame, parts, index, star)
            if frame.clause == "set" and frame.lhs:
                self._assign(frame, parts)
                return index
            if frame.clause in ("lock", "deleted"):
                # Tables again, under their aliases.
                return index
        if star:
            out.stars.append((parts[-1], group))
            return index
        following = self.tokens[index]
        if previous == "as":
            return self._after_as(frame, parts, index)
        if (
            frame.kind == _QUERY
            and frame.clause == "select"
            and len(parts) == 1
            and (following in (",", ")", "") or following in keywords.AFTER_STAR)
            and self._is_label(start)
        ):
            if not frame.combined:
                group.labels.add(parts[-1])
                group.outputs.add(parts[-1])
            return index
        if following == "(":
            if parts[-1] in keywords.DYNAMIC:
                out.opaque = True
            return index
        if following == "=>" or previous == "collate" or previous == "over":
            return index
        if frame.kind == _QUERY and frame.clause == "window" and following == "as":
            return index
        if len(parts) == 1 and parts[0] in keywords.UNITS and self._is_unit(start):
            return index
        if frame.kind != _LIST and frame.clause == "from":
            out.loose.add(parts[-1])
        ref = Ref(parts[-2] if len(parts) > 1 else None, parts[-1], group, Access.READ)
        # With a schema, a qualifier means the table itself, whatever has its name as an alias nearer by.
        ref.joining = len(parts) > 2 or self._in_from()
        out.refs.append(ref)
        if len(parts) == 1:
            if frame.kind == _QUERY and frame.clause == "order":
                ref.plain_order = (previous == "by" or previous == ",") and self._ends_term(index)
            if not self.strings:
                ref.among = self._joined_so_far()
        if frame.kind == _QUERY and frame.clause == "select":
            if following == "," or following == "from":
                if not frame.combined and previous in (",", "select", "distinct", "all"):
                    group.outputs.add(parts[-1])
            elif (
                (len(parts) > 1 or self.tokens[start][0] == '"')
                and following not in keywords.NO_ALIAS
                and self._names(index)
            ):
                # `t.a b`: no operand follows another, so b is its output name.
                if not frame.combined:
                    group.labels.add(_name_in(self.tokens[index]))
                    group.outputs.add(_name_in(self.tokens[index]))
                return index + 1
        return index

    def _is_label(self, index: int) -> bool:
        """Whether a name in the list of a SELECT stands behind a whole operand, which nothing else can do."""
        before = self.tokens[index - 1]
        first = before[:1]
        if before == ")":
            # `OPERATOR(pg_catalog.+) b`, `DISTINCT ON (a) b`
            return self.tokens[self.opening[index - 1] - 1] not in ("operator", "on")
        if first == '"' or before in ("]", NUMBER, PLACEHOLDER):
            return True
        if first == "'":
            return not self.strings
        if not _is_name(before) or before in keywords.BEFORE_OPERAND:
            return False
        return before in ("end", "null", "true", "false") or before not in self.reserved

    def _joined_so_far(self) -> frozenset[str] | None:
        """Within ON, the tables before it: what comes later is out of its sight, except on SQLite."""
        for frame in reversed(self.stack):
            if frame.kind != _LIST:
                return frozenset(frame.group.tables) if frame.clause == "on" else None
        return None

    def _after_as(self, frame: _Frame, parts: list[str], index: int) -> int:
        if frame.kind == _LIST:
            # CAST(x AS type).
            self.out.types.add(parts[-1])
        elif frame.clause == "select":
            if not frame.combined:
                frame.group.labels.add(parts[-1])
                frame.group.outputs.add(parts[-1])
        elif frame.clause == "values" and frame.insert is not None and frame.target is not None:
            # MySQL's `VALUES (…) AS new`: the row to be inserted.
            frame.insert.bind(parts[-1], frame.target.table)
            if self.tokens[index] == "(":
                frame.insert.renamed = True
                return self.closing[index] + 1
        return index

    def _ends_term(self, index: int) -> bool:
        return (
            index >= self.size
            or self.tokens[index] == ","
            or self.tokens[index] == ")"
            or self.tokens[index] in ("asc", "desc", "nulls", "limit", "offset", "fetch", "for")
        )

    def _is_unit(self, index: int) -> bool:
        """Whether a unit of time stands in its place: EXTRACT(year FROM …), INTERVAL 1 day."""
        tokens = self.tokens
        if tokens[index] not in keywords.UNITS or tokens[index + 1] == ".":
            return False
        if tokens[index - 1] == "(":
            function = tokens[index - 2]
            return (function == "extract" and tokens[index + 1] == "from") or (
                function in ("timestampdiff", "timestampadd") and tokens[index + 1] == ","
            )
        return tokens[index - 2] == "interval" and (
            tokens[index - 1] in (NUMBER, PLACEHOLDER) or tokens[index - 1][:1] == "'"
        )

    def _assign(self, frame: _Frame, parts: list[str]) -> None:
        """A column that SET writes."""
        if self.single_target and frame.target is not None:
            # `SET a.b = …` writes a part of column a.
            for name in {parts[0], parts[-1]}:
                ref = Ref(None, name, frame.group, Access.WRITE)
                ref.target = frame.target.table
                self.out.refs.append(ref)
        else:
            self.out.refs.append(Ref(parts[-2] if len(parts) > 1 else None, parts[-1], frame.group, Access.WRITE))

    def _table(self, frame: _Frame, parts: list[str], index: int, star: bool) -> int:
        out = self.out
        group = frame.group
        role = frame.role
        # MySQL changes several tables in one statement.
        if self.single_target or role in (Role.INSERT, Role.MERGE):
            frame.role = Role.SOURCE
        frame.expect = frame.lateral = False
        name = parts[-1]
        if star:
            out.odd = True
        if role is Role.SOURCE and self.tokens[index] == "(":
            if name in keywords.DYNAMIC:
                out.opaque = True
            # A function; or SQLite's full-text search, `t('words')`.
            use = Use(name, group, role)
            use.star = True
            out.uses.append(use)
            child = _Frame(_LIST, group)
            child.after = name if self.strings else Bound.DERIVED
            self.stack.append(child)
            return index + 1
        if role is Role.SOURCE and len(parts) == 1:
            for each in reversed(self.stack):
                if name in each.ctes and self.spellings.is_one_table(name):
                    return self._alias(frame, index, Bound.DERIVED, name, each.ctes[name])
        use = Use(name, group, role)
        out.uses.append(use)
        group.tables.add(name)
        use.star, frame.star_table = frame.star_table or frame.star_join, False
        if role is not Role.SOURCE and frame.target is None:
            frame.target = use
        if role is Role.INSERT:
            return self._insert_target(frame, use, index)
        return self._alias(frame, index, name, name, self.known.get(name))

    def _insert_target(self, frame: _Frame, use: Use, index: int) -> int:
        group = frame.insert = frame.group
        frame.clause = "target"
        frame.ctes_before = dict(frame.ctes)
        group.bind("excluded", use.table)
        group.bind(use.table, use.table)
        if self.tokens[index] == "as" and self._names(index + 1):
            group.bind(_name_in(self.tokens[index + 1]), use.table)
            index += 2
        return self._insert_columns(frame, use, index)

    def _insert_columns(self, frame: _Frame, use: Use, index: int) -> int:
        """The column list of an INSERT, or the lack of one, and what PostgreSQL lets stand behind it."""
        index = self._column_list(frame, use, index)
        return index + 3 if self.tokens[index] == "overriding" and self.tokens[index + 2] == "value" else index

    def _column_list(self, frame: _Frame, use: Use, index: int) -> int:
        if (
            self.tokens[index] == "("
            and self.tokens[index + 1] not in keywords.QUERIES
            and self.tokens[index + 1] != "("
        ):
            for at in range(index + 1, self.closing[index]):
                if self._names(at):
                    ref = Ref(None, _name_in(self.tokens[at]), frame.group, Access.WRITE)
                    ref.target = use.table
                    self.out.refs.append(ref)
            return self.closing[index] + 1
        word = self.tokens[index]
        if word == "set" or (word == "default" and self.tokens[index + 1] == "values"):
            return index
        # MySQL's `VALUES ()` leaves every column to its default.
        if not (word in ("values", "value") and self.tokens[index + 1 : index + 3] == ["(", ")"]):
            use.all_columns = True
        return index

    def _flow(self, frame: _Frame, word: str, index: int) -> int:
        """Follow a keyword that begins a clause; -1 where the word is something else here."""
        clause = frame.clause
        following = self.tokens[index + 1]
        begins = clause in ("start", "with")
        if word == "select":
            if clause == "target":
                self._source(frame)
            frame.statement = frame.statement or "select"
            frame.clause = "select"
            frame.expect = False
        elif word == "from":
            if self.tokens[index - 1] == "distinct" and self.tokens[index - 2] in ("is", "not"):
                return index + 1
            frame.clause = "from"
            frame.expect = True
            frame.joined = False
            frame.role = Role.DELETE if frame.statement == "delete" and frame.target is None else Role.SOURCE
        elif word in ("join", "straight_join"):
            if clause not in ("from", "on"):
                return index + 1 if word == "straight_join" else -1
            if self.tokens[index - 1] != "for":
                frame.clause = "from"
                frame.expect = True
                frame.joined = True
                self._joins(frame)
        elif word == "natural":
            if clause not in ("from", "on") or following not in keywords.JOINS:
                return -1
            frame.group.natural = True
        elif word == "on":
            return self._on(frame, following, index)
        elif word == "using":
            return self._using(frame, index)
        elif word in ("where", "having", "limit"):
            frame.clause = word
            frame.expect = False
        elif word in ("group", "order"):
            if following != "by":
                return -1
            # After FOR it is part of a MySQL index hint.
            if self.tokens[index - 1] != "for":
                frame.clause = word
                frame.expect = False
        elif word == "window":
            if not self._names(index + 1) or self.tokens[index + 2] != "as":
                return -1
            frame.clause = word
        elif word == "set":
            if not self._begins_assigning(frame, index):
                return -1
            frame.clause = "set"
            frame.lhs = frame.assigned = True
        elif word in ("values", "value"):
            if clause != "target" and (word == "value" or clause not in ("start", "with", "merge insert")):
                return -1
            # Rows come behind it, or it is a name: of a whole row, in parentheses.
            if clause in ("start", "with") and following not in ("(", "row"):
                return -1
            frame.clause = "values"
        elif word == "returning":
            if frame.statement == "select":
                return -1
            frame.clause = "returning"
            if frame.insert is not None:
                frame.group = frame.insert
                frame.ctes = frame.ctes_before
            return self._bind_versions(frame, index + 1)
        elif word == "into":
            if not frame.expect:
                frame.expect = self._names(index + 1) and clause == "select"
                frame.clause = "into"
        elif word in ("insert", "replace"):
            if begins and self.tokens[index + 1] != "(":
                frame.statement = "insert"
                frame.clause = "into"
                frame.expect = True
                frame.role = Role.INSERT
            elif word == "insert" and clause == "then" and frame.target is not None:
                frame.clause = "merge insert"
                return self._insert_columns(frame, frame.target, index + 1)
            else:
                return -1
        elif word == "update":
            if begins and self.tokens[index + 1] != "(":
                frame.statement = "update"
                frame.clause = "from"
                frame.expect = True
                frame.role = Role.UPDATE
            elif frame.insert is not None and clause in ("conflict", "where"):
                if following != "set":
                    frame.clause = "set"
                    frame.lhs = True
            elif clause not in ("then", "lock"):
                return -1
        elif word == "delete":
            if begins and self.tokens[index + 1] != "(":
                frame.statement = "delete"
                frame.clause = "deleted"
            elif clause != "then":
                return -1
        elif word == "merge":
            if not begins:
                return -1
            frame.statement = "merge"
            frame.clause = "from"
            frame.expect = True
            frame.role = Role.MERGE
        elif word == "table":
            if clause == "target":
                self._source(frame)
            elif not begins:
                return -1
            frame.statement = frame.statement or "select"
            frame.clause = "from"
            frame.expect = frame.star_table = True
            frame.role = Role.SOURCE
        elif word == "with":
            if clause == "target":
                self._source(frame)
            elif clause != "start":
                return -1
            frame.clause = "with"
        elif word in keywords.SET_OPERATIONS:
            if clause == "start" or (
                word == "minus" and following not in ("select", "all") and self.tokens[index + 1] != "("
            ):
                return -1
            labels = frame.group.labels
            frame.group = Group(frame.group.parent)
            frame.group.labels = labels
            frame.combined = True
            frame.body.append(frame.group)
            frame.clause = "start"
            frame.expect = False
        elif word == "for":
            if following in keywords.LOCKS:
                frame.clause = "lock"
                frame.expect = False
        elif frame.statement == "merge":
            return self._in_merge(frame, word, index)
        else:
            return -1
        return index + 1

    def _bind_versions(self, frame: _Frame, index: int) -> int:
        """PostgreSQL's `RETURNING old, new`, and their aliases: the changed row before and after."""
        if not self.postgresql or frame.target is None:
            return index
        names = {"old", "new"}
        if self.tokens[index] == "with" and self.tokens[index + 1] == "(":
            names |= self._listed(index + 1)
            index = self.closing[index + 1] + 1
        for name in names:
            frame.group.bind(name, frame.target.table)
        return index

    def _begins_assigning(self, frame: _Frame, index: int) -> bool:
        """Whether SET begins its clause there, for it may be a name, too."""
        if frame.statement == "update":
            return not frame.assigned and not frame.expect and frame.clause in ("from", "on")
        if self.tokens[index - 1] == "update":
            return frame.clause in ("conflict", "where", "then")
        return frame.clause == "target"

    def _source(self, frame: _Frame) -> None:
        """Enter the query that an INSERT inserts from."""
        frame.group = Group(frame.group.parent)
        frame.body.append(frame.group)

    def _on(self, frame: _Frame, following: str, index: int) -> int:
        if frame.insert is not None and following in ("conflict", "duplicate"):
            frame.clause = "conflict"
            frame.expect = False
            frame.group = frame.insert
            frame.ctes = frame.ctes_before
            if following == "duplicate":
                # MySQL lets it name the columns of the query that is inserted from.
                frame.insert.beside = frame.body
            elif self.tokens[index + 2] == "on" and self.tokens[index + 3] == "constraint" and frame.target is not None:
                frame.target.constraint = True
                return index + 5
            return index + 2
        if frame.clause in ("from", "on"):
            frame.clause = "on"
            frame.expect = False
            return index + 1
        return index + 1 if frame.clause == "select" else -1

    def _using(self, frame: _Frame, index: int) -> int:
        if frame.clause not in ("from", "on"):
            return -1
        if frame.statement in ("delete", "merge") and not frame.joined and frame.kind == _QUERY:
            frame.clause = "from"
            frame.expect = True
            return index + 1
        if self.tokens[index + 1] != "(":
            return -1
        index += 1
        among = frozenset(frame.group.tables)
        for at in range(index + 1, self.closing[index]):
            if self._names(at):
                ref = Ref(None, _name_in(self.tokens[at]), frame.group, Access.READ)
                ref.among = among
                self.out.refs.append(ref)
        index = self.closing[index] + 1
        if self.tokens[index] == "as" and self._names(index + 1):
            frame.group.bind(_name_in(self.tokens[index + 1]), Bound.JOINED)
            index += 2
        return index

    def _in_merge(self, frame: _Frame, word: str, index: int) -> int:
        """WHEN and THEN divide a MERGE, unless they belong to a CASE."""
        if word == "case":
            frame.cases += 1
        elif word == "end":
            frame.cases = max(0, frame.cases - 1)
        elif frame.cases == 0:
            frame.clause = word
        else:
            return -1
        return index + 1
