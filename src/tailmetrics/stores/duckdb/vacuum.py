"""Giving back room of a DuckDB file: checkpoints, and moving what holds its end.

DuckDB takes free blocks from the front, and cuts the file behind the last one in use.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import duckdb

from tailmetrics.errors import StoreError, StoreUnavailable
from tailmetrics.stores.duckdb import layout
from tailmetrics.stores.duckdb.file import DuckDBFile
from tailmetrics.stores.duckdb.layout import Layout
from tailmetrics.stores.duckdb.merge import note_run

_MOST_FREE = 0.25  # blocks, for each one in use
_FEW_FREE = 4  # blocks, that are not worth anything
_MOST_DELETED = 0.05  # records that are still in the file, for each one there
_DROP_TRIES = 3
_QUIET_SECONDS = 0.1  # that a checkpoint waits for queries to end
_CHECKPOINT_TRIES = 50
_CHECKPOINT_PAUSE_SECONDS = 0.1
_LONGEST_WRITE_SECONDS = 1.0


class Vacuum:
    """Makes a file smaller, each change in a `transaction` of the compactor.

    `write_lock` is held by whoever changes sources. `wait` waits for so many seconds, and gives False when
    the store is being closed.
    """

    def __init__(
        self,
        file: DuckDBFile,
        write_lock: threading.Lock,
        transaction: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]],
        wait: Callable[[float], bool],
    ) -> None:
        self._file = file
        self._write_lock = write_lock
        self._transaction = transaction
        self._wait = wait

    def check_file(self) -> None:
        """Raise StoreGone or StoreDamaged when the file is not what was written."""
        if self._write_lock.acquire(blocking=False):
            try:
                self._file.check_whole()
            finally:
                self._write_lock.release()
        self._file.check_present()

    def shorten_log(self, most_bytes: int) -> None:
        """Bring what the write-ahead log holds into the file, when it is longer than that."""
        if self._file.log_bytes() > most_bytes:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Bring the log into the file, so that the blocks of deleted rows can be used again.

        Refused while somebody writes, so it may take some tries. Queries wait for it: what one that is going
        on could read is not dropped. Raises StoreUnavailable where the disk has no room for it: after one
        that fails in the middle the file has to be opened anew.
        """
        for _ in range(_CHECKPOINT_TRIES):
            while not self._file.checkpoint_lock.acquire(blocking=False):  # a copy may take long
                if not self._wait(_CHECKPOINT_PAUSE_SECONDS):
                    return
            try:
                if self._try_checkpoint():
                    return
            finally:
                self._file.checkpoint_lock.release()
            if not self._wait(_CHECKPOINT_PAUSE_SECONDS):
                return

    def _try_checkpoint(self) -> bool:
        self._file.check_present()
        if not self._file.has_room_for_checkpoint():
            raise StoreUnavailable(f"{self._file.path}: the disk has no room for what its log holds")
        try:
            with (
                self._file.errors_translated(),
                self._file.cursors.paused(_QUIET_SECONDS),
                contextlib.closing(self._file.cursor()) as cursor,
            ):
                cursor.execute("CHECKPOINT")
        except StoreError:
            if self._file.invalidated is not None:
                raise
            return False
        return True

    def is_roomy(self) -> bool:
        """Whether much of the file is free."""
        with self._transaction() as cursor:
            [(free, used)] = cursor.execute(
                "SELECT free_blocks, used_blocks FROM pragma_database_size() "
                "WHERE database_name = current_database()"
            ).fetchall()
        return bool(free > _MOST_FREE * used + _FEW_FREE)

    def drop_deleted(self, layout: Layout) -> bool:
        """Drop row groups of which all records were moved; False when somebody reads them all the time.

        A checkpoint keeps them while an older transaction is open, and looks at them again only when rows
        of some table came or went.
        """
        for _ in range(_DROP_TRIES):
            with self._transaction() as cursor:
                if not _holds_deleted(cursor, layout.deleted):
                    return True
                cursor.execute("DELETE FROM runs")
                for run, records in layout.runs.items():
                    note_run(cursor, run, records)
            self.checkpoint()
        return False

    def move_small_tables(self) -> None:
        """Write sources, names and notes anew: they may hold the end of the file.

        An update does not move the columns that it does not change.
        """
        if not self._write_lock.acquire(timeout=_LONGEST_WRITE_SECONDS):
            return
        try:
            with self._transaction() as cursor:
                for table in ("sources", "names", "notes"):
                    cursor.execute(f"CREATE TEMP TABLE copied AS SELECT * FROM {table}")
                    cursor.execute(f"DELETE FROM {table}")
                    cursor.execute(f"INSERT INTO {table} SELECT * FROM copied")
                    cursor.execute("DROP TABLE copied")
        finally:
            self._write_lock.release()


def _holds_deleted(cursor: duckdb.DuckDBPyConnection, deleted: int) -> bool:
    """Whether the file holds many more records than there are, and than were deleted here and there.

    Some stay in the row group that the first of the new ones share with the last of the old ones.
    """
    [(stored, there)] = cursor.execute(
        "SELECT estimated_size, (SELECT count(*) FROM settled) FROM duckdb_tables() "
        "WHERE database_name = current_database() AND table_name = 'settled'"
    ).fetchall()
    return bool(stored - there - deleted > _MOST_DELETED * there + layout.RUN_RECORDS)
