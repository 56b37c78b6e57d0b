"""Sends finished logs, and lines as they are made, to a topic, and knows that the brokers have them."""

from __future__ import annotations

import contextlib
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from tailmetrics.errors import LoadError, QueueError
from tailmetrics.formats.framing import LINES
from tailmetrics.queues.kafka.producer import TopicProducer
from tailmetrics.queues.kafka.shipments import Shipper, ends
from tailmetrics.queues.kafka.topic import Topic
from tailmetrics.settings import FormatOptions, TailingOptions
from tailmetrics.sources import LineChunk
from tailmetrics.tailing.follower import Follower
from tailmetrics.tailing.identity import checkpoint_of, new_source
from tailmetrics.tailing.log_file import open_finished
from tailmetrics.urls import KafkaUrl

_TRY_AGAIN_SECONDS = 60.0  # a broker that is restarted is back by then
_PAUSE_SECONDS = 0.5


class TopicPublisher:
    """A context in which lines are sent; the topic must be there, or is made with `create`.

    Each log is a source of its own. Raises QueueError when the brokers are away at the beginning, or later
    for a minute, or refuse.
    """

    def __init__(self, url: KafkaUrl, *, create: bool = False) -> None:
        self._one_line = url.one_line
        self._create = create
        self._producer = TopicProducer(url, _TRY_AGAIN_SECONDS)
        self._topic = Topic("", "", 1, 0)

    def __enter__(self) -> TopicPublisher:
        self._topic = self._producer.connect(create=self._create)
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.disconnect()
        self._producer.close()

    def send_file(self, path: Path, options: TailingOptions) -> int:
        """Send a log to its end, decompressed; its size in bytes, once the brokers have it.

        Raises LoadError when it cannot be read.
        """
        try:
            with contextlib.closing(open_finished(str(path))) as file:
                source = new_source(file, str(path), "", ())
                follower = Follower(
                    source,
                    file,
                    replace(options, any_lines=True),
                    str(path),
                    options.log_format,
                    registered=True,
                    finite=True,
                )
                follower.refresh()
                self._send(_chunks(follower))
                return follower.offset
        except OSError as error:
            raise LoadError(f"{path} cannot be read to its end: {error}") from error

    def send(self, name: str, log_bytes: bytes, log_format: FormatOptions) -> None:
        """Send a log of whole lines under a name."""
        checkpoint = checkpoint_of(len(log_bytes), b"", b"")
        self._send([LineChunk("", log_format, name, 0, log_bytes, checkpoint, False, time.time_ns())])

    def send_lines(self, lines: bytes) -> None:
        """Send whole lines that are of no file."""
        begin = 0
        for end in ends(lines, LINES, self._topic.most_bytes, one_line=self._one_line):
            self._producer.put(lines[begin:end])
            begin = end
        self._finish()

    def _send(self, chunks: Iterable[LineChunk]) -> None:
        source = uuid.uuid4().hex
        shipper = Shipper(source, socket.gethostname(), self._topic.most_bytes, self._one_line)
        partition = shipper.partition(self._topic.partitions)
        for chunk in chunks:
            for shipment in shipper.shipments(chunk):
                self._producer.put(
                    shipment.value, key=source.encode(), partition=partition, headers=shipment.headers
                )
        self._finish()

    def _finish(self) -> None:
        deadline = time.monotonic() + _TRY_AGAIN_SECONDS
        while True:
            try:
                self._producer.wait_for_all()
            except QueueError as error:
                if error.is_final or self._producer.has_failed or time.monotonic() > deadline:
                    raise
            else:
                return
            time.sleep(_PAUSE_SECONDS)


def _chunks(follower: Follower) -> Iterator[LineChunk]:
    while (chunk := follower.read(final=True)) is not None:
        yield chunk
