"""A service as a process on the loopback, for the benchmarks: started, asked, measured, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

START_SECONDS = 60.0


class ServiceProcess:
    """`tailmetrics up` at its defaults but for what is given, with its store in `folder`."""

    def __init__(self, folder: Path, log_file_path: str, **settings: str) -> None:
        self.folder = folder
        self.store = folder / "store.duckdb"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._environment = {
            **os.environ,
            "LOG_FILE_PATH": log_file_path,
            "STORE_URL": f"duckdb:///{self.store}",
            "API_PORT": str(port),
            "LOGGING_LEVEL": "ERROR",
            **settings,
        }
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise SystemExit("the service was not started")
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tailmetrics", "up"], env=self._environment, cwd=self.folder
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the service did not become ready within {START_SECONDS:.0f} s")
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self) -> None:
        """End it as a service manager would, and check that it went well."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            if self._process.wait(30) != 0:
                raise SystemExit(f"the service ended with status {self._process.returncode}")
        self.client.close()

    def sources(self) -> list[dict]:
        """What /ready says of each log."""
        return self.client.get("/ready").json()["sources"]

    def resident_mb(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
