"""Sources, batches and settings for tests, made from as little as a test has to say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import polars as pl

from tailmetrics.records import RECORD_SCHEMA, REJECT_SCHEMA, ParsedLines
from tailmetrics.settings import FormatOptions, LogPath, Settings, load_settings
from tailmetrics.sources import Batch, Checkpoint, Source, derive_source_id

LINE_BYTES = 54  # what every line of a built batch takes up in its source

# Times are aware and in UTC, durations in seconds.
Record = tuple[
    datetime, str, str, int, float | None
]  # timestamp (naive UTC), customer, path, status, duration


def at(text: str) -> datetime:
    """An aware time from ISO 8601 text in UTC without a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def settings_of(store_path: Path, **changes: Any) -> Settings:
    """Settings for a DuckDB file, read from nothing but the arguments."""
    return Settings(_env_file=None, store_url=f"duckdb:///{store_path}", **changes)  # type: ignore[call-arg]


def source_of(name: str = "requests.log", node_id: str = "node", inode: int = 7, device: int = 1) -> Source:
    """A source that nothing has been read of."""
    source_id = derive_source_id(node_id, device, inode, 0, name)
    return Source(source_id, node_id, device, inode, 0, f"/logs/{name}", Checkpoint(0, 0, name, 0, ""))


def records_of(rows: Sequence[Record], start: int = 0) -> pl.DataFrame:
    """Records whose lines follow each other from byte `start`."""
    return pl.DataFrame(
        [
            (timestamp.replace(tzinfo=None), *row, start + place * LINE_BYTES)
            for place, (timestamp, *row) in enumerate(rows)
        ],
        RECORD_SCHEMA,
        orient="row",
    )


def batch_of(
    source: Source,
    records: Sequence[Record] | pl.DataFrame = (),
    start: int | None = None,
    *,
    rejects: Sequence[tuple[str, str]] = (),
    blanks: int = 0,
    more: bool = False,
) -> Batch:
    """A batch of the lines that follow `start` (default: the position of `source`).

    `rejects` are (reason, line); their lines follow the records', and blank lines of one byte follow them.
    """
    start = source.position if start is None else start
    frame = records if isinstance(records, pl.DataFrame) else records_of(records, start)
    first_reject = start + frame.height * LINE_BYTES
    rejected = pl.DataFrame(
        [(first_reject + place * LINE_BYTES, reason, line) for place, (reason, line) in enumerate(rejects)],
        REJECT_SCHEMA,
        orient="row",
    )
    end = first_reject + len(rejects) * LINE_BYTES + blanks
    checkpoint = Checkpoint(
        end, min(end, 1024), source.checkpoint.head_hash, min(end, 1024), f"tail at {end}"
    )
    return Batch(source.source_id, source.path, start, checkpoint, ParsedLines(frame, rejected, blanks), more)


def moved(source: Source, batch: Batch) -> Source:
    """The source as a store has it after it has committed the batch."""
    return Source(
        source.source_id,
        source.node_id,
        source.device,
        source.inode,
        source.epoch,
        batch.path,
        batch.checkpoint,
    )


def format_options(name: str, **settings: Any) -> FormatOptions:
    """How lines of a format are read, by default settings but for those given."""
    return load_settings(None, **settings).format_options(name)


def log_path(pattern: str, name: str = "requests") -> LogPath:
    """An entry of LOG_FILE_PATH whose lines are of a format."""
    return LogPath(pattern, format_options(name))
