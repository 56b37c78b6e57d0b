"""The version of what a store holds, as far as this process knows it.

The only process that writes to a store is told of each commit. Where others write too the store is asked,
and only while somebody wants to know: a service that nobody asks is quiet.
"""

from __future__ import annotations

import asyncio
import time

from tailmetrics.errors import TailmetricsError
from tailmetrics.stats import StoreStatus
from tailmetrics.stores.base import Store

# Of an answer: records that a server lets expire are no commit, and one replica may lag behind another.
LASTING_SECONDS = 10.0

_LONGEST_LOOK_SECONDS = 2.0  # a store that takes longer is asked the question itself, which says why it waits


class Versions:
    """Versions of a store; one that it was asked for counts for `seconds`, from when it was asked.

    An answer stands as long as its version does, and no longer than `lasting_seconds`.
    """

    def __init__(self, store: Store, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._is_told = store.version_of(None) is not None
        self.lasting_seconds = float("inf") if self._is_told else LASTING_SECONDS
        self._asking = asyncio.Lock()
        self._found: str | None = None
        self._asked_at = float("-inf")

    @property
    def may_be_asked(self) -> bool:
        """Whether others write to the store, and answers may be given again all the same."""
        return not self._is_told and self._seconds > 0

    def of(self, customer_id: str | None) -> int | str | None:
        """The version of a customer's records, of all records for None; None when it is not known."""
        if self._is_told:
            return self._store.version_of(customer_id)
        return self._found if self.may_be_asked else None

    async def look(self) -> None:
        """Ask for the version, unless one is known that counts now."""
        arrived = time.monotonic()
        if arrived - self._asked_at < self._seconds:
            return
        async with self._asking:
            if arrived - self._asked_at < self._seconds:  # meanwhile, for somebody else
                return
            began = time.monotonic()
            try:
                await asyncio.wait_for(self.status(), _LONGEST_LOOK_SECONDS)
            except (TailmetricsError, asyncio.TimeoutError):
                self._remember(None, began)

    async def status(self) -> StoreStatus:
        """What the store says of itself now, whose version is known then. Raises StoreError."""
        began = time.monotonic()
        status = await self._store.status()
        self._remember(status.version, began)
        return status

    def _remember(self, version: str | None, asked_at: float) -> None:
        if asked_at > self._asked_at:
            self._found, self._asked_at = version, asked_at
