"""Chunks on their way to a topic, in the order in which they were read."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tailmetrics.errors import QueueError
from tailmetrics.queues.kafka.producer import TopicProducer
from tailmetrics.queues.kafka.shipments import Shipper
from tailmetrics.queues.kafka.topic import Topic
from tailmetrics.sources import LineChunk, fingerprint
from tailmetrics.telemetry.log import EventLog
from tailmetrics.urls import KafkaUrl

log = EventLog()

_Place = tuple[str, int]  # the source of a chunk and its offset


@dataclass(frozen=True, slots=True)
class Fixed:
    """What stays as it was first: a `salt` that nobody else has, and how many partitions a topic has."""

    salt: str
    partitions: int


@dataclass(slots=True)
class _Sending:
    chunk: LineChunk
    is_acknowledged: bool = False

    def note_acknowledged(self) -> None:
        self.is_acknowledged = True


class Sender:
    """Sends chunks at once and keeps those that are not stored: after a failure all of them are sent again.

    So nothing of a source ever gets into the topic before what stands before it in the file. `remember` is
    asked, when a topic is found, for what is fixed of it.
    """

    def __init__(self, url: KafkaUrl, node_id: str, remember: Callable[[Topic], Fixed]) -> None:
        self._producer = TopicProducer(url)
        self._node_id = node_id
        self._one_line = url.one_line
        self._remember = remember
        self._lock = threading.RLock()  # of who sends
        self._sending: dict[_Place, _Sending] = {}
        self._fixed = Fixed("", 1)
        self._most_bytes = 0

    def begin(self) -> None:
        """Forget what is on its way: it will be read again."""
        with self._lock:
            self._sending.clear()
            self._producer.disconnect()

    def put(self, chunk: LineChunk) -> None:
        """Send a chunk; when that cannot be done now, `wait_for` will."""
        with self._lock, contextlib.suppress(QueueError):
            sending = self._sending[_place(chunk)] = _Sending(chunk)
            if self._producer.is_connected and not self._producer.has_failed:
                self._send(sending)

    def wait_for(self, chunks: Sequence[LineChunk]) -> None:
        """Return when the brokers have chunks that were put. Raises QueueError."""
        with self._lock:
            waiting = [self._sending[_place(chunk)] for chunk in chunks]
            if not self._producer.is_connected or self._producer.has_failed:
                self._connect()
        self._producer.wait_until(lambda: all(each.is_acknowledged for each in waiting))

    def forget(self, chunks: Sequence[LineChunk]) -> None:
        """Note that chunks need not be sent again."""
        with self._lock:
            for chunk in chunks:
                del self._sending[_place(chunk)]

    def check_topic(self) -> None:
        """Raise QueueError when the topic is away, or not there."""
        self._producer.describe()

    def close(self) -> None:
        """Have whoever waits end with an error."""
        self._producer.close()

    def _connect(self) -> None:
        topic = self._producer.connect()
        self._fixed = self._remember(topic)
        self._most_bytes = topic.most_bytes
        for sending in self._sending.values():
            sending.is_acknowledged = False
            self._send(sending)

    def _send(self, sending: _Sending) -> None:
        chunk = sending.chunk
        source = fingerprint(f"{self._fixed.salt}\0{chunk.source_id}".encode())
        shipper = Shipper(source, self._node_id, self._most_bytes, self._one_line)
        partition = shipper.partition(self._fixed.partitions)
        too_long = 0
        for shipment in shipper.shipments(chunk):
            too_long += shipment.too_long
            is_last = shipment.end == chunk.checkpoint.position
            self._producer.put(
                shipment.value,
                key=source.encode(),
                partition=partition,
                headers=shipment.headers,
                delivered=sending.note_acknowledged if is_last else None,
            )
        if too_long:
            log.warning(
                "lines are longer than MAX_LINE_BYTES or than the topic takes, their beginnings are sent",
                path=chunk.path,
                lines=too_long,
                topic_takes_bytes=self._most_bytes,
            )


def _place(chunk: LineChunk) -> _Place:
    return chunk.source_id, chunk.offset
