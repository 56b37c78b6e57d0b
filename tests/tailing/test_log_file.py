"""Bytes of compressed logs."""

from __future__ import annotations

import contextlib
import lzma
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tailmetrics.errors import LoadError
from tailmetrics.tailing.log_file import may_hold_more, open_log
from tests.compressing import COMPRESS, NAMES, each_no_log, each_suffix
from tests.tailing.following import (
    as_bytes,
    numbered,
)


@each_suffix
def test_load_reads_a_compressed_file_whole(tmp_path, log, follow, suffix):
    following = follow(log)
    path = tmp_path / f"old{suffix}"
    path.write_bytes(COMPRESS[suffix](b"one\ntwo\nunfinished"))
    following.load(path)
    assert following.lines == [b"one", b"two", b"unfinished"]


@each_suffix
def test_load_of_a_damaged_compressed_file_fails_with_a_reason(tmp_path, log, follow, suffix):
    path = tmp_path / f"old{suffix}"
    path.write_bytes(COMPRESS[suffix](os.urandom(10_000))[:-500])
    error = follow(log).load(path).progress().error or ""
    assert error.startswith(f"{path}: not a whole {NAMES[suffix]} file")


@each_suffix
def test_a_compressed_file_is_loaded_as_one_under_any_name(tmp_path, follow, suffix):
    log = tmp_path / "finished.log"
    log.write_bytes(COMPRESS[suffix]("\n".join(numbered(0, 10)).encode()))
    following = follow(tmp_path / "none.log")
    following.load(log)
    assert following.lines == as_bytes(numbered(0, 10))


def test_a_named_pipe_is_no_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.log")
    with pytest.raises(LoadError, match="no regular file"):
        open_log(str(tmp_path / "x.log"))


@each_suffix
def test_a_compressed_log_is_read_forward_and_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.log{suffix}"
    path.write_bytes(COMPRESS[suffix](b"0123456789"))
    with contextlib.closing(open_log(str(path))) as opened:
        assert (opened.size(), opened.read(7, 9), opened.read(2, 3)) == (10, b"789", b"234")


@pytest.mark.parametrize(
    ("name", "position", "expected"),
    [
        ("x.log", 10, True),
        *((f"x.log{suffix}", 10, suffix == ".bz2") for suffix in COMPRESS),
        *((f"x.log{suffix}", 9, True) for suffix in COMPRESS),
    ],
)
def test_whether_a_log_may_hold_more_is_told_without_decompressing_it(
    tmp_path: Path, name: str, position: int, expected: bool
) -> None:
    (tmp_path / name).write_bytes(COMPRESS.get(Path(name).suffix, bytes)(b"0123456789"))
    assert may_hold_more(str(tmp_path / name), [position]) == expected


@each_no_log
def test_what_holds_no_lines_is_not_loaded_and_not_remembered(tmp_path, follow, name, content, found):
    path = tmp_path / name
    path.write_bytes(content)
    following = follow(tmp_path / "none.log")
    error = following.load(path).progress().error or ""
    assert error.startswith(f"{path}: found {found}")
    assert following.sources == {}


@each_suffix
def test_text_that_is_called_like_a_compressed_file_is_to_be_renamed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.log{suffix}"
    path.write_bytes(b"a request a line\n")
    told = f"x.log{suffix}: found plain text, expected a {NAMES[suffix]} file as its name .*; rename it"
    with pytest.raises(LoadError, match=told):
        open_log(str(path))


def test_a_compressed_file_that_is_called_like_one_of_another_kind_is_to_be_renamed(tmp_path: Path) -> None:
    path = tmp_path / "x.log.gz"
    path.write_bytes(COMPRESS[".bz2"](b"one\n"))
    with pytest.raises(LoadError, match=r"found a bzip2 file, expected a gzip file .*; rename it"):
        open_log(str(path))


@pytest.mark.parametrize("content", [b"\x1f", b"\x1f\x8b", b"hello"])
def test_what_has_too_few_bytes_to_be_known_is_not_whole(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.log.gz"
    path.write_bytes(content)
    with pytest.raises(LoadError, match="not a whole gzip file"):
        open_log(str(path))


@pytest.mark.skipif(shutil.which("xz") is None, reason="the standard library makes no file of many blocks")
def test_the_size_in_an_xz_file_is_that_of_all_its_blocks(tmp_path: Path) -> None:
    path = tmp_path / "x.log.xz"
    content = b"line\n" * 100_000
    command = ["xz", "--block-size=65536"]
    path.write_bytes(subprocess.run(command, input=content, capture_output=True, check=True).stdout)
    assert [may_hold_more(str(path), [position]) for position in (len(content), 65536)] == [False, True]


def test_what_is_cut_off_may_hold_more(tmp_path: Path) -> None:
    path = tmp_path / "x.log.xz"
    path.write_bytes(lzma.compress(b"line\n" * 1000)[:-20])
    assert may_hold_more(str(path), [5000])
