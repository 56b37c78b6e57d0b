"""Sorting records in the background: a query about one customer then reads little but that one's rows.

A commit appends records as they come: to the table fresh, or, many at once, to the table numbered, which has
numbers for customers and paths. Later they are sorted by customer and time into a run of the table settled,
in a transaction that adds the rows there and deletes them here: whoever asks the view records, which is all
three, sees each record once. Runs are merged into one, a slice of the keys at a time; many runs in stages.
DuckDB keeps the least and the greatest value of each column for each of its row groups, so a query that
names a customer's key passes over all others.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import duckdb

from tailmetrics.errors import StoreUnavailable, TailmetricsError
from tailmetrics.stores.duckdb import layout
from tailmetrics.stores.duckdb.file import DuckDBFile
from tailmetrics.stores.duckdb.layout import TABLES
from tailmetrics.stores.duckdb.merge import (
    Merge,
    delete_rows,
    first_time,
    note_deleted,
    read_layout,
    sort_run,
)
from tailmetrics.stores.duckdb.rows import expire_rejects
from tailmetrics.stores.duckdb.schema import utc_now
from tailmetrics.stores.duckdb.vacuum import Vacuum
from tailmetrics.stores.retention import log_deleted
from tailmetrics.telemetry.log import EventLog

log = EventLog()

_BUSY_RECORDS_A_SECOND = 200_000
_IDLE_SECONDS = 3.0
_LOOK_SECONDS = 0.5
_SECONDS_AFTER_AN_ERROR = 5.0
_SECONDS_BETWEEN_EXPIRIES = 60.0
_EXPIRY_REST = 100  # so many times as long as a delete took is waited before the next
_LONGEST_WRITE_SECONDS = 1.0
_SHORT_LOG_BYTES = 1024 * 1024
_LONG_LOG_BYTES = 8 * 1024 * 1024
_MOST_PASSES = 4  # over all records, to make the file smaller
_SECONDS_BETWEEN_PASSES = 10.0


class Compactor:
    """A thread that sorts, merges and expires records of an open file, one short transaction at a time.

    `write_lock` is held by whoever changes sources or deletes rejects. `on_expired` is called with the
    numbers of records and rejects that retention has deleted.
    """

    def __init__(
        self,
        file: DuckDBFile,
        retention_days: int,
        write_lock: threading.Lock,
        on_expired: Callable[[int, int], None],
    ) -> None:
        """Delete what has expired, and begin. Raises StoreUnavailable and StoreError."""
        self._file = file
        self._write_lock = write_lock
        self._vacuum = Vacuum(file, write_lock, self._transaction, self._wait)
        self._retention_days = retention_days
        self._on_expired = on_expired
        self._changed = threading.Condition()
        self._arrivals: deque[tuple[float, int]] = deque()
        self._ended = False
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._rests_until = 0.0
        self._next_expiry = 0.0
        self._has_moved = True  # what the last process had no time for
        self._passes_left = _MOST_PASSES
        self._next_pass = 0.0
        self._merging: Merge | None = None
        self._said: str | None = None  # of what is in the way, so that it is said once
        with self._transaction() as cursor:
            self._layout = read_layout(cursor)
        self._run_numbers = itertools.count(max(self._layout.runs, default=0) + 1)
        self._expire()
        self._thread = threading.Thread(target=self._run, name="compactor", daemon=True)
        self._thread.start()

    @property
    def is_compacted(self) -> bool:
        """Whether all is sorted as far as it will be while nothing is added."""
        layout = self._layout
        due = layout.wants_sort(busy=False, idle=True) or layout.wants_merge(busy=False, idle=True)
        return not due and self._merging is None and not self._has_moved and self._cursor is None

    def committed(self, records: int) -> None:
        """Note that so many records were added."""
        with self._changed:
            self._arrivals.append((time.monotonic(), records))
            self._layout = self._layout.changed(unsorted=records)

    def while_idle(self, action: Callable[[], None]) -> None:
        """Call `action`, unless a transaction is under way; none begins meanwhile."""
        with self._changed:
            if self._cursor is None:
                action()

    @contextlib.contextmanager
    def resting(self, longest_seconds: float) -> Iterator[None]:
        """Begin no transaction for so long at most; one that is under way is waited for as long."""
        with self._changed:
            self._rests_until = time.monotonic() + longest_seconds
            self._changed.wait_for(lambda: self._cursor is None, longest_seconds)
        try:
            yield
        finally:
            with self._changed:
                self._rests_until = 0.0
                self._changed.notify_all()

    def checkpoint(self) -> None:
        """Bring the log into the file, from any thread; raises as `Vacuum.checkpoint` does."""
        self._vacuum.checkpoint()

    def close(self) -> None:
        """Stop at once; a transaction that is under way is undone, and made another time."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            if self._cursor is not None:
                self._cursor.interrupt()
        self._thread.join()

    def _run(self) -> None:
        pause = _LOOK_SECONDS
        while self._wait(pause):
            pause = _LOOK_SECONDS if self._compact() else _SECONDS_AFTER_AN_ERROR

    def _wait(self, seconds: float) -> bool:
        """False when this is the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, seconds)
            return not self._ended

    def _compact(self) -> bool:
        """Do what is due; False when something is in the way of it."""
        try:
            self._vacuum.check_file()
            self._expire()
            while not self._ended and self._step():
                self._vacuum.shorten_log(_LONG_LOG_BYTES)
            self._vacuum.shorten_log(_LONG_LOG_BYTES)
            if self._has_moved and not self._ended and self._pace()[1]:
                self._has_moved = not self._give_back_room()
        except TailmetricsError as error:
            if not self._ended and str(error) != self._said:
                self._said = str(error)
                log.warning("records stay unsorted for now", error=self._said)
            return False
        except Exception:  # unsorted records cost time, not answers
            log.exception("records stay unsorted for now")
            return False
        self._said = None
        return True

    def _step(self) -> bool:
        """Do the next thing that is due; False when there is none."""
        busy, idle = self._pace()
        wants_sort = self._layout.wants_sort(busy=busy, idle=idle)
        runs = self._layout.wants_merge(busy=busy, idle=idle)
        if not (wants_sort or runs or self._merging):
            return False
        self._has_moved, self._passes_left = True, _MOST_PASSES
        if wants_sort:
            self._sort()
        else:
            self._merge(runs)
            self._vacuum.checkpoint()
        return True

    def _pace(self) -> tuple[bool, bool]:
        """Whether records come at the speed of a load, and whether hardly any come."""
        with self._changed:
            now = time.monotonic()
            while self._arrivals and self._arrivals[0][0] < now - _IDLE_SECONDS:
                self._arrivals.popleft()
            lately = sum(records for _, records in self._arrivals)
            # A load is known as one from its beginning.
            seconds = max(_LOOK_SECONDS, now - self._arrivals[0][0]) if self._arrivals else _IDLE_SECONDS
        return lately >= _BUSY_RECORDS_A_SECOND * seconds, lately < layout.FEW_RECORDS

    def _sort(self) -> None:
        """Sort the records that came first into a run."""
        run = next(self._run_numbers)
        with self._transaction() as cursor:
            records = sort_run(cursor, run)
        with self._changed:
            if records:
                self._layout = self._layout.changed(unsorted=-records, runs={run: records})
            else:
                self._layout = self._layout.changed(unsorted=-self._layout.unsorted)

    def _merge(self, runs: Sequence[int], log_bytes: int = _LONG_LOG_BYTES) -> None:
        """Merge runs into one, a slice at a time, each in a transaction of its own.

        One that failed goes on first, with the slice that it was at. The blocks of what was moved are used
        again after a checkpoint, which comes when the log is longer than `log_bytes`.
        """
        if self._merging is None:
            layout = self._layout
            records = sum(layout.runs[run] for run in runs)
            deleted = layout.deleted if len(runs) == len(layout.runs) else 0
            self._merging = Merge(runs, next(self._run_numbers), records, deleted)
        merging = self._merging
        while not merging.is_over:
            with self._transaction() as cursor:
                merging.move(cursor)
            merging.moved()
            # Commits wait for a checkpoint, which takes the longer the more has changed.
            self._vacuum.shorten_log(log_bytes)
            if not self._give_way():
                return
        with self._transaction() as cursor:
            records = merging.finish(cursor)
            note_deleted(cursor, -merging.deleted)
        with self._changed:
            self._layout = self._layout.changed(
                runs={merging.target: records}, gone=merging.sources, deleted=-merging.deleted
            )
        self._merging = None

    def _give_way(self) -> bool:
        """Sort what came meanwhile, and wait while a load is under way; False when this is the end."""
        while True:
            busy, _ = self._pace()
            if self._layout.wants_sort(busy=busy, idle=False):
                self._sort()
            elif not busy:
                return True
            elif not self._wait(_LOOK_SECONDS):
                return False

    def _expire(self) -> None:
        """Delete records and rejects older than the retention, now and then."""
        if not self._retention_days or time.monotonic() < self._next_expiry:
            return
        began = time.monotonic()
        oldest = {"oldest": utc_now() - timedelta(days=self._retention_days)}
        with self._transaction() as cursor:
            first = first_time(cursor)
            records = sum(delete_rows(cursor, table, "timestamp < $oldest", oldest) for table in TABLES)
            note_deleted(cursor, records)
        rejected = self._expire_rejects(oldest["oldest"])
        with self._changed:
            self._layout = self._layout.changed(deleted=records)
        if records or rejected:
            self._on_expired(records, rejected)
            log_deleted(self._retention_days, oldest["oldest"], first if records else None, records, rejected)
        # A delete looks through the whole table.
        took = time.monotonic() - began
        self._next_expiry = time.monotonic() + max(_SECONDS_BETWEEN_EXPIRIES, _EXPIRY_REST * took)

    def _expire_rejects(self, oldest: datetime) -> int:
        """How many were deleted; none while a commit, which deletes rejects too, takes long."""
        if not self._write_lock.acquire(timeout=_LONGEST_WRITE_SECONDS):
            return 0
        try:
            with self._transaction() as cursor:
                return expire_rejects(cursor, oldest)
        finally:
            self._write_lock.release()

    def _give_back_room(self) -> bool:
        """Make the file smaller when much of it is free; False when that has to be tried again.

        What was written last is written once more, and again, as queries that go on meanwhile keep blocks in
        use.
        """
        if time.monotonic() < self._next_pass:
            return False
        self._vacuum.shorten_log(_SHORT_LOG_BYTES)
        while self._vacuum.drop_deleted(self._layout):
            if self._passes_left == 0 or not self._vacuum.is_roomy():
                return True
            self._passes_left -= 1
            size = self._file.size()
            self._sort()  # the newest records, few as they are, would hold the end of the file
            self._merge(sorted(self._layout.runs), _SHORT_LOG_BYTES)
            self._vacuum.checkpoint()
            self._vacuum.move_small_tables()
            self._vacuum.checkpoint()
            if self._file.size() >= size:
                break
        self._next_pass = time.monotonic() + _SECONDS_BETWEEN_PASSES
        return False

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._file.errors_translated(), contextlib.closing(self._file.cursor()) as cursor:
            with self._changed:
                while not self._ended and (rest := self._rests_until - time.monotonic()) > 0:
                    self._changed.wait(rest)
                self._check_going_on()
                self._cursor = cursor
            try:
                cursor.begin()
                yield cursor
                with self._file.moves.moving(self._check_going_on):
                    cursor.commit()
            finally:
                with self._changed:
                    self._cursor = None
                    self._changed.notify_all()

    def _check_going_on(self) -> None:
        if self._ended:
            raise StoreUnavailable("the store is being closed")
