"""The commands backup and restore, of stores that are files."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tailmetrics.cli import options
from tailmetrics.cli.options import Exit
from tailmetrics.cli.text import counted, escaped
from tailmetrics.client.service_address import running_service
from tailmetrics.errors import BackupError, StoreBusy

if TYPE_CHECKING:
    from tailmetrics.settings import Settings
    from tailmetrics.stores.base import Contents

_EXITS = (Exit.UNAVAILABLE, Exit.REFUSED, Exit.CONFIGURATION, Exit.INTERRUPTED)
_FILE = click.Path(dir_okay=False, path_type=Path)


@options.command(
    "Copy the store to a file while the service runs.",
    "tailmetrics backup tailmetrics-backup.duckdb",
    "tailmetrics backup --force /mnt/backup/shop.duckdb",
    "tailmetrics backup --store-url sqlite:///data/tailmetrics.sqlite tailmetrics-backup.sqlite",
    exits=_EXITS,
)
@click.argument("file", metavar="FILE", type=_FILE)
@click.option("--force", is_flag=True, help="Replace FILE, once the new backup is whole.")
@options.shared("env_file", "store_url", *options.API)
@options.with_settings
def backup(settings: Settings, *, file: Path, force: bool) -> None:
    """Copy records, rejects and positions to a file, as they are after one commit, and check the copy.

    A DuckDB file is asked of the service while one runs, which goes on reading and committing; an SQLite file
    is copied beside it. A server has its own tools. What is interrupted leaves no FILE.
    """
    from tailmetrics.stores import backup

    backup.require_file(settings)
    _check_target(settings, file, force=force)
    with _disk_errors(file), backup.draft_of(file) as draft:
        origin = _copy(settings, draft)
        try:
            contents = backup.check(settings, draft)
        except BackupError as error:
            raise BackupError(f"nothing was kept of the backup of {origin}: {error}") from error
        size = draft.stat().st_size
    click.echo(f"{escaped(str(file))}: {_described(contents)}, {counted(size, 'byte')}; from {origin}")


@options.command(
    "Put a backup in the place of the store.",
    "tailmetrics restore tailmetrics-backup.duckdb",
    "tailmetrics restore /mnt/backup/shop.duckdb --store-url duckdb:////var/lib/shop.duckdb --force",
    exits=_EXITS,
)
@click.argument("file", metavar="FILE", type=_FILE)
@click.option("--force", is_flag=True, help="Also where a store is, which is kept under another name.")
@options.shared("env_file", "store_url")
@options.with_settings
def restore(settings: Settings, *, file: Path, force: bool) -> None:
    """Check a backup and put it where the settings have the store; stop the service before.

    The next `tailmetrics up` goes on at the positions of the backup: lines behind them that the logs still
    have are read again, each once.
    """
    from tailmetrics.stores import backup

    backup.require_file(settings)
    with _disk_errors(settings.store.path):
        contents, aside = backup.restore(settings, file, force=force)
    click.echo(f"{settings.store}: {_described(contents)}; from {escaped(str(file))}")
    if aside is not None:
        click.echo(f"The store that was there is {escaped(str(aside))}.")


def _check_target(settings: Settings, file: Path, *, force: bool) -> None:
    if not file.exists():
        if not file.absolute().parent.is_dir():
            raise BackupError(f"{file}: there is no folder {file.parent}; make it, or name another file")
        return
    if settings.store.path.exists() and file.samefile(settings.store.path):
        raise BackupError(f"{file} is the store itself; name a file beside it, or better on another disk")
    if not force:
        raise BackupError(f"{file} exists already; name another file, or replace it with --force")


def _copy(settings: Settings, draft: Path) -> str:
    """Write the draft; returns where the copy is from: the URL of the service or of the store."""
    from tailmetrics.stores.backup import write_copy

    asked_for = options.option_value("store_url") is not None
    url = None if asked_for or settings.store.scheme != "duckdb" else running_service(settings)
    if url is None:
        try:
            write_copy(settings, draft)
        except StoreBusy:
            url = running_service(settings)
            if url is None:
                raise
    if url is None:
        return str(settings.store)
    from tailmetrics.client.transport import snapshot_of
    from tailmetrics.stores.backup import write

    with snapshot_of(settings, url) as snapshot:
        write(snapshot, draft)
    return url


def _described(contents: Contents) -> str:
    return (
        f"{counted(contents.records, 'record')}, {counted(contents.rejects, 'reject')}, positions of "
        f"{counted(contents.sources, 'log')}"
    )


@contextlib.contextmanager
def _disk_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        options.say(f"{error.filename or file} cannot be read or written: {error.strerror}")
        sys.exit(Exit.IO)
