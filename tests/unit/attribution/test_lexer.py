"""The quick way to split plain statements says what the careful way says."""

from __future__ import annotations

import pytest

from guard.attribution import lexer
from tests.integration.attribution import handwritten
from tests.unit.attribution.asking import VENDORS

PATTERNS = {"postgresql": lexer._POSTGRESQL, "sqlite": lexer._SQLITE, "mysql": lexer._MYSQL}
#: More of what the ORM writes, and some of what it does not.
MORE = [
    'SELECT "a"."b" AS "c", COUNT(*) AS "n" FROM "a" WHERE ("a"."b" >= %s AND NOT ("a"."x" <> 1.50)) LIMIT 21',
    "UPDATE `a` SET `b` = CASE WHEN (`a`.`id` = %s) THEN %s ELSE NULL END WHERE `a`.`id` IN (%s, %s)",
    'SELECT ("a"."b")::numeric(4, 2) || "a"."c" -> %s ->> %s FROM "a"',
    "SELECT a %s, b FROM c WHERE d = 2 *3 OR e=-1 AND f<=g",
    "SELECT a.b FROM c.d AS e ORDER BY 1 DESC,2 ASC",
    "select\ta\r\nfrom\fb where c is not null",
    'SELECT "A b"."Ünï" FROM t',
    'SELECT "unclosed FROM a',
    "SELECT ` FROM a",
    "SELECT a := b",
    'SELECT a1_2b, T3."c4d" FROM e5f T3 WHERE g=1 AND h IN (10,2.5)',
    "SELECT 12a, 1e5, .5, a.5, 5.b, 0x1f, 1_000 FROM t",
    "SELECT a-1b FROM t",
    "SELECT x.y::text || (2)::int FROM t WHERE a = %s::int",
    "",
]


@pytest.mark.parametrize("vendor", VENDORS)
def test_both_ways_say_the_same(vendor: str) -> None:
    statements = [*handwritten.fixed(vendor), *handwritten.generated(vendor, 1_500), *MORE]
    plain = [sql for sql in statements if lexer._is_plain(sql)]
    split = {sql: lexer._split_plain(sql, vendor) for sql in plain}

    assert len(plain) > 250
    assert [
        (sql, tokens)
        for sql, tokens in split.items()
        if tokens is not None and tokens != lexer._split(sql, PATTERNS[vendor], vendor, 3_000, [])
    ] == []


@pytest.mark.parametrize("vendor", VENDORS)
def test_what_is_never_closed_is_left_to_the_careful_way(vendor: str) -> None:
    assert lexer._split_plain('SELECT "unclosed FROM a', vendor) is None
    assert lexer._split_plain("SELECT `unclosed FROM a", vendor) is None or vendor == "postgresql"


def test_names_that_postgresql_would_cut_are_left_to_the_careful_way() -> None:
    name = "n" * 70

    assert next(lexer.readings(f'SELECT {name} FROM "{name}"', "postgresql", 100)) == [
        "select", "n" * 63, "from", '"' + "n" * 63,
    ]  # fmt: skip
