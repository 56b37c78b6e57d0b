"""Beside a huge backlog a live file: how long until each of its lines is in the API's answer?

The backlog lies there before the service starts. Until it is read, or the time is over, one line after the
other is appended to the live file and asked for.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from running import ServiceProcess

BLOCK_LINES = 100_000


def write_backlog(path: Path, size: int) -> None:
    block = "".join(
        f"2024-11-06 06:33:33 cust_{n % 50} /api/v1/resource{n % 4} 200 0.{n % 1000:03}\n"
        for n in range(BLOCK_LINES)
    ).encode()
    with path.open("wb") as stream:
        while stream.tell() < size:
            stream.write(block)


def seconds_until_visible(service: ServiceProcess, live: Path, count: int, patience: float) -> float:
    began = time.perf_counter()
    with live.open("ab") as stream:
        stream.write(b"2024-11-06 06:33:33 live /api/v1/resource1 200 0.316\n")
    while time.perf_counter() - began < patience:
        answer = service.client.get("/customers/live/stats", params={"every": "none"})
        if answer.status_code == 200 and answer.json()["total_requests"] >= count:
            return time.perf_counter() - began
        time.sleep(0.005)
    raise SystemExit(f"a line of the live file was not there after {patience:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--seconds", type=float, default=300, help="the longest time to measure")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = int(arguments.gigabytes * 1e9)
        write_backlog(folder / "backlog.log", size)
        live = folder / "live.log"
        live.touch()
        service = ServiceProcess(folder, f"{folder}/*.log", NODE_ID="backlog")
        service.start()
        times: list[float] = []
        peak = 0.0
        began = time.perf_counter()
        try:
            while time.perf_counter() - began < arguments.seconds:
                times.append(seconds_until_visible(service, live, len(times) + 1, patience=60))
                peak = max(peak, service.resident_mb())
                if all(source["lag_bytes"] == 0 for source in service.sources()):
                    break
            read = sum(source["position"] for source in service.sources())
            seconds = time.perf_counter() - began
            service.end()
        finally:
            service.kill()
    print(
        f"{read / 1e9:.1f} GB of {size / 1e9:.1f} GB read in {seconds:.0f} s beside {len(times)} live lines"
    )
    print(
        f"a live line is visible after: median {statistics.median(times):.2f} s, "
        f"p99 {statistics.quantiles(times, n=100, method='inclusive')[98]:.2f} s, longest {max(times):.2f} s"
    )
    print(f"peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
