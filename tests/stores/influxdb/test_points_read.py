"""Points as they come back from the server, made into requests again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from tailmetrics.records import STORED_SCHEMA
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.points_read import all_requests, edges, far_requests, stored_requests
from tailmetrics.stores.influxdb.record_points import FAR_START_NS
from tailmetrics.windows import from_us

SECOND_US = 1_000_000


def near() -> dict[str, pl.DataFrame]:
    """Two requests of second ticks, one of them without a duration, and one of microsecond ticks."""
    return {
        "duration_s": pl.DataFrame(
            {
                "_measurement": ["requests_s"] * 2,
                "_field": ["duration", "untimed"],
                "_time": [2 * 10**9 + 5, 3 * 10**9 + 7],
                "_value": [0.5, 1.0],
                "status_code": ["200", "404"],
            }
        ),
        "duration_us": pl.DataFrame(
            {
                "_measurement": ["requests_us"],
                "_field": ["duration"],
                "_time": [1_000_007_123],
                "_value": [0.25],
                "status_code": ["500"],
            }
        ),
    }


def far(*times: int) -> dict[str, pl.DataFrame]:
    keys = {
        "_time": list(range(len(times))),
        "lane": ["x"] * len(times),
        "customer_id": ["a"] * len(times),
        "status_code": ["503"] * len(times),
    }
    return {
        "us_far": pl.DataFrame({**keys, "_value": list(times)}),
        "duration_far": pl.DataFrame({**keys, "_value": [0.75] * len(times)}),
    }


def asked(low_us: int | None = None, high_us: int | None = None) -> Asked:
    return Asked("bucket", None, low_us, high_us)


def test_a_point_is_at_the_begin_of_its_tick() -> None:
    rows = all_requests(near(), asked()).sort("time").rows()
    assert rows == [(1_000_007, 500, 0.25), (2 * SECOND_US, 200, 0.5), (3 * SECOND_US, 404, None)]


@pytest.mark.parametrize(
    ("low_us", "high_us", "expected"),
    [(None, None, [-(10**16), 10**16]), (0, None, [10**16]), (None, 10**16, [-(10**16)]), (0, 1, [])],
)
def test_of_times_that_the_server_cannot_keep_those_in_the_range_count(
    low_us: int | None, high_us: int | None, expected: list[int]
) -> None:
    found = far_requests(far(10**16, -(10**16)), asked(low_us, high_us))
    assert sorted(found["time"]) == expected


def test_requests_of_all_times_are_together() -> None:
    rows = all_requests(near() | far(10**16), asked()).sort("time")
    assert rows["time"].to_list() == [1_000_007, 2 * SECOND_US, 3 * SECOND_US, 10**16]
    assert rows["duration"].to_list() == [0.25, 0.5, None, 0.75]


def test_edges_are_the_logged_times_of_each_tick() -> None:
    found = {
        "first_s": pl.DataFrame(
            {"_measurement": ["requests_s", "requests_us"], "_time": [2 * 10**9 + 5, 1_000_007_123]}
        ),
        "last_s": pl.DataFrame({"_measurement": ["requests_s"], "_time": [3 * 10**9 + 7]}),
    }
    assert sorted(edges(found)) == [1_000_007, 2 * SECOND_US, 3 * SECOND_US]


def test_records_are_read_again_from_points_by_time_lane_and_place_in_the_tick() -> None:
    keys: dict[str, list[Any]] = {"_time": [2 * 10**9 + 5, 2 * 10**9 + 4, -1_000_000_000 + 7]}
    keys |= {"lane": ["l"] * 3, "customer_id": ["a", "b", "c"], "status_code": ["200", "0", "404"]}
    keys["_measurement"] = ["requests_s"] * 3
    points = {
        "path_s": pl.DataFrame({**keys, "_value": ["/a", "/b", "/c"]}),
        "duration_s": pl.DataFrame({**keys, "_value": [0.5, 0.25, 0.0]}).head(1),
    }
    frame = stored_requests(points | far(10**16), asked())
    assert dict(frame.schema) == STORED_SCHEMA
    second = from_us(0) + timedelta(seconds=2)
    assert frame.rows() == [
        (from_us(-SECOND_US), "c", "/c", 404, None, "l", 7),
        (second, "b", "/b", 0, None, "l", 4),
        (second, "a", "/a", 200, 0.5, "l", 5),
        (from_us(10**16), "a", None, 503, 0.75, "x", -FAR_START_NS),
    ]
    assert stored_requests({}, asked()).schema == frame.schema
