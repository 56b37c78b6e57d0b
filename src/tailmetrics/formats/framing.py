"""What a log is cut into: whole lines, with all their parts where a line may come in parts, or in the format
`results` whole blocks of lines.

Whatever is read at a time ends where a frame ends, so that what a frame means never depends on where reading
began, nor on how much of the file was there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from tailmetrics.formats.wrappers import WRAPPERS
from tailmetrics.formats.wrappers.parts import end_of_closed
from tailmetrics.formats.wrappers.wrapper import Wrapper
from tailmetrics.sources import CHUNK_LINES

RESULTS: Final = "results"
ANY_LINES: Final = "lines"  # the name of a format of which no more is known

_MARK_INDENT: Final = 64  # of "#", spaces and tabs so many may be before the word, at most
# The lines that open and close a block, in the syntax of Python's `re` and of Polars.
MARK_PREFIX: Final = rf"[# \t]{{0,{_MARK_INDENT}}}"
_MARK = rb"(?:\xef\xbb\xbf)?" + MARK_PREFIX.encode() + rb"(?:(Test)|Result):"
_OPENING_OR_CLOSING = re.compile(_MARK)
_LINE_END = re.compile(rb"\n")
_BEFORE_MARK = re.compile(rb"\n(?=" + _MARK + rb")")
LOOKS_AHEAD: Final = len(b"\xef\xbb\xbfResult:") + _MARK_INDENT
_LF = 0x0A
_BLOCK_BYTES = 1 << 17  # looked at in one go
_LINE_END_BYTES = 2  # CR and LF, which do not count to a line's length


@dataclass(frozen=True, slots=True)
class Framing:
    """How the bytes of one format are cut."""

    are_blocks: bool
    wrapper: Wrapper | None = None

    def whole(self, data: bytes, begin: int = 0, most: int | None = None) -> int:
        """How many of the bytes of `data` from `begin` on are whole frames; a frame begins there.

        Of lines no more than CHUNK_LINES are told of at a time. Of a line whose parts are not whole within
        `most` bytes the parts that are there are told of.
        """
        end = max(begin, data.rfind(b"\n", begin) + 1)
        if self.are_blocks:
            return _open_block(data, begin, end) - begin
        most_lines = _end_of_lines(data, begin, end, CHUNK_LINES)
        if self.wrapper is None:
            return most_lines - begin
        length = end_of_closed(self.wrapper, data[begin:most_lines])
        is_full = most_lines < end or (most is not None and len(data) - begin >= most)
        return length or (most_lines - begin if is_full else 0)

    def is_too_long(self, beginning: bytes, max_line_bytes: int, max_block_bytes: int) -> bool:
        """Whether a frame that is not whole is over its limit, as far as it is known."""
        if self.are_blocks and opens_block(beginning):
            return len(beginning) >= max_block_bytes
        return len(beginning) >= max_line_bytes + _LINE_END_BYTES

    def end_of_long(self, beginning: bytes) -> re.Pattern[bytes]:
        """At the end of its match a frame ends that is over its limit.

        It is to be searched for from the last line end in `beginning` on, and looks at `LOOKS_AHEAD` bytes
        behind its match.
        """
        return _BEFORE_MARK if self.are_blocks and opens_block(beginning) else _LINE_END


LINES: Final = Framing(are_blocks=False)
BLOCKS: Final = Framing(are_blocks=True)


def framing_of(format_name: str) -> Framing:
    """How a log of this format is cut."""
    if format_name == RESULTS:
        return BLOCKS
    wrapper = WRAPPERS.get(format_name.partition(":")[0])
    return Framing(are_blocks=False, wrapper=wrapper) if wrapper else LINES


def _end_of_lines(data: bytes, begin: int, end: int, most: int) -> int:
    """Where the first `most` of the lines between `begin` and `end` end; `end` when there are fewer."""
    if end - begin <= most:
        return end
    array = np.frombuffer(data, np.uint8)
    for block in range(begin, end, _BLOCK_BYTES):
        is_feed = array[block : min(block + _BLOCK_BYTES, end)] == _LF
        found = int(np.count_nonzero(is_feed))
        if found >= most:
            return block + int(np.flatnonzero(is_feed)[most - 1]) + 1
        most -= found
    return end


def opens_block(data: bytes) -> bool:
    """Whether the first line says `Test:`."""
    mark = _OPENING_OR_CLOSING.match(data)
    return mark is not None and mark[1] is not None


def _open_block(data: bytes, begin: int, end: int) -> int:
    """Where the block begins that is still open at `end`, the end of a line; `end` when there is none.

    A line begins at `begin`, and nothing before it is looked at.
    """
    opening = data.rfind(b"Test:", begin, end)
    closing = data.rfind(b"Result:", begin, end)
    while (last := max(opening, closing)) >= 0:
        # Of a line only its first word can be a mark.
        line = max(begin, data.rfind(b"\n", begin, last) + 1)
        if mark := _OPENING_OR_CLOSING.match(data, line):
            return line if mark[1] else end
        if opening >= line:
            opening = data.rfind(b"Test:", begin, line)
        if closing >= line:
            closing = data.rfind(b"Result:", begin, line)
    return end
