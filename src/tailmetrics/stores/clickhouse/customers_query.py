"""One page of all customers in ClickHouse."""

from __future__ import annotations

from typing import Any

import polars as pl

from tailmetrics.stats import MAX_PAGE, CustomersPage, CustomersQuery
from tailmetrics.stores.clickhouse.aggregates import aggregates_sql, counts_sql
from tailmetrics.stores.clickhouse.conditions import Condition, within
from tailmetrics.stores.clickhouse.reader import Statements
from tailmetrics.stores.cursors import place_of
from tailmetrics.stores.results import can_be_stored, customers_page, folded

_RANKS = {
    "customer_id": "customer_id",
    "requests": "requests",
    "failures": "failed",
    "uptime": "(requests - failed) / requests",
    "average": "average",
    "median": "quantiles[1]",
    "p99": "quantiles[2]",
}


async def customers(statements: Statements, query: CustomersQuery) -> CustomersPage:
    """Raises QueryError for a wrong cursor, and StoreUnavailable."""
    offset = place_of("customers", query.after, 0)
    where = within(query.start, query.end).selected(query.only)
    if query.search:
        if not can_be_stored(query.search):
            return CustomersPage((), 0, None)
        # `lower` is of ASCII letters alone.
        where = where.also("position(lower(customer_id), {search:String}) > 0", search=folded(query.search))
    # Quantiles of all customers are found only where the order, or a page with most of them, asks for them.
    by_quantile = query.sort in {"median", "p99"} or query.limit > min(MAX_PAGE, statements.reader.customers)
    columns = aggregates_sql(query.failures) if by_quantile else counts_sql(query.failures)
    ranking = (
        f"SELECT customer_id, {columns} FROM records WHERE {where.sql} GROUP BY customer_id "
        "HAVING requests >= {enough:UInt64}"
    )
    parameters = {**where.parameters, "enough": query.min_requests}
    direction = "DESC" if query.descending else "ASC"
    page = await statements.frame(
        f"SELECT *, count() OVER () AS total FROM ({ranking}) "
        f"ORDER BY {_RANKS[query.sort]} {direction} NULLS LAST, customer_id "
        "LIMIT {limit:UInt64} OFFSET {offset:UInt64}",
        {**parameters, "limit": query.limit, "offset": offset},
    )
    if page.is_empty():
        found = await statements.frame(f"SELECT count() FROM ({ranking})", parameters)
        return CustomersPage((), found.item(), None)
    total = statements.reader.customers = page["total"][0]
    rows = page.drop("total").rows() if by_quantile else await _with_quantiles(statements, query, where, page)
    return customers_page(((*row[:4], *row[4]) for row in rows), total, offset)


async def _with_quantiles(
    statements: Statements, query: CustomersQuery, where: Condition, page: pl.DataFrame
) -> list[tuple[Any, ...]]:
    """The rows of a page, in its order, with all their aggregates."""
    ids = page["customer_id"].to_list()
    listed = where.of_customers(ids)
    found = await statements.frame(
        f"SELECT customer_id, {aggregates_sql(query.failures)} FROM records WHERE {listed.sql} "
        "GROUP BY customer_id",
        listed.parameters,
    )
    by_customer = {row[0]: row for row in found.iter_rows()}
    return [by_customer[customer_id] for customer_id in ids if customer_id in by_customer]
