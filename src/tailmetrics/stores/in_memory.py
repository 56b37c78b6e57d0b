"""A store in the memory of its process, for tests: it keeps every promise but to survive that.

It can be told to fail, or to wait, where other stores do so when their server or disk does.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

import polars as pl

from tailmetrics.errors import PositionConflict, StoreError, StoreUnavailable, UnknownCustomer
from tailmetrics.records import STORED_SCHEMA
from tailmetrics.sources import Batch, Source
from tailmetrics.stats import (
    Breakdown,
    BreakdownQuery,
    CountsQuery,
    CustomersPage,
    CustomersQuery,
    RecordsQuery,
    Reject,
    RejectsPage,
    RejectsQuery,
    RequestsQuery,
    StatsAnswer,
    StatsQuery,
    StoreStatus,
    Trend,
    TrendsQuery,
)
from tailmetrics.status import SourceStatus, stored_statuses
from tailmetrics.stores.base import COMMIT_LINES, READ_AHEAD, Changes, Note
from tailmetrics.stores.cursors import LAST, place_of
from tailmetrics.stores.filtering import is_selected
from tailmetrics.stores.record_pages import behind, first_requests, pages
from tailmetrics.stores.reject_limits import halves, kept_of_source
from tailmetrics.stores.results import (
    FAILURE_RULES,
    aggregates,
    breakdown_of,
    can_be_stored,
    check_storable,
    counts_of_rows,
    customers_page,
    listed,
    ranked,
    rejects_page,
    result_of_rows,
    trends_of,
)
from tailmetrics.stores.windowing import Span, spans_touched
from tailmetrics.windows import from_us, to_us

_SCHEMA = {
    "time": pl.Int64(),  # microseconds since 1970
    "source_id": pl.String(),
    "customer_id": pl.String(),
    "path": pl.String(),
    "status_code": pl.Int16(),
    "duration": pl.Float64(),
    "offset": pl.Int64(),
}


@dataclass
class Memory:
    """What is left when a store is closed: another one that is opened on it has all that was committed."""

    sources: dict[str, Source] = field(default_factory=dict)
    records: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_SCHEMA))
    rejects: list[tuple[int, Reject]] = field(default_factory=list)  # with their places
    rejected: int = 0  # lines, those included of which no more is kept
    reports: dict[str, tuple[SourceStatus, ...]] = field(default_factory=dict)
    blanks: int = 0
    commits: int = 0
    touched: list[tuple[Span, ...]] = field(default_factory=list)  # by each commit
    notes: dict[str, Note] = field(default_factory=dict)
    # Of whoever writes: several stores may be open on it, as several processes are on a server.
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)


class InMemoryStore:
    """A Store of what is in a Memory.

    `before_write` is called with the batches of a commit, `before_read` is awaited with a query (None of the
    span, the status and a ping): each may wait, or raise in place of what was asked for.
    """

    commit_lines = COMMIT_LINES
    read_ahead = READ_AHEAD

    def __init__(
        self,
        memory: Memory | None = None,
        *,
        max_rejects_kept: int = 100_000,
        before_write: Callable[[Sequence[Batch]], None] = lambda _: None,
        before_read: Callable[[object], Awaitable[None]] | None = None,
    ) -> None:
        self.before_write = before_write
        self.before_read = before_read
        self._memory = Memory() if memory is None else memory
        self._max_rejects_kept = max_rejects_kept
        self._closed = False

    def sources(self, node_id: str | None) -> Sequence[Source]:
        return [source for source in self._open().sources.values() if source.is_of(node_id)]

    def all_sources(self) -> Sequence[Source]:
        return list(self._open().sources.values())

    def register(self, source: Source) -> Source:
        self.register_all([source])
        return self._open().sources[source.source_id]

    def register_all(self, sources: Sequence[Source]) -> None:
        with self._memory.lock:
            memory, now = self._open(), datetime.now(timezone.utc)
            for source in sources:
                since = source.followed_since or now
                known = replace(source, committed_at=now, followed_since=since)
                memory.sources.setdefault(source.source_id, known)

    def position(self, source_id: str) -> int | None:
        source = self._open().sources.get(source_id)
        return None if source is None else source.position

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def write(self, batches: Sequence[Batch]) -> None:
        self.before_write(batches)
        with self._memory.lock:
            memory, now = self._open(), datetime.now(timezone.utc)
            moved = _sources_after(batches, memory.sources, now)
            try:
                records = pl.concat([memory.records, *map(_records_of, batches)])
            except pl.exceptions.PolarsError as error:
                raise StoreError(f"records cannot be stored: {error}") from error
            if not batches:
                return
            memory.sources.update(moved)
            memory.records = records
            for reject in itertools.chain.from_iterable(_rejects_of(batch, now) for batch in batches):
                memory.rejects.append((memory.rejected, reject))
                memory.rejected += 1
            memory.rejected += sum(batch.copied.omitted for batch in batches if batch.copied)
            _omit(memory.rejects, self._max_rejects_kept)
            memory.blanks += sum(batch.parsed.blanks for batch in batches)
            memory.commits += 1
            memory.touched.append(spans_touched([batch.parsed.records["timestamp"] for batch in batches]))

    def forget(self, source_ids: Sequence[str], *, with_records: bool = False) -> int:
        with self._memory.lock:
            memory = self._open()
            staying = {reject.source_id for _, reject in memory.rejects}
            if not with_records:
                staying.update(memory.records["source_id"].unique())
            gone = [name for name in source_ids if name in memory.sources and name not in staying]
            for name in gone:
                del memory.sources[name]
            return len(gone)

    def summarize(self, *, in_background: bool = False) -> None:
        """There is nothing beside records."""

    def report(self, processor: str, statuses: Sequence[SourceStatus]) -> None:
        self._open().reports[processor] = tuple(statuses)

    def version_of(self, customer_id: str | None) -> int | None:
        records = self._memory.records
        if customer_id is None:
            return records.height
        return records.filter(pl.col("customer_id") == customer_id).height

    def snapshot(self) -> AbstractAsyncContextManager[InMemoryStore]:
        return contextlib.nullcontext(self)

    async def stats(self, query: StatsQuery) -> StatsAnswer:
        memory = await self._asked(query)
        return result_of_rows(query, _of_customer(memory.records, query))

    async def customers(self, query: CustomersQuery) -> CustomersPage:
        memory = await self._asked(query)
        offset = place_of("customers", query.after, 0)
        if query.search and not can_be_stored(query.search):
            return CustomersPage((), 0, None)
        rows = memory.records.filter(_within(query.start, query.end), is_selected(query.only))
        totals = rows.group_by("customer_id").agg(aggregates(query.failures)).filter(listed(query))
        found = ranked(totals, query)
        return customers_page(found.slice(offset, query.limit).iter_rows(), found.height, offset)

    async def breakdown(self, query: BreakdownQuery) -> Breakdown:
        memory = await self._asked(query)
        return breakdown_of(query, _of_customer(memory.records, query))

    async def trends(self, query: TrendsQuery) -> Sequence[Trend]:
        memory = await self._asked(query)
        asked = [customer_id for customer_id in query.customer_ids if can_be_stored(customer_id)]
        part = ((pl.col("time") - to_us(query.start)) // query.part_us).alias("part")
        failed = FAILURE_RULES[query.failures](pl.col("status_code")).sum().alias("failed")
        rows = memory.records.filter(
            _within(query.start, query.end), pl.col("customer_id").is_in(asked), is_selected(query.only)
        )
        counted = rows.group_by("customer_id", part).agg(pl.len(), failed)
        return trends_of(query, counted.iter_rows())

    async def counts(self, query: CountsQuery) -> pl.DataFrame:
        memory = await self._asked(query)
        return counts_of_rows(query, memory.records.filter(_within(query.start, query.end)))

    async def requests(self, query: RequestsQuery) -> pl.DataFrame:
        memory = await self._asked(query)
        return first_requests(_stored(_of_customer(memory.records, query)), query)

    async def changes(self, mark: str | None) -> Changes:
        memory = await self._asked(None)
        touched = memory.touched[0 if mark is None else int(mark) :]
        return Changes(str(len(memory.touched)), tuple(itertools.chain.from_iterable(touched)))

    async def note(self, name: str) -> Note:
        return (await self._asked(None)).notes.get(name, Note(0, ""))

    async def note_names(self) -> Sequence[str]:
        return sorted((await self._asked(None)).notes)

    async def keep_note(self, name: str, text: str, version: int) -> bool:
        if (await self.note(name)).version != version:
            return False
        self._open().notes[name] = Note(version + 1, text)
        return True

    async def span(self) -> tuple[datetime, datetime] | None:
        times = (await self._asked(None)).records["time"].to_numpy()
        return (from_us(int(times.min())), from_us(int(times.max()))) if len(times) else None

    async def rejects(self, query: RejectsQuery) -> RejectsPage:
        memory = await self._asked(query)
        before = place_of("rejects", query.after, LAST)
        newest = [(place, reject) for place, reject in reversed(memory.rejects) if place < before]
        return rejects_page(newest[: query.limit + 1], memory.rejected, query.limit)

    def records(self, query: RecordsQuery) -> AsyncIterator[pl.DataFrame]:
        return pages(self, query, self._count, self._page)

    async def _count(self, query: RecordsQuery, span: Span, width_us: int) -> Sequence[tuple[int, int]]:
        rows = _in_span((await self._asked(query)).records, query, span)
        part = (pl.col("time") - span[0]) // width_us
        return rows.group_by(part.alias("part")).agg(pl.len()).rows()

    async def _page(self, query: RecordsQuery, span: Span, limit: int) -> pl.DataFrame:
        stored = _stored(_in_span((await self._asked(query)).records, query, span))
        return behind(stored.sort("timestamp", "source", "offset"), query.after).head(limit)

    async def status(self) -> StoreStatus:
        memory = await self._asked(None)
        reported = tuple(itertools.chain.from_iterable(memory.reports.values()))
        return StoreStatus(
            version=str(memory.commits),
            records=memory.records.height,
            rejects=memory.rejected,
            blanks=memory.blanks,
            sources=reported or stored_statuses(memory.sources.values()),
        )

    async def series(self) -> int | None:
        return None

    async def ping(self) -> None:
        await self._asked(None)

    def check_present(self) -> None:
        """It always is."""

    def check_access(self, *, writes: bool) -> None:  # noqa: ARG002  # nobody is kept out
        self._open()

    def verify(self) -> bool:
        return True

    def close(self) -> None:
        self._closed = True

    async def _asked(self, query: object) -> Memory:
        if self.before_read is not None:
            await self.before_read(query)
        return self._open()

    def _open(self) -> Memory:
        if self._closed:
            raise StoreUnavailable("the store in memory is closed")
        return self._memory


def _sources_after(batches: Sequence[Batch], known: dict[str, Source], now: datetime) -> dict[str, Source]:
    moved: dict[str, Source] = {}
    for batch in batches:
        source = moved.get(batch.source_id) or known.get(batch.source_id)
        if source is None or source.position != batch.start:
            raise PositionConflict(batch.source_id, batch.start, None if source is None else source.position)
        moved[batch.source_id] = replace(
            source, path=batch.path, checkpoint=batch.checkpoint, committed_at=now
        )
    return moved


def _records_of(batch: Batch) -> pl.DataFrame:
    return batch.parsed.records.select(
        pl.col("timestamp").dt.timestamp("us").alias("time"),
        pl.lit(batch.source_id).alias("source_id"),
        "customer_id",
        "path",
        "status_code",
        "duration",
        "offset",
    )


def _rejects_of(batch: Batch, now: datetime) -> list[Reject]:
    rows = batch.parsed.rejects.select("offset", "reason", "line").iter_rows()
    seen_at = batch.seen_at(now)
    return [
        Reject(batch.source_id, batch.path, offset, reason, line, seen_at) for offset, reason, line in rows
    ]


def _omit(rejects: list[tuple[int, Reject]], kept: int) -> None:
    """Leave the first and the last of each source, and of these the first and the last of all."""
    by_source: defaultdict[str, list[tuple[int, Reject]]] = defaultdict(list)
    for placed in rejects:
        by_source[placed[1].source_id].append(placed)
    of_sources = [_ends(each, kept_of_source(kept)) for each in by_source.values()]
    left = sorted(itertools.chain.from_iterable(of_sources), key=lambda placed: placed[0])
    rejects[:] = _ends(left, kept)


def _ends(rejects: list[tuple[int, Reject]], kept: int) -> list[tuple[int, Reject]]:
    first, last = halves(kept)
    return rejects if len(rejects) <= kept else rejects[:first] + rejects[-last:]


def _within(start: datetime | None, end: datetime | None) -> pl.Expr:
    low = pl.lit(value=True) if start is None else pl.col("time") >= to_us(start)
    return low if end is None else low & (pl.col("time") < to_us(end))


def _in_span(records: pl.DataFrame, query: RecordsQuery, span: Span) -> pl.DataFrame:
    rows = records.filter(pl.col("time").is_between(*span, closed="left"), is_selected(query.only))
    return rows if query.customer_id is None else rows.filter(pl.col("customer_id") == query.customer_id)


def _stored(records: pl.DataFrame) -> pl.DataFrame:
    time = pl.from_epoch("time", "us").dt.replace_time_zone("UTC").alias("timestamp")
    return records.with_columns(time, source="source_id").select(list(STORED_SCHEMA))


def _of_customer(records: pl.DataFrame, query: StatsQuery | BreakdownQuery | RequestsQuery) -> pl.DataFrame:
    """The records in the range of a query. Raises UnknownCustomer."""
    customer_id = query.customer_id
    check_storable(customer_id)
    if customer_id is not None:
        records = records.filter(pl.col("customer_id") == customer_id)
        if records.is_empty():
            raise UnknownCustomer(customer_id)
    return records.filter(_within(query.start, query.end), is_selected(query.only))
