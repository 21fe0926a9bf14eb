"""The GUARD setting, as one frozen, validated object."""

from __future__ import annotations

import dataclasses
import difflib
import os
import reprlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from guard.phases.words import Phase

#: Where a release label is looked for when GUARD["RELEASE"] is not set: what hosts and CI systems export, the
#: most specific first.
RELEASE_VARIABLES = (
    "SENTRY_RELEASE",
    "GIT_SHA",
    "GIT_COMMIT",
    "COMMIT_SHA",
    "SOURCE_VERSION",
    "HEROKU_SLUG_COMMIT",
    "HEROKU_BUILD_COMMIT",
    "RENDER_GIT_COMMIT",
    "RAILWAY_GIT_COMMIT_SHA",
    "GAE_VERSION",
    "K_REVISION",
    "CODEBUILD_RESOLVED_SOURCE_VERSION",
    "CIRCLE_SHA1",
    "GITHUB_SHA",
    "CI_COMMIT_SHA",
)

MAX_LABEL = 200

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100

E = TypeVar("E", bound=StrEnum)


class Mode(StrEnum):
    """What guard does with a plan: hold things back, only report, or nothing."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    OFF = "off"


class Strategy(StrEnum):
    """Whether a removal runs in two steps, or its migration waits as a whole."""

    SPLIT = "split"
    HOLD = "hold"


class OnMismatch(StrEnum):
    """What a server does whose models declare columns that the database has not."""

    REFUSE = "refuse"
    WARN = "warn"


class OnStaleAccess(StrEnum):
    """What becomes of a statement by which a release touches what one of its own migrations takes away."""

    RECORD = "record"
    #: For test suites: it fails.
    RAISE = "raise"


#: Witnesses that an operator may ask for beside the usual ones.
WITNESSES = ("sessions", "dependents")


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the GUARD setting."""

    key: str
    value: object
    expected: str
    hint: str = ""

    def __str__(self) -> str:
        # Shortened: a value may be as long as it likes, and its own repr may fail.
        value = _SHORT.repr(self.value)
        if not self.key:
            return f"GUARD is {value}; expected {self.expected}."
        return f"GUARD[{self.key!r}] is {value}; expected {self.expected}."


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """The GUARD setting. All durations are in seconds.

    What each key means and why its default is what it is: docs/settings.md.
    """

    release: str | None = None
    mode: Mode | None = None
    strategy: Strategy = Strategy.SPLIT
    lease: float = 90.0
    max_beats_per_second: float = 50.0
    lost_grace: float = 86_400.0
    quiet_period: float = 3_600.0
    rollback_window: float = 86_400.0
    keep_for: float = 7 * 86_400.0
    adoption_period: float = 7 * 86_400.0
    workload_window: float = 35 * 86_400.0
    lock_timeout: float = 0.2
    lock_patience: float = 30.0
    migrate_budget: float = 60.0
    debt_after: float = 14 * 86_400.0
    on_mismatch: OnMismatch = OnMismatch.REFUSE
    on_stale_access: OnStaleAccess = OnStaleAccess.RECORD
    #: By name, with patterns of what they pass over: known sessions, kinds of dependents.
    witnesses: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    environment: str | None = None
    #: Phases of whole migrations, by "app.name".
    phases: Mapping[str, Phase] = dataclasses.field(default_factory=dict)
    #: App label → the newest of its migrations that is history.
    baseline: Mapping[str, str] = dataclasses.field(default_factory=dict)
    project: str | None = None

    @property
    def beat_interval(self) -> float:
        """Seconds between two beats of an instance: a third of the lease."""
        return self.lease / 3


class _Bad(Exception):
    def __init__(self, expected: str) -> None:
        self.expected = expected


_MILLENNIUM = 1_000 * 365 * 86_400.0


def _seconds(minimum: float = 0.0) -> Callable[[object], float]:
    def read(value: object) -> float:
        if isinstance(value, timedelta):
            value = value.total_seconds()
        # bool is an int: True as a duration is a mistake, not one second.
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _Bad("a timedelta or a number of seconds")
        # NaN compares false with everything, so it fails here too. An integer may be too large for a float.
        if not minimum <= value <= _MILLENNIUM:
            raise _Bad(f"a duration from {minimum:g} s to 1,000 years")
        return float(value)

    return read


