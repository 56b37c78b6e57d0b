"""Customers with those of their requests that a filter selects: blocks of summaries know of no filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from tailmetrics.stats import MAX_PAGE, CustomersPage, CustomersQuery
from tailmetrics.stores.cursors import place_of
from tailmetrics.stores.results import can_be_stored, customers_page, listed, ranked
from tailmetrics.stores.sql.aggregates import aggregates_of, counts_of
from tailmetrics.stores.sql.filtering import is_selected
from tailmetrics.stores.sql.schema import records
from tailmetrics.stores.sql.selected import selected
from tailmetrics.stores.summaries.manifest import ALWAYS
from tailmetrics.windows import to_us

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_COUNTS = {"customer_key": pl.Int32(), "requests": pl.Int64(), "failed": pl.Int64(), "average": pl.Float64()}
_LATENCIES = {"median": pl.Float64(), "p99": pl.Float64()}


async def customers(connection: AsyncConnection, query: CustomersQuery) -> CustomersPage:
    """Raises QueryError for a wrong cursor."""
    offset = place_of("customers", query.after, 0)
    if query.search and not can_be_stored(query.search):
        return CustomersPage((), 0, None)
    at_once = query.sort in _LATENCIES or query.limit > MAX_PAGE
    totals = (await _totals(connection, query, quantiles=at_once)).filter(listed(query))
    page = ranked(totals, query).slice(offset, query.limit)
    if not at_once:
        ids = page["customer_id"].to_list()
        found = await _totals(connection, query, ids, quantiles=True)
        page = page.select("customer_id").join(found, on="customer_id", how="left", maintain_order="left")
    columns = ("customer_id", "requests", "failed", "average", *_LATENCIES)
    return customers_page(page.select(columns).iter_rows(), totals.height, offset)


async def _totals(
    connection: AsyncConnection,
    query: CustomersQuery,
    ids: Sequence[str] | None = None,
    *,
    quantiles: bool,
) -> pl.DataFrame:
    """The aggregates of some customers or of all (None), the `quantiles` of latencies only if wanted."""
    low, high = ALWAYS
    span = (
        low if query.start is None else to_us(query.start),
        high if query.end is None else to_us(query.end),
    )
    found = await selected(connection, [span], ids)
    only, key = is_selected(query.only, connection.dialect), records.c.customer_key
    is_postgresql = connection.dialect.name == "postgresql"
    rows: list[Sequence[object]] = []
    for condition in found.conditions():
        where = condition & only
        if quantiles:
            statement = aggregates_of(key, where, query.failures, percentiles=is_postgresql)
        else:
            statement = counts_of(key, where, query.failures)
        rows += [
            (key, int(requests), int(failed), *latencies)
            for key, requests, failed, *latencies in await connection.execute(statement)
        ]
    schema = {**_COUNTS, **(_LATENCIES if quantiles else {})}
    totals = pl.DataFrame(rows, schema, orient="row")
    return totals.join(found.customers, on="customer_key")
