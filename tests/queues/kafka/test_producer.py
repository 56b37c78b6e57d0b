"""What is put into a topic is there once each, in order; and what is wrong is said."""

from __future__ import annotations

import re
from unittest.mock import Mock

import pytest

from tailmetrics.errors import QueueError
from tailmetrics.queues.kafka.producer import TopicProducer
from tailmetrics.urls import KafkaUrl
from tests.integration.running import free_port
from tests.kafka import USER, Kafka

pytestmark = pytest.mark.servers


def producer_of(url: str) -> TopicProducer:
    return TopicProducer(KafkaUrl.parse(url))


def test_messages_are_there_in_order_when_that_is_said(kafka: Kafka) -> None:
    topic = kafka.new_topic(2)
    producer = producer_of(kafka.url(topic))
    assert producer.connect().partitions == 2
    told: list[int] = []
    for number in range(500):
        producer.put(b"%d" % number, partition=1, delivered=lambda number=number: told.append(number))
    producer.wait_until(lambda: len(told) == 500)
    producer.disconnect()
    assert told == list(range(500))
    assert [message.value() for message in kafka.messages(topic)] == [b"%d" % number for number in range(500)]


def test_a_topic_says_what_it_takes_and_one_made_anew_is_another(kafka: Kafka) -> None:
    name = kafka.new_topic(3, max_message_bytes="70000")
    producer = producer_of(kafka.url(name))
    found = producer.describe()
    assert (found.cluster, found.partitions, found.most_bytes) == (kafka.cluster, 3, 70_000)
    kafka.delete_topic(name)
    kafka.new_topic(3, name=name)
    assert producer.describe().topic_id != found.topic_id


def test_a_message_that_the_topic_does_not_take_ends_the_producer(kafka: Kafka) -> None:
    topic = kafka.new_topic(max_message_bytes="1000")
    producer = producer_of(kafka.url(topic))
    producer.connect()
    with pytest.raises(QueueError, match="MSG_SIZE_TOO_LARGE"):
        producer.put(b"x" * 5000)
    assert producer.has_failed


def test_a_topic_that_is_missing_is_named_or_made(kafka: Kafka) -> None:
    producer = producer_of(kafka.url("missing-topic"))
    with pytest.raises(QueueError, match="there is no topic 'missing-topic'; correct the name, or make it"):
        producer.connect()
    assert producer.connect(create=True).partitions == 1
    assert kafka.has_topic("missing-topic", 1)


def test_a_wrong_password_is_told_from_brokers_that_are_away(kafka: Kafka) -> None:
    url = kafka.url(kafka.new_topic(), user=USER, password="wrong")  # noqa: S106  # it is wrong
    with pytest.raises(QueueError, match="the brokers refuse the user, the password") as refused:
        producer_of(url).connect()
    assert refused.value.is_final
    assert "wrong@" not in str(refused.value)
    away = f"kafka://127.0.0.1:{free_port()}/logs"
    with pytest.raises(QueueError, match=re.escape("the brokers cannot be reached")) as unreached:
        producer_of(away).connect()
    assert not unreached.value.is_final


def test_a_user_with_a_password_may_send(kafka: Kafka) -> None:
    topic = kafka.new_topic()
    producer = producer_of(kafka.url(topic, user=USER) + "?sasl=PLAIN")
    producer.connect()
    producer.put(b"a")
    producer.wait_for_all()
    producer.disconnect()
    assert [message.value() for message in kafka.messages(topic)] == [b"a"]


def test_without_an_acknowledgement_for_too_long_putting_ends_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    producer = TopicProducer(KafkaUrl.parse("kafka://127.0.0.1:1/logs"), 0.0)
    full = Mock()
    full.produce.side_effect = BufferError
    monkeypatch.setattr(producer, "_producer", full)
    with pytest.raises(QueueError, match="nothing was acknowledged") as stalled:
        producer.put(b"x")
    assert not stalled.value.is_final
