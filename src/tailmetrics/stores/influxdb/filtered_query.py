"""Questions about the requests that a filter selects, or about the latencies of parts, from their rows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import polars as pl

from tailmetrics.stats import (
    Breakdown,
    BreakdownQuery,
    CountsQuery,
    CustomersPage,
    CustomersQuery,
    StatsAnswer,
    StatsQuery,
    Trend,
    TrendsQuery,
)
from tailmetrics.stores.base import COUNTS_SCHEMA
from tailmetrics.stores.cursors import place_of
from tailmetrics.stores.influxdb.filtered_read import all_selected, selected
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.influxdb.stats_query import asked_of, check_known
from tailmetrics.stores.results import (
    FAILURE_RULES,
    aggregates,
    breakdown_of,
    can_be_stored,
    counts_of_rows,
    customers_page,
    listed,
    ranked,
    result_of_rows,
    trends_of,
)
from tailmetrics.stores.windowing import check_filling
from tailmetrics.windows import to_us


async def stats(reader: InfluxDBReader, query: StatsQuery) -> StatsAnswer:
    """Raises UnknownCustomer, QueryError and StoreUnavailable."""
    check_filling(query)
    rows = await all_selected(reader, asked_of(reader, query), ["time", "status_code", "duration"])
    if not rows.height:
        await check_known(reader, query.customer_id)
    return await asyncio.to_thread(result_of_rows, query, rows)


async def customers(reader: InfluxDBReader, query: CustomersQuery) -> CustomersPage:
    """Raises QueryError for a wrong cursor, and StoreUnavailable."""
    offset = place_of("customers", query.after, 0)
    if query.search and not can_be_stored(query.search):
        return CustomersPage((), 0, None)
    asked = Asked.of(reader.bucket, None, query.start, query.end, reader.oldest_us, only=query.only)
    rows = await all_selected(reader, asked, ["customer_id", "status_code", "duration"])

    def page() -> CustomersPage:
        totals = rows.group_by("customer_id").agg(aggregates(query.failures)).filter(listed(query))
        found = ranked(totals, query)
        return customers_page(found.slice(offset, query.limit).iter_rows(), found.height, offset)

    return await asyncio.to_thread(page)


async def breakdown(reader: InfluxDBReader, query: BreakdownQuery) -> Breakdown:
    """Raises UnknownCustomer and StoreUnavailable."""
    columns = ["path", "status_code", *(["duration"] if query.latencies else [])]
    rows = await all_selected(reader, asked_of(reader, query), columns)
    if not rows.height:
        await check_known(reader, query.customer_id)
    return await asyncio.to_thread(breakdown_of, query, rows)


async def trends(reader: InfluxDBReader, query: TrendsQuery) -> Sequence[Trend]:
    """Raises StoreUnavailable."""
    ids = [customer_id for customer_id in dict.fromkeys(query.customer_ids) if can_be_stored(customer_id)]
    counted: list[tuple[str, int, int, int]] = []
    if ids:
        asked = Asked.of(reader.bucket, ids, query.start, query.end, reader.oldest_us, only=query.only)
        part = ((pl.col("time") - to_us(query.start)) // query.part_us).alias("part")
        failed = FAILURE_RULES[query.failures](pl.col("status_code")).sum().alias("failed")
        async with aclosing(selected(reader, asked, ["time", "customer_id", "status_code"])) as frames:
            async for frame in frames:
                counted += frame.group_by("customer_id", part).agg(pl.len(), failed).iter_rows()
    return trends_of(query, counted)


async def counts(reader: InfluxDBReader, query: CountsQuery) -> pl.DataFrame:
    """Raises StoreUnavailable."""
    ids = query.customer_ids
    known = None if ids is None else [each for each in dict.fromkeys(ids) if can_be_stored(each)]
    found = [pl.DataFrame(schema=COUNTS_SCHEMA)]
    if known is None or known:
        asked = Asked.of(reader.bucket, known, query.start, query.end, reader.oldest_us, only=query.only)
        columns = ["time", "customer_id", "status_code"]
        columns += [] if query.limit_seconds is None else ["duration"]
        async with aclosing(selected(reader, asked, columns)) as frames:
            found += [counts_of_rows(query, frame) async for frame in frames]
    return pl.concat(found).group_by("customer_id", "part").agg(pl.col("requests", "bad").sum())
