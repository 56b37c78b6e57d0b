"""Messages of a partition as batches: the places of lines, what messages tell, and shipped files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tailmetrics.formats import open_by_line
from tailmetrics.queues.kafka.parsing import batch_of
from tailmetrics.records import ParsedLines
from tailmetrics.settings import load_settings
from tailmetrics.sources import Batch, Checkpoint, Messages, Partition, Source, ended, packed, unpacked

LINE = b"2024-11-06 06:33:33 %s /a 200 0.5"


def parsed(
    values: Sequence[bytes],
    offsets: Sequence[int] | None = None,
    *,
    name: str = "requests",
    headers: list[Any] | None = None,
    keys: list[bytes | None] | None = None,
    **settings: Any,
) -> Batch:
    offsets = offsets or range(len(values))
    source = Source("id", "queue-x", 0, 0, 0, "kafka://b/t/0", Checkpoint(0, 0, "", 0, ""))
    data, lengths = ended(values)
    chunk = Messages(
        partition=Partition(source, 1),
        log_format=load_settings(None, **settings).format_options(name),
        topic="t",
        start=packed(offsets[0]),
        end=offsets[-1] + 1,
        data=data,
        lengths=lengths,
        offsets=np.array(offsets, np.int64),
        headers=headers,
        keys=keys,
        more=False,
        written_ns=1,
    )
    return batch_of(chunk, open_by_line)


def found(lines: ParsedLines) -> list[tuple[str, tuple[int, int]]]:
    return [(row["customer_id"], unpacked(row["offset"])) for row in lines.records.iter_rows(named=True)]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_lines_have_the_offset_of_their_message_and_their_number_in_it(end: bytes) -> None:
    batch = parsed([LINE % b"a" + end, LINE % b"b" + b"\n" + LINE % b"c" + end, LINE % b"d"], [3, 7, 8])
    assert found(batch.parsed) == [("a", (3, 0)), ("b", (7, 0)), ("c", (7, 1)), ("d", (8, 0))]
    assert batch.parsed.blanks == 0
    assert (batch.start, batch.checkpoint.position) == (packed(3), packed(9))


def test_rejects_and_blank_lines_are_counted_at_their_places() -> None:
    batch = parsed([b"", LINE % b"a" + b"\n\nbroken", b"\xff\xfe", b"\xef\xbb\xbf" + LINE % b"b"])
    assert found(batch.parsed) == [("a", (1, 0)), ("b", (3, 0))]
    assert [unpacked(offset) for offset in batch.parsed.rejects["offset"]] == [(1, 2), (2, 0)]
    assert batch.parsed.blanks == 2


def test_a_message_of_too_many_lines_is_one_reject() -> None:
    batch = parsed([LINE % b"a", b"\n" * (2**20 + 1), LINE % b"b"])
    assert found(batch.parsed) == [("a", (0, 0)), ("b", (2, 0))]
    assert [unpacked(offset) for offset in batch.parsed.rejects["offset"]] == [(1, 0)]
    assert "more than 1048576 lines" in batch.parsed.rejects["reason"][0]


def test_in_auto_each_line_tells_its_format() -> None:
    combined = b'10.0.0.1 - ann [10/Oct/2024:13:55:36 +0000] "GET /x HTTP/1.1" 200 1 "-" "-"'
    docker = b'{"log":"%s\\n","stream":"stdout","time":"2024-10-10T00:00:00Z"}' % (LINE % b"b")
    batch = parsed([LINE % b"a", combined, docker, b"nothing"], name="auto")
    assert found(batch.parsed) == [("a", (0, 0)), ("ann", (1, 0)), ("b", (2, 0))]
    assert batch.parsed.rejects["line"].to_list() == ["nothing"]


def test_what_needs_lines_before_it_is_read_by_message() -> None:
    part = b'{"log":"%s","stream":"stdout","time":"2024-10-10T00:00:00Z"}'
    line = (LINE % b"a").replace(b"/", b"/" + b"x" * 16_384, 1)  # Docker cuts those of more than 16 KiB
    first, second = line[:16_384], line[16_384:] + b"\\n"
    together = parsed([part % first + b"\n" + part % second], name="docker")
    assert found(together.parsed) == [("a", (0, 0))]
    apart = parsed([part % first, part % second], name="docker")
    assert found(apart.parsed) == []
    assert apart.parsed.rejects.height == 2


def test_the_customer_is_told_by_key_header_and_topic_in_the_order_that_is_set() -> None:
    customer = "kafka:header:tenant,kafka:key,customer_id"
    headers = [[("tenant", b"t")], None, [("tenant", b"-")]]
    batch = parsed([LINE % b"a"] * 3, headers=headers, keys=[b"k", b"k", None], log_customer=customer)
    assert [customer for customer, _ in found(batch.parsed)] == ["t", "k", "a"]
    batch = parsed([LINE % b"a"], log_customer="kafka:topic")
    assert [customer for customer, _ in found(batch.parsed)] == ["t"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("combined", b'- - - [10/Oct/2024:13:55:36 +0000] "GET /x HTTP/1.1" 200 1 "-" "-"'),
        ("json", b'{"timestamp":"2024-10-10T13:55:36Z","path":"/x","status_code":200,"duration":1}'),
        ("logfmt", b"time=2024-10-10T13:55:36Z path=/x status=200 duration=1s"),
    ],
)
def test_a_customer_that_messages_tell_is_told_in_every_format(name: str, line: bytes) -> None:
    batch = parsed([line, line], name=name, keys=[b"k", b"l"], log_customer="kafka:key")
    assert batch.parsed.rejects["reason"].to_list() == []
    assert [customer for customer, _ in found(batch.parsed)] == ["k", "l"]
