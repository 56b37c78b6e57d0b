"""Records themselves from InfluxDB, whose points hold no source and no offset.

A lane stands for the source, and the place within the tick of its time for the offset: lines of one source
and one time are in the order in which they were written there.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

import polars as pl

from tailmetrics.records import STORED_SCHEMA
from tailmetrics.stats import RecordsQuery, RequestsQuery
from tailmetrics.stores.influxdb import filtered_read
from tailmetrics.stores.influxdb.filtered_read import STRETCHES, rows_of, selected, spans_of
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.points_read import as_stored
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.influxdb.stats_query import asked_of, check_known
from tailmetrics.stores.record_pages import behind, first_requests, parts
from tailmetrics.stores.windowing import Span
from tailmetrics.windows import to_us

_COLUMNS = ("path", "duration")
_FIRST_LOOK_US = 60_000_000
_GROWTH = 4  # of each look back over that before


async def count(
    reader: InfluxDBReader, query: RecordsQuery, span: Span, width_us: int
) -> Sequence[tuple[int, int]]:
    """Records by the stretches of a span. Raises StoreUnavailable."""
    return await filtered_read.count(reader, _asked_of(reader, query, span), span, width_us)


async def page(reader: InfluxDBReader, query: RecordsQuery, span: Span, limit: int) -> pl.DataFrame:
    """The first records of a span that come behind a place. Raises StoreUnavailable."""
    rows = await rows_of(reader, _asked_of(reader, query, span), span, _COLUMNS)
    return behind(as_stored(rows).sort("timestamp", "source", "offset"), query.after).head(limit)


async def requests(reader: InfluxDBReader, query: RequestsQuery) -> pl.DataFrame:
    """The first requests in an order. Raises UnknownCustomer and StoreUnavailable."""
    asked = asked_of(reader, query)
    if query.order == "newest" and query.after is not None:
        end_us = to_us(query.after[1].timestamp) + 1
        asked = replace(asked, high_us=end_us if asked.high_us is None else min(asked.high_us, end_us))
    found = pl.DataFrame(schema=STORED_SCHEMA)
    async with aclosing(_newest(reader, asked) if query.order == "newest" else _all(reader, asked)) as frames:
        async for frame in frames:
            found = first_requests(pl.concat([found, as_stored(frame)]), query)
            if query.order == "newest" and found.height == query.limit:
                break
    if not found.height:
        await check_known(reader, query.customer_id)
    return found


def _all(reader: InfluxDBReader, asked: Asked) -> AsyncGenerator[pl.DataFrame, None]:
    return selected(reader, asked, _COLUMNS)


async def _newest(reader: InfluxDBReader, asked: Asked) -> AsyncGenerator[pl.DataFrame, None]:
    """What is selected, in spans backward from the end, each longer than the one before."""
    counted = functools.partial(filtered_read.count, reader, asked)
    for low, high in reversed(await spans_of(reader, asked)):
        end, length = high, _FIRST_LOOK_US
        while low < end:
            begin = max(low, end - length)
            for part in reversed([part async for part in parts((begin, end), counted, STRETCHES)]):
                yield await rows_of(reader, asked, part, _COLUMNS)
            end, length = begin, length * _GROWTH


def _asked_of(reader: InfluxDBReader, query: RecordsQuery, span: Span) -> Asked:
    ids = None if query.customer_id is None else (query.customer_id,)
    return Asked(reader.bucket, ids, *span, query.only)
