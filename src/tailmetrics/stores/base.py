"""What every store can do, in two parts: writing, called from one thread, and reading, which is asynchronous.

Every method raises StoreUnavailable when the store is away for now, and another StoreError when waiting does
not help.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, runtime_checkable

import polars as pl

from tailmetrics.errors import StoreError
from tailmetrics.sources import CHUNK_LINES, Batch, Source
from tailmetrics.stats import (
    Breakdown,
    BreakdownQuery,
    CountsQuery,
    CustomersPage,
    CustomersQuery,
    RecordsQuery,
    RejectsPage,
    RejectsQuery,
    RequestsQuery,
    StatsAnswer,
    StatsQuery,
    StoreStatus,
    Trend,
    TrendsQuery,
)
from tailmetrics.status import SourceStatus

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_Asked = TypeVar("_Asked")

# DuckDB writes the rows of a commit once if they fill one of its groups, else twice. So many lines do, even
# with some rejects. Other stores take as many, or a multiple.
COMMIT_LINES: Final = 4 * CHUNK_LINES
# Without it nothing would be read while the end of a commit waits for a server or the disk, nor written while
# that is read.
READ_AHEAD: Final = 0.25


COUNTS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "customer_id": pl.String(),
    "part": pl.Int64(),  # of the range, from 0 on
    "requests": pl.Int64(),
    "bad": pl.Int64(),
}


@dataclass(frozen=True, slots=True)
class Changes:
    """Spans of time, [low, high) in microseconds, that were written to; None when nobody knows any more."""

    mark: str
    spans: tuple[tuple[int, int], ...] | None


@dataclass(frozen=True, slots=True)
class Note:
    """A text, and how often it was replaced."""

    version: int
    text: str


class Writes(Protocol):
    """Where records, rejects and the positions of their sources are committed together."""

    commit_lines: int  # that are worth a commit, while there are more to come
    read_ahead: float  # how much is read ahead of the next commit, in commits

    def sources(self, node_id: str | None) -> Sequence[Source]:
        """Every source that a node has registered, with its durable position; None: files of all nodes."""
        ...

    def all_sources(self) -> Sequence[Source]:
        """Every source there is, those of messages too, each where it stands for good."""
        ...

    def register(self, source: Source) -> Source:
        """Make a source known; one that is known already is returned as the store has it."""
        ...

    def register_all(self, sources: Sequence[Source]) -> None:
        """Make many sources known at once, as `register` does one."""
        ...

    def position(self, source_id: str) -> int | None:
        """The byte offset up to which a source is durably in the store; None when it is not registered."""
        ...

    def prepare(self, batch: Batch) -> Batch:
        """The same batch; what `write` needs of it is made from now on, where that is worth while.

        May be called by another thread than those that write.
        """
        ...

    def write(self, batches: Sequence[Batch]) -> None:
        """Commit records, rejects and the new positions of all batches together, or nothing of them.

        Batches of one source come in order. Raises PositionConflict when a batch does not begin at the
        store's position of its source, and RecordsRefused when some records can never be stored.
        """
        ...

    def forget(self, source_ids: Sequence[str], *, with_records: bool = False) -> int:
        """Drop the positions of those sources of which no record and no reject is left; returns how many.

        `with_records` drops those with records too, which stay: of messages nothing more will come. Never
        those with rejects, as these tell where they are from.
        """
        ...

    def summarize(self, *, in_background: bool = False) -> None:
        """Bring up to date what a server's store keeps beside records, for quick answers about all customers.

        Returns when that is done, which may take as long as writing the records did; or at once, and then it
        is kept up to date until the store is closed.
        """
        ...

    def report(self, processor: str, statuses: Sequence[SourceStatus]) -> None:
        """Note what a processor says of its sources, for `status`."""
        ...


class Queries(Protocol):
    """What the records and rejects of a store are asked."""

    async def stats(self, query: StatsQuery) -> StatsAnswer:
        """The aggregates of one customer (or of all together) over a range and per window.

        Raises UnknownCustomer when the store has no request of the customer at any time.
        """
        ...

    async def customers(self, query: CustomersQuery) -> CustomersPage:
        """One page of all customers with requests in the range, with their totals."""
        ...

    async def breakdown(self, query: BreakdownQuery) -> Breakdown:
        """Requests by path and by status over a range.

        Raises UnknownCustomer when the store has no request of the customer at any time.
        """
        ...

    async def trends(self, query: TrendsQuery) -> Sequence[Trend]:
        """How requests spread over a range, one entry for each customer that is asked for, in that order."""
        ...

    async def counts(self, query: CountsQuery) -> pl.DataFrame:
        """Rows of COUNTS_SCHEMA, in any order, of the customers and parts that have a request."""
        ...

    async def requests(self, query: RequestsQuery) -> pl.DataFrame:
        """Requests themselves as rows of STORED_SCHEMA, in the order of the query.

        Raises UnknownCustomer when the store has no request of the customer at any time.
        """
        ...

    async def span(self) -> tuple[datetime, datetime] | None:
        """The times of the first and of the last request, None when there is none."""
        ...

    async def rejects(self, query: RejectsQuery) -> RejectsPage:
        """One page of the rejected lines, newest first."""
        ...


class Reads(Queries, Protocol):
    """What a store is asked, by any number of callers at once."""

    def version_of(self, customer_id: str | None) -> int | None:
        """The version of a customer's records, of all records for None; cheap, from any thread.

        An answer holds as long as the version that was read before asking. None when other processes may
        write to the store, which nobody is told of.
        """
        ...

    async def changes(self, mark: str | None) -> Changes:
        """Which times have been written to since a mark; without one only the mark of now is of use.

        A look that begins after this one has all that was written before the mark.
        """
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Queries]:
        """Queries that all see the state after the same commit, where the store can do that."""
        ...

    def records(self, query: RecordsQuery) -> AsyncIterator[pl.DataFrame]:
        """Records as frames of STORED_SCHEMA, by time, source and offset: each of a bounded number of rows.

        Each frame is of the state of its own moment, so that none holds anything up however long the reader
        takes: what is committed meanwhile is in them where its time is still to come. Raises UnknownCustomer
        when the store has no request of the customer at any time.
        """
        ...

    async def status(self) -> StoreStatus:
        """Counts, the version, and what each processor last said of its sources."""
        ...

    async def series(self) -> int | None:
        """How many series an index in the server's memory holds; None for a store that has none."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...


