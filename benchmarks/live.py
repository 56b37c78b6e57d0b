"""What open pages cost the service, and how soon a page shows its first figures and a new line.

The service runs as a process of its own on a log that grows once a second; its processor time is read from
/proc with and without pages. Pages are streams as a browser opens them; with --browser one is opened in
Chromium, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

CUSTOMERS = 50
VIEW = "/live?from=-1h&to=now&sort=-requests&limit=50&page=1"
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")


def lines(number: int, spread_seconds: int, customer: str = "") -> str:
    now = datetime.now(timezone.utc)
    return "".join(
        f"{now - timedelta(seconds=place % spread_seconds if spread_seconds else 0):%Y-%m-%d %H:%M:%S} "
        f"{customer or f'cust_{place % CUSTOMERS}'} /api/v1/resource{place % 4} "
        f"{500 if place % 17 == 0 else 200} 0.{place % 900 + 100}\n"
        for place in range(number)
    )


@contextmanager
def service(folder: Path, log: Path) -> Iterator[tuple[str, int]]:
    """Address and process id of `tailmetrics up`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "LOG_FILE_PATH": str(log),
        "STORE_URL": f"duckdb:///{folder}/store.duckdb",
        "API_PORT": str(port),
    }
    command = [sys.executable, "-m", "tailmetrics", "up", "--logging-level", "ERROR"]
    with subprocess.Popen(command, env=environment, cwd=folder) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: total(url) > 0)
            yield url, process.pid
        finally:
            process.terminate()


def total(url: str) -> int:
    try:
        with urllib.request.urlopen(f"{url}/stats?every=none") as answer:  # noqa: S310  # of this machine
            return int(json.load(answer)["total_requests"])
    except OSError:
        return 0


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]  # a function without arguments
        if time.monotonic() > deadline:
            raise SystemExit("the service did not get ready within 30 seconds")
        time.sleep(0.1)


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def follow(url: str, arrivals: list[tuple[float, int]]) -> None:
    """Read one stream as long as it goes; notes when each state came and how many bytes it had."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**22)
    writer.write(f"GET {VIEW} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    while line := await reader.readline():
        if line.startswith(b"data: "):
            arrivals.append((time.monotonic(), len(line)))


async def measure(url: str, pid: int, log: Path, pages: int, seconds: int) -> tuple[float, list[float], int]:
    """Share of a core, seconds from an append to its arrival at the last page, and states received."""
    streams: list[list[tuple[float, int]]] = [[] for _ in range(pages)]
    tasks = [asyncio.create_task(follow(url, arrivals)) for arrivals in streams]
    await asyncio.sleep(3)
    begun, spent = time.monotonic(), processor_seconds(pid)
    delays = []
    for _ in range(seconds):
        appended = time.monotonic()
        with log.open("a", encoding="utf-8") as file:
            file.write(lines(10, 0))
        await asyncio.sleep(1 - (time.monotonic() - appended))
        arrived = [next((at for at, _ in each if at > appended), None) for each in streams]
        if arrived and None not in arrived:
            delays.append(max(at for at in arrived if at is not None) - appended)
    share = (processor_seconds(pid) - spent) / (time.monotonic() - begun)
    received = sum(sum(at > begun for at, _ in each) for each in streams)
    for task in tasks:
        task.cancel()
    return share, delays, received


def in_browser(url: str) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        firsts, sizes = [], []
        for _ in range(5):
            page = browser.new_page()
            session = page.context.new_cdp_session(page)
            session.send("Network.enable")
            received: list[int] = []
            session.on(
                "Network.loadingFinished",
                lambda event, into=received: into.append(event["encodedDataLength"]),
            )
            page.goto(url)
            page.wait_for_selector("#shown:not([hidden])")
            firsts.append(page.evaluate("performance.getEntriesByName('first-figures')[0].startTime"))
            page.wait_for_timeout(300)
            sizes.append(sum(received))
            page.close()
        browser.close()
    print(f"first figures: median {statistics.median(firsts):.0f} ms, worst {max(firsts):.0f} ms (goal: 500)")
    print(f"over the wire, without the stream: {max(sizes) / 1000:.0f} kB (goal: 200)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--browser", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "requests.log"
        log.write_text(lines(arguments.records, 3600), encoding="utf-8")
        with service(folder, log) as (url, pid):
            if arguments.browser:
                in_browser(url)
            for pages in (0, 1, arguments.pages):
                share, delays, received = asyncio.run(measure(url, pid, log, pages, arguments.seconds))
                late = f", append to last page: {statistics.median(delays):.2f} s" if delays else ""
                print(f"{pages:4} pages: {100 * share:5.1f} % of a core, {received} states received{late}")


if __name__ == "__main__":
    main()
