"""Which files are open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tailmetrics.settings import load_settings
from tailmetrics.tailing.follower import Follower
from tailmetrics.tailing.followers import Followers
from tailmetrics.tailing.identity import new_source
from tailmetrics.tailing.known_sources import KnownSources
from tailmetrics.tailing.log_file import open_log
from tailmetrics.tailing.rotation import LogNames
from tests.builders import format_options
from tests.tailing.following import (
    append,
    as_bytes,
    numbered,
)


def test_more_files_than_may_be_open(tmp_path, follow):
    following = follow(f"{tmp_path}/*.log", max_open_files=3)
    for turn in range(3):
        for n in range(10):
            append(tmp_path / f"{n}.log", *numbered(turn * 10 + n, turn * 10 + n + 1))
        following.settle()
    assert sorted(following.lines) == sorted(as_bytes(numbered(0, 30)))


def test_no_more_files_are_open_than_may_be_within_one_scan(tmp_path, follow):
    for n in range(50):
        append(tmp_path / f"{n}.log", *numbered(n, n + 1))
    following = follow(f"{tmp_path}/*.log", max_open_files=3)
    opened = []
    while len(following.lines) < 50:
        for chunk in following.tailer.next_chunks():
            opened.append(sum(1 for path in opened_files() if path.startswith(str(tmp_path))))
            following.commit(chunk)
    assert max(opened) == 3
    assert sorted(following.lines) == sorted(as_bytes(numbered(0, 50)))


def test_a_file_that_is_closed_for_others_before_its_end_is_read_on(tmp_path, follow):
    for n in range(4):
        append(tmp_path / f"{n}.log", *numbered(n * 1000, n * 1000 + 1000))
    following = follow(f"{tmp_path}/*.log", max_open_files=1, chunk_bytes=4096, poll_interval_seconds=3600.0)
    following.settle()
    assert sorted(following.lines) == sorted(as_bytes(numbered(0, 4000)))


def test_where_the_end_is_the_start_what_comes_while_a_file_waits_is_read(tmp_path, follow):
    for n in range(3):
        append(tmp_path / f"{n}.log", f"old {n}")
    following = follow(f"{tmp_path}/*.log", max_open_files=1, log_start="end", poll_interval_seconds=3600.0)
    following.tailer.next_chunks()
    append(tmp_path / "2.log", "new")
    following.settle()
    assert b"new" in following.lines


def opened_files() -> list[str]:
    return [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]


class TestFollowers:
    @pytest.fixture
    def followers(self) -> Iterator[Followers]:
        """At most two files are open when it is kept within the limit."""
        options = load_settings(None, max_open_files=2).tailing_options
        followers = Followers(options, LogNames([]), KnownSources([], datetime.now(timezone.utc)))
        yield followers
        for follower in followers:
            followers.close(follower)

    @pytest.fixture
    def follow(self, followers: Followers, tmp_path: Path) -> Callable[[str], Follower]:
        def start(name: str) -> Follower:
            path = tmp_path / name
            append(path, name)
            opened = open_log(str(path))
            return followers.follow(
                new_source(opened, str(path), "node", ()), opened, str(path), format_options("requests")
            )

        return start

    def test_the_one_whose_turn_ended_is_the_last(
        self, followers: Followers, follow: Callable[[str], Follower]
    ) -> None:
        first, second = follow("first"), follow("second")
        followers.end_turn(first)
        assert list(followers) == [second, first]

    def test_a_file_is_found_by_what_it_is_and_by_its_source_until_it_is_closed(
        self, followers: Followers, follow: Callable[[str], Follower]
    ) -> None:
        follower = follow("x")
        keys = follower.key, follower.source.source_id
        assert followers.of_file(keys[0]) is followers.of_source(keys[1]) is follower
        followers.close(follower)
        assert followers.of_file(keys[0]) is followers.of_source(keys[1]) is None

    def test_a_parked_file_is_done_until_its_name_is_gone(
        self, followers: Followers, follow: Callable[[str], Follower]
    ) -> None:
        follower = follow("x")
        followers.park(follower)
        assert followers.parked_stamp(follower.key) == follower.stamp
        assert [status.state for status in followers.statuses()] == ["done"]
        followers.note_found(set())
        assert (followers.parked_stamp(follower.key), followers.statuses()) == (None, [])

    def test_a_file_that_no_name_leads_to_is_rotated(
        self, followers: Followers, follow: Callable[[str], Follower]
    ) -> None:
        there, gone = follow("there"), follow("gone")
        followers.note_found({there.key})
        assert (there.rotated, gone.rotated) == (False, True)

    def test_of_too_many_only_those_without_unread_lines_are_parked(
        self, followers: Followers, follow: Callable[[str], Follower]
    ) -> None:
        unread, *read = [follow(name) for name in ("a", "b", "c", "d")]
        for follower in read:
            follower.read()
            follower.committed = follower.offset
            follower.changed = False
        followers.keep_within_limit()
        assert len(followers) == 2
        assert followers.of_file(unread.key) is unread
