"""What lines become on their way to a topic: messages of whole lines, whose headers say where they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tailmetrics.formats import has_header
from tailmetrics.formats.framing import LINES, Framing, framing_of
from tailmetrics.formats.w3c.directives import header_after
from tailmetrics.queues.kafka.shipped import END, FILE, HEADER, HOST, OFFSET, SOURCE, TOO_LONG
from tailmetrics.records import REJECT_LINE_BYTES
from tailmetrics.sources import LineChunk, LongLine

MESSAGE_BYTES: Final = 64 * 1024  # about so many of lines are one message
_OVERHEAD_BYTES: Final = 512  # of a batch and a record in it, beside key, value and headers


@dataclass(frozen=True, slots=True)
class Shipper:
    """How the lines of one source are sent.

    `source` tells it apart from those of all machines, `host` is the node. No message, with its key and its
    headers, is larger than `most_bytes`; with `one_line` each line (or block) is one of its own.
    """

    source: str
    host: str
    most_bytes: int
    one_line: bool = False

    def partition(self, partitions: int) -> int:
        """The only one of so many to which this source is sent."""
        return int(self.source[:8], 16) % partitions

    def shipments(self, chunk: LineChunk) -> Iterator[Shipment]:
        """The messages of a chunk, in order."""
        fixed = [(SOURCE, self.source.encode()), (HOST, _encoded(self.host))]
        fixed.append((FILE, _encoded(chunk.path)))
        room = self._room(fixed)
        header, begin = chunk.header, 0
        if isinstance(chunk, LongLine):
            beginning = _beginning(chunk.data, room - len(header))
            yield _shipment(fixed, beginning, chunk.offset, chunk.checkpoint.position, header, too_long=True)
            return
        name = chunk.log_format.name
        for end in ends(chunk.data, framing_of(name), room, one_line=self.one_line):
            value = chunk.data[begin:end]
            too_long = len(value) + len(header) > room
            sent = _beginning(value, room - len(header)) if too_long else value
            yield _shipment(fixed, sent, chunk.offset + begin, chunk.offset + end, header, too_long=too_long)
            if has_header(name):
                header = header_after(value, chunk.offset + begin, header, chunk.log_format.max_line_bytes)
            begin = end

    def _room(self, fixed: list[tuple[str, bytes]]) -> int:
        taken = sum(len(name) + len(value) for name, value in fixed) + len(self.source)
        return max(1, self.most_bytes - taken - _OVERHEAD_BYTES)


@dataclass(frozen=True, slots=True)
class Shipment:
    """One message: lines as they are in the file, to byte `end`; the beginning of one that is `too_long`."""

    value: bytes
    end: int
    headers: list[tuple[str, bytes]]
    too_long: bool


def _shipment(
    fixed: list[tuple[str, bytes]], value: bytes, offset: int, end: int, header: bytes, *, too_long: bool
) -> Shipment:
    headers = [*fixed, (OFFSET, b"%d" % offset), (END, b"%d" % end)]
    if header:
        headers.append((HEADER, header))
    if too_long:
        headers.append((TOO_LONG, b"1"))
    return Shipment(value, end, headers, too_long)


def _beginning(value: bytes, room: int) -> bytes:
    """So much of a line as is sent of one that is too long."""
    return value[: max(0, min(room, REJECT_LINE_BYTES))]


def ends(data: bytes, framing: Framing, room: int, *, one_line: bool) -> Iterator[int]:
    """Where messages end in bytes of whole frames; only a single frame has more bytes than `room`."""
    end = 0
    while end < len(data):
        end = _next_end(data, end, framing, room, one_line=one_line)
        yield end


def _next_end(data: bytes, begin: int, framing: Framing, room: int, *, one_line: bool) -> int:
    end = begin
    if not one_line:
        most = min(MESSAGE_BYTES, room)
        while begin + most < len(data):
            if length := framing.whole(data[begin : begin + most]):
                return begin + length
            if most == room:
                break
            most = min(2 * most, room)
        else:
            return len(data)
        end = begin + room
    while end < len(data):
        end = data.find(b"\n", end) + 1 or len(data)
        if framing is LINES or framing.whole(data[begin:end]):
            return end
    return len(data)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
