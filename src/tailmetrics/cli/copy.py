"""The command copy: from one store into another."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import click

from tailmetrics.cli import options
from tailmetrics.cli.options import Exit
from tailmetrics.cli.text import counted, escaped
from tailmetrics.errors import CopyError, QueryError, StoreBusy, StoreUnavailable

if TYPE_CHECKING:
    from tailmetrics.settings import Settings
    from tailmetrics.stores import Store
    from tailmetrics.stores.copying import CopySummary, OnProgress

_LONGEST_QUESTION_SECONDS = 3600.0  # a page of a large store takes longer than anybody waits for an answer


@options.command(
    "Move all of one store into another.",
    "tailmetrics copy --from duckdb:///data/tailmetrics.duckdb --to postgresql://user:password@host/shop",
    "tailmetrics copy --to clickhouse://user:password@host:8123/shop",
    "tailmetrics copy --from duckdb:///backup.duckdb --to sqlite:///data/tailmetrics.sqlite --json",
    exits=(Exit.UNAVAILABLE, Exit.CONFIGURATION, Exit.INTERRUPTED),
)
@click.option("--from", "origin", metavar="STORE", help="URL of the store to copy.  [default: STORE_URL]")
@click.option("--to", "target", metavar="STORE", required=True, help="URL of the store that takes it in.")
@options.shared("env_file", "json")
@options.with_settings
def copy(settings: Settings, *, origin: str | None, target: str, as_json: bool) -> None:
    """Copy records, rejects, positions and notes of one store into another, each once.

    Nothing may write to either meanwhile: stop the service. Interrupted, or killed, the same command goes
    on where it was; ended, it adds nothing more. A service that is started with the new store in STORE_URL
    goes on at the same lines of its logs. The first store stays as it is. The other one has to be empty, or
    of other logs, which stay there.
    """
    from tailmetrics.cli import progress

    old = _of_store(settings, "--from", settings.store_url if origin is None else origin, retention_days=0)
    new = _of_store(settings, "--to", target)
    _check_different(old, new)
    place = _Place()
    with options.ended_by_sigterm(), _opened("--from", old) as read, _opened("--to", new) as written:
        written.check_access(writes=True)
        try:
            with progress.count_bar("copy", "lines", sys.stderr) as show:
                summary = asyncio.run(_copy(new, read, written, str(old.store), place.noting(show)))
        except (KeyboardInterrupt, StoreUnavailable):
            if place.total:
                options.say(f"interrupted at {place}; the same command goes on, and nothing counts twice")
            raise
    if as_json:
        options.print_json({"from": str(old.store), "to": str(new.store), **asdict(summary)})
    else:
        click.echo(f"{new.store}: {_described(summary)}; from {old.store}")
    for remark in _remarks(summary):
        options.say(remark)


@dataclass
class _Place:
    """How many lines are copied, of how many."""

    done: int = 0
    total: int = 0

    def noting(self, show: OnProgress) -> OnProgress:
        def note(done: int, total: int) -> None:
            self.done, self.total = done, total
            show(done, total)

        return note

    def __str__(self) -> str:
        return f"{self.done:,} of {counted(self.total, 'line')}"


async def _copy(
    settings: Settings, origin: Store, target: Store, name: str, on_progress: OnProgress
) -> CopySummary:
    from tailmetrics.stores.copying import copy

    span = await origin.span() if settings.retention_days else None
    oldest = datetime.now(timezone.utc) - timedelta(days=settings.retention_days)
    if span is not None and span[0] < oldest:
        options.say(
            f"RETENTION_DAYS is {settings.retention_days}: of the records, which begin at "
            f"{span[0]:%Y-%m-%d %H:%M}, those before {oldest:%Y-%m-%d %H:%M} do not stay in {settings.store}"
        )
    return await copy(origin, target, name, on_progress)


def _of_store(settings: Settings, option: str, url: str, **changes: int) -> Settings:
    """The settings with another store; `changes` are made where a store deletes by them when it is opened."""
    from tailmetrics.urls import StoreUrl, masked

    try:
        scheme = StoreUrl.parse(url).scheme
    except ValueError as error:
        raise QueryError(option, masked(url), str(error)) from None
    kept = {} if scheme == "influxdb" else changes
    update = {"store_url": url, "query_timeout_seconds": _LONGEST_QUESTION_SECONDS, **kept}
    return settings.model_copy(update=update)


def _check_different(old: Settings, new: Settings) -> None:
    """Raise CopyError where both are the same store; by another name its logs tell later."""
    one, other = old.store, new.store
    same_file = one.is_file and other.is_file and one.path.resolve() == other.path.resolve()
    same_server = not one.is_file and (one.host, one.port, one.database) == (
        other.host,
        other.port,
        other.database,
    )
    if same_file or (same_server and one.scheme == other.scheme):
        raise CopyError(f"--from and --to are the same store, {one}; expected two")


@contextlib.contextmanager
def _opened(option: str, settings: Settings) -> Iterator[Store]:
    from tailmetrics.stores import open_store

    store = settings.store
    if option == "--from" and store.is_file and not store.path.exists():
        raise CopyError(f"there is no store at {store.path}; {option} must name one")
    try:
        opened = open_store(settings, creates=option == "--to")
    except StoreBusy as error:
        raise StoreBusy(f"{option}: {error}") from error
    with contextlib.closing(opened):
        yield opened


def _described(summary: CopySummary) -> str:
    counts = f"{counted(summary.records, 'record')}, {counted(summary.rejects, 'reject')}"
    contents = f"{counts}, {summary.blanks:,} blank, positions of {counted(summary.sources, 'log')}"
    return f"already copied, nothing was added: {contents}" if summary.was_done else contents


def _remarks(summary: CopySummary) -> Iterator[str]:
    if summary.refused:
        yield f"{counted(summary.refused, 'record')} left out, as the new store does not keep times so old"
    if summary.expired:
        yield f"{counted(summary.expired, 'record')} not found that the old store counts: it has deleted them"
    if summary.kept_notes:
        names = ", ".join(map(escaped, summary.kept_notes))
        yield f"the new store keeps its own of what both remember: {names}"
