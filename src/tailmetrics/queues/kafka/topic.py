"""What the brokers say of a topic that is written to."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tailmetrics.queues.kafka.client import (
    REQUEST_SECONDS,
    configuration,
    require_client,
    translated,
)
from tailmetrics.queues.kafka.complaints import Complaints
from tailmetrics.urls import KafkaUrl

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_Answer = TypeVar("_Answer")

_TURN_SECONDS = 0.1
_USUAL_MOST_BYTES = 1_048_588  # that a broker takes as one message, where it may not be asked


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as its brokers describe it; one that is made anew has another `topic_id`.

    They take messages of `most_bytes`.
    """

    cluster: str
    topic_id: str
    partitions: int
    most_bytes: int


class TopicAdmin:
    """Asks the brokers of one topic, from any thread. Methods raise QueueError, which says what to do."""

    def __init__(self, url: KafkaUrl) -> None:
        require_client()
        self._url = url
        self._complaints = Complaints(url)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._client: AdminClient | None = None

    def describe(self, *, create: bool = False) -> Topic:
        """The topic, which is made with `create` when it is not there."""
        from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415  # an extra

        missing = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}
        with self._lock, translated(self._url):
            self._complaints.forget()
            if create:
                try:
                    return self._describe()
                except KafkaException as error:
                    if error.args[0].code() not in missing:
                        raise
                self._create()
            return self._describe()

    def close(self) -> None:
        """Have whoever waits end with an error."""
        self._closing.set()

    def _describe(self) -> Topic:
        from confluent_kafka import TopicCollection  # noqa: PLC0415  # an extra

        name = self._url.topic
        client = self._connected()
        described = client.describe_topics(TopicCollection([name]), request_timeout=REQUEST_SECONDS)
        found = self._answer(described[name])
        return Topic(
            cluster=str(client.cluster_id(timeout=REQUEST_SECONDS)),
            topic_id=str(found.topic_id),
            partitions=len(found.partitions),
            most_bytes=self._most_bytes(client),
        )

    def _most_bytes(self, client: AdminClient) -> int:
        from confluent_kafka.admin import ConfigResource, ResourceType  # noqa: PLC0415  # an extra

        resource = ConfigResource(ResourceType.TOPIC, self._url.topic)
        # Who may write to a topic need not be allowed to ask for its settings.
        with contextlib.suppress(Exception):
            asked = client.describe_configs([resource], request_timeout=REQUEST_SECONDS)
            return int(self._answer(asked[resource])["max.message.bytes"].value)
        return _USUAL_MOST_BYTES

    def _create(self) -> None:
        from confluent_kafka.admin import NewTopic  # noqa: PLC0415  # an extra

        # With as many partitions and replicas as the brokers give one.
        topic = NewTopic(self._url.topic, -1, -1)
        client = self._connected()
        self._answer(client.create_topics([topic], request_timeout=REQUEST_SECONDS)[self._url.topic])
        deadline = time.monotonic() + REQUEST_SECONDS
        while self._url.topic not in client.list_topics(timeout=REQUEST_SECONDS).topics:
            if time.monotonic() > deadline:
                raise self._complaints.away("the topic that was made does not appear")
            self._closing.wait(_TURN_SECONDS)

    def _connected(self) -> AdminClient:
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415  # an extra

        if self._client is None:
            settings = configuration(self._url, "admin")
            self._client = AdminClient(settings | {"error_cb": self._complaints.note})
        return self._client

    def _answer(self, asked: Future[_Answer]) -> _Answer:
        """What was asked for, or what the client says meanwhile of the brokers."""
        client = self._connected()
        deadline = time.monotonic() + REQUEST_SECONDS
        while not asked.done():
            client.poll(_TURN_SECONDS)
            self._complaints.check()
            if time.monotonic() > deadline or self._closing.is_set():
                raise self._complaints.away()
        return asked.result()
