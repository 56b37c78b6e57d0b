"""What was fetched and waits to be read on, in order and by worker."""

from __future__ import annotations

import threading
from collections import deque

from tailmetrics.sources import Messages, PartitionStep

MOST_WAITING_BYTES = 16 * 1024 * 1024


class Inbox:
    """Chunks of partitions, each partition's for one of `workers`. Thread-safe.

    `changed` is the lock of all that is known of one consumer, and notified when something of it changes.
    """

    def __init__(self, changed: threading.Condition, workers: int) -> None:
        self._changed = changed
        self._waiting: list[deque[Messages | PartitionStep]] = [deque() for _ in range(workers)]
        self._bytes = 0
        self._is_closed = False

    def put(self, chunk: Messages | PartitionStep) -> None:
        with self._changed:
            source_id = chunk.partition.source.source_id
            self._waiting[int(source_id[:8], 16) % len(self._waiting)].append(chunk)
            self._bytes += size_of(chunk)

    def take(self, worker: int) -> Messages | PartitionStep | None:
        """The next chunk of one worker, None when there is none."""
        with self._changed:
            if self._is_closed or not self._waiting[worker]:
                return None
            chunk = self._waiting[worker].popleft()
            self._bytes -= size_of(chunk)
            self._changed.notify_all()
            return chunk

    def forget(self, source_id: str) -> None:
        """Drop what waits of one partition."""
        with self._changed:
            for waiting in self._waiting:
                dropped = [chunk for chunk in waiting if chunk.partition.source.source_id == source_id]
                self._bytes -= sum(map(size_of, dropped))
                for chunk in dropped:
                    waiting.remove(chunk)

    def clear(self) -> None:
        with self._changed:
            for waiting in self._waiting:
                waiting.clear()
            self._bytes = 0

    def close(self) -> None:
        """Hand out no more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def is_full(self) -> bool:
        return self._bytes > MOST_WAITING_BYTES


def size_of(chunk: Messages | PartitionStep) -> int:
    """The bytes of a chunk's messages."""
    return sum(map(len, chunk.values)) if isinstance(chunk, Messages) else 0
