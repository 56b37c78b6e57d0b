"""The sources that the store knows, found by inode or by the beginning of a file."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from tailmetrics.errors import LoadError
from tailmetrics.sources import HEAD_BYTES, Checkpoint, Source, fingerprint
from tailmetrics.tailing.identity import holds
from tailmetrics.tailing.log_file import Key, LogFile, may_hold_more, open_log
from tailmetrics.tailing.rotation import LogNames, chain
from tailmetrics.telemetry.log import EventLog

log = EventLog()


class KnownSources:
    """All sources of this node, each as far as it was read. Not thread-safe: called under the tailer's lock.

    `followed_since` is since when sources that are new by now are followed, if not `started`.
    Those `elsewhere` are of other nodes: one of them is this node's as soon as a file is known to hold its
    bytes.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        started: datetime,
        elsewhere: Iterable[Source] = (),
        followed_since: datetime | None = None,
    ) -> None:
        self.followed_since = followed_since or started
        self._started = started
        self._started_at = time.monotonic()
        self._elsewhere: dict[Key, list[Source]] = defaultdict(list)
        self._elsewhere_by_id: dict[str, Source] = {}
        self._elsewhere_by_head: dict[str, list[Source]] = defaultdict(list)  # those that their bytes tell
        for source in elsewhere:
            self._elsewhere[(source.device, source.inode)].append(source)
            self._elsewhere_by_id[source.source_id] = source
            # Fewer bytes may be a header that the logs of many machines have.
            if source.checkpoint.head_length == HEAD_BYTES <= source.position:
                self._elsewhere_by_head[source.checkpoint.head_hash].append(source)
        self.at_start = list(sources)
        self._sources = {source.source_id: source for source in self.at_start}
        self._by_inode: dict[Key, set[str]] = defaultdict(set)
        self._by_head: dict[int, dict[str, set[str]]] = {}
        for source in self._sources.values():
            self._index(source)

    @property
    def has_others(self) -> bool:
        """Whether a file may hold what another node has read."""
        return bool(self._elsewhere_by_head)

    def __iter__(self) -> Iterator[Source]:
        return iter(list(self._sources.values()))

    def __contains__(self, source_id: str) -> bool:
        return source_id in self._sources

    def stepped_back(self) -> timedelta:
        """How far back the wall clock stepped since the start: as much older a new file looks."""
        passed = timedelta(seconds=time.monotonic() - self._started_at)
        return max(timedelta(), self._started + passed - datetime.now(timezone.utc))

    def get(self, source_id: str) -> Source | None:
        """The source of an id, of another node too."""
        return self._sources.get(source_id) or self._elsewhere_by_id.get(source_id)

    def put(self, source: Source) -> None:
        """Add a source, or take it as further read than before."""
        old = self._sources.get(source.source_id)
        self._sources[source.source_id] = source
        if old is not None and old.checkpoint.head_hash != source.checkpoint.head_hash:
            self._by_head[old.checkpoint.head_length][old.checkpoint.head_hash].discard(old.source_id)
        if old is None or old.checkpoint.head_hash != source.checkpoint.head_hash:
            self._index(source)

    def advance(self, source_id: str, checkpoint: Checkpoint, path: str) -> None:
        """Note a commit; a source that was read further by now stays as it is."""
        source = self._sources.get(source_id)
        if source is not None and source.position <= checkpoint.position:
            self.put(replace(source, checkpoint=checkpoint, path=path))

    def with_inode(self, key: Key) -> list[Source]:
        """Sources of a device and inode, of other nodes too, the newest first."""
        own = self._by_inode.get(key, ())
        others = (source for source in self._elsewhere.get(key, ()) if source.source_id not in own)
        sources = [*(self._sources[source_id] for source_id in own), *others]
        return sorted(sources, key=lambda source: -source.epoch)

    def with_content_of(self, file: LogFile, besides: Set[str] = frozenset()) -> list[Source]:
        """Sources whose bytes, as far as they were read, a file has; the one read furthest first.

        Left out are the ids `besides`: thousands of logs may begin alike. What another node has read of them
        is this one's from now on.
        """
        self.take_over(file)
        found = [source for source in self.with_head_of(file, besides) if holds(file, source.checkpoint)]
        return sorted(found, key=lambda source: (-source.position, source.source_id))

    def with_head_of(self, file: LogFile, besides: Set[str] = frozenset()) -> Iterator[Source]:
        """Sources that begin like a file."""
        beginning = file.read(0, max(self._by_head, default=0))
        for length, sources in self._by_head.items():
            if length <= len(beginning):
                for source_id in sources.get(fingerprint(beginning[:length]), set()) - besides:
                    yield self._sources[source_id]

    def take_over(self, file: LogFile, path: str | None = None) -> None:
        """Make sources of other nodes this one's whose bytes a file has, under the name that it has here.

        A node may have been moved with its logs, or been renamed before its logs were compressed.
        """
        if not self._elsewhere_by_head:
            return
        for source in self._elsewhere_by_head.get(fingerprint(file.read(0, HEAD_BYTES)), ()):
            if source.source_id not in self._sources and holds(file, source.checkpoint):
                here = source if path is None else replace(source, path=path)
                log.info("read by another node before", path=here.path, node=source.node_id)
                self.put(here)
                self.at_start.append(here)

    def take_over_files(self, paths: Iterable[str]) -> None:
        """The same of all files at a start, before any of them is told from others."""
        for path in paths:
            with contextlib.suppress(OSError, LoadError), contextlib.closing(open_log(path)) as file:
                self.take_over(file, path)

    def _index(self, source: Source) -> None:
        self._by_inode[(source.device, source.inode)].add(source.source_id)
        heads = self._by_head.setdefault(source.checkpoint.head_length, {})
        heads.setdefault(source.checkpoint.head_hash, set()).add(source.source_id)


