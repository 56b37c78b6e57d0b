"""Records in the order of their times, a page at a time, from stores that keep them in another order.

Times are counted first, in stretches, and a stretch with many records is divided again. So each page is of a
span of its own, for which a store looks once, and no store sorts more than a page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

import polars as pl

from tailmetrics.stats import BreakdownQuery, RecordOrder, RecordPlace, RecordsQuery, RequestsQuery
from tailmetrics.stores.base import Queries
from tailmetrics.stores.windowing import Span
from tailmetrics.windows import from_us, to_us

PAGE_RECORDS = 100_000
_STRETCHES = 10_000  # of one count, where a store makes no difference

# How many records of a query lie in each stretch, counted from 0, of a span cut into lengths of microseconds.
Count = Callable[[RecordsQuery, Span, int], Awaitable[Sequence[tuple[int, int]]]]
# The records of a query within a span and behind its `after`, in order, but no more than so many.
Page = Callable[[RecordsQuery, Span, int], Awaitable[pl.DataFrame]]


async def pages(
    store: Queries, query: RecordsQuery, count: Count, page: Page, stretches: int = _STRETCHES
) -> AsyncIterator[pl.DataFrame]:
    """The records of a query as frames of at most PAGE_RECORDS rows. Raises UnknownCustomer."""
    if query.customer_id is not None:
        nowhere = from_us(0)  # an empty range: whether the customer is known does not depend on it
        await store.breakdown(BreakdownQuery(query.customer_id, nowhere, nowhere, top=1))
    span = await _span(store, query)
    if span is None:
        return
    async for low, high in _parts(query, span, count, stretches):
        rest = query
        while True:
            found = await page(rest, (low, high), PAGE_RECORDS)
            if found.height:
                yield found
            if found.height < PAGE_RECORDS:
                break
            rest = replace(query, after=place_of_last(found))


def place_of_last(records: pl.DataFrame) -> RecordPlace:
    """Where the last of some records is."""
    return RecordPlace(*records.select("timestamp", "source", "offset").row(-1))


def behind(records: pl.DataFrame, place: RecordPlace | None) -> pl.DataFrame:
    """Those of some records that come after a place."""
    if place is None:
        return records
    time, source = pl.col("timestamp"), pl.col("source")
    in_source = (source > place.source) | ((source == place.source) & (pl.col("offset") > place.offset))
    return records.filter((time > place.timestamp) | ((time == place.timestamp) & in_source))


def first_requests(records: pl.DataFrame, query: RequestsQuery) -> pl.DataFrame:
    """The first of some records, which the filter of a query selects, in its order and behind its place."""
    keys = ["timestamp", "source", "offset"]
    if query.order == "slowest":
        keys.insert(0, "duration")
    ordered = records.sort(keys, descending=True, nulls_last=True)
    if query.after is not None:
        ordered = ordered.filter(_is_after(query.order, *query.after))
    return ordered.head(query.limit)


def _is_after(order: RecordOrder, duration: float | None, place: RecordPlace) -> pl.Expr:
    time, source = pl.col("timestamp"), pl.col("source")
    in_source = (source < place.source) | ((source == place.source) & (pl.col("offset") < place.offset))
    older = (time < place.timestamp) | ((time == place.timestamp) & in_source)
    if order == "newest":
        return older
    unknown = pl.col("duration").is_null()
    if duration is None:
        return unknown & older
    return unknown | (pl.col("duration") < duration) | ((pl.col("duration") == duration) & older)


async def _span(store: Queries, query: RecordsQuery) -> Span | None:
    """Where records of a query may lie."""
    edges = await store.span()
    if edges is None:
        return None
    low, high = to_us(edges[0]), to_us(edges[1]) + 1
    low = max(
        [low, *(to_us(start) for start in (query.start, query.after and query.after.timestamp) if start)]
    )
    high = high if query.end is None else min(high, to_us(query.end))
    return (low, high) if low < high else None


async def _parts(query: RecordsQuery, span: Span, count: Count, stretches: int) -> AsyncIterator[Span]:
    """Spans in order that hold all records of a span: of a page each, or one microsecond long."""
    low, high = span
    width = max(1, -(-(high - low) // stretches))
    begin, records = low, 0
    for stretch, number in sorted(await count(query, span, width)):
        first = low + stretch * width
        end = min(first + width, high)
        if records and records + number > PAGE_RECORDS:
            yield begin, first
            begin, records = first, 0
        if number > PAGE_RECORDS and end - first > 1:
            async for part in _parts(query, (first, end), count, stretches):
                yield part
            begin = end
        else:
            records += number
    if records:
        yield begin, high
