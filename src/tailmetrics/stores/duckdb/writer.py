"""The write side of the DuckDB file: commits of rows with the positions after them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

import duckdb
import polars as pl

from tailmetrics.errors import StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch, Source
from tailmetrics.stores.duckdb import notes
from tailmetrics.stores.duckdb.changes import RecentChanges
from tailmetrics.stores.duckdb.compactor import Compactor
from tailmetrics.stores.duckdb.dictionary import Dictionary
from tailmetrics.stores.duckdb.file import DuckDBFile
from tailmetrics.stores.duckdb.positions import Positions
from tailmetrics.stores.duckdb.rows import COUNT_OF_REJECTS, RowWriter, count_omitted, omit_rejects
from tailmetrics.stores.duckdb.schema import utc_now
from tailmetrics.stores.duckdb.versions import Versions
from tailmetrics.stores.reject_limits import kept_of_source, thinned

_MANY_RECORDS = 50_000
_RECORDS_BETWEEN_GIVING_BACK = 500_000  # while more come: pages that were given back are made anew
_IDLE_MEMORY = "32MB"
_REOPENING_SECONDS = 1.0  # that queries of an invalidated database are waited for


@dataclass(slots=True)
class Counts:
    """What is in the store, in rows and lines; `commits` counts changes since it was opened."""

    records: int
    rejects: int
    blanks: int
    last_reject_id: int
    commits: int = 0


class Writer:
    """Opens the file and keeps what every commit asks for in memory: no other process may change the file.

    Whoever calls a method that writes holds `write_lock`.
    """

    def __init__(
        self, file: DuckDBFile, dictionary: Dictionary, settings: Settings, write_lock: threading.Lock
    ) -> None:
        self._write_lock = write_lock
        self._file = file
        self._dictionary = dictionary
        self._retention_days = settings.retention_days
        self._max_rejects_kept = settings.max_rejects_kept
        self.versions = Versions()
        self._counting = threading.Lock()
        self._records_since_giving_back = 0
        self._open()

    def close(self) -> None:
        self._compactor.close()
        with self._file.errors_translated():
            self._connection.close()
            self._file.close()

    @property
    def is_compacted(self) -> bool:
        """Whether all records are sorted as far as they will be while nothing is added."""
        return self._compactor.is_compacted

    @property
    def sources(self) -> Mapping[str, Source]:
        """By source id, what is durably in the file."""
        return self._positions.sources

    def position(self, source_id: str) -> int | None:
        """The byte offset up to which a source is in the file; None when it is not registered."""
        self._prepare()
        known = self.sources.get(source_id)
        return None if known is None else known.position

    def register(self, sources: Sequence[Source]) -> None:
        """Write those of the sources that are not known yet, all in one commit."""
        self._prepare()
        if self._positions.register(sources):
            self.counts.commits += 1

    def forget(self, source_ids: Sequence[str], *, with_records: bool) -> int:
        """Drop sources without a reject, and without a record unless `with_records`; returns how many."""
        self._prepare()
        return self._positions.forget(source_ids, with_records=with_records)

    def write(self, batches: Sequence[Batch]) -> None:
        """Commit all batches together or nothing of them. Raises PositionConflict."""
        self._prepare()
        moved = self._positions.after(batches)
        if not moved:
            return
        records = sum(batch.parsed.records.height for batch in batches)
        rejected = sum(batch.rejects for batch in batches)
        inserted = sum(batch.parsed.rejects.height for batch in batches)
        frames = [frame for batch in batches if (frame := batch.parsed.records).height]
        now = utc_now()
        with self._transaction([frame["customer_id"] for frame in frames]):
            self._insert(batches, now)
            self._positions.move(moved, batches, now)
        self._rows.committed()
        self._positions.committed(moved, now)
        with self._counting:
            self.counts.records += records
            self.counts.rejects += rejected
            self.counts.last_reject_id += inserted
            self.counts.blanks += sum(batch.parsed.blanks for batch in batches)
            self.counts.commits += 1
        self.changes.committed([frame["timestamp"] for frame in frames])
        self._compactor.committed(records)
        self._records_since_giving_back += records

    def keep_note(self, name: str, text: str, version: int) -> bool:
        """Replace a note of this version; False when it is of another one."""
        self._prepare()
        with self._transaction():
            return notes.replace(self._connection, name, text, version)

    def _insert(self, batches: Sequence[Batch], now: datetime) -> None:
        of_source = kept_of_source(self._max_rejects_kept)
        kept = [thinned(batch, of_source) for batch in batches]
        keys = self._positions.keys
        self._rows.insert(kept, keys, self.counts.last_reject_id + 1, now)
        rejected = {keys[batch.source_id] for batch in batches if batch.rejects}
        if rejected:
            omitted = sum(batch.rejects for batch in batches)
            omitted -= sum(batch.parsed.rejects.height for batch in kept)
            omitted += omit_rejects(self._connection, rejected, self._max_rejects_kept)
            count_omitted(self._connection, omitted)

    def give_back_memory(self, *, more_come: bool) -> None:
        """Let go of the blocks just written when they are many: DuckDB would keep as many as it may."""
        if self._records_since_giving_back >= (_RECORDS_BETWEEN_GIVING_BACK if more_come else _MANY_RECORDS):
            # A sort that is under way would be without memory, and fail.
            self._compactor.while_idle(self._lower_memory)

    def resting(self, longest_seconds: float) -> AbstractContextManager[None]:
        """Nothing is sorted meanwhile, for so long at most."""
        return self._compactor.resting(longest_seconds)

    def checkpoint(self) -> None:
        """Bring what was committed into the file itself, from any thread. Raises StoreUnavailable."""
        self._compactor.checkpoint()

    def _lower_memory(self) -> None:
        self._records_since_giving_back = 0
        # Refused while the memory is needed, which is as good.
        with contextlib.suppress(duckdb.Error):
            self._connection.execute(f"SET memory_limit = '{_IDLE_MEMORY}'")
        with self._file.errors_translated():
            self._connection.execute(f"SET memory_limit = '{self._file.memory_limit}'")

    def _open(self) -> None:
        self.changes = RecentChanges()  # a commit that failed may be in the file all the same
        self._file.open()
        try:
            with self._file.errors_translated():
                self._connection = self._file.cursor()
                self._positions = Positions(self._connection, self._transaction)
                self._rows = RowWriter(self._connection, self._dictionary)
                self.counts = self._read_counts()
            self._compactor = Compactor(self._file, self._retention_days, self._write_lock, self._expired)
        except BaseException:
            self._file.close()
            raise

    def _read_counts(self) -> Counts:
        [counts] = self._connection.execute(
            "SELECT (SELECT count(*) FROM settled) + (SELECT count(*) FROM fresh) "
            f"+ (SELECT count(*) FROM numbered), {COUNT_OF_REJECTS}, "
            "(SELECT coalesce(sum(blanks), 0)::BIGINT FROM sources), "
            "(SELECT coalesce(max(id), 0) FROM rejects)"
        ).fetchall()
        return Counts(*counts)

    def _expired(self, records: int, rejected: int) -> None:
        self.versions.all_changed()
        with self._counting:
            self.counts.records -= records
            self.counts.rejects -= rejected
            self.counts.commits += 1

    def _prepare(self) -> None:
        self.open_anew()
        self._file.check_present()

    def open_anew(self) -> None:
        """Open the file once more when DuckDB has given it up; what it holds then is the truth.

        Raises StoreUnavailable when that has to be tried again.
        """
        if self._file.invalidated is None:
            return
        commits = self.counts.commits
        self._compactor.close()
        if self._file.is_open:
            with self._file.cursors.paused(_REOPENING_SECONDS) as is_quiet:
                if not is_quiet:  # a cursor holds the old opening, and its end the lock of the new one
                    raise StoreUnavailable(f"{self._file.path} is to be opened anew, when queries have ended")
                self.close()
        self._open()
        self._file.invalidated = None
        self.counts.commits = commits + 1
        self.versions.all_changed()

    @contextlib.contextmanager
    def _transaction(self, customers: Sequence[pl.Series] = ()) -> Iterator[None]:
        """What is done in it is committed together; `customers` are those whose records it adds."""
        with self._file.errors_translated():
            try:
                self._connection.begin()
                yield
                with self.versions.changing(customers) if customers else contextlib.nullcontext():
                    self._connection.commit()
            except BaseException:
                # A commit that failed has rolled back already.
                with contextlib.suppress(duckdb.Error):
                    self._connection.rollback()
                raise