class Relatives:
    """What is known of the files beside a rotated one, as it is at one look at all of them."""

    def __init__(self, known: KnownSources, names: LogNames, followed: Iterable[str] = ()) -> None:
        self._names = names
        stepped_back = known.stepped_back()
        self._started_ns = _nanoseconds(known.followed_since - stepped_back)
        self._since_ns: dict[str, int] = {}  # by family
        self._since_ns_of_chain: dict[str, int] = {}  # by each name that a file may have had before
        self._positions: dict[str, list[int]] = defaultdict(list)  # by the name without any mark
        for source in known:
            self._positions[chain(source.path)[-1]].append(source.position)
        for path in followed:  # of which nothing was committed yet
            self._positions[chain(path)[-1]].append(0)
        # By the names of the start: a file may have been renamed to one that does not tell its log any more.
        for source in known.at_start:
            if source.followed_since is not None:
                family = names.family(source.path)
                since = _nanoseconds(source.followed_since - stepped_back)
                self._since_ns[family] = min(since, self._since_ns.get(family, since))
                for name in chain(source.path):
                    self._since_ns_of_chain[name] = min(since, self._since_ns_of_chain.get(name, since))

    def followed_since_ns(self, path: str) -> int:
        """Since when the log of a rotated file is followed, in nanoseconds since 1970.

        Of a log that is known only by what rotation made of it, the names tell that both are of one.
        """
        family = self._names.family(path)
        if family in self._since_ns:
            return self._since_ns[family]
        since = [self._since_ns_of_chain[name] for name in chain(path) if name in self._since_ns_of_chain]
        return min(since, default=self._started_ns)

    def may_go_on_in(self, path: str) -> bool:
        """Whether a file can hold more than was read of any of a similar name, to which its log belongs."""
        positions = self._positions.get(chain(path)[-1], [])
        return bool(positions) and may_hold_more(path, positions)


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)
