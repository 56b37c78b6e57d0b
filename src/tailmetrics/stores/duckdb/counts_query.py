"""What can be counted in the DuckDB file without looking at latencies: paths, statuses, spread over time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tailmetrics.stats import Breakdown, BreakdownQuery, Failures, PathCount, StatusCount, Trend, TrendsQuery
from tailmetrics.stores.duckdb.aggregates import counts_sql
from tailmetrics.stores.duckdb.reader import Condition, Reader
from tailmetrics.stores.duckdb.stats_query import check_known, edges, of_customer, within
from tailmetrics.stores.results import can_be_stored, trends_of
from tailmetrics.windows import from_us, to_us


def breakdown(reader: Reader, query: BreakdownQuery) -> Breakdown:
    """Raises UnknownCustomer and StoreUnavailable."""
    where = of_customer(query)
    statuses = _counts(reader, "status_code", where, query.failures, order="ORDER BY key")
    if not statuses:
        if query.customer_id is not None:
            check_known(reader, query.customer_id)
        return Breakdown()
    order = "ORDER BY requests DESC, key LIMIT $top"
    of_top = Condition(where.sql, {**where.parameters, "top": query.top})
    paths = _counts(reader, "path", of_top, query.failures, view="records", order=order)
    [(paths_total,)] = reader.run(
        f"SELECT count(DISTINCT path) FROM records WHERE {where.sql}", where.parameters
    )
    return Breakdown(
        tuple(PathCount(*row) for row in paths), paths_total, tuple(StatusCount(*row) for row in statuses)
    )


def trends(reader: Reader, query: TrendsQuery) -> list[Trend]:
    """Raises StoreUnavailable."""
    asked = [customer_id for customer_id in query.customer_ids if can_be_stored(customer_id)]
    where = within(query.start, query.end).also("customer_id IN (SELECT unnest($asked))", asked=asked)
    part = f"(epoch_us(timestamp) - {to_us(query.start)}) // {query.part_us}"
    rows = _counts(reader, f"struct_pack(customer_id, part := {part})", where, query.failures)
    counted = ((key["customer_id"], key["part"], count, failed) for key, count, failed in rows)
    return trends_of(query, counted)


def span(reader: Reader) -> tuple[datetime, datetime] | None:
    """The times of the first and the last request. Raises StoreUnavailable."""
    found = edges(reader)
    return None if found is None else (from_us(found[0]), from_us(found[1]))


def _counts(
    reader: Reader,
    key: str,
    where: Condition,
    failures: Failures,
    *,
    view: str = "requests",
    order: str = "",
) -> list[tuple[Any, int, int]]:
    counted = counts_sql(key, where.sql, failures, view)
    return reader.run(f"SELECT key, requests, failed FROM ({counted}) {order}", where.parameters)
