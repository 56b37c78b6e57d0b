"""Reads the partitions of one URL in a thread of its own, from where the store says that they are."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tailmetrics.errors import PositionConflict, QueueError, SourceHeld
from tailmetrics.queues.kafka.client import configuration, meaning, translated
from tailmetrics.queues.kafka.cluster import Cluster, Place
from tailmetrics.queues.kafka.fetched import Event, by_partition, events_in
from tailmetrics.queues.kafka.partition import AssignedPartition
from tailmetrics.settings import LogTopic, TopicOptions
from tailmetrics.sources import Batch, Messages, Partition, PartitionStep, unpacked
from tailmetrics.status import SourceStatus
from tailmetrics.telemetry.log import EventLog

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

log = EventLog()

_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 10.0
_LOOK_SECONDS = 0.1  # that the client waits for a message before anything else is looked at
_FILL_SECONDS = 0.01  # that it waits for further ones
_MESSAGES_AT_ONCE = 20_000
_MOST_WAITING_BYTES = 16 * 1024 * 1024  # fetched, and not handed out
_MOST_FETCHED_KIB = 32 * 1024  # in the client
_PAUSE_SECONDS = 30.0  # without room after which nothing is fetched any more
_HANDOVER_SECONDS = 10.0
_CLAIM_AGAIN_SECONDS = 1.0
_MEND_SECONDS = 5.0  # from one look at what is wrong to the next
_GROUP_OFFSETS_SECONDS = 1.0
_NEW_TOPICS_MS = 5_000


class TopicConsumer:
    """The partitions of one URL that the group gives to this process.

    Methods may be called from any thread. The store owns the positions: a partition is claimed when it is
    assigned, and read from where the store is. The group's own offsets are for those who watch its lag.
    """

    def __init__(self, topic: LogTopic, options: TopicOptions, wake: Callable[[], None]) -> None:
        self.failure: BaseException | None = None
        self._topic = topic
        self._url = topic.url
        self._options = options
        self._wake = wake
        self._with_keys = "kafka:key" in topic.log_format.customer
        self._changed = threading.Condition()
        self._ready: dict[int, deque[Messages | PartitionStep]] = {}  # by worker
        self._waiting_bytes = 0
        self._assigned: dict[Place, AssignedPartition] = {}
        self._answers: deque[Callable[[], None]] = deque()  # for the consumer's thread
        self._stored: dict[Place, int] = {}  # offsets in Kafka to tell the group
        self._at_start: set[Place] | None = None
        self._ended = False
        self._stopping = False
        self._error: QueueError | None = QueueError(f"{topic.url}: not connected yet", is_final=False)
        self._heard: QueueError | None = None  # from the client, between two looks
        self._consumer: Consumer | None = None
        self._next_group_offsets = 0.0
        self._next_mend = 0.0
        self._full_since = 0.0
        self._is_held = False  # whether nothing is fetched
        self._thread = threading.Thread(target=self._run, name=f"kafka-{topic.url.topic}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Hand out no more; what was handed out may still be committed until `leave`."""
        with self._changed:
            self._ended = True
            self._ready.clear()

    def leave(self) -> list[PartitionStep]:
        """Leave the group; returns what the store is to be told of the partitions."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            return [
                PartitionStep(each.partition, "handover")
                for each in self._assigned.values()
                if each.partition is not None
            ]

    def await_end(self, seconds: float) -> None:
        """Wait for the end that `leave` has begun, so long at most."""
        self._thread.join(seconds)

    def take(self, worker: int) -> Messages | PartitionStep | None:
        """The next chunk of one worker, None when there is none."""
        with self._changed:
            ready = self._ready.get(worker)
            if not ready or self._ended:
                return None
            chunk = ready.popleft()
            if isinstance(chunk, Messages):
                self._waiting_bytes -= sum(map(len, chunk.values))
                self._changed.notify_all()
            return chunk

    def committed(self, batch: Batch) -> bool:
        """Note what is stored of a partition; whether it is one of these."""
        with self._changed:
            assigned = self._find(batch.partition)
            if assigned is None:
                return False
            assigned.committed = max(assigned.committed, batch.checkpoint.position)
            self._stored[assigned.place] = unpacked(assigned.committed)[0]
            return True

    def claimed(self, partition: Partition, position: int) -> None:
        self._answer(partition, lambda assigned: self._begin(assigned, position))

    def handed_over(self, partition: Partition) -> None:
        with self._changed:
            if (assigned := self._find(partition)) is not None and assigned.state == "closing":
                assigned.state = "new"
                assigned.claim_due = float("inf")
                self._changed.notify_all()

    def conflicted(self, partition: Partition, error: PositionConflict) -> None:
        def again(assigned: AssignedPartition) -> None:
            if assigned.state == "reading":
                self._claim_again(assigned, _CLAIM_AGAIN_SECONDS, None)
                if isinstance(error, SourceHeld):
                    log.debug("a partition is held", path=assigned.path, error=str(error))

        self._answer(partition, again)

    def statuses(self) -> Sequence[SourceStatus]:
        """Each partition, and the URL itself while there is something wrong with it or it has none."""
        with self._changed:
            statuses = [each.status() for each in self._assigned.values()]
            if self._error is None and statuses:
                return statuses
            error = None if self._error is None else str(self._error)
            state = "live" if error is None else "unreadable"
            path, name = str(self._url), self._topic.log_format.name
            whole = SourceStatus("", path, 0, 0, 0, 0, 0, 0, 0.0, state, error, format=name)  # type: ignore[arg-type]  # one of two words
            return [whole, *statuses]

    def _find(self, partition: Partition | None) -> AssignedPartition | None:
        """The assigned partition, in whatever term."""
        return next(
            (
                each
                for each in self._assigned.values()
                if partition is not None and each.source_id == partition.source.source_id
            ),
            None,
        )

    def _answer(self, partition: Partition, act: Callable[[AssignedPartition], None]) -> None:
        """Have the consumer's thread act on a partition that is still in the same term."""

        def when_current() -> None:
            assigned = self._find(partition)
            if assigned is not None and assigned.partition == partition:
                act(assigned)

        with self._changed:
            self._answers.append(when_current)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            retry_seconds = _FIRST_RETRY_SECONDS
            while not self._stopping:
                began = time.monotonic()
                try:
                    self._consume()
                except QueueError as error:
                    self._note(self._heard if self._heard and self._heard.is_final else error)
                if time.monotonic() - began > _LONGEST_RETRY_SECONDS:
                    retry_seconds = _FIRST_RETRY_SECONDS
                with self._changed:
                    seconds = retry_seconds * random.uniform(0.5, 1.0)  # noqa: S311  # spreads consumers, no secret
                    self._changed.wait_for(lambda: self._stopping, seconds)
                retry_seconds = min(2 * retry_seconds, _LONGEST_RETRY_SECONDS)
        except BaseException as error:  # noqa: BLE001  # handed to whoever asks for chunks
            self.failure = error
            self._wake()

    def _consume(self) -> None:
        from confluent_kafka import Consumer  # noqa: PLC0415  # an extra

        self._heard = None
        values = configuration(self._url, "ingest") | {
            "group.id": self._url.group,
            # Partitions that stay with their owner are read on while others move.
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10_000,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "queued.max.messages.kbytes": _MOST_FETCHED_KIB,
            "topic.metadata.refresh.interval.ms": _NEW_TOPICS_MS,
            "error_cb": self._hear,
        }
        with translated(self._url):
            consumer = Consumer(values)
        try:
            cluster = Cluster(self._url, self._hear)
            places = cluster.places()
            if self._at_start is None:
                self._at_start = places
            self._note(None)
            self._read(consumer, cluster)
        finally:
            self._consumer = None
            consumer.close()
            with self._changed:
                self._assigned.clear()
                self._ready.clear()
                self._answers.clear()
                self._waiting_bytes = 0

    def _read(self, consumer: Consumer, cluster: Cluster) -> None:
        topic = self._url.topic_pattern if self._url.is_glob else self._url.topic
        self._consumer = consumer
        with translated(self._url):
            consumer.subscribe(
                [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
        while not self._stopping:
            self._act_on_answers()
            self._claim_what_is_due(consumer, cluster)
            self._tell_group(consumer)
            self._look_whether_mended(cluster)
            if not self._wait_for_room(consumer):
                continue
            with translated(self._url):
                messages = consumer.consume(1, _LOOK_SECONDS)
                if messages:
                    messages += consumer.consume(_MESSAGES_AT_ONCE, _FILL_SECONDS)
            self._take(consumer, messages)

    # Rebalances, within calls of the client.

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        from confluent_kafka import OFFSET_END, TopicPartition  # noqa: PLC0415  # an extra

        # Nothing is read before the store has said from where on.
        consumer.incremental_assign(
            [TopicPartition(each.topic, each.partition, OFFSET_END) for each in partitions]
        )
        if partitions:
            consumer.pause(partitions)
        with self._changed:
            for each in partitions:
                place = (each.topic, each.partition)
                path = self._url.place(*place)
                self._assigned[place] = AssignedPartition(place, path, self._topic.log_format)
        if partitions:
            log.info("partitions assigned", path=str(self._url), partitions=_names(partitions))

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Have what was handed out committed, so that whoever is next goes on behind it."""
        places = [(each.topic, each.partition) for each in partitions]
        with self._changed:
            leaving = [self._assigned[place] for place in places if place in self._assigned]
            for assigned in leaving:
                self._forget_waiting(assigned)
                if assigned.partition is not None and not self._ended:
                    assigned.state = "closing"
                    self._put(assigned, PartitionStep(assigned.partition, "handover"))
        self._wake()
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or not any(each.state == "closing" for each in leaving),
                _HANDOVER_SECONDS,
            )
        self._next_group_offsets = 0.0
        self._tell_group(consumer)
        consumer.incremental_unassign(partitions)
        self._drop(places)
        if partitions and not self._stopping:
            log.info("partitions revoked", path=str(self._url), partitions=_names(partitions))

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Others have them already."""
        consumer.incremental_unassign(partitions)
        self._drop([(each.topic, each.partition) for each in partitions])
        log.warning(
            "partitions lost to others of the group", path=str(self._url), partitions=_names(partitions)
        )

    def _drop(self, places: Sequence[Place]) -> None:
        with self._changed:
            for place in places:
                if (assigned := self._assigned.pop(place, None)) is not None:
                    self._forget_waiting(assigned)
                self._stored.pop(place, None)

    # Positions.

    def _act_on_answers(self) -> None:
        with self._changed:
            answers = list(self._answers)
            self._answers.clear()
        for act in answers:
            with self._changed:
                act()

    def _claim_what_is_due(self, consumer: Consumer, cluster: Cluster) -> None:
        now = time.monotonic()
        due = [
            each
            for each in self._assigned.values()
            if each.state in {"new", "faulty"} and each.claim_due <= now
        ]
        if not due:
            return
        try:
            ends = {each.place: cluster.ends(consumer, each.place) for each in due}
            begins = {place: self._begin_of(place, *ends[place]) for place in ends}
            sources = cluster.sources(list(ends), begins)
        except QueueError as error:
            self._note(error)
            for assigned in due:
                assigned.claim_due = now + _CLAIM_AGAIN_SECONDS
            return
        with self._changed:
            for assigned in due:
                partition = assigned.claim(sources[assigned.place], ends[assigned.place])
                self._put(assigned, PartitionStep(partition, "claim"))
        self._wake()

    def _begin_of(self, place: Place, low: int, high: int) -> int:
        """Where a partition begins that the store does not know."""
        was_there = self._at_start is not None and place in self._at_start
        return high if self._options.log_start == "end" and was_there else low

    def _begin(self, assigned: AssignedPartition, position: int) -> None:
        """Go on from the store's position."""
        if assigned.state != "claiming" or self._consumer is None:
            return
        offset = assigned.begin(position)
        if offset is None:
            error = (
                f"{assigned.path}: found the end at offset {assigned.high}, expected at least "
                f"{unpacked(position)[0]}, where the store is: the topic lost messages, or is a copy that is "
                "behind. Bring its messages back, or make it anew: a new topic is read from its beginning"
            )
            if error != assigned.error:
                log.error("a partition ends before the store's position", error=error)
            self._claim_again(assigned, _MEND_SECONDS, error)
            return
        if not self._is_held:
            self._fetch(self._consumer, assigned, on=True)

    def _claim_again(self, assigned: AssignedPartition, seconds: float, error: str | None) -> None:
        self._forget_waiting(assigned)
        if self._consumer is not None:
            self._fetch(self._consumer, assigned, on=False)
        assigned.again(seconds, error)

    def _tell_group(self, consumer: Consumer) -> None:
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
            log.debug("the group cannot be told", path=str(self._url), error=str(error))

    # Messages.

    def _take(self, consumer: Consumer, messages: Sequence[Any]) -> None:
        if not messages:
            return
        messages, events = events_in(messages)
        if messages:
            with self._changed:
                fetched = list(by_partition(messages, with_keys=self._with_keys))
                for each in fetched:
                    assigned = self._assigned.get(each.place)
                    chunk = assigned and assigned.accept(
                        each.offsets,
                        each.values,
                        each.headers,
                        each.keys,
                        each.written_ms,
                    )
                    if assigned and chunk:
                        self._put(assigned, chunk)
            self._wake()
        for event in events:
            self._take_event(event)
        self._note_ends(consumer)

    def _take_event(self, event: Event) -> None:
        from confluent_kafka import KafkaError  # noqa: PLC0415  # an extra

        place = (str(event.topic), int(event.partition if event.partition is not None else -1))
        with self._changed:
            assigned = self._assigned.get(place)
            code = event.error.code()
            if code == KafkaError._PARTITION_EOF:
                if assigned is not None and event.offset is not None and assigned.state == "reading":
                    assigned.note_end(event.offset)
            elif code in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:
                if assigned is not None and assigned.state == "reading":
                    self._claim_again(assigned, 0.0, None)
            else:
                self._hear(event.error)

    def _note_ends(self, consumer: Consumer) -> None:
        from confluent_kafka import TopicPartition  # noqa: PLC0415  # an extra

        with self._changed:
            for assigned in self._assigned.values():
                ends = consumer.get_watermark_offsets(TopicPartition(*assigned.place), cached=True)
                if assigned.state == "reading" and ends is not None and ends[1] >= 0:
                    assigned.high = max(assigned.high, ends[1])

    def _put(self, assigned: AssignedPartition, chunk: Messages | PartitionStep) -> None:
        worker = hash(assigned.place) % self._options.workers
        self._ready.setdefault(worker, deque()).append(chunk)
        if isinstance(chunk, Messages):
            self._waiting_bytes += sum(map(len, chunk.values))

    def _forget_waiting(self, assigned: AssignedPartition) -> None:
        for worker, ready in self._ready.items():
            kept = deque(chunk for chunk in ready if chunk.partition.source.source_id != assigned.source_id)
            self._ready[worker] = kept
        self._waiting_bytes = sum(
            len(value)
            for ready in self._ready.values()
            for chunk in ready
            if isinstance(chunk, Messages)
            for value in chunk.values
        )

    def _wait_for_room(self, consumer: Consumer) -> bool:
        """Whether the client is to be asked for messages; waits while much is not handed out.

        A client that is never asked would be taken for dead, so after a while it is, but fetches no more.
        """
        with self._changed:
            is_full = self._waiting_bytes > _MOST_WAITING_BYTES
            if is_full:
                self._changed.wait_for(
                    lambda: (
                        self._waiting_bytes <= _MOST_WAITING_BYTES or self._stopping or bool(self._answers)
                    ),
                    _LOOK_SECONDS,
                )
                is_full = self._waiting_bytes > _MOST_WAITING_BYTES
        if not is_full:
            self._full_since = time.monotonic()
        if is_full == self._is_held or (is_full and time.monotonic() - self._full_since < _PAUSE_SECONDS):
            return self._is_held or not is_full
        self._is_held = is_full
        for assigned in list(self._assigned.values()):
            if assigned.state == "reading":
                self._fetch(consumer, assigned, on=not is_full)
        return True

    def _fetch(self, consumer: Consumer, assigned: AssignedPartition, *, on: bool) -> None:
        """Have the client fetch a partition from where it is read, or not; it is claimed again on failure."""
        from confluent_kafka import KafkaException, TopicPartition  # noqa: PLC0415  # an extra

        partition = TopicPartition(*assigned.place, assigned.read_to)
        try:
            if on:
                consumer.seek(partition)
                consumer.resume([partition])
            else:
                consumer.pause([partition])
        except KafkaException as error:
            # It may not be fetched yet, right behind its assignment.
            log.debug("cannot seek yet", path=assigned.path, error=str(error))
            if on:
                assigned.again(_LOOK_SECONDS)

    # What is wrong.

    def _hear(self, error: KafkaError) -> None:
        """Note what the client says, but not of single brokers of which there may be others."""
        from confluent_kafka import KafkaError as Kind  # noqa: PLC0415  # an extra

        if error.code() in {Kind._TRANSPORT, Kind._RESOLVE, Kind._TIMED_OUT, Kind._MAX_POLL_EXCEEDED}:
            return
        self._heard = meaning(self._url, error)
        self._note(self._heard)

    def _look_whether_mended(self, cluster: Cluster) -> None:
        if self._error is None or time.monotonic() < self._next_mend:
            return
        self._next_mend = time.monotonic() + _MEND_SECONDS
        heard, self._heard = self._heard, None
        try:
            cluster.places()
        except QueueError as error:
            self._note(self._heard if self._heard and self._heard.is_final else error)
        else:
            if heard is None or not heard.is_final:
                self._note(None)

    def _note(self, error: QueueError | None) -> None:
        if error is not None and str(error) != str(self._error):
            log.warning("a topic cannot be read, trying again", error=str(error))
        elif error is None and self._error is not None:
            log.info("a topic is read", path=str(self._url))
        with self._changed:
            self._error = error


def _names(partitions: Sequence[TopicPartition]) -> str:
    return ", ".join(f"{each.topic}/{each.partition}" for each in partitions)
