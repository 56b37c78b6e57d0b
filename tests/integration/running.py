"""The real service as a process, and what is in its store when it has ended."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import httpx

START_SECONDS = 20.0

_FIRST_PORT, _PORTS = 16_000, 16_000

_RIGHTS = "-dac_override,-dac_read_search"
WITHOUT_ROOTS_RIGHTS = ["setpriv", "--bounding-set", _RIGHTS, "--inh-caps", _RIGHTS]


class Service:
    """`tailmetrics up` on a free port of the loopback, with its own folder."""

    def __init__(self, folder: Path, log_file_path: str, **settings: str) -> None:
        self.folder = folder
        self.store = folder / "store.duckdb"
        self.port = free_port()
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("COV_")},
            "LOG_FILE_PATH": log_file_path,
            "STORE_URL": f"duckdb:///{self.store}",
            "API_PORT": str(self.port),
            "NODE_ID": "test",
            "ROTATED_HOLD_SECONDS": "1",
            **settings,
        }
        self.errors = folder / "service.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def start(
        self,
        *,
        wait: bool = True,
        as_root: bool = True,
        open_files: tuple[int, int] | None = None,
        command: str = "up",
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        """Start it, without root's right to read every file, or with limits of open files, if asked."""
        prefix = [] if as_root or os.getuid() else [*WITHOUT_ROOTS_RIGHTS]
        if open_files is not None:
            prefix += ["prlimit", "--nofile={}:{}".format(*open_files)]
        with self.errors.open("ab") as stream:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "tailmetrics", command],
                env=self.environment,
                cwd=self.folder,
                stdin=stdin,
                stdout=stream,
                stderr=stream,
            )
        if wait:
            await_that(self.is_ready, START_SECONDS, self.said)

    def limit_open_files(self, *, spare: int) -> None:
        """Let the running process open so many files more than it has open now."""
        assert self.process is not None
        open_now = len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (open_now + spare, hard))

    def said(self) -> str:
        """What the service wrote to its standard error."""
        return self.errors.read_text(errors="replace")

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/ready").status_code == 200
        return False

    def answers(self) -> bool:
        try:
            return self.is_ready()
        except AssertionError:
            return False

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 15.0) -> int:
        """Send a signal; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.runs():
            self.kill()
        self.client.close()

    def total(self) -> int:
        """Requests of all customers, by the API."""
        return int(self.client.get("/stats", params={"every": "none"}).json()["total_requests"])

    def lag_bytes(self) -> int:
        return sum(source["lag_bytes"] for source in self.client.get("/ready").json()["sources"])

    def await_total(self, count: int, seconds: float = 30.0) -> None:
        await_that(
            lambda: self.total() >= count, seconds, lambda: f"{self.total()} of {count}\n{self.said()}"
        )

    def rows(self, sql: str) -> list[tuple]:
        """What the store holds; the service must have ended."""
        with duckdb.connect(str(self.store), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def numbers(self) -> list[int]:
        """The numbers of all lines in the store, which the path of each carries, in ascending order."""
        return [
            row[0]
            for row in self.rows(
                "SELECT regexp_extract(path, '[0-9]+$')::BIGINT AS n FROM records ORDER BY n"
            )
        ]


def await_that(condition: Callable[[], bool], seconds: float, explain: Callable[[], str] = str) -> None:
    """Wait until a condition holds; fails with an explanation when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.01)


def free_port() -> int:
    """A port that nobody has, below those which the system gives to connections that are made meanwhile."""
    while True:
        port = _FIRST_PORT + secrets.randbelow(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
