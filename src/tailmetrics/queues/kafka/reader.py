"""The messages of all topics as chunks, and who is told what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tailmetrics.errors import PositionConflict
from tailmetrics.queues.kafka.client import require_client
from tailmetrics.queues.kafka.consumer import TopicConsumer
from tailmetrics.settings import TopicOptions
from tailmetrics.sources import Batch, Messages, Partition, PartitionStep
from tailmetrics.status import SourceStatus

_MOST_CHUNKS = 1000  # at a time
_LEAVE_SECONDS = 2.0  # for all clusters together: one that is away need not be waited for


class TopicReader:
    """The topics of LOG_FILE_PATH. All methods may be called from any thread.

    Raises SettingsError without the client library.
    """

    def __init__(self, options: TopicOptions, workers: int, wake: Callable[[], None]) -> None:
        if options.topics:
            require_client()
        self._chunk_bytes = options.chunk_bytes
        self._consumers = [TopicConsumer(topic, options, workers, wake) for topic in options.topics]
        self._turn = 0
        self._closed = False
        for consumer in self._consumers:
            consumer.start()

    def next_chunks(self, worker: int = 0) -> list[Messages | PartitionStep]:
        """What is new, about CHUNK_BYTES in all; a partition is always of the same worker."""
        chunks: list[Messages | PartitionStep] = []
        room = self._chunk_bytes
        self._turn += 1
        for place in range(len(self._consumers)):
            consumer = self._consumers[(self._turn + place) % len(self._consumers)]
            if consumer.failure is not None:
                raise consumer.failure
            while room > 0 and len(chunks) < _MOST_CHUNKS and (chunk := consumer.take(worker)) is not None:
                chunks.append(chunk)
                if isinstance(chunk, Messages):
                    room -= chunk.size
        return chunks

    def committed(self, batch: Batch) -> None:
        """Note that a batch is durably in the store."""
        for consumer in self._consumers:
            if consumer.committed(batch):
                return

    def claimed(self, partition: Partition, position: int) -> None:
        for consumer in self._consumers:
            consumer.claimed(partition, position)

    def handed_over(self, partition: Partition) -> None:
        for consumer in self._consumers:
            consumer.handed_over(partition)

    def conflicted(self, partition: Partition, error: PositionConflict) -> None:
        for consumer in self._consumers:
            consumer.conflicted(partition, error)

    def statuses(self) -> Sequence[SourceStatus]:
        return [status for consumer in self._consumers for status in consumer.statuses()]

    def stop(self) -> None:
        """Hand out no more chunks."""
        for consumer in self._consumers:
            consumer.stop()

    def close(self) -> list[PartitionStep]:
        """Leave the groups, once; returns what the store is to be told of the partitions."""
        if self._closed:
            return []
        self._closed = True
        self.stop()
        steps = [step for consumer in self._consumers for step in consumer.leave()]
        deadline = time.monotonic() + _LEAVE_SECONDS
        for consumer in self._consumers:
            consumer.await_end(max(0.0, deadline - time.monotonic()))
        return steps
