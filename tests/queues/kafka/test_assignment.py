"""What the client is told to fetch, also where it gave a partition up."""

from __future__ import annotations

import contextlib
import threading

import pytest
from confluent_kafka import Consumer, KafkaError

from tailmetrics.queues.kafka.assignment import Assignment
from tailmetrics.queues.kafka.inbox import Inbox
from tailmetrics.settings import LogTopic
from tailmetrics.urls import KafkaUrl
from tests.builders import format_options
from tests.integration.running import await_that
from tests.kafka import Kafka
from tests.queues.kafka.reading import SECONDS, line, send

pytestmark = pytest.mark.servers


def test_a_partition_that_the_client_gave_up_is_fetched_again(kafka: Kafka) -> None:
    topic = kafka.new_topic()
    send(kafka, topic, [line("a")] * 6)
    kafka.delete_before(topic, 5)
    changed = threading.Condition()
    log_topic = LogTopic(KafkaUrl.parse(kafka.url(topic)), format_options("requests"))
    assignment = Assignment(log_topic, changed, Inbox(changed, 1, 4096), lambda: None)
    settings = {"bootstrap.servers": kafka.addresses, "group.id": topic, "auto.offset.reset": "error"}
    consumer = Consumer(settings | {"partition.assignment.strategy": "cooperative-sticky"})
    with contextlib.closing(consumer):
        consumer.subscribe([topic], on_assign=assignment.on_assign)
        await_that(lambda: consumer.consume(1, 0.1) == [] and bool(list(assignment)), SECONDS)
        [assigned] = assignment
        # At an offset that was deleted it stops.
        assignment.fetch(consumer, assigned, on=True)
        error = consumer.consume(1, SECONDS)[0].error()
        assert error is not None
        assert error.code() == KafkaError._AUTO_OFFSET_RESET
        assigned._read_to = 5
        assignment.fetch(consumer, assigned, on=True)
        assert [message.offset() for message in consumer.consume(1, SECONDS)] == [5]
