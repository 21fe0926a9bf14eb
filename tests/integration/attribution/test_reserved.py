"""A word that guard takes for a keyword without a second look must be one: no column of that name answers to it."""

from __future__ import annotations

from django.db import DatabaseError, connections, transaction

from guard.attribution import keywords


def test_no_reserved_word_names_a_column_unless_it_is_quoted(alias: str) -> None:
    connection = connections[alias]
    quote = connection.ops.quote_name
    taken = []
    for word in sorted(keywords.reserved(connection.vendor)):
        try:
            with transaction.atomic(using=alias), connection.cursor() as cursor:
                # What is not the column may be a function, such as PostgreSQL's `user`.
                cursor.execute(f"SELECT {word} FROM (SELECT 'the column' AS {quote(word)}) x")
                if cursor.fetchall() == [("the column",)]:
                    taken.append(word)
        except DatabaseError:
            continue

    assert taken == []
