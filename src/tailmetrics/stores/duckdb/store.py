"""The store that is one DuckDB file: no server, one process, commits that survive a crash."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

import polars as pl

from tailmetrics.errors import StoreUnavailable
from tailmetrics.process import keep_freed_memory
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch, Source
from tailmetrics.stats import RecordsQuery, StoreStatus
from tailmetrics.status import SourceStatus, stored_statuses
from tailmetrics.stores.base import Changes, Note, Queries, no_store
from tailmetrics.stores.base import Snapshot as FileSnapshot
from tailmetrics.stores.duckdb import backup, notes, schema
from tailmetrics.stores.duckdb.dictionary import Dictionary
from tailmetrics.stores.duckdb.file import ROW_GROUP_RECORDS, DuckDBFile
from tailmetrics.stores.duckdb.queries.base import ReaderQueries, Snapshot
from tailmetrics.stores.duckdb.queries.reader import Reader
from tailmetrics.stores.duckdb.writer import Writer
from tailmetrics.stores.record_pages import pages
from tailmetrics.stores.results import took_too_long

_Answer = TypeVar("_Answer")

_QUERIES_AT_ONCE = 8
_LONGEST_REST_SECONDS = 1e6


class DuckDBStore(ReaderQueries):
    """A Store in one DuckDB file.

    A lock sees to it that one thread writes at a time. Each query runs in a thread of its own and sees
    the state after one commit.
    """

    commit_lines = ROW_GROUP_RECORDS + 2048  # some lines may be no records
    read_ahead = 0.0  # reading is the quicker, and what it is ahead takes memory

    def __init__(self, settings: Settings, *, creates: bool = True) -> None:
        """Open the file, or make it if it `creates` one. Raises StoreBusy, SchemaMismatch or StoreError."""
        keep_freed_memory()
        self._timeout_seconds = settings.query_timeout_seconds
        self._file = DuckDBFile(settings)
        if not creates and not self._file.path.exists():
            raise no_store(settings.store)
        self._lock = threading.Lock()
        self._dictionary = Dictionary()
        self._writer = Writer(self._file, self._dictionary, settings, self._lock)
        self._closed = False
        self._reports: dict[str, tuple[SourceStatus, ...]] = {}
        self._opening = secrets.token_hex(4)
        self._readers: set[Reader] = set()
        self._threads = ThreadPoolExecutor(_QUERIES_AT_ONCE, thread_name_prefix="duckdb-query")

    def sources(self, node_id: str | None) -> Sequence[Source]:
        with self._lock:
            return [source for source in self._open_writer().sources.values() if source.is_of(node_id)]

    def all_sources(self) -> Sequence[Source]:
        with self._lock:
            return list(self._open_writer().sources.values())

    def forget(self, source_ids: Sequence[str], *, with_records: bool = False) -> int:
        with self._lock:
            return self._open_writer().forget(source_ids, with_records=with_records)

    def register(self, source: Source) -> Source:
        with self._lock:
            writer = self._open_writer()
            writer.register([source])
            return writer.sources[source.source_id]

    def register_all(self, sources: Sequence[Source]) -> None:
        with self._lock:
            self._open_writer().register(sources)

    def position(self, source_id: str) -> int | None:
        with self._lock:
            return self._open_writer().position(source_id)

    def prepare(self, batch: Batch) -> Batch:
        encoded = self._dictionary.encode(batch.parsed.records)
        return batch if encoded is None else replace(batch, prepared=encoded)

    def write(self, batches: Sequence[Batch]) -> None:
        with self._lock:
            writer = self._open_writer()
            writer.write(batches)
            if batches and not self._readers:  # a query must not find itself without memory
                writer.give_back_memory(more_come=batches[-1].more)

    @property
    def is_compacted(self) -> bool:
        """Whether all records are sorted as far as they will be while nothing is added."""
        return self._writer.is_compacted

    def summarize(self, *, in_background: bool = False) -> None:
        """There is nothing beside records."""

    def report(self, processor: str, statuses: Sequence[SourceStatus]) -> None:
        self._reports[processor] = tuple(statuses)

    def version_of(self, customer_id: str | None) -> int | None:
        return self._writer.versions.of(customer_id)

    async def changes(self, mark: str | None) -> Changes:
        self._check_open()
        return self._writer.changes.since(mark)

    async def keep_note(self, name: str, text: str, version: int) -> bool:
        def keep() -> bool:
            with self._lock:
                return self._open_writer().keep_note(name, text, version)

        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._threads, keep)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Queries]:
        with self._reading() as reader:
            try:
                yield Snapshot(lambda query: self._run(reader, lambda: reader.ask(query)))
            finally:
                reader.stop("the page was left")
                with suppress(RuntimeError):  # closed, as is the reader then
                    # Not awaited: who is cancelled here must not keep the cursor.
                    self._threads.submit(reader.close)

    def records(self, query: RecordsQuery) -> AsyncIterator[pl.DataFrame]:
        return pages(self, query, self._count, self._page)

    async def note(self, name: str) -> Note:
        return await self._ask(lambda reader: notes.note(reader, name))

    async def note_names(self) -> Sequence[str]:
        return await self._ask(notes.names)

    async def status(self) -> StoreStatus:
        counts = self._writer.counts
        return StoreStatus(
            version=f"{self._opening}-{counts.commits}",
            records=counts.records,
            rejects=counts.rejects,
            blanks=counts.blanks,
            sources=tuple(itertools.chain.from_iterable(list(self._reports.values())))
            or stored_statuses(list(self._writer.sources.values())),
        )

    async def series(self) -> int | None:
        return None

    async def ping(self) -> None:
        await self._ask(lambda reader: reader.run("SELECT 1"))
        self._file.check_present()

    def check_present(self) -> None:
        self._file.check_present()

    def check_access(self, *, writes: bool) -> None:
        """It was opened to be written."""

    def verify(self) -> bool:
        with self._file.errors_translated(), contextlib.closing(self._file.cursor()) as cursor:
            schema.read_all(cursor)
        self._file.check_present()
        return True

    def resting(self) -> AbstractContextManager[None]:
        return self._open_writer().resting(_LONGEST_REST_SECONDS)

    def copying(self) -> AbstractContextManager[FileSnapshot]:
        self._open_anew()
        return backup.copying(self._file, self._writer)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for reader in list(self._readers):
            reader.stop(f"{self._file.path} was closed")
        self._threads.shutdown()
        for reader in list(self._readers):
            reader.close()
        self._writer.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._file.path} is closed")

    def _open_writer(self) -> Writer:
        self._check_open()
        return self._writer

    def _open_anew(self) -> None:
        """Nobody may write for long, and questions are to be answered all the same."""
        if self._file.invalidated is not None:
            with self._lock:
                self._open_writer().open_anew()

    async def _ask(self, query: Callable[[Reader], _Answer]) -> _Answer:
        with self._reading() as reader:
            return await self._run(reader, lambda: reader.answer(query))

    @contextmanager
    def _reading(self) -> Iterator[Reader]:
        """A reader that is stopped when nobody waits for it any more."""
        self._check_open()
        reader = Reader(self._file, self._writer.counts.records)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            reader.stop("nobody waits for the answer any more")
            self._readers.discard(reader)

    async def _run(self, reader: Reader, query: Callable[[], _Answer]) -> _Answer:
        """Run a query in a thread; it is stopped when its time is over."""

        def answer() -> _Answer:
            self._open_anew()
            return query()

        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._timeout_seconds, reader.stop, str(took_too_long(self._timeout_seconds)))
        try:
            return await loop.run_in_executor(self._threads, answer)
        finally:
            timer.cancel()
