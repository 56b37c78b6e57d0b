"""Bytes of a log at an offset, from a plain file or from a compressed one.

Offsets and sizes are in bytes of the log, after decompression.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from tailmetrics.errors import LoadError
from tailmetrics.tailing.compression import (
    HEAD_BYTES,
    READABLE,
    Compression,
    Decompressed,
    found_instead,
    kind_of_content,
    kind_of_name,
    no_log,
)

_SCAN_BYTES = 4 * 1024 * 1024

Key = tuple[int, int]  # device and inode of a file


class PlainFile:
    """An uncompressed file, read where asked, whatever happens to its name meanwhile."""

    def __init__(self, path: str) -> None:
        # Without O_NONBLOCK the open of a named pipe would wait for a writer.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise LoadError(f"{path}: found something that is no regular file, expected a log file")
        self.key: Key = (status.st_dev, status.st_ino)

    def size(self) -> int:
        """How many bytes the log has now."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end."""
        return os.pread(self._descriptor, length, offset)

    def stamp(self) -> tuple[int, int]:
        """Size and time of the last change in nanoseconds: when neither moved, nothing was written."""
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns

    def close(self) -> None:
        os.close(self._descriptor)


class CompressedFile:
    """A compressed file that is complete. Reading goes forward fast and starts again when asked to go back.

    `name` is what it is called. Raises LoadError when the file is damaged, or not written to its end yet.
    """

    def __init__(self, path: str, kind: Compression, name: str = "") -> None:
        self._name = name or path
        status = os.stat(path)  # noqa: PTH116
        self.key: Key = (status.st_dev, status.st_ino)
        self._stream = Decompressed(Path(path).open("rb"), kind)  # noqa: SIM115  # while it is followed
        self._size: int | None = None
        self._modified_ns = status.st_mtime_ns

    def size(self) -> int:
        if self._size is None:
            # Reading to the end is what checks that the file is whole.
            self._size = 0
            while block := self.read(self._size, _SCAN_BYTES):
                self._size += len(block)
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        try:
            self._stream.seek(offset)
            return self._stream.read(length)
        except LoadError as error:
            raise LoadError(f"{self._name}: {error}") from error

    def stamp(self) -> tuple[int, int]:
        return self.size(), self._modified_ns

    def close(self) -> None:
        self._stream.close()


LogFile = PlainFile | CompressedFile


def open_log(path: str) -> LogFile:
    """Open a log, by its name compressed or not. Raises OSError, or LoadError for what holds no lines."""
    return _open(path, kind_of_name(path), path)


def open_finished(path: str, name: str = "") -> LogFile:
    """Open a log that is to be loaded, as `open_log` does, but what is compressed is so under any name.

    `name` is that of the log when it is another one than the path's.
    """
    kind = kind_of_name(path)
    if kind is None:
        with contextlib.closing(PlainFile(path)) as plain:
            kind = kind_of_content(plain.read(0, HEAD_BYTES))
    return _open(path, kind, name or path)


def _open(path: str, kind: Compression | None, name: str) -> LogFile:
    if kind is not None:
        with contextlib.closing(PlainFile(path)) as plain:
            found = found_instead(plain.read(0, HEAD_BYTES), kind)
        if found is not None:
            raise LoadError(
                f"{name}: found {found}, expected a {kind.name} file as its name ends with {kind.suffix}; "
                "rename it"
            )
    file = PlainFile(path) if kind is None else CompressedFile(path, kind, name)
    with contextlib.ExitStack() as closing:
        closing.callback(file.close)
        beginning = file.read(0, HEAD_BYTES)
        if (found := no_log(beginning, name)) is not None:
            raise LoadError(f"{name}: found {found}, expected lines, plain or compressed by {READABLE}")
        packed = kind_of_content(beginning)
        if packed is not None and kind is not None:
            raise LoadError(f"{name}: found a {packed.name} file in it, expected lines; unpack it once")
        if packed is not None:
            raise LoadError(
                f"{name}: found a {packed.name} file, which does not grow, expected lines; read it once with "
                "`tailmetrics load`"
            )
        closing.pop_all()
    return file


def may_hold_more(path: str, positions: Iterable[int]) -> bool:
    """Whether a log can have bytes behind one of the positions; told without decompressing it.

    Not of bzip2, which does not say how much it holds.
    """
    kind = kind_of_name(path)
    if kind is None:
        return True
    with Path(path).open("rb") as stream:
        size = kind.size(stream)
    return size is None or all(position % 2**32 != size for position in positions)
