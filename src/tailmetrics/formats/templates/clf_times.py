"""Times of the common log format, `10/Oct/2024:13:55:36 +0000`, in the bytes of many lines at once."""

from __future__ import annotations

import numpy as np

from tailmetrics.formats.digits import Words, pairs, words_at
from tailmetrics.formats.lines import Bools, Integers
from tailmetrics.formats.scan import DAYS_OF_MONTHS, MONTH_STARTS
from tailmetrics.formats.timestamps import EARLIEST, LATEST

TIME_BYTES = len("10/Oct/2024:13:55:36 +0000")
_LAYOUT = np.dtype(  # parts that overlap
    {
        "names": ["date", "clock", "day", "month", "year", "hour", "minute", "second", "sign", "offset"],
        "formats": ["<u8", "<u8", "<u4", "<u4", "<u4", "<u4", "<u4", "<u4", "u1", "<u4"],
        "offsets": [0, 8, 0, 2, 7, 11, 14, 17, 21, 22],
        "itemsize": TIME_BYTES,
    }
)
_OF_MINUTE = ("date", "clock", "minute", "sign", "offset")  # all but the second
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = np.array([int.from_bytes(b"/" + name.encode(), "little") for name in _NAMES], dtype=np.uint32)
_BY_WORD = np.argsort(_MONTHS)
_THREE_BYTES = np.uint32(0xFFFFFF)
_SLASH = np.uint32(ord("/") << 24)
_PLUS, _MINUS = ord("+"), ord("-")
_MICROSECONDS = 1_000_000
_FIRST, _LAST = (int(np.datetime64(time, "us").astype(np.int64)) for time in (EARLIEST, LATEST))


def clf_times(text: bytes, positions: Integers) -> tuple[Integers, Bools]:
    """UTC in microseconds since 1970 of the time at each position, and where there is a real one."""
    times = words_at(text, positions, _LAYOUT)
    # Most logs are in the order of time, and many of their lines are of one minute.
    is_first = np.zeros(len(times), dtype=np.bool_)
    is_first[:1] = True
    for name in _OF_MINUTE:
        column = times[name]
        is_first[1:] |= column[1:] != column[:-1]
    firsts = np.flatnonzero(is_first)
    minute, real = _minutes(times[firsts])
    if len(firsts) < len(times):
        lines_of_minute = np.diff(firsts, append=len(times))
        minute, real = np.repeat(minute, lines_of_minute), np.repeat(real, lines_of_minute)
    digits, fits = pairs(times["second"].copy(), b":00 ")
    second = digits[:, 1]
    fits &= real
    fits &= second < 60
    return minute + second * np.int64(_MICROSECONDS), fits


def _minutes(times: Words) -> tuple[Integers, Bools]:
    """UTC of the minutes of the times, and which of these are real."""
    # The two characters of a day are followed by a slash and a letter, which the month tells.
    day, fits = pairs(times["day"] & _THREE_BYTES | _SLASH, b"00//")
    year, fits_year = pairs(times["year"].copy(), b"0000")
    hour, fits_hour = pairs(times["hour"].copy(), b":00:")
    minute, fits_minute = pairs(times["minute"].copy(), b":00:")
    offset, fits_offset = pairs(times["offset"].copy(), b"0000")
    fits &= fits_year & fits_hour & fits_minute & fits_offset
    month = _BY_WORD.take(np.searchsorted(_MONTHS[_BY_WORD], times["month"]), mode="clip")
    fits &= _MONTHS[month] == times["month"]
    fits &= (hour[:, 1] < 24) & (minute[:, 1] < 60) & (offset[:, 0] < 24) & (offset[:, 2] < 60)
    is_behind = times["sign"] == _MINUS
    fits &= is_behind | (times["sign"] == _PLUS)
    index = (year[:, 0].astype(np.int64) * 100 + year[:, 2]) * 12 + month
    index[~fits] = 0
    fits &= index >= 12  # there is no year 0
    fits &= (day[:, 0] > 0) & (day[:, 0] <= DAYS_OF_MONTHS.take(index))
    days = MONTH_STARTS.take(index).astype(np.int64) + day[:, 0] - 1
    ahead = (offset[:, 0].astype(np.int64) * 60 + offset[:, 2]) * np.where(is_behind, -1, 1)
    utc = (((days * 24 + hour[:, 1]) * 60 + minute[:, 1]) - ahead) * (60 * _MICROSECONDS)
    fits &= (utc >= _FIRST) & (utc <= _LAST)
    return utc, fits
