"""The demo's log generator: the formats `requests` and `results`, to one file or queue at a steady pace."""

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
from tailmetrics.settings.names import AUTO
from tailmetrics.urls import QueueUrl

Mode = Literal["realistic", "uniform"]

# What is written where the format of the lines is not said is `requests`.
GENERATED_FORMATS = (AUTO, "requests", "results")

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

# The tests of a round of the format results, and the share of their runs that fail, in per mille.
TESTS = {
    "sign_in": 2, "sign_up": 4, "password reset": 12, "search": 1, "search with typos": 8, "cart": 2,
    "checkout": 6, "checkout by invoice": 25, "payment refused": 3, "refund": 5, "upload of a picture": 60,
    "export as CSV": 4, "webhook is sent again": 150, "rate limit": 30, "two users edit one page": 280,
    "migration": 1,
}  # fmt: skip
_TEST_MEDIAN_SECONDS = 0.8

_BLOCK_LINES = 16_384  # rendered at a time; fixed, so that a seed gives the same lines with any batch size
_CATCH_UP_SECONDS = 1.0  # a pause longer than this (a sleeping machine) is not made up for
_GRACE_SECONDS = 3  # from a signal to the end, however long the target keeps us waiting


@dataclass(frozen=True, slots=True)
class GeneratorOptions:
    """What to write, where and how fast.

    Lines carry the time of their append, or times of the last `days` days: in rising order in the realistic
    mode (which needs `max_lines`), in random order in the uniform mode (where None means 30). `now` stands in
    for the clock and must be aware. A line of the format `results` is a test, a block of lines; it has the
    time of its log, which is in the name of a message, and takes no `days`.
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
    format_name: Literal["requests", "results"] = "requests"


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
    lines = _Tests(options) if options.format_name == "results" else _Lines(options)
    written = size = batches = 0
    started = due = time.monotonic()
    with _appending(options) as append:
        while not wait(due - time.monotonic()):
            count = options.batch_size
            if options.max_lines:
                count = min(count, options.max_lines - written)
            now = _now(options, batches * options.interval_seconds)
            batch = lines.take(count, now)
            append(batch, now)
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
        self._is_stamped = not self._days and options.format_name != "results"
        self._zone = ZoneInfo(options.zone)
        self._begin = options.now or datetime.now(self._zone)
        self._durations = pl.Series(
            [f"{ms // 1000}.{ms % 1000:03d}" for ms in range(_MAX_MILLISECONDS + 1)], dtype=pl.String
        )
        self._block: list[bytes] = []
        self._rendered = 0
        self._at = 0

    def take(self, count: int, now: float) -> bytes:
        """The next `count` lines, as written at `now`, in seconds since 1970."""
        parts = self._block[self._at : self._at + count]
        self._at += len(parts)
        while len(parts) < count:
            self._block = self._render(_BLOCK_LINES)
            self._at = count - len(parts)
            parts += self._block[: self._at]
        stamp = _stamp(int(now), self._zone) if self._is_stamped else b""
        return stamp + stamp.join(parts)

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


class _Tests(_Lines):
    """Blocks of the format `results` in place of lines: rounds of all tests, or tests at random."""

    def _render(self, count: int) -> list[bytes]:
        numbers = self._rendered + np.arange(count)
        self._rendered += count
        tests, failing = numbers % len(TESTS), np.array(list(TESTS.values())) / 1000
        if self._options.mode == "uniform":
            tests, failing = self._random.integers(len(TESTS), size=count), np.full(len(TESTS), 0.5)
        failed = self._random.random(count) < failing[tests]
        seconds = _TEST_MEDIAN_SECONDS * self._random.lognormal(0.0, _LATENCY_SIGMA, count)
        rows = zip(numbers.tolist(), tests.tolist(), seconds.tolist(), failed.tolist(), strict=True)
        names = list(TESTS)
        return [_block(number, names[test], took, failed=bad) for number, test, took, bad in rows]


def _block(number: int, name: str, seconds: float, *, failed: bool) -> bytes:
    iteration = "" if number % len(TESTS) else f"# Iteration {number // len(TESTS) + 1}\n"
    detail = "# Expected status 200, found 503\n" if failed else ""
    result = "FAIL" if failed else "PASS"
    return f'{iteration}# Test: "{name}"\n# Took {seconds:.3f} s\n{detail}# Result: {result}\n'.encode()


def _now(options: GeneratorOptions, elapsed_seconds: float) -> float:
    """Seconds since 1970; `elapsed_seconds` moves the clock that `options.now` stands in for."""
    return time.time() if options.now is None else options.now.timestamp() + elapsed_seconds


@functools.lru_cache(maxsize=1)
def _stamp(second: int, zone: ZoneInfo) -> bytes:
    return datetime.fromtimestamp(second, zone).strftime("%Y-%m-%d %H:%M:%S ").encode()


@contextmanager
def _appending(options: GeneratorOptions) -> Iterator[Callable[[bytes, float], object]]:
    """Yield a function that takes whole lines and their time: to append them, or send them as a log."""
    if isinstance(options.target, Path):
        with _AppendedFile(options.target) as file:
            yield lambda lines, _: file.append(lines)
    elif options.format_name == "results":
        with Publisher(options.target, create=options.create_queue) as publisher:
            yield lambda lines, now: publisher.send(f"test_{int(now)}.log", lines)
    else:
        with Publisher(options.target, create=options.create_queue) as publisher:
            yield lambda lines, _: publisher.send(f"requests_{time.time_ns()}.log", lines)


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
