"""The demo's log generator: lines of the format `requests`, to one file or queue at a steady pace."""

from __future__ import annotations

import functools
import os
import select
import signal
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.errors import SettingsError
from tailmetrics.queues.publisher import Publisher
from tailmetrics.settings import LogPath
from tailmetrics.urls import QueueUrl

Mode = Literal["realistic", "uniform"]

CUSTOMERS = tuple(f"cust_{number}" for number in range(1, 51))
PATHS = tuple(f"/api/v1/resource{number}" for number in range(1, 5))
UNIFORM_STATUSES = (200, 201, 400, 401, 403, 404, 500)
UNIFORM_DAYS = 30

# Shares of the statuses in the realistic mode, in per mille.
_STATUS_SHARES = {
    200: 860, 201: 45, 204: 15, 301: 3, 304: 22, 400: 12, 401: 8, 403: 4, 404: 16, 429: 4, 500: 5, 502: 2,
    503: 4,
}  # fmt: skip
_PATH_SHARES = (0.45, 0.30, 0.17, 0.08)
_PATH_MEDIAN_SECONDS = (0.045, 0.090, 0.180, 0.420)
_LATENCY_SIGMA = 0.55  # of the log-normal distribution: p99 is 3.6 times the median
_POPULARITY_EXPONENT = 0.9  # of the Zipf-like law: the first customer sends some 12 per cent of the requests
_MAX_MILLISECONDS = 30_000

_BLOCK_LINES = 16_384  # rendered at a time; fixed, so that a seed gives the same lines with any batch size
_CATCH_UP_SECONDS = 1.0  # a pause longer than this (a sleeping machine) is not made up for
_GRACE_SECONDS = 3  # from a signal to the end, however long the target keeps us waiting


@dataclass(frozen=True, slots=True)
class GeneratorOptions:
    """What to write, where and how fast.

    Lines carry the time of their append, or times of the last `days` days: in rising order in the realistic
    mode (which needs `max_lines`), in random order in the uniform mode (where None means 30). `now` stands in
    for the clock and must be aware.
    """

    target: Path | QueueUrl
    mode: Mode = "realistic"
    batch_size: int = 10
    interval_seconds: float = 0.1
    max_lines: int = 0  # 0: for ever
    zone: str = "UTC"
    seed: int | None = None
    days: int | None = None
    now: datetime | None = None
    create_queue: bool = False


@dataclass(frozen=True, slots=True)
class Generated:
    """What a run of the generator wrote; `size` in bytes."""

    lines: int
    size: int
    seconds: float


def generated_file(log_paths: Sequence[LogPath]) -> Path:
    """The file that LOG_FILE_PATH gives the generator to write: its first entry that is no queue.

    Raises SettingsError when that is a glob, or says that its lines are not of the format `requests`.
    """
    entry = log_paths[0] if log_paths else None
    if entry is None:
        problem = "LOG_FILE_PATH: found queues only, expected a file to write as well; name it with --file"
    elif any(character in entry.pattern for character in "*?["):
        problem = (
            f"LOG_FILE_PATH: found the glob {entry.pattern!r} as first entry, "
            "expected the path of one file to write; name it with --file"
        )
    elif entry.format_name != "requests":
        problem = (
            f"LOG_FORMAT: found {entry.format_name!r} for {entry.pattern}, "
            "expected 'requests', the format that the generator writes; name another file with --file"
        )
    else:
        return Path(entry.pattern)
    raise SettingsError([problem])


def generate(options: GeneratorOptions, wait: Callable[[float], bool]) -> Generated:
    """Write batches until `max_lines` are written or `wait(seconds)` says True: asked to stop.

    The n-th batch is due n intervals after the first, so that the pace does not drift. Raises OSError when
    the file cannot be written, and QueueError when the queue cannot be sent to.
    """
    lines = _Lines(options)
    written = size = batches = 0
    started = due = time.monotonic()
    with _appending(options) as append:
        while not wait(due - time.monotonic()):
            count = options.batch_size
            if options.max_lines:
                count = min(count, options.max_lines - written)
            batch = lines.take(count, batches * options.interval_seconds)
            append(batch)
            size += len(batch)
            written += count
            batches += 1
            if written == options.max_lines:
                break
            due = max(due + options.interval_seconds, time.monotonic() - _CATCH_UP_SECONDS)
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


