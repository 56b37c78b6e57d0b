"""Loading finished logs by this process: a dataflow that reads them to their ends into the store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tailmetrics.errors import StoreError, TailmetricsError
from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.process import release_code_pages
from tailmetrics.settings import Settings, resolve_node_id
from tailmetrics.status import LoadProgress, summed
from tailmetrics.stores import open_store
from tailmetrics.tailing import LoadJob
from tailmetrics.telemetry.log import EventLog
from tailmetrics.telemetry.metrics import Metrics
from tailmetrics.urls import STANDARD_INPUT

log = EventLog()

SPOOL_NAME = "stdin"  # of standard input, which is known by its content like any log that is sent
_PROGRESS_SECONDS = 0.1


def load_files(
    settings: Settings,
    files: Sequence[Path],
    on_progress: Callable[[LoadProgress], None],
    spool: Path | None = None,
    format_name: str | None = None,
) -> LoadProgress:
    """Read finished files to their ends into the store, `-` from a spool; returns the sum over all files.

    `on_progress` is called several times a second with the sum so far. Raises StoreUnavailable.
    """
    with load_jobs(settings, files, spool, format_name) as jobs:

        def total() -> LoadProgress:
            return total_progress([job.progress() for job in jobs])

        for job in jobs:
            finish(job, lambda _: on_progress(total()))
        loads = [job.progress() for job in jobs]
        return total_progress(
            [
                replace(load, error=load.error and with_name(load.error, file))
                for file, load in zip(files, loads, strict=True)
            ]
        )


@contextlib.contextmanager
def load_jobs(
    settings: Settings, files: Sequence[Path], spool: Path | None = None, format_name: str | None = None
) -> Iterator[list[LoadJob]]:
    """One job for each file, read while the context is open; raises at its end what ended the dataflow early.

    With `spool` the file `-` is standard input, which is kept there. Without a format each file is read as
    the settings say for its path.

    Raises StoreUnavailable when the store is away: a load ends rather than wait for it.
    """
    with contextlib.closing(open_store(_one_processor_less(settings))) as store:
        store.sources(resolve_node_id(settings))
        ingestion = Supervisor(settings, store, Metrics(), follow=False)
        release_code_pages()
        ingestion.start()
        jobs: list[LoadJob] = []
        has_ended = False
        try:
            jobs += [ingestion.start_load(*_named(path, spool), format_name) for path in files]
            yield jobs
            has_ended = all(job.wait(0) for job in jobs)
        finally:
            ingestion.stop()
        if isinstance(ingestion.failure, TailmetricsError):
            raise ingestion.failure
        if ingestion.failure is not None:
            kind = type(ingestion.failure).__name__
            raise TailmetricsError(f"the dataflow has stopped: {kind}: {ingestion.failure}")
        if not has_ended:  # who interrupts a load does not want to wait
            return
        try:
            store.summarize()
        except StoreError as error:
            log.warning("summaries are left to the next process that has this store open", error=str(error))


def _named(path: Path, spool: Path | None) -> tuple[Path, str]:
    """Where a log lies, and its name."""
    if spool is not None and path == Path(STANDARD_INPUT):
        return spool, SPOOL_NAME
    return path.absolute(), str(path.absolute())


def finish(job: LoadJob, on_progress: Callable[[LoadProgress], None]) -> LoadProgress:
    """Wait until the job ends; returns how. `on_progress` is called several times a second meanwhile."""
    while not job.wait(_PROGRESS_SECONDS):
        on_progress(job.progress())
    return job.progress()


def with_name(error: str, file: Path) -> str:
    """Why a load failed, behind the name of its file, or of standard input, unless it names that itself."""
    is_named = str(file) in error if file != Path(STANDARD_INPUT) else error.startswith(f"{SPOOL_NAME}: ")
    return error if is_named else f"{file}: {error}"


def total_progress(loads: Sequence[LoadProgress]) -> LoadProgress:
    """The sum of several loads: failed when one failed, already loaded when all were."""
    states = {load.state for load in loads}
    state: Literal["running", "failed", "done"] = "running"
    if states <= {"failed", "done"}:
        state = "failed" if "failed" in states else "done"
    return LoadProgress(
        state,
        bytes_total=sum(load.bytes_total for load in loads),
        bytes_done=sum(load.bytes_done for load in loads),
        lines=sum(load.lines for load in loads),
        records=sum(load.records for load in loads),
        rejects=sum(load.rejects for load in loads),
        blanks=sum(load.blanks for load in loads),
        already_loaded=all(load.already_loaded for load in loads),
        error="; ".join(load.error for load in loads if load.error) or None,
        reasons=summed(reason for load in loads for reason in load.reasons),
    )


def _one_processor_less(settings: Settings) -> Settings:
    """The settings as they are for a load: reading has a processor to itself, DuckDB the others.

    Of two processors one is enough for all that it writes meanwhile, and a third thread would only wait.
    """
    if settings.duckdb_threads:
        return settings
    return settings.model_copy(update={"duckdb_threads": max(1, (os.cpu_count() or 1) - 1)})
