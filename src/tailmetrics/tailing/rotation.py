"""Which log a name belongs to: what rotation put behind it, and what is the log's own."""

from __future__ import annotations

import fnmatch
import functools
import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence

from tailmetrics.settings import FormatOptions, LogPath
from tailmetrics.tailing.compression import SUFFIXES

# What rotation puts behind a name or before its last suffix, one piece of it: a number, a part of a date,
# "old" and the like. A log's own name may end in the same, so that pieces are taken off one at a time.
_PIECE = r"(?P<piece>T?\d[\dT:]*Z?|old|bak|prev|copy|rotated)"
_PIECE_BEHIND = re.compile(rf"(?P<stem>.+)[._~-]{_PIECE}(?P<suffix>)")
_PIECE_BEFORE_SUFFIX = re.compile(rf"(?P<stem>.+)[._-]{_PIECE}(?P<suffix>\.[A-Za-z]\w*)")
# A date's first piece, with the piece behind it. A year alone may be any number.
_YEAR = re.compile(r"(?:19|20)\d\d(?:[01]\d[\dT:]*Z? .*| [01]?\d)")
# Files in which standard input is kept: each is a log of its own, whatever it holds.
_SPOOL = re.compile(r"stdin-[0-9a-f]{8}-[a-z0-9_]{8}")
# When the tests of a result log ran, in seconds since 1970.
_RUN = re.compile(rf"test_[0-9]{{9,11}}(?![0-9])|{_SPOOL.pattern}")
_MOST_CACHED = 65_536


def is_compressed(path: str) -> bool:
    return path.endswith(SUFFIXES)


@functools.lru_cache(maxsize=_MOST_CACHED)
def chain(path: str) -> tuple[str, ...]:
    """The names that a file may have had before rotation, from its own on, absolute and none compressed.

    Each is the one before it without the last piece of a mark: web-1.log.2, web-1.log and web.log. The chain
    of any of them is the rest of the chain.
    """
    folder, name = os.path.split(path)
    folder = os.path.abspath(folder)  # noqa: PTH100
    return tuple(os.path.join(folder, each) for each, _ in _steps(name))  # noqa: PTH118


@functools.lru_cache(maxsize=_MOST_CACHED)
def undated(path: str) -> str:
    """The absolute name of a log without the date in it: a log that has another file each day is one."""
    folder, name = os.path.split(path)
    named, behind = name, ""
    for each, piece in _steps(name):
        if _YEAR.fullmatch(f"{piece} {behind}"):
            named = each
        behind = piece
    return os.path.join(os.path.abspath(folder), named)  # noqa: PTH100, PTH118


def _steps(name: str) -> Iterator[tuple[str, str]]:
    """A name, and what is left of it each time a piece is taken off, with that piece."""
    name = _uncompressed(name)
    yield name, ""
    while match := _PIECE_BEHIND.fullmatch(name) or _PIECE_BEFORE_SUFFIX.fullmatch(name):
        name = _uncompressed(match["stem"] + match["suffix"])
        yield name, match["piece"]


def _uncompressed(name: str) -> str:
    while is_compressed(name) and name not in SUFFIXES:
        name = name[: name.rindex(".")]
    return name


def is_spool(path: str) -> bool:
    """Whether a file keeps standard input."""
    return _SPOOL.match(os.path.basename(path)) is not None  # noqa: PTH119


def are_other_runs(path: str, other: str) -> bool:
    """Whether the names of two result logs tell different times, or are of two standard inputs."""
    run, other_run = _RUN.search(os.path.basename(path)), _RUN.search(os.path.basename(other))  # noqa: PTH119
    return run is not None and other_run is not None and run[0] != other_run[0]


def is_same(path: str, other: str) -> bool:
    """Whether two paths are one, of which one may be relative."""
    return path == other or os.path.abspath(path) == os.path.abspath(other)  # noqa: PTH100


class LogNames:
    """Tells what belongs to which log by the names that are known to be those of logs.

    Those are what LOG_FILE_PATH names without a glob, and what it was seen to name. Where there is an x.log,
    or was one, rotation made x.log.1 of it; where there is no web.log, web-1.log is a log of its own.
    """

    def __init__(self, log_paths: Sequence[LogPath]) -> None:
        self.log_paths = log_paths
        patterns = [(os.path.abspath(entry.pattern), entry.log_format) for entry in log_paths]  # noqa: PTH100
        self._formats = [
            (pattern, re.compile(fnmatch.translate(pattern)), log_format) for pattern, log_format in patterns
        ]
        self._exact = {pattern for pattern, _ in patterns if not glob.has_magic(pattern)}
        self._added: set[str] = set()  # as they were given
        self._logs: set[str] = set()
        self._format_of = functools.lru_cache(_MOST_CACHED)(self._find_format)
        self._log_of = functools.lru_cache(_MOST_CACHED)(self._find_log)
        self.was_seen = functools.lru_cache(_MOST_CACHED)(self._find_seen)

    def add(self, paths: Iterable[str]) -> None:
        """Note names of files; those that LOG_FILE_PATH names are taken for logs from now on."""
        new = set(paths) - self._added
        if new:
            self._added |= new
            self._logs.update(path for path in map(os.path.abspath, new) if self._format_of(path))
            self._log_of.cache_clear()
            self.was_seen.cache_clear()

    def format_of(self, path: str) -> FormatOptions | None:
        """The format of the entry that a path matches, None when it matches none."""
        return self._format_of(os.path.abspath(path))  # noqa: PTH100

    def format_of_rotated(self, path: str) -> FormatOptions | None:
        """The format of the first name before rotation that an entry matches, the file's own included."""
        return next(filter(None, map(self._format_of, chain(path))), None)

    def format_name(self, path: str) -> str:
        """What that format is called; empty when there is none."""
        log_format = self.format_of_rotated(path)
        return "" if log_format is None else log_format.name

    def is_derived(self, path: str) -> bool:
        """Whether rotation, or compression, can have made a name of one that an entry matches."""
        own = os.path.abspath(path)  # noqa: PTH100
        return any(name != own and self._format_of(name) for name in chain(path))

    def log_of(self, path: str) -> str:
        """The name of the log that a file is, or that rotation made it of."""
        return self._log_of(path)

    def family(self, path: str) -> str:
        """The same for all files of a log, also for one that has another name each day."""
        log = self._log_of(path)
        return log if log in self._exact else undated(log)

    def is_rotated(self, path: str) -> bool:
        """Whether a name is one that rotation derives from another."""
        return self.family(path) != os.path.abspath(path)  # noqa: PTH100

    def is_rotation_of(self, path: str, original: str) -> bool:
        """Whether a name is derived by rotation from that of `original`, or both from the same one."""
        return not is_same(path, original) and self.family(path) == self.family(original)

    def _find_seen(self, pattern: str) -> bool:
        """Whether a path or glob ever named a file, also one that only its rotated name tells of."""
        matches = re.compile(fnmatch.translate(os.path.abspath(pattern)))  # noqa: PTH100
        return any(matches.match(name) for path in self._added for name in chain(path))

    def _find_format(self, path: str) -> FormatOptions | None:
        for pattern, matches, log_format in self._formats:
            if path == pattern or matches.match(path):
                return log_format
        return None

    def _find_log(self, path: str) -> str:
        names = chain(path)
        log = None
        for name in names:
            if name in self._exact:
                return name
            if name in self._logs:
                log = name
        return log or next(filter(self._format_of, names), names[-1])
