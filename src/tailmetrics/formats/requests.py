"""The format `requests`: `YYYY-MM-DD HH:MM:SS customer_id path status duration`, single spaces."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.formats import fields, timestamps
from tailmetrics.formats.digits import decimals, pairs, words_at
from tailmetrics.formats.fields import MAX_STATUS, MIN_STATUS, PROBLEM
from tailmetrics.formats.kinds import Kind
from tailmetrics.formats.lines import Bools, Lines, split
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.scan import TIME_BYTES, Scan, scan_lines
from tailmetrics.formats.text import TextFormat, each_text, text_pairs, with_others
from tailmetrics.formats.units import PER_SECOND
from tailmetrics.records import MAX_CUSTOMER_ID_CHARACTERS, RECORD_SCHEMA, ParsedLines, no_records, no_rejects
from tailmetrics.settings import FormatOptions

NAME: Final = "requests"
_FIELDS = ("date", "time", "customer_id", "path", "status_code", "duration")


class RequestsFormat:
    """Reads clean lines by their bytes, and all others by the rules."""

    def __init__(self, options: FormatOptions) -> None:
        self._by_rules = by_rules(options)
        self._rules = _rules(options)
        self._zone = options.zone
        self._max_line_bytes = options.max_line_bytes

    def of_source(self, path: str, written_ns: int, header: bytes = b"") -> RequestsFormat:  # noqa: ARG002  # its lines tell everything
        return self

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        return self.parse_lines(split(data, offset))

    def parse_lines(self, lines: Lines) -> ParsedLines:
        if lines.told is not None:
            return self._by_rules.parse_lines(lines)
        scan = scan_lines(lines, self._max_line_bytes)
        records, clean = self._clean_records(scan)
        logged = records.height
        records = self._rules.applied(records, may_have_queries=b"?" in lines.data)
        excluded = logged - records.height
        if clean.all():
            return ParsedLines(records, no_rejects(), excluded)
        others = self._by_rules.parse_lines(scan.lines.only(~clean))
        return with_others(records, others, excluded)

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        return self._by_rules.parse_too_long(data, offset)

    def _clean_records(self, scan: Scan) -> tuple[pl.DataFrame, Bools]:
        """The records of the lines that are clean indeed, and which these are."""
        if not len(scan.times):
            return no_records(), scan.clean
        customers = scan.starts + TIME_BYTES, scan.customer_ends
        customer_id, path = text_pairs(scan.lines.data, customers, (scan.customer_ends + 1, scan.path_ends))
        timestamp = self._timestamps(scan)
        status_code, proven = _status_codes(scan)
        duration = _durations(scan, self._rules.unit)
        records = pl.DataFrame(
            {
                "timestamp": timestamp,
                "customer_id": customer_id,
                "path": path,
                "status_code": status_code,
                "duration": duration,
                "offset": scan.lines.offsets if scan.clean.all() else scan.lines.offsets[scan.clean],
            }
        )
        customer_bytes = scan.customer_ends - scan.starts - TIME_BYTES
        proven &= customer_bytes <= MAX_CUSTOMER_ID_CHARACTERS
        for values in (timestamp, duration):
            if values.null_count():
                proven &= values.is_not_null().to_numpy()
        if proven.all():
            return records, scan.clean
        clean = scan.clean.copy()
        clean[clean] = proven
        return records.filter(proven), clean

    def _timestamps(self, scan: Scan) -> pl.Series:
        """When each line says it was written; null where its local time never occurs."""
        local = pl.Series(scan.times).cast(RECORD_SCHEMA["timestamp"])
        if self._zone == timestamps.UTC:
            return local
        return pl.select(timestamps.in_range(timestamps.to_utc(pl.lit(local), self._zone))).to_series()


def _status_codes(scan: Scan) -> tuple[npt.NDArray[np.int16], Bools]:
    """The status of each line, and where it is one."""
    digits, fits = pairs(words_at(scan.lines.data, scan.path_ends, "<u4"), b" 000")
    status = digits[:, 1].astype(np.int16) * 10 + digits[:, 3] // 10
    fits &= (status >= MIN_STATUS) & (status <= MAX_STATUS)
    return status, fits


def _durations(scan: Scan, unit: str) -> pl.Series:
    """The duration of each line; null where it is none."""
    starts = scan.status_ends + 1
    values, fits = decimals(scan.tails, scan.ends - starts)
    duration = pl.Series(values / PER_SECOND[unit])
    if fits.all():
        return duration
    odd = np.flatnonzero(~fits)
    text = each_text(scan.lines.data, (starts[odd], scan.ends[odd]))
    return duration.scatter(odd, pl.select(fields.duration(pl.lit(text), unit)).to_series())


def by_rules(options: FormatOptions) -> TextFormat:
    """The format by its rules alone, which explains every reject."""
    return TextFormat(extract, _rules(options), options.max_line_bytes)


def _rules(options: FormatOptions) -> Rules:
    expected = "a real date and time as YYYY-MM-DD HH:MM:SS"
    return Rules(options, reader=timestamps.TimestampReader(options.zone, timestamps.plain, expected))


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


_CLAIMED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})? [^ ]+ [^ ]+ [^ ]+ [^ ]+\Z")

KIND: Final = Kind(
    name=NAME,
    title="date time customer path status duration",
    example="2024-11-06 06:33:33 cust_40 /api/v1/resource1 400 0.316",
    claims=lambda line: _CLAIMED.match(line) is not None,
    open=RequestsFormat,
)
