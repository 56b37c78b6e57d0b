"""The view daily_stats says what the store says."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from tailmetrics.settings import Settings
from tailmetrics.stats import StatsQuery
from tailmetrics.stores import Store, open_store
from tailmetrics.stores.sql import daily_stats, schema
from tests.builders import Record, at, batch_of, source_of
from tests.stores.conftest import Ask
from tests.stores.sql.database import DAILY, NOON, run


def test_daily_stats_are_those_of_the_store(settings: Settings, store: Store, ask: Ask[Any]) -> None:
    hours = (NOON + timedelta(hours=step) for step in range(60))
    times = [at("1969-12-31T23:59:59"), at("1970-01-01"), *hours]
    rows: list[Record] = [
        (time, name, "/", (200, 404, 0)[place % 3], None if place % 7 == 0 else place / 8)
        for place, time in enumerate(times)
        for name in ("a", "\u00fc ")
    ]
    source = store.register(source_of())
    store.write([batch_of(source, rows)])
    found = run(
        settings,
        "SELECT customer_id, day, total_requests, successful_requests, failed_requests, uptime, "
        "average_latency, median_latency, p99_latency FROM daily_stats ORDER BY customer_id, day",
    )
    expected = [
        (
            customer_id,
            window.start.date().isoformat(),
            window.summary.total_requests,
            window.summary.successful_requests,
            window.summary.failed_requests,
            window.summary.uptime,
            window.summary.average_latency,
            window.summary.median_latency,
            window.summary.p99_latency,
        )
        for customer_id in ("a", "\u00fc ")
        for window in ask(store.stats(StatsQuery(customer_id, DAILY))).windows
    ]
    assert [(row[0], str(row[1]), *map(int, row[2:5])) for row in found] == [row[:5] for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        for figure, value in zip(row[5:], wanted[5:], strict=True):
            assert (figure is None) == (value is None)
            assert value is None or math.isclose(figure, value, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize(
    "moment",
    [
        "1000-01-01",
        "1684-12-31T23:59:59.999999",
        "1969-12-30T23:59:59.999999",
        "1969-12-31T00:00:00",
        "1969-12-31T23:59:59.999960",
        "1970-01-01",
        "2300-01-01T23:59:59.999999",
        "9999-12-31T23:59:59.999999",
    ],
)
def test_the_last_and_the_first_microsecond_of_a_day_are_of_that_day(
    settings: Settings, store: Store, moment: str
) -> None:
    source = store.register(source_of())
    store.write([batch_of(source, [(at(moment), "a", "/", 200, 0.1)])])
    [(day,)] = run(settings, "SELECT day FROM daily_stats")
    assert str(day) == moment[:10]


def test_a_view_that_was_dropped_is_made_again(settings: Settings, store: Store) -> None:
    run(settings, "DROP VIEW daily_stats")
    store.close()
    open_store(settings).close()
    assert run(settings, "SELECT * FROM daily_stats") == []


def test_in_a_store_of_the_first_version_they_learn_that_no_answer_is_a_failure(settings: Settings) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(daily_stats, "_VIEW", daily_stats._VIEW.replace("status_code = 0 OR ", ""))
        patch.setattr(schema, "SCHEMA_VERSION", 1)
        store = open_store(settings)
        store.write([batch_of(store.register(source_of()), [(NOON, "a", "/", 0, None)])])
        store.close()
    counts = "SELECT successful_requests, failed_requests FROM daily_stats"
    before = run(settings, counts)
    open_store(settings).close()
    assert (before, run(settings, counts)) == ([(1, 0)], [(0, 1)])


def test_ids_in_daily_stats_compare_by_bytes(settings: Settings, store: Store) -> None:
    ids = ["bob", "Bob", "bob ", "b\u00f3b", "bo\u0301b", "\uff42ob"]
    source = store.register(source_of())
    store.write([batch_of(source, [(NOON, name, "/", 200, 0.1) for name in ids])])
    assert run(settings, "SELECT total_requests FROM daily_stats WHERE customer_id = 'bob'") == [(1,)]
    groups = run(settings, "SELECT customer_id FROM daily_stats GROUP BY customer_id")
    assert sorted(name for (name,) in groups) == sorted(ids)
