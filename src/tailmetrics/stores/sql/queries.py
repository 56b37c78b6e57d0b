"""What is asked of the SQL store."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from tailmetrics.errors import UnknownCustomer
from tailmetrics.stats import (
    ALL_REQUESTS,
    MAX_WINDOWS,
    Breakdown,
    BreakdownQuery,
    CountsQuery,
    CustomersPage,
    CustomersQuery,
    PathCount,
    Reject,
    RejectsPage,
    RejectsQuery,
    RequestFilter,
    RequestsQuery,
    StatsAnswer,
    StatsQuery,
    StatusCount,
    StoreStatus,
    Summary,
    Trend,
    TrendsQuery,
)
from tailmetrics.status import SourceStatus, is_alive, status_of, stored_statuses
from tailmetrics.stores.cursors import LAST, place_of
from tailmetrics.stores.results import (
    check_storable,
    rejects_page,
    result_in_one_window,
    result_in_windows,
    summary_of,
    trends_of,
)
from tailmetrics.stores.sql import counts_query, customers_query, filtering
from tailmetrics.stores.sql.aggregates import aggregates_of, counts_of, failed_of, us, window_key
from tailmetrics.stores.sql.recent import RecentRequests
from tailmetrics.stores.sql.schema import customers, records, rejects, reports, sources, store
from tailmetrics.stores.sql.summaries import SqlSummarized
from tailmetrics.stores.sql.writer import source_of
from tailmetrics.stores.summaries import answers
from tailmetrics.stores.summaries import counts as summary_counts
from tailmetrics.stores.summaries.reading import BlockCache, Reading
from tailmetrics.stores.windowing import (
    EARLIEST_US,
    STRETCH_US,
    Span,
    check_filling,
    number_of_windows,
    short_spans,
    too_many_windows,
)
from tailmetrics.windows import Grid, from_us, to_us

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_FEW_CUSTOMERS = 1000


class Queries:
    """The queries over one connection, all answered from the state after the same commit."""

    def __init__(self, connection: AsyncConnection, cache: BlockCache, recent: RecentRequests) -> None:
        self.connection = connection
        self._summaries = Reading(SqlSummarized(lambda: contextlib.nullcontext(connection), recent), cache)
        self._sums = cache.sums
        self.is_postgresql = connection.dialect.name == "postgresql"

    async def stats(self, query: StatsQuery) -> StatsAnswer:
        """Raises UnknownCustomer and QueryError."""
        if query.customer_id is None and query.only == ALL_REQUESTS:
            found = await answers.stats(self._summaries, query)
            if found is not None:
                return found
        check_filling(query)
        where = await self.selected(query)
        if query.every.cuts:
            answer = await self._in_windows(query, where)
        else:
            answer = await self._in_one_window(query, where)
        if query.customer_id is not None and not answer.summary.total_requests:
            await self.check_known(query.customer_id)
        return answer

    async def customers(self, query: CustomersQuery) -> CustomersPage:
        """Raises QueryError for a wrong cursor."""
        if query.only != ALL_REQUESTS:
            return await customers_query.customers(self.connection, query)
        return await answers.customers(self._summaries, query, self._sums)

    async def breakdown(self, query: BreakdownQuery) -> Breakdown:
        """Raises UnknownCustomer."""
        if query.customer_id is None and query.only == ALL_REQUESTS and not query.latencies:
            return await answers.breakdown(self._summaries, query)
        where, status = await self.selected(query), records.c.status_code
        if query.latencies:
            statement = self._aggregates(status, where, query.failures)
        else:
            statement = counts_of(status, where, query.failures)
        statuses = await self.fetch(statement.order_by("key"))
        if not statuses:
            if query.customer_id is not None:
                await self.check_known(query.customer_id)
            return Breakdown()
        paths, paths_total = await self._paths(where, query)
        return Breakdown(
            paths,
            paths_total,
            tuple(
                StatusCount(row.key, int(row.requests), int(row.failed), row.p99 if query.latencies else None)
                for row in statuses
            ),
        )

    async def trends(self, query: TrendsQuery) -> Sequence[Trend]:
        if query.only == ALL_REQUESTS:
            return await answers.trends(self._summaries, query)
        return trends_of(query, (await self.counts(query.counts)).iter_rows())

    async def counts(self, query: CountsQuery) -> pl.DataFrame:
        if counts_query.is_in_blocks(query):
            return await summary_counts.counts(self._summaries, query)
        return await counts_query.counts(self.connection, query)

    async def span(self) -> tuple[datetime, datetime] | None:
        return await answers.span(self._summaries)

    async def rejects(self, query: RejectsQuery) -> RejectsPage:
        """Raises QueryError for a wrong cursor."""
        before = place_of("rejects", query.after, LAST)
        rows = await self.fetch(
            sa.select(
                rejects.c.id,
                sources.c.source_id,
                sources.c.path,
                rejects.c.offset,
                rejects.c.reason,
                rejects.c.line,
                rejects.c.seen_us,
            )
            .join(sources, sources.c.source_key == rejects.c.source_key)
            .where(rejects.c.id < before)
            .order_by(rejects.c.id.desc())
            .limit(query.limit + 1)
        )
        [(total,)] = await self.fetch(sa.select(store.c.rejects))
        found = [
            (place, Reject(source_id, path, offset, reason, line, from_us(seen_us)))
            for place, source_id, path, offset, reason, line, seen_us in rows
        ]
        return rejects_page(found, total, query.limit)

    async def status(self, heard: dict[str, tuple[float, float]]) -> StoreStatus:
        """Without the sources when no processor that lives said of them; `heard` is that of `is_alive`."""
        rows = await self.fetch(
            sa.select(
                store.c.store_id,
                store.c.commits,
                store.c.records,
                store.c.rejects,
                store.c.blanks,
                reports.c.processor,
                reports.c.said_us,
                reports.c.statuses,
            )
            .join_from(store, reports, sa.true(), isouter=True)
            .order_by(reports.c.processor)
        )
        store_id, commits, records_count, rejects_count, blanks, *_ = rows[0]
        said = tuple(
            status
            for *_, processor, said_us, report in rows
            if report and is_alive(processor, said_us / 1e6, heard)
            for status in statuses_from(report)
        )
        return StoreStatus(f"{store_id}-{commits}", records_count, rejects_count, blanks, said)

    async def stored_sources(self) -> tuple[SourceStatus, ...]:
        """How far each file and partition is in the store, for want of a processor that says more."""
        rows = await self.fetch(sa.select(sources).order_by(sources.c.source_key))
        return stored_statuses(map(source_of, rows))

    async def ping(self) -> None:
        await self.fetch(sa.select(store.c.id))

    async def fetch(self, statement: Any) -> Sequence[Any]:
        """All rows that a statement gives."""
        rows: Sequence[Any] = (await self.connection.execute(statement)).all()
        return rows

    def _aggregates(
        self, key: sa.ColumnElement[Any], where: sa.ColumnElement[bool], failures: Any
    ) -> sa.Select[Any]:
        return aggregates_of(key, where, failures, percentiles=self.is_postgresql)

    def is_selected(self, only: RequestFilter) -> sa.ColumnElement[bool]:
        """A condition for what a filter selects."""
        return filtering.is_selected(only, self.connection.dialect)

    async def selected(self, query: StatsQuery | BreakdownQuery | RequestsQuery) -> sa.ColumnElement[bool]:
        """A condition for the requests that a query is about. Raises UnknownCustomer."""
        where = _within(query.start, query.end) & self.is_selected(query.only)
        return await self.of_customers(query.customer_id, where)

    async def of_customers(
        self, customer_id: str | None, where: sa.ColumnElement[bool]
    ) -> sa.ColumnElement[bool]:
        """A condition for one customer alone, or for all, who are named where they are few.

        The index has the times of each customer apart. Raises UnknownCustomer.
        """
        if customer_id is not None:
            return where & (records.c.customer_key == await self._key_of(customer_id))
        keys = await self.fetch(sa.select(customers.c.customer_key).limit(_FEW_CUSTOMERS + 1))
        if len(keys) > _FEW_CUSTOMERS:
            return where
        return where & records.c.customer_key.in_([key for (key,) in keys])

    async def _key_of(self, customer_id: str) -> int:
        check_storable(customer_id)
        rows = await self.fetch(
            sa.select(customers.c.customer_key).where(customers.c.customer_id == customer_id)
        )
        if not rows:
            raise UnknownCustomer(customer_id)
        return int(rows[0][0])

    async def check_known(self, customer_id: str) -> None:
        """Raises UnknownCustomer for one without any request."""
        key = await self._key_of(customer_id)
        if not await self.fetch(sa.select(sa.literal(1)).where(records.c.customer_key == key).limit(1)):
            raise UnknownCustomer(customer_id)

    async def _in_one_window(self, query: StatsQuery, where: sa.ColumnElement[bool]) -> StatsAnswer:
        total = await self._total(query, where)
        span = None
        if total.total_requests and (query.start is None or query.end is None):
            first, last = sa.func.min(records.c.time_us), sa.func.max(records.c.time_us)
            [span] = await self.fetch(sa.select(first, last).where(where))
        return result_in_one_window(query, total, None if span is None else (span[0], span[1]))

    async def _in_windows(self, query: StatsQuery, where: sa.ColumnElement[bool]) -> StatsAnswer:
        spans = await self._spans(query, where)
        await self._check_windows(query, where, spans)
        grid = Grid(query.every, query.zone, spans)
        if not grid.pieces:
            return result_in_windows(query, grid, Summary(), ())
        rows = await self.fetch(self._aggregates(window_key(grid.pieces), where, query.failures))
        only = summary_of(*_plain(rows[0][1:])) if len(rows) == 1 else None
        total = only or await self._total(query, where)
        # Of many windows that takes long, and other questions go on meanwhile.
        return await asyncio.to_thread(_result_in_windows, query, grid, total, rows)

    async def _check_windows(
        self, query: StatsQuery, where: sa.ColumnElement[bool], spans: Sequence[Span]
    ) -> None:
        """Raises QueryError for more windows than an answer may have, by the clock and by requests."""
        check_filling(query, spans)
        if (number := number_of_windows(query, spans)) <= MAX_WINDOWS:
            return
        some = sa.select(sa.literal(1)).select_from(records).where(where).limit(MAX_WINDOWS + 1).subquery()
        [(requests,)] = await self.fetch(sa.select(sa.func.count()).select_from(some))
        if requests > MAX_WINDOWS:
            raise too_many_windows(query, number, spans[-1][1] - spans[0][0])

    async def _total(self, query: StatsQuery, where: sa.ColumnElement[bool]) -> Summary:
        rows = await self.fetch(self._aggregates(sa.literal(0), where, query.failures))
        return summary_of(*_plain(rows[0][1:])) if rows else Summary()

    async def _spans(self, query: StatsQuery, where: sa.ColumnElement[bool]) -> list[Span]:
        spans = short_spans(query, await self._span())
        if spans is not None:
            return spans
        time = records.c.time_us
        since = time - us(EARLIEST_US)
        stretches = (
            sa.select((since - since % us(STRETCH_US)).label("stretch"), time.label("time_us"))
            .where(where)
            .subquery("stretches")
        )
        rows = await self.fetch(
            sa.select(sa.func.min(stretches.c.time_us), sa.func.max(stretches.c.time_us) + 1)
            .group_by(stretches.c.stretch)
            .order_by(stretches.c.stretch)
        )
        return [(int(first), int(end)) for first, end in rows]

    async def _span(self) -> Span | None:
        [(first, last)] = await self.fetch(sa.select(store.c.first_us, store.c.last_us))
        return None if first is None else (first, last)

    async def _paths(
        self, where: sa.ColumnElement[bool], query: BreakdownQuery
    ) -> tuple[tuple[PathCount, ...], int]:
        key: sa.ColumnElement[Any] = records.c.path
        if self.connection.dialect.name in {"mysql", "mariadb"}:
            key = sa.func.md5(key)  # they group by sorting, and sort by the first KiB only
        matching = (
            sa.select(key.label("key"), records.c.path, failed_of(query.failures))
            .where(where)
            .subquery("matching")
        )
        number, path = sa.func.count(), sa.func.min(matching.c.path)
        rows = await self.fetch(
            sa.select(path, number, sa.func.sum(matching.c.failed), sa.func.count().over(), matching.c.key)
            .group_by(matching.c.key)
            .order_by(number.desc(), path)
            .limit(query.top)
        )
        p99: dict[Any, float | None] = {}
        if query.latencies:
            of_top = where & key.in_([row.key for row in rows])
            p99 = {
                row.key: row.p99 for row in await self.fetch(self._aggregates(key, of_top, query.failures))
            }
        paths = tuple(
            PathCount(path, number, int(failed), p99.get(key)) for path, number, failed, _, key in rows
        )
        return paths, rows[0][3] if rows else 0


def statuses_from(report: str) -> tuple[SourceStatus, ...]:
    """What a processor said, from the text that `report_of` makes of it."""

    def status(said: dict[str, Any]) -> SourceStatus:
        at = said["updated_at"]
        return status_of(said, None if at is None else datetime.fromisoformat(at))

    return tuple(map(status, json.loads(report)))


def _result_in_windows(query: StatsQuery, grid: Grid, total: Summary, rows: Sequence[Any]) -> StatsAnswer:
    windows = [(int(row[0]), summary_of(*_plain(row[1:]))) for row in rows]
    return result_in_windows(query, grid, total, sorted(windows, key=itemgetter(0)))


def _within(start: datetime | None, end: datetime | None) -> sa.ColumnElement[bool]:
    where: sa.ColumnElement[bool] = sa.true()
    if start is not None:
        where &= records.c.time_us >= us(to_us(start))
    if end is not None:
        where &= records.c.time_us < us(to_us(end))
    return where


def _plain(row: Sequence[Any]) -> list[Any]:
    """A row of counts, which some databases give as decimals, and latencies."""
    requests, failed, *latencies = row
    return [int(requests), int(failed), *latencies]
