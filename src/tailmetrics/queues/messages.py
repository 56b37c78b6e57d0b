"""One delivery of a message as a source: its identity, its name and time, and its chunks."""

from __future__ import annotations

import io
import itertools
import secrets
import time
from dataclasses import dataclass, replace

from tailmetrics.errors import LoadError
from tailmetrics.formats import detection, has_header
from tailmetrics.formats.framing import framing_of
from tailmetrics.formats.lines import BYTE_ORDER_MARK
from tailmetrics.formats.w3c.directives import header_after
from tailmetrics.queues.broker import Received
from tailmetrics.settings import LogQueue, QueueOptions
from tailmetrics.sources import (
    MESSAGES_NODE,
    Checkpoint,
    Delivery,
    LineChunk,
    LongLine,
    Source,
    fingerprint,
)
from tailmetrics.tailing.compression import HEAD_BYTES, Decompressed, kind_of_content
from tailmetrics.tailing.reader import LineReader
from tailmetrics.urls import QueueUrl

NAME_HEADER = "file-name"
FIRST_LINE_HEADER = "first-line"  # "name": the first line is the name of the log

_LONGEST_NAME = 1000  # characters
MOST_BYTES = 512 * 1024 * 1024  # of the largest message that a broker can be set to take
# Senders mean seconds, but many write smaller units: each ends at a year that no log is of.
_NANOSECONDS_BELOW = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))

_process = secrets.token_hex(8)
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message came from: consumer session and delivery tag, by which it is acknowledged."""

    session: int
    tag: int


class Message:
    """Reads one message onward, chunk by chunk; `size` in bytes.

    A message with an id is known by the id and the content. One without is known by its content only, and
    each of its first deliveries is another log.
    """

    def __init__(
        self,
        received: Received,
        *,
        place: Place,
        queue: LogQueue,
        broker_name: str,
        options: QueueOptions,
    ) -> None:
        received = replace(received, body=_unpacked(received.body))
        self.place = place
        self.size = len(received.body)
        self.arrived_at = time.monotonic()
        message_id = _text(received.message_id)
        self.has_id = bool(message_id)
        begin = self._begin(received, queue.url)
        self._log_format = detection.of_whole(
            received.body[begin : begin + detection.HEAD_BYTES], queue.log_format
        )
        self.is_empty = begin >= self.size
        content = fingerprint(received.body)
        queue_id = fingerprint(f"{broker_name}\0{queue.url.vhost}\0{queue.url.queue}".encode())
        if message_id:
            node_id = f"{MESSAGES_NODE}{queue_id}"
            source_id = fingerprint(f"{queue_id}\0{message_id}\0{content}".encode())
        else:
            node_id = f"{MESSAGES_NODE}{queue_id}-content"
            source_id = fingerprint(f"{queue_id}\0{_process}\0{next(_numbers)}\0{content}".encode())
        name = self._name(received, begin) or message_id or content[:16]
        path = f"{_harmless(queue.url.queue)}/{_harmless(name)}"
        source = Source(source_id, node_id, 0, 0, 0, path, Checkpoint(begin, self.size, content, 0, ""))
        self.delivery = Delivery(source, received.redelivered, by_content=not self.has_id)
        self._written_ns = _written_ns(received.timestamp)
        self._header = b""
        self._file = _Bytes(received.body)
        self._reader = LineReader(
            self._file,
            begin,
            b"",
            b"",
            framing=framing_of(self._log_format.name),
            chunk_bytes=options.chunk_bytes,
            max_line_bytes=options.max_line_bytes,
        )

    @property
    def source_id(self) -> str:
        return self.delivery.source.source_id

    @property
    def is_read(self) -> bool:
        return self._reader.offset >= self.size

    def next_chunk(self, *, more: bool) -> LineChunk:
        """The next chunk of a message that is not read yet; `more` says that other messages wait."""
        offset = self._reader.offset
        lines = self._reader.read(1, final=True)
        if lines is None:
            raise AssertionError("a message has an end")
        if self.is_read:
            self._file.close()
        header = self._header
        if has_header(self._log_format.name) and not lines.too_long:
            self._header = header_after(lines.data, offset, header, self._log_format.max_line_bytes)
        kind = LongLine if lines.too_long else LineChunk
        return kind(
            source_id=self.source_id,
            log_format=self._log_format,
            path=self.delivery.source.path,
            offset=offset,
            data=lines.data,
            checkpoint=replace(self.delivery.source.checkpoint, position=lines.end),
            more=more or lines.end < self.size,
            written_ns=self._written_ns,
            delivery=self.delivery,
            header=header,
        )

    def _begin(self, received: Received, url: QueueUrl) -> int:
        """Where the lines of the log begin, behind its name when that is the first line."""
        said = _text(received.headers.get(FIRST_LINE_HEADER))
        if not (said == "name" if said else url.first_line_is_name):
            return 0
        begin = received.body.find(b"\n") + 1 or len(received.body)
        if received.body.startswith(BYTE_ORDER_MARK, begin):
            # Formats leave out a mark at the beginning of a message only.
            begin += len(BYTE_ORDER_MARK)
        return begin

    def _name(self, received: Received, begin: int) -> str:
        if begin:
            first_line = received.body[: min(begin, 4 * _LONGEST_NAME)].partition(b"\n")[0]
            return _text(first_line.removeprefix(BYTE_ORDER_MARK)).strip()
        return _text(received.headers.get(NAME_HEADER))


class _Bytes:
    """A log that lies in memory, as the reader of lines takes it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def close(self) -> None:
        self._data = b""


def _written_ns(timestamp: int | None) -> int:
    """When the log was written, in nanoseconds since 1970: as its sender says, else now."""
    if not timestamp:
        return time.time_ns()
    unit = next((unit for below, unit in _NANOSECONDS_BELOW if timestamp < below), 1)
    return min(timestamp * unit, 2**63 - 1)


def _unpacked(body: bytes) -> bytes:
    """A log that was sent compressed; what is not whole, or very large, as it came."""
    kind = kind_of_content(body[:HEAD_BYTES])
    if kind is None:
        return body
    try:
        with Decompressed(io.BytesIO(body), kind) as stream:
            unpacked = stream.read(MOST_BYTES + 1)
    except LoadError:
        return body
    return body if len(unpacked) > MOST_BYTES else unpacked


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def _harmless(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")[:_LONGEST_NAME]
