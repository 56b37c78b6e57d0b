"""The files that are followed: those that are open, by whose turn it is, and those closed at their end."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace

from tailmetrics.settings import TailingOptions
from tailmetrics.sources import Source
from tailmetrics.status import SourceStatus
from tailmetrics.tailing.follower import Follower
from tailmetrics.tailing.known_sources import KnownSources
from tailmetrics.tailing.log_file import Key, LogFile
from tailmetrics.tailing.orphans import Orphans
from tailmetrics.tailing.rotation import LogNames
from tailmetrics.telemetry.log import EventLog

log = EventLog()


@dataclass(frozen=True, slots=True)
class _Parked:
    """A file that was read to its end and closed; written to again, it is opened again."""

    stamp: tuple[int, int]
    status: SourceStatus


class Followers:
    """What is followed, beside what is known and what is looked for. Not thread-safe: called under the lock.

    Iterates in the order of turns; followers may be added and closed meanwhile.
    """

    def __init__(self, options: TailingOptions, names: LogNames, known: KnownSources) -> None:
        self._options = options
        self.names = names
        self.known = known
        self.orphans = Orphans()
        self._by_key: dict[Key, Follower] = {}
        self._by_source: dict[str, Follower] = {}
        self._parked: dict[Key, _Parked] = {}
        self.copies: dict[Key, str] = {}  # files seen as copies of followed ones, and of which source
        self.closed_inodes: set[int] = set()  # of known files that are not open, whatever their names

    def __iter__(self) -> Iterator[Follower]:
        return iter(list(self._by_key.values()))

    def __len__(self) -> int:
        return len(self._by_key)

    def of_file(self, key: Key) -> Follower | None:
        return self._by_key.get(key)

    def of_source(self, source_id: str) -> Follower | None:
        return self._by_source.get(source_id)

    def follow(
        self, source: Source, file: LogFile, path: str, format_name: str, *, finite: bool = False
    ) -> Follower:
        """Read a file onward from where its source is; the file is closed with its follower."""
        registered = source.source_id in self.known
        follower = Follower(
            source, file, self._options, path, format_name, registered=registered, finite=finite
        )
        follower.refresh()
        if self.names.is_rotation_of(path, source.path):
            follower.set_rotated()
        if registered:
            self.known.put(replace(source, path=path))
        self.orphans.discard(source.source_id)
        self._parked.pop(follower.key, None)
        self.copies.pop(follower.key, None)
        self._by_key[follower.key] = follower
        self._by_source[source.source_id] = follower
        log.info("following", path=path, source=source.source_id, position=source.position)
        return follower

    def end_turn(self, follower: Follower) -> None:
        """Put a follower to the end of the line."""
        self._by_key[follower.key] = self._by_key.pop(follower.key)

    def close(self, follower: Follower) -> None:
        """Follow a file no longer, and keep how far it was read."""
        del self._by_key[follower.key]
        del self._by_source[follower.source.source_id]
        if follower.registered:
            self.known.put(follower.as_read())
            if not follower.finite:
                self.closed_inodes.add(follower.key[1])
        follower.file.close()

    def park(self, follower: Follower) -> None:
        """Close a file that was read to its end, and note how it was then."""
        self.close(follower)
        if follower.found or follower.finite:
            self._parked[follower.key] = _Parked(follower.stamp, replace(follower.status(), state="done"))

    def parked_stamp(self, key: Key) -> tuple[int, int] | None:
        """Size and time of change at which a file was parked; None when it is not."""
        parked = self._parked.get(key)
        return None if parked is None else parked.stamp

    def forget_parked(self) -> None:
        """Have all parked files opened again when they are found."""
        self._parked.clear()

    def note_found(self, keys: Set[Key]) -> None:
        """Note which files LOG_FILE_PATH leads to: the others were rotated or deleted."""
        for follower in self:
            follower.found = follower.key in keys and not follower.finite
            if not follower.found:
                follower.set_rotated()
        for key in [key for key in self._parked if key not in keys]:
            del self._parked[key]

    def keep_within_limit(self) -> None:
        """Park the files that were quiet the longest when more are open than may be."""
        excess = len(self) - self._options.max_open_files
        if excess > 0:
            idle = [f for f in self if f.found and f.is_committed and not (f.changed or f.unread_bytes)]
            for follower in sorted(idle, key=Follower.quiet_seconds, reverse=True)[:excess]:
                self.park(follower)

    def statuses(self) -> list[SourceStatus]:
        """Of every file that is open or parked."""
        return [follower.status() for follower in self] + [file.status for file in self._parked.values()]
