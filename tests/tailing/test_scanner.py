"""Which files are found, and followed."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import NoReturn

import pytest

from tailmetrics.settings import load_settings
from tailmetrics.tailing import scanner as scanner_module
from tailmetrics.tailing.discovery import AllLogs
from tailmetrics.tailing.followers import Followers
from tailmetrics.tailing.known_sources import KnownSources
from tailmetrics.tailing.matching import Matcher
from tailmetrics.tailing.rotation import LogNames
from tailmetrics.tailing.scanner import Scanner
from tailmetrics.tailing.wakeup import Wakeup
from tests.compressing import COMPRESS, each_no_log, each_suffix
from tests.tailing.following import (
    Following,
    append,
    as_bytes,
    numbered,
)


def test_lines_that_are_there_at_start_are_read_from_the_beginning(log, follow):
    append(log, *numbered(0, 10))
    assert follow(log).settle() == as_bytes(numbered(0, 10))


def test_rotated_files_from_before_the_first_start_are_left_alone(log, follow):
    append(log.with_suffix(".log.1"), *numbered(0, 5))
    append(log, *numbered(5, 10))
    following = follow(log)
    following.settle()
    log.with_suffix(".log.1").rename(log.with_suffix(".log.2"))
    log.rename(log.with_suffix(".log.1"))
    append(log, *numbered(10, 15))
    assert sorted(following.settle()) == sorted(as_bytes(numbered(5, 15)))


def test_what_is_left_alone_is_said_once_a_start(log, follow, capsys):
    append(log.with_suffix(".log.1"), *numbered(0, 5))
    log.with_suffix(".log.2.gz").write_bytes(gzip.compress(b"a line\n"))
    append(log, *numbered(5, 10))
    following = follow(log)
    following.settle()
    [said] = [line for line in capsys.readouterr().out.splitlines() if "are left alone" in line]
    assert all(word in said for word in ("LOG_START=oldest reads them", "files=2", "x.log.1", "x.log.2.gz"))


def test_rotated_files_from_before_the_first_start_are_read_once_if_asked(log, follow, capsys):
    log.with_suffix(".log.2.gz").write_bytes(gzip.compress("\n".join([*numbered(0, 5), ""]).encode()))
    append(log.with_suffix(".log.1"), *numbered(5, 10))
    append(log, *numbered(10, 15))
    following = follow(log, log_start="oldest")
    following.settle()
    following.restart()
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 15)))
    assert "left alone" not in capsys.readouterr().out


def test_a_copy_from_before_the_first_start_is_no_log_of_its_own(log, follow):
    append(log, *numbered(0, 100))
    append(log.with_suffix(".log.1"), *numbered(0, 30))
    assert follow(log, log_start="oldest").settle() == as_bytes(numbered(0, 100))


def test_two_rotations_between_two_looks_are_all_read(log, follow):
    following = follow(log)
    append(log, *numbered(0, 5))
    following.settle()
    log.rename(log.with_suffix(".log.2"))
    append(log, *numbered(5, 10))
    log.rename(log.with_suffix(".log.1"))
    append(log, *numbered(10, 15))
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 15)))


@pytest.mark.parametrize("count", [30, 100])
def test_a_copy_whose_name_comes_before_that_of_its_log_is_not_read_at_the_first_start(
    tmp_path: Path, log: Path, follow: Callable[..., Following], count: int
) -> None:
    append(log, *numbered(0, 100))
    append(tmp_path / "x-20241010.log", *numbered(0, count))
    assert follow(f"{tmp_path}/x*.log").settle() == as_bytes(numbered(0, 100))


def test_an_empty_file_is_followed_once_it_has_lines(log, follow):
    log.touch()
    following = follow(log)
    following.settle()
    append(log, "first")
    assert following.settle() == [b"first"]


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


def test_a_compressed_file_beside_its_original_is_not_read(log, follow):
    following = follow(f"{log}*")
    append(log, *numbered(0, 50))
    following.settle()
    log.with_suffix(".log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    following.settle()
    following.restart()
    assert following.settle() == as_bytes(numbered(0, 50))


@pytest.fixture
def without_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner_module, "GRACE_SECONDS", 0.0)


def states(following) -> list[tuple[str, str]]:
    following.settle()
    return [(Path(status.path).name, status.state) for status in following.tailer.statuses()]


@pytest.mark.usefixtures("without_grace")
def test_a_missing_file_is_told_in_the_status(log, follow):
    following = follow(log)
    following.settle()
    (status,) = following.tailer.statuses()
    assert (status.path, status.state, status.last_error) == (
        str(log),
        "missing",
        "No such file or directory",
    )


@pytest.mark.usefixtures("without_grace")
@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("nope/*.log", "no file matches"),
        ("", "is a folder, expected files: {}/*.log"),
        ("*.gz", "only folders and compressed files match; `tailmetrics load` reads the latter"),
        ("sub*", "only folders and compressed files match; `tailmetrics load` reads the latter"),
    ],
)
def test_an_entry_that_has_no_file_is_missing_with_the_reason(tmp_path, follow, pattern, reason):
    (tmp_path / "x.log.gz").write_bytes(gzip.compress(b"a line\n"))
    (tmp_path / "sub").mkdir()
    following = follow(tmp_path / pattern)
    following.settle()
    [status] = following.tailer.statuses()
    assert (status.path, status.state, status.last_error) == (
        str(tmp_path / pattern),
        "missing",
        reason.format(tmp_path),
    )


def test_a_log_that_does_not_come_is_awaited_for_a_while_and_missing_then_with_one_warning(
    log, follow, monkeypatch, capsys
):
    monkeypatch.setattr(scanner_module, "GRACE_SECONDS", 0.2)
    following = follow(log, poll_interval_seconds=3600)
    assert states(following) == [("x.log", "awaited")]
    assert "cannot follow" not in capsys.readouterr().out
    while following.tailer.rest_seconds() > 0:  # until the end of those seconds, not of the interval
        time.sleep(min(0.05, following.tailer.rest_seconds()))
    assert states(following) == states(following) == [("x.log", "missing")]
    assert capsys.readouterr().out.count("cannot follow") == 1
    append(log, b"a line")
    assert states(following) == [("x.log", "live")]


@pytest.mark.usefixtures("without_grace")
@pytest.mark.parametrize("pattern", ["x.log", "*.log"])
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("goes", [Path.unlink, lambda log: log.rename(f"{log}.1")])
def test_a_log_that_was_followed_and_is_away_is_no_wrong_path(log, follow, pattern, restarted, goes):
    following = follow(log.parent / pattern)
    append(log, b"a line")
    assert states(following) == [("x.log", "live")]
    goes(log)
    if restarted:
        following.restart()
    assert (pattern, "awaited") in states(following)


@pytest.mark.usefixtures("without_grace")
def test_an_empty_file_is_there_also_when_it_goes(log, follow):
    following = follow(log)
    log.touch()
    assert states(following) == [("x.log", "empty")]
    log.unlink()
    assert states(following) == [("x.log", "awaited")]
    append(log, b"a line")
    assert states(following) == [("x.log", "live")]


def test_a_log_that_was_loaded_under_its_full_path_is_no_rotated_one_when_it_is_followed(
    log, follow, monkeypatch
):
    following = follow(log.parent / "other.log")
    append(log, b"a line")
    following.load(log)
    following.settle()
    monkeypatch.chdir(log.parent)
    append(log, b"another line", end=b"")
    again = follow(log.name)
    again.sources = following.sources
    again.restart()
    assert states(again) == [("x.log", "live")]
    assert again.lines == []  # of a rotated one the unfinished line would count


class TestScanner:
    @pytest.fixture
    def followers(self, tmp_path: Path) -> Iterator[Followers]:
        options = load_settings(
            None, log_format="requests", log_file_path=f"{tmp_path}/*.log"
        ).tailing_options
        followers = Followers(
            options, LogNames(options.log_paths), KnownSources([], datetime.now(timezone.utc))
        )
        yield followers
        for follower in followers:
            followers.close(follower)

    @pytest.fixture
    def scanner(self, followers: Followers) -> Iterator[Scanner]:
        wakeup = Wakeup()
        options = load_settings(None, poll_interval_seconds=3600).tailing_options
        yield Scanner(options, followers, Matcher("node", followers, from_beginning=True), wakeup, AllLogs())
        wakeup.close()

    def test_a_scan_is_due_at_first_and_then_after_its_interval(self, scanner: Scanner) -> None:
        before = scanner.is_due()
        scanner.scan()
        assert (before, scanner.rest_seconds() > 0) == (True, True)
        scanner.scan_soon()
        assert scanner.is_due()

    def test_what_cannot_be_opened_is_a_problem_until_it_can(
        self, scanner: Scanner, followers: Followers, log: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: str) -> NoReturn:
            raise PermissionError(13, "Permission denied", path)

        append(log, "line")
        with monkeypatch.context() as patch:
            patch.setattr(scanner_module, "open_log", refuse)
            scanner.scan()
        [problem] = scanner.problems()
        assert (problem.path, problem.state, problem.last_error) == (
            str(log),
            "unreadable",
            "Permission denied",
        )
        scanner.scan()
        assert (scanner.problems(), [follower.path for follower in followers]) == ([], [str(log)])

    def test_a_file_that_takes_the_name_of_another_one_leaves_that_rotated(
        self, scanner: Scanner, followers: Followers, log: Path
    ) -> None:
        append(log, "old")
        scanner.scan()
        [old] = followers
        log.rename(log.with_name("put away"))
        append(log, "new")
        scanner.scan()
        assert [(each is old, each.rotated) for each in followers] == [(True, True), (False, False)]


@each_no_log
def test_a_followed_file_that_holds_no_lines_is_unreadable(tmp_path, follow, name, content, found):
    assert found
    path = tmp_path / name.removesuffix(".gz").removesuffix(".zst").removesuffix(".xz")
    path.write_bytes(content)
    following = follow(path)
    assert following.settle() == []
    [status] = following.tailer.statuses()
    told = (status.last_error or "").startswith((f"{path}: found a", f"{path}: found text"))
    assert (status.state, told) == ("unreadable", True)


@each_suffix
def test_a_compressed_file_that_is_to_be_followed_is_told_of(log, follow, suffix):
    path = log.with_name(f"{log.name}{suffix}")
    path.write_bytes(COMPRESS[suffix](b"line\n"))
    following = follow(path)
    assert following.settle() == []
    assert [status.last_error for status in following.tailer.statuses()] == [
        "compressed, and does not grow; read it with `tailmetrics load`"
    ]


def test_two_standard_inputs_of_the_same_lines_are_two_logs(tmp_path, follow):
    following = follow(tmp_path / "stdin-01234567-*.log")
    first = tmp_path / "stdin-01234567-aaaaaaaa.log"
    append(first, *numbered(0, 100))
    following.settle()
    append(tmp_path / "stdin-01234567-bbbbbbbb.log", *numbered(0, 100))
    following.settle()
    first.unlink()
    append(tmp_path / "stdin-01234567-cccccccc.log", *numbered(0, 100))
    assert following.settle() == as_bytes(numbered(0, 100)) * 3
