"""What evaluating alerts costs: the share of a core, over a DuckDB file that grows.

Requests of so many customers fill the last days of a file; two objectives (one of availability, one of
latency) are evaluated with the workbook's rules, once a minute of the clock, while each minute brings as many
requests as the ones before had. Only the CPU time of the evaluation counts, all threads of it, not that of
writing. The clock is set by hand, so that a measured hour takes a few seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl

from tailmetrics.objectives.alerts.evaluator import Evaluator
from tailmetrics.objectives.definitions import Document
from tailmetrics.records import RECORD_SCHEMA, ParsedLines, no_rejects
from tailmetrics.settings import load_settings
from tailmetrics.sources import Batch, Checkpoint, Source
from tailmetrics.stores import Store, open_store

MINUTE = timedelta(minutes=1)
START = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
OBJECTIVES = [
    {"name": "availability", "target": 99.9},
    {"name": "latency", "target": 99.0, "kind": "latency", "limit_seconds": 0.5},
]
LINE_BYTES = 60
BATCH = 500_000


class Log:
    """A source whose requests are committed to a store; some 1 % fail, and 1 % are slow."""

    def __init__(self, store: Store, customers: int) -> None:
        self._store = store
        self._draw = np.random.default_rng(1)
        self._names = pl.Series([f"customer {number}" for number in range(customers)])
        self._source = store.register(Source("log", "node", 1, 2, 0, "log", Checkpoint(0, 0, "", 0, "")))
        self._offset = 0

    def write(self, begin: datetime, end: datetime, number: int) -> None:
        """Commit so many requests, spread over a time."""
        length = (end - begin) // timedelta(microseconds=1)
        moments = np.sort(self._draw.integers(0, length, number))
        frame = pl.DataFrame(
            {
                "timestamp": pl.Series(moments).cast(pl.Duration("us")) + begin.replace(tzinfo=None),
                "customer_id": self._names.gather(self._draw.integers(0, len(self._names), number)),
                "path": pl.Series(["/"]).new_from_index(0, number),
                "status_code": np.where(self._draw.random(number) < 0.01, 500, 200),
                "duration": self._draw.exponential(0.11, number),
                "offset": self._offset + np.arange(number) * LINE_BYTES,
            }
        ).cast(RECORD_SCHEMA)  # type: ignore[arg-type]
        after = self._offset + number * LINE_BYTES
        parsed = ParsedLines(frame, no_rejects(), blanks=0)
        checkpoint = Checkpoint(after, 0, "", 0, "")
        self._store.write([Batch(self._source.source_id, "log", self._offset, checkpoint, parsed)])
        self._offset = after


def cpu_seconds() -> float:
    """Of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def evaluated(log: Log, store: Store, number: int, minutes: int, late: int) -> Iterator[float]:
    """CPU seconds of each evaluation, the first of which reads all."""
    now = [START]
    document = Document.model_validate({"objective": OBJECTIVES})

    async def no_sources() -> list[object]:
        return []

    evaluator = Evaluator(store, lambda: document, no_sources, clock=lambda: now[0])  # type: ignore[arg-type]
    found = []
    for minute in range(minutes + 1):
        if minute:
            now[0] += MINUTE
            log.write(now[0] - MINUTE, now[0], number)
            if late:
                log.write(now[0] - timedelta(hours=5), now[0] - timedelta(hours=5) + MINUTE, late)
        began = cpu_seconds()
        await evaluator.step()
        found.append(cpu_seconds() - began)
    return iter(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--customers", type=int, default=1_000)
    parser.add_argument("--days", type=float, default=3.0)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--late", type=int, default=0, help="requests of five hours ago, each minute")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(load_settings(None, store_url=f"duckdb:///{Path(folder)}/store.duckdb"))
        log = Log(store, asked.customers)
        length = timedelta(days=asked.days)
        parts = -(-asked.rows // BATCH)
        for part in range(parts):
            begin = START - length + length / parts * part
            log.write(begin, begin + length / parts, asked.rows // parts)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        per_minute = int(asked.rows / (asked.days * 1_440))
        began = time.perf_counter()
        first, *others = asyncio.run(evaluated(log, store, per_minute, asked.minutes, asked.late))
        seconds = time.perf_counter() - began
        store.close()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) // 1024
    share = 100 * sum(others) / (60 * len(others))
    print(f"{asked.rows:,} requests of {asked.customers:,} customers in {asked.days:g} days, 2 objectives")
    print(f"first evaluation, which reads all: {first:.2f} s of CPU")
    print(f"each further one: {1000 * sum(others) / len(others):.0f} ms of CPU, {share:.2f} % of a core")
    print(f"peak of memory: {grown:,} MB above that of writing; measured in {seconds:.0f} s")


if __name__ == "__main__":
    main()
