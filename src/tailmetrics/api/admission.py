"""How many questions a store is asked at once, how many more wait, and that the rest is refused at once.

A question that waits inside of a store loses its time there, and all of them are late together. What is
light has one turn more, and what is large has one turn of all, so that others are not held up.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime, timedelta, timezone
from enum import Enum

from tailmetrics.errors import Overloaded
from tailmetrics.stats import StatsQuery

# One a core, as more make each other late. A page asks two things at a time, and stores have eight threads or
# connections for questions.
AT_ONCE = min(max(2, os.cpu_count() or 2), 4)
MOST_WAITING = 32
# Each of them asks one question after another, and holds what its client has not taken yet in memory.
MOST_STREAMS = 4
_FEW_WINDOWS = 1000


class Weight(Enum):
    """What a question asks of the store: little, as usual, or many windows, which take memory."""

    LIGHT = "light"
    USUAL = "usual"
    LARGE = "large"


def weight_of(query: StatsQuery) -> Weight:
    """As the bounds of a query tell; with an open one its windows may be many."""
    if query.every.seconds:
        end = query.end or datetime.now(timezone.utc)
        few = timedelta(seconds=query.every.seconds) * _FEW_WINDOWS
        if query.start is None or end - query.start > few:
            return Weight.LARGE
    return Weight.USUAL if query.customer_id is None else Weight.LIGHT


class Admission:
    """Gives questions their turns, in the order in which they come. Used from one event loop."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._light_turns = asyncio.Semaphore(1)
        self._large_turns = asyncio.Semaphore(1)
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
    async def turn(self, longest_seconds: float, weight: Weight = Weight.USUAL) -> AsyncIterator[None]:
        """Wait for a turn, which ends with the context. Raises Overloaded, also after so many seconds."""
        async with AsyncExitStack() as held:
            if weight is Weight.LARGE:
                await held.enter_async_context(self._one_of(self._large_turns, longest_seconds))
            turns = self._turns
            if weight is Weight.LIGHT and turns.locked():
                self.check_room()
                turns = self._light_turns
            await held.enter_async_context(self._one_of(turns, longest_seconds))
            yield

    @asynccontextmanager
    async def _one_of(self, turns: asyncio.Semaphore, longest_seconds: float) -> AsyncIterator[None]:
        if turns.locked():
            await self._wait(turns, longest_seconds)
        else:
            await turns.acquire()
        try:
            yield
        finally:
            turns.release()

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

    async def _wait(self, turns: asyncio.Semaphore, longest_seconds: float) -> None:
        self.check_room()
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
