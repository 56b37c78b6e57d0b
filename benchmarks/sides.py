"""What the benchmarks of reading share: a side in a process of its own, and a load from file to commit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path


def measured(script: str, **options: str | Path) -> dict[str, float]:
    """The figures that a script prints in its last line, run in a process of its own with these options."""
    arguments = [argument for name, value in options.items() for argument in (f"--{name}", str(value))]
    output = subprocess.run(
        [sys.executable, script, *arguments], check=True, capture_output=True, text=True
    ).stdout
    return json.loads(output.splitlines()[-1])


def seconds_to_load(log: Path, folder: Path, **settings: str) -> float:
    """From opening a new store in the folder to closing it, all of the log being in it."""
    from tailmetrics.ingest.load import load_files
    from tailmetrics.settings import load_settings
    from tailmetrics.stores.duckdb import store  # noqa: F401  # to import it is part of the start
    from tailmetrics.telemetry.log import configure_logging

    options = load_settings(
        None, store_url=f"duckdb:///{folder}/tailmetrics.duckdb", logging_level="ERROR", **settings
    )
    configure_logging(options)
    began = time.perf_counter()
    result = load_files(options, [log], lambda _: None)
    seconds = time.perf_counter() - began
    if result.state != "done":
        raise SystemExit(f"load failed: {result.error}")
    return seconds
