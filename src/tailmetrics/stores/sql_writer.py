"""The write side of the SQL store: sources, and commits of records with the positions after them."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from tailmetrics.errors import PositionConflict
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch, Checkpoint, Source, SourceStatus
from tailmetrics.stores.sql_database import Database
from tailmetrics.stores.sql_schema import customers, records, rejects, reports, sources, store
from tailmetrics.windows import from_us, to_us

_SECONDS_BETWEEN_EXPIRIES = 60.0
_MOST_KEYS_KEPT = 200_000  # of customers, in memory
_PART_ROWS = 50_000  # sorted together: enough that those of one customer lie together on the disk
_VALUES_AT_ONCE = 1000  # in one question
_KEY_SCHEMA = {"customer_id": pl.String(), "customer_key": pl.Int32()}


class Writer:
    """Transactions on a database that other processes may write to as well."""

    def __init__(self, engine: sa.Engine, database: Database, settings: Settings) -> None:
        self._engine = engine
        self._database = database
        self._retention_days = settings.retention_days
        self._processor = f"process {os.getpid()} on {socket.gethostname()}"
        self._keys: dict[str, int] = {}
        self._next_expiry = 0.0

    def sources(self, node_id: str) -> Sequence[Source]:
        self._database.begun(self._engine)
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(sources).where(sources.c.node_id == node_id))
            return [source_of(row) for row in rows]

    def source(self, source_id: str) -> Source | None:
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(sources).where(sources.c.source_id == source_id)).first()
            return None if row is None else source_of(row)

    def register(self, new: Sequence[Source]) -> None:
        """Write those of the sources that are not known yet, all in one commit."""
        now = _now_us()
        with self._engine.begin() as connection:
            known = _known(connection, sources.c.source_id, [source.source_id for source in new])
            unknown = [source for source in new if source.source_id not in known]
            if not unknown:
                return
            connection.execute(
                self._database.insert_new(sources),
                [
                    {
                        "source_id": source.source_id,
                        "node_id": source.node_id,
                        "device": str(source.device),
                        "inode": str(source.inode),
                        "epoch": source.epoch,
                        "path": source.path,
                        **asdict(source.checkpoint),
                        "processor": self._processor,
                        "registered_us": now
                        if source.followed_since is None
                        else to_us(source.followed_since),
                        "updated_us": now,
                    }
                    for source in sorted(unknown, key=lambda source: source.source_id)
                ],
            )
            _count(connection)

    def forget(self, source_ids: Sequence[str], *, with_records: bool) -> int:
        """Drop sources without a reject, and without a record unless `with_records`; returns how many."""
        with self._engine.begin() as connection:
            known = _known(connection, sources.c.source_id, source_ids, sources.c.source_key)
            gone = set(known.values()) - _known(connection, rejects.c.source_key, list(known.values())).keys()
            if gone and not with_records:
                gone -= set(connection.scalars(sa.select(records.c.source_key).distinct()))
            for part in _parts(sorted(gone)):
                connection.execute(sources.delete().where(sources.c.source_key.in_(part)))
            return len(gone)

    def write(self, batches: Sequence[Batch]) -> None:
        """Commit all batches together or nothing of them. Raises PositionConflict."""
        self._database.check_present()
        self._database.begun(self._engine)
        self._delete_expired()
        if not batches:
            return
        ids = pl.concat([batch.parsed.records.select("customer_id") for batch in batches]).unique()
        keys = self._customer_keys(ids["customer_id"].to_list())
        now = _now_us()
        with self._engine.begin() as connection:
            moved = self._locked(connection, batches)
            number = sum(batch.parsed.records.height for batch in batches)
            if number:
                # One part is made ready while the database takes the one before.
                parts = (_record_rows(moved, part, keys) for part in _large_parts(batches))
                self._database.insert(connection, records, parts, number)
            reject_rows = _frame(moved, ((batch, batch.parsed.rejects) for batch in batches))
            if reject_rows.height:
                reject_rows = reject_rows.with_columns(seen_us=pl.lit(now))
                self._database.insert(connection, rejects, [reject_rows], reject_rows.height)
            self._move(connection, moved, now)
            # Last, as other processes wait for this row until the commit.
            _count(
                connection,
                records=number,
                rejects=reject_rows.height,
                blanks=sum(batch.parsed.blanks for batch in batches),
                times=[time for batch in batches for time in _span(batch)],
            )
        self._database.committed()

    def report(self, processor: str, statuses: Sequence[SourceStatus]) -> None:
        with self._engine.begin() as connection:
            connection.execute(reports.delete().where(reports.c.processor == processor))
            connection.execute(
                self._database.insert_new(reports).values(
                    processor=processor, said_us=_now_us(), statuses=report_of(statuses)
                )
            )

    def _locked(self, connection: sa.Connection, batches: Sequence[Batch]) -> dict[str, tuple[int, Batch]]:
        """The key and the last batch of each source, whose row is locked. Raises PositionConflict."""
        ids = sorted({batch.source_id for batch in batches})
        found: dict[str, Any] = {}
        for part in _parts(ids):
            # Locked in one order by all processes, so that none waits for another that waits for it.
            rows = connection.execute(
                sa.select(sources.c.source_id, sources.c.source_key, sources.c.position, sources.c.processor)
                .where(sources.c.source_id.in_(part))
                .order_by(sources.c.source_id)
                .with_for_update()
            )
            found.update((row.source_id, row) for row in rows)
        positions = {source_id: row.position for source_id, row in found.items()}
        moved: dict[str, tuple[int, Batch]] = {}
        for batch in batches:
            position = positions.get(batch.source_id)
            if position != batch.start:
                holder = found[batch.source_id].processor if batch.source_id in found else self._processor
                raise PositionConflict(
                    batch.source_id, batch.start, position, None if holder == self._processor else holder
                )
            positions[batch.source_id] = batch.checkpoint.position
            moved[batch.source_id] = (found[batch.source_id].source_key, batch)
        return moved

    def _move(self, connection: sa.Connection, moved: dict[str, tuple[int, Batch]], now: int) -> None:
        connection.execute(
            sources.update()
            .where(sources.c.source_key == sa.bindparam("key"))
            .values(processor=self._processor, updated_us=now),
            [{"key": key, "path": batch.path, **asdict(batch.checkpoint)} for key, batch in moved.values()],
        )

    def _customer_keys(self, ids: Sequence[str]) -> pl.DataFrame:
        """The numbers of customers; those of new ones are committed before their first record."""
        if len(self._keys) > _MOST_KEYS_KEPT:
            self._keys.clear()
        unknown = sorted(customer_id for customer_id in ids if customer_id not in self._keys)
        if unknown:
            with self._engine.begin() as connection:
                known = _known(connection, customers.c.customer_id, unknown, customers.c.customer_key)
                if new := [
                    {"customer_id": customer_id} for customer_id in unknown if customer_id not in known
                ]:
                    connection.execute(self._database.insert_new(customers), new)
                    known = _known(connection, customers.c.customer_id, unknown, customers.c.customer_key)
            self._keys.update(known)
        return pl.DataFrame(
            {"customer_id": ids, "customer_key": [self._keys[customer_id] for customer_id in ids]},
            _KEY_SCHEMA,
        )

    def _delete_expired(self) -> None:
        """Delete what is older than the retention, now and then."""
        if not self._retention_days or time.monotonic() < self._next_expiry:
            return
        oldest = to_us(datetime.now(timezone.utc) - timedelta(days=self._retention_days))
        with self._engine.begin() as connection:
            gone = 0
            first_us = connection.scalar(sa.select(store.c.first_us))
            if first_us is not None and first_us < oldest:
                # Customer by customer, as the index has them.
                for key in connection.scalars(sa.select(customers.c.customer_key)).all():
                    old = (records.c.customer_key == key) & (records.c.time_us < oldest)
                    gone += connection.execute(records.delete().where(old)).rowcount
            rejected = connection.execute(rejects.delete().where(rejects.c.seen_us < oldest)).rowcount
            if gone or rejected:
                _count(connection, records=-gone, rejects=-rejected)
            if gone:
                times = sa.select(sa.func.min(records.c.time_us), sa.func.max(records.c.time_us))
                [(first, last)] = connection.execute(times)
                connection.execute(store.update().values(first_us=first, last_us=last))
        self._next_expiry = time.monotonic() + _SECONDS_BETWEEN_EXPIRIES


def report_of(statuses: Sequence[SourceStatus]) -> str:
    """What a processor says of its sources, as text."""
    return json.dumps([asdict(status) for status in statuses], default=datetime.isoformat)


def source_of(row: Any) -> Source:
    """A row of the table of sources."""
    return Source(
        row.source_id,
        row.node_id,
        int(row.device),
        int(row.inode),
        row.epoch,
        row.path,
        Checkpoint(row.position, row.head_length, row.head_hash, row.tail_length, row.tail_hash),
        from_us(row.updated_us),
        from_us(row.registered_us),
    )


def _known(
    connection: sa.Connection,
    column: sa.Column[Any],
    wanted: Sequence[Any],
    value: sa.Column[Any] | None = None,
) -> dict[Any, Any]:
    """Which of the wanted values a column has, each with the value of another column."""
    found: dict[Any, Any] = {}
    for part in _parts(wanted):
        rows = connection.execute(
            sa.select(column, column if value is None else value).where(column.in_(part))
        )
        found.update((row[0], row[1]) for row in rows)
    return found


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Values in as many parts as questions are needed for them."""
    for first in range(0, len(values), _VALUES_AT_ONCE):
        yield values[first : first + _VALUES_AT_ONCE]


