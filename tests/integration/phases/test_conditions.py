"""Check conditions, held against SQLite's own answer."""

import itertools

from django.apps.registry import Apps
from django.db import connection, models
from django.db.models import F, Q, Value
from django.db.models.functions import Lower
from django.db.models.sql import Query
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.phases import conditions

VALUES = (None, 0, 1, 2)
FIELDS = ("new", "other", "old")

ROW = type(
    "Row",
    (models.Model,),
    {name: models.IntegerField(null=True) for name in FIELDS}
    | {"Meta": type("Meta", (), {"app_label": "conditions", "apps": Apps()}), "__module__": __name__},
)

_sides = st.one_of(st.sampled_from([0, 1, 2]), st.sampled_from([Value(1), Value(None)]), st.sampled_from(FIELDS).map(F))
_lookups = st.one_of(
    st.tuples(st.sampled_from(FIELDS), st.sampled_from(["", "__exact", "__gt", "__gte", "__lt", "__lte"]), _sides),
    st.tuples(st.sampled_from(FIELDS), st.just("__isnull"), st.booleans()),
    st.tuples(st.sampled_from(FIELDS), st.just("__in"), st.lists(st.sampled_from([0, 1, 2]), min_size=1)),
    st.tuples(st.sampled_from(FIELDS), st.just("__range"), st.sampled_from([(0, 1), (1, 2), (2, 1)])),
    st.tuples(st.sampled_from(FIELDS), st.just("__ne"), st.just(1)),
).map(lambda parts: ~Q(**{parts[0]: parts[2]}) if parts[1] == "__ne" else Q(**{parts[0] + parts[1]: parts[2]}))
_conditions = st.recursive(
    _lookups,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: two[0] & two[1]),
        st.tuples(inner, inner).map(lambda two: two[0] | two[1]),
        inner.map(lambda one: ~one),
    ),
    max_leaves=4,
)


def _sql(condition):
    """The condition as a check constraint has it, over columns of those names."""
    query = Query(model=ROW, alias_cols=False)
    sql, params = query.build_where(condition).as_sql(query.get_compiler(connection=connection), connection)
    editor = connection.schema_editor()
    return sql % tuple(editor.quote_value(p) for p in params)


@settings(max_examples=150, deadline=None)
@given(_conditions, st.sampled_from(VALUES), st.sampled_from(VALUES))
def test_accepted_condition_is_never_false_whatever_the_other_columns_hold(condition, new, other):
    accepted = conditions.accepts(condition, {"new": new, "other": other})

    sql = _sql(condition)
    with connection.cursor() as cursor:
        answers = []
        for old in VALUES:
            cursor.execute(
                f"SELECT ({sql}) FROM (SELECT %s AS new, %s AS other, %s AS old) AS conditions_row",
                [new, other, old],
            )
            answers.append(cursor.fetchone()[0])
    if accepted:
        assert 0 not in answers


def test_it_is_precise_where_only_new_columns_are_compared():
    for low, value in itertools.product((0, 1), (0, 1, None)):
        assert conditions.accepts(Q(new__gt=low), {"new": value}) == (value is None or value > low)


def test_what_it_does_not_understand_may_be_false():
    assert not conditions.accepts(Q(new__contains="x"), {"new": "xy"})
    assert not conditions.accepts(Q(new=Lower("new")), {"new": "x"})
    assert not conditions.accepts(Lower("new"), {"new": "x"})
    assert not conditions.accepts(Q(new__gt="x"), {"new": 1})
    assert not conditions.accepts(Q(new=1) ^ Q(new=2), {"new": 1})
