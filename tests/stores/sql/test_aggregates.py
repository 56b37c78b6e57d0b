"""The SQL of aggregates, where a database has no function for quantiles."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sqlalchemy as sa

from tailmetrics.stats import Failures
from tailmetrics.stores.sql.aggregates import aggregates_of, counts_of, window_key
from tailmetrics.stores.sql.schema import records
from tailmetrics.windows import Grid, parse_every, to_us
from tests.builders import at

STATUSES = (200, 399, 400, 429, 499, 500, 599, 0)
START_US = to_us(at("2024-10-25"))
STEP_US = 97 * 60 * 1_000_000


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        records.create(connection)
        yield connection
    engine.dispose()


def insert(connection: sa.Connection, durations: Sequence[float | None]) -> None:
    """One request of customer 1 for each duration, with times and statuses in turn."""
    rows = [
        {
            "customer_key": 1,
            "source_key": 1,
            "offset": place,
            "time_us": START_US + place * STEP_US,
            "path": "/",
            "status_code": STATUSES[place % len(STATUSES)],
            "duration": duration,
        }
        for place, duration in enumerate(durations)
    ]
    connection.execute(sa.insert(records), rows)


@pytest.mark.parametrize("number", [1, 2, 3, 100, 101, 1000])
def test_quantiles_that_are_counted_are_those_of_sorted_durations(
    connection: sa.Connection, number: int
) -> None:
    chance = random.Random(number)  # the same durations in each run
    durations = [chance.choice((0.25, round(chance.random(), 2), chance.random())) for _ in range(number)]
    insert(connection, [*durations, None])
    select = aggregates_of(records.c.customer_key, sa.true(), "5xx", percentiles=False)
    [(key, requests, _, average, median, p99)] = connection.execute(select).all()
    assert (key, requests) == (1, number + 1)
    expected = (np.mean(durations), *np.quantile(durations, [0.5, 0.99]))
    assert (average, median, p99) == pytest.approx(expected, rel=1e-9)


def test_requests_without_durations_have_no_latencies(connection: sa.Connection) -> None:
    insert(connection, [None, None])
    select = aggregates_of(records.c.customer_key, sa.true(), "5xx", percentiles=False)
    assert connection.execute(select).all() == [(1, 2, 0, None, None, None)]


@pytest.mark.parametrize(("failures", "failed"), [("4xx+5xx", 6), ("5xx", 3), ("5xx+429", 4)])
def test_failures_are_those_of_the_rule(connection: sa.Connection, failures: Failures, failed: int) -> None:
    insert(connection, [0.5] * len(STATUSES))
    select = counts_of(records.c.customer_key, sa.true(), failures)
    assert connection.execute(select).all() == [(1, len(STATUSES), failed, 0.5)]


@pytest.mark.parametrize("every", ["1d", "2d", "6h", "7h"])
def test_windows_begin_where_those_of_the_calendar_do(connection: sa.Connection, every: str) -> None:
    insert(connection, [0.5] * 200)
    span = (START_US, START_US + 200 * STEP_US)
    grid = Grid(parse_every(every), ZoneInfo("America/New_York"), [span])
    rows = connection.execute(sa.select(records.c.time_us, window_key(grid.pieces)))
    times = [START_US + place * STEP_US for place in range(200)]
    assert {tuple(row) for row in rows} == {(time, grid.start_of(time)) for time in times}
