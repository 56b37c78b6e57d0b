"""Lines of files that came in messages: sources of their own, each byte of which counts once."""

from __future__ import annotations

from typing import Any

import pytest

from tailmetrics.sources import Batch, unpacked
from tests.queues.kafka.test_parsing import LINE, found, parsed

A = LINE % b"a" + b"\n"
B = LINE % b"b" + b"\n"


def shipped(begin: int, end: int, source: str = "f" * 32, **more: bytes) -> list[tuple[str, bytes]]:
    return [
        ("tailmetrics-source", source.encode()),
        ("tailmetrics-offset", b"%d" % begin),
        ("tailmetrics-end", b"%d" % end),
        ("tailmetrics-host", b"web1"),
        ("tailmetrics-file", b"/var/log/x.log"),
        *((f"tailmetrics-{name.replace('_', '-')}", value) for name, value in more.items()),
    ]


def spans(batch: Batch) -> list[tuple[str, int, int, list[int]]]:
    return [
        (part.path, part.start, part.checkpoint.position, part.parsed.records["offset"].to_list())
        for part in batch.shipped
    ]


def test_lines_of_a_file_are_of_a_source_of_their_own() -> None:
    size = len(A)
    batch = parsed([A, LINE % b"c", B], headers=[shipped(0, size), None, shipped(size, 2 * size)])
    assert found(batch.parsed) == [("c", (1, 0))]
    assert spans(batch) == [("web1:/var/log/x.log", 0, 2 * size, [0, size])]
    [part] = batch.shipped
    assert part.source_id == "f" * 32
    assert part.registers is not None
    assert part.registers.position == 0
    assert batch.message_bytes == len(LINE % b"c")


def test_what_arrives_twice_is_left_out_also_where_it_was_cut_otherwise() -> None:
    size = len(A)
    headers = [shipped(0, size), shipped(0, size), shipped(0, 2 * size), shipped(size, 2 * size)]
    batch = parsed([A, A, A + B, B], headers=headers)
    assert spans(batch) == [("web1:/var/log/x.log", 0, 2 * size, [0, size])]


def test_a_gap_and_a_line_over_the_limit_end_a_span() -> None:
    size = len(A)
    headers = [shipped(0, size), shipped(500, 500 + size), shipped(500 + size, 9000, too_long=b"1")]
    batch = parsed([A, B, b"x" * 100], headers=headers)
    assert [span[1:3] for span in spans(batch)] == [(0, size), (500, 500 + size), (500 + size, 9000)]
    assert "expected at most" in batch.shipped[-1].parsed.rejects["reason"][0]


def test_files_are_kept_apart() -> None:
    size = len(A)
    headers: list[Any] = [
        shipped(0, size, "1" * 32),
        shipped(0, size, "2" * 32),
        shipped(size, 2 * size, "1" * 32),
    ]
    batch = parsed([A, A, B], headers=headers)
    assert [(part.source_id[0], part.checkpoint.position) for part in batch.shipped] == [
        ("1", 2 * size),
        ("2", size),
    ]


def test_the_directives_in_force_come_with_the_lines() -> None:
    line = b"2024-01-13 00:32:17 203.0.113.9 GET /cart 200 0.242\n"
    header = b"#Fields: date time c-ip cs-method cs-uri-stem sc-status time-taken\n"
    batch = parsed([line], name="w3c", headers=[shipped(70, 70 + len(line), header=header)])
    assert spans(batch)[0][3] == [70]


def test_in_auto_a_file_of_blocks_or_with_directives_is_known() -> None:
    line = b"2024-01-13 00:32:17 203.0.113.9 GET /cart 200 0.242\n"
    header = b"#Fields: date time c-ip cs-method cs-uri-stem sc-status time-taken\n"
    batch = parsed([line], name="auto", headers=[shipped(70, 70 + len(line), header=header)])
    assert batch.shipped[0].parsed.records["customer_id"].to_list() == ["203.0.113.9"]
    block = b"Test: apples\nResult: PASS\n"
    batch = parsed([block], name="auto", headers=[shipped(0, len(block))])
    assert batch.shipped[0].parsed.records["customer_id"].to_list() == ["apples"]


def test_the_host_and_the_file_of_a_shipped_line_may_be_the_customer() -> None:
    batch = parsed([A], headers=[shipped(0, len(A))], log_customer="envelope:host")
    assert batch.shipped[0].parsed.records["customer_id"].to_list() == ["web1"]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([("tailmetrics-source", b"f" * 32)], "tailmetrics-offset: found none, expected the place of a byte"),
        ([("tailmetrics-source", None)], "tailmetrics-source: found '', expected 32 hexadecimal digits"),
        (shipped(0, len(A), "f\0" * 16), "tailmetrics-source: found 'f\\x00f"),
        (shipped(0, len(A), "F" * 32), "expected 32 hexadecimal digits"),
        (shipped(10**20, 10**20 + len(A)), "tailmetrics-offset: found '100000000000000000000'"),
        (shipped(2**62 - 1, 2**62 - 1 + len(A)), "tailmetrics-end: found '4611686018427387"),
        (shipped(-1, len(A) - 1), "tailmetrics-offset: found '-1', expected the place of a byte"),
        (shipped(0, 10**18), "tailmetrics-end: found 1000000000000000000 bytes from tailmetrics-offset on"),
        (shipped(9, 9, too_long=b"1"), "tailmetrics-end: found '9', expected more than tailmetrics-offset 9"),
        (shipped(0, len(A), file=b"a\0"), "tailmetrics-file: found 'a\\x00', expected text without NUL"),
        (shipped(0, len(A), host=b"\0"), "tailmetrics-host: found '\\x00', expected text without NUL"),
    ],
)
def test_a_message_whose_headers_cannot_be_read_is_a_reject_at_its_place(headers: Any, reason: str) -> None:
    batch = parsed([A, A, B, b"no line"], [3, 4, 5, 6], headers=[None, headers, shipped(7, 7 + len(B)), None])
    assert found(batch.parsed) == [("a", (3, 0))]
    assert [unpacked(offset) for offset in batch.parsed.rejects["offset"]] == [(4, 0), (6, 0)]
    assert reason in batch.parsed.rejects["reason"][0]
    assert batch.parsed.rejects["line"][0] == A.decode().strip()
    assert [span[1:3] for span in spans(batch)] == [(7, 7 + len(B))]
