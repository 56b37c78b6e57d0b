"""Rows in the binary format of COPY, read back by the format's documentation."""

from __future__ import annotations

import struct
from typing import Any

import polars as pl

from tailmetrics.stores.sql.postgresql.copy import binary_rows, columns_of

SCHEMA = {"text": pl.String, "small": pl.Int16, "large": pl.Int64, "float": pl.Float64, "more": pl.String}
FORMATS = {"small": ">h", "large": ">q", "float": ">d"}


def read(frame: pl.DataFrame) -> list[dict[str, Any]]:
    data = b"".join(binary_rows(frame))
    names = columns_of(frame)
    rows, at = [], 0
    while at < len(data):
        [fields] = struct.unpack_from(">h", data, at)
        assert fields == len(names)
        at += 2
        row: dict[str, Any] = {}
        for name in names:
            [length] = struct.unpack_from(">i", data, at)
            at += 4
            value = None if length < 0 else data[at : at + length]
            at += max(length, 0)
            if value is not None and name in FORMATS:
                [row[name]] = struct.unpack(FORMATS[name], value)
            else:
                row[name] = None if value is None else value.decode()
        rows.append(row)
    return rows


def test_numbers_come_before_text() -> None:
    assert columns_of(pl.DataFrame(schema=SCHEMA)) == ["small", "large", "float", "text", "more"]


def test_rows_are_written_in_their_order() -> None:
    rows = [
        {
            "text": text,
            "small": number,
            "large": -(2**40) * number,
            "float": number / 3,
            "more": text * number,
        }
        for number, text in enumerate(["", "a", "\u00fc\U0001f680", "\\N\t\n", "a"])
    ]
    assert read(pl.DataFrame(rows, SCHEMA)) == rows


def test_a_number_that_is_null_has_no_bytes() -> None:
    rows = [
        {"text": "a", "small": 1, "large": 2, "float": None if number % 3 else 0.5, "more": str(number)}
        for number in range(10)
    ]
    found = read(pl.DataFrame(rows, SCHEMA))
    assert sorted(found, key=lambda row: int(row["more"])) == rows


def test_rows_beyond_one_piece_are_written_each_once() -> None:
    frame = pl.select(text=pl.int_range(40_000).cast(pl.String), large=pl.int_range(40_000))
    assert len(list(binary_rows(frame))) > 1
    assert read(frame) == frame.to_dicts()
