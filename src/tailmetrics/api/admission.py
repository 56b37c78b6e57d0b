"""How many questions a store is asked at once, how many more wait, and that the rest is refused at once.

A question that waits inside of a store loses its time there, and all of them are late together.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from tailmetrics.errors import Overloaded

# One a core, as more make each other late. A page asks two things at a time, and stores have eight threads or
# connections for questions.
AT_ONCE = min(max(2, os.cpu_count() or 2), 4)
MOST_WAITING = 32
# Each of them asks one question after another, and holds what its client has not taken yet in memory.
MOST_STREAMS = 4


class Admission:
    """Gives questions their turns, in the order in which they come. Used from one event loop."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._streams = 0

    def check_room(self) -> None:
        """Raises Overloaded when so many questions wait that a further one is refused."""
        if self._waiting >= MOST_WAITING:
            raise Overloaded(
                f"found {AT_ONCE} questions being answered and {self._waiting} waiting, expected fewer; the "
                "service has too much to do, whatever is asked: ask again later"
            )

    @asynccontextmanager
    async def turn(self, longest_seconds: float) -> AsyncIterator[None]:
        """Wait for a turn, which ends with the context. Raises Overloaded, also after so many seconds."""
        if self._turns.locked():
            await self._wait(longest_seconds)
        else:
            await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Be one of the answers that are sent piece by piece, without a turn. Raises Overloaded."""
        if self._streams >= MOST_STREAMS:
            raise Overloaded(
                f"found {self._streams} streams of records being sent, expected fewer than {MOST_STREAMS}; "
                "ask again when one of them has ended"
            )
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def _wait(self, longest_seconds: float) -> None:
        self.check_room()
        self._waiting += 1
        try:
            await asyncio.wait_for(self._turns.acquire(), longest_seconds)
        except asyncio.TimeoutError:
            raise Overloaded(
                f"waited {longest_seconds:g} seconds for a turn (QUERY_TIMEOUT_SECONDS); the service has too "
                "much to do, whatever is asked: ask again later"
            ) from None
        finally:
            self._waiting -= 1
