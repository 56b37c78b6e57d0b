"""Counts of whole hours and days, kept for as long as nothing is written to them."""

from __future__ import annotations

from typing import Final

import polars as pl

from tailmetrics.stats import CountsQuery
from tailmetrics.stores.base import Queries, Reads
from tailmetrics.windows import DAY_US, to_us

HOUR_US: Final = DAY_US // 24

_MOST_ROWS = 100_000  # of one
_MOST_ROWS_KEPT = 1_000_000  # of all together: some 50 MB


class History:
    """What a store counted before, so that who asks again costs it little more than what is new."""

    def __init__(self, store: Reads) -> None:
        self._store = store
        self._mark: str | None = None
        self._kept: dict[CountsQuery, pl.DataFrame] = {}

    async def refresh(self) -> str:
        """Drop what has been written to; the mark up to which that is known. Raises StoreError."""
        mark = self._mark
        changes = await self._store.changes(mark)
        if mark is None or changes.spans is None:
            self._kept.clear()
        else:
            for low, high in changes.spans:
                for query in list(self._kept):
                    if to_us(query.start) < high and low < to_us(query.end):
                        del self._kept[query]
        self._mark = changes.mark
        return changes.mark

    async def counts(self, store: Queries, query: CountsQuery, mark: str) -> pl.DataFrame:
        """What `counts` of the store says, which is asked after the mark was told. Raises StoreError."""
        if (kept := self._kept.get(query)) is not None:
            return kept
        counts = await store.counts(query)
        is_whole = not to_us(query.start) % HOUR_US and not to_us(query.end) % HOUR_US
        # With another mark something may have been written to it, and dropped, while it was counted.
        if is_whole and mark == self._mark and counts.height <= _MOST_ROWS:
            while sum(each.height for each in self._kept.values()) + counts.height > _MOST_ROWS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[query] = counts
        return counts


def whole_parts(low_us: int, high_us: int) -> list[int]:
    """Where to cut a span so that most of it is whole days, and most of the rest whole hours."""
    cuts = set()
    for length in (HOUR_US, DAY_US):
        first, last = -(-low_us // length) * length, high_us // length * length
        if first < last and high_us - low_us >= DAY_US:
            cuts |= {first, last}
    return sorted(cuts - {low_us, high_us})
