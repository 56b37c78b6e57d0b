"""Copies of an SQLite file, which any process of the machine may take while others write."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tailmetrics.errors import BackupError, SchemaMismatch, StoreBusy
from tailmetrics.stores.base import Contents
from tailmetrics.stores.sql.schema import SCHEMA_VERSION

_PAGES_AT_ONCE = 1024  # between which Ctrl-C is heard
_WAIT_SECONDS = 30.0


def copy(path: Path, target: Path) -> None:
    """Copy the file as it was after one commit. Raises BackupError."""
    with (
        _errors_translated(path),
        contextlib.closing(_connect(path, "rw")) as source,
        contextlib.closing(_connect(target, "rwc")) as copied,
    ):
        # Within a transaction the copy need not begin anew whenever somebody has written.
        source.execute("BEGIN")
        source.execute("SELECT * FROM sqlite_master LIMIT 1").fetchall()
        source.backup(copied, pages=_PAGES_AT_ONCE, progress=lambda *_: None, sleep=0)
        copied.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it


def require_unused(path: Path) -> None:
    """Raise StoreBusy when a process has the file open; what its log holds is in the file afterwards."""
    with _errors_translated(path), contextlib.closing(_connect(path, "rw", seconds=0)) as connection:
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise StoreBusy(f"{path} is held by another process; stop that one first") from error


def check(path: Path) -> Contents:
    """Read every page of a copy. Raises BackupError, and SchemaMismatch for one of a later version."""
    with _errors_translated(path), contextlib.closing(_connect(path, "ro")) as connection:
        found = [text for (text,) in connection.execute("PRAGMA integrity_check")]
        if found != ["ok"]:
            raise BackupError(f"{path} is damaged: {'; '.join(found)}")
        counts = connection.execute(
            "SELECT schema_version, (SELECT count(*) FROM records), (SELECT count(*) FROM rejects), "
            "(SELECT count(*) FROM sources) FROM store"
        ).fetchone()
    if counts is None:
        raise BackupError(f"{path} holds no store; its tables were being made")
    if counts[0] > SCHEMA_VERSION:
        raise SchemaMismatch(
            f"{path} has schema version {counts[0]}, this program knows version {SCHEMA_VERSION} and those "
            "before it; use the program that wrote it or a later one"
        )
    return Contents(*counts)


def _connect(path: Path, mode: str, seconds: float = _WAIT_SECONDS) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=seconds, isolation_level=None)


@contextlib.contextmanager
def _errors_translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise BackupError(f"{path} cannot be copied or read as a store: {error}") from error
