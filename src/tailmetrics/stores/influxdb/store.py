"""The store that is an InfluxDB 2 server: processors and APIs on any number of machines."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, TypeVar

import polars as pl

from tailmetrics.errors import StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch, Source
from tailmetrics.stats import (
    ALL_REQUESTS,
    Breakdown,
    BreakdownQuery,
    CountsQuery,
    CustomersPage,
    CustomersQuery,
    RecordsQuery,
    StatsAnswer,
    StatsQuery,
    Trend,
    TrendsQuery,
)
from tailmetrics.status import SourceStatus
from tailmetrics.stores.base import COMMIT_LINES, READ_AHEAD, Changes, Note, asked
from tailmetrics.stores.influxdb import filtered_query, meta_queries, records_query, stats_query
from tailmetrics.stores.influxdb.notes import InfluxDBNotes, names, note
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.influxdb.server import Server
from tailmetrics.stores.influxdb.summaries import InfluxDBSummaries
from tailmetrics.stores.influxdb.writer import InfluxDBWriter
from tailmetrics.stores.record_pages import pages
from tailmetrics.stores.summaries import answers
from tailmetrics.stores.summaries.base import BlocksGone
from tailmetrics.stores.summaries.counts import counts
from tailmetrics.stores.summaries.maker import Making
from tailmetrics.stores.summaries.reading import BlockCache, Reading
from tailmetrics.telemetry.log import EventLog

log = EventLog()

_Result = TypeVar("_Result")


class InfluxDBStore:
    """A Store in two buckets of an InfluxDB server: one of records, and one that never expires.

    There are no transactions: records are written first, then rejects, then the positions. What was written
    of a commit that failed is written again by the next one, as the same points.
    """

    commit_lines = COMMIT_LINES
    read_ahead = READ_AHEAD

    def __init__(self, settings: Settings, *, creates: bool = True) -> None:
        """Make the buckets where there are none, if it `creates` them.

        Raises SettingsError, and StoreError when the server is no InfluxDB 2 or has no buckets then.
        A server that is away, or a wrong token, is logged and tried again later.
        """
        self._server = Server(settings, creates=creates)
        self._writer = InfluxDBWriter(self._server, settings.max_rejects_kept)
        self._reader = InfluxDBReader(self._server.address, settings.query_timeout_seconds)
        self._notes = InfluxDBNotes(self._server)
        self._summaries = InfluxDBSummaries(self._reader, self._server)
        self._cache = BlockCache()
        self._pinned: Reading | None = None
        self._making = Making(self._reader.loop, self._summaries)
        self._lock = threading.Lock()
        self._closed = False
        try:
            self._server.prepare()
        except StoreUnavailable as error:
            log.warning("the store is not ready", error=str(error))
        except BaseException:
            self.close()
            raise

    def sources(self, node_id: str | None) -> Sequence[Source]:
        with self._lock:
            return [stored.source for stored in self._open_writer().sources(node_id).values()]

    def all_sources(self) -> Sequence[Source]:
        with self._lock:
            return self._open_writer().all_sources()

    def register(self, source: Source) -> Source:
        with self._lock:
            return self._open_writer().register([source])[source.source_id].source

    def register_all(self, sources: Sequence[Source]) -> None:
        with self._lock:
            self._open_writer().register(sources)

    def position(self, source_id: str) -> int | None:
        with self._lock:
            return self._open_writer().position(source_id)

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def write(self, batches: Sequence[Batch]) -> None:
        with self._lock:
            self._open_writer().write(batches)

    def release(self, source_ids: Sequence[str]) -> None:
        with self._lock:
            self._open_writer().release(source_ids)

    def forget(self, source_ids: Sequence[str], *, with_records: bool = False) -> int:
        with self._lock:
            return self._open_writer().forget(source_ids, with_records=with_records)

    def report(self, processor: str, statuses: Sequence[SourceStatus]) -> None:
        self._open_writer().report(processor, statuses)

    def version_of(self, customer_id: str | None) -> int | None:  # noqa: ARG002  # others may write
        return None

    def snapshot(self) -> AbstractAsyncContextManager[InfluxDBStore]:
        """All questions about all customers from the same blocks."""
        pinned = copy.copy(self)
        pinned._pinned = Reading(self._summaries, self._cache)
        return contextlib.nullcontext(pinned)

    async def stats(self, query: StatsQuery) -> StatsAnswer:
        if query.only != ALL_REQUESTS:
            return await self._ask(lambda reader: filtered_query.stats(reader, query))
        if query.customer_id is None:
            answer = await self._ask(lambda _: answers.stats(self._reading(), query))
            if answer is not None:
                return answer
        return await self._ask(lambda reader: stats_query.stats(reader, query))

    async def breakdown(self, query: BreakdownQuery) -> Breakdown:
        if query.latencies or query.only != ALL_REQUESTS:
            return await self._ask(lambda reader: filtered_query.breakdown(reader, query))
        if query.customer_id is None:
            return await self._ask(lambda _: answers.breakdown(self._reading(), query))
        return await self._ask(lambda reader: stats_query.breakdown(reader, query))

    async def customers(self, query: CustomersQuery) -> CustomersPage:
        if query.only != ALL_REQUESTS:
            return await self._ask(lambda reader: filtered_query.customers(reader, query))
        return await self._ask(lambda _: answers.customers(self._reading(), query, self._cache.sums))

    async def trends(self, query: TrendsQuery) -> Sequence[Trend]:
        if query.only != ALL_REQUESTS:
            return await self._ask(lambda reader: filtered_query.trends(reader, query))
        return await self._ask(lambda _: answers.trends(self._reading(), query))

    async def counts(self, query: CountsQuery) -> pl.DataFrame:
        if query.only != ALL_REQUESTS:
            return await self._ask(lambda reader: filtered_query.counts(reader, query))
        return await self._ask(lambda _: counts(self._reading(), query))

    async def changes(self, mark: str | None) -> Changes:
        return await self._ask(lambda _: self._summaries.changes(mark))

    async def note(self, name: str) -> Note:
        return await self._ask(lambda reader: note(reader, name))

    async def note_names(self) -> Sequence[str]:
        return await self._ask(names)

    async def keep_note(self, name: str, text: str, version: int) -> bool:
        self._open_writer()
        return await asyncio.to_thread(self._notes.keep, name, text, version)

    async def span(self) -> tuple[datetime, datetime] | None:
        return await self._ask(lambda _: answers.span(self._reading()))

    rejects = asked(meta_queries.rejects)
    requests = asked(records_query.requests)
    series = asked(meta_queries.series)
    status = asked(meta_queries.status)
    ping = asked(meta_queries.ping)
    _count = asked(records_query.count)
    _page = asked(records_query.page)

    def records(self, query: RecordsQuery) -> AsyncIterator[pl.DataFrame]:
        return pages(self, query, self._count, self._page, records_query.STRETCHES)

    def check_present(self) -> None:
        """The server says so itself."""

    def check_access(self, *, writes: bool) -> None:
        self._server.check_access(writes=writes)

    def verify(self) -> bool:
        return False

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._writer.close()
        self._notes.close()
        self._reader.close()
        self._server.close()

    def summarize(self, *, in_background: bool = False) -> None:
        if in_background:
            self._making.begin()
        else:
            self._making.finish()

    async def _ask(self, query: Callable[[InfluxDBReader], Coroutine[Any, Any, _Result]]) -> _Result:
        self._reader.oldest_us = await asyncio.to_thread(self._server.oldest_us)
        try:
            return await self._reader.ask(query)
        except BlocksGone:  # replaced while the question was under way: the next manifest names others
            self._pinned = None
            return await self._reader.ask(query)

    def _reading(self) -> Reading:
        return self._pinned or Reading(self._summaries, self._cache)

    def _open_writer(self) -> InfluxDBWriter:
        if self._closed:
            raise StoreUnavailable(f"the store at {self._server.address.url} is closed")
        return self._writer