def _count(
    connection: sa.Connection,
    records: int = 0,
    rejects: int = 0,
    blanks: int = 0,
    times: Sequence[int] = (),
) -> None:
    """Note a commit, and what it brought, in the one row that says so."""
    changes: dict[str, Any] = {
        "commits": store.c.commits + 1,
        "records": store.c.records + records,
        "rejects": store.c.rejects + rejects,
        "blanks": store.c.blanks + blanks,
    }
    if times:
        first, last = min(times), max(times)
        before = store.c.first_us.is_(None) | (store.c.first_us > first)
        after = store.c.last_us.is_(None) | (store.c.last_us < last)
        changes["first_us"] = sa.case((before, first), else_=store.c.first_us)
        changes["last_us"] = sa.case((after, last), else_=store.c.last_us)
    connection.execute(store.update().values(**changes))


def _frame(moved: dict[str, tuple[int, Batch]], frames: Iterable[tuple[Batch, pl.DataFrame]]) -> pl.DataFrame:
    return pl.concat(
        [
            frame.with_columns(source_key=pl.lit(moved[batch.source_id][0], pl.Int32))
            for batch, frame in frames
        ],
        rechunk=False,
    )


def _large_parts(batches: Sequence[Batch]) -> Iterator[Sequence[Batch]]:
    """The batches in parts of many records each."""
    part: list[Batch] = []
    number = 0
    for batch in batches:
        part.append(batch)
        number += batch.parsed.records.height
        if number >= _PART_ROWS:
            yield part
            part, number = [], 0
    if number:
        yield part


def _span(batch: Batch) -> Sequence[int]:
    """The times of the first and the last record of a batch, in microseconds; nothing where there is none."""
    times = batch.parsed.records["timestamp"].dt.epoch("us")
    return () if times.is_empty() else (times.min(), times.max())  # type: ignore[return-value]  # whole numbers


def _record_rows(
    moved: dict[str, tuple[int, Batch]], batches: Sequence[Batch], keys: pl.DataFrame
) -> pl.DataFrame:
    """The rows of batches, in the order of the index: it grows at as few places as can be."""
    frame = _frame(moved, ((batch, batch.parsed.records) for batch in batches))
    return _in_order(
        frame.join(keys, on="customer_id", how="left").select(
            "customer_key",
            pl.col("timestamp").dt.epoch("us").alias("time_us"),
            "source_key",
            "offset",
            "path",
            "status_code",
            "duration",
        )
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


def _now_us() -> int:
    return to_us(datetime.now(timezone.utc))
