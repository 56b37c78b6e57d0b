"""Times of the common log format, `10/Oct/2024:13:55:36 +0000`, in the bytes of many lines at once."""

from __future__ import annotations

import numpy as np
import polars as pl

from tailmetrics.formats.digits import Words, pairs, words_at
from tailmetrics.formats.lines import Bools, Integers
from tailmetrics.formats.timestamps import UTC, reader

TIME_BYTES = len("10/Oct/2024:13:55:36 +0000")
_LAYOUT = np.dtype(
    {
        "names": ["date", "clock", "minute", "second", "zone", "offset"],
        "formats": ["<u8", "<u8", "u1", "<u4", "<u4", "<u2"],
        "offsets": [0, 8, 16, len("10/Oct/2024:13:55"), 20, 24],
        "itemsize": TIME_BYTES,
    }
)
_BUT_SECONDS = ("date", "clock", "minute", "zone", "offset")
_MICROSECONDS = 1_000_000
_READER = reader(UTC, "")  # never asked for a time without a zone


def clf_times(text: bytes, positions: Integers) -> tuple[Integers, Bools]:
    """UTC in microseconds since 1970 of the time that begins at each position, and where there is a real one."""
    times = words_at(text, positions, _LAYOUT)
    # Most logs are in the order of time, and many of their lines are of one minute.
    is_first = np.zeros(len(times), dtype=np.bool_)
    is_first[:1] = True
    for name in _BUT_SECONDS:
        column = times[name].copy()
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
    """The minutes in which the times are, and which of these are real."""
    texts = [time.decode("ascii", "replace") for time in times.view(f"S{TIME_BYTES}").tolist()]
    micros = _READER.read(pl.Series(texts, dtype=pl.String())).to_physical()
    whole = micros.fill_null(0).to_numpy()
    return whole - whole % (60 * _MICROSECONDS), micros.is_not_null().to_numpy()
