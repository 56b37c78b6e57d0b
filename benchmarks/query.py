"""How fast the DuckDB store answers and commits, beside SQL written by hand and beside a small store.

The question is one customer's totals and daily windows over all rows of 30 days. Each round asks for another
customer: the store, each hand-written statement on a copy of the rows that is sorted by customer and time,
and a store that holds that customer's rows alone. Nothing is cached but what the operating system keeps.
Commits are of 500,000 rows, beside a plain INSERT of the same frames into a file of its own. While the store
sorts its rows small commits go on; the longest is the stall of a tailer. One that is refused for want of
memory is tried again, as the service does, and takes the longer for it. Figures are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import tenacity

from tailmetrics.errors import StoreUnavailable
from tailmetrics.records import ParsedLines, no_rejects
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch, Checkpoint, Source
from tailmetrics.stats import StatsQuery
from tailmetrics.stores.duckdb.store import DuckDBStore
from tailmetrics.windows import parse_every

DAYS = 30
COMMIT_ROWS = 500_000
LINE_BYTES = 54

FIGURES = """
    count(*), count(*) FILTER (WHERE status_code >= 400), avg(duration), quantile_cont(duration, [0.5, 0.99])
"""
DAY = "date_trunc('day', timestamp) AS day"
BY_HAND = {
    "grouping sets": [
        f"""
        SELECT day, {FIGURES} FROM (SELECT {DAY}, status_code, duration FROM sorted WHERE customer_id = ?)
        GROUP BY GROUPING SETS ((), (day)) ORDER BY day
        """
    ],
    "common table": [
        f"""
        WITH mine AS MATERIALIZED (SELECT {DAY}, status_code, duration FROM sorted WHERE customer_id = ?)
        SELECT NULL, {FIGURES} FROM mine UNION ALL SELECT day, {FIGURES} FROM mine GROUP BY day ORDER BY 1
        """
    ],
    "two statements": [
        f"SELECT {FIGURES} FROM sorted WHERE customer_id = ?",
        f"SELECT {DAY}, {FIGURES} FROM sorted WHERE customer_id = ? GROUP BY day ORDER BY day",
    ],
}


def frames(rows: int, customers: int) -> Iterator[pl.DataFrame]:
    """Records by rising time in commits of COMMIT_ROWS, the same in each run."""
    chance = np.random.default_rng(1)
    step_us = DAYS * 86_400_000_000 // rows
    for begin in range(0, rows, COMMIT_ROWS):
        number = min(COMMIT_ROWS, rows - begin)
        places = begin + np.arange(number)
        yield pl.DataFrame(
            {
                "timestamp": pl.Series(1_727_740_800_000_000 + places * step_us).cast(pl.Datetime("us")),
                "customer": chance.integers(1, customers + 1, number),
                "resource": chance.integers(1, 5, number),
                "status_code": pl.Series(
                    chance.choice([200, 200, 200, 201, 404, 500], number), dtype=pl.Int16
                ),
                "duration": np.round(chance.lognormal(-1, 0.5, number), 3),
                "offset": places * LINE_BYTES,
            }
        ).select(
            "timestamp",
            pl.format("cust_{}", "customer").alias("customer_id"),
            pl.format("/api/v1/resource{}", "resource").alias("path"),
            "status_code",
            "duration",
            "offset",
        )


class Feeding:
    """Commits frames to a store as one source that grows."""

    def __init__(self, store: DuckDBStore) -> None:
        self._store = store
        self._source = store.register(Source("source", "node", 1, 1, 0, "/log", Checkpoint(0, 0, "", 0, "")))
        self._position = self._source.position

    def commit(self, frame: pl.DataFrame) -> None:
        end = self._position + frame.height * LINE_BYTES
        parsed = ParsedLines(frame, no_rejects(), 0)
        self._store.write(
            [Batch(self._source.source_id, "/log", self._position, Checkpoint(end, 0, "", 0, ""), parsed)]
        )
        self._position = end


def settings_of(folder: Path, name: str) -> Settings:
    return Settings(_env_file=None, store_url=f"duckdb:///{folder}/{name}.duckdb")


def measure(rows: int, customers: int, rounds: int, folder: Path) -> dict[str, Any]:
    store = DuckDBStore(settings_of(folder, "store"))
    try:
        figures: dict[str, Any] = {"rows": rows, "customers": customers}
        if not (folder / "plain.duckdb").exists():
            figures |= measure_commits(store, rows, customers, folder)
        figures |= settle(store)
        sort_plain(folder)
        return {**figures, **asyncio.run(measure_questions(store, customers, rounds, folder))}
    finally:
        store.close()


def measure_commits(store: DuckDBStore, rows: int, customers: int, folder: Path) -> dict[str, Any]:
    feeding = Feeding(store)
    with plain_file(folder) as plain:
        plain.execute(
            """
            CREATE TABLE records (
                timestamp TIMESTAMP, customer_id VARCHAR, path VARCHAR, status_code SMALLINT, duration DOUBLE,
                "offset" BIGINT
            )
            """
        ).fetchall()
        by_store, by_plain = [], []
        for frame in frames(rows, customers):
            by_store.append(frame.height / seconds(lambda frame=frame: feeding.commit(frame)))
            by_plain.append(frame.height / seconds(lambda frame=frame: insert(plain, frame)))
    store_speed, plain_speed = statistics.median(by_store), statistics.median(by_plain)
    return {
        "commit_rows_per_second": store_speed,
        "plain_insert_rows_per_second": plain_speed,
        "commit_ratio": store_speed / plain_speed,
    }


def settle(store: DuckDBStore) -> dict[str, Any]:
    """Wait until all is sorted, with small commits meanwhile."""
    feeding = Feeding(store)
    [few] = frames(10, 10)
    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(StoreUnavailable), wait=tenacity.wait_fixed(0.05)
    )
    commits = []
    begun = time.perf_counter()
    while not store.is_compacted:
        commits.append(seconds(lambda: again(feeding.commit, few)))
        time.sleep(0.05)
    taken = time.perf_counter() - begun
    return {"settling_seconds": taken, "stall_seconds": max(commits, default=0.0)}


def plain_file(folder: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        str(folder / "plain.duckdb"),
        config={"memory_limit": "2GB", "threads": os.cpu_count() or 1, "preserve_insertion_order": False},
    )


def sort_plain(folder: Path) -> None:
    with plain_file(folder) as plain:
        plain.execute(
            "CREATE TABLE IF NOT EXISTS sorted AS FROM records ORDER BY customer_id, timestamp"
        ).fetchall()
        plain.execute("CHECKPOINT").fetchall()


class ArrowStream:
    """What DuckDB reads without pyarrow."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.frame.__arrow_c_stream__(requested_schema)


