"""Connections to the DuckDB file: their settings, the file they are about, and cursors for many threads."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb

from tailmetrics.errors import StoreError, StoreUnavailable
from tailmetrics.settings import Settings

DATABASE = "store"  # the name by which the file is attached to a database in memory, which stays empty

# TransactionException is what a commit raises that finds no room on the disk.
_PASSING = (
    duckdb.FatalException,
    duckdb.InterruptException,
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,
)


def connect(settings: Settings, path: Path) -> duckdb.DuckDBPyConnection:
    """A connection to an empty database in memory, to which a file is to be attached."""
    return duckdb.connect(
        config={
            "memory_limit": settings.duckdb_memory_limit,
            "threads": settings.duckdb_threads or os.cpu_count() or 1,
            "preserve_insertion_order": False,
            "temp_directory": f"{path}.tmp",
            # The compactor brings the log into the file, between its transactions: a commit that did it
            # would take as long as all that others have changed.
            "checkpoint_threshold": "1GB",
            # Nor does a checkpoint join row groups that lost rows, as commits would wait for that: a merge
            # writes all rows anew, and row groups that lost all are dropped in any case.
            "max_vacuum_tasks": 0,
            # Nothing is ever fetched from the internet.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )


def translated(error: duckdb.Error) -> StoreError:
    """DuckDB's error as this package's: what may pass is StoreUnavailable, all else StoreError."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return StoreUnavailable(
            "DuckDB: there is not enough memory for that within DUCKDB_MEMORY_LIMIT; ask for a shorter "
            f"range or longer windows, or raise the limit ({str(error).partition(chr(10))[0]})"
        )
    kind = StoreUnavailable if isinstance(error, _PASSING) else StoreError
    return kind(f"DuckDB: {error}")


def tells_of_damage(error: duckdb.Error) -> bool:
    """Whether a block was not read as it was written."""
    return any(words in str(error) for words in ("Corrupt database file", "Could not read enough bytes"))


def ends_all_use(error: duckdb.Error) -> bool:
    """Whether DuckDB refuses everything from now on, until the file is opened anew."""
    return isinstance(error, duckdb.FatalException) or "has been invalidated" in str(error)


class Cursors:
    """The connections of one opening of the file. Methods may be called from any thread."""

    def __init__(self, root: duckdb.DuckDBPyConnection) -> None:
        self._root = root
        self._idle: list[duckdb.DuckDBPyConnection] = []
        self._closed = False
        self._changed = threading.Condition()
        self._lent = 0
        self._paused = False

    def new(self) -> duckdb.DuckDBPyConnection:
        cursor = self._root.cursor()
        cursor.execute(f"USE {DATABASE}")
        return cursor

    def borrow(self) -> duckdb.DuckDBPyConnection:
        """One without a transaction, to be given back: making one takes part of the time of a short query.

        Raises StoreUnavailable after the end, and DuckDB's errors.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._paused)
            if self._closed:
                raise StoreUnavailable("the file was closed meanwhile; ask again")
            cursor = self._idle.pop() if self._idle else self.new()
            self._lent += 1
        return cursor

    def give_back(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """End the transaction of a borrowed one, and keep it for others."""
        try:
            cursor.rollback()
        except duckdb.Error:
            is_usable = False
        else:
            is_usable = True
        with self._changed:
            self._lent -= 1
            self._changed.notify_all()
            if is_usable and not self._closed:
                self._idle.append(cursor)
            else:
                cursor.close()

    @contextlib.contextmanager
    def paused(self, seconds: float) -> Iterator[bool]:
        """Wait until none is lent, or so long at most; within this, whoever wants one waits.

        Gives whether none is lent.
        """
        with self._changed:
            self._paused = True
            is_quiet = self._changed.wait_for(lambda: not self._lent, seconds)
        try:
            yield is_quiet
        finally:
            with self._changed:
                self._paused = False
                self._changed.notify_all()

    def leave_log(self) -> None:
        """Leave the file as it is at the end, what the log holds included."""
        with contextlib.closing(self._root.cursor()) as cursor:
            cursor.execute("PRAGMA disable_checkpoint_on_shutdown")

    def close(self) -> None:
        with self._changed:
            self._closed = True
            while self._idle:
                self._idle.pop().close()
        self._root.close()
