"""Statistics from ClickHouse."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tailmetrics.errors import UnknownCustomer
from tailmetrics.stats import MAX_WINDOWS, StatsAnswer, StatsQuery, Summary
from tailmetrics.stores.clickhouse.aggregates import aggregates_sql, summary_of_row, window_key
from tailmetrics.stores.clickhouse.conditions import Condition, of_query
from tailmetrics.stores.clickhouse.reader import Statements
from tailmetrics.stores.results import check_storable, result_in_one_window, result_in_windows
from tailmetrics.stores.windowing import (
    EARLIEST_US,
    STRETCH_US,
    Span,
    check_filling,
    number_of_windows,
    short_spans,
    too_many_windows,
)
from tailmetrics.windows import DAY_US, Grid, clocks_change, from_us

_FEW_WINDOWS = 1000  # beyond which their total takes less time by itself
_FEW_ROWS = 1000  # of an answer, which a loop is not held up to read
_AHEAD_US = DAY_US  # of the last request of all that is known: so far later ones are no surprise
_TIMES = ", min(time_us), max(time_us)"


@dataclass(frozen=True, slots=True)
class _Found:
    """The total and the windows, by their uncut starts, and where the requests lie if that was asked for."""

    total: Summary
    windows: Sequence[tuple[int, Summary]]
    edges: Span | None = None

    def is_within(self, span: Span) -> bool:
        return self.edges is None or (span[0] <= self.edges[0] and self.edges[1] < span[1])


async def stats(statements: Statements, query: StatsQuery) -> StatsAnswer:
    """Raises UnknownCustomer, QueryError and StoreUnavailable."""
    where = of_query(query)
    check_filling(query)
    if not query.every.cuts:
        answer = await _in_one_window(statements, query, where)
    elif query.customer_id is None:
        answer = await _of_all_in_windows(statements, query, where)
    else:
        answer = await _of_one_in_windows(statements, query, where)
    if query.customer_id is not None and not answer.summary.total_requests:
        await check_known(statements, query.customer_id)
    return answer


async def span(statements: Statements) -> tuple[datetime, datetime] | None:
    """The times of the first and the last request. Raises StoreUnavailable."""
    found = await _edges(statements, Condition())
    return None if found is None else (from_us(found[0]), from_us(found[1]))


async def check_known(statements: Statements, customer_id: str) -> None:
    """Raises UnknownCustomer for one without any request."""
    check_storable(customer_id)
    where = Condition().of_customer(customer_id)
    found = await statements.frame(f"SELECT 1 FROM records WHERE {where.sql} LIMIT 1", where.parameters)
    if found.is_empty():
        raise UnknownCustomer(customer_id)


async def _in_one_window(statements: Statements, query: StatsQuery, where: Condition) -> StatsAnswer:
    times = _TIMES if query.start is None or query.end is None else ""
    found = await statements.frame(
        f"SELECT {aggregates_sql(query.failures)}{times} FROM records WHERE {where.sql}", where.parameters
    )
    total, edges = _total_of(found.row(0))
    return result_in_one_window(query, total, edges)


async def _of_one_in_windows(statements: Statements, query: StatsQuery, where: Condition) -> StatsAnswer:
    """One customer's, in one statement where no request lies outside of where those of all lay before."""
    if not clocks_change(query.zone):
        return await _checked(statements, query, where, Grid(query.every, query.zone, []))
    edges = statements.reader.edges or await _edges(statements, Condition())
    likely = short_spans(query, edges and (edges[0], edges[1] + _AHEAD_US))
    if likely:
        grid = Grid(query.every, query.zone, likely)
        found = await _rolled_up(statements, query, where, grid, times=_TIMES)
        if found.is_within(likely[0]) and len(found.windows) <= MAX_WINDOWS:
            return result_in_windows(query, grid, found.total, found.windows)
        statements.reader.edges = None
    spans = await _spans(statements, query, where)
    return await _checked(statements, query, where, _grid(query, spans), spans)


async def _checked(
    statements: Statements,
    query: StatsQuery,
    where: Condition,
    grid: Grid,
    spans: Sequence[Span] | None = None,
) -> StatsAnswer:
    """Raises QueryError for more windows than an answer may have."""
    found = _Found(Summary(), ())
    if grid.pieces:
        found = await _rolled_up(statements, query, where, grid)
    if len(found.windows) > MAX_WINDOWS:
        spans = spans or await _spans(statements, query, where)
        raise too_many_windows(query, number_of_windows(query, spans), spans[-1][1] - spans[0][0])
    return result_in_windows(query, grid, found.total, found.windows)


