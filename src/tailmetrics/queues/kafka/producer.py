"""Sends messages to a topic, in order and each once, and knows when the brokers have them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from tailmetrics.errors import QueueError
from tailmetrics.queues.kafka.client import configuration, meaning, translated
from tailmetrics.queues.kafka.topic import Complaints, Topic, TopicAdmin
from tailmetrics.urls import KafkaUrl

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

_STALL_SECONDS = 10.0  # without an acknowledgement, until that is said
_TURN_SECONDS = 0.1

# Nothing is sent behind a message that was not taken, however long that takes: so what is in the topic of a
# source has no gap, and what is sent again after a crash or an error begins within it.
_SETTINGS: Final[dict[str, Any]] = {
    "enable.idempotence": True,
    "enable.gapless.guarantee": True,
    "acks": "all",
    "message.timeout.ms": 0,
    "delivery.report.only.error": True,
    "compression.type": "lz4",
    "queue.buffering.max.kbytes": 64 * 1024,  # of messages that are not acknowledged
    "queue.buffering.max.messages": 0,  # no limit of their number
    "socket.keepalive.enable": True,
}


class TopicProducer:
    """A client that sends to one topic; its methods are for one thread, but `describe` and `close`.

    They raise QueueError, which says what to do. What was put is still on its way then as long as the
    producer `is_connected`.
    """

    def __init__(self, url: KafkaUrl) -> None:
        self._url = url
        self._admin = TopicAdmin(url)
        self._complaints = Complaints(url)
        self._producer: Producer | None = None
        self._failure: KafkaError | None = None
        self._closing = threading.Event()

    @property
    def is_connected(self) -> bool:
        return self._producer is not None

    def describe(self) -> Topic:
        """The topic as it is now; from any thread."""
        return self._admin.describe()

    def connect(self, *, create: bool = False) -> Topic:
        """Begin anew with the topic as it is now; `create` makes it when it is not there."""
        from confluent_kafka import Producer  # noqa: PLC0415  # an extra

        self.disconnect()
        topic = self._admin.describe(create=create)
        own = {
            "error_cb": self._complaints.note,
            "on_delivery": self._note_delivery,
            "message.max.bytes": topic.most_bytes,
        }
        with translated(self._url):
            self._producer = Producer(configuration(self._url, "producer") | _SETTINGS | own)
        return topic

    def put(
        self, value: bytes, *, key: bytes | None, partition: int, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        """Send a message; waits while too much is on its way."""
        producer = self._connected()
        while not self._has_taken(producer, value, key, partition, headers):
            producer.poll(_TURN_SECONDS)
            self._check()

    def await_acknowledged(self) -> None:
        """Return when the brokers have all that was put; an error says why they do not have it yet."""
        producer = self._connected()
        self._complaints.forget()
        waiting, since = len(producer), time.monotonic()
        while left := producer.flush(_TURN_SECONDS):
            if left < waiting:
                waiting, since = left, time.monotonic()
                self._complaints.forget()
            self._check()
            self._complaints.check()
            if time.monotonic() - since > _STALL_SECONDS:
                raise self._complaints.away(
                    "nothing was acknowledged for 10 s; too few replicas may be in sync"
                )
        self._check()

    def disconnect(self) -> None:
        """Let go of the client, and of what is not acknowledged."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(0)
        self._failure = None
        self._complaints.forget()

    def close(self) -> None:
        """Have whoever waits end with an error; from any thread."""
        self._closing.set()
        self._admin.close()

    def _connected(self) -> Producer:
        if self._producer is None:
            raise QueueError(f"{self._url}: the connection was lost", is_final=False)
        return self._producer

    def _has_taken(
        self,
        producer: Producer,
        value: bytes,
        key: bytes | None,
        partition: int,
        headers: Sequence[tuple[str, bytes]],
    ) -> bool:
        try:
            with translated(self._url):
                producer.produce(self._url.topic, value, key, partition, headers=list(headers))
        except BufferError:
            return False
        except QueueError:
            self.disconnect()
            raise
        return True

    def _check(self) -> None:
        if self._failure is not None:
            error = meaning(self._url, self._failure)
            self.disconnect()
            raise error
        if self._closing.is_set():
            raise QueueError(f"{self._url}: ended before all was acknowledged", is_final=False)

    def _note_delivery(self, error: KafkaError | None, _: Message) -> None:
        # The first one says why; those behind it only that they were not sent.
        if error is not None and self._failure is None:
            self._failure = error
