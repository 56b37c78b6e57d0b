"""The sources that the store knows, found by inode or by the beginning of a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from tailmetrics.sources import Checkpoint, Source, fingerprint
from tailmetrics.tailing.identity import holds
from tailmetrics.tailing.log_file import LogFile


class KnownSources:
    """All sources of this node, each as far as it was read."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = {source.source_id: source for source in sources}
        self._by_inode: dict[tuple[int, int], set[str]] = defaultdict(set)
        self._by_head: dict[int, dict[str, set[str]]] = {}
        for source in self._sources.values():
            self._index(source)

    def __iter__(self) -> Iterator[Source]:
        return iter(list(self._sources.values()))

    def __contains__(self, source_id: str) -> bool:
        return source_id in self._sources

    def get(self, source_id: str) -> Source | None:
        return self._sources.get(source_id)

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

    def with_inode(self, key: tuple[int, int]) -> list[Source]:
        """Sources of a device and inode, the newest first."""
        sources = [self._sources[source_id] for source_id in self._by_inode.get(key, ())]
        return sorted(sources, key=lambda source: -source.epoch)

    def with_content_of(self, file: LogFile) -> list[Source]:
        """Sources whose bytes, as far as they were read, a file has; the one read furthest first."""
        found = [source for source in self.with_head_of(file) if holds(file, source.checkpoint)]
        return sorted(found, key=lambda source: (-source.position, source.source_id))

    def with_head_of(self, file: LogFile) -> Iterator[Source]:
        """Sources that begin like a file."""
        beginning = file.read(0, max(self._by_head, default=0))
        for length, sources in self._by_head.items():
            if length <= len(beginning):
                for source_id in sources.get(fingerprint(beginning[:length]), ()):
                    yield self._sources[source_id]

    def _index(self, source: Source) -> None:
        self._by_inode[(source.device, source.inode)].add(source.source_id)
        heads = self._by_head.setdefault(source.checkpoint.head_length, {})
        heads.setdefault(source.checkpoint.head_hash, set()).add(source.source_id)
