"""The messages of all queues as chunks, and their acknowledgement once they are stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from tailmetrics.queues.broker import require_client
from tailmetrics.queues.consumer import QueueConsumer
from tailmetrics.queues.messages import Message
from tailmetrics.settings import QueueOptions
from tailmetrics.sources import Acknowledgement, Batch, Chunk
from tailmetrics.status import SourceStatus

_MOST_CHUNKS = 1000  # at a time
_LEAVE_SECONDS = 2.0  # for all brokers together: one that is away need not be waited for


class QueueReader:
    """The queues of LOG_FILE_PATH. All methods may be called from any thread.

    Raises SettingsError without the client library.
    """

    def __init__(self, options: QueueOptions, wake: Callable[[], None]) -> None:
        if options.queues:
            require_client()
        self._chunk_bytes = options.chunk_bytes
        self._consumers = [QueueConsumer(queue, options, wake) for queue in options.queues]
        self._lock = threading.Lock()
        self._being_read: dict[int, Message] = {}  # by worker
        self._turn = 0
        self._stopped = False
        self._closed = False
        for consumer in self._consumers:
            consumer.start()

    def next_chunks(self, worker: int = 0) -> list[Chunk]:
        """What is new, about CHUNK_BYTES in all; a message that was begun goes on with the same worker."""
        if not self._consumers or self._stopped:
            return []
        with self._lock:
            for consumer in self._consumers:
                if consumer.failure is not None:
                    raise consumer.failure
            chunks: list[Chunk] = [*self.acknowledged()]
            room = self._chunk_bytes
            while room > 0 and len(chunks) < _MOST_CHUNKS:
                message = self._being_read.pop(worker, None) or self._next_message()
                if message is None:
                    break
                chunk = message.next_chunk(more=self._has_more())
                chunks.append(chunk)
                room -= len(chunk.data)
                if not message.is_read:
                    self._being_read[worker] = message
            return chunks

    def acknowledged(self) -> list[Acknowledgement]:
        """By which the store learns which messages will not be delivered again."""
        return [
            Acknowledgement(message.delivery)
            for consumer in self._consumers
            for message in consumer.take_acknowledged()
        ]

    def committed(self, batch: Batch) -> None:
        """Note that a batch is durably in the store: a message that is there as a whole is acknowledged."""
        for consumer in self._consumers:
            if consumer.committed(batch.source_id, batch.checkpoint.position):
                return

    def queue_of(self, source_id: str) -> str | None:
        """The path of the status of the queue that a message came from, until it is committed; else None."""
        return next((each.name for each in self._consumers if each.is_in_hand(source_id)), None)

    def statuses(self) -> Sequence[SourceStatus]:
        return [consumer.status() for consumer in self._consumers]

    def stop(self) -> None:
        """Hand out no more chunks."""
        self._stopped = True
        for consumer in self._consumers:
            consumer.stop()

    def close(self) -> None:
        """Acknowledge what is stored and leave the brokers, once; `acknowledged` tells of it."""
        if self._closed:
            return
        self._closed = True
        self.stop()
        for consumer in self._consumers:
            consumer.leave()
        deadline = time.monotonic() + _LEAVE_SECONDS
        for consumer in self._consumers:
            consumer.await_end(max(0.0, deadline - time.monotonic()))

    def _next_message(self) -> Message | None:
        for _ in self._consumers:
            self._turn = (self._turn + 1) % len(self._consumers)
            message = self._consumers[self._turn].take()
            if message is not None:
                return message
        return None

    def _has_more(self) -> bool:
        return any(consumer.has_more for consumer in self._consumers)
