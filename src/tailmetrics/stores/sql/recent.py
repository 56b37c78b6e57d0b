"""Requests of minutes that are being written to, kept in memory: of them only what commits add is read.

No block holds those minutes yet, and a live page asks for them at each commit.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from tailmetrics.stores.sql.changes import touched_since
from tailmetrics.stores.sql.schema import records, sources, store
from tailmetrics.stores.sql.selected import selected
from tailmetrics.stores.summaries.block import MINUTE_US
from tailmetrics.stores.summaries.manifest import united, within
from tailmetrics.stores.windowing import Span

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_MOST_MINUTES = 300
_MOST_REQUESTS = 500_000  # of some 42 bytes
_MOST_SOURCES = 1_000  # whose positions are looked at
_MOST_MOVED = 100  # of which what is new is asked for

_NOTHING = pl.DataFrame(
    schema={
        "time": pl.Int64,
        "status_code": pl.Int16,
        "duration": pl.Float64,
        "count": pl.Int64,
        "customer_id": pl.String,
    }
)


class RecentRequests:
    """What was read of minutes, as of one commit; the next question brings it to the commit that it sees.

    Records of a source are committed in order and together with the position behind them: those at or behind
    the position that was known are new.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._store_id, self._commits = "", -1
        self._positions: dict[int, int] = {}
        # By their starts (us), those that were used last at the end.
        self._minutes: OrderedDict[int, pl.DataFrame] = OrderedDict()

    async def requests(
        self, connection: AsyncConnection, spans: Sequence[Span], *, keeps: bool
    ) -> pl.DataFrame | None:
        """Requests in spans of all customers; None when they have to be read as if nothing was kept.

        That is so where they are too many, for a connection that sees an older commit than another has seen,
        and for minutes that are not kept yet unless this question `keeps` them.
        """
        async with self._lock:
            at = sa.select(store.c.store_id, store.c.commits, store.c.first_us, store.c.last_us)
            store_id, commits, first, last = (await connection.execute(at)).one()
            inside = [] if first is None else within(spans, first, last + 1)
            if sum(high - low for low, high in inside) > _MOST_MINUTES * MINUTE_US:
                return None
            if not await self._brought_to(connection, store_id, commits):
                return None
            wanted = dict.fromkeys(start for span in inside for start in _minutes_of(span))
            missing = [start for start in wanted if start not in self._minutes]
            if missing and not (keeps and await self._keep(connection, missing)):
                return None
            found = [self._requests_in(span) for span in inside]
            self._forget_others(wanted)
            return pl.concat([_NOTHING, *found])

    async def _brought_to(self, connection: AsyncConnection, store_id: str, commits: int) -> bool:
        """Whether what is kept is as of a commit from now on."""
        is_known = store_id == self._store_id
        if is_known and commits <= self._commits:
            return commits == self._commits
        columns = (sources.c.source_key, sources.c.position)
        found = (await connection.execute(sa.select(*columns).limit(_MOST_SOURCES + 1))).all()
        if len(found) > _MOST_SOURCES:
            return False
        await self._add(connection, found, is_known=is_known)
        self._store_id, self._commits = store_id, commits
        self._positions = {row.source_key: row.position for row in found}
        return True

    async def _add(self, connection: AsyncConnection, found: Sequence[Any], *, is_known: bool) -> None:
        """Add what is new of sources; minutes with other changes are given up."""
        if not is_known:
            self._minutes.clear()
        spans = await touched_since(connection, self._commits)
        touched = list(self._minutes)
        if spans is not None:
            apart = united(spans)
            touched = [start for start in touched if within(apart, start, start + MINUTE_US)]
        if not touched:
            return
        chosen = await selected(connection, _spans_of(touched))
        moved = [row.source_key for row in found if row.position != self._positions.get(row.source_key)]
        added: list[pl.DataFrame] = []
        if 0 < len(moved) <= _MOST_MOVED:
            is_new = sa.or_(*map(self._is_new, moved))
            added = [frame async for frame in chosen.requests(is_new)]
        expected = sum(frame.height for frame in (*added, *(self._minutes[start] for start in touched)))
        if await chosen.count() != expected:  # some have expired, or a copy brought them
            for start in touched:
                del self._minutes[start]
            return
        for start, frame in _by_minute(added).items():
            self._minutes[start] = pl.concat([self._minutes[start], frame], rechunk=True)

    def _is_new(self, source_key: int) -> sa.ColumnElement[bool]:
        of_source = records.c.source_key == source_key
        known = self._positions.get(source_key)
        return of_source if known is None else of_source & (records.c.offset >= known)

    async def _keep(self, connection: AsyncConnection, starts: Sequence[int]) -> bool:
        """Read minutes, unless they hold too much."""
        chosen = await selected(connection, _spans_of(starts))
        if await chosen.count() > _MOST_REQUESTS:
            return False
        frames = [frame async for frame in chosen.requests()]
        self._minutes |= dict.fromkeys(starts, _NOTHING) | _by_minute(frames)
        return True

    def _requests_in(self, span: Span) -> pl.DataFrame:
        low, high = span
        requests = pl.concat([self._minutes[start] for start in _minutes_of(span)])
        if low % MINUTE_US or high % MINUTE_US:
            requests = requests.filter(pl.col("time").is_between(low, high, closed="left"))
        return requests

    def _forget_others(self, wanted: Iterable[int]) -> None:
        """Forget what was used longest ago while there is too much."""
        for start in wanted:
            self._minutes.move_to_end(start)
        number = sum(frame.height for frame in self._minutes.values())
        while number > _MOST_REQUESTS or len(self._minutes) > _MOST_MINUTES:
            number -= self._minutes.popitem(last=False)[1].height


def _minutes_of(span: Span) -> range:
    """The starts of the minutes that a span reaches into."""
    low, high = span
    return range(low - low % MINUTE_US, high, MINUTE_US)


def _spans_of(starts: Iterable[int]) -> list[Span]:
    return united((start, start + MINUTE_US) for start in starts)


def _by_minute(frames: Sequence[pl.DataFrame]) -> dict[int, pl.DataFrame]:
    if not frames:
        return {}
    minute = pl.col("time") // MINUTE_US * MINUTE_US
    requests = pl.concat(frames).with_columns(minute=minute)
    found = requests.partition_by("minute", as_dict=True, include_key=False)
    return {start: frame for (start,), frame in found.items()}
