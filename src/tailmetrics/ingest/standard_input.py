"""Standard input as a log: what it gives is kept in files, as a pipe cannot be read again after a crash.

They are followed, or loaded, like any other log: each line in them counts exactly once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from tailmetrics.errors import LoadError, QueryError, SettingsError
from tailmetrics.formats.framing import framing_of
from tailmetrics.settings import LogPath, Settings
from tailmetrics.status import SourceStatus
from tailmetrics.telemetry.log import EventLog
from tailmetrics.urls import STANDARD_INPUT

_SPOOL_BYTES = 64 * 1024 * 1024  # of one file, before the next one is begun
_READ_BYTES = 64 * 1024  # as much as a pipe holds
_PAUSE_SECONDS = 1.0  # from one look at what can be removed to the next
_ENDED_SUFFIX = ".1"  # as a rotation names it: its unfinished last line counts after the holding time

log = EventLog()


def require_standard_input(parameter: str) -> None:
    """Raises QueryError when there is none that ends: a terminal, or nothing at all."""
    if sys.stdin is None or sys.stdin.isatty():
        found = "a terminal" if sys.stdin is not None else "nothing"
        raise QueryError(parameter, STANDARD_INPUT, f"a pipe or a file as standard input, which is {found}")


@contextlib.contextmanager
def spooled(folder: Path) -> Iterator[Path]:
    """Standard input, read to its end, as a file beside the data that is there while the context is open.

    Raises LoadError when there is no room for it. What a killed process left is removed.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_spool(folder))
            shutil.copyfileobj(sys.stdin.buffer, file, _READ_BYTES)
            file.flush()
        except OSError as error:
            raise LoadError(_cannot_keep(folder, error)) from error
        yield Path(file.name)


@contextlib.contextmanager
def _spool(folder: Path) -> Iterator[IO[bytes]]:
    prefix = ".load-stdin-"
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # that of a process that lives is locked
            left.unlink()
    with tempfile.NamedTemporaryFile(prefix=prefix, dir=folder) as spool:
        fcntl.flock(spool, fcntl.LOCK_EX)
        yield spool


def _cannot_keep(folder: Path, error: OSError) -> str:
    return f"standard input cannot be kept in {folder}: {error.strerror or error}"


@contextlib.contextmanager
def following_standard_input(
    settings: Settings, sources: Callable[[], Sequence[SourceStatus]]
) -> Iterator[None]:
    """Copy standard input to where it is followed while the context is open, if LOG_FILE_PATH has it.

    `sources` tells how far its files are stored. Raises SettingsError when another process does the same.
    """
    entry = settings.standard_input
    if entry is None:
        yield
        return
    require_standard_input("LOG_FILE_PATH")
    if sum(path.pattern == STANDARD_INPUT for path in settings.log_entries) > 1:
        raise SettingsError(["LOG_FILE_PATH: found - (standard input) more than once, expected it once"])
    if settings.log_start == "end":
        problem = (
            "LOG_START: found 'end', expected beginning, as LOG_FILE_PATH has - (standard input), which has "
            "no lines of before"
        )
        raise SettingsError([problem])
    try:
        copying = _Copying(_Spools(settings.data_folder, entry, sources))
    except OSError as error:
        raise LoadError(_cannot_keep(settings.data_folder, error)) from error
    copying.start()
    try:
        yield
    finally:
        copying.stop()


