"""Types as models and as catalogs write them."""

import pytest

from guard.schema import types

SAME = {
    "postgresql": [
        ("varchar(20)", "character varying(20)"),
        ("numeric(6, 2)", "numeric(6,2)"),
        ("varchar(10)[]", "character varying(10)[]"),
        ("timestamp with time zone", "timestamp with time zone"),
    ],
    "mysql": [
        ("integer", "int(11)"),
        ("integer UNSIGNED", "int(10) unsigned"),
        ("bool", "tinyint(1)"),
        ("json", "longtext"),
        ("bigint AUTO_INCREMENT", "bigint(20)"),
        ("double precision", "double"),
    ],
    "sqlite": [("integer unsigned", "integer unsigned"), ("decimal", "decimal")],
}
UNLIKE = {
    "postgresql": [("varchar(20)", "character varying(30)"), ("integer", "bigint"), ("varchar(10)[]", "text")],
    "mysql": [("integer", "int(10) unsigned"), ("datetime(6)", "datetime"), ("varchar(20)", "varchar(30)")],
    "sqlite": [("integer", "integer unsigned")],
}


@pytest.mark.parametrize(("vendor", "one", "other"), [(v, *pair) for v, pairs in SAME.items() for pair in pairs])
def test_the_same_type_in_other_words(vendor, one, other):
    assert types.read(one, vendor) == types.read(other, vendor) is not None


@pytest.mark.parametrize(("vendor", "one", "other"), [(v, *pair) for v, pairs in UNLIKE.items() for pair in pairs])
def test_another_type(vendor, one, other):
    found = types.read(one, vendor), types.read(other, vendor)

    assert None not in found
    assert found[0] != found[1]


@pytest.mark.parametrize("text", ["", "geometry(POINT,4326)", "citext", "enum('a','b')", "vector(3)", "int int int"])
def test_a_type_that_is_not_known_is_not_compared(text):
    assert types.read(text, "postgresql") is None
