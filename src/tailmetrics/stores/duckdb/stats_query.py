"""Statistics and rejected lines from the DuckDB file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import TypeVar

import duckdb

from tailmetrics.errors import StoreUnavailable, UnknownCustomer
from tailmetrics.stats import (
    BreakdownQuery,
    Reject,
    RejectsPage,
    RejectsQuery,
    StatsAnswer,
    StatsQuery,
    Summary,
)
from tailmetrics.stores.cursors import LAST, place_of
from tailmetrics.stores.duckdb.aggregates import Groups, Method, aggregates_sql, window_key
from tailmetrics.stores.duckdb.layout import key_of
from tailmetrics.stores.duckdb.reader import MOST_ROWS, Condition, Reader, few_rows
from tailmetrics.stores.duckdb.rows import COUNT_OF_REJECTS
from tailmetrics.stores.results import (
    check_storable,
    rejects_page,
    result_in_one_window,
    result_in_windows,
    result_of_rows,
    summary_of,
)
from tailmetrics.stores.windowing import EARLIEST_US, STRETCH_US, Span, short_spans
from tailmetrics.windows import Grid, clocks_change

_Result = TypeVar("_Result")

# The key alone tells of whole row groups that they need not be read.
_IS_CUSTOMER = (
    f"customer_id = $customer_id AND (customer_key = {key_of('$customer_id')} OR customer_key IS NULL)"
)
# Of the tables themselves it is in DuckDB's own notes, of all together it would be looked for.
_EDGES = (
    "SELECT epoch_us(min(first)), epoch_us(max(last)) FROM ("
    "SELECT min(timestamp) AS first, max(timestamp) AS last FROM settled "
    "UNION ALL SELECT min(timestamp), max(timestamp) FROM fresh "
    "UNION ALL SELECT min(timestamp), max(timestamp) FROM numbered)"
)


def stats(reader: Reader, query: StatsQuery) -> StatsAnswer:
    """Raises UnknownCustomer, QueryError and StoreUnavailable."""
    where = of_customer(query)
    rows = None
    if where.parameters or reader.records <= MOST_ROWS:
        rows = few_rows(reader, "epoch_us(timestamp) AS time, status_code, duration", where)

    def ask(method: Method) -> StatsAnswer:
        return (_in_windows if query.every.cuts else _in_one_window)(reader, query, method, where)

    if rows is not None:
        answer = result_of_rows(query, rows)
    else:
        # Of all customers it is the quicker one, too, where durations repeat.
        first = Method.ON_DISK if query.customer_id is None else Method.IN_MEMORY
        answer = with_memory_or_disk(reader, first, ask)
    if query.customer_id is not None and not answer.summary.total_requests:
        check_known(reader, query.customer_id)
    return answer


def rejects(reader: Reader, query: RejectsQuery) -> RejectsPage:
    """Raises QueryError for a wrong cursor, and StoreUnavailable."""
    before = place_of("rejects", query.after, LAST)
    rows = reader.run(
        """
        SELECT newest.id, source_id, path, newest."offset", reason, line, seen_at
        FROM (SELECT * FROM rejects WHERE id < $before ORDER BY id DESC LIMIT $limit + 1) AS newest
        JOIN sources USING (source_key) ORDER BY newest.id DESC
        """,
        {"before": before, "limit": query.limit},
    )
    [(total,)] = reader.run(f"SELECT {COUNT_OF_REJECTS}")
    found = [
        (place, Reject(source_id, path, offset, reason, line, seen_at.replace(tzinfo=timezone.utc)))
        for place, source_id, path, offset, reason, line, seen_at in rows
    ]
    return rejects_page(found, total, query.limit)


def _in_one_window(reader: Reader, query: StatsQuery, method: Method, where: Condition) -> StatsAnswer:
    total, _ = _summaries(reader, query, method, where, Groups(None, total=True))
    span = None
    if total.total_requests and (query.start is None or query.end is None):
        [span] = reader.run(
            f"SELECT min(epoch_us(timestamp)), max(epoch_us(timestamp)) FROM requests WHERE {where.sql}",
            where.parameters,
        )
    return result_in_one_window(query, total, span)


def _in_windows(reader: Reader, query: StatsQuery, method: Method, where: Condition) -> StatsAnswer:
    spans = _spans(reader, query, where) if clocks_change(query.zone) else []
    grid = Grid(query.every, query.zone, spans)
    if not grid.pieces:
        return result_in_windows(query, grid, Summary(), ())
    groups = Groups(window_key(grid.pieces), total=True)
    total, windows = _summaries(reader, query, method, where, groups)
    return result_in_windows(query, grid, total, sorted(windows.items()))


def _spans(reader: Reader, query: StatsQuery, where: Condition) -> list[Span]:
    spans = short_spans(query, edges(reader))
    if spans is not None:
        return spans
    return reader.run(
        "SELECT min(epoch_us(timestamp)), max(epoch_us(timestamp)) + 1 FROM requests "
        f"WHERE {where.sql} GROUP BY (epoch_us(timestamp) - ({EARLIEST_US})) // {STRETCH_US} ORDER BY 1",
        where.parameters,
    )


def edges(reader: Reader) -> Span | None:
    """The times of the first and the last record in microseconds, from DuckDB's own notes, without a scan."""
    [(first, last)] = reader.run(_EDGES)
    return None if first is None else (first, last)


def _summaries(
    reader: Reader, query: StatsQuery, method: Method, where: Condition, groups: Groups
) -> tuple[Summary, dict[int, Summary]]:
    """Of all records together, and of each group."""
    statements = aggregates_sql(method, groups, where.sql, query.failures)
    rows = (row for sql in statements for row in reader.run(sql, where.parameters))
    by_key = {key: summary_of(*row) for key, *row in rows}
    return by_key.pop(None, Summary()), by_key


def check_known(reader: Reader, customer_id: str) -> None:
    sql = f"SELECT 1 FROM requests WHERE {_IS_CUSTOMER} LIMIT 1"
    if not reader.run(sql, {"customer_id": customer_id}):
        raise UnknownCustomer(customer_id)


def of_customer(query: StatsQuery | BreakdownQuery) -> Condition:
    """The records in the range, and of the customer if one is given.

    Raises UnknownCustomer for an id that no store can hold.
    """
    check_storable(query.customer_id)
    return of_customer_id(within(query.start, query.end), query.customer_id)


def of_customer_id(where: Condition, customer_id: str | None) -> Condition:
    """Those of some records that are the customer's, all of them without one."""
    return where if customer_id is None else where.also(_IS_CUSTOMER, customer_id=customer_id)


def within(start: datetime | None, end: datetime | None) -> Condition:
    """The records in a range."""
    where = Condition("TRUE", {})
    if start is not None:
        where = where.also("timestamp >= $start", start=_naive(start))
    if end is not None:
        where = where.also("timestamp < $end", end=_naive(end))
    return where


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc).replace(tzinfo=None)


def with_memory_or_disk(reader: Reader, first: Method, ask: Callable[[Method], _Result]) -> _Result:
    """The answer by the first method, or on disk where memory did not suffice."""
    try:
        return ask(first)
    except StoreUnavailable as error:
        if first is Method.ON_DISK or not isinstance(error.__cause__, duckdb.OutOfMemoryException):
            raise
    reader.begin_again()
    return ask(Method.ON_DISK)
