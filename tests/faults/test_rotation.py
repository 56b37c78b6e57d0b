"""Rotation by rename and by copy + truncate, while something follows the log and while nothing does."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.compressing import COMPRESS, each_suffix
from tests.integration.running import await_that
from tests.tailing.following import append, copy_truncate, numbered

either_glob = pytest.mark.parametrize(
    "pattern", ["x.log", "x.log*"], ids=["rotated outside the glob", "rotated in the glob"]
)


@either_glob
@pytest.mark.parametrize("at_once", [True, False], ids=["created at once", "created later"])
def test_case_01_rename_and_create_while_running(follow, log, pattern, at_once):
    living = follow(log.parent / pattern)
    rotated = log.with_name("x.log.1")
    append(log, *numbered(0, 1000))
    living.await_count(1000)
    append(log, *numbered(1000, 1500))
    log.rename(rotated)
    if at_once:
        log.touch()
    append(rotated, *numbered(1500, 1600))
    living.await_look()
    append(log, *numbered(2000, 2500))
    living.must_have([*range(1600), *range(2000, 2500)])


@either_glob
def test_case_01_a_late_write_to_the_renamed_file(follow, log, pattern):
    living = follow(log.parent / pattern, rotated_hold_seconds=30.0)
    rotated = log.with_name("x.log.1")
    append(log, *numbered(0, 100))
    living.await_count(100)
    log.rename(rotated)
    append(log, *numbered(200, 300))
    living.await_count(200)
    living.await_look()
    append(rotated, *numbered(100, 150))
    living.await_count(250)
    living.must_have([*range(150), *range(200, 300)])


@either_glob
def test_case_01_a_write_to_the_renamed_file_after_it_was_let_go(follow, log, pattern):
    living = follow(log.parent / pattern, rotated_hold_seconds=0.0)
    rotated = log.with_name("x.log.1")
    append(log, *numbered(0, 100))
    living.await_count(100)
    log.rename(rotated)
    append(log, *numbered(200, 300))
    living.await_count(200)
    living.await_look(2)
    append(rotated, *numbered(100, 150))
    living.must_have([*range(150), *range(200, 300)])


@either_glob
@pytest.mark.parametrize("turns", [1, 3], ids=["once", "three times"])
def test_case_02_rename_and_create_while_stopped(follow, log, pattern, turns):
    living = follow(log.parent / pattern)
    append(log, *numbered(0, 1000))
    living.await_count(1000)
    living.stop()
    append(log, *numbered(1000, 2000))
    for turn in range(1, turns + 1):
        for old in range(turn - 1, 0, -1):
            log.with_name(f"x.log.{old}").rename(log.with_name(f"x.log.{old + 1}"))
        log.rename(log.with_name("x.log.1"))
        append(log, *numbered(1000 + turn * 1000, 2000 + turn * 1000))
    living.must_have(range(2000 + turns * 1000))


@either_glob
@pytest.mark.parametrize("count", [30, 100, 300], ids=["shorter", "same size", "larger"])
def test_case_03_copy_and_truncate_while_running(follow, log, pattern, count):
    living = follow(log.parent / pattern)
    append(log, *numbered(1000, 1100))
    living.await_count(100)
    copy_truncate(log, log.with_name("x.log.1"))
    append(log, *numbered(2000, 2000 + count))
    living.must_have([*range(1000, 1100), *range(2000, 2000 + count)])


@either_glob
@pytest.mark.parametrize("count", [30, 100, 300], ids=["shorter", "same size", "larger"])
def test_case_03_copy_and_truncate_before_the_last_lines_were_read(follow, log, pattern, count):
    living = follow(log.parent / pattern)
    append(log, *numbered(1000, 1100))
    living.await_count(100)
    append(log, *numbered(1100, 1200))
    copy_truncate(log, log.with_name("x.log.1"))
    append(log, *numbered(2000, 2000 + count))
    living.must_have([*range(1000, 1200), *range(2000, 2000 + count)])


@either_glob
def test_case_03_copy_and_truncate_ten_times_in_a_row(follow, log, pattern):
    living = follow(log.parent / pattern)
    for turn in range(10):
        append(log, *numbered(turn * 100, turn * 100 + 100))
        copy_truncate(log, log.with_name(f"x.log.{turn}"))
    append(log, *numbered(1000, 1010))
    living.must_have(range(1010))


@either_glob
@pytest.mark.parametrize("count", [30, 100, 300], ids=["shorter", "same size", "larger"])
def test_case_04_copy_and_truncate_while_stopped(follow, log, pattern, count):
    living = follow(log.parent / pattern)
    append(log, *numbered(1000, 1100))
    living.await_count(100)
    living.stop()
    copy_truncate(log, log.with_name("x.log.1"))
    append(log, *numbered(2000, 2000 + count))
    living.must_have([*range(1000, 1100), *range(2000, 2000 + count)])


@either_glob
@pytest.mark.parametrize("count", [30, 200, 500], ids=["shorter", "same size", "larger"])
def test_case_04_copy_and_truncate_while_stopped_with_writes_on_both_sides(follow, log, pattern, count):
    living = follow(log.parent / pattern)
    append(log, *numbered(1000, 1100))
    living.await_count(100)
    living.stop()
    append(log, *numbered(1100, 1200))
    copy_truncate(log, log.with_name("x.log.1"))
    append(log, *numbered(2000, 2000 + count))
    living.must_have([*range(1000, 1200), *range(2000, 2000 + count)])


def test_case_05_the_copy_is_in_the_glob_and_not_read_again(follow, log):
    living = follow(f"{log}*")
    append(log, *numbered(0, 1000))
    living.await_count(1000)
    shutil.copyfile(log, log.with_name("x.log.1"))
    living.await_look(2)
    append(log, *numbered(1000, 1100))
    living.await_count(1100)
    os.truncate(log, 0)
    append(log, *numbered(1100, 1200))
    living.must_have(range(1200))


def test_case_05_the_copy_is_in_the_glob_while_it_is_being_made(follow, log):
    living = follow(f"{log}*")
    append(log, *numbered(0, 1000))
    living.await_count(1000)
    content = log.read_bytes()
    with log.with_name("x.log.1").open("wb", buffering=0) as copy:
        for start in range(0, len(content), 9973):
            copy.write(content[start : start + 9973])
            living.await_look()
    os.truncate(log, 0)
    append(log, *numbered(1000, 1100))
    living.must_have(range(1100))


@each_suffix
@either_glob
def test_case_16_a_compressed_rotated_file_beside_the_plain_one_is_not_read_twice(
    follow, log, pattern, suffix
):
    living = follow(log.parent / pattern)
    append(log, *numbered(0, 1000))
    living.await_count(1000)
    rotated = log.with_name("x.log.1")
    log.rename(rotated)
    append(log, *numbered(1000, 1100))
    living.await_count(1100)
    rotated.with_name(f"x.log.1{suffix}").write_bytes(COMPRESS[suffix](rotated.read_bytes()))
    living.await_look(2)
    rotated.unlink()
    living.must_have(range(1100))


@each_suffix
@either_glob
def test_case_16_rotated_and_compressed_while_stopped_goes_on_at_the_decompressed_offset(
    follow, log, pattern, suffix
):
    living = follow(log.parent / pattern)
    append(log, *numbered(0, 1000))
    living.await_count(1000)
    living.stop()
    append(log, *numbered(1000, 2000))
    log.with_name(f"x.log.1{suffix}").write_bytes(COMPRESS[suffix](log.read_bytes()))
    log.unlink()
    append(log, *numbered(2000, 2100))
    living.must_have(range(2100))


@each_suffix
def test_case_16_a_log_that_was_empty_when_it_was_rotated_and_compressed_is_read_on(follow, log, suffix):
    living = follow(log)
    append(log, *numbered(0, 100))
    living.await_count(100)
    log.rename(log.with_name("x.log.2"))
    log.with_name(f"x.log.1{suffix}").write_bytes(COMPRESS[suffix](b""))
    log.touch()
    living.await_look(2)
    living.restart()
    append(log, *numbered(100, 200))
    living.must_have(range(200))


@each_suffix
def test_case_16_a_compressed_file_never_seen_plain_is_read_whole_by_load(follow, log, tmp_path, suffix):
    living = follow(log)
    old = tmp_path / f"old.log{suffix}"
    old.write_bytes(COMPRESS[suffix]("\n".join(numbered(0, 1000)).encode()))
    jobs = [living.running.start_load(old, str(old), None) for _ in range(2)]
    await_that(lambda: all(job.has_ended for job in jobs), 20.0)
    living.must_have(range(1000))


@either_glob
def test_case_04_lines_read_between_the_copy_and_the_truncation(follow, log, pattern):
    living = follow(log.parent / pattern)
    append(log, *numbered(0, 1000))
    living.await_count(1000)
    shutil.copyfile(log, log.with_name("x.log.1"))
    living.await_look()
    append(log, *numbered(1000, 1100))
    living.await_count(1100)
    os.truncate(log, 0)
    append(log, *numbered(1100, 1200))
    living.must_have(range(1200))
