"""One process at a time evaluates: the one that has said so last, as long as it goes on to."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

from tailmetrics.stores.base import Notes

LEASE: Final = "alerts-lease"  # the name of the note
BEAT_SECONDS: Final = 5.0
LEASE_SECONDS: Final = 20.0  # a holder that has said nothing for so long has ended; with a beat less than 30


class Lease:
    """Held by one process; time is that of its own clock, as those of others may be wrong."""

    def __init__(self, store: Notes, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._name = secrets.token_hex(6)
        self._beats = 0
        self._said_at = 0.0
        self._heard: tuple[str, float] | None = None

    async def is_held(self) -> bool:
        """Whether this process evaluates; to be asked at least once in BEAT_SECONDS. Raises StoreError."""
        note = await self._store.note(LEASE)
        now = self._clock()
        if self._is_own(note.text):
            return now - self._said_at < BEAT_SECONDS or await self._say(note.version)
        if self._heard is None or self._heard[0] != note.text:
            self._heard = (note.text, now)
        if note.text and now - self._heard[1] <= LEASE_SECONDS:
            return False
        return await self._say(note.version)

    async def release(self) -> None:
        """Let another process have it at once. Raises StoreError."""
        note = await self._store.note(LEASE)
        if self._is_own(note.text):
            await self._store.keep_note(LEASE, "", note.version)

    def _is_own(self, text: str) -> bool:
        return text.partition(" ")[0] == self._name

    async def _say(self, version: int) -> bool:
        self._beats += 1
        self._said_at = self._clock()
        return await self._store.keep_note(LEASE, f"{self._name} {self._beats}", version)
