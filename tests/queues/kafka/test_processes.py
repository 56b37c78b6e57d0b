"""Several processes on one topic and one store, killed and paused while they are at it."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tailmetrics.sources import packed
from tests.integration.running import await_that
from tests.kafka import Kafka
from tests.queues.kafka.reading import SECONDS
from tests.queues.test_processes import Consumers

pytestmark = pytest.mark.servers


def send_numbered(kafka: Kafka, topic: str, partitions: int, messages: int) -> None:
    """Lines whose path is their number, to the partitions in turn."""
    producer = Producer({"bootstrap.servers": kafka.addresses, "linger.ms": 50, "compression.type": "lz4"})
    for number in range(messages):
        line = b"2024-11-06 06:33:33 cust_%d /%d 200 0.5" % (number % 50, number)
        while True:
            try:
                producer.produce(topic, line, partition=number % partitions)
                break
            except BufferError:
                producer.poll(0.05)
    assert producer.flush(SECONDS) == 0


@pytest.fixture
def consumers(tmp_path: Path, kafka: Kafka) -> Iterator[Consumers]:
    topic = kafka.new_topic(6)
    consumers = Consumers(tmp_path, kafka.url(topic))
    consumers.topic = topic
    yield consumers
    consumers.close()


def each_line_counts_once(
    consumers: Consumers, kafka: Kafka, partitions: int, messages: int, kills: int, *, pauses: bool = False
) -> None:
    chance = random.Random(7)
    send_numbered(kafka, consumers.topic, partitions, messages)
    for kill in range(1, kills + 1):
        due = messages * kill // (kills + 1)
        await_that(lambda due=due: consumers.total() >= due, 600, consumers.said)
        if pauses and kill % 5 == 0:
            consumers.signal_one(chance, signal.SIGSTOP)
        else:
            consumers.kill_one(chance)
        if pauses and kill == kills // 2:
            kafka.stop()
            kafka.start()
    consumers.signal_all(signal.SIGCONT)
    await_that(lambda: consumers.total() >= messages, 900, consumers.said)
    places = consumers.ask(
        'SELECT count(*), count(DISTINCT "offset"), min("offset"), max("offset") FROM records '
        "GROUP BY source_key"
    )
    of_each = messages // partitions
    assert places == [(of_each, of_each, 0, packed(of_each - 1))] * partitions
    # The last one that was started may be told to end before it has begun.
    assert set(consumers.end()) <= {0, -signal.SIGTERM}


def test_each_line_counts_once_when_consumers_are_killed(consumers: Consumers, kafka: Kafka) -> None:
    each_line_counts_once(consumers, kafka, 6, 60_000, 2)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_five_million_lines_count_once_amid_kills_pauses_and_a_restart(
    consumers: Consumers, kafka: Kafka
) -> None:
    kafka.add_partitions(consumers.topic, 12)
    each_line_counts_once(consumers, kafka, 12, 5_000_004, 20, pauses=True)
