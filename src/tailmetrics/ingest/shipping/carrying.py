"""Lines that nobody looks at, as the dataflow moves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

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
from tailmetrics.urls import KafkaUrl

_LF: Final = 10
_MESSAGE_BYTES: Final = 900  # that the client takes for one, with key and headers, besides lines and path


@dataclass(frozen=True, slots=True)
class CarriedLines(ParsedLines):
    """The lines of a chunk as they are in the file; with `one_line` each is a message on its way."""

    chunk: LineChunk
    count: int
    one_line: bool

    @property
    def lines(self) -> int:
        return self.count

    @property
    def size(self) -> int:
        size = len(self.chunk.data)
        if self.one_line:
            size += self.count * (_MESSAGE_BYTES + len(self.chunk.path) + len(self.chunk.header))
        return size


class ChunkCarrier:
    """Makes batches whose lines are not parsed."""

    any_lines: ClassVar[bool] = True

    def __init__(self, settings: Settings) -> None:
        self._one_line = KafkaUrl.parse(settings.ship_to, "SHIP_TO").one_line

    def __call__(self, chunk: Chunk) -> Batch:
        if isinstance(chunk, Registration):
            return registering(chunk)
        if isinstance(chunk, Acknowledgement | Messages | PartitionStep):
            raise TypeError("a message is none of a file")
        count = int(np.count_nonzero(np.frombuffer(chunk.data, np.uint8) == _LF)) or 1
        return Batch(
            source_id=chunk.source_id,
            path=chunk.path,
            start=chunk.offset,
            checkpoint=chunk.checkpoint,
            parsed=CarriedLines(no_records(), no_rejects(), 0, chunk, count, self._one_line),
            more=chunk.more,
        )
