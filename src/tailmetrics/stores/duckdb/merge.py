"""Sorted runs of a DuckDB file: unsorted records become one, and several become one, a slice at a time."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from tailmetrics.errors import StoreError
from tailmetrics.stores.duckdb import layout
from tailmetrics.stores.duckdb.layout import COLUMNS, TABLES, UNSORTED, Layout, key_of

_KEYS = 2**64
_MOST_RUNS_IN_SLICE = 3  # keys are hashes, so that equal shares of them have about as many records


@dataclass(frozen=True, slots=True)
class Slice:
    """The records with keys from `low` to `high`, from the time `since` on and before `until`, if given."""

    low: int
    high: int
    since: datetime | None = None
    until: datetime | None = None

    @property
    def condition(self) -> str:
        """As SQL, with `bounds` as its parameters."""
        since = "" if self.since is None else " AND timestamp >= $since"
        until = "" if self.until is None else " AND timestamp < $until"
        return f"customer_key BETWEEN $low AND $high{since}{until}"

    @property
    def bounds(self) -> dict[str, int | datetime]:
        bounds = {"low": self.low, "high": self.high, "since": self.since, "until": self.until}
        return {name: value for name, value in bounds.items() if value is not None}


class Merge:
    """One that is under way: the runs that are merged, the one they become, and the slices still to come.

    `deleted` of the records that are counted as deleted have left no gaps when it is over. A method that
    takes a cursor is called in a transaction; when that of `move` is committed, `moved` is called.
    """

    def __init__(self, sources: Sequence[int], target: int, records: int, deleted: int) -> None:
        self.sources = sources
        self.target = target
        self.deleted = deleted
        slices = max(1, -(-records // layout.RUN_RECORDS))
        borders = [number * _KEYS // slices for number in range(slices + 1)]
        self._left = deque(Slice(low, end - 1) for low, end in itertools.pairwise(borders))

    @property
    def is_over(self) -> bool:
        return not self._left

    def move(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Write the records of the next slice into the new run, in its order."""
        part = self._next(cursor)
        inside = self._inside(part)
        [(records,)] = cursor.execute(
            f"INSERT INTO settled SELECT {COLUMNS}, customer_key, $target FROM settled "
            f"WHERE {inside} ORDER BY customer_key, timestamp",
            {**part.bounds, "target": self.target},
        ).fetchall()
        if records:
            cursor.execute(f"DELETE FROM settled WHERE {inside}", part.bounds)
            note_run(cursor, self.target, records)

    def moved(self) -> None:
        self._left.popleft()

    def finish(self, cursor: duckdb.DuckDBPyConnection) -> int:
        """Note that the runs have become one; returns the number of its records."""
        cursor.execute(f"DELETE FROM runs WHERE {self._are_sources}")
        [(records,)] = cursor.execute(
            "SELECT coalesce(sum(records), 0)::BIGINT FROM runs WHERE run = $run", {"run": self.target}
        ).fetchall()
        return int(records)

    def _next(self, cursor: duckdb.DuckDBPyConnection) -> Slice:
        """The next slice, cut until it is short: a customer may have more records than all others."""
        while True:
            part = self._left[0]
            inside = self._inside(part)
            [(records, first, last)] = cursor.execute(
                f"SELECT count(*), min(timestamp), max(timestamp) FROM settled WHERE {inside}", part.bounds
            ).fetchall()
            if records <= _MOST_RUNS_IN_SLICE * layout.RUN_RECORDS:
                return part
            if part.low < part.high:
                keys = cursor.execute(
                    f"SELECT customer_key, count(*) FROM settled WHERE {inside} GROUP BY ALL ORDER BY ALL",
                    part.bounds,
                ).fetchall()
                parts = list(_by_keys(keys))
            elif first < last:
                parts = list(_by_times(part, records, first, last))
            else:
                return part
            self._left.popleft()
            self._left.extendleft(reversed(parts))

    def _inside(self, part: Slice) -> str:
        return f"{self._are_sources} AND {part.condition}"

    @property
    def _are_sources(self) -> str:
        # There is none when retention has deleted all; not every version takes an empty list.
        return f"run IN ({', '.join(map(str, self.sources))})" if self.sources else "false"


