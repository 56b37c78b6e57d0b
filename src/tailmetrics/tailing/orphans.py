"""Sources that no file is known to hold any more, while what became of them is looked for."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tailmetrics.sources import Source
from tailmetrics.tailing.follower import Follower
from tailmetrics.telemetry.log import EventLog

log = EventLog()


@dataclass(frozen=True, slots=True)
class _Orphan:
    source: Source
    since: float
    unread_bytes: int


class Orphans:
    """Each as far as it was read, for a limited time. Not thread-safe: called under the tailer's lock.

    `lost_bytes` were seen in a file and destroyed by a truncation before they were read, no copy of them
    having been found in time.
    """

    def __init__(self) -> None:
        self.lost_bytes = 0
        self._orphans: dict[str, _Orphan] = {}

    def __bool__(self) -> bool:
        return bool(self._orphans)

    def add(self, source: Source, unread_bytes: int = 0) -> None:
        self._orphans[source.source_id] = _Orphan(source, time.monotonic(), unread_bytes)

    def add_rewritten(self, follower: Follower) -> Source:
        """Add what a file held before other bytes were written to it; returns it as far as it was read."""
        source = follower.as_read()
        log.info("truncated", path=follower.path, source=source.source_id, position=source.position)
        if follower.registered:
            self.add(source, follower.lost_bytes)
        return source

    def get(self, source_id: str) -> Source | None:
        orphan = self._orphans.get(source_id)
        return None if orphan is None else orphan.source

    def discard(self, source_id: str) -> None:
        """What became of it is known."""
        self._orphans.pop(source_id, None)

    def give_up_after(self, seconds: float) -> None:
        """Look no longer for those that are looked for since so long."""
        for orphan in list(self._orphans.values()):
            if time.monotonic() - orphan.since < seconds:
                continue
            self.discard(orphan.source.source_id)
            if orphan.unread_bytes:
                self.lost_bytes += orphan.unread_bytes
                log.error(
                    "unread bytes were destroyed by a truncation and no copy was found",
                    path=orphan.source.path,
                    source=orphan.source.source_id,
                    position=orphan.source.position,
                    bytes=orphan.unread_bytes,
                )
