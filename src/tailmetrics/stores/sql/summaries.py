"""Summaries in a database: blocks, manifests and the journal of commits in tables beside the records."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
import sqlalchemy as sa

from tailmetrics.stores.sql.aggregates import us
from tailmetrics.stores.sql.dialect import Database, errors_translated
from tailmetrics.stores.sql.recent import RecentRequests
from tailmetrics.stores.sql.schema import PIECE_BYTES, blocks, journal, maker, manifests, records
from tailmetrics.stores.sql.selected import selected
from tailmetrics.stores.summaries.base import BlockKey, BlocksGone
from tailmetrics.stores.summaries.block import Part
from tailmetrics.stores.summaries.manifest import (
    ALWAYS,
    BlockRef,
    Manifest,
    State,
    Touched,
    spans_of_text,
)
from tailmetrics.stores.windowing import Span
from tailmetrics.windows import from_us

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_Result = TypeVar("_Result")

_JOURNAL = "commits"
_BLOCKS_A_STATEMENT = 100


class SqlSummarized:
    """What is read, over connections of which each sees the state after one commit."""

    def __init__(
        self,
        reading: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
        recent: RecentRequests | None = None,
    ) -> None:
        """`reading` gives a connection: always the same one where answers must be of one state."""
        self._reading = reading
        self._recent = recent

    async def state(self) -> State:
        newest = sa.select(manifests.c.text).order_by(manifests.c.number.desc()).limit(1)
        async with self._reading() as connection:
            text = await connection.scalar(newest)
            manifest = Manifest() if text is None else Manifest.of_text(text)
            later = journal.c.place > manifest.included.get(_JOURNAL, -1)
            rows = await connection.execute(sa.select(journal).where(later))
        return State(manifest, tuple(Touched(_JOURNAL, row.place, spans_of_text(row.spans)) for row in rows))

    async def parts(self, refs: Sequence[BlockRef], part: Part) -> Sequence[bytes]:
        if not refs:
            return []
        rows: list[Any] = []
        async with self._reading() as connection:
            for begin in range(0, len(refs), _BLOCKS_A_STATEMENT):
                some = sa.or_(*(_is_of(ref.key) for ref in refs[begin : begin + _BLOCKS_A_STATEMENT]))
                of_part = sa.select(blocks).where((blocks.c.part == part) & some)
                rows += (await connection.execute(of_part.order_by(blocks.c.piece))).all()
        return _joined(refs, part, rows)

    async def requests(
        self, spans: Sequence[Span], customer_ids: Sequence[str] | None
    ) -> AsyncGenerator[pl.DataFrame, None]:
        if not spans:
            return
        async with self._reading() as connection:
            if self._recent is not None:
                found = await self._recent.requests(connection, spans, keeps=customer_ids is None)
                if found is not None:
                    requests = found if customer_ids is None else _of(found, customer_ids)
                    if requests.height:
                        yield requests
                    return
            chosen = await selected(connection, spans, customer_ids)
            async with aclosing(chosen.requests()) as frames:
                async for frame in frames:
                    yield frame

    async def paths(self, spans: Sequence[Span]) -> AsyncGenerator[pl.DataFrame, None]:
        columns = (records.c.time_us, records.c.path, records.c.status_code)
        async with self._reading() as connection:
            chosen = await selected(connection, spans)
            async with aclosing(chosen.rows(*columns)) as frames:
                async for frame in frames:
                    yield frame

    async def edges(self, spans: Sequence[Span]) -> Span | None:
        async with self._reading() as connection:
            chosen = await selected(connection, spans)
            inside = chosen.spans
            if not inside:
                return None
            if (inside[0][0], inside[-1][1]) == chosen.within_us:  # as it is written down
                return inside[0][0], inside[-1][1] - 1
            first, last = sa.func.min(records.c.time_us), sa.func.max(records.c.time_us)
            found = [
                (row[0], row[1])
                for where in chosen.conditions()
                for row in await connection.execute(sa.select(first, last).where(where))
                if row[0] is not None
            ]
        return (min(low for low, _ in found), max(high for _, high in found)) if found else None


class SqlSummaries(SqlSummarized):
    """What is written, too, each time as a transaction of its own."""

    block_span = ALWAYS

    def __init__(
        self,
        reading: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
        engine: sa.Engine,
        database: Database,
    ) -> None:
        super().__init__(reading)
        self._engine = engine
        self._database = database

    async def keep_block(self, ref: BlockRef, parts: dict[Part, bytes]) -> None:
        rows = [
            dict(
                zip(blocks.c.keys(), (*ref.key, part, piece, data[begin : begin + PIECE_BYTES]), strict=True)
            )
            for part, data in parts.items()
            for piece, begin in enumerate(range(0, len(data), PIECE_BYTES))
        ]
        await self._write(lambda connection: connection.execute(blocks.insert(), rows))

    async def keep_manifest(self, manifest: Manifest) -> bool:
        def keep(connection: sa.Connection) -> bool:
            newest = connection.scalar(sa.select(sa.func.max(manifests.c.number)))
            if newest is not None and newest >= manifest.number:
                return False
            new = manifests.insert().values(number=manifest.number, text=manifest.as_text())
            try:
                connection.execute(new)
            except sa.exc.IntegrityError:  # another process was faster
                connection.rollback()
                return False
            return True

        return await self._write(keep)

    async def sweep(self, manifest: Manifest, unnamed: set[BlockKey]) -> set[BlockKey]:
        named = {ref.key for ref in manifest.blocks}

        def sweep(connection: sa.Connection) -> set[BlockKey]:
            included = manifest.included.get(_JOURNAL, -1)
            connection.execute(journal.delete().where(journal.c.place <= included))
            connection.execute(manifests.delete().where(manifests.c.number < manifest.number))
            keys = sa.select(blocks.c.level, blocks.c.start_us, blocks.c.generation).distinct()
            kept = {(level, start_us, generation) for level, start_us, generation in connection.execute(keys)}
            gone = (kept - named) & unnamed
            for key in gone:
                connection.execute(blocks.delete().where(_is_of(key)))
            return kept - gone

        return await self._write(sweep)

    async def lease(self) -> str:
        async with self._reading() as connection:
            return await connection.scalar(sa.select(maker.c.said)) or ""

    async def say(self, text: str) -> None:
        def say(connection: sa.Connection) -> None:
            connection.execute(self._database.insert_new(maker).values(id=1, said=text))
            connection.execute(maker.update().values(said=text))

        await self._write(say)

    async def _write(self, work: Callable[[sa.Connection], _Result]) -> _Result:
        def transaction() -> _Result:
            with errors_translated(self._database), self._engine.begin() as connection:
                return work(connection)

        return await asyncio.to_thread(transaction)


def _of(requests: pl.DataFrame, customer_ids: Sequence[str]) -> pl.DataFrame:
    return requests.filter(pl.col("customer_id").is_in(list(customer_ids)))


def _is_of(key: BlockKey) -> sa.ColumnElement[bool]:
    level, start_us, generation = key
    return (
        (blocks.c.level == level) & (blocks.c.start_us == us(start_us)) & (blocks.c.generation == generation)
    )


def _joined(refs: Sequence[BlockRef], part: Part, rows: Sequence[Any]) -> list[bytes]:
    pieces: dict[BlockKey, list[bytes]] = defaultdict(list)
    for level, start_us, generation, _, _, data in rows:
        pieces[level, start_us, generation].append(data)
    result = []
    for ref in refs:
        data = b"".join(pieces[ref.key])
        if len(data) != ref.sizes[part]:
            raise BlocksGone(f"a block of the {ref.level.name} at {from_us(ref.start_us)} has been replaced")
        result.append(data)
    return result
