"""The format `requests`: `YYYY-MM-DD HH:MM:SS customer_id path status duration`, single spaces."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from tailmetrics.formats import timestamps
from tailmetrics.formats.fields import MAX_STATUS, MIN_STATUS, PROBLEM
from tailmetrics.formats.lines import Bools, Integers, Lines
from tailmetrics.formats.scan import SPACE, TIME_BYTES, ZERO, Scan, count_spaces, has_its_spaces, scan_lines
from tailmetrics.formats.text import TextFormat
from tailmetrics.records import MAX_CUSTOMER_ID_CHARACTERS, RECORD_SCHEMA, ParsedLines, no_records, no_rejects

NAME: Final = "requests"
_FIELDS = ("date", "time", "customer_id", "path", "status_code", "duration")
_TEXT_SCHEMA: Final = {
    "customer_id": pl.String(),
    "path": pl.String(),
    "status_code": pl.Int16(),
    "duration": pl.Float64(),
}
_CSV_SCHEMA: Final = {"date": pl.String(), "time": pl.String(), **_TEXT_SCHEMA}

_FEW_LINES = 100
_STATUS_DIGITS = len("200")

# Made once: to make them takes as long as to use them on a few lines.
_CUSTOMER_BYTES, _PATH_BYTES = (pl.col(name).str.len_bytes() for name in ("customer_id", "path"))
_IS_KNOWN: Final = (
    pl.all_horizontal(pl.col("timestamp", "path").is_not_null())
    & _CUSTOMER_BYTES.is_between(1, MAX_CUSTOMER_ID_CHARACTERS)
    & pl.col("status_code").is_between(MIN_STATUS, MAX_STATUS)
    & (pl.col("duration") < float("inf"))
).fill_null(value=False)
_TEXT_BYTES: Final = (_CUSTOMER_BYTES + _PATH_BYTES).fill_null(0).cast(pl.Int64).alias("bytes")


class RequestsFormat:
    """Reads clean lines by their bytes and a CSV parser, and all others by the rules."""

    def __init__(self, zone: str, max_line_bytes: int) -> None:
        self._by_rules = by_rules(zone, max_line_bytes)
        self._zone = zone
        self._max_line_bytes = max_line_bytes

    @property
    def name(self) -> str:
        return NAME

    def of_source(self, path: str, written_ns: int) -> RequestsFormat:  # noqa: ARG002  # its lines tell everything
        return self

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        scan = scan_lines(data, offset, self._max_line_bytes)
        records, clean = self._clean_records(scan)
        if clean.all():
            return ParsedLines(records, no_rejects(), 0)
        others = self._by_rules.parse_lines(scan.lines.only(~clean))
        both = pl.concat([records, others.records]).sort("offset") if others.records.height else records
        return ParsedLines(both, others.rejects, others.blanks)

    def parse_too_long(self, data: bytes, offset: int, max_line_bytes: int) -> ParsedLines:
        return self._by_rules.parse_too_long(data, offset, max_line_bytes)

    def _clean_records(self, scan: Scan) -> tuple[pl.DataFrame, Bools]:
        """The records of the lines that are clean indeed, and which these are."""
        clean = scan.clean
        lines = scan.lines if clean.all() else scan.lines.only(clean)
        text = _read_text(lines)
        if text is None:
            if not scan.counted:
                return self._clean_records(count_spaces(scan))
            return no_records(), np.zeros_like(clean)
        records = text.insert_column(0, self._utc(scan.times))
        records.insert_column(len(RECORD_SCHEMA) - 1, pl.Series("offset", lines.offsets))
        proven = _proven(records, lines)
        if proven.all():
            return records, clean
        if not scan.counted:
            proven &= has_its_spaces(lines)
        clean = clean.copy()
        clean[clean] = proven
        return records.filter(proven), clean

    def _utc(self, local: Integers) -> pl.Series:
        """The times in UTC, null where a local time never occurs."""
        times = pl.Series("timestamp", local).cast(RECORD_SCHEMA["timestamp"])
        if self._zone == timestamps.UTC:
            return times
        utc = timestamps.to_utc(pl.col("timestamp"), self._zone)
        return times.to_frame().select(timestamps.in_range(utc)).to_series()


def _read_text(lines: Lines) -> pl.DataFrame | None:
    """The fields after the time; an empty text is null, and so is a status or duration that is no number.

    None when the parser finds too many fields, which it does in the first line only.
    """
    if len(lines) <= _FEW_LINES:
        return _read_few(lines)
    csv = pl.scan_csv(
        lines.data, has_header=False, separator=" ", quote_char=None, schema=_CSV_SCHEMA, ignore_errors=True
    )
    try:
        text = csv.select(_TEXT_SCHEMA.keys()).collect()
    except pl.exceptions.PolarsError:
        return None
    return text if text.height == len(lines) else None


def _read_few(lines: Lines) -> pl.DataFrame:
    """The same for lines that are few: the parser takes as long to begin as this takes for a hundred."""
    rows: list[tuple[str | None, str | None, int | None, float | None]] = []
    for begin, end in zip(lines.starts.tolist(), lines.ends.tolist(), strict=True):
        fields = lines.data[begin:end].split(b" ")
        if len(fields) == len(_FIELDS):
            _, _, customer_id, path, status, duration = fields
            number = int(status) if status.isdigit() and len(status) == _STATUS_DIGITS else None
            rows.append((customer_id.decode() or None, path.decode() or None, number, _decimal(duration)))
        else:
            rows.append((None, None, None, None))
    return pl.DataFrame(rows, _TEXT_SCHEMA, orient="row")


def _decimal(text: bytes) -> float | None:
    try:
        return None if b"_" in text else float(text)
    except ValueError:
        return None


def _proven(records: pl.DataFrame, lines: Lines) -> Bools:
    """Which lines are right. The parser takes signs and any number of digits, so the bytes are looked at."""
    known = records.select(_IS_KNOWN, _TEXT_BYTES)
    status_end = lines.starts + known["bytes"].to_numpy()
    status_end += TIME_BYTES + len("  200")
    np.minimum(status_end, len(lines.array) - 2, out=status_end)
    proven = lines.array[status_end] == SPACE
    proven &= lines.array[status_end + 1] - ZERO < 10
    proven &= known.to_series().to_numpy()
    return np.asarray(proven)


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
