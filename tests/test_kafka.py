"""The Kafka of the tests is a real one: it keeps what it is sent, and knows its users."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from tests.kafka import PASSWORD, USER, Kafka


def _admin(kafka: Kafka, mechanism: str, password: str) -> AdminClient:
    return AdminClient(
        {
            "bootstrap.servers": f"127.0.0.1:{kafka.brokers[0].sasl_port}",
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": mechanism,
            "sasl.username": USER,
            "sasl.password": password,
            "log_level": 0,
        }
    )


def test_a_topic_holds_what_was_sent(kafka: Kafka) -> None:
    topic = kafka.new_topic(2)
    producer = Producer({"bootstrap.servers": kafka.addresses})
    for number in range(10):
        producer.produce(topic, b"%d" % number, partition=number % 2)
    assert producer.flush(30) == 0
    assert [message.value() for message in kafka.messages(topic)] == [
        b"%d" % number for number in (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    ]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_user_comes_with_the_password_only(kafka: Kafka, mechanism: str) -> None:
    topic = kafka.new_topic()
    assert topic in _admin(kafka, mechanism, PASSWORD).list_topics(timeout=30).topics
    with pytest.raises(KafkaException):
        _admin(kafka, mechanism, "wrong").list_topics(timeout=1)
