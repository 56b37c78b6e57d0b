"""Summaries in InfluxDB: blocks, manifests and journals as points in the bucket that never expires.

A block's point lies at the time where the block begins, its generation and the number of a piece in the
nanoseconds behind that. Places in journals, and numbers of manifests, are the first nanoseconds of 1970.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from itertools import groupby
from typing import Any

import polars as pl

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.base import Changes
from tailmetrics.stores.influxdb import flux, influxql
from tailmetrics.stores.influxdb.csv import Tables
from tailmetrics.stores.influxdb.flux import Asked
from tailmetrics.stores.influxdb.line_protocol import point
from tailmetrics.stores.influxdb.meta_queries import counted
from tailmetrics.stores.influxdb.points_read import all_paths, all_requests, edges, far_requests
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.influxdb.record_points import NEAR_HIGH_US, NEAR_LOW_US
from tailmetrics.stores.influxdb.server import Server
from tailmetrics.stores.summaries.base import BlockKey, BlocksGone
from tailmetrics.stores.summaries.block import DAY_US, LEVELS, Part
from tailmetrics.stores.summaries.maker import FENCE, SWEEPS_TO_FORGET
from tailmetrics.stores.summaries.manifest import (
    ALWAYS,
    BlockRef,
    Manifest,
    State,
    Touched,
    spans_of_text,
    united,
    within,
)
from tailmetrics.stores.windowing import Span
from tailmetrics.windows import from_us

_PIECE = 60_000  # characters of a field: InfluxDB promises to keep 64 KB
_PIECES = 4096  # of a part of a block at most
_TURNS = 1_000  # times of manifests with the same number
_NEAR: Span = (NEAR_LOW_US, NEAR_HIGH_US)
_SPANS_A_QUERY = 25
_POINTS_A_QUERY = 200_000
_BYTES_A_QUERY = 8_000_000  # of blocks
_LENGTHS = {level.name: level.length_us * 1_000 for level in LEVELS}

_STATE = """
from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-02T00:00:00Z)
    |> filter(fn: (r) => r._measurement == "manifest" and r._field == "text")
    |> last()
    |> keep(columns: ["_time", "piece", "_value"])
    |> group()
    |> yield(name: "manifest")

from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-02T00:00:00Z)
    |> filter(fn: (r) => r._measurement == "journal" and r._field == "spans")
    |> keep(columns: ["_time", "journal", "_value"])
    |> group()
    |> yield(name: "journal")
"""

# The same in InfluxQL, as every question asks for it.
_QUICK_MANIFEST = "SELECT last(text) AS _value FROM manifest WHERE time < 1d GROUP BY piece"
_QUICK_JOURNALS = "SELECT spans AS _value, journal FROM journal WHERE time < 1d"

_BLOCKS = """
from(bucket: bucket)
    |> range(start: start_{place}, stop: stop_{place})
    |> filter(fn: (r) => r._measurement == "block" and r.level == level_{place} and r.part == part)
    |> keep(columns: ["_time", "_value"])
    |> group()
    |> yield(name: "{place}")
"""

_GENERATIONS = """
from(bucket: bucket)
    |> range(start: 1678-01-01T00:00:00Z, stop: 2262-01-01T00:00:00Z)
    |> filter(fn: (r) => r._measurement == "block" and r.part == "series" and r._field == "data")
    |> keep(columns: ["_time", "level"])
    |> group()
    |> yield(name: "blocks")
"""

_LEASE = """
from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-01T00:00:01Z)
    |> filter(fn: (r) => r._measurement == "maker" and r._field == "said")
    |> keep(columns: ["_value"])
    |> yield(name: "said")
