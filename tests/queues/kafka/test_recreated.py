"""A topic that is deleted, made anew and filled beyond the offset at which it is read."""

from __future__ import annotations

import pytest

from tailmetrics.queues.kafka.recreated import RecreatedTopics
from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tests.kafka import Kafka
from tests.queues.kafka.reading import await_customers, await_lag, customers, line, reading, send

_LOG = ("METADATA", "rdkafka#consumer-1")


@pytest.mark.servers
def test_a_topic_that_is_made_anew_while_it_is_read_is_another_source(kafka: Kafka) -> None:
    memory = Memory()
    topic = kafka.new_topic(name="filled-anew")
    send(kafka, topic, [line("before")])
    with reading(kafka.url(topic), InMemoryStore(memory), log_start="end") as service:
        await_lag(service, f"{topic}/0")
        send(kafka, topic, [line("a"), line("b")])
        await_customers(memory, ["a", "b"])
        kafka.delete_topic(topic)
        kafka.new_topic(name=topic)
        # As many as were read of the old one, and more.
        send(kafka, topic, [line(f"c{number}") for number in range(6)])
        await_customers(memory, ["a", "b", *(f"c{number}" for number in range(6))])
        status = await_lag(service, f"{topic}/0")
    assert (status.position, status.lost_messages) == (6, 0)
    assert len(customers(memory)) == 8


def test_a_topic_that_is_seen_for_the_first_time_was_not_made_anew() -> None:
    topics = RecreatedTopics()
    topics.log(
        10, "%s [%s] %s", *_LOG, "[thrd:main]: Topic logs changed id from AAAAAAAAAAAAAAAAAAAAAA to 2yIIBc"
    )
    topics.log(10, "%s [%s] %s", *_LOG, "[thrd:main]: Topic logs [0] Leader 1 Epoch 0")
    assert topics.take() == []
    topics.log(
        10, "%s [%s] %s", *_LOG, "[thrd:main]: Topic logs changed id from 2yIIBcHuSWu93dgbd910qg to ekOjTE"
    )
    assert topics.take() == ["logs"]
    assert topics.take() == []
