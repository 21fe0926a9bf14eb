"""What the log, the signals and a real sentry-sdk get to hear of an event."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from django.dispatch import Signal
from sentry_sdk.integrations.logging import LoggingIntegration

from guard import alerts, events, signals

STALE = events.StaleAccess(
    alias="default",
    release="2024.7",
    table="shop_product",
    column="is_enabled",
    migration="shop.0004_remove_product_is_enabled",
    workload="web",
    access="read",
    call_site="shop/views.py:12 in index",
    route="products/",
    shape="SELECT is_enabled FROM shop_product",
)
REFUSED = events.ReleaseRefused(
    alias="default",
    release="2024.6",
    workload="web",
    instance="abc",
    reasons=("shop_product.is_enabled was set aside.", "shop_product.sku was set aside."),
)
CHANGED = events.StepChanged(
    alias="default",
    release="2024.7",
    step=1,
    target="shop_product.is_enabled",
    migration="shop.0004",
    before="waiting",
    after="aside",
    actor="deploy@ci",
)
ORDER = events.OrderGiven(
    alias="default",
    release="2024.7",
    action="allow",
    target="shop_product.is_enabled",
    actor="ann@ops",
    reason="the old hosts are off",
    job="https://ci.example/7",
)


@pytest.fixture
def sentry() -> Iterator[list[dict[str, Any]]]:
    """sentry-sdk, initialised as a project does it, with what it sends kept here."""
    sent: list[dict[str, Any]] = []

    class Keep(sentry_sdk.transport.Transport):
        def capture_envelope(self, envelope: Any) -> None:
            event = envelope.get_event()
            if event is not None:
                sent.append(event)

    sentry_sdk.init(
        dsn="https://key@sentry.invalid/1",
        transport=Keep,
        release="as Sentry knows it",
        # The one that turns log lines into events; others patch more than these tests can give back.
        default_integrations=False,
        integrations=[LoggingIntegration()],
    )
    yield sent
    sentry_sdk.get_global_scope().set_client(None)


def test_sentry_gets_one_event_grouped_by_column_and_call_site(sentry: list[dict[str, Any]]) -> None:
    alerts.alert(STALE)
    (event,) = sentry
    assert event["tags"] == {
        "table": "shop_product",
        "column": "is_enabled",
        "migration": "shop.0004_remove_product_is_enabled",
        "release": "2024.7",
        "workload": "web",
        "alias": "default",
    }
    assert event["level"] == "warning"
    assert "shop/views.py:12 in index" in event["message"]
    assert event["contexts"]["guard"]["statement"] == STALE.shape


def test_sentry_groups_by_table_column_and_call_site_alone(sentry: list[dict[str, Any]]) -> None:
    for change in (
        {},
        {"release": "2024.8", "workload": "command:nightly", "route": "other/", "shape": "SELECT 1", "access": "write"},
        {"call_site": "shop/views.py:40 in detail"},
        {"column": "sku"},
        {"table": "shop_order"},
    ):
        alerts.alert(dataclasses.replace(STALE, **change))
    groups = [tuple(event["fingerprint"]) for event in sentry]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 4


def test_a_refusal_is_one_error_in_sentry_though_it_is_logged(
    sentry: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    alerts.alert(REFUSED)
    assert [(event["level"], event["contexts"]["guard"]["reasons"]) for event in sentry] == [
        ("error", list(REFUSED.reasons))
    ]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_step_that_changed_is_told_to_sentry(sentry: list[dict[str, Any]]) -> None:
    alerts.alert(CHANGED)
    assert [(event["level"], event["tags"]["target"]) for event in sentry] == [("info", "shop_product.is_enabled")]


def test_long_tags_are_cut(sentry: list[dict[str, Any]]) -> None:
    alerts.alert(dataclasses.replace(STALE, migration="m" * 300))
    assert sentry[0]["tags"]["migration"] == "m" * 200


def test_sentry_hears_of_each_order_and_who_answers_for_it(sentry: list[dict[str, Any]]) -> None:
    alerts.alert(ORDER)
    alerts.alert(dataclasses.replace(ORDER, action="freeze", target=""))
    order, freeze = sentry
    assert order["fingerprint"] == ["guard", "order", "allow", "shop_product.is_enabled"]
    assert order["tags"] == {
        "alias": "default",
        "release": "2024.7",
        "order": "allow",
        "target": "shop_product.is_enabled",
    }
    assert order["contexts"]["guard"] == {
        "reason": "the old hosts are off",
        "actor": "ann@ops",
        "job": "https://ci.example/7",
    }
    assert freeze["fingerprint"] == ["guard", "order", "freeze", ""]


def test_nothing_is_sent_where_sentry_is_not_initialised(caplog: pytest.LogCaptureFixture) -> None:
    assert alerts._initialised_sentry() is None
    alerts.alert(STALE)
    assert len(caplog.records) == 1


def test_sentry_is_not_imported_by_guard() -> None:
    code = (
        "import sys, django, os\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'\n"
        "django.setup()\n"
        "from guard import alerts, events\n"
        "alerts.alert(events.Event('default', 'r'))\n"
        "print('sentry_sdk' in sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"


@pytest.mark.parametrize(
    ("event", "level", "words"),
    [
        (STALE, logging.WARNING, ["2024.7 reads shop_product.is_enabled", "shop/views.py:12 in index (products/)"]),
        (dataclasses.replace(STALE, access="write", call_site=""), logging.WARNING, ["writes", "in products/, but"]),
        (dataclasses.replace(STALE, column=""), logging.WARNING, ["reads shop_product in"]),
        (REFUSED, logging.ERROR, ["2024.6 (web)", "is_enabled was set aside. shop_product.sku was set aside."]),
        (CHANGED, logging.INFO, ["shop_product.is_enabled", "from waiting to aside, by deploy@ci"]),
        (ORDER, logging.WARNING, ["ann@ops said: allow shop_product.is_enabled", "the old hosts are off"]),
    ],
    ids=["stale read", "stale write", "whole table", "refused", "changed", "order"],
)
def test_the_log_says_it_in_a_sentence(
    event: events.Event, level: int, words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="guard")
    alerts.alert(event)
    (record,) = caplog.records
    assert record.levelno == level
    assert record.name.startswith("guard")
    assert all(word in record.message for word in words), record.message


@pytest.mark.parametrize(
    ("signal", "event"),
    [
        (signals.stale_access, STALE),
        (signals.release_refused, REFUSED),
        (signals.step_changed, CHANGED),
        (signals.order_given, ORDER),
    ],
    ids=["stale_access", "release_refused", "step_changed", "order_given"],
)
def test_each_event_has_its_signal(signal: Signal, event: events.Event) -> None:
    heard: list[object] = []

    def receiver(sender: object, event: events.Event, **kwargs: object) -> None:
        heard.append((sender, event))

    signal.connect(receiver)
    try:
        alerts.alert(event)
    finally:
        signal.disconnect(receiver)
    assert heard == [(type(event), event)]


def test_a_receiver_that_fails_keeps_nobody_else_from_hearing(
    sentry: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**kwargs: object) -> None:
        raise RuntimeError("a bug in the project")

    heard: list[object] = []

    def sound(event: events.Event, **kwargs: object) -> None:
        heard.append(event)

    signals.stale_access.connect(broken)
    signals.stale_access.connect(sound)
    try:
        events.publish(STALE)
    finally:
        signals.stale_access.disconnect(broken)
        signals.stale_access.disconnect(sound)
    assert heard == [STALE]
    assert [event for event in sentry if event.get("logger") == "guard"] == sentry[:1]
    assert any("a bug in the project" in record.message for record in caplog.records)


def test_subscribing_twice_alerts_once() -> None:
    alerts.subscribe()
    alerts.subscribe()
    assert events.subscribers.count(alerts.alert) == 1
