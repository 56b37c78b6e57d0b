"""Which known source a file is: by device and inode, and by what its bytes are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tailmetrics.sources import (
    HEAD_BYTES,
    TAIL_BYTES,
    Checkpoint,
    Source,
    derive_source_id,
    fingerprint,
)
from tailmetrics.tailing.files import LogFile


def holds(file: LogFile, checkpoint: Checkpoint) -> bool:
    """Whether a file has the bytes that were read up to a checkpoint, as far as its two hashes tell."""
    if file.size() < max(checkpoint.position, checkpoint.head_length):
        return False
    if fingerprint(file.read(0, checkpoint.head_length)) != checkpoint.head_hash:
        return False
    tail = file.read(checkpoint.position - checkpoint.tail_length, checkpoint.tail_length)
    return fingerprint(tail) == checkpoint.tail_hash


def is_copy(file: LogFile, original: LogFile) -> bool:
    """Whether a file is a copy of another one, or the beginning of one that is still being made.

    The first and the last bytes of the copy are compared with those of the original at the same offsets.
    """
    size = file.size()
    if size > original.size():
        return False
    end = max(0, size - TAIL_BYTES)
    return file.read(0, min(size, HEAD_BYTES)) == original.read(0, min(size, HEAD_BYTES)) and file.read(
        end, size - end
    ) == original.read(end, size - end)


def checkpoint_at(file: LogFile, position: int, head: bytes, before: bytes) -> tuple[Checkpoint, bytes]:
    """The checkpoint of a file at a position, and the head it holds.

    `head` is what the head was so far: it grows with the file up to HEAD_BYTES and never shrinks, so that
    what was registered is still known. `before` are the bytes that end at the position.
    """
    if len(head) < HEAD_BYTES and position > len(head):
        head = file.read(0, min(HEAD_BYTES, position))
    tail = before[-TAIL_BYTES:]
    return Checkpoint(position, len(head), fingerprint(head), len(tail), fingerprint(tail)), head


def new_source(file: LogFile, path: str, node_id: str, known: Iterable[Source]) -> Source:
    """A source for a file that is none of the known ones, at position 0.

    Its epoch is one more than that of any known source with the same device and inode.
    """
    epochs = [
        source.epoch for source in known if (source.device, source.inode) == (file.device, file.inode)
    ]
    epoch = max(epochs, default=-1) + 1
    checkpoint, _ = checkpoint_at(file, 0, file.read(0, HEAD_BYTES), b"")
    return Source(
        source_id=derive_source_id(node_id, file.device, file.inode, epoch, checkpoint.head_hash),
        node_id=node_id,
        device=file.device,
        inode=file.inode,
        epoch=epoch,
        path=path,
        checkpoint=checkpoint,
    )


def moved(source: Source, checkpoint: Checkpoint, path: str) -> Source:
    """The same source at another position or under another name."""
    return replace(source, checkpoint=checkpoint, path=path)
