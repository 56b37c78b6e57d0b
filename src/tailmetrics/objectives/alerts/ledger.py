"""How many requests were bad of late, customer by customer, kept up to date by what changes in the store."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.objectives.definitions import Maintenance
from tailmetrics.stats import ALL_REQUESTS, CountsQuery, Failures, RequestFilter
from tailmetrics.stores.base import COUNTS_SCHEMA, Changes, Reads
from tailmetrics.stores.filtering import is_one_of
from tailmetrics.stores.windowing import Span
from tailmetrics.windows import from_us, to_us

SECOND_US: Final = 1_000_000
UNKNOWN_SECONDS: Final = 300.0  # where nobody knows what changed, all is read again so often
RECENT_US: Final = 900 * SECOND_US  # and so much of it each time
_SLICE_US = 6 * 3_600 * SECOND_US  # of one look
_NEAR = 10  # buckets between two spans that are read as one
_MOST_RANGES = 16
_FEW_ROWS = 5_000  # that hold up the event loop for no more than some milliseconds
_SPARE_CUSTOMERS = 1_000

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Indicator:
    """What is counted, and which of it is bad: that of a CountsQuery, without what lies in `excluded`."""

    failures: Failures = "4xx+5xx"
    limit_seconds: float | None = None
    only: RequestFilter = ALL_REQUESTS
    excluded: tuple[Maintenance, ...] = ()


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Customers with requests in it, and their requests and bad ones (2 x customers), as small as can be."""

    codes: npt.NDArray[np.unsignedinteger]
    counts: npt.NDArray[np.unsignedinteger]


class _Column:
    """The buckets of one indicator, and their sums over each window that ends with the last bucket."""

    def __init__(self, windows: Iterable[int]) -> None:
        self.buckets: dict[int, _Bucket] = {}
        self.sums: dict[int, Counts] = {window: np.zeros((2, 0), np.int64) for window in windows}
        self.last: Counts = np.zeros(0, np.int64)  # bucket with a request, by customer

    def make_room(self, customers: int) -> None:
        missing = customers - len(self.last)
        if missing > 0:
            self.last = np.pad(self.last, (0, missing))
            self.sums = {window: np.pad(sums, ((0, 0), (0, missing))) for window, sums in self.sums.items()}

    def replace(self, number: int, bucket: _Bucket | None, end: int) -> None:
        """Put one in the place of another; the last bucket of the windows is that before `end`."""
        before = self.buckets.pop(number, None)
        for window, sums in self.sums.items():
            if end - window <= number < end:
                _add(sums, before, -1)
                _add(sums, bucket, 1)
        if bucket is not None:
            self.buckets[number] = bucket
            self.last[bucket.codes] = np.maximum(self.last[bucket.codes], number)

    def advance(self, before: int, end: int, length: int) -> None:
        """Move the end of all windows on."""
        for window, sums in self.sums.items():
            for number in range(before, end):
                _add(sums, self.buckets.get(number), 1)
                _add(sums, self.buckets.get(number - window), -1)
        for number in range(before - length, end - length):
            self.buckets.pop(number, None)


