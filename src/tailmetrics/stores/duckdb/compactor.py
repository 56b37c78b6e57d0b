"""Sorting records in the background: a question about one customer then reads little but that one's rows.

A commit appends records as they come: to the table fresh, or, many at once, to the table numbered, which has
numbers for customers and paths. Later they are sorted by customer and time into a run of the table settled,
in a transaction that adds the rows there and deletes them here: whoever asks the view records, which is all
three, sees each record once. Runs are merged into one, a slice of the keys at a time; many runs in stages.
DuckDB keeps the least and the greatest value of each column for each of its row groups, so a question that
names a customer's key passes over all others.
"""

from __future__ import annotations

import contextlib
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import duckdb

from tailmetrics.errors import StoreError, StoreUnavailable, TailmetricsError
from tailmetrics.stores.duckdb import layout
from tailmetrics.stores.duckdb.file import DuckDBFile, errors_translated
from tailmetrics.stores.duckdb.layout import COLUMNS, TABLES, UNSORTED, Layout, key_of
from tailmetrics.stores.duckdb.merge import Merge, note_run
from tailmetrics.telemetry.log import EventLog

log = EventLog()

_BUSY_RECORDS_A_SECOND = 200_000
_IDLE_SECONDS = 3.0
_LOOK_SECONDS = 0.5
_SECONDS_BETWEEN_EXPIRIES = 60.0
_MOST_FREE = 0.25  # blocks, for each one in use
_FEW_FREE = 4  # blocks, that are not worth anything
_SHORT_LOG_BYTES = 1024 * 1024
_LONG_LOG_BYTES = 8 * 1024 * 1024
_MOST_DELETED = 0.05  # records that are still in the file, for each one there
_DROP_TRIES = 3
_MOST_PASSES = 4  # over all records, to make the file smaller
_SECONDS_BETWEEN_PASSES = 10.0
_QUIET_SECONDS = 0.1  # that a checkpoint waits for questions to end
_CHECKPOINT_TRIES = 50
_CHECKPOINT_REST_SECONDS = 0.1
_EXPIRY_REST = 100  # so many times as long as a delete took is waited before the next
_LONGEST_WRITE_SECONDS = 1.0
_SECONDS_AFTER_AN_ERROR = 5.0


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
        self._has_moved = True  # what the last process had no time for
        self._passes_left = _MOST_PASSES
        self._next_pass = 0.0
        self._merging: Merge | None = None
        self._layout = self._read_layout()
        self._last_run = max(self._layout.runs, default=0)
        self._expire()
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)
        self._thread.start()

    @property
    def is_settled(self) -> bool:
        """Whether all is sorted as far as it will be while nothing is added."""
        layout = self._layout
        due = layout.wants_seal(busy=False, idle=True) or layout.wants_merge(busy=False, idle=True)
        return not due and self._merging is None and not self._has_moved and self._cursor is None

    def committed(self, records: int) -> None:
        """Note that so many records were added."""
        with self._changed:
            self._arrivals.append((time.monotonic(), records))
            self._layout = replace(self._layout, unsorted=self._layout.unsorted + records)

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
                self._has_moved = not self._give_back_room()
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
        if self._layout.wants_seal(busy=busy, idle=idle):
            self._begin_to_move()
            self._seal()
        elif (runs := self._layout.wants_merge(busy=busy, idle=idle)) or self._merging:
            self._begin_to_move()
            self._merge(runs)
            self._checkpoint()
        else:
            return False
        return True

    def _begin_to_move(self) -> None:
        self._has_moved = True
        self._passes_left = _MOST_PASSES

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

    def _seal(self) -> None:
        """Sort records into a run, of each table those that came first."""
        run = self._next_run()
        with self._transaction() as cursor:
            until = _ends_of_run(cursor)
            [(records,)] = cursor.execute(
                f"INSERT INTO settled SELECT {COLUMNS}, {key_of('customer_id')} AS key, $run FROM ("
                f"SELECT {COLUMNS} FROM fresh WHERE rowid < $fresh "
                f"UNION ALL SELECT {COLUMNS} FROM named WHERE place < $numbered"
                ") ORDER BY key, timestamp",
                {**until, "run": run},
            ).fetchall()
            deleted = sum(
                _delete(cursor, table, "rowid < $end", {"end": end}) for table, end in until.items()
            )
            if deleted != records:
                raise StoreError(f"found the names of {records} of {deleted} records, expected those of all")
            if not records:
                self._change_layout(unsorted=-self._layout.unsorted)
                return
            note_run(cursor, run, records)
        self._change_layout(unsorted=-records, runs={run: records})

    def _merge(self, runs: Sequence[int], log_bytes: int = _LONG_LOG_BYTES) -> None:
        """Merge runs into one, a slice at a time, each in a transaction of its own.

        One that failed goes on first, with the slice that it was at. The blocks of what was moved are used
        again after a checkpoint, which comes when the log is longer than `log_bytes`.
        """
        if self._merging is None:
            layout = self._layout
            records = sum(layout.runs[run] for run in runs)
            deleted = layout.deleted if len(runs) == len(layout.runs) else 0
            self._merging = Merge(runs, self._next_run(), records, deleted)
        merging = self._merging
        while not merging.is_over:
            with self._transaction() as cursor:
                merging.move(cursor)
            merging.moved()
            # Commits wait for a checkpoint, which takes the longer the more has changed.
            self._shorten_log(log_bytes)
            busy, _ = self._pace()
            while busy or self._layout.wants_seal(busy=busy, idle=False):
                if self._layout.wants_seal(busy=busy, idle=False):
                    self._seal()
                elif not self._rest(_LOOK_SECONDS):
                    return
                busy, _ = self._pace()
        with self._transaction() as cursor:
            records = merging.finish(cursor)
            _note_deleted(cursor, -merging.deleted)
        self._change_layout(runs={merging.target: records}, gone=merging.sources, deleted=-merging.deleted)
        self._merging = None

    def _expire(self) -> None:
        """Delete records and rejects older than the retention, now and then."""
        if not self._retention_days or time.monotonic() < self._next_expiry:
            return
        began = time.monotonic()
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        oldest = {"oldest": now - timedelta(days=self._retention_days)}
        with self._transaction() as cursor:
            records = sum(_delete(cursor, table, "timestamp < $oldest", oldest) for table in TABLES)
            rejects = _delete(cursor, "rejects", "seen_at < $oldest", oldest)
            _note_deleted(cursor, records)
        self._change_layout(deleted=records)
        if records or rejects:
            self._on_expired(records, rejects)
        # A delete looks through the whole table.
        took = time.monotonic() - began
        self._next_expiry = time.monotonic() + max(_SECONDS_BETWEEN_EXPIRIES, _EXPIRY_REST * took)

    def _give_back_room(self) -> bool:
        """Make the file smaller when much of it is free; False when that has to be tried again.

        DuckDB takes free blocks from the front, and cuts the file behind the last one in use: what was
        written last is written once more, and again, as questions that go on meanwhile keep blocks in use.
        """
        if time.monotonic() < self._next_pass:
            return False
        self._shorten_log(_SHORT_LOG_BYTES)
        while self._drop_deleted():
            if self._passes_left == 0 or not self._is_roomy():
                return True
            self._passes_left -= 1
            size = self._file.size()
            self._seal()  # the newest records, few as they are, would hold the end of the file
            self._merge(sorted(self._layout.runs), _SHORT_LOG_BYTES)
            self._checkpoint()
            self._move_small_tables()
            self._checkpoint()
            if self._file.size() >= size:
                break
        self._next_pass = time.monotonic() + _SECONDS_BETWEEN_PASSES
        return False

    def _drop_deleted(self) -> bool:
        """Drop row groups of which all records were moved; False when somebody reads them all the time.

        A checkpoint keeps them while an older transaction is open, and looks at them again only when rows
        of some table came or went.
        """
        for _ in range(_DROP_TRIES):
            with self._transaction() as cursor:
                if not self._holds_deleted(cursor):
                    return True
                cursor.execute("DELETE FROM runs")
                for run, records in self._layout.runs.items():
                    note_run(cursor, run, records)
            self._checkpoint()
        return False

    def _holds_deleted(self, cursor: duckdb.DuckDBPyConnection) -> bool:
        """Whether the file holds many more records than there are, and than were deleted here and there.

        Some stay in the row group that the first of the new ones share with the last of the old ones.
        """
        [(stored, there)] = cursor.execute(
            "SELECT estimated_size, (SELECT count(*) FROM settled) FROM duckdb_tables() "
            "WHERE database_name = current_database() AND table_name = 'settled'"
        ).fetchall()
        return bool(stored - there - self._layout.deleted > _MOST_DELETED * there + layout.RUN_RECORDS)

    def _shorten_log(self, most_bytes: int) -> None:
        """Bring what the write-ahead log holds into the file, when it is longer than that."""
        if self._file.log_bytes() > most_bytes:
            self._checkpoint()

    def _checkpoint(self) -> None:
        """Bring the log into the file, so that the blocks of deleted rows can be used again.

        Refused while somebody writes, so it may take some tries. Questions wait for it: what one that is
        going on could read is not dropped.
        """
        for _ in range(_CHECKPOINT_TRIES):
            with (
                contextlib.suppress(duckdb.Error),
                self._file.cursors.kept_back(_QUIET_SECONDS),
                contextlib.closing(self._file.cursor()) as cursor,
            ):
                cursor.execute("CHECKPOINT")
                return
            if not self._rest(_CHECKPOINT_REST_SECONDS):
                return

    def _move_small_tables(self) -> None:
        """Write sources and names anew: they may hold the end of the file.

        An update does not move the columns that it does not change.
        """
        if not self._writing.acquire(timeout=_LONGEST_WRITE_SECONDS):
            return
        try:
            with self._transaction() as cursor:
                for table in ("sources", "names"):
                    cursor.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {table}")
                    cursor.execute(f"DELETE FROM {table}")
                    cursor.execute(f"INSERT INTO {table} SELECT * FROM kept")
                    cursor.execute("DROP TABLE kept")
        finally:
            self._writing.release()

    def _is_roomy(self) -> bool:
        with self._transaction() as cursor:
            [(free, used)] = cursor.execute(
                "SELECT free_blocks, used_blocks FROM pragma_database_size() "
                "WHERE database_name = current_database()"
            ).fetchall()
        return bool(free > _MOST_FREE * used + _FEW_FREE)

    def _read_layout(self) -> Layout:
        with self._transaction() as cursor:
            runs = cursor.execute("SELECT run, sum(records)::BIGINT FROM runs GROUP BY run").fetchall()
            [(unsorted, deleted)] = cursor.execute(
                "SELECT (SELECT count(*) FROM fresh) + (SELECT count(*) FROM numbered), "
                "(SELECT records FROM deleted)"
            ).fetchall()
        return Layout(dict(runs), unsorted, deleted)

    def _next_run(self) -> int:
        """A number that is greater than all others."""
        self._last_run += 1
        return self._last_run

    def _change_layout(
        self,
        *,
        runs: Mapping[int, int] = types.MappingProxyType({}),
        gone: Sequence[int] = (),
        unsorted: int = 0,
        deleted: int = 0,
    ) -> None:
        """Add runs, take runs away, and change the other figures by so many."""
        with self._changed:
            now = self._layout
            kept = {run: records for run, records in {**now.runs, **runs}.items() if run not in gone}
            self._layout = Layout(kept, max(0, now.unsorted + unsorted), max(0, now.deleted + deleted))

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


def _ends_of_run(cursor: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """By each table the row id before which are its records of the next run."""
    until, left = {}, layout.RUN_RECORDS
    for table in UNSORTED:
        [(first, end)] = cursor.execute(
            f"SELECT min(rowid), least(max(rowid) + 1, min(rowid) + $left) FROM {table}", {"left": left}
        ).fetchall()
        until[table] = end or 0
        left -= until[table] - (first or 0)
    return until


def _delete(
    cursor: duckdb.DuckDBPyConnection, table: str, condition: str, parameters: Mapping[str, int | datetime]
) -> int:
    """Delete the rows of a table for which an SQL condition holds; returns how many."""
    [(gone,)] = cursor.execute(f"DELETE FROM {table} WHERE {condition}", dict(parameters)).fetchall()
    return int(gone)


def _note_deleted(cursor: duckdb.DuckDBPyConnection, records: int) -> None:
    if records:
        cursor.execute("UPDATE deleted SET records = greatest(0, records + $records)", {"records": records})
