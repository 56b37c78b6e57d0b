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

COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
COPY_END = b"\xff\xff"
_ROWS_AT_ONCE = 16_384  # the server reads some rows while the next are written
_NUMBERS: dict[pl.DataType, str] = {
    pl.Int16(): ">i2",
    pl.Int32(): ">i4",
    pl.Int64(): ">i8",
    pl.Float64(): ">f8",
}

_Bytes = npt.NDArray[np.uint8]
_Places = npt.NDArray[np.int64]


def columns_of(frame: pl.DataFrame) -> list[str]:
    """The columns in the order in which `binary_rows` writes them: numbers before text."""
    return [*_numbers(frame), *_texts(frame)]


def binary_rows(frame: pl.DataFrame) -> Iterator[memoryview]:
    """The rows in pieces, in their order but for rows that lack a number, which are kept together.

    Columns are whole numbers, floats and text; only numbers may be null.
    """
    for group in _groups(frame):
        texts = [_Text(group[name]) for name in _texts(group)]
        begins = _Begins(group, texts)
        for first in range(0, group.height, _ROWS_AT_ONCE):
            yield _rows(begins, texts, slice(first, min(first + _ROWS_AT_ONCE, group.height)))


class _Begins:
    """How rows begin: the number of their fields, those that are numbers, and the length of the first text.

    A number is null in all rows or in none.
    """

    def __init__(self, frame: pl.DataFrame, texts: list[_Text]) -> None:
        fields = [("fields", ">i2")]
        same: dict[str, int] = {"fields": frame.width}
        self._values: dict[str, npt.NDArray[Any]] = {}
        for name in _numbers(frame):
            fields.append((f"{name} length", ">i4"))
            same[f"{name} length"] = -1
            if not frame[name].null_count():
                fields.append((name, _NUMBERS[frame.schema[name]]))
                same[f"{name} length"] = np.dtype(fields[-1][1]).itemsize
                self._values[name] = frame[name].to_numpy()
        if texts:
            fields.append(("text length", ">i4"))
            self._values["text length"] = texts[0].lengths
        self._kind = np.dtype(fields)
        self.size = self._kind.itemsize
        same_in_all = np.zeros(1, self._kind)
        for name, value in same.items():
            same_in_all[name] = value
        self._same = same_in_all.view(f"V{self.size}")

    def of(self, rows: slice) -> npt.NDArray[np.void]:
        begins = np.repeat(self._same, rows.stop - rows.start)
        fields = begins.view(self._kind)
        for name, values in self._values.items():
            fields[name] = values[rows]
        return begins


class _Text:
    """A column of text, as bytes without anything between them."""

    def __init__(self, column: pl.Series) -> None:
        self.lengths: _Places = column.str.len_bytes().to_numpy().astype(np.int64)
        self._ends: _Places = np.cumsum(self.lengths)
        self._bytes = np.frombuffer(column.str.join().item().encode(), np.uint8)

    def put(self, data: _Bytes, places: _Places, rows: slice) -> None:
        """Copy the texts of rows to their places, those of one length at once."""
        lengths = self.lengths[rows]
        begins = self._ends[rows] - lengths
        by_length = np.argsort(lengths, kind="stable")
        changes = np.flatnonzero(np.diff(lengths[by_length])) + 1
        for of_length in np.split(by_length, changes):
            if length := int(lengths[of_length[0]]):
                _from_each_place(data, length)[places[of_length]] = _from_each_place(self._bytes, length)[
                    begins[of_length]
                ]


def _rows(begins: _Begins, texts: list[_Text], rows: slice) -> memoryview:
    sizes = np.full(rows.stop - rows.start, begins.size + 4 * len(texts[1:]))
    for text in texts:
        sizes += text.lengths[rows]
    ends = np.cumsum(sizes)
    places = ends - sizes
    data = np.empty(int(ends[-1]), np.uint8)
    _from_each_place(data, begins.size)[places] = begins.of(rows)
    places += begins.size
    for number, text in enumerate(texts):
        if number:
            _from_each_place(data, 4)[places] = text.lengths[rows].astype(">i4").view("V4")
            places += 4
        text.put(data, places, rows)
        places += text.lengths[rows]
    return data.data


def _from_each_place(data: _Bytes, size: int) -> npt.NDArray[np.void]:
    """What lies in `data` from each place on, `size` bytes of it."""
    return np.ndarray((data.size - size + 1,), f"V{size}", data, strides=(1,))


def _groups(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """The rows by which of their numbers are null."""
    nullable = [name for name in _numbers(frame) if frame[name].null_count()]
    if not nullable:
        return [frame]
    absences = pl.struct(pl.col(nullable).is_null()).alias("absences")
    return frame.with_columns(absences).partition_by("absences", include_key=False, maintain_order=True)


def _numbers(frame: pl.DataFrame) -> list[str]:
    return [name for name, kind in frame.schema.items() if kind != pl.String]


def _texts(frame: pl.DataFrame) -> list[str]:
    return [name for name, kind in frame.schema.items() if kind == pl.String]
