"""The store that is a database: PostgreSQL, MySQL, MariaDB or SQLite, shared by any number of processes."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
import sqlalchemy as sa

from tailmetrics.errors import SettingsError, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch
from tailmetrics.stats import RecordsQuery, StoreStatus
from tailmetrics.stores.base import asked
from tailmetrics.stores.loop_thread import LoopThread
from tailmetrics.stores.record_pages import pages
from tailmetrics.stores.results import took_too_long
from tailmetrics.stores.server_store import ServerStore, ServerWriter
from tailmetrics.stores.sql import notes, records_query, schema
from tailmetrics.stores.sql.changes import changes
from tailmetrics.stores.sql.dialect import Database, errors_translated, parameters_refused
from tailmetrics.stores.sql.queries import Queries
from tailmetrics.stores.sql.recent import RecentRequests
from tailmetrics.stores.sql.summaries import SqlSummaries
from tailmetrics.stores.sql.writer import SqlWriter
from tailmetrics.stores.summaries.maker import Making
from tailmetrics.stores.summaries.reading import BlockCache

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_Result = TypeVar("_Result")

_POOL_SAYS_SECONDS = 0.5
_STOP_SECONDS = 2.0  # for a statement that was told to end


@dataclass(frozen=True, slots=True)
class _Held:
    """The connection of a snapshot, whose questions take turns."""

    queries: Queries
    turn: asyncio.Lock


class SqlStore(ServerStore):
    """A Store in a database.

    What queries need is imported with the first one, as a load has none. A server that is away when the store
    is opened is waited for.
    """

    def __init__(self, settings: Settings, *, creates: bool = True) -> None:
        """Open the database and make its tables, if it `creates` any. Raises SchemaMismatch or StoreError."""
        super().__init__()
        self._timeout_seconds = settings.query_timeout_seconds
        self._database = _database(settings)
        self._creates = creates
        if not creates:
            self._database.check_made()
        self.commit_lines = self._database.commit_lines
        with parameters_refused(self._database):
            self._engine = self._database.writer_engine()
        self._reader_engine: AsyncEngine | None = None
        weakref.finalize(self, self._engine.dispose)  # should nobody close it
        self._writer = SqlWriter(self._engine, self._database, settings)
        self._lock = threading.Lock()
        self._prepared = False
        self._closed = False
        self._summaries = SqlSummaries(self._reading, self._engine, self._database)
        self._cache = BlockCache()
        self._recent = RecentRequests()
        self._loop = LoopThread("sql-queries", self._database.name)
        self._making = Making(self._loop, self._summaries)
        self._held: _Held | None = None
        try:
            self._prepare()
        except StoreUnavailable:
            pass  # whoever asks or writes is told, until it is back
        except BaseException:
            self.close()
            raise

    def prepare(self, batch: Batch) -> Batch:
        return self._writer.prepare(batch)

    stats = asked(Queries.stats)
    customers = asked(Queries.customers)
    breakdown = asked(Queries.breakdown)
    trends = asked(Queries.trends)
    counts = asked(Queries.counts)
    requests = asked(records_query.requests)
    changes = asked(changes)
    note = asked(notes.note)
    note_names = asked(notes.names)
    rejects = asked(Queries.rejects)
    span = asked(Queries.span)
    _count = asked(records_query.count)
    _page = asked(records_query.page)

    def records(self, query: RecordsQuery) -> AsyncIterator[pl.DataFrame]:
        return pages(self, query, self._count, self._page)

    async def keep_note(self, name: str, text: str, version: int) -> bool:
        self.check_present()
        return await asyncio.to_thread(
            self._write, lambda _: notes.keep_note(self._engine, name, text, version)
        )

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[SqlStore]:
        self.check_present()
        opened = contextlib.AsyncExitStack()
        try:
            connection = await self._in_loop(opened.enter_async_context(self._reading()))
            pinned = copy.copy(self)
            pinned._held = _Held(self._queries(connection), asyncio.Lock())
            yield pinned
        finally:
            await self._in_loop(opened.aclose())

    async def status(self) -> StoreStatus:
        self.check_present()
        status = await self._ask(lambda queries: queries.status(self._heard))
        return await self._with_sources(status, lambda: self._ask(Queries.stored_sources))

    async def ping(self) -> None:
        self.check_present()
        await self._ask(Queries.ping)

    def check_present(self) -> None:
        self._database.check_present()

    def check_access(self, *, writes: bool) -> None:
        self._prepare()
        if writes:
            with errors_translated(self._database), self._connected() as connection:
                schema.write_nothing(connection)

    def verify(self) -> bool:
        self._prepare()
        with errors_translated(self._database), self._connected() as connection:
            return self._database.verify(connection)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.end(self._dispose)
        self._writer.close()
        self._database.close()
        self._engine.dispose()

    def summarize(self, *, in_background: bool = False) -> None:
        if in_background:
            self._making.begin()
        else:
            self._making.finish()

    def _prepare(self) -> None:
        """Make the tables where there are none, once. Raises StoreUnavailable when the store is closed."""
        if self._closed:
            raise StoreUnavailable(f"{self._database.name} is closed")
        with self._lock, errors_translated(self._database):
            if self._prepared:
                return
            with self._connected() as connection, connection.begin(), self._database.schema_lock(connection):
                if not self._creates:
                    schema.check_made(connection, self._database.name)
                schema.prepare(connection, self._database.daily_stats(connection), self._database.name)
            self._prepared = True

    def _connected(self) -> sa.Connection:
        with parameters_refused(self._database):
            return self._engine.connect()

    def _write(self, work: Callable[[ServerWriter], _Result]) -> _Result:
        self._prepare()
        with errors_translated(self._database):
            return work(self._writer)

    async def _ask(self, query: Callable[[Queries], Coroutine[Any, Any, _Result]]) -> _Result:
        """The result of a query; it is stopped when its time is over or nobody waits for it any more."""
        return await self._in_loop(self._run(query))

    async def _in_loop(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        running = self._loop.run(work)
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            if self._closed and running.cancelled():
                raise StoreUnavailable(f"{self._database.name} was closed") from None
            raise

    async def _run(self, query: Callable[[Queries], Coroutine[Any, Any, _Result]]) -> _Result:
        if self._held is not None:
            async with self._held.turn:
                with errors_translated(self._database):
                    return await self._answer(self._held.queries, query)
        async with self._reading() as connection:
            return await self._answer(self._queries(connection), query)

    def _queries(self, connection: AsyncConnection) -> Queries:
        return Queries(connection, self._cache, self._recent)

    async def _answer(
        self, queries: Queries, query: Callable[[Queries], Coroutine[Any, Any, _Result]]
    ) -> _Result:
        connection = queries.connection
        driver = (await connection.get_raw_connection()).driver_connection
        work = asyncio.ensure_future(query(queries))
        try:
            await asyncio.wait({work}, timeout=self._timeout_seconds)
            if work.done():
                return work.result()
            raise took_too_long(self._timeout_seconds)
        finally:
            if not work.done():
                await self._stop(work, connection.engine, driver)

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection, which a server that takes connections and says nothing does not give."""
        if not self._prepared:
            await asyncio.to_thread(self._prepare)
        if self._reader_engine is None:
            self._reader_engine = self._database.reader_engine()
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(errors_translated(self._database))
            opening = stack.enter_async_context(self._reader_engine.connect())
            # The pool says first when it has none.
            seconds = self._timeout_seconds + _POOL_SAYS_SECONDS
            try:
                connection = await asyncio.wait_for(opening, seconds)
            except asyncio.TimeoutError:
                raise StoreUnavailable(
                    f"{self._database.name} does not answer: no connection within {seconds:g} seconds"
                ) from None
            yield connection

    async def _stop(self, work: asyncio.Future[_Result], engine: AsyncEngine, driver: object) -> None:
        """End a statement on the server, too, and give the connection up when it does not end."""
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._database.stop(engine, driver), _STOP_SECONDS)
        await asyncio.wait({work}, timeout=_STOP_SECONDS)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    async def _dispose(self) -> None:
        if self._reader_engine is not None:
            await self._reader_engine.dispose()


def _database(settings: Settings) -> Database:
    """The adapter of the URL's scheme; only its drivers are imported."""
    store, name, seconds = settings.store, str(settings.store), settings.query_timeout_seconds
    parameters = {key: values[0] if len(values) == 1 else values for key, values in store.parameters.items()}
    url = sa.URL.create(
        store.scheme, store.user, store.password, store.host, store.port, store.database, parameters
    )
    try:
        if store.scheme == "sqlite":
            from tailmetrics.stores.sql.sqlite import SQLite

            return SQLite(store.path, name, seconds)
        if store.scheme == "postgresql":
            from tailmetrics.stores.sql.postgresql.dialect import PostgreSQL

            return PostgreSQL(url, name, seconds)
        from tailmetrics.stores.sql.mysql import MySQL

        return MySQL(url, name, seconds)
    except ModuleNotFoundError as error:
        problem = (
            f"STORE_URL: {name} needs the package {error.name}, which is not installed; "
            f"pip install 'tailmetrics[{store.scheme}]'"
        )
        raise SettingsError([problem]) from error
