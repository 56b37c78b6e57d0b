"""The dataflow as a part of a running service: in a thread, restarted when it crashes."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tailmetrics.errors import (
    FormatError,
    PositionConflict,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    TailmetricsError,
)
from tailmetrics.formats import open_format
from tailmetrics.ingest.committer import Committer, log_away
from tailmetrics.ingest.dataflow import ChunkParser, Parser, build_flow, end_flow, run_flow
from tailmetrics.ingest.inputs import Inputs, known_sources
from tailmetrics.ingest.processes import LOOK_SECONDS
from tailmetrics.ingest.share_locks import ShareLocks
from tailmetrics.settings import Settings, resolve_node_id
from tailmetrics.status import IngestionState, SourceStatus
from tailmetrics.stores.base import Store
from tailmetrics.tailing import LoadJob, forgettable
from tailmetrics.tailing.rotation import LogNames
from tailmetrics.telemetry.log import EventLog
from tailmetrics.telemetry.metrics import Metrics

log = EventLog()

_MOST_CRASHES = 5  # in a row
_HEALTHY_SECONDS = 60.0  # a run at least this long begins the count anew
_FIRST_RESTART_SECONDS = 0.5
_DRAIN_SECONDS = 2.5  # of the 5 s that a clean end may take
_HANGING_SECONDS = 1.0  # more of them, for a commit that is under way
_REPORT_SECONDS = 1.0  # from one look at what is to be reported to the next
_REPORT_AGAIN_SECONDS = 10.0  # what has not changed is said again, so that others see who lives


@dataclass(frozen=True, slots=True)
class _Run:
    """The parts of one run of the dataflow."""

    inputs: Inputs
    committer: Committer


class Supervisor:
    """Runs the dataflow until it is stopped; a crashed one is started again with back-off.

    After five crashes in a row it gives up and calls `on_give_up`. With `follow` off only loads are served,
    and a store that refuses them is not waited for. With `shares` other processes follow the other logs.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics,
        *,
        follow: bool = True,
        on_give_up: Callable[[], None] = lambda: None,
        parser: type[Parser] = ChunkParser,
        shares: ShareLocks | None = None,
    ) -> None:
        self.failure: BaseException | None = None
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._follow = follow
        self._on_give_up = on_give_up
        self._parser = parser
        self._shares = shares
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._lost_bytes = 0
        self._report_error: str | None = None  # of a store that lets nobody write
        self._jobs: deque[LoadJob] = deque()
        self._state = IngestionState("restarting")
        self._thread = threading.Thread(target=self._supervise, name="ingestion", daemon=True)
        self._reporter = threading.Thread(target=self._report, name="reports", daemon=True)

    def start(self) -> None:
        self._thread.start()
        if self._follow:
            self._reporter.start()
        if self._shares is not None:
            threading.Thread(
                target=self._watch_shares, args=(self._shares,), name="shares", daemon=True
            ).start()

    def stop(self) -> None:
        """Commit what was read and end, within a few seconds; what was not committed is read again later."""
        self._stopping.set()
        with self._lock:
            if self._run is not None:
                self._run.inputs.stop()
        self._thread.join(_DRAIN_SECONDS)
        with self._lock:
            if self._run is not None:
                self._run.committer.abandon()
        self._thread.join(_HANGING_SECONDS)
        if self._thread.is_alive():
            # Whether a commit was made is told by its position at the next start.
            log.warning("ended while the store does not answer")
        elif self._reporter.is_alive():
            self._reporter.join(_HANGING_SECONDS)  # it asks the store, which may hang
        self._fail_loads("the service has ended")

    def reopen(self) -> None:
        """Close all files and look for them anew."""
        run = self._run
        if run is not None:
            run.inputs.tailer.reopen()

    def state(self) -> IngestionState:
        run = self._run
        if run is None:
            return replace(self._state, lost_bytes=self._lost_bytes)
        return replace(
            self._state,
            store_error=run.committer.store_error or self._report_error,
            lost_bytes=self._lost_bytes + run.inputs.tailer.lost_bytes + run.committer.lost_bytes,
        )

    def overdue_seconds(self) -> float:
        """How long a thread of the dataflow stands still, other than to wait for a store that is away."""
        run = self._run
        if run is None or run.committer.store_error is not None:
            return 0.0 if self._thread.is_alive() else math.inf
        if run.committer.is_committing:
            return run.committer.pulse.overdue_seconds()  # the others may have to wait for it
        return run.inputs.overdue_seconds()

    def sources(self) -> Sequence[SourceStatus]:
        run = self._run
        return [] if run is None else run.inputs.statuses()

    def start_load(
        self, path: Path, display_name: str, format_name: str | None, origin: str | None = None
    ) -> LoadJob:
        """Read a finished file to its end; one whose name is not its path is known by its content.

        It is read as the entry of LOG_FILE_PATH or LOG_SOURCES that names it, or its `origin`, unless a
        format is named. The job has failed when the settings of the format cannot be used. Raises
        StoreRefused while nothing can be written, as the load would have no end.
        """
        if self._report_error is not None:
            raise StoreRefused(self._report_error)
        if format_name is None:
            log_format = LogNames(self._settings.log_paths).format_of_rotated(origin or str(path))
        else:
            log_format = self._settings.format_options(format_name)
        job = LoadJob(path, display_name, log_format, by_content=display_name != str(path))
        if log_format is not None:
            try:
                open_format(log_format)
            except FormatError as error:
                job.fail(str(error))
                return job
        with self._lock:
            if self.failure is not None or self._stopping.is_set():
                job.fail("the dataflow has stopped")
                return job
            while self._jobs and self._jobs[0].has_ended:
                self._jobs.popleft()
            self._jobs.append(job)
            if self._run is not None:
                self._run.inputs.tailer.load(job)
        return job

    def _supervise(self) -> None:
        crashes = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._run_once()
                crashes = 0
            except StoreUnavailable as error:
                if isinstance(error, StoreRefused) and not self._follow:
                    self._give_up(error)
                    return
                if str(error) != self._state.store_error:
                    log_away(error)
                self._state = IngestionState("restarting", store_error=str(error))
                self._stopping.wait(error.retry_after_seconds or _FIRST_RESTART_SECONDS)
            except BaseException as error:  # noqa: BLE001  # whatever ended it, the supervisor decides
                cause = root_cause(error)
                crashes = 1 if time.monotonic() - began > _HEALTHY_SECONDS else crashes + 1
                reason = f"{type(cause).__name__}: {cause}"
                log.error("the dataflow crashed", error=reason, crashes=crashes)  # noqa: TRY400  # a line an event
                # Another one registered the same file meanwhile: how far it is shows at the next start.
                # Or the one that had this share before died while its last commit was under way.
                is_race = isinstance(cause, PositionConflict) and (
                    cause.expected == 0 or self._shares is not None
                )
                is_of_load = self._follow and not is_race and self._fail_loads_of(cause)
                goes_on = is_race or is_of_load or not isinstance(cause, TailmetricsError)
                if crashes >= _MOST_CRASHES or not goes_on:
                    self._give_up(cause)
                    return
                self._state = IngestionState("restarting", reason)
                self._stopping.wait(_FIRST_RESTART_SECONDS * 2 ** (crashes - 1))
        self._state = IngestionState("stopped")

    def _run_once(self) -> None:
        node_id = resolve_node_id(self._settings)
        if self._shares is not None:
            self._shares.settle()  # before the store is asked how far their logs were read
        known, elsewhere = known_sources(self._store, node_id)
        if gone := forgettable(known, self._settings.max_sources_remembered, self._settings.log_paths):
            log.info("forgotten", sources=self._store.forget(gone))
            known, elsewhere = known_sources(self._store, node_id)
        parse = self._parser(self._settings)
        logs = None if self._shares is None else self._shares.logs()
        inputs = Inputs(
            self._settings,
            node_id,
            known,
            elsewhere,
            follow=self._follow,
            any_lines=parse.any_lines,
            logs=logs,
        )
        options = self._settings.commit_options
        committer = Committer(
            self._store,
            options,
            self._metrics,
            inputs.committed,
            inputs.stop,
            ends_when_refused=not self._follow,
            partitions=inputs.topics,
        )
        with self._lock:
            self._run = _Run(inputs, committer)
            for job in self._jobs:
                if not job.has_ended:
                    job.restart()
                    inputs.tailer.load(job)
        if self._stopping.is_set():
            inputs.stop()
        self._state = IngestionState("running", self._state.last_error)
        try:
            flow = build_flow(parse, inputs, committer)
            run_flow(flow, self._settings.workers)
        finally:
            end_flow(parse, inputs, committer)
            with self._lock:
                self._run = None
                self._lost_bytes += inputs.tailer.lost_bytes + committer.lost_bytes
            inputs.close()
        if committer.failure is not None:
            raise committer.failure

    def _report(self) -> None:
        """Tell the store of the sources, now and then, for processes that only answer questions."""
        said: Sequence[SourceStatus] = ()
        due = 0.0
        refused: str | None = None
        failing: str | None = None
        while not self._stopping.wait(_REPORT_SECONDS):
            failing = self._look_at_store(failing)
            statuses = self.sources()
            if statuses == said and (not said or time.monotonic() < due):
                continue
            try:
                for processor, of_processor in self._by_processor(statuses):
                    self._store.report(processor, of_processor)
            except StoreRefused as error:
                # While no lines come no commit would notice it.
                if str(error) != self._report_error:
                    log_away(error)
                self._report_error = str(error)
                continue
            except StoreUnavailable:
                continue  # the committer says so
            except StoreError as error:
                if str(error) != refused:
                    refused = str(error)
                    log.warning("sources cannot be reported", error=refused)
                continue
            self._report_error = None
            said, due = statuses, time.monotonic() + _REPORT_AGAIN_SECONDS
        if said and failing is None and self._report_error is None:
            self._thread.join()  # until the last commit, which may be younger than what was said
            _take_back(self._store, resolve_node_id(self._settings), self._shares)

    def _by_processor(self, statuses: Sequence[SourceStatus]) -> Iterator[tuple[str, Sequence[SourceStatus]]]:
        """Under whose name each is reported: a share by whoever has it, so that each source is there once."""
        node_id = resolve_node_id(self._settings)
        run = self._run
        if self._shares is None:
            yield node_id, statuses
        elif run is not None:  # else another one may have them
            held, home = self._shares.held, self._shares.home
            shares = [run.inputs.tailer.logs.share_of(status.path) for status in statuses]
            for share in held:
                yield (
                    _processor(node_id, share),
                    [
                        status
                        for status, its_share in zip(statuses, shares, strict=True)
                        if share == (its_share if its_share in held and status.device else home)
                    ],
                )

    def _watch_shares(self, shares: ShareLocks) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            if shares.is_change_due():
                with self._lock:
                    if self._run is not None:
                        self._run.inputs.stop()

    def _look_at_store(self, said: str | None) -> str | None:
        """Why the store cannot be used, None when it can: while no lines come no commit would notice it."""
        try:
            self._store.check_present()
        except StoreError as error:
            if str(error) != said:
                log.error("the store cannot be used any more", error=str(error))  # noqa: TRY400  # a line an event
            return str(error)
        return None

    def _give_up(self, cause: BaseException) -> None:
        self.failure = cause
        self._fail_loads(f"the dataflow has stopped: {cause}")
        self._state = IngestionState("stopped", f"{type(cause).__name__}: {cause}")
        self._on_give_up()

    def _fail_loads_of(self, cause: BaseException) -> bool:
        """Fail the loads of a log that another processor reads; whether there were any: following goes on."""
        if not isinstance(cause, PositionConflict):
            return False
        with self._lock:
            failed = [job for job in self._jobs if job.source_id == cause.source_id and not job.has_ended]
            for job in failed:
                job.fail(str(cause))
        return bool(failed)

    def _fail_loads(self, reason: str) -> None:
        with self._lock:
            for job in self._jobs:
                if not job.has_ended:
                    job.fail(reason)


def _processor(node_id: str, share: int) -> str:
    """The name under which whoever has a share reports its sources."""
    return f"{node_id} {share + 1}"


def _take_back(store: Store, node_id: str, shares: ShareLocks | None) -> None:
    """Say nothing of any source any more, so that the store's own positions count, and it is at rest."""
    names = [node_id] if shares is None else [_processor(node_id, share) for share in shares.held]
    with contextlib.suppress(StoreError):
        for name in names:
            store.report(name, [])


def root_cause(error: BaseException) -> BaseException:
    """What a Bytewax error was raised from: the exception of the source, the parser or the store.

    Not what that was raised from in turn: an error of this package says what to do, a driver's does not.
    """
    while not isinstance(error, TailmetricsError) and error.__cause__ is not None:
        error = error.__cause__
    return error
