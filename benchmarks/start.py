"""How soon the program is there: `--help`, and the first answer of `up` on a large store."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from query import Feeding, frames, settings_of
from running import ServiceProcess
from tailmetrics.stores.duckdb.store import DuckDBStore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    helps = [help_seconds() for _ in range(arguments.rounds)]
    print(f"--help: median {1000 * statistics.median(helps):.0f} ms (goal 300)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = DuckDBStore(settings_of(folder, "store"))
        feeding = Feeding(store)
        for frame in frames(arguments.rows, 50):
            feeding.commit(frame)
        store.close()
        starts = [up_seconds(folder) for _ in range(3)]
    print(f"up on {arguments.rows:,} rows: median {statistics.median(starts):.2f} s (goal 2)")


def help_seconds() -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "tailmetrics", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def up_seconds(folder: Path) -> float:
    """Until the first answer with figures, an address that has no answer yet being asked again."""
    service = ServiceProcess(folder, str(folder / "requests.log"))
    begun = time.perf_counter()
    try:
        service.start()
        service.client.get("/customers/cust_1/stats").raise_for_status()
        return time.perf_counter() - begun
    finally:
        service.end()


if __name__ == "__main__":
    main()
