"""Stores that misbehave as they are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tailmetrics.sources import Batch
from tailmetrics.stores.base import Store


class Passing:
    """A real store; `before_write` is called with what is to be written and may raise in its place."""

    def __init__(self, store: Store, before_write: Callable[[Sequence[Batch]], None]) -> None:
        self._store = store
        self._before_write = before_write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, batches: Sequence[Batch]) -> None:
        self._before_write(batches)
        self._store.write(batches)


class AfterWrite:
    """A real store; `after_write` is called when a write was made and may raise."""

    def __init__(self, store: Store, after_write: Callable[[], None]) -> None:
        self._store = store
        self._after_write = after_write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, batches: Sequence[Batch]) -> None:
        self._store.write(batches)
        self._after_write()
