"""A look at the bytes of `requests` lines: which of them are clean, and the times of these.

A line is clean when its bytes prove it right but for the values of status and duration: of these it is proven
that one has three bytes and that the other begins with a digit. What is not clean may be right all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tailmetrics.formats.lines import CR, LF, Bools, Bytes, Integers, Lines, complete, lines_at
from tailmetrics.records import MAX_CUSTOMER_ID_CHARACTERS

_SPACE, _ZERO, _DELETE = 0x20, 0x30, 0x7F
_C1_LEAD, _LAST_C1 = 0xC2, 0x9F  # U+0080 to U+009F are C2 80 to C2 9F in UTF-8
_DATE_BYTES, _TIME_BYTES, _STATUS_BYTES = 10, 8, 3
_SEPARATORS = 5
_SHORTEST_LINE_BYTES = len("2024-10-01 00:00:00 c p 200 1\n")

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
    """Lines, which of them are clean, and of the clean ones (in order) what their bytes say.

    `times` are microseconds since 1970 of the local clock.
    """

    lines: Lines
    clean: Bools
    times: Integers


def scan_lines(data: bytes, offset: int, max_line_bytes: int) -> Scan:
    """Find the lines of `data`, which begins at byte `offset` of its source, and look at each."""
    whole, skipped = complete(data, offset)
    array = np.frombuffer(whole, dtype=np.uint8)
    marks = np.flatnonzero(array <= _SPACE)
    kinds = array[marks]
    feeds = np.flatnonzero(kinds == LF)
    lines = lines_at(whole, array, marks[feeds], offset, skipped)
    nothing = Scan(lines, np.zeros(len(lines), dtype=np.bool_), marks[:0])
    if len(lines) * _SHORTEST_LINE_BYTES > 2 * len(whole) or len(whole) < _SHORTEST_LINE_BYTES:
        return nothing  # most lines are too short to be clean

    firsts = np.zeros(len(lines), dtype=np.int64)
    firsts[1:] = feeds[:-1] + 1
    returned = lines.ends < marks[feeds]
    clean = feeds - firsts - returned == _SEPARATORS
    # Of a line with another number of marks these mean nothing.
    date_end, time_end, customer_end, path_end, status_end = (
        marks[np.minimum(firsts + number, len(marks) - 1)] for number in range(_SEPARATORS)
    )
    clean &= date_end - lines.starts == _DATE_BYTES
    clean &= time_end - date_end == _TIME_BYTES + 1
    clean &= customer_end - time_end > 1
    clean &= customer_end - time_end <= MAX_CUSTOMER_ID_CHARACTERS + 1
    clean &= path_end - customer_end > 1
    clean &= status_end - path_end == _STATUS_BYTES + 1
    clean &= lines.ends - status_end > 1
    clean &= lines.lengths <= max_line_bytes
    _exclude(clean, lines.starts, _odd_bytes(whole, array, marks, kinds))
    if not clean.any():
        return nothing

    times, fits = _times(whole, lines.starts[clean])
    fits &= array[status_end[clean] + 1] - _ZERO < 10
    if not fits.all():
        clean[np.flatnonzero(clean)[~fits]] = False
        times = times[fits]
    return Scan(lines, clean, times)


def _exclude(clean: Bools, starts: Integers, positions: Integers) -> None:
    """Mark the lines that have a byte at one of the positions as not clean."""
    clean[np.searchsorted(starts, positions, side="right") - 1] = False


def _odd_bytes(whole: bytes, array: Bytes, marks: Integers, kinds: Bytes) -> Integers:
    """Where bytes are that a clean line has none of: control characters, and what is not UTF-8."""
    odd = [np.zeros(0, dtype=np.int64)]
    plain = (kinds == _SPACE) | (kinds == LF)
    if np.count_nonzero(plain) < len(kinds):
        plain[:-1] |= (kinds[:-1] == CR) & (kinds[1:] == LF) & (np.diff(marks) == 1)
        odd.append(marks[~plain])
    if _DELETE in whole:
        odd.append(np.flatnonzero(array == _DELETE))
    if not whole.isascii():
        odd.append(_odd_characters(whole, array))
    return np.concatenate(odd)


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
    year_month, fits = _pairs(whole, starts, "<u8", b"0000-00-")
    day_hour_minute, fits_too = _pairs(whole, starts + 8, "<u8", b"00 00:00")
    second, fits_as_well = _pairs(whole, starts + 16, "<u4", b":00 ")
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


def _pairs(whole: bytes, positions: Integers, word: str, layout: bytes) -> tuple[Bytes, Bools]:
    """In byte i of each word at `positions` the number of two digits that begins there.

    And where the words have digits just where `layout` has a 0, and the layout's own bytes elsewhere.
    """
    size = len(layout)
    kind = np.dtype(word).type
    every = np.ndarray((len(whole) - size + 1,), dtype=word, buffer=whole, strides=(1,))
    digits = every[positions]
    digits ^= kind(int.from_bytes(layout, "little"))
    is_digit = [byte == _ZERO for byte in layout]
    # What is left of a digit is below 10: it has no high bits, nor gets any when 6 is added.
    six = kind(int.from_bytes(bytes(6 * digit for digit in is_digit), "little"))
    high = kind(int.from_bytes(bytes(0xF0 if digit else 0xFF for digit in is_digit), "little"))
    fits = ((digits | (digits + six)) & high) == 0
    ones = digits >> kind(8)
    digits *= kind(10)
    digits += ones
    return digits.view(np.uint8).reshape(-1, size), fits
