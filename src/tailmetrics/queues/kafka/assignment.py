"""The partitions that the group gives to one consumer: claimed, read from where the store is, handed over."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tailmetrics.errors import QueueError
from tailmetrics.queues.kafka.cluster import Cluster, Place
from tailmetrics.queues.kafka.inbox import Inbox
from tailmetrics.queues.kafka.partition import AssignedPartition
from tailmetrics.settings import LogTopic
from tailmetrics.sources import Partition, PartitionStep, Source, packed, unpacked
from tailmetrics.telemetry.log import EventLog

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

log = EventLog()

CLAIM_AGAIN_SECONDS = 1.0
MEND_SECONDS = 5.0  # from one look at what is wrong to the next
_SEEK_AGAIN_SECONDS = 0.1
_HANDOVER_SECONDS = 10.0
_GROUP_OFFSETS_SECONDS = 1.0


class Assignment:
    """What is assigned to one consumer, from its subscription on.

    Changed by the consumer's thread only, within the lock `changed`, but for what `answer` is told.
    """

    def __init__(
        self, topic: LogTopic, changed: threading.Condition, inbox: Inbox, wake: Callable[[], None]
    ) -> None:
        self.is_held = False  # whether nothing is fetched
        self._topic = topic
        self._changed = changed
        self._inbox = inbox
        self._wake = wake
        self._assigned: dict[Place, AssignedPartition] = {}
        self._answers: deque[Callable[[], None]] = deque()
        self._stored: dict[Place, int] = {}  # offsets in Kafka to tell the group
        self._next_group_offsets = 0.0

    def __iter__(self) -> Iterator[AssignedPartition]:
        return iter(list(self._assigned.values()))

    def at(self, place: Place) -> AssignedPartition | None:
        return self._assigned.get(place)

    def find(self, partition: Partition) -> AssignedPartition | None:
        """The same partition, in whatever term."""
        source_id = partition.source.source_id
        return next((each for each in self if each.source_id == source_id), None)

    def stored(self, assigned: AssignedPartition, position: int) -> None:
        """Note how far the store is."""
        assigned.committed = max(assigned.committed, position)
        self._stored[assigned.place] = unpacked(assigned.committed)[0]

    # Rebalances, within calls of the client.

    def on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        from confluent_kafka import TopicPartition  # noqa: PLC0415  # an extra

        # Nothing is read before the store has said from where on. A number, as for the end of a partition the
        # client would ask the broker, whose answer may come after we have sought elsewhere, and count.
        consumer.incremental_assign([TopicPartition(each.topic, each.partition, 0) for each in partitions])
        if not partitions:
            return
        consumer.pause(partitions)
        with self._changed:
            for each in partitions:
                place = (each.topic, each.partition)
                self._assigned[place] = self._new(place)
        log.info("partitions assigned", path=str(self._topic.url), partitions=_names(partitions))

    def on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Have what was handed out committed, so that whoever is next goes on behind it."""
        leaving = [found for each in partitions if (found := self.at((each.topic, each.partition)))]
        with self._changed:
            for assigned in leaving:
                self._inbox.forget(assigned.source_id)
                if assigned.partition is not None and not self._inbox.is_closed:
                    assigned.state = "closing"
                    self._inbox.put(PartitionStep(assigned.partition, "handover"))
        self._wake()
        with self._changed:
            self._changed.wait_for(
                lambda: self._inbox.is_closed or not any(each.state == "closing" for each in leaving),
                _HANDOVER_SECONDS,
            )
        self._next_group_offsets = 0.0
        self.tell_group(consumer)
        consumer.incremental_unassign(partitions)
        self._drop(partitions)
        if partitions and not self._inbox.is_closed:
            log.info("partitions revoked", path=str(self._topic.url), partitions=_names(partitions))

    def on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Others may have them already, and wait for a lease on them."""
        lost = [found for each in partitions if (found := self.at((each.topic, each.partition)))]
        consumer.incremental_unassign(partitions)
        self._drop(partitions)
        for assigned in lost:
            if assigned.partition is not None:
                self._inbox.put(PartitionStep(assigned.partition, "handover"))
        self._wake()
        log.warning("partitions lost", path=str(self._topic.url), partitions=_names(partitions))

    def _drop(self, partitions: Sequence[TopicPartition]) -> None:
        with self._changed:
            for each in partitions:
                place = (each.topic, each.partition)
                self._stored.pop(place, None)
                if (assigned := self._assigned.pop(place, None)) is not None:
                    self._inbox.forget(assigned.source_id)

    def begin_anew(self, consumer: Consumer, topic: str) -> None:
        """Read a topic from its beginning that was deleted and made anew: as other sources.

        What was fetched of the old one is read on.
        """
        for assigned in self:
            if assigned.place[0] != topic:
                continue
            self.fetch(consumer, assigned, on=False)
            with self._changed:
                if assigned.partition is not None:
                    self._inbox.put(PartitionStep(assigned.partition, "handover"))
                self._stored.pop(assigned.place, None)
                anew = self._assigned[assigned.place] = self._new(assigned.place)
                # The broker that is asked who it is may know of it a moment later than the one that is read.
                anew.claim_due = time.monotonic() + CLAIM_AGAIN_SECONDS
        self._wake()
        log.warning(
            "a topic was deleted and made anew, it is read from its beginning",
            path=str(self._topic.url),
            topic=topic,
        )

    def _new(self, place: Place) -> AssignedPartition:
        return AssignedPartition(place, self._topic.url.place(*place), self._topic.log_format)

    def clear(self) -> None:
        """Forget all, when the connection ends."""
        with self._changed:
            self._assigned.clear()
            self._answers.clear()
            self._stored.clear()
            self._inbox.clear()
            self.is_held = False

    # Positions.

    def answer(self, partition: Partition, act: Callable[[AssignedPartition], None]) -> None:
        """Have the consumer's thread act on a partition, if it is still in the same term; from any thread."""

        def when_current() -> None:
            assigned = self.find(partition)
            if assigned is not None and assigned.partition == partition:
                act(assigned)

        with self._changed:
            self._answers.append(when_current)
            self._changed.notify_all()

    @property
    def has_answers(self) -> bool:
        return bool(self._answers)

    def act_on_answers(self) -> None:
        with self._changed:
            while self._answers:
                self._answers.popleft()()

    def claim_what_is_due(
        self, consumer: Consumer, cluster: Cluster, begin_of: Callable[[Source, int, int], int]
    ) -> QueueError | None:
        """Ask the store for positions; `begin_of` tells where a source begins that it does not know.

        Returns what the cluster says against it.
        """
        now = time.monotonic()
        due = [each for each in self if each.state in {"new", "faulty"} and each.claim_due <= now]
        if not due:
            return None
        try:
            ends = {each.place: cluster.ends(consumer, each.place) for each in due}
            sources = cluster.sources(ends)
        except QueueError as error:
            for assigned in due:
                assigned.claim_due = now + CLAIM_AGAIN_SECONDS
            return error
        with self._changed:
            for assigned in due:
                source, (low, high) = sources[assigned.place], ends[assigned.place]
                begin = replace(source.checkpoint, position=packed(begin_of(source, low, high)))
                partition = assigned.claim(replace(source, checkpoint=begin), (low, high))
                self._inbox.put(PartitionStep(partition, "claim"))
        self._wake()
        return None

    def begin(self, consumer: Consumer, assigned: AssignedPartition, position: int) -> None:
        """Go on from the store's position."""
        if assigned.state != "claiming":
            return
        if assigned.begin(position):
            self.fetch(consumer, assigned, on=not self.is_held)
            return
        error = (
            f"{assigned.path}: found the end at offset {assigned.high}, expected at least "
            f"{unpacked(position)[0]}, where the store is: the topic lost messages, or is a copy that is "
            "behind. Bring its messages back, or make the topic anew: a new one is read from its beginning"
        )
        if error != assigned.error:
            log.error("a partition ends before the store's position", error=error)
        self.claim_again(consumer, assigned, MEND_SECONDS, error)

    def claim_again(
        self, consumer: Consumer, assigned: AssignedPartition, seconds: float, error: str | None = None
    ) -> None:
        """Drop what waits of a partition, and ask the store again where it is, after so many seconds."""
        self._inbox.forget(assigned.source_id)
        self.fetch(consumer, assigned, on=False)
        assigned.again(seconds, error)

    def fetch(self, consumer: Consumer, assigned: AssignedPartition, *, on: bool) -> None:
        """Have the client fetch a partition from where it is read, or not."""
        from confluent_kafka import KafkaException, TopicPartition  # noqa: PLC0415  # an extra

        partition = TopicPartition(*assigned.place, assigned.read_to)
        try:
            if on:
                consumer.seek(partition)
                consumer.resume([partition])
            else:
                consumer.pause([partition])
        except KafkaException as error:
            log.debug("a partition cannot be sought", path=assigned.path, error=str(error))
            if on:
                self._assign_anew(consumer, assigned)

    def _assign_anew(self, consumer: Consumer, assigned: AssignedPartition) -> None:
        """Have a partition fetched that the client gave up, as of an offset that is no more."""
        from confluent_kafka import KafkaException, TopicPartition  # noqa: PLC0415  # an extra

        partition = TopicPartition(*assigned.place, assigned.read_to)
        try:
            consumer.incremental_unassign([partition])
            consumer.incremental_assign([partition])
            consumer.resume([partition])
        except KafkaException as error:
            log.debug("a partition cannot be assigned anew", path=assigned.path, error=str(error))
            assigned.again(_SEEK_AGAIN_SECONDS)

    def hold(self, consumer: Consumer, *, on: bool) -> None:
        """Have the client fetch nothing, or go on."""
        self.is_held = on
        for assigned in self:
            if assigned.state == "reading":
                self.fetch(consumer, assigned, on=not on)

    def tell_group(self, consumer: Consumer) -> None:
        """Commit offsets to Kafka, for those who watch the group's lag; nobody here reads them."""
        from confluent_kafka import KafkaException, TopicPartition  # noqa: PLC0415  # an extra

        now = time.monotonic()
        if not self._stored or now < self._next_group_offsets:
            return
        self._next_group_offsets = now + _GROUP_OFFSETS_SECONDS
        with self._changed:
            stored = [TopicPartition(*place, offset) for place, offset in self._stored.items()]
            self._stored.clear()
        try:
            consumer.commit(offsets=stored, asynchronous=True)
        except KafkaException as error:
            log.debug("the group cannot be told", path=str(self._topic.url), error=str(error))


def _names(partitions: Sequence[TopicPartition]) -> str:
    return ", ".join(f"{each.topic}/{each.partition}" for each in partitions)
