"""Makes the blocks: reads what is stale, adds it up, and names the result in the next manifest."""

from __future__ import annotations

import asyncio
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Final

import polars as pl

from tailmetrics.errors import StoreRefused
from tailmetrics.stores.loop_thread import LoopThread
from tailmetrics.stores.summaries.base import BlockKey, Keeps
from tailmetrics.stores.summaries.block import (
    DAY,
    DAY_US,
    HOUR,
    HOUR_US,
    MINUTE,
    MINUTE_US,
    PARTS,
    Level,
    Part,
    Tables,
    in_cells,
    merged,
    outside,
    packed,
    tables_from,
    tables_of,
    unpacked,
)
from tailmetrics.stores.summaries.manifest import (
    ALWAYS,
    GENERATIONS,
    BlockRef,
    Manifest,
    State,
    united,
    within,
    without,
)
from tailmetrics.stores.windowing import Span
from tailmetrics.telemetry.log import EventLog
from tailmetrics.windows import to_us

log = EventLog()

START_SECONDS: Final = 2.0  # a command that is done sooner leaves the making to others
_LOOK_SECONDS = 1.0
_MOST_IDLE_SECONDS = 10.0
_BEAT_SECONDS = 3.0
_LONGEST_REST_SECONDS = 30.0
_LEASE_SECONDS = 60.0  # another process that makes blocks and has said nothing for so long has ended
_LONGEST_WAIT_SECONDS = 60.0  # for an end of commits to what is to be made
_SILENT_SECONDS = 3.0
_SWEEP_SECONDS = 60.0  # for so long a question may read what is no longer named
FENCE: Final = 1_000  # manifests, more than are written while one request is under way
SWEEPS_TO_FORGET: Final = 3  # a journal: one includes it, the next deletes it, the third leaves it out
_REST = 9  # times as long as making took, while commits go on
_MOST_SINCE = 500  # commits that questions have to look through
_FEW_ROWS, _MANY_ROWS = 100_000, 400_000  # of one read
_LONG_US = 32 * DAY_US


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True, slots=True)
class Work:
    """A block to be made: from blocks that it replaces, and from requests in `spans`."""

    level: Level
    start_us: int
    replaced: tuple[BlockRef, ...]
    spans: tuple[Span, ...]

    @property
    def end_us(self) -> int:
        return self.start_us + self.level.length_us


