"""What makes a file a known source, and what a new one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tailmetrics.tailing.identity import (
    checkpoint_of,
    grown_head,
    holds,
    is_beginning,
    is_copy,
    new_source,
    start_at_end,
    uploaded_source,
)
from tailmetrics.tailing.log_file import LogFile, open_log
from tests.tailing.following import (
    append,
    as_bytes,
    numbered,
)


def test_lines_that_are_there_at_start_are_left_out_when_it_begins_at_the_end(log, follow):
    append(log, *numbered(0, 10))
    following = follow(log, log_start="end")
    following.settle()
    append(log, *numbered(10, 12))
    assert following.settle() == as_bytes(numbered(10, 12))


def cri(tag: str, text: str) -> bytes:
    return f"2024-10-10T10:10:10Z stdout {tag} {text}\n".encode()


@pytest.mark.parametrize("is_named", [True, False], ids=["named", "auto"])
@pytest.mark.parametrize(
    ("log_format", "frames"),
    [
        ("results", (b'# Test: "z"\n# Result: PASS\n', b'# Test: "a"\n# Took 0.1 s\n', b"# Result: FAIL\n")),
        (
            "cri",
            (
                cri("F", '192.0.2.1 - - [10/Oct/2024:10:10:10 +0000] "GET / HTTP/1.1" 200 5'),
                cri("P", "192.0.2.1 - - [10/Oct/2024:10:10:11 +0000] "),
                cri("F", '"GET / HTTP/1.1" 200 5'),
            ),
        ),
    ],
    ids=["results", "cri"],
)
def test_what_is_open_at_the_start_at_the_end_is_read_from_its_beginning(
    log, follow, log_format, frames, *, is_named
):
    before, is_open, rest = frames
    log.write_bytes(before + is_open)
    following = follow(log, log_start="end", log_format=log_format if is_named else "auto")
    following.settle()
    with log.open("ab") as file:
        file.write(rest)
    assert following.settle() == (is_open + rest).splitlines()


def test_a_restart_goes_on_where_it_began_at_the_end(log, follow):
    append(log, *numbered(0, 10))
    following = follow(log, log_start="end")
    following.settle()
    following.close()
    append(log, *numbered(10, 12))
    following.restart()
    assert following.settle() == as_bytes(numbered(10, 12))


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


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[bytes], LogFile]]:
    """Files of these bytes, open until the end."""
    files: list[LogFile] = []

    def write(content: bytes) -> LogFile:
        path = tmp_path / f"{len(files)}.log"
        path.write_bytes(content)
        files.append(open_log(str(path)))
        return files[-1]

    yield write
    for file in files:
        file.close()


ORIGINAL = b"".join(b"line %d\n" % number for number in range(1000))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (ORIGINAL, (True, True)),
        (ORIGINAL[:5000], (True, True)),
        (ORIGINAL[:3000].replace(b"line 200", b"LINE 200"), (True, False)),
        (ORIGINAL[:3000].replace(b"line 1\n", b"LINE 1\n"), (False, False)),
        (ORIGINAL[:-9] + b"LINE 999\n", (False, False)),
        (ORIGINAL + b"line 1000\n", (False, False)),
    ],
    ids=["all", "beginning", "other middle", "other first bytes", "other last bytes", "longer"],
)
def test_a_copy_has_the_first_and_last_bytes_and_a_beginning_all(
    opened: Callable[[bytes], LogFile], content: bytes, expected: tuple[bool, bool]
) -> None:
    file, original = opened(content), opened(ORIGINAL)
    assert (is_copy(file, original), is_beginning(file, original)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [(ORIGINAL, True), (ORIGINAL + b"more", True), (ORIGINAL[:-1], False), (b"x" + ORIGINAL[1:], False)],
    ids=["same", "grown", "shorter", "other head"],
)
def test_a_file_holds_what_was_read_while_its_first_and_last_bytes_are_the_same(
    opened: Callable[[bytes], LogFile], content: bytes, expected: bool
) -> None:
    checkpoint = checkpoint_of(len(ORIGINAL), ORIGINAL[:1024], ORIGINAL)
    assert holds(opened(content), checkpoint) == expected


@pytest.mark.parametrize(
    ("content", "position"),
    [(b"", 0), (b"torn", 0), (b"a\nb\n", 4), (b"a\nb\ntorn", 4), (b"a\n" + b"x" * 3_000_000, 2)],
    ids=["empty", "no whole line", "whole lines", "torn", "long torn"],
)
def test_the_end_of_a_file_is_that_of_its_last_whole_line(
    opened: Callable[[bytes], LogFile], content: bytes, position: int
) -> None:
    file = opened(content)
    assert start_at_end(new_source(file, "x.log", "node", ()), file, file.size()).position == position


def test_an_upload_is_known_by_its_content_and_by_its_name_where_that_counts(
    opened: Callable[[bytes], LogFile],
) -> None:
    files = [opened(content) for content in (ORIGINAL, ORIGINAL, ORIGINAL + b"more\n")]
    by_content = {uploaded_source(file, "x.log", "node", name_counts=False).source_id for file in files}
    by_name = {uploaded_source(files[0], name, "node", name_counts=True).source_id for name in ("x", "y")}
    assert (len(by_content), len(by_name)) == (2, 2)
    by_node = {
        uploaded_source(files[0], "x.log", node_id, name_counts=False).source_id for node_id in ("a", "b")
    }
    assert len(by_node) == 1


def test_the_head_grows_up_to_its_limit_and_never_shrinks() -> None:
    heads = [grown_head(b"", 0, b"abc"), grown_head(b"abc", 3, b"x" * 2000), grown_head(b"abc", 1, b"b")]
    assert [len(head) for head in heads] == [3, 1024, 3]


def test_a_new_file_has_one_id_whatever_the_node_and_however_it_grew(log):
    append(log, "a")
    found = set()
    for node_id in ("one", "two"):
        with contextlib.closing(open_log(str(log))) as file:
            found.add(new_source(file, "x.log", node_id, ()).source_id)
        append(log, "b" * 2000)
    assert len(found) == 1


def test_a_new_file_has_another_id_with_another_first_line(log, tmp_path):
    append(log, "a")
    with contextlib.closing(open_log(str(log))) as file:
        before = new_source(file, "x.log", "node", ()).source_id
        os.truncate(log, 0)
        append(log, "b")
        assert new_source(file, "x.log", "node", ()).source_id != before
