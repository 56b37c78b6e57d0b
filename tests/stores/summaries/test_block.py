"""A block is what its requests add up to, whether it is made at once or of shorter ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailmetrics.stores.summaries import block
from tailmetrics.stores.summaries.block import (
    DAY,
    DAY_US,
    HOUR,
    HOUR_US,
    MINUTE,
    MINUTE_US,
    Level,
    Tables,
    in_cells,
    merged,
    outside,
    packed,
    tables_from,
    tables_of,
    unpacked,
)
from tailmetrics.stores.summaries.durations import Durations

Request = tuple[int, str, str, int, "float | None"]  # time (us), customer, path, status, seconds

milliseconds = st.integers(0, 10**6).map(lambda value: value / 1_000)
microseconds = st.integers(0, 10**12).map(lambda value: value / 1_000_000)
anything = st.one_of(milliseconds, microseconds, st.floats(0, 1e9), st.sampled_from((0.0, 1e9)))


@st.composite
def requests(draw: st.DrawFn) -> list[Request]:
    """Requests of a few minutes of a day, with durations of one kind, of all kinds, or without any."""
    duration = draw(st.sampled_from((milliseconds, microseconds, anything, st.none())))
    minutes = draw(st.lists(st.integers(0, 24 * 60 - 1), min_size=1, max_size=4))
    times = st.tuples(st.sampled_from(minutes), st.integers(0, MINUTE_US - 1)).map(
        lambda pair: pair[0] * MINUTE_US + pair[1]
    )
    names = st.sampled_from(("a", "B", "ü", "customer"))
    statuses = st.sampled_from((0, 200, 404, 503, 599))
    row = st.tuples(times, names, names, statuses, st.one_of(st.none(), duration))
    return draw(st.lists(row, max_size=30))


def made(rows: Sequence[Request], level: Level, start_us: int) -> Tables:
    schema = {
        "time": pl.Int64,
        "customer_id": pl.String,
        "path": pl.String,
        "status_code": pl.Int16,
        "duration": pl.Float64,
    }
    frame = pl.DataFrame(rows, schema, orient="row")
    frame = frame.with_columns(pl.col("time") + start_us, count=pl.lit(1, pl.Int64))
    return tables_of(
        in_cells(frame.drop("path"), level), in_cells(frame.drop("customer_id", "duration"), level), level
    )


def kept(tables: Tables, start_us: int) -> Tables:
    """The tables as they are read of what is kept of them."""
    parts = packed(tables, start_us)
    return tables_from({part: unpacked(data, start_us) for part, data in parts.items()})


def counted(frame: pl.DataFrame) -> Counter[tuple[object, ...]]:
    keys = sorted(set(frame.columns) - {"count"})
    found: Counter[tuple[object, ...]] = Counter()
    for *key, count in frame.select(*keys, "count").iter_rows():
        assert tuple(key) not in found
        found[tuple(key)] = count
    return found


def timed(durations: Durations) -> Counter[tuple[object, ...]]:
    seconds = durations.frame["value"].to_numpy() / (durations.unit or 1)
    return counted(durations.frame.with_columns(pl.Series("value", seconds, pl.Float64)))


def figures(tables: Tables) -> list[Counter[tuple[object, ...]] | None]:
    return [
        counted(tables.series),
        timed(tables.seconds),
        counted(tables.customers),
        timed(tables.latencies),
        None if tables.paths is None else counted(tables.paths),
    ]


def expected(rows: Sequence[Request], level: Level, start_us: int) -> list[Counter[tuple[object, ...]]]:
    def cell(time: int, length: int) -> int:
        return (time + start_us) // length * length

    whole, of_customer = level.cell_us, level.customer_cell_us
    return [
        Counter((status, cell(time, whole)) for time, _, _, status, _ in rows),
        Counter((cell(time, whole), each) for time, _, _, _, each in rows if each is not None),
        Counter((name, status, cell(time, of_customer)) for time, name, _, status, _ in rows),
        Counter((name, cell(time, of_customer), each) for time, name, _, _, each in rows if each is not None),
        Counter((path, status, cell(time, of_customer)) for time, _, path, status, _ in rows),
    ]


@pytest.mark.parametrize("level", [DAY, HOUR, MINUTE], ids=lambda level: level.name)
@given(rows=requests(), day=st.integers(-100_000, 100_000))
@settings(max_examples=40, deadline=None)
def test_what_is_kept_of_a_block_is_what_its_requests_add_up_to(
    level: Level, rows: list[Request], day: int
) -> None:
    start = day * DAY_US
    inside = [row for row in rows if row[0] < level.length_us]
    assert figures(kept(made(inside, level, start), start)) == expected(inside, level, start)


@given(requests(), st.integers(-100_000, 100_000))
@settings(max_examples=40, deadline=None)
def test_minutes_and_hours_together_are_the_day_made_at_once(rows: list[Request], day: int) -> None:
    start = day * DAY_US

    def of(begin: int, level: Level) -> list[Request]:
        return [row for row in rows if begin <= row[0] < begin + level.length_us]

    hours = []
    for hour in sorted({time // HOUR_US * HOUR_US for time, *_ in rows}):
        minutes = sorted({time // MINUTE_US * MINUTE_US for time, *_ in of(hour, HOUR)})
        shorter = [kept(made(of(each, MINUTE), MINUTE, start), start + each) for each in minutes]
        hours.append(kept(merged(shorter, HOUR), start + hour))
        assert figures(hours[-1]) == expected(of(hour, HOUR), HOUR, start)
    if hours:
        assert figures(kept(merged(hours, DAY), start)) == expected(rows, DAY, start)


@given(requests(), st.sets(st.integers(0, 23), max_size=6))
@settings(max_examples=40, deadline=None)
def test_a_block_in_which_some_hours_are_made_again_is_the_same(rows: list[Request], hours: set[int]) -> None:
    spans = [(hour * HOUR_US, (hour + 1) * HOUR_US) for hour in sorted(hours)]
    before = kept(made(rows, DAY, 0), 0)
    left = outside(before, spans)
    again = [row for row in rows if row[0] // HOUR_US in hours]
    assert figures(left) == expected([row for row in rows if row not in again], DAY, 0)
    assert figures(merged([made(again, DAY, 0), left], DAY)) == expected(rows, DAY, 0)


def test_a_block_with_very_many_paths_has_none_and_neither_has_what_is_made_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(block, "MOST_PATHS", 3)
    many: list[Request] = [(minute * MINUTE_US, "a", f"/{minute}", 200, None) for minute in range(4)]
    few: list[Request] = [(HOUR_US, "a", "/", 200, None)]
    assert "paths" in packed(made(many[:3], HOUR, 0), 0)
    assert "paths" not in packed(made(many, HOUR, 0), 0)
    hours = [kept(made(many, HOUR, 0), 0), kept(made(few, HOUR, 0), HOUR_US)]
    day = merged(hours, DAY)
    assert day.paths is None
    assert kept(day, 0).paths is None
    assert day.customers["count"].sum() == 5


def test_a_block_of_an_earlier_version_is_read_as_it_was() -> None:
    """Its keys are as they are, in minutes, and a column says where values are no steps."""
    names = pl.DataFrame({"names": ["a", "b"]})
    counts = pl.DataFrame(
        {"number": [0, 1, 1], "time": [0, 0, 60], "status_code": [200, 200, 503], "count": [2, 1, 1]}
    )
    durations = pl.DataFrame(
        {
            "number": [0, 0, 1, 1],
            "time": [0, 0, 0, 60],
            "count": [1, 1, 1, 1],
            "first": [True, False, True, True],
            "low": pl.Series([100, 44, 44, 1], dtype=pl.UInt8),
            "high": [0, 1, 1, 0],
        }
    )
    blobs = [
        frame.write_ipc_stream(None, compression="zstd").getvalue() for frame in (names, counts, durations)
    ]
    head = {"unit": 1_000, "sizes": [len(blob) for blob in blobs], "firsts": [0]}
    part = unpacked(json.dumps(head).encode() + b"\n" + b"".join(blobs), DAY_US)
    hour = DAY_US + HOUR_US
    assert part.counts.rows() == [(0, DAY_US, 200, 2), (1, DAY_US, 200, 1), (1, hour, 503, 1)]
    assert part.durations.frame.select("number", "time", "value", "count").rows() == [
        (0, DAY_US, 100, 1),
        (0, DAY_US, 400, 1),
        (1, DAY_US, 300, 1),
        (1, hour, 1, 1),
    ]
