"""A look at the bytes of `requests` lines: which of them may be clean, and where their fields are.

A line may be clean when it has five single spaces and no other control character, is UTF-8, and begins with a
real date and time. What is not clean may be right all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tailmetrics.formats.digits import pairs
from tailmetrics.formats.lines import LF, Bools, Bytes, Integers, Lines, complete, lines_at

TIME_BYTES = len("2024-10-01 00:00:00 ")
_SPACE = 0x20
_DELETE = 0x7F
_C1_LEAD, _LAST_C1 = 0xC2, 0x9F  # U+0080 to U+009F are C2 80 to C2 9F in UTF-8
_SPACES_OF_LINE = 5
_SHORTEST_LINE_BYTES = len("2024-10-01 00:00:00 c p 200 1")

_MONTHS_OF_YEARS = 10_000 * 12
_MONTH_STARTS = (  # in days since 1970, of every month from 0000-01 on
    (np.arange(_MONTHS_OF_YEARS + 1) - 1970 * 12)
    .astype("datetime64[M]")
    .astype("datetime64[D]")
    .astype(np.int32)
)
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Scan:
    """Lines, which of them may be clean, and of these, in order, where the fields are.

    `starts` and `ends` are those of the lines, the others the positions of the spaces behind three fields,
    all in `lines.data`. `times` are microseconds since 1970 of the local clock.
    """

    lines: Lines
    clean: Bools
    times: Integers
    starts: Integers
    customer_ends: Integers
    path_ends: Integers
    status_ends: Integers
    ends: Integers


def scan_lines(data: bytes, offset: int, max_line_bytes: int) -> Scan:
    """Find the lines of `data`, which begins at byte `offset` of its source, and look at each."""
    whole, skipped = complete(data, offset)
    array = np.frombuffer(whole, dtype=np.uint8)
    marks = np.flatnonzero(array <= _SPACE)  # spaces and C0 control characters, LF among them
    last = np.flatnonzero(array[marks] == LF)
    feeds = marks[last]
    lines = lines_at(whole, array, feeds, offset, skipped)
    lengths = lines.lengths
    clean = (lengths >= _SHORTEST_LINE_BYTES) & (lengths <= max_line_bytes)
    marks_of_line = np.diff(last, prepend=-1)
    last -= lines.ends < feeds  # CR is a mark of the line's end too
    marks_of_line -= lines.ends < feeds
    clean &= marks_of_line == _SPACES_OF_LINE + 1
    if _DELETE in whole:
        _exclude(clean, lines, np.flatnonzero(array == _DELETE))
    if not whole.isascii():
        _exclude(clean, lines, _odd_characters(whole, array))
    chosen: Bools | slice = slice(None) if clean.all() else clean
    starts, last = lines.starts[chosen], last[chosen]
    # The first two spaces are those of the time, wherever that is real.
    times, real = _times(whole, starts)
    customer_ends, path_ends, status_ends = (marks[last - before] for before in (3, 2, 1))
    for spaces in (customer_ends, path_ends, status_ends):
        real &= array[spaces] == _SPACE
    found: tuple[Integers, ...] = (times, starts, customer_ends, path_ends, status_ends, lines.ends[chosen])
    if not real.all():
        clean[chosen] = real
        found = tuple(each[real] for each in found)
    return Scan(lines, clean, *found)


def _exclude(clean: Bools, lines: Lines, positions: Integers) -> None:
    """Mark the lines that have a byte at one of the positions as not clean."""
    clean[np.searchsorted(lines.starts, positions, side="right") - 1] = False


def _odd_characters(whole: bytes, array: Bytes) -> Integers:
    """Where C1 control characters begin, or all that is not ASCII when the whole is not UTF-8."""
    try:
        whole.decode()
    except UnicodeDecodeError:
        return np.flatnonzero(array > _DELETE)
    leads = np.flatnonzero(array[:-1] == _C1_LEAD)
    return leads[array[leads + 1] <= _LAST_C1]


def _times(whole: bytes, starts: Integers) -> tuple[Integers, Bools]:
    """Local microseconds since 1970 of lines that begin with a date and time, and where these are real."""
    year_month, fits = pairs(whole, starts, "<u8", b"0000-00-")
    day_hour_minute, fits_too = pairs(whole, starts + 8, "<u8", b"00 00:00")
    second, fits_as_well = pairs(whole, starts + 16, "<u4", b":00 ")
    fits &= fits_too
    fits &= fits_as_well

    month = year_month[:, 5]
    fits &= (month >= 1) & (month <= 12)
    index = year_month[:, 0].astype(np.int32) * 1200 + year_month[:, 2].astype(np.int32) * 12 + month - 1
    index[~fits] = 0
    fits &= index >= 12  # there is no year 0
    first_of_month = _MONTH_STARTS[index]
    day, hour, minute = day_hour_minute[:, 0], day_hour_minute[:, 3], day_hour_minute[:, 6]
    fits &= (day >= 1) & (day <= _MONTH_STARTS[index + 1] - first_of_month)
    fits &= (hour < 24) & (minute < 60) & (second[:, 1] < 60)
    days = first_of_month.astype(np.int64) + day - 1
    return (((days * 24 + hour) * 60 + minute) * 60 + second[:, 1]) * _MICROSECONDS, fits
