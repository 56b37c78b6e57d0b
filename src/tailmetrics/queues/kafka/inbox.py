"""What was fetched and waits to be read on: of each partition in order, and many messages at once."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

import numpy as np

from tailmetrics.sources import CHUNK_LINES, Messages, PartitionStep

MOST_WAITING_BYTES = 8 * 1024 * 1024
_OBJECT_BYTES = 100  # of a key or a header, besides what is in it


class Inbox:
    """Chunks of partitions, each partition's for one of `workers`. Thread-safe.

    What waits of one partition is handed out as one chunk of about `chunk_bytes`, as reading few messages
    takes nearly as long as reading many. `changed` is the lock of all that is known of one consumer, and
    notified when something of it changes.
    """

    def __init__(self, changed: threading.Condition, workers: int, chunk_bytes: int) -> None:
        self._changed = changed
        self._chunk_bytes = chunk_bytes
        # By worker and partition; whose turn it is comes first.
        self._waiting: list[dict[str, deque[Messages | PartitionStep]]] = [{} for _ in range(workers)]
        self._bytes = 0
        self._is_closed = False

    def put(self, chunk: Messages | PartitionStep) -> None:
        with self._changed:
            source_id = chunk.partition.source.source_id
            waiting = self._waiting[int(source_id[:8], 16) % len(self._waiting)]
            waiting.setdefault(source_id, deque()).append(chunk)
            self._bytes += _size_of(chunk)

    def take(self, worker: int) -> Messages | PartitionStep | None:
        """The next chunk of one worker, None when there is none."""
        with self._changed:
            waiting = self._waiting[worker]
            if self._is_closed or not waiting:
                return None
            source_id = next(iter(waiting))
            pieces = waiting.pop(source_id)
            chunk = self._next_of(pieces)
            if pieces:
                waiting[source_id] = pieces
            self._bytes -= _size_of(chunk)
            self._changed.notify_all()
            return chunk

    def _next_of(self, pieces: deque[Messages | PartitionStep]) -> Messages | PartitionStep:
        first = pieces.popleft()
        if not isinstance(first, Messages):
            return first
        together = [first]
        size, count = first.size, len(first)
        while pieces and isinstance(piece := pieces[0], Messages) and piece.partition == first.partition:
            size, count = size + piece.size, count + len(piece)
            if size > self._chunk_bytes or count > CHUNK_LINES:
                break
            together.append(piece)
            pieces.popleft()
        return first if len(together) == 1 else _joined(together)

    def forget(self, source_id: str) -> None:
        """Drop what waits of one partition."""
        with self._changed:
            for waiting in self._waiting:
                self._bytes -= sum(map(_size_of, waiting.pop(source_id, ())))

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


def _joined(pieces: list[Messages]) -> Messages:
    """Chunks of one partition that follow each other as one."""
    first, last = pieces[0], pieces[-1]
    headers = keys = None
    if any(piece.headers for piece in pieces):
        headers = [each for piece in pieces for each in piece.headers or [None] * len(piece)]
    if first.keys is not None:
        keys = [each for piece in pieces for each in piece.keys or ()]
    return replace(
        last,
        start=first.start,
        data=b"".join([piece.data for piece in pieces]),
        lengths=np.concatenate([piece.lengths for piece in pieces]),
        offsets=np.concatenate([piece.offsets for piece in pieces]),
        headers=headers,
        keys=keys,
    )


def _size_of(chunk: Messages | PartitionStep) -> int:
    """About the bytes of memory that a chunk takes."""
    if not isinstance(chunk, Messages):
        return 0
    size = len(chunk.data) + chunk.lengths.nbytes + chunk.offsets.nbytes
    size += sum(_OBJECT_BYTES + len(key) for key in filter(None, chunk.keys or ()))
    for each in filter(None, chunk.headers or ()):
        size += sum(_OBJECT_BYTES + len(name) + len(value or b"") for name, value in each)
    return size
