"""The store that is ClickHouse: one server or a cluster, shared by any number of processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import polars as pl

from tailmetrics.errors import StoreUnavailable
from tailmetrics.process import keep_freed_memory
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch
from tailmetrics.stats import RecordsQuery, StoreStatus
from tailmetrics.stores.base import COMMIT_LINES, Changes, asked
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
from tailmetrics.stores.server_store import ServerStore, ServerWriter

_Result = TypeVar("_Result")


class ClickHouseStore(ServerStore):
    """A Store in a database of ClickHouse. A server that is away when it is opened is waited for."""

    commit_lines = 2 * COMMIT_LINES  # each is a part, which the server has to merge

    def __init__(self, settings: Settings, *, creates: bool = True) -> None:
        """Make the tables where there are none, if it `creates` them. Raises SchemaMismatch or StoreError."""
        super().__init__()
        keep_freed_memory()
        self._address = Address.of(settings.store)
        self._connection = Connection(self._address)
        self._writer = ClickHouseWriter(self._connection, settings)
        self._reader = ClickHouseReader(self._address, settings.query_timeout_seconds)
        self._lock = threading.Lock()
        self._store_id: str | None = None
        self._creates = creates
        self._closed = False
        try:
            self._prepare()
        except StoreUnavailable:
            pass  # whoever asks or writes is told, until it is back
        except BaseException:
            self.close()
            raise

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def summarize(self, *, in_background: bool = False) -> None:
        """There is nothing beside records: the server reads them as fast as blocks would be."""

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
        return await self._with_sources(status, lambda: self._ask(log_queries.stored_sources))

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
        self._writer.close()
        self._connection.close()

    def _prepare(self) -> None:
        """Make the tables where there are none, once. Raises StoreUnavailable when the store is closed."""
        if self._closed:
            raise StoreUnavailable(f"{self._address} is closed")
        with self._lock:
            if self._store_id is None:
                self._store_id = tables.prepare(self._connection, creates=self._creates)

    def _write(self, work: Callable[[ServerWriter], _Result]) -> _Result:
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
