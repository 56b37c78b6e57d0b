"""The whole way: files, a topic of Kafka, two processors, ClickHouse, and two services that answer for it."""

from __future__ import annotations

import csv
import io
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import kafka, servers
from tests.integration.running import await_that
from tests.integration.test_halves import Process
from tests.tailing.following import append, numbered

pytestmark = pytest.mark.servers

_SECONDS = 60.0  # for several processes to start


class Cluster:
    """Processes of one topic and one store, each in a folder that all of them have."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.logs = folder / "logs"  # not beside what the processes say
        self.logs.mkdir()
        self._broker = kafka.shared()
        topic = self._broker.new_topic(6)
        self._settings = {
            "STORE_URL": servers.clickhouse().new_database(),
            "SHIP_TO": self._broker.url(topic),
        }
        self._topic = f"{self._broker.url(topic)}?group={topic}"
        self._closing = ExitStack()

    def start(self, *commands: str) -> list[Process]:
        """Start them side by side, and wait until all are ready."""
        logs = {"ship": f"{self.logs}/*.log", "ingest": self._topic}
        started = []
        for command in commands:
            log = {"LOG_FILE_PATH": logs[command]} if command in logs else {}
            started.append(Process(self._folder, command, NODE_ID=command, **self._settings, **log))
            self._closing.callback(started[-1].close)
        for process in started:
            await_that(process.is_ready, _SECONDS, process.said)
        return started

    def close(self) -> None:
        self._closing.close()


def total(service: Process) -> int:
    return int(service.client.get("/stats", params={"every": "none"}).json()["total_requests"])


def numbers(service: Process) -> list[int]:
    """Those of all lines in the store, in ascending order."""
    text = service.client.get("/records", params={"format": "csv"}).text
    return sorted(int(row["path"].rpartition("/")[2]) for row in csv.DictReader(io.StringIO(text)))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


def test_each_line_counts_once_while_one_of_each_process_ends(cluster: Cluster) -> None:
    for name in (0, 1):
        append(cluster.logs / f"{name}.log", *numbered(name * 1000, name * 1000 + 500))
    shipper, processor, other, *services = cluster.start("ship", "ingest", "ingest", "serve", "serve")
    for service in services:
        await_that(lambda asked=service: total(asked) == 1000, _SECONDS, other.said)  # type: ignore[misc]
    shipper.process.kill()
    services[0].process.kill()
    processor.process.send_signal(signal.SIGTERM)
    for name in (0, 1):
        append(cluster.logs / f"{name}.log", *numbered(name * 1000 + 500, name * 1000 + 1000))
    cluster.start("ship")
    await_that(lambda: total(services[1]) >= 2000, _SECONDS, other.said)
    assert numbers(services[1]) == list(range(2000))
    assert processor.process.wait(_SECONDS) == 0
