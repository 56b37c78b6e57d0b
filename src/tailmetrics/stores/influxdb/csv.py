"""Flux's annotated CSV as frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.influxdb.line_protocol import decoded

Tables = pl.DataFrame
_TYPES: dict[str, pl.DataType] = {
    "double": pl.Float64(),
    "long": pl.Int64(),
    "unsignedLong": pl.UInt64(),
    "boolean": pl.Boolean(),
}
_TIMES = ("dateTime:RFC3339", "dateTime:RFC3339Nano")
_FEW_BYTES = 20_000  # of rows that Python reads sooner than Polars begins
_VALUES: dict[str, Callable[[str], object]] = {
    "double": float,
    "long": int,
    "unsignedLong": int,
    "boolean": "true".__eq__,
}
_NO_VALUES = ("result", "table", "_start", "_stop")  # columns that say which table a row is of
_HEAD_LINES = 4  # three annotations and the names of the columns
_NARROW: dict[str, pl.DataType] = {
    "_measurement": pl.Categorical(),
    "_field": pl.Categorical(),
    "status_code": pl.Int16(),
}  # columns of few values, none of them encoded, which as texts take sixteen bytes a row each


class Answer:
    """The rows of each result of an answer, which comes in pieces: as frames they take a third of its bytes.

    Times are integers of nanoseconds, texts as they were before they were written.
    """

    def __init__(self) -> None:
        self._found: dict[str, list[Tables]] = {}
        self._head: _Head | None = None
        self._rest = b""

    def add(self, piece: bytes) -> None:
        """Take in the lines that are whole.

        Raises StoreUnavailable for what went wrong while the answer was on its way: it has status 200 then.
        """
        text = self._rest + piece
        end = text.rfind(b"\r\n") + 2 if b"\r\n" in text else 0
        # A head is read with its first row, and a line end inside a value cannot be followed by another one:
        # values have no control characters.
        *blocks, last = text[:end].split(b"\r\n\r\n")
        for block in blocks:
            self._read(block.lstrip(b"\r\n"))
        last = last.lstrip(b"\r\n")
        is_whole = not last.startswith(b"#") or len(last.split(b"\r\n", _HEAD_LINES + 1)) > _HEAD_LINES + 1
        self._rest = text[end:] if is_whole else last + text[end:]
        if is_whole:
            self._read(last)

    def tables(self) -> dict[str, Tables]:
        """All tables of each result together, by its name; raises as `add`."""
        self._read(self._rest.lstrip(b"\r\n"))
        self._rest = b""
        return {name: pl.concat(frames, how="diagonal_relaxed") for name, frames in self._found.items()}

    def _read(self, block: bytes) -> None:
        if block.startswith(b"#"):
            self._head, block = _head_of(block)
        if self._head is not None and block:
            frame = self._head.frame(block)
            self._found.setdefault(self._head.defaults["result"], []).append(frame)


@dataclass(frozen=True, slots=True)
class _Head:
    """What the lines before the rows say: by the names of columns their kinds, and texts for empty values."""

    kinds: dict[str, str]
    defaults: dict[str, str]

    def frame(self, rows: bytes) -> Tables:
        if "error" in self.kinds:
            said = next(csv.DictReader(io.StringIO(rows.decode()), ["", *self.kinds]), {})
            raise StoreUnavailable(f"InfluxDB could not finish its answer: {said.get('error', 'unknown')}")
        kept = {name: kind for name, kind in self.kinds.items() if name not in _NO_VALUES}
        types = {name: _NARROW.get(name) or _TYPES.get(kind, pl.String()) for name, kind in kept.items()}
        frame = (self._few if len(rows) <= _FEW_BYTES else self._many)(rows, types)
        texts = [name for name, kind in kept.items() if kind == "string" and name not in _NARROW]
        read = [
            *(nanoseconds(pl.col(name)).alias(name) for name, kind in kept.items() if kind in _TIMES),
            *(decoded(frame[name].fill_null(self.defaults[name])) for name in texts),
        ]
        return frame.with_columns(read) if read else frame

    def _few(self, rows: bytes, types: Mapping[str, pl.DataType]) -> Tables:
        read = csv.reader(io.StringIO(rows.decode(), newline=""))
        _, *columns = zip(*(row for row in read if row), strict=True)
        cells = dict(zip(self.kinds, columns, strict=True))
        values = {
            name: [_VALUES.get(self.kinds[name], str)(cell) if cell else None for cell in cells[name]]
            for name in types
        }
        return pl.DataFrame([pl.Series(name, values[name]).cast(kind) for name, kind in types.items()])

    def _many(self, rows: bytes, types: Mapping[str, pl.DataType]) -> Tables:
        return pl.read_csv(
            rows,
            has_header=False,
            schema={name: types.get(name, pl.String()) for name in ("", *self.kinds)},
            columns=[place for place, name in enumerate(self.kinds, 1) if name in types],
            truncate_ragged_lines=True,
        )


def tables_of(answer: bytes) -> dict[str, Tables]:
    """The rows of each result by its name, of a whole answer; raises as `Answer`."""
    read = Answer()
    read.add(answer)
    return read.tables()


def _head_of(block: bytes) -> tuple[_Head, bytes]:
    """The head of a block, and the rows after it."""
    *lines, rows = block.split(b"\n", _HEAD_LINES)
    *annotations, (_, *names) = csv.reader(line.decode() for line in lines)
    notes = {name.removeprefix("#"): values for name, *values in annotations}
    kinds = dict(zip(names, notes["datatype"], strict=True))
    return _Head(kinds, dict(zip(names, notes["default"], strict=True))), rows


def nanoseconds(text: pl.Expr) -> pl.Expr:
    """RFC 3339 in UTC as nanoseconds since 1970."""
    # Points have few seconds in common: Polars would look each up in a cache of its own.
    seconds = text.str.head(19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", cache=False)
    fraction = text.str.slice(20).str.strip_suffix("Z").str.pad_end(9, "0").cast(pl.Int64)
    return seconds.to_physical() * 1_000 + fraction
