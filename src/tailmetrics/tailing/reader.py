"""Whole lines (or blocks of lines) from a log file, with the offsets at which they begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tailmetrics.formats.framing import LOOKS_AHEAD, Framing
from tailmetrics.records import REJECT_LINE_BYTES

_LINE_END_BYTES = 2  # CR and LF, which do not count to a line's length


class Rewritten(Exception):  # a condition to act on, not a mistake
    """The bytes before the offset are not those that were read: the file was truncated and written anew."""


class Readable(Protocol):
    """What lines are read from."""

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole frames that end at byte `end`; of one that is too long only the beginning.

    `more` is False when no line end was there behind them.
    """

    data: bytes
    end: int
    more: bool
    too_long: bool = False


class LineReader:
    """Reads whole frames onward from an offset and notices when the file was rewritten before it.

    `before` are the bytes that end at `offset`, as they were read, and `head` those with which the file began
    when it was identified: at offset 0 they are what tells that it still is that file.
    """

    def __init__(
        self,
        file: Readable,
        offset: int,
        before: bytes,
        head: bytes,
        *,
        framing: Framing,
        chunk_bytes: int,
        max_line_bytes: int,
    ) -> None:
        self.file = file
        self.offset = offset
        self.before = before
        self._head = head
        self._framing = framing
        self._max_line_bytes = max_line_bytes
        self._read_bytes = max(chunk_bytes, max_line_bytes + _LINE_END_BYTES)
        self._searched_to = 0  # of a frame that is too long no end was found before this offset

    def read(self, keep_before: int, *, final: bool = False) -> Lines | None:
        """The next frames, None when there is no whole one. Advances `offset`.

        `final` takes an unfinished last frame for a whole one. Raises Rewritten.
        """
        # One read for the bytes before and after the offset: nothing can come between the two.
        data = self.file.read(self.offset - len(self.before), len(self.before) + self._read_bytes)
        if not data.startswith(self.before if self.offset else self._head):
            raise Rewritten
        begin = len(self.before)
        length = self._framing.whole(data, begin, self._read_bytes)
        if length == 0:
            rest = data[begin:]
            if self._framing.is_too_long(rest, self._max_line_bytes, self._read_bytes):
                return self._skip(rest, keep_before, final=final)
            if not final or not rest:
                return None
            length = len(rest)
        end = begin + length
        more = len(data) - begin == self._read_bytes or data.find(b"\n", end) >= 0
        data = data[begin:end]
        self.offset += length
        self.before = (self.before + data)[-keep_before:] if length < keep_before else data[-keep_before:]
        return Lines(data, self.offset, more)

    def _skip(self, beginning: bytes, keep_before: int, *, final: bool) -> Lines | None:
        end = self._framing.end_of_long(beginning)
        last_line_end = beginning.rfind(b"\n")
        searched = len(beginning) if last_line_end < 0 else last_line_end
        position = max(self._searched_to, self.offset + searched)
        while block := self.file.read(position, self._read_bytes):
            if found := end.search(block):
                return self._skipped(beginning, position + found.end(), keep_before)
            if len(block) <= LOOKS_AHEAD:
                break
            # What the end is told by may have been read in part.
            position += len(block) - LOOKS_AHEAD
            self._searched_to = position
        return self._skipped(beginning, position + len(block), keep_before) if final else None

    def _skipped(self, beginning: bytes, end: int, keep_before: int) -> Lines:
        start = max(0, end - keep_before)
        self.before = self.file.read(start, end - start)
        self.offset = end
        return Lines(beginning[:REJECT_LINE_BYTES], end, more=True, too_long=True)
