"""How long a commit takes at most while a backup of the store is taken, beside commits without one.

A store in this process, filled with `--rows` records and at rest, is given `--rate` lines a second in ten
commits, as by a service. Meanwhile a thread takes a backup into a file on the same disk. The status is 1 when
a commit took longer than `--most` seconds, or when the backup does not hold what its position says.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from tailmetrics.records import ParsedLines, no_rejects
from tailmetrics.settings import Settings, load_settings
from tailmetrics.sources import Batch, Checkpoint, Source
from tailmetrics.stores import Store, backup, open_store
from tailmetrics.stores.base import Copyable

_LINE_BYTES = 54
_BULK_RECORDS = 120_000
_COMMITS_A_SECOND = 10
_OCTOBER, _SECOND = np.datetime64("2024-10-01", "us"), np.timedelta64(1_000_000, "us")


@dataclass
class Feed:
    """One source of a store, given records that follow each other."""

    store: Store
    source: Source = field(init=False)
    position: int = 0

    def __post_init__(self) -> None:
        self.source = self.store.register(Source("s", "node", 1, 2, 0, "/x.log", Checkpoint(0, 0, "", 0, "")))

    def write(self, records: int) -> float:
        """Commit so many; returns the seconds of the commit alone."""
        chance = np.random.default_rng(self.position)
        frame = pl.DataFrame(
            {
                "timestamp": _OCTOBER + np.sort(chance.integers(0, 30 * 86_400, records)) * _SECOND,
                "customer_id": [f"cust_{number}" for number in chance.integers(0, 50, records)],
                "path": [f"/api/v1/resource{number}" for number in chance.integers(0, 4, records)],
                "status_code": chance.choice([200, 200, 200, 404, 500], records),
                "duration": chance.random(records),
                "offset": self.position + _LINE_BYTES * np.arange(records),
            },
            schema_overrides={"timestamp": pl.Datetime("us"), "status_code": pl.Int16, "offset": pl.Int64},
        )
        end = self.position + records * _LINE_BYTES
        batch = Batch(
            self.source.source_id,
            self.source.path,
            self.position,
            Checkpoint(end, 0, "", 0, ""),
            ParsedLines(frame, no_rejects(), blanks=0),
        )
        batch = self.store.prepare(batch)
        began = time.perf_counter()
        self.store.write([batch])
        self.position = end
        return time.perf_counter() - began


def commits_until(feed: Feed, rate: int, ended: threading.Event) -> list[float]:
    """Seconds of each commit, at the rate, until then."""
    times = []
    due = time.monotonic()
    while not ended.is_set():
        times.append(feed.write(rate // _COMMITS_A_SECOND))
        due += 1 / _COMMITS_A_SECOND
        ended.wait(max(0, due - time.monotonic()))
    return times


def take(settings: Settings, store: Store, file: Path) -> None:
    if not isinstance(store, Copyable):
        backup.write_copy(settings, file)
        return
    with store.copying() as snapshot:
        backup.write(snapshot, file)


def measure(settings: Settings, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    store = open_store(settings)
    feed = Feed(store)
    for _ in range(0, arguments.rows, _BULK_RECORDS):
        feed.write(_BULK_RECORDS)
    while not getattr(store, "is_compacted", True):
        time.sleep(0.1)
    file = folder / "backup"
    ended, taken = threading.Event(), []

    def run() -> None:
        began = time.perf_counter()
        take(settings, store, file)
        taken.append(time.perf_counter() - began)
        ended.set()

    threading.Timer(arguments.seconds, ended.set).start()
    without = commits_until(feed, arguments.rate, ended)
    ended.clear()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    threading.Thread(target=run).start()
    before, during = feed.position, commits_until(feed, arguments.rate, ended)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    after = feed.position
    feed.write(1)
    store.close()
    began = time.perf_counter()
    records = backup.check(settings, file).records
    if not before <= records * _LINE_BYTES <= after:
        raise SystemExit(
            f"the backup has {records:,} records, expected {before:,} to {after:,} bytes of them"
        )
    return {
        "size_mb": file.stat().st_size / 1e6,
        "backup_seconds": taken[0],
        "check_seconds": time.perf_counter() - began,
        "commits": len(during),
        "longest_commit_ms": 1000 * max(during),
        "median_commit_ms": 1000 * float(np.median(during)),
        "longest_commit_without_ms": 1000 * max(without),
        "median_commit_without_ms": 1000 * float(np.median(without)),
        "more_memory_mb": memory / 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=["duckdb", "sqlite"], default="duckdb")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rate", type=int, default=20_000, help="lines a second")
    parser.add_argument("--seconds", type=float, default=10, help="of commits without a backup, to compare")
    parser.add_argument("--most", type=float, default=0.2, help="seconds that a commit may take")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = load_settings(None, store_url=f"{arguments.store}:///{folder}/store")
        figures = measure(settings, folder, arguments)
    for key, value in figures.items():
        print(f"{key:26} {value:12,.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sys.exit(figures["longest_commit_ms"] > 1000 * arguments.most)


if __name__ == "__main__":
    main()
