"""What of a log is whole: lines, or blocks of lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.formats.framing import BLOCKS, LINES, framing_of, opens_block
from tailmetrics.sources import CHUNK_LINES

from .logs import few_of_each, unhurried
from .test_formats import any_logs, in_every_format


@in_every_format
@few_of_each
@given(data=st.data())
def test_what_was_read_before_does_not_count_to_what_is_whole(name: str, data: st.DataObject) -> None:
    before, log = data.draw(any_logs(name)), data.draw(any_logs(name))
    assert framing_of(name).whole(before + log, len(before)) == framing_of(name).whole(log)


@unhurried
@given(lengths=st.lists(st.integers(0, 60), min_size=1), before=st.integers(0, 5))
def test_of_many_lines_as_many_are_whole_as_a_chunk_may_have(lengths: list[int], before: int) -> None:
    lines = [b"x" * lengths[number % len(lengths)] + b"\n" for number in range(CHUNK_LINES + 1000)]
    data = b"-" * before + b"".join(lines)
    assert framing_of("requests").whole(data, before) == sum(map(len, lines[:CHUNK_LINES]))


@pytest.mark.parametrize(
    ("framing", "data", "whole"),
    [
        (LINES, b"a\nb", b"a\n"),
        (LINES, b"a", b""),
        (BLOCKS, b"Test: a\nResult: PASS\nTest: b\n", b"Test: a\nResult: PASS\n"),
        (BLOCKS, b"# Test: a\ndetail\n", b""),
        (BLOCKS, b"a\nno Test: here\n", b"a\nno Test: here\n"),
    ],
)
def test_an_unfinished_line_or_block_is_not_whole(framing: object, data: bytes, whole: bytes) -> None:
    assert data[: framing.whole(data)] == whole  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("data", "opens"), [(b"# Test: a", True), (b"Result: PASS", False), (b"x Test:", False)]
)
def test_a_block_is_opened_by_the_first_word_of_its_line(data: bytes, opens: bool) -> None:
    assert opens_block(data) is opens
