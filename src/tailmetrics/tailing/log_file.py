"""Bytes of a log at an offset, from a plain file or from a compressed one.

Offsets and sizes are in bytes of the log, after decompression.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path

from tailmetrics.errors import LoadError

GZIP_BEGINS = b"\x1f\x8b\x08"
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
    """A gzip file that is complete. Reading goes forward fast and starts again when asked to go back.

    Raises LoadError when the file is damaged, or not written to its end yet.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        status = os.stat(path)  # noqa: PTH116
        self.key: Key = (status.st_dev, status.st_ino)
        self._stream = gzip.open(path, "rb")  # noqa: SIM115  # held open while it is followed
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
        except (OSError, EOFError, zlib.error) as error:
            raise LoadError(f"{self._path}: not a whole gzip file ({error})") from error

    def stamp(self) -> tuple[int, int]:
        return self.size(), self._modified_ns

    def close(self) -> None:
        self._stream.close()


LogFile = PlainFile | CompressedFile


def open_log(path: str) -> LogFile:
    """Open a log, by its name compressed or not. Raises OSError, or LoadError for what is no log."""
    return CompressedFile(path) if path.endswith(".gz") else PlainFile(path)


def open_finished(path: str) -> LogFile:
    """Open a log that is to be loaded, as `open_log` does, but a gzip is one under any name."""
    if path.endswith(".gz"):
        return open_log(path)
    plain = PlainFile(path)
    with contextlib.ExitStack() as closing:
        closing.callback(plain.close)
        if plain.read(0, len(GZIP_BEGINS)) != GZIP_BEGINS:
            closing.pop_all()
            return plain
    return CompressedFile(path)


def may_hold_more(path: str, positions: Iterable[int]) -> bool:
    """Whether a log can have bytes behind one of the positions; told without decompressing it.

    The last four bytes of a gzip file are the size of what it holds, modulo 2**32.
    """
    if not path.endswith(".gz"):
        return True
    with Path(path).open("rb") as stream:
        stream.seek(-4, os.SEEK_END)
        size = int.from_bytes(stream.read(4), "little")
    return all(position % 2**32 != size for position in positions)
