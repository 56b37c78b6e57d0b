"""What a heavy question costs, and what others wait for meanwhile: another customer's question, and /health.

A service with its store in a folder of its own is loaded with a log of so many lines over eight days. Each
heavy question is asked by one client and then by several at once, for so many seconds, while one client asks
for another customer and one for /health. First byte, whole answer, its size, and the service's peak of memory
stand beside the quantiles of what the others waited.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from running import ServiceProcess

QUESTIONS = (
    "/stats?every=1s&from=-7d",
    "/stats?every=1s&from=-7d&fill=true",
    "/stats?every=1s&from=-7d&format=csv",
    "/view?every=1s&from=-7d",
    "/stats?every=15s&from=-7d",
    "/stats?every=15s&from=-7d&format=csv",
    "/customers/cust_1/stats?every=15s&from=-7d",
    "/stats?every=1m&from=-10000m&to=now&fill=true",
    "/stats?every=1m",
    "/customers?limit=1000&sort=-p99&from=-7d",
    "/breakdown?top=1000&from=-7d",
)
LIGHT = "/customers/cust_2/stats?from=-7d"  # moves with the clock, so that it is never kept


@dataclass
class Heavy:
    """The longest of several answers to a question."""

    status: int = 0
    first_byte: float = 0.0
    whole: float = 0.0
    size: int = 0
    answers: int = 0

    def ask(self, url: str, path: str) -> None:
        began = time.perf_counter()
        with httpx.stream("GET", f"{url}{path}", timeout=120) as response:
            pieces = response.iter_raw()
            size = len(next(pieces, b""))
            first_byte = time.perf_counter() - began
            size += sum(map(len, pieces))
        self.status = max(self.status, response.status_code)
        self.first_byte = max(self.first_byte, first_byte)
        self.whole = max(self.whole, time.perf_counter() - began)
        self.size, self.answers = max(self.size, size), self.answers + 1


class Light:
    """One client that asks the same again and again, and notes how long each answer took."""

    def __init__(self, url: str, path: str) -> None:
        self.seconds: list[float] = []
        self.failed = 0
        self._client, self._path = httpx.Client(base_url=url, timeout=60), path

    def ask(self) -> None:
        began = time.perf_counter()
        status = self._client.get(self._path).status_code
        self.seconds.append(time.perf_counter() - began)
        self.failed += status != 200
        time.sleep(0.01)

    def quantiles(self) -> str:
        """Median, 99th percentile and maximum in milliseconds."""
        taken = sorted(self.seconds) or [float("nan")]
        places = (len(taken) // 2, min(len(taken) - 1, len(taken) * 99 // 100), -1)
        return " ".join(f"{taken[place] * 1000:6.1f}" for place in places) + f" {self.failed:3d}"


@contextlib.contextmanager
def repeated(*asks: Callable[[], None]) -> Iterator[threading.Event]:
    """Each called again and again in a thread of its own, until the context ends."""
    ended = threading.Event()

    def run(ask: Callable[[], None]) -> None:
        while not ended.is_set():
            ask()

    threads = [threading.Thread(target=run, args=(ask,)) for ask in asks]
    for thread in threads:
        thread.start()
    try:
        yield ended
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def measure(service: ServiceProcess, path: str, clients: int, seconds: float) -> None:
    url = str(service.client.base_url)
    Path(f"/proc/{service.pid}/clear_refs").write_text("5")
    heavy, customer, health = Heavy(), Light(url, LIGHT), Light(url, "/health")
    with repeated(customer.ask, health.ask, *[lambda: heavy.ask(url, path)] * clients):
        time.sleep(seconds)
    answers = f"{heavy.answers:4d} {heavy.status:4d} {heavy.first_byte:6.2f} {heavy.whole:6.2f}"
    print(
        f"{path:47} {clients:2d} {answers} {heavy.size / 1e6:6.1f} {peak_mb(service.pid):5.0f} | "
        f"{customer.quantiles()} | {health.quantiles()} | {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def load(service: ServiceProcess, log: Path, lines: int) -> None:
    command = [sys.executable, "-m", "tailmetrics", "generate", "--file", str(log), "--days", "8"]
    command += ["--max-logs", str(lines), "--interval", "0", "--batch-size", str(min(lines, 200_000))]
    subprocess.run([*command, "--seed", "1"], check=True)
    service.start()
    deadline = time.monotonic() + 300
    while service.client.get("/stats?every=none").json()["total_requests"] < lines:
        if time.monotonic() > deadline:
            raise SystemExit("the log was not read within 300 s")
        time.sleep(0.5)
    time.sleep(5)  # in which records are sorted


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--clients", type=int, default=4, help="that ask the heavy question at once")
    parser.add_argument("--seconds", type=float, default=5, help="for each question")
    parser.add_argument("--store", help="STORE_URL, where it is not a DuckDB file")
    parser.add_argument("--question", action="append", help="one of your own, in place of those here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bounded-") as folder:
        log = Path(folder) / "requests.log"
        own = {"STORE_URL": options.store} if options.store else {}
        service = ServiceProcess(Path(folder), str(log), **own)
        try:
            load(service, log, options.lines)
            print(
                f"{'question':47} at answers status first  whole     MB  peak | "
                "other customer: median p99 max failed | /health | load"
            )
            measure(service, "nothing", 0, options.seconds)
            for path in options.question or QUESTIONS:
                for clients in (1, options.clients):
                    measure(service, path, clients, options.seconds)
        finally:
            service.end()


if __name__ == "__main__":
    main()
