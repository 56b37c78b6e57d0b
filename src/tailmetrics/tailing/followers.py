"""The files that are being followed, by what they are and by whose turn it is."""

from __future__ import annotations

from collections.abc import Iterator

from tailmetrics.tailing.follower import Follower

Key = tuple[int, int]  # device and inode


class Followers:
    """Iterates in the order of turns; followers may be added and removed meanwhile."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Follower] = {}
        self._by_source: dict[str, Follower] = {}

    def __iter__(self) -> Iterator[Follower]:
        return iter(list(self._by_key.values()))

    def __len__(self) -> int:
        return len(self._by_key)

    def of_file(self, key: Key) -> Follower | None:
        return self._by_key.get(key)

    def of_source(self, source_id: str) -> Follower | None:
        return self._by_source.get(source_id)

    def add(self, follower: Follower) -> None:
        self._by_key[follower.key] = follower
        self._by_source[follower.source.source_id] = follower

    def remove(self, follower: Follower) -> None:
        del self._by_key[follower.key]
        del self._by_source[follower.source.source_id]

    def end_turn(self, follower: Follower) -> None:
        """Put a follower to the end of the line."""
        self._by_key[follower.key] = self._by_key.pop(follower.key)
