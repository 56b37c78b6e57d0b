"""Records themselves from InfluxDB, whose points hold no source and no offset.

A lane stands for the source, and the place within the tick of its time for the offset: lines of one source
and one time are in the order in which they were written there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

import polars as pl

from tailmetrics.records import STORED_SCHEMA
from tailmetrics.stats import RecordsQuery, RequestsQuery
from tailmetrics.stores.influxdb import flux
from tailmetrics.stores.influxdb.filtered_read import portions, rows_of, spans_of
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.points_read import as_stored, far_requests
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.influxdb.stats_query import asked_of, check_known
from tailmetrics.stores.record_pages import behind, first_requests
from tailmetrics.stores.windowing import Span
from tailmetrics.windows import to_us

STRETCHES = 24  # of one count: each is a statement of its own for each tick
_COLUMNS = ("path", "duration")
_FIRST_LOOK_US = 60_000_000
_GROWTH = 8  # of each look back over that before


async def count(
    reader: InfluxDBReader, query: RecordsQuery, span: Span, width_us: int
) -> Sequence[tuple[int, int]]:
    """Records by the stretches of a span. Raises StoreUnavailable."""
    asked, (low, high) = _asked_of(reader, query, span), span
    statements, params = flux.spread(asked, [*range(low, high, width_us), high])
    statements += flux.far_rows(asked, [])
    found = (
        await reader.run(flux.text_of(asked, statements), {**asked.params, **params}) if statements else {}
    )
    numbers = Counter(int((time - low) // width_us) for time in far_requests(found, asked)["time"])
    for name, table in found.items():
        part, _, tick = name.partition("_")
        if part.isdigit() and tick:
            numbers[int(part)] += int(table["_value"].sum())
    return list(numbers.items())


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
    async with aclosing(_backward(reader, asked)) as spans:
        async for span in spans:
            rows = as_stored(await rows_of(reader, asked, span, _COLUMNS))
            found = first_requests(pl.concat([found, rows]), query)
            if found.height < query.limit:
                continue
            if query.order == "newest":
                break
            if (least := found["duration"][-1]) is not None:
                asked = replace(asked, only=replace(asked.only, min_duration=least))
    if not found.height:
        await check_known(reader, query.customer_id)
    return found


async def _backward(reader: InfluxDBReader, asked: Asked) -> AsyncGenerator[Span, None]:
    """Spans from the end back, each longer than the one before it, of a bounded number of requests."""
    for low, high in reversed(await spans_of(reader, asked)):
        end, length = high, _FIRST_LOOK_US
        while low < end:
            begin = max(low, end - length)
            for part in reversed([part async for part in portions(reader, asked, (begin, end))]):
                yield part
            end, length = begin, length * _GROWTH


def _asked_of(reader: InfluxDBReader, query: RecordsQuery, span: Span) -> Asked:
    ids = None if query.customer_id is None else (query.customer_id,)
    return Asked(reader.bucket, ids, *span, query.only)
