"""What a cluster says of its topics: who they are, and which offsets their partitions have."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from tailmetrics.errors import QueueError, TopicMissing
from tailmetrics.queues.kafka.client import (
    REQUEST_SECONDS,
    configuration,
    missing_topic,
    require_client,
    translated,
)
from tailmetrics.queues.kafka.complaints import Complaints
from tailmetrics.sources import MESSAGES_NODE, Checkpoint, Source, fingerprint, packed
from tailmetrics.urls import KafkaUrl

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError

_COORDINATOR_SECONDS = 10.0  # that the first group of a cluster may have to wait for one
_TURN_SECONDS = 0.1
_NO_PARTITION = 2**31 - 1

Place = tuple[str, int]  # a topic and the number of a partition


class Cluster:
    """The cluster of one URL, asked over a connection of its own and that of a consumer.

    Every method raises QueueError.
    """

    def __init__(self, url: KafkaUrl, hear: Callable[[KafkaError], None]) -> None:
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415  # an extra

        self._url = url
        with translated(url):
            self._admin = AdminClient(configuration(url, "describe") | {"error_cb": hear})

    def places(self) -> set[Place]:
        """The partitions of all topics that the URL names; an error where there is none."""
        topic = None if self._url.is_glob else self._url.topic
        try:
            with translated(self._url):
                found = self._admin.list_topics(topic, timeout=REQUEST_SECONDS).topics
        except QueueError:
            self._admin.poll(0)  # says why, where the client knows
            raise
        if topic is not None:
            with translated(self._url, topic):
                if (error := found[topic].error) is not None:
                    _raise(error)
            names = [topic]
        else:
            names = [name for name in found if self._url.names(name)]
            if not names:
                raise TopicMissing(f"{self._url}: {missing_topic(self._url.topic)}")
        return {(name, number) for name in names for number in found[name].partitions}

    def sources(self, places: Collection[Place]) -> dict[Place, Source]:
        """What partitions are registered as where the store does not know them, from their first offset on.

        Another cluster, or a topic that was made anew, is another source.
        """
        from confluent_kafka import TopicCollection  # noqa: PLC0415  # an extra

        with translated(self._url):
            described = self._admin.describe_topics(
                TopicCollection(sorted({topic for topic, _ in places})), request_timeout=REQUEST_SECONDS
            )
            # Asked at each look, as other brokers may be behind the address by now.
            cluster_id = self._admin.list_topics(timeout=REQUEST_SECONDS).cluster_id
        sources = {}
        for topic, number in places:
            with translated(self._url, topic):
                topic_id = described[topic].result(REQUEST_SECONDS).topic_id
            text = f"{cluster_id}\0{topic}\0{topic_id}\0"
            sources[topic, number] = Source(
                source_id=fingerprint(f"{text}{number}".encode()),
                node_id=f"{MESSAGES_NODE}{fingerprint(text.encode())}",
                device=0,
                inode=0,
                epoch=0,
                path=self._url.place(topic, number),
                checkpoint=Checkpoint(packed(0), 0, "", 0, ""),
            )
        return sources

    def ends(self, consumer: Consumer, place: Place) -> tuple[int, int]:
        """The first offset that a partition has, and the one behind its last."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415  # an extra

        with translated(self._url, place[0]):
            low, high = consumer.get_watermark_offsets(TopicPartition(*place), timeout=REQUEST_SECONDS)
        return low, high


def readable_partitions(url: KafkaUrl) -> int:
    """How many partitions the URL leads to, of which the user may read one and use the group.

    Raises QueueError, and SettingsError without the client library.
    """
    from confluent_kafka import Consumer, TopicPartition  # noqa: PLC0415  # an extra

    require_client()
    complaints = Complaints(url)
    try:
        places = sorted(Cluster(url, complaints.note).places())
    except QueueError as error:
        raise complaints.explained(error) from None
    answers: list[KafkaError | None] = []
    values = configuration(url, "check") | {"group.id": url.group, "enable.auto.commit": False}
    with translated(url):
        consumer = Consumer(values | {"on_commit": lambda error, _: answers.append(error)})
    with contextlib.closing(consumer), translated(url, places[0][0]):
        consumer.get_watermark_offsets(TopicPartition(*places[0]), timeout=REQUEST_SECONDS)
        # What is asked until here needs no right to read. A commit does, of topic and group: that is looked
        # at first, and of a partition that cannot be nothing is committed.
        consumer.commit(offsets=[TopicPartition(places[0][0], _NO_PARTITION, 0)])
        deadline = time.monotonic() + _COORDINATOR_SECONDS
        while not answers:
            if time.monotonic() > deadline:
                raise TimeoutError
            consumer.poll(_TURN_SECONDS)
        _require_rights(answers[0])
    return len(places)


def _require_rights(answer: KafkaError | None) -> None:
    from confluent_kafka import KafkaError as Kind  # noqa: PLC0415  # an extra

    refusals = {Kind.TOPIC_AUTHORIZATION_FAILED, Kind.GROUP_AUTHORIZATION_FAILED}
    # The client's own errors are below 0: the brokers did not come to look at rights.
    if answer is not None and (answer.code() in refusals or answer.code() < 0):
        _raise(answer)


def _raise(error: Any) -> None:
    from confluent_kafka import KafkaException  # noqa: PLC0415  # an extra

    raise KafkaException(error)
