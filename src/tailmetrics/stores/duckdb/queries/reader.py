"""Queries to the DuckDB file on one snapshot: a cursor, and a way to stop them from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from nanoarrow import c_array_stream

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.duckdb.connections import Cursors
from tailmetrics.stores.duckdb.file import DuckDBFile
from tailmetrics.stores.duckdb.queries.conditions import Condition

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_Result = TypeVar("_Result")

_ROWS_AT_ONCE = 2048
MOST_ROWS = 500_000  # that are read as rows


class Reader:
    """Runs the statements of queries, one query at a time, all on the state after the same commit.

    `records` is how many there were in the file a moment ago.
    """

    def __init__(self, file: DuckDBFile, records: int) -> None:
        self.records = records
        self._file = file
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._cursors: Cursors | None = None
        self._cursor: DuckDBPyConnection | None = None
        self._stopped: str | None = None

    def answer(self, query: Callable[[Reader], _Result]) -> _Result:
        """Call `query` with this reader, for which it is the only one. Raises as `ask` does."""
        try:
            return self.ask(query)
        finally:
            self.close()

    def ask(self, query: Callable[[Reader], _Result]) -> _Result:
        """Call `query` with this reader. Raises StoreUnavailable when it was stopped meanwhile."""
        with self._turn:
            self._check_going_on()
            if self._cursor is None:
                self._begin()
            return query(self)

    def close(self) -> None:
        """Give the cursor back when the last query has ended."""
        with self._turn, self._lock:
            cursor, self._cursor = self._cursor, None
            if cursor is not None and self._cursors is not None:
                self._cursors.give_back(cursor)

    def _begin(self) -> None:
        with self._stoppable():
            self._cursors = self._file.cursors
            cursor = self._cursors.borrow()
            with self._lock:
                self._cursor = cursor
            self._check_going_on()
            cursor.begin()

    def run(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows that a statement gives; parameters are named."""

        def fetch(cursor: DuckDBPyConnection) -> list[tuple[Any, ...]]:
            cursor.execute(sql, dict(parameters or {}))
            rows: list[tuple[Any, ...]] = []
            while some := cursor.fetchmany(_ROWS_AT_ONCE):  # in between other threads have their turns
                rows += some
            return rows

        return self._fetched(fetch)

    def columns(self, sql: str, parameters: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        """The same as an array for each column, masked where there are nulls: quick for numbers only."""

        def fetch(cursor: DuckDBPyConnection) -> dict[str, npt.NDArray[Any]]:
            found: dict[str, npt.NDArray[Any]] = cursor.execute(sql, dict(parameters)).fetchnumpy()
            return found

        return self._fetched(fetch)

    def frame(self, sql: str, parameters: Mapping[str, Any]) -> pl.DataFrame:
        """The same as a frame, texts as well."""
        # Polars would keep the class of the relation itself: DuckDB complains when the process ends.
        return self._fetched(
            lambda cursor: pl.DataFrame(c_array_stream(cursor.sql(sql, params=dict(parameters))))
        )

    def begin_again(self) -> None:
        """Leave a transaction that an error has ended, for the state of now."""
        if self._cursor is not None:
            with self._stoppable():
                self._cursor.rollback()
                self._cursor.begin()

    def stop(self, reason: str) -> None:
        """End the query as soon as can be, from any thread; the first reason is the one that is given."""
        with self._lock:
            if self._stopped is None:
                self._stopped = reason
            if self._cursor is not None:
                self._cursor.interrupt()

    def _fetched(self, fetch: Callable[[DuckDBPyConnection], _Result]) -> _Result:
        """All that a statement gives, of which nothing was moved meanwhile."""
        cursor = self._cursor
        if cursor is None:
            raise StoreUnavailable("the question has ended")
        self._check_going_on()
        with self._stoppable():
            return self._file.moves.undisturbed(lambda: fetch(cursor), self._check_going_on)

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Errors as those of the package; the reason for the stop, when it was stopped meanwhile."""
        try:
            with self._file.errors_translated():
                yield
        except StoreUnavailable:
            self._check_going_on()
            raise
        self._check_going_on()

    def _check_going_on(self) -> None:
        if self._stopped is not None:
            raise StoreUnavailable(self._stopped)


def few_rows(reader: Reader, columns: str, where: Condition) -> pl.DataFrame | None:
    """These columns, of numbers, of the records that a condition selects; None when they are too many.

    Planning a statement that groups and ranks costs DuckDB more than reading some ten thousand rows; a plain
    selection is planned at once, and the aggregates of so many rows take a few milliseconds.
    """
    sql = f"SELECT {columns} FROM {where.view} WHERE {where.sql} LIMIT {MOST_ROWS + 1}"
    found = reader.columns(sql, where.parameters)
    rows = pl.DataFrame({name: _series(values) for name, values in found.items()})
    return None if rows.height > MOST_ROWS else rows


def _series(values: npt.NDArray[Any]) -> pl.Series:
    series = pl.Series(np.ma.getdata(values))
    return series.set(pl.Series(np.ma.getmaskarray(values)), None) if np.ma.is_masked(values) else series