class Ledger:
    """Counts of some indicators over windows that end at one moment: the end of a bucket.

    `windows` are the lengths of those that are asked of each indicator, whole numbers of buckets. Customers
    are known by their places in `customers`, for as long as nothing is updated.
    """

    def __init__(
        self,
        store: Reads,
        windows: Mapping[Indicator, frozenset[int]],
        bucket_us: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.customers: list[str] = []
        self._store = store
        self._windows = {
            indicator: frozenset(window // bucket_us for window in lengths)
            for indicator, lengths in windows.items()
        }
        self._bucket_us = bucket_us
        self._clock = clock
        self._mark: str | None = None
        self._read_all_at = -math.inf
        self._length = max(itertools.chain.from_iterable(self._windows.values()), default=0)
        self._forget(self._length)

    @property
    def at_us(self) -> int:
        """Where all windows end, after an update."""
        return self._end * self._bucket_us

    async def update(self, now_us: int) -> None:
        """Count what was committed up to now, as far as the last whole bucket. Raises StoreError."""
        end = now_us // self._bucket_us
        if not self._windows:
            self._end = end
            return
        # Before the look at counts: what is written meanwhile is in the next changes as well.
        changes = await self._store.changes(self._mark)
        if not self._end <= end <= self._end + self._length or self._has_many_gone():
            self._forget(end)
        began = self._clock()
        is_whole = changes.spans is None and began - self._read_all_at >= UNKNOWN_SECONDS
        is_whole = is_whole or self._mark is None
        await self._read(self._ranges(end, None if is_whole else changes))
        self.move(now_us)
        self._mark = changes.mark
        if is_whole:
            self._read_all_at = began

    async def read_on(self, until_us: int) -> None:
        """Read on from the end of all windows, so that these can `move` as far. Raises StoreError.

        For a time that is over: what changes in it afterwards is not looked at.
        """
        await self._read(self._sliced([(self._end, until_us // self._bucket_us)]))

    def move(self, now_us: int) -> None:
        """Let all windows end with the last whole bucket before a moment, as far as buckets were read."""
        end = now_us // self._bucket_us
        for column in self._columns.values():
            column.advance(self._end, end, self._length)
        self._end = end

    def sums(self, indicator: Indicator, window_us: int) -> tuple[Counts, Counts]:
        """Requests and bad ones of a window, by customer."""
        column = self._columns[indicator]
        column.make_room(len(self.customers))
        requests, bad = column.sums[window_us // self._bucket_us]
        return requests, bad

    def last_seen_us(self, indicator: Indicator) -> Counts:
        """The end of the last bucket with a request, by customer."""
        column = self._columns[indicator]
        column.make_room(len(self.customers))
        return (column.last + 1) * self._bucket_us

    def _forget(self, end: int) -> None:
        """Begin anew: all windows end before the first bucket that is read for one that ends at `end`."""
        self.customers.clear()
        self._codes: dict[str, int] = {}
        self._columns = {indicator: _Column(windows) for indicator, windows in self._windows.items()}
        self._end = end - self._length
        self._mark = None
        self._read_all_at = -math.inf

    def _has_many_gone(self) -> bool:
        """Whether most customers have had no request for so long that their places are worth having back."""
        oldest = self._end - self._length
        gone = np.ones(len(self.customers), np.bool_)
        for column in self._columns.values():
            column.make_room(len(self.customers))
            gone &= column.last < oldest
        return int(gone.sum()) > len(self.customers) // 2 + _SPARE_CUSTOMERS

    def _ranges(self, end: int, changes: Changes | None) -> list[Span]:
        """Which buckets to read, as [low, high): all, without changes."""
        oldest = end - self._length
        if changes is None:
            wanted = [(oldest, end)]
        else:
            recent = [((end * self._bucket_us) - RECENT_US, end * self._bucket_us)]
            spans = recent if changes.spans is None else changes.spans
            wanted = [(low // self._bucket_us, -(-high // self._bucket_us)) for low, high in spans]
            # What was written to these before the last update is in no later change.
            wanted.append((self._end, end))
        inside = sorted((max(low, oldest), min(high, end)) for low, high in wanted)
        return self._sliced(_joined([span for span in inside if span[0] < span[1]]))

    def _sliced(self, spans: Iterable[Span]) -> list[Span]:
        """The same in pieces that are read at once."""
        length = max(1, _SLICE_US // self._bucket_us)
        return [
            (first, min(first + length, high)) for low, high in spans for first in range(low, high, length)
        ]

    async def _read(self, ranges: Iterable[Span]) -> None:
        for low, high in ranges:
            for indicator, column in self._columns.items():
                counts = await self._counts(indicator, low, high)
                if counts.height <= _FEW_ROWS:
                    self._replace(column, low, high, counts)
                else:
                    await asyncio.to_thread(self._replace, column, low, high, counts)

    async def _counts(self, indicator: Indicator, low: int, high: int) -> pl.DataFrame:
        """Rows of COUNTS_SCHEMA of a range of buckets, without what is excluded."""
        low_us, high_us = low * self._bucket_us, high * self._bucket_us
        counts = await self._asked(indicator, low_us, high_us)
        cuts: set[int] = set()
        for each in indicator.excluded:
            for edge in (to_us(each.begin), to_us(each.end)):
                cuts |= {min(max(us, low_us), high_us) for us in (edge, self._rounded_up(edge))}
        frames = [counts]
        for start, end in itertools.pairwise(sorted(cuts)):
            out = [m for m in indicator.excluded if to_us(m.begin) <= start and end <= to_us(m.end)]
            if globs := tuple(glob for each in out for glob in each.customers):
                left_out = await self._asked(indicator, start, end)
                is_out = is_one_of(pl.col("customer_id"), globs)
                part = pl.col("part") + (start // self._bucket_us - low)
                frames.append(left_out.filter(is_out).with_columns(part, -pl.col("requests"), -pl.col("bad")))
        if len(frames) == 1:
            return counts
        added = pl.concat(frames).group_by("customer_id", "part").agg(pl.col("requests", "bad").sum())
        # The looks were at different moments; what was written between them is read again.
        return added.filter(pl.col("requests") > 0).with_columns(pl.col("bad").clip(0))

    async def _asked(self, indicator: Indicator, start_us: int, end_us: int) -> pl.DataFrame:
        query = CountsQuery(
            from_us(start_us),
            from_us(end_us),
            self._bucket_us,
            indicator.failures,
            indicator.limit_seconds,
            only=indicator.only,
        )
        return (await self._store.counts(query)).select(list(COUNTS_SCHEMA))

    def _rounded_up(self, us: int) -> int:
        return -(-us // self._bucket_us) * self._bucket_us

    def _replace(self, column: _Column, low: int, high: int, counts: pl.DataFrame) -> None:
        named = counts["customer_id"].unique().sort().to_list()
        for customer_id in named:
            if customer_id not in self._codes:
                self._codes[customer_id] = len(self.customers)
                self.customers.append(customer_id)
        column.make_room(len(self.customers))
        code = pl.col("customer_id").replace_strict(
            named, [self._codes[each] for each in named], return_dtype=pl.Int64()
        )
        rows = counts.select("part", code.alias("code"), "requests", "bad").sort("part")
        parts, codes = rows["part"].to_numpy(), rows["code"].to_numpy()
        figures = rows.select("requests", "bad").to_numpy().T
        edges = np.searchsorted(parts, np.arange(high - low + 1))
        for number in range(low, high):
            first, last = edges[number - low : number - low + 2]
            bucket = (
                _Bucket(_small(codes[first:last]), _small(figures[:, first:last])) if first < last else None
            )
            column.replace(number, bucket, self._end)


def _add(sums: Counts, bucket: _Bucket | None, sign: int) -> None:
    if bucket is not None:
        sums[:, bucket.codes] += sign * bucket.counts.astype(np.int64)


def _small(values: Counts) -> npt.NDArray[np.unsignedinteger]:
    return values.astype(np.min_scalar_type(int(values.max())))


def _joined(spans: list[Span]) -> list[Span]:
    """Sorted spans, those near to each other as one, so that they are few."""
    near = _NEAR
    while True:
        joined: list[Span] = []
        for low, high in spans:
            if joined and low - joined[-1][1] <= near:
                joined[-1] = (joined[-1][0], max(joined[-1][1], high))
            else:
                joined.append((low, high))
        if len(joined) <= _MOST_RANGES:
            return joined
        spans, near = joined, 2 * near
