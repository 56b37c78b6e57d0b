"""Several processes on one queue and one store, killed while they are at it, and a broker restarted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.integration.running import await_that
from tests.queues.broker import Broker, Queue
from tests.queues.consuming import log_of

_LINES = 3  # of each log


class Consumers:
    """`tailmetrics ingest` three times, on one queue of a broker, or topic, and one PostgreSQL."""

    topic = ""

    def __init__(self, folder: Path, queue_url: str) -> None:
        self._folder = folder
        self._queue_url = queue_url
        self._url = servers.postgresql().new_database()
        self._log = folder / "ingest.log"
        self._processes = [self._start(number) for number in range(3)]

    def kill_one(self, chance: random.Random) -> None:
        """`kill -9`, and another one in its place."""
        number = chance.randrange(len(self._processes))
        self._processes[number].kill()
        self._processes[number].wait()
        self._processes[number] = self._start(number)

    def signal_one(self, chance: random.Random, number: signal.Signals) -> None:
        chance.choice(self._processes).send_signal(number)

    def signal_all(self, number: signal.Signals) -> None:
        for process in self._processes:
            process.send_signal(number)

    def ask(self, sql: str) -> list[tuple]:
        return servers.postgresql().execute(sql, database=self._url.rpartition("/")[2])

    def total(self) -> int:
        if not self.ask("SELECT 1 FROM pg_tables WHERE tablename = 'records'"):
            return 0
        return int(self.ask("SELECT count(*) FROM records")[0][0])

    def said(self) -> str:
        return f"{self.total()} records\n{self._log.read_text()[-3000:]}"

    def end(self) -> list[int]:
        """SIGTERM to all; their statuses."""
        for process in self._processes:
            process.terminate()
        return [process.wait(30) for process in self._processes]

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        folder = self._folder / str(number)
        folder.mkdir(exist_ok=True)
        settings = {
            "LOG_FILE_PATH": self._queue_url,
            "STORE_URL": self._url,
            "NODE_ID": f"consumer-{number}",
            "METRICS_PORT": "0",
            "QUEUE_PREFETCH": "50",
        }
        with self._log.open("ab") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "tailmetrics", "ingest"],
                env={**os.environ, **settings},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )


@pytest.fixture
def consumers(tmp_path: Path, queue: Queue) -> Iterator[Consumers]:
    consumers = Consumers(tmp_path, queue.url)
    yield consumers
    consumers.close()


def each_log_counts_once(
    consumers: Consumers, broker: Broker, queue: Queue, messages: int, kills: int, *, ids: bool
) -> None:
    chance = random.Random(7)
    for number in range(messages):
        queue.send(log_of(number, _LINES), **({"message_id": f"log {number}"} if ids else {}))
    queue.close()
    expected = messages * _LINES
    for kill in range(1, kills + 1):
        # Spread over the work, however fast the machine is.
        due = expected * kill // (kills + 1) + chance.randrange(20)
        await_that(lambda due=due: consumers.total() >= min(due, expected), 300, consumers.said)
        consumers.kill_one(chance)
        if ids and kill == (kills + 1) // 2:
            broker.stop()
            broker.start()
    await_that(lambda: consumers.total() >= expected, 300, consumers.said)
    # Logs whose consumer was killed between their commit and the acknowledgement are delivered once more.
    await_that(lambda: broker.unacknowledged(queue.name) == 0, 60, consumers.said)
    # The last one that was started may be told to end before it has begun.
    assert set(consumers.end()) <= {0, -signal.SIGTERM}, consumers.said()
    assert consumers.ask("SELECT count(*), count(DISTINCT path) FROM records") == [(expected, expected)]


def test_each_log_counts_once_when_consumers_are_killed_and_the_broker_is_restarted(
    consumers: Consumers, broker: Broker, queue: Queue
) -> None:
    each_log_counts_once(consumers, broker, queue, messages=300, kills=2, ids=True)


def test_each_log_without_an_id_counts_once_when_consumers_are_killed(
    consumers: Consumers, broker: Broker, queue: Queue
) -> None:
    each_log_counts_once(consumers, broker, queue, messages=150, kills=1, ids=False)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_ten_thousand_logs_count_once_when_consumers_are_killed_and_the_broker_is_restarted(
    consumers: Consumers, broker: Broker, queue: Queue
) -> None:
    each_log_counts_once(consumers, broker, queue, messages=10_000, kills=25, ids=True)
