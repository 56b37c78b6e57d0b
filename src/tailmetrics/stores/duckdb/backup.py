"""Copies of the DuckDB file while it is written.

What the last checkpoint has left in the file stays as it is up to the next one: commits go to the log, and to
blocks that were free then. So without a checkpoint the file can be read as slowly as one likes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb

from tailmetrics.errors import BackupError, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.stores.base import Contents, Snapshot
from tailmetrics.stores.duckdb import schema
from tailmetrics.stores.duckdb.connections import DATABASE, connect
from tailmetrics.stores.duckdb.file import HEADERS_BYTES, DuckDBFile, attach
from tailmetrics.stores.duckdb.writer import Writer

_PIECE_BYTES = 1024 * 1024
REST_SECONDS = 30.0  # of sorting, at most: a slow client must not leave records unsorted for long
_CHECKPOINT_SECONDS = 60.0  # that one which is under way is waited for
_MOST_LOG_BYTES = 512 * 1024 * 1024  # DuckDB makes a checkpoint by itself at 1 GB


@contextlib.contextmanager
def copying(file: DuckDBFile, writer: Writer) -> Iterator[Snapshot]:
    """A snapshot of a file that is open, after a checkpoint. Raises StoreUnavailable.

    Sorting rests for a while: beside both, a commit would wait for the disk.
    """
    if not file.copy_lock.acquire(blocking=False):
        raise StoreUnavailable(f"a backup of {file.path} is being made already; try again when it has ended")
    try:
        with writer.resting(REST_SECONDS):
            writer.checkpoint()
            if not file.checkpoint_lock.acquire(timeout=_CHECKPOINT_SECONDS):
                raise StoreUnavailable(
                    f"{file.path}: a checkpoint takes longer than {_CHECKPOINT_SECONDS:g} seconds"
                )
            try:
                file.check_present()
                size = file.size()
                yield Snapshot(size, _pieces(file, size))
            finally:
                file.checkpoint_lock.release()
    finally:
        file.copy_lock.release()


def _pieces(file: DuckDBFile, size: int) -> Iterator[bytes]:
    headers = file.read(HEADERS_BYTES, 0)
    for offset in range(0, size, _PIECE_BYTES):
        piece = file.read(min(_PIECE_BYTES, size - offset), offset)
        # Compared after the piece was read: a checkpoint writes over nothing before it has written these.
        if file.read(HEADERS_BYTES, 0) != headers or file.log_bytes() > _MOST_LOG_BYTES:
            raise StoreUnavailable(
                f"{file.path} changed too much while the backup was taken; try again, to a quicker disk or "
                "over a quicker network"
            )
        yield piece


@contextlib.contextmanager
def copying_closed(settings: Settings) -> Iterator[Snapshot]:
    """A snapshot of a file that no process has open, of any version. Raises StoreBusy and StoreError."""
    path = settings.store.path.absolute()
    # Closed last: to close it would end the lock that DuckDB has on the file.
    with path.open("rb") as file, contextlib.closing(connect(settings, path)) as root:
        attach(root, path)
        root.execute("CHECKPOINT")
        yield Snapshot(path.stat().st_size, iter(lambda: file.read(_PIECE_BYTES), b""))


def require_unused(settings: Settings) -> None:
    """Raise StoreBusy when a process has the file open; what its log holds is in the file afterwards."""
    path = settings.store.path.absolute()
    with contextlib.closing(connect(settings, path)) as root:
        attach(root, path)


def check(settings: Settings, path: Path) -> Contents:
    """Read every block of a copy. Raises BackupError, and SchemaMismatch for one of a later version."""
    quoted = str(path).replace("'", "''")
    with contextlib.closing(connect(settings, path)) as root:
        try:
            root.execute(f"ATTACH '{quoted}' AS {DATABASE} (TYPE duckdb, READ_ONLY); USE {DATABASE}")
            version = schema.read_version(root, path)
            schema.read_all(root)
            [counts] = root.execute(
                "SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM rejects), "
                "(SELECT count(*) FROM sources)"
            ).fetchall()
        except duckdb.Error as error:
            raise BackupError(f"{path} is damaged, or no backup of a store: {error}") from error
    return Contents(version, *counts)
