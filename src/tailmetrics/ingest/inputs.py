"""Everything that lines come from, files and queues, as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tailmetrics.ingest.source_warnings import SourceWarnings
from tailmetrics.process import Pulse
from tailmetrics.queues import QueueReader
from tailmetrics.queues.kafka.reader import TopicReader
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch, Chunk, Source
from tailmetrics.status import SourceStatus
from tailmetrics.stores.base import Store
from tailmetrics.tailing import Tailer, nodes_here
from tailmetrics.tailing.discovery import AllLogs
from tailmetrics.tailing.wakeup import Wakeup
from tailmetrics.telemetry.log import EventLog

log = EventLog()


def known_sources(store: Store, node_id: str) -> tuple[list[Source], list[Source]]:
    """The sources of this node and those of others; of this one are those of any whose logs lie here.

    A node may have been renamed, or moved with its disk. What is in a store that no other process writes to
    is all of this one. Raises StoreUnavailable.
    """
    sources = store.sources(None)
    others = [source for source in sources if source.node_id != node_id]
    is_alone = store.version_of(None) is not None
    same = {node_id, *({source.node_id for source in others} if is_alone else nodes_here(others))}
    for other in sorted(same - {node_id}):
        log.info("logs of another NODE_ID go on where they were", node=node_id, other=other)
    own = [source for source in sources if source.node_id in same]
    return own, [source for source in others if source.node_id not in same]


class Inputs:
    """The tailer, the queues and the topics of one process. Without `follow` only loads are served.

    `any_lines` takes those of files whose format nobody knows; `logs` tells which files are followed here.
    """

    def __init__(
        self,
        settings: Settings,
        node_id: str,
        known: Iterable[Source],
        elsewhere: Iterable[Source] = (),
        *,
        follow: bool = True,
        any_lines: bool = False,
        logs: AllLogs | None = None,
    ) -> None:
        tailing = replace(settings.tailing_options, any_lines=any_lines)
        self.tailer = Tailer(tailing, node_id, known, elsewhere, follow=follow, logs=logs)
        try:
            wake = self.tailer.wakeup.wake
            self._queues = QueueReader(settings.queue_options, wake) if follow else None
            self.topics = TopicReader(settings.topic_options, settings.workers, wake) if follow else None
        except BaseException:
            self.tailer.close()
            raise
        self._warnings = SourceWarnings()
        self._pulses: dict[int, Pulse] = {}  # by worker

    @property
    def wakeup(self) -> Wakeup:
        return self.tailer.wakeup

    @property
    def is_stopped(self) -> bool:
        """Whether it was told to stop: no further chunk will come."""
        return self.tailer.is_stopped

    def next_chunks(self, worker: int = 0, workers: int = 1) -> list[Chunk]:
        """What is new for one worker of `workers`; may be empty."""
        chunks: list[Chunk] = [*self.tailer.next_chunks(worker, workers)]
        if self._queues is not None:
            chunks += self._queues.next_chunks(worker)
        if self.topics is not None:
            chunks += self.topics.next_chunks(worker)
        return chunks

    def pulse_of(self, worker: int) -> Pulse:
        """Where that worker says that it goes on."""
        return self._pulses.setdefault(worker, Pulse())

    def overdue_seconds(self) -> float:
        """How long one of the workers stands still."""
        return max((pulse.overdue_seconds() for pulse in list(self._pulses.values())), default=0.0)

    def rest_seconds(self) -> float:
        """How long nothing is to be done as long as nothing wakes."""
        return self.tailer.rest_seconds()

    def leave_queues(self) -> list[Chunk]:
        """Acknowledge what is stored, and leave the brokers; returns what the store is to note of it."""
        chunks: list[Chunk] = []
        if self._queues is not None:
            self._queues.close()
            chunks += self._queues.acknowledged()
        if self.topics is not None:
            chunks += self.topics.close()
        return chunks

    def parsed(self, batch: Batch) -> None:
        """Note what the lines of a batch are, before the store has them: who sees them sees the warnings.

        A process that only loads tells what became of each file.
        """
        if self._queues is not None:
            of_queue = batch.delivery is not None
            self._warnings.count(batch, self._queues.queue_of(batch.source_id) if of_queue else None)
            for shipped in batch.shipped:
                self._warnings.count(shipped, is_shipped=True)

    def committed(self, batch: Batch) -> None:
        """Note that a batch is durably in the store."""
        if batch.partition is not None:
            if self.topics is not None:
                self.topics.committed(batch)
        elif batch.delivery is None:
            self.tailer.committed(batch)
        elif self._queues is not None:
            self._queues.committed(batch)

    def statuses(self) -> Sequence[SourceStatus]:
        """Every file that is followed, was read to its end, or is missing, and every queue."""
        of_queues = () if self._queues is None else self._queues.statuses()
        of_topics = () if self.topics is None else self.topics.statuses()
        statuses = [*self.tailer.statuses(), *of_queues, *of_topics]
        found, percents = self._warnings.found(), self._warnings.reject_percents()
        return [
            replace(each, warnings=found.get(key, ()), reject_percent=percents.get(key, 0.0))
            if (key := each.source_id or each.path) in found or key in percents
            else each
            for each in statuses
        ]

    def stop(self) -> None:
        """Hand out no more chunks; what was read and not committed will be read again next time."""
        if self._queues is not None:
            self._queues.stop()
        if self.topics is not None:
            self.topics.stop()
        self.tailer.stop()

    def close(self) -> None:
        """Close all files and leave the brokers."""
        if self._queues is not None:
            self._queues.close()
        if self.topics is not None:
            self.topics.close()
        self.tailer.close()
