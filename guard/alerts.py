"""Alerts: the log, Django signals and Sentry, each from the same event object."""

from __future__ import annotations

import logging
import sys
from functools import singledispatch
from typing import Any

from django.dispatch import Signal

from guard import events, signals

#: A child of "guard", so that Sentry's logging integration can be told to leave it alone: the event itself goes there.
logger = logging.getLogger("guard.alerts")

# Sentry refuses longer tags.
_MAX_TAG = 200


def subscribe() -> None:
    """Hear of every event; does nothing the second time."""
    if alert not in events.subscribers:
        events.subscribers.append(alert)


def alert(event: events.Event) -> None:
    """Pass an event on to everybody. One way that fails does not keep it from the others."""
    # Sentry first: it also keeps the log line from becoming a second event.
    for way in (_sentry, _log, _signal):
        try:
            way(event)
        except Exception:
            logger.exception("guard: an alert could not be passed on.")


@singledispatch
def _text(event: events.Event) -> tuple[int, str]:
    """The level and the sentence of an event."""
    return logging.INFO, str(event)


@_text.register
def _(event: events.StaleAccess) -> tuple[int, str]:
    target = f"{event.table}.{event.column}" if event.column else event.table
    verb = "writes" if event.access == "write" else "reads"
    where = event.call_site or event.route or "a statement of no known origin"
    through = f" ({event.route})" if event.call_site and event.route else ""
    return (
        logging.WARNING,
        f"Release {event.release} {verb} {target} in {where}{through}, but it has migration {event.migration}, which "
        f"takes it away. Make that code do without it before it is gone. Statement: {event.shape}",
    )


@_text.register
def _(event: events.ReleaseRefused) -> tuple[int, str]:
    return (
        logging.ERROR,
        f"Release {event.release} ({event.workload}) does not fit the database {event.alias!r}. "
        + " ".join(event.reasons),
    )


@_text.register
def _(event: events.StepChanged) -> tuple[int, str]:
    return (
        logging.INFO,
        f"The contract step for {event.target} (migration {event.migration}) went from {event.before} to "
        f"{event.after}, by {event.actor}.",
    )


@_text.register
def _(event: events.OrderGiven) -> tuple[int, str]:
    what = f"{event.action} {event.target}".strip()
    return logging.WARNING, f"{event.actor} said: {what}. Reason: {event.reason}"


def _log(event: events.Event) -> None:
    level, text = _text(event)
    logger.log(level, "guard: %s", text)


_SIGNALS: dict[type[events.Event], Signal] = {
    events.StaleAccess: signals.stale_access,
    events.ReleaseRefused: signals.release_refused,
    events.StepChanged: signals.step_changed,
    events.OrderGiven: signals.order_given,
}


def _signal(event: events.Event) -> None:
    found = _SIGNALS.get(type(event))
    if found is None:
        return
    # Django logs receivers that fail.
    found.send_robust(sender=type(event), event=event)


def _sentry(event: events.Event) -> None:
    sentry = _initialised_sentry()
    if sentry is None:
        return
    level, text = _text(event)
    tags, fingerprint, details = _for_sentry(event)
    sentry.capture_event(
        {
            "message": text,
            "level": logging.getLevelName(level).lower(),
            "logger": "guard",
            "fingerprint": ["guard", *fingerprint],
            "tags": {name: value[:_MAX_TAG] for name, value in tags.items() if value},
            "contexts": {"guard": details},
        }
    )


def _initialised_sentry() -> Any | None:
    # Whoever has initialised it has imported it.
    sentry = sys.modules.get("sentry_sdk")
    if sentry is None or not sentry.get_client().is_active():
        return None
    from sentry_sdk.integrations.logging import ignore_logger

    ignore_logger(logger.name)
    return sentry


@singledispatch
def _for_sentry(event: events.Event) -> tuple[dict[str, str], list[str], dict[str, Any]]:
    """Tags, what groups it, and details."""
    return {"release": event.release, "alias": event.alias}, [type(event).__name__], {}


@_for_sentry.register
def _(event: events.StaleAccess) -> tuple[dict[str, str], list[str], dict[str, Any]]:
    return (
        {
            "table": event.table,
            "column": event.column,
            "migration": event.migration,
            "release": event.release,
            "workload": event.workload,
            "alias": event.alias,
        },
        ["stale access", event.table, event.column, event.call_site],
        {
            "access": event.access,
            "call site": event.call_site,
            "route": event.route,
            "statement": event.shape,
        },
    )


@_for_sentry.register
def _(event: events.ReleaseRefused) -> tuple[dict[str, str], list[str], dict[str, Any]]:
    return (
        {"release": event.release, "workload": event.workload, "alias": event.alias},
        ["release refused", event.release, *event.reasons],
        {"instance": event.instance, "reasons": list(event.reasons)},
    )


@_for_sentry.register
def _(event: events.StepChanged) -> tuple[dict[str, str], list[str], dict[str, Any]]:
    return (
        {"migration": event.migration, "release": event.release, "target": event.target, "alias": event.alias},
        ["step changed", event.target, event.after],
        {"before": event.before, "after": event.after, "actor": event.actor},
    )


@_for_sentry.register
def _(event: events.OrderGiven) -> tuple[dict[str, str], list[str], dict[str, Any]]:
    return (
        {"release": event.release, "order": event.action, "target": event.target, "alias": event.alias},
        ["order", event.action, event.target],
        {"reason": event.reason, "actor": event.actor, **({"job": event.job} if event.job else {})},
    )
