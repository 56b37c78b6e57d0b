"""What holds at a moment: each kind of rule at the edge of its limit."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tailmetrics.objectives.alerts.ledger import SECOND_US, Indicator, Ledger
from tailmetrics.objectives.alerts.rules import (
    Condition,
    Rules,
    bucket_seconds,
    indicator_of,
    key_of,
    length_text,
)
from tailmetrics.objectives.definitions import Document, Maintenance, Objective
from tailmetrics.stats import RequestFilter
from tailmetrics.status import SourceStatus
from tailmetrics.windows import to_us
from tests.builders import at
from tests.objectives.alerts.requests_in_memory import HOUR, MINUTE, Requests, minute_of

NOW = at("2026-03-01T12:00")
RULE = {"burn_rate": 14.4, "long": "1h", "short": "5m"}
SOURCE = SourceStatus("id", "/logs/a.log", 1, 7, 0, 100, 100, 0, 0.0, "live")


def conditions(
    requests: Requests | None = None, sources: tuple[SourceStatus, ...] = (), **tables: Any
) -> list[Condition]:
    rules = Rules(Document.model_validate(tables))
    ledger = Ledger((requests or Requests()).store, rules.windows, rules.bucket_us)
    asyncio.run(ledger.update(to_us(NOW)))
    return rules.conditions(ledger, sources)


def incident(good: int, bad: int, minutes_ago: int = 1) -> Requests:
    requests = Requests()
    requests.commit(minute_of(NOW - minutes_ago * MINUTE, "a", good, bad))
    return requests


@pytest.mark.parametrize(("good", "bad", "burning"), [(856, 144, True), (857, 143, False), (85, 15, True)])
def test_a_budget_burns_from_the_very_limit_on(good: int, bad: int, burning: bool) -> None:
    found = conditions(incident(good, bad), objective=[{"name": "up", "target": 99.0}], rule=[RULE])
    assert [(each.kind, each.name, each.subject, each.limit) for each in found] == [
        ("burn_rate", "up", "a", 14.4)
    ] * burning


def test_the_condition_of_a_burn_says_its_figures() -> None:
    [found] = conditions(incident(80, 20), objective=[{"name": "up", "target": 99.0}], rule=[RULE])
    assert found.value == pytest.approx(20)
    assert found.summary == (
        "the budget burns 20 and 20 times as fast as it may, over 1h and 5m (the limit is 14.4): 20 of 100 "
        "requests in 1h failed"
    )


def test_a_burn_of_the_long_window_alone_is_over() -> None:
    assert conditions(incident(0, 500, 6), objective=[{"name": "up", "target": 99.0}], rule=[RULE]) == []


def test_a_burn_of_the_short_window_alone_has_not_begun() -> None:
    requests = incident(0, 100)
    requests.commit(minute_of(NOW - HOUR, "a", 900, 0))
    assert conditions(requests, objective=[{"name": "up", "target": 99.0}], rule=[RULE]) == []


@pytest.mark.parametrize(("minimum", "number"), [(100, 1), (101, 0)])
def test_few_requests_say_nothing(minimum: int, number: int) -> None:
    rule = {**RULE, "min_requests": minimum}
    found = conditions(incident(0, 100), objective=[{"name": "up", "target": 99.0}], rule=[rule])
    assert len(found) == number


def test_without_rules_in_the_file_those_of_the_workbook_hold() -> None:
    found = conditions(incident(0, 100), objective=[{"name": "up", "target": 99.9}])
    assert [(each.limit, each.severity) for each in found] == [(14.4, "page"), (6, "page"), (1, "ticket")]
    assert len({each.key for each in found}) == 3


def test_only_customers_of_the_objective_are_looked_at() -> None:
    requests = incident(0, 100)
    requests.commit(minute_of(NOW - MINUTE, "shop-1", 0, 100))
    found = conditions(
        requests, objective=[{"name": "up", "target": 99.0, "customers": ["shop-*", "b"]}], rule=[RULE]
    )
    assert [each.subject for each in found] == ["shop-1"]


def test_an_objective_of_latency_burns_by_slow_requests() -> None:
    requests = Requests()
    requests.commit(minute_of(NOW - MINUTE, "a", 70, 0, duration=0.1))
    requests.commit(minute_of(NOW - MINUTE, "a", 30, 0, duration=0.5))
    objective = {"name": "fast", "target": 99.0, "kind": "latency", "limit_seconds": 0.5}
    [found] = conditions(requests, objective=[objective], rule=[RULE])
    assert found.value == pytest.approx(30)
    assert found.summary.endswith("30 of 100 requests in 1h took 0.5 s or longer")


@pytest.mark.parametrize(("minutes_ago", "silent"), [(10, False), (11, True), (20, True), (21, False)])
def test_a_customer_is_silent_after_a_time_and_gone_after_twice_that(minutes_ago: int, silent: bool) -> None:
    found = conditions(incident(1, 0, minutes_ago), silent=[{"name": "quiet", "after": "10m"}])
    assert [(each.kind, each.subject, each.value) for each in found] == [
        ("silent", "a", (minutes_ago - 1) * 60)
    ] * silent


@pytest.mark.parametrize(("slow", "above"), [(10, False), (11, True)])
def test_a_quantile_is_above_its_limit_when_a_larger_share_is_slower(slow: int, above: bool) -> None:
    requests = Requests()
    requests.commit(minute_of(NOW - MINUTE, "a", 1000 - slow, 0, duration=0.1))
    requests.commit(minute_of(NOW - MINUTE, "a", slow, 0, duration=2.0))
    found = conditions(requests, latency=[{"name": "slow", "limit_seconds": 2, "for": "10m"}])
    assert [(each.kind, each.for_seconds) for each in found] == [("latency", 600)] * above
    assert [each.value for each in found] == [pytest.approx(1.1)] * above
    assert [each.limit for each in found] == [pytest.approx(1.0)] * above


def test_sources_that_lag_or_are_full_of_rejects_are_told() -> None:
    rules = [{"name": "late", "lag": "5m"}, {"name": "unread", "reject_percent": 10}]
    sources = (
        replace(SOURCE, lag_seconds=300.0, reject_percent=10.0),
        replace(SOURCE, path="/logs/b.log", lag_seconds=301.0, lag_bytes=5_000),
        replace(SOURCE, path="/logs/c.log", reject_percent=10.1),
    )
    found = conditions(sources=sources, source=rules)
    assert [(each.kind, each.name, each.subject, each.value, each.limit) for each in found] == [
        ("lag", "late", "/logs/b.log", 301.0, 300),
        ("rejects", "unread", "/logs/c.log", 10.1, 10),
    ]
    assert found[0].summary == "lines of /logs/b.log have been waiting for 5m 1s, 5,000 bytes of them"


def test_objectives_of_one_indicator_share_its_counts() -> None:
    objectives = [
        {"name": "up", "target": 99.0},
        {"name": "more up", "target": 99.9},
        {"name": "api", "target": 99.0, "exclude_paths": ["/health"]},
    ]
    rules = Rules(Document.model_validate({"objective": objectives}))
    windows = frozenset(seconds * SECOND_US for seconds in (300, 1_800, 3_600, 21_600, 259_200))
    only = RequestFilter(other_paths=("/health",))
    assert rules.windows == {Indicator(): windows, Indicator(only=only): windows}


def test_only_a_maintenance_that_is_excluded_and_names_the_objective_leaves_requests_out() -> None:
    window = Maintenance(begin=NOW, end=NOW + timedelta(hours=1), objectives=("u*",), excluded=True)
    shown = window.model_copy(update={"excluded": False})
    for name, excluded in (("up", (window,)), ("fast", ())):
        assert indicator_of(Objective(name=name, target=99), (window, shown)).excluded == excluded


@pytest.mark.parametrize(
    ("windows", "interval", "length"),
    [
        ((300, 3_600), 60, 60),
        ((300, 3_600), 7, 60),
        ((5, 60), 1, 1),
        ((5, 60), 5, 5),
        ((90, 3_600), 60, 30),
        ((), 60, 60),
    ],
)
def test_buckets_divide_all_windows(windows: tuple[int, ...], interval: int, length: int) -> None:
    assert bucket_seconds(windows, interval) == length


def test_keys_of_other_parts_are_others() -> None:
    assert key_of("a/b", "c") != key_of("a", "b/c")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (300, "5m"), (3_661, "1h 1m"), (259_200, "3d"), (90, "1m 30s")]
)
def test_lengths_are_written_as_in_the_file(seconds: int, text: str) -> None:
    assert length_text(seconds) == text
