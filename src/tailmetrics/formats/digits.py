"""Numbers in the bytes of many lines at once: eight characters are read as one word, and reckoned with in it.

A word has its first character in its lowest byte. What is left of a digit when `0` is taken away is below 10:
it has no high bits, nor gets any when 6 is added.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tailmetrics.formats.lines import Bools, Bytes, Integers

Doubles = npt.NDArray[np.float64]
Words = npt.NDArray[Any]  # of unsigned integers, four or eight bytes each

_ZERO, _DOT = 0x30, 0x2E
WORD = 8  # the longest decimal, in characters
_ONES = 0x0101010101010101
_EVERY_BYTE = np.uint64(_ONES)
_TOP_BITS = np.uint64(0x80 * _ONES)
_ZEROS = np.uint64(_ZERO * _ONES)
_SIXES = np.uint64(6 * _ONES)
_HIGH_BITS = np.uint64(0xF0 * _ONES)
_DOT_BIT = np.uint64(0x10 * _ONES)  # which a dot has, and no digit
_LAST_BYTES = np.array(
    [(1 << 64) - (1 << 8 * (WORD - length)) for length in range(WORD + 1)], dtype=np.uint64
)
_POWERS = 10.0 ** np.arange(WORD - 1, -1, -1)  # by the byte in which the dot is
_PAIRS = np.uint64(0x000000FF000000FF)
_OF_FIRST_PAIRS = np.uint64((1_000_000 << 32) + 100)
_OF_LAST_PAIRS = np.uint64((10_000 << 32) + 1)
_ONE_BYTE, _TWO_BYTES, _FOUR_BYTES, _FOUR_BITS = (np.uint64(bits) for bits in (8, 16, 32, 4))
_TEN, _ALL, _ONE = np.uint64(10), np.uint64(0xFF), np.uint64(1)


def words_at(text: bytes, positions: Integers, kind: npt.DTypeLike) -> Words:
    """The word that begins at each position, or the fields when `kind` is a layout of such.

    NumPy copies the bytes of many fields in the time of a single word.
    """
    layout = np.dtype(kind)
    size = layout.itemsize
    rows = np.ndarray((max(0, len(text) - size + 1),), dtype=f"V{size}", buffer=text, strides=(1,))
    return rows[positions].view(layout)


def marks_of(words: Words, stops: bytes) -> Words:
    """Words whose lowest bit is in the byte of the first stop in each word; 0 without one.

    Above it bytes may be marked that are none.
    """
    found = np.zeros((), dtype=np.uint64)
    for stop in stops:
        others = words ^ np.uint64(stop * _ONES)
        of_stop = others - _EVERY_BYTE
        of_stop &= np.invert(others, out=others)
        found = found | of_stop if found.ndim else of_stop
    found &= _TOP_BITS
    return found


def until_any(words: Words, stops: bytes) -> Integers:
    """How many bytes of each word, which has eight, are below the first of the stops; eight without one."""
    found = marks_of(words, stops)
    below = found - _ONE
    below &= np.invert(found, out=found)
    counts: Bytes = np.bitwise_count(below)
    return (counts >> 3).astype(np.int64)


def pairs(words: Words, layout: bytes) -> tuple[Bytes, Bools]:
    """In byte i of each word the number of two digits that begins there.

    And where the words have digits just where `layout` has a 0, and the layout's own bytes elsewhere.
    """
    kind = words.dtype.type
    expected, six, high = (kind(mask) for mask in _masks(layout))
    digits = words ^ expected
    fits = ((digits | (digits + six)) & high) == 0
    ones = digits >> kind(8)
    digits *= kind(10)
    digits += ones
    return digits.view(np.uint8).reshape(-1, len(layout)), fits


@lru_cache
def _masks(layout: bytes) -> tuple[int, ...]:
    """The layout as a word, sixes where it has digits, and what no digit has: high bits, elsewhere all."""
    is_digit = [byte == _ZERO for byte in layout]
    sixes = bytes(6 * digit for digit in is_digit)
    bits = bytes(0xF0 if digit else 0xFF for digit in is_digit)
    return tuple(int.from_bytes(each, "little") for each in (layout, sixes, bits))


def last_bytes(words: Words, lengths: Integers) -> Words:
    """The words with zeros for all but their last bytes, so many of each."""
    kept: Words = words & _LAST_BYTES[np.clip(lengths, 0, WORD)]
    return kept


def decimals(words: Words, lengths: Integers) -> tuple[Doubles, Bools]:
    """The values of digits with at most one dot, as the nearest doubles, and where there are such.

    Each is the last bytes of a word, `lengths` of them: what is longer than a word does not fit.
    """
    fits = (lengths > 0) & (lengths <= WORD)
    word = last_bytes(words ^ _ZEROS, lengths)
    dots = (word & _DOT_BIT) >> _FOUR_BITS  # 1 in the byte of a dot
    if (dots == dots[:1]).all():
        dots = dots[:1]  # most logs have one number of decimals, and one word stands for all then
    fits &= (dots & (dots - _ONE)) == 0
    has_dot = np.minimum(dots, _ONE)
    fits &= lengths > has_dot.view(np.int64)
    word ^= dots * np.uint64(_DOT ^ _ZERO)
    fits &= (word & (dots * _ALL)) == 0
    # The digits before the dot move into its place.
    before = dots - has_dot
    digits = ((word & before) << _ONE_BYTE) | (word & ~before)
    numbers, are_digits = _numbers(digits)
    fits &= are_digits
    dot_byte = np.where(has_dot, np.bitwise_count(before) >> 3, WORD - 1)
    return numbers.astype(np.float64) / _POWERS[dot_byte], fits


def integers(words: Words, lengths: Integers) -> tuple[Words, Bools]:
    """The values of digits, and where there are such, in the last bytes of a word, `lengths` of them."""
    numbers, fits = _numbers((words ^ _ZEROS) & _LAST_BYTES[np.clip(lengths, 0, WORD)])
    fits &= (lengths > 0) & (lengths <= WORD)
    return numbers, fits


def _numbers(digits: Words) -> tuple[Words, Bools]:
    """The number that the bytes of each word are the digits of, and where they are digits."""
    fits = ((digits | (digits + _SIXES)) & _HIGH_BITS) == 0
    digits = digits * _TEN + (digits >> _ONE_BYTE)
    numbers = (digits & _PAIRS) * _OF_FIRST_PAIRS + ((digits >> _TWO_BYTES) & _PAIRS) * _OF_LAST_PAIRS
    numbers >>= _FOUR_BYTES
    return numbers, fits