class Notes(Protocol):
    """Texts under names: what the service itself has to remember, as the states of its alerts."""

    async def note(self, name: str) -> Note:
        """What was kept under a name last; version 0 when nothing was."""
        ...

    async def note_names(self) -> Sequence[str]:
        """The names under which something was kept, sorted."""
        ...

    async def keep_note(self, name: str, text: str, version: int) -> bool:
        """Replace a note of this version, whose version is one higher then.

        False, and nothing is replaced, when it is of another version: somebody was quicker.
        """
        ...


class Store(Writes, Reads, Notes, Protocol):
    """A place where records, rejects and positions are kept together."""

    def check_present(self) -> None:
        """Raise StoreGone or StoreDamaged when a file is not what was opened any more.

        Cheap, from any thread. A server says that itself when it is asked.
        """
        ...

    def check_access(self, *, writes: bool) -> None:
        """Raise StoreError where the store may not be read or, with `writes`, written; changes nothing."""
        ...

    def verify(self) -> bool:
        """Read all that a file holds, and raise StoreDamaged where it is not as it was written.

        False when only the server itself can tell.
        """
        ...

    def close(self) -> None:
        """End cleanly; what was committed stays."""
        ...


@runtime_checkable
class Leasing(Protocol):
    """A store where a processor holds sources for a while, in which no other one may write of them."""

    def release(self, source_ids: Sequence[str]) -> None:
        """Let other processors go on with sources at once."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A store's file as it was after one commit: so many bytes, in pieces that are read as they are taken."""

    size: int
    pieces: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a copy of a store holds."""

    schema_version: int
    records: int
    rejects: int
    sources: int


@runtime_checkable
class Copyable(Protocol):
    """A store whose file nobody else can copy, as one process has it for itself."""

    def copying(self) -> AbstractContextManager[Snapshot]:
        """A snapshot, from any thread, while commits go on; it ends with the context.

        Raises StoreUnavailable when one is being taken already; so do the pieces, when it can no longer be
        read.
        """
        ...


@runtime_checkable
class Sorting(Protocol):
    """A store that sorts its records in the background."""

    def resting(self) -> AbstractContextManager[None]:
        """Nothing is sorted until the context ends, so that all of it can be read as quickly as can be."""
        ...


def no_store(name: object) -> StoreError:
    """The error of who wants to read a store that nobody has made."""
    return StoreError(f"there is no store at {name}; expected one that `tailmetrics` has written to")


def asked(
    query: Callable[Concatenate[_Asked, _Given], Coroutine[Any, Any, _Result]],
) -> Callable[Concatenate[Any, _Given], Coroutine[Any, Any, _Result]]:
    """A method of a store whose `_ask` calls a query with what it is asked of."""

    async def ask(store: Any, /, *given: _Given.args, **named: _Given.kwargs) -> _Result:
        answer: _Result = await store._ask(lambda asked_of: query(asked_of, *given, **named))
        return answer

    return ask
