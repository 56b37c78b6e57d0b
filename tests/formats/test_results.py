from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tailmetrics.formats import LineFormat, open_format
from tailmetrics.formats.framing import BLOCKS
from tailmetrics.formats.results import time_of_log
from tailmetrics.records import ParsedLines
from tailmetrics.settings import Settings
from tailmetrics.tailing.log_file import PlainFile
from tailmetrics.tailing.reader import LineReader

from .logs import unhurried

APPLES = b"# Test: apples Test\n# This is apples Test\n# Who is apples?\n# Result: PASS\n"
PEARS = b"Test: pears\nno comment\nResult: FAIL\n"
NO_RESULT = "result: found none before the next test or the end, expected PASS or FAIL"
NO_TEST = "test: found a result without one, expected Test: NAME before it"


def results(name: str = "/logs/test_1700000000.log", **settings: object) -> LineFormat:
    return open_format(Settings(_env_file=None, **settings).format_options("results")).of_source(name, 0)  # type: ignore[arg-type, call-arg]


def read(log: bytes, offset: int = 0) -> ParsedLines:
    return results().parse(log, offset)


def reasons(log: bytes) -> list[tuple[int, str]]:
    return read(log).rejects.select("offset", "reason").rows()


def test_a_block_is_a_record_of_its_test_at_the_time_in_the_name() -> None:
    assert read(APPLES + PEARS, 1000).records.rows() == [
        (datetime(2023, 11, 14, 22, 13, 20), "apples", "test_1700000000.log", 200, None, 1000),  # noqa: DTZ001  # UTC
        (datetime(2023, 11, 14, 22, 13, 20), "pears", "test_1700000000.log", 500, None, 1000 + len(APPLES)),  # noqa: DTZ001
    ]


def test_details_and_comments_are_counted_as_blank_lines() -> None:
    parsed = read(b"# Iteration 1\n\n" + APPLES)
    assert (parsed.records.height, parsed.rejects.height, parsed.blanks) == (1, 0, 5)


def test_every_iteration_of_a_test_counts() -> None:
    assert read(b"# Iteration 1\n" + APPLES + b"# Iteration 2\n" + APPLES).records.height == 2


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"Test: apples", "apples"),
        (b" # \tTest:apples and more", "apples"),
        (b'# Test: "green apples" Test', "green apples"),
        (b"## Test: " + "äpfel".encode(), "äpfel"),
    ],
)
def test_the_name_of_a_test(line: bytes, name: str) -> None:
    assert read(line + b"\r\nResult: PASS\r\n").records["customer_id"].to_list() == [name]


@pytest.mark.parametrize(
    "line", [b"My Test: apples", b"-- Test: apples", b"# The Result: PASS", b"Testing: a"]
)
def test_only_the_first_word_of_a_line_opens_or_closes(line: bytes) -> None:
    assert read(b"Test: pears\n" + line + b"\nResult: FAIL\n").records.height == 1


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (b"Test: apples\n", [(0, NO_RESULT)]),
        (b"Test: apples\n" + PEARS, [(0, NO_RESULT)]),
        (b"Result: PASS\n" + PEARS, [(0, NO_TEST)]),
        (PEARS + b"Result: PASS\n", [(len(PEARS), NO_TEST)]),
        (b"Test: a\nResult: pass\n", [(8, "result: found 'pass', expected PASS or FAIL")]),
        (b"Test: a\nResult:\n", [(8, "result: found nothing, expected PASS or FAIL")]),
        (
            b"Test:\nResult: PASS\n",
            [(0, "test: found nothing, expected a name of 1 to 256 characters without control characters")],
        ),
        (b"Test: a\n\xff\nResult: PASS\n", [(8, "line: found bytes that are not UTF-8, expected UTF-8")]),
        (b"Test: a\0\nResult: PASS\n", [(0, "line: found a NUL byte, expected text")]),
        (
            b"a line\n",
            [(0, "line: found 'a line', expected Test: NAME, the beginning of a block, or a comment with #")],
        ),
    ],
)
def test_what_is_no_block_is_one_reject(log: bytes, expected: list[tuple[int, str]]) -> None:
    assert reasons(log) == expected


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("test_1700000000.log", 1_700_000_000),
        ("nightly-test_1700000000.log.1", 1_700_000_000),
        ("test_0", 0),
        ("run_test_1700000000_apples.log", 1_700_000_000),
        ("test_1700000000000.log", 12.5),
        ("latest_1700000000.log", 12.5),
        ("test_17000x.log", 12.5),
        ("results.log", 12.5),
    ],
)
def test_the_time_is_in_the_name_or_that_of_the_last_change(name: str, seconds: float) -> None:
    assert time_of_log(name, 12_500_000_000).timestamp() == seconds


