"""The sources that the store knows, by inode and by their first bytes."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tailmetrics.sources import HEAD_BYTES, Source
from tailmetrics.tailing.identity import checkpoint_of, new_source
from tailmetrics.tailing.known_sources import KnownSources, Relatives
from tailmetrics.tailing.log_file import open_log
from tailmetrics.tailing.rotation import LogNames
from tests.builders import log_path
from tests.tailing.following import append

STARTED = datetime(2024, 11, 6, tzinfo=timezone.utc)


def source_of(content: bytes, name: str = "x.log", *, epoch: int = 0) -> Source:
    """A source of which this content was read."""
    return Source(f"{name} {epoch}", "node", 1, 2, epoch, name, checkpoint_of(len(content), content, content))


def known(*sources: Source) -> KnownSources:
    return KnownSources(sources, STARTED)


def test_of_an_inode_that_was_used_again_the_newest_source_comes_first() -> None:
    sources = [source_of(b"a\n", epoch=epoch) for epoch in (0, 2, 1)]
    assert [source.epoch for source in known(*sources).with_inode((1, 2))] == [2, 1, 0]


def test_of_sources_with_the_same_content_the_one_read_furthest_comes_first(tmp_path: Path) -> None:
    append(tmp_path / "x.log", "a", "b", "c")
    sources = known(source_of(b"a\n", "short"), source_of(b"a\nb\n", "long"), source_of(b"z\n", "other"))
    with contextlib.closing(open_log(str(tmp_path / "x.log"))) as opened:
        assert [source.path for source in sources.with_content_of(opened)] == ["long", "short"]


def test_a_source_is_found_by_its_first_bytes_as_they_are_after_it_grew(tmp_path: Path) -> None:
    append(tmp_path / "x.log", "a", "b")
    sources = known(source_of(b""))
    sources.put(source_of(b"a\nb\n"))
    with contextlib.closing(open_log(str(tmp_path / "x.log"))) as opened:
        assert [source.position for source in sources.with_head_of(opened)] == [4]


def test_a_late_commit_does_not_set_a_source_back() -> None:
    sources = known(source_of(b"a\nb\n"))
    sources.advance("x.log 0", source_of(b"a\n").checkpoint, "x.log")
    [source] = sources
    assert source.position == 4


def test_the_epoch_of_a_new_source_is_one_more_than_any_of_its_inode(tmp_path: Path) -> None:
    append(tmp_path / "x.log", "a")
    with contextlib.closing(open_log(str(tmp_path / "x.log"))) as opened:
        before = replace(source_of(b"z\n", epoch=4), device=opened.key[0], inode=opened.key[1])
        assert new_source(opened, "x.log", "node", known(before)).epoch == 5


def test_a_rotated_file_is_followed_since_the_oldest_of_its_log(tmp_path: Path) -> None:
    since = [STARTED - timedelta(days=days) for days in (1, 3, 2)]
    sources = known(
        *(
            replace(source_of(b"a\n", f"{tmp_path}/x.log", epoch=epoch), followed_since=moment)
            for epoch, moment in enumerate(since)
        )
    )
    relatives = Relatives(sources, LogNames([log_path(f"{tmp_path}/*.log")]))
    days = [relatives.followed_since_ns(f"{tmp_path}/{name}") for name in ("x.log.1", "other.log.1")]
    assert days == [int(since[1].timestamp() * 1e9), int(STARTED.timestamp() * 1e9)]


def test_a_rotated_file_is_followed_since_what_rotation_made_of_the_same_log(tmp_path: Path) -> None:
    """The log may be gone before it was seen again, and then only its rotated files are known."""
    since = STARTED - timedelta(days=1)
    source = replace(source_of(b"a\n", f"{tmp_path}/x.log.1"), followed_since=since)
    names = LogNames([log_path(f"{tmp_path}/*")])
    names.add([source.path])
    found = Relatives(known(source), names).followed_since_ns(f"{tmp_path}/x-2030-01-03.log.gz")
    assert found == int(since.timestamp() * 1e9)


@pytest.mark.parametrize("hours", [-1, 1])
def test_what_is_new_after_the_clock_stepped_back_is_newer_than_the_start(tmp_path: Path, hours: int) -> None:
    now = datetime.now(timezone.utc)
    started = now - timedelta(hours=hours)
    relatives = Relatives(
        KnownSources([], started),
        LogNames([log_path(f"{tmp_path}/*.log")]),
    )
    since_ns = relatives.followed_since_ns(f"{tmp_path}/x.log.1")
    moment = datetime.fromtimestamp(since_ns / 1e9, timezone.utc)
    assert moment - min(started, now) < timedelta(minutes=1)


def test_a_log_can_go_on_in_a_plain_file_of_a_similar_name_only(tmp_path: Path) -> None:
    relatives = Relatives(known(source_of(b"a\n", f"{tmp_path}/x.log")), LogNames([]))
    assert [relatives.may_go_on_in(f"{tmp_path}/{name}") for name in ("x.log.1", "y.log.1")] == [True, False]


def test_a_source_of_another_node_is_found_by_its_inode_alone(tmp_path: Path) -> None:
    append(tmp_path / "x.log", "a")
    with contextlib.closing(open_log(str(tmp_path / "x.log"))) as opened:
        other = replace(
            source_of(b"a\n", epoch=4), device=opened.key[0], inode=opened.key[1], node_id="other"
        )
        sources = KnownSources([], STARTED, [other])
        assert (sources.with_inode(opened.key), sources.with_content_of(opened), list(sources)) == (
            [other],
            [],
            [],
        )
        assert new_source(opened, "x.log", "node", sources.with_inode(opened.key)).epoch == 5
        sources.put(other)
        assert (sources.with_inode(opened.key), sources.with_content_of(opened)) == ([other], [other])


def read_elsewhere(content: bytes, path: str = "x.log") -> Source:
    """A source of another node, of which this content was read."""
    checkpoint = checkpoint_of(len(content), content[:HEAD_BYTES], content)
    return Source("id", "other", 1, 2, 0, path, checkpoint, followed_since=STARTED)


@pytest.mark.parametrize(("size", "is_told"), [(1023, False), (1024, True), (3000, True)])
def test_a_source_of_another_node_is_this_ones_when_a_file_has_a_kib_of_its_bytes(
    tmp_path: Path, size: int, *, is_told: bool
) -> None:
    content = b"x" * (size - 1) + b"\n"
    other = read_elsewhere(content)
    (tmp_path / "moved.log").write_bytes(content + b"more\n")
    with contextlib.closing(open_log(str(tmp_path / "moved.log"))) as opened:
        sources = KnownSources([], STARTED, [other])
        found = [other] if is_told else []
        assert (sources.has_others, sources.with_content_of(opened), list(sources)) == (is_told, found, found)


def test_a_source_of_another_node_is_not_found_by_its_first_bytes_alone(tmp_path: Path) -> None:
    content = b"x" * 3000
    (tmp_path / "x.log").write_bytes(content + b"\n")
    with contextlib.closing(open_log(str(tmp_path / "x.log"))) as opened:
        sources = KnownSources([], STARTED, [read_elsewhere(content + b"y")])
        assert (sources.with_content_of(opened), list(sources)) == ([], [])


def test_what_is_taken_over_has_the_name_of_the_file_that_tells_it(tmp_path: Path) -> None:
    content = b"x" * 2000 + b"\n"
    (tmp_path / "x.log.1").write_bytes(content)
    sources = KnownSources([], STARTED + timedelta(hours=1), [read_elsewhere(content, "/elsewhere/x.log")])
    with contextlib.closing(open_log(str(tmp_path / "x.log.1"))) as opened:
        sources.take_over(opened, str(tmp_path / "x.log.1"))
    relatives = Relatives(sources, LogNames([log_path(str(tmp_path / "x.log"))]))
    assert relatives.followed_since_ns(str(tmp_path / "x.log.2")) == STARTED.timestamp() * 1e9
