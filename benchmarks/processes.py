"""How many lines a second `tailmetrics ingest --processes N` brings from files into PostgreSQL, by N.

The server is started for this, with its own defaults. Files are moved into the folder that is followed when
all processes are ready, and time counts until the last of their lines is committed. CPU seconds are those of
the processes of ingest, and of the server, meanwhile. Sides take turns in one run; figures are medians, and
ratios those of runs side by side. Where no core is left more processes cannot be faster: the cores that were
busy tell. With --commit-milliseconds each commit waits so long, as for a server or disk that is further away.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.servers import running

from formats import requests_lines
from formats_json import lines as json_lines
from postgresql import DurablePostgreSQL

_FORMATS = {
    "requests": requests_lines,
    "json": lambda count: json_lines("flat", count, 1),
}
_SECONDS = 900.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: seconds of the wall clock, and CPU seconds of both sides."""

    seconds: float
    ingest: float
    server: float


def cpu_seconds(pid: int) -> float:
    """Of a process and its children, those that ended and those that live."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, fields[11:15])) / _TICKS
    return own + sum(map(cpu_seconds, children(pid)))


def children(pid: int) -> Iterator[int]:
    return map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def first_port(count: int) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return min(int(probe.getsockname()[1]), 65_535 - count)


def await_ready(ports: range, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    for port in ports:
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the processes did not become ready") from None
            time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Logs:
    """What is read: files of so many lines in all, in one format."""

    files: list[Path]
    lines: int
    log_format: str
    commit_lines: int


def measure(count: int, given: Logs, url: str, server: int) -> Measured:
    with tempfile.TemporaryDirectory(dir=given.files[0].parent) as name:
        logs = Path(name) / "logs"
        logs.mkdir()
        ports = range(first := first_port(count), first + count)
        environment = {
            **os.environ,
            "STORE_URL": url,
            "LOG_FILE_PATH": f"{given.log_format}={logs}/*.log",
            "METRICS_PORT": str(first),
            "STREAM_MAX_SIZE": str(given.commit_lines),
            "LOGGING_LEVEL": "ERROR",
            "NODE_ID": "benchmark",
        }
        command = [sys.executable, "-m", "tailmetrics", "ingest", "--processes", str(count)]
        process = subprocess.Popen(command, env=environment, cwd=name, stdin=subprocess.DEVNULL)
        try:
            await_ready(ports, process)
            time.sleep(1.0)
            before, server_before = cpu_seconds(process.pid), cpu_seconds(server)
            began = time.perf_counter()
            for file in given.files:
                os.link(file, logs / file.name)
            await_lines(url, given.lines)
            seconds = time.perf_counter() - began
            return Measured(seconds, cpu_seconds(process.pid) - before, cpu_seconds(server) - server_before)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def await_lines(url: str, lines: int) -> None:
    deadline = time.monotonic() + _SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            row = connection.execute("SELECT records + rejects FROM store").fetchone()
            if row is not None and row[0] >= lines:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"{row} of {lines} lines after {_SECONDS:g} s")
            time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--format", choices=list(_FORMATS), default="requests")
    parser.add_argument("--commit-lines", type=int, default=250_000, help="in one commit, at most")
    parser.add_argument("--commit-milliseconds", type=int, default=0, help="that each waits, up to 100")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    arguments = parser.parse_args()
    each = arguments.lines // arguments.files
    lines = each * arguments.files
    found: dict[int, list[Measured]] = {count: [] for count in arguments.processes}
    with tempfile.TemporaryDirectory() as folder, running(DurablePostgreSQL) as server:
        text = list(_FORMATS[arguments.format](lines))
        files = [Path(folder) / f"web-{number}.log" for number in range(arguments.files)]
        for number, file in enumerate(files):
            file.write_text("".join(text[number * each : (number + 1) * each]))
        del text
        pid = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
        given = Logs(files, lines, arguments.format, arguments.commit_lines)
        if arguments.commit_milliseconds:
            delay = 1000 * arguments.commit_milliseconds
            server.execute("ALTER SYSTEM SET commit_siblings = 0")
            server.execute(f"ALTER SYSTEM SET commit_delay = {delay}")
            server.execute("SELECT pg_reload_conf()")
        for _ in range(arguments.repeat):
            for count in arguments.processes:
                url = server.new_database()
                found[count].append(measure(count, given, url, pid))
    say(found, lines, arguments.format)
    if arguments.json:
        figures = {str(count): [vars_of(run) for run in runs] for count, runs in found.items()}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def say(found: dict[int, list[Measured]], lines: int, log_format: str) -> None:
    print(f"{lines:,} lines of {log_format}, {len(next(iter(found.values())))} runs, {os.cpu_count()} cores")
    first = next(iter(found.values()))
    for count, runs in found.items():
        seconds = statistics.median(run.seconds for run in runs)
        faster = [alone.seconds / run.seconds for alone, run in zip(first, runs, strict=True)]
        busy = statistics.median((run.ingest + run.server) / run.seconds for run in runs)
        print(
            f"{count:2} processes {seconds:7.2f} s {lines / seconds:11,.0f} lines/s, "
            f"{statistics.median(faster):.2f} of the first ({min(faster):.2f} to {max(faster):.2f}); CPU "
            f"{statistics.median(run.ingest for run in runs):.1f} s of ingest, "
            f"{statistics.median(run.server for run in runs):.1f} s of the server, {busy:.2f} cores busy"
        )


def vars_of(run: Measured) -> dict[str, float]:
    return {"seconds": run.seconds, "ingest": run.ingest, "server": run.server}


if __name__ == "__main__":
    main()
