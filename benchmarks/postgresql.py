"""How fast lines of a file become committed rows in PostgreSQL, beside a plain COPY of the same rows.

The server is started for this, with its own defaults. The ingestion reads the log, parses it, and commits
rows and positions as it always does; it is measured from opening the store to the last commit, as a whole
process of `tailmetrics load`, and until the server has built the last index, which goes on after the end of
the process. The COPY is of the rows that were written, from a file in COPY's own format and in the order of
the log, in one transaction, into a table with the same columns and no index; and, to show what an index costs
that grows with the rows, into one with it. Sides take turns, figures are medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.servers import PostgreSQL, running

from ingest import write_log

_COLUMNS = 'customer_key, time_us, source_key, "offset", path, status_code, duration'
_PIECE_BYTES = 1 << 20


class DurablePostgreSQL(PostgreSQL):
    durability = "on"


def ingest(url: str, log: Path) -> float:
    """Seconds from opening the store to the last commit, in a process of its own."""
    output = subprocess.run(
        [sys.executable, __file__, "--ingest", url, "--log", str(log)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return float(output.splitlines()[-1])


def load(url: str, log: Path) -> tuple[float, float]:
    """Seconds that the command takes, start of the interpreter included, and those until all is indexed."""
    command = [sys.executable, "-m", "tailmetrics", "load", str(log), "--store-url", url]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    settle(url)
    return seconds, time.perf_counter() - began


def settle(url: str) -> None:
    """Wait until the server does nothing any more."""
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(
            "SELECT 1 FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename = current_user"
        ).fetchone():
            time.sleep(0.02)


def run_ingest(url: str, log: Path) -> None:
    from tailmetrics.ingest.load import load_files
    from tailmetrics.settings import load_settings
    from tailmetrics.stores.sql import store  # noqa: F401  # to import them is part of the start
    from tailmetrics.stores.sql.postgresql import dialect  # noqa: F401  # to import them is part of the start
    from tailmetrics.telemetry.log import configure_logging

    settings = load_settings(None, store_url=url, logging_level="ERROR")
    configure_logging(settings)
    began = time.perf_counter()
    result = load_files(settings, [log], lambda _: None)
    seconds = time.perf_counter() - began
    if result.state != "done" or result.already_loaded:
        raise SystemExit(f"load failed: {result.error}")
    print(seconds)


def export(url: str, rows: Path) -> int:
    """Write the rows of the store into a file, in the order of the log; returns how many."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor, rows.open("wb") as file:
        with cursor.copy(
            f'COPY (SELECT {_COLUMNS} FROM records ORDER BY source_key, "offset") TO STDOUT'
        ) as copy:
            for piece in copy:
                file.write(piece)
        return cursor.rowcount


def plain_copy(url: str, rows: Path, *, indexes: bool) -> float:
    """Seconds that one COPY takes, with its commit."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS copied")
        connection.execute(f"CREATE TABLE copied (LIKE records {'INCLUDING INDEXES' if indexes else ''})")
        began = time.perf_counter()
        with (
            connection.transaction(),
            rows.open("rb") as file,
            connection.cursor().copy(f"COPY copied ({_COLUMNS}) FROM STDIN") as copy,
        ):
            while piece := file.read(_PIECE_BYTES):
                copy.write(piece)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--log", type=Path, help="a log of one's own, of requests lines")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    parser.add_argument("--ingest", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ingest:
        run_ingest(arguments.ingest, arguments.log)
        return
    seconds: dict[str, list[float]] = {
        "tailmetrics": [],
        "its whole process": [],
        "until all is indexed": [],
        "copy": [],
        "copy with an index": [],
    }
    with tempfile.TemporaryDirectory() as folder, running(DurablePostgreSQL) as server:
        log, rows = arguments.log or Path(folder) / "requests.log", Path(folder) / "rows"
        if arguments.log is None:
            write_log(log, arguments.lines)
        for _ in range(arguments.repeat):
            url = server.new_database()
            seconds["tailmetrics"].append(ingest(url, log))
            settle(url)
            number = export(url, rows)
            seconds["copy"].append(plain_copy(url, rows, indexes=False))
            whole, indexed = load(server.new_database(), log)
            seconds["its whole process"].append(whole)
            seconds["until all is indexed"].append(indexed)
            seconds["copy with an index"].append(plain_copy(url, rows, indexes=True))
    print(f"{number:,} rows, {arguments.repeat} runs")
    ratios: dict[str, list[float]] = {}
    for side, each in seconds.items():
        ratios[side] = [copy / own for own, copy in zip(each, seconds["copy"], strict=True)]
        print(
            f"{side:22} {statistics.median(each):7.2f} s {number / statistics.median(each):12,.0f} rows/s   "
            f"{statistics.median(ratios[side]):.2f} of the copy "
            f"({min(ratios[side]):.2f} to {max(ratios[side]):.2f})"
        )
    if arguments.json:
        figures = {"rows": number, "seconds": seconds, "ratios": ratios}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
