"""Rows in the binary format of PostgreSQL's COPY, which the server reads in two thirds of the time of text.

A row is the number of its fields, then each field as its length in bytes and its value, numbers in network
order. https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
_END = b"\xff\xff"
_ROWS_AT_ONCE = 16_384  # the server reads some rows while the next are written
_NUMBERS: dict[pl.DataType, str] = {
    pl.Int16(): ">i2",
    pl.Int32(): ">i4",
    pl.Int64(): ">i8",
    pl.Float64(): ">f8",
}

_Bytes = npt.NDArray[np.uint8]


def columns_of(frame: pl.DataFrame) -> list[str]:
    """The columns in the order in which `binary_rows` writes them: numbers before text."""
    return [*_numbers(frame), *_texts(frame)]


def binary_rows(frame: pl.DataFrame) -> Iterator[bytes]:
    """The rows in pieces, in the same order but for rows without a number, which come last.

    Columns are whole numbers, floats and text; only numbers may be null.
    """
    yield _HEAD
    numbers = _numbers(frame)
    absences = frame.select(pl.col(numbers).is_null())
    if any(frame[name].null_count() for name in numbers):
        groups = frame.with_columns(absences=absences.to_struct()).partition_by(
            "absences", include_key=False, maintain_order=True
        )
    else:
        groups = [frame]
    for group in groups:
        for part in group.iter_slices(_ROWS_AT_ONCE):
            yield _rows(part).tobytes()
    yield _END


def _rows(frame: pl.DataFrame) -> _Bytes:
    """Rows that are null in the same columns."""
    numbers = _numbers_of_rows(frame)
    texts = [frame[name] for name in _texts(frame)]
    lengths = [text.str.len_bytes().to_numpy().astype(np.int64) for text in texts]
    sizes = sum(lengths, np.full(frame.height, numbers.itemsize + 4 * len(texts)))
    ends = np.cumsum(sizes)
    rows = np.empty(int(ends[-1]), np.uint8)
    places = ends - sizes
    _overlapping(rows, numbers.dtype.itemsize)[places] = numbers.view(f"V{numbers.itemsize}")
    places += numbers.itemsize
    for text, length in zip(texts, lengths, strict=True):
        _overlapping(rows, 4)[places] = length.astype(">i4").view("V4")
        places += 4
        _put(rows, places, np.frombuffer(text.str.join().item().encode(), np.uint8), length)
        places += length
    return rows


def _numbers_of_rows(frame: pl.DataFrame) -> npt.NDArray[Any]:
    """How each row begins: the number of its fields, and the fields that are numbers."""
    kinds: list[tuple[str, str]] = [("fields", ">i2")]
    for name in _numbers(frame):
        kinds.append((f"{name} length", ">i4"))
        if not frame[name].null_count():
            kinds.append((name, _NUMBERS[frame.schema[name]]))
    rows = np.empty(frame.height, np.dtype(kinds))
    rows["fields"] = frame.width
    for name in _numbers(frame):
        if frame[name].null_count():
            rows[f"{name} length"] = -1
        else:
            rows[f"{name} length"] = rows.dtype[name].itemsize
            rows[name] = frame[name].to_numpy()
    return rows


def _put(rows: _Bytes, places: npt.NDArray[np.int64], text: _Bytes, lengths: npt.NDArray[np.int64]) -> None:
    """Copy texts, which lie one after another in `text`, to their places, those of one length at once."""
    begins = np.cumsum(lengths) - lengths
    by_length = np.argsort(lengths, kind="stable")
    changes = np.flatnonzero(np.diff(lengths[by_length])) + 1
    for of_length in np.split(by_length, changes):
        if length := int(lengths[of_length[0]]):
            found = _overlapping(text, length)[begins[of_length]]
            _overlapping(rows, length)[places[of_length]] = found


def _overlapping(data: _Bytes, size: int) -> npt.NDArray[np.void]:
    """What lies in `data` from each place on, `size` bytes of it."""
    return np.ndarray((data.size - size + 1,), f"V{size}", data, strides=(1,))


def _numbers(frame: pl.DataFrame) -> list[str]:
    return [name for name, kind in frame.schema.items() if kind != pl.String]


def _texts(frame: pl.DataFrame) -> list[str]:
    return [name for name, kind in frame.schema.items() if kind == pl.String]
