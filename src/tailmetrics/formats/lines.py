"""Bytes into lines: where each begins, its text, and which lines no format can read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LF, CR = 10, 13
DELETE = 0x7F
_SPACE = 0x20
_C1_LEAD, _LAST_C1 = 0xC2, 0x9F  # U+0080 to U+009F are C2 80 to C2 9F in UTF-8

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines in `data`, the last one ended too; `array` is a view of it.

    Line i without its end is `data[starts[i]:ends[i]]`, and it begins at byte `offsets[i]` of its source.
    `times` are when the lines were written, as text, where what they were wrapped in tells; `told` has a
    column for each field of LOG_CUSTOMER that is told by what carried them, and a row for each line.
    """

    data: bytes
    array: Bytes
    starts: Integers
    ends: Integers
    offsets: Integers
    times: pl.Series | None = None
    told: pl.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> Integers:
        """Bytes of each line without its end."""
        return self.ends - self.starts

    def only(self, chosen: Bools) -> Lines:
        """The lines for which `chosen` is true."""
        bounds = np.append(self.starts, len(self.data))
        edges = bounds[np.flatnonzero(np.diff(chosen, prepend=False, append=False))].tolist()
        runs = zip(edges[::2], edges[1::2], strict=True)
        data = b"".join([self.data[begin:end] for begin, end in runs])
        starts = np.zeros(int(np.count_nonzero(chosen)), dtype=np.int64)
        np.cumsum(np.diff(bounds)[chosen][:-1], out=starts[1:])
        ends = starts + self.lengths[chosen]
        times = None if self.times is None else self.times.filter(pl.Series(chosen))
        told = None if self.told is None else self.told.filter(pl.Series(chosen))
        array = np.frombuffer(data, dtype=np.uint8)
        return Lines(data, array, starts, ends, self.offsets[chosen], times, told)

    def part(self, first: int, count: int) -> Lines:
        """`count` lines from line `first` on."""
        begin = int(self.starts[first])
        last = first + count
        end = int(self.starts[last]) if last < len(self) else len(self.data)
        chosen = slice(first, last)
        return Lines(
            self.data[begin:end],
            self.array[begin:end],
            self.starts[chosen] - begin,
            self.ends[chosen] - begin,
            self.offsets[chosen],
            None if self.times is None else self.times[chosen],
            None if self.told is None else self.told[chosen],
        )


def split(data: bytes, offset: int) -> Lines:
    """Find the lines of `data`, which begins at byte `offset` of its source."""
    whole, skipped = complete(data, offset)
    array = np.frombuffer(whole, dtype=np.uint8)
    return lines_at(whole, array, feeds_in(array), offset, skipped)


def lines_of(texts: pl.Series) -> Lines:
    """Texts without a line feed as lines."""
    return split((texts.str.join("\n").item() + "\n").encode() if len(texts) else b"", 1)


def feeds_in(array: Bytes) -> Integers:
    """Where the LF are; eight bytes are passed over at a time, as most lines are long."""
    is_feed = array == LF
    eights = is_feed[: len(array) & ~7].view(np.uint64)
    found = np.flatnonzero(eights != 0)
    words = eights[found]
    if (words & (words - np.uint64(1))).any():
        return np.flatnonzero(is_feed)  # some have two
    before = np.bitwise_count(words - np.uint64(1)) >> 3
    tail = np.flatnonzero(is_feed[len(eights) * 8 :]) + len(eights) * 8
    return np.concatenate((found * 8 + before, tail))


def complete(data: bytes, offset: int) -> tuple[bytes, int]:
    """The lines of `data`, the last one ended too, without a byte order mark, and the length of that mark."""
    skipped = len(BYTE_ORDER_MARK) if offset == 0 and data.startswith(BYTE_ORDER_MARK) else 0
    whole = data[skipped:]
    if data and not whole.endswith(b"\n"):
        whole += b"\n"
    return whole, skipped


def lines_at(whole: bytes, array: Bytes, feeds: Integers, offset: int, skipped: int) -> Lines:
    """The lines of what `complete` gave, whose LF are at `feeds`."""
    starts = np.zeros(len(feeds), dtype=np.int64)
    starts[1:] = feeds[:-1] + 1
    ends = feeds
    if CR in whole:
        ends = feeds - ((array[feeds - 1] == CR) & (feeds > starts))
    offsets = starts + (offset + skipped)
    offsets[:1] = offset
    return Lines(whole, array, starts, ends, offsets)


def odd_lines(lines: Lines) -> Bools:
    """Which lines have a control character, or a byte that is no ASCII while not all is UTF-8."""
    array, odd = lines.array, np.zeros(len(lines), dtype=np.bool_)
    positions = []
    is_control = array < _SPACE
    if np.count_nonzero(is_control) > len(lines):
        found = np.flatnonzero(is_control & (array != LF))
        ends = lines.ends[np.searchsorted(lines.starts, found, side="right") - 1]
        positions.append(found[found != ends])  # a CR is part of the line's end
    if array.max(initial=0) >= DELETE:
        positions += [np.flatnonzero(array == DELETE), odd_characters(lines.data, array)]
    for found in positions:
        odd[np.searchsorted(lines.starts, found, side="right") - 1] = True
    return odd


def odd_characters(whole: bytes, array: Bytes) -> Integers:
    """Where C1 control characters begin, or all that is not ASCII when the whole is not UTF-8."""
    try:
        whole.decode()
    except UnicodeDecodeError:
        return np.flatnonzero(array > DELETE)
    leads = np.flatnonzero(array[:-1] == _C1_LEAD)
    return leads[array[leads + 1] <= _LAST_C1]