def insert(connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame) -> None:
    stream = ArrowStream(frame)  # noqa: F841  # DuckDB finds it by its name
    connection.execute("INSERT INTO records SELECT * FROM stream").fetchall()


async def measure_questions(store: DuckDBStore, customers: int, rounds: int, folder: Path) -> dict[str, Any]:
    times: dict[str, list[float]] = {name: [] for name in ("store", "alone", *BY_HAND)}
    with plain_file(folder) as plain:
        cursor = plain.cursor()
        for turn in range(rounds + 1):
            customer_id = f"cust_{(turn * 7 + 11) % customers + 1}"
            with alone(plain, customer_id, folder) as small:
                taken = {}
                for name, asked in (("store", store), ("alone", small)):
                    await asked.stats(StatsQuery(customer_id, parse_every("1h")))  # the file into memory
                    begun = time.perf_counter()
                    answer = await asked.stats(StatsQuery(customer_id, parse_every("1d")))
                    taken[name] = time.perf_counter() - begun
            for name, statements in BY_HAND.items():
                for _ in range(2):
                    begun = time.perf_counter()
                    found = [cursor.execute(sql, [customer_id]).fetchall() for sql in statements]
                    taken[name] = time.perf_counter() - begun
                windows = sum(len(rows) for rows in found) - 1
                if windows != len(answer.windows):
                    raise SystemExit(f"{name}: {windows} windows, the store has {len(answer.windows)}")
            if turn:
                for name, seconds_taken in taken.items():
                    times[name].append(seconds_taken)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    best = min(BY_HAND, key=lambda name: medians[name])
    return {
        "question_seconds": medians,
        "best_by_hand": best,
        "question_ratio": medians["store"] / medians[best],
        "alone_ratio": medians["store"] / medians["alone"],
    }


@contextlib.contextmanager
def alone(plain: duckdb.DuckDBPyConnection, customer_id: str, folder: Path) -> Iterator[DuckDBStore]:
    """A store that holds one customer's rows and nothing else."""
    rows = plain.execute(
        'SELECT timestamp, path, status_code, duration, "offset" FROM sorted WHERE customer_id = ?',
        [customer_id],
    ).fetchnumpy()
    frame = pl.DataFrame({**{name: pl.Series(values) for name, values in rows.items()}})
    frame = frame.with_columns(pl.lit(customer_id).alias("customer_id"), path=frame["path"].cast(pl.String))
    frame = frame.select("timestamp", "customer_id", "path", "status_code", "duration", "offset")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        store = DuckDBStore(settings_of(Path(name), "alone"))
        try:
            Feeding(store).commit(frame)
            while not store.is_compacted:
                time.sleep(0.05)
            yield store
        finally:
            store.close()


def seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--customers", type=int, default=50)
    parser.add_argument("--folder", type=Path, help="keep the files here, and use those that are there")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(arguments.rows, arguments.customers, arguments.rounds, folder)
        size = (folder / "store.duckdb").stat().st_size
    print(f"{figures['rows']:,} rows of {figures['customers']:,} customers, {DAYS} days; medians")
    print("one customer's totals and daily windows:")
    for name, taken in figures["question_seconds"].items():
        print(f"  {name:16} {1000 * taken:7.1f} ms")
    print(f"  store / best by hand ({figures['best_by_hand']}): {figures['question_ratio']:.2f} (goal 1.2)")
    print(f"  store / the same rows alone: {figures['alone_ratio']:.2f} (goal 2)")
    print(
        f"sorted in {figures['settling_seconds']:.0f} s, "
        f"longest commit {figures['stall_seconds']:.3f} s (goal 0.2)"
    )
    print(f"bytes of the file per row: {size / arguments.rows:.1f}")
    if "commit_ratio" in figures:
        print(f"commits of {COMMIT_ROWS:,} rows:")
        print(f"  store            {figures['commit_rows_per_second'] / 1e6:7.2f} M rows/s")
        print(f"  plain INSERT     {figures['plain_insert_rows_per_second'] / 1e6:7.2f} M rows/s")
        print(f"  store / plain INSERT: {figures['commit_ratio']:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
