"""Waking when something happens to a file: by events of the file system, or by the clock."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from inotify_simple import Event, INotify, flags

from tailmetrics.telemetry.log import EventLog

_NAMES = flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO | flags.DELETE_SELF | flags.MOVE_SELF
_NEWS_OF_NAMES = _NAMES | flags.IGNORED | flags.Q_OVERFLOW | flags.UNMOUNT
_WATCHED = _NAMES | flags.MODIFY
_REST_SECONDS = 0.002  # meanwhile the kernel makes one of equal events: a thousand appends are not a thousand

log = EventLog()


@dataclass(frozen=True, slots=True)
class News:
    """What happened: whether files came, went or were renamed, and the paths that were written to."""

    names_changed: bool
    written: frozenset[str]


class Wakeup:
    """Tells one waiting thread or more that files changed.

    Where events cannot be had (too many watches, another system than Linux) `has_events` is false; where they
    do not come (a network file system) nobody knows. There the waiters have to look by the clock.
    """

    def __init__(self) -> None:
        self.has_events = False
        self._condition = threading.Condition()
        self._changes = 0
        self._names_changed = True
        self._written: set[str] = set()
        self._folders: dict[int, list[str]] = {}  # by the number of their watch: a folder may have many names
        self._problem: str | None = None
        self._watcher: _Watcher | None = None

    def watch(self, directories: Iterable[str]) -> None:
        """Watch these directories, not what lies below them, and no others."""
        before = self._folders
        try:
            if self._watcher is None:
                self._watcher = _Watcher(self._note)
            folders: dict[int, list[str]] = {}
            for directory in directories:
                folders.setdefault(self._watcher.add(directory), []).append(directory)
        except (OSError, AttributeError) as error:  # elsewhere the C library has no such function
            self.has_events = False
            if str(error) != self._problem:
                self._problem = str(error)
                log.warning("file events are not available, polling", error=self._problem)
            return
        self._folders = folders
        self._problem = None
        self.has_events = True
        for number in before.keys() - folders.keys():
            self._watcher.remove(number)
        if folders != before:
            # What happened before the watches were set raised no event.
            self.wake(names_changed=True)

    def wake(self, *, names_changed: bool = False, written: Iterable[str] = ()) -> None:
        """Let all waiters go on."""
        with self._condition:
            self._changes += 1
            self._names_changed = self._names_changed or names_changed
            self._written.update(written)
            self._condition.notify_all()

    @property
    def changes(self) -> int:
        """Counts what happened, for `wait`."""
        return self._changes

    def wait(self, seen: int, timeout_seconds: float) -> None:
        """Wait until something has happened since `changes` was `seen`."""
        with self._condition:
            self._condition.wait_for(lambda: self._changes != seen, timeout_seconds)

    def take_news(self) -> News:
        """What happened since the last call."""
        with self._condition:
            news = News(self._names_changed, frozenset(self._written))
            self._names_changed = False
            self._written.clear()
            return news

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        self.wake()

    def _note(self, events: Sequence[Event]) -> None:
        folders = self._folders
        self.wake(
            names_changed=any(event.mask & _NEWS_OF_NAMES for event in events),
            written=[
                os.path.join(folder, event.name)  # noqa: PTH118  # for each event, as a string
                for event in events
                for folder in folders.get(event.wd, ())
            ],
        )


class _Watcher:
    """A thread that sleeps until the kernel has events, and hands them on."""

    def __init__(self, on_events: Callable[[Sequence[Event]], None]) -> None:
        """Raises OSError, or AttributeError where there is no inotify."""
        self._on_events = on_events
        self._events = INotify()
        self._ending, self._end = os.pipe()
        self._thread = threading.Thread(target=self._run, name="file-events", daemon=True)
        self._thread.start()

    def add(self, directory: str) -> int:
        """Watch a directory; returns the number of its watch, the same for each of its names."""
        number: int = self._events.add_watch(directory, _WATCHED)
        return number

    def remove(self, number: int) -> None:
        with contextlib.suppress(OSError):  # it may have gone with its directory
            self._events.rm_watch(number)

    def close(self) -> None:
        os.close(self._end)
        self._thread.join()
        os.close(self._ending)
        self._events.close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._events.fileno(), select.POLLIN)
        poll.register(self._ending, select.POLLIN)
        while all(descriptor != self._ending for descriptor, _ in poll.poll()):
            self._on_events(self._events.read(timeout=0))
            time.sleep(_REST_SECONDS)
