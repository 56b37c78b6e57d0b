"""Which known source a file is: by device and inode, and by what its bytes are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from tailmetrics.formats.framing import LINES, Framing
from tailmetrics.sources import (
    HEAD_BYTES,
    TAIL_BYTES,
    Checkpoint,
    Source,
    derive_source_id,
    fingerprint,
)
from tailmetrics.tailing.log_file import LogFile

_SEARCH_BYTES = 1024 * 1024


def holds(file: LogFile, checkpoint: Checkpoint) -> bool:
    """Whether a file has the bytes that were read up to a checkpoint, as far as its two hashes tell."""
    # The head first: of a compressed file the size is known only after reading all of it.
    if fingerprint(file.read(0, checkpoint.head_length)) != checkpoint.head_hash:
        return False
    if file.size() < checkpoint.position:
        return False
    tail = file.read(checkpoint.position - checkpoint.tail_length, checkpoint.tail_length)
    return fingerprint(tail) == checkpoint.tail_hash


def begins_like(file: LogFile, checkpoint: Checkpoint) -> bool:
    """Whether a file has the head of a checkpoint; one that is shorter than that head is taken to have it."""
    head = file.read(0, checkpoint.head_length)
    return len(head) < checkpoint.head_length or fingerprint(head) == checkpoint.head_hash


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


def is_beginning(file: LogFile, original: LogFile) -> bool:
    """Whether all bytes of a file are those with which another one begins."""
    if not is_copy(file, original):
        return False
    position = 0
    while block := file.read(position, _SEARCH_BYTES):
        if block != original.read(position, len(block)):
            return False
        position += len(block)
    return True


def checkpoint_of(position: int, head: bytes, before: bytes) -> Checkpoint:
    """The checkpoint of a source that begins with `head` and has `before` in front of the position."""
    tail = before[-TAIL_BYTES:]
    return Checkpoint(position, len(head), fingerprint(head), len(tail), fingerprint(tail))


def grown_head(head: bytes, offset: int, data: bytes) -> bytes:
    """The head of a source after `data` was read at `offset`; it grows up to HEAD_BYTES and never shrinks."""
    if len(head) >= min(HEAD_BYTES, offset + len(data)):
        return head
    return head + data[len(head) - offset : HEAD_BYTES - offset]


def new_source(file: LogFile, path: str, node_id: str, known: Iterable[Source]) -> Source:
    """A source for a file that is none of the known ones, at position 0.

    Its epoch is one more than that of any known source with the same device and inode. Its id is the same for
    any node, and while the file grows, so that the store lets only one of two processors go on with it.
    """
    epochs = (source.epoch for source in known if (source.device, source.inode) == file.key)
    head = file.read(0, HEAD_BYTES)
    identity = (*file.key, max(epochs, default=-1) + 1)
    first_line = fingerprint(head.partition(b"\n")[0])
    return _unread(head, path, node_id, identity, derive_source_id("", *identity, first_line))


def start_at_end(source: Source, file: LogFile, size: int, framing: Framing = LINES) -> Source:
    """The same source at the end of the last whole frame that its file had at a size.

    What is open there and begins within the last MiB is read from its beginning when it is whole.
    """
    end = min(size, file.size())
    while end > 0:
        start = max(0, end - _SEARCH_BYTES)
        if line_end := file.read(start, end - start).rfind(b"\n") + 1:
            return start_at(_end_of_frames(file, start + line_end, framing), source, file)
        end = start
    return start_at(0, source, file)


def _end_of_frames(file: LogFile, end: int, framing: Framing) -> int:
    """Where the frame begins that is open at `end`, the end of a line; `end` when there is none."""
    if framing == LINES:
        return end
    start = max(0, end - _SEARCH_BYTES)
    data = file.read(start, end - start)
    position = data.find(b"\n") + 1 if start else 0
    while length := framing.whole(data, position):
        position += length
    return start + position


def start_at(position: int, source: Source, file: LogFile) -> Source:
    """The same source at a position that it was not read up to; what comes before is left out."""
    start = max(0, position - TAIL_BYTES)
    before = file.read(start, position - start)
    return replace(source, checkpoint=checkpoint_of(position, file.read(0, HEAD_BYTES), before))


def uploaded_source(file: LogFile, name: str, node_id: str, *, name_counts: bool) -> Source:
    """A source known by all of its bytes, whatever file they lie in; its device and inode are 0.

    When its name counts it is known by both. Its id is the same for any node.
    """
    content = hashlib.blake2b(digest_size=16)
    position = 0
    while block := file.read(position, _SEARCH_BYTES):
        content.update(block)
        position += len(block)
    known_by = f"{content.hexdigest()}\0{name}" if name_counts else content.hexdigest()
    source_id = derive_source_id("", 0, 0, 0, known_by)
    return _unread(file.read(0, HEAD_BYTES), name, node_id, (0, 0, 0), source_id)


def _unread(head: bytes, path: str, node_id: str, identity: tuple[int, int, int], source_id: str) -> Source:
    """A source at position 0; its identity is a device, an inode and an epoch."""
    return Source(source_id, node_id, *identity, path, checkpoint_of(0, head, b""))
