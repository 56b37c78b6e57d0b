"""How long an appended line takes until the API's answer has it: alone, and while another log grows.

The service runs as a process at its default settings. From the moment of the append a client asks over one
connection, a millisecond after each answer. It is a lean one: it shares the processors with the service. The
floor is the time of one answer, which a line cannot beat.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from growing import Growing
from running import ServiceProcess

_PAUSE_SECONDS = 0.001


class Client:
    """Asks for one customer's requests over one connection."""

    def __init__(self, address: httpx.URL) -> None:
        self._connection = http.client.HTTPConnection(address.host, address.port or 80, timeout=30)

    def total(self) -> int:
        self._connection.request("GET", "/customers/probe/stats?every=none")
        answer = self._connection.getresponse()
        body = answer.read()
        return json.loads(body)["total_requests"] if answer.status == 200 else 0


def seconds_until_visible(client: Client, log: Path, count: int) -> float:
    line = b"2024-11-06 06:33:33 probe /api/v1/resource1 200 0.316\n"
    began = time.perf_counter()
    with log.open("ab", buffering=0) as stream:
        stream.write(line)
    while client.total() < count:
        time.sleep(_PAUSE_SECONDS)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--rate", type=int, default=50_000, help="lines a second of the other log")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "requests.log"
        log.touch()
        other = folder / "other.log"
        other.touch()
        service = ServiceProcess(folder, f"{folder}/*.log")
        service.start()
        try:
            client = Client(service.client.base_url)
            times, answers = measure(client, log, arguments.lines)
            with Growing(other, arguments.rate):
                time.sleep(1)
                count = client.total()
                busy = [
                    seconds_until_visible(client, log, count + place)
                    for place in range(1, arguments.lines + 1)
                ]
            service.end()
        finally:
            service.kill()
    figures = {
        "median_ms": 1000 * statistics.median(times),
        "p99_ms": 1000 * statistics.quantiles(times, n=100, method="inclusive")[98],
        "answer_median_ms": 1000 * statistics.median(answers),
        "busy_median_ms": 1000 * statistics.median(busy),
        "busy_p99_ms": 1000 * statistics.quantiles(busy, n=100, method="inclusive")[98],
    }
    print(
        f"visible after: median {figures['median_ms']:.1f} ms, p99 {figures['p99_ms']:.1f} ms (goal 25, 100)"
    )
    print(
        f"under {arguments.rate:,} lines/s: median {figures['busy_median_ms']:.1f} ms, "
        f"p99 {figures['busy_p99_ms']:.1f} ms (goal 1000)"
    )
    print(f"one answer:    median {figures['answer_median_ms']:.1f} ms")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(client: Client, log: Path, lines: int) -> tuple[list[float], list[float]]:
    """Seconds until each line was visible, and seconds of one answer without a new line."""
    seconds_until_visible(client, log, 1)
    times = []
    answers = []
    for count in range(2, lines + 2):
        time.sleep(0.05)  # what came before is over: each line meets an idle service
        began = time.perf_counter()
        client.total()
        answers.append(time.perf_counter() - began)
        times.append(seconds_until_visible(client, log, count))
    return times, answers


if __name__ == "__main__":
    main()
