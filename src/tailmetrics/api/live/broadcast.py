"""Live views: each distinct view is computed once for all pages that show it, and only when it may differ.

A page that is slow to read gets the newest state when it is ready for it, never a queue of old ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic_core import to_json

from tailmetrics.api.http.problems import status_of
from tailmetrics.errors import TailmetricsError
from tailmetrics.telemetry.log import EventLog

log = EventLog()

LOOK_SECONDS = 0.1  # between two looks at the version of the store, while commits come
QUIET_LOOK_SECONDS = 0.75  # at most, so that a commit of another process shows within a second
SHORTEST_PAUSE_SECONDS = 0.5  # from one state of a view to the next
REFRESH_SECONDS = 10.0  # ranges move with the clock, also while nothing is committed

# A view rests so many times as long as it takes to compute, and longer when there are many. Some of its rest
# it may take later: commits that come now and then are to show at once on a busy machine, too.
_REST = 3
_REST_OF_EACH_VIEW = 2
_OWED_SECONDS = 1.5
_REFRESH_REST = 300  # times as long as computing took, while nothing is committed
_COMPUTED_AT_ONCE = 2

# The next look comes so late, of the time that nothing was committed; and so many times as late as it takes,
# where the store is quiet: a server that is only looked at has next to nothing to do.
_LATER_BY = 0.2
_QUIET_REST = 100

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Update:
    """The state of a view: `event` is view, or problem when it cannot be computed; `data` is JSON."""

    number: int
    event: str
    data: str


def rest_between_looks(quiet: float, took: float) -> float:
    """Seconds until the next look, `quiet` seconds after a change; the last look `took` that many."""
    longest = min(QUIET_LOOK_SECONDS, _QUIET_REST * took)
    return max(LOOK_SECONDS, min(_LATER_BY * quiet, longest), _REST * took)


def rested_at(before: float, begun: float, took: float, number: int) -> float:
    """When one of `number` views has rested from what was computed, as it had at `before` of all else."""
    return max(before, begun) + took * (1 + max(_REST, _REST_OF_EACH_VIEW * number))


class LiveViews(Generic[Key]):
    """Follows any number of views of one store.

    `compute` gives a view as JSON; `version` that of the store, which changes with each commit.
    """

    def __init__(
        self, compute: Callable[[Key], Awaitable[bytes]], version: Callable[[], Awaitable[str]]
    ) -> None:
        self._compute = compute
        self._version = version
        self._turns = asyncio.Semaphore(_COMPUTED_AT_ONCE)
        self._views: dict[Key, _View] = {}
        self._commits = _Signal()
        self._watcher: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def follow(self, key: Key) -> AsyncIterator[Update]:
        """The state of a view now, and again each time it may have changed, until `end`."""
        view = self._join(key)
        try:
            seen = 0
            while True:
                while view.latest is None or view.latest.number == seen:
                    if self._ended.is_set():
                        return
                    await view.changed.wait()
                seen = view.latest.number
                yield view.latest
        finally:
            self._leave(key, view)

    def end(self) -> None:
        """End every stream; there are no further ones. To be called in the event loop."""
        self._ended.set()
        for view in self._views.values():
            view.changed.tell()

    def _join(self, key: Key) -> _View:
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = _View()
            view.task = asyncio.create_task(self._keep_current(key, view))
        view.followers += 1
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())
        return view

    def _leave(self, key: Key, view: _View) -> None:
        view.followers -= 1
        if view.followers:
            return
        if view.task is not None:
            view.task.cancel()
        del self._views[key]
        if not self._views and self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    async def _watch(self) -> None:
        """Look at the store's version, once for all views."""
        last: str | None = None
        changed = time.monotonic()
        while True:
            begun = time.monotonic()
            try:
                version: str | None = await self._version()
            except TailmetricsError:
                version = None  # away, which views say for themselves; back is a change
            ended = time.monotonic()
            if version != last:
                last, changed = version, ended
                self._commits.tell()
            await asyncio.sleep(rest_between_looks(ended - changed, ended - begun))

    async def _keep_current(self, key: Key, view: _View) -> None:
        rested = 0.0  # when it will have rested for all that was computed
        while True:
            async with self._turns:
                begun = time.monotonic()
                commits = self._commits.number
                event, data = await self._state(key)
            took = time.monotonic() - begun
            number = 1 if view.latest is None else view.latest.number + 1
            view.latest = Update(number, event, data)
            view.changed.tell()
            rested = rested_at(rested, begun, took, len(self._views))
            await asyncio.sleep(max(SHORTEST_PAUSE_SECONDS - took, rested - _OWED_SECONDS - time.monotonic()))
            if self._commits.number == commits:
                try:
                    await asyncio.wait_for(self._commits.wait(), max(REFRESH_SECONDS, took * _REFRESH_REST))
                except asyncio.TimeoutError:
                    continue

    async def _state(self, key: Key) -> tuple[str, str]:
        try:
            return "view", (await self._compute(key)).decode()
        except TailmetricsError as error:
            return "problem", _problem(status_of(error), str(error))
        except Exception as error:  # noqa: BLE001  # a page is told, and the view goes on
            log.error("view_failed", error=str(error), kind=type(error).__name__)  # noqa: TRY400  # one line an event
            return "problem", _problem(500, "An error of the service itself; its log says more.")


class _View:
    def __init__(self) -> None:
        self.followers = 0
        self.latest: Update | None = None
        self.changed = _Signal()
        self.task: asyncio.Task[None] | None = None


class _Signal:
    """Wakes all who wait, each time it is told; `number` counts how often that was."""

    def __init__(self) -> None:
        self.number = 0
        self._told = asyncio.Event()

    def tell(self) -> None:
        self.number += 1
        self._told.set()
        self._told = asyncio.Event()

    async def wait(self) -> None:
        await self._told.wait()


def _problem(status: int, detail: str) -> str:
    return to_json({"status": status, "detail": detail}).decode()
