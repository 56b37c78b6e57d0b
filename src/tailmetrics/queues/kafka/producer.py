"""Sends messages to a topic, in order and each once, and knows when the brokers have them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from tailmetrics.errors import QueueError
from tailmetrics.queues.kafka.client import configuration, meaning, translated
from tailmetrics.queues.kafka.complaints import Complaints
from tailmetrics.queues.kafka.topic import Topic, TopicAdmin
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
    "compression.type": "lz4",
    "queue.buffering.max.kbytes": 64 * 1024,  # of messages that are not acknowledged
    "queue.buffering.max.messages": 0,  # no limit of their number
    "socket.keepalive.enable": True,
}


class TopicProducer:
    """A client that sends to one topic. Methods may be called by any thread, but `connect` and `disconnect`
    while no other one is.

    They raise QueueError, which says what to do. What was put is still on its way then, unless the producer
    `has_failed`: nothing more is sent by it.
    """

    def __init__(self, url: KafkaUrl, patience_seconds: float | None = None) -> None:
        """`put` waits so long for an acknowledgement with too much on its way; None: for ever."""
        self._url = url
        self._patience_seconds = patience_seconds
        self._admin = TopicAdmin(url)
        self._complaints = Complaints(url)
        self._producer: Producer | None = None
        self._failure: QueueError | None = None
        self._progressed_at = 0.0
        self._closing = threading.Event()

    @property
    def is_connected(self) -> bool:
        return self._producer is not None

    @property
    def has_failed(self) -> bool:
        return self._failure is not None

    def describe(self) -> Topic:
        """The topic as it is now."""
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
        self,
        value: bytes,
        *,
        key: bytes | None = None,
        partition: int = -1,
        headers: Sequence[tuple[str, bytes]] = (),
        delivered: Callable[[], None] | None = None,
    ) -> None:
        """Send a message; waits while too much is on its way. `delivered` is called when the brokers have it.

        By then they have all that was put before into the same partition.
        """
        producer = self._connected()
        more: dict[str, Any] = {}
        if delivered is not None:
            more["on_delivery"] = self._noting(delivered)
        more |= {"key": key, "partition": partition, "headers": list(headers)}
        began = time.monotonic()
        while not self._has_taken(producer, value, **more):
            producer.poll(_TURN_SECONDS)
            self._check()
            waited = time.monotonic() - max(began, self._progressed_at)
            if self._patience_seconds is not None and waited > self._patience_seconds:
                self._complaints.check()
                raise self._complaints.away(f"nothing was acknowledged for {waited:.0f} s")

    def wait_until(self, done: Callable[[], bool]) -> None:
        """Return when that is so; an error says why the brokers do not have what was put yet."""
        producer = self._connected()
        self._complaints.forget()
        self._progressed_at = time.monotonic()
        while not done():
            producer.poll(_TURN_SECONDS)
            self._check()
            self._complaints.check()
            if time.monotonic() - self._progressed_at > _STALL_SECONDS:
                raise self._complaints.away(
                    "nothing was acknowledged for 10 s; too few replicas may be in sync"
                )

    def wait_for_all(self) -> None:
        """Return when the brokers have all that was put."""
        producer = self._connected()
        self.wait_until(lambda: not len(producer))

    def disconnect(self) -> None:
        """Let go of the client, and of what is not acknowledged."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(0)
        self._failure = None
        self._complaints.forget()

    def close(self) -> None:
        """Have whoever waits end with an error."""
        self._closing.set()
        self._admin.close()

    def _connected(self) -> Producer:
        if self._producer is None:
            raise QueueError(f"{self._url}: the connection was lost", is_final=False)
        return self._producer

    def _has_taken(self, producer: Producer, value: bytes, **of_message: Any) -> bool:
        try:
            with translated(self._url):
                producer.produce(self._url.topic, value, **of_message)
        except BufferError:
            return False
        except QueueError as error:
            self._failure = self._failure or error
            raise
        return True

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closing.is_set():
            raise QueueError(f"{self._url}: ended before all was acknowledged", is_final=False)

    def _noting(self, delivered: Callable[[], None]) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            self._note_delivery(error, message)
            if error is None:
                delivered()

        return note

    def _note_delivery(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self._progressed_at = time.monotonic()
        elif self._failure is None:
            # The first one says why; those behind it only that they were not sent.
            self._failure = meaning(self._url, error)
