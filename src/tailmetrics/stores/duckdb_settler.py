"""Sorting records in the background: a question about one customer then reads little but that one's rows.

A commit appends records to the table fresh as they come. Later they are sorted by customer and time into a
run of the table settled, in a transaction that adds the rows there and deletes them here: whoever asks the
view records, which is both, sees each record once. Runs are merged into one, a slice of the keys at a time.
DuckDB keeps the least and the greatest value of each column for each of its row groups, so a question that
names a customer's key passes over all others.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

import duckdb
import structlog

from tailmetrics.errors import StoreUnavailable, TailmetricsError
from tailmetrics.stores.duckdb_file import ROW_GROUP_RECORDS, DuckDBFile, errors_translated

log = structlog.get_logger(__name__)

COLUMNS = 'source_key, "offset", timestamp, customer_id, path, status_code, duration'

RUN_RECORDS = 4 * ROW_GROUP_RECORDS  # sorting so many takes half a second and little memory
_FEW_RECORDS = 2 * ROW_GROUP_RECORDS  # so many may stay unsorted for good
_MOST_FRESH = 256 * RUN_RECORDS  # then even a load at full speed has to share processor and memory
_BUSY_RECORDS_A_SECOND = 200_000
_IDLE_SECONDS = 3.0
_LOOK_SECONDS = 0.5
_IDLE_SHARE = 0.1  # of the merged run, that others may have grown to
_EXPIRED_SHARE = 0.25  # of all records, that may be deleted before their room is given back
_KEYS = 2**64
_SECONDS_BETWEEN_EXPIRIES = 60.0
_MOST_FREE = 0.25  # blocks, for each one in use
_SHORT_LOG_BYTES = 1024 * 1024
_LONG_LOG_BYTES = 8 * 1024 * 1024
_CHECKPOINT_TRIES = 50
_CHECKPOINT_REST_SECONDS = 0.1
_EXPIRY_REST = 100  # so many times as long as a delete took is waited before the next
_LONGEST_WRITE_SECONDS = 1.0
_SECONDS_AFTER_AN_ERROR = 5.0


def key_of(customer_id: str) -> str:
    """The key of a customer whose id is given by an SQL expression, as another.

    The hash is one that is the same in every version: rows outlive the program that wrote them.
    """
    return f"md5_number_lower({customer_id})"


@dataclass(frozen=True, slots=True)
class Layout:
    """How many records lie how: in the merged run, in `runs` others, and fresh; `expired` were deleted since.

    The figures decide what is done when, and may be a little wrong: deleted rows are counted together.
    """

    base: int = 0
    tail: int = 0
    runs: int = 0
    fresh: int = 0
    expired: int = 0

    def wants_seal(self, *, busy: bool, idle: bool) -> bool:
        """Whether fresh records are to be sorted into a run now."""
        if self.fresh >= _MOST_FRESH:
            return True
        return not busy and self.fresh >= (_FEW_RECORDS if idle else RUN_RECORDS)

    def wants_merge(self, *, busy: bool, idle: bool) -> bool:
        """Whether the runs are to be merged now: when the records have doubled, sooner when there is time."""
        if busy:
            return False
        grown = self.runs > 0 and self.tail >= self.base * (_IDLE_SHARE if idle else 1)
        return grown or self.expired > _EXPIRED_SHARE * (self.base + self.tail + self.fresh)


@dataclass(frozen=True, slots=True)
class _Merge:
    """One that is under way: how the records lay when it began, and the borders of the keys still to come."""

    before: Layout
    slices_left: deque[tuple[int, int]]


class Settler:
    """A thread that sorts, merges and expires records of an open file, one short transaction at a time.

    `writing` is held by whoever changes sources. `on_expired` is called with the numbers of records and
    rejects that retention has deleted.
    """

    def __init__(
        self,
        file: DuckDBFile,
        retention_days: int,
        writing: threading.Lock,
        on_expired: Callable[[int, int], None],
    ) -> None:
        """Delete what has expired, and begin. Raises StoreUnavailable and StoreError."""
        self._writing = writing
        self._file = file
        self._retention_days = retention_days
        self._on_expired = on_expired
        self._changed = threading.Condition()
        self._arrivals: deque[tuple[float, int]] = deque()
        self._ended = False
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._next_expiry = 0.0
        self._has_moved = False
        self._merging: _Merge | None = None
        self._layout = self._read_layout()
        self._expire()
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)
        self._thread.start()

    @property
    def is_settled(self) -> bool:
        """Whether all is sorted as far as it will be while nothing is added."""
        layout = self._layout
        due = layout.wants_seal(busy=False, idle=True) or layout.wants_merge(busy=False, idle=True)
        return not due and not self._has_moved and self._cursor is None

    def committed(self, records: int) -> None:
        """Note that so many records were added."""
        with self._changed:
            self._arrivals.append((time.monotonic(), records))
            self._layout = replace(self._layout, fresh=self._layout.fresh + records)

    def while_at_rest(self, action: Callable[[], None]) -> None:
        """Call `action`, unless a transaction is under way; none begins meanwhile."""
        with self._changed:
            if self._cursor is None:
                action()

    def close(self) -> None:
        """Stop at once; a transaction that is under way is undone, and made another time."""
        with self._changed:
            self._ended = True
            self._changed.notify()
            if self._cursor is not None:
                self._cursor.interrupt()
        self._thread.join()

    def _run(self) -> None:
        pause = _LOOK_SECONDS
        while self._rest(pause):
            pause = _LOOK_SECONDS if self._settle() else _SECONDS_AFTER_AN_ERROR

    def _rest(self, seconds: float) -> bool:
        """Wait; False when this is the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, seconds)
            return not self._ended

    def _settle(self) -> bool:
        """Do what is due; False when something is in the way of it."""
        try:
            self._expire()
            while not self._ended and self._step():
                self._shorten_log(_LONG_LOG_BYTES)
            self._shorten_log(_LONG_LOG_BYTES)
            if self._has_moved and not self._ended and self._pace()[1]:
                self._give_back_room()
                self._has_moved = False
        except TailmetricsError as error:
            if not self._ended:
                log.warning("records stay unsorted for now", error=str(error))
            return False
        except Exception:  # unsorted records cost time, not answers
            log.exception("records stay unsorted for now")
            return False
        return True

    def _step(self) -> bool:
        """Do the next thing that is due; False when there is none."""
        busy, idle = self._pace()
        seals = self._layout.wants_seal(busy=busy, idle=idle)
        if not seals and not self._layout.wants_merge(busy=busy, idle=idle):
            return False
        self._has_moved = True
        if seals:
            self._seal()
        else:
            self._merge()
            self._checkpoint()
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
        return lately >= _BUSY_RECORDS_A_SECOND * seconds, lately < _FEW_RECORDS

    def _seal(self) -> None:
        """Sort the oldest fresh records into a run."""
        with self._transaction() as cursor:
            [(first,)] = cursor.execute("SELECT min(rowid) FROM fresh").fetchall()
            if first is None:
                self._change_layout(fresh=-self._layout.fresh)
                return
            until = {"until": first + RUN_RECORDS}
            [(records,)] = cursor.execute(
                f"INSERT INTO settled SELECT {COLUMNS}, {key_of('customer_id')} AS key FROM fresh "
                "WHERE rowid < $until ORDER BY key, timestamp",
                until,
            ).fetchall()
            cursor.execute("DELETE FROM fresh WHERE rowid < $until", until)
            change = {"tail": records, "runs": 1} if self._layout.base else {"base": records}
            self._note_layout(cursor, **change)
        self._change_layout(fresh=-records, **change)

    def _merge(self) -> None:
        """Merge all runs into one, a slice of the keys at a time, each in a transaction of its own.

        After an error the next call goes on with the slice that it was at.
        """
        if self._merging is None:
            before = self._layout
            slices = max(1, -(-(before.base + before.tail) // RUN_RECORDS))
            borders = [number * _KEYS // slices for number in range(slices + 1)]
            self._merging = _Merge(before, deque(itertools.pairwise(borders)))
        before, slices_left = self._merging.before, self._merging.slices_left
        while slices_left:
            low, end = slices_left[0]
            self._merge_slice({"low": low, "high": end - 1})
            slices_left.popleft()
            # Commits wait for a checkpoint, which takes the longer the more has changed.
            self._shorten_log(_LONG_LOG_BYTES)
            busy, _ = self._pace()
            while busy or self._layout.wants_seal(busy=busy, idle=False):
                if self._layout.wants_seal(busy=busy, idle=False):
                    self._seal()
                elif not self._rest(_LOOK_SECONDS):
                    return
                busy, _ = self._pace()
        with self._transaction() as cursor:
            [(settled,)] = cursor.execute("SELECT count(*) FROM settled").fetchall()
            change = {
                "base": settled - self._layout.tail + before.tail - self._layout.base,
                "tail": -before.tail,
                "runs": -before.runs,
                "expired": -before.expired,
            }
            self._note_layout(cursor, **change)
        self._change_layout(**change)
        self._merging = None

    def _merge_slice(self, bounds: dict[str, int]) -> None:
        inside = "customer_key BETWEEN $low AND $high"
        with self._transaction() as cursor:
            [(last,)] = cursor.execute(f"SELECT max(rowid) FROM settled WHERE {inside}", bounds).fetchall()
            if last is None:
                return
            cursor.execute(
                f"INSERT INTO settled SELECT {COLUMNS}, customer_key FROM settled WHERE {inside} "
                "ORDER BY customer_key, timestamp",
                bounds,
            )
            # Row numbers rise: those of the rows just added are greater.
            cursor.execute(f"DELETE FROM settled WHERE {inside} AND rowid <= $last", {**bounds, "last": last})

    def _expire(self) -> None:
        """Delete records and rejects older than the retention, now and then."""
        if not self._retention_days or time.monotonic() < self._next_expiry:
            return
        began = time.monotonic()
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        oldest = {"oldest": now - timedelta(days=self._retention_days)}
        with self._transaction() as cursor:
            [(settled,)] = cursor.execute("DELETE FROM settled WHERE timestamp < $oldest", oldest).fetchall()
            [(fresh,)] = cursor.execute("DELETE FROM fresh WHERE timestamp < $oldest", oldest).fetchall()
            records = settled + fresh
            [(rejects,)] = cursor.execute("DELETE FROM rejects WHERE seen_at < $oldest", oldest).fetchall()
            self._note_layout(cursor, expired=records)
        self._change_layout(expired=records)
        if records or rejects:
            self._on_expired(records, rejects)
        # A delete looks through the whole table.
        took = time.monotonic() - began
        self._next_expiry = time.monotonic() + max(_SECONDS_BETWEEN_EXPIRIES, _EXPIRY_REST * took)

    def _give_back_room(self) -> None:
        """Make the file smaller when much of it is free.

        DuckDB takes free blocks from the front, and cuts the file behind the last one in use: what was
        written last is written once more.
        """
        self._shorten_log(_SHORT_LOG_BYTES)
        if self._is_roomy():
            self._seal()  # the newest records, few as they are, would hold the end of the file
            self._merge()
            self._checkpoint()
            self._move_sources()
            self._checkpoint()

    def _shorten_log(self, most_bytes: int) -> None:
        """Bring what the write-ahead log holds into the file, when it is longer than that."""
        if self._file.log_bytes() > most_bytes:
            self._checkpoint()

    def _checkpoint(self) -> None:
        """Bring the log into the file, so that the blocks of deleted rows can be used again.

        Refused while somebody writes, so it may take some tries.
        """
        for _ in range(_CHECKPOINT_TRIES):
            with contextlib.suppress(duckdb.Error), contextlib.closing(self._file.cursor()) as cursor:
                cursor.execute("CHECKPOINT")
                return
            if not self._rest(_CHECKPOINT_REST_SECONDS):
                return

    def _move_sources(self) -> None:
        """Write the sources anew: they may hold the end of the file.

        An update does not move the columns that it does not change.
        """
        if not self._writing.acquire(timeout=_LONGEST_WRITE_SECONDS):
            return
        try:
            with self._transaction() as cursor:
                cursor.execute("CREATE TEMP TABLE kept AS SELECT * FROM sources")
                cursor.execute("DELETE FROM sources")
                cursor.execute("INSERT INTO sources SELECT * FROM kept")
                cursor.execute("DROP TABLE kept")
        finally:
            self._writing.release()

    def _is_roomy(self) -> bool:
        with self._transaction() as cursor:
            [(free, used)] = cursor.execute(
                "SELECT free_blocks, used_blocks FROM pragma_database_size() "
                "WHERE database_name = current_database()"
            ).fetchall()
        return bool(free > _MOST_FREE * used)

    def _read_layout(self) -> Layout:
        with self._transaction() as cursor:
            [row] = cursor.execute(
                "SELECT base, tail, runs, (SELECT count(*) FROM fresh), expired FROM layout"
            ).fetchall()
        return Layout(*row)

    def _note_layout(self, cursor: duckdb.DuckDBPyConnection, **change: int) -> None:
        sums = ", ".join(f"{column} = greatest(0, {column} + ${column})" for column in change)
        cursor.execute(f"UPDATE layout SET {sums}", change)

    def _change_layout(self, **change: int) -> None:
        with self._changed:
            now = {column: max(0, getattr(self._layout, column) + by) for column, by in change.items()}
            self._layout = replace(self._layout, **now)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with errors_translated(), contextlib.closing(self._file.cursor()) as cursor:
            with self._changed:
                if self._ended:
                    raise StoreUnavailable("the store is being closed")
                self._cursor = cursor
            try:
                cursor.begin()
                yield cursor
                cursor.commit()
            finally:
                with self._changed:
                    self._cursor = None
