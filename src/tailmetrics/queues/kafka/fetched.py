"""What one call of the client gave, by partition: no Python runs for each message."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tailmetrics.queues.kafka.cluster import Place

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message


@dataclass(frozen=True, slots=True)
class Fetched:
    """Messages of one partition in their order; `headers` is None where none has any."""

    place: Place
    offsets: npt.NDArray[np.int64]
    values: list[bytes]
    headers: list[Any] | None
    keys: list[Any] | None
    written_ms: int

    def behind(self, offset: int) -> Fetched:
        """Those from an offset on."""
        first = int(np.searchsorted(self.offsets, offset))
        if not first:
            return self
        return replace(
            self,
            offsets=self.offsets[first:],
            values=self.values[first:],
            headers=self.headers and self.headers[first:],
            keys=self.keys and self.keys[first:],
        )


@dataclass(frozen=True, slots=True)
class Event:
    """What the client says of a partition, or of no known one."""

    place: Place
    offset: int
    error: KafkaError


def events_in(messages: Sequence[Message]) -> tuple[list[Message], list[Event]]:
    """The messages that are some, and what was said between them."""
    from confluent_kafka import Message  # noqa: PLC0415  # an extra

    errors = list(map(Message.error, messages))
    if not any(errors):  # one that is there is true
        return list(messages), []
    said = [
        Event((message.topic() or "", _number(message.partition())), _number(message.offset()), error)
        for message, error in zip(messages, errors, strict=True)
        if error is not None
    ]
    return [each for each, error in zip(messages, errors, strict=True) if error is None], said


def by_partition(
    messages: Sequence[Message], only_topic: str | None, *, with_keys: bool
) -> Iterator[Fetched]:
    """The same messages, those of one partition together; `only_topic` is that of all, where it is known."""
    from confluent_kafka import Message  # noqa: PLC0415  # an extra

    count = len(messages)
    if only_topic is not None:
        yield from _of_topic(only_topic, messages, with_keys=with_keys)
        return
    topics = list(map(Message.topic, messages))
    for topic in dict.fromkeys(topics):
        if topics.count(topic) == count:
            yield from _of_topic(str(topic), messages, with_keys=with_keys)
        else:
            of_topic = [message for message, name in zip(messages, topics, strict=True) if name == topic]
            yield from _of_topic(str(topic), of_topic, with_keys=with_keys)


def _of_topic(topic: str, messages: Sequence[Message], *, with_keys: bool) -> Iterator[Fetched]:
    from confluent_kafka import Message  # noqa: PLC0415  # an extra

    count = len(messages)
    numbers: npt.NDArray[np.int32] = np.fromiter(map(Message.partition, messages), np.int32, count)
    values: list[Any] = list(map(Message.value, messages))
    if not all(values):
        values = [value or b"" for value in values]  # of a key that was deleted
    headers = list(map(Message.headers, messages))
    has_headers = headers.count(None) < count
    keys = list(map(Message.key, messages)) if with_keys else None
    for number in np.unique(numbers).tolist():
        chosen = np.flatnonzero(numbers == number)
        yield Fetched(
            place=(topic, number),
            offsets=_offsets(messages, chosen),
            values=_of(values, chosen),
            headers=_of(headers, chosen) if has_headers else None,
            keys=None if keys is None else _of(keys, chosen),
            written_ms=max(0, messages[int(chosen[-1])].timestamp()[1]),
        )


def _offsets(messages: Sequence[Message], chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The offsets of messages of one partition: they rise, so the ends tell whether any is missing."""
    first, last = (messages[int(place)].offset() or 0 for place in (chosen[0], chosen[-1]))
    if last - first + 1 == len(chosen):
        return np.arange(first, last + 1)
    return np.array([messages[place].offset() for place in chosen.tolist()], np.int64)


def _number(value: int | None) -> int:
    return -1 if value is None else value


def _of(items: list[Any], chosen: npt.NDArray[np.int64]) -> list[Any]:
    first, last = int(chosen[0]), int(chosen[-1])
    if last - first + 1 == len(chosen):
        return items[first : last + 1]
    return list(operator.itemgetter(*chosen.tolist())(items))
