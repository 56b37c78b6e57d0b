"""Topics of a real broker: where reading begins, who goes on, and what is said of what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from unittest.mock import Mock

import pytest
from confluent_kafka import KafkaError, Producer

from tailmetrics.errors import PositionConflict, QueueError, TopicMissing
from tailmetrics.queues.kafka.consumer import TopicConsumer
from tailmetrics.queues.kafka.fetched import Event
from tailmetrics.records import no_lines
from tailmetrics.settings import LogTopic, load_settings
from tailmetrics.sources import Batch, packed
from tailmetrics.status import SourceStatus
from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tailmetrics.urls import KafkaUrl
from tests.builders import format_options
from tests.integration.running import await_that
from tests.kafka import USER, Kafka
from tests.queues.kafka.reading import (
    SECONDS,
    await_customers,
    await_lag,
    customers,
    line,
    places,
    reading,
    send,
    status_of,
)

pytestmark = pytest.mark.servers


@pytest.fixture
def memory() -> Memory:
    return Memory()


def _await_error(sources: Callable[[], Sequence[SourceStatus]], text: str) -> None:
    def said() -> str:
        return " ".join(each.last_error or "" for each in sources())

    await_that(lambda: text in said(), SECONDS, said)


def test_each_line_of_each_message_counts_once_at_its_place(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic()
    send(
        kafka, topic, [line("a"), b"\n".join((line("b"), line("c"))), line("d") + b"\n", None, b"", b"poison"]
    )
    with reading(kafka.url(topic), InMemoryStore(memory)) as service:
        await_customers(memory, ["a", "b", "c", "d"])
        status = await_lag(service, f"{topic}/0")
    assert places(memory) == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert [reject.offset for _, reject in memory.rejects] == [packed(5)]
    assert (status.position, status.size, status.lost_messages) == (6, 6, 0)
    assert memory.blanks == 2


def test_a_service_goes_on_where_the_store_is_whatever_the_group_says(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic()
    send(kafka, topic, [line("a"), line("b")])
    with reading(kafka.url(topic), InMemoryStore(memory)):
        await_customers(memory, ["a", "b"])
    send(kafka, topic, [line("c")])
    with reading(f"{kafka.url(topic)}?group=another", InMemoryStore(memory)):
        await_customers(memory, ["a", "b", "c"])


def test_the_group_is_told_what_is_stored(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic()
    send(kafka, topic, [line("a")] * 3)
    with reading(f"{kafka.url(topic)}?group=told", InMemoryStore(memory)):
        await_customers(memory, ["a"] * 3)
        await_that(lambda: kafka.committed("told", topic) == 3, SECONDS)


def test_log_start_end_is_about_partitions_that_are_there_at_start(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic()
    send(kafka, topic, [line("before")])
    with reading(kafka.url(topic), InMemoryStore(memory), log_start="end") as service:
        await_lag(service, f"{topic}/0")
        kafka.add_partitions(topic, 2)
        send(kafka, topic, [line("new")], partition=1)
        send(kafka, topic, [line("later")])
        await_customers(memory, ["new", "later"])


def test_topics_that_appear_are_read(kafka: Kafka, memory: Memory) -> None:
    first = kafka.new_topic(name="logs-a.one")
    send(kafka, first, [line("a")])
    with reading(kafka.url("logs-a.*"), InMemoryStore(memory)):
        await_customers(memory, ["a"])
        second = kafka.new_topic(name="logs-a.two")
        send(kafka, second, [line("b")])
        await_customers(memory, ["a", "b"])


def test_partitions_move_to_whoever_comes_and_back(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic(partitions=4)
    url, sent = kafka.url(topic), 0

    def send_more() -> list[str]:
        nonlocal sent
        for partition in range(4):
            send(kafka, topic, [line(f"c{sent + each}") for each in range(50)], partition)
            sent += 50
        return [f"c{each}" for each in range(sent)]

    with reading(url, InMemoryStore(memory)) as first:
        await_customers(memory, send_more())
        with reading(url, InMemoryStore(memory)) as second:
            await_that(
                lambda: len(first.sources()) == 2 and [s.size > 0 for s in second.sources()] == [True] * 2,
                SECONDS,
                lambda: f"{first.sources()} {second.sources()}",
            )
            await_customers(memory, send_more())
        await_that(lambda: len(first.sources()) == 4, SECONDS)
        await_customers(memory, send_more())
    for partition in range(4):
        of_partition = [int(c[1:]) for c in customers(memory) if int(c[1:]) // 50 % 4 == partition]
        assert of_partition == sorted(of_partition)


def test_what_a_fenced_owner_writes_is_dropped_and_nothing_counts_twice(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic()
    conflicts: list[Exception] = []

    class Fenced(InMemoryStore):
        """Another one has stored the very same lines just before."""

        def write(self, batches: Sequence[Batch]) -> None:
            if any(batch.parsed.records.height for batch in batches) and not conflicts:
                InMemoryStore(memory).write(batches)
            try:
                super().write(batches)
            except PositionConflict as error:
                conflicts.append(error)
                raise

    send(kafka, topic, [line("a"), line("b")])
    with reading(kafka.url(topic), Fenced(memory)) as service:
        await_that(lambda: len(conflicts) == 1, SECONDS)
        send(kafka, topic, [line("c")])
        await_customers(memory, ["a", "b", "c"])
        await_lag(service, f"{topic}/0")
    assert customers(memory) == ["a", "b", "c"]


def test_of_transactions_what_was_committed_counts(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic()
    producer = Producer({"bootstrap.servers": kafka.addresses, "transactional.id": topic, "linger.ms": 0})
    producer.init_transactions(SECONDS)
    for customer, commits in (("a", True), ("aborted", False), ("b", True)):
        producer.begin_transaction()
        producer.produce(topic, line(customer))
        producer.flush(SECONDS)
        producer.commit_transaction(SECONDS) if commits else producer.abort_transaction(SECONDS)
    with reading(kafka.url(topic), InMemoryStore(memory)) as service:
        await_customers(memory, ["a", "b"])
        status = await_lag(service, f"{topic}/0")
    assert (status.size, status.lost_messages) == (6, 0)


def test_what_retention_deleted_unread_is_counted_as_lost(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic()
    send(kafka, topic, [line("a"), line("b")])
    with reading(kafka.url(topic), InMemoryStore(memory)):
        await_customers(memory, ["a", "b"])
    send(kafka, topic, [line("lost")] * 3 + [line("c")])
    kafka.delete_before(topic, 5)
    with reading(kafka.url(topic), InMemoryStore(memory)) as service:
        await_customers(memory, ["a", "b", "c"])
        status = await_lag(service, f"{topic}/0")
    assert status.lost_messages == 3


def test_a_partition_that_ends_before_the_stores_position_is_named(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic()
    send(kafka, topic, [line("a")])
    with reading(kafka.url(topic), InMemoryStore(memory)):
        await_customers(memory, ["a"])
    store = InMemoryStore(memory)
    [source] = store.all_sources()
    elsewhere = replace(source.checkpoint, position=packed(7))
    store.write([Batch(source.source_id, source.path, source.position, elsewhere, no_lines())])
    with reading(kafka.url(topic), InMemoryStore(memory)) as service:

        def error() -> str:
            status = status_of(service, f"{topic}/0")
            return "" if status is None else status.last_error or ""

        await_that(lambda: "found the end at offset 1, expected at least 7" in error(), SECONDS)
        assert "make the topic anew" in error()
    assert customers(memory) == ["a"]


def test_a_topic_that_was_made_anew_is_another_source(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic(name="made-anew")
    send(kafka, topic, [line("a"), line("b")])
    with reading(kafka.url(topic), InMemoryStore(memory)):
        await_customers(memory, ["a", "b"])
    kafka.delete_topic(topic)
    kafka.new_topic(name=topic)
    send(kafka, topic, [line("c")])
    with reading(kafka.url(topic), InMemoryStore(memory)):
        await_customers(memory, ["a", "b", "c"])


def test_a_topic_that_is_missing_is_named_and_read_once_it_is_there(kafka: Kafka, memory: Memory) -> None:
    with reading(kafka.url("not-there-yet"), InMemoryStore(memory)) as service:
        _await_error(service.sources, "there is no topic 'not-there-yet'; correct the name, or make it")
        [fault] = [each.fault for each in service.sources()]
        assert "there is no topic 'not-there-yet'" in (fault or "")
        kafka.new_topic(name="not-there-yet")
        send(kafka, "not-there-yet", [line("a")])
        await_customers(memory, ["a"])
        await_that(lambda: all(each.last_error is None for each in service.sources()), SECONDS)
        assert [each.fault for each in service.sources()] == [None]


def test_credentials_are_used_and_wrong_ones_named(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic()
    send(kafka, topic, [line("a")])
    wrong = kafka.url(topic, user=USER).replace("pass", "wrong", 1)
    with reading(wrong, InMemoryStore(memory)) as service:
        _await_error(service.sources, "refuse the user, the password or the way to sign in")
        assert "wrong" not in str(service.sources())
    with reading(kafka.url(topic, user=USER), InMemoryStore(memory)):
        await_customers(memory, ["a"])


def test_brokers_that_are_away_are_named(memory: Memory) -> None:
    with reading("kafka://127.0.0.1:1/logs", InMemoryStore(memory)) as service:
        _await_error(service.sources, "the brokers cannot be reached")


def test_a_message_of_more_than_a_mebibyte_is_read(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic(max_message_bytes="8000000")
    many = [line(f"c{number}") for number in range(40_000)]
    producer = Producer({"bootstrap.servers": kafka.addresses, "message.max.bytes": 8_000_000})
    producer.produce(topic, b"\n".join(many))
    producer.produce(topic, line("last"))
    assert producer.flush(SECONDS) == 0
    with reading(kafka.url(topic), InMemoryStore(memory)):
        await_customers(memory, [*(f"c{number}" for number in range(40_000)), "last"])


def test_the_customer_may_be_told_by_the_message(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic()
    send(kafka, topic, [line("a")], key=b"k")
    send(kafka, topic, [line("b")], headers={"tenant": b"t"})
    send(kafka, topic, [line("c")])
    told = "kafka:header:tenant,kafka:key,customer_id"
    with reading(kafka.url(topic), InMemoryStore(memory), log_customer=told):
        await_customers(memory, ["k", "t", "c"])
    assert customers(memory) == ["k", "t", "c"]


def test_topics_of_kafka_itself_are_of_no_glob(kafka: Kafka, memory: Memory) -> None:
    topic = kafka.new_topic(name="its_offsets")
    send(kafka, topic, [line("a")])
    with reading(kafka.url(topic), InMemoryStore(Memory())):  # from now on there are offsets of groups
        await_that(lambda: kafka.has_topic("__consumer_offsets", 1), SECONDS)
    with reading(kafka.url("*_offsets"), InMemoryStore(memory)) as service:
        await_customers(memory, ["a"])
        assert [each.path.split("/")[-2] for each in service.sources()] == [topic]


def test_log_start_end_is_not_about_a_topic_that_was_missing_at_start(kafka: Kafka, memory: Memory) -> None:
    with reading(kafka.url("made-later"), InMemoryStore(memory), log_start="end") as service:
        _await_error(service.sources, "there is no topic 'made-later'")
        kafka.new_topic(name="made-later")
        send(kafka, "made-later", [line("first")])
        await_customers(memory, ["first"])


def test_a_topic_that_may_not_be_read_is_wrong_until_it_gives_something() -> None:
    topic = LogTopic(KafkaUrl.parse("kafka://127.0.0.1:1/logs"), format_options("requests"))
    consumer = TopicConsumer(topic, load_settings(None).topic_options, 1, lambda: None)

    def looked(event: int) -> str:
        consumer._take_event(Mock(), Event(("logs", 0), 0, KafkaError(event)))
        consumer._next_look = 0.0
        consumer._look_whether_mended(Mock())
        return " ".join(status.last_error or "" for status in consumer.statuses())

    assert "the user may not use the topic 'logs'" in looked(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert looked(KafkaError._PARTITION_EOF) == ""


def test_a_topic_that_was_there_and_is_away_is_awaited_and_no_fault() -> None:
    topic = LogTopic(KafkaUrl.parse("kafka://127.0.0.1:1/logs"), format_options("requests"))
    consumer = TopicConsumer(topic, load_settings(None).topic_options, 1, lambda: None)

    def noted(error: QueueError | None) -> tuple[str, str | None]:
        consumer._note(error)
        [status] = consumer.statuses()
        return status.state, status.fault

    assert noted(TopicMissing("there is no topic 'logs'")) == ("missing", "there is no topic 'logs'")
    assert noted(QueueError("the brokers cannot be reached")) == ("unreadable", None)
    assert noted(None) == ("live", None)
    assert noted(TopicMissing("there is no topic 'logs'")) == ("awaited", None)
