"""The sources of the DuckDB file and the positions up to which they are in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from datetime import datetime, timezone
from typing import Any

import duckdb
import polars as pl

from tailmetrics.errors import PositionConflict
from tailmetrics.sources import Batch, Checkpoint, Source
from tailmetrics.stores.duckdb.layout import TABLES
from tailmetrics.stores.duckdb.rows import FrameStream
from tailmetrics.stores.duckdb.schema import utc_now

_CHECKPOINT_COLUMNS = [field.name for field in fields(Checkpoint)]
_FEW_SOURCES = 3  # planning a join takes as long as so many plain updates

# Records outlive the sources of messages, and are told apart by keys. Each is in DuckDB's own notes.
_LAST_KEY = " UNION ALL ".join(
    f"SELECT max(source_key) AS key FROM {table}" for table in ("sources", "rejects", *TABLES)
)

# What follows `new` is a parameter's `$`, or the table of a join.
_MOVE = """
    UPDATE sources SET
        path = {new}path, position = {new}position, head_length = {new}head_length,
        head_hash = {new}head_hash, tail_length = {new}tail_length, tail_hash = {new}tail_hash,
        records = sources.records + {new}records, rejects = sources.rejects + {new}rejects,
        blanks = sources.blanks + {new}blanks, updated_at = $now
    {source} WHERE sources.source_key = {new}source_key
"""
_MOVE_ONE = _MOVE.format(new="$", source="")
_MOVE_MANY = _MOVE.format(new="incoming.", source="FROM incoming")


class Positions:
    """The table of sources, and in `sources` what is durably in it, by source id.

    `keys` are the numbers that stand for sources in the other tables. Changes run in a `transaction` of
    `connection`.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, transaction: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._connection = connection
        self._transaction = transaction
        rows = connection.execute(
            "SELECT source_key, source_id, node_id, device, inode, epoch, path, position, head_length, "
            "head_hash, tail_length, tail_hash, updated_at, registered_at FROM sources"
        ).fetchall()
        self.keys: dict[str, int] = {source_id: key for key, source_id, *_ in rows}
        [(last,)] = connection.execute(f"SELECT coalesce(max(key), 0) FROM ({_LAST_KEY})").fetchall()
        self._next_key = last + 1
        self.sources = {
            source_id: Source(
                source_id,
                node_id,
                int(device),
                int(inode),
                epoch,
                path,
                Checkpoint(*point),
                _utc(at),
                _utc(since),
            )
            for _, source_id, node_id, device, inode, epoch, path, *point, at, since in rows
        }

    def register(self, sources: Sequence[Source]) -> bool:
        """Write those of the sources that are not known yet, all in one commit; False when all are known."""
        new = {source.source_id: source for source in sources if source.source_id not in self.sources}
        if not new:
            return False
        keys = dict(zip(new, itertools.count(self._next_key)))
        self._next_key += len(keys)
        now = utc_now()
        rows = [
            {
                "source_key": keys[source.source_id],
                "source_id": source.source_id,
                "node_id": source.node_id,
                "device": str(source.device),
                "inode": str(source.inode),
                "epoch": source.epoch,
                **_columns(source),
                "registered_at": _naive(source.followed_since) or now,
            }
            for source in new.values()
        ]
        # One statement for any number: a statement for each takes seconds when there are a thousand.
        incoming = FrameStream(pl.DataFrame(rows))  # noqa: F841  # DuckDB finds it by its name
        with self._transaction():
            self._connection.execute(
                "INSERT INTO sources BY NAME SELECT *, 0 AS records, 0 AS rejects, 0 AS blanks, "
                "$now AS updated_at FROM incoming",
                {"now": now},
            )
        self.keys.update(keys)
        for source in new.values():
            self.sources[source.source_id] = replace(
                source, committed_at=_utc(now), followed_since=source.followed_since or _utc(now)
            )
        return True

    def forget(self, source_ids: Sequence[str], *, with_records: bool) -> int:
        """Drop sources without a reject, and without a record unless `with_records`; returns how many."""
        keys = [self.keys[source_id] for source_id in source_ids if source_id in self.keys]
        with self._transaction():
            gone = self._connection.execute(
                """
                DELETE FROM sources WHERE list_contains($keys, source_key)
                AND ($with_records OR source_key NOT IN (
                    SELECT source_key FROM settled UNION SELECT source_key FROM fresh
                    UNION SELECT source_key FROM numbered
                ))
                AND source_key NOT IN (SELECT DISTINCT source_key FROM rejects)
                RETURNING source_id
                """,
                {"keys": keys, "with_records": with_records},
            ).fetchall()
        for (source_id,) in gone:
            del self.keys[source_id]
            del self.sources[source_id]
        return len(gone)

    def after(self, batches: Iterable[Batch]) -> list[Source]:
        """The sources as they are after the batches. Raises PositionConflict."""
        moved: dict[str, Source] = {}
        for batch in batches:
            source = moved.get(batch.source_id) or self.sources.get(batch.source_id)
            if source is None or source.position != batch.start:
                raise PositionConflict(
                    batch.source_id, batch.start, None if source is None else source.position
                )
            moved[batch.source_id] = replace(source, path=batch.path, checkpoint=batch.checkpoint)
        return list(moved.values())

    def move(self, moved: Iterable[Source], batches: Iterable[Batch], now: datetime) -> None:
        """Write what `after` gave, in a transaction; when that is committed, `committed` is called."""
        rows: dict[str, dict[str, Any]] = {
            source.source_id: {
                "source_key": self.keys[source.source_id],
                "records": 0,
                "rejects": 0,
                "blanks": 0,
                **_columns(source),
            }
            for source in moved
        }
        for batch in batches:
            row = rows[batch.source_id]
            row["records"] += batch.parsed.records.height
            row["rejects"] += batch.rejects
            row["blanks"] += batch.parsed.blanks
        if len(rows) <= _FEW_SOURCES:
            for row in rows.values():
                self._connection.execute(_MOVE_ONE, {**row, "now": now})
        else:  # one statement for each takes seconds when there are a thousand
            incoming = FrameStream(pl.DataFrame(list(rows.values())))  # noqa: F841
            self._connection.execute(_MOVE_MANY, {"now": now})

    def committed(self, moved: Iterable[Source], now: datetime) -> None:
        """Know the sources as they were written."""
        committed_at = _utc(now)
        self.sources.update(
            (source.source_id, replace(source, committed_at=committed_at)) for source in moved
        )


def _columns(source: Source) -> dict[str, Any]:
    """Those that change when a source moves."""
    return {
        "path": source.path,
        **{name: getattr(source.checkpoint, name) for name in _CHECKPOINT_COLUMNS},
    }


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc)


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(timezone.utc).replace(tzinfo=None)