def sort_run(cursor: duckdb.DuckDBPyConnection, run: int) -> int:
    """Sort records into a run, of each table those that came first; returns how many.

    Raises StoreError, and the transaction is to be undone, when one would be lost.
    """
    until = _ends_of_run(cursor)
    [(records,)] = cursor.execute(
        f"INSERT INTO settled SELECT {COLUMNS}, {key_of('customer_id')} AS key, $run FROM ("
        f"SELECT {COLUMNS} FROM fresh WHERE rowid < $fresh "
        f"UNION ALL SELECT {COLUMNS} FROM named WHERE place < $numbered"
        ") ORDER BY key, timestamp",
        {**until, "run": run},
    ).fetchall()
    deleted = sum(delete_rows(cursor, table, "rowid < $end", {"end": end}) for table, end in until.items())
    if deleted != records:
        raise StoreError(f"found the names of {records} of {deleted} records, expected those of all")
    if records:
        note_run(cursor, run, records)
    return int(records)


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


def delete_rows(
    cursor: duckdb.DuckDBPyConnection, table: str, condition: str, parameters: Mapping[str, int | datetime]
) -> int:
    """Delete the rows of a table for which an SQL condition holds; returns how many."""
    [(gone,)] = cursor.execute(f"DELETE FROM {table} WHERE {condition}", dict(parameters)).fetchall()
    return int(gone)


def first_time(cursor: duckdb.DuckDBPyConnection) -> datetime | None:
    """Of all records, in UTC without a zone; None when there are none."""
    tables = " UNION ALL ".join(f"SELECT min(timestamp) AS first FROM {table}" for table in TABLES)
    [(first,)] = cursor.execute(f"SELECT min(first) FROM ({tables})").fetchall()
    return first if isinstance(first, datetime) else None


def read_layout(cursor: duckdb.DuckDBPyConnection) -> Layout:
    """How the records lie by the tables of runs and of deleted records."""
    runs = cursor.execute("SELECT run, sum(records)::BIGINT FROM runs GROUP BY run").fetchall()
    [(unsorted, deleted)] = cursor.execute(
        "SELECT (SELECT count(*) FROM fresh) + (SELECT count(*) FROM numbered), (SELECT records FROM deleted)"
    ).fetchall()
    return Layout(dict(runs), unsorted, deleted)


def note_run(cursor: duckdb.DuckDBPyConnection, run: int, records: int) -> None:
    """Count records as those of a run."""
    cursor.execute("INSERT INTO runs VALUES ($run, $records)", {"run": run, "records": records})


def note_deleted(cursor: duckdb.DuckDBPyConnection, records: int) -> None:
    """Count so many records more as deleted, or fewer when the number is negative."""
    if records:
        cursor.execute("UPDATE deleted SET records = greatest(0, records + $records)", {"records": records})


def _by_keys(keys: Sequence[tuple[int, int]]) -> Iterator[Slice]:
    """Slices of neighbouring keys, each given with the number of its records; one with many is by itself."""
    low, high, records = keys[0][0], keys[0][0], 0
    for key, number in keys:
        if records and records + number > layout.RUN_RECORDS:
            yield Slice(low, high)
            low, records = key, 0
        high, records = key, records + number
    yield Slice(low, high)


def _by_times(part: Slice, records: int, first: datetime, last: datetime) -> Iterator[Slice]:
    """A slice of one key in spans of equal length."""
    spans = -(-records // layout.RUN_RECORDS)
    borders = {first + (last - first) * number / spans for number in range(1, spans)} - {first}
    for since, until in itertools.pairwise([part.since, *sorted(borders or {last}), part.until]):
        yield Slice(part.low, part.high, since, until)