def _rate(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e9:
        raise _Bad("a number greater than 0 and at most 1,000,000,000")
    return float(value)


def _label(value: object) -> str | None:
    if value is None:
        return None
    # What is not printable cannot be said in a sentence, and some of it (half a surrogate pair) not be stored.
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_LABEL or not value.isprintable():
        raise _Bad(f"a non-empty string of at most {MAX_LABEL} printable characters, or None")
    return value.strip()


def _choice(kind: type[E]) -> Callable[[object], E]:
    def read(value: object) -> E:
        words = {str(member): member for member in kind}
        if not isinstance(value, str) or value not in words:
            raise _Bad("one of " + ", ".join(map(repr, words)))
        return words[value]

    return read


def _witnesses(value: object) -> dict[str, tuple[str, ...]]:
    if value is None:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for name, allowed in value.items() if isinstance(value, Mapping) else [("", None)]:
        if name not in WITNESSES or not isinstance(allowed, list | tuple) or not all(map(_is_text, allowed)):
            raise _Bad(
                'a dictionary of witnesses and what they are to pass over, such as {"sessions": ["metabase*"], '
                '"dependents": []}, or None'
            )
        found[name] = tuple(allowed)
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _phases(value: object) -> Mapping[str, Phase]:
    words = {str(member): member for member in Phase}
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and 0 < name.find(".") < len(name) - 1 and isinstance(phase, str) and phase in words
        for name, phase in value.items()
    ):
        raise _Bad(f'a dictionary from "app.migration" to one of {", ".join(map(repr, words))}')
    return {name: words[phase] for name, phase in value.items()}


def _baseline(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not all(
        isinstance(app, str) and app and isinstance(name, str) and name for app, name in value.items()
    ):
        raise _Bad("a dictionary from app labels to names of migrations")
    return dict(value)


_READERS: dict[str, Callable[[object], Any]] = {
    "RELEASE": _label,
    "MODE": _choice(Mode),
    "STRATEGY": _choice(Strategy),
    # Below a second, a heartbeat's own round trips would eat the lease.
    "LEASE": _seconds(1.0),
    "MAX_BEATS_PER_SECOND": _rate,
    "LOST_GRACE": _seconds(),
    "QUIET_PERIOD": _seconds(),
    "ROLLBACK_WINDOW": _seconds(),
    "KEEP_FOR": _seconds(),
    "ADOPTION_PERIOD": _seconds(),
    "WORKLOAD_WINDOW": _seconds(),
    "LOCK_TIMEOUT": _seconds(0.001),
    "LOCK_PATIENCE": _seconds(),
    "MIGRATE_BUDGET": _seconds(),
    "DEBT_AFTER": _seconds(),
    "ON_MISMATCH": _choice(OnMismatch),
    "ON_STALE_ACCESS": _choice(OnStaleAccess),
    "WITNESSES": _witnesses,
    "ENVIRONMENT": _label,
    "PHASES": _phases,
    "BASELINE": _baseline,
    "PROJECT": _label,
}


def parse(raw: object) -> tuple[Config, tuple[Problem, ...]]:
    """Read a GUARD setting: what it says, and every mistake in it.

    A key with a mistake keeps its default, so that the runtime can go on while checks and the gate refuse.
    """
    if raw is None:
        return Config(), ()
    if not isinstance(raw, Mapping):
        return Config(), (Problem("", raw, "a dictionary"),)
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in raw.items():
        name = key if isinstance(key, str) else _SHORT.repr(key)
        reader = _READERS.get(key) if isinstance(key, str) else None
        if reader is None:
            close = difflib.get_close_matches(name.upper(), _READERS, n=1)
            problems.append(
                Problem(
                    name,
                    value,
                    "no key of that name",
                    f"Did you mean {close[0]!r}?" if close else "The keys are: " + ", ".join(_READERS) + ".",
                )
            )
            continue
        try:
            values[key.lower()] = reader(value)
        except _Bad as bad:
            problems.append(Problem(key, value, bad.expected))
    return Config(**values), tuple(problems)


_cached: tuple[Config, tuple[Problem, ...]] | None = None


def _load() -> tuple[Config, tuple[Problem, ...]]:
    global _cached
    if _cached is None:
        _cached = parse(getattr(settings, "GUARD", None))
    return _cached


def get() -> Config:
    """The project's configuration; keys with a mistake have their default."""
    return _load()[0]


def problems() -> tuple[Problem, ...]:
    """Every mistake in the GUARD setting."""
    return _load()[1]


def strict() -> Config:
    """The project's configuration, for code that must not guess.

    Raises ImproperlyConfigured, naming every mistake.
    """
    config, mistakes = _load()
    if mistakes:
        raise ImproperlyConfigured(" ".join(str(mistake) for mistake in mistakes))
    return config


def release_from(environ: Mapping[str, str]) -> str | None:
    """The release label that the environment gives, if any of the usual variables is set."""
    for name in RELEASE_VARIABLES:
        value = "".join(c if c.isprintable() else "?" for c in environ.get(name, "").strip())
        if value:
            return value[:MAX_LABEL]
    return None


def release_label(config: Config) -> str | None:
    """The label of this release: GUARD["RELEASE"], else from the environment, else None."""
    return config.release or release_from(os.environ)


def _forget(*, setting: str, **_: object) -> None:
    global _cached
    if setting == "GUARD":
        _cached = None


setting_changed.connect(_forget, dispatch_uid="guard.conf")
