"""How fast lines of a file become committed rows, beside DuckDB's own CSV reader and a flow per line.

Each side runs in a process of its own, in turn, several times; figures are medians. Seconds are those from
opening a new store to closing it, of DuckDB's reader those of its statement alone: closing the file takes it
a second more. The start of the interpreter and imports are not in them. Memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from pathlib import Path

from sides import measured, seconds_to_load

PER_LINE_LINES = 200_000  # the flow per line is given this many: its speed does not depend on the number
PER_LINE_BATCH = 10_000


def duckdb_read_csv(log: Path, folder: Path) -> float:
    import duckdb

    with duckdb.connect(f"{folder}/read_csv.duckdb") as connection:
        began = time.perf_counter()
        connection.execute(
            "CREATE TABLE records AS SELECT strptime(day || ' ' || time, '%Y-%m-%d %H:%M:%S') AS timestamp, "
            "customer_id, path, status_code, duration FROM read_csv(?, delim=' ', header=false, "
            "auto_detect=false, quote='', escape='', columns={'day': 'VARCHAR', 'time': 'VARCHAR', "
            "'customer_id': 'VARCHAR', 'path': 'VARCHAR', 'status_code': 'SMALLINT', 'duration': 'DOUBLE'})",
            [str(log)],
        )
        return time.perf_counter() - began


def flow_per_line(log: Path, folder: Path) -> float:
    """What one writes first: Bytewax's own file source, a Python function a line, inserts in batches."""
    import bytewax.operators as op
    import duckdb
    import polars as pl
    from bytewax.connectors.files import FileSource
    from bytewax.dataflow import Dataflow
    from bytewax.outputs import DynamicSink, StatelessSinkPartition
    from bytewax.testing import run_main

    columns = ["timestamp", "customer_id", "path", "status_code", "duration"]
    connection = duckdb.connect(f"{folder}/per_line.duckdb")
    connection.execute(
        "CREATE TABLE records (timestamp TIMESTAMP, customer_id VARCHAR, path VARCHAR, status_code SMALLINT, "
        "duration DOUBLE)"
    )

    class Insert(StatelessSinkPartition):
        def __init__(self) -> None:
            self.rows: list[tuple] = []

        def write_batch(self, items: list[tuple]) -> None:
            self.rows += items
            if len(self.rows) >= PER_LINE_BATCH:
                self.flush()

        def flush(self) -> None:
            if self.rows:
                frame = ArrowStream(pl.DataFrame(self.rows, schema=columns, orient="row"))
                connection.register("frame", frame)
                connection.execute("INSERT INTO records SELECT * FROM frame")
            self.rows = []

        def close(self) -> None:
            self.flush()

    class InsertSink(DynamicSink):
        def build(self, step_id: str, worker_index: int, worker_count: int) -> Insert:  # noqa: ARG002
            return Insert()

    def parse(line: str) -> tuple:
        day, clock, customer_id, path, status, duration = line.split(" ")
        timestamp = datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
        return (timestamp, customer_id, path, int(status), float(duration))

    part = folder / "per_line.log"
    with log.open("rb") as whole, part.open("wb") as beginning:
        beginning.writelines(islice(whole, PER_LINE_LINES))
    flow = Dataflow("per_line")
    lines = op.input("read", flow, FileSource(part, batch_size=1000))
    op.output("insert", op.map("parse", lines, parse), InsertSink())
    began = time.perf_counter()
    run_main(flow)
    return time.perf_counter() - began


class ArrowStream:
    """A frame as DuckDB can read it without pyarrow."""

    def __init__(self, frame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


SIDES: dict[str, Callable[[Path, Path], float]] = {
    "tailmetrics": seconds_to_load,
    "duckdb_read_csv": duckdb_read_csv,
    "flow_per_line": flow_per_line,
}


def run_side(side: str, log: Path) -> None:
    with tempfile.TemporaryDirectory(dir=log.parent) as folder:
        seconds = SIDES[side](log, Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))


def write_log(path: Path, lines: int) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "tailmetrics",
            "generate",
            "--file",
            str(path),
            "--seed",
            "1",
            "--mode",
            "uniform",
            "--max-logs",
            str(lines),
            "--batch-size",
            "100000",
            "--interval",
            "0",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def write_wide_log(path: Path, lines: int, customers: int, paths: int) -> None:
    """In order of time, of so many customers, and each path as often as the others."""
    import numpy as np
    import polars as pl

    chance = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "time": np.arange(lines) // 12,
            "customer": chance.integers(customers, size=lines),
            "path": chance.permutation(lines) % paths,
            "status": chance.choice([200, 201, 301, 404, 500], lines),
            "duration": chance.integers(1, 1000, lines) / 1000,
        }
    )
    time = (pl.lit(datetime(2024, 11, 6)) + pl.duration(seconds="time")).dt.strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ001
    line = pl.format("{} cust_{} /api/v1/resource{} {} {}", time, "customer", "path", "status", "duration")
    frame.select(line).write_csv(path, include_header=False, quote_style="never")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=5_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--customers", type=int, help="so many, and as many paths as --paths says")
    parser.add_argument("--paths", type=int, default=4)
    parser.add_argument("--log", type=Path, help="a log of one's own, of requests lines")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_side(arguments.side, arguments.log)
        return
    with tempfile.TemporaryDirectory() as folder:
        log = arguments.log or Path(folder) / "requests.log"
        if arguments.log is None and arguments.customers:
            what = (log, arguments.lines, arguments.customers, arguments.paths)
            # A process begins with the peak of memory of the one that starts it.
            writer = multiprocessing.get_context("spawn").Process(target=write_wide_log, args=what)
            writer.start()
            writer.join()
        elif arguments.log is None:
            write_log(log, arguments.lines)
        with log.open("rb") as stream:
            lines = sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
        megabytes = log.stat().st_size / 1e6
        runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(arguments.repeat):
            for side in SIDES:
                runs[side].append(measured(__file__, side=side, log=log))
    counts = {side: min(lines, PER_LINE_LINES) if side == "flow_per_line" else lines for side in SIDES}
    speeds = {side: counts[side] / statistics.median(run["seconds"] for run in runs[side]) for side in SIDES}
    peaks = {side: statistics.median(run["peak_mb"] for run in runs[side]) for side in SIDES}
    ratios = [
        read_csv["seconds"] / own["seconds"]
        for own, read_csv in zip(runs["tailmetrics"], runs["duckdb_read_csv"], strict=True)
    ]
    print(f"{lines:,} lines, {megabytes:,.0f} MB, {arguments.repeat} runs")
    for side in SIDES:
        print(f"{side:18} {speeds[side]:12,.0f} lines/s   peak {peaks[side]:6,.0f} MB")
    print(
        f"against duckdb_read_csv: {statistics.median(ratios):.2f}   ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    print(f"against flow_per_line:   {speeds['tailmetrics'] / speeds['flow_per_line']:.1f}")
    if arguments.json:
        figures = {
            "lines": lines,
            "lines_per_second": speeds,
            "peak_mb": peaks,
            "ratios": ratios,
            "runs": runs,
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
