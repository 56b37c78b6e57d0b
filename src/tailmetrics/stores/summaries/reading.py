"""One look at a store: its state once for all questions, and blocks from memory once they have been read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence

import polars as pl

from tailmetrics.stores.summaries.base import BlockKey, Summarized
from tailmetrics.stores.summaries.block import Part
from tailmetrics.stores.summaries.manifest import BlockRef, State
from tailmetrics.stores.windowing import Span

_CACHE_BYTES = 32_000_000


class BlockCache:
    """Parts of blocks as they are stored, those that were read last; a block never changes."""

    def __init__(self, most_bytes: int = _CACHE_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._parts: OrderedDict[tuple[BlockKey, Part], bytes] = OrderedDict()

    def get(self, key: BlockKey, part: Part) -> bytes | None:
        data = self._parts.get((key, part))
        if data is not None:
            self._parts.move_to_end((key, part))
        return data

    def put(self, key: BlockKey, part: Part, data: bytes) -> None:
        if (key, part) in self._parts or len(data) > self._most_bytes // 4:
            return
        self._parts[key, part] = data
        self._bytes += len(data)
        while self._bytes > self._most_bytes:
            _, oldest = self._parts.popitem(last=False)
            self._bytes -= len(oldest)


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
        found = {ref.key: data for ref in refs if (data := self._cache.get(ref.key, part)) is not None}
        if missing := [ref for ref in refs if ref.key not in found]:
            for ref, data in zip(missing, await self._store.parts(missing, part), strict=True):
                found[ref.key] = data
                self._cache.put(ref.key, part, data)
        return [found[ref.key] for ref in refs]

    def requests(
        self, spans: Sequence[Span], customer_ids: Sequence[str] | None
    ) -> AsyncIterator[pl.DataFrame]:
        return self._store.requests(spans, customer_ids)

    def paths(self, spans: Sequence[Span]) -> AsyncIterator[pl.DataFrame]:
        return self._store.paths(spans)

    async def edges(self, spans: Sequence[Span]) -> Span | None:
        return await self._store.edges(spans)
