"""Copies of stores that are files: made, checked, and put in the place of a store."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from tailmetrics.errors import BackupError, SettingsError, StoreBusy, TailmetricsError
from tailmetrics.process import is_other_process
from tailmetrics.settings import Settings
from tailmetrics.stores.base import Contents, Snapshot

_SERVERS = {
    "postgresql": "pg_dump --format=custom and pg_restore",
    "mysql": "mysqldump --single-transaction and mysql",
    "mariadb": "mariadb-dump --single-transaction and mariadb",
    "influxdb": "influx backup and influx restore, with the service stopped",
    "clickhouse": "BACKUP DATABASE and RESTORE DATABASE, with the service stopped",
}
# https://www.sqlite.org/fileformat.html, and what a DuckDB file has behind its first checksum.
_MARKS = {"duckdb": (8, b"DUCK"), "sqlite": (0, b"SQLite format 3\0")}
_FLUSHED_BYTES = 8 * 1024 * 1024  # at a time: commits on the same disk would wait for all of a backup
_LOGS = {"duckdb": (".wal",), "sqlite": ("-wal", "-shm")}  # of what is not in the file itself yet


def require_file(settings: Settings) -> None:
    """Raise SettingsError, with what to do instead, when the store is a server."""
    if not settings.store.is_file:
        raise SettingsError([f"STORE_URL: {server_advice(settings)}"])


def server_advice(settings: Settings) -> str:
    """How a server's data is backed up."""
    store = settings.store
    return (
        f"found {store}, expected a file: of a server the data is backed up by its own tools, "
        f"{_SERVERS[store.scheme]}, positions included; docs/data.md says how"
    )


@contextlib.contextmanager
def draft_of(target: Path) -> Iterator[Path]:
    """A file beside `target` that takes its name at the end, when all of it is on the disk, or is removed.

    Nobody but its owner may read it.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    _remove_leftovers(target)
    draft.touch(0o600)  # all that the store has is in it
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(target)
        _sync_folder(target.parent)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)


def _remove_leftovers(target: Path) -> None:
    """What a killed process has left of its draft."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d+)(-journal|-wal|-shm)?")
    for found in target.parent.iterdir():
        if (name := pattern.fullmatch(found.name)) and not is_other_process(int(name[1])):
            found.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_room(folder: Path, size: int) -> None:
    """Raise BackupError when the disk has not so many bytes free."""
    if (free := shutil.disk_usage(folder).free) < size:
        raise BackupError(
            f"{folder} has {free:,} bytes free, expected {size:,}; make room there, or use another disk"
        )


def write_copy(settings: Settings, draft: Path) -> None:
    """Copy the store that the settings name; of DuckDB one that no process has open, else StoreBusy."""
    path = settings.store.path
    if not path.exists():
        raise BackupError(f"there is no store at {path}; STORE_URL must name the one to back up")
    if settings.store.scheme == "sqlite":
        from tailmetrics.stores.sql import sqlite_backup  # noqa: PLC0415  # only who uses it loads it

        _require_room(draft.parent, path.stat().st_size)
        sqlite_backup.copy(path, draft)
        return
    from tailmetrics.stores.duckdb.backup import copying_closed  # noqa: PLC0415  # likewise

    with copying_closed(settings) as snapshot:
        write(snapshot, draft)


def write(snapshot: Snapshot, draft: Path) -> None:
    """Write a snapshot to a file. Raises BackupError when there is no room for it, or less was read of it."""
    _require_room(draft.parent, snapshot.size)
    written = flushed = 0
    with draft.open("wb") as file:
        for piece in snapshot.pieces:
            file.write(piece)
            written += len(piece)
            if written - flushed >= _FLUSHED_BYTES:
                file.flush()
                os.fdatasync(file.fileno())
                flushed = written
    if written != snapshot.size:
        raise BackupError(f"found {written:,} bytes of the store, expected {snapshot.size:,}; try again")


def check(settings: Settings, path: Path) -> Contents:
    """Read all of a copy. Raises BackupError, and SchemaMismatch for one of a later version."""
    if _scheme_of_backup(path) == "sqlite":
        from tailmetrics.stores.sql import sqlite_backup  # noqa: PLC0415  # likewise

        return sqlite_backup.check(path)
    from tailmetrics.stores.duckdb import backup  # noqa: PLC0415  # likewise

    return backup.check(settings, path)


def scheme_of(beginning: bytes) -> str | None:
    """The kind of store that a file holds which begins so, as STORE_URL names it; None for another file."""
    for scheme, (offset, mark) in _MARKS.items():
        if beginning[offset:].startswith(mark):
            return scheme
    return None


def _scheme_of_backup(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}") from error
    if (scheme := scheme_of(head)) is not None:
        return scheme
    raise BackupError(f"{path} is no backup: found neither a DuckDB nor an SQLite file")


def restore(settings: Settings, backup: Path, *, force: bool) -> tuple[Contents, Path | None]:
    """Put a checked copy of a backup in the place of the store.

    Returns what it holds, and where the store that was there is now, which only `force` moves. Raises
    BackupError, StoreBusy when a process has the store open, and SchemaMismatch.
    """
    path = settings.store.path.absolute()
    scheme = _scheme_of_backup(backup)
    if scheme != settings.store.scheme:
        raise BackupError(
            f"{backup} is of a store in {scheme}, and STORE_URL is {settings.store}; expected {scheme}:///PATH"
        )
    logs = [found for suffix in _LOGS[scheme] if (found := Path(f"{path}{suffix}")).exists()]
    if path.exists() or logs:
        if path.exists() and backup.samefile(path):
            raise BackupError(f"{backup} is the store itself; give the backup that is to take its place")
        if not force:
            raise BackupError(
                f"there is a store at {path} already; with --force it is kept beside the restored one, under "
                "another name"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    _require_room(path.parent, backup.stat().st_size)
    aside = None
    with draft_of(path) as draft:
        shutil.copyfile(backup, draft)
        contents = check(settings, draft)
        if path.exists() or logs:
            _require_unused(settings)
            aside = _move_aside(path, scheme)
    return contents, aside


def _require_unused(settings: Settings) -> None:
    """A store that is damaged cannot be opened, and is moved as it is."""
    path = settings.store.path
    try:
        if _scheme_of_backup(path) != settings.store.scheme:
            return  # to open it would remove its log
        if settings.store.scheme == "sqlite":
            from tailmetrics.stores.sql import sqlite_backup  # noqa: PLC0415  # likewise

            sqlite_backup.require_unused(path)
        else:
            from tailmetrics.stores.duckdb import backup  # noqa: PLC0415  # likewise

            backup.require_unused(settings)
    except StoreBusy:
        raise
    except TailmetricsError:
        pass


def _move_aside(path: Path, scheme: str) -> Path:
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.before-{now}")
    for suffix in ("", *_LOGS[scheme]):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    return aside
