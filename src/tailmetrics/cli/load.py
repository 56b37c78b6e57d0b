"""The command load: finished logs through the service while one runs, into the store otherwise."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from tailmetrics import process
from tailmetrics.cli import options
from tailmetrics.cli.options import Exit
from tailmetrics.client.service_address import running_service
from tailmetrics.errors import LoadError, QueryError, ServiceError, StoreBusy, StoreUnavailable

if TYPE_CHECKING:
    from tailmetrics.settings import Settings
    from tailmetrics.status import LoadProgress

    OnProgress = Callable[[LoadProgress], None]
    # Waits until a log is loaded; calls what it is given several times a second.
    Finish = Callable[[OnProgress], LoadProgress]

STDIN = Path("-")
_REFUSED_LOGS = (400, 413, 415, 422)  # statuses of the service, when it is up to the log
_AWAY = (0, 503)  # of a service that may be asked again
_CATS = {".gz": "zcat", ".xz": "xzcat", ".bz2": "bzcat", ".zst": "zstdcat"}
_PIECE_BYTES = 1024 * 1024  # of a log that is sent, at a time


@options.command(
    "Read finished logs to their ends.",
    "tailmetrics load requests-2024-10.log requests-2024-11.log",
    "ssh web1 cat /var/log/shop.log | tailmetrics load -",
    "tailmetrics load --log-format nginx /var/log/nginx/access.log.1 --json",
    exits=(Exit.DATA, Exit.NO_INPUT, Exit.UNAVAILABLE, Exit.REFUSED, Exit.CONFIGURATION, Exit.INTERRUPTED),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@options.shared("env_file", "log_format", "store_url", *options.API, "json")
@options.with_settings
def load(settings: Settings, *, files: tuple[Path, ...], as_json: bool) -> None:
    """Read finished logs to their ends into the store; - is standard input.

    A file that was loaded before adds nothing, and the same command goes on where it was interrupted. Lines
    that cannot be read are kept as rejects; how many, and why, is written to standard error, and it is a
    failure where none of a file can be. While a service runs the files are sent to it, and its settings say
    how they are read; otherwise the store is written here.
    """
    from tailmetrics.cli import progress
    from tailmetrics.ingest.load import total_progress, with_name

    check_files(files, "loaded")
    ended = []
    with _resumable() as place, _loads(settings, files, place) as loads:
        process.resume_garbage_collection()
        for file, finish in zip(files, loads, strict=True):
            with progress.load_display(file.name, sys.stderr) as show:
                ended.append(finish(place.noting(file, show)))
            if not as_json:
                click.echo(progress.load_summary(str(file), ended[-1]))
            if ended[-1].rejects:
                options.say(progress.rejects_text(str(file), ended[-1]))
    total = total_progress(ended)
    if as_json:
        from tailmetrics.api.documents import loaded_file
        from tailmetrics.api.service_schemas import LoadTotals

        documents = [loaded_file(str(file), each) for file, each in zip(files, ended, strict=True)]
        of_all = loaded_file("all", total)
        totals = {name: value for name, value in of_all.items() if name in LoadTotals.__annotations__}
        options.print_json({"files": documents, "totals": totals})
    if total.state == "failed":
        for file, each in zip(files, ended, strict=True):
            if each.error is not None:
                options.say(with_name(each.error, file))
        sys.exit(Exit.NO_INPUT)
    if unread := [file for file, each in zip(files, ended, strict=True) if each.is_unread]:
        options.say(_how_to_read_again(unread))
        sys.exit(Exit.DATA)


@dataclass
class _Place:
    """The log that is being loaded, and how far it is in the store."""

    file: Path | None = None
    number: int = -1
    load: LoadProgress | None = None

    def noting(self, file: Path, show: OnProgress) -> OnProgress:
        self.file, self.number, self.load = file, self.number + 1, None

        def note(load: LoadProgress) -> None:
            self.load = load
            show(load)

        return note

    def __str__(self) -> str:
        if self.load is None or not self.load.bytes_total:
            return str(self.file)
        done, size = self.load.bytes_done, self.load.bytes_total
        return f"{self.file} at byte {done:,} of {size:,} ({100 * done // size}%)"


@contextlib.contextmanager
def _resumable() -> Iterator[_Place]:
    """Say how far the logs are when the load is interrupted, by SIGTERM too, or loses store or service."""
    place = _Place()
    with options.ended_by_sigterm():
        try:
            yield place
        except (KeyboardInterrupt, StoreUnavailable, ServiceError) as error:
            is_refused = isinstance(error, ServiceError) and error.status not in _AWAY
            if place.file is not None and not is_refused:
                options.say(f"interrupted in {place}; the same command goes on, and nothing counts twice")
            raise


def _how_to_read_again(unread: Sequence[Path]) -> str:
    """What to do with logs whose lines are all rejects, and count as loaded."""
    names = ", ".join(map(str, unread))
    cat = " or ".join(dict.fromkeys(_CATS.get(file.suffix, "cat") for file in unread))
    return (
        f"no line of {names} could be read. What was read once is not read again: in its format (LOG_FORMAT) "
        "it is another log behind an empty line, "
        f"`(echo; {cat} FILE) | tailmetrics load --log-format FORMAT -`"
    )


def check_files(files: Sequence[Path], done: str, *, may_be_standard_input: bool = True) -> None:
    """Raise LoadError with each file that cannot be read; `done` ends its text: nothing was loaded, sent.

    `-` is standard input. Raises QueryError when it is a terminal, or is named twice.
    """
    from tailmetrics.ingest.standard_input import require_standard_input
    from tailmetrics.tailing.discovery import NAME_PROBLEM, name_that_is_not_utf8
    from tailmetrics.tailing.log_file import open_finished

    if may_be_standard_input and STDIN in files:
        require_standard_input("FILE")
        if files.count(STDIN) > 1:
            raise QueryError("FILE", str(STDIN), "standard input once")
    problems = []
    for file in files:
        if may_be_standard_input and file == STDIN:
            continue
        if shown := name_that_is_not_utf8(str(file)):
            problems.append(f"{shown} cannot be read: {NAME_PROBLEM}")
            continue
        try:
            if file.is_dir():
                problems.append(f"{file} is a folder, expected files: {file}/*.log")
                continue
            open_finished(str(file)).close()
        except OSError as error:
            problems.append(f"{file} cannot be read: {error.strerror}")
        except LoadError as error:
            problems.append(str(error))
    if problems:
        raise LoadError("\n".join([*problems, f"Nothing was {done}."]))


@contextlib.contextmanager
def _loads(settings: Settings, files: Sequence[Path], place: _Place) -> Iterator[list[Finish]]:
    """One function a file, which waits until that file is loaded; all are to be called in this order.

    At the end `place` is told how far the one is that was waited for. A running service loads them, with
    --store-url only when it has the store open. Raises StoreUnavailable.
    """
    from tailmetrics.ingest.load import finish, load_jobs
    from tailmetrics.ingest.standard_input import spooled

    with contextlib.ExitStack() as stack:
        url = running_service(settings) if options.option_value("store_url") is None else None
        spool = None
        if url is None:
            # Before the store is opened, which nobody else can open then.
            spool = stack.enter_context(spooled(settings.data_folder)) if STDIN in files else None
            try:
                jobs = stack.enter_context(load_jobs(settings, files, spool, options.named_format(settings)))
            except StoreBusy:
                url = running_service(settings)
                if url is None:
                    raise
        if url is None:
            try:
                yield [partial(finish, job) for job in jobs]
            finally:
                stack.close()  # which commits what was read
                place.load = jobs[max(0, place.number)].progress()
        else:
            yield [partial(_through_service, settings, url, file, spool) for file in files]


def _through_service(
    settings: Settings, url: str, file: Path, spool: Path | None, on_progress: OnProgress
) -> LoadProgress:
    from tailmetrics.client.transport import send_log
    from tailmetrics.ingest.load import SPOOL_NAME
    from tailmetrics.status import LoadProgress
    from tailmetrics.tailing.compression import kind_of_name

    is_stdin = file == STDIN
    path = spool if is_stdin else file
    size = None if path is None or kind_of_name(file.name) else path.stat().st_size
    with contextlib.nullcontext(sys.stdin.buffer) if path is None else path.open("rb") as log:
        pieces = _pieces(log, file, size, on_progress)
        try:
            first = next(pieces, None)
            if first is None:
                return LoadProgress("done")
            return send_log(
                settings,
                url,
                SPOOL_NAME if is_stdin else file.name,
                itertools.chain([first], pieces),
                size=size,
                log_format=options.named_format(settings),
                # The service sees a copy, and tells by the path how its settings have the log read.
                origin=None if is_stdin else str(file.absolute()),
            )
        except OSError as error:
            raise LoadError(f"{file} cannot be read to its end: {error}") from error
        except ServiceError as error:
            if error.status in _REFUSED_LOGS:
                raise LoadError(f"{file} cannot be loaded: {error}") from error
            raise


def _pieces(log: BinaryIO, file: Path, size: int | None, on_progress: OnProgress) -> Iterator[bytes]:
    """The decompressed bytes of a log; of a plain one only the first `size`, as it may grow meanwhile."""
    from tailmetrics.status import LoadProgress
    from tailmetrics.tailing.compression import Decompressed, kind_of_name

    total = size or (0 if file == STDIN else file.stat().st_size)
    kind = kind_of_name(file.name)
    lines = log if kind is None else Decompressed(log, kind)
    sent = 0
    while size is None or sent < size:
        try:
            piece = lines.read(_PIECE_BYTES if size is None else min(_PIECE_BYTES, size - sent))
        except LoadError as error:
            raise LoadError(f"{file} cannot be read to its end: {error}") from error
        if not piece and size is not None:
            raise LoadError(f"{file} became shorter while it was sent; load it when nothing changes it")
        if not piece:
            return
        yield piece
        sent += len(piece)
        on_progress(LoadProgress("running", bytes_total=total, bytes_done=log.tell() if total else sent))
