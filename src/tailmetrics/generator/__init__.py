"""The demo's log generator: the formats `requests` and `results`, to one file or queue at a steady pace."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tailmetrics.errors import SettingsError
from tailmetrics.generator.demo import Demo, DemoPast
from tailmetrics.generator.lines import CUSTOMERS, PATHS, Lines
from tailmetrics.generator.options import GeneratorOptions, Mode
from tailmetrics.generator.results import TESTS, Tests
from tailmetrics.generator.target import appending
from tailmetrics.settings import LogPath
from tailmetrics.settings.names import AUTO

__all__ = [
    "CUSTOMERS", "PATHS", "TESTS", "Generated", "GeneratorOptions", "Mode", "generate", "generated_file",
    "stop_on_signals",
]  # fmt: skip

# What is written where the format of the lines is not said is `requests`.
GENERATED_FORMATS = (AUTO, "requests", "results")

_CATCH_UP_SECONDS = 1.0  # a pause longer than this (a sleeping machine) is not made up for
_GRACE_SECONDS = 3  # from a signal to the end, however long the target keeps us waiting


@dataclass(frozen=True, slots=True)
class Generated:
    """What a run of the generator wrote: lines, or tests of the format `results`; `size` in bytes."""

    lines: int
    size: int
    seconds: float


def generated_file(log_paths: Sequence[LogPath]) -> Path:
    """The file that the settings give the generator to write: their first entry that is no queue.

    Raises SettingsError when that is a glob, or says that its lines are of no format that can be written.
    """
    entry = log_paths[0] if log_paths else None
    if entry is None:
        problem = "LOG_FILE_PATH: found queues only, expected a file to write as well; name it with --file"
    elif any(character in entry.pattern for character in "*?["):
        problem = (
            f"{entry.given_by}: found the glob {entry.pattern!r} as first entry, "
            "expected the path of one file to write; name it with --file"
        )
    elif entry.log_format.name not in GENERATED_FORMATS:
        problem = (
            f"{entry.given_by if entry.table else 'LOG_FORMAT'}: found {entry.log_format.name!r} for "
            f"{entry.pattern}, "
            "expected 'requests' or 'results', which the generator writes; name another file with --file"
        )
    else:
        return Path(entry.pattern)
    raise SettingsError([problem])


def generate(options: GeneratorOptions, wait: Callable[[float], bool]) -> Generated:
    """Write batches until `max_lines` are written or `wait(seconds)` says True: asked to stop.

    The n-th batch is due n intervals after the first, so that the pace does not drift. Raises OSError when
    the file cannot be written, and QueueError when the queue cannot be sent to.
    """
    lines = _renderer(options)
    written = size = batches = 0
    started = due = time.monotonic()
    with appending(options) as append:
        while not wait(due - time.monotonic()):
            now = options.clock(batches * options.interval_seconds)
            count = lines.batch_size(now)
            if lines.options.max_lines:
                count = min(count, lines.options.max_lines - written)
            if count:
                batch = lines.take(count, now)
                append(batch, now)
                size += len(batch)
                written += count
            batches += 1
            if lines.is_complete(written):
                break
            due = max(due + lines.options.interval_seconds, time.monotonic() - _CATCH_UP_SECONDS)
    return Generated(written, size, time.monotonic() - started)


@contextmanager
def stop_on_signals(give_up: Callable[[], None]) -> Iterator[Callable[[float], bool]]:
    """Yield a `wait(seconds)` that says True, at once, when SIGINT or SIGTERM has asked to stop.

    `give_up` is called when the context is still open some seconds later, since a write does not return.
    The handler writes to a pipe, as a lock that it takes could be held by what it interrupted.
    """
    reader, writer = os.pipe()

    def ask(*_: object) -> None:
        os.write(writer, b"x")
        signal.alarm(_GRACE_SECONDS)

    def wait(seconds: float) -> bool:
        return bool(select.select([reader], [], [], max(seconds, 0.0))[0])

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, lambda *_: give_up())
    try:
        yield wait
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _renderer(options: GeneratorOptions) -> Lines:
    if options.format_name == "results":
        return Tests(options)
    if options.mode != "demo":
        return Lines(options)
    return DemoPast(options) if options.days else Demo(options)
