"""Waking when something happens to a file: by events of the file system, or by the clock."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import structlog
from watchfiles import Change, watch

_STEP_MILLISECONDS = 2  # how long the watcher sleeps between two looks at the kernel's queue
_BACKSTOP_MILLISECONDS = 60_000

log = structlog.get_logger(__name__)


class Wakeup:
    """Tells one waiting thread or more that files changed.

    Where events cannot be had (too many watches, a network file system) the waiters wake by their timeouts.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._changes = 0
        self._names_changed = True
        self._directories: frozenset[str] = frozenset()
        self._restart: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def watch(self, directories: Iterable[str]) -> None:
        """Watch these directories, not what lies below them, and no others."""
        wanted = frozenset(directories)
        if wanted == self._directories:
            return
        self._directories = wanted
        self._end_thread()
        self._restart = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(wanted, self._restart), name="file-events", daemon=True
        )
        self._thread.start()
        # What happened before the watches were set raised no event.
        self.wake(names_changed=True)

    def wake(self, *, names_changed: bool = False) -> None:
        """Let all waiters go on."""
        with self._condition:
            self._changes += 1
            self._names_changed = self._names_changed or names_changed
            self._condition.notify_all()

    @property
    def changes(self) -> int:
        """Counts what happened, for `wait`."""
        return self._changes

    def wait(self, seen: int, timeout_seconds: float) -> None:
        """Wait until something has happened since `changes` was `seen`."""
        with self._condition:
            self._condition.wait_for(lambda: self._changes != seen, timeout_seconds)

    def take_names_changed(self) -> bool:
        """Whether files came, went or were renamed since the last call."""
        with self._condition:
            changed, self._names_changed = self._names_changed, False
            return changed

    def close(self) -> None:
        self._end_thread()
        self.wake()

    def _end_thread(self) -> None:
        if self._restart is not None and self._thread is not None:
            self._restart.set()
            self._thread.join()
            self._restart = self._thread = None

    def _run(self, directories: frozenset[str], stop: threading.Event) -> None:
        try:
            for changes in watch(
                *directories,
                watch_filter=None,
                debounce=1,
                step=_STEP_MILLISECONDS,
                stop_event=stop,
                rust_timeout=_BACKSTOP_MILLISECONDS,
                recursive=False,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                self.wake(names_changed=any(change is not Change.modified for change, _ in changes))
        except (OSError, RuntimeError) as error:
            # Polling goes on without events.
            log.warning("file events are not available, polling", error=str(error))
