"""Requests that a filter selects, as rows: so many points at a time that they fit into memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace

import polars as pl

from tailmetrics.stats import RequestFilter
from tailmetrics.stores.filtering import is_selected
from tailmetrics.stores.influxdb import flux
from tailmetrics.stores.influxdb.csv import Tables
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.points_read import (
    all_paths,
    all_requests,
    edges,
    far_requests,
    whole_requests,
)
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.influxdb.record_points import NEAR_HIGH_US, NEAR_LOW_US
from tailmetrics.stores.windowing import Span

_POINTS_A_READ = 200_000
_SHORT_US = 60_000_000  # which is read without a look at how many it has
_ROW = ["_measurement", "_field", "_time", "_value", "customer_id", "status_code"]


async def selected(
    reader: InfluxDBReader, asked: Asked, columns: Collection[str]
) -> AsyncGenerator[pl.DataFrame, None]:
    """The requests that a filter selects, in order of their spans, with the columns that it needs, too.

    Columns are `time` (us), `customer_id`, `status_code`, and of `path` and `duration` (seconds) those that
    are wanted; with both also `lane` and `offset`.
    """
    for span in await spans_of(reader, asked):
        async for part in portions(reader, asked, span):
            yield await rows_of(reader, asked, part, columns)


async def all_selected(reader: InfluxDBReader, asked: Asked, columns: Sequence[str]) -> pl.DataFrame:
    """The requests that a filter selects, together, with just these columns."""
    async with aclosing(selected(reader, asked, columns)) as frames:
        found = [frame.select(columns) async for frame in frames]
    return pl.concat(found or [_made({}, asked, *_needed(asked.only, columns)).select(columns)], rechunk=True)


async def spans_of(reader: InfluxDBReader, asked: Asked) -> list[Span]:
    """Where requests lie, in order: before, within and after the times that InfluxDB can keep."""
    if asked.low_us is not None and asked.high_us is not None and not asked.reaches_far:
        return [(asked.low_us, asked.high_us)] if asked.low_us < asked.high_us else []
    statements = [*flux.edges(asked), *flux.far_rows(asked, [])]
    found = await reader.run(flux.text_of(asked, statements), asked.params) if statements else {}
    far = far_requests(found, asked)["time"].to_list()
    early, late = [us for us in far if us < NEAR_LOW_US], [us for us in far if us >= NEAR_HIGH_US]
    return [(min(times), max(times) + 1) for times in (early, edges(found), late) if times]


async def portions(reader: InfluxDBReader, asked: Asked, span: Span) -> AsyncGenerator[Span, None]:
    """The parts of a span, in order, that have requests and not too many of them.

    However many a filter leaves of them by paths and durations: counting looks at no values.
    """
    low, high = span
    if high - low <= _SHORT_US or high <= NEAR_LOW_US or low >= NEAR_HIGH_US:
        yield span
        return
    counted = replace(asked, low_us=low, high_us=high)
    found = await reader.run(flux.text_of(counted, flux.counts(counted, [])), counted.params)
    number = sum(int(table["_value"].sum()) for table in found.values())
    if number > _POINTS_A_READ:
        # A little fewer in each: they are not spread evenly, and what has too many is counted again.
        length = max(_SHORT_US, (high - low) * _POINTS_A_READ * 4 // 5 // number)
        for begin in range(low, high, length):
            async for part in portions(reader, asked, (begin, min(begin + length, high))):
                yield part
    elif number:
        yield span


async def rows_of(reader: InfluxDBReader, asked: Asked, span: Span, columns: Collection[str]) -> pl.DataFrame:
    """The requests of a span that a filter selects, as `selected` has them."""
    asked = replace(asked, low_us=span[0], high_us=span[1])
    has_path, has_duration = _needed(asked.only, columns)
    if has_path and has_duration:
        fields, read = [["path"], ["duration"]], [*_ROW, "lane"]
    else:
        fields, read = [["path"] if has_path else ["duration", "untimed"]], _ROW
    statements = [statement for each in fields for statement in flux.rows_selected(asked, each, read)]
    statements += flux.far_rows(asked, [each[0] for each in fields])
    found = await reader.run(flux.text_of(asked, statements), asked.params) if statements else {}
    return await asyncio.to_thread(_made, found, asked, has_path, has_duration)


def _made(found: dict[str, Tables], asked: Asked, has_path: bool, has_duration: bool) -> pl.DataFrame:
    if has_path and has_duration:
        rows = whole_requests(found, asked)
    elif has_path:
        rows = all_paths(found, asked, ["customer_id"])
    else:
        rows = all_requests(found, asked, ["customer_id"])
    return rows.filter(is_selected(asked.only))


def _needed(only: RequestFilter, columns: Collection[str]) -> tuple[bool, bool]:
    """Whether paths are needed, and durations: each is a field of its own."""
    return (
        "path" in columns or bool(only.paths or only.other_paths),
        "duration" in columns or only.min_duration is not None or only.max_duration is not None,
    )