"""


class InfluxDBSummaries:
    """What summaries need of two buckets: queries by the reader, points by the server's client."""

    block_span = _NEAR

    def __init__(self, reader: InfluxDBReader, server: Server) -> None:
        self._reader = reader
        self._server = server

    async def state(self) -> State:
        found = await self._said()
        oldest = await asyncio.to_thread(self._server.oldest_us)
        oldest_us = ALWAYS[0] if oldest is None else oldest
        journal = found.get("journal")
        since = (
            ()
            if journal is None
            else tuple(
                Touched(name, place, spans_of_text(text))
                for place, name, text in journal.select("_time", "journal", "_value").iter_rows()
            )
        )
        pieces = found.get("manifest")
        if pieces is None:
            return State(Manifest(), since, oldest_us)
        newest = pieces.filter(pl.col("_time") == pl.col("_time").max()).sort(pl.col("piece").cast(pl.Int64))
        try:
            return State(Manifest.of_text("".join(newest["_value"])), since, oldest_us)
        except ValueError as error:  # it is several points, of which not all are there yet
            raise StoreUnavailable("InfluxDB has not stored the newest manifest whole yet") from error

    async def changes(self, mark: str | None) -> Changes:
        """What journals say behind a mark, which tells the place in each, and how many manifests there were.

        None where an entry behind it is gone: what a manifest included is deleted after a while. Places in a
        journal follow each other; of one that no manifest names any more there have been three sweeps since.
        """
        state = await self.state()
        number, places = state.manifest.number, state.included
        now = json.dumps([number, places])
        if mark is None:
            return Changes(now, None)
        number_before, before = json.loads(mark)
        later = [each for each in state.since if each.place > before.get(each.journal, 0)]
        behind = sum(max(0, place - before.get(journal, 0)) for journal, place in places.items())
        if len(later) < behind or number - number_before >= SWEEPS_TO_FORGET * FENCE:
            return Changes(now, None)
        return Changes(now, tuple(united(span for each in later for span in each.spans)))

    async def parts(self, refs: Sequence[BlockRef], part: Part) -> Sequence[bytes]:
        # An answer takes several times the bytes of its blocks until these have been taken out of it.
        read = [await self._parts(some, part) for some in _by_size(refs, part)]
        return [data for some in read for data in some]

    async def _parts(self, refs: Sequence[BlockRef], part: Part) -> list[bytes]:
        texts: list[str] = []
        params: dict[str, Any] = {"part": part}
        runs = list(_runs(refs))
        for place, run in enumerate(runs):
            texts.append(_BLOCKS.format(place=place))
            params |= {
                f"level_{place}": run[0].level.name,
                f"start_{place}": from_us(run[0].start_us),
                f"stop_{place}": from_us(run[-1].end_us),
            }
        found = await self._meta("\n".join(texts), **params) if texts else {}
        return await asyncio.to_thread(_joined, refs, part, runs, found)

    async def requests(
        self, spans: Sequence[Span], customer_ids: Sequence[str] | None
    ) -> AsyncGenerator[pl.DataFrame, None]:
        columns = ["_measurement", "_field", "_time", "_value", "customer_id", "status_code"]
        async for asked, found in self._rows(spans, customer_ids, ["duration", "untimed"], columns):
            yield all_requests(found, asked, ["customer_id"]).with_columns(count=pl.lit(1, pl.Int64))

    async def paths(self, spans: Sequence[Span]) -> AsyncGenerator[pl.DataFrame, None]:
        columns = ["_measurement", "_field", "_time", "_value", "status_code"]
        async for asked, found in self._rows(spans, None, ["path"], columns):
            yield all_paths(found, asked).with_columns(count=pl.lit(1, pl.Int64))

    async def edges(self, spans: Sequence[Span]) -> Span | None:
        times: list[int] = []
        for begin in range(0, len(spans), _SPANS_A_QUERY):
            some = spans[begin : begin + _SPANS_A_QUERY]
            asked = Asked(self._reader.bucket, None, some[0][0], some[-1][1])
            statements, params = flux.edges_in(asked, some)
            statements += flux.far_rows(asked, [])
            found = await self._reader.run(flux.text_of(asked, statements), {**asked.params, **params})
            times += edges(found)
            times += far_requests(found, asked)["time"].to_list()
        inside = [time for time in times if any(low <= time < high for low, high in spans)]
        return (min(inside), max(inside)) if inside else None

    async def keep_block(self, ref: BlockRef, parts: dict[Part, bytes]) -> None:
        lines = []
        for part, data in parts.items():
            text = base64.b64encode(data).decode()
            for piece, begin in enumerate(range(0, len(text), _PIECE)):
                time = ref.start_us * 1_000 + ref.generation * _PIECES + piece
                tags = {"level": ref.level.name, "part": part}
                lines.append(point("block", tags, {"data": text[begin : begin + _PIECE]}, time))
        await asyncio.to_thread(self._server.write_meta, lines)

    async def keep_manifest(self, manifest: Manifest) -> bool:
        if (await self.state()).manifest.number >= manifest.number:
            return False
        text = manifest.as_text()
        # Of two processes that write the same number at the same moment one must not mix with the other.
        time = manifest.number * _TURNS + secrets.randbelow(_TURNS)
        lines = [
            point("manifest", {"piece": str(piece)}, {"text": text[begin : begin + _PIECE]}, time)
            for piece, begin in enumerate(range(0, len(text), _PIECE))
        ]
        await asyncio.to_thread(self._server.write_meta, lines)
        return True

    async def sweep(self, manifest: Manifest, unnamed: set[BlockKey]) -> set[BlockKey]:
        named = {ref.key for ref in manifest.blocks}
        found = (await self._meta(_GENERATIONS)).get("blocks")
        kept = set() if found is None else {_key(*row) for row in found.select("level", "_time").iter_rows()}
        gone = (kept - named) & unnamed
        await asyncio.to_thread(self._delete, manifest, gone)
        return kept - gone

    async def lease(self) -> str:
        found = (await self._meta(_LEASE)).get("said")
        return "" if found is None else str(found["_value"][0])

    async def say(self, text: str) -> None:
        await asyncio.to_thread(
            self._server.write_meta, [point("maker", {"of": "summaries"}, {"said": text}, 0)]
        )

    def _delete(self, manifest: Manifest, gone: set[BlockKey]) -> None:
        for level, start_us, generation in gone:
            first = start_us * 1_000 + generation * _PIECES
            self._server.delete_meta(f'_measurement="block" AND level="{level}"', first, first + _PIECES)
        for journal, place in manifest.included.items():
            self._server.delete_meta(f'_measurement="journal" AND journal="{journal}"', 0, place + 1)
        if manifest.number > 1:
            self._server.delete_meta('_measurement="manifest"', 0, (manifest.number - 1) * _TURNS)

    async def _said(self) -> dict[str, Tables]:
        """The newest manifest, and journals."""
        reader = self._reader
        if not reader.shortcut.is_trusted and reader.shortcut.may_be_tried:
            await counted(reader)
        if reader.shortcut.is_trusted:
            found = await influxql.rows(
                reader.run_influxql, reader.shortcut, _QUICK_MANIFEST, _QUICK_JOURNALS
            )
            if found is not None:
                names = zip(("manifest", "journal"), found, strict=True)
                return {name: table for name, table in names if table.height}
        return await self._meta(_STATE)

    async def _meta(self, text: str, **params: Any) -> dict[str, Tables]:
        return await self._reader.run(text, {"bucket": self._reader.meta_bucket, **params})

    async def _rows(
        self,
        spans: Sequence[Span],
        customer_ids: Sequence[str] | None,
        fields: Sequence[str],
        columns: Sequence[str],
    ) -> AsyncIterator[tuple[Asked, dict[str, Tables]]]:
        """Points of spans, those of a day at most in each answer, or not too many."""
        ids = None if customer_ids is None else tuple(customer_ids)
        async for some in self._portions(spans):
            asked = Asked(self._reader.bucket, ids, some[0][0], some[-1][1])
            statements, params = flux.rows_in(asked, some, fields, columns, fields[0])
            if statements:
                yield (
                    asked,
                    await self._reader.run(flux.text_of(asked, statements), {**asked.params, **params}),
                )
        beyond = ((ALWAYS[0], NEAR_LOW_US), (NEAR_HIGH_US, ALWAYS[1]))
        for low, high in (span for far in beyond for span in within(spans, *far)):
            asked = Asked(self._reader.bucket, ids, low, high)
            text = flux.text_of(asked, flux.far_rows(asked, [fields[0]]))
            yield asked, await self._reader.run(text, asked.params)

    async def _portions(self, spans: Sequence[Span]) -> AsyncIterator[list[Span]]:
        """Spans that InfluxDB can keep in groups for one query each; long ones by how much is in them."""
        group: list[Span] = []
        for span in within(spans, *_NEAR):
            if span[1] - span[0] > DAY_US:
                async for part in self._parts_of(span):
                    yield [part]
                continue
            if len(group) == _SPANS_A_QUERY or _length([*group, span]) > DAY_US:
                yield group
                group = []
            group.append(span)
        if group:
            yield group

    async def _parts_of(self, span: Span) -> AsyncIterator[Span]:
        """The halves of a long span, and halves of those, that have requests and not too many of them."""
        asked = Asked(self._reader.bucket, None, *span)
        found = await self._reader.run(flux.text_of(asked, flux.counts(asked, [])), asked.params)
        number = sum(int(table["_value"].sum()) for table in found.values())
        if number > _POINTS_A_QUERY and span[1] - span[0] > DAY_US:
            middle = (span[0] + span[1]) // 2
            for half in ((span[0], middle), (middle, span[1])):
                async for part in self._parts_of(half):
                    yield part
        elif number:
            yield span


