"""One look at a store: its state once for all questions, and blocks from memory once they have been read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence

import polars as pl

from tailmetrics.stores.summaries.base import BlockKey, Summarized
from tailmetrics.stores.summaries.block import Part
from tailmetrics.stores.summaries.durations import Durations, summed
from tailmetrics.stores.summaries.manifest import BlockRef, State
from tailmetrics.stores.windowing import Span

_CACHE_BYTES = 32_000_000
_MOST_ROWS = 300_000  # of some 20 bytes
_MOST_SUMS = 100


class BlockCache:
    """Parts of blocks as they are stored, those that were read last; a block never changes."""

    def __init__(self, most_bytes: int = _CACHE_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        # With sizes, as a generation may come again in the end.
        self._parts: OrderedDict[tuple[BlockKey, Part, int], bytes] = OrderedDict()
        self.sums = KeptSums()

    def get(self, ref: BlockRef, part: Part) -> bytes | None:
        key = (ref.key, part, ref.sizes[part])
        data = self._parts.get(key)
        if data is not None:
            self._parts.move_to_end(key)
        return data

    def put(self, ref: BlockRef, part: Part, data: bytes) -> None:
        key = (ref.key, part, len(data))
        if key in self._parts or len(data) > self._most_bytes // 4:
            return
        self._parts[key] = data
        self._bytes += len(data)
        while self._bytes > self._most_bytes:
            _, oldest = self._parts.popitem(last=False)
            self._bytes -= len(oldest)


class KeptSums:
    """Durations of several blocks added up, those that were asked for last; these blocks never change."""

    def __init__(self, most_rows: int = _MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._lock = threading.Lock()
        self._sums: OrderedDict[Hashable, Durations | None] = OrderedDict()  # None for what is too large

    def get(self, key: Hashable) -> Durations | None:
        with self._lock:
            if key in self._sums:
                self._sums.move_to_end(key)
            return self._sums.get(key)

    def of(self, key: Hashable, read: Callable[[], Durations]) -> Durations:
        """What is read, by `code`; added up, unless that is too large to be kept."""
        kept = self.get(key)
        if kept is not None:
            return kept
        durations = read()
        with self._lock:
            if key in self._sums:
                return durations
        made = summed(durations, ["code"])
        with self._lock:
            self._sums[key] = made if made.frame.height <= self._most_rows else None
            while len(self._sums) > _MOST_SUMS or self._rows() > self._most_rows:
                self._sums.popitem(last=False)
        return made

    def _rows(self) -> int:
        return sum(each.frame.height for each in self._sums.values() if each is not None)


class Reading:
    """What a store has summed up, as it was when first asked for; requests are those of each moment."""

    def __init__(self, store: Summarized, cache: BlockCache) -> None:
        self._store = store
        self._cache = cache
        self._state: State | None = None

    async def state(self) -> State:
        if self._state is None:
            self._state = await self._store.state()
        return self._state

    async def parts(self, refs: Sequence[BlockRef], part: Part) -> Sequence[bytes]:
        found = {ref.key: data for ref in refs if (data := self._cache.get(ref, part)) is not None}
        if missing := [ref for ref in refs if ref.key not in found]:
            for ref, data in zip(missing, await self._store.parts(missing, part), strict=True):
                found[ref.key] = data
                self._cache.put(ref, part, data)
        return [found[ref.key] for ref in refs]

    def requests(
        self, spans: Sequence[Span], customer_ids: Sequence[str] | None
    ) -> AsyncGenerator[pl.DataFrame, None]:
        return self._store.requests(spans, customer_ids)

    def paths(self, spans: Sequence[Span]) -> AsyncGenerator[pl.DataFrame, None]:
        return self._store.paths(spans)

    async def edges(self, spans: Sequence[Span]) -> Span | None:
        return await self._store.edges(spans)
