"""What the tailer does when files grow, rotate, vanish and come back."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tailmetrics.sources import LongLine
from tailmetrics.tailing import LoadJob
from tailmetrics.tailing.follower import Follower
from tailmetrics.tailing.identity import new_source, start_at
from tailmetrics.tailing.log_file import open_log
from tailmetrics.tailing.reader import Rewritten
from tests.tailing.following import Following, append, copy_truncate, line_chunks, numbered


@pytest.fixture
def follow() -> Iterator[Callable[..., Following]]:
    """Starts to follow a pattern; everything is closed at the end."""
    started: list[Following] = []

    def start(pattern: Path | str, **settings: Any) -> Following:
        started.append(Following(pattern, **settings))
        return started[-1]

    yield start
    for following in started:
        following.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "x.log"


@pytest.fixture
def longer_copy(log: Path) -> tuple[Path, Path]:
    """A log of 100 lines, and another file with these and 50 more."""
    copy = log.with_name("y.log")
    append(log, *numbered(0, 100))
    append(copy, *numbered(0, 150))
    return log, copy


def as_bytes(lines: list[str]) -> list[bytes]:
    return [line.encode() for line in lines]


def load_all(following: Following, *paths: Path, at_once: bool) -> list[LoadJob]:
    if not at_once:
        return [following.load(path) for path in paths]
    jobs = [LoadJob(path, str(path), None, by_content=False) for path in paths]
    for job in jobs:
        following.tailer.load(job)
    while not all(job.has_ended for job in jobs):
        following.settle()
    return jobs


def test_lines_that_are_there_at_start_are_read_from_the_beginning(log, follow):
    append(log, *numbered(0, 10))
    assert follow(log).settle() == as_bytes(numbered(0, 10))


def test_lines_that_are_there_at_start_are_left_out_when_it_begins_at_the_end(log, follow):
    append(log, *numbered(0, 10))
    following = follow(log, log_start="end")
    following.settle()
    append(log, *numbered(10, 12))
    assert following.settle() == as_bytes(numbered(10, 12))


def test_a_restart_goes_on_where_it_began_at_the_end(log, follow):
    append(log, *numbered(0, 10))
    following = follow(log, log_start="end")
    following.settle()
    following.close()
    append(log, *numbered(10, 12))
    following.restart()
    assert following.settle() == as_bytes(numbered(10, 12))


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
        "requests",
        registered=False,
    )
    follower.refresh()
    with pytest.raises(Rewritten):
        follower.read()
    opened.close()


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


def test_three_rotations_while_stopped_are_all_read(log, follow):
    following = follow(log)
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


def test_rotated_files_from_before_the_first_start_are_left_alone(log, follow):
    append(log.with_suffix(".log.1"), *numbered(0, 5))
    append(log, *numbered(5, 10))
    following = follow(log)
    following.settle()
    log.with_suffix(".log.1").rename(log.with_suffix(".log.2"))
    log.rename(log.with_suffix(".log.1"))
    append(log, *numbered(10, 15))
    assert sorted(following.settle()) == sorted(as_bytes(numbered(5, 15)))


def test_two_rotations_between_two_looks_are_all_read(log, follow):
    following = follow(log)
    append(log, *numbered(0, 5))
    following.settle()
    log.rename(log.with_suffix(".log.2"))
    append(log, *numbered(5, 10))
    log.rename(log.with_suffix(".log.1"))
    append(log, *numbered(10, 15))
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 15)))


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


def test_three_rotations_while_stopped_are_all_read_when_the_glob_names_them(log, follow):
    following = follow(f"{log}*")
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


def test_a_copy_in_the_glob_is_not_read_while_it_is_being_made(log, follow):
    following = follow(f"{log}*")
    append(log, *numbered(0, 100))
    following.settle()
    content = log.read_bytes()
    copy = log.with_suffix(".log.1")
    for end in range(0, len(content), 997):
        copy.write_bytes(content[:end])
        following.settle()
    copy.write_bytes(content)
    following.settle()
    os.truncate(log, 0)
    append(log, *numbered(100, 120))
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 120)))


def test_lines_read_before_the_truncation_while_a_log_with_the_same_header_begins_anew(tmp_path, follow):
    """The store is away, so that nothing is known of the other log but its header."""
    log, other = tmp_path / "a.log", tmp_path / "b.log"
    header = "# " + "h" * 3000
    for path in (log, other):
        append(path, header, f"first of {path.name}")
    following = follow(tmp_path / "*.log")
    following.settle()
    other.rename(tmp_path / "b.log.1")
    following.store_is_away = True
    append(other, header, "second of b.log")
    shutil.copyfile(log, tmp_path / "a.log.1")
    following.settle()
    append(log, "second of a.log")
    following.settle()
    os.truncate(log, 0)
    following.settle()
    following.store_comes_back()
    lines = Counter(line for line in following.settle() if not line.startswith(b"#"))
    assert lines == Counter([b"first of a.log", b"first of b.log", b"second of a.log", b"second of b.log"])


@pytest.mark.parametrize("pattern", ["x.log", "x.log*"], ids=["copy outside the glob", "copy in the glob"])
def test_lines_read_between_the_copy_and_the_truncation(log, follow, pattern):
    following = follow(log.parent / pattern)
    append(log, *numbered(0, 100))
    following.settle()
    shutil.copyfile(log, log.with_suffix(".log.1"))
    following.settle()
    append(log, *numbered(100, 120))
    following.settle()
    os.truncate(log, 0)
    append(log, *numbered(120, 130))
    following.settle()
    following.restart()
    assert following.settle() == as_bytes(numbered(0, 130))


@pytest.mark.parametrize("count", [30, 100])
def test_a_copy_whose_name_comes_before_that_of_its_log_is_not_read_at_the_first_start(
    tmp_path: Path, log: Path, follow: Callable[..., Following], count: int
) -> None:
    append(log, *numbered(0, 100))
    append(tmp_path / "x-20241010.log", *numbered(0, count))
    assert follow(f"{tmp_path}/x*.log").settle() == as_bytes(numbered(0, 100))


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


def test_a_file_deleted_with_unread_lines_is_read_to_its_end(log, follow):
    following = follow(log, chunk_bytes=4096, max_line_bytes=1024)
    append(log, *numbered(0, 500))
    for chunk in following.tailer.next_chunks():
        following.commit(chunk)
    assert 0 < len(following.lines) < 500
    log.unlink()
    assert following.settle() == as_bytes(numbered(0, 500))


def test_a_file_deleted_and_made_again_is_a_new_source(log, follow):
    following = follow(log)
    append(log, *numbered(0, 10))
    following.settle()
    log.unlink()
    append(log, *numbered(10, 20))
    assert following.settle() == as_bytes(numbered(0, 20))


def test_an_inode_that_is_used_again_is_a_new_source(log, follow):
    following = follow(log)
    append(log, *numbered(0, 10))
    following.settle()
    following.close()
    held = log.with_suffix(".held")
    os.link(log, held)
    log.unlink()
    held.write_bytes(b"")
    held.rename(log)
    append(log, *numbered(10, 30))
    following.restart()
    assert following.settle() == as_bytes(numbered(0, 30))


def test_files_that_begin_alike_are_told_apart(log, follow):
    header = ["# a header that is the same in all files " + "x" * 2000]
    following = follow(f"{log.parent}/*.log")
    append(log, *header, *numbered(0, 10))
    following.settle()
    append(log.with_name("y.log"), *header, *numbered(10, 20))
    following.settle()
    following.restart()
    following.settle()
    assert sorted(following.lines) == sorted(as_bytes([*header, *header, *numbered(0, 20)]))


def test_a_rotated_file_that_begins_like_its_successor_is_told_from_it(log, follow):
    header = ["# a header that is the same in all files " + "x" * 2000]
    following = follow(log)
    append(log, *header, *numbered(0, 10))
    following.settle()
    log.rename(log.with_suffix(".log.1"))
    append(log, *header)
    following.settle()
    append(log, *numbered(10, 20))
    assert sorted(following.settle()) == sorted(as_bytes([*header, *header, *numbered(0, 20)]))


def test_a_file_of_one_byte_grows_into_lines(log, follow):
    following = follow(log)
    append(log, b"a", end=b"")
    following.settle()
    following.restart()
    append(log, b"b\nc\n", end=b"")
    assert following.settle() == [b"ab", b"c"]


def test_an_empty_file_is_followed_once_it_has_lines(log, follow):
    log.touch()
    following = follow(log)
    following.settle()
    append(log, "first")
    assert following.settle() == [b"first"]


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


def test_a_symbolic_link_swapped_thirty_times(log, follow, tmp_path):
    following = follow(log)
    written = []
    for turn in range(30):
        target = tmp_path / f"target-{turn}.txt"
        lines = numbered(turn * 5, turn * 5 + 5)
        append(target, *lines)
        written += lines
        link = tmp_path / "link"
        link.symlink_to(target)
        link.rename(log)
        following.settle()
    assert sorted(following.lines) == sorted(as_bytes(written))


def test_files_in_a_directory_that_is_made_later(tmp_path, follow):
    following = follow(f"{tmp_path}/later/*.log")
    following.settle()
    (tmp_path / "later").mkdir()
    append(tmp_path / "later" / "x.log", *numbered(0, 3))
    assert following.settle() == as_bytes(numbered(0, 3))


def test_a_thousand_files_at_once(tmp_path, follow):
    for n in range(1000):
        append(tmp_path / f"{n}.log", *numbered(n, n + 1))
    assert sorted(follow(f"{tmp_path}/*.log").settle()) == sorted(as_bytes(numbered(0, 1000)))


def test_more_files_than_may_be_open(tmp_path, follow):
    following = follow(f"{tmp_path}/*.log", max_open_files=3)
    for turn in range(3):
        for n in range(10):
            append(tmp_path / f"{n}.log", *numbered(turn * 10 + n, turn * 10 + n + 1))
        following.settle()
    assert sorted(following.lines) == sorted(as_bytes(numbered(0, 30)))


def test_a_rotated_file_compressed_with_unread_lines_goes_on_at_the_decompressed_offset(log, follow):
    following = follow(log)
    append(log, *numbered(0, 50))
    following.settle()
    following.close()
    append(log, *numbered(50, 100))
    with gzip.open(log.with_suffix(".log.1.gz"), "wb") as stream, log.open("rb") as plain:
        shutil.copyfileobj(plain, stream)
    log.unlink()
    append(log, *numbered(100, 120))
    following.restart()
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 120)))


def test_a_compressed_file_beside_its_original_is_not_read(log, follow):
    following = follow(f"{log}*")
    append(log, *numbered(0, 50))
    following.settle()
    log.with_suffix(".log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    following.settle()
    following.restart()
    assert following.settle() == as_bytes(numbered(0, 50))


def test_load_reads_a_compressed_file_whole(tmp_path, log, follow):
    following = follow(log)
    path = tmp_path / "old.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\nunfinished"))
    following.load(path)
    assert following.lines == [b"one", b"two", b"unfinished"]


def test_load_of_a_damaged_compressed_file_fails_with_a_reason(tmp_path, log, follow):
    path = tmp_path / "old.gz"
    path.write_bytes(gzip.compress(os.urandom(10_000))[:-500])
    assert "not a whole gzip file" in (follow(log).load(path).progress().error or "")


def test_load_of_a_file_that_was_loaded_is_nothing(tmp_path, log, follow):
    following = follow(log)
    append(tmp_path / "old.txt", *numbered(0, 10))
    following.load(tmp_path / "old.txt")
    following.restart()
    job = following.load(tmp_path / "old.txt")
    assert (job.progress().already_loaded, following.lines) == (True, as_bytes(numbered(0, 10)))


def test_of_two_loads_of_a_file_at_a_time_one_counts_its_lines(tmp_path, log, follow):
    following = follow(log)
    append(tmp_path / "old.txt", *numbered(0, 10))
    jobs = [LoadJob(tmp_path / "old.txt", "old.txt", None, by_content=False) for _ in range(2)]
    for job in jobs:
        following.tailer.load(job)
    following.settle()
    assert [job.progress().already_loaded for job in jobs] == [False, True]


def test_load_of_a_file_that_is_followed_ends_when_its_lines_are_in(log, follow):
    append(log, *numbered(0, 10))
    following = follow(log)
    following.load(log)
    assert following.lines == as_bytes(numbered(0, 10))


def test_the_same_content_uploaded_twice_counts_once(tmp_path, log, follow):
    following = follow(log)
    for name in ("one", "two"):
        (tmp_path / name).write_text("a\nb\n")
        following.load(tmp_path / name, name="upload")
        (tmp_path / name).unlink()
    assert following.lines == [b"a", b"b"]


@pytest.mark.parametrize("name", ["x.log.1", "y.log", "x.log.gz"])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_copy_that_is_loaded_adds_nothing_whatever_its_name(
    tmp_path: Path, follow: Callable[..., Following], name: str, at_once: bool
) -> None:
    following = follow(tmp_path / "nothing")
    original, copy = tmp_path / "x.log", tmp_path / name
    append(original, *numbered(0, 100))
    copy.write_bytes(gzip.compress(original.read_bytes()) if name.endswith(".gz") else original.read_bytes())
    jobs = load_all(following, original, copy, at_once=at_once)
    assert [job.progress().already_loaded for job in jobs] == [False, True]
    assert following.lines == as_bytes(numbered(0, 100))


def test_many_copies_loaded_at_once_count_once(tmp_path: Path, follow: Callable[..., Following]) -> None:
    following = follow(tmp_path / "nothing", chunk_bytes=4096, max_line_bytes=1024)
    copies = [tmp_path / f"{n}.log" for n in range(100)]
    for path in copies:
        append(path, *numbered(0, 200))
    load_all(following, *copies, at_once=True)
    assert following.lines == as_bytes(numbered(0, 200))


def test_logs_that_begin_alike_are_loaded_beside_each_other(
    tmp_path: Path, follow: Callable[..., Following]
) -> None:
    following = follow(tmp_path / "nothing", chunk_bytes=4096, max_line_bytes=1024)
    paths = [tmp_path / f"{n}.log" for n in range(3)]
    for n, path in enumerate(paths):
        append(path, *numbered(0, 50), *numbered(n * 1000, n * 1000 + 500))
    jobs = [LoadJob(path, str(path), None, by_content=False) for path in paths]
    for job in jobs:
        following.tailer.load(job)
    for chunk in following.tailer.next_chunks():
        following.commit(chunk)
    assert [job.progress().state for job in jobs] == ["running"] * 3
    following.settle()
    assert len(following.lines) == 3 * 550


@pytest.mark.parametrize("at_once", [True, False])
def test_of_a_longer_copy_only_the_further_lines_count(
    follow: Callable[..., Following], longer_copy: tuple[Path, Path], at_once: bool
) -> None:
    original, copy = longer_copy
    following = follow(original.with_name("nothing"))
    load_all(following, original, copy, at_once=at_once)
    assert following.lines == as_bytes(numbered(0, 150))
    following.restart()
    append(original, *numbered(500, 520))
    append(copy, *numbered(150, 160))
    load_all(following, original, copy, at_once=at_once)
    assert following.lines == as_bytes([*numbered(0, 150), *numbered(500, 520), *numbered(150, 160)])


def test_an_original_that_grows_into_its_longer_copy_adds_only_what_comes_after(
    follow: Callable[..., Following], longer_copy: tuple[Path, Path]
) -> None:
    original, copy = longer_copy
    following = follow(original.with_name("nothing"))
    load_all(following, original, copy, at_once=False)
    append(original, *numbered(100, 170))
    load_all(following, original, original, copy, at_once=False)
    assert following.lines == as_bytes(numbered(0, 170))


def test_a_log_goes_on_behind_what_a_copy_of_it_added(log: Path, follow: Callable[..., Following]) -> None:
    append(log, *numbered(0, 100))
    loading = follow(log.with_name("nothing"))
    loading.load(log)
    append(log, *numbered(100, 150))
    copy = log.with_suffix(".log.gz")
    copy.write_bytes(gzip.compress(log.read_bytes()))
    loading.load(copy)
    append(log, *numbered(150, 160))
    loading.load(log)
    following = follow(log)
    following.sources = loading.sources
    following.restart()
    append(log, *numbered(160, 165))
    following.settle()
    assert loading.lines + following.lines == as_bytes(numbered(0, 165))
    assert {source.path for source in loading.sources.values()} == {str(log)}


def test_a_log_that_was_followed_adds_nothing_when_it_or_a_copy_is_loaded(
    log: Path, follow: Callable[..., Following]
) -> None:
    append(log, *numbered(0, 100))
    following = follow(log)
    following.settle()
    following.close()
    loading = follow(log.with_name("nothing"))
    loading.sources = following.sources
    loading.restart()
    copy = log.with_name("copy-of-it.txt")
    shutil.copyfile(log, copy)
    jobs = load_all(loading, log, copy, at_once=False)
    assert ([job.progress().already_loaded for job in jobs], loading.lines) == ([True, True], [])


@pytest.fixture
def read_log(log: Path, follow: Callable[..., Following]) -> Following:
    """Follows a log of 100 lines that was read to its end."""
    append(log, *numbered(0, 100))
    following = follow(log)
    following.settle()
    return following


@pytest.mark.parametrize("name", [None, "upload"], ids=["by its path", "uploaded"])
@pytest.mark.parametrize("is_followed", [True, False])
def test_the_first_lines_of_a_log_that_is_there_add_nothing(
    tmp_path: Path, log: Path, follow: Callable[..., Following], name: str | None, is_followed: bool
) -> None:
    append(log, *numbered(0, 100))
    following = follow(log if is_followed else tmp_path / "nothing")
    following.load(log)
    append(tmp_path / "first", *numbered(0, 50))
    job = following.load(tmp_path / "first", name)
    assert (job.progress().already_loaded, following.lines) == (True, as_bytes(numbered(0, 100)))


def test_the_first_lines_of_a_log_that_was_not_read_from_its_beginning_are_loaded(
    tmp_path: Path, log: Path, follow: Callable[..., Following]
) -> None:
    append(log, *numbered(0, 100))
    following = follow(log, log_start="end")
    following.settle()
    append(tmp_path / "first", *numbered(0, 50))
    following.load(tmp_path / "first")
    assert following.lines == as_bytes(numbered(0, 50))


def test_first_lines_that_differ_in_their_middle_are_another_log(tmp_path: Path, read_log: Following) -> None:
    other = [*numbered(0, 30), *(line.replace("200", "500") for line in numbered(30, 40)), *numbered(40, 70)]
    append(tmp_path / "other", *other)
    read_log.load(tmp_path / "other")
    assert read_log.lines[100:] == as_bytes(other)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_load_that_waits_for_a_log_goes_on_by_itself_when_that_is_truncated(
    tmp_path: Path, log: Path, follow: Callable[..., Following], is_late: bool
) -> None:
    append(log, *numbered(0, 200))
    append(tmp_path / "first", *numbered(0, 190))
    following = follow(log, chunk_bytes=4096, max_line_bytes=1024)
    job = LoadJob(tmp_path / "first", "upload", None, by_content=True)
    chunks = following.tailer.next_chunks()
    if is_late:
        os.truncate(log, 0)
    following.tailer.load(job)
    chunks += following.tailer.next_chunks()
    os.truncate(log, 0)
    append(log, *numbered(500, 505))
    for chunk in chunks:
        following.commit(chunk)
    following.settle()
    assert job.has_ended
    assert sorted(following.lines) == sorted(as_bytes([*numbered(0, 190), *numbered(500, 505)]))


@pytest.mark.parametrize("name", [None, "upload"], ids=["by its path", "uploaded"])
def test_a_few_first_lines_are_no_proof_that_a_log_is_another_one(
    tmp_path: Path, read_log: Following, name: str | None
) -> None:
    append(tmp_path / "first", *numbered(0, 3))
    read_log.load(tmp_path / "first", name)
    assert read_log.lines == as_bytes([*numbered(0, 100), *numbered(0, 3)])


def test_a_log_that_leaves_another_after_its_first_lines_is_loaded(
    tmp_path: Path, read_log: Following
) -> None:
    append(tmp_path / "other", *numbered(0, 40), *numbered(500, 510))
    read_log.load(tmp_path / "other")
    assert read_log.lines[100:] == as_bytes([*numbered(0, 40), *numbered(500, 510)])


def test_load_of_a_missing_file_fails_with_a_reason(tmp_path, log, follow):
    job = follow(log).load(tmp_path / "missing.log")
    assert job.progress().error == f"{tmp_path}/missing.log: No such file or directory"


def test_a_missing_file_is_told_in_the_status(log, follow):
    following = follow(log)
    following.settle()
    (status,) = following.tailer.statuses()
    assert (status.path, status.state, status.last_error) == (
        str(log),
        "missing",
        "No such file or directory",
    )


def test_lag_is_what_is_written_and_not_committed(log, follow):
    append(log, *numbered(0, 10))
    following = follow(log)
    following.tailer.next_chunks()
    (status,) = following.tailer.statuses()
    assert status.lag_bytes == log.stat().st_size


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


def test_an_unfinished_line_is_nothing_to_wait_for(log, follow):
    append(log, *numbered(0, 3))
    append(log, "unfinished", end=b"")
    [*_, chunk] = follow(log).tailer.next_chunks()
    assert (chunk.data.count(b"\n"), chunk.more) == (3, False)


def test_loads_that_have_to_wait_for_others_are_nothing_to_wait_for(tmp_path, log, follow):
    following = follow(log)
    for n in range(70):
        append(tmp_path / f"{n}.txt", *numbered(n, n + 1))
        following.tailer.load(LoadJob(tmp_path / f"{n}.txt", f"{n}.txt", None, by_content=False))
    chunks = line_chunks(following)
    assert (len(chunks), chunks[-1].more) == (64, False)


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


# uploads


@pytest.fixture
def uploads(tmp_path: Path, follow: Callable[..., Following]) -> Callable[..., int]:
    """Loads lines as a log that is sent under a name; returns how many lines it added."""
    following = follow(tmp_path / "none.log", log_format="requests")
    number = itertools.count()

    def upload(lines: list[str], name: str = "upload", *, restart: bool = False) -> int:
        if restart:
            following.restart()
        path = tmp_path / f"copy-{next(number)}"
        append(path, *lines)
        before = len(following.lines)
        job = following.load(path, name)
        path.unlink()
        added = len(following.lines) - before
        assert job.progress().already_loaded == (added == 0)
        return added

    return upload


@pytest.mark.parametrize("restart", [False, True])
def test_a_log_that_was_sent_is_known_after_it_was_sent_longer(uploads, restart):
    short, long = numbered(0, 10), numbered(0, 25)
    added = [uploads(lines, restart=restart) for lines in (short, long, short, long)]
    assert added == [10, 15, 0, 0]


def test_of_two_logs_that_go_on_from_one_that_was_sent_each_adds_its_own_lines(uploads):
    short = numbered(0, 10)
    one, other = short + numbered(100, 120), short + numbered(200, 230)
    assert [uploads(lines) for lines in (short, one, other, one, short, other)] == [10, 20, 30, 0, 0, 0]


def test_a_log_that_was_sent_by_an_older_version_and_grew_there_is_known(uploads, follow, tmp_path):
    # It had moved the source of the shorter log to the end of the longer one.
    copy = tmp_path / "copy"
    append(copy, *numbered(0, 10))
    following = follow(tmp_path / "none.log")
    following.load(copy, "upload")
    [(source_id, source)] = following.sources.items()
    append(copy, *numbered(10, 25))
    with contextlib.closing(open_log(str(copy))) as opened:
        following.sources[source_id] = start_at(opened.size(), source, opened)
    following.restart()
    following.lines.clear()
    short = tmp_path / "short"
    append(short, *numbered(0, 10))
    jobs = [following.load(path, "upload") for path in (short, copy)]
    assert (following.lines, [job.progress().already_loaded for job in jobs]) == ([], [True, True])


# result logs, whose names say when they ran


PASSED = ["# Test: apples T", "# Result: PASS"]
FAILED = ["# Test: pears T", "# Result: FAIL"]


@pytest.fixture
def follow_results(tmp_path: Path, follow: Callable[..., Following]) -> Callable[[], Following]:
    return lambda: follow(f"{tmp_path}/test*.log", log_format="results")


def test_a_result_log_that_equals_that_of_another_time_is_another_run(tmp_path, follow_results):
    following = follow_results()
    for run in (1_700_000_000, 1_700_086_400):
        append(tmp_path / f"test_{run}.log", *PASSED)
        following.settle()
    assert following.lines == as_bytes(PASSED * 2)


def test_result_logs_that_are_equal_at_start_are_read_each(tmp_path, follow_results):
    for run in (1_700_000_000, 1_700_086_400):
        append(tmp_path / f"test_{run}.log", *PASSED)
    assert follow_results().settle() == as_bytes(PASSED * 2)


def test_a_result_log_that_equals_one_that_is_gone_is_another_run(tmp_path, follow_results):
    following = follow_results()
    for run in (1_700_000_000, 1_700_086_400):
        path = tmp_path / f"test_{run}.log"
        append(path, *PASSED)
        following.settle()
        path.unlink()
        following.settle()
    assert following.lines == as_bytes(PASSED * 2)


def test_a_result_log_that_begins_like_another_one_is_read_whole(tmp_path, follow_results):
    following = follow_results()
    append(tmp_path / "test_1700000000.log", *PASSED)
    following.settle()
    append(tmp_path / "test_1700086400.log", PASSED[0])
    following.settle()
    append(tmp_path / "test_1700086400.log", PASSED[1], *FAILED)
    assert Counter(following.settle()) == Counter(as_bytes(PASSED * 2 + FAILED))


def test_a_copy_that_rotation_made_of_a_result_log_is_a_copy(tmp_path, follow_results):
    following = follow_results()
    log = tmp_path / "test_1700000000.log"
    append(log, *PASSED)
    following.settle()
    shutil.copy(log, tmp_path / "test_1700000000.1.log")
    assert following.settle() == as_bytes(PASSED)


def test_result_logs_that_are_sent_are_told_by_their_names_too(tmp_path, follow_results):
    following = follow_results()
    sent = [
        ("test_1700000000.log", PASSED),
        ("test_1700086400.log", PASSED),
        ("test_1700172800.log", PASSED + FAILED),
        ("test_1700172800.log", PASSED + FAILED),
        ("test_1700086400.log", PASSED + FAILED),
    ]
    added = []
    for name, lines in sent:
        copy = tmp_path / "copy"
        append(copy, *lines)
        before = len(following.lines)
        following.load(copy, name)
        added.append((following.chunks[-1].path, len(following.lines) - before))
        copy.unlink()
    assert added == [
        ("test_1700000000.log", 2),
        ("test_1700086400.log", 2),
        ("test_1700172800.log", 4),
        ("test_1700172800.log", 0),
        ("test_1700086400.log", 2),
    ]


def test_a_log_that_began_like_another_one_and_grew_beyond_it_is_followed(tmp_path, follow):
    following = follow(f"{tmp_path}/app-*.log")
    append(tmp_path / "app-2024-11-01.log", *numbered(0, 1))
    following.settle()
    append(tmp_path / "app-2024-11-02.log", *numbered(0, 1))
    following.settle()
    append(tmp_path / "app-2024-11-02.log", *numbered(1, 3))
    assert following.settle() == as_bytes(numbered(0, 3))


def test_a_gzip_is_loaded_as_one_under_any_name(tmp_path, follow):
    log = tmp_path / "finished.log"
    log.write_bytes(gzip.compress("\n".join(numbered(0, 10)).encode()))
    following = follow(tmp_path / "none.log")
    following.load(log)
    assert following.lines == as_bytes(numbered(0, 10))


def test_a_load_ends_with_the_look_that_lets_go_of_its_file(log, follow, tmp_path):
    append(log, *numbered(0, 10))
    following = follow(tmp_path / "none.log")
    job = LoadJob(log, str(log), None, by_content=False)
    following.tailer.load(job)
    while chunks := following.tailer.next_chunks():
        for chunk in chunks:
            following.commit(chunk)
    # Nothing happens after it, so that another look may be a long time away.
    assert job.has_ended


@pytest.mark.parametrize("others", [numbered(100, 150), numbered(500, 540)])
def test_a_log_that_is_sent_adds_what_comes_behind_one_that_is_followed(log, follow, tmp_path, others):
    append(log, *numbered(0, 100))
    following = follow(log)
    following.settle()
    copy = tmp_path / "copy"
    append(copy, *numbered(0, 100), *others)
    following.load(copy, "sent.log")
    assert Counter(following.lines) == Counter(as_bytes(numbered(0, 100) + others))


def test_a_copy_that_outgrows_a_log_whose_reading_is_behind_adds_only_its_own_lines(log, follow, tmp_path):
    following = follow(f"{tmp_path}/*.log", chunk_bytes=4096, max_line_bytes=99)
    append(log, *numbered(0, 1000))
    for _ in range(2):
        for chunk in following.tailer.next_chunks():
            following.commit(chunk)
    shutil.copy(log, tmp_path / "x-2.log")
    append(tmp_path / "x-2.log", *numbered(1000, 1010))
    assert Counter(following.settle()) == Counter(as_bytes(numbered(0, 1010)))


@pytest.mark.parametrize("first", [0, 1000, 2000, 3000, 4000])
def test_logs_that_go_on_from_a_known_one_count_once_when_they_are_sent_at_once(follow, tmp_path, first):
    following = follow(tmp_path / "none.log", chunk_bytes=4096, max_line_bytes=99)
    ends = [100, 200, 250]
    paths = [tmp_path / f"copy-{end}" for end in ends]
    for path, end in zip(paths, ends, strict=True):
        append(path, *numbered(first, first + end))
    following.load(paths[0], "upload")
    jobs = [LoadJob(path, "upload", None, by_content=True) for path in paths[1:]]
    for job in jobs:
        following.tailer.load(job)
    while not all(job.has_ended for job in jobs):
        following.settle()
    assert Counter(following.lines) == Counter(as_bytes(numbered(first, first + 250)))


def test_the_copy_of_a_log_may_be_named_like_that_of_a_run(follow, tmp_path):
    log = tmp_path / "test.log"
    following = follow(f"{tmp_path}/*.log")
    append(log, *numbered(0, 300))
    following.settle()
    copy_truncate(log, tmp_path / "test_1728518400.log")
    following.settle()
    append(log, *numbered(300, 310))
    assert Counter(following.settle()) == Counter(as_bytes(numbered(0, 310)))


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
    log.with_name("x.log.1.gz").write_bytes(gzip.compress("\n".join([*numbered(5, 10), ""]).encode()))
    following.restart()
    assert following.settle() == as_bytes(numbered(0, 10))
