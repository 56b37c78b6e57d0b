"""Everything that a page of the dashboard shows, as one document."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from tailmetrics.api import documents
from tailmetrics.api.context import Services
from tailmetrics.api.parameters import ViewParameters
from tailmetrics.api.queries import Range, asked_filter, asked_range, sort_of
from tailmetrics.api.routes.probes import ingestion_readiness
from tailmetrics.api.service_schemas import Trend, View, ViewParts
from tailmetrics.api.times import formatter, is_before_now
from tailmetrics.stats import (
    BreakdownQuery,
    CustomersPage,
    CustomersQuery,
    Every,
    RejectsPage,
    RejectsQuery,
    StatsQuery,
    TrendsQuery,
)
from tailmetrics.stores.base import Queries
from tailmetrics.stores.cursors import cursor_to
from tailmetrics.urls import masked
from tailmetrics.windows import from_us, parse_every, suitable_every, to_us

MOST_WINDOWS = 100  # as many as a chart on a small screen can show

_TREND_PARTS = 24
_LONG = timedelta(hours=20)  # of a range, which is cut into whole hours then
_HOUR_US = 3_600_000_000
_REJECTS_SHOWN = 5
_FIRST_VIEW_SECONDS = 1.0  # for which a start may wait


async def view_json(services: Services, asked: ViewParameters) -> bytes:
    """The view as JSON, as it is now. Raises UnknownCustomer, QueryError, StoreError."""
    rejects = RejectsPage((), 0, None)
    async with services.asking() as store:
        status = await store.status()
        async with store.snapshot() as queries:
            span = await queries.span()
            within = _on_the_hour(asked, _closed(asked_range(asked), span))
            query = StatsQuery(
                asked.customer_id,
                _every(asked.every, within),
                within.start,
                within.end,
                within.zone,
                asked.failures,
                fill=True,
                only=asked_filter(asked),
            )
            stats, parts = await asyncio.gather(queries.stats(query), _parts(queries, asked, within))
            if status.rejects:
                rejects = await queries.rejects(RejectsQuery(_REJECTS_SHOWN))
    statuses = status.sources if services.ingestion is None else services.ingestion.sources()
    view: View = {
        "version": status.version,
        "at": formatter(within.zone)(datetime.now(timezone.utc)),
        "span": None if span is None else [formatter(within.zone)(moment) for moment in span],
        "stats": documents.stats(stats),
        **parts,
        "rejects": documents.rejects(rejects),
        "looks": {
            "patterns": [masked(entry.pattern) for entry in services.settings.log_entries],
            "ingestion": ingestion_readiness(services),
            "sources": documents.sources(statuses),
            "warnings": documents.warnings(statuses),
            "objectives": services.objectives is not None and bool(services.objectives.path),
        },
    }
    return await documents.built(len(stats.windows), lambda: documents.to_json(view))


@contextlib.asynccontextmanager
async def viewed_once(services: Services) -> AsyncIterator[None]:
    """The page's first view is computed before anything is answered, or meanwhile where that takes long.

    It takes three times as long as those that follow: code is loaded, and what the store has summed up.
    """
    view = asyncio.create_task(view_json(services, ViewParameters()))
    await asyncio.wait([view], timeout=_FIRST_VIEW_SECONDS)
    try:
        yield
    finally:
        view.cancel()
        await asyncio.gather(view, return_exceptions=True)  # what is wrong is told to who asks


async def _parts(queries: Queries, asked: ViewParameters, within: Range) -> ViewParts:
    """What is shown below the charts: all customers, or of one its paths and statuses."""
    if asked.customer_id is not None:
        breakdown = BreakdownQuery(
            asked.customer_id, within.start, within.end, asked.failures, only=asked_filter(asked)
        )
        counts = await queries.breakdown(breakdown)
        return {
            "customers": None,
            "cursor": None,
            "trends": {},
            "breakdown": documents.breakdown(counts, breakdown, within),
        }
    query = _customers_query(asked, within)
    page = await queries.customers(query)
    return {
        "customers": documents.customers(page, query, within),
        "cursor": query.after,
        "trends": await _trends(queries, page, query),
        "breakdown": None,
    }


def _every(asked: str, within: Range) -> Every:
    if asked != "auto":
        return parse_every(asked)
    if within.start is None or within.end is None:
        return parse_every("1d")
    return parse_every(suitable_every((within.end - within.start).total_seconds(), MOST_WINDOWS))


def _closed(asked: Range, span: tuple[datetime, datetime] | None) -> Range:
    """The range with the edges of the data for bounds that were not given."""
    if span is None:
        return asked
    start = span[0] if asked.start is None else asked.start
    end = from_us(to_us(span[1]) + 1) if asked.end is None else asked.end
    return Range(min(start, end), max(start, end), asked.zone)


def _on_the_hour(asked: ViewParameters, within: Range) -> Range:
    """A long range from the beginning of its first hour on, unless it is to begin at a time of its own.

    The first window is whole then, and what a store has summed up by hours is all that it has to read.
    """
    is_own = asked.from_ is not None and not is_before_now(asked.from_)
    if is_own or within.start is None or within.end is None or within.end - within.start < _LONG:
        return within
    start_us = to_us(within.start)
    return replace(within, start=from_us(start_us - start_us % _HOUR_US))


def _customers_query(asked: ViewParameters, within: Range) -> CustomersQuery:
    sort, descending = sort_of(asked.sort)
    skipped = (asked.page - 1) * asked.limit
    return CustomersQuery(
        within.start,
        within.end,
        asked.failures,
        asked.search,
        asked.min_requests,
        sort,
        descending,
        asked.limit,
        cursor_to("customers", skipped) if skipped else None,
        asked_filter(asked),
    )


async def _trends(queries: Queries, page: CustomersPage, query: CustomersQuery) -> dict[str, Trend]:
    ids = tuple(customer.customer_id for customer in page.customers)
    if not ids or query.start is None or query.end is None:
        return {}
    parts, length_us = _TREND_PARTS, 0
    if query.end - query.start >= _LONG:
        hours = -(-(to_us(query.end) - to_us(query.start)) // _HOUR_US)
        length_us = -(-hours // _TREND_PARTS) * _HOUR_US
        parts = -(-hours * _HOUR_US // length_us)
    asked = TrendsQuery(ids, query.start, query.end, parts, query.failures, length_us, query.only)
    trends = await queries.trends(asked)
    return {
        trend.customer_id: {"requests": list(trend.requests), "failed": list(trend.failed)}
        for trend in trends
    }
