"""Loads of finished files, one and many at a time."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tailmetrics.settings import load_settings
from tailmetrics.tailing import LoadJob
from tailmetrics.tailing.followers import Followers
from tailmetrics.tailing.known_sources import KnownSources
from tailmetrics.tailing.load_queue import LoadQueue
from tailmetrics.tailing.matching import Matcher
from tailmetrics.tailing.rotation import LogNames
from tests.builders import format_options
from tests.tailing.following import (
    Following,
    append,
    as_bytes,
    line_chunks,
    load_all,
    numbered,
)


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


def test_load_of_a_missing_file_fails_with_a_reason(tmp_path, log, follow):
    job = follow(log).load(tmp_path / "missing.log")
    assert job.progress().error == f"{tmp_path}/missing.log: No such file or directory"


def test_loads_that_have_to_wait_for_others_are_nothing_to_wait_for(tmp_path, log, follow):
    following = follow(log)
    for n in range(70):
        append(tmp_path / f"{n}.txt", *numbered(n, n + 1))
        following.tailer.load(LoadJob(tmp_path / f"{n}.txt", f"{n}.txt", None, by_content=False))
    chunks = line_chunks(following)
    assert (len(chunks), chunks[-1].more) == (64, False)


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


class TestLoadQueue:
    @pytest.fixture
    def followers(self) -> Iterator[Followers]:
        options = load_settings(None).tailing_options
        followers = Followers(options, LogNames([]), KnownSources([], datetime.now(timezone.utc)))
        yield followers
        for follower in followers:
            followers.close(follower)

    @pytest.fixture
    def queue(self, followers: Followers) -> LoadQueue:
        return LoadQueue(
            format_options("requests"), followers, Matcher("node", followers, from_beginning=True)
        )

    @pytest.fixture
    def job(self, queue: LoadQueue, tmp_path: Path) -> LoadJob:
        """A load that is under way."""
        append(tmp_path / "x.log", "line")
        job = LoadJob(tmp_path / "x.log", "x.log", None, by_content=False)
        queue.add(job)
        queue.begin()
        return job

    def test_the_file_of_a_load_is_followed_to_its_end(
        self, queue: LoadQueue, job: LoadJob, followers: Followers
    ) -> None:
        [follower] = followers
        assert (bool(queue), job.progress().state, follower.finite) == (True, "running", True)

    def test_a_load_ends_when_its_file_is_no_longer_followed(
        self, queue: LoadQueue, job: LoadJob, followers: Followers
    ) -> None:
        [follower] = followers
        followers.close(follower)
        queue.end()
        assert (bool(queue), job.progress().state) == (False, "done")

    def test_a_load_whose_file_cannot_be_read_fails(self, queue: LoadQueue, job: LoadJob) -> None:
        queue.fail(job.source_id or "", "Input/output error")
        assert (job.progress().state, job.progress().error) == ("failed", "Input/output error")

    def test_an_empty_file_is_loaded_at_once(
        self, queue: LoadQueue, followers: Followers, tmp_path: Path
    ) -> None:
        (tmp_path / "empty").touch()
        job = LoadJob(tmp_path / "empty", "empty", None, by_content=False)
        queue.add(job)
        queue.begin()
        assert (job.progress().state, len(followers)) == ("done", 0)
