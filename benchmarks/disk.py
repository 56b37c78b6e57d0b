"""How large the store is beside the log it was made from, after its rows have been sorted."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from ingest import write_log
from tailmetrics.ingest.load import load_files
from tailmetrics.settings import load_settings
from tailmetrics.stores.duckdb.store import DuckDBStore
from tailmetrics.telemetry.log import configure_logging


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=5_000_000)
    parser.add_argument("--log", type=Path, help="a log of one's own, of requests lines")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = arguments.log or folder / "requests.log"
        if arguments.log is None:
            write_log(log, arguments.lines)
        path = folder / "store.duckdb"
        settings = load_settings(None, store_url=f"duckdb:///{path}", logging_level="ERROR")
        configure_logging(settings)
        load_files(settings, [log], lambda _: None)
        fresh = path.stat().st_size
        store = DuckDBStore(settings)
        while not store.is_compacted:
            time.sleep(0.1)
        store.close()
        size = log.stat().st_size
        print(f"log {size / 1e6:.0f} MB, store after loading {fresh / size:.2f} of it")
        print(f"store after sorting {path.stat().st_size / size:.2f} of the log (goal 0.35)")


if __name__ == "__main__":
    main()
