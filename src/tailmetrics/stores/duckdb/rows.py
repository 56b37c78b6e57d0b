"""The records and rejects of a commit as rows of a DuckDB file, and how many rejects there were besides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import duckdb
import polars as pl
from nanoarrow import c_array_stream
from nanoarrow.c_array_stream import CArrayStream

from tailmetrics.sources import Batch
from tailmetrics.stores.duckdb.dictionary import Dictionary, encoded_records
from tailmetrics.stores.duckdb.layout import COLUMNS
from tailmetrics.stores.reject_limits import halves, kept_of_source

_RECORDS_WORTH_A_FRAME = 4096  # frames of fewer are quicker joined than inserted one by one
# A sample that is to be the same each time is taken by one thread, and a sample of all rows is all of them.
# Several threads would each get some of the frames, and none enough to fill a row group.
_BY_ONE_THREAD = "TABLESAMPLE SYSTEM (100 PERCENT) REPEATABLE (1)"

COUNT_OF_REJECTS = "(SELECT count(*) FROM rejects) + (SELECT rejects FROM omitted)"

_FULL_SOURCES = """
    SELECT source_key FROM rejects WHERE list_contains($keys, source_key)
    GROUP BY source_key HAVING count(*) > $kept
"""
_BETWEEN = """
    DELETE FROM rejects WHERE {condition}
    AND id > (SELECT id FROM rejects WHERE {condition} ORDER BY id LIMIT 1 OFFSET $first - 1)
    AND id < (SELECT id FROM rejects WHERE {condition} ORDER BY id DESC LIMIT 1 OFFSET $last - 1)
"""


class FrameStream:
    """Frames of the same columns as DuckDB reads them without pyarrow, one behind the other; at least one.

    Polars would join them, as often as it is asked for a stream, and DuckDB asks twice.
    """

    def __init__(self, *frames: pl.DataFrame) -> None:
        """Raises ValueError when the frames differ in their columns: DuckDB reads the schema of the first."""
        schema = frames[0].schema
        for frame in frames:
            if frame.schema != schema:
                raise ValueError(
                    f"found frames of {dict(schema)} and {dict(frame.schema)}, expected the same columns"
                )
        self._frames = frames

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        if len(self._frames) == 1:  # a tenth of a millisecond sooner, which a short commit feels
            return self._frames[0].__arrow_c_stream__(requested_schema)
        streams = [c_array_stream(frame) for frame in self._frames]
        arrays = [array for stream in streams for array in stream]
        # Every array is of the first one's schema, and belongs to nobody else.
        joined = CArrayStream.from_c_arrays(arrays, streams[0].get_schema(), move=True, validate=False)
        return joined.__arrow_c_stream__(requested_schema)


class RowWriter:
    """Inserts rows, and the texts of their numbers, which follow those that the file has already."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, dictionary: Dictionary) -> None:
        """Drop the texts of records that were sorted: these have them themselves."""
        self._connection = connection
        self._dictionary = dictionary
        self._end = self._inserted_end = 0  # of the numbers whose texts are in the file
        connection.execute(
            "DELETE FROM names WHERE number < (SELECT coalesce("
            "least(min(customer_number), min(path_number)), 2147483647) FROM numbered)"
        )
        # What a number is in the file that is 0 in memory.
        [(self._base,)] = connection.execute("SELECT coalesce(max(number) + 1, 0) FROM names").fetchall()

    def insert(
        self, batches: Iterable[Batch], keys: Mapping[str, int], first_reject_id: int, now: datetime
    ) -> None:
        """Insert the rows of batches, whose sources have these keys, in a transaction.

        When that is committed, `committed` is called.
        """
        plain, encoded, rejects, end = [], [], [], self._end
        for batch in batches:
            key = keys[batch.source_id]
            if made := encoded_records(batch):
                encoded.append(_with_key(made.records, key))
                end = max(end, made.end)
            elif batch.parsed.records.height:
                plain.append(_with_key(batch.parsed.records, key))
            if batch.parsed.rejects.height:
                seen_at = pl.lit(_naive(batch.seen_at(now)), pl.Datetime("us"))
                rejects.append(_with_key(batch.parsed.rejects, key).with_columns(seen_at=seen_at))
        self._insert_texts(end)
        self._inserted_end = end
        self._insert_frames(
            'INSERT INTO numbered SELECT source_key, "offset", timestamp, customer_number + $base, '
            "path_number + $base, status_code, duration FROM",
            encoded,
            {"base": self._base},
        )
        if sum(frame.height for frame in plain) < len(plain) * _RECORDS_WORTH_A_FRAME:
            plain = [pl.concat(plain, rechunk=True)]
        self._insert_frames(f"INSERT INTO fresh SELECT {COLUMNS} FROM", plain, {})
        if rejects:
            rows = pl.concat(rejects, rechunk=True).with_row_index("id", first_reject_id)
            self._insert_frames(
                'INSERT INTO rejects SELECT id, source_key, "offset", reason, line, seen_at FROM', [rows], {}
            )

    def committed(self) -> None:
        self._end = self._inserted_end

    def _insert_texts(self, end: int) -> None:
        """Those of the numbers below `end` that are not in the file yet."""
        if end > self._end:
            texts = self._dictionary.between(self._end, end)
            insert = "INSERT INTO names SELECT number + $base, name FROM"
            self._insert_frames(insert, [texts], {"base": self._base})

    def _insert_frames(self, insert: str, frames: Sequence[pl.DataFrame], parameters: dict[str, Any]) -> None:
        if frames:
            # DuckDB finds them by their name among the local variables of whoever calls execute: registering
            # a view for each commit would take as long as the insert of a short one.
            incoming = FrameStream(*frames)  # noqa: F841
            sharing = _BY_ONE_THREAD if len(frames) > 1 else ""
            self._connection.execute(f"{insert} incoming {sharing}", parameters)


