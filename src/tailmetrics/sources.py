"""What is known of a source, and the unit in which its lines move: chunk in, batch out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.records import ParsedLines
from tailmetrics.settings import FormatOptions

HEAD_BYTES = 1024  # of the first bytes of a source this many make its head fingerprint
TAIL_BYTES = 1024  # of the bytes before the position this many make its tail fingerprint
MESSAGES_NODE = "queue-"  # what the `node_id` of messages begins with: any node may be given them
COPIES_NODE = f"{MESSAGES_NODE}copies"  # the `node_id` of what stands for a copy of another store: no file

LINE_BITS: Final = 20
MOST_LINES_OF_MESSAGE: Final = 1 << LINE_BITS  # of a message of a partition; one of more is a reject


def packed(offset: int, line: int = 0) -> int:
    """A place in a partition as one number: the offset of a message in Kafka, and a line of it, from 0 on."""
    return offset << LINE_BITS | line


def unpacked(place: int) -> tuple[int, int]:
    """The offset in Kafka and the line of what `packed` gave."""
    return place >> LINE_BITS, place & (MOST_LINES_OF_MESSAGE - 1)


def place_in(path: str, offset: int) -> str:
    """Where a line begins in a source of this path, for people."""
    if not path.startswith("kafka://"):
        return f"byte {offset:,}"
    message, line = unpacked(offset)
    return f"offset {message:,}, line {line:,}"


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
    """One log file, message of a queue or partition of a topic, known by its identity and not by its name.

    The position of a partition is the offset of its next message as `packed` gives it, that of the others in
    bytes.
    """

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

    def is_of(self, node_id: str | None) -> bool:
        """Whether it is of a node; None: whether it is a file of any."""
        return not self.is_message if node_id is None else self.node_id == node_id


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
class LineChunk:
    """Bytes of whole lines (or blocks of lines) read from one source.

    `data` begins at byte `offset` of the source and `checkpoint.position` is where the next chunk begins.
    `more` says that the source, or another one, had further bytes when the chunk was read. `written_ns` is
    when the source was written to last, in nanoseconds since 1970. `delivery` is set when it is a message.
    `header` are the directives in force before `data`, for formats that have such.
    """

    source_id: str
    log_format: FormatOptions
    path: str
    offset: int
    data: bytes
    checkpoint: Checkpoint
    more: bool
    written_ns: int
    delivery: Delivery | None = None
    header: bytes = b""


@dataclass(frozen=True, slots=True)
class LongLine(LineChunk):
    """One line (or block) over the limit, of which `data` is only the beginning."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A source that the store does not know yet; `more` says that lines follow."""

    source: Source
    more: bool


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A message that was delivered for the last time."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a topic that this process reads; each time that it begins to is another `term`.

    `source` is what the store is to register where it does not know it.
    """

    source: Source
    term: int


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages of one partition in their order, `offsets` those in Kafka, and the offset `end` behind them.

    `data` are their values, `lengths` bytes long, as `ended` puts them. The lines before them are at the
    position `start`. `headers` are those of each message, None where none has any; `keys` are there where
    they are asked for. `more` and `written_ns` are as of a LineChunk.
    """

    partition: Partition
    log_format: FormatOptions
    topic: str
    start: int
    end: int
    data: bytes
    lengths: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    headers: list[list[tuple[str, bytes | None]] | None] | None
    keys: list[bytes | None] | None
    more: bool
    written_ns: int

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return len(self.data) - len(self)

    @property
    def values(self) -> list[bytes]:
        ends = np.cumsum(self.lengths + 1) - 1
        return [
            self.data[end - length : end]
            for end, length in zip(ends.tolist(), self.lengths.tolist(), strict=True)
        ]


def ended(values: Sequence[bytes]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Values one after the other, a line feed behind each, and the length of each without it."""
    return b"\n".join((*values, b"")), np.fromiter(map(len, values), np.int64, len(values))


@dataclass(frozen=True, slots=True)
class PartitionStep:
    """Asks the store how far a partition is, or says that nothing more of it will come from here."""

    partition: Partition
    step: Literal["claim", "handover"]


Chunk = LineChunk | LongLine | Registration | Acknowledgement | Messages | PartitionStep


class Prepared(Protocol):
    """What a store made ready of a batch before it is written; each store knows its own kind."""

    @property
    def made_of(self) -> pl.DataFrame:
        """The records it stands for: a batch that has others by now is written without it."""
        ...


@dataclass(frozen=True, slots=True)
class Copied:
    """What a batch from another store brings besides its lines.

    `seen_at` is when its rejects were committed there, None for now; `omitted` how many more rejects there
    were, of which only the number is kept.
    """

    seen_at: datetime | None = None
    omitted: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Records and rejects of one source, and the position after them.

    A store commits it only when its own position of the source is `start`. `registers` is set on the first
    batch of a source that the store does not know yet, `delivery` on those of a message, `copied` on those
    from another store, `partition` on those of one. `shipped` are lines of files that came in a partition's
    messages, each of a source of its own, to be committed with it. A `step` has no lines. `message_bytes` is
    how many bytes a partition's messages are.
    """

    source_id: str
    path: str
    start: int
    checkpoint: Checkpoint
    parsed: ParsedLines
    more: bool = False
    registers: Source | None = None
    delivery: Delivery | None = None
    copied: Copied | None = None
    prepared: Prepared | None = field(default=None, compare=False, repr=False)
    partition: Partition | None = None
    step: Literal["claim", "handover"] | None = None
    shipped: tuple[Batch, ...] = ()
    message_bytes: int = 0

    @property
    def bytes_read(self) -> int:
        """How many bytes of its source it is made of."""
        return self.checkpoint.position - self.start if self.partition is None else self.message_bytes

    def seen_at(self, now: datetime) -> datetime:
        """When its rejects were committed first."""
        return now if self.copied is None or self.copied.seen_at is None else self.copied.seen_at

    @property
    def rejects(self) -> int:
        """How many rejects it counts for."""
        return self.parsed.rejects.height + (0 if self.copied is None else self.copied.omitted)
