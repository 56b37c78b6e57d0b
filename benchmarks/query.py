"""How fast the DuckDB store answers and commits, beside SQL written by hand on the same file.

The question is one customer's totals and daily windows over all rows (50 customers, 30 days). Each round asks
for another customer, the store and every hand-written statement in turn; nothing is cached but what the
operating system keeps. Commits are of 500,000 rows, beside a plain INSERT of the same frames into a file of
its own. Figures are medians.
"""

from __future__ import annotations

import argparse
import asyncio
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

from tailmetrics.records import ParsedLines, no_rejects
from tailmetrics.settings import Settings
from tailmetrics.sources import Batch, Checkpoint, Source
from tailmetrics.stats import StatsQuery
from tailmetrics.stores.duckdb import DuckDBStore
from tailmetrics.windows import parse_every

CUSTOMERS = 50
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
        SELECT day, {FIGURES} FROM (SELECT {DAY}, status_code, duration FROM records WHERE customer_id = ?)
        GROUP BY GROUPING SETS ((), (day)) ORDER BY day
        """
    ],
    "common table": [
        f"""
        WITH mine AS MATERIALIZED (SELECT {DAY}, status_code, duration FROM records WHERE customer_id = ?)
        SELECT NULL, {FIGURES} FROM mine UNION ALL SELECT day, {FIGURES} FROM mine GROUP BY day ORDER BY 1
        """
    ],
    "two statements": [
        f"SELECT {FIGURES} FROM records WHERE customer_id = ?",
        f"SELECT {DAY}, {FIGURES} FROM records WHERE customer_id = ? GROUP BY day ORDER BY day",
    ],
}


def frames(rows: int) -> Iterator[pl.DataFrame]:
    """Records by rising time in commits of COMMIT_ROWS, the same in each run."""
    chance = np.random.default_rng(1)
    step_us = DAYS * 86_400_000_000 // rows
    for begin in range(0, rows, COMMIT_ROWS):
        number = min(COMMIT_ROWS, rows - begin)
        places = begin + np.arange(number)
        yield pl.DataFrame(
            {
                "timestamp": pl.Series(1_727_740_800_000_000 + places * step_us).cast(pl.Datetime("us")),
                "customer": chance.integers(1, CUSTOMERS + 1, number),
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


def measure(rows: int, rounds: int, folder: Path) -> dict[str, Any]:
    settings = Settings(_env_file=None, store_url=f"duckdb:///{folder}/store.duckdb")
    store = DuckDBStore(settings)
    try:
        commits = measure_commits(store, settings, rows, folder)
        return {"rows": rows, **commits, **asyncio.run(measure_questions(store, rounds))}
    finally:
        store.close()


def measure_commits(store: DuckDBStore, settings: Settings, rows: int, folder: Path) -> dict[str, Any]:
    source = store.register(Source("source", "node", 1, 1, 0, "/log", Checkpoint(0, 0, "", 0, "")))
    with duckdb.connect(
        str(folder / "plain.duckdb"),
        config={
            "memory_limit": settings.duckdb_memory_limit,
            "threads": os.cpu_count() or 1,
            "preserve_insertion_order": False,
        },
    ) as plain:
        plain.execute(
            """
            CREATE TABLE records (
                timestamp TIMESTAMP, customer_id VARCHAR, path VARCHAR, status_code SMALLINT, duration DOUBLE,
                "offset" BIGINT
            )
            """
        ).fetchall()
        by_store, by_plain = [], []
        position = 0
        for frame in frames(rows):
            end = position + frame.height * LINE_BYTES
            parsed = ParsedLines(frame, no_rejects(), 0)
            batch = Batch(source.source_id, "/log", position, Checkpoint(end, 0, "", 0, ""), parsed)
            position = end
            by_store.append(frame.height / seconds(lambda batch=batch: store.write([batch])))
            by_plain.append(frame.height / seconds(lambda frame=frame: insert(plain, frame)))
    store_speed, plain_speed = statistics.median(by_store), statistics.median(by_plain)
    return {
        "commit_rows_per_second": store_speed,
        "plain_insert_rows_per_second": plain_speed,
        "commit_ratio": store_speed / plain_speed,
    }


class ArrowStream:
    """What DuckDB reads without pyarrow."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.frame.__arrow_c_stream__(requested_schema)


def insert(connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame) -> None:
    stream = ArrowStream(frame)  # noqa: F841  # DuckDB finds it by its name
    connection.execute("INSERT INTO records SELECT * FROM stream").fetchall()


async def measure_questions(store: DuckDBStore, rounds: int) -> dict[str, Any]:
    cursor = store._file.cursor()  # the file can be open once only, so both sides share it
    times: dict[str, list[float]] = {name: [] for name in ("store", *BY_HAND)}
    for turn in range(rounds + 1):
        customer_id = f"cust_{turn % CUSTOMERS + 1}"
        query = StatsQuery(customer_id, parse_every("1d"))
        begun = time.perf_counter()
        answer = await store.stats(query)
        taken = {"store": time.perf_counter() - begun}
        for name, statements in BY_HAND.items():
            begun = time.perf_counter()
            found = [cursor.execute(sql, [customer_id]).fetchall() for sql in statements]
            taken[name] = time.perf_counter() - begun
            windows = sum(len(rows) for rows in found) - 1
            if windows != len(answer.windows):
                raise SystemExit(f"{name}: {windows} windows, the store has {len(answer.windows)}")
        if turn:  # the first round brings the file into memory
            for name, seconds_taken in taken.items():
                times[name].append(seconds_taken)
    cursor.close()
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    best = min(BY_HAND, key=lambda name: medians[name])
    return {
        "question_seconds": medians,
        "best_by_hand": best,
        "question_ratio": medians["store"] / medians[best],
    }


def seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(arguments.rows, arguments.rounds, Path(folder))
    print(f"{figures['rows']:,} rows of {CUSTOMERS} customers, {DAYS} days; medians")
    print("one customer's totals and daily windows:")
    for name, taken in figures["question_seconds"].items():
        print(f"  {name:16} {1000 * taken:7.1f} ms")
    print(f"  store / best by hand ({figures['best_by_hand']}): {figures['question_ratio']:.2f}")
    print(f"commits of {COMMIT_ROWS:,} rows:")
    print(f"  store            {figures['commit_rows_per_second'] / 1e6:7.2f} M rows/s")
    print(f"  plain INSERT     {figures['plain_insert_rows_per_second'] / 1e6:7.2f} M rows/s")
    print(f"  store / plain INSERT: {figures['commit_ratio']:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
