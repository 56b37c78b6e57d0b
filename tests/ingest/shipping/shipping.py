"""`tailmetrics ship`, as a process or within this one, and the files that a topic holds, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tailmetrics.ingest.shipping.carrying import ChunkCarrier
from tailmetrics.ingest.shipping.store import shipping_store
from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.settings import load_settings
from tailmetrics.stores import Store, open_store
from tailmetrics.telemetry.metrics import Metrics
from tailmetrics.urls import KafkaUrl
from tests.integration.running import await_that
from tests.kafka import Kafka

SECONDS = 60.0


class Ship:
    """Follows `*.log*` of a folder; what it keeps is in there too."""

    def __init__(self, folder: Path, url: str, **settings: str) -> None:
        self.logs = folder / "logs"
        self.logs.mkdir()
        self._folder = folder
        self._errors = folder / "ship.log"
        self._environment = {
            **os.environ,
            "LOG_FILE_PATH": f"{self.logs}/*.log",
            "LOG_FORMAT": "requests",
            "SHIP_TO": url,
            "SHIP_STORE_URL": f"duckdb:///{folder}/ship.duckdb",
            "METRICS_PORT": "0",
            "NODE_ID": "edge",
            "ROTATED_HOLD_SECONDS": "1",
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._errors.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tailmetrics", "ship"],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

    def said(self) -> str:
        return self._errors.read_text(errors="replace")

    def await_said(self, text: str) -> None:
        await_that(lambda: text in self.said(), SECONDS, self.said)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self) -> int:
        """SIGTERM; its exit status, within the 5 s that it has."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(5)


def sent_files(kafka: Kafka, topic: str) -> dict[str, bytes]:
    """What a topic holds of each source, as a reader takes it: what comes twice once, and nothing missing."""
    files: dict[str, bytearray] = {}
    for message in kafka.messages(topic):
        headers = dict(message.headers())
        assert message.key() == headers["tailmetrics-source"]
        content = files.setdefault(message.key().decode(), bytearray())
        begin, end = int(headers["tailmetrics-offset"]), int(headers["tailmetrics-end"])
        assert begin <= len(content), f"a gap before byte {begin}"
        assert end - begin == len(message.value())
        content += message.value()[len(content) - begin :]
    return {source: bytes(content) for source, content in files.items()}


def await_lines(kafka: Kafka, topic: str, lines: int, explain: Callable[[], str] = str) -> dict[str, bytes]:
    """Wait until a topic holds so many different lines."""

    def held() -> int:
        return sum(content.count(b"\n") for content in sent_files(kafka, topic).values())

    await_that(lambda: held() >= lines, SECONDS, lambda: f"{held()} of {lines}\n{explain()}")
    return sent_files(kafka, topic)


@contextmanager
def shipping(folder: Path, url: str, store: Store | None = None, **settings: Any) -> Iterator[Supervisor]:
    """What the command runs, on the logs of a folder, until the context ends."""
    values = {"log_file_path": (f"{folder}/*.log",), "log_format": "requests", "node_id": "edge"} | settings
    values |= {"ship_to": url}
    own = load_settings(None, store_url=f"duckdb:///{folder}/ship.duckdb", **values)
    shipped = shipping_store(store or open_store(own), KafkaUrl.parse(url), own.node_id)
    supervisor = Supervisor(own, shipped, Metrics(), parser=ChunkCarrier)
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
        shipped.close()
    assert supervisor.failure is None
