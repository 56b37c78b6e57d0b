"""The SQL of aggregates, over a table of any connection."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest

from tailmetrics.stats import Failures
from tailmetrics.stores.duckdb.queries.aggregates import (
    Groups,
    Method,
    aggregates_sql,
    counts_sql,
    window_key,
)
from tailmetrics.stores.duckdb.queries.conditions import Condition
from tailmetrics.windows import Grid, parse_every, to_us
from tests.builders import at

STATUSES = (200, 399, 400, 429, 499, 500, 599, 0)
ALL = Condition("TRUE", {})
START = at("2024-10-25")
TIMES = [START + timedelta(minutes=97 * step) for step in range(200)]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """With one request of each of STATUSES for each of TIMES, some without a duration."""
    chance = random.Random(1)  # the same durations in each run
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE requests (timestamp TIMESTAMP, status_code INT, duration DOUBLE)")
        rows = [
            f"(make_timestamp({to_us(time)}), {status}, {chance.choice(('NULL', 0.25, chance.random()))})"
            for time in TIMES
            for status in STATUSES
        ]
        connection.execute(f"INSERT INTO requests VALUES {', '.join(rows)}")
        yield connection


@pytest.mark.parametrize(("failures", "failed"), [("4xx+5xx", 6), ("5xx", 3), ("5xx+429", 4)])
def test_failures_are_those_of_the_rule(
    connection: duckdb.DuckDBPyConnection, failures: Failures, failed: int
) -> None:
    [(_, requests, found, _)] = connection.execute(counts_sql("0", ALL, failures)).fetchall()
    assert (requests, found) == (len(TIMES) * len(STATUSES), len(TIMES) * failed)


@pytest.mark.parametrize("groups", [Groups("status_code", total=True), Groups("status_code", total=False)])
def test_both_methods_give_the_same_rows(connection: duckdb.DuckDBPyConnection, groups: Groups) -> None:
    found = []
    for method in Method:
        rows = {}
        for sql in aggregates_sql(method, groups, ALL, "5xx"):
            rows |= {key: row for key, *row in connection.execute(sql).fetchall()}
        found.append(rows)
    in_memory, on_disk = found
    assert in_memory.keys() == on_disk.keys() == {*STATUSES, *([None] if groups.total else [])}
    for key, row in in_memory.items():
        assert on_disk[key] == pytest.approx(row, rel=1e-9)


@pytest.mark.parametrize("every", ["1d", "2d", "6h", "7h"])
def test_windows_begin_where_those_of_the_calendar_do(
    connection: duckdb.DuckDBPyConnection, every: str
) -> None:
    span = (to_us(TIMES[0]), to_us(TIMES[-1]) + 1)
    grid = Grid(parse_every(every), ZoneInfo("America/New_York"), [span])
    rows = connection.execute(f"SELECT DISTINCT epoch_us(timestamp), {window_key(grid.pieces)} FROM requests")
    assert dict(rows.fetchall()) == {to_us(time): grid.start_of(to_us(time)) for time in TIMES}
