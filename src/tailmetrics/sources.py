"""What is known of a source, and the unit in which its lines move: chunk in, batch out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from tailmetrics.records import ParsedLines

HEAD_BYTES = 1024  # of the first bytes of a source this many make its head fingerprint
TAIL_BYTES = 1024  # of the bytes before the position this many make its tail fingerprint


MESSAGES_NODE = "queue-"  # what the `node_id` of messages begins with: any node may be given them


def fingerprint(data: bytes) -> str:
    """Hash of some bytes of a source, 32 hexadecimal digits (BLAKE2b)."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A position and what it takes to know the source again by its content.

    `head_hash` is of the first `head_length` bytes, `tail_hash` of the `tail_length` bytes that end at
    `position`. Lengths and positions are in bytes.
    """

    position: int
    head_length: int
    head_hash: str
    tail_length: int
    tail_hash: str


@dataclass(frozen=True, slots=True)
class Source:
    """One log file (or queue message), known by its identity and not by its name."""

    source_id: str
    node_id: str
    device: int
    inode: int
    epoch: int  # counts truncations of the file and reuse of its inode
    path: str  # the last name it was seen under
    checkpoint: Checkpoint
    committed_at: datetime | None = None  # when the store last wrote of it
    followed_since: datetime | None = None  # when the process that registered it began to follow files

    @property
    def position(self) -> int:
        return self.checkpoint.position

    @property
    def is_message(self) -> bool:
        return self.node_id.startswith(MESSAGES_NODE)


def derive_source_id(node_id: str, device: int, inode: int, epoch: int, head_hash: str) -> str:
    """The id of a source, the same whenever the same file is registered again."""
    return fingerprint(f"{node_id}\0{device}\0{inode}\0{epoch}\0{head_hash}".encode())


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a queue's message, which may be delivered again.

    `source` is what the message is registered as. With `by_content` it bears no id: when it is `redelivered`
    its source may be that of an earlier delivery of the same content. A source's `head_hash` is of all of the
    message, `head_length` its size, and a position behind that says that it will not be delivered again.
    """

    source: Source
    redelivered: bool
    by_content: bool


CHUNK_LINES: Final = 1 << 15  # in one chunk, at most


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of whole lines (or blocks of lines) read from one source.

    `data` begins at byte `offset` of the source and `checkpoint.position` is where the next chunk begins.
    When `too_long` is set the chunk is one line (or block) over the limit and `data` only its beginning.
    `more` says that the source, or another one, had further bytes when the chunk was read. `written_ns` is
    when the source was written to last, in nanoseconds since 1970. `registers` is set on the first
    chunk of a source that the store does not know yet, which has no lines. `delivery` is set on those of a
    message.
    """

    source_id: str
    format_name: str
    path: str
    offset: int
    data: bytes
    checkpoint: Checkpoint
    more: bool
    too_long: bool = False
    written_ns: int = 0
    registers: Source | None = None
    delivery: Delivery | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records and rejects of one source, and the position after them.

    A store commits it only when its own position of the source is `start`. `prepared` is what the store has
    made ready for that.
    """

    source_id: str
    path: str
    start: int
    checkpoint: Checkpoint
    parsed: ParsedLines
    more: bool = False
    registers: Source | None = None
    delivery: Delivery | None = None
    prepared: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What a tailer says of one source: sizes and lags in bytes and seconds."""

    source_id: str
    path: str
    device: int
    inode: int
    epoch: int
    position: int
    size: int
    lag_bytes: int
    lag_seconds: float
    state: str  # "live", "rotated", "loading", "done", "stored", "missing", "unreadable"
    last_error: str | None = None
    updated_at: datetime | None = None


def stored_statuses(sources: Iterable[Source]) -> tuple[SourceStatus, ...]:
    """What is known of files when no processor says anything: how far each is in the store."""
    return tuple(
        SourceStatus(
            source_id=source.source_id,
            path=source.path,
            device=source.device,
            inode=source.inode,
            epoch=source.epoch,
            position=source.position,
            size=source.position,
            lag_bytes=0,
            lag_seconds=0.0,
            state="stored",
            updated_at=source.committed_at,
        )
        for source in sources
        if not source.is_message
    )


@dataclass(frozen=True, slots=True)
class IngestionState:
    """How the dataflow is.

    `store_error` is set while commits fail and are tried again. `lost_bytes` were destroyed by truncations
    before they were read, and no copy of them was found.
    """

    name: Literal["running", "restarting", "stopped"]
    last_error: str | None = None
    store_error: str | None = None
    lost_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far a load of one finished file is; `error` says why it failed."""

    state: Literal["queued", "running", "done", "failed"]
    bytes_total: int = 0
    bytes_done: int = 0
    lines: int = 0
    records: int = 0
    rejects: int = 0
    blanks: int = 0
    already_loaded: bool = False
    error: str | None = None
