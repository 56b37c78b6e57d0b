"""Statistics and rejected lines from the DuckDB file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timezone
from operator import itemgetter
from typing import TypeVar

import duckdb

from tailmetrics.errors import StoreUnavailable, UnknownCustomer
from tailmetrics.stats import (
    MAX_WINDOWS,
    Reject,
    RejectsPage,
    RejectsQuery,
    StatsAnswer,
    StatsQuery,
    Summary,
)
from tailmetrics.stores.cursors import LAST, place_of
from tailmetrics.stores.duckdb.queries.aggregates import Groups, Method, aggregates_sql, window_key
from tailmetrics.stores.duckdb.queries.conditions import IS_CUSTOMER, Condition, of_customer
from tailmetrics.stores.duckdb.queries.reader import MOST_ROWS, Reader, few_rows
from tailmetrics.stores.duckdb.rows import COUNT_OF_REJECTS
from tailmetrics.stores.results import (
    rejects_page,
    result_in_one_window,
    result_in_windows,
    result_of_rows,
    summary_of,
)
from tailmetrics.stores.windowing import (
    EARLIEST_US,
    STRETCH_US,
    Span,
    check_filling,
    number_of_windows,
    short_spans,
    too_many_windows,
)
from tailmetrics.windows import Grid

_Result = TypeVar("_Result")

_FEW_WINDOWS = 500
_MOST_IN_MEMORY = 10_000_000  # records, whose durations take 80 MB

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
    check_filling(query)
    spans = None
    if query.every.cuts and query.customer_id is None:
        spans = _checked_spans(reader, query, where)
    rows = None
    if query.customer_id is not None or not _more_than(reader, where, MOST_ROWS):
        rows = few_rows(reader, "epoch_us(timestamp) AS time, status_code, duration", where)

    def ask(method: Method) -> StatsAnswer:
        if not query.every.cuts:
            return _in_one_window(reader, query, method, where)
        return _in_windows(reader, query, method, where, spans or _checked_spans(reader, query, where))

    if rows is not None:
        answer = result_of_rows(query, rows)
    else:
        answer = with_memory_or_disk(reader, _first_method(reader, query, spans or ()), ask)
    if query.customer_id is not None and not answer.summary.total_requests:
        check_known(reader, query.customer_id)
    return answer


def _first_method(reader: Reader, query: StatsQuery, spans: Sequence[Span]) -> Method:
    """Of all customers the disk is the quicker one, too, where durations repeat: not within short windows."""
    if query.customer_id is not None:
        return Method.IN_MEMORY
    short = query.every.cuts and number_of_windows(query, spans) > _FEW_WINDOWS
    return Method.IN_MEMORY if short and reader.records <= _MOST_IN_MEMORY else Method.ON_DISK


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
            f"SELECT min(epoch_us(timestamp)), max(epoch_us(timestamp)) FROM {where.view} WHERE {where.sql}",
            where.parameters,
        )
    return result_in_one_window(query, total, span)


def _in_windows(
    reader: Reader, query: StatsQuery, method: Method, where: Condition, spans: Sequence[Span]
) -> StatsAnswer:
    grid = Grid(query.every, query.zone, spans)
    if not grid.pieces:
        return result_in_windows(query, grid, Summary(), ())
    groups = Groups(window_key(grid.pieces), total=True)
    total, windows = _summaries(reader, query, method, where, groups)
    return result_in_windows(query, grid, total, sorted(windows.items(), key=itemgetter(0)))


def _checked_spans(reader: Reader, query: StatsQuery, where: Condition) -> list[Span]:
    """Where requests can lie.

    Raises QueryError for more windows than an answer may have, by the clock and by requests.
    """
    spans = _spans(reader, query, where)
    check_filling(query, spans)
    if (number := number_of_windows(query, spans)) <= MAX_WINDOWS:
        return spans
    if _more_than(reader, where, MAX_WINDOWS):
        raise too_many_windows(query, number, spans[-1][1] - spans[0][0])
    return spans


def _more_than(reader: Reader, where: Condition, number: int) -> bool:
    """Whether there are more requests than that, without a look at all of them."""
    if reader.records <= number:
        return False
    [(found,)] = reader.run(
        f"SELECT count(*) FROM (SELECT 1 FROM {where.view} WHERE {where.sql} LIMIT {number + 1})",
        where.parameters,
    )
    return bool(found > number)


def _spans(reader: Reader, query: StatsQuery, where: Condition) -> list[Span]:
    spans = short_spans(query, edges(reader))
    if spans is not None:
        return spans
    return reader.run(
        "SELECT min(epoch_us(timestamp)), max(epoch_us(timestamp)) + 1 "
        f"FROM {where.view} WHERE {where.sql} "
        f"GROUP BY (epoch_us(timestamp) - ({EARLIEST_US})) // {STRETCH_US} ORDER BY 1",
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
    statements = aggregates_sql(method, groups, where, query.failures)
    rows = (row for sql in statements for row in reader.run(sql, where.parameters))
    by_key = {key: summary_of(*row) for key, *row in rows}
    return by_key.pop(None, Summary()), by_key


def check_known(reader: Reader, customer_id: str) -> None:
    sql = f"SELECT 1 FROM requests WHERE {IS_CUSTOMER} LIMIT 1"
    if not reader.run(sql, {"customer_id": customer_id}):
        raise UnknownCustomer(customer_id)


def with_memory_or_disk(reader: Reader, first: Method, ask: Callable[[Method], _Result]) -> _Result:
    """The answer by the first method, or on disk where memory did not suffice."""
    try:
        return ask(first)
    except StoreUnavailable as error:
        if first is Method.ON_DISK or not isinstance(error.__cause__, duckdb.OutOfMemoryException):
            raise
    reader.begin_again()
    return ask(Method.ON_DISK)
