"""Events of the file system, and what is done where there are none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tailmetrics.tailing import wakeup as wakeup_module
from tailmetrics.tailing.wakeup import News, Wakeup
from tests.tailing.following import Following, append

DEADLINE_SECONDS = 20
AN_HOUR = 3600.0
BY_THE_CLOCK = 0.05


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    opened = Wakeup()
    yield opened
    opened.close()


def news_until(wakeup: Wakeup, is_right: Callable[[News], bool]) -> News:
    """All news up to the first that is right."""
    names_changed, written = False, set()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        seen = wakeup.changes
        news = wakeup.take_news()
        names_changed |= news.names_changed
        written |= news.written
        if is_right(news):
            return News(names_changed, frozenset(written))
        assert time.monotonic() < deadline, (names_changed, written)
        wakeup.wait(seen, DEADLINE_SECONDS)


def test_a_write_tells_the_path(wakeup: Wakeup, tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.touch()
    wakeup.watch([str(tmp_path)])
    wakeup.take_news()
    append(log, "a line")
    assert news_until(wakeup, lambda news: bool(news.written)) == News(False, frozenset([str(log)]))


def test_a_new_name_is_told(wakeup: Wakeup, tmp_path: Path) -> None:
    wakeup.watch([str(tmp_path)])
    wakeup.take_news()
    (tmp_path / "x.log").touch()
    assert news_until(wakeup, lambda news: news.names_changed).names_changed


def test_a_folder_with_two_names_tells_both_paths(wakeup: Wakeup, tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    (folder / "x.log").touch()
    wakeup.watch([str(folder), str(link)])
    append(folder / "x.log", "a line")
    news = news_until(wakeup, lambda news: bool(news.written))
    assert news.written == {str(folder / "x.log"), str(link / "x.log")}


def test_a_folder_that_took_the_place_of_another_is_watched(wakeup: Wakeup, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    wakeup.watch([str(folder)])
    wakeup.take_news()
    folder.rename(tmp_path / "old")
    folder.mkdir()
    news_until(wakeup, lambda news: news.names_changed)
    (folder / "x.log").touch()
    wakeup.watch([str(folder)])
    append(folder / "x.log", "a line")
    assert str(folder / "x.log") in news_until(wakeup, lambda news: bool(news.written)).written


def test_it_ends_when_its_folder_is_gone(tmp_path: Path) -> None:
    wakeup = Wakeup()
    folder = tmp_path / "folder"
    folder.mkdir()
    wakeup.watch([str(folder)])
    wakeup.take_news()
    folder.rmdir()
    news_until(wakeup, lambda news: news.names_changed)
    wakeup.close()


def test_without_a_folder_there_are_no_events(wakeup: Wakeup, tmp_path: Path) -> None:
    wakeup.watch([str(tmp_path / "missing")])
    assert not wakeup.has_events


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Following]:
    """A log with one line that was read, where only events tell of more."""
    append(tmp_path / "x.log", "first")
    followed = Following(tmp_path / "*.log", poll_interval_seconds=AN_HOUR)
    followed.settle()
    yield followed
    followed.close()


def read_until(following: Following, lines: int) -> list[bytes]:
    """Read as the dataflow does: sleep as long as nothing is due."""
    tailer = following.tailer
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(following.lines) < lines:
        seen = tailer.wakeup.changes
        chunks = tailer.next_chunks()
        for chunk in chunks:
            following.commit(chunk)
        if not chunks:
            assert time.monotonic() < deadline, following.lines
            tailer.wakeup.wait(seen, min(tailer.rest_seconds(), DEADLINE_SECONDS))
    return following.lines


class TestReadingByEvents:
    def test_an_appended_line(self, following: Following, tmp_path: Path) -> None:
        append(tmp_path / "x.log", "second")
        assert read_until(following, 2) == [b"first", b"second"]

    def test_a_file_that_was_empty(self, following: Following, tmp_path: Path) -> None:
        (tmp_path / "y.log").touch()
        following.settle()
        append(tmp_path / "y.log", "second")
        assert read_until(following, 2) == [b"first", b"second"]

    def test_a_new_file(self, following: Following, tmp_path: Path) -> None:
        append(tmp_path / "y.log", "second")
        assert read_until(following, 2) == [b"first", b"second"]

    def test_a_file_behind_a_link(self, following: Following, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        append(elsewhere / "target", "second")
        (tmp_path / "y.log").symlink_to(elsewhere / "target")
        read_until(following, 2)
        append(elsewhere / "target", "third")
        assert read_until(following, 3) == [b"first", b"second", b"third"]

    def test_a_file_that_was_closed_as_one_of_too_many(self, tmp_path: Path) -> None:
        for name in ("x", "y"):
            append(tmp_path / f"{name}.log", name)
        following = Following(tmp_path / "*.log", poll_interval_seconds=AN_HOUR, max_open_files=1)
        following.settle()
        for name in ("x", "y"):
            append(tmp_path / f"{name}.log", f"more of {name}")
        assert sorted(read_until(following, 4)) == [b"more of x", b"more of y", b"x", b"y"]
        following.close()

    def test_nothing_is_due_while_nothing_happens(self, following: Following) -> None:
        following.tailer.next_chunks()
        assert following.tailer.rest_seconds() > BY_THE_CLOCK


class TestReadingWithoutEvents:
    @pytest.fixture
    def silent(self, tmp_path: Path) -> Iterator[Path]:
        """A name of the log in a folder that nobody watches: what is written by it raises no event."""
        (tmp_path / "silent").mkdir()
        path = tmp_path / "silent" / "another name"
        yield path

    def test_a_file_that_events_do_not_tell_of_is_looked_at_by_the_clock(
        self, following: Following, tmp_path: Path, silent: Path
    ) -> None:
        os.link(tmp_path / "x.log", silent)
        append(silent, "second")
        following.settle()
        assert following.tailer.rest_seconds() == BY_THE_CLOCK
        append(silent, "third")
        assert read_until(following, 3) == [b"first", b"second", b"third"]

    def test_once_an_event_tells_of_it_the_clock_rests(
        self, following: Following, tmp_path: Path, silent: Path
    ) -> None:
        os.link(tmp_path / "x.log", silent)
        append(silent, "second")
        following.settle()
        append(tmp_path / "x.log", "third")
        news_until(following.tailer.wakeup, lambda news: bool(news.written))
        following.tailer.wakeup.wake(written=[str(tmp_path / "x.log")])
        following.tailer.next_chunks()
        assert following.tailer.rest_seconds() > BY_THE_CLOCK

    def test_everything_is_looked_at_by_the_clock_where_events_cannot_be_had(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse() -> None:
            raise OSError("too many watches")

        monkeypatch.setattr(wakeup_module, "INotify", refuse)
        append(tmp_path / "x.log", "first")
        (tmp_path / "y.log").touch()
        following = Following(tmp_path / "*.log", poll_interval_seconds=AN_HOUR)
        read_until(following, 1)
        append(tmp_path / "x.log", "second")
        append(tmp_path / "y.log", "third")
        assert read_until(following, 3) == [b"first", b"second", b"third"]
        following.close()
