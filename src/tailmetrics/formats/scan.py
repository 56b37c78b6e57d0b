"""A look at the bytes of `requests` lines: which of them may be clean, and where their fields are.

A line may be clean when it has five single spaces and no other control character, is UTF-8, and begins with a
real date and time. What is not clean may be right all the same.

The spaces are looked for where they belong, and then all are counted: no line has others when all lines
together have just those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tailmetrics.formats.digits import WORD, Words, pairs, until_any, words_at
from tailmetrics.formats.lines import DELETE, Bools, Bytes, Integers, Lines, odd_characters

TIME_BYTES = len("2024-10-01 00:00:00 ")
_SPACE = 0x20
_HEAD = np.dtype(  # the first bytes of a line: its time, and with what the customer begins
    {
        "names": ["month", "minute", "second", "customer"],
        "formats": ["<u8", "<u8", "<u4", "<u8"],
        "offsets": [0, len("2024-10-"), len("2024-10-01 00:00"), TIME_BYTES],
    }
)
_STATUS_BYTES = len(" 200")
_LONGEST_FIELD_WORDS = 128  # a longer customer or duration is left to the rules
_MARKS_OF_LINE = len("     \n")
_SHORTEST_LINE_BYTES = len("2024-10-01 00:00:00 c p 200 1")

_MONTHS_OF_YEARS = 10_000 * 12
MONTH_STARTS = (  # in days since 1970, of every month from 0000-01 on
    (np.arange(_MONTHS_OF_YEARS + 1) - 1970 * 12)
    .astype("datetime64[M]")
    .astype("datetime64[D]")
    .astype(np.int32)
)
DAYS_OF_MONTHS = np.diff(MONTH_STARTS).astype(np.uint8)
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Scan:
    """Lines, which of them may be clean, and of these, in order, where the fields are.

    `starts` and `ends` are those of the lines, the others the positions of the spaces behind three fields,
    all in `lines.data`. Between `path_ends` and `status_ends` is a status of three signs, of which whoever
    reads it sees whether they are digits. `times` are microseconds since 1970 of the local clock, `tails` the
    last eight bytes of each line.
    """

    lines: Lines
    clean: Bools
    times: Integers
    starts: Integers
    customer_ends: Integers
    path_ends: Integers
    status_ends: Integers
    ends: Integers
    tails: Words


def scan_lines(lines: Lines, max_line_bytes: int) -> Scan:
    """Look at each line."""
    whole, array = lines.data, lines.array
    feeds = np.append(lines.starts[1:], len(whole)) - 1
    lengths = lines.lengths
    clean = (lengths >= _SHORTEST_LINE_BYTES) & (lengths <= max_line_bytes)
    if array.max(initial=0) >= DELETE:
        exclude(clean, lines, np.flatnonzero(array == DELETE))
        exclude(clean, lines, odd_characters(whole, array))
    chosen: Bools | slice = slice(None) if clean.all() else clean
    starts, ends = lines.starts[chosen], lines.ends[chosen]
    heads = words_at(whole, starts, _HEAD)
    times, real = times_of(heads)
    customers = starts + TIME_BYTES
    customer_ends = customers + bytes_until(whole, customers, heads["customer"].copy())
    tails = words_at(whole, ends - WORD, "<u8")
    status_ends = ends - 1 - bytes_until(whole, ends, tails, backwards=True)
    path_ends = status_ends - _STATUS_BYTES
    real &= (customers < customer_ends) & (customer_ends + 1 < path_ends)
    # Else it is no end of a path, and may be within a character.
    real &= array.take(path_ends, mode="clip") == _SPACE
    if not (real.all() and clean.all() and _has_no_other_marks(array, lines, feeds)):
        marks = np.add.reduceat((array <= _SPACE).view(np.uint8), lines.starts, dtype=np.int32)
        real &= (marks == _MARKS_OF_LINE + (lines.ends < feeds))[chosen]
    found: tuple[Integers | Words, ...]
    found = (times, starts, customer_ends, path_ends, status_ends, ends, tails)
    if not real.all():
        clean[chosen] = real
        found = tuple(each[real] for each in found)
    return Scan(lines, clean, *found)


def _has_no_other_marks(array: Bytes, lines: Lines, feeds: Integers) -> bool:
    """Whether lines that have all spaces of a clean line have no other space or C0 control character."""
    returns = np.count_nonzero(lines.ends < feeds)
    return bool(np.count_nonzero(array <= _SPACE) == _MARKS_OF_LINE * len(lines) + returns)


def bytes_until(
    text: bytes, positions: Integers, words: Words, stops: bytes = b" ", *, backwards: bool = False
) -> Integers:
    """How many bytes are between each position and the next of the stops, or the last one before it.

    0 where none is near, too. `words` are the eight bytes that lie there.
    """
    found = until_any(words.byteswap() if backwards else words, stops)
    rest = np.flatnonzero(found == WORD)
    for passed in range(WORD, _LONGEST_FIELD_WORDS * WORD, WORD):
        if not len(rest):
            break
        begins = positions[rest] + (-passed - WORD if backwards else passed)
        is_inside = (begins >= 0) & (begins <= len(text) - WORD)
        if not is_inside.all():
            found[rest[~is_inside]] = 0
            rest, begins = rest[is_inside], begins[is_inside]
        further = words_at(text, begins, "<u8")
        more = until_any(further.byteswap() if backwards else further, stops)
        found[rest] += more
        rest = rest[more == WORD]
    found[rest] = 0
    return found


def exclude(clean: Bools, lines: Lines, positions: Integers) -> None:
    """Mark the lines that have a byte at one of the positions as not clean."""
    clean[np.searchsorted(lines.starts, positions, side="right") - 1] = False


def times_of(heads: Words) -> tuple[Integers, Bools]:
    """Local microseconds since 1970 of texts that begin with a date and time, and where these are real.

    `heads` has of each the words `month`, `minute` and `second`, in which all separators are as
    in `requests`.
    """
    months, minutes = heads["month"].copy(), heads["minute"].copy()
    # Most logs are in the order of time, and many of their lines are of one minute.
    is_first = np.ones(len(heads), dtype=np.bool_)
    is_first[1:] = (months[1:] != months[:-1]) | (minutes[1:] != minutes[:-1])
    firsts = np.flatnonzero(is_first)
    if len(firsts) < len(heads):
        lines_of_minute = np.diff(firsts, append=len(heads))
        of_minutes, are_real = minutes_of(months[firsts], minutes[firsts])
        minute, is_real = np.repeat(of_minutes, lines_of_minute), np.repeat(are_real, lines_of_minute)
    else:
        minute, is_real = minutes_of(months, minutes)
    digits, fits = pairs(heads["second"].copy(), b":00 ")
    second = digits[:, 1]
    fits &= is_real
    fits &= second < 60
    return (minute * 60 + second) * _MICROSECONDS, fits


def minutes_of(months: Words, minutes: Words) -> tuple[Integers, Bools]:
    """Minutes since 1970 of `YYYY-MM-` and `DD HH:MM`, and where these are real."""
    year_month, fits = pairs(months, b"0000-00-")
    day_hour_minute, fits_too = pairs(minutes, b"00 00:00")
    fits &= fits_too
    month = year_month[:, 5]
    fits &= (month >= 1) & (month <= 12)
    index = year_month[:, 0].astype(np.int32) * 1200 + year_month[:, 2].astype(np.int32) * 12 + month - 1
    index[~fits] = 0
    fits &= index >= 12  # there is no year 0
    day, hour, minute = day_hour_minute[:, 0], day_hour_minute[:, 3], day_hour_minute[:, 6]
    fits &= (day >= 1) & (day <= DAYS_OF_MONTHS.take(index))
    fits &= (hour < 24) & (minute < 60)
    days = MONTH_STARTS.take(index).astype(np.int64) + day - 1
    return (days * 24 + hour) * 60 + minute, fits
