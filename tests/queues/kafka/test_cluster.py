"""What `tailmetrics check` asks of a topic."""

from __future__ import annotations

import pytest

from tailmetrics.errors import QueueError
from tailmetrics.queues.kafka.cluster import readable_partitions
from tailmetrics.urls import KafkaUrl
from tests.kafka import USER, Kafka

pytestmark = pytest.mark.servers


def test_partitions_that_can_be_read_are_counted(kafka: Kafka) -> None:
    topic = kafka.new_topic(3)
    assert readable_partitions(KafkaUrl.parse(kafka.url(topic))) == 3
    assert readable_partitions(KafkaUrl.parse(kafka.url(topic, user=USER))) == 3


def test_what_stands_against_reading_is_named(kafka: Kafka) -> None:
    with pytest.raises(QueueError, match="there is no topic 'none'"):
        readable_partitions(KafkaUrl.parse(kafka.url("none")))
    with pytest.raises(QueueError, match="refuse the user, the password"):
        readable_partitions(KafkaUrl.parse(kafka.url("none", user="nobody")))
    with pytest.raises(QueueError, match="the brokers cannot be reached"):
        readable_partitions(KafkaUrl.parse("kafka://127.0.0.1:1/logs"))
