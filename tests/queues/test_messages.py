"""One delivery of a message as a source: its name, its time and its chunks; without a broker."""

from __future__ import annotations

from typing import Any

import pytest

from tailmetrics.queues import messages
from tailmetrics.queues.broker import Received
from tailmetrics.queues.messages import Message, Place
from tailmetrics.settings import LogQueue, load_settings
from tailmetrics.sources import LineChunk, LongLine
from tailmetrics.urls import QueueUrl
from tests.builders import format_options
from tests.compressing import COMPRESS, each_suffix
from tests.queues.consuming import log_of

URL = "amqp://host/?queue=logs"


def message_of(body: bytes, url: str = URL, **given: Any) -> Message:
    received = {"message_id": None, "redelivered": False, "headers": {}, "timestamp": None, **given}
    return Message(
        Received(tag=1, body=body, **received),
        place=Place(1, 1),
        queue=LogQueue(QueueUrl.parse(url), format_options("requests")),
        broker_name="rabbit@host",
        options=load_settings(None, max_line_bytes=64, chunk_bytes=4096).queue_options,
    )


def chunks_of(message: Message) -> list[LineChunk]:
    chunks = []
    while not message.is_read:
        chunks.append(message.next_chunk(more=False))
    return chunks


def test_a_nul_in_the_name_of_a_queue_or_a_log_is_shown_as_an_escape() -> None:
    message = message_of(b"x", "amqp://host/?queue=a%00b", message_id="c\0d")
    assert message.delivery.source.path == r"a\x00b/c\x00d"


def test_the_chunks_of_a_message_are_all_of_it_and_the_last_one_ends_it() -> None:
    body = log_of(7, 1000)
    chunks = chunks_of(message_of(body))
    assert (len(chunks) > 1, b"".join(chunk.data for chunk in chunks)) == (True, body)
    assert [chunk.more for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].checkpoint.position == len(body)


def test_a_line_over_the_limit_is_a_chunk_of_its_own_kind() -> None:
    kinds = [type(chunk) for chunk in chunks_of(message_of(b"a\n" + b"x" * 100_000 + b"\nb\n"))]
    assert kinds == [LineChunk, LongLine, LineChunk]


def test_an_id_makes_equal_deliveries_one_source_and_without_one_each_is_its_own() -> None:
    with_id = {message_of(b"x\n", message_id="a").source_id for _ in range(2)}
    without = {message_of(b"x\n").source_id for _ in range(2)}
    assert (len(with_id), len(without)) == (1, 2)


def test_the_lines_begin_behind_a_first_line_that_is_the_name() -> None:
    message = message_of(b"x.log\na\n", headers={"first-line": "name"})
    assert message.delivery.source.path == "logs/x.log"
    assert [(chunk.offset, chunk.data) for chunk in chunks_of(message)] == [(6, b"a\n")]


def test_a_message_that_is_its_name_only_is_empty() -> None:
    assert message_of(b"x.log\n", headers={"first-line": "name"}).is_empty


@each_suffix
def test_a_compressed_message_is_read_unpacked(suffix: str) -> None:
    [chunk] = chunks_of(message_of(COMPRESS[suffix](b"a\n")))
    assert chunk.data == b"a\n"


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9], ids=["s", "ms", "us", "ns"])
def test_the_time_of_a_message_may_be_in_any_unit(unit: int) -> None:
    assert messages._written_ns(1_700_000_000 * unit) == 1_700_000_000 * 10**9


def test_chunks_of_a_log_with_headers_bring_the_one_before_them() -> None:
    header = b"#Fields: date time c-ip cs-uri-stem sc-status"
    line = b"2024-01-13 00:32:17 ::1 /a 200\n"
    received = Received(
        tag=1,
        body=header + b"\n" + line * 1000,
        message_id=None,
        redelivered=False,
        headers={},
        timestamp=None,
    )
    chunks = chunks_of(
        Message(
            received,
            place=Place(1, 1),
            queue=LogQueue(QueueUrl.parse(URL), format_options("w3c")),
            broker_name="rabbit@host",
            options=load_settings(None, max_line_bytes=64, chunk_bytes=4096).queue_options,
        )
    )
    assert [chunk.header for chunk in chunks] == [b"", *[header] * (len(chunks) - 1)]
    assert len(chunks) > 2