def read_growing(folder: Path, log: bytes, cuts: list[int], chunk_bytes: int) -> ParsedLines:
    """What is read of a log that grows up to each cut, and is read by as many processes as there are cuts."""
    path = folder / "test_1.log"
    path.write_bytes(b"")
    parsed, offset = read(b""), 0
    for cut in [*sorted(cuts), len(log)]:
        path.write_bytes(log[:cut])
        file = PlainFile(str(path))
        before = log[:offset]
        reader = LineReader(
            file, offset, before, log[:cut][:50], framing=BLOCKS, chunk_bytes=chunk_bytes, max_line_bytes=64
        )
        while lines := reader.read(1024, final=cut == len(log)):
            read_by = results(chunk_bytes=4096)
            one = (
                results(chunk_bytes=4096, max_line_bytes=64).parse_too_long(lines.data, offset)
                if lines.too_long
                else read_by.parse(lines.data, offset)
            )
            parsed = ParsedLines(
                pl.concat([parsed.records, one.records]),
                pl.concat([parsed.rejects, one.rejects]),
                parsed.blanks + one.blanks,
            )
            offset = lines.end
        file.close()
    return parsed


PIECES = st.sampled_from(
    [
        APPLES,
        PEARS,
        b"# Iteration 7\n",
        b"Result: PASS\n",
        b"Test: open\n",
        b"other\n",
        b"\r\n",
        b"\xff: a\n",
    ]
)


@unhurried
@given(log=st.lists(PIECES, max_size=8).map(b"".join), data=st.data())
def test_where_a_log_is_cut_while_it_grows_makes_no_difference(
    log: bytes, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(log)), max_size=5))
    grown = read_growing(tmp_path_factory.mktemp("log"), log, cuts, chunk_bytes=100)
    whole = read(log)
    assert_frame_equal(grown.records.drop("path", "timestamp"), whole.records.drop("path", "timestamp"))
    assert_frame_equal(grown.rejects, whole.rejects)
    assert grown.blanks == whole.blanks


@pytest.mark.parametrize("cuts", [[], [50], [150, 900], list(range(0, 1000, 7))])
@pytest.mark.parametrize(
    "closing", [b"# Result: PASS\n", b"Result: PA", b"# Test: pears\nResult: FAIL\n", b""]
)
def test_a_block_over_the_limit_is_one_reject_and_the_log_goes_on(
    tmp_path: Path, cuts: list[int], closing: bytes
) -> None:
    long = b"Test: long\n" + b"# more of it\n" * 60
    parsed = read_growing(tmp_path, APPLES + long + closing + PEARS, cuts, chunk_bytes=100)
    assert parsed.records["customer_id"].to_list()[0] == "apples"
    assert "pears" in parsed.records["customer_id"].to_list() or closing == b"Result: PA"
    assert parsed.rejects.row(0)[:2] == (
        len(APPLES),
        "result: found none in 4096 bytes (CHUNK_BYTES), expected PASS or FAIL",
    )


def test_a_detail_over_the_limit_of_a_line_is_a_reject_within_its_block() -> None:
    read_by = results(max_line_bytes=64)
    parsed = read_by.parse(b"Test: a\n" + b"x" * 65 + b"\nResult: PASS\n", 0)
    assert (parsed.records.height, parsed.rejects["offset"].to_list()) == (1, [8])