def next_work(state: State, block_span: Span, now_us: int, hot: Sequence[Span] = ()) -> Work | None:
    """What is to be made next: days that are over, hours of today, minutes of this hour.

    The newest first, as that is what is looked at. `hot` spans are being written to: they wait.
    """
    wanted = without(within(state.stale, max(block_span[0], state.oldest_us), block_span[1]), hot)
    blocks = state.manifest.blocks
    hour, day = (now_us // length * length for length in (HOUR_US, DAY_US))

    def level_at(us: int) -> Level:
        if us // DAY_US * DAY_US != day:
            return DAY
        return MINUTE if us // HOUR_US * HOUR_US == hour else HOUR

    if wanted:
        last = wanted[-1][1] - 1
    else:
        # What is whole by now: the minutes of an hour, and the hours of a day.
        short = [ref.start_us for ref in blocks if level_at(ref.start_us).length_us > ref.level.length_us]
        short = [start for start in short if not within(hot, *_around(start, level_at(start)))]
        if not short:
            return None
        last = max(short)
    # A block is never made shorter again, though the clock may have been set back.
    levels = [level_at(last), *(ref.level for ref in blocks if ref.start_us <= last < ref.end_us)]
    level = max(levels, key=lambda each: each.length_us)
    start, end = _around(last, level)
    replaced = tuple(ref for ref in blocks if ref.start_us < end and ref.end_us > start)
    return Work(level, start, replaced, _widened(within(state.stale, start, end), replaced))


class Maker:
    """Makes blocks in the background, in one process at a time.

    Several at once would do the same work, and no harm.
    """

    def __init__(self, store: Keeps, clock: Callable[[], datetime] = _utc_now) -> None:
        self._store = store
        self._clock = clock
        self._lease = Lease(store)
        self._seen: dict[str, int] | None = None
        self._waited_since = time.monotonic()
        self._is_gap = True
        self._is_busy = False
        self._slice_us = HOUR_US
        self._unnamed: set[BlockKey] = set()
        self._included: Mapping[str, int] = {}  # at the last sweep, and what it deleted
        self._deleted: Mapping[str, int] = {}
        self._swept_at = time.monotonic()
        self._fence = -1

    async def run(self) -> None:
        """Go on until cancelled."""
        await asyncio.sleep(START_SECONDS)
        refused, idle = "", _LOOK_SECONDS
        while True:
            began = time.monotonic()
            made = False
            try:
                made = await self._lease.is_held() and await self._step()
                refused = ""
            except StoreRefused as error:
                log.info("this process makes no summaries, but uses those that others make", error=str(error))
                return
            except Exception as error:  # noqa: BLE001  # nobody waits for it, and it goes on
                if str(error) != refused:
                    log.warning("summaries wait", error=str(error), kind=type(error).__name__)
                refused = str(error)
            idle = _LOOK_SECONDS if made else min(2 * idle, _MOST_IDLE_SECONDS)
            rest = (time.monotonic() - began) * _REST if self._is_busy else 0.0
            await asyncio.sleep(min(_LONGEST_REST_SECONDS, rest if made else max(idle, rest)))

    async def make_all(self) -> None:
        """Make all that is stale now, whoever else does. Raises StoreError."""
        say_at = time.monotonic() + _SILENT_SECONDS
        state = await self._store.state()
        begun = state.included
        while await self.make(state, _spans_behind(state, begun)):
            await self._lease.take()  # others have less to do for it
            if time.monotonic() > say_at:
                say_at = math.inf
                log.info(
                    "records are added up for quick answers about all customers; this can be interrupted"
                )
            state = await self._store.state()
        await self.sweep()

    async def make(self, state: State, hot: Sequence[Span] = ()) -> bool:
        """Make one block, if there is one to make."""
        known, state = state, await self._without_gaps(state)
        work = next_work(state, self._store.block_span, to_us(self._clock()), hot)
        if work is None:
            is_shorter = state.stale != known.stale
            return is_shorter and await self._store.keep_manifest(
                _following(state, state.manifest.blocks, state.stale)
            )
        ref, parts = await self._made(work)
        blocks = [each for each in state.manifest.blocks if each not in work.replaced]
        if ref is not None:
            await self._store.keep_block(ref, parts)
            blocks.append(ref)
        self._is_gap = ref is None
        stale = without(state.stale, [(work.start_us, work.end_us)])
        # Where another one was quicker, this is made again from what that one left.
        await self._store.keep_manifest(_following(state, blocks, stale))
        return True

    async def _step(self) -> bool:
        state = await self._store.state()
        seen, self._seen = self._seen, state.included
        hot = [] if seen is None else _spans_behind(state, seen)
        self._is_busy = bool(hot)
        if time.monotonic() - self._waited_since > _LONGEST_WAIT_SECONDS:
            hot = []
        if not hot:
            self._waited_since = time.monotonic()
        made = await self.make(state, hot)
        if not made and len(state.later) > _MOST_SINCE:
            made = await self._store.keep_manifest(_following(state, state.manifest.blocks, state.stale))
        if time.monotonic() - self._swept_at > _SWEEP_SECONDS:
            await self.sweep()
        return made

    async def sweep(self) -> None:
        """Delete blocks that no manifest can name any more, and of journals what all manifests include.

        No request to the store may take so long that two sweeps lie between its beginning and its end.
        """
        self._swept_at = time.monotonic()
        state = await self._store.state()
        # Of journals of which nothing is left nothing has to be known.
        included = {
            journal: place
            for journal, place in state.included.items()
            if place > self._deleted.get(journal, -1)
        }
        is_known = state.manifest.number == self._fence and state.included == included
        if is_known and not state.since and not self._unnamed:
            return
        # So far ahead that no maker that has begun before can name a block in a manifest that counts.
        fence = _following(state, state.manifest.blocks, state.stale, ahead=FENCE)
        if not await self._store.keep_manifest(replace(fence, included=included)):
            return
        if (await self._store.state()).manifest.number != fence.number:  # one that was under way is newer
            return
        # Others may have read the manifest of the last sweep, or the one before this: journals come next.
        known = state.manifest.included
        long = {
            journal: min(place, known[journal])
            for journal, place in self._included.items()
            if journal in known
        }
        kept = await self._store.sweep(replace(fence, included=long), self._unnamed)
        self._unnamed = kept - {ref.key for ref in fence.blocks}
        self._included, self._deleted, self._fence = included, long, fence.number
        if gone := [ref for ref in fence.blocks if ref.key not in kept]:
            log.warning("blocks of summaries are missing and made again", blocks=len(gone))
            left = [ref for ref in fence.blocks if ref.key in kept]
            stale = united([*state.stale, *((ref.start_us, ref.end_us) for ref in gone)])
            await self._store.keep_manifest(_following(replace(state, manifest=fence), left, stale))

    async def _without_gaps(self, state: State) -> State:
        """The state without what is stale before the first request and after the last one of what is stale.

        Looked up only for stretches so long that going through them day by day would take long, and for times
        of which there are no blocks: each question would look there.
        """
        stale = state.stale
        low, high = self._store.block_span
        living = within(stale, max(low, state.oldest_us), high)
        long = [span for span in living if span[1] - span[0] > _LONG_US]
        beyond = [*within(stale, ALWAYS[0], low), *within(stale, high, ALWAYS[1])]
        if not (long or beyond) or not self._is_gap:
            return state
        nothing = united([*await self._empty(long), *await self._empty(beyond)])
        # A block whose requests have all been deleted goes, too; one of which some are left is made anew.
        blocks = tuple(ref for ref in state.manifest.blocks if not _covered(ref, nothing))
        nothing = without(nothing, [(ref.start_us, ref.end_us) for ref in blocks])
        self._is_gap = False
        left = tuple(without(stale, nothing))
        return replace(
            state, manifest=replace(state.manifest, blocks=blocks, stale=left, included=state.included)
        )

    async def _empty(self, spans: Sequence[Span]) -> list[Span]:
        """What of spans is on other days than the first and the last request in them, and those between."""
        edges = await self._store.edges(spans) if spans else None
        if edges is None:
            return list(spans)
        return without(spans, [(edges[0] // DAY_US * DAY_US, edges[1] // DAY_US * DAY_US + DAY_US)])

    async def _made(self, work: Work) -> tuple[BlockRef | None, dict[Part, bytes]]:
        """The block, None where it has no request, and its parts."""
        edges = [await self._edges_left(ref, work.spans) for ref in work.replaced]
        pieces: list[Tables | None] = [await self._kept(ref, work.spans) for ref in work.replaced]
        for low, high in work.spans:
            begin = low
            while begin < high:
                end = min(begin + self._slice_us, high)
                pieces.append(await self._added_up((begin, end), work.level, edges))
                begin = end
        found = [piece for piece in pieces if piece is not None and piece.series.height]
        if not found:
            return None, {}
        tables = await asyncio.to_thread(merged, found, work.level)
        parts = await asyncio.to_thread(packed, tables, work.start_us)
        # None where requests have been deleted meanwhile, which will be told.
        times = [edge for edge in edges if edge is not None] or [(work.start_us, work.end_us - 1)]
        generations = {ref.generation for ref in work.replaced}
        ref = BlockRef(
            work.level,
            work.start_us,
            next(number for number in iter(_random_generation, None) if number not in generations),
            int(tables.series["count"].sum()),
            min(first for first, _ in times),
            max(last for _, last in times),
            {part: len(data) for part, data in parts.items()},
        )
        return ref, parts

    async def _edges_left(self, ref: BlockRef, spans: Sequence[Span]) -> Span | None:
        """The first and the last request of a block that are outside of spans."""
        left = without([(ref.start_us, ref.end_us)], spans)
        if left == [(ref.start_us, ref.end_us)]:
            return ref.first_us, ref.last_us
        return await self._store.edges(left) if left else None

    async def _kept(self, ref: BlockRef, spans: Sequence[Span]) -> Tables:
        """What a block holds outside of spans."""
        parts = {part: (await self._store.parts([ref], part))[0] for part in PARTS if part in ref.sizes}

        def left() -> Tables:
            found = {part: unpacked(data, ref.start_us) for part, data in parts.items()}
            return outside(tables_from(found), spans)

        return await asyncio.to_thread(left)

    async def _added_up(self, span: Span, level: Level, edges: list[Span | None]) -> Tables | None:
        """The requests of a span; the times of the first and the last are added to `edges`."""
        requests: list[pl.DataFrame] = []
        number = 0
        async with aclosing(self._store.requests([span], None)) as frames:
            async for frame in frames:
                if frame.height:
                    times = frame["time"].to_numpy()
                    edges.append((int(times.min()), int(times.max())))
                    number += frame.height
                    requests.append(await asyncio.to_thread(in_cells, frame, level))
        if number < _FEW_ROWS:
            self._slice_us = min(2 * self._slice_us, DAY_US)
        elif number > _MANY_ROWS:
            self._slice_us = max(self._slice_us // 4, MINUTE_US)
        if not requests:
            return None
        async with aclosing(self._store.paths([span])) as frames:
            paths = [await asyncio.to_thread(in_cells, frame, level) async for frame in frames]
        if not paths:  # deleted meanwhile, which will be told
            return None
        return await asyncio.to_thread(tables_of, pl.concat(requests), pl.concat(paths), level)


class Making:
    """Makes the blocks of a store in the loop of its queries, from the first of them on."""

    def __init__(self, loop: LoopThread, store: Keeps) -> None:
        self._loop = loop
        self._store = store
        self._lock = threading.Lock()
        self._running: Future[None] | None = None

    def begin(self) -> None:
        """Go on in the background until the loop ends, once."""
        with self._lock:
            if self._running is None:
                self._running = self._loop.run(Maker(self._store).run())

    def finish(self) -> None:
        """Return when all has been made that there is to make now; not in that loop. Raises StoreError."""
        with self._lock:
            if self._running is not None:
                self._running.cancel()
                self._running = None
        self._loop.run(Maker(self._store).make_all()).result()


class Lease:
    """One maker at a time: the one that has said something last, as long as it goes on to."""

    def __init__(self, store: Keeps) -> None:
        self._store = store
        self._name = secrets.token_hex(6)
        self._beats = 0
        self._said_at = -_BEAT_SECONDS
        self._heard = ("", 0.0)

    async def is_held(self) -> bool:
        """Whether this process makes blocks. Raises StoreUnavailable."""
        now = time.monotonic()
        text = await self._store.lease()
        if text.startswith(self._name):
            await self.take()
            return True
        if text != self._heard[0]:
            self._heard = (text, now)
        if not text or now - self._heard[1] > _LEASE_SECONDS:
            await self.take()
        return False

    async def take(self) -> None:
        """Say that this process makes blocks, unless it has said so just now. Raises StoreUnavailable."""
        now = time.monotonic()
        if now - self._said_at > _BEAT_SECONDS:
            self._beats += 1
            self._said_at = now
            await self._store.say(f"{self._name} {self._beats}")


def _following(state: State, blocks: Sequence[BlockRef], stale: Sequence[Span], ahead: int = 1) -> Manifest:
    kept = (ref for ref in blocks if ref.end_us > state.oldest_us)
    ordered = tuple(sorted(kept, key=lambda ref: ref.start_us))
    left = within(stale, state.oldest_us, ALWAYS[1])
    if state.oldest_us > ALWAYS[0]:  # nothing is known of it, should the retention become longer
        left = [(ALWAYS[0], state.oldest_us), *left]
    return Manifest(state.manifest.number + ahead, ordered, tuple(united(left)), state.included)


def _spans_behind(state: State, places: Mapping[str, int]) -> list[Span]:
    """What was touched behind places in journals."""
    later = (each.spans for each in state.since if each.place > places.get(each.journal, -1))
    return united(span for spans in later for span in spans)


def _random_generation() -> int:
    return secrets.randbelow(GENERATIONS)


def _around(us: int, level: Level) -> Span:
    start = us // level.length_us * level.length_us
    return start, start + level.length_us


def _covered(ref: BlockRef, spans: Sequence[Span]) -> bool:
    return any(low <= ref.start_us and ref.end_us <= high for low, high in spans)


def _widened(spans: Sequence[Span], replaced: Sequence[BlockRef]) -> tuple[Span, ...]:
    """Spans that hold whole cells of the blocks that are replaced."""
    found: list[Span] = []
    for low, high in spans:
        cells = [ref.level.customer_cell_us for ref in replaced if ref.start_us < high and ref.end_us > low]
        cell = max(cells, default=MINUTE_US)
        found.append((low // cell * cell, -(-high // cell) * cell))
    return tuple(united(found))
