"""The files that are followed: those that are open, by whose turn it is, and those closed at their end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass, replace

from tailmetrics.process import room_for_logs
from tailmetrics.settings import FormatOptions, TailingOptions
from tailmetrics.sources import Source
from tailmetrics.status import SourceStatus
from tailmetrics.tailing.follower import Follower
from tailmetrics.tailing.known_sources import KnownSources
from tailmetrics.tailing.log_file import Key, LogFile
from tailmetrics.tailing.orphans import Orphans
from tailmetrics.tailing.rotation import LogNames
from tailmetrics.telemetry.log import EventLog

log = EventLog()

_UNREAD = (-1, -1)  # no file has this stamp


@dataclass(frozen=True, slots=True)
class _Parked:
    """A file that was read to its end and closed; written to again, it is opened again.

    One that was closed before its end has a stamp that is never its own.
    """

    stamp: tuple[int, int]
    status: SourceStatus


class Followers:
    """What is followed, beside what is known and what is looked for. Not thread-safe: called under the lock.

    Iterates in the order of turns; followers may be added and closed meanwhile.
    """

    def __init__(self, options: TailingOptions, names: LogNames, known: KnownSources) -> None:
        self._options = options
        self._most_open = min(options.max_open_files, room_for_logs())
        self.names = names
        self.known = known
        self.orphans = Orphans()
        self._by_key: dict[Key, Follower] = {}
        self._by_source: dict[str, Follower] = {}
        self._families: dict[str, set[str]] | None = None  # ids of what is open or unchanged
        self.unchanged: set[str] = set()  # ids of parked sources whose files are there as they were read
        self._parked: dict[Key, _Parked] = {}
        self._closed_unread: list[Follower] = []
        self.copies: dict[Key, str] = {}  # files seen as copies of followed ones, and of which source
        self.closed_inodes: set[int] = set()  # of known files that are not open, whatever their names

    def __iter__(self) -> Iterator[Follower]:
        return iter(list(self._by_key.values()))

    def __len__(self) -> int:
        return len(self._by_key)

    def paths(self) -> list[str]:
        """Of the files that are open."""
        return [follower.path for follower in self._by_key.values()]

    def adopt_orphans(self) -> None:
        """At start, look for what became of the sources that were not found under their names."""
        for source in self.known:
            is_ours = self.names.format_of_rotated(source.path) is not None
            if is_ours and source.source_id not in self._by_source:
                self.orphans.add(source)
                self.closed_inodes.add(source.inode)

    def of_file(self, key: Key) -> Follower | None:
        return self._by_key.get(key)

    def of_source(self, source_id: str) -> Follower | None:
        return self._by_source.get(source_id)

    def of_family(self, family: str) -> list[Follower]:
        """Those of one log, by the names that they had at the last `note_found`, or when they were added."""
        return [self._by_source[each] for each in self._ids_of_family(family) if each in self._by_source]

    def intact(self, family: str) -> Set[str]:
        """Ids of the sources of other logs than this one that lie where they did."""
        return (self._by_source.keys() | self.unchanged) - self._ids_of_family(family)

    def _ids_of_family(self, family: str) -> set[str]:
        if self._families is None:
            self._families = defaultdict(set)
            for status in self.statuses():
                self._families[self.names.family(status.path)].add(status.source_id)
        return self._families[family]

    def follow(
        self, source: Source, file: LogFile, path: str, log_format: FormatOptions, *, finite: bool = False
    ) -> Follower:
        """Read a file onward from where its source is; the file is closed with its follower."""
        registered = source.source_id in self.known
        follower = Follower(
            source, file, self._options, path, log_format, registered=registered, finite=finite
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
        if self._families is not None:
            self._families[self.names.family(path)].add(source.source_id)
        self.unchanged.discard(source.source_id)
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

    def let_go(self, keys: Set[Key]) -> None:
        """Follow files no longer that another process follows by now, under the names that they have."""
        for key in keys & self._by_key.keys():
            self.close(self._by_key[key])

    def park(self, follower: Follower, *, unread: bool = False) -> None:
        """Close a file that was read to its end, or is to be opened again soon; note how it was then."""
        self.close(follower)
        if follower.found or follower.finite:
            status = follower.status() if unread else replace(follower.status(), state="done")
            self._parked[follower.key] = _Parked(_UNREAD if unread else follower.stamp, status)
            if follower.found and not unread:
                self.unchanged.add(follower.source.source_id)

    def is_parked(self, key: Key, stamp: tuple[int, int]) -> bool:
        """Whether a file was parked and is as it was then."""
        parked = self._parked.get(key)
        if parked is None or parked.stamp != stamp:
            return False
        self.unchanged.add(parked.status.source_id)
        return True

    def parked_stamp(self, key: Key) -> tuple[int, int] | None:
        """Size and time of change at which a file was parked; None when it is not."""
        parked = self._parked.get(key)
        return None if parked is None else parked.stamp

    def forget_parked(self) -> None:
        """Have all parked files opened again when they are found."""
        self._parked.clear()

    def note_found(self, keys: Set[Key]) -> None:
        """Note which files LOG_FILE_PATH leads to: the others were rotated or deleted."""
        self.unchanged.clear()
        self._families = None
        for follower in self:
            follower.found = follower.key in keys and not follower.finite
            if not follower.found:
                follower.set_rotated()
        for key in [key for key in self._parked if key not in keys]:
            del self._parked[key]

    def keep_within_limit(self, wanted: int = 0) -> int:
        """Park files until so many more may be opened; returns how many may be.

        First those that were quiet the longest, then those that had a turn and have more to read; of these
        `take_closed_unread` tells.
        """
        excess = wanted - (self._most_open - len(self))
        ready = [follower for follower in self if follower.may_park] if excess > 0 else []
        # Not one by one, as each commits: then each next file would be a commit of its own.
        if len(ready) >= min(excess, self._most_open // 4):
            by_rest = [
                (each.refresh() and each.unread_bytes > 0, -each.quiet_seconds(), each) for each in ready
            ]
            for unread, _, follower in sorted(by_rest, key=lambda each: each[:2])[: max(0, excess)]:
                self.park(follower, unread=unread)
                if unread:
                    self._closed_unread.append(follower)
        return max(0, self._most_open - len(self))

    def take_closed_unread(self) -> list[Follower]:
        """Those closed for others since the last call that have something to read."""
        taken, self._closed_unread = self._closed_unread, []
        return taken

    def statuses(self) -> list[SourceStatus]:
        """Of every file that is open or parked."""
        return [follower.status() for follower in self] + [file.status for file in self._parked.values()]
