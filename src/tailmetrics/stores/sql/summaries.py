"""Summaries in a database: blocks, manifests and the journal of commits in tables beside the records."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
import sqlalchemy as sa

from tailmetrics.stores.sql.aggregates import us
from tailmetrics.stores.sql.dialect import Database, errors_translated
from tailmetrics.stores.sql.lookup import per_statement
from tailmetrics.stores.sql.schema import (
    PIECE_BYTES,
    blocks,
    customers,
    journal,
    maker,
    manifests,
    records,
    store,
)
from tailmetrics.stores.summaries.base import BlockKey, BlocksGone
from tailmetrics.stores.summaries.block import Part
from tailmetrics.stores.summaries.manifest import (
    ALWAYS,
    BlockRef,
    Manifest,
    State,
    Touched,
    spans_of_text,
    within,
)
from tailmetrics.stores.windowing import Span
from tailmetrics.windows import from_us

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_Result = TypeVar("_Result")

_JOURNAL = "commits"
_ROWS = 50_000  # of a frame
_SPANS_A_STATEMENT = 100
_BLOCKS_A_STATEMENT = 100
_KEYS_A_STATEMENT = 5000  # of customers
_KEYS_TO_MYSQL = 900  # MariaDB makes a table of a thousand, and seeks them without the times
_ROWS_A_SEEK = 50  # that are read one after the other in the time in which a customer's first one is found
_KINDS: dict[str, pl.DataType] = {
    "time_us": pl.Int64(),
    "customer_key": pl.Int32(),
    "path": pl.String(),
    "status_code": pl.Int16(),
    "duration": pl.Float64(),
}
_CUSTOMERS = {"customer_key": pl.Int32(), "customer_id": pl.String()}


class SqlSummarized:
    """What is read, over connections of which each sees the state after one commit."""

    def __init__(self, reading: Callable[[], AbstractAsyncContextManager[AsyncConnection]]) -> None:
        """`reading` gives a connection: always the same one where answers must be of one state."""
        self._reading = reading

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
        columns = (records.c.time_us, records.c.customer_key, records.c.status_code, records.c.duration)
        async with self._reading() as connection:
            chosen = await selected(connection, spans, customer_ids)
            async with aclosing(chosen.rows(*columns)) as frames:
                async for frame in frames:
                    named = frame.join(chosen.customers, on="customer_key", how="left")
                    yield named.drop("customer_key")

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


@dataclass(frozen=True, slots=True)
class Selected:
    """The records of some customers, or of all, in spans of time.

    `within_us` are the times of all records. The index has the times of each customer apart: records are
    found `by_customer` where that takes less time than to look through all of them.
    """

    connection: AsyncConnection
    spans: Sequence[Span]
    within_us: Span
    customers: pl.DataFrame
    by_customer: bool

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        """Conditions of which one holds for each of the records."""
        if self.by_customer:
            keys = self.customers["customer_key"].cast(pl.String)
            is_mysql = self.connection.dialect.name in {"mysql", "mariadb"}
            most = _KEYS_TO_MYSQL if is_mysql else _KEYS_A_STATEMENT
            for span in self.spans:
                for begin in range(0, len(keys), most):
                    # As text: to bind so many numbers takes longer than to find what they stand for.
                    listed = ", ".join(keys[begin : begin + most])
                    yield sa.text(f"customer_key IN ({listed})") & _in_span(span)
            return
        for begin in range(0, len(self.spans), _SPANS_A_STATEMENT):
            yield sa.or_(*map(_in_span, self.spans[begin : begin + _SPANS_A_STATEMENT]))

    async def rows(self, *columns: sa.Column[Any]) -> AsyncGenerator[pl.DataFrame, None]:
        for where in self.conditions():
            statement = sa.select(*columns).where(where).execution_options(yield_per=_ROWS)
            async with self.connection.stream(statement) as found:
                async for rows in found.partitions():
                    yield await asyncio.to_thread(_frame, rows, columns)


async def selected(
    connection: AsyncConnection, spans: Sequence[Span], customer_ids: Sequence[str] | None = None
) -> Selected:
    """The records in spans (apart from each other, in order) of some customers, or of all (None)."""
    counts = await connection.execute(sa.select(store.c.records, store.c.first_us, store.c.last_us))
    number, first, last = counts.one()
    within_us = (0, 0) if first is None else (first, last + 1)
    inside = within(spans, *within_us)
    found: list[Any] = []
    if inside:
        known = sa.select(customers.c.customer_key, customers.c.customer_id)
        of_some = customers.c.customer_id.in_
        for part in [None] if customer_ids is None else per_statement(customer_ids):
            rows = await connection.execute(known if part is None else known.where(of_some(part)))
            found += rows.all()
    # Of all records so many would be read by customer, if they were spread evenly.
    share = sum(high - low for low, high in inside) / max(within_us[1] - within_us[0], 1)
    read = share * number + len(found) * len(inside) * _ROWS_A_SEEK
    by_customer = customer_ids is not None or read < number
    return Selected(connection, inside, within_us, pl.DataFrame(found, _CUSTOMERS, orient="row"), by_customer)


def _in_span(span: Span) -> sa.ColumnElement[bool]:
    return (records.c.time_us >= us(span[0])) & (records.c.time_us < us(span[1]))


def _frame(rows: Sequence[Any], columns: Sequence[sa.Column[Any]]) -> pl.DataFrame:
    """Rows with `time`, the other columns by their names, and a `count` of 1."""
    values = zip(*rows, strict=True)
    series = [
        pl.Series(column.name, column_values, _KINDS[column.name])
        for column, column_values in zip(columns, values, strict=True)
    ]
    return pl.DataFrame(series).rename({"time_us": "time"}).with_columns(count=pl.lit(1, pl.Int64))


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
