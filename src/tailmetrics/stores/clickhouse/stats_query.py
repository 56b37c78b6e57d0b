"""Statistics from ClickHouse."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import polars as pl

from tailmetrics.errors import UnknownCustomer
from tailmetrics.stats import MAX_WINDOWS, StatsAnswer, StatsQuery, Summary
from tailmetrics.stores.clickhouse.aggregates import aggregates_sql, summaries, window_key
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
from tailmetrics.windows import Grid, clocks_change, from_us, to_us

_FEW_WINDOWS = 1000  # beyond which their total takes less time by itself
# Around now: where the requests of a log lie that has no wrong dates.
_USUAL_PAST, _USUAL_FUTURE = timedelta(days=18 * 366), timedelta(days=366)


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
    total, edges = await _total(statements, query, where)
    return result_in_one_window(query, total, edges)


async def _of_one_in_windows(statements: Statements, query: StatsQuery, where: Condition) -> StatsAnswer:
    """One customer's, in one statement wherever no request lies outside of the usual years."""
    spans: list[Span] | None = []
    if clocks_change(query.zone):
        now = datetime.now(timezone.utc)
        spans = short_spans(query, (to_us(now - _USUAL_PAST), to_us(now + _USUAL_FUTURE)))
    grid = Grid(query.every, query.zone, spans or [])
    if grid.pieces:
        total, edges, found = await _rolled_up(statements, query, where, grid)
        if (not spans or _is_inside(edges, spans[0])) and found.height <= MAX_WINDOWS:
            return await asyncio.to_thread(_result, query, grid, total, found)
    spans = await _spans(statements, query, where)
    check_filling(query, spans)
    grid = Grid(query.every, query.zone, spans)
    if not grid.pieces:
        return result_in_windows(query, grid, Summary(), ())
    total, _, found = await _rolled_up(statements, query, where, grid)
    if found.height > MAX_WINDOWS:
        raise too_many_windows(query, number_of_windows(query, spans), spans[-1][1] - spans[0][0])
    return await asyncio.to_thread(_result, query, grid, total, found)


def _is_inside(edges: Span | None, span: Span) -> bool:
    """Whether the first and the last time, if there are any, lie in a span."""
    return edges is None or (span[0] <= edges[0] and edges[1] < span[1])


async def _of_all_in_windows(statements: Statements, query: StatsQuery, where: Condition) -> StatsAnswer:
    spans = await _spans(statements, query, where)
    check_filling(query, spans)
    number = number_of_windows(query, spans)
    if number > MAX_WINDOWS and await _more_than(statements, where, MAX_WINDOWS):
        raise too_many_windows(query, number, spans[-1][1] - spans[0][0])
    grid = Grid(query.every, query.zone, spans)
    if not grid.pieces:
        return result_in_windows(query, grid, Summary(), ())
    if number <= _FEW_WINDOWS:
        total, _, found = await _rolled_up(statements, query, where, grid)
    else:
        total, _ = await _total(statements, query, where)
        found = await statements.frame(
            f"SELECT {window_key(grid.pieces)} AS window, {aggregates_sql(query.failures)} "
            f"FROM records WHERE {where.sql} GROUP BY window ORDER BY window",
            where.parameters,
        )
    return await asyncio.to_thread(_result, query, grid, total, found)


async def _total(statements: Statements, query: StatsQuery, where: Condition) -> tuple[Summary, Span | None]:
    """Of all records together, and the times of the first and the last."""
    found = await statements.frame(
        f"SELECT {aggregates_sql(query.failures)}, min(time_us) AS first, max(time_us) AS last "
        f"FROM records WHERE {where.sql}",
        where.parameters,
    )
    return next(summaries(found)), _times(found)


async def _rolled_up(
    statements: Statements, query: StatsQuery, where: Condition, grid: Grid
) -> tuple[Summary, Span | None, pl.DataFrame]:
    """The same and rows of windows, of which there is one too many if there are more than there may be."""
    found = await statements.frame(
        f"SELECT grouping(window) AS is_total, {window_key(grid.pieces)} AS window, "
        f"{aggregates_sql(query.failures)}, min(time_us) AS first, max(time_us) AS last "
        f"FROM records WHERE {where.sql} GROUP BY window WITH ROLLUP "
        f"ORDER BY is_total DESC, window LIMIT {MAX_WINDOWS + 2}",
        where.parameters,
    )
    total = found.filter(pl.col("is_total") == 1)
    return next(summaries(total), Summary()), _times(total), found.filter(pl.col("is_total") == 0)


def _times(total: pl.DataFrame) -> Span | None:
    if total.is_empty() or not total["requests"][0]:
        return None
    return total["first"][0], total["last"][0]


async def _more_than(statements: Statements, where: Condition, number: int) -> bool:
    """Whether there are more requests than that, without a look at all of them."""
    found = await statements.frame(
        f"SELECT count() FROM (SELECT 1 FROM records WHERE {where.sql} LIMIT {number + 1})", where.parameters
    )
    return bool(found.item() > number)


async def _spans(statements: Statements, query: StatsQuery, where: Condition) -> list[Span]:
    edges = await _edges(statements, Condition().of_customer(query.customer_id))
    spans = short_spans(query, edges)
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
        "SELECT count() AS requests, min(time_us) AS first, max(time_us) AS last "
        f"FROM records WHERE {where.sql}",
        where.parameters,
    )
    return _times(found)


def _result(query: StatsQuery, grid: Grid, total: Summary, found: pl.DataFrame) -> StatsAnswer:
    windows: Sequence[tuple[int, Summary]] = list(zip(found["window"], summaries(found), strict=True))
    return result_in_windows(query, grid, total, windows)
