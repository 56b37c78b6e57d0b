"""Whole lines from a log file, with the offsets at which they begin."""

from __future__ import annotations

from dataclasses import dataclass

from tailmetrics.records import REJECT_LINE_BYTES
from tailmetrics.tailing.files import LogFile

_LINE_END_BYTES = 2  # CR and LF, which do not count to a line's length


class Rewritten(Exception):  # a condition to act on, not a mistake
    """The bytes before the offset are not those that were read: the file was truncated and written anew."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines that end at byte `end`; of one that is too long only the beginning."""

    data: bytes
    end: int
    too_long: bool = False


class LineReader:
    """Reads whole lines onward from an offset and notices when the file was rewritten before it.

    `before` are the bytes that end at `offset`, as they were read, and `head` those with which the file began
    when it was identified: at offset 0 they are what tells that it still is that file.
    """

    def __init__(
        self, file: LogFile, offset: int, before: bytes, head: bytes, *, chunk_bytes: int, max_line_bytes: int
    ) -> None:
        self.file = file
        self.offset = offset
        self.before = before
        self._head = head
        self._max_line_bytes = max_line_bytes
        self._read_bytes = max(chunk_bytes, max_line_bytes + _LINE_END_BYTES)
        self._searched_to = 0  # in a line that is too long no line end was found before this offset

    def read(self, keep_before: int, *, final: bool = False) -> Lines | None:
        """The next lines, None when there is no whole one. Advances `offset`.

        `final` takes an unfinished last line for a whole one. Raises Rewritten.
        """
        # One read for the bytes before and after the offset: nothing can come between the two.
        data = self.file.read(self.offset - len(self.before), len(self.before) + self._read_bytes)
        if not data.startswith(self.before if self.offset else self._head):
            raise Rewritten
        data = data[len(self.before) :]
        length = data.rfind(b"\n") + 1
        if length == 0:
            if len(data) > self._max_line_bytes + _LINE_END_BYTES - 1:
                return self._skip_line(data, keep_before, final=final)
            if not final or not data:
                return None
            length = len(data)
        data = data[:length]
        self.offset += length
        self.before = (self.before + data)[-keep_before:] if length < keep_before else data[-keep_before:]
        return Lines(data, self.offset)

    def _skip_line(self, beginning: bytes, keep_before: int, *, final: bool) -> Lines | None:
        position = max(self._searched_to, self.offset + len(beginning))
        while block := self.file.read(position, self._read_bytes):
            at = block.find(b"\n")
            if at >= 0:
                return self._skipped(beginning, position + at + 1, keep_before)
            position += len(block)
            self._searched_to = position
        return self._skipped(beginning, position, keep_before) if final else None

    def _skipped(self, beginning: bytes, end: int, keep_before: int) -> Lines:
        start = max(0, end - keep_before)
        self.before = self.file.read(start, end - start)
        self.offset = end
        return Lines(beginning[:REJECT_LINE_BYTES], end, too_long=True)