class _Lines:
    """Renders lines a block at a time and hands them out a batch at a time."""

    def __init__(self, options: GeneratorOptions) -> None:
        self._options = options
        self._days = options.days or (UNIFORM_DAYS if options.mode == "uniform" else None)
        self._random = np.random.default_rng(options.seed)
        self._zone = ZoneInfo(options.zone)
        self._begin = options.now or datetime.now(self._zone)
        self._durations = pl.Series(
            [f"{ms // 1000}.{ms % 1000:03d}" for ms in range(_MAX_MILLISECONDS + 1)], dtype=pl.String
        )
        self._block: list[bytes] = []
        self._rendered = 0
        self._at = 0

    def take(self, count: int, elapsed_seconds: float) -> bytes:
        """The next `count` lines; `elapsed_seconds` moves a clock that `now` stands in for."""
        parts = self._block[self._at : self._at + count]
        self._at += len(parts)
        while len(parts) < count:
            self._block = self._render(_BLOCK_LINES)
            self._at = count - len(parts)
            parts += self._block[: self._at]
        stamp = b"" if self._days else self._now(elapsed_seconds)
        return stamp + stamp.join(parts)

    def _now(self, elapsed_seconds: float) -> bytes:
        now = self._options.now
        seconds = time.time() if now is None else now.timestamp() + elapsed_seconds
        return _stamp(int(seconds), self._zone)

    def _render(self, count: int) -> list[bytes]:
        """Lines with their ends; without the timestamp where that is the time of the append."""
        choose = self._uniform if self._options.mode == "uniform" else self._realistic
        customers, paths, statuses, milliseconds = choose(count)
        columns = [
            pl.Series(CUSTOMERS).gather(customers),
            pl.Series(PATHS).gather(paths),
            pl.Series(statuses).cast(pl.String),
            self._durations.gather(milliseconds),
        ]
        if self._days:
            columns.insert(0, self._timestamps(count, self._days))
        self._rendered += count
        named = [column.alias(str(number)) for number, column in enumerate(columns)]
        text = pl.select(pl.concat_str(named, separator=" ").str.join("\n")).item()
        return f"{text}\n".encode().splitlines(keepends=True)

    def _uniform(self, count: int) -> tuple[npt.NDArray[np.int64], ...]:
        return (
            self._random.integers(len(CUSTOMERS), size=count),
            self._random.integers(len(PATHS), size=count),
            self._random.choice(np.array(UNIFORM_STATUSES), size=count),
            self._random.integers(100, 2000, size=count, endpoint=True),
        )

    def _realistic(self, count: int) -> tuple[npt.NDArray[np.int64], ...]:
        popularity = 1.0 / np.arange(1, len(CUSTOMERS) + 1) ** _POPULARITY_EXPONENT
        shares = np.array(list(_STATUS_SHARES.values()), dtype=float)
        customers = self._random.choice(len(CUSTOMERS), size=count, p=popularity / popularity.sum())
        paths = self._random.choice(len(PATHS), size=count, p=_PATH_SHARES)
        statuses = self._random.choice(np.array(list(_STATUS_SHARES)), size=count, p=shares / shares.sum())
        seconds = np.array(_PATH_MEDIAN_SECONDS)[paths] * self._random.lognormal(0.0, _LATENCY_SIGMA, count)
        # Failing servers answer late, and what is refused or not modified is answered early.
        seconds *= np.select([statuses >= 500, (statuses >= 300) & (statuses < 500)], [6.0, 0.4], 1.0)
        return customers, paths, statuses, np.clip(np.rint(seconds * 1000), 1, _MAX_MILLISECONDS).astype(int)

    def _timestamps(self, count: int, days: int) -> pl.Series:
        span = timedelta(days=days).total_seconds()
        if self._options.mode == "uniform":
            ages = self._random.integers(1, int(span), size=count, endpoint=True).astype(float)
        else:
            ages = span * (1.0 - (self._rendered + np.arange(count)) / max(self._options.max_lines, 1))
        seconds = np.floor(self._begin.timestamp() - ages).astype(np.int64)
        return (
            pl.from_epoch(pl.Series(seconds), time_unit="s")
            .dt.convert_time_zone(self._options.zone)
            .dt.strftime("%Y-%m-%d %H:%M:%S")
        )


@functools.lru_cache(maxsize=1)
def _stamp(second: int, zone: ZoneInfo) -> bytes:
    return datetime.fromtimestamp(second, zone).strftime("%Y-%m-%d %H:%M:%S ").encode()


@contextmanager
def _appending(options: GeneratorOptions) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that takes whole lines: a batch is appended to a file, or a message of a queue."""
    if isinstance(options.target, Path):
        with _AppendedFile(options.target) as file:
            yield file.append
    else:
        with Publisher(options.target, create=options.create_queue) as publisher:
            yield lambda lines: publisher.send(f"requests_{time.time_ns()}.log", lines)


class _AppendedFile:
    """A file that takes whole lines at its end, opened anew when a rotation put another file in its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._identity = (-1, -1)

    def __enter__(self) -> _AppendedFile:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def append(self, data: bytes) -> None:
        try:
            found = self._path.stat()
            rotated = (found.st_dev, found.st_ino) != self._identity
        except FileNotFoundError:
            rotated = True
        if rotated:
            os.close(self._descriptor)
            self._open()
        # One call for the batch, so that other writers and readers see whole lines; a short write goes on.
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        opened = os.fstat(self._descriptor)
        self._identity = (opened.st_dev, opened.st_ino)
        if stat.S_ISREG(opened.st_mode) and opened.st_size > 0:
            with self._path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    # A writer was killed within a line: it must not swallow the first one from here.
                    os.write(self._descriptor, b"\n")