def _naive(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(timezone.utc).replace(tzinfo=None)


def _with_key(frame: pl.DataFrame, key: int) -> pl.DataFrame:
    column = pl.Series("source_key", [key], pl.Int32).new_from_index(0, frame.height)
    return frame.clone().insert_column(0, column)


def omit_rejects(connection: duckdb.DuckDBPyConnection, keys: Iterable[int], kept: int) -> int:
    """Delete what is too much after rejects of sources were inserted; returns how many.

    `kept` is how many of all sources are kept.
    """
    gone, of_source = 0, kept_of_source(kept)
    full = connection.execute(_FULL_SOURCES, {"keys": list(keys), "kept": of_source}).fetchall()
    for (key,) in full:
        gone += _delete_between(connection, "source_key = $key", of_source, {"key": key})
    return gone + _delete_between(connection, "true", kept, {})


def count_omitted(connection: duckdb.DuckDBPyConnection, number: int) -> None:
    if number:
        connection.execute("UPDATE omitted SET rejects = rejects + $number", {"number": number})


def expire_rejects(connection: duckdb.DuckDBPyConnection, oldest: datetime) -> int:
    """Delete older rejects; returns how many fewer are counted. With the last row go those without one."""
    count = f"SELECT {COUNT_OF_REJECTS}"
    [(before,)] = connection.execute(count).fetchall()
    connection.execute("DELETE FROM rejects WHERE seen_at < $oldest", {"oldest": oldest})
    connection.execute("UPDATE omitted SET rejects = 0 WHERE NOT EXISTS (FROM rejects)")
    [(after,)] = connection.execute(count).fetchall()
    return int(before - after)


def _delete_between(
    connection: duckdb.DuckDBPyConnection, condition: str, kept: int, parameters: dict[str, int]
) -> int:
    first, last = halves(kept)
    [(gone,)] = connection.execute(
        _BETWEEN.format(condition=condition), {**parameters, "first": first, "last": last}
    ).fetchall()
    return int(gone)
