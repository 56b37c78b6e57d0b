"""Which process holds which share of the logs: locks on files, which the system releases when one dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from tailmetrics.ingest.processes import DATABASE, LOCK, LOOK_SECONDS, folder_of, is_locked, opened_lock
from tailmetrics.settings import Settings
from tailmetrics.tailing.shares import Shares
from tailmetrics.telemetry.log import EventLog

log = EventLog()

_UNSEEN_SECONDS = 30.0  # after which a share is taken over whose process was never seen alive


class ShareLocks:
    """The shares that this process holds, out of `count`; it is at `home` in the one of its own number.

    Two files a share are locked: one by whoever reads its logs, the other by the process that is at home
    there, as long as it lives. So the share of a process that died is taken over by another one, and given
    back when there is such a process again. With `takes_over` off, no other share is taken.
    """

    def __init__(self, folder: Path, home: int, count: int, *, takes_over: bool = True) -> None:
        self.home = home
        self._folder = folder
        self._count = count
        self._takes_over = takes_over
        self._lock = threading.Lock()
        self._held: set[int] = set()
        self._taken: set[int] = set()  # to be held by the next run of the dataflow
        self._free_since: dict[int, float] = {}  # shares whose process is dead
        self._began = time.monotonic()
        self._unseen = set(range(count)) - {home}  # whose process was not seen alive
        self._readers = [opened_lock(folder / f"share-{number}") for number in range(count)]
        self._homes = [opened_lock(folder / f"home-{number}") for number in range(count)]
        # Others hold it for no longer than it takes to see that it is free.
        fcntl.flock(self._homes[home], fcntl.LOCK_EX)

    @property
    def held(self) -> frozenset[int]:
        """The shares of the present run of the dataflow."""
        with self._lock:
            return frozenset(self._held)

    def is_change_due(self) -> bool:
        """Take what is free; whether the dataflow is to run anew with that, or without what goes home."""
        with self._lock:
            for number in set(range(self._count)) - self._held - self._taken:
                if self._may_take(number) and is_locked(self._readers[number], fcntl.LOCK_EX):
                    self._taken.add(number)
            return bool(self._taken) or any(map(self._goes_home, self._held))

    def settle(self) -> None:
        """Between two runs of the dataflow, when all that was read is in the store: give back and take."""
        with self._lock:
            for number in self._taken - {self.home}:
                log.info("took over the logs of a process that is not there", process=number + 1)
            self._held |= self._taken
            self._taken.clear()
            for number in [each for each in self._held if self._goes_home(each)]:
                fcntl.flock(self._readers[number], fcntl.LOCK_UN)
                self._held.remove(number)
                log.info("gave back the logs of a process that is there again", process=number + 1)

    def logs(self) -> Shares:
        """Those of the shares that are held; to be closed by who asks."""
        started = datetime.fromtimestamp((self._folder / LOCK).stat().st_mtime, timezone.utc)
        return Shares(self._folder / DATABASE, self._count, self.held, started)

    def close(self) -> None:
        """Give all of it back."""
        for descriptor in (*self._readers, *self._homes):
            os.close(descriptor)

    def _may_take(self, number: int) -> bool:
        if number == self.home:
            return True
        now = time.monotonic()
        if not self._takes_over or self._lives(number):
            self._free_since.pop(number, None)
            return False
        if number in self._unseen and now - self._began < _UNSEEN_SECONDS:
            return False
        # Those that have fewer come first.
        others = len((self._held | self._taken) - {self.home})
        return now - self._free_since.setdefault(number, now) >= 2 * LOOK_SECONDS * others

    def _goes_home(self, number: int) -> bool:
        return number != self.home and self._lives(number)

    def _lives(self, number: int) -> bool:
        """Whether the process is there that is at home in a share of another number."""
        if is_locked(self._homes[number], fcntl.LOCK_SH):
            fcntl.flock(self._homes[number], fcntl.LOCK_UN)
            return False
        self._unseen.discard(number)
        return True


@contextlib.contextmanager
def joining(settings: Settings, share: int) -> Iterator[ShareLocks]:
    """What one of the processes holds, as long as the context is open; at first the share of its number."""
    folder = folder_of(settings)
    shares = ShareLocks(folder, share, settings.processes, takes_over=bool(settings.log_paths))
    try:
        yield shares
    finally:
        shares.close()
