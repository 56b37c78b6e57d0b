"""Messages and brokers that the client library does not expect."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import pika.data
import pytest

from tailmetrics.errors import QueueError
from tailmetrics.queues import broker as broker_module
from tailmetrics.queues import messages
from tailmetrics.queues.broker import connected
from tailmetrics.urls import QueueUrl
from tests.integration.running import await_that
from tests.queues.broker import Broker, Queue
from tests.queues.consuming import AWAIT_SECONDS, consuming, log_of, rows


class Encoded:
    """A header's value as its bytes, which the client's own encoder would not make."""

    def __init__(self, data: bytes) -> None:
        self.data = data


@pytest.fixture
def raw_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = pika.data.encode_value

    def encode_value(pieces: list[bytes], value: Any) -> int:
        if isinstance(value, Encoded):
            pieces.append(value.data)
            return len(value.data)
        return encode(pieces, value)

    monkeypatch.setattr(pika.data, "encode_value", encode_value)


@pytest.mark.parametrize("seconds", [1_764_000_000_000, 2**64 - 1])
@pytest.mark.usefixtures("raw_headers")
def test_a_header_with_a_time_that_no_date_has_is_no_obstacle(
    tmp_path: Path, queue: Queue, seconds: int
) -> None:
    score = Encoded(b"T" + struct.pack(">Q", seconds))
    queue.send(log_of(1), headers={"score": score, "file-name": "odd.log"})
    queue.send(log_of(2))
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(2)
    assert (f"{queue.name}/odd.log",) in rows(tmp_path, "SELECT path FROM sources")


def test_an_id_that_is_no_text_is_an_id(tmp_path: Path, queue: Queue) -> None:
    queue.send(log_of(1), log_of(1), message_id=b"\xff\xfe\x80")
    queue.send(log_of(2))
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(2)
    assert (f"{queue.name}/\\xff\\xfe\\x80",) in rows(tmp_path, "SELECT path FROM sources")


def test_a_broker_that_says_nothing_is_tried_again(
    tmp_path: Path, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "_CONNECT_SECONDS", 0.1)
    url = f"amqp://guest:s3cret@127.0.0.1:{silent_port}/?queue=logs"
    with (
        pytest.raises(QueueError, match="cannot be reached") as caught,
        connected(QueueUrl.parse(url), "x"),
    ):
        pass
    assert not caught.value.is_final
    with consuming(tmp_path, url) as running:
        running.await_error("cannot be reached")
        assert running.ingestion.state().name == "running"


def test_a_queue_is_not_live_before_its_broker_has_answered(tmp_path: Path, silent_port: int) -> None:
    with consuming(tmp_path, f"amqp://guest:s3cret@127.0.0.1:{silent_port}/?queue=logs") as running:
        status = running.status()
    assert (status.state, "not connected yet" in (status.last_error or "")) == ("unreadable", True)


def test_a_log_that_was_sent_as_a_gzip_is_unpacked(tmp_path: Path, queue: Queue) -> None:
    queue.send(gzip.compress(log_of(1, 3)))
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(3)


@pytest.mark.parametrize("most_bytes", [20, 1 << 20], ids=["too large", "no gzip"])
def test_what_is_no_gzip_that_can_be_unpacked_is_a_reject(
    tmp_path: Path, queue: Queue, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    monkeypatch.setattr(messages, "MOST_BYTES", most_bytes)
    packed = b"\x1f\x8b no gzip" if most_bytes > 20 else gzip.compress(b"a" * 100, mtime=0)
    queue.send(packed)
    with consuming(tmp_path, queue.url) as running:
        await_that(lambda: running.counts()[1] > 0, AWAIT_SECONDS)
        assert running.counts()[0] == 0


def test_equal_messages_without_an_id_count_each_over_any_number_of_stops(
    tmp_path: Path, queue: Queue
) -> None:
    queue.send(*[log_of(1)] * 500)
    before = 0
    for _ in range(4):
        with consuming(tmp_path, queue.url, queue_prefetch=50, chunk_bytes=4096) as running:
            await_that(lambda before=before: running.counts()[0] > before, 30)
        [(before,)] = rows(tmp_path, "SELECT count(*) FROM records")
    with consuming(tmp_path, queue.url) as running:
        running.await_counts(500)
    assert queue.waiting() == 0


@pytest.mark.parametrize(
    ("durable", "arguments"),
    [(True, {"x-queue-type": "quorum"}), (True, {"x-message-ttl": 600_000}), (False, {})],
)
def test_a_queue_of_any_kind_that_is_there_need_not_be_made(
    broker: Broker, *, durable: bool, arguments: dict[str, Any]
) -> None:
    name = f"of-its-own-kind-{len(arguments)}-{durable}-{'-'.join(arguments)}"
    with broker.connect() as connection:
        connection.channel().queue_declare(name, durable=durable, arguments=arguments)
        with connected(QueueUrl.parse(broker.url(name)), "test") as own:
            own.require_queue(create=True)
        connection.channel().queue_delete(name)
