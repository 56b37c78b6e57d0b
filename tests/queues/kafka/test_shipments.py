"""How lines are cut into messages, and what their headers say."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.queues.kafka.shipments import MESSAGE_BYTES, Shipment, Shipper
from tailmetrics.records import REJECT_LINE_BYTES
from tailmetrics.settings import load_settings
from tailmetrics.sources import Checkpoint, LineChunk, LongLine

SOURCE = "0123456789abcdef0123456789abcdef"
MOST_BYTES = 1_048_588
TESTS = b"Test: a\n b: PASS\nResult: PASS\n"


def chunk_of(
    data: bytes,
    format_name: str = "requests",
    *,
    offset: int = 0,
    header: bytes = b"",
    end: int | None = None,
) -> LineChunk:
    position = offset + len(data) if end is None else end
    return (LineChunk if end is None else LongLine)(
        source_id="source",
        log_format=load_settings(None).format_options(format_name),
        path="/logs/a.log",
        offset=offset,
        data=data,
        checkpoint=Checkpoint(position, 0, "", 0, ""),
        more=False,
        written_ns=0,
        header=header,
    )


def shipped(chunk: LineChunk, most_bytes: int = MOST_BYTES, *, one_line: bool = False) -> list[Shipment]:
    return list(Shipper(SOURCE, "höst", most_bytes, one_line).shipments(chunk))


def header(shipment: Shipment, name: str) -> bytes | None:
    return dict(shipment.headers).get(f"tailmetrics-{name}")


def spans(shipments: list[Shipment]) -> list[tuple[int, int]]:
    return [(int(header(each, "offset") or -1), int(header(each, "end") or -1)) for each in shipments]


def test_a_message_says_where_its_lines_are_from() -> None:
    [shipment] = shipped(chunk_of(b"a\nb\n", offset=7))
    assert shipment.value == b"a\nb\n"
    assert shipment.headers == [
        ("tailmetrics-source", SOURCE.encode()),
        ("tailmetrics-host", "höst".encode()),
        ("tailmetrics-file", b"/logs/a.log"),
        ("tailmetrics-offset", b"7"),
        ("tailmetrics-end", b"11"),
    ]


def test_many_lines_are_messages_of_about_64_kib() -> None:
    data = b"".join(b"line %d\n" % number for number in range(30_000))
    shipments = shipped(chunk_of(data))
    assert b"".join(each.value for each in shipments) == data
    assert {each.value[-1:] for each in shipments} == {b"\n"}
    assert all(MESSAGE_BYTES - 20 < len(each.value) <= MESSAGE_BYTES for each in shipments[:-1])


def test_a_line_with_its_end_is_a_message_where_that_is_asked_for() -> None:
    shipments = shipped(chunk_of(b"a\r\n\nb\rc\nunfinished", offset=5), one_line=True)
    assert [each.value for each in shipments] == [b"a\r\n", b"\n", b"b\rc\n", b"unfinished"]
    assert spans(shipments) == [(5, 8), (8, 9), (9, 13), (13, 23)]


@pytest.mark.parametrize("one_line", [False, True])
def test_a_block_of_results_stays_whole(one_line: bool) -> None:
    blocks = TESTS * 5000
    shipments = shipped(chunk_of(blocks, "results"), one_line=one_line)
    assert b"".join(each.value for each in shipments) == blocks
    assert all(each.value.startswith(b"Test:") and each.value.endswith(b"PASS\n") for each in shipments)
    assert len(shipments) == (5000 if one_line else 3)


def test_directives_go_with_each_message_that_they_hold_for() -> None:
    lines = b"2024-10-10 00:00:00 /\n" * 6000
    data = lines + b"#Fields: date time\n" + lines
    shipments = shipped(chunk_of(data, "w3c", header=b"#Fields: time"))
    change = next(place for place, each in enumerate(shipments) if b"#" in each.value)
    assert {header(each, "header") for each in shipments[: change + 1]} == {b"#Fields: time"}
    assert {header(each, "header") for each in shipments[change + 1 :]} == {b"#Fields: date time"}


def test_of_a_line_over_the_limit_the_beginning_is_sent_and_marked() -> None:
    [shipment] = shipped(chunk_of(b"x" * 100, offset=3, end=5_000_000))
    assert (shipment.value, shipment.too_long) == (b"x" * 100, True)
    assert (spans([shipment]), header(shipment, "too-long")) == ([(3, 5_000_000)], b"1")


def test_of_a_line_that_the_topic_does_not_take_the_beginning_is_sent_and_those_beside_it() -> None:
    long_line = b"x" * 200_000 + b"\n"
    shipments = shipped(chunk_of(b"a\n" + long_line + b"b\n"), 150_000)
    assert [each.value for each in shipments] == [b"a\n", long_line[:REJECT_LINE_BYTES], b"b\n"]
    assert [header(each, "too-long") for each in shipments] == [None, b"1", None]
    assert spans(shipments) == [(0, 2), (2, 200_003), (200_003, 200_005)]


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=60),
    st.integers(1000, 1300),
    st.booleans(),
    st.integers(0, 10),
)
def test_messages_follow_on_each_other_and_fit(
    lengths: list[int], most_bytes: int, one_line: bool, offset: int
) -> None:
    data = b"".join(b"x" * length + b"\n" for length in lengths)
    shipments = shipped(chunk_of(data, offset=offset), most_bytes, one_line=one_line)
    bounds = spans(shipments)
    assert bounds[0][0] == offset
    assert bounds[-1][1] == offset + len(data)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(bounds))
    for each in shipments:
        begin, end = spans([each])[0]
        assert data[begin - offset : end - offset].startswith(each.value)
        assert each.too_long or len(each.value) == end - begin
        headers = sum(len(name) + len(value) for name, value in each.headers)
        assert len(each.value) + headers + len(SOURCE) <= most_bytes
