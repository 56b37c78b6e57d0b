"""What can be counted in ClickHouse by paths, statuses and parts of a range."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tailmetrics.stats import (
    Breakdown,
    BreakdownQuery,
    CountsQuery,
    PathCount,
    StatusCount,
    Trend,
    TrendsQuery,
)
from tailmetrics.stores.base import COUNTS_SCHEMA
from tailmetrics.stores.clickhouse.conditions import of_query, within
from tailmetrics.stores.clickhouse.reader import Statements
from tailmetrics.stores.clickhouse.stats_query import check_known
from tailmetrics.stores.results import failed_sql, trends_of
from tailmetrics.windows import to_us

_P99 = "quantileExactInclusive(0.99)(duration)"


async def breakdown(statements: Statements, query: BreakdownQuery) -> Breakdown:
    """Raises UnknownCustomer and StoreUnavailable."""
    where = of_query(query)
    columns = f"count() AS requests, countIf({failed_sql(query.failures)}) AS failed"
    p99 = f", {_P99} AS p99" if query.latencies else ""
    statuses = await statements.frame(
        f"SELECT status_code, {columns}{p99} FROM records WHERE {where.sql} "
        "GROUP BY status_code ORDER BY status_code",
        where.parameters,
    )
    if statuses.is_empty():
        if query.customer_id is not None:
            await check_known(statements, query.customer_id)
        return Breakdown()
    paths = await statements.frame(
        f"SELECT *, count() OVER () AS total FROM (SELECT path, {columns} FROM records WHERE {where.sql} "
        "GROUP BY path) ORDER BY requests DESC, path LIMIT {top:UInt64}",
        {**where.parameters, "top": query.top},
    )
    if paths.is_empty():  # what there was has expired between the two statements
        return Breakdown()
    total = paths["total"][0]
    paths = paths.drop("total")
    if query.latencies:
        of_top = where.one_of("path", paths["path"])
        found = await statements.frame(
            f"SELECT path, {_P99} AS p99 FROM records WHERE {of_top.sql} GROUP BY path", of_top.parameters
        )
        paths = paths.join(found, on="path", how="left", maintain_order="left")
    return Breakdown(
        tuple(PathCount(*row) for row in paths.iter_rows()),
        total,
        tuple(StatusCount(*row) for row in statuses.iter_rows()),
    )


async def trends(statements: Statements, query: TrendsQuery) -> Sequence[Trend]:
    """Raises StoreUnavailable."""
    return trends_of(query, (await counts(statements, query.counts)).iter_rows())


async def counts(statements: Statements, query: CountsQuery) -> pl.DataFrame:
    """Raises StoreUnavailable."""
    where, bad = within(query.start, query.end).selected(query.only), failed_sql(query.failures)
    if query.customer_ids is not None:
        where = where.of_customers(query.customer_ids)
    if query.limit_seconds is not None:
        bad = "duration >= {limit_seconds:Float64}"
        where = where.also("duration IS NOT NULL", limit_seconds=query.limit_seconds)
    part = f"intDiv(time_us - ({to_us(query.start)}), {query.part_us})" if query.part_us else "0"
    found = await statements.frame(
        f"SELECT customer_id, {part} AS part, count() AS requests, countIf({bad}) AS bad "
        f"FROM records WHERE {where.sql} GROUP BY customer_id, part",
        where.parameters,
    )
    return found.cast(COUNTS_SCHEMA)  # type: ignore[arg-type]
