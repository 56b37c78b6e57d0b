"""Lines that nobody looks at, as the dataflow moves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tailmetrics.ingest.dataflow import registering
from tailmetrics.records import ParsedLines, no_records, no_rejects
from tailmetrics.settings import Settings
from tailmetrics.sources import (
    Acknowledgement,
    Batch,
    Chunk,
    LineChunk,
    Messages,
    PartitionStep,
    Registration,
)


@dataclass(frozen=True, slots=True)
class CarriedLines(ParsedLines):
    """The lines of a chunk as they are in the file."""

    chunk: LineChunk
    count: int

    @property
    def lines(self) -> int:
        return self.count

    @property
    def size(self) -> int:
        return len(self.chunk.data)


class ChunkCarrier:
    """Makes batches whose lines are not parsed."""

    any_lines: ClassVar[bool] = True

    def __init__(self, settings: Settings) -> None:
        """All that matters of the settings is how files are read."""

    def __call__(self, chunk: Chunk) -> Batch:
        if isinstance(chunk, Registration):
            return registering(chunk)
        if isinstance(chunk, Acknowledgement | Messages | PartitionStep):
            raise TypeError("a message is none of a file")
        count = chunk.data.count(b"\n") or 1
        return Batch(
            source_id=chunk.source_id,
            path=chunk.path,
            start=chunk.offset,
            checkpoint=chunk.checkpoint,
            parsed=CarriedLines(no_records(), no_rejects(), 0, chunk, count),
            more=chunk.more,
        )
