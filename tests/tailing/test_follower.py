"""Reading one file onward."""

from __future__ import annotations

import os

import pytest

from tailmetrics.tailing.follower import Follower
from tailmetrics.tailing.identity import new_source
from tailmetrics.tailing.log_file import open_log
from tailmetrics.tailing.reader import Rewritten
from tests.builders import format_options
from tests.tailing.following import (
    append,
    as_bytes,
    numbered,
)


def test_a_file_written_anew_between_its_discovery_and_the_first_read_is_told_from_what_it_was(log, follow):
    following = follow(log)
    append(log, *numbered(100, 150))
    opened = open_log(str(log))
    source = new_source(opened, str(log), "node", ())
    os.truncate(log, 0)
    append(log, *numbered(200, 210))
    follower = Follower(
        source,
        opened,
        following.settings.tailing_options,
        str(log),
        format_options("requests"),
        registered=False,
    )
    follower.refresh()
    with pytest.raises(Rewritten):
        follower.read()
    opened.close()


def test_an_unfinished_last_line_counts_once_the_rotated_file_is_quiet(log, follow):
    following = follow(log)
    append(log, "whole")
    append(log, "unfinished", end=b"")
    following.settle()
    log.rename(log.with_suffix(".log.1"))
    assert following.settle() == [b"whole", b"unfinished"]


def test_a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_beginning(log, follow):
    following = follow(log, rotated_hold_seconds=60.0)
    append(log, *numbered(0, 5))
    following.settle()
    log.rename(log.with_suffix(".log.1"))
    append(log, *numbered(5, 10))
    following.settle()
    append(log.with_suffix(".log.1"), *numbered(10, 15))
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 15)))


def test_a_file_deleted_with_unread_lines_is_read_to_its_end(log, follow):
    following = follow(log, chunk_bytes=4096, max_line_bytes=1024)
    append(log, *numbered(0, 500))
    for chunk in following.tailer.next_chunks():
        following.commit(chunk)
    assert 0 < len(following.lines) < 500
    log.unlink()
    assert following.settle() == as_bytes(numbered(0, 500))


def test_lag_is_what_is_written_and_not_committed(log, follow):
    append(log, *numbered(0, 10))
    following = follow(log)
    following.tailer.next_chunks()
    (status,) = following.tailer.statuses()
    assert status.lag_bytes == log.stat().st_size


def test_an_unfinished_line_is_nothing_to_wait_for(log, follow):
    append(log, *numbered(0, 3))
    append(log, "unfinished", end=b"")
    [*_, chunk] = follow(log).tailer.next_chunks()
    assert (chunk.data.count(b"\n"), chunk.more) == (3, False)
