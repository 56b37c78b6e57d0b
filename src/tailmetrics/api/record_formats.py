"""Records as CSV, JSON lines or an Arrow stream, a frame at a time."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from tailmetrics.api.csv import cell
from tailmetrics.records import STORED_SCHEMA

RecordFormat = Literal["csv", "jsonl", "arrow"]

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%.6fZ"  # all in UTC
_ARROW_END = b"\xff\xff\xff\xff\0\0\0\0"
_NO_RECORDS = pl.DataFrame(schema=STORED_SCHEMA)
# Of texts that begin so, no spreadsheet makes a formula: the others are few, and looked at one by one.
_HARMLESS = "^[0-9A-Za-z/]"


@dataclass(frozen=True, slots=True)
class RecordText:
    """How frames of STORED_SCHEMA are written one behind the other: `begin`, each by `frame`, `end`."""

    media_type: str
    begin: bytes
    frame: Callable[[pl.DataFrame], bytes]
    end: bytes = b""


def _csv(records: pl.DataFrame, *, header: bool = False) -> bytes:
    texts = [name for name, kind in STORED_SCHEMA.items() if kind == pl.String()]
    rows = _with_times(records).with_columns(_protected(records[name]) for name in texts)
    return rows.write_csv(include_header=header, line_terminator="\r\n").encode()


def _protected(texts: pl.Series) -> pl.Series:
    """Texts as `cell` has each."""
    odd = texts.filter(~texts.str.contains(_HARMLESS)).unique()
    if odd.is_empty():
        return texts
    return texts.replace(odd, pl.Series([str(cell(text)) for text in odd], dtype=pl.String()))


def _json_lines(records: pl.DataFrame) -> bytes:
    return _with_times(records).write_ndjson().encode()


def _with_times(records: pl.DataFrame) -> pl.DataFrame:
    return records.with_columns(pl.col("timestamp").dt.strftime(_TIME_FORMAT))


def _arrow(records: pl.DataFrame) -> tuple[bytes, bytes]:
    """A stream's schema, and its records without the end, so that those of others can follow.

    Each message begins with a mark and the length of what describes it; nothing else belongs to the schema.
    Texts are of the type that every reader of Arrow knows.
    """
    written = io.BytesIO()
    records.write_ipc_stream(written, compat_level=pl.CompatLevel.oldest())
    stream = written.getvalue()
    schema_end = 8 + int.from_bytes(stream[4:8], "little")
    return stream[:schema_end], stream[schema_end : -len(_ARROW_END)]


RECORD_TEXTS: dict[RecordFormat, RecordText] = {
    "csv": RecordText("text/csv; charset=utf-8; header=present", _csv(_NO_RECORDS, header=True), _csv),
    "jsonl": RecordText("application/x-ndjson", b"", _json_lines),
    "arrow": RecordText(
        "application/vnd.apache.arrow.stream",
        _arrow(_NO_RECORDS)[0],
        lambda records: _arrow(records)[1],
        _ARROW_END,
    ),
}
