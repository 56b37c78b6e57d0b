"""The store that is ClickHouse: one server or a cluster, shared by any number of processes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, TypeVar

import polars as pl

from tailmetrics.errors import StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch, Source
from tailmetrics.stats import RecordsQuery, StoreStatus
from tailmetrics.status import SourceStatus
from tailmetrics.stores.base import COMMIT_LINES, READ_AHEAD, Changes, asked
from tailmetrics.stores.clickhouse import (
    counts_query,
    customers_query,
    log_queries,
    notes,
    records_query,
    stats_query,
    tables,
)
from tailmetrics.stores.clickhouse.address import Address
from tailmetrics.stores.clickhouse.connection import Connection
from tailmetrics.stores.clickhouse.errors import errors_translated
from tailmetrics.stores.clickhouse.reader import ClickHouseReader, Statements
from tailmetrics.stores.clickhouse.writer import ClickHouseWriter
from tailmetrics.stores.record_pages import pages

_Result = TypeVar("_Result")


class ClickHouseStore:
    """A Store in a database of ClickHouse. A server that is away when it is opened is waited for."""

    commit_lines = 2 * COMMIT_LINES  # each is a part, which the server has to merge
    read_ahead = READ_AHEAD

    def __init__(self, settings: Settings) -> None:
        """Make the tables where there are none. Raises SchemaMismatch or StoreError."""
        self._address = Address.of(settings.store)
        self._connection = Connection(self._address)
        self._writer = ClickHouseWriter(self._connection, settings)
        self._reader = ClickHouseReader(self._address, settings.query_timeout_seconds)
        self._lock = threading.Lock()
        self._store_id: str | None = None
        self._closed = False
        self._stored: tuple[str, tuple[SourceStatus, ...]] = ("", ())
        self._heard: dict[str, tuple[float, float]] = {}  # of processors, as `is_alive` has it
        try:
            self._prepare()
        except StoreUnavailable:
            pass  # whoever asks or writes is told, until it is back
        except BaseException:
            self.close()
            raise

    def sources(self, node_id: str | None) -> Sequence[Source]:
        return self._write(lambda writer: writer.sources(node_id))

    def all_sources(self) -> Sequence[Source]:
        return self._write(lambda writer: writer.all_sources())

    def register(self, source: Source) -> Source:
        def register(writer: ClickHouseWriter) -> Source:
            writer.register([source])
            return writer.source(source.source_id) or source

        return self._write(register)

    def register_all(self, sources: Sequence[Source]) -> None:
        self._write(lambda writer: writer.register(sources))

    def position(self, source_id: str) -> int | None:
        found = self._write(lambda writer: writer.source(source_id))
        return None if found is None else found.position

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def write(self, batches: Sequence[Batch]) -> None:
        self._write(lambda writer: writer.write(batches))

    def forget(self, source_ids: Sequence[str], *, with_records: bool = False) -> int:
        return self._write(lambda writer: writer.forget(source_ids, with_records=with_records))

    def summarize(self, *, in_background: bool = False) -> None:
        """There is nothing beside records: the server reads them as fast as blocks would be."""

    def report(self, processor: str, statuses: Sequence[SourceStatus]) -> None:
        self._write(lambda writer: writer.report(processor, statuses))

    def version_of(self, customer_id: str | None) -> int | None:  # noqa: ARG002  # others may write
        return None

    def snapshot(self) -> AbstractAsyncContextManager[ClickHouseStore]:
        return contextlib.nullcontext(self)

    stats = asked(stats_query.stats)
    customers = asked(customers_query.customers)
    breakdown = asked(counts_query.breakdown)
    trends = asked(counts_query.trends)
    counts = asked(counts_query.counts)
    requests = asked(records_query.requests)
    span = asked(stats_query.span)
    rejects = asked(log_queries.rejects)
    note = asked(notes.note)
    note_names = asked(notes.note_names)
    _count = asked(records_query.count)
    _page = asked(records_query.page)

    def records(self, query: RecordsQuery) -> AsyncIterator[pl.DataFrame]:
        return pages(self, query, self._count, self._page)

    async def changes(self, mark: str | None) -> Changes:
        return await self._ask(lambda asked_of: log_queries.changes(asked_of, self._store_id or "", mark))

    async def keep_note(self, name: str, text: str, version: int) -> bool:
        return await asyncio.to_thread(
            self._write, lambda _: notes.keep_note(self._connection, name, text, version)
        )

    async def status(self) -> StoreStatus:
        status = await self._ask(
            lambda asked_of: log_queries.status(asked_of, self._store_id or "", self._heard)
        )
        if status.sources:
            return status
        version, stored = self._stored
        if version != status.version:
            stored = await self._ask(log_queries.stored_sources)
            self._stored = (status.version, stored)
        return replace(status, sources=stored)

    async def series(self) -> int | None:
        return None

    async def ping(self) -> None:
        await self._ask(_ping)

    def check_present(self) -> None:
        """A server says that itself."""

    def check_access(self, *, writes: bool) -> None:
        self._prepare()
        tables.check_access(self._connection, writes=writes)

    def verify(self) -> bool:
        self._prepare()
        return False

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._reader.close()
        self._connection.close()

    def _prepare(self) -> None:
        """Make the tables where there are none, once. Raises StoreUnavailable when the store is closed."""
        if self._closed:
            raise StoreUnavailable(f"{self._address} is closed")
        with self._lock:
            if self._store_id is None:
                self._store_id = tables.prepare(self._connection)

    def _write(self, work: Callable[[ClickHouseWriter], _Result]) -> _Result:
        self._prepare()
        with errors_translated(self._address):
            return work(self._writer)

    async def _ask(self, query: Callable[[Statements], Coroutine[Any, Any, _Result]]) -> _Result:
        """The result of a query."""
        if self._store_id is None or self._closed:
            await asyncio.to_thread(self._prepare)
        try:
            return await self._reader.ask(query)
        except asyncio.CancelledError:
            if self._closed:
                raise StoreUnavailable(f"{self._address} was closed") from None
            raise


async def _ping(statements: Statements) -> None:
    await statements.frame("SELECT 1")
