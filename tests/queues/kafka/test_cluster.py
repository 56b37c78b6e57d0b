"""What `tailmetrics check` asks of a topic."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from tailmetrics.errors import QueueError
from tailmetrics.queues.kafka.cluster import readable_partitions
from tailmetrics.urls import KafkaUrl
from tests.kafka import LIMITED_USER, USER, Kafka

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


def test_rights_to_read_that_are_missing_are_named(kafka: Kafka) -> None:
    topic = kafka.new_topic()
    url = KafkaUrl.parse(kafka.url(topic, user=LIMITED_USER) + f"?sasl=PLAIN&group={topic}")
    kafka.allow(ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    kafka.allow(ResourceType.GROUP, topic, AclOperation.DESCRIBE)
    with pytest.raises(QueueError, match=f"the user may not use the group '{topic}'"):
        readable_partitions(url)
    kafka.allow(ResourceType.GROUP, topic, AclOperation.READ)
    with pytest.raises(QueueError, match=f"the user may not use the topic '{topic}'"):
        readable_partitions(url)
    kafka.allow(ResourceType.TOPIC, topic, AclOperation.READ)
    assert readable_partitions(url) == 1
    assert kafka.committed(topic, topic) < 0  # the group has none still
