"""Records themselves from InfluxDB, whose points hold no source and no offset.

A lane stands for the source, and the place within the tick of its time for the offset: lines of one source
and one time are in the order in which they were written there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import polars as pl

from tailmetrics.stats import RecordsQuery
from tailmetrics.stores.influxdb import flux
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.points_read import far_requests, stored_requests
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.record_pages import behind
from tailmetrics.stores.windowing import Span

STRETCHES = 24  # of one count: each is a statement of its own for each tick
_COLUMNS = ("_measurement", "_time", "_value", "customer_id", "lane", "status_code")


async def count(
    reader: InfluxDBReader, query: RecordsQuery, span: Span, width_us: int
) -> Sequence[tuple[int, int]]:
    """Records by the stretches of a span. Raises StoreUnavailable."""
    asked, (low, high) = _asked_of(reader, query, span), span
    bounds = [*range(low, high, width_us), high]
    statements, params = flux.spread(asked, bounds)
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
    asked = _asked_of(reader, query, span)
    statements = [
        *flux.rows(asked, ["path"], _COLUMNS, "path"),
        *flux.rows(asked, ["duration"], _COLUMNS, "duration"),
        *flux.far_rows(asked, ["path", "duration"]),
    ]
    found = await reader.run(flux.text_of(asked, statements), asked.params) if statements else {}
    return behind(stored_requests(found, asked), query.after).head(limit)


def _asked_of(reader: InfluxDBReader, query: RecordsQuery, span: Span) -> Asked:
    ids = None if query.customer_id is None else (query.customer_id,)
    return Asked(reader.bucket, ids, *span)
