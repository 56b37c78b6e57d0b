"""Loading finished logs from a command: through the service while one runs, into the store otherwise."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from tailmetrics.cli.service_address import is_listened_at
from tailmetrics.errors import LoadError, StoreBusy, TailmetricsError
from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.process import release_code_pages
from tailmetrics.settings import Settings, resolve_node_id
from tailmetrics.status import LoadProgress
from tailmetrics.stores import open_store
from tailmetrics.tailing import LoadJob
from tailmetrics.tailing.discovery import NAME_PROBLEM, name_that_is_not_utf8
from tailmetrics.tailing.rotation import LogNames, is_compressed
from tailmetrics.telemetry.metrics import Metrics

_PROGRESS_SECONDS = 0.1
_PIECE_BYTES = 1024 * 1024  # of a log that is sent, at a time


def check_files(files: Sequence[Path], done: str) -> None:
    """Raise LoadError that names each file which cannot be read, before anything is `done`: loaded, say."""
    problems = []
    for file in files:
        if shown := name_that_is_not_utf8(str(file)):
            problems.append(f"{shown} cannot be read: {NAME_PROBLEM}")
            continue
        if file.is_dir():
            problems.append(f"{file} is a folder, expected files: {file}/*.log")
            continue
        try:
            with file.open("rb"):
                pass
        except OSError as error:
            problems.append(f"{file} cannot be read: {error.strerror}")
    if problems:
        raise LoadError("\n".join([*problems, f"Nothing was {done}."]))


@dataclass(frozen=True, slots=True)
class FileLoad:
    """One of the files of a command.

    `finish` waits until it is read to its end, and returns how that ended; what it is given it calls several
    times a second with how far it is.
    """

    file: Path
    finish: Callable[[Callable[[LoadProgress], None]], LoadProgress]


@contextlib.contextmanager
def file_loads(
    settings: Settings, files: Sequence[Path], *, log_format: str | None = None, store_first: bool = False
) -> Iterator[list[FileLoad]]:
    """Finished logs, to be read to their ends while the context is open; each is to be finished in turn.

    The service is asked first, or with `store_first` only when it holds the store. Raises StoreUnavailable
    when the store is away: a command ends rather than wait for it, which a service does.
    """
    with contextlib.ExitStack() as stack:
        url = None if store_first else _service(settings)
        if url is None:
            try:
                jobs = stack.enter_context(_jobs(settings, files))
            except StoreBusy:
                url = _service(settings)
                if url is None:
                    raise
        if url is None:
            loads = [FileLoad(file, partial(_finish, job)) for file, job in zip(files, jobs, strict=True)]
        else:
            loads = [
                FileLoad(file, partial(_through_service, settings, url, file, log_format)) for file in files
            ]
        yield loads


def load_files(
    settings: Settings, files: Sequence[Path], on_progress: Callable[[LoadProgress], None]
) -> LoadProgress:
    """Read finished files to their ends into the store; returns the sum over all files.

    `on_progress` is called several times a second with the sum so far. Raises StoreUnavailable.
    """
    with _jobs(settings, files) as jobs:

        def total() -> LoadProgress:
            return total_progress([job.progress() for job in jobs])

        for job in jobs:
            _finish(job, lambda _: on_progress(total()))
        return total()


def _one_processor_less(settings: Settings) -> Settings:
    """The settings as they are for a load: reading has a processor to itself, DuckDB the others.

    Of two processors one is enough for all that it writes meanwhile, and a third thread would only wait.
    """
    if settings.duckdb_threads:
        return settings
    return settings.model_copy(update={"duckdb_threads": max(1, (os.cpu_count() or 1) - 1)})


@contextlib.contextmanager
def _jobs(settings: Settings, files: Sequence[Path]) -> Iterator[list[LoadJob]]:
    """A dataflow of this process that reads the files into the store; what ended it early is raised."""
    with contextlib.closing(open_store(_one_processor_less(settings))) as store:
        store.sources(resolve_node_id(settings))
        ingestion = Supervisor(settings, store, Metrics(), follow=False)
        release_code_pages()
        ingestion.start()
        try:
            yield [ingestion.start_load(path.absolute(), str(path.absolute()), None) for path in files]
        finally:
            ingestion.stop()
        if isinstance(ingestion.failure, TailmetricsError):
            raise ingestion.failure


def _finish(job: LoadJob, on_progress: Callable[[LoadProgress], None]) -> LoadProgress:
    while not job.wait(_PROGRESS_SECONDS):
        on_progress(job.progress())
    return job.progress()


def total_progress(loads: Sequence[LoadProgress]) -> LoadProgress:
    """The sum of several loads: failed when one failed, already loaded when all were."""
    states = {load.state for load in loads}
    errors = [load.error for load in loads if load.error]
    if "failed" in states and states <= {"failed", "done"}:
        state = "failed"
    else:
        state = "done" if states <= {"done"} else "running"
    return LoadProgress(
        state=state,  # type: ignore[arg-type]  # one of its literals
        bytes_total=sum(load.bytes_total for load in loads),
        bytes_done=sum(load.bytes_done for load in loads),
        lines=sum(load.lines for load in loads),
        records=sum(load.records for load in loads),
        rejects=sum(load.rejects for load in loads),
        blanks=sum(load.blanks for load in loads),
        already_loaded=all(load.already_loaded for load in loads),
        error="; ".join(errors) or None,
    )


def _service(settings: Settings) -> str | None:
    if not is_listened_at(settings):
        return None  # and no client is needed, which takes time and memory
    from tailmetrics.cli.client import find_service

    return find_service(settings)


def _through_service(
    settings: Settings,
    url: str,
    file: Path,
    log_format: str | None,
    on_progress: Callable[[LoadProgress], None],
) -> LoadProgress:
    from tailmetrics.cli.client import send_log

    # The service sees a copy without its folder, and so cannot tell the format by LOG_FILE_PATH.
    log_format = log_format or LogNames(settings.log_paths).format_of(str(file))
    size = None if is_compressed(file.name) else file.stat().st_size
    with file.open("rb") as log:
        pieces = _pieces(log, file, size, on_progress)
        try:
            first = next(pieces, None)
            if first is None:
                return LoadProgress("done")
            answer = send_log(
                settings, url, file.name, itertools.chain([first], pieces), size=size, log_format=log_format
            )
        except (OSError, EOFError, zlib.error) as error:
            raise LoadError(f"{file} cannot be read to its end: {error}") from error
    loaded = answer["files"][0]
    return LoadProgress(
        "done",
        bytes_total=loaded["bytes"],
        bytes_done=loaded["bytes"],
        lines=loaded["lines"],
        records=loaded["records"],
        rejects=loaded["rejects"],
        blanks=loaded["blanks"],
        already_loaded=loaded["already_loaded"],
    )


def _pieces(
    log: BinaryIO, file: Path, size: int | None, on_progress: Callable[[LoadProgress], None]
) -> Iterator[bytes]:
    """The bytes of the lines: of a compressed log all, of another the first `size`, as it may grow."""
    total = file.stat().st_size
    lines = log if size is not None else gzip.GzipFile(fileobj=log)
    sent = 0
    while size is None or sent < size:
        piece = lines.read(_PIECE_BYTES if size is None else min(_PIECE_BYTES, size - sent))
        if not piece and size is not None:
            raise LoadError(f"{file} became shorter while it was sent; load it when nothing changes it")
        if not piece:
            return
        yield piece
        sent += len(piece)
        on_progress(LoadProgress("running", bytes_total=total, bytes_done=log.tell()))
