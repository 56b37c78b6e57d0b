"""Timestamps as text to UTC: real dates only, digits in their places, local times by the zone's rules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

import polars as pl

from tailmetrics.formats.reasons import found_instead

UTC: Final = "UTC"
# What Python's datetime, and with it every store's client, can hold.
EARLIEST: Final = datetime.min
LATEST: Final = datetime.max

_MICROSECONDS = pl.Datetime("us")
_OFFSET = r"[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?"
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-5][0-9]"  # chrono would take second 60 for the next minute
_PLAIN = rf"\A[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}} {_CLOCK}(?:\.[0-9]{{1,9}})?\z"
_ISO = rf"\A[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ]{_CLOCK}(?:[.,][0-9]{{1,9}})?(?: ?(?:[Zz]|{_OFFSET}))?\z"
_NGINX = rf"\A[0-9]{{2}}/[A-Z][a-z]{{2}}/[0-9]{{4}}:{_CLOCK} [+-](?:[01][0-9]|2[0-3])[0-5][0-9]\z"
_EPOCH = r"\A-?[0-9]{1,12}(?:\.[0-9]+)?\z"

# Text to `time` (naive, null where it cannot be read) and `zoned` (whether `time` is UTC already).
Parse = Callable[[pl.Series], pl.DataFrame]


class TimestampReader:
    """Reads a column of timestamps; a time without a zone of its own is in `zone` (an IANA name)."""

    def __init__(self, zone: str, parse: Parse, expected: str) -> None:
        self.zone = zone
        self._parse = parse
        self._expected = expected

    def read(self, text: pl.Series) -> pl.Series:
        """Naive UTC in microseconds; null where the text is no time, or a local time that never occurs."""
        parsed = self._parse(text)
        utc = pl.when("zoned").then("time").otherwise(to_utc(pl.col("time"), self.zone))
        return parsed.select(in_range(utc)).to_series()

    def reasons(self, text: pl.Series) -> pl.Series:
        """For texts that `read` makes null: why it does."""
        parsed = self._parse(text).with_columns(text=text)
        never = pl.col("time").is_not_null() & to_utc(pl.col("time"), self.zone).is_null() & ~pl.col("zoned")
        return parsed.select(
            pl.when(never)
            .then(found_instead("timestamp", pl.col("text"), f"a local time that occurs in {self.zone}"))
            .otherwise(found_instead("timestamp", pl.col("text"), self._expected))
        ).to_series()


def to_utc(local: pl.Expr, zone: str) -> pl.Expr:
    """Naive local times to naive UTC: the earlier one where a time occurs twice, null where it never does."""
    if zone == UTC:
        return local
    aware = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return aware.dt.convert_time_zone(UTC).dt.replace_time_zone(None)


def in_range(utc: pl.Expr) -> pl.Expr:
    """Null where the year is not from 1 to 9999."""
    return pl.when(utc.is_between(pl.lit(EARLIEST), pl.lit(LATEST))).then(utc)


def plain(text: pl.Series) -> pl.DataFrame:
    """`YYYY-MM-DD HH:MM:SS`, with or without a fraction of 1 to 9 digits."""
    fits = pl.when(text.str.contains(_PLAIN)).then(text)
    return pl.select(time=_calendar(fits) + _fraction(fits), zoned=False)


def _calendar(text: pl.Expr) -> pl.Expr:
    whole_seconds = text.str.slice(0, 10) + " " + text.str.slice(11, 8)
    return whole_seconds.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)


def _fraction(text: pl.Expr) -> pl.Expr:
    """The fraction of the second as a duration, cut to microseconds."""
    digits = text.str.extract(r"[.,]([0-9]+)", 1).fill_null("")
    return pl.duration(microseconds=digits.str.pad_end(6, "0").str.head(6).cast(pl.Int64))
