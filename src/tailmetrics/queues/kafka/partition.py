"""How far one partition is read here, and what of it is durably in the store."""

from __future__ import annotations

import time
from typing import Literal

from tailmetrics.queues.kafka.cluster import Place
from tailmetrics.queues.kafka.fetched import Fetched
from tailmetrics.settings import FormatOptions
from tailmetrics.sources import Messages, Partition, Source, ended, packed, unpacked
from tailmetrics.status import SourceStatus
from tailmetrics.telemetry.log import EventLog

log = EventLog()

_SAY_SECONDS = 60.0  # from one word of offsets that are missing to the next


class AssignedPartition:
    """A partition from its assignment on. `term` tells the times apart that reading it began.

    Changed by the consumer's thread only, but what the store has.
    """

    def __init__(self, place: Place, path: str, log_format: FormatOptions) -> None:
        self.place = place
        self.path = path
        self.state: Literal["new", "claiming", "reading", "closing", "closed", "faulty"] = "new"
        self.partition: Partition | None = None
        self.claim_due = 0.0  # by time.monotonic()
        self.error: str | None = None
        self.low = self.high = 0
        self.committed = 0  # as packed
        self.lost_messages = 0
        self._log_format = log_format
        self._next = 0  # as packed: where the next chunk begins
        self._has_begun = False  # whether the store has ever said where it is
        self._read_to = 0  # in Kafka: nothing is left before it
        self._ended_at = 0
        self._is_proven = False  # whether what was fetched begins where it was to
        self._gap_at = -1
        self._lost_to = 0
        self._faulty_end: int | None = None  # the first one seen that was before the store's position
        self._missing = 0
        self._said_at = -_SAY_SECONDS
        self._newest_ms = 0
        self._mean_bytes = 0.0

    @property
    def read_to(self) -> int:
        """The offset in Kafka from which on there is more to read."""
        return self._read_to

    @property
    def source_id(self) -> str:
        return "" if self.partition is None else self.partition.source.source_id

    def claim(self, source: Source, ends: tuple[int, int]) -> Partition:
        """Begin anew: with the position that the store will tell."""
        term = 1 if self.partition is None else self.partition.term + 1
        self.partition = Partition(source, term)
        self.low, self.high = ends
        self.state = "claiming"
        return self.partition

    def again(self, seconds: float = 0.0, error: str | None = None) -> None:
        """Claim it once more after so many seconds; what was read meanwhile is of an old term."""
        if self.partition is not None:
            self.partition = Partition(self.partition.source, self.partition.term + 1)
        self.state = "new" if error is None else "faulty"
        self.error = error
        self.claim_due = time.monotonic() + seconds

    def begin(self, position: int) -> bool:
        """Go on from the store's position; False where that is behind the end."""
        offset = unpacked(position)[0]
        self.committed = self._next = position
        self._has_begun = True
        if offset > self.high:
            self._faulty_end = self.high if self._faulty_end is None else min(self._faulty_end, self.high)
            return False
        self._note_overwritten(offset)
        if (lost := self.low - max(offset, self._lost_to)) > 0:
            self.lost_messages += lost
            self._lost_to = self.low
            log.warning(
                "the topic's retention deleted messages before they were read",
                path=self.path,
                messages=lost,
                first=offset,
                next=self.low,
            )
        self.state = "reading"
        self.error = None
        self._ended_at = 0
        self._is_proven = False
        self._gap_at = -1
        self._read_to = max(offset, self.low)
        return True

    def _note_overwritten(self, offset: int) -> None:
        """Count what was written anew in place of what the topic had lost: it will not be read."""
        if self._faulty_end is None:
            return
        lost, first, self._faulty_end = offset - self._faulty_end, self._faulty_end, None
        self.lost_messages += lost
        log.warning(
            "the topic had lost messages, and those that came in their place are not read",
            path=self.path,
            messages=lost,
            first=first,
            next=offset,
        )

    def note_end(self, offset: int) -> None:
        """Nothing is left before an offset, which markers of transactions may lie before.

        For what is said only: where reading goes on, messages tell.
        """
        self._ended_at = offset

    def accept(self, fetched: Fetched) -> Messages | None:
        """The messages as a chunk; None where none of them is to be read."""
        if self.state != "reading" or self.partition is None:
            return None
        fetched = fetched.behind(self._read_to)
        if not fetched.values:
            return None
        self._prove(int(fetched.offsets[0]))
        if not self._is_proven:
            return None
        end = int(fetched.offsets[-1]) + 1
        self._note_missing(end - self._read_to - len(fetched.values))
        # One by one they are in the processor's cache now, and would not be when they are read.
        data, lengths = ended(fetched.values)
        self._mean_bytes = float(lengths.mean())
        self._newest_ms = fetched.written_ms
        chunk = Messages(
            partition=self.partition,
            log_format=self._log_format,
            topic=self.place[0],
            start=self._next,
            end=end,
            data=data,
            lengths=lengths,
            offsets=fetched.offsets,
            headers=fetched.headers,
            keys=fetched.keys,
            more=end < self.high,
            written_ns=fetched.written_ms * 1_000_000,
        )
        self._next = packed(end)
        self._read_to = end
        self.high = max(self.high, end)
        return chunk

    def _prove(self, first: int) -> None:
        """See whether what is fetched begins where the store is: a gap there must show a second time.

        Else it would be the client's, which may not have sought yet. Later gaps are the partition's own.
        """
        self._is_proven = self._is_proven or first in {self._read_to, self._gap_at}
        self._gap_at = first

    @property
    def is_to_be_sought(self) -> bool:
        """Whether the first messages began behind where they were to."""
        return self.state == "reading" and not self._is_proven and self._gap_at >= 0

    def _note_missing(self, missing: int) -> None:
        """Say now and then that offsets are missing, which is none of our losses."""
        if missing <= 0:
            return
        self._missing += missing
        if time.monotonic() - self._said_at > _SAY_SECONDS:
            self._said_at = time.monotonic()
            log.info(
                "offsets without a message, by compaction or transactions",
                path=self.path,
                offsets=self._missing,
            )

    def status(self) -> SourceStatus:
        done = unpacked(self.committed)[0]
        high = self.high if self._has_begun else 0  # else all that was ever written were a lag
        # Behind the last message there may be markers of transactions, which are no lines.
        is_done = max(self._read_to, self._ended_at) >= high and self._next == self.committed
        lag = 0 if is_done else max(0, high - done)
        seconds = max(0.0, time.time() - self._newest_ms / 1000) if lag and self._newest_ms else 0.0
        return SourceStatus(
            source_id=self.source_id,
            path=self.path,
            device=0,
            inode=0,
            epoch=0,
            position=high if is_done else done,
            size=max(high, done),
            lag_bytes=int(lag * self._mean_bytes),
            lag_seconds=seconds,
            state="live" if self.error is None else "unreadable",
            last_error=self.error,
            format=self._log_format.name,
            lag_messages=lag,
            lost_messages=self.lost_messages,
        )
