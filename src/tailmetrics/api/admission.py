"""How many questions a store is asked at once, how many more wait, and that the rest is refused at once.

A question that waits inside of a store loses its time there, and all of them are late together. What is
light has one turn more, which nothing heavy can hold.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone

from tailmetrics.errors import Overloaded
from tailmetrics.stats import StatsQuery

# One a core, as more make each other late. A page asks two things at a time, and stores have eight threads or
# connections for questions.
AT_ONCE = min(max(2, os.cpu_count() or 2), 4)
MOST_WAITING = 32
_FEW_WINDOWS = 1000


def is_light(query: StatsQuery) -> bool:
    """Whether a query is about one customer, and about few windows as far as its bounds tell."""
    if query.customer_id is None:
        return False
    if not query.every.seconds:
        return True
    end = query.end or datetime.now(timezone.utc)
    longest = timedelta(seconds=query.every.seconds) * _FEW_WINDOWS
    return query.start is not None and end - query.start <= longest


class Admission:
    """Gives questions their turns, in the order in which they come. Used from one event loop."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._light_turns = asyncio.Semaphore(1)
        self._waiting = 0

    def check_room(self) -> None:
        """Raises Overloaded when so many questions wait that a further one is refused."""
        if self._waiting >= MOST_WAITING:
            raise Overloaded(
                f"found {AT_ONCE} questions being answered and {self._waiting} waiting, expected fewer; the "
                "service has too much to do, whatever is asked: ask again later"
            )

    @asynccontextmanager
    async def turn(self, longest_seconds: float, *, light: bool = False) -> AsyncIterator[None]:
        """Wait for a turn, which ends with the context. Raises Overloaded, also after so many seconds."""
        turns = self._turns
        if turns.locked():
            self.check_room()
            turns = self._light_turns if light else self._turns
        if turns.locked():
            await self._wait(turns, longest_seconds)
        else:
            await turns.acquire()
        try:
            yield
        finally:
            turns.release()

    async def _wait(self, turns: asyncio.Semaphore, longest_seconds: float) -> None:
        self._waiting += 1
        try:
            await asyncio.wait_for(turns.acquire(), longest_seconds)
        except asyncio.TimeoutError:
            raise Overloaded(
                f"waited {longest_seconds:g} seconds for a turn (QUERY_TIMEOUT_SECONDS); the service has too "
                "much to do, whatever is asked: ask again later"
            ) from None
        finally:
            self._waiting -= 1
