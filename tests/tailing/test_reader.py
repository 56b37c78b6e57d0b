"""How bytes become whole lines."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailmetrics.formats.framing import framing_of
from tailmetrics.sources import LongLine
from tailmetrics.tailing.log_file import open_log
from tailmetrics.tailing.reader import LineReader, Lines, Rewritten
from tests.tailing.following import (
    append,
    as_bytes,
    numbered,
)


def test_a_line_split_at_every_byte_counts_once(log, follow):
    following = follow(log)
    for cut in range(1, 60):
        line = numbered(cut, cut + 1)[0].encode() + b"\r\n"
        append(log, line[:cut], end=b"")
        following.settle()
        append(log, line[cut:], end=b"")
        following.settle()
    assert following.lines == as_bytes(numbered(1, 60))


def test_an_unfinished_last_line_waits(log, follow):
    append(log, "unfinished", end=b"")
    assert follow(log).settle() == []


def test_a_file_of_one_byte_grows_into_lines(log, follow):
    following = follow(log)
    append(log, b"a", end=b"")
    following.settle()
    following.restart()
    append(log, b"b\nc\n", end=b"")
    assert following.settle() == [b"ab", b"c"]


def test_a_line_over_the_limit_is_handed_out_as_one_and_the_file_goes_on(log, follow):
    following = follow(log, max_line_bytes=100, chunk_bytes=4096)
    append(log, "before", "x" * 100_000, "after")
    following.settle()
    assert [(chunk.offset, isinstance(chunk, LongLine)) for chunk in following.chunks] == [
        (0, False),
        (7, True),
        (100_008, False),
    ]


def test_an_unfinished_line_over_the_limit_waits_for_its_end(log, follow):
    following = follow(log, max_line_bytes=100, chunk_bytes=4096)
    append(log, "x" * 50_000, end=b"")
    following.settle()
    append(log, "x" * 50_000)
    append(log, "after")
    following.settle()
    assert [chunk.offset for chunk in following.chunks] == [0, 100_001]


class TestLineReader:
    @pytest.fixture
    def read(self, log: Path) -> Iterator[LineReader]:
        """Reads a log of two whole lines and a torn one."""
        append(log, "one", "two")
        append(log, "torn", end=b"")
        with contextlib.closing(open_log(str(log))) as opened:
            framing = framing_of("requests")
            yield LineReader(opened, 0, b"", b"", framing=framing, chunk_bytes=4096, max_line_bytes=64)

    def test_whole_lines_come_first_and_a_torn_one_only_at_the_end(self, read: LineReader) -> None:
        lines = [read.read(9), read.read(9), read.read(9, final=True), read.read(9, final=True)]
        assert lines == [Lines(b"one\ntwo\n", 8, more=False), None, Lines(b"torn", 12, more=False), None]

    def test_what_was_read_and_is_other_bytes_now_is_noticed(self, read: LineReader, log: Path) -> None:
        read.read(9)
        log.write_bytes(b"ONE\nTWO\nand more\n")
        with pytest.raises(Rewritten):
            read.read(9)
