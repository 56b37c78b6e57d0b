"""The write side of the SQL store: sources, and commits of records with the positions after them."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import Any

import polars as pl
import sqlalchemy as sa

from tailmetrics.errors import PositionConflict
from tailmetrics.settings import Settings
from tailmetrics.sources import MESSAGES_NODE, Batch, Checkpoint, Source
from tailmetrics.status import SourceStatus
from tailmetrics.stores.reject_limits import halves, kept_of_source, thinned
from tailmetrics.stores.retention import log_deleted
from tailmetrics.stores.sql.dialect import Database, Rows
from tailmetrics.stores.sql.lookup import lookup, per_statement
from tailmetrics.stores.sql.rows import CustomerKeys, RowsAhead, in_parts, record_rows, with_source_keys
from tailmetrics.stores.sql.schema import Words, customers, journal, records, rejects, reports, sources, store
from tailmetrics.stores.summaries.manifest import spans_as_text
from tailmetrics.stores.windowing import Span, spans_touched
from tailmetrics.windows import from_us, to_us

_SECONDS_BETWEEN_EXPIRIES = 60.0


class SqlWriter:
    """Transactions on a database that other processes may write to as well."""

    def __init__(self, engine: sa.Engine, database: Database, settings: Settings) -> None:
        self._engine = engine
        self._database = database
        self._retention_days = settings.retention_days
        self._max_rejects_kept = settings.max_rejects_kept
        self._processor = f"process {os.getpid()} on {socket.gethostname()}"
        self._keys = CustomerKeys(engine, database)
        self._ahead = RowsAhead(engine, database, self._keys)
        self._next_expiry = 0.0

    def close(self) -> None:
        self._ahead.close()

    def sources(self, node_id: str | None) -> Sequence[Source]:
        self._database.start_background(self._engine)
        begins = sa.func.substr(sources.c.node_id, 1, len(MESSAGES_NODE))
        return self._sources(begins != MESSAGES_NODE if node_id is None else sources.c.node_id == node_id)

    def all_sources(self) -> Sequence[Source]:
        return self._sources(sa.true())

    def _sources(self, condition: sa.ColumnElement[bool]) -> Sequence[Source]:
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(sources).where(condition))
            return [source_of(row) for row in rows]

    def source(self, source_id: str) -> Source | None:
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(sources).where(sources.c.source_id == source_id)).first()
            return None if row is None else source_of(row)

    def register(self, new: Sequence[Source]) -> None:
        """Write those of the sources that are not known yet, all in one commit."""
        now = _now_us()
        with self._engine.begin() as connection:
            known = lookup(connection, sources.c.source_id, [source.source_id for source in new])
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
            keys = list(lookup(connection, sources.c.source_id, source_ids, sources.c.source_key).values())
            gone = set(keys) - lookup(connection, rejects.c.source_key, keys).keys()
            if gone and not with_records:
                gone -= set(connection.scalars(sa.select(records.c.source_key).distinct()))
            for part in per_statement(sorted(gone)):
                connection.execute(sources.delete().where(sources.c.source_key.in_(part)))
            return len(gone)

    def prepare(self, batch: Batch) -> Batch:
        """The batch, whose rows are being made from now on if that pays."""
        return self._ahead.begin(batch)

    def write(self, batches: Sequence[Batch]) -> None:
        """Commit all batches together or nothing of them. Raises PositionConflict."""
        self._database.check_present()
        self._database.start_background(self._engine)
        self._delete_expired()
        if not batches:
            return
        # Before the transaction: numbers of new customers are committed by themselves.
        keys = self._keys.of([batch.parsed.records for batch in batches if batch.prepared is None])
        now = datetime.now(timezone.utc)
        with self._engine.begin() as connection:
            moved = self._locked(connection, batches)
            number = sum(batch.parsed.records.height for batch in batches)
            if number:
                self._database.insert(connection, records, self._record_rows(moved, batches, keys), number)
            self._insert_rejects(connection, moved, batches, now)
            self._move(connection, moved, to_us(now))
            # Last, as other processes wait for this row until the commit.
            _count(
                connection,
                records=number,
                rejects=sum(batch.rejects for batch in batches),
                blanks=sum(batch.parsed.blanks for batch in batches),
                times=[time for batch in batches for time in _span(batch)],
            )
            _note(connection, spans_touched([batch.parsed.records["timestamp"] for batch in batches]))
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
        for part in per_statement(ids):
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

    def _record_rows(
        self, moved: dict[str, tuple[int, Batch]], batches: Sequence[Batch], keys: pl.DataFrame
    ) -> Iterator[Rows]:
        """The rows of batches; what is made only now is made while the database takes what was before it."""
        made_now = []
        for batch in batches:
            source_key = moved[batch.source_id][0]
            if batch.prepared is None:
                made_now.append((source_key, batch.parsed.records))
            else:
                yield self._ahead.rows(batch, source_key)
        for part in in_parts(made_now):
            yield self._database.rows(record_rows(part, keys))

    def _insert_rejects(
        self,
        connection: sa.Connection,
        moved: dict[str, tuple[int, Batch]],
        batches: Sequence[Batch],
        now: datetime,
    ) -> None:
        """Insert those that may be kept, and delete those between the first and the last."""
        of_source = kept_of_source(self._max_rejects_kept)
        rows = with_source_keys(
            [
                (
                    moved[batch.source_id][0],
                    thinned(batch, of_source).parsed.rejects.with_columns(
                        seen_us=pl.lit(to_us(batch.seen_at(now)))
                    ),
                )
                for batch in batches
            ]
        )
        if rows.is_empty():
            return
        self._database.insert(connection, rejects, [self._database.rows(rows)], rows.height)
        keys = rows["source_key"].unique().to_list()
        for part in per_statement(keys):
            number = sa.func.count()
            full = sa.select(rejects.c.source_key).where(rejects.c.source_key.in_(part))
            full = full.group_by(rejects.c.source_key).having(number > of_source)
            for key in connection.scalars(full).all():
                _keep_ends(connection, rejects.c.source_key == key, of_source)
        _keep_ends(connection, sa.true(), self._max_rejects_kept)

    def _move(self, connection: sa.Connection, moved: dict[str, tuple[int, Batch]], now: int) -> None:
        connection.execute(
            sources.update()
            .where(sources.c.source_key == sa.bindparam("key"))
            .values(processor=self._processor, updated_us=now),
            [{"key": key, "path": batch.path, **asdict(batch.checkpoint)} for key, batch in moved.values()],
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
            if rejected and connection.scalar(sa.select(rejects.c.id).limit(1)) is None:
                # With the last row go those that have none.
                connection.execute(store.update().values(rejects=0))
            if gone:
                # Again, as others may have committed earlier ones meanwhile; now they wait.
                first_us = connection.execute(sa.select(store.c.first_us)).scalar_one()
                _note(connection, [(first_us, oldest)])
                times = sa.select(sa.func.min(records.c.time_us), sa.func.max(records.c.time_us))
                [(first, last)] = connection.execute(times)
                connection.execute(store.update().values(first_us=first, last_us=last))
        if gone or rejected:
            began = from_us(first_us) if gone and first_us is not None else None
            log_deleted(self._retention_days, from_us(oldest), began, gone, rejected)
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


def _note(connection: sa.Connection, spans: Sequence[Span]) -> None:
    """Say which times this commit touched, at its place in the order of commits."""
    if spans:
        text = sa.literal(spans_as_text(spans), Words())
        connection.execute(journal.insert().from_select(["place", "spans"], sa.select(store.c.commits, text)))


def _keep_ends(connection: sa.Connection, condition: sa.ColumnElement[bool], kept: int) -> None:
    """Of rejects for which the condition holds leave so many, half of them the first, half the last."""
    first, last = halves(kept)
    ids = sa.select(rejects.c.id).where(condition).limit(1)
    # Before the statement that deletes: MySQL does not let it read its own table.
    low = connection.scalar(ids.order_by(rejects.c.id).offset(first - 1))
    high = connection.scalar(ids.order_by(rejects.c.id.desc()).offset(last - 1))
    if low is not None and high is not None and low < high:
        between = condition & (rejects.c.id > low) & (rejects.c.id < high)
        connection.execute(rejects.delete().where(between))


def _span(batch: Batch) -> Sequence[int]:
    """The times of the first and the last record of a batch, in microseconds; nothing where there is none."""
    times = batch.parsed.records["timestamp"].dt.epoch("us")
    return () if times.is_empty() else (times.min(), times.max())  # type: ignore[return-value]  # whole numbers


def _now_us() -> int:
    return to_us(datetime.now(timezone.utc))
