"""The format `requests`: `YYYY-MM-DD HH:MM:SS customer_id path status duration`, single spaces."""

from __future__ import annotations

from typing import Final

import polars as pl

from tailmetrics.formats import timestamps
from tailmetrics.formats.fields import PROBLEM
from tailmetrics.formats.text import TextFormat

NAME: Final = "requests"
_FIELDS = ("date", "time", "customer_id", "path", "status_code", "duration")


def by_rules(zone: str, max_line_bytes: int) -> TextFormat:
    """The format by its rules alone, which explains every reject."""
    reader = timestamps.TimestampReader(zone, timestamps.plain, "a real date and time as YYYY-MM-DD HH:MM:SS")
    return TextFormat(NAME, extract, reader, max_line_bytes)


def extract(text: pl.Series) -> pl.DataFrame:
    """The fields of each line as text, date and time in one."""
    parts = pl.col("parts")
    count = parts.list.len()
    field = {
        name: pl.when(count == len(_FIELDS)).then(parts.list.get(index, null_on_oob=True))
        for index, name in enumerate(_FIELDS)
    }
    expected = f"{len(_FIELDS)} with single spaces between them: {' '.join(_FIELDS)}"
    return pl.DataFrame({"parts": text.str.split(" ")}).select(
        timestamp=field["date"] + " " + field["time"],
        customer_id=field["customer_id"],
        path=field["path"],
        status_code=field["status_code"],
        duration=field["duration"],
        **{
            PROBLEM: pl.when(count != len(_FIELDS)).then(
                pl.format("line: found {} fields, expected {}", count, pl.lit(expected))
            )
        },
    )
