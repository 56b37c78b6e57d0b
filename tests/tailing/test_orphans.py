"""What becomes of sources whose file was renamed, truncated or compressed."""

from __future__ import annotations

import os

import pytest

from tailmetrics.sources import Checkpoint, Source
from tailmetrics.tailing.orphans import Orphans
from tests.compressing import COMPRESS, each_suffix
from tests.tailing.following import (
    append,
    as_bytes,
    copy_truncate,
    numbered,
)


@pytest.mark.parametrize(
    "pattern", ["x.log", "x.log*"], ids=["rotated outside the glob", "rotated in the glob"]
)
def test_three_rotations_while_stopped_are_all_read(log, follow, pattern):
    following = follow(log.parent / pattern)
    append(log, *numbered(0, 5))
    following.settle()
    following.close()
    append(log, *numbered(5, 10))
    for turn in range(3):
        for old in (2, 1):
            if log.with_suffix(f".log.{old}").exists():
                log.with_suffix(f".log.{old}").rename(log.with_suffix(f".log.{old + 1}"))
        log.rename(log.with_suffix(".log.1"))
        append(log, *numbered(10 + 5 * turn, 15 + 5 * turn))
    following.restart()
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 25)))


@pytest.mark.parametrize(
    "pattern", ["x.log", "x.log*"], ids=["rotated outside the glob", "rotated in the glob"]
)
def test_rotation_and_truncation_mixed_while_stopped(log, follow, pattern):
    following = follow(log.parent / pattern)
    append(log, *numbered(0, 5))
    following.settle()
    following.close()
    append(log, *numbered(5, 10))
    log.rename(log.with_suffix(".log.2"))
    append(log, *numbered(10, 20))
    copy_truncate(log, log.with_suffix(".log.1"))
    append(log, *numbered(20, 40))
    following.restart()
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 40)))


@pytest.mark.parametrize("pattern", ["x.log", "x.log*"], ids=["copy outside the glob", "copy in the glob"])
@pytest.mark.parametrize("count", [3, 10, 30], ids=["shorter", "same size", "larger"])
def test_copy_and_truncate_while_running(log, follow, pattern, count):
    following = follow(log.parent / pattern)
    append(log, *numbered(10, 20))
    following.settle()
    append(log, *numbered(20, 25))
    copy_truncate(log, log.with_suffix(".log.1"))
    append(log, *numbered(50, 50 + count))
    assert sorted(following.settle()) == sorted(as_bytes([*numbered(10, 25), *numbered(50, 50 + count)]))


@pytest.mark.parametrize("pattern", ["x.log", "x.log*"], ids=["copy outside the glob", "copy in the glob"])
def test_the_same_number_of_bytes_written_after_a_truncation(log, follow, pattern):
    following = follow(log.parent / pattern)
    append(log, *numbered(10, 20))
    following.settle()
    copy_truncate(log, log.with_suffix(".log.1"))
    append(log, *numbered(20, 30))
    assert sorted(following.settle()) == sorted(as_bytes(numbered(10, 30)))


@pytest.mark.parametrize("pattern", ["x.log", "x.log*"], ids=["copy outside the glob", "copy in the glob"])
def test_copy_and_truncate_while_stopped_with_writes_on_both_sides(log, follow, pattern):
    following = follow(log.parent / pattern)
    append(log, *numbered(0, 10))
    following.settle()
    following.close()
    append(log, *numbered(10, 20))
    copy_truncate(log, log.with_suffix(".log.1"))
    append(log, *numbered(20, 50))
    following.restart()
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 50)))


def test_unread_bytes_destroyed_by_a_truncation_are_counted(log, follow):
    following = follow(log)
    append(log, *numbered(0, 5))
    following.settle()
    append(log, "unfinished", end=b"")
    following.settle()
    os.truncate(log, 0)
    append(log, "new")
    following.settle()
    assert following.tailer.lost_bytes == len("unfinished")


@each_suffix
def test_a_rotated_file_compressed_with_unread_lines_goes_on_at_the_decompressed_offset(log, follow, suffix):
    following = follow(log)
    append(log, *numbered(0, 50))
    following.settle()
    following.close()
    append(log, *numbered(50, 100))
    log.with_suffix(f".log.1{suffix}").write_bytes(COMPRESS[suffix](log.read_bytes()))
    log.unlink()
    append(log, *numbered(100, 120))
    following.restart()
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 120)))


def test_a_file_rotated_twice_before_a_late_commit_is_read_after_a_restart(log, follow):
    following = follow(log)
    append(log, *numbered(0, 5))
    following.settle()
    following.store_is_away = True
    append(log, *numbered(5, 10))
    following.settle()
    copy_truncate(log, log.with_suffix(".log.1"))
    append(log, *numbered(10, 15))
    copy_truncate(log, log.with_suffix(".log.2"))
    following.store_comes_back()
    following.restart()
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 15)))


def test_a_copy_of_what_was_read_and_not_committed_when_it_was_truncated_counts_once(log, follow):
    append(log, b"", end=b"")
    following = follow(f"{log}*")
    following.settle()
    following.store_is_away = True
    append(log, *numbered(0, 1))
    following.settle()
    copy_truncate(log, log.with_name("x.log.1"))
    following.settle()
    following.store_comes_back()
    assert following.settle() == as_bytes(numbered(0, 1))


def test_a_log_that_was_made_rotated_and_compressed_while_stopped_after_the_one_before_was_put_away(
    log, follow
):
    append(log, *numbered(0, 5))
    following = follow(log.parent / "*")
    following.settle()
    following.close()
    log.rename(log.with_name("put away"))
    log.with_name("x.log.1.gz").write_bytes(COMPRESS[".gz"]("\n".join([*numbered(5, 10), ""]).encode()))
    following.restart()
    assert following.settle() == as_bytes(numbered(0, 10))


def test_the_unread_bytes_of_an_orphan_are_lost_once_nobody_looks_for_it_any_more() -> None:
    orphans = Orphans()
    orphans.add(Source("a", "node", 1, 1, 0, "x.log", Checkpoint(5, 0, "", 0, "")), unread_bytes=7)
    orphans.give_up_after(3600)
    before = (orphans.lost_bytes, bool(orphans))
    orphans.give_up_after(0)
    assert (before, orphans.lost_bytes, bool(orphans)) == ((0, True), 7, False)


def test_an_orphan_whose_copy_was_found_lost_nothing() -> None:
    orphans = Orphans()
    orphans.add(Source("a", "node", 1, 1, 0, "x.log", Checkpoint(5, 0, "", 0, "")), unread_bytes=7)
    orphans.discard("a")
    orphans.give_up_after(0)
    assert (orphans.lost_bytes, orphans.get("a")) == (0, None)
