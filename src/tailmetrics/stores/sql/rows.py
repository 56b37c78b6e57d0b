"""Rows of records as a database takes them; those of many records are made while others are being written."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import sqlalchemy as sa

from tailmetrics.sources import Batch
from tailmetrics.stores.sql.dialect import Database, Rows
from tailmetrics.stores.sql.lookup import lookup
from tailmetrics.stores.sql.schema import customers, sources

_MOST_KEYS_KEPT = 200_000  # of customers, in memory
_PART_ROWS = 50_000  # sorted together: enough that those of one customer lie together on the disk
_ROWS_AHEAD = 5_000  # of a batch from which on it pays to make them in another thread
_KEY_SCHEMA = {"customer_id": pl.String(), "customer_key": pl.Int32()}


class CustomerKeys:
    """The numbers of customers, kept in memory; those of new ones are committed when they are asked for."""

    def __init__(self, engine: sa.Engine, database: Database) -> None:
        self._engine = engine
        self._database = database
        self._lock = threading.Lock()
        self._keys: dict[str, int] = {}

    def of(self, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """The customers of records, each once, with their numbers."""
        if not frames:
            return pl.DataFrame(schema=_KEY_SCHEMA)
        ids = (
            pl.concat([records.select("customer_id") for records in frames]).unique()["customer_id"].to_list()
        )
        with self._lock:
            if len(self._keys) > _MOST_KEYS_KEPT:
                self._keys.clear()
            if unknown := sorted(customer_id for customer_id in ids if customer_id not in self._keys):
                self._keys.update(self._numbers_of(unknown))
            keys = [self._keys[customer_id] for customer_id in ids]
        return pl.DataFrame({"customer_id": ids, "customer_key": keys}, _KEY_SCHEMA)

    def _numbers_of(self, ids: Sequence[str]) -> dict[str, int]:
        with self._engine.begin() as connection:
            keys = lookup(connection, customers.c.customer_id, ids, customers.c.customer_key)
            if new := [{"customer_id": customer_id} for customer_id in ids if customer_id not in keys]:
                connection.execute(self._database.insert_new(customers), new)
                keys = lookup(connection, customers.c.customer_id, ids, customers.c.customer_key)
            return keys


@dataclass(frozen=True, slots=True)
class _Made:
    """Rows, and what they were made of."""

    records: pl.DataFrame
    source_key: int
    rows: Rows


@dataclass(frozen=True, slots=True)
class RowsBegun:
    """Rows that a thread is making; None when the database does not know the source."""

    made_of: pl.DataFrame
    rows: Future[_Made | None]


class RowsAhead:
    """Makes the rows of large batches in a thread of its own."""

    def __init__(self, engine: sa.Engine, database: Database, keys: CustomerKeys) -> None:
        self._engine = engine
        self._database = database
        self._keys = keys
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sql-rows")

    def begin(self, batch: Batch) -> Batch:
        """The batch, whose rows are being made if that pays."""
        if not self._database.rows_ahead or batch.parsed.records.height < _ROWS_AHEAD:
            return batch
        rows = self._thread.submit(self._make_ahead, batch)
        return replace(batch, prepared=RowsBegun(batch.parsed.records, rows))

    def rows(self, batch: Batch, source_key: int) -> Rows:
        """The rows of a batch that was begun; made again if it or the key of its source is another by now."""
        made = None
        if isinstance(batch.prepared, RowsBegun) and batch.prepared.rows.exception() is None:
            made = batch.prepared.rows.result()
        if made is None or made.records is not batch.parsed.records or made.source_key != source_key:
            made = self._make(batch.parsed.records, source_key)
        return made.rows

    def close(self) -> None:
        """Begin no more; what is under way is not waited for, as the server may have gone."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _make_ahead(self, batch: Batch) -> _Made | None:
        with self._engine.begin() as connection:
            source_key = connection.scalar(
                sa.select(sources.c.source_key).where(sources.c.source_id == batch.source_id)
            )
        return None if source_key is None else self._make(batch.parsed.records, source_key)

    def _make(self, records: pl.DataFrame, source_key: int) -> _Made:
        rows = self._database.rows(record_rows([(source_key, records)], self._keys.of([records])))
        return _Made(records, source_key, replace(rows, pieces=list(rows.pieces)))


def in_parts(batches: Sequence[tuple[int, pl.DataFrame]]) -> Iterator[Sequence[tuple[int, pl.DataFrame]]]:
    """Sources' keys and records in parts of many records each."""
    part: list[tuple[int, pl.DataFrame]] = []
    number = 0
    for source_key, records in batches:
        part.append((source_key, records))
        number += records.height
        if number >= _PART_ROWS:
            yield part
            part, number = [], 0
    if number:
        yield part


def record_rows(batches: Sequence[tuple[int, pl.DataFrame]], keys: pl.DataFrame) -> pl.DataFrame:
    """The rows of sources' records, in the order of the index: it grows at as few places as can be."""
    return _in_order(
        with_source_keys(batches)
        .join(keys, on="customer_id", how="left")
        .select(
            "customer_key",
            pl.col("timestamp").dt.epoch("us").alias("time_us"),
            "source_key",
            "offset",
            "path",
            "status_code",
            "duration",
        )
    )


def with_source_keys(frames: Sequence[tuple[int, pl.DataFrame]]) -> pl.DataFrame:
    """Frames of several sources as one, each row with the key of its source."""
    return pl.concat(
        [frame.with_columns(source_key=pl.lit(source_key, pl.Int32)) for source_key, frame in frames],
        rechunk=False,
    )


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows by customer and time; by one number that has room for both, which is several times faster."""
    if not rows.height:
        return rows
    keys, times = rows["customer_key"].to_numpy().astype(np.int64), rows["time_us"].to_numpy()
    first, last = int(times.min()), int(times.max())
    if (int(keys.max()) + 1) * (last - first + 1) >= 2**63:
        return rows.sort("customer_key", "time_us")
    return rows[np.argsort(keys * (last - first + 1) + (times - first))]
