"""One page of all customers of the DuckDB file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tailmetrics.stats import MAX_PAGE, CustomersPage, CustomersQuery
from tailmetrics.stores.cursors import place_of
from tailmetrics.stores.duckdb.queries.aggregates import Groups, Method, aggregates_sql, counts_sql
from tailmetrics.stores.duckdb.queries.conditions import Condition, within
from tailmetrics.stores.duckdb.queries.reader import Reader, few_rows
from tailmetrics.stores.duckdb.queries.stats_query import with_memory_or_disk
from tailmetrics.stores.results import can_be_stored, customers_page, latencies

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
# `lower` is of all letters, and leaves little for the pattern, which is slow and of ASCII letters alone.
_NAMED = "contains(lower(customer_id), lower($search)) AND regexp_matches(customer_id, $pattern)"
_MOST_COMPARISONS = 25_000_000  # of ids, beyond which a join is quicker


def customers(reader: Reader, query: CustomersQuery) -> CustomersPage:
    """Raises QueryError for a wrong cursor, and StoreUnavailable."""
    offset = place_of("customers", query.after, 0)
    where = within(query.start, query.end).selected(query.only)
    if query.search:
        if not can_be_stored(query.search):
            return CustomersPage((), 0, None)
        where = where.also(_NAMED, search=query.search, pattern=_pattern(query.search))

    def ask(method: Method) -> CustomersPage:
        def aggregates(condition: Condition) -> str:
            [sql] = aggregates_sql(method, _BY_CUSTOMER, condition, query.failures)
            return sql

        # Quantiles of all customers are found only where the order, or a long page, asks for them.
        by_quantile = query.sort in _QUANTILES or query.limit > MAX_PAGE
        ranking = aggregates(where) if by_quantile else counts_sql("customer_id", where, query.failures)
        direction = "DESC" if query.descending else "ASC"
        ranked = reader.run(
            f"SELECT count(*) OVER (), * FROM ({ranking}) WHERE requests >= $enough "
            f"ORDER BY {_RANKS[query.sort]} {direction} NULLS LAST, key LIMIT $limit OFFSET $offset",
            {**where.parameters, "enough": query.min_requests, "limit": query.limit, "offset": offset},
        )
        if not ranked:
            counted = counts_sql("customer_id", where, query.failures)
            [(total,)] = reader.run(
                f"SELECT count(*) FROM ({counted}) WHERE requests >= $enough",
                {**where.parameters, "enough": query.min_requests},
            )
            return CustomersPage((), total, None)
        rows = [row[1:] for row in ranked]
        page = rows if by_quantile else _with_quantiles(reader, aggregates, rows, where)
        return customers_page(page, ranked[0][0], offset)

    return with_memory_or_disk(reader, Method.IN_MEMORY, ask)


def _pattern(search: str) -> str:
    """A regular expression that finds a text, of ASCII letters in either case."""
    return "".join(
        f"[{each.lower()}{each.upper()}]" if each.isascii() and each.isalpha() else f"\\x{{{ord(each):x}}}"
        for each in search
    )


def _with_quantiles(
    reader: Reader,
    aggregates: Callable[[Condition], str],
    counted: Sequence[tuple[Any, ...]],
    where: Condition,
) -> list[tuple[Any, ...]]:
    """Rows (customer_id, requests, failed, average) with median and p99 at their ends."""
    page = [row[0] for row in counted]
    records = sum(row[1] for row in counted)
    rows = None
    if records * len(page) <= _MOST_COMPARISONS:
        listed = where.also("list_contains($page, customer_id)", page=page)
        rows = few_rows(reader, "list_position($page, customer_id) - 1 AS place, duration", listed)
    if rows is not None:
        found = rows.group_by("place").agg(latencies()).rows()
        by_place = {place: quantiles for place, _, *quantiles in found}
        return [(*row, *by_place[place]) for place, row in enumerate(counted)]
    joined = where.also("customer_id IN (SELECT unnest($page))", page=page)
    by_customer = {row[0]: row for row in reader.run(aggregates(joined), joined.parameters)}
    return [by_customer[customer_id] for customer_id in page]
