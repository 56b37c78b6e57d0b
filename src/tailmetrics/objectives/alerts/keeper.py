"""The note of alerts, as one process keeps it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from tailmetrics.errors import StoreUnavailable
from tailmetrics.objectives.alerts.states import ALERTS, Book
from tailmetrics.stores.base import Notes

FIGURES_SECONDS: Final = 300.0  # figures alone are kept no more often


class Superseded(StoreUnavailable):
    """Another process has changed the alerts meanwhile."""


class Keeper:
    """Changes the book one change after another, each durable before it is seen."""

    def __init__(self, store: Notes, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = asyncio.Lock()
        self._book = Book()
        self._kept: tuple[int, Book, float] | None = None  # version, content and time; None: to be read

    @property
    def book(self) -> Book:
        """As it was changed last here; empty until then."""
        return self._book

    def forget(self) -> None:
        """What another process may have changed is read before the next change."""
        self._book, self._kept = Book(), None

    async def change(self, changed: Callable[[Book], Book]) -> Book:
        """Put another book in the place of the present one. Raises Superseded and StoreError."""
        async with self._lock:
            version, kept, since = self._kept or await self._read()
            book = changed(self._book)
            if book.is_like(kept) and self._clock() - since < FIGURES_SECONDS:
                self._book = book
                return book
            # Whether it was written is not known before the store has said so.
            self._kept = None
            if not await self._store.keep_note(ALERTS, book.to_json(), version):
                self.forget()
                raise Superseded("another process evaluates alerts")
            self._book, self._kept = book, (version + 1, book, self._clock())
            return book

    async def _read(self) -> tuple[int, Book, float]:
        note = await self._store.note(ALERTS)
        self._book = Book.from_json(note.text)
        self._kept = (note.version, self._book, self._clock())
        return self._kept
