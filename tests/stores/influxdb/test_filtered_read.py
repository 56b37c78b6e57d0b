"""Rows that a filter selects: what the server is asked for, how much at once, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from tailmetrics.stats import ALL_REQUESTS, RequestFilter
from tailmetrics.stores.influxdb import filtered_read
from tailmetrics.stores.influxdb.filtered_read import all_selected, portions, spans_of
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.record_points import NEAR_HIGH_US, NEAR_LOW_US
from tailmetrics.windows import to_us

HOUR_US = 3_600_000_000


class Points:
    """A server with requests of whole seconds at some times (us), which it counts and finds by range."""

    def __init__(self, *times: int, far: Sequence[int] = (), **tables: pl.DataFrame) -> None:
        self.times, self.far, self.tables = times, far, tables
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def run(self, text: str, params: dict[str, Any]) -> dict[str, pl.DataFrame]:
        self.asked.append((text, params))
        inside = [us for us in self.times if _us(params["s_start"]) <= us < _us(params["s_stop"])]
        points = pl.DataFrame({"_measurement": "requests_s", "_time": [us * 1_000 for us in sorted(inside)]})
        keys = {"_time": range(len(self.far)), "lane": "l", "customer_id": "a", "status_code": "200"}
        found = {
            "counts_s": pl.DataFrame({"_value": [len(inside)]}),
            "first_s": points.head(1),
            "last_s": points.tail(1),
            "us_far": pl.DataFrame({"_value": list(self.far), **keys}),
            **self.tables,
        }
        return {name: table for name, table in found.items() if f'name: "{name}"' in text and table.height}


def _us(moment: datetime) -> int:
    return to_us(moment)


def asked(low: int | None = 0, high: int | None = HOUR_US, only: RequestFilter = ALL_REQUESTS) -> Asked:
    return Asked("bucket", None, low, high, only)


def portions_of(server: Points, span: tuple[int, int]) -> list[tuple[int, int]]:
    async def read() -> list[tuple[int, int]]:
        return [part async for part in portions(server, asked(), span)]  # type: ignore[arg-type]  # it suffices

    return asyncio.run(read())


def test_a_span_of_many_requests_is_read_in_parts_that_have_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filtered_read, "_POINTS_A_READ", 10)
    times = [*range(0, 30_000_000, 1_000_000), *range(600_000_000, HOUR_US, 100_000_000)]
    parts = portions_of(Points(*times), (0, HOUR_US))
    assert parts == sorted(parts)
    held = [[us for us in times if low <= us < high] for low, high in parts]
    assert [us for each in held for us in each] == times
    short = [high - low <= 60_000_000 for low, high in parts]
    assert all(0 < len(each) <= 10 or is_short for each, is_short in zip(held, short, strict=True))
    assert any(is_short and len(each) == 30 for each, is_short in zip(held, short, strict=True))


def test_a_span_without_requests_is_not_read() -> None:
    assert portions_of(Points(), (0, HOUR_US)) == []


@pytest.mark.parametrize(
    "span", [(0, 60_000_000), (NEAR_HIGH_US, NEAR_HIGH_US + HOUR_US), (-(10**17), NEAR_LOW_US)]
)
def test_a_minute_and_times_that_the_server_cannot_keep_are_read_uncounted(span: tuple[int, int]) -> None:
    server = Points()
    assert portions_of(server, span) == [span]
    assert server.asked == []


def test_an_open_range_is_where_requests_are() -> None:
    server = Points(5_000_000, 9_000_000, far=[10**17, -(10**16), -(10**16) - 3])
    found = asyncio.run(spans_of(server, asked(None, None)))  # type: ignore[arg-type]  # it suffices
    assert found == [
        (-(10**16) - 3, -(10**16) + 1),
        (5_000_000, 9_000_001),
        (10**17, 10**17 + 1),
    ]
    assert asyncio.run(spans_of(server, asked(7, 7))) == []  # type: ignore[arg-type]


def rows(only: RequestFilter, columns: Sequence[str], **tables: pl.DataFrame) -> tuple[Points, list[Any]]:
    server = Points(0, **tables)
    found = asyncio.run(all_selected(server, asked(0, 60_000_000, only), columns))  # type: ignore[arg-type]
    return server, found.rows()


KEYS = {
    "_measurement": ["requests_s"] * 3,
    "_time": [10**9 + 1, 10**9 + 2, 2 * 10**9],
    "lane": ["l"] * 3,
    "customer_id": ["a", "b", "c"],
    "status_code": ["200", "500", "404"],
}
PATHS = pl.DataFrame({**KEYS, "_field": ["path"] * 3, "_value": ["/a", "/b", "/c"]})
DURATIONS = pl.DataFrame({**KEYS, "_field": ["duration"] * 3, "_value": [0.5, 0.7, 0.9]}).head(2)


def test_a_path_and_a_duration_of_one_point_are_one_request() -> None:
    only = RequestFilter(paths=("/*",), other_paths=("/a",))
    columns = ["path", "duration", "time", "customer_id", "status_code"]
    _, found = rows(only, columns, path_s=PATHS, duration_s=DURATIONS)
    assert found == [("/b", 0.7, 1_000_000, "b", 500), ("/c", None, 2_000_000, "c", 404)]
    _, found = rows(RequestFilter(max_duration=0.6), columns, path_s=PATHS, duration_s=DURATIONS)
    assert found == [("/a", 0.5, 1_000_000, "a", 200)]


@pytest.mark.parametrize(
    ("only", "columns", "fields"),
    [
        (RequestFilter(statuses=((500, 500),)), ["time"], {"duration", "untimed"}),
        (RequestFilter(paths=("/b",)), ["status_code"], {"path"}),
        (RequestFilter(paths=("/b",), min_duration=0.0), ["status_code"], {"path", "duration"}),
        (ALL_REQUESTS, ["path"], {"path"}),
    ],
)
def test_only_fields_that_are_needed_are_read(
    only: RequestFilter, columns: list[str], fields: set[str]
) -> None:
    server, _ = rows(only, columns, path_s=PATHS, duration_s=DURATIONS)
    [(text, _)] = server.asked
    assert {name for name in ("path", "duration", "untimed") if f'r._field == "{name}"' in text} == fields


def test_what_a_filter_says_is_no_part_of_a_text() -> None:
    only = RequestFilter(paths=('/"a) |> drop()*',), statuses=((498, 499), (599, 9999)), min_duration=0.25)
    server, _ = rows(only, ["path"])
    [(text, params)] = server.asked
    assert "drop" not in text
    assert params["statuses_pattern"] == "^(498|499|599)$"
    assert params["min_duration"] == 0.25
    assert "drop" in params["paths_pattern"]


def test_a_pattern_matches_a_path_as_it_is_kept() -> None:
    only = RequestFilter(paths=("/100%\n*",))
    server, found = rows(only, ["path"], path_s=PATHS)
    assert server.asked[0][1]["paths_pattern"] == "(?s)^(?:/100%25%0A.*)$"
    assert found == []
