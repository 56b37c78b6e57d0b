"""The containers of a copy of the project, on the engine that docker talks to."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.integration.running import await_that
from tests.paths import ROOT

SERVICES = ("influxdb", "log_generator", "log_processor", "api")
HEALTHY_SECONDS = 60.0

_PARTS = (
    ".dockerignore",
    ".env.local",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "cleanup.sh",
    "deploy",
    "docker-compose.yml",
    "pyproject.toml",
    "requirements.lock",
    "scripts",
    "src",
    "start.sh",
)


def _lasting_port() -> int:
    """A free port that no connection is given by chance while the image is built."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Stack:
    """A project of Compose with names and a port of its own; its generator writes 5,000 lines a second."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _lasting_port()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)
        self.project = f"tailmetrics-test-{os.getpid()}"
        self.cluster_port = _lasting_port()
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "CLUSTER_API_PORT": str(self.cluster_port),
        }
        for name in _PARTS:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        settings = folder / ".env.local"
        settings.write_text(re.sub(r"(?m)^LOG_BATCH_SIZE=.*", "LOG_BATCH_SIZE=500", settings.read_text()))

    def script(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the project; what it says is shown when a test fails."""
        done = subprocess.run(
            [f"./{name}", *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        sys.stdout.write(done.stdout + done.stderr)
        return done

    def start(self, *profiles: str) -> subprocess.CompletedProcess[str]:
        chosen = [part for name in profiles for part in ("--profile", name)]
        return self.script("start.sh", "--docker", "--port", str(self.port), *chosen)

    def docker(self, *arguments: str) -> str:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def container(self, service: str) -> str:
        """The id of the container of a service."""
        label = f"label=com.docker.compose.service={service}"
        return self.docker("ps", "--all", "--quiet", *self._own(), "--filter", label).strip()

    def kept(self, kind: str) -> list[str]:
        """The containers, volumes, networks or images of this project."""
        listing = ["ps", "--all"] if kind == "container" else [kind, "ls"]
        own = ["--filter", f"reference={self.project}*"] if kind == "image" else self._own()
        return self.docker(*listing, "--quiet", *own).split()

    def _own(self) -> list[str]:
        return ["--filter", f"label=com.docker.compose.project={self.project}"]

    def inspected(self, service: str, template: str) -> str:
        return self.docker("inspect", "--format", template, self.container(service)).strip()

    def await_health(self, service: str) -> None:
        template = "{{.State.Health.Status}}"
        await_that(lambda: self.inspected(service, template) == "healthy", HEALTHY_SECONDS)

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        answer.raise_for_status()
        return answer.json()

    def total(self) -> int:
        """Requests in the store; an API that is away has none to show."""
        try:
            return int(self.get("/stats?every=none")["total_requests"])
        except (httpx.HTTPError, KeyError):
            return 0

    @contextlib.contextmanager
    def asking(self, port: int) -> Iterator[None]:
        """Ask another port of it."""
        usual = self.client.base_url
        self.client.base_url = httpx.URL(f"http://127.0.0.1:{port}")
        try:
            yield
        finally:
            self.client.base_url = usual

    def await_growth(self) -> None:
        """Wait until there are requests in the store, and then more of them."""
        await_that(lambda: self.total() > 0, HEALTHY_SECONDS)
        before = self.total()
        await_that(lambda: self.total() > before, HEALTHY_SECONDS)

    def counted(self) -> dict[str, tuple[int, int]]:
        """Requests and failed ones of each customer, by the API."""
        rows = self.get("/customers?limit=1000")["customers"]
        return {row["customer_id"]: (row["total_requests"], row["failed_requests"]) for row in rows}

    def written(self) -> dict[str, tuple[int, int]]:
        """The same, by the lines of the log."""
        log = self.docker("exec", self.container("log_processor"), "cat", "/logs/requests.log")
        requests: Counter[str] = Counter()
        failed: Counter[str] = Counter()
        for line in log.splitlines():
            _, _, customer, _, status, _ = line.split(" ")
            requests[customer] += 1
            failed[customer] += int(status) >= 400
        return {customer: (requests[customer], failed[customer]) for customer in requests}
