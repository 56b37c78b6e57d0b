"""In which order and how far files are read."""

from __future__ import annotations

import itertools
import os

from tests.tailing.following import (
    append,
    as_bytes,
    line_chunks,
    numbered,
)


def test_a_restart_goes_on_where_the_store_is(log, follow):
    append(log, *numbered(0, 10))
    following = follow(log)
    following.settle()
    following.restart()
    append(log, *numbered(10, 20))
    assert following.settle() == as_bytes(numbered(0, 20))


def test_what_was_read_and_not_committed_is_read_again_after_a_restart(log, follow):
    append(log, *numbered(0, 10))
    following = follow(log)
    following.settle(commit=False)
    following.restart()
    assert following.settle() == as_bytes(numbered(0, 10))


def test_each_source_belongs_to_one_worker(tmp_path, follow):
    for n in range(20):
        append(tmp_path / f"{n}.log", *numbered(n, n + 1))
    following = follow(f"{tmp_path}/*.log")
    shares = [{chunk.path for chunk in line_chunks(following, worker, 3)} for worker in range(3)]
    assert sum(map(len, shares)) == len(set().union(*shares)) == 20


def test_reopening_goes_on_where_it_was(log, follow):
    following = follow(log)
    append(log, *numbered(0, 10))
    following.settle()
    following.tailer.reopen()
    append(log, *numbered(10, 20))
    assert following.settle() == as_bytes(numbered(0, 20))


def test_the_oldest_file_is_read_to_its_end_first_when_asked(tmp_path, follow):
    young, old = tmp_path / "1.log", tmp_path / "2.log"
    append(young, *numbered(0, 500))
    append(old, *numbered(500, 1000))
    os.utime(old, (1, 1))
    following = follow(f"{tmp_path}/*.log", backlog_order="oldest", chunk_bytes=4096, max_line_bytes=1024)
    assert following.settle() == as_bytes([*numbered(500, 1000), *numbered(0, 500)])


def test_of_chunks_at_a_time_all_but_the_last_are_followed_by_more(tmp_path, follow):
    for n in range(3):
        append(tmp_path / f"{n}.log", *numbered(n * 5, n * 5 + 5))
    chunks = line_chunks(follow(f"{tmp_path}/*.log"))
    assert [chunk.more for chunk in chunks] == [True, True, False]


def test_the_last_chunk_is_followed_by_more_while_files_wait_for_their_turn(tmp_path, follow):
    for n in range(10):
        append(tmp_path / f"{n}.log", *numbered(n * 50, n * 50 + 50))
    following = follow(f"{tmp_path}/*.log", chunk_bytes=4096, max_line_bytes=1024)
    following.settle()
    more = [chunk.more for chunk in following.chunks]
    assert (len(more), more.index(False)) == (10, 9)


def test_files_take_turns_on_a_backlog(tmp_path, follow):
    for n in range(2):
        append(tmp_path / f"{n}.log", *numbered(n * 500, n * 500 + 500))
    following = follow(f"{tmp_path}/*.log", chunk_bytes=4096, max_line_bytes=1024)
    following.settle()
    paths = [chunk.path for chunk in following.chunks]
    assert all(one != other for one, other in itertools.pairwise(paths))
