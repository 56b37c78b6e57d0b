"""What can be counted in the DuckDB file by paths, statuses and parts of a range."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl

from tailmetrics.stats import (
    Breakdown,
    BreakdownQuery,
    CountsQuery,
    Failures,
    PathCount,
    StatusCount,
    Trend,
    TrendsQuery,
)
from tailmetrics.stores.base import COUNTS_SCHEMA
from tailmetrics.stores.duckdb.queries.aggregates import (
    Groups,
    Method,
    aggregates_sql,
    counts_sql,
)
from tailmetrics.stores.duckdb.queries.conditions import Condition, of_customer, within
from tailmetrics.stores.duckdb.queries.reader import Reader
from tailmetrics.stores.duckdb.queries.stats_query import check_known, edges, with_memory_or_disk
from tailmetrics.stores.results import can_be_stored, failed_sql, trends_of
from tailmetrics.windows import from_us, to_us


def breakdown(reader: Reader, query: BreakdownQuery) -> Breakdown:
    """Raises UnknownCustomer and StoreUnavailable."""
    where = of_customer(query)
    statuses = _counts(reader, "status_code", where, query.failures, order="ORDER BY key")
    if not statuses:
        if query.customer_id is not None:
            check_known(reader, query.customer_id)
        return Breakdown()
    with_paths = replace(where, view="records")
    order = "ORDER BY requests DESC, key LIMIT $top"
    of_top = replace(with_paths, parameters={**where.parameters, "top": query.top})
    paths = _counts(reader, "path", of_top, query.failures, order=order)
    [(paths_total,)] = reader.run(
        f"SELECT count(DISTINCT path) FROM records WHERE {where.sql}", where.parameters
    )
    if query.latencies:
        top = with_paths.also("path IN (SELECT unnest($top))", top=[path for path, *_ in paths])
        paths = _with_p99(reader, "path", top, query, paths)
        statuses = _with_p99(reader, "status_code", where, query, statuses)
    return Breakdown(
        tuple(PathCount(*row) for row in paths), paths_total, tuple(StatusCount(*row) for row in statuses)
    )


def _with_p99(
    reader: Reader, key: str, where: Condition, query: BreakdownQuery, rows: Iterable[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Rows that begin with a key, with the 99th percentile of its durations at their ends."""

    def ask(method: Method) -> list[tuple[Any, ...]]:
        [sql] = aggregates_sql(method, Groups(key, total=False), where, query.failures)
        by_key = {row[0]: row[-1] for row in reader.run(sql, where.parameters)}
        return [(*row, by_key.get(row[0])) for row in rows]

    return with_memory_or_disk(reader, Method.IN_MEMORY, ask)


def trends(reader: Reader, query: TrendsQuery) -> list[Trend]:
    """Raises StoreUnavailable."""
    where = _of_customers(within(query.start, query.end).selected(query.only), query.customer_ids)
    part = f"(epoch_us(timestamp) - {to_us(query.start)}) // {query.part_us}"
    rows = _counts(reader, f"struct_pack(customer_id, part := {part})", where, query.failures)
    counted = ((key["customer_id"], key["part"], count, failed) for key, count, failed in rows)
    return trends_of(query, counted)


def counts(reader: Reader, query: CountsQuery) -> pl.DataFrame:
    """Raises StoreUnavailable."""
    where, bad = within(query.start, query.end).selected(query.only), failed_sql(query.failures)
    if query.customer_ids is not None:
        where = _of_customers(where, query.customer_ids)
    if query.limit_seconds is not None:
        bad = "duration >= $limit_seconds"
        where = where.also("duration IS NOT NULL", limit_seconds=query.limit_seconds)
    part = f"(epoch_us(timestamp) - {to_us(query.start)}) // {query.part_us}" if query.part_us else "0"
    found = reader.frame(
        f"SELECT customer_id, {part} AS part, count(*) AS requests, count(*) FILTER (WHERE {bad}) AS bad "
        f"FROM {where.view} WHERE {where.sql} GROUP BY customer_id, part",
        where.parameters,
    )
    return found.cast(COUNTS_SCHEMA)  # type: ignore[arg-type]


def span(reader: Reader) -> tuple[datetime, datetime] | None:
    """The times of the first and the last request. Raises StoreUnavailable."""
    found = edges(reader)
    return None if found is None else (from_us(found[0]), from_us(found[1]))


def _of_customers(where: Condition, customer_ids: Iterable[str]) -> Condition:
    asked = [customer_id for customer_id in customer_ids if can_be_stored(customer_id)]
    return where.also("customer_id IN (SELECT unnest($asked::VARCHAR[]))", asked=asked)


def _counts(
    reader: Reader, key: str, where: Condition, failures: Failures, *, order: str = ""
) -> list[tuple[Any, int, int]]:
    counted = counts_sql(key, where, failures)
    return reader.run(f"SELECT key, requests, failed FROM ({counted}) {order}", where.parameters)
