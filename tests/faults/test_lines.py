"""Lines that come in pieces, are too long, or are no text."""

from __future__ import annotations

import pytest

from tests.faults.living import RejectRow, check_numbers, check_order, check_whole
from tests.tailing.following import append, copy_truncate, numbered

LINE = numbered(5, 6)[0].encode()


def test_case_10_an_unfinished_line_completed_later(follow, log):
    living = follow(log)
    append(log, *numbered(0, 5))
    append(log, LINE[:20], end=b"")
    living.await_size(log)
    append(log, LINE[20:])
    living.must_have(range(6))


def test_case_10_an_unfinished_line_completed_after_a_restart(follow, log):
    living = follow(log)
    append(log, *numbered(0, 5))
    append(log, LINE[:20], end=b"")
    living.await_size(log)
    living.await_count(5)
    living.restart()
    living.await_look()
    append(log, LINE[20:])
    living.must_have(range(6))


def test_case_10_an_unfinished_line_completed_after_a_rename(follow, log):
    living = follow(log, rotated_hold_seconds=30.0)
    append(log, *numbered(0, 5))
    append(log, LINE[:20], end=b"")
    living.await_size(log)
    log.rename(log.with_name("x.log.1"))
    append(log, *numbered(10, 20))
    living.await_count(15)
    append(log.with_name("x.log.1"), LINE[20:])
    living.must_have([*range(6), *range(10, 20)])


def test_case_10_an_unfinished_line_completed_after_a_rename_and_a_restart(follow, log):
    living = follow(log, rotated_hold_seconds=30.0)
    append(log, *numbered(0, 5))
    append(log, LINE[:20], end=b"")
    living.await_count(5)
    living.stop()
    log.rename(log.with_name("x.log.1"))
    append(log, *numbered(10, 20))
    living.start()
    living.await_count(15)
    append(log.with_name("x.log.1"), LINE[20:])
    living.must_have([*range(6), *range(10, 20)])


def test_case_10_an_unfinished_line_that_is_never_completed_waits(follow, log):
    living = follow(log)
    append(log, *numbered(0, 5))
    append(log, LINE, end=b"")
    living.must_have(range(5))


@pytest.mark.parametrize("by_copy", [False, True], ids=["renamed", "copied and truncated"])
def test_case_10_an_unfinished_line_that_is_never_completed_counts_once_in_a_rotated_file(
    follow, log, by_copy
):
    living = follow(log)
    append(log, *numbered(0, 5))
    append(log, LINE, end=b"")
    living.await_size(log)
    if by_copy:
        copy_truncate(log, log.with_name("x.log.1"))
    else:
        log.rename(log.with_name("x.log.1"))
    append(log, *numbered(10, 20))
    living.must_have([*range(6), *range(10, 20)])


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_case_11_a_line_split_at_every_byte_across_two_writes(follow, log, end):
    living = follow(log)
    log.touch()
    cuts = len(LINE) + len(end)
    for cut in range(1, cuts):
        line = numbered(cut, cut + 1)[0].encode() + end
        append(log, line[:cut], end=b"")
        living.await_size(log)
        append(log, line[cut:], end=b"")
        living.await_size(log)
    living.must_have(range(1, cuts))


def test_case_11_a_line_split_at_every_byte_across_two_reads(follow, logs):
    """The first line of each file is one byte longer than that of the one before: all reads end elsewhere."""
    for shift in range(60):
        first = numbered(0, 1)[0].replace("cust_0", "cust_0" + "x" * shift)
        append(logs / f"{shift:02}.log", first, *numbered(1, 300), end=b"\r\n" if shift % 2 else b"\n")
    living = follow(f"{logs}/*.log", chunk_bytes=4096, max_line_bytes=512)
    rows, rejects = living.content(60 * 300)
    assert (len(rows), rejects) == (60 * 300, [])
    check_whole(row for row in rows if row.number)
    check_order(rows)
    check_numbers((row.number for row in rows), list(range(300)) * 60)


def test_case_12_a_line_longer_than_the_chunk(follow, log):
    customer = "c" * 200
    long = f"2024-11-06 06:33:33 {customer} /{'p' * 50_000}/line/0 200 0.316"
    append(log, long, *numbered(1, 100))
    rows, rejects = follow(log, chunk_bytes=4096, max_line_bytes=100_000).content(100)
    assert (rows[0].line(), [row.number for row in rows], rejects) == (long, list(range(100)), [])


@pytest.mark.parametrize("in_pieces", [False, True], ids=["written at once", "written in pieces"])
def test_case_12_a_line_longer_than_the_limit_is_a_reject_and_the_file_goes_on(follow, log, in_pieces):
    living = follow(log, chunk_bytes=4096, max_line_bytes=1000)
    append(log, *numbered(0, 10))
    offset = log.stat().st_size
    living.await_count(10)
    for _ in range(5):
        append(log, "x" * 20_000, end=b"")
        if in_pieces:
            living.await_size(log)
    append(log, "", *numbered(10, 20))
    living.must_have(range(20), [RejectRow(offset, "line", "x" * 1000)])


def test_case_12_a_line_longer_than_the_limit_that_is_unfinished_when_it_is_restarted(follow, log):
    living = follow(log, chunk_bytes=4096, max_line_bytes=1000)
    append(log, "x" * 50_000, end=b"")
    living.await_size(log)
    living.restart()
    append(log, "x" * 50_000, *numbered(0, 10))
    living.must_have(range(10), [RejectRow(0, "line", "x" * 1000)])


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (LINE[:30] + b"\0" + LINE[30:], (LINE[:30] + b"\\x00" + LINE[30:]).decode()),
        (LINE[:30] + b"\xff" + LINE[30:], (LINE[:30] + b"\\xff" + LINE[30:]).decode()),
        (b"\0" * 5000, "\\x00" * 5000),
        (LINE[:30] + "é".encode()[:1], (LINE[:30] + b"\\xc3").decode()),
    ],
    ids=["a NUL", "invalid UTF-8", "a block of NUL", "half of a character at the end"],
)
def test_case_13_a_line_that_is_no_text_is_a_reject(follow, log, line, kept):
    append(log, *numbered(0, 10))
    offset = log.stat().st_size
    append(log, line, *numbered(10, 20))
    follow(log).must_have(range(20), [RejectRow(offset, "line", kept)])


@pytest.mark.parametrize("shift", range(4))
def test_case_13_a_character_split_across_reads(follow, log, shift):
    lines = [f"2024-11-06 06:33:33 {'客𐍈' * 20} /é/line/{number} 200 0.316" for number in range(100)]
    append(log, "#" * shift, *lines)
    rows, rejects = follow(log, chunk_bytes=4096, max_line_bytes=512).content(101 if shift else 100)
    assert ([row.line() for row in rows], len(rejects)) == (lines, int(shift > 0))


def test_case_13_a_character_split_across_writes(follow, log):
    line = "2024-11-06 06:33:33 客 /é/line/0 200 0.316"
    living = follow(log)
    log.touch()
    for byte in line.encode():
        append(log, bytes([byte]), end=b"")
        living.await_size(log)
    append(log, "")
    rows, rejects = living.content(1)
    assert ([row.line() for row in rows], rejects) == ([line], [])


def test_case_13_a_byte_order_mark_is_no_part_of_the_first_line(follow, log):
    append(log, b"\xef\xbb\xbf", end=b"")
    append(log, *numbered(0, 10))
    follow(log).must_have(range(10))
