"""What one call of the client gives, by partition."""

from __future__ import annotations

from confluent_kafka import KafkaError, Message

from tailmetrics.queues.kafka.fetched import by_partition, events_in


def _message(
    partition: int, offset: int, value: bytes | None = b"v", topic: str = "t", **more: object
) -> Message:
    return Message(topic, partition, offset, b"k", value, **more)  # type: ignore[arg-type]  # a stub without names


def test_messages_of_a_partition_come_together_in_their_order() -> None:
    messages = [_message(0, 1, b"a"), _message(1, 5, b"b"), _message(0, 2, b"c"), _message(0, 3, None, "u")]
    fetched = list(by_partition(messages, None, with_keys=True))
    assert [(each.place, each.offsets.tolist(), each.values) for each in fetched] == [
        (("t", 0), [1, 2], [b"a", b"c"]),
        (("t", 1), [5], [b"b"]),
        (("u", 0), [3], [b""]),
    ]
    assert fetched[0].keys == [b"k", b"k"]
    assert fetched[0].headers is None


def test_only_those_from_an_offset_on_are_left() -> None:
    [fetched] = by_partition([_message(0, offset) for offset in (1, 4, 6)], "t", with_keys=False)
    assert fetched.behind(2).offsets.tolist() == [4, 6]
    assert fetched.behind(7).values == []


def test_what_is_said_between_messages_is_told_apart() -> None:
    end = Message("t", 1, 9, error=KafkaError(KafkaError._PARTITION_EOF))
    messages, events = events_in([_message(0, 1), end])
    assert len(messages) == 1
    assert [(each.place, each.offset, each.error.code()) for each in events] == [
        (("t", 1), 9, KafkaError._PARTITION_EOF)
    ]
