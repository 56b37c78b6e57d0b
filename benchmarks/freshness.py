"""How long an appended line takes until the API's answer has it, while nothing else happens.

The service runs as a process at its default settings; the client asks over one connection without pause from
the moment of the append. The floor is the time of one answer, which a line cannot beat.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

PORT = 18_231


def seconds_until_visible(client: httpx.Client, log: Path, count: int) -> float:
    line = b"2024-11-06 06:33:33 cust_1 /api/v1/resource1 200 0.316\n"
    began = time.perf_counter()
    with log.open("ab", buffering=0) as stream:
        stream.write(line)
    while total(client) < count:
        pass
    return time.perf_counter() - began


def total(client: httpx.Client) -> int:
    answer = client.get("/customers/cust_1/stats", params={"every": "none"})
    return answer.json()["total_requests"] if answer.status_code == 200 else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, httpx.Client(
        base_url=f"http://127.0.0.1:{PORT}", timeout=10
    ) as client:
        log = Path(folder) / "requests.log"
        log.touch()
        environment = {
            **os.environ,
            "LOG_FILE_PATH": str(log),
            "STORE_URL": f"duckdb:///{folder}/store.duckdb",
            "API_PORT": str(PORT),
            "LOGGING_LEVEL": "ERROR",
        }
        service = subprocess.Popen([sys.executable, "-m", "tailmetrics", "up"], env=environment, cwd=folder)
        try:
            wait_until_ready(client)
            seconds_until_visible(client, log, 1)
            times = []
            answers = []
            for count in range(2, arguments.lines + 2):
                time.sleep(0.05)  # what came before is over: each line meets an idle service
                began = time.perf_counter()
                total(client)
                answers.append(time.perf_counter() - began)
                times.append(seconds_until_visible(client, log, count))
            cpu = idle_cpu_percent(service.pid)
        finally:
            service.terminate()
            service.wait(10)
    figures = {
        "median_ms": 1000 * statistics.median(times),
        "p99_ms": 1000 * statistics.quantiles(times, n=100)[98],
        "answer_median_ms": 1000 * statistics.median(answers),
        "idle_cpu_percent": cpu,
    }
    print(f"visible after: median {figures['median_ms']:.1f} ms, p99 {figures['p99_ms']:.1f} ms")
    print(f"one answer:    median {figures['answer_median_ms']:.1f} ms")
    print(f"idle:          {cpu:.1f} % of a core")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if client.get("/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise SystemExit("the service did not become ready in 30 s")


def idle_cpu_percent(process: int, seconds: float = 5.0) -> float:
    ticks = os.sysconf("SC_CLK_TCK")

    def used() -> float:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    before = used()
    time.sleep(seconds)
    return 100 * (used() - before) / seconds


if __name__ == "__main__":
    main()
