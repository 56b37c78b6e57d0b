"""A look at the bytes of `requests` lines: which of them may be clean, and the times of these.

A line may be clean when it has five single spaces and no other control character, is UTF-8, and begins with a
real date and time. What is not clean may be right all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tailmetrics.formats.lines import CR, LF, Bools, Bytes, Integers, Lines, complete, lines_at

SPACE, ZERO = 0x20, 0x30
TIME_BYTES = len("2024-10-01 00:00:00 ")
_DELETE = 0x7F
_C1_LEAD, _LAST_C1 = 0xC2, 0x9F  # U+0080 to U+009F are C2 80 to C2 9F in UTF-8
_SPACES_OF_LINE = 5
_SHORTEST_LINE_BYTES = len("2024-10-01 00:00:00 c p 200 1")
_BLOCK_BYTES = 1 << 17  # of bytes this many are in the processor's cache while they are looked at again

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
    """Lines, which of them may be clean, and of these, in order, the time.

    `times` are microseconds since 1970 of the local clock. `counted` is whether the spaces of each line were
    counted. If not, all lines may be clean, and have as many spaces together as clean ones have: when each
    has enough of them, none has too many.
    """

    lines: Lines
    clean: Bools
    times: Integers
    counted: bool


def scan_lines(data: bytes, offset: int, max_line_bytes: int) -> Scan:
    """Find the lines of `data`, which begins at byte `offset` of its source, and look at each."""
    whole, skipped = complete(data, offset)
    array = np.frombuffer(whole, dtype=np.uint8)
    feeds, spaces, controls = _count(array)
    lines = lines_at(whole, array, feeds, offset, skipped)
    lengths = lines.lengths
    clean = (lengths >= _SHORTEST_LINE_BYTES) & (lengths <= max_line_bytes)
    if controls != len(feeds) + np.count_nonzero(lines.ends < feeds):
        _exclude(clean, lines, _controls(array))
    if _DELETE in whole:
        _exclude(clean, lines, np.flatnonzero(array == _DELETE))
    if not whole.isascii():
        _exclude(clean, lines, _odd_characters(whole, array))
    times = feeds[:0]
    if clean.any():
        times, real = _times(whole, lines.starts[clean])
        if not real.all():
            clean[np.flatnonzero(clean)[~real]] = False
            times = times[real]
    found = Scan(lines, clean, times, counted=False)
    return found if clean.all() and spaces == _SPACES_OF_LINE * len(lines) else count_spaces(found)


def count_spaces(scan: Scan) -> Scan:
    """The same, but with the spaces of each line counted."""
    enough = has_its_spaces(scan.lines)
    return Scan(scan.lines, scan.clean & enough, scan.times[enough[scan.clean]], counted=True)


def has_its_spaces(lines: Lines) -> Bools:
    """Which lines have as many spaces as a clean line has."""
    spaces = np.flatnonzero(lines.array == SPACE)
    before = np.searchsorted(spaces, np.append(lines.starts, len(lines.array)))
    return np.asarray(np.diff(before) == _SPACES_OF_LINE)


def _count(array: Bytes) -> tuple[Integers, int, int]:
    """Where LF are, how many spaces there are, and how many C0 control characters (LF among them)."""
    feeds = [np.zeros(0, dtype=np.int64)]
    spaces = controls = 0
    for begin in range(0, len(array), _BLOCK_BYTES):
        block = array[begin : begin + _BLOCK_BYTES]
        feeds.append(np.flatnonzero(block == LF) + begin)
        spaces += int(np.count_nonzero(block == SPACE))
        controls += int(np.count_nonzero(block < SPACE))
    return np.concatenate(feeds), spaces, controls


def _exclude(clean: Bools, lines: Lines, positions: Integers) -> None:
    """Mark the lines that have a byte at one of the positions as not clean."""
    clean[np.searchsorted(lines.starts, positions, side="right") - 1] = False


def _controls(array: Bytes) -> Integers:
    """Where C0 control characters are that end no line."""
    found = np.flatnonzero(array < SPACE)
    kinds = array[found]
    ends = kinds == LF
    ends[:-1] |= (kinds[:-1] == CR) & (array[found[:-1] + 1] == LF)
    return np.asarray(found[~ends])


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
    is_digit = [byte == ZERO for byte in layout]
    # What is left of a digit is below 10: it has no high bits, nor gets any when 6 is added.
    six = kind(int.from_bytes(bytes(6 * digit for digit in is_digit), "little"))
    high = kind(int.from_bytes(bytes(0xF0 if digit else 0xFF for digit in is_digit), "little"))
    fits = ((digits | (digits + six)) & high) == 0
    ones = digits >> kind(8)
    digits *= kind(10)
    digits += ones
    return digits.view(np.uint8).reshape(-1, size), fits
