"""What a process does about itself: memory, garbage, open files, whose end is its own, who goes on."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import os
import re
import resource
import signal
import sys
import threading
import time
from pathlib import Path

# https://man7.org/linux/man-pages/man3/mallopt.3.html
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_ARRAY_BYTES = 16 * 1024 * 1024
_KEPT_BYTES = 32 * 1024 * 1024  # of a thread
_OF_THE_USER = {"GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}

# https://man7.org/linux/man-pages/man5/proc_pid_maps.5.html
_CODE_OF_A_FILE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r-xp .* /", re.MULTILINE)
_DONT_NEED = 4
_LARGE_BYTES = 1024 * 1024

_MOST_OPEN_FILES = 65_536  # asked for; more would serve nothing
_MOST_CONNECTIONS = 1000
_OPEN_BESIDES = 256  # by the store, the queues, loads, and for a moment to compare files

_OBJECTS_OF_A_START = 1_000_000  # so many new ones until the first look
# Python's own 700 are fewer than the messages that are taken from a topic at once: to look through these time
# and again takes as long as to make them.
_NEW_OBJECTS = 10_000

_TURN_SECONDS = 0.0002
_clock_of_thread = getattr(time, "pthread_getcpuclockid", None)  # not every system has it

_PARENT_LOOK_SECONDS = 0.25
_PARENT_GRACE_SECONDS = 4.0  # from its end to ours, however long that takes


def keep_freed_memory() -> None:
    """Have the C library keep some of the memory that arrays and inserts leave.

    glibc gives it back to the system, and gets it again, page by page, for the next question. That is a
    quarter of the time of a question about 200,000 rows. Other C libraries are left as they are, and so is
    what the user has set in the environment.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or _OF_THE_USER & os.environ.keys():
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_ARRAY_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def release_code_pages() -> None:
    """Give back the memory of the libraries' code, most of which only a start needs.

    What runs again is mapped again when it does, from the system's cache of files. A tenth of the memory of a
    load is code that has run once. Where there is no /proc nothing is done.
    """
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    if madvise is None:
        return
    with contextlib.suppress(OSError):
        for begin, end in _CODE_OF_A_FILE.findall(Path("/proc/self/maps").read_text()):
            address, length = int(begin, 16), int(end, 16) - int(begin, 16)
            if length >= _LARGE_BYTES:
                madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), _DONT_NEED)


def raise_open_files_limit() -> None:
    """Let the process open as many files as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def room_for_connections() -> int:
    """How many connections of clients may be open: a quarter of all files, a thousand at most."""
    return min(_MOST_CONNECTIONS, _open_files_limit() // 4)


def room_for_logs() -> int:
    """How many logs may be open: what is left beside connections and the store, a quarter at least."""
    limit = _open_files_limit()
    return max(limit // 4, limit - room_for_connections() - _OPEN_BESIDES, 1)


def _open_files_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def defer_garbage_collection() -> None:
    """For the start of the program, and for commands that are soon over: what is imported stays.

    To look through it again and again is a tenth of the time that a start takes.
    """
    gc.set_threshold(_OBJECTS_OF_A_START)


def resume_garbage_collection() -> None:
    """For what goes on for long: what is there after `defer_garbage_collection` is taken to stay."""
    if gc.get_threshold()[0] == _OBJECTS_OF_A_START:
        gc.freeze()
        gc.set_threshold(_NEW_OBJECTS)


def take_short_turns() -> None:
    """Have threads that compute in Python let others on after a fifth of a millisecond, in place of five.

    Each answer of an event loop waits for such a turn two or three times, of as many threads as compute; and
    many more times where these go on in short steps, as over a thousand small logs.
    """
    sys.setswitchinterval(_TURN_SECONDS)


def end_with_parent(parent: int) -> None:
    """End this process, as SIGTERM does, once `parent` is not its parent any more.

    It is known by its id, so that one that ended before is missed too; and looked for, as not every system
    tells of it.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_PARENT_GRACE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def is_other_process(pid: int) -> bool:
    """Whether a process of that number runs, and is not this one."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # another user's
    return pid != os.getpid()


class Pulse:
    """Tells other threads how long one stands still: is overdue, and does not use the processor either.

    A turn may take its time, as long as something is done in it: to unpack what was rotated can take minutes.
    """

    def __init__(self) -> None:
        self._due = math.inf
        self._clock: int | None = None
        self._used = 0.0
        self._moved_at = 0.0

    def beat(self, rest_seconds: float = 0.0) -> None:
        """Say that the calling thread goes on, and is due again so much later."""
        self._clock = None if _clock_of_thread is None else _clock_of_thread(threading.get_ident())
        self._due = time.monotonic() + rest_seconds

    def overdue_seconds(self) -> float:
        """How long the thread stands still, as far as it was looked at meanwhile."""
        clock, due, now = self._clock, self._due, time.monotonic()
        if clock is None or now <= due:
            return 0.0
        with contextlib.suppress(OSError):  # it has ended
            if (used := time.clock_gettime(clock)) > self._used:
                self._used, self._moved_at = used, now
        return now - max(due, self._moved_at)
