"""The messages of all queues of a process as chunks."""

from __future__ import annotations

from pathlib import Path

import structlog

from tailmetrics.queues import QueueReader
from tailmetrics.settings import load_settings
from tests.integration.running import await_that
from tests.queues.broker import Queue
from tests.queues.consuming import AWAIT_SECONDS, consuming, log_of


def test_without_queues_nothing_comes_and_the_end_is_at_once() -> None:
    reader = QueueReader(load_settings(None).queue_options, lambda: None)
    assert (reader.next_chunks(), reader.acknowledged(), reader.statuses()) == ([], [], [])
    reader.close()


def test_brokers_that_say_nothing_hold_back_neither_the_end_nor_each_other(
    tmp_path: Path, silent_port: int, queue: Queue
) -> None:
    queue.send(log_of(1))
    silent = [f"amqp://guest:s3cret@127.0.0.1:{silent_port}/?queue=logs-{number}" for number in range(3)]
    with structlog.testing.capture_logs() as events, consuming(tmp_path, *silent, queue.url) as running:
        await_that(lambda: running.counts() == (1, 0), AWAIT_SECONDS)
    ends = [event for event in events if event["event"] == "ended while the store does not answer"]
    assert (ends, queue.waiting()) == ([], 0)
