"""Group commit: batches are gathered while the commit before is under way, and written together."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import tenacity

from tailmetrics.errors import PositionConflict, RecordsRefused, StoreRefused, StoreUnavailable
from tailmetrics.ingest.deduplication import Deduplication
from tailmetrics.ingest.partitions import PartitionReader, Partitions
from tailmetrics.process import Pulse
from tailmetrics.records import refused
from tailmetrics.settings import CommitOptions
from tailmetrics.sources import CHUNK_LINES, Batch
from tailmetrics.stores.base import Store
from tailmetrics.telemetry.log import EventLog
from tailmetrics.telemetry.metrics import Metrics

log = EventLog()

_FIRST_RETRY_SECONDS = 0.2
_LONGEST_RETRY_SECONDS = 10.0
_MOST_CONFLICTS = 10  # over one group
_MAX_GROUP_BYTES = 24 * 1024 * 1024  # long lines fill the memory before they are many


@dataclass(frozen=True, slots=True)
class _Load:
    """How much is queued: lines, and bytes in memory."""

    lines: int = 0
    size: int = 0

    def __add__(self, other: _Load) -> _Load:
        return _Load(self.lines + other.lines, self.size + other.size)

    def __sub__(self, other: _Load) -> _Load:
        return _Load(self.lines - other.lines, self.size - other.size)


def _load_of(batch: Batch) -> _Load:
    load = _Load(batch.parsed.lines, batch.parsed.size)
    for shipped in batch.shipped:
        load += _Load(shipped.parsed.lines, shipped.parsed.size)
    return load


class Committer:
    """Writes batches to a store from one thread, in the order in which they were put.

    A quiet stream is committed at once. When sources have more to read, the group grows: the first one to a
    chunk and each to twice the one before, up to what is worth a commit of the store (or STREAM_MAX_SIZE, if
    less), or for STREAM_MAX_WAIT_TIME_IN_SECONDS. While the store is away it is tried again for ever (with
    `ends_when_refused` not when it lets nobody in); records that it refuses are written as rejects; any other
    error ends the committer: it is `failure` then, and `on_failure` is called.
    """

    def __init__(
        self,
        store: Store,
        options: CommitOptions,
        metrics: Metrics,
        on_commit: Callable[[Batch], None],
        on_failure: Callable[[], None] = lambda: None,
        *,
        ends_when_refused: bool = False,
        partitions: PartitionReader | None = None,
    ) -> None:
        self.store_error: str | None = None
        self.pulse = Pulse()  # of commits
        self._away = ""  # what was, by its own words
        self._store = store
        self._deduplication = Deduplication(store, options.max_messages_remembered)
        self._partitions = Partitions(store, partitions)
        self._metrics = metrics
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._ends_when_refused = ends_when_refused
        self._max_lines = options.max_lines
        self._worth_lines = min(self._max_lines, store.commit_lines)
        self._enough_lines = min(self._worth_lines, CHUNK_LINES)  # nothing waits for more
        self._max_wait_seconds = options.max_wait_seconds
        self._changed = threading.Condition()
        self._queue: deque[tuple[float, Batch]] = deque()
        self._queued = _Load()
        self._is_committing = False
        self._draining = False
        self._closing = False
        self._abandoned = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    @property
    def lost_bytes(self) -> int:
        """Of shipped files, those that a topic did not keep until they were read."""
        return self._partitions.lost_bytes

    @property
    def is_committing(self) -> bool:
        """Whether a commit is under way."""
        return self._is_committing

    def put(self, batch: Batch) -> None:
        """Queue a batch, and wait while too much is queued. After the end batches are dropped."""
        if self._abandoned.is_set():
            return  # the store may be closed, and prepares nothing any more
        prepared = self._store.prepare(batch)
        with self._changed:
            if not self._abandoned.is_set():
                self._queue.append((time.monotonic(), prepared))
                self._queued += _load_of(batch)
                self._changed.notify_all()
            # Not before: whoever waited with a batch in his hands would keep one more in memory.
            self._changed.wait_for(lambda: not self._is_enough_ahead() or self._abandoned.is_set())

    def drain(self) -> None:
        """Wait until all that is queued is committed, or the committer has ended."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: not (self._queue or self._is_committing) or self._abandoned.is_set()
            )

    def close(self) -> None:
        """Commit what is queued and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def abandon(self) -> None:
        """End without committing what is still queued."""
        self._abandoned.set()
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while group := self._next_group():
                self._commit(group)
        except BaseException as error:  # noqa: BLE001  # handed to whoever runs the dataflow
            self.failure = error
            self._on_failure()
        finally:
            self.abandon()

    def _next_group(self) -> list[Batch]:
        """Take what is committed together next; empty at the end."""
        with self._changed:
            self._is_committing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._queue or self._closing or self._abandoned.is_set())
            if self._queue and not self._abandoned.is_set():
                due = self._queue[0][0] + self._max_wait_seconds
                self._changed.wait_for(self._is_group_whole, max(0.0, due - time.monotonic()))
            group: list[Batch] = []
            taken = _Load()
            while self._queue and taken.lines < self._enough_lines and not self._abandoned.is_set():
                batch = self._queue[0][1]
                load = taken + _load_of(batch)
                if group and (load.lines > self._max_lines or load.size > _MAX_GROUP_BYTES):
                    break
                self._queue.popleft()
                group.append(batch)
                taken = load
            self._queued -= taken
            self.pulse.beat()
            self._is_committing = bool(group)
            # The first groups of a bulk are small, so that the store does not wait for them.
            self._enough_lines = min(self._worth_lines, max(CHUNK_LINES, 2 * taken.lines))
            self._changed.notify_all()
            return group

    def _is_group_whole(self) -> bool:
        # Behind a batch that says so another one follows at once.
        return (
            self._closing
            or self._draining
            or self._abandoned.is_set()
            or self._is_queued(self._enough_lines)
            or not self._queue[-1][1].more
        )

    def _is_enough_ahead(self) -> bool:
        return self._is_queued(self._enough_lines * (1 + self._store.read_ahead))

    def _is_queued(self, lines: float) -> bool:
        return self._queued.lines >= lines or self._queued.size >= _MAX_GROUP_BYTES

    def _commit(self, group: list[Batch]) -> None:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._is_worth_waiting),
            wait=_wait_as_asked,
            stop=tenacity.stop_when_event_set(self._abandoned),
            sleep=tenacity.sleep_using_event(self._abandoned),
            before_sleep=self._note_store_error,
            reraise=True,
        )
        steps = [batch for batch in group if batch.step]
        group = [batch for batch in group if not batch.step]
        conflicts = 0
        try:
            while True:
                try:
                    retrying(self._write, group)
                    retrying(self._partitions.step, steps)
                    break
                except RecordsRefused as error:
                    log.warning("the store refuses records, they become rejects", error=str(error))
                    group = _without_refused(group, error, self._deduplication.source_id_of)
                except PositionConflict as error:
                    conflicts += 1
                    if (rest := self._partitions.without(group, error, conflicts)) is not None:
                        group = rest
                        continue
                    # Another consumer may have stored a message that was delivered to it as well.
                    if conflicts > _MOST_CONFLICTS or all(batch.delivery is None for batch in group):
                        raise
                    log.debug("a message was stored meanwhile", error=str(error))
        except StoreUnavailable as error:
            if self._is_worth_waiting(error):
                return  # told to end while the store is away
            raise
        if self.store_error is not None:
            log.info(f"{self._away} answers again")
        self.store_error = None
        for batch in group:
            self._partitions.committed(batch)
            self._on_commit(batch)

    def _write(self, batches: list[Batch]) -> None:
        group = self._partitions.settle(self._deduplication.settle(batches))
        if not group:
            return
        if self.store_error is not None and self._is_committed(group):
            return
        if new := [batch.registers for batch in group if batch.registers is not None]:
            self._store.register_all(new)
        began = time.perf_counter()
        self._store.write(group)
        self._metrics.committed(group, time.perf_counter() - began)
        self._deduplication.committed(group)

    def _is_committed(self, group: list[Batch]) -> bool:
        """Whether a write that failed was made all the same, and only the answer was lost."""
        for source_id, end in {batch.source_id: batch.checkpoint.position for batch in group}.items():
            position = self._store.position(source_id)
            if position is None or position < end:
                return False
        return True

    def _is_worth_waiting(self, error: BaseException) -> bool:
        if isinstance(error, StoreRefused) and self._ends_when_refused:
            return False
        return isinstance(error, StoreUnavailable)

    def _note_store_error(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if str(error) != self.store_error:
            log_away(error)
        self.store_error = str(error)
        self._away = _subject_of(error)


def log_away(error: BaseException | None) -> None:
    """Say that the store is away, louder when somebody has to do something about it."""
    subject = _subject_of(error)
    if isinstance(error, StoreRefused):
        log.error(f"{subject} refuses this service, trying again until it is mended", error=str(error))
    else:
        log.warning(f"{subject} is away, trying again", error=str(error))


def _subject_of(error: BaseException | None) -> str:
    return error.subject if isinstance(error, StoreUnavailable) else "the store"


def _without_refused(
    group: Sequence[Batch], error: RecordsRefused, source_id_of: Callable[[Batch], str]
) -> list[Batch]:
    """The same batches, the refused records among their rejects; raises `error` when none of them is here."""
    reasons: dict[str, dict[int, str]] = defaultdict(dict)
    for refusal in error.refusals:
        reasons[refusal.source_id][refusal.offset] = refusal.reason

    def without(batch: Batch) -> Batch:
        shipped = tuple(map(without, batch.shipped))
        reasons_here = reasons.get(source_id_of(batch))
        if reasons_here is None:
            return replace(batch, shipped=shipped) if shipped else batch
        return replace(batch, parsed=refused(batch.parsed, reasons_here), shipped=shipped)

    changed = list(map(without, group))
    if sum(map(_rejects_of, changed)) == sum(map(_rejects_of, group)):
        raise error  # or it would be written again for ever
    return changed


def _rejects_of(batch: Batch) -> int:
    return batch.parsed.rejects.height + sum(map(_rejects_of, batch.shipped))


_backoff = tenacity.wait_random_exponential(multiplier=_FIRST_RETRY_SECONDS, max=_LONGEST_RETRY_SECONDS)


def _wait_as_asked(state: tenacity.RetryCallState) -> float:
    """What the store asked for, else exponential back-off with jitter, in seconds."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, StoreUnavailable) and error.retry_after_seconds is not None:
        return error.retry_after_seconds
    return _backoff(state)
