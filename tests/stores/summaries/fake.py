"""A store of summaries in memory, as weak as a store on a server may be, and coroutines driven by hand.

Every request to it can be left waiting before the server sees it, and in the middle where the server does two
things: others go on meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any, Generic, Literal, TypeVar

import polars as pl

from tailmetrics.stores.summaries.base import BlockKey, BlocksGone
from tailmetrics.stores.summaries.block import DAY_US, Part
from tailmetrics.stores.summaries.manifest import (
    ALWAYS,
    BlockRef,
    Manifest,
    State,
    Touched,
)
from tailmetrics.stores.windowing import Span, spans_touched
from tailmetrics.windows import to_us
from tests.builders import Record

Where = Literal["before", "within"]
_Result = TypeVar("_Result")

_ROWS = {
    "time": pl.Int64(),
    "customer_id": pl.String(),
    "path": pl.String(),
    "status_code": pl.Int16(),
    "duration": pl.Float64(),
}
_ROWS_A_FRAME = 4


@types.coroutine
def wait(where: Where) -> Generator[Where, None, None]:
    """Let others go on: before a request, or in the middle of it; in an event loop nobody waits."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        yield where


class Task(Generic[_Result]):
    """A coroutine that goes from one wait to the next when it is told to."""

    def __init__(self, coroutine: Coroutine[Where, None, _Result]) -> None:
        self._coroutine = coroutine
        self.where: Where | None = "before"
        self.result: _Result | None = None

    @property
    def is_done(self) -> bool:
        return self.where is None

    def step(self) -> None:
        try:
            self.where = self._coroutine.send(None)
        except StopIteration as end:
            self.where = None
            self.result = end.value

    def finish(self) -> _Result | None:
        while not self.is_done:
            self.step()
        return self.result

    def die(self) -> None:
        """Never go on."""
        # A generator that waits cannot be closed without a loop.
        with contextlib.suppress(RuntimeError):
            self._coroutine.close()
        self.where = None


def finished(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """What a coroutine returns when nobody else does anything meanwhile."""
    task = Task(coroutine)
    task.finish()
    return task.result  # type: ignore[return-value]


async def to_thread(function: Callable[..., _Result], *args: Any) -> _Result:
    """In place of asyncio.to_thread, where no event loop runs."""
    return function(*args)


async def gather(*awaited: Awaitable[Any]) -> list[Any]:
    """In place of asyncio.gather, one after the other."""
    return [await each for each in awaited]


def touched(records: Sequence[Record]) -> tuple[Span, ...]:
    times = [record[0].replace(tzinfo=None) for record in records]
    return spans_touched([pl.Series(times, dtype=pl.Datetime("us"))]) if times else ()


class FakeKeeps:
    """Records by a key of theirs, journals, blocks and manifests.

    `keep_manifest` looks for a newer manifest and then writes, `state` reads the manifest and then the
    journals: each as two steps.
    """

    def __init__(self, block_span: Span = (-40_000 * DAY_US, 40_000 * DAY_US)) -> None:
        self.block_span = block_span
        self.records: dict[int, Record] = {}
        self.journal: dict[tuple[str, int], tuple[Span, ...]] = {}
        self.blocks: dict[BlockKey, dict[Part, bytes]] = {}
        self.manifests: dict[int, str] = {}
        self.said = ""
        self.oldest_us = ALWAYS[0]

    async def state(self) -> State:
        await wait("before")
        manifest = Manifest.of_text(self.manifests[max(self.manifests)]) if self.manifests else Manifest()
        await wait("within")
        since = tuple(Touched(*key, spans) for key, spans in self.journal.items())
        return State(manifest, since, self.oldest_us)

    async def parts(self, refs: Sequence[BlockRef], part: Part) -> Sequence[bytes]:
        await wait("before")
        found = []
        for ref in refs:
            data = self.blocks.get(ref.key, {}).get(part, b"")
            if len(data) != ref.sizes[part]:
                raise BlocksGone(str(ref.key))
            found.append(data)
        return found

    async def requests(
        self, spans: Sequence[Span], customer_ids: Sequence[str] | None
    ) -> AsyncGenerator[pl.DataFrame, None]:
        for span in spans:
            async for rows in self._rows(span):
                kept = (
                    rows if customer_ids is None else rows.filter(pl.col("customer_id").is_in(customer_ids))
                )
                yield kept.select("time", "customer_id", "status_code", "duration", "count")

    async def paths(self, spans: Sequence[Span]) -> AsyncGenerator[pl.DataFrame, None]:
        for span in spans:
            async for rows in self._rows(span):
                yield rows.select("time", "path", "status_code", "count")

    async def edges(self, spans: Sequence[Span]) -> Span | None:
        await wait("before")
        times = [row[0] for span in spans for row in self._in(span)]
        return (min(times), max(times)) if times else None

    async def keep_block(self, ref: BlockRef, parts: dict[Part, bytes]) -> None:
        await wait("before")
        kept = self.blocks.setdefault(ref.key, {})
        for part, data in parts.items():
            kept[part] = data
            await wait("within")

    async def keep_manifest(self, manifest: Manifest) -> bool:
        await wait("before")
        if self.manifests and max(self.manifests) >= manifest.number:
            return False
        await wait("within")
        self.manifests[manifest.number] = manifest.as_text()
        return True

    async def sweep(self, manifest: Manifest, unnamed: set[BlockKey]) -> set[BlockKey]:
        await wait("before")
        named = {ref.key for ref in manifest.blocks}
        kept = set(self.blocks)
        gone = (kept - named) & unnamed
        for key in gone:
            await wait("within")
            self.blocks.pop(key, None)
        for key in list(self.journal):
            if key[1] <= manifest.included.get(key[0], -1):
                await wait("within")
                self.journal.pop(key, None)
        for number in [number for number in self.manifests if number < manifest.number - 1]:
            del self.manifests[number]
        return kept - gone

    async def lease(self) -> str:
        return self.said

    async def say(self, text: str) -> None:
        self.said = text

    def _in(self, span: Span) -> list[tuple[Any, ...]]:
        rows = [(to_us(record[0]), *record[1:]) for record in self.records.values()]
        return sorted((row for row in rows if span[0] <= row[0] < span[1]), key=lambda row: row[0])

    async def _rows(self, span: Span) -> AsyncGenerator[pl.DataFrame, None]:
        await wait("before")
        rows = iter(self._in(span))
        while some := list(itertools.islice(rows, _ROWS_A_FRAME)):
            yield pl.DataFrame(some, _ROWS, orient="row").with_columns(count=pl.lit(1, pl.Int64))
            await wait("within")
