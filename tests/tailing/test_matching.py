"""Which source a file is: copies, logs that begin alike, result logs and uploads."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tailmetrics.tailing.identity import start_at
from tailmetrics.tailing.log_file import open_log
from tailmetrics.tailing.matching import Matcher
from tests.tailing.following import (
    Following,
    append,
    as_bytes,
    copy_truncate,
    load_all,
    numbered,
)


@pytest.fixture
def longer_copy(log: Path) -> tuple[Path, Path]:
    """A log of 100 lines, and another file with these and 50 more."""
    copy = log.with_name("y.log")
    append(log, *numbered(0, 100))
    append(copy, *numbered(0, 150))
    return log, copy


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


def test_lines_of_a_log_that_was_empty_when_it_was_found_are_not_read_from_its_copy_too(
    log, follow, monkeypatch
):
    append(log, "lost")
    following = follow(log.parent / "x*.log")
    by_inode = Matcher.by_inode

    def truncated_before(*arguments, **named):
        os.truncate(log, 0)
        return by_inode(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Matcher, "by_inode", truncated_before)
        following.settle()
    following.store_is_away = True
    append(log, *numbered(0, 50))
    following.settle()
    copy_truncate(log, log.with_name("x-20241012.log"))
    append(log, *numbered(50, 400))
    following.settle()
    following.store_comes_back()
    assert sorted(following.settle()) == sorted(as_bytes(numbered(0, 400)))


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


def test_the_same_content_uploaded_twice_counts_once(tmp_path, log, follow):
    following = follow(log)
    for name in ("one", "two"):
        (tmp_path / name).write_text("a\nb\n")
        following.load(tmp_path / name, name="upload")
        (tmp_path / name).unlink()
    assert following.lines == [b"a", b"b"]


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


def test_the_copy_of_a_log_may_be_named_like_that_of_a_run(follow, tmp_path):
    log = tmp_path / "test.log"
    following = follow(f"{tmp_path}/*.log")
    append(log, *numbered(0, 300))
    following.settle()
    copy_truncate(log, tmp_path / "test_1728518400.log")
    following.settle()
    append(log, *numbered(300, 310))
    assert Counter(following.settle()) == Counter(as_bytes(numbered(0, 310)))


class TestACopyOfAFinishedLog:
    """The original was loaded, lies where no log is followed, and is read to its end."""

    def _loaded(self, tmp_path: Path, follow: Callable[..., Following], lines: int) -> tuple[Path, Following]:
        original = tmp_path / "archive" / "old.log"
        original.parent.mkdir()
        append(original, *numbered(0, lines))
        following = follow(tmp_path / "logs" / "*.log")
        following.load(original)
        return original, following

    def _copied(self, original: Path) -> Path:
        copy = original.parents[1] / "logs" / "x.log"
        copy.parent.mkdir()
        shutil.copyfile(original, copy)
        return copy

    def test_adds_only_what_is_written_to_it_later(
        self, tmp_path: Path, follow: Callable[..., Following]
    ) -> None:
        original, following = self._loaded(tmp_path, follow, 100)
        copy = self._copied(original)
        assert following.settle() == as_bytes(numbered(0, 100))
        append(copy, *numbered(100, 120))
        assert following.settle() == as_bytes(numbered(0, 120))
        following.restart()
        assert following.settle() == as_bytes(numbered(0, 120))
        append(original, "of its own")
        following.load(original)
        assert following.lines == as_bytes([*numbered(0, 120), "of its own"])

    def test_that_grew_before_it_was_seen_adds_its_own_lines(
        self, tmp_path: Path, follow: Callable[..., Following]
    ) -> None:
        original, following = self._loaded(tmp_path, follow, 100)
        append(self._copied(original), *numbered(100, 120))
        assert following.settle() == as_bytes(numbered(0, 120))

    def test_is_no_copy_when_a_byte_in_the_middle_differs(
        self, tmp_path: Path, follow: Callable[..., Following]
    ) -> None:
        _, following = self._loaded(tmp_path, follow, 100)
        lines = (
            numbered(0, 50) + [line.replace("200", "404") for line in numbered(50, 51)] + numbered(51, 100)
        )
        (tmp_path / "logs").mkdir()
        append(tmp_path / "logs" / "x.log", *lines)
        assert following.settle() == as_bytes(numbered(0, 100) + lines)

    def test_is_no_copy_when_it_is_too_short_to_tell(
        self, tmp_path: Path, follow: Callable[..., Following]
    ) -> None:
        original, following = self._loaded(tmp_path, follow, 5)
        self._copied(original)
        assert following.settle() == as_bytes(numbered(0, 5) * 2)


def test_two_followed_logs_that_are_equal_at_the_first_look_both_count(
    tmp_path: Path, follow: Callable[..., Following]
) -> None:
    header = "# " + "h" * 3000
    for name in ("a.log", "b.log"):
        append(tmp_path / name, header)
    following = follow(tmp_path / "*.log")
    following.settle()
    for name in ("a.log", "b.log"):
        append(tmp_path / name, f"of {name}")
    assert Counter(following.settle()) == Counter([header.encode()] * 2 + [b"of a.log", b"of b.log"])


@pytest.mark.parametrize(
    "pattern", ["x.log", "x.log*"], ids=["rotated outside the glob", "rotated in the glob"]
)
def test_a_copy_with_the_header_of_another_rotated_file_counts_once_while_the_store_is_away(
    tmp_path: Path, follow: Callable[..., Following], pattern: str
) -> None:
    log = tmp_path / "x.log"
    header = "# " + "h" * 3000
    append(log, header, "first")
    following = follow(tmp_path / pattern)
    following.settle()
    log.unlink()
    following.store_is_away = True
    append(log, header, "second")
    copy_truncate(log, tmp_path / "x.log.2")
    append(log, header, "third")
    shutil.copyfile(log, tmp_path / "x.log.1")
    following.settle()
    append(log, "between")
    following.settle()
    os.truncate(log, 0)
    following.settle()
    following.store_comes_back()
    lines = [line for line in following.settle() if not line.startswith(b"#")]
    assert sorted(lines) == [b"between", b"first", b"second", b"third"]
