"""What counts when the same message, or an equal one, is delivered again; without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tailmetrics.errors import PositionConflict
from tailmetrics.ingest.committer import Committer
from tailmetrics.ingest.dataflow import ChunkParser
from tailmetrics.queues import QueueUrl
from tailmetrics.queues.broker import Received
from tailmetrics.queues.messages import Message, Place
from tailmetrics.settings import LogQueue, load_settings
from tailmetrics.sources import Acknowledgement, Batch
from tailmetrics.stores import Store, open_store
from tailmetrics.telemetry.metrics import Metrics
from tests.builders import settings_of
from tests.queues.consuming import log_of

ADDRESS = QueueUrl.parse("amqp://host/?queue=logs")
LOG = log_of(1, 100)


class Process:
    """One that consumes, on a store that outlives it."""

    def __init__(self, folder: Path, store: Any, **settings: Any) -> None:
        settings = {"max_line_bytes": 64, "chunk_bytes": 4096, **settings}
        self._settings = settings_of(folder / "unused.duckdb", **settings)
        self._store = store
        self._parse = ChunkParser(self._settings)

    def store(self, *messages: Message, acknowledged: bool = False, most_chunks: int = 1000) -> None:
        """Read and commit messages, and the note that they are acknowledged."""
        committed: list[Batch] = []
        committer = Committer(self._store, self._settings.commit_options, Metrics(), committed.append)
        for message in messages:
            for _ in range(most_chunks):
                if not message.is_read:
                    committer.put(self._parse(message.next_chunk(more=False)))
            if acknowledged:
                committer.put(self._parse(Acknowledgement(message.delivery)))
        committer.close()
        assert committer.failure is None, committer.failure

    def message(
        self, body: bytes = LOG, message_id: str | None = None, *, again: bool = False, queue: str = "logs"
    ) -> Message:
        return Message(
            Received(1, body, message_id, again, {}, None),
            place=Place(1, 1),
            queue=LogQueue(
                QueueUrl.parse(f"amqp://host/?queue={queue}"), load_settings(None).format_options("requests")
            ),
            broker_name="rabbit@host",
            options=self._settings.queue_options,
        )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(settings_of(tmp_path / "store.duckdb"))
    yield store
    store.close()


@pytest.fixture
def process(tmp_path: Path, store: Store) -> Process:
    return Process(tmp_path, store)


def logs(store: Store) -> float:
    return asyncio.run(store.status()).records / 100


def test_a_redelivered_message_without_an_id_counts_once(process: Process, store: Store) -> None:
    process.store(process.message())
    process.store(process.message(again=True), acknowledged=True)
    assert logs(store) == 1


def test_two_equal_messages_that_are_both_redelivered_count_twice(process: Process, store: Store) -> None:
    process.store(process.message(), process.message())
    process.store(process.message(again=True), process.message(again=True))
    assert logs(store) == 2


def test_one_of_two_equal_messages_was_never_stored(process: Process, store: Store) -> None:
    process.store(process.message())
    process.store(process.message(again=True), process.message(again=True))
    assert logs(store) == 2


def test_what_was_surely_acknowledged_is_not_what_is_redelivered(process: Process, store: Store) -> None:
    process.store(process.message(), acknowledged=True)
    process.store(process.message(again=True))
    assert logs(store) == 2


def test_a_message_redelivered_twice_counts_once(tmp_path: Path, store: Store) -> None:
    for again in (False, True, True):
        process = Process(tmp_path, store)
        process.store(process.message(again=again))
    assert logs(store) == 1


def test_the_same_id_and_content_in_two_queues_is_two_logs(process: Process, store: Store) -> None:
    process.store(process.message(message_id="a"), process.message(message_id="a", queue="others"))
    assert logs(store) == 2


@pytest.mark.parametrize("message_id", ["a", None])
@pytest.mark.parametrize("chunk_bytes", [4096, 5000, 100_000])
def test_a_message_stored_in_part_is_gone_on_with_at_any_chunk_size(
    tmp_path: Path, store: Store, message_id: str | None, chunk_bytes: int
) -> None:
    body = log_of(7, 1000)
    first = Process(tmp_path, store)
    first.store(first.message(body, message_id), most_chunks=3)
    assert 0 < logs(store) < 10
    second = Process(tmp_path, store, chunk_bytes=chunk_bytes)
    second.store(second.message(body, message_id, again=True))
    assert logs(store) == 10


class Rival:
    """A store into which another process puts the same message just before the first commit."""

    def __init__(self, store: Store, other: Process) -> None:
        self._store = store
        self._other = other
        self._is_due = True
        self.conflicts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, batches: list[Batch]) -> None:
        if self._is_due:
            self._is_due = False
            self._other.store(self._other.message(message_id="a"))
        try:
            self._store.write(batches)
        except PositionConflict:
            self.conflicts += 1
            raise


def test_a_message_that_two_processes_store_at_the_same_time_counts_once(
    tmp_path: Path, store: Store, process: Process
) -> None:
    rival = Rival(store, process)
    first = Process(tmp_path, rival)
    first.store(first.message(message_id="a"), first.message(message_id="b"))
    assert (logs(store), rival.conflicts) == (2, 1)
