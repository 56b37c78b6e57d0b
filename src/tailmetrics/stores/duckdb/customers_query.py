"""One page of all customers of the DuckDB file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tailmetrics.stats import CustomersPage, CustomersQuery, CustomerStats
from tailmetrics.stores.cursors import cursor_to, place_of
from tailmetrics.stores.duckdb.aggregates import Groups, Method, counts_sql, figures_sql
from tailmetrics.stores.duckdb.in_memory import few_rows, quantiles
from tailmetrics.stores.duckdb.reader import Reader
from tailmetrics.stores.duckdb.stats_query import conditions, is_utf8, with_memory_or_disk
from tailmetrics.stores.results import summary_of

_RANKS = {
    "customer_id": "key",
    "requests": "requests",
    "failures": "failed",
    "uptime": "(requests - failed) / requests",
    "average": "average",
    "median": "median",
    "p99": "p99",
}
_QUANTILES = ("median", "p99")
_BY_CUSTOMER = Groups("customer_id", total=False)
_MOST_COMPARISONS = 25_000_000  # of ids, beyond which a join is quicker


def customers(reader: Reader, query: CustomersQuery) -> CustomersPage:
    """Raises QueryError for a wrong cursor, and StoreUnavailable."""
    offset = 0 if query.after is None else place_of("customers", query.after)
    where, parameters = conditions(query.start, query.end)
    if not is_utf8(query.search):
        return CustomersPage((), 0, None)
    if query.search:
        where += " AND contains(customer_id, $search)"
        parameters["search"] = query.search

    def ask(method: Method) -> CustomersPage:
        def figures(condition: str) -> str:
            [sql] = figures_sql(method, _BY_CUSTOMER, condition, query.failures)
            return sql

        # Quantiles of all customers are found only where the order asks for them.
        by_quantile = query.sort in _QUANTILES
        ranking = figures(where) if by_quantile else counts_sql("customer_id", where, query.failures)
        direction = "DESC" if query.descending else "ASC"
        ranked = reader.run(
            f"SELECT count(*) OVER (), * FROM ({ranking}) "
            f"ORDER BY {_RANKS[query.sort]} {direction} NULLS LAST, key LIMIT $limit OFFSET $offset",
            {**parameters, "limit": query.limit, "offset": offset},
        )
        if not ranked:
            [(total,)] = reader.run(
                f"SELECT count(DISTINCT customer_id) FROM requests WHERE {where}", parameters
            )
            return CustomersPage((), total, None)
        counted = [row[1:] for row in ranked]
        page = counted if by_quantile else _with_quantiles(reader, figures, counted, where, parameters)
        total, following = ranked[0][0], offset + len(page)
        return CustomersPage(
            tuple(CustomerStats(customer_id, summary_of(*row)) for customer_id, *row in page),
            total,
            cursor_to("customers", following) if following < total else None,
        )

    return with_memory_or_disk(reader, Method.IN_MEMORY, ask)


def _with_quantiles(
    reader: Reader,
    figures: Callable[[str], str],
    counted: Sequence[tuple[Any, ...]],
    where: str,
    parameters: dict[str, Any],
) -> list[tuple[Any, ...]]:
    """Rows (customer_id, requests, failed, average) with median and p99 at their ends."""
    page = [row[0] for row in counted]
    records = sum(row[1] for row in counted)
    rows = None
    if records * len(page) <= _MOST_COMPARISONS:
        rows = few_rows(
            reader,
            "list_position($page, customer_id) - 1 AS place, duration",
            f"{where} AND list_contains($page, customer_id)",
            {**parameters, "page": page},
        )
    if rows is not None:
        by_place = {place: found for place, *found in rows.group_by("place").agg(quantiles()).rows()}
        return [(*row, *by_place[place]) for place, row in enumerate(counted)]
    of_page = f"{where} AND customer_id IN (SELECT unnest($page))"
    by_customer = {row[0]: row for row in reader.run(figures(of_page), {**parameters, "page": page})}
    return [by_customer[customer_id] for customer_id in page]
