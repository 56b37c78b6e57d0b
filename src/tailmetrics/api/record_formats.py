"""Frames, as of records, as CSV, JSON lines or an Arrow stream, a frame at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import polars as pl
import polars.selectors as cs

from tailmetrics.api.csv import cell
from tailmetrics.records import STORED_SCHEMA

RecordFormat = Literal["csv", "jsonl", "arrow"]

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%.6fZ"  # all in UTC
_ARROW_END = b"\xff\xff\xff\xff\0\0\0\0"
# Of texts that begin so, no spreadsheet makes a formula: the others are few, and looked at one by one.
_HARMLESS = "^[0-9A-Za-z/]"


@dataclass(frozen=True, slots=True)
class FrameText:
    """How frames of the same columns are written one behind the other: `begin`, each by `frame`, `end`."""

    media_type: str
    begin: bytes
    frame: Callable[[pl.DataFrame], bytes]
    end: bytes = b""


def frame_text(form: RecordFormat, schema: Mapping[str, pl.DataType]) -> FrameText:
    """How frames of these columns are written in a format. Times of theirs are in UTC."""
    empty = pl.DataFrame(schema=schema)
    if form == "csv":
        return FrameText("text/csv; charset=utf-8; header=present", _csv(empty, header=True), _csv)
    if form == "jsonl":
        return FrameText("application/x-ndjson", b"", _json_lines)
    begin, _ = _arrow(empty)
    return FrameText("application/vnd.apache.arrow.stream", begin, lambda frame: _arrow(frame)[1], _ARROW_END)


def _csv(frame: pl.DataFrame, *, header: bool = False) -> bytes:
    rows = _with_times(frame).with_columns(_protected(texts) for texts in frame.select(cs.string()))
    return rows.write_csv(include_header=header, line_terminator="\r\n").encode()


def _protected(texts: pl.Series) -> pl.Series:
    """Texts as `cell` has each."""
    odd = texts.filter(~texts.str.contains(_HARMLESS)).unique()
    if odd.is_empty():
        return texts
    return texts.replace(odd, pl.Series([str(cell(text)) for text in odd], dtype=pl.String()))


def _json_lines(frame: pl.DataFrame) -> bytes:
    return _with_times(frame).write_ndjson().encode()


def _with_times(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(cs.datetime().dt.strftime(_TIME_FORMAT))


def _arrow(frame: pl.DataFrame) -> tuple[bytes, bytes]:
    """A stream's schema, and its rows without the end, so that those of others can follow.

    Each message begins with a mark and the length of what describes it; nothing else belongs to the schema.
    Texts are of the type that every reader of Arrow knows.
    """
    written = io.BytesIO()
    frame.write_ipc_stream(written, compat_level=pl.CompatLevel.oldest())
    stream = written.getvalue()
    schema_end = 8 + int.from_bytes(stream[4:8], "little")
    return stream[:schema_end], stream[schema_end : -len(_ARROW_END)]


_FORMATS: tuple[RecordFormat, ...] = get_args(RecordFormat)
RECORD_TEXTS = {form: frame_text(form, STORED_SCHEMA) for form in _FORMATS}
