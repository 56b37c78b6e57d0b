"""Reads the partitions of one URL in a thread of its own, from where the store says that they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tailmetrics.errors import PositionConflict, QueueError, TopicMissing
from tailmetrics.queues.kafka.assignment import CLAIM_AGAIN_SECONDS, MEND_SECONDS, Assignment
from tailmetrics.queues.kafka.client import configuration, meaning, translated
from tailmetrics.queues.kafka.cluster import Cluster
from tailmetrics.queues.kafka.complaints import Complaints
from tailmetrics.queues.kafka.fetched import Event, by_partition, events_in
from tailmetrics.queues.kafka.inbox import Inbox
from tailmetrics.queues.kafka.partition import AssignedPartition
from tailmetrics.queues.kafka.recreated import RecreatedTopics
from tailmetrics.queues.retrying import consume_again
from tailmetrics.settings import LogTopic, TopicOptions
from tailmetrics.sources import Batch, Messages, Partition, PartitionStep, Source
from tailmetrics.status import SourceState, SourceStatus
from tailmetrics.telemetry.log import EventLog
from tailmetrics.urls import KafkaUrl

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError

log = EventLog()

_LONGEST_RETRY_SECONDS = 10.0
_LOOK_SECONDS = 0.1  # that the client waits for a message before anything else is looked at
_FILL_SECONDS = 0.01  # that it waits for further ones
_MESSAGES_AT_ONCE = 2000  # of more the objects would not stay in the processor's cache
_MOST_FETCHED_KIB = 32 * 1024  # in the client
_HOLD_SECONDS = 30.0  # without room after which nothing is fetched any more
_SESSION_MS = 10_000  # after which others read on in place of a process that died
_NEW_TOPICS_MS = 5_000


class TopicConsumer:
    """The partitions of one URL that the group gives to this process.

    Methods may be called from any thread. The store owns the positions: a partition is claimed when it is
    assigned, and read from where the store is. The group's own offsets are for those who watch its lag.
    """

    def __init__(
        self, topic: LogTopic, options: TopicOptions, workers: int, wake: Callable[[], None]
    ) -> None:
        self.failure: BaseException | None = None
        self._topic = topic
        self._url = topic.url
        self._options = options
        self._wake = wake
        self._only_topic = None if topic.url.is_glob else topic.url.topic
        self._with_keys = "kafka:key" in topic.log_format.customer
        self._changed = threading.Condition()
        self._inbox = Inbox(self._changed, workers, options.chunk_bytes)
        self._assignment = Assignment(topic, self._changed, self._inbox, wake)
        self._at_start: set[str] | None = None  # the sources that were there
        self._stopping = False
        self._error: QueueError | None = QueueError(f"{topic.url}: not connected yet", is_final=False)
        self._was_seen = False  # since the start
        self._said: set[str] = set()  # since the topic was read: the brokers may each say it in turn
        self._complaints = Complaints(topic.url)
        # By topic, until it gives something: the client says it once, and describing may be allowed.
        self._refused: dict[str, QueueError] = {}
        self._consumer: Consumer | None = None
        self._next_look = 0.0
        self._full_since = 0.0
        self._thread = threading.Thread(target=self._run, name=f"kafka-{topic.url.topic}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Hand out no more; what was handed out may still be committed until `leave`."""
        self._inbox.close()

    def leave(self) -> list[PartitionStep]:
        """Leave the group; returns what the store is to be told of the partitions."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            partitions = [each.partition for each in self._assignment if each.partition is not None]
        return [PartitionStep(partition, "handover") for partition in partitions]

    def await_end(self, seconds: float) -> None:
        """Wait for the end that `leave` has begun, so long at most."""
        self._thread.join(seconds)

    def take(self, worker: int) -> Messages | PartitionStep | None:
        """The next chunk of one worker, None when there is none."""
        return self._inbox.take(worker)

    def committed(self, batch: Batch) -> bool:
        """Note what is stored of a partition; whether it is one of these."""
        with self._changed:
            assigned = None if batch.partition is None else self._assignment.find(batch.partition)
            if assigned is not None:
                self._assignment.stored(assigned, batch.checkpoint.position)
            return assigned is not None

    def claimed(self, partition: Partition, position: int) -> None:
        def begin(assigned: AssignedPartition) -> None:
            if self._consumer is not None:
                self._assignment.begin(self._consumer, assigned, position)

        self._assignment.answer(partition, begin)

    def handed_over(self, partition: Partition) -> None:
        with self._changed:
            assigned = self._assignment.find(partition)
            if assigned is not None and assigned.state == "closing":
                assigned.state = "closed"
                self._changed.notify_all()

    def conflicted(self, partition: Partition, error: PositionConflict) -> None:
        def claim_again(assigned: AssignedPartition) -> None:
            if self._consumer is not None and assigned.state == "reading":
                log.debug("a partition is claimed again", path=assigned.path, error=str(error))
                self._assignment.claim_again(self._consumer, assigned, CLAIM_AGAIN_SECONDS)

        self._assignment.answer(partition, claim_again)

    def statuses(self) -> Sequence[SourceStatus]:
        """Each partition, and the URL itself while there is something wrong with it or it has none."""
        with self._changed:
            statuses = [each.status() for each in self._assignment]
            if self._error is None and statuses:
                return statuses
            error = None if self._error is None else str(self._error)
            path, name = str(self._url), self._topic.log_format.name
            whole = SourceStatus("", path, 0, 0, 0, 0, 0, 0, 0.0, self._state(), error, format=name)
            return [whole, *statuses]

    def _state(self) -> SourceState:
        if self._error is None:
            return "live"
        if isinstance(self._error, TopicMissing):
            return "awaited" if self._was_seen else "missing"
        return "unreadable"

    def _run(self) -> None:
        try:
            consume_again(
                self._consume,
                lambda error: self._note(self._complaints.explained(error)),
                self._changed,
                lambda: self._stopping,
                _LONGEST_RETRY_SECONDS,
            )
        except BaseException as error:  # noqa: BLE001  # handed to whoever asks for chunks
            self.failure = error
            self._wake()

    def _consume(self) -> None:
        from confluent_kafka import Consumer  # noqa: PLC0415  # an extra

        self._complaints.forget()
        self._refused.clear()
        recreated = RecreatedTopics()
        values = _settings(self._url) | {"error_cb": self._hear} | recreated.settings
        with translated(self._url):
            consumer = Consumer(values)
        try:
            cluster = Cluster(self._url, self._hear)
            try:
                places = cluster.places()
            except TopicMissing:
                self._at_start = self._at_start or set()  # so what comes later is read from its first message
                raise
            if self._at_start is None:
                self._at_start = {each.source_id for each in cluster.sources(places).values()}
            self._note(None)
            self._read(consumer, cluster, recreated)
        finally:
            self._consumer = None
            consumer.close()
            self._assignment.clear()

    def _read(self, consumer: Consumer, cluster: Cluster, recreated: RecreatedTopics) -> None:
        topic = self._url.topic_pattern if self._url.is_glob else self._url.topic
        self._consumer = consumer
        with translated(self._url):
            consumer.subscribe(
                [topic],
                on_assign=self._assignment.on_assign,
                on_revoke=self._assignment.on_revoke,
                on_lost=self._assignment.on_lost,
            )
        while not self._stopping:
            self._assignment.act_on_answers()
            error = self._assignment.claim_what_is_due(consumer, cluster, self._begin_of)
            if error is not None:
                self._note(error)
            self._assignment.tell_group(consumer)
            self._look_whether_mended(cluster)
            if not self._wait_for_room(consumer):
                continue
            with translated(self._url):
                messages = consumer.consume(1, _LOOK_SECONDS)
                if messages:
                    messages += consumer.consume(_MESSAGES_AT_ONCE, _FILL_SECONDS)
            for name in recreated.take():
                self._assignment.begin_anew(consumer, name)
            self._take(consumer, messages)

    def _begin_of(self, source: Source, low: int, high: int) -> int:
        """Where a partition begins that the store does not know."""
        was_there = self._at_start is not None and source.source_id in self._at_start
        return high if self._options.log_start == "end" and was_there else low

    # Messages.

    def _take(self, consumer: Consumer, messages: Sequence[Any]) -> None:
        if not messages:
            return
        messages, events = events_in(messages)
        if messages:
            with self._changed:
                for each in by_partition(messages, self._only_topic, with_keys=self._with_keys):
                    self._refused.pop(each.place[0], None)
                    assigned = self._assignment.at(each.place)
                    if assigned is not None and (chunk := assigned.accept(each)) is not None:
                        self._inbox.put(chunk)
                    elif assigned is not None and assigned.is_to_be_sought:
                        self._assignment.fetch(consumer, assigned, on=True)
            self._wake()
        for event in events:
            self._take_event(consumer, event)
        self._note_ends(consumer)

    def _take_event(self, consumer: Consumer, event: Event) -> None:
        from confluent_kafka import KafkaError  # noqa: PLC0415  # an extra

        code = event.error.code()
        assigned = self._assignment.at(event.place)
        with self._changed:
            if code == KafkaError._PARTITION_EOF:
                self._refused.pop(event.place[0], None)
                if assigned is not None and assigned.state == "reading":
                    assigned.note_end(event.offset)
            elif code in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:
                if assigned is not None and assigned.state == "reading":
                    self._assignment.claim_again(consumer, assigned, 0.0)
            elif code == KafkaError.TOPIC_AUTHORIZATION_FAILED and event.place[0]:
                topic = event.place[0]
                self._refused[topic] = meaning(self._url, event.error, topic)
                self._note(self._refused[topic])
            else:
                self._hear(event.error)

    def _note_ends(self, consumer: Consumer) -> None:
        from confluent_kafka import TopicPartition  # noqa: PLC0415  # an extra

        for assigned in self._assignment:
            ends = consumer.get_watermark_offsets(TopicPartition(*assigned.place), cached=True)
            if assigned.state == "reading" and ends is not None:
                assigned.high = max(assigned.high, ends[1])

    def _wait_for_room(self, consumer: Consumer) -> bool:
        """Whether the client is to be asked for messages; waits while much is not handed out.

        A client that is never asked would be taken for dead, so after a while it is, but fetches no more.
        """
        with self._changed:
            if self._inbox.is_full:
                self._changed.wait_for(
                    lambda: not self._inbox.is_full or self._stopping or self._assignment.has_answers,
                    _LOOK_SECONDS,
                )
        now, is_full = time.monotonic(), self._inbox.is_full
        if not is_full:
            self._full_since = now
        is_held = is_full and now - self._full_since > _HOLD_SECONDS
        if is_held != self._assignment.is_held:
            self._assignment.hold(consumer, on=is_held)
        return is_held or not is_full

    # What is wrong.

    def _hear(self, error: KafkaError) -> None:
        """Note what the client says, but not of single brokers of which there may be others."""
        from confluent_kafka import KafkaError as Kind  # noqa: PLC0415  # an extra

        if error.code() == Kind._MAX_POLL_EXCEEDED:
            return
        self._complaints.note(error)
        found = meaning(self._url, error)
        if found.is_final or error.code() not in {Kind._TRANSPORT, Kind._RESOLVE, Kind._TIMED_OUT}:
            self._note(self._complaints.explained(found))

    def _look_whether_mended(self, cluster: Cluster) -> None:
        if self._error is None or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + MEND_SECONDS
        is_refused = self._complaints.is_refusal
        self._complaints.forget()
        try:
            cluster.places()
        except QueueError as error:
            self._note(self._complaints.explained(error))
        else:
            if not is_refused:
                self._note(next(iter(self._refused.values()), None))

    def _note(self, error: QueueError | None) -> None:
        if error is not None and str(error) not in self._said:
            self._said.add(str(error))
            log.warning("a topic cannot be read, trying again", error=str(error))
        elif error is None and self._error is not None:
            self._said.clear()
            log.info("a topic is read", path=str(self._url))
        with self._changed:
            self._error = error
            self._was_seen = self._was_seen or error is None


def _settings(url: KafkaUrl) -> dict[str, Any]:
    """Of the client that reads a topic; raises QueueError."""
    values = configuration(url, "ingest") | {
        "group.id": url.group,
        # Partitions that stay with their owner are read on while others move.
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": _SESSION_MS,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "queued.max.messages.kbytes": _MOST_FETCHED_KIB,
        "topic.metadata.refresh.interval.ms": _NEW_TOPICS_MS,
    }
    if url.is_glob:
        values["topic.blacklist"] = "^__"  # Kafka's own
    return values
