"""Figures of ClickHouse's engine, bit for bit."""

from __future__ import annotations

import math
import random
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from tailmetrics.stores.clickhouse.aggregates import aggregates_sql, window_key
from tailmetrics.stores.results import aggregates
from tailmetrics.windows import Grid, parse_every, to_us
from tests import servers
from tests.builders import at

pytestmark = pytest.mark.servers


def _rows(statement: str) -> list[tuple[str, ...]]:
    database = urlsplit(servers.clickhouse().new_database()).path[1:]
    return servers.clickhouse().execute(statement, database=database)


class TestAggregates:
    @pytest.mark.parametrize("number", [0, 1, 2, 3, 101, 5000])
    def test_quantiles_are_those_of_polars_bit_for_bit_and_averages_to_the_last_bit(
        self, number: int
    ) -> None:
        chance = random.Random(number)
        durations = [
            chance.choice((None, chance.expovariate(3), round(chance.expovariate(3), 3)))
            for _ in range(number)
        ]
        statuses = [chance.choice((0, 200, 404, 429, 500)) for _ in durations]
        frame = pl.DataFrame(
            {"status_code": statuses, "duration": durations},
            {"status_code": pl.Int16(), "duration": pl.Float64()},
        )
        values = ", ".join("NULL" if each is None else repr(each) for each in durations)
        [found] = _rows(
            f"SELECT requests, failed, average, quantiles[1], quantiles[2] FROM (SELECT "
            f"{aggregates_sql('5xx+429')} FROM (SELECT "
            f"arrayJoin(arrayZip({statuses}::Array(Int16), [{values}]::Array(Nullable(Float64)))) AS row, "
            "row.1 AS status_code, row.2 AS duration))"
        )
        requests, failed, average, median, p99 = (
            None if each in {r"\N", "nan"} else float(each) for each in found
        )
        [(*counts, _, expected_median, expected_p99)] = frame.select(aggregates("5xx+429")).rows()
        assert [requests, failed, median, p99] == [*counts, expected_median, expected_p99]
        timed = [each for each in durations if each is not None]
        if average is None:
            assert not timed
        else:
            exact = math.fsum(timed) / len(timed)
            assert average in (exact, math.nextafter(exact, 0), math.nextafter(exact, math.inf))


class TestWindowKey:
    @pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Apia"])
    @pytest.mark.parametrize("every", ["1d", "2d", "7h"])
    def test_windows_begin_where_the_calendar_says(self, zone: str, every: str) -> None:
        low, high = to_us(at("2011-11-01")), to_us(at("2012-04-01"))
        grid = Grid(parse_every(every), ZoneInfo(zone), [(low, high)])
        times = [*range(low, high, 977_777_777_777), high - 1]
        rows = _rows(
            f"SELECT time_us, {window_key(grid.pieces)} "
            f"FROM (SELECT arrayJoin({times}::Array(Int64)) AS time_us)"
        )
        assert [(int(time), int(start)) for time, start in rows] == [(us, grid.start_of(us)) for us in times]
