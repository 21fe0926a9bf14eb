"""The GUARD setting: every key, every kind of mistake."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from guard import conf
from guard.conf import Config, Mode, OnMismatch, Problem, Strategy
from guard.phases import Phase

DURATIONS = [
    "LEASE",
    "LOST_GRACE",
    "QUIET_PERIOD",
    "ROLLBACK_WINDOW",
    "KEEP_FOR",
    "ADOPTION_PERIOD",
    "WORKLOAD_WINDOW",
    "LOCK_TIMEOUT",
    "LOCK_PATIENCE",
    "MIGRATE_BUDGET",
    "DEBT_AFTER",
]
LABELS = ["RELEASE", "ENVIRONMENT", "PROJECT"]
CHOICES = {"MODE": Mode, "STRATEGY": Strategy, "ON_MISMATCH": OnMismatch, "ON_STALE_ACCESS": conf.OnStaleAccess}
KEYS = [*DURATIONS, *LABELS, *CHOICES, "MAX_BEATS_PER_SECOND", "WITNESSES", "PHASES", "BASELINE"]


def read(**raw: object) -> Config:
    """What a setting without mistakes says."""
    config, problems = conf.parse(raw)
    assert problems == ()
    return config


def mistake(raw: object) -> Problem:
    """The only mistake of a setting, which keeps every default."""
    config, problems = conf.parse(raw)
    assert config == Config()
    (problem,) = problems
    return problem


@pytest.mark.parametrize(
    "value", [["shop.0001"], {"shop": "expand"}, {"shop.0001": "sideways"}, {1: "expand"}, {"a.": "expand"}]
)
def test_phases_are_given_by_migration(value: object) -> None:
    assert conf.parse({"PHASES": {"shop.0007_x": "contract"}})[0].phases == {"shop.0007_x": Phase.CONTRACT}

    config, (problem,) = conf.parse({"PHASES": value})

    assert (problem.key, config.phases) == ("PHASES", {})
    assert "'contract'" in problem.expected


@pytest.mark.parametrize("value", ["0042", {"shop": 42}, {"": "0042"}, {"shop": ""}])
def test_baseline_is_given_by_app(value: object) -> None:
    assert conf.parse({"BASELINE": {"shop": "0042_x"}})[0].baseline == {"shop": "0042_x"}

    config, (problem,) = conf.parse({"BASELINE": value})

    assert (problem.key, config.baseline) == ("BASELINE", {})


def test_the_keys_tested_here_are_all_there_are() -> None:
    assert sorted(KEYS) == sorted(conf._READERS)
    assert {key.lower() for key in KEYS} == set(Config.__slots__)


@pytest.mark.parametrize("nothing", [None, {}])
def test_nothing_said_means_the_defaults(nothing: object) -> None:
    config, problems = conf.parse(nothing)
    assert (config, problems) == (Config(), ())
    assert config.lease == 90
    assert config.beat_interval == 30
    assert (config.lost_grace, config.rollback_window, config.keep_for) == (86_400, 86_400, 7 * 86_400)
    assert (config.mode, config.strategy, config.on_mismatch) == (None, Strategy.SPLIT, OnMismatch.REFUSE)


@pytest.mark.parametrize("key", DURATIONS)
@pytest.mark.parametrize(
    ("value", "seconds"), [(timedelta(minutes=2), 120.0), (7, 7.0), (1.5, 1.5), (timedelta(days=400), 34_560_000.0)]
)
def test_a_duration_is_a_timedelta_or_seconds(key: str, value: object, seconds: float) -> None:
    found = getattr(read(**{key: value}), key.lower())
    assert (found, type(found)) == (seconds, float)


@pytest.mark.parametrize("key", [key for key in DURATIONS if key not in ("LEASE", "LOCK_TIMEOUT")])
def test_a_window_may_be_nothing(key: str) -> None:
    assert getattr(read(**{key: 0}), key.lower()) == 0


@pytest.mark.parametrize("key", DURATIONS)
@pytest.mark.parametrize(
    "value",
    [None, "90", "", True, False, [90], -1, -0.001, timedelta(seconds=-1), math.nan, math.inf, -math.inf, 10**400, 1j],
    ids=repr,
)
def test_what_is_no_duration_is_one_mistake(key: str, value: object) -> None:
    problem = mistake({key: value})
    assert (problem.key, problem.value) == (key, value) or value != value
    assert "seconds" in problem.expected or "1,000 years" in problem.expected
    assert str(problem).startswith(f"GUARD[{key!r}] is ")
    assert problem.expected in str(problem)


@pytest.mark.parametrize(("key", "shortest"), [("LEASE", 1), ("LOCK_TIMEOUT", 0.001)])
def test_some_durations_have_a_least_value(key: str, shortest: float) -> None:
    read(**{key: shortest})
    assert f"from {shortest:g} s" in mistake({key: shortest * 0.99}).expected


@pytest.mark.parametrize("value", [0, -1, True, None, "50", math.nan, math.inf, 10**400])
def test_what_is_no_rate_is_one_mistake(value: object) -> None:
    assert "greater than 0" in mistake({"MAX_BEATS_PER_SECOND": value}).expected
    assert read(MAX_BEATS_PER_SECOND=0.5).max_beats_per_second == 0.5


@pytest.mark.parametrize("key", LABELS)
def test_a_label_is_a_short_printable_text(key: str) -> None:
    assert getattr(read(**{key: "  v1.2-β 🐘 "}), key.lower()) == "v1.2-β 🐘"
    assert getattr(read(**{key: None}), key.lower()) is None
    assert getattr(read(**{key: "x" * 200}), key.lower()) == "x" * 200


@pytest.mark.parametrize("key", LABELS)
@pytest.mark.parametrize(
    "value", ["", "   ", "x" * 201, "a\nb", "a\0b", "a\x7fb", "\ud800", b"v1", 7, ["v1"]], ids=ascii
)
def test_what_is_no_label_is_one_mistake(key: str, value: object) -> None:
    problem = mistake({key: value})
    assert (problem.key, problem.value) == (key, value)
    assert "200 printable characters" in problem.expected


@pytest.mark.parametrize("key", CHOICES)
def test_a_choice_is_one_of_its_words(key: str) -> None:
    for word in CHOICES[key]:
        assert getattr(read(**{key: str(word)}), key.lower()) is word
        assert getattr(read(**{key: word}), key.lower()) is word


@pytest.mark.parametrize("key", CHOICES)
@pytest.mark.parametrize("value", ["", "ENFORCE", "Split", None, True, 1, [], {}], ids=repr)
def test_what_is_no_choice_is_one_mistake_that_names_the_words(key: str, value: object) -> None:
    problem = mistake({key: value})
    assert (problem.key, problem.value) == (key, value)
    assert all(repr(str(word)) in problem.expected for word in CHOICES[key])


@pytest.mark.parametrize(("key", "meant"), [("LEESE", "LEASE"), ("lease", "LEASE"), ("QUIET_PERIODS", "QUIET_PERIOD")])
def test_an_unknown_key_is_one_mistake_that_names_the_nearest(key: str, meant: str) -> None:
    problem = mistake({key: 5})
    assert str(problem) == f"GUARD[{key!r}] is 5; expected no key of that name."
    assert problem.hint == f"Did you mean {meant!r}?"


@pytest.mark.parametrize("key", ["", "xyzzy", 3, None, ("LEASE",), b"LEASE"], ids=repr)
def test_a_key_like_no_other_is_one_mistake_that_names_them_all(key: object) -> None:
    problem = mistake({key: 5})
    assert problem.expected == "no key of that name"
    assert "LEASE" in problem.hint


@pytest.mark.parametrize("raw", ["RELEASE", 7, ["RELEASE"], ("RELEASE",), True])
def test_what_is_no_dictionary_is_one_mistake(raw: object) -> None:
    problem = mistake(raw)
    assert str(problem).startswith("GUARD is ")
    assert str(problem).endswith("; expected a dictionary.")


def test_every_mistake_is_reported_and_what_is_right_is_kept() -> None:
    config, problems = conf.parse({"LEASE": -1, "MODE": "off", "NOPE": 1, "RELEASE": "r1", "KEEP_FOR": "7d"})
    assert [problem.key for problem in problems] == ["LEASE", "NOPE", "KEEP_FOR"]
    assert config == Config(mode=Mode.OFF, release="r1")


class Awkward:
    """Cannot say what it is, nor whether it equals anything."""

    def __repr__(self) -> str:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


def test_a_value_that_cannot_be_shown_is_reported_all_the_same() -> None:
    for key in KEYS:
        assert "Awkward" in str(mistake({key: Awkward()}))
    assert len(str(mistake({"LEASE": "x" * 10_000}))) < 300


anything: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.timedeltas()
    | st.complex_numbers()
    | st.dates()
    | st.just(10**400)
    | st.sampled_from([*Mode, *Strategy, *OnMismatch, "enforce", "off", "split"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.one_of(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=12), anything, max_size=20), anything))
def test_nothing_makes_reading_fail_and_each_mistake_is_said_once(raw: object) -> None:
    config, problems = conf.parse(raw)
    assert isinstance(config, Config)
    said = [problem.key for problem in problems]
    assert len(said) == len(set(said))
    for problem in problems:
        assert str(problem)
        assert problem.expected
        if isinstance(raw, dict):
            assert problem.key in raw
            # The runtime goes on with the default.
            if problem.key in KEYS:
                assert getattr(config, problem.key.lower()) == getattr(Config(), problem.key.lower())
    if isinstance(raw, dict):
        for key in set(raw) - set(said):
            assert key in KEYS


@given(st.dictionaries(st.sampled_from(KEYS), anything, max_size=20))
def test_whatever_is_taken_over_is_of_its_kind(raw: dict[str, object]) -> None:
    config, _ = conf.parse(raw)
    for key in DURATIONS:
        assert 0 <= getattr(config, key.lower()) < math.inf
    assert config.lease >= 1
    assert config.lock_timeout > 0
    for key in LABELS:
        label = getattr(config, key.lower())
        assert label is None or (label.isprintable() and 0 < len(label) <= 200)
        assert label is None or label.encode()


# What surrounds it


def test_strict_names_every_mistake_and_get_goes_on() -> None:
    with override_settings(GUARD={"LEASE": -1, "NOPE": 1, "RELEASE": "r9"}):
        assert conf.get() == Config(release="r9")
        assert len(conf.problems()) == 2
        with pytest.raises(ImproperlyConfigured, match=r"GUARD\['LEASE'\].*GUARD\['NOPE'\]"):
            conf.strict()
    assert conf.strict().release == "tests"


@pytest.mark.parametrize("variable", conf.RELEASE_VARIABLES)
def test_each_usual_variable_gives_the_release(variable: str) -> None:
    assert conf.release_from({variable: " v1.2 \n", "OTHER": "x"}) == "v1.2"
    assert conf.release_from({variable: "  "}) is None
    assert conf.release_from({variable: "x" * 999}) == "x" * 200
    # As os.environ gives bytes that are no UTF-8.
    assert conf.release_from({variable: "a\tb\udcff"}) == "a?b?"


def test_the_most_specific_variable_wins() -> None:
    every = {name: name for name in conf.RELEASE_VARIABLES}
    for name in conf.RELEASE_VARIABLES:
        assert conf.release_from(every) == name
        del every[name]
    assert conf.release_from(every) is None


def test_a_configured_release_comes_before_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in conf.RELEASE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert conf.release_label(Config()) is None
    monkeypatch.setenv("GIT_SHA", "abc")
    assert conf.release_label(Config()) == "abc"
    assert conf.release_label(Config(release="r1")) == "r1"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, {}),
        ({}, {}),
        ({"sessions": []}, {"sessions": ()}),
        ({"sessions": ("psql", "b*")}, {"sessions": ("psql", "b*")}),
        ({"dependents": ["event"]}, {"dependents": ("event",)}),
    ],
)
def test_witnesses_are_named_with_who_is_known_to_them(value: object, found: object) -> None:
    assert read(WITNESSES=value).witnesses == found


@pytest.mark.parametrize(
    "value", [True, "sessions", ["sessions"], {"locks": []}, {"sessions": "psql"}, {"sessions": [""]}]
)
def test_a_witness_that_is_not_there_is_a_mistake(value: object) -> None:
    assert "a dictionary of witnesses" in mistake({"WITNESSES": value}).expected