async def _of_all_in_windows(statements: Statements, query: StatsQuery, where: Condition) -> StatsAnswer:
    spans = await _spans(statements, query, where)
    check_filling(query, spans)
    number = number_of_windows(query, spans)
    if number > MAX_WINDOWS and await _more_than(statements, where, MAX_WINDOWS):
        raise too_many_windows(query, number, spans[-1][1] - spans[0][0])
    grid = _grid(query, spans)
    if number <= _FEW_WINDOWS or not grid.pieces:
        return await _checked(statements, query, where, grid, spans)
    aggregates = aggregates_sql(query.failures)
    whole = await statements.frame(f"SELECT {aggregates} FROM records WHERE {where.sql}", where.parameters)
    windows = await statements.frame(
        f"SELECT {window_key(grid.pieces)} AS window, {aggregates} "
        f"FROM records WHERE {where.sql} GROUP BY window ORDER BY window",
        where.parameters,
    )

    def result() -> StatsAnswer:
        found = [(window, summary_of_row(*row)) for window, *row in windows.iter_rows()]
        # What came in between the two statements is in both.
        counts = int(windows["requests"].sum()), int(windows["failed"].sum())
        return result_in_windows(query, grid, summary_of_row(*counts, *whole.row(0)[2:]), found)

    # Of many windows that takes long, and other questions go on meanwhile.
    return await asyncio.to_thread(result)


async def _rolled_up(
    statements: Statements, query: StatsQuery, where: Condition, grid: Grid, times: str = ""
) -> _Found:
    """The windows by time, one too many if there are more than there may be; `times` gives the edges too."""
    found = await statements.frame(
        f"SELECT grouping(window) AS is_total, {window_key(grid.pieces)} AS window, "
        f"{aggregates_sql(query.failures)}{times} FROM records WHERE {where.sql} "
        f"GROUP BY window WITH ROLLUP ORDER BY is_total DESC, window LIMIT {MAX_WINDOWS + 2}",
        where.parameters,
    )
    if found.height > _FEW_ROWS:
        return await asyncio.to_thread(_found_in, found.rows())
    return _found_in(found.rows())


def _found_in(rows: Sequence[tuple[Any, ...]]) -> _Found:
    """Of rows (is_total, window, and what `_total_of` takes), that of the total first if there is any."""
    if not rows:
        return _Found(Summary(), ())
    total, edges = _total_of(rows[0][2:])
    windows = [(window, summary_of_row(*row[:4])) for _, window, *row in rows[1:]]
    return _Found(total, windows, edges)


def _total_of(row: Sequence[Any]) -> tuple[Summary, Span | None]:
    """The total, and the edges where a row has them and is of any request."""
    total = summary_of_row(*row[:4])
    return total, (row[4], row[5]) if total.total_requests and row[4:] else None


def _grid(query: StatsQuery, spans: Sequence[Span]) -> Grid:
    """The windows of spans, and of a day beside them: more may come before the next statement."""
    wider = [list(span) for span in spans]
    if wider:
        wider[0][0] -= DAY_US
        wider[-1][1] += DAY_US
    return Grid(query.every, query.zone, [(low, high) for low, high in wider])


async def _more_than(statements: Statements, where: Condition, number: int) -> bool:
    """Whether there are more requests than that, without a look at all of them."""
    found = await statements.frame(
        f"SELECT count() FROM (SELECT 1 FROM records WHERE {where.sql} LIMIT {number + 1})", where.parameters
    )
    return bool(found.item() > number)


async def _spans(statements: Statements, query: StatsQuery, where: Condition) -> list[Span]:
    spans = short_spans(query, await _edges(statements, Condition().of_customer(query.customer_id)))
    if spans is not None:
        return spans
    found = await statements.frame(
        "SELECT min(time_us), max(time_us) + 1 "
        f"FROM records WHERE {where.sql} GROUP BY intDiv(time_us - ({EARLIEST_US}), {STRETCH_US}) ORDER BY 1",
        where.parameters,
    )
    return found.rows()


async def _edges(statements: Statements, where: Condition) -> Span | None:
    found = await statements.frame(
        f"SELECT count() AS requests, min(time_us), max(time_us) FROM records WHERE {where.sql}",
        where.parameters,
    )
    requests, first, last = found.row(0)
    edges = (first, last) if requests else None
    if not where.parameters:
        statements.reader.edges = edges
    return edges
