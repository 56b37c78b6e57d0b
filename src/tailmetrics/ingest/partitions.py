"""What a commit does for partitions of a topic besides their lines: positions, owners, and shipped files."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from tailmetrics.errors import PositionConflict, SourceHeld
from tailmetrics.ingest.deduplication import behind
from tailmetrics.sources import Batch, Partition
from tailmetrics.stores.base import Leasing, Store
from tailmetrics.telemetry.log import EventLog

log = EventLog()

_MOST_FILES = 10_000  # of one partition


class PartitionReader(Protocol):
    """Who reads partitions, and is told of them by the thread that commits."""

    def claimed(self, partition: Partition, position: int) -> None:
        """The store is at a position."""
        ...

    def handed_over(self, partition: Partition) -> None:
        """All that was read is committed or dropped, and nothing here holds the partition any more."""
        ...

    def conflicted(self, partition: Partition, error: PositionConflict) -> None:
        """The store is elsewhere than where a batch began, which was dropped."""
        ...


class Partitions:
    """Called by the thread that writes, with what it is about to write.

    The positions of shipped files are remembered while their partition is read here, of many those of the
    last ones that had lines: of others the store is asked again.
    """

    def __init__(self, store: Store, reader: PartitionReader | None) -> None:
        self.lost_bytes = 0
        self._store = store
        self._reader = reader
        self._files: dict[str, dict[str, int]] = {}  # by partition: the position of each file
        self._forgotten: list[str] = []  # files that are still held
        self._gaps: dict[str, int] = {}  # by file: where one begins that is counted and not committed yet

    def settle(self, group: Sequence[Batch]) -> list[Batch]:
        """The batches, before each those of files that were shipped in it, without what the store has."""
        settled: list[Batch] = []
        positions: dict[str, int] = {}
        for batch in group:
            if batch.shipped:
                known = self._files.setdefault(batch.source_id, {})
                settled += [new for part in batch.shipped if (new := self._settled(part, known, positions))]
            settled.append(batch)
        return settled

    def committed(self, batch: Batch) -> None:
        """Note what was written."""
        files = self._files.get(batch.source_id, {})
        for part in batch.shipped:
            # Behind all others: in front are those that had no lines for the longest time.
            files[part.source_id] = max(files.pop(part.source_id, 0), part.checkpoint.position)
            self._gaps.pop(part.source_id, None)
        if len(files) > _MOST_FILES:
            for source_id in list(files)[: -_MOST_FILES // 2]:
                del files[source_id]
                self._forgotten.append(source_id)

    def without(self, group: Sequence[Batch], error: PositionConflict, conflicts: int) -> list[Batch] | None:
        """What of a group is to be written after a conflict; None when it is none of partitions.

        The position of a shipped file is asked for anew; of a partition that somebody else has moved all is
        dropped.
        """
        for batch in group:
            if batch.partition is None:
                continue
            files = self._files.get(batch.source_id, {})
            may_be_stale = conflicts == 1 and not isinstance(error, SourceHeld)
            if may_be_stale and files.pop(error.source_id, None) is not None:
                return list(group)
            if error.source_id in {batch.source_id, *(part.source_id for part in batch.shipped)}:
                log.info("a partition is read elsewhere meanwhile", path=batch.path, error=str(error))
                self._files.pop(batch.source_id, None)
                if self._reader is not None:
                    self._reader.conflicted(batch.partition, error)
                return [each for each in group if each.source_id != batch.source_id]
        return None

    def step(self, steps: Sequence[Batch]) -> None:
        """Answer claims and handovers, and let go of files forgotten, once what came before is committed."""
        if self._forgotten and isinstance(self._store, Leasing):
            self._store.release(self._forgotten)
        self._forgotten.clear()
        if self._reader is None:
            return
        for word, alike in itertools.groupby(steps, lambda batch: batch.step):
            partitions = [batch.partition for batch in alike if batch.partition is not None]
            if word == "claim":
                self._claim(partitions, self._reader)
            else:
                self._hand_over(partitions, self._reader)

    def _claim(self, partitions: Sequence[Partition], reader: PartitionReader) -> None:
        # Registered at once: a start would wait for as many commits as it has partitions.
        self._store.register_all([partition.source for partition in partitions])
        for partition in partitions:
            position = self._store.position(partition.source.source_id)
            reader.claimed(partition, partition.source.position if position is None else position)

    def _hand_over(self, partitions: Sequence[Partition], reader: PartitionReader) -> None:
        for partition in partitions:
            source_id = partition.source.source_id
            files = self._files.pop(source_id, {})
            if isinstance(self._store, Leasing):
                self._store.release([source_id, *files])
            reader.handed_over(partition)

    def _settled(self, part: Batch, known: dict[str, int], positions: dict[str, int]) -> Batch | None:
        source_id = part.source_id
        registers = None
        if source_id not in positions:
            position = known[source_id] if source_id in known else self._store.position(source_id)
            if position is None:
                registers, position = part.registers, part.start
            else:
                known[source_id] = position
            positions[source_id] = position
        position = positions[source_id]
        if part.checkpoint.position <= position:
            return None
        positions[source_id] = part.checkpoint.position
        if part.start > position and self._gaps.get(source_id) != position:
            self._gaps[source_id] = position
            self.lost_bytes += part.start - position
            log.warning("shipped lines are lost", path=part.path, bytes=part.start - position)
        part = behind(part, position) if part.start < position else replace(part, start=position)
        return replace(part, registers=registers)
