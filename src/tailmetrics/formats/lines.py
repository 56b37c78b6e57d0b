"""Bytes into lines: where each begins, its text, and which lines no format can read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LF, CR = 10, 13


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines: line i is `data[starts[i]:ends[i]]` without its end, at `offsets[i]` in the source (bytes).

    `data` ends with LF; `array` is a view of it.
    """

    data: bytes
    array: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Bytes of each line without its end."""
        return self.ends - self.starts

    def only(self, chosen: npt.NDArray[np.bool_]) -> Lines:
        """The lines for which `chosen` is true."""
        lengths = np.diff(np.append(self.starts, len(self.data)))
        array = self.array[np.repeat(chosen, lengths)]
        starts = np.zeros(int(np.count_nonzero(chosen)), dtype=np.int64)
        np.cumsum(lengths[chosen][:-1], out=starts[1:])
        ends = starts + self.lengths[chosen]
        return Lines(array.tobytes(), array, starts, ends, self.offsets[chosen])

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
        )


def split(data: bytes, offset: int) -> Lines:
    """Find the lines of `data`, which begins at byte `offset` of its source."""
    whole = data
    skipped = 0
    if offset == 0 and data.startswith(BYTE_ORDER_MARK):
        skipped = len(BYTE_ORDER_MARK)
        whole = data[skipped:]
    if data and not whole.endswith(b"\n"):
        whole += b"\n"
    array = np.frombuffer(whole, dtype=np.uint8)
    ends = np.flatnonzero(array == LF)
    return lines_at(whole, array, ends, offset, skipped)


def lines_at(
    data: bytes, array: npt.NDArray[np.uint8], feeds: npt.NDArray[np.int64], offset: int, skipped: int
) -> Lines:
    """The lines whose LF are at `feeds`, when `skipped` bytes of the source came before `data`."""
    starts = np.zeros(len(feeds), dtype=np.int64)
    starts[1:] = feeds[:-1] + 1
    returned = array[feeds - 1] == CR
    returned &= feeds > starts
    offsets = starts + (offset + skipped)
    offsets[:1] = offset
    return Lines(data, array, starts, feeds - returned, offsets)