class _Copying:
    """The thread that reads standard input."""

    def __init__(self, spools: _Spools) -> None:
        self._spools = spools
        self._stopping = threading.Event()
        self._ending, self._end = os.pipe()
        self._thread = threading.Thread(target=self._run, name="standard-input", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Read no more; what is still in the pipe then is lost with it."""
        self._stopping.set()
        os.close(self._end)
        self._thread.join()
        os.close(self._ending)
        self._spools.tidy(with_last=True)

    def _run(self) -> None:
        size = 0
        try:
            for data in self._pieces():
                self._keep(data)
                size += len(data)
        except OSError as error:
            log.error("standard input cannot be read", error=error.strerror)  # noqa: TRY400  # a line an event
        self._spools.close()
        if not self._stopping.is_set():
            log.info("standard input has ended", bytes=size)
        while self._spools.tidy() and not self._stopping.wait(_PAUSE_SECONDS):
            pass

    def _pieces(self) -> Iterator[bytes]:
        descriptor = sys.stdin.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.register(self._ending, select.POLLIN)
        due = 0.0
        while not self._stopping.is_set():
            if self._spools.ended and time.monotonic() >= due:
                self._spools.tidy()
                due = time.monotonic() + _PAUSE_SECONDS
            ready = poll.poll(1000 * _PAUSE_SECONDS if self._spools.ended else None)
            if any(each == descriptor for each, _ in ready) and not self._stopping.is_set():
                with contextlib.suppress(BlockingIOError):
                    data = os.read(descriptor, _READ_BYTES)
                    if not data:
                        return
                    yield data

    def _keep(self, data: bytes) -> None:
        """Write all of it; without room nothing more is read until there is some."""
        said = None
        while data:
            written, error = self._try_to_append(data)
            data = data[written:]
            if error is None:
                continue
            if error != said:
                said = error
                log.warning("standard input cannot be kept, trying again", error=error)
            if self._stopping.wait(_PAUSE_SECONDS):
                log.error("bytes of standard input are lost", bytes=len(data))
                return

    def _try_to_append(self, data: bytes) -> tuple[int, str | None]:
        try:
            return self._spools.append(data), None
        except OSError as error:
            return 0, error.strerror or str(error)


class _Spools:
    """The files of one standard input: one that grows, and those that ended and may not be wholly stored."""

    def __init__(self, folder: Path, entry: LogPath, sources: Callable[[], Sequence[SourceStatus]]) -> None:
        self._sources = sources
        self._folder = folder
        self._prefix, self._suffix = Path(entry.pattern).name.split("*")
        self._may_switch = not framing_of(entry.log_format.name).are_blocks  # which a switch would cut
        self._seen: dict[Path, tuple[int, int]] = {}  # position and size of what has ended
        folder.mkdir(parents=True, exist_ok=True)
        self.ended = [_taken_over(path) for path in sorted(folder.glob(f"{self._prefix}*"))]
        self._descriptor, self._path = self._new()
        self._size = 0
        self._is_full = False

    def append(self, data: bytes) -> int:
        """Write some of the bytes; returns how many. Raises OSError, without room for one."""
        if self._is_full:
            descriptor, path = self._new()
            self.close()
            self._descriptor, self._path, self._size = descriptor, path, 0
        may_end = self._may_switch and self._size + len(data) >= _SPOOL_BYTES
        if may_end and (end := data.find(b"\n") + 1):
            data = data[:end]
        written = os.write(self._descriptor, data)
        self._size += written
        self._is_full = may_end and data[:written].endswith(b"\n")
        return written

    def close(self) -> None:
        """Nothing more will be appended to the file that grows."""
        os.close(self._descriptor)
        self.ended.append(self._path)

    def tidy(self, *, with_last: bool = False) -> int:
        """Remove what has ended and is stored; returns how many files are not stored yet.

        The last one stays until `with_last`, so that it shows what was read. What makes no progress is
        renamed, so that its unfinished last line is counted.
        """
        positions = {Path(source.path).name: source.position for source in self._sources()}
        unstored = 0
        for path in list(self.ended):
            renamed = path.with_name(path.name + _ENDED_SUFFIX)
            now = path if path.exists() else renamed
            position, size = positions.get(path.name, -1), now.stat().st_size if now.exists() else 0
            if position >= size or size == 0:
                if with_last or path != self._path:
                    now.unlink(missing_ok=True)
                    self.ended.remove(path)
                continue
            unstored += 1
            if position >= 0 and self._seen.get(path) == (position, size):
                now.rename(renamed)
            self._seen[path] = (position, size)
        return unstored

    def _new(self) -> tuple[int, Path]:
        descriptor, name = tempfile.mkstemp(self._suffix, self._prefix, self._folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor, Path(name)


def _taken_over(path: Path) -> Path:
    """A file that an earlier process left, under the name by which it is followed."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            problem = (
                f"LOG_FILE_PATH: found {STANDARD_INPUT!r} in another process too, which writes {path}; "
                "expected one for each store and NODE_ID: give this one another NODE_ID"
            )
            raise SettingsError([problem]) from None
    return path.rename(path.with_suffix("")) if path.suffix == _ENDED_SUFFIX else path