def _length(spans: Sequence[Span]) -> int:
    return sum(high - low for low, high in spans)


def _by_size(refs: Sequence[BlockRef], part: Part) -> Iterator[list[BlockRef]]:
    """Blocks in groups of so many bytes, or of one."""
    some: list[BlockRef] = []
    for ref in refs:
        if some and sum(each.sizes[part] for each in (*some, ref)) > _BYTES_A_QUERY:
            yield some
            some = []
        some.append(ref)
    if some:
        yield some


def _runs(refs: Sequence[BlockRef]) -> Iterator[list[BlockRef]]:
    """Blocks of one level that lie near each other, in order: a query for each run."""
    ordered = sorted(refs, key=lambda ref: (ref.level.name, ref.start_us))
    for _, of_level in groupby(ordered, key=lambda ref: ref.level.name):
        run: list[BlockRef] = []
        for ref in of_level:
            if run and ref.start_us - run[-1].end_us > 2 * ref.level.length_us:
                yield run
                run = []
            run.append(ref)
        yield run


def _key(level: str, time: int) -> BlockKey:
    start, rest = divmod(time, _LENGTHS[level])
    return level, start * _LENGTHS[level] // 1_000, rest // _PIECES


def _joined(
    refs: Sequence[BlockRef], part: Part, runs: Sequence[Sequence[BlockRef]], found: dict[str, Tables]
) -> list[bytes]:
    pieces: dict[BlockKey, list[tuple[int, str]]] = defaultdict(list)
    for place, run in enumerate(runs):
        if (table := found.get(str(place))) is None:
            continue
        for time, text in table.select("_time", "_value").iter_rows():
            pieces[_key(run[0].level.name, time)].append((time, text))
    result = []
    for ref in refs:
        data = base64.b64decode("".join(text for _, text in sorted(pieces[ref.key])))
        if len(data) != ref.sizes[part]:
            raise BlocksGone(f"a block of the {ref.level.name} at {from_us(ref.start_us)} has been replaced")
        result.append(data)
    return result
