"""Timestamps in ISO 8601 by their bytes, of many texts at once; any other is left to the rules."""

from __future__ import annotations

from typing import Final

import numpy as np

from tailmetrics.formats.digits import WORD, Words, integers, pairs, words_at
from tailmetrics.formats.lines import Bools, Integers
from tailmetrics.formats.scan import times_of

_CLOCK_BYTES: Final = len("2024-10-01T00:00:00")
_OFFSET_BYTES = len("+00:00")
_HEAD = np.dtype(
    {
        "names": ["month", "minute", "second"],
        "formats": ["<u8", "<u8", "<u4"],
        "offsets": [0, len("2024-10-"), len("2024-10-01T00:00")],
    }
)
HEAD_BYTES: Final = _HEAD.itemsize
_T_SHIFT, _T_BYTE, _SPACE_AT_T = np.uint64(16), np.uint64(0xFF << 16), np.uint64(0x20 << 16)
_FOURTH_BYTE, _SPACE_BEHIND = np.uint32(0xFF << 24), np.uint32(0x20 << 24)
_TO_LAST_BYTE, _TO_SIGN, _BYTE = np.uint64(56), np.uint64(16), np.uint64(0xFF)
_BEFORE_OFFSET, _PLUS = np.uint64(0xFFFFFF), np.uint64(int.from_bytes(b"  +", "little"))
_MICROSECONDS = 1_000_000
_KEPT_DIGITS, _MOST_FRACTION_DIGITS = 6, 9
_POWERS = 10 ** np.arange(_KEPT_DIGITS + 1)


def iso_times(data: bytes, starts: Integers, ends: Integers) -> tuple[Integers, Bools, Bools]:
    """Microseconds since 1970, whether they are UTC and not local, and where there are such times.

    Text i is `data[starts[i]:ends[i]]`. Before the end of each text are at least eight bytes of `data`, and
    behind its begin HEAD_BYTES.
    """
    heads = words_at(data, starts, _HEAD)
    separator = (heads["minute"] & _T_BYTE) >> _T_SHIFT
    fits = (separator == ord("T")) | (separator == ord(" ")) | (separator == ord("t"))
    heads["minute"] = (heads["minute"] & ~_T_BYTE) | _SPACE_AT_T
    heads["second"] = (heads["second"] & ~_FOURTH_BYTE) | _SPACE_BEHIND
    times, are_real = times_of(heads)
    begins = starts + _CLOCK_BYTES
    fits &= are_real & (begins <= ends)
    zone_bytes, ahead = _zones(words_at(data, ends - WORD, "<u8"), ends - begins)
    fraction_ends = ends - zone_bytes
    has_fraction = np.flatnonzero(fits & (begins != fraction_ends))
    if len(has_fraction):
        fraction, is_fraction = _fractions(data, begins[has_fraction], fraction_ends[has_fraction])
        times[has_fraction] += fraction
        fits[has_fraction] = is_fraction
    return times - ahead, zone_bytes > 0, fits


def _zones(tails: Words, lengths: Integers) -> tuple[Integers, Integers | int]:
    """How many of the last bytes tell the zone, and the microseconds that it is ahead of UTC."""
    last = tails >> _TO_LAST_BYTE
    zone_bytes = (((last == ord("Z")) | (last == ord("z"))) & (lengths > 0)).astype(np.int64)
    if zone_bytes.all():
        return zone_bytes, 0
    sign = (tails >> _TO_SIGN) & _BYTE
    digits, fits = pairs((tails & ~_BEFORE_OFFSET) | _PLUS, b"  +00:00")
    hours, minutes = digits[:, 3].astype(np.int64), digits[:, 6]
    fits &= (hours < 24) & (minutes < 60) & ((sign == ord("+")) | (sign == ord("-")))
    fits &= lengths >= _OFFSET_BYTES
    ahead = (hours * 60 + minutes) * (60 * _MICROSECONDS)
    ahead = np.where(sign == ord("-"), -ahead, ahead)
    return np.where(fits, _OFFSET_BYTES, zone_bytes), np.where(fits, ahead, 0)


def _fractions(data: bytes, starts: Integers, ends: Integers) -> tuple[Integers, Bools]:
    """Microseconds of a fraction, cut, and where there is one: a dot or a comma and one to nine digits."""
    digits = ends - starts - 1
    mark = np.frombuffer(data, dtype=np.uint8)[starts]
    fits = ((mark == ord(".")) | (mark == ord(","))) & (digits <= _MOST_FRACTION_DIGITS)
    kept = np.minimum(digits, _KEPT_DIGITS)
    number, are_digits = integers(words_at(data, starts + 1 + kept - WORD, "<u8"), kept)
    fits &= are_digits
    longer = np.flatnonzero(fits & (digits > kept))
    if len(longer):
        cut = digits[longer] - _KEPT_DIGITS
        fits[longer] = integers(words_at(data, ends[longer] - WORD, "<u8"), cut)[1]
    return number.astype(np.int64) * _POWERS[np.clip(_KEPT_DIGITS - kept, 0, _KEPT_DIGITS)], fits
