"""Finding the files that LOG_FILE_PATH names, and those that were made of them by rotation."""

from __future__ import annotations

import errno
import glob
import itertools
import os
import stat
from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tailmetrics.settings import FormatOptions, LogPath
from tailmetrics.tailing.rotation import LogNames, is_compressed

NAME_PROBLEM = "its name is not UTF-8, rename it"
NO_PERMISSION = os.strerror(errno.EACCES)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file of LOG_FILE_PATH. `device` and `inode` are of the file, not of a link to it."""

    path: str
    log_format: FormatOptions
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


def name_that_is_not_utf8(path: str) -> str | None:
    """How a path is shown whose bytes are not UTF-8, and None for others: no store can hold such a name."""
    shown = path.encode(errors="backslashreplace").decode()
    return None if shown == path else shown


def find_files(log_paths: Iterable[LogPath]) -> tuple[list[FoundFile], dict[str, str]]:
    """The files that exist, sorted by path, each inode once, and for entries without any the reason.

    Compressed files of a glob are left out: they are read by `load`, or as what a rotation made of a known
    file.
    """
    found: dict[tuple[int, int], FoundFile] = {}
    missing: dict[str, str] = {}
    for entry in log_paths:
        is_glob, is_there = glob.has_magic(entry.pattern), False
        # Path.glob takes no absolute pattern.
        paths = sorted(glob.glob(entry.pattern, recursive=True)) if is_glob else [entry.pattern]  # noqa: PTH207
        for path in paths:
            if is_compressed(path):
                if not is_glob:
                    missing[path] = "compressed, and does not grow; read it with `tailmetrics load`"
                continue
            file = find_file(path, entry.log_format, missing)
            if file is not None:
                found.setdefault(file.key, file)
                is_there = True
            elif path in missing:
                is_there = True
            elif not is_glob:
                missing[path] = f"is a folder, expected files: {path.rstrip('/')}/*.log"
        if is_glob and not is_there:
            missing[entry.pattern] = (
                "only folders and compressed files match; `tailmetrics load` reads the latter"
                if paths
                else _why_nothing_matches(entry.pattern)
            )
    return list(found.values()), missing


def find_file(path: str, log_format: FormatOptions, missing: dict[str, str]) -> FoundFile | None:
    """A regular file as it is now; of what is none, nor a folder, `missing` gets the reason."""
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
    return FoundFile(path, log_format, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


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
    folders = Path(pattern).parts[:-1]
    return str(Path(*itertools.takewhile(lambda folder: not glob.has_magic(folder), folders)))


def _existing(folder: Path) -> Path:
    # Path.is_dir raises PermissionError for what is below a folder that may not be entered.
    while not os.path.isdir(folder) and folder != folder.parent:  # noqa: PTH112
        folder = folder.parent
    return folder


def _why_nothing_matches(pattern: str) -> str:
    folder = _existing(Path(_fixed_part(pattern)))
    return "no file matches" if os.access(folder, os.R_OK | os.X_OK) else NO_PERMISSION


class AllLogs:
    """The logs of a process that divides them with no other; `followed_since` when not from its start on."""

    def __init__(self, followed_since: datetime | None = None) -> None:
        self.followed_since = followed_since

    def own(self, found: list[FoundFile], missing: dict[str, str]) -> tuple[list[FoundFile], dict[str, str]]:
        """Of the files of LOG_FILE_PATH, and of its entries without any, those that are followed here."""
        return found, missing

    def owns(self, file: FoundFile) -> bool:  # noqa: ARG002  # all are
        """Whether a file that rotation made of a log is followed here."""
        return True

    def size_at_start(self, file: FoundFile) -> int:
        """How many bytes a file that is new here had at the start; 0 when it came later."""
        return file.size

    def share_of(self, path: str) -> int:  # noqa: ARG002  # there is but one
        """The share of a path, also of one that has no file: those who hold it speak of it."""
        return 0

    def close(self) -> None:
        """Ask no more."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """Regular files of a folder as they were when it was modified last."""

    modified_ns: int
    derived: list[str]
    others: dict[int, str]  # by inode


class RotatedFiles:
    """The files beside the logs whose names rotation derived from those LOG_FILE_PATH names.

    A folder is read again only when its names changed.
    """

    def __init__(self, names: LogNames) -> None:
        self._names = names
        self._listings: dict[str, _Listing] = {}

    def find(self, inodes: Set[int] = frozenset()) -> list[str]:
        """Their paths, compressed ones too, and those of files with these inodes; some may be gone."""
        found: list[str] = []
        for folder in sorted(self._folders()):
            try:
                modified_ns = Path(folder).stat().st_mtime_ns
                if folder not in self._listings or self._listings[folder].modified_ns != modified_ns:
                    self._listings[folder] = self._list(folder, modified_ns)
            except OSError:
                continue
            listing = self._listings[folder]
            found += listing.derived
            found += sorted(listing.others[inode] for inode in listing.others.keys() & inodes)
        return found

    def _folders(self) -> set[str]:
        folders: set[str] = set()
        for entry in self._names.log_paths:
            folder = os.path.dirname(entry.pattern) or "."  # noqa: PTH120
            if glob.has_magic(folder):
                folders.update(glob.glob(folder, recursive=True))  # noqa: PTH207
            else:
                folders.add(folder)
        return folders

    def _list(self, folder: str, modified_ns: int) -> _Listing:
        listing = _Listing(modified_ns, [], {})
        with os.scandir(folder) as entries:
            for entry in entries:
                if name_that_is_not_utf8(entry.path):
                    continue
                if self._names.is_derived(entry.path):
                    if entry.is_file():
                        listing.derived.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    listing.others[entry.inode()] = entry.path
        listing.derived.sort()
        return listing
