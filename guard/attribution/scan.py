"""Holds a statement against one slated table: touches unless it can be told that it does not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from guard.attribution.keywords import reserved
from guard.attribution.lexer import words
from guard.attribution.structure import Bound, Group, Ref, Role, Structure
from guard.attribution.watchlist import Access

NOT_UNDERSTOOD = "not understood"

_WRITES = words("insert replace update merge copy load set call do execute import")
_ONLY_READS = words("select with values table explain show describe desc pragma")
#: PostgreSQL reads `t.f` as `f(t)` where t has no such column: functions that take any row.
ROW_FUNCTIONS = words("""
    row_to_json to_json to_jsonb json_agg jsonb_agg array_agg json_agg_strict jsonb_agg_strict count any_value
    hash_record hash_record_extended pg_typeof num_nulls num_nonnulls record_out record_send concat concat_ws
    quote_literal quote_nullable pg_column_size json_build_array jsonb_build_array json_build_object jsonb_build_object
    lag lead first_value last_value nth_value mode min max pg_column_compression pg_collation_for
""")


@dataclass(frozen=True, slots=True)
class Found:
    """One way in which a statement touches a column, or the table where `column` is empty."""

    column: str
    access: Access
    reason: str
    star: bool = False


def everything(columns: Collection[str], accesses: Collection[Access] = tuple(Access)) -> list[Found]:
    """What is said of a statement that is not understood."""
    return [Found(column, access, NOT_UNDERSTOOD) for column in columns for access in accesses]


def scan(statement: Structure, table: str, columns: Collection[str], vendor: str) -> list[Found]:
    """How the statement touches these columns of the table; an empty column stands for the table itself.

    Names are folded. Says more than is true where the text leaves it open, never less.
    """
    if statement.opaque or "uescape" in statement.names:
        return everything(columns, _accesses(statement))
    if table not in statement.names:
        return []
    if statement.odd or table in statement.loose:
        return everything(columns, _accesses(statement))
    unquoted = statement.keywords - reserved(vendor)
    if table in unquoted:
        return everything(columns, _accesses(statement))
    found = []
    for column in columns:
        if not column:
            found += _table(statement, table)
        elif column in unquoted:
            found += everything((column,), _accesses(statement))
    names = [column for column in columns if column and column not in unquoted]
    if names:
        found += _columns(statement, table, names, vendor)
    return found


def _accesses(statement: Structure) -> Sequence[Access]:
    if statement.kind in _ONLY_READS and statement.names.isdisjoint(_WRITES):
        return (Access.READ,)
    return tuple(Access)


def _table(statement: Structure, table: str) -> list[Found]:
    accesses = {
        Access.READ if use.role in (Role.SOURCE, Role.WHOLE) else Access.WRITE
        for use in statement.uses
        if use.table == table
    }
    if table in statement.types:
        accesses.add(Access.READ)
    return [Found("", access, "table") for access in Access if access in accesses]


def _columns(statement: Structure, table: str, columns: Sequence[str], vendor: str) -> list[Found]:
    uses = [use for use in statement.uses if use.table == table]
    found: list[Found] = []

    def may_be(group: Group, qualifier: str, *, unknown: bool = True, joining: bool = False) -> bool:
        """Whether a qualifier there may stand for the table: it does, or for a join with it, or `unknown` says so."""
        nearest = vendor == "postgresql" and statement.spellings.is_one_column(qualifier)
        bound = group.resolve(qualifier, nearest=nearest, joining=joining)
        if not bound:
            return unknown
        return table in bound or (Bound.JOINED in bound and _visible(group, table))

    said: set[tuple[Access, str]] = set()

    def all_columns(access: Access, reason: str) -> None:
        # A text may say it a thousand times.
        if (access, reason) not in said:
            said.add((access, reason))
            found.extend(Found(column, access, reason) for column in columns)

    if table in statement.types and vendor == "postgresql":
        all_columns(Access.READ, "whole row")
    if not uses:
        return found
    starred = False
    for use in uses:
        if use.all_columns:
            all_columns(Access.WRITE, "insert without columns")
        if use.star:
            starred = True
        if use.constraint:
            all_columns(Access.READ, "constraint")
        if use.group.natural:
            all_columns(Access.READ, "natural join")
        if use.group.renamed:
            all_columns(Access.READ, "alias column list")
    wanted = frozenset(columns)
    through_derived: set[str] = set()
    whole_rows = vendor == "postgresql" or (vendor == "sqlite" and "match" in statement.names)
    for qualifier, group in statement.stars:
        if table in group.tables if qualifier is None else may_be(group, qualifier):
            starred = True
    for ref in statement.refs:
        if ref.target is not None:
            if ref.target == table and ref.name in wanted:
                found.append(Found(ref.name, ref.access, "name"))
        elif ref.qualifier is not None:
            if ref.name in wanted:
                if may_be(ref.group, ref.qualifier, joining=ref.joining):
                    found.append(Found(ref.name, ref.access, "name"))
                else:
                    through_derived.add(ref.name)
            elif (
                vendor == "postgresql"
                and ref.name in ROW_FUNCTIONS
                and may_be(ref.group, ref.qualifier, joining=ref.joining)
            ):
                all_columns(Access.READ, "whole row")
        else:
            if ref.name in wanted:
                one = statement.spellings.is_one_column(ref.name)
                labelled = one and ref.plain_order and ref.name in ref.group.labels
                if _unqualified(ref, table, provided=one) and not labelled:
                    found.append(Found(ref.name, ref.access, "name"))
                else:
                    through_derived.add(ref.name)
            if whole_rows and may_be(ref.group, ref.name, unknown=False, joining=ref.joining):
                all_columns(Access.READ, "whole row")
    if starred:
        # A name that a subquery passes on from its star is a name all the same.
        for column in columns:
            if column in through_derived:
                found.append(Found(column, Access.READ, "name"))
            else:
                found.append(Found(column, Access.READ, "star", star=True))
    return found


def _unqualified(ref: Ref, table: str, *, provided: bool) -> bool:
    """Whether a name without qualifier may belong to the table.

    `provided`: whether columns that a source has for certain are held against it.
    """
    group = ref.group
    if table in (group.tables if ref.among is None else ref.among):
        return True
    # A source of its own query that has such a column comes before everything around it.
    if provided and not ref.joining and ref.name in group.provided:
        return False
    return any(table in other.tables for other in group.visible() if other is not group)


def _visible(group: Group, table: str) -> bool:
    """Whether an unqualified name there may belong to the table."""
    return any(table in each.tables for each in group.visible())
