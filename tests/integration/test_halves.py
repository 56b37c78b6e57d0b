"""`tailmetrics ingest` and `tailmetrics serve` as processes of their own, on a store that is a server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests import servers
from tests.integration.running import await_that, free_port
from tests.tailing.following import append, numbered

pytestmark = pytest.mark.servers

Start = Callable[..., "Process"]

_SECONDS = 60.0  # for several processes to start


class Process:
    """A command of the program, and a client of the port on which it answers."""

    def __init__(self, folder: Path, *command: str, **settings: str) -> None:
        self.errors = folder / f"{free_port()}.log"
        port = str(free_port())
        environment = {**os.environ, "API_PORT": port, "METRICS_PORT": port, **settings}
        with self.errors.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tailmetrics", *command],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def said(self) -> str:
        return self.errors.read_text(errors="replace")

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/ready").status_code == 200
        return False

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.client.close()


@pytest.fixture
def store_url() -> str:
    return servers.postgresql().new_database()


@pytest.fixture
def start(tmp_path: Path, store_url: str) -> Iterator[Start]:
    started: list[Process] = []

    def begin(*command: str, **settings: str) -> Process:
        started.append(Process(tmp_path, *command, **{"STORE_URL": store_url, **settings}))
        return started[-1]

    yield begin
    for process in started:
        process.close()


def test_two_processors_fill_a_store_and_a_third_process_answers(start: Start, tmp_path: Path) -> None:
    processors = []
    for first, name in ((0, "web-1"), (500, "web-2")):
        append(tmp_path / f"{name}.log", *numbered(first, first + 500))  # equal ones may be copies
        processors.append(start("ingest", LOG_FILE_PATH=str(tmp_path / f"{name}.log"), NODE_ID=name))
    serving = start("serve")
    for process in (*processors, serving):
        await_that(process.is_ready, _SECONDS, process.said)

    def sources() -> dict[str, str]:
        return {source["path"]: source["state"] for source in serving.client.get("/ready").json()["sources"]}

    expected = {str(tmp_path / "web-1.log"): "live", str(tmp_path / "web-2.log"): "live"}
    await_that(lambda: sources() == expected, _SECONDS, lambda: str(sources()))
    await_that(lambda: serving.client.get("/stats").json()["total_requests"] == 1000, _SECONDS)
    [said] = processors[0].client.get("/ready").json()["sources"]
    assert (said["path"], said["lag_bytes"]) == (str(tmp_path / "web-1.log"), 0)
    assert "tailmetrics_records_total 500.0" in processors[0].client.get("/metrics").text
    assert processors[0].client.get("/health").json()["status"] == "alive"
    assert processors[0].client.get("/stats").status_code == 404
    processors[0].process.send_signal(signal.SIGTERM)
    assert processors[0].process.wait(5) == 0


def test_a_second_processor_of_a_log_ends_and_says_who_the_first_is(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    append(log, *numbered(0, 10))
    both = [start("ingest", LOG_FILE_PATH=str(log), NODE_ID="web-1") for _ in range(2)]
    numbers = iter(range(10, 100_000, 10))

    def one_has_ended() -> bool:
        # Both read all of it until one finds that the other was there before.
        first = next(numbers)
        append(log, *numbered(first, first + 10))
        return any(process.process.poll() is not None for process in both)

    await_that(one_has_ended, _SECONDS)
    [ended] = [process for process in both if process.process.poll() is not None]
    [going_on] = [process for process in both if process is not ended]
    assert f"process {going_on.process.pid} on " in ended.said()
    assert ended.process.returncode == 69
    assert going_on.process.poll() is None


def test_a_signal_ends_a_processor_whose_store_hangs(start: Start, tmp_path: Path) -> None:
    server = servers.mariadb()
    log = tmp_path / "x.log"
    append(log, *numbered(0, 10))
    process = start("ingest", LOG_FILE_PATH=str(log), STORE_URL=server.new_database())

    def is_stored() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return "tailmetrics_records_total 10.0" in process.client.get("/metrics").text
        return False

    await_that(is_stored, _SECONDS, process.said)
    server.pause()
    try:
        append(log, *numbered(10, 20))
        await_that(lambda: "tailmetrics_source_lag_bytes{" in process.client.get("/metrics").text, _SECONDS)
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(15) == 0
    finally:
        server.go_on()


def test_no_password_is_in_what_a_process_says_when_its_store_is_away(tmp_path: Path) -> None:
    url = f"postgresql://user:s3cret@127.0.0.1:{free_port()}/shop"
    away = Process(tmp_path, "ingest", STORE_URL=url, LOG_FILE_PATH=str(tmp_path / "x.log"))
    try:
        await_that(lambda: "user:***@127.0.0.1" in away.said(), _SECONDS, away.said)
        assert away.client.get("/ready").status_code == 503
        assert "s3cret" not in away.said() + away.client.get("/ready").text
    finally:
        away.close()
