"""Finding the files that LOG_FILE_PATH names, and those that were made of them by rotation."""

from __future__ import annotations

import fnmatch
import functools
import glob
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailmetrics.settings import LogPath

COMPRESSED_SUFFIXES = (".gz",)
NAME_PROBLEM = "its name is not UTF-8, rename it"

# What rotation puts behind a name or before its last suffix: a number, a date, "old" and the like.
_ROTATION_MARK = r"(?:\d[\dT:._-]*Z?|old|bak|prev|copy|rotated)"
_MARK_BEHIND = re.compile(rf"^(?P<stem>.+?)[._~-]{_ROTATION_MARK}$")
_MARK_BEFORE_SUFFIX = re.compile(rf"^(?P<stem>.+?)[._-]{_ROTATION_MARK}(?P<suffix>\.[A-Za-z]\w*)$")
# When the tests of a result log ran, in seconds since 1970.
_RUN = re.compile(r"test_[0-9]{9,11}(?![0-9])")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file of LOG_FILE_PATH. `device` and `inode` are of the file, not of a link to it."""

    path: str
    format_name: str
    device: int
    inode: int
    size: int
    modified_ns: int

    @property
    def key(self) -> tuple[int, int]:
        return (self.device, self.inode)

    @property
    def stamp(self) -> tuple[int, int]:
        return (self.size, self.modified_ns)


def is_compressed(path: str) -> bool:
    return path.endswith(COMPRESSED_SUFFIXES)


def name_that_is_not_utf8(path: str) -> str | None:
    """How a path is shown whose bytes are not UTF-8, and None for others: no store can hold such a name."""
    shown = path.encode(errors="backslashreplace").decode()
    return None if shown == path else shown


def find_files(log_paths: Iterable[LogPath]) -> tuple[list[FoundFile], dict[str, str]]:
    """The files that exist, sorted by path, each inode once, and for entries without any the reason.

    Compressed files are left out: they are read by `load`, or as what a rotation made of a known file.
    """
    found: dict[tuple[int, int], FoundFile] = {}
    missing: dict[str, str] = {}
    for entry in log_paths:
        is_glob = glob.has_magic(entry.pattern)
        # Path.glob takes no absolute pattern.
        paths = sorted(glob.glob(entry.pattern, recursive=True)) if is_glob else [entry.pattern]  # noqa: PTH207
        for path in paths:
            if is_compressed(path):
                continue
            file = _look_at(path, entry.format_name, missing)
            if file is not None:
                found.setdefault((file.device, file.inode), file)
        if is_glob and not paths:
            missing[entry.pattern] = "no file matches"
    return list(found.values()), missing


def _look_at(path: str, format_name: str, missing: dict[str, str]) -> FoundFile | None:
    if shown := name_that_is_not_utf8(path):
        missing[shown] = NAME_PROBLEM
        return None
    try:
        status = os.stat(path)  # noqa: PTH116  # a string, on a path walked at every look
    except OSError as error:
        missing[path] = error.strerror or str(error)
        return None
    if not stat.S_ISREG(status.st_mode):
        if not stat.S_ISDIR(status.st_mode):
            missing[path] = "not a regular file"
        return None
    return FoundFile(path, format_name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def event_names(path: str) -> set[str]:
    """The paths by which events tell of a file: its own, and where symbolic links lead to."""
    plain, real = Path(path), os.path.realpath(path)
    return {os.path.join(plain.parent, plain.name), real}  # noqa: PTH118  # as it is joined for an event


def directories_to_watch(log_paths: Iterable[LogPath], followed: Iterable[str]) -> set[str]:
    """Folders in which new files or new bytes can show up; of one that does not exist the nearest parent.

    `followed` are the folders of the files that are there.
    """
    folders = {_fixed_part(entry.pattern) for entry in log_paths}
    return {str(_existing(Path(folder))) for folder in folders.union(followed)}


def _fixed_part(pattern: str) -> str:
    """The folder of a pattern up to the first part that is a glob."""
    parts = Path(pattern).parts[:-1]
    fixed = []
    for part in parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return str(Path(*fixed)) if fixed else "."


def _existing(folder: Path) -> Path:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


@functools.lru_cache(maxsize=65_536)
def rotation_family(path: str) -> str:
    """The name that a file had before rotation: `x.log` for x.log.1, x.log-20241010.gz and x-2.log."""
    folder, name = os.path.split(path)
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    while match := _MARK_BEHIND.match(name):
        name = match["stem"]
    while match := _MARK_BEFORE_SUFFIX.match(name):
        name = match["stem"] + match["suffix"]
    return os.path.join(os.path.abspath(folder), name)  # noqa: PTH100, PTH118


def format_of(path: str, log_paths: Iterable[LogPath]) -> str | None:
    """The format of the entry that a path matches, None when it matches none."""
    path = os.path.abspath(path)  # noqa: PTH100
    for entry in log_paths:
        pattern = os.path.abspath(entry.pattern)  # noqa: PTH100
        if path == pattern or fnmatch.fnmatchcase(path, pattern):
            return entry.format_name
    return None


def is_rotated(path: str) -> bool:
    """Whether a name is one that rotation derives from another."""
    return path != rotation_family(path)


def is_rotation_of(path: str, original: str) -> bool:
    """Whether a name is derived by rotation from that of `original`, or both from the same one."""
    return path != original and rotation_family(path) == rotation_family(original)


def are_other_runs(path: str, other: str) -> bool:
    """Whether the names of two result logs tell different times."""
    run, other_run = _RUN.search(os.path.basename(path)), _RUN.search(os.path.basename(other))  # noqa: PTH119
    return run is not None and other_run is not None and run[0] != other_run[0]


class RotatedFiles:
    """The files beside the logs whose names rotation derived from those LOG_FILE_PATH names.

    A folder is read again only when its names changed.
    """

    def __init__(self, log_paths: Sequence[LogPath]) -> None:
        self._log_paths = log_paths
        self._listed: dict[str, tuple[int, list[str]]] = {}

    def find(self) -> list[str]:
        """Their paths, compressed ones too; some may have gone meanwhile."""
        found: list[str] = []
        for folder in sorted(self._folders()):
            try:
                modified_ns = Path(folder).stat().st_mtime_ns
                if folder not in self._listed or self._listed[folder][0] != modified_ns:
                    self._listed[folder] = (modified_ns, self._list(folder))
            except OSError:
                continue
            found += self._listed[folder][1]
        return found

    def _folders(self) -> set[str]:
        folders: set[str] = set()
        for entry in self._log_paths:
            folder = os.path.dirname(entry.pattern) or "."  # noqa: PTH120
            if glob.has_magic(folder):
                folders.update(glob.glob(folder, recursive=True))  # noqa: PTH207
            else:
                folders.add(folder)
        return folders

    def _list(self, folder: str) -> list[str]:
        paths = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if name_that_is_not_utf8(entry.path):
                    continue
                family = rotation_family(entry.path)
                is_derived = family != os.path.abspath(entry.path)  # noqa: PTH100
                if is_derived and format_of(family, self._log_paths) and entry.is_file():
                    paths.append(entry.path)
        return sorted(paths)
